"""The header of a message that a device submits (RFC 6409 section 8): what is missing is added, Bcc is taken out.

Nothing else of it changes, and of the body nothing at all: signatures over either stay good. The header is looked
through once with one expression; the message is never taken apart.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADER_MAX: Final = 102_400
"""Octets of a header: Postfix's ``header_size_limit``."""

HOPS_MAX: Final = 50
"""Received fields after which a message goes in circles: Postfix's ``hopcount_limit``."""

_FIELDS: Final = re.compile(  # one line end is put before the text: an octet to look for halves the time
    rb"\n(received|date|message-id|bcc|resent-bcc|from|sender|reply-to)[ \t]*:(.*(?:\r\n[ \t].*)*)\r(?=\n)",
    re.IGNORECASE,
)
_FIRST: Final = re.compile(rb"[!-9;-~]{1,256}[ \t]*:|From ")  # RFC 5322 section 2.2; the first line of an mbox
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
BLIND_COPIES: Final = (b"bcc", b"resent-bcc")
"""Fields with recipients whom nobody is to see."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The octets from ``begin`` to ``end`` of a header become ``text``."""

    begin: int
    end: int
    text: bytes = b""


class Header:
    """A header block with the CR LF of its last line, and where its interesting fields stand."""

    __slots__ = ("_found", "_repeated", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        found: dict[bytes, bytes] = {}
        self._found = found  # the first of each name
        self._repeated: set[bytes] = set()
        for name, value in _FIELDS.findall(b"\n" + text):
            lower = name.lower()
            if lower in found:
                self._repeated.add(lower)
            else:
                found[lower] = value

    def has(self, name: bytes) -> bool:
        """Tell whether there is a field ``name`` (small letters)."""
        return name in self._found

    @property
    def hops(self) -> int:
        """How many servers the message has passed."""
        return len(self._all(b"received"))

    def marks(self, mark: bytes) -> int:
        """Return how many of the Received fields contain ``mark``."""
        return sum(mark in value for value in self._all(b"received")) if mark else 0

    def value(self, name: bytes) -> bytes:
        """Return the value of the first field ``name`` on one line, empty when there is none."""
        value = self._found.get(name, b"").strip()
        return _FOLD.sub(b" ", value) if value.find(b"\n") >= 0 else value

    def values(self, name: bytes) -> bytes:
        """Return the values of all fields ``name`` as one list on one line; there should be one, there may be more."""
        if name not in self._repeated:
            return self.value(name)
        return b", ".join(_FOLD.sub(b" ", value.strip()) for value in self._all(name))

    def _all(self, name: bytes) -> list[bytes]:
        if name not in self._found:
            return []
        return [value for other, value in _FIELDS.findall(b"\n" + self.text) if other.lower() == name]

    def without(self, *names: bytes) -> list[Edit]:
        """Return the edits that take every field of ``names`` out."""
        if self._found.keys().isdisjoint(names):
            return []
        fields = _FIELDS.finditer(b"\n" + self.text)  # each with the line end before it, without its own: as long
        return [Edit(*field.span()) for field in fields if field[1].lower() in names]

    def edited(self, edits: Sequence[Edit]) -> bytes:
        """Return the text with ``edits`` made."""
        if not edits:
            return self.text
        parts: list[bytes] = []
        end = 0
        for edit in sorted(edits, key=lambda edit: edit.begin):
            parts += (self.text[end : edit.begin], edit.text)
            end = edit.end
        return b"".join((*parts, self.text[end:]))


def divide(text: bytes) -> tuple[bytes, bytes] | None:
    """Return header and rest of what has come, the empty line at the beginning of the rest; None before it came."""
    end = text.find(b"\r\n\r\n", 0, HEADER_MAX + 4) + 2
    if is_header(text):
        return (text[:end], text[end:]) if end > 1 else None
    if end > 1 or len(text) > 256:  # some devices send text and nothing else
        return b"", b"\r\n" + text
    return (b"", text) if text.startswith(b"\r\n") else None


class HeaderSplit:
    """Collects the first pieces of a message until its header is complete."""

    __slots__ = ("_held",)

    def __init__(self, held: bytes = b"") -> None:
        self._held = held

    @property
    def too_long(self) -> bool:
        """More than ``HEADER_MAX`` octets came and no end of the header."""
        return len(self._held) > HEADER_MAX

    def feed(self, piece: bytes) -> tuple[bytes, bytes] | None:
        """Return header and rest, the empty line at the beginning of the rest; None until the header is complete."""
        held = self._held = self._held + piece if self._held else piece
        return divide(held)

    def finish(self) -> tuple[bytes, bytes]:
        """Return header and rest of a message that ended before its header did."""
        if not is_header(self._held):
            return b"", b"\r\n" + self._held
        return self._held if self._held.endswith(b"\r\n") else self._held + b"\r\n", b""


def is_header(text: bytes) -> bool:
    """Tell whether ``text`` begins with a header field."""
    return _FIRST.match(text) is not None
