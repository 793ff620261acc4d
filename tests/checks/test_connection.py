"""The Connection Test against the practice servers, and against small servers that do one thing wrong."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailbearer.checks.connection import Checker
from mailbearer.checks.verdict import NO_RENEWAL, UPDATE_FAILED, said
from mailbearer.clock import Clock
from mailbearer.errors import NotFoundError, SignInRefusedError
from mailbearer.model.check import CheckReport, Diagnosis, Step
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.secret import Secret
from mailbearer.model.service import AuthMethod, ServiceId, TlsMode
from mailbearer.providers.rules import load_rules
from mailbearer.tokens.admission import Sources
from tests.fakes.net_certificates import ca_file as good_ca_file, server_context
from tests.fakes.net_server import Peer, serving
from tests.sending.office import ANNA, POP, SMTP, Office, office

NAMES_OF_STARTTLS = ["Clock", "Name", "TCP", "Greeting", "Capabilities", "TLS", "Token", "Sign-in", "Mailbox"]
NAMES_OF_TLS = ["Clock", "Name", "TCP", "TLS", "Greeting", "Capabilities", "Token", "Sign-in", "Mailbox"]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


@pytest.fixture
async def ready(here: Office) -> Office:
    await here.get_token(SMTP)
    await here.get_token(POP)
    return here


class Hours:
    """The authorization server's answer to whoever only wants to know the time."""

    def __init__(self, date: str) -> None:
        self._date = date

    async def send(self, request: HttpRequest, *, ca_file: str = "") -> HttpResponse:
        del request, ca_file
        return HttpResponse(404, {"date": self._date} if self._date else {})


MATCHING = Hours("Mon, 02 Nov 2026 09:00:20 GMT")


async def report_on(
    room: Office, service: ServiceId = SMTP, *, http: Hours = MATCHING, clock: Clock | None = None
) -> CheckReport:
    checker = Checker(room.sources, http, clock or room.clock, hello_name="me.example")
    told: list[Step] = []
    async for happened in checker.check(service):
        match happened:
            case Step():
                told.append(happened)
            case CheckReport():
                assert tuple(told) == happened.steps
                return happened
    raise AssertionError("no report")


def verdicts(report: CheckReport) -> dict[str, bool | None]:
    return {step.name: step.ok for step in report.steps}


def failing(report: CheckReport) -> tuple[str, Diagnosis]:
    """Return the step that failed, and the diagnosis; the steps after it were not run."""
    assert report.diagnosis is not None
    assert not report.ok
    marks = [step.ok for step in report.steps]
    place = marks.index(False)
    assert marks == [*[True] * place, False, *[None] * (len(marks) - place - 1)]
    assert all(step.detail == "Not run" for step in report.steps[place + 1 :])
    assert len(marks) == 9
    return report.steps[place].name, report.diagnosis


async def test_everything_works_for_sending(ready: Office) -> None:
    report = await report_on(ready)
    assert report.ok
    assert report.diagnosis is None
    assert list(verdicts(report)) == NAMES_OF_STARTTLS
    details = {step.name: step.detail for step in report.steps}
    assert details["TLS"].startswith("TLS 1.3. Certificate for localhost, good for")
    assert details["Sign-in"] == f"XOAUTH2 accepted for {ANNA}"
    assert details["Mailbox"] == f"May send as {ANNA}"
    assert details["Clock"] == "Within 20 s of the provider's"


async def test_everything_works_for_receiving(ready: Office) -> None:
    ready.world.put(ANNA, b"Subject: x\r\n\r\nx\r\n")
    report = await report_on(ready, POP)
    assert report.ok
    assert list(verdicts(report)) == NAMES_OF_TLS
    assert report.steps[-1].detail.startswith("1 item, ")
    assert len(ready.world.mailbox(ANNA)) == 1


async def test_a_service_that_does_not_exist(here: Office) -> None:
    with pytest.raises(NotFoundError):
        await report_on(here, ServiceId("smtp.nowhere"))


async def test_no_token(here: Office) -> None:
    step, diagnosis = failing(await report_on(here))
    assert (step, diagnosis.code) == ("Token", "MB-T54")


