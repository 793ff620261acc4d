from pathlib import Path

import pytest

from mailbearer.errors import DiskFullError, StoreError
from mailbearer.store.room import LOOK_BYTES, RESERVE_BYTES, Room, RoomWatch
from tests.fakes.clock import FakeClock

HERE = Path("/")


class Disk:
    def __init__(self, free: int, total: int = 100_000_000_000) -> None:
        self.room = Room(free, total)
        self.looks = 0

    def __call__(self, _: Path) -> Room:
        self.looks += 1
        return self.room


def test_the_reserve_is_left_free() -> None:
    watch = RoomWatch(HERE, FakeClock(), room=Disk(RESERVE_BYTES + 1000))
    watch.check(1000)
    with pytest.raises(DiskFullError, match="MB-S25"):
        watch.check(1001)


def test_a_small_disk_has_a_smaller_reserve() -> None:
    RoomWatch(HERE, FakeClock(), room=Disk(500_001, 1_000_000)).check(1)
    with pytest.raises(DiskFullError):
        RoomWatch(HERE, FakeClock(), room=Disk(500_000, 1_000_000)).check(1)


def test_a_full_disk_refuses_even_nothing_once_the_reserve_is_touched() -> None:
    with pytest.raises(DiskFullError):
        RoomWatch(HERE, FakeClock(), reserve=1000, room=Disk(999)).check(0)


async def test_what_was_seen_is_believed_for_a_second() -> None:
    clock, disk = FakeClock(), Disk(10**12)
    watch = RoomWatch(HERE, clock, room=disk)
    for _ in range(1000):
        watch.check(0)
    assert disk.looks == 1
    await clock.advance(1)
    watch.check(0)
    assert disk.looks == 2


def test_much_that_was_asked_for_makes_it_look_again() -> None:
    disk = Disk(10**12)
    watch = RoomWatch(HERE, FakeClock(), room=disk)
    for _ in range(5):
        watch.check(LOOK_BYTES // 2)
    assert disk.looks > 1


def test_room_that_comes_back_is_seen_at_once() -> None:
    disk = Disk(0)
    watch = RoomWatch(HERE, FakeClock(), room=disk)
    with pytest.raises(DiskFullError):
        watch.check(1)
    disk.room = Room(10**12, 10**13)
    watch.check(1)


def test_a_disk_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="MB-D01"):
        RoomWatch(tmp_path / "gone", FakeClock()).check(1)


def test_what_the_database_still_needs_is_left_free_too() -> None:
    owed = [0]
    watch = RoomWatch(HERE, FakeClock(), reserve=1000, owed=lambda: owed[0], room=Disk(3000))
    assert watch.left() == 2000
    owed[0] = 1500
    assert watch.left() == 500
