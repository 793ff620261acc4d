"""``mailbearer device``: the machines that send through the listeners, and the sheet of what to type into them."""

from pathlib import Path

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import assignments, held, listed, perform, text
from mailbearer.cli.paint import as_json, bold, clean, dim, facts, moment, size, table, word, wrapped

SECRETS = frozenset({"password"})


@click.group()
def device() -> None:
    """Printers, scanners, NAS boxes and programs that send through the listeners."""


@device.command("list")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def list_devices(folder: Path, machine: bool) -> None:
    """List all devices."""
    result = perform(folder, "device.list")
    if machine:
        as_json(result)
        return
    devices = listed(result, "devices")
    if not devices:
        click.echo("There are none. Add one: mailbearer device add NAME")
        return
    rows = [
        (
            bold(text(each, "id")),
            text(held(each, "settings"), "title"),
            text(held(each, "settings"), "service"),
            _sign_in(each),
            text(held(each, "settings"), "networks") or "anywhere",
            moment(each.get("sent_at")) or "never",
        )
        for each in devices
    ]
    table(("DEVICE", "DESCRIPTION", "SERVICE", "SIGNS IN", "FROM", "LAST SENT"), rows)


@device.command("add")
@click.argument("name", metavar="NAME")
@click.argument("values", metavar="[FIELD=VALUE...]", nargs=-1)
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def add_device(folder: Path, name: str, values: tuple[str, ...], machine: bool) -> None:
    """Add a device and print what to type into it.

    Its new password is shown this once.

    \b
    title=…            what it is and where it stands
    service=smtp       by which service its mail leaves
    networks=…         from which addresses it may come: 192.168.20.31, 192.168.20.0/24
    by_address=yes     it cannot sign in: it is known by those addresses
    allowed_senders=…  as which addresses it may send: a@b.example, @b.example
    from_policy=…      its sender: replace (by the service's Sender Address), as-is, refuse
    per_hour=…         messages an hour
    size_max=…         largest message in MB
    password=@FILE     a password of your choice, from a file, or asked for with password=-
    """  # noqa: D301 - click takes this character for a paragraph that keeps its lines
    filled = assignments(values, secrets=SECRETS)
    arguments: dict[str, Json] = {"device": name, "password": filled.pop("password", ""), "values": filled}
    _tell(perform(folder, "device.add", arguments), machine=machine)


@device.command("show")
@click.argument("name", metavar="DEVICE")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def show_device(folder: Path, name: str, machine: bool) -> None:
    """Show one device and what to type into it. Its password cannot be shown again."""
    _tell(perform(folder, "device.show", {"device": name}), machine=machine)


@device.command("set")
@click.argument("name", metavar="DEVICE")
@click.argument("values", metavar="FIELD=VALUE...", nargs=-1, required=True)
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def set_device(folder: Path, name: str, values: tuple[str, ...], machine: bool) -> None:
    """Change fields of a device; for its password see `device reset`."""
    arguments: dict[str, Json] = {"device": name, "values": assignments(values, secrets=SECRETS)}
    _tell(perform(folder, "device.set", arguments), machine=machine)


@device.command("reset")
@click.argument("name", metavar="DEVICE")
@click.argument("values", metavar="[password=@FILE|-]", nargs=-1)
@click.option("--at-once", is_flag=True, help="The old password ends now: somebody else may know it.")
@click.option("--finish", is_flag=True, help="The new password is in the device: the old one ends.")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def reset_device(folder: Path, name: str, values: tuple[str, ...], at_once: bool, finish: bool, machine: bool) -> None:
    """Make a new password. The one in use works on until `device reset DEVICE --finish`."""
    filled = assignments(values, secrets=SECRETS)
    if set(filled) - SECRETS or (finish and (filled or at_once)):
        raise click.UsageError("only a password can be reset: password=@FILE or password=-; --finish stands alone")
    arguments: dict[str, Json] = {
        "device": name,
        "password": filled.get("password", ""),
        "at_once": at_once,
        "finish": finish,
    }
    result = perform(folder, "device.reset", arguments)
    _tell(result, machine=machine)
    if not (machine or at_once or finish) and len(listed(result, "passwords")) > 1:
        click.echo(
            f"\nThe old password works on. Once the device has the new one: mailbearer device reset {name} --finish"
        )


