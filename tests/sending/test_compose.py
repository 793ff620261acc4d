"""Composed messages, read back by the standard library's parser; ready ones, octet by octet."""

import email
import email.policy
import io
import os
import tempfile
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import assume, given, strategies as st

from mailbearer.errors import InvalidInputError
from mailbearer.model.envelope import is_address
from mailbearer.sending.compose import Letter, Mailbox, compose, header_value, new_message_id, subject_of, take_ready

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SENDER = Mailbox("Scanner 2. Stock", "scanner@example.com")
TO = (Mailbox("", "office@example.com"),)
FIELDS = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
# what may stand in a field: no control characters; what no mail can carry in any way is refused, see below
LINES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=200)


def composed(letter: Letter) -> EmailMessage:
    target = io.BytesIO()
    compose(letter, target, now=NOW)
    return email.message_from_bytes(target.getvalue(), policy=email.policy.default)


def raw(letter: Letter) -> bytes:
    target = io.BytesIO()
    compose(letter, target, now=NOW)
    return target.getvalue()


@given(subject=LINES)
def test_any_subject_is_read_as_it_was_written(subject: str) -> None:
    header = raw(Letter(SENDER, TO, subject=subject)).split(b"\r\n\r\n")[0]
    assert header.isascii()
    assert max(map(len, header.split(b"\r\n"))) <= 998
    found = email.message_from_bytes(header, policy=email.policy.compat32)["Subject"]
    assert str(email.header.make_header(email.header.decode_header(found))) == subject


@given(text=st.text(), place=st.sampled_from(["subject", "name", "body"]))
def test_nothing_that_is_typed_becomes_a_header_field(text: str, place: str) -> None:
    letter = Letter(
        Mailbox(text if place == "name" else "", SENDER.address),
        TO,
        subject=text if place == "subject" else "",
        body=text if place == "body" else "",
    )
    try:
        message = raw(letter)
    except InvalidInputError:
        return
    assert email.message_from_bytes(message).keys() == FIELDS


@pytest.mark.parametrize(
    "text", ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "\0", "\x7f", "a\x85b", "\u2028", "\ud800"]
)
@pytest.mark.parametrize("place", ["subject", "name"])
def test_control_character_in_a_field_is_refused(text: str, place: str) -> None:
    letter = Letter(Mailbox(text, "a@example.com"), TO) if place == "name" else Letter(SENDER, TO, subject=text)
    with pytest.raises(InvalidInputError):
        raw(letter)


@pytest.mark.parametrize("subject", ["=?utf-8?q?a=0D=0ABcc:_x@example.com?=", "=?utf-8?b?SGk=?=", " a ", "a  b"])
def test_subject_that_looks_like_something_else_is_taken_word_for_word(subject: str) -> None:
    assert composed(Letter(SENDER, TO, subject=subject))["Subject"] == subject


@given(body=st.text(max_size=3000))
def test_any_body_is_read_as_it_was_written(body: str) -> None:
    found = composed(Letter(SENDER, TO, body=body)).get_payload(decode=True)
    assert isinstance(found, bytes)
    wanted = body.encode("utf-8", "replace").replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert found == (wanted if not wanted or wanted.endswith(b"\r\n") else wanted + b"\r\n")


@given(body=st.text(max_size=3000))
def test_no_body_needs_more_of_a_server_than_every_server_can(body: str) -> None:
    message = raw(Letter(SENDER, TO, body=body))
    assert message.isascii()
    assert b"\0" not in message
    assert max(map(len, message.split(b"\r\n"))) <= 998
    assert b"\n" not in message.replace(b"\r\n", b"")


