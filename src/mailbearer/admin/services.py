"""Deeds on services: list, show, set, add, remove. Choosing a provider fills in what is known (SPEC M2, M4, M9)."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from mailbearer.admin import fields
from mailbearer.admin.directory import Directory
from mailbearer.admin.speech import Json, Who
from mailbearer.admin.standard import STANDARD, title_of
from mailbearer.errors import ConflictError, ForeignServerError, InvalidInputError
from mailbearer.model.envelope import is_address
from mailbearer.model.message import LIVING
from mailbearer.model.provider import MailServer
from mailbearer.model.secret import Secret
from mailbearer.model.service import (
    AuthMethod,
    PopSettings,
    Service,
    ServiceId,
    ServiceKind,
    SmtpSettings,
    TlsMode,
)
from mailbearer.observe.log import register
from mailbearer.providers.hosts import allows, known_hosts
from mailbearer.tokens.context import Context
from mailbearer.tokens.remove import delete as delete_token_of

_NAME = re.compile(r"(smtp|pop)\.[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_KINDS = "smtp.NAME or pop.NAME, with small letters, digits and hyphens"
S = TypeVar("S", SmtpSettings, PopSettings)


def password_place(service: str) -> str:
    """Return the place to which the password of ``service`` is sealed."""
    return f"services/{service}/password"


class ServiceDesk:
    """The settings of services; every change is checked as a whole before one bit of it is stored."""

    def __init__(self, context: Context, directory: Directory) -> None:
        self._context = context
        self._store = context.store
        self._vault = context.vault
        self._directory = directory

    async def ensure_standard(self) -> None:
        """Make the services that exist from the start, if they do not exist yet (SPEC M3, M4)."""
        if await self._store.meta.get("standard-services") is not None:
            return
        present = {service.id for service in await self._store.services.all()}
        for service in STANDARD:
            if service.id not in present:
                await self._store.services.put(service, expected_version=0, sealed_password=None)
        await self._store.meta.put("standard-services", b"1")

    async def all(self) -> tuple[Service, ...]:
        """Return all services, without passwords."""
        return await self._store.services.all()

    async def get(self, identity: str) -> Service:
        """Return one service, without its password."""
        return await self._store.services.get(ServiceId(identity))

    async def opened(self, identity: str) -> Service:
        """Return one service with its password, for signing in."""
        service = await self.get(identity)
        sealed = await self._store.services.sealed_password(service.id)
        if sealed is None:
            return service
        password = self._vault.open(sealed, place=password_place(service.id))
        register(password)
        return replace(service, settings=replace(service.settings, password=password))

    async def without_secrets(self, service: Service) -> Service:
        """Return ``service`` for showing: a password that is set is there, but not what it is."""
        if await self._store.services.sealed_password(service.id) is None:
            return service
        return replace(service, settings=replace(service.settings, password=Secret("")))

    async def set(self, identity: str, values: Mapping[str, str], *, delete_token: bool, who: Who) -> Service:
        """Change fields of a service and return it as it is now.

        Raises:
            ConflictError: MB-T45, provider or account would change while a token is held and ``delete_token`` is false.
            InvalidInputError: a field or value cannot be; nothing was changed.
            ForeignServerError: MB-T40, a server is not one of the provider's.
        """
        before = await self.opened(identity)
        after = replace(before, settings=await self._changed(before, values))
        await self._check(after)
        moved = (before.settings.provider, before.settings.account) != (after.settings.provider, after.settings.account)
        if moved:
            await self._let_go(before, delete_token=delete_token, who=who)
        stored = await self._put(after, expected_version=before.version)
        await self._audit(who, "service set", identity, _difference(before, after))
        return stored

    async def add(self, identity: str, title: str, values: Mapping[str, str], *, who: Who) -> Service:
        """Add a service.

        Raises:
            ConflictError: MB-W21, there is one of that name.
        """
        if not _NAME.fullmatch(identity):
            raise InvalidInputError("MB-W05", field="Service", problem=f"“{identity}” is not {_KINDS}")
        empty: SmtpSettings | PopSettings = SmtpSettings() if identity.startswith("smtp.") else PopSettings()
        name = fields.plain("Title", title) or title_of(identity)
        service = Service(id=ServiceId(identity), title=name, places=(), settings=empty)
        service = replace(service, settings=await self._changed(service, values))
        await self._check(service)
        stored = await self._put(service, expected_version=0)
        await self._audit(who, "service add", identity, _difference(None, service))
        return stored

    async def remove(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Remove a service that was added, with its token.

        Raises:
            ConflictError: MB-W27, mail waits for it; MB-W28, it is one of those that are always there.
        """
        service = await self.get(identity)
        if any(service.id == each.id for each in STANDARD):
            raise ConflictError("MB-W28", service=identity)
        if await self._store.messages.list(states=LIVING, service=service.id, limit=1):
            raise ConflictError("MB-W27", service=identity)
        users = [device.id for device in await self._store.devices.all() if device.service == service.id]
        if users:
            raise ConflictError("MB-G09", service=identity, devices=", ".join(users))
        await delete_token_of(self._context, service.id, who.name)
        await self._store.services.remove(service.id)
        await self._audit(who, "service remove", identity, "")
        return {}

    async def warnings(self, service: Service) -> tuple[str, ...]:
        """Return what is still missing before the service can work, and what to know."""
        settings, told = service.settings, list[str]()
        if not service.servers or not settings.port:
            told.append("Server and Port Number are not set.")
        if settings.auth is AuthMethod.OAUTH2 and not settings.provider:
            told.append("No Provider is chosen.")
        if settings.auth is not AuthMethod.NONE and not settings.account:
            told.append("Account Name is not set.")
        if settings.auth is AuthMethod.PASSWORD and settings.tls is TlsMode.OFF:
            told.append("The password would travel unencrypted; it is sent to this machine itself only.")
        if settings.auth is AuthMethod.OAUTH2 and settings.provider:
            provider, registration = await self._directory.both(settings.provider)
            if not registration.client_id:
                told.append(f"No Client ID is registered: mailbearer provider set {provider.id} client_id=…")
        if isinstance(settings, PopSettings) and not settings.destinations:
            told.append("Received items go nowhere yet, so nothing is fetched: set destinations.")
        return tuple(told)

    async def _changed(self, service: Service, values: Mapping[str, str]) -> SmtpSettings | PopSettings:
        match service.settings:
            case SmtpSettings() as smtp:
                filled = await self._filled(ServiceKind.SMTP, smtp, values)
                changed = fields.apply(fields.SMTP_FIELDS, filled, values, kind=f"Service {service.id}")
                own = changed.sender_address in {"", smtp.account} and "sender_address" not in values
                if own and is_address(changed.account):  # it was filled in from the account, and follows it
                    return replace(changed, sender_address=changed.account)
                return changed
            case PopSettings() as pop:
                filled_pop = await self._filled(ServiceKind.POP, pop, values)
                return fields.apply(fields.POP_FIELDS, filled_pop, values, kind=f"Service {service.id}")

    async def _filled(self, kind: ServiceKind, settings: S, values: Mapping[str, str]) -> S:
        """Put in what is known of a provider that is newly chosen."""
        chosen = fields.plain("Provider", values.get("provider", "")).lower()
        if not chosen or chosen == settings.provider:
            return settings
        provider = await self._directory.get(chosen)
        auth = AuthMethod.OAUTH2 if provider.oauth else AuthMethod.PASSWORD
        server = next(iter(provider.servers.get(kind, ())), None)
        if server is None:
            return replace(settings, auth=auth)
        return replace(_with_server(settings, server), auth=auth)

    async def _check(self, service: Service) -> None:
        settings = service.settings
        if not settings.provider:
            return
        provider, registration = await self._directory.both(settings.provider)
        if settings.auth is not AuthMethod.OAUTH2:
            return
        if settings.account and "@" not in settings.account and not provider.custom:
            raise fields.wrong("Account Name", f"“{settings.account}” is no e-mail address; it needs a domain")
        if not provider.oauth:
            raise InvalidInputError("MB-T50", provider=provider.name)
        if settings.tls is TlsMode.OFF:
            raise InvalidInputError("MB-T41", provider=provider.name)
        for server in service.servers:
            if not allows(provider, registration, server):
                known = ", ".join(known_hosts(provider, registration))
                raise ForeignServerError("MB-T40", host=server, provider=provider.name, known=known, id=provider.id)

    async def _let_go(self, service: Service, *, delete_token: bool, who: Who) -> None:
        """Delete the token of the account that is given up, or refuse (SPEC M9)."""
        grant = await self._store.grants.get(service.id)
        pending = await self._store.pendings.get(service.id)
        if grant is None and pending is None:
            return
        if not delete_token:
            raise ConflictError("MB-T45", account=service.settings.account, service=service.id)
        await delete_token_of(self._context, service.id, who.name)

    async def _put(self, service: Service, *, expected_version: int) -> Service:
        password = service.settings.password
        sealed = None if password is None else self._vault.seal(password, place=password_place(service.id))
        return await self._store.services.put(service, expected_version=expected_version, sealed_password=sealed)

    async def _audit(self, who: Who, what: str, subject: str, detail: str) -> None:
        await self._store.audit.append(who=who.name, from_where=who.place, what=what, subject=subject, detail=detail)


