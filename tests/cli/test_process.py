"""Commands in processes of their own: exit codes, pipes, colours, signals, and what others can see of them."""

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from tests.cli.conftest import COMMAND, process
from tests.fakes.practice_thread import ACCOUNT, PracticeThread

pytestmark = pytest.mark.slow


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [COMMAND, "--data", str(folder), *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
        )
        os.close(slave)
        self.said = ""

    def until(self, pattern: str) -> str:
        """Read until ``pattern`` was said, and return its first group."""
        end = time.monotonic() + 20
        while not (found := re.search(pattern, self.said)):
            ready, _, _ = select.select([self._master], [], [], max(0, end - time.monotonic()))
            assert ready, self.said
            self.said += os.read(self._master, 65536).decode()
        return found[1] if found.groups() else found[0]

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Wait for the end, read the rest, return the exit code."""
        try:
            while data := os.read(self._master, 65536):
                self.said += data.decode()
        except OSError:  # the other end is closed
            pass
        os.close(self._master)
        return self.process.wait(10)


def test_token_access_writes_the_token_to_standard_output_only(folder: Path) -> None:
    done = process(folder, "token", "access", "smtp")
    assert (done.out.count("\n"), done.err) == (1, "")
    failed = process(folder, "token", "access", "pop.email-print", code=1)
    assert (failed.out, "MB-T54" in failed.err) == ("", True)


def test_pipe_that_is_closed_early_is_no_fault(folder: Path) -> None:
    line = f"'{COMMAND}' --data '{folder}' provider list | head -1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("PROVIDER")
    assert "Traceback" not in done.stderr


def test_colours_are_for_terminals_that_want_them(folder: Path) -> None:
    assert "\x1b[" not in process(folder, "service", "list").out
    coloured = Terminal(folder, "service", "list")
    assert coloured.end() == 0
    assert "\x1b[" in coloured.said
    plain = Terminal(folder, "service", "list", NO_COLOR="1")
    assert plain.end() == 0
    assert "\x1b[" not in plain.said
    failed = Terminal(folder, "service", "show", "nope", NO_COLOR="1")
    assert failed.end() == 1
    assert "\x1b[" not in failed.said


def test_terminal_without_our_shapes_gets_replacements(folder: Path) -> None:
    done = process(folder, "service", "list", PYTHONIOENCODING="latin-1")
    assert "? Retrieved" in done.out


def test_nothing_secret_stands_in_the_list_of_processes(folder: Path, practice: PracticeThread) -> None:
    waiting = Terminal(folder, "token", "get", "smtp", "--flow", "code", "--yes")
    waiting.until(r"paste it here")
    arguments = Path(f"/proc/{waiting.process.pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[-7:-1] == [b"token", b"get", b"smtp", b"--flow", b"code", b"--yes"]
    waiting.process.send_signal(signal.SIGINT)
    assert waiting.end() == 1
    assert "Not waited for any more" in waiting.said
    process(folder, "token", "cancel", "smtp")


def test_sign_in_by_code_shows_code_link_and_qr(folder: Path, practice: PracticeThread) -> None:
    getting = Terminal(folder, "token", "get", "smtp", "--flow", "device")
    getting.until(r"stays in use")
    getting.type("y\n")
    code = getting.until(r"Code +(?:\x1b\[[0-9;]*m)*([A-Z]{4}-[A-Z]{4})")
    getting.until("[▀▄█]{4}")
    practice.approve(code)
    assert getting.end() == 0
    assert ACCOUNT in getting.said.splitlines()[-1]


def test_cancel_at_the_question_changes_nothing(folder: Path) -> None:
    getting = Terminal(folder, "token", "get", "smtp")
    getting.until(r"OK \[y/N\]")
    getting.type("n\n")
    assert getting.end() == 1
    assert "Nothing was changed" in getting.said
    assert "token get" not in process(folder, "audit", "list", "--limit", "1").out


def test_sign_in_comes_back_to_the_loopback_listener(folder: Path, practice: PracticeThread) -> None:
    getting = Terminal(folder, "token", "get", "smtp", "--flow", "code", "--yes", COLUMNS="2000")
    url = getting.until(r"(http://127\.0\.0\.1:\d+/authorize\?[^\s\x1b]+)")
    getting.until("paste it here")
    back = practice.authorize(url)
    listener = urlsplit(back)._replace(path="/", query="").geturl()
    with pytest.raises(OSError, match="404"):
        urlopen(f"{listener}favicon.ico")  # noqa: S310 - of ours
    strange = urlopen(f"{listener}?{urlencode({'code': 'a', 'state': 'of-somebody-else'})}").read().decode()  # noqa: S310 - of ours
    assert "did not belong" in strange
    with urlopen(back) as page:  # noqa: S310 - of ours
        assert "Signed in." in page.read().decode()
        assert page.headers["Referrer-Policy"] == "no-referrer"
    assert getting.end() == 0
    assert ACCOUNT in getting.said.splitlines()[-1]


def test_address_is_pasted(folder: Path, practice: PracticeThread) -> None:
    getting = Terminal(folder, "token", "get", "smtp", "--flow", "code", "--yes", COLUMNS="2000")
    url = getting.until(r"(http://127\.0\.0\.1:\d+/authorize\?[^\s\x1b]+)")
    getting.until("paste it here")
    getting.type("what?\n")
    getting.until("MB-T18")
    getting.type(practice.authorize(url) + "\n")
    assert getting.end() == 0


def test_sign_in_for_machines_is_one_line_each(folder: Path, practice: PracticeThread) -> None:
    process(folder, "token", "get", "smtp", "--flow", "device", "--json", "--no-wait")
    again = process(folder, "token", "get", "smtp", "--flow", "device", "--json", "--no-wait", code=1)
    assert "MB-T29" in again.err
    began = process(folder, "token", "get", "smtp", "--flow", "device", "--json", "--no-wait", "--again").body
    pending = began["pending"]
    assert isinstance(pending, dict)
    practice.approve(str(pending["user_code"]))
    assert process(folder, "token", "wait", "smtp", "--json").body["status"] == "Retrieved"


def test_refused_sign_in_is_told(folder: Path, practice: PracticeThread) -> None:
    began = process(folder, "token", "get", "smtp", "--flow", "device", "--json", "--no-wait").body
    pending = began["pending"]
    assert isinstance(pending, dict)
    practice.do(lambda world: world.deny(str(pending["user_code"])))
    assert "MB-T03" in process(folder, "token", "wait", "smtp", code=1).err
    assert process(folder, "token", "access", "smtp").out, "the held token stays"


def test_address_is_handed_in_by_another_command(folder: Path, practice: PracticeThread) -> None:
    began = process(folder, "token", "get", "smtp", "--flow", "code", "--json", "--no-wait").body
    pending = began["pending"]
    assert isinstance(pending, dict)
    back = practice.authorize(str(pending["authorization_url"]))
    assert "Retrieved" in process(folder, "token", "paste", text=back + "\n").out


def test_demo_does_the_whole_job(tmp_path: Path) -> None:
    done = process(tmp_path / "unused", "demo")
    assert "All of it works." in done.out
    assert "MB-" not in done.out
    assert done.err == ""
    assert not (tmp_path / "unused").exists()


def test_practice_provider_enters_itself(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    running = Terminal(folder, "practice")
    running.until("token get smtp")
    shown = process(folder, "provider", "show", "practice").out
    assert "mailbearer-practice" in shown
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 0


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_version_and_help_load_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom mailbearer.cli.main import run\n"
        f"run({list(words)!r})\nsys.stderr.write(' '.join(sys.modules))"
    )
    python = Path(COMMAND).parent / "python"
    loaded = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    heavy = {"asyncio", "ssl", "apsw", "httpx2", "starlette", "cryptography", "mailbearer.app"}
    assert not heavy & set(loaded)


def test_token_access_loads_no_room_that_it_does_not_need(folder: Path) -> None:
    code = (
        "import sys\nfrom mailbearer.cli.main import run\n"
        f"run(['--data', {str(folder)!r}, 'token', 'access', 'smtp'])\nsys.stderr.write(' '.join(sys.modules))"
    )
    python = Path(COMMAND).parent / "python"
    loaded = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    rooms = {"mailbearer.sending.courier", "mailbearer.receiving.fetch", "mailbearer.checks.connection"}
    assert not ({"httpx2", "starlette", "uvicorn", "prometheus_client", "dns"} | rooms) & set(loaded)
