"""What all sessions of a listener share: its settings, and the rooms behind the door, as far as a session sees them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from mailbearer.clock import Clock
from mailbearer.listeners.device_auth import Authenticator
from mailbearer.listeners.limits import HourlyCount, Limits
from mailbearer.listeners.notice import Notice, nobody_hears
from mailbearer.listeners.sign_in import MECHANISMS
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.protocol.smtp.dialect import OLD_DEVICES, Dialect
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.sending.from_policy import Sender

T = TypeVar("T")

_EXTENSIONS: Final = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")

READ: Final = 65_536
"""Octets that are read at once."""


class Encryption(StrEnum):
    """How TLS begins on a port."""

    NONE = "none"
    STARTTLS = "starttls"
    IMPLICIT = "tls"
    BOTH = "both"  # whoever begins with TLS has it, the others are greeted and may say STARTTLS


class Acceptance(Protocol):
    """A message that is being stored. Whoever began it either commits or aborts it."""

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        """Add to the content, as it is to be stored; wait for what is returned, if anything is, before the next.

        Raises:
            InvalidInputError: it cannot be mail.
            StoreError: it cannot be kept.
        """
        ...

    def commit(self, envelope: Envelope) -> Awaitable[QueuedMessage]:
        """Make it durable: when this is done, the message is ours. A Future is cheapest: no task is made for it."""
        ...

    def abort(self) -> Awaitable[None]:
        """Forget it."""
        ...


class Intake(Protocol):
    """The way into the queue."""

    def begin(self, service: ServiceId, *, device: str, size_hint: int) -> Acceptance:
        """Begin a message.

        Raises:
            StoreError: nothing can be taken now.
        """
        ...


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """The settings of one submission listener. Empty ``networks`` let everybody connect."""

    host_name: str
    address: str = "127.0.0.1"
    port: int = 587
    encryption: Encryption = Encryption.STARTTLS
    networks: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()  # who must send a PROXY header
    passwords_in_clear: bool = False  # sign-in without TLS
    received_field: bool = True
    mark: str = ""  # of this installation, in Received fields: twice is a loop
    dialect: Dialect = OLD_DEVICES
    limits: Limits = field(default_factory=Limits)


class Desk:
    """What a session needs besides its connection. ``now`` is the monotonic time, to the second."""

    def __init__(
        self,
        options: ListenerOptions,
        *,
        authenticator: Authenticator,
        intake: Intake,
        sender_of: Callable[[ServiceId], Sender],
        clock: Clock,
        notice: Notice = nobody_hears,
    ) -> None:
        self.options = options
        self.limits = options.limits
        self.authenticator = authenticator
        self.intake = intake
        self.sender_of = sender_of
        self.notice = notice
        self.hourly = HourlyCount()  # or that of all listeners together
        self.errands = Errands()
        self.closing = False
        # A loop that makes bytes of 256 KiB for each read and cuts them to size spends more on that than on the mail.
        self.buffer = memoryview(bytearray(READ))
        self.greeting = Reply(220, "", (f"{options.host_name} ESMTP",))
        self.dialect_without_sign_in = replace(options.dialect, auth_after_helo=frozenset())
        self._hellos: dict[tuple[bool, bool, bool], Reply] = {}
        self._clock = clock
        self._date: tuple[float, bytes] = (-1.0, b"")
        self.now = clock.monotonic()

    def hello(self, *, esmtp: bool, sign_in: bool, encrypt: bool) -> Reply:
        """Return the answer to EHLO or HELO, made once."""
        asked = (esmtp, sign_in, encrypt)
        if asked not in self._hellos:
            lines = [self.options.host_name]
            if esmtp:
                lines += (f"SIZE {self.limits.size_max}", *_EXTENSIONS)
                lines += [f"AUTH {' '.join(MECHANISMS)}"] * sign_in + ["STARTTLS"] * encrypt
            self._hellos[asked] = Reply(250, "", tuple(lines))
        return self._hellos[asked]

    def tick(self) -> None:
        """Look at the clock; done once a second, for all sessions."""
        self.now = self._clock.monotonic()

    def wall(self) -> datetime:
        """Return the wall time."""
        return self._clock.now()

    def date(self) -> bytes:
        """Return the date for a header (RFC 5322 section 3.3), made once a second."""
        if self._date[0] != self.now:
            self._date = (self.now, format_datetime(self._clock.now()).encode())
        return self._date[1]


class Errands:
    """Work that a session waits for without stopping the loop. One that fails concerns its session and no other.

    (A TaskGroup would end them all with the first exception.)
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, work: Awaitable[T], done: Callable[[asyncio.Future[T]], None]) -> None:
        """Call ``done`` with the finished future of ``work``, in a turn of the loop of its own."""
        if isinstance(work, asyncio.Future):
            work.add_done_callback(done)
            return
        task = asyncio.get_running_loop().create_task(_awaited(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(done)

    async def finish(self) -> None:
        """Wait for all that is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)


async def _awaited(work: Awaitable[T]) -> T:
    return await work
