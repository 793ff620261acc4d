"""Which mail servers may see a token of a provider: its own, and those that the administrator added to it."""

from difflib import get_close_matches

from mailbearer.model.provider import Provider, Registration
from mailbearer.providers.catalogue import load_catalogue

SIMILAR = 0.8  # how near a name must be to be suggested; smtp.ofice365.com is 0.97 from the right one


def normal(host: str) -> str:
    """Return ``host`` as it is compared: small letters, ASCII form of international names, no final dot."""
    name = host.strip().rstrip(".").lower()
    try:
        return name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        return name


def known_hosts(provider: Provider, registration: Registration) -> tuple[str, ...]:
    """Return the servers that a token of ``provider`` may be shown to."""
    own = (server.host for servers in provider.servers.values() for server in servers)
    return tuple(dict.fromkeys(normal(host) for host in (*own, *registration.extra_hosts)))


def allows(provider: Provider, registration: Registration, host: str) -> bool:
    """May a token of ``provider`` be shown to ``host``? Whole names only: a subdomain is another server."""
    name = normal(host)
    return bool(name) and name in known_hosts(provider, registration)


def suggest_host(wrong: str) -> str | None:
    """Return the server of the catalogue that ``wrong`` may be a typing error of."""
    name = normal(wrong)
    hosts = {
        server.host
        for provider in load_catalogue().all()
        for servers in provider.servers.values()
        for server in servers
    }
    near = [] if name in hosts else get_close_matches(name, sorted(hosts), n=1, cutoff=SIMILAR)
    return near[0] if near else None
