import asyncio
import base64
from contextlib import suppress
from dataclasses import replace

import pytest

from mailbearer.errors import DiskFullError, InvalidInputError, StoreError
from mailbearer.listeners.desk import Encryption
from mailbearer.model.device import FromPolicy
from mailbearer.model.envelope import DsnWishes, RecipientWish
from mailbearer.protocol.smtp.dialect import OLD_DEVICES, Dialect, LineEnds
from tests.fakes.net_certificates import server_context
from tests.listeners.room import COPIER, NAS, Devices, Peer, Room, client_context, peer

MAIL = (b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>")
HEAD = b"From: a@b.example\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@b.example>\r\n"
PLAIN = base64.b64encode(b"\0nas\0secret")


async def submit(client: Peer, content: bytes, *envelope: bytes) -> str:
    """Send one message and return the last reply."""
    for line in envelope or MAIL:
        assert (await client.ask(line)).startswith("250 "), line
    assert await client.ask(b"DATA") == "354 Go on, end with a dot"
    client.writer.write(content + b".\r\n")
    return await client.reply()


async def test_a_message_is_taken_and_queued() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO copier")
        assert await submit(client, HEAD + b"\r\nhello\r\n..\r\n") == "250 2.0.0 Queued as m1"
    stored = room.intake.stored[0]
    assert (stored.service, stored.device) == ("smtp", "copier")
    assert (stored.envelope.reverse_path, stored.envelope.recipients) == ("a@b.example", ("c@d.example",))
    assert stored.content.startswith(b"Received: from copier ([127.0.0.1])\r\n\tby gate.example with ESMTP;\r\n\t")
    assert stored.content.endswith(HEAD + b"\r\nhello\r\n.\r\n")


async def test_all_that_is_offered_is_told() -> None:
    async with (
        Room().but(encryption=Encryption.STARTTLS).open(server_context()) as listener,
        peer(listener.port) as client,
    ):
        answer = await client.ask(b"EHLO me")
    assert answer.replace("250-", "").replace("250 ", "").split("\n") == [
        "gate.example", "SIZE 35000000", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING",
        "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN", "STARTTLS",
    ]  # fmt: skip


async def test_a_pipelined_session_is_answered_in_order() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        client.send(b"EHLO me", *MAIL, b"DATA", HEAD, b"one", b".", *MAIL, b"DATA", HEAD, b"two", b".", b"QUIT")
        answers = [await client.reply() for _ in range(10)]
        assert [answer[:3] for answer in answers] == [
            "250",
            "250",
            "250",
            "354",
            "250",
            "250",
            "250",
            "354",
            "250",
            "221",
        ]
        assert await client.rest() == b""
    assert [stored.content[-5:] for stored in room.intake.stored] == [b"one\r\n", b"two\r\n"]


async def test_a_message_comes_in_chunks() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", *MAIL)
        client.writer.write(b"BDAT %d\r\n" % len(HEAD) + HEAD + b"BDAT 11 LAST\r\n\r\n.\r\nabc\r\n.")
        assert await client.reply() == f"250 2.0.0 {len(HEAD)} octets so far"
        assert await client.reply() == "250 2.0.0 Queued as m1"
    assert room.intake.stored[0].content.endswith(HEAD + b"\r\n.\r\nabc\r\n.")


async def test_wishes_for_delivery_reports_reach_the_queue() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        await submit(
            client, HEAD + b"\r\nx\r\n",
            b"MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B1",
            b"RCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@d.example",
            b"RCPT TO:<e@d.example>",
        )  # fmt: skip
    wish = RecipientWish(("SUCCESS", "DELAY"), "rfc822;x+y@d.example")
    assert room.intake.stored[0].envelope.dsn == DsnWishes("HDRS", "QQ+1", (wish, RecipientWish()))


@pytest.mark.parametrize(
    "lines",
    [
        (b"AUTH PLAIN " + PLAIN,),
        (b"auth plain", PLAIN),
        (b"AUTH LOGIN", b"bmFz", b"c2VjcmV0"),
        (b"AUTH LOGIN bmFz", b"c2VjcmV0"),
        (b"Auth Login", b" bmFz ", b"c2VjcmV0"),
        (b"AUTH LOGIN", b"bmFzAA==", b"c2VjcmV0AA=="),
    ],
)
async def test_a_device_signs_in_in_each_dialect(lines: tuple[bytes, ...]) -> None:
    room = Room(devices=Devices())
    async with room.open() as listener, peer(listener.port) as client:
        assert (await client.ask(b"EHLO me", *lines)) == "235 2.7.0 Welcome"
        await submit(client, HEAD + b"\r\nx\r\n")
    assert room.intake.stored[0].device == "nas"
    assert b"with ESMTPA;" in room.intake.stored[0].content


async def test_login_prompts_are_those_that_devices_wait_for() -> None:
    async with Room(devices=Devices()).open() as listener, peer(listener.port) as client:
        assert await client.ask(b"EHLO me", b"AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await client.ask(b"bmFz") == "334 UGFzc3dvcmQ6"
        assert await client.ask(b"*") == "501 5.7.0 Sign-in cancelled"
        assert await client.ask(b"AUTH LOGIN bmFz", b"c2VjcmV0") == "235 2.7.0 Welcome"


async def test_who_says_helo_may_sign_in_all_the_same() -> None:
    async with Room(devices=Devices()).open() as listener, peer(listener.port) as client:
        assert await client.ask(b"HELO me", b"AUTH LOGIN", b"bmFz", b"c2VjcmV0") == "235 2.7.0 Welcome"


@pytest.mark.parametrize("shown", [b"\0nas\0wrong", b"\0nobody\0secret"])
async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(shown: bytes) -> None:
    room = Room(devices=Devices())
    async with room.open() as listener, peer(listener.port) as client:
        answer = await client.ask(b"EHLO me", b"AUTH PLAIN " + base64.b64encode(shown))
        assert answer == "535 5.7.8 User name or password is not right"
        assert await client.ask(MAIL[0]) == "530 5.7.0 Sign in first"
    assert room.notices == ["MB-G12"]


@pytest.mark.parametrize("shown", [b"nas\0secret", b"other\0nas\0secret", b"\0\0secret", b"\0nas\0se\0cret", b""])
async def test_a_plain_response_that_cannot_be_is_no_attempt(shown: bytes) -> None:
    room = Room(devices=Devices())
    async with room.open() as listener, peer(listener.port) as client:
        answer = await client.ask(b"EHLO me", b"AUTH PLAIN", base64.b64encode(shown))
        assert answer == "501 5.5.2 That is no such response"
    assert room.notices == []


async def test_guessing_ends_the_connection() -> None:
    async with Room(devices=Devices()).limited(sign_ins_max=2).open() as listener, peer(listener.port) as client:
        wrong = b"AUTH PLAIN " + base64.b64encode(b"\0nas\0x")
        assert (await client.ask(b"EHLO me", wrong)).startswith("535 ")
        assert await client.ask(wrong) == "421 4.7.0 Too many tries"
        assert await client.rest() == b""


async def test_too_many_tries_are_put_off() -> None:
    async with Room(devices=Devices(overrun=True)).open() as listener, peer(listener.port) as client:
        answer = await client.ask(b"EHLO me", b"AUTH PLAIN " + PLAIN)
        assert answer == "454 4.7.0 Too many tries, try again later"


async def test_without_encryption_there_is_no_sign_in() -> None:
    room = Room(devices=Devices()).but(encryption=Encryption.STARTTLS, passwords_in_clear=False)
    async with room.open(server_context()) as listener, peer(listener.port) as client:
        assert "AUTH" not in await client.ask(b"EHLO me")
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("538 5.7.11 ")
        assert await client.ask(MAIL[0]) == "530 5.7.0 Must issue a STARTTLS command first"
        assert (await client.ask(b"STARTTLS")).startswith("220 ")
        await client.start_tls(client_context())
        assert "STARTTLS" not in await client.ask(b"EHLO me")
        assert await client.ask(b"AUTH PLAIN " + PLAIN) == "235 2.7.0 Welcome"
        await submit(client, HEAD + b"\r\nx\r\n")
    assert b"with ESMTPSA;" in room.intake.stored[0].content


async def test_commands_behind_starttls_are_never_obeyed() -> None:
    room = Room().but(encryption=Encryption.STARTTLS)
    async with room.open(server_context()) as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        client.send(b"STARTTLS", *MAIL)
        assert await client.rest() in {b"", b"220 2.0.0 Ready to start TLS\r\n"}
    assert room.intake.stored == []


async def test_who_signed_in_in_clear_is_forgotten_when_encryption_begins() -> None:
    room = Room(devices=Devices()).but(encryption=Encryption.STARTTLS)
    async with room.open(server_context()) as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", b"AUTH PLAIN " + PLAIN)
        assert (await client.ask(b"STARTTLS")).startswith("220 ")
        await client.start_tls(client_context())
        assert await client.ask(b"EHLO me", MAIL[0]) == "530 5.7.0 Sign in first"
        assert await client.ask(b"AUTH PLAIN " + PLAIN) == "235 2.7.0 Welcome"
        assert await client.ask(MAIL[0]) == "250 2.1.0 OK"


async def test_the_name_of_a_device_never_makes_a_header_that_is_not_ascii() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask("EHLO büro-3f".encode())
        await submit(client, HEAD + b"\r\nx\r\n")
    assert room.intake.stored[0].content.startswith(b"Received: from b?ro-3f ([127.0.0.1])")


async def test_a_device_that_was_switched_off_sends_no_more() -> None:
    room = Room(devices=Devices())
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", b"AUTH PLAIN " + PLAIN)
        room.devices.device = None
        assert await client.ask(MAIL[0]) == "530 5.7.0 Sign in first"


async def test_a_device_sends_as_those_it_may() -> None:
    room = Room(devices=Devices(by_address=replace(COPIER, allowed_senders=("scan@b.example", "@c.example"))))
    async with room.open() as listener, peer(listener.port) as client:
        assert (await client.ask(b"EHLO me", b"MAIL FROM:<a@b.example>")).startswith("553 5.7.1 ")
        for sender in (b"Scan@B.example", b"any@c.example", b""):
            assert await client.ask(b"MAIL FROM:<" + sender + b">") == "250 2.1.0 OK"
            await client.ask(b"RSET")
    assert room.notices == ["MB-G03"]


@pytest.mark.parametrize("author", ["boss@b.example", "Scan <scan@b.example>, boss@b.example", '"x" <boss@b.example>'])
async def test_nobody_else_is_the_author_of_what_a_device_may_send_as_it_is(author: str) -> None:
    copier = replace(COPIER, allowed_senders=("scan@b.example",), from_policy=FromPolicy.AS_IS)
    room = Room(devices=Devices(by_address=copier))
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        for reverse_path in (b"scan@b.example", b""):
            start = (b"MAIL FROM:<" + reverse_path + b">", b"RCPT TO:<b@x.example>", b"DATA")
            assert (await client.ask(*start)).startswith("354 ")
            assert (await client.ask(f"From: {author}\r\n\r\nx\r\n.".encode())).startswith("553 5.7.1 ")
        await client.ask(b"MAIL FROM:<>", b"RCPT TO:<b@x.example>", b"DATA")
        assert (await client.ask(b"From: Scan <SCAN@b.example>\r\n\r\nx\r\n.")).startswith("250 ")


async def test_a_device_sends_so_many_an_hour() -> None:
    room = Room(devices=Devices(by_address=replace(COPIER, per_hour=1)))
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("250 ")
        assert (await client.ask(MAIL[0])).startswith("450 4.7.1 ")
    assert room.notices == ["MB-G06"]


async def test_a_message_larger_than_the_device_may_send_is_refused_early_or_late() -> None:
    room = Room(devices=Devices(by_address=replace(COPIER, size_max=300)))
    async with room.open() as listener, peer(listener.port) as client:
        assert (await client.ask(b"EHLO me", MAIL[0] + b" SIZE=301")).startswith("552 5.3.4 ")
        assert (await submit(client, HEAD + b"\r\n" + b"x" * 300 + b"\r\n")).startswith("552 5.3.4 ")
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("250 ")
    assert (len(room.intake.stored), room.intake.aborted) == (1, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "554 5.6.0"),
        (HEAD + b"\r\na\0b\r\n", "554 5.6.0"),
        (b"Received: x\r\n" * 51 + HEAD + b"\r\n", "554 5.4.6"),
        (b"Received: by us (Mailbearer m)\r\n" * 2 + HEAD + b"\r\n", "554 5.4.6"),
        (b"X-Long: " + b"x" * 103_000 + b"\r\n\r\n", "552 5.3.4"),
    ],
)
async def test_a_message_that_cannot_be_passed_on_is_refused(content: bytes, code: str) -> None:
    room = Room().but(mark="m")
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        assert (await submit(client, content)).startswith(code)
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("250 ")
    assert (len(room.intake.stored), room.intake.aborted) == (1, 1)


