"""POP3, by the standard library's client."""

import asyncio
import base64
import json
import poplib
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import pytest

from mailbearer.practice.world import PracticeWorld
from tests.practice.conftest import ANNA, Application

T = TypeVar("T")
FIRST = b"Subject: first\r\n\r\n.dot\r\ntwo\r\nthree\r\n"
SECOND = b"Subject: second\r\n\r\n" + (b"x" * 98 + b"\r\n") * 1_000


def context(world: PracticeWorld) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(world.ca_file))


@contextmanager
def connect(world: PracticeWorld, *, sealed: bool = True) -> Generator[poplib.POP3]:
    """Talk to the server; poplib itself would leave the socket open when the greeting is a refusal."""
    port = world.ports.pop3s if sealed else world.ports.pop3
    with ExitStack() as stack:
        client_socket = stack.enter_context(socket.create_connection(("localhost", port), timeout=5))
        if sealed:
            client_socket = stack.enter_context(context(world).wrap_socket(client_socket, server_hostname="localhost"))
        client = Client(client_socket)
        stack.callback(client.close)
        yield client


class Client(poplib.POP3):
    """poplib's client on a connection that is there already."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        super().__init__("localhost", timeout=5)

    def _create_socket(self, timeout: float) -> socket.socket:  # noqa: ARG002 - poplib's
        return self._connection


def sign_in(client: poplib.POP3, token: str, user: str = ANNA, mechanism: str = "XOAUTH2") -> bytes:
    """Sign in by hand, in two steps: poplib has no method for it."""
    shown = {
        "XOAUTH2": f"user={user}\x01auth=Bearer {token}\x01\x01",
        "OAUTHBEARER": f"n,a={user},\x01auth=Bearer {token}\x01\x01",
    }[mechanism]
    line(client, f"AUTH {mechanism}")
    return line(client, base64.b64encode(shown.encode()).decode())


def line(client: poplib.POP3, command: str) -> bytes:
    client.sock.sendall(command.encode() + b"\r\n")
    answer = client.file.readline()
    return bytes(answer).rstrip()


async def run(work: Callable[[], T]) -> T:
    """Run a blocking client beside the loop that the servers live in."""
    return await asyncio.to_thread(work)


@pytest.fixture
async def token(application: Application) -> str:
    application.world.put(ANNA, FIRST)
    application.world.put(ANNA, SECOND)
    return (await application.sign_in())["access_token"]


def fetch(world: PracticeWorld, token: str) -> list[bytes]:
    with connect(world) as client:
        assert sign_in(client, token).startswith(b"+OK")
        count, _ = client.stat()
        messages = [b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in range(1, count + 1)]
        client.quit()
        return messages


async def test_messages_come_as_they_were_put(world: PracticeWorld, token: str) -> None:
    assert await run(lambda: fetch(world, token)) == [FIRST, SECOND]


async def test_stls_leads_to_a_sign_in_with_oauthbearer(world: PracticeWorld, token: str) -> None:
    def work() -> bytes:
        with connect(world, sealed=False) as client:
            assert "STLS" in client.capa()
            assert "SASL" not in client.capa()
            client.stls(context(world))
            assert client.capa()["SASL"] == ["XOAUTH2", "OAUTHBEARER"]
            return sign_in(client, token, mechanism="OAUTHBEARER")

    assert (await run(work)).startswith(b"+OK")


async def test_lists_agree_and_identifiers_stay(world: PracticeWorld, token: str) -> None:
    def work() -> tuple[list[bytes], list[bytes], bytes, tuple[int, int]]:
        with connect(world) as client:
            sign_in(client, token)
            return client.list()[1], client.uidl()[1], client.uidl("2"), client.stat()

    first, second = await run(work), await run(work)
    assert first == second
    sizes, uidls, uidl, total = first
    assert sizes == [f"1 {len(FIRST)}".encode(), f"2 {len(SECOND)}".encode()]
    assert uidl.split()[1:] == uidls[1].split()
    assert total == (2, len(FIRST) + len(SECOND))


async def test_top_gives_the_header_and_some_lines(world: PracticeWorld, token: str) -> None:
    def work() -> list[bytes]:
        with connect(world) as client:
            sign_in(client, token)
            return list(client.top(1, 2)[1])

    assert await run(work) == [b"Subject: first", b"", b".dot", b"two"]


async def test_deleted_message_is_gone_after_quit_only(world: PracticeWorld, token: str) -> None:
    def work() -> None:
        with connect(world) as client:
            sign_in(client, token)
            client.dele(1)
            assert len(world.mailbox(ANNA)) == 2
            with pytest.raises(poplib.error_proto):
                client.retr(1)
            with pytest.raises(poplib.error_proto):
                client.dele(1)
            client.quit()

    await run(work)
    assert world.mailbox(ANNA) == [SECOND]


async def test_reset_and_a_lost_connection_delete_nothing(world: PracticeWorld, token: str) -> None:
    def work() -> None:
        with connect(world) as client:
            sign_in(client, token)
            client.dele(1)
            client.rset()
            client.noop()
            client.quit()
        with connect(world) as client:
            sign_in(client, token)
            client.dele(2)

    await run(work)
    assert len(world.mailbox(ANNA)) == 2


async def test_wrong_token_is_refused_with_a_challenge_that_tells_why(world: PracticeWorld) -> None:
    def work() -> tuple[bytes, bytes]:
        with connect(world) as client:
            return sign_in(client, "wrong", mechanism="OAUTHBEARER"), line(client, "AQ==")

    challenge, refusal = await run(work)
    told = json.loads(base64.b64decode(challenge.removeprefix(b"+ ")))
    assert told["status"] == "invalid_token"
    assert told["openid-configuration"] == f"{world.issuer}/.well-known/openid-configuration"
    assert refusal.startswith(b"-ERR [AUTH]")


async def test_passwords_are_not_taken(world: PracticeWorld) -> None:
    def work() -> None:
        with connect(world) as client, pytest.raises(poplib.error_proto, match="Passwords are not taken"):
            client.user(ANNA)

    await run(work)


@pytest.mark.parametrize(
    ("command", "sealed"),
    [("AUTH XOAUTH2", False), ("STAT", False), ("NONSENSE", False), ("STLS", True), ("AUTH PLAIN", True)],
)
async def test_what_cannot_be_done_here_is_refused(world: PracticeWorld, command: str, *, sealed: bool) -> None:
    def work() -> bytes:
        with connect(world, sealed=sealed) as client:
            return line(client, command)

    assert (await run(work)).startswith(b"-ERR")


async def test_cancelled_sign_in_may_be_begun_again(world: PracticeWorld, token: str) -> None:
    def work() -> tuple[bytes, bytes]:
        with connect(world) as client:
            line(client, "AUTH XOAUTH2")
            return line(client, "*"), sign_in(client, token)

    cancelled, signed_in = await run(work)
    assert cancelled.startswith(b"-ERR")
    assert signed_in.startswith(b"+OK")


async def test_initial_response_is_taken(world: PracticeWorld, token: str) -> None:
    def work() -> bytes:
        with connect(world) as client:
            shown = base64.b64encode(f"user={ANNA}\x01auth=Bearer {token}\x01\x01".encode())
            return line(client, f"AUTH XOAUTH2 {shown.decode()}")

    assert (await run(work)).startswith(b"+OK")


async def test_answer_on_order_stands_for_the_real_one(world: PracticeWorld, token: str) -> None:
    world.fault("pop3/stat", body="-ERR [SYS/TEMP] On order")
    with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\] On order"):
        await run(lambda: fetch(world, token))
    assert len(await run(lambda: fetch(world, token))) == 2


async def test_refusal_on_order_without_a_challenge_as_exchange_does(world: PracticeWorld, token: str) -> None:
    def work() -> bytes:
        with connect(world) as client:
            return sign_in(client, token)

    world.fault("pop3/auth", body="Logon failure: unknown user name or bad password.")
    assert (await run(work)).startswith(b"-ERR Logon failure")


async def test_greeting_on_order(world: PracticeWorld) -> None:
    world.fault("pop3/connect", status=1)
    with pytest.raises(poplib.error_proto, match="Out of order on order"):
        await run(lambda: fetch(world, ""))


@pytest.mark.parametrize("after", [False, True])
async def test_connection_lost_at_a_message_loses_no_message(world: PracticeWorld, token: str, *, after: bool) -> None:
    world.fault("pop3/retr", drop=True, after=after)
    with pytest.raises((poplib.error_proto, OSError)):
        await run(lambda: fetch(world, token))
    assert len(world.mailbox(ANNA)) == 2


async def test_answer_to_quit_may_be_lost(world: PracticeWorld, token: str) -> None:
    def work() -> None:
        with connect(world) as client:
            sign_in(client, token)
            client.dele(1)
            with pytest.raises((poplib.error_proto, OSError)):
                client.quit()

    world.fault("pop3/quit", drop=True, after=True)
    await run(work)
    assert world.mailbox(ANNA) == [SECOND]
