from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import LimitExceededError, LocalProtocolError, RemoteProtocolError
from mailbearer.protocol.lines import BACKLOG_MAX
from mailbearer.protocol.smtp.commands import COMMAND_MAX, REMEMBERED
from mailbearer.protocol.smtp.dialect import OLD_DEVICES, Dialect
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.protocol.smtp.server import AUTH_LINE_MAX, MISTAKES_MAX, SmtpServer
from mailbearer.protocol.smtp.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    Body,
    BodyEnd,
    Challenge,
    DataAsked,
    Event,
    Hello,
    MailAsked,
    NoopAsked,
    QuitAsked,
    RcptAsked,
    RsetAsked,
    StartTlsAsked,
    Whole,
)
from tests.protocol.cuts import CUTS, one_by_one, pieces, wire

OK = Reply(250, "2.0.0", ("Ok",))
NO = Reply(550, "5.7.1", ("No",))
EHLO_OK = Reply(250, "", ("mx.example", "SIZE 100", "AUTH PLAIN LOGIN XOAUTH2", "STARTTLS", "8BITMIME", "SMTPUTF8"))
CONSENT: dict[type[Event], Reply] = {
    Hello: EHLO_OK,
    AuthAsked: Reply(235, "2.7.0", ("Signed in",)),
    AuthGiven: Reply(235, "2.7.0", ("Signed in",)),
    StartTlsAsked: Reply(220, "2.0.0", ("Go",)),
    DataAsked: Reply(354, "", ("Go",)),
}
ENVELOPE = b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def reply_to(event: Event, *, refused: tuple[type[Event], ...] = ()) -> Reply | Challenge:
    if isinstance(event, Bad):
        return event.reply
    if isinstance(event, refused):
        return NO
    if isinstance(event, AuthAsked) and event.initial is None:
        return Challenge(b"go on")
    return CONSENT.get(type(event), OK)


def session(
    parts: Iterable[bytes], *, server: SmtpServer | None = None, refused: tuple[type[Event], ...] = ()
) -> list[Event]:
    """Answer everything at once; pieces of a body are put together, because cuts may divide them."""
    server = server or SmtpServer(greeting=False)
    found: list[Event] = []
    for part in parts:
        server.receive(part)
        while (event := server.next_event()) is not None:
            if isinstance(event, Body) and found and isinstance(found[-1], Body):
                found[-1] = Body(found[-1].chunk + event.chunk)
                continue
            found.append(event)
            if not isinstance(event, Body):
                server.send(reply_to(event, refused=refused))
    return found


def heard(parts: Iterable[bytes], *, server: SmtpServer, refused: tuple[type[Event], ...] = ()) -> list[Event]:
    """Answer everything at once, what comes by ``hear``; a message that came whole is told as others are."""
    found: list[Event] = []
    for part in parts:
        event = server.hear(part)
        while event is not None:
            match event:
                case Body(chunk) if found and isinstance(found[-1], Body):
                    found[-1] = Body(found[-1].chunk + chunk)
                case Whole(message):
                    found += [Body(message), BodyEnd(len(message))]
                case _:
                    found.append(event)
            if not isinstance(event, Body):
                server.send(reply_to(event, refused=refused))
            event = server.next_event()
    return found


def dialogue(*lines: bytes, refused: tuple[type[Event], ...] = ()) -> Event:
    """Return what the last line leads to."""
    return session([line + b"\r\n" for line in lines], refused=refused)[-1]


def refusal(*lines: bytes, refused: tuple[type[Event], ...] = ()) -> int:
    """Return the code with which the core itself answers the last line."""
    event = dialogue(*lines, refused=refused)
    assert isinstance(event, Bad)
    return event.reply.code


TRAFFIC = wire(
    ENVELOPE,
    b"EHLO me\r\n",
    b"MAIL FROM:<a@b.example> SIZE=9\r\n",
    b"RCPT TO:<c@d.example>\r\n",
    b"DATA\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b"Subject: x\r\n",
    b"\0",
)


@given(TRAFFIC, CUTS, st.sampled_from([(), (DataAsked,), (MailAsked, Hello), (RcptAsked, AuthAsked)]))
def test_where_the_bytes_are_cut_changes_nothing(
    data: bytes, cuts: list[int], refused: tuple[type[Event], ...]
) -> None:
    assert session(pieces(data, cuts), refused=refused) == session(one_by_one(data), refused=refused)


