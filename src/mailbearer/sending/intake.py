"""Taking a message in: when this returns it is on the disk, row and content, and will be sent or reported."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime

from mailbearer.clock import Clock
from mailbearer.errors import InvalidInputError, StoreError
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import ServiceId
from mailbearer.observe.maillog import Verb, record
from mailbearer.sending.compose import HEADER_MAX, header_value, subject_of
from mailbearer.store.store import Store

SIZE_MAX = 150_000_000  # octets; Exchange Online takes 157,286,400 at most


class Intake:
    """Accepts messages into the queue. ``size_max`` is the largest message in octets."""

    def __init__(self, store: Store, clock: Clock, *, size_max: int = SIZE_MAX) -> None:
        self._store = store
        self._clock = clock
        self._size_max = size_max

    async def accept(
        self, service: ServiceId, envelope: Envelope, chunks: AsyncIterator[bytes], *, expected_size: int = 0
    ) -> QueuedMessage:
        """Store a message for ``service`` and return its row; both are durable then.

        Raises:
            InvalidInputError: MB-S19 it is too large; MB-W05 it is empty or holds NUL, which mail cannot carry.
            DiskFullError: there is no room; nothing of it is kept.
        """
        self._check_size(expected_size)
        identity = MessageId(secrets.token_hex(8))
        header = bytearray()
        async with self._store.spool.writer(identity, expected_size=expected_size) as content:
            async for chunk in chunks:
                self._check_size(content.size + len(chunk))
                if b"\0" in chunk:
                    raise InvalidInputError("MB-W05", field="message", problem="a NUL character; mail cannot carry it")
                if len(header) < HEADER_MAX:
                    header += chunk[: HEADER_MAX - len(header)]
                content.write(chunk)
            if not content.size:
                raise InvalidInputError("MB-W05", field="message", problem="it is empty")
        row = _row(identity, service, envelope, self._clock.now())
        message = _described(row, bytes(header), content.size)
        try:
            await self._store.messages.add(message)
        except StoreError:  # not when cancelled: the row may be there all the same, and a row needs its content
            await self._store.spool.remove(identity)
            raise
        record(Verb.QUEUED, identity, service=service, sender=envelope.reverse_path, size=content.size)
        return message

    def _check_size(self, size: int) -> None:
        if size > self._size_max:
            raise InvalidInputError("MB-S19", size=f"{size:,} bytes", limit=f"{self._size_max:,} bytes")


def _row(identity: MessageId, service: ServiceId, envelope: Envelope, now: datetime) -> QueuedMessage:
    return QueuedMessage(
        id=identity,
        service=service,
        envelope=envelope,
        size=0,
        message_id="",
        subject="",
        state=MessageState.WAITING,
        created_at=now,
        next_try=None,
        attempts=0,
        recipients=tuple(RecipientOutcome(address, RecipientState.WAITING) for address in envelope.recipients),
    )


def _described(message: QueuedMessage, start: bytes, size: int) -> QueuedMessage:
    """Return ``message`` with its size and what lists show of its header."""
    ends = [at for mark in (b"\r\n\r\n", b"\n\n") if (at := start.find(mark)) >= 0]
    header = start[: min(ends)] if ends else start
    return replace(message, size=size, message_id=header_value(header, b"message-id"), subject=subject_of(header))
