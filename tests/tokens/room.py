"""The whole room over a real store and vault, a standing clock and an authorization server in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailbearer.clock import Clock
from mailbearer.model.grant import Flow, Grant, Trouble
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.service import PopSettings, Service, ServiceId, SmtpSettings
from mailbearer.model.token import TokenStatus
from mailbearer.store.store import Store
from mailbearer.tokens.book import GrantBook
from mailbearer.tokens.context import Change, Context, Http
from mailbearer.tokens.keeper import Keeper
from mailbearer.tokens.obtain import SignIns
from mailbearer.tokens.refresh import Renewals
from mailbearer.tokens.remove import delete
from mailbearer.tokens.source import TokenSource
from mailbearer.tokens.status import TokenFacts, token_facts
from mailbearer.vault.keys import MasterKey
from mailbearer.vault.vault import Vault
from tests.fakes.clock import FakeClock
from tests.tokens.authority import ACCOUNT, PROVIDER, REGISTRATION, FakeAuthority

SMTP = Service(ServiceId("smtp"), "SMTP", (), SmtpSettings(provider="acme", account=ACCOUNT))
POP = Service(ServiceId("pop.fax"), "Fax", (), PopSettings(provider="acme", account=ACCOUNT))
KEY = MasterKey(bytes(range(32)))


class EagerClock(FakeClock):
    """Nobody waits: sleeping moves the time."""

    async def sleep(self, seconds: float) -> None:
        self._passed += max(seconds, 0)
        await self.settle()


@dataclass
class Party:
    """What ``provider_of`` answers."""

    provider: Provider = PROVIDER
    registration: Registration = REGISTRATION

    async def of(self, _: str) -> tuple[Provider, Registration]:
        return self.provider, self.registration


@dataclass
class Room:
    store: Store
    vault: Vault
    clock: Clock
    authority: FakeAuthority
    context: Context
    renewals: Renewals
    source: TokenSource
    sign_ins: SignIns
    keeper: Keeper
    party: Party
    heard: list[Change] = field(default_factory=list)

    async def get_token(self, service: Service = SMTP) -> Grant:
        """Get a token the long way."""
        await self.sign_ins.begin(service, flow=Flow.CODE, by="Ada", replace=True)
        pending = await self.sign_ins._book.pending(service.id)
        assert pending is not None
        return await self.sign_ins.finish_redirect(self.authority.callback(pending.sign_in.authorization_url))  # type: ignore[union-attr]

    async def get_token_unchecked(self) -> Grant:
        """Put a grant without refresh token into the store, as no sign-in would."""
        self.authority.gives_refresh_token = True
        grant = await self.get_token()
        bare = replace(grant, version=grant.version + 1, tokens=replace(grant.tokens, refresh_token=None))
        assert await GrantBook(self.store, self.vault).replace(bare)
        return bare

    async def held(self, service: ServiceId = SMTP.id) -> Grant:
        grant = await GrantBook(self.store, self.vault).grant(service)
        assert grant is not None
        return grant

    async def facts(self, service: ServiceId = SMTP.id) -> TokenFacts:
        return await token_facts(self.context, service)

    async def status(self, service: ServiceId = SMTP.id) -> TokenStatus:
        return (await self.facts(service)).status

    async def delete(self, service: ServiceId = SMTP.id) -> bool | None:
        return await delete(self.context, service, "Ada")

    def trouble(self, code: str = "MB-S13") -> Trouble:
        return Trouble(code, self.clock.now())

    def of_provider(self, **changes: object) -> None:
        self.party.provider = replace(self.party.provider, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    folder: Path, clock: Clock | None = None, http: Http | None = None, authority: FakeAuthority | None = None
) -> AsyncIterator[Room]:
    """Open the room over ``folder``; may be done again and again with the same one."""
    clock = clock or EagerClock()
    authority = authority or FakeAuthority(clock)
    store = await Store.open(folder, clock)
    vault = Vault(KEY)
    party = Party()
    context = Context(store, vault, http or authority, clock, party.of)
    heard: list[Change] = []
    context.on_change.append(heard.append)
    try:
        async with Renewals(context) as renewals:
            sign_ins = SignIns(context)
            source = TokenSource(context, renewals)
            keeper = Keeper(context, renewals, sign_ins)
            yield Room(store, vault, clock, authority, context, renewals, source, sign_ins, keeper, party, heard)
    finally:
        await store.close()
