"""Maildir: tmp, fsync, rename into new (https://cr.yp.to/proto/maildir.html)."""

import contextlib
import os
from pathlib import Path

from mailbearer.receiving.files import copy_into, prepare_folder, same_content, unreachable
from mailbearer.receiving.item import Item
from mailbearer.store.folder import sync_folder


def prepare(path: Path) -> None:
    """Make the Maildir if it is not there."""
    for name in ("tmp", "new", "cur"):
        prepare_folder(path / name)


def hand_over(item: Item, path: Path) -> None:
    """Put ``item`` into the Maildir; when this returns it is on the disk.

    Fetched again after a crash it is not put in a second time, unless somebody has taken it out meanwhile.
    """
    name = f"{item.mark}.mailbearer.{item.stem},S={item.size}"
    unfinished = path / "tmp" / name
    try:
        if _is_there(item, path, name):
            return
        with unfinished.open("wb") as file:
            copy_into(item.file)(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path / "new" / name)
        sync_folder(path / "new")
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise unreachable(path, error) from error


def _is_there(item: Item, path: Path, name: str) -> bool:
    """Is this very message in the Maildir, new or with flags behind its name."""
    there = (entry for part in ("new", "cur") for entry in (path / part).iterdir())
    return any(entry.name.startswith(name) and same_content(item.file)(entry) for entry in there)
