from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from mailbearer.config.load import load_config, parse_config
from mailbearer.config.schema import LISTS, BareLf, Config, ListenerKind, ListenerTls, keys_of
from mailbearer.errors import InvalidInputError, MailbearerError

VALUES = st.one_of(
    st.text(max_size=20),
    st.integers(),
    st.booleans(),
    st.lists(st.one_of(st.text(max_size=9), st.integers()), max_size=2),
    st.sampled_from(["127.0.0.1:0", "0.0.0.0:587", "none", "both", "old-devices", "/srv/x"]),
)


@given(st.sampled_from(list(LISTS)).flatmap(lambda name: st.tuples(
    st.just(name), st.lists(st.dictionaries(st.sampled_from([*keys_of(name), "x"]), VALUES, max_size=5), max_size=3)
)))  # fmt: skip
def test_any_entries_give_a_configuration_or_our_error(entries: tuple[str, list[dict[str, object]]]) -> None:
    try:
        parse_config(dict([entries]))
    except MailbearerError as error:
        assert error.code in {"MB-W05", "MB-W26"}


def test_without_a_word_one_listener_is_for_this_machine_only() -> None:
    (listener,) = Config().listeners
    assert (listener.address, listener.tls, listener.passwords_in_clear) == ("127.0.0.1:2525", ListenerTls.BOTH, True)
    assert parse_config({}).listeners == Config().listeners
    assert parse_config({"listener": []}).listeners == ()


def test_listeners_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "mailbearer.toml").write_text(
        '[[listener]]\nname = "net"\naddress = "0.0.0.0:587"\ntls = "starttls"\nsize_mb = 50\nbare_lf = "refuse"\n'
        'trusted_proxies = ["192.0.2.1"]\ncertificate = "/c.pem"\nkey = "/k.pem"\nreceived = false\n'
        '[[listener]]\nkind = "old-devices"\naddress = "[::]:2526"\nnetworks = ["192.0.2.0/24"]\n'
        "passwords_in_clear = true\n"
        '[[watch]]\nfolder = "/srv/scans/"\nto = ["ada@x.example"]\nsubject = "Scan {name}"\nsettle_seconds = 3\n'
    )
    config = load_config(tmp_path)
    net, old = config.listeners
    assert (net.size_mb, net.bare_lf, net.passwords_in_clear, net.received) == (50, BareLf.REFUSE, False, False)
    assert (old.name, old.kind, old.tls) == ("port 2526", ListenerKind.OLD_DEVICES, ListenerTls.BOTH)
    (watch,) = config.watches
    assert (watch.folder, watch.service, watch.settle_seconds) == ("/srv/scans", "smtp", 3)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[listener]\n", "listener"),
        ("listener = 1\n", "listener"),
        ("listener = [1]\n", "listener"),
        ("[[listener]]\nport = 1\n", "port"),
        ('[[listener]]\naddress = "2525"\n', "address"),
        ('[[listener]]\ntls = "ssl"\n', "tls"),
        ('[[listener]]\naddress = "0.0.0.0:25"\ntls = "none"\n', "tls"),
        ('[[listener]]\naddress = "0.0.0.0:25"\npasswords_in_clear = true\n', "passwords_in_clear"),
        ('[[listener]]\nkind = "old-devices"\n', "networks"),
        ('[[listener]]\nnetworks = ["nowhere"]\n', "networks"),
        ('[[listener]]\nkey = "/k.pem"\n', "key"),
        ("[[listener]]\nsize_mb = 0\n", "size_mb"),
        ("[[listener]]\nrecipients = true\n", "recipients"),
        ('[[listener]]\nname = ""\n', "name"),
        ("[[listener]]\n[[listener]]\n", "name"),
        ('[[listener]]\nname = "a"\n[[listener]]\nname = "b"\n', "address"),
        ("[[listener]]\n" * 33, "listener"),
        ("[[watch]]\n", "folder"),
        ('[[watch]]\nfolder = "scans"\nto = ["a@b.example"]\n', "folder"),
        ('[[watch]]\nfolder = "/a/../b"\nto = ["a@b.example"]\n', "folder"),
        ('[[watch]]\nfolder = "/a"\n', "to"),
        ('[[watch]]\nfolder = "/a"\nto = ["nobody"]\n', "to"),
        ('[[watch]]\nfolder = "/a"\nto = ["a@b.example"]\nsettle_seconds = 0\n', "settle_seconds"),
        ('[[watch]]\nfolder = "/a"\nto = ["a@b.example"]\n' * 2, "folder"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mailbearer.toml").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        load_config(tmp_path)
    assert named in caught.value.message


def test_two_listeners_may_ask_for_a_free_port() -> None:
    entries = [{"name": name, "address": "127.0.0.1:0"} for name in "ab"]
    assert len(parse_config({"listener": entries}).listeners) == 2
