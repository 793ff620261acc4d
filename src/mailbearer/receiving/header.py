"""What is shown of a fetched message: sender, subject and date, read without trusting a single octet of it."""

import contextlib
import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import Path

from mailbearer.receiving.item import HEADER_MAX, Item, sent_at

SHOWN_MAX = 200  # characters of a field in lists
FIELD_MAX = 2_000  # octets of a field that are decoded; the decoder's time grows with the square


def described(file: Path, size: int, mark: str) -> Item:
    """Return the message in ``file`` with what its header says."""
    with file.open("rb") as content:
        start = content.read(HEADER_MAX)
    ends = [at for end in (b"\r\n\r\n", b"\n\n") if (at := start.find(end)) >= 0]
    header = start[: min(ends)] if ends else start
    return Item(
        file=file,
        size=size,
        mark=mark,
        sent_at=sent_at(field_of(header, b"date")),
        sender=field_of(header, b"from"),
        subject=field_of(header, b"subject"),
    )


def field_of(header: bytes, name: bytes) -> str:
    """Return the first field ``name`` (small letters), decoded and printable, at most ``SHOWN_MAX`` characters."""
    found = re.search(rb"(?:^|\n)" + re.escape(name) + rb"[ \t]*:((?:[^\n]|\n[ \t])*)", header, re.IGNORECASE)
    if found is None:
        return ""
    raw = re.sub(rb"\r?\n[ \t]+", b" ", found[1][:FIELD_MAX]).strip()
    return decoded(raw.decode("utf-8", "replace"))[:SHOWN_MAX]


def decoded(text: str) -> str:
    """Return ``text`` with its encoded words (RFC 2047) decoded and without control characters."""
    with contextlib.suppress(ValueError, LookupError, HeaderParseError):  # a broken encoded word is shown as it stands
        text = str(make_header(decode_header(text[:FIELD_MAX])))
    return "".join(char if char.isprintable() else " " for char in text)
