"""Is this the token that was asked for? The checks before a new one may take the place of the held one."""

from mailbearer.errors import AuthorizationError, MailbearerError
from mailbearer.model.grant import Pending
from mailbearer.model.provider import Provider
from mailbearer.model.token import TokenSet
from mailbearer.protocol.oauth.identity import account_in, claims_of, userinfo_claims, userinfo_request
from mailbearer.providers.flows import missing_scopes
from mailbearer.tokens.context import Context


def check_renewable(tokens: TokenSet, provider: Provider) -> None:
    """Refuse tokens that would die within the hour.

    Raises:
        AuthorizationError: MB-T21.
    """
    if not tokens.refresh_token:
        raise AuthorizationError("MB-T21", provider=provider.name)


def check_scopes(tokens: TokenSet, pending: Pending, provider: Provider) -> None:
    """Refuse tokens that lack a permission for mail which was asked for (RFC 6749 section 3.3 lets a server give less).

    Raises:
        AuthorizationError: MB-T20, with the missing ones.
    """
    beside = {*provider.refresh_scopes, *provider.identity_scopes}
    asked = [scope for scope in pending.scopes if scope not in beside]
    missing = missing_scopes(provider, asked, tokens.scope)
    if missing:
        raise AuthorizationError("MB-T20", provider=provider.name, account=pending.account, missing=", ".join(missing))


async def check_account(context: Context, tokens: TokenSet, pending: Pending, *, userinfo: str, ca_file: str) -> bool:
    """Refuse tokens of another account than the one asked for; tell whether the provider said whose they are.

    Raises:
        AuthorizationError: MB-T06, with both accounts.
    """
    names = _names_in_id_token(tokens) or await _names_at(userinfo, context, tokens, ca_file)
    if names and pending.account.casefold() not in {name.casefold() for name in names}:
        raise AuthorizationError("MB-T06", account=pending.account, other=names[0])
    return bool(names)


def _names_in_id_token(tokens: TokenSet) -> tuple[str, ...]:
    if tokens.id_token is None:
        return ()
    try:
        return account_in(claims_of(tokens.id_token))
    except AuthorizationError:
        return ()  # no ID token that can be read tells nothing


async def _names_at(userinfo: str, context: Context, tokens: TokenSet, ca_file: str) -> tuple[str, ...]:
    if not userinfo:
        return ()
    try:
        request = userinfo_request(userinfo, tokens.access_token)
        response = await context.http.send(request, ca_file=ca_file)
        return account_in(userinfo_claims(response, now=context.clock.now()))
    except MailbearerError:
        return ()  # Microsoft's answers only to tokens of its own Graph; that is no reason to refuse
