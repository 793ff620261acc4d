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
from mailbearer.protocol.smtp.client import (
    Answer,
    Auth,
    AuthCancel,
    AuthResponse,
    Challenge,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Event,
    Farewell,
    Greeting,
    Helo,
    MailFrom,
    Noop,
    Quit,
    RcptTo,
    Rset,
    SmtpClient,
    StartTls,
)
from mailbearer.protocol.smtp.replies import Reply
from tests.protocol.cuts import CUTS, one_by_one, pieces, wire

MAIL = MailFrom("a@b.example")
RCPT = RcptTo("c@d.example")
SCRIPTS: list[list[Command]] = [
    [],
    [Ehlo("me")],
    [Auth("XOAUTH2")],
    [MAIL, RCPT, RCPT, Data()],
    [StartTls()],
    [Rset(), Quit()],
]


def ready() -> SmtpClient:
    return SmtpClient(greeting=False)


def answered(client: SmtpClient, command: Command, line: bytes) -> Event | None:
    client.send(command)
    client.receive(line + b"\r\n")
    return client.next_event()


def in_body() -> SmtpClient:
    client = ready()
    for command in (MAIL, RCPT, Data()):
        client.send(command)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    while client.next_event():
        pass
    return client


def events(parts: Iterable[bytes], script: list[Command], *, greeting: bool) -> list[Event | str]:
    client = SmtpClient(greeting=greeting)
    found: list[Event | str] = []
    try:
        for command in [] if greeting else script:
            client.send(command)
        for part in parts:
            client.receive(part)
            while (event := client.next_event()) is not None:
                found.append(event)
        client.end_of_input()
        client.next_event()
    except MailbearerError as error:
        found.append(error.code)
    return found


@given(
    wire(b"250 ok", b"250-", b"354 go", b"334 ", b"220 x", b"421 bye", b"535 5.7.8 no"),
    CUTS,
    st.sampled_from(SCRIPTS),
    st.booleans(),
)
def test_where_the_bytes_are_cut_changes_nothing(
    data: bytes, cuts: list[int], script: list[Command], greeting: bool
) -> None:
    assert events(pieces(data, cuts), script, greeting=greeting) == events(one_by_one(data), script, greeting=greeting)


@given(st.binary(max_size=200), st.sampled_from(SCRIPTS))
def test_any_bytes_are_events_or_the_servers_fault(data: bytes, script: list[Command]) -> None:
    client = ready()
    for command in script:
        client.send(command)
    client.receive(data)
    try:
        while client.next_event() is not None:
            pass
    except RemoteProtocolError as error:
        assert error.code in {"MB-S30", "MB-S31"}


def test_nothing_is_said_before_the_greeting() -> None:
    client = SmtpClient()
    with pytest.raises(LocalProtocolError):
        client.send(Ehlo("me"))
    client.receive(b"220-mail.example\r\n220 ESMTP\r\n")
    assert client.next_event() == Greeting(Reply(220, "", ("mail.example", "ESMTP")))
    assert client.send(Ehlo("me")) == b"EHLO me\r\n"


@pytest.mark.parametrize(
    "line", [b"+OK POP3 ready", b"* OK IMAP4rev1", b"SSH-2.0-OpenSSH_9.2", b"334 ", b"HTTP/1.1 400 Bad"]
)
def test_a_greeting_that_is_not_smtp_is_shown(line: bytes) -> None:
    client = SmtpClient()
    client.receive(line + b"\r\n")
    with pytest.raises(RemoteProtocolError) as caught:
        client.next_event()
    assert caught.value.code == "MB-S05"
    assert str(caught.value.fields["greeting"]).encode() == line.strip()


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Ehlo("[127.0.0.1]"), b"EHLO [127.0.0.1]"),
        (Helo("me.example"), b"HELO me.example"),
        (StartTls(), b"STARTTLS"),
        (Auth("XOAUTH2"), b"AUTH XOAUTH2"),
        (MailFrom(""), b"MAIL FROM:<>"),
        (MailFrom("a@b.example", 10, eight_bit=True), b"MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME"),
        (MailFrom("jürgen@b.example", utf8=True), "MAIL FROM:<jürgen@b.example> SMTPUTF8".encode()),
        (RCPT, b"RCPT TO:<c@d.example>"),
        (Data(), b"DATA"),
        (Rset(), b"RSET"),
        (Noop(), b"NOOP"),
        (Quit(), b"QUIT"),
    ],
)
def test_a_command_is_one_line(command: Command, line: bytes) -> None:
    assert ready().send(command) == line + b"\r\n"


