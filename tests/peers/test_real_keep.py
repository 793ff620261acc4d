"""Keeping a token at a strict provider: renewed in time, once for everybody, healed, and gone when it is deleted."""

import asyncio
import re
import threading
from datetime import UTC, datetime

import pytest

from tests.peers.machine import ACCOUNT, FAX, Machine, held, listed, perform, text, until
from tests.peers.stack.answers import Entry
from tests.peers.stack.stack import Stack

UPDATE_FAILED = "Token update failed. Please delete the token and obtain it again."


@pytest.fixture(autouse=True)
def _set_up(machine: Machine) -> None:
    machine.set_up("smtp")


def renewals(stack: Stack) -> list[Entry]:
    """What was asked for with a refresh token."""
    return [call for call in stack.journal("/token") if call.grant_type == "refresh_token" or call.fault]


def test_short_lived_token_is_renewed_and_rotated_while_nothing_flows(stack: Stack, machine: Machine) -> None:
    stack.policy(accessTokenTTL=2)
    machine.get_token("smtp")
    first = machine.held_tokens()
    with machine.serving():
        until(lambda: len(renewals(stack)) >= 2)
    assert all(call.status == 200 for call in renewals(stack))
    access, refresh = machine.held_tokens()
    assert access != first[0]
    assert refresh != first[1]
    assert machine.status()["status"] == "Retrieved"
    stack.policy(accessTokenTTL=3600)
    machine.let_pass(60)
    assert machine.ask("send", "--to", "late@test.example", "-b", "x")["state"] == "Accepted"


