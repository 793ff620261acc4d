"""Which provider is meant: the catalogue, the providers added here, and what was registered at each."""

from dataclasses import replace

from mailbearer.errors import NotFoundError
from mailbearer.model.provider import Provider, Registration
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
        try:
            known = self._catalogue.get(provider)
        except NotFoundError:
            return (await self._whole()).get(provider)
        return (await self._whole()).get(provider) if Quirk.FILLED_AT_RUN_TIME in known.quirks else known

    async def registration(self, provider: str) -> Registration:
        """Return what was registered at ``provider``, with its secret opened."""
        registration = await self._store.registrations.get(provider)
        sealed = await self._store.registrations.sealed_secret(provider)
        if sealed is None:
            return registration
        return replace(registration, client_secret=self._vault.open(sealed, place=secret_place(provider)))

    async def both(self, provider: str) -> tuple[Provider, Registration]:
        """Return a provider and what was registered there."""
        return await self.get(provider), await self.registration(provider)

    async def _whole(self) -> Catalogue:
        added = await self._store.custom_providers.all()
        return self._catalogue.with_custom(tuple(from_json(text) for text in added.values()))
