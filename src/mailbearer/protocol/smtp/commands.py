"""What a command line says, whatever the state of the session: the grammar of the server core, and its refusals.

Reading is a pure function of the line and of what is allowed, and devices say the same few lines all day: what was read
is remembered. Lines with credentials are not read here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from mailbearer.model.envelope import is_address
from mailbearer.protocol.smtp import dsn
from mailbearer.protocol.smtp.paths import Path, read_path
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server_events import (
    Bad,
    DataAsked,
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

REMEMBERED: Final = 512
"""Command lines that are remembered; at ``COMMAND_MAX`` octets each, that is a megabyte."""

MISSHAPEN: Final = Reply(500, "5.5.2", ("That is no command",))
ARGUMENTS: Final = Reply(501, "5.5.4", ("The arguments cannot be understood",))

_LINE = re.compile(rb"([A-Za-z]{1,20})(?: (.*))?", re.DOTALL)
_NAME = re.compile(rb"[ -~\x80-\xff]{1,255}")
_SIZE = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9]{1,18})( +[Ll][Aa][Ss][Tt])?")

_FOREIGN: Final = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT"})
"""Commands of another protocol: content follows that must not be read as commands."""

_UNUSED: Final[Mapping[bytes, Reply]] = {
    b"VRFY": Reply(252, "2.5.0", ("Send it and see",)),
    b"HELP": Reply(214, "2.0.0", ("See RFC 5321",)),
    b"EXPN": Reply(502, "5.5.1", ("Not done here",)),
}
_BARE: Final[Mapping[bytes, DataAsked | RsetAsked | QuitAsked | StartTlsAsked]] = {
    b"DATA": DataAsked(),
    b"RSET": RsetAsked(),
    b"QUIT": QuitAsked(),
    b"STARTTLS": StartTlsAsked(),
}
_NOOP: Final = NoopAsked()
_UNKNOWN: Final = Reply(500, "5.5.2", ("No such command",))
_NO_ARGUMENTS: Final = Reply(501, "5.5.4", ("It takes no arguments",))
_SENDER: Final = Reply(553, "5.1.7", ("The sender is no address",))
_RECIPIENT: Final = Reply(553, "5.1.3", ("The recipient is no address",))
NEEDS_UTF8: Final = Reply(553, "5.6.7", ("Such an address needs SMTPUTF8",))
_PARAMETER: Final = Reply(555, "5.5.4", ("A parameter is not understood",))


class Allowed(NamedTuple):
    """Parameters that may be used, because they were offered, and departures that are borne."""

    eight_bit: bool = False
    utf8: bool = False
    dsn: bool = False
    auth: bool = False
    chunking: bool = False
    bare: bool = True
    blank: bool = True


@dataclass(frozen=True, slots=True)
class Chunk:
    """BDAT: that many octets follow."""

    size: int
    last: bool


Said = (
    Hello | MailAsked | RcptAsked | DataAsked | RsetAsked | NoopAsked | QuitAsked | StartTlsAsked | Chunk | Bad | Reply
)


@lru_cache(maxsize=32)
def understood(allowed: Allowed) -> dict[bytes, MailAsked | RcptAsked | DataAsked]:
    """Return the lines, CR LF included, that were understood before; the core fills it, up to ``REMEMBERED``."""
    del allowed  # it is what they depend on
    return {}


def is_auth(line: bytes) -> bool:
    """Tell whether ``line`` is an AUTH command, which may hold a password and must not be remembered."""
    return line[:5].upper() in {b"AUTH", b"AUTH "}


@lru_cache(maxsize=REMEMBERED)
def read_command(line: bytes, allowed: Allowed) -> Said:
    """Return what ``line`` (without CR LF) asks for, or the reply to what cannot be asked."""
    match = _LINE.fullmatch(line)
    if match is None:
        return Bad(MISSHAPEN, fatal=True) if line else _UNKNOWN
    verb = match[1].upper()
    argument = (match[2] or b"").strip(b" ")
    if verb in _FOREIGN:
        return Bad(MISSHAPEN, fatal=True)
    if verb == b"BDAT":  # also when it cannot be read: content follows
        return _chunk(argument) if allowed.chunking else Bad(MISSHAPEN, fatal=True)
    if verb in _BARE:
        return _NO_ARGUMENTS if argument else _BARE[verb]
    return _with_argument(verb, argument, allowed)


def _with_argument(verb: bytes, argument: bytes, allowed: Allowed) -> Said:
    match verb:
        case b"EHLO" | b"HELO":
            esmtp = verb == b"EHLO"
            return Hello(argument.decode(errors="replace"), esmtp) if _NAME.fullmatch(argument) else ARGUMENTS
        case b"MAIL":
            return _mail(argument, allowed)
        case b"RCPT":
            return _rcpt(argument, allowed)
        case b"NOOP":
            return _NOOP
        case _:
            return _UNUSED.get(verb, _UNKNOWN)


def _chunk(argument: bytes) -> Chunk | Bad:
    match = _CHUNK.fullmatch(argument)
    return Bad(ARGUMENTS, fatal=True) if match is None else Chunk(int(match[1]), match[2] is not None)


def _path(argument: bytes, keyword: bytes, allowed: Allowed) -> Path | None:
    path = read_path(argument, keyword)
    if path is None or (path.bare and not allowed.bare) or (path.blank and not allowed.blank):
        return None
    return path


def _mail(argument: bytes, allowed: Allowed) -> MailAsked | Reply:
    path = _path(argument, b"FROM", allowed)
    if path is None:
        return ARGUMENTS
    if path.address and not is_address(path.address):
        return _SENDER
    refusal = _judged(path.parameters, allowed)
    if refusal is not None:
        return refusal
    given = path.parameters
    utf8 = "SMTPUTF8" in given
    if not utf8 and not path.address.isascii():
        return NEEDS_UTF8
    return MailAsked(
        path.address,
        size=int(given["SIZE"]) if "SIZE" in given else None,
        eight_bit=given.get("BODY", "").upper() == "8BITMIME",
        utf8=utf8,
        ret=given.get("RET", "").upper(),
        envid=dsn.read_envid(given.get("ENVID", "")) or "",
        bare=path.bare,
    )


def _judged(parameters: Mapping[str, str], allowed: Allowed) -> Reply | None:
    """Return what is wrong with the parameters of MAIL, None when nothing is."""
    for name, value in parameters.items():
        match name:
            case "SIZE" if _SIZE.fullmatch(value):
                pass
            case "BODY" if allowed.eight_bit and value.upper() in {"7BIT", "8BITMIME"}:
                pass
            case "SMTPUTF8" if allowed.utf8 and not value:
                pass
            case "RET" | "ENVID" if allowed.dsn:
                if (dsn.read_ret(value) if name == "RET" else dsn.read_envid(value)) is None:
                    return ARGUMENTS
            case "AUTH" if allowed.auth:
                pass  # who the client says wrote it: RFC 4954 section 5 lets us not believe it
            case _:
                return _PARAMETER
    return None


def _rcpt(argument: bytes, allowed: Allowed) -> RcptAsked | Reply:
    path = _path(argument, b"TO", allowed)
    if path is None:
        return ARGUMENTS
    notify: tuple[str, ...] | None = ()
    orcpt: str | None = ""
    for name, value in path.parameters.items():
        match name:
            case "NOTIFY" if allowed.dsn:
                notify = dsn.read_notify(value)
            case "ORCPT" if allowed.dsn:
                orcpt = dsn.read_orcpt(value)
            case _:
                return _PARAMETER
    if notify is None or orcpt is None:
        return ARGUMENTS
    if not is_address(path.address) and path.address.lower() != "postmaster":
        return _RECIPIENT
    return RcptAsked(path.address, notify, orcpt)
