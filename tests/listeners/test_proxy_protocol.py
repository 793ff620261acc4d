import ipaddress

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import RemoteProtocolError
from mailbearer.listeners.proxy_protocol import Proxied, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(addresses).to_bytes(2, "big") + addresses


V6 = ipaddress.ip_address("2001:db8::7").packed
GOOD = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 25\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 ::1 1 25\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ::1 ::1 1 1\r\n", ""),
    (version_2(0x21, 0x11, bytes([192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 25])), "192.0.2.7"),
    (version_2(0x21, 0x21, V6 + V6 + b"\0\1\0\x19" + b"\x04\0\1x"), "2001:db8::7"),
    (version_2(0x20, 0x00, b""), ""),
    (version_2(0x21, 0x31, b"x" * 216), ""),
]


@pytest.mark.parametrize(("header", "address"), GOOD)
def test_a_header_is_read_wherever_it_is_cut(header: bytes, address: str) -> None:
    assert read_proxy_header(header + b"EHLO") == Proxied(address, b"EHLO")
    assert all(read_proxy_header(header[:length]) is None for length in range(len(header)))


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO me\r\n",
        b"PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
        b"PROXY TCP4 ::1 ::1 1 1\r\n",
        b"PROXY TCP4 192.0.2.7" + b" " * 90,
        version_2(0x22, 0x11, b"x" * 12),
        version_2(0x21, 0x11, b"x" * 11),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_proxy_header(data)


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=300))
def test_any_bytes_are_a_header_or_not(begin: bytes, data: bytes) -> None:
    try:
        found = read_proxy_header(begin + data)
    except RemoteProtocolError:
        return
    assert found is None or (begin + data).endswith(found.rest)
