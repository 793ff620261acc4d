"""The SQLite database: one connection that writes, one that reads, each in a thread of its own.

Everything that waits to be written goes into one transaction, and nobody hears of success before it is on the disk
(WAL, ``synchronous=FULL``). Several processes may have the database open at once.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import apsw

from mailbearer.errors import StoreError
from mailbearer.store import failures, schema
from mailbearer.store.rows import ROWS_AT_ONCE, execute, pragma
from mailbearer.store.worker import After, Before, Durable, Item, Job, Result, Together, Work, Worker

# 3.7.0 to 3.51.2 can lose commits when two connections meet at a checkpoint: https://sqlite.org/releaselog/3_51_3.html
SQLITE_MIN = (3, 51, 3)
BUSY_TIMEOUT_MS = 10_000  # as long as a foreground command may be kept waiting
WAL_KEPT_BYTES = 16 * 1024 * 1024
CHECKPOINT_PAGES = 1_000  # of the log, 4 MiB, as SQLite itself, which does it in the middle of a commit
PAGE_BYTES = 4096  # SQLite's default
CACHE_KIB = 256  # for each connection instead of 2,000: the kernel's cache has the file too, and `serve` stays small


class Database:
    """An open database; made by ``Database.open``, used by the modules of this room only."""

    def __init__(self, path: Path, writer: apsw.Connection, reader: apsw.Connection, *, version: int) -> None:
        self._path = path
        self._version = version
        self._logged_pages = 0  # written since the log was last brought into the database
        writer.wal_autocheckpoint(0)  # ``_checkpoint`` does it
        self._writer = Worker(
            "store-writer", writer, lambda jobs: self._carry_out(writer, jobs), lambda: self._checkpoint(writer)
        )
        self._reader = Worker("store-reader", reader, lambda jobs: self._look_up(reader, jobs))
        self._closed = False

    @property
    def owed_bytes(self) -> int:
        """What stands in the log only, about: it has still to find room in the database."""
        return self._logged_pages * PAGE_BYTES

    @classmethod
    async def open(cls, path: Path, *, alone: bool = True, steps: Sequence[str] | None = None) -> "Database":
        """Open the database at ``path``, made if there is none, and bring its schema up to date.

        ``alone`` says that no other process has it open: only then it is migrated, and examined if the last process
        ended unclean. ``steps`` are the migrations.

        Raises:
            StoreError: MB-D01 … MB-D06; nothing was overwritten.
            DiskFullError: there is no room for it.
        """
        known = schema.load_steps() if steps is None else steps
        writer, reader = await asyncio.to_thread(_connect_both, path, known, alone=alone)
        return cls(path, writer, reader, version=len(known))

    async def write(
        self,
        work: Work[Result],
        *,
        before: Before | None = None,
        after: After | None = None,
        patience: float = 0.0,
    ) -> Result:
        """Run ``work`` in a transaction and return its result once it is on the disk.

        ``work`` runs in the writer's thread together with others in one transaction, it may be run a second time after
        a failure, and so it touches nothing but its connection. What it raises undoes only its own changes. ``before``
        runs in the same thread before the transaction begins; the files that it returns are synced first, each once
        for all who wait. ``after`` is told there whether all went well. With ``patience`` it may wait so many seconds
        for another transaction to share.

        Raises:
            StoreError: nothing was changed.
            DiskFullError: nothing was changed; there is no room for it.
        """
        return await self._writer.ask(work, before=before, after=after, patience=patience)

    def write_together(
        self,
        together: Together[Item],
        item: Item,
        result: Result,
        *,
        before: Before | None = None,
        after: After | None = None,
        whole: bool = False,
    ) -> "asyncio.Future[Result]":
        """As ``write``, for what comes often: neighbours of one kind are written by one call of ``together``.

        ``whole`` says that this carries out one statement for up to ``ROWS_AT_ONCE`` such items; when there is nothing
        else to write, no transaction is put around it.
        """
        return self._writer.ask_together(together, item, result, before=before, after=after, whole=whole)

    def prepare(self, before: Before) -> "asyncio.Future[None]":
        """Run ``before`` in the writer's thread, in the order in which all was asked for, outside of transactions.

        What it returns is not synced.
        """
        return self._writer.ask(None, before=before)

    async def read(self, work: Work[Result]) -> Result:
        """Run ``work`` on one consistent state that holds everything written before, and return its result."""
        return await self._reader.ask(work)

    async def check_version(self) -> None:
        """See whether the schema is still the one that this program knows.

        Raises:
            StoreError: MB-D03, a newer program migrated it.
        """
        await self.read(lambda connection: schema.check_version(connection, self._path, self._version))

    async def close(self) -> None:
        """Finish what is under way and close; closing twice is no fault."""
        if not self._closed:
            self._closed = True
            await self._reader.close()
            await self._writer.close()

    def _carry_out(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        ready = self._prepared(connection, jobs)
        if ready:
            self._commit(connection, ready)
        for job in jobs:
            if job.after is not None:
                job.after(job.error is None)

    def _prepared(self, connection: apsw.Connection, jobs: Sequence[Job]) -> list[Job]:
        """Do what comes before the transaction; return the jobs that it is for."""
        waiting: list[tuple[Job, Sequence[Durable]]] = []
        for job in jobs:
            try:
                needed = job.before(connection) if job.before is not None else ()
            except Exception as error:  # noqa: BLE001 - it is raised again where the job was asked for
                job.error = self._meaning(error, connection.system_errno)
                continue
            if job.transacts:
                waiting.append((job, needed))
        failed = _sync_all({durable for _, needed in waiting for durable in needed})
        for job, needed in waiting:
            job.error = next((failed[durable] for durable in needed if durable in failed), None)
        return [job for job, _ in waiting if job.error is None]

    def _commit(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        try:
            self._commit_plainly(connection, jobs)
        except Exception as error:  # noqa: BLE001 - every job must hear of it, whatever it was
            if connection.in_transaction:
                execute(connection, "ROLLBACK")
            if not isinstance(error, apsw.BusyError):  # whose fault it is shows when each has a savepoint of its own
                self._commit_carefully(connection, jobs)
                return
            for job in jobs:
                job.error = self._meaning(error, connection.system_errno)

    @staticmethod
    def _commit_plainly(connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        together = jobs[0].together
        if (
            together is not None
            and len(jobs) <= ROWS_AT_ONCE
            and all(job.whole and job.together is together for job in jobs)
        ):
            together(connection, [job.item for job in jobs])
            return
        execute(connection, "BEGIN IMMEDIATE")
        for together, group in groupby(jobs, attrgetter("together")):
            if together is not None:
                together(connection, [job.item for job in group])
                continue
            for job in group:
                _run(connection, job)
                if not connection.in_transaction:
                    raise apsw.SQLError("a job ended the transaction")
        execute(connection, "COMMIT")

    def _commit_carefully(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        try:
            execute(connection, "BEGIN IMMEDIATE")
            for job in jobs:
                self._attempt(connection, job)
            execute(connection, "COMMIT")
        except Exception as error:  # noqa: BLE001 - every job must hear of it, whatever it was
            system_errno = connection.system_errno
            if connection.in_transaction:
                execute(connection, "ROLLBACK")
            if isinstance(error, apsw.FullError):
                self._logged_pages = CHECKPOINT_PAGES  # room in the log, if the database itself has some
            if isinstance(error, apsw.FullError) and len(jobs) > 1:  # what is small may still find room
                for job in jobs:
                    self._commit_carefully(connection, [job])
                return
            for job in jobs:
                job.error = self._meaning(error, system_errno)

    def _attempt(self, connection: apsw.Connection, job: Job) -> None:
        job.error = None
        execute(connection, "SAVEPOINT job")
        try:
            _run(connection, job)
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave up the whole transaction: no room, or a disk error
                raise
            job.error = self._meaning(error, connection.system_errno)
            execute(connection, "ROLLBACK TO job")
        execute(connection, "RELEASE job")

    def _checkpoint(self, connection: apsw.Connection) -> None:
        """Bring the log into the database while nobody waits for a commit."""
        self._logged_pages += connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
        if self._logged_pages >= CHECKPOINT_PAGES:
            with suppress(apsw.Error):  # the log is as good; the next commit brings us here again
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._logged_pages = 0

    def _look_up(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                with connection:
                    _run(connection, job)
            except Exception as error:  # noqa: BLE001 - it is raised again where the job was asked for
                job.error = self._meaning(error, connection.system_errno)

    def _meaning(self, error: Exception, system_errno: int) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        meaning = failures.of_database(error, self._path, system_errno=system_errno)
        if meaning is None:
            return error
        meaning.__cause__ = error
        return meaning


def _run(connection: apsw.Connection, job: Job) -> None:
    if job.work is not None:
        job.result = job.work(connection)
    elif job.together is not None:
        job.together(connection, [job.item])


def _sync_all(durables: Iterable[Durable]) -> dict[Durable, Exception]:
    """Sync each; return what went wrong with those that failed."""
    failed: dict[Durable, Exception] = {}
    for durable in durables:
        try:
            durable.sync()
        except Exception as error:  # noqa: BLE001 - it is raised again where the job was asked for
            failed[durable] = error
    return failed


def _connect_both(path: Path, steps: Sequence[str], *, alone: bool) -> tuple[apsw.Connection, apsw.Connection]:
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < SQLITE_MIN:
        raise StoreError("MB-D01", path=str(path), reason=f"SQLite {apsw.sqlite_lib_version()} can lose data")
    unclean = alone and _size(path.with_name(path.name + "-wal")) > 0
    writer = _connect(path, apsw.SQLITE_OPEN_READWRITE)
    try:
        _configure_writer(writer, path)
        if unclean:
            _examine(writer, path)
        schema.bring_up(writer, path, steps, alone=alone)
        return writer, _reader(path)
    except apsw.Error as error:
        meaning = failures.of_database(error, path, system_errno=writer.system_errno)
        writer.close()
        raise meaning or error from error
    except BaseException:
        writer.close()
        raise


def _reader(path: Path) -> apsw.Connection:
    connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
    pragma(connection, "cache_size", -CACHE_KIB)
    return connection


def _connect(path: Path, flags: int) -> apsw.Connection:
    try:
        if flags == apsw.SQLITE_OPEN_READWRITE:
            path.touch(mode=0o600)
        connection = apsw.Connection(str(path), flags=flags)
    except OSError as error:
        raise failures.of_system(error, path) from error
    except apsw.Error as error:
        raise failures.of_database(error, path) or error from error
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    return connection


def _configure_writer(connection: apsw.Connection, path: Path) -> None:
    if pragma(connection, "journal_mode", "wal") != "wal":
        raise StoreError("MB-D01", path=str(path), reason="it cannot have a write-ahead log")
    pragma(connection, "synchronous", "full")
    pragma(connection, "cache_size", -CACHE_KIB)
    pragma(connection, "fullfsync", 1)  # macOS: a plain fsync stops in the disk's cache
    pragma(connection, "checkpoint_fullfsync", 1)
    pragma(connection, "secure_delete", 1)
    pragma(connection, "foreign_keys", 1)
    pragma(connection, "journal_size_limit", WAL_KEPT_BYTES)


def _examine(connection: apsw.Connection, path: Path) -> None:
    found = execute(connection, "PRAGMA quick_check(1)")
    if found != [("ok",)]:
        raise StoreError("MB-D02", path=str(path), reason=str(found[0][0]))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
