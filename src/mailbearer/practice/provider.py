"""The practice provider as an entry of the catalogue, with the application registration that fits it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from mailbearer.model.grant import Flow
from mailbearer.model.provider import Endpoints, FlowAdvice, MailServer, Provider, Registration
from mailbearer.model.service import ServiceKind, TlsMode
from mailbearer.practice.bearer import MECHANISMS
from mailbearer.practice.certificates import HOST
from mailbearer.practice.options import CLIENT_ID, DOMAIN, OFFLINE, RECEIVE, SEND

PROVIDER_ID: Final = "practice"
PROVIDER_NAME: Final = "Practice (this machine)"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the practice servers listen on 127.0.0.1."""

    NAMES: ClassVar = ("http", "smtp", "smtps", "pop3", "pop3s")

    http: int
    smtp: int  # STARTTLS
    smtps: int
    pop3: int  # STLS
    pop3s: int

    @property
    def issuer(self) -> str:
        """The address of the authorization server."""
        return f"http://127.0.0.1:{self.http}"


def practice_provider(ports: Ports, ca_file: Path) -> tuple[Provider, Registration]:
    """Return the provider that listens on ``ports``, and a registration that trusts its certificates."""
    issuer = ports.issuer
    provider = Provider(
        id=PROVIDER_ID,
        name=PROVIDER_NAME,
        family=PROVIDER_ID,
        oauth=True,
        issuer=issuer,
        discovery_url=f"{issuer}/.well-known/oauth-authorization-server",
        endpoints=Endpoints(
            issuer=issuer,
            authorization=f"{issuer}/authorize",
            token=f"{issuer}/token",
            device_authorization=f"{issuer}/device_authorization",
            revocation=f"{issuer}/revoke",
            userinfo=f"{issuer}/userinfo",
            iss_in_response=True,
        ),
        placeholders=(),
        tenant_default="",
        scopes={ServiceKind.SMTP: (SEND, OFFLINE), ServiceKind.POP: (RECEIVE, OFFLINE)},
        refresh_scopes=(),
        identity_scopes=("openid", "email"),
        ignored_scopes=(OFFLINE, "openid", "email"),
        scope_separator=" ",
        authorization_parameters={},
        device_parameters={},
        flows=(FlowAdvice(Flow.DEVICE, allowed=True), FlowAdvice(Flow.CODE, allowed=True)),
        servers={
            ServiceKind.SMTP: (
                MailServer(HOST, ports.smtp, TlsMode.STARTTLS),
                MailServer(HOST, ports.smtps, TlsMode.IMPLICIT),
            ),
            ServiceKind.POP: (
                MailServer(HOST, ports.pop3s, TlsMode.IMPLICIT),
                MailServer(HOST, ports.pop3, TlsMode.STARTTLS),
            ),
        },
        sasl={ServiceKind.SMTP: MECHANISMS, ServiceKind.POP: MECHANISMS},
        domains=(DOMAIN,),
        mx_suffixes=(),
        quirks=frozenset(),
        access_lifetime=3600,
        idle_lifetime_days=90,
        notes=(f"Every address at {DOMAIN} exists. Nothing leaves this machine.",),
        custom=True,
    )
    return provider, Registration(provider=PROVIDER_ID, client_id=CLIENT_ID, ca_file=str(ca_file))
