"""Changing the key file so that a crash at any moment leaves a key that opens everything.

The new key waits beside the old one while the store is sealed anew, in one transaction; then it takes its place. Which
of the two is right is told by the vault's check value, so a start after a crash finishes what was begun.
"""

import os
from collections.abc import Callable
from pathlib import Path

from mailbearer.errors import VaultError
from mailbearer.vault.keys import KeySource, MasterKey, load_key


def begin(path: Path) -> MasterKey:
    """Make a new key and write it down beside the one at ``path``; return it.

    Raises:
        VaultError: MB-T25, it cannot be written.
    """
    waiting = _waiting(path)
    waiting.unlink(missing_ok=True)
    return load_key(KeySource.FILE, waiting, create=True)


def finish(path: Path) -> None:
    """Put the new key in the place of the old one."""
    _waiting(path).replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def recovered(path: Path, fits: Callable[[MasterKey], bool]) -> MasterKey | None:
    """Return the key that was on its way to ``path`` when a rotation was cut short, if it is the one that ``fits``.

    It is in its place then. A waiting key that does not fit belongs to a rotation that changed nothing.
    """
    waiting = _waiting(path)
    if not waiting.exists():
        return None
    try:
        key = load_key(KeySource.FILE, waiting)
    except VaultError:  # it was cut short while it was written
        return None
    if not fits(key):
        return None
    finish(path)
    return key


def _waiting(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")
