"""Taking a message in: once it is committed it is on the disk, row and content, and will be sent or reported."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from mailbearer.clock import Clock
from mailbearer.errors import InvalidInputError
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import ServiceId
from mailbearer.observe.maillog import Verb, record
from mailbearer.sending.compose import subject_of
from mailbearer.store.bodies import Body, NewBody
from mailbearer.store.messages import Lease
from mailbearer.store.store import Store

SIZE_MAX = 150_000_000  # octets; Exchange Online takes 157,286,400 at most
HEADER_SEEN = 64 * 1024  # octets; what lists show of a message must stand in the first of its header
HEADER_FIRST = 4 * 1024  # … and usually do in these
_MESSAGE_ID = re.compile(rb"\nmessage-id[ \t]*:((?:[^\n]|\n[ \t])*)", re.IGNORECASE)
_SUBJECT = re.compile(rb"\nsubject[ \t]*:[ \t]*([!-~][ -~]*)\r?\n(?![ \t])", re.IGNORECASE)
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")


class Intake:
    """Accepts messages into the queue. ``size_max`` is the largest message in octets, ``offer`` asks the courier."""

    def __init__(self, store: Store, clock: Clock, *, size_max: int = SIZE_MAX, offer: "Offer | None" = None) -> None:
        self._offer = offer
        self._store = store
        self._clock = clock
        self._size_max = size_max

    def begin(
        self, service: ServiceId, *, device: str = "", size_hint: int = 0, size_max: int | None = None
    ) -> "Acceptance":
        """Begin to take in a message for ``service``; ``size_hint`` is what was announced, 0 for nothing.

        ``size_max`` is a smaller limit than the general one.

        Raises:
            InvalidInputError: MB-S19, it is announced as too large.
            DiskFullError: there is no room for it.
        """
        limit = min(size_max, self._size_max) if size_max else self._size_max
        check_size(size_hint, limit)
        return Acceptance(
            self._store, self._clock, self._store.bodies.new(expected=size_hint), (service, device, limit, self._offer)
        )

    async def accept(
        self, service: ServiceId, envelope: Envelope, chunks: AsyncIterator[bytes], *, expected_size: int = 0
    ) -> QueuedMessage:
        """Store a message for ``service`` and return its row; both are durable then.

        Raises:
            InvalidInputError: MB-S19 it is too large; MB-W05 it is empty or holds NUL, which mail cannot carry.
            DiskFullError: there is no room; nothing of it is kept.
        """
        acceptance = self.begin(service, size_hint=expected_size)
        try:
            async for chunk in chunks:
                acceptance.write(chunk)
                if acceptance.congested:
                    await acceptance.drain()
            return await acceptance.commit(envelope)
        finally:
            await acceptance.abort()


class Place(Protocol):
    """Room at a courier for a message that is being accepted: it need not look for it in the queue afterwards."""

    @property
    def lease(self) -> Lease:
        """As whose the message is to be stored."""
        ...

    def take(self, message: QueuedMessage, body: Body) -> None:
        """Deliver the message, which is durable now."""
        ...

    def give_up(self) -> None:
        """Expect it no more."""
        ...


Offer = Callable[[ServiceId], Place | None]
"""Asks a courier whether it has room for a small message of a service."""


class Acceptance:
    """A message that is coming in.

    ``write`` what comes; while ``congested``, read nothing more and wait for ``drain``. It ends with ``commit`` or with
    ``abort``, which may follow a commit too, whatever became of that.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        body: NewBody,
        where: "tuple[ServiceId, str, int, Offer | None]",
    ) -> None:
        self._store = store
        self._clock = clock
        self._body = body
        self._service, self._device, self._size_max, self._offer = where
        self._header = b"\n"
        self._header_ended = False

    @property
    def size(self) -> int:
        """How many octets came in."""
        return self._body.size

    @property
    def congested(self) -> bool:
        """Whether the disk is behind, so that more would only fill the memory."""
        return self._body.congested

    def write(self, chunk: bytes) -> None:
        """Add octets of the message as they are to be sent: lines end with CRLF, no dots are doubled. Never waits.

        Raises:
            InvalidInputError: MB-S19 it grows too large; MB-W05 it holds NUL, which mail cannot carry.
            DiskFullError: there is no more room.
        """
        if self._body.size + len(chunk) > self._size_max:
            check_size(self._body.size + len(chunk), self._size_max)
        if b"\0" in chunk:
            raise InvalidInputError("MB-W05", field="message", problem="a NUL character; mail cannot carry it")
        if not self._header_ended:
            self._look_for_end(chunk)
        self._body.write(chunk)

    async def drain(self) -> None:
        """Wait until more may come.

        Raises:
            DiskFullError: there is no more room.
        """
        await self._body.drain()

    def commit(self, envelope: Envelope, prefix: bytes = b"") -> "asyncio.Future[QueuedMessage]":
        """Put the message, ``prefix`` before what was written, into the queue; it is durable when the future ends well.

        Cancelling that leaves open whether it is; ask the queue.

        Raises:
            InvalidInputError: MB-W05, it is empty.
            DiskFullError: there is no room; nothing of it is kept.
        """
        size = len(prefix) + self._body.size
        if not size:
            raise InvalidInputError("MB-W05", field="message", problem="it is empty")
        header = b"\n" + prefix + self._header[1:]
        end = _END_OF_HEADER.search(header)  # all of it may be in the prefix
        header = header if end is None else header[: end.start()]
        now = self._clock.now()
        body = self._body.small(prefix) if self._offer is not None else None
        place = self._offer(self._service) if self._offer is not None and body is not None else None
        message = QueuedMessage(
            id=new_id(int(now.timestamp())),
            service=self._service,
            envelope=envelope,
            size=size,
            message_id=_message_id(header),
            subject=_subject(header),
            state=MessageState.WAITING if place is None else MessageState.SENDING,
            created_at=now,
            next_try=None,
            attempts=0,
            recipients=tuple(RecipientOutcome(each, RecipientState.WAITING) for each in envelope.recipients),
            device=self._device,
        )
        lease = None if place is None else place.lease
        try:
            kept = self._store.messages.add(message, self._body, prefix=prefix, lease=lease)
        except BaseException:
            if place is not None:
                place.give_up()
            raise
        kept.add_done_callback(_note)
        if place is not None and body is not None:
            kept.add_done_callback(_hand_over(place, body))
        return kept

    async def abort(self) -> None:
        """Forget the message, unless it is committed."""
        self._body.abort()

    def _look_for_end(self, chunk: bytes) -> None:
        """Keep the header only; nearly always it ends in the first chunk."""
        header = self._header + chunk[: min(HEADER_FIRST, HEADER_SEEN - len(self._header))]
        end = _END_OF_HEADER.search(header)
        if end is None and len(chunk) > HEADER_FIRST:
            header = self._header + chunk[: HEADER_SEEN - len(self._header)]
            end = _END_OF_HEADER.search(header)
        self._header = header if end is None else header[: end.start()]
        self._header_ended = end is not None or len(header) >= HEADER_SEEN


