"""``mailbearer queue``: what waits, why, and what to do with it."""

from pathlib import Path

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import listed, perform, text
from mailbearer.cli.paint import (
    as_json,
    bold,
    clean,
    connection_test,
    dim,
    facts,
    moment,
    size,
    table,
    until,
    word,
    wrapped,
)


@click.group()
def queue() -> None:
    """The outgoing queue."""


@queue.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was accepted, has failed or was cancelled.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def list_queue(folder: Path, everything: bool, limit: int, machine: bool) -> None:
    """List messages, oldest first.

    Those that wait longest; with --all the newest of all.
    """
    result = perform(folder, "queue.list", {"all": everything, "limit": limit})
    if machine:
        as_json(result)
        return
    messages = listed(result, "messages")
    if not messages:
        click.echo("Nothing waits.")
        return
    devices = any(text(each, "device") for each in messages)
    rows = [
        (
            bold(text(each, "id")),
            word(text(each, "state")),
            *((text(each, "device"),) if devices else ()),
            text(each, "service"),
            _recipients(each),
            text(each, "subject"),
            size(each.get("size")),
            until(each.get("next_try")) if text(each, "state") in {"Retrying", "Held"} else "",
            text(each, "reason"),
        )
        for each in messages
    ]
    device = ("DEVICE",) if devices else ()
    table(("ID", "STATE", *device, "SERVICE", "TO", "SUBJECT", "SIZE", "NEXT TRY", "REASON"), rows)
    total = result.get("total")
    if isinstance(total, int) and total > len(messages):
        click.echo(dim(f"{len(messages):,} of {total:,}; --limit shows more."))


@queue.command("show")
@click.argument("identity", metavar="ID")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def show_message(folder: Path, identity: str, machine: bool) -> None:
    """Show one message with the provider's last words."""
    result = perform(folder, "queue.show", {"id": identity})
    if machine:
        as_json(result)
        return
    click.echo(f"{bold(text(result, 'id'))}  {word(text(result, 'state'))}")
    if reason := text(result, "reason"):
        click.echo(f"  {clean(reason, most=400)}{dim('  ' + text(result, 'code'))}")
    if action := text(result, "action"):
        click.echo(wrapped(clean(action, most=1000), indent="  "))
    facts(
        [
            ("Device", text(result, "device")),
            ("Service", text(result, "service")),
            ("From", text(result, "sender")),
            ("Subject", text(result, "subject")),
            ("Message-ID", text(result, "message_id")),
            ("Size", size(result.get("size"))),
            ("Accepted here", moment(result.get("created_at"))),
            ("Tries", text(result, "attempts")),
            ("Next try", moment(result.get("next_try"))),
            ("Last reply", text(result, "reply")),
            ("Connection Test", connection_test(result)),
        ]
    )
    for each in listed(result, "recipients"):
        reply = dim(clean(text(each, "reply"), most=200))
        click.echo(f"  {word(text(each, 'state'))}  {clean(text(each, 'address'), most=320)}  {reply}")


def _act(folder: Path, deed: str, identities: tuple[str, ...]) -> None:
    for identity in identities:
        result = perform(folder, deed, {"id": identity})
        click.echo(f"{word(text(result, 'state'))}  {text(result, 'id')}")


@queue.command("retry")
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def retry(folder: Path, identities: tuple[str, ...]) -> None:
    """Try messages again now."""
    _act(folder, "queue.retry", identities)


@queue.command("hold")
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def hold(folder: Path, identities: tuple[str, ...]) -> None:
    """Hold messages until `queue retry`."""
    _act(folder, "queue.hold", identities)


@queue.command("cancel")
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def cancel(folder: Path, identities: tuple[str, ...]) -> None:
    """Take messages out of the queue.

    Recipients who have it already keep it.
    """
    _act(folder, "queue.cancel", identities)


@queue.command("flush")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def flush(folder: Path, machine: bool) -> None:
    """Try everything that waits now."""
    result: dict[str, Json] = perform(folder, "queue.flush")
    if machine:
        as_json(result)
    else:
        click.echo(f"{text(result, 'count')} messages are tried now.")


def _recipients(message: dict[str, Json]) -> str:
    addresses = [text(each, "address") for each in listed(message, "recipients")]
    return addresses[0] + (f" +{len(addresses) - 1}" if len(addresses) > 1 else "") if addresses else ""
