"""Segment files: room set aside beforehand for the contents of large messages, and used again and again.

Syncing a new file costs ten times as much as syncing blocks that exist (facts in docs/decisions/0015-bodies.md), so
contents lie side by side in a few files of ``SEGMENT_BYTES``. Which places are taken is told by the table ``pieces``
alone; the free ones are worked out from it when a file is claimed, so a crash leaves nothing to clean up. A file
belongs to one process at a time (flock), and everything here runs in the thread of the database's writer.
"""

import fcntl
import os
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import apsw

from mailbearer.errors import DiskFullError
from mailbearer.store import failures
from mailbearer.store.folder import sync_folder
from mailbearer.store.rows import select, select_one

SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_BYTES_MIN = 1024 * 1024  # on a disk that is nearly full
BLOCK_BYTES = 4096  # what file systems write at once
FIRST_TAKE_BYTES = 256 * 1024  # for a message of unknown size; twice as much with each further piece
TAKE_BYTES_MAX = 16 * 1024 * 1024  # however large it is said to become
SPARE_SEGMENTS = 2  # empty ones that are kept


@dataclass(slots=True)
class Piece:
    """A place in a segment: ``length`` bytes from ``start`` are used of ``room``."""

    segment: "Segment"
    start: int
    room: int
    length: int = 0


@dataclass(slots=True, eq=False, weakref_slot=True)
class Draft:
    """A content on its way into segments; ``expected`` bytes are said to come, 0 for unknown."""

    expected: int = 0
    pieces: list[Piece] = field(default_factory=list[Piece])
    checksum: int = 0  # CRC-32
    failure: Exception | None = None

    @property
    def length(self) -> int:
        """How much was written."""
        return sum(piece.length for piece in self.pieces)


class Segment:
    """One file of contents, locked for this process."""

    def __init__(self, path: Path, descriptor: int, taken: Iterable[tuple[int, int]]) -> None:
        self.path = path
        self.number = int(path.stem)
        self._descriptor = descriptor
        self.capacity = os.fstat(descriptor).st_size
        self.broken = False  # a sync failed: nobody knows what is on the disk
        self._free: list[tuple[int, int]] = []  # (start, end), in order, never touching
        self.recount(taken)

    @property
    def free_bytes(self) -> int:
        """How much nobody uses."""
        return 0 if self.broken else sum(end - start for start, end in self._free)

    def recount(self, taken: Iterable[tuple[int, int]]) -> None:
        """Work out the free places from the ``taken`` ones: start and length each."""
        free: list[tuple[int, int]] = []
        at = 0
        for start, length in sorted(taken):
            if start > at:
                free.append((at, start))
            at = max(at, start + _in_blocks(length))
        if at < self.capacity:
            free.append((at, self.capacity))
        self._free = free

    def take(self, wanted: int) -> Piece | None:
        """Return the first place that holds ``wanted`` bytes, else the largest there is; None when all is taken."""
        if self.broken or not self._free:
            return None
        index = next((i for i, (start, end) in enumerate(self._free) if end - start >= wanted), None)
        if index is None:
            index = max(range(len(self._free)), key=lambda i: self._free[i][1] - self._free[i][0])
        start, end = self._free[index]
        stop = min(end, start + _in_blocks(wanted))
        self._free[index : index + 1] = [(stop, end)] if stop < end else []
        return Piece(self, start, stop - start)

    def give_back(self, start: int, room: int) -> None:
        """Make a place free again."""
        if not room:
            return
        end = start + room
        index = bisect_left(self._free, (start, end))
        if index < len(self._free) and self._free[index][0] == end:
            end = self._free.pop(index)[1]
        if index and self._free[index - 1][1] == start:
            index -= 1
            start = self._free.pop(index)[0]
        self._free.insert(index, (start, end))

    def write(self, octets: memoryview, at: int) -> None:
        """Write ``octets``; they are not durable yet."""
        try:
            while octets:
                written = os.pwrite(self._descriptor, octets, at)
                octets, at = octets[written:], at + written
        except OSError as error:
            raise failures.of_system(error, self.path) from error

    def sync(self) -> None:
        """Make durable what was written.

        Raises:
            StoreError: it cannot be told what is on the disk; the file is not written any more.
        """
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self.broken = True
            raise failures.of_system(error, self.path) from error

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


