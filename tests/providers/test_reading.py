import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError
from mailbearer.providers.reading import Record, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
GETTERS = ["text", "flag", "number", "items", "texts", "numbers", "record", "mapping"]


@given(JSON, st.sampled_from(GETTERS))
def test_any_value_is_of_the_type_or_told_by_name(value: object, getter: str) -> None:
    record = Record({"field": value}, "entry")
    try:
        getattr(record, getter)("field")
    except InvalidInputError as error:
        assert "entry" in str(error)
        assert "field" in str(error)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nothing"])
def test_what_is_no_json_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match="catalogue"):
        parse(text, "catalogue")


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidInputError, match="page: title: it is missing"):
        Record({}, "page").text("title")


def test_a_field_that_nobody_reads_is_told() -> None:
    record = Record({"title": "a", "titel": "b"}, "page")
    record.text("title")
    with pytest.raises(InvalidInputError, match="titel: there is no such field"):
        record.finish()


@pytest.mark.parametrize("value", [-1, True, 1.5, "1"])
def test_a_number_is_whole_and_not_negative(value: object) -> None:
    with pytest.raises(InvalidInputError):
        Record({"n": value}, "page").number("n")


def test_null_is_as_good_as_missing() -> None:
    assert not Record({"n": None}, "page").has("n")


def test_an_entry_is_an_object() -> None:
    with pytest.raises(InvalidInputError, match="an object is wanted"):
        Record([], "page")
