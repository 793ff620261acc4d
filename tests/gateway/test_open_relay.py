"""Nobody sends who was not allowed to, whatever is said in whatever order (SPEC promise 5); what guessing costs."""

import base64
import threading
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from tests.gateway.conftest import House
from tests.gateway.gate import KNOWN, SENDER, STRANGER, USER, Guest, guest, post

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gateway")]


def plain(user: str, password: str, for_whom: str = "") -> bytes:
    return base64.b64encode(f"{for_whom}\0{user}\0{password}".encode())


PATHS = [
    f"<{SENDER}>",
    "<>",
    "<postmaster>",
    "<root@localhost>",
    "<ada%x.example@[127.0.0.1]>",
    "<@x.example:ada@x.example>",
]
MAILS = [f"MAIL FROM:{path}{more}".encode() for path in PATHS for more in ("", " AUTH=<>", f" AUTH={SENDER}")]
RCPTS = [f"RCPT TO:{path}".encode() for path in PATHS]
OTHERS = [
    b"EHLO 127.0.0.1", b"HELO localhost", b"EHLO [127.0.0.1]", b"DATA", b"RSET", b"NOOP", b"STARTTLS", b"AUTH PLAIN",
    b"AUTH LOGIN", b"AUTH PLAIN *", b"AUTH PLAIN =", b"*", b"", b".", b"BDAT 5 LAST\r\nhello",
    b"XCLIENT ADDR=127.0.0.1", b"XFORWARD ADDR=127.0.0.1", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2",
    b"Subject: x\r\n\r\nhello\r\n.",
    b"AUTH PLAIN " + plain("", ""), b"AUTH XOAUTH2 " + base64.b64encode(b"user=nas\1auth=Bearer x\1\1"),
]  # fmt: skip


@given(st.lists(st.sampled_from([*MAILS, *RCPTS, *OTHERS]), min_size=1, max_size=12))
def test_a_stranger_sends_nothing(house: House, lines: Sequence[bytes]) -> None:
    with Guest(house.port(), STRANGER) as client:
        client.send(b"EHLO x\r\n" + b"\r\n".join(lines) + b"\r\nQUIT\r\n")
        client.socket.shutdown(1)
        said = client.rest()
    assert b"\n250 2.1." not in said, "no sender and no recipient"
    assert b"\n354" not in said
    assert b"\n235" not in said
    assert not house.sink.copies


def test_a_device_that_signed_in_sends_and_loses_that_with_tls_and_with_its_place(house: House) -> None:
    with guest(house.port(), STRANGER) as client:
        assert client.ask(b"AUTH PLAIN " + plain(USER, house.gate.password)).startswith("235 ")
        assert post(client, "signed-in@x.example").startswith("250 ")
    with guest(house.port(), STRANGER) as client:
        assert client.ask(f"MAIL FROM:<{SENDER}>".encode()).startswith("530 ")
    with guest(house.port("both"), STRANGER) as client:
        assert client.ask(b"AUTH PLAIN " + plain(USER, house.gate.password)).startswith("538 ")
        assert client.ask(b"STARTTLS").startswith("220 ")
        client.start_tls()
        assert client.ask(b"EHLO x").startswith("250")
        assert client.ask(f"MAIL FROM:<{SENDER}>".encode()).startswith("530 ")
        assert client.ask(b"AUTH PLAIN " + plain(USER, house.gate.password, "copier")).startswith("501 ")
        assert client.ask(b"AUTH PLAIN " + plain(USER, house.gate.password)).startswith("235 ")
    house.gate.run("device", "set", USER, "enabled=no")
    try:
        with guest(house.port(), "127.0.0.5") as client:
            assert client.ask(b"AUTH PLAIN " + plain(USER, house.gate.password)).startswith("535 ")
    finally:
        house.gate.run("device", "set", USER, "enabled=yes")
    assert house.sink.wait_for(lambda: house.sink.copies["signed-in@x.example"] == 1)


class Guess(threading.Thread):
    """One attempt to sign in, in a connection of its own; ``told`` is the answer, ``took`` the seconds until then."""

    def __init__(self, house: House, source: str, user: str, password: str) -> None:
        super().__init__()
        self._house = house
        self._source = source
        self._words = plain(user, password)
        self.told = ""
        self.took = 0.0
        self.start()

    def run(self) -> None:
        with guest(self._house.port(), self._source) as client:
            begin = time.monotonic()
            self.told = client.ask(b"AUTH PLAIN " + self._words)
            self.took = time.monotonic() - begin


def test_whether_name_or_password_is_wrong_cannot_be_told(house: House) -> None:
    guesses = [
        Guess(house, f"127.0.3.{number}", user, password)
        for number, (user, password) in enumerate(
            [
                (USER, "wrong"),
                ("nobody", "wrong"),
                (USER, "x" * 200),
                ("nobody", house.gate.password),
                ("copier", "wrong"),
            ]
        )
    ]
    for guess in guesses:
        guess.join()
    assert {guess.told for guess in guesses} == {"535 5.7.8 User name or password is not right"}
    assert min(guess.took for guess in guesses) >= 0.99, "clocks of two processes"
    assert max(guess.took for guess in guesses) - min(guess.took for guess in guesses) < 0.3


def test_guessing_gets_slow_for_one_address_and_for_no_other(house: House) -> None:
    first = [Guess(house, "127.0.4.1", USER, f"guess {number}") for number in range(4)]
    for guess in first:
        guess.join()
    later = [Guess(house, "127.0.4.1", "nobody", f"guess {number}") for number in range(2)]
    begin = time.monotonic()
    right = Guess(house, "127.0.4.2", USER, house.gate.password)
    right.join()
    assert right.told.startswith("235 ")
    assert right.took < 1.0
    with guest(house.port(), KNOWN) as client:
        assert post(client, "meanwhile@x.example").startswith("250 ")
    for guess in later:
        guess.join()
    assert time.monotonic() - begin >= 2.0, "the fifth has to wait"
    assert max(guess.took for guess in later) > max(guess.took for guess in first)
