"""What follows when something becomes of a token: held mail is released, mailboxes are looked into, the log is told."""

import asyncio
import logging
from collections.abc import Callable

from mailbearer.clock import Clock
from mailbearer.errors import StoreError
from mailbearer.model.service import ServiceId
from mailbearer.store.store import Store
from mailbearer.tokens.context import Change, ChangeKind

RELEASING = frozenset({ChangeKind.RETRIEVED, ChangeKind.HEALED, ChangeKind.RENEWED})
WORRYING = frozenset({ChangeKind.INVALID, ChangeKind.TROUBLED})
_log = logging.getLogger(__name__)


class Changes:
    """Hears of changes at once, and does what follows in its own time. ``on_change`` is told of each, to count it."""

    def __init__(self, store: Store, clock: Clock, on_change: Callable[[Change], None]) -> None:
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._waiting: list[Change] = []
        self._worrying: set[ServiceId] = set()  # whose token could not be used or renewed when last heard of
        self._happened = asyncio.Event()

    def hear(self, change: Change) -> None:
        """Take note; called in the middle of somebody else's work."""
        self._waiting.append(change)
        self._happened.set()

    async def settle(self) -> frozenset[ServiceId]:
        """Do what follows from what was heard; return the services that can do now what they could not do before.

        A token that is renewed by the hour, as it should be, is no news to courier and poller.

        Raises:
            StoreError: held mail could not be released; it is tried again with the next change.
        """
        self._happened.clear()
        heard, self._waiting = self._waiting, []
        for change in heard:
            level = logging.WARNING if change.kind in WORRYING else logging.INFO
            _log.log(level, "token of %s: %s", change.service, " ".join(filter(None, (change.kind, change.code))))
            self._on_change(change)
        return frozenset([change.service for change in heard if await self._is_news(change)])

    async def _is_news(self, change: Change) -> bool:
        if change.kind in WORRYING:
            self._worrying.add(change.service)
        if change.kind not in RELEASING:
            return False
        released = await self._store.messages.release_held(change.service, now=self._clock.now())
        if released:
            _log.info("%d held messages of %s are released", released, change.service)
        worried = change.service in self._worrying
        self._worrying.discard(change.service)
        return released > 0 or worried or change.kind is not ChangeKind.RENEWED

    async def attend(self, wake: Callable[[ServiceId], None]) -> None:
        """Settle whenever something happens, and wake those whom it concerns."""
        while True:
            await self._happened.wait()
            try:
                for service in await self.settle():
                    wake(service)
            except StoreError as error:
                _log.error("held mail was not released: %s", error)
