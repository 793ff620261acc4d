"""Round trips for each message on a line to the provider that is kept: its replies take their time, and are counted."""

import time
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.gateway.ground import DEVICE, encrypted
from bench.gateway.load import Load, SignIn, send_signed_in
from bench.gateway.provider import provider
from bench.sizes import Size

DELAY = 0.01  # seconds of a reply
LIMIT = 1.1
LOAD = Load(10)
MESSAGES = 200


def measure(folder: Path, size: Size) -> list[Figure]:
    """Count while a queue that is full is emptied."""
    trips: list[float] = []
    count = max(20, int(MESSAGES * size.burst))
    with provider(folder / "provider", delay=DELAY) as sink:
        gateway = encrypted(folder / "data", sink)
        with gateway.served() as ours:
            for _ in range(size.rounds):
                there, before = sink.count(), sink.trips
                send_signed_in(ours.port, LOAD, count, SignIn(DEVICE, gateway.password))
                sink.wait(there + count)
                time.sleep(5 * DELAY)  # the last reply is still on its way
                trips.append((sink.trips - before) / count)
    return [Figure(Series("round trips of a message upstream", "", tuple(trips)), Target(LIMIT))]
