"""The authorization server's decisions about clients and tokens, without HTTP (RFC 6749, 7009, 9700).

A refusal is an :class:`AuthorizationError` whose ``refusal`` holds the error word and status to answer with.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from mailbearer.clock import Clock
from mailbearer.errors import AuthorizationError, Refusal
from mailbearer.model.secret import Secret
from mailbearer.practice.ledger import Ledger, Permission, RefreshEntry, digest
from mailbearer.practice.options import OFFLINE, SCOPES, PracticeOptions, Rotation


def refuse(error: str, description: str, *, status: int = 400) -> AuthorizationError:
    """Return the error to raise for an answer with the word ``error`` (RFC 6749 section 5.2)."""
    return AuthorizationError(refusal=Refusal(error=error, status=status, description=description))


@dataclass(frozen=True, slots=True)
class Issued:
    """What a token endpoint gives away."""

    client_id: str
    account: str
    scopes: tuple[str, ...]
    access_token: Secret
    refresh_token: Secret | None


class Authority:
    """Gives out tokens, replaces them, takes them back, and tells whose they are."""

    def __init__(self, ledger: Ledger, options: PracticeOptions, clock: Clock) -> None:
        self.ledger = ledger
        self.options = options
        self._clock = clock

    def now(self) -> datetime:
        """Return the time by which tokens live and die here."""
        return self._clock.now()

    def save(self) -> None:
        """Write down what has changed."""
        self.ledger.save(self.now())

    def check_client(self, client_id: str, secret: str | None) -> None:
        """Let pass a client that is known and, if it has a secret, tells it.

        Raises:
            AuthorizationError: ``invalid_client``.
        """
        if client_id not in self.options.clients:
            raise refuse("invalid_client", "There is no application with this client ID.", status=401)
        wanted = self.options.clients[client_id]
        if wanted is not None and not hmac.compare_digest(wanted.reveal().encode(), (secret or "").encode()):
            raise refuse("invalid_client", "The client secret is wrong.", status=401)

    @staticmethod
    def check_scopes(text: str) -> tuple[str, ...]:
        """Return the scopes that ``text`` names, each once.

        Raises:
            AuthorizationError: ``invalid_scope``.
        """
        scopes = tuple(dict.fromkeys(text.split()))
        if not scopes or any(scope not in SCOPES for scope in scopes):
            raise refuse("invalid_scope", f"The scopes here are: {' '.join(SCOPES)}.")
        return scopes

    def issue(self, *, client_id: str, account: str, scopes: tuple[str, ...]) -> tuple[str, Issued]:
        """Return the identifier of a new permission and its first tokens.

        Raises:
            AuthorizationError: ``invalid_grant`` when the account is blocked.
        """
        self._check_enabled(account)
        permission = Permission(secrets.token_hex(8), client_id, account, scopes)
        self.ledger.permissions[permission.id] = permission
        issued = self._issue(permission, scopes, renew=OFFLINE in scopes)
        return permission.id, issued

    def refresh(self, *, client_id: str, token: str, scope: str = "") -> Issued:
        """Answer a refresh token with a new access token (RFC 6749 section 6).

        Raises:
            AuthorizationError: ``invalid_grant`` or ``invalid_scope``.
        """
        name = digest(token)
        permission = self._permission_with_refresh(name)
        if permission is None or permission.client_id != client_id:
            raise refuse("invalid_grant", "The refresh token is not known, or was withdrawn.")
        self._check_enabled(permission.account)
        self._check_entry(permission, permission.refresh[name])
        scopes = self.check_scopes(scope) if scope else permission.scopes
        if not set(scopes) <= set(permission.scopes):
            raise refuse("invalid_scope", "More is asked for than was allowed.")
        entry = permission.refresh[name]
        entry.used_at = self.now().timestamp()
        if self.options.rotation is Rotation.KEEP:
            return self._issue(permission, scopes, renew=False)
        entry.replaced_at = entry.replaced_at or entry.used_at
        return self._issue(permission, scopes, renew=True)

    def revoke(self, token: str) -> bool:
        """End a token (RFC 7009 section 2.1): a refresh token ends its whole permission. Tell whether it was known."""
        name = digest(token)
        permission = self._permission_with_refresh(name)
        if permission is not None:
            self.end(permission.id)
            return True
        for other in self.ledger.permissions.values():
            if other.access.pop(name, None) is not None:
                self.save()
                return True
        return False

    def end(self, permission_id: str) -> None:
        """End a permission and all its tokens."""
        if self.ledger.permissions.pop(permission_id, None) is not None:
            self.save()

    def end_all(self, account: str) -> int:
        """End every permission of ``account``; return how many there were."""
        ended = [one.id for one in self.ledger.permissions.values() if one.account == account]
        for name in ended:
            del self.ledger.permissions[name]
        self.save()
        return len(ended)

    def expire_all(self, account: str) -> None:
        """Let every access token of ``account`` run out now; refresh tokens live on."""
        for one in self.ledger.permissions.values():
            if one.account == account:
                one.access.clear()
        self.save()

    def permission_of(self, access_token: str) -> Permission:
        """Return the permission that an access token stands for.

        Raises:
            AuthorizationError: ``invalid_token`` (RFC 6750 section 3.1).
        """
        name = digest(access_token)
        for one in self.ledger.permissions.values():
            if one.access.get(name, 0.0) > self.now().timestamp() and one.account not in self.ledger.disabled:
                return one
        raise refuse("invalid_token", "The access token is not known here, or has run out.", status=401)

    def _permission_with_refresh(self, name: str) -> Permission | None:
        return next((one for one in self.ledger.permissions.values() if name in one.refresh), None)

    def _check_enabled(self, account: str) -> None:
        if account in self.ledger.disabled:
            raise refuse("invalid_grant", f"The account {account} is blocked.")

    def _check_entry(self, permission: Permission, entry: RefreshEntry) -> None:
        now = self.now().timestamp()
        if now - entry.used_at > self.options.refresh_idle.total_seconds():
            self.end(permission.id)
            raise refuse("invalid_grant", "The refresh token was not used for too long.")
        if entry.replaced_at is None:
            return
        grace = self.options.grace.total_seconds() if self.options.rotation is Rotation.GRACE else 0.0
        if now - entry.replaced_at >= grace:
            self.end(permission.id)  # RFC 9700 section 4.14.2: two use it, so nobody may
            raise refuse("invalid_grant", "The refresh token was used before; the whole permission has ended.")

    def _issue(self, permission: Permission, scopes: tuple[str, ...], *, renew: bool) -> Issued:
        now = self.now()
        access = secrets.token_urlsafe(self.options.token_size)[: self.options.token_size]
        permission.access[digest(access)] = (now + self.options.access_ttl).timestamp()
        refresh = Secret(secrets.token_urlsafe(32)) if renew else None
        if refresh is not None:
            permission.refresh[digest(refresh.reveal())] = RefreshEntry(now.timestamp())
        self.save()
        return Issued(permission.client_id, permission.account, scopes, Secret(access), refresh)
