"""[Delete]: gone here first and for good, then the provider is told (RFC 7009)."""

import asyncio
import logging

from mailbearer.errors import MailbearerError, VaultError
from mailbearer.model.grant import Grant
from mailbearer.model.service import ServiceId
from mailbearer.protocol.oauth.client_auth import ClientAuth
from mailbearer.protocol.oauth.revocation import revocation_outcome, revocation_request
from mailbearer.providers.endpoints import resolve
from mailbearer.tokens.book import GrantBook
from mailbearer.tokens.context import ChangeKind, Context

REVOCATION_SECONDS = 10  # how long a person waits for the provider after [OK]

_log = logging.getLogger(__name__)


async def delete(context: Context, service: ServiceId, by: str) -> bool | None:
    """Delete the token of ``service`` and end its sign-in, if there are any; both are gone when this returns.

    Returns:
        Did the provider revoke it? None where it was not asked: nothing was held, the provider has no revocation, or
        another service of ours holds a token for the same account, which a provider may end together with this one.

    Raises:
        StoreError: the token could not be deleted.
    """
    held = await context.store.grants.delete(service)
    context.tell(service, ChangeKind.DELETED, by=by)
    if held is None:
        return None
    try:
        grant = GrantBook(context.store, context.vault).opened(held)
    except VaultError:
        return None  # what does not open can be deleted, but not shown to the provider
    return await revoke(context, grant)


async def revoke(context: Context, grant: Grant) -> bool | None:
    """Ask the provider to revoke tokens that are no longer held here. What fails is a note in the log, no error.

    None where it was not asked, see ``delete``.
    """
    for other in await context.store.grants.all():
        if (other.provider, other.account.casefold()) == (grant.provider, grant.account.casefold()):
            return None
    try:
        provider, registration = await context.provider_of(grant.provider)
        endpoint = resolve(provider, registration).revocation
        if not endpoint:
            return None
        auth = ClientAuth(registration.client_id, registration.client_secret)
        token = grant.tokens.refresh_token or grant.tokens.access_token
        async with asyncio.timeout(REVOCATION_SECONDS):
            request = revocation_request(endpoint, auth, token)
            return revocation_outcome(await context.http.send(request, ca_file=registration.ca_file))
    except (MailbearerError, TimeoutError) as error:
        _log.warning("the token of %s is deleted here, but the provider was not told: %s", grant.service, error)
        return False
