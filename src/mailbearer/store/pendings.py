"""Sign-ins under way, at most one for a service, and how the last one ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import apsw

from mailbearer.errors import ConflictError
from mailbearer.model.grant import Ended, Flow
from mailbearer.model.service import ServiceId
from mailbearer.store import leases
from mailbearer.store.database import Database
from mailbearer.store.rows import (
    Row,
    change,
    dumps,
    from_span,
    maybe_micros,
    select,
    select_one,
    to_micros,
    trouble_text,
    word_of,
)

_COLUMNS = "service, id, flow, started_at, expires_at, started_by, scopes, sealed, interval_, next_poll"


@dataclass(frozen=True, slots=True)
class SealedPending:
    """A sign-in under way as the store has it.

    ``sealed`` holds codes, state, verifier and addresses. ``interval`` is the time between polls, zero where nothing
    is polled.
    """

    service: ServiceId
    id: str
    flow: Flow
    started_at: datetime
    expires_at: datetime
    started_by: str
    scopes: tuple[str, ...]
    sealed: bytes
    interval: timedelta = timedelta()
    next_poll: datetime | None = None


class Pendings:
    """The tables ``pendings`` and ``ended_sign_ins``. A sign-in is stored together with its grant by ``Grants``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, pending: SealedPending, *, replace: bool = False) -> None:
        """Store a new sign-in; one that ran out before, or any one if ``replace``, gives way.

        Raises:
            ConflictError: MB-T29, somebody's sign-in is under way.
        """

        def work(connection: apsw.Connection) -> None:
            other = _get(connection, pending.service)
            if other is not None and not replace and other.expires_at > pending.started_at:
                when = f"at {other.started_at:%H:%M} UTC"
                raise ConflictError("MB-T29", service=pending.service, person=other.started_by, when=when)
            forget(connection, pending.service)
            _write(connection, pending)

        await self._database.write(work)

    async def get(self, service: ServiceId) -> SealedPending | None:
        """Return the sign-in under way, None when there is none."""
        return await self._database.read(lambda connection: _get(connection, service))

    async def all(self) -> tuple[SealedPending, ...]:
        """Return all sign-ins under way."""
        sql = f"SELECT {_COLUMNS} FROM pendings ORDER BY started_at, service"  # noqa: S608 - a constant of ours
        return await self._database.read(lambda connection: tuple(map(_pending_of, select(connection, sql))))

    async def set_next_poll(
        self, service: ServiceId, pending: str, *, next_poll: datetime | None, interval: timedelta
    ) -> bool:
        """Write down when to ask again; tell whether the sign-in is still under way."""
        sql = "UPDATE pendings SET next_poll = ?, interval_ = ? WHERE service = ? AND id = ?"
        bindings = (maybe_micros(next_poll), from_span(interval), service, pending)
        return await self._database.write(lambda connection: change(connection, sql, bindings) > 0)

    async def finish(self, ended: Ended) -> bool:
        """End a sign-in without tokens (refused, ran out); tell whether it was still under way."""
        return await self._database.write(lambda connection: end(connection, ended))

    async def cancel(self, service: ServiceId, pending: str = "") -> bool:
        """Drop a sign-in (any one if ``pending`` is empty), as if it had never begun; tell whether there was one."""
        sql = "DELETE FROM pendings WHERE service = ? AND ? IN (id, '')"
        return await self._database.write(lambda connection: change(connection, sql, (service, pending)) > 0)

    async def ended(self, service: ServiceId) -> Ended | None:
        """Return how the last sign-in ended, None when there was none since the last deletion."""
        sql = "SELECT service, id, at, trouble FROM ended_sign_ins WHERE service = ?"

        def work(connection: apsw.Connection) -> Ended | None:
            row = select_one(connection, sql, (service,))
            return None if row is None else Ended(ServiceId(row.text()), row.text(), row.time(), row.trouble())

        return await self._database.read(work)

    async def lease(self, service: ServiceId, owner: str, *, until: datetime, now: datetime) -> SealedPending | None:
        """Take the right to poll until ``until``; None when there is no sign-in or somebody else has it."""

        def work(connection: apsw.Connection) -> SealedPending | None:
            if not leases.take(connection, "pendings", service, owner, until=until, now=now):
                return None
            return _get(connection, service)

        return await self._database.write(work)

    async def release(self, service: ServiceId, owner: str) -> None:
        """Give the lease back; no fault when it is no longer held."""
        sql = "UPDATE pendings SET lease_owner = '', lease_until = 0 WHERE service = ? AND lease_owner = ?"
        await self._database.write(lambda connection: change(connection, sql, (service, owner)))


def end(connection: apsw.Connection, ended: Ended) -> bool:
    """Turn a sign-in under way into one that ended, within a transaction; tell whether it was under way."""
    key = (ended.service, ended.id)
    if not change(connection, "DELETE FROM pendings WHERE service = ? AND id = ?", key):
        return False
    sql = """INSERT INTO ended_sign_ins (service, id, at, trouble) VALUES (?, ?, ?, ?)
        ON CONFLICT (service) DO UPDATE SET id = excluded.id, at = excluded.at, trouble = excluded.trouble"""
    change(connection, sql, (*key, to_micros(ended.at), trouble_text(ended.trouble)))
    return True


def forget(connection: apsw.Connection, service: ServiceId) -> None:
    """Drop the sign-in under way and the memory of the last one, within a transaction."""
    change(connection, "DELETE FROM pendings WHERE service = ?", (service,))
    change(connection, "DELETE FROM ended_sign_ins WHERE service = ?", (service,))


def _get(connection: apsw.Connection, service: ServiceId) -> SealedPending | None:
    sql = f"SELECT {_COLUMNS} FROM pendings WHERE service = ?"  # noqa: S608 - a constant of ours
    row = select_one(connection, sql, (service,))
    return None if row is None else _pending_of(row)


def _write(connection: apsw.Connection, pending: SealedPending) -> None:
    sql = f"INSERT INTO pendings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant of ours
    times = (to_micros(pending.started_at), to_micros(pending.expires_at))
    asked = (pending.started_by, dumps(pending.scopes), pending.sealed)
    polls = (from_span(pending.interval), maybe_micros(pending.next_poll))
    change(connection, sql, (pending.service, pending.id, pending.flow, *times, *asked, *polls))


def _pending_of(row: Row) -> SealedPending:
    return SealedPending(  # in the order of _COLUMNS
        service=ServiceId(row.text()),
        id=row.text(),
        flow=word_of(Flow, row.text()),
        started_at=row.time(),
        expires_at=row.time(),
        started_by=row.text(),
        scopes=row.texts(),
        sealed=row.blob(),
        interval=row.span(),
        next_poll=row.maybe_time(),
    )
