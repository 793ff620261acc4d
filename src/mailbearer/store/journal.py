"""The rotation journal: room set aside beforehand, so that a renewed token outlives a full disk and a crash.

A provider that rotates refresh tokens takes the old one no longer once it has answered. Between that answer and the
commit the new token exists nowhere else; so a slot is reserved before the request, and the sealed answer goes into it
first. A slot is a part of a file whose blocks were written and synced when it was made: filling it takes no room.

One file serves one process at a time (flock). What a dead process left is found by ``recover``, its file used again.
File: slots of ``SLOT_BYTES``; slot: magic, CRC-32 of the rest, length of service name, version, length of the sealed
value, service name, sealed value. A torn slot has a wrong CRC and counts as empty.
"""

import asyncio
import fcntl
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mailbearer.errors import StoreError
from mailbearer.model.service import ServiceId
from mailbearer.store import failures
from mailbearer.store.folder import sync_folder

SLOTS = 16  # twice as many as renewals run at once
SLOT_BYTES = 256 * 1024  # access, refresh and ID token of 64 KiB each, sealed
_MAGIC = b"MBj1"
_HEAD = struct.Struct(">4sIHQI")
_CHECKED_FROM = 8  # the CRC covers what follows it


@dataclass(slots=True)
class Slot:
    """A reserved place for the answer to one renewal of ``service``, whose tokens were of ``version``."""

    service: ServiceId
    version: int
    file: "_File"
    number: int
    filled: int = 0  # bytes


@dataclass(frozen=True, slots=True)
class Leftover:
    """A renewed token that a dead process had no time to commit: it replaces the tokens of ``version``.

    ``slot`` is cleared once it is committed, or found to be out of date.
    """

    service: ServiceId
    version: int
    sealed: bytes
    slot: Slot


class RotationJournal:
    """The journal of this process; files are made when the first slot is reserved."""

    def __init__(self, folder: Path, *, slots: int = SLOTS) -> None:
        self._folder = folder
        self._slots = slots
        self._files: list[_File] = []
        self._making = asyncio.Lock()

    async def reserve(self, service: ServiceId, version: int) -> Slot:
        """Return a free slot for the answer to a renewal of ``version``; to be had before the request is sent.

        Raises:
            DiskFullError: there is no room to set aside, so the request must not be sent.
            StoreError: the disk fails, or too many renewals wait to be committed.
        """
        async with self._making:
            if not self._files:
                self._files.append(await asyncio.to_thread(self._find_or_make))
        for file in self._files:
            if file.free:
                return Slot(service, version, file, file.free.pop())
        raise StoreError("MB-D05", path=str(self._folder), reason="too many renewals wait to be stored")

    def keep(self, slot: Slot, sealed: bytes) -> None:
        """Store ``sealed`` in ``slot``; it is on the disk when this returns. Waits for the disk, about a millisecond.

        Raises:
            StoreError: the disk fails, or ``sealed`` is larger than a slot.
        """
        record = _encode(slot.service, slot.version, sealed)
        if len(record) > SLOT_BYTES:
            raise StoreError("MB-D05", path=str(self._folder), reason="the token is larger than a slot of the journal")
        slot.filled = len(record)
        slot.file.write(slot.number, record)

    async def clear(self, slot: Slot) -> None:
        """Give ``slot`` back: its value is committed, or there was none."""
        if slot.filled:
            await asyncio.to_thread(slot.file.write, slot.number, bytes(slot.filled))
        slot.file.free.add(slot.number)

    async def recover(self) -> list[Leftover]:
        """Return what dead processes left; to be called before a renewal, and cheap enough for each one.

        Their files belong to this process from now on. What is not cleared is found again by the next process.
        """
        found = await asyncio.to_thread(lambda: [file for file in self._claim_all() if file.keep_only_if_filled()])
        self._files += found
        return [leftover for file in found for leftover in file.leftovers]

    async def close(self) -> None:
        """Let go of the files; a slot that was not cleared is left for the next process."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _claim_all(self) -> Iterator["_File"]:
        """Yield the files that no living process has, claimed."""
        for path in sorted(self._folder.glob("*.journal")):
            file = _File.claim(path, self._slots)
            if file is not None:
                yield file

    def _find_or_make(self) -> "_File":
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise failures.of_system(error, self._folder) from error
        for file in self._claim_all():
            if not file.leftovers:
                return file
            file.close()  # somebody must ``recover`` it first
        made = None
        while made is None:  # another process that looks for a free file may be faster than we who made it
            made = _File.claim(self._folder / f"{secrets.token_hex(8)}.journal", self._slots)
        return made


class _File:
    """One file of slots, locked for this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        slots = os.fstat(descriptor).st_size // SLOT_BYTES
        self.leftovers = [leftover for number in range(slots) if (leftover := self._read(number)) is not None]
        self.free = set(range(slots)) - {leftover.slot.number for leftover in self.leftovers}

    @classmethod
    def claim(cls, path: Path, slots: int) -> "_File | None":
        """Open the file at ``path``, made or completed if need be; None when another process has it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise failures.of_system(error, path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _set_aside(descriptor, path, slots * SLOT_BYTES)
            return cls(path, descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise failures.of_system(error, path) from error

    def keep_only_if_filled(self) -> bool:
        """Tell whether the file holds anything; if not, let go of it."""
        if not self.leftovers:
            self.close()
        return bool(self.leftovers)

    def write(self, number: int, octets: bytes) -> None:
        """Write ``octets`` to the front of slot ``number``, durably."""
        try:
            _write_all(self._descriptor, octets, number * SLOT_BYTES)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise failures.of_system(error, self._path) from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _read(self, number: int) -> Leftover | None:
        start = number * SLOT_BYTES
        head = os.pread(self._descriptor, _HEAD.size, start)
        if not head.startswith(_MAGIC):
            return None
        found = _decode(head + os.pread(self._descriptor, SLOT_BYTES - _HEAD.size, start + _HEAD.size))
        if found is None:
            return None
        service, version, sealed, size = found
        return Leftover(service, version, sealed, Slot(service, version, self, number, filled=size))


def _encode(service: ServiceId, version: int, sealed: bytes) -> bytes:
    name = service.encode()
    checked = _HEAD.pack(_MAGIC, 0, len(name), version, len(sealed))[_CHECKED_FROM:] + name + sealed
    return _MAGIC + struct.pack(">I", zlib.crc32(checked)) + checked


def _decode(slot: bytes) -> tuple[ServiceId, int, bytes, int] | None:
    """Return service, version, sealed value and length of the record at the front of ``slot``; None when torn."""
    _, crc, name_size, version, sealed_size = _HEAD.unpack_from(slot)
    end_of_name = _HEAD.size + name_size
    end = end_of_name + sealed_size
    if end > len(slot) or zlib.crc32(slot[_CHECKED_FROM:end]) != crc:
        return None
    return ServiceId(slot[_HEAD.size : end_of_name].decode()), version, slot[end_of_name:end], end


def _set_aside(descriptor: int, path: Path, size: int) -> None:
    """Give the file blocks of its own up to ``size``: written, not only promised, so that filling them cannot fail."""
    there = os.fstat(descriptor).st_size
    if there < size:
        _write_all(descriptor, bytes(size - there), there)
        os.fsync(descriptor)
        sync_folder(path.parent)


def _write_all(descriptor: int, octets: bytes, offset: int) -> None:
    rest = memoryview(octets)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        offset, rest = offset + written, rest[written:]
