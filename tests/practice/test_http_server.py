"""The device flow, refresh, revocation and the rest, seen by a client that is not ours."""

import asyncio
import base64
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from mailbearer.model.secret import Secret
from mailbearer.practice.options import CLIENT_ID, PracticeOptions, Rotation
from mailbearer.practice.world import PracticeWorld
from tests.fakes.clock import FakeClock
from tests.practice.conftest import ANNA, Application, word


async def test_device_flow_gives_tokens_for_the_account_that_allowed_it(application: Application) -> None:
    tokens = await application.sign_in()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", "3600")
    assert (await application.userinfo(tokens["access_token"])).json()["email"] == ANNA


async def test_poll_before_the_decision_says_pending(application: Application) -> None:
    assert word(await application.poll(await application.ask())) == "authorization_pending"


async def test_poll_too_soon_says_slow_down_and_adds_five_seconds(application: Application, clock: FakeClock) -> None:
    asked = await application.ask()
    words: list[str] = []
    for seconds in (0, 1, 9, 15):
        await clock.advance(seconds=seconds)
        words.append(word(await application.poll(asked)))
    assert words == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]


async def test_poll_after_no_says_denied(application: Application) -> None:
    asked = await application.ask()
    application.world.deny(asked["user_code"])
    assert word(await application.poll(asked)) == "access_denied"


async def test_code_runs_out(application: Application, clock: FakeClock) -> None:
    asked = await application.ask()
    await clock.advance(minutes=15)
    assert word(await application.poll(asked)) == "expired_token"


async def test_device_code_works_once(application: Application) -> None:
    asked = await application.ask()
    application.world.approve(asked["user_code"], ANNA)
    assert (await application.poll(asked)).status_code == 200
    assert word(await application.poll(asked)) == "expired_token"


async def test_person_may_allow_less_than_was_asked_for(application: Application) -> None:
    asked = await application.ask()
    application.world.approve(asked["user_code"], ANNA, scopes=("mail.send", "offline_access"))
    assert (await application.poll(asked)).json()["scope"] == "mail.send offline_access"


async def test_without_offline_access_there_is_no_refresh_token(application: Application) -> None:
    assert "refresh_token" not in await application.sign_in(scope="mail.send")


async def test_scope_is_left_out_when_so_chosen(application: Application) -> None:
    application.world.options = replace(application.world.options, names_scope=False)
    assert "scope" not in await application.sign_in()


async def test_access_token_is_as_long_as_chosen(application: Application) -> None:
    application.world.options = replace(application.world.options, token_size=16_384)
    tokens = await application.sign_in()
    assert len(tokens["access_token"]) == 16_384
    assert (await application.userinfo(tokens["access_token"])).status_code == 200


async def test_access_token_runs_out(application: Application, clock: FakeClock) -> None:
    tokens = await application.sign_in()
    await clock.advance(hours=1)
    answer = await application.userinfo(tokens["access_token"])
    assert (answer.status_code, word(answer)) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_refresh_gives_new_tokens(application: Application) -> None:
    first = await application.sign_in()
    second = (await application.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await application.userinfo(second["access_token"])).status_code == 200


async def test_strict_rotation_ends_everything_when_an_old_token_returns(application: Application) -> None:
    first = await application.sign_in()
    second = (await application.refresh(first["refresh_token"])).json()
    assert word(await application.refresh(first["refresh_token"])) == "invalid_grant"
    assert word(await application.refresh(second["refresh_token"])) == "invalid_grant"
    assert (await application.userinfo(second["access_token"])).status_code == 401


async def test_grace_rotation_takes_the_old_token_for_a_while(application: Application, clock: FakeClock) -> None:
    world = application.world
    world.options = replace(world.options, rotation=Rotation.GRACE, grace=timedelta(seconds=30))
    first = await application.sign_in()
    assert (await application.refresh(first["refresh_token"])).status_code == 200
    await clock.advance(seconds=29)
    again = await application.refresh(first["refresh_token"])
    assert again.status_code == 200
    await clock.advance(seconds=2)
    assert word(await application.refresh(first["refresh_token"])) == "invalid_grant"
    assert word(await application.refresh(again.json()["refresh_token"])) == "invalid_grant"


async def test_kept_refresh_token_is_not_told_again(application: Application) -> None:
    application.world.options = replace(application.world.options, rotation=Rotation.KEEP)
    first = await application.sign_in()
    for _ in range(3):
        answer = await application.refresh(first["refresh_token"])
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()


async def test_refresh_token_dies_of_idleness_and_use_keeps_it_alive(
    application: Application, clock: FakeClock
) -> None:
    application.world.options = replace(application.world.options, rotation=Rotation.KEEP)
    token = (await application.sign_in())["refresh_token"]
    for _ in range(3):
        await clock.advance(days=89)
        assert (await application.refresh(token)).status_code == 200
    await clock.advance(days=91)
    assert word(await application.refresh(token)) == "invalid_grant"


