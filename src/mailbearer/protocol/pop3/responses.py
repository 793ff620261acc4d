"""The grammar of POP3's answers (RFC 1939 section 9, RFC 2449, RFC 3206)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from mailbearer.errors import RemoteProtocolError
from mailbearer.protocol.lines import excerpt

UIDL_MAX: Final = 255
"""Characters of a unique-id. RFC 1939 section 7 allows 70; servers in the field exceed it."""

_STAT = re.compile(r"([0-9]{1,9}) +([0-9]{1,18})(?: .*)?")
_LIST = re.compile(rb"([0-9]{1,9}) +([0-9]{1,18})(?: .*)?", re.DOTALL)
_UIDL = re.compile(rb"([0-9]{1,9}) +([!-~]{1,%d}) *" % UIDL_MAX)
_KEYWORD = re.compile(r"([!-~]+)(?: +(.*))?")
_CODE = re.compile(r"\[([A-Za-z0-9-]+(?:/[A-Za-z0-9-]+)*)\]")


@dataclass(frozen=True, slots=True)
class Stat:
    """The answer to STAT: how many messages, and their octets together."""

    count: int
    size: int


def parse_stat(text: str) -> Stat:
    """Read the text after ``+OK`` of the answer to STAT.

    Raises:
        RemoteProtocolError: it is not two numbers.
    """
    match = _STAT.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("MB-P30", problem="the answer to STAT is not two numbers", detail=text[:200])
    return Stat(int(match[1]), int(match[2]))


def parse_list(line: bytes) -> tuple[int, int]:
    """Read a line of the answer to LIST: message number, octets.

    Raises:
        RemoteProtocolError: it is not two numbers.
    """
    match = _LIST.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("MB-P30", problem="a line of LIST is not two numbers", detail=excerpt(line))
    return int(match[1]), int(match[2])


def parse_uidl(line: bytes) -> tuple[int, str]:
    """Read a line of the answer to UIDL: message number, unique-id.

    Raises:
        RemoteProtocolError: it is not, or the unique-id has other characters than RFC 1939 section 7 allows.
    """
    match = _UIDL.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("MB-P30", problem="a line of UIDL has no unique-id", detail=excerpt(line))
    return int(match[1]), match[2].decode("ascii")


def response_code(text: str) -> str:
    """Return the response code at the beginning of an answer's text, ``IN-USE`` or ``SYS/TEMP``, else an empty text."""
    match = _CODE.match(text)
    return match[1].upper() if match else ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server offers in its answer to CAPA, as far as Mailbearer knows it."""

    stls: bool = False
    sasl: frozenset[str] = frozenset()
    user: bool = False
    uidl: bool = False
    top: bool = False
    resp_codes: bool = False
    auth_resp_code: bool = False
    pipelining: bool = False
    utf8: bool = False

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> Self:
        """Read the lines of the answer; unknown words are passed over."""
        offered: dict[str, set[str]] = {}
        for line in lines:
            match = _KEYWORD.fullmatch(line.decode(errors="replace").strip())
            if match is not None:
                offered.setdefault(match[1].upper(), set()).update((match[2] or "").upper().split())
        return cls(
            stls="STLS" in offered,
            sasl=frozenset(offered.get("SASL", ())),
            user="USER" in offered,
            uidl="UIDL" in offered,
            top="TOP" in offered,
            resp_codes="RESP-CODES" in offered,
            auth_resp_code="AUTH-RESP-CODE" in offered,
            pipelining="PIPELINING" in offered,
            utf8="UTF8" in offered,
        )