async def test_lone_line_ends_are_repaired_and_never_end_a_message() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        evil = b"a\n.\nMAIL FROM:<evil@b.example>\r.\rb\n.\r\nc\r\n"
        assert (await submit(client, HEAD + b"\r\n" + evil)).startswith("250 ")
    assert len(room.intake.stored) == 1
    assert room.intake.stored[0].content.endswith(b"\r\n\r\na\r\n.\r\nMAIL FROM:<evil@b.example> . b\r\n.\r\nc\r\n")


async def test_lone_line_ends_are_refused_if_that_was_chosen() -> None:
    room = Room().but(dialect=Dialect(line_ends=LineEnds.REFUSE))
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        assert (await submit(client, HEAD + b"\r\na\nb\r\n")).startswith("550 5.5.2 ")
    assert room.intake.stored == []


async def test_a_broken_sender_is_repaired_and_told() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        await submit(client, b"Subject: x\r\n\r\nx\r\n", b"MAIL FROM: scan@b.example", b"RCPT TO: <postmaster>")
    assert room.notices == ["MB-S27"]
    stored = room.intake.stored[0]
    assert stored.envelope.recipients == ("postmaster@gate.example",)
    assert b"\r\nFrom: scan@b.example\r\nSubject: x\r\n\r\n" in stored.content
    assert b"\r\nDate: " in stored.content
    assert b"\r\nMessage-ID: <" in stored.content


