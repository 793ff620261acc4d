"""An opened app and a way to do deeds, for tests of what deeds do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import App, open_app
from mailbearer.config.schema import Config

WHO = Who("ada", "tests")


@dataclass(frozen=True, slots=True)
class Office:
    app: App

    async def do(self, deed: str, **arguments: Json) -> dict[str, Json]:
        return await self.app.deeds.perform(deed, Arguments(arguments), WHO, _nothing)


@asynccontextmanager
async def office(folder: Path) -> AsyncGenerator[Office]:
    async with open_app(folder, Config()) as app:
        yield Office(app)


async def _nothing(_: dict[str, Json]) -> None:
    """Let an event pass."""
