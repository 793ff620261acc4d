"""When the next renewal of a grant is due. Pure: the hour and the draw are arguments."""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbearer.model.service import ServiceId

MARGIN = timedelta(minutes=10)  # Microsoft's HVE refuses tokens with about ten minutes left (501 5.5.127)
SHORT_LIFE = timedelta(minutes=50)  # a shorter life is renewed at SHORT_SHARE of it
SHORT_SHARE = 0.8
JITTER = timedelta(minutes=1)
SHORT_JITTER_SHARE = 0.05  # of a short life
KEEP_ALIVE = timedelta(days=1)  # a refresh token dies of idleness: Microsoft 90 days, Google 6 months
INVALID_PAUSE = timedelta(hours=1)  # a lifted block heals by itself
TROUBLE_PAUSE = timedelta(minutes=15)  # wrong client secret and the like
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_BACK_OFF = timedelta(minutes=15)
LONGEST_PAUSE = timedelta(hours=1)  # and of Retry-After
FORCED_PAUSE = timedelta(seconds=60)  # between forced renewals, and before an identical refused request
CLOCK_SLACK = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class RenewalFacts:
    """What the schedule must know of a grant."""

    refreshed_at: datetime
    expires_at: datetime
    next_try: datetime | None = None


def next_due(facts: RenewalFacts, now: datetime, draw: float) -> datetime:
    """Return when the grant is to be renewed; in the past when it is overdue.

    Args:
        facts: the grant's times.
        now: the wall time; compared with the others to notice that the clock was set back.
        draw: the jitter, evenly from 0 to 1; the same for every question about one version of a grant.
    """
    if facts.next_try is not None:
        return min(facts.next_try, now + LONGEST_PAUSE)
    if facts.refreshed_at > now + CLOCK_SLACK:
        return now  # the clock was set back: nobody knows how long the token still lives
    life = facts.expires_at - facts.refreshed_at
    sway = 2 * draw - 1
    if life < SHORT_LIFE:
        due = facts.refreshed_at + life * (SHORT_SHARE + sway * SHORT_JITTER_SHARE)
    else:
        due = facts.expires_at - MARGIN + sway * JITTER
    return min(due, facts.refreshed_at + KEEP_ALIVE + sway * JITTER)


def draw_for(service: ServiceId, version: int) -> float:
    """Return a jitter that is spread over services and stays for one version of a grant."""
    return zlib.crc32(f"{service}/{version}".encode()) / 0xFFFFFFFF


def back_off(failures: int, asked: timedelta | None = None) -> timedelta:
    """Return how long to wait after ``failures`` (≥ 1) renewals without a usable answer in a row.

    ``asked`` is what the provider asked for (Retry-After).
    """
    if asked is not None:
        return min(max(asked, FIRST_PAUSE), LONGEST_PAUSE)
    return min(timedelta(seconds=FIRST_PAUSE.total_seconds() * 2.0 ** min(failures - 1, 16)), LONGEST_BACK_OFF)
