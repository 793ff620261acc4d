"""How soon ``serve`` is ready: from the start of the process until ``/readyz`` answers 200."""

from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.ground import lay, live
from bench.processes import PYTHON, Command, free_port, service
from bench.sizes import Size

LIMIT = 0.5  # seconds
BARE = str(Path(__file__).with_name("bare") / "site.py")


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure with few and with many services, beside the least web service."""
    few = lay(folder / "few", services=3, age=live)
    many = lay(folder / "many", services=size.services, age=live)
    port = free_port()
    started: dict[str, tuple[Command, int]] = {
        "serve ready, 3 services": (few.command("serve"), few.port),
        f"serve ready, {size.services} services": (many.command("serve"), many.port),
        "uvicorn + Starlette ready": ([PYTHON, BARE, str(port)], port),
    }
    seconds: dict[str, list[float]] = {name: [] for name in started}
    for each in range(size.runs + 1):  # the first brings files into memory
        for name, (command, at) in started.items():
            with service(command, at) as ready:
                if each:
                    seconds[name].append(ready.seconds)
    ours, ours_many, bare = (Series(name, "s", tuple(values)) for name, values in seconds.items())
    return [Figure(ours, Target(LIMIT), (bare,)), Figure(ours_many, Target(LIMIT), (bare,))]
