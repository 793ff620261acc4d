"""A conversation with a POP3 server (RFC 1939, RFC 2449, RFC 5034), one method for each thing to be done."""

from collections.abc import AsyncGenerator, Iterable
from typing import assert_never

from mailbearer.clock import Clock
from mailbearer.errors import (
    ConnectError,
    LimitExceededError,
    MailbearerError,
    RemoteProtocolError,
    ServerRefusedError,
)
from mailbearer.model.secret import Secret
from mailbearer.model.service import TlsMode
from mailbearer.net.connect import connect
from mailbearer.net.route import Route
from mailbearer.net.session import QUIT_SECONDS, Session
from mailbearer.net.stream import Stream
from mailbearer.protocol.pop3.client import (
    Answer,
    Auth,
    AuthResponse,
    Body,
    Capa,
    Challenge,
    Command,
    Dele,
    End,
    Event,
    Greeting,
    Line,
    Noop,
    Pass,
    Pop3Client,
    Quit,
    Retr,
    Rset,
    Stat as AskStat,
    Stls,
    Uidl,
    User,
)
from mailbearer.protocol.pop3.responses import Capabilities, Stat, parse_stat, parse_uidl
from mailbearer.protocol.sasl.choose import choose
from mailbearer.protocol.sasl.mechanism import Mechanism

REPLY_SECONDS = 300.0
CAPABILITIES_MAX = 200  # lines
UIDLS_MAX = 200_000  # messages in one mailbox


