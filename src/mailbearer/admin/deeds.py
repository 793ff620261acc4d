"""The table of deeds: a name, and at which desk it is done. Doors know the names and nothing of what is behind."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

from mailbearer.admin.directory import Directory
from mailbearer.admin.services import ServiceDesk
from mailbearer.admin.speech import Arguments, Json, Tell, Who
from mailbearer.admin.system import SystemDesk
from mailbearer.admin.tokens import TokenDesk
from mailbearer.admin.views import service_view
from mailbearer.errors import NotFoundError
from mailbearer.model.provider import Limits
from mailbearer.model.service import Service, SmtpSettings
from mailbearer.providers.limits import limits_of

if TYPE_CHECKING:
    from mailbearer.admin.devices import DeviceDesk
    from mailbearer.admin.mail import MailDesk
    from mailbearer.admin.providers import ProviderDesk
    from mailbearer.admin.submission import SubmissionDesk
    from mailbearer.admin.tests import TestDesk

Deed: TypeAlias = Callable[[Arguments, Who, Tell], Awaitable[dict[str, Json]]]
Told: TypeAlias = Callable[[], Awaitable[None]]
ROWS_MAX = 10_000  # of a listing
WAITING_DEEDS = frozenset({"token.wait"})  # they only look on: cut off, nothing is lost, and they can be asked again
CHANGING = frozenset(
    {
        *("service.add", "service.set", "service.remove"),
        *("device.add", "device.set", "device.reset", "device.remove"),
    }
)


async def _nobody_is_told() -> None:
    """Let a change pass."""


@dataclass(frozen=True, slots=True)
class Desks:
    """Where deeds are done; those that are asked for by a call are built when they are first needed."""

    directory: Directory
    services: ServiceDesk
    tokens: TokenDesk
    system: SystemDesk
    providers: "Callable[[], ProviderDesk]"
    mail: "Callable[[], MailDesk]"
    tests: "Callable[[], TestDesk]"
    devices: "Callable[[], DeviceDesk]"
    submission: "Callable[[], SubmissionDesk]"


class Deeds:
    """Performs deeds by name. ``told`` hears when services or devices may have been changed (``CHANGING``)."""

    def __init__(self, desks: Desks) -> None:
        self.told: Told = _nobody_is_told
        self._table: Mapping[str, Deed] = {
            **_service_deeds(desks),
            **_token_deeds(desks.tokens),
            **_provider_deeds(desks.providers),
            **_mail_deeds(desks.mail),
            **_device_deeds(desks.devices),
            "submit": lambda a, _w, _t: desks.submission().submit(a),
            "system.status": lambda _a, _w, _t: desks.system.status(),
            "audit.list": lambda a, _w, _t: desks.system.audit(limit=_limit(a)),
            "vault.rotate": lambda _a, w, _t: desks.system.rotate_key(who=w),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all deeds."""
        return tuple(self._table)

    async def perform(self, name: str, arguments: Arguments, who: Who, tell: Tell) -> dict[str, Json]:
        """Do the deed ``name`` and return its result; ``tell`` hears what happens on the way.

        Raises:
            NotFoundError: there is no such deed.
            MailbearerError: it cannot be done, and nothing was changed.
        """
        deed = self._table.get(name)
        if deed is None:
            raise NotFoundError("MB-W20", kind="deed", name=name, known=", ".join(self._table))
        if name not in CHANGING:
            return await deed(arguments, who, tell)
        try:
            return await deed(arguments, who, tell)
        finally:
            await self.told()


def _service_deeds(desks: Desks) -> dict[str, Deed]:
    desk = desks.services

    async def view(service: Service) -> dict[str, Json]:
        name, limits = "", Limits()
        if service.settings.provider:
            provider, registration = await desks.directory.both(service.settings.provider)
            name, limits = provider.name, limits_of(provider, registration)
        known = await desk.without_secrets(service)
        told = service_view(known, name, await desks.tokens.facts(service.id), await desk.warnings(service))
        return {**told, "limits": dict(asdict(limits))} if isinstance(service.settings, SmtpSettings) else told

    async def overview(_a: Arguments, _w: Who, _t: Tell) -> dict[str, Json]:
        return {"services": [await view(each) for each in await desk.all()]}

    async def show(a: Arguments, _w: Who, _t: Tell) -> dict[str, Json]:
        return await view(await desk.get(a.text("service")))

    async def change(a: Arguments, w: Who, _t: Tell) -> dict[str, Json]:
        delete_token = a.flag("delete_token")
        return await view(await desk.set(a.text("service"), a.mapping("values"), delete_token=delete_token, who=w))

    async def add(a: Arguments, w: Who, _t: Tell) -> dict[str, Json]:
        return await view(await desk.add(a.text("service"), a.text("title", ""), a.mapping("values"), who=w))

    return {
        "service.list": overview,
        "service.show": show,
        "service.set": change,
        "service.add": add,
        "service.remove": lambda a, w, _t: desk.remove(a.text("service"), who=w),
        "service.test": lambda a, _w, t: desks.tests().run(a.text("service"), t),
    }


