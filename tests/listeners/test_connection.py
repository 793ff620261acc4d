import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from mailbearer.errors import ConflictError
from mailbearer.listeners.desk import Encryption
from mailbearer.listeners.listener import Listener
from tests.fakes.clock import FakeClock
from tests.fakes.net_certificates import server_context
from tests.listeners.room import Peer, Room, client_context, peer

MAIL = (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>")


@asynccontextmanager
async def timed(**limits: float) -> AsyncIterator[tuple[FakeClock, Listener]]:
    """A listener whose time the test moves."""
    clock = FakeClock()
    async with Room(clock=clock).limited(farewell=0, **limits).open() as listener:
        await clock.until_asleep()
        yield clock, listener


async def test_implicit_tls_greets_within() -> None:
    room = Room().but(encryption=Encryption.IMPLICIT)
    async with room.open(server_context()) as listener, peer(listener.port, client_context()) as client:
        assert "STARTTLS" not in await client.ask(b"EHLO me")
        assert await client.ask(b"QUIT") == "221 2.0.0 Bye"
        assert await client.rest() == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_large_message_passes_through_tls(version: ssl.TLSVersion) -> None:
    context = client_context()
    context.minimum_version = context.maximum_version = version
    room = Room().but(encryption=Encryption.IMPLICIT)
    async with room.open(server_context()) as listener, peer(listener.port, context) as client:
        await client.ask(b"EHLO me", *MAIL, b"DATA")
        body = b"x" * 998 + b"\r\n"
        client.writer.write(b"Subject: x\r\n\r\n" + body * 2_000 + b".\r\n")
        assert (await client.reply()).startswith("250 ")
    assert room.intake.stored[0].content.endswith(body * 2_000)


async def test_one_port_serves_with_and_without_tls() -> None:
    room = Room().but(encryption=Encryption.BOTH).limited(first_byte=0.05).but(encryption=Encryption.BOTH)
    async with room.open(server_context()) as listener:
        async with peer(listener.port, client_context()) as client:
            assert (await client.ask(b"EHLO me")).startswith("250-")
        async with peer(listener.port) as client:
            assert "STARTTLS" in await client.ask(b"EHLO me")
        early = await Peer.connect(listener.port)
        early.send(b"HELO me")
        assert (await early.reply(), await early.reply()) == ("220 gate.example ESMTP", "250 gate.example")
        await early.close()


async def test_what_is_no_tls_is_cut_off() -> None:
    async with Room().but(encryption=Encryption.IMPLICIT).open(server_context()) as listener:
        client = await Peer.connect(listener.port)
        client.send(b"EHLO me")
        assert b"220" not in await client.rest()
        await client.close()


async def test_a_device_of_old_tls_is_told_to_the_administrator() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    room = Room().but(encryption=Encryption.IMPLICIT)
    async with room.open(server_context()) as listener:
        with pytest.raises(ssl.SSLError):
            await Peer.connect(listener.port, context)
    assert room.notices == ["MB-G05"]


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x9c\x40\0\x19",
    ],
)
async def test_behind_a_proxy_the_device_is_known_by_its_own_address(header: bytes) -> None:
    room = Room().but(proxies=("127.0.0.0/8",), networks=("192.0.2.0/24",))
    async with room.open() as listener:
        client = await Peer.connect(listener.port)
        client.writer.write(header + b"EHLO me\r\n")
        assert (await client.reply()).startswith("220 ")
        await client.reply()
        await client.ask(*MAIL, b"DATA")
        client.send(b"Subject: x", b"", b".")
        await client.reply()
        await client.close()
    assert b"([192.0.2.7])" in room.intake.stored[0].content


@pytest.mark.parametrize("data", [b"EHLO me\r\n", b"PROXY TCP4 nonsense\r\n", b"PROXY TCP4 192.0.2.7" + b" " * 100])
async def test_a_proxy_without_header_is_cut_off(data: bytes) -> None:
    async with Room().but(proxies=("127.0.0.1/32",)).open() as listener:
        client = await Peer.connect(listener.port)
        client.writer.write(data)
        with suppress(ConnectionResetError):
            assert await client.rest() == b""
        await client.close()


