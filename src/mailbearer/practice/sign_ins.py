"""Sign-ins under way: device authorization requests (RFC 8628) and authorization codes (RFC 6749 section 4.1, 7636)."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from mailbearer.errors import InvalidInputError, NotFoundError
from mailbearer.model.secret import Secret
from mailbearer.practice.authority import Authority, Issued, refuse
from mailbearer.practice.ledger import DeviceSignIn, digest
from mailbearer.practice.options import check_account

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 section 6.1: no vowels, nothing that is read for something else
SLOW_DOWN = 5.0  # seconds, RFC 8628 section 3.5
CODES_MAX = 1_000

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 section 4.1
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?(?:/[!-~]*)?")


@dataclass(frozen=True, slots=True)
class DeviceStarted:
    """What a device is told."""

    device_code: Secret
    user_code: str


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """A valid authorization request (RFC 6749 section 4.1.1)."""

    client_id: str
    redirect_uri: str
    state: str
    scopes: tuple[str, ...]
    challenge: str
    nonce: str = ""
    login_hint: str = ""

    def answer(self, **parameters: str) -> str:
        """Return the redirect address with ``parameters`` and the state."""
        state = {"state": self.state} if self.state else {}
        return with_query(self.redirect_uri, parameters | state)


@dataclass(slots=True)
class _Code:
    asked: CodeRequest
    account: str
    scopes: tuple[str, ...]
    expires_at: float
    permission: str = ""  # set once it was redeemed


class SignIns:
    """Begins sign-ins, takes the person's decision, and exchanges the result for tokens."""

    def __init__(self, authority: Authority, issuer: str) -> None:
        self._authority = authority
        self._issuer = issuer
        self._codes: dict[str, _Code] = {}

    def begin_device(self, client_id: str, scope: str) -> DeviceStarted:
        """Begin a device sign-in.

        Raises:
            AuthorizationError: ``invalid_scope``.
        """
        options = self._authority.options
        letters = "".join(secrets.choice(LETTERS) for _ in range(8))
        started = DeviceStarted(Secret(secrets.token_urlsafe(32)), f"{letters[:4]}-{letters[4:]}")
        name = digest(started.device_code.reveal())
        self._authority.ledger.devices[name] = DeviceSignIn(
            device_code=name,
            user_code=started.user_code,
            client_id=client_id,
            scopes=self._authority.check_scopes(scope),
            expires_at=(self._authority.now() + options.device_ttl).timestamp(),
            interval=options.interval.total_seconds(),
        )
        self._authority.save()
        return started

    def device(self, user_code: str) -> DeviceSignIn:
        """Return the device sign-in with this code, however it was typed, that waits for a decision.

        Raises:
            NotFoundError: there is none.
        """
        typed = re.sub(r"[^A-Z]", "", user_code.upper())
        for one in self._authority.ledger.devices.values():
            waiting = not one.account and not one.denied and one.expires_at > self._now()
            if waiting and one.user_code.replace("-", "") == typed:
                return one
        raise NotFoundError("MB-W20", kind="code", name=user_code[:20], known="")

    def allow_device(self, user_code: str, account: str, scopes: tuple[str, ...] | None = None) -> None:
        """Let the device have its tokens; ``scopes`` may be fewer than it asked for.

        Raises:
            NotFoundError: no such code waits.
            InvalidInputError: the account is none of ours.
        """
        sign_in = self.device(user_code)
        sign_in.account = self.check_account(account)
        sign_in.scopes = sign_in.scopes if scopes is None else scopes
        self._authority.save()

    def deny_device(self, user_code: str) -> None:
        """Refuse the device its tokens.

        Raises:
            NotFoundError: no such code waits.
        """
        self.device(user_code).denied = True
        self._authority.save()

    def poll_device(self, client_id: str, device_code: str) -> Issued:
        """Answer one poll of a device (RFC 8628 section 3.4).

        Raises:
            AuthorizationError: ``authorization_pending``, ``slow_down``, ``access_denied``, ``expired_token``,
                ``invalid_grant``.
        """
        name = digest(device_code)
        sign_in = self._authority.ledger.devices.get(name)
        if sign_in is None or sign_in.client_id != client_id or sign_in.expires_at <= self._now():
            raise refuse("expired_token", "The code has run out, or was used.")
        if sign_in.denied:
            raise refuse("access_denied", "The person said no.")
        if not sign_in.account:
            self._check_pace(sign_in)
            raise refuse("authorization_pending", "Nobody has decided yet.")
        del self._authority.ledger.devices[name]
        return self._authority.issue(client_id=client_id, account=sign_in.account, scopes=sign_in.scopes)[1]

    def check_code_request(self, asked: Mapping[str, str]) -> CodeRequest:
        """Read an authorization request.

        Raises:
            InvalidInputError: application or redirect address are not ours: nothing may be sent there.
            AuthorizationError: anything else; may be told to the redirect address.
        """
        client_id, redirect_uri = asked.get("client_id", ""), asked.get("redirect_uri", "")
        if client_id not in self._authority.options.clients:
            raise InvalidInputError("MB-W05", field="client_id", problem="there is no such application")
        if redirect_uri not in self._authority.options.redirect_uris and not _is_loopback(redirect_uri):
            raise InvalidInputError("MB-W05", field="redirect_uri", problem="it was not registered")
        if asked.get("response_type") != "code":
            raise refuse("unsupported_response_type", "Only response_type=code is offered.")
        challenge = asked.get("code_challenge", "")
        if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
            raise refuse("invalid_request", "A code_challenge with the method S256 is needed.")
        return CodeRequest(
            client_id=client_id,
            redirect_uri=redirect_uri,
            state=asked.get("state", ""),
            scopes=self._authority.check_scopes(asked.get("scope", "")),
            challenge=challenge,
            nonce=asked.get("nonce", ""),
            login_hint=asked.get("login_hint", ""),
        )

    def allow_code(self, asked: CodeRequest, account: str, scopes: tuple[str, ...] | None = None) -> str:
        """Return the address to send the browser to, with a fresh code, state and issuer (RFC 9207).

        Raises:
            InvalidInputError: the account is none of ours.
        """
        now = self._authority.now()
        code = secrets.token_urlsafe(32)
        for name in list(self._codes)[: max(0, len(self._codes) - CODES_MAX)]:
            del self._codes[name]
        self._codes[digest(code)] = _Code(
            asked=asked,
            account=self.check_account(account),
            scopes=asked.scopes if scopes is None else scopes,
            expires_at=(now + self._authority.options.code_ttl).timestamp(),
        )
        return asked.answer(code=code, iss=self._issuer)

    def deny_code(self, asked: CodeRequest) -> str:
        """Return the address to send the browser to when the person said no."""
        return asked.answer(error="access_denied", error_description="The person said no.", iss=self._issuer)

    def redeem(self, client_id: str, *, code: str, redirect_uri: str, verifier: str) -> tuple[Issued, str]:
        """Exchange a code for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.6); return them and the nonce.

        Raises:
            AuthorizationError: ``invalid_grant``.
        """
        held = self._codes.get(digest(code))
        if held is None or held.asked.client_id != client_id or held.expires_at <= self._now():
            raise refuse("invalid_grant", "The code is not known, or has run out.")
        if held.permission:
            self._authority.end(held.permission)  # RFC 6749 section 4.1.2: used twice
            raise refuse("invalid_grant", "The code was used before; its tokens have ended.")
        if held.asked.redirect_uri != redirect_uri:
            raise refuse("invalid_grant", "The redirect address is not the one that was asked with.")
        if not _proves(verifier, held.asked.challenge):
            raise refuse("invalid_grant", "The code verifier does not fit the challenge.")
        held.permission, issued = self._authority.issue(client_id=client_id, account=held.account, scopes=held.scopes)
        return issued, held.asked.nonce

    def check_account(self, account: str) -> str:
        """Return the address of ``account``.

        Raises:
            InvalidInputError: it is none of ours (MB-W22), or blocked (MB-W05).
        """
        address = check_account(account)
        if address in self._authority.ledger.disabled:
            raise InvalidInputError("MB-W05", field="account", problem="this account is blocked")
        return address

    def _now(self) -> float:
        return self._authority.now().timestamp()

    def _check_pace(self, sign_in: DeviceSignIn) -> None:
        now, last = self._now(), sign_in.last_poll
        sign_in.last_poll = now
        if last and now - last < sign_in.interval - 0.5:  # half a second for the way here
            sign_in.interval += SLOW_DOWN
            raise refuse("slow_down", f"Ask every {sign_in.interval:.0f} seconds.")


def with_query(uri: str, parameters: Mapping[str, str]) -> str:
    """Return ``uri`` with ``parameters`` added to its query (RFC 6749 section 3.1.2)."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters)}"


def _is_loopback(uri: str) -> bool:
    return _LOOPBACK.fullmatch(uri) is not None and not urlsplit(uri).fragment  # RFC 8252 section 7.3: any port


def _proves(verifier: str, challenge: str) -> bool:
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode(errors="surrogatepass")).digest()).rstrip(b"=")
    return _VERIFIER.fullmatch(verifier) is not None and hmac.compare_digest(made, challenge.encode())
