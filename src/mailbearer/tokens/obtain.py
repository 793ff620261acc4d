"""A new token, by device code (RFC 8628) or by the provider's login page (RFC 6749 section 4.1 with PKCE).

A sign-in is a row of the store from its beginning to its end, so it outlives a restart, and whoever deletes or cancels
it while an answer is on its way wins: the tokens are stored in the same transaction that ends the row, or not at all.
"""

import contextlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from mailbearer.errors import (
    AuthorizationError,
    AuthorizationUnavailableError,
    ConflictError,
    ConnectError,
    InvalidInputError,
    MailbearerError,
    Refusal,
    StoreError,
)
from mailbearer.model.grant import CodeSignIn, DeviceSignIn, Ended, Flow, Grant, Pending
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.provider import Endpoints, Provider, Registration
from mailbearer.model.secret import Secret
from mailbearer.model.service import AuthMethod, Service, ServiceId
from mailbearer.model.token import TokenSet
from mailbearer.protocol.oauth import authcode, device
from mailbearer.protocol.oauth.client_auth import ClientAuth
from mailbearer.protocol.oauth.metadata import is_loopback
from mailbearer.protocol.oauth.token_response import parse_token_response
from mailbearer.providers import diagnosis
from mailbearer.providers.endpoints import resolve
from mailbearer.providers.flows import advice_on, authorization_parameters, offered, wanted_scopes
from mailbearer.providers.quirks import Quirk, has
from mailbearer.tokens import acceptance, reasons
from mailbearer.tokens.book import GrantBook
from mailbearer.tokens.context import ChangeKind, Context
from mailbearer.tokens.remove import revoke

CODE_LIFE = timedelta(minutes=15)  # how long a handed-out login page is good for
POLL_LEASE = timedelta(seconds=60)  # longer than a poll (20 s) and the question whose token it is (20 s)
LOOK = 1.0  # seconds between two looks at a sign-in that somebody else brings to its end
LONGEST_INTERVAL = device.MAX_INTERVAL.total_seconds()  # also when the clock was set back meanwhile
PASTE_BACK = "http://127.0.0.1:53682/"  # nobody listens there: the person pastes the address that did not load
PASTE_BACK_BY_NAME = "http://localhost:53682/"


@dataclass(frozen=True, slots=True)
class _Party:
    """With whom a sign-in goes on."""

    provider: Provider
    registration: Registration
    endpoints: Endpoints

    @property
    def auth(self) -> ClientAuth:
        return ClientAuth(self.registration.client_id, self.registration.client_secret)

    @property
    def token_life(self) -> timedelta:
        return timedelta(seconds=self.provider.access_lifetime)


