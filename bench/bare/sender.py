"""``python sender.py PORT CONNECTIONS COUNT OCTETS USER PASSWORD kept|new``: a device with STARTTLS and AUTH PLAIN.

One process for each connection; each command waits for its reply, as with ``smtp-source``. ``new`` connects, encrypts
and signs in for every message. An empty USER does not sign in. Prints when it began and ended (monotonic).
"""

import base64
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable

LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcd\r\n"
HEAD = (
    b"From: <device@bench.example>\r\nTo: <someone@bench.example>\r\nSubject: bench\r\nMessage-ID: <%d.%d@bench>\r\n"
    b"Date: Mon, 02 Nov 2026 09:00:00 +0000\r\n\r\n"
)


def context() -> ssl.SSLContext:
    """Return TLS as most devices speak it: they check no certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class Device:
    """A connection that is encrypted and signed in."""

    def __init__(self, port: int, user: str, password: str, tls: ssl.SSLContext) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reply(b"220")
        self.ask(b"EHLO load.bench.example\r\n", b"250")
        self.ask(b"STARTTLS\r\n", b"220")
        self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        self.ask(b"EHLO load.bench.example\r\n", b"250")
        if user:
            secret = base64.b64encode(f"\0{user}\0{password}".encode())
            self.ask(b"AUTH PLAIN " + secret + b"\r\n", b"235")

    def ask(self, command: bytes, code: bytes) -> None:
        """Send ``command`` and wait for its reply, which must begin with ``code``."""
        self._socket.sendall(command)
        self._reply(code)

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.ask(b"MAIL FROM:<device@bench.example>\r\n", b"250")
        self.ask(b"RCPT TO:<someone@bench.example>\r\n", b"250")
        self.ask(b"DATA\r\n", b"354")
        self.ask(message, b"250")

    def quit(self) -> None:
        """End the session."""
        self.ask(b"QUIT\r\n", b"221")
        self._socket.close()

    def _reply(self, code: bytes) -> None:
        """Read one reply to its last line."""
        held = b""
        while not held.endswith(b"\n") or held[held.rfind(b"\n", 0, -1) + 4 :][:1] == b"-":
            more = self._socket.recv(4096)
            if not more:
                raise EOFError(f"closed after {held!r}")
            held += more
        if not held.startswith(code):
            raise RuntimeError(f"{held!r} instead of {code!r}")


def work(connect: Callable[[], Device], count: int, octets: int, *, kept: bool) -> None:
    """Send ``count`` messages."""
    body = LINE * max(1, octets // len(LINE)) + b".\r\n"
    device: Device | None = None
    for number in range(count):
        device = device or connect()
        device.send(HEAD % (os.getpid(), number) + body)
        if not kept:
            device.quit()
            device = None
    if device is not None:
        device.quit()


def main(words: list[str]) -> int:
    """Send with as many processes as there are connections."""
    port, connections, count, octets = map(int, words[:4])
    user, password, mode = words[4:]
    tls = context()
    began = time.monotonic()
    children: list[int] = []
    for number in range(connections):
        child = os.fork()
        if not child:
            share = count // connections + (number < count % connections)
            work(lambda: Device(port, user, password, tls), share, octets, kept=mode == "kept")
            os._exit(0)
        children.append(child)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    print(began, time.monotonic())
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
