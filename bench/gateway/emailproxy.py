"""email-oauth2-proxy, which others wrote: installed from its lock when it is first measured, with a token in place."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.gateway.load import SENDER
from bench.gateway.programs import Program, running
from bench.gateway.provider import Provider
from bench.processes import PYTHON, ROOT, free_port, run

HOME = ROOT / ".cache/bench/emailproxy"
LOCK = Path(__file__).parents[1] / "emailproxy.lock"
PASSWORD = "a password of the device"
TOKEN = "access-token-" + "x" * 2_000
ROUNDS = 1_200_000  # of its key derivation, as it comes
SEAL = """
import base64, os, sys
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
salt = os.urandom(16)
key = PBKDF2HMAC(hashes.SHA256(), 32, salt, int(sys.argv[1])).derive(sys.argv[2].encode())
seal = Fernet(base64.urlsafe_b64encode(key)).encrypt
print(base64.b64encode(salt).decode(), seal(sys.argv[3].encode()).decode(), seal(b"refresh-token").decode())
"""
CONFIGURATION = """
[Server setup]

[SMTP-{port}]
server_address = localhost
server_port = {upstream}
server_starttls = True
local_address = 127.0.0.1
local_starttls = True
local_certificate_path = {chain}
local_key_path = {chain}

[Account setup]

[{user}]
permission_url = https://localhost/authorize
token_url = https://localhost/token
oauth2_scope = mail offline_access
redirect_uri = http://localhost
client_id = bench
token_salt = {salt}
token_iterations = {rounds}
access_token = {access}
access_token_expiry = {expiry}
refresh_token = {refresh}
"""


@contextmanager
def emailproxy(folder: Path, sink: Provider) -> Iterator[Program]:
    """Run it in front of ``sink``; the device's user is ``SENDER`` with ``PASSWORD``."""
    _install()
    folder.mkdir()
    port = free_port()
    salt, access, refresh = run([_python(), "-c", SEAL, str(ROUNDS), PASSWORD, TOKEN]).output.split()
    values = {
        "port": port,
        "upstream": sink.port,
        "chain": sink.chain,
        "user": SENDER,
        "rounds": ROUNDS,
        "salt": salt,
        "access": access,
        "refresh": refresh,
        "expiry": int(time.time()) + 3600,
    }
    configuration = folder / "emailproxy.config"
    configuration.write_text(CONFIGURATION.format(**values), encoding="utf-8")
    command = [
        *(str(HOME / "bin/emailproxy"), "--no-gui", "--config-file", str(configuration)),
        *("--log-file", str(folder / "emailproxy.log")),
    ]
    environment = {**os.environ, "SSL_CERT_FILE": str(sink.authorities)}
    with running(command, port, log=folder / "start.log", environment=environment) as program:
        yield program


def _python() -> str:
    return str(HOME / "bin/python")


def _install() -> None:
    """Install what the lock says, unless that was done."""
    wanted, done = LOCK.read_text(encoding="utf-8"), HOME / "installed.lock"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(HOME, ignore_errors=True)
    subprocess.run([PYTHON, "-m", "venv", str(HOME)], check=True)
    pip = [_python(), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK)]
    subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
    done.write_text(wanted, encoding="utf-8")
