"""Providers as values: what the catalogue says of one, and what the administrator registered there."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailbearer.model.grant import Flow
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceKind, TlsMode


@dataclass(frozen=True, slots=True)
class MailServer:
    """One mail server of a provider."""

    host: str
    port: int
    tls: TlsMode


@dataclass(frozen=True, slots=True)
class FlowAdvice:
    """May this way be used for mail, and what to say about it."""

    flow: Flow
    allowed: bool
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of an authorization server with all placeholders filled in; empty where there is none."""

    issuer: str
    authorization: str
    token: str
    device_authorization: str
    revocation: str
    userinfo: str = ""
    iss_in_response: bool = False  # RFC 9207: the callback must carry ``iss``


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider takes from one account over SMTP; 0 where nothing is known or nothing is to be kept."""

    connections: int = 0  # at once
    messages_per_minute: int = 0
    recipients_per_message: int = 0
    recipients_per_day: int = 0  # in any 24 hours
    size: int = 0  # octets of one message


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of the catalogue. Endpoint templates may hold ``{tenant}``, ``{base}``, ``{realm}``, ``{region}``."""

    id: str
    name: str
    family: str  # microsoft, google, generic-oidc …: chooses error rules and quirks
    oauth: bool  # does it take OAuth 2.0 for mail at all
    issuer: str
    discovery_url: str
    endpoints: Endpoints
    placeholders: tuple[str, ...]
    tenant_default: str
    scopes: Mapping[ServiceKind, tuple[str, ...]]
    refresh_scopes: tuple[str, ...]
    identity_scopes: tuple[str, ...]
    ignored_scopes: tuple[str, ...]
    scope_separator: str
    authorization_parameters: Mapping[str, str]
    device_parameters: Mapping[str, str]
    flows: tuple[FlowAdvice, ...]  # in the order to offer
    servers: Mapping[ServiceKind, tuple[MailServer, ...]]
    sasl: Mapping[ServiceKind, tuple[str, ...]]
    domains: tuple[str, ...]
    mx_suffixes: tuple[str, ...]
    quirks: frozenset[str]
    access_lifetime: int  # seconds, when the server does not say
    idle_lifetime_days: int | None  # a refresh token dies after this many days without use
    notes: tuple[str, ...] = ()
    unconfirmed: tuple[str, ...] = ()  # names of facts no source settled
    secret_wanted: str = ""  # what to know about the client secret
    custom: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Registration:
    """What the administrator registered at a provider. ``values`` fills placeholders other than the tenant."""

    provider: str
    client_id: str = ""
    client_secret: Secret | None = None
    tenant: str = ""
    redirect_uri: str = ""  # our own callback address; empty: loopback and paste-back only
    extra_hosts: tuple[str, ...] = ()  # mail servers added to the provider's own by the administrator
    ca_file: str = ""  # PEM file of a certification authority for this provider's servers
    values: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, int] = field(default_factory=dict[str, int])  # instead of those of the provider, by field name
    version: int = 0
