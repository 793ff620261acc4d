"""Deeds on providers: the catalogue, application registrations, providers of one's own, and finding the right one."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from urllib.parse import quote

from mailbearer.admin import fields
from mailbearer.admin.directory import Directory, secret_place
from mailbearer.admin.speech import Json, Who
from mailbearer.errors import AuthorizationError, ConflictError, InvalidInputError, MailbearerError
from mailbearer.model.envelope import domain_of, is_address
from mailbearer.model.http import HttpRequest
from mailbearer.model.provider import Endpoints, MailServer, Provider, Registration
from mailbearer.model.service import ServiceKind, TlsMode
from mailbearer.net.mail_exchange import mail_exchangers
from mailbearer.net.tls import client_context
from mailbearer.protocol.oauth.metadata import (
    Metadata,
    check_endpoint,
    discovery_request,
    parse_metadata,
    well_known_urls,
)
from mailbearer.providers.autoconfig import Autoconfig, OfferedServer, parse_autoconfig
from mailbearer.providers.custom import custom_provider, to_json
from mailbearer.providers.detect import detect_by_domain, detect_by_host, detect_by_mx
from mailbearer.providers.endpoints import resolve
from mailbearer.providers.limits import LIMIT_NAMES, limits_of
from mailbearer.providers.quirks import Quirk
from mailbearer.tokens.context import Context

HOSTS_MAX = 50
DNS_SECONDS = 5.0
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
LIMIT_MAX = 1_000_000_000
_REGISTRATION = ("client_id", "client_secret", "tenant", "redirect_uri", "hosts", "ca_file", *LIMIT_NAMES)
_ENDPOINTS = (
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "device_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
)
_OWN = ("name", "discovery", *_ENDPOINTS, "scopes", "smtp", "pop")


class ProviderDesk:
    """What is registered at providers; a custom provider is stored only after its endpoints were read.

    ``nameserver`` is whom to ask for mail exchangers, the machine's own if left out.
    """

    def __init__(self, context: Context, directory: Directory, *, nameserver: tuple[str, int] | None = None) -> None:
        self._context = context
        self._nameserver = nameserver
        self._store = context.store
        self._vault = context.vault
        self._directory = directory

    async def overview(self) -> dict[str, Json]:
        """Return every provider in short."""
        registered = {each.provider for each in await self._store.registrations.all() if each.client_id}
        providers: list[Json] = [
            {
                "id": provider.id,
                "name": provider.name,
                "oauth": provider.oauth,
                "custom": provider.custom,
                "flows": [advice.flow for advice in provider.flows if advice.allowed],
                "registered": provider.id in registered,
            }
            for provider in await self._directory.all()
        ]
        return {"providers": providers}

    async def show(self, identity: str) -> dict[str, Json]:
        """Return one provider with all that an administrator needs to know."""
        provider, registration = await self._directory.both(identity)
        return {
            "id": provider.id,
            "name": provider.name,
            "family": provider.family,
            "oauth": provider.oauth,
            "custom": provider.custom,
            "servers": {kind: [_written(each) for each in servers] for kind, servers in provider.servers.items()},
            "scopes": {kind: list(scopes) for kind, scopes in provider.scopes.items()},
            "endpoints": _endpoints_view(provider, registration),
            "flow_advice": [
                {"flow": each.flow, "allowed": each.allowed, "warning": each.warning} for each in provider.flows
            ],
            "notes": list(provider.notes),
            "unconfirmed": list(provider.unconfirmed),
            "secret_wanted": provider.secret_wanted,
            "missing": _missing(provider, registration),
            "registration": _registration_view(registration),
            "limits": dict(asdict(limits_of(provider, registration))),
        }

    async def set(self, identity: str, values: Mapping[str, str], *, who: Who) -> dict[str, Json]:
        """Enter or change what is registered at a provider.

        Raises:
            InvalidInputError: a field or value cannot be; nothing was changed.
        """
        provider, before = await self._directory.both(identity)
        known = (*_REGISTRATION, *(name for name in provider.placeholders if name != "tenant"))
        _refuse_unknown(values, known, kind=f"Provider {identity}")
        after = _registered(provider, before, values)
        if _complete(provider, after):
            resolve(provider, after)
        await self._put(after, expected_version=before.version)
        await self._audit(who, "provider set", identity, ", ".join(sorted(values)))
        return await self.show(identity)

    async def add(self, identity: str, values: Mapping[str, str], *, who: Who) -> dict[str, Json]:
        """Add a provider by its discovery address or with endpoints by hand.

        Raises:
            AuthorizationError: the discovery document cannot be used (MB-T47, MB-T48).
            ConflictError: MB-W21, there is one of that name.
        """
        if not _ID.fullmatch(identity):
            raise InvalidInputError("MB-W05", field="Provider", problem="small letters, digits and hyphens only")
        _refuse_unknown(values, (*_OWN, *_REGISTRATION), kind="A provider")
        if identity in {provider.id for provider in await self._directory.all()}:
            raise ConflictError("MB-W21", kind="A provider", name=identity)
        ca_file = fields.plain("Own CA", values.get("ca_file", ""), most=1024)
        provider = custom_provider(
            identity,
            fields.plain("Name", values.get("name", "")) or identity,
            found=await self._found(values, ca_file),
            servers={kind: _servers(kind, values.get(kind, "")) for kind in ServiceKind},
            scopes=tuple(fields.plain("Scopes", values.get("scopes", ""), most=2000).split()),
        )
        registration = _registered(
            provider, Registration(identity), {name: values[name] for name in _REGISTRATION if name in values}
        )
        await self._store.custom_providers.put(identity, to_json(provider))
        before = await self._store.registrations.get(identity)
        await self._put(registration, expected_version=before.version)
        await self._audit(who, "provider add", identity, ", ".join(sorted(values)))
        return await self.show(identity)

    async def enter(self, provider: Provider, registration: Registration, *, who: Who) -> None:
        """Enter a provider that runs on this machine, over what was entered for it before."""
        await self._store.custom_providers.put(provider.id, to_json(provider))
        before = await self._store.registrations.get(provider.id)
        await self._put(registration, expected_version=before.version)
        await self._audit(who, "provider enter", provider.id, "")

    async def remove(self, identity: str, *, who: Who) -> dict[str, Json]:
        """Remove a provider of one's own, or the registration at one of the catalogue.

        Raises:
            ConflictError: MB-W29, a service uses it.
        """
        provider = await self._directory.get(identity)
        using = [each.id for each in await self._store.services.all() if each.settings.provider == identity]
        if using:
            raise ConflictError("MB-W29", provider=provider.name, services=", ".join(using))
        await self._store.registrations.remove(identity)
        if provider.custom:
            await self._store.custom_providers.remove(identity)
        await self._audit(who, "provider remove", identity, "")
        return {}

    async def detect(self, address: str) -> dict[str, Json]:
        """Find provider and servers of ``address``: by its domain, its mail exchangers, its autoconfiguration."""
        if not is_address(address):
            raise InvalidInputError("MB-W22", address=address)
        domain = domain_of(address)
        if found := detect_by_domain(address):
            return await self._detected(found, "domain")
        exchangers: tuple[str, ...] = ()
        asked = "mail exchangers"
        try:
            exchangers = await mail_exchangers(domain, seconds=DNS_SECONDS, nameserver=self._nameserver)
        except MailbearerError as error:
            asked = f"mail exchangers ({error.message.rstrip('.')})"
        if found := detect_by_mx(exchangers):
            return await self._detected(found, f"mail exchanger {next(iter(exchangers))}")
        offered = await self._autoconfig(domain, address)
        if offered is not None and (offered.smtp or offered.pop):
            return await self._offered(offered)
        return {
            "provider": "",
            "name": "Nothing was found.",
            "by": f"domain, {asked}, autoconfiguration",
            "servers": {},
        }

    async def _detected(self, identity: str, by: str) -> dict[str, Json]:
        provider = await self._directory.get(identity)
        servers: dict[str, Json] = {
            kind: [_written(each) for each in servers] for kind, servers in provider.servers.items()
        }
        return {"provider": identity, "name": provider.name, "by": by, "oauth": provider.oauth, "servers": servers}

    async def _offered(self, found: Autoconfig) -> dict[str, Json]:
        provider = next(filter(None, (detect_by_host(each.server.host) for each in (*found.smtp, *found.pop))), None)
        servers: dict[str, Json] = {"smtp": _written_all(found.smtp), "pop": _written_all(found.pop)}
        return {
            "provider": provider.id if provider is not None else "",
            "name": provider.name if provider is not None else found.name,
            "by": "autoconfiguration",
            "oauth": any(each.oauth for each in (*found.smtp, *found.pop)),
            "servers": servers,
        }

    async def _autoconfig(self, domain: str, address: str) -> Autoconfig | None:
        """Ask the domain itself (the mail autoconfiguration of Thunderbird and others), over https only."""
        try:
            host = domain.encode("idna").decode()
        except UnicodeError:  # no name that could be looked up
            return None
        for url in (
            f"https://autoconfig.{host}/mail/config-v1.1.xml?emailaddress={quote(address)}",
            f"https://{host}/.well-known/autoconfig/mail/config-v1.1.xml",
        ):
            try:
                response = await self._context.http.send(HttpRequest("GET", url))
                if response.status == 200:
                    return parse_autoconfig(response.body)
            except MailbearerError:
                continue
        return None

    async def _found(self, values: Mapping[str, str], ca_file: str) -> Metadata | Endpoints:
        discovery = fields.plain("Discovery address", values.get("discovery", ""), most=2048)
        if discovery:
            return await self._discovered(discovery, ca_file)
        written = [fields.plain(name, values.get(name, ""), most=2048) for name in _ENDPOINTS]
        issuer, authorization, token, device, revocation, userinfo = written
        if not token or not (authorization or device):
            problem = "enter discovery=URL, or token_endpoint= with authorization_endpoint= or device_endpoint="
            raise InvalidInputError("MB-W05", field="Provider", problem=problem)
        for url in filter(None, (authorization, token, device, revocation, userinfo)):
            check_endpoint(url)
        return Endpoints(issuer, authorization, token, device, revocation, userinfo)

    async def _discovered(self, asked: str, ca_file: str) -> Metadata:
        problems: list[AuthorizationError] = []
        for url in well_known_urls(asked):
            response = await self._context.http.send(discovery_request(url), ca_file=ca_file)
            try:
                return parse_metadata(response, asked=asked)
            except AuthorizationError as error:
                problems.append(error)
        telling = [error for error in problems if error.code == "MB-T47"]  # more than that nothing was at an address
        raise (telling or problems)[0]

    async def _put(self, registration: Registration, *, expected_version: int) -> None:
        secret = registration.client_secret
        sealed = None if secret is None else self._vault.seal(secret, place=secret_place(registration.provider))
        await self._store.registrations.put(registration, expected_version=expected_version, sealed_secret=sealed)

    async def _audit(self, who: Who, what: str, subject: str, detail: str) -> None:
        await self._store.audit.append(who=who.name, from_where=who.place, what=what, subject=subject, detail=detail)


def _refuse_unknown(values: Mapping[str, str], known: tuple[str, ...], *, kind: str) -> None:
    for name in values:
        if name not in known:
            raise InvalidInputError("MB-W26", kind=kind, field=name, known=", ".join(known))


def _registered(provider: Provider, before: Registration, values: Mapping[str, str]) -> Registration:
    after, placed, limits = before, dict(before.values), dict(before.limits)
    for name, text in values.items():
        match name:
            case "client_id":
                after = replace(after, client_id=fields.plain("Client ID", text))
            case "client_secret":
                after = replace(after, client_secret=fields.secret("Client secret", text))
            case "tenant":
                after = replace(after, tenant=fields.plain("Tenant", text))
            case "redirect_uri":
                after = replace(after, redirect_uri=_redirect(text))
            case "hosts":
                after = replace(after, extra_hosts=_hosts(text))
            case "ca_file":
                after = replace(after, ca_file=_ca_file(text))
            case _ if name in LIMIT_NAMES:
                _set_limit(limits, name, text)
            case _:
                placed[name] = fields.plain(name, text, most=1024)
    return replace(after, provider=provider.id, values=placed, limits=limits)


def _set_limit(limits: dict[str, int], name: str, text: str) -> None:
    """Set a limit; an empty text brings the provider's own back."""
    label = name.replace("_", " ").capitalize()
    number = fields.plain(label, text, most=10)
    if not number:
        limits.pop(name, None)
    elif number.isascii() and number.isdigit() and int(number) <= LIMIT_MAX:
        limits[name] = int(number)
    else:
        raise fields.wrong(label, f"enter a whole number from 0 (no limit) to {LIMIT_MAX:,}, or nothing")


