"""``mailbearer token``: get one, see how it is, use it, delete it."""

import sys
from pathlib import Path

import click

from mailbearer.admin.speech import Json
from mailbearer.cli.ask import PASTE_MAX, confirm, held, listed, perform, served, text
from mailbearer.cli.paint import as_json, bold, dim, moment, table, until, word


@click.group()
def token() -> None:
    """Get, show, use and delete tokens."""


@token.command("get")
@click.argument("name", metavar="SERVICE")
@click.option(
    "--flow", type=click.Choice(["device", "code"]), help="Which way to sign in; the provider's first if left out."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--no-wait", is_flag=True, help="Show code or link and leave; the service waits, or `token wait`.")
@click.option("--again", is_flag=True, help="Give up a sign-in that is under way and start over.")
@click.option(
    "--open/--no-open", "open_browser", default=False, help="Open the sign-in page in this computer's browser."
)
@click.option("--json", "machine", is_flag=True, help="For machines; implies --yes.")
@click.pass_obj
def get_token(
    folder: Path, name: str, flow: str | None, yes: bool, no_wait: bool, again: bool, open_browser: bool, machine: bool
) -> int:
    """Get a token for SERVICE.

    Shows code, link and QR code, and waits until somebody has signed in.
    """
    from mailbearer.cli.sign_in import SignIn

    with SignIn(folder, name, machine=machine, open_browser=open_browser) as sign_in:
        sign_in.plan(flow or "")
        if not (yes or machine):
            _confirm(folder, name)
        try:
            sign_in.begin(flow or "", replace=again)
            if no_wait:
                if not (machine or served(folder)):
                    click.echo(dim(f"No service runs to wait for it: mailbearer token wait {name}"), err=True)
                return 0
            result = sign_in.wait()
        except KeyboardInterrupt:
            if not sign_in.begun:
                raise
            told = f"\nNot waited for any more. Go on: mailbearer token wait {name} · end it: token cancel {name}"
            click.echo(told, err=True)
            return 1
    _tell(result, machine=machine)
    return 0


def _tell(result: dict[str, Json], *, machine: bool) -> None:
    if machine:
        as_json(result, lines=True)
    else:
        click.echo(f"{word(text(result, 'status'))}  {text(result, 'account')}")


def _confirm(folder: Path, name: str) -> None:
    view = perform(folder, "service.show", {"service": name})
    account = bold(text(held(view, "settings"), "account"))
    lines = [f"Get a token for {account} at {text(view, 'provider_name')}?"]
    if text(held(view, "token"), "status") == "Retrieved":
        lines.append(dim("The present token stays in use until the new one is complete."))
    confirm("\n".join((*lines, "OK")), yes=False)


@token.command("wait")
@click.argument("name", metavar="SERVICE")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def token_wait(folder: Path, name: str, machine: bool) -> None:
    """Wait for the sign-in that is under way."""
    from mailbearer.cli.sign_in import wait_for_provider

    _tell(wait_for_provider(folder, name), machine=machine)


@token.command("status")
@click.argument("name", metavar="[SERVICE]", required=False)
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def token_status(folder: Path, name: str | None, machine: bool) -> None:
    """Show the status of one token or of all."""
    result = perform(folder, "token.status", {"service": name} if name else {})
    if machine:
        as_json(result)
        return
    tokens = listed(result, "tokens")
    if name and tokens:
        from mailbearer.cli.service import show_token

        show_token(tokens[0])
        return
    rows = [
        (
            bold(text(each, "service")),
            word(text(each, "status")),
            text(each, "account"),
            until(each.get("access_expires_at")),
            moment(each.get("idle_dies_at")),
            text(held(each, "reason") or held(each, "trouble"), "text"),
        )
        for each in tokens
    ]
    table(("SERVICE", "TOKEN", "SIGNED IN AS", "ENDS", "LAPSES IF UNUSED", "REASON"), rows)


@token.command("access")
@click.argument("name", metavar="SERVICE")
@click.pass_obj
def token_access(folder: Path, name: str) -> None:
    """Print a valid access token and nothing else."""
    click.echo(text(perform(folder, "token.access", {"service": name}), "access_token"))


@token.command("refresh")
@click.argument("name", metavar="SERVICE")
@click.pass_obj
def token_refresh(folder: Path, name: str) -> None:
    """Renew the token now."""
    result = perform(folder, "token.refresh", {"service": name})
    told = "Renewed." if result.get("renewed") is True else "Not renewed: it is less than a minute old."
    click.echo(f"{told} Good until {moment(result.get('access_expires_at'))}.")


@token.command("delete")
@click.argument("name", metavar="SERVICE")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "machine", is_flag=True, help="For machines; implies --yes.")
@click.pass_obj
def token_delete(folder: Path, name: str, yes: bool, machine: bool) -> None:
    """Delete the token of SERVICE.

    Here, and where it can be revoked also at the provider.
    """
    if not (yes or machine):
        confirm(f"Delete the token of {name}? What it is used for stops until a new one is retrieved. OK", yes=False)
    result = perform(folder, "token.delete", {"service": name})
    if machine:
        as_json(result)
        return
    click.echo(f"{word(text(result, 'status'))}  {_revocation(result)}")


def _revocation(result: dict[str, Json]) -> str:
    if result.get("existed") is not True:
        return "There was no token."
    others = result.get("shared_with")
    if result.get("revoked") is None and isinstance(others, list) and others:
        return f"It was not revoked at the provider, because {others[0]} uses the same account."
    match result.get("revoked"):
        case True:
            return "The provider has revoked it."
        case False:
            return "The provider could not be told; end the sign-in on the account's security page."
        case _:
            return "This provider offers no revocation; end the sign-in on the account's security page."


@token.command("paste")
@click.argument("name", metavar="[SERVICE]", default="")
@click.option("--json", "machine", is_flag=True, help="For machines.")
@click.pass_obj
def token_paste(folder: Path, name: str, machine: bool) -> None:
    """Hand in the address of the last page.

    It is read from standard input, not from the command line, where others could read the code in it.
    """
    if sys.stdin.isatty():
        click.echo("Paste the whole address of the page that did not load:", err=True)
    address = sys.stdin.readline(PASTE_MAX).strip()
    _tell(perform(folder, "token.redirect", {"url": address, "service": name}), machine=machine)


@token.command("cancel")
@click.argument("name", metavar="SERVICE")
@click.pass_obj
def token_cancel(folder: Path, name: str) -> None:
    """Give up the sign-in under way; a held token stays."""
    result = perform(folder, "token.cancel", {"service": name})
    click.echo(word(text(result, "status")))
