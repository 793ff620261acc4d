"""The one place where all rooms are built and wired, started and stopped.

``open_app`` builds everything on one data folder, for a command; ``serve`` does that and runs it until a signal comes.
A room that only some commands need is built, and its modules are loaded, when it is first asked for: a command such as
``token access`` must be done in a blink.
"""

import asyncio
import logging
import re
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mailbearer.admin.changes import Changes
from mailbearer.admin.deeds import Deeds, Desks
from mailbearer.admin.directory import Directory
from mailbearer.admin.master_key import KeyPlace, open_vault, rotate
from mailbearer.admin.services import ServiceDesk
from mailbearer.admin.system import SystemDesk
from mailbearer.admin.tokens import TokenDesk, TokenWays
from mailbearer.clock import Clock, SystemClock
from mailbearer.config.load import load_config
from mailbearer.config.schema import Config, KeySection, KeySourceKind
from mailbearer.config.section import split_address
from mailbearer.errors import MailbearerError
from mailbearer.model.service import ServiceId
from mailbearer.net.http import HttpClient
from mailbearer.observe.systemd import notify, watchdog_seconds
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.store.folder import DataFolder
from mailbearer.store.store import Store
from mailbearer.tokens.context import Change, ChangeKind, Context
from mailbearer.tokens.obtain import SignIns
from mailbearer.tokens.refresh import Renewals
from mailbearer.tokens.source import TokenSource
from mailbearer.vault.keys import KeySource

if TYPE_CHECKING:
    from mailbearer.admin.devices import DeviceDesk
    from mailbearer.admin.mail import MailDesk
    from mailbearer.admin.providers import ProviderDesk
    from mailbearer.admin.submission import SubmissionDesk
    from mailbearer.admin.tests import TestDesk
    from mailbearer.gateway import Gateway
    from mailbearer.receiving.fetch import CheckResult, Fetcher
    from mailbearer.receiving.poller import Poller
    from mailbearer.sending.courier import Courier
    from mailbearer.sending.intake import Intake, Place
    from mailbearer.tokens.admission import Sources
    from mailbearer.tokens.keeper import Keeper
    from mailbearer.vault.passwords import PasswordHashing
    from mailbearer.web.listener import WebListener

