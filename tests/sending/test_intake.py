from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, InvalidInputError
from mailbearer.model.envelope import Envelope
from mailbearer.model.service import ServiceId
from mailbearer.sending.intake import Intake
from mailbearer.store.store import Store
from tests.sending.plain import opened

ENVELOPE = Envelope("a@example.com", ("b@example.com",))
SMTP = ServiceId("smtp")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as store:
        yield store


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def files(store: Store) -> list[Path]:
    return [path for path in store.folder.spool.rglob("*") if path.is_file()]


async def test_accepted_message_is_stored_with_what_lists_show(store: Store) -> None:
    parts = (b"Message-ID: <1@x>\r\nSubj", b"ect: =?utf-8?b?U2Nhbg==?=\r\n\r\nSubject: no\r\n")
    message = await Intake(store, SystemClock()).accept(SMTP, ENVELOPE, chunks(*parts))
    assert await store.messages.get(message.id) == message
    assert (message.subject, message.message_id, message.size) == ("Scan", "<1@x>", sum(map(len, parts)))
    assert [part async for part in (await store.bodies.find(message.id)).chunks()] == [b"".join(parts)]


@pytest.mark.parametrize("parts", [(), (b"",), (b"a\0b",), (b"a" * 60, b"b" * 60)])
async def test_message_that_cannot_be_is_refused_and_leaves_nothing(store: Store, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidInputError):
        await Intake(store, SystemClock(), size_max=100).accept(SMTP, ENVELOPE, chunks(*parts))
    assert files(store) == []
    assert await store.messages.ids() == frozenset()


async def test_announced_size_is_refused_before_anything_is_read(store: Store) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    with pytest.raises(InvalidInputError) as refused:
        await Intake(store, SystemClock(), size_max=100).accept(SMTP, ENVELOPE, unread(), expected_size=101)
    assert refused.value.code == "MB-S19"


async def test_row_that_finds_no_room_leaves_no_content(store: Store) -> None:
    def refuse(*_: object) -> None:
        raise apsw.FullError("no room")

    def spoil(connection: apsw.Connection) -> None:
        connection.create_scalar_function("refuse", refuse, 0, flags=apsw.SQLITE_INNOCUOUS)
        connection.execute("CREATE TEMP TRIGGER stop BEFORE INSERT ON main.messages BEGIN SELECT refuse(); END")

    await store.database.write(spoil)
    with pytest.raises(DiskFullError):
        await Intake(store, SystemClock()).accept(SMTP, ENVELOPE, chunks(b"Subject: x\r\n\r\n"))
    assert files(store) == []


async def test_message_whose_giver_breaks_off_leaves_nothing(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await Intake(store, SystemClock()).accept(SMTP, ENVELOPE, broken())
    assert files(store) == []
