"""Postfix as a relay with a configuration, a queue and a log of its own, beside what the machine has."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.gateway.programs import Program, running
from bench.processes import free_port

MASTER = "/usr/lib/postfix/sbin/master"
QUEUE = (
    "pid",
    "private",
    "incoming",
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "saved",
    "trace",
)
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
syslog_name = relay
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.bench.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_client_event_limit_exceptions = 127.0.0.0/8
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
smtp_host_lookup = native
relayhost = [localhost]:{upstream}
default_process_limit = 100
message_size_limit = 60000000
"""
TLS = """
smtpd_tls_security_level = may
smtpd_tls_chain_files = {chain}
smtp_tls_security_level = encrypt
smtp_tls_connection_reuse = yes
"""
SERVICES = """
{port} inet n - n - 100 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
tlsproxy unix - - n - 0 tlsproxy
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


@contextmanager
def postfix(folder: Path, upstream: int, *, chain: Path | None = None) -> Iterator[Program]:
    """Run Postfix in front of the port ``upstream``; with a certificate it speaks TLS on both sides.

    It changes users, so that the folders above must be searchable by everybody.
    """
    port = free_port()
    _lay(folder, port, upstream, chain)
    with running([MASTER, "-c", str(folder), "-d"], port, log=folder / "start.log") as program:
        yield program


def _lay(folder: Path, port: int, upstream: int, chain: Path | None) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    values = {"folder": folder, "port": port, "upstream": upstream, "chain": chain}
    (folder / "main.cf").write_text((MAIN + (TLS if chain else "")).format(**values), encoding="utf-8")
    (folder / "master.cf").write_text(SERVICES.format(**values), encoding="utf-8")
    (folder / "data").mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "queue").mkdir()
    for name, mode in (*dict.fromkeys(QUEUE, 0o700).items(), ("public", 0o710), ("maildrop", 0o730)):
        made = folder / "queue" / name
        made.mkdir()
        made.chmod(0o755 if name == "pid" else mode)
        if name != "pid":
            shutil.chown(made, "postfix", "postdrop" if mode != 0o700 else None)
