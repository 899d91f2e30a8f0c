"""XLSX with typed cells: what staff open. Ids stay text, amounts are numbers, instants are dates, nothing is a formula.

A spreadsheet keeps 15 significant digits. A number with more is written as text, so that no digit is lost; such a
cell takes no part in sums. Rows are written as they come; what a sheet cannot hold goes on in `Orders 2`, `Lines 2`.
"""

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from itertools import count
from typing import Any, BinaryIO

import xlsxwriter

import ion
from ion.errors import IonError
from ion.export.cells import Cell, decimal_places, exact_float, fitting, plain_number
from ion.export.columns import Column, Entry, Kind
from ion.export.tables import Profile, Table, title

MAX_ROWS = 1_048_576
_EPOCH = datetime(1900, 3, 1, tzinfo=UTC)  # before it, spreadsheets disagree about the date

# Widths in characters. A text column is as wide as an order number or a city, lines wrap.
_WIDTHS = {Kind.TEXT: 18, Kind.LINES: 34, Kind.FLAG: 11, Kind.MONEY: 14, Kind.NUMBER: 10, Kind.INSTANT: 20}
_WIDER = {"name": 26, "address1": 32, "address2": 32, "email": 30, "url": 30, "do_not_ship": 40, "product_name": 34}

_HEADER = {
    "bold": True,
    "bg_color": "#1F3A5F",
    "font_color": "#FFFFFF",
    "text_wrap": True,
    "valign": "vcenter",
    "border": 1,
    "border_color": "#B8C4D6",
}
# Beside the words in the column `do_not_ship`: a colour helps who sees it, the words tell everyone.
_ALARM = {"bg_color": "#FBE3E1", "font_color": "#7A1610"}
_KINDS: dict[Kind, dict[str, object]] = {
    Kind.TEXT: {"num_format": "@"},
    Kind.LINES: {"num_format": "@", "text_wrap": True},
    Kind.FLAG: {"num_format": "@"},
    Kind.MONEY: {},
    Kind.NUMBER: {},
    Kind.INSTANT: {"num_format": "yyyy-mm-dd hh:mm:ss"},
}


def write_xlsx(
    profile: Profile, entries: Iterable[Entry], target: BinaryIO, *, exported_at: datetime, zone: tzinfo
) -> int:
    """Write the profile's tables and a sheet `About`; returns the number of rows in the last table.

    `target` must be able to seek and stays open. Entries are taken one at a time. Raises IonError when a value
    does not fit a spreadsheet.
    """
    # The library keeps rows in files until the book is closed; in a folder of their own none is left after a failure.
    with tempfile.TemporaryDirectory(prefix="ion-") as folder:
        book = _Book(target, folder, exported_at)
        sheets = [_TableSheet(book, table) for table in profile.tables]
        about = book.sheet("About")
        merchants: set[str] = set()
        order_count = alarms = 0
        for entry in entries:
            order_count += 1
            merchants.add(entry.stored.merchant)
            alarms += bool(entry.order.do_not_ship)
            for sheet in sheets:
                sheet.write(entry)
        for sheet in sheets:
            sheet.finish()
        facts: tuple[tuple[str, str | int], ...] = (
            ("Made by", f"ION {ion.__version__}"),
            ("Profile", str(profile)),
            ("Written at", f"{exported_at.astimezone(zone):%Y-%m-%d %H:%M:%S %z} ({zone})"),
            ("Written at (UTC)", f"{exported_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"),
            ("Orders", order_count),
            ("Orders not to be shipped as they are", alarms),
            *((f"Rows in {sheet.table.name}", sheet.rows_written) for sheet in sheets),
            ("Merchants", ", ".join(sorted(merchants))),
            (
                "Times",
                "Columns marked (UTC) are in Coordinated Universal Time; other times are as the platform wrote them.",
            ),
            ("Amounts", "Numbers with more than 15 digits are text, because a spreadsheet would round them."),
            (
                "Empty cells",
                "The order does not say. Columns that are empty in every row are hidden; none is left out.",
            ),
        )
        _write_about(book, about, facts, profile.tables)
        book.close()
    return sheets[-1].rows_written


class _Book:
    """The workbook and its formats, each made once."""

    def __init__(self, target: BinaryIO, folder: str, created_at: datetime) -> None:
        self._book: Any = xlsxwriter.Workbook(
            target,
            {
                "constant_memory": True,
                "tmpdir": folder,
                "strings_to_numbers": False,
                "strings_to_formulas": False,
                "strings_to_urls": False,
            },
        )
        self._book.set_properties({"title": "ION orders", "created": created_at.astimezone(UTC).replace(tzinfo=None)})
        self._formats: dict[tuple[Kind, str, bool], Any] = {}
        self.header = self._book.add_format(_HEADER)
        self.plain = self._book.add_format({"valign": "top", "num_format": "@", "text_wrap": True})
        self.strong = self._book.add_format({"valign": "top", "bold": True})

    def sheet(self, name: str) -> Any:
        """A new sheet; the library checks the name."""
        return self._book.add_worksheet(name)

    def cell_format(self, kind: Kind, number: str = "", *, alarm: bool = False) -> Any:
        """The format of a cell; `number`: its number format, where the kind alone does not say."""
        key = (kind, number, alarm)
        if key not in self._formats:
            declared = {"valign": "top", **_KINDS[kind], **(_ALARM if alarm else {})}
            self._formats[key] = self._book.add_format({**declared, "num_format": number} if number else declared)
        return self._formats[key]

    def close(self) -> None:
        self._book.close()


