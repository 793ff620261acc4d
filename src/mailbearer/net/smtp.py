"""A conversation with a submission server (RFC 5321, RFC 6409), one method for each thing to be done.

Waiting times are those of RFC 5321 section 4.5.3.2, cut down to the Timeout setting; only the wait after the end of
a message keeps its full length, because giving up there makes duplicates.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import assert_never

from mailbearer.clock import Clock
from mailbearer.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    LocalProtocolError,
    MailbearerError,
    RemoteProtocolError,
    ServerRefusedError,
)
from mailbearer.model.envelope import Envelope, RecipientWish
from mailbearer.model.message import RecipientOutcome, RecipientState
from mailbearer.model.service import TlsMode
from mailbearer.net.connect import connect
from mailbearer.net.route import Route
from mailbearer.net.session import QUIT_SECONDS, Session
from mailbearer.net.stream import Stream
from mailbearer.protocol.sasl.choose import choose
from mailbearer.protocol.sasl.mechanism import Mechanism
from mailbearer.protocol.smtp.client import (
    Answer,
    Auth,
    AuthResponse,
    Challenge,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Event,
    Farewell,
    Greeting,
    Helo,
    MailFrom,
    Noop,
    Quit,
    RcptTo,
    Rset,
    SmtpClient,
    StartTls,
)
from mailbearer.protocol.smtp.extensions import Extensions
from mailbearer.protocol.smtp.replies import Reply

REPLY_SECONDS = 300.0
BLOCK_SECONDS = 180.0
FINAL_SECONDS = 600.0
LAST_WORDS_SECONDS = 2.0  # for a reply that came just before the server closed
PIPELINE_MAX = 100  # commands in one flight: their replies must fit into the windows of the network


@dataclass(frozen=True, slots=True)
class Submission:
    """One message of ``size`` octets.

    ``utf8`` says that an address or header needs RFC 6531, ``eight_bit`` that the content is not all ASCII.
    """

    envelope: Envelope
    size: int
    utf8: bool = False
    eight_bit: bool = False


@dataclass(frozen=True, slots=True)
class _Begun:
    """A transaction of which the first ``sent`` commands are on their way."""

    submission: Submission
    commands: list[Command]
    sent: int


class SmtpSession(Session):
    """One connection to a submission server. ``extensions`` is what it offered last.

    ``spent``: it ended while nothing of importance was on its way; only closing it makes sense.
    """

    def __init__(self, stream: Stream, clock: Clock) -> None:
        super().__init__(stream, clock)
        self._core = SmtpClient()
        self._begun: _Begun | None = None
        self.extensions = Extensions()
        self.spent = False

    async def greet(self) -> Reply:
        """Return the server's greeting.

        Raises:
            ConnectError: S05, it is no mail-sending server.
            ServerRefusedError: it is not ready for us.
        """
        try:
            event = await self._event("waiting for the greeting")
        except RemoteProtocolError as error:
            said = error.fields.get("greeting", error.detail)
            raise ConnectError(self.route.code(5), host=self.route.host, port=self.route.port, greeting=said) from error
        match event:
            case Greeting(reply=reply) if reply.code == 220:
                return reply
            case Greeting(reply=reply) | Farewell(reply=reply) | Answer(reply=reply):
                raise self._refused(reply)
            case Challenge():
                raise self._unexpected()

    async def hello(self, name: str) -> Extensions:
        """Introduce this machine as ``name``; return what the server offers, which is nothing when it is very old."""
        reply = await self._ask(Ehlo(name))
        if reply.permanent:
            reply = await self._ask(Helo(name))
        if not reply.positive:
            raise self._refused(reply)
        self.extensions = Extensions.of(reply)
        return self.extensions

    async def start_tls(self) -> None:
        """Change over to TLS; ``hello`` must follow.

        Raises:
            ConnectError: S09, the server offers or allows none; S06 to S08, S10 as :func:`connect`.
            RemoteProtocolError: something was slipped in before the encryption.
        """
        reply = await self._ask(StartTls()) if self.extensions.starttls else None
        if reply is None or reply.code != 220:
            raise ConnectError(self.route.code(9), host=self.route.host, port=self.route.port, detail=str(reply or ""))
        await self._secure(leftover=self._core.leftover)
        self._core = SmtpClient(greeting=False)
        self.extensions = Extensions()

    def choose(self, wanted: Iterable[str]) -> str:
        """Return the first of the SASL mechanisms ``wanted`` that the server offers.

        Raises:
            ServerRefusedError: S11, it offers none of them.
        """
        name = choose(self.extensions.auth, wanted)
        if name is None:
            offered = " ".join(sorted(self.extensions.auth)) or "no sign-in at all"
            raise ServerRefusedError(self.route.code(11), host=self.route.host, offered=offered)
        return name

    async def sign_in(self, mechanism: Mechanism, *, cleartext: bool = False) -> Reply:
        """Sign in. ``cleartext`` lets a password (never a token) go to this machine itself without TLS.

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
                case Answer(reply=reply) if reply.code == 235:
                    return reply
                case Answer(reply=reply) | Farewell(reply=reply):
                    raise self._sign_in_refused(str(reply), mechanism.failure)
                case Greeting():
                    raise self._unexpected()

    async def submit(
        self,
        envelope: Envelope,
        size: int,
        chunks: AsyncIterator[bytes],
        *,
        utf8: bool = False,
        eight_bit: bool = False,
    ) -> tuple[RecipientOutcome, ...]:
        """Hand over one message that no other follows; see ``hand_over``."""
        return await self.hand_over(Submission(envelope, size, utf8, eight_bit), chunks)

    async def hand_over(
        self, submission: "Submission", chunks: AsyncIterator[bytes], *, following: "Submission | None" = None
    ) -> tuple[RecipientOutcome, ...]:
        """Hand over one message; return the outcome of each recipient in the envelope's order.

        A recipient that was put off (4xx) is Waiting. When no recipient is taken, the message is not sent. When the
        server ends the connection (421) after it refused some, the others are Waiting with that reply.
        ``following`` is what the next call will be about: it is begun in the same flight as the end of this message
        (RFC 2920 section 3.1). If the next call is about another one, close the session instead. When this returns or
        raises, and the session is ``spent``, close it too.

        Raises:
            ServerRefusedError: the message as a whole is refused (S34), put off (S17), too large (S19) or cannot be
                taken here (S36).
            ConnectionLostError: S35 when nobody can know whether the server has the message, else S32: it has not.
        """
        begun, self._begun = self._begun, None
        if begun is None:
            begun, wire = self._opening(submission)
            await self._write(wire, self.route.patience(BLOCK_SECONDS), "sending MAIL FROM")
        elif begun.submission is not submission:
            raise LocalProtocolError(detail="another message was begun")
        recipients, replies = submission.envelope.recipients, list[Reply]()
        try:
            await self._answers(begun, replies)
        except ServerRefusedError as farewell:  # 421; who was refused before that stays refused
            if not any(reply.permanent for reply in replies[1:]):
                raise
            self.spent = True
            return tuple(_cut_off(recipients, replies[1:], farewell.reply))
        outcomes = tuple(map(_outcome, recipients, replies[1:]))
        ready = len(replies) == len(begun.commands) and replies[-1].code == 354
        taken = replies[0].positive and any(outcome.state is RecipientState.ACCEPTED for outcome in outcomes)
        if not (ready and taken):
            await self._call_off(EndOfData() if ready else Rset(), following)
            if taken or not replies[0].positive:
                raise self._refused(replies[-1] if taken else replies[0])
            return outcomes
        reply = await self._content_taken(chunks, following)
        if not reply.positive:
            raise self._refused(reply)
        return tuple(_with_final(outcome, reply) for outcome in outcomes)

    async def try_sender(self, address: str) -> Reply:
        """Ask whether ``address`` may send, without sending anything; return the server's yes.

        Raises:
            ServerRefusedError: it may not.
        """
        reply = await self._ask(MailFrom(address))
        if not reply.positive:
            raise self._refused(reply)
        await self.reset()
        return reply

    async def reset(self) -> None:
        """Forget the message that was begun."""
        await self._ask(Rset())

    async def noop(self) -> None:
        """See whether the connection is still good."""
        await self._ask(Noop())

    async def quit(self) -> None:
        """Say goodbye and close; never raises, what matters has been said before."""
        try:
            await self._send(Quit())
            await self._event("saying goodbye", QUIT_SECONDS)
        except MailbearerError:
            pass
        finally:
            await self.close()

    def _check_fit(self, size: int, *, utf8: bool, eight_bit: bool) -> None:
        offered, host = self.extensions, self.route.host
        if offered.size is not None and size > offered.size:
            raise ServerRefusedError("MB-S19", host=host, size=f"{size:,} bytes", limit=f"{offered.size:,} bytes")
        missing = "SMTPUTF8" if utf8 and not offered.utf8 else "8BITMIME" if eight_bit and not offered.eight_bit else ""
        if missing:
            raise ServerRefusedError("MB-S36", host=host, extension=missing)

    def _opening(self, submission: "Submission") -> "tuple[_Begun, bytes]":
        """Return a transaction and the first flight of its commands: all of them, unless there are very many."""
        envelope, offered = submission.envelope, self.extensions
        utf8 = submission.utf8 or not all(map(str.isascii, (envelope.reverse_path, *envelope.recipients)))
        self._check_fit(submission.size, utf8=utf8, eight_bit=submission.eight_bit)
        size = submission.size if offered.size is not None else None
        dsn = envelope.dsn if offered.dsn else None
        mail = MailFrom(envelope.reverse_path, size, submission.eight_bit, utf8)
        if dsn is None:
            commands: list[Command] = [mail, *map(RcptTo, envelope.recipients), Data()]
        else:
            mail = replace(mail, ret=dsn.ret, envid=dsn.envid)
            wishes = (*dsn.recipients, *(RecipientWish(),) * len(envelope.recipients))
            named = zip(envelope.recipients, wishes, strict=False)
            commands = [mail, *(RcptTo(address, wish.notify, wish.orcpt) for address, wish in named), Data()]
        first = commands[: PIPELINE_MAX if offered.pipelining else 1]
        return _Begun(submission, commands, len(first)), b"".join(map(self._core.send, first))

    def _begin(self, following: "Submission | None") -> bytes:
        """Return the first commands of the next message, nothing where they have to wait for an answer."""
        if following is None or not self.extensions.pipelining:
            return b""
        try:
            self._begun, wire = self._opening(following)
        except MailbearerError:  # it will be told when its turn comes
            return b""
        return wire

    async def _answers(self, begun: "_Begun", replies: list[Reply]) -> None:
        """Add the replies to MAIL, to each RCPT, and to DATA if it was sent: only when somebody will get it."""
        commands, sent = begun.commands, begun.sent
        flight = PIPELINE_MAX if self.extensions.pipelining else 1
        while True:
            while len(replies) < sent:
                replies.append(await self._reply("before the message"))
            useless = not replies[0].positive
            nobody = sent == len(commands) - 1 and not any(reply.positive for reply in replies[1:])
            if sent == len(commands) or useless or nobody:
                return
            batch = commands[sent : sent + flight]
            sent += len(batch)
            await self._send(*batch)

    async def _call_off(self, command: "EndOfData | Rset", following: "Submission | None") -> None:
        """End a transaction that nobody gets anything of.

        When the server refused everybody and waits for the message all the same, it gets an empty one (RFC 2920
        section 3.1). What it answers changes nothing any more; a connection that ends here is ``spent``.
        """
        try:
            wire = self._core.send(command) + self._begin(following)
            await self._write(wire, self.route.patience(BLOCK_SECONDS), f"sending {command.verb}")
            await self._reply(f"answering {command.verb}")
        except MailbearerError:
            self.spent = True

    async def _content_taken(self, chunks: AsyncIterator[bytes], following: "Submission | None") -> Reply:
        """Send the content and, behind its end, the beginning of the next message; return the answer to the content."""
        patience, when = self.route.patience(BLOCK_SECONDS), "sending the message"
        last = b""
        try:
            async for chunk in chunks:
                wire = self._core.body(chunk)
                if last:
                    await self._write(last, patience, when)
                last = wire
            wire = last + self._core.send(EndOfData()) + self._begin(following)
        except ConnectionLostError as lost:
            raise await self._last_words(lost) from lost
        except BaseException:
            self.stream.abort()  # a message that is not whole must not look as if it had ended
            raise
        try:
            await self._write(wire, patience, when)
        except (ConnectionLostError, DeadlineError):  # the end may be out all the same
            self.spent = True
            return await self._final_reply(LAST_WORDS_SECONDS)
        except BaseException:
            self.stream.abort()
            raise
        return await self._final_reply(FINAL_SECONDS)

    async def _last_words(self, lost: ConnectionLostError) -> MailbearerError:
        """Return what the server said before it closed in the middle of the message; ``lost`` if it said nothing."""
        try:
            reply = self._reply_of(await self._event("closing", LAST_WORDS_SECONDS))
        except ServerRefusedError as refused:
            return refused
        except RemoteProtocolError as said:  # to the core a reply that nobody asked for
            code = "MB-S34" if said.detail.startswith("5") else "MB-S17"
            return ServerRefusedError(code, reply=said.detail, host=self.route.host)
        except MailbearerError:
            return lost
        return self._refused(reply)

    async def _final_reply(self, seconds: float) -> Reply:
        try:
            event = await self._event("after the end of the message", seconds)
        except (ConnectionLostError, DeadlineError, RemoteProtocolError) as error:
            raise ConnectionLostError("MB-S35", host=self.route.host) from error
        return self._reply_of(event)

    async def _ask(self, command: Command) -> Reply:
        await self._send(command)
        return await self._reply(f"answering {command.verb}")

    async def _send(self, *commands: Command) -> None:
        wire = b"".join(map(self._core.send, commands))
        await self._write(wire, self.route.patience(BLOCK_SECONDS), f"sending {commands[0].verb}")

    async def _reply(self, when: str) -> Reply:
        return self._reply_of(await self._event(when))

    def _reply_of(self, event: Event) -> Reply:
        if isinstance(event, Answer) and event.reply.code != 421:  # nearly always
            return event.reply
        match event:
            case Farewell(reply=reply) | Answer(reply=Reply(code=421) as reply):
                raise self._refused(reply)
            case Answer(reply=reply):
                return reply
            case Greeting() | Challenge():
                raise self._unexpected()
            case _:
                assert_never(event)

    async def _event(self, when: str, seconds: float | None = None) -> Event:
        return await self._next(self._core, seconds or self.route.patience(REPLY_SECONDS), when)

    def _unexpected(self) -> RemoteProtocolError:
        return RemoteProtocolError(self.route.code(30), host=self.route.host, problem="a reply out of turn")

    def _refused(self, reply: Reply) -> ServerRefusedError:
        code = "MB-S34" if reply.permanent else "MB-S17"
        return ServerRefusedError(code, reply=str(reply), host=self.route.host)


