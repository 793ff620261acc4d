"""``mailbearer provider``: the catalogue, the registrations made there, and which provider an address has."""

from pathlib import Path

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import assignments, held, listed, perform, text
from mailbearer.cli.paint import as_json, bold, clean, dim, facts, limits, table, wrapped

SECRETS = frozenset({"client_secret"})


@click.group()
def provider() -> None:
    """Providers and application registrations."""


@provider.command("list")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def list_providers(folder: Path, machine: bool) -> None:
    """List all providers."""
    result = perform(folder, "provider.list")
    if machine:
        as_json(result)
        return
    rows = [
        (
            bold(text(each, "id")),
            text(each, "name"),
            ", ".join(_words(each, "flows")) if each.get("oauth") is True else dim("no OAuth 2.0 for mail"),
            "yes" if each.get("registered") is True else "",
        )
        for each in listed(result, "providers")
    ]
    table(("PROVIDER", "NAME", "SIGN-IN", "REGISTERED"), rows)


@provider.command("show")
@click.argument("name", metavar="PROVIDER")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def show_provider(folder: Path, name: str, machine: bool) -> None:
    """Show one provider and what is registered there."""
    result = perform(folder, "provider.show", {"provider": name})
    if machine:
        as_json(result)
    else:
        _show(result)


@provider.command("set")
@click.argument("name", metavar="PROVIDER")
@click.argument("values", metavar="FIELD=VALUE...", nargs=-1, required=True)
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def set_provider(folder: Path, name: str, values: tuple[str, ...], machine: bool) -> None:
    """Enter what was registered at a provider.

    Fields: client_id, client_secret (=@FILE or =-), tenant, redirect_uri, hosts (further mail servers), ca_file, and
    those that `provider show` names as still to enter.

    Limits: connections, messages_per_minute, recipients_per_message, recipients_per_day, size; 0 keeps none.
    """
    arguments: dict[str, Json] = {"provider": name, "values": assignments(values, secrets=SECRETS)}
    result = perform(folder, "provider.set", arguments)
    if machine:
        as_json(result)
    else:
        _show(result)


@provider.command("add")
@click.argument("name", metavar="NAME")
@click.argument("values", metavar="FIELD=VALUE...", nargs=-1, required=True)
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def add_provider(folder: Path, name: str, values: tuple[str, ...], machine: bool) -> None:
    """Add a provider of your own.

    By its address: discovery=URL. Or by hand: token_endpoint=URL, authorization_endpoint=URL, device_endpoint=URL,
    issuer=URL, revocation_endpoint=URL, userinfo_endpoint=URL.

    Further fields: name, scopes, smtp (host:port:tls), pop (host:port:tls), ca_file, and those of `provider set`.
    """
    arguments: dict[str, Json] = {"provider": name, "values": assignments(values, secrets=SECRETS)}
    result = perform(folder, "provider.add", arguments)
    if machine:
        as_json(result)
    else:
        _show(result)


@provider.command("remove")
@click.argument("name", metavar="PROVIDER")
@click.pass_obj
def remove_provider(folder: Path, name: str) -> None:
    """Remove your own provider, or a registration."""
    perform(folder, "provider.remove", {"provider": name})
    click.echo(f"Removed {name}.")


@provider.command("detect")
@click.argument("address")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def detect(folder: Path, address: str, machine: bool) -> int:
    """Find provider and servers of an e-mail address."""
    result = perform(folder, "provider.detect", {"address": address})
    found_any = bool(text(result, "provider") or held(result, "servers"))
    if machine:
        as_json(result)
        return 0 if found_any else 1
    found = dim(f"found by {text(result, 'by')}" if text(result, "provider") else f"tried: {text(result, 'by')}")
    click.echo(f"{bold(text(result, 'provider') or 'unknown')}  {text(result, 'name')}  {found}")
    facts([(protocol.upper(), ", ".join(_words(held(result, "servers"), protocol))) for protocol in ("smtp", "pop")])
    return 0 if found_any else 1


def _words(value: dict[str, Json], name: str) -> list[str]:
    words = value.get(name)
    return [str(each) for each in words] if isinstance(words, list) else []


def _show(view: dict[str, Json]) -> None:
    click.echo(f"{bold(text(view, 'id'))}  {text(view, 'name')}")
    registration, servers = held(view, "registration"), held(view, "servers")
    facts(
        [
            ("SMTP", ", ".join(_words(servers, "smtp"))),
            ("POP", ", ".join(_words(servers, "pop"))),
            ("Limits kept", limits(held(view, "limits"))),
            ("Client ID", text(registration, "client_id")),
            ("Client secret", "(set)" if registration.get("client_secret") is True else ""),
            ("Tenant", text(registration, "tenant")),
            ("Redirect address", text(registration, "redirect_uri")),
            ("Added mail servers", ", ".join(_words(registration, "hosts"))),
            ("Own CA", text(registration, "ca_file")),
            *((name, text(held(registration, "values"), name)) for name in held(registration, "values")),
            ("Still to enter", ", ".join(_words(view, "missing"))),
        ]
    )
    for advice in listed(view, "flow_advice"):
        allowed = advice.get("allowed") is True
        mark = click.style("✓", fg="green") if allowed else click.style("✕", fg="red")
        click.echo(f"  {mark} {text(advice, 'flow')}")
        if warning := text(advice, "warning"):
            click.echo(dim(wrapped(clean(warning, most=600), indent="    ")))
    for note in _words(view, "notes"):
        click.echo(wrapped(clean(note, most=600), indent="  · ", hang="    "))
