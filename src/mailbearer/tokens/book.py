"""Grants and sign-ins of the store as open values: seals what goes in, opens what comes out, whole or not at all."""

import json
from dataclasses import replace
from datetime import datetime

from mailbearer.model.grant import CodeSignIn, DeviceSignIn, Flow, Grant, Pending, Trouble
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.model.token import TokenSet
from mailbearer.protocol.oauth.json_object import raw_text_in, read_object
from mailbearer.store.grants import GrantTimes, SealedGrant
from mailbearer.store.pendings import SealedPending
from mailbearer.store.store import Store
from mailbearer.tokens.schedule import RenewalFacts
from mailbearer.vault.vault import Vault


class GrantBook:
    """Reads and writes grants and sign-ins. Nothing that it returns is half open."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    async def grant(self, service: ServiceId) -> Grant | None:
        """Return the grant of ``service``, None when it has none.

        Raises:
            VaultError: MB-T26, its tokens do not open.
        """
        sealed = await self._store.grants.get(service)
        return None if sealed is None else self.opened(sealed)

    def opened(self, sealed: SealedGrant) -> Grant:
        """Return ``sealed`` with its tokens open.

        Raises:
            VaultError: MB-T26, they do not open.
        """
        kept = self._open(sealed.sealed, _grant_place(sealed.service, sealed.version))
        refresh_token = kept["refresh_token"]
        return Grant(
            service=sealed.service,
            version=sealed.version,
            tokens=TokenSet(
                access_token=Secret(kept["access_token"]),
                expires_at=sealed.access_expires_at,
                refresh_token=Secret(refresh_token) if refresh_token else None,
                scope=sealed.scope,
            ),
            provider=sealed.provider,
            account=sealed.account,
            account_confirmed=sealed.account_confirmed,
            flow=sealed.flow,
            obtained_at=sealed.obtained_at,
            refreshed_at=sealed.refreshed_at,
            invalid=sealed.invalid,
            trouble=sealed.trouble,
            failures=sealed.failures,
            next_try=sealed.next_try,
        )

    def sealed(self, grant: Grant) -> SealedGrant:
        """Return ``grant`` with its tokens sealed for the row and version that it names."""
        tokens = grant.tokens
        kept = {
            "access_token": tokens.access_token.reveal(),
            "refresh_token": tokens.refresh_token.reveal() if tokens.refresh_token else "",
        }
        return SealedGrant(
            service=grant.service,
            version=grant.version,
            sealed=self._seal(kept, _grant_place(grant.service, grant.version)),
            access_expires_at=tokens.expires_at,
            scope=tokens.scope,
            provider=grant.provider,
            account=grant.account,
            account_confirmed=grant.account_confirmed,
            flow=grant.flow,
            obtained_at=grant.obtained_at,
            refreshed_at=grant.refreshed_at,
            invalid=grant.invalid,
            trouble=grant.trouble,
            failures=grant.failures,
            next_try=grant.next_try,
        )

    async def replace(self, renewed: Grant) -> bool:
        """Write a renewed grant over the version before its own; tell whether that was still the one held."""
        return await self._store.grants.replace(self.sealed(renewed), expected_version=renewed.version - 1)

    async def complete(self, grant: Grant, pending: str) -> Grant | None:
        """Write the grant that the sign-in ``pending`` gave, whatever is held; return it with its version.

        None when the sign-in is no longer under way: it was cancelled, deleted or begun anew.
        """
        grants = self._store.grants
        while True:
            numbered = replace(grant, version=await grants.epoch(grant.service) + 1)
            if await grants.complete(self.sealed(numbered), pending=pending):
                return numbered
            under_way = await self._store.pendings.get(grant.service)
            if under_way is None or under_way.id != pending:
                return None  # else the held grant was renewed meanwhile, and the next version is another one

    async def note(
        self,
        grant: Grant,
        *,
        invalid: Trouble | None,
        trouble: Trouble | None,
        failures: int,
        next_try: datetime | None,
    ) -> bool:
        """Write what is known about the tokens of ``grant``; tell whether they are still the ones held."""
        return await self._store.grants.update_state(
            grant.service,
            expected_version=grant.version,
            invalid=invalid,
            trouble=trouble,
            failures=failures,
            next_try=next_try,
        )

    async def begin(self, pending: Pending, *, replace_other: bool) -> None:
        """Write down a sign-in that begins.

        Raises:
            ConflictError: MB-T29, another one is under way.
        """
        await self._store.pendings.begin(self._sealed_pending(pending), replace=replace_other)

    async def pending(self, service: ServiceId) -> Pending | None:
        """Return the sign-in under way for ``service``, None when there is none."""
        sealed = await self._store.pendings.get(service)
        return None if sealed is None else self.opened_pending(sealed)

    async def pendings(self) -> tuple[Pending, ...]:
        """Return all sign-ins under way."""
        return tuple(self.opened_pending(sealed) for sealed in await self._store.pendings.all())

    def opened_pending(self, sealed: SealedPending) -> Pending:
        """Return ``sealed`` with its codes open.

        Raises:
            VaultError: MB-T26, they do not open.
        """
        kept = self._open(sealed.sealed, _pending_place(sealed.service, sealed.id))
        return Pending(
            service=sealed.service,
            id=sealed.id,
            started_at=sealed.started_at,
            expires_at=sealed.expires_at,
            started_by=sealed.started_by,
            scopes=sealed.scopes,
            sign_in=_device_in(kept, sealed) if sealed.flow is Flow.DEVICE else _code_in(kept),
            next_poll=sealed.next_poll,
            provider=kept["provider"],
            account=kept["account"],
        )

    def _sealed_pending(self, pending: Pending) -> SealedPending:
        sign_in = pending.sign_in
        kept = {"provider": pending.provider, "account": pending.account, **_texts_of(sign_in)}
        polled = {"interval": sign_in.interval} if isinstance(sign_in, DeviceSignIn) else {}
        return SealedPending(
            service=pending.service,
            id=pending.id,
            flow=pending.flow,
            started_at=pending.started_at,
            expires_at=pending.expires_at,
            started_by=pending.started_by,
            scopes=pending.scopes,
            sealed=self._seal(kept, _pending_place(pending.service, pending.id)),
            next_poll=pending.next_poll,
            **polled,
        )

    def _seal(self, kept: dict[str, str], place: str) -> bytes:
        return self._vault.seal(Secret(json.dumps(kept)), place=place)

    def _open(self, sealed: bytes, place: str) -> dict[str, str]:
        kept = read_object(self._vault.open(sealed, place=place).reveal().encode())
        return {name: raw_text_in(kept, name) for name in kept}


def facts_of(grant: Grant | SealedGrant | GrantTimes) -> RenewalFacts:
    """Return what the schedule must know of ``grant``."""
    expires_at = grant.tokens.expires_at if isinstance(grant, Grant) else grant.access_expires_at
    return RenewalFacts(grant.refreshed_at, expires_at, grant.next_try)


def _grant_place(service: ServiceId, version: int) -> str:
    return f"grants/{service}/tokens/{version}"


def _pending_place(service: ServiceId, pending: str) -> str:
    return f"pendings/{service}/{pending}"


def _texts_of(sign_in: DeviceSignIn | CodeSignIn) -> dict[str, str]:
    match sign_in:
        case DeviceSignIn():
            return {
                "device_code": sign_in.device_code.reveal(),
                "user_code": sign_in.user_code,
                "verification_uri": sign_in.verification_uri,
                "verification_uri_complete": sign_in.verification_uri_complete,
                "message": sign_in.message,
            }
        case CodeSignIn():
            return {
                "authorization_url": sign_in.authorization_url,
                "redirect_uri": sign_in.redirect_uri,
                "state": sign_in.state.reveal(),
                "code_verifier": sign_in.code_verifier.reveal(),
                "issuer": sign_in.issuer,
            }


def _device_in(kept: dict[str, str], sealed: SealedPending) -> DeviceSignIn:
    return DeviceSignIn(
        device_code=Secret(kept["device_code"]),
        user_code=kept["user_code"],
        verification_uri=kept["verification_uri"],
        verification_uri_complete=kept["verification_uri_complete"],
        interval=sealed.interval,
        message=kept["message"],
    )


def _code_in(kept: dict[str, str]) -> CodeSignIn:
    return CodeSignIn(
        authorization_url=kept["authorization_url"],
        redirect_uri=kept["redirect_uri"],
        state=Secret(kept["state"]),
        code_verifier=Secret(kept["code_verifier"]),
        issuer=kept["issuer"],
    )