class Pop3Session(Session):
    """One connection to a POP3 server. ``capabilities`` is what it offered last.

    Every method raises ServerRefusedError when the server answers -ERR, with its words in ``reply``.
    """

    def __init__(self, stream: Stream, clock: Clock) -> None:
        super().__init__(stream, clock)
        self._core = Pop3Client()
        self.capabilities = Capabilities()
        self._marked = False

    async def greet(self) -> str:
        """Return the server's greeting.

        Raises:
            ConnectError: P05, it is no POP3 server.
            ServerRefusedError: it is not ready for us.
        """
        try:
            event = await self._event("waiting for the greeting")
        except RemoteProtocolError as error:
            said = str(error.fields.get("greeting", error.detail))
            if said.startswith("-ERR"):
                raise self._refused(said) from error
            raise ConnectError(self.route.code(5), host=self.route.host, port=self.route.port, greeting=said) from error
        if isinstance(event, Greeting):
            return event.text
        raise self._unexpected()

    async def capa(self) -> Capabilities:
        """Ask what the server offers, which is nothing when it does not know the question."""
        try:
            self.capabilities = Capabilities.of(await self._lines(Capa(), CAPABILITIES_MAX, "capabilities"))
        except ServerRefusedError:
            self.capabilities = Capabilities()
        return self.capabilities

    async def start_tls(self) -> None:
        """Change over to TLS; ``capa`` must follow. Tried also where it was not offered: not every server has CAPA.

        Raises:
            ConnectError: P09, the server has none; P06 to P08, P10 as :func:`connect`.
            RemoteProtocolError: something was slipped in before the encryption.
        """
        try:
            await self._ask(Stls())
        except ServerRefusedError as error:
            host, port = self.route.host, self.route.port
            raise ConnectError(self.route.code(9), host=host, port=port, detail=error.reply) from error
        await self._secure(leftover=self._core.leftover)
        self._core = Pop3Client(greeting=False)
        self.capabilities = Capabilities()

    def choose(self, wanted: Iterable[str], *, unlisted: bool = False) -> str:
        """Return the first of the SASL mechanisms ``wanted`` that the server offers.

        ``unlisted``: the provider is known to take the first of them without saying so (a quirk).

        Raises:
            ServerRefusedError: P11, it offers none of them.
        """
        names = tuple(wanted)
        name = choose(self.capabilities.sasl, names)
        if name is None and not (unlisted and names):
            offered = " ".join(sorted(self.capabilities.sasl)) or "no sign-in by SASL"
            raise ServerRefusedError(self.route.code(11), host=self.route.host, offered=offered)
        return name or names[0]

    async def sign_in(self, mechanism: Mechanism, *, cleartext: bool = False) -> str:
        """Sign in; return the server's words. ``cleartext`` lets a password go to this machine itself without TLS.

        Raises:
            ForeignServerError: the connection is not encrypted; nothing was sent.
            SignInRefusedError: the server does not accept it.
        """
        self._check_cover(mechanism, cleartext=cleartext)
        await self._send(Auth(mechanism.name))
        while True:
            event = await self._event("signing in")
            match event:
                case Challenge(data=challenge):
                    with self._named():
                        response = mechanism.respond(challenge)
                    await self._send(AuthResponse(response))
                case Answer(ok=True, text=text):
                    return text
                case Answer(text=text):
                    raise self._sign_in_refused(f"-ERR {text}", mechanism.failure)
                case Greeting() | Line() | Body() | End():
                    raise self._unexpected()
                case _:
                    assert_never(event)

    async def log_in(self, user: str, password: Secret, *, cleartext: bool = False) -> str:
        """Sign in with USER and PASS, for servers without SASL; otherwise as :meth:`sign_in`."""
        self._check_cover(None, cleartext=cleartext)
        try:
            await self._ask(User(user))
            return await self._ask(Pass(password))
        except ServerRefusedError as error:
            raise self._sign_in_refused(error.reply, "") from error

    async def stat(self) -> Stat:
        """Return how many messages wait, and their octets together."""
        text = await self._ask(AskStat())
        with self._named():
            return parse_stat(text)

    async def uidl(self) -> list[tuple[int, str]]:
        """Return number and unique-id of each message.

        Raises:
            ServerRefusedError: P22, the server does not number its messages.
            LimitExceededError: there are more than ``UIDLS_MAX``.
        """
        try:
            lines = await self._lines(Uidl(), UIDLS_MAX, "messages")
        except ServerRefusedError as error:
            raise ServerRefusedError("MB-P22", reply=error.reply, host=self.route.host) from error
        with self._named():
            return [parse_uidl(line) for line in lines]

    async def retr(self, number: int, limit: int) -> AsyncGenerator[bytes]:
        """Give message ``number`` in pieces. Read it to its end, or close the session.

        Raises:
            LimitExceededError: it has more than ``limit`` octets.
        """
        await self._ask(Retr(number))
        size = 0
        while isinstance(event := await self._event("receiving a message"), Body):
            size += len(event.chunk)
            if size > limit:
                raise self._too_much(f"{limit:,} bytes", "one message")
            yield event.chunk

    async def dele(self, number: int) -> None:
        """Mark message ``number``; it is deleted by :meth:`quit`."""
        await self._ask(Dele(number))
        self._marked = True

    async def reset(self) -> None:
        """Take all marks back."""
        await self._ask(Rset())

    async def noop(self) -> None:
        """See whether the connection is still good."""
        await self._ask(Noop())

    async def quit(self) -> bool:
        """Say goodbye and close; return whether the server confirmed, which is when marked messages are deleted."""
        try:
            await self._ask(Quit())
        except MailbearerError:
            return False
        finally:
            await self.close()
        return True

    async def _lines(self, command: Command, limit: int, what: str) -> list[bytes]:
        await self._ask(command)
        lines: list[bytes] = []
        while isinstance(event := await self._event(f"answering {command.verb}"), Line):
            if len(lines) == limit:
                raise self._too_much(f"{limit:,} lines", what)
            lines.append(event.data)
        return lines

    async def _ask(self, command: Command) -> str:
        await self._send(command)
        seconds = QUIT_SECONDS if isinstance(command, Quit) and not self._marked else None  # deleting takes its time
        event = await self._event(f"answering {command.verb}", seconds)
        if not isinstance(event, Answer):
            raise self._unexpected()
        if not event.ok:
            raise self._refused(f"-ERR {event.text}")
        return event.text

    async def _send(self, command: Command) -> None:
        await self._write(self._core.send(command), self.route.patience(REPLY_SECONDS), f"sending {command.verb}")

    async def _event(self, when: str, seconds: float | None = None) -> Event:
        return await self._next(self._core, seconds or self.route.patience(REPLY_SECONDS), when)

    def _refused(self, reply: str) -> ServerRefusedError:
        return ServerRefusedError("MB-S17", reply=reply, host=self.route.host)

    def _unexpected(self) -> RemoteProtocolError:
        return RemoteProtocolError(self.route.code(30), host=self.route.host, problem="an answer out of turn")

    def _too_much(self, limit: str, what: str) -> LimitExceededError:
        self.stream.abort()
        return LimitExceededError(self.route.code(31), host=self.route.host, limit=limit, what=what)


async def open_pop3(route: Route, clock: Clock) -> Pop3Session:
    """Return a session that is greeted and, where the route says so, encrypted, and knows the capabilities."""
    session = Pop3Session(await connect(route, clock), clock)
    try:
        await session.greet()
        await session.capa()
        if route.tls is TlsMode.STARTTLS:
            await session.start_tls()
            await session.capa()
    except BaseException:
        await session.close()
        raise
    return session
