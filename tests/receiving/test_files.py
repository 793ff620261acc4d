"""Names that strangers chose, messages of any octets, folders that others write into."""

import tempfile
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import StoreError
from mailbearer.receiving import attachments, folder, maildir
from mailbearer.receiving.header import decoded, described
from mailbearer.receiving.item import Item, mark_of, safe_name, sent_at


def item(path: Path, content: bytes, subject: str = "Scan") -> Item:
    file = path / "incoming"
    file.write_bytes(content)
    return Item(file, len(content), mark_of("pop", "1"), datetime(2026, 11, 2, 9, 0, tzinfo=UTC), "a@x", subject)


def mail(*files: tuple[str, str, bytes]) -> bytes:
    message = EmailMessage()
    message["Subject"] = "Scan"
    message.set_content("Hello")
    for name, kind, content in files:
        main, sub = kind.split("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


@given(st.text(max_size=400))
def test_any_name_becomes_one_that_stays_in_the_folder(name: str) -> None:
    kept = safe_name(name, otherwise="attachment.bin")
    assert kept
    assert len(kept.encode()) <= 120
    assert not kept.startswith(".")
    assert all(char.isalnum() or char in "._-" for char in kept)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\x\\Scan 1.PDF", "Scan_1.PDF"),
        (".bashrc", "bashrc"),
        ("a\r\nb\0c.txt", "a_b_c.txt"),
        ("Prüfung.pdf", "Prüfung.pdf"),
        ("..", "attachment.bin"),
        ("", "attachment.bin"),
        ("\u202efdp.exe", "fdp.exe"),
        ("界" * 200 + ".pdf", "界" * 38 + ".pdf"),
    ],
)
def test_names_are_kept_as_far_as_they_are_harmless(name: str, kept: str) -> None:
    assert safe_name(name, otherwise="attachment.bin") == kept


@given(st.binary(max_size=2000))
def test_any_octets_can_be_looked_at_and_taken_apart(octets: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "incoming").write_bytes(octets)
        seen = described(path / "incoming", len(octets), "mark")
        assert seen.subject.isprintable()
        attachments.hand_over(seen, path)
        assert len(list(path.iterdir())) >= 2  # nothing is dropped in silence


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=x\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Disposition: attachment; filename*=utf-8''%ff%0a\r\n",
        b'Content-Disposition: attachment; filename="=?utf-8?b?a?="\r\n',
        b"Content-Type: text/plain; charset=nonsense\r\n",
        b"\r\n",
        b"--x\r\n",
        b"--x--\r\n",
        b"begin 644 a\r\n",
        b"\xff\xfe=\r\n",
    ]
)


@given(st.lists(PIECES, max_size=40))
def test_broken_mail_never_stops_the_look(pieces: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        attachments.hand_over(item(Path(name), b"".join(pieces)), Path(name))
        assert len(list(Path(name).iterdir())) >= 2


@given(st.text(max_size=100))
def test_any_text_is_decoded_to_printable_text(text: str) -> None:
    assert decoded(text).isprintable()


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Nov 2026 09:00 +0000"])
def test_what_is_no_date_is_none(date: str) -> None:
    assert sent_at(date) is None


def test_each_attachment_becomes_a_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    content = mail(("1.pdf", "application/pdf", b"%PDF"), ("1.pdf", "application/pdf", b"%PDF 2"))
    attachments.hand_over(item(tmp_path, content), out)
    attachments.hand_over(item(tmp_path, content), out)  # fetched again after a crash
    assert sorted(path.read_bytes() for path in out.iterdir()) == [b"%PDF", b"%PDF 2"]


def test_attached_message_is_one_file(tmp_path: Path) -> None:
    inner = EmailMessage()
    inner["Subject"] = "Inside"
    inner.set_content("Inner text")
    outer = EmailMessage()
    outer.set_content("See below")
    outer.add_attachment(inner)
    (found,) = attachments.attachments_of(item(tmp_path, outer.as_bytes()))
    assert found.kind == "message/rfc822"
    assert b"Inner text" in found.content


def test_encoded_file_name_is_decoded(tmp_path: Path) -> None:
    content = b'Content-Type: application/pdf; name="=?utf-8?b?UHLDvGZ1bmcucGRm?="\r\n\r\n%PDF'
    (found,) = attachments.attachments_of(item(tmp_path, content))
    assert found.name == "Prüfung.pdf"


def test_message_with_thousands_of_parts_is_kept_whole(tmp_path: Path) -> None:
    content = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 5000 + b"--x--\r\n"
    assert attachments.attachments_of(item(tmp_path, content)) == ()


def test_other_file_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    folder.hand_over(item(tmp_path, b"one"), out)
    folder.hand_over(item(tmp_path, b"two"), out)
    folder.hand_over(item(tmp_path, b"two"), out)
    assert sorted(path.read_bytes() for path in out.iterdir()) == [b"one", b"two"]


def test_unfinished_file_of_a_crash_is_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    folder.hand_over(item(tmp_path, b"one"), out)
    (there,) = out.iterdir()
    there.rename(out / f".{there.name}.part")
    folder.hand_over(item(tmp_path, b"one"), out)
    assert [path.name for path in out.iterdir()] == [there.name]


def test_read_message_in_a_maildir_is_not_put_in_again(tmp_path: Path) -> None:
    box = tmp_path / "box"
    maildir.prepare(box)
    maildir.hand_over(item(tmp_path, b"one"), box)
    (there,) = (box / "new").iterdir()
    there.rename(box / "cur" / f"{there.name}:2,S")
    maildir.hand_over(item(tmp_path, b"one"), box)
    assert list((box / "new").iterdir()) == []
    maildir.hand_over(item(tmp_path, b"two"), box)  # the same unique-id, given out again
    assert len(list((box / "new").iterdir())) == 1


@pytest.mark.parametrize("hand_over", [maildir.hand_over, folder.hand_over, attachments.hand_over])
def test_folder_that_is_gone_is_our_error(tmp_path: Path, hand_over: "object") -> None:
    assert callable(hand_over)
    with pytest.raises(StoreError):
        hand_over(item(tmp_path, b"Subject: x\r\n\r\n"), tmp_path / "none")
