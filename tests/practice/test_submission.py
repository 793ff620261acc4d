"""SMTP submission, by the standard library's client and by hand."""

import asyncio
import base64
import json
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from mailbearer.practice.options import PracticeOptions
from mailbearer.practice.world import PracticeWorld
from tests.fakes.clock import FakeClock
from tests.practice.conftest import ANNA, Application

T = TypeVar("T")
BOB = "bob@practice.example"
MESSAGE = b"From: anna@practice.example\r\nSubject: Hello\r\n\r\n.dot\r\nbody\r\n"


def xoauth2(user: str, token: str) -> str:
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


def oauthbearer(user: str, token: str) -> str:
    return f"n,a={user},\x01host=localhost\x01port=587\x01auth=Bearer {token}\x01\x01"


def connect(world: PracticeWorld) -> smtplib.SMTP:
    client = smtplib.SMTP("localhost", world.ports.smtp, timeout=5)
    client.starttls(context=ssl.create_default_context(cafile=str(world.ca_file)))
    client.ehlo()
    return client


def sign_in(client: smtplib.SMTP, token: str, user: str = ANNA) -> tuple[int, bytes]:
    return client.auth("XOAUTH2", lambda _=None: xoauth2(user, token), initial_response_ok=False)


async def run(work: Callable[[], T]) -> T:
    """Run a blocking client beside the loop that the servers live in."""
    return await asyncio.to_thread(work)


@pytest.fixture
async def token(application: Application) -> str:
    return (await application.sign_in())["access_token"]


def send(world: PracticeWorld, token: str, recipients: list[str], message: bytes = MESSAGE) -> None:
    with connect(world) as client:
        sign_in(client, token)
        client.sendmail(ANNA, recipients, message)


async def test_message_lands_in_every_mailbox(world: PracticeWorld, token: str) -> None:
    await run(lambda: send(world, token, [BOB, "Carl@Practice.Example"]))
    for account in (BOB, "carl"):
        (stored,) = world.mailbox(account)
        assert stored.startswith(b"Return-Path: <anna@practice.example>\r\nReceived: ")
        assert stored.endswith(MESSAGE)


async def test_message_goes_over_tls_from_the_start_with_oauthbearer(world: PracticeWorld, token: str) -> None:
    def work() -> None:
        context = ssl.create_default_context(cafile=str(world.ca_file))
        with smtplib.SMTP_SSL("localhost", world.ports.smtps, timeout=5, context=context) as client:
            client.ehlo()
            client.auth("OAUTHBEARER", lambda _=None: oauthbearer(ANNA, token))
            client.sendmail(ANNA, [BOB], MESSAGE)

    await run(work)
    assert len(world.mailbox(BOB)) == 1


async def test_token_of_16_kib_signs_in(application: Application) -> None:
    world = application.world
    world.options = replace(world.options, token_size=16_384)
    token = (await application.sign_in())["access_token"]
    await run(lambda: send(world, token, [BOB]))
    assert len(world.mailbox(BOB)) == 1


async def test_wrong_token_is_refused_with_a_challenge_that_tells_why(world: PracticeWorld) -> None:
    challenges: list[bytes] = []

    def respond(challenge: bytes | None = None) -> str:
        challenges.append(challenge or b"")
        return xoauth2(ANNA, "wrong") if len(challenges) == 1 else ""

    def work() -> int:
        with connect(world) as client, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.auth("XOAUTH2", respond, initial_response_ok=False)
        return refused.value.smtp_code

    assert await run(work) == 535
    assert json.loads(challenges[-1]) == {"status": "401", "schemes": "bearer", "scope": "mail.send"}
    assert [entry.outcome for entry in world.journal if entry.endpoint == "smtp"] == ["invalid_token"]


async def test_token_without_the_scope_is_refused(application: Application) -> None:
    token = (await application.sign_in(scope="mail.receive"))["access_token"]
    with pytest.raises(smtplib.SMTPAuthenticationError):
        await run(lambda: send(application.world, token, [BOB]))
    assert application.world.journal[-1].outcome == "insufficient_scope"


async def test_token_of_somebody_else_is_refused(application: Application, token: str) -> None:
    def work() -> None:
        with connect(application.world) as client:
            sign_in(client, token, BOB)

    with pytest.raises(smtplib.SMTPAuthenticationError):
        await run(work)


async def test_mail_without_sign_in_is_refused(world: PracticeWorld) -> None:
    def work() -> tuple[int, bytes]:
        with connect(world) as client:
            return client.mail(ANNA)

    assert (await run(work))[0] == 530


