"""A thread that owns one database connection and does for it what the event loop asks.

The loop collects what is asked within one of its turns and hands it over at once; the thread takes everything that
waits as one batch. Figures: docs/decisions/0003-sqlite-through-apsw.md.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeVar, cast

import apsw

from mailbearer.errors import StoreError

Result = TypeVar("Result")
Work = Callable[[apsw.Connection], Result]


class Durable(Protocol):
    """A file that must be on the disk before the transaction that speaks of it."""

    def sync(self) -> None:
        """Wait until it is."""
        ...


Before = Callable[[apsw.Connection], Sequence[Durable]]
After = Callable[[bool], None]
Item = TypeVar("Item")
Together = Callable[[apsw.Connection, Sequence[Item]], None]
"""Writes several items of one kind. Each statement lets the loop's thread in and waits to be let in again, which costs
more than the statement itself: what is written with one for all of them disturbs the loop once."""


class Job:
    """What is to be done in the thread, and what became of it. Delivered in the loop.

    ``before`` runs outside of any transaction and returns what must be on the disk first; ``work`` runs in the
    transaction, or ``together`` does, with the ``item`` of this job and of its neighbours; ``after`` hears, in the
    thread, whether all of it is durable now.
    """

    __slots__ = ("after", "before", "error", "future", "item", "result", "together", "whole", "work")

    def __init__(
        self,
        future: "asyncio.Future[object]",
        work: Work[object] | None,
        before: Before | None = None,
        after: After | None = None,
    ) -> None:
        self.future = future
        self.work = work
        self.before = before
        self.after = after
        self.together: Together[object] | None = None
        self.item: object = None
        self.whole = False  # ``together`` needs one statement only
        self.result: object = None
        self.error: Exception | None = None

    @property
    def transacts(self) -> bool:
        """Whether there is something to be done in a transaction."""
        return self.work is not None or self.together is not None

    def deliver(self) -> None:
        """Tell whoever waits; nobody does when he was cancelled meanwhile."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Worker:
    """The thread. ``carry_out`` is called in it with each batch and must leave every job with a result or an error.

    ``afterwards`` is called when those who waited have been told.
    """

    def __init__(
        self,
        name: str,
        connection: apsw.Connection,
        carry_out: Callable[[Sequence[Job]], None],
        afterwards: Callable[[], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._carry_out = carry_out
        self._afterwards = afterwards
        self._collected: list[Job] = []
        self._due_soon = False
        self._due_later: asyncio.TimerHandle | None = None
        self._inbox: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(
        self,
        work: Work[Result] | None,
        *,
        before: Before | None = None,
        after: After | None = None,
        patience: float = 0.0,
    ) -> "asyncio.Future[Result]":
        """Have a job done in the thread and return its future; it waits ``patience`` seconds for others to go with.

        Being cancelled gives up the waiting only: the job may still be done.
        """
        job = Job(self._loop.create_future(), work, before, after)
        self._collect(job, patience)
        return cast("asyncio.Future[Result]", job.future)

    def ask_together(
        self,
        together: Together[Item],
        item: Item,
        result: Result,
        *,
        before: Before | None = None,
        after: After | None = None,
        whole: bool = False,
    ) -> "asyncio.Future[Result]":
        """Have ``item`` written with others of its kind; the future ends with ``result``."""
        job = Job(self._loop.create_future(), None, before, after)
        job.whole = whole
        job.together, job.item, job.result = cast("Together[object]", together), item, result
        self._collect(job)
        return cast("asyncio.Future[Result]", job.future)

    def _collect(self, job: Job, patience: float = 0.0) -> None:
        if self._closed:
            raise StoreError("MB-D01", path="mailbearer.db", reason="it is closed already")
        self._collected.append(job)
        if patience and not self._due_soon:
            self._due_later = self._due_later or self._loop.call_later(patience, self._hand_over)
        elif not self._due_soon:
            self._due_soon = True
            self._loop.call_soon(self._hand_over)

    async def close(self) -> None:
        """Finish what was asked, close the connection, end the thread."""
        self._closed = True
        self._hand_over()
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        self._due_soon = False
        if self._due_later is not None:
            self._due_later.cancel()
            self._due_later = None
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
            if self._afterwards is not None:
                self._afterwards()
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
