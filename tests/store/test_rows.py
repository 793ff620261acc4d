from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import StoreError
from mailbearer.model.grant import Trouble
from mailbearer.store import rows
from mailbearer.store.rows import Row

times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]))
troubles = st.builds(
    Trouble,
    code=st.text(),
    since=times,
    fields=st.dictionaries(st.text(st.characters(codec=None)), st.text()),
    provider_error=st.text(),
    number=st.none() | st.integers(),
    trace=st.text(),
    detail=st.text(st.characters(codec=None)),
    next_try=st.none() | times,
)
READERS = [Row.text, Row.number, Row.blob, Row.maybe_blob, Row.time, Row.maybe_time, Row.texts, Row.trouble]


class Word(StrEnum):
    ONE = "one"


@given(times)
def test_a_time_comes_back_to_the_microsecond(time: datetime) -> None:
    assert rows.from_micros(rows.to_micros(time)) == time
    assert Row([rows.maybe_micros(time)]).maybe_time() == time


@given(troubles)
def test_a_trouble_comes_back_whole(trouble: Trouble) -> None:
    assert Row([rows.trouble_text(trouble)]).trouble() == trouble


def test_nothing_comes_back_as_nothing() -> None:
    assert rows.maybe_micros(None) is None
    row = Row(["", None, None])
    assert row.trouble() is None
    assert row.maybe_time() is None
    assert row.maybe_blob() is None


@given(st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text() | st.binary(), st.sampled_from(READERS))
def test_any_column_reads_or_is_damaged(value: rows.Value, reader: object) -> None:
    try:
        reader(Row([value]))  # type: ignore[operator]
    except StoreError as error:
        assert error.code == "MB-D02"


@pytest.mark.parametrize("kept", ["[1]", "{}", "null", '["a", 1]', "nonsense", '{"code": "x", "since": true}'])
def test_json_of_another_shape_is_damaged(kept: str) -> None:
    for reader in (Row.texts, Row.trouble):
        with pytest.raises(StoreError, match="MB-D02"):
            reader(Row([kept]))


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_a_time_beyond_all_times_is_damaged(number: int) -> None:
    with pytest.raises(StoreError, match="MB-D02"):
        Row([number]).time()


def test_a_span_beyond_all_spans_is_damaged() -> None:
    with pytest.raises(StoreError, match="MB-D02"):
        rows.to_span(10**30)


def test_a_word_that_is_none_is_damaged() -> None:
    assert rows.word_of(Word, "one") is Word.ONE
    with pytest.raises(StoreError, match="MB-D02"):
        rows.word_of(Word, "two")


@given(st.text(st.characters(codec=None)))
def test_what_is_printable_can_be_stored(text: str) -> None:
    assert rows.printable(text).encode() is not None
