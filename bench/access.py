"""``mailbearer token access`` with a live token as a whole process, while ``serve`` runs and while it does not."""

from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.ground import lay, live
from bench.processes import PYTHON, in_turn, service
from bench.sizes import Size

LIMIT = 0.3  # seconds
READ = "import sys; print(open(sys.argv[1], encoding='utf-8').read())"


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure beside an interpreter that prints a token which lies in a file, unprotected."""
    ground = lay(folder / "data", services=3, age=live)
    file = folder / "token"
    file.write_text("access-token-" + "x" * 2_000, encoding="utf-8")
    access, reading = ground.command("token", "access", ground.first), [PYTHON, "-c", READ, str(file)]
    beside = "python prints a file"
    alone = in_turn({"token access, no serve": access, beside: reading}, size.runs)
    with service(ground.command("serve"), ground.port):
        served = in_turn({"token access, serve runs": access, beside: reading}, size.runs)
    return [_figure(served), _figure(alone)]


def _figure(measured: dict[str, Series]) -> Figure:
    ours, reading = measured.values()
    return Figure(ours, Target(LIMIT), (reading,))
