"""The parameters by which a sender asks for delivery reports (RFC 3461 section 4): read and checked."""

import re
from typing import Final

ENVID_MAX: Final = 100
"""Characters of ENVID before decoding, RFC 3461 section 4.4."""

ORCPT_MAX: Final = 500
"""Characters of ORCPT, RFC 3461 section 4.2."""

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_CODED = re.compile(r"\+([0-9A-F]{2})")
_PRINTABLE = re.compile(r"[ -~]+")
_ORCPT = re.compile(r"([A-Za-z0-9-]{1,40});(.+)")
_NOTIFY: Final = frozenset({"SUCCESS", "FAILURE", "DELAY"})


def read_ret(value: str) -> str | None:
    """Return FULL or HDRS, None when ``value`` is neither."""
    wanted = value.upper()
    return wanted if wanted in {"FULL", "HDRS"} else None


def read_envid(value: str) -> str | None:
    """Return the envelope identifier, decoded; None when it cannot be one."""
    return _decoded(value) if len(value) <= ENVID_MAX else None


def read_notify(value: str) -> tuple[str, ...] | None:
    """Return the words of NOTIFY, NEVER alone or others without repetition; None when it is neither."""
    words = tuple(value.upper().split(","))
    if words == ("NEVER",) or (set(words) <= _NOTIFY and len(set(words)) == len(words)):
        return words
    return None


def read_orcpt(value: str) -> str | None:
    """Return the original recipient as ``type;address``, decoded; None when it cannot be."""
    match = _ORCPT.fullmatch(value) if len(value) <= ORCPT_MAX else None
    address = _decoded(match[2]) if match is not None else None
    return f"{match[1].lower()};{address}" if match is not None and address is not None else None


def _decoded(xtext: str) -> str | None:
    """Return what ``xtext`` (RFC 3461 section 4) stands for: printable ASCII, or None."""
    if not _XTEXT.fullmatch(xtext):
        return None
    text = _CODED.sub(lambda coded: chr(int(coded[1], 16)), xtext)
    return text if _PRINTABLE.fullmatch(text) else None
