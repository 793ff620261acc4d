"""One lane of an outbox: a line to the provider, and the messages that go on it one after the other.

The end of a message and the beginning of the next one are one flight, so a message costs one round trip.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from mailbearer.clock import Clock
from mailbearer.errors import ConnectionLostError, MailbearerError, ServerRefusedError, SignInRefusedError
from mailbearer.model.envelope import DsnWishes, Envelope
from mailbearer.model.message import MessageId, MessageState, QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.net.smtp import Submission
from mailbearer.observe.maillog import Verb, record
from mailbearer.sending.limits import Limiter, line_worn_out, throttle_in
from mailbearer.sending.relay import Line, Parcel, Relay, Way
from mailbearer.sending.verdicts import Fate, Turn, after_delivery, after_failure, fate_of, waiting_recipients
from mailbearer.store.allowances import Taken
from mailbearer.store.bodies import Body
from mailbearer.store.store import Store

TURN = 20  # messages until a line is left to another service of the same account that waits for one
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the outboxes of one courier share. ``patient``: a service, which waits for limits; not a command."""

    store: Store
    relay: Relay
    limiter: Limiter
    clock: Clock
    owner: str
    on_ended: "OnEnded"
    patient: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """A message as it is after an attempt. ``heard``: the server spoke about it; ``dsn``: it reports on its own."""

    message: QueuedMessage
    heard: bool = True
    dsn: bool = False


OnEnded = Callable[[Ended], Awaitable[None]]


class Outbox(Protocol):
    """What a lane asks of, and tells, the outbox that it belongs to."""

    desk: Desk
    stopping: bool
    closed: Fate | None
    draw: float

    @property
    def resting(self) -> bool:
        """Is nothing to be begun now."""
        ...

    def stop(self) -> None:
        """Begin nothing any more."""
        ...

    def ended(self, ended: Ended) -> None:
        """Take note how an attempt ended."""
        ...

    async def body_of(self, message: MessageId) -> Body:
        """Return the content of a message."""
        ...

    async def way(self) -> Way:
        """Return how mail of the service leaves."""
        ...

    def outdated(self, way: Way) -> bool:
        """Tell whether mail leaves another way by now."""
        ...

    def turned_away(self, lane: "Lane", error: MailbearerError) -> None:
        """Take note that no line can be had."""
        ...

    def rest(self, until: datetime) -> None:
        """Begin nothing before ``until``."""
        ...

    async def complained(self, reply: str, *, rest: bool = True) -> None:
        """Obey a provider that says that we are too fast."""
        ...

    def idle(self) -> None:
        """Hear of a lane that has nothing to do."""
        ...


class _NoLineError(Exception):
    """Others have all the lines that the account may have."""


@dataclass(slots=True)
class _Trip:
    """A message and how far it is: a message to very many recipients goes in several transactions."""

    message: QueuedMessage
    rest: tuple[str, ...]
    outcomes: tuple[RecipientOutcome, ...] = field(default=())

    def arrived(self, parcel: Parcel, outcomes: tuple[RecipientOutcome, ...]) -> None:
        """Take note of what was said of the recipients of ``parcel``."""
        if len(outcomes) == len(parcel.recipients):
            self.rest = self.rest[len(outcomes) :]
        else:
            answered = {outcome.address for outcome in outcomes}
            self.rest = tuple(each for each in self.rest if each not in answered)
        self.outcomes += outcomes


