"""The fields of M2 and M4 as texts: reading and checking what somebody typed, and showing what is set.

One table for each kind of service; the order is that of the manual, so listings and pages follow it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from typing import Generic, TypeVar

from mailbearer.errors import InvalidInputError
from mailbearer.model.device import Device
from mailbearer.model.envelope import is_address
from mailbearer.model.secret import Secret
from mailbearer.model.service import (
    AfterReceiving,
    AuthMethod,
    Destination,
    DestinationKind,
    PopSettings,
    SmtpSettings,
    TlsMode,
)

TEXT_MAX = 255  # characters of one field
SECRET_MAX = 1024
DESTINATIONS_MAX = 16
TIMEOUT_RANGE = (timedelta(seconds=5), timedelta(minutes=10))
INTERVAL_RANGE = (timedelta(seconds=10), timedelta(days=1))

S = TypeVar("S", SmtpSettings, PopSettings, Device)
E = TypeVar("E", bound=StrEnum)

# RFC 1123 section 2.1
_HOST = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
_DURATION = re.compile(r"(\d{1,6}) ?(s|sec|seconds?|m|min|minutes?|h|hours?)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BETWEEN_DESTINATIONS = re.compile(r"\n|,(?=(?:maildir|folder|attachments):)")


@dataclass(frozen=True, slots=True)
class Field(Generic[S]):
    """One field: its name, its label in the manual's words, how to put a text into settings, how to show it."""

    name: str
    label: str
    put: Callable[[S, str], S]
    show: Callable[[S], str]
    secret: bool = False


def apply(fields: Mapping[str, Field[S]], settings: S, values: Mapping[str, str], *, kind: str) -> S:
    """Return ``settings`` with ``values`` put in; nothing is changed when one of them cannot be.

    Raises:
        InvalidInputError: a field does not exist, or its value cannot be; both are named.
    """
    for name, value in values.items():
        if name not in fields:
            raise InvalidInputError("MB-W26", kind=kind, field=name, known=", ".join(fields))
        settings = fields[name].put(settings, value)
    return settings


def wrong(label: str, problem: str) -> InvalidInputError:
    """Return the error that names a field by its label."""
    return InvalidInputError("MB-W05", field=label, problem=problem)


def plain(label: str, text: str, *, most: int = TEXT_MAX) -> str:
    """Return ``text`` without blanks at its ends; control characters and too much are refused."""
    text = text.strip()
    if len(text) > most:
        raise wrong(label, f"enter at most {most} characters")
    if not text.isprintable():
        raise wrong(label, "holds a character that cannot be printed")
    return text


def host(label: str, text: str) -> str:
    """Return a host name or IP address in lower case; empty stays empty."""
    text = plain(label, text).lower().rstrip(".")
    if not text:
        return ""
    try:
        ascii_name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError as error:
        raise wrong(label, f"“{text}” is no server name") from error
    bare = ascii_name.removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(ascii_name) and not _is_ip(bare):
        raise wrong(label, f"“{text}” is no server name; enter it without port and without https://")
    return bare


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def port(label: str, text: str) -> int:
    """Return a port number."""
    text = plain(label, text)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:7]) <= 65535:
        raise wrong(label, "enter a number from 1 to 65535")
    return int(text)


def duration(label: str, text: str, *, least: timedelta, most: timedelta) -> timedelta:
    """Return a time such as ``90``, ``90 s``, ``5 min`` or ``1 h``; a bare number is in seconds."""
    found = _DURATION.fullmatch(plain(label, text).lower())
    value = timedelta(seconds=int(found[1]) * _SECONDS[(found[2] or "s")[0]]) if found else None
    if value is None or not least <= value <= most:
        raise wrong(label, f"enter a time from {shown_duration(least)} to {shown_duration(most)}, for instance 5m")
    return value


def shown_duration(value: timedelta) -> str:
    """Return ``90s``, ``5m`` or ``1h``: the shortest form that ``duration`` reads back."""
    seconds = int(value.total_seconds())
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def address(label: str, text: str) -> str:
    """Return a bare e-mail address with a domain; empty stays empty."""
    text = plain(label, text, most=320)
    if text and not is_address(text):
        raise wrong(label, f"“{text}” is no e-mail address; it needs a name, @ and a domain")
    return text


def word(label: str, text: str, kind: type[E], *, allowed: tuple[E, ...] = ()) -> E:
    """Return one of the words of ``kind``."""
    known = allowed or tuple(kind)
    chosen = plain(label, text).lower()
    for each in known:
        if each == chosen:
            return each
    raise wrong(label, f"choose one of {', '.join(known)}")


def secret(label: str, text: str) -> Secret | None:
    """Return a password; empty takes it away."""
    text = text.removesuffix("\n").removesuffix("\r")
    if len(text) > SECRET_MAX or not (text.isprintable() or not text):
        raise wrong(label, f"enter at most {SECRET_MAX} characters on one line")
    return Secret(text) if text else None


def destinations(label: str, text: str) -> tuple[Destination, ...]:
    """Return the places of ``maildir:/path``, ``folder:/path``, ``attachments:/path``, a line or comma between them."""
    parts = [part.strip() for part in _BETWEEN_DESTINATIONS.split(text) if part.strip()]
    if len(parts) > DESTINATIONS_MAX:
        raise wrong(label, f"enter at most {DESTINATIONS_MAX} destinations")
    return tuple(_destination(label, part) for part in parts)


