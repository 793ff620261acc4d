"""One fetched message on its way to its destinations: a file here, and what is known about it."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

NAME_MAX = 120  # octets of what is kept of a name that somebody else chose; file systems take 255 for all of it
ENDING_MAX = 10  # characters of an ending, as in .p7s
HEADER_MAX = 256 * 1024  # octets of a header that are looked at


@dataclass(frozen=True, slots=True)
class Item:
    """A message in ``file``. ``mark`` is made of service and UIDL: fetched again it has the same mark."""

    file: Path
    size: int
    mark: str
    sent_at: datetime | None
    sender: str
    subject: str

    @property
    def stem(self) -> str:
        """How its files are called: ``20261123-143205_1a2b3c4d5e6f7a8b``; sorts by date and is the same each time."""
        when = self.sent_at.strftime("%Y%m%d-%H%M%S") if self.sent_at is not None else "undated"
        return f"{when}_{self.mark}"


def mark_of(service: str, uidl: str) -> str:
    """Return the mark of a message, sixteen hexadecimal digits: even among millions no two have the same."""
    return hashlib.sha256(f"{service}\0{uidl}".encode()).hexdigest()[:16]


def sent_at(date: str) -> datetime | None:
    """Return a Date field in UTC, None when it is none."""
    try:
        when = parsedate_to_datetime(date)
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def safe_name(name: str, *, otherwise: str) -> str:
    """Return what may be kept of a file name that a stranger chose: letters, digits, dots and hyphens, no path.

    At most ``NAME_MAX`` octets, the ending kept, never empty, never beginning with a dot.
    """
    last = re.split(r"[/\\]", name)[-1]
    text = unicodedata.normalize("NFC", last[: 4 * NAME_MAX])
    kept = "".join(char if char.isalnum() or char in "._-" else "_" for char in text)
    kept = re.sub(r"_{2,}", "_", re.sub(r"\.{2,}", ".", kept)).strip("._ ")
    stem, dot, ending = kept.rpartition(".")
    if dot and 1 <= len(ending) <= ENDING_MAX:
        return f"{_cut(stem, NAME_MAX - len(ending.encode()) - 1)}.{ending}"
    return _cut(kept, NAME_MAX) or otherwise


def _cut(text: str, octets: int) -> str:
    """Return as much of ``text`` as fits, without half a character."""
    return text.encode()[:octets].decode(errors="ignore")
