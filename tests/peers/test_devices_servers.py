"""Mail servers and many senders at once: what they were told is accepted arrives, each message once."""

import re
import smtplib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import programs
from tests.peers.gateway import KNOWN, WAYS, Gateway, Way, read
from tests.peers.machine import ACCOUNT, listed, text, until
from tests.peers.stack.children import HOST, POSTFIX_MASTER, Children, free_ports, make_postfix_folders, nursery

TEMPLATES = Path(__file__).parent / "relay"
WAYS_OF_POSTFIX = {"starttls": WAYS[0], "implicit": WAYS[1], "address": Way("starttls", "none")}
MANY = 300


class Relay:
    """A Postfix of an office; mail to ``starttls…@``, ``implicit…@``, ``address…@`` goes that way to the gateway."""

    def __init__(self, children: Children, port: int) -> None:
        self.children = children
        self.port = port

    def take(self, recipient: str, letter: bytes) -> None:
        """Let a machine of the office send."""
        with smtplib.SMTP(HOST, self.port) as client:
            client.sendmail(ACCOUNT, [recipient], letter, mail_options=["BODY=8BITMIME"])

    def reached(self) -> None:
        """Raise as long as it does not answer."""
        socket.create_connection((HOST, self.port)).close()

    @property
    def log(self) -> str:
        """What it did."""
        return (self.children.folder / "log/relay.log").read_text()


@pytest.fixture(scope="module")
def relay(_gateway: Gateway) -> Iterator[Relay]:
    gateway = _gateway
    with nursery("relay") as children:
        ports = free_ports(["smtp"])
        values = {
            "DIR": children.folder,
            "CA": gateway.ca_file,
            "PORT": f"{HOST}:{ports['smtp']}",
            "KNOWN": KNOWN,
            "PASSWORD": gateway.passwords["nas"],
            **{name.upper(): gateway.port(way.listener) for name, way in WAYS_OF_POSTFIX.items()},
            "ADDRESS": gateway.port("both"),
        }
        make_postfix_folders(children.folder)
        for template in TEMPLATES.iterdir():
            filled = re.sub(r"@([A-Z]+)@", lambda found: str(values[found[1]]), template.read_text())
            (children.folder / "postfix" / template.name).write_text(filled)
        children.run("relay", POSTFIX_MASTER, "-c", children.folder / "postfix", "-d")
        relay = Relay(children, ports["smtp"])
        children.wait_until(relay.reached)
        yield relay


@pytest.mark.parametrize("name", WAYS_OF_POSTFIX)
def test_postfix_has_it_as_its_smarthost(gateway: Gateway, relay: Relay, name: str) -> None:
    reader = f"{name}-postfix@test.example"
    letter = gateway.letter(reader, f"{name}-postfix").read_bytes()
    relay.take(reader, letter)
    content = gateway.arrived(reader)[f"{name}-postfix"]
    assert content.endswith(letter)
    by_us = next(field for field in read(content).get_all("Received", []) if "(Mailbearer " in field)
    assert f" with {WAYS_OF_POSTFIX[name].protocol};" in " ".join(by_us.split())
    assert re.search(rf"to=<{reader}>, relay=.* status=sent \(250 2\.0\.0 Queued as [0-9a-f]+\)", relay.log), relay.log


def test_postfix_brings_what_many_machines_send(gateway: Gateway, relay: Relay) -> None:
    reader = "starttls-many@test.example"
    source = (programs.program("smtp-source"), "-s", "10", "-m", MANY, "-l", "2048", "-f", ACCOUNT, "-t", reader)
    gateway.run(*source, f"{HOST}:{relay.port}")
    until(lambda: gateway.stack.count(reader) >= MANY)
    until(lambda: len(re.findall(rf"to=<{reader}>.* status=sent", relay.log)) >= MANY)
    assert gateway.stack.count(reader) == MANY


def test_what_smtp_source_was_told_arrives_each_once(gateway: Gateway) -> None:
    reader = "load@test.example"
    words = ("networks=127.0.0.1", "by_address=yes", "from_policy=as-is")
    gateway.machine.run("device", "add", "load", *words)
    try:
        source = (programs.program("smtp-source"), "-s", "20", "-m", MANY, "-l", "1024", "-f", ACCOUNT)
        gateway.run(*source, "-t", reader, f"{HOST}:{gateway.port('clear')}")
        until(lambda: gateway.stack.count(reader) >= MANY)
        sent = gateway.machine.ask("device", "history", "load", "--limit", "1000")
    finally:
        gateway.machine.run("device", "remove", "load", "--yes")
    assert [text(each, "state") for each in listed(sent, "messages")] == ["Accepted"] * MANY
    assert gateway.stack.count(reader) == MANY
