"""SMTP between a program and ``sendmail -bs``: the server core without a network, one message after the other.

Programs end their lines as they like here, and nobody stands between: there is nothing to smuggle past on a pipe.
"""

import tempfile
from collections.abc import Callable
from typing import BinaryIO, Final

from mailbearer.errors import RemoteProtocolError
from mailbearer.protocol.smtp.dialect import OLD_DEVICES
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import SmtpServer
from mailbearer.protocol.smtp.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    Body,
    BodyEnd,
    ChunkEnd,
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
from mailbearer.sending.submission import LineEnds

HandIn = Callable[[str, list[str], BinaryIO], tuple[int, str, str]]
EXTENSIONS: Final = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_OK: Final = Reply(250, "2.0.0", ("OK",))
_GO_ON: Final = Reply(354, "", ("Go on, end with a dot",))
_BYE: Final = Reply(221, "2.0.0", ("Bye",))
_NOT_OFFERED: Final = Reply(502, "5.5.1", ("That is not offered",))
_TOO_LARGE: Final = Reply(552, "5.3.4", ("The message is too large",))
_NUL: Final = Reply(554, "5.6.0", ("The message contains a NUL character",))


class Session:
    """One conversation; ``hand_in`` puts a message into the queue and returns code, enhanced status and words."""

    def __init__(self, name: str, hand_in: HandIn) -> None:
        self._name = name
        self._hand_in = hand_in
        self._core = SmtpServer(dialect=OLD_DEVICES)
        self._ends = LineEnds()
        self._sender = ""
        self._recipients: list[str] = []
        self._content: BinaryIO | None = None

    @property
    def over(self) -> bool:
        """Nothing more is said."""
        return self._core.over

    def greeting(self) -> bytes:
        """Return what is said first."""
        return self._core.send(Reply(220, "", (f"{self._name} ESMTP",)))

    def receive(self, data: bytes) -> bytes:
        """Take what the program said and return the answers."""
        try:
            self._core.receive(self._ends.feed(data))
        except RemoteProtocolError:
            return self._core.send(Reply(421, "4.7.0", ("Too much at once",)))
        return self._answers()

    def end(self) -> bytes:
        """The program says nothing more."""
        self._core.end_of_input()
        return self._answers()

    def _answers(self) -> bytes:
        out: list[bytes] = []
        while (event := self._core.next_event()) is not None:
            if isinstance(event, Body):
                if self._content is not None:
                    self._content.write(event.chunk)
            else:
                out.append(self._core.send(self._decide(event)))
        return b"".join(out)

    def _decide(self, event: Event) -> Reply:
        match event:
            case Hello(esmtp=True):
                self._forget()
                return Reply(250, "", (self._name, *EXTENSIONS))
            case MailAsked(address=address):
                self._forget()
                self._sender = address
                return _OK
            case RcptAsked(address=address):
                self._recipients.append(address)
                return _OK
            case DataAsked():
                self._content = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _forget
                return _GO_ON
            case BodyEnd():
                return self._finished(event)
            case _:
                return self._decide_small(event)

    def _decide_small(self, event: Event) -> Reply:
        match event:
            case Bad(reply=reply):
                return reply
            case QuitAsked():
                return _BYE
            case Hello() | RsetAsked():
                self._forget()
                return Reply(250, "", (self._name,)) if isinstance(event, Hello) else _OK
            case StartTlsAsked() | AuthAsked() | AuthGiven() | AuthCancelled():
                return _NOT_OFFERED
            case NoopAsked() | ChunkEnd() | _:
                return _OK

    def _finished(self, event: BodyEnd) -> Reply:
        content = self._content
        try:
            if event.oversize or event.nul or content is None:
                return _NUL if event.nul else _TOO_LARGE
            code, enhanced, words = self._hand_in(self._sender, self._recipients, content)
            return Reply(code, enhanced, (words,))
        finally:
            self._forget()

    def _forget(self) -> None:
        self._sender, self._recipients = "", []
        if self._content is not None:
            self._content.close()
            self._content = None
