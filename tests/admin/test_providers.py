"""Providers of one's own by discovery, and finding the provider of an address by domain, DNS and autoconfiguration."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias, cast

import dns.message
import dns.rcode
import dns.rrset
import pytest

from mailbearer.admin.providers import ProviderDesk
from mailbearer.app import App, open_app
from mailbearer.config.schema import Config
from mailbearer.errors import ConnectError, MailbearerError
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.tokens.context import Context
from mailbearer.vault.keys import MasterKey
from mailbearer.vault.vault import Vault
from tests.admin.room import office

AUTOCONFIG = """<clientConfig version="1.1"><emailProvider id="x"><domain>x.example</domain>
<displayName>X Mail</displayName>
<incomingServer type="pop3"><hostname>pop.x.example</hostname><port>995</port><socketType>SSL</socketType>
<authentication>OAuth2</authentication></incomingServer>
<outgoingServer type="smtp"><hostname>{smtp}</hostname><port>587</port><socketType>STARTTLS</socketType>
<authentication>password-cleartext</authentication></outgoingServer></emailProvider></clientConfig>"""


class NameServer(asyncio.DatagramProtocol):
    """A real, small name server that knows mail exchangers."""

    def __init__(self, exchangers: Mapping[str, tuple[str, ...]]) -> None:
        self._exchangers = exchangers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = dns.message.make_response(dns.message.from_wire(data))
        name = answer.question[0].name
        hosts = self._exchangers.get(name.to_text(omit_final_dot=True))
        if name.to_text().startswith("broken."):
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif hosts is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif hosts:
            records = [f"{10 * number} {host}." for number, host in enumerate(hosts)]
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "MX", *records))
        self._transport.sendto(answer.to_wire(), addr)


class Sites:
    """Web sites by their address; everything else cannot be reached."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []

    async def send(self, request: HttpRequest, *, ca_file: str = "") -> HttpResponse:  # noqa: ARG002 - the shape is given
        self.asked.append(request.url)
        page = self.pages.get(request.url)
        if page is None:
            raise ConnectError("MB-T01", host=request.url)
        return HttpResponse(200, {}, page.encode())


@pytest.fixture
async def nameserver() -> AsyncIterator[tuple[str, int]]:
    known = {
        "school.example": ("school-example.mail.protection.outlook.com",),
        "x.example": (),
        "own.example": ("mx.own.example",),
    }
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(known), local_addr=("127.0.0.1", 0)
    )
    yield transport.get_extra_info("sockname")
    transport.close()


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_app(tmp_path / "data", Config()) as app:
        yield app


@pytest.fixture
def sites() -> Sites:
    return Sites()


@pytest.fixture
def desk(app: App, sites: Sites, nameserver: tuple[str, int]) -> ProviderDesk:
    context = Context(app.store, Vault(MasterKey(bytes(32))), sites, app.clock, app.directory.both)
    return ProviderDesk(context, app.directory, nameserver=nameserver)


@pytest.mark.parametrize(
    ("address", "provider", "by"),
    [
        ("anna@gmail.com", "google", "domain"),
        ("anna@school.example", "microsoft365", "mail exchanger school-example.mail.protection.outlook.com"),
        ("anna@own.example", "", "domain, mail exchangers, autoconfiguration"),
        ("anna@nowhere.example", "", "domain, mail exchangers, autoconfiguration"),
        ("anna@[192.0.2.1]", "", "domain, mail exchangers, autoconfiguration"),
    ],
)
async def test_provider_is_found_by_domain_and_by_mail_exchanger(
    desk: ProviderDesk, address: str, provider: str, by: str
) -> None:
    found = await desk.detect(address)
    assert (found["provider"], found["by"]) == (provider, by)


async def test_servers_are_found_by_autoconfiguration(desk: ProviderDesk, sites: Sites) -> None:
    url = "https://autoconfig.x.example/mail/config-v1.1.xml?emailaddress=a%26b%40x.example"
    sites.pages[url] = AUTOCONFIG.format(smtp="smtp.x.example")
    found = await desk.detect("a&b@x.example")
    assert (found["provider"], found["name"], found["by"]) == ("", "X Mail", "autoconfiguration")
    assert found["servers"] == {"smtp": ["smtp.x.example:587 (starttls)"], "pop": ["pop.x.example:995 (tls)"]}


async def test_autoconfiguration_that_names_known_servers_names_their_provider(
    desk: ProviderDesk, sites: Sites
) -> None:
    sites.pages["https://x.example/.well-known/autoconfig/mail/config-v1.1.xml"] = AUTOCONFIG.format(
        smtp="smtp.gmail.com"
    )
    assert (await desk.detect("a@x.example"))["provider"] == "google"


