"""A practice world in a thread of its own, for tests that wait for processes while it answers them."""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import open_app
from mailbearer.config.schema import Config
from mailbearer.practice.options import PracticeOptions, Rotation
from mailbearer.practice.world import PracticeWorld

T = TypeVar("T")
ACCOUNT = "scanner@practice.example"
WHO = Who("test", "tests")
OPTIONS = PracticeOptions(interval=timedelta(seconds=1), rotation=Rotation.KEEP)


class PracticeThread:
    """``with PracticeThread(folder) as practice:``; ``practice.do`` works on the world in its own thread."""

    world: PracticeWorld

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with PracticeWorld(self._folder, OPTIONS) as self.world:
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def do(self, work: Callable[[PracticeWorld], T]) -> T:
        """Return what ``work`` returns, done in the thread of the world."""

        async def step() -> T:
            return work(self.world)

        return asyncio.run_coroutine_threadsafe(step(), self._loop).result(10)

    def approve(self, user_code: str) -> None:
        self.do(lambda world: world.approve(user_code, ACCOUNT))

    def authorize(self, url: str, account: str = ACCOUNT) -> str:
        return self.do(lambda world: world.authorize(url, account))

    def enter(self, folder: Path) -> None:
        """Enter the practice provider in a data folder, with settings for SMTP and Internet Fax."""
        asyncio.run(self._enter(folder, tokens=False))

    def furnish(self, folder: Path) -> None:
        """The same, with a token for each."""
        asyncio.run(self._enter(folder, tokens=True))

    async def _enter(self, folder: Path, *, tokens: bool) -> None:
        values: dict[str, Json] = {"provider": "practice", "account": ACCOUNT}
        async with open_app(folder, Config()) as app:

            async def do(deed: str, **arguments: Json) -> dict[str, Json]:
                return await app.deeds.perform(deed, Arguments(arguments), WHO, _nothing)

            await app.providers.enter(self.world.provider, self.world.registration, who=WHO)
            await do("service.set", service="smtp", values=values)
            await do(
                "service.set", service="pop.internet-fax", values={**values, "destinations": f"folder:{folder}/in"}
            )
            for service in ("smtp", "pop.internet-fax") if tokens else ():
                pending = (await do("token.get", service=service, flow="code"))["pending"]
                assert isinstance(pending, dict)
                url = await asyncio.to_thread(self.authorize, str(pending["authorization_url"]))
                await do("token.redirect", service=service, url=url)


async def _nothing(_: dict[str, Json]) -> None:
    """Let an event pass."""
