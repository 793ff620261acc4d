"""Deeds on mail: send, look after the queue, fetch a mailbox now, see what was received."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from mailbearer.admin.jobs import job_view, job_views
from mailbearer.admin.speech import Json, Who
from mailbearer.admin.views import item_view, reason
from mailbearer.errors import InvalidInputError, MailbearerError
from mailbearer.model.envelope import Envelope
from mailbearer.model.message import QueuedMessage
from mailbearer.model.service import ServiceId, SmtpSettings
from mailbearer.receiving.fetch import Fetcher
from mailbearer.sending.courier import Courier
from mailbearer.sending.intake import Intake
from mailbearer.sending.queue import Queue
from mailbearer.store.store import Store


@dataclass(frozen=True, slots=True)
class MailWays:
    """The parts of sending and receiving that deeds use."""

    intake: Intake
    courier: Courier
    fetcher: Fetcher
    queue: Queue


class MailDesk:
    """Mail going out and coming in. ``served``: a service runs in this process and delivers by itself."""

    def __init__(self, store: Store, ways: MailWays, *, served: bool) -> None:
        self._store = store
        self._intake = ways.intake
        self._courier = ways.courier
        self._fetcher = ways.fetcher
        self._queue = ways.queue
        self._served = served

    async def send(
        self, identity: str, sender: str, recipients: tuple[str, ...], content: AsyncIterator[bytes] | None
    ) -> dict[str, Json]:
        """Take a message into the queue; when no service runs, deliver it at once."""
        service = await self._store.services.get(ServiceId(identity))
        if not isinstance(service.settings, SmtpSettings):
            raise InvalidInputError("MB-W05", field="Service", problem=f"{identity} does not send")
        if content is None:
            raise InvalidInputError("MB-W05", field="message", problem="there is none")
        message = await self._intake.accept(service.id, Envelope(sender, recipients), content)
        if self._served:
            self._courier.wake(service.id)
        else:
            message = await self._courier.deliver_now(message.id)
        return {**await job_view(self._store, message), "served": self._served}

    async def queue(self, *, everything: bool, limit: int) -> dict[str, Json]:
        """Return the queue; ``total`` counts what ``limit`` leaves out, too."""
        messages = await self._queue.list(everything=everything, limit=limit)
        total = await self._queue.count(everything=everything) if len(messages) == limit else len(messages)
        return {"messages": list[Json](await job_views(self._store, messages)), "total": total}

    async def act(self, deed: str, identity: str, *, who: Who) -> dict[str, Json]:
        """Show, retry, hold or cancel one message."""
        match deed:
            case "retry":
                message = await self._retry(identity)
            case "hold":
                message = await self._queue.hold(identity)
            case "cancel":
                message = await self._queue.cancel(identity)
            case _:
                return await job_view(self._store, await self._queue.show(identity))
        await self._store.audit.append(
            who=who.name, from_where=who.place, what=f"queue {deed}", subject=identity, detail=""
        )
        return await job_view(self._store, message)

    async def _retry(self, identity: str) -> QueuedMessage:
        message = await self._queue.retry(identity)
        return message if self._served else await self._courier.deliver_now(message.id)

    async def flush(self) -> dict[str, Json]:
        """Try everything that waits now; return how many messages that are."""
        count = await self._queue.flush()
        if not self._served:
            await self._courier.flush()
        return {"count": count}

    async def check(self, identity: str) -> dict[str, Json]:
        """Fetch the mail of a POP service now."""
        result = await self._fetcher.check(ServiceId(identity))
        problems: list[Json] = [problem_view(each) for each in result.problems]
        return {
            "handed_over": result.handed_over,
            "deleted": result.deleted,
            "left": result.left,
            "problems": problems,
        }

    async def received(self, *, limit: int) -> dict[str, Json]:
        """Return what was received, newest first."""
        return {"items": [item_view(each) for each in await self._store.received.list(limit=limit)]}


def problem_view(error: MailbearerError) -> dict[str, Json]:
    """Return an error with its sentences."""
    return reason(error.code, error.fields, error.detail)
