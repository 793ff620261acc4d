"""Reading what a stranger may send as form, header or SASL response."""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import AuthorizationError
from mailbearer.practice.bearer import failure, read_claim
from mailbearer.practice.forms import BODY_MAX, FIELDS_MAX, bearer_in, client_in, parse_form, read_body

NAMES = st.text(min_size=1, max_size=20)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_an_invalid_request(data: bytes) -> None:
    try:
        form = parse_form(data)
    except AuthorizationError as refusal:
        assert refusal.refusal.error == "invalid_request"
    else:
        assert all(isinstance(name, str) and value for name, value in form.items())


@given(st.dictionaries(NAMES, NAMES, max_size=FIELDS_MAX))
def test_what_was_encoded_is_read(fields: dict[str, str]) -> None:
    assert parse_form(urlencode(fields).encode()) == fields


def test_field_without_value_counts_as_left_out() -> None:
    assert parse_form(b"scope=&client_id=x") == {"client_id": "x"}


@pytest.mark.parametrize("form", [b"a=1&a=2", b"a=&a=", b"&".join([b"a=1"] * 33), b"a=%ff", b"a=\xff"])
def test_form_that_cannot_be_trusted_is_refused(form: bytes) -> None:
    with pytest.raises(AuthorizationError):
        parse_form(form)


@given(st.text(max_size=60))
def test_any_header_gives_a_client_or_a_refusal(header: str) -> None:
    for scheme in ("", "Basic "):
        try:
            client_in(scheme + header, {})
        except AuthorizationError as refusal:
            assert refusal.refusal.error == "invalid_client"


def test_bearer_scheme_is_read_in_any_case() -> None:
    assert bearer_in("bEaReR abc") == "abc"
    assert bearer_in("Basic abc") == bearer_in("") == ""


async def test_body_ends_at_the_limit() -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1024):
            yield b"x" * 1024

    assert len(await read_body(chunks(BODY_MAX))) == BODY_MAX
    with pytest.raises(AuthorizationError) as refused:
        await read_body(chunks(BODY_MAX + 1024))
    assert refused.value.refusal.status == 413


@given(st.sampled_from(["XOAUTH2", "OAUTHBEARER"]), st.binary(max_size=100))
def test_any_response_is_a_claim_or_nothing(mechanism: str, response: bytes) -> None:
    claim = read_claim(mechanism, response)
    assert claim is None or response.count(b"\x01") >= 2


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("XOAUTH2", b"user=a@b\x01auth=Bearer t.t\x01\x01"),
        ("XOAUTH2", b"user=a@b\x01auth=bearer t.t\x01\x01"),
        ("OAUTHBEARER", b"n,a=a@b,\x01host=h\x01port=1\x01auth=Bearer t.t\x01\x01"),
        ("OAUTHBEARER", b"n,a=a@b,\x01auth=Bearer t.t\x01\x01"),
    ],
)
def test_claim_is_read(mechanism: str, response: bytes) -> None:
    claim = read_claim(mechanism, response)
    assert claim is not None
    assert (claim.user, claim.token.reveal()) == ("a@b", "t.t")


def test_escaped_name_is_read() -> None:
    claim = read_claim("OAUTHBEARER", b"n,a=a=2Cb=3D2C,\x01auth=Bearer t\x01\x01")
    assert claim is not None
    assert claim.user == "a,b=2C"


@pytest.mark.parametrize(
    "response", [b"", b"user=\xff\x01auth=Bearer t\x01\x01", b"user=a\x01auth=Bearer \xc3\xbc\x01\x01"]
)
def test_claim_that_cannot_be_read_is_none(response: bytes) -> None:
    assert read_claim("XOAUTH2", response) is None


def test_refusals_are_told_in_the_words_of_dovecot() -> None:
    assert failure("XOAUTH2", "insufficient_scope", scope="s", issuer="i") == (
        b'{"status": "403", "schemes": "bearer", "scope": "s"}'
    )
    assert b'"status": "400"' in failure("XOAUTH2", "invalid_request", scope="s", issuer="i")
    assert b'"status": "insufficient_scope"' in failure("OAUTHBEARER", "insufficient_scope", scope="s", issuer="i")
