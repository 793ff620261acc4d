"""One message on its way in: its header is completed, the rest goes to the store as it comes."""

from collections.abc import Awaitable
from functools import lru_cache

from mailbearer.errors import MailbearerError
from mailbearer.listeners import replies
from mailbearer.listeners.desk import Acceptance, Desk, ListenerOptions
from mailbearer.model.device import Device
from mailbearer.model.envelope import DsnWishes, Envelope, RecipientWish
from mailbearer.model.message import QueuedMessage
from mailbearer.protocol.smtp.dialect import LineEnds
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server_events import BodyEnd, MailAsked, RcptAsked
from mailbearer.sending.completion import complete
from mailbearer.sending.submitted import HOPS_MAX, Header, HeaderSplit, divide


class Trace:
    """Where messages of a session come from, for their Received field."""

    __slots__ = ("_lines", "mark")

    def __init__(self, options: ListenerOptions, *, hello: str, address: str, protocol: str) -> None:
        literal = f"IPv6:{address}" if ":" in address else address
        mark = f" (Mailbearer {options.mark})" if options.mark else ""
        self.mark = mark.encode()  # what Received fields of this installation contain
        begin = f"Received: from {hello} ([{literal}])\r\n\tby {options.host_name}{mark} with "
        utf8 = f"UTF8{protocol.removeprefix('E')}"  # RFC 6531 section 4.3
        self._lines = tuple(f"{begin}{word};\r\n\t".encode() for word in (protocol, utf8))

    def received(self, *, utf8: bool, date: bytes) -> bytes:
        """Return the field for a message."""
        return self._lines[utf8] + date + b"\r\n"


@lru_cache(maxsize=256)  # a device writes to the same person all day
def _to_one(reverse_path: str, recipient: str) -> Envelope:
    return Envelope(reverse_path, (recipient,))


class Reception:
    """Takes the pieces and keeps the first thing that is wrong: it is told when the message has ended."""

    __slots__ = ("_acceptance", "_desk", "_device", "_header_seen", "_mail", "_recipients", "_refusal", "_reverse_path",
                 "_split", "_trace")  # fmt: skip

    def __init__(
        self, desk: Desk, device: Device, mail: MailAsked, recipients: list[RcptAsked], *, trace: Trace
    ) -> None:
        self._desk = desk
        self._device = device
        self._mail = mail
        self._recipients = recipients
        self._trace = trace
        self._reverse_path = mail.address
        self._refusal: Reply | None = None
        self._header_seen = False
        self._split: HeaderSplit | None = None  # made when the header does not come in one piece
        self._acceptance: Acceptance | None = desk.intake.begin(
            device.service, device=device.id, size_hint=mail.size or 0
        )

    def take(self, piece: bytes) -> Awaitable[None] | None:
        """Add a piece; wait for what is returned, if anything is, before the next."""
        if self._refusal is not None:
            return None
        if self._header_seen:
            return self._write(piece)
        divided = divide(piece) if self._split is None else self._split.feed(piece)
        if divided is not None:
            return self._write_first(*divided)
        if self._split is None:
            self._split = HeaderSplit(piece)
        if self._split.too_long:
            self.refuse(replies.HEADER_TOO_LARGE)
        return None

    def refuse(self, reply: Reply) -> None:
        """Keep nothing of the message; ``reply`` is said when it has ended."""
        self._refusal = self._refusal or reply
        self.abort()

    def end(self, end: BodyEnd) -> Reply | Awaitable[QueuedMessage]:
        """Return the refusal, or the message to be waited for."""
        if end.oversize:
            self.refuse(replies.TOO_LARGE)
        elif end.nul:
            self.refuse(replies.NUL)
        elif end.stray and self._desk.options.dialect.line_ends is LineEnds.REFUSE:
            self.refuse(replies.STRAY)
        elif not end.size:
            self.refuse(replies.EMPTY)
        elif self._split is not None and self._refusal is None:
            self._write_first(*self._split.finish())
        if self._refusal is not None or self._acceptance is None:
            return self._refusal or replies.NOT_NOW
        try:
            commit = self._acceptance.commit(self._envelope())
        except MailbearerError as error:
            self.abort()
            return replies.reply_to(error)
        self._acceptance = None
        return commit

    def _envelope(self) -> Envelope:
        wishes = self._wishes()
        first = self._recipients[0].address
        if len(self._recipients) == 1 and wishes is None and "@" in first:
            return _to_one(self._reverse_path, first)
        here = self._desk.options.host_name  # for the one recipient who needs no domain: postmaster
        recipients = tuple(
            asked.address if "@" in asked.address else f"{asked.address}@{here}" for asked in self._recipients
        )
        return Envelope(self._reverse_path, recipients, wishes)

    def abort(self) -> None:
        """Forget the message."""
        acceptance, self._acceptance = self._acceptance, None
        if acceptance is not None:
            self._desk.errands.start(acceptance.abort(), _heard)

    def _wishes(self) -> DsnWishes | None:
        mail = self._mail
        if not (mail.ret or mail.envid or [1 for asked in self._recipients if asked.notify or asked.orcpt]):
            return None
        return DsnWishes(
            mail.ret, mail.envid, tuple(RecipientWish(asked.notify, asked.orcpt) for asked in self._recipients)
        )

    def _write(self, piece: bytes) -> Awaitable[None] | None:
        if self._acceptance is None:
            return None
        try:
            return self._acceptance.write(piece)
        except MailbearerError as error:
            self.refuse(replies.reply_to(error))
            return None

    def _write_first(self, text: bytes, rest: bytes) -> Awaitable[None] | None:
        self._header_seen = True
        self._split = None
        header = Header(text)
        if header.has(b"received") and (header.hops > HOPS_MAX or header.marks(self._trace.mark) > 1):
            self.refuse(replies.LOOP)
            return None
        try:
            begin = self._completed(header)
        except MailbearerError as error:
            if error.code == "MB-G03":
                self._desk.notice("MB-G03", device=self._device.title, **error.fields)
            self.refuse(replies.reply_to(error))
            return None
        return self._write(begin + rest)

    def _completed(self, header: Header) -> bytes:
        """Return the header with what was missing in front, in the order in which servers write it."""
        desk = self._desk
        sender = desk.sender_of(self._device.service)
        done = complete(header, self._device, self._mail.address, sender, date=desk.date())
        self._reverse_path = done.reverse_path
        if done.repaired or self._mail.bare:
            desk.notice("MB-S27", device=self._device.title)
        if not desk.options.received_field:
            return done.header
        return self._trace.received(utf8=self._mail.utf8, date=desk.date()) + done.header


def _heard(future: object) -> None:
    """What became of an abort is nobody's concern: what was not committed is not kept."""
