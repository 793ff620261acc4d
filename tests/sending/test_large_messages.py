"""Large messages through a real listener: what a device sends faster than the disk takes it stays with the device."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from mailbearer.model.device import Device, DeviceId, FromPolicy
from mailbearer.model.service import ServiceId
from mailbearer.store.segments import Segment
from tests.test_gateway import LOCAL, Hall, hall

COPIER = Device(
    DeviceId("copier"),
    "Copier",
    ServiceId("smtp"),
    networks=("127.0.0.0/8",),
    by_address=True,
    from_policy=FromPolicy.AS_IS,
)
HEADER = b"From: scan@clinic.example\r\nSubject: scan\r\n\r\n"
LINE = b"x" * 76 + b"\r\n"


class Sender:
    """A device that speaks by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def begin(cls, found: Hall) -> "Sender":
        """Connect and say what comes before a message."""
        sender = cls(*await asyncio.open_connection("127.0.0.1", found.gateway.ports["local"]))
        await sender.reply()
        for line in (b"HELO copier", b"MAIL FROM:<scan@clinic.example>", b"RCPT TO:<ada@x.example>", b"DATA"):
            sender.writer.write(line + b"\r\n")
            await sender.reply()
        return sender

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        await self.writer.wait_closed()

    async def reply(self) -> str:
        async with asyncio.timeout(20):
            return (await self._reader.readline()).decode()


async def content_of(found: Hall) -> list[bytes]:
    contents: list[bytes] = []
    for message in await found.store.messages.list():
        chunks = (await found.store.bodies.find(message.id)).chunks()
        contents.append(b"".join([chunk async for chunk in chunks]))
    return contents


async def test_a_device_that_is_faster_than_the_disk_waits(tmp_path: Path) -> None:
    disk = threading.Event()

    def stand_still(_: apsw.Connection) -> Sequence[Segment]:
        disk.wait(20)
        return ()

    async with hall(tmp_path, LOCAL) as found:
        await found.store.devices.put(COPIER, expected_version=0)
        await found.gateway.look_again()
        sender = await Sender.begin(found)
        stopped = found.store.database.prepare(stand_still)
        try:
            sender.writer.write(HEADER + LINE * 300_000 + b".\r\n")  # 23 MB: more than any socket holds
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await sender.writer.drain()
            assert 0 < found.store.bodies.held < 1_000_000
        finally:
            disk.set()
        await stopped
        said = await sender.reply()
        await sender.close()
        assert said.startswith("250 "), said
        assert found.store.bodies.held == 0
        (content,) = await content_of(found)
        assert content.endswith(b"\r\n\r\n" + LINE * 300_000)


async def test_many_at_once_arrive_whole_and_little_is_held(tmp_path: Path) -> None:
    most = 0

    async def send(found: Hall, number: int) -> str:
        nonlocal most
        sender = await Sender.begin(found)
        sender.writer.write(HEADER)
        for _ in range(20):
            sender.writer.write(b"%d\r\n" % number + LINE * 2_000)
            await sender.writer.drain()
            most = max(most, found.store.bodies.held)
        sender.writer.write(b".\r\n")
        said = await sender.reply()
        await sender.close()
        return said

    async with hall(tmp_path, LOCAL) as found:
        await found.store.devices.put(COPIER, expected_version=0)
        await found.gateway.look_again()
        said = await asyncio.gather(*(send(found, number) for number in range(15)))
        assert {reply[:4] for reply in said} == {"250 "}
        assert most < 1_048_576 + 15 * 3 * 65_536  # 47 MB came
        bodies = {content.partition(b"\r\n\r\n")[2] for content in await content_of(found)}
        assert bodies == {(b"%d\r\n" % number + LINE * 2_000) * 20 for number in range(15)}
