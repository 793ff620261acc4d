"""The one place where all rooms are built and wired, started and stopped.

``open_app`` builds everything on one data folder, for a command; ``serve`` does that and runs it until a signal comes.
"""

import asyncio
import logging
import re
import signal
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbearer.admin.deeds import Deeds, Desks
from mailbearer.admin.directory import Directory
from mailbearer.admin.mail import MailDesk, MailWays
from mailbearer.admin.providers import ProviderDesk
from mailbearer.admin.services import ServiceDesk
from mailbearer.admin.system import SystemDesk
from mailbearer.admin.tests import TestDesk
from mailbearer.admin.tokens import TokenDesk, TokenWays
from mailbearer.checks.connection import Checker
from mailbearer.clock import Clock, SystemClock
from mailbearer.config.load import load_config, split_address
from mailbearer.config.schema import Config, KeySourceKind
from mailbearer.control.server import ControlServer
from mailbearer.errors import ConflictError, MailbearerError, StoreError, VaultError
from mailbearer.model.service import ServiceId
from mailbearer.net.http import HttpClient
from mailbearer.observe.log import set_up_logging
from mailbearer.observe.systemd import notify, watchdog_seconds
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.receiving.fetch import CheckResult, Fetcher
from mailbearer.receiving.poller import Poller
from mailbearer.sending.courier import Courier
from mailbearer.sending.intake import Intake
from mailbearer.sending.queue import Queue
from mailbearer.sending.relay import Relay
from mailbearer.store.folder import DataFolder
from mailbearer.store.store import VAULT_CHECK, Store
from mailbearer.tokens.admission import Sources
from mailbearer.tokens.context import Change, ChangeKind, Context
from mailbearer.tokens.keeper import Keeper
from mailbearer.tokens.obtain import SignIns
from mailbearer.tokens.refresh import Renewals
from mailbearer.tokens.source import TokenSource
from mailbearer.vault import rotation
from mailbearer.vault.keys import KeySource, MasterKey, load_key
from mailbearer.vault.vault import Vault
from mailbearer.web.listener import WebListener
from mailbearer.web.site import Windows, build_site

STOP_SECONDS = 30.0  # what is on its way gets this long to end
RELEASING = frozenset({ChangeKind.RETRIEVED, ChangeKind.HEALED, ChangeKind.RENEWED})
_HOST_NAME = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    """All rooms, wired."""

    store: Store
    clock: Clock
    directory: Directory
    services: ServiceDesk
    providers: ProviderDesk
    renewals: Renewals
    sign_ins: SignIns
    keeper: Keeper
    courier: Courier
    poller: Poller
    deeds: Deeds
    changes: "Changes"


