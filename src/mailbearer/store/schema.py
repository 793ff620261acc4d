"""Brings a database up to the newest schema, one numbered step after the other."""

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import apsw

from mailbearer.errors import StoreError
from mailbearer.store import failures
from mailbearer.store.folder import sync_folder
from mailbearer.store.rows import execute, pragma, select_one

APPLICATION_ID = 0x4D426561  # "MBea", so that file(1) and we know our own


def load_steps() -> tuple[str, ...]:
    """Return the SQL of all migrations, the first one first."""
    folder = resources.files("mailbearer.store") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(file.read_text(encoding="utf-8") for file in files)


def bring_up(connection: apsw.Connection, path: Path, steps: Sequence[str], *, alone: bool) -> None:
    """Carry out the ``steps`` that the database at ``path`` has not seen, each in a transaction.

    A copy of the file is made before the first step that changes an existing database.

    Raises:
        StoreError: MB-D02 it is another program's; MB-D03 it is newer; MB-D04 it is older and not ours ``alone``.
    """
    version = check_version(connection, path, len(steps))
    if version == len(steps):
        return
    if not alone:
        raise StoreError("MB-D04", path=str(path))
    if version:
        _keep_copy(connection, path.with_name(f"{path.stem}-schema-{version}{path.suffix}"))
    elif select_one(connection, "SELECT name FROM sqlite_master") is not None:
        raise StoreError("MB-D02", path=str(path), reason="it belongs to another program")
    for number in range(version + 1, len(steps) + 1):
        _take(connection, number, steps[number - 1])


def check_version(connection: apsw.Connection, path: Path, known: int) -> int:
    """Return how many steps the database at ``path`` has seen, ``known`` being all that there are.

    Raises:
        StoreError: MB-D03, it has seen more.
    """
    row = select_one(connection, "PRAGMA user_version")
    version = 0 if row is None else row.number()
    if version > known:
        raise StoreError("MB-D03", path=str(path), found=version, here=known)
    return version


def _take(connection: apsw.Connection, number: int, step: str) -> None:
    execute(connection, "BEGIN IMMEDIATE")
    try:
        execute(connection, step)
        pragma(connection, "application_id", APPLICATION_ID)
        pragma(connection, "user_version", number)
        execute(connection, "COMMIT")
    except apsw.Error:
        if connection.in_transaction:
            execute(connection, "ROLLBACK")
        raise


def _keep_copy(connection: apsw.Connection, copy: Path) -> None:
    unfinished = copy.with_suffix(".tmp")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        target = apsw.Connection(str(unfinished))
        with target.backup("main", connection, "main") as backup:
            backup.step()
        target.close()
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.rename(copy)
        sync_folder(copy.parent)
    except OSError as error:
        raise failures.of_system(error, copy) from error
