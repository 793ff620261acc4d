from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.config.load import load_config, parse_config
from mailbearer.config.schema import SECTIONS, Config, KeySourceKind, LogFormat, keys_of
from mailbearer.config.section import split_address
from mailbearer.errors import InvalidInputError, MailbearerError


@given(st.binary(max_size=300))
def test_any_bytes_give_a_configuration_or_our_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("config")
    (folder / "mailbearer.toml").write_bytes(content)
    try:
        load_config(folder)
    except MailbearerError as error:
        assert error.message


@given(
    st.dictionaries(
        st.sampled_from(list(SECTIONS)),
        st.dictionaries(
            st.sampled_from(["address", "enabled", "source", "command", "level", "reserve_mb", "file", "x"]),
            st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.lists(st.integers(), max_size=2)),
            max_size=3,
        ),
        max_size=3,
    )
)
def test_any_tables_give_a_configuration_or_our_error(tables: dict[str, object]) -> None:
    try:
        parse_config(tables)
    except MailbearerError as error:
        assert error.code in {"MB-W05", "MB-W26"}


def test_no_file_means_all_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path) == Config()


def test_every_section_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "mailbearer.toml").write_text(
        '[web]\naddress = "[::1]:0"\nenabled = false\n'
        '[key]\nsource = "command"\ncommand = ["keyring", "get", "mailbearer", "key"]\n'
        '[log]\nlevel = "debug"\nformat = "json"\n[queue]\nreserve_mb = 5\nmessage_mb = 35\n'
        "[practice]\nenabled = true\n"
    )
    config = load_config(tmp_path)
    assert (config.web.enabled, config.key.source, config.key.command[0]) == (False, KeySourceKind.COMMAND, "keyring")
    assert (config.log.format, config.queue.reserve_mb, config.practice.enabled) == (LogFormat.JSON, 5, True)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[wev]\n", "wev"),
        ("[web]\nport = 1\n", "port"),
        ("web = 1\n", "web"),
        ("[web]\naddress = 8080\n", "address"),
        ('[web]\naddress = "8080"\n', "address"),
        ('[web]\naddress = "h:70000"\n', "address"),
        ('[web]\nenabled = "yes"\n', "enabled"),
        ('[key]\nsource = "tpm"\n', "source"),
        ('[key]\nsource = "command"\n', "command"),
        ("[key]\ncommand = [1]\n", "command"),
        ('[log]\nlevel = "loud"\n', "level"),
        ("[queue]\nmessage_mb = 0\n", "message_mb"),
        ("[queue]\nreserve_mb = true\n", "reserve_mb"),
        ("[queue\n", "mailbearer.toml"),
        ("#" * 70_000, "mailbearer.toml"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mailbearer.toml").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        load_config(tmp_path)
    assert named in caught.value.message


def test_an_unreadable_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "mailbearer.toml").mkdir()
    with pytest.raises(MailbearerError) as caught:
        load_config(tmp_path)
    assert caught.value.code == "MB-D01"


def test_addresses_are_split() -> None:
    assert split_address("[::1]:80", field="x") == ("::1", 80)
    assert split_address("0.0.0.0:8080", field="x") == ("0.0.0.0", 8080)


def test_every_section_knows_its_keys() -> None:
    assert all(keys_of(section) for section in SECTIONS)
