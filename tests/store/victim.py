"""Processes that the tests of test_disasters kill, fill up and lock out: ``python -m tests.store.victim WHAT FOLDER``.

Each prints one line for everything that was confirmed to it, and nothing before.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, MailbearerError
from mailbearer.model.message import MessageId
from mailbearer.model.service import ServiceId
from mailbearer.store.spool import Spool
from mailbearer.store.store import Store
from tests.store.samples import grant, message

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
            async with store.spool.writer(name) as writer:
                writer.write(name.encode() * 100)
            await store.messages.add(message(name))
            say(name)
            number += 1

    async with asyncio.TaskGroup() as group:
        for lane in range(4):
            group.create_task(accept(lane))


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
    small = Spool(store.folder.spool, SystemClock(), reserve=0)
    await store.grants.insert(grant())
    slot = await store.journal.reserve(ServiceId("smtp"), 1)
    say("message refused", await refused(small, 64))
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
    async with small.writer(MessageId("after")) as writer:
        writer.write(b"there is room again")
    await store.messages.add(message("after"))
    await store.close()
    say("done")


def grow(ballast: object, size: int) -> None:
    try:
        while True:
            ballast.write(bytes(size))  # type: ignore[attr-defined]
    except OSError:
        return


async def refused(spool: Spool, mebibytes: int) -> str:
    try:
        async with spool.writer(MessageId("large")) as writer:
            for _ in range(mebibytes):
                writer.write(os.urandom(1024 * 1024))
    except DiskFullError as error:
        return error.code
    return "not"


async def hit_the_limit(folder: Path) -> None:
    """Write with files limited to a few megabytes (RLIMIT_FSIZE), as a quota would."""
    store = await Store.open(folder, SystemClock())
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
    spool = Spool(store.folder.spool, SystemClock(), reserve=0)
    say("message refused", await refused(spool, 4))
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
        "count": count,
        "keep": keep_and_wait,
        "fill": fill,
        "limit": hit_the_limit,
        "look": look,
    }
    asyncio.run(WORKS[sys.argv[1]](Path(sys.argv[2])))
