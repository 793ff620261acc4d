"""A listener with an intake in memory, for tests."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mailbearer.clock import Clock, SystemClock
from mailbearer.errors import ConflictError, MailbearerError
from mailbearer.listeners.desk import Desk, Encryption, ListenerOptions
from mailbearer.listeners.limits import Limits
from mailbearer.listeners.listener import Listener, listening
from mailbearer.model.device import Device, DeviceId, FromPolicy
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.sending.from_policy import Sender
from tests.fakes.net_certificates import authority

COPIER = Device(
    DeviceId("copier"), "Copier 3F", ServiceId("smtp"), networks=("127.0.0.0/8",), by_address=True,
    from_policy=FromPolicy.AS_IS,
)  # fmt: skip
NAS = replace(COPIER, id=DeviceId("nas"), title="NAS", by_address=False)
WHEN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


@dataclass
class Stored:
    service: str
    device: str
    envelope: Envelope
    content: bytes


class MemoryAcceptance:
    def __init__(self, intake: "MemoryIntake", service: str, device: str) -> None:
        self.intake = intake
        self.service = service
        self.device = device
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        if self.intake.write_error is not None:
            raise self.intake.write_error
        self.chunks.append(chunk)
        return self.intake.pause() if self.intake.slow else None

    def commit(self, envelope: Envelope) -> Awaitable[QueuedMessage]:
        return self.intake.commit(self, envelope)

    async def abort(self) -> None:
        self.intake.aborted += 1


@dataclass
class MemoryIntake:
    """Keeps what it is given; each way to fail can be switched on."""

    stored: list[Stored] = field(default_factory=list)
    aborted: int = 0
    slow: bool = False
    begin_error: MailbearerError | None = None
    write_error: MailbearerError | None = None
    commit_error: Exception | None = None
    pause_error: MailbearerError | None = None
    gate: asyncio.Event | None = None

    def begin(self, service: ServiceId, *, device: str, size_hint: int) -> MemoryAcceptance:  # noqa: ARG002 - the shape of the protocol
        if self.begin_error is not None:
            raise self.begin_error
        return MemoryAcceptance(self, service, device)

    async def pause(self) -> None:
        await asyncio.sleep(0)
        if self.pause_error is not None:
            raise self.pause_error

    async def commit(self, acceptance: MemoryAcceptance, envelope: Envelope) -> QueuedMessage:
        if self.gate is not None:
            await self.gate.wait()
        if self.commit_error is not None:
            raise self.commit_error
        content = b"".join(acceptance.chunks)
        self.stored.append(Stored(acceptance.service, acceptance.device, envelope, content))
        return replace(queued(f"m{len(self.stored)}", envelope, len(content)), created_at=SystemClock().now())


def queued(identity: str, envelope: Envelope, size: int) -> QueuedMessage:
    return QueuedMessage(
        MessageId(identity), ServiceId("smtp"), envelope, size, "<x@y>", "", MessageState.WAITING, WHEN, None, 0, ()
    )


@dataclass
class Devices:
    """Says who is who: ``nas`` with the password ``secret``, and the copier by its address."""

    by_address: Device | None = None
    device: Device | None = field(default_factory=lambda: NAS)
    overrun: bool = False
    gate: asyncio.Event | None = None

    async def check(self, user: str, password: Secret, address: str) -> Device | None:  # noqa: ARG002 - the shape of the protocol
        if self.gate is not None:
            await self.gate.wait()
        if self.overrun:
            raise ConflictError("MB-W02")
        return self.device if (user, password.reveal()) == ("nas", "secret") else None

    def known(self, address: str) -> Device | None:  # noqa: ARG002 - the shape of the protocol
        return self.by_address

    def current(self, device: DeviceId) -> Device | None:
        return self.device if self.device is not None and self.device.id == device else None


@dataclass
class Room:
    """Everything around a listener; ``notices`` are the codes of what the administrator was told."""

    options: ListenerOptions = field(
        default_factory=lambda: ListenerOptions(
            "gate.example", port=0, encryption=Encryption.NONE, passwords_in_clear=True
        )
    )
    intake: MemoryIntake = field(default_factory=MemoryIntake)
    devices: Devices = field(default_factory=lambda: Devices(by_address=COPIER))
    sender: Sender = field(default_factory=lambda: Sender("Harbour Clinic", "scan@clinic.example"))
    clock: Clock = field(default_factory=SystemClock)
    notices: list[str] = field(default_factory=list)

    def but(self, **changes: object) -> "Room":
        self.options = replace(self.options, **changes)  # type: ignore[arg-type]
        return self

    def limited(self, **changes: float) -> "Room":
        return self.but(limits=replace(Limits(), **changes))  # type: ignore[arg-type]

    def desk(self) -> Desk:
        return Desk(
            self.options,
            authenticator=self.devices,
            intake=self.intake,
            sender_of=lambda _service: self.sender,
            clock=self.clock,
            notice=lambda code, **_facts: self.notices.append(code),
        )

    @contextlib.asynccontextmanager
    async def open(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
        async with listening(self.desk(), self.clock, context) as listener:
            yield listener


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority("Harbour Clinic Test CA").ca_file)


class Peer:
    """A client by hand: sends what it is told, reads replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext | None = None) -> "Peer":
        name = "localhost" if context is not None else None
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))

    def send(self, *lines: bytes) -> None:
        self.writer.write(b"".join(line + b"\r\n" for line in lines))

    async def reply(self) -> str:
        """Return the next reply, all its lines."""
        async with asyncio.timeout(10):
            lines: list[str] = []
            while True:
                line = (await self.reader.readline()).decode()
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return "\n".join(lines)

    async def ask(self, *lines: bytes) -> str:
        """Send and return the reply to each line, the last one."""
        answer = ""
        for line in lines:
            self.send(line)
            answer = await self.reply()
        return answer

    async def rest(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname="localhost")

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def peer(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """A client that has read the greeting."""
    found = await Peer.connect(port, context)
    try:
        assert (await found.reply()).startswith("220 ")
        yield found
    finally:
        await found.close()
