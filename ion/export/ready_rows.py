"""The rows of an order made once, when it comes in, so that exporting a million orders is little more than copying.

A row of `standard` has some 150 cells, and nearly all say what the order says, which never changes within a revision.
`rows_of` makes the CSV text of these; a cell that asks for anything but the order (its state here, when it came, the
catalogue) is left open, which is found by trying: whatever asks meets a refusal. A `Filler` puts the open cells in.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from ion.export.cells import Cell
from ion.export.columns import Entry, ExportOrder, OrderColumn, PartColumn
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


class _Nothing:
    """An order that the store does not know: it has no previous file, and whatever else is asked of it is refused."""

    previous = None

    def __getattr__(self, name: str) -> NoReturn:
        raise _OpenError


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


class Filler:
    """Puts what the store knows of orders into the open cells of their rows, for one export. For orders without a
    previous file, of merchants without a catalogue."""

    def __init__(self, exported_at: datetime) -> None:
        self._exported_at = exported_at
        # What is the same for all: when they are exported, and what a catalogue or a previous file would say.
        nothing = Entry(_Nothing(), _NO_ORDER, exported_at)
        self._same = {str(at): "" for at, _ in _OF_PART}
        self._value: dict[str, Callable[[Entry], Cell]] = {}
        for at, column in _COLUMNS:
            if isinstance(column, OrderColumn):
                try:
                    self._same[str(at)] = _quoted(_DIALECT.text(column.value(nothing)))
                except _OpenError:
                    self._value[str(at)] = column.value

    def filled(self, rows: ReadyRows, stored: ExportOrder) -> str:
        """The rows of an order as they stand in the file."""
        parts = rows.text.split(_MARK)
        entry = Entry(stored, _NO_ORDER, self._exported_at)
        known = self._same.copy()
        for at in {*parts[1::2]}.difference(known):
            cell = self._value[at](entry)
            known[at] = _quoted(cell if isinstance(cell, str) else _DIALECT.text(cell))
        parts[1::2] = [known[at] for at in parts[1::2]]
        return "".join(parts)


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
    return None if items or stored.previous else ReadyRows(kept.text, kept.count)


_NO_ORDER: Any = _Refusal()
_COLUMNS = list(enumerate(_TABLE.columns))
_OF_PART = [(at, column) for at, column in _COLUMNS if isinstance(column, PartColumn)]
