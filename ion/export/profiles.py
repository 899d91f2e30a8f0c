"""The export profiles: each a frozen, versioned list of columns. The list is a promise to whoever imports the file.

A column is never renamed, moved or removed within a version. A change is a new version, by its own number in the
file name; a test holds every version against its golden list. To add a profile: declare it here, and if it is not
written as CSV or XLSX, add its writer in `ion.export`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Literal, TypeVar

from ion.errors import UnknownProfileError
from ion.export.cells import Cell
from ion.export.columns import Column, Entry, ExportOrder, LineColumn, OrderColumn
from ion.export.line_columns import LINE_COLUMNS
from ion.export.order_columns import (
    AMOUNTS,
    CUSTOMS,
    FOLLOW_UP,
    NUMBERS,
    PAYMENT,
    PEOPLE,
    RECORD,
    SHIPPING,
    STATUS,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """One table of a file. Without columns of lines it has one row per order; with them one row per line item,
    the order's columns repeated. `bare_orders`: an order without lines still gives one row."""

    name: str
    columns: tuple[Column, ...]
    bare_orders: bool = True

    def rows(self, entry: Entry, form: Callable[[Cell], T]) -> Iterator[list[T]]:
        """The rows of one order, each cell put into the writer's form. The order's cells are made once."""
        nothing = form(None)
        shared = [form(column.value(entry)) if isinstance(column, OrderColumn) else nothing for column in self.columns]
        of_line = [(at, column) for at, column in enumerate(self.columns) if isinstance(column, LineColumn)]
        if not of_line or (self.bare_orders and not entry.order.lines):
            yield shared
            return
        for position, item in enumerate(entry.order.lines, start=1):
            row = shared.copy()
            for at, column in of_line:
                row[at] = form(column.value(entry, item, position))
            yield row


@dataclass(frozen=True)
class Profile:
    """What a file holds: one table for CSV, several for a spreadsheet. The last table is the one whose rows count."""

    name: str
    version: int
    tables: tuple[Table, ...]
    suffix: Literal["csv", "xlsx"]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


_ORDER: tuple[OrderColumn, ...] = (
    *NUMBERS,
    *STATUS,
    *SHIPPING,
    *PEOPLE,
    *AMOUNTS,
    *CUSTOMS,
    *PAYMENT,
    *FOLLOW_UP,
    *RECORD,
)


def _named(*names: str) -> tuple[OrderColumn, ...]:
    by_name = {column.name: column for column in _ORDER}
    return tuple(by_name[name] for name in names)


STANDARD = Profile(
    "standard",
    1,
    (
        Table(
            "orders",
            (
                *NUMBERS,
                *STATUS,
                *LINE_COLUMNS,
                *AMOUNTS,
                *SHIPPING,
                *PEOPLE,
                *CUSTOMS,
                *PAYMENT,
                *FOLLOW_UP,
                *RECORD,
            ),
        ),
    ),
    "csv",
)

_FIRST = _named("order_number", "do_not_ship", "merchant_order_number")

XLSX = Profile(
    "xlsx",
    1,
    (
        Table("Orders", (*_FIRST, *(column for column in _ORDER if column not in _FIRST))),
        Table(
            "Lines",
            (
                *_FIRST,
                *LINE_COLUMNS,
                *_named("customer_currency", "merchant_currency", "merchant", "ion_id"),
            ),
            bare_orders=False,
        ),
    ),
    "xlsx",
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (STANDARD, XLSX)}


def profile_named(name: str) -> Profile:
    """The newest version of the profile. Raises UnknownProfileError naming the known profiles."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UnknownProfileError(f"there is no export profile {name!r}; known are: {', '.join(PROFILES)}") from None


def entry_of(stored: ExportOrder, exported_at: datetime) -> Entry:
    """The order as columns see it; `exported_at` is the aware instant of the export."""
    return Entry(stored, stored.order, exported_at)


# Written as people write them in a heading; every other word is lower case.
_ACRONYMS = {word.lower(): word for word in ("ID", "SKU", "HS", "VAT", "EORI", "IOSS", "URL", "US", "ION")}


def title(column: Column) -> str:
    """The column's heading for a person: `unit_price_customer` is `Unit price customer`; instants say (UTC)."""
    words = [_ACRONYMS.get(word, word) for word in column.name.split("_")]
    text = " ".join(words)
    zone = " (UTC)" if column.kind == "instant" else ""
    return text[0].upper() + text[1:] + zone


def file_name(profile: Profile, stamp: date | datetime, zone: tzinfo) -> str:
    """`ion-orders-standard-v1-2026-11-23.csv`; an aware instant is stamped with its local time in `zone`."""
    text = stamp.astimezone(zone).strftime("%Y-%m-%dT%H%M%S%z") if isinstance(stamp, datetime) else stamp.isoformat()
    return f"ion-orders-{profile.name}-v{profile.version}-{text}.{profile.suffix}"
