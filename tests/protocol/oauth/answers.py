"""Answers of authorization servers, well-formed, odd and broken, for the tests of this folder."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from hypothesis import strategies as st

from mailbearer.model.http import HttpRequest, HttpResponse

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=30)
)
_NAMES = st.sampled_from([
    "access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope", "error", "error_description",
    "error_codes", "error_code", "error_subtype", "suberror", "trace_id", "correlation_id", "status", "message",
    "device_code", "user_code", "verification_uri", "verification_url", "verification_uri_complete", "interval",
    "issuer", "token_endpoint", "authorization_endpoint", "device_authorization_endpoint", "revocation_endpoint",
    "userinfo_endpoint", "scopes_supported", "email", "email_verified", "preferred_username", "upn",
])  # fmt: skip
_VALUES = st.recursive(
    _SCALARS
    | st.sampled_from([
        "invalid_grant", "authorization_pending", "slow_down", "Bearer", "mac", "3600", "https://login.example",
        "http://127.0.0.1:8080/device", "https://[half", "person@example.com", "AADSTS700082: idle", "\ud800",
    ]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
_OBJECTS = st.dictionaries(_NAMES | st.text(max_size=10), _VALUES, max_size=12)

statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 408, 428, 429, 500, 503]) | st.integers(100, 599)
bodies = (
    st.binary(max_size=200)
    | _OBJECTS.map(lambda value: json.dumps(value).encode())
    | _VALUES.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([
        b"", b"{}", b"[]", b"null", b'{"a":1,"a":2}', b'{"expires_in":NaN}', b'{"expires_in":-Infinity}',
        b'{"access_token":"a","expires_in":' + b"9" * 310 + b"}", b'{"access_token":"a","expires_in":1e999}',
        b'{"expires_in":' + b"9" * 5_000 + b"}", b'{"error":"\xff\xfe"}', b'{"access_token":"\\ud800"}',
        b"[" * 100_000, b'{"error":' * 50_000, b'{"error":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b"<html>Please sign in to the guest network</html>", b'\xef\xbb\xbf{"error":"invalid_grant"}',
    ])
)  # fmt: skip
headers = st.fixed_dictionaries({}, optional={"retry-after": st.text(max_size=30) | st.integers().map(str)})
responses = st.builds(HttpResponse, statuses, headers, bodies)


def answer(content: object, status: int = 200, **header: str) -> HttpResponse:
    """Return an answer with a JSON body, or with these very bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return HttpResponse(status, {name.replace("_", "-"): value for name, value in header.items()}, body)


def form(request: HttpRequest) -> dict[str, str]:
    """Return the parameters in the body of a request."""
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)
