"""The memory of ``serve`` that has nothing to do. What stays after renewals is with the thousand services."""

import time
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.ground import lay, live
from bench.machine import Memory, memory
from bench.processes import PYTHON, Command, free_port, service
from bench.ready import BARE
from bench.sizes import Size

LIMIT = 60.0  # MB


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure with few and with many services, beside the least web service; one process at a time."""
    few = lay(folder / "few", services=3, age=live)
    many = lay(folder / "many", services=size.services, age=live)
    port = free_port()
    runs = max(1, size.runs // 5)
    bare = [_settled([PYTHON, BARE, str(port)], port, size) for _ in range(runs)]
    figures: list[Figure] = []
    for count, ground in ((3, few), (size.services, many)):
        ours = [_settled(ground.command("serve"), ground.port, size) for _ in range(runs)]
        for kind, limit in (("RSS", Target(LIMIT)), ("PSS", None)):
            series = _series(f"serve idle, {count} services, {kind}", ours, kind)
            figures.append(Figure(series, limit, (_series(f"uvicorn + Starlette, {kind}", bare, kind),)))
    return figures


def _settled(command: Command, port: int, size: Size) -> Memory:
    with service(command, port) as ready:
        time.sleep(size.settle)
        return memory(ready.pid)


def _series(name: str, measured: list[Memory], kind: str) -> Series:
    return Series(name, "MB", tuple(each.rss if kind == "RSS" else each.pss for each in measured))
