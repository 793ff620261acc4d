"""What sends: ``smtp-source``, and where it cannot (TLS, sign-in) ``bench/bare/sender.py`` in several processes."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.processes import PYTHON, run

SENDER_PROGRAM = str(Path(__file__).parents[1] / "bare" / "sender.py")
SOURCE = "/usr/sbin/smtp-source"
SENDER = "device@bench.example"
RECIPIENT = "someone@bench.example"
KIB = 1024


@dataclass(frozen=True, slots=True)
class Load:
    """Messages of ``octets`` over so many connections that are kept."""

    connections: int
    octets: int = KIB


def send(port: int, load: Load, count: int) -> tuple[float, float]:
    """Send ``count`` messages with ``smtp-source``; return when it began and when the last was accepted (monotonic)."""
    command = [
        *(SOURCE, "-d", "-s", str(load.connections), "-m", str(count), "-l", str(load.octets)),
        *("-M", "load.bench.example", "-f", SENDER, "-t", RECIPIENT, f"127.0.0.1:{port}"),
    ]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode or done.stderr:
        raise RuntimeError(f"smtp-source: exit {done.returncode}\n{done.stderr}")
    return began, time.monotonic()


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who signs in over STARTTLS, and whether a connection is ``kept`` or made anew for each message."""

    user: str
    password: str
    kept: bool = True


def send_signed_in(port: int, load: Load, count: int, sign_in: SignIn) -> tuple[float, float]:
    """Send ``count`` messages as devices with TLS do; return when it began and ended (monotonic)."""
    numbers = (port, load.connections, count, load.octets)
    mode = "kept" if sign_in.kept else "new"
    done = run([PYTHON, SENDER_PROGRAM, *map(str, numbers), sign_in.user, sign_in.password, mode])
    began, ended = map(float, done.output.split())
    return began, ended
