"""``mailbearer token access`` as other programs use it: curl and msmtp sign in with nothing but that."""

import subprocess
from pathlib import Path

import pytest

from tests.peers.machine import ACCOUNT, COMMAND, PATIENCE, Machine
from tests.peers.programs import program
from tests.peers.stack.stack import Stack

MESSAGE = f"From: {ACCOUNT}\r\nSubject: by another program\r\n\r\n.x\r\n"


@pytest.fixture(autouse=True)
def _ready(machine: Machine) -> None:
    machine.set_up("smtp")
    machine.get_token("smtp")


def curl(stack: Stack, token: str, url: str, *words: str) -> str:
    """Run curl with the token in its configuration on standard input, where no process list shows it."""
    config = f'user = "{ACCOUNT}:"\noauth2-bearer = "{token}"\ncacert = "{stack.ca_file}"\n'
    command = [program("curl"), "-sS", "--ssl-reqd", "--url", url, *words, "-K", "-"]
    done = subprocess.run(command, input=config, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("url", ["smtp://localhost:{ports.smtp}", "smtps://localhost:{ports.smtps}"])
def test_curl_sends(stack: Stack, machine: Machine, tmp_path: Path, url: str) -> None:
    (tmp_path / "message").write_text(MESSAGE)
    token = machine.run("token", "access", "smtp").out.removesuffix("\n")
    assert "\n" not in token
    reader = f"curl-{url[:5].strip(':')}@test.example"
    words = ("--mail-from", ACCOUNT, "--mail-rcpt", reader, "--upload-file", str(tmp_path / "message"))
    curl(stack, token, url.format(ports=stack.ports), *words)
    assert b"Subject: by another program" in stack.wait_for_mail(reader)[0]


def test_curl_receives(stack: Stack, machine: Machine) -> None:
    stack.deliver(ACCOUNT, MESSAGE.encode())
    stack.wait_for_mail(ACCOUNT)
    token = machine.run("token", "access", "smtp").out.strip()
    for url in (f"pop3s://localhost:{stack.ports.pop3s}/1", f"pop3://localhost:{stack.ports.pop3}/1"):
        assert "Subject: " in curl(stack, token, url)


@pytest.mark.parametrize("auth", ["oauthbearer", "xoauth2"])
def test_msmtp_sends(stack: Stack, machine: Machine, auth: str) -> None:
    settings = machine.home / "msmtprc"
    settings.write_text(
        f"account default\nhost localhost\nport {stack.ports.smtp}\ntls on\ntls_trust_file {stack.ca_file}\n"
        f"auth {auth}\nuser {ACCOUNT}\nfrom {ACCOUNT}\n"
        f'passwordeval "{COMMAND} --data {machine.folder} token access smtp"\n'
    )
    settings.chmod(0o600)
    reader = f"msmtp-{auth}@test.example"
    command = [program("msmtp"), "-C", str(settings), reader]
    done = subprocess.run(command, input=MESSAGE, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Subject: by another program" in stack.wait_for_mail(reader)[0]
