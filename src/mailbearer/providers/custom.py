"""Providers that the administrator adds: from a discovery document, or with endpoints written by hand."""

from collections.abc import Mapping
from dataclasses import replace

from mailbearer.model.grant import Flow
from mailbearer.model.provider import Endpoints, FlowAdvice, MailServer, Provider
from mailbearer.model.service import ServiceKind
from mailbearer.protocol.oauth.device import GRANT_TYPE as DEVICE_GRANT
from mailbearer.protocol.oauth.metadata import Metadata
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.entry import read_provider, write_provider
from mailbearer.providers.quirks import Quirk

DEFAULT_LIKE = "oidc"


def custom_provider(
    provider_id: str,
    name: str,
    *,
    found: Metadata | Endpoints,
    servers: Mapping[ServiceKind, tuple[MailServer, ...]],
    scopes: tuple[str, ...] = (),
    like: str = DEFAULT_LIKE,
) -> Provider:
    """Return a provider with the endpoints ``found``, in all else ``like`` an entry of the catalogue.

    Its mail servers are ``servers`` and no others. ``scopes`` empty: those of the entry. A way to a token is allowed
    when the server has its endpoint; with a code to be typed first, for a machine often has no browser.

    Raises:
        NotFoundError: MB-W20, the catalogue has no entry ``like``.
        InvalidInputError: MB-W05, an endpoint or server is not right.
    """
    base = load_catalogue().get(like)
    ends = endpoints_of(found) if isinstance(found, Metadata) else found
    offers = found if isinstance(found, Metadata) else None
    wanted = dict.fromkeys(ServiceKind, scopes) if scopes else base.scopes
    provider = replace(
        base,
        id=provider_id,
        name=name,
        issuer=ends.issuer,
        discovery_url="",
        endpoints=ends,
        placeholders=(),
        tenant_default="",
        scopes=wanted,
        refresh_scopes=_offered(base.refresh_scopes, offers),
        identity_scopes=_offered(base.identity_scopes, offers),
        flows=_flows(ends, offers),
        servers={kind: servers.get(kind, ()) for kind in ServiceKind},
        domains=(),
        mx_suffixes=(),
        quirks=base.quirks - {Quirk.FILLED_AT_RUN_TIME},
        notes=(),
        unconfirmed=(),
        custom=True,
    )
    return from_json(to_json(provider))  # the same checks as for one that was stored


def endpoints_of(metadata: Metadata) -> Endpoints:
    """Return the endpoints that a discovery document names."""
    return Endpoints(
        issuer=metadata.issuer,
        authorization=metadata.authorization_endpoint,
        token=metadata.token_endpoint,
        device_authorization=metadata.device_authorization_endpoint,
        revocation=metadata.revocation_endpoint,
        userinfo=metadata.userinfo_endpoint,
        iss_in_response=metadata.iss_in_response,
    )


def to_json(provider: Provider) -> str:
    """Return ``provider`` for the store."""
    return write_provider(provider)


def from_json(text: str) -> Provider:
    """Return the provider that ``to_json`` wrote.

    Raises:
        InvalidInputError: MB-W05 with the field.
    """
    return read_provider(text, entry="provider", custom=True)


def _offered(scopes: tuple[str, ...], metadata: Metadata | None) -> tuple[str, ...]:
    if metadata is None or not metadata.scopes_supported:
        return scopes
    return tuple(scope for scope in scopes if scope in metadata.scopes_supported)


def _flows(ends: Endpoints, metadata: Metadata | None) -> tuple[FlowAdvice, ...]:
    grants = metadata.grant_types_supported if metadata is not None else ()
    device = bool(ends.device_authorization) and (not grants or DEVICE_GRANT in grants)
    code = bool(ends.authorization) and (not grants or "authorization_code" in grants)
    return (
        FlowAdvice(Flow.DEVICE, device, "" if device else "The server has no sign-in with a code."),
        FlowAdvice(Flow.CODE, code, "" if code else "The server has no sign-in with a browser."),
    )
