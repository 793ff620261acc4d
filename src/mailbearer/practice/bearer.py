"""The server's side of XOAUTH2 and OAUTHBEARER (RFC 7628): what a client shows, and how a refusal is told."""

import json
import re
from dataclasses import dataclass
from typing import Final

from mailbearer.errors import AuthorizationError
from mailbearer.model.secret import Secret
from mailbearer.practice.authority import Authority
from mailbearer.practice.faults import Journal
from mailbearer.practice.options import account_of

MECHANISMS: Final = ("XOAUTH2", "OAUTHBEARER")
RESPONSE_MAX: Final = 128 * 1024  # a token of 64 KiB in base64

_XOAUTH2 = re.compile(rb"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01", re.IGNORECASE)
_OAUTHBEARER = re.compile(
    rb"n,a=([^,\x01]*),\x01(?:[a-z]+=[^\x01]*\x01)*?auth=Bearer ([^\x01]*)\x01\x01", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says to be, and the token that shall prove it."""

    user: str
    token: Secret


def read_claim(mechanism: str, response: bytes) -> Claim | None:
    """Return what a client's first response says; None when it cannot be read."""
    found = (_XOAUTH2 if mechanism == "XOAUTH2" else _OAUTHBEARER).fullmatch(response)
    if found is None:
        return None
    try:
        user, token = found[1].decode(), found[2].decode("ascii")
    except UnicodeDecodeError:
        return None
    if mechanism == "OAUTHBEARER":
        user = user.replace("=2C", ",").replace("=3D", "=")  # RFC 5801 section 4
    return Claim(user, Secret(token))


def failure(mechanism: str, error: str, *, scope: str, issuer: str) -> bytes:
    """Return the challenge that tells a refusal, in Dovecot's words (RFC 7628 section 3.2.2)."""
    if mechanism == "XOAUTH2":
        status = {"insufficient_scope": "403", "invalid_request": "400"}.get(error, "401")
        return json.dumps({"status": status, "schemes": "bearer", "scope": scope}).encode()
    where = f"{issuer}/.well-known/openid-configuration"
    return json.dumps({"status": error, "scope": scope, "openid-configuration": where}).encode()


@dataclass(frozen=True, slots=True)
class Admitted:
    """This account may come in."""

    account: str


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Nobody comes in; ``challenge`` tells why."""

    challenge: bytes


class Gate:
    """Lets accounts into one mail server by their tokens, and notes it in the journal."""

    def __init__(self, authority: Authority, journal: Journal, *, issuer: str, endpoint: str, scope: str) -> None:
        self._authority = authority
        self._journal = journal
        self._issuer = issuer
        self._endpoint = endpoint
        self._scope = scope

    def admit(self, mechanism: str, response: bytes) -> Admitted | TurnedAway:
        """Decide about a client's first response."""
        claim = read_claim(mechanism, response)
        error = self._verdict(claim) if claim is not None else "invalid_request"
        self._journal.note(self._endpoint, mechanism, error or "ok")
        if claim is None or error:
            return TurnedAway(failure(mechanism, error, scope=self._scope, issuer=self._issuer))
        return Admitted(account_of(claim.user))

    def _verdict(self, claim: Claim) -> str:
        """Return the error word, empty when all is well."""
        try:
            permission = self._authority.permission_of(claim.token.reveal())
        except AuthorizationError as refusal:
            return refusal.refusal.error
        if permission.account != account_of(claim.user):
            return "invalid_token"
        return "" if self._scope in permission.scopes else "insufficient_scope"
