import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import StoreError
from mailbearer.model.service import ServiceId
from mailbearer.store import journal as journals
from mailbearer.store.journal import SLOT_BYTES, Leftover, RotationJournal
from tests.store.samples import POP, SMTP


def file_in(folder: Path) -> Path:
    (file,) = folder.glob("*.journal")
    return file


async def left_in(folder: Path) -> list[tuple[str, int, bytes]]:
    after = RotationJournal(folder)
    found = [(entry.service, entry.version, entry.sealed) for entry in await after.recover()]
    await after.close()
    return sorted(found)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[RotationJournal]:
    opened = RotationJournal(tmp_path / "journal.d", slots=2)
    yield opened
    await opened.close()


async def test_what_was_kept_is_found_by_the_next_process(journal: RotationJournal, tmp_path: Path) -> None:
    journal.keep(await journal.reserve(SMTP, 7), b"sealed one")
    journal.keep(await journal.reserve(POP, 2**40), b"")
    await journal.close()
    assert await left_in(tmp_path / "journal.d") == [(POP, 2**40, b""), (SMTP, 7, b"sealed one")]


async def test_what_was_cleared_is_not_found_and_leaves_no_trace(journal: RotationJournal, tmp_path: Path) -> None:
    slot = await journal.reserve(SMTP, 7)
    journal.keep(slot, b"sealed one")
    await journal.clear(slot)
    await journal.close()
    assert await left_in(tmp_path / "journal.d") == []
    assert b"sealed" not in file_in(tmp_path / "journal.d").read_bytes()


async def test_room_is_set_aside_before_anything_is_kept(journal: RotationJournal, tmp_path: Path) -> None:
    await journal.reserve(SMTP, 7)
    facts = file_in(tmp_path / "journal.d").stat()
    assert facts.st_size == 2 * SLOT_BYTES
    assert facts.st_blocks * 512 >= 2 * SLOT_BYTES
    assert facts.st_mode & 0o777 == 0o600


async def test_keeping_takes_no_more_room(journal: RotationJournal, tmp_path: Path) -> None:
    slot = await journal.reserve(SMTP, 7)
    before = file_in(tmp_path / "journal.d").stat().st_blocks
    journal.keep(slot, b"x" * (SLOT_BYTES - 100))
    assert file_in(tmp_path / "journal.d").stat().st_blocks == before


async def test_a_value_larger_than_a_slot_is_refused(journal: RotationJournal) -> None:
    slot = await journal.reserve(SMTP, 7)
    with pytest.raises(StoreError, match="MB-D05"):
        journal.keep(slot, b"x" * SLOT_BYTES)


async def test_slots_are_used_again(journal: RotationJournal, tmp_path: Path) -> None:
    for version in range(20):
        slot = await journal.reserve(SMTP, version)
        journal.keep(slot, b"sealed")
        await journal.clear(slot)
    assert file_in(tmp_path / "journal.d").stat().st_size == 2 * SLOT_BYTES


async def test_when_all_slots_wait_no_renewal_begins(journal: RotationJournal) -> None:
    slots = [await journal.reserve(SMTP, 7), await journal.reserve(POP, 1)]
    with pytest.raises(StoreError, match="MB-D05"):
        await journal.reserve(ServiceId("pop.other"), 1)
    await journal.clear(slots[0])
    await journal.reserve(ServiceId("pop.other"), 1)


async def test_many_who_reserve_at_once_get_slots_of_their_own(tmp_path: Path) -> None:
    journal = RotationJournal(tmp_path)
    slots = await asyncio.gather(*(journal.reserve(SMTP, version) for version in range(16)))
    for slot in slots:
        journal.keep(slot, b"%d" % slot.version)
    await journal.close()
    assert [version for _, version, _ in await left_in(tmp_path)] == list(range(16))


