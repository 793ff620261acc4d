"""Devices: the printers, NAS boxes and scripts that send through our listeners with credentials of their own."""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NewType

from mailbearer.model.envelope import domain_of
from mailbearer.model.service import ServiceId

DeviceId = NewType("DeviceId", str)


class FromPolicy(StrEnum):
    """What becomes of the sender that a device writes (SPEC 5)."""

    AS_IS = "as-is"
    REPLACE = "replace"  # by the Sender Address of the service; the original is kept in Reply-To
    REFUSE = "refuse"  # whatever is not the Sender Address of the service


@dataclass(frozen=True, slots=True)
class Device:
    """One device. Empty ``networks`` and ``allowed_senders`` mean any; ``per_hour`` 0 means without limit."""

    id: DeviceId
    title: str
    service: ServiceId
    networks: tuple[str, ...] = ()  # CIDR
    by_address: bool = False  # known by its source address, it need not sign in
    allowed_senders: tuple[str, ...] = ()  # addresses, or @domain
    from_policy: FromPolicy = FromPolicy.REPLACE
    per_hour: int = 0
    size_max: int = 0  # octets; 0: that of the listener
    enabled: bool = True
    version: int = 1

    def may_come_from(self, address: str) -> bool:
        """Tell whether the device may connect from the IP ``address``."""
        return not self.networks or in_networks(address, self.networks)

    def may_send_as(self, address: str) -> bool:
        """Tell whether ``address`` may be the reverse-path; the empty one, of reports, always may."""
        if not address or not self.allowed_senders:
            return True
        wanted = {address.lower(), f"@{domain_of(address)}"}
        return any(sender.lower() in wanted for sender in self.allowed_senders)


class CredentialKind(StrEnum):
    """Who thought of the password."""

    GENERATED = "generated"  # we: at least 120 bits, kept as a keyed hash
    CHOSEN = "chosen"  # a person: kept as an argon2id string


@dataclass(frozen=True, slots=True)
class Credential:
    """One user name of a device and what is kept of its password; a device may have several."""

    id: str
    device: DeviceId
    user: str
    kind: CredentialKind
    kept: bytes = field(repr=False)
    created_at: datetime
    last_used: datetime | None = None


@lru_cache(maxsize=4096)  # asked at each message; to read an address and a network takes 8 µs
def in_networks(address: str, networks: tuple[str, ...]) -> bool:
    """Tell whether the IP ``address`` lies in one of ``networks`` (CIDR); what is no address lies in none."""
    if not networks:
        return False
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(network, strict=False) for network in networks)
