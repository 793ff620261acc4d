"""``mailbearer device`` as a person uses it, and as a program does."""

import json
import re
from pathlib import Path

import pytest

from mailbearer.cli.main import run


class Desk:
    """Runs commands on one data folder."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capture = capture

    def __call__(self, *words: str, code: int = 0) -> str:
        self.capture.readouterr()
        got = run(["--data", str(self.folder), *words])
        told = self.capture.readouterr()
        assert got == code, told
        return told.out + told.err


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path / "data", capsys)


def test_the_sheet_is_printed_and_its_password_never_again(desk: Desk) -> None:
    assert "There are none" in desk("device", "list")
    told = desk("device", "add", "copier-3f", "title=Copier 3F", "networks=192.0.2.31")
    found = re.search(r"Password +((?:[a-z2-7]{4}-){5}[a-z2-7]{4})\n", told)
    assert found is not None, told
    for expected in ("SMTP server", "127.0.0.1", "2525", "STARTTLS", "User name", "copier-3f"):
        assert expected in told
    later = desk("device", "show", "copier-3f") + desk("device", "list") + desk("audit", "list")
    assert found[1] not in later
    assert "192.0.2.31" in later


def test_a_reset_says_how_to_finish(desk: Desk) -> None:
    desk("device", "add", "nas")
    assert "device reset nas --finish" in desk("device", "reset", "nas")
    assert "old and new password" in desk("device", "list")
    desk("device", "reset", "nas", "--finish")
    assert len(json.loads(desk("device", "show", "nas", "--json"))["passwords"]) == 1
    assert "--finish" not in desk("device", "reset", "nas", "--at-once")


def test_a_password_of_choice_comes_from_a_file_and_is_told_nowhere(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("kelp otter 41 mason\n")
    told = desk("device", "add", "erp", f"password=@{tmp_path / 'secret'}")
    assert "kelp" not in told
    assert "the one that you chose" in told
    desk("device", "add", "other", "password=kelp otter 41 mason", code=2)


def test_fields_are_changed_and_a_device_is_removed(desk: Desk) -> None:
    desk("device", "add", "franker", "networks=192.0.2.9", "by_address=yes")
    assert "by its address" in desk("device", "list")
    assert "switched on" in desk("device", "set", "franker", "enabled=no").lower()
    assert "switched off" in desk("device", "list")
    assert "sent nothing yet" in desk("device", "history", "franker")
    desk("device", "remove", "franker", "--yes")
    assert "MB-W20" in desk("device", "show", "franker", code=1)


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("add", "nas", "title"),
        ("set", "nas"),
        ("reset", "nas", "title=x"),
        ("reset", "nas", "--finish", "--at-once"),
        ("history", "nas", "--limit", "0"),
    ],
)
def test_what_is_misused_is_told(desk: Desk, words: tuple[str, ...]) -> None:
    desk("device", *words, code=2)


def test_doors_follow_the_configuration(desk: Desk) -> None:
    desk("device", "list")
    (desk.folder / "mailbearer.toml").write_text('[[listener]]\naddress = "192.0.2.7:465"\ntls = "implicit"\n')
    told = desk("device", "add", "nas")
    assert "192.0.2.7" in told
    assert "465" in told
    assert "SSL/TLS (some devices say SSL" in told
    (desk.folder / "mailbearer.toml").write_text("listener = []\n")
    assert "No listener is open" in desk("device", "show", "nas")
