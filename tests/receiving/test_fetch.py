"""Looks into mailboxes of the practice provider, over real sockets into real folders."""

import asyncio
from pathlib import Path

import pytest

from mailbearer.errors import (
    ConflictError,
    InvalidInputError,
    MailbearerError,
    ServerRefusedError,
    StoreError,
    TokenUnavailableError,
)
from mailbearer.model.secret import Secret
from mailbearer.model.service import AfterReceiving, AuthMethod, Destination, DestinationKind, ServiceId, TlsMode
from mailbearer.receiving.fetch import Fetcher
from mailbearer.store.folder import FileLock
from tests.fakes.net_server import Peer, serving
from tests.sending.office import ANNA, POP, SMTP, Office

MAIL = b"From: Fax <fax@example.com>\r\nSubject: %b\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n\r\nPage %b\r\n"
DELETE = AfterReceiving.DELETE


def maildir(folder: Path) -> Destination:
    return Destination(DestinationKind.MAILDIR, str(folder / "maildir"))


def plain(folder: Path) -> Destination:
    return Destination(DestinationKind.FOLDER, str(folder / "plain"))


def put(office: Office, *names: str) -> None:
    for name in names:
        office.world.put(ANNA, MAIL % (name.encode(), name.encode()))


def filed(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "maildir" / "new").iterdir())


async def test_new_mail_is_handed_over_everywhere_and_stays_on_the_server(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), plain(tmp_path))
    put(ready, "1", "2")
    result = await ready.fetcher.check(POP)
    assert (result.handed_over, result.left, result.deleted, result.problems) == (2, 2, 0, ())
    assert filed(tmp_path) == [MAIL % (b"1", b"1"), MAIL % (b"2", b"2")]
    assert sorted(path.name.split("_")[2] for path in (tmp_path / "plain").iterdir()) == ["1.eml", "2.eml"]
    assert len(ready.world.mailbox(ANNA)) == 2
    assert {item.subject for item in await ready.store.received.list()} == {"1", "2"}


async def test_what_was_handed_over_is_not_fetched_again(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    put(ready, "1")
    await ready.fetcher.check(POP)
    put(ready, "2")
    assert (await ready.fetcher.check(POP)).handed_over == 1
    assert len(filed(tmp_path)) == 2


async def test_mail_is_deleted_on_the_server_if_wanted(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), after_receiving=DELETE)
    put(ready, "1", "2")
    result = await ready.fetcher.check(POP)
    assert (result.handed_over, result.deleted, result.left) == (2, 2, 0)
    assert ready.world.mailbox(ANNA) == []
    assert await ready.store.seen.known(POP, ["x"]) == {}


async def test_deletion_that_was_not_confirmed_is_done_at_the_next_look(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), after_receiving=DELETE)
    put(ready, "1")
    ready.world.fault("pop3/quit", drop=True)
    result = await ready.fetcher.check(POP)
    assert (result.handed_over, result.deleted, result.left) == (1, 0, 1)
    assert (await ready.fetcher.check(POP)).deleted == 1
    assert len(filed(tmp_path)) == 1


async def test_message_cut_off_on_its_way_is_fetched_again(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    put(ready, "1")
    ready.world.fault("pop3/retr", drop=True, after=True)
    with pytest.raises(MailbearerError):
        await ready.fetcher.check(POP)
    assert filed(tmp_path) == []
    await ready.fetcher.check(POP)
    assert filed(tmp_path) == [MAIL % (b"1", b"1")]


async def test_message_that_the_server_cannot_give_does_not_stop_the_others(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), after_receiving=DELETE)
    put(ready, "1", "2")
    ready.world.fault("pop3/retr", body="-ERR damaged")
    result = await ready.fetcher.check(POP)
    assert (result.handed_over, len(result.problems)) == (1, 1)
    assert len(ready.world.mailbox(ANNA)) == 1


async def test_deletion_that_is_refused_is_told(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), after_receiving=DELETE)
    put(ready, "1")
    ready.world.fault("pop3/dele", body="-ERR read-only")
    result = await ready.fetcher.check(POP)
    assert (result.handed_over, result.deleted, len(result.problems)) == (1, 0, 1)


async def test_message_that_is_too_large_does_not_stop_those_behind_it(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    fetcher = Fetcher(ready.store, ready.sources, ready.clock, message_max=10_000)
    put(ready, "1", "x" * 20_000, "2")
    result = await fetcher.check(POP)
    assert (result.handed_over, result.left) == (2, 3)
    assert [problem.code for problem in result.problems] == ["MB-P31"]
    assert len(filed(tmp_path)) == 2


async def test_destination_that_cannot_be_written_leaves_the_mail_on_the_server(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), plain(tmp_path), after_receiving=DELETE)
    put(ready, "1")
    (tmp_path / "plain").write_text("in the way")
    with pytest.raises(StoreError):
        await ready.fetcher.check(POP)
    assert len(ready.world.mailbox(ANNA)) == 1
    (tmp_path / "plain").unlink()
    assert (await ready.fetcher.check(POP)).deleted == 1