def _redirect(text: str) -> str:
    text = fields.plain("Redirect address", text, most=2048)
    return check_endpoint(text) if text else ""


def _hosts(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(fields.host("Mail servers", each) for each in re.split(r"[\s,]+", text) if each))
    if len(names) > HOSTS_MAX:
        raise fields.wrong("Mail servers", f"enter at most {HOSTS_MAX}")
    return names


def _ca_file(text: str) -> str:
    path = fields.plain("Own CA", text, most=1024)
    if path and not path.startswith("/"):
        raise fields.wrong("Own CA", "enter the whole path of the PEM file, beginning with /")
    client_context(path)  # refuses a file that holds no certificate
    return path


def _servers(kind: ServiceKind, text: str) -> tuple[MailServer, ...]:
    label = f"{kind.upper()} server"
    return tuple(_server(label, each) for each in re.split(r"[\s,]+", text) if each)


def _server(label: str, text: str) -> MailServer:
    parts = text.rsplit(":", 2)
    if len(parts) != 3:
        raise fields.wrong(label, f"“{text}” is not host:port:tls, with tls or starttls at the end")
    tls = fields.word(label, parts[2], TlsMode, allowed=(TlsMode.STARTTLS, TlsMode.IMPLICIT))
    return MailServer(fields.host(label, parts[0]), fields.port(label, parts[1]), tls)


