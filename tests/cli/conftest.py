"""A practice world for each module, a data folder with settings and tokens for each test, and ways to run commands."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailbearer.admin.speech import Json
from mailbearer.cli.main import run
from tests.fakes.practice_thread import PracticeThread

COMMAND = str(Path(sys.executable).parent / "mailbearer")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def body(self) -> dict[str, Json]:
        read: object = json.loads(self.out)
        assert isinstance(read, dict)
        return read


@dataclass(frozen=True)
class Here:
    """Runs commands in this process."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def __call__(self, *words: str, code: int = 0, text: bytes = b"") -> Done:
        """Run a command with ``text`` as standard input and hold it to its exit code."""
        entered = self.folder.parent / "stdin"
        entered.write_bytes(text)
        self.capture.readouterr()
        with entered.open(encoding="utf-8") as stdin:
            self.patch.setattr(sys, "stdin", stdin)
            got = run(["--data", str(self.folder), *words])
        told = self.capture.readouterr()
        assert got == code, told
        return Done(got, told.out, told.err)

    def state(self) -> list[dict[str, Json]]:
        """Return everything that commands may change."""
        return [
            self("service", "list", "--json").body,
            self("provider", "list", "--json").body,
            self("provider", "show", "practice", "--json").body,
            self("queue", "list", "--all", "--json").body,
        ]


def process(folder: Path, *words: str, text: str = "", code: int = 0, **environment: str) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [COMMAND, "--data", str(folder), *words],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, **environment},
    )
    assert done.returncode == code, done
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PracticeThread]:
    with PracticeThread(tmp_path_factory.mktemp("practice")) as thread:
        yield thread


@pytest.fixture(scope="module")
def furnished(practice: PracticeThread, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("furnished") / "data"
    practice.furnish(folder)
    return folder


@pytest.fixture
def folder(furnished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(furnished, tmp_path / "data"))


@pytest.fixture
def here(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(folder, capsys, monkeypatch)