class Segments:
    """The files that this process has. ``left`` tells how many bytes new files may still take."""

    def __init__(self, folder: Path, left: Callable[[], int], *, size: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._left = left
        self._size = size
        self._held: dict[int, Segment] = {}
        self._drafts: WeakSet[Draft] = WeakSet()
        self.free_bytes = 0  # may be read by every thread

    def write(self, connection: apsw.Connection, draft: Draft, parts: Sequence[bytes | bytearray]) -> None:
        """Add ``parts`` to ``draft``.

        Raises:
            DiskFullError: there is no room; the draft is of no use any more.
        """
        if draft.failure is not None:
            raise draft.failure
        self._drafts.add(draft)
        try:
            for part in parts:
                self._write(connection, draft, memoryview(part))
                draft.checksum = zlib.crc32(part, draft.checksum)
        except Exception as error:
            draft.failure = error
            raise

    def complete(self, draft: Draft) -> Sequence[Segment]:
        """Give back what ``draft`` took too much; return the files to be synced before its row is committed."""
        if draft.failure is not None:
            raise draft.failure
        for piece in draft.pieces:
            used = _in_blocks(piece.length)
            piece.segment.give_back(piece.start + used, piece.room - used)
            piece.room = used
        draft.pieces = [piece for piece in draft.pieces if piece.length]
        return tuple({piece.segment for piece in draft.pieces})

    def settle(self, draft: Draft, *, kept: bool) -> None:
        """End ``draft``: its row has its places now, or they are free again."""
        self._drafts.discard(draft)
        if not kept:
            for piece in draft.pieces:
                piece.segment.give_back(piece.start, piece.room)
        draft.pieces = []
        self._count()

    def free(self, places: Iterable[tuple[int, int, int]]) -> None:
        """Make free what a row had: segment, start, length each. Another process's file finds out by ``sweep``."""
        for number, start, length in places:
            segment = self._held.get(number)
            if segment is not None:
                segment.give_back(start, _in_blocks(length))
        self._count()

    def sweep(self, connection: apsw.Connection) -> None:
        """Work out anew what is free, claim what dead processes left, and delete empty files beyond the spare ones."""
        self._claim_all(connection)
        for segment in self._held.values():
            drafted = [
                (piece.start, piece.room)
                for draft in self._drafts
                for piece in draft.pieces
                if piece.segment is segment
            ]
            segment.recount([*_taken(connection, segment.number), *drafted])
        self.trim(spare=SPARE_SEGMENTS)

    def trim(self, *, spare: int) -> None:
        """Delete empty files, all but ``spare`` of them."""
        empty = [segment for segment in self._held.values() if segment.free_bytes == segment.capacity]
        for segment in empty[spare:]:
            del self._held[segment.number]
            segment.remove()
        self._count()

    def close(self) -> None:
        """Let go of all files."""
        for segment in self._held.values():
            segment.close()
        self._held.clear()

    def _write(self, connection: apsw.Connection, draft: Draft, octets: memoryview) -> None:
        while octets:
            piece = draft.pieces[-1] if draft.pieces else None
            if piece is None or piece.length == piece.room:
                piece = self._take(connection, _wanted(draft, len(octets)))
                draft.pieces.append(piece)
            part = octets[: piece.room - piece.length]
            piece.segment.write(part, piece.start + piece.length)
            piece.length += len(part)
            octets = octets[len(part) :]

    def _take(self, connection: apsw.Connection, wanted: int) -> Piece:
        found = self._find(wanted)
        if found is None and self._claim_all(connection):
            found = self._find(wanted)
        if found is None:
            self._make(connection)
            found = self._find(wanted)
        if found is None:
            raise DiskFullError("MB-S25", path=str(self.folder))
        return found

    def _find(self, wanted: int) -> Piece | None:
        """Return a place of ``wanted`` bytes, or a smaller one when there is no better; None: a file must be made."""
        for segment in self._held.values():
            piece = segment.take(wanted)
            if piece is None:
                continue
            if piece.room >= min(wanted, FIRST_TAKE_BYTES):
                return piece
            segment.give_back(piece.start, piece.room)
        return None

    def _count(self) -> None:
        self.free_bytes = sum(segment.free_bytes for segment in self._held.values())

    def _claim_all(self, connection: apsw.Connection) -> bool:
        """Claim the files that no living process has; tell whether there were any."""
        before = len(self._held)
        for path in sorted(self.folder.glob("*.seg")):
            if path.stem.isascii() and path.stem.isdigit() and int(path.stem) not in self._held:
                self._claim(connection, path, os.O_RDWR)
        return len(self._held) > before

    def _claim(self, connection: apsw.Connection, path: Path, flags: int, size: int = 0) -> bool:
        """Open the file at ``path``, of ``size`` if it is to be made; False when another process has or had it."""
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        except (FileExistsError, FileNotFoundError):
            return False
        except OSError as error:
            raise failures.of_system(error, path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if size:
                _set_aside(descriptor, size)
                sync_folder(path.parent)
            segment = Segment(path, descriptor, _taken(connection, int(path.stem)))
            if os.fstat(descriptor).st_nlink == 0:  # its owner deleted it just now
                segment.close()
                return False
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            if size:
                path.unlink(missing_ok=True)
            raise failures.of_system(error, path) from error
        self._held[segment.number] = segment
        return True

    def _make(self, connection: apsw.Connection) -> None:
        """Make one more file, smaller where there is little room."""
        size, left = self._size, self._left()
        while size > left // 2 and size > SEGMENT_BYTES_MIN:  # the database and its log need some too
            size //= 2
        if size > left:
            raise DiskFullError("MB-S25", path=str(self.folder), free=f"{max(left, 0) // 1_000_000} MB")
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self.folder.parent)
        except OSError as error:
            raise failures.of_system(error, self.folder) from error
        number = self._last_number(connection) + 1
        while not self._claim(connection, self.folder / f"{number:04}.seg", os.O_RDWR | os.O_CREAT | os.O_EXCL, size):
            number += 1

    def _last_number(self, connection: apsw.Connection) -> int:
        """Return the highest number in use: by a file, or by a row whose file is lost."""
        row = select_one(connection, "SELECT coalesce(max(segment), 0) FROM pieces")
        files = (int(path.stem) for path in self.folder.glob("*.seg") if path.stem.isascii() and path.stem.isdigit())
        return max(0 if row is None else row.number(), *files, 0)


def _taken(connection: apsw.Connection, number: int) -> list[tuple[int, int]]:
    rows = select(connection, "SELECT start, length FROM pieces WHERE segment = ?", (number,))
    return [(row.number(), row.number()) for row in rows]


def _wanted(draft: Draft, at_least: int) -> int:
    """Return how much to take for what comes next."""
    written = draft.length
    guess = draft.expected - written if draft.expected > written else FIRST_TAKE_BYTES << min(len(draft.pieces), 6)
    return max(at_least, min(guess, TAKE_BYTES_MAX))


def _in_blocks(length: int) -> int:
    return -(-length // BLOCK_BYTES) * BLOCK_BYTES


def _set_aside(descriptor: int, size: int) -> None:
    """Have the blocks before they are needed: a disk that is full says so here."""
    os.posix_fallocate(descriptor, 0, size)
    os.fsync(descriptor)
