"""The log on standard error: lines for people or JSON for machines, no control characters, nothing that looks secret.

No line should ever hold a secret: secrets are :class:`mailbearer.model.secret.Secret`. What is blotted out here is what
got through all the same, by a library's message or by a mistake of ours.
"""

import json
import logging
import re
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Final, TextIO

from mailbearer.model.secret import Secret
from mailbearer.observe import maillog

BLOT: Final = "***"
QUIET: Final = ("httpx2", "httpcore2", "httpx", "httpcore", "uvicorn", "uvicorn.access", "uvicorn.error", "asyncio")
REGISTERED_MAX: Final = 1_000  # the oldest is forgotten; its kind is still known by the patterns
SECRET_MIN: Final = 8  # characters; blotting shorter ones out would only make lines unreadable
_ARGUMENT: Final = 4_000  # characters of a message

_NAMES = (
    "access_token|refresh_token|id_token|client_secret|client_assertion|device_code|code_verifier|password|state"
    r"|code(?!=MB-)"  # the codes of our own errors may be read
)
_VALUE = r"[^\s&;,\"'<>]+"
_PATTERNS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (rf"(\bBearer\s+){_VALUE}", rf"\1{BLOT}"),
        (rf"(\bAUTH\s+[A-Z0-9-]{{3,20}}\s+){_VALUE}", rf"\1{BLOT}"),
        (r"(\bPASS )\S.*", rf"\1{BLOT}"),
        (rf"(\b(?:{_NAMES})[\"']?\s*[=:]\s*[\"']?){_VALUE}", rf"\1{BLOT}"),
        (r"\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){1,4}", BLOT),  # a JSON Web Token
        (r"\b(?:ya29\.|1//|EwB|0\.A|1\.A|M\.C)[A-Za-z0-9_.!*$-]{20,}", BLOT),  # tokens of Google and Microsoft
        (r"[A-Za-z0-9+/_-]{80,}={0,2}", BLOT),  # an unbroken run that no word and no path of ours has
    )
)
_SIGNS: Final = (
    *("bearer", "auth", "pass", "_token", "secret", "assertion", "code", "state"),
    *("eyj", "ya29.", "1//", "ewb", "0.a", "1.a", "m.c"),
)  # a text of ASCII with none of them, in small letters, and without an unbroken run is matched by no pattern
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{80}")
_ESCAPES: Final = {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    **{
        number: f"\\u{number:04x}"
        for number in (*range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    },
}
_registered: deque[Secret] = deque(maxlen=REGISTERED_MAX)


def register(secret: Secret) -> None:
    """Blot ``secret`` out wherever it should appear in the log."""
    if len(secret.reveal()) >= SECRET_MIN and secret not in _registered:
        _registered.append(secret)


def redacted(text: str) -> str:
    """Return ``text`` without anything that was registered or looks like a secret."""
    for secret in _registered:
        text = text.replace(secret.reveal(), BLOT)
    return _without_signs(text) if _looks_secret(text) else text


def _looks_secret(text: str) -> bool:
    """Tell whether any pattern can match: seven expressions cost more than everything else that is done to a line."""
    small = text.lower()
    return not text.isascii() or any(sign in small for sign in _SIGNS) or _RUN.search(text) is not None


def _without_signs(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def escaped(text: str) -> str:
    """Return ``text`` with control characters, line ends and direction marks written out: one event, one line."""
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


class LineFormatter(logging.Formatter):
    """``2026-11-02T09:00:00.000Z INFO message``, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        start = f"{_time_of(record)} {record.levelname} "
        return "\n".join([start + said for said in _said(record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        about = {"time": _time_of(record), "level": record.levelname, "logger": record.name}
        return "\n".join([json.dumps({**about, "message": said}, ensure_ascii=False) for said in _said(record)])


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error, gathered lines of the mail log before anything that was said after them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record``."""
        maillog.flush()
        super().emit(record)


def set_up_logging(*, level: str, json_lines: bool) -> None:
    """Log to standard error from ``level`` (``debug``, ``info``, ``warning``, ``error``) on."""
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json_lines else LineFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _time_of(record: logging.LogRecord) -> str:
    when = datetime.fromtimestamp(record.created, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(record: logging.LogRecord) -> list[str]:
    """Return each line of the mail log, or message and traceback as one, safe to be shown."""
    if isinstance(record.msg, maillog.Lines):
        return _each_safe(record.msg.texts)
    text = record.getMessage()[:_ARGUMENT]
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return [escaped(redacted(text))]


def _each_safe(texts: list[str]) -> list[str]:
    """Return ``texts``, all looked at together first: it is nearly always good news for each of them."""
    whole = "\n".join(texts)
    if redacted(whole) == whole:
        return [escaped(text) for text in texts]
    return [escaped(redacted(text)) for text in texts]
