"""The server's side of SMTP (RFC 5321, 1870 SIZE, 2920 pipelining, 3207 STARTTLS, 4954 AUTH, 6531 SMTPUTF8).

Bytes from the client go into ``receive``, events come out of ``next_event``, and ``send`` turns what the owner decides
into bytes. The core holds the order of things, the owner the policy. Every event except Body is owed exactly one reply,
and nothing else happens before it is given: commands that were pipelined wait. The phases:

    GREETING    the owner speaks first (after STARTTLS it does not, so no core is made with this phase)
    COMMANDS    the client gives commands
    CHALLENGED  the client's next line is the response to a challenge
    BODY        the message comes, until CR LF ``.`` CR LF and no other sequence
    OVER        nothing: TLS begins and needs a new core, or the connection is to be closed

Nothing that was sent as one thing is ever read as another (SMTP smuggling, command injection). The connection ends at a
lone CR or LF among the commands, at bytes sent before TLS, and at the first line that is not even shaped as a command:
a message whose DATA was refused, content of BDAT, a request of another protocol. What the answer to EHLO offers is what
can be used; the owner says it once.
"""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from mailbearer.errors import LimitExceededError, LocalProtocolError, RemoteProtocolError
from mailbearer.model.envelope import is_address
from mailbearer.protocol.lines import LineBuffer
from mailbearer.protocol.sasl import coding
from mailbearer.protocol.smtp.extensions import Extensions
from mailbearer.protocol.smtp.incoming import IncomingMessage
from mailbearer.protocol.smtp.paths import Path, read_path
from mailbearer.protocol.smtp.replies import Reply, encode_reply
from mailbearer.protocol.smtp.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    Body,
    BodyEnd,
    Challenge,
    DataAsked,
    Event,
    Hello,
    MailAsked,
    NoopAsked,
    QuitAsked,
    RcptAsked,
    RsetAsked,
    StartTlsAsked,
)

COMMAND_MAX: Final = 2_048
"""Octets of a command line. RFC 5321 section 4.5.3.1.4 asks for 512, extensions add to it."""

AUTH_LINE_MAX: Final = 65_536
"""Octets of a line that carries a SASL response; 16 KiB tokens must pass, RFC 4954 section 4 asks for 12,288."""

SIZE_MAX: Final = 157_286_400
"""Octets of a message unless the owner says otherwise: 150 MiB, the largest that a provider takes."""

RECIPIENTS_MAX: Final = 500
"""Recipients of a message unless the owner says otherwise. RFC 5321 section 4.5.3.1.8 asks for at least 100."""

MISTAKES_MAX: Final = 10
"""Commands that cannot be, after which the connection is closed: nobody types that badly."""

_COMMAND = re.compile(rb"([A-Za-z]{1,20})(?: (.*))?", re.DOTALL)
_NAME = re.compile(rb"[ -~\x80-\xff]{1,255}")
_SIZE = re.compile(r"[0-9]{1,18}")


class _Phase(Enum):
    GREETING = auto()
    COMMANDS = auto()
    CHALLENGED = auto()
    BODY = auto()
    OVER = auto()


_FOREIGN = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"BDAT"})
"""Commands that content follows, which must not be read as commands; BDAT is not offered."""