async def test_strangers_are_turned_away() -> None:
    async with Room().but(networks=("192.0.2.0/24",)).open() as listener:
        client = await Peer.connect(listener.port)
        assert (await client.reply()).startswith("554 5.7.1 ")
        assert await client.rest() == b""
        await client.close()


async def test_places_are_given_back() -> None:
    async with Room().limited(connections_per_address=1).open() as listener:
        async with peer(listener.port):
            other = await Peer.connect(listener.port)
            assert (await other.reply()).startswith("421 4.7.0 ")
            await other.close()
        await FakeClock().until(lambda: listener.connections == 0)
        async with peer(listener.port) as client:
            assert (await client.ask(b"NOOP")).startswith("250 ")


async def test_a_taken_port_is_told() -> None:
    async with Room().open() as listener:
        with pytest.raises(ConflictError) as caught:
            async with Room().but(port=listener.port).open():
                pass
    assert caught.value.code == "MB-G08"


async def test_who_says_nothing_is_sent_away() -> None:
    async with timed(arrival=60) as (clock, listener), peer(listener.port) as client:
        await clock.advance(62)
        assert (await client.reply()).startswith("421 4.4.2 ")


async def test_one_octet_a_second_is_nothing() -> None:
    async with timed(arrival=60) as (clock, listener), peer(listener.port) as client:
        for _ in range(58):
            client.writer.write(b"x")
            await clock.advance(1)
        await clock.advance(4)
        assert (await client.reply()).startswith("421 4.4.2 ")


async def test_a_message_that_drips_is_cut_off() -> None:
    async with timed(data_grace=30, data_rate=100) as (clock, listener), peer(listener.port) as client:
        await client.ask(b"EHLO me", *MAIL, b"DATA")
        client.writer.write(b"Subject: x\r\n\r\n")
        await clock.advance(32)
        assert (await client.reply()).startswith("421 4.4.2 ")


async def test_a_connection_does_not_live_for_ever() -> None:
    async with timed(session=100) as (clock, listener), peer(listener.port) as client:
        await client.ask(b"EHLO me", MAIL[0])
        await clock.advance(110)
        assert await client.ask(b"RSET") == "250 2.0.0 OK"
        await clock.advance(2)
        assert (await client.reply()).startswith("421 4.4.2 ")


async def test_a_handshake_that_does_not_begin_is_cut_off() -> None:
    clock = FakeClock()
    room = Room(clock=clock).limited(farewell=0).but(encryption=Encryption.IMPLICIT)
    async with room.open(server_context()) as listener:
        await clock.until_asleep()
        client = await Peer.connect(listener.port)
        await clock.until(lambda: listener.connections == 1)
        await clock.advance(12)
        assert await client.rest() == b""
        await client.close()


async def test_who_does_not_read_is_not_answered_without_end() -> None:
    clock = FakeClock()
    async with Room(clock=clock).limited(farewell=0, unread=60).open() as listener:
        await clock.until_asleep()
        client = await Peer.connect(listener.port)
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"EHLO me")
        for _ in range(400):
            client.writer.write(b"HELP\r\n" * 2_000)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        await clock.advance(62)
        await clock.until(lambda: listener.connections == 0)
        client.writer.transport.abort()


async def test_closing_lets_a_message_come_to_its_end() -> None:
    room = Room().limited(farewell=5)
    opened = asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with room.open() as listener:
            ports.append(listener.port)
            opened.set()
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        group.create_task(serve())
        await opened.wait()
        async with peer(ports[0]) as busy, peer(ports[0]) as idle:
            await busy.ask(b"EHLO me", *MAIL, b"DATA")
            assert (await idle.reply()).startswith("421 4.3.2 ")
            busy.send(b"Subject: x", b"", b"x", b".")
            assert (await busy.reply()).startswith("250 ")
            assert (await busy.reply()).startswith("421 4.3.2 ")
    assert len(room.intake.stored) == 1


@pytest.mark.slow
async def test_five_hundred_who_say_nothing_do_not_hold_up_one_who_works() -> None:
    async with Room().limited(connections=1_000, connections_per_address=1_000).open() as listener:
        idle = [await Peer.connect(listener.port) for _ in range(500)]
        async with peer(listener.port) as client:
            assert (await client.ask(b"EHLO me", *MAIL)).startswith("250 ")
        for other in idle:
            await other.close()
