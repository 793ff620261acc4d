import asyncio
import json
import logging
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from mailbearer.model.secret import Secret
from mailbearer.observe import log as log_module, maillog
from mailbearer.observe.log import escaped, redacted, register, set_up_logging

TOKEN = "ya29.a0AfB_byC1d2E3f4G5h6I7j8K9l0M1n2O3p4"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    maillog.flush()
    maillog.gather(wanted=False)


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {TOKEN}",
        f"auth=Bearer {TOKEN}\x01\x01",
        "AUTH XOAUTH2 dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlY3JldAEB",
        "PASS hunter2 and more",
        f"grant_type=refresh_token&refresh_token={TOKEN}&client_secret=very+secret",
        '{"access_token": "opaque-and-secret", "token_type": "Bearer"}',
        "GET /callback?code=4/0AdQt8qh&state=abcdef",
        f"the token {JWT} is odd",
        "x" * 100,
    ],
)
def test_what_looks_secret_is_blotted_out(line: str) -> None:
    said = redacted(line)
    for secret in (TOKEN, JWT, "dXNlcj1", "hunter2", "very+secret", "opaque-and", "0AdQt8qh", "abcdef", "x" * 100):
        assert secret not in said
    assert "***" in said


@pytest.mark.parametrize(
    "line",
    [
        "a1b2c3d4e5f60718 Accepted service=smtp reply='250 2.0.0 Ok: queued as 4ABC123'",
        "a1b2c3d4e5f60718 Failed code=MB-S34",
        "Bearer tokens are fine",
        "/var/lib/mailbearer/spool/18/a1b2c3d4e5f60718.eml",
    ],
)
def test_ordinary_lines_can_still_be_read(line: str) -> None:
    assert redacted(line).replace("***", "tokens") == line


@given(st.text(min_size=8, max_size=50), st.text(max_size=20))
def test_registered_secret_never_appears(secret: str, around: str) -> None:
    register(Secret(secret))
    assert secret not in redacted(f"{around}\n{secret}\n{around}") or secret in "***\n"


@given(st.text())
def test_line_is_one_line_without_control_characters(text: str) -> None:
    said = escaped(text)
    assert len(said.splitlines()) <= 1
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in said)
    said.encode()


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="info", json_lines=False)
    log = logging.getLogger("mailbearer.mail")
    log.debug("unseen")
    log.info("a1 %s", "Queued\nForged line")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(" INFO a1 Queued\\nForged line")


def test_lines_for_machines_hold_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="warning", json_lines=True)
    try:
        int(f"Bearer {TOKEN}")
    except ValueError:
        logging.getLogger("mailbearer").exception("fault")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"]) == ("ERROR", "mailbearer")
    assert "Bearer ***" in line["message"]


def test_second_call_replaces_the_first_and_libraries_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="debug", json_lines=True)
    set_up_logging(level="debug", json_lines=False)
    logging.getLogger("httpx2").info("GET https://login.example.com")
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("x").info("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert sys.stderr is not None


_PIECES = [
    *(
        "Bearer ",
        "AUTH ",
        "PASS ",
        "XOAUTH2 ",
        "access_token",
        "CLIENT_\u017fECRET",
        "client_assert\u0131on",
        "code",
        "MB-S17",
    ),
    *(
        "state",
        "=",
        ": ",
        '"',
        " ",
        "\n",
        "***",
        "secret-thing",
        "eyJ",
        "ya29.",
        "1//",
        "EwB",
        "0.A",
        "M.C",
        "a1b2",
        "x" * 20,
    ),
]


@given(st.lists(st.sampled_from(_PIECES), max_size=8))
def test_the_quick_look_for_secrets_misses_nothing(pieces: list[str]) -> None:
    text = blotted = "".join(pieces)
    for pattern, replacement in log_module._PATTERNS:
        blotted = pattern.sub(replacement, blotted)
    assert redacted(text) == blotted


async def test_lines_are_written_together_and_before_what_is_said_after_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging(level="info", json_lines=False)
    maillog.gather()
    for number in range(3):
        reply = "said AUTH PLAIN dGVzdHRlc3Q=" if number == 1 else "ok"
        maillog.record(maillog.Verb.QUEUED, f"a{number}", reply=reply)
    assert capsys.readouterr().err == ""
    logging.getLogger("mailbearer").warning("said after them")
    assert [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()] == [
        "a0 Queued reply=ok",
        'a1 Queued reply="said AUTH PLAIN ***"',
        "a2 Queued reply=ok",
        "said after them",
    ]


async def test_a_line_that_nothing_follows_is_written_a_moment_later(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logging(level="info", json_lines=True)
    maillog.gather()
    maillog.record(maillog.Verb.ACCEPTED, "a1")
    maillog.record(maillog.Verb.ACCEPTED, "a2")
    maillog_written = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * maillog.GATHER, maillog_written.set)
    await maillog_written.wait()
    said = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert said == ["a1 Accepted", "a2 Accepted"]


def test_without_a_loop_a_line_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="info", json_lines=False)
    maillog.gather()
    maillog.record(maillog.Verb.ACCEPTED, "a1")
    assert capsys.readouterr().err.endswith("a1 Accepted\n")
