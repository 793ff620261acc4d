"""Bytes cut at any place: what every stream core must not notice."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from hypothesis import strategies as st

CUTS = st.lists(st.integers(0, 400), max_size=12)


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Give ``data`` cut at the offsets ``cuts``."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for begin, end in pairwise(places):
        yield data[begin:end]


def one_by_one(data: bytes) -> Iterator[bytes]:
    """Give ``data`` octet by octet."""
    return (data[place : place + 1] for place in range(len(data)))


def wire(*words: bytes) -> st.SearchStrategy[bytes]:
    """Draw bytes that are often near to the protocol: ``words`` and arbitrary bytes, one after the other."""
    part = st.one_of(st.sampled_from([*words, b"\r\n", b"\r", b"\n", b".", b" ", b"\r\n.\r\n"]), st.binary(max_size=12))
    return st.lists(part, max_size=40).map(b"".join)
