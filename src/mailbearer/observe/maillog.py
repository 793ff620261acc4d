"""The operator's mail log: one line for each thing that happens to a message, its id first, with fixed verbs."""

import logging
from enum import StrEnum

from mailbearer.observe import metrics

_log = logging.getLogger("mailbearer.mail")


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
    metrics.count_message(verb)
    _log.info("%s", line(verb, message, **facts))


def line(verb: Verb, message: str, **facts: object) -> str:
    """Return the line of ``record``; a value with blanks stands in quotation marks."""
    told = (f"{name}={_quoted(str(value))}" for name, value in facts.items() if value is not None and str(value))
    return " ".join((message, verb, *told))


def _quoted(text: str) -> str:
    safe = "".join(char if char.isprintable() else " " for char in text[:500])
    return f'"{safe.replace(chr(34), chr(39))}"' if not safe or " " in safe else safe
