"""The process is killed at every word of a delivery: nothing is lost, and sent twice only where nobody can know."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbearer.clock import SystemClock
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageState
from mailbearer.model.service import ServiceId
from mailbearer.sending.intake import Intake
from tests.fakes.net_server import Peer, serving
from tests.sending.plain import opened, send_all

MESSAGE = b"From: a@example.com\r\nMessage-ID: <one@example.com>\r\nSubject: x\r\n\r\nHello\r\n"


async def content() -> AsyncIterator[bytes]:
    yield MESSAGE


class Server:
    """Takes mail without sign-in, and holds its breath at the first ``silent_at``."""

    def __init__(self, silent_at: str) -> None:
        self.silent_at = silent_at
        self.reached = asyncio.Event()
        self.taken: list[bytes] = []

    async def talk(self, peer: Peer) -> None:
        await peer.say("220 localhost")
        while command := await peer.hear():
            verb = command.split(" ", maxsplit=1)[0].split(":")[0]
            if verb == "DATA":
                await peer.say("354 Go on")
                self.taken.append(await peer.hear_message())
            if self.silent_at == verb:
                self.silent_at = ""
                self.reached.set()
                await peer.stall()
                return
            await peer.say("221 Bye" if verb == "QUIT" else "250 OK")


@pytest.mark.slow
@pytest.mark.parametrize(("killed_at", "copies"), [("EHLO", 1), ("MAIL", 1), ("RCPT", 1), ("DATA", 2), ("QUIT", 1)])
async def test_message_survives_being_killed(tmp_path: Path, killed_at: str, copies: int) -> None:
    server = Server(killed_at)
    async with opened(tmp_path) as store:
        envelope = Envelope("a@example.com", ("b@example.com",))
        message = await Intake(store, SystemClock()).accept(ServiceId("smtp"), envelope, content())
    async with serving(server.talk) as state:
        command = (sys.executable, "-m", "tests.sending.plain", "send", str(tmp_path), str(state.port))
        process = await asyncio.create_subprocess_exec(*command)
        async with asyncio.timeout(20):
            await server.reached.wait()
        process.kill()
        await process.wait()
        await send_all(tmp_path, state.port)
    async with opened(tmp_path) as store:
        assert (await store.messages.get(message.id)).state is MessageState.ACCEPTED
    assert server.taken == [MESSAGE + b".\r\n"] * copies
