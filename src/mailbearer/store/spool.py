"""The contents of queued messages, one file each: ``spool/ab/ID.eml``, named by the last two characters of the id.

A content is on the disk, name and all, before its row is committed, and outlives its row; so a row never lacks its
content. What a crash leaves without a row is swept away later.
"""

import asyncio
import fcntl
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from mailbearer.clock import Clock
from mailbearer.errors import DiskFullError, NotFoundError, StoreError
from mailbearer.model.message import MessageId
from mailbearer.store import failures
from mailbearer.store.folder import sync_folder

CHUNK_BYTES = 256 * 1024
ORPHAN_GRACE_SECONDS = 3600.0  # of our own running time, so that no clock jump makes a file old
RESERVE_BYTES = 100_000_000  # what no message may take, or a twentieth of the disk if that is less
RESERVE_SHARE = 20
_LOOK_EVERY_BYTES = 16 * 1024 * 1024  # how often a growing file looks at the free space again

_ID = re.compile(r"[A-Za-z0-9_-]{2,100}")


@dataclass(frozen=True, slots=True)
class Room:
    """Free and total bytes of a disk."""

    free: int
    total: int


def room_at(path: Path) -> Room:
    """Return how much room there is at ``path``."""
    usage = shutil.disk_usage(path)
    return Room(usage.free, usage.total)


class Spool:
    """The folder of contents. ``reserve`` is the room to leave free; None: the default of ``RESERVE_BYTES``."""

    def __init__(
        self, folder: Path, clock: Clock, *, reserve: int | None = None, room: Callable[[Path], Room] = room_at
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._reserve = reserve
        self._room = room
        self._orphans: dict[Path, float] = {}

    def writer(self, message: MessageId, *, expected_size: int = 0) -> "SpoolWriter":
        """Return a new content, to be used with ``async with``; it is durable when that block is left without error.

        Raises:
            DiskFullError: there is no room for ``expected_size`` bytes beside the reserve.
        """
        path = self._path_of(message)
        return SpoolWriter(path, expected_size, self._check_room)

    async def open(self, message: MessageId) -> AsyncIterator[bytes]:
        """Yield the content in pieces of at most ``CHUNK_BYTES``.

        Raises:
            StoreError: MB-D05, it is not there or cannot be read.
        """
        path = self._path_of(message)
        try:
            file = await asyncio.to_thread(path.open, "rb", buffering=0)
            with file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise StoreError("MB-D05", reason=error.strerror or str(error), path=str(path)) from error

    async def remove(self, message: MessageId) -> None:
        """Remove the content; no fault when it is not there."""
        path = self._path_of(message)
        try:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except OSError as error:
            raise failures.of_system(error, path) from error

    async def sweep(self, keep: Collection[MessageId]) -> int:
        """Remove what no message needs; return how many files that were. To be called now and then while serving.

        A file goes when two calls at least ``ORPHAN_GRACE_SECONDS`` apart both found it without a row (``keep``) and
        nobody writing it.
        """
        files = await asyncio.to_thread(self._files)
        now = self._clock.monotonic()
        orphans = [file for file in files if file.suffix != ".eml" or file.stem not in keep]
        self._orphans = {file: self._orphans.get(file, now) for file in orphans}
        old = [file for file, since in self._orphans.items() if now - since >= ORPHAN_GRACE_SECONDS]
        return await asyncio.to_thread(lambda: sum(map(_remove_unless_written, old)))

    def _files(self) -> list[Path]:
        return [file for folder in self._folder.glob("??") for file in folder.iterdir()]

    def _path_of(self, message: MessageId) -> Path:
        if not _ID.fullmatch(message):
            raise NotFoundError("MB-W20", kind="message", name=message)
        return self._folder / message[-2:] / f"{message}.eml"

    def _check_room(self, wanted: int) -> None:
        room = self._room(self._folder)
        reserve = min(RESERVE_BYTES, room.total // RESERVE_SHARE) if self._reserve is None else self._reserve
        if room.free < wanted + reserve:
            raise DiskFullError("MB-S25", path=str(self._folder), free=f"{room.free // 1_000_000} MB")


class SpoolWriter:
    """One content being written. ``write`` adds to it; leaving the block makes it durable, an error removes it."""

    def __init__(self, path: Path, expected_size: int, check_room: Callable[[int], None]) -> None:
        self._path = path
        self._unfinished = path.with_suffix(".tmp")
        self._expected_size = expected_size
        self._check_room = check_room
        self._file: BinaryIO | None = None
        self.size = 0

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self._begin)
        except OSError as error:
            raise failures.of_system(error, self._path) from error
        return self

    def write(self, chunk: bytes) -> None:
        """Add ``chunk``, buffered; waits for nothing but the operating system's own memory.

        Raises:
            DiskFullError: there is no more room.
        """
        if self._file is None:
            raise StoreError("MB-D01", path=str(self._path), reason="it is not being written")
        before, self.size = self.size, self.size + len(chunk)
        try:
            if before // _LOOK_EVERY_BYTES != self.size // _LOOK_EVERY_BYTES:
                self._check_room(0)
            self._file.write(chunk)
        except OSError as error:
            raise failures.of_system(error, self._path) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        end = self._give_up if kind is not None else self._finish
        try:
            await asyncio.shield(asyncio.to_thread(end))  # no half-finished file is left to a cancelled caller
        except OSError as failure:
            raise failures.of_system(failure, self._path) from failure

    def _begin(self) -> None:
        folder = self._path.parent
        if not folder.is_dir():
            folder.parent.mkdir(mode=0o700, exist_ok=True)  # by itself: ``parents`` would let others look into it
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)
            sync_folder(folder.parent.parent)
        self._check_room(self._expected_size)
        descriptor = os.open(self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells the sweeper of another process that somebody is at it
        self._file = os.fdopen(descriptor, "wb", CHUNK_BYTES)

    def _finish(self) -> None:
        try:
            self._make_durable()
        except BaseException:
            self._give_up()
            raise

    def _make_durable(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unfinished.rename(self._path)
            sync_folder(self._path.parent)
            self._file.close()

    def _give_up(self) -> None:
        self._unfinished.unlink(missing_ok=True)
        if self._file is not None:
            try:
                self._file.close()
            except OSError:  # what was buffered does not fit; it is not wanted any more
                return


def _remove_unless_written(file: Path) -> bool:
    try:
        with file.open("rb") as found:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()
    except OSError:  # gone meanwhile, or somebody is writing it
        return False
    return True
