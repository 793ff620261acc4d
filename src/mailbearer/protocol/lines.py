"""Lines of SMTP and POP3: they end with CR LF and nothing else (RFC 5321 section 2.3.8, RFC 1939 section 3)."""

import re
from typing import Final, Literal

from mailbearer.errors import LimitExceededError, RemoteProtocolError

Letter = Literal["S", "P"]
"""Whose error codes are raised: ``S`` for SMTP, ``P`` for POP3."""

BACKLOG_MAX: Final = 1_048_576
"""Octets that may wait unread; a core that is drained after every read never holds a tenth of it."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class LineBuffer:
    """Takes bytes as they come and gives whole lines of at most ``limit`` octets (CR LF not counted).

    A CR or LF that is not part of a CR LF pair is never a line end and never content: it is an error. Where the bytes
    were cut makes no difference. ``limit`` may be set anew between two lines.
    """

    __slots__ = ("_letter", "_scanned", "held", "limit")

    def __init__(self, limit: int, *, letter: Letter = "S") -> None:
        self.limit = limit
        self._letter = letter
        self.held = bytearray()  # what waits, to be looked at only
        self._scanned = 0  # no LF before this offset: a line that comes octet by octet is not searched again and again

    def __len__(self) -> int:
        return len(self.held)

    def feed(self, data: bytes) -> None:
        """Add ``data``.

        Raises:
            LimitExceededError: more than ``BACKLOG_MAX`` octets wait unread.
        """
        if len(self.held) + len(data) > BACKLOG_MAX:
            raise LimitExceededError(f"MB-{self._letter}31", limit=f"{BACKLOG_MAX} bytes", what="at once")
        self.held += data

    def next_line(self) -> bytes | None:
        """Return the next line without its CR LF, or None until it is complete.

        Raises:
            LimitExceededError: the line is longer than ``limit``.
            RemoteProtocolError: a CR or LF stands alone.
        """
        if not self.held:
            return None
        end = self.held.find(b"\n", self._scanned)
        length = len(self.held) if end < 0 else end
        if length > self.limit + 1:  # + 1: the CR
            raise LimitExceededError(f"MB-{self._letter}31", limit=f"{self.limit} bytes", what="in one line")
        if end < 0:
            self._scanned = length
            return None
        if end == 0 or self.held.find(b"\r", 0, end) != end - 1:
            raise RemoteProtocolError(f"MB-{self._letter}30", problem="a line does not end with CR LF")
        line = bytes(self.held[: end - 1])
        del self.held[: end + 1]
        self._scanned = 0
        return line

    def take(self) -> bytes:
        """Return everything that waits, and forget it."""
        rest = bytes(self.held)
        self.held.clear()
        self._scanned = 0
        return rest


def is_plain(text: str) -> bool:
    """Tell whether ``text`` can stand in a line: no control characters, and nothing that UTF-8 cannot carry."""
    return _CONTROL.search(text) is None


def without_controls(text: str) -> str:
    """Return ``text`` so that it is plain: what cannot stand in a line becomes a space."""
    return _CONTROL.sub(" ", text)


def excerpt(line: bytes) -> str:
    """Return the beginning of a line that could not be read, for the detail of an error."""
    return without_controls(line[:200].decode(errors="replace"))
