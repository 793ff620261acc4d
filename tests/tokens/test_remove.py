from dataclasses import replace
from pathlib import Path

import pytest

from mailbearer.errors import ConnectError
from mailbearer.model.grant import Flow
from mailbearer.model.token import TokenStatus
from mailbearer.tokens.context import ChangeKind
from mailbearer.vault.keys import MasterKey
from mailbearer.vault.vault import Vault
from tests.tokens.room import POP, SMTP, opened


async def test_delete_ends_everything_here_and_at_the_provider(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        grant = await room.get_token()
        assert grant.tokens.refresh_token is not None
        assert await room.delete() is True
        assert await room.status() is TokenStatus.NOT_RETRIEVED
        assert room.authority.revoked == [grant.tokens.refresh_token.reveal()]
        assert room.heard[-1].kind is ChangeKind.DELETED
        assert room.heard[-1].by == "Ada"


async def test_delete_ends_a_sign_in_under_way_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.sign_ins.begin(SMTP, flow=Flow.DEVICE, by="Ada")
        assert await room.delete() is None
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_a_provider_that_is_not_reached_does_not_hinder_the_deletion(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        room.authority.faults = [ConnectError("MB-T01")]
        assert await room.delete() is False
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_a_provider_without_revocation_is_not_asked(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        room.of_provider(endpoints=replace(room.party.provider.endpoints, revocation=""))
        await room.get_token()
        assert await room.delete() is None
        assert room.authority.revoked == []


async def test_the_last_service_of_an_account_revokes(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token(SMTP)
        await room.get_token(POP)
        assert await room.delete(SMTP.id) is None
        assert await room.delete(POP.id) is True


async def test_what_does_not_open_can_be_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.get_token()
        other = replace(room.context, vault=Vault(MasterKey.generate()))
        from mailbearer.tokens.remove import delete

        assert await delete(other, SMTP.id, "Ada") is None
        assert await room.status() is TokenStatus.NOT_RETRIEVED


async def test_a_token_of_a_deleted_service_without_refresh_token_is_revoked_by_its_access_token(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as room:
        grant = await room.get_token_unchecked()
        assert await room.delete() is True
        assert room.authority.revoked == [grant.tokens.access_token.reveal()]


@pytest.mark.parametrize("times", [1, 3])
async def test_after_each_deletion_a_new_token_can_be_got(tmp_path: Path, times: int) -> None:
    async with opened(tmp_path) as room:
        for _ in range(times):
            await room.get_token()
            assert await room.delete() is True
        await room.get_token()
        assert await room.status() is TokenStatus.RETRIEVED
