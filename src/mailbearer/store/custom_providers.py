"""Providers that the administrator added himself: identifier and JSON text, which only ``providers`` understands."""

import apsw

from mailbearer.errors import NotFoundError
from mailbearer.store.database import Database
from mailbearer.store.rows import change, select, select_one


class CustomProviders:
    """The table ``custom_providers``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, str]:
        """Return identifier and text of each."""
        sql = "SELECT id, body FROM custom_providers ORDER BY id"

        def work(connection: apsw.Connection) -> dict[str, str]:
            return {row.text(): row.text() for row in select(connection, sql)}

        return await self._database.read(work)

    async def get(self, provider: str) -> str:
        """Return the text of one.

        Raises:
            NotFoundError: MB-W20, there is none of that name.
        """

        def work(connection: apsw.Connection) -> str:
            row = select_one(connection, "SELECT body FROM custom_providers WHERE id = ?", (provider,))
            if row is None:
                raise NotFoundError("MB-W20", kind="provider", name=provider)
            return row.text()

        return await self._database.read(work)

    async def put(self, provider: str, body: str) -> None:
        """Store one, in place of what was there."""
        sql = (
            "INSERT INTO custom_providers (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
        )
        await self._database.write(lambda connection: change(connection, sql, (provider, body)))

    async def remove(self, provider: str) -> bool:
        """Remove one; tell whether there was one."""
        sql = "DELETE FROM custom_providers WHERE id = ?"
        return await self._database.write(lambda connection: change(connection, sql, (provider,)) > 0)
