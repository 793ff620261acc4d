"""Everything that leaves for one service: claimed in blocks, dealt to lanes, its outcomes written down together.

Mail of one device goes on one lane, in the order of acceptance; another lane is opened only when there is work for it.
Lines stay open for a while after the last message. Until an outcome is written down its message stays leased.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from mailbearer.errors import MailbearerError, StoreError
from mailbearer.model.message import MessageId, MessageState, QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.observe.maillog import Verb, record
from mailbearer.sending.lane import Desk, Ended, Lane
from mailbearer.sending.limits import throttle_in
from mailbearer.sending.relay import Way
from mailbearer.sending.verdicts import Fate, after_failure, fate_of_line
from mailbearer.sending.work import VERBS, Place, Work, cancel
from mailbearer.store.bodies import Body
from mailbearer.store.messages import Lease

LEASE = timedelta(seconds=60)
BLOCK = 50  # messages that are claimed at once
AHEAD = 4 * BLOCK  # messages that are leased at most, those included whose outcome is not yet written down
CLOSED = 30.0  # seconds for which no line is tried after none could be had; shorter than any pause of a message
TOGETHER = 1.0  # seconds in which mail that comes meanwhile is gathered, to be put off together
KEEP_OPEN = 30.0  # seconds that lines wait for more mail; Exchange Online itself waits minutes
DIRECT = 64  # small messages that come straight from their acceptance, with contents in memory
LOOK_AGAIN = 1.0  # seconds after which settings are looked at again, which a message from the queue does
GATHER = 0.01  # seconds in which outcomes are gathered, to be written down together
PATIENCE = 0.005  # … and which these wait for a commit that is made anyway
STORE_PAUSE = 5.0  # seconds before a store that failed is tried again
WORTH_A_LINE = 4  # messages that wait on a lane before another one is opened …
WORTH_A_LINE_SIZE = 256 * 1024  # … or octets
_log = logging.getLogger(__name__)


class Outbox:
    """The mail of one service on its way; ``run`` once."""

    def __init__(self, desk: Desk, service: ServiceId) -> None:
        self.desk = desk
        self.service = service
        self.stopping = False
        self.tried = 0
        self.draw = secrets.randbelow(1_000_001) / 1_000_000  # one for all, so that their order survives a pause
        self.closed: Fate | None = None  # why no line can be had: everything due waits for the same reason
        self._work = Work()
        self._lanes: list[Lane] = []
        self._most = 1
        self._way: Way | None = None
        self._more = True  # there may be more in the queue than was claimed
        self._backlog = False  # … and that is a lot
        self._sorting = False  # what was claimed or has arrived is on its way to the lanes
        self._expected = 0  # messages that are being accepted for us
        self._arrived: list[QueuedMessage] = []  # … and those that were, but must wait for what is before them
        self._arrivals = 0
        self._looked_at = -LOOK_AGAIN
        self._rest_until: datetime | None = None
        self._closed_at: float | None = None
        self._reopened = False
        self._tasks: asyncio.TaskGroup
        self._stirred = asyncio.Event()
        self._to_write = asyncio.Event()
        self._enough = asyncio.Event()
        self._finished = False

    def poke(self) -> None:
        """Look at the queue: there is mail, or the outbox is to stop."""
        self._more = True
        self._stirred.set()

    def reopen(self) -> None:
        """Hear that a token came: what was held for want of one, also a moment ago, is tried."""
        self._reopened = self._reopened or self.closed is not None
        self.poke()

    def try_again(self) -> None:
        """Hear that somebody wants mail to be tried now, whatever was the matter a moment ago."""
        self._closed_at = None if self.closed is None else -CLOSED
        self.poke()

    def stop(self) -> None:
        """Begin nothing any more."""
        self.stopping = True
        self._stirred.set()
        self._enough.set()
        for lane in self._lanes:
            lane.poke()

    def offer(self) -> Place | None:
        """Return room for a message that is being accepted: it is leased from its birth, and never looked for.

        What it might overtake in the queue is dealt to the lanes before it.
        """
        open_ = self._way is not None and self.closed is None and not (self._backlog or self.resting or self.stopping)
        room = min(AHEAD - len(self._work.leased), DIRECT - len(self._work.bodies)) - self._expected
        if not open_ or room <= 0 or self.desk.clock.monotonic() - self._looked_at > LOOK_AGAIN:
            return None
        self._expected += 1
        return Place(self, Lease(self.desk.owner, self.desk.clock.now() + LEASE))

    def took(self, message: QueuedMessage, body: Body) -> None:
        """Deliver a message for which there was room."""
        self._expected -= 1
        self._arrivals += 1
        self._work.bodies[message.id] = body
        if message.id in self._work.leased:  # it was found in the queue a moment ago
            return
        self._work.leased[message.id] = message
        waits = self._more or self._sorting or self._arrived or self.stopping or self.resting
        if not (waits or self.closed is not None or any(lane.over for lane in self._lanes)):
            self._lane_for(message.device).add(message)
        else:
            self._arrived.append(message)
            self._stirred.set()

    def gave_up(self) -> None:
        """Expect a message no more."""
        self._expected -= 1
        self._stirred.set()

    async def run(self, first: Sequence[QueuedMessage] = (), *, only: bool = False) -> int:
        """Deliver ``first`` and, unless they are the ``only`` ones, what is due; return how many were tried."""
        self._work.leased.update({message.id: message for message in first})
        self._more = not only
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                writer, heart = (
                    tasks.create_task(self._write_down()),
                    tasks.create_task(self._work.hold_on(self.desk, self._lines, LEASE)),
                )
                try:
                    await self._deal(first)
                    await self._attend()
                    await self._end(writer)
                finally:
                    self.stop()
                    cancel(heart, writer)  # after a fault the group cancels lanes; a second time would cut them short
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            await self._let_go_of_all()
        return self.tried

    async def _end(self, writer: "asyncio.Task[None]") -> None:
        """Let lanes finish what they have begun and say goodbye, and write everything down."""
        self.stop()
        while self._expected:
            self._stirred.clear()
            await self._stirred.wait()
        tasks = [lane.task for lane in self._lanes if lane.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        self._finished = True
        self._to_write.set()
        await asyncio.wait([writer])

    # -- what lanes call ------------------------------------------------------------------------------------------

    def ended(self, ended: Ended) -> None:
        """Take note how an attempt ended; it is written down with others soon."""
        self._work.bodies.pop(ended.message.id, None)
        self._work.ended.append(ended)
        self._to_write.set()
        if len(self._work.ended) >= BLOCK:
            self._enough.set()
        self.tried += 1

    async def body_of(self, message: MessageId) -> Body:
        """Return the content of a message, mostly at hand already."""
        return self._work.bodies.pop(message, None) or await self.desk.store.bodies.find(message)

    async def way(self) -> Way:
        """Return how mail of the service leaves."""
        if self._way is None:
            self._way = await self.desk.relay.way_of(self.service)
        return self._way

    def outdated(self, way: Way) -> bool:
        """Tell whether mail leaves another way by now: the settings were changed."""
        return self._way is not None and way is not self._way

    def turned_away(self, lane: Lane, error: MailbearerError) -> None:
        """Take note that no line can be had: the others carry on, or everything waits for the same reason."""
        others = sum(each.connected for each in self._lanes if each is not lane)
        if others:
            self._most = others
            lane.over = True  # what waits there goes to them
            return
        self.closed = fate_of_line(error, None if self._way is None else self._way.provider)
        self._stirred.set()

    def rest(self, until: datetime) -> None:
        """Begin nothing before ``until``: a limit, or the provider, says so."""
        self._rest_until = until if self._rest_until is None else max(until, self._rest_until)
        self._stirred.set()

    @property
    def resting(self) -> bool:
        """Is nothing to be begun now."""
        return self._rest_until is not None

    async def complained(self, reply: str, *, rest: bool = True) -> None:
        """Obey a provider that says that we are too fast."""
        way = self._way
        pause = None if way is None else throttle_in(reply, way.provider)
        if way is None or pause is None:
            return
        try:
            await self.desk.limiter.slow_down(way.account, pause)
        except StoreError as error:
            _log.warning("the pace of %s was not written down: %s", way.account.key, error)
        self._most = min(self._most, self.desk.limiter.lines_of(way.account))
        until = self.desk.limiter.pause_until(way.account)
        if rest and until is not None:
            self.rest(until)

    def idle(self) -> None:
        """Hear of a lane that has nothing to do, or room for more."""
        waited_for = self._more or self._arrived or self.resting or self.stopping or not self._work.leased
        if waited_for or any(lane.over for lane in self._lanes):
            self._stirred.set()

    # -- the rounds -----------------------------------------------------------------------------------------------

    async def _attend(self) -> None:
        while not self.stopping:
            self._stirred.clear()
            if self._rest_until is not None:
                if not await self._rest(self._rest_until):
                    return
                continue
            if self.closed is not None:
                await self._fail_waiting(self.closed)
                if await self._to_be_opened():
                    continue
            if await self._sort():
                continue
            if not (self._more or self._busy or self._work.leased or self._expected):  # all of it is written down
                if not await (self._linger() if self.closed is None else self._stay_closed()):
                    return
                continue
            await self._stirred.wait()

    async def _to_be_opened(self) -> bool:
        """Tell whether a line may be had again: after a while, and at once when a token came."""
        now = self.desk.clock.monotonic()
        self._closed_at = now if self._closed_at is None else self._closed_at
        if self._work.leased or not (self._reopened or now - self._closed_at >= CLOSED):
            return False  # first all that was put off is written down
        renewed, self._reopened = self._reopened, False
        self.closed, self._closed_at, self._more = None, None, True
        if renewed:
            await self.desk.store.messages.release_held(self.service, now=self.desk.clock.now())
        return True

    async def _stay_closed(self) -> bool:
        """Wait until a line may be tried again, or there is mail to be put off; False when there is no more to do."""
        left = CLOSED - (self.desk.clock.monotonic() - (self._closed_at or 0.0))
        if left <= 0 or not self.desk.patient:
            return False
        await self._sleep(left)
        if left > TOGETHER and not (self._reopened or self.stopping or (self._closed_at or 0.0) < 0):
            await self._sleep(TOGETHER, whatever=True)
        return True

    def _lines(self) -> tuple[str, ...]:
        return tuple(lane.name for lane in self._lanes if lane.name)

    @property
    def _waiting(self) -> int:
        return sum(lane.waiting for lane in self._lanes)

    @property
    def _busy(self) -> bool:
        return any(lane.busy for lane in self._lanes)

    async def _sort(self) -> bool:
        """Give the lanes what is not on one, oldest first; tell whether anything was looked for in the queue."""
        self._sorting = True
        try:
            await self._deal(self._returned())
            if self._more and not self._reopened and self._waiting < BLOCK and len(self._work.leased) < AHEAD:
                await self._claim()
                return True
            while self._arrived and (not self._more or self.closed is not None):  # then it is put off with the rest
                arrived, self._arrived = self._arrived, []
                await self._deal(arrived, look=False)
            return False
        finally:
            self._sorting = False

    def _returned(self) -> list[QueuedMessage]:
        """Forget the lanes that are over and return what waits there, which is older than what comes."""
        over = [lane for lane in self._lanes if lane.over]
        self._lanes = [lane for lane in self._lanes if not lane.over]
        return [message for lane in over for message in lane.clear()]

    async def _claim(self) -> None:
        self._more = False  # a poke while this waits says that there is more again
        desk, now = self.desk, self.desk.clock.now()
        on_lanes = self._work.leased.keys() - {message.id for message in self._arrived}
        claimed = await desk.store.messages.claim_due(
            now=now, owner=desk.owner, lease_until=now + LEASE, limit=BLOCK, service=self.service, but_not=on_lanes
        )
        found = {message.id for message in claimed}  # and with it what arrived meanwhile, in its place
        self._arrived = [message for message in self._arrived if message.id not in found]
        self._backlog = len(claimed) >= BLOCK
        self._more = self._more or self._backlog
        self._work.leased.update({message.id: message for message in claimed})
        await self._deal(claimed)

    async def _deal(self, messages: Sequence[QueuedMessage], *, look: bool = True) -> None:
        """Give messages to lanes, with their contents as far as they are small."""
        if not messages:
            return
        if look:
            await self._look_at_settings()
        if self.closed is not None:
            self._fail(messages, self.closed)
            return
        await self._work.read_ahead(messages, self.desk.store.bodies)
        of_device: dict[str, list[QueuedMessage]] = {}
        for message in (*self._returned(), *messages):
            of_device.setdefault(message.device, []).append(message)
        for device, mail in of_device.items():
            lane = self._lane_for(device)
            for message in mail:
                lane.add(message)

    async def _look_at_settings(self) -> None:
        """Find out how mail leaves; settings that were changed mean new lines."""
        try:
            way = await self.desk.relay.way_of(self.service)
        except MailbearerError as error:
            self.closed = fate_of_line(error, None)
            return
        except Exception:  # noqa: BLE001 - a fault of this program must not make mail go round and round
            _log.exception("the settings of %s met a fault of this program", self.service)
            self.closed = fate_of_line(MailbearerError(), None)
            return
        if self._way is None or way != self._way:
            if not self._reopened:  # else held mail is released first
                self.closed = self._closed_at = None  # it may be cured
            self._most = self.desk.limiter.lines_of(way.account)
            self._way = way
        self._looked_at = self.desk.clock.monotonic()

    def _lane_for(self, device: str) -> Lane:
        lanes = [lane for lane in self._lanes if not lane.over]
        same = next((lane for lane in lanes if lane.has(device)), None)
        if same is not None:
            return same
        best = min(lanes, key=lambda lane: (lane.size, lane.waiting), default=None)
        worth = best is None or best.waiting >= WORTH_A_LINE or best.size >= WORTH_A_LINE_SIZE
        if best is None or (worth and len(lanes) < self._most):
            best = Lane(self)
            best.task = self._tasks.create_task(best.run())
            self._lanes.append(best)
        return best

    def _fail(self, messages: Sequence[QueuedMessage], fate: Fate) -> None:
        now = self.desk.clock.now()
        for message in messages:
            self.ended(Ended(after_failure(message, fate, now=now, draw=self.draw), heard=False))

    async def _fail_waiting(self, fate: Fate) -> None:
        for lane in self._lanes:
            self._fail(lane.clear(), fate)

    async def _rest(self, until: datetime) -> bool:
        """Let go of what was not begun, wait until then; tell whether to go on."""
        await self._end_lanes_gently()
        waiting = [message.id for lane in self._lanes for message in lane.clear()]
        await self._let_go(waiting)
        self._more = True
        if not self.desk.patient:
            return False
        seconds = (until - self.desk.clock.now()).total_seconds()
        if seconds > 0:
            await self._sleep(seconds)
            if self.stopping:
                return False
            if self._rest_until is not None and self._rest_until > self.desk.clock.now():
                return True
        self._rest_until = None
        return True

    async def _end_lanes_gently(self) -> None:
        """Wait until no lane is in the middle of a message."""
        while any(lane.sending for lane in self._lanes) and not self.stopping:
            await self._stirred.wait()
            self._stirred.clear()

    async def _linger(self) -> bool:
        """Keep the lines open for more mail; tell whether some came."""
        if not self.desk.patient or not any(lane.connected for lane in self._lanes):
            return False
        arrivals = self._arrivals
        await self._sleep(KEEP_OPEN)
        return self._more or bool(self._expected) or self._arrivals != arrivals

    async def _sleep(self, seconds: float, *, whatever: bool = False) -> None:
        """Wait, but no longer than until something happens; ``whatever`` happens, but for a stop or a token."""
        alarm = self._tasks.create_task(self._ring_after(seconds))
        try:
            await self._stirred.wait()
            while whatever and not (alarm.done() or self.stopping or self._reopened):
                self._stirred.clear()
                await self._stirred.wait()
        finally:
            alarm.cancel()

    async def _ring_after(self, seconds: float) -> None:
        await self.desk.clock.sleep(seconds)
        self._stirred.set()

    # -- what is written down -------------------------------------------------------------------------------------

    async def _write_down(self) -> None:
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            if self.desk.patient:
                await self._gather()
            while self._work.ended:
                batch, self._work.ended = self._work.ended, []
                try:
                    await self._write(batch)
                except BaseException:
                    self._work.ended = [*batch, *self._work.ended]
                    raise
            if self._finished:
                return

    async def _gather(self) -> None:
        """Wait a moment for more outcomes, unless there are many or somebody waits for the end."""
        self._enough.clear()
        if not self.stopping and len(self._work.ended) < BLOCK:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER):
                    await self._enough.wait()

    async def _write(self, batch: list[Ended]) -> None:
        """Write down how attempts ended, however long that takes: forgotten, messages would be sent again."""
        while not await self._written(batch):
            await self.desk.clock.sleep(STORE_PAUSE)

    async def _written(self, batch: list[Ended]) -> bool:
        messages = [ended.message for ended in batch]
        try:
            patience = PATIENCE if self.desk.patient and not self.stopping else 0.0
            kept = await self.desk.store.outcomes.set_all(messages, owner=self.desk.owner, patience=patience)
        except StoreError as error:
            _log.error("%d outcomes, of %s and others, cannot be written down: %s", len(batch), messages[0].id, error)
            return False
        for ended, is_ours in zip(batch, kept, strict=True):
            message = ended.message
            self._work.leased.pop(message.id, None)
            if not is_ours:
                _log.warning("%s was taken by another process while it was %s here", message.id, message.state)
                continue
            record(VERBS[message.state], message.id, code=message.code, reply=message.reply, next_try=message.next_try)
            if message.state is not MessageState.ACCEPTED or message.envelope.dsn is not None:
                await self._follow_up(ended)
        self._stirred.set()
        return True

    async def _follow_up(self, ended: Ended) -> None:
        try:
            await self.desk.on_ended(ended)
        except MailbearerError as error:
            _log.warning("%s is %s, but what follows from it failed: %s", ended.message.id, ended.message.state, error)

    async def _let_go(self, messages: Sequence[MessageId]) -> None:
        if not messages:
            return
        try:
            await self.desk.store.outcomes.let_go(messages, owner=self.desk.owner)
        except StoreError as error:
            _log.warning("%d messages wait until their lease ends: %s", len(messages), error)
        for message in messages:
            self._work.leased.pop(message, None)
            self._work.bodies.pop(message, None)
            record(Verb.RELEASED, message)

    async def _let_go_of_all(self) -> None:
        """Write down what ended, and let go of the rest; it is due at once."""
        batch, self._work.ended = self._work.ended, []
        if batch and not await self._written(batch):
            for ended in batch:
                self._work.leased.pop(ended.message.id, None)  # its lease runs out
        await self._let_go(list(self._work.leased))