class Changes:
    """What became of tokens, and what follows: held mail is released, mailboxes are looked into, the log is told."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[Change] = []
        self._happened = asyncio.Event()

    def hear(self, change: Change) -> None:
        """Take note; called in the middle of somebody else's work."""
        self._waiting.append(change)
        self._happened.set()

    async def settle(self) -> frozenset[ServiceId]:
        """Do what follows from what was heard; return the services that have a token to use now."""
        self._happened.clear()
        heard, self._waiting = self._waiting, []
        released: set[ServiceId] = set()
        for change in heard:
            level = logging.WARNING if change.kind in {ChangeKind.INVALID, ChangeKind.TROUBLED} else logging.INFO
            _log.log(level, "token %s: %s %s", change.service, change.kind, change.code)
            if change.kind in RELEASING:
                await self._store.messages.release_held(change.service, now=self._clock.now())
                released.add(change.service)
        return frozenset(released)

    async def attend(self, wake: Callable[[ServiceId], None]) -> None:
        """Settle whenever something happens, and wake those whom it concerns."""
        while True:
            await self._happened.wait()
            try:
                for service in await self.settle():
                    wake(service)
            except StoreError as error:
                _log.error("%s", error)


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
        vault = await _open_vault(store, config)
        directory = Directory(store, vault, load_catalogue())
        changes = Changes(store, clock)
        context = Context(store, vault, http, clock, directory.both, [changes.hear])
        async with Renewals(context) as renewals:
            app = _build(_Ground(context, http, directory, config), renewals, changes, serving=serving)
            await app.services.ensure_standard()
            yield app
            await changes.settle()
    finally:
        await http.aclose()
        await store.close()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else stands on."""

    context: Context
    http: HttpClient
    directory: Directory
    config: Config


def _build(ground: _Ground, renewals: Renewals, changes: Changes, *, serving: bool) -> App:
    context, directory, config = ground.context, ground.directory, ground.config
    store, clock = context.store, context.clock
    source = TokenSource(context, renewals)
    services = ServiceDesk(context, directory)
    providers = ProviderDesk(context, directory)
    sign_ins = SignIns(context)
    sources = Sources(services.opened, directory.both, source)
    relay = Relay(sources, store.spool, clock, hello_name=hello_name())
    courier = Courier(store, relay, clock)
    fetcher = Fetcher(store, sources, clock)
    ways = MailWays(
        intake=Intake(store, clock, size_max=config.queue.message_mb * 1_000_000),
        courier=courier,
        fetcher=fetcher,
        queue=Queue(store, clock, courier.wake),
    )
    rotate = None if serving else lambda: _rotate(context, config)
    desks = Desks(
        directory=directory,
        services=services,
        providers=providers,
        tokens=TokenDesk(context, directory, services, TokenWays(sign_ins, renewals, source)),
        mail=MailDesk(store, ways, served=serving),
        tests=TestDesk(Checker(sources, ground.http, clock, hello_name=hello_name())),
        system=SystemDesk(store, context.vault, rotate),
    )
    return App(
        store=store,
        clock=clock,
        directory=directory,
        services=services,
        providers=providers,
        renewals=renewals,
        sign_ins=sign_ins,
        keeper=Keeper(context, renewals, sign_ins),
        courier=courier,
        poller=Poller(store, fetcher, clock, on_checked=_note_check),
        deeds=Deeds(desks),
        changes=changes,
    )


def hello_name() -> str:
    """Return the name by which this machine introduces itself to mail servers (RFC 5321 section 4.1.1.1)."""
    name = socket.gethostname()
    return name if _HOST_NAME.fullmatch(name) else "localhost"


async def _note_check(service: ServiceId, outcome: CheckResult | MailbearerError) -> None:
    match outcome:
        case CheckResult(handed_over=count, problems=problems):
            if count:
                _log.info("checked %s: %d new", service, count)
            for problem in problems:
                _log.warning("checked %s: %s", service, problem)
        case MailbearerError():
            _log.warning("checked %s: %s", service, outcome)


async def _open_vault(store: Store, config: Config) -> Vault:
    """Return the vault of this folder; a key is made only where nothing was ever sealed."""
    check = await store.meta.get(VAULT_CHECK)
    source, path = _KEY_SOURCES[config.key.source], _key_path(store, config)
    if check is not None and source is KeySource.FILE:
        rotated = rotation.recovered(path, lambda key: _fits(key, check))
        if rotated is not None:
            return Vault(rotated)
    vault = Vault(load_key(source, path, command=config.key.command, create=check is None))
    vault.verify_check(await store.meta.put_first(VAULT_CHECK, vault.check_value()))
    return vault


def _fits(key: MasterKey, check: bytes) -> bool:
    try:
        Vault(key).verify_check(check)
    except VaultError:
        return False
    return True


def _key_path(store: Store, config: Config) -> Path:
    return Path(config.key.file) if config.key.file else store.folder.key


_KEY_SOURCES = {
    KeySourceKind.FILE: KeySource.FILE,
    KeySourceKind.CREDENTIAL: KeySource.CREDENTIAL,
    KeySourceKind.ENVIRONMENT: KeySource.ENV,
    KeySourceKind.COMMAND: KeySource.COMMAND,
}


async def _rotate(context: Context, config: Config) -> tuple[int, str]:
    """Seal everything with a new key; return how many secrets that were, and the id of the key."""
    store = context.store
    if config.key.source is not KeySourceKind.FILE:
        raise ConflictError("MB-W36", source=config.key.source)
    if not store.take_alone():
        raise ConflictError("MB-W35")
    path = _key_path(store, config)
    new = rotation.begin(path)
    vault = Vault(new, (load_key(KeySource.FILE, path),))
    count = await store.rewrap(vault.rewrap, check=vault.check_value())
    rotation.finish(path)
    return count, vault.key_id


async def serve(folder: Path, config: Config, *, on_ready: Callable[[str], None]) -> None:
    """Run everything until SIGTERM or SIGINT; SIGHUP reads ``mailbearer.toml`` again.

    Raises:
        ConflictError: MB-W25, another process serves this folder.
    """
    data = DataFolder(folder)
    data.prepare()
    with data.serve_lock():
        async with open_app(folder, config, serving=True) as app:
            await _Service(app, folder, config, on_ready).run()


class _Service:
    """Everything that runs while the service runs."""

    def __init__(self, app: App, folder: Path, config: Config, on_ready: Callable[[str], None]) -> None:
        self._app = app
        self._folder = folder
        self._config = config
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._moved = asyncio.Event()
        self._ready = False
        self._web: WebListener | None = None

    async def run(self) -> None:
        """Run until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        app = self._app
        self._open_web()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work)
                for work in (
                    ControlServer(app.store.folder.socket, app.deeds).serve(),
                    app.keeper.run(),
                    app.courier.run(),
                    app.poller.run(),
                    app.changes.attend(self._wake),
                    self._attend_reloads(),
                    self._serve_web(),
                    _reassure_systemd(app.clock),
                )
            ]
            self._ready = True
            notify("READY=1")
            self._on_ready(self._address())
            await self._stop.wait()
            self._ready = False
            notify("STOPPING=1")
            _log.info("stopping")
            for task in running:
                task.cancel()
            await asyncio.wait(running, timeout=STOP_SECONDS)

    def _wake(self, service: ServiceId) -> None:
        self._app.courier.wake()
        self._app.poller.wake(service)

    async def _attend_reloads(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            notify("RELOADING=1")
            try:
                config = load_config(self._folder)
            except MailbearerError as error:
                _log.error("mailbearer.toml is not taken over: %s", error)
            else:
                self._take_over(config)
            notify("READY=1")

    def _take_over(self, config: Config) -> None:
        set_up_logging(level=config.log.level, json_lines=config.log.format == "json")
        if config.web != self._config.web:
            self._moved.set()
            if self._web is not None:
                self._web.stop()
        self._config = config
        for room in (self._app.keeper, self._app.courier, self._app.poller):
            room.wake()
        _log.info("mailbearer.toml was read again")

    def _open_web(self) -> None:
        web = self._config.web
        host, port = split_address(web.address, field="[web] address")
        windows = Windows(ready=self._missing, metrics=_no_metrics, come_back=self._come_back)
        self._web = WebListener(build_site(windows), host, port) if web.enabled else None

    async def _serve_web(self) -> None:
        """Serve, and after a reload that changed the address serve there."""
        while True:
            if self._web is not None:
                await self._web.serve()
            await self._moved.wait()
            self._moved.clear()
            try:
                self._open_web()
            except StoreError as error:
                _log.error("%s", error)
                self._web = None

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

    async def _come_back(self, url: str) -> str:
        return (await self._app.sign_ins.finish_redirect(url)).account


def _no_metrics() -> bytes:
    return b""


async def _reassure_systemd(clock: Clock) -> None:
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await clock.sleep(seconds)
