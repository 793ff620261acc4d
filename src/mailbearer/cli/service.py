"""``mailbearer service``: the mail settings that an administrator fills in, and their Connection Test."""

from pathlib import Path

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import assignments, confirm, held, listed, perform, text
from mailbearer.cli.paint import as_json, bold, clean, dim, facts, limits, moment, pad, table, word, wrapped

SECRETS = frozenset({"password"})


@click.group()
def service() -> None:
    """List, show, set, add, remove and test services."""


@service.command("list")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def list_services(folder: Path, machine: bool) -> None:
    """List all services with their token status."""
    result = perform(folder, "service.list")
    if machine:
        as_json(result)
        return
    rows = [
        (
            bold(text(each, "id")),
            text(held(each, "settings"), "account"),
            text(each, "provider_name"),
            ", ".join(_servers(each)),
            word(text(held(each, "token"), "status")) if text(held(each, "settings"), "auth") == "oauth2" else "",
        )
        for each in listed(result, "services")
    ]
    table(("SERVICE", "ACCOUNT", "PROVIDER", "SERVER", "TOKEN"), rows)


@service.command("show")
@click.argument("name", metavar="SERVICE")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def show_service(folder: Path, name: str, machine: bool) -> None:
    """Show one service: its fields, its places and its token."""
    result = perform(folder, "service.show", {"service": name})
    if machine:
        as_json(result)
    else:
        show(result)


@service.command("set")
@click.argument("name", metavar="SERVICE")
@click.argument("values", metavar="FIELD=VALUE...", nargs=-1, required=True)
@click.option("--delete-token", is_flag=True, help="Delete the held token when provider or account change.")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def set_service(folder: Path, name: str, values: tuple[str, ...], delete_token: bool, machine: bool) -> None:
    """Change fields of a service.

    Choosing a provider fills in what is known of it: server, port, SSL/TLS.

    A password is read from a file or asked for: password=@FILE or password=-
    """
    arguments: dict[str, Json] = {
        "service": name,
        "values": assignments(values, secrets=SECRETS),
        "delete_token": delete_token,
    }
    result = perform(folder, "service.set", arguments)
    if machine:
        as_json(result)
    else:
        show(result)


@service.command("add")
@click.argument("name", metavar="SERVICE")
@click.argument("values", metavar="[FIELD=VALUE...]", nargs=-1)
@click.option("--title", default="", help="How it is called on pages.")
@click.pass_obj
def add_service(folder: Path, name: str, values: tuple[str, ...], title: str) -> None:
    """Add a service; SERVICE is smtp.NAME or pop.NAME."""
    arguments: dict[str, Json] = {
        "service": name,
        "title": title,
        "values": assignments(values, secrets=SECRETS),
    }
    show(perform(folder, "service.add", arguments))


@service.command("remove")
@click.argument("name", metavar="SERVICE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove_service(folder: Path, name: str, yes: bool) -> None:
    """Remove a service that was added, with its token."""
    confirm(f"Remove {name} and its token? OK", yes=yes)
    perform(folder, "service.remove", {"service": name})
    click.echo(f"Removed {name}.")


@service.command("test")
@click.argument("name", metavar="SERVICE")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def test_service(folder: Path, name: str, machine: bool) -> int:
    """Test the connection, step by step.

    Walks the whole way to the mailbox and tells the verdict of each step. Never sends, fetches or deletes mail.
    """
    result = perform(folder, "service.test", {"service": name}, on_event=_ignore if machine else _show_step)
    if machine:
        as_json(result)
    else:
        _show_verdict(result)
    return 0 if result.get("ok") is True else 1


def _ignore(_: dict[str, Json]) -> None:
    """Machines read the result, not the progress."""


def _show_step(event: dict[str, Json]) -> None:
    step = held(event, "step")
    ok = step.get("ok")
    shape = {True: click.style("✓", fg="green"), False: click.style("✕", fg="red")}.get(ok is True, "")
    if ok is None:
        shape = dim("·")
    ms = step.get("ms")
    took = f"{ms:7.1f} ms" if isinstance(ms, int | float) and ok is not None else " " * 10
    detail = clean(text(step, "detail"), most=90)
    click.echo(f"  {shape} {pad(text(step, 'name'), 13)}{dim(took)}  {dim(detail) if ok is None else detail}")


def _show_verdict(result: dict[str, Json]) -> None:
    diagnosis = held(result, "diagnosis")
    if not diagnosis:
        click.echo(click.style("\nThe connection works.", fg="green", bold=True))
        return
    click.echo(click.style(f"\n{text(diagnosis, 'text')}", fg="red", bold=True) + dim(f"  {text(diagnosis, 'code')}"))
    if action := text(diagnosis, "action"):
        click.echo(wrapped(clean(action, most=2000)))
    if detail := text(diagnosis, "detail"):
        click.echo(dim(f"Its own words: {clean(detail, most=400)}"))


def show(view: dict[str, Json]) -> None:
    """Print one service."""
    click.echo(f"{bold(text(view, 'id'))}  {text(view, 'title')}")
    places = view.get("places")
    for place in places if isinstance(places, list) else []:
        click.echo(dim(f"  {place}"))
    settings, labels = held(view, "settings"), held(view, "labels")
    facts(
        [
            *((text(labels, name), text(settings, name)) for name in settings),
            ("Limits kept", limits(held(view, "limits"))),
        ]
    )
    if text(settings, "auth") == "oauth2":
        show_token(held(view, "token"))
    warnings = view.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        click.echo(click.style(f"  ! {warning}", fg="yellow"))


def show_token(token: dict[str, Json]) -> None:
    """Print the status word of a token and what stands beside it."""
    click.echo(f"  {dim('Token')}  {word(text(token, 'status'))}")
    reason = held(token, "reason") or held(token, "trouble")
    if reason:
        click.echo(
            f"  {click.style(clean(text(reason, 'text'), most=300), fg='yellow')}{dim('  ' + text(reason, 'code'))}"
        )
        if action := text(reason, "action"):
            click.echo(wrapped(clean(action, most=1000), indent="  "))
    facts(
        [
            ("Signed in as", text(token, "account")),
            ("Retrieved", moment(token.get("obtained_at"))),
            ("Way", text(token, "flow")),
            ("Renewed", moment(token.get("refreshed_at"))),
            ("Good until", moment(token.get("access_expires_at"))),
            ("Lapses if unused", moment(token.get("idle_dies_at"))),
            ("Since", moment(reason.get("since"))),
            ("Next try", moment(token.get("next_try"))),
            (
                "Provider's error",
                " ".join(part for part in (text(token, "provider_error"), text(token, "number")) if part),
            ),
            ("Trace", text(token, "trace")),
        ]
    )


def _servers(view: dict[str, Json]) -> list[str]:
    settings = held(view, "settings")
    names = [text(settings, "primary_server") or text(settings, "server")]
    port = text(settings, "port")
    return [f"{name}:{port}" if port else name for name in names if name]
