import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mailbearer.errors import AuthorizationError, ConflictError, ConnectError, InvalidInputError, MailbearerError
from mailbearer.model.grant import CodeSignIn, DeviceSignIn, Flow
from mailbearer.model.provider import FlowAdvice, Registration
from mailbearer.model.service import AuthMethod
from mailbearer.model.token import TokenStatus
from mailbearer.providers.quirks import Quirk
from mailbearer.tokens.context import ChangeKind
from tests.tokens.authority import ACCOUNT, BASE, FakeAuthority, no
from tests.tokens.room import POP, SMTP, EagerClock, Room, opened


async def begin(room: Room, flow: Flow = Flow.CODE, **more: object) -> CodeSignIn | DeviceSignIn:
    pending = await room.sign_ins.begin(SMTP, flow=flow, by="Ada", **more)  # type: ignore[arg-type]
    return pending.sign_in


def all_bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def page(room: Room) -> str:
    sign_in = await begin(room)
    assert isinstance(sign_in, CodeSignIn)
    return sign_in.authorization_url


async def test_the_device_flow_waits_until_the_person_has_signed_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        sign_in = await begin(room, Flow.DEVICE)
        assert isinstance(sign_in, DeviceSignIn)
        assert await room.status() is TokenStatus.WAITING
        facts = (await room.facts()).sign_in
        assert facts is not None
        assert facts.user_code == sign_in.user_code == "WDJB-MJHT"
        room.authority.faults = [lambda _: no("authorization_pending")] * 3
        room.authority.approve()
        grant = await room.sign_ins.poll_until_done(SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED
        assert grant.account_confirmed
        assert grant.flow is Flow.DEVICE
        assert [change.kind for change in room.heard] == [ChangeKind.WAITING, ChangeKind.RETRIEVED]
        assert room.clock.monotonic() == 4 * 5


async def test_slow_down_adds_five_seconds_for_all_later_polls(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room, Flow.DEVICE)
        room.authority.faults = [
            lambda _: no("slow_down"),
            lambda _: no("authorization_pending"),
            lambda _: no("authorization_pending"),
        ]
        room.authority.approve()
        await room.sign_ins.poll_until_done(SMTP.id)
        assert room.clock.monotonic() == 5 + 10 + 10 + 10


async def test_an_outage_during_polling_is_waited_out_with_longer_pauses(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room, Flow.DEVICE)
        room.authority.faults = [ConnectError("MB-T01"), lambda _: no("server_error", 500)]
        room.authority.approve()
        await room.sign_ins.poll_until_done(SMTP.id)
        assert room.clock.monotonic() == 5 + 10 + 20


async def test_a_code_nobody_uses_runs_out(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room, Flow.DEVICE)
        with pytest.raises(AuthorizationError) as caught:
            await room.sign_ins.poll_until_done(SMTP.id)
        assert caught.value.code == "MB-T02"
        facts = await room.facts()
        assert facts.status is TokenStatus.NOT_RETRIEVED
        assert facts.last_sign_in is not None
        assert facts.last_sign_in.code == "MB-T02"


async def test_a_code_that_ran_out_is_no_longer_waited_for_even_if_nobody_polls(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room, Flow.DEVICE)
        await room.clock.sleep(901)
        assert await room.status() is TokenStatus.NOT_RETRIEVED
        await begin(room, Flow.DEVICE)


async def test_a_declined_sign_in_leaves_the_held_token_in_use(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        held = await room.get_token()
        await begin(room, Flow.DEVICE)
        assert await room.status() is TokenStatus.WAITING
        assert (await room.facts()).held
        room.authority.declined = True
        with pytest.raises(AuthorizationError) as caught:
            await room.sign_ins.poll_until_done(SMTP.id)
        assert caught.value.code == "MB-T03"
        assert await room.status() is TokenStatus.RETRIEVED
        assert await room.held() == held


async def test_polling_goes_on_with_the_same_code_after_a_restart(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock)
    async with opened(tmp_path, clock, authority=authority) as room:
        await begin(room, Flow.DEVICE)
    authority.approve()
    async with opened(tmp_path, clock, authority=authority) as room:
        await room.sign_ins.poll_until_done(SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED
        assert authority.asked["/device"] == 1


async def test_many_who_wait_in_two_processes_poll_once_and_all_hear_the_end(tmp_path: Path) -> None:
    clock = EagerClock()
    authority = FakeAuthority(clock, delay_turns=100)
    async with opened(tmp_path, clock, authority=authority) as one, opened(tmp_path, clock, authority=authority) as two:
        await begin(one, Flow.DEVICE)
        authority.approve()
        grants = await asyncio.gather(*(room.sign_ins.poll_until_done(SMTP.id) for room in (one, two) * 4))
        assert len({grant.tokens.access_token.reveal() for grant in grants}) == 1
        assert authority.asked["device_code"] == 1


async def test_many_who_wait_hear_of_a_refusal_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room, Flow.DEVICE)
        room.authority.declined = True
        waiting = (room.sign_ins.poll_until_done(SMTP.id) for _ in range(4))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [error.code for error in outcomes if isinstance(error, MailbearerError)] == ["MB-T03"] * 4


@pytest.mark.parametrize("end", ["cancel", "delete", "start over"])
async def test_what_ends_a_sign_in_while_the_answer_is_on_its_way_wins(tmp_path: Path, end: str) -> None:
    async with opened(tmp_path) as room:
        room.authority.gate = asyncio.Event()
        url = room.authority.callback(await page(room))
        exchange = asyncio.create_task(room.sign_ins.finish_redirect(url))
        await room.authority.wait_in_flight()
        match end:
            case "cancel":
                assert await room.sign_ins.cancel(SMTP.id)
            case "delete":
                await room.delete()
            case _:
                await begin(room, Flow.DEVICE, replace=True)
        room.authority.gate.set()
        with pytest.raises(ConflictError) as caught:
            await exchange
        assert caught.value.code == "MB-T52"
        assert (await room.facts()).held is False
        assert room.authority.alive == {}, "what came too late was revoked"


async def test_a_renewal_during_the_exchange_does_not_hinder_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        await room.clock.sleep(120)
        url = room.authority.callback(await page(room))
        room.authority.gate = asyncio.Event()
        exchange = asyncio.create_task(room.sign_ins.finish_redirect(url))
        await room.authority.wait_in_flight()
        gate, room.authority.gate = room.authority.gate, None
        assert (await room.renewals.renew(SMTP.id, force=True)).version == 2
        gate.set()
        assert (await exchange).version == 3


async def test_the_code_flow_checks_state_issuer_and_the_form_of_the_address(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = await page(room)
        good = room.authority.callback(url)
        for bad, code in (
            (room.authority.callback(url, state="other"), "MB-T43"),
            (room.authority.callback(url, iss="https://evil.example"), "MB-T43"),
            (room.authority.callback(url, iss=""), "MB-T43"),
            ("http://127.0.0.1:53682/", "MB-T18"),
            ("what?state=" + "%ff", "MB-T18"),
        ):
            for service in (None, SMTP.id):
                with pytest.raises(InvalidInputError) as caught:
                    await room.sign_ins.finish_redirect(bad, service=service)
                assert caught.value.code in {code, "MB-T18", "MB-T43"}
        assert room.authority.asked["authorization_code"] == 0
        assert await room.status() is TokenStatus.WAITING
        await room.sign_ins.finish_redirect(good, service=SMTP.id)
        assert await room.status() is TokenStatus.RETRIEVED


async def test_the_code_flow_proves_its_verifier(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = await page(room)
        assert "code_challenge_method=S256" in url
        await room.sign_ins.finish_redirect(room.authority.callback(url))
        assert len(room.authority.bodies[-1]["code_verifier"]) == 64
        assert room.authority.bodies[-1]["redirect_uri"] == "http://127.0.0.1:53682/"


async def test_an_address_that_comes_twice_gives_one_token(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.delay_turns = 100
        url = room.authority.callback(await page(room))
        one, two = await asyncio.gather(room.sign_ins.finish_redirect(url), room.sign_ins.finish_redirect(url))
        assert one == two
        assert room.authority.asked["authorization_code"] == 1


async def test_a_no_in_the_address_ends_the_sign_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = room.authority.callback(await page(room), code="", error="access_denied")
        with pytest.raises(AuthorizationError) as caught:
            await room.sign_ins.finish_redirect(url)
        assert caught.value.code == "MB-T03"
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_an_outage_at_the_exchange_leaves_the_sign_in_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = room.authority.callback(await page(room))
        for fault in (ConnectError("MB-T01"), lambda _: no("server_error", 500)):
            room.authority.faults = [fault]
            with pytest.raises(MailbearerError):
                await room.sign_ins.finish_redirect(url)
            assert await room.status() is TokenStatus.WAITING
        await room.sign_ins.finish_redirect(url)


async def test_a_late_address_belongs_to_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = room.authority.callback(await page(room))
        await room.clock.sleep(901)
        with pytest.raises(InvalidInputError) as caught:
            await room.sign_ins.finish_redirect(url)
        assert caught.value.code == "MB-T43"
        with pytest.raises(ConflictError) as conflict:
            await room.sign_ins.finish_redirect(url, service=SMTP.id)
        assert conflict.value.code == "MB-T52"


async def test_an_address_for_a_sign_in_by_code_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room, Flow.DEVICE)
        with pytest.raises(InvalidInputError) as caught:
            await room.sign_ins.finish_redirect(f"{BASE}/?code=x&state=y", service=SMTP.id)
        assert caught.value.code == "MB-T43"


async def test_waiting_for_the_login_page_hears_the_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = room.authority.callback(await page(room))
        waiting = asyncio.create_task(room.sign_ins.poll_until_done(SMTP.id))
        await asyncio.sleep(0)
        grant = await room.sign_ins.finish_redirect(url)
        assert await waiting == grant


@pytest.mark.parametrize(
    ("habit", "code"),
    [
        ({"account": "boss@example.com"}, "MB-T06"),
        ({"account": "boss@example.com", "names_account": "userinfo"}, "MB-T06"),
        ({"granted": ("openid", "email")}, "MB-T20"),
        ({"gives_refresh_token": False}, "MB-T21"),
    ],
)
async def test_a_wrong_token_never_takes_the_place_of_the_held_one(
    tmp_path: Path, habit: dict[str, object], code: str
) -> None:
    async with opened(tmp_path) as room:
        held = await room.get_token()
        for name, value in habit.items():
            setattr(room.authority, name, value)
        url = room.authority.callback(await page(room))
        with pytest.raises(AuthorizationError) as caught:
            await room.sign_ins.finish_redirect(url)
        assert caught.value.code == code
        assert await room.held() == held
        assert await room.status() is TokenStatus.RETRIEVED
        assert room.authority.revoked == []


async def test_a_different_account_is_told_by_both_names(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.account = "boss@example.com"
        url = room.authority.callback(await page(room))
        with pytest.raises(AuthorizationError) as caught:
            await room.sign_ins.finish_redirect(url)
        assert caught.value.fields["account"] == ACCOUNT
        assert caught.value.fields["other"] == "boss@example.com"


async def test_the_account_may_differ_in_letter_case(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.account = ACCOUNT.upper()
        assert (await room.get_token()).account_confirmed


@pytest.mark.parametrize("endpoint", [f"{BASE}/userinfo", ""])
async def test_a_provider_that_does_not_tell_the_account_is_believed(tmp_path: Path, endpoint: str) -> None:
    async with opened(tmp_path) as room:
        room.authority.names_account = ""
        room.of_provider(endpoints=replace(room.party.provider.endpoints, userinfo=endpoint))
        grant = await room.get_token()
        assert not grant.account_confirmed
        assert grant.account == ACCOUNT


async def test_an_id_token_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        url = room.authority.callback(await page(room))
        room.authority.faults = [
            lambda _: no("", 200, access_token="a", refresh_token="r", id_token="not-a-token"),
        ]
        assert not (await room.sign_ins.finish_redirect(url)).account_confirmed


async def test_fewer_scopes_than_identity_ones_do_no_harm(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.granted = ("MAIL.SEND",)
        assert (await room.get_token()).tokens.scope == ("MAIL.SEND",)


async def test_a_second_get_token_is_refused_unless_it_replaces(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room)
        with pytest.raises(ConflictError) as caught:
            await begin(room)
        assert caught.value.code == "MB-T29"
        await begin(room, replace=True)


async def test_each_service_signs_in_for_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token(SMTP)
        await room.get_token(POP)
        await room.delete(SMTP.id)
        assert await room.status(POP.id) is TokenStatus.RETRIEVED
        assert await room.status(SMTP.id) is TokenStatus.NOT_RETRIEVED
        assert room.authority.revoked == [], "the provider might have ended the other one with it"


@pytest.mark.parametrize(
    ("settings", "code"),
    [({"auth": AuthMethod.PASSWORD}, "MB-W05"), ({"provider": ""}, "MB-W05"), ({"account": ""}, "MB-W05")],
)
async def test_unfinished_settings_are_told(tmp_path: Path, settings: dict[str, object], code: str) -> None:
    async with opened(tmp_path) as room:
        service = replace(SMTP, settings=replace(SMTP.settings, **settings))  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError) as caught:
            await room.sign_ins.begin(service, by="Ada")
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "flow", "code"),
    [
        ({"oauth": False}, None, "MB-T50"),
        ({"flows": ()}, None, "MB-T51"),
        ({"flows": (FlowAdvice(Flow.CODE, allowed=True),)}, Flow.DEVICE, "MB-T51"),
        ({"flows": (FlowAdvice(Flow.DEVICE, allowed=False, warning="Not here."),)}, Flow.DEVICE, "MB-T51"),
    ],
)
async def test_what_the_provider_does_not_allow_is_told(
    tmp_path: Path, changes: dict[str, object], flow: Flow | None, code: str
) -> None:
    async with opened(tmp_path) as room:
        room.of_provider(**changes)
        with pytest.raises(InvalidInputError) as caught:
            await room.sign_ins.begin(SMTP, flow=flow, by="Ada")
        assert caught.value.code == code
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_without_client_id_there_is_no_sign_in(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.party.registration = Registration("acme")
        with pytest.raises(InvalidInputError) as caught:
            await room.sign_ins.begin(SMTP, by="Ada")
        assert caught.value.code == "MB-T49"


async def test_without_a_wish_the_first_way_that_works_is_taken(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.of_provider(endpoints=replace(room.party.provider.endpoints, device_authorization=""))
        assert (await room.sign_ins.begin(SMTP, by="Ada")).flow is Flow.CODE


async def test_a_refused_device_request_begins_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.authority.faults = [lambda _: no("invalid_scope")]
        with pytest.raises(AuthorizationError) as caught:
            await begin(room, Flow.DEVICE)
        assert caught.value.code == "MB-T19"
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_the_browser_is_sent_where_the_provider_allows_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.of_provider(quirks=frozenset({Quirk.LOOPBACK_BY_NAME, Quirk.NO_PRIVATE_REDIRECT}))
        sign_in = await begin(room)
        assert isinstance(sign_in, CodeSignIn)
        assert sign_in.redirect_uri == "http://localhost:53682/"
        with pytest.raises(InvalidInputError) as caught:
            await begin(room, replace=True, redirect_uri="http://192.168.1.5/callback")
        assert caught.value.code == "MB-T17"


async def test_nothing_under_way_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        with pytest.raises(ConflictError) as caught:
            await room.sign_ins.poll_until_done(SMTP.id)
        assert caught.value.code == "MB-T52"
        assert not await room.sign_ins.cancel(SMTP.id)


async def test_who_waits_hears_of_a_cancel(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room)
        waiting = asyncio.create_task(room.sign_ins.poll_until_done(SMTP.id))
        await asyncio.sleep(0)
        await room.sign_ins.cancel(SMTP.id)
        with pytest.raises(ConflictError):
            await waiting
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_codes_and_verifiers_are_not_readable_in_the_database(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        sign_in = await begin(room)
        assert isinstance(sign_in, CodeSignIn)
        await room.get_token(POP)
        grant = await room.held(POP.id)
        secrets = [sign_in.state, sign_in.code_verifier, grant.tokens.access_token, grant.tokens.refresh_token]
    bytes_on_disk = all_bytes_in(tmp_path)
    for secret in secrets:
        assert secret is not None
        assert secret.reveal().encode() not in bytes_on_disk


async def test_a_device_sign_in_expires_when_the_provider_says(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        pending = await room.sign_ins.begin(SMTP, flow=Flow.DEVICE, by="Ada")
        assert pending.expires_at - pending.started_at == timedelta(seconds=900)


async def test_an_address_with_thousands_of_parameters_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await begin(room)
        with pytest.raises(InvalidInputError) as caught:
            await room.sign_ins.finish_redirect("http://127.0.0.1/?" + "&".join(f"a{n}=1" for n in range(5000)))
        assert caught.value.code == "MB-T18"
