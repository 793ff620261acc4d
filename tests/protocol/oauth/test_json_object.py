import json
from math import isfinite

import pytest
from hypothesis import example, given, strategies as st

from mailbearer.errors import AuthorizationUnavailableError
from mailbearer.protocol.oauth.json_object import (
    MAX_ITEMS,
    MAX_TEXT,
    object_in,
    raw_text_in,
    read_object,
    seconds_in,
    shown,
    text_in,
    texts_in,
)
from tests.protocol.oauth.answers import bodies


@given(bodies | st.binary())
def test_any_bytes_give_an_object_or_our_error(body: bytes) -> None:
    try:
        value = read_object(body)
    except AuthorizationUnavailableError as error:
        assert error.code == "MB-T44"
    else:
        assert isinstance(value, dict)
        json.dumps(value, ensure_ascii=False).encode()


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text()))
def test_what_python_writes_is_read_back(value: dict[str, object]) -> None:
    assert read_object(json.dumps(value).encode()) == value
    assert read_object(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"{",
        b'{"a":1}{"b":2}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":' + b"1" * 5_000 + b"}",
        b'{"a":"\xc3\x28"}',
        b'{"a":"\\ud83d"}',
        b'{"\\udfff":1}',
        b"{'a':1}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 1_000_000,
        '{"a":1}'.encode("utf-16"),
    ],
)
def test_what_is_no_sound_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        read_object(body)
    assert caught.value.code == "MB-T44"
    assert caught.value.fields["problem"]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read_object(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_a_surrogate_pair_is_one_character() -> None:
    assert read_object(rb'{"a":"\ud83d\ude00"}') == {"a": "\N{GRINNING FACE}"}


@given(st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs"])))
def test_shown_text_is_one_bounded_line_that_can_be_encoded(text: str) -> None:
    line = shown(text)
    line.encode()
    assert len(line) <= MAX_TEXT
    assert not {"\n", "\r", "\x1b", "\x00", "\u202e", "\u2028"} & set(line)


def test_text_is_shown_without_control_characters() -> None:
    assert text_in({"a": " red\r\n\x1b[31malert\x00 "}, "a") == "red [31malert"


def test_a_value_of_another_kind_counts_as_missing() -> None:
    container = {"a": 1, "b": None, "c": ["x", 2, "y"], "d": {"e": "f"}, "g": "z"}
    assert [raw_text_in(container, name) for name in "abcdg"] == ["", "", "", "", "z"]
    assert [texts_in(container, name) for name in "abcdg"] == [(), (), ("x", "y"), (), ()]
    assert [object_in(container, name) for name in "abcdg"] == [{}, {}, {}, {"e": "f"}, {}]


def test_long_lists_are_cut() -> None:
    assert len(texts_in({"a": ["x"] * 100_000}, "a")) == MAX_ITEMS


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()))
@example("5\x1f")  # str.strip takes it away, float does not
def test_seconds_are_positive_and_finite_or_none(value: object) -> None:
    seconds = seconds_in({"expires_in": value}, "expires_in")
    assert seconds is None or (seconds > 0 and isfinite(seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600),
        (3599.5, 3599.5),
        ("3600", 3600),
        (" 3600.0 ", 3600),
        (0, None),
        (-1, None),
        ("0", None),
        ("-5", None),
        ("soon", None),
        ("1e5", None),
        ("٣", None),
        ("", None),
        (True, None),
        (None, None),
        ([3600], None),
        (10**400, None),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_seconds_come_as_number_or_as_text(value: object, seconds: float | None) -> None:
    assert seconds_in({"x": value}, "x") == seconds
