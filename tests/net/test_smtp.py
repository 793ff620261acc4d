"""SMTP sessions against small real servers that do everything right, or one thing wrong."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
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
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import RecipientState
from mailbearer.model.secret import Secret
from mailbearer.model.service import TlsMode
from mailbearer.net.connect import connect
from mailbearer.net.route import Route
from mailbearer.net.smtp import SmtpSession, open_smtp
from mailbearer.protocol.sasl.plain import Plain
from mailbearer.protocol.sasl.xoauth2 import XOAuth2
from tests.fakes.net_certificates import server_context
from tests.fakes.net_server import Peer, Serving, Talk, serving

CLOCK = SystemClock()
ENVELOPE = Envelope("a@x.example", ("b@x.example", "c@x.example"))
OFFER = ("250-mail.example", "250-PIPELINING", "250-SIZE 1000000", "250-8BITMIME", "250 AUTH XOAUTH2 PLAIN")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def answers(*replies: str, offer: tuple[str, ...] = OFFER, seen: list[str] | None = None) -> Talk:
    """A server that greets, answers EHLO with ``offer``, then each line with the next of ``replies``.

    After ``354 go`` a whole message is read instead of a line; an empty reply ends the connection.
    """

    async def talk(peer: Peer) -> None:
        await peer.say("220 mail.example ESMTP")
        await peer.hear()
        await peer.say(*offer)
        heard, before = seen if seen is not None else [], ""
        for reply in replies:
            heard.append((await peer.hear_message()).decode() if before == "354 go" else await peer.hear())
            if not reply:
                return
            await peer.say(reply)
            before = reply
        await peer.stall()

    return talk


async def opened(server: Serving) -> SmtpSession:
    return await open_smtp(server.route(), "me.example", CLOCK)


async def test_a_whole_message_with_starttls_and_a_token() -> None:
    token = "t" * 16_384
    seen: list[str] = []

    async def talk(peer: Peer) -> None:
        await peer.say("220 mail.example ESMTP")
        assert await peer.hear() == "EHLO me.example"
        await peer.say("250-mail.example", "250 STARTTLS")
        assert await peer.hear() == "STARTTLS"
        await peer.say("220 go")
        await peer.start_tls(server_context())
        assert await peer.hear() == "EHLO me.example"
        await peer.say(*OFFER)
        assert await peer.hear() == "AUTH XOAUTH2"
        await peer.say("334 ")
        seen.append(base64.b64decode(await peer.hear()).decode())
        await peer.say("235 2.7.0 welcome")
        flight = [await peer.hear() for _ in range(4)]
        seen.extend(flight)
        await peer.say("250 sender", "250 yes", "550 5.1.1 nobody of that name", "354 go on")
        seen.append((await peer.hear_message()).decode())
        await peer.say("250 2.0.0 queued as 7")
        assert await peer.hear() == "QUIT"
        await peer.say("221 bye")

    async with serving(talk) as server, await open_smtp(server.route(TlsMode.STARTTLS), "me.example", CLOCK) as session:
        assert session.choose(("XOAUTH2", "OAUTHBEARER")) == "XOAUTH2"
        await session.sign_in(XOAuth2("a@x.example", Secret(token)))
        outcomes = await session.submit(ENVELOPE, 27, chunks(b"Subject: x\n\n.dot\n", b"last\n"))
        await session.quit()
    assert seen[0] == f"user=a@x.example\x01auth=Bearer {token}\x01\x01"
    assert seen[1:5] == ["MAIL FROM:<a@x.example> SIZE=27", "RCPT TO:<b@x.example>", "RCPT TO:<c@x.example>", "DATA"]
    assert seen[5] == "Subject: x\r\n\r\n..dot\r\nlast\r\n.\r\n"
    assert [(outcome.state, outcome.reply) for outcome in outcomes] == [
        (RecipientState.ACCEPTED, "250 2.0.0 queued as 7"),
        (RecipientState.REFUSED, "550 5.1.1 nobody of that name"),
    ]


async def test_without_pipelining_each_command_waits_for_its_answer() -> None:
    seen: list[str] = []
    talk = answers("250 a", "250 b", "451 4.7.1 later", "354 go", "250 done", offer=("250 old.example",), seen=seen)
    async with serving(talk) as server:
        session = await opened(server)
        outcomes = await session.submit(ENVELOPE, 3, chunks(b"x\r\n"))
        await session.close()
    assert [outcome.state for outcome in outcomes] == [RecipientState.ACCEPTED, RecipientState.WAITING]
    assert seen[0] == "MAIL FROM:<a@x.example>"


async def test_a_server_without_ehlo_gets_helo() -> None:
    async with serving(answers("250 old.example", offer=("502 5.5.1 what?",))) as server:
        session = await opened(server)
        assert not session.extensions.pipelining
        await session.close()


async def test_many_recipients_go_in_several_flights() -> None:
    recipients = tuple(f"r{number}@x.example" for number in range(250))
    seen: list[str] = []
    talk = answers("250 sender", *["250 yes"] * 250, "354 go", "250 done", seen=seen)
    async with serving(talk) as server:
        session = await opened(server)
        outcomes = await session.submit(Envelope("", recipients), 3, chunks(b"x\r\n"))
        await session.close()
    assert seen[0] == "MAIL FROM:<> SIZE=3"
    assert tuple(outcome.address for outcome in outcomes) == recipients
    assert all(outcome.state is RecipientState.ACCEPTED for outcome in outcomes)


async def test_nothing_is_sent_when_nobody_is_taken() -> None:
    seen: list[str] = []
    talk = answers("250 a", "550 no", "550 no", "354 empty", "250 nothing", "250 nooped", seen=seen)
    async with serving(talk) as server:
        session = await opened(server)
        outcomes = await session.submit(ENVELOPE, 3, chunks(b"x\r\n"))
        await session.close()
    assert [outcome.state for outcome in outcomes] == [RecipientState.REFUSED] * 2
    assert seen[-1] == "."


async def test_nothing_is_sent_when_nobody_is_taken_one_by_one() -> None:
    seen: list[str] = []
    talk = answers("250 a", "550 no", "550 no", "250 reset", offer=("250 old.example",), seen=seen)
    async with serving(talk) as server:
        session = await opened(server)
        await session.submit(ENVELOPE, 3, chunks(b"x\r\n"))
        await session.close()
    assert seen[-1] == "RSET"


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        (("550 5.7.60 no", "503 no", "503 no", "503 no", "250 reset"), "MB-S34"),
        (("451 4.3.2 later", "503 no", "503 no", "503 no", "250 reset"), "MB-S17"),
        (("250 a", "250 b", "250 c", "451 4.3.0 not now", "250 reset"), "MB-S17"),
        (("250 a", "250 b", "250 c", "354 go", "554 5.7.1 spam"), "MB-S34"),
        (("250 a", "250 b", "250 c", "354 go", "452 4.3.1 full"), "MB-S17"),
        (("250 a", "421 4.3.2 too many", ""), "MB-S17"),
        (("250 a", "250 b", "250 c", "354 go", "421 4.4.2 bye"), "MB-S17"),
    ],
)
async def test_a_refusal_of_the_whole_message(replies: tuple[str, ...], code: str) -> None:
    async with serving(answers(*replies)) as server:
        session = await opened(server)
        with pytest.raises(ServerRefusedError) as caught:
            await session.submit(ENVELOPE, 3, chunks(b"x\r\n"))
        await session.close()
    assert caught.value.code == code
    assert caught.value.reply in replies


async def test_a_refused_sender_whose_data_is_taken_all_the_same() -> None:
    seen: list[str] = []
    talk = answers("550 no", "550 no", "550 no", "354 empty", "554 nothing", "250 fine", seen=seen)
    async with serving(talk) as server:
        session = await opened(server)
        with pytest.raises(ServerRefusedError):
            await session.submit(ENVELOPE, 3, chunks(b"secret\r\n"))
        await session.noop()
        await session.close()
    assert "secret" not in "".join(seen)


async def test_a_message_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    async with serving(answers()) as server:
        session = await opened(server)
        for size, utf8, code in ((2_000_000, False, "MB-S19"), (3, True, "MB-S36")):
            with pytest.raises(ServerRefusedError) as caught:
                await session.submit(ENVELOPE, size, chunks(), utf8=utf8)
            assert caught.value.code == code
        with pytest.raises(ServerRefusedError, match="MB-S36"):
            await session.submit(Envelope("ü@x.example", ("b@x.example",)), 3, chunks())
        await session.close()
    async with serving(answers(offer=("250 old.example",))) as server:
        session = await opened(server)
        with pytest.raises(ServerRefusedError, match="MB-S36"):
            await session.submit(ENVELOPE, 3, chunks(), eight_bit=True)
        await session.close()


async def after_the_dot(end: Callable[[Peer], Awaitable[None]]) -> MailbearerError:
    async def talk(peer: Peer) -> None:
        await answers_until_data(peer)
        await peer.hear_message()
        await end(peer)

    async with serving(talk) as server:
        session = await opened(server)
        with pytest.raises(MailbearerError) as caught:
            await session.submit(ENVELOPE, 3, chunks(b"x\r\n"))
        await session.close()
    return caught.value


async def answers_until_data(peer: Peer) -> None:
    await peer.say("220 mail.example ESMTP")
    await peer.hear()
    await peer.say(*OFFER)
    for _ in range(4):
        await peer.hear()
    await peer.say("250 a", "250 b", "250 c", "354 go")


async def close(peer: Peer) -> None:
    peer.writer.close()


async def drop(peer: Peer) -> None:
    peer.drop()


async def babble(peer: Peer) -> None:
    await peer.say("what was that")


@pytest.mark.parametrize("end", [close, drop, babble])
async def test_no_clear_answer_to_a_whole_message_is_uncertain(end: Callable[[Peer], Awaitable[None]]) -> None:
    error = await after_the_dot(end)
    assert isinstance(error, ConnectionLostError)
    assert error.code == "MB-S35"


async def test_a_message_that_breaks_off_is_never_ended() -> None:
    heard = bytearray()

    async def talk(peer: Peer) -> None:
        await answers_until_data(peer)
        while data := await peer.reader.read(65536):
            heard.extend(data)

    async def broken() -> AsyncIterator[bytes]:
        yield b"half\r\n"
        raise OSError("the disk is gone")

    async with serving(talk) as server:
        session = await opened(server)
        with pytest.raises(OSError, match="disk"):
            await session.submit(ENVELOPE, 3, broken())
        await session.close()
        await asyncio.sleep(0.01)
    assert b".\r\n" not in heard


@pytest.mark.parametrize(
    ("last_words", "code"),
    [("552 5.3.4 too large", "MB-S34"), ("421 4.7.0 bye", "MB-S17"), ("", "MB-S32")],
)
async def test_what_the_server_said_before_it_closed_in_the_middle(last_words: str, code: str) -> None:
    async def talk(peer: Peer) -> None:
        await answers_until_data(peer)
        await peer.reader.read(65536)
        if last_words:
            await peer.say(last_words)
        peer.writer.close()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 70_000 + b"\r\n"

    async with serving(talk) as server:
        session = await opened(server)
        with pytest.raises(MailbearerError) as caught:
            await session.submit(ENVELOPE, 3, endless())
        await session.close()
    # the kernel may throw the words away when it resets the connection; a wrong verdict it never gives
    assert caught.value.code in {code, "MB-S32"}


@pytest.mark.parametrize(
    ("greeting", "kind", "code"),
    [
        ("+OK POP3 ready", ConnectError, "MB-S05"),
        ("SSH-2.0-OpenSSH_9.6", ConnectError, "MB-S05"),
        ("HTTP/1.1 400 Bad Request", ConnectError, "MB-S05"),
        ("554 5.7.1 not you", ServerRefusedError, "MB-S34"),
        ("421 4.3.2 busy", ServerRefusedError, "MB-S17"),
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


async def test_no_starttls_ends_it() -> None:
    for talk in (answers(), answers("454 4.7.0 not now", offer=("250-x.example", "250 STARTTLS"))):
        async with serving(talk) as server:
            with pytest.raises(ConnectError) as caught:
                await open_smtp(server.route(TlsMode.STARTTLS), "me.example", CLOCK)
        assert caught.value.code == "MB-S09"


async def test_words_slipped_in_behind_starttls_end_it() -> None:
    async def talk(peer: Peer) -> None:
        await peer.say("220 x")
        await peer.hear()
        await peer.say("250-x", "250 STARTTLS")
        await peer.hear()
        await peer.say("220 go", "250-x", "250 AUTH PLAIN")
        await peer.stall()

    async with serving(talk) as server:
        with pytest.raises(RemoteProtocolError) as caught:
            await open_smtp(server.route(TlsMode.STARTTLS), "me.example", CLOCK)
    assert "before the encryption" in caught.value.hint


async def test_no_mechanism_in_common_is_told_with_what_is_offered() -> None:
    async with serving(answers()) as server:
        session = await opened(server)
        with pytest.raises(ServerRefusedError) as caught:
            session.choose(("OAUTHBEARER",))
        assert caught.value.code == "MB-S11"
        assert "PLAIN XOAUTH2" in caught.value.hint
        await session.close()


async def test_a_token_is_never_shown_without_tls_and_a_password_only_to_this_machine() -> None:
    seen: list[str] = []
    async with serving(answers("334 ", "235 fine", seen=seen)) as server:
        session = await opened(server)
        with pytest.raises(ForeignServerError, match="MB-T41"):
            await session.sign_in(XOAuth2("a@x.example", Secret("t")), cleartext=True)
        with pytest.raises(ForeignServerError):
            await session.sign_in(Plain("a@x.example", Secret("p")))
        assert seen == []
        await session.sign_in(Plain("a@x.example", Secret("p")), cleartext=True)
        await session.close()
    assert seen[0] == "AUTH PLAIN"


FAILURE = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()


@pytest.mark.parametrize(
    ("replies", "reply", "challenge"),
    [
        (("535 5.7.3 Authentication unsuccessful",), "535 5.7.3 Authentication unsuccessful", ""),
        (("334 ", "535 5.7.8 no"), "535 5.7.8 no", ""),
        (("334 ", f"334 {FAILURE}", "535 5.7.8 no"), "535 5.7.8 no", '{"status":"401","schemes":"bearer"}'),
        (("334 ", "503 5.5.1 already"), "503 5.5.1 already", ""),
        (("334 ", "454 4.7.0 later"), "454 4.7.0 later", ""),
    ],
)
async def test_a_refused_sign_in_carries_reply_and_challenge(
    replies: tuple[str, ...], reply: str, challenge: str
) -> None:
    async def talk(peer: Peer) -> None:
        await answers(*replies)(peer)

    async with serving(talk, server_context()) as server:
        session = await open_smtp(server.route(TlsMode.IMPLICIT), "me.example", CLOCK)
        with pytest.raises(SignInRefusedError) as caught:
            await session.sign_in(XOAuth2("a@x.example", Secret("very-secret")))
        await session.close()
    assert (caught.value.code, caught.value.reply, caught.value.challenge) == ("MB-S13", reply, challenge)
    assert "very-secret" not in f"{caught.value!r} {caught.value} {caught.value.fields}"


async def test_a_server_that_goes_on_asking_breaks_the_protocol() -> None:
    replies = ("334 ", *[f"334 {FAILURE}"] * 5)
    async with serving(answers(*replies), server_context()) as server:
        session = await open_smtp(server.route(TlsMode.IMPLICIT), "me.example", CLOCK)
        with pytest.raises(RemoteProtocolError) as caught:
            await session.sign_in(XOAuth2("a@x.example", Secret("t")))
        await session.close()
    assert caught.value.fields["host"] == "localhost"


async def stalls(peer: Peer) -> None:
    await peer.stall()


async def floods_a_line(peer: Peer) -> None:
    for _ in range(100):
        await peer.send(b"x" * 65_536)


async def floods_lines(peer: Peer) -> None:
    for _ in range(1000):
        await peer.say("250-and more")


async def whole_visit(route: Route) -> None:
    async with SmtpSession(await connect(route, CLOCK), CLOCK) as session:
        await session.greet()
        await session.hello("me.example")
        await session.sign_in(Plain("a", Secret("p")), cleartext=True)
        await session.submit(ENVELOPE, 3, chunks(b"x\r\n"))


FAULTS = [
    (close, ConnectionLostError),
    (drop, ConnectionLostError),
    (stalls, DeadlineError),
    (babble, RemoteProtocolError),
    (floods_a_line, RemoteProtocolError),
    (floods_lines, LimitExceededError),
]


@pytest.mark.parametrize("step", range(6))
@pytest.mark.parametrize(("fault", "kind"), FAULTS)
async def test_every_fault_at_every_step_is_one_clear_error(
    step: int, fault: Callable[[Peer], Awaitable[None]], kind: type[MailbearerError]
) -> None:
    said = ["220 x", "250-x\r\n250 AUTH PLAIN", "334 ", "235 fine", "250 sender", "250 yes"]

    async def talk(peer: Peer) -> None:
        for number, words in enumerate(said):
            if number == step:
                await fault(peer)
                return
            await peer.say(words)
            await peer.hear()

    async with serving(talk) as server:
        route = Route("127.0.0.1", server.port, TlsMode.OFF, timeout=timedelta(seconds=0.05))
        with pytest.raises((kind, ConnectError)) as caught:
            await whole_visit(route)
    assert caught.value.fields["host"] == "127.0.0.1"
    assert caught.value.code.startswith("MB-S")


async def test_quit_never_raises_and_never_waits_long() -> None:
    async with serving(answers("")) as server:
        session = await opened(server)
        await session.quit()
        await session.quit()


async def test_the_sender_can_be_tried_without_sending() -> None:
    seen: list[str] = []
    async with serving(answers("250 fine", "250 reset", "550 5.7.60 no", seen=seen)) as server:
        session = await opened(server)
        await session.try_sender("a@x.example")
        with pytest.raises(ServerRefusedError):
            await session.try_sender("z@x.example")
        await session.close()
    assert seen == ["MAIL FROM:<a@x.example>", "RSET", "MAIL FROM:<z@x.example>"]
