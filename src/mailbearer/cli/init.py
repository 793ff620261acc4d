"""``mailbearer init``: make the data folder and its key."""

from pathlib import Path

import click

from mailbearer.cli.ask import perform, text
from mailbearer.cli.paint import bold, facts


@click.command()
@click.pass_obj
def init(folder: Path) -> None:
    """Make the data folder and its key, or look whether they are in order."""
    result = perform(folder, "system.status")
    click.echo(f"The data folder is ready: {bold(str(folder))}")
    facts(
        [("Key", text(result, "key")), ("Database", text(result, "database")), ("Services", text(result, "services"))]
    )
    click.echo("Keep a copy of the key file apart from the folder: without it the stored tokens cannot be read.")
