"""Devices and their passwords, which are kept so that nobody can read them."""

from dataclasses import replace
from datetime import datetime, timedelta

import apsw

from mailbearer.errors import ConflictError, NotFoundError
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId, FromPolicy
from mailbearer.model.service import ServiceId
from mailbearer.store.database import Database
from mailbearer.store.rows import Row, change, dumps, maybe_micros, select, select_one, to_micros, word_of

USE_NOTED_EVERY = timedelta(minutes=1)  # a device that signs in for each page need not write each time
_COLUMNS = """id, version, title, service, networks, by_address, allowed_senders, from_policy, per_hour, size_max,
    enabled"""
_CREDENTIAL = "id, device, user_, kind, kept, created_at, last_used"


class Devices:
    """The tables ``devices`` and ``credentials``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[Device, ...]:
        """Return all devices in the order in which they were added."""
        sql = f"SELECT {_COLUMNS} FROM devices ORDER BY position"  # noqa: S608 - a constant of ours
        return await self._database.read(lambda connection: tuple(map(_device_of, select(connection, sql))))

    async def get(self, device: DeviceId) -> Device:
        """Return one device.

        Raises:
            NotFoundError: MB-W20, there is none of that name.
        """

        def work(connection: apsw.Connection) -> Device:
            sql = f"SELECT {_COLUMNS} FROM devices WHERE id = ?"  # noqa: S608 - a constant of ours
            row = select_one(connection, sql, (device,))
            if row is None:
                known = ", ".join(found.text() for found in select(connection, "SELECT id FROM devices"))
                raise NotFoundError("MB-W20", kind="device", name=device, known=known)
            return _device_of(row)

        return await self._database.read(work)

    async def put(self, device: Device, *, expected_version: int) -> Device:
        """Store ``device`` and return it with its new version.

        ``expected_version`` is the version that was read before, 0 for a device that does not exist yet.

        Raises:
            ConflictError: MB-W06 somebody changed it meanwhile; MB-W21 it exists already.
            NotFoundError: MB-W20, it was removed meanwhile.
        """
        stored = replace(device, version=expected_version + 1)

        def work(connection: apsw.Connection) -> Device:
            _check_version(connection, device.id, expected_version)
            _write(connection, stored)
            return stored

        return await self._database.write(work)

    async def remove(self, device: DeviceId) -> bool:
        """Remove a device with its passwords; tell whether there was one. What it sent stays in the queue."""
        sql = "DELETE FROM devices WHERE id = ?"
        return await self._database.write(lambda connection: change(connection, sql, (device,)) > 0)

    async def add_credential(self, credential: Credential) -> None:
        """Store a password of a device.

        Raises:
            NotFoundError: MB-W20, there is no such device.
        """
        sql = f"INSERT INTO credentials ({_CREDENTIAL}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant of ours
        who = (credential.id, credential.device, user_key(credential.user))
        when = (to_micros(credential.created_at), maybe_micros(credential.last_used))

        def work(connection: apsw.Connection) -> None:
            if select_one(connection, "SELECT id FROM devices WHERE id = ?", (credential.device,)) is None:
                raise NotFoundError("MB-W20", kind="device", name=credential.device)
            change(connection, sql, (*who, credential.kind, credential.kept, *when))

        await self._database.write(work)

    async def remove_credential(self, credential: str) -> bool:
        """Remove a password; tell whether there was one."""
        sql = "DELETE FROM credentials WHERE id = ?"
        return await self._database.write(lambda connection: change(connection, sql, (credential,)) > 0)

    async def credentials_of(self, device: DeviceId) -> tuple[Credential, ...]:
        """Return the passwords of a device, oldest first."""
        return await self._credentials("device = ?", device)

    async def credentials_for(self, user: str) -> tuple[Credential, ...]:
        """Return the passwords that a device may mean which signs in as ``user``, whatever the case of its letters."""
        return await self._credentials("user_ = ?", user_key(user))

    async def note_use(self, credential: Credential, *, at: datetime) -> None:
        """Write down that a password was used; not more often than every ``USE_NOTED_EVERY``."""
        if credential.last_used is not None and at - credential.last_used < USE_NOTED_EVERY:
            return
        sql = "UPDATE credentials SET last_used = ? WHERE id = ? AND coalesce(last_used, 0) <= ?"
        bindings = (to_micros(at), credential.id, to_micros(at - USE_NOTED_EVERY))
        await self._database.write(lambda connection: change(connection, sql, bindings))

    async def _credentials(self, condition: str, value: str) -> tuple[Credential, ...]:
        sql = f"SELECT {_CREDENTIAL} FROM credentials WHERE {condition} ORDER BY created_at, id"  # noqa: S608 - ours
        return await self._database.read(
            lambda connection: tuple(map(_credential_of, select(connection, sql, (value,))))
        )


def user_key(user: str) -> str:
    """Return a user name as it is compared: machines write it as they like."""
    return user.strip().casefold()


def _check_version(connection: apsw.Connection, device: DeviceId, expected: int) -> None:
    row = select_one(connection, "SELECT version FROM devices WHERE id = ?", (device,))
    if row is None and expected:
        raise NotFoundError("MB-W20", kind="device", name=device)
    if row is not None and not expected:
        raise ConflictError("MB-W21", kind="device", name=device)
    if row is not None and row.number() != expected:
        raise ConflictError("MB-W06", kind="device", name=device)


def _write(connection: apsw.Connection, device: Device) -> None:
    sql = f"""INSERT INTO devices ({_COLUMNS}, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
          (SELECT coalesce(max(position), 0) + 1 FROM devices))
        ON CONFLICT (id) DO UPDATE SET version = excluded.version, title = excluded.title, service = excluded.service,
          networks = excluded.networks, by_address = excluded.by_address, allowed_senders = excluded.allowed_senders,
          from_policy = excluded.from_policy, per_hour = excluded.per_hour, size_max = excluded.size_max,
          enabled = excluded.enabled"""  # noqa: S608 - a constant of ours
    who = (device.id, device.version, device.title, device.service, dumps(device.networks), int(device.by_address))
    may = (dumps(device.allowed_senders), device.from_policy, device.per_hour, device.size_max, int(device.enabled))
    change(connection, sql, (*who, *may))


def _device_of(row: Row) -> Device:
    name, version, title, service = DeviceId(row.text()), row.number(), row.text(), ServiceId(row.text())
    return Device(  # in the order of _COLUMNS
        id=name,
        version=version,
        title=title,
        service=service,
        networks=row.texts(),
        by_address=bool(row.number()),
        allowed_senders=row.texts(),
        from_policy=word_of(FromPolicy, row.text()),
        per_hour=row.number(),
        size_max=row.number(),
        enabled=bool(row.number()),
    )


def _credential_of(row: Row) -> Credential:
    return Credential(  # in the order of _CREDENTIAL
        id=row.text(),
        device=DeviceId(row.text()),
        user=row.text(),
        kind=word_of(CredentialKind, row.text()),
        kept=row.blob(),
        created_at=row.time(),
        last_used=row.maybe_time(),
    )
