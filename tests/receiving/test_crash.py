"""The process is killed after a message was handed over and before that was written down."""

import asyncio
import sys
from pathlib import Path

import apsw
import pytest

from tests.fakes.net_server import Peer, serving
from tests.sending.plain import opened, receive_all

ANSWERS = {
    "CAPA": ("+OK", "UIDL", "SASL PLAIN", "."),
    "STAT": ("+OK 1 20",),
    "UIDL": ("+OK", "1 one", "."),
    "RETR": ("+OK", "Subject: x", "", "Hello", "."),
}


async def talk(peer: Peer) -> None:
    await peer.say("+OK ready")
    while command := await peer.hear():
        verb = command.split(" ", maxsplit=1)[0]
        if verb == "AUTH":
            await peer.say("+ ")
            await peer.hear()
        await peer.say(*ANSWERS.get(verb, ("+OK",)))


@pytest.mark.slow
async def test_message_is_there_once_and_deleted_on_the_server(tmp_path: Path) -> None:
    new = tmp_path / "maildir" / "new"
    async with opened(tmp_path):
        pass
    async with serving(talk) as state:
        blocker = apsw.Connection(str(tmp_path / "data" / "mailbearer.db"))
        command = (sys.executable, "-m", "tests.sending.plain", "receive", str(tmp_path), str(state.port))
        process = await asyncio.create_subprocess_exec(*command)
        try:
            async with asyncio.timeout(20):
                while not new.is_dir():  # noqa: ASYNC110 - another process makes it
                    await asyncio.sleep(0.001)
                blocker.execute("BEGIN IMMEDIATE")
                while not list(new.iterdir()):  # noqa: ASYNC110 - another process puts it there
                    await asyncio.sleep(0.001)
        finally:
            process.kill()
            await process.wait()
            blocker.close()
        await receive_all(tmp_path, state.port)
    (message,) = new.iterdir()
    assert message.read_bytes() == b"Subject: x\r\n\r\nHello\r\n"
