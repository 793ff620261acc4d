"""Devices through their deeds, and the sheet of what to type in."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from mailbearer.admin.doors import CHOSEN, NETWORK_DOOR, NO_DOOR, Door, sheet
from mailbearer.admin.speech import Json
from mailbearer.config.load import parse_config
from mailbearer.errors import ConflictError, InvalidInputError, NotFoundError
from mailbearer.model.device import Credential, CredentialKind, Device, DeviceId
from mailbearer.model.secret import Secret
from mailbearer.model.service import ServiceId
from mailbearer.vault.derived import DEVICE_PASSWORDS, hash_fits, lasting_key, plain_password
from tests.admin.room import Office, office

COPIER = Device(DeviceId("copier"), "Copier", ServiceId("smtp"))
LOCAL = Door("local", ("127.0.0.1",), 2525, "both", passwords_in_clear=True, old_devices=False, local=True)
NETWORK = Door("net", ("192.0.2.7", "gate"), 587, "starttls", passwords_in_clear=False, old_devices=False, local=False)
OLD = Door("old", ("192.0.2.7",), 2526, "both", passwords_in_clear=True, old_devices=True, local=False)
PLAIN = Door("plain", ("192.0.2.7",), 25, "none", passwords_in_clear=True, old_devices=False, local=False)


def rows_of(result: dict[str, Json]) -> dict[str, str]:
    paper = result["sheet"]
    assert isinstance(paper, dict)
    rows = paper["rows"]
    assert isinstance(rows, list)
    return {str(row["label"]): str(row["value"]) for row in rows if isinstance(row, dict)}


async def credentials(desk: Office, name: str) -> tuple[Credential, ...]:
    return await desk.app.store.devices.credentials_of(DeviceId(name))


async def opens(desk: Office, password: str, credential: Credential) -> bool:
    key = await lasting_key(desk.app.vault, DEVICE_PASSWORDS, desk.app.store.meta.put_first)
    return hash_fits(key, plain_password(Secret(password)), credential.kept)


async def test_a_new_device_gets_a_password_that_is_shown_this_once(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        added = await desk.do("device.add", device="copier-3f", values={"title": "Copier 3F", "per_hour": "100"})
        password = rows_of(added)["Password"]
        assert len(password.replace("-", "")) == 24
        assert password.count("-") == 5
        shown = await desk.do("device.show", device="copier-3f")
        assert password not in str(shown)
        (credential,) = await credentials(desk, "copier-3f")
        assert await opens(desk, password, credential)
        assert await opens(desk, password.replace("-", " ").upper(), credential)
        trail = str(await desk.do("audit.list"))
        assert "device add" in trail
        assert password not in trail


async def test_a_reset_leaves_the_password_in_use_until_it_is_finished(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        first = rows_of(await desk.do("device.add", device="nas", values={}))["Password"]
        second = rows_of(await desk.do("device.reset", device="nas"))["Password"]
        held = await credentials(desk, "nas")
        assert [await opens(desk, first, held[0]), await opens(desk, second, held[1])] == [True, True]
        await desk.do("device.reset", device="nas", finish=True)
        (left,) = await credentials(desk, "nas")
        assert await opens(desk, second, left)


async def test_a_second_reset_keeps_the_password_that_the_device_used_last(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.do("device.add", device="nas", values={})
        await desk.do("device.reset", device="nas")
        _, newer = await credentials(desk, "nas")
        await desk.app.store.devices.note_use(newer, at=desk.app.clock.now())
        await desk.do("device.reset", device="nas")
        kept = {each.id for each in await credentials(desk, "nas")}
        assert len(kept) == 2
        assert newer.id in kept


async def test_a_reset_at_once_ends_every_other_password(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        first = rows_of(await desk.do("device.add", device="nas", values={}))["Password"]
        await desk.do("device.reset", device="nas", at_once=True)
        (left,) = await credentials(desk, "nas")
        assert not await opens(desk, first, left)


async def test_a_chosen_password_is_kept_as_argon2id(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        added = await desk.do("device.add", device="erp", values={}, password="kelp otter 41 mason")
        assert "kelp" not in str(added)
        (credential,) = await credentials(desk, "erp")
        assert credential.kind is CredentialKind.CHOSEN
        assert credential.kept.startswith(b"$argon2id$v=19$m=47104,t=1,p=1$")
        with pytest.raises(InvalidInputError, match="at least 12"):
            await desk.do("device.reset", device="erp", password="short")


async def test_a_device_known_by_address_needs_no_password(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        values: Json = {"networks": "192.0.2.31", "by_address": "yes"}
        added = await desk.do("device.add", device="franker", values=values)
        assert "Password" not in rows_of(added)
        assert await credentials(desk, "franker") == ()
        with pytest.raises(InvalidInputError, match="is franker already"):
            await desk.do("device.add", device="other", values=values)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("Copier", {}, "Name"),
        ("", {}, "Name"),
        ("copier", {"nope": "1"}, "no field nope"),
        ("copier", {"service": "smtp.nope"}, "no service named"),
        ("copier", {"service": "pop.internet-fax"}, "does not send"),
        ("copier", {"service": ""}, "Service"),
        ("copier", {"networks": "192.0.2.300"}, "Allowed from"),
        ("copier", {"networks": " ".join(f"10.0.0.{n}" for n in range(101))}, "at most 100"),
        ("copier", {"by_address": "yes"}, "which address"),
        ("copier", {"by_address": "yes", "networks": "10.0.0.0/8"}, "too wide"),
        ("copier", {"by_address": "yes", "networks": "::/0"}, "too wide"),
        ("copier", {"by_address": "perhaps"}, "yes or no"),
        ("copier", {"allowed_senders": "nobody"}, "May send as"),
        ("copier", {"allowed_senders": "@"}, "May send as"),
        ("copier", {"from_policy": "forge"}, "Sender of its mail"),
        ("copier", {"per_hour": "-1"}, "Messages an hour"),
        ("copier", {"per_hour": "9" * 400}, "Messages an hour"),
        ("copier", {"size_max": "151"}, "Largest message"),
        ("copier", {"size_max": "1 GB"}, "Largest message"),
    ],
)
async def test_what_cannot_be_is_named_and_adds_nothing(
    tmp_path: Path, name: str, values: dict[str, Json], said: str
) -> None:
    async with office(tmp_path) as desk:
        with pytest.raises(InvalidInputError, match=said):
            await desk.do("device.add", device=name, values=values)
        assert await desk.do("device.list") == {"devices": []}


async def test_fields_can_be_typed_back_as_they_are_shown(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        values: Json = {
            "networks": "192.168.20.7/24, 2001:db8::1",
            "allowed_senders": "scan@clinic.example;@clinic.example",
            "from_policy": "as-is",
            "size_max": "25 mb",
            "enabled": "no",
        }
        added = await desk.do("device.add", device="copier", values=values)
        settings = added["settings"]
        assert isinstance(settings, dict)
        assert settings["networks"] == "192.168.20.0/24 2001:db8::1"
        assert settings["size_max"] == "25 MB"
        assert (await desk.do("device.set", device="copier", values=settings))["settings"] == settings
        assert rows_of(added)["Sender address"] == "scan@clinic.example"


async def test_a_removed_device_is_gone_with_its_passwords(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.do("device.add", device="nas", values={})
        with pytest.raises(ConflictError):
            await desk.do("device.add", device="nas", values={})
        await desk.do("device.remove", device="nas")
        for deed in ("device.show", "device.remove", "device.reset", "device.history"):
            with pytest.raises(NotFoundError):
                await desk.do(deed, device="nas")
        assert await credentials(desk, "nas") == ()


async def test_a_service_that_devices_use_is_not_removed(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        await desk.do("service.add", service="smtp.lab", values={})
        await desk.do("device.add", device="nas", values={"service": "smtp.lab"})
        with pytest.raises(ConflictError, match=r"Devices send through smtp\.lab"):
            await desk.do("service.remove", service="smtp.lab")


async def test_who_listens_hears_of_changes_and_of_nothing_else(tmp_path: Path) -> None:
    heard: list[int] = []

    async def told() -> None:
        heard.append(1)

    async with office(tmp_path) as desk:
        desk.app.deeds.told = told
        await desk.do("device.list")
        assert heard == []
        await desk.do("device.add", device="nas", values={})
        await desk.do("service.set", service="smtp", values={"sender_name": "Clinic"})
        with pytest.raises(NotFoundError):
            await desk.do("device.set", device="nope", values={})
        assert len(heard) == 3


@pytest.mark.parametrize(
    ("doors", "server", "port"),
    [((LOCAL,), "127.0.0.1", "2525"), ((LOCAL, PLAIN, OLD, NETWORK), "192.0.2.7 or gate", "587")],
)
def test_the_sheet_names_the_best_door(doors: tuple[Door, ...], server: str, port: str) -> None:
    paper = sheet(COPIER, "scan@clinic.example", doors, "abcd")
    rows = rows_of({"sheet": paper})
    assert (rows["SMTP server"], rows["Port"], rows["User name"]) == (server, port, "copier")


def test_the_sheet_tells_of_doors_for_devices_that_cannot_do_better() -> None:
    notes = str(sheet(COPIER, "", (LOCAL, PLAIN, OLD, NETWORK), "")["notes"])
    assert "has no encryption: port 25" in notes
    assert "knows old encryption only: port 2526" in notes
    assert "on this machine only" in str(sheet(COPIER, "", (LOCAL,), "")["notes"])
    assert sheet(COPIER, "", (), "")["notes"] == [NO_DOOR]


def test_the_sheet_speaks_of_no_door_that_the_device_cannot_reach() -> None:
    here_only = replace(PLAIN, name="inner", port=2527, local=True)
    fenced = replace(NETWORK, networks=("192.0.2.0/24",))
    notes = str(sheet(COPIER, "", (here_only, fenced, replace(OLD, networks=("192.0.2.31",))), "")["notes"])
    assert "2527" not in notes
    assert "“net” lets in 192.0.2.0/24 only" in notes
    assert "(listener “old”, from 192.0.2.31 only)" in notes


def test_the_sheet_says_what_to_write_when_no_door_leads_to_the_network() -> None:
    assert sheet(COPIER, "", (LOCAL,), "")["toml"] == list(NETWORK_DOOR)
    assert sheet(COPIER, "", (), "")["toml"] == list(NETWORK_DOOR)
    assert sheet(COPIER, "", (LOCAL, NETWORK), "")["toml"] == []
    (listener,) = parse_config(tomllib.loads("\n".join(NETWORK_DOOR))).listeners
    assert listener.tls.value == "both"


def test_the_sheet_names_the_certificate_that_a_device_may_want() -> None:
    assert "/data/certificates/own-ec.crt" in str(sheet(COPIER, "", (NETWORK,), "", certificates="/data/certificates"))
    assert "own-ec" not in str(sheet(COPIER, "", (replace(NETWORK, own_certificate=False),), ""))


def test_only_a_new_password_is_to_be_written_down() -> None:
    said = "cannot be shown again"
    assert said in str(sheet(COPIER, "", (NETWORK,), "abcd"))
    assert said not in str(sheet(COPIER, "", (NETWORK,), CHOSEN))
    assert said not in str(sheet(COPIER, "", (NETWORK,), ""))


async def test_a_service_without_token_is_told_with_its_devices(tmp_path: Path) -> None:
    async with office(tmp_path) as desk:
        added = await desk.do("device.add", device="nas", values={})
        assert isinstance(added["sheet"], dict)
        assert added["sheet"]["token_missing"] == "smtp"
