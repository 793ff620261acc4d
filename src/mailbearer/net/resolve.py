"""From a name to addresses, by the system's resolver."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from mailbearer.errors import ConnectError
from mailbearer.net.route import Route

RESOLVE_SECONDS = 20.0
ADDRESSES_MAX = 8  # more are not tried
_NAMES_OF_ABSENCE = ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
NO_SUCH_NAME = {getattr(socket, name) for name in _NAMES_OF_ABSENCE if hasattr(socket, name)}


@dataclass(frozen=True, slots=True)
class Address:
    """One address to connect to, as the socket module wants it."""

    family: socket.AddressFamily
    sockaddr: tuple[str | int, ...]

    @property
    def ip(self) -> str:
        """The address in its usual spelling."""
        return str(self.sockaddr[0])


Lookup = Callable[[str, int], list[Address]]


def system_lookup(host: str, port: int) -> list[Address]:
    """Ask the system; blocks."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [
        Address(family, tuple(part if isinstance(part, int) else str(part) for part in address))
        for family, _, _, _, address in found
        if family in {socket.AF_INET, socket.AF_INET6}
    ]


async def resolve(route: Route, *, lookup: Lookup = system_lookup) -> tuple[Address, ...]:
    """Return the addresses of the route's host in the order to try: families take turns (RFC 8305 section 4).

    Raises:
        ConnectError: the name does not exist (S01), or names cannot be looked up (S02).
    """
    try:
        async with asyncio.timeout(route.patience(RESOLVE_SECONDS)):
            found = await asyncio.get_running_loop().run_in_executor(None, lookup, route.host, route.port)
    except (TimeoutError, UnicodeError, OSError) as error:
        raise _explained(error, route) from error
    if not found:
        raise ConnectError(route.code(1), host=route.host)
    return _families_in_turn(found)[:ADDRESSES_MAX]


def _explained(error: Exception, route: Route) -> ConnectError:
    unknown = isinstance(error, UnicodeError) or (isinstance(error, socket.gaierror) and error.errno in NO_SUCH_NAME)
    return ConnectError(route.code(1 if unknown else 2), host=route.host, detail=str(error))


def _families_in_turn(found: list[Address]) -> tuple[Address, ...]:
    first = [address for address in found if address.family == found[0].family]
    other = [address for address in found if address.family != found[0].family]
    longer = max(len(first), len(other))
    return tuple(address for place in range(longer) for row in (first, other) for address in row[place : place + 1])
