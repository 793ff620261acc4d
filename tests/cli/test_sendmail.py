"""The drop-in for sendmail, as processes and as what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.cli.main import run
from mailbearer.cli.sendmail import sysexit
from mailbearer.cli.sendmail_options import Mode, read_options
from mailbearer.cli.sendmail_session import Session
from mailbearer.errors import (
    ConflictError,
    DiskFullError,
    InvalidInputError,
    MailbearerError,
    NotFoundError,
    StoreError,
    VaultError,
)

MESSAGE = b"From: root\nTo: Bob <bob@x.example>\nBcc: eve@x.example\nSubject: cron\n\nhello\n.\nmore\n"


def furnished(folder: Path) -> Path:
    words = ("primary_server=127.0.0.1", "port=2", "tls=off", "auth=none", "sender_address=scan@clinic.example")
    assert run(["--data", str(folder), "service", "set", "smtp", *words]) == 0
    return folder


def called(folder: Path, *words: str, text: bytes = b"", name: str = "sendmail") -> subprocess.CompletedProcess[bytes]:
    """Call the program as a link named ``name`` would."""
    code = f"import sys; sys.argv[0] = '/usr/sbin/{name}'; from mailbearer.__main__ import main; main()"
    environment = {**os.environ, "MAILBEARER_DATA": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code, *words], input=text, capture_output=True, check=False, timeout=60, env=environment
    )


def shown(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert run(["--data", str(folder), *words]) == 0
    return capsys.readouterr().out


@pytest.mark.slow
def test_a_message_goes_into_the_queue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = furnished(tmp_path / "data")
    done = called(folder, "-t", "-oi", "-f", "root@nas.lan", "-F", "Cron", text=MESSAGE)
    assert (done.returncode, done.stdout) == (0, b""), done
    listed = shown(folder, capsys, "device", "history", "sendmail", "--json")
    assert '"address": "bob@x.example"' in listed
    assert '"address": "eve@x.example"' in listed
    assert "cron" in called(folder, name="mailq").stdout.decode()
    assert called(folder, name="newaliases").returncode == 0
    assert called(folder, "-q").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"), [((), 64), (("-K", "x"), 64), (("-f",), 64), (("nobody-here",), 67), (("a@b@c",), 67)]
)
def test_exit_codes_are_those_of_sysexits(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    assert called(furnished(tmp_path / "data"), *words, text=MESSAGE).returncode == code


@pytest.mark.slow
def test_smtp_is_spoken_on_standard_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = furnished(tmp_path / "data")
    said = (
        b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: bs\r\n\r\nhi\r\n..\r\n.\r\n"
        b"MAIL FROM:<>\nRCPT TO:<e@f.example>\nDATA\nSubject: two\n\nhi\n.\nQUIT\n"
    )
    done = called(folder, "-bs", text=said)
    assert done.returncode == 0
    assert done.stdout.count(b"250 2.0.0 Queued\r\n") == 2
    assert done.stdout.endswith(b"221 2.0.0 Bye\r\n")
    queue = shown(folder, capsys, "queue", "list", "--json")
    assert '"subject": "bs"' in queue
    assert '"sender": ""' in queue


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (("-bs",), Mode.CONVERSE),
        (("-bp",), Mode.LIST),
        (("-q",), Mode.FLUSH),
        (("-q30m",), Mode.FLUSH),
        (("-bi",), Mode.NOTHING),
        (("-I",), Mode.NOTHING),
        (("-bm", "a@b.example"), Mode.SEND),
    ],
)
def test_modes(words: tuple[str, ...], mode: Mode) -> None:
    assert read_options(words).mode is mode


@pytest.mark.parametrize(
    "words",
    [
        ("-t", "-i", "-fa@b.example", "-FAda L"),
        ("-ti", "-f", "a@b.example", "-F", "Ada L"),
        ("-it", "-r", "a@b.example", "-FAda L", "-oem", "-odi", "-o7", "-v", "-n", "-G", "-U", "-m"),
        (
            "-oi",
            "-t",
            "-f",
            " a@b.example ",
            "-F",
            "Ada L",
            "-B8BITMIME",
            "-N",
            "never",
            "-O",
            "x=y",
            "-oMr",
            "-V",
            "1",
        ),
    ],
)
def test_one_thing_can_be_said_in_many_ways(words: tuple[str, ...]) -> None:
    options = read_options((*words, "x@y.example,z@y.example", "--", "-odd@y.example"))
    assert (options.extract, options.dots_are_text) == (True, True)
    assert (options.sender, options.name) == ("a@b.example", "Ada L")
    assert options.recipients == ["x@y.example", "z@y.example", "-odd@y.example"]


def test_an_empty_sender_is_nobody() -> None:
    assert read_options(("-f", "", "a@b.example")).sender == "<>"


@given(st.lists(st.text(max_size=6), max_size=6))
def test_any_words_give_options_or_our_error(words: list[str]) -> None:
    try:
        read_options(tuple(words))
    except InvalidInputError as error:
        assert error.code == "MB-W05"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DiskFullError(), 75),
        (StoreError("MB-D04"), 75),
        (StoreError("MB-D06"), 77),
        (StoreError("MB-D02"), 78),
        (VaultError("MB-T25"), 78),
        (NotFoundError("MB-W20"), 78),
        (InvalidInputError("MB-S19"), 65),
        (InvalidInputError("MB-W22"), 67),
        (InvalidInputError("MB-G03"), 77),
        (ConflictError("MB-G06"), 75),
        (MailbearerError("MB-W08"), 75),
    ],
)
def test_each_error_has_a_code_that_callers_know(error: MailbearerError, code: int) -> None:
    assert sysexit(error) == code


def test_a_session_refuses_what_it_does_not_offer() -> None:
    session = Session("here", lambda *_: (250, "2.0.0", "Queued"))
    assert session.greeting() == b"220 here ESMTP\r\n"
    said = b"EHLO x\nAUTH PLAIN\nSTARTTLS\nNOOP\nMAIL FROM:<a@b.example>\nRSET\nDATA\nQUIT\n"
    codes = [line[:3] for line in session.receive(said).splitlines() if line[3:4] == b" "]
    assert codes == [b"250", b"504", b"502", b"250", b"250", b"250", b"503", b"221"]
    assert session.over


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_bytes_are_answered(pieces: list[bytes]) -> None:
    session = Session("here", lambda *_: (250, "2.0.0", "Queued"))
    session.greeting()
    for piece in pieces:
        if not session.over:
            session.receive(piece)
    session.end()


@pytest.mark.slow
def test_another_user_is_told_that_it_is_not_allowed(tmp_path: Path) -> None:
    """The data folder is root's alone: 77 is EX_NOPERM, which cron and PHP report; 2 they would not know."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    folder = furnished(tmp_path / "data")
    loaded = "import os, sys, mailbearer.app, mailbearer.cli.here, mailbearer.cli.sendmail, mailbearer.cli.main as it"
    code = f"{loaded}; os.setuid(65534); sys.exit(it.run(sys.argv[1:]))"
    words = ("--data", str(folder), "sendmail", "ann@x.example")
    done = subprocess.run(
        [sys.executable, "-c", code, *words], input=MESSAGE, capture_output=True, check=False, timeout=60
    )
    if b"ModuleNotFoundError" in done.stderr or b"PermissionError: [Errno 13]" in done.stderr:
        pytest.skip("the program itself lies where nobody else may read it")
    assert done.returncode == 77, done
    assert b"MB-D01" in done.stderr
    assert b"use the command as root" in done.stderr
    assert b"docs/sendmail.md" in done.stderr


def test_no_queue_is_made_that_nobody_would_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "none"
    assert run(["--data", str(folder), "sendmail", "ann@x.example"]) == 78
    assert run(["--data", str(folder), "sendmail", "-bs"]) == 78
    assert "mailbearer init" in capsys.readouterr().err
    assert not folder.exists()
