"""How long a session waits for its answers while the service does other things.

What a process waits for a processor that another process has is taken off: the kernel counts that for each thread
(``schedstat``), and with two cores it would be all that one sees.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.gateway.programs import Program

PAUSE = 0.001  # seconds between two questions
NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Longest:
    """The longest answer in seconds: ``stalled`` without, ``took`` with the waiting for a processor."""

    stalled: float
    took: float


class Waiter:
    """A session in clear that asks all the time."""

    def __init__(self, program: Program) -> None:
        self.port = program.port
        self._theirs = Path(f"/proc/{program.pid}/schedstat")
        self._socket = socket.create_connection(("127.0.0.1", program.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask_while(self, busy: Callable[[], bool]) -> Longest:
        """Ask until ``busy`` says no."""
        stalled = took = 0.0
        ours = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        while busy():
            before = _queued(self._theirs) + _queued(ours)
            asked = time.perf_counter()
            self._socket.sendall(b"NOOP\r\n")
            self._answer()
            answered = time.perf_counter() - asked
            took = max(took, answered)
            stalled = max(stalled, answered - (_queued(self._theirs) + _queued(ours) - before))
            time.sleep(PAUSE)
        return Longest(stalled, took)

    def _answer(self) -> None:
        held = b""
        while not held.endswith(b"\r\n"):
            more = self._socket.recv(4096)
            if not more:
                raise EOFError("the session was ended")
            held += more


def _queued(schedstat: Path) -> float:
    """Return the seconds that a thread has waited for a processor until now."""
    return int(schedstat.read_text(encoding="ascii").split()[1]) * NANO
