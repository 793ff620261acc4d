"""Every program gets in every way that it knows, and what it sent arrives at the provider as it was written."""

import pytest

from tests.peers import programs
from tests.peers.gateway import BODY, PDF, SIGNED_IN, WAYS, Gateway, Way, read
from tests.peers.machine import ACCOUNT
from tests.peers.programs import Post


def posts(gateway: Gateway, name: str, ways: tuple[Way, ...] = WAYS, device: str = "nas") -> list[Post]:
    """Return a letter for each of ``ways``, all to one mailbox of their own."""
    reader = f"{name}@test.example"
    subjects = [f"{name}-{way.listener}-{way.tls}-{way.mechanism or 'address'}" for way in ways]
    return [
        Post(way, reader, gateway.letter(reader, subject), device) for way, subject in zip(ways, subjects, strict=True)
    ]


def check_way(content: bytes, way: Way) -> None:
    """It came by that way, and went on with OAuth 2.0."""
    received = [field for field in read(content).get_all("Received", []) if "(Mailbearer " in field]
    assert len(received) == 1
    assert f" with {way.protocol};" in " ".join(received[0].split()), received
    assert f"(Authenticated sender: {ACCOUNT})".encode() in content


def check_letters(gateway: Gateway, sent: list[Post]) -> None:
    """Nothing but fields on top was added."""
    arrived = gateway.arrived(sent[0].recipient, len(sent))
    for post in sent:
        content = arrived[post.letter.stem.removeprefix("letter-")]
        assert content.endswith(post.letter.read_bytes()), (post.way, content)
        check_way(content, post.way)


def check_scans(gateway: Gateway, sent: list[Post]) -> None:
    """Text and attachment are what they were."""
    arrived = gateway.arrived(sent[0].recipient, len(sent))
    for post in sent:
        content = arrived[post.letter.stem.removeprefix("letter-")]
        message = read(content)
        (part,) = message.iter_attachments()
        assert (part.get_filename(), part.get_content()) == ("scan.pdf", PDF)
        body = message.get_body()
        assert body is not None
        assert body.get_content().splitlines()[:2] == ["Größe", ".dot"]
        check_way(content, post.way)


@pytest.mark.parametrize("name", programs.ONE_BY_ONE)
def test_letters_arrive_unchanged(gateway: Gateway, name: str) -> None:
    sent = posts(gateway, name)
    for post in sent:
        programs.ONE_BY_ONE[name](gateway, post)
    check_letters(gateway, sent)


@pytest.mark.parametrize("name", programs.ALL_AT_ONCE)
def test_letters_of_libraries_arrive_unchanged(gateway: Gateway, name: str) -> None:
    sent = posts(gateway, name)
    programs.ALL_AT_ONCE[name](gateway, sent)
    check_letters(gateway, sent)


def test_scans_of_php_mailer_arrive(gateway: Gateway) -> None:
    sent = posts(gateway, "phpmailer")
    programs.php_mailer_sends(gateway, sent)
    check_scans(gateway, sent)


def test_scans_of_s_nail_arrive(gateway: Gateway) -> None:
    sent = posts(gateway, "s-nail", SIGNED_IN, "copier")
    for post in sent:
        programs.s_nail_sends(gateway, post)
    check_scans(gateway, sent)


def test_scans_of_mutt_arrive(gateway: Gateway) -> None:
    sent = posts(gateway, "mutt", SIGNED_IN)
    for post in sent:
        programs.mutt_sends(gateway, post)
    check_scans(gateway, sent)


def test_a_copier_sends_by_the_address_of_the_service(gateway: Gateway) -> None:
    reader = "copied@test.example"
    letter = gateway.letter(reader, "copied")
    letter.write_bytes(letter.read_bytes().replace(ACCOUNT.encode(), b"user@clinic.lan", 1))
    programs.swaks_sends(gateway, Post(WAYS[0], reader, letter, "copier"))
    content = gateway.arrived(reader)["copied"]
    assert (read(content)["From"], read(content)["Reply-To"]) == (ACCOUNT, "user@clinic.lan")
    assert content.endswith(BODY)
    assert "copied" in gateway.history("copier")
