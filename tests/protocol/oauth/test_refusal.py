from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import (
    AuthorizationError,
    AuthorizationUnavailableError,
    GrantRefusedError,
    Refusal,
)
from mailbearer.model.http import HttpResponse
from mailbearer.protocol.oauth.refusal import (
    MAX_NUMBERS,
    MAX_RETRY_AFTER,
    error_for,
    read_http_date,
    read_refusal,
    read_retry_after,
    refusal_in,
)
from tests.protocol.oauth.answers import NOW, answer, responses

# the form of Microsoft's refusals
MICROSOFT_REVOKED = {
    "error": "invalid_grant",
    "error_description": "AADSTS50173: The provided grant has expired due to it being revoked, a fresh auth token is "
    "needed. The user might have changed or reset their password. The grant was issued on "
    "'2026-08-01T09:00:00.0000000Z' and the TokensValidFrom date (before which tokens are not valid) for this user is "
    "'2026-11-20T08:00:00.0000000Z'. Trace ID: 0ac3bd77-1c35-4d06-9d9e-4f2b0c6d3a00 Correlation ID: "
    "7c22a1d5-0a4e-4f6d-8f5c-3c0e5d1c9b11 Timestamp: 2026-11-23 11:59:59Z",
    "error_codes": [50173],
    "timestamp": "2026-11-23 11:59:59Z",
    "trace_id": "0ac3bd77-1c35-4d06-9d9e-4f2b0c6d3a00",
    "correlation_id": "7c22a1d5-0a4e-4f6d-8f5c-3c0e5d1c9b11",
    "error_uri": "https://login.microsoftonline.com/error?code=50173",
    "suberror": "bad_token",
}


@given(responses)
def test_any_answer_gives_a_bounded_refusal_and_our_error(response: HttpResponse) -> None:
    refusal = read_refusal(response, now=NOW)
    assert len(refusal.error) <= 100
    assert len(refusal.description) <= 1_000
    assert len(refusal.trace) <= 100
    assert len(refusal.numbers) <= MAX_NUMBERS
    assert refusal.retry_after is None or 0 <= refusal.retry_after <= MAX_RETRY_AFTER
    assert isinstance(error_for(refusal), AuthorizationError)


@given(responses)
def test_a_5xx_is_never_a_refusal(response: HttpResponse) -> None:
    refusal = read_refusal(HttpResponse(503, response.headers, response.body), now=NOW)
    assert isinstance(error_for(refusal), AuthorizationUnavailableError)


def test_microsoft_tells_number_trace_and_suberror() -> None:
    refusal = read_refusal(answer(MICROSOFT_REVOKED, 400), now=NOW)
    assert refusal.error == "invalid_grant"
    assert refusal.status == 400
    assert refusal.numbers == (50173,)
    assert refusal.subtype == "bad_token"
    assert refusal.trace == "0ac3bd77-1c35-4d06-9d9e-4f2b0c6d3a00"
    assert refusal.description == MICROSOFT_REVOKED["error_description"]


def test_number_and_trace_are_found_in_the_text_alone() -> None:
    refusal = refusal_in({"error": "invalid_grant", "error_description": MICROSOFT_REVOKED["error_description"]})
    assert refusal.numbers == (50173,)
    assert refusal.trace == "0ac3bd77-1c35-4d06-9d9e-4f2b0c6d3a00"


def test_odd_numbers_are_passed_over() -> None:
    numbers = [True, 0, -5, 7, 10**40, "50057", None, 70043, 70043]
    assert refusal_in({"error_codes": numbers, "error_description": "AADSTS50057: off"}).numbers == (70043, 50057)


def test_google_tells_its_subtype() -> None:
    body = {
        "error": "invalid_grant",
        "error_description": "reauth related error (invalid_rapt)",
        "error_subtype": "invalid_rapt",
    }
    refusal = read_refusal(answer(body, 400), now=NOW)
    assert refusal.subtype == "invalid_rapt"
    assert isinstance(error_for(refusal), GrantRefusedError)


def test_google_nests_its_other_errors() -> None:
    body = {"error": {"code": 403, "message": "Request had insufficient scopes.", "status": "PERMISSION_DENIED"}}
    refusal = read_refusal(answer(body, 403), now=NOW)
    assert (refusal.error, refusal.description) == ("PERMISSION_DENIED", "Request had insufficient scopes.")
    assert error_for(refusal).code == "MB-T99"


