"""The arguments of MAIL and RCPT (RFC 5321 section 4.1.2), as servers must take them and devices write them."""

import re
from dataclasses import dataclass, field
from typing import Final

_BOX: Final = rb'(?:@[^:<>"]*:)?((?:"(?:[^"\\]|\\.)*"|[^<>"])*)'  # a source route is read over (section 4.1.1.3)
_PATH = re.compile(rb"(FROM|TO):( *)(?:<" + _BOX + rb'>|([^<>" ]+))(?: +(.*))?', re.DOTALL | re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Z0-9][A-Z0-9-]*)(?:=([!-<>-~]+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Path:
    """What stands between the angle brackets, and the parameters behind; their names are in capitals.

    ``bare`` when the brackets are missing, ``blank`` when there is a space before them.
    """

    address: str
    parameters: dict[str, str]
    bare: bool = field(default=False, compare=False)
    blank: bool = field(default=False, compare=False)


def read_path(argument: bytes, keyword: bytes) -> Path | None:
    """Read ``FROM:<address> NAME=VALUE …`` or, by ``keyword``, ``TO:…``; None when it is not that.

    Many devices put a space before the bracket, some leave the brackets out; both are understood, and told.
    """
    match = _PATH.fullmatch(argument)
    if match is None or match[1].upper() != keyword:
        return None
    parameters: dict[str, str] = {}
    for word in (match[5] or b"").decode(errors="replace").split(" "):
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None and word:
            return None
        if parameter is not None:
            parameters[parameter[1].upper()] = parameter[2] or ""
    try:
        address = (match[3] or match[4] or b"").decode()
    except UnicodeDecodeError:
        return None
    return Path(address, parameters, bare=match[4] is not None, blank=bool(match[2]))
