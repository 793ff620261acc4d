"""``mailbearer sendmail``, and ``sendmail``, ``mailq`` and ``newaliases`` by the names of links to it (``__main__``).

Exit status 0 means: durable in the queue. The other codes are those of sysexits.h, which callers of sendmail know.
"""

import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, Final

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import perform, refuse_strangers, text
from mailbearer.cli.main import EXIT_TRY_AGAIN, exit_code
from mailbearer.cli.paint import show_error
from mailbearer.cli.sendmail_options import Mode, Options, read_options
from mailbearer.errors import InvalidInputError, MailbearerError

EX_USAGE: Final = 64
EX_DATAERR: Final = 65
EX_NOUSER: Final = 67
EX_UNAVAILABLE: Final = 69
EX_IOERR: Final = 74
EX_NOPERM: Final = 77
EX_CONFIG: Final = 78
CHUNK: Final = 64 * 1024
_DATA_CODES: Final = frozenset({"MB-S19", "MB-W05", "MB-W23"})
_CONFIG_CODES: Final = frozenset({"MB-W20", "MB-D02", "MB-D03", "MB-D07", "MB-D08", "MB-T25", "MB-T26"})
_NOBODY_CODES: Final = frozenset({"MB-D01", "MB-D06"})


class _AsItStands(click.Command):
    """Leaves the words to us: sendmail's options are older than getopt."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args == ["--help"]:  # the one word that sendmail does not know and everybody tries
            click.echo(ctx.get_help())
            ctx.exit()
        ctx.params["words"] = tuple(args)
        return []


@click.command(cls=_AsItStands, context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.pass_obj
def sendmail(folder: Path, words: tuple[str, ...]) -> int:
    """Take a message from standard input, as sendmail does: -t -i -oi -f ADDRESS -F NAME, -bs, -bp, -q."""
    return run_sendmail(folder, words)


def run_sendmail(folder: Path, words: tuple[str, ...]) -> int:
    """Do what the command line says and return the exit code."""
    try:
        options = read_options(words)
    except InvalidInputError as error:
        show_error(error)
        return EX_USAGE
    try:
        refuse_strangers(folder)
        if not folder.exists() and options.mode is not Mode.NOTHING:  # nobody would empty a queue that is made here
            click.echo(f"sendmail: there is no {folder} yet; mailbearer init makes it", err=True)
            return EX_CONFIG
        return _run(folder, options)
    except MailbearerError as error:
        show_error(error)
        code = sysexit(error)
        if code == EX_NOPERM:
            click.echo("Other users and their programs send by SMTP to a listener: see docs/sendmail.md.", err=True)
        return code
    except OSError as error:  # a full disk under /tmp, a pipe that broke
        click.echo(f"sendmail: {error.strerror or error}", err=True)
        return EX_IOERR


def sysexit(error: MailbearerError) -> int:
    """Return the code of sysexits.h for ``error``."""
    for code, known in (
        (EX_DATAERR, _DATA_CODES),
        (EX_CONFIG, _CONFIG_CODES),
        (EX_NOPERM, _NOBODY_CODES | {"MB-G03"}),
        (EX_NOUSER, {"MB-W22"}),
        (EXIT_TRY_AGAIN, {"MB-G06", "MB-W24", "MB-S32"}),
    ):
        if error.code in known:
            return code
    return EXIT_TRY_AGAIN if exit_code(error) == EXIT_TRY_AGAIN or not error.permanent else EX_UNAVAILABLE


def _run(folder: Path, options: Options) -> int:
    match options.mode:
        case Mode.SEND:
            return _send(folder, options)
        case Mode.CONVERSE:
            return _converse(folder, options)
        case Mode.LIST:
            from mailbearer.cli.queue import list_queue

            list_queue.main(args=[], obj=folder, standalone_mode=False)
        case Mode.FLUSH:
            perform(folder, "queue.flush")
        case Mode.NOTHING:
            pass
    return 0


def _send(folder: Path, options: Options) -> int:
    if not options.recipients and not options.extract:
        click.echo("sendmail: name a recipient, or -t for those of the header", err=True)
        return EX_USAGE
    with tempfile.TemporaryFile() as content:
        if options.dots_are_text:
            while chunk := sys.stdin.buffer.read(CHUNK):
                content.write(chunk)
        else:
            _copy_to_dot(sys.stdin.buffer, content)
        return _hand_in(folder, options, content)


def _copy_to_dot(source: BinaryIO, target: BinaryIO) -> None:
    """Copy up to a line with nothing but a dot, as sendmail without -i does."""
    begins = True
    while line := source.readline(CHUNK):
        if begins and line in {b".\n", b".\r\n", b"."}:
            return
        begins = line.endswith(b"\n")
        target.write(line)


def _hand_in(folder: Path, options: Options, content: BinaryIO) -> int:
    length = content.tell()
    content.seek(0)
    recipients: list[Json] = [*options.recipients]
    arguments: dict[str, Json] = {
        "sender": options.sender,
        "name": options.name,
        "recipients": recipients,
        "extract": options.extract,
    }
    result = perform(folder, "submit", arguments, content=(content, length))
    if text(result, "state") != "Failed":
        return 0
    click.echo(f"sendmail: {text(result, 'reason')} {text(result, 'reply')}", err=True)
    return EX_UNAVAILABLE


# -- SMTP on standard input and output -------------------------------------------------------------------------------


def _converse(folder: Path, options: Options) -> int:
    """Speak SMTP with whoever called us (-bs): mutt, fetchmail, some Java programs."""
    from mailbearer.cli.sendmail_session import Session

    def hand_in(sender: str, recipients: list[str], content: BinaryIO) -> tuple[int, str, str]:
        asked = Options(sender=sender or "<>", name=options.name, recipients=recipients)
        try:
            code = _hand_in(folder, asked, content)
        except MailbearerError as error:
            code = sysexit(error)
            return (451, "4.3.0", str(error)) if code == EXIT_TRY_AGAIN else (554, "5.6.0", str(error))
        return (250, "2.0.0", "Queued") if code == 0 else (554, "5.0.0", "Refused by the provider")

    session = Session(socket.gethostname(), hand_in)
    out = sys.stdout.buffer
    out.write(session.greeting())
    out.flush()
    while not session.over:
        data = os.read(sys.stdin.fileno(), CHUNK)
        answer = session.receive(data) if data else session.end()
        out.write(answer)
        out.flush()
        if not data:
            break
    return 0
