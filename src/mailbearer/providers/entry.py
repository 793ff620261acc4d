"""One provider as JSON: the form of the catalogue's files, and of custom providers in the store."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict

from mailbearer.errors import InvalidInputError
from mailbearer.model.grant import Flow
from mailbearer.model.provider import Endpoints, FlowAdvice, Limits, MailServer, Provider
from mailbearer.model.service import ServiceKind, TlsMode
from mailbearer.protocol.oauth.metadata import check_endpoint
from mailbearer.providers.quirks import Quirk
from mailbearer.providers.reading import Record, mistake, parse

PLACEHOLDERS = ("tenant", "base", "realm", "slug", "region", "issuer")  # what an endpoint template may hold
MECHANISMS = frozenset({"XOAUTH2", "OAUTHBEARER"})
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:-]{0,252}[A-Za-z0-9_])?")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SAMPLES = {"base": "https://base.example", "issuer": "https://issuer.example"}  # the others fill a part of a path


def read_provider(text: str, *, entry: str, custom: bool) -> Provider:
    """Return the provider that the JSON ``text`` describes.

    Raises:
        InvalidInputError: MB-W05 with the name of ``entry`` and of the field.
    """
    record = Record(parse(text, entry), entry)
    provider = _provider(record, custom=custom)
    record.finish()
    _check(provider, entry)
    return provider


def write_provider(provider: Provider) -> str:
    """Return ``provider`` as JSON that ``read_provider`` takes."""
    ends = provider.endpoints
    found = {
        "id": provider.id,
        "place": 0,
        "name": provider.name,
        "family": provider.family,
        "oauth": provider.oauth,
        "issuer": provider.issuer,
        "discovery_url": provider.discovery_url,
        "endpoints": {
            "authorization": ends.authorization,
            "token": ends.token,
            "device_authorization": ends.device_authorization,
            "revocation": ends.revocation,
            "userinfo": ends.userinfo,
        },
        "iss_in_response": ends.iss_in_response,
        "placeholders": provider.placeholders,
        "tenant_default": provider.tenant_default,
        "scopes": provider.scopes,
        "refresh_scopes": provider.refresh_scopes,
        "identity_scopes": provider.identity_scopes,
        "ignored_scopes": provider.ignored_scopes,
        "scope_separator": provider.scope_separator,
        "authorization_parameters": provider.authorization_parameters,
        "device_parameters": provider.device_parameters,
        "flows": [{"flow": one.flow, "allowed": one.allowed, "warning": one.warning} for one in provider.flows],
        "servers": {
            kind: [[server.host, server.port, server.tls] for server in servers]
            for kind, servers in provider.servers.items()
        },
        "sasl": provider.sasl,
        "domains": provider.domains,
        "mx_suffixes": provider.mx_suffixes,
        "quirks": sorted(provider.quirks),
        "access_lifetime": provider.access_lifetime,
        "idle_lifetime_days": provider.idle_lifetime_days,
        "notes": provider.notes,
        "unconfirmed": provider.unconfirmed,
        "secret_wanted": provider.secret_wanted,
        "limits": asdict(provider.limits),
    }
    return json.dumps(found, ensure_ascii=False)


def place_of(text: str) -> int:
    """Return where in lists the entry stands."""
    return Record(parse(text, "catalogue"), "catalogue").number("place")


def _provider(record: Record, *, custom: bool) -> Provider:
    record.number("place")
    issuer = record.text("issuer")
    return Provider(
        id=record.text("id"),
        name=record.text("name"),
        family=record.text("family"),
        oauth=record.flag("oauth"),
        issuer=issuer,
        discovery_url=record.text("discovery_url"),
        endpoints=_endpoints(record, issuer),
        placeholders=record.texts("placeholders"),
        tenant_default=record.text("tenant_default"),
        scopes=_by_kind(record, "scopes"),
        refresh_scopes=record.texts("refresh_scopes"),
        identity_scopes=record.texts("identity_scopes"),
        ignored_scopes=record.texts("ignored_scopes"),
        scope_separator=record.text("scope_separator"),
        authorization_parameters=record.mapping("authorization_parameters"),
        device_parameters=record.mapping("device_parameters"),
        flows=tuple(_flow(Record(item, f"{record.entry}: flows")) for item in record.items("flows")),
        servers=_servers(record),
        sasl=_by_kind(record, "sasl"),
        domains=record.texts("domains"),
        mx_suffixes=record.texts("mx_suffixes"),
        quirks=frozenset(record.texts("quirks")),
        access_lifetime=record.number("access_lifetime"),
        idle_lifetime_days=record.number("idle_lifetime_days") if record.has("idle_lifetime_days") else None,
        notes=record.texts("notes"),
        unconfirmed=record.texts("unconfirmed"),
        secret_wanted=record.text("secret_wanted"),
        custom=custom,
        limits=_limits(record),
    )


def _limits(record: Record) -> Limits:
    if not record.has("limits"):  # a provider that an older version stored
        return Limits()
    limits = record.record("limits")
    found = Limits(
        connections=limits.number("connections"),
        messages_per_minute=limits.number("messages_per_minute"),
        recipients_per_message=limits.number("recipients_per_message"),
        recipients_per_day=limits.number("recipients_per_day"),
        size=limits.number("size"),
    )
    limits.finish()
    return found


def _endpoints(record: Record, issuer: str) -> Endpoints:
    ends = record.record("endpoints")
    found = Endpoints(
        issuer=issuer,
        authorization=ends.text("authorization"),
        token=ends.text("token"),
        device_authorization=ends.text("device_authorization"),
        revocation=ends.text("revocation"),
        userinfo=ends.text("userinfo"),
        iss_in_response=record.flag("iss_in_response"),
    )
    ends.finish()
    return found


def _by_kind(record: Record, name: str) -> Mapping[ServiceKind, tuple[str, ...]]:
    kinds = record.record(name)
    found = {kind: kinds.texts(kind) for kind in ServiceKind}
    kinds.finish()
    return found


def _flow(record: Record) -> FlowAdvice:
    word = record.text("flow")
    if word not in set(Flow):
        raise mistake(record.entry, "flow", f"{word} is no way to a token")
    advice = FlowAdvice(Flow(word), record.flag("allowed"), record.text("warning"))
    record.finish()
    return advice


def _servers(record: Record) -> Mapping[ServiceKind, tuple[MailServer, ...]]:
    kinds = record.record("servers")
    found = {kind: tuple(_server(kinds.entry, item) for item in kinds.items(kind)) for kind in ServiceKind}
    kinds.finish()
    return found


def _server(entry: str, item: object) -> MailServer:
    match item:
        case [str(host), int(port), str(tls)] if _HOST.fullmatch(host) and 1 <= port <= 65535 and tls in set(TlsMode):
            return MailServer(host.lower(), port, TlsMode(tls))
        case _:
            raise mistake(entry, "server", 'write ["name", port, "starttls" or "tls"]')


def _check(provider: Provider, entry: str) -> None:
    if not _ID.fullmatch(provider.id):
        raise mistake(entry, "id", "small letters, digits and hyphens make an id")
    if not provider.name.strip():
        raise mistake(entry, "name", "it is empty")
    for quirk in provider.quirks - set(Quirk):
        raise mistake(entry, "quirks", f"{quirk} is not in quirks.py")
    for mechanism in {name for names in provider.sasl.values() for name in names} - MECHANISMS:
        raise mistake(entry, "sasl", f"{mechanism} is no mechanism for tokens")
    _check_flows(provider, entry)
    _check_addresses(provider, entry)


def _check_flows(provider: Provider, entry: str) -> None:
    flows = [advice.flow for advice in provider.flows]
    if len(set(flows)) != len(flows):
        raise mistake(entry, "flows", "one way stands there twice")
    ends = provider.endpoints
    needed = {Flow.CODE: ends.authorization, Flow.DEVICE: ends.device_authorization}
    for advice in provider.flows:
        if advice.allowed and not needed[advice.flow] and Quirk.FILLED_AT_RUN_TIME not in provider.quirks:
            raise mistake(entry, "flows", f"{advice.flow} is allowed and has no endpoint")
        if not advice.allowed and not advice.warning:
            raise mistake(entry, "flows", f"{advice.flow} is not allowed and nothing says why")


def _check_addresses(provider: Provider, entry: str) -> None:
    ends = provider.endpoints
    addresses = {
        "issuer": provider.issuer,
        "discovery_url": provider.discovery_url,
        "authorization": ends.authorization,
        "token": ends.token,
        "device_authorization": ends.device_authorization,
        "revocation": ends.revocation,
        "userinfo": ends.userinfo,
    }
    for field, url in addresses.items():
        holes = set(_PLACEHOLDER.findall(url))
        for name in holes - set(provider.placeholders):
            raise mistake(entry, field, f"{{{name}}} is not among the placeholders")
        try:
            if url:
                check_endpoint(_PLACEHOLDER.sub(lambda hole: _SAMPLES.get(hole[1], "x"), url))
        except InvalidInputError as error:
            raise mistake(entry, field, "an https address is wanted here") from error
    for name in set(provider.placeholders) - set(PLACEHOLDERS):
        raise mistake(entry, "placeholders", f"{name} is unknown; known are {', '.join(PLACEHOLDERS)}")