def _outcome(address: str, reply: Reply) -> RecipientOutcome:
    if reply.positive:
        return RecipientOutcome(address, RecipientState.ACCEPTED, str(reply))
    state = RecipientState.REFUSED if reply.permanent else RecipientState.WAITING
    return RecipientOutcome(address, state, str(reply))


def _cut_off(recipients: tuple[str, ...], replies: list[Reply], farewell: str) -> Iterator[RecipientOutcome]:
    """Give the outcomes when the server ended the connection among the replies to RCPT."""
    for address, reply in zip_longest(recipients, replies[: len(recipients)]):
        if reply is not None and reply.permanent:
            yield _outcome(address, reply)
        else:
            yield RecipientOutcome(address, RecipientState.WAITING, farewell)


def _with_final(outcome: RecipientOutcome, reply: Reply) -> RecipientOutcome:
    if outcome.state is RecipientState.ACCEPTED:
        return RecipientOutcome(outcome.address, outcome.state, str(reply))
    return outcome


async def open_smtp(route: Route, hello_name: str, clock: Clock) -> SmtpSession:
    """Return a session that is greeted, introduced and, where the route says so, encrypted; not yet signed in."""
    session = SmtpSession(await connect(route, clock), clock)
    try:
        await session.greet()
        await session.hello(hello_name)
        if route.tls is TlsMode.STARTTLS:
            await session.start_tls()
            await session.hello(hello_name)
    except BaseException:
        await session.close()
        raise
    return session
