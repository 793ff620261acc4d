"""The sections that may stand there several times: ``[[listener]]`` and ``[[watch]]``."""

import ipaddress
from collections.abc import Mapping
from typing import cast

from mailbearer.config.schema import (
    LISTENERS_MAX,
    WATCHES_MAX,
    BareLf,
    Config,
    ListenerKind,
    ListenerSection,
    ListenerTls,
    WatchSection,
    keys_of,
)
from mailbearer.config.section import Section, split_address, wrong
from mailbearer.errors import InvalidInputError
from mailbearer.model.envelope import is_address

SIZE_MB_MAX = 150  # what the largest provider takes


def read_listeners(tables: Mapping[str, object]) -> tuple[ListenerSection, ...]:
    """Return the listeners; that of the defaults when the file does not speak of any (``listener = []``: none)."""
    if "listener" not in tables:
        return Config().listeners
    found = tuple(map(_listener, _sections(tables, "listener", most=LISTENERS_MAX)))
    for what, values in (
        ("name", [each.name for each in found]),
        ("address", [each.address for each in found if not each.address.endswith(":0")]),
    ):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise wrong(f"[[listener]] {what}", f"“{twice}” is there twice")
    return found


def read_watches(tables: Mapping[str, object]) -> tuple[WatchSection, ...]:
    """Return the watched folders."""
    found = tuple(map(_watch, _sections(tables, "watch", most=WATCHES_MAX)))
    folders = [each.folder for each in found]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise wrong("[[watch]] folder", f"“{twice}” is there twice")
    return found


def is_loopback(host: str) -> bool:
    """Tell whether only programs on this machine reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _sections(tables: Mapping[str, object], name: str, *, most: int) -> list[Section]:
    entries = tables.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in cast("list[object]", entries)):
        raise wrong(name, f"may stand there several times, write it as [[{name}]]")
    listed = cast("list[dict[str, object]]", entries)
    if len(listed) > most:
        raise wrong(f"[[{name}]]", f"at most {most}")
    known = keys_of(name)
    for entry in listed:
        for key in entry:
            if key not in known:
                raise InvalidInputError("MB-W26", kind=f"[[{name}]]", field=key, known=", ".join(known))
    return [Section({name: entry}, name, title=f"[[{name}]]") for entry in listed]


def _listener(section: Section) -> ListenerSection:
    usual = ListenerSection()
    address = section.text("address", default=usual.address)
    host, port = split_address(address, field="[[listener]] address")
    networks = _networks(section, "networks")
    loopback = is_loopback(host)
    found = ListenerSection(
        name=section.text("name", default=f"port {port}"),
        kind=ListenerKind(section.one_of("kind", tuple(ListenerKind), default=usual.kind)),
        address=address,
        tls=ListenerTls(section.one_of("tls", tuple(ListenerTls), default=usual.tls)),
        certificate=section.text("certificate", default=""),
        key=section.text("key", default=""),
        networks=networks,
        trusted_proxies=_networks(section, "trusted_proxies"),
        passwords_in_clear=section.boolean("passwords_in_clear", default=loopback),
        bare_lf=BareLf(section.one_of("bare_lf", tuple(BareLf), default=usual.bare_lf)),
        received=section.boolean("received", default=True),
        size_mb=section.whole("size_mb", default=usual.size_mb, least=1, most=SIZE_MB_MAX),
        recipients=section.whole("recipients", default=usual.recipients, least=1, most=10_000),
        connections=section.whole("connections", default=usual.connections, least=1, most=50_000),
        connections_per_address=section.whole(
            "connections_per_address", default=usual.connections_per_address, least=1, most=50_000
        ),
    )
    _check(section, found, fenced=loopback or bool(networks))
    return found


def _check(section: Section, found: ListenerSection, *, fenced: bool) -> None:
    if not found.name.isprintable() or not 1 <= len(found.name) <= 40:
        raise section.wrong("name", "is a text of 1 to 40 characters")
    if found.kind is ListenerKind.OLD_DEVICES and not found.networks:
        raise section.wrong("networks", "names the old devices: nobody else may use encryption that is broken")
    if not fenced:
        if found.passwords_in_clear:
            raise section.wrong("passwords_in_clear", "goes only together with networks, or on 127.0.0.1")
        if found.tls is ListenerTls.NONE:
            raise section.wrong("tls", "may be none only together with networks, or on 127.0.0.1")
    if found.key and not found.certificate:
        raise section.wrong("key", "goes only together with certificate")


def _networks(section: Section, key: str) -> tuple[str, ...]:
    found = section.words(key)
    for each in found:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError as error:
            raise section.wrong(key, f"“{each}” is no address or range such as 192.168.20.0/24") from error
    return found


def _watch(section: Section) -> WatchSection:
    usual = WatchSection()
    folder = section.text("folder", default="")
    if not folder.startswith("/") or "/../" in f"{folder}/" or "\0" in folder:
        raise section.wrong("folder", "is an absolute path")
    to = section.words("to")
    if not to:
        raise section.wrong("to", "names at least one recipient")
    for each in to:
        if not is_address(each):
            raise section.wrong("to", f"“{each}” is no e-mail address")
    return WatchSection(
        folder=folder.rstrip("/") or "/",
        to=to,
        service=section.text("service", default=usual.service),
        subject=section.text("subject", default=usual.subject),
        text=section.text("text", default=""),
        settle_seconds=section.whole("settle_seconds", default=usual.settle_seconds, least=1, most=3_600),
    )
