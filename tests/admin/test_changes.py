from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailbearer.admin.changes import Changes
from mailbearer.model.message import MessageState
from mailbearer.model.service import ServiceId
from mailbearer.store.store import Store
from mailbearer.tokens.context import Change, ChangeKind
from tests.fakes.clock import FakeClock
from tests.store.samples import POP, SMTP, message


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "data", FakeClock())
    yield opened
    await opened.close()


@pytest.fixture
def changes(store: Store) -> Changes:
    return Changes(store, FakeClock(), lambda _: None)


@pytest.mark.parametrize("kind", [ChangeKind.RETRIEVED, ChangeKind.HEALED])
async def test_a_token_that_was_not_there_before_is_news(changes: Changes, kind: ChangeKind) -> None:
    changes.hear(Change(SMTP, kind))
    changes.hear(Change(POP, ChangeKind.WAITING))
    assert await changes.settle() == {SMTP}


async def test_a_token_renewed_by_the_hour_is_no_news(changes: Changes) -> None:
    changes.hear(Change(SMTP, ChangeKind.RENEWED))
    assert await changes.settle() == frozenset()


@pytest.mark.parametrize("kind", [ChangeKind.TROUBLED, ChangeKind.INVALID])
async def test_the_first_renewal_after_a_trouble_is_news(changes: Changes, kind: ChangeKind) -> None:
    changes.hear(Change(SMTP, kind, code="MB-T01"))
    assert await changes.settle() == frozenset()
    for news in ({SMTP}, set[ServiceId]()):
        changes.hear(Change(SMTP, ChangeKind.RENEWED))
        assert await changes.settle() == news


async def test_a_renewal_that_releases_held_mail_is_news(store: Store, changes: Changes) -> None:
    await store.messages.add(message("m1", state=MessageState.HELD, code="MB-S24"))
    changes.hear(Change(SMTP, ChangeKind.RENEWED))
    assert await changes.settle() == {SMTP}
