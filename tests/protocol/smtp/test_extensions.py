import pytest
from hypothesis import given, strategies as st

from mailbearer.protocol.smtp.extensions import Extensions
from mailbearer.protocol.smtp.replies import Reply


def offered(*lines: str) -> Extensions:
    return Extensions.of(Reply(250, "", ("mail.example", *lines)))


def test_exchange_online_is_understood() -> None:
    lines = ["SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "AUTH LOGIN XOAUTH2", "8BITMIME"]
    assert offered(*lines, "BINARYMIME", "CHUNKING", "SMTPUTF8", "STARTTLS") == Extensions(
        size=157286400,
        auth=frozenset({"LOGIN", "XOAUTH2"}),
        pipelining=True,
        starttls=True,
        eight_bit=True,
        utf8=True,
        dsn=True,
        chunking=True,
    )


@pytest.mark.parametrize(
    "line", ["AUTH=LOGIN PLAIN", "auth login plain", "AUTH = LOGIN  PLAIN ", "AUTH LOGIN PLAIN LOGIN"]
)
def test_old_and_odd_ways_to_offer_auth_are_understood(line: str) -> None:
    assert offered(line).auth == {"LOGIN", "PLAIN"}


def test_several_auth_lines_are_taken_together() -> None:
    assert offered("AUTH LOGIN", "AUTH=XOAUTH2").auth == {"LOGIN", "XOAUTH2"}


@pytest.mark.parametrize("line", ["SIZE", "SIZE 0", "SIZE -1", "SIZE ten", "SIZE " + "9" * 19, "SIZE ²"])
def test_a_size_that_says_nothing_is_none(line: str) -> None:
    assert offered(line).size is None


def test_the_first_line_is_the_servers_name_and_no_extension() -> None:
    assert Extensions.of(Reply(250, "", ("STARTTLS",))) == Extensions()


@given(st.lists(st.text(), min_size=1).map(tuple))
def test_any_answer_is_read(lines: tuple[str, ...]) -> None:
    assert isinstance(Extensions.of(Reply(250, "", lines)), Extensions)
