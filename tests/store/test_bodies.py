import asyncio
import gc
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from mailbearer.clock import SystemClock
from mailbearer.errors import DiskFullError, StoreError
from mailbearer.model.message import MessageId, MessageState
from mailbearer.store.bodies import GO_ON_AT_ONCE, INLINE_BYTES, NewBody
from mailbearer.store.rows import execute, select
from mailbearer.store.segments import SPARE_SEGMENTS
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, message

LARGE = 3_000_000


async def keep(store: Store, name: str, content: bytes, *, prefix: bytes = b"", cut: int = 65_536) -> None:
    body = store.bodies.new()
    await receive(body, content, cut=cut)
    await store.messages.add(message(name), body, prefix=prefix)


async def receive(body: NewBody, content: bytes, *, cut: int = 65_536) -> None:
    for start in range(0, len(content), cut):
        body.write(content[start : start + cut])
        if body.congested:
            await body.drain()


async def content_of(store: Store, name: str) -> bytes:
    body = await store.bodies.find(MessageId(name))
    content = b"".join([chunk async for chunk in body.chunks()])
    assert body.size == len(content)
    return content


def segments_in(store: Store) -> list[str]:
    return sorted(file.name for file in store.folder.segments.glob("*"))


async def places(store: Store) -> list[tuple[int, int, int]]:
    sql = "SELECT segment, start, length FROM pieces ORDER BY segment, start"
    rows = await store.database.read(lambda connection: select(connection, sql))
    return [(row.number(), row.number(), row.number()) for row in rows]


async def finish(store: Store, name: str) -> None:
    claimed = await store.messages.claim(MessageId(name), now=NOW, owner="me", lease_until=NOW + MINUTE)
    assert claimed is not None
    accepted = message(name, state=MessageState.ACCEPTED)
    assert await store.messages.set_outcome(accepted, owner="me")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.one_of(st.integers(0, 10), st.integers(INLINE_BYTES - 2, INLINE_BYTES + 2), st.integers(100_000, 900_000)),
    cut=st.sampled_from([1_000, 4_096, 70_000, 300_000]),
    prefix=st.binary(max_size=100),
)
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, size: int, cut: int, prefix: bytes
) -> None:
    async def scenario() -> None:
        store = await Store.open(tmp_path_factory.mktemp("store"), SystemClock())
        content = os.urandom(size)
        await keep(store, "m1", content, prefix=prefix, cut=cut)
        assert await content_of(store, "m1") == prefix + content
        assert store.bodies.held == 0
        assert bool(await places(store)) is (size > INLINE_BYTES)
        await store.close()

    asyncio.run(scenario())


async def test_small_contents_need_no_file(store: Store) -> None:
    await keep(store, "m1", b"x" * INLINE_BYTES, prefix=b"Received: here\r\n")
    assert segments_in(store) == []
    assert await content_of(store, "m1") == b"Received: here\r\n" + b"x" * INLINE_BYTES


@pytest.mark.parametrize("size", [100, LARGE])
async def test_it_is_known_whether_a_content_is_ascii(store: Store, size: int) -> None:
    await keep(store, "m1", b"x" * size)
    await keep(store, "m2", b"x" * size + "ü".encode())
    await keep(store, "m3", b"x" * size, prefix="ü".encode())
    assert [(await store.bodies.find(MessageId(name))).is_ascii for name in ("m1", "m2", "m3")] == [True, False, False]


