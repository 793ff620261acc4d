"""Services: the settings that the administrator fills in, one row each."""

from dataclasses import replace

import apsw

from mailbearer.errors import ConflictError, NotFoundError
from mailbearer.model.service import Service, ServiceId, ServiceKind
from mailbearer.store import service_settings
from mailbearer.store.database import Database
from mailbearer.store.rows import Row, change, dumps, select, select_one, word_of

_COLUMNS = "id, version, title, places, kind, settings"


class Services:
    """The table ``services``. Passwords are not part of what is returned; they come out sealed, on their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[Service, ...]:
        """Return all services in the order in which they were added."""
        sql = f"SELECT {_COLUMNS} FROM services ORDER BY position"  # noqa: S608 - a constant of ours
        return await self._database.read(lambda connection: tuple(map(_service_of, select(connection, sql))))

    async def get(self, service: ServiceId) -> Service:
        """Return one service.

        Raises:
            NotFoundError: MB-W20, there is none of that name.
        """
        return await self._database.read(lambda connection: _get(connection, service))

    async def put(self, service: Service, *, expected_version: int, sealed_password: bytes | None) -> Service:
        """Store ``service`` and return it with its new version.

        ``expected_version`` is the version that was read before, 0 for a service that does not exist yet. The sealed
        password is stored as given: None means that there is none.

        Raises:
            ConflictError: MB-W06 somebody changed it meanwhile; MB-W21 it exists already.
            NotFoundError: MB-W20, it was removed meanwhile.
        """
        stored = replace(service, version=expected_version + 1)

        def work(connection: apsw.Connection) -> Service:
            _check_version(connection, service.id, expected_version)
            _write(connection, stored, sealed_password)
            return replace(stored, settings=replace(stored.settings, password=None))

        return await self._database.write(work)

    async def remove(self, service: ServiceId) -> bool:
        """Remove a service; tell whether there was one. Its grant is the caller's to delete first."""
        sql = "DELETE FROM services WHERE id = ?"
        return await self._database.write(lambda connection: change(connection, sql, (service,)) > 0)

    async def sealed_password(self, service: ServiceId) -> bytes | None:
        """Return the sealed password of a service, None when it has none."""
        sql = "SELECT password FROM services WHERE id = ?"

        def work(connection: apsw.Connection) -> bytes | None:
            row = select_one(connection, sql, (service,))
            return None if row is None else row.maybe_blob()

        return await self._database.read(work)


def _get(connection: apsw.Connection, service: ServiceId) -> Service:
    sql = f"SELECT {_COLUMNS} FROM services WHERE id = ?"  # noqa: S608 - a constant of ours
    row = select_one(connection, sql, (service,))
    if row is None:
        known = ", ".join(found.text() for found in select(connection, "SELECT id FROM services ORDER BY position"))
        raise NotFoundError("MB-W20", kind="service", name=service, known=known)
    return _service_of(row)


def _check_version(connection: apsw.Connection, service: ServiceId, expected: int) -> None:
    row = select_one(connection, "SELECT version FROM services WHERE id = ?", (service,))
    if row is None and expected:
        raise NotFoundError("MB-W20", kind="service", name=service)
    if row is not None and not expected:
        raise ConflictError("MB-W21", kind="service", name=service)
    if row is not None and row.number() != expected:
        raise ConflictError("MB-W06", kind="service", name=service)


def _write(connection: apsw.Connection, service: Service, sealed_password: bytes | None) -> None:
    sql = """
        INSERT INTO services (id, version, position, title, places, kind, settings, password)
        VALUES (?, ?, (SELECT coalesce(max(position), 0) + 1 FROM services), ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET version = excluded.version, title = excluded.title, places = excluded.places,
          kind = excluded.kind, settings = excluded.settings, password = excluded.password"""
    settings = service_settings.to_json(service.settings)
    shown = (service.title, dumps(service.places), service.kind)
    change(connection, sql, (service.id, service.version, *shown, settings, sealed_password))


def _service_of(row: Row) -> Service:
    name, version, title, places = ServiceId(row.text()), row.number(), row.text(), row.texts()
    settings = service_settings.from_json(word_of(ServiceKind, row.text()), row.text())
    return Service(id=name, title=title, places=places, settings=settings, version=version)
