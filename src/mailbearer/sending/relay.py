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
from mailbearer.model.message import QueuedMessage, RecipientOutcome
from mailbearer.model.provider import Provider
from mailbearer.model.service import AuthMethod, Service, ServiceId
from mailbearer.net.route import Route, routes_of
from mailbearer.net.smtp import SmtpSession, Submission, open_smtp
from mailbearer.observe.maillog import Verb, record
from mailbearer.protocol.sasl.login import Login
from mailbearer.protocol.sasl.mechanism import Mechanism
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.providers.limits import limits_of
from mailbearer.providers.quirks import Quirk
from mailbearer.sending.limits import Account
from mailbearer.store.allowances import Taken
from mailbearer.store.bodies import Body
from mailbearer.tokens.admission import Sources, admitted, mechanism_of
from mailbearer.tokens.source import AccessToken

PRIMARY_PAUSE = timedelta(minutes=5)  # how long the Secondary Server is used before the first is tried again
FRESH_LIFE = timedelta(minutes=11)  # High Volume Email refuses a token with less than ten minutes left
FRESH_SERVERS = ("smtp-hve.",)  # how the names of the servers begin that want one


@dataclass(frozen=True, slots=True)
class Way:
    """A service and what leads to its servers, as the settings are now."""

    service: Service
    provider: Provider | None
    ca_file: str
    account: Account


@dataclass(frozen=True, slots=True)
class Line:
    """A connection that is signed in."""

    session: SmtpSession
    way: Way


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message with those of its recipients that one transaction is for."""

    message: QueuedMessage
    submission: Submission
    body: Body
    taken: Taken

    @property
    def recipients(self) -> tuple[str, ...]:
        """Whom it goes to."""
        return self.submission.envelope.recipients


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

    def __init__(self, sources: Sources, clock: Clock, *, hello_name: str) -> None:
        self._sources = sources
        self._clock = clock
        self._hello_name = hello_name
        self._primary_down: dict[ServiceId, datetime] = {}

    async def way_of(self, identity: ServiceId) -> Way:
        """Return how mail of a service leaves.

        Raises:
            NotFoundError: there is no such service or provider.
        """
        service = await self._sources.service_of(identity)
        settings = service.settings
        if not settings.provider:
            return Way(service, None, "", Account(f"{identity}/{service.sasl_user.lower()}"))
        provider, registration = await self._sources.provider_of(settings.provider)
        account = Account(f"{provider.id}/{service.sasl_user.lower()}", limits_of(provider, registration))
        return Way(service, provider, registration.ca_file, account)

    async def open(self, way: Way) -> Line:
        """Return a line to the Primary Server, or to the Secondary Server when the first cannot be reached.

        Raises:
            TokenUnavailableError: there is no token; nothing was connected.
            MailbearerError: no server took us; the error of the first is told.
        """
        routes = routes_of(way.service, way.ca_file)
        if not routes or not way.service.settings.port:
            raise TokenUnavailableError("MB-W30", service=way.service.id)
        return Line(await self._first_that_answers(way.service, way.provider, routes), way)

    async def deliver(
        self, line: Line, parcel: Parcel, following: Parcel | None = None
    ) -> tuple[RecipientOutcome, ...]:
        """Hand ``parcel`` over; return what the server said of each of its recipients.

        ``following`` is what comes next on this line.
        """
        message, session = parcel.message, line.session
        record(Verb.SENDING, message.id, server=session.route.host, attempt=message.attempts + 1)
        submission = parcel.submission
        content = _Content(parcel.body.chunks())
        try:
            return await session.hand_over(
                submission, content.chunks(), following=None if following is None else following.submission
            )
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

        picky = Quirk.FRESHNESS_600 in provider.quirks and route.host.startswith(FRESH_SERVERS)
        return await admitted(
            self._sources.tokens,
            service,
            server=route.host,
            provider=provider,
            clock=self._clock,
            attempt=attempt,
            life=FRESH_LIFE if picky else timedelta(),
        )