def _hand_over(place: Place, body: Body) -> "Callable[[asyncio.Future[QueuedMessage]], None]":
    def heard(kept: "asyncio.Future[QueuedMessage]") -> None:
        if kept.cancelled() or kept.exception():  # of one that is kept all the same the lease runs out
            place.give_up()
        else:
            place.take(kept.result(), body)

    return heard


def _note(kept: "asyncio.Future[QueuedMessage]") -> None:
    if not (kept.cancelled() or kept.exception()):
        message = kept.result()
        record(
            Verb.QUEUED,
            message.id,
            service=message.service,
            device=message.device,
            sender=message.envelope.reverse_path,
            to=message.envelope.recipients[0],
            recipients=len(message.recipients) if len(message.recipients) > 1 else None,
            size=message.size,
            message_id=message.message_id,
        )


def new_id(seconds: int) -> MessageId:
    """Return a name for a message accepted ``seconds`` after 1970: names in order of time keep the indexes dense."""
    return MessageId(f"{seconds & 0xFFFFFFFF:08x}{secrets.token_hex(6)}")


def check_size(size: int, limit: int) -> None:
    """See whether a message of ``size`` octets may be taken.

    Raises:
        InvalidInputError: MB-S19, it may not.
    """
    if size > limit:
        raise InvalidInputError("MB-S19", size=f"{size:,} bytes", limit=f"{limit:,} bytes")


def _subject(header: bytes) -> str:
    """Return the decoded Subject of a header that has a line end before it; nearly always it is one plain line."""
    found = _SUBJECT.search(header)
    if found is None and b"\nsubject" not in header.lower():
        return ""
    if found is None or b"=?" in found[1]:
        return subject_of(header)
    return found[1].decode("ascii")[:200].strip()


def _message_id(header: bytes) -> str:
    """Return the Message-ID field of a header that has a line end before it, as printable text."""
    found = _MESSAGE_ID.search(header)
    if found is None:
        return ""
    text = found[1].decode("utf-8", "replace")
    text = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    return text[:998].strip()
