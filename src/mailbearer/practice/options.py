"""What can be chosen about a practice world, and the words that it uses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from mailbearer.errors import InvalidInputError
from mailbearer.model.secret import Secret

DOMAIN = "practice.example"
CLIENT_ID = "mailbearer-practice"
SEND = "mail.send"
RECEIVE = "mail.receive"
OFFLINE = "offline_access"  # only with this scope is there a refresh token, as OpenID Connect Core section 11 has it

SCOPES: Mapping[str, str] = {
    SEND: "Send mail as {account}",
    RECEIVE: "Read and delete the mail of {account}",
    OFFLINE: "Go on doing so until the permission is withdrawn",
    "openid": "Know who signed in",
    "email": "See the address {account}",
}

_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9._+-]{0,63}@practice\.example")  # also a safe name of a folder


def account_of(text: str) -> str:
    """Return the account that ``text`` names, in lower case; empty when it is none of ours.

    Every name at the practice domain exists; ``anna`` stands for ``anna@practice.example``.
    """
    name = text.strip().lower()
    address = name if "@" in name else f"{name}@{DOMAIN}"
    return address if _ACCOUNT.fullmatch(address) else ""


def check_account(text: str) -> str:
    """Return the account that ``text`` names.

    Raises:
        InvalidInputError: it is none of ours (MB-W22).
    """
    account = account_of(text)
    if not account:
        raise InvalidInputError("MB-W22", address=text)
    return account


class Rotation(StrEnum):
    """What happens to a refresh token that was used (RFC 9700 section 4.14.2)."""

    STRICT = "strict"  # a new one each time; the old one, shown again, ends the whole grant
    GRACE = "grace"  # a new one each time; the old one still works for a while
    KEEP = "keep"  # it stays; the answer holds no refresh token


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticeOptions:
    """Lifetimes and habits of the practice provider; may be replaced while it runs."""

    access_ttl: timedelta = timedelta(hours=1)
    refresh_idle: timedelta = timedelta(days=90)  # a refresh token dies after so long without use
    device_ttl: timedelta = timedelta(minutes=15)
    code_ttl: timedelta = timedelta(minutes=1)
    interval: timedelta = timedelta(seconds=5)
    rotation: Rotation = Rotation.STRICT
    grace: timedelta = timedelta(seconds=60)
    token_size: int = 43  # characters of an access token
    names_scope: bool = True  # does a token response tell the granted scopes
    clients: Mapping[str, Secret | None] = field(default_factory=lambda: {CLIENT_ID: None})
    redirect_uris: tuple[str, ...] = ()  # beside those on the loopback interface, which are always allowed
    message_limit: int = 150 * 1024 * 1024
