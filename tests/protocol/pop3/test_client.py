from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import (
    ConnectionLostError,
    InvalidInputError,
    LocalProtocolError,
    MailbearerError,
    RemoteProtocolError,
)
from mailbearer.model.secret import Secret
from mailbearer.protocol.pop3.client import (
    Answer,
    Auth,
    AuthCancel,
    AuthResponse,
    Body,
    Capa,
    Challenge,
    Command,
    Dele,
    End,
    Event,
    Greeting,
    Line,
    List,
    Noop,
    Pass,
    Pop3Client,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
)
from tests.protocol.cuts import CUTS, one_by_one, pieces, wire

COMMANDS: list[Command] = [Capa(), Retr(1), Auth("XOAUTH2"), Stat(), Stls(), Quit()]


def asked(command: Command) -> Pop3Client:
    client = Pop3Client(greeting=False)
    client.send(command)
    return client


def answers(client: Pop3Client, data: bytes) -> list[Event]:
    client.receive(data)
    return list(iter(client.next_event, None))


def events(parts: Iterable[bytes], client: Pop3Client) -> list[Event | str]:
    """Collect all events, pieces of a body put together, and the code of the error at the end."""
    found: list[Event | str] = []
    try:
        for part in parts:
            client.receive(part)
            while (event := client.next_event()) is not None:
                if isinstance(event, Body) and isinstance(found[-1], Body):
                    found[-1] = Body(found[-1].chunk + event.chunk)
                else:
                    found.append(event)
        client.end_of_input()
        client.next_event()
    except MailbearerError as error:
        found.append(error.code)
    return found


TRAFFIC = wire(
    b"+OK hi\r\n", b"-ERR [AUTH] no\r\n", b"+ QUFB\r\n", b"+ ", b"1 uid\r\n", b"..x\r\n", b"+OK 1 2\r\n", b"\n.\n"
)


@given(TRAFFIC, CUTS, st.sampled_from(COMMANDS))
def test_where_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int], command: Command) -> None:
    assert events(pieces(data, cuts), asked(command)) == events(one_by_one(data), asked(command))


@given(TRAFFIC, CUTS)
def test_where_the_greeting_is_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert events(pieces(data, cuts), Pop3Client()) == events(one_by_one(data), Pop3Client())


@given(st.binary(max_size=200), st.sampled_from(COMMANDS))
def test_any_bytes_are_events_or_the_servers_fault(data: bytes, command: Command) -> None:
    try:
        answers(asked(command), data)
    except RemoteProtocolError as error:
        assert error.code in {"MB-P30", "MB-P31"}


def test_nothing_is_said_before_the_greeting() -> None:
    client = Pop3Client()
    with pytest.raises(LocalProtocolError):
        client.send(Capa())
    assert answers(client, b"+OK <1896.697170952@dbc.mtview.ca.us>\r\n") == [
        Greeting("<1896.697170952@dbc.mtview.ca.us>")
    ]
    assert client.send(Capa()) == b"CAPA\r\n"


@pytest.mark.parametrize("line", [b"220 mx.example ESMTP", b"* OK IMAP4rev1", b"-ERR [SYS/TEMP] too many", b"+ "])
def test_a_greeting_that_is_not_pop3_is_shown(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        answers(Pop3Client(), line + b"\r\n")
    assert (caught.value.code, caught.value.fields["greeting"]) == ("MB-P05", line.decode())


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Capa(), b"CAPA"),
        (Stls(), b"STLS"),
        (Auth("XOAUTH2"), b"AUTH XOAUTH2"),
        (User("jürgen@b.example"), "USER jürgen@b.example".encode()),
        (Pass(Secret(" two words ")), b"PASS  two words "),
        (Stat(), b"STAT"),
        (Uidl(), b"UIDL"),
        (List(), b"LIST"),
        (Retr(7), b"RETR 7"),
        (Top(7, 0), b"TOP 7 0"),
        (Dele(7), b"DELE 7"),
        (Rset(), b"RSET"),
        (Noop(), b"NOOP"),
        (Quit(), b"QUIT"),
    ],
)
def test_a_command_is_one_line(command: Command, line: bytes) -> None:
    client = Pop3Client(greeting=False)
    assert client.send(command) == line + b"\r\n"
    with pytest.raises(LocalProtocolError):
        client.send(Noop())


