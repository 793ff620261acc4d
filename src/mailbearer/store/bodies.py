"""The contents of queued messages: small ones in the table ``bodies``, large ones in segment files.

A content is received in pieces that go to the disk while more of it comes, and becomes a message's in the same
transaction as the row of the queue: the segment files are synced first, once for all messages of that transaction.
"""

import asyncio
import os
import zlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from mailbearer.errors import DiskFullError, MailbearerError, StoreError
from mailbearer.model.message import MessageId
from mailbearer.store.database import Database
from mailbearer.store.room import RoomWatch
from mailbearer.store.rows import Value, change, dumps, execute, select, select_one
from mailbearer.store.segments import BLOCK_BYTES, Draft, Segment, Segments
from mailbearer.store.spool import Spool

INLINE_BYTES = 32 * 1024  # SQLite writes everything twice; above this a file is faster (docs/decisions/0015-bodies.md)
READ_BYTES = 64 * 1024  # what is read at once
READ_WHOLE_BYTES = 128 * 1024  # … but no more than this much is read with the row
# How much of one message waits in memory before it goes to the disk, by how much all of them hold together
WAITING_BYTES = 128 * 1024
CROWDED = ((32 * 1024 * 1024, 4 * 1024), (1024 * 1024, 32 * 1024))
GO_ON_AT_ONCE = 8  # messages that may go on in one turn of the loop: each brings a piece to be looked through
_NO_WAIT = getattr(os, "RWF_NOWAIT", None)  # Linux: read only what is in memory

Place = tuple[int, int, int]  # segment, start, length


class Bodies:
    """All contents. Those of the spool were accepted by an older version, and stay there."""

    def __init__(self, database: Database, segments: Segments, room: RoomWatch, spool: Spool) -> None:
        self._database = database
        self._segments = segments
        self._room = room
        self._folder = segments.folder
        self._spool = spool
        self.held = 0  # bytes of contents that wait in memory
        self._resting: deque[asyncio.Future[None]] = deque()

    def new(self, *, expected: int = 0) -> "NewBody":
        """Return a new content, of ``expected`` bytes or 0 for unknown; it is kept by ``Messages.add`` only.

        Raises:
            DiskFullError: there is no room for it.
        """
        try:
            self._room.check(max(INLINE_BYTES, expected - self._segments.free_bytes))
        except DiskFullError:
            self._give_up_spare_files()
            raise
        return NewBody(self, self._database, self._segments, expected)

    def _give_up_spare_files(self) -> None:
        """Give room back to the disk that nobody needs just now: who was refused will try again."""

        def trim(_: apsw.Connection) -> Sequence[Segment]:
            self._segments.trim(spare=0)
            return ()

        if self._segments.free_bytes:
            self._database.prepare(trim).add_done_callback(_ignore)

    def waiting_max(self) -> int:
        """Return how much of one content may wait in memory now."""
        return next((size for held, size in CROWDED if self.held >= held), WAITING_BYTES)

    @property
    def crowded(self) -> bool:
        """Whether much is held by all contents together: then none brings more until its last piece is written."""
        return self.held >= CROWDED[-1][0]

    async def turn(self) -> None:
        """Wait for one's turn to go on, first come, first served: all at once would keep the loop from all others."""
        loop = asyncio.get_running_loop()
        if not self._resting:
            loop.call_soon(self._let_some_go_on)
        turn = loop.create_future()
        self._resting.append(turn)
        await turn

    def _let_some_go_on(self) -> None:
        for _ in range(min(GO_ON_AT_ONCE, len(self._resting))):
            turn = self._resting.popleft()
            if not turn.done():
                turn.set_result(None)
        if self._resting:
            asyncio.get_running_loop().call_soon(self._let_some_go_on)

    async def find(self, message: MessageId) -> "Body":
        """Return the content of a message.

        Raises:
            StoreError: MB-D05, it is not there or cannot be read.
        """
        found = await self._database.read(lambda connection: _find(connection, self._folder, message))
        return await _in_spool(self._spool, message) if found is None else found

    async def find_all(self, messages: Sequence[MessageId]) -> "dict[MessageId, Body]":
        """Return the contents of ``messages`` that are here and can be read; ``find`` tells why one is not."""

        def work(connection: apsw.Connection) -> dict[MessageId, Body]:
            found: dict[MessageId, Body] = {}
            for message in messages:
                with suppress(StoreError):
                    body = _find(connection, self._folder, message)
                    if body is not None:
                        found[message] = body
            return found

        return await self._database.read(work)

    async def sweep(self) -> None:
        """Forget contents that no message needs any more; to be called now and then while serving."""
        places: list[Place] = []

        def work(connection: apsw.Connection) -> None:
            places[:] = drop(connection, *_needless(connection))

        def after(ok: bool) -> None:
            if ok:
                self._segments.free(places)

        def recount(connection: apsw.Connection) -> Sequence[Segment]:
            self._segments.sweep(connection)
            return ()

        await self._database.write(work, after=after)
        await self._database.prepare(recount)


