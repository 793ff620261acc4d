import pytest
from hypothesis import given, strategies as st

from mailbearer.sending.submitted import BLIND_COPIES, HEADER_MAX, Header, HeaderSplit
from tests.protocol.cuts import CUTS, pieces

HEADER = b"Received: a\r\n\tby us (Mailbearer m)\r\nBCC: x@y.example,\r\n z@y.example\r\nFrom: a@b.example\r\nBcc:\r\n"


def split(message: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    splitting = HeaderSplit()
    parts = pieces(message, cuts)
    for piece in parts:
        if (found := splitting.feed(piece)) is not None:
            return found[0], found[1] + b"".join(parts)
    return splitting.finish()


@given(CUTS)
def test_header_and_rest_are_divided_wherever_they_are_cut(cuts: list[int]) -> None:
    assert split(HEADER + b"\r\nbody\r\n\r\nbody\r\n", cuts) == (HEADER, b"\r\nbody\r\n\r\nbody\r\n")


@given(CUTS, st.sampled_from([b"just text\r\n\r\nmore\r\n", b"text\r\n", b"x" * 600 + b"\r\n"]))
def test_a_message_without_header_is_a_body(cuts: list[int], message: bytes) -> None:
    assert split(message, cuts) == (b"", b"\r\n" + message)


@given(CUTS)
def test_a_message_that_begins_with_an_empty_line_has_no_header(cuts: list[int]) -> None:
    header, rest = split(b"\r\nFrom: x\r\n\r\nbody\r\n", cuts)
    assert header == b""
    assert rest.endswith(b"\r\nFrom: x\r\n\r\nbody\r\n")


def test_a_header_without_end_is_one() -> None:
    assert split(b"Subject: x\r\n", []) == (b"Subject: x\r\n", b"")
    assert split(b"Subject: x", []) == (b"Subject: x\r\n", b"")


def test_a_header_is_bounded() -> None:
    splitting = HeaderSplit()
    assert splitting.feed(b"X: " + b"x" * HEADER_MAX) is None
    assert splitting.too_long


def test_blind_copies_are_taken_out_and_nothing_else_changes() -> None:
    header = Header(HEADER)
    assert header.edited(header.without(*BLIND_COPIES)) == (
        b"Received: a\r\n\tby us (Mailbearer m)\r\nFrom: a@b.example\r\n"
    )
    assert header.edited([]) is header.text


def test_hops_and_marks_are_counted() -> None:
    header = Header(HEADER * 3)
    assert (header.hops, header.marks(b"(Mailbearer m)"), header.marks(b"other"), header.marks(b"")) == (3, 3, 0, 0)
    assert header.value(b"received") == b"a by us (Mailbearer m)"
    assert header.value(b"date") == b""


@pytest.mark.parametrize("name", [b"from", b"bcc"])
def test_fields_are_found_in_any_letters(name: bytes) -> None:
    assert Header(HEADER.upper()).has(name)
