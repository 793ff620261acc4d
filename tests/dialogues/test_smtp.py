"""Transcripts of whole sessions, played twice: to the core in memory, and to a listener on a socket.

``C:`` is what the client sends (\\r \\n \\0 \\t \\xff are written so; CR LF ends a line that does not end with \\c).
``S:`` is a line of what it is answered; ``...`` in it stands for anything.
``M:`` is how a message ends that was taken; there are no others.
``E:`` says that the connection is closed then.

In ``starttls/`` encryption is offered, and needed to sign in. Lines of ``#`` say what it is about.
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mailbearer.errors import RemoteProtocolError
from mailbearer.listeners.desk import Encryption
from mailbearer.protocol.smtp.dialect import OLD_DEVICES
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import SmtpServer
from mailbearer.protocol.smtp.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    Body,
    BodyEnd,
    Challenge,
    DataAsked,
    Event,
    Hello,
    QuitAsked,
    StartTlsAsked,
)  # fmt: skip
from tests.fakes.net_certificates import server_context
from tests.listeners.room import COPIER, Devices, Peer, Room

FOLDER = Path(__file__).parent / "smtp"
DIALOGUES = sorted(FOLDER.rglob("*.txt"), key=lambda path: path.name)
ESCAPES = {r"\r": b"\r", r"\n": b"\n", r"\0": b"\0", r"\t": b"\t", r"\\": b"\\"}
EXTENSIONS = ("SIZE 35000000", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """``turns`` are what is sent each time, and the lines that follow."""

    turns: list[tuple[bytes, list[str]]]
    ends: bool
    messages: list[bytes]

    def taken(self, contents: list[bytes]) -> bool:
        """Tell whether ``contents`` are the messages that were to be taken."""
        return len(contents) == len(self.messages) and all(map(bytes.endswith, contents, self.messages))


def unescaped(text: str) -> bytes:
    parts = re.split(r"(\\(?:[rn0t\\]|x[0-9a-f]{2}))", text)
    return b"".join(_unescaped(part) if index % 2 else part.encode() for index, part in enumerate(parts))


def _unescaped(escape: str) -> bytes:
    return ESCAPES[escape] if escape in ESCAPES else bytes.fromhex(escape[2:])


def read_dialogue(path: Path) -> Dialogue:
    turns: list[tuple[bytes, list[str]]] = [(b"", [])]
    messages: list[bytes] = []
    kinds: set[str] = set()
    for line in path.read_text().splitlines():
        kind, text = line[:2], line[2:].removeprefix(" ")
        kinds.add(kind)
        if kind == "C:":
            data = unescaped(text) + b"\r\n" if not text.endswith("\\c") else unescaped(text[:-2])
            if turns[-1][1]:
                turns.append((data, []))
            else:
                turns[-1] = (turns[-1][0] + data, [])
        elif kind == "S:":
            turns[-1][1].append(text.strip())
        elif kind == "M:":
            messages.append(unescaped(text))
    assert kinds <= {"C:", "S:", "M:", "E:"} | {kind for kind in kinds if kind[:1] == "#"}, path
    return Dialogue(turns, "E:" in kinds, messages)


def fits(expected: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, expected.split("..."))), line) is not None


class Owner:
    """Answers events as a listener does, without policy; NAS is who knows the password."""

    def __init__(self, *extensions: str) -> None:
        self.extensions = extensions
        self.signing: list[bytes] = []
        self.body = b""
        self.messages: list[bytes] = []

    def decide(self, event: Event) -> Reply | Challenge:  # noqa: PLR0911 - one for each kind of event
        """Answer ``event``."""
        match event:
            case Hello(esmtp=True):
                return Reply(250, "", ("gate.example", *EXTENSIONS, *self.extensions))
            case AuthAsked(initial=data) | AuthGiven(data=data):
                return self.sign_in(event, data)
            case AuthCancelled():
                return Reply(501, "5.7.0", ("Cancelled",))
            case StartTlsAsked():
                return Reply(220, "2.0.0", ("Go on",))
            case DataAsked():
                self.body = b""
                return Reply(354, "", ("Go on",))
            case BodyEnd():
                return self.keep(event)
            case QuitAsked():
                return Reply(221, "2.0.0", ("Bye",))
            case Bad(reply=reply):
                return reply
            case _:
                return Reply(250, "2.0.0", ("OK",))

    def sign_in(self, event: AuthAsked | AuthGiven, data: bytes | None) -> Reply | Challenge:
        """Ask for what is missing, and look at the last response."""
        if isinstance(event, AuthAsked):
            self.signing = [b"Username:", b"Password:"] if event.mechanism == "LOGIN" else [b""]
            self.signing = self.signing[data is not None :]
            if data is None or self.signing:
                return Challenge(self.signing.pop(0))
        elif self.signing:
            return Challenge(self.signing.pop(0))
        right = data is not None and data.rstrip(b"\0").endswith(b"secret")
        return Reply(235, "2.7.0", ("Welcome",)) if right else Reply(535, "5.7.8", ("No",))

    def keep(self, event: BodyEnd) -> Reply:
        """Take a message that is one."""
        if event.nul or not event.size:
            return Reply(554, "5.6.0", ("It cannot be taken",))
        if event.oversize:
            return Reply(552, "5.3.4", ("Too large",))
        self.messages.append(self.body)
        return Reply(250, "2.0.0", ("OK",))


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_the_core_answers_as_written(path: Path) -> None:
    dialogue = read_dialogue(path)
    starttls = path.parent.name == "starttls"
    owner = Owner("STARTTLS" if starttls else "AUTH PLAIN LOGIN")
    dialect = replace(OLD_DEVICES, auth_after_helo=frozenset()) if starttls else OLD_DEVICES
    core = SmtpServer(dialect=dialect, size_max=35_000_000)
    said = core.send(Reply(220, "", ("gate.example ESMTP",)))
    for data, expected in dialogue.turns:
        with contextlib.suppress(RemoteProtocolError):  # injected behind STARTTLS; the owner hangs up
            core.receive(data)
            while (event := core.next_event()) is not None:
                if isinstance(event, Body):
                    owner.body += event.chunk
                else:
                    said += core.send(owner.decide(event))
        lines = said.decode().split("\r\n")[:-1]
        assert [line[:4].strip() for line in lines] == [line[:4].strip() for line in expected], data
        said = b""
    assert core.over or not dialogue.ends
    assert dialogue.taken(owner.messages), owner.messages


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
async def test_a_listener_answers_as_written(path: Path) -> None:
    dialogue = read_dialogue(path)
    starttls = path.parent.name == "starttls"
    room = Room(devices=Devices(by_address=replace(COPIER))).but(
        encryption=Encryption.STARTTLS if starttls else Encryption.NONE,
        passwords_in_clear=not starttls,
        dialect=OLD_DEVICES,
    )
    async with room.open(server_context() if starttls else None) as listener, asyncio.timeout(10):
        client = await Peer.connect(listener.port)
        for data, expected in dialogue.turns:
            client.writer.write(data)
            for line in expected:
                found = (await client.reader.readline()).decode().rstrip()
                assert fits(line, found), (line, found)
        if dialogue.ends:
            assert await client.reader.read() == b""
        await client.close()
    assert dialogue.taken([stored.content for stored in room.intake.stored]), room.intake.stored
