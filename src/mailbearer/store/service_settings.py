"""The settings of a service as JSON and back, without the password (that column is sealed).

A field that is missing reads as its default, so that a new field needs no migration.
"""

from collections.abc import Mapping
from datetime import timedelta

from mailbearer.model.service import (
    Destination,
    DestinationKind,
    PopSettings,
    ServiceKind,
    SmtpSettings,
)
from mailbearer.store import rows


def to_json(settings: SmtpSettings | PopSettings) -> str:
    """Return ``settings`` as their column keeps them."""
    return rows.dumps(_smtp_fields(settings) if isinstance(settings, SmtpSettings) else _pop_fields(settings))


def from_json(kind: ServiceKind, text: str) -> SmtpSettings | PopSettings:
    """Return the settings that ``text`` holds.

    Raises:
        StoreError: MB-D02, it holds none.
    """
    fields = _Fields(rows.as_mapping(rows.loads(text)))
    return _smtp_settings(fields) if kind is ServiceKind.SMTP else _pop_settings(fields)


def _smtp_fields(settings: SmtpSettings) -> Mapping[str, object]:
    return {
        "primary_server": settings.primary_server,
        "secondary_server": settings.secondary_server,
        "port": settings.port,
        "timeout": rows.from_span(settings.timeout),
        "sender_name": settings.sender_name,
        "sender_address": settings.sender_address,
        "tls": settings.tls,
        "auth": settings.auth,
        "provider": settings.provider,
        "account": settings.account,
        "sasl_user": settings.sasl_user,
    }


def _smtp_settings(fields: "_Fields") -> SmtpSettings:
    default = SmtpSettings()
    return SmtpSettings(
        primary_server=fields.text("primary_server"),
        secondary_server=fields.text("secondary_server"),
        port=fields.number("port", default.port),
        timeout=fields.span("timeout", default.timeout),
        sender_name=fields.text("sender_name"),
        sender_address=fields.text("sender_address"),
        tls=fields.word("tls", default.tls),
        auth=fields.word("auth", default.auth),
        provider=fields.text("provider"),
        account=fields.text("account"),
        sasl_user=fields.text("sasl_user"),
    )


def _pop_fields(settings: PopSettings) -> Mapping[str, object]:
    return {
        "server": settings.server,
        "port": settings.port,
        "check_interval": rows.from_span(settings.check_interval),
        "timeout": rows.from_span(settings.timeout),
        "tls": settings.tls,
        "auth": settings.auth,
        "provider": settings.provider,
        "account": settings.account,
        "sasl_user": settings.sasl_user,
        "after_receiving": settings.after_receiving,
        "destinations": [[destination.kind, destination.path] for destination in settings.destinations],
    }


def _pop_settings(fields: "_Fields") -> PopSettings:
    default = PopSettings()
    return PopSettings(
        server=fields.text("server"),
        port=fields.number("port", default.port),
        check_interval=fields.span("check_interval", default.check_interval),
        timeout=fields.span("timeout", default.timeout),
        tls=fields.word("tls", default.tls),
        auth=fields.word("auth", default.auth),
        provider=fields.text("provider"),
        account=fields.text("account"),
        sasl_user=fields.text("sasl_user"),
        after_receiving=fields.word("after_receiving", default.after_receiving),
        destinations=tuple(_destination(item) for item in rows.as_list(fields.value("destinations", []))),
    )


def _destination(item: object) -> Destination:
    kind, path = rows.as_texts(item, 2)
    return Destination(rows.word_of(DestinationKind, kind), path)


class _Fields:
    """A JSON object, read by name and type."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields

    def value(self, name: str, default: object) -> object:
        return self._fields.get(name, default)

    def text(self, name: str) -> str:
        return rows.as_text(self.value(name, ""))

    def number(self, name: str, default: int) -> int:
        return rows.as_number(self.value(name, default))

    def span(self, name: str, default: timedelta) -> timedelta:
        return rows.to_span(self.number(name, rows.from_span(default)))

    def word(self, name: str, default: rows.Word) -> rows.Word:
        return rows.word_of(type(default), rows.as_text(self.value(name, default)))
