"""Application registrations: what the administrator registered at each provider, one row each."""

from collections.abc import Mapping
from dataclasses import replace

import apsw

from mailbearer.errors import ConflictError
from mailbearer.model.provider import Registration
from mailbearer.store.database import Database
from mailbearer.store.rows import Row, as_list, as_mapping, as_number, as_text, change, dumps, loads, select, select_one


class Registrations:
    """The table ``registrations``. Client secrets are not part of what is returned; they come out sealed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[Registration, ...]:
        """Return all registrations."""
        sql = "SELECT provider, version, values_ FROM registrations ORDER BY provider"
        return await self._database.read(lambda connection: tuple(map(_registration_of, select(connection, sql))))

    async def get(self, provider: str) -> Registration:
        """Return the registration at ``provider``; an empty one of version 0 when there is none."""
        return await self._database.read(lambda connection: _get(connection, provider))

    async def put(
        self, registration: Registration, *, expected_version: int, sealed_secret: bytes | None
    ) -> Registration:
        """Store ``registration`` and return it with its new version.

        ``expected_version`` is the version that was read before. The sealed secret is stored as given: None means
        that there is none.

        Raises:
            ConflictError: MB-W06, somebody changed it meanwhile.
        """
        stored = replace(registration, client_secret=None, version=expected_version + 1)

        def work(connection: apsw.Connection) -> Registration:
            if _get(connection, registration.provider).version != expected_version:
                raise ConflictError("MB-W06", kind="provider", name=registration.provider)
            _write(connection, stored, sealed_secret)
            return stored

        return await self._database.write(work)

    async def remove(self, provider: str) -> bool:
        """Remove a registration; tell whether there was one."""
        sql = "DELETE FROM registrations WHERE provider = ?"
        return await self._database.write(lambda connection: change(connection, sql, (provider,)) > 0)

    async def sealed_secret(self, provider: str) -> bytes | None:
        """Return the sealed client secret of a registration, None when it has none."""
        sql = "SELECT secret FROM registrations WHERE provider = ?"

        def work(connection: apsw.Connection) -> bytes | None:
            row = select_one(connection, sql, (provider,))
            return None if row is None else row.maybe_blob()

        return await self._database.read(work)


def _get(connection: apsw.Connection, provider: str) -> Registration:
    sql = "SELECT provider, version, values_ FROM registrations WHERE provider = ?"
    row = select_one(connection, sql, (provider,))
    return Registration(provider) if row is None else _registration_of(row)


def _write(connection: apsw.Connection, registration: Registration, sealed_secret: bytes | None) -> None:
    sql = """
        INSERT INTO registrations (provider, version, values_, secret) VALUES (?, ?, ?, ?)
        ON CONFLICT (provider) DO UPDATE SET version = excluded.version, values_ = excluded.values_,
          secret = excluded.secret"""
    kept = dumps(
        {
            "client_id": registration.client_id,
            "tenant": registration.tenant,
            "redirect_uri": registration.redirect_uri,
            "extra_hosts": registration.extra_hosts,
            "ca_file": registration.ca_file,
            "values": dict(registration.values),
            "limits": dict(registration.limits),
        }
    )
    change(connection, sql, (registration.provider, registration.version, kept, sealed_secret))


def _registration_of(row: Row) -> Registration:
    provider, version, kept = row.text(), row.number(), as_mapping(loads(row.text()))
    return Registration(
        provider=provider,
        client_id=_text_in(kept, "client_id"),
        tenant=_text_in(kept, "tenant"),
        redirect_uri=_text_in(kept, "redirect_uri"),
        extra_hosts=tuple(as_text(host) for host in as_list(kept.get("extra_hosts", []))),
        ca_file=_text_in(kept, "ca_file"),
        values={name: as_text(value) for name, value in as_mapping(kept.get("values", {})).items()},
        limits={name: as_number(number) for name, number in as_mapping(kept.get("limits", {})).items()},
        version=version,
    )


def _text_in(kept: Mapping[str, object], name: str) -> str:
    return as_text(kept.get(name, ""))
