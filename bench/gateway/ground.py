"""A data folder with a listener, a device and a service, all set up by the product's own deeds."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.gateway.load import SENDER
from bench.gateway.programs import Program, running
from bench.gateway.provider import Provider
from bench.ground import live, stored_grant
from bench.processes import MAILBEARER, Command, free_port
from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import open_app
from mailbearer.clock import SystemClock
from mailbearer.config.schema import Config
from mailbearer.model.service import ServiceId
from mailbearer.practice.certificates import HOST
from mailbearer.practice.provider import PROVIDER_ID, Ports, practice_provider
from mailbearer.store.store import Store
from mailbearer.tokens.book import GrantBook
from mailbearer.vault.keys import KeySource, load_key
from mailbearer.vault.vault import Vault

DEVICE = "copier"
PASSWORD = "a password that a person chose"
LISTENER = """
[web]
address = "127.0.0.1:{web}"

[queue]
message_mb = 150

[[listener]]
name = "bench"
address = "127.0.0.1:{smtp}"
tls = "{tls}"
certificate = "{chain}"
size_mb = 60
connections = 10000
connections_per_address = 10000
"""


async def _silence(_: dict[str, Json]) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A data folder; ``password`` is that of the device, empty when it is known by its address."""

    folder: Path
    web: int
    port: int
    password: str

    def command(self, *words: str) -> Command:
        """Return the words that call ``mailbearer`` on this folder."""
        return [MAILBEARER, "--data", str(self.folder), *words]

    @contextmanager
    def served(self) -> Iterator[Program]:
        """Run ``mailbearer serve``; its log goes into a file, as that of the others."""
        with running(self.command("serve"), self.port, log=self.folder.with_suffix(".log")) as program:
            yield program


def relay(folder: Path, upstream: int) -> Gateway:
    """Make a folder for plain SMTP on both sides; the device is known by its address."""
    values: dict[str, Json] = {"primary_server": "127.0.0.1", "port": str(upstream), "tls": "off", "auth": "none"}
    return _lay(folder, _Plan(values, {"by_address": "yes", "networks": "127.0.0.1"}, tls="none"))


def encrypted(folder: Path, sink: Provider, *, tls: str = "starttls", chosen: str = "") -> Gateway:
    """Make a folder for TLS on both sides: the device signs in with a password, the service with XOAUTH2."""
    ports = Ports(http=1, smtp=sink.port, smtps=1, pop3=1, pop3s=1)
    values: dict[str, Json] = {"provider": PROVIDER_ID, "account": SENDER, "primary_server": HOST}
    values["port"] = str(sink.port)
    plan = _Plan(values, {}, tls=tls, chain=sink.chain, chosen=chosen, provider=(ports, sink.authorities))
    return _lay(folder, plan)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The fields of the service and of the device, and what stands around them."""

    service: dict[str, Json]
    device: dict[str, Json]
    tls: str  # of the listener
    chain: Path | None = None  # its certificate with the key; None: its own
    chosen: str = ""  # the device's password; empty: a generated one
    provider: tuple[Ports, Path] | None = None  # and the certificate of its authority


def _lay(folder: Path, plan: _Plan) -> Gateway:
    folder.mkdir(mode=0o700)
    web, smtp = free_port(), free_port()
    text = LISTENER.format(web=web, smtp=smtp, tls=plan.tls, chain=plan.chain or "")
    (folder / "mailbearer.toml").write_text(text, encoding="utf-8")
    return Gateway(folder, web, smtp, asyncio.run(_fill(folder, plan)))


async def _fill(folder: Path, plan: _Plan) -> str:
    """Store everything and return the device's password."""
    who = Who("bench", "here")
    async with open_app(folder, Config()) as app:
        if plan.provider is not None:
            await app.providers.enter(*practice_provider(*plan.provider), who=who)
        values: dict[str, Json] = {**plan.service, "sender_address": SENDER}
        await app.deeds.perform("service.set", Arguments({"service": "smtp", "values": values}), who, _silence)
        asked: dict[str, Json] = {"device": DEVICE, "password": plan.chosen, "values": plan.device}
        made = await app.deeds.perform("device.add", Arguments(asked), who, _silence)
    if plan.provider is not None:
        await _grant(folder)
    return plan.chosen or _password_in(made)


async def _grant(folder: Path) -> None:
    """Store a token that lives for the best part of an hour."""
    store = await Store.open(folder, SystemClock())
    try:
        book = GrantBook(store, Vault(load_key(KeySource.FILE, store.folder.key)))
        await store.grants.insert(book.sealed(stored_grant(ServiceId("smtp"), 0, live(0), account=SENDER)))
    finally:
        await store.close()


def _password_in(made: dict[str, Json]) -> str:
    sheet = made["sheet"]
    assert isinstance(sheet, dict)
    rows = sheet["rows"]
    assert isinstance(rows, list)
    found = [row["value"] for row in rows if isinstance(row, dict) and row["label"] == "Password"]
    return str(found[0]) if found else ""
