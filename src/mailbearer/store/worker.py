"""A thread that owns one database connection and does for it what the event loop asks.

The loop collects what is asked within one of its turns and hands it over at once; the thread takes everything that
waits as one batch. Figures: docs/decisions/0003-sqlite-through-apsw.md.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import TypeVar, cast

import apsw

from mailbearer.errors import StoreError

Result = TypeVar("Result")
Work = Callable[[apsw.Connection], Result]


class Job:
    """One function to be run on the connection, and what became of it. Filled in the thread, delivered in the loop."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Work[object], future: "asyncio.Future[object]") -> None:
        self.work = work
        self.future = future
        self.result: object = None
        self.error: Exception | None = None

    def deliver(self) -> None:
        """Tell whoever waits; nobody does when he was cancelled meanwhile."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Worker:
    """The thread. ``carry_out`` is called in it with each batch and must leave every job with a result or an error."""

    def __init__(self, name: str, connection: apsw.Connection, carry_out: Callable[[Sequence[Job]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._carry_out = carry_out
        self._collected: list[Job] = []
        self._inbox: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def do(self, work: Work[Result]) -> Result:
        """Run ``work`` in the thread and return its result.

        Being cancelled gives up the waiting only: the work may still be done.
        """
        if self._closed:
            raise StoreError("MB-D01", path="mailbearer.db", reason="it is closed already")
        job = Job(work, self._loop.create_future())
        if not self._collected:
            self._loop.call_soon(self._hand_over)
        self._collected.append(job)
        return cast("Result", await job.future)

    async def close(self) -> None:
        """Finish what was asked, close the connection, end the thread."""
        self._closed = True
        self._hand_over()
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        if self._collected:
            self._inbox.put(self._collected)
            self._collected = []

    def _run(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._next_batch()
            if batch:
                self._carry_out(batch)
                self._report(batch)
        self._connection.close()

    def _next_batch(self) -> tuple[list[Job], bool]:
        batch: list[Job] = []
        while not batch or not self._inbox.empty():
            asked = self._inbox.get()
            if asked is None:
                return batch, False
            batch += asked
        return batch, True

    def _report(self, batch: Sequence[Job]) -> None:
        def deliver() -> None:
            for job in batch:
                job.deliver()

        try:
            self._loop.call_soon_threadsafe(deliver)
        except RuntimeError:  # the loop is gone, and with it everybody who waited
            return
