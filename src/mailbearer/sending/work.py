"""What an outbox has in its hands, and the room that it offers to messages that are being accepted."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.observe.maillog import Verb
from mailbearer.sending.lane import Ended
from mailbearer.store.bodies import Body
from mailbearer.store.messages import Lease

VERBS = {
    MessageState.ACCEPTED: Verb.ACCEPTED,
    MessageState.RETRYING: Verb.RETRYING,
    MessageState.HELD: Verb.HELD,
    MessageState.FAILED: Verb.FAILED,
}


@dataclass
class Work:
    """What is leased: waiting on lanes or on its way, and what ended and is not yet written down."""

    leased: dict[MessageId, QueuedMessage] = field(default_factory=dict[MessageId, QueuedMessage])
    ended: list[Ended] = field(default_factory=list[Ended])
    bodies: dict[MessageId, Body] = field(default_factory=dict[MessageId, Body])


class Taker(Protocol):
    """Who gives room to messages that are being accepted."""

    def took(self, message: QueuedMessage, body: Body) -> None:
        """Deliver a message for which there was room."""
        ...

    def gave_up(self) -> None:
        """Expect a message no more."""
        ...


class Place:
    """Room for a message that is being accepted."""

    __slots__ = ("_outbox", "lease")

    def __init__(self, outbox: "Taker", lease: Lease) -> None:
        self._outbox = outbox
        self.lease = lease

    def take(self, message: QueuedMessage, body: Body) -> None:
        """Deliver the message, which is durable now."""
        self._outbox.took(message, body)

    def give_up(self) -> None:
        """Expect it no more."""
        self._outbox.gave_up()


def cancel(*tasks: "asyncio.Task[None] | None") -> None:
    """Cancel those of ``tasks`` that there are."""
    for task in tasks:
        if task is not None:
            task.cancel()
