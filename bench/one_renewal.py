"""Many users of one token that is overdue: the provider must be asked exactly once, and all get the same new token."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.ground import Ground, lay, overdue
from bench.processes import service
from bench.provider import provider
from bench.sizes import Size
from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import open_app
from mailbearer.config.schema import Config

DELAY = 1.0  # seconds of one answer, so that many come while it is on its way
ROUNDS = 3

Way = Callable[[Ground, int], list[str]]  # the tokens that so many users got


def measure(folder: Path, size: Size) -> list[Figure]:
    """Count for tasks of one process, for processes without ``serve``, and for processes while ``serve`` runs."""
    ways: dict[str, Way] = {"tasks": _tasks, "processes": _processes, "processes, serve runs": _served}
    return [_figure(folder, name, way, size) for name, way in ways.items()]


def _figure(folder: Path, name: str, way: Way, size: Size) -> Figure:
    rounds = [folder / f"{name} {number}" for number in range(min(ROUNDS, size.runs))]
    counts = tuple(float(_asked(each, size.users, way)) for each in rounds)
    return Figure(Series(f"renewals for {size.users} {name}", "", counts), Target(1, exact=True))


def _asked(folder: Path, users: int, way: Way) -> int:
    folder.mkdir()
    with provider(folder / "provider", permissions=1, delay=DELAY) as counting:
        tokens = way(lay(folder / "data", services=1, age=overdue, ports=counting.ports), users)
        assert len(tokens) == users
        assert len(set(tokens)) == 1
        assert not tokens[0].startswith("access-token-")  # the overdue one
        return len(counting.count().arrivals)


def _tasks(ground: Ground, users: int) -> list[str]:
    return asyncio.run(_ask_in_tasks(ground, users))


async def _ask_in_tasks(ground: Ground, users: int) -> list[str]:
    async def tell(_: dict[str, Json]) -> None:
        pass

    async with open_app(ground.folder, Config()) as app:
        asked = [
            app.deeds.perform("token.access", Arguments({"service": ground.first}), Who("bench", "here"), tell)
            for _ in range(users)
        ]
        answers = await asyncio.gather(*asked)
    return [str(answer["access_token"]) for answer in answers if isinstance(answer, dict)]


def _processes(ground: Ground, users: int) -> list[str]:
    command = ground.command("token", "access", ground.first)
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(users)]
    return [each.communicate()[0].strip() for each in started]


def _served(ground: Ground, users: int) -> list[str]:
    with service(ground.command("serve"), ground.port):
        return _processes(ground, users)