@given(name=st.text(min_size=1, max_size=40), content=st.binary(max_size=200_000))
def test_any_file_arrives_with_its_name_and_content(name: str, content: bytes) -> None:
    assume(
        "/" not in name and "\0" not in name and name not in {".", ".."} and len(name.encode(errors="replace")) < 200
    )
    assume(not any(0xD800 <= ord(char) <= 0xDFFF for char in name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        message = email.message_from_bytes(raw(Letter(SENDER, TO, body="See file.", files=(path,))))
    _, text, file = message.walk()
    assert text.get_payload(decode=True) == b"See file.\r\n"
    assert file.get_payload(decode=True) == content
    assert file.get_filename() == name.strip()  # the parser strips it
    assert set(file.keys()) == {"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"}


def test_message_as_a_file_is_not_taken_for_a_part_that_base64_may_not_carry(tmp_path: Path) -> None:
    path = tmp_path / "forwarded.eml"
    path.write_bytes(b"Subject: x\r\n\r\ny")
    (part,) = composed(Letter(SENDER, TO, files=(path,))).iter_parts()
    assert part.get_content_type() == "application/octet-stream"


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        raw(Letter(SENDER, TO, files=(tmp_path / "none",)))


@given(name=LINES)
def test_any_sender_name_is_read_as_it_was_written(name: str) -> None:
    header = raw(Letter(Mailbox(name, SENDER.address), TO))
    ((found, address),) = email.utils.getaddresses([email.message_from_bytes(header)["From"].replace("\r\n", "")])
    assert address == SENDER.address
    assert str(email.header.make_header(email.header.decode_header(found))) == name


@given(text=st.text(max_size=100))
def test_reading_a_mailbox_gives_an_address_or_our_error(text: str) -> None:
    try:
        found = Mailbox.read(text)
    except InvalidInputError:
        return
    assert is_address(found.address)
    assert "\n" not in found.name


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("a@example.com", "", "a@example.com"),
        (" Ada Lind <a@example.com> ", "Ada Lind", "a@example.com"),
        ('"Lind, Ada" <a@example.com>', "Lind, Ada", "a@example.com"),
        ("<a@example.com>", "", "a@example.com"),
    ],
)
def test_mailboxes_are_read_as_people_write_them(text: str, name: str, address: str) -> None:
    assert Mailbox.read(text) == Mailbox(name, address)


@pytest.mark.parametrize("sender", ["a@example.com", "ä@bücher.example", f"a@{'ü' * 200}.example", "", "a@[127.0.0.1]"])
def test_message_id_is_ascii_whatever_the_sender(sender: str) -> None:
    identity = new_message_id(sender)
    assert identity.isascii()
    assert identity.startswith("<")
    assert identity.endswith(">")


def taken(message: bytes) -> bytes:
    target = io.BytesIO()
    take_ready(io.BytesIO(message), target, sender="scanner@example.com", now=NOW)
    return target.getvalue()


def test_ready_message_loses_its_blind_copies_and_gains_what_is_missing() -> None:
    result = taken(b"Bcc: secret@example.com,\r\n more@example.com\r\nSubject: x\r\n\r\nbody \0 \xff")
    message = email.message_from_bytes(result)
    assert message["Bcc"] is None
    assert message["From"] == "scanner@example.com"
    assert message["Date"] == "Mon, 02 Nov 2026 09:00:00 +0000"
    assert message["Message-ID"]
    assert result.endswith(b"\r\n\r\nbody \0 \xff")


def test_complete_ready_message_stays_as_it_is() -> None:
    message = b"From: a@example.com\r\nDate: x\r\nMessage-ID:\r\n <1@x>\r\nDKIM-Signature: a;\r\n\tb\r\n\r\nline\nline"
    assert taken(message) == message


@pytest.mark.parametrize(
    "message", [b"", b"\r\nno header", b"no header\r\n\r\n", b" x: y\r\n\r\n", b"a: b\r\n" + b"c" * 300_000]
)
def test_what_has_no_mail_header_is_refused(message: bytes) -> None:
    with pytest.raises(InvalidInputError):
        taken(message)


@given(st.binary(max_size=300))
def test_any_octets_as_a_ready_message_give_a_header_or_our_error(octets: bytes) -> None:
    try:
        result = taken(octets)
    except InvalidInputError:
        return
    header = result.split(b"\r\n\r\n")[0].lower()
    assert not [line for line in header.split(b"\r\n") if line.startswith(b"bcc")]
    assert b"\r" not in header.replace(b"\r\n", b"")


@given(st.sampled_from([b"\r", b"\n", b"\r\n"]))
def test_blind_copy_behind_any_kind_of_line_end_is_removed(end: bytes) -> None:
    assert b"secret" not in taken(b"Subject: x" + end + b"Bcc: secret@example.com" + end + b"X: y\r\n\r\nbody")


@given(st.binary(max_size=300))
def test_looking_at_any_header_never_fails(octets: bytes) -> None:
    assert subject_of(b"Subject: " + octets).isprintable()
    assert header_value(b"Message-ID: " + octets, b"message-id").isprintable()


@pytest.mark.parametrize("value", [b"=?utf-8?b?a?=", b"=?x-unknown?q?a?=", b"=?utf-8?q?=ff?="])
def test_broken_encoded_word_is_shown_as_it_stands(value: bytes) -> None:
    assert subject_of(b"Subject: " + value)


def test_file_whose_name_is_no_text_arrives_with_a_name_that_is(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffad.pdf"))
    path.write_bytes(b"x")
    *_, file = email.message_from_bytes(raw(Letter(SENDER, TO, files=(path,)))).walk()
    assert file.get_filename() == "b\ufffdad.pdf"
