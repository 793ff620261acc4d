"""The SQLite database: one connection that writes, one that reads, each in a thread of its own.

Everything that waits to be written goes into one transaction, and nobody hears of success before it is on the disk
(WAL, ``synchronous=FULL``). Several processes may have the database open at once.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import apsw

from mailbearer.errors import StoreError
from mailbearer.store import failures, schema
from mailbearer.store.rows import execute, pragma
from mailbearer.store.worker import Job, Result, Work, Worker

# 3.7.0 to 3.51.2 can lose commits when two connections meet at a checkpoint: https://sqlite.org/releaselog/3_51_3.html
SQLITE_MIN = (3, 51, 3)
BUSY_TIMEOUT_MS = 10_000  # as long as a foreground command may be kept waiting
WAL_KEPT_BYTES = 16 * 1024 * 1024
CACHE_KIB = 256  # for each connection instead of 2,000: the kernel's cache has the file too, and `serve` stays small


class Database:
    """An open database; made by ``Database.open``, used by the modules of this room only."""

    def __init__(self, path: Path, writer: apsw.Connection, reader: apsw.Connection, *, version: int) -> None:
        self._path = path
        self._version = version
        self._writer = Worker("store-writer", writer, lambda jobs: self._commit(writer, jobs))
        self._reader = Worker("store-reader", reader, lambda jobs: self._look_up(reader, jobs))
        self._closed = False

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

    async def write(self, work: Work[Result]) -> Result:
        """Run ``work`` in a transaction and return its result once it is on the disk.

        ``work`` runs in the writer's thread together with others in one transaction, it may be run a second time after
        a failure, and so it touches nothing but its connection. What it raises undoes only its own changes.

        Raises:
            StoreError: nothing was changed.
            DiskFullError: nothing was changed; there is no room for it.
        """
        return await self._writer.do(work)

    async def read(self, work: Work[Result]) -> Result:
        """Run ``work`` on one consistent state that holds everything written before, and return its result."""
        return await self._reader.do(work)

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

    def _commit(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        try:
            execute(connection, "BEGIN IMMEDIATE")
            for job in jobs:
                self._attempt(connection, job)
            execute(connection, "COMMIT")
        except Exception as error:  # noqa: BLE001 - every job must hear of it, whatever it was
            system_errno = connection.system_errno
            if connection.in_transaction:
                execute(connection, "ROLLBACK")
            if isinstance(error, apsw.FullError) and len(jobs) > 1:  # what is small may still find room
                for job in jobs:
                    self._commit(connection, [job])
                return
            for job in jobs:
                job.error = self._meaning(error, system_errno)

    def _attempt(self, connection: apsw.Connection, job: Job) -> None:
        job.error = None
        execute(connection, "SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave up the whole transaction: no room, or a disk error
                raise
            job.error = self._meaning(error, connection.system_errno)
            execute(connection, "ROLLBACK TO job")
        execute(connection, "RELEASE job")

    def _look_up(self, connection: apsw.Connection, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                with connection:
                    job.result = job.work(connection)
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
