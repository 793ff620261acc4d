from datetime import timedelta

from hypothesis import given, strategies as st

from mailbearer.sending.retry import FIRST_PAUSES, JITTER, LATER_PAUSE, LIFE, next_try, pause_after
from tests.store.samples import NOW

DRAWS = st.floats(0, 1)
AGES = st.timedeltas(timedelta(0), timedelta(days=10))


@given(attempts=st.integers(1, 10_000), draw=DRAWS)
def test_pause_is_that_of_the_schedule_a_fifth_more_or_less(attempts: int, draw: float) -> None:
    wanted = FIRST_PAUSES[attempts - 1] if attempts <= 5 else LATER_PAUSE
    assert abs(pause_after(attempts, draw) - wanted) <= wanted * (JITTER + 1e-9)


@given(attempts=st.integers(1, 200), draw=DRAWS, age=AGES)
def test_next_try_is_ahead_and_within_the_life_of_the_message(attempts: int, draw: float, age: timedelta) -> None:
    now = NOW + age
    when = next_try(attempts, created_at=NOW, now=now, draw=draw)
    if age >= LIFE:
        assert when is None
    else:
        assert when is not None
        assert now < when <= NOW + LIFE


@given(draw=DRAWS)
def test_message_is_tried_about_a_hundred_and_twenty_times_in_its_life(draw: float) -> None:
    now, attempts = NOW, 0
    while (when := next_try(attempts + 1, created_at=NOW, now=now, draw=draw)) is not None:
        now, attempts = when, attempts + 1
    assert 95 <= attempts <= 155


def test_clock_that_was_set_back_does_not_prolong_a_pause() -> None:
    when = next_try(1, created_at=NOW, now=NOW - timedelta(days=30), draw=1.0)
    assert when is not None
    assert when <= NOW - timedelta(days=30) + timedelta(minutes=2)
