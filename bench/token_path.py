"""What a token costs each message: asking ``TokenSource`` for it and making the XOAUTH2 response, in CPU time."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Figure, Series, Target
from bench.ground import Ground, lay, live
from bench.sizes import Size
from mailbearer.admin.directory import Directory
from mailbearer.clock import SystemClock
from mailbearer.model.secret import Secret
from mailbearer.net.http import HttpClient
from mailbearer.practice.certificates import HOST
from mailbearer.protocol.sasl.xoauth2 import XOAuth2
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.store.store import Store
from mailbearer.tokens.context import Change, ChangeKind, Context
from mailbearer.tokens.refresh import Renewals
from mailbearer.tokens.source import TokenSource
from mailbearer.vault.keys import KeySource, load_key
from mailbearer.vault.vault import Vault

LIMIT = 10e-6  # seconds
USER = "scanner@practice.example"
TOKEN = Secret("access-token-" + "x" * 2_000)
ANEW = 100  # one in so many messages is measured where the token is read from the store

Message = Callable[[], Awaitable[bytes]]


def measure(folder: Path, size: Size) -> list[Figure]:
    """Measure beside the same octets made by one f-string."""
    return asyncio.run(_measure(lay(folder / "data", services=3, age=live), size))


async def _measure(ground: Ground, size: Size) -> list[Figure]:
    async with _source(ground) as (context, source):

        async def through_the_source() -> bytes:
            access = await source.access_token(ground.first, server=HOST)
            return XOAuth2(USER, access.token).respond(b"")

        async def bare() -> bytes:
            return f"user={USER}\x01auth=Bearer {TOKEN.reveal()}\x01\x01".encode()

        async def anew() -> bytes:
            context.tell(ground.first, ChangeKind.RENEWED)  # as when it changed, or a second has gone
            return await through_the_source()

        assert await through_the_source() == await bare()
        ours, other, read = [], [], []
        for _ in range(size.runs):
            ours.append(await _each(through_the_source, size.messages))
            other.append(await _each(bare, size.messages))
            read.append(await _each(anew, max(1, size.messages // ANEW)))
    return [
        Figure(
            Series("token path, CPU of a message", "µs", tuple(ours)),
            Target(LIMIT),
            (Series("the same octets by an f-string", "µs", tuple(other)),),
        ),
        Figure(Series("token path, read from the store", "µs", tuple(read))),
    ]


async def _each(message: Message, count: int) -> float:
    """Return the CPU seconds of one of ``count`` messages, those of the store's threads included."""
    began = time.process_time()
    for _ in range(count):
        await message()
    return (time.process_time() - began) / count


@asynccontextmanager
async def _source(ground: Ground) -> AsyncIterator[tuple[Context, TokenSource]]:
    clock = SystemClock()
    store, http = await Store.open(ground.folder, clock), HttpClient()
    vault = Vault(load_key(KeySource.FILE, store.folder.key))
    heard: list[Change] = []
    directory = Directory(store, vault, load_catalogue())
    context = Context(store, vault, http, clock, directory.both, [heard.append])
    try:
        async with Renewals(context) as renewals:
            yield context, TokenSource(context, renewals)
    finally:
        await http.aclose()
        await store.close()
