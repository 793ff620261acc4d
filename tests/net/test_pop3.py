"""POP3 sessions against small real servers that do everything right, or one thing wrong."""

import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    ForeignServerError,
    LimitExceededError,
    MailbearerError,
    RemoteProtocolError,
    ServerRefusedError,
    SignInRefusedError,
)
from mailbearer.model.secret import Secret
from mailbearer.model.service import TlsMode
from mailbearer.net import pop3
from mailbearer.net.connect import connect
from mailbearer.net.pop3 import Pop3Session, open_pop3
from mailbearer.net.route import Route
from mailbearer.protocol.pop3.responses import Stat
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.protocol.sasl.xoauth2 import XOAuth2
from tests.fakes.net_certificates import server_context
from tests.fakes.net_server import Peer, Serving, Talk, serving

CLOCK = SystemClock()
CAPA = "+OK\r\nUIDL\r\nTOP\r\nSASL PLAIN XOAUTH2\r\n."


def answers(*replies: str, seen: list[str] | None = None, capa: str = CAPA) -> Talk:
    """A server that greets, tells its capabilities, then answers each line with the next of ``replies``."""

    async def talk(peer: Peer) -> None:
        await peer.say("+OK pop.example ready")
        for reply in (capa, *replies):
            heard = await peer.hear()
            if seen is not None:
                seen.append(heard)
            await peer.say(reply)
        await peer.stall()

    return talk


async def opened(server: Serving) -> Pop3Session:
    return await open_pop3(server.route(letter="P"), CLOCK)


async def test_a_whole_visit_with_stls_and_a_token() -> None:
    seen: list[str] = []

    async def talk(peer: Peer) -> None:
        await peer.say("+OK ready")
        assert await peer.hear() == "CAPA"
        await peer.say("+OK\r\nSTLS\r\n.")
        assert await peer.hear() == "STLS"
        await peer.say("+OK go")
        await peer.start_tls(server_context())
        script = (CAPA, "+ ", "+OK in", "+OK 2 320", "+OK\r\n1 uid-a\r\n2 uid-b\r\n.", "+OK 4\r\nab\r\n..c\r\n.")
        for reply in (*script, "+OK marked", "+OK gone"):
            seen.append(await peer.hear())
            await peer.say(reply)

    async with serving(talk) as server, await open_pop3(server.route(TlsMode.STARTTLS, letter="P"), CLOCK) as session:
        assert session.choose(("XOAUTH2",)) == "XOAUTH2"
        assert await session.sign_in(XOAuth2("a@x.example", Secret("t" * 16_384))) == "in"
        assert await session.stat() == Stat(2, 320)
        assert await session.uidl() == [(1, "uid-a"), (2, "uid-b")]
        assert b"".join([chunk async for chunk in session.retr(1, 1000)]) == b"ab\r\n.c\r\n"
        await session.dele(1)
        assert await session.quit()
    assert [line for line in seen if len(line) < 30] == [
        "CAPA",
        "AUTH XOAUTH2",
        "STAT",
        "UIDL",
        "RETR 1",
        "DELE 1",
        "QUIT",
    ]


@pytest.mark.parametrize(
    ("greeting", "kind", "code"),
    [
        ("220 mail.example ESMTP", ConnectError, "MB-P05"),
        ("* OK IMAP4rev1", ConnectError, "MB-P05"),
        ("-ERR [SYS/TEMP] too busy", ServerRefusedError, "MB-S17"),
    ],
)
async def test_greetings_that_do_not_invite(greeting: str, kind: type[MailbearerError], code: str) -> None:
    async def talk(peer: Peer) -> None:
        await peer.say(greeting)
        await peer.stall()

    async with serving(talk) as server:
        with pytest.raises(kind) as caught:
            await opened(server)
    assert caught.value.code == code
    assert greeting in caught.value.hint + caught.value.detail


async def test_a_server_without_capa_offers_nothing() -> None:
    async with serving(answers(capa="-ERR unknown command")) as server:
        session = await opened(server)
        assert session.capabilities.sasl == frozenset()
        assert session.choose(("XOAUTH2",), unlisted=True) == "XOAUTH2"
        with pytest.raises(ServerRefusedError, match="MB-P11"):
            session.choose(("XOAUTH2",))
        await session.close()


async def test_no_stls_ends_it() -> None:
    async with serving(answers("-ERR what?")) as server:
        with pytest.raises(ConnectError, match="MB-P09"):
            await open_pop3(server.route(TlsMode.STARTTLS, letter="P"), CLOCK)


async def test_words_slipped_in_behind_stls_end_it() -> None:
    async with serving(answers("+OK go\r\n+OK injected")) as server:
        with pytest.raises(RemoteProtocolError, match="MB-P30"):
            await open_pop3(server.route(TlsMode.STARTTLS, letter="P"), CLOCK)


async def test_a_token_is_never_shown_without_tls_and_a_password_only_to_this_machine() -> None:
    seen: list[str] = []
    async with serving(answers("+ ", "+OK in", seen=seen)) as server:
        session = await opened(server)
        with pytest.raises(ForeignServerError, match="MB-T41"):
            await session.sign_in(XOAuth2("a@x.example", Secret("t")), cleartext=True)
        with pytest.raises(ForeignServerError):
            await session.log_in("a", Secret("p"))
        assert seen == ["CAPA"]
        await session.sign_in(Plain("a@x.example", Secret("p")), cleartext=True)
        await session.close()


