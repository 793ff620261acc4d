"""Mail submission (RFC 6409) from devices: who may send, as whom, how much; the message itself goes to a Reception.

Everything that can be answered at once is, in one turn of the loop and one write. While a sign-in or a commit is under
way nothing more is read. 250 is said when the message is durable, and not before.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from typing import Final

from mailbearer.errors import MailbearerError, RemoteProtocolError
from mailbearer.listeners import replies
from mailbearer.listeners.connection import Connection
from mailbearer.listeners.desk import Desk, Encryption
from mailbearer.listeners.reception import Reception, Trace
from mailbearer.listeners.sign_in import Credentials, SignIn
from mailbearer.model.device import Device
from mailbearer.model.message import QueuedMessage
from mailbearer.protocol.smtp.dialect import Dialect
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import SmtpServer
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

Answer = Reply | Challenge

_NOT_IN_NAME: Final = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_SMALL: Final[Mapping[type[Event], Reply]] = {QuitAsked: replies.BYE, AuthCancelled: replies.CANCELLED}


class SubmissionSession:
    """One device that is connected. ``begin``, ``received`` … are what its connection calls."""

    __slots__ = ("_arrived", "_connection", "_core", "_desk", "_device", "_end", "_errand", "_esmtp", "_halted",
                 "_hello", "_mail", "_message_octets", "_message_since", "_quiet_since", "_reception", "_recipients",
                 "_refused_sign_ins", "_sign_in", "_signed_in", "_since", "_trace")  # fmt: skip

    def __init__(self, connection: Connection, desk: Desk) -> None:
        self._connection = connection
        self._desk = desk
        self._core = self._new_core(greeting=True)
        self._device: Device | None = None
        self._signed_in = False
        self._hello = ""
        self._esmtp = False
        self._mail: MailAsked | None = None
        self._recipients: list[RcptAsked] = []
        self._reception: Reception | None = None
        self._sign_in = SignIn("")
        self._trace: Trace | None = None  # made for the first message after EHLO
        self._refused_sign_ins = 0
        self._halted = False  # the store wants a pause
        self._end: BodyEnd | None = None  # the message was complete before that
        self._errand = False  # a sign-in or a commit is under way
        self._arrived = False  # it signed in or may send without
        self._since = self._quiet_since = self._message_since = desk.now
        self._message_octets = 0

    # -- the connection calls -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Greet."""
        self._connection.write(self._core.send(self._desk.greeting))

    def received(self, data: bytes) -> None:
        """Take what the device sent."""
        event = None
        try:
            if self._errand or self._halted or self._connection.blocked:
                self._core.receive(data)
                self._connection.pause_reading()
                return
            event = self._core.hear(data)
        except RemoteProtocolError:  # too much at once, or in clear behind STARTTLS
            self._hang_up(replies.TOO_MUCH)
            return
        if event is None or isinstance(event, (Body, StartTlsAsked)):
            self._pump(event)
        else:
            self._answer(event)

    def ended(self) -> None:
        """Let what was asked be answered."""
        self._core.end_of_input()
        if not (self._errand or self._halted):
            self._pump()

    def drained(self) -> None:
        """Go on answering."""
        if not (self._errand or self._halted):
            self._pump()

    def lost(self) -> None:
        """Forget what is not complete, and let what was pipelined behind it be."""
        self._forget()
        if not self._core.over:
            self._core.send(replies.CLOSING)

    def look(self) -> None:
        """A second has passed: end what takes too long."""
        limits, now = self._desk.limits, self._desk.now
        if self._errand or self._halted:
            self._quiet_since = now
        elif self._reception is not None:
            took = now - self._message_since
            if took > limits.data_grace and self._message_octets < limits.data_rate * took:
                self._hang_up(replies.TOO_SLOW)
        elif now - self._quiet_since > limits.command or (not self._arrived and now - self._since > limits.arrival):
            self._hang_up(replies.TOO_SLOW)
        elif now - self._since > limits.session and self._mail is None:
            self._hang_up(replies.LONG_ENOUGH)

    def farewell(self) -> None:
        """The listener closes: end at once unless a message is under way."""
        if self._reception is None and not self._errand:
            self._hang_up(replies.CLOSING)

    # -- the loop of events -------------------------------------------------------------------------------------------

    def _answer(self, event: Event) -> None:
        """Answer ``event``; nearly always that is all, since a device waits for each reply."""
        self._quiet_since = self._desk.now
        answer = self._decide(event)
        if answer is None:
            return
        said = self._core.send(answer)
        if self._core.idle and not self._connection.paused:
            self._connection.write(said)
        else:
            self._pump(said=said)

    def _pump(self, event: Event | None = None, said: bytes = b"") -> None:
        """Answer ``event`` and all that can be answered besides, and write it at once, behind ``said``."""
        out = [said]
        connection, core = self._connection, self._core
        while not (self._halted or connection.blocked):
            if event is None:
                event = core.next_event()
            if event is None:
                break
            if isinstance(event, Body):
                self._take(event.chunk)
            elif isinstance(event, StartTlsAsked):
                self._start_tls(out)
                break
            else:
                self._quiet_since = self._desk.now
                answer = self._decide(event)
                if answer is None:
                    break
                out.append(core.send(answer))
            event = None
        self._finish(b"".join(out))

    def _finish(self, said: bytes) -> None:
        """Say ``said``, and let the device go on if nothing holds it back."""
        connection = self._connection
        if said:
            connection.write(said)
        if self._core.over:
            self._close()
        elif connection.paused and not (self._errand or self._halted or connection.blocked):
            connection.resume_reading()

    def _decide(self, event: Event) -> Answer | None:  # noqa: PLR0911 - one for each kind of event
        """Return the answer to ``event``, None when it is still to come; the most frequent events first."""
        match event:
            case RcptAsked():
                self._recipients.append(event)
                return replies.RECIPIENT_OK
            case MailAsked():
                return self._on_mail(event)
            case DataAsked():
                return self._on_data()
            case Whole(message=message):
                return self._on_whole(message)
            case BodyEnd():
                return self._on_body_end(event)
            case Hello():
                return self._on_hello(event)
            case AuthAsked() | AuthGiven():
                return self._on_auth(event)
            case ChunkEnd(size=size):
                return Reply(250, "2.0.0", (f"{size} octets so far",))
            case RsetAsked():
                self._forget()
                return replies.OK
            case _:
                return _SMALL.get(type(event), replies.OK) if not isinstance(event, Bad) else event.reply

    def _go_on(self, answer: Answer) -> None:
        """Give the answer that was waited for, and go on."""
        self._errand = False
        if not self._core.over:
            self._connection.write(self._core.send(answer))
        self._pump()

    def _start_tls(self, out: list[bytes]) -> None:
        try:
            out.append(self._core.send(replies.START_TLS))
        except RemoteProtocolError:  # the device did not wait: somebody injects commands
            self._connection.abort()
            return
        self._connection.write(b"".join(out))
        out.clear()
        self._forget()
        self._hello = ""
        self._device, self._signed_in = None, False  # in clear that may have been somebody else (RFC 3207 section 4.2)
        self._connection.start_tls()
        self._core = self._new_core(greeting=False)

    def _hang_up(self, reply: Reply) -> None:
        if not self._core.over:
            self._connection.write(self._core.send(reply))
        self._close()

    def _close(self) -> None:
        self._forget()
        self._connection.close()

    def _forget(self) -> None:
        """Forget the message that has begun."""
        self._mail = None
        self._recipients = []
        reception, self._reception = self._reception, None
        if reception is not None:
            reception.abort()

    def _new_core(self, *, greeting: bool) -> SmtpServer:
        limits = self._desk.limits
        return SmtpServer(
            greeting=greeting,
            size_max=limits.size_max,
            recipients_max=limits.recipients_max,
            mistakes_max=limits.mistakes_max,
            dialect=self._dialect(),
        )

    def _dialect(self) -> Dialect:
        return self._desk.options.dialect if self._may_sign_in else self._desk.dialect_without_sign_in

    @property
    def _may_sign_in(self) -> bool:
        return self._desk.options.passwords_in_clear or self._connection.sealed

    @property
    def _may_encrypt(self) -> bool:
        wanted = self._desk.options.encryption in {Encryption.STARTTLS, Encryption.BOTH}
        return wanted and not self._connection.sealed

    # -- session ------------------------------------------------------------------------------------------------------

    def _on_hello(self, event: Hello) -> Answer:
        self._forget()
        self._trace = None
        self._hello = _NOT_IN_NAME.sub("?", event.name)
        self._esmtp = event.esmtp
        return self._desk.hello(esmtp=event.esmtp, sign_in=self._may_sign_in, encrypt=self._may_encrypt)

    def _on_auth(self, event: AuthAsked | AuthGiven) -> Answer | None:
        data = event.initial if isinstance(event, AuthAsked) else event.data
        if isinstance(event, AuthAsked):
            self._sign_in = SignIn(event.mechanism)
        match self._sign_in.respond(data):
            case Credentials() as shown:
                self._errand = True
                check = self._desk.authenticator.check(shown.user, shown.password, self._connection.address)
                self._desk.errands.start(check, self._checked)
                return None
            case Challenge() as challenge:
                return challenge
            case None:
                return replies.MALFORMED

    def _checked(self, done: "asyncio.Future[Device | None]") -> None:
        error = done.exception()
        device = None if error is not None else done.result()
        if error is not None:
            self._go_on(replies.TOO_MANY_TRIES if isinstance(error, MailbearerError) else replies.NOT_NOW)
        elif device is None:
            self._refused_sign_ins += 1
            if self._refused_sign_ins >= self._desk.limits.sign_ins_max:
                self._errand = False
                self._hang_up(replies.TOO_MANY_TRIES_HERE)
            else:
                self._go_on(replies.NOT_SIGNED_IN)
        else:
            self._device = device
            self._signed_in = self._arrived = True
            self._trace = None
            self._go_on(replies.SIGNED_IN)

    def _on_mail(self, event: MailAsked) -> Answer:
        device = self._present_device()
        if device is None:
            if self._may_sign_in or not self._may_encrypt:
                self._desk.notice("MB-G12", ip=self._connection.address)
                return replies.SIGN_IN_FIRST
            self._desk.notice("MB-G04", ip=self._connection.address)
            return replies.ENCRYPT_FIRST
        if not device.may_send_as(event.address):
            self._desk.notice("MB-G03", device=device.title, address=event.address)
            return replies.NOT_YOUR_SENDER
        if device.per_hour and self._desk.hourly.reached(device.id, device.per_hour, self._desk.wall().timestamp()):
            self._desk.notice("MB-G06", device=device.title, limit=device.per_hour)
            return replies.TOO_MANY_MESSAGES
        if device.size_max:
            size_max = min(device.size_max, self._desk.limits.size_max)
            self._core.limit_size(size_max)
            if event.size is not None and event.size > size_max:
                return replies.TOO_LARGE
        self._device = device
        self._mail = event
        self._recipients = []
        self._arrived = True
        return replies.SENDER_OK

    def _present_device(self) -> Device | None:
        """Return the device as it is by now, signed in or known by its address."""
        if self._signed_in and self._device is not None:
            return self._desk.authenticator.current(self._device.id)
        return self._desk.authenticator.known(self._connection.address)

    # -- the message --------------------------------------------------------------------------------------------------

    def _on_data(self) -> Answer:
        device, mail, connection = self._device, self._mail, self._connection
        if device is None or mail is None:
            return replies.SIGN_IN_FIRST
        if self._trace is None:
            self._trace = Trace(
                self._desk.options, hello=self._hello, address=connection.address, protocol=self._protocol
            )
        try:
            self._reception = Reception(self._desk, device, mail, self._recipients, trace=self._trace)
        except MailbearerError as error:
            return replies.reply_to(error)
        self._message_since = self._desk.now
        self._message_octets = 0
        return replies.GO_ON

    @property
    def _protocol(self) -> str:
        """The word after ``with`` in a Received field (RFC 3848)."""
        return f"ESMTP{'S' * self._connection.sealed}{'A' * self._signed_in}" if self._esmtp else "SMTP"

    def _take(self, piece: bytes) -> None:
        self._message_octets += len(piece)
        pause = self._reception.take(piece) if self._reception is not None else None
        if pause is not None and not (isinstance(pause, asyncio.Future) and pause.done()):
            self._halted = True
            self._connection.pause_reading()
            self._desk.errands.start(pause, self._resumed)

    def _resumed(self, done: "asyncio.Future[None]") -> None:
        error = done.exception()
        if error is not None and self._reception is not None:
            self._reception.refuse(replies.reply_to(error))
        self._halted = False
        end, self._end = self._end, None
        answer = self._on_body_end(end) if end is not None else None
        if answer is not None:
            self._go_on(answer)
        elif not self._errand:
            self._pump()

    def _on_whole(self, message: bytes) -> Answer | None:
        end = BodyEnd(len(message))
        self._take(message)
        if not self._halted:
            return self._on_body_end(end)
        self._end = end
        return None

    def _on_body_end(self, event: BodyEnd) -> Answer | None:
        reception, self._reception = self._reception, None
        self._mail = None
        if reception is None:
            return replies.NOT_NOW
        left = reception.end(event)
        return left if isinstance(left, Reply) else self._wait_for(left)

    def _wait_for(self, commit: Awaitable[QueuedMessage]) -> Answer | None:
        if isinstance(commit, asyncio.Future) and commit.done():
            return self._outcome(commit)
        self._errand = True
        self._desk.errands.start(commit, lambda done: self._go_on(self._outcome(done)))
        return None

    def _outcome(self, done: "asyncio.Future[QueuedMessage]") -> Answer:
        error = done.exception()
        if error is not None:
            return replies.reply_to(error)
        if self._device is not None and self._device.per_hour:
            self._desk.hourly.note(self._device.id, done.result().created_at.timestamp())
        return replies.queued_as(done.result().id)
