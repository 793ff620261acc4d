"""What the page of the gateway says is what the listeners say and do."""

import re
import tomllib
from pathlib import Path

import pytest

from mailbearer.admin.device_fields import DEVICE_FIELDS
from mailbearer.cli.sendmail_options import IGNORED, IGNORED_WITH_VALUE
from mailbearer.config.load import parse_config
from mailbearer.listeners import limits, replies
from mailbearer.protocol.smtp import commands, server
from mailbearer.protocol.smtp.replies import Reply
from mailbearer.providers.catalogue import load_catalogue
from mailbearer.sending import limits as courier_limits, submitted
from tests.docs.reading import DOCS, PAGES, ROOT, name_of, text_of

SOURCE = ROOT / "src" / "mailbearer"
PAGE = text_of(DOCS / "gateway.md")
HEARD = re.findall(r"^\| `(\d{3} [245]\.\d+\.\d+ [^`…]+)", PAGE, re.MULTILINE)


def said_in(module: object) -> set[str]:
    """Return the wording of every refusal that stands in a module, by itself or in a table."""
    values = [
        each for value in vars(module).values() for each in (value.values() if isinstance(value, dict) else [value])
    ]
    return {
        f"{each.code} {each.enhanced} {each.text}" for each in values if isinstance(each, Reply) and each.code >= 400
    }


def limit_of(row: str) -> str:
    found = re.search(rf"^\| {re.escape(row)} \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert found is not None, row
    return found[1].strip()


def test_every_refusal_of_a_listener_is_explained() -> None:
    assert not said_in(replies) - set(HEARD)


def test_everything_that_the_administrator_hears_of_devices_is_explained() -> None:
    sources = [*(SOURCE / "listeners").glob("*.py"), SOURCE / "gateway.py"]
    told = {code for each in sources for code in re.findall(r"\bMB-G\d\d\b", text_of(each))}
    assert told > {"MB-G01", "MB-G05"}
    assert not {code for code in told if code not in text_of(DOCS / "observing.md")}


def test_every_reply_that_is_explained_can_be_heard() -> None:
    known = said_in(replies) | said_in(server) | said_in(commands) | {"235 2.7.0 Welcome", "250 2.0.0 Queued as "}
    assert not set(HEARD) - known


def test_the_limits_are_those_of_the_page() -> None:
    usual = limits.Limits()
    told = {
        "a message": f"{usual.size_max // 1_000_000} MB",
        "its header": f"{submitted.HEADER_MAX:,} octets",
        "recipients of a message": str(usual.recipients_max),
        "connections": f"{usual.connections:,}",
        "connections from one address (IPv6: one /64)": str(usual.connections_per_address),
        "a command line": f"{commands.COMMAND_MAX:,} octets",
        "mistakes in a connection": str(usual.mistakes_max),
        "refused sign-ins in a connection": str(usual.sign_ins_max),
        "until the first sign-in or MAIL": f"{usual.arrival:.0f} s",
        "a TLS handshake": f"{usual.handshake:.0f} s",
        "silence between commands": f"{usual.command:.0f} s",
        "a connection, ended between two messages": f"{usual.session / 60:.0f} min",
        f"slowness of a message, after {usual.data_grace:.0f} s": f"{usual.data_rate} octets a second",
        "replies left unread": f"{usual.unread:.0f} s",
    }
    assert {row: limit_of(row) for row in told} == told


@pytest.mark.parametrize("page", [page for page in PAGES if "```toml" in text_of(page)], ids=name_of)
def test_every_example_of_mailbearer_toml_can_be_read(page: Path) -> None:
    for block in re.findall(r"^( *)```toml\n(.*?)^ *```", text_of(page), re.MULTILINE | re.DOTALL):
        parse_config(tomllib.loads(block[1]))


def test_the_fields_of_a_device_are_those_of_its_page() -> None:
    table = text_of(DOCS / "devices.md").partition("## Fields")[2].partition("##")[0]
    named = re.findall(r"^\| `([a-z_]+)(?:=[a-z]+)?` \|", table, re.MULTILINE)
    assert sorted(named) == sorted([*DEVICE_FIELDS, "password"])


def test_every_field_that_a_page_gives_a_device_exists() -> None:
    for page in PAGES:
        for rest in re.findall(
            r"mailbearer device (?:add|set) \S+((?: [a-z_]+=(?:\"[^\"]*\"|[^\s`]+))+)", text_of(page)
        ):
            assert set(re.findall(r" ([a-z_]+)=", rest)) <= {*DEVICE_FIELDS, "password"}, (name_of(page), rest)


def test_the_options_that_sendmail_ignores_are_named() -> None:
    row = re.search(r"^\| `(-[^`]+)` \| taken and ignored \|$", text_of(DOCS / "sendmail.md"), re.MULTILINE)
    assert row is not None
    assert set(re.findall(r"-([A-Za-z])", row[1])) - {"b"} == IGNORED | IGNORED_WITH_VALUE


def test_the_limits_of_providers_are_those_of_the_catalogue() -> None:
    catalogue = load_catalogue()
    columns = [catalogue.get(each).limits for each in ("microsoft365", "outlook-com", "google")]
    page = text_of(DOCS / "sending.md")
    for name in ("connections", "messages_per_minute", "recipients_per_message", "recipients_per_day", "size"):
        row = re.search(rf"^\| `{name}` \|(.*)\|$", page, re.MULTILINE)
        assert row is not None
        told = [cell.strip().split(" ")[0].replace(",", "") for cell in row[1].split("|")[:3]]
        assert told == [str(getattr(each, name) or "–") for each in columns], name
    assert f"{courier_limits.LINES} where nothing is known" in page
