"""One visit to one mail server: each method is a step, does what real mail would do, and returns what it found."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailbearer.clock import Clock
from mailbearer.errors import ForeignServerError, InvalidInputError, TokenUnavailableError
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.service import AuthMethod, Service, SmtpSettings, TlsMode
from mailbearer.net.connect import open_stream, secure
from mailbearer.net.pop3 import Pop3Session
from mailbearer.net.resolve import Address, resolve
from mailbearer.net.route import Route
from mailbearer.net.smtp import SmtpSession
from mailbearer.net.stream import Stream
from mailbearer.protocol.sasl.login import Login
from mailbearer.protocol.sasl.mechanism import Mechanism
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.protocol.smtp.extensions import Extensions
from mailbearer.providers.hosts import allows
from mailbearer.tokens.admission import mechanism_of
from mailbearer.tokens.source import AccessToken

TOKEN_MECHANISMS = ("XOAUTH2", "OAUTHBEARER")
PASSWORD_MECHANISMS = ("PLAIN", "LOGIN")


class StepName(StrEnum):
    """The steps, by the names that every surface shows."""

    CLOCK = "Clock"
    NAME = "Name"
    TCP = "TCP"
    TLS = "TLS"
    GREETING = "Greeting"
    CAPABILITIES = "Capabilities"
    TOKEN = "Token"  # noqa: S105 - the name of a step
    SIGN_IN = "Sign-in"
    MAILBOX = "Mailbox"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom the visit is made for. Provider and registration are None where no provider is chosen."""

    service: Service
    provider: Provider | None
    registration: Registration | None
    hello_name: str

    @property
    def oauth(self) -> bool:
        """Does the service sign in with a token."""
        return self.service.settings.auth is AuthMethod.OAUTH2


class Visit(ABC):
    """The steps that SMTP and POP share; ``SmtpVisit`` and ``PopVisit`` have the others."""

    def __init__(self, subject: Subject, route: Route, clock: Clock) -> None:
        self.subject = subject
        self.route = route
        self._clock = clock
        self._addresses: tuple[Address, ...] = ()
        self._stream: Stream | None = None

    def arrival(self) -> Mapping[StepName, Callable[[], Awaitable[str]]]:
        """Return the steps until the server could be asked to sign us in, in the order in which they are made."""
        talk = {StepName.GREETING: self.greeting, StepName.CAPABILITIES: self.capabilities}
        last = self.route.tls is TlsMode.STARTTLS
        tls_last, tls_first = ({StepName.TLS: self.tls}, {}) if last else ({}, {StepName.TLS: self.tls})
        return {StepName.NAME: self.name, StepName.TCP: self.tcp, **tls_first, **talk, **tls_last}

    async def name(self) -> str:
        """Look the name up; refuse a server that may not see the provider's token before anything is sent to it."""
        provider, registration = self.subject.provider, self.subject.registration
        if self.subject.oauth and provider and registration and not allows(provider, registration, self.route.host):
            raise ForeignServerError("MB-T40", host=self.route.host, provider=provider.name)
        self._addresses = await resolve(self.route)
        count = len(self._addresses)
        many = "1 address" if count == 1 else f"{count} addresses, first"
        return f"{self.route.host} has {many} {self._addresses[0].ip}"

    async def tcp(self) -> str:
        """Connect."""
        self._stream = await open_stream(self._addresses, self.route)
        return f"Connected to {self._stream.peer_address}, port {self.route.port}"

    async def tls(self) -> str:
        """Encrypt, and verify whom we speak with."""
        if self.route.tls is TlsMode.OFF and self.subject.oauth:
            raise ForeignServerError("MB-T41", host=self.route.host, port=self.route.port)
        if self.route.tls is TlsMode.OFF:
            return "Not encrypted, as set"
        if self.route.tls is TlsMode.IMPLICIT:
            self._stream = await secure(self._connected, self._clock)
        else:
            await self.start_tls()
        return _encryption(self._connected, self._clock.now())

    @abstractmethod
    async def greeting(self) -> str:
        """Hear the server's first words."""

    @abstractmethod
    async def capabilities(self) -> str:
        """Hear what the server offers."""

    @abstractmethod
    async def start_tls(self) -> None:
        """Encrypt in the middle of the conversation, and ask again what is offered."""

    @abstractmethod
    async def sign_in(self, access: AccessToken | None) -> str:
        """Sign in as the settings say, with ``access`` where they want a token."""

    @abstractmethod
    async def mailbox(self) -> str:
        """See that the mailbox itself can be used, and say goodbye."""

    async def close(self) -> None:
        """End the connection, if there is one."""
        if self._stream is not None:
            await self._stream.close()

    @property
    def _connected(self) -> Stream:
        if self._stream is None:
            raise AssertionError("a step before TCP")
        return self._stream

    @property
    def _wanted(self) -> tuple[str, ...]:
        provider, kind = self.subject.provider, self.subject.service.kind
        return (provider.sasl.get(kind) if provider else None) or TOKEN_MECHANISMS

    def _with_token(self, name: str, access: AccessToken) -> Mechanism:
        return mechanism_of(name, self.subject.service.sasl_user, (self.route.host, self.route.port), access)

    def _with_password(self, name: str) -> Mechanism:
        service = self.subject.service
        if service.settings.password is None:
            raise TokenUnavailableError("MB-W31", service=service.id, account=service.sasl_user)
        return (Plain if name == "PLAIN" else Login)(service.sasl_user, service.settings.password)


