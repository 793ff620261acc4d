"""Services: the SMTP and POP settings that an administrator fills in (SPEC M2-M5)."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import NewType

from mailbearer.model.secret import Secret

ServiceId = NewType("ServiceId", str)  # smtp, smtp.NAME, pop.NAME


class ServiceKind(StrEnum):
    """What a service speaks."""

    SMTP = "smtp"
    POP = "pop"


class TlsMode(StrEnum):
    """Enable SSL/TLS."""

    OFF = "off"
    STARTTLS = "starttls"
    IMPLICIT = "tls"


class AuthMethod(StrEnum):
    """Authentication Method."""

    NONE = "none"
    PASSWORD = "password"  # noqa: S105 - a word of the settings
    OAUTH2 = "oauth2"


class AfterReceiving(StrEnum):
    """What happens to a message on the server once it has been handed over."""

    DELETE = "delete"
    LEAVE = "leave"


class DestinationKind(StrEnum):
    """Where received items go."""

    MAILDIR = "maildir"
    FOLDER = "folder"  # the whole message as NAME.eml
    ATTACHMENTS = "attachments"  # each attachment as a file of its own


@dataclass(frozen=True, slots=True)
class Destination:
    """One place where received items go; written ``maildir:/path`` or ``folder:/path`` or ``attachments:/path``."""

    kind: DestinationKind
    path: str


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """The fields of M2. ``port`` 0 stands for none chosen yet."""

    primary_server: str = ""
    secondary_server: str = ""
    port: int = 0
    timeout: timedelta = timedelta(seconds=60)
    sender_name: str = ""
    sender_address: str = ""
    tls: TlsMode = TlsMode.STARTTLS
    auth: AuthMethod = AuthMethod.OAUTH2
    provider: str = ""
    account: str = ""
    sasl_user: str = ""  # empty: the account itself
    password: Secret | None = None


@dataclass(frozen=True, slots=True)
class PopSettings:
    """The fields of M4."""

    server: str = ""
    port: int = 0
    check_interval: timedelta = timedelta(minutes=5)
    timeout: timedelta = timedelta(seconds=60)
    tls: TlsMode = TlsMode.IMPLICIT
    auth: AuthMethod = AuthMethod.OAUTH2
    provider: str = ""
    account: str = ""
    sasl_user: str = ""
    password: Secret | None = None
    after_receiving: AfterReceiving = AfterReceiving.LEAVE
    destinations: tuple[Destination, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Service:
    """One mail setting. ``places`` are the paths where it is shown; ``version`` grows with each change."""

    id: ServiceId
    title: str
    places: tuple[str, ...]
    settings: SmtpSettings | PopSettings
    version: int = 1

    @property
    def kind(self) -> ServiceKind:
        """What the service speaks."""
        return ServiceKind.SMTP if isinstance(self.settings, SmtpSettings) else ServiceKind.POP

    @property
    def servers(self) -> tuple[str, ...]:
        """The mail servers that it talks to, first choice first."""
        match self.settings:
            case SmtpSettings(primary_server=first, secondary_server=second):
                return tuple(name for name in (first, second) if name)
            case PopSettings(server=name):
                return (name,) if name else ()

    @property
    def sasl_user(self) -> str:
        """The name shown to the mail server."""
        return self.settings.sasl_user or self.settings.account
