"""What commands say and do, and that they change nothing when they refuse."""

import os
import re
import stat
from dataclasses import replace
from pathlib import Path

import click
import pytest

from mailbearer.cli.ask import held, listed, text
from mailbearer.cli.main import COMMANDS, folder_among, mailbearer, run
from mailbearer.config.load import load_config
from mailbearer.config.schema import Config
from tests.cli.conftest import Here
from tests.fakes.practice_thread import ACCOUNT, PracticeThread

SECRETS = ("client_secret", "password")

REFUSED = [
    (("service", "show", "nope"), "MB-W20"),
    (("service", "set", "nope", "port=1"), "MB-W20"),
    (("service", "set", "smtp", "nope=1"), "MB-W26"),
    (("service", "set", "smtp", "port=0"), "MB-W05"),
    (("service", "set", "smtp", "port=70000"), "MB-W05"),
    (("service", "set", "smtp", "port=\u0661"), "MB-W05"),
    (("service", "set", "smtp", "port=25", "timeout=0"), "MB-W05"),
    (("service", "set", "smtp", "sender_address=nobody"), "MB-W05"),
    (("service", "set", "smtp", "sender_name=a\nb"), "MB-W05"),
    (("service", "set", "smtp", "auth=kerberos"), "MB-W05"),
    (("service", "set", "smtp", "tls=off"), "MB-T41"),
    (("service", "set", "smtp", "primary_server=https://mail.example"), "MB-W05"),
    (("service", "set", "smtp", "primary_server=evil.example"), "MB-T40"),
    (("service", "set", "smtp", "provider=nope"), "MB-W20"),
    (("service", "set", "smtp", "account=other@practice.example"), "MB-T45"),
    (("service", "set", "smtp", "provider=google"), "MB-T45"),
    (("service", "set", "pop.email-print", "auth=none"), "MB-W05"),
    (("service", "set", "pop.email-print", "destinations=folder:relative"), "MB-W05"),
    (("service", "set", "pop.email-print", "check_interval=1s"), "MB-W05"),
    (("service", "add", "smtp.x", "provider=google", "account=anna"), "MB-W05"),
    (("provider", "set", "google", "ca_file=/etc/passwd"), "MB-W05"),
    (("send", "/dev/zero", "--to", "b@practice.example"), "MB-W05"),
    (("service", "add", "imap.x"), "MB-W05"),
    (("service", "add", "smtp.Ä"), "MB-W05"),
    (("service", "remove", "smtp", "--yes"), "MB-W28"),
    (("service", "remove", "pop.internet-fax"), "MB-T53"),
    (("provider", "show", "nope"), "MB-W20"),
    (("provider", "show", ""), "MB-W20"),
    (("provider", "set", "microsoft365", "nope=1"), "MB-W26"),
    (("provider", "set", "microsoft365", "tenant=a/b?c"), "MB-W05"),
    (("provider", "set", "google", "redirect_uri=http://mail.example/"), "MB-T46"),
    (("provider", "set", "google", "ca_file=relative.pem"), "MB-W05"),
    (("provider", "set", "google", "hosts=a b c/d"), "MB-W05"),
    (("provider", "add", "Own", "name=x"), "MB-W05"),
    (("provider", "add", "own", "name=x"), "MB-W05"),
    (("provider", "add", "google", "discovery=https://a.example"), "MB-W21"),
    (("provider", "add", "own", "nope=1"), "MB-W26"),
    (
        ("provider", "add", "own", "token_endpoint=http://a.example/t", "device_endpoint=https://a.example/d"),
        "MB-T46",
    ),
    (("provider", "add", "own", "discovery=http://a.example/"), "MB-T46"),
    (("provider", "remove", "practice"), "MB-W29"),
    (("provider", "detect", "nobody"), "MB-W22"),
    (("provider", "detect", "nobody@"), "MB-W22"),
    (("token", "status", "nope"), "MB-W20"),
    (("token", "access", "pop.email-print"), "MB-T54"),
    (("token", "get", "pop.email-print", "--yes"), "MB-W05"),
    (("token", "get", "smtp"), "MB-T53"),
    (("token", "refresh", "pop.email-print"), "MB-T54"),
    (("token", "delete", "smtp"), "MB-T53"),
    (("token", "cancel", "smtp"), "MB-T52"),
    (("token", "wait", "smtp"), "MB-T52"),
    (("token", "paste"), "MB-T18"),
    (("token", "paste", "smtp"), "MB-T52"),
    (("send", "--to", "nobody"), "MB-W22"),
    (("send", "--to", "a@b.example", "--service", "pop.internet-fax"), "MB-W05"),
    (("send", "--to", "a@b.example", "--raw", "/no/such/file"), "MB-W05"),
    (("send", "--to", "a@b.example", "/no/such/file"), "MB-W05"),
    (("queue", "show", "nope"), "MB-W20"),
    (("queue", "retry", "nope"), "MB-W20"),
    (("queue", "hold", "nope"), "MB-W20"),
    (("queue", "cancel", "nope"), "MB-W20"),
    (("check", "nope"), "MB-W20"),
    (("check", "smtp"), "MB-W05"),
    (("check", "pop.email-print"), "MB-W34"),
]
MISUSED = [
    ("nonsense",),
    ("service",),
    ("service", "list", "--nonsense"),
    ("service", "show"),
    ("service", "set", "smtp", "port"),
    ("service", "set", "smtp", "=1"),
    ("service", "set", "smtp", "password=open-secret"),
    ("provider", "set", "google", "client_secret=open-secret"),
    ("service", "show", "\udcff"),
    ("queue", "list", "--limit", "0"),
    ("token", "get", "smtp", "--flow", "nonsense"),
    ("send",),
    ("send", "--raw", "a", "b", "--to", "a@b.example"),
]