class SmtpVisit(Visit):
    """The steps of sending."""

    async def greeting(self) -> str:
        """Hear the server's first words."""
        self._session = SmtpSession(self._connected, self._clock)
        return str(await self._session.greet())

    async def capabilities(self) -> str:
        """Introduce this machine."""
        return _smtp_offer(await self._session.hello(self.subject.hello_name))

    async def start_tls(self) -> None:
        """Encrypt in the middle of the conversation, and introduce this machine again."""
        await self._session.start_tls()
        self._stream = self._session.stream
        await self._session.hello(self.subject.hello_name)

    async def sign_in(self, access: AccessToken | None) -> str:
        """Sign in as the settings say."""
        name = self._session.choose(self._wanted if access else PASSWORD_MECHANISMS)
        mechanism = self._with_token(name, access) if access else self._with_password(name)
        await self._session.sign_in(mechanism, cleartext=True)
        return f"{name} accepted for {self.subject.service.sasl_user}"

    async def mailbox(self) -> str:
        """Ask whether the sender may send, and take it back."""
        settings = self.subject.service.settings
        sender = settings.sender_address if isinstance(settings, SmtpSettings) else ""
        sender = sender or settings.account
        if not sender:
            raise InvalidInputError("MB-W05", field="Sender Address", problem="it is empty")
        await self._session.try_sender(sender)
        await self._session.quit()
        return f"May send as {sender}"


class PopVisit(Visit):
    """The steps of receiving."""

    async def greeting(self) -> str:
        """Hear the server's first words."""
        self._session = Pop3Session(self._connected, self._clock)
        return f"+OK {await self._session.greet()}".rstrip()

    async def capabilities(self) -> str:
        """Ask what is offered."""
        offered = await self._session.capa()
        words = {"STLS": offered.stls, "UIDL": offered.uidl, "TOP": offered.top, "USER": offered.user}
        sasl = [f"SASL {' '.join(sorted(offered.sasl))}"] if offered.sasl else []
        return ", ".join([*(word for word, there in words.items() if there), *sasl]) or "None told"

    async def start_tls(self) -> None:
        """Encrypt in the middle of the conversation, and ask again."""
        await self._session.start_tls()
        self._stream = self._session.stream
        await self._session.capa()

    async def sign_in(self, access: AccessToken | None) -> str:
        """Sign in as the settings say."""
        user = self.subject.service.sasl_user
        if access:
            name = self._session.choose(self._wanted, unlisted=True)  # Exchange Online takes XOAUTH2 without a word
            await self._session.sign_in(self._with_token(name, access))
            return f"{name} accepted for {user}"
        password = self.subject.service.settings.password
        name = next((name for name in PASSWORD_MECHANISMS if name in self._session.capabilities.sasl), "")
        if name or password is None:
            await self._session.sign_in(self._with_password(name), cleartext=True)
        else:
            await self._session.log_in(user, password, cleartext=True)
        return f"{name or 'USER'} accepted for {user}"

    async def mailbox(self) -> str:
        """Ask what waits; fetch and delete nothing."""
        stat = await self._session.stat()
        await self._session.quit()
        items = "1 item" if stat.count == 1 else f"{stat.count} items"
        return f"{items}, {_size(stat.size)} waiting"


def _encryption(stream: Stream, now: datetime) -> str:
    version = stream.tls_version.replace("TLSv", "TLS ")
    found = stream.certificate
    if found is None:
        return version
    return f"{version}. Certificate for {found.names[0]}, good for {(found.not_after - now).days} more days"


def _smtp_offer(offered: Extensions) -> str:
    words = {
        "STARTTLS": offered.starttls,
        f"SIZE {offered.size}": offered.size is not None,
        "8BITMIME": offered.eight_bit,
        "SMTPUTF8": offered.utf8,
        "PIPELINING": offered.pipelining,
        f"AUTH {' '.join(sorted(offered.auth))}": bool(offered.auth),
    }
    return ", ".join(word for word, there in words.items() if there) or "None told"


def _size(octets: int) -> str:
    return f"{octets:,} bytes" if octets < 10_000 else f"{octets // 1000:,} kB"