class NewBody:
    """A content that is being received.

    ``write`` never waits; who reads from a network asks ``congested`` after it, and if so waits for ``drain``. Ends
    with ``Messages.add`` or with ``abort``.
    """

    def __init__(self, bodies: Bodies, database: Database, segments: Segments, expected: int) -> None:
        self._bodies = bodies
        self._database = database
        self._segments = segments
        self._expected = expected
        self._waiting = _Waiting()
        self._draft: Draft | None = None
        self._writing: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._ended = False
        self.size = 0
        self.is_ascii = True

    @property
    def congested(self) -> bool:
        """Whether the disk is behind: more would be held in memory."""
        if self._writing is None:
            return False
        return self._bodies.crowded or self._waiting.size >= self._bodies.waiting_max()

    @property
    def large(self) -> bool:
        """Whether it goes, or went, to a segment."""
        return self._draft is not None

    def write(self, chunk: bytes) -> None:
        """Add ``chunk``.

        Raises:
            DiskFullError: there is no more room.
        """
        if self._failure is not None:
            raise self._failure
        self._waiting.add(chunk)
        self.size += len(chunk)
        self._bodies.held += len(chunk)
        if self.is_ascii and not chunk.isascii():
            self.is_ascii = False
        self._write_on()

    async def drain(self) -> None:
        """Wait until the content is not ``congested``.

        Raises:
            DiskFullError: there is no more room.
        """
        while self._writing is not None and self.congested:
            await asyncio.wait([self._writing])
            await self._bodies.turn()
        if self._failure is not None:
            raise self._failure

    def abort(self) -> None:
        """Forget the content; no fault when it is kept already."""
        if self._ended:
            return
        self._end()
        draft = self._draft
        if draft is not None:
            with suppress(StoreError):  # the store is closed; the next one finds the places free
                self._database.prepare(lambda _: self._settle(draft, kept=False)).add_done_callback(_ignore)

    def bring_down(self, connection: apsw.Connection) -> Sequence[Segment]:
        """Write the rest of a large content; return the files to be synced. In the writer's thread."""
        draft = self._draft
        if draft is None:
            return ()
        draft.expected = draft.length + self._waiting.size
        self._segments.write(connection, draft, self._waiting.parts)
        return self._segments.complete(draft)

    def small(self, prefix: bytes) -> "Body | None":
        """Return the content, ``prefix`` before it, as ``find`` will when it is kept; None when it is a large one."""
        if self._draft is not None or self._waiting.size > INLINE_BYTES:
            return None
        return Body(
            len(prefix) + self.size, self.is_ascii and prefix.isascii(), b"".join((prefix, *self._waiting.parts))
        )

    def row(self, prefix: bytes) -> tuple[Value, ...]:
        """Return head, size, is_ascii and checksum for its row, ``prefix`` before it; after ``bring_down``."""
        draft, is_ascii, size = self._draft, self.is_ascii and prefix.isascii(), len(prefix) + self.size
        if draft is None:
            return b"".join((prefix, *self._waiting.parts)), size, int(is_ascii), 0
        return prefix, size, int(is_ascii), draft.checksum

    def insert_pieces(self, connection: apsw.Connection, message: MessageId) -> None:
        """Write down where a large content lies, in the transaction that makes it that of ``message``."""
        sql = "INSERT INTO pieces (segment, start, length, message, number) VALUES (?, ?, ?, ?, ?)"
        for number, piece in enumerate(() if self._draft is None else self._draft.pieces):
            execute(connection, sql, (piece.segment.number, piece.start, piece.length, message, number))

    def settle(self, kept: bool) -> None:
        """Hear whether it was ``kept``. In the writer's thread."""
        if self._draft is not None:
            self._settle(self._draft, kept=kept)

    def close(self) -> None:
        """Take no more: the content is on its way to be kept."""
        self._end()
        if self._draft is None and self._waiting.size > INLINE_BYTES:
            self._draft = Draft()

    def _settle(self, draft: Draft, *, kept: bool) -> Sequence[Segment]:
        self._segments.settle(draft, kept=kept)
        return ()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._bodies.held -= self._waiting.size

    def _write_on(self) -> None:
        """Send what waits to the disk, if it is enough and nothing of this content is on its way already."""
        if self._ended or self._writing is not None or self._waiting.size < self._bodies.waiting_max():
            return
        draft = self._draft = self._draft or Draft(self._expected)
        waiting, self._waiting = self._waiting, _Waiting()

        def before(connection: apsw.Connection) -> Sequence[Segment]:
            self._segments.write(connection, draft, waiting.parts)
            return ()

        def written(future: asyncio.Future[None]) -> None:
            self._bodies.held -= waiting.size
            self._writing = None
            if future.cancelled():
                return
            self._failure = self._failure or future.exception()
            if self._failure is None:
                self._write_on()

        try:
            self._writing = self._database.prepare(before)
        except MailbearerError:
            self._bodies.held -= waiting.size
            raise
        self._writing.add_done_callback(written)


