"""The gateway as serve runs it: real listeners and folders on one store, with a configuration that changes."""

import asyncio
import smtplib
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mailbearer.app import hello_name
from mailbearer.clock import SystemClock
from mailbearer.config.schema import Config, ListenerKind, ListenerSection, ListenerTls, WatchSection
from mailbearer.gateway import Gateway, GatewayWays, doors_of, machine_addresses
from mailbearer.listeners.device_book import StoredDevices
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId
from mailbearer.model.service import Service, ServiceId, SmtpSettings
from mailbearer.observe import metrics
from mailbearer.observe.open_files import open_files
from mailbearer.sending.intake import Intake
from mailbearer.store.store import Store
from mailbearer.vault.derived import keyed_hash, new_password
from mailbearer.vault.passwords import PasswordHashing
from tests.fakes.clock import FakeClock

KEY = b"k" * 32
SMTP = Service(ServiceId("smtp"), "SMTP", (), SmtpSettings(sender_address="scan@clinic.example"))
LOCAL = ListenerSection(name="local", address="127.0.0.1:0", passwords_in_clear=True)
LETTER = b"From: root@nas.lan\r\nSubject: hello\r\n\r\nhi\r\n"


@dataclass
class Hall:
    """A gateway that runs, and what it stands on; ``woken`` has an entry for each call of the courier."""

    store: Store
    gateway: Gateway
    woken: list[ServiceId]

    async def talk(self, *words: str, encrypt: str = "", port: str = "local") -> str:
        """Send a letter, signed in with ``words``; return what was agreed on."""
        return await asyncio.to_thread(_talk, self.gateway.ports[port], words, encrypt)


def _talk(port: int, words: tuple[str, ...], encrypt: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    make = smtplib.SMTP_SSL if encrypt == "implicit" else smtplib.SMTP
    with make("127.0.0.1", port, timeout=10) as client:
        client.ehlo()
        if encrypt == "starttls":
            client.starttls(context=context)
        if words:
            client.login(*words)
        client.sendmail("root@nas.lan", ["ada@x.example"], LETTER)
        assert client.sock is not None
        return str(client.sock.version()) if isinstance(client.sock, ssl.SSLSocket) else ""


@asynccontextmanager
async def hall(
    folder: Path, *listeners: ListenerSection, watches: tuple[WatchSection, ...] = ()
) -> AsyncGenerator[Hall]:
    clock = SystemClock()
    store = await Store.open(folder, clock)
    if not await store.services.all():
        await store.services.put(SMTP, expected_version=0, sealed_password=None)
    hashing = PasswordHashing(clock)
    woken: list[ServiceId] = []
    book = StoredDevices(store, KEY, hashing, clock)
    ways = GatewayWays(store, clock, Intake(store, clock), book, woken.append, "gate.lan")
    gateway = Gateway(ways, replace(Config(), listeners=listeners, watches=watches))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gateway.run())
        await gateway.opened.wait()
        yield Hall(store, gateway, woken)
        running.cancel()
    hashing.close()
    await store.close()


async def added(made: Hall, **changes: object) -> str:
    """Add the device ``nas`` and return its password."""
    password = new_password()
    device = replace(Device(DeviceId("nas"), "NAS", SMTP.id), **changes)  # type: ignore[arg-type]
    await made.store.devices.put(device, expected_version=0)
    kept = keyed_hash(KEY, password)
    when = SystemClock().now()
    await made.store.devices.add_credential(Credential("c", device.id, "nas", CredentialKind.GENERATED, kept, when))
    await made.gateway.look_again()
    return password.reveal()


@pytest.mark.parametrize("encrypt", ["", "starttls"])
async def test_a_device_signs_in_and_its_message_is_in_the_queue(tmp_path: Path, encrypt: str) -> None:
    async with hall(tmp_path, LOCAL) as made:
        password = await added(made)
        assert (await made.talk("NAS", password, encrypt=encrypt) == "TLSv1.3") == bool(encrypt)
        (message,) = await made.store.messages.of_device(DeviceId("nas"))
        assert message.envelope.reverse_path == "scan@clinic.example"
        assert made.woken == [SMTP.id]
        content = b"".join([chunk async for chunk in (await made.store.bodies.find(message.id)).chunks()])
        assert b"Reply-To: root@nas.lan\r\n" in content
        assert b"by gate.lan (Mailbearer " in content


async def test_a_device_known_by_address_need_not_sign_in(tmp_path: Path) -> None:
    async with hall(tmp_path, LOCAL) as made:
        with pytest.raises(smtplib.SMTPException):
            await made.talk()
        await added(made, networks=("127.0.0.1",), by_address=True)
        await made.talk()
        assert len(await made.store.messages.of_device(DeviceId("nas"))) == 1


async def test_a_device_that_is_removed_is_refused_from_then_on(tmp_path: Path) -> None:
    async with hall(tmp_path, LOCAL) as made:
        await added(made, networks=("127.0.0.1",), by_address=True)
        await made.talk()
        await made.store.devices.remove(DeviceId("nas"))
        await made.gateway.look_again()
        with pytest.raises(smtplib.SMTPException):
            await made.talk()


