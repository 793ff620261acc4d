"""The server's side of SMTP (RFC 5321).

With SIZE (RFC 1870), PIPELINING (2920), CHUNKING (3030), STARTTLS (3207), DSN (3461), AUTH (4954), SMTPUTF8 (6531).
Bytes from the client go into ``receive``, events come out of ``next_event``, and ``send`` turns what the owner decides
into bytes. The core holds the order of things, the owner the policy. Every event except Body is owed exactly one reply,
and nothing else happens before it is given: commands that were pipelined wait. The phases:

    GREETING    the owner speaks first (after STARTTLS it does not, so no core is made with this phase)
    COMMANDS    the client gives commands
    CHALLENGED  the client's next line is the response to a challenge
    BODY        the message comes, until CR LF ``.`` CR LF and no other sequence
    CHUNK       so many octets of the message come (BDAT)
    OVER        nothing: TLS begins and needs a new core, or the connection is to be closed

Nothing that was sent as one thing is ever read as another (SMTP smuggling, command injection). The connection ends at a
lone CR or LF among the commands, at bytes sent before TLS, and at the first line that is not even shaped as a command:
a message whose DATA was refused, a request of another protocol. What the answer to EHLO offers is what can be used; the
owner says it once. A chunk follows BDAT whatever the reply, so one that cannot be taken is read over first.

Devices say the same few lines all day and wait for each reply. ``hear`` is made for that: when nothing else is under
way, and what came is one line that was understood before, or one whole message without a flaw, its event is found with
one look instead of being cut out of a buffer, read and put together. Anything else takes the long way, which is the
same for all; the events, their order and the state that they leave do not depend on the way.
"""

from enum import Enum, auto
from typing import Final

from mailbearer.errors import LimitExceededError, LocalProtocolError, RemoteProtocolError
from mailbearer.protocol.lines import LineBuffer
from mailbearer.protocol.sasl import coding
from mailbearer.protocol.smtp.commands import (
    ARGUMENTS,
    COMMAND_MAX,
    NEEDS_UTF8,
    REMEMBERED,
    Allowed,
    Chunk,
    is_auth,
    read_command,
    understood,
)
from mailbearer.protocol.smtp.dialect import Dialect, LineEnds
from mailbearer.protocol.smtp.extensions import Extensions
from mailbearer.protocol.smtp.incoming import ChunkedMessage, IncomingMessage
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    Body,
    BodyEnd,
    Challenge,
    ChunkEnd,
    DataAsked,
    Event,
    Hello,
    MailAsked,
    QuitAsked,
    RcptAsked,
    RsetAsked,
    StartTlsAsked,
    Whole,
)

AUTH_LINE_MAX: Final = 65_536
"""Octets of a line that carries a SASL response; 16 KiB tokens must pass, RFC 4954 section 4 asks for 12,288."""

SIZE_MAX: Final = 157_286_400
"""Octets of a message unless the owner says otherwise: 150 MiB, the largest that a provider takes."""

RECIPIENTS_MAX: Final = 500
"""Recipients of a message unless the owner says otherwise. RFC 5321 section 4.5.3.1.8 asks for at least 100."""

MISTAKES_MAX: Final = 10
"""Commands that cannot be, after which the connection is closed: nobody types that badly."""


class _Phase(Enum):
    GREETING = auto()
    COMMANDS = auto()
    CHALLENGED = auto()
    BODY = auto()
    CHUNK = auto()
    OVER = auto()


# Looked up for each event; of an Enum that takes ten times as long.
_GREETING: Final = _Phase.GREETING
_COMMANDS: Final = _Phase.COMMANDS
_CHALLENGED: Final = _Phase.CHALLENGED
_BODY: Final = _Phase.BODY
_CHUNK: Final = _Phase.CHUNK
_OVER: Final = _Phase.OVER

_UNENDED: Final = Reply(500, "5.5.2", ("Lines end with CR LF",))
_LONG: Final = Reply(500, "5.5.6", ("Line too long",))
_ENOUGH: Final = Reply(421, "4.7.0", ("Too many mistakes",))
_HELLO_FIRST: Final = Reply(503, "5.5.1", ("Say EHLO first",))
_OUT_OF_ORDER: Final = Reply(503, "5.5.1", ("Not now",))
_NOT_BASE64: Final = Reply(501, "5.5.2", ("That is not base64",))
_NO_MECHANISM: Final = Reply(504, "5.5.4", ("That mechanism is not offered",))
_ENCRYPT_FIRST: Final = Reply(538, "5.7.11", ("Encryption is needed for that: say STARTTLS first",))
_NOT_OFFERED: Final = Reply(502, "5.5.1", ("That is not offered",))
_OVERSIZE: Final = Reply(552, "5.3.4", ("The message is too large",))
_MAIL_FIRST: Final = Reply(503, "5.5.1", ("Say MAIL first",))
_NO_RECIPIENTS: Final = Reply(554, "5.5.1", ("No recipients",))
_RECIPIENTS: Final = Reply(452, "4.5.3", ("Too many recipients",))


