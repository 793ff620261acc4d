import pytest

from mailbearer.errors import NotFoundError
from mailbearer.model.message import ReceivedItem
from mailbearer.store.seen import SeenState
from mailbearer.store.store import Store
from tests.store.samples import MINUTE, NOW, POP, SMTP


async def test_what_was_handed_over_is_known(store: Store) -> None:
    await store.seen.mark(POP, "u1", SeenState.HANDED_OVER, at=NOW)
    await store.seen.mark(POP, "u2", SeenState.HANDED_OVER, at=NOW)
    await store.seen.mark(POP, "u2", SeenState.DELETED, at=NOW)
    assert await store.seen.known(POP, ["u1", "u2", "u3"]) == {
        "u1": SeenState.HANDED_OVER,
        "u2": SeenState.DELETED,
    }
    assert await store.seen.known(POP, ["u3"]) == {}
    assert await store.seen.known(SMTP, ["u1"]) == {}


async def test_what_the_server_no_longer_has_is_forgotten(store: Store) -> None:
    for uidl in ("u1", "u2", "u3"):
        await store.seen.mark(POP, uidl, SeenState.DELETED, at=NOW)
    assert await store.seen.forget_gone(POP, ["u2", "u9"]) == 2
    assert list(await store.seen.known(POP, ["u1", "u2", "u3"])) == ["u2"]
    await store.seen.forget_all(POP)
    assert await store.seen.known(POP, ["u2"]) == {}


def item(name: str) -> ReceivedItem:
    return ReceivedItem(
        id=name,
        service=POP,
        uidl="u1",
        at=NOW,
        size=1000,
        sender="fax@example.com",
        subject="caf\udce9",
        destinations=("maildir:/srv/fax", "folder:/srv/ü"),
        state="Filed",
    )


async def test_the_received_log_tells_the_newest_first(store: Store) -> None:
    await store.received.add(item("r1"))
    await store.received.add(item("r2"))
    assert [found.id for found in await store.received.list()] == ["r2", "r1"]
    assert [found.id for found in await store.received.list(service=POP, limit=1)] == ["r2"]
    assert await store.received.list(service=SMTP) == ()


async def test_an_item_comes_back_whole(store: Store) -> None:
    await store.received.add(item("r1"))
    found = await store.received.get("r1")
    assert found.subject == "caf\\udce9"
    assert found.destinations == ("maildir:/srv/fax", "folder:/srv/ü")
    assert (found.at, found.size, found.state) == (NOW, 1000, "Filed")
    with pytest.raises(NotFoundError, match="MB-W20"):
        await store.received.get("r9")


async def test_old_items_leave_the_log(store: Store) -> None:
    await store.received.add(item("r1"))
    assert await store.received.forget(NOW) == 0
    assert await store.received.forget(NOW + MINUTE) == 1
