from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import RemoteProtocolError
from mailbearer.protocol.pop3.responses import (
    UIDL_MAX,
    Capabilities,
    Stat,
    parse_list,
    parse_stat,
    parse_uidl,
    response_code,
)


@pytest.mark.parametrize("text", ["2 320", "2 320 octets in maildrop", "2  320"])
def test_stat_is_two_numbers(text: str) -> None:
    assert parse_stat(text) == Stat(2, 320)


@pytest.mark.parametrize("text", ["", "2", "-1 2", "2 x", "2 320x", "9999999999 1", "² 1", "1 2\n3"])
def test_a_stat_that_is_not_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_stat(text)
    assert caught.value.code == "MB-P30"


def test_a_line_of_list_is_two_numbers() -> None:
    assert parse_list(b"1 120") == (1, 120)
    assert parse_list(b"1 120 more") == (1, 120)


@pytest.mark.parametrize("line", [b"", b"1", b"a 1", b"1 1x"])
def test_a_line_of_list_that_is_not_is_refused(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_list(line)


@pytest.mark.parametrize("uid", ["QhdPYR:00WBw1Ph7x7", "!", "~" * 70, "x" * UIDL_MAX])
def test_a_line_of_uidl_is_a_number_and_a_unique_id(uid: str) -> None:
    assert parse_uidl(f"1 {uid}".encode()) == (1, uid)


@pytest.mark.parametrize("line", [b"", b"1", b"1 ", b"1 a b", b"1 \xff", b"1 a\0", b"x a", b"1 " + b"x" * 256])
def test_a_line_of_uidl_that_is_not_is_refused(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_uidl(line)


@given(st.binary(max_size=40))
def test_any_bytes_are_lines_or_our_error(line: bytes) -> None:
    for parse in (parse_list, parse_uidl, lambda data: parse_stat(data.decode("latin-1"))):
        with suppress(RemoteProtocolError):
            parse(line)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[IN-USE] Do you have another POP session running?", "IN-USE"),
        ("[SYS/TEMP] later", "SYS/TEMP"),
        ("[auth] no", "AUTH"),
        ("[] no", ""),
        ("no [AUTH]", ""),
        ("[AUTH", ""),
        ("", ""),
    ],
)
def test_the_response_code_is_found(text: str, code: str) -> None:
    assert response_code(text) == code


def test_capabilities_are_read() -> None:
    lines = [
        b"TOP",
        b"UIDL",
        b"SASL PLAIN XOAUTH2",
        b"sasl oauthbearer",
        b"RESP-CODES",
        b"AUTH-RESP-CODE",
        b"PIPELINING",
    ]
    assert Capabilities.of([*lines, b"USER", b"STLS", b"UTF8", b"EXPIRE 60", b"\xff", b""]) == Capabilities(
        stls=True,
        sasl=frozenset({"PLAIN", "XOAUTH2", "OAUTHBEARER"}),
        user=True,
        uidl=True,
        top=True,
        resp_codes=True,
        auth_resp_code=True,
        pipelining=True,
        utf8=True,
    )


@given(st.lists(st.binary(max_size=30)))
def test_any_lines_are_capabilities(lines: list[bytes]) -> None:
    assert isinstance(Capabilities.of(lines), Capabilities)
