"""The deed ``submit``: a message of a program on this machine, with the settings of a device if there is one for it."""

from datetime import timedelta
from functools import partial
from pathlib import Path

from mailbearer.admin.jobs import job_view
from mailbearer.admin.speech import Arguments, Json
from mailbearer.clock import Clock
from mailbearer.errors import ConflictError, InvalidInputError, NotFoundError
from mailbearer.model.device import Device, DeviceId
from mailbearer.model.service import ServiceId, SmtpSettings
from mailbearer.sending.aliases import ALIASES, read_aliases, resolve
from mailbearer.sending.courier import Courier
from mailbearer.sending.from_policy import Sender
from mailbearer.sending.intake import Intake
from mailbearer.sending.submission import Submission, Wish
from mailbearer.store.store import Store

STANDARD = "sendmail"
HOUR = timedelta(hours=1)


class SubmissionDesk:
    """Takes messages in. ``served``: a service runs in this process and delivers by itself."""

    def __init__(self, store: Store, intake: Intake, courier: Courier, clock: Clock, *, served: bool) -> None:
        self._store = store
        self._intake = intake
        self._courier = courier
        self._clock = clock
        self._served = served
        self.aliases: Path = ALIASES

    async def submit(self, arguments: Arguments) -> dict[str, Json]:
        """Take a message into the queue; when no service runs, deliver it at once.

        Arguments are ``sender`` (none for the Sender Address, ``<>`` for nobody), ``recipients``, ``extract`` (those of
        the header too), ``name`` (of the sender), ``device`` and ``service``.
        """
        device = await self._device(arguments.text("device", STANDARD), arguments.text("service", ""))
        settings = (await self._store.services.get(device.service)).settings
        if not isinstance(settings, SmtpSettings):
            raise InvalidInputError("MB-W05", field="Service", problem=f"{device.service} does not send")
        if arguments.content is None:
            raise InvalidInputError("MB-W05", field="message", problem="there is none")
        now = self._clock.now()
        if device.per_hour:
            sent = await self._store.messages.count_of_device(device.id, since=now - HOUR)
            if sent >= device.per_hour:
                raise ConflictError("MB-G06", device=device.title, limit=device.per_hour)
        said = arguments.text("sender", "")
        sender = Sender(arguments.text("name", "") or settings.sender_name, settings.sender_address)
        wish = Wish(
            reverse_path=None if not said else "" if said == "<>" else said,
            recipients=arguments.texts("recipients"),
            extract=arguments.flag("extract"),
        )
        submission = Submission(self._intake, device, sender, partial(resolve, aliases=read_aliases(self.aliases)))
        message = await submission.take(wish, arguments.content, now=now)
        if self._served:
            self._courier.wake(message.service)
        else:
            message = await self._courier.deliver_now(message.id)
        return {**await job_view(self._store, message), "served": self._served}

    async def _device(self, name: str, service: str) -> Device:
        try:
            device = await self._store.devices.get(DeviceId(name))
        except NotFoundError:
            return Device(DeviceId(name), name, ServiceId(service or "smtp"))
        if not device.enabled:
            raise InvalidInputError("MB-W05", field=f"Device {name}", problem="it is switched off")
        return device
