"""The whole product over a practice world, in one process and with a clock that a test sets; and the real command."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import App, open_app
from mailbearer.clock import SystemClock
from mailbearer.config.schema import Config
from mailbearer.practice.options import PracticeOptions
from mailbearer.practice.world import PracticeWorld

COMMAND = Path(sys.executable).parent / "mailbearer"
WHO = Who("test", "tests/flows")
ANNA = "anna@practice.example"
BOB = "bob@practice.example"
WORDS = ("Not Retrieved", "Waiting for authorization", "Retrieved", "Invalid")
SERVICES = ("smtp", "pop.internet-fax", "pop.email-print")


class SetClock(SystemClock):
    """The real clock, set forward by a test; it also runs ``factor`` times as fast."""

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._ahead = timedelta()
        self._began = super().monotonic()
        self._start = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time of this clock."""
        passed = timedelta(seconds=(super().monotonic() - self._began) * self._factor)
        return self._start + passed + self._ahead

    def monotonic(self) -> float:
        """Return seconds of this clock; what is set forward counts as a time asleep."""
        return (super().monotonic() - self._began) * self._factor + self._ahead.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait as long as this clock needs for ``seconds``."""
        await super().sleep(seconds / self._factor)

    def set_forward(self, **span: float) -> None:
        """Let a time pass in which nothing happened: the machine was off."""
        self._ahead += timedelta(**span)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass
class House:
    """A data folder that is open here, beside a provider."""

    folder: Path
    world: PracticeWorld
    app: App
    clock: SetClock
    events: list[dict[str, Json]] = field(default_factory=list)

    async def do(self, deed: str, **arguments: Json) -> dict[str, Json]:
        """Do one deed."""

        async def tell(event: dict[str, Json]) -> None:
            self.events.append(event)

        return await self.app.deeds.perform(deed, Arguments(arguments), WHO, tell)

    async def send(self, *recipients: str, subject: str = "Scan", service: str = "smtp") -> dict[str, Json]:
        """Send a small message."""
        content = f"From: {ANNA}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@scan>\r\n\r\n.{subject}\r\n".encode()

        async def once() -> AsyncIterator[bytes]:
            yield content

        arguments: dict[str, Json] = {"service": service, "sender": ANNA, "recipients": [*recipients]}
        return await self.app.deeds.perform("send", Arguments(arguments, once()), WHO, _unheard)

    async def get_token(self, service: str = "smtp", account: str = ANNA) -> dict[str, Json]:
        """Get a token by the login page."""
        url = text(held(await self.do("token.get", service=service, flow="code"), "pending"), "authorization_url")
        return await self.do("token.redirect", service=service, url=self.world.authorize(url, account))

    async def token(self, service: str = "smtp") -> dict[str, Json]:
        """Return the facts of a token."""
        return listed(await self.do("token.status", service=service), "tokens")[0]

    async def word(self, service: str = "smtp") -> str:
        """Return the status of a token; whatever it is, it is one of the four words (M7)."""
        word = text(await self.token(service), "status")
        assert word in WORDS
        return word

    async def run(self, *words: str, code: int = 0) -> Done:
        """Run the real command on this data folder."""
        done = await run(self.folder, *words)
        assert done.code == code, done
        return done

    def asked(self, grant_type: str = "refresh_token") -> int:
        """Return how many requests of that kind have succeeded."""
        return sum(entry.grant_type == grant_type and entry.outcome == "ok" for entry in self.world.journal)


async def run(folder: Path, *words: str) -> Done:
    """Run the real command."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "MAILBEARER_DATA": str(folder)},
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def _unheard(_: dict[str, Json]) -> None:
    """Let an event pass."""


async def until(happened: Callable[[], object], *, at_most: float = 10.0) -> None:
    """Wait for something that sockets, threads or processes do."""
    async with asyncio.timeout(at_most):
        while not happened():  # noqa: ASYNC110 - nothing here could set an Event
            await asyncio.sleep(0.002)


@asynccontextmanager
async def built(
    folder: Path, *, clock: SetClock | None = None, options: PracticeOptions | None = None
) -> AsyncIterator[House]:
    """Build the house: a provider, an open data folder, and an account at each service, without any token."""
    clock = clock or SetClock()
    options = options or PracticeOptions(interval=timedelta(seconds=1))
    data = folder / "data"
    async with (
        PracticeWorld(folder / "world", options, clock=clock) as world,
        open_app(data, Config(), clock=clock) as app,
    ):
        house = House(data, world, app, clock)
        await app.providers.enter(world.provider, world.registration, who=WHO)
        for service in SERVICES:
            await house.do("service.set", service=service, values={"provider": "practice", "account": ANNA})
        yield house


def held(value: dict[str, Json], name: str) -> dict[str, Json]:
    """Return the object ``name``."""
    found = value[name]
    assert isinstance(found, dict), value
    return found


def text(value: dict[str, Json], name: str) -> str:
    """Return the text ``name``."""
    found = value[name]
    assert isinstance(found, str), value
    return found


def listed(value: dict[str, Json], name: str) -> list[dict[str, Json]]:
    """Return the objects of the list ``name``."""
    found = value[name]
    assert isinstance(found, list), value
    return [each for each in found if isinstance(each, dict)]
