"""Files for staff and importers: `export_orders` writes orders in a profile, whole or not at all.

    profiles, shops, bookkeeping, custom    which columns, frozen and versioned; a merchant's own
    tables, dialect, guard                  what a file is made of and how a CSV spells it
    csv_file, xlsx_file                     how they are written
    columns, order_columns, line_columns, address_columns, added_columns    the declarations
    ready_rows                              the rows of an order made once, when it comes in
    cells, facts, totals, charges, changed, catalogue                       what stands in a cell

The room needs no database: it takes anything with the attributes of `ExportOrder`.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, cast

from ion.errors import IonError
from ion.export.catalogue import CatalogueItem, read_catalogue
from ion.export.columns import Entry, ExportOrder, Options
from ion.export.csv_file import write_csv
from ion.export.custom import custom_profile
from ion.export.profiles import PROFILES, VERSIONS, profile_named
from ion.export.ready_rows import Filler, ReadyRows, are_ready, rows_of
from ion.export.tables import Profile, file_name
from ion.files import write_whole

__all__ = [
    "PROFILES",
    "VERSIONS",
    "CatalogueItem",
    "ExportOrder",
    "ExportSummary",
    "Options",
    "Profile",
    "ReadyRows",
    "custom_profile",
    "export_orders",
    "file_name",
    "in_files",
    "profile_named",
    "read_catalogue",
    "rows_of",
]

Catalogue = Callable[[str], Mapping[str, CatalogueItem]]
"""Gives a merchant's articles by SKU; empty where the merchant has no catalogue."""

MOST_NOTES = 1_000


@dataclass(frozen=True)
class ExportSummary:
    """What was written: orders, rows below the header, and the SHA-256 of the octets (hex).

    `notes`: what the profile could not carry as the order states it, one sentence each, as in "order GE123: the product
    name was shortened to 50 characters"; they name order numbers and no personal data. `unknown_skus`: those that the
    catalogue of their merchant does not know, where it knows any.
    """

    orders: int
    rows: int
    sha256: str
    notes: tuple[str, ...] = ()
    unknown_skus: tuple[str, ...] = ()


def in_files(orders: Iterable[ExportOrder], profile: Profile) -> Iterator[Iterator[ExportOrder]]:
    """The orders in as many groups as the profile needs files: one, unless a file of it holds only so many.

    A group is to be used up before the next one is asked for.
    """
    waiting = iter(orders)
    yield islice(waiting, profile.most_orders)
    for first in waiting:
        yield chain((first,), islice(waiting, (profile.most_orders or 1) - 1))


