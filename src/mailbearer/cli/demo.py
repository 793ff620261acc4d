"""``mailbearer demo``: the whole job on the practice provider, unattended, in one process; each step is shown."""

import asyncio
import hashlib
import smtplib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from email import message_from_bytes
from io import BytesIO
from pathlib import Path

import click

from mailbearer import __version__
from mailbearer.admin.speech import Arguments, Json, Who
from mailbearer.app import App, open_app
from mailbearer.cli.ask import held, listed, text
from mailbearer.cli.paint import bold, clean, dim, facts, pad, word
from mailbearer.clock import SystemClock
from mailbearer.config.schema import Config, ListenerSection
from mailbearer.errors import MailbearerError
from mailbearer.net.tls import client_context
from mailbearer.practice.options import PracticeOptions
from mailbearer.practice.world import PracticeWorld
from mailbearer.sending.compose import Letter, Mailbox, compose

CLOCK = SystemClock()
ACCOUNT = "scanner@practice.example"
COPIER = "copier@office.lan"
CONFIG = Config(listeners=(ListenerSection(name="demo", address="127.0.0.1:0"),))
LIFE = timedelta(seconds=4)  # of an access token, so that its renewal can be watched
PATIENCE = 8.0  # seconds to wait for the renewal
WHO = Who("demo", "this terminal")


@click.command()
def demo() -> int:
    """Get a token, send a PDF, receive it back, let a copier send, watch a renewal: on a provider inside this program.

    Nothing leaves this machine and nothing is kept. It takes less than ten seconds.
    """
    started = CLOCK.monotonic()
    click.echo(
        f"{bold('Mailbearer')} {__version__}  {dim('the whole job, on the practice provider of this machine')}\n"
    )
    with tempfile.TemporaryDirectory(prefix="mailbearer-demo-") as folder:
        whole = asyncio.run(_run(Path(folder)))
    seconds = CLOCK.monotonic() - started
    if whole:
        click.echo(f"\n{click.style('All of it works.', fg='green', bold=True)} {dim(f'{seconds:.1f} s')}")
        click.echo(dim("Next: mailbearer provider list, then mailbearer service set smtp provider=… account=…"))
    return 0 if whole else 1


async def _run(folder: Path) -> bool:
    async with (
        PracticeWorld(folder / "practice", PracticeOptions(access_ttl=LIFE, interval=timedelta(seconds=1))) as world,
        open_app(folder / "data", CONFIG) as app,
        asyncio.TaskGroup() as tasks,
    ):
        keeper = tasks.create_task(app.keeper.run())
        try:
            await _Tour(app, world, folder, tasks).walk()
        except MailbearerError as error:
            click.echo(click.style(f"\n  ✕ {error}", fg="red"))
            if error.hint:
                click.echo(f"    {error.hint}")
            return False
        except _NotAsPromisedError as error:
            click.echo(click.style(f"\n  ✕ {error}", fg="red"))
            return False
        finally:
            keeper.cancel()
    return True


class _NotAsPromisedError(Exception):
    """A step ended otherwise than the demo promises."""


