"""End to end: from ``smtp-source`` through a durable queue to ``smtp-sink``, beside Postfix as a relay."""

from pathlib import Path

from bench.figures import Figure, Target
from bench.gateway.ground import relay
from bench.gateway.load import KIB, Load, send
from bench.gateway.postfix import postfix
from bench.gateway.programs import Program, Upstream, upstream
from bench.gateway.rounds import Run, Taken, beside, in_turn, times
from bench.sizes import Size

LIMITS = {1: 3.0, 10: 8.0, 50: 15.0}  # times the rate of Postfix
LARGE = Load(10, 100 * KIB)
LARGE_LIMIT = 8.0


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure 1 KiB over one, ten and fifty connections."""
    loads = {
        f"end to end, {count} connection{'s' * (count > 1)}": (Load(count), limit) for count, limit in LIMITS.items()
    }
    return _measure(folder, loads, size)


def measure_large(folder: Path, size: Size) -> list[Figure]:
    """Measure 100 KiB over ten connections."""
    return _measure(folder, {"end to end, 100 KiB": (LARGE, LARGE_LIMIT)}, size)


def _measure(folder: Path, loads: dict[str, tuple[Load, float]], size: Size) -> list[Figure]:
    figures: list[Figure] = []
    with (
        upstream(folder) as sink,
        relay(folder / "data", sink.port).served() as ours,
        postfix(folder / "postfix", sink.port) as other,
    ):
        for name, (load, limit) in loads.items():
            contenders = {"Mailbearer": _through(ours, sink, load), "Postfix": _through(other, sink, load)}
            found = in_turn(contenders, rounds=size.rounds, seconds=size.burst)
            mine, theirs = found["Mailbearer"], found["Postfix"]
            figures += [
                times(name, mine.rate, theirs.rate, Target(limit, least=True)),
                beside("messages a second", mine.rate, theirs.rate),
                beside("CPU of a message", mine.cpu, theirs.cpu),
            ]
    return figures


def _through(program: Program, sink: Upstream, load: Load) -> Run:
    """Return how to measure what it takes until everything has come out on the other side."""

    def run(count: int) -> Taken:
        there, before = sink.count(), program.cpu()
        began, _ = send(program.port, load, count)
        ended = sink.wait(there + count)
        return Taken(count, ended - began, program.cpu() - before)

    return run
