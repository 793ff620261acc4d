"""The gateway as a stranger finds it: ``mailbearer serve`` as a process of its own, and clients by hand."""

import asyncio
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import open_app
from mailbearer.config.schema import Config

COMMAND = str(Path(sys.executable).parent / "mailbearer")
WHO = Who("test", "tests/gateway")
PATIENCE = 30.0
KNOWN = "127.0.0.1"  # a device that is known by its address sends from here
STRANGER = "127.0.0.2"
USER = "nas"
SENDER = "scan@clinic.example"


def free_port() -> int:
    """Return a port that nobody has, and that the system gives to nobody by itself."""
    draw = random.SystemRandom()
    while True:
        port = draw.randrange(15_000, 32_000)
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port))):
            return port


class Serving:
    """A service that runs. ``said`` is what it wrote."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if " serves " in line:
                self._ready.set()
        self._ready.set()

    def wait_until_ready(self) -> None:
        assert self._ready.wait(PATIENCE)
        assert self.process.poll() is None, self.said

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.send_signal(signal.SIGKILL)
        self._gone()

    def stop(self) -> int:
        """End it as an administrator does; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._gone()
        return self.process.returncode

    def _gone(self) -> None:
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def memory(self, what: str = "VmRSS") -> int:
        """Return the octets of memory that it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{what}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


class Gate:
    """A data folder with a service that needs no sign-in upstream, and two devices."""

    password: str

    def __init__(self, folder: Path, upstream: int, **listeners: str) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in listeners}
        self.extra = ""
        self._listeners = listeners
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        asyncio.run(self._enter(upstream))
        self.configure()

    def configure(self, level: str = "warning") -> None:
        """Write mailbearer.toml."""
        parts = [f'[web]\nenabled = false\n[log]\nlevel = "{level}"\n{self.extra}']
        parts += [
            f'[[listener]]\nname = "{name}"\naddress = "127.0.0.1:{self.ports[name]}"\n{keys}\n'
            for name, keys in self._listeners.items()
        ]
        (self.folder / "mailbearer.toml").write_text("".join(parts))

    async def _enter(self, upstream: int) -> None:
        async def do(deed: str, **arguments: Json) -> dict[str, Json]:
            return await app.deeds.perform(deed, Arguments(arguments), WHO, _unheard)

        service: dict[str, Json] = {
            "primary_server": "127.0.0.1", "port": str(upstream), "tls": "off", "auth": "none", "sender_address": SENDER
        }  # fmt: skip
        async with open_app(self.folder, Config()) as app:
            await do("service.set", service="smtp", values=service)
            known: dict[str, Json] = {"networks": KNOWN, "by_address": "yes", "from_policy": "as-is"}
            await do("device.add", device="copier", values=known)
            sheet = (await do("device.add", device=USER, values={}))["sheet"]
            assert isinstance(sheet, dict)
            assert isinstance(sheet["rows"], list)
            self.password = next(
                str(row["value"]) for row in sheet["rows"] if isinstance(row, dict) and row["label"] == "Password"
            )

    @contextmanager
    def serving(self, *, before: Sequence[str] = ()) -> Generator[Serving]:
        """Run the service until the block ends; ``before`` are words that go before the command."""
        serving = Serving(
            subprocess.Popen(
                [*before, COMMAND, "--data", str(self.folder), "serve"],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "NO_COLOR": "1"},
            )
        )
        try:
            serving.wait_until_ready()
            yield serving
        finally:
            serving.stop()

    def run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command."""
        return subprocess.run(
            [COMMAND, "--data", str(self.folder), *words], input=text, capture_output=True, text=True, check=False
        )


async def _unheard(_: dict[str, Json]) -> None:
    """Let an event pass."""


class Guest(AbstractContextManager["Guest"]):
    """A client, word by word. What it was told is in ``last``."""

    def __init__(self, port: int, source: str = KNOWN, *, timeout: float = PATIENCE) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout, source_address=(source, 0))
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hear(self) -> str:
        """Return the next reply on one line; what is left at the end of the connection."""
        lines: list[str] = []
        while True:
            while b"\r\n" not in self._held:
                data = self.socket.recv(65536)
                if not data:
                    return " ".join(lines)
                self._held += data
            line, _, self._held = self._held.partition(b"\r\n")
            lines.append(line.decode())
            if line[3:4] != b"-":
                return " ".join(lines)

    def ask(self, *lines: bytes) -> str:
        """Say each line when the one before was answered; return the last reply."""
        reply = ""
        for line in lines:
            self.send(line + b"\r\n")
            reply = self.hear()
        return reply

    def rest(self) -> bytes:
        """Return everything until the other side closes or breaks the connection."""
        data, self._held = self._held, b""
        with suppress(ConnectionError):
            while piece := self.socket.recv(65536):
                data += piece
        return data

    def start_tls(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)


@contextmanager
def guest(port: int, source: str = KNOWN) -> Generator[Guest]:
    """A client that was greeted and has introduced itself."""
    with Guest(port, source) as made:
        assert made.hear().startswith("220 ")
        assert made.ask(b"EHLO guest").startswith("250")
        yield made


def letter(name: str, body: bytes = b"hello\r\n") -> bytes:
    """Return a message with a Message-ID by which it is known again."""
    return f"From: {SENDER}\r\nMessage-ID: <{name}>\r\nSubject: {name}\r\n\r\n".encode() + body


def post(client: Guest, name: str, body: bytes = b"hello\r\n") -> str:
    """Send a letter; return what was said to its end, or to what went wrong before."""
    client.send(b"MAIL FROM:<scan@clinic.example>\r\nRCPT TO:<ada@x.example>\r\nDATA\r\n")
    replies = [client.hear() for _ in range(3)]
    if not replies[2].startswith("354"):
        client.ask(b"RSET")
        return next((each for each in replies if not each.startswith("250")), replies[2])
    client.send(letter(name, body) + b".\r\n")
    return client.hear()


def until(happened: Callable[[], object], *, at_most: float = PATIENCE) -> None:
    """Wait for another process until ``happened`` returns something true."""
    end = time.monotonic() + at_most
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