class SmtpServer:
    """One connection of a client; make a new one after STARTTLS, with ``greeting=False``."""

    def __init__(
        self,
        *,
        greeting: bool = True,
        size_max: int = SIZE_MAX,
        recipients_max: int = RECIPIENTS_MAX,
        mistakes_max: int = MISTAKES_MAX,
        dialect: Dialect | None = None,
    ) -> None:
        self._dialect = dialect or Dialect()
        self._repair = self._dialect.line_ends is LineEnds.REPAIR
        self._lines = LineBuffer(AUTH_LINE_MAX)
        self._phase = _GREETING if greeting else _COMMANDS
        self._owed: Event | None = None
        self._ended = False
        self._to_tls = False
        self._offered = Extensions()
        self._allowed = self._allow()
        self._understood = understood(self._allowed)
        self._introduced = False
        self._signed_in = False
        self._mail: MailAsked | None = None
        self._recipients = 0
        self._recipients_max = recipients_max
        self._size_max = size_max
        self._incoming: IncomingMessage | ChunkedMessage | None = None
        self._chunk: Chunk | None = None  # the one announced last: a message comes in chunks
        self._refusal: Reply | None = None  # said once the chunk has been read over
        self._mistakes = mistakes_max

    @property
    def over(self) -> bool:
        """Nothing more can be read or said: go on with TLS if that was asked, else close."""
        return self._phase is _OVER

    @property
    def waiting(self) -> bool:
        """An answer is owed, so nothing more happens before ``send``."""
        return self._owed is not None

    @property
    def idle(self) -> bool:
        """Nothing can happen before more bytes come: all that came is dealt with, and answered."""
        if self._owed is not None or self._lines.held or self._ended:
            return False
        return self._phase is _COMMANDS or self._phase is _BODY

    def limit_size(self, octets: int) -> None:
        """Take no message larger than ``octets`` from the next one on."""
        self._size_max = octets

    def receive(self, data: bytes) -> None:
        """Take bytes of the client, in pieces of any size; after the end they are ignored.

        Raises:
            LimitExceededError: they pile up because ``next_event`` or ``send`` is not called.
            RemoteProtocolError: they come in clear after TLS was agreed.
        """
        if self._phase is not _OVER:
            self._lines.feed(data)
        elif self._to_tls:
            raise _sent_before_tls()

    def hear(self, data: bytes) -> Event | None:
        """Do ``receive`` and ``next_event`` at once: the quick way to the same.

        Raises:
            LimitExceededError: as ``receive``.
            RemoteProtocolError: as ``receive``.
        """
        if self._owed is not None or self._lines.held:
            self.receive(data)
            return self.next_event()
        phase = self._phase
        if phase is _COMMANDS:
            said = self._understood.get(data)
            if said is not None:
                found = self._in_order(said)
                event = self._owed = self._mistake(found) if isinstance(found, Reply) else found
                return event
        elif phase is _BODY and isinstance(self._incoming, IncomingMessage):
            message = self._incoming.take_whole(data)
            if message:
                self._phase = _COMMANDS
                whole = self._owed = Whole(message)
                return whole
        return self._hear_slowly(data)

    def _hear_slowly(self, data: bytes) -> Event | None:
        alone = self._phase is _COMMANDS
        self.receive(data)
        event = self.next_event()
        if alone and isinstance(event, MailAsked | RcptAsked | DataAsked) and not self._lines.held and not self._chunk:
            if len(self._understood) >= REMEMBERED:
                self._understood.clear()
            self._understood[data] = event
        return event

    def end_of_input(self) -> None:
        """Note that the client will send nothing more: what is incomplete never becomes an event."""
        self._ended = True

    def next_event(self) -> Event | None:
        """Return the next event, or None until more bytes come or the reply that is owed is sent."""
        if self._owed is not None:
            return None
        phase = self._phase
        if phase is _COMMANDS or phase is _CHALLENGED:
            event = self._next_of_lines() if self._lines.held else None
        elif phase is _BODY or phase is _CHUNK:
            event = self._next_of_body()
        else:
            return None
        if event is None and self._ended:
            self._phase = _OVER
        if type(event) is not Body:
            self._owed = event
        return event

    def send(self, answer: Reply | Challenge) -> bytes:
        """Return the bytes of what is owed: the greeting, the reply to the last event, or a challenge.

        A reply 421 may be sent at any time and ends the session. A client that sends chunks waits for no reply to
        DataAsked: what it is told comes behind the chunk, and this returns nothing.

        Raises:
            LocalProtocolError: nothing is owed, or not this.
            RemoteProtocolError: the client sent more behind STARTTLS, in clear; close.
        """
        if isinstance(answer, Challenge):
            return self._challenge(answer)
        owed, code = self._owed, answer.code
        if code < 300 and type(owed) is RcptAsked:  # the most frequent ones first
            self._recipients += 1
        elif code < 300 and type(owed) is MailAsked:
            self._mail = owed
            self._recipients = 0
        elif code < 300 and type(owed) is Whole:
            self._mail = self._incoming = None
        elif code == 421:
            self._phase = _OVER
        elif self._phase is _GREETING:
            self._phase = _COMMANDS if answer.positive else _OVER
        elif owed is None or not _answers(code, owed):
            raise LocalProtocolError(detail=f"the reply {code} is not owed")
        elif self._chunk is not None and isinstance(owed, DataAsked):
            self._owed = None
            self._open_chunk(self._chunk, refusal=None if answer.positive else answer)
            return b""
        else:
            self._settle(owed, answer)
        self._owed = None
        return answer.encoded or answer.wire

    def _challenge(self, challenge: Challenge) -> bytes:
        if not isinstance(self._owed, AuthAsked | AuthGiven):
            raise LocalProtocolError(detail="a challenge outside of a sign-in")
        self._owed = None
        self._phase = _CHALLENGED
        return b"334 " + coding.encode(challenge.data) + b"\r\n"

    def _settle(self, event: Event, reply: Reply) -> None:
        """Do what ``reply`` means for the session, now that it answers ``event``."""
        match event:
            case DataAsked():
                if reply.positive:
                    self._phase = _BODY
                    self._incoming = IncomingMessage(self._size_max, repair=self._repair)
            case BodyEnd() | Whole() | RsetAsked():
                self._forget_message()
            case ChunkEnd():
                if not reply.positive:
                    self._forget_message()
            case _:
                self._settle_session(event, reply)

    def _settle_session(self, event: Event, reply: Reply) -> None:
        match event:
            case Hello(esmtp=esmtp) if reply.positive:
                self._introduced = True
                self._offered = Extensions.of(reply) if esmtp else Extensions(auth=self._dialect.auth_after_helo)
                self._allowed = self._allow()
                self._understood = understood(self._allowed)
                self._forget_message()
            case StartTlsAsked() if reply.positive:
                self._begin_tls()
            case AuthAsked() | AuthGiven():
                self._phase = _COMMANDS
                self._signed_in = reply.positive
            case AuthCancelled():
                self._phase = _COMMANDS
            case QuitAsked():
                self._phase = _OVER
            case Bad(fatal=fatal):
                self._phase = _OVER if fatal else _COMMANDS
            case _:
                pass

    def _allow(self) -> Allowed:
        offered, dialect = self._offered, self._dialect
        return Allowed(
            eight_bit=offered.eight_bit,
            utf8=offered.utf8,
            dsn=offered.dsn,
            auth=bool(offered.auth),
            chunking=offered.chunking,
            bare=dialect.bare_addresses,
            blank=dialect.blank_after_colon,
        )

    def _forget_message(self) -> None:
        self._mail = self._incoming = self._chunk = None

    def _begin_tls(self) -> None:
        self._phase = _OVER
        self._to_tls = True
        if len(self._lines) > 0:
            raise _sent_before_tls()

    # -- the message ------------------------------------------------------------------------------------------------

    def _next_of_body(self) -> Event | None:
        incoming = self._incoming
        if incoming is None:
            raise LocalProtocolError(detail="no message is under way")
        if not incoming.done:
            if self._phase is _BODY and not self._lines.held:
                return None
            piece = incoming.feed(self._lines.take())
            if piece:
                return Body(piece)
            if not incoming.done:
                return None
        self._phase = _COMMANDS
        if incoming.rest:
            self._lines.feed(incoming.rest)
        if self._refusal is not None:
            return self._end_of_refused()
        if self._chunk is not None and not self._chunk.last:
            return ChunkEnd(incoming.size)
        return BodyEnd(incoming.size, incoming.oversize, incoming.stray, incoming.nul)

    def _end_of_refused(self) -> Bad:
        refusal, self._refusal = self._refusal, None
        self._forget_message()
        return self._mistake(refusal or _OUT_OF_ORDER)

    def _take_chunk(self, chunk: Chunk) -> Event | None:
        if chunk.size > self._size_max:
            return Bad(_OVERSIZE, fatal=True)  # too long to read it over
        if self._chunk is not None:
            self._open_chunk(chunk, refusal=None)
            return self._next_of_body()
        self._chunk = chunk
        self._incoming = ChunkedMessage(self._size_max, repair=self._repair)
        if self._mail is not None and self._recipients:
            return DataAsked()
        self._open_chunk(chunk, refusal=_MAIL_FIRST if self._mail is None else _NO_RECIPIENTS)
        return self._next_of_body()

    def _open_chunk(self, chunk: Chunk, *, refusal: Reply | None) -> None:
        if not isinstance(self._incoming, ChunkedMessage):
            raise LocalProtocolError(detail="no message in chunks is under way")
        self._chunk = chunk
        self._refusal = refusal
        self._incoming.begin(chunk.size, last=chunk.last, discard=refusal is not None)
        self._phase = _CHUNK

    # -- lines ------------------------------------------------------------------------------------------------------

    def _next_of_lines(self) -> Event | None:
        try:
            line = self._lines.next_line()
        except LimitExceededError:
            return Bad(_LONG, fatal=True)
        except RemoteProtocolError:
            return Bad(_UNENDED, fatal=True)
        if line is None:
            return None
        found = self._response(line) if self._phase is _CHALLENGED else self._command(line)
        return self._mistake(found) if isinstance(found, Reply) else found

    def _mistake(self, reply: Reply) -> Bad:
        self._mistakes -= reply.permanent
        return Bad(_ENOUGH, fatal=True) if self._mistakes <= 0 else Bad(reply)

    def _response(self, line: bytes) -> Event | Reply:
        text = line.strip(b" ") if self._dialect.blanks_around_base64 else line
        if text == b"*":
            return AuthCancelled()
        data = coding.decode(text)
        return _NOT_BASE64 if data is None else AuthGiven(data)

    def _command(self, line: bytes) -> Event | Reply | None:
        if is_auth(line):
            return self._auth(line[4:].strip(b" "))
        if len(line) > COMMAND_MAX:
            return _LONG
        said = read_command(line, self._allowed)
        match said:
            case RcptAsked() | MailAsked() | DataAsked():
                return self._in_order(said)
            case Chunk():
                return self._take_chunk(said)
            case StartTlsAsked():
                return said if self._offered.starttls else _NOT_OFFERED
            case _:
                return said

    def _in_order(self, said: MailAsked | RcptAsked | DataAsked) -> Event | Reply:
        """Return ``said`` if it may be said now, else the reply to it."""
        match said:
            case RcptAsked():
                return self._in_order_rcpt(said)
            case MailAsked():
                return self._in_order_mail(said)
            case DataAsked():
                return self._in_order_data(said)

    def _in_order_mail(self, said: MailAsked) -> Event | Reply:
        if not self._introduced:
            return _HELLO_FIRST
        if self._mail is not None:
            return _OUT_OF_ORDER
        return _OVERSIZE if said.size is not None and said.size > self._size_max else said

    def _in_order_rcpt(self, said: RcptAsked) -> Event | Reply:
        if self._mail is None:
            return _MAIL_FIRST
        if self._chunk is not None:
            return _OUT_OF_ORDER
        if not self._mail.utf8 and not said.address.isascii():
            return NEEDS_UTF8
        return said if self._recipients < self._recipients_max else _RECIPIENTS

    def _in_order_data(self, said: DataAsked) -> Event | Reply:
        if self._mail is None:
            return _MAIL_FIRST
        if self._chunk is not None:
            return _OUT_OF_ORDER
        return said if self._recipients else _NO_RECIPIENTS

    def _auth(self, argument: bytes) -> Event | Reply:
        if not self._introduced:
            return _HELLO_FIRST
        if self._signed_in or self._mail is not None:
            return _OUT_OF_ORDER  # RFC 4954 section 4
        arguments = coding.read_arguments(argument)
        if arguments is None:
            return ARGUMENTS
        if arguments.mechanism not in self._offered.auth:
            return _ENCRYPT_FIRST if self._offered.starttls and not self._offered.auth else _NO_MECHANISM
        return AuthAsked(arguments.mechanism, arguments.initial)


def _answers(code: int, event: Event) -> bool:
    """Tell whether a reply can answer ``event``: 354 and nothing else opens the message."""
    if isinstance(event, DataAsked):
        return code == 354 or code >= 400
    return not 300 <= code < 400


def _sent_before_tls() -> RemoteProtocolError:
    return RemoteProtocolError("MB-S30", problem="it sent commands in clear behind STARTTLS")
