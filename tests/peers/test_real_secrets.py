"""Promise 4: what was used as a secret is readable nowhere, though everything is logged (level debug)."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mailbearer.model.grant import CodeSignIn, DeviceSignIn
from mailbearer.model.service import ServiceId
from mailbearer.tokens.book import GrantBook
from tests.peers.machine import ACCOUNT, Machine, Service, until, visit
from tests.peers.stack.stack import Stack

CALLBACK = "https://mailbearer.test.example/oauth/callback"


def forms(secret: str) -> Iterator[bytes]:
    """Return a secret as it may stand somewhere: as it is, in hexadecimal, in Base64 behind 0, 1 or 2 octets."""
    octets = secret.encode()
    yield octets
    yield octets.hex().encode()
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + octets)
        yield whole[4 : len(whole) // 4 * 4 - 4]


def found(secrets: dict[str, str], where: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {place}"
        for place, content in where.items()
        for name, secret in secrets.items()
        if any(form in content for form in forms(secret))
    ]


@contextmanager
def arguments_watched() -> Iterator[set[bytes]]:
    """Collect the command lines of all processes of this machine."""
    seen: set[bytes] = set()
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(process.read_bytes())
                except OSError:
                    continue
            end.wait(0.02)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        end.set()
        watcher.join()


def sign_in_secrets(machine: Machine, service: str) -> dict[str, str]:
    """Return what is secret of the sign-in under way."""

    async def read() -> dict[str, str]:
        async with machine.opened() as app:
            pending = await GrantBook(app.store, app.renewals._context.vault).pending(ServiceId(service))
            assert pending is not None
            match pending.sign_in:
                case DeviceSignIn(device_code=code):
                    return {"device code": code.reveal()}
                case CodeSignIn(state=state, code_verifier=verifier):
                    return {"state": state.reveal(), "verifier": verifier.reveal()}

    return asyncio.run(read())


def enter_everything(stack: Stack, machine: Machine) -> None:
    """Two applications with secrets, and a service with a password."""
    machine.run("provider", "add", *machine.provider_words("device-secret"))
    web = [word for word in machine.provider_words("web-app") if word != "acme"]
    machine.run("provider", "add", "web", *web, f"redirect_uri={CALLBACK}")
    (machine.home / "password").write_text(stack.password)
    maildir = machine.home / "maildir"
    machine.run("service", "set", "smtp", "provider=acme", f"account={ACCOUNT}")
    machine.run(
        "service", "set", "pop.internet-fax", "provider=web", f"account={ACCOUNT}", f"destinations=maildir:{maildir}"
    )
    machine.run("service", "set", "pop.email-print", "provider=acme", f"account={ACCOUNT}", "auth=password")
    machine.run("service", "set", "pop.email-print", f"password=@{machine.home / 'password'}")


class Job:
    """The whole job, over two applications and three services; it remembers what was secret and what was said."""

    def __init__(self, stack: Stack, machine: Machine) -> None:
        self.stack = stack
        self.machine = machine
        self.said: list[str] = []
        self.secrets = {
            "password": stack.password,
            "client secret": stack.clients["device-secret"].secret,
            "other client secret": stack.clients["web-app"].secret,
        }

    def get_by_code(self) -> None:
        """Sign in with a code that is typed."""
        getting = self.machine.start("token", "get", "smtp", "--flow", "device", "--yes")
        assert getting.stdout is not None
        code = next(line.split()[1] for line in getting.stdout if line.startswith("  Code"))
        self.secrets |= sign_in_secrets(self.machine, "smtp")
        self.stack.approve(code, ACCOUNT)
        done = self.machine.end(getting)
        self.said += [done.out, done.err]

    def get_by_callback(self, service: Service) -> None:
        """Sign in by the login page, which ends at the service."""
        getting = self.machine.start("token", "get", "pop.internet-fax", "--flow", "code", "--yes")
        assert getting.stdout is not None
        url = next(line.strip() for line in getting.stdout if line.startswith("  https://"))
        self.secrets |= sign_in_secrets(self.machine, "pop.internet-fax")
        query = urlsplit(self.stack.sign_in(url, ACCOUNT)).query
        self.secrets["authorization code"] = parse_qs(query)["code"][0]
        self.said.append(visit(f"{service.address}/oauth/callback?{query}")[1])
        assert self.machine.end(getting).code == 0

    def note_tokens(self, when: str) -> None:
        """Remember what is held now."""
        for name in ("smtp", "pop.internet-fax"):
            access, refresh = self.machine.held_tokens(name)
            self.secrets |= {f"access token {name} {when}": access, f"refresh token {name} {when}": refresh}

    def work(self) -> None:
        """Send and receive with tokens that the servers refuse, and test every connection."""
        self.note_tokens("first")
        for name in ("smtp", "pop.internet-fax"):
            self.machine.let_pass(120, name)
        self.stack.revoke(ACCOUNT, keep_refresh=True)
        sent = self.machine.ask("send", "--to", ACCOUNT, "-b", "x")
        until(lambda: self.machine.ask("queue", "show", str(sent["id"]))["state"] == "Accepted")
        for name in ("smtp", "pop.internet-fax", "pop.email-print"):
            self.said.append(self.machine.run("service", "test", name).out)
        self.said.append(self.machine.run("check", "pop.internet-fax").out)
        self.note_tokens("renewed")

    def fail(self) -> None:
        """Have the provider refuse, and ask for everything that may be told."""
        self.stack.disable(ACCOUNT)
        self.machine.let_pass(3600)
        until(lambda: self.machine.end(self.machine.start("token", "access", "smtp")).out == "")
        for words in (
            ("token", "status"),
            ("service", "show", "smtp", "--json"),
            ("service", "show", "pop.email-print", "--json"),
            ("queue", "list", "--all", "--json"),
            ("audit", "list", "--json"),
            ("provider", "show", "web", "--json"),
        ):
            self.said.append(self.machine.run(*words).out)


def test_no_secret_is_readable_after_everything_was_done(stack: Stack, machine: Machine) -> None:
    job = Job(stack, machine)
    with arguments_watched() as arguments:
        enter_everything(stack, machine)
        with machine.serving() as service:
            job.get_by_code()
            job.get_by_callback(service)
            job.work()
            job.fail()
            where = {name: visit(f"{service.address}/{name}")[1].encode() for name in ("metrics", "readyz")}
            where |= files(machine.folder)  # while it runs: with the write-ahead log
            machine.run("token", "delete", "smtp", "--yes")
    where["log"] = service.log.encode()
    where |= {f"after {name}": content for name, content in files(machine.folder).items()}
    where |= {"said": "\n".join(job.said).encode(), "arguments": b"\n".join(arguments)}
    assert len(set(job.secrets.values())) == 3 + 1 + 2 + 1 + 8, "all of them were used"
    assert found({"account": ACCOUNT}, where), "what is no secret is found"
    assert b"mailbearer\x00serve" in where["arguments"]
    assert b"mailbearer_messages_total" in where["metrics"]
    assert "pop.internet-fax: " in service.log
    assert found(job.secrets, where) == []


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_files_are_the_owners_alone(machine: Machine) -> None:
    machine.set_up("smtp")
    machine.get_token("smtp")
    with machine.serving():
        machine.run("send", "--to", "unread@test.example", "-b", "x")
        modes = {
            str(path.relative_to(machine.home)): path.lstat().st_mode & 0o077
            for path in [machine.folder, *machine.folder.rglob("*")]
            if path.name != "mailbearer.toml"
        }
    assert {name for name, mode in modes.items() if mode} == set()
