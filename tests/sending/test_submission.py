"""Messages that programs hand in as sendmail takes them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import InvalidInputError, MailbearerError
from mailbearer.model.device import Device, DeviceId, FromPolicy
from mailbearer.model.message import QueuedMessage
from mailbearer.model.service import ServiceId
from mailbearer.sending.aliases import read_aliases, resolve
from mailbearer.sending.from_policy import Sender
from mailbearer.sending.intake import Intake
from mailbearer.sending.submission import LineEnds, Submission, Wish, addresses_in
from mailbearer.store.store import Store
from tests.fakes.clock import START, FakeClock

CRON = Device(DeviceId("sendmail"), "sendmail", ServiceId("smtp"))
SENDER = Sender("Clinic", "scan@clinic.example")
ADA = Wish(None, ("ada@x.example",))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "data", FakeClock())
    yield opened
    await opened.close()


async def handed_in(
    store: Store, content: bytes, wish: Wish = ADA, *, device: Device = CRON, step: int = 7
) -> tuple[QueuedMessage, bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(content), step):
            yield content[begin : begin + step]

    aliases = {"root": ("ada@x.example",)}
    submission = Submission(Intake(store, FakeClock()), device, SENDER, lambda name: resolve(name, aliases))
    message = await submission.take(wish, chunks(), now=START)
    return message, b"".join([chunk async for chunk in (await store.bodies.find(message.id)).chunks()])


async def test_it_gets_what_is_missing_and_loses_bcc(store: Store) -> None:
    message, content = await handed_in(store, b"To: ada@x.example\nBcc: spy@x.example\nSubject: Backup\n\nDone.\n")
    header, _, body = content.partition(b"\r\n\r\n")
    assert body == b"Done.\r\n"
    assert b"spy" not in header
    assert b"From: scan@clinic.example" in header or b"From: Clinic <scan@clinic.example>" in header
    assert header.count(b"Date: ") == header.count(b"Message-ID: ") == 1
    assert (message.subject, message.envelope.reverse_path, message.device) == (
        "Backup",
        "scan@clinic.example",
        "sendmail",
    )


async def test_the_sender_is_replaced_and_kept_for_replies(store: Store) -> None:
    _, content = await handed_in(store, b"From: root@nas.lan\nTo: ada@x.example\n\nx\n")
    assert b"From: Clinic <scan@clinic.example>\r\n" in content
    assert b"Reply-To: root@nas.lan\r\n" in content


async def test_a_device_called_sendmail_may_say_otherwise(store: Store) -> None:
    as_is = replace(CRON, from_policy=FromPolicy.AS_IS)
    wish = replace(ADA, reverse_path="root@nas.lan")
    message, content = await handed_in(store, b"From: root@nas.lan\n\nx\n", wish, device=as_is)
    assert b"From: root@nas.lan\r\n" in content
    assert message.envelope.reverse_path == "root@nas.lan"
    with pytest.raises(InvalidInputError) as caught:
        await handed_in(store, b"\nx\n", wish, device=replace(as_is, allowed_senders=("@clinic.example",)))
    assert caught.value.code == "MB-G03"
    with pytest.raises(InvalidInputError) as caught:  # the reverse-path is good, the author is not
        await handed_in(
            store, b"From: boss@x.example\n\nx\n", device=replace(as_is, allowed_senders=("@clinic.example",))
        )
    assert (caught.value.code, caught.value.fields["address"]) == ("MB-G03", "boss@x.example")


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
async def test_line_ends_become_crlf_however_it_is_cut(store: Store, ends: bytes, step: int) -> None:
    content = b"Subject: a\nX: b\n\nhello\nworld\n".replace(b"\n", ends)
    _, stored = await handed_in(store, content, step=step)
    assert stored.endswith(b"Subject: a\r\nX: b\r\n\r\nhello\r\nworld\r\n")


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b""]), max_size=20), st.integers(1, 5))
def test_cutting_changes_nothing(pieces: list[bytes], step: int) -> None:
    whole = b"".join(pieces)
    once, cut = LineEnds(), LineEnds()
    expected = once.feed(whole) + once.finish()
    got = b"".join(cut.feed(whole[at : at + step]) for at in range(0, len(whole), step)) + cut.finish()
    assert got == expected
    assert b"\r" not in expected.replace(b"\r\n", b"")
    assert b"\n" not in expected.replace(b"\r\n", b"")


@pytest.mark.parametrize("content", [b"hello\n", b"", b"\n", b"\nhello", b"From root Mon Nov 2\nTo: a@b.example\n\nx"])
async def test_text_without_a_header_gets_one(store: Store, content: bytes) -> None:
    _, stored = await handed_in(store, content)
    header, empty, _ = stored.partition(b"\r\n\r\n")
    assert empty
    assert b"From root" not in header
    assert b"Message-ID: " in header


async def test_recipients_come_from_the_header_when_asked(store: Store) -> None:
    content = b'To: "Ada, L." <ada@x.example>,\n bob@x.example\nCc: Root <root>\nBcc: eve@x.example\n\nx\n'
    message, _ = await handed_in(store, content, Wish("", ("carl@x.example",), extract=True))
    assert message.envelope.recipients == ("carl@x.example", "ada@x.example", "bob@x.example", "eve@x.example")
    assert message.envelope.reverse_path == ""


def test_resent_fields_count_alone() -> None:
    header = b"To: a@x.example\r\nResent-To: b@x.example\r\nResent-Bcc: c@x.example\r\n"
    assert addresses_in(header) == ("b@x.example", "c@x.example")


@given(st.binary(max_size=200))
def test_any_header_gives_addresses_or_none(header: bytes) -> None:
    assert all(addresses_in(b"To: " + header))


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (Wish(None, ("nobody",)), "MB-W22"),
        (Wish(None, ("a@b@c",)), "MB-W22"),
        (Wish(None, (), extract=True), "MB-W23"),
    ],
)
async def test_without_good_recipients_nothing_is_queued(store: Store, wish: Wish, code: str) -> None:
    with pytest.raises(MailbearerError) as caught:
        await handed_in(store, b"Subject: x\n\nx\n", wish)
    assert caught.value.code == code
    assert await store.messages.list(states=()) == ()


@pytest.mark.parametrize(
    "content", [b"Subject: " + b"x" * 200_000 + b"\n\nx", b"Received: x\n" * 60 + b"\nx", b"Subject: x\n\na\0b"]
)
async def test_what_cannot_be_mail_is_refused(store: Store, content: bytes) -> None:
    with pytest.raises(InvalidInputError):
        await handed_in(store, content, step=4096)
    assert await store.messages.list(states=()) == ()


def test_names_stand_for_addresses(tmp_path: Path) -> None:
    path = tmp_path / "aliases"
    path.write_text(
        '# who is who\npostmaster: root\nroot: ada@x.example,\n  bob\n"Bob": |/bin/x, /var/mail/bob, bob@x.example\n'
        "one: two\ntwo: one\n: nothing\n"
    )
    aliases = read_aliases(path)
    assert resolve("Postmaster", aliases) == ("ada@x.example", "bob@x.example")
    assert resolve("one", aliases) == ()
    assert resolve("nobody", aliases) == ()
    assert read_aliases(tmp_path / "none") == {}