class Lane:
    """A task of ``outbox``. ``name`` is that of its open line in the store, empty when there is none."""

    def __init__(self, outbox: Outbox) -> None:
        self.task: asyncio.Task[None] | None = None
        self.name = ""
        self.sending = False
        self.over = False
        self._outbox = outbox
        self._desk = outbox.desk
        self._queue: deque[QueuedMessage] = deque()
        self._devices: Counter[str] = Counter()
        self._size = 0
        self._line: Line | None = None
        self._on_line = 0  # messages since it was opened
        self._ahead: Parcel | None = None  # what was begun on the line already
        self._stirred = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait on this lane."""
        return len(self._queue)

    @property
    def size(self) -> int:
        """How many octets they have."""
        return self._size

    @property
    def busy(self) -> bool:
        """Is there anything to do."""
        return self.sending or bool(self._queue)

    @property
    def connected(self) -> bool:
        """Is its line open."""
        return self._line is not None

    def has(self, device: str) -> bool:
        """Tell whether mail of ``device`` is on this lane."""
        return self._devices[device] > 0

    def add(self, message: QueuedMessage) -> None:
        """Let a message wait here."""
        self._queue.append(message)
        self._devices[message.device] += 1
        self._size += message.size
        self._stirred.set()

    def clear(self) -> list[QueuedMessage]:
        """Return what waits, which does no more then; a message that is on its way stays."""
        kept = [self._queue.popleft()] if self.sending else []
        messages = [*self._queue]
        self._queue.clear()
        self._devices.clear()
        self._size = 0
        for message in kept:
            self.add(message)
        return messages

    def poke(self) -> None:
        """Look around: something changed."""
        self._stirred.set()

    async def run(self) -> None:
        """Send until the outbox stops."""
        try:
            while await self._wait_for_work():
                self.sending = True
                try:
                    await self._attempt(self._queue[0])
                finally:
                    self.sending = False
                    self._outbox.idle()
        except _NoLineError:
            self._outbox.stop()
        finally:
            self.over = True
            await self._end_line()
            self._outbox.idle()

    async def _wait_for_work(self) -> bool:
        while not self._outbox.stopping and not self.over:
            self._stirred.clear()
            if self._line is not None and (
                self._line.session.spent or self._outbox.outdated(self._line.way) or self._should_yield()
            ):
                await self._end_line()
            if self._queue and self._outbox.closed is None and not self._outbox.resting:
                return True
            await self._stirred.wait()
        return False

    def _should_yield(self) -> bool:
        if self._line is None or not self._desk.limiter.crowded(self._line.way.account):
            return False
        return not self._queue or self._on_line >= TURN

    async def _attempt(self, message: QueuedMessage) -> None:
        """Try ``message``, the first that waits, and tell the outbox how it ended."""
        trip = _Trip(message, waiting_recipients(message))
        try:
            ended = await self._carried(trip)
        except asyncio.CancelledError:
            await self._drop_line()
            raise
        except MailbearerError as error:
            ended = await self._failed(trip, error)
        except _NoLineError:
            raise
        except Exception:  # noqa: BLE001 - a message that we cannot handle must not stop those behind it
            _log.exception("the attempt at %s met a fault of this program", message.id)
            await self._drop_line()
            ended = self._after_failure(trip, Fate(Turn.RETRY, MailbearerError.default_code))
        if ended is not None:
            self._done(message, ended)

    def _done(self, message: QueuedMessage, ended: QueuedMessage) -> None:
        line = self._line
        if self._queue and self._queue[0] is message:
            self._queue.popleft()
            self._devices[message.device] -= 1
            self._size -= message.size
        self._outbox.ended(Ended(ended, dsn=line is not None and line.session.extensions.dsn))

    async def _carried(self, trip: _Trip) -> QueuedMessage | None:
        """Return the message as it is after it was handed over; None when it is to wait."""
        message = trip.message
        way = await self._outbox.way()
        limit = way.account.limits.size
        if limit and message.size > limit:
            fields = {"size": f"{message.size:,} bytes", "limit": f"{limit:,} bytes"}
            raise ServerRefusedError("MB-S19", host=way.service.id, **fields)
        if self._ahead is not None and self._ahead.message is not message:
            await self._forget_ahead(self._ahead)
        if not await self._opened():
            return None
        while trip.rest:
            parcel = self._taken_ahead(message)
            if parcel is None:
                packed = await self._packed(message, trip.rest)
                if isinstance(packed, Taken):
                    return self._put_off(trip, packed)
                parcel = packed
            last = len(parcel.recipients) == len(trip.rest)
            outcomes = await self._deliver(parcel, await self._following() if last else None)
            trip.arrived(parcel, outcomes)
            await self._settle(parcel, outcomes)
        now = self._desk.clock.now()
        return after_delivery(message, trip.outcomes, way.provider, now=now, draw=self._outbox.draw)

    async def _packed(self, message: QueuedMessage, rest: tuple[str, ...]) -> Parcel | Taken:
        """Return the next parcel of a message; a Taken of nothing when a limit stands before it."""
        way, limiter = await self._outbox.way(), self._desk.limiter
        wanted = rest[: way.account.limits.recipients_per_message or None]
        free = limiter.take_free(way.account)
        taken = Taken(len(wanted)) if free else await limiter.take(way.account, len(wanted))
        if not taken.recipients:
            return taken
        body = await self._outbox.body_of(message.id)
        envelope = _envelope(message, wanted[: taken.recipients])
        offered = self._line.session.extensions if self._line is not None else None
        eight_bit = not body.is_ascii and (offered is None or offered.eight_bit)
        return Parcel(message, Submission(envelope, message.size, eight_bit=eight_bit), body, taken)

    def _taken_ahead(self, message: QueuedMessage) -> Parcel | None:
        """Return what was packed of ``message`` while the one before it was on its way."""
        if self._ahead is None or self._ahead.message is not message:
            return None
        parcel, self._ahead = self._ahead, None
        return parcel

    async def _following(self) -> Parcel | None:
        """Return what comes next on this line, if it is certain that anything does."""
        outbox = self._outbox
        if len(self._queue) < 2 or outbox.stopping or outbox.resting or self._should_yield():
            return None
        message = self._queue[1]
        way = await outbox.way()
        if way.account.limits.size and message.size > way.account.limits.size:
            return None
        if self._ahead is not None and self._ahead.message is message:  # the line before this one was cut off
            return self._ahead
        try:
            packed = await self._packed(message, waiting_recipients(message))
        except MailbearerError:  # it will be told when its turn comes
            return None
        self._ahead = packed if isinstance(packed, Parcel) else None
        return self._ahead

    async def _forget_ahead(self, parcel: Parcel) -> None:
        """Take back what was begun: its message waits elsewhere."""
        self._ahead = None
        await self._drop_line()
        await self._desk.limiter.correct(parcel.taken, 0)

    async def _deliver(self, parcel: Parcel, following: Parcel | None) -> tuple[RecipientOutcome, ...]:
        reused = self._on_line > 0
        line = self._line
        if line is None:
            raise ConnectionLostError("MB-S32")
        try:
            outcomes = await self._desk.relay.deliver(line, parcel, following)
        except MailbearerError as error:
            if line.session.spent or not _is_settled(error):
                await self._drop_line()
            if not (reused and _ended_before(error) and throttle_in(_reply_of(error), line.way.provider) is None):
                raise
            if not await self._opened():
                raise
            return await self._deliver(parcel, following)  # this time on a line of its own
        self._on_line += 1
        if line.session.spent:
            await self._drop_line()
            refused = tuple(outcome for outcome in outcomes if outcome.state is RecipientState.REFUSED)
            worn_out = any(line_worn_out(each.reply) for each in outcomes if each.state is RecipientState.WAITING)
            if refused and worn_out and await self._opened():
                return refused  # the others go on the new line
        return outcomes

    async def _settle(self, parcel: Parcel, outcomes: tuple[RecipientOutcome, ...]) -> None:
        got = sum(outcome.state is RecipientState.ACCEPTED for outcome in outcomes)
        if got < len(outcomes):
            await self._desk.limiter.correct(parcel.taken, got)
            for outcome in outcomes:
                if outcome.state is RecipientState.WAITING:
                    await self._outbox.complained(outcome.reply)

    def _put_off(self, trip: _Trip, taken: Taken) -> QueuedMessage | None:
        """Return a message that waits for tomorrow; None when all of them wait for a moment only."""
        until = taken.until or self._desk.clock.now()
        if not taken.whole_day:
            if not trip.outcomes:
                self._outbox.rest(until)
                return None
            return self._waits(trip, until, MessageState.RETRYING, "MB-S17")
        return self._waits(trip, until, MessageState.HELD, "MB-S20")

    def _waits(self, trip: _Trip, until: datetime, state: MessageState, code: str) -> QueuedMessage:
        return replace(_told(trip), state=state, next_try=until, code=code)

    async def _failed(self, trip: _Trip, error: MailbearerError) -> QueuedMessage | None:
        """Return the message after an attempt that ended with ``error``."""
        provider = (await self._outbox.way()).provider
        if error.code == "MB-S35":
            record(Verb.UNCERTAIN, trip.message.id, message_id=trip.message.message_id)
        await self._outbox.complained(_reply_of(error))
        return self._after_failure(trip, fate_of(error, provider))

    def _after_failure(self, trip: _Trip, fate: Fate) -> QueuedMessage:
        return after_failure(_told(trip), fate, now=self._desk.clock.now(), draw=self._outbox.draw)

    # -- the line -------------------------------------------------------------------------------------------------

    async def _opened(self) -> bool:
        """See to it that there is a line; tell whether there is."""
        if self._line is not None:
            return True
        way = await self._outbox.way()
        try:
            self.name = await self._desk.limiter.enter(way.account, patient=self._desk.patient, on_crowded=self.poke)
            if self.name:
                self._line = await self._desk.relay.open(way)
        except MailbearerError as error:
            await self._leave()
            await self._outbox.complained(_reply_of(error), rest=False)
            self._outbox.turned_away(self, error)
            return False
        except BaseException:
            await self._leave()
            raise
        if self._line is None:
            raise _NoLineError
        self._on_line = 0
        return True

    async def _end_line(self) -> None:
        """Say goodbye, unless something is begun on the line that is not to be."""
        line, self._line = self._line, None
        if line is not None:
            try:
                await (line.session.close() if self._ahead is not None or line.session.spent else line.session.quit())
            finally:
                ahead, self._ahead = self._ahead, None
                await self._leave(line)
                if ahead is not None:
                    await self._give_back(ahead)

    async def _give_back(self, parcel: Parcel) -> None:
        """Count the recipients of a parcel that was begun and not handed over as not sent to."""
        try:
            await self._desk.limiter.correct(parcel.taken, 0)
        except MailbearerError as error:
            _log.warning("%d recipients too many count for today: %s", parcel.taken.recipients, error)

    async def _drop_line(self) -> None:
        """Close the line: after an error it is not known what the server thinks."""
        line, self._line = self._line, None
        if line is not None:
            try:
                await line.session.close()
            finally:
                await self._leave(line)

    async def _leave(self, line: Line | None = None) -> None:
        name, self.name = self.name, ""
        if name:
            account = (line.way if line is not None else await self._outbox.way()).account
            try:
                await self._desk.limiter.leave(account, name, on_crowded=self.poke)
            except MailbearerError as error:
                _log.warning("a line is counted until its lease ends: %s", error)


def _envelope(message: QueuedMessage, recipients: tuple[str, ...]) -> Envelope:
    """Return the envelope of a parcel, with the wishes of its recipients."""
    whole = message.envelope
    if len(recipients) == len(whole.recipients):
        return whole
    wishes = whole.dsn
    if wishes is not None:
        by_address = dict(zip(whole.recipients, wishes.recipients, strict=False))
        named = tuple(by_address[each] for each in recipients if each in by_address)
        wishes = DsnWishes(wishes.ret, wishes.envid, named if len(named) == len(recipients) else ())
    return Envelope(whole.reverse_path, recipients, wishes)


def _told(trip: _Trip) -> QueuedMessage:
    """Return the message with what is known of its recipients so far."""
    if not trip.outcomes:
        return trip.message
    answered = {outcome.address: outcome for outcome in trip.outcomes}
    recipients = tuple(
        answered.get(each.address, each) if each.state is RecipientState.WAITING else each
        for each in trip.message.recipients
    )
    return replace(trip.message, recipients=recipients)


def _reply_of(error: MailbearerError) -> str:
    return error.reply if isinstance(error, ServerRefusedError | SignInRefusedError) else ""


def _is_settled(error: MailbearerError) -> bool:
    """Is it known what the server thinks after this error, so that the line can be used further?"""
    return isinstance(error, ServerRefusedError) and not error.reply.startswith("421")


def _ended_before(error: MailbearerError) -> bool:
    """Did the server end a line that it had served before, and surely has nothing of this message?"""
    match error:
        case ConnectionLostError(code="MB-S32"):
            return True
        case ServerRefusedError(reply=reply):
            return reply.startswith("421")
        case _:
            return False