SAID: list[bytes] = [  # what devices send at once, good and bad
    b"EHLO me\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"MAIL FROM:<a@b.example> SIZE=101\r\n",
    "MAIL FROM:<\u00fc@b.example> SMTPUTF8\r\n".encode(),
    b"RCPT TO:<c@d.example>\r\n",
    "RCPT TO:<\u00fc@d.example>\r\n".encode(),
    b"DATA\r\n",
    b"DATA \r\n",
    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
]
CONTENTS: list[bytes] = [
    b"Subject: x\r\n\r\nhello\r\n.\r\n",
    b"Subject: x\r\n\r\n..\r\n.\r\n",
    b"a\nb\r\n.\r\n",
    b"a\rb\r\n.\r\nNOOP\r\n",
    b"a\r\r\n.\r\n",
    b"a\0b\r\n.\r\n",
    b".a\r\n.\r\n",
    b"x" * 98 + b"\r\n.\r\n",
    b"x" * 99 + b"\r\n.\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\r\n",
    b"a\r\n.\r\n.\r\n",
]
MESSAGES = st.sampled_from(CONTENTS).map(lambda content: [SAID[1], SAID[4], SAID[6], content])
SPEECHES = st.lists(st.one_of(st.sampled_from([*SAID, *CONTENTS]).map(lambda line: [line]), MESSAGES), max_size=12).map(
    lambda groups: [part for group in groups for part in group]
)


@given(
    SPEECHES,
    CUTS,
    st.booleans(),
    st.sampled_from([(), (DataAsked,), (MailAsked, Hello), (RcptAsked,), (BodyEnd, Whole)]),
    st.sampled_from([Dialect(), OLD_DEVICES]),
)
def test_the_quick_way_leads_where_the_long_way_does(
    said: list[bytes], cuts: list[int], cut: bool, refused: tuple[type[Event], ...], dialect: Dialect
) -> None:
    parts = [b"EHLO me\r\n", *(pieces(b"".join(said), cuts) if cut else said)]
    quick, slow = (SmtpServer(greeting=False, size_max=100, dialect=dialect) for _ in range(2))
    assert heard(parts, server=quick, refused=refused) == session(parts, server=slow, refused=refused)
    assert (quick.over, quick.waiting) == (slow.over, slow.waiting)


@given(TRAFFIC, CUTS)
def test_any_bytes_are_heard_as_they_are_received(data: bytes, cuts: list[int]) -> None:
    parts = list(pieces(ENVELOPE + data, cuts))
    assert heard(parts, server=SmtpServer(greeting=False)) == session(parts)


def test_what_was_heard_once_is_judged_anew_each_time() -> None:
    server = SmtpServer(greeting=False)
    refused = [event.reply.code for event in heard([b"DATA\r\n"], server=server) if isinstance(event, Bad)]
    heard([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n"], server=server)
    heard([b"x\r\n.\r\n"], server=server)
    late = heard([b"DATA\r\n"], server=server)[0]
    assert isinstance(late, Bad)
    assert [*refused, late.reply.code] == [503, 503]


def test_so_many_lines_are_remembered() -> None:
    server = SmtpServer(greeting=False)
    heard([b"EHLO me\r\n"], server=server)
    for number in range(REMEMBERED + 2):
        line = b"MAIL FROM:<a%d@b.example>\r\n" % number
        assert heard([line, b"RSET\r\n"], server=server)[0] == MailAsked(f"a{number}@b.example")


@given(
    st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b".", b"\0", b"a", b"MAIL FROM:<evil@b.example>"]), max_size=30),
    CUTS,
)
def test_only_one_sequence_ends_a_message(parts: list[bytes], cuts: list[int]) -> None:
    content = b"".join(parts)
    end = (b"\r\n" + content).find(b"\r\n.\r\n")
    events = session(pieces(ENVELOPE + content, cuts))[4:]
    bodies = b"".join(event.chunk for event in events if isinstance(event, Body))
    if end < 0:
        assert not any(isinstance(event, BodyEnd) for event in events)
    else:
        message = content[:end].replace(b"\r\n.", b"\r\n")
        assert bodies[:100] == (message[1:] if message.startswith(b".") else message)[:100]
        assert sum(isinstance(event, BodyEnd) for event in events) == 1


def test_the_owner_speaks_first() -> None:
    server = SmtpServer()
    server.receive(b"EHLO me\r\n")
    assert server.next_event() is None
    assert server.send(Reply(220, "", ("mx.example ESMTP",))) == b"220 mx.example ESMTP\r\n"
    assert server.next_event() == Hello("me", esmtp=True)


def test_a_greeting_can_turn_the_client_away() -> None:
    server = SmtpServer()
    server.send(Reply(554, "5.7.1", ("Not you",)))
    server.receive(b"EHLO me\r\n")
    assert server.over
    assert server.next_event() is None


