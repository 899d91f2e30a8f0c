"""The rows of an order made once, when it comes in, so that exporting a million orders is little more than copying.

A row of `standard` has some 150 cells, and nearly all say what the order says, which never changes within a revision.
`rows_of` makes the CSV text of these; a cell that asks for anything but the order (its state here, when it came, the
catalogue) is left open, which is found by trying: whatever asks meets a refusal. `filled` puts the open cells in.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from ion.export.cells import Cell
from ion.export.columns import Entry, ExportOrder, OrderColumn, PartColumn, previous_order
from ion.export.profiles import profile_named
from ion.order import Order

PROFILE = profile_named("standard")
_NAME = str(PROFILE)
_TABLE, _DIALECT = PROFILE.tables[0], PROFILE.dialect
# Around the number of a column whose cell is open. No text of an order holds a control character.
_MARK = "\x1e"


@dataclass(frozen=True, slots=True)
class ReadyRows:
    """The rows of one order as they stand in the file, CRLF at the end of each, and how many they are."""

    text: str
    count: int


class _OpenError(Exception):
    """The cell depends on more than the order."""


class _Refusal:
    """Stands where an entry has more than the order."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise _OpenError

    def __bool__(self) -> NoReturn:
        raise _OpenError


def rows_of(order: Order) -> ReadyRows | None:
    """The rows of `PROFILE` for an order, with open cells; None where they cannot be kept so."""
    refusal: Any = _Refusal()
    entry = Entry(refusal, order, refusal, refusal, refusal, refusal)
    made = io.StringIO()
    writer = csv.writer(made, delimiter=_DIALECT.delimiter, lineterminator="\r\n")
    shared = [_cell(at, column, entry) if isinstance(column, OrderColumn) else "" for at, column in _COLUMNS]
    count = 0
    for position, part in enumerate(_TABLE.parts(order) or (None,), start=1):
        row = shared.copy()
        if part is not None:
            for at, column in _OF_PART:
                row[at] = _cell(at, column, entry, part, position)
        writer.writerow(row)
        count += 1
    text = made.getvalue()
    # Two for each cell that is open, and none that an order brought along.
    return ReadyRows(text, count) if text.count(_MARK) == 2 * sum(map(_is_open, text.split(_MARK)[1::2])) else None


def _cell(at: int, column: Any, *given: Any) -> str:
    try:
        return _DIALECT.text(column.value(*given))
    except _OpenError:
        return f"{_MARK}{at}{_MARK}"


def _is_open(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < len(_TABLE.columns)


def filled(rows: ReadyRows, stored: ExportOrder, exported_at: datetime) -> str:
    """The text of rows with what the store knows of the order put in. For an order without a previous file, of a
    merchant without a catalogue."""
    parts = rows.text.split(_MARK)
    known = _Known(stored, exported_at)
    parts[1::2] = [known[at] for at in parts[1::2]]
    return "".join(parts)


class _Known(dict[str, str]):
    """The open cells of one order by the column's number, each made when it is asked for."""

    def __init__(self, stored: ExportOrder, exported_at: datetime) -> None:
        self._entry = Entry(stored, _NO_ORDER, exported_at)

    def __missing__(self, at: str) -> str:
        column = _TABLE.columns[int(at)]
        # Of a line, open is what a catalogue says, and there is none.
        cell: Cell = None if isinstance(column, PartColumn) else column.value(self._entry)
        self[at] = text = _quoted(_DIALECT.text(cell))
        return text


def _quoted(text: str) -> str:
    """As `csv.writer` quotes it."""
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def are_ready(stored: ExportOrder, profile: Any, items: Mapping[str, Any]) -> ReadyRows | None:
    """The rows that were kept of an order, where they are those of this profile and nothing else bears on them."""
    kept = getattr(stored, "kept_rows", None)
    if kept is None or profile != PROFILE or kept.profile != _NAME or not kept.count:
        return None
    return None if items or previous_order(stored) else ReadyRows(kept.text, kept.count)


_NO_ORDER: Any = _Refusal()
_COLUMNS = list(enumerate(_TABLE.columns))
_OF_PART = [(at, column) for at, column in _COLUMNS if isinstance(column, PartColumn)]
