from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import LimitExceededError, LocalProtocolError, RemoteProtocolError
from mailbearer.model.secret import Secret
from mailbearer.protocol.lines import BACKLOG_MAX
from mailbearer.protocol.pop3.server import AUTH_LINE_MAX, COMMAND_MAX, MISTAKES_MAX, Pop3Server, top_of
from mailbearer.protocol.pop3.server_events import (
    AuthAsked,
    AuthCancelled,
    AuthGiven,
    Bad,
    CapaAsked,
    Challenge,
    DeleAsked,
    Err,
    Event,
    ListAsked,
    NoopAsked,
    Ok,
    PassGiven,
    QuitAsked,
    RetrAsked,
    RsetAsked,
    StatAsked,
    StlsAsked,
    TopAsked,
    UidlAsked,
    UserGiven,
)
from tests.protocol.cuts import CUTS, one_by_one, pieces, wire

SIGN_IN = b"USER a@b.example\r\nPASS secret\r\n"


def answer(server: Pop3Server, event: Event, refused: tuple[type[Event], ...]) -> bytes:
    if isinstance(event, Bad):
        return server.send(event.answer)
    if isinstance(event, refused):
        return server.send(Err("no"))
    if isinstance(event, AuthAsked) and event.initial is None:
        return server.send(Challenge(b""))
    said = server.send(Ok())
    if isinstance(event, RetrAsked | TopAsked):
        said += server.body(b"x") + server.end_of_body()
    return said


def session(
    parts: Iterable[bytes], *, server: Pop3Server | None = None, refused: tuple[type[Event], ...] = ()
) -> list[Event]:
    server = server or Pop3Server(greeting=False)
    found: list[Event] = []
    for part in parts:
        server.receive(part)
        while (event := server.next_event()) is not None:
            found.append(event)
            answer(server, event, refused)
    return found


def signed_in(data: bytes = b"") -> Pop3Server:
    server = Pop3Server(greeting=False)
    session([SIGN_IN], server=server)
    server.receive(data)
    return server


TRAFFIC = wire(
    SIGN_IN,
    b"USER a\r\n",
    b"PASS x\r\n",
    b"AUTH XOAUTH2\r\n",
    b"AUTH PLAIN QUFB\r\n",
    b"RETR 1\r\n",
    b"LIST\r\n",
    b"CAPA\r\n",
)


@given(TRAFFIC, CUTS, st.sampled_from([(), (PassGiven,), (UserGiven, RetrAsked), (AuthAsked, AuthGiven)]))
def test_where_the_bytes_are_cut_changes_nothing(
    data: bytes, cuts: list[int], refused: tuple[type[Event], ...]
) -> None:
    assert session(pieces(data, cuts), refused=refused) == session(one_by_one(data), refused=refused)


def test_the_owner_speaks_first() -> None:
    server = Pop3Server()
    server.receive(b"CAPA\r\n")
    assert server.next_event() is None
    assert server.send(Ok("ready")) == b"+OK ready\r\n"
    assert server.next_event() == CapaAsked()
    assert server.next_event() is None


def test_a_greeting_can_turn_the_client_away() -> None:
    server = Pop3Server()
    assert server.send(Err("[SYS/TEMP] full")) == b"-ERR [SYS/TEMP] full\r\n"
    assert server.over


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"CAPA", CapaAsked()),
        (b"STLS", StlsAsked()),
        (b"auth xoauth2", AuthAsked("XOAUTH2", None)),
        (b"AUTH PLAIN QUFB", AuthAsked("PLAIN", b"AAA")),
        (b"USER  a@b.example ", UserGiven("a@b.example")),
        (b"QUIT", QuitAsked()),
    ],
)
def test_before_the_sign_in_a_command_is_understood(line: bytes, event: Event) -> None:
    assert session([line + b"\r\n"]) == [event]


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"CAPA", CapaAsked()),
        (b"STAT", StatAsked()),
        (b"LIST", ListAsked(None)),
        (b"LIST 3", ListAsked(3)),
        (b"UIDL", UidlAsked(None)),
        (b"uidl 3", UidlAsked(3)),
        (b"RETR 3", RetrAsked(3)),
        (b"TOP 3  10", TopAsked(3, 10)),
        (b"DELE 3", DeleAsked(3)),
        (b"RSET", RsetAsked()),
        (b"NOOP", NoopAsked()),
        (b"QUIT ", QuitAsked()),
    ],
)
def test_after_the_sign_in_a_command_is_understood(line: bytes, event: Event) -> None:
    server = signed_in(line + b"\r\n")
    assert server.signed_in
    assert server.next_event() == event


