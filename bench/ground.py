"""Data folders as after a year of use: services, each with a grant, sealed and stored by the product itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.processes import MAILBEARER, free_port
from bench.provider import account_of, refresh_token_of
from mailbearer.admin.speech import Who
from mailbearer.app import open_app
from mailbearer.clock import SystemClock
from mailbearer.config.schema import Config
from mailbearer.model.grant import Flow, Grant
from mailbearer.model.secret import Secret
from mailbearer.model.service import PopSettings, Service, ServiceId
from mailbearer.model.token import TokenSet
from mailbearer.practice.options import OFFLINE, RECEIVE
from mailbearer.practice.provider import PROVIDER_ID, Ports, practice_provider
from mailbearer.store.store import Store
from mailbearer.tokens.book import GrantBook
from mailbearer.vault.keys import KeySource, load_key
from mailbearer.vault.vault import Vault

LIFE = timedelta(hours=1)  # of an access token, as everywhere
RENEWAL_AGE = timedelta(minutes=50)  # at which each is due, give or take a minute
NO_PORTS = Ports(http=1, smtp=1, smtps=1, pop3=1, pop3s=1)

Age = Callable[[int], timedelta]  # how long ago the token of service number N was renewed


def live(_: int) -> timedelta:
    """Nothing to do for the best part of an hour."""
    return timedelta()


def overdue(_: int) -> timedelta:
    """The machine was off for a night."""
    return timedelta(hours=9)


def spread(services: int) -> Age:
    """As it is in the middle of a day: as many due in one minute as in the next."""
    return lambda number: RENEWAL_AGE * ((number + 0.5) / services)


@dataclass(frozen=True, slots=True)
class Ground:
    """A data folder."""

    folder: Path
    port: int  # of the web listener
    first: ServiceId

    def command(self, *words: str) -> list[str]:
        """Return the words that call ``mailbearer`` on this folder."""
        return [MAILBEARER, "--data", str(self.folder), *words]


def lay(folder: Path, *, services: int, age: Age, ports: Ports = NO_PORTS) -> Ground:
    """Make a data folder whose ``services`` have grants of the practice provider at ``ports``.

    The three services that exist from the start come first, then POP services.
    """
    folder.mkdir(mode=0o700)
    port = free_port()
    (folder / "mailbearer.toml").write_text(f'[web]\naddress = "127.0.0.1:{port}"\n', encoding="utf-8")
    return Ground(folder, port, asyncio.run(_fill(folder, services, age, ports)))


async def _fill(folder: Path, services: int, age: Age, ports: Ports) -> ServiceId:
    """Store everything and return the identifier of the first service."""
    provider, registration = practice_provider(ports, folder / "ca.pem")
    registration = type(registration)(registration.provider, registration.client_id)  # no mail, so no certificate
    async with open_app(folder, Config()) as app:
        await app.providers.enter(provider, registration, who=Who("bench", "here"))
        names = [each.id for each in await app.store.services.all()]
    store = await Store.open(folder, SystemClock())
    try:
        book = GrantBook(store, Vault(load_key(KeySource.FILE, store.folder.key)))
        more = [_service(number) for number in range(len(names), services)]
        await asyncio.gather(*(store.services.put(each, expected_version=0, sealed_password=None) for each in more))
        names = (names + [each.id for each in more])[:services]
        grants = [stored_grant(name, number, age(number)) for number, name in enumerate(names)]
        kept = await asyncio.gather(*(store.grants.insert(book.sealed(grant)) for grant in grants))
        assert all(kept)
    finally:
        await store.close()
    return names[0]


def _service(number: int) -> Service:
    settings = PopSettings(provider=PROVIDER_ID, account=account_of(number))
    return Service(ServiceId(f"pop.machine-{number}"), f"Machine {number}", (), settings)


def stored_grant(name: ServiceId, number: int, age: timedelta, *, account: str = "") -> Grant:
    """Return the grant of service number ``number`` as it was ``age`` after its last renewal."""
    renewed = datetime.now(UTC) - age
    return Grant(
        service=name,
        version=1,
        tokens=TokenSet(
            access_token=Secret("access-token-" + "x" * 2_000),  # as long as Microsoft's
            expires_at=renewed + LIFE,
            refresh_token=Secret(refresh_token_of(number)),
            scope=(RECEIVE, OFFLINE),
        ),
        provider=PROVIDER_ID,
        account=account or account_of(number),
        account_confirmed=True,
        flow=Flow.DEVICE,
        obtained_at=renewed - timedelta(days=365),
        refreshed_at=renewed,
    )
