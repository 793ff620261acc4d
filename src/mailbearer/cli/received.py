"""``mailbearer received``: what was received and where it went."""

from pathlib import Path

import click

from mailbearer.cli.ask import listed, perform, text
from mailbearer.cli.paint import as_json, moment, size, table, word


@click.group()
def received() -> None:
    """What was received."""


@received.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def list_received(folder: Path, limit: int, machine: bool) -> None:
    """List received items, newest first."""
    result = perform(folder, "received.list", {"limit": limit})
    if machine:
        as_json(result)
        return
    items = listed(result, "items")
    if not items:
        click.echo("Nothing was received.")
        return
    rows = [
        (
            moment(each.get("at")),
            word(text(each, "state")),
            text(each, "service"),
            text(each, "sender"),
            text(each, "subject"),
            size(each.get("size")),
            text(each, "destinations"),
        )
        for each in items
    ]
    table(("AT", "STATE", "SERVICE", "FROM", "SUBJECT", "SIZE", "WENT TO"), rows)
