"""Programs that call ``sendmail``, and find Mailbearer there: cron, git, PHP, mutt, s-nail, swaks."""

import re

import pytest

from tests.peers import programs
from tests.peers.gateway import BODY, PDF, WAYS, Gateway, read
from tests.peers.machine import ACCOUNT, Machine
from tests.peers.programs import Post, program

CRON = """From: root (Cron Daemon)
To: {reader}
Subject: Cron <root@nas> run-parts /etc/cron.daily
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
X-Cron-Env: <SHELL=/bin/sh>

/etc/cron.daily/backup: Größe 0
.
the end
"""
"""What cron of Debian 12 writes."""


def test_cron_tells_its_owner(gateway: Gateway) -> None:
    reader = "cron@test.example"
    words = ("-FCronDaemon", "-i", "-B8BITMIME", "-oem", reader)
    gateway.run(gateway.sendmail(), *words, stdin=CRON.format(reader=reader).encode())
    (content,) = gateway.arrived(reader).values()
    message = read(content)
    assert message["From"].addresses[0].addr_spec == ACCOUNT
    assert message["Date"]
    assert message["Message-ID"]
    assert content.endswith("\r\n\r\n/etc/cron.daily/backup: Größe 0\r\n.\r\nthe end\r\n".encode())


def test_a_script_lets_the_header_name_the_recipients(gateway: Gateway) -> None:
    letter = gateway.letter("script@test.example", "script")
    letter.write_bytes(b"Bcc: script-bcc@test.example\r\n" + letter.read_bytes())
    gateway.run(gateway.sendmail(), "-t", "-oi", stdin=letter.read_bytes().replace(b"\r\n", b"\n"))
    assert b"script-bcc" not in gateway.arrived("script@test.example")["script"]
    for reader in ("script@test.example", "script-bcc@test.example"):
        content = gateway.arrived(reader)["script"]
        assert content.endswith(BODY)
        assert read(content)["Bcc"] is None


def test_php_mail(gateway: Gateway) -> None:
    reader = "php@test.example"
    code = f'exit(mail("{reader}", "Prüfung", "Größe\\n.\\nx", "From: www@nas.lan\\r\\nX-Mailer: PHP") ? 0 : 1);'
    gateway.run(program("php"), "-d", f"sendmail_path={gateway.sendmail()} -t -i", "-r", code)
    (content,) = gateway.arrived(reader).values()
    message = read(content)
    assert (message["From"].addresses[0].addr_spec, message["Reply-To"]) == (ACCOUNT, "www@nas.lan")
    assert content.endswith("\r\n\r\nGröße\r\n.\r\nx\r\n".encode())


@pytest.fixture
def patch(gateway: Gateway) -> str:
    """A commit, as git makes mail of it."""
    git = program("git")
    repository = gateway.home / "repository"
    if not repository.exists():
        gateway.run(git, "init", "-q", repository)
        (repository / "file").write_text("Größe\n")
        gateway.run(git, "-C", repository, "add", "file")
        gateway.run(git, "-C", repository, "config", "user.name", "Ada Ö")
        gateway.run(git, "-C", repository, "config", "user.email", "ada@clinic.example")
        gateway.run(git, "-C", repository, "commit", "-q", "-m", "add: a file")
    return gateway.run(git, "-C", repository, "format-patch", "-1", "-o", gateway.home).strip()


def check_patch(gateway: Gateway, reader: str) -> None:
    """It arrived, and can be applied."""
    content = gateway.arrived(reader)["[PATCH] add: a file"]
    applied = gateway.home / f"applied-{reader}"
    gateway.run("git", "init", "-q", applied)
    who = ("-c", "user.name=Bob", "-c", "user.email=bob@clinic.example")
    gateway.run("git", "-C", applied, *who, "am", "-q", stdin=content)
    assert (applied / "file").read_text() == "Größe\n"


def git_send_email(gateway: Gateway, patch: str, reader: str, *words: str) -> None:
    quiet = ("--quiet", "--confirm=never", "--suppress-cc=all", "--from", f"Ada Ö <{ACCOUNT}>", "--to", reader)
    repository = gateway.home / "repository"
    gateway.run(program("git"), "-C", repository, "send-email", *quiet, "--8bit-encoding=utf-8", *words, patch)


def test_git_sends_patches_by_sendmail(gateway: Gateway, patch: str) -> None:
    git_send_email(gateway, patch, "git@test.example", f"--smtp-server={gateway.sendmail()}")
    check_patch(gateway, "git@test.example")


@pytest.mark.parametrize(("listener", "encryption"), [("starttls", "tls"), ("implicit", "ssl")])
def test_git_sends_patches_by_smtp(gateway: Gateway, patch: str, listener: str, encryption: str) -> None:
    reader = f"git-{listener}@test.example"
    words = [f"--smtp-server-port={gateway.port(listener)}", f"--smtp-encryption={encryption}", "--smtp-user=nas"]
    words += [f"--smtp-pass={gateway.passwords['nas']}", f"--smtp-ssl-cert-path={gateway.ca_file}"]
    git_send_email(gateway, patch, reader, "--smtp-server=localhost", *words)
    check_patch(gateway, reader)


def check_scan(gateway: Gateway, reader: str) -> None:
    (content,) = gateway.arrived(reader).values()
    (part,) = read(content).iter_attachments()
    assert part.get_content() == PDF


def test_mutt(gateway: Gateway) -> None:
    reader = "mutt-sendmail@test.example"
    post = Post(WAYS[0], reader, gateway.letter(reader, "mutt-sendmail"))
    programs.mutt_sends(gateway, post, sendmail=f"{gateway.sendmail()} -oem -oi")
    check_scan(gateway, reader)


def test_s_nail(gateway: Gateway) -> None:
    reader = "s-nail-sendmail@test.example"
    settings = ("-Sv15-compat=yes", f"-Smta={gateway.sendmail()}", "-Ssendwait=yes", f"-Sfrom={ACCOUNT}")
    gateway.run(program("s-nail"), "-:/", *settings, "-a", gateway.scan(), "-s", "x", reader, stdin=b"text\n")
    check_scan(gateway, reader)


def test_swaks_speaks_smtp_with_sendmail(gateway: Gateway) -> None:
    reader = "pipe@test.example"
    letter = gateway.letter(reader, "pipe")
    unended = letter.with_suffix(".swaks")
    unended.write_bytes(letter.read_bytes().removesuffix(b"\r\n"))
    words = ("--pipe", f"{gateway.sendmail()} -bs", "--from", ACCOUNT, "--to", reader, "--data", f"@{unended}")
    out = gateway.run(program("swaks"), *words)
    assert re.search(r"<- +250 2\.0\.0 Queued", out)
    assert gateway.arrived(reader)["pipe"].endswith(BODY)


def test_mailq_lists_what_waits(gateway: Gateway, machine: Machine) -> None:
    machine.set_up("smtp")  # without a token
    elsewhere = Gateway(machine, gateway.service, {})
    elsewhere.run(elsewhere.sendmail(), "-oi", "waits@test.example", stdin=b"Subject: waits\n\nx\n")
    for words in ((elsewhere.sendmail("mailq"),), (elsewhere.sendmail(), "-bp")):
        assert "waits@test.example" in elsewhere.run(*words)
    assert elsewhere.run(elsewhere.sendmail("newaliases")) == ""


def test_a_recipient_who_is_nobody_is_told_by_the_exit_status(gateway: Gateway) -> None:
    out = gateway.run(gateway.sendmail(), "-oi", "nobody-of-this-name", stdin=b"Subject: x\n\nx\n", code=67)
    assert "nobody-of-this-name" in out
