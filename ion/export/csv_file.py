"""CSV as RFC 4180 has it: UTF-8 without BOM, commas, CRLF, quotes only where they are needed, written as it goes.

Line breaks inside a value stay LF inside the quotes. There is no guard against formulas (no `'` before `=`, `+`,
`-`, `@`): this file is for programs that import it, and a guard would corrupt every phone number and every
negative amount in it. People who open files in a spreadsheet take the XLSX, where no cell can be a formula.
"""

import csv
from collections.abc import Iterable
from datetime import datetime
from typing import BinaryIO

from ion.export.cells import plain_text
from ion.export.columns import ExportOrder
from ion.export.profiles import Profile, entry_of

_BLOCK_CHARACTERS = 256 * 1024


class _Utf8:
    """Takes the text of rows, hands octets on in blocks."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._waiting: list[str] = []
        self._characters = 0

    def write(self, text: str) -> None:
        self._waiting.append(text)
        self._characters += len(text)
        if self._characters >= _BLOCK_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        self._target.write("".join(self._waiting).encode("utf-8"))
        self._waiting.clear()
        self._characters = 0


def write_csv(
    profile: Profile, orders: Iterable[ExportOrder], target: BinaryIO, *, exported_at: datetime
) -> tuple[int, int]:
    """Write the profile's first table; returns the number of orders and of rows below the header.

    Orders are taken one at a time and never held. `exported_at` is aware. `target` stays open.
    """
    table = profile.tables[0]
    sink = _Utf8(target)
    writer = csv.writer(sink, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(column.name for column in table.columns)
    order_count = row_count = 0
    for stored in orders:
        order_count += 1
        for row in table.rows(entry_of(stored, exported_at), plain_text):
            writer.writerow(row)
            row_count += 1
    sink.flush()
    return order_count, row_count
