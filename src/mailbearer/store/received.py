"""The received log: what came in, and where it went."""

from datetime import datetime

import apsw

from mailbearer.errors import NotFoundError
from mailbearer.model.message import ReceivedItem
from mailbearer.model.service import ServiceId
from mailbearer.store.database import Database
from mailbearer.store.rows import Row, change, dumps, printable, select, select_one, to_micros

_COLUMNS = "id, service, uidl, at, size, sender, subject, destinations, state"


class Received:
    """The table ``received``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, item: ReceivedItem) -> None:
        """Store one item."""
        sql = f"""INSERT INTO received ({_COLUMNS}, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?,
            (SELECT coalesce(max(position), 0) + 1 FROM received))"""  # noqa: S608 - a constant of ours
        what = (item.id, item.service, item.uidl, to_micros(item.at), item.size)
        shown = (printable(item.sender), printable(item.subject), dumps(item.destinations), item.state)
        await self._database.write(lambda connection: change(connection, sql, (*what, *shown)))

    async def get(self, item: str) -> ReceivedItem:
        """Return one item.

        Raises:
            NotFoundError: MB-W20, there is none of that name.
        """
        sql = f"SELECT {_COLUMNS} FROM received WHERE id = ?"  # noqa: S608 - a constant of ours

        def work(connection: apsw.Connection) -> ReceivedItem:
            row = select_one(connection, sql, (item,))
            if row is None:
                raise NotFoundError("MB-W20", kind="item", name=item)
            return _item_of(row)

        return await self._database.read(work)

    async def list(self, *, service: ServiceId | None = None, limit: int = 100) -> tuple[ReceivedItem, ...]:
        """Return the newest items first, of ``service`` (None: any)."""
        sql = f"""SELECT {_COLUMNS} FROM received WHERE {"1 = 1" if service is None else "service = ?"}
            ORDER BY position DESC LIMIT ?"""  # noqa: S608 - no value is in the text
        bindings = (*(() if service is None else (service,)), limit)
        return await self._database.read(lambda connection: tuple(map(_item_of, select(connection, sql, bindings))))

    async def forget(self, before: datetime) -> int:
        """Drop what came before ``before`` from the log; return how many."""
        sql = "DELETE FROM received WHERE at < ?"
        return await self._database.write(lambda connection: change(connection, sql, (to_micros(before),)))


def _item_of(row: Row) -> ReceivedItem:
    return ReceivedItem(  # in the order of _COLUMNS
        id=row.text(),
        service=ServiceId(row.text()),
        uidl=row.text(),
        at=row.time(),
        size=row.number(),
        sender=row.text(),
        subject=row.text(),
        destinations=row.texts(),
        state=row.text(),
    )
