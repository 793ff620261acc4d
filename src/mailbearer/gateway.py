"""The gateway: the listeners and watched folders that ``mailbearer.toml`` names, opened, taken over and closed.

One that cannot be opened is told in the log and tried again; the others run.
"""

import asyncio
import logging
import secrets
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from mailbearer import sentences
from mailbearer.admin.doors import Door
from mailbearer.clock import Clock
from mailbearer.config.lists import is_loopback
from mailbearer.config.schema import BareLf, Config, ListenerKind, ListenerSection, ListenerTls, WatchSection
from mailbearer.config.section import split_address
from mailbearer.errors import MailbearerError
from mailbearer.listeners.desk import Desk, Encryption, ListenerOptions
from mailbearer.listeners.device_auth import DeviceGate
from mailbearer.listeners.device_book import StoredDevices
from mailbearer.listeners.limits import HOUR, HourlyCount, Limits
from mailbearer.listeners.listener import Listener
from mailbearer.listeners.own_certificate import own_certificates
from mailbearer.listeners.tls import Certificate, server_context
from mailbearer.model.device import DeviceId
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageState, QueuedMessage
from mailbearer.model.service import ServiceId, SmtpSettings
from mailbearer.observe import metrics
from mailbearer.observe.open_files import KEPT, open_files
from mailbearer.protocol.smtp.dialect import OLD_DEVICES, LineEnds
from mailbearer.sending import intake as queue_intake
from mailbearer.sending.from_policy import Sender
from mailbearer.sending.watch import Watch, WatchedFolder
from mailbearer.store.store import Store

RETRY_SECONDS: Final = 15.0
"""A port that another program has may be free by then: ours of before, when it was restarted."""

