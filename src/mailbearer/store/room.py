"""How much room mail may still take: some is left free, so that tokens and what became of mail can always be stored."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailbearer.clock import Clock
from mailbearer.errors import DiskFullError
from mailbearer.store import failures

RESERVE_BYTES = 100_000_000  # what no message may take, or a twentieth of the disk if that is less …
RESERVE_SHARE = 20
RESERVE_LEAST = 32_000_000  # … but this, or half of a tiny disk: the log of a busy database grows to 16 MB
LOOK_SECONDS = 1.0  # how long what was seen is believed
LOOK_BYTES = 16 * 1024 * 1024  # … unless this much was asked for since


@dataclass(frozen=True, slots=True)
class Room:
    """Free and total bytes of a disk."""

    free: int
    total: int


def room_at(path: Path) -> Room:
    """Return how much room there is at ``path``."""
    usage = shutil.disk_usage(path)
    return Room(usage.free, usage.total)


class RoomWatch:
    """Watches the disk of ``folder``. ``reserve`` is the room in bytes to leave free; None: as ``RESERVE_BYTES`` says.

    ``owed`` is the room that the database still needs for what it has taken: without it nothing could change any more.
    Used by two threads; the worst that can come of it is one look too many.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        reserve: int | None = None,
        owed: Callable[[], int] = lambda: 0,
        room: Callable[[Path], Room] = room_at,
    ) -> None:
        self._folder = folder
        self._owed = owed
        self._clock = clock
        self._reserve = reserve
        self._room = room
        self._seen_at = -LOOK_SECONDS
        self._left = 0
        self._asked = 0

    def check(self, wanted: int) -> None:
        """See whether there is room for ``wanted`` bytes beside the reserve.

        Raises:
            DiskFullError: there is not.
        """
        now = self._clock.monotonic()
        self._asked += wanted
        if self._left - self._asked < 0 or self._asked >= LOOK_BYTES or now - self._seen_at >= LOOK_SECONDS:
            self.left()
            self._asked = wanted
        if self._left < wanted:
            raise DiskFullError("MB-S25", path=str(self._folder), free=f"{max(self._left, 0) // 1_000_000} MB")

    def left(self) -> int:
        """Look, and return the bytes that may still be taken; below zero the reserve itself is touched."""
        try:
            room = self._room(self._folder)
        except OSError as error:
            raise failures.of_system(error, self._folder) from error
        reserve = reserve_of(room.total) if self._reserve is None else self._reserve
        self._seen_at, self._left, self._asked = self._clock.monotonic(), room.free - reserve - self._owed(), 0
        return self._left


def reserve_of(total: int) -> int:
    """Return what mail leaves free on a disk of ``total`` bytes."""
    least = min(RESERVE_LEAST, total // 2)
    return min(RESERVE_BYTES, max(total // RESERVE_SHARE, least))
