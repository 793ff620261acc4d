"""Replies of SMTP (RFC 5321 section 4.2) with enhanced status codes (RFC 2034, RFC 3463), read and written."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from mailbearer.errors import LimitExceededError, RemoteProtocolError
from mailbearer.protocol.lines import excerpt, without_controls

REPLY_LINE_MAX: Final = 8192
"""Octets of one reply line. RFC 5321 section 4.5.3.1.5 says 512; servers in the field exceed it."""

REPLY_LINES_MAX: Final = 200
"""Lines of one reply; the longest EHLO answers have about twenty."""

KNOWN_LINE_MAX: Final = 80
"""Octets of a line whose meaning may be kept in memory."""

WRITTEN_LINE_MAX: Final = 510
"""Octets of a line that we write, without CR LF (RFC 5321 section 4.5.3.1.5)."""

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. ``lines`` is without the codes; ``str`` gives all in one line as a person would quote it."""

    code: int
    enhanced: str = ""
    lines: tuple[str, ...] = ("",)
    encoded: bytes = field(default=b"", repr=False, compare=False)  # for the wire, once it is known

    @property
    def wire(self) -> bytes:
        """The reply for the wire, made once. Control characters become spaces, long lines are cut."""
        if not self.encoded:
            object.__setattr__(self, "encoded", _encoded(self))
        return self.encoded

    @property
    def text(self) -> str:
        """All lines as one, without the codes."""
        return " ".join(line for line in self.lines if line)

    @property
    def positive(self) -> bool:
        """It was done, or goes on (2xx, 3xx)."""
        return self.code < 400

    @property
    def transient(self) -> bool:
        """It failed, and may succeed later (4xx)."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """It failed, and will fail again (5xx)."""
        return self.code >= 500

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class ReplyReader:
    """Puts lines together to replies."""

    __slots__ = ("_code", "_lines")

    def __init__(self) -> None:
        self._code = b""
        self._lines: list[str] = []

    def take(self, line: bytes) -> Reply | None:
        """Add a line (without CR LF); return the reply when it was the last one.

        Raises:
            RemoteProtocolError: it is no reply line, or of another code than the lines before.
            LimitExceededError: more than ``REPLY_LINES_MAX`` lines.
        """
        if not self._lines and len(line) <= KNOWN_LINE_MAX and line[3:4] == b" ":
            return _known(line)
        match = _LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("MB-S30", problem="a reply does not begin with a code", detail=excerpt(line))
        code, mark, text = match.groups(b"")
        if self._lines and code != self._code:
            raise RemoteProtocolError("MB-S30", problem="one reply has two codes", detail=excerpt(line))
        if len(self._lines) == REPLY_LINES_MAX:
            raise LimitExceededError("MB-S31", limit=f"{REPLY_LINES_MAX} lines", what="in one reply")
        self._code = code
        self._lines.append(text.decode(errors="replace"))
        if mark == b"-":
            return None
        lines, self._lines = self._lines, []
        return _reply(int(code), lines)


@lru_cache(maxsize=256)
def _known(line: bytes) -> Reply:
    """Return the reply of one short line; servers say the same ones again and again."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("MB-S30", problem="a reply does not begin with a code", detail=excerpt(line))
    return _reply(int(match[1]), [(match[3] or b"").decode(errors="replace")])


def _reply(code: int, lines: list[str]) -> Reply:
    match = _ENHANCED.match(lines[0])
    if match is None:
        return Reply(code, "", tuple(lines))
    enhanced = match[1]
    return Reply(code, enhanced, tuple(_without(enhanced, line) for line in lines))


def _without(enhanced: str, line: str) -> str:
    match = _ENHANCED.match(line)
    return line[match.end() :] if match is not None and match[1] == enhanced else line


def encode_reply(reply: Reply) -> bytes:
    """Return ``reply`` for the wire."""
    return reply.wire


def _encoded(reply: Reply) -> bytes:
    prefix = f"{reply.enhanced} " if reply.enhanced else ""
    lines = reply.lines or ("",)
    if len(lines) == 1:
        return _written(f"{reply.code} {prefix}{lines[0]}")
    last = len(lines) - 1
    return b"".join(
        _written(f"{reply.code}{' ' if number == last else '-'}{prefix}{line}") for number, line in enumerate(lines)
    )


def _written(line: str) -> bytes:
    data = without_controls(line).encode()
    if len(data) > WRITTEN_LINE_MAX:
        data = data[:WRITTEN_LINE_MAX].decode(errors="ignore").encode()  # never half a character
    return data + b"\r\n"