async def test_user_and_pass_sign_in_where_there_is_no_sasl() -> None:
    seen: list[str] = []
    async with serving(answers("+OK", "+OK in", seen=seen)) as server:
        session = await opened(server)
        assert await session.log_in("a", Secret("p w"), cleartext=True) == "in"
        await session.close()
    assert seen[1:] == ["USER a", "PASS p w"]


FAILURE = base64.b64encode(b'{"status":"400"}').decode()


@pytest.mark.parametrize(
    ("replies", "challenge"),
    [
        (("-ERR [AUTH] no",), ""),
        (("+ ", "-ERR [AUTH] no"), ""),
        (("+ ", f"+ {FAILURE}", "-ERR [AUTH] no"), '{"status":"400"}'),
    ],
)
async def test_a_refused_sign_in_carries_reply_and_challenge(replies: tuple[str, ...], challenge: str) -> None:
    async with serving(answers(*replies), server_context()) as server:
        session = await open_pop3(server.route(TlsMode.IMPLICIT, letter="P"), CLOCK)
        with pytest.raises(SignInRefusedError) as caught:
            await session.sign_in(XOAuth2("a@x.example", Secret("t")))
        await session.close()
    assert (caught.value.reply, caught.value.challenge) == ("-ERR [AUTH] no", challenge)


async def test_a_refused_password_is_a_refused_sign_in() -> None:
    async with serving(answers("+OK", "-ERR [AUTH] no")) as server:
        session = await opened(server)
        with pytest.raises(SignInRefusedError):
            await session.log_in("a", Secret("p"), cleartext=True)
        await session.close()


async def test_a_server_that_does_not_number_its_messages() -> None:
    async with serving(answers("-ERR what?")) as server:
        session = await opened(server)
        with pytest.raises(ServerRefusedError, match="MB-P22"):
            await session.uidl()
        await session.close()


async def test_a_message_larger_than_the_limit_ends_the_session() -> None:
    async with serving(answers("+OK\r\n" + "x" * 5000 + "\r\n.")) as server:
        session = await opened(server)
        with pytest.raises(LimitExceededError, match="MB-P31"):
            [chunk async for chunk in session.retr(1, 1000)]
        with pytest.raises(MailbearerError):
            await session.stat()
        await session.close()


async def test_more_capabilities_than_anybody_has_end_it() -> None:
    async with serving(answers(capa="+OK" + "\r\nX" * (pop3.CAPABILITIES_MAX + 1) + "\r\n.")) as server:
        with pytest.raises(LimitExceededError, match="MB-P31"):
            await opened(server)


async def test_a_message_of_megabytes_with_endless_lines_streams() -> None:
    body = b"x" * 3_000_000

    async def talk(peer: Peer) -> None:
        await peer.say("+OK")
        await peer.hear()
        await peer.say(CAPA)
        await peer.hear()
        await peer.send(b"+OK\r\n" + body + b"\r\n.\r\n")
        await peer.stall()

    async with serving(talk) as server:
        session = await opened(server)
        sizes = [len(chunk) async for chunk in session.retr(1, 4_000_000)]
        await session.close()
    assert sum(sizes) == len(body) + 2
    assert max(sizes) <= 66_000


async def test_marks_can_be_taken_back_and_the_connection_tried() -> None:
    seen: list[str] = []
    async with serving(answers("+OK", "+OK", "-ERR no", seen=seen)) as server:
        session = await opened(server)
        await session.reset()
        await session.noop()
        assert not await session.quit()
    assert seen[1:] == ["RSET", "NOOP", "QUIT"]


async def close(peer: Peer) -> None:
    peer.writer.close()


async def babble(peer: Peer) -> None:
    await peer.say("what was that")


async def floods(peer: Peer) -> None:
    for _ in range(100):
        await peer.send(b"x" * 65_536)


async def whole_visit(route: Route) -> None:
    async with Pop3Session(await connect(route, CLOCK), CLOCK) as session:
        await session.greet()
        await session.capa()
        await session.sign_in(Plain("a", Secret("p")), cleartext=True)
        await session.stat()
        await session.uidl()
        await session.dele(1)


FAULTS = [
    (close, ConnectionLostError),
    (Peer.stall, DeadlineError),
    (babble, RemoteProtocolError),
    (floods, RemoteProtocolError),
]


@pytest.mark.parametrize("step", range(7))
@pytest.mark.parametrize(("fault", "kind"), FAULTS)
async def test_every_fault_at_every_step_is_one_clear_error(
    step: int, fault: Callable[[Peer], Awaitable[None]], kind: type[MailbearerError]
) -> None:
    said = ["+OK ready", CAPA, "+ ", "+OK in", "+OK 1 5", "+OK\r\n1 a\r\n.", "+OK marked"]

    async def talk(peer: Peer) -> None:
        for number, words in enumerate(said):
            if number == step:
                await fault(peer)
                return
            await peer.say(words)
            await peer.hear()

    async with serving(talk) as server:
        route = Route("127.0.0.1", server.port, TlsMode.OFF, timeout=timedelta(seconds=0.05), letter="P")
        with pytest.raises((kind, ConnectError)) as caught:
            await whole_visit(route)
    assert caught.value.fields["host"] == "127.0.0.1"
    assert caught.value.code.startswith("MB-P")


async def test_a_message_that_breaks_off_is_a_lost_connection() -> None:
    async def talk(peer: Peer) -> None:
        await peer.say("+OK")
        await peer.hear()
        await peer.say(CAPA)
        await peer.hear()
        await peer.say("+OK", "half of it")

    async with serving(talk) as server:
        session = await opened(server)
        with pytest.raises(ConnectionLostError, match="MB-P32"):
            [chunk async for chunk in session.retr(1, 1000)]
        await session.close()
