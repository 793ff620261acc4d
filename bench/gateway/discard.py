"""Accept and discard: our listener with an intake that throws away, beside ``smtp-sink``, which does nothing else."""

from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, Target
from bench.gateway.load import Load, send
from bench.gateway.programs import Program, bare_program, running, sink_command
from bench.gateway.rounds import Run, Taken, beside, in_turn, times
from bench.processes import free_port
from bench.sizes import Size

LIMIT = 1.25  # times the CPU time of smtp-sink
LOAD = Load(10)


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure over ten connections that are kept."""
    sink_port = free_port()
    with (
        bare_program("discard", free_port(), log=folder / "discard.log") as ours,
        running(sink_command(sink_port), sink_port, log=folder / "sink.log") as sink,
    ):
        contenders = {"Mailbearer": accepted_by(ours, LOAD), "smtp-sink": accepted_by(sink, LOAD)}
        found = in_turn(contenders, rounds=size.rounds, seconds=size.burst)
    mine, other = found["Mailbearer"], found["smtp-sink"]
    return [
        times("accept and discard, CPU", mine.cpu, other.cpu, Target(LIMIT)),
        beside("CPU of a message", mine.cpu, other.cpu),
        beside("messages a second", mine.rate, other.rate),
    ]


def accepted_by(program: Program, load: Load, settled: Callable[[], object] = lambda: None) -> Run:
    """Return how to measure what it takes until everything is accepted; ``settled`` waits for what follows then."""

    def run(count: int) -> Taken:
        before = program.cpu()
        began, ended = send(program.port, load, count)
        cpu = program.cpu() - before
        settled()
        return Taken(count, ended - began, cpu)

    return run
