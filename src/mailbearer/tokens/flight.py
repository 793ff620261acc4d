"""Single flight: while one works on a key, everybody else who asks for the same key waits for the same result."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs at most one piece of work for a key, in a task of its own.

    A caller that is cancelled does not cancel the work: the answer of an authorization server that has been asked must
    be kept, whoever asked. Leaving the context waits for all work in flight.
    """

    def __init__(self) -> None:
        self._tasks = asyncio.TaskGroup()
        self._flights: dict[str, asyncio.Future[T]] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error of the owner is not the work's: the work ends by itself, the error goes on afterwards.
        await self._tasks.__aexit__(None, None, None)

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """Return what ``work`` returns, or what the work that is in flight for ``key`` returns."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_future()
            self._flights[key] = flight
            self._tasks.create_task(self._fly(key, flight, work), name=f"flight {key}")
        return await asyncio.shield(flight)

    async def _fly(self, key: str, flight: asyncio.Future[T], work: Callable[[], Awaitable[T]]) -> None:
        try:
            flight.set_result(await work())
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to those who wait; one broken grant stops no other
            flight.set_exception(error)
            flight.exception()  # read once, or the loop complains when every caller has gone
        finally:
            del self._flights[key]
