import json

import pytest
from hypothesis import given, strategies as st

from mailbearer.protocol.sasl.failures import Failure, parse_failure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(parse_failure(text), Failure)


@given(JSON, JSON, JSON)
def test_any_json_is_read(status: object, scope: object, configuration: object) -> None:
    text = json.dumps({"status": status, "scope": scope, "openid-configuration": configuration})
    failure = parse_failure(text)
    assert all(isinstance(value, str) for value in (failure.status, failure.scope, failure.openid_configuration))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}', "401"),
        ('{"status":400}', "400"),
        ('{"status":"invalid_token","openid-configuration":"https://issuer.example"}', "invalid_token"),
        ('{"status":true}', ""),
        ('{"status":1.5}', ""),
        ('{"status":' + "9" * 5000 + "}", ""),
        ("[" * 100_000, ""),
        ("[]", ""),
        ("", ""),
    ],
)
def test_the_status_is_found_as_word_or_number(text: str, status: str) -> None:
    assert parse_failure(text).status == status


def test_scope_and_configuration_are_found() -> None:
    text = '{"status":"invalid_token","scope":"mail","openid-configuration":"https://issuer.example"}'
    assert parse_failure(text) == Failure("invalid_token", "mail", "https://issuer.example")