class SignIns:
    """Begins sign-ins, waits for them, ends them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._book = GrantBook(context.store, context.vault)

    async def begin(
        self, service: Service, *, flow: Flow | None = None, by: str, replace: bool = False, redirect_uri: str = ""
    ) -> Pending:
        """Begin a sign-in for ``service``; a token that is held stays in use meanwhile.

        Args:
            service: what the token is for; its settings name provider and account.
            flow: the way; without it the first that the provider allows.
            by: who asked for it.
            replace: drop a sign-in that is under way, instead of refusing.
            redirect_uri: where the provider sends the browser: a loopback listener or our own callback; without it
                the registered address, and without that one the address is pasted back by the person.

        Raises:
            ConflictError: MB-T29, a sign-in is under way.
            InvalidInputError: MB-W05, MB-T49, MB-T50, MB-T51: settings that cannot be signed in with.
            AuthorizationError: the provider refuses, or (unavailable) gave no usable answer.
            ConnectError: the provider was not reached.
        """
        settings = service.settings
        _check_settings(service)
        party = await self._party(settings.provider)
        chosen = _choose(party, flow)
        await self._check_free(service.id, replace=replace)
        scopes = wanted_scopes(party.provider, service.kind)
        now = self._context.clock.now()
        expires_at = now + CODE_LIFE
        sign_in: DeviceSignIn | CodeSignIn
        if chosen is Flow.DEVICE:
            sign_in, expires_at = await self._ask_for_code(party, scopes, settings.account)
        else:
            sign_in = _login_page(party, scopes, settings.account, redirect_uri)
        pending = Pending(
            service=service.id,
            id=secrets.token_hex(8),
            started_at=now,
            expires_at=expires_at,
            started_by=by,
            scopes=scopes,
            sign_in=sign_in,
            next_poll=now + sign_in.interval if isinstance(sign_in, DeviceSignIn) else None,
            provider=party.provider.id,
            account=settings.account,
        )
        await self._book.begin(pending, replace_other=replace)
        self._context.tell(service.id, ChangeKind.WAITING, by=by)
        return pending

    async def poll_until_done(self, service: ServiceId) -> Grant:
        """Wait for the end of the sign-in under way for ``service``; poll for it where it goes by device code.

        Any number of callers in any number of processes may wait; one of them polls at a time.

        Raises:
            ConflictError: MB-T52, none is under way, or it was cancelled.
            AuthorizationError: it ended without a token.
        """
        pending = await self._book.pending(service)
        if pending is None:
            raise ConflictError("MB-T52", service=service)
        clock = self._context.clock
        while True:
            current = await self._book.pending(service)
            if current is None or current.id != pending.id:
                return await self._ended(pending)
            now = clock.now()
            if current.expires_at <= now:
                await self._finish(current, AuthorizationError("MB-T02", service=service))
            elif current.next_poll is None:
                await clock.sleep(LOOK)
            elif current.next_poll > now:
                await clock.sleep(min((current.next_poll - now).total_seconds(), LONGEST_INTERVAL))
            else:
                await self._poll(current)

    async def finish_redirect(self, url: str, *, service: ServiceId | None = None) -> Grant:
        """Take the address that the provider sent the browser to, and exchange its code for a token.

        Args:
            url: the address, from our callback, a loopback listener or pasted.
            service: the service that the person was at; without it the sign-in is found by ``state``.

        Raises:
            InvalidInputError: MB-T18 it is no such address, MB-T43 it does not belong to a sign-in of ours; what is
                under way goes on.
            AuthorizationError: the sign-in ended without a token.
            ConnectError: the provider was not reached; the sign-in goes on until its time is over.
            ConflictError: MB-T52, it was cancelled meanwhile.
        """
        pending = await self._asked_by(url, service)
        if not await self._lease(pending):
            return await self.poll_until_done(pending.service)  # the same address came twice: the first one does it
        try:
            return await self._redeem(url, pending)
        finally:
            await self._release(pending)

    async def cancel(self, service: ServiceId, *, by: str = "") -> bool:
        """End the sign-in under way as if it had never begun; tell whether there was one."""
        cancelled = await self._context.store.pendings.cancel(service)
        if cancelled:
            self._context.tell(service, ChangeKind.ENDED, by=by)
        return cancelled

    async def _party(self, provider_id: str) -> _Party:
        provider, registration = await self._context.provider_of(provider_id)
        return _Party(provider, registration, resolve(provider, registration))

    async def _check_free(self, service: ServiceId, *, replace: bool) -> None:
        """Refuse before the provider is asked for a code that nobody will need; the store decides for good."""
        other = await self._book.pending(service)
        if other is not None and not replace and other.expires_at > self._context.clock.now():
            raise ConflictError("MB-T29", service=service, person=other.started_by, when=f"at {other.started_at:%H:%M}")

    async def _ask_for_code(
        self, party: _Party, scopes: tuple[str, ...], account: str
    ) -> tuple[DeviceSignIn, datetime]:
        request = device.device_request(
            party.endpoints.device_authorization,
            party.auth,
            scopes=scopes,
            separator=party.provider.scope_separator,
            extra=party.provider.device_parameters,
        )
        response = await self._send(request, party)
        try:
            return device.parse_device_response(response, now=self._context.clock.now())
        except AuthorizationError as error:
            raise _read(error, party.provider, account, Flow.DEVICE) from error

    async def _send(self, request: HttpRequest, party: _Party) -> HttpResponse:
        return await self._context.http.send(request, ca_file=party.registration.ca_file)

    async def _poll(self, pending: Pending) -> None:
        """Ask once whether the person has signed in, if nobody else is just doing it."""
        if not await self._lease(pending):
            await self._context.clock.sleep(LOOK)
            return
        try:
            current = await self._book.pending(pending.service)  # again: another may just have polled
            if current is not None and current.id == pending.id and current.next_poll == pending.next_poll:
                await self._poll_once(current)
        finally:
            await self._release(pending)

    async def _poll_once(self, pending: Pending) -> None:
        sign_in, clock = pending.sign_in, self._context.clock
        if not isinstance(sign_in, DeviceSignIn):
            return
        party = await self._party(pending.provider)
        try:
            request = device.poll_request(party.endpoints.token, party.auth, sign_in.device_code)
            response = await self._send(request, party)
            outcome = device.poll_outcome(
                response, interval=sign_in.interval, now=clock.now(), default_lifetime=party.token_life
            )
        except ConnectError:
            outcome = device.KeepWaiting(device.backed_off(sign_in.interval))
        except AuthorizationError as error:
            raise await self._finish(pending, _read(error, party.provider, pending.account, Flow.DEVICE)) from error
        match outcome:
            case device.KeepWaiting(interval):
                await self._context.store.pendings.set_next_poll(
                    pending.service, pending.id, next_poll=clock.now() + interval, interval=interval
                )
            case device.Granted(tokens):
                await self._accept(pending, party, tokens)

    async def _asked_by(self, url: str, service: ServiceId | None) -> Pending:
        """Return the sign-in by login page that ``url`` answers, by service or by state."""
        now = self._context.clock.now()
        if service is not None:
            pending = await self._book.pending(service)
            if pending is None or pending.expires_at <= now:
                raise ConflictError("MB-T52", service=service)
            return pending
        state = Secret(_state_in(url))
        for pending in await self._book.pendings():
            if isinstance(pending.sign_in, CodeSignIn) and pending.sign_in.state == state and pending.expires_at > now:
                return pending
        raise InvalidInputError("MB-T43", problem="its state is not ours") if state else InvalidInputError("MB-T18")

    async def _redeem(self, url: str, pending: Pending) -> Grant:
        sign_in = pending.sign_in
        if not isinstance(sign_in, CodeSignIn):
            raise InvalidInputError("MB-T43", problem="the sign-in under way goes by a code")
        party = await self._party(pending.provider)
        try:
            request = authcode.code_request(
                party.endpoints.token,
                party.auth,
                code=authcode.parse_callback(
                    url, state=sign_in.state, issuer=sign_in.issuer, iss_required=party.endpoints.iss_in_response
                ),
                redirect_uri=sign_in.redirect_uri,
                verifier=sign_in.code_verifier,
            )
            tokens = parse_token_response(
                await self._send(request, party), now=self._context.clock.now(), default_lifetime=party.token_life
            )
        except AuthorizationUnavailableError as error:
            raise _read(error, party.provider, pending.account, Flow.CODE) from error
        except AuthorizationError as error:
            raise await self._finish(pending, _read(error, party.provider, pending.account, Flow.CODE)) from error
        return await self._accept(pending, party, tokens)

    async def _accept(self, pending: Pending, party: _Party, tokens: TokenSet) -> Grant:
        """Check the new tokens, and only then put them in the place of the held ones."""
        try:
            acceptance.check_renewable(tokens, party.provider)
            acceptance.check_scopes(tokens, pending, party.provider)
            confirmed = await acceptance.check_account(
                self._context, tokens, pending, userinfo=party.endpoints.userinfo, ca_file=party.registration.ca_file
            )
        except AuthorizationError as error:
            raise await self._finish(pending, error) from error
        now = self._context.clock.now()
        grant = Grant(
            service=pending.service,
            version=0,  # the book numbers it
            tokens=replace(tokens, scope=tokens.scope or pending.scopes, id_token=None),
            provider=pending.provider,
            account=pending.account,
            account_confirmed=confirmed,
            flow=pending.flow,
            obtained_at=now,
            refreshed_at=now,
        )
        kept = await self._book.complete(grant, pending.id)
        if kept is None:
            await revoke(self._context, grant)
            raise ConflictError("MB-T52", service=pending.service)
        self._context.tell(pending.service, ChangeKind.RETRIEVED, by=pending.started_by)
        return kept

    async def _finish(self, pending: Pending, error: MailbearerError) -> MailbearerError:
        """Write down that a sign-in ended without a token, and return ``error`` for raising."""
        now = self._context.clock.now()
        ended = Ended(pending.service, pending.id, now, reasons.trouble_of(error, now))
        if await self._context.store.pendings.finish(ended):
            self._context.tell(pending.service, ChangeKind.ENDED, code=error.code)
        return error

    async def _ended(self, pending: Pending) -> Grant:
        """Tell how a sign-in went that somebody else brought to its end."""
        ended = await self._context.store.pendings.ended(pending.service)
        if ended is None or ended.id != pending.id:
            raise ConflictError("MB-T52", service=pending.service)
        if ended.trouble is not None:
            trouble = ended.trouble
            numbers = () if trouble.number is None else (trouble.number,)
            refusal = Refusal(trouble.provider_error, numbers=numbers, trace=trouble.trace, description=trouble.detail)
            raise AuthorizationError(trouble.code, refusal=refusal, **trouble.fields)
        grant = await self._book.grant(pending.service)
        if grant is None:
            raise ConflictError("MB-T52", service=pending.service)
        return grant

    async def _lease(self, pending: Pending) -> bool:
        now = self._context.clock.now()
        leased = await self._context.store.pendings.lease(
            pending.service, owner=self._context.owner, until=now + POLL_LEASE, now=now
        )
        return leased is not None

    async def _release(self, pending: Pending) -> None:
        with contextlib.suppress(StoreError):  # it ends by itself
            await self._context.store.pendings.release(pending.service, owner=self._context.owner)


def _check_settings(service: Service) -> None:
    settings = service.settings
    if settings.auth is not AuthMethod.OAUTH2:
        raise InvalidInputError("MB-W05", field="Authentication Method", problem="choose OAuth 2.0 first")
    if not settings.provider:
        raise InvalidInputError("MB-W05", field="Provider", problem="choose one first")
    if not settings.account:
        raise InvalidInputError("MB-W05", field="Account Name", problem="enter it first")


def _choose(party: _Party, flow: Flow | None) -> Flow:
    """Return the way to go: the one asked for if it is allowed, else the first that is."""
    provider = party.provider
    if not provider.oauth:
        raise InvalidInputError("MB-T50", provider=provider.name)
    if not party.registration.client_id:
        raise InvalidInputError("MB-T49", provider=provider.name)
    if flow is None:
        ways = [advice.flow for advice in offered(provider) if _endpoint_of(party, advice.flow)]
        if not ways:
            raise InvalidInputError("MB-T51", provider=provider.name)
        return ways[0]
    advice = advice_on(provider, flow)
    if not advice.allowed or not _endpoint_of(party, flow):
        reason = {"reason": advice.warning} if advice.warning else {}
        raise InvalidInputError("MB-T51", provider=provider.name, flow=flow, **reason)
    return flow


def _endpoint_of(party: _Party, flow: Flow) -> str:
    match flow:
        case Flow.DEVICE:
            return party.endpoints.device_authorization
        case Flow.CODE:
            return party.endpoints.authorization


def _login_page(party: _Party, scopes: tuple[str, ...], account: str, redirect_uri: str) -> CodeSignIn:
    provider = party.provider
    address = redirect_uri or party.registration.redirect_uri or _paste_back(provider)
    _check_redirect(provider, address)
    state, verifier = Secret(secrets.token_urlsafe(32)), Secret(secrets.token_urlsafe(48))
    url = authcode.authorization_url(
        party.endpoints.authorization,
        client_id=party.registration.client_id,
        redirect_uri=address,
        scopes=scopes,
        state=state,
        challenge=authcode.challenge_of(verifier),
        separator=provider.scope_separator,
        extra=authorization_parameters(provider, account),
    )
    return CodeSignIn(url, address, state, verifier, issuer=_expected_issuer(party))


def _expected_issuer(party: _Party) -> str:
    """Some name another tenant in ``iss`` than was asked for; their state and PKCE must do."""
    return "" if has(party.provider, Quirk.ISSUER_NAMES_THE_TENANT) else party.endpoints.issuer


def _paste_back(provider: Provider) -> str:
    return PASTE_BACK_BY_NAME if has(provider, Quirk.LOOPBACK_BY_NAME) else PASTE_BACK


def _check_redirect(provider: Provider, address: str) -> None:
    parts = urlsplit(address)
    private = parts.scheme != "https" and not is_loopback(parts.hostname or "")
    if private and has(provider, Quirk.NO_PRIVATE_REDIRECT):
        raise InvalidInputError("MB-T17", provider=provider.name)


def _state_in(url: str) -> str:
    query = url.strip().partition("#")[0].rpartition("?")[2]
    try:
        return parse_qs(query, max_num_fields=authcode.MAX_PARAMETERS).get("state", [""])[0]
    except ValueError:
        return ""


def _read(error: AuthorizationError, provider: Provider, account: str, flow: Flow) -> AuthorizationError:
    """Return ``error`` with the words that fit this provider and this step."""
    phase: diagnosis.Phase = "device" if flow is Flow.DEVICE else "code"
    verdict = diagnosis.read_refusal(
        error, provider=provider, phase=phase, token_held=False, account=account, flow=flow
    )
    return type(error)(verdict.code, refusal=error.refusal, **verdict.fields)
