"""A practice world, a browser-like HTTP client, and a sign-in made in one line."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from mailbearer.practice.options import CLIENT_ID, PracticeOptions
from mailbearer.practice.world import PracticeWorld
from tests.fakes.clock import FakeClock

ANNA = "anna@practice.example"
ALL_SCOPES = "mail.send mail.receive offline_access openid email"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class Application:
    """A client of the authorization server, with nothing of ours in it but the addresses."""

    world: PracticeWorld
    http: httpx2.AsyncClient

    async def post(self, path: str, **form: str) -> httpx2.Response:
        return await self.http.post(f"{self.world.issuer}{path}", data={"client_id": CLIENT_ID} | form)

    async def ask(self, scope: str = ALL_SCOPES) -> dict[str, str]:
        answer = await self.post("/device_authorization", scope=scope)
        assert answer.status_code == 200, answer.text
        return {name: str(value) for name, value in answer.json().items()}

    async def poll(self, asked: dict[str, str]) -> httpx2.Response:
        return await self.post("/token", grant_type=DEVICE_GRANT, device_code=asked["device_code"])

    async def sign_in(self, account: str = ANNA, scope: str = ALL_SCOPES) -> dict[str, str]:
        asked = await self.ask(scope)
        self.world.approve(asked["user_code"], account)
        answer = await self.poll(asked)
        assert answer.status_code == 200, answer.text
        return {name: str(value) for name, value in answer.json().items()}

    async def refresh(self, token: str, **form: str) -> httpx2.Response:
        return await self.post("/token", grant_type="refresh_token", refresh_token=token, **form)

    async def userinfo(self, token: str) -> httpx2.Response:
        return await self.http.get(f"{self.world.issuer}/userinfo", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def world(tmp_path: Path, clock: FakeClock) -> AsyncGenerator[PracticeWorld]:
    options = PracticeOptions(interval=timedelta(seconds=5))
    async with PracticeWorld(tmp_path / "practice", options, clock=clock) as world:
        yield world


@pytest.fixture
async def application(world: PracticeWorld) -> AsyncGenerator[Application]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Application(world, http)


def word(answer: httpx2.Response) -> str:
    """Return the error word of an answer."""
    return str(answer.json()["error"])
