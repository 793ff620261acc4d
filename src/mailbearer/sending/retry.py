"""When to try again, and when to give up (RFC 5321 section 4.5.4.1). Pure."""

from datetime import datetime, timedelta
from typing import Final

FIRST_PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60))
LATER_PAUSE: Final = timedelta(hours=1)
JITTER: Final = 0.2  # each pause is up to a fifth shorter or longer, so that a queue does not come back as one
LIFE: Final = timedelta(days=5)
HOLD_PAUSE: Final = timedelta(minutes=15)  # how often held mail is looked at though nobody called


def pause_after(attempts: int, draw: float) -> timedelta:
    """Return how long to wait after ``attempts`` (1 or more) failed; ``draw`` is a random number from 0 to 1."""
    pause = FIRST_PAUSES[attempts - 1] if attempts <= len(FIRST_PAUSES) else LATER_PAUSE
    return pause * (1 + JITTER * (2 * draw - 1))


def next_try(attempts: int, *, created_at: datetime, now: datetime, draw: float) -> datetime | None:
    """Return when to try again after ``attempts`` failed, None when the message has lived long enough.

    The last try comes at the end of its life. A clock that was set back does not prolong a pause beyond its length.
    """
    end = created_at + LIFE
    if now >= end:
        return None
    return min(now + pause_after(attempts, draw), end)
