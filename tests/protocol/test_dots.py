import re

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError
from mailbearer.protocol.dots import DotStuffer, DotUnstuffer
from tests.protocol.cuts import CUTS, one_by_one, pieces, wire

MESSAGES = wire(b"Subject: x", b"..", b"\r\n.", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n").map(
    lambda message: message.replace(b"\0", b"")
)


def stuffed(message: bytes, cuts: list[int]) -> bytes:
    stuffer = DotStuffer()
    return b"".join(stuffer.feed(piece) for piece in pieces(message, cuts)) + stuffer.finish()


def unstuffed(data: bytes, cuts: list[int]) -> tuple[bytes, bool, bytes]:
    unstuffer = DotUnstuffer()
    message = b"".join(unstuffer.feed(piece) for piece in pieces(data, cuts))
    return message, unstuffer.done, unstuffer.rest


def normalised(message: bytes) -> bytes:
    text = re.sub(rb"\r(?!\n)", b" ", message)
    text = re.sub(rb"\r\n|\n", b"\r\n", text)
    return text if not text or text.endswith(b"\r\n") else text + b"\r\n"


@given(MESSAGES, CUTS, CUTS)
def test_a_message_arrives_with_its_line_ends_made_crlf(message: bytes, cuts: list[int], more: list[int]) -> None:
    assert unstuffed(stuffed(message, cuts) + b"QUIT\r\n", more) == (normalised(message), True, b"QUIT\r\n")


@given(MESSAGES, CUTS)
def test_nothing_sent_can_be_taken_for_an_end_but_the_end(message: bytes, cuts: list[int]) -> None:
    data = stuffed(message, cuts)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", data)
    assert data.endswith(b".\r\n")
    assert b"." not in data.split(b"\r\n")[:-2]


@given(MESSAGES, CUTS)
def test_where_a_message_is_cut_changes_nothing(message: bytes, cuts: list[int]) -> None:
    assert stuffed(message, cuts) == stuffed(message, list(range(len(message))))


@given(MESSAGES, CUTS)
def test_where_the_wire_form_is_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    unstuffer = DotUnstuffer()
    slowly = b"".join(map(unstuffer.feed, one_by_one(data)))
    message, done, rest = unstuffed(data, cuts)
    assert (message, done, rest) == (slowly, unstuffer.done, unstuffer.rest)


@given(st.binary(max_size=200), CUTS)
def test_at_most_four_octets_are_held_back(data: bytes, cuts: list[int]) -> None:
    message, done, rest = unstuffed(data, cuts)
    dots = data.count(b"\r\n.") + data.startswith(b".")
    assert done or len(message) >= len(data) - 4 - dots
    assert done or not rest


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n", b"\n.\r"]
)
def test_no_other_sequence_ends_a_message(end: bytes) -> None:
    message, done, _ = unstuffed(b"a" + end + b"MAIL FROM:<evil@example.org>\r\n.\r\n", [])
    assert done
    assert message.endswith(b"MAIL FROM:<evil@example.org>\r\n")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b".\r\n", b""),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
    ],
)
def test_the_dot_that_was_added_is_taken_away(data: bytes, message: bytes) -> None:
    assert unstuffed(data, []) == (message, True, b"")
    assert stuffed(message, []) == data


def test_bytes_after_the_end_are_kept_for_who_comes_next() -> None:
    unstuffer = DotUnstuffer()
    assert unstuffer.feed(b".\r\nQU") == b""
    assert unstuffer.feed(b"IT\r\n") == b""
    assert unstuffer.rest == b"QUIT\r\n"


def test_nul_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        DotStuffer().feed(b"a\0b")