async def test_refresh_may_ask_for_fewer_scopes_but_not_for_more(application: Application) -> None:
    token = (await application.sign_in(scope="mail.send offline_access"))["refresh_token"]
    assert word(await application.refresh(token, scope="mail.receive")) == "invalid_scope"
    assert (await application.refresh(token, scope="mail.send")).json()["scope"] == "mail.send"


async def test_refresh_token_of_another_application_is_not_known(application: Application) -> None:
    application.world.options = replace(application.world.options, clients={CLIENT_ID: None, "other": None})
    token = (await application.sign_in())["refresh_token"]
    assert word(await application.refresh(token, client_id="other")) == "invalid_grant"
    assert (await application.refresh(token)).status_code == 200


async def test_revoked_refresh_token_takes_the_access_token_along(application: Application) -> None:
    tokens = await application.sign_in()
    assert (await application.post("/revoke", token=tokens["refresh_token"])).status_code == 200
    assert (await application.userinfo(tokens["access_token"])).status_code == 401


async def test_revoked_access_token_leaves_the_refresh_token(application: Application) -> None:
    tokens = await application.sign_in()
    await application.sign_in("otto@practice.example")
    assert (await application.post("/revoke", token=tokens["access_token"])).status_code == 200
    assert (await application.userinfo(tokens["access_token"])).status_code == 401
    assert (await application.refresh(tokens["refresh_token"])).status_code == 200


async def test_revoking_what_nobody_knows_is_no_error(application: Application) -> None:
    assert (await application.post("/revoke", token="nonsense")).status_code == 200


async def test_blocked_account_gets_nothing_until_the_block_is_lifted(application: Application) -> None:
    tokens = await application.sign_in()
    application.world.disable(ANNA)
    assert (await application.userinfo(tokens["access_token"])).status_code == 401
    assert word(await application.refresh(tokens["refresh_token"])) == "invalid_grant"
    application.world.enable(ANNA)
    assert (await application.refresh(tokens["refresh_token"])).status_code == 200


async def test_account_blocked_after_the_decision_gets_no_token(application: Application) -> None:
    asked = await application.ask()
    application.world.approve(asked["user_code"], ANNA)
    application.world.disable(ANNA)
    assert word(await application.poll(asked)) == "invalid_grant"


async def test_withdrawn_permission_is_gone(application: Application) -> None:
    tokens = await application.sign_in()
    assert application.world.revoke("Anna") == 1
    assert word(await application.refresh(tokens["refresh_token"])) == "invalid_grant"


async def test_expired_on_order_leaves_the_refresh_token(application: Application) -> None:
    tokens = await application.sign_in()
    application.world.expire(ANNA)
    assert (await application.userinfo(tokens["access_token"])).status_code == 401
    assert (await application.refresh(tokens["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code"}, 400, "invalid_grant"),
    ],
)
async def test_wrong_token_request_is_told_so(
    application: Application, form: dict[str, str], status: int, error: str
) -> None:
    answer = await application.post("/token", **form)
    assert (answer.status_code, word(answer)) == (status, error)


@pytest.mark.parametrize("scope", ["", "mail.send calendar"])
async def test_unknown_scope_is_refused(application: Application, scope: str) -> None:
    assert word(await application.post("/device_authorization", scope=scope)) == "invalid_scope"


async def test_client_with_a_secret_must_tell_it_in_the_form_or_the_header(application: Application) -> None:
    application.world.options = PracticeOptions(clients={"a b": Secret("s:e c")})
    url, scope = f"{application.world.issuer}/device_authorization", {"scope": "mail.send"}
    for form in ({}, {"client_secret": "wrong"}):
        answer = await application.post("/device_authorization", client_id="a b", **scope, **form)
        assert (answer.status_code, word(answer)) == (401, "invalid_client")
    right = await application.post("/device_authorization", client_id="a b", client_secret="s:e c", **scope)
    assert right.status_code == 200
    header = {"Authorization": "Basic " + base64.b64encode(b"a+b:s%3Ae+c").decode()}
    assert (await application.http.post(url, data=scope, headers=header)).status_code == 200
    header = {"Authorization": "Basic ****"}
    assert (await application.http.post(url, data=scope, headers=header)).status_code == 401


async def test_field_given_twice_is_refused(application: Application) -> None:
    body = f"client_id={CLIENT_ID}&grant_type=refresh_token&grant_type=refresh_token"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await application.http.post(f"{application.world.issuer}/token", content=body, headers=headers)
    assert word(answer) == "invalid_request"


async def test_body_of_another_kind_is_refused(application: Application) -> None:
    answer = await application.http.post(f"{application.world.issuer}/token", json={"client_id": CLIENT_ID})
    assert word(answer) == "invalid_request"


async def test_huge_body_is_refused(application: Application) -> None:
    answer = await application.post("/token", grant_type="refresh_token", refresh_token="x" * 300_000)
    assert (answer.status_code, word(answer)) == (413, "invalid_request")


async def test_answers_with_tokens_are_not_kept_by_anybody(application: Application) -> None:
    answer = await application.post("/token")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_date_is_that_of_the_clock(application: Application) -> None:
    assert (await application.post("/token")).headers["Date"] == "Mon, 02 Nov 2026 09:00:00 GMT"


