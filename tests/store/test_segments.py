import os
from pathlib import Path

from hypothesis import given, strategies as st

from mailbearer.store.segments import BLOCK_BYTES, Segment

BLOCKS = 40


def segment(path: Path, taken: list[tuple[int, int]] | None = None) -> Segment:
    file = path / "0001.seg"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(descriptor, BLOCKS * BLOCK_BYTES)
    return Segment(file, descriptor, taken or [])


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12 * BLOCK_BYTES)), max_size=60))
def test_no_place_is_given_twice_and_none_is_lost(moves: list[tuple[bool, int]]) -> None:
    descriptor = os.memfd_create("segment")
    os.ftruncate(descriptor, BLOCKS * BLOCK_BYTES)
    one = Segment(Path("0001.seg"), descriptor, [])
    held: list[tuple[int, int]] = []
    for take, number in moves:
        if take:
            piece = one.take(number)
            if piece is not None:
                held.append((piece.start, piece.room))
        elif held:
            one.give_back(*held.pop(number % len(held)))
        blocks = [at for start, room in held for at in range(start, start + room, BLOCK_BYTES)]
        assert len(blocks) == len(set(blocks))
        assert one.free_bytes + sum(room for _, room in held) == one.capacity
        again = Segment(Path("0001.seg"), os.dup(descriptor), held)
        assert again.free_bytes == one.free_bytes
        again.close()
    for place in held:
        one.give_back(*place)
    whole = one.take(one.capacity)
    assert whole is not None
    assert whole.room == one.capacity  # everything has grown together again
    one.close()


def test_the_best_place_is_one_that_is_large_enough(tmp_path: Path) -> None:
    one = segment(tmp_path, [(2 * BLOCK_BYTES, BLOCK_BYTES), (10 * BLOCK_BYTES, BLOCK_BYTES)])
    piece = one.take(5 * BLOCK_BYTES)
    assert piece is not None
    assert (piece.start, piece.room) == (3 * BLOCK_BYTES, 5 * BLOCK_BYTES)
    one.close()


def test_where_none_is_large_enough_the_largest_is_given(tmp_path: Path) -> None:
    one = segment(tmp_path, [(2 * BLOCK_BYTES, BLOCK_BYTES), (6 * BLOCK_BYTES, 34 * BLOCK_BYTES)])
    rooms = [piece.room if (piece := one.take(BLOCK_BYTES * 30)) else 0 for _ in range(3)]
    assert rooms == [3 * BLOCK_BYTES, 2 * BLOCK_BYTES, 0]
    one.close()


def test_a_segment_that_could_not_be_synced_is_not_used_any_more(tmp_path: Path) -> None:
    one = segment(tmp_path)
    one.broken = True
    assert one.free_bytes == 0
    assert one.take(1) is None
    one.close()
