"""The header by which a proxy in front tells who really connects: PROXY protocol, versions 1 and 2 (haproxy.org)."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from mailbearer.errors import RemoteProtocolError
from mailbearer.protocol.lines import excerpt

V1_MAX: Final = 107
"""Octets of a header of version 1, CR LF included (section 2.1)."""

V2_MAX: Final = 16 + 4_096
"""Octets of a header of version 2: those of the proxies in use are below 600, whatever is behind is no header."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: .*)?|(TCP4|TCP6) ([0-9A-Fa-f:.]{2,45}) [0-9A-Fa-f:.]{2,45} [0-9]{1,5} [0-9]{1,5})"
)
_ADDRESS_OCTETS: Final = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6


@dataclass(frozen=True, slots=True)
class Proxied:
    """Who connects (empty when it is the proxy itself), and what came behind the header."""

    address: str
    rest: bytes


def read_proxy_header(data: bytes) -> Proxied | None:
    """Read the header at the beginning of a connection; None until it is complete.

    Raises:
        RemoteProtocolError: there is none, or it cannot be read.
    """
    if data.startswith(_SIGNATURE):
        return _version_2(data)
    if data.startswith(b"PROXY "):
        return _version_1(data)
    if _SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise _broken(data)


def _version_1(data: bytes) -> Proxied | None:
    end = data.find(b"\r\n", 0, V1_MAX)
    if end < 0:
        if len(data) >= V1_MAX:
            raise _broken(data)
        return None
    match = _V1.fullmatch(data[:end])
    if match is None:
        raise _broken(data)
    return Proxied(_checked(match[2].decode(), 4 if match[1] == b"TCP4" else 6) if match[2] else "", data[end + 2 :])


def _version_2(data: bytes) -> Proxied | None:
    if len(data) < 16:
        return None
    end = 16 + int.from_bytes(data[14:16], "big")
    command, family = data[12], data[13]
    if command not in {0x20, 0x21} or end > V2_MAX:
        raise _broken(data)
    if len(data) < end:
        return None
    octets = _ADDRESS_OCTETS.get(family, 0)
    if command == 0x20 or not octets:  # LOCAL: the proxy's own health check; or not TCP over IP
        return Proxied("", data[end:])
    if end < 16 + 2 * octets + 4:
        raise _broken(data)
    return Proxied(str(ipaddress.ip_address(data[16 : 16 + octets])), data[end:])


def _checked(text: str, version: int) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise _broken(text.encode()) from error
    if found.version != version:
        raise _broken(text.encode())
    return str(found)


def _broken(data: bytes) -> RemoteProtocolError:
    return RemoteProtocolError("MB-S30", host="the proxy", problem="no PROXY header", detail=excerpt(data))
