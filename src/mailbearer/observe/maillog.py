"""The operator's mail log: one line for each thing that happens to a message, its id first, with fixed verbs."""

import asyncio
import logging
from datetime import datetime
from enum import StrEnum

GATHER = 0.01
_log = logging.getLogger("mailbearer.mail")


class Lines:
    """Lines that are written together; the ``msg`` of a log record."""

    __slots__ = ("texts",)

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def __str__(self) -> str:
        return "\n".join(self.texts)


class _Gathered:
    """What waits to be written, once ``gather`` was called."""

    def __init__(self) -> None:
        self.wanted = False
        self.texts: list[str] = []


_gathered = _Gathered()


class Verb(StrEnum):
    """What can happen to a message; docs/observing.md explains each."""

    QUEUED = "Queued"
    SENDING = "Sending"
    ACCEPTED = "Accepted"
    RETRYING = "Retrying"
    HELD = "Held"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    RELEASED = "Released"
    UNCERTAIN = "Uncertain"
    RECEIVED = "Received"
    FILED = "Filed"
    DELETED = "Deleted"


def record(verb: Verb, message: str, **facts: object) -> None:
    """Write one line: ``a1b2c3 Accepted service=smtp reply="250 2.0.0 Ok"``, and count it; empty facts are left out."""
    from mailbearer.observe import metrics  # noqa: PLC0415 - most commands write no mail log, and it loads much

    metrics.count_message(verb)
    if _log.isEnabledFor(logging.INFO):
        text = line(verb, message, **facts)
        if not (_gathered.wanted and _take(text)):
            _log.info("%s", text)


def gather(*, wanted: bool = True) -> None:
    """From now on write lines after ``GATHER`` seconds, and all at once: a write costs more than all else of a line."""
    _gathered.wanted = wanted


def flush() -> None:
    """Write what was gathered."""
    texts = _gathered.texts
    if texts:
        _gathered.texts = []
        _log.handle(_log.makeRecord(_log.name, logging.INFO, "", 0, Lines(texts), (), None))


def _take(text: str) -> bool:
    """Let a line wait; tell whether there is a loop that will call us again."""
    if not _gathered.texts:
        try:
            asyncio.get_running_loop().call_later(GATHER, flush)
        except RuntimeError:
            return False
    _gathered.texts.append(text)
    return True


def line(verb: Verb, message: str, **facts: object) -> str:
    """Return the line of ``record``; a value with blanks stands in quotation marks, times are those of the log."""
    told = (f"{name}={_quoted(_text(value))}" for name, value in facts.items() if value is not None and str(value))
    return " ".join((message, verb, *told))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(value)


def _quoted(text: str) -> str:
    safe = text[:500]
    if not safe.isprintable():
        safe = "".join(char if char.isprintable() else " " for char in safe)
    return f'"{safe.replace(chr(34), chr(39))}"' if not safe or " " in safe else safe