class _Waiting:
    """Octets that wait in memory: as they came, but small ones together."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[bytes | bytearray] = []
        self.size = 0

    def add(self, chunk: bytes) -> None:
        """Add ``chunk``."""
        self.size += len(chunk)
        last = self.parts[-1] if self.parts else None
        if len(chunk) >= BLOCK_BYTES:
            self.parts.append(chunk)
        elif isinstance(last, bytearray):
            last += chunk
        else:
            self.parts.append(bytearray(chunk))


@dataclass(frozen=True, slots=True)
class Body:
    """The content of a message, not yet read but for its ``head``, which is all of it where it is small."""

    size: int
    is_ascii: bool
    head: bytes
    places: tuple[Place, ...] = ()
    checksum: int = 0
    folder: Path = Path()
    spooled: AsyncIterator[bytes] | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content in pieces.

        Raises:
            StoreError: MB-D05, it cannot be read, or it is not what was written: do not end the message then.
        """
        if self.head:
            yield self.head
        if self.spooled is not None:
            async for chunk in self.spooled:
                yield chunk
        checksum = 0
        for number, start, length in self.places:
            async for chunk in _read(_path_of(self.folder, number), start, length):
                checksum = zlib.crc32(chunk, checksum)
                yield chunk
        if checksum != self.checksum:
            raise _changed(self.folder)


def drop(connection: apsw.Connection, *messages: MessageId) -> list[Place]:
    """Drop the contents of ``messages``; return the places that are free once this is committed."""
    if not messages:
        return []
    names = dumps(messages)
    change(connection, "DELETE FROM bodies WHERE id IN (SELECT value FROM json_each(?))", (names,))
    sql = """DELETE FROM pieces WHERE message IN (SELECT value FROM json_each(?)) RETURNING segment, start, length"""
    return [(row.number(), row.number(), row.number()) for row in select(connection, sql, (names,))]


def _needless(connection: apsw.Connection) -> list[MessageId]:
    """Return the contents of messages that are done with, or gone; normally they went with the row."""
    sql = """SELECT bodies.id FROM bodies LEFT JOIN messages ON messages.id = bodies.id
        WHERE messages.id IS NULL OR messages.state IN ('Accepted', 'Cancelled')"""
    return [MessageId(row.text()) for row in select(connection, sql)]


def _find(connection: apsw.Connection, folder: Path, message: MessageId) -> Body | None:
    row = select_one(connection, "SELECT head, size, is_ascii, checksum FROM bodies WHERE id = ?", (message,))
    if row is None:
        return None
    head, size, is_ascii, checksum = row.blob(), row.number(), bool(row.number()), row.number()
    if size == len(head):
        return Body(size, is_ascii, head)
    sql = "SELECT segment, start, length FROM pieces WHERE message = ? ORDER BY number"
    places = tuple((found.number(), found.number(), found.number()) for found in select(connection, sql, (message,)))
    if size > READ_WHOLE_BYTES:
        return Body(size, is_ascii, head, places, checksum, folder)
    pieces = b"".join([_read_at_once(_path_of(folder, number), start, length) for number, start, length in places])
    if zlib.crc32(pieces) != checksum:
        raise _changed(folder)
    return Body(size, is_ascii, head + pieces)


async def _in_spool(spool: Spool, message: MessageId) -> Body:
    """Return the content of a message that an older version accepted."""
    size, is_ascii = 0, True
    chunks: AsyncIterator[bytes] = spool.open(message)
    async for chunk in chunks:
        size += len(chunk)
        is_ascii = is_ascii and chunk.isascii()
    return Body(size, is_ascii, b"", spooled=spool.open(message))


async def _read(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    try:
        with await asyncio.to_thread(path.open, "rb", buffering=0) as file:
            descriptor, end = file.fileno(), start + length
            while start < end:
                wanted = min(READ_BYTES, end - start)
                chunk = _read_from_memory(descriptor, start, wanted)
                if not chunk:
                    chunk = await asyncio.to_thread(os.pread, descriptor, wanted, start)
                if not chunk:
                    raise _changed(path)
                start += len(chunk)
                yield chunk
    except OSError as error:
        raise StoreError("MB-D05", reason=error.strerror or str(error), path=str(path)) from error


def _read_from_memory(descriptor: int, start: int, wanted: int) -> bytes:
    """Return what the operating system has at hand, nothing when it would have to wait for the disk."""
    if _NO_WAIT is None:
        return b""
    buffer = bytearray(wanted)
    try:
        count = os.preadv(descriptor, [buffer], start, _NO_WAIT)
    except OSError:  # EAGAIN: it is on the disk; EOPNOTSUPP: this file system cannot tell
        return b""
    return bytes(buffer[:count]) if count < wanted else bytes(buffer)


def _read_at_once(path: Path, start: int, length: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, start)
    except OSError as error:
        raise StoreError("MB-D05", reason=error.strerror or str(error), path=str(path)) from error


def _path_of(folder: Path, number: int) -> Path:
    return folder / f"{number:04}.seg"


def _changed(path: Path) -> StoreError:
    return StoreError("MB-D05", reason="the content is not what was written", path=str(path))


def _ignore(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
