"""Which provider is meant: the catalogue, the providers added here, and what was registered at each."""

from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches

from mailbearer.errors import NotFoundError
from mailbearer.model.provider import Provider, Registration
from mailbearer.observe.log import register
from mailbearer.providers.catalogue import Catalogue
from mailbearer.providers.custom import from_json
from mailbearer.providers.quirks import Quirk
from mailbearer.store.store import Store
from mailbearer.vault.vault import Vault


def secret_place(provider: str) -> str:
    """Return the place to which the client secret of ``provider`` is sealed."""
    return f"registrations/{provider}/secret"


class Directory:
    """Looks up providers by their id; what was added here comes before the catalogue."""

    def __init__(self, store: Store, vault: Vault, catalogue: Catalogue) -> None:
        self._store = store
        self._vault = vault
        self._catalogue = catalogue

    async def all(self) -> tuple[Provider, ...]:
        """Return every provider, those added here first."""
        return (await self._whole()).all()

    async def get(self, provider: str) -> Provider:
        """Return one provider.

        Raises:
            NotFoundError: MB-W20, naming those that there are.
        """
        with suppress(NotFoundError):
            known = self._catalogue.get(provider)
            if Quirk.FILLED_AT_RUN_TIME not in known.quirks:
                return known
        whole = await self._whole()
        try:
            return whole.get(provider)
        except NotFoundError as error:
            known_ids = _likely(provider, whole.all())
            raise NotFoundError("MB-W20", kind="provider", name=provider, known=known_ids) from error

    async def registration(self, provider: str) -> Registration:
        """Return what was registered at ``provider``, with its secret opened."""
        registration = await self._store.registrations.get(provider)
        sealed = await self._store.registrations.sealed_secret(provider)
        if sealed is None:
            return registration
        secret = self._vault.open(sealed, place=secret_place(provider))
        register(secret)
        return replace(registration, client_secret=secret)

    async def both(self, provider: str) -> tuple[Provider, Registration]:
        """Return a provider and what was registered there."""
        return await self.get(provider), await self.registration(provider)

    async def _whole(self) -> Catalogue:
        added = await self._store.custom_providers.all()
        return self._catalogue.with_custom(tuple(from_json(text) for text in added.values()))


def _likely(wanted: str, known: tuple[Provider, ...]) -> str:
    """Return which ids may have been meant: those that look alike, or the first ones; there are too many for a line."""
    ids = [each.id for each in known]
    alike = get_close_matches(wanted.lower(), ids, n=5, cutoff=0.5) or ids[:6]
    return ", ".join(alike) + ", and more (mailbearer provider list)"
