"""Small facts about the store itself, such as the vault's check value: name and bytes."""

from collections.abc import Callable

import apsw

from mailbearer.store.database import Database
from mailbearer.store.rows import change, select, select_one

SEALED = "sealed/"  # names that begin so have sealed values


class Meta:
    """The table ``meta``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> bytes | None:
        """Return the value of ``name``."""
        return await self._database.read(lambda connection: _get(connection, name))

    async def put(self, name: str, value: bytes) -> None:
        """Set ``name``."""
        await self._database.write(lambda connection: put(connection, name, value))

    async def put_first(self, name: str, value: bytes) -> bytes:
        """Set ``name`` unless it is set already, and return what it is now: of two processes the first one wins."""

        def work(connection: apsw.Connection) -> bytes:
            held = _get(connection, name)
            if held is not None:
                return held
            put(connection, name, value)
            return value

        return await self._database.write(work)

    async def remove(self, name: str) -> None:
        """Forget ``name``."""
        await self._database.write(lambda connection: change(connection, "DELETE FROM meta WHERE name = ?", (name,)))


def put(connection: apsw.Connection, name: str, value: bytes) -> None:
    """Set ``name`` within a transaction."""
    sql = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    change(connection, sql, (name, value))


def rewrap(connection: apsw.Connection, rewrapped: Callable[[bytes], bytes]) -> int:
    """Pass the sealed values through ``rewrapped`` within a transaction; return how many those are."""
    found = select(connection, "SELECT name, value FROM meta WHERE name LIKE ?", (SEALED + "%",))
    for row in found:
        name = row.text()
        put(connection, name, rewrapped(row.blob()))
    return len(found)


def _get(connection: apsw.Connection, name: str) -> bytes | None:
    row = select_one(connection, "SELECT value FROM meta WHERE name = ?", (name,))
    return None if row is None else row.blob()
