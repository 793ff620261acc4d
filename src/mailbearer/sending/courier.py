"""The courier: sees what is due, and lets an outbox for each service deliver it (docs/decisions/0016-courier-pool.md).

A message is leased while it is on its way; a courier that dies lets go of it within ``LEASE``.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from mailbearer.clock import Clock
from mailbearer.errors import MailbearerError, StoreError
from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.sending.intake import Place
from mailbearer.sending.lane import Desk, Ended
from mailbearer.sending.limits import Limiter
from mailbearer.sending.outbox import LEASE, STORE_PAUSE, Outbox
from mailbearer.sending.relay import Relay
from mailbearer.store.outcomes import Told
from mailbearer.store.store import Store

LOOK = 30.0  # seconds; other processes put mail into the queue too
OVERDUE = 1.0  # seconds until the next look when something is due that nobody could take
GRACE = timedelta(seconds=20)  # how long a delivery may go on after the courier was told to stop
SERVICES_MAX = 50  # services served at the same moment
KEEP_ROWS = timedelta(days=30)  # how long finished messages stay in the log
HOUSEKEEPING = timedelta(hours=1)
DELAYED = timedelta(hours=4)  # after so long the sender hears that a message is late; as Exchange and Postfix do
_log = logging.getLogger(__name__)
OnMessage = Callable[[QueuedMessage], Awaitable[None]]


async def _nobody(_: QueuedMessage) -> None:
    """Tell nobody of a message."""


class Courier:
    """Delivers the queue.

    ``on_failed`` hears of every message that was given up, after that was written down and, should it fail, again
    later; ``on_delayed`` once of one that is late although the server can be reached; ``on_relayed`` of one that was
    accepted by a server which reports nothing by itself.
    """

    def __init__(  # noqa: PLR0913 - three of them are one kind of thing
        self,
        store: Store,
        relay: Relay,
        clock: Clock,
        *,
        on_failed: OnMessage = _nobody,
        on_delayed: OnMessage = _nobody,
        on_relayed: OnMessage = _nobody,
        grace: timedelta = GRACE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_failed = on_failed
        self._on_delayed = on_delayed
        self._on_relayed = on_relayed
        self._grace = grace
        limiter = Limiter(store.allowances, clock)
        self._desk = Desk(store, relay, limiter, clock, secrets.token_hex(8), self._after)
        self._woken = asyncio.Event()
        self._outboxes: dict[ServiceId, Outbox] = {}
        self._tasks: dict[ServiceId, asyncio.Task[None]] = {}
        self._stopping = False
        self._next_housekeeping = clock.now()

    def wake(self, service: ServiceId | None = None) -> None:
        """Look at the queue now; at the mail of ``service`` only, if it is known that there is some."""
        outbox = self._outboxes.get(service) if service is not None else None
        if outbox is not None:
            outbox.poke()
        else:
            self._woken.set()

    def try_again(self) -> None:
        """Look at the queue now, and try lines again that could not be had a moment ago: a person says so."""
        for outbox in self._outboxes.values():
            outbox.try_again()
        self._woken.set()

    def reopen(self, service: ServiceId) -> None:
        """Look at the mail of ``service`` with new eyes: its token is another one."""
        outbox = self._outboxes.get(service)
        if outbox is not None:
            outbox.reopen()
        self.wake()

    def offer(self, service: ServiceId) -> Place | None:
        """Return room for a message that is being accepted; None when it is to wait its turn in the queue."""
        outbox = self._outboxes.get(service)
        return None if outbox is None else outbox.offer()

    async def run(self) -> None:
        """Deliver until cancelled.

        No message is begun any more then. What is on its way may finish for ``grace``; what does not goes back into the
        queue, due at once.
        """
        self._stopping = False
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    self._woken.clear()
                    alarm = tasks.create_task(self._ring_after(await self._look(tasks)))
                    await self._woken.wait()
                    alarm.cancel()
            finally:
                self._stopping = True
                for outbox in self._outboxes.values():
                    outbox.stop()
                if self._tasks:
                    await asyncio.wait(self._tasks.values(), timeout=self._grace.total_seconds())

    async def deliver_now(self, message: MessageId) -> QueuedMessage:
        """Try one message at once and return it as it is then; for a command when no service runs."""
        now = self._clock.now()
        desk = self._hasty_desk()
        claimed = await self._store.messages.claim(message, now=now, owner=desk.owner, lease_until=now + LEASE)
        if claimed is not None:
            await Outbox(desk, claimed.service).run((claimed,), only=True)
        return await self._store.messages.get(message)

    async def flush(self) -> int:
        """Deliver everything that is due, once, as far as the limits let it; return how many messages were tried."""
        tried = 0
        desk = self._hasty_desk()
        while True:
            due = await self._store.messages.services_due(self._clock.now())
            now_tried = sum([await Outbox(desk, service).run() for service in due])
            tried += now_tried
            if not now_tried:
                return tried

    def _hasty_desk(self) -> Desk:
        """Return a desk that waits for nothing; what it leases is not our outboxes'."""
        return replace(self._desk, patient=False, owner=secrets.token_hex(8))

    async def _look(self, tasks: asyncio.TaskGroup) -> float:
        """Start an outbox for each service that has something due; return the seconds until the next look."""
        try:
            if self._clock.now() >= self._next_housekeeping:
                await self._tidy()
            for service in await self._store.messages.services_due(self._clock.now()):
                if service in self._outboxes:
                    self._outboxes[service].poke()
                elif len(self._outboxes) < SERVICES_MAX:
                    outbox = self._outboxes[service] = Outbox(self._desk, service)
                    self._tasks[service] = tasks.create_task(self._serve(outbox), name=f"send {service}")
            return await self._seconds_to_next()
        except StoreError as error:
            _log.error("the queue cannot be read: %s", error)  # a full or broken disk, not a fault of this code
            return STORE_PAUSE

    async def _seconds_to_next(self) -> float:
        due = await self._store.messages.next_due_at()
        if due is None:
            return LOOK
        seconds = (due - self._clock.now()).total_seconds()
        return min(seconds, LOOK) if seconds > 0 else OVERDUE  # an outbox that ends wakes us earlier

    async def _ring_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()

    async def _serve(self, outbox: Outbox) -> None:
        service = outbox.service
        try:
            await outbox.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, mail of other services goes on
            _log.error("mail of %s waits: %s", service, error, exc_info=not isinstance(error, StoreError))
            if not self._stopping:
                await self._clock.sleep(STORE_PAUSE)
        finally:
            del self._outboxes[service], self._tasks[service]
            self._woken.set()

    async def _tidy(self) -> None:
        """Forget what is long finished, and contents that no row names; tell senders who were not told."""
        now = self._clock.now()
        self._next_housekeeping = now + HOUSEKEEPING
        try:
            for message in await self._store.outcomes.untold():
                await self._tell_failed(message)
            for message_id in await self._store.messages.forget(now - KEEP_ROWS):
                await self._store.spool.remove(message_id)
            await self._store.spool.sweep(await self._store.messages.ids())
            await self._store.bodies.sweep()
            await self._store.allowances.forget(now)
        except (StoreError, OSError) as error:
            _log.warning("the queue was not tidied: %s", error)

    async def _after(self, ended: Ended) -> None:
        """Do what follows from the end of an attempt."""
        message = ended.message
        match message.state:
            case MessageState.FAILED:
                await self._tell_failed(message)
            case MessageState.RETRYING if ended.heard and self._clock.now() - message.created_at >= DELAYED:
                if await self._store.outcomes.told(message.id) is Told.NOTHING:
                    await self._on_delayed(message)
                    await self._store.outcomes.set_told(message.id, Told.DELAYED)
            case MessageState.ACCEPTED:
                if not ended.dsn:
                    await self._on_relayed(message)
            case _:
                return
        self.wake(message.service)  # for the report

    async def _tell_failed(self, message: QueuedMessage) -> None:
        try:
            await self._on_failed(message)
        except StoreError:
            raise
        except MailbearerError as error:  # it would not become better
            _log.warning("nobody can be told that %s failed: %s", message.id, error)
        await self._store.outcomes.set_told(message.id, Told.FAILED)
