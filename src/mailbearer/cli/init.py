"""``mailbearer init``: make the data folder, its key, and a settings file that explains itself."""

import os
from pathlib import Path
from typing import Final

import click

from mailbearer.cli.ask import perform, text
from mailbearer.cli.paint import bold, facts, wrapped
from mailbearer.config.load import FILE_NAME
from mailbearer.errors import StoreError

SAMPLE: Final = """\
# What Mailbearer must know before its database is open. Everything here is optional; docs/settings.md has all of it.
# `systemctl reload mailbearer` (SIGHUP) takes changes over.

# Where copiers, NAS boxes and programs hand in their mail. Without any [[listener]] it is 127.0.0.1:2525, for programs
# on this machine. To let the network in, take the marks (#) away:
#
# [[listener]]
# name = "network"
# address = "0.0.0.0:2525"
# networks = ["192.168.0.0/16", "10.0.0.0/8"]   # who may connect; leave it out for everybody
#
# Devices that know no encryption, or only that of before 2010, by their addresses:
#
# [[listener]]
# name = "old devices"
# kind = "old-devices"
# address = "0.0.0.0:2526"
# networks = ["192.168.20.31", "192.168.20.32"]
# passwords_in_clear = true

# A folder into which scanners save by SMB or FTP: each file becomes a message and moves to sent/.
#
# [[watch]]
# folder = "/srv/scans/reception"
# to = ["reception@example.com"]
"""


@click.command()
@click.pass_obj
def init(folder: Path) -> None:
    """Make the data folder and its key, or look whether they are in order."""
    result = perform(folder, "system.status")
    settings = folder / FILE_NAME
    _write_once(settings)
    click.echo(f"The data folder is ready: {bold(str(folder))}")
    facts(
        [
            ("Key", text(result, "key")),
            ("Database", text(result, "database")),
            ("Settings", str(settings)),
            ("Services", text(result, "services")),
        ]
    )
    click.echo("Keep a copy of the key file apart from the folder: without it the stored tokens cannot be read.")
    click.echo(f"\n{bold('Next')}")
    for step in (
        "mailbearer provider detect ADDRESS, then mailbearer provider set PROVIDER client_id=…",
        "mailbearer service set smtp provider=PROVIDER account=ADDRESS",
        "mailbearer token get smtp",
        "mailbearer device add NAME, for each machine that is to send through this one",
        "mailbearer serve",
    ):
        click.echo(wrapped(step, indent="  "))


def _write_once(path: Path) -> None:
    """Write the settings file with its explanations, unless there is one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError("MB-D01", path=path, reason=error.strerror or "cannot be written") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(SAMPLE)
