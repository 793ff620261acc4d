"""Signing in: what a refusal means for the mail and for the token; passwords; which server."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from mailbearer.model.message import MessageState, QueuedMessage
from mailbearer.model.provider import Provider, Registration
from mailbearer.model.secret import Secret
from mailbearer.model.service import AuthMethod, TlsMode
from mailbearer.model.token import TokenStatus
from mailbearer.tokens.status import token_facts
from tests.fakes.net_server import Peer, serving
from tests.sending.office import SMTP, Office, office


async def tried(office: Office) -> QueuedMessage:
    message = await office.put()
    await office.courier.flush()
    return await office.store.messages.get(message)


async def status(office: Office) -> TokenStatus:
    return (await token_facts(office.context, SMTP)).status


async def test_fresh_token_that_is_refused_too_makes_the_grant_invalid_and_holds_the_mail(ready: Office) -> None:
    await ready.clock.advance(minutes=2)
    ready.world.fault("smtp/auth", body="535 5.7.8 No", count=2)
    found = await tried(ready)
    assert (found.state, found.code) == (MessageState.HELD, "MB-S13")
    assert await status(ready) is TokenStatus.INVALID


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("454 4.7.0 Temporary authentication failure", MessageState.RETRYING),
        ("530 5.7.57 Client not authenticated", MessageState.HELD),
        ("550 5.6.0 What", MessageState.HELD),
    ],
)
async def test_other_refusals_leave_the_token_alone(ready: Office, reply: str, state: MessageState) -> None:
    ready.world.fault("smtp/auth", body=reply)
    assert (await tried(ready)).state is state
    assert await status(ready) is TokenStatus.RETRIEVED


async def test_server_without_our_mechanisms_is_told(ready: Office) -> None:
    ready.sets(SMTP, auth=AuthMethod.PASSWORD, password=Secret("password"))
    found = await tried(ready)
    assert (found.state, found.code) == (MessageState.RETRYING, "MB-S11")


async def test_service_without_password_or_server_holds_its_mail(ready: Office) -> None:
    ready.sets(SMTP, auth=AuthMethod.PASSWORD)
    assert (await tried(ready)).code == "MB-W31"
    ready.sets(SMTP, primary_server="")
    found = await tried(ready)
    assert (found.state, found.code) == (MessageState.HELD, "MB-W30")


async def test_fault_of_our_own_puts_the_mail_off(tmp_path: Path) -> None:
    async with office(tmp_path) as here:

        async def broken(_: str) -> tuple[Provider, Registration]:
            raise ZeroDivisionError

        here.relay._sources = replace(here.sources, provider_of=broken)
        found = await tried(here)
        assert (found.state, found.code) == (MessageState.RETRYING, "MB-W08")


@pytest.mark.parametrize(
    ("offered", "heard"),
    [
        ("PLAIN LOGIN", [b"\0anna@practice.example\0password"]),
        ("LOGIN", [b"anna@practice.example", b"password"]),
    ],
)
async def test_password_is_shown_to_this_machine_as_the_server_wants_it(
    ready: Office, offered: str, heard: list[bytes]
) -> None:
    shown: list[bytes] = []

    async def talk(peer: Peer) -> None:
        await peer.say("220 localhost")
        while command := await peer.hear():
            if command.startswith("EHLO"):
                await peer.say("250-localhost", f"250 AUTH {offered}")
            elif command.startswith("AUTH"):
                for _ in heard:
                    await peer.say("334 ")
                    shown.append(base64.b64decode(await peer.hear()))
                await peer.say("235 Welcome")
            elif command == "DATA":
                await peer.say("354 Go on")
                await peer.hear_message()
                await peer.say("250 OK")
            else:
                await peer.say("250 OK")

    async with serving(talk) as state:
        changes = {"auth": AuthMethod.PASSWORD, "password": Secret("password"), "tls": TlsMode.OFF, "provider": ""}
        ready.sets(SMTP, primary_server="127.0.0.1", port=state.port, **changes)
        assert (await tried(ready)).state is MessageState.ACCEPTED
    assert shown == heard


async def test_password_that_is_refused_holds_the_mail(ready: Office) -> None:
    async def talk(peer: Peer) -> None:
        await peer.say("220 localhost")
        await peer.hear()
        await peer.say("250-localhost", "250 AUTH PLAIN")
        await peer.hear()
        await peer.say("535 5.7.8 No")
        await peer.stall()

    async with serving(talk) as state:
        changes = {"auth": AuthMethod.PASSWORD, "password": Secret("password"), "tls": TlsMode.OFF, "provider": ""}
        ready.sets(SMTP, primary_server="127.0.0.1", port=state.port, **changes)
        found = await tried(ready)
    assert (found.state, found.code, found.reply) == (MessageState.HELD, "MB-S13", "535 5.7.8 No")
