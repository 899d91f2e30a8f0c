"""What merchants' catalogues know of their articles: as exports take it, as a file, and what another file would
change."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from ion.export import CatalogueItem
from ion.export.catalogue import CATALOGUE_GUARD
from ion.export.guard import guarded
from ion.order import decimal_text
from ion.store import CatalogueArticle, Store

FIELDS = tuple(field.name for field in fields(CatalogueItem))


@dataclass(frozen=True)
class ChangedArticle:
    """An article that a file states otherwise. `changes`: what it was and what it would be, by field; None: not
    known."""

    sku: str
    changes: Mapping[str, tuple[str | None, str | None]]


@dataclass(frozen=True)
class CatalogueDifference:
    """What a file would change, in the order of the file; `removed`: what is not in it, in the order of SKUs; `same`:
    how many articles stay."""

    added: tuple[CatalogueItem, ...]
    changed: tuple[ChangedArticle, ...]
    removed: tuple[CatalogueArticle, ...]
    same: int


def difference(known: Mapping[str, CatalogueArticle], items: Sequence[CatalogueItem]) -> CatalogueDifference:
    """What these items would change in a catalogue, each taken whole."""
    changed = []
    for item in items:
        before = known.get(item.sku)
        if before is not None and (changes := _changes(before, item)):
            changed.append(ChangedArticle(item.sku, changes))
    given = {item.sku for item in items}
    added = tuple(item for item in items if item.sku not in known)
    removed = tuple(article for sku, article in known.items() if sku not in given)
    return CatalogueDifference(added, tuple(changed), removed, len(items) - len(added) - len(changed))


def catalogue_csv(articles: Sequence[CatalogueArticle]) -> bytes:
    """The articles as a CSV that `read_catalogue` takes, in UTF-8 with a BOM, so that spreadsheets know it, and guarded
    against what they take for a formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(FIELDS)
    for article in articles:
        writer.writerow([guarded(_cell(article, name) or "", CATALOGUE_GUARD) for name in FIELDS])
    return written.getvalue().encode("utf-8-sig", "replace")


def _changes(before: CatalogueArticle, now: CatalogueItem) -> dict[str, tuple[str | None, str | None]]:
    return {name: (_cell(before, name), _cell(now, name)) for name in FIELDS if _cell(before, name) != _cell(now, name)}


def _cell(article: CatalogueArticle | CatalogueItem, name: str) -> str | None:
    value = getattr(article, name)
    return None if value is None else str(value) if name != "weight" else decimal_text(value)


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
