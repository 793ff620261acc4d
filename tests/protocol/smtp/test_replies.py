import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import LimitExceededError, MailbearerError, RemoteProtocolError
from mailbearer.protocol.smtp.replies import REPLY_LINES_MAX, WRITTEN_LINE_MAX, Reply, ReplyReader, encode_reply

TEXTS = st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(
    lambda text: text[:1] not in "245"
)
REPLIES = st.builds(
    Reply,
    st.integers(200, 599),
    st.sampled_from(["", "2.0.0", "4.7.0", "5.7.139"]),
    st.lists(TEXTS, min_size=1, max_size=5).map(tuple),
)


def read(data: bytes) -> Reply | None:
    reader = ReplyReader()
    reply = None
    for line in data.split(b"\r\n")[:-1]:
        assert reply is None
        reply = reader.take(line)
    return reply


@given(REPLIES)
def test_reading_undoes_writing(reply: Reply) -> None:
    assert read(encode_reply(reply)) == reply


@given(st.binary(max_size=40))
def test_any_line_is_a_reply_line_or_our_error(line: bytes) -> None:
    try:
        ReplyReader().take(line)
    except RemoteProtocolError as error:
        assert error.code == "MB-S30"


@given(st.integers(200, 599), st.text(), st.lists(st.text(), max_size=4))
def test_a_written_reply_has_as_many_lines_as_it_was_given(code: int, enhanced: str, lines: list[str]) -> None:
    data = encode_reply(Reply(code, enhanced, tuple(lines)))
    written = data.split(b"\r\n")
    assert written.pop() == b""
    assert len(written) == max(len(lines), 1)
    assert all(len(line) <= WRITTEN_LINE_MAX and not {10, 13, 0} & set(line) for line in written)
    assert [line[3:4] for line in written] == [b"-"] * (len(written) - 1) + [b" "]


def test_a_long_line_is_cut_between_two_characters() -> None:
    data = encode_reply(Reply(250, "", ("ä" * 400,)))
    assert data.decode().removeprefix("250 ").removesuffix("\r\n") == "ä" * 253


def test_the_enhanced_code_is_taken_out_of_every_line() -> None:
    reply = read(b"535-5.7.8 Username and Password not accepted. Go to\r\n535 5.7.8  https://support.example/\r\n")
    assert reply == Reply(535, "5.7.8", ("Username and Password not accepted. Go to", "https://support.example/"))
    assert str(reply) == "535 5.7.8 Username and Password not accepted. Go to https://support.example/"


def test_a_line_without_the_enhanced_code_stays_as_it_is() -> None:
    assert read(b"550-5.1.1 No\r\n550-5.1.2 such\r\n550 user\r\n") == Reply(550, "5.1.1", ("No", "5.1.2 such", "user"))


@pytest.mark.parametrize("line", [b"250", b"250 "])
def test_a_reply_needs_no_text(line: bytes) -> None:
    reply = ReplyReader().take(line)
    assert reply == Reply(250)
    assert str(reply) == "250"


@pytest.mark.parametrize(
    "line", [b"", b"25", b"2500", b"150 x", b"650 x", b"250_x", b"+OK ready", b" 250 x", b"25\xb2 x"]
)
def test_what_is_no_reply_line_is_refused(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ReplyReader().take(line)


def test_one_reply_has_one_code() -> None:
    reader = ReplyReader()
    assert reader.take(b"250-a") is None
    with pytest.raises(RemoteProtocolError):
        reader.take(b"251 b")


def test_the_lines_of_a_reply_are_bounded() -> None:
    reader = ReplyReader()
    for _ in range(REPLY_LINES_MAX):
        reader.take(b"250-x")
    with pytest.raises(LimitExceededError):
        reader.take(b"250-x")


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    assert read(b"250 M\xfcller\r\n") == Reply(250, "", ("M\ufffdller",))


@pytest.mark.parametrize(
    ("code", "words"), [(250, "positive"), (354, "positive"), (451, "transient"), (535, "permanent")]
)
def test_a_reply_is_one_of_positive_transient_permanent(code: int, words: str) -> None:
    reply = Reply(code)
    truths = {"positive": reply.positive, "transient": reply.transient, "permanent": reply.permanent}
    assert [word for word, truth in truths.items() if truth] == [words]


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_any_lines_are_replies_or_our_error(lines: list[bytes]) -> None:
    reader = ReplyReader()
    try:
        for line in lines:
            reader.take(line)
    except MailbearerError:
        pass