def test_fifty_users_in_twenty_one_processes_cause_one_renewal(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    old = machine.held_tokens()
    machine.let_pass(3600)
    stack.fault("/token", delay=1.5, count=1)

    async def thirty() -> set[str]:
        async with machine.opened() as app:
            got = await asyncio.gather(*(perform(app, "token.access", service="smtp") for _ in range(30)))
            return {text(each, "access_token") for each in got}

    commands = [machine.start("token", "access", "smtp") for _ in range(20)]
    here = asyncio.run(thirty())
    done = [machine.end(each) for each in commands]
    assert {each.code for each in done} == {0}, done
    assert here | {each.out.strip() for each in done} == {machine.held_tokens()[0]}
    assert machine.held_tokens()[0] != old[0]
    assert [call.status for call in renewals(stack)] == [200]


def test_fifty_commands_at_one_service_cause_one_renewal(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(3600)
    stack.fault("/token", delay=0.5, count=1)
    with machine.serving():
        commands = [machine.start("token", "access", "smtp") for _ in range(10)]
        assert len({machine.end(each).out for each in commands}) == 1
    assert [call.status for call in renewals(stack)] == [200]


def test_refused_token_is_renewed_once_and_the_mail_goes(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(120)
    stack.revoke(ACCOUNT, keep_refresh=True)
    assert machine.ask("send", "--to", "forced@test.example", "-b", "x")["state"] == "Accepted"
    assert [call.status for call in renewals(stack)] == [200]
    assert len(stack.wait_for_mail("forced@test.example")) == 1
    token = machine.status()
    assert token["status"] == "Retrieved"


def test_refused_token_is_renewed_once_for_receiving_too(stack: Stack, machine: Machine) -> None:
    machine.run("service", "set", "pop.internet-fax", "provider=acme", f"account={FAX}")
    machine.run("service", "set", "pop.internet-fax", f"destinations=maildir:{machine.home / 'in'}")
    machine.get_token("pop.internet-fax", account=FAX)
    machine.let_pass(120, "pop.internet-fax")
    stack.revoke(FAX, keep_refresh=True)
    assert machine.ask("service", "test", "pop.internet-fax")["ok"] is True
    machine.run("check", "pop.internet-fax")
    assert [call.status for call in renewals(stack)] == [200]


def test_disabled_account_makes_it_invalid_holds_the_mail_and_heals(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(120)
    kept = machine.refresh_token()
    stack.disable(ACCOUNT)
    sent = machine.ask("send", "--to", "held@test.example", "-s", "held", "-b", "x")
    assert sent["state"] == "Held", sent
    token = machine.status()
    assert token["status"] == "Invalid"
    reason = held(token, "reason")
    assert (text(reason, "code"), token["provider_error"]) == (sent["code"], "invalid_grant")
    assert text(reason, "text")
    assert text(reason, "action")
    report = machine.ask("service", "test", "smtp", code=1)
    assert held(report, "diagnosis")["text"] == UPDATE_FAILED
    assert text(reason, "code") in machine.run("token", "access", "smtp", code=1).err
    assert machine.run("token", "access", "smtp", code=1).out == ""
    assert machine.refresh_token() == kept, "nothing but Delete erases a refresh token"
    stack.enable(ACCOUNT)
    machine.let_pass(3600)  # an Invalid token is tried again every hour
    with machine.serving():
        machine.until_status("Retrieved")
        assert len(stack.wait_for_mail("held@test.example")) == 1
        until(lambda: machine.ask("queue", "show", text(sent, "id"))["state"] == "Accepted")
    assert machine.refresh_token() != kept


def test_withdrawn_permission_waits_for_a_new_sign_in_and_then_sends_in_order(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(120)
    stack.revoke(ACCOUNT)
    with machine.serving() as service:
        for number in range(3):
            machine.run("send", "--to", "order@test.example", "-s", str(number), "-b", "x")
        until(lambda: {each["state"] for each in listed(machine.ask("queue", "list"), "messages")} == {"Held"})
        assert machine.status()["status"] == "Invalid"
        getting = machine.start("token", "get", "smtp", "--flow", "code", "--yes")
        assert getting.stdout is not None
        url = next(line.strip() for line in getting.stdout if line.startswith("  https://"))
        assert machine.end(getting, stack.sign_in(url, ACCOUNT) + "\n").code == 0
        arrived = stack.wait_for_mail("order@test.example", 3)
    taken = [name.encode() for name in re.findall(r"queued as (\w+)", service.log)]  # Postfix delivers as it likes
    arrived.sort(key=lambda mail: next(at for at, name in enumerate(taken) if b"id %b" % name in mail))
    assert [mail.partition(b"\r\nSubject: ")[2][:1] for mail in arrived] == [b"0", b"1", b"2"]


def test_deleted_token_is_revoked_and_worthless(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    access, refresh = machine.held_tokens()
    done = machine.run("token", "delete", "smtp", "--yes")
    assert "Not Retrieved" in done.out
    assert "revoked" in done.out
    assert stack.renew(refresh).text("error") == "invalid_grant"
    assert [(call.path, call.status) for call in stack.journal("/token/revocation")] == [("/token/revocation", 200)]
    with pytest.raises(OSError, match="535"):
        stack.smtp(ACCOUNT, access)
    assert "MB-T54" in machine.run("token", "access", "smtp", code=1).err
    assert machine.ask("send", "--to", FAX, "-b", "x")["code"] == "MB-T54"


def test_answer_that_comes_after_delete_brings_nothing_back(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(3600)
    stack.fault("/token", delay=1.0)
    stack.fault("/token/revocation", status=503)  # or the renewal would come too late for the provider
    with machine.serving():
        renewing = machine.start("token", "access", "smtp")
        with machine.database() as database:
            until(lambda: database.execute("SELECT lease_owner FROM grants").fetchone() not in {None, ("",)})
        machine.run("token", "delete", "smtp", "--yes")
        assert renewals(stack) == [], "the renewal is still on its way"
        done = machine.end(renewing)
        assert (done.code, done.out) == (1, "")
        assert machine.status()["status"] == "Not Retrieved"
        until(lambda: [call.status for call in renewals(stack)] == [200])
        until(lambda: [call.status for call in stack.journal("/token/revocation")] == [503, 200])
    assert machine.status()["status"] == "Not Retrieved"


def test_account_changes_only_with_the_token(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    refused = machine.run("service", "set", "smtp", "account=other@test.example", code=1)
    assert "MB-T45" in refused.err
    refresh = machine.refresh_token()
    machine.run("service", "set", "smtp", "account=other@test.example", "--delete-token")
    assert machine.status()["status"] == "Not Retrieved"
    assert stack.renew(refresh).text("error") == "invalid_grant"


def test_provider_that_is_down_changes_no_status(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(3540)  # a minute is left: the renewal is due, the token still good
    stack.fault("/token", status=503, headers={"Retry-After": "120"}, count=-1)
    sent = machine.ask("send", "--to", "down@test.example", "-b", "x")
    token = machine.status()
    assert token["status"] == "Retrieved"
    assert held(token, "trouble")["code"] == "MB-T24"
    assert sent["state"] == "Accepted", sent
    wait = datetime.fromisoformat(text(token, "next_try")) - datetime.now(UTC)
    assert 100 < wait.total_seconds() <= 120
    machine.let_pass(60)
    done = machine.run("token", "access", "smtp", code=75)
    assert (done.out, "MB-T24" in done.err) == ("", True)
    sent = machine.ask("send", "--to", "down@test.example", "-b", "x")
    assert sent["state"] == "Held"
    stack.clear_faults()
    machine.let_pass(1)
    machine.run("queue", "flush")
    assert len(stack.wait_for_mail("down@test.example", 2)) == 2


def test_wrong_client_secret_is_told_beside_the_status(stack: Stack, machine: Machine) -> None:
    machine.get_token("smtp")
    machine.let_pass(3600)
    machine.run("provider", "set", "acme", "client_id=device-secret", "client_secret=-", text="not the secret\n")
    assert "MB-T14" in machine.run("token", "access", "smtp", code=1).err
    token = machine.status()
    assert (token["status"], held(token, "trouble")["code"]) == ("Retrieved", "MB-T14")
    machine.run("provider", "set", "acme", "client_id=native-public", "client_secret=-", text="\n")
    machine.let_pass(1)
    machine.run("token", "access", "smtp")


def test_broken_introspection_holds_the_mail_and_heals(stack: Stack, machine: Machine) -> None:
    """Postfix cannot tell it from a refused token (535 without a challenge), Dovecot's POP3 can ([SYS/TEMP])."""
    folder = machine.home / "folder"
    machine.run(
        "service", "set", "pop.internet-fax", "provider=acme", f"account={ACCOUNT}", f"destinations=folder:{folder}"
    )
    machine.get_token("smtp", "pop.internet-fax")
    for service in ("smtp", "pop.internet-fax"):
        machine.let_pass(120, service)
    stack.fault("/token/introspection", status=500, count=-1)
    assert "MB-P13" in machine.run("check", "pop.internet-fax", code=1).err
    assert machine.status("pop.internet-fax")["status"] == "Retrieved"
    sent = machine.ask("send", "--to", "broken@test.example", "-b", "x")
    assert (sent["state"], sent["code"], machine.status()["status"]) == ("Held", "MB-S13", "Invalid")
    stack.clear_faults()
    machine.let_pass(3600)
    machine.run("queue", "flush")
    assert len(stack.wait_for_mail("broken@test.example")) == 1
    assert machine.status()["status"] == "Retrieved"


def test_pages_and_commands_wait_together(stack: Stack, machine: Machine) -> None:
    """Three commands wait for one sign-in; each of them ends, and the provider is asked by one of them at a time."""
    with machine.serving():
        begun = machine.start("token", "get", "smtp", "--flow", "device", "--yes")
        assert begun.stdout is not None
        code = next(line.split()[1] for line in begun.stdout if line.startswith("  Code"))
        stack.approve(code, ACCOUNT)
        ended: list[int] = []
        watching = threading.Thread(target=lambda: ended.append(machine.end(begun).code))
        watching.start()
        machine.until_status("Retrieved")
        watching.join()
    assert ended == [0]
