"""Programs that run while they are measured: started, awaited until their port is open, ended; and their CPU time."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.machine import cpu_seconds
from bench.processes import LOOK, PATIENCE, PYTHON, ROOT, Command, free_port

SINK = "/usr/sbin/smtp-sink"
BACKLOG = "512"
CONNECTIONS = "1000"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Program:
    """A program with a port; ``pid`` is that of its first process."""

    pid: int
    port: int

    def cpu(self) -> float:
        """Return the seconds of CPU time of all its processes until now, those that ended included."""
        return sum(map(_cpu, tree(self.pid)))


def tree(first: int) -> list[int]:
    """Return ``first`` and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(_fields(stat)[1]), []).append(int(stat.parent.name))
    found = [first]
    for each in found:  # grows while it is walked
        found += children.get(each, [])
    return found


def _cpu(pid: int) -> float:
    """Return the seconds of one process and of its children that ended."""
    with suppress(OSError):
        user, system, *children = map(int, _fields(Path(f"/proc/{pid}/stat"))[11:15])
        own = max((user + system) / TICKS, cpu_seconds(pid))  # with threads that ended, or to the nanosecond
        return own + sum(children) / TICKS
    return 0.0


def _fields(stat: Path) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` that follow the name of the program."""
    return stat.read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()


@contextmanager
def running(command: Command, port: int, *, log: Path, environment: dict[str, str] | None = None) -> Iterator[Program]:
    """Run ``command`` until the block ends; it begins when ``port`` is open."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True
        )
    try:
        wait_for_port(port, process, log)
        yield Program(process.pid, port)
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and whatever it started."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until something listens on ``port`` of this machine."""
    until = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"nothing listens on port {port}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(LOOK)


def sink_command(port: int, *options: str) -> list[str]:
    """Return the words that call ``smtp-sink``, which takes mail and throws it away."""
    return [SINK, "-u", "nobody", "-m", CONNECTIONS, *options, f"127.0.0.1:{port}", BACKLOG]


class Upstream:
    """Where all contenders deliver: ``smtp-sink``, which says how many messages it has."""

    def __init__(self, program: Program, told: Path) -> None:
        self.program = program
        self._told = told

    @property
    def port(self) -> int:
        return self.program.port

    def count(self) -> int:
        """Return how many messages came until now."""
        with self._told.open("rb") as told:
            told.seek(max(0, told.seek(0, os.SEEK_END) - 200))
            last = told.read().rpartition(b"mesg=")[2].rstrip()
        return int(last) if last else 0

    def wait(self, count: int) -> float:
        """Wait until ``count`` messages have come in all; return the monotonic time."""
        return wait_for(self.count, count)


def wait_for(counted: Callable[[], int], count: int) -> float:
    """Wait until ``counted()`` is ``count``; return the monotonic time."""
    until = time.monotonic() + PATIENCE
    seen = -1
    while (now := counted()) < count:
        if now != seen:
            seen, until = now, time.monotonic() + PATIENCE
        elif time.monotonic() > until:
            raise RuntimeError(f"only {now} of {count} messages came")
        time.sleep(2 * LOOK)
    return time.monotonic()


@contextmanager
def upstream(folder: Path) -> Iterator[Upstream]:
    """Run the upstream."""
    port, told = free_port(), folder / "upstream.log"
    with running(sink_command(port, "-c"), port, log=told) as program:
        yield Upstream(program, told)


@contextmanager
def bare_program(name: str, port: int, *words: str, log: Path) -> Iterator[Program]:
    """Run a program of ``bench/bare`` that listens on ``port``, its first argument."""
    with running([PYTHON, "-m", f"bench.bare.{name}", str(port), *words], port, log=log) as program:
        yield program
