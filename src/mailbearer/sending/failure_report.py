"""What the sender of a message hears of it: failure reports, delay warnings and relay reports (RFC 3464).

A report is an ordinary message of the same service, with an empty reverse-path: nobody is told what becomes of a
report, so reports cannot go in circles. The wishes of RFC 3461 decide who hears what.
"""

import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Final

from mailbearer import sentences
from mailbearer.clock import Clock
from mailbearer.errors import MailbearerError
from mailbearer.model.envelope import Envelope, RecipientWish
from mailbearer.model.message import QueuedMessage, RecipientOutcome, RecipientState
from mailbearer.model.service import Service, ServiceId, SmtpSettings
from mailbearer.sending.compose import new_message_id
from mailbearer.sending.intake import Intake
from mailbearer.sending.retry import LIFE
from mailbearer.store.bodies import Bodies

HEADER_MAX: Final = 64 * 1024  # octets of the original's header that are given back
RECIPIENTS_SHOWN: Final = 100  # in the text for people; the part for machines has all of them
_ENHANCED: Final = re.compile(r"^[245]\d\d[ -]([245]\.\d{1,3}\.\d{1,3})\b")
_END: Final = re.compile(rb"\r?\n\r?\n")
_log = logging.getLogger(__name__)


class Action(StrEnum):
    """The Action field of RFC 3464 section 2.3.3, as far as a submission server has use for it."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


_WISHES: Final = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY", Action.RELAYED: "SUCCESS"}
_SUBJECTS: Final = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Not delivered yet",
    Action.RELAYED: "Handed on",
}
_OPENINGS: Final = {
    Action.FAILED: "Your message could not be delivered to:",
    Action.DELAYED: (
        "Your message has not been delivered yet. Nothing needs to be done: Mailbearer goes on trying for"
        f" {LIFE.days} days.\r\nIt waits for:"
    ),
    Action.RELAYED: (
        "The mail server of the provider has taken your message; it sends no reports of its own. It took it for:"
    ),
}
_STATES: Final = {
    Action.FAILED: RecipientState.REFUSED,
    Action.DELAYED: RecipientState.WAITING,
    Action.RELAYED: RecipientState.ACCEPTED,
}
_STATUS: Final = {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0", Action.RELAYED: "2.0.0"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One recipient that the report is about, and the address that the sender had written (RFC 3461 section 4.2)."""

    outcome: RecipientOutcome
    wish: RecipientWish


class Reporter:
    """Puts reports into the queue; the courier, who asks for them, looks there itself."""

    def __init__(
        self,
        intake: Intake,
        bodies: Bodies,
        clock: Clock,
        *,
        service_of: Callable[[ServiceId], Awaitable[Service]],
        host_name: str,
    ) -> None:
        self._intake = intake
        self._bodies = bodies
        self._clock = clock
        self._service_of = service_of
        self._host_name = host_name

    async def failed(self, message: QueuedMessage) -> None:
        """Tell the sender which recipients will not get the message."""
        await self._report(message, Action.FAILED)

    async def delayed(self, message: QueuedMessage) -> None:
        """Tell the sender which recipients have not got the message yet."""
        await self._report(message, Action.DELAYED)

    async def relayed(self, message: QueuedMessage) -> None:
        """Tell a sender who asked for it that the provider, which sends no such reports, has the message."""
        await self._report(message, Action.RELAYED)

    async def _report(self, message: QueuedMessage, action: Action) -> None:
        about = _about(message, action)
        if not message.envelope.reverse_path or not about:
            return
        sender = _sender_of(await self._service_of(message.service))
        text = render(
            message,
            action,
            header=await self._header(message),
            sender=sender or f"mailer-daemon@{self._host_name}",
            host_name=self._host_name,
            now=self._clock.now(),
        )

        async def chunks() -> AsyncIterator[bytes]:
            yield text

        await self._intake.accept(message.service, Envelope("", (message.envelope.reverse_path,)), chunks())

    async def _header(self, message: QueuedMessage) -> bytes:
        """Return the header of the original, empty when it is not there any more."""
        found = b""
        try:
            async for chunk in (await self._bodies.find(message.id)).chunks():
                found += chunk[:HEADER_MAX]
                if len(found) >= HEADER_MAX or _END.search(found):
                    break
        except MailbearerError as error:
            _log.warning("the header of %s cannot be read: %s", message.id, error)
        end = _END.search(found)
        return (found[: end.start()] if end is not None else found)[:HEADER_MAX]


