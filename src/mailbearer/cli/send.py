"""``mailbearer send``: a text, files, or a ready message, through the durable queue."""

import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import held, perform, text
from mailbearer.cli.paint import as_json, connection_test, word
from mailbearer.clock import SystemClock
from mailbearer.errors import InvalidInputError
from mailbearer.sending.compose import Letter, Mailbox, compose, take_ready


@click.command()
@click.argument("files", metavar="[FILE...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--to", "-t", multiple=True, help="Recipient; repeat for more.")
@click.option("--cc", multiple=True, help="Copy to; repeat for more.")
@click.option("--bcc", multiple=True, help="Copy to, named nowhere in the message; repeat for more.")
@click.option("--subject", "-s", default="", help="Subject.")
@click.option("--body", "-b", default=None, help="Text of the message; “-” reads it from standard input.")
@click.option("--from", "sender", default="", help="Sender address; the service's Sender Address if left out.")
@click.option("--from-name", default=None, help="Sender name; the service's Sender Name if left out.")
@click.option("--service", "name", default="smtp", show_default=True, help="The sending service.")
@click.option("--raw", is_flag=True, help="FILE (or standard input) is a ready message with its own header.")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def send(
    folder: Path,
    files: tuple[Path, ...],
    to: tuple[str, ...],
    cc: tuple[str, ...],
    bcc: tuple[str, ...],
    subject: str,
    body: str | None,
    sender: str,
    from_name: str | None,
    name: str,
    raw: bool,
    machine: bool,
) -> int:
    """Send a message, with FILEs attached.

    Done (exit status 0) means: durable in the queue, never lost. With no service running it is also delivered at once.
    """
    settings = held(perform(folder, "service.show", {"service": name}), "settings")
    sender = sender or text(settings, "sender_address") or text(settings, "account")
    if not sender:
        raise InvalidInputError("MB-W05", field="Sender Address", problem=f"{name} has none yet; set it, or use --from")
    everybody = tuple(Mailbox.read(each) for each in (*to, *cc, *bcc))
    if not everybody:
        raise click.UsageError("name a recipient with --to")
    now = SystemClock().now()
    with tempfile.TemporaryFile() as content:
        if raw:
            with _ready_message(files) as source:
                take_ready(source, content, sender=sender, now=now)
        else:
            letter = Letter(
                sender=Mailbox(text(settings, "sender_name") if from_name is None else from_name, sender),
                to=everybody[: len(to)],
                cc=everybody[len(to) : len(to) + len(cc)],
                subject=subject,
                body=_body(body, files),
                files=files,
            )
            compose(letter, content, now=now)
        length = content.tell()
        content.seek(0)
        recipients: list[Json] = [mailbox.address for mailbox in everybody]
        arguments: dict[str, Json] = {"service": name, "sender": sender, "recipients": recipients}
        result = perform(folder, "send", arguments, content=(content, length))
    return _tell(result, machine=machine)


def _tell(result: dict[str, Json], *, machine: bool) -> int:
    state = text(result, "state")
    if machine:
        as_json(result)
    else:
        why = " ".join(part for part in (text(result, "reason"), text(result, "code")) if part)
        click.echo(f"{word(state)}  {text(result, 'id')}")
        if why:
            click.echo(why, err=True)
        if test := connection_test(result):
            click.echo(f"Connection Test: {test}", err=True)
        if state in {"Waiting", "Retrying", "Held"} and result.get("served") is not True:
            click.echo(
                "It is kept in the queue. It goes out when `mailbearer serve` runs, or by `mailbearer queue flush`.",
                err=True,
            )
    return 1 if state == "Failed" else 0


def _body(body: str | None, files: tuple[Path, ...]) -> str:
    if body == "-" or (body is None and not files and not sys.stdin.isatty()):
        try:
            return sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise InvalidInputError("MB-W05", field="body", problem="standard input is not UTF-8 text") from error
    return body or ""


def _ready_message(files: tuple[Path, ...]) -> BinaryIO:
    if len(files) > 1:
        raise click.UsageError("--raw takes one FILE")
    if not files:
        return sys.stdin.buffer
    try:
        return files[0].open("rb")
    except OSError as error:
        raise InvalidInputError("MB-W05", field=str(files[0]), problem=error.strerror or "cannot be read") from error
