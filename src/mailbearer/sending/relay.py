"""One connection to a provider and one attempt at a time: which server, TLS, which mechanism, which token."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbearer.clock import Clock
from mailbearer.errors import (
    ConnectError,
    InvalidInputError,
    MailbearerError,
    RemoteProtocolError,
    ServerRefusedError,
    TokenUnavailableError,
)
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageId, QueuedMessage, RecipientOutcome
from mailbearer.model.provider import Provider
from mailbearer.model.service import AuthMethod, Service, ServiceId
from mailbearer.net.route import Route, routes_of
from mailbearer.net.smtp import SmtpSession, open_smtp
from mailbearer.observe.maillog import Verb, record
from mailbearer.protocol.sasl.login import Login
from mailbearer.protocol.sasl.mechanism import Mechanism
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.sending.verdicts import waiting_recipients
from mailbearer.store.spool import Spool
from mailbearer.tokens.admission import Sources, admitted, mechanism_of
from mailbearer.tokens.source import AccessToken

PRIMARY_PAUSE = timedelta(minutes=5)  # how long the Secondary Server is used before the first is tried again


@dataclass(frozen=True, slots=True)
class Line:
    """A connection that is signed in."""

    session: SmtpSession
    service: Service
    provider: Provider | None


class _Content:
    """A content on its way; ``gone`` once all of it was given out."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.gone = False

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk
        self.gone = True


class Relay:
    """Opens lines to the servers of a service and hands messages over on them."""

    def __init__(self, sources: Sources, spool: Spool, clock: Clock, *, hello_name: str) -> None:
        self._sources = sources
        self._spool = spool
        self._clock = clock
        self._hello_name = hello_name
        self._primary_down: dict[ServiceId, datetime] = {}

    async def provider_of(self, identity: ServiceId) -> Provider | None:
        """Return the provider of a service, None where none is chosen or it cannot be found out."""
        try:
            settings = (await self._sources.service_of(identity)).settings
            return (await self._sources.provider_of(settings.provider))[0] if settings.provider else None
        except MailbearerError:
            return None

    async def open(self, identity: ServiceId) -> Line:
        """Return a line to the Primary Server, or to the Secondary Server when the first cannot be reached.

        Raises:
            TokenUnavailableError: there is no token; nothing was connected.
            MailbearerError: no server took us; the error of the first is told.
        """
        service = await self._sources.service_of(identity)
        settings = service.settings
        provider: Provider | None = None
        ca_file = ""
        if settings.provider:
            provider, registration = await self._sources.provider_of(settings.provider)
            ca_file = registration.ca_file
        routes = routes_of(service, ca_file)
        if not routes or not settings.port:
            raise TokenUnavailableError("MB-W30", service=identity)
        return Line(await self._first_that_answers(service, provider, routes), service, provider)

    async def deliver(self, line: Line, message: QueuedMessage) -> tuple[RecipientOutcome, ...]:
        """Hand ``message`` over to those of its recipients that still wait; return what the server said of each."""
        record(Verb.SENDING, message.id, server=line.session.route.host, attempt=message.attempts + 1)
        envelope = Envelope(message.envelope.reverse_path, waiting_recipients(message))
        eight_bit = line.session.extensions.eight_bit and not await self._is_ascii(message.id)
        content = _Content(self._spool.open(message.id))
        try:
            return await line.session.submit(envelope, message.size, content.chunks(), eight_bit=eight_bit)
        except asyncio.CancelledError:
            if content.gone:
                record(Verb.UNCERTAIN, message.id, message_id=message.message_id)
            raise

    async def _first_that_answers(
        self, service: Service, provider: Provider | None, routes: tuple[Route, ...]
    ) -> SmtpSession:
        now = self._clock.now()
        down = self._primary_down.get(service.id)
        if len(routes) > 1 and down is not None and now - PRIMARY_PAUSE < down <= now:
            routes = (*routes[1:], routes[0])
        first: MailbearerError | None = None
        for route in routes:
            try:
                session = await self._signed_in(service, provider, route)
            except (ConnectError, RemoteProtocolError, ServerRefusedError) as error:
                first = first or error
                if route.host == service.servers[0] and len(routes) > 1:
                    self._primary_down[service.id] = now
                    record(Verb.SENDING, service.id, code="MB-S23", instead_of=route.host)
            else:
                if route.host == service.servers[0]:
                    self._primary_down.pop(service.id, None)
                return session
        raise first or ConnectError("MB-S04", host=service.servers[0], port=service.settings.port)

    async def _signed_in(self, service: Service, provider: Provider | None, route: Route) -> SmtpSession:
        match service.settings.auth:
            case AuthMethod.NONE:
                return await open_smtp(route, self._hello_name, self._clock)
            case AuthMethod.PASSWORD:
                return await self._with_password(service, route)
            case AuthMethod.OAUTH2:
                return await self._with_token(service, provider, route)

    async def _with_password(self, service: Service, route: Route) -> SmtpSession:
        password = service.settings.password
        if password is None:
            raise TokenUnavailableError("MB-W31", service=service.id)
        session = await open_smtp(route, self._hello_name, self._clock)
        try:
            plain = session.choose(("PLAIN", "LOGIN")) == "PLAIN"
            mechanism: Mechanism = Plain(service.sasl_user, password) if plain else Login(service.sasl_user, password)
            await session.sign_in(mechanism, cleartext=True)
        except BaseException:
            await session.close()
            raise
        return session

    async def _with_token(self, service: Service, provider: Provider | None, route: Route) -> SmtpSession:
        if provider is None:
            raise InvalidInputError("MB-W05", field="Provider", problem="choose one; OAuth 2.0 needs it")

        async def attempt(access: AccessToken) -> SmtpSession:
            session = await open_smtp(route, self._hello_name, self._clock)
            try:
                name = session.choose(provider.sasl.get(service.kind) or ("XOAUTH2", "OAUTHBEARER"))
                await session.sign_in(mechanism_of(name, service.sasl_user, (route.host, route.port), access))
            except BaseException:
                await session.close()
                raise
            return session

        return await admitted(
            self._sources.tokens,
            service,
            server=route.host,
            provider=provider,
            clock=self._clock,
            attempt=attempt,
        )

    async def _is_ascii(self, message: MessageId) -> bool:
        chunks: AsyncIterator[bytes] = self._spool.open(message)
        async for chunk in chunks:
            if not chunk.isascii():
                return False
        return True
