"""What merchants' catalogues know of their articles, as exports take it."""

from dataclasses import asdict

from ion.export import CatalogueItem
from ion.store import Store


class Catalogues:
    """What merchants' catalogues know of their articles, by SKU, as exports take it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, merchant: str) -> dict[str, CatalogueItem]:
        """One merchant's. Raises StoreError."""
        return {sku: CatalogueItem(**asdict(article)) for sku, article in self._store.catalogue(merchant).items()}

    def any(self, merchant: str | None) -> bool:
        """Whether the merchant, or any merchant, has one. Raises StoreError."""
        names = [merchant] if merchant else [name for name, *_ in self._store.merchant_times()]
        return any(self._store.catalogue(name) for name in names)