def render(
    message: QueuedMessage, action: Action, *, header: bytes, sender: str, host_name: str, now: datetime
) -> bytes:
    """Return the report as it is to be sent: the parts of RFC 6522, ASCII but for the original's header."""
    boundary = f"=_{secrets.token_hex(16)}"
    about = _about(message, action)
    head = (
        f"From: Mail Delivery System <{sender}>",
        f"To: <{message.envelope.reverse_path}>",
        f"Subject: {_SUBJECTS[action]}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: {new_message_id(sender)}",
        "Auto-Submitted: auto-replied",  # RFC 3834: no absence notice answers it
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    )
    eight_bit = not header.isascii()
    returned = b"\r\n".join(header.replace(b"\r\n", b"\n").replace(b"\r", b" ").split(b"\n"))
    parts = (
        ("text/plain; charset=utf-8", "8bit", _words(message, action, about).encode()),
        (
            "message/delivery-status",
            "7bit",
            _status(message, action, about, (host_name, now)).encode("ascii", "replace"),
        ),
        ("text/rfc822-headers", "8bit" if eight_bit else "7bit", returned + b"\r\n"),
    )
    written = b"".join(
        f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n".encode() + part + b"\r\n"
        for kind, coding, part in parts
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + written + f"--{boundary}--\r\n".encode()


def _about(message: QueuedMessage, action: Action) -> tuple[_Line, ...]:
    """Return the recipients that the sender is to hear of."""
    dsn = message.envelope.dsn
    wishes = dsn.recipients if dsn is not None else ()
    filled = (*wishes, *(RecipientWish(),) * (len(message.recipients) - len(wishes)))
    return tuple(
        _Line(outcome, wish)
        for outcome, wish in zip(message.recipients, filled, strict=False)
        if outcome.state is _STATES[action] and _wanted(wish, action)
    )


def _wanted(wish: RecipientWish, action: Action) -> bool:
    """Tell whether the sender wants to hear this; without NOTIFY it is failures and delays (RFC 3461 section 4.1)."""
    return _WISHES[action] in wish.notify if wish.notify else action is not Action.RELAYED


def _sender_of(service: Service) -> str:
    match service.settings:
        case SmtpSettings(sender_address=address, account=account):
            return address or (account if "@" in account else "")
        case _:
            return ""


def _words(message: QueuedMessage, action: Action, about: tuple[_Line, ...]) -> str:
    lines = [_OPENINGS[action], ""]
    for each in about[:RECIPIENTS_SHOWN]:
        lines.append(f"  {each.outcome.address}")
        if each.outcome.reply:
            lines.append(f"    The mail server said: {sentences.shown(each.outcome.reply)}")
    if len(about) > RECIPIENTS_SHOWN:
        lines.append(f"  and {len(about) - RECIPIENTS_SHOWN} more")
    fields = message.facts
    if action is not Action.RELAYED and message.code:
        lines += ["", sentences.what(message.code, fields)]
        if why := sentences.why(message.code, fields):
            lines.append(why)
        lines[-1] += f" ({message.code})"
    lines += ["", f"Subject: {message.subject or '(none)'}", f"Accepted: {format_datetime(message.created_at)}"]
    lines += [f"Message: {message.id}", ""]
    return "\r\n".join(lines)


def _status(
    message: QueuedMessage, action: Action, about: tuple[_Line, ...], where_and_when: tuple[str, datetime]
) -> str:
    """Return the part for machines (RFC 3464 section 2)."""
    host_name, now = where_and_when
    dsn = message.envelope.dsn
    blocks = [[f"Reporting-MTA: dns; {host_name}", f"Arrival-Date: {format_datetime(message.created_at)}"]]
    if dsn is not None and dsn.envid:
        blocks[0].insert(0, f"Original-Envelope-Id: {_plain(dsn.envid)}")
    for each in about:
        block = [f"Original-Recipient: {_plain(each.wish.orcpt)}"] if each.wish.orcpt else []
        block += [
            f"Final-Recipient: {_typed(each.outcome.address)}",
            f"Action: {action}",
            f"Status: {_code(message, action, each.outcome.reply)}",
        ]
        if each.outcome.reply:
            block.append(f"Diagnostic-Code: smtp; {_plain(each.outcome.reply)}")
        block.append(f"Last-Attempt-Date: {format_datetime(now)}")
        if action is Action.DELAYED:
            block.append(f"Will-Retry-Until: {format_datetime(message.created_at + LIFE)}")
        blocks.append(block)
    return "\r\n".join("\r\n".join(block) + "\r\n" for block in blocks)


def _code(message: QueuedMessage, action: Action, reply: str) -> str:
    """Return the status of RFC 3463: what the server said, where it fits to what became of it."""
    if action is Action.FAILED and message.code == "MB-S22":
        return "4.4.7"  # the time for delivery is over
    found = _ENHANCED.match(reply)
    first = _STATUS[action][0]
    if found is not None and found[1].startswith(first):
        return found[1]
    return "5.3.4" if message.code == "MB-S19" and action is Action.FAILED else _STATUS[action]


def _typed(address: str) -> str:
    """Return an address with its type; one beyond ASCII in the coding of RFC 6533 section 3."""
    if address.isascii():
        return f"rfc822; {address}"
    coded = "".join(char if "!" <= char <= "~" and char not in "\\+=" else f"\\x{{{ord(char):X}}}" for char in address)
    return f"utf-8; {coded}"


def _plain(text: str) -> str:
    """Return ``text`` as one line of a header field, folded so that none is too long."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return "\r\n ".join(plain[start : start + 900] for start in range(0, len(plain), 900)) or "none"
