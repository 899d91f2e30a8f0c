"""What a file is made of: tables with their columns, put together in a profile, and how both are named.

A profile is declared in `profiles`, `shops`, `bookkeeping`, or by a merchant (`custom`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any, Literal, TypeVar

from ion.export.cells import Cell
from ion.export.columns import Column, Entry, ExportOrder, LineColumn, OrderColumn, PartColumn
from ion.export.dialect import PLAIN, Dialect
from ion.order import Order

T = TypeVar("T")


def line_items(order: Order) -> Sequence[Any]:
    """The order taken apart as most tables do."""
    return order.lines


@dataclass(frozen=True)
class Table:
    """One table of a file. Without columns of parts it has one row per order; with them one row per part (a line item,
    where `parts` does not say otherwise), the order's columns repeated.

    `bare_orders`: an order without parts still gives one row. `first_row_only`: the order's columns stand in its first
    row and are empty below. `item_column`: the table has one row per order and, behind its columns, this one once per
    line item: `line_item_1`, `line_item_2` and so on, as many as the longest order needs. `distinct`: a row whose cell
    in the column of this name was there before is left out.
    """

    name: str
    columns: tuple[Column, ...]
    bare_orders: bool = True
    parts: Callable[[Order], Sequence[Any]] = line_items
    first_row_only: bool = False
    item_column: LineColumn | None = None
    distinct: str | None = None

    def rows(self, entry: Entry, form: Callable[[Cell], T]) -> Iterator[list[T]]:
        """The rows of one order, each cell put into the writer's form. The order's cells are made once."""
        nothing = form(None)
        shared = [form(column.value(entry)) if isinstance(column, OrderColumn) else nothing for column in self.columns]
        of_part = [(at, column) for at, column in enumerate(self.columns) if isinstance(column, PartColumn)]
        parts = self.parts(entry.order)
        if not of_part or (self.bare_orders and not parts):
            yield shared + self._item_cells(entry, form)
            return
        for position, part in enumerate(parts, start=1):
            row = shared.copy()
            for at, column in of_part:
                row[at] = form(column.value(entry, part, position))
            yield row
            if self.first_row_only:
                shared = [nothing] * len(shared)

    def _item_cells(self, entry: Entry, form: Callable[[Cell], T]) -> list[T]:
        if self.item_column is None:
            return []
        return [form(self.item_column.value(entry, item, at)) for at, item in enumerate(entry.order.lines, start=1)]


@dataclass(frozen=True)
class Profile:
    """What a file holds: one table for CSV, several for a spreadsheet. The last table is the one whose rows count.

    `audience`: whom it is for, in a few words; `dialect`: how a CSV spells it; `subject`: what the file's name says it
    holds; `most_orders`: how many one file may hold, None for any number;
    `options`: names of the `Options` without which columns are empty that the importing program asks for.
    """

    name: str
    version: int
    tables: tuple[Table, ...]
    suffix: Literal["csv", "xlsx"] = "csv"
    audience: str = ""
    dialect: Dialect = PLAIN
    subject: str = "orders"
    most_orders: int | None = None
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


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
    return f"ion-{profile.subject}-{profile.name}-v{profile.version}-{text}.{profile.suffix}"