class _TableSheet:
    """One table on its sheet, and on further sheets where one is full."""

    def __init__(self, book: _Book, table: Table) -> None:
        self.table = table
        self.rows_written = 0
        self._book = book
        self._numbers = count(2)
        self._begin(table.name)

    def _begin(self, name: str) -> None:
        self._sheet = self._book.sheet(name)
        self._sheet.freeze_panes(1, 1)
        self._sheet.set_row(0, 32)
        for at, column in enumerate(self.table.columns):
            self._sheet.set_column(at, at, _width(column), self._book.cell_format(column.kind))
            self._sheet.write_string(0, at, title(column), self._book.header)
        self._row = 1
        self._unused = set(range(len(self.table.columns)))

    def write(self, entry: Entry) -> None:
        """Append the rows of one order."""
        alarm = bool(entry.order.do_not_ship)
        for cells in self.table.rows(entry, lambda cell: cell):
            if self._row == MAX_ROWS:
                self.finish()
                self._begin(f"{self.table.name} {next(self._numbers)}")
            for at, (column, cell) in enumerate(zip(self.table.columns, cells, strict=True)):
                if cell is not None:
                    self._unused.discard(at)
                if cell is not None or alarm:
                    self._write_cell(at, column, cell, alarm)
            self._row += 1
            self.rows_written += 1

    def _write_cell(self, at: int, column: Column, cell: Cell, alarm: bool) -> None:
        sheet, style = self._sheet, self._book.cell_format
        if cell is None:
            refused = sheet.write_blank(self._row, at, None, style(column.kind, alarm=alarm))
        elif isinstance(cell, datetime):
            refused = self._write_instant(at, cell, alarm)
        elif isinstance(cell, str):
            kind = Kind.LINES if "\n" in cell else column.kind if column.kind in {Kind.LINES, Kind.FLAG} else Kind.TEXT
            refused = sheet.write_string(self._row, at, fitting(cell), style(kind, alarm=alarm))
        elif (number := exact_float(cell)) is None:
            refused = sheet.write_string(self._row, at, plain_number(cell), style(Kind.TEXT, alarm=alarm))
        else:
            shown = style(column.kind, _number_format(column.kind, cell), alarm=alarm)
            refused = sheet.write_number(self._row, at, number, shown)
        if refused:  # the library says so by a number and goes on without the cell
            raise IonError(f"{title(column)} in row {self._row + 1} does not fit a spreadsheet")

    def _write_instant(self, at: int, instant: datetime, alarm: bool) -> int:
        utc = instant.astimezone(UTC).replace(microsecond=0)
        style = self._book.cell_format(Kind.INSTANT, alarm=alarm)
        if utc < _EPOCH:
            return int(self._sheet.write_string(self._row, at, f"{utc:%Y-%m-%d %H:%M:%S}", style))
        return int(self._sheet.write_datetime(self._row, at, utc.replace(tzinfo=None), style))

    def finish(self) -> None:
        """Close the table: filter buttons over what was written, columns that no row uses hidden, no warnings about
        numbers kept as text."""
        for at in self._unused if self._row > 1 else ():
            self._sheet.set_column(at, at, None, None, {"hidden": True})
        last = len(self.table.columns) - 1
        self._sheet.autofilter(0, 0, max(self._row - 1, 0), last)
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MAX_ROWS}"})


def _number_format(kind: Kind, number: Decimal | int) -> str:
    """Shows every digit the number has: at least two decimals for money, as many as needed otherwise."""
    places = max(decimal_places(number), 2 if kind is Kind.MONEY else 0)
    whole = "#,##0" if kind is Kind.MONEY else "0"
    return f"{whole}.{'0' * places}" if places else whole


def _width(column: Column) -> int:
    named = [width for ending, width in _WIDER.items() if column.name == ending or column.name.endswith(f"_{ending}")]
    return named[0] if named else _WIDTHS[column.kind]


def _write_about(book: _Book, sheet: Any, facts: Iterable[tuple[str, str | int]], tables: Iterable[Table]) -> None:
    """What the file is, and what each of its columns means."""
    for at, width in enumerate((34, 34, 46, 80)):
        sheet.set_column(at, at, width)
    row = 0
    for row, (name, value) in enumerate(facts):
        sheet.write_string(row, 0, name, book.strong)
        if isinstance(value, int):
            sheet.write_number(row, 1, value, book.cell_format(Kind.NUMBER, "0"))
        else:
            sheet.write_string(row, 1, fitting(value))
    row += 2
    for at, heading in enumerate(("Sheet", "Column", "Name in the CSV", "Meaning")):
        sheet.write_string(row, at, heading, book.header)
    for table in tables:
        for column in table.columns:
            row += 1
            for at, text in enumerate((table.name, title(column), column.name, column.about)):
                sheet.write_string(row, at, text, book.plain)
