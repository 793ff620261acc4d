"""The web listener on a real socket, asked by hand and by a client that others wrote."""

import asyncio
import re
import socket
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import httpx2
import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError, StoreError
from mailbearer.web.listener import WebListener
from mailbearer.web.site import Windows, build_site, page


class House:
    """What stands behind the windows."""

    def __init__(self) -> None:
        self.missing = ""
        self.came: list[str] = []

    async def ready(self) -> str:
        return self.missing

    async def metrics(self) -> bytes:
        return b"mailbearer_tokens 1.0\n"

    async def come_back(self, query: str) -> str:
        self.came.append(query)
        if "good" not in query:
            raise InvalidInputError("MB-W05", field="<script>", problem=query)
        return "<b>scanner</b>@practice.example"


@asynccontextmanager
async def listening(house: House) -> AsyncIterator[int]:
    windows = Windows(ready=house.ready, metrics=house.metrics, come_back=house.come_back)
    listener = WebListener(build_site(windows), "127.0.0.1", 0)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listener.serve())
        yield listener.port
        task.cancel()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def port(house: House) -> AsyncIterator[int]:
    async with listening(house) as port:
        yield port


@pytest.fixture
async def http(port: int) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read(100_000)
    writer.close()
    return answer


async def test_health_readiness_and_metrics(http: httpx2.AsyncClient, house: House) -> None:
    assert (await http.get("/healthz")).text == "alive\n"
    assert (await http.get("/readyz")).json() == {"ready": True, "missing": ""}
    house.missing = "the disk is full"
    unready = await http.get("/readyz")
    assert (unready.status_code, unready.json()["missing"]) == (503, "the disk is full")
    told = await http.get("/metrics")
    assert (told.text, told.headers["content-type"]) == (
        "mailbearer_tokens 1.0\n",
        "text/plain; version=0.0.4; charset=utf-8",
    )


async def test_nothing_else_is_there(http: httpx2.AsyncClient) -> None:
    for path in ("/", "/docs", "/openapi.json", "/oauth/callback/", "/../etc/passwd"):
        assert (await http.get(path)).status_code == 404
    assert (await http.post("/oauth/callback?code=good")).status_code == 405
    assert "server" not in (await http.get("/healthz")).headers


async def test_browser_that_comes_back_sees_an_escaped_page(http: httpx2.AsyncClient, house: House) -> None:
    answer = await http.get("/oauth/callback?code=good&state=x")
    assert (answer.status_code, house.came) == (200, ["?code=good&state=x"])
    assert "&lt;b&gt;scanner&lt;/b&gt;@practice.example" in answer.text
    refused = await http.get("/oauth/callback?error=<script>alert(1)</script>")
    assert refused.status_code == 400
    assert "<script" not in refused.text
    assert "MB-W05" in refused.text


async def test_pages_load_nothing_send_nothing_on_and_are_kept_nowhere(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/oauth/callback?code=good")
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    assert b64encode(sha256(style[1].encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "good" not in answer.text


async def test_address_that_is_too_long_is_refused_unread(http: httpx2.AsyncClient, house: House) -> None:
    assert (await http.get(f"/oauth/callback?code={'x' * 17_000}")).status_code == 414
    assert house.came == []


@pytest.mark.parametrize("host", ["evil.example", "[", "a b", "x" * 5000, "\xff", "evil.example/?code=bad&"])
async def test_host_header_is_nobodys_business(port: int, house: House, host: str) -> None:
    request = f"GET /oauth/callback?code=good HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = await raw(port, request.encode("latin-1"))
    assert b" 200 " in answer.split(b"\r\n")[0] or b" 400 " in answer.split(b"\r\n")[0]
    assert house.came in (["?code=good"], [])
    assert b"evil" not in answer


async def test_nonsense_does_not_disturb_others(port: int, http: httpx2.AsyncClient) -> None:
    for request in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"x" * 100_000 + b"\r\n\r\n"):
        assert b" 400 " in (await raw(port, request)).split(b"\r\n")[0]
    assert (await http.get("/healthz")).status_code == 200


async def test_stopping_lets_an_open_request_end(house: House) -> None:
    windows = Windows(ready=house.ready, metrics=house.metrics, come_back=house.come_back)
    listener = WebListener(build_site(windows), "127.0.0.1", 0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listener.serve())
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{listener.port}/healthz")).status_code == 200
        listener.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", listener.port), timeout=1)


def test_taken_port_and_strange_address_are_said(house: House) -> None:
    site = build_site(Windows(ready=house.ready, metrics=house.metrics, come_back=house.come_back))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StoreError) as caught:
            WebListener(site, "127.0.0.1", taken.getsockname()[1])
    assert caught.value.code == "MB-G08"
    with pytest.raises(InvalidInputError) as strange:
        WebListener(site, "203.0.113.1", 0)
    assert strange.value.code == "MB-W05"


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_text_becomes_markup(title: str, text: str) -> None:
    def tags(body: bytes) -> list[bytes]:
        return re.findall(rb"<[!/a-zA-Z]", body)

    try:
        body = bytes(page(title, text).body)
    except UnicodeEncodeError:
        return
    assert tags(body) == tags(bytes(page("", "").body))
