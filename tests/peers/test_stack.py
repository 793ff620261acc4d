"""The test stack does what the tests beside it rely on; looked at with the standard library's clients only."""

import base64
import contextlib
import hashlib
import poplib
import signal
import smtplib
import ssl
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from tests.peers.stack import mail
from tests.peers.stack.servers import ROOT
from tests.peers.stack.stack import LOOPBACK, MAIL_SCOPE, Stack

ALICE = "alice@test.example"
BOB = "bob@test.example"
HEADER = b"From: alice@test.example\r\nDate: Mon, 02 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@test.example>\r\n"
MESSAGE = HEADER + b"Subject: a scan\r\n\r\n.one page\r\n"
MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


def authorization_url(stack: Stack, verifier: str, **more: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": "native-public",
        "redirect_uri": LOOPBACK,
        "scope": MAIL_SCOPE,
        "state": "s1",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{stack.authorization_endpoint}?{urllib.parse.urlencode(query | more)}"


def query_of(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


@pytest.mark.parametrize("client", ["device-public", "device-secret", "native-public"])
def test_device_grant_gives_tokens_once_the_person_has_signed_in(stack: Stack, client: str) -> None:
    begun = stack.begin_device(client)
    code = begun.text("device_code")
    assert stack.poll(code, client).text("error") == "authorization_pending"
    page = stack.device_page(begun.text("user_code"), ALICE)
    given = stack.poll(code, client)
    assert "Signed in" in page.words
    assert given.status == 200
    assert given.text("refresh_token")
    stack.pop(ALICE, given.text("access_token")).quit()


def test_person_who_cancels_is_told_to_the_device(stack: Stack) -> None:
    begun = stack.begin_device()
    stack.device_page(begun.text("user_code"), ALICE, deny=True)
    assert stack.poll(begun.text("device_code")).text("error") == "access_denied"


def test_admin_answers_for_the_person(stack: Stack) -> None:
    approved, denied = stack.begin_device(), stack.begin_device()
    assert {approved.text("user_code"), denied.text("user_code")} <= set(stack.pending())
    stack.approve(approved.text("user_code"), ALICE, scope="openid mail")
    stack.deny(denied.text("user_code"))
    assert stack.poll(approved.text("device_code")).text("scope") == "openid mail"
    assert stack.poll(denied.text("device_code")).text("error") == "access_denied"


def test_authorization_code_with_pkce_gives_tokens(stack: Stack) -> None:
    verifier = "v" * 64
    back = query_of(stack.sign_in(authorization_url(stack, verifier), ALICE))
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": LOOPBACK}
    given = stack.ask(stack.token_endpoint, "native-public", code_verifier=verifier, **form)
    assert (back["state"], back["iss"]) == ("s1", stack.issuer)
    assert given.status == 200
    stack.smtp(ALICE, given.text("access_token")).quit()


def test_wrong_verifier_gives_nothing(stack: Stack) -> None:
    back = query_of(stack.sign_in(authorization_url(stack, "v" * 64), ALICE))
    form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": LOOPBACK}
    assert (
        stack.ask(stack.token_endpoint, "native-public", code_verifier="w" * 64, **form).text("error")
        == "invalid_grant"
    )


def test_cancelled_login_page_goes_back_with_an_error(stack: Stack) -> None:
    back = query_of(stack.sign_in(authorization_url(stack, "v" * 64), ALICE, deny=True))
    assert back["error"] == "access_denied"


def test_refresh_token_is_rotated_and_its_second_use_ends_the_grant(stack: Stack) -> None:
    minted = stack.mint(ALICE)
    renewed = stack.renew(minted.refresh)
    assert renewed.text("refresh_token") not in {"", minted.refresh}
    assert stack.renew(minted.refresh).text("error") == "invalid_grant"
    assert stack.renew(renewed.text("refresh_token")).text("error") == "invalid_grant"


def test_revocation_at_the_endpoint_ends_the_grant(stack: Stack) -> None:
    minted = stack.mint(ALICE)
    assert stack.ask(stack.revocation_endpoint, "native-public", token=minted.refresh).status == 200
    assert stack.renew(minted.refresh).text("error") == "invalid_grant"


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("port", ["smtp", "smtps", "submission"])
def test_token_signs_in_to_smtp(stack: Stack, mechanism: str, port: str) -> None:
    session = stack.smtp(ALICE, stack.mint(ALICE).access, mechanism, port=port)
    assert session.noop()[0] == 250
    session.quit()


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("port", ["pop3", "pop3s"])
def test_token_signs_in_to_pop(stack: Stack, mechanism: str, port: str) -> None:
    session = stack.pop(ALICE, stack.mint(ALICE).access, mechanism, port=port)
    assert session.stat() == (0, 0)
    session.quit()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_token_signs_in_to_imap(stack: Stack, mechanism: str) -> None:
    sasl = mail.Sasl(ALICE, stack.mint(ALICE).access, mechanism)
    session = mail.imap(stack.ports.imaps, sasl, stack.tls)
    assert session.select()[0] == "OK"
    session.logout()


def test_password_signs_in_where_oauth_is_not_wanted(stack: Stack) -> None:
    with smtplib.SMTP_SSL("localhost", stack.ports.smtps, context=stack.tls) as session:
        assert session.login(ALICE, stack.password)[0] == 235


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_revoked_token_is_refused_with_a_challenge(stack: Stack, mechanism: str) -> None:
    token = stack.mint("carol@test.example").access
    stack.revoke("carol@test.example", keep_refresh=True)
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        stack.smtp("carol@test.example", token, mechanism)
    assert refused.value.smtp_code == 535
    assert "status" in refused.value.__notes__[0]
    with pytest.raises(poplib.error_proto, match="AUTH"):
        stack.pop("carol@test.example", token, mechanism)


def test_disabled_account_neither_signs_in_nor_renews_until_it_is_enabled(stack: Stack) -> None:
    minted = stack.mint("dave@test.example")
    stack.disable("dave@test.example")
    with pytest.raises(poplib.error_proto):
        stack.pop("dave@test.example", minted.access)
    assert stack.renew(minted.refresh).text("error") == "invalid_grant"
    stack.enable("dave@test.example")
    stack.pop("dave@test.example", stack.mint("dave@test.example").access).quit()


def test_token_of_somebody_else_is_refused(stack: Stack) -> None:
    with pytest.raises(poplib.error_proto):
        stack.pop(BOB, stack.mint(ALICE).access)


def test_message_that_is_sent_arrives_as_it_was(stack: Stack) -> None:
    with stack.smtp(ALICE, stack.mint(ALICE).access) as session:
        session.sendmail(ALICE, ["recipient@test.example"], MESSAGE)
    (arrived,) = stack.wait_for_mail("recipient@test.example")
    assert arrived.endswith(MESSAGE)


def test_nobody_sends_as_somebody_else(stack: Stack) -> None:
    with stack.smtp(ALICE, stack.mint(ALICE).access) as session:
        session.mail(BOB)
        assert session.rcpt(BOB)[0] == 553


def test_mail_from_outside_reaches_the_mailbox(stack: Stack) -> None:
    stack.deliver("fax@test.example", MESSAGE)
    assert stack.wait_for_mail("fax@test.example")[0].endswith(MESSAGE)


def test_certificate_of_another_host_is_shown_at_its_port(stack: Stack) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        smtplib.SMTP_SSL("localhost", stack.ports.smtps_wrong_host, context=stack.tls)


def test_polling_too_fast_is_told_when_the_policy_says_so(stack: Stack) -> None:
    stack.policy(enforceInterval=True, deviceInterval=5)
    begun = stack.begin_device()
    assert begun.number("interval") == 5
    assert stack.poll(begun.text("device_code")).text("error") == "authorization_pending"
    assert stack.poll(begun.text("device_code")).text("error") == "slow_down"


def test_fault_answers_as_often_as_ordered(stack: Stack) -> None:
    refresh = stack.mint(ALICE).refresh
    stack.fault("/token", status=503, body="busy", headers={"Retry-After": "7"}, count=2)
    assert [stack.renew(refresh).status for _ in range(2)] == [503, 503]
    assert stack.renew(refresh).status == 200


def test_dropped_connection_means_that_nothing_was_done(stack: Stack) -> None:
    refresh = stack.mint(ALICE).refresh
    stack.fault("/token", drop=True)
    with pytest.raises(OSError, match=r"closed|reset"):
        stack.renew(refresh)
    assert stack.renew(refresh).status == 200


def test_lost_answer_means_that_all_was_done(stack: Stack) -> None:
    refresh = stack.mint(ALICE).refresh
    stack.fault("/token", lose=True)
    with pytest.raises(OSError, match=r"closed|reset"):
        stack.renew(refresh)
    (call,) = stack.journal("/token")
    assert (call.status, call.grant_type, call.account, call.fault) == (200, "refresh_token", ALICE, True)
    assert stack.renew(refresh).text("error") == "invalid_grant"


def test_broken_introspection_refuses_without_a_challenge(stack: Stack) -> None:
    token = stack.mint(ALICE).access
    stack.fault("/token/introspection", status=500, count=-1)
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        stack.smtp(ALICE, token)
    assert refused.value.__notes__ == [""]
    with pytest.raises(poplib.error_proto, match="SYS/TEMP"):
        stack.pop(ALICE, token)


def test_reset_leaves_no_fault_and_no_journal_for_the_next_test(stack: Stack) -> None:
    stack.fault("/token", status=500, count=-1)
    stack.renew("nothing")
    stack.reset()
    assert stack.journal() == []
    assert stack.renew(stack.mint(ALICE).refresh).status == 200


def processes_that_name(folder: str) -> list[int]:
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (process / "cmdline").read_bytes().decode(errors="replace")
            if folder in told or str((process / "cwd").readlink()).startswith(folder):
                found.append(int(process.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_however_it_ends(stack: Stack, how: signal.Signals) -> None:
    assert processes_that_name(str(stack.servers.folder))
    command = [sys.executable, "-m", "tests.peers.stack"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        told = "".join(iter(other.stdout.readline, "Any address is an account. Ctrl-C ends it.\n"))
        folder = told.partition("CA ")[2].partition("/tls/ca.crt")[0].strip()
        assert len(processes_that_name(folder)) > 3
        other.send_signal(how)
    until = time.monotonic() + 10
    while (processes_that_name(folder) or Path(folder).exists()) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_that_name(folder) == []
    assert not Path(folder).exists()