async def test_sign_in_is_not_offered_without_tls(world: PracticeWorld) -> None:
    def work() -> tuple[bool, bool, int, int]:
        with smtplib.SMTP("localhost", world.ports.smtp, timeout=5) as client:
            client.ehlo()
            offered = client.has_extn("auth"), client.has_extn("starttls")
            return *offered, client.docmd("AUTH", "XOAUTH2")[0], client.mail(ANNA)[0]

    auth, starttls, refused, mail = await run(work)
    assert (auth, starttls, refused // 100, mail) == (False, True, 5, 530)


async def test_recipient_elsewhere_is_refused_and_the_others_are_not(world: PracticeWorld, token: str) -> None:
    def work() -> dict[str, tuple[int, bytes]]:
        with connect(world) as client:
            sign_in(client, token)
            return client.sendmail(ANNA, [BOB, "x@example.com", "postmaster"], MESSAGE)

    assert {address: code for address, (code, _) in (await run(work)).items()} == {
        "x@example.com": 550,
        "postmaster": 550,
    }
    assert len(world.mailbox(BOB)) == 1


async def test_reset_forgets_the_message(world: PracticeWorld, token: str) -> None:
    def work() -> int:
        with connect(world) as client:
            sign_in(client, token)
            client.mail(ANNA)
            client.rset()
            client.noop()
            return client.rcpt(BOB)[0]

    assert await run(work) == 503


@pytest.mark.parametrize("declared", [False, True])
async def test_message_beyond_the_limit_is_refused(application: Application, tmp_path: Path, *, declared: bool) -> None:
    options = PracticeOptions(message_limit=2_000)
    async with PracticeWorld(tmp_path / "small", options, clock=FakeClock()) as world:
        token = (await Application(world, application.http).sign_in())["access_token"]

        def work() -> None:
            with connect(world) as client:
                sign_in(client, token)
                if not declared:
                    del client.esmtp_features["size"]
                client.sendmail(ANNA, [BOB], MESSAGE + b"x\r\n" * 1_000)

        with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPDataError)) as refused:
            await run(work)
        assert refused.value.smtp_code == 552
        assert world.mailbox(BOB) == []


async def test_cancelled_sign_in_may_be_begun_again(world: PracticeWorld, token: str) -> None:
    def work() -> tuple[int, int, int]:
        with connect(world) as client:
            began = client.docmd("AUTH", "XOAUTH2")[0]
            cancelled = client.docmd("*")[0]
            return began, cancelled, sign_in(client, token)[0]

    assert await run(work) == (334, 501, 235)


async def test_initial_response_is_taken(world: PracticeWorld, token: str) -> None:
    def work() -> int:
        with connect(world) as client:
            return client.docmd("AUTH", "XOAUTH2 " + base64.b64encode(xoauth2(ANNA, token).encode()).decode())[0]

    assert await run(work) == 235


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("smtp/mail", 451),
        ("smtp/rcpt", 452),
        ("smtp/data", 432),
        ("smtp/end", 554),
    ],
)
async def test_reply_on_order_stands_for_the_real_one(world: PracticeWorld, token: str, place: str, code: int) -> None:
    world.fault(place, body=f"{code} 4.3.2 On order")
    with pytest.raises((smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused)) as refused:
        await run(lambda: send(world, token, [BOB]))
    assert f"{code}" in str(refused.value)
    assert world.mailbox(BOB) == []


async def test_refusal_on_order_without_a_challenge_as_exchange_does(world: PracticeWorld, token: str) -> None:
    world.fault("smtp/auth", status=535, body="5.7.3 Authentication unsuccessful")
    with pytest.raises(smtplib.SMTPAuthenticationError, match=r"5\.7\.3 Authentication unsuccessful"):
        await run(lambda: send(world, token, [BOB]))


async def test_greeting_on_order(world: PracticeWorld) -> None:
    world.fault("smtp/connect", body="421 4.3.2 Not now")
    with pytest.raises(smtplib.SMTPConnectError):
        await run(lambda: connect(world))


async def test_lost_answer_leaves_the_message_delivered(world: PracticeWorld, token: str) -> None:
    world.fault("smtp/end", drop=True, after=True)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await run(lambda: send(world, token, [BOB]))
    assert len(world.mailbox(BOB)) == 1


async def test_dropped_message_is_not_delivered(world: PracticeWorld, token: str) -> None:
    world.fault("smtp/end", drop=True)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        await run(lambda: send(world, token, [BOB]))
    assert world.mailbox(BOB) == []
    assert world.journal[-1].outcome == "dropped"


async def test_client_that_speaks_before_tls_is_cut_off(world: PracticeWorld) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports.smtp)
    writer.write(b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<anna@practice.example>\r\n")
    said = await reader.read()
    writer.close()
    assert b"Ready to start TLS" not in said


async def test_nonsense_and_sudden_ends_disturb_nobody(world: PracticeWorld, token: str) -> None:
    for junk in (b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.0\r\n\r\n", b"A" * 300_000, b"EHLO x\r\nSTARTTLS\r\n"):
        for port in (world.ports.smtp, world.ports.smtps, world.ports.pop3, world.ports.pop3s):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(junk)
            writer.transport.abort()
    await run(lambda: send(world, token, [BOB]))
    assert len(world.mailbox(BOB)) == 1


async def test_large_message_passes_whole(world: PracticeWorld, token: str) -> None:
    message = MESSAGE + (b"." + b"x" * 900 + b"\r\n") * 3_000
    await run(lambda: send(world, token, [BOB], message))
    assert world.mailbox(BOB)[0].endswith(message)


async def test_client_that_knows_no_extensions_is_greeted(world: PracticeWorld) -> None:
    def work() -> tuple[int, int]:
        with smtplib.SMTP("localhost", world.ports.smtp, timeout=5) as client:
            return client.helo()[0], client.docmd("NONSENSE")[0]

    assert await run(work) == (250, 500)


async def test_message_with_a_lone_line_feed_is_refused(world: PracticeWorld, token: str) -> None:
    def work() -> int:
        with connect(world) as client:
            sign_in(client, token)
            client.mail(ANNA)
            client.rcpt(BOB)
            client.docmd("DATA")
            client.send(b"Subject: x\r\n\r\na\nb\r\n.\r\n")
            return client.getreply()[0]

    assert await run(work) == 554