def _destination(label: str, text: str) -> Destination:
    kind, colon, path = plain(label, text, most=1024).partition(":")
    if not colon or kind not in tuple(DestinationKind):
        raise wrong(label, f"“{text}” is not {', '.join(f'{each}:/path' for each in DestinationKind)}")
    if not path.startswith("/") or "/../" in f"{path}/":
        raise wrong(label, f"“{path}” is not an absolute path")
    return Destination(DestinationKind(kind), path)


def _hidden(value: Secret | None) -> str:
    return "" if value is None else "(set)"


def _port_shown(value: int) -> str:
    return str(value) if value else ""


_SMTP: tuple[Field[SmtpSettings], ...] = (
    Field(
        "primary_server",
        "Primary Server",
        lambda s, t: replace(s, primary_server=host("Primary Server", t)),
        lambda s: s.primary_server,
    ),
    Field(
        "secondary_server",
        "Secondary Server",
        lambda s, t: replace(s, secondary_server=host("Secondary Server", t)),
        lambda s: s.secondary_server,
    ),
    Field("port", "Port Number", lambda s, t: replace(s, port=port("Port Number", t)), lambda s: _port_shown(s.port)),
    Field(
        "timeout",
        "Timeout",
        lambda s, t: replace(s, timeout=duration("Timeout", t, least=TIMEOUT_RANGE[0], most=TIMEOUT_RANGE[1])),
        lambda s: shown_duration(s.timeout),
    ),
    Field(
        "sender_name",
        "Sender Name",
        lambda s, t: replace(s, sender_name=plain("Sender Name", t)),
        lambda s: s.sender_name,
    ),
    Field(
        "sender_address",
        "Sender Address",
        lambda s, t: replace(s, sender_address=address("Sender Address", t)),
        lambda s: s.sender_address,
    ),
    Field("tls", "Enable SSL/TLS", lambda s, t: replace(s, tls=word("Enable SSL/TLS", t, TlsMode)), lambda s: s.tls),
    Field(
        "auth",
        "Authentication Method",
        lambda s, t: replace(s, auth=word("Authentication Method", t, AuthMethod)),
        lambda s: s.auth,
    ),
    Field("provider", "Provider", lambda s, t: replace(s, provider=plain("Provider", t)), lambda s: s.provider),
    Field("account", "Account Name", lambda s, t: replace(s, account=_account(t)), lambda s: s.account),
    Field(
        "sasl_user",
        "Mailbox, if another than the account",
        lambda s, t: replace(s, sasl_user=plain("Mailbox", t)),
        lambda s: s.sasl_user,
    ),
    Field(
        "password",
        "Password",
        lambda s, t: replace(s, password=secret("Password", t)),
        lambda s: _hidden(s.password),
        secret=True,
    ),
)

_POP: tuple[Field[PopSettings], ...] = (
    Field("server", "POP3 Server", lambda s, t: replace(s, server=host("POP3 Server", t)), lambda s: s.server),
    Field("port", "Port Number", lambda s, t: replace(s, port=port("Port Number", t)), lambda s: _port_shown(s.port)),
    Field(
        "check_interval",
        "Check Interval",
        lambda s, t: replace(
            s, check_interval=duration("Check Interval", t, least=INTERVAL_RANGE[0], most=INTERVAL_RANGE[1])
        ),
        lambda s: shown_duration(s.check_interval),
    ),
    Field(
        "timeout",
        "Timeout",
        lambda s, t: replace(s, timeout=duration("Timeout", t, least=TIMEOUT_RANGE[0], most=TIMEOUT_RANGE[1])),
        lambda s: shown_duration(s.timeout),
    ),
    Field("tls", "Enable SSL/TLS", lambda s, t: replace(s, tls=word("Enable SSL/TLS", t, TlsMode)), lambda s: s.tls),
    Field(
        "auth",
        "Authentication Method",
        lambda s, t: replace(
            s,
            auth=word("Authentication Method", t, AuthMethod, allowed=(AuthMethod.PASSWORD, AuthMethod.OAUTH2)),
        ),
        lambda s: s.auth,
    ),
    Field("provider", "Provider", lambda s, t: replace(s, provider=plain("Provider", t)), lambda s: s.provider),
    Field("account", "Account Name", lambda s, t: replace(s, account=_account(t)), lambda s: s.account),
    Field(
        "sasl_user",
        "Mailbox, if another than the account",
        lambda s, t: replace(s, sasl_user=plain("Mailbox", t)),
        lambda s: s.sasl_user,
    ),
    Field(
        "password",
        "Password",
        lambda s, t: replace(s, password=secret("Password", t)),
        lambda s: _hidden(s.password),
        secret=True,
    ),
    Field(
        "after_receiving",
        "After receiving",
        lambda s, t: replace(s, after_receiving=word("After receiving", t, AfterReceiving)),
        lambda s: s.after_receiving,
    ),
    Field(
        "destinations",
        "Received items go to",
        lambda s, t: replace(s, destinations=destinations("Received items go to", t)),
        lambda s: ",".join(f"{each.kind}:{each.path}" for each in s.destinations),
    ),
)


def _account(text: str) -> str:
    text = plain("Account Name", text, most=320)
    if "@" in text and not is_address(text):
        raise wrong("Account Name", f"“{text}” is no e-mail address; it needs a name, @ and a domain")
    return text


SMTP_FIELDS: Mapping[str, Field[SmtpSettings]] = {each.name: each for each in _SMTP}
POP_FIELDS: Mapping[str, Field[PopSettings]] = {each.name: each for each in _POP}
SECRET_FIELDS: frozenset[str] = frozenset({"password", "client_secret"})
