"""What a server offers in its answer to EHLO (RFC 5321 section 4.1.1.1)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from mailbearer.protocol.smtp.replies import Reply

_KEYWORD = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =]+(.*))?")
_SIZE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Extensions:
    """The extensions that Mailbearer knows; ``size`` is the largest message in octets, None when not told."""

    size: int | None = None
    auth: frozenset[str] = frozenset()
    pipelining: bool = False
    starttls: bool = False
    eight_bit: bool = False
    utf8: bool = False
    dsn: bool = False
    chunking: bool = False

    @classmethod
    @lru_cache(maxsize=64)  # a server says the same to all
    def of(cls, reply: Reply) -> Self:
        """Read the answer to EHLO, in which the first line is the server's name; unknown keywords are passed over."""
        offered: dict[str, list[str]] = {}
        for line in reply.lines[1:]:
            match = _KEYWORD.fullmatch(line.strip())
            if match is not None:  # "AUTH=LOGIN" is how old servers write "AUTH LOGIN"
                offered.setdefault(match[1].upper(), []).extend((match[2] or "").upper().split())
        return cls(
            size=_size(offered.get("SIZE", [])),
            auth=frozenset(offered.get("AUTH", [])),
            pipelining="PIPELINING" in offered,
            starttls="STARTTLS" in offered,
            eight_bit="8BITMIME" in offered,
            utf8="SMTPUTF8" in offered,
            dsn="DSN" in offered,
            chunking="CHUNKING" in offered,
        )


def _size(values: list[str]) -> int | None:
    """Return the limit; 0 means that there is none (RFC 1870 section 4)."""
    if values and _SIZE.fullmatch(values[0]):
        return int(values[0]) or None
    return None
