"""M2: the fields of the SMTP service; choosing a provider fills in what is known."""

import json
from pathlib import Path

import pytest

from mailbearer.errors import MailbearerError
from tests.flows.house import ANNA, House, held, run, text

LABELS = (
    "Primary Server",
    "Secondary Server",
    "Port Number",
    "Timeout",
    "Sender Name",
    "Sender Address",
    "Enable SSL/TLS",
    "Authentication Method",
    "Provider",
    "Account Name",
)


async def test_m02_choosing_a_provider_fills_in_server_port_and_tls(tmp_path: Path) -> None:
    empty = json.loads((await run(tmp_path / "data", "service", "show", "smtp", "--json")).out)
    assert tuple(empty["labels"].values())[:10] == LABELS
    assert (empty["settings"]["tls"], empty["settings"]["auth"]) == ("starttls", "oauth2")
    chosen = await run(
        tmp_path / "data", "service", "set", "smtp", "provider=microsoft365", f"account={ANNA}", "--json"
    )
    settings = json.loads(chosen.out)["settings"]
    assert (settings["primary_server"], settings["port"], settings["tls"]) == ("smtp.office365.com", "587", "starttls")
    assert settings["sender_address"] == ANNA


async def test_m02_every_field_is_kept(house: House) -> None:
    values = {
        "primary_server": "localhost",
        "secondary_server": "localhost",
        "port": "2587",
        "timeout": "90s",
        "sender_name": "Kopierer im Flur",
        "sender_address": "scan@practice.example",
        "tls": "tls",
        "auth": "oauth2",
        "provider": "practice",
        "account": "flur@practice.example",
    }
    await house.do("service.set", service="smtp", values={**values})
    shown = held(await house.do("service.show", service="smtp"), "settings")
    assert {name: shown[name] for name in values} == values


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("port", "0", "Port Number"),
        ("port", "70000", "65535"),
        ("timeout", "1", "Timeout"),
        ("account", "no domain@", "Account Name"),
        ("sender_address", "nodomain", "Sender Address"),
        ("tls", "perhaps", "Enable SSL/TLS"),
        ("auth", "magic", "Authentication Method"),
        ("provider", "gmial", "gmial"),
        ("primary_server", "https://mail", "Primary Server"),
        ("colour", "red", "colour"),
    ],
)
async def test_m02_wrong_value_is_named_and_nothing_changes(house: House, name: str, value: str, told: str) -> None:
    before = await house.do("service.show", service="smtp")
    with pytest.raises(MailbearerError, match=told):
        await house.do("service.set", service="smtp", values={"timeout": "33s", name: value})
    assert await house.do("service.show", service="smtp") == before
    assert text(held(before, "settings"), "timeout") != "33s"