class _Tour:
    """The steps, one after the other."""

    def __init__(self, app: App, world: PracticeWorld, folder: Path, tasks: asyncio.TaskGroup) -> None:
        self._app = app
        self._world = world
        self._inbox = folder / "received"
        self._tasks = tasks
        self._number = 0

    async def walk(self) -> None:
        """Do everything."""
        await self._step("Settings", self._set_up)
        await self._step("Get Token for sending, by code", self._get_by_code)
        await self._step("Get Token for receiving, by login page", self._get_by_browser)
        await self._step("Connection Test", self._test)
        pdf = _pdf()
        await self._step("Send a PDF", lambda: self._send(pdf))
        await self._step("Receive it back", lambda: self._receive(pdf))
        await self._step("Let a copier send that knows passwords only", self._let_copier_send)
        await self._step("Leave it idle", self._idle)
        await self._step("Delete the tokens", self._delete)

    async def _step(self, title: str, work: Callable[[], Awaitable[None]]) -> None:
        self._number += 1
        began = CLOCK.monotonic()
        click.echo(f"{dim(f'{self._number}')} {bold(title)}")
        await work()
        click.echo(f"  {dim(f'{(CLOCK.monotonic() - began) * 1000:.0f} ms')}")

    async def _do(self, deed: str, content: AsyncIterator[bytes] | None = None, **arguments: Json) -> dict[str, Json]:
        return await self._app.deeds.perform(deed, Arguments(arguments, content), WHO, _nothing)

    async def _set_up(self) -> None:
        await self._app.providers.enter(self._world.provider, self._world.registration, who=WHO)
        values: dict[str, Json] = {"provider": "practice", "account": ACCOUNT}
        smtp = await self._do("service.set", service="smtp", values=values)
        fax: dict[str, Json] = {**values, "destinations": f"attachments:{self._inbox}"}
        pop = await self._do("service.set", service="pop.internet-fax", values=fax)
        facts(
            [
                ("Account Name", ACCOUNT),
                ("SMTP", _server(smtp, "primary_server")),
                ("POP3", _server(pop, "server")),
            ]
        )
        self._show("Token", text(held(smtp, "token"), "status"))

    async def _get_by_code(self) -> None:
        result = await self._do("token.get", service="smtp", flow="device")
        pending = held(result, "pending")
        facts(
            [("Open", text(pending, "verification_uri")), ("Code", click.style(text(pending, "user_code"), fg="cyan"))]
        )
        self._show("Token", text(result, "status"))
        self._world.approve(text(pending, "user_code"), ACCOUNT)
        self._show("Token", text(await self._do("token.wait", service="smtp"), "status"), f"signed in as {ACCOUNT}")

    async def _get_by_browser(self) -> None:
        result = await self._do("token.get", service="pop.internet-fax", flow="code")
        self._show("Token", text(result, "status"))
        back = self._world.authorize(text(held(result, "pending"), "authorization_url"), ACCOUNT)
        done = await self._do("token.redirect", url=back, service="pop.internet-fax")
        self._show("Token", text(done, "status"), "a token of its own, with PKCE")

    async def _test(self) -> None:
        for service in ("smtp", "pop.internet-fax"):
            report = await self._do("service.test", service=service)
            steps = listed(report, "steps")
            marks = " ".join(f"{click.style('✓', fg='green')} {text(each, 'name')}" for each in steps if each.get("ok"))
            click.echo(f"  {dim(pad(service, 17))}{marks}")
            if report.get("ok") is not True:
                raise _NotAsPromisedError(text(held(report, "diagnosis"), "text"))

    async def _send(self, pdf: bytes) -> None:
        content = _letter(pdf)
        recipients: list[Json] = [ACCOUNT]
        result = await self._do("send", _once(content), service="smtp", sender=ACCOUNT, recipients=recipients)
        self._show("scan.pdf", text(result, "state"), clean(text(result, "reply")))
        if text(result, "state") != "Accepted":
            raise _NotAsPromisedError(text(result, "reason"))

    async def _receive(self, pdf: bytes) -> None:
        result = await self._do("check", service="pop.internet-fax")
        if result.get("handed_over") != 1:
            raise _NotAsPromisedError("The message did not come back.")
        found = next(iter(self._inbox.iterdir()))
        same = found.read_bytes() == pdf
        self._show("scan.pdf", "Filed", f"{len(pdf)} bytes, SHA-256 {hashlib.sha256(pdf).hexdigest()[:16]}… as sent")
        if not same:
            raise _NotAsPromisedError("The PDF is not the one that was sent.")

    async def _let_copier_send(self) -> None:
        """Send through a listener as an old machine does, with a user name and a password of Mailbearer's."""
        added = await self._do("device.add", device="copier-3f", values={"title": "Copier, 3rd floor"})
        paper = {text(row, "label"): text(row, "value") for row in listed(held(added, "sheet"), "rows")}
        gateway = await self._app.open_gateway()
        work = [self._tasks.create_task(each) for each in (self._app.courier.run(), gateway.run())]
        try:
            await gateway.opened.wait()
            certificate = self._app.store.folder.path / "certificates" / "own-ec.crt"
            port = gateway.ports["demo"]
            await asyncio.to_thread(_scan_to_mail, port, paper["Password"], certificate)
            self._show("copier-3f", "Waiting", f"STARTTLS on port {port}, signed in, From: {COPIER}")
            job = await self._ended("copier-3f")
        finally:
            for task in work:
                task.cancel()
            await asyncio.wait(work)
        if text(job, "state") != "Accepted":
            raise _NotAsPromisedError(text(job, "reason"))
        header = message_from_bytes(self._world.mailbox(ACCOUNT)[-1])
        self._show("provider", "Accepted", f"From: {header['From']}, Reply-To: {header['Reply-To']}")
        if (header["From"], header["Reply-To"]) != (ACCOUNT, COPIER):
            raise _NotAsPromisedError("The message does not have the senders that it should have.")

    async def _ended(self, device: str) -> dict[str, Json]:
        """Return the newest message of ``device`` once it waits no more."""
        end = CLOCK.monotonic() + PATIENCE
        while True:
            job = listed(await self._do("device.history", device=device), "messages")[0]
            if text(job, "state") not in {"Waiting", "Sending"} or CLOCK.monotonic() > end:
                return job
            await CLOCK.sleep(0.02)

    async def _idle(self) -> None:
        """Wait, without any traffic, until the token was renewed by itself."""
        before = await self._do("token.status", service="smtp")
        born = text(listed(before, "tokens")[0], "refreshed_at")
        token: dict[str, Json] = {}
        fresh = born
        end = CLOCK.monotonic() + PATIENCE
        click.echo(f"  {dim(f'no traffic; the access token lives {LIFE.seconds} s')} ", nl=False)
        while fresh == born and CLOCK.monotonic() < end:
            await CLOCK.sleep(0.25)
            click.echo(dim("·"), nl=False)
            token = listed(await self._do("token.status", service="smtp"), "tokens")[0]
            fresh = text(token, "refreshed_at")
        click.echo()
        if fresh == born:
            raise _NotAsPromisedError("The token was not renewed.")
        self._show("Token", text(token, "status"), "renewed by itself")

    async def _delete(self) -> None:
        for service in ("smtp", "pop.internet-fax"):
            result = await self._do("token.delete", service=service)
            revoked = "the provider has revoked it"
            told = revoked if result.get("revoked") is True else "deleted here; the other service uses the account"
            self._show("Token", text(result, "status"), told)

    def _show(self, label: str, status: str, detail: str = "") -> None:
        click.echo(f"  {dim(pad(label, 10))}{word(status)}" + (f"  {dim(detail)}" if detail else ""))


