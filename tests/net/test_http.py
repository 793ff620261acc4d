"""The HTTP client against small real servers: what it refuses, what it bounds, and which error says what."""

import asyncio
import gzip
import os
import subprocess
import sys

import pytest

from mailbearer.errors import (
    AuthorizationUnavailableError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    InvalidInputError,
    MailbearerError,
)
from mailbearer.model.http import HttpRequest
from mailbearer.net.http import AGENT, BODY_MAX, HttpClient
from tests.fakes.net_certificates import ca_file, server_context
from tests.fakes.net_server import Peer, Talk, serving


def answers(head: str, body: bytes = b"", seen: list[str] | None = None) -> Talk:
    async def talk(peer: Peer) -> None:
        length = 0
        while line := await peer.hear():
            if seen is not None:
                seen.append(line)
            if line.lower().startswith("content-length:"):
                length = int(line.split(":")[1])
        sent = await peer.reader.readexactly(length)
        if seen is not None:
            seen.append(sent.decode())
        await peer.send(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    return talk


async def fetched(talk: Talk, *, seconds: float = 5, request: HttpRequest | None = None) -> tuple[int, bytes]:
    client = HttpClient(seconds=seconds)
    try:
        async with serving(talk) as server:
            answer = await client.send(request or HttpRequest("GET", f"http://127.0.0.1:{server.port}/x"))
            return answer.status, answer.body
    finally:
        await client.aclose()


async def failure_of(talk: Talk, *, seconds: float = 5) -> MailbearerError:
    with pytest.raises(MailbearerError) as caught:
        await fetched(talk, seconds=seconds)
    return caught.value


async def test_a_form_goes_out_and_an_answer_comes_back() -> None:
    seen: list[str] = []
    client = HttpClient()
    talk = answers(
        "HTTP/1.1 400 Bad Request\nContent-Type: application/json\nX-Two: a\nX-Two: b\nContent-Length: 2", b"{}", seen
    )
    async with serving(talk, server_context()) as server:
        url = f"https://localhost:{server.port}/token"
        request = HttpRequest("POST", url, {"content-type": "application/x-www-form-urlencoded"}, b"a=b")
        answer = await client.send(request, ca_file=ca_file())
    await client.aclose()
    assert (answer.status, answer.body) == (400, b"{}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-two"] == "a, b"
    assert seen[0] == "POST /token HTTP/1.1"
    assert seen[-1] == "a=b"
    assert f"user-agent: {AGENT}" in [line.lower().replace(AGENT.lower(), AGENT) for line in seen]


async def test_a_redirect_is_not_followed() -> None:
    status, _ = await fetched(answers("HTTP/1.1 307 Moved\nLocation: http://127.0.0.1:1/\nContent-Length: 0"))
    assert status == 307


async def test_proxies_and_netrc_of_the_environment_are_passed_over(tmp_path: object) -> None:
    old = {name: os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY")}
    os.environ.update(dict.fromkeys(old, "http://127.0.0.1:1"))
    try:
        status, _ = await fetched(answers("HTTP/1.1 200 OK\nContent-Length: 0"))
    finally:
        for name, value in old.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert status == 200


@pytest.mark.parametrize("url", ["http://example.com/", "ftp://localhost/", "localhost", "http://127.0.0.1.example/"])
async def test_only_https_or_this_machine(url: str) -> None:
    client = HttpClient()
    with pytest.raises(InvalidInputError, match="MB-T46"):
        await client.send(HttpRequest("GET", url))
    await client.aclose()


async def test_a_certificate_that_is_not_trusted_sends_nothing() -> None:
    seen: list[str] = []
    client = HttpClient()
    async with serving(answers("HTTP/1.1 200 OK", seen=seen), server_context()) as server:
        with pytest.raises(ConnectError) as caught:
            await client.send(HttpRequest("GET", f"https://localhost:{server.port}/"))
    await client.aclose()
    assert type(caught.value) is ConnectError
    assert "certificate" in caught.value.hint
    assert seen == []


async def test_a_refused_connection_was_never_sent() -> None:
    client = HttpClient()
    with pytest.raises(ConnectError) as caught:
        await client.send(HttpRequest("GET", "http://127.0.0.1:1/"))
    await client.aclose()
    assert type(caught.value) is ConnectError
    assert caught.value.code == "MB-T01"
    assert caught.value.fields["host"] == "127.0.0.1"


async def test_a_lost_answer_is_told_as_lost() -> None:
    async def talk(peer: Peer) -> None:
        await peer.hear()

    assert isinstance(await failure_of(talk), ConnectionLostError)


async def test_half_an_answer_is_told_as_lost() -> None:
    assert isinstance(await failure_of(answers("HTTP/1.1 200 OK\nContent-Length: 9", b"half")), ConnectionLostError)


async def test_no_http_at_all_is_told_as_lost() -> None:
    assert isinstance(await failure_of(answers("220 mail.example ESMTP")), ConnectionLostError)


async def test_a_silent_server_meets_the_deadline() -> None:
    assert isinstance(await failure_of(Peer.stall, seconds=0.05), DeadlineError)


async def test_a_server_that_trickles_meets_the_deadline_too() -> None:
    async def talk(peer: Peer) -> None:
        await peer.hear()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"x: y\r\n")
            await asyncio.sleep(0.01)

    assert isinstance(await failure_of(talk, seconds=0.1), DeadlineError)


async def test_a_body_beyond_the_limit_is_strange() -> None:
    error = await failure_of(answers("HTTP/1.1 200 OK", bytes(BODY_MAX + 1)))
    assert isinstance(error, AuthorizationUnavailableError)
    assert error.code == "MB-T44"
    _, body = await fetched(answers("HTTP/1.1 200 OK", bytes(BODY_MAX)))
    assert len(body) == BODY_MAX


async def test_an_endless_body_is_cut_off() -> None:
    async def talk(peer: Peer) -> None:
        await peer.hear()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(bytes(65_536))

    assert isinstance(await failure_of(talk), AuthorizationUnavailableError)


@pytest.mark.parametrize(
    ("coding", "body", "plain"),
    [
        ("gzip", gzip.compress(b"hello", mtime=0), b"hello"),
        ("identity", b"hello", b"hello"),
        ("gzip", gzip.compress(bytes(50_000_000)), None),
        ("gzip", gzip.compress(b"hello", mtime=0)[:-3], None),
        ("gzip", b"hello", None),
        ("br", b"hello", None),
    ],
)
async def test_compression_that_nobody_asked_for(coding: str, body: bytes, plain: bytes | None) -> None:
    talk = answers(f"HTTP/1.1 200 OK\nContent-Encoding: {coding}\nContent-Length: {len(body)}", body)
    if plain is None:
        assert (await failure_of(talk)).code == "MB-T44"
    else:
        assert (await fetched(talk))[1] == plain


def test_importing_the_client_costs_nothing_until_it_is_used() -> None:
    code = "import sys, mailbearer.net.http; sys.exit('httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
