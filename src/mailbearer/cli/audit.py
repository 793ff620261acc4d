"""``mailbearer audit``: who changed what, when and from where."""

from pathlib import Path

import click

from mailbearer.cli.ask import listed, perform, text
from mailbearer.cli.paint import as_json, moment, table


@click.group()
def audit() -> None:
    """Who changed what."""


@audit.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def list_audit(folder: Path, limit: int, machine: bool) -> None:
    """List changes, newest first."""
    result = perform(folder, "audit.list", {"limit": limit})
    if machine:
        as_json(result)
        return
    rows = [
        (
            moment(each.get("at")),
            text(each, "who"),
            text(each, "place"),
            text(each, "what"),
            text(each, "subject"),
            text(each, "detail"),
        )
        for each in listed(result, "entries")
    ]
    table(("AT", "WHO", "FROM", "WHAT", "SUBJECT", "DETAIL"), rows)
