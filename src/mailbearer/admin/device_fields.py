"""The fields of a device as texts: reading and checking what somebody typed, and showing what is set."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mailbearer.admin.fields import Field, plain, word, wrong
from mailbearer.model.device import Device, FromPolicy
from mailbearer.model.envelope import is_address
from mailbearer.model.service import ServiceId

LIST_MAX: Final = 100  # networks, or senders, of a device
PER_HOUR_MAX: Final = 1_000_000
MEGABYTES_MAX: Final = 150
MEGABYTE: Final = 1_000_000
WIDEST: Final = {4: 16, 6: 48}
"""Bits that a network needs at least by which a device is known without a password: a site has no more addresses."""

_BETWEEN = re.compile(r"[\s,;]+")
_SIZE = re.compile(r"(\d{1,6}) ?(?:mb)?")
_WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def yes_or_no(label: str, text: str) -> bool:
    """Return what ``yes`` or ``no`` says."""
    found = _WORDS.get(plain(label, text).lower())
    if found is None:
        raise wrong(label, "say yes or no")
    return found


def networks(label: str, text: str) -> tuple[str, ...]:
    """Return addresses and ranges such as ``192.168.20.0/24``, with blanks or commas between them."""
    return tuple(dict.fromkeys(_network(label, each) for each in _listed(label, text)))


def senders(label: str, text: str) -> tuple[str, ...]:
    """Return addresses and whole domains such as ``@example.org``, with blanks or commas between them."""
    found = _listed(label, text)
    for each in found:
        if not is_address(each) and not (each.startswith("@") and is_address(f"x{each}")):
            raise wrong(label, f"“{each}” is neither an address nor a domain such as @example.org")
    return found


def check(device: Device) -> None:
    """See whether the fields of ``device`` go together.

    Raises:
        InvalidInputError: MB-W05, they do not.
    """
    if not device.by_address:
        return
    if not device.networks:
        raise wrong("Known by address", "say first in Allowed from which address that is: networks=192.168.20.31")
    for each in device.networks:
        network = ipaddress.ip_network(each)
        if network.prefixlen < WIDEST[network.version]:
            raise wrong("Allowed from", f"{each} is too wide to let everybody there send without a password")


def _listed(label: str, text: str) -> tuple[str, ...]:
    found = tuple(each for each in _BETWEEN.split(text) if each)
    if len(found) > LIST_MAX:
        raise wrong(label, f"enter at most {LIST_MAX}")
    return tuple(plain(label, each, most=320) for each in found)


def _network(label: str, text: str) -> str:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise wrong(label, f"“{text}” is no address or range; write 192.168.20.31 or 192.168.20.0/24") from error
    return str(found.network_address) if found.num_addresses == 1 else str(found)


def _count(label: str, text: str, most: int) -> int:
    text = plain(label, text) or "0"
    if not text.isascii() or not text.isdigit() or int(text[:8]) > most:
        raise wrong(label, f"enter a number up to {most}; 0 is without limit")
    return int(text)


def _size(label: str, text: str) -> int:
    found = _SIZE.fullmatch(plain(label, text).lower() or "0")
    if found is None or int(found[1]) > MEGABYTES_MAX:
        raise wrong(label, f"enter a number of MB up to {MEGABYTES_MAX}; 0 is that of the listener")
    return int(found[1]) * MEGABYTE


def _service(text: str) -> ServiceId:
    name = plain("Service", text)
    if not name:
        raise wrong("Service", "say by which service it sends")
    return ServiceId(name)


def _shown(value: bool) -> str:
    return "yes" if value else "no"


_FIELDS: tuple[Field[Device], ...] = (
    Field("title", "Description", lambda d, t: replace(d, title=plain("Description", t)), lambda d: d.title),
    Field("service", "Service", lambda d, t: replace(d, service=_service(t)), lambda d: d.service),
    Field(
        "networks",
        "Allowed from",
        lambda d, t: replace(d, networks=networks("Allowed from", t)),
        lambda d: " ".join(d.networks),
    ),
    Field(
        "by_address",
        "Known by address",
        lambda d, t: replace(d, by_address=yes_or_no("Known by address", t)),
        lambda d: _shown(d.by_address),
    ),
    Field(
        "allowed_senders",
        "May send as",
        lambda d, t: replace(d, allowed_senders=senders("May send as", t)),
        lambda d: " ".join(d.allowed_senders),
    ),
    Field(
        "from_policy",
        "Sender of its mail",
        lambda d, t: replace(d, from_policy=word("Sender of its mail", t, FromPolicy)),
        lambda d: d.from_policy,
    ),
    Field(
        "per_hour",
        "Messages an hour",
        lambda d, t: replace(d, per_hour=_count("Messages an hour", t, PER_HOUR_MAX)),
        lambda d: str(d.per_hour) if d.per_hour else "",
    ),
    Field(
        "size_max",
        "Largest message",
        lambda d, t: replace(d, size_max=_size("Largest message", t)),
        lambda d: f"{d.size_max // MEGABYTE} MB" if d.size_max else "",
    ),
    Field(
        "enabled",
        "Switched on",
        lambda d, t: replace(d, enabled=yes_or_no("Switched on", t)),
        lambda d: _shown(d.enabled),
    ),
)
DEVICE_FIELDS: Mapping[str, Field[Device]] = {each.name: each for each in _FIELDS}
