"""``serve`` killed by SIGKILL again and again while four devices send: what is lost, and what arrives twice."""

import os
import random
import signal
import ssl
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.bare.sender import HEAD, LINE, Device, context
from bench.figures import Figure, Series, Target
from bench.gateway.ground import DEVICE, Gateway, encrypted
from bench.gateway.programs import wait_for
from bench.gateway.provider import Provider, provider
from bench.sizes import Size

KILLS = 200
SENDERS = 4
LIVES = (0.02, 0.4)  # seconds of load before the end comes, from and to
QUIET = 0.05  # seconds without a message, after which nothing more comes from one that is dead
SETTLED = 2.0  # seconds without a message, after which the queue is taken to be empty


@dataclass
class Sender:
    """A device: ``accepted`` are the Message-IDs of what it got 250 for."""

    number: int
    accepted: list[str] = field(default_factory=list)
    tried: int = 0

    def work(self, gateway: Gateway, tls: ssl.SSLContext) -> None:
        """Send until the connection breaks."""
        with suppress(OSError, EOFError, RuntimeError):
            device = Device(gateway.port, DEVICE, gateway.password, tls)
            while True:
                self.tried += 1
                device.send(HEAD % (self.number, self.tried) + LINE * (self.tried % 40) + b".\r\n")
                self.accepted.append(f"<{self.number}.{self.tried}@bench>")


def measure(folder: Path, size: Size) -> list[Figure]:
    """Kill, start again, and count at the end."""
    kills = KILLS if size.burst >= 1 else 3
    chance = random.Random(kills)  # the same moments in each run
    senders = [Sender(number) for number in range(SENDERS)]
    marks: list[int] = []
    with provider(folder / "provider") as sink:
        gateway = encrypted(folder / "data", sink)
        for _ in range(kills):
            _life(gateway, senders, chance.uniform(*LIVES))
            marks.append(_quiet(sink, QUIET))
        accepted = [each for sender in senders for each in sender.accepted]
        with gateway.served(), suppress(RuntimeError):
            wait_for(lambda: len(set(accepted) & set(sink.ids())), len(accepted))
            _quiet(sink, SETTLED)
        came = sink.ids()
    lost = set(accepted) - set(came)
    lives = [Counter(came[first:last]) for first, last in zip([0, *marks], [*marks, len(came)], strict=True)]
    again = max(count for life in lives for count in life.values()) - 1
    return [
        Figure(_one(f"kill -9, {kills} times: messages lost", len(lost)), Target(0, exact=True)),
        Figure(_one("  accepted", len(accepted))),
        Figure(_one("  came twice or more often", sum(count > 1 for count in Counter(came).values()))),
        Figure(_one("  duplicates of one message after one kill", _after_one_kill(lives)), Target(2)),
        Figure(_one("  duplicates of one message without a kill between", again), Target(0, exact=True)),
    ]


def _life(gateway: Gateway, senders: list[Sender], seconds: float) -> None:
    tls = context()
    with gateway.served() as ours:
        threads = [threading.Thread(target=sender.work, args=(gateway, tls)) for sender in senders]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        os.kill(ours.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()


def _quiet(sink: Provider, seconds: float) -> int:
    """Wait until nothing has come for ``seconds``; return how many came in all."""
    count = -1
    while (now := sink.count()) != count:
        count = now
        time.sleep(seconds)
    return count


def _after_one_kill(lives: list[Counter[str]]) -> int:
    """Return the most copies of a message that came in one life after it had come in an earlier one."""
    seen: set[str] = set()
    most = 0
    for life in lives:
        most = max([most, *(life[each] for each in life.keys() & seen)])
        seen |= life.keys()
    return most


def _one(name: str, value: int) -> Series:
    return Series(name, "", (float(value),))