async def test_messages_an_hour_are_counted_over_all_listeners_and_restarts(tmp_path: Path) -> None:
    other = replace(LOCAL, name="other")
    async with hall(tmp_path, LOCAL, other) as made:
        await added(made, networks=("127.0.0.1",), by_address=True, per_hour=2)
        await made.talk()
        await made.talk(port="other")
        with pytest.raises(smtplib.SMTPSenderRefused, match="Too many messages within an hour"):
            await made.talk()
    async with hall(tmp_path, LOCAL) as made:
        with pytest.raises(smtplib.SMTPSenderRefused, match="Too many messages within an hour"):
            await made.talk()
        device = await made.store.devices.get(DeviceId("nas"))
        await made.store.devices.put(replace(device, per_hour=3), expected_version=device.version)
        await made.gateway.look_again()
        await made.talk()
        with pytest.raises(smtplib.SMTPSenderRefused, match="Too many messages within an hour"):
            await made.talk()


async def test_a_reload_opens_closes_and_leaves_open(tmp_path: Path) -> None:
    other = replace(LOCAL, name="other")
    async with hall(tmp_path, LOCAL, other) as made:
        before = made.gateway.ports
        third = replace(LOCAL, name="old", kind=ListenerKind.OLD_DEVICES, networks=("127.0.0.0/8",))
        made.gateway.take_over(replace(Config(), listeners=(LOCAL, third)))
        await FakeClock().until(lambda: set(made.gateway.ports) == {"local", "old"})
        assert made.gateway.ports["local"] == before["local"]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", before["other"])).close()


async def test_a_port_that_is_taken_keeps_no_other_closed(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        taken = replace(LOCAL, name="taken", address=f"127.0.0.1:{holder.getsockname()[1]}")
        async with hall(tmp_path, taken, LOCAL) as made:
            assert set(made.gateway.ports) == {"local"}


async def test_a_port_that_cannot_be_had_is_told_for_what_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = replace(LOCAL, name="elsewhere", address="192.0.2.77:2525")
    async with hall(tmp_path, elsewhere, LOCAL) as made:
        assert set(made.gateway.ports) == {"local"}
    assert "elsewhere: Port 2525 cannot be opened: this machine has no such address. (MB-G13)" in caplog.text


async def test_the_administrator_sees_who_is_there_and_who_was_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def counted(line: str) -> float:
        lines = metrics.render().decode().splitlines()
        return sum(float(each.rpartition(" ")[2]) for each in lines if each.startswith(line))

    async with hall(tmp_path, LOCAL) as made:
        before = counted("mailbearer_listener_messages_total"), counted('mailbearer_refusals_total{code="MB-G12"}')
        with pytest.raises(smtplib.SMTPException):
            await made.talk()
        password = await added(made)
        await made.talk("NAS", password)
        with closing(socket.create_connection(("127.0.0.1", made.gateway.ports["local"]))) as peer:
            await asyncio.to_thread(peer.recv, 100)
            assert made.gateway.connections == {"local": 1}
        assert counted("mailbearer_listener_messages_total") == before[0] + 1
        assert counted('mailbearer_refusals_total{code="MB-G12"}') == before[1] + 1
        assert "Somebody at 127.0.0.1 wants to send without signing in. (MB-G12)" in caplog.text


async def test_connections_for_which_there_are_not_enough_files_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = replace(LOCAL, connections=open_files())
    async with hall(tmp_path, crowd) as made:
        made.gateway.take_over(replace(Config(), listeners=(crowd,)))
        await asyncio.sleep(0.05)
    assert caplog.text.count("MB-G16") == 1


async def test_a_bad_certificate_keeps_no_other_closed(tmp_path: Path) -> None:
    bad = replace(LOCAL, name="bad", certificate=str(tmp_path / "none.pem"))
    plain = replace(LOCAL, tls=ListenerTls.NONE)
    async with hall(tmp_path, bad, plain) as made:
        assert set(made.gateway.ports) == {"local"}
        assert not (tmp_path / "certificates").exists(), "nobody asked for encryption"


async def test_folders_are_watched(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "scan.pdf").write_bytes(b"x")
    watch = WatchSection(folder=str(folder), to=("ada@x.example",), settle_seconds=1)
    async with hall(tmp_path / "data", watches=(watch,)) as made:
        await FakeClock().until((folder / "sent/scan.pdf").exists, at_most=20.0)
        assert made.woken == [SMTP.id]


def test_doors_say_how_devices_find_them() -> None:
    network = ListenerSection(name="net", address="0.0.0.0:587", tls=ListenerTls.STARTTLS)
    local, net = doors_of(replace(Config(), listeners=(*Config().listeners, network)), hello_name())
    assert (local.hosts, local.local, local.port) == (("127.0.0.1",), True, 2525)
    assert net.hosts == (*machine_addresses((socket.AF_INET,)), hello_name())
    assert not net.local
