"""Which messages of each POP3 mailbox were dealt with already, by their UIDL (RFC 1939 section 7)."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

import apsw

from mailbearer.model.service import ServiceId
from mailbearer.store.database import Database
from mailbearer.store.rows import change, select, to_micros, word_of


class SeenState(StrEnum):
    """How far a message is."""

    HANDED_OVER = "handed-over"
    DELETED = "deleted"  # and on the server too


class Seen:
    """The table ``seen``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, service: ServiceId, uidls: Iterable[str]) -> dict[str, SeenState]:
        """Return those of ``uidls`` that were dealt with, and how far they are."""
        wanted = frozenset(uidls)
        held = await self._database.read(lambda connection: _all(connection, service))
        return {uidl: state for uidl, state in held.items() if uidl in wanted}

    async def mark(self, service: ServiceId, uidl: str, state: SeenState, *, at: datetime) -> None:
        """Write down how far a message is."""
        sql = """INSERT INTO seen (service, uidl, state, at) VALUES (?, ?, ?, ?)
            ON CONFLICT (service, uidl) DO UPDATE SET state = excluded.state, at = excluded.at"""
        await self._database.write(lambda connection: change(connection, sql, (service, uidl, state, to_micros(at))))

    async def forget_gone(self, service: ServiceId, present: Iterable[str]) -> int:
        """Forget what the server no longer has, ``present`` being all that it has; return how many."""
        there = frozenset(present)

        def work(connection: apsw.Connection) -> int:
            gone = [uidl for uidl in _all(connection, service) if uidl not in there]
            for uidl in gone:
                change(connection, "DELETE FROM seen WHERE service = ? AND uidl = ?", (service, uidl))
            return len(gone)

        return await self._database.write(work)

    async def forget_all(self, service: ServiceId) -> None:
        """Forget everything of a service; its next check hands over the whole mailbox."""
        sql = "DELETE FROM seen WHERE service = ?"
        await self._database.write(lambda connection: change(connection, sql, (service,)))


def _all(connection: apsw.Connection, service: ServiceId) -> dict[str, SeenState]:
    rows = select(connection, "SELECT uidl, state FROM seen WHERE service = ?", (service,))
    return {row.text(): word_of(SeenState, row.text()) for row in rows}
