"""kill -9 at the worst moments: no refresh token is lost, no message is lost (SPEC promises 1 to 3)."""

import io
import re
import threading
from collections import Counter
from pathlib import Path

import pytest

from mailbearer.admin.speech import Json
from mailbearer.control.client import ask, connect
from mailbearer.errors import MailbearerError
from mailbearer.store.folder import DataFolder
from tests.peers.machine import ACCOUNT, Machine, Service, until
from tests.peers.stack.answers import Entry
from tests.peers.stack.stack import Stack

KILLED = "killed@test.example"
ROUNDS = 20
LETTERS = 3  # a round
ANSWERED = 400  # octets of a slot of the journal that holds an answer; without one it is shorter


def renewals(stack: Stack) -> list[Entry]:
    return [call for call in stack.journal("/token") if call.grant_type == "refresh_token"]


def slots(machine: Machine) -> list[int]:
    """Return how long the value in each filled slot of the rotation journal is."""
    found: list[int] = []
    for file in DataFolder(machine.folder).journal.glob("*.journal"):
        content = file.read_bytes()
        found += [
            int.from_bytes(content[at + 18 : at + 22]) for at in (m.start() for m in re.finditer(b"MBj1", content))
        ]
    return found


@pytest.mark.parametrize("by", ["command", "service"])
def test_killed_between_the_answer_and_the_commit_the_rotated_token_is_not_lost(
    stack: Stack, machine: Machine, by: str
) -> None:
    machine.set_up("smtp")
    machine.get_token("smtp")
    before = machine.refresh_token()
    machine.let_pass(3600)
    stack.fault("/token", delay=0.5)
    renewing = machine.serving() if by == "service" else machine.commanding("token", "access", "smtp")
    with renewing as victim, machine.database() as other:
        until(lambda: other.execute("SELECT lease_owner FROM grants").fetchone() != ("",))
        other.execute("BEGIN IMMEDIATE")  # from here on nobody commits
        until(lambda: [call.status for call in renewals(stack)] == [200])
        until(lambda: max(slots(machine), default=0) > ANSWERED)
        victim.kill()
        other.execute("ROLLBACK")
    access = machine.run("token", "access", "smtp").out.strip()
    kept = machine.held_tokens()
    assert kept[0] == access
    assert kept[1] != before, "the token of the answer is in use"
    assert len(renewals(stack)) == 1, "and no other was asked for"
    machine.let_pass(120)
    machine.run("token", "refresh", "smtp")
    assert [call.status for call in renewals(stack)] == [200, 200], "a used token would have ended it all"
    assert machine.status()["status"] == "Retrieved"
    assert slots(machine) == [] or max(slots(machine)) == 0
    stack.smtp(ACCOUNT, machine.held_tokens()[0]).quit()


def test_lost_answer_is_told_as_such_and_not_as_somebodys_fault(stack: Stack, machine: Machine) -> None:
    """The one loss that nobody can prevent: the provider rotated, and its answer never came."""
    machine.set_up("smtp")
    machine.get_token("smtp")
    machine.let_pass(3600)
    stack.fault("/token", lose=True)
    assert "MB-T01" in machine.run("token", "access", "smtp", code=75).err
    assert machine.status()["status"] == "Retrieved"
    machine.let_pass(1)
    assert "MB-T42" in machine.run("token", "access", "smtp", code=1).err
    assert machine.status()["status"] == "Invalid"


def letter(number: str) -> bytes:
    return (
        f"From: {KILLED}\r\nTo: {KILLED}\r\nSubject: {number}\r\nDate: Mon, 02 Nov 2026 09:00:00 +0000\r\n"
        f"Message-ID: <{number}@killed.example>\r\n\r\n.{number}\r\n"
    ).encode()


def send(machine: Machine, number: str) -> bool:
    """Hand one message to the service; tell whether it said that it has it."""
    peer = connect(machine.folder / "control.sock")
    if peer is None:
        return False
    content = letter(number)
    arguments: dict[str, Json] = {"service": "smtp", "sender": KILLED, "recipients": [KILLED]}
    with peer:
        try:
            ask(peer, "send", arguments, content=(io.BytesIO(content), len(content)), on_event=lambda _: None)
        except (MailbearerError, OSError):
            return False
    return True


def check(machine: Machine) -> None:
    """Have the service look into the mailbox, for as long as it lives."""
    peer = connect(machine.folder / "control.sock")
    if peer is None:
        return
    with peer:
        try:
            ask(peer, "check", {"service": "pop.internet-fax"}, on_event=lambda _: None)
        except (MailbearerError, OSError):
            return


def one_round(machine: Machine, service: Service, number: int) -> list[str]:
    """Send, receive, and end the service in the middle of it; return what it had accepted."""
    accepted: list[str] = []

    def sending() -> None:
        accepted.extend(name for name in (f"{number}-{each}" for each in range(LETTERS)) if send(machine, name))

    workers = [threading.Thread(target=sending), threading.Thread(target=check, args=(machine,))]
    for worker in workers:
        worker.start()
    marks = len(re.findall(r" (?:Sending|Received|Filed|Accepted) ", service.log))
    wanted = number % 10 + 1  # things that happen until the power goes: each round at another place
    end = threading.Event()
    threading.Timer(1.0, end.set).start()
    while not end.is_set():
        if len(re.findall(r" (?:Sending|Received|Filed|Accepted) ", service.log)) - marks >= wanted:
            break
    service.kill()
    for worker in workers:
        worker.join()
    return accepted


@pytest.mark.slow
def test_no_message_is_lost_however_often_the_service_is_killed(stack: Stack, machine: Machine) -> None:
    maildir = machine.home / "maildir"
    machine.set_up("smtp", account=KILLED)
    machine.run(
        "service", "set", "pop.internet-fax", "provider=acme", f"account={KILLED}", f"destinations=maildir:{maildir}"
    )
    machine.get_token("smtp", "pop.internet-fax", account=KILLED)
    accepted: list[str] = []
    in_flight: Counter[str] = Counter()
    for number in range(ROUNDS):
        with machine.serving() as service:
            accepted += one_round(machine, service, number)
        with machine.database() as database:
            in_flight.update(
                name for (name,) in database.execute("SELECT subject FROM messages WHERE state = 'Sending'")
            )
        machine.sql("UPDATE messages SET lease_until = 0, next_try = NULL")  # a minute passes
    assert len(accepted) > ROUNDS, "the service took something each time"
    machine.run("queue", "flush")
    machine.run("token", "refresh", "smtp")

    def all_here() -> bool:
        machine.run("check", "pop.internet-fax")
        return set(accepted) <= set(received(maildir))

    until(all_here)
    found = Counter(received(maildir))
    assert set(found) >= set(accepted)
    assert not {name: copies for name, copies in found.items() if copies > 1 + in_flight[name]}, "once, or in flight"
    for file in (maildir / "new").iterdir():
        content = file.read_bytes()
        name = subject(content)
        assert f"Message-ID: <{name}@killed.example>".encode() in content
        assert content.rstrip().endswith(f".{name}".encode()), "whole"
    assert stack.mailbox(KILLED) == []


def subject(content: bytes) -> str:
    found = re.search(rb"^Subject: (\S+)", content, re.MULTILINE)
    assert found
    return found[1].decode()


def received(maildir: Path) -> list[str]:
    return [subject(file.read_bytes()) for file in (maildir / "new").iterdir()]