@pytest.mark.parametrize(
    ("line", "ok", "text"),
    [
        (b"+OK", True, ""),
        (b"+OK 2 320", True, "2 320"),
        (b"-ERR [IN-USE] wait", False, "[IN-USE] wait"),
        (b"-ERR\tM\xfcll", False, "M\ufffdll"),
    ],
)
def test_an_answer_is_yes_or_no(line: bytes, *, ok: bool, text: str) -> None:
    client = asked(Stat())
    assert answers(client, line + b"\r\n") == [Answer(Stat(), ok, text)]
    assert client.send(Quit()) == b"QUIT\r\n"


@pytest.mark.parametrize("command", [Capa(), Uidl(), List()])
def test_lines_come_one_by_one_until_the_dot(command: Command) -> None:
    client = asked(command)
    found = answers(client, b"+OK\r\n1 a\r\n..b\r\n\r\n.\r\n")
    assert found == [Answer(command, True, ""), Line(b"1 a"), Line(b".b"), Line(b""), End(command)]
    assert client.send(Noop()) == b"NOOP\r\n"


@pytest.mark.parametrize("command", [Capa(), Uidl(), List(), Retr(1), Top(1, 1)])
def test_after_no_nothing_follows(command: Command) -> None:
    client = asked(command)
    assert answers(client, b"-ERR no\r\n") == [Answer(command, False, "no")]
    assert client.send(Noop()) == b"NOOP\r\n"


@pytest.mark.parametrize("command", [Retr(1), Top(1, 5)])
def test_a_message_comes_with_its_dots_undoubled_and_all_else_as_it_was(command: Command) -> None:
    client = asked(command)
    found = answers(client, b"+OK 120 octets\r\n..\r\n" + b"x" * 100_000 + b"\r\na\nb\rc\0\xff\r\n.\r\n")
    assert found[0] == Answer(command, True, "120 octets")
    assert found[1:] == [Body(b".\r\n" + b"x" * 100_000 + b"\r\na\nb\rc\0\xff\r\n"), End(command)]
    assert client.send(Dele(1)) == b"DELE 1\r\n"


def test_no_other_sequence_ends_a_message() -> None:
    client = asked(Retr(1))
    message = b"a\n.\nb\r.\rc\n.\r\nd\r\n.\ne\r\n"
    wire_form = message.replace(b"\r\n.", b"\r\n..")
    assert answers(client, b"+OK\r\n" + wire_form + b".\r\n")[1:] == [Body(message), End(Retr(1))]


def test_an_empty_message_is_one() -> None:
    assert answers(asked(Retr(1)), b"+OK\r\n.\r\n") == [Answer(Retr(1), True, ""), End(Retr(1))]


def test_a_message_is_given_as_it_comes() -> None:
    client = asked(Retr(1))
    answers(client, b"+OK\r\n")
    for _ in range(100):
        assert answers(client, b"x" * 65_536) == [Body(b"x" * 65_536)]


def test_bytes_behind_a_message_are_an_answer_to_nothing() -> None:
    client = asked(Retr(1))
    with pytest.raises(RemoteProtocolError):
        answers(client, b"+OK\r\nx\r\n.\r\n+OK more\r\n")