def test_a_message_comes_in() -> None:
    events = session([ENVELOPE + b"Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n"])
    assert events == [
        Hello("me", esmtp=True),
        MailAsked("a@b.example"),
        RcptAsked("c@d.example"),
        DataAsked(),
        Body(b"Subject: x\r\n\r\n.\r\n"),
        BodyEnd(17),
        QuitAsked(),
    ]


def test_commands_that_were_pipelined_wait_for_the_reply() -> None:
    server = SmtpServer(greeting=False)
    server.receive(ENVELOPE)
    assert server.next_event() == Hello("me", esmtp=True)
    assert server.next_event() is None
    assert server.send(EHLO_OK).startswith(b"250-mx.example\r\n")
    assert server.next_event() == MailAsked("a@b.example")


def test_a_message_larger_than_allowed_is_counted_but_not_kept() -> None:
    events = session([ENVELOPE + b"x" * 120 + b"\r\n.\r\n"], server=SmtpServer(greeting=False, size_max=100))
    assert events[4:] == [Body(b"x" * 100), BodyEnd(122, oversize=True)]


def test_a_second_message_can_follow() -> None:
    events = session([ENVELOPE + b"a\r\n.\r\n" + ENVELOPE.removeprefix(b"EHLO me\r\n") + b"b\r\n.\r\n"])
    assert [event.chunk for event in events if isinstance(event, Body)] == [b"a\r\n", b"b\r\n"]


@pytest.mark.parametrize("content", [b"a\nb", b"a\rb", b"a\n.\nb", b"a\r.\rb"])
def test_lone_line_ends_in_a_message_are_told(content: bytes) -> None:
    assert session([ENVELOPE + content + b"\r\n.\r\n"])[-1] == BodyEnd(len(content) + 2, stray=True)


def test_a_nul_in_a_message_is_told() -> None:
    assert session([ENVELOPE + b"a\0b\r\n.\r\n"])[-1] == BodyEnd(5, nul=True)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"HELO my printer", Hello("my printer", esmtp=False)),
        (b"ehlo [192.0.2.1]", Hello("[192.0.2.1]", esmtp=True)),
        (b"STARTTLS", StartTlsAsked()),
        (b"AUTH xoauth2", AuthAsked("XOAUTH2", None)),
        (b"AUTH LOGIN dGlt", AuthAsked("LOGIN", b"tim")),
        (b"AUTH PLAIN =", AuthAsked("PLAIN", b"")),
        (b"mail from: <a@b.example> SIZE=100", MailAsked("a@b.example", 100)),
        (b"MAIL FROM:<>", MailAsked("")),
        (b"MAIL FROM:<a@b.example> BODY=8BITMIME AUTH=<>", MailAsked("a@b.example", eight_bit=True)),
        (b"MAIL FROM:<a@b.example> BODY=7bit", MailAsked("a@b.example")),
        ("MAIL FROM:<ä@b.example> SMTPUTF8".encode(), MailAsked("ä@b.example", utf8=True)),
        (b"RSET", RsetAsked()),
        (b"NOOP whatever", NoopAsked()),
        (b"QUIT ", QuitAsked()),
    ],
)
def test_a_command_is_understood(line: bytes, event: Event) -> None:
    assert dialogue(b"EHLO me", line) == event


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", 500),
        (b"XCLIENT x", 500),
        (b"VRFY x", 252),
        (b"HELP", 214),
        (b"EXPN x", 502),
        (b"EHLO", 501),
        (b"EHLO a\0b", 501),
        (b"QUIT now", 501),
        (b"AUTH", 501),
        (b"AUTH PLAIN !", 501),
        (b"AUTH CRAM-MD5", 504),
        (b"MAIL", 501),
        (b"MAIL TO:<a@b.example>", 501),
        (b"MAIL FROM:<scanner>", 553),
        (b"MAIL FROM:<a@b.example> SIZE=x", 555),
        (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", 555),
        (b"MAIL FROM:<a@b.example> SMTPUTF8=yes", 555),
        (b"MAIL FROM:<a@b.example> RET=FULL", 555),
        (b"MAIL FROM:<a@b.example> SIZE=999999999999", 552),
        ("MAIL FROM:<ä@b.example>".encode(), 553),
        (b"RCPT TO:<c@d.example>", 503),
        (b"DATA", 503),
        (b"NOOP " + b"x" * COMMAND_MAX, 500),
    ],
)
def test_a_command_that_cannot_be_is_answered_by_the_core(line: bytes, code: int) -> None:
    assert refusal(b"EHLO me", line) == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"RCPT", 501),
        (b"RCPT TO:<>", 553),
        (b"RCPT TO:<c@d.example> NOTIFY=NEVER", 555),
        ("RCPT TO:<ä@d.example>".encode(), 553),
        (b"MAIL FROM:<a@b.example>", 503),
        (b"AUTH PLAIN", 503),
        (b"DATA", 554),
    ],
)
def test_within_a_message_the_order_is_kept(line: bytes, code: int) -> None:
    assert refusal(b"EHLO me", b"MAIL FROM:<a@b.example>", line) == code


