"""The control socket: who may speak, what is answered to nonsense, and how it ends."""

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import pytest

from mailbearer.admin.deeds import Deeds
from mailbearer.admin.speech import Json
from mailbearer.app import App, open_app
from mailbearer.clock import SystemClock
from mailbearer.config.schema import Config
from mailbearer.control import client
from mailbearer.control.people import user_name
from mailbearer.control.server import ControlServer
from mailbearer.errors import MailbearerError, RemoteProtocolError, ReportedError, StoreError

NOBODY = 65534


@asynccontextmanager
async def running(path: Path, deeds: Deeds) -> AsyncIterator[asyncio.Task[None]]:
    server = ControlServer(path, deeds, SystemClock())
    server.open()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(server.serve())
        yield task
        task.cancel()


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_app(tmp_path / "data", Config(), serving=True) as app:
        yield app


@pytest.fixture
async def path(app: App) -> AsyncIterator[Path]:
    async with running(app.store.folder.socket, app.deeds):
        yield app.store.folder.socket


async def asked(path: Path, deed: str, content: bytes | None = None, **arguments: Json) -> Json:
    def ask() -> Json:
        peer = client.connect(path)
        assert peer is not None
        with peer:
            file = None if content is None else (BytesIO(content), len(content))
            return client.ask(peer, deed, arguments, content=file, on_event=lambda _: None)

    return await asyncio.to_thread(ask)


