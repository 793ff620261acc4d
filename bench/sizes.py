"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """``runs`` of each short thing; ``seconds`` that a long one is watched."""

    runs: int
    users: int
    services: int
    seconds: float
    settle: float  # seconds until a process that has started is called idle
    messages: int
    rounds: int  # of contenders that are measured in turn
    burst: float  # seconds of one run of one contender


FULL = Size(runs=15, users=50, services=1_000, seconds=60.0, settle=3.0, messages=50_000, rounds=5, burst=1.5)
SMALL = Size(runs=1, users=3, services=5, seconds=0.3, settle=0.1, messages=200, rounds=1, burst=0.1)