def _written(server: MailServer) -> str:
    return f"{server.host}:{server.port} ({server.tls})"


def _written_all(offered: tuple[OfferedServer, ...]) -> list[Json]:
    return [_written(each.server) for each in offered]


def _endpoints_view(provider: Provider, registration: Registration) -> dict[str, Json]:
    try:
        ends = resolve(provider, registration)
    except InvalidInputError:
        return {}
    return {
        "issuer": ends.issuer,
        "authorization": ends.authorization,
        "token": ends.token,
        "device_authorization": ends.device_authorization,
        "revocation": ends.revocation,
        "userinfo": ends.userinfo,
    }


def _complete(provider: Provider, registration: Registration) -> bool:
    filled = {**registration.values, "tenant": registration.tenant or provider.tenant_default}
    return Quirk.FILLED_AT_RUN_TIME not in provider.quirks and all(filled.get(name) for name in provider.placeholders)


def _missing(provider: Provider, registration: Registration) -> list[Json]:
    if not provider.oauth:
        return []
    filled = {**registration.values, "tenant": registration.tenant or provider.tenant_default}
    names: list[Json] = [name for name in provider.placeholders if not filled.get(name)]
    return names if registration.client_id else ["client_id", *names]


def _registration_view(registration: Registration) -> dict[str, Json]:
    return {
        "client_id": registration.client_id,
        "client_secret": registration.client_secret is not None,
        "tenant": registration.tenant,
        "redirect_uri": registration.redirect_uri,
        "hosts": list(registration.extra_hosts),
        "ca_file": registration.ca_file,
        "values": dict(registration.values),
        "limits": dict(registration.limits),
    }