NOTICE_SECONDS: Final = 60.0
NOTICES_MAX: Final = 1_000
_ENCRYPTION: Final = {
    ListenerTls.NONE: Encryption.NONE,
    ListenerTls.STARTTLS: Encryption.STARTTLS,
    ListenerTls.IMPLICIT: Encryption.IMPLICIT,
    ListenerTls.BOTH: Encryption.BOTH,
}
_LINE_ENDS: Final = {BareLf.REPAIR: LineEnds.REPAIR, BareLf.REFUSE: LineEnds.REFUSE}
_NEAR: Final = replace(Limits(), first_byte=0.4)  # a program on this machine; on a busy one s-nail took 0.1 s
_FAR: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # RFC 5737, RFC 3849: nobody is there
_FAMILIES: Final = {
    "0.0.0.0": (socket.AF_INET,),  # noqa: S104 - compared with, not bound to
    "::": (socket.AF_INET6,),
    "*": (socket.AF_INET, socket.AF_INET6),
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayWays:
    """What the gateway needs of the other rooms; ``wake`` calls the courier."""

    store: Store
    clock: Clock
    intake: queue_intake.Intake
    book: StoredDevices
    wake: Callable[[ServiceId], None]
    host_name: str


class Gateway:
    """Runs the listeners and watched folders of ``config``; ``opened`` is set once everything was tried."""

    def __init__(self, ways: GatewayWays, config: Config) -> None:
        self._ways = ways
        self._config = config
        self._senders: dict[ServiceId, Sender] = {}
        self._hourly = HourlyCount()
        self._mark = ""
        self._open: dict[ListenerSection, tuple[Listener, asyncio.Task[None]]] = {}
        self._watched: dict[WatchSection, asyncio.Task[None]] = {}
        self._failed: set[ListenerSection] = set()
        self._changed = asyncio.Event()
        self._renew = False
        self._short = 0  # connections for which there are not enough open files, as it was told
        self._notices = _Notices(ways.clock)
        self._gate = DeviceGate(ways.book, ways.clock, self._notices)
        self.opened = asyncio.Event()

    @property
    def connections(self) -> dict[str, int]:
        """How many are connected, by the names of the listeners."""
        return {section.name: listener.connections for section, (listener, _) in self._open.items()}

    @property
    def ports(self) -> dict[str, int]:
        """The ports that are open, by the names of their listeners."""
        return {section.name: listener.port for section, (listener, _) in self._open.items()}

    def take_over(self, config: Config) -> None:
        """Go on with ``config``: what it says as before stays open, with its certificate read again."""
        self._config = config
        self._renew = True
        self._failed.clear()
        self._changed.set()

    async def look_again(self) -> None:
        """Take over devices and services as they are stored now."""
        await self._ways.book.load()
        self._senders = {
            service.id: Sender(service.settings.sender_name, service.settings.sender_address)
            for service in await self._ways.store.services.all()
            if isinstance(service.settings, SmtpSettings)
        }
        self._hourly.remember(await self._sent_lately())

    async def _sent_lately(self) -> dict[DeviceId, list[float]]:
        """Return when devices that have a limit by the hour sent, as the queue knows it: also before a restart."""
        messages, since = self._ways.store.messages, self._ways.clock.now() - timedelta(seconds=HOUR)
        return {
            device.id: [at.timestamp() for at in await messages.latest_of_device(device.id, limit=limit, since=since)]
            for device in await self._ways.store.devices.all()
            if (limit := device.per_hour)
        }

    async def run(self) -> None:
        """Keep open what the configuration names until cancelled; messages under way come to their end then."""
        await self.look_again()
        self._mark = (await self._ways.store.meta.put_first("installation", secrets.token_hex(8).encode())).decode()
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    self._changed.clear()
                    await self._settle(tasks)
                    self.opened.set()
                    alarm = tasks.create_task(self._ring_later()) if self._failed else None
                    await self._changed.wait()
                    if alarm is not None:
                        alarm.cancel()
            finally:
                await asyncio.gather(*(self._close(section) for section in tuple(self._open)))

    async def _ring_later(self) -> None:
        await self._ways.clock.sleep(RETRY_SECONDS)
        self._changed.set()

    async def _settle(self, tasks: asyncio.TaskGroup) -> None:
        """Close what is no longer wanted, open what is."""
        config = self._config
        renew, self._renew = self._renew, False
        for section in tuple(self._open):
            if section not in config.listeners:
                await self._close(section)
            elif renew:
                await self._guarded(section, self._renewed(section))
        for section in config.listeners:
            if section not in self._open:
                await self._guarded(section, self._opened(section, tasks))
        self._compare_open_files()
        for watch in tuple(self._watched):
            if watch not in config.watches:
                self._watched.pop(watch).cancel()
        for watch in config.watches:
            if watch not in self._watched:
                self._watched[watch] = tasks.create_task(self._folder(watch).run())

    def _compare_open_files(self) -> None:
        """Tell when there may be more connections than files of this process; once, until that changes."""
        wanted, files = sum(section.connections for section in self._open), open_files()
        short = wanted if wanted > files - KEPT else 0
        if short and short != self._short:
            facts = {"wanted": f"{wanted:,}", "files": f"{files:,}"}
            _log.warning("%s %s (MB-G16)", sentences.what("MB-G16", facts), sentences.why("MB-G16", facts))
        self._short = short

    async def _guarded(self, section: ListenerSection, work: Awaitable[None]) -> None:
        try:
            await work
        except MailbearerError as error:
            if section not in self._failed:
                _log.error("listener %s: %s", section.name, error)
            self._failed.add(section)

    async def _opened(self, section: ListenerSection, tasks: asyncio.TaskGroup) -> None:
        ways = self._ways
        desk = Desk(
            self._options(section),
            authenticator=self._gate,
            intake=_Intake(ways.intake, self._taken(section.name)),
            sender_of=lambda service: self._senders.get(service, Sender("", "")),
            clock=ways.clock,
            notice=self._notices,
        )
        desk.hourly = self._hourly
        listener = Listener(desk, ways.clock, await self._context(section))
        await listener.open()
        self._failed.discard(section)
        self._open[section] = (listener, tasks.create_task(listener.keep_time()))
        host, _ = split_address(section.address, field="address")
        _log.info("listener %s: open at %s port %d", section.name, host, listener.port)

    def _taken(self, listener: str) -> Callable[[QueuedMessage], None]:
        """Return what is done when a message came in by a listener."""
        count, wake = metrics.accepted_at(listener), self._ways.wake

        def taken(message: QueuedMessage) -> None:
            count()
            if message.state is MessageState.WAITING:  # else the courier has it already
                wake(message.service)

        return taken

    async def _renewed(self, section: ListenerSection) -> None:
        context = await self._context(section)
        if context is not None:
            self._open[section][0].renew_context(context)

    async def _close(self, section: ListenerSection) -> None:
        listener, timekeeper = self._open.pop(section)
        await listener.close()
        timekeeper.cancel()

    async def _context(self, section: ListenerSection) -> ssl.SSLContext | None:
        if section.tls is ListenerTls.NONE:
            return None
        old = section.kind is ListenerKind.OLD_DEVICES
        if section.certificate:
            given = Certificate(Path(section.certificate), Path(section.key) if section.key else None)
            return server_context(given, old_devices=old)
        ways = self._ways
        folder = ways.store.folder.path / "certificates"
        names = tuple(dict.fromkeys((ways.host_name, "localhost", "127.0.0.1", *machine_addresses())))
        light, older = await asyncio.to_thread(own_certificates, folder, names, now=ways.clock.now())
        context = server_context(light, old_devices=old)
        context.load_cert_chain(older.chain)
        return context

    def _options(self, section: ListenerSection) -> ListenerOptions:
        host, port = split_address(section.address, field="address")
        size_max = min(section.size_mb, self._config.queue.message_mb) * 1_000_000
        return ListenerOptions(
            self._ways.host_name,
            address="" if host == "*" else host,
            port=port,
            encryption=_ENCRYPTION[section.tls],
            networks=section.networks,
            proxies=section.trusted_proxies,
            passwords_in_clear=section.passwords_in_clear,
            received_field=section.received,
            mark=self._mark,
            dialect=replace(OLD_DEVICES, line_ends=_LINE_ENDS[section.bare_lf]),
            limits=replace(
                _NEAR if is_loopback(host) else Limits(),
                size_max=size_max,
                recipients_max=section.recipients,
                connections=section.connections,
                connections_per_address=section.connections_per_address,
            ),
        )

    def _folder(self, section: WatchSection) -> WatchedFolder:
        ways = self._ways
        watch = Watch(
            folder=Path(section.folder),
            service=ServiceId(section.service),
            to=section.to,
            subject=section.subject,
            text=section.text,
            settle=float(section.settle_seconds),
        )
        return WatchedFolder(watch, ways.store, ways.intake, ways.clock, wake=ways.wake)


class _Intake:
    """The queue as sessions see it: the courier hears of each message."""

    def __init__(self, intake: queue_intake.Intake, wake: Callable[[QueuedMessage], None]) -> None:
        self._intake = intake
        self._wake = wake

    def begin(self, service: ServiceId, *, device: str, size_hint: int) -> "_Acceptance":
        return _Acceptance(self._intake.begin(service, device=device, size_hint=size_hint), self._wake)


class _Acceptance:
    __slots__ = ("_acceptance", "_wake", "abort")

    def __init__(self, acceptance: queue_intake.Acceptance, wake: Callable[[QueuedMessage], None]) -> None:
        self._acceptance = acceptance
        self._wake = wake
        self.abort = acceptance.abort

    def write(self, chunk: bytes) -> Awaitable[None] | None:
        self._acceptance.write(chunk)
        return self._acceptance.drain() if self._acceptance.congested else None

    def commit(self, envelope: Envelope) -> "asyncio.Future[QueuedMessage]":
        kept = self._acceptance.commit(envelope)
        kept.add_done_callback(self._heard)
        return kept

    def _heard(self, kept: "asyncio.Future[QueuedMessage]") -> None:
        if kept.cancelled():
            return
        error = kept.exception()
        if error is None:
            self._wake(kept.result())
        else:
            _log.error("a message was not accepted: %s", error)


class _Notices:
    """Tells the log what devices do wrong, each thing once a minute: somebody who guesses does not fill the disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __call__(self, code: str, **facts: object) -> None:
        """Tell it, and count it."""
        metrics.count_refusal(code)
        now = self._clock.monotonic()
        about = (code, str(facts.get("ip", facts.get("device", ""))))
        if now - self._told.get(about, -NOTICE_SECONDS) < NOTICE_SECONDS:
            return
        self._told[about] = now
        if len(self._told) > NOTICES_MAX:
            self._told.popitem(last=False)
        _log.warning("%s (%s)", sentences.what(code, facts), code)


def doors_of(config: Config, host_name: str) -> tuple[Door, ...]:
    """Return the listeners of ``config`` as devices see them."""
    doors: list[Door] = []
    for section in config.listeners:
        host, port = split_address(section.address, field="address")
        hosts = (*machine_addresses(_FAMILIES[host]), host_name) if host in _FAMILIES else (host,)
        doors.append(
            Door(
                section.name,
                hosts,
                port,
                section.tls.value,
                passwords_in_clear=section.passwords_in_clear,
                old_devices=section.kind is ListenerKind.OLD_DEVICES,
                local=is_loopback(host),
                networks=section.networks,
                own_certificate=not section.certificate,
            )
        )
    return tuple(doors)


def machine_addresses(families: tuple[socket.AddressFamily, ...] = tuple(_FAR)) -> tuple[str, ...]:
    """Return the address by which this machine goes into the network, none when there is no network. Sends nothing."""
    found: list[str] = []
    for family in families:
        try:
            with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
                probe.connect((_FAR[family], 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return tuple(found)
