"""Every sentence can be said, and says nothing that it should not."""

import re

import pytest
from hypothesis import given, strategies as st

from mailbearer import errors, sentences
from mailbearer.sentences import SENTENCES, Sentence, actor, fields_of, fill, shown, what, why

CODES = sorted(SENTENCES)
ANYTHING = st.one_of(st.text(), st.integers(), st.none(), st.binary(max_size=20), st.floats())
MANUAL = "Token update failed. Please delete the token and obtain it again."
DESIGNED = (
    [f"MB-T{number:02}" for number in (*range(1, 34), 99)]
    + [f"MB-S{number:02}" for number in range(1, 28)]
    + [f"MB-P{number:02}" for number in range(1, 22)]
    + [f"MB-G{number:02}" for number in range(1, 9)]
    + [f"MB-W{number:02}" for number in range(1, 15)]
)


@pytest.mark.parametrize("code", CODES)
def test_every_code_reads_well_without_any_field(code: str) -> None:
    said = f"{what(code, {})} {why(code, {})}"
    assert not set("{}|") & set(said)
    assert "  " not in said
    assert what(code, {})[0].isupper()


@pytest.mark.parametrize("code", CODES)
def test_every_field_has_words_of_its_own_for_when_it_is_missing(code: str) -> None:
    without = set(re.findall(r"\{(\w+)\}", f"{SENTENCES[code].what} {SENTENCES[code].why}"))
    assert without <= set(sentences.NEUTRAL)


@pytest.mark.parametrize("code", CODES)
def test_every_field_is_shown_once_it_is_given(code: str) -> None:
    fields = {name: f"value-of-{name}" for name in fields_of(code)}
    said = f"{what(code, fields)} {why(code, fields)}"
    assert all(value in said for value in fields.values())


@pytest.mark.parametrize("code", CODES)
def test_the_voice_is_kept(code: str) -> None:
    sentence = SENTENCES[code]
    said = f"{sentence.what} {sentence.why}"
    assert sentence.what.endswith(".")
    assert sentence.why.endswith((".", "?"))
    assert "!" not in said
    assert "oops" not in said.lower()
    assert "please" not in said.lower() or sentence.what == MANUAL
    assert sentence.actor in sentences.ACTORS


@pytest.mark.parametrize("code", DESIGNED)
def test_every_row_of_the_design_has_its_sentence(code: str) -> None:
    assert code in SENTENCES


@pytest.mark.parametrize("code", ["MB-T07", "MB-T08", "MB-T09", "MB-T10", "MB-T30", "MB-T39", "MB-T42"])
def test_a_token_that_cannot_be_renewed_is_told_in_the_words_of_the_manual(code: str) -> None:
    assert what(code, {}) == MANUAL


@given(st.sampled_from(CODES), st.dictionaries(st.sampled_from(["provider", "host", "account", "problem"]), ANYTHING))
def test_no_field_breaks_a_sentence(code: str, fields: dict[str, object]) -> None:
    assert what(code, fields)
    assert isinstance(why(code, fields), str)


@given(st.text())
def test_a_shown_value_is_short_and_all_of_it_is_visible(value: str) -> None:
    said = shown(value)
    assert said.isprintable()
    assert len(said) <= sentences.VALUE_LIMIT * 10  # one character may be written as ten


def test_a_long_value_is_cut() -> None:
    assert shown("x" * 1000) == "x" * 299 + "…"


def test_a_line_break_in_a_value_is_written_out() -> None:
    assert shown("250 ok\r\nMB-T01\x1b[2J\u202e") == "250 ok\\r\\nMB-T01\\x1b[2J\\u202e"


def test_a_field_in_a_value_is_not_filled_in() -> None:
    assert fill("{host} says {reply}", {"host": "{reply}", "reply": "no"}) == "{reply} says no"


def test_neutral_words_begin_a_sentence_with_a_capital() -> None:
    assert (
        fill("{host} is old. {account} is new, {account}", {}) == "The server is old. The account is new, the account"
    )


def test_a_given_value_keeps_its_letters_at_the_beginning() -> None:
    assert fill("{account} left.", {"account": "ada@example.com"}) == "ada@example.com left."


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_field_reads_as_if_it_were_missing(nothing: object) -> None:
    assert fill("Ask {provider|them}.", {"provider": nothing}) == "Ask them."


def test_zero_is_a_value() -> None:
    assert fill("{count} left.", {"count": 0}) == "0 left."


def test_an_unknown_code_reads_as_an_internal_error() -> None:
    assert what("MB-X77", {}) == what("MB-W08", {})
    assert actor("MB-X77") == "administrator"
    assert fields_of("MB-X77") == ()


@pytest.mark.parametrize("number", sentences.POP_FROM_SMTP)
def test_a_pop_code_speaks_of_pop(number: int) -> None:
    smtp, pop = SENTENCES[f"MB-S{number:02}"], SENTENCES[f"MB-P{number:02}"]
    assert pop.actor == smtp.actor
    assert not re.search("Primary Server|587|465|mail-sending", f"{pop.what} {pop.why}")


def test_the_fields_of_a_code_stand_in_the_order_of_the_sentences() -> None:
    assert fields_of("MB-T06") == ("account", "other")


def test_an_error_says_its_sentence_and_its_code() -> None:
    error = errors.ConnectError("MB-S03", host="smtp.example.com", port=25)
    assert str(error) == "smtp.example.com refuses connections on port 25. (MB-S03)"
    assert error.actor == "administrator"
    assert "587" in error.hint


def test_a_sentence_is_a_plain_value() -> None:
    assert Sentence("a.", "b.", "nobody") == Sentence("a.", "b.", "nobody")
