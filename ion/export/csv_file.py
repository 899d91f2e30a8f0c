"""CSV as RFC 4180 has it, in the spelling of the profile's dialect, written as it goes.

Rows end with CRLF, quotes inside a value are doubled, line breaks inside a value stay LF inside the quotes. The profile
`standard` guards nothing (no `'` before `=`, `+`, `-`, `@`): it is for programs that import it, and a guard would
corrupt what they take in. People who open files in a spreadsheet take the XLSX, where no cell can be a formula.
"""

import csv
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, BinaryIO

from ion.export.cells import Cell, Digits, fitting
from ion.export.columns import Entry
from ion.export.dialect import ENCODINGS, Dialect
from ion.export.guard import Guard
from ion.export.tables import Profile, Table, title

_BLOCK_CHARACTERS = 256 * 1024


class _Encoded:
    """Takes the text of rows, hands octets on in blocks."""

    def __init__(self, target: BinaryIO, dialect: Dialect) -> None:
        self._target = target
        self._codec = ENCODINGS[dialect.encoding].removesuffix("-sig")
        self._waiting: list[str] = ["\ufeff"] if dialect.encoding == "utf-8-bom" else []
        self._characters = 0

    def write(self, text: str) -> None:
        self._waiting.append(text)
        self._characters += len(text)
        if self._characters >= _BLOCK_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        self._target.write("".join(self._waiting).encode(self._codec))
        self._waiting.clear()
        self._characters = 0


def write_csv(profile: Profile, entries: Iterable[Entry | str], target: BinaryIO) -> int:
    """Write the profile's first table; returns the number of rows made below the header, without those that came as
    text.

    Entries are taken one at a time and never held. `target` stays open.
    """
    table, dialect = profile.tables[0], profile.dialect
    sink = _Encoded(target, dialect)
    writer = csv.writer(
        sink,
        delimiter=dialect.delimiter,
        lineterminator="\r\n",
        quoting=csv.QUOTE_ALL if dialect.quote_all else csv.QUOTE_MINIMAL,
    )
    heading = [title(column) if dialect.titles else column.name for column in table.columns]
    rows = _rows(table, dialect, _made(entries, sink))
    if table.item_column is None:
        writer.writerow(heading)
        row_count = _write(writer, rows)
    else:
        row_count = _write_widened(writer, heading, table.item_column.name, rows)
    sink.flush()
    return row_count


def _made(entries: Iterable[Entry | str], sink: _Encoded) -> Iterator[Entry]:
    """The entries whose rows are still to be made; the text of others goes on as it is, in its place."""
    for entry in entries:
        if isinstance(entry, str):
            sink.write(entry)
        else:
            yield entry


def _rows(table: Table, dialect: Dialect, entries: Iterable[Entry]) -> Iterator[list[str]]:
    key = next((at for at, column in enumerate(table.columns) if column.name == table.distinct), None)
    written: set[str] = set()
    for entry in entries:
        for row in table.rows(entry, _form(dialect, entry.say)):
            if key is not None:
                if row[key] in written:
                    continue
                written.add(row[key])
            yield row


def _form(dialect: Dialect, say: Callable[[str], None]) -> Callable[[Cell], str]:
    """The dialect's form of a cell; says what a person would not expect of it."""
    codec = ENCODINGS[dialect.encoding]

    def form(cell: Cell) -> str:
        text = dialect.text(cell)
        if not isinstance(cell, str) or isinstance(cell, Digits):
            return text
        if dialect.guard is Guard.FORMULAS and text != cell:
            say("a text begins like a formula; an apostrophe stands before it")
        if dialect.spreadsheet and fitting(cell) != cell:
            say("a text is longer than a spreadsheet cell and was cut")
        if dialect.encoding == "windows-1252" and (kept := text.encode(codec, "replace").decode(codec)) != text:
            say("a text has characters that windows-1252 does not; `?` stands for each")
            return kept
        return text

    return form


def _write(writer: Any, rows: Iterable[list[str]]) -> int:
    row_count = 0
    for row in rows:
        writer.writerow(row)
        row_count += 1
    return row_count


def _write_widened(writer: Any, heading: list[str], name: str, rows: Iterable[list[str]]) -> int:
    """As many columns `name_1`, `name_2` and so on as the longest row needs, which is known at the end only: the rows
    wait in a file."""
    widest = len(heading)
    with tempfile.TemporaryFile("w+", encoding="utf-8", prefix="ion-") as waiting:
        for row in rows:
            widest = max(widest, len(row))
            waiting.write(json.dumps(row) + "\n")
        writer.writerow(heading + [f"{name}_{number}" for number in range(1, widest - len(heading) + 1)])
        waiting.seek(0)
        return _write(writer, (row + [""] * (widest - len(row)) for row in _waited(waiting)))


def _waited(waiting: IO[str]) -> Iterator[list[str]]:
    return (json.loads(line) for line in waiting)
