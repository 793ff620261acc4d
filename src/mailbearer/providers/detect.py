"""Finding the provider of an e-mail address: by its domain or its mail exchangers; DNS is asked elsewhere."""

import re
from collections.abc import Iterable

from mailbearer.model.envelope import domain_of
from mailbearer.model.provider import Provider
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.providers.hosts import normal

_ENDING = r"(?:com|net|[a-z]{2}|co\.[a-z]{2}|com\.[a-z]{2})"  # what the * of "hotmail.*" stands for


def detect_by_domain(address: str) -> str | None:
    """Return the id of the provider whose own domain ``address`` has."""
    domain = normal(domain_of(address))
    for provider in load_catalogue().all():
        if any(_pattern(written).fullmatch(domain) for written in provider.domains):
            return provider.id
    return None


def detect_by_mx(mx_hosts: Iterable[str]) -> str | None:
    """Return the id of the provider that the mail exchangers belong to; the longest fitting ending wins."""
    hosts = [normal(host) for host in mx_hosts]
    found = [
        (len(suffix), provider.id)
        for provider in load_catalogue().all()
        for suffix in provider.mx_suffixes
        if any(host == suffix or host.endswith(f".{suffix}") for host in hosts)
    ]
    return max(found)[1] if found else None


def detect_by_host(host: str) -> Provider | None:
    """Return the provider that a mail server belongs to."""
    name = normal(host)
    for provider in load_catalogue().all():
        if any(server.host == name for servers in provider.servers.values() for server in servers):
            return provider
    return None


def _pattern(written: str) -> re.Pattern[str]:
    """Return what a domain of the catalogue stands for: itself, ``*.domain``, or ``name.*`` in any country."""
    if written.startswith("*."):
        return re.compile(rf"(?:[a-z0-9-]+\.)+{re.escape(written[2:])}")
    if written.endswith(".*"):
        return re.compile(rf"{re.escape(written[:-2])}\.{_ENDING}")
    return re.compile(re.escape(written))
