"""The audit log: who did what, from where, when. Rows are only ever added."""

from dataclasses import dataclass
from datetime import datetime

from mailbearer.clock import Clock
from mailbearer.store.database import Database
from mailbearer.store.rows import Row, change, printable, select, to_micros


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did; ``subject`` is what it was done to, ``detail`` never a secret."""

    at: datetime
    who: str
    from_where: str
    what: str
    subject: str
    detail: str


class Audit:
    """The table ``audit``."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def append(self, *, who: str, from_where: str, what: str, subject: str, detail: str = "") -> None:
        """Write down that ``who`` did ``what``, now."""
        sql = "INSERT INTO audit (at, who, from_where, what, subject, detail) VALUES (?, ?, ?, ?, ?, ?)"
        said = (printable(who), printable(from_where), printable(what), printable(subject), printable(detail))
        bindings = (to_micros(self._clock.now()), *said)
        await self._database.write(lambda connection: change(connection, sql, bindings))

    async def list(self, *, limit: int = 100) -> tuple[AuditEntry, ...]:
        """Return the newest entries first."""
        sql = "SELECT at, who, from_where, what, subject, detail FROM audit ORDER BY id DESC LIMIT ?"
        return await self._database.read(lambda connection: tuple(map(_entry_of, select(connection, sql, (limit,)))))


def _entry_of(row: Row) -> AuditEntry:
    return AuditEntry(row.time(), row.text(), row.text(), row.text(), row.text(), row.text())