def test_pipelined_commands_are_answered_in_their_order() -> None:
    client = ready()
    for command in (MAIL, RCPT, Data()):
        client.send(command)
    client.receive(b"250 ok\r\n550 5.1.1 unknown\r\n554 no recipients\r\n")
    answers = [client.next_event() for _ in range(4)]
    assert answers == [
        Answer(MAIL, Reply(250, "", ("ok",))),
        Answer(RCPT, Reply(550, "5.1.1", ("unknown",))),
        Answer(Data(), Reply(554, "", ("no recipients",))),
        None,
    ]


@pytest.mark.parametrize("last", [Ehlo("me"), Helo("me"), StartTls(), Auth("PLAIN"), Data(), Quit(), Noop()])
def test_some_commands_are_the_last_of_their_group(last: Command) -> None:
    client = ready()
    client.send(last)
    with pytest.raises(LocalProtocolError):
        client.send(Rset())


def test_a_message_is_sent_with_its_dots_doubled() -> None:
    client = in_body()
    wire_form = client.body(b"a\n.\n") + client.body(b"b") + client.send(EndOfData())
    assert wire_form == b"a\r\n..\r\nb\r\n.\r\n"
    client.receive(b"250 2.0.0 queued\r\n")
    assert client.next_event() == Answer(EndOfData(), Reply(250, "2.0.0", ("queued",)))


def test_the_next_envelope_can_follow_the_end_of_a_message_at_once() -> None:
    client = in_body()
    client.send(EndOfData())
    client.send(MAIL)
    client.receive(b"250 queued\r\n250 ok\r\n")
    assert [client.next_event(), client.next_event()] == [
        Answer(EndOfData(), Reply(250, "", ("queued",))),
        Answer(MAIL, Reply(250, "", ("ok",))),
    ]


def test_each_message_begins_anew() -> None:
    client = in_body()
    client.body(b"no line end")
    assert client.send(EndOfData()) == b"\r\n.\r\n"
    for command in (MAIL, RCPT, Data()):
        client.send(command)
    client.receive(b"250 ok\r\n" * 3 + b"354 go\r\n")
    while client.next_event():
        pass
    assert client.body(b".") == b".."