def test_a_token_is_sent_only_when_the_server_asks() -> None:
    client = asked(Auth("XOAUTH2"))
    with pytest.raises(LocalProtocolError):
        client.send(AuthResponse(b"token"))
    assert answers(client, b"+ \r\n") == [Challenge(b"")]
    with pytest.raises(LocalProtocolError):
        client.send(Noop())
    assert client.send(AuthResponse(b"token")) == b"dG9rZW4=\r\n"
    assert answers(client, b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n") == [Challenge(b'{"status":"401"}')]
    assert client.send(AuthResponse(b"")) == b"\r\n"
    assert answers(client, b"-ERR [AUTH] no\r\n") == [Answer(AuthResponse(b""), False, "[AUTH] no")]
    assert client.send(Quit()) == b"QUIT\r\n"


@pytest.mark.parametrize("line", [b"+", b"+ ", b"+  "])
def test_an_empty_challenge_is_understood(line: bytes) -> None:
    assert answers(asked(Auth("XOAUTH2")), line + b"\r\n") == [Challenge(b"")]


def test_a_challenge_may_be_longer_than_an_answer() -> None:
    assert answers(asked(Auth("XOAUTH2")), b"+ " + b"QUFB" * 10_000 + b"\r\n") == [Challenge(b"AAA" * 10_000)]


def test_a_sign_in_can_be_given_up() -> None:
    client = asked(Auth("XOAUTH2"))
    answers(client, b"+ \r\n")
    assert client.send(AuthCancel()) == b"*\r\n"
    assert answers(client, b"-ERR cancelled\r\n") == [Answer(AuthCancel(), False, "cancelled")]


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (Auth("XOAUTH2"), b"+ not base64\r\n"),
        (Auth("XOAUTH2"), b"+ QUF\r\n"),
        (Auth("XOAUTH2"), b"+ " + b"QUFB" * 17_000 + b"\r\n"),
        (Stat(), b"+ QUFB\r\n"),
        (Stat(), b"+ok\r\n"),
        (Stat(), b"+OKAY\r\n"),
        (Stat(), b"250 ok\r\n"),
        (Stat(), b"+OK\n"),
        (Stat(), b"+OK " + b"x" * 9_000),
        (Stat(), b"+OK\r\n+OK\r\n"),
        (Uidl(), b"+OK\r\n1 " + b"x" * 9_000),
        (Uidl(), b"+OK\r\n1 a\n"),
    ],
)
def test_a_server_that_breaks_the_protocol_is_refused_for_good(command: Command, data: bytes) -> None:
    client = asked(command)
    with pytest.raises(RemoteProtocolError) as first:
        answers(client, data)
    with pytest.raises(RemoteProtocolError) as second:
        client.next_event()
    assert first.value is second.value
    with pytest.raises(LocalProtocolError):
        client.send(Noop())


def test_bytes_put_in_behind_stls_are_noticed() -> None:
    client = asked(Stls())
    client.receive(b"+OK go\r\n+OK injected\r\n")
    assert not client.leftover
    assert client.next_event() == Answer(Stls(), True, "go")
    assert client.leftover
    assert client.next_event() is None
    with pytest.raises(LocalProtocolError):
        client.send(Capa())


def test_a_refused_stls_leaves_the_session_as_it_was() -> None:
    client = asked(Stls())
    assert answers(client, b"-ERR no\r\n") == [Answer(Stls(), False, "no")]
    assert client.send(Quit()) == b"QUIT\r\n"


@pytest.mark.parametrize(
    ("data", "when"),
    [
        (b"", "before the answer to RETR"),
        (b"+O", "before the answer to RETR"),
        (b"+OK\r\nhalf", "in the answer to RETR"),
    ],
)
def test_an_end_says_what_was_awaited(data: bytes, when: str) -> None:
    client = asked(Retr(1))
    answers(client, data)
    client.end_of_input()
    with pytest.raises(ConnectionLostError) as caught:
        client.next_event()
    assert (caught.value.code, caught.value.fields["when"]) == ("MB-P32", when)


def test_an_end_before_the_greeting_is_a_loss() -> None:
    client = Pop3Client()
    client.end_of_input()
    with pytest.raises(ConnectionLostError):
        client.next_event()


def test_an_end_between_two_commands_is_none() -> None:
    client = Pop3Client(greeting=False)
    client.end_of_input()
    assert client.next_event() is None


def test_an_end_after_quit_is_none() -> None:
    client = asked(Quit())
    assert answers(client, b"+OK bye\r\n") == [Answer(Quit(), True, "bye")]
    client.end_of_input()
    assert client.next_event() is None


@given(st.text())
def test_no_name_or_password_can_smuggle_a_command(text: str) -> None:
    for command in (User(text), Pass(Secret(text))):
        try:
            line = Pop3Client(greeting=False).send(command)
        except InvalidInputError as error:
            assert error.code == "MB-W05"
            continue
        assert line.count(b"\r") == line.count(b"\n") == 1


@pytest.mark.parametrize("command", [Auth("plain"), Auth("PLAIN AAAA"), Retr(0), Dele(-1), Top(1, -1)])
def test_an_argument_that_cannot_be_is_our_own_fault(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        Pop3Client(greeting=False).send(command)


def test_commands_do_not_print_secrets() -> None:
    assert "hidden" not in repr([AuthResponse(b"hidden"), Pass(Secret("hidden"))])
