import base64
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.errors import VaultError
from mailbearer.vault.keys import KeySource, MasterKey, load_key

KEY = MasterKey(bytes(range(32)))


def written_to(path: Path, octets: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(octets)
    path.chmod(mode)
    return path


def reason_why_not(source: KeySource, path: Path = Path("no.key"), **more: object) -> str:
    with pytest.raises(VaultError) as caught:
        load_key(source, path, **more)  # type: ignore[arg-type]
    assert caught.value.code == "MB-T25"
    return str(caught.value.fields["reason"])


@given(st.binary(max_size=60))
def test_any_bytes_are_a_key_or_our_error(octets: bytes) -> None:
    try:
        key = MasterKey.read(octets)
    except VaultError as error:
        assert error.code == "MB-T25"
    else:
        assert len(key.reveal()) == 32


@given(st.binary(min_size=32, max_size=32))
def test_a_key_reads_as_it_was_written(octets: bytes) -> None:
    assert MasterKey.read(MasterKey(octets).written()).reveal() == octets
    assert MasterKey.read(octets).reveal() == octets


def test_a_key_never_prints_itself() -> None:
    shown = f"{KEY!r} {KEY}"
    assert KEY.written().decode().strip() not in shown
    assert KEY.reveal().hex() not in shown
    assert KEY.id.hex() in shown


def test_keys_are_drawn_at_random() -> None:
    assert len({MasterKey.generate().id for _ in range(50)}) == 50


def test_a_missing_key_file_is_not_made_by_itself(tmp_path: Path) -> None:
    assert reason_why_not(KeySource.FILE, tmp_path / "vault.key") == "No such file or directory"
    assert not (tmp_path / "vault.key").exists()


def test_the_first_key_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    key = load_key(KeySource.FILE, path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(KeySource.FILE, path).id == key.id
    assert key.source == str(path)
    assert [file.name for file in tmp_path.iterdir()] == ["vault.key"]


def test_a_key_file_is_never_made_over_one_that_is_there(tmp_path: Path) -> None:
    path = written_to(tmp_path / "vault.key", KEY.written())
    assert load_key(KeySource.FILE, path, create=True).id == KEY.id


def test_of_many_who_make_the_first_key_all_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = pool.map(lambda _: load_key(KeySource.FILE, tmp_path / "vault.key", create=True).id, range(32))
    assert len(set(keys)) == 1


def test_a_key_file_in_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert reason_why_not(KeySource.FILE, tmp_path / "none" / "vault.key", create=True) == "No such file or directory"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = written_to(tmp_path / "vault.key", KEY.written(), mode)
    with pytest.raises(VaultError) as caught:
        load_key(KeySource.FILE, path)
    assert (caught.value.code, caught.value.fields["path"]) == ("MB-D07", str(path))


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "it has 0 bytes instead of 32"),
        (b"not a key at all!", "it is no base64 text"),
        (base64.b64encode(bytes(31)), "it has 31 bytes instead of 32"),
        ("schlüssel".encode(), "it is no base64 text"),
        (b"A" * 100_000, "it has 768 bytes instead of 32"),
    ],
)
def test_a_file_that_is_no_key_says_why(tmp_path: Path, octets: bytes, reason: str) -> None:
    assert reason_why_not(KeySource.FILE, written_to(tmp_path / "vault.key", octets)) == reason


def test_a_systemd_credential_is_read(tmp_path: Path) -> None:
    written_to(tmp_path / "mailbearer-key", KEY.reveal(), 0o440)  # systemd sets its own modes
    assert load_key(KeySource.CREDENTIAL, Path(), environment={"CREDENTIALS_DIRECTORY": str(tmp_path)}).id == KEY.id


def test_a_missing_systemd_credential_says_so(tmp_path: Path) -> None:
    assert reason_why_not(KeySource.CREDENTIAL, environment={}) == "systemd passed no credentials"
    folder = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert reason_why_not(KeySource.CREDENTIAL, environment=folder) == "No such file or directory"


def test_the_environment_gives_a_key() -> None:
    written = KEY.written().decode()
    assert load_key(KeySource.ENV, Path(), environment={"MAILBEARER_KEY": written}).id == KEY.id


def test_the_environment_of_the_process_is_what_counts_by_itself() -> None:
    assert reason_why_not(KeySource.ENV) == "the variable is not set"


def test_a_variable_that_is_no_key_says_so() -> None:
    assert reason_why_not(KeySource.ENV, environment={"MAILBEARER_KEY": "\udcff"}) == "it is no base64 text"


def test_a_command_gives_a_key() -> None:
    command = (sys.executable, "-c", f"print({KEY.written().decode()!r})")
    assert load_key(KeySource.COMMAND, Path(), command=command).id == KEY.id


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((), "no command is set"),
        (("/nonexistent/program",), "it could not be run to its end"),
        (("/bin/sh", "-c", "echo secret >&2; exit 3"), "it ended with status 3"),
        (("/bin/sh", "-c", "echo hello"), "it is no base64 text"),
    ],
)
def test_a_command_without_a_key_says_why(command: tuple[str, ...], reason: str) -> None:
    assert reason_why_not(KeySource.COMMAND, command=command) == reason