async def said(path: Path, data: bytes) -> list[dict[str, object]]:
    """Send raw bytes and return every answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    writer.write_eof()
    answers = (await reader.read()).splitlines()
    writer.close()
    return [json.loads(answer) for answer in answers]


async def test_socket_is_for_its_owner_only(path: Path) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # noqa: PTH116 - a test waits for nobody


async def test_deed_is_done_and_the_audit_names_the_user_whom_the_kernel_tells(app: App, path: Path) -> None:
    result = await asked(path, "service.set", service="smtp", values={"timeout": "90"})
    assert isinstance(result, dict)
    entry = (await app.store.audit.list(limit=1))[0]
    assert (entry.who, entry.from_where) == (user_name(), f"command line, pid {os.getpid()}")


async def test_error_is_told_with_its_sentences(path: Path) -> None:
    with pytest.raises(ReportedError, match=r"no service named nope") as caught:
        await asked(path, "service.show", service="nope")
    assert (caught.value.code, caught.value.permanent) == ("MB-W20", True)
    assert caught.value.hint
    assert caught.value.actor


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"deed": 1}\n',
        b'{"deed": "nope"}\n',
        b'{"deed": "service.show"}\n',
        b'{"deed": "service.show", "arguments": {"service": 1}}\n',
        b'{"deed": "service.set", "arguments": {"service": "smtp", "values": {"port": 1}}}\n',
        b'{"deed": "service.set", "arguments": {"service": "smtp", "values": []}}\n',
        b'{"deed": "queue.list", "arguments": {"limit": 0}}\n',
        b'{"deed": "queue.list", "arguments": {"all": 1}}\n',
        b'{"deed": "send", "arguments": {"service": "smtp", "sender": "a@b.example", "recipients": "x"}}\n',
        b'{"deed": "send", "arguments": {"service": "smtp", "sender": "a@b.example", "recipients": [1]}}\n',
        b'{"deed": "send", "arguments": {"service": "smtp", "sender": "a@b.example", "recipients": ["c@d.example"]}}\n',
        b'{"deed": "send", "content": -1}\n',
        b'{"deed": "send", "content": "1"}\n',
        b"[" * 100_000 + b"\n",
    ],
    ids=lambda line: ascii(line[:40]),
)
async def test_nonsense_gets_an_error_and_the_next_one_is_served(path: Path, line: bytes) -> None:
    answers = await said(path, line)
    assert [list(answer) for answer in answers] == [["error"]]
    assert await asked(path, "service.list")


async def test_connection_without_a_request_is_no_matter(path: Path) -> None:
    assert await said(path, b"") == []
    assert await said(path, b'{"deed"') == []
    assert await asked(path, "service.list")


async def test_message_that_ends_too_early_is_not_taken(app: App, path: Path) -> None:
    request = {"deed": "send", "content": 1000}
    arguments = {"service": "smtp", "sender": "a@b.example", "recipients": ["c@d.example"]}
    answers = await said(path, json.dumps({**request, "arguments": arguments}).encode() + b"\nSubject: x")
    assert "MB-S32" in str(answers)
    assert await app.store.messages.counts() == {}


async def test_message_is_queued(app: App, path: Path) -> None:
    content = b"Subject: x\r\n\r\n" + b"y" * 600_000
    result = await asked(path, "send", content, service="smtp", sender="a@b.example", recipients=["c@d.example"])
    assert isinstance(result, dict)
    assert result["size"] == len(content)


async def test_refusal_is_heard_although_the_content_was_not_read(path: Path) -> None:
    with pytest.raises(ReportedError) as caught:
        await asked(path, "send", b"x" * 3_000_000, service="pop.email-print", sender="", recipients=[])
    assert caught.value.code == "MB-W05"


async def test_deed_that_waits_tells_its_error_as_it_is(path: Path) -> None:
    with pytest.raises(ReportedError) as caught:
        await asked(path, "token.wait", service="smtp")
    assert caught.value.code == "MB-T52"


async def test_stale_socket_of_a_dead_process_is_replaced(app: App) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(app.store.folder.socket))
    assert client.connect(app.store.folder.socket) is None
    async with running(app.store.folder.socket, app.deeds):
        assert await asked(app.store.folder.socket, "service.list")
    assert not app.store.folder.socket.exists()


async def test_place_that_takes_no_socket_is_said(app: App, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        ControlServer(tmp_path / "gone" / "control.sock", app.deeds, SystemClock()).open()
    assert caught.value.code == "MB-D01"


async def test_stop_ends_those_who_wait_and_lets_the_others_finish(app: App) -> None:
    path = app.store.folder.socket
    async with running(path, app.deeds) as task:
        reader, writer = await asyncio.open_unix_connection(str(path))
        content = b"Subject: x\r\n\r\n"
        arguments = {"service": "smtp", "sender": "a@b.example", "recipients": ["c@d.example"]}
        frame = {"deed": "send", "arguments": arguments, "content": len(content)}
        writer.write(json.dumps(frame).encode() + b"\n" + content[:5])
        await writer.drain()
        assert await asked(path, "service.list"), "the one before has been accepted"
        task.cancel()
        while path.exists():
            await SystemClock().sleep(0.005)
        writer.write(content[5:])
        assert "result" in json.loads(await reader.readline())
        writer.close()


def test_service_that_goes_away_is_said() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(RemoteProtocolError) as caught:
        client.ask(ours, "x", {}, on_event=print)
    assert caught.value.code == "MB-W24"


@pytest.mark.parametrize("answer", [b"junk\n", b"[]\n", b"x" * 5_000_000])
def test_unreadable_answers_are_our_error(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        talker = threading.Thread(target=lambda: _say(theirs, answer))
        talker.start()
        with pytest.raises(MailbearerError):
            client.ask(ours, "x", {}, on_event=print)
    talker.join()


def test_file_that_became_shorter_is_said() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(RemoteProtocolError) as caught:
        client.ask(ours, "x", {}, content=(BytesIO(b"short"), 1000), on_event=print)
    assert caught.value.code == "MB-S32"


def _say(peer: socket.socket, words: bytes) -> None:
    with peer, contextlib.suppress(OSError):
        peer.sendall(words)


async def test_endless_line_is_cut_off_and_the_next_one_is_served(path: Path) -> None:
    with contextlib.suppress(ConnectionError):
        assert "MB-S31" in str(await said(path, b"x" * 5_000_000))
    assert await asked(path, "service.list")


def let_everybody_in(path: Path) -> None:
    path.chmod(0o666)
    for folder in path.parents:
        folder.chmod(folder.stat().st_mode | 0o011)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
async def test_other_users_are_refused_even_where_the_file_lets_them_in(app: App, path: Path) -> None:
    await asyncio.to_thread(let_everybody_in, path)
    code = (
        "import socket, sys\npeer = socket.socket(socket.AF_UNIX)\npeer.connect(sys.argv[1])\n"
        "print(peer.recv(10000).decode())"
    )

    def ask() -> str:
        done = subprocess.run(
            ["/usr/bin/env", "python3", "-c", code, str(path)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert "MB-W04" in await asyncio.to_thread(ask)


def test_user_without_a_name_is_a_number() -> None:
    assert user_name(4_000_000_000) == "uid 4000000000"
