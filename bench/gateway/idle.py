"""Two thousand devices that keep an encrypted session open and say nothing: what memory each takes."""

import resource
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path

from bench.bare.sender import context
from bench.figures import Figure, Series, Target
from bench.gateway.ground import encrypted
from bench.gateway.provider import provider
from bench.machine import memory
from bench.sizes import Size

SESSIONS = 2_000
LIMIT = 40.0  # KiB
KIB = 1024
FILES = 8_192  # that a process may have open


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure after EHLO, before any message."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, hard), hard))
    sessions = SESSIONS if size.burst >= 1 else 20
    each: list[float] = []
    with provider(folder / "provider") as sink:
        for number in range(min(3, size.rounds)):
            gateway = encrypted(folder / str(number), sink, tls="implicit")
            with gateway.served() as ours, ExitStack() as held:
                tls = context()
                held.enter_context(_session(ours.port, tls))
                before = memory(ours.pid).rss
                for _ in range(sessions):
                    held.enter_context(_session(ours.port, tls))
                each.append((memory(ours.pid).rss - before) * 1e6 / KIB / sessions)
    return [Figure(Series(f"{sessions} idle TLS sessions, memory of one", "KiB", tuple(each)), Target(LIMIT))]


def _session(port: int, tls: ssl.SSLContext) -> ssl.SSLSocket:
    session = tls.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60), server_hostname="localhost")
    session.recv(4096)
    session.sendall(b"EHLO idle.bench.example\r\n")
    session.recv(4096)
    return session
