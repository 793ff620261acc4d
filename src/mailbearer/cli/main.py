"""``mailbearer``: the list of commands, each loaded only when it is called, and the exit codes (SPEC 8.1)."""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mailbearer import __version__
from mailbearer.cli.paint import coloured, show_error
from mailbearer.errors import AuthorizationUnavailableError, DiskFullError, MailbearerError

SYSTEM_FOLDER = Path("/var/lib/mailbearer")
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
PASSING_CODES = frozenset({"MB-T01", "MB-T24", "MB-T44", "MB-S25", "MB-D04"})

# name → module, attribute, what it does (shown by --help without loading anything)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Do the whole job once on the practice provider."),
    "init": ("init", "init", "Make the data folder and its key."),
    "serve": ("serve", "serve", "Run everything: renewal, courier, poller, web."),
    "service": ("service", "service", "List, show, set, add, remove and test services."),
    "token": ("token", "token", "Get, show, use and delete tokens."),
    "provider": ("provider", "provider", "Providers and application registrations."),
    "device": ("device", "device", "Machines that send through the listeners."),
    "send": ("send", "send", "Send a message or files."),
    "sendmail": ("sendmail", "sendmail", "Stands in for the sendmail command."),
    "queue": ("queue", "queue", "The outgoing queue."),
    "check": ("check", "check", "Fetch the mail of a POP service now."),
    "received": ("received", "received", "What was received."),
    "practice": ("practice", "practice", "Run the practice provider in the foreground."),
    "vault": ("vault", "vault", "Change the key of the stored secrets."),
    "audit": ("audit", "audit", "Who changed what."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the shape is click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: object = getattr(importlib.import_module(f"mailbearer.cli.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


def default_folder() -> Path:
    """Return the data folder when none is named."""
    base = os.environ.get("XDG_DATA_HOME", "")
    own = Path(base if base.startswith("/") else Path.home() / ".local/share") / "mailbearer"
    return folder_among(own, SYSTEM_FOLDER, root=os.geteuid() == 0)


def folder_among(own: Path, system: Path, *, root: bool) -> Path:
    """Return the folder of the machine, unless the user has one of his ``own``, or there is no other.

    A program that calls sendmail as just any user must not get a queue that nobody empties.
    """
    return system if root or (os.path.isdir(system) and not os.path.isdir(own)) else own  # noqa: PTH112 - never raises


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--data",
    envvar="MAILBEARER_DATA",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Data folder (or MAILBEARER_DATA).",
)
@click.version_option(__version__, "--version", prog_name="mailbearer", message="%(prog)s %(version)s")
@click.pass_context
def mailbearer(ctx: click.Context, data: Path | None) -> None:
    """OAuth 2.0 mail for every machine: get a token once, send and receive with it for years."""
    ctx.obj = (data or default_folder()).absolute()


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our shapes gets question marks, not a fault
    color = None if coloured() else False
    try:
        _refuse_broken(arguments)
        result: object = mailbearer.main(
            args=list(arguments), prog_name="mailbearer", standalone_mode=False, color=color
        )
    except click.exceptions.Abort:
        click.echo("Cancelled. Nothing was changed.", err=True)
        return EXIT_FAILED
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except MailbearerError as error:
        show_error(error)
        return exit_code(error)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return result if isinstance(result, int) else 0


def _refuse_broken(arguments: Sequence[str]) -> None:
    for each in arguments:
        try:
            each.encode()
        except UnicodeEncodeError as error:
            raise click.UsageError(f"{each.encode(errors='backslashreplace').decode()} is not UTF-8") from error


def exit_code(error: MailbearerError) -> int:
    """Return the exit code of ``error``: 75 when the same command may work later, otherwise 1."""
    if error.code in PASSING_CODES or isinstance(error, AuthorizationUnavailableError | DiskFullError):
        return EXIT_TRY_AGAIN
    return EXIT_FAILED