async def test_the_senders_name_is_that_of_the_service() -> None:
    room = Room(devices=Devices(by_address=replace(COPIER, from_policy=FromPolicy.REPLACE)))
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        await submit(client, HEAD + b"Bcc: secret@b.example\r\n\r\nx\r\n")
    stored = room.intake.stored[0]
    assert stored.envelope.reverse_path == "scan@clinic.example"
    assert b"From: Harbour Clinic <scan@clinic.example>\r\nReply-To: a@b.example\r\n" in stored.content
    assert b"secret@" not in stored.content


async def test_another_sender_is_refused_by_that_policy() -> None:
    room = Room(devices=Devices(by_address=replace(COPIER, from_policy=FromPolicy.REFUSE)))
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("553 5.7.1 ")
    assert room.notices == ["MB-G03"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(DiskFullError("MB-S25"), "452 4.3.1"), (StoreError("MB-D05"), "451 4.3.0"), (InvalidInputError("MB-W20"), "554")],
)
async def test_what_the_store_cannot_take_is_refused_at_each_step(error: StoreError, code: str) -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", *MAIL)
        room.intake.begin_error = error
        assert (await client.ask(b"DATA")).startswith(code)
        await client.ask(b"RSET")
        room.intake.begin_error, room.intake.write_error = None, error
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith(code)
        room.intake.write_error, room.intake.commit_error = None, error
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith(code)
        room.intake.commit_error = RuntimeError("a fault of ours")
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("451 4.3.0")
        room.intake.commit_error = None
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("250 ")


