from hypothesis import given, strategies as st

from mailbearer.protocol.smtp.commands import Allowed, read_command
from mailbearer.protocol.smtp.dialect import OLD_DEVICES, STRICT, Dialect
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import SmtpServer
from mailbearer.protocol.smtp.server_events import Bad, Body, BodyEnd, ChunkEnd, DataAsked, Event, Hello, MailAsked
from tests.protocol.cuts import CUTS, pieces

OFFER = Reply(250, "", ("mx.example", "CHUNKING", "8BITMIME", "DSN", "SMTPUTF8"))
OK = Reply(250, "2.0.0", ("OK",))
ENVELOPE = b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"


def played(
    data: bytes,
    cuts: list[int],
    *,
    dialect: Dialect | None = None,
    data_reply: Reply | None = None,
    size_max: int = 1000,
) -> tuple[bytes, list[Event], bytes]:
    """Return the message, the other events, and what was answered."""
    server = SmtpServer(greeting=False, dialect=dialect, size_max=size_max)
    message, events, said = b"", list[Event](), b""
    for piece in pieces(data, cuts):
        server.receive(piece)
        while (event := server.next_event()) is not None:
            match event:
                case Body(chunk):
                    message += chunk
                    continue
                case Hello():
                    said += server.send(OFFER)
                case DataAsked():
                    said += server.send(data_reply or Reply(354, "", ("Go",)))
                case Bad(reply=reply):
                    said += server.send(reply)
                case _:
                    said += server.send(OK)
            events.append(event)
    return message, events, said


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), CUTS)
def test_chunks_are_the_message_wherever_they_are_cut(chunks: list[bytes], cuts: list[int]) -> None:
    data = b"".join(
        b"BDAT %d%s\r\n" % (len(chunk), b" LAST" * (place == len(chunks) - 1)) + chunk
        for place, chunk in enumerate(chunks)
    )
    message, events, _ = played(ENVELOPE + data + b"NOOP\r\n", cuts)
    assert message == b"".join(chunks)
    assert sum(isinstance(event, ChunkEnd) for event in events) == len(chunks) - 1
    assert sum(isinstance(event, BodyEnd) for event in events) == 1


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a"]), max_size=12), CUTS, st.integers(0, 12))
def test_repair_makes_line_ends_of_line_feeds(parts: list[bytes], cuts: list[int], half: int) -> None:
    content = b"".join(parts)
    first, second = content[:half], content[half:]
    data = b"BDAT %d\r\n%bBDAT %d LAST\r\n%b" % (len(first), first, len(second), second)
    message, _, _ = played(ENVELOPE + data, cuts, dialect=OLD_DEVICES)
    expected = content.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")
    assert message == expected


def test_a_refused_chunk_is_read_over_and_then_answered() -> None:
    no = Reply(452, "4.3.1", ("Full",))
    message, events, said = played(ENVELOPE + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\n", [], data_reply=no)
    assert message == b""
    assert [event.reply.code for event in events if isinstance(event, Bad)] == [452, 503]
    assert said.endswith(b"452 4.3.1 Full\r\n503 5.5.1 Say MAIL first\r\n")


def test_a_chunk_larger_than_any_message_ends_the_connection() -> None:
    _, events, _ = played(ENVELOPE + b"BDAT 1001 LAST\r\n", [])
    assert events[-1] == Bad(Reply(552, "5.3.4", ("The message is too large",)), fatal=True)


def test_chunks_that_are_too_much_together_are_told_at_the_end() -> None:
    message, events, _ = played(ENVELOPE + b"BDAT 900\r\n" + b"x" * 900 + b"BDAT 200 LAST\r\n" + b"x" * 200, [])
    assert (len(message), events[-1]) == (1000, BodyEnd(1100, oversize=True))


def test_strict_means_the_standard() -> None:
    allowed = Allowed(bare=STRICT.bare_addresses, blank=STRICT.blank_after_colon)
    assert isinstance(read_command(b"MAIL FROM:<a@b.example>", allowed), MailAsked)
    assert isinstance(read_command(b"MAIL FROM: <a@b.example>", allowed), Reply)
    assert isinstance(read_command(b"MAIL FROM:a@b.example", allowed), Reply)