def test_postmaster_needs_no_domain() -> None:
    assert dialogue(b"EHLO me", b"MAIL FROM:<a@b.example>", b"RCPT TO:<Postmaster>") == RcptAsked("Postmaster")


@pytest.mark.parametrize("line", [b"MAIL FROM:<a@b.example>", b"AUTH PLAIN"])
def test_the_client_introduces_itself_first(line: bytes) -> None:
    assert refusal(line) == 503
    assert refusal(b"EHLO me", line, refused=(Hello,)) == 503


@pytest.mark.parametrize(
    ("line", "code"), [(b"STARTTLS", 502), (b"AUTH PLAIN", 504), (b"MAIL FROM:<a@b.example> SMTPUTF8", 555)]
)
def test_what_is_not_offered_is_not_given(line: bytes, code: int) -> None:
    assert refusal(b"HELO me", line) == code


def test_what_was_refused_did_not_happen() -> None:
    assert refusal(b"EHLO me", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", refused=(MailAsked,)) == 503
    assert refusal(*ENVELOPE.split(b"\r\n")[:-1], refused=(RcptAsked,)) == 554


@pytest.mark.parametrize("line", [b"RSET", b"EHLO again"])
def test_a_message_begun_can_be_forgotten(line: bytes) -> None:
    assert refusal(b"EHLO me", b"MAIL FROM:<a@b.example>", line, b"RCPT TO:<c@d.example>") == 503


def test_recipients_are_bounded() -> None:
    server = SmtpServer(greeting=False, recipients_max=2)
    events = session([b"EHLO me\r\nMAIL FROM:<>\r\n", b"RCPT TO:<c@d.example>\r\n" * 3], server=server)
    assert [isinstance(event, Bad) for event in events] == [False, False, False, False, True]


def test_a_sign_in_goes_by_challenges() -> None:
    server = SmtpServer(greeting=False)
    server.receive(b"EHLO me\r\nAUTH LOGIN\r\n")
    server.next_event()
    server.send(EHLO_OK)
    assert server.next_event() == AuthAsked("LOGIN", None)
    assert server.send(Challenge(b"Username:")) == b"334 VXNlcm5hbWU6\r\n"
    server.receive(b"dGlt\r\n")
    assert server.next_event() == AuthGiven(b"tim")
    assert server.send(Challenge(b"Password:")) == b"334 UGFzc3dvcmQ6\r\n"
    server.receive(b"eA==\r\nAUTH LOGIN\r\n")
    assert server.next_event() == AuthGiven(b"x")
    assert server.send(Reply(235, "2.7.0", ("Welcome",))) == b"235 2.7.0 Welcome\r\n"
    assert isinstance(server.next_event(), Bad)


def test_a_sign_in_can_be_given_up_and_tried_again() -> None:
    assert dialogue(b"EHLO me", b"AUTH PLAIN", b"*") == AuthCancelled()
    assert dialogue(b"EHLO me", b"AUTH PLAIN", b"*", b"AUTH LOGIN") == AuthAsked("LOGIN", None)
    assert dialogue(b"EHLO me", b"AUTH PLAIN AAAA", b"AUTH LOGIN", refused=(AuthAsked,)) == AuthAsked("LOGIN", None)


def test_a_response_that_is_not_base64_ends_the_sign_in() -> None:
    assert refusal(b"EHLO me", b"AUTH PLAIN", b"QUIT!") == 501
    assert dialogue(b"EHLO me", b"AUTH PLAIN", b"QUIT!", b"QUIT") == QuitAsked()


def test_a_token_of_16_kib_passes_in_either_form() -> None:
    token = b"QUFB" * 5_500
    assert dialogue(b"EHLO me", b"AUTH XOAUTH2", token) == AuthGiven(b"AAA" * 5_500)
    assert dialogue(b"EHLO me", b"AUTH XOAUTH2 " + token) == AuthAsked("XOAUTH2", b"AAA" * 5_500)


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO me\nMAIL FROM:<a@b.example>\r\n",
        b"EHLO me\rMAIL FROM:<a@b.example>\r\n",
        b"x" * (AUTH_LINE_MAX + 2),
        b"GET / HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\n",
        b"BDAT 100 LAST\r\n",
        b"Subject: a message\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n",
        b".\r\n",
    ],
)
def test_what_is_no_command_at_all_ends_the_connection(data: bytes) -> None:
    server = SmtpServer(greeting=False)
    events = session([data, b"NOOP\r\n"], server=server)
    assert [isinstance(event, Bad) and event.fatal for event in events] == [True]
    assert server.over


