"""How a CSV file spells its cells: delimiter, byte order mark, decimal mark, instants, guard, and which rows repeat."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from ion.export.cells import Cell, Digits, exact_float, fitting, plain_number, plain_text
from ion.export.guard import Guard, guarded

ENCODINGS = {"utf-8": "utf-8", "utf-8-bom": "utf-8-sig", "windows-1252": "cp1252"}
"""Name in a profile → Python's name of the codec."""


@dataclass(frozen=True)
class Dialect:
    """The spelling of one kind of CSV (RFC 4180: CRLF, quotes doubled).

    `encoding`: a key of `ENCODINGS`; `instants`: form of instants, in UTC (`strftime`), ISO 8601 where None;
    `quote_all`: also where no quotes are needed; `titles`: headings for people instead of the columns' names;
    `spreadsheet`: for people who open it, so what a cell cannot hold is text (a number of more than 15 digits) or cut.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal_mark: str = "."
    instants: str | None = None
    guard: Guard = Guard.NONE
    quote_all: bool = False
    titles: bool = False
    spreadsheet: bool = False

    def text(self, cell: Cell) -> str:
        """The cell as it stands in the file, quotes and encoding aside."""
        if isinstance(cell, Digits):
            return cell
        if isinstance(cell, str):
            return guarded(fitting(cell) if self.spreadsheet else cell, self.guard)
        if isinstance(cell, datetime):
            return cell.astimezone(UTC).strftime(self.instants) if self.instants else plain_text(cell)
        if isinstance(cell, Decimal | int):
            digits = plain_number(cell).replace(".", self.decimal_mark)
            return guarded(digits, self.guard) if self.spreadsheet and exact_float(cell) is None else digits
        return ""


PLAIN = Dialect()
"""For programs: UTF-8, commas, a point, ISO 8601, nothing guarded."""
