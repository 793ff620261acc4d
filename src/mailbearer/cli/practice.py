"""``mailbearer practice``: the practice provider in the foreground, for trying things out without an account."""

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import click

from mailbearer.cli.paint import bold, dim, facts


@click.command()
@click.option("--access-ttl", default=3600, show_default=True, type=click.IntRange(1, 86_400), help="Seconds.")
@click.pass_obj
def practice(folder: Path, access_ttl: int) -> None:
    """Run the practice provider until Ctrl+C, and enter it as provider “practice”.

    Every account name at practice.example exists and needs no password.
    """
    with asyncio.Runner() as runner:
        runner.run(_run(folder, access_ttl))


async def _run(folder: Path, access_ttl: int) -> None:
    from mailbearer.admin.speech import Who
    from mailbearer.app import open_app
    from mailbearer.config.load import load_config
    from mailbearer.practice.options import PracticeOptions
    from mailbearer.practice.world import PracticeWorld

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = PracticeOptions(access_ttl=timedelta(seconds=access_ttl))
    async with PracticeWorld(folder / "practice", options) as world:
        async with open_app(folder, load_config(folder)) as app:
            await app.providers.enter(world.provider, world.registration, who=Who("practice", "command line"))
        click.echo(f"{bold('Practice (this machine)')} runs {dim('until Ctrl+C')}")
        facts([("Sign-in page", f"{world.issuer}/device"), ("Accounts", "anything@practice.example")])
        click.echo(dim("Try: mailbearer service set smtp provider=practice account=me@practice.example"))
        click.echo(dim("     mailbearer token get smtp"))
        await stop.wait()
