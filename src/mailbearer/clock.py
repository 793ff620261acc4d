"""Time: what is the hour, how long did it take, wait. Replaced in tests by ``tests/fakes/clock.py``."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The three questions about time; everything in the product that waits or dates asks one of these."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of monotonic time."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of monotonic time."""
        import asyncio  # noqa: PLC0415 - `mailbearer --version` tells no time and need not load it for 25 ms

        await asyncio.sleep(seconds)