_UNUSED: Mapping[bytes, Reply] = {
    b"VRFY": Reply(252, "2.5.0", ("Send it and see",)),
    b"HELP": Reply(214, "2.0.0", ("See RFC 5321",)),
    b"EXPN": Reply(502, "5.5.1", ("Not done here",)),
}
_UNKNOWN: Final = Reply(500, "5.5.2", ("No such command",))
_MISSHAPEN: Final = Reply(500, "5.5.2", ("That is no command",))
_UNENDED: Final = Reply(500, "5.5.2", ("Lines end with CR LF",))
_LONG: Final = Reply(500, "5.5.6", ("Line too long",))
_ENOUGH: Final = Reply(421, "4.7.0", ("Too many mistakes",))
_HELLO_FIRST: Final = Reply(503, "5.5.1", ("Say EHLO first",))
_OUT_OF_ORDER: Final = Reply(503, "5.5.1", ("Not now",))
_NO_ARGUMENTS: Final = Reply(501, "5.5.4", ("It takes no arguments",))
_ARGUMENTS: Final = Reply(501, "5.5.4", ("The arguments cannot be understood",))
_NOT_BASE64: Final = Reply(501, "5.5.2", ("That is not base64",))
_NO_MECHANISM: Final = Reply(504, "5.5.4", ("That mechanism is not offered",))
_NOT_OFFERED: Final = Reply(502, "5.5.1", ("That is not offered",))
_SENDER: Final = Reply(553, "5.1.7", ("The sender is no address",))
_RECIPIENT: Final = Reply(553, "5.1.3", ("The recipient is no address",))
_NEEDS_UTF8: Final = Reply(553, "5.6.7", ("Such an address needs SMTPUTF8",))
_PARAMETER: Final = Reply(555, "5.5.4", ("A parameter is not understood",))
_OVERSIZE: Final = Reply(552, "5.3.4", ("The message is too large",))
_MAIL_FIRST: Final = Reply(503, "5.5.1", ("Say MAIL first",))
_NO_RECIPIENTS: Final = Reply(554, "5.5.1", ("No recipients",))
_RECIPIENTS: Final = Reply(452, "4.5.3", ("Too many recipients",))