@pytest.mark.parametrize(("words", "code"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_input_gives_one_sentence_with_its_code(here: Here, words: tuple[str, ...], code: str) -> None:
    done = here(*words, code=1)
    assert done.out == ""
    assert done.err.splitlines()[0].endswith(f"  {code}"), done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", MISUSED, ids=[ascii(" ".join(words)) for words in MISUSED])
def test_wrong_usage_is_2_and_repeats_no_secret(here: Here, words: tuple[str, ...]) -> None:
    done = here(*words, code=2)
    assert done.out == ""
    assert "open-secret" not in done.err


def test_all_that_is_refused_leaves_everything_as_it_was(here: Here) -> None:
    before, entries = here.state(), here("audit", "list", "--json").body
    for words, _ in REFUSED:
        here(*words, code=1)
    assert here.state() == before
    assert here("audit", "list", "--json").body == entries


def _paths(group: click.Group, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((*words, name))
        if isinstance(command, click.Group):
            found += _paths(command, (*words, name))
    return found


@pytest.mark.parametrize("words", _paths(mailbearer), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words, "--help"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Usage: mailbearer ")
    assert "..." not in told.partition("Commands:")[2], "a line of the list is cut off"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in COMMANDS)
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mailbearer ")


@pytest.mark.parametrize(
    "words",
    [
        ("service", "list"),
        ("service", "show", "smtp"),
        ("provider", "list"),
        ("provider", "show", "practice"),
        ("token", "status"),
        ("token", "status", "smtp"),
        ("queue", "list"),
        ("received", "list"),
        ("audit", "list"),
        ("provider", "detect", "a@gmail.com"),
    ],
    ids=" ".join,
)
def test_listings_are_for_people_and_for_machines(here: Here, words: tuple[str, ...]) -> None:
    assert here(*words).out
    assert here(*words, "--json").body


def test_service_is_set_shown_added_and_removed(here: Here) -> None:
    told = here("service", "set", "smtp", "timeout=90", "sender_name=Front desk", "tls=starttls")
    assert "Front desk" in told.out
    assert "90s" in told.out
    here("service", "add", "pop.desk", "provider=practice", f"account={ACCOUNT}", "--title", "Desk")
    assert "destinations" in here("service", "show", "pop.desk").out
    assert "pop.desk" in here("service", "list").out
    assert "Removed" in here("service", "remove", "pop.desk", "--yes").out
    here("service", "show", "pop.desk", code=1)


def test_account_changes_together_with_the_deletion_of_its_token(here: Here) -> None:
    here("service", "set", "smtp", "account=other@practice.example", "--delete-token")
    assert listed(here("token", "status", "smtp", "--json").body, "tokens")[0]["status"] == "Not Retrieved"
    assert listed(here("token", "status", "pop.internet-fax", "--json").body, "tokens")[0]["status"] == "Retrieved"


def test_password_comes_from_a_file_or_standard_input_and_is_shown_nowhere(here: Here, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter-two\n", encoding="utf-8")
    here("service", "add", "smtp.old", "primary_server=mail.example", "port=587", "auth=password", "account=a")
    for words, entered in ((f"password=@{file}", b""), ("password=-", b"hunter-two\n")):
        assert "(set)" in here("service", "set", "smtp.old", words, text=entered).out
    told = here("service", "show", "smtp.old", "--json").out + here("audit", "list", "--json").out
    assert "hunter-two" not in told
    assert "(set)" not in here("service", "set", "smtp.old", "password=").out
    here("service", "set", "smtp.old", "password=@/no/such/file", code=1)


def test_access_prints_the_token_and_nothing_else(here: Here, practice: PracticeThread) -> None:
    done = here("token", "access", "smtp")
    assert done.err == ""
    token = done.out.removesuffix("\n")
    assert token
    assert token.isprintable()
    others = here("token", "status", "--json").out + here("service", "list", "--json").out + here("audit", "list").out
    assert token not in others
    for file in here.folder.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file


def test_refresh_and_delete(here: Here, practice: PracticeThread, tmp_path: Path) -> None:
    here = replace(here, folder=tmp_path / "own" / "data")  # what is revoked here must not be a token of other tests
    practice.furnish(here.folder)
    assert here("token", "refresh", "smtp").out.startswith("Not renewed: it is less than a minute old. Good until ")
    told = here("token", "delete", "smtp", "--yes").out
    assert "Not Retrieved" in told
    assert "pop.internet-fax uses the same account" in told
    here("token", "access", "smtp", code=1)
    assert "There was no token." in here("token", "delete", "smtp", "--yes").out
    assert here("token", "delete", "pop.internet-fax", "--json").body["status"] == "Not Retrieved"


def test_provider_down_is_worth_another_try(here: Here, practice: PracticeThread) -> None:
    practice.do(lambda world: world.fault("/device_authorization", status=503, count=-1))
    try:
        assert "MB-T" in here("token", "get", "smtp", "--yes", code=75).err
    finally:
        practice.do(lambda world: world.clear_faults())


def test_message_is_sent_and_fetched(here: Here, practice: PracticeThread, tmp_path: Path) -> None:
    paper = tmp_path / "scan.txt"
    paper.write_text("a page", encoding="utf-8")
    sent = here("send", str(paper), "--to", ACCOUNT, "-s", "Scan", "-b", "see attachment", "--json").body
    assert sent["state"] == "Accepted"
    told = here("check", "pop.internet-fax")
    assert told.out.startswith("1 new, 1 deleted")
    assert "Scan" in here("received", "list").out
    assert here("check", "pop.internet-fax", "--json").body["handed_over"] == 0
    assert "Scan" in here("queue", "list", "--all").out
    assert "Accepted" in here("queue", "show", text(sent, "id")).out
    assert here("queue", "show", text(sent, "id"), "--json").body["id"] == sent["id"]


def test_text_from_standard_input_and_ready_message(here: Here, practice: PracticeThread) -> None:
    assert "Accepted" in here("send", "--to", ACCOUNT, text=b"by pipe\n").out
    ready = b"From: a@practice.example\r\nTo: b@practice.example\r\nSubject: ready\r\n\r\nhello\r\n"
    assert "Accepted" in here("send", "--raw", "--to", ACCOUNT, text=ready).out
    box = practice.do(lambda world: world.mailbox(ACCOUNT))
    assert b"by pipe" in box[-2]
    assert b"Subject: ready" in box[-1]
    practice.do(lambda world: world._mailboxes.listing(ACCOUNT))
    here("send", "--to", ACCOUNT, "-b", "-", text=b"\xff", code=1)


def test_mail_without_a_token_is_held_and_can_be_cancelled(here: Here) -> None:
    here("token", "delete", "smtp", "--yes")
    done = here("send", "--to", ACCOUNT, "-b", "hello")
    assert "Held" in done.out
    assert "kept in the queue" in done.err
    identity = text(listed(here("queue", "list", "--json").body, "messages")[0], "id")
    assert "no token" in here("queue", "show", identity).out
    here("queue", "hold", identity)
    assert "Somebody holds it." in here("queue", "list").out
    assert identity in here("queue", "retry", identity).out
    assert "messages are tried now" in here("queue", "flush").out
    assert here("queue", "flush", "--json").body
    assert "Cancelled" in here("queue", "cancel", identity).out
    assert here("queue", "list").out == "Nothing waits.\n"
    here("queue", "retry", identity, code=1)


def test_connection_test_tells_every_step(here: Here, practice: PracticeThread) -> None:
    told = here("service", "test", "smtp").out
    assert all(name in told for name in ("Clock", "Name", "TCP", "TLS", "Greeting", "Token", "Sign-in", "Mailbox"))
    assert "The connection works." in told
    assert here("service", "test", "pop.internet-fax", "--json").body["ok"] is True
    practice.do(lambda world: world.fault("smtp/mail", body="550 5.7.60 no", count=1))
    assert "MB-S" in here("service", "test", "smtp", code=1).out
    failed = here("service", "test", "pop.email-print", "--json", code=1).body
    assert held(failed, "diagnosis")


def test_own_provider_is_found_registered_and_removed(here: Here, practice: PracticeThread) -> None:
    issuer = practice.world.issuer
    words = (f"discovery={issuer}", "scopes=mail.send offline_access", "smtp=localhost:587:starttls", "client_id=x")
    told = here("provider", "add", "own", *words, "client_secret=-", text=b"secret-of-own\n")
    assert "localhost:587 (starttls)" in told.out
    assert "(set)" in told.out
    shown = here("provider", "show", "own", "--json")
    assert held(shown.body, "endpoints")["token"] == f"{issuer}/token"
    assert "secret-of-own" not in shown.out
    assert here("provider", "set", "own", "hosts=relay.example", "--json").body["registration"]
    assert "Removed" in here("provider", "remove", "own").out
    here("provider", "show", "own", code=1)


def test_unknown_provider_is_told_what_looks_like_it(here: Here) -> None:
    assert "microsoft365" in here("provider", "show", "microsoft356", code=1).err


def test_queue_says_which_machine_sent_what_and_how_much_is_not_shown(here: Here) -> None:
    here("token", "delete", "smtp", "--yes")
    for number in range(3):
        here("sendmail", "-i", ACCOUNT, text=f"Subject: Job {number}\n\nhi\n".encode())
    told = here("queue", "list", "--limit", "2").out
    assert "DEVICE" in told
    assert " sendmail " in told
    assert told.index("Job 0") < told.index("Job 1")
    assert "2 of 3" in told
    newest = here("queue", "list", "--all", "--limit", "2").out
    assert "Job 0" not in newest
    assert newest.index("Job 1") < newest.index("Job 2")
    jobs = [text(each, "id") for each in listed(here("queue", "list", "--json").body, "messages")]
    assert "sendmail" in here("queue", "show", jobs[0]).out
    assert here("queue", "cancel", *jobs[:2]).out.count("Cancelled") == 2


def test_reason_of_a_message_names_the_server(here: Here) -> None:
    here("service", "set", "smtp", "port=9")
    assert "refuses connections on port 9" in here("send", "--to", ACCOUNT, "-b", "hello").err
    assert "refuses connections on port 9" in here("queue", "list").out


def test_limits_that_are_kept_are_told(here: Here) -> None:
    here("provider", "set", "microsoft365", "client_id=abc", "tenant=harbour.example", "messages_per_minute=7")
    here("service", "set", "smtp", "provider=microsoft365", "account=scan@harbour.example", "--delete-token")
    for told in (here("service", "show", "smtp").out, here("provider", "show", "microsoft365").out):
        assert "2 connections, 7 messages a minute" in told
    assert "Limits" not in here("service", "show", "pop.internet-fax").out


def test_data_folder_of_the_machine_is_used_unless_the_user_has_one(tmp_path: Path) -> None:
    own, system = tmp_path / "home", tmp_path / "system"
    assert folder_among(own, system, root=True) == system
    assert folder_among(own, system, root=False) == own
    system.mkdir()
    assert folder_among(own, system, root=False) == system
    own.mkdir()
    assert folder_among(own, system, root=False) == own


def test_init_makes_a_closed_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "data"
    assert run(["--data", str(folder), "init"]) == 0
    assert "ready" in capsys.readouterr().out
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "vault.key").stat().st_mode) == 0o600


def test_init_explains_the_settings_and_never_overwrites_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "data" / "mailbearer.toml"
    assert run(["--data", str(tmp_path / "data"), "init"]) == 0
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert load_config(settings.parent) == Config()
    unmarked = re.sub(r"^# (?=\[\[|\w+ = )", "", settings.read_text(encoding="utf-8"), flags=re.MULTILINE)
    settings.write_text(unmarked, encoding="utf-8")
    config = load_config(settings.parent)
    assert ([each.name for each in config.listeners], len(config.watches)) == (["network", "old devices"], 1)
    assert run(["--data", str(tmp_path / "data"), "init"]) == 0
    assert settings.read_text(encoding="utf-8") == unmarked
    assert "mailbearer device add NAME" in capsys.readouterr().out


def test_folder_that_is_a_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(["--data", str(tmp_path / "file" / "data"), "init"]) == 1
    assert "MB-D01" in capsys.readouterr().err


def test_broken_settings_file_is_said(here: Here) -> None:
    (here.folder / "mailbearer.toml").write_text("[web]\nport = 1\n", encoding="utf-8")
    assert "MB-W26" in here("service", "list", code=1).err


def test_missing_key_is_said_and_none_is_made(here: Here) -> None:
    key = here.folder / "vault.key"
    key.unlink()
    assert "MB-T25" in here("service", "list", code=1).err
    assert not key.exists()


def test_key_that_others_may_read_is_said(here: Here) -> None:
    (here.folder / "vault.key").chmod(0o644)
    assert "MB-D07" in here("service", "list", code=1).err


def test_rotation_seals_everything_anew(here: Here) -> None:
    before = here("token", "access", "smtp").out
    key = (here.folder / "vault.key").read_bytes()
    assert "3 secrets" in here("vault", "rotate").out or "secrets are sealed" in here("vault", "rotate").out
    assert (here.folder / "vault.key").read_bytes() != key
    assert here("token", "access", "smtp").out == before


def test_audit_says_who_did_what(here: Here) -> None:
    here("service", "set", "smtp", "timeout=90")
    entry = listed(here("audit", "list", "--limit", "1", "--json").body, "entries")[0]
    assert entry["what"] == "service set"
    assert "timeout=90s" in text(entry, "detail")
    assert f"pid {os.getpid()}" in text(entry, "place")
