"""``mailbearer check``: fetch the mail of a POP service now."""

from pathlib import Path

import click

from mailbearer.cli.ask import listed, perform, text
from mailbearer.cli.main import exit_code
from mailbearer.cli.paint import as_json, show_error
from mailbearer.errors import MailbearerError, NotFoundError


@click.command()
@click.argument("name", metavar="SERVICE")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def check(folder: Path, name: str, machine: bool) -> int:
    """Fetch the mail of SERVICE now and hand it over."""
    try:
        result = perform(folder, "check", {"service": name})
    except NotFoundError:
        raise
    except MailbearerError as error:
        show_error(error)
        click.echo(f"Connection Test: mailbearer service test {name}", err=True)
        return exit_code(error)
    problems = result.get("problems")
    if machine:
        as_json(result)
    else:
        click.echo(
            f"{text(result, 'handed_over')} new, {text(result, 'deleted')} deleted on the server, "
            f"{text(result, 'left')} left there."
        )
        for problem in listed(result, "problems"):
            told = f"! {text(problem, 'text')} {text(problem, 'action')} ({text(problem, 'code')})"
            click.echo(click.style(told, fg="yellow"), err=True)
        if problems:
            click.echo(f"Connection Test: mailbearer service test {name}", err=True)
    return 1 if problems else 0