@pytest.mark.parametrize(
    "line", [b"STAT", b"LIST", b"UIDL", b"RETR 1", b"TOP 1 1", b"DELE 1", b"RSET", b"NOOP", b"PASS x"]
)
def test_the_mailbox_is_closed_before_the_sign_in(line: bytes) -> None:
    assert session([line + b"\r\n"]) == [Bad(Err("Not now"))]


@pytest.mark.parametrize("line", [b"USER a", b"PASS x", b"AUTH PLAIN", b"STLS"])
def test_nobody_signs_in_twice(line: bytes) -> None:
    assert signed_in(line + b"\r\n").next_event() == Bad(Err("Not now"))


@pytest.mark.parametrize(
    "line",
    [b"", b"XYZZY", b"RE TR", b"RETR", b"RETR 0", b"RETR x", b"RETR 1 2", b"RETR 9999999999", b"TOP 1", b"TOP 1 -1",
     b"TOP", b"STAT 1", b"LIST 1 2", b"CAPA now", b"NOOP " + b"x" * COMMAND_MAX],
)  # fmt: skip
def test_a_command_that_cannot_be_is_answered_by_the_core(line: bytes) -> None:
    assert isinstance(signed_in(line + b"\r\n").next_event(), Bad)


@pytest.mark.parametrize("line", [b"USER", b"USER a\0b", b"AUTH", b"AUTH PLAIN !"])
def test_a_sign_in_that_cannot_be_is_answered_by_the_core(line: bytes) -> None:
    assert session([line + b"\r\n"]) == [Bad(Err("The arguments cannot be understood"))]


def test_a_password_keeps_its_spaces() -> None:
    events = session([b"USER a\r\nPASS  two words \r\n"])
    assert events == [UserGiven("a"), PassGiven(Secret(" two words "))]


def test_the_password_follows_the_user_name_at_once() -> None:
    assert session([b"USER a\r\nCAPA\r\nPASS x\r\n"])[-1] == Bad(Err("Not now"))
    assert session([b"USER a\r\nPASS x\r\n"], refused=(UserGiven,))[-1] == Bad(Err("Not now"))


def test_a_refused_password_signs_nobody_in() -> None:
    server = Pop3Server(greeting=False)
    session([SIGN_IN], server=server, refused=(PassGiven,))
    assert not server.signed_in


def test_a_sign_in_goes_by_challenges() -> None:
    server = Pop3Server(greeting=False)
    server.receive(b"AUTH XOAUTH2\r\n")
    assert server.next_event() == AuthAsked("XOAUTH2", None)
    assert server.send(Challenge(b"")) == b"+ \r\n"
    server.receive(b"QUFB" * 5_500 + b"\r\n\r\n")
    assert server.next_event() == AuthGiven(b"AAA" * 5_500)
    assert server.send(Challenge(b'{"status":"401"}')) == b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n"
    assert server.next_event() == AuthGiven(b"")
    assert server.send(Err("[AUTH] no")) == b"-ERR [AUTH] no\r\n"
    assert not server.signed_in


def test_a_sign_in_can_be_given_up() -> None:
    server = Pop3Server(greeting=False)
    assert session([b"AUTH PLAIN\r\n*\r\n"], server=server)[-1] == AuthCancelled()
    assert not server.signed_in
    assert session([b"AUTH PLAIN\r\n!\r\nCAPA\r\n"])[-2:] == [Bad(Err("That is not base64")), CapaAsked()]


@pytest.mark.parametrize("line", [b"LIST", b"UIDL", b"CAPA"])
def test_lines_are_ended_by_a_dot_and_stuffed(line: bytes) -> None:
    server = signed_in(line + b"\r\n")
    server.next_event()
    assert server.send(Ok("here", (b"1 a", b".b"))) == b"+OK here\r\n1 a\r\n..b\r\n.\r\n"


def test_no_lines_are_ended_by_a_dot_too() -> None:
    server = signed_in(b"LIST\r\n")
    server.next_event()
    assert server.send(Ok()) == b"+OK \r\n.\r\n"


def test_lines_where_none_belong_are_our_own_fault() -> None:
    server = signed_in(b"LIST 1\r\n")
    server.next_event()
    with pytest.raises(LocalProtocolError):
        server.send(Ok("1 120", (b"x",)))
    assert server.send(Ok("1 120")) == b"+OK 1 120\r\n"


