from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import LimitExceededError, MailbearerError, RemoteProtocolError
from mailbearer.protocol.lines import BACKLOG_MAX, LineBuffer, excerpt, is_plain, without_controls
from tests.protocol.cuts import CUTS, one_by_one, pieces, wire


def lines_in(parts: Iterable[bytes], limit: int = 10) -> list[bytes | str]:
    buffer = LineBuffer(limit)
    found: list[bytes | str] = []
    try:
        for part in parts:
            buffer.feed(part)
            while (line := buffer.next_line()) is not None:
                found.append(line)
    except MailbearerError as error:
        found.append(error.code)
    return found


@given(wire(b"abc", b"0123456789"), CUTS)
def test_where_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert lines_in(pieces(data, cuts)) == lines_in(one_by_one(data))


@given(st.lists(st.binary(max_size=10).filter(lambda line: b"\r" not in line and b"\n" not in line)), CUTS)
def test_lines_come_out_as_they_went_in(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\r\n" for line in lines)
    assert lines_in(pieces(data, cuts)) == lines


@pytest.mark.parametrize("data", [b"a\n", b"\n", b"a\rb\r\n", b"\r\r\n", b"a\nb\r\n", b"a\r\n\n"])
def test_a_lone_cr_or_lf_is_an_error(data: bytes) -> None:
    assert lines_in([data])[-1] == "MB-S30"


def test_a_line_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert lines_in([b"0123456789\r\n"]) == [b"0123456789"]
    assert lines_in([b"0123456789a\r\n"]) == ["MB-S31"]
    assert lines_in([b"0123456789abc"]) == ["MB-S31"]


def test_the_limit_can_change_between_two_lines() -> None:
    buffer = LineBuffer(2)
    buffer.feed(b"ab\r\nabcd\r\n")
    assert buffer.next_line() == b"ab"
    buffer.limit = 4
    assert buffer.next_line() == b"abcd"


def test_take_gives_all_that_waits_and_forgets_it() -> None:
    buffer = LineBuffer(10)
    buffer.feed(b"ab\r\ncd")
    assert buffer.next_line() == b"ab"
    assert (len(buffer), buffer.take(), len(buffer), buffer.next_line()) == (2, b"cd", 0, None)


def test_what_waits_unread_is_bounded() -> None:
    buffer = LineBuffer(10)
    buffer.feed(bytes(BACKLOG_MAX))
    with pytest.raises(LimitExceededError):
        buffer.feed(b"x")
    assert len(buffer) == BACKLOG_MAX


def test_errors_carry_the_letter_of_the_protocol() -> None:
    buffer = LineBuffer(10, letter="P")
    buffer.feed(b"\n")
    with pytest.raises(RemoteProtocolError) as caught:
        buffer.next_line()
    assert caught.value.code == "MB-P30"


@given(st.text())
def test_text_without_controls_is_plain(text: str) -> None:
    assert is_plain(without_controls(text))
    assert is_plain(text) == (without_controls(text) == text)


@given(st.binary())
def test_an_excerpt_is_short_and_plain(line: bytes) -> None:
    assert is_plain(excerpt(line))
    assert len(excerpt(line)) <= 200