def _with_server(settings: S, server: MailServer) -> S:
    if isinstance(settings, SmtpSettings):
        return replace(settings, primary_server=server.host, secondary_server="", port=server.port, tls=server.tls)
    return replace(settings, server=server.host, port=server.port, tls=server.tls)


def shown(service: Service) -> dict[str, str]:
    """Return the fields of a service as texts, in the manual's order; secrets only as set or not."""
    match service.settings:
        case SmtpSettings() as smtp:
            return {name: field.show(smtp) for name, field in fields.SMTP_FIELDS.items()}
        case PopSettings() as pop:
            return {name: field.show(pop) for name, field in fields.POP_FIELDS.items()}


def labels(service: Service) -> dict[str, str]:
    """Return the labels of the fields of a service, in the manual's words."""
    table = fields.SMTP_FIELDS if service.kind is ServiceKind.SMTP else fields.POP_FIELDS
    return {name: field.label for name, field in table.items()}


def _difference(before: Service | None, after: Service) -> str:
    old = shown(before) if before is not None else {}
    changed = {name: value for name, value in shown(after).items() if value != old.get(name, "")}
    if before is not None and after.settings.password != before.settings.password:
        changed["password"] = "(set)" if after.settings.password else "(taken away)"
    return ", ".join(f"{name}={value}" for name, value in changed.items())