async def test_destination_that_breaks_meanwhile_is_told_and_the_mail_comes_again(
    ready: Office, tmp_path: Path
) -> None:
    ready.receives_into(maildir(tmp_path))
    put(ready, "1")
    await ready.fetcher.check(POP)  # makes the Maildir
    put(ready, "2")
    (tmp_path / "maildir" / "tmp").rmdir()
    (tmp_path / "maildir" / "tmp").symlink_to("/dev/shm/none")
    with pytest.raises(StoreError):
        await ready.fetcher.check(POP)
    (tmp_path / "maildir" / "tmp").unlink()
    assert (await ready.fetcher.check(POP)).handed_over == 1


async def test_only_one_looks_into_a_mailbox_at_a_time(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    with FileLock(ready.store.folder.path / f"check-{POP}.lock") as lock:
        assert lock.take(shared=False)
        with pytest.raises(ConflictError):
            await ready.fetcher.check(POP)


async def test_service_without_destination_or_token_is_told(ready: Office, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        await ready.fetcher.check(POP)
    with pytest.raises(InvalidInputError):
        await ready.fetcher.check(SMTP)
    ready.services[ServiceId("pop.other")] = ready.services[POP]
    ready.receives_into(maildir(tmp_path), server="")
    with pytest.raises(TokenUnavailableError):
        await ready.fetcher.check(POP)


async def test_leftovers_of_a_crash_are_removed(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    left_over = ready.store.folder.path / f".incoming-{POP}-x"
    left_over.write_bytes(b"half a message")
    await ready.fetcher.check(POP)
    assert not left_over.exists()


async def test_cancelled_look_leaves_nothing_half_done(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), after_receiving=DELETE)
    put(ready, *map(str, range(20)))
    look = asyncio.create_task(ready.fetcher.check(POP))
    await ready.clock.until(lambda: (tmp_path / "maildir" / "new").is_dir() and bool(filed(tmp_path)))
    look.cancel()
    await asyncio.wait([look])
    result = await ready.fetcher.check(POP)
    assert result.left == 0
    assert len(filed(tmp_path)) == 20
    assert not list(ready.store.folder.path.glob(".incoming-*"))


async def test_unique_id_that_is_given_out_again_is_no_obstacle(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    put(ready, "1")
    await ready.fetcher.check(POP)
    await ready.store.seen.forget_all(POP)
    result = await ready.fetcher.check(POP)
    assert result.handed_over == 1
    assert len(filed(tmp_path)) == 1  # it is there already
    assert len(await ready.store.received.list()) == 2


@pytest.mark.parametrize(
    ("reply", "code"),
    [("-ERR [SYS/TEMP] later", "MB-P13"), ("-ERR [LOGIN-DELAY] too often", "MB-P14")],
)
async def test_refusal_that_is_not_the_tokens_fault_is_told(
    ready: Office, tmp_path: Path, reply: str, code: str
) -> None:
    ready.receives_into(maildir(tmp_path))
    ready.world.fault("pop3/auth", body=reply)
    with pytest.raises(MailbearerError) as told:
        await ready.fetcher.check(POP)
    assert told.value.code == code
    assert (await ready.fetcher.check(POP)).problems == ()


async def test_token_that_ran_out_is_renewed(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path))
    await ready.clock.advance(minutes=2)
    ready.world.expire(ANNA)
    assert (await ready.fetcher.check(POP)).problems == ()


async def test_service_without_provider_or_password_is_told(ready: Office, tmp_path: Path) -> None:
    ready.receives_into(maildir(tmp_path), provider="")
    with pytest.raises(InvalidInputError):
        await ready.fetcher.check(POP)
    ready.receives_into(maildir(tmp_path), auth=AuthMethod.PASSWORD)
    with pytest.raises(TokenUnavailableError):
        await ready.fetcher.check(POP)


@pytest.mark.parametrize(
    ("offered", "wanted"), [("SASL PLAIN", ["AUTH PLAIN"]), ("SASL LOGIN", ["AUTH LOGIN"]), ("USER", ["USER anna"])]
)
async def test_password_goes_to_this_machine_as_the_server_wants_it(
    ready: Office, tmp_path: Path, offered: str, wanted: list[str]
) -> None:
    heard: list[str] = []

    async def talk(peer: Peer) -> None:
        await peer.say("+OK ready")
        while command := await peer.hear():
            heard.append(command)
            if command == "CAPA":
                await peer.say("+OK", offered, ".")
            elif command.startswith("AUTH"):
                for _ in range(2 if command.endswith("LOGIN") else 1):
                    await peer.say("+ ")
                    await peer.hear()
                await peer.say("+OK")
            elif command == "STAT":
                await peer.say("+OK 1 10")
            else:
                await peer.say("-ERR no" if command == "UIDL" else "+OK")

    async with serving(talk) as state:
        changes = {"auth": AuthMethod.PASSWORD, "password": Secret("password"), "tls": TlsMode.OFF, "provider": ""}
        ready.receives_into(maildir(tmp_path), server="127.0.0.1", port=state.port, account="anna", **changes)
        with pytest.raises(ServerRefusedError) as told:  # no UIDL, no receiving
            await ready.fetcher.check(POP)
    assert told.value.code == "MB-P22"
    assert heard[1 : 1 + len(wanted)] == wanted