async def test_a_chunked_message_that_the_store_cannot_take_is_read_over() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", *MAIL)
        room.intake.begin_error = DiskFullError("MB-S25")
        client.writer.write(b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert [(await client.reply())[:3] for _ in range(3)] == ["452", "503", "250"]


async def test_a_store_that_wants_a_pause_has_it() -> None:
    room = Room()
    room.intake.slow = True
    content = HEAD + b"\r\n" + b"x" * 76 + b"\r\n" * 20_000
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        client.writer.write(b"\r\n".join((*MAIL, b"DATA", b"")) + content + b".\r\nNOOP\r\n")
        assert [(await client.reply())[:3] for _ in range(5)] == ["250", "250", "354", "250", "250"]
    assert room.intake.stored[0].content.endswith(content)


async def test_a_store_that_wants_a_pause_has_it_before_a_message_that_came_at_once_is_committed() -> None:
    room = Room()
    room.intake.slow = True
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        assert await submit(client, HEAD + b"\r\nx\r\n") == "250 2.0.0 Queued as m1"
        assert await submit(client, HEAD + b"\r\ny\r\n") == "250 2.0.0 Queued as m2"
        room.intake.gate = asyncio.Event()
        for line in (*MAIL, b"DATA"):
            await client.ask(line)
        client.send(HEAD, b"z", b".", b"NOOP")
        room.intake.gate.set()
        assert await client.reply() == "250 2.0.0 Queued as m3"
        assert await client.reply() == "250 2.0.0 OK"
    assert [stored.content[-3:] for stored in room.intake.stored] == [b"x\r\n", b"y\r\n", b"z\r\n"]


@pytest.mark.parametrize(("pause_error", "code"), [(DiskFullError("MB-S25"), "452 4.3.1"), (None, "250 2.0.0")])
async def test_a_pause_that_ends_badly_is_told(pause_error: StoreError | None, code: str) -> None:
    room = Room()
    room.intake.slow = True
    room.intake.pause_error = pause_error
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith(code)
        room.intake.pause_error = None
        assert (await submit(client, HEAD + b"\r\nx\r\n")).startswith("250 ")


async def test_while_a_message_is_committed_nothing_more_is_done() -> None:
    room = Room()
    room.intake.gate = asyncio.Event()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me")
        client.send(*MAIL, b"DATA", HEAD, b".", b"NOOP", b"QUIT")
        assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "354"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.read(1)
        room.intake.gate.set()
        assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "221"]


