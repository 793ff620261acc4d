from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from mailbearer.model.service import ServiceId
from mailbearer.tokens.schedule import RenewalFacts, back_off, draw_for, next_due

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
draws = st.floats(0, 1)
lives = st.integers(1, 400 * 86400).map(lambda seconds: timedelta(seconds=seconds))


def due(life: timedelta, draw: float = 0.5) -> timedelta:
    return next_due(RenewalFacts(NOW, NOW + life), NOW, draw) - NOW


@given(draws)
def test_an_hour_is_renewed_ten_minutes_before_its_end_give_or_take_one(draw: float) -> None:
    assert 49 * MINUTE <= due(60 * MINUTE, draw) <= 51 * MINUTE


@given(draws)
def test_a_short_life_is_renewed_at_four_fifths(draw: float) -> None:
    assert 7.5 * MINUTE <= due(10 * MINUTE, draw) <= 8.5 * MINUTE


def test_the_border_is_at_fifty_minutes() -> None:
    assert due(50 * MINUTE) == 40 * MINUTE
    assert due(50 * MINUTE - timedelta(seconds=10)) == 0.8 * (50 * MINUTE - timedelta(seconds=10))


@given(lives, draws)
def test_it_is_always_due_after_now_and_before_the_end(life: timedelta, draw: float) -> None:
    assert timedelta(0) < due(life, draw) < life


@given(lives, draws)
def test_a_refresh_token_is_used_at_least_daily(life: timedelta, draw: float) -> None:
    assert due(life, draw) <= timedelta(days=1, minutes=1)


@given(st.integers(-400 * 86400, 400 * 86400), lives, draws)
def test_a_clock_that_was_set_leads_to_one_renewal_and_never_to_a_long_silence(
    jump: int, life: timedelta, draw: float
) -> None:
    now = NOW + timedelta(seconds=jump)
    assert next_due(RenewalFacts(NOW, NOW + life), now, draw) <= now + timedelta(days=1, minutes=3)


@given(st.integers(-400 * 86400, 400 * 86400))
def test_a_pause_ends_within_the_hour_whatever_the_clock_does(offset: int) -> None:
    facts = RenewalFacts(NOW, NOW + 60 * MINUTE, next_try=NOW + timedelta(seconds=offset))
    assert next_due(facts, NOW, 0.5) == min(NOW + timedelta(seconds=offset), NOW + timedelta(hours=1))


def test_the_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    pauses = [back_off(failures).total_seconds() for failures in (1, 2, 3, 8, 9, 1000)]
    assert pauses == [5, 10, 20, 640, 900, 900]


def test_the_provider_may_ask_for_a_pause_of_up_to_an_hour() -> None:
    assert back_off(1, timedelta(minutes=20)) == timedelta(minutes=20)
    assert back_off(1, timedelta(days=9)) == timedelta(hours=1)
    assert back_off(9, timedelta(0)) == timedelta(seconds=5)


@given(st.text(max_size=20), st.integers(0, 2**40))
def test_the_draw_stays_for_a_version(service: str, version: int) -> None:
    draw = draw_for(ServiceId(service), version)
    assert 0 <= draw <= 1
    assert draw == draw_for(ServiceId(service), version)


def test_the_draws_of_a_thousand_services_are_spread() -> None:
    tenths = {int(draw_for(ServiceId(f"pop.{number}"), 1) * 10) for number in range(1000)}
    assert tenths >= set(range(10))
