"""Deeds on the machine itself: how it is, who changed what, a new key."""

from collections.abc import Awaitable, Callable

from mailbearer.admin.speech import Json, Who
from mailbearer.admin.views import time_text
from mailbearer.errors import ConflictError
from mailbearer.store.store import Store
from mailbearer.vault.vault import Vault

Rotate = Callable[[], Awaitable[tuple[int, str]]]


class SystemDesk:
    """What there is to know and to do about the installation. ``rotate`` is None while a service runs."""

    def __init__(self, store: Store, vault: Vault, rotate: Rotate | None) -> None:
        self._store = store
        self._vault = vault
        self._rotate = rotate

    async def status(self) -> dict[str, Json]:
        """Return how the installation is."""
        counts = await self._store.messages.counts()
        queue: dict[str, Json] = dict(counts.items())
        return {
            "data": str(self._store.folder.path),
            "database": str(self._store.folder.database),
            "key": self._vault.key_id,
            "services": len(await self._store.services.all()),
            "tokens": len(await self._store.grants.all()),
            "queue": queue,
        }

    async def audit(self, *, limit: int) -> dict[str, Json]:
        """Return the newest entries of the audit log."""
        entries: list[Json] = [
            {
                "at": time_text(each.at),
                "who": each.who,
                "place": each.from_where,
                "what": each.what,
                "subject": each.subject,
                "detail": each.detail,
            }
            for each in await self._store.audit.list(limit=limit)
        ]
        return {"entries": entries}

    async def rotate_key(self, *, who: Who) -> dict[str, Json]:
        """Seal every stored secret with a new key.

        Raises:
            ConflictError: MB-W35, a service runs.
        """
        if self._rotate is None:
            raise ConflictError("MB-W35")
        await self._store.audit.append(
            who=who.name, from_where=who.place, what="vault rotate", subject="vault", detail=""
        )
        count, key = await self._rotate()
        return {"count": count, "key": key}
