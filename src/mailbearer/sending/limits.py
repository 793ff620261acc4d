"""A provider's limits, kept before they bite: connections, messages a minute, recipients a day, for each account.

What was sent and which lines are open is counted in the store, so that all processes keep one limit together. An
account without limits costs nothing here. A provider that says ``too fast`` is obeyed: fewer lines, half the pace for
each time it says so, and back again step by step.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mailbearer.clock import Clock
from mailbearer.errors import StoreError
from mailbearer.model.provider import Limits, Provider
from mailbearer.providers.diagnosis import read_mail_refusal
from mailbearer.store.allowances import Allowances, Pace, Taken

LINES: Final = 4  # for one account, where the provider says nothing
LINE_LEASE: Final = timedelta(seconds=60)
LINE_PAUSE: Final = 1.0  # seconds until another look whether a line of another process is free
THROTTLE_PAUSE: Final = timedelta(minutes=1)
THROTTLE_PAUSE_MAX: Final = timedelta(hours=1)
RECOVERY: Final = timedelta(minutes=10)  # after so long without a complaint one step is taken back
STEPS_MAX: Final = 6
SLOW_RATE: Final = 60  # messages a minute, halved at each step, where the provider has no limit of its own
_THROTTLED: Final = re.compile(r"^(?:432[ -]4\.3\.2|421[ -]4\.7\.|450[ -]4\.2\.1|45\d[ -]4\.7\.(?:0|5\d\d|6\d\d)\b)")
_WORN_OUT: Final = re.compile(
    r"^421\b.{0,300}?\btoo many (?:\w+ ){0,2}(?:mistakes?|errors?|bad|invalid|unknown|unrecognized|rejected)\b",
    re.IGNORECASE | re.DOTALL,
)
_WAIT: Final = re.compile(
    r"(?:retry|try again|wait|back-?off|delay)[^0-9]{0,40}(\d{1,7})\s*(ms|milli|sec|s\b|min|m\b|hour|h\b)?",
    re.IGNORECASE,
)
_UNITS: Final = {"ms": 0.001, "milli": 0.001, "min": 60.0, "m": 60.0, "hour": 3600.0, "h": 3600.0}


def line_worn_out(reply: str) -> bool:
    """Tell whether ``reply`` ends a connection for what was refused on it: another one is as good as new."""
    return _WORN_OUT.match(reply) is not None


def throttle_in(reply: str, provider: Provider | None) -> timedelta | None:
    """Return how long to leave the account alone when ``reply`` says that we are too fast, None when it does not."""
    if line_worn_out(reply):
        return None
    verdict = None if provider is None else read_mail_refusal("smtp", reply, "", provider=provider, fresh=False)
    throttled = verdict is not None and verdict.class_ == "throttle"
    if not reply.startswith("4") or not (throttled or _THROTTLED.match(reply)):
        return None
    told = _WAIT.search(reply)
    if told is not None:
        unit = _UNITS.get((told[2] or "s").lower(), 1.0)
        return min(max(timedelta(seconds=int(told[1]) * unit), timedelta(seconds=1)), THROTTLE_PAUSE_MAX)
    return (verdict.wait if verdict is not None else None) or THROTTLE_PAUSE


@dataclass(frozen=True, slots=True)
class Account:
    """Whose limits are meant: ``key`` names provider and user."""

    key: str
    limits: Limits = field(default_factory=Limits)


class _State:
    """What this process knows of one account."""

    def __init__(self) -> None:
        self.open = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.holders: list[Callable[[], None]] = []
        self.pace: Pace | None = None


class Limiter:
    """Keeps the limits of all accounts, for all outboxes of this process."""

    def __init__(self, allowances: Allowances, clock: Clock) -> None:
        self._allowances = allowances
        self._clock = clock
        self._states: dict[str, _State] = {}

    def lines_of(self, account: Account) -> int:
        """Return how many lines the account may have now."""
        return max(1, (account.limits.connections or LINES) >> self._steps(account))

    def pause_until(self, account: Account) -> datetime | None:
        """Return until when the provider wants to be left alone, None when it does not."""
        pace = self._state(account).pace
        return pace.pause_until if pace is not None and pace.pause_until > self._clock.now() else None

    def crowded(self, account: Account) -> bool:
        """Tell whether somebody waits for a line of this account."""
        return bool(self._state(account).waiting)

    async def enter(self, account: Account, *, patient: bool, on_crowded: Callable[[], None]) -> str:
        """Wait until one more line may be opened and return its name; empty when it cannot be had without ``patient``.

        Whoever waits longest comes first; who has a line hears by ``on_crowded`` that others wait.
        """
        state = self._state(account)
        while state.open >= self.lines_of(account) or state.waiting:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            state.waiting.append(place)
            for tell in state.holders:
                tell()
            try:
                await place
                break
            except asyncio.CancelledError:
                self._step_back(state, place)
                raise
        state.open += 1
        state.holders.append(on_crowded)
        try:
            line = await self._in_store(account, patient=patient)
        except BaseException:
            self._let_in(account, on_crowded)
            raise
        if not line:
            self._let_in(account, on_crowded)
        return line

    async def leave(self, account: Account, line: str, *, on_crowded: Callable[[], None]) -> None:
        """Note that a line is closed."""
        self._let_in(account, on_crowded)
        await self._allowances.close_line(line)

    async def keep(self, lines: tuple[str, ...]) -> None:
        """Note that lines are still open."""
        await self._allowances.keep_lines(lines, until=self._clock.now() + LINE_LEASE)

    def take_free(self, account: Account) -> bool:
        """Tell whether messages of the account need not be counted at all."""
        limits = account.limits
        return not (limits.messages_per_minute or limits.recipients_per_day) and not self._steps(account)

    async def take(self, account: Account, wanted: int) -> Taken:
        """Count one message to up to ``wanted`` recipients and return how many it may go to, or when to ask again."""
        rest = self.pause_until(account)
        if rest is not None:
            return Taken(0, rest)
        if self.take_free(account):
            return Taken(wanted)
        return await self._allowances.take(
            account.key,
            wanted=wanted,
            per_minute=self._per_minute(account),
            per_day=account.limits.recipients_per_day,
            now=self._clock.now(),
        )

    async def correct(self, taken: Taken, recipients: int) -> None:
        """Note that fewer recipients than were counted got the message."""
        if taken.number and recipients < taken.recipients:
            await self._allowances.correct(taken.number, recipients=recipients)

    async def slow_down(self, account: Account, pause: timedelta) -> None:
        """Obey a provider that said ``too fast``."""
        now = self._clock.now()
        pace = Pace(min(self._steps(account) + 1, STEPS_MAX), now, now + pause)
        self._state(account).pace = pace
        await self._allowances.slow_down(account.key, pace)

    def _per_minute(self, account: Account) -> int:
        own, steps = account.limits.messages_per_minute, self._steps(account)
        return max(1, (own or SLOW_RATE * 2) >> steps) if own or steps else 0

    def _steps(self, account: Account) -> int:
        pace = self._state(account).pace
        if pace is None:
            return 0
        recovered = max(timedelta(), self._clock.now() - max(pace.slowed_at, pace.pause_until)) // RECOVERY
        return max(0, pace.steps - recovered)

    def _state(self, account: Account) -> _State:
        return self._states.setdefault(account.key, _State())

    async def _in_store(self, account: Account, *, patient: bool) -> str:
        """Return the name of a line that other processes leave to us."""
        line = secrets.token_hex(8)
        found = await self._allowances.pace(account.key)
        if found is not None:
            self._state(account).pace = found
        while True:
            now, most = self._clock.now(), self.lines_of(account)
            try:
                if await self._allowances.open_line(line, account.key, most=most, now=now, until=now + LINE_LEASE):
                    return line
            except asyncio.CancelledError:  # it may be written down all the same
                with suppress(StoreError):
                    await self._allowances.close_line(line)
                raise
            if not patient:
                return ""
            await self._clock.sleep(LINE_PAUSE)

    def _let_in(self, account: Account, on_crowded: Callable[[], None]) -> None:
        state = self._state(account)
        state.open -= 1
        state.holders.remove(on_crowded)
        self._wake_one(state)

    @staticmethod
    def _wake_one(state: _State) -> None:
        while state.waiting:
            place = state.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return

    def _step_back(self, state: _State, place: "asyncio.Future[None]") -> None:
        """Leave the row; a turn that was given meanwhile goes to the next one."""
        if place.done() and not place.cancelled():
            self._wake_one(state)
        elif place in state.waiting:
            state.waiting.remove(place)
