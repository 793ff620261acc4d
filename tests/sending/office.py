"""The whole way of a message with nothing pretended but the time: real store, tokens, sockets, practice servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mailbearer.errors import NotFoundError
from mailbearer.model.envelope import DsnWishes, Envelope
from mailbearer.model.grant import CodeSignIn, Flow
from mailbearer.model.message import MessageId, QueuedMessage
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.service import Destination, PopSettings, Service, ServiceId, SmtpSettings, TlsMode
from mailbearer.net.http import HttpClient
from mailbearer.practice.world import PracticeWorld
from mailbearer.receiving.fetch import Fetcher
from mailbearer.sending.courier import Courier
from mailbearer.sending.intake import Intake
from mailbearer.sending.queue import Queue
from mailbearer.sending.relay import Relay
from mailbearer.store.store import Store
from mailbearer.tokens.admission import Sources
from mailbearer.tokens.context import Context
from mailbearer.tokens.obtain import SignIns
from mailbearer.tokens.refresh import Renewals
from mailbearer.tokens.source import TokenSource
from mailbearer.vault.keys import MasterKey
from mailbearer.vault.vault import Vault
from tests.fakes.clock import FakeClock

ANNA, BOB = "anna@practice.example", "bob@practice.example"
SMTP, POP = ServiceId("smtp"), ServiceId("pop.fax")
KEY = MasterKey(bytes(range(32)))
LETTER = b"From: anna@practice.example\r\nMessage-ID: <1@practice.example>\r\nSubject: %b\r\n\r\nHello\r\n"


async def _in_chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


@dataclass
class Office:
    store: Store
    clock: FakeClock
    world: PracticeWorld
    context: Context
    sources: Sources
    services: dict[ServiceId, Service]
    limits: dict[str, int]
    failed: list[QueuedMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.intake = Intake(self.store, self.clock)
        self.relay = Relay(self.sources, self.clock, hello_name="scanner.practice.example")
        self.courier = self.new_courier()
        self.queue = Queue(self.store, self.clock, self.courier.try_again)
        self.fetcher = Fetcher(self.store, self.sources, self.clock)

    def new_courier(self, **options: object) -> Courier:
        async def on_failed(message: QueuedMessage) -> None:
            self.failed.append(message)

        return Courier(self.store, self.relay, self.clock, **{"on_failed": on_failed, **options})  # type: ignore[arg-type]

    async def get_token(self, service: ServiceId = SMTP) -> None:
        sign_ins = SignIns(self.context)
        redirect = "http://127.0.0.1:1/callback"
        pending = await sign_ins.begin(self.services[service], flow=Flow.CODE, by="Ada", redirect_uri=redirect)
        assert isinstance(pending.sign_in, CodeSignIn)
        await sign_ins.finish_redirect(self.world.authorize(pending.sign_in.authorization_url, ANNA))

    async def put(
        self,
        *recipients: str,
        subject: str = "Scan",
        content: bytes = b"",
        device: str = "",
        dsn: DsnWishes | None = None,
    ) -> MessageId:
        acceptance = self.intake.begin(SMTP, device=device)
        async for chunk in _in_chunks(content or LETTER % subject.encode()):
            acceptance.write(chunk)
        return (await acceptance.commit(Envelope(ANNA, recipients or (BOB,), dsn))).id

    async def state(self, message: MessageId) -> str:
        return str((await self.store.messages.get(message)).state)

    def delivered(self, account: str = BOB) -> list[str]:
        """Return the subjects in a mailbox."""
        return [mail.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for mail in self.world.mailbox(account)]

    def sets(self, service: ServiceId, **changes: object) -> None:
        """Change the settings of a service."""
        old = self.services[service]
        self.services[service] = replace(old, settings=replace(old.settings, **changes))  # type: ignore[arg-type]

    def receives_into(self, *destinations: Destination, **changes: object) -> None:
        self.sets(POP, destinations=destinations, **changes)


@asynccontextmanager
async def office(folder: Path, clock: FakeClock | None = None) -> AsyncIterator[Office]:
    clock = clock or FakeClock()
    async with PracticeWorld(folder / "practice", clock=clock) as world:
        services = {
            SMTP: Service(
                SMTP,
                "Mail",
                (),
                SmtpSettings("localhost", "", world.ports.smtp, provider="practice", account=ANNA, sender_address=ANNA),
            ),
            POP: Service(
                POP,
                "Fax",
                (),
                PopSettings("localhost", world.ports.pop3s, provider="practice", account=ANNA, tls=TlsMode.IMPLICIT),
            ),
        }

        async def service_of(identity: ServiceId) -> Service:
            if identity not in services:
                raise NotFoundError("MB-W20", kind="service", name=identity, known="")
            return services[identity]

        async def provider_of(_: str) -> tuple[Provider, Registration]:
            return world.provider, replace(world.registration, limits=limits)

        limits: dict[str, int] = {}
        store = await Store.open(folder / "data", clock)
        http = HttpClient()
        context = Context(store, Vault(KEY), http, clock, provider_of)
        try:
            async with Renewals(context) as renewals:
                sources = Sources(service_of, provider_of, TokenSource(context, renewals))
                yield Office(store, clock, world, context, sources, services, limits)
        finally:
            await store.close()