async def test_a_token_that_cannot_be_renewed_is_told_to_the_letter(ready: Office) -> None:
    ready.world.revoke(ANNA)
    await ready.clock.advance(minutes=2)
    step, diagnosis = failing(await report_on(ready))
    assert step == "Sign-in"
    assert diagnosis.text == "Token update failed. Please delete the token and obtain it again."
    assert diagnosis.action
    again = failing(await report_on(ready))
    assert again[0] == "Token"
    assert again[1].text == UPDATE_FAILED


async def test_an_account_that_was_disabled_is_told_to_the_letter_with_its_reason(ready: Office) -> None:
    ready.world.disable(ANNA)
    await ready.clock.advance(hours=2)
    step, diagnosis = failing(await report_on(ready, http=Hours("Mon, 02 Nov 2026 11:00:00 GMT")))
    assert step == "Token"
    assert diagnosis.text == UPDATE_FAILED
    assert diagnosis.action


async def test_a_token_that_the_server_refuses_is_renewed_once(ready: Office) -> None:
    ready.world.expire(ANNA)
    await ready.clock.advance(minutes=2)
    report = await report_on(ready)
    assert report.ok
    assert report.steps[7].detail.endswith("after the token was renewed")


@pytest.mark.parametrize(
    ("date", "ok"),
    [
        ("Mon, 02 Nov 2026 09:04:50 GMT", True),
        ("Mon, 02 Nov 2026 08:53:00 GMT", False),
        ("Mon, 02 Nov 2026 12:30:00 GMT", False),
        ("", True),
        ("yesterday", True),
    ],
)
async def test_the_clock_is_held_against_the_providers(ready: Office, date: str, ok: bool) -> None:
    report = await report_on(ready, http=Hours(date))
    assert verdicts(report)["Clock"] is ok
    if not ok:
        assert failing(report)[1].code == "MB-T23"


async def test_a_provider_that_cannot_be_reached_says_nothing_of_the_clock(ready: Office) -> None:
    ready.world.fault("token", drop=True)
    checker = Checker(ready.sources, ready.context.http, ready.clock, hello_name="me.example")
    first = await anext(aiter(checker.check(SMTP)))
    assert isinstance(first, Step)
    assert first.name == "Clock"


async def test_a_foreign_server_is_refused_before_anything_is_sent(ready: Office) -> None:
    async with serving(Peer.stall) as server:
        ready.sets(POP, server="127.0.0.2", port=server.port)
        step, diagnosis = failing(await report_on(ready, POP))
        assert (step, diagnosis.code) == ("Name", "MB-T40")
        assert server.connections == 0


async def test_no_server_yet(ready: Office) -> None:
    ready.sets(SMTP, primary_server="")
    assert failing(await report_on(ready))[1].code == "MB-W30"


async def test_nobody_listens(ready: Office) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        ready.sets(SMTP, port=sock.getsockname()[1])
    step, diagnosis = failing(await report_on(ready))
    assert (step, diagnosis.code) == ("TCP", "MB-S03")
    assert diagnosis.actor == "administrator"


async def test_a_token_needs_encryption(ready: Office) -> None:
    ready.sets(SMTP, tls=TlsMode.OFF)
    assert failing(await report_on(ready))[1].code == "MB-T41"


async def test_an_authority_of_ones_own_belongs_to_a_provider(ready: Office) -> None:
    right = Submission()
    async with serving(right.talk, server_context()) as server:
        ready.sets(SMTP, provider="", port=server.port, tls=TlsMode.IMPLICIT)
        assert failing(await report_on(ready))[1].code == "MB-S06"  # whose authority would it be


async def test_a_secondary_server_is_tried_and_told(ready: Office) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.2", ready.world.ports.smtp))
        ready.sets(SMTP, primary_server="127.0.0.2", secondary_server="localhost")
        _allow(ready, "127.0.0.2")
        report = await report_on(ready)
    assert not report.ok
    assert report.diagnosis is not None
    assert report.diagnosis.code == "MB-S03"
    assert "Secondary Server localhost passed every step" in report.diagnosis.action
    assert report.steps[-1].ok
    assert [step.name for step in report.steps[:4]] == ["Clock", "Name", "TCP", "Name"]
    assert report.steps[3].detail.startswith("Secondary Server localhost: ")


