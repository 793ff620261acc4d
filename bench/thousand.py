"""A thousand services: renewed after a night without power, without a burst; then kept alive for next to nothing."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.ground import Ground, lay, overdue, spread
from bench.machine import cpu_seconds, memory
from bench.processes import PYTHON, run, service
from bench.provider import Count, CountingProvider, provider, refresh_token_of
from bench.sizes import Size
from mailbearer.clock import SystemClock
from mailbearer.store.store import Store

RENEWED_WITHIN = 60.0  # seconds
CPU_LIMIT = 1.0  # percent of a core
MEMORY_LIMIT = 60.0  # MB
PATIENCE = 180.0  # seconds until the renewals are given up
LOOK = 0.25  # seconds between two questions how far they are
BARE = str(Path(__file__).with_name("bare") / "renewals.py")
BARE_RUNS = 3  # before ours, and as many after it
SHARE = 20  # the bare loop renews once for so many of our renewals, before and after


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure the start, and a minute without and one with renewals, beside a loop that only asks for tokens."""
    return [*_after_the_night(folder / "night", size), *_in_the_day(folder / "day", size)]


@dataclass(frozen=True, slots=True)
class _Storm:
    """How all were renewed."""

    count: Count
    seconds: float  # from the start of the process to the last answer
    cpu: float  # seconds, without those until it was ready
    idle: float  # percent of a core while nothing was due
    rss: float  # MB at the end


def _after_the_night(folder: Path, size: Size) -> list[Figure]:
    folder.mkdir()
    services = size.services
    # the bare loop has permissions of its own: a refresh token is good once
    with provider(folder / "provider", permissions=services + 2 * BARE_RUNS) as counting:
        bare = [_bare(counting, services + number, size) for number in range(BARE_RUNS)]
        counting.count()
        ground = lay(folder / "data", services=services, age=overdue, ports=counting.ports)
        storm = _storm(ground, counting, size)
        bare += [_bare(counting, services + BARE_RUNS + number, size) for number in range(BARE_RUNS)]
    assert storm.count.granted == services
    assert asyncio.run(_versions(ground)) == {2: services}  # each once, and kept
    beside = (Series("bare httpx2 loop, CPU of a renewal", "ms", tuple(bare)),)
    return [
        Figure(_one(f"{services} services renewed at start", "s", storm.seconds), Target(RENEWED_WITHIN)),
        Figure(_one("  requests for it", "", len(storm.count.arrivals)), Target(services, exact=True)),
        Figure(_one("  most requests in any second", "", storm.count.most_in_a_second)),
        Figure(_one("  most requests in flight", "", storm.count.most_in_flight)),
        Figure(_one("  CPU of a renewal", "ms", storm.cpu / services), None, beside),
        Figure(_one("  memory afterwards, RSS", "MB", storm.rss), Target(MEMORY_LIMIT)),
        Figure(_one(f"CPU with {services} grants, none due", "%", storm.idle), Target(CPU_LIMIT)),
    ]


def _storm(ground: Ground, counting: CountingProvider, size: Size) -> _Storm:
    with service(ground.command("serve"), ground.port) as started:
        before = cpu_seconds(started.pid)
        count = _waited(counting, size.services)
        cpu = cpu_seconds(started.pid) - before
        time.sleep(size.settle)
        idle = _load(started.pid, size.seconds)
        return _Storm(count, max(count.arrivals) - started.began, cpu, idle, memory(started.pid).rss)


def _in_the_day(folder: Path, size: Size) -> list[Figure]:
    folder.mkdir()
    with provider(folder / "provider", permissions=size.services) as counting:
        ground = lay(folder / "data", services=size.services, age=spread(size.services), ports=counting.ports)
        with service(ground.command("serve"), ground.port) as started:
            time.sleep(size.settle)
            counting.count()
            load = _load(started.pid, size.seconds)
            renewed = len(counting.count().arrivals)
    series = _one(f"CPU keeping {size.services} alive ({renewed} renewals in {size.seconds:g} s)", "%", load)
    return [Figure(series, Target(CPU_LIMIT))]


def _waited(counting: CountingProvider, services: int) -> Count:
    """Return what the provider saw until it had renewed all."""
    arrivals: list[float] = []
    most = granted = 0
    until = time.monotonic() + PATIENCE
    while granted < services and time.monotonic() < until:
        time.sleep(LOOK)
        seen = counting.count()
        arrivals += seen.arrivals
        most, granted = max(most, seen.most_in_flight), granted + seen.granted
    return Count(tuple(arrivals), most, granted)


def _load(pid: int, seconds: float) -> float:
    """Return how many percent of a core ``pid`` uses while it is watched for ``seconds``."""
    began, before = time.monotonic(), cpu_seconds(pid)
    time.sleep(seconds)
    return 100 * (cpu_seconds(pid) - before) / (time.monotonic() - began)


def _bare(counting: CountingProvider, number: int, size: Size) -> float:
    """Return the CPU seconds of one renewal in the bare loop."""
    count = max(1, size.services // SHARE // BARE_RUNS)
    words = [counting.token_endpoint, counting.client_id, refresh_token_of(number), str(count)]
    return float(run([PYTHON, BARE, *words]).output)


async def _versions(ground: Ground) -> dict[int, int]:
    """Return how many grants there are of each version."""
    store = await Store.open(ground.folder, SystemClock())
    try:
        versions = [grant.version for grant in await store.grants.all()]
    finally:
        await store.close()
    return {version: versions.count(version) for version in set(versions)}


def _one(name: str, unit: str, value: float) -> Series:
    return Series(name, unit, (float(value),))
