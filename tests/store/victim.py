"""Processes that the tests of test_disasters kill, fill up and lock out: ``python -m tests.store.victim WHAT FOLDER``.

Each prints one line for everything that was confirmed to it, and nothing before.
"""

import asyncio
import itertools
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, MailbearerError
from mailbearer.model.message import MessageId, MessageState
from mailbearer.model.service import ServiceId
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, grant, message

ROOM = 3_000_000


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def accept_for_ever(folder: Path) -> None:
    """Accept messages, four at a time, until killed."""
    store = await Store.open(folder, SystemClock())

    async def accept(lane: int) -> None:
        number = 0
        while True:
            name = MessageId(f"{os.getpid()}-{lane}-{number:05}")
            body = store.bodies.new()
            for part in parts_of(name):
                body.write(part)
            await store.messages.add(message(name), body)
            say(name)
            if number % 5 == 0 and lane:  # places are given back and used again in between
                await done(store, name)
            number += 1

    async with asyncio.TaskGroup() as group:
        for lane in range(4):
            group.create_task(accept(lane))


def parts_of(name: str) -> list[bytes]:
    """Return the content of a message: small ones, large ones, and some in many parts."""
    return [name.encode() * 50] * (1, 2, 100, 500)[sum(name.encode()) % 4]


async def done(store: Store, name: MessageId) -> None:
    claimed = await store.messages.claim(name, now=NOW, owner="victim", lease_until=NOW + MINUTE)
    assert claimed is not None
    await store.messages.set_outcome(replace(claimed, state=MessageState.ACCEPTED), owner="victim")


async def crowd(folder: Path) -> None:
    """Take messages in until the disk is full; see that those that were taken are whole; go on when there is room."""
    store = await Store.open(folder, SystemClock(), reserve=12_000_000)
    taken: list[MessageId] = []

    async def take(number: int, size: int) -> str:
        name = MessageId(f"crowd{number:04}")
        try:
            body = store.bodies.new()
        except DiskFullError as error:
            return error.code
        try:
            for _ in range(size):
                body.write(name.encode() * 1000)
                await body.drain()
            await store.messages.add(message(name), body)
        except DiskFullError as error:
            body.abort()
            return error.code
        taken.append(name)
        return ""

    numbers = itertools.count()
    for size in (80, 10, 1):
        refused = set[str]()
        while not refused:
            refused = set(await asyncio.gather(*(take(next(numbers), size) for _ in range(6)))) - {""}
        say("refused", *refused)
    listed = {each.id for each in await store.messages.list(limit=100_000)}
    say("kept what was confirmed", listed == set(taken))
    for name in taken:
        body = await store.bodies.find(name)
        content = b"".join([chunk async for chunk in body.chunks()])
        assert content == name.encode() * (len(content) // len(name))
        assert len(content) == body.size > 0
    for name in taken:
        await done(store, name)
    if await take(9000, 20):  # then files were given back that the first refusal found empty
        await store.meta.put("everything before this", b"is done")
    say("again", await take(9001, 20))
    await store.close()
    say("done")


async def count(folder: Path) -> None:
    """Add two hundred small facts, ten at a time."""
    store = await Store.open(folder, SystemClock())
    for start in range(0, 200, 10):
        names = [f"{os.getpid()}-{number}" for number in range(start, start + 10)]
        await asyncio.gather(*(store.meta.put(name, b"x") for name in names))
    await store.close()
    say("done")


async def keep_and_wait(folder: Path) -> None:
    """Keep a renewed token in the journal, then wait for a commit that a foreign transaction holds up."""
    store = await Store.open(folder, SystemClock())
    slot = await store.journal.reserve(ServiceId("smtp"), 1)
    store.journal.keep(slot, b"renewed")
    say("kept")
    await store.grants.replace(grant(2, sealed=b"renewed"), expected_version=1)
    say("committed")


async def fill(folder: Path) -> None:
    """Fill the disk, see that everything is refused in good order, make room, and go on."""
    store = await Store.open(folder, SystemClock())
    await store.grants.insert(grant())
    slot = await store.journal.reserve(ServiceId("smtp"), 1)
    say("message refused", await refused(store, 64))
    ballast = (folder / "ballast").open("wb", buffering=0)
    for size in (65536, 4096, 1):
        grow(ballast, size)
    try:
        while True:
            await store.meta.put("filler", os.urandom(60_000))
    except DiskFullError as error:
        say("row refused", error.code)
    store.journal.keep(slot, b"renewed")
    say("token kept")
    ballast.truncate(0)
    (folder / "ballast").unlink()
    say("renewed", await store.grants.replace(grant(2, sealed=b"renewed"), expected_version=1))
    await store.journal.clear(slot)
    body = store.bodies.new()
    body.write(b"there is room again")
    await store.messages.add(message("after"), body)
    await store.close()
    say("done")


def grow(ballast: object, size: int) -> None:
    try:
        while True:
            ballast.write(bytes(size))  # type: ignore[attr-defined]
    except OSError:
        return


async def refused(store: Store, mebibytes: int) -> str:
    body = store.bodies.new()
    try:
        for _ in range(mebibytes):
            body.write(os.urandom(1024 * 1024))
            await body.drain()
        await store.messages.add(message("large"), body)
    except DiskFullError as error:
        body.abort()
        return error.code
    return "not"


async def hit_the_limit(folder: Path) -> None:
    """Write with files limited to a few megabytes (RLIMIT_FSIZE), as a quota would."""
    store = await Store.open(folder, SystemClock())
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
    say("message refused", await refused(store, 4))
    accepted = 0
    try:
        for number in range(1000):
            await store.meta.put(f"row {number}", os.urandom(60_000))
            accepted += 1
    except DiskFullError as error:
        say("row refused", error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.meta.put("afterwards", b"there is room again")
    await store.close()
    say("accepted", accepted + 1)


async def look(folder: Path) -> None:
    """Open the store as somebody who may only read."""
    os.setuid(65534)
    try:
        await Store.open(folder, SystemClock())
    except MailbearerError as error:
        say(error.code)


if __name__ == "__main__":
    WORKS = {
        "accept": accept_for_ever,
        "crowd": crowd,
        "count": count,
        "keep": keep_and_wait,
        "fill": fill,
        "limit": hit_the_limit,
        "look": look,
    }
    asyncio.run(WORKS[sys.argv[1]](Path(sys.argv[2])))
