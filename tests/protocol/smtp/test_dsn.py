import pytest
from hypothesis import given, strategies as st

from mailbearer.protocol.smtp import dsn


@pytest.mark.parametrize(
    ("value", "words"),
    [("NEVER", ("NEVER",)), ("success,Delay", ("SUCCESS", "DELAY")), ("NEVER,DELAY", None), ("", None),
     ("DELAY,DELAY", None)],
)  # fmt: skip
def test_notify_is_never_or_others_once(value: str, words: tuple[str, ...] | None) -> None:
    assert dsn.read_notify(value) == words


@pytest.mark.parametrize(
    ("value", "text"), [("a+2Bb", "a+b"), ("+41", "A"), ("+4", None), ("+0A", None), ("a=b", None), ("x" * 101, None)]
)
def test_an_envelope_identifier_is_decoded(value: str, text: str | None) -> None:
    assert dsn.read_envid(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("RFC822;a+40b", "rfc822;a@b"), ("rfc822", None), ("rfc822;", None), (";a", None), ("x;" + "a" * 500, None)],
)
def test_an_original_recipient_has_a_type(value: str, text: str | None) -> None:
    assert dsn.read_orcpt(value) == text


@given(st.text(max_size=60))
def test_what_is_read_can_stand_in_a_line(value: str) -> None:
    for found in (dsn.read_ret(value), dsn.read_envid(value), dsn.read_orcpt(value)):
        assert found is None or (found.isprintable() and found.isascii())
