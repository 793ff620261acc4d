"""Taking a message in piece by piece, as a listener does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, InvalidInputError
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import MessageState, QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.sending.intake import Intake, new_id
from mailbearer.store.store import Store

SMTP = ServiceId("smtp")
ENVELOPE = Envelope("scan@example.com", ("office@example.com",))
HEADER = b"From: scan@example.com\r\nSubject: Scan\r\nMessage-ID: <1@example.com>\r\n\r\n"
TRACE = b"Received: from copier by gateway; Mon, 02 Nov 2026 09:00:00 +0000\r\n"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "store", SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
def intake(store: Store) -> Intake:
    return Intake(store, SystemClock())


async def content_of(store: Store, message: QueuedMessage) -> bytes:
    return b"".join([chunk async for chunk in (await store.bodies.find(message.id)).chunks()])


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_what_was_written_is_in_the_queue_behind_its_prefix(store: Store, intake: Intake, size: int) -> None:
    acceptance = intake.begin(SMTP, device="copier-3f", size_hint=size)
    acceptance.write(HEADER)
    acceptance.write(b"x" * size)
    await acceptance.drain()
    message = await acceptance.commit(ENVELOPE, TRACE)
    assert await content_of(store, message) == TRACE + HEADER + b"x" * size
    assert await store.messages.get(message.id) == message
    assert (message.size, message.state) == (len(TRACE + HEADER) + size, MessageState.WAITING)
    assert (message.subject, message.message_id, message.device) == ("Scan", "<1@example.com>", "copier-3f")


@pytest.mark.parametrize("cut", [1, 7, 30, 1000])
async def test_where_it_is_cut_changes_nothing(store: Store, intake: Intake, cut: int) -> None:
    content = HEADER + b"Subject: not this\r\n" * 20
    acceptance = intake.begin(SMTP)
    for start in range(0, len(content), cut):
        acceptance.write(content[start : start + cut])
    message = await acceptance.commit(ENVELOPE)
    assert (message.subject, message.message_id) == ("Scan", "<1@example.com>")
    assert await content_of(store, message) == content


async def test_fields_of_the_prefix_are_seen_and_those_of_the_body_are_not(intake: Intake) -> None:
    acceptance = intake.begin(SMTP)
    acceptance.write(b"Subject: a body line\r\nMessage-ID: <body>\r\n")
    message = await acceptance.commit(ENVELOPE, b"Message-ID: <2@example.com>\r\n\r\n")
    assert (message.subject, message.message_id) == ("", "<2@example.com>")


async def test_a_long_header_is_looked_at_in_its_beginning_only(intake: Intake) -> None:
    acceptance = intake.begin(SMTP)
    for _ in range(100):
        acceptance.write(b"X-Long: " + b"x" * 990 + b"\r\n")
    acceptance.write(b"Subject: late\r\n\r\n")
    assert (await acceptance.commit(ENVELOPE)).subject == ""


async def test_a_folded_or_broken_message_id_is_printable(intake: Intake) -> None:
    acceptance = intake.begin(SMTP)
    acceptance.write(b"MESSAGE-ID :\r\n <\xff\x01@example.com>\r\n\r\n")
    message = await acceptance.commit(ENVELOPE)
    assert message.message_id.isprintable()
    assert message.message_id.endswith("@example.com>")


async def test_nothing_at_all_is_no_message(intake: Intake) -> None:
    with pytest.raises(InvalidInputError, match="MB-W05"):
        await intake.begin(SMTP).commit(ENVELOPE)


async def test_nul_is_refused(intake: Intake) -> None:
    with pytest.raises(InvalidInputError, match="MB-W05"):
        intake.begin(SMTP).write(b"a\0b")


async def test_too_much_is_refused_when_announced_and_when_it_comes(intake: Intake) -> None:
    with pytest.raises(InvalidInputError, match="MB-S19"):
        intake.begin(SMTP, size_hint=101, size_max=100)
    acceptance = intake.begin(SMTP, size_hint=10, size_max=100)
    acceptance.write(b"x" * 100)
    with pytest.raises(InvalidInputError, match="MB-S19"):
        acceptance.write(b"x")


async def test_an_aborted_message_was_never_there(store: Store, intake: Intake) -> None:
    acceptance = intake.begin(SMTP)
    acceptance.write(HEADER + b"x" * 1_000_000)
    await acceptance.abort()
    await acceptance.abort()
    await store.meta.put("everything before this", b"is done")
    assert await store.messages.list() == ()
    assert store.bodies.held == 0


async def test_abort_after_a_commit_changes_nothing(store: Store, intake: Intake) -> None:
    acceptance = intake.begin(SMTP)
    acceptance.write(HEADER + b"x" * 1_000_000)
    message = await acceptance.commit(ENVELOPE)
    await acceptance.abort()
    assert len(await content_of(store, message)) == message.size


async def test_a_commit_that_nobody_waits_for_is_whole_or_not_there(store: Store, intake: Intake) -> None:
    acceptance = intake.begin(SMTP)
    acceptance.write(HEADER + b"x" * 1_000_000)
    kept = acceptance.commit(ENVELOPE)
    await asyncio.sleep(0)
    kept.cancel()
    await acceptance.abort()
    await store.meta.put("everything before this", b"is done")
    for message in await store.messages.list():
        assert len(await content_of(store, message)) == message.size


async def test_without_room_nothing_is_begun(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, SystemClock(), reserve=10**18)
    with pytest.raises(DiskFullError, match="MB-S25"):
        Intake(store, SystemClock()).begin(SMTP)
    await store.close()


async def test_fifty_at_once_share_commits(store: Store, intake: Intake) -> None:
    async def one(number: int) -> QueuedMessage:
        acceptance = intake.begin(SMTP)
        acceptance.write(HEADER + b"%d" % number)
        return await acceptance.commit(ENVELOPE)

    messages = await asyncio.gather(*(one(number) for number in range(50)))
    assert len({message.id for message in messages}) == 50
    assert [await content_of(store, each) for each in messages] == [HEADER + b"%d" % number for number in range(50)]
    wal = await asyncio.to_thread((store.folder.path / "mailbearer.db-wal").stat)
    assert wal.st_size < 100 * 4096


def test_names_follow_the_time() -> None:
    assert new_id(1_000_000_000) < new_id(1_000_000_001)
    assert len({new_id(1) for _ in range(1000)}) == 1000