async def test_name_that_is_not_ours_is_refused(application: Application) -> None:
    answer = await application.http.get(f"{application.world.issuer}/device", headers={"Host": "evil.example"})
    assert answer.status_code == 400


async def test_metadata_names_what_there_is(application: Application) -> None:
    issuer = application.world.issuer
    paths = ("oauth-authorization-server", "openid-configuration")
    found, same = [(await application.http.get(f"{issuer}/.well-known/{path}")).json() for path in paths]
    assert found == same
    assert found["issuer"] == issuer
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    for name, status in (("jwks_uri", 200), ("userinfo_endpoint", 401)):
        assert (await application.http.get(found[name])).status_code == status


async def test_id_token_is_signed_with_the_published_key(application: Application, clock: FakeClock) -> None:
    tokens = await application.sign_in()
    key = (await application.http.get(f"{application.world.issuer}/jwks")).json()["keys"][0]
    point = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), ec.SECP256R1())
    signed, _, signature = tokens["id_token"].rpartition(".")
    r, s = _decoded(signature)[:32], _decoded(signature)[32:]
    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    point.public_key().verify(der, signed.encode(), ec.ECDSA(SHA256()))
    claims = json.loads(_decoded(signed.partition(".")[2]))
    assert (claims["email"], claims["aud"], claims["iss"]) == (ANNA, CLIENT_ID, application.world.issuer)
    assert claims["iat"] == clock.now().timestamp()


async def test_fault_replaces_the_answer_as_often_as_ordered(application: Application) -> None:
    token = (await application.sign_in())["refresh_token"]
    application.world.fault("/token", status=503, body="<p>out of order", headers={"Retry-After": "7"}, count=2)
    first, second, third = [await application.refresh(token) for _ in range(3)]
    assert (first.status_code, first.text, first.headers["Retry-After"]) == (503, "<p>out of order", "7")
    assert (second.status_code, third.status_code) == (503, 200)


async def test_fault_may_answer_with_json(application: Application) -> None:
    application.world.fault("/token", status=400, body={"error": "invalid_grant"})
    assert word(await application.refresh("anything")) == "invalid_grant"


async def test_dropped_request_is_not_carried_out(application: Application) -> None:
    token = (await application.sign_in())["refresh_token"]
    application.world.fault("/token", drop=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        await application.refresh(token)
    assert (await application.refresh(token)).status_code == 200


async def test_dropped_answer_leaves_the_token_used(application: Application) -> None:
    token = (await application.sign_in())["refresh_token"]
    application.world.fault("/token", drop=True, after=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        await application.refresh(token)
    assert word(await application.refresh(token)) == "invalid_grant"


async def test_delayed_answer_comes_later(application: Application, clock: FakeClock) -> None:
    application.world.fault("/token", delay=30)
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(application.refresh("unknown"))
        await clock.until_asleep()
        assert not answer.done()
        await clock.advance(seconds=30)
    assert word(answer.result()) == "invalid_grant"


async def test_fault_without_end_lasts_until_it_is_taken_back(application: Application) -> None:
    application.world.fault("/token", status=500, count=-1)
    assert [(await application.refresh("x")).status_code for _ in range(5)] == [500] * 5
    application.world.clear_faults()
    assert (await application.refresh("x")).status_code == 400


async def test_journal_tells_what_was_asked_and_how_it_ended(application: Application) -> None:
    token = (await application.sign_in())["refresh_token"]
    application.world.fault("/token", status=503)
    application.world.fault("/token", status=503, after=True)
    for _ in range(3):
        await application.refresh(token)
    refreshes = [entry.outcome for entry in application.world.journal if entry.grant_type == "refresh_token"]
    assert refreshes == ["fault 503", "ok, fault 503", "invalid_grant"]


async def test_journal_can_be_read_by_endpoint(application: Application) -> None:
    await application.sign_in()
    assert [entry.endpoint for entry in application.world.journal] == ["/device_authorization", "/token"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_gets_a_token(world: PracticeWorld) -> None:
    asked = await _curl(f"{world.issuer}/device_authorization", "-d", f"client_id={CLIENT_ID}&scope=mail.send")
    world.approve(str(asked["user_code"]), "anna")
    form = f"client_id={CLIENT_ID}&grant_type=urn:ietf:params:oauth:grant-type:device_code"
    tokens = await _curl(f"{world.issuer}/token", "-d", form, "-d", f"device_code={asked['device_code']}")
    assert tokens["scope"] == "mail.send"


async def test_nothing_secret_is_written_down(application: Application, tmp_path: Path) -> None:
    tokens = await application.sign_in()
    written = (tmp_path / "practice" / "practice.json").read_text("utf-8")
    assert tokens["access_token"] not in written
    assert tokens["refresh_token"] not in written


async def _curl(*arguments: str) -> dict[str, object]:
    process = await asyncio.create_subprocess_exec("curl", "-sS", *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    answer = json.loads(out)
    assert isinstance(answer, dict)
    return answer


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _number(part: str) -> int:
    return int.from_bytes(_decoded(part))
