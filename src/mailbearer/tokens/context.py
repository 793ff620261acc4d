"""What every part of this room works with, and the word that it sends up when something changed."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mailbearer.clock import Clock
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.service import ServiceId
from mailbearer.store.store import Store
from mailbearer.vault.vault import Vault


class Http(Protocol):
    """The way to the authorization server: ``net.http.HttpClient``, or a pretended one in tests."""

    async def send(self, request: HttpRequest, *, ca_file: str = "") -> HttpResponse:
        """Carry out one request. Raises ConnectError."""
        ...


class ChangeKind(StrEnum):
    """What became of a token; the app makes audit rows, alerts and wake-ups of it."""

    WAITING = "waiting"  # a sign-in began
    ENDED = "ended"  # a sign-in ended without a token
    RETRIEVED = "retrieved"  # a new sign-in brought a token
    RENEWED = "renewed"
    HEALED = "healed"  # renewed, and it was Invalid before
    INVALID = "invalid"
    TROUBLED = "troubled"  # a renewal failed, the status stays
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``code`` is the reason (MB-T07) or empty, ``by`` the person, empty where it was the machine."""

    service: ServiceId
    kind: ChangeKind
    code: str = ""
    by: str = ""


def _new_owner() -> str:
    return secrets.token_hex(8)


def _no_listeners() -> list[Callable[[Change], None]]:
    return []


@dataclass(frozen=True, slots=True)
class Context:
    """Store, vault, HTTP client and clock, and where to ask for a provider by its id.

    ``on_change`` is called after a change was committed; a listener returns at once and does not raise. ``owner``
    names this process in leases.
    """

    store: Store
    vault: Vault
    http: Http
    clock: Clock
    provider_of: Callable[[str], Awaitable[tuple[Provider, Registration]]]
    on_change: list[Callable[[Change], None]] = field(default_factory=_no_listeners)
    owner: str = field(default_factory=_new_owner)

    def tell(self, service: ServiceId, kind: ChangeKind, *, code: str = "", by: str = "") -> None:
        """Tell every listener what became of the token of ``service``."""
        change = Change(service, kind, code, by)
        for listener in self.on_change:
            listener(change)