def test_a_message_goes_out_before_the_next_command_is_read() -> None:
    server = signed_in(b"RETR 1\r\nNOOP\r\n")
    assert server.next_event() == RetrAsked(1)
    assert server.send(Ok("5 octets")) == b"+OK 5 octets\r\n"
    assert server.next_event() is None
    assert server.body(b".\na") + server.end_of_body() == b"..\r\na\r\n.\r\n"
    assert server.next_event() == NoopAsked()


def test_a_message_not_granted_is_our_own_fault() -> None:
    server = signed_in(b"RETR 1\r\n")
    server.next_event()
    server.send(Err("no such message"))
    with pytest.raises(LocalProtocolError):
        server.body(b"x")
    with pytest.raises(LocalProtocolError):
        server.end_of_body()


@pytest.mark.parametrize(("data", "given"), [(b"", Ok()), (b"", Challenge(b"")), (b"NOOP\r\n", Challenge(b""))])
def test_an_answer_that_is_not_owed_is_our_own_fault(data: bytes, given: Ok | Challenge) -> None:
    server = signed_in(data)
    server.next_event()
    with pytest.raises(LocalProtocolError):
        server.send(given)


@pytest.mark.parametrize("data", [b"NOOP\nQUIT\r\n", b"NOOP\rQUIT\r\n", b"x" * (AUTH_LINE_MAX + 2)])
def test_lines_that_are_none_end_the_connection(data: bytes) -> None:
    server = Pop3Server(greeting=False)
    events = session([data, b"QUIT\r\n"], server=server)
    assert [isinstance(event, Bad) and event.fatal for event in events] == [True]
    assert server.over


def test_too_many_mistakes_end_the_connection() -> None:
    events = session([b"XYZ\r\n" * (MISTAKES_MAX + 5)])
    assert [isinstance(event, Bad) and event.fatal for event in events] == [False] * (MISTAKES_MAX - 1) + [True]


def test_commands_sent_before_tls_are_never_read() -> None:
    server = Pop3Server(greeting=False)
    server.receive(b"STLS\r\n" + SIGN_IN)
    assert server.next_event() == StlsAsked()
    with pytest.raises(RemoteProtocolError):
        server.send(Ok("go"))
    assert server.next_event() is None


def test_bytes_in_clear_after_stls_are_refused() -> None:
    server = Pop3Server(greeting=False)
    session([b"STLS\r\n"], server=server)
    assert server.over
    with pytest.raises(RemoteProtocolError):
        server.receive(SIGN_IN)


def test_a_refused_stls_leaves_the_session_as_it_was() -> None:
    assert session([b"STLS\r\nCAPA\r\n"], refused=(StlsAsked,)) == [StlsAsked(), CapaAsked()]


def test_after_quit_nothing_is_read() -> None:
    server = Pop3Server(greeting=False)
    assert session([b"QUIT\r\nCAPA\r\n", b"CAPA\r\n"], server=server) == [QuitAsked()]
    assert server.over


def test_half_a_command_at_the_end_of_input_is_none() -> None:
    server = Pop3Server(greeting=False)
    server.receive(b"CAPA\r\nQUI")
    server.end_of_input()
    assert server.next_event() == CapaAsked()
    server.send(Ok())
    assert server.next_event() is None
    assert server.over


def test_what_a_client_sends_ahead_is_bounded() -> None:
    server = Pop3Server()
    server.receive(bytes(BACKLOG_MAX))
    with pytest.raises(LimitExceededError):
        server.receive(b"x")


@given(st.text())
def test_an_answer_is_one_line(text: str) -> None:
    for given_answer in (Ok(text), Err(text)):
        line = Pop3Server().send(given_answer)
        assert line.endswith(b"\r\n")
        assert line.count(b"\r") == line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("lines", "top"),
    [
        (0, b"A: b\r\n\r\n"),
        (1, b"A: b\r\n\r\n1\r\n"),
        (9, b"A: b\r\n\r\n1\r\n2\r\n"),
    ],
)
def test_top_is_the_header_and_some_lines(lines: int, top: bytes) -> None:
    assert top_of(b"A: b\r\n\r\n1\r\n2\r\n", lines) == top


def test_events_do_not_print_credentials() -> None:
    assert "hidden" not in repr([AuthAsked("PLAIN", b"hidden"), AuthGiven(b"hidden"), PassGiven(Secret("hidden"))])
