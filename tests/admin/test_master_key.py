"""A new key: everything opens with it, and a kill at any step leaves a key that opens everything."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailbearer.admin.master_key import KeyPlace, rotate
from mailbearer.app import open_app
from mailbearer.config.schema import Config, KeySection, KeySourceKind
from mailbearer.errors import ConflictError, VaultError
from mailbearer.vault.keys import KeySource
from tests.admin.room import Office, office

SETTINGS = {"primary_server": "mail.example", "port": "587", "auth": "password", "account": "a", "password": "hunter2"}


async def filled(folder: Path) -> None:
    async with office(folder) as desk:
        await desk.do("service.set", service="smtp", values={**SETTINGS})
        await desk.do("provider.set", provider="google", values={"client_secret": "of-google"})


async def opened(folder: Path) -> tuple[str, str]:
    async with open_app(folder, Config()) as app:
        password = (await app.services.opened("smtp")).settings.password
        secret = (await app.directory.registration("google")).client_secret
        assert password is not None
        assert secret is not None
        return password.reveal(), secret.reveal()


async def test_everything_opens_with_the_new_key(tmp_path: Path) -> None:
    await filled(tmp_path)
    before = (tmp_path / "vault.key").read_bytes()
    async with office(tmp_path) as desk:
        result = await desk.do("vault.rotate")
        assert result["count"] == 2
        key = (await desk.do("system.status"))["key"]
    assert (tmp_path / "vault.key").read_bytes() != before
    assert await opened(tmp_path) == ("hunter2", "of-google")
    async with office(tmp_path) as desk:
        assert (await desk.do("system.status"))["key"] == result["key"] != key


async def test_key_is_not_changed_while_others_have_the_store_open(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with office(tmp_path) as one, office(tmp_path):
        with pytest.raises(ConflictError) as caught:
            await one.do("vault.rotate")
    assert caught.value.code == "MB-W35"
    async with open_app(tmp_path, Config(), serving=True) as app:
        with pytest.raises(ConflictError):
            await rotate(app.store, KeyPlace(KeySource.ENV, tmp_path / "vault.key"))


STEPS = """
import asyncio, os, signal, sys
from pathlib import Path
from mailbearer.admin import master_key
from mailbearer.app import open_app
from mailbearer.config.schema import Config
from mailbearer.store.store import Store
from mailbearer.vault import rotation

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

async def rewrapped(self, rewrap, *, check, real=Store.rewrap):
    await real(self, rewrap, check=check)
    die()

step = sys.argv[2]
if step == "before sealing":
    Store.rewrap = die
elif step == "after sealing":
    Store.rewrap = rewrapped
elif step == "half a key":
    def begin(path):
        path.with_name(path.name + ".new").write_bytes(b"half")
        die()
    rotation.begin = begin

async def main():
    async with open_app(Path(sys.argv[1]), Config()) as app:
        await master_key.rotate(app.store, master_key.KeyPlace(master_key.KeySource.FILE, app.store.folder.key))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("step", ["half a key", "before sealing", "after sealing"])
async def test_killed_at_any_step_everything_opens_afterwards(tmp_path: Path, step: str) -> None:
    await filled(tmp_path)
    before = (tmp_path / "vault.key").read_bytes()
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", STEPS, str(tmp_path), step], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert await opened(tmp_path) == ("hunter2", "of-google")
    assert ((tmp_path / "vault.key").read_bytes() == before) is (step != "after sealing")
    async with office(tmp_path) as desk:
        assert (await desk.do("vault.rotate"))["count"] == 2, "and it can be done again"
    assert await opened(tmp_path) == ("hunter2", "of-google")


async def test_other_key_is_refused_and_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path / "one")
    await filled(tmp_path / "two")
    (tmp_path / "one" / "vault.key").write_bytes((tmp_path / "two" / "vault.key").read_bytes())
    with pytest.raises(VaultError) as caught:
        await opened(tmp_path / "one")
    assert caught.value.code == "MB-D08"


async def test_key_that_a_command_prints(tmp_path: Path) -> None:
    await filled(tmp_path)
    section = KeySection(KeySourceKind.COMMAND, command=("cat", str(tmp_path / "vault.key")))
    async with open_app(tmp_path, Config(key=section)) as app:
        assert (await app.services.opened("smtp")).settings.password is not None
        with pytest.raises(ConflictError) as caught:
            await Office(app).do("vault.rotate")
    assert caught.value.code == "MB-W36"
