"""Messages as answers: each with the sentence of why it waits, which names the server of its service."""

from collections.abc import Sequence

from mailbearer.admin.speech import Json
from mailbearer.admin.views import message_view
from mailbearer.model.message import QueuedMessage
from mailbearer.model.service import SmtpSettings
from mailbearer.store.store import Store


async def job_views(store: Store, messages: Sequence[QueuedMessage]) -> list[dict[str, Json]]:
    """Return ``messages`` as answers."""
    servers: dict[str, dict[str, object]] = {}
    if any(each.code for each in messages):
        for service in await store.services.all():
            if isinstance(service.settings, SmtpSettings):
                servers[service.id] = {"host": service.settings.primary_server, "port": service.settings.port}
    return [message_view(each, servers.get(each.service, {})) for each in messages]


async def job_view(store: Store, message: QueuedMessage) -> dict[str, Json]:
    """Return one message as an answer."""
    (view,) = await job_views(store, (message,))
    return view