STOP_SECONDS = 30.0  # what is on its way gets this long to end
_HOST_NAME = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else stands on."""

    context: Context
    http: HttpClient
    directory: Directory
    config: Config
    serving: bool  # in this process runs a service that delivers by itself


class App:
    """All rooms, wired."""

    def __init__(self, ground: _Ground, renewals: Renewals, changes: Changes) -> None:
        context, directory = ground.context, ground.directory
        self._ground = ground
        self.config = ground.config
        self.vault = context.vault
        self.store: Store = context.store
        self.clock: Clock = context.clock
        self.directory = directory
        self.renewals = renewals
        self.changes = changes
        self.source = TokenSource(context, renewals)
        self.sign_ins = SignIns(context)
        self.services = ServiceDesk(context, directory)
        self.tokens = TokenDesk(context, directory, self.services, TokenWays(self.sign_ins, renewals, self.source))
        place = _key_place(self.store, ground.config.key)
        desks = Desks(
            directory=directory,
            services=self.services,
            tokens=self.tokens,
            system=SystemDesk(self.store, context.vault, None if ground.serving else lambda: rotate(self.store, place)),
            providers=lambda: self.providers,
            mail=lambda: self.mail,
            tests=lambda: self.tests,
            devices=lambda: self.devices,
            submission=lambda: self.submission,
        )
        self.deeds = Deeds(desks)

    @cached_property
    def providers(self) -> "ProviderDesk":
        """Deeds on providers."""
        from mailbearer.admin.providers import ProviderDesk

        return ProviderDesk(self._ground.context, self.directory)

    @cached_property
    def keeper(self) -> "Keeper":
        """Keeps tokens alive."""
        from mailbearer.tokens.keeper import Keeper

        return Keeper(self._ground.context, self.renewals, self.sign_ins)

    @cached_property
    def intake(self) -> "Intake":
        """Takes messages into the queue."""
        from mailbearer.sending.intake import Intake

        size_max = self._ground.config.queue.message_mb * 1_000_000
        return Intake(self.store, self.clock, size_max=size_max, offer=self._offer if self._ground.serving else None)

    def _offer(self, service: ServiceId) -> "Place | None":
        return self.courier.offer(service)

    @cached_property
    def courier(self) -> "Courier":
        """Sends what is in the queue."""
        from mailbearer.sending.courier import Courier
        from mailbearer.sending.failure_report import Reporter
        from mailbearer.sending.relay import Relay

        name = hello_name()
        reporter = Reporter(self.intake, self.store.bodies, self.clock, service_of=self.services.opened, host_name=name)
        return Courier(
            self.store,
            Relay(self._sources, self.clock, hello_name=name),
            self.clock,
            on_failed=reporter.failed,
            on_delayed=reporter.delayed,
            on_relayed=reporter.relayed,
        )

    @cached_property
    def poller(self) -> "Poller":
        """Looks into mailboxes."""
        from mailbearer.receiving.poller import Poller

        return Poller(self.store, self._fetcher, self.clock, on_checked=_note_check)

    @cached_property
    def mail(self) -> "MailDesk":
        """Deeds on mail."""
        from mailbearer.admin.mail import MailDesk, MailWays
        from mailbearer.sending.queue import Queue

        ways = MailWays(
            intake=self.intake,
            courier=self.courier,
            fetcher=self._fetcher,
            queue=Queue(self.store, self.clock, self.courier.try_again),
        )
        return MailDesk(self.store, ways, served=self._ground.serving)

    @cached_property
    def tests(self) -> "TestDesk":
        """Connection Tests."""
        from mailbearer.admin.tests import TestDesk
        from mailbearer.checks.connection import Checker

        return TestDesk(Checker(self._sources, self._ground.http, self.clock, hello_name=hello_name()))

    @cached_property
    def devices(self) -> "DeviceDesk":
        """Deeds on devices."""
        from mailbearer.admin.devices import DeviceDesk, DeviceWays
        from mailbearer.gateway import doors_of

        ground = self._ground
        ways = DeviceWays(ground.context.vault, self.hashing, lambda: doors_of(self.config, hello_name()))
        return DeviceDesk(self.store, ways, self.clock)

    @cached_property
    def submission(self) -> "SubmissionDesk":
        """What programs of this machine hand in (`sendmail`)."""
        from mailbearer.admin.submission import SubmissionDesk

        return SubmissionDesk(self.store, self.intake, self.courier, self.clock, served=self._ground.serving)

    @cached_property
    def hashing(self) -> "PasswordHashing":
        """Hashes and checks passwords that people chose."""
        from mailbearer.vault.passwords import PasswordHashing

        return PasswordHashing(self.clock)

    async def open_gateway(self) -> "Gateway":
        """Build the doors for devices; they open when it runs."""
        from mailbearer.gateway import Gateway, GatewayWays
        from mailbearer.listeners.device_book import StoredDevices
        from mailbearer.vault.derived import DEVICE_PASSWORDS, lasting_key

        key = await lasting_key(self._ground.context.vault, DEVICE_PASSWORDS, self.store.meta.put_first)
        book = StoredDevices(self.store, key, self.hashing, self.clock)
        ways = GatewayWays(self.store, self.clock, self.intake, book, self.courier.wake, hello_name())
        gateway = Gateway(ways, self._ground.config)
        self.deeds.told = gateway.look_again
        return gateway

    async def settle(self) -> None:
        """End what was begun: what follows from changes, and the threads that hash passwords."""
        await self.changes.settle()
        if "hashing" in self.__dict__:
            self.hashing.close()

    @cached_property
    def _sources(self) -> "Sources":
        from mailbearer.tokens.admission import Sources

        return Sources(self.services.opened, self.directory.both, self.source)

    @cached_property
    def _fetcher(self) -> "Fetcher":
        from mailbearer.receiving.fetch import Fetcher

        return Fetcher(self.store, self._sources, self.clock)


@asynccontextmanager
async def open_app(
    folder: Path, config: Config, *, serving: bool = False, clock: Clock | None = None
) -> AsyncGenerator[App]:
    """Open the data folder and build everything on it.

    Raises:
        StoreError: the data folder or its database cannot be used.
        VaultError: the key is missing or not the right one.
    """
    clock = clock or SystemClock()
    reserve = config.queue.reserve_mb
    store = await Store.open(folder, clock, reserve=None if reserve is None else reserve * 1_000_000)
    http = HttpClient()
    try:
        vault = await open_vault(store, _key_place(store, config.key))
        directory = Directory(store, vault, load_catalogue())
        changes = Changes(store, clock, _count_change if serving else _leave_uncounted)
        context = Context(store, vault, http, clock, directory.both, [changes.hear])
        async with Renewals(context) as renewals:
            app = App(_Ground(context, http, directory, config, serving), renewals, changes)
            await app.services.ensure_standard()
            try:
                yield app
            finally:
                await app.settle()
    finally:
        await http.aclose()
        await store.close()


def hello_name() -> str:
    """Return the name by which this machine introduces itself to mail servers (RFC 5321 section 4.1.1.1)."""
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"


_KEY_SOURCES = {
    KeySourceKind.FILE: KeySource.FILE,
    KeySourceKind.CREDENTIAL: KeySource.CREDENTIAL,
    KeySourceKind.ENVIRONMENT: KeySource.ENV,
    KeySourceKind.COMMAND: KeySource.COMMAND,
}


def _key_place(store: Store, section: KeySection) -> KeyPlace:
    path = Path(section.file) if section.file else store.folder.key
    return KeyPlace(_KEY_SOURCES[section.source], path, section.command)


def _leave_uncounted(_: Change) -> None:
    """A command has no metrics."""


_OUTCOMES = {
    ChangeKind.RENEWED: "renewed",
    ChangeKind.HEALED: "renewed",
    ChangeKind.INVALID: "invalid",
    ChangeKind.TROUBLED: "troubled",
}


def _count_change(change: Change) -> None:
    from mailbearer.observe import metrics

    if outcome := _OUTCOMES.get(change.kind):
        metrics.count_renewal(outcome)


async def _note_check(service: ServiceId, outcome: "CheckResult | MailbearerError") -> None:
    from mailbearer.observe import metrics

    if isinstance(outcome, MailbearerError):
        metrics.count_poll(outcome.code)
        _log.warning("checked %s: %s See `mailbearer service test %s`.", service, outcome, service)
        return
    metrics.count_poll("ok", received=outcome.handed_over)
    if outcome.handed_over:
        _log.info("checked %s: %d new", service, outcome.handed_over)
    for problem in outcome.problems:
        _log.warning("checked %s: %s See `mailbearer service test %s`.", service, problem, service)


async def serve(
    folder: Path,
    config: Config,
    *,
    on_ready: Callable[[str], None],
    on_reload: Callable[[Config], None] = lambda _: None,
) -> None:
    """Run everything until SIGTERM or SIGINT; SIGHUP reads ``mailbearer.toml`` again.

    ``on_ready`` gets the address of the web listener, empty when there is none; ``on_reload`` what was read again.

    Raises:
        ConflictError: MB-W25, another process serves this folder.
        StoreError: the data folder, its control socket or the web address cannot be used.
    """
    data = DataFolder(folder)
    data.prepare()
    with data.serve_lock():
        async with AsyncExitStack() as stack:
            app = await stack.enter_async_context(open_app(folder, config, serving=True))
            if config.practice.enabled:
                await _open_practice(app, folder, stack)
            await _Service(app, folder, config, on_reload).run(on_ready)


async def _open_practice(app: App, folder: Path, stack: AsyncExitStack) -> None:
    from mailbearer.admin.speech import Who
    from mailbearer.practice.world import PracticeWorld

    world = await stack.enter_async_context(PracticeWorld(folder / "practice"))
    await app.providers.enter(world.provider, world.registration, who=Who("serve", "mailbearer.toml"))
    _log.info("the practice provider runs; its sign-in page is %s/device", world.issuer)


class _Service:
    """Everything that runs while the service runs."""

    def __init__(self, app: App, folder: Path, config: Config, on_reload: Callable[[Config], None]) -> None:
        self._app = app
        self._folder = folder
        self._config = config
        self._on_reload = on_reload
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._moved = asyncio.Event()
        self._ready = False
        self._web: WebListener | None = None
        self._gateway: Gateway | None = None

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Run until told to stop; then what is on its way gets ``STOP_SECONDS`` to end."""
        from mailbearer.control.server import ControlServer

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        app = self._app
        self._web = self._listener(self._config)
        self._gateway = gateway = await app.open_gateway()
        control = ControlServer(app.store.folder.socket, app.deeds, app.clock)
        control.open()
        work = (
            control.serve(),
            app.keeper.run(),
            app.courier.run(),
            app.poller.run(),
            app.changes.attend(self._wake),
            self._attend_reloads(),
            self._serve_web(),
            _reassure_systemd(app.clock),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in work]
            doors = tasks.create_task(gateway.run())  # after the queue: what they take has somewhere to go
            await gateway.opened.wait()
            self._ready = True
            notify("READY=1")
            on_ready(self._address())
            await self._stop.wait()
            self._ready = False
            notify("STOPPING=1")
            _log.info("stopping")
            doors.cancel()
            await asyncio.wait([doors], timeout=STOP_SECONDS)
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=STOP_SECONDS)
            _log.info("stopped")

    def _wake(self, service: ServiceId) -> None:
        self._app.courier.reopen(service)
        self._app.poller.wake(service)

    async def _attend_reloads(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            notify("RELOADING=1")
            try:
                self._take_over(load_config(self._folder))
            except MailbearerError as error:
                _log.error("mailbearer.toml is not taken over: %s", error)
            notify("READY=1")

    def _take_over(self, config: Config) -> None:
        before, self._config = self._config, config
        self._app.config = config
        self._on_reload(config)
        if config.web != before.web:
            self._moved.set()
            if self._web is not None:
                self._web.stop()
        if self._gateway is not None:
            self._gateway.take_over(config)
        for room in (self._app.keeper, self._app.courier, self._app.poller):
            room.wake()
        _log.info("mailbearer.toml was read again")
        if (config.key, config.queue, config.practice) != (before.key, before.queue, before.practice):
            _log.info("[key], [queue] and [practice] count from the next start on")

    def _listener(self, config: Config) -> "WebListener | None":
        from mailbearer.web.listener import WebListener
        from mailbearer.web.site import Windows, build_site

        if not config.web.enabled:
            return None
        host, port = split_address(config.web.address, field="[web] address")
        windows = Windows(ready=self._missing, metrics=self._metrics, come_back=self._come_back)
        return WebListener(build_site(windows), host, port)

    async def _serve_web(self) -> None:
        """Serve, and after a reload that changed the address serve there; where that cannot be, as before."""
        good = self._config
        while True:
            if self._web is not None:
                await self._web.serve()
            await self._moved.wait()
            self._moved.clear()
            try:
                self._web = self._listener(self._config)
                good = self._config
            except MailbearerError as error:
                _log.error("[web] address is not taken over: %s", error)
                self._web = self._listener(good)

    def _address(self) -> str:
        if self._web is None:
            return ""
        host, _ = split_address(self._config.web.address, field="[web] address")
        return f"http://{f'[{host}]' if ':' in host else host}:{self._web.port}"

    async def _missing(self) -> str:
        if not self._ready:
            return "the service is starting or stopping"
        try:
            await self._app.store.messages.next_due_at()
        except MailbearerError as error:
            return error.message
        return ""

    async def _metrics(self) -> bytes:
        from mailbearer.observe import metrics

        metrics.set_queue({state.value: count for state, count in (await self._app.store.messages.counts()).items()})
        oldest = await self._app.store.messages.oldest_living()
        metrics.set_oldest(0.0 if oldest is None else max((self._app.clock.now() - oldest).total_seconds(), 0.0))
        metrics.set_connections({} if self._gateway is None else self._gateway.connections)
        metrics.set_tokens(await self._app.tokens.counts())
        return metrics.render()

    async def _come_back(self, query: str) -> str:
        return (await self._app.sign_ins.finish_redirect(query)).account


async def _reassure_systemd(clock: Clock) -> None:
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await clock.sleep(seconds)
