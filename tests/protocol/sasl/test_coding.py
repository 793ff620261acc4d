import pytest
from hypothesis import given, strategies as st

from mailbearer.protocol.sasl.coding import AuthArguments, decode, encode, read_arguments


@given(st.binary())
def test_decoding_undoes_encoding(data: bytes) -> None:
    assert decode(encode(data)) == data
    assert b"\n" not in encode(data)


@given(st.binary())
def test_any_bytes_are_base64_or_not(text: bytes) -> None:
    data = decode(text)
    assert data is None or len(data) <= len(text)


@pytest.mark.parametrize("text", [b"Zg", b"Zg=", b"Z===", b"Zg==\n", b" Zg==", b"Zg==Zg==", b"Z-_="])
def test_nearly_base64_is_not(text: bytes) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (b"xoauth2", AuthArguments("XOAUTH2", None)),
        (b"PLAIN AGEAYg==", AuthArguments("PLAIN", b"\0a\0b")),
        (b"PLAIN  =", AuthArguments("PLAIN", b"")),
        (b"PLAIN !", None),
        (b"PLAIN a b", None),
        (b"", None),
        (b"PL\rAIN", None),
        (b"A" * 21, None),
    ],
)
def test_the_arguments_of_auth_are_read(text: bytes, arguments: AuthArguments | None) -> None:
    assert read_arguments(text) == arguments