async def test_many_at_once_do_not_mix(store: Store) -> None:
    contents = {f"m{number}": os.urandom(LARGE // 10 + number) for number in range(40)}
    await asyncio.gather(*(keep(store, name, content, cut=10_000) for name, content in contents.items()))
    for name, content in contents.items():
        assert await content_of(store, name) == content


async def test_contents_outlive_the_process(tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    store = await Store.open(tmp_path, SystemClock())
    await keep(store, "m1", content)
    await store.close()
    store = await Store.open(tmp_path, SystemClock())
    assert await content_of(store, "m1") == content
    await keep(store, "m2", content[::-1])  # into the same file, beside the first
    assert await content_of(store, "m1") == content
    assert await content_of(store, "m2") == content[::-1]
    assert segments_in(store) == ["0001.seg"]
    await store.close()


async def test_a_place_is_used_again_once_its_message_is_done(store: Store) -> None:
    await keep(store, "m1", os.urandom(LARGE))
    before = await places(store)
    await finish(store, "m1")
    assert await places(store) == []
    with pytest.raises(StoreError, match="MB-D05"):
        await content_of(store, "m1")
    await keep(store, "m2", os.urandom(LARGE))
    assert await places(store) == before


async def test_a_cancelled_or_forgotten_message_takes_its_content_along(store: Store) -> None:
    for name in ("m1", "m2"):
        await keep(store, name, os.urandom(LARGE))
    waiting = {MessageState.WAITING}
    assert await store.messages.change_state(MessageId("m1"), among=waiting, to=MessageState.CANCELLED)
    assert await store.messages.change_state(MessageId("m2"), among=waiting, to=MessageState.FAILED)
    assert await content_of(store, "m2")  # it may be tried again
    assert await store.messages.forget(NOW + MINUTE) == ("m1", "m2")
    count = await store.database.read(lambda connection: execute(connection, "SELECT count(*) FROM bodies"))
    assert (await places(store), count) == ([], [(0,)])


async def test_an_aborted_content_leaves_nothing(store: Store) -> None:
    for _ in range(3):
        body = store.bodies.new()
        await receive(body, os.urandom(LARGE))
        body.abort()
        body.abort()
    await keep(store, "m1", b"x" * LARGE)
    assert min(start for _, start, _ in await places(store)) == 0
    assert store.bodies.held == 0


async def test_a_sweep_leaves_alone_what_is_still_coming(store: Store) -> None:
    body = store.bodies.new()
    await receive(body, b"x" * LARGE)
    await body.drain()
    await store.bodies.sweep()
    await keep(store, "m2", b"y" * LARGE)
    await receive(body, b"z" * LARGE)
    await store.messages.add(message("m1"), body)
    assert await content_of(store, "m1") == b"x" * LARGE + b"z" * LARGE
    assert await content_of(store, "m2") == b"y" * LARGE


async def test_what_nobody_ended_is_free_after_a_sweep(store: Store) -> None:
    body = store.bodies.new()
    await receive(body, b"x" * LARGE)
    await body.drain()
    await store.meta.put("everything before this", b"is written")
    del body
    gc.collect()
    await store.bodies.sweep()
    await keep(store, "m1", b"y" * LARGE)
    assert min(start for _, start, _ in await places(store)) == 0


async def test_abort_after_the_end_changes_nothing(store: Store) -> None:
    body = store.bodies.new()
    await receive(body, b"x" * LARGE)
    await store.messages.add(message("m1"), body)
    body.abort()
    await keep(store, "m2", b"y" * LARGE)
    assert await content_of(store, "m1") == b"x" * LARGE


async def test_a_row_that_cannot_be_stored_keeps_no_place(store: Store) -> None:
    await keep(store, "m1", b"x" * LARGE)
    with pytest.raises(Exception, match="UNIQUE"):
        await keep(store, "m1", b"y" * LARGE)
    await keep(store, "m2", b"z" * LARGE)
    assert sum(length for _, _, length in await places(store)) == 2 * LARGE
    assert await content_of(store, "m1") == b"x" * LARGE


async def test_a_content_that_changed_on_the_disk_is_not_sent(store: Store) -> None:
    for name, size in (("m1", 50_000), ("m2", LARGE)):
        await keep(store, name, b"x" * size)
    with (store.folder.segments / "0001.seg").open("r+b") as file:
        for _, start, _ in await places(store):
            file.seek(start)
            file.write(b"y")
    for name in ("m1", "m2"):
        with pytest.raises(StoreError, match="MB-D05"):
            await content_of(store, name)


async def test_a_lost_segment_is_told(store: Store) -> None:
    for name, size in (("m1", 50_000), ("m2", LARGE)):
        await keep(store, name, b"x" * size)
    (store.folder.segments / "0001.seg").unlink()
    for name in ("m1", "m2"):
        with pytest.raises(StoreError, match="MB-D05"):
            await content_of(store, name)


async def test_a_number_is_not_used_again_while_a_row_speaks_of_it(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, SystemClock())
    await keep(store, "m1", b"x" * LARGE)
    (store.folder.segments / "0001.seg").unlink()
    await store.close()
    store = await Store.open(tmp_path, SystemClock())
    await keep(store, "m2", b"y" * LARGE)
    assert segments_in(store) == ["0002.seg"]
    await store.close()


async def test_contents_of_older_versions_come_from_the_spool(store: Store) -> None:
    (store.folder.spool / "m1").mkdir(parents=True)
    (store.folder.spool / "m1" / "m1.eml").write_bytes("grüße".encode())
    await store.messages.add(message("m1"))
    found = await store.bodies.find(MessageId("m1"))
    assert (found.size, found.is_ascii) == (7, False)
    assert await content_of(store, "m1") == "grüße".encode()


async def test_two_processes_never_write_into_one_file(tmp_path: Path) -> None:
    one, other = [await Store.open(tmp_path, SystemClock()) for _ in range(2)]
    await keep(one, "m1", b"x" * LARGE)
    await keep(other, "m2", b"y" * LARGE)
    assert {segment for segment, _, _ in await places(one)} == {1, 2}
    assert await content_of(one, "m2") == b"y" * LARGE
    assert await content_of(other, "m1") == b"x" * LARGE
    await finish(other, "m1")  # the owner of the file finds out
    await one.bodies.sweep()
    await keep(one, "m3", b"z" * LARGE)
    assert min((segment, start) for segment, start, _ in await places(one)) == (1, 0)
    await one.close()
    await other.bodies.sweep()  # takes over what the other left
    await keep(other, "m4", b"z" * LARGE)
    assert segments_in(other) == ["0001.seg", "0002.seg"]
    await other.close()


async def test_empty_files_beyond_the_spare_ones_go(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, SystemClock(), segment_bytes=1024 * 1024)
    await asyncio.gather(*(keep(store, f"m{number}", b"x" * LARGE) for number in range(3)))
    assert len(segments_in(store)) >= 9
    await finish(store, "m1")
    await store.bodies.sweep()
    for name in ("m0", "m2"):
        assert await content_of(store, name) == b"x" * LARGE
        await finish(store, name)
    await store.bodies.sweep()
    assert len(segments_in(store)) == SPARE_SEGMENTS
    await keep(store, "m9", b"x" * LARGE)
    assert await content_of(store, "m9") == b"x" * LARGE
    await store.close()


async def test_what_a_crash_left_is_swept(store: Store) -> None:
    await keep(store, "m1", b"x" * LARGE)
    await store.database.write(lambda connection: execute(connection, "DELETE FROM messages"))
    await store.bodies.sweep()
    assert await places(store) == []


async def test_where_there_is_no_room_nothing_is_begun(tmp_path: Path) -> None:
    store = await Store.open(tmp_path, SystemClock(), reserve=10**18)
    with pytest.raises(DiskFullError):
        store.bodies.new()
    await store.close()


async def test_a_closed_store_takes_no_more(store: Store) -> None:
    body = store.bodies.new()
    await store.close()
    with pytest.raises(StoreError, match="MB-D01"):
        body.write(b"x" * LARGE)
    body.abort()
    assert store.bodies.held == 0


async def test_little_is_held_in_memory_however_many_come_at_once(store: Store) -> None:
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        body = store.bodies.new()
        for _ in range(40):
            body.write(bytes(65_536))
            most = max(most, store.bodies.held)
            if body.congested:
                await body.drain()
            await asyncio.sleep(0)
        await store.messages.add(message(f"m{number}"), body)

    await asyncio.gather(*(one(number) for number in range(50)))
    assert most < 14_000_000
    assert store.bodies.held == 0


async def test_few_go_on_in_one_turn_of_the_loop(store: Store) -> None:
    waiting = [asyncio.ensure_future(store.bodies.turn()) for _ in range(3 * GO_ON_AT_ONCE)]
    await asyncio.sleep(0)
    waiting[1].cancel()  # who has hung up meanwhile holds nobody up
    steps = [0]
    for _ in range(10):
        await asyncio.sleep(0)
        steps.append(sum(task.done() for task in waiting))
    assert steps[-1] == len(waiting)
    assert 0 < max(after - before for before, after in itertools.pairwise(steps)) <= GO_ON_AT_ONCE + 1
