"""Letters as old machines write them: what is missing is added, who was named gets it, the rest stays as it is."""

import smtplib
from dataclasses import dataclass

import pytest

from tests.peers.gateway import Gateway, read
from tests.peers.machine import ACCOUNT
from tests.peers.stack.children import HOST

TOSHIBA = (
    b'From:"=?utf-8?B?U2NhbiBHcsO2?=\r\n =?utf-8?B?w59l?=" <e-studio@clinic.lan>\r\n'
    b"To:<reader@elsewhere.example>\r\nSubject:=?utf-8?B?R3LDtsOfZQ==?=\r\nMIME-Version:1.0\r\n"
    b'Content-Type:multipart/mixed;boundary="b"\r\nX-Mailer:TOSHIBA e-STUDIO\r\n\r\n'
    b"--b\r\nBcc: x@elsewhere.example\r\nFrom: y@elsewhere.example\r\nContent-Type: text/plain\r\n\r\nscan\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n--b--\r\n"
)
"""Nothing behind the colons, a folded name in two encoded words, stray fields in the first part (SMTP2Graph #37)."""

GROUP = (
    b"From: scan@clinic.lan\r\nTo: Undisclosed recipients:;\r\nSubject: group\r\n"
    b"Bcc: hidden@test.example,\r\n more@test.example\r\n\r\nx\r\n"
)
FOLDED = (
    b"Subject: folded\r\nFrom: Copier 3F\r\n <scan@clinic.lan>\r\nDATE : Mon, 02 Nov 2026 09:00:00 +0000\r\n\r\nx\r\n"
)
LINE_FEEDS = b"From: scan@clinic.lan\nSubject: line feeds\n\none\ntwo\n.\nthree"
NO_HEADER = b"Paper jam in tray 2\r\n\r\nOpen the lid.\r\n"
ONLY_HEADER = b"From: scan@clinic.lan\r\nSubject: no body\r\n"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What arrived."""

    header: bytes
    body: bytes

    def field(self, name: str) -> str:
        """Return the only field of that name."""
        (found,) = read(self.header).get_all(name, [])
        return str(found)


def send(gateway: Gateway, letter: bytes, *recipients: str) -> None:
    """Send it octet by octet as it is, signed in, as a machine of the time does."""
    with smtplib.SMTP(HOST, gateway.port("clear")) as client:
        client.helo("COPIER_3")
        client.esmtp_features["auth"] = "LOGIN"
        client.login("copier", gateway.passwords["copier"], initial_response_ok=False)
        for verb in (b"MAIL FROM:<e-studio@clinic.lan>", *(f"RCPT TO: {each}".encode() for each in recipients)):
            assert client.docmd(verb.decode())[0] == 250
        assert client.docmd("DATA")[0] == 354
        stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in letter.split(b"\r\n"))
        client.send(stuffed.removesuffix(b"\r\n") + b"\r\n.\r\n")
        assert client.getreply()[0] == 250


def delivered(gateway: Gateway, recipient: str) -> Delivered:
    """Return the one message in a mailbox."""
    (content,) = gateway.arrived(recipient).values()
    header, _, body = content.partition(b"\r\n\r\n")
    return Delivered(header + b"\r\n\r\n", body)


def test_a_letter_without_blanks_behind_its_colons(gateway: Gateway) -> None:
    send(gateway, TOSHIBA, "toshiba@test.example")
    found = delivered(gateway, "toshiba@test.example")
    assert found.body == TOSHIBA.partition(b"\r\n\r\n")[2]
    assert found.field("From") == ACCOUNT
    assert found.field("Reply-To") == "Scan Größe <e-studio@clinic.lan>"
    assert b"\r\nSubject:=?utf-8?B?R3LDtsOfZQ==?=\r\nMIME-Version:1.0\r\n" in found.header
    assert found.field("Date")
    assert found.field("Message-ID")


def test_a_group_goes_to_those_who_were_named_to_us(gateway: Gateway) -> None:
    readers = [f"group-{number}@test.example" for number in range(3)]
    send(gateway, GROUP, *readers)
    for reader in readers:
        found = delivered(gateway, reader)
        assert found.field("To") == "Undisclosed recipients:;"
        assert read(found.header)["Bcc"] is None
        assert b"hidden@" not in found.header
    assert gateway.stack.count("hidden@test.example") == gateway.stack.count("more@test.example") == 0


def test_a_date_with_a_blank_before_its_colon_is_one(gateway: Gateway) -> None:
    send(gateway, FOLDED, "folded@test.example")
    found = delivered(gateway, "folded@test.example")
    assert found.header.count(b"Mon, 02 Nov 2026") == 1
    assert found.field("Reply-To") == "Copier 3F <scan@clinic.lan>"
    assert found.header.lower().count(b"\r\ndate") == 1


@pytest.mark.parametrize(
    ("letter", "body"),
    [(LINE_FEEDS, b"one\r\ntwo\r\n.\r\nthree\r\n"), (NO_HEADER, b"Paper jam in tray 2\r\n\r\nOpen the lid.\r\n")],
    ids=["line-feeds", "no-header"],
)
def test_what_is_missing_is_added(gateway: Gateway, letter: bytes, body: bytes) -> None:
    reader = f"missing-{len(letter)}@test.example"
    send(gateway, letter, reader)
    found = delivered(gateway, reader)
    assert found.body == body
    for name in ("From", "Date", "Message-ID"):
        assert found.field(name)


def test_a_header_may_be_all(gateway: Gateway) -> None:
    send(gateway, ONLY_HEADER, "header@test.example")
    assert delivered(gateway, "header@test.example").field("Subject") == "no body"