@pytest.mark.parametrize("page", ["", "<x>", "<!DOCTYPE x><clientConfig/>", "\x00"])
async def test_autoconfiguration_that_cannot_be_read_is_passed_over(
    desk: ProviderDesk, sites: Sites, page: str
) -> None:
    sites.pages["https://x.example/.well-known/autoconfig/mail/config-v1.1.xml"] = page
    assert (await desk.detect("a@x.example"))["provider"] == ""


async def test_name_server_that_fails_is_told_of(desk: ProviderDesk) -> None:
    assert "cannot be looked up" in str((await desk.detect("a@broken.example"))["by"])


Answerer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _site(pages: Mapping[str, tuple[int, bytes]]) -> Answerer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        status, body = pages.get(path, (404, b"nothing here"))
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()
        writer.close()

    return answer


OAUTH = "/.well-known/oauth-authorization-server"
OIDC = "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("path", "answer", "code"),
    [
        (OAUTH, (200, b'{"issuer": "https://other.example", "token_endpoint": "https://other.example/t"}'), "MB-T47"),
        (OIDC, (200, b'{"issuer": "https://other.example", "token_endpoint": "https://other.example/t"}'), "MB-T47"),
        (OAUTH, (200, b'{"issuer": "{self}", "token_endpoint": "http://other.example/t"}'), "MB-T46"),
        (OAUTH, (200, b""), "MB-T48"),
        (OAUTH, (200, b"<html>"), "MB-T48"),
        (OAUTH, (200, b"[" * 100_000), "MB-T48"),
        (OAUTH, (200, b'{"issuer": "{self}"}'), "MB-T48"),
        (OAUTH, (500, b"{}"), "MB-T48"),
        (OAUTH, (200, b" " * 2_000_000), "MB-T44"),
        ("/none", (200, b""), "MB-T48"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_discovery_that_cannot_be_used_is_named_and_stores_nothing(
    tmp_path: Path, path: str, answer: tuple[int, bytes], code: str
) -> None:
    pages: dict[str, tuple[int, bytes]] = {}
    async with await asyncio.start_server(_site(pages), "127.0.0.1", 0) as server, office(tmp_path) as desk:
        issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        pages[path] = (answer[0], answer[1].replace(b"{self}", issuer.encode()))
        with pytest.raises(MailbearerError) as caught:
            await desk.do("provider.add", provider="own", values={"discovery": issuer})
        assert caught.value.code == code
        assert await desk.app.store.custom_providers.all() == {}
        assert await desk.app.store.audit.list(limit=5) == ()


async def test_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        with pytest.raises(ConnectError) as caught:
            await desk.do("provider.add", provider="own", values={"discovery": "http://127.0.0.1:1"})
    assert caught.value.code == "MB-T01"


async def test_provider_by_hand_with_everything(tmp_path: Path) -> None:
    values = {
        "name": "Own",
        "token_endpoint": "https://a.example/t",
        "device_endpoint": "https://a.example/d",
        "scopes": "mail offline_access",
        "smtp": "mail.a.example:587:starttls",
        "pop": "mail.a.example:995:tls, old.a.example:110:starttls",
        "client_id": "x",
        "hosts": "relay.a.example, relay.a.example",
        "redirect_uri": "https://m.example/oauth/callback",
    }
    async with office(tmp_path) as desk:
        shown = await desk.do("provider.add", provider="own", values={**values})
        assert shown["servers"] == {
            "smtp": ["mail.a.example:587 (starttls)"],
            "pop": ["mail.a.example:995 (tls)", "old.a.example:110 (starttls)"],
        }
        assert shown["registration"] is not None
        service = await desk.do("service.set", service="smtp", values={"provider": "own", "account": "a@a.example"})
        assert service["settings"]["primary_server"] == "mail.a.example"  # type: ignore[index, call-overload]
        for wrong in ("mail.a.example", "mail.a.example:0:tls", "mail.a.example:25:off", "a b:25:tls"):
            with pytest.raises(MailbearerError):
                await desk.do("provider.add", provider="two", values={**values, "smtp": wrong})


async def test_secret_is_sealed_and_a_change_of_another_field_keeps_it(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.do("provider.set", provider="google", values={"client_id": "x", "client_secret": "of-google"})
        await desk.do("provider.set", provider="google", values={"redirect_uri": "https://m.example/oauth/callback"})
        secret = (await desk.app.directory.registration("google")).client_secret
        assert secret is not None
        assert secret.reveal() == "of-google"
        assert "of-google" not in str(await desk.do("provider.show", provider="google"))
        await desk.do("provider.remove", provider="google")
        assert (await desk.app.directory.registration("google")).client_secret is None
    assert b"of-google" not in (tmp_path / "mailbearer.db").read_bytes()