async def test_a_client_that_leaves_before_the_end_leaves_no_message() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", *MAIL, b"DATA")
        client.writer.write(HEAD + b"\r\nhalf")
        await client.writer.drain()
        client.writer.write_eof()
        assert await client.rest() == b""
    assert (room.intake.stored, room.intake.aborted) == ([], 1)


async def test_what_was_asked_before_the_end_is_answered() -> None:
    async with Room().open() as listener, peer(listener.port) as client:
        client.send(b"EHLO me", b"NOOP")
        client.writer.write_eof()
        assert (await client.rest()).endswith(b"250 2.0.0 OK\r\n")


async def test_a_message_whose_client_has_gone_is_kept_if_it_was_complete() -> None:
    room = Room()
    room.intake.gate = asyncio.Event()
    async with room.open() as listener:
        async with peer(listener.port) as client:
            await client.ask(b"EHLO me", *MAIL, b"DATA")
            client.send(HEAD, b".")
            await asyncio.sleep(0.05)
            client.writer.transport.abort()
        room.intake.gate.set()
    assert len(room.intake.stored) == 1


async def test_ten_thousand_recipients_are_five_hundred() -> None:
    room = Room()
    async with room.open() as listener, peer(listener.port) as client:
        await client.ask(b"EHLO me", MAIL[0])
        client.send(*(b"RCPT TO:<c%d@d.example>" % number for number in range(10_000)))
        answers = [(await client.reply())[:9] for _ in range(10_000)]
        assert (answers.count("250 2.1.5"), answers.count("452 4.5.3")) == (500, 9_500)
        await client.ask(b"DATA")
        client.send(HEAD, b".")
        assert (await client.reply()).startswith("250 ")
    assert len(room.intake.stored[0].envelope.recipients) == 500


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"x" * 200_000,
        b"\x16\x03\x01\x00\x05hello\r\n",
        b"NOOP\nNOOP\n",
        b"\0" * 9 + b"\r\n",
    ],
)
async def test_what_is_no_mail_ends_the_connection(data: bytes) -> None:
    async with Room().open() as listener, peer(listener.port) as client:
        client.writer.write(data)
        assert (await client.reply()).startswith("500 ")
        with suppress(ConnectionResetError):  # it sent more than we read
            assert await client.rest() == b""


async def test_the_tenth_mistake_is_the_last() -> None:
    async with Room().open() as listener, peer(listener.port) as client:
        client.send(*[b"XYZ"] * 12)
        assert [(await client.reply())[:3] for _ in range(10)] == ["500"] * 9 + ["421"]


async def test_early_talkers_are_borne() -> None:
    room = Room()
    async with room.open() as listener:
        client = await Peer.connect(listener.port)
        client.send(b"HELO me", *MAIL, b"DATA", b"Subject: x", b"", b"x", b".", b"QUIT")
        answers = [(await client.reply())[:3] for _ in range(7)]
        assert answers == ["220", "250", "250", "250", "354", "250", "221"]
        await client.close()
    assert b"with SMTP;" in room.intake.stored[0].content


def test_nas_needs_a_password() -> None:
    assert not NAS.by_address
    assert OLD_DEVICES.line_ends is LineEnds.REPAIR
