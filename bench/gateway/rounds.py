"""Contenders measured in turn: messages a second and CPU time of a message, and the table rows made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.figures import Figure, Series, Target

WARM = 100  # messages before anything is counted; they also tell how many make a run
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run took."""

    messages: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def cpu_each(self) -> float:
        return self.cpu / self.messages


Run = Callable[[int], Taken]  # so many messages through one contender


@dataclass(frozen=True, slots=True)
class Outcome:
    """All runs of one contender."""

    name: str
    runs: tuple[Taken, ...]

    @property
    def rate(self) -> Series:
        return Series(self.name, "/s", tuple(run.rate for run in self.runs))

    @property
    def cpu(self) -> Series:
        return Series(self.name, "µs", tuple(run.cpu_each for run in self.runs))


def in_turn(contenders: Mapping[str, Run], *, rounds: int, seconds: float, warm: int = WARM) -> dict[str, Outcome]:
    """Measure all contenders ``rounds`` times in turn, each with as many messages as take it about ``seconds``."""
    counts = {name: _count(run, seconds, warm) for name, run in contenders.items()}
    taken: dict[str, list[Taken]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            taken[name].append(run(counts[name]))
    return {name: Outcome(name, tuple(runs)) for name, runs in taken.items()}


def _count(run: Run, seconds: float, warm: int) -> int:
    run(warm)
    return max(warm, int(run(warm).rate * seconds))


def times(name: str, ours: Series, other: Series, target: Target) -> Figure:
    """Return ours as a multiple of the other, run by run."""
    pairs = zip(ours.values, other.values, strict=True)
    return Figure(Series(f"{name}, × {other.name}", "×", tuple(mine / theirs for mine, theirs in pairs)), target)


def beside(name: str, ours: Series, *others: Series) -> Figure:
    """Return ours with what was measured beside it, without a target."""
    return Figure(Series(f"  {name}", ours.unit, ours.values), None, others)