@pytest.mark.parametrize("command", [MAIL, Data(), Quit(), AuthResponse(b""), AuthCancel()])
def test_nothing_but_the_message_follows_354(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        in_body().send(command)


@pytest.mark.parametrize("command", [EndOfData(), AuthResponse(b""), AuthCancel()])
def test_what_answers_the_server_waits_for_its_question(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        ready().send(command)


def test_no_message_without_354() -> None:
    with pytest.raises(LocalProtocolError):
        ready().body(b"x")


def test_a_token_is_sent_only_when_the_server_asks() -> None:
    client = ready()
    assert client.send(Auth("XOAUTH2")) == b"AUTH XOAUTH2\r\n"
    with pytest.raises(LocalProtocolError):
        client.send(AuthResponse(b"token"))
    client.receive(b"334 \r\n")
    assert client.next_event() == Challenge(b"")
    assert client.send(AuthResponse(b"token")) == b"dG9rZW4=\r\n"
    client.receive(b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n")
    assert client.next_event() == Challenge(b'{"status":"401"}')
    assert client.send(AuthResponse(b"")) == b"\r\n"
    client.receive(b"535 5.7.8 no\r\n")
    assert client.next_event() == Answer(AuthResponse(b""), Reply(535, "5.7.8", ("no",)))
    assert client.send(Quit()) == b"QUIT\r\n"


def test_a_sign_in_can_be_given_up() -> None:
    client = ready()
    answered(client, Auth("XOAUTH2"), b"334")
    assert client.send(AuthCancel()) == b"*\r\n"
    client.receive(b"501 cancelled\r\n")
    assert client.next_event() == Answer(AuthCancel(), Reply(501, "", ("cancelled",)))


def test_a_mechanism_can_be_refused_at_once() -> None:
    assert answered(ready(), Auth("XOAUTH2"), b"504 5.5.4 no") == Answer(Auth("XOAUTH2"), Reply(504, "5.5.4", ("no",)))


def test_a_challenge_may_be_longer_than_a_reply() -> None:
    assert answered(ready(), Auth("XOAUTH2"), b"334 " + b"QUFB" * 10_000) == Challenge(b"AAA" * 10_000)


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        (Auth("XOAUTH2"), b"334 not base64"),
        (Auth("XOAUTH2"), b"334-QUFB\r\n334 QUFB"),
        (Auth("XOAUTH2"), b"334 " + b"QUFB" * 17_000),
        (Auth("XOAUTH2"), b"354 go"),
        (MAIL, b"250 " + b"x" * 9_000),
        (MAIL, b"354 go"),
        (MAIL, b"334 "),
        (Data(), b"250 ok"),
        (Data(), b"334 "),
        (MAIL, b"250-a\r\n251 b"),
        (MAIL, b"250 a\n"),
        (MAIL, b"250 a\rb"),
        (MAIL, b"nonsense"),
    ],
)
def test_a_server_that_breaks_the_protocol_is_refused_for_good(command: Command, lines: bytes) -> None:
    client = ready()
    with pytest.raises(RemoteProtocolError) as first:
        answered(client, command, lines)
    client.receive(b"250 ok\r\n")
    with pytest.raises(RemoteProtocolError) as second:
        client.next_event()
    assert first.value is second.value
    with pytest.raises(LocalProtocolError):
        client.send(Rset())


def test_a_reply_to_nothing_is_refused_but_421_is_a_farewell() -> None:
    client = ready()
    client.receive(b"421 4.4.2 idle too long\r\n250 ignored\r\n")
    assert client.next_event() == Farewell(Reply(421, "4.4.2", ("idle too long",)))
    assert client.next_event() is None
    other = ready()
    other.receive(b"250 ok\r\n")
    with pytest.raises(RemoteProtocolError):
        other.next_event()


def test_bytes_put_in_behind_starttls_are_noticed() -> None:
    client = ready()
    client.send(StartTls())
    client.receive(b"220 go\r\n250 injected\r\n")
    assert not client.leftover
    assert client.next_event() == Answer(StartTls(), Reply(220, "", ("go",)))
    assert client.leftover
    assert client.next_event() is None


def test_after_starttls_a_new_core_is_needed() -> None:
    client = ready()
    assert answered(client, StartTls(), b"220 go") == Answer(StartTls(), Reply(220, "", ("go",)))
    assert not client.leftover
    with pytest.raises(LocalProtocolError):
        client.send(Ehlo("me"))


def test_a_refused_starttls_leaves_the_session_as_it_was() -> None:
    client = ready()
    answered(client, StartTls(), b"454 4.7.0 not now")
    assert client.send(Quit()) == b"QUIT\r\n"


def test_an_end_is_a_loss_only_while_something_is_awaited() -> None:
    client = ready()
    client.end_of_input()
    assert client.next_event() is None
    quitting = ready()
    quitting.send(Quit())
    quitting.receive(b"221 bye\r\n")
    quitting.end_of_input()
    assert isinstance(quitting.next_event(), Answer)
    assert quitting.next_event() is None


@pytest.mark.parametrize("client", [SmtpClient(), in_body()])
def test_an_end_too_early_is_a_loss(client: SmtpClient) -> None:
    client.end_of_input()
    with pytest.raises(ConnectionLostError) as caught:
        client.next_event()
    assert caught.value.code == "MB-S32"


def test_an_end_says_which_answer_was_awaited() -> None:
    client = ready()
    client.send(MAIL)
    client.receive(b"250")
    client.end_of_input()
    with pytest.raises(ConnectionLostError) as caught:
        client.next_event()
    assert (caught.value.code, caught.value.fields["when"]) == ("MB-S32", "before the answer to MAIL FROM")


def test_an_end_after_a_whole_message_leaves_its_delivery_uncertain() -> None:
    client = in_body()
    client.send(EndOfData())
    client.end_of_input()
    with pytest.raises(ConnectionLostError) as caught:
        client.next_event()
    assert caught.value.code == "MB-S35"


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_no_address_can_smuggle_a_command(text: str) -> None:
    for command in (MailFrom(text), RcptTo(text), MailFrom(f"{text}@b.example")):
        try:
            line = ready().send(command)
        except InvalidInputError:
            continue
        assert line.count(b"\r") == line.count(b"\n") == 1
        assert line.endswith(b"\r\n")


@pytest.mark.parametrize(
    "address", ["", "a", "a@b\r\nRSET", "a@b.example> SIZE=1", "\ud800@b.example", "a b@c.example"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ready().send(RcptTo(address))
    assert caught.value.code == "MB-W22"


@pytest.mark.parametrize(
    "command",
    [
        Ehlo(""), Ehlo("a b"), Ehlo("a\r\nQUIT"), Helo("ä"), Auth("xoauth2"), Auth("PLAIN AAAA"), Auth(""),
        MailFrom("a@b.example", size=-1), MailFrom("ä@b.example"), RcptTo("ä@b.example"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_is_our_own_fault(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        ready().send(command)


def test_addresses_beyond_ascii_need_smtputf8_for_the_whole_message() -> None:
    client = ready()
    client.send(MailFrom("a@b.example", utf8=True))
    assert client.send(RcptTo("ä@b.example")) == "RCPT TO:<ä@b.example>\r\n".encode()
    client.send(MailFrom("a@b.example"))
    with pytest.raises(LocalProtocolError):
        client.send(RcptTo("ä@b.example"))


def test_a_response_does_not_print_the_token() -> None:
    assert "token" not in repr(AuthResponse(b"token"))
