from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import (
    AuthorizationError,
    AuthorizationUnavailableError,
    GrantRefusedError,
    InvalidInputError,
    MailbearerError,
)
from mailbearer.model.grant import DeviceSignIn
from mailbearer.model.http import HttpResponse
from mailbearer.model.secret import Secret
from mailbearer.protocol.oauth.client_auth import ClientAuth
from mailbearer.protocol.oauth.device import (
    MAX_BACKOFF,
    MAX_CODE_LIFETIME,
    MAX_INTERVAL,
    MIN_INTERVAL,
    Granted,
    KeepWaiting,
    backed_off,
    device_request,
    parse_device_response,
    poll_outcome,
    poll_request,
)
from tests.protocol.oauth.answers import NOW, answer, form, responses

FIVE = timedelta(seconds=5)
# RFC 8628 section 3.2
RFC_8628 = {
    "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://example.com/device",
    "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}
MICROSOFT = {
    "user_code": "F3PLF8ZDV",
    "device_code": "FAQABAAEAAAAmoFfGtYxvRrNriQdPKIZ-2b64dTFbGcP3J",
    "verification_uri": "https://microsoft.com/devicelogin",
    "expires_in": 900,
    "interval": 5,
    "message": "To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter the code "
    "F3PLF8ZDV to authenticate.",
}
GOOGLE = {
    "device_code": "4/4-GMMhmHCXhWEzkobqIHGG_EnNYYsAkukHspeYUk9E8",
    "user_code": "GQVQ-JKEC",
    "verification_url": "https://www.google.com/device",
    "expires_in": 1800,
    "interval": 5,
}


def test_the_request_of_rfc_8628_section_3_1() -> None:
    request = device_request(
        "https://server.example.com/device_authorization", ClientAuth("1406020730"), scopes=("example_scope",)
    )
    assert form(request) == {"client_id": "1406020730", "scope": "example_scope"}


def test_scopes_and_extra_parameters_are_sent() -> None:
    request = device_request(
        "https://a.example/device",
        ClientAuth("me"),
        scopes=("a", "b"),
        separator=",",
        extra={"mkt": "de-DE", "scope": "z"},
    )
    assert form(request) == {"client_id": "me", "scope": "a,b", "mkt": "de-DE"}


def test_the_poll_of_rfc_8628_section_3_4() -> None:
    code = Secret("GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS")
    assert form(poll_request("https://server.example.com/token", ClientAuth("1406020730"), code)) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
        "client_id": "1406020730",
    }


@given(responses)
def test_any_answer_gives_a_sign_in_or_our_error(response: HttpResponse) -> None:
    try:
        sign_in, expires_at = parse_device_response(response, now=NOW)
    except MailbearerError as error:
        assert error.code.startswith("MB-T")
    else:
        assert sign_in.device_code
        assert sign_in.user_code
        assert MIN_INTERVAL <= sign_in.interval <= MAX_INTERVAL
        assert NOW <= expires_at <= NOW + MAX_CODE_LIFETIME


def test_the_answer_of_rfc_8628_is_read() -> None:
    sign_in, expires_at = parse_device_response(answer(RFC_8628), now=NOW)
    assert expires_at == NOW + timedelta(minutes=30)
    assert sign_in == DeviceSignIn(
        device_code=Secret("GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS"),
        user_code="WDJB-MJHT",
        verification_uri="https://example.com/device",
        verification_uri_complete="https://example.com/device?user_code=WDJB-MJHT",
        interval=FIVE,
    )


def test_microsoft_has_no_complete_address_but_a_message() -> None:
    sign_in, _ = parse_device_response(answer(MICROSOFT), now=NOW)
    assert sign_in.verification_uri_complete == ""
    assert sign_in.message == MICROSOFT["message"]


def test_google_spells_the_address_its_own_way() -> None:
    sign_in, _ = parse_device_response(answer(GOOGLE), now=NOW)
    assert sign_in.verification_uri == "https://www.google.com/device"


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [(None, 5), (5, 5), ("7", 7), (0, 5), (-3, 5), (0.1, 1), (True, 5), (10**12, 300), ("soon", 5)],
)
def test_an_interval_may_be_missing_or_absurd(interval: object, seconds: float) -> None:
    sign_in, _ = parse_device_response(answer({**RFC_8628, "interval": interval}), now=NOW)
    assert sign_in.interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (None, timedelta(minutes=15)),
        ("600", timedelta(minutes=10)),
        (-1, timedelta(minutes=15)),
        (10**14, timedelta(days=1)),
    ],
)
def test_the_end_of_a_code_may_be_missing_or_absurd(expires_in: object, lifetime: timedelta) -> None:
    assert parse_device_response(answer({**RFC_8628, "expires_in": expires_in}), now=NOW)[1] == NOW + lifetime


@pytest.mark.parametrize(
    "odd",
    [
        {"device_code": None},
        {"device_code": "a\nb"},
        {"device_code": 7},
        {"user_code": ""},
        {"user_code": 7},
        {"user_code": "X" * 65},
        {"verification_uri": None},
        {"verification_uri": ["https://example.com/device"]},
    ],
)
def test_an_answer_without_its_parts_is_strange(odd: dict[str, object]) -> None:
    with pytest.raises(AuthorizationUnavailableError) as caught:
        parse_device_response(answer({**RFC_8628, **odd}), now=NOW)
    assert caught.value.code == "MB-T44"


