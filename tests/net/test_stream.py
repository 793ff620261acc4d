"""Streams on both event loops: nothing is lost, nothing waits for ever, nothing is held back."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import uvloop

from mailbearer.clock import SystemClock
from mailbearer.errors import ConnectError, ConnectionLostError, DeadlineError, RemoteProtocolError
from mailbearer.model.service import TlsMode
from mailbearer.net.connect import connect, secure
from mailbearer.net.stream import Stream
from tests.fakes.net_certificates import server_context
from tests.fakes.net_server import Peer, serving

CLOCK = SystemClock()
Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def runs(main: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main)

    return runs


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "tls")


async def everything(stream: Stream) -> bytes:
    parts = []
    while data := await stream.read(deadline=5):
        parts.append(data)
    return b"".join(parts)


def mode(*, tls: bool) -> TlsMode:
    return TlsMode.IMPLICIT if tls else TlsMode.OFF


def context(*, tls: bool) -> ssl.SSLContext | None:
    return server_context() if tls else None


def test_the_tail_survives_an_abrupt_end_and_a_slow_reader(run: Run, tls: bool) -> None:
    sent = bytes(range(256)) * 192  # 48 KiB: all of it is in the client's kernel when the server goes

    async def main() -> None:
        gone = asyncio.Event()

        async def talk(peer: Peer) -> None:
            await peer.send(sent)
            await asyncio.sleep(0.02)
            peer.drop()
            gone.set()

        async with serving(talk, context(tls=tls)) as server:
            stream = await connect(server.route(mode(tls=tls)), CLOCK)
            got = await stream.read(1000, deadline=5)
            await gone.wait()
            await asyncio.sleep(0.02)
            while len(got) < len(sent):
                got += await stream.read(1000, deadline=5)
            assert got == sent
            await stream.close()

    run(main())


def test_both_directions_carry_megabytes(run: Run, tls: bool) -> None:
    sent = b"0123456789abcdef" * 131_072  # 2 MiB

    async def main() -> None:
        async def talk(peer: Peer) -> None:
            got = await peer.reader.readexactly(len(sent))
            await peer.send(got)

        async with serving(talk, context(tls=tls)) as server:
            stream = await connect(server.route(mode(tls=tls)), CLOCK)
            await stream.write(sent, deadline=5)
            assert await everything(stream) == sent
            await stream.close()

    run(main())


def test_an_end_without_close_notify_is_an_end(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            await peer.send(b"all of it")
            peer.cut()

        async with serving(talk, server_context()) as server:
            stream = await connect(server.route(TlsMode.IMPLICIT), CLOCK)
            assert await everything(stream) == b"all of it"
            await stream.close()

    run(main())


def test_a_silent_server_meets_the_deadline(run: Run, tls: bool) -> None:
    async def main() -> None:
        async with serving(Peer.stall, context(tls=tls)) as server:
            stream = await connect(server.route(mode(tls=tls), letter="P"), CLOCK)
            with pytest.raises(DeadlineError) as caught:
                await stream.read(deadline=0.02, when="waiting for the greeting")
            assert caught.value.code == "MB-P33"
            await stream.close()

    run(main())


def test_a_server_that_does_not_read_meets_the_deadline(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()

        async with serving(talk) as server:
            stream = await connect(server.route(), CLOCK)
            with pytest.raises(DeadlineError):
                await stream.write(bytes(32_000_000), deadline=0.1)
            await stream.close()

    run(main())


def test_a_flood_lets_others_run(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            while True:
                await peer.send(bytes(1_000_000))

        async with serving(talk) as server:
            stream = await connect(server.route(), CLOCK)
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as group:
                beside = group.create_task(other())
                for _ in range(50):
                    await stream.read(1000, deadline=5)
                beside.cancel()
            assert turns >= 50
            await stream.close()

    run(main())


def test_a_reset_connection_is_told_as_lost(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            await peer.hear()
            peer.drop()

        async with serving(talk) as server:
            stream = await connect(server.route(), CLOCK)
            await stream.write(b"hello\r\n", deadline=1)
            with pytest.raises(ConnectionLostError) as caught:
                await stream.read(deadline=1, when="waiting for an answer")
            assert caught.value.code == "MB-S32"
            await stream.close()

    run(main())


def test_bytes_before_the_handshake_are_refused(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            await peer.send(b"250 injected\r\n")
            await peer.stall()

        async with serving(talk) as server:
            stream = await connect(server.route(), CLOCK)
            await asyncio.sleep(0.02)
            with pytest.raises(RemoteProtocolError):
                await secure(stream, CLOCK)

    run(main())


def test_start_tls_gives_a_new_stream_and_ends_the_old_one(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            await peer.hear()
            await peer.say("go")
            await peer.start_tls(server_context())
            await peer.say("sealed")

        async with serving(talk) as server:
            stream = await connect(server.route(), CLOCK)
            await stream.write(b"STARTTLS\r\n", deadline=1)
            assert await stream.read(deadline=1) == b"go\r\n"
            sealed = await secure(stream, CLOCK)
            assert sealed is not stream
            assert sealed.encrypted
            assert not stream.encrypted
            assert sealed.tls_version == "TLSv1.3"
            assert await sealed.read(deadline=1) == b"sealed\r\n"
            with pytest.raises(ConnectionLostError):
                await stream.read(deadline=1)
            await sealed.close()

    run(main())


def test_the_certificate_can_be_read(run: Run) -> None:
    async def main() -> None:
        async with serving(Peer.stall, server_context()) as server:
            stream = await connect(server.route(TlsMode.IMPLICIT), CLOCK)
            found = stream.certificate
            assert found is not None
            assert found.names == ("localhost", "127.0.0.1")
            assert found.issuer == "Harbour Clinic Test CA"
            assert found.not_before < datetime.now(UTC) < found.not_after
            await stream.close()
            await stream.close()

    run(main())


def test_a_silent_handshake_meets_the_deadline(run: Run) -> None:
    async def main() -> None:
        async with serving(Peer.stall) as server:
            route = replace(server.route(TlsMode.IMPLICIT), timeout=timedelta(seconds=0.05))
            with pytest.raises(DeadlineError):
                await connect(route, CLOCK)

    run(main())


def test_a_connection_that_ends_in_the_handshake_is_no_encryption(run: Run) -> None:
    async def main() -> None:
        async def talk(peer: Peer) -> None:
            await peer.reader.read(10)

        async with serving(talk) as server:
            with pytest.raises(ConnectError) as caught:
                await connect(server.route(TlsMode.IMPLICIT), CLOCK)
            assert caught.value.code == "MB-S10"

    run(main())


async def test_closing_does_not_wait_for_a_server_that_reads_nothing() -> None:
    async with serving(Peer.stall, server_context()) as server:
        stream = await connect(server.route(TlsMode.IMPLICIT), CLOCK)
        async with asyncio.timeout(0.5):
            await stream.close()


@pytest.fixture
async def quiet() -> AsyncIterator[Stream]:
    async with serving(Peer.stall) as server:
        stream = await connect(server.route(), CLOCK)
        yield stream
        await stream.close()


async def test_the_peer_is_named(quiet: Stream) -> None:
    assert quiet.peer_address == "127.0.0.1"
    assert quiet.tls_version == ""
    assert quiet.certificate is None
