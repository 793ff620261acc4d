"""The service is killed again and again while four senders hand in mail: ``python -m tests.gateway.kill 200``."""

import hashlib
import json
import random
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.gateway.gate import Gate, guest, post
from tests.gateway.sink import Sink

SENDERS = 4
LISTENER = 'tls = "none"\npasswords_in_clear = true\nnetworks = ["127.0.0.0/8"]\nreceived = false'


@dataclass(frozen=True)
class Tally:
    """What became of the messages. ``repeated``: by a process that was not killed in between."""

    kills: int
    accepted: int
    lost: int
    spoilt: int
    repeated: int
    duplicates: int
    most_duplicates_of_a_kill: int
    most_copies: int
    seconds: float


def body_of(name: str) -> bytes:
    """Return the body that a message of this name has: some are small, some lie in segment files."""
    line = hashlib.sha256(name.encode()).hexdigest().encode() + b"\r\n"
    return line * (1_000 if int(line[:2], 16) < 16 else 12)


class Senders:
    """Four who send as fast as they are answered, and connect again as soon as they can."""

    def __init__(self, port: int) -> None:
        self.accepted: list[str] = []
        self._port = port
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(each,), daemon=True) for each in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def _send(self, sender: int) -> None:
        number = 0
        while not self._end.is_set():
            with suppress(OSError, AssertionError), guest(self._port) as client:  # it was killed under our hands
                while not self._end.is_set():
                    number += 1
                    name = f"{sender}.{number}@killed.example"
                    if not post(client, name, body_of(name)).startswith("250 "):
                        break
                    self.accepted.append(name)
            self._end.wait(0.005)

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def kill_often(folder: Path, rounds: int, *, seed: int = 1) -> Tally:
    """Kill the service ``rounds`` times, each time somewhere else; let it finish then, and count."""
    begin = time.monotonic()
    draw = random.Random(seed)  # noqa: S311 - that a run can be repeated
    worst, duplicates = 0, 0
    with Sink() as sink:
        sink.check = lambda name, body: body == body_of(name)
        gate = Gate(folder, sink.port, mail=LISTENER)
        senders = Senders(gate.ports["mail"])
        for _ in range(rounds):
            sink.next_round()
            with gate.serving() as serving:
                sink.wait_for_more(draw.randrange(200), at_most=10)
                time.sleep(draw.random() * 0.01)  # anywhere between two messages
                serving.kill()
            now = sink.copies.total() - len(sink.copies)
            worst, duplicates = max(worst, now - duplicates), now
        senders.end()
        sink.next_round()
        with gate.serving():
            accepted = set(senders.accepted)
            sink.wait_for(lambda: accepted <= sink.copies.keys())
        return Tally(
            kills=rounds,
            accepted=len(accepted),
            lost=len(accepted - sink.copies.keys()),
            spoilt=len(sink.spoilt),
            repeated=len(sink.repeated),
            duplicates=sink.copies.total() - len(sink.copies),
            most_duplicates_of_a_kill=worst,
            most_copies=max(sink.copies.values()),
            seconds=round(time.monotonic() - begin, 1),
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mailbearer-kill-") as scratch:
        tally = kill_often(Path(scratch) / "data", int(sys.argv[1]), seed=int(sys.argv[2]) if sys.argv[2:] else 1)
    print(json.dumps(asdict(tally)))
    sys.exit(1 if tally.lost or tally.spoilt or tally.repeated else 0)