def test_a_message_whose_data_was_refused_is_not_read_as_commands() -> None:
    message = b"Received: x\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<c@d.example>\r\n.\r\n"
    events = session([ENVELOPE + message], refused=(DataAsked,))
    assert events[3] == DataAsked()
    assert isinstance(events[4], Bad)
    assert len(events) == 5


def test_too_many_mistakes_end_the_connection() -> None:
    events = session([b"XYZ\r\n" * (MISTAKES_MAX + 5)])
    assert len(events) == MISTAKES_MAX
    assert events[-1] == Bad(Reply(421, "4.7.0", ("Too many mistakes",)), fatal=True)


def test_harmless_questions_are_no_mistakes() -> None:
    assert len(session([b"VRFY x\r\n" * 50])) == 50


def test_commands_sent_before_tls_are_never_read() -> None:
    server = SmtpServer(greeting=False)
    server.receive(b"EHLO me\r\nSTARTTLS\r\nMAIL FROM:<evil@b.example>\r\n")
    server.next_event()
    server.send(EHLO_OK)
    assert server.next_event() == StartTlsAsked()
    with pytest.raises(RemoteProtocolError):
        server.send(Reply(220, "2.0.0", ("Go",)))
    assert server.over
    assert server.next_event() is None


def test_bytes_in_clear_after_starttls_are_refused() -> None:
    server = SmtpServer(greeting=False)
    session([b"EHLO me\r\nSTARTTLS\r\n"], server=server)
    assert server.over
    with pytest.raises(RemoteProtocolError):
        server.receive(b"EHLO me\r\n")


def test_after_quit_nothing_is_read() -> None:
    server = SmtpServer(greeting=False)
    assert session([b"QUIT\r\nNOOP\r\n", b"NOOP\r\n"], server=server) == [QuitAsked()]
    assert server.over


def test_a_message_that_was_not_ended_is_none() -> None:
    server = SmtpServer(greeting=False)
    events = session([ENVELOPE + b"half a mess"], server=server)
    server.end_of_input()
    assert not any(isinstance(event, BodyEnd) for event in events)
    assert server.next_event() is None
    assert server.over


def test_whole_commands_before_the_end_of_input_still_count() -> None:
    server = SmtpServer(greeting=False)
    server.receive(b"NOOP\r\nQUIT\r\n")
    server.end_of_input()
    assert server.next_event() == NoopAsked()
    server.send(OK)
    assert server.next_event() == QuitAsked()


def test_421_may_be_said_at_any_time() -> None:
    server = SmtpServer(greeting=False)
    assert server.send(Reply(421, "4.4.2", ("Too slow",))) == b"421 4.4.2 Too slow\r\n"
    assert server.over


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", OK),
        (b"", Challenge(b"")),
        (b"NOOP\r\n", Challenge(b"")),
        (b"NOOP\r\n", Reply(354)),
        (b"NOOP\r\n", Reply(334)),
    ],
)
def test_an_answer_that_is_not_owed_is_our_own_fault(data: bytes, answer: Reply | Challenge) -> None:
    server = SmtpServer(greeting=False)
    server.receive(data)
    event = server.next_event()
    with pytest.raises(LocalProtocolError):
        server.send(answer)
    if event is not None:
        assert server.send(OK) == b"250 2.0.0 Ok\r\n"


def test_data_is_granted_by_354_and_nothing_else() -> None:
    server = SmtpServer(greeting=False)
    server.receive(ENVELOPE)
    for _ in range(3):
        event = server.next_event()
        assert event is not None
        server.send(reply_to(event))
    assert server.next_event() == DataAsked()
    with pytest.raises(LocalProtocolError):
        server.send(OK)


def test_what_a_client_sends_ahead_is_bounded() -> None:
    server = SmtpServer()
    server.receive(bytes(BACKLOG_MAX))
    with pytest.raises(LimitExceededError):
        server.receive(b"x")


def test_events_do_not_print_credentials() -> None:
    assert "hidden" not in repr([AuthAsked("PLAIN", b"hidden"), AuthGiven(b"hidden")])
