"""One installation of Mailbearer, used from outside: the real command and service, in processes of their own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import App, open_app
from mailbearer.clock import Clock
from mailbearer.config.load import load_config
from mailbearer.model.service import ServiceId
from mailbearer.tokens.book import GrantBook
from tests.peers.stack.stack import Stack

COMMAND = Path(sys.executable).parent / "mailbearer"
WHO = Who("test", "tests/peers")
PATIENCE = 30.0  # seconds until a test gives up waiting for another process
SCOPES = "openid offline_access email mail"
ACCOUNT = "scanner@test.example"
FAX = "fax@test.example"


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> dict[str, Json]:
        """Its standard output, which is one JSON object."""
        read: object = json.loads(self.out)
        assert isinstance(read, dict)
        return read


def until(happened: Callable[[], object], *, at_most: float = PATIENCE) -> None:
    """Wait until ``happened`` returns something true."""
    end = time.monotonic() + at_most
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def visit(url: str) -> tuple[int, str]:
    """Do what a browser does that is sent to ``url``; return status and page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


class Service:
    """A running ``mailbearer serve``."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def wait_until_ready(self) -> None:
        """Wait until it says that it serves."""
        until(lambda: " serves " in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    @property
    def address(self) -> str:
        """Where its web listener is."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self.log)
        assert found, self.log
        return found[0]

    def port(self, listener: str) -> int:
        """Return the port of the listener of that name; wait until it is open."""
        until(lambda: re.search(rf"listener {listener}: ", self.log))
        found = re.search(rf"listener {listener}: open at \S+ port (\d+)", self.log)
        assert found, self.log
        return int(found[1])

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as an administrator does; return its exit code. Whatever happens, it is gone afterwards."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Machine:
    """A data folder, and everything that is done to it by command; ``settings`` is more of mailbearer.toml."""

    def __init__(self, folder: Path, stack: Stack, settings: str = "") -> None:
        self.folder = folder / "data"
        self.home = folder
        self.stack = stack
        self.folder.mkdir(mode=0o700, parents=True)
        doors = "" if "[[listener]]" in settings else "listener = []\n"
        config = f'{doors}[web]\naddress = "127.0.0.1:0"\n[log]\nlevel = "debug"\n'
        (self.folder / "mailbearer.toml").write_text(config + settings)
        self._logs = 0
        self._commands: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End every command that a test has left behind."""
        for command in self._commands:
            if command.poll() is None:
                command.kill()
            for stream in (command.stdin, command.stdout, command.stderr):
                if stream is not None:
                    stream.close()
            command.wait()

    # -- commands ------------------------------------------------------------------------------------------------------

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and return at once; it gets its input from ``stdin``."""
        command = subprocess.Popen(
            [str(COMMAND), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )
        self._commands.append(command)
        return command

    @contextmanager
    def commanding(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command in the background for as long as the block lasts."""
        command = self.start(*words)
        try:
            yield command
        finally:
            command.kill()
            command.wait()

    def end(self, process: subprocess.Popen[str], text: str = "") -> Done:
        """Give ``text`` to a command that was started, wait for its end and return what is left of its output."""
        try:
            out, err = process.communicate(text, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{process.args!r} does not end: {out} {err}") from None
        return Done(process.returncode, out, err)

    def run(self, *words: str, text: str = "", code: int = 0) -> Done:
        """Run a command that must end with ``code``."""
        done = self.end(self.start(*words), text)
        assert done.code == code, f"{words}: {done}"
        return done

    def ask(self, *words: str, code: int = 0) -> dict[str, Json]:
        """Run a command with ``--json`` and return its object."""
        return self.run(*words, "--json", code=code).body

    def status(self, service: str = "smtp") -> dict[str, Json]:
        """Return what is told of the token of ``service``."""
        tokens = self.ask("token", "status", service)["tokens"]
        assert isinstance(tokens, list)
        assert isinstance(tokens[0], dict)
        return tokens[0]

    def until_status(self, status: str, service: str = "smtp") -> None:
        """Wait until the token of ``service`` has the status."""
        until(lambda: self.status(service)["status"] == status)

    @contextmanager
    def serving(self) -> Iterator[Service]:
        """Run ``mailbearer serve`` until the block ends."""
        self._logs += 1
        log = self.home / f"serve-{self._logs}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [str(COMMAND), "serve"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._environment()
            )
        service = Service(process, log)
        try:
            service.wait_until_ready()
            yield service
        finally:
            service.stop()

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return {**kept, "HOME": str(self.home), "MAILBEARER_DATA": str(self.folder)}

    # -- settings ------------------------------------------------------------------------------------------------------

    def provider_words(self, client: str = "native-public", *, smtp: str = "", pop: str = "") -> tuple[str, ...]:
        """Return the words after ``provider add``."""
        stack, ports = self.stack, self.stack.ports
        secret = stack.clients[client].secret
        words = [
            "acme",
            f"discovery={stack.issuer}",
            f"ca_file={stack.ca_file}",
            f"client_id={client}",
            f"scopes={SCOPES}",
            f"smtp={smtp or f'localhost:{ports.smtp}:starttls'}",
            f"pop={pop or f'localhost:{ports.pop3s}:tls'}",
        ]
        if secret:
            file = self.home / "client-secret"
            file.write_text(secret)
            words.append(f"client_secret=@{file}")
        return tuple(words)

    def set_up(
        self, *services: str, account: str = ACCOUNT, client: str = "native-public", callback: str = "", **values: str
    ) -> None:
        """Enter the provider, and at each of ``services`` the account and ``values``; quicker than by commands."""
        words = dict(word.split("=", 1) for word in self.provider_words(client)[1:])
        words |= {"redirect_uri": callback, "client_secret": self.stack.clients[client].secret}

        async def enter() -> None:
            async with self.opened() as app:
                await perform(app, "provider.add", provider="acme", values={**words})
                for name in services:
                    await perform(
                        app, "service.set", service=name, values={"provider": "acme", "account": account, **values}
                    )

        asyncio.run(enter())

    def get_token(self, *services: str, account: str = ACCOUNT) -> None:
        """Get a token for each of ``services`` by the provider's login page; quicker than by commands."""

        async def get() -> None:
            async with self.opened() as app:
                for name in services:
                    begun = await perform(app, "token.get", service=name, flow="code")
                    url = text(held(begun, "pending"), "authorization_url")
                    back = self.stack.sign_in(url, account)
                    done = await perform(app, "token.redirect", service=name, url=back)
                    assert done["status"] == "Retrieved"

        asyncio.run(get())

    # -- inside --------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def opened(self, clock: Clock | None = None) -> AsyncIterator[App]:
        """Open the data folder in this process, with another clock if need be."""
        async with open_app(self.folder, load_config(self.folder), clock=clock) as app:
            yield app

    def refresh_token(self, service: str = "smtp") -> str:
        """Return the refresh token that is held."""
        return self.held_tokens(service)[1]

    def held_tokens(self, service: str = "smtp") -> tuple[str, str]:
        """Return the access token and the refresh token that are held."""

        async def read() -> tuple[str, str]:
            async with self.opened() as app:
                grant = await GrantBook(app.store, app.renewals._context.vault).grant(ServiceId(service))
                assert grant is not None
                assert grant.tokens.refresh_token is not None
                return grant.tokens.access_token.reveal(), grant.tokens.refresh_token.reveal()

        return asyncio.run(read())

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Open the database as another program does, each statement for itself."""
        with contextlib.closing(
            sqlite3.connect(self.folder / "mailbearer.db", isolation_level=None, timeout=PATIENCE)
        ) as connection:
            yield connection

    def sql(self, statement: str, *values: object) -> None:
        """Change the database from outside."""
        with self.database() as connection:
            connection.execute(statement, values)

    def let_pass(self, seconds: int, service: str = "smtp") -> None:
        """Let ``seconds`` pass for the token of ``service``, by moving its times back; pauses are over then."""
        self.sql(
            "UPDATE grants SET refreshed_at = refreshed_at - ?1, obtained_at = obtained_at - ?1, "
            "access_expires_at = access_expires_at - ?1, "
            "next_try = CASE WHEN next_try IS NULL THEN NULL ELSE 1 END WHERE service = ?2",
            seconds * 1_000_000,
            service,
        )


async def perform(app: App, deed: str, **arguments: Json) -> dict[str, Json]:
    """Do one deed."""
    return await app.deeds.perform(deed, Arguments(arguments), WHO, _unheard)


async def _unheard(_: dict[str, Json]) -> None:
    """Let an event pass."""


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
