"""What deeds answer: services, messages, items as JSON values, the same for every surface; never a secret."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from mailbearer import sentences
from mailbearer.admin.services import labels, shown
from mailbearer.admin.speech import Json
from mailbearer.model.check import CheckReport, Step
from mailbearer.model.message import MessageState, QueuedMessage, ReceivedItem
from mailbearer.model.service import Service


def time_text(moment: datetime | None) -> str | None:
    """Return a time in ISO 8601, None for none."""
    return None if moment is None else moment.isoformat(timespec="seconds")


def reason(code: str, fields: Mapping[str, object], detail: str = "") -> dict[str, Json]:
    """Return a code with its sentences."""
    return {
        "code": code,
        "text": sentences.what(code, fields),
        "action": sentences.why(code, fields),
        "actor": sentences.actor(code),
        "detail": detail,
    }


def service_view(
    service: Service, provider_name: str, token: dict[str, Json], warnings: tuple[str, ...]
) -> dict[str, Json]:
    """Return a service with its token."""
    return {
        "id": service.id,
        "kind": service.kind,
        "title": service.title,
        "places": list(service.places),
        "version": service.version,
        "settings": dict(shown(service)),
        "labels": dict(labels(service)),
        "provider_name": provider_name,
        "token": token,
        "warnings": list(warnings),
    }


def step_view(step: Step) -> dict[str, Json]:
    """Return one step of a Connection Test."""
    return {"name": step.name, "ok": step.ok, "ms": round(step.ms, 1), "detail": step.detail}


def report_view(report: CheckReport) -> dict[str, Json]:
    """Return a whole Connection Test."""
    return {
        "service": report.service,
        "ok": report.ok,
        "steps": [step_view(step) for step in report.steps],
        "diagnosis": None if report.diagnosis is None else dict[str, Json](asdict(report.diagnosis)),
    }


def message_view(message: QueuedMessage, server: Mapping[str, object]) -> dict[str, Json]:
    """Return a message of the queue; ``server`` has ``host`` and ``port`` by which it leaves."""
    told = reason(message.code, {**server, **message.facts}) if message.code else {}
    if message.state is MessageState.HELD and not message.code:
        told = {"text": "Somebody holds it.", "action": f"mailbearer queue retry {message.id} lets it go."}
    return {
        "id": message.id,
        "service": message.service,
        "device": message.device,
        "sender": message.envelope.reverse_path,
        "recipients": [
            {"address": each.address, "state": each.state, "reply": each.reply} for each in message.recipients
        ],
        "size": message.size,
        "message_id": message.message_id,
        "subject": message.subject,
        "state": message.state,
        "created_at": time_text(message.created_at),
        "next_try": time_text(message.next_try),
        "attempts": message.attempts,
        "code": message.code,
        "reason": told.get("text", ""),
        "action": told.get("action", ""),
        "reply": message.reply,
    }


def item_view(item: ReceivedItem) -> dict[str, Json]:
    """Return a received item."""
    return {
        "id": item.id,
        "service": item.service,
        "uidl": item.uidl,
        "at": time_text(item.at),
        "size": item.size,
        "sender": item.sender,
        "subject": item.subject,
        "destinations": ", ".join(item.destinations),
        "state": item.state,
    }
