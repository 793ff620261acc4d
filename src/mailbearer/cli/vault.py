"""``mailbearer vault``: the key of the stored secrets."""

from pathlib import Path

import click

from mailbearer.cli.ask import perform, text


@click.group()
def vault() -> None:
    """Change the key of the stored secrets."""


@vault.command("rotate")
@click.pass_obj
def rotate(folder: Path) -> None:
    """Make a new key and seal everything with it.

    Only while no service runs. A crash at any moment leaves a key that opens everything.
    """
    result = perform(folder, "vault.rotate")
    click.echo(f"{text(result, 'count')} secrets are sealed with the new key {text(result, 'key')}.")
    click.echo("Keep a copy of the key file.")