async def test_what_a_living_process_keeps_is_its_own(journal: RotationJournal, tmp_path: Path) -> None:
    journal.keep(await journal.reserve(SMTP, 7), b"sealed")
    assert await left_in(tmp_path / "journal.d") == []
    await journal.close()
    assert await left_in(tmp_path / "journal.d") == [(SMTP, 7, b"sealed")]


async def test_a_leftover_stays_until_it_is_cleared(journal: RotationJournal, tmp_path: Path) -> None:
    journal.keep(await journal.reserve(SMTP, 7), b"sealed")
    await journal.close()
    for _ in range(3):
        assert await left_in(tmp_path / "journal.d") == [(SMTP, 7, b"sealed")]
    after = RotationJournal(tmp_path / "journal.d")
    (entry,) = await after.recover()
    assert isinstance(entry, Leftover)
    await after.clear(entry.slot)
    await after.close()
    assert await left_in(tmp_path / "journal.d") == []


async def test_a_file_with_leftovers_is_not_written_over(tmp_path: Path) -> None:
    first = RotationJournal(tmp_path, slots=1)
    first.keep(await first.reserve(SMTP, 7), b"sealed")
    await first.close()
    second = RotationJournal(tmp_path, slots=1)  # it did not recover first
    second.keep(await second.reserve(POP, 1), b"other")
    await second.close()
    assert await left_in(tmp_path) == [(POP, 1, b"other"), (SMTP, 7, b"sealed")]


async def test_an_empty_file_is_taken_over_and_grown(tmp_path: Path) -> None:
    for slots in (1, 3):
        journal = RotationJournal(tmp_path, slots=slots)
        await journal.reserve(SMTP, 7)
        await journal.close()
    assert file_in(tmp_path).stat().st_size == 3 * SLOT_BYTES


async def test_leftovers_of_several_processes_are_all_found(tmp_path: Path) -> None:
    dead = [RotationJournal(tmp_path, slots=1) for _ in range(3)]
    for number, journal in enumerate(dead):
        journal.keep(await journal.reserve(SMTP, number), b"sealed")
    for journal in dead:
        await journal.close()
    assert [version for _, version, _ in await left_in(tmp_path)] == [0, 1, 2]


async def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "none" / "journal.d"):
        with pytest.raises(StoreError):
            await RotationJournal(folder).reserve(SMTP, 1)


async def test_a_journal_that_is_a_folder_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "x.journal").mkdir()
    with pytest.raises(StoreError):
        await RotationJournal(tmp_path).recover()


@given(st.text(min_size=1, max_size=40), st.integers(0, 2**64 - 1), st.binary(max_size=2000))
def test_a_record_reads_as_it_was_written(service: str, version: int, sealed: bytes) -> None:
    record = journals._encode(ServiceId(service), version, sealed)
    assert journals._decode(record + bytes(50)) == (service, version, sealed, len(record))


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_torn_or_changed_record_counts_as_none(sealed: bytes, data: st.DataObject) -> None:
    record = journals._encode(SMTP, 7, sealed)
    cut = data.draw(st.integers(4, len(record) - 1))
    torn = record[:cut] + bytes(len(record) - cut)
    assert torn == record or journals._decode(torn) is None
    changed = bytearray(record)
    changed[data.draw(st.integers(4, len(record) - 1))] ^= data.draw(st.integers(1, 255))
    assert journals._decode(bytes(changed)) is None


@given(st.binary(min_size=22, max_size=300))
def test_any_bytes_in_a_slot_are_no_record(octets: bytes) -> None:
    assert journals._decode(octets) is None


async def test_a_torn_slot_does_not_hide_its_neighbour(journal: RotationJournal, tmp_path: Path) -> None:
    journal.keep(await journal.reserve(SMTP, 7), b"one")
    journal.keep(await journal.reserve(POP, 1), b"two")
    await journal.close()
    file = file_in(tmp_path / "journal.d")
    octets = bytearray(file.read_bytes())
    octets[24] ^= 0xFF  # in the name of the service
    file.write_bytes(octets)
    assert len(await left_in(tmp_path / "journal.d")) == 1
