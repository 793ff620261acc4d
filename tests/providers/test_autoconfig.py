import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import RemoteProtocolError
from mailbearer.model.provider import MailServer
from mailbearer.model.service import TlsMode
from mailbearer.providers.autoconfig import SERVERS_MAX, SIZE_MAX, OfferedServer, parse_autoconfig

DOCUMENT = b"""<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.com">
    <displayName>Example Mail</displayName>
    <incomingServer type="imap">
      <hostname>imap.example.com</hostname><port>993</port><socketType>SSL</socketType>
    </incomingServer>
    <incomingServer type="pop3">
      <hostname>Pop.example.com</hostname><port>995</port><socketType>SSL</socketType>
      <authentication>OAuth2</authentication><authentication>password-cleartext</authentication>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>smtp.example.com</hostname><port>587</port><socketType>STARTTLS</socketType>
    </outgoingServer>
  </emailProvider>
</clientConfig>"""
BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>
<clientConfig><emailProvider><displayName>&lol2;</displayName></emailProvider></clientConfig>"""


def with_server(inner: str) -> bytes:
    server = f'<outgoingServer type="smtp">{inner}</outgoingServer>'
    return f"<clientConfig><emailProvider>{server}</emailProvider></clientConfig>".encode()


@given(st.binary(max_size=400))
def test_any_bytes_are_a_configuration_or_our_error(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_autoconfig(data)


@given(st.integers(0, len(DOCUMENT) - 1), st.binary(min_size=1, max_size=1))
def test_any_damage_is_survived(place: int, byte: bytes) -> None:
    try:
        parse_autoconfig(DOCUMENT[:place] + byte + DOCUMENT[place + 1 :])
    except RemoteProtocolError as error:
        assert error.code == "MB-T48"


def test_servers_are_read() -> None:
    found = parse_autoconfig(DOCUMENT)
    assert found.name == "Example Mail"
    assert found.smtp == (OfferedServer(MailServer("smtp.example.com", 587, TlsMode.STARTTLS), oauth=False),)
    assert found.pop == (OfferedServer(MailServer("pop.example.com", 995, TlsMode.IMPLICIT), oauth=True),)


def test_a_document_type_is_refused_before_any_entity_grows() -> None:
    with pytest.raises(RemoteProtocolError, match="document"):
        parse_autoconfig(BOMB)


def test_a_document_that_is_too_large_is_not_read() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_autoconfig(DOCUMENT + b" " * SIZE_MAX)


@pytest.mark.parametrize("document", [b"<clientConfig/>", b"<html><emailProvider/></html>"])
def test_another_kind_of_document_is_refused(document: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_autoconfig(document)


@pytest.mark.parametrize(
    "inner",
    [
        "<hostname/><port>587</port><socketType>SSL</socketType>",
        "<hostname>a.example</hostname><port>0</port><socketType>SSL</socketType>",
        "<hostname>a.example</hostname><port>65536</port><socketType>SSL</socketType>",
        "<hostname>a.example</hostname><port>-1</port><socketType>SSL</socketType>",
        "<hostname>a.example</hostname><port>٣</port><socketType>SSL</socketType>",
        "<hostname>a.example</hostname><port>587</port><socketType>magic</socketType>",
        "<hostname>a.example</hostname>",
    ],
)
def test_a_server_that_makes_no_sense_is_passed_over(inner: str) -> None:
    assert parse_autoconfig(with_server(inner)).smtp == ()


def test_not_more_servers_than_anyone_has_are_kept() -> None:
    server = (
        '<incomingServer type="pop3"><hostname>a.example</hostname><port>995</port>'
        "<socketType>SSL</socketType></incomingServer>"
    )
    document = f"<clientConfig><emailProvider>{server * 50}</emailProvider></clientConfig>"
    assert len(parse_autoconfig(document.encode()).pop) == SERVERS_MAX


def test_deep_nesting_is_survived() -> None:
    depth = 30_000
    document = b"<clientConfig><emailProvider>" + b"<a>" * depth + b"</a>" * depth + b"</emailProvider></clientConfig>"
    assert parse_autoconfig(document).smtp == ()