def _token_deeds(desk: TokenDesk) -> dict[str, Deed]:
    async def get(a: Arguments, w: Who, _t: Tell) -> dict[str, Json]:
        redirect, again = a.text("redirect_uri", ""), a.flag("replace")
        return await desk.begin(a.text("service"), a.text("flow", ""), redirect_uri=redirect, replace=again, who=w)

    return {
        "token.status": lambda a, _w, _t: desk.status(a.text("service", "")),
        "token.plan": lambda a, _w, _t: desk.plan(a.text("service"), a.text("flow", "")),
        "token.get": get,
        "token.wait": lambda a, _w, _t: desk.wait(a.text("service")),
        "token.redirect": lambda a, w, _t: desk.redirect(a.text("url"), a.text("service", ""), who=w),
        "token.cancel": lambda a, w, _t: desk.cancel(a.text("service"), who=w),
        "token.access": lambda a, _w, _t: desk.access(a.text("service")),
        "token.refresh": lambda a, w, _t: desk.refresh(a.text("service"), who=w),
        "token.delete": lambda a, w, _t: desk.delete(a.text("service"), who=w),
    }


def _provider_deeds(desk: "Callable[[], ProviderDesk]") -> dict[str, Deed]:
    return {
        "provider.list": lambda _a, _w, _t: desk().overview(),
        "provider.show": lambda a, _w, _t: desk().show(a.text("provider")),
        "provider.set": lambda a, w, _t: desk().set(a.text("provider"), a.mapping("values"), who=w),
        "provider.add": lambda a, w, _t: desk().add(a.text("provider"), a.mapping("values"), who=w),
        "provider.remove": lambda a, w, _t: desk().remove(a.text("provider"), who=w),
        "provider.detect": lambda a, _w, _t: desk().detect(a.text("address")),
    }


def _mail_deeds(desk: "Callable[[], MailDesk]") -> dict[str, Deed]:
    return {
        "send": lambda a, _w, _t: desk().send(a.text("service"), a.text("sender"), a.texts("recipients"), a.content),
        "queue.list": lambda a, _w, _t: desk().queue(everything=a.flag("all"), limit=_limit(a)),
        "queue.show": lambda a, w, _t: desk().act("show", a.text("id"), who=w),
        "queue.retry": lambda a, w, _t: desk().act("retry", a.text("id"), who=w),
        "queue.hold": lambda a, w, _t: desk().act("hold", a.text("id"), who=w),
        "queue.cancel": lambda a, w, _t: desk().act("cancel", a.text("id"), who=w),
        "queue.flush": lambda _a, _w, _t: desk().flush(),
        "check": lambda a, _w, _t: desk().check(a.text("service")),
        "received.list": lambda a, _w, _t: desk().received(limit=_limit(a)),
    }


def _device_deeds(desk: "Callable[[], DeviceDesk]") -> dict[str, Deed]:
    async def reset(a: Arguments, w: Who, _t: Tell) -> dict[str, Json]:
        if a.flag("finish"):
            return await desk().finish(a.text("device"), who=w)
        return await desk().reset(a.text("device"), a.text("password", ""), at_once=a.flag("at_once"), who=w)

    return {
        "device.list": lambda _a, _w, _t: desk().overview(),
        "device.show": lambda a, _w, _t: desk().show(a.text("device")),
        "device.add": lambda a, w, _t: desk().add(a.text("device"), a.mapping("values"), a.text("password", ""), who=w),
        "device.set": lambda a, w, _t: desk().set(a.text("device"), a.mapping("values"), who=w),
        "device.reset": reset,
        "device.remove": lambda a, w, _t: desk().remove(a.text("device"), who=w),
        "device.history": lambda a, _w, _t: desk().history(a.text("device"), limit=_limit(a)),
    }


def _limit(arguments: Arguments) -> int:
    return arguments.whole("limit", default=100, least=1, most=ROWS_MAX)
