"""Everything that a stranger can send to a service that runs: the right reply, little memory, and others unharmed."""

import base64
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import pytest

from tests.gateway.conftest import House
from tests.gateway.gate import KNOWN, STRANGER, Guest, guest, letter, post

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gateway")]

MEGABYTE = 1_000_000
SLOWEST = 1.0  # seconds that others may wait for an answer, on a machine that does other things too
BEGIN = (b"MAIL FROM:<scan@clinic.example>", b"RCPT TO:<ada@x.example>", b"DATA")


@contextmanager
def unharmed(house: House, *, memory: int = 12 * MEGABYTE) -> Generator[None]:
    """See to it that another device is answered at once all the time, and that little memory is taken."""
    begun, end = threading.Event(), threading.Event()
    waited: list[float] = []

    def work() -> None:
        with guest(house.port(), "127.0.0.200") as client:
            while not end.wait(0.01):
                begin = time.monotonic()
                assert client.ask(b"NOOP").startswith("250")
                waited.append(time.monotonic() - begin)
                begun.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(10)
    before = house.serving.memory()
    try:
        yield
    finally:
        grown = house.serving.memory() - before
        end.set()
        worker.join()
    assert max(waited) < SLOWEST
    assert grown < memory, f"{grown:,} octets"
    assert house.serving.process.poll() is None