async def test_when_both_servers_fail_both_are_told(ready: Office) -> None:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.2", 0))
        two.bind(("127.0.0.3", one.getsockname()[1]))
        _allow(ready, "127.0.0.2", "127.0.0.3")
        changes = {"primary_server": "127.0.0.2", "secondary_server": "127.0.0.3", "port": one.getsockname()[1]}
        ready.sets(SMTP, **changes)
        report = await report_on(ready)
    assert report.diagnosis is not None
    assert "127.0.0.3 was tried too" in report.diagnosis.action
    assert report.steps[-1].ok is None


def _allow(room: Office, *hosts: str) -> None:
    async def provider_of(_: str) -> tuple[Provider, Registration]:
        return room.world.provider, replace(room.world.registration, extra_hosts=hosts)

    room.sources = Sources(room.sources.service_of, provider_of, room.sources.tokens)


def _trust_test_servers(room: Office) -> None:
    async def provider_of(_: str) -> tuple[Provider, Registration]:
        return room.world.provider, replace(room.world.registration, ca_file=good_ca_file())

    room.sources = Sources(room.sources.service_of, provider_of, room.sources.tokens)


class Submission:
    """A submission server that goes wrong at one place."""

    def __init__(self, *, sign_in: str = "235 welcome", mail: str = "250 fine", echo: bool = False) -> None:
        self._sign_in = sign_in
        self._mail = mail
        self._echo = echo
        self.heard: list[str] = []

    async def talk(self, peer: Peer) -> None:
        await peer.say("220 mail.example ESMTP")
        while line := await peer.hear():
            self.heard.append(line)
            match line.split(" ")[0]:
                case "EHLO":
                    await peer.say("250-mail.example", "250 AUTH XOAUTH2 PLAIN")
                case "AUTH":
                    await peer.say("334 ")
                    said = await peer.hear()
                    token = base64.b64decode(said).decode().split("Bearer ")[-1].rstrip("\x01")
                    await peer.say(f"{self._sign_in} {token} {said}" if self._echo else self._sign_in)
                case "MAIL":
                    await peer.say(self._mail)
                case _:
                    await peer.say("250 fine")


async def diagnosed(room: Office, wrong: Submission) -> tuple[str, Diagnosis, CheckReport]:
    async with serving(wrong.talk, server_context()) as server:
        room.sets(SMTP, port=server.port, tls=TlsMode.IMPLICIT)
        _trust_test_servers(room)
        report = await report_on(room)
    return *failing(report), report


async def test_a_refused_sign_in_names_what_to_do(ready: Office) -> None:
    wrong = Submission(sign_in="535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled")
    step, diagnosis, _ = await diagnosed(ready, wrong)
    assert step == "Sign-in"
    assert diagnosis.text
    assert diagnosis.detail.startswith("535 5.7.139")


async def test_a_refused_sender_is_a_matter_of_the_mailbox(ready: Office) -> None:
    step, diagnosis, _ = await diagnosed(ready, Submission(mail="550 5.7.60 SMTP; Client does not have permissions"))
    assert step == "Mailbox"
    assert "550 5.7.60" in diagnosis.detail


async def test_a_server_that_repeats_the_token_gets_it_into_no_report(ready: Office) -> None:
    secret = (await ready.sources.tokens.access_token(SMTP)).token.reveal()
    _, _, report = await diagnosed(ready, Submission(sign_in="535 5.7.8 go away", echo=True))
    assert secret not in repr(report)
    assert base64.b64encode(f"Bearer {secret}".encode()).decode()[4:40] not in repr(report)
    assert "***" in repr(report)


async def test_a_test_never_sends_anything(ready: Office) -> None:
    right = Submission()
    async with serving(right.talk, server_context()) as server:
        ready.sets(SMTP, port=server.port, tls=TlsMode.IMPLICIT)
        _trust_test_servers(ready)
        assert (await report_on(ready)).ok
    assert [line.split(" ")[0] for line in right.heard] == ["EHLO", "AUTH", "MAIL", "RSET", "QUIT"]