@device.command("remove")
@click.argument("name", metavar="DEVICE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def remove_device(folder: Path, name: str, yes: bool) -> None:
    """Remove a device: it can send nothing more.

    What it sent stays in the queue.
    """
    if not yes:
        click.confirm(f"Remove {name} and its password?", abort=True, err=True)
    perform(folder, "device.remove", {"device": name})
    click.echo(f"Removed {name}.")


@device.command("history")
@click.argument("name", metavar="DEVICE")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def history(folder: Path, name: str, limit: int, machine: bool) -> None:
    """List what a device sent, newest first."""
    result = perform(folder, "device.history", {"device": name, "limit": limit})
    if machine:
        as_json(result)
        return
    messages = listed(result, "messages")
    if not messages:
        click.echo("It has sent nothing yet.")
        return
    rows = [
        (
            bold(text(each, "id")),
            moment(each.get("created_at")),
            word(text(each, "state")),
            ", ".join(text(one, "address") for one in listed(each, "recipients")),
            text(each, "subject"),
            size(each.get("size")),
            text(each, "reason"),
        )
        for each in messages
    ]
    table(("ID", "AT", "STATE", "TO", "SUBJECT", "SIZE", "REASON"), rows)


def _sign_in(view: dict[str, Json]) -> str:
    if text(held(view, "settings"), "enabled") == "no":
        return "switched off"
    if text(held(view, "settings"), "by_address") == "yes":
        return "by its address"
    count = len(listed(view, "passwords"))
    return {0: "no password", 1: "password"}.get(count, "old and new password")


def _tell(result: dict[str, Json], *, machine: bool) -> None:
    if machine:
        as_json(result)
        return
    settings, labels = held(result, "settings"), held(result, "labels")
    click.echo(f"{bold(text(result, 'id'))}  {clean(text(settings, 'title'))}")
    facts(
        [
            *((text(labels, name), text(settings, name)) for name in settings if name != "title"),
            *(("Password", _made(each)) for each in listed(result, "passwords")),
            ("Last sent", moment(result.get("sent_at"))),
        ]
    )
    if paper := held(result, "sheet"):
        _tell_sheet(paper)


def _made(password: dict[str, Json]) -> str:
    used = moment(password.get("last_used"))
    return (
        f"{text(password, 'kind')} {moment(password.get('made_at'))}, {f'last used {used}' if used else 'not used yet'}"
    )


def _tell_sheet(paper: dict[str, Json]) -> None:
    """Print what to type in, and what stands in the way of it."""
    click.echo(f"\n{bold('Type this into the device')}")
    facts([(text(row, "label"), _coloured(row)) for row in listed(paper, "rows")])
    for note in _texts(paper, "notes"):
        click.echo(wrapped(clean(note, most=1000), indent="  ! ", hang="    "))
    if lines := _texts(paper, "toml"):
        click.echo("\nFor machines in the network, write into mailbearer.toml and reload the service:")
        for line in lines:
            click.echo(f"  {click.style(line, fg='cyan')}")
    if service := text(paper, "token_missing"):
        click.echo(
            f"\n{service} has no token yet: what is sent waits in the queue until `mailbearer token get {service}`."
        )
    click.echo(dim("\nWhat the fields are called on the devices of each maker: docs/devices.md"))


def _coloured(row: dict[str, Json]) -> str:
    value = text(row, "value")
    return click.style(value, fg="cyan") if text(row, "label") in {"Password", "User name"} else value


def _texts(result: dict[str, Json], name: str) -> list[str]:
    value = result.get(name)
    return [str(each) for each in value] if isinstance(value, list) else []
