"""An authorization server in memory: strict or lenient rotation, all flows, faults on order. Stands in for ``Http``."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

from mailbearer.clock import Clock
from mailbearer.errors import ConnectionLostError
from mailbearer.model.grant import Flow
from mailbearer.model.http import HttpRequest, HttpResponse
from mailbearer.model.provider import Endpoints, FlowAdvice, MailServer, Provider, Registration
from mailbearer.model.service import ServiceKind, TlsMode

BASE = "http://127.0.0.1:1"
ACCOUNT = "scanner@example.com"
PROVIDER = Provider(
    id="acme",
    name="Acme",
    family="generic-oidc",
    oauth=True,
    issuer=BASE,
    discovery_url="",
    endpoints=Endpoints(
        issuer=BASE,
        authorization=f"{BASE}/authorize",
        token=f"{BASE}/token",
        device_authorization=f"{BASE}/device",
        revocation=f"{BASE}/revoke",
        userinfo=f"{BASE}/userinfo",
        iss_in_response=True,
    ),
    placeholders=(),
    tenant_default="",
    scopes={ServiceKind.SMTP: ("mail.send",), ServiceKind.POP: ("mail.read",)},
    refresh_scopes=("offline_access",),
    identity_scopes=("openid", "email"),
    ignored_scopes=("offline_access", "openid", "email"),
    scope_separator=" ",
    authorization_parameters={},
    device_parameters={},
    flows=(FlowAdvice(Flow.DEVICE, allowed=True), FlowAdvice(Flow.CODE, allowed=True)),
    servers={
        ServiceKind.SMTP: (MailServer("smtp.example.com", 587, TlsMode.STARTTLS),),
        ServiceKind.POP: (MailServer("pop.example.com", 995, TlsMode.IMPLICIT),),
    },
    sasl={ServiceKind.SMTP: ("XOAUTH2",), ServiceKind.POP: ("XOAUTH2",)},
    domains=(),
    mx_suffixes=(),
    quirks=frozenset(),
    access_lifetime=3600,
    idle_lifetime_days=90,
)
REGISTRATION = Registration("acme", client_id="mailbearer")

Answer = Callable[[HttpRequest], HttpResponse]


def no(error: str, status: int = 400, **more: object) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, json.dumps({"error": error, **more}).encode())


def yes(**answer: object) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json"}, json.dumps(answer).encode())


@dataclass
class FakeAuthority:
    """``rotation`` strict: a refresh token works once, and shown again it ends the grant and counts as ``reused``."""

    clock: Clock
    rotation: str = "strict"  # or "keep"
    access_life: timedelta = timedelta(hours=1)
    refresh_idle: timedelta = timedelta(days=90)
    account: str = ACCOUNT
    names_account: str = "id_token"  # or "userinfo" or ""
    granted: tuple[str, ...] | None = None  # None: as asked
    gives_refresh_token: bool = True
    disabled: bool = False
    approved: bool = False
    declined: bool = False
    interval: int | None = 5
    delay_turns: int = 0
    faults: list[Answer | Exception] = field(default_factory=list)  # instead of the next answers
    lose: int = 0  # answers of the token endpoint that are carried out and then lost
    asked: Counter[str] = field(default_factory=Counter)
    alive: dict[str, int] = field(default_factory=dict)  # refresh token -> family
    used: dict[str, int] = field(default_factory=dict)
    last_use: dict[int, object] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    reused: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None  # token answers wait for it
    bodies: list[dict[str, str]] = field(default_factory=list)
    _count: int = 0

    async def send(self, request: HttpRequest, *, ca_file: str = "") -> HttpResponse:  # noqa: ARG002 - as the seam wants it
        path = urlsplit(request.url).path
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.bodies.append(form)
        self.asked[form.get("grant_type", path).rpartition(":")[2]] += 1
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault(request)
        match path:
            case "/device":
                return self._device()
            case "/token":
                return await self._token(form)
            case "/revoke":
                return self._revoke(form["token"])
            case "/userinfo":
                return yes(email=self.account) if self.names_account == "userinfo" else no("invalid_token", 401)
            case _:
                return HttpResponse(404, {}, b"")

    async def wait_in_flight(self) -> None:
        """Wait until a token request has come whose answer has not gone."""
        async with asyncio.timeout(5):
            await self._arrived.wait()

    def approve(self) -> None:
        self.approved = True

    def callback(self, authorization_url: str, **changed: str) -> str:
        """Return the address that the browser is sent to after signing in."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        answer = {"code": "the-code", "state": asked["state"], "iss": BASE} | changed
        return f"{asked['redirect_uri']}?{urlencode({name: value for name, value in answer.items() if value})}"

    def end_all(self) -> None:
        """The administrator of the account ends all its sign-ins."""
        self.alive.clear()

    def _device(self) -> HttpResponse:
        self._count += 1
        answer: dict[str, object] = {
            "device_code": f"device-{self._count}",
            "user_code": "WDJB-MJHT",
            "verification_uri": f"{BASE}/enter",
            "verification_uri_complete": f"{BASE}/enter?code=WDJB-MJHT",
            "expires_in": 900,
        }
        if self.interval is not None:
            answer["interval"] = self.interval
        return yes(**answer)

    async def _token(self, form: dict[str, str]) -> HttpResponse:
        self.in_flight += 1
        self._arrived.set()
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = self._answer(form)
            for _ in range(self.delay_turns):
                await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._arrived.clear()
        if self.lose:
            self.lose -= 1
            raise ConnectionLostError("MB-T01", host="127.0.0.1", problem="the connection was closed")
        return answer

    def _answer(self, form: dict[str, str]) -> HttpResponse:
        if self.disabled:
            return no("invalid_grant", error_description="AADSTS50057: disabled")
        match form["grant_type"].rpartition(":")[2]:
            case "device_code" if self.declined:
                return no("access_denied")
            case "device_code" if not self.approved:
                return no("authorization_pending")
            case "device_code" | "authorization_code":
                self._count += 1
                return self._tokens(self._count)
            case _:
                return self._refresh(form["refresh_token"])

    def _refresh(self, token: str) -> HttpResponse:
        if token in self.used:
            self.reused += 1
            self.alive = {other: family for other, family in self.alive.items() if family != self.used[token]}
        family = self.alive.get(token)
        if family is None or self.clock.now() - self.last_use[family] > self.refresh_idle:  # type: ignore[operator]
            return no("invalid_grant")
        if self.rotation == "strict":
            del self.alive[token]
            self.used[token] = family
        return self._tokens(family, again=token)

    def _tokens(self, family: int, *, again: str = "") -> HttpResponse:
        self._count += 1
        self.last_use[family] = self.clock.now()
        answer: dict[str, object] = {
            "access_token": f"access-{self._count}",
            "token_type": "Bearer",
            "expires_in": int(self.access_life.total_seconds()),
        }
        if self.gives_refresh_token and not (again and self.rotation == "keep"):
            refresh_token = f"refresh-{self._count}"
            self.alive[refresh_token] = family
            answer["refresh_token"] = refresh_token
        if self.granted is not None:
            answer["scope"] = " ".join(self.granted)
        if self.names_account == "id_token" and not again:
            claims = urlsafe_b64encode(json.dumps({"email": self.account}).encode()).rstrip(b"=").decode()
            answer["id_token"] = f"e30.{claims}.c2ln"
        return yes(**answer)

    def _revoke(self, token: str) -> HttpResponse:
        self.revoked.append(token)
        family = self.alive.get(token)
        self.alive = {other: of for other, of in self.alive.items() if of != family}
        return HttpResponse(200, {}, b"")
