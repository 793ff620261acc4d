"""What an outbox has in its hands, and the room that it offers to messages that are being accepted."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from mailbearer.errors import StoreError
from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.observe.maillog import Verb
from mailbearer.sending.lane import Desk, Ended
from mailbearer.store.bodies import Bodies, Body
from mailbearer.store.messages import Lease

HEARTBEAT = 20.0  # seconds between two renewals of a lease
BODIES_AHEAD = 1_000_000  # octets of contents that are read with a block
_log = logging.getLogger(__name__)
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

    async def read_ahead(self, messages: Sequence[QueuedMessage], bodies: Bodies) -> None:
        """Get the contents of small messages at once."""
        wanted, room = list[MessageId](), BODIES_AHEAD
        for message in messages:
            if message.id in self.bodies:
                continue
            if message.size > room:
                break
            room -= message.size
            wanted.append(message.id)
        if not wanted:
            return
        try:
            self.bodies |= await bodies.find_all(wanted)
        except StoreError as error:
            _log.warning("contents were not read ahead: %s", error)

    async def hold_on(self, desk: Desk, lines: Callable[[], tuple[str, ...]], lease: timedelta) -> None:
        """Hold on to messages and lines; a store that fails for now is no reason to break a delivery off."""
        while True:
            await desk.clock.sleep(HEARTBEAT)
            until = desk.clock.now() + lease
            try:
                await desk.store.outcomes.extend_leases(tuple(self.leased), owner=desk.owner, until=until)
                await desk.limiter.keep(lines())
            except StoreError as error:
                _log.warning("leases were not renewed: %s", error)


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
