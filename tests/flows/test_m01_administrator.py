"""M1: settings and tokens are the administrator's; everyone else is refused, on every surface."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from mailbearer.control.client import connect
from mailbearer.control.server import ControlServer
from tests.flows.house import House

NOBODY = 65534
STRANGER = """
use IO::Socket::UNIX; $SIG{PIPE} = "IGNORE"; my $peer = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "refused: $!\\n";
print $peer '{"deed":"token.access","arguments":{"service":"smtp"}}' . "\\n"; $peer->flush; print scalar <$peer>;
"""


async def as_nobody(path: Path) -> str:
    perl = shutil.which("perl", path="/usr/bin:/bin")
    if os.geteuid() != 0 or perl is None:
        pytest.skip("needs root, who alone can become somebody else, and perl")
    process = await asyncio.create_subprocess_exec(
        perl,
        "-e",
        STRANGER,
        str(path),
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return (await process.communicate())[0].decode()


@asynccontextmanager
async def serving(house: House) -> AsyncIterator[Path]:
    """Have the control socket served, as a running service does."""
    socket = house.app.store.folder.socket
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(ControlServer(socket, house.app.deeds, house.clock).serve())
        while (peer := connect(socket)) is None:  # noqa: ASYNC110 - bound, and not listening yet
            await asyncio.sleep(0.002)
        peer.close()
        yield socket
        server.cancel()


@contextmanager
def opened_to_all(paths: list[Path]) -> Iterator[None]:
    """Take every protection away from files and folders while the block lasts."""
    before = {path: path.stat().st_mode for path in paths}
    try:
        for path in paths:
            path.chmod(0o777)
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


async def test_m01_nobody_else_reaches_data_folder_or_service(house: House) -> None:
    await house.get_token()
    async with serving(house) as socket:
        assert "Permission denied" in await as_nobody(socket)
    assert {path.stat().st_mode & 0o077 for path in [house.folder, *house.folder.rglob("*")]} == {0}


async def test_m01_service_asks_who_calls_even_where_the_folder_is_open(house: House) -> None:
    await house.get_token()
    async with serving(house) as socket:
        with opened_to_all([socket, *list(socket.parents)[:4]]):
            answer = json.loads(await as_nobody(socket))
    assert answer["error"]["code"] == "MB-W04"
    assert "result" not in answer
