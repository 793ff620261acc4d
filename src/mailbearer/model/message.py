"""Messages in the queue, and items that were received."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from mailbearer.model.envelope import Envelope
from mailbearer.model.service import ServiceId

MessageId = NewType("MessageId", str)  # ours, for the queue; not the Message-ID field


class MessageState(StrEnum):
    """Queue states (DESIGN section 2)."""

    WAITING = "Waiting"
    SENDING = "Sending"
    RETRYING = "Retrying"
    HELD = "Held"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    ACCEPTED = "Accepted"


LIVING = (MessageState.WAITING, MessageState.SENDING, MessageState.RETRYING, MessageState.HELD)


class RecipientState(StrEnum):
    """How far one recipient is."""

    WAITING = "Waiting"
    ACCEPTED = "Accepted"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """One recipient and the provider's last word on it."""

    address: str
    state: RecipientState
    reply: str = ""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A row of the queue. The content is kept under the same id."""

    id: MessageId
    service: ServiceId
    envelope: Envelope
    size: int
    message_id: str  # the Message-ID field, with angle brackets
    subject: str  # for lists; at most 200 characters
    state: MessageState
    created_at: datetime
    next_try: datetime | None
    attempts: int
    recipients: tuple[RecipientOutcome, ...]
    code: str = ""  # MB-S17 …: why it waits
    reply: str = ""  # the provider's last words
    device: str = ""  # the id of the device that it came from; empty: one of our own ways

    @property
    def facts(self) -> dict[str, object]:
        """What the sentence of ``code`` may name; of several recipients the first that was refused."""
        refused = (each.address for each in self.recipients if each.state is RecipientState.REFUSED)
        return {
            "reply": self.reply,
            "recipient": next(refused, ""),
            "size": f"{self.size:,} bytes",
            "device": self.device,
            "next_try": "" if self.next_try is None else f"{self.next_try:at %H:%M UTC on %Y-%m-%d}",
        }


@dataclass(frozen=True, slots=True)
class ReceivedItem:
    """One message that was handed over, or set aside."""

    id: str
    service: ServiceId
    uidl: str
    at: datetime
    size: int
    sender: str
    subject: str
    destinations: tuple[str, ...]  # where it went, as written in the settings
    state: str  # Filed
