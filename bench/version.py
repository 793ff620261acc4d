"""``mailbearer --version`` as a whole process: what every command pays before it does anything."""

from pathlib import Path

from bench.figures import Figure, Target
from bench.processes import MAILBEARER, PYTHON, in_turn
from bench.sizes import Size

LIMIT = 0.15  # seconds


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure beside an interpreter that does nothing, and one that only loads what the command line stands on."""
    del folder
    ours, nothing, click = in_turn(
        {
            "mailbearer --version": [MAILBEARER, "--version"],
            "python -c pass": [PYTHON, "-c", "pass"],
            "python -c 'import click'": [PYTHON, "-c", "import click"],
        },
        size.runs,
    ).values()
    return [Figure(ours, Target(LIMIT), (nothing, click))]