def test_google_spells_error_code_when_asked_too_often() -> None:
    error = error_for(read_refusal(answer({"error_code": "rate_limit_exceeded"}, 403), now=NOW))
    assert isinstance(error, AuthorizationUnavailableError)


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("invalid_grant", "MB-T07"),
        ("interaction_required", "MB-T07"),
        ("consent_required", "MB-T07"),
        ("login_required", "MB-T07"),
    ],
)
def test_what_only_a_new_sign_in_cures_is_a_refused_grant(word: str, code: str) -> None:
    error = error_for(Refusal(error=word, status=400))
    assert type(error) is GrantRefusedError
    assert error.code == code
    assert error.permanent


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("invalid_client", "MB-T14"),
        ("deleted_client", "MB-T14"),
        ("unauthorized_client", "MB-T34"),
        ("invalid_scope", "MB-T19"),
        ("access_denied", "MB-T03"),
        ("authorization_declined", "MB-T03"),
        ("expired_token", "MB-T02"),
        ("bad_verification_code", "MB-T02"),
        ("redirect_uri_mismatch", "MB-T16"),
        ("invalid_request", "MB-T35"),
        ("unsupported_grant_type", "MB-T35"),
        ("invalid_resource", "MB-T35"),
        ("invalid_target", "MB-T35"),
        ("never_heard_of", "MB-T99"),
    ],
)
def test_other_words_leave_the_grant_alone(word: str, code: str) -> None:
    error = error_for(Refusal(error=word, status=400, description="Its own words."))
    assert type(error) is AuthorizationError
    assert error.code == code
    assert error.detail == "Its own words."


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_passing_faults_are_unavailable(status: int) -> None:
    error = error_for(Refusal(error="invalid_grant", status=status))
    assert type(error) is AuthorizationUnavailableError
    assert error.code == "MB-T24"


@pytest.mark.parametrize("word", ["temporarily_unavailable", "server_error", "internal_failure", "slow_down"])
def test_passing_words_are_unavailable_whatever_the_status(word: str) -> None:
    assert error_for(Refusal(error=word, status=400)).code == "MB-T24"


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404])
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"error":""}', b'{"error":7}'])
def test_a_refusal_without_a_word_is_a_strange_answer_not_a_refusal(status: int, body: bytes) -> None:
    error = error_for(read_refusal(answer(body, status), now=NOW))
    assert type(error) is AuthorizationUnavailableError
    assert error.code == "MB-T44"
    assert str(status) in str(error.fields["problem"])


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "1//0gAbCdEfGhIjKlMnOpQrStUvWxYz-0123456789",
        "0.AXoA1234567890abcdefABCDEF_-.AgABAAEAAAD123456789",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "2c7b1a9e-6a4e-4b8e-9d3c-1f2e3d4c5b6a.7d1c2b3a-0f9e-4d8c-8b7a-6f5e4d3c2b1a",  # Keycloak's codes
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    ],
)
def test_a_token_that_the_server_repeats_is_not_kept(token: str) -> None:
    refusal = refusal_in({"error": "invalid_grant", "error_description": f"Invalid refresh token: {token} (expired)"})
    longest = max(token.split("."), key=len)
    assert longest not in refusal.description
    assert refusal.description.startswith("Invalid refresh token: ")


@pytest.mark.parametrize(
    "text",
    [
        "AADSTS700016: Application with identifier '6731de76-14a6-49ae-97bc-6eba6914391e' was not found in the tenant",
        "Invalid device flow scope: https://mail.google.com/",
        "AADSTS500011: The resource principal named https://outlook.office365.com was not found in the tenant",
        "The account scanner-floor2@harbourclinic.example is disabled; see https://login.microsoftonline.com/error?code=50057",
    ],
)
def test_words_addresses_and_guids_are_kept(text: str) -> None:
    assert refusal_in({"error": "x", "error_description": text}).description == text


def test_the_fields_fill_the_sentences() -> None:
    error = error_for(Refusal(error="never_heard_of", status=400, description="Something new."))
    assert error.fields == {"word": "never_heard_of", "text": "Something new.", "problem": "Something new."}
    assert error_for(Refusal(status=503)).fields["problem"] == "HTTP 503"


@given(st.text())
def test_any_retry_after_is_bounded_or_none(text: str) -> None:
    seconds = read_retry_after(text, now=NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(st.integers(0, MAX_RETRY_AFTER.__trunc__()))
def test_retry_after_as_seconds_and_as_date_say_the_same(seconds: int) -> None:
    date = (NOW + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert read_retry_after(str(seconds), now=NOW) == seconds
    assert read_retry_after(date, now=NOW) == seconds
    assert read_retry_after(date, now=None) is None


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    assert read_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now=NOW) == 0


def test_an_absurd_wait_is_cut_to_a_day() -> None:
    assert read_retry_after("999999999999", now=NOW) == MAX_RETRY_AFTER
    assert read_retry_after("9999999999999999", now=NOW) is None


def test_the_date_of_rfc_9110_is_read() -> None:
    assert read_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:00:00 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert read_http_date(text) is None


def test_a_leap_second_is_a_date() -> None:
    assert read_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)
