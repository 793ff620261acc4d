"""When to look into which mailbox: at each service's Check Interval, never all at once, with pauses after failures."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbearer.clock import Clock
from mailbearer.errors import MailbearerError
from mailbearer.model.service import AuthMethod, PopSettings, Service, ServiceId
from mailbearer.receiving.fetch import CheckResult, Fetcher
from mailbearer.store.store import Store

JITTER = 0.1  # of the interval, either way
FIRST_WITHIN = timedelta(seconds=10)  # the first looks after a start are spread over this time
LOOK = timedelta(seconds=30)  # how often changed settings are noticed though nobody called
OVERDUE = 1.0  # seconds until the next look at the settings when one of them came due meanwhile
KEEP_LOG = timedelta(days=90)  # how long the log of received messages is kept
HOUSEKEEPING = timedelta(hours=1)
PAUSE_MAX = timedelta(hours=1)
PASSING_PAUSES = {"MB-P14": timedelta(minutes=15)}  # the provider asks for longer pauses
AT_ONCE_MAX = 8  # mailboxes that are looked into at the same moment
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Plan:
    """When a service is looked into next, and how often it failed one after the other."""

    due: datetime
    failures: int = 0


def next_look(interval: timedelta, *, failures: int, code: str, now: datetime, draw: float) -> datetime:
    """Return when to look again; ``draw`` is a random number from 0 to 1. Failures double the interval, to an hour."""
    doubled: int = 2 ** min(failures, 10)
    pause = min(interval * doubled, max(PAUSE_MAX, interval)) * (1 + JITTER * (2 * draw - 1))
    return now + max(pause, PASSING_PAUSES.get(code, timedelta()))


def ready(service: Service) -> bool:
    """Is there enough set to look into the mailbox of ``service``?"""
    settings = service.settings
    if not isinstance(settings, PopSettings):
        return False
    signed = settings.auth is AuthMethod.PASSWORD or bool(settings.provider)
    return bool(settings.server and settings.port and settings.account and settings.destinations and signed)


class Poller:
    """Looks into mailboxes while the service runs. ``on_checked`` hears how each look ended."""

    def __init__(
        self,
        store: Store,
        fetcher: Fetcher,
        clock: Clock,
        *,
        on_checked: Callable[[ServiceId, CheckResult | MailbearerError], Awaitable[None]],
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._clock = clock
        self._on_checked = on_checked
        self._plans: dict[ServiceId, _Plan] = {}
        self._busy: set[ServiceId] = set()
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE_MAX)
        self._next_housekeeping = clock.now()

    def wake(self, service: ServiceId | None = None) -> None:
        """Look at the settings now; look into the mailbox of ``service`` as soon as possible."""
        if service is not None and service in self._plans:
            self._plans[service] = _Plan(self._clock.now())
        self._woken.set()

    async def run(self) -> None:
        """Look into mailboxes until cancelled; what is not handed over by then is fetched again."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                alarm = tasks.create_task(self._ring_after(await self._look_around(tasks)))
                await self._woken.wait()
                alarm.cancel()

    async def _look_around(self, tasks: asyncio.TaskGroup) -> float:
        """Start what is due; return the seconds until the next time."""
        try:
            await self._start_due(tasks)
            await self._tidy()
        except MailbearerError as error:
            _log.error("the settings cannot be read: %s", error)
            return LOOK.total_seconds()
        due = (plan.due for name, plan in self._plans.items() if name not in self._busy)
        now = self._clock.now()
        seconds = min(LOOK, min(due, default=now + LOOK) - now).total_seconds()
        return seconds if seconds > 0 else OVERDUE

    async def _ring_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()

    async def _tidy(self) -> None:
        now = self._clock.now()
        if now >= self._next_housekeeping:
            self._next_housekeeping = now + HOUSEKEEPING
            await self._store.received.forget(now - KEEP_LOG)

    async def _start_due(self, looks: asyncio.TaskGroup) -> None:
        services = {service.id: service for service in await self._store.services.all() if ready(service)}
        now = self._clock.now()
        for gone in self._plans.keys() - services.keys():
            del self._plans[gone]
        for identity, service in services.items():
            plan = self._plans.setdefault(identity, _Plan(now + FIRST_WITHIN * _draw()))
            longest = _interval(service) * 2 + PAUSE_MAX
            if plan.due > now + longest:  # the clock was set back
                plan.due = now
            if plan.due <= now and identity not in self._busy:
                self._busy.add(identity)
                looks.create_task(self._look(service))

    async def _look(self, service: Service) -> None:
        begun = self._plans[service.id]
        try:
            async with self._slots:
                outcome = await self._outcome(service.id)
        finally:
            self._busy.discard(service.id)
            self._woken.set()
        failures, code = (begun.failures + 1, outcome.code) if isinstance(outcome, MailbearerError) else (0, "")
        now = self._clock.now()
        due = next_look(_interval(service), failures=failures, code=code, now=now, draw=_draw())
        asked_meanwhile = self._plans.get(service.id) is not begun
        self._plans[service.id] = _Plan(now if asked_meanwhile else due, failures)
        try:
            await self._on_checked(service.id, outcome)
        except MailbearerError as error:
            _log.error("%s: %s", service.id, error)

    async def _outcome(self, service: ServiceId) -> CheckResult | MailbearerError:
        try:
            return await self._fetcher.check(service)
        except MailbearerError as error:
            return error
        except Exception:  # noqa: BLE001 - one mailbox that we cannot handle must not end the others'
            _log.exception("the look into %s met a fault of this program", service)
            return MailbearerError()


def _interval(service: Service) -> timedelta:
    return service.settings.check_interval if isinstance(service.settings, PopSettings) else LOOK


def _draw() -> float:
    return secrets.randbelow(1_000_001) / 1_000_000