def _scan_to_mail(port: int, password: str, certificate: Path) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
        client.starttls(context=client_context(str(certificate)))
        client.login("copier-3f", password)
        client.sendmail(COPIER, [ACCOUNT], f"From: {COPIER}\r\nSubject: Scan\r\n\r\nOne page.\r\n")


async def _nothing(_: dict[str, Json]) -> None:
    """Let an event pass."""


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _server(view: dict[str, Json], field: str) -> str:
    settings = held(view, "settings")
    return f"{text(settings, field)}:{text(settings, 'port')} ({text(settings, 'tls')})"


def _letter(pdf: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.pdf"
        path.write_bytes(pdf)
        target = BytesIO()
        letter = Letter(
            sender=Mailbox("Demo scanner", ACCOUNT),
            to=(Mailbox("", ACCOUNT),),
            subject="Scan from Mailbearer",
            body="One page, as PDF.\n",
            files=(path,),
        )
        compose(letter, target, now=CLOCK.now())
    return target.getvalue()


def _pdf() -> bytes:
    """Return a real PDF (ISO 32000-1) of one page that says when it was made."""
    said = f"Mailbearer demo, {CLOCK.now().astimezone():%Y-%m-%d %H:%M:%S}"
    stream = f"BT /F1 24 Tf 72 720 Td ({said}) Tj ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources<</Font<</F1 5 0 R>>>>>>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    document, places = bytearray(b"%PDF-1.4\n"), list[int]()
    for number, content in enumerate(objects, 1):
        places.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(document)
    document += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    document += b"".join(b"%010d 00000 n \n" % place for place in places)
    document += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(document)
