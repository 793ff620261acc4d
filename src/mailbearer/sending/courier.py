"""The courier: takes what is due out of the queue, service by service, and writes down how each attempt ended.

One line for each service is kept open while mail waits for it, so mail of a service leaves in the order in which it was
accepted. A message is leased while it is on its way; a courier that dies lets go of it within ``LEASE``.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Self

from mailbearer.clock import Clock
from mailbearer.errors import ConnectionLostError, MailbearerError, ServerRefusedError, StoreError
from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.observe.maillog import Verb, record
from mailbearer.sending.relay import Line, Relay
from mailbearer.sending.verdicts import Fate, Turn, after_delivery, after_failure, fate_of, fate_of_line
from mailbearer.store.store import Store

LEASE = timedelta(seconds=60)
HEARTBEAT = 20.0  # seconds between two renewals of a lease
LOOK = 30.0  # seconds; other processes put mail into the queue too
OVERDUE = 1.0  # seconds until the next look when something is due that nobody could take
STORE_PAUSE = 5.0  # seconds before a store that failed is tried again
GRACE = timedelta(seconds=20)  # how long a delivery may go on after the courier was told to stop
SERVICES_MAX = 50  # services served at the same moment
KEEP_ROWS = timedelta(days=30)  # how long finished messages stay in the log
HOUSEKEEPING = timedelta(hours=1)
_log = logging.getLogger(__name__)
_VERBS = {
    MessageState.ACCEPTED: Verb.ACCEPTED,
    MessageState.RETRYING: Verb.RETRYING,
    MessageState.HELD: Verb.HELD,
    MessageState.FAILED: Verb.FAILED,
}
OnFailed = Callable[[QueuedMessage], Awaitable[None]]


async def _nobody(_: QueuedMessage) -> None:
    """Tell nobody of a message that failed."""


class Courier:
    """Delivers the queue. ``on_failed`` hears of every message that was given up, after that was written down."""

    def __init__(
        self, store: Store, relay: Relay, clock: Clock, *, on_failed: OnFailed = _nobody, grace: timedelta = GRACE
    ) -> None:
        self._store = store
        self._relay = relay
        self._clock = clock
        self._on_failed = on_failed
        self._grace = grace
        self._owner = secrets.token_hex(8)
        self._woken = asyncio.Event()
        self._lanes: dict[ServiceId, asyncio.Task[None]] = {}
        self._stopping = False
        self._next_housekeeping = clock.now()

    def wake(self) -> None:
        """Look at the queue now."""
        self._woken.set()

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
                if self._lanes:
                    await asyncio.wait(self._lanes.values(), timeout=self._grace.total_seconds())

    async def deliver_now(self, message: MessageId) -> QueuedMessage:
        """Try one message at once and return it as it is then; for a command when no service runs."""
        now = self._clock.now()
        claimed = await self._store.messages.claim(message, now=now, owner=self._owner, lease_until=now + LEASE)
        if claimed is not None:
            async with _Lane(self, claimed.service) as lane:
                await lane.attempt(claimed)
        return await self._store.messages.get(message)

    async def flush(self) -> int:
        """Deliver everything that is due, once; return how many messages were tried."""
        tried = 0
        while True:
            due = await self._store.messages.services_due(self._clock.now())
            now_tried = sum([await self._serve(service) for service in due])
            tried += now_tried
            if not now_tried:
                return tried

    async def _look(self, tasks: asyncio.TaskGroup) -> float:
        """Start a lane for each service that has something due; return the seconds until the next look."""
        try:
            if self._clock.now() >= self._next_housekeeping:
                await self._tidy()
            for service in await self._store.messages.services_due(self._clock.now()):
                if service not in self._lanes and len(self._lanes) < SERVICES_MAX:
                    self._lanes[service] = tasks.create_task(self._lane(service), name=f"send {service}")
            return await self._seconds_to_next()
        except StoreError as error:
            _log.error("the queue cannot be read: %s", error)  # a full or broken disk, not a fault of this code
            return STORE_PAUSE

    async def _seconds_to_next(self) -> float:
        due = await self._store.messages.next_due_at()
        if due is None:
            return LOOK
        seconds = (due - self._clock.now()).total_seconds()
        return min(seconds, LOOK) if seconds > 0 else OVERDUE  # a lane that ends wakes us earlier

    async def _ring_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()

    async def _lane(self, service: ServiceId) -> None:
        try:
            await self._serve(service)
        except Exception as error:  # noqa: BLE001 - whatever it is, mail of other services goes on
            _log.error("mail of %s waits: %s", service, error, exc_info=not isinstance(error, StoreError))
            if not self._stopping:
                await self._clock.sleep(STORE_PAUSE)
        finally:
            del self._lanes[service]
            self._woken.set()

    async def _serve(self, service: ServiceId) -> int:
        """Deliver what is due of ``service``, in order; return how many messages were tried."""
        tried = 0
        async with _Lane(self, service) as lane:
            while not self._stopping:
                now = self._clock.now()
                claimed = await self._store.messages.claim_due(
                    now=now, owner=self._owner, lease_until=now + LEASE, limit=1, service=service
                )
                if not claimed:
                    break
                await lane.attempt(claimed[0])
                tried += 1
        return tried

    async def _tidy(self) -> None:
        """Forget what is long finished, and contents that no row names."""
        now = self._clock.now()
        self._next_housekeeping = now + HOUSEKEEPING
        try:
            for message in await self._store.messages.forget(now - KEEP_ROWS):
                await self._store.spool.remove(message)
            await self._store.spool.sweep(await self._store.messages.ids())
        except (StoreError, OSError) as error:
            _log.warning("the queue was not tidied: %s", error)

    async def finish(self, message: QueuedMessage) -> None:
        """Write down how an attempt ended, however long that takes: forgotten, the message would be sent again."""
        while (written := await self._written(message)) is None:
            try:
                await self._clock.sleep(STORE_PAUSE)
            except asyncio.CancelledError:
                await self._written(message)
                raise
        if not written:
            _log.warning("%s was taken by another process while it was %s here", message.id, message.state)
            return
        record(_VERBS[message.state], message.id, code=message.code, reply=message.reply, next_try=message.next_try)
        await self._after(message)

    async def put_back(self, message: QueuedMessage) -> None:
        """Let go of a message whose attempt was broken off; it is due at once."""
        state = MessageState.RETRYING if message.attempts else MessageState.WAITING
        if await self._written(replace(message, state=state, next_try=None)):
            record(Verb.RELEASED, message.id)

    async def keep_leased(self, message: MessageId) -> None:
        """Hold on to a message until cancelled; a store that fails for now is no reason to break a delivery off."""
        while True:
            await self._clock.sleep(HEARTBEAT)
            until = self._clock.now() + LEASE
            try:
                await self._store.messages.extend_lease(message, owner=self._owner, lease_until=until)
            except StoreError as error:
                _log.warning("the lease of %s was not renewed: %s", message, error)

    async def _after(self, message: QueuedMessage) -> None:
        try:
            if message.state is MessageState.ACCEPTED:
                await self._store.spool.remove(message.id)
            if message.state is MessageState.FAILED:
                await self._on_failed(message)
        except MailbearerError as error:
            _log.warning("%s is %s, but what follows from it failed: %s", message.id, message.state, error)

    async def _written(self, message: QueuedMessage) -> bool | None:
        """Write down how a message is; tell whether it was still ours, None when that could not be done."""
        try:
            return await self._store.messages.set_outcome(message, owner=self._owner)
        except StoreError as error:
            _log.error("%s is %s, which cannot be written down: %s", message.id, message.state, error)
            return None

    @property
    def relay(self) -> Relay:
        """What opens lines."""
        return self._relay

    @property
    def clock(self) -> Clock:
        """What tells the time."""
        return self._clock


class _Lane:
    """The line to the servers of one service, opened when the first message needs it."""

    def __init__(self, courier: Courier, service: ServiceId) -> None:
        self._courier = courier
        self._service = service
        self._line: Line | None = None
        self._closed: Fate | None = None  # why no line can be had: everything due waits for the same reason
        self._draw = secrets.randbelow(1_000_001) / 1_000_000  # one for all, so that their order survives the pause

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._line is not None:
            await self._line.session.quit()

    async def attempt(self, message: QueuedMessage) -> None:
        """Try ``message`` and write down how it ended; cancelled before that is known, it goes back into the queue."""
        async with asyncio.TaskGroup() as tasks:
            heartbeat = tasks.create_task(self._courier.keep_leased(message.id))
            try:
                await self._courier.finish(await self._ended(message))
            finally:
                heartbeat.cancel()

    async def _ended(self, message: QueuedMessage) -> QueuedMessage:
        """Return ``message`` as it is after one attempt."""
        reused = self._line is not None
        try:
            line = await self._open()
            if isinstance(line, Fate):
                return self._failed(message, line)
            outcomes = await self._courier.relay.deliver(line, message)
        except asyncio.CancelledError:
            await self._drop_line()
            await self._courier.put_back(message)
            raise
        except MailbearerError as error:
            provider = self._line.provider if self._line is not None else None
            await self._drop_line()
            if reused and _ended_before(error):
                return await self._ended(message)  # this time on a line of its own
            if error.code == "MB-S35":
                record(Verb.UNCERTAIN, message.id, message_id=message.message_id)
            return self._failed(message, fate_of(error, provider))
        except Exception:  # noqa: BLE001 - a message that we cannot handle must not stop those behind it
            _log.exception("the attempt at %s met a fault of this program", message.id)
            await self._drop_line()
            return self._failed(message, Fate(Turn.RETRY, MailbearerError.default_code))
        return after_delivery(message, outcomes, line.provider, now=self._courier.clock.now(), draw=self._draw)

    def _failed(self, message: QueuedMessage, fate: Fate) -> QueuedMessage:
        return after_failure(message, fate, now=self._courier.clock.now(), draw=self._draw)

    async def _open(self) -> Line | Fate:
        """Return the line, or what becomes of messages because there is none."""
        if self._closed is None and self._line is None:
            try:
                self._line = await self._courier.relay.open(self._service)
            except MailbearerError as error:
                self._closed = fate_of_line(error, await self._courier.relay.provider_of(self._service))
        return self._line or self._closed or Fate(Turn.RETRY, MailbearerError.default_code)

    async def _drop_line(self) -> None:
        """Close the line: after an error it is not known what the server thinks."""
        if self._line is not None:
            line, self._line = self._line, None
            await line.session.close()


def _ended_before(error: MailbearerError) -> bool:
    """Did the server end a line that it had served before, and surely has nothing of this message?"""
    match error:
        case ConnectionLostError(code="MB-S32"):
            return True
        case ServerRefusedError(reply=reply):
            return reply.startswith("421")
        case _:
            return False
