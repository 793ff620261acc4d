"""The service as a process: start, stop, reload, two of them, killed and started again, beside commands."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mailbearer.cli.ask import held, listed, text
from mailbearer.observe.systemd import notify, watchdog_seconds
from tests.cli.conftest import COMMAND, process
from tests.fakes.practice_thread import ACCOUNT, PracticeThread

pytestmark = pytest.mark.slow
ANY_PORT = 'listener = []\n[web]\naddress = "127.0.0.1:0"\n'


class Service:
    """A running ``mailbearer serve``."""

    def __init__(self, folder: Path, settings: str = ANY_PORT, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.configure(settings)
        self.process = subprocess.Popen(
            [COMMAND, "--data", str(folder), "serve"],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.log: list[str] = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.wait_for(" serves ").rpartition(" ")[2]

    def configure(self, settings: str) -> None:
        (self.folder / "mailbearer.toml").write_text(settings, encoding="utf-8")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._told:
                self.log.append(line.rstrip())
                self._told.notify_all()
        with self._told:
            self.log.append("(end)")
            self._told.notify_all()

    def wait_for(self, words: str) -> str:
        """Return the line that holds ``words``, as soon as there is one."""
        with self._told:
            assert self._told.wait_for(lambda: any(words in line or line == "(end)" for line in self.log), 20), self.log
            found = [line for line in self.log if words in line]
        assert found, self.log
        return found[-1]

    def reload(self, settings: str) -> None:
        self.configure(settings)
        self.process.send_signal(signal.SIGHUP)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        self._reader.join(5)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def get(self, path: str, host: str = "") -> tuple[int, str]:
        request = Request(self.address + path, headers={"Host": host} if host else {})  # noqa: S310 - of ours
        try:
            with urlopen(request, timeout=10) as answer:  # noqa: S310 - of ours
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()


@contextmanager
def serving(folder: Path, settings: str = ANY_PORT, **environment: str) -> Iterator[Service]:
    service = Service(folder, settings, **environment)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeThread]:
    with PracticeThread(tmp_path_factory.mktemp("practice")) as thread:
        yield thread


@pytest.fixture(scope="module")
def furnished(practice: PracticeThread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished") / "data"
    practice.furnish(folder)
    return folder


@pytest.fixture
def folder(furnished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(furnished, tmp_path / "data"))


def test_service_answers_commands_and_stops_cleanly(folder: Path, practice: PracticeThread) -> None:
    with serving(folder) as service:
        assert service.get("/healthz") == (200, "alive\n")
        assert service.get("/readyz") == (200, '{"ready":true,"missing":""}')
        token = process(folder, "token", "access", "smtp").out
        assert process(folder, "service", "set", "smtp", "port=1", "--json").body["id"] == "smtp"
        assert "MB-W05" in process(folder, "service", "set", "smtp", "port=0", code=1).err
        status, told = service.get("/metrics")
        assert (status, 'mailbearer_tokens{status="Retrieved"} 2.0' in told) == (200, True)
        assert token.strip() not in told + "\n".join(service.log)
        assert service.stop() == 0
    assert "stopped" in service.log[-2]
    assert not (folder / "control.sock").exists()
    assert process(folder, "token", "access", "smtp").out == token, "the same without a service"


def test_second_service_says_so(folder: Path) -> None:
    with serving(folder) as service:
        done = process(folder, "serve", code=1)
        assert "MB-W25" in done.err
        assert str(service.process.pid) in done.err
        assert process(folder, "service", "list").out, "the first one goes on"


def test_mail_goes_out_and_comes_in_through_the_service(folder: Path, practice: PracticeThread) -> None:
    with serving(folder) as service:
        sent = process(folder, "send", "--to", ACCOUNT, "-s", "served", "--json", text="hello\n").body
        assert sent["served"] is True
        service.wait_for(f"{text(sent, 'id')} Accepted")
        process(folder, "check", "pop.internet-fax")
        items = listed(process(folder, "received", "list", "--json").body, "items")
        assert [each["subject"] for each in items] == ["served"]
        assert process(folder, "service", "test", "smtp").out.count("✓") == 9
        assert "MB-W35" in process(folder, "vault", "rotate", code=1).err


def test_sign_in_ends_at_the_callback_and_a_restart_goes_on_with_it(folder: Path, practice: PracticeThread) -> None:
    with serving(folder) as service:
        callback = f"{service.address}/oauth/callback"
        process(folder, "provider", "set", "practice", f"redirect_uri={callback}")
        began = process(folder, "token", "get", "smtp", "--flow", "code", "--json", "--no-wait").body
        assert service.stop() == 0
    port = callback.rsplit(":", 1)[1].partition("/")[0]
    with serving(folder, f'[web]\naddress = "127.0.0.1:{port}"\n') as service:
        pending = held(began, "pending")
        status, page = service.get("/oauth/callback?code=x&state=%3Cscript%3E")
        assert (status, "MB-T43" in page, "<script" in page) == (400, True, False)
        back = practice.authorize(text(pending, "authorization_url"))
        path = back.removeprefix(service.address) if back.startswith(service.address) else "/" + back.split("/", 3)[3]
        status, page = service.get(path, host="[evil")
        assert (status, "Signed in." in page) == (200, True)
        assert service.get(path)[0] == 400, "the same answer a second time"
        code = back.partition("code=")[2].partition("&")[0]
        assert code not in "\n".join(service.log)


def test_command_that_waits_outlives_the_service(folder: Path, practice: PracticeThread) -> None:
    with serving(folder) as service:
        began = process(folder, "token", "get", "smtp", "--flow", "device", "--json", "--no-wait").body
        waiting = subprocess.Popen(
            [COMMAND, "--data", str(folder), "token", "wait", "smtp"], stdout=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 10
        while "control.sock" not in Path("/proc/net/unix").read_text(encoding="utf-8"):
            assert time.monotonic() < end
        before = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - before < 5, "nobody waits for those who only look on"
    practice.approve(text(held(began, "pending"), "user_code"))
    out, _ = waiting.communicate(timeout=20)
    assert (waiting.returncode, "Retrieved" in out) == (0, True)


def test_killed_service_leaves_nothing_in_the_way(folder: Path) -> None:
    with serving(folder) as service:
        token = process(folder, "token", "access", "smtp").out
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    assert (folder / "control.sock").exists(), "a socket that nobody listens on"
    assert process(folder, "token", "access", "smtp").out == token
    with serving(folder):
        assert process(folder, "token", "access", "smtp").out == token


def test_service_starts_while_a_command_has_the_store_open(folder: Path, practice: PracticeThread) -> None:
    began = process(folder, "token", "get", "smtp", "--flow", "device", "--json", "--no-wait").body
    waiting = subprocess.Popen(
        [COMMAND, "--data", str(folder), "token", "wait", "smtp"], stdout=subprocess.PIPE, text=True
    )
    with serving(folder):
        practice.approve(text(held(began, "pending"), "user_code"))
        out, _ = waiting.communicate(timeout=20)
        assert (waiting.returncode, "Retrieved" in out) == (0, True)


def test_reload_takes_over_what_is_right_and_nothing_else(folder: Path) -> None:
    with socket.socket() as taken, serving(folder) as service:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        service.reload("[web]\nadress = 1\n")
        assert "MB-W26" in service.wait_for("is not taken over")
        assert service.get("/healthz")[0] == 200
        service.reload(f'[web]\naddress = "127.0.0.1:{taken.getsockname()[1]}"\n[log]\nformat = "json"\n')
        assert "MB-G08" in service.wait_for("[web] address is not taken over")
        assert service.wait_for("was read again").startswith("{")
        port = _free_port()
        service.reload(f'[web]\naddress = "127.0.0.1:{port}"\n[queue]\nmessage_mb = 1\n')
        service.wait_for("from the next start on")
        service.address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 10
        while not _answers(service):
            assert time.monotonic() < end
        service.reload("[web]\nenabled = false\n")
        while _answers(service):
            assert time.monotonic() < end
        assert service.stop() == 0


def test_web_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (folder / "mailbearer.toml").write_text(f'[web]\naddress = "127.0.0.1:{taken.getsockname()[1]}"\n')
        assert "MB-G08" in process(folder, "serve", code=1).err
    (folder / "mailbearer.toml").write_text('[web]\naddress = "nowhere.invalid:80"\n')
    assert "MB-W05" in process(folder, "serve", code=1).err


def test_control_socket_that_cannot_be_made_is_said(folder: Path) -> None:
    (folder / "control.sock").mkdir()
    (folder / "mailbearer.toml").write_text(ANY_PORT)
    assert "MB-D01" in process(folder, "serve", code=1).err


def test_path_longer_than_a_socket_address_may_be(furnished: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25) / ("longer" * 15)
    shutil.copytree(furnished, folder)
    with serving(folder):
        assert process(folder, "token", "access", "smtp").out
        assert "MB-W35" in process(folder, "vault", "rotate", code=1).err, "it was the service that answered"


def test_practice_provider_runs_inside(tmp_path: Path) -> None:
    with serving(tmp_path / "data", ANY_PORT + "[practice]\nenabled = true\n") as service:
        issuer = service.wait_for("sign-in page").rpartition(" ")[2].removesuffix("/device")
        with urlopen(f"{issuer}/.well-known/oauth-authorization-server") as answer:  # noqa: S310 - of ours
            assert answer.status == 200
        process(tmp_path / "data", "service", "set", "smtp", "provider=practice", f"account={ACCOUNT}")
        process(tmp_path / "data", "token", "get", "smtp", "--flow", "device", "--json", "--no-wait")
        assert service.stop() == 0


def test_systemd_is_told(folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(10)
        with serving(folder, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000") as service:
            heard = {listener.recv(100) for _ in range(2)}
            assert heard == {b"READY=1", b"WATCHDOG=1"}
            service.reload(ANY_PORT)
            while listener.recv(100) != b"RELOADING=1":
                pass
            service.stop()
            while listener.recv(100) != b"STOPPING=1":
                pass


def test_without_systemd_nobody_is_told(tmp_path: Path) -> None:
    assert not notify("READY=1", {})
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert watchdog_seconds({"WATCHDOG_USEC": "3000000"}) == 1.5
    assert watchdog_seconds({"WATCHDOG_USEC": "x"}) is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(service: Service) -> bool:
    try:
        return service.get("/healthz")[0] == 200
    except OSError:
        return False


def test_sheet_of_a_device_follows_a_reload(folder: Path) -> None:
    with serving(folder) as service:
        process(folder, "device", "add", "nas")
        settings = (
            '[web]\naddress = "127.0.0.1:0"\n[[listener]]\nname = "x"\naddress = "127.0.0.1:0"\ntls = "implicit"\n'
        )
        service.reload(settings)
        service.wait_for("was read again")
        assert "SMTPS" in process(folder, "device", "show", "nas").out