def flood(client: Guest, data: bytes, times: int = 1) -> None:
    """Send without listening; the other side may close meanwhile."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        for _ in range(times):
            client.send(data)


def test_a_line_without_end(house: House) -> None:
    with unharmed(house), guest(house.port()) as client:
        flood(client, b"x" * 65_536, 200)
        assert client.rest()[:4] in {b"500 ", b""}  # a connection that is broken takes the reply along


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "500"),
        (b"EHLO a\0b", "501"),
        (b"NO\0OP", "500"),
        (b"\xff\xfe\x80", "500"),
        (b"MAIL FROM:<m\xc3\xbcller@x.example>", "553"),
        (b"MAIL FROM:<m\xfcller@x.example>", "501"),
        (b"RCPT TO:<ada@x.example>", "503"),
        (b"DATA", "503"),
        (b"BDAT 0 LAST", "503"),
        (b"BDAT 99999999999999999999", "501"),
        (b"AUTH", "501"),
        (b"AUTH PLAIN !!!!", "501"),
        (b"AUTH PLAIN YQ", "501"),
        (b"AUTH NTLM", "504"),
        (b"STARTTLS", "502"),
        (b"MAIL FROM:<scan@clinic.example> SIZE=2000000", "552"),
        (b"MAIL FROM:<scan@clinic.example> SIZE=-1", "555"),
        (b"MAIL FROM:<scan@clinic.example> SIZE=" + b"9" * 400, "555"),
        (b"MAIL FROM:<@a,@b:scan@clinic.example> X=Y", "555"),
        (b"VRFY root", "252"),
        (b"EXPN all", "502"),
        (b"HELP " + b"x" * 1_900, "214"),
        (b"NOOP " + b"x" * 3_000, "500"),
    ],
)
def test_a_command_that_cannot_be(house: House, line: bytes, code: str) -> None:
    with Guest(house.port()) as client:
        client.hear()
        client.ask(b"EHLO guest")
        assert client.ask(line)[:3] == code


def test_commands_before_hello(house: House) -> None:
    for line in (BEGIN[0], b"AUTH PLAIN", b"DATA", b"BDAT 5 LAST\r\nhello"):
        with Guest(house.port(), STRANGER) as client:
            client.hear()
            assert client.ask(line)[:3] in {"503", "500"}


def test_ten_thousand_recipients(house: House) -> None:
    with unharmed(house), guest(house.port()) as client:
        client.ask(BEGIN[0])
        replies: list[str] = []
        for _ in range(20):
            client.send(b"".join(b"RCPT TO:<r%d@x.example>\r\n" % each for each in range(500)))
            replies += [client.hear()[:3] for _ in range(500)]
        assert (replies.count("250"), replies[500:]) == (500, ["452"] * 9_500)
        assert client.ask(b"RSET").startswith("250")


def test_a_message_that_grows_past_its_size(house: House) -> None:
    with unharmed(house), guest(house.port()) as client:
        client.ask(*BEGIN)
        client.send(letter("large@x.example"))
        for _ in range(400):
            client.send(b"x" * 998 + b"\r\n" + b"y" * 64_000 + b"\r\n")
        assert client.ask(b".").startswith("552 5.3.4 ")
        assert post(client, "after-the-large@x.example").startswith("250 ")
    assert house.sink.wait_for(lambda: house.sink.copies["after-the-large@x.example"] == 1)
    assert not house.sink.copies["large@x.example"]


@pytest.mark.parametrize(
    ("field", "code"), [(b"X-Long: " + b"x" * 200_000, "552"), (b"X: y\r\n" * 40_000, "552"), (b"a\0b", "554")]
)
def test_a_header_that_cannot_be(house: House, field: bytes, code: str) -> None:
    with unharmed(house), guest(house.port()) as client:
        client.ask(*BEGIN)
        client.send(field + b"\r\n" + letter("header@x.example") + b".\r\n")
        assert client.hear()[:3] == code


@pytest.mark.parametrize(
    "value",
    [b"a" * 90_000, b" " * 90_000 + b"x", b'"' * 90_000, b"<" * 90_000, b"a@" * 45_000, b"=?utf-8?q?" * 9_000,
     b"x\r\n " * 22_000, b"(" * 90_000],
)  # fmt: skip
def test_fields_that_are_hard_to_read(house: House, value: bytes) -> None:
    begin = time.monotonic()
    with unharmed(house), guest(house.port()) as client:
        for name in (b"From", b"Subject", b"Message-ID", b"Reply-To"):
            client.ask(*BEGIN)
            client.send(name + b": " + value + b"\r\n\r\nhello\r\n.\r\n")
            assert client.hear()[:1] in "25"
    assert time.monotonic() - begin < 5


SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<eve@x.example>\r\nDATA\r\nFrom: evil\r\n\r\nevil\r\n.\r\n"


@pytest.mark.parametrize(
    "body", [b"\n", b"\r", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r\n.\n", b"\r\n.x"]
)
def test_line_ends_that_are_none_end_no_message(house: House, body: bytes) -> None:
    name = f"ends-{body.hex()}@x.example"
    with unharmed(house), guest(house.port()) as client:
        client.ask(*BEGIN)
        client.send(letter(name) + b"x" + body * 10_000 + b"x" + body + SMUGGLED)
        assert client.hear().startswith("250 2.0.0 Queued")
        assert client.ask(b"NOOP").startswith("250")
    assert house.sink.wait_for(lambda: house.sink.copies[name] == 1)


@pytest.mark.parametrize("body", [b".\r\n", b"\r\n."])
def test_what_is_left_of_a_message_behind_its_end_is_no_command(house: House, body: bytes) -> None:
    with unharmed(house), guest(house.port()) as client:
        client.ask(*BEGIN)
        flood(client, letter(f"left-{body.hex()}@x.example") + b"x" + body * 10_000 + b"\r\n" + SMUGGLED)
        assert client.hear()[:3] in {"250", ""}
        assert client.rest()[:4] in {b"500 ", b""}


def test_a_client_that_reads_nothing(house: House) -> None:
    with unharmed(house), Guest(house.port(), timeout=1) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with contextlib.suppress(TimeoutError):
            for _ in range(2_000):
                client.socket.sendall(b"EHLO x\r\n" * 2_000)
            pytest.fail("all of it was taken")


def test_a_response_without_end(house: House) -> None:
    with unharmed(house), guest(house.port(), STRANGER) as client:
        assert client.ask(b"AUTH PLAIN").startswith("334")
        flood(client, base64.b64encode(b"x" * 48_000), 40)
        assert client.rest()[:4] in {b"500 ", b""}


def test_half_a_message_and_then_nothing(house: House) -> None:
    for end in ("close", "reset", "half"):
        with guest(house.port()) as client:
            client.ask(*BEGIN)
            client.send(letter(f"{end}@x.example"))
            if end == "reset":
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            if end == "half":
                client.socket.shutdown(socket.SHUT_WR)
                assert client.rest() == b""
    with guest(house.port()) as client:
        post(client, "whole@x.example")
    assert house.sink.wait_for(lambda: house.sink.copies["whole@x.example"] == 1)
    assert not {"close@x.example", "reset@x.example", "half@x.example"} & house.sink.copies.keys()


def test_five_thousand_connections(house: House) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 6_000:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6_000), hard))
    try:
        with unharmed(house, memory=5_000 * 16_384), ExitStack() as stack:
            crowd = [stack.enter_context(Guest(house.port("crowd"), f"127.0.1.{each % 200}")) for each in range(5_000)]
            assert all(each.hear().startswith("220 ") for each in crowd)
            with guest(house.port("crowd")) as client:
                assert post(client, "crowded@x.example").startswith("250 ")
            other = [stack.enter_context(Guest(house.port("crowd"))) for _ in range(110)]
            assert [each.hear()[:3] for each in other].count("421") >= 9
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_address_takes_not_all_places(house: House) -> None:
    with ExitStack() as stack:
        made = [stack.enter_context(Guest(house.port(), STRANGER)) for _ in range(60)]
        assert [each.hear()[:3] for each in made] == ["220"] * 50 + ["421"] * 10
        with guest(house.port()) as client:
            assert client.ask(b"NOOP").startswith("250")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x16", b""])
def test_handshakes_that_stop_halfway(house: House, sent: bytes) -> None:
    with unharmed(house, memory=20 * MEGABYTE), ExitStack() as stack:
        for port in ("implicit", "both"):
            for each in range(100):
                client = stack.enter_context(Guest(house.port(port), f"127.0.2.{each}"))
                client.send(sent)
        with Guest(house.port("implicit")) as client:
            client.start_tls()
            assert client.hear().startswith("220 ")


@pytest.mark.parametrize("sent", [b"EHLO x\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000, b"\0" * 100_000])
def test_what_is_no_tls(house: House, sent: bytes) -> None:
    with unharmed(house), Guest(house.port("implicit")) as client:
        flood(client, sent)
        assert b"220" not in client.rest()


def test_commands_behind_starttls(house: House) -> None:
    with guest(house.port("both"), STRANGER) as client:
        client.send(b"STARTTLS\r\nEHLO evil\r\nNOOP\r\n")
        assert b"250" not in client.rest()


@pytest.mark.parametrize("port", ["plain", "behind"])
def test_a_proxy_header_from_who_is_no_proxy(house: House, port: str) -> None:
    for header in (
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\0\1\0\2",
    ):
        with Guest(house.port(port), STRANGER) as client:
            client.send(header + b"EHLO x\r\nMAIL FROM:<scan@clinic.example>\r\nRCPT TO:<a@b.example>\r\nQUIT\r\n")
            said = client.rest()
            assert said.startswith(b"220 ")
            assert b"250 2.1" not in said


def test_a_proxy_without_header_and_with_nonsense(house: House) -> None:
    for sent in (
        b"EHLO x\r\n",
        b"PROXY TCP4 evil\r\n",
        b"PROXY " + b"x" * 200,
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ):
        with unharmed(house), Guest(house.port("behind"), "127.0.0.3") as client:
            flood(client, sent)
            assert client.rest() == b""


def test_known_devices_are_known_through_the_proxy_and_strangers_are_not(house: House) -> None:
    for address, code in ((KNOWN, "250"), ("192.0.2.9", "530")):
        with Guest(house.port("behind"), "127.0.0.3") as client:
            client.send(f"PROXY TCP4 {address} 127.0.0.1 4000 25\r\n".encode())
            assert client.hear().startswith("220 ")
            client.ask(b"EHLO x")
            assert client.ask(BEGIN[0])[:3] == code


def test_nothing_that_was_sent_here_was_too_much(house: House) -> None:
    """It runs last, and all that was opened is closed again."""
    before = house.serving.memory()
    with guest(house.port()) as client:
        assert post(client, "last@x.example").startswith("250 ")
    assert house.sink.wait_for(lambda: house.sink.copies["last@x.example"] == 1)
    assert "eve@x.example" not in house.sink.recipients
    assert before < 400 * MEGABYTE
    assert "Traceback" not in "".join(house.serving.said)
