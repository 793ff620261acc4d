"""What a device, or somebody who pretends to be one, may take of us. Each default names where it comes from."""

import ipaddress
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mailbearer.model.device import DeviceId

HOUR: Final = 3600.0
ADDRESSES_KEPT: Final = 10_000
"""Addresses whose failures are remembered; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one listener; all can be set. Times in seconds, sizes in octets."""

    connections: int = 1_000  # at 40 KiB for an idle TLS session, 40 MiB; Postfix: 100 processes
    connections_per_address: int = 50  # Postfix: smtpd_client_connection_count_limit
    size_max: int = 35_000_000  # what Exchange Online takes without being asked to take more
    recipients_max: int = 500  # Exchange Online; RFC 5321 section 4.5.3.1.8 asks for at least 100
    mistakes_max: int = 10  # Postfix: smtpd_soft_error_limit
    sign_ins_max: int = 5  # refused ones in one connection
    arrival: float = 60.0  # from the connection to the first accepted MAIL or sign-in
    command: float = 300.0  # RFC 5321 section 4.5.3.2.7
    handshake: float = 10.0  # RFC 9325 has none; Dovecot and nginx are longer, and no printer needs as much
    session: float = 1_800.0  # then 421 between two messages, so that no connection lives for ever
    data_rate: int = 100  # octets a second while a message comes …
    data_grace: float = 30.0  # … after so long
    unread: float = 60.0  # how long a client may leave our replies unread
    first_byte: float = 1.0  # on a port with and without TLS: a client that is silent so long expects a greeting
    farewell: float = 10.0  # for messages that are under way when the listener closes


class Places:
    """How many connections there are, in all and from each address."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self.taken = 0

    def enter(self, address: str) -> bool:
        """Take a place for ``address``; False when there is none."""
        net = network_of(address)
        if self.taken >= self._limits.connections or self._by_address[net] >= self._limits.connections_per_address:
            return False
        self._by_address[net] += 1
        self.taken += 1
        return True

    def leave(self, address: str) -> None:
        """Give the place back."""
        net = network_of(address)
        self.taken -= 1
        self._by_address[net] -= 1
        if not self._by_address[net]:
            del self._by_address[net]


class HourlyCount:
    """Messages of each device within the last hour; times are seconds of wall time, as the queue has them."""

    def __init__(self) -> None:
        self._times: dict[DeviceId, deque[float]] = {}

    def remember(self, stored: Mapping[DeviceId, Iterable[float]]) -> None:
        """Take over what the queue holds of the devices that have a limit; the others are forgotten."""
        self._times = {
            device: deque(sorted({*times, *self._times.get(device, ())})) for device, times in stored.items()
        }

    def reached(self, device: DeviceId, per_hour: int, now: float) -> bool:
        """Tell whether ``device`` has sent all it may; 0 is without limit. A clock that was set back locks nobody."""
        times = self._times.get(device)
        if not per_hour or not times:
            return False
        while times and not now - HOUR < times[0] <= now:
            times.popleft()
        return len(times) >= per_hour

    def note(self, device: DeviceId, at: float) -> None:
        """Count a message of a device that has a limit, accepted at ``at``."""
        self._times.setdefault(device, deque()).append(at)


@dataclass(slots=True)
class _Failures:
    count: int
    last: float
    free_at: float


class Penalties:
    """Wrong passwords of each address: the more, the longer the next answer takes, one after the other."""

    FREE: Final = 3
    """Failures that cost nothing but the time of the answer."""
    STEPS: Final = (2.0, 4.0, 8.0, 15.0)
    """Seconds from the fourth failure on: Dovecot's, as measured."""
    FORGOTTEN: Final = 900.0
    """Seconds after the last failure."""
    QUEUE: Final = 60.0
    """Seconds that an attempt waits at most; longer, and it is refused unseen."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, address: str, now: float) -> float | None:
        """Return the seconds until an attempt from ``address`` may be looked at; None when there are too many."""
        found = self._failures.get(network_of(address))
        if found is None or now - found.last > self.FORGOTTEN or found.count <= self.FREE:
            return 0.0
        begin = max(found.free_at, now)
        if begin - now > self.QUEUE:
            return None
        found.free_at = begin + self.STEPS[min(found.count - self.FREE, len(self.STEPS)) - 1]
        return found.free_at - now

    def note(self, address: str, now: float) -> int:
        """Count a failure; return how many there are."""
        net = network_of(address)
        found = self._failures.pop(net, None)
        if found is None or now - found.last > self.FORGOTTEN:
            found = _Failures(0, now, now)
        found.count += 1
        found.last = now
        self._failures[net] = found
        if len(self._failures) > ADDRESSES_KEPT:
            self._failures.popitem(last=False)
        return found.count


def network_of(address: str) -> str:
    """Return what counts as one host: an IPv4 address, of IPv6 the /64 that one subscriber has."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, 64), strict=False))
