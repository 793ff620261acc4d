"""Grants: the sealed tokens of each service, and who may change them when.

A version belongs to one set of tokens: it grows by one whenever tokens are stored, and never comes again for that
service, even after deletion. So whoever read a version and writes on its strength loses when anything came between:
a deleted grant never comes back. What is said *about* the tokens (invalid, trouble, next try) leaves the version alone,
so that a note never makes a freshly renewed token lose.
"""

from dataclasses import dataclass
from datetime import datetime

import apsw

from mailbearer.model.grant import Ended, Flow, Trouble
from mailbearer.model.service import ServiceId
from mailbearer.store import leases, pendings
from mailbearer.store.database import Database
from mailbearer.store.rows import (
    Row,
    change,
    dumps,
    maybe_micros,
    select,
    select_one,
    to_micros,
    trouble_text,
    word_of,
)

_COLUMNS = """service, version, sealed, access_expires_at, scope, provider, account, account_confirmed, flow,
    obtained_at, refreshed_at, invalid, trouble, failures, next_try"""


@dataclass(frozen=True, slots=True)
class SealedGrant:
    """A grant as the store has it: the tokens sealed, and of them only what must be known without opening."""

    service: ServiceId
    version: int
    sealed: bytes
    access_expires_at: datetime
    scope: tuple[str, ...]
    provider: str
    account: str
    account_confirmed: bool
    flow: Flow
    obtained_at: datetime
    refreshed_at: datetime
    invalid: Trouble | None = None
    trouble: Trouble | None = None
    failures: int = 0
    next_try: datetime | None = None


@dataclass(frozen=True, slots=True)
class GrantTimes:
    """What must be known of a grant to see when it is to be renewed; a thousand of them fit into little memory."""

    service: ServiceId
    version: int
    access_expires_at: datetime
    refreshed_at: datetime
    next_try: datetime | None


