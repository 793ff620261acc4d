"""A clock that stands still until a test moves it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
TURNS = 25  # of the event loop after each wake-up: how far a woken task gets before time moves on


@dataclass(order=True)
class _Sleeper:
    """One task in ``sleep``: earliest first, and of those of one moment the one that came first."""

    due: float
    number: int
    woken: "asyncio.Future[None]" = field(compare=False)


class FakeClock:
    """Stands in for ``mailbearer.clock.SystemClock``; only ``advance`` and ``jump`` move it.

        clock = FakeClock()
        waiting = group.create_task(keeper.run(clock))
        await clock.until_asleep(1)
        await clock.advance(minutes=50)

    ``advance`` stops at every sleeper that is due on the way, so a loop that sleeps a minute at a time wakes fifty
    times. Tasks that wait for real sockets or threads are not waited for: use ``until_asleep`` or ``until`` for those.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[_Sleeper] = []
        self._count = 0

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._passed

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock by ``seconds``."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sleeper = _Sleeper(self._passed + seconds, self._count, woken)
        self._sleepers.append(sleeper)
        try:
            await woken
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    @property
    def asleep(self) -> int:
        """How many tasks sleep."""
        return len(self._sleepers)

    @property
    def next_wake(self) -> float | None:
        """Seconds until the next sleeper wakes; None when nobody sleeps."""
        return min(self._sleepers).due - self._passed if self._sleepers else None

    async def advance(self, seconds: float = 0.0, **span: float) -> None:
        """Let time pass (``seconds``, or a timedelta's words: ``days=400``) and wake everybody who is due, in order."""
        target = self._passed + seconds + timedelta(**span).total_seconds()
        await self.settle()
        while self._sleepers and (first := min(self._sleepers)).due <= target:
            self._passed = first.due
            self._sleepers.remove(first)
            if not first.woken.done():
                first.woken.set_result(None)
            await self.settle()
        self._passed = target
        await self.settle()

    def jump(self, seconds: float = 0.0, **span: float) -> None:
        """Set the wall clock forward or back and nothing else, as an administrator or NTP does."""
        self._start += timedelta(seconds=seconds) + timedelta(**span)

    async def settle(self) -> None:
        """Let every task that can go on without time or input go on."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def until_asleep(self, count: int = 1) -> None:
        """Wait (real time, at most five seconds) until ``count`` tasks sleep."""
        await self.until(lambda: len(self._sleepers) >= count)

    async def until(self, happened: Callable[[], bool], *, at_most: float = 5.0) -> None:
        """Wait in real time, without moving this clock, for something done by sockets, threads or processes."""
        async with asyncio.timeout(at_most):
            while not happened():  # noqa: ASYNC110 - what it waits for cannot set an Event of ours
                await asyncio.sleep(0.001)