class _Hashing:
    """A binary file that only takes octets, and keeps their digest."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.digest = hashlib.sha256()

    def write(self, octets: bytes) -> int:
        self.digest.update(octets)
        self._target.write(octets)
        return len(octets)


class _Notes:
    """The notes of one file, each once; beyond `MOST_NOTES` they are counted."""

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}
        self._further = 0

    def about(self, order_number: str) -> Callable[[str], None]:
        """What takes the notes on one order."""

        def say(note: str) -> None:
            sentence = f"order {order_number}: {note}"
            if sentence in self._notes:
                return
            if len(self._notes) < MOST_NOTES:
                self._notes[sentence] = None
            else:
                self._further += 1

        return say

    def on_file(self, note: str) -> None:
        """Take a note on the file as a whole."""
        self._notes[note] = None

    def all(self) -> tuple[str, ...]:
        further = (f"{self._further} further notes of this kind are not listed",) if self._further else ()
        return (*self._notes, *further)


class _Entries:
    """The orders of one export as columns see them, and what was found on the way."""

    def __init__(self, profile: Profile, exported_at: datetime, catalogue: Catalogue | None, options: Options) -> None:
        self._profile = profile
        self._exported_at = exported_at
        self._catalogue = catalogue
        self._options = options
        self._items: dict[str, Mapping[str, CatalogueItem]] = {}
        self.order_count = 0
        self.ready_rows = 0
        self._filler = Filler(exported_at)
        self.notes = _Notes()
        for name in profile.options:
            if getattr(options, name) is None:
                words = name.replace("_", " ")
                self.notes.on_file(f"the {words} is not filled in; `ion export --{name.replace('_', '-')}` gives it")
        self.unknown_skus: set[str] = set()

    def of(self, orders: Iterable[ExportOrder]) -> Iterator[Entry | str]:
        """Each order as columns see it, or the text of its rows where that was kept."""
        most = self._profile.most_orders
        for stored in orders:
            self.order_count += 1
            if most is not None and self.order_count > most:
                raise IonError(
                    f"a file of the profile {self._profile.name} holds at most {most} orders, and these are more; "
                    "`ion export -o FILE` writes as many files as it takes"
                )
            items = self._items_of(stored.merchant)
            ready = are_ready(stored, self._profile, items)
            if ready is not None:
                self.ready_rows += ready.count
                yield self._filler.filled(ready, stored)
                continue
            if items:
                self.unknown_skus |= {line.sku for line in stored.order.lines if line.sku and line.sku not in items}
            say = self.notes.about(stored.order.order_number)
            yield Entry(stored, stored.order, self._exported_at, items, self._options, say)

    def _items_of(self, merchant: str) -> Mapping[str, CatalogueItem]:
        if merchant not in self._items:
            self._items[merchant] = self._catalogue(merchant) if self._catalogue else {}
        return self._items[merchant]


def export_orders(
    orders: Iterable[ExportOrder],
    profile: str | Profile,
    target: Path | BinaryIO,
    *,
    exported_at: datetime,
    zone: tzinfo,
    catalogue: Catalogue | None = None,
    options: Options = Options(),  # noqa: B008  # frozen
) -> ExportSummary:
    """Write the orders in a profile to a path, or to a file open for octets (left open).

    `profile`: a name, which means its newest version, `name@version`, or a profile of one's own. A path is written
    whole or not at all and belongs to its owner alone; its folder must exist. Orders are taken one at a time, in the
    order given. `exported_at` is aware; `zone` is the local zone that a spreadsheet tells its reader the time of export
    in. `catalogue` gives the articles of a merchant; it is asked once for each. Raises UnknownProfileError, IonError
    for a row that a spreadsheet cannot hold and for more orders than a file of the profile may hold, OSError where the
    disk refuses.
    """
    chosen = profile_named(profile) if isinstance(profile, str) else profile
    if exported_at.utcoffset() is None:
        raise ValueError("exported_at needs a zone")
    entries = _Entries(chosen, exported_at, catalogue, options)

    def write(file: BinaryIO) -> ExportSummary:
        return _write(entries, orders, chosen, file, exported_at, zone)

    return write_whole(target, write) if isinstance(target, Path) else write(target)


def _write(
    entries: _Entries,
    orders: Iterable[ExportOrder],
    profile: Profile,
    target: BinaryIO,
    exported_at: datetime,
    zone: tzinfo,
) -> ExportSummary:
    hashing = _Hashing(target)
    sink = cast("BinaryIO", hashing)
    if profile.suffix == "csv":
        row_count = write_csv(profile, entries.of(orders), sink) + entries.ready_rows
    else:
        from ion.export.xlsx_file import write_xlsx  # slow to import, and not needed for CSV

        # A zip archive is not written front to back, and pipes cannot seek: it is made beside and copied.
        with tempfile.TemporaryFile(prefix="ion-") as made:
            rows = cast("Iterator[Entry]", entries.of(orders))  # rows are kept of a CSV only
            row_count = write_xlsx(profile, rows, made, exported_at=exported_at, zone=zone)
            made.seek(0)
            shutil.copyfileobj(made, sink, 1024 * 1024)
    return ExportSummary(
        entries.order_count,
        row_count,
        hashing.digest.hexdigest(),
        entries.notes.all(),
        tuple(sorted(entries.unknown_skus)),
    )