class Grants:
    """The tables ``grants`` and ``grant_epochs``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[SealedGrant, ...]:
        """Return the grants of all services."""
        sql = f"SELECT {_COLUMNS} FROM grants ORDER BY service"  # noqa: S608 - a constant of ours
        return await self._database.read(lambda connection: tuple(map(_grant_of, select(connection, sql))))

    async def times(self) -> tuple[GrantTimes, ...]:
        """Return of the grants of all services when they were renewed and when they end, and no more."""
        sql = "SELECT service, version, access_expires_at, refreshed_at, next_try FROM grants ORDER BY service"
        return await self._database.read(lambda connection: tuple(map(_times_of, select(connection, sql))))

    async def get(self, service: ServiceId) -> SealedGrant | None:
        """Return the grant of ``service``, None when it has none."""
        return await self._database.read(lambda connection: _get(connection, service))

    async def epoch(self, service: ServiceId) -> int:
        """Return the highest version that was ever used for ``service``; a new grant takes the next one."""
        return await self._database.read(lambda connection: _epoch(connection, service))

    async def insert(self, grant: SealedGrant) -> bool:
        """Store the first grant of a service; tell whether it was stored.

        It is not when the service has a grant, or ``grant.version`` is not the epoch plus one (it was deleted).
        """

        def work(connection: apsw.Connection) -> bool:
            if _get(connection, grant.service) is not None or _epoch(connection, grant.service) + 1 != grant.version:
                return False
            _write(connection, grant)
            return True

        return await self._database.write(work)

    async def replace(self, grant: SealedGrant, *, expected_version: int) -> bool:
        """Store renewed tokens over those of ``expected_version``; tell whether they were stored.

        ``grant.version`` is ``expected_version + 1``, since the seal is bound to it. They are not stored when the
        grant was deleted or replaced meanwhile. Ends the lease.
        """

        def work(connection: apsw.Connection) -> bool:
            held = _get(connection, grant.service)
            if held is None or held.version != expected_version or grant.version != expected_version + 1:
                return False
            _write(connection, grant)
            return True

        return await self._database.write(work)

    async def complete(self, grant: SealedGrant, *, pending: str) -> bool:
        """Store what a finished sign-in gave, over whatever is held, and end the sign-in, both or neither.

        Returns False when the sign-in ``pending`` is no longer under way (deleted, cancelled, started over: drop the
        tokens), or when ``grant.version`` is not the epoch plus one (renewed meanwhile: seal for the next one, again).
        """

        def work(connection: apsw.Connection) -> bool:
            if _epoch(connection, grant.service) + 1 != grant.version:
                return False
            if not pendings.end(connection, Ended(grant.service, pending, grant.obtained_at, None)):
                return False
            _write(connection, grant)
            return True

        return await self._database.write(work)

    async def update_state(
        self,
        service: ServiceId,
        *,
        expected_version: int,
        invalid: Trouble | None,
        trouble: Trouble | None,
        failures: int,
        next_try: datetime | None,
    ) -> bool:
        """Write down what is known about the tokens of ``expected_version``; tell whether they are still the ones."""
        sql = """UPDATE grants SET invalid = ?, trouble = ?, failures = ?, next_try = ?
            WHERE service = ? AND version = ?"""
        state = (trouble_text(invalid), trouble_text(trouble), failures, maybe_micros(next_try))
        key = (service, expected_version)
        return await self._database.write(lambda connection: change(connection, sql, (*state, *key)) > 0)

    async def delete(self, service: ServiceId) -> SealedGrant | None:
        """Delete the grant, the sign-in under way and the memory of the last one; return the grant that there was.

        From here on no writer that began before can store anything for this service.
        """

        def work(connection: apsw.Connection) -> SealedGrant | None:
            held = _get(connection, service)
            change(connection, "DELETE FROM grants WHERE service = ?", (service,))
            pendings.forget(connection, service)
            _set_epoch(connection, service, _epoch(connection, service) + 1)
            return held

        return await self._database.write(work)

    async def lease(self, service: ServiceId, owner: str, *, until: datetime, now: datetime) -> SealedGrant | None:
        """Take the right to renew until ``until``; None when there is no grant or somebody else has it."""

        def work(connection: apsw.Connection) -> SealedGrant | None:
            if not leases.take(connection, "grants", service, owner, until=until, now=now):
                return None
            return _get(connection, service)

        return await self._database.write(work)

    async def release(self, service: ServiceId, owner: str) -> None:
        """Give the lease back; no fault when it is no longer held."""
        sql = "UPDATE grants SET lease_owner = '', lease_until = 0 WHERE service = ? AND lease_owner = ?"
        await self._database.write(lambda connection: change(connection, sql, (service, owner)))


def _get(connection: apsw.Connection, service: ServiceId) -> SealedGrant | None:
    sql = f"SELECT {_COLUMNS} FROM grants WHERE service = ?"  # noqa: S608 - a constant of ours
    row = select_one(connection, sql, (service,))
    return None if row is None else _grant_of(row)


def _epoch(connection: apsw.Connection, service: ServiceId) -> int:
    row = select_one(connection, "SELECT epoch FROM grant_epochs WHERE service = ?", (service,))
    return 0 if row is None else row.number()


def _set_epoch(connection: apsw.Connection, service: ServiceId, epoch: int) -> None:
    sql = """INSERT INTO grant_epochs (service, epoch) VALUES (?, ?)
        ON CONFLICT (service) DO UPDATE SET epoch = excluded.epoch"""
    change(connection, sql, (service, epoch))


def _write(connection: apsw.Connection, grant: SealedGrant) -> None:
    change(connection, "DELETE FROM grants WHERE service = ?", (grant.service,))  # and the lease with it
    sql = f"INSERT INTO grants ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
    tokens = (grant.sealed, to_micros(grant.access_expires_at), dumps(grant.scope))
    origin = (grant.provider, grant.account, int(grant.account_confirmed), grant.flow)
    times = (to_micros(grant.obtained_at), to_micros(grant.refreshed_at))
    state = (trouble_text(grant.invalid), trouble_text(grant.trouble), grant.failures, maybe_micros(grant.next_try))
    change(connection, sql, (grant.service, grant.version, *tokens, *origin, *times, *state))
    _set_epoch(connection, grant.service, grant.version)


def _times_of(row: Row) -> GrantTimes:
    return GrantTimes(  # in the order of the question
        service=ServiceId(row.text()),
        version=row.number(),
        access_expires_at=row.time(),
        refreshed_at=row.time(),
        next_try=row.maybe_time(),
    )


def _grant_of(row: Row) -> SealedGrant:
    return SealedGrant(  # in the order of _COLUMNS
        service=ServiceId(row.text()),
        version=row.number(),
        sealed=row.blob(),
        access_expires_at=row.time(),
        scope=row.texts(),
        provider=row.text(),
        account=row.text(),
        account_confirmed=row.number() != 0,
        flow=word_of(Flow, row.text()),
        obtained_at=row.time(),
        refreshed_at=row.time(),
        invalid=row.trouble(),
        trouble=row.trouble(),
        failures=row.number(),
        next_try=row.maybe_time(),
    )
