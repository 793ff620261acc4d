"""The providers that Mailbearer knows: one JSON file each in ``data/catalogue``, and the administrator's own."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from mailbearer.errors import ConflictError, NotFoundError
from mailbearer.model.provider import Provider
from mailbearer.providers.entry import place_of, read_provider
from mailbearer.providers.quirks import Quirk
from mailbearer.providers.reading import mistake


class Catalogue:
    """Providers by id, in the order of lists."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers: Mapping[str, Provider] = {provider.id: provider for provider in providers}

    def get(self, provider_id: str) -> Provider:
        """Return a provider.

        Raises:
            NotFoundError: MB-W20, there is none of that id.
        """
        if provider_id not in self._providers:
            raise NotFoundError("MB-W20", kind="provider", name=provider_id, known=", ".join(self._providers))
        return self._providers[provider_id]

    def all(self) -> tuple[Provider, ...]:
        """Return every provider."""
        return tuple(self._providers.values())

    def with_custom(self, providers: Iterable[Provider]) -> "Catalogue":
        """Return a catalogue with ``providers`` added; one may stand in for an entry that is filled at run time.

        Raises:
            ConflictError: MB-W21, the id is one of the catalogue's own.
        """
        found = dict(self._providers)
        for provider in providers:
            taken = found.get(provider.id)
            if taken is not None and not taken.custom and Quirk.FILLED_AT_RUN_TIME not in taken.quirks:
                raise ConflictError("MB-W21", kind="A provider", name=provider.id)
            found[provider.id] = provider
        return Catalogue(found.values())


@cache
def load_catalogue() -> Catalogue:
    """Read the product's own catalogue, once.

    Raises:
        InvalidInputError: MB-W05 with entry and field, a file of it is wrong.
    """
    return read_catalogue(
        {
            file.name: file.read_text("utf-8")
            for file in resources.files("mailbearer.providers").joinpath("data", "catalogue").iterdir()
            if file.name.endswith(".json")
        }
    )


def read_catalogue(files: Mapping[str, str]) -> Catalogue:
    """Return the catalogue of ``files``, names ending in ``.json`` with their texts.

    Raises:
        InvalidInputError: MB-W05 with entry and field.
    """
    found: list[tuple[int, Provider]] = []
    for name, text in files.items():
        provider = read_provider(text, entry=name, custom=False)
        if f"{provider.id}.json" != name:
            raise mistake(name, "id", "it is not the name of the file")
        found.append((place_of(text), provider))
    return Catalogue(provider for _, provider in sorted(found, key=lambda pair: (pair[0], pair[1].id)))
