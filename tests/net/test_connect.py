"""From a name to an encrypted connection, and what each failure is called."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import ConnectError, InvalidInputError
from mailbearer.model.service import PopSettings, Service, ServiceId, SmtpSettings, TlsMode
from mailbearer.net.connect import connect, open_stream
from mailbearer.net.resolve import ADDRESSES_MAX, Address, resolve
from mailbearer.net.route import Route, routes_of
from tests.fakes.clock import FakeClock
from tests.fakes.net_certificates import ca_file, server_context
from tests.fakes.net_server import Peer, serving

CLOCK = SystemClock()


def address(port: int, ip: str = "127.0.0.1") -> Address:
    return Address(socket.AddressFamily.AF_INET, (ip, port))


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue is full: it answers neither yes nor no."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield int(server.getsockname()[1])
        for filler in fillers:
            filler.close()


async def code_of_connecting(route: Route) -> str:
    with pytest.raises(ConnectError) as caught:
        await connect(route, CLOCK)
    return caught.value.code


async def test_a_refused_connection(closed_port: int) -> None:
    assert await code_of_connecting(Route("127.0.0.1", closed_port, TlsMode.OFF)) == "MB-S03"
    assert await code_of_connecting(Route("127.0.0.1", closed_port, TlsMode.OFF, letter="P")) == "MB-P03"


async def test_no_answer_within_the_timeout(deaf_port: int) -> None:
    route = Route("127.0.0.1", deaf_port, TlsMode.OFF, timeout=timedelta(seconds=0.1))
    assert await code_of_connecting(route) == "MB-S04"


async def test_the_next_address_is_tried_when_one_refuses(closed_port: int) -> None:
    async with serving(Peer.stall) as server:
        stream = await open_stream((address(closed_port), address(server.port)), server.route())
        await stream.close()


@pytest.mark.slow
async def test_the_next_address_is_tried_when_one_is_silent(deaf_port: int) -> None:
    async with serving(Peer.stall) as server:
        async with asyncio.timeout(2):
            stream = await open_stream((address(deaf_port), address(server.port)), server.route())
        await stream.close()


async def test_a_cancelled_attempt_leaves_nothing_open(deaf_port: int) -> None:
    route = Route("127.0.0.1", deaf_port, TlsMode.OFF)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connect(route, CLOCK)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "MB-S01"),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), "MB-S01"),
        (UnicodeError("label too long"), "MB-S01"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "MB-S02"),
        (OSError("out of sockets"), "MB-S02"),
    ],
)
async def test_what_the_resolver_says(failure: Exception, code: str) -> None:
    def lookup(host: str, port: int) -> list[Address]:
        raise failure

    with pytest.raises(ConnectError) as caught:
        await resolve(Route("smtp.ofice365.com", 587, TlsMode.OFF), lookup=lookup)
    assert caught.value.code == code


async def test_a_name_without_addresses_does_not_exist() -> None:
    with pytest.raises(ConnectError) as caught:
        await resolve(Route("x.example", 587, TlsMode.OFF), lookup=lambda *_: [])
    assert caught.value.code == "MB-S01"


async def test_address_families_take_turns() -> None:
    six = [Address(socket.AddressFamily.AF_INET6, (f"2001:db8::{n}", 25, 0, 0)) for n in range(9)]
    four = [address(25, f"192.0.2.{n}") for n in range(2)]
    found = await resolve(Route("x.example", 25, TlsMode.OFF), lookup=lambda *_: [*six, *four])
    assert found == (six[0], four[0], six[1], four[1], *six[2:6])
    assert len(found) == ADDRESSES_MAX


async def test_localhost_and_numbers_are_found() -> None:
    assert "127.0.0.1" in {found.ip for found in await resolve(Route("localhost", 25, TlsMode.OFF))}
    assert [found.ip for found in await resolve(Route("127.0.0.1", 25, TlsMode.OFF))] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "begins", "ends", "by", "code", "field", "says"),
    [
        ("localhost", -2, 20, "Inspection Box CA", "MB-S06", "problem", "Inspection Box CA"),
        ("localhost", -9, -1, "Harbour Clinic Test CA", "MB-S07", "not_after", "UTC"),
        ("localhost", 1, 9, "Harbour Clinic Test CA", "MB-S07", "not_before", "UTC"),
        ("mail.example", -2, 20, "Harbour Clinic Test CA", "MB-S08", "names", "mail.example"),
    ],
)
async def test_what_is_wrong_with_a_certificate(
    name: str, begins: int, ends: int, by: str, code: str, field: str, says: str
) -> None:
    async with serving(Peer.stall, server_context(name, begins=begins, ends=ends, by=by)) as server:
        with pytest.raises(ConnectError) as caught:
            await connect(server.route(TlsMode.IMPLICIT), CLOCK)
    assert caught.value.code == code
    assert says in str(caught.value.fields[field])


async def test_this_machines_own_time_is_told_with_an_expired_certificate() -> None:
    clock = FakeClock(datetime(2031, 5, 6, 7, 8, tzinfo=UTC))
    async with serving(Peer.stall, server_context(ends=-1, begins=-9)) as server:
        with pytest.raises(ConnectError) as caught:
            await connect(server.route(TlsMode.IMPLICIT), clock)
    assert caught.value.fields["now"] == "2031-05-06 07:08 UTC"


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_server_that_speaks_first_has_no_implicit_tls(at_once: bool) -> None:
    async def talk(peer: Peer) -> None:
        if not at_once:
            await peer.hear()
        await peer.say("220 mail.example ready")
        await peer.stall()

    async with serving(talk) as server:
        with pytest.raises(ConnectError) as caught:
            await connect(server.route(TlsMode.IMPLICIT), CLOCK)
    assert caught.value.code == "MB-S10"
    assert "STARTTLS" in caught.value.hint


async def test_an_authority_of_ones_own_is_needed_to_trust_its_servers() -> None:
    async with serving(Peer.stall, server_context()) as server:
        trusting = await connect(server.route(TlsMode.IMPLICIT), CLOCK)
        await trusting.close()
        assert await code_of_connecting(Route("localhost", server.port, TlsMode.IMPLICIT)) == "MB-S06"


async def test_a_ca_file_that_is_none_is_named() -> None:
    async with serving(Peer.stall, server_context()) as server:
        for bad in ("/nowhere/ca.pem", __file__):
            with pytest.raises(InvalidInputError) as caught:
                await connect(server.route(TlsMode.IMPLICIT, ca=bad), CLOCK)
            assert bad in caught.value.message


def test_routes_go_to_the_first_choice_first() -> None:
    smtp = SmtpSettings(primary_server="a.example", secondary_server="b.example", port=587)
    found = routes_of(Service(ServiceId("smtp"), "SMTP", (), smtp), ca_file())
    assert [(route.host, route.code(3)) for route in found] == [("a.example", "MB-S03"), ("b.example", "MB-S03")]
    pop = PopSettings(server="c.example", port=995, timeout=timedelta(seconds=7))
    (route,) = routes_of(Service(ServiceId("pop.x"), "POP", (), pop))
    assert route.code(30) == "MB-P30"
    assert route.patience(300) == 7
    assert route.patience(5) == 5
