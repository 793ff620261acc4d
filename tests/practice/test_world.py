"""Starting, stopping and starting again; several worlds; the entry for the catalogue."""

import asyncio
import socket
import ssl
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import uvloop

from mailbearer.errors import InvalidInputError, NotFoundError, StoreError
from mailbearer.model.http import HttpResponse
from mailbearer.model.service import ServiceKind
from mailbearer.practice.options import Rotation
from mailbearer.practice.world import PracticeWorld
from mailbearer.protocol.oauth.metadata import parse_metadata
from tests.fakes.clock import FakeClock
from tests.practice.conftest import ANNA, Application, word
from tests.practice.test_post_office import fetch
from tests.practice.test_submission import MESSAGE, send


async def test_world_starts_and_stops_at_once(tmp_path: Path) -> None:
    began = time.perf_counter()
    async with PracticeWorld(tmp_path):
        pass
    assert time.perf_counter() - began < 0.4


async def test_tokens_mail_ports_and_pending_codes_outlive_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        async with PracticeWorld(tmp_path, clock=clock) as world:
            ports, certificate = world.ports, world.ca_file.read_bytes()
            application = Application(world, http)
            tokens, asked = await application.sign_in(), await application.ask()
            world.put(ANNA, b"Subject: x\r\n\r\n")
            world.disable("otto")
        async with PracticeWorld(tmp_path, clock=clock) as world:
            assert (world.ports, world.ca_file.read_bytes()) == (ports, certificate)
            application = Application(world, http)
            assert (await application.userinfo(tokens["access_token"])).status_code == 200
            assert (await application.refresh(tokens["refresh_token"])).status_code == 200
            assert word(await application.refresh(tokens["refresh_token"])) == "invalid_grant"
            assert world.mailbox(ANNA) == [b"Subject: x\r\n\r\n"]
            with pytest.raises(InvalidInputError):
                world.approve(asked["user_code"], "otto")
            world.approve(asked["user_code"], ANNA)
            assert (await application.poll(asked)).status_code == 200


async def test_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path) -> None:
    async with PracticeWorld(tmp_path) as world:
        taken = world.ports.smtp
    with socket.create_server(("127.0.0.1", taken)):
        async with PracticeWorld(tmp_path) as world:
            assert world.ports.smtp != taken


def test_world_stands_on_uvloop_too(tmp_path: Path) -> None:
    async def whole_day() -> list[bytes]:
        async with PracticeWorld(tmp_path) as world, httpx2.AsyncClient(trust_env=False) as http:
            token = (await Application(world, http).sign_in())["access_token"]
            await asyncio.to_thread(send, world, token, [ANNA])
            return await asyncio.to_thread(fetch, world, token)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        (message,) = runner.run(whole_day())
    assert message.endswith(MESSAGE)


async def test_two_worlds_stand_side_by_side(tmp_path: Path) -> None:
    async with PracticeWorld(tmp_path / "a") as first, PracticeWorld(tmp_path / "b") as second:
        assert first.ports != second.ports
        first.put(ANNA, b"x")
        assert second.mailbox(ANNA) == []


async def test_stopping_ends_open_connections(tmp_path: Path) -> None:
    async with PracticeWorld(tmp_path) as world:
        ports = (world.ports.http, world.ports.smtp, world.ports.pop3, world.ports.smtps)
        connections = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
        assert await connections[1][0].readline()
    for reader, writer in connections:
        await reader.read()
        writer.close()


async def test_error_of_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with PracticeWorld(tmp_path):
            raise KeyError


async def test_damaged_memory_is_told_and_left_alone(tmp_path: Path) -> None:
    for damage in (b"", b"{", b"[]", b'{"permissions": 1}', b"[" * 100_000, b'{"permissions": [{"id": 1}]}'):
        (tmp_path / "practice.json").write_bytes(damage)
        with pytest.raises(StoreError):
            PracticeWorld(tmp_path)
        assert (tmp_path / "practice.json").read_bytes() == damage


async def test_what_is_secret_is_readable_by_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "practice"
    async with PracticeWorld(folder) as world:
        world.put(ANNA, b"x")
    for path in (folder, folder / "mail", folder / "practice.json", folder / "server.key"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_certificate_about_to_run_out_is_made_anew(tmp_path: Path) -> None:
    clock = FakeClock()
    async with PracticeWorld(tmp_path, clock=clock) as world:
        first = world.ca_file.read_bytes()
    await clock.advance(days=3_630)
    async with PracticeWorld(tmp_path, clock=clock) as world:
        assert world.ca_file.read_bytes() != first


async def test_certificates_are_good_for_this_machine_and_strict_checkers(world: PracticeWorld) -> None:
    context = ssl.create_default_context(cafile=str(world.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in ("localhost", "127.0.0.1"):
        connecting = asyncio.open_connection("127.0.0.1", world.ports.smtps, ssl=context, server_hostname=host)
        _, writer = await connecting
        writer.close()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", world.ports.smtps, ssl=context, server_hostname="mail.example")


async def test_provider_entry_agrees_with_the_metadata(application: Application) -> None:
    provider = application.world.provider
    answer = await application.http.get(provider.discovery_url)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    told = parse_metadata(HttpResponse(answer.status_code, headers, answer.content), asked=provider.discovery_url)
    assert (told.issuer, told.iss_in_response) == (provider.issuer, True)
    assert (told.token_endpoint, told.authorization_endpoint) == (
        provider.endpoints.token,
        provider.endpoints.authorization,
    )
    assert told.device_authorization_endpoint == provider.endpoints.device_authorization
    assert told.revocation_endpoint == provider.endpoints.revocation
    assert {scope for scopes in provider.scopes.values() for scope in scopes} <= set(told.scopes_supported)


async def test_provider_entry_names_the_servers_and_the_authority(world: PracticeWorld) -> None:
    starttls, implicit = world.provider.servers[ServiceKind.SMTP]
    assert (starttls.port, implicit.port) == (world.ports.smtp, world.ports.smtps)
    assert world.registration.ca_file == str(world.ca_file)
    assert world.registration.provider == world.provider.id == "practice"


async def test_options_may_change_while_it_runs(application: Application) -> None:
    world = application.world
    world.options = replace(world.options, access_ttl=timedelta(seconds=20), rotation=Rotation.KEEP)
    assert (await application.sign_in())["expires_in"] == "20"


async def test_code_that_nobody_asked_for_cannot_be_allowed(world: PracticeWorld) -> None:
    with pytest.raises(NotFoundError):
        world.approve("BBBB-BBBB", ANNA)
    with pytest.raises(NotFoundError):
        world.deny("BBBB-BBBB")


async def test_accounts_elsewhere_are_refused_everywhere(world: PracticeWorld) -> None:
    acts: tuple[Callable[[str], object], ...] = (
        world.disable,
        world.enable,
        world.revoke,
        world.expire,
        world.mailbox,
    )
    for act in acts:
        with pytest.raises(InvalidInputError):
            act("anna@elsewhere.example")
    with pytest.raises(InvalidInputError):
        world.put("../anna", b"")
