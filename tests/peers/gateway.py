"""A running gateway with devices, and what programs of others need to know to send through it.

The provider behind it takes OAuth 2.0 and nothing else. Its listeners are as administrators have them: STARTTLS, TLS
from the start, both on one port, one without encryption, one for old devices, one behind a load balancer.
"""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from tests.peers.machine import ACCOUNT, COMMAND, PATIENCE, Machine, Service, held, listed, perform, text, until
from tests.peers.stack.stack import Stack

KNOWN = "127.0.0.2"  # who comes from there need not sign in
PROXIED = "192.0.2.31"  # the same, but only a load balancer can say so
PDF = b"%PDF-1.4\n" + bytes(range(256)) * 80 + b"\n%%EOF\n"
BODY = (
    "Größe: 1 Seite\r\n"
    ".\r\n"
    "..\r\n"
    ".x begins with a dot\r\n"
    "From here on nothing is quoted\r\n"
    "\r\n"
    "ends with blanks  \t \r\n"
    f"{'long ' * 180}\r\n"
    "\r\n"
    "-- \r\n"
    "Copier, 3rd floor\r\n"
).encode()
LISTENERS = """
[[listener]]
name = "starttls"
address = "127.0.0.1:0"
tls = "starttls"
passwords_in_clear = false
certificate = "{tls}/server.crt"
key = "{tls}/server.key"
[[listener]]
name = "implicit"
address = "127.0.0.1:0"
tls = "implicit"
certificate = "{tls}/server.crt"
key = "{tls}/server.key"
[[listener]]
name = "both"
address = "127.0.0.1:0"
tls = "both"
certificate = "{tls}/server.crt"
key = "{tls}/server.key"
[[listener]]
name = "clear"
address = "127.0.0.1:0"
tls = "none"
passwords_in_clear = true
networks = ["127.0.0.0/8"]
connections_per_address = 200
[[listener]]
name = "old"
kind = "old-devices"
address = "127.0.0.1:0"
tls = "both"
networks = ["127.0.0.1", "127.0.0.2"]
[[listener]]
name = "balanced"
address = "127.0.0.1:0"
tls = "both"
certificate = "{tls}/server.crt"
key = "{tls}/server.key"
trusted_proxies = ["127.0.0.1"]
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a device gets in: which listener, how encryption begins, which mechanism (none: known by its address)."""

    listener: str
    tls: str  # none, starttls or implicit
    mechanism: str = ""

    @property
    def source(self) -> str:
        """The address that the device has."""
        return "127.0.0.1" if self.mechanism else KNOWN

    @property
    def protocol(self) -> str:
        """What Received says about it (RFC 3848)."""
        return f"ESMTP{'S' * (self.tls != 'none')}{'A' * bool(self.mechanism)}"


WAYS = (
    Way("starttls", "starttls", "PLAIN"),
    Way("implicit", "implicit", "LOGIN"),
    Way("both", "starttls", "LOGIN"),
    Way("both", "implicit", "PLAIN"),
    Way("clear", "none"),
    Way("clear", "none", "LOGIN"),
    Way("starttls", "starttls"),
)
SIGNED_IN = tuple(way for way in WAYS if way.mechanism)


class Gateway:
    """The service that runs, and its devices: ``copier`` as they are by default, ``nas`` whose mail stays as it is."""

    def __init__(self, machine: Machine, service: Service, passwords: dict[str, str]) -> None:
        self.machine = machine
        self.stack = machine.stack
        self.service = service
        self.passwords = passwords
        self.home = machine.home
        self.ca_file = machine.stack.ca_file

    def port(self, listener: str) -> int:
        """Return where the listener of that name is."""
        return self.service.port(listener)

    def letter(self, recipient: str, subject: str) -> Path:
        """Write a letter to ``recipient`` as a file: a whole message with CR LF, of which nothing need be changed."""
        header = (
            f"From: {ACCOUNT}\r\nTo: {recipient}\r\nSubject: {subject}\r\n"
            "Date: Mon, 02 Nov 2026 09:00:00 +0000\r\n"
            f"Message-ID: <{subject}@device.example>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        )
        file = self.home / f"letter-{subject}.eml"
        file.write_bytes(header.encode() + b"\r\n" + BODY)
        return file

    def scan(self) -> Path:
        """Write a file to be attached."""
        file = self.home / "scan.pdf"
        file.write_bytes(PDF)
        return file

    def sendmail(self, name: str = "sendmail") -> Path:
        """Return the command by the name that other programs know."""
        link = self.home / "bin" / name
        link.parent.mkdir(exist_ok=True)
        if not link.exists():
            link.symlink_to(COMMAND)
        return link

    def environment(self) -> dict[str, str]:
        """Return what programs run with that call ``sendmail``."""
        return {
            "PATH": f"{self.sendmail().parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "MAILBEARER_DATA": str(self.machine.folder),
        }

    def run(self, *words: object, stdin: bytes = b"", code: int = 0) -> str:
        """Run a program of others, which must end with ``code``; return what it wrote, complaints included."""
        done = subprocess.run(
            [str(word) for word in words],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.home,
            env=self.environment(),
            timeout=PATIENCE,
            check=False,
        )
        out = done.stdout.decode(errors="replace")
        assert done.returncode == code, f"{words} ended with {done.returncode}: {out}\n{self.service.log[-2000:]}"
        return out

    def arrived(self, account: str, count: int = 1) -> dict[str, bytes]:
        """Wait until ``count`` messages are in the mailbox, and return them by their subjects."""
        until(lambda: self.stack.count(account) >= count)
        messages = {subject_of(content): content for content in self.stack.mailbox(account)}
        assert len(messages) == count, "each once"
        return messages

    def history(self, device: str) -> list[str]:
        """Return the subjects of what a device sent, newest first."""
        return [text(each, "subject") for each in listed(self.machine.ask("device", "history", device), "messages")]


def subject_of(content: bytes) -> str:
    """Return the subject of a message."""
    return str(read(content)["Subject"])


def read(content: bytes) -> EmailMessage:
    """Read a message."""
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@contextmanager
def open_gateway(folder: Path, stack: Stack) -> Iterator[Gateway]:
    """Set up services, token and devices in ``folder``, and run the gateway until the block ends."""
    machine = Machine(folder, stack, LISTENERS.format(tls=stack.ca_file.parent))
    machine.set_up("smtp")
    machine.get_token("smtp")
    passwords = asyncio.run(_add_devices(machine))
    try:
        with machine.serving() as service:
            yield Gateway(machine, service, passwords)
    finally:
        machine.close()


async def _add_devices(machine: Machine) -> dict[str, str]:
    devices = {
        "copier": {"title": "Copier 3F"},
        "nas": {"from_policy": "as-is"},
        "known": {"networks": KNOWN, "by_address": "yes", "from_policy": "as-is"},
        "proxied": {"networks": f"{PROXIED} 2001:db8::31", "by_address": "yes", "from_policy": "as-is"},
    }
    passwords: dict[str, str] = {}
    async with machine.opened() as app:
        for name, values in devices.items():
            made = await perform(app, "device.add", device=name, values={**values})
            rows = {text(row, "label"): text(row, "value") for row in listed(held(made, "sheet"), "rows")}
            passwords[name] = rows.get("Password", "")
    return passwords
