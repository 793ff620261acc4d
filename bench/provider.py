"""A provider that counts: the practice world in a process of its own, with a delay like that of a network.

``python -m bench.provider FOLDER PERMISSIONS DELAY`` prints its ports as JSON. It then answers each line on standard
input with the requests at its token endpoint since the line before, and ends with the input.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bench.processes import PYTHON, ROOT
from mailbearer.clock import SystemClock
from mailbearer.practice.ledger import Ledger, Permission, RefreshEntry, digest
from mailbearer.practice.options import CLIENT_ID, OFFLINE, RECEIVE
from mailbearer.practice.provider import Ports
from mailbearer.practice.world import PracticeWorld

TOKEN = "/token"
DELAY = 0.1  # seconds, as an authorization server on the other side of a continent takes


def account_of(number: int) -> str:
    """Return the account of permission ``number``."""
    return f"machine-{number}@practice.example"


def refresh_token_of(number: int) -> str:
    """Return the refresh token that permission ``number`` begins with."""
    return f"refresh-token-of-permission-{number:06d}"


@dataclass(frozen=True, slots=True)
class Count:
    """What the provider saw: when each request came (monotonic), how many at once, how many it answered with tokens."""

    arrivals: tuple[float, ...]
    most_in_flight: int
    granted: int

    @property
    def most_in_a_second(self) -> int:
        """The most requests in any second, wherever it begins."""
        first = most = 0
        for last, at in enumerate(self.arrivals):
            while self.arrivals[first] <= at - 1:
                first += 1
            most = max(most, last - first + 1)
        return most


class CountingProvider:
    """The bench's end of the process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.ports = Ports(**json.loads(self._line()))
        self.client_id = CLIENT_ID

    @property
    def token_endpoint(self) -> str:
        return f"{self.ports.issuer}{TOKEN}"

    def count(self) -> Count:
        """Return what came since this was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        told = json.loads(self._line())
        return Count(tuple(told["arrivals"]), told["most_in_flight"], told["granted"])

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the practice provider ended")
        return line


@contextmanager
def provider(folder: Path, *, permissions: int, delay: float = DELAY) -> Iterator[CountingProvider]:
    """Run a provider that knows the refresh tokens of ``permissions`` permissions."""
    command = [PYTHON, "-m", "bench.provider", str(folder), str(permissions), str(delay)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        yield CountingProvider(process)  # leaving closes its standard input


class _CountingClock(SystemClock):
    """The delay of each answer goes through the clock of the world: whoever waits is in flight."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.most_in_flight = 0
        self._in_flight = 0

    async def sleep(self, seconds: float) -> None:
        self.arrivals.append(time.monotonic())
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            await super().sleep(seconds)
        finally:
            self._in_flight -= 1


def _seed(folder: Path, permissions: int, now: datetime) -> None:
    folder.mkdir()
    ledger = Ledger(folder / "practice.json")
    for number in range(permissions):
        permission = Permission(f"{number:06d}", CLIENT_ID, account_of(number), (RECEIVE, OFFLINE))
        permission.refresh[digest(refresh_token_of(number))] = RefreshEntry(now.timestamp())
        ledger.permissions[permission.id] = permission
    ledger.save(now)


async def _serve(folder: Path, permissions: int, delay: float) -> None:
    clock = _CountingClock()
    _seed(folder, permissions, clock.now())
    seen = 0
    async with PracticeWorld(folder, clock=clock) as world:
        world.fault(TOKEN, delay=delay, count=-1)
        print(json.dumps(asdict(world.ports)), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            entries = world.journal
            granted = sum(entry.endpoint == TOKEN and entry.outcome == "ok" for entry in entries[seen:])
            told = {"arrivals": clock.arrivals, "most_in_flight": clock.most_in_flight, "granted": granted}
            print(json.dumps(told), flush=True)
            seen = len(entries)
            clock.arrivals, clock.most_in_flight = [], 0


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
