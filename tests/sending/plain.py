"""A service without sign-in on a store of its own, also for a process that a test kills: ``python -m``."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import cast

from mailbearer.clock import SystemClock
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.secret import Secret
from mailbearer.model.service import (
    AfterReceiving,
    AuthMethod,
    Destination,
    DestinationKind,
    PopSettings,
    Service,
    ServiceId,
    SmtpSettings,
    TlsMode,
)
from mailbearer.receiving.fetch import Fetcher
from mailbearer.sending.courier import Courier
from mailbearer.sending.relay import Relay
from mailbearer.store.store import Store
from mailbearer.tokens.admission import Sources
from mailbearer.tokens.source import TokenSource


def sources(port: int, folder: Path) -> Sources:
    """Look-ups of services on ``port`` of this machine that need no token."""
    smtp = SmtpSettings("127.0.0.1", "", port, timedelta(seconds=20), tls=TlsMode.OFF, auth=AuthMethod.NONE)
    pop = PopSettings(
        "127.0.0.1",
        port,
        tls=TlsMode.OFF,
        auth=AuthMethod.PASSWORD,
        account="anna",
        password=Secret("password"),
        after_receiving=AfterReceiving.DELETE,
        destinations=(Destination(DestinationKind.MAILDIR, str(folder / "maildir")),),
    )

    async def service_of(identity: ServiceId) -> Service:
        return Service(identity, "", (), smtp if identity == "smtp" else pop)

    async def provider_of(_: str) -> tuple[Provider, Registration]:
        raise AssertionError("no provider is chosen")

    return Sources(service_of, provider_of, cast("TokenSource", None))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    store = await Store.open(folder / "data", SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def send_all(folder: Path, port: int) -> None:
    async with opened(folder) as store:
        relay = Relay(sources(port, folder), SystemClock(), hello_name="scanner.example")
        await Courier(store, relay, SystemClock()).flush()


async def receive_all(folder: Path, port: int) -> None:
    async with opened(folder) as store:
        await Fetcher(store, sources(port, folder), SystemClock()).check(ServiceId("pop"))


if __name__ == "__main__":
    asyncio.run({"send": send_all, "receive": receive_all}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3])))
