"""Putting a file into a folder so that it is whole and durable or not there at all, and never over another."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mailbearer.errors import DiskFullError, StoreError
from mailbearer.store.folder import sync_folder

CHUNK = 256 * 1024
_NO_ROOM = frozenset({28, 122})  # ENOSPC, EDQUOT


def prepare_folder(path: Path) -> None:
    """Make ``path`` if it is not there.

    Raises:
        StoreError: MB-P17, it cannot be reached.
    """
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise unreachable(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreError("MB-P17", path=str(path), reason="it may not be written")


def place(folder: Path, name: str, write: Callable[[BinaryIO], None], *, taken: Callable[[Path], bool]) -> Path:
    """Write a file and give it the name ``name`` in ``folder``; return its path once it is on the disk.

    When ``taken`` says that the name already holds the same thing, nothing is written. Another thing of that name is
    left alone: the new file gets a number.
    """
    final = folder / name
    unfinished = folder / f".{name}.part"  # what a crash left of it is written over
    try:
        if final.exists() and taken(final):
            return final
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        final = _named(unfinished, final, taken)
        sync_folder(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise unreachable(folder, error) from error
    return final


def copy_into(source: Path) -> Callable[[BinaryIO], None]:
    """Return a writer that copies ``source``."""

    def write(target: BinaryIO) -> None:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                target.write(chunk)

    return write


def same_content(source: Path) -> Callable[[Path], bool]:
    """Return a test whether a file has the content of ``source``."""

    def test(found: Path) -> bool:
        if found.stat().st_size != source.stat().st_size:
            return False
        with source.open("rb") as left, found.open("rb") as right:
            while chunk := left.read(CHUNK):
                if chunk != right.read(CHUNK):
                    return False
        return True

    return test


def unreachable(path: Path, error: OSError) -> StoreError:
    """Return the error for a destination that cannot be written."""
    if error.errno in _NO_ROOM:
        return DiskFullError("MB-S25", path=str(path))
    return StoreError("MB-P17", path=str(path), reason=error.strerror or "it cannot be written")


def _named(unfinished: Path, final: Path, taken: Callable[[Path], bool]) -> Path:
    """Give a file its name with link(2), which never replaces anything."""
    for number in range(1, 1000):
        name = final if number == 1 else final.with_name(f"{final.stem}-{number}{final.suffix}")
        try:
            os.link(unfinished, name)
        except FileExistsError:
            if taken(name):
                unfinished.unlink()
                return name
            continue
        unfinished.unlink()
        return name
    raise OSError(17, "too many files of one name")
