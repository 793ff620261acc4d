"""Mail settings that a domain publishes for mail programs (Thunderbird's autoconfig, config-v1.1.xml), read safely."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET
from xml.parsers import expat

from mailbearer.errors import RemoteProtocolError
from mailbearer.model.provider import MailServer
from mailbearer.model.service import TlsMode

SIZE_MAX = 256 * 1024  # octets; the longest document of the public database has about 20,000
SERVERS_MAX = 20  # of one kind
_TLS = {"SSL": TlsMode.IMPLICIT, "STARTTLS": TlsMode.STARTTLS, "plain": TlsMode.OFF}


@dataclass(frozen=True, slots=True)
class OfferedServer:
    """One server, and whether it is said to take OAuth 2.0."""

    server: MailServer
    oauth: bool


@dataclass(frozen=True, slots=True)
class Autoconfig:
    """What the document offers, best first."""

    name: str
    smtp: tuple[OfferedServer, ...]
    pop: tuple[OfferedServer, ...]


def parse_autoconfig(document: bytes) -> Autoconfig:
    """Read a document; entries that make no sense are passed over.

    Raises:
        RemoteProtocolError: MB-T48, it is too large, no XML, or declares a document type (entities can be bombs).
    """
    if len(document) > SIZE_MAX:
        raise _unusable(f"it has more than {SIZE_MAX} octets")
    root = _tree(document)
    provider = root.find("emailProvider")
    if root.tag != "clientConfig" or provider is None:
        raise _unusable("it is no mail configuration")
    return Autoconfig(
        name=(provider.findtext("displayName") or "").strip()[:200],
        smtp=_servers(provider, "outgoingServer", "smtp"),
        pop=_servers(provider, "incomingServer", "pop3"),
    )


def _tree(document: bytes) -> ET.Element:
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(document, True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        raise _unusable("it is no XML") from error


def _refuse_doctype(*declared: object) -> None:
    raise _unusable(f"it declares a document type ({len(declared)} parts)")


def _servers(provider: ET.Element, tag: str, kind: str) -> tuple[OfferedServer, ...]:
    found = [_server(element) for element in provider.findall(tag) if element.get("type") == kind]
    return tuple(server for server in found if server is not None)[:SERVERS_MAX]


def _server(element: ET.Element) -> OfferedServer | None:
    host = (element.findtext("hostname") or "").strip().lower()
    port = (element.findtext("port") or "").strip()
    tls = _TLS.get((element.findtext("socketType") or "").strip())
    if not host or len(host) > 253 or tls is None or not (port.isascii() and port.isdecimal() and len(port) < 6):
        return None
    methods = {(method.text or "").strip() for method in element.findall("authentication")}
    return OfferedServer(MailServer(host, int(port), tls), "OAuth2" in methods) if 0 < int(port) < 65536 else None


def _unusable(problem: str) -> RemoteProtocolError:
    return RemoteProtocolError("MB-T48", problem=f"The mail configuration of the domain is unusable: {problem}")
