"""Running programs and measuring them whole: wall time from before the fork to the end, CPU time from the kernel."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Series

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
MAILBEARER = str(Path(sys.executable).with_name("mailbearer"))
PATIENCE = 30.0  # seconds until a service that does not become ready is given up
LOOK = 0.001  # seconds between two looks whether it is ready

Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one program."""

    seconds: float
    output: str


def run(command: Command) -> Run:
    """Run ``command`` to its end."""
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return Run(seconds, done.stdout)


def in_turn(commands: Mapping[str, Command], runs: int) -> dict[str, Series]:
    """Run all ``commands`` one after the other, ``runs`` times over, so that a busy moment meets all of them alike.

    A round before the first is not counted: it brings files into memory.
    """
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for each in range(runs + 1):
        for name, command in commands.items():
            ended = run(command)
            if each:
                seconds[name].append(ended.seconds)
    return {name: Series(name, "s", tuple(values)) for name, values in seconds.items()}


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Started:
    """A service that is ready: its process, when it was started (monotonic), how many seconds that took."""

    pid: int
    began: float
    seconds: float


@contextmanager
def service(command: Command, port: int) -> Iterator[Started]:
    """Start ``command``, wait until ``/readyz`` on ``port`` answers 200, stop it at the end by SIGTERM."""
    began = time.monotonic()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not is_ready(port):
                if process.poll() is not None or time.monotonic() - began > PATIENCE:
                    process.kill()
                    raise RuntimeError(f"{' '.join(command)} did not become ready\n{process.communicate()[1]}")
                time.sleep(LOOK)
            yield Started(process.pid, began, time.monotonic() - began)
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            process.communicate()


def is_ready(port: int) -> bool:
    """Tell whether the service on ``port`` says that it is ready."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as peer:
            peer.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return peer.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
