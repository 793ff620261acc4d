from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from mailbearer.admin import fields
from mailbearer.errors import InvalidInputError
from mailbearer.model.service import PopSettings, SmtpSettings, TlsMode

WORDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["1", "0", "99999", "5m", "tls", "oauth2", "none", "a@b.example", "mail.example", "::1", "folder:/x"]
    ),
)


@given(st.sampled_from(list(fields.SMTP_FIELDS)), WORDS)
def test_whatever_is_typed_for_smtp_is_taken_or_refused_by_name(name: str, text: str) -> None:
    _taken_or_refused(fields.SMTP_FIELDS, SmtpSettings(), name, text)


@given(st.sampled_from(list(fields.POP_FIELDS)), WORDS)
def test_whatever_is_typed_for_pop_is_taken_or_refused_by_name(name: str, text: str) -> None:
    _taken_or_refused(fields.POP_FIELDS, PopSettings(), name, text)


def _taken_or_refused(table: Mapping[str, fields.Field[fields.S]], settings: fields.S, name: str, text: str) -> None:
    try:
        after = fields.apply(table, settings, {name: text}, kind="Service")
    except InvalidInputError as error:
        assert error.code == "MB-W05"
        assert error.fields["field"] == table[name].label or name == "sasl_user"
        return
    shown = table[name].show(after)
    if not table[name].secret:
        again = fields.apply(table, after, {name: shown}, kind="Service") if shown else after
        assert table[name].show(again) == shown, "what is shown can be typed back"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5 min", 300), ("5m", 300), ("1 hour", 3600), ("2 H", 7200)]
)
def test_times_are_read_as_people_write_them(text: str, seconds: int) -> None:
    read = fields.duration("Timeout", text, least=timedelta(0), most=timedelta(days=1))
    assert read.total_seconds() == seconds
    assert fields.duration("x", fields.shown_duration(read), least=timedelta(0), most=timedelta(days=1)) == read


@pytest.mark.parametrize("text", ["0", "-1", "70000", "25.0", "2 5", "²", "1" * 400, ""])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="Port Number"):
        fields.port("Port Number", text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Mail.Example.", "mail.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[::1]", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
    ],
)
def test_server_names_are_brought_into_one_form(text: str, host: str) -> None:
    assert fields.host("Server", text) == host


@pytest.mark.parametrize("text", ["https://a.example", "a.example:25", "a b", "-a.example", "a..b", "ü" * 70, "a/b"])
def test_what_is_no_server_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no server name"):
        fields.host("Server", text)


def test_destinations_stand_on_lines_or_after_commas() -> None:
    read = fields.destinations("To", "maildir:/a,folder:/b, c\nattachments:/d")
    assert [f"{each.kind}:{each.path}" for each in read] == ["maildir:/a", "folder:/b, c", "attachments:/d"]
    for wrong in ("printer:/a", "folder:a", "folder", ",".join(["folder:/a"] * 17)):
        with pytest.raises(InvalidInputError):
            fields.destinations("To", wrong)


def test_passwords_keep_their_blanks_and_lose_their_line_end() -> None:
    read = fields.secret("Password", " two words \r\n")
    assert read is not None
    assert read.reveal() == " two words "
    assert fields.secret("Password", "") is None
    for wrong in ("a\nb", "x" * 2000):
        with pytest.raises(InvalidInputError):
            fields.secret("Password", wrong)


def test_words_are_read_in_any_case() -> None:
    assert fields.word("TLS", " StartTLS ", TlsMode) is TlsMode.STARTTLS