async def test_a_password_takes_the_same_way_without_a_token(here: Office) -> None:
    right = Submission()
    async with serving(right.talk) as server:
        secret = Secret("p")
        here.sets(SMTP, port=server.port, tls=TlsMode.OFF, auth=AuthMethod.PASSWORD, password=secret, provider="")
        report = await report_on(here)
        assert report.ok
        assert report.steps[6].detail == "Not needed with a password"
        assert report.steps[7].detail == f"PLAIN accepted for {ANNA}"
        here.sets(SMTP, password=None)
        assert failing(await report_on(here))[1].code == "MB-W31"


async def test_a_refused_password_is_looked_up_in_the_table(here: Office) -> None:
    wrong = Submission(sign_in="535 5.7.8 bad password")
    async with serving(wrong.talk, server_context()) as server:
        secret = Secret("p")
        here.sets(SMTP, port=server.port, tls=TlsMode.IMPLICIT, auth=AuthMethod.PASSWORD, password=secret)
        _trust_test_servers(here)
        step, diagnosis = failing(await report_on(here))
    assert step == "Sign-in"
    assert diagnosis.code == "MB-S13"


async def test_no_sign_in_at_all(here: Office) -> None:
    right = Submission()
    async with serving(right.talk) as server:
        here.sets(SMTP, port=server.port, tls=TlsMode.OFF, auth=AuthMethod.NONE, provider="", sender_address="")
        report = await report_on(here)
        assert report.ok
        here.sets(SMTP, account="")
        assert failing(await report_on(here))[0] == "Mailbox"
    assert "AUTH XOAUTH2" not in right.heard


@pytest.mark.parametrize("sasl", ["SASL PLAIN", "SASL LOGIN", "USER"])
async def test_passwords_for_pop(here: Office, sasl: str) -> None:
    async def talk(peer: Peer) -> None:
        await peer.say("+OK ready")
        while line := await peer.hear():
            match line.split(" ")[0]:
                case "CAPA":
                    await peer.say(f"+OK\r\nUIDL\r\n{sasl}\r\n.")
                case "AUTH":
                    await peer.say("+ ")
                    await peer.hear()
                    if "LOGIN" in sasl:
                        await peer.say("+ UGFzc3dvcmQ6")
                        await peer.hear()
                    await peer.say("+OK in")
                case "STAT":
                    await peer.say("+OK 3 4000000")
                case _:
                    await peer.say("+OK")

    async with serving(talk) as server:
        changes = {"auth": AuthMethod.PASSWORD, "password": Secret("p"), "provider": "", "tls": TlsMode.OFF}
        here.sets(POP, server="127.0.0.1", port=server.port, **changes)
        report = await report_on(here, POP)
    assert report.ok
    assert report.steps[-1].detail == "3 items, 4,000 kB waiting"


async def test_stls_for_pop(ready: Office) -> None:
    ready.sets(POP, port=ready.world.ports.pop3, tls=TlsMode.STARTTLS)
    report = await report_on(ready, POP)
    assert report.ok
    assert list(verdicts(report)) == NAMES_OF_STARTTLS


async def test_a_walk_that_is_given_up_leaves_nothing_open(ready: Office) -> None:
    async with serving(Peer.stall) as server:
        ready.sets(SMTP, port=server.port, timeout=timedelta(seconds=30))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await report_on(ready)


def test_every_reason_that_makes_a_token_invalid_is_known_here() -> None:
    ending = {
        code
        for rule in load_rules()
        if rule.layer == "token" and (rule.held or rule.status) == "invalid"
        for code in (rule.code, *rule.codes.values())
    }
    assert ending <= NO_RENEWAL


def test_a_refusal_shows_its_challenge_but_no_token() -> None:
    error = SignInRefusedError(reply="535 no", challenge='{"status":"401"}')
    assert said(error, Secret("x" * 50)) == '535 no {"status":"401"}'