class SmtpServer:
    """One connection of a client; make a new one after STARTTLS, with ``greeting=False``."""

    def __init__(
        self, *, greeting: bool = True, size_max: int = SIZE_MAX, recipients_max: int = RECIPIENTS_MAX
    ) -> None:
        self._lines = LineBuffer(AUTH_LINE_MAX)
        self._phase = _Phase.GREETING if greeting else _Phase.COMMANDS
        self._owed: Event | None = None
        self._ended = False
        self._to_tls = False
        self._offered = Extensions()
        self._introduced = False
        self._signed_in = False
        self._mail: MailAsked | None = None
        self._recipients = 0
        self._recipients_max = recipients_max
        self._size_max = size_max
        self._incoming = IncomingMessage(size_max)
        self._mistakes = 0

    @property
    def over(self) -> bool:
        """Nothing more can be read or said: go on with TLS if that was asked, else close."""
        return self._phase is _Phase.OVER

    def receive(self, data: bytes) -> None:
        """Take bytes of the client, in pieces of any size; after the end they are ignored.

        Raises:
            LimitExceededError: they pile up because ``next_event`` or ``send`` is not called.
            RemoteProtocolError: they come in clear after TLS was agreed.
        """
        if self._to_tls:
            raise _sent_before_tls()
        if self._phase is not _Phase.OVER:
            self._lines.feed(data)

    def end_of_input(self) -> None:
        """Note that the client will send nothing more: what is incomplete never becomes an event."""
        self._ended = True

    def next_event(self) -> Event | None:
        """Return the next event, or None until more bytes come or the reply that is owed is sent."""
        if self._owed is not None or self._phase in {_Phase.GREETING, _Phase.OVER}:
            return None
        event = self._next_of_body() if self._phase is _Phase.BODY else self._next_of_lines()
        if event is None and self._ended:
            self._phase = _Phase.OVER
        if not isinstance(event, Body):
            self._owed = event
        return event

    def send(self, answer: Reply | Challenge) -> bytes:
        """Return the bytes of what is owed: the greeting, the reply to the last event, or a challenge.

        A reply 421 may be sent at any time and ends the session.

        Raises:
            LocalProtocolError: nothing is owed, or not this.
            RemoteProtocolError: the client sent more behind STARTTLS, in clear; close.
        """
        if isinstance(answer, Challenge):
            return self._challenge(answer)
        if answer.code == 421:
            self._phase = _Phase.OVER
        elif self._phase is _Phase.GREETING:
            self._phase = _Phase.COMMANDS if answer.positive else _Phase.OVER
        elif self._owed is None or not _answers(answer, self._owed):
            raise LocalProtocolError(detail=f"the reply {answer.code} is not owed")
        else:
            self._settle(self._owed, answer)
        self._owed = None
        return encode_reply(answer)

    def _challenge(self, challenge: Challenge) -> bytes:
        if not isinstance(self._owed, AuthAsked | AuthGiven):
            raise LocalProtocolError(detail="a challenge outside of a sign-in")
        self._owed = None
        self._phase = _Phase.CHALLENGED
        return b"334 " + coding.encode(challenge.data) + b"\r\n"

    def _settle(self, event: Event, reply: Reply) -> None:
        """Do what ``reply`` means for the session, now that it answers ``event``."""
        match event:
            case StartTlsAsked() if reply.positive:
                self._begin_tls()
            case AuthAsked() | AuthGiven():
                self._phase = _Phase.COMMANDS
                self._signed_in = reply.positive
            case AuthCancelled():
                self._phase = _Phase.COMMANDS
            case DataAsked() if reply.positive:
                self._phase = _Phase.BODY
                self._incoming = IncomingMessage(self._size_max)
            case QuitAsked():
                self._phase = _Phase.OVER
            case Bad(fatal=fatal):
                self._phase = _Phase.OVER if fatal else _Phase.COMMANDS
            case _:
                self._settle_message(event, reply)

    def _settle_message(self, event: Event, reply: Reply) -> None:
        match event:
            case Hello(esmtp=esmtp) if reply.positive:
                self._introduced = True
                self._offered = Extensions.of(reply) if esmtp else Extensions()
                self._mail = None
            case MailAsked() if reply.positive:
                self._mail = event
                self._recipients = 0
            case RcptAsked() if reply.positive:
                self._recipients += 1
            case BodyEnd() | RsetAsked():
                self._mail = None
            case _:
                pass

    def _begin_tls(self) -> None:
        self._phase = _Phase.OVER
        self._to_tls = True
        if len(self._lines) > 0:
            raise _sent_before_tls()

    def _next_of_body(self) -> Body | BodyEnd | None:
        incoming = self._incoming
        if not incoming.done:
            waiting = self._lines.take()
            chunk = incoming.feed(waiting) if waiting else b""
            if chunk:
                return Body(chunk)
        if not incoming.done:
            return None
        self._phase = _Phase.COMMANDS
        self._lines.feed(incoming.rest)
        return BodyEnd(incoming.size, incoming.oversize, incoming.stray, incoming.nul)

    def _next_of_lines(self) -> Event | None:
        try:
            line = self._lines.next_line()
        except LimitExceededError:
            return Bad(_LONG, fatal=True)
        except RemoteProtocolError:
            return Bad(_UNENDED, fatal=True)
        if line is None:
            return None
        found = self._response(line) if self._phase is _Phase.CHALLENGED else self._command(line)
        match found:
            case Reply():
                return self._mistake(found)
            case _:
                return found

    def _mistake(self, reply: Reply) -> Bad:
        self._mistakes += reply.permanent
        return Bad(_ENOUGH, fatal=True) if self._mistakes >= MISTAKES_MAX else Bad(reply)

    def _response(self, line: bytes) -> Event | Reply:
        if line == b"*":
            return AuthCancelled()
        data = coding.decode(line)
        return _NOT_BASE64 if data is None else AuthGiven(data)

    def _command(self, line: bytes) -> Event | Reply:
        match = _COMMAND.fullmatch(line)
        if match is None:
            return Bad(_MISSHAPEN, fatal=True) if line else _UNKNOWN
        verb = match[1].upper()
        argument = (match[2] or b"").strip(b" ")
        if verb in _FOREIGN:
            return Bad(_MISSHAPEN, fatal=True)
        if verb == b"AUTH":
            return self._auth(argument)
        if len(line) > COMMAND_MAX:
            return _LONG
        return self._ordinary(verb, argument)

    def _ordinary(self, verb: bytes, argument: bytes) -> Event | Reply:
        match verb:
            case b"EHLO" | b"HELO":
                esmtp = verb == b"EHLO"
                return Hello(argument.decode(errors="replace"), esmtp) if _NAME.fullmatch(argument) else _ARGUMENTS
            case b"MAIL":
                return self._mail_from(argument)
            case b"RCPT":
                return self._rcpt_to(argument)
            case b"NOOP":
                return NoopAsked()
            case b"DATA" | b"RSET" | b"QUIT" | b"STARTTLS":
                return _NO_ARGUMENTS if argument else self._bare(verb)
            case _:
                return _UNUSED.get(verb, _UNKNOWN)

    def _bare(self, verb: bytes) -> Event | Reply:
        match verb:
            case b"DATA" if self._mail is None:
                return _MAIL_FIRST
            case b"DATA":
                return DataAsked() if self._recipients else _NO_RECIPIENTS
            case b"STARTTLS":
                return StartTlsAsked() if self._offered.starttls else _NOT_OFFERED
            case b"RSET":
                return RsetAsked()
            case _:
                return QuitAsked()

    def _auth(self, argument: bytes) -> Event | Reply:
        if not self._introduced:
            return _HELLO_FIRST
        if self._signed_in or self._mail is not None:
            return _OUT_OF_ORDER  # RFC 4954 section 4
        arguments = coding.read_arguments(argument)
        if arguments is None:
            return _ARGUMENTS
        if arguments.mechanism not in self._offered.auth:
            return _NO_MECHANISM
        return AuthAsked(arguments.mechanism, arguments.initial)

    def _mail_from(self, argument: bytes) -> Event | Reply:
        if not self._introduced:
            return _HELLO_FIRST
        if self._mail is not None:
            return _OUT_OF_ORDER
        path = read_path(argument, b"FROM")
        if path is None:
            return _ARGUMENTS
        if path.address and not is_address(path.address):
            return _SENDER
        return self._mail_asked(path)

    def _mail_asked(self, path: Path) -> Event | Reply:
        size: int | None = None
        eight_bit = utf8 = False
        for name, value in path.parameters.items():
            match name:
                case "SIZE" if _SIZE.fullmatch(value):
                    size = int(value)
                case "BODY" if self._offered.eight_bit and value.upper() in {"7BIT", "8BITMIME"}:
                    eight_bit = value.upper() == "8BITMIME"
                case "SMTPUTF8" if self._offered.utf8 and not value:
                    utf8 = True
                case "AUTH" if self._offered.auth:
                    pass  # who the client says wrote it: RFC 4954 section 5 lets us not believe it
                case _:
                    return _PARAMETER
        if size is not None and size > self._size_max:
            return _OVERSIZE
        return MailAsked(path.address, size, eight_bit, utf8) if utf8 or path.address.isascii() else _NEEDS_UTF8

    def _rcpt_to(self, argument: bytes) -> Event | Reply:
        if self._mail is None:
            return _MAIL_FIRST
        path = read_path(argument, b"TO")
        if path is None:
            return _ARGUMENTS
        if path.parameters:
            return _PARAMETER
        if not is_address(path.address) and path.address.lower() != "postmaster":
            return _RECIPIENT
        if not self._mail.utf8 and not path.address.isascii():
            return _NEEDS_UTF8
        return RcptAsked(path.address) if self._recipients < self._recipients_max else _RECIPIENTS


def _answers(reply: Reply, event: Event) -> bool:
    """Tell whether ``reply`` can answer ``event``: 354 and nothing else opens the message."""
    if isinstance(event, DataAsked):
        return reply.code == 354 or not reply.positive
    return not 300 <= reply.code < 400


def _sent_before_tls() -> RemoteProtocolError:
    return RemoteProtocolError("MB-S30", problem="it sent commands in clear behind STARTTLS")
