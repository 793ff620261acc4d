import pytest
from hypothesis import given, strategies as st

from mailbearer.protocol.smtp.incoming import IncomingMessage
from tests.protocol.cuts import CUTS, pieces, wire


def taken(data: bytes, cuts: list[int], size_max: int = 10_000) -> tuple[bytes, IncomingMessage]:
    incoming = IncomingMessage(size_max)
    return b"".join(incoming.feed(piece) for piece in pieces(data, cuts)), incoming


@given(wire(b"line", b"\0"), CUTS, st.integers(0, 100))
def test_size_and_flaws_are_those_of_the_message_wherever_it_is_cut(
    data: bytes, cuts: list[int], size_max: int
) -> None:
    whole, _ = taken(data + b"\r\n.\r\n", [])
    message, incoming = taken(data + b"\r\n.\r\n", cuts, size_max)
    without_pairs = whole.replace(b"\r\n", b"")
    assert incoming.done
    assert message == whole[:size_max]
    assert (incoming.size, incoming.oversize) == (len(whole), len(whole) > size_max)
    assert incoming.stray == (b"\r" in without_pairs or b"\n" in without_pairs)
    assert incoming.nul == (b"\0" in whole)


@pytest.mark.parametrize(
    "data", [b"\ra\n\r\n.\r\n", b"a\nb\r\n.\r\n", b"a\rb\r\n.\r\n", b"\n\r\r\n.\r\n", b"a\n.\r\n\r\n.\r\n"]
)
def test_a_lone_cr_or_lf_is_told(data: bytes) -> None:
    assert taken(data, [])[1].stray


def test_what_came_behind_the_end_is_kept() -> None:
    assert taken(b"a\r\n.\r\nQUIT\r\n", [])[1].rest == b"QUIT\r\n"