@pytest.mark.parametrize("page", ["http://example.com/device", "javascript:alert(1)", "https://a@b/device"])
def test_a_page_that_is_not_https_is_not_shown(page: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_device_response(answer({**RFC_8628, "verification_uri": page}), now=NOW)
    assert caught.value.code == "MB-T46"
    sign_in, _ = parse_device_response(answer({**RFC_8628, "verification_uri_complete": page}), now=NOW)
    assert sign_in.verification_uri_complete == ""


def test_control_characters_in_a_user_code_do_not_reach_the_terminal() -> None:
    sign_in, _ = parse_device_response(answer({**RFC_8628, "user_code": "AB\x1b[2JCD"}), now=NOW)
    assert sign_in.user_code == "AB [2JCD"


def test_google_refuses_mail_by_code() -> None:
    content = {"error": "invalid_scope", "error_description": "Invalid device flow scope: https://mail.google.com/"}
    with pytest.raises(AuthorizationError) as caught:
        parse_device_response(answer(content, 400), now=NOW)
    assert caught.value.code == "MB-T19"
    assert caught.value.refusal.description == "Invalid device flow scope: https://mail.google.com/"


def test_a_refusal_with_status_200_is_a_refusal() -> None:
    with pytest.raises(AuthorizationError) as caught:
        parse_device_response(answer({"error": "unauthorized_client"}), now=NOW)
    assert caught.value.code == "MB-T34"


@given(responses, st.integers(1, 300))
def test_any_answer_to_a_poll_gives_an_outcome_or_our_error(response: HttpResponse, seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    try:
        outcome = poll_outcome(response, interval=interval, now=NOW)
    except AuthorizationError as error:
        assert not isinstance(error, AuthorizationUnavailableError)
    else:
        assert isinstance(outcome, Granted) or outcome.interval >= interval


def test_tokens_end_the_waiting() -> None:
    outcome = poll_outcome(
        answer({"access_token": "a"}), interval=FIVE, now=NOW, default_lifetime=timedelta(minutes=30)
    )
    assert isinstance(outcome, Granted)
    assert outcome.tokens.expires_at == NOW + timedelta(minutes=30)


@pytest.mark.parametrize("status", [200, 400, 403, 428, 429, 500])
def test_pending_means_the_same_pace_whatever_the_status(status: int) -> None:
    pending = answer({"error": "authorization_pending"}, status)
    assert poll_outcome(pending, interval=FIVE, now=NOW) == KeepWaiting(FIVE)


@pytest.mark.parametrize("status", [400, 403, 429])
def test_slow_down_adds_five_seconds_for_good(status: int) -> None:
    slow_down = answer({"error": "slow_down"}, status)
    assert poll_outcome(slow_down, interval=FIVE, now=NOW) == KeepWaiting(timedelta(seconds=10))


@pytest.mark.parametrize("response", [answer(b"", 503), answer(b"<html>"), answer(b"", 400), answer({})])
def test_an_outage_doubles_the_interval(response: HttpResponse) -> None:
    assert poll_outcome(response, interval=FIVE, now=NOW) == KeepWaiting(timedelta(seconds=10))


def test_retry_after_is_obeyed_within_reason() -> None:
    assert poll_outcome(answer(b"", 503, retry_after="90"), interval=FIVE, now=NOW) == KeepWaiting(
        timedelta(seconds=90)
    )
    assert poll_outcome(answer(b"", 503, retry_after="9000"), interval=FIVE, now=NOW) == KeepWaiting(MAX_INTERVAL)


@given(st.integers(1, 300))
def test_backing_off_doubles_up_to_a_minute_and_never_speeds_up(seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    assert interval <= backed_off(interval) <= max(interval, MAX_BACKOFF)
    assert backed_off(interval) in {interval, interval * 2, MAX_BACKOFF}


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("access_denied", "MB-T03"),
        ("authorization_declined", "MB-T03"),
        ("expired_token", "MB-T02"),
        ("bad_verification_code", "MB-T02"),
        ("invalid_client", "MB-T14"),
    ],
)
def test_every_other_word_ends_the_polling(word: str, code: str) -> None:
    with pytest.raises(AuthorizationError) as caught:
        poll_outcome(answer({"error": word}, 400), interval=FIVE, now=NOW)
    assert caught.value.code == code


def test_microsoft_waits_with_a_number() -> None:
    content = {"error": "authorization_pending", "error_description": "AADSTS70016: pending", "error_codes": [70016]}
    assert poll_outcome(answer(content, 400), interval=FIVE, now=NOW) == KeepWaiting(FIVE)


def test_a_device_code_that_the_server_forgot_is_refused() -> None:
    with pytest.raises(GrantRefusedError):
        poll_outcome(answer({"error": "invalid_grant"}, 400), interval=FIVE, now=NOW)
