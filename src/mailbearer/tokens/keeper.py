"""The loop that keeps every token alive while ``serve`` runs, and waits for those who are signing in.

It knows of each grant only when it is due, and reads a grant again when it hears that it changed; a thousand grants
cost next to nothing. What another process changes it hears of at the next full look.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from mailbearer.clock import Clock
from mailbearer.errors import ConflictError, MailbearerError
from mailbearer.model.service import ServiceId
from mailbearer.store.grants import GrantTimes, SealedGrant
from mailbearer.tokens import schedule
from mailbearer.tokens.book import facts_of
from mailbearer.tokens.context import Change, Context
from mailbearer.tokens.obtain import SignIns
from mailbearer.tokens.refresh import IN_FLIGHT, Renewals

FULL_LOOK = 300.0  # seconds between two readings of all grants
LONGEST_SLEEP = 30.0  # seconds; wakes at least so often to notice that the clock was set or the machine slept
START_PAUSE = 0.05  # seconds between two starts: 20 in a second, also when a thousand are due at once
CLOCK_SET = timedelta(seconds=5)  # by so much wall time and passing time may drift apart before all is reckoned anew
AFTER_ERROR = 15.0  # seconds before a grant whose renewal failed is looked at again, whatever the store says

_log = logging.getLogger(__name__)


class Keeper:
    """Renews what is due and polls for pending sign-ins until it is cancelled."""

    def __init__(self, context: Context, renewals: Renewals, sign_ins: SignIns) -> None:
        self._context = context
        self._renewals = renewals
        self._sign_ins = sign_ins
        self._due_at: dict[ServiceId, datetime] = {}  # of each grant, reckoned when it was read
        self._changed: set[ServiceId] = set()
        self._busy: set[ServiceId] = set()
        self._attended: set[ServiceId] = set()  # sign-ins that are waited for
        self._not_before: dict[ServiceId, float] = {}  # monotonic
        self._woken = asyncio.Event()
        self._full_look_at = context.clock.monotonic()
        self._zero = _zero_of(context.clock)
        context.on_change.append(self._hear)

    def wake(self) -> None:
        """Look again now."""
        self._woken.set()

    async def run(self) -> None:
        """Keep all tokens alive; ends only by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                try:
                    await self._look(tasks)
                except MailbearerError as error:
                    _log.error("the grants cannot be read: %s", error)
                alarm = tasks.create_task(self._ring_after(self._seconds_to_next()))
                await self._woken.wait()
                alarm.cancel()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        clock = self._context.clock
        zero = _zero_of(clock)
        if clock.monotonic() >= self._full_look_at or abs(zero - self._zero) > CLOCK_SET:
            await self._read_all(tasks)
            self._zero = zero
            self._full_look_at = clock.monotonic() + FULL_LOOK
        while self._changed:
            await self._read(self._changed.pop(), tasks)
        for service in self._due():
            self._busy.add(service)
            tasks.create_task(self._renew(service), name=f"renew {service}")
            await clock.sleep(START_PAUSE)

    async def _read_all(self, tasks: asyncio.TaskGroup) -> None:
        store = self._context.store
        now = self._context.clock.now()
        self._due_at = {grant.service: _due_of(grant, now) for grant in await store.grants.times()}
        for pending in await store.pendings.all():
            self._attend(pending.service, tasks)

    async def _read(self, service: ServiceId, tasks: asyncio.TaskGroup) -> None:
        store = self._context.store
        grant = await store.grants.get(service)
        if grant is None:
            self._due_at.pop(service, None)
        else:
            self._due_at[service] = _due_of(grant, self._context.clock.now())
        if await store.pendings.get(service) is not None:
            self._attend(service, tasks)

    def _attend(self, service: ServiceId, tasks: asyncio.TaskGroup) -> None:
        if service not in self._attended:
            self._attended.add(service)
            tasks.create_task(self._wait_for_sign_in(service), name=f"sign-in {service}")

    def _due(self) -> list[ServiceId]:
        """Return what is to be started now, longest overdue first, no more than there is room for."""
        now, tick = self._context.clock.now(), self._context.clock.monotonic()
        ready = sorted(
            (at, service)
            for service, at in self._due_at.items()
            if at <= now and service not in self._busy and self._not_before.get(service, tick) <= tick
        )
        return [service for _, service in ready[: max(0, IN_FLIGHT - len(self._busy))]]

    def _seconds_to_next(self) -> float:
        if len(self._busy) >= IN_FLIGHT:
            return LONGEST_SLEEP  # whoever ends wakes us
        now, tick = self._context.clock.now(), self._context.clock.monotonic()
        waits = [
            max((at - now).total_seconds(), self._not_before.get(service, tick) - tick)
            for service, at in self._due_at.items()
            if service not in self._busy
        ]
        return min(max(min(waits, default=LONGEST_SLEEP), START_PAUSE), LONGEST_SLEEP)

    async def _renew(self, service: ServiceId) -> None:
        try:
            await self._renewals.renew(service)
        except MailbearerError as error:
            _log.info("the token of %s was not renewed: %s", service, error)
            self._not_before[service] = self._context.clock.monotonic() + AFTER_ERROR
        else:
            self._not_before.pop(service, None)
        finally:
            self._busy.discard(service)
            self._changed.add(service)
            self._woken.set()

    async def _wait_for_sign_in(self, service: ServiceId) -> None:
        try:
            await self._sign_ins.poll_until_done(service)
        except ConflictError:  # cancelled, or started over: then there is another one to wait for
            self._changed.add(service)
            self._woken.set()
        except MailbearerError as error:
            _log.info("the sign-in of %s brought no token: %s", service, error)
        finally:
            self._attended.discard(service)

    async def _ring_after(self, seconds: float) -> None:
        await self._context.clock.sleep(seconds)
        self._woken.set()

    def _hear(self, change: Change) -> None:
        self._changed.add(change.service)
        self._woken.set()


def _due_of(grant: SealedGrant | GrantTimes, now: datetime) -> datetime:
    return schedule.next_due(facts_of(grant), now, schedule.draw_for(grant.service, grant.version))


def _zero_of(clock: Clock) -> datetime:
    """Return what the wall showed when the passing time was 0: it moves when the clock is set or the machine slept."""
    return clock.now() - timedelta(seconds=clock.monotonic())
