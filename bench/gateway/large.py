"""Fifty messages of 20 MiB at once: what memory that takes, and whether another session has to wait."""

import threading
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.gateway.ground import relay
from bench.gateway.load import Load, send
from bench.gateway.patience import Longest, Waiter
from bench.gateway.programs import Program, Upstream, upstream
from bench.machine import memory
from bench.sizes import Size

MIB = 1024 * 1024
MESSAGES = 50
MEGABYTES = 20
MEMORY_LIMIT = 10.0  # MiB
STALL_LIMIT = 0.010  # seconds
LOOK = 0.02  # seconds between two looks at the memory
WARM = Load(MESSAGES)


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure while they come and leave."""
    load = Load(MESSAGES, int(MEGABYTES * MIB * min(1.0, size.burst)))
    taken: list[tuple[float, Longest]] = []
    with upstream(folder) as sink:
        for number in range(size.rounds):
            with relay(folder / str(number), sink.port).served() as ours, Waiter(ours) as waiter:
                _sent(ours, sink, WARM, 10 * MESSAGES)
                taken.append(_measure(ours, sink, load, waiter))
    stalls = tuple(longest.stalled for _, longest in taken)
    answers = Series(
        "its longest answer, waiting for a processor included", "ms", tuple(each.took for _, each in taken)
    )
    name = f"{MESSAGES} messages of {MEGABYTES} MiB at once"
    return [
        Figure(Series(f"{name}, more memory", "MiB", tuple(more for more, _ in taken)), Target(MEMORY_LIMIT)),
        Figure(Series(f"{name}, a session waits", "ms", stalls), Target(STALL_LIMIT), (answers,)),
    ]


def _measure(program: Program, sink: Upstream, load: Load, waiter: Waiter) -> tuple[float, Longest]:
    before = most = memory(program.pid).rss
    sender = threading.Thread(target=_sent, args=(program, sink, load, MESSAGES))
    sender.start()
    watched = threading.Event()

    def watch() -> None:
        nonlocal most
        while not watched.wait(LOOK):
            most = max(most, memory(program.pid).rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    longest = waiter.ask_while(sender.is_alive)
    watched.set()
    watcher.join()
    return (most - before) * 1e6 / MIB, longest


def _sent(program: Program, sink: Upstream, load: Load, count: int) -> None:
    """Send, and wait until all has come out on the other side."""
    there = sink.count()
    send(program.port, load, count)
    sink.wait(there + count)
