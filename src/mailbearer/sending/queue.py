"""What a person does to the queue: look, retry, hold, cancel, flush."""

from collections.abc import Callable
from dataclasses import replace

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError
from mailbearer.model.message import LIVING, MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.observe.maillog import Verb, record
from mailbearer.store.store import Store

_WAITING = (MessageState.WAITING, MessageState.RETRYING, MessageState.HELD)


class Queue:
    """The queue as a person sees it; ``wake`` calls the courier."""

    def __init__(self, store: Store, clock: Clock, wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    async def list(self, *, everything: bool, limit: int) -> tuple[QueuedMessage, ...]:
        """Return messages, oldest first: those that wait longest, or the newest of all."""
        if everything:
            return (await self._store.messages.list(limit=limit, newest_first=True))[::-1]
        return await self._store.messages.list(states=LIVING, limit=limit)

    async def count(self, *, everything: bool) -> int:
        """Return how many messages wait, or there are in all."""
        counts = await self._store.messages.counts()
        return sum(count for state, count in counts.items() if everything or state in LIVING)

    async def show(self, identity: str) -> QueuedMessage:
        """Return one message."""
        return await self._store.messages.get(MessageId(identity))

    async def retry(self, identity: str) -> QueuedMessage:
        """Make a message due now; one that failed and still has its content is tried again too."""
        message = await self.show(identity)
        if message.state is not MessageState.FAILED:
            return await self._move(identity, _WAITING, MessageState.WAITING, Verb.RELEASED)
        afresh = tuple(
            RecipientOutcome(each.address, RecipientState.WAITING) if each.state is RecipientState.REFUSED else each
            for each in message.recipients
        )
        if not await self._store.messages.again(replace(message, recipients=afresh)):
            raise ConflictError("MB-W32", id=identity, state=(await self.show(identity)).state)
        record(Verb.RELEASED, message.id)
        self._wake()
        return await self.show(identity)

    async def hold(self, identity: str) -> QueuedMessage:
        """Hold a message until somebody says retry."""
        return await self._move(identity, _WAITING, MessageState.HELD, Verb.HELD)

    async def cancel(self, identity: str) -> QueuedMessage:
        """Take a message out of the queue."""
        message = await self._move(identity, (*_WAITING, MessageState.FAILED), MessageState.CANCELLED, Verb.CANCELLED)
        await self._store.spool.remove(message.id)
        return message

    async def flush(self) -> int:
        """Make everything due now but what a person holds; return how many messages that are."""
        count = await self._store.messages.make_due(now=self._clock.now())
        self._wake()
        return count

    async def _move(
        self, identity: str, among: tuple[MessageState, ...], to: MessageState, verb: Verb
    ) -> QueuedMessage:
        message = await self.show(identity)
        moved = await self._store.messages.change_state(message.id, among=among, to=to)
        if not moved:
            raise ConflictError("MB-W32", id=identity, state=(await self.show(identity)).state)
        record(verb, message.id)
        if to is MessageState.WAITING:
            self._wake()
        return await self.show(identity)
