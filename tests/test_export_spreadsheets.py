"""Exports opened by a spreadsheet program in three languages: every value is still itself, and nothing calculates."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, product
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ion.contract import FIELDS, Kind, from_entries, order_entries
from ion.export import PROFILES, export_orders
from ion.export.cells import Cell, exact_float, plain_number
from ion.export.guard import MARK, Guard, guarded
from ion.export.tables import Table, entry_of
from ion.order import Address, Order
from tests.exports import AT, BERLIN, TWO, Stored, hub_order
from tests.orders import full_order
from tests.spreadsheets import opened
from tests.thinning import one_in

LOCALES = {"en-US": "excel-en", "de": "excel-de", "fr": "excel-fr"}
FULL_WIDTH = "＝＋－＠"
LIKE_OTHER_THINGS = (
    *("00123E4", "0001234", "01067", "1e5", "1E-3", "2026-11-23", "23.11.2026", "23/11/2026", "1/2", "DEC-1", "May 5"),
    *("5 mai", "5. Mai", "12:30", "12 AM", "5%", "$5", "5 €", "5 EUR", "1,234", "1.234", "1 234,5", "(5)", "5-", "-5"),
    *("+4915112345678", "+49 151 123", "TRUE", "wahr", "FAUX", "#N/A", "'0123", "1" * 29, "１２３", "0x10", "1.2.3"),
    *("=1+1", "@SUM(A1)", "{=1}", "_x0041_", 'a"b', "a,b", "a;b", "a\nb", "http://x.example"),
    *("東京都 👩‍🚀", "ירושלים", "القاهرة", "Łódź ß ñ", "ﷺ", "ユルゲン"),
)


def injections() -> Iterator[str]:
    """200 texts that want to be a formula: what a formula begins with, what may stand before, what it may do."""
    begins = ("=", "+", "-", "@", "\t=", "\r=", "\n=", *FULL_WIDTH)
    before = ("", "\ufeff", " ", "\u200b", '"', "'", '";"', '","', ";", ",", "a\n", 'a"\r\n')
    does: tuple[str, ...] = ("1+1", "SUM(1;1)", "SUM(1,1)", "cmd|'/C calc'!A0", 'HYPERLINK("http://127.0.0.1/";"x")')
    does += ('DDE("soffice";"/etc/passwd";"A1")', 'WEBSERVICE("http://127.0.0.1/")', "1+1\n=2+2", '"1"&"1"')
    yield from (begin + what for begin, what in product(begins, does))
    others = [first + begin + what for begin, what, first in product(begins, does, before) if first]
    step = len(others) / (200 - len(begins) * len(does))
    yield from (others[int(number * step)] for number in range(200 - len(begins) * len(does)))


def hostile(texts: Sequence[str], orders: int) -> list[Stored]:
    """Orders that state one of the texts wherever an order may state a text, each column another one each time."""
    stored = []
    for number in range(orders):
        turn = count(number)
        values = []
        for entry in order_entries(full_order(blocks=1)):
            free = FIELDS[entry.code].kind in (Kind.TEXT, Kind.LINES) and entry.code != "payment.card_last_four"
            values.append(entry._replace(value=texts[next(turn) % len(texts)]) if free else entry)
        order = Order.model_validate(from_entries(values)[1])
        stored.append(Stored(order, id=1000 + number, merchant=texts[number % len(texts)]))
    return stored


def filled_address(text: str) -> Order:
    address = Address(first_name=text, address1=text, address2=f"{text}\n{text}", postal_code=text, phone=text)
    return hub_order().model_copy(update={"order_number": text, "delivery": address})


HARMLESS = [*TWO, *(Stored(filled_address(text), id=at) for at, text in enumerate(LIKE_OTHER_THINGS, start=10))]


def cells_of(table: Table, stored: list[Stored]) -> list[list[Cell]]:
    return [row for each in stored for row in table.rows(entry_of(each, AT), lambda cell: cell)]


def found_in(book: openpyxl.Workbook, sheet: str | None = None) -> list[list[Any]]:
    """The cells below the heading."""
    worksheet = book[sheet] if sheet else book.worksheets[0]
    return [[cell.value for cell in row] for row in worksheet.iter_rows(min_row=2)]


def agrees(cell: Cell, found: Any, guard: Guard) -> bool:
    """Whether the program still has what the file was given."""
    if isinstance(cell, datetime):
        return bool(found == cell.astimezone(UTC).replace(tzinfo=None, microsecond=0))
    if isinstance(cell, Decimal | int):
        if exact_float(cell) is None:
            return isinstance(found, str) and found.removeprefix(MARK).replace(",", ".") == plain_number(cell)
        return not isinstance(found, str) and found is not None and Decimal(f"{found:.15g}") == cell
    if isinstance(found, datetime) and isinstance(cell, str):
        # ISO 8601 with a time: the program knows it for what it is, and shows it as it stands.
        return bool(found.isoformat() == cell)
    return bool((found or None) == (guarded(cell, guard) if isinstance(cell, str) and cell else None))


@pytest.fixture(scope="module", params=one_in(3, LOCALES))
def locale(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spreadsheets")


def test_a_spreadsheet_keeps_every_value_in_every_language(folder: Path, locale: str) -> None:
    path = folder / f"values-{locale}.xlsx"
    export_orders(HARMLESS, "xlsx", path, exported_at=AT, zone=BERLIN)
    book = opened([path], folder, locale)[path.stem]
    for table in PROFILES["xlsx"].tables:
        rows = cells_of(table, HARMLESS)
        found = found_in(book, table.name)
        assert len(found) == len(rows)
        different = [
            (column.name, cell, value)
            for row, values in zip(rows, found, strict=True)
            for column, cell, value in zip(table.columns, row, values, strict=True)
            if not agrees(cell, value, Guard.NONE)
        ]
        assert different == []


@pytest.mark.long
def test_a_csv_for_excel_keeps_every_value_in_its_own_language_and_calculates_nothing(
    folder: Path, locale: str
) -> None:
    profile = PROFILES[LOCALES[locale]]
    stored = HARMLESS + hostile(list(injections()), 10)
    path = folder / f"{profile.name}.csv"
    export_orders(stored, profile.name, path, exported_at=AT, zone=BERLIN)
    book = opened([path], folder, locale, delimiter=profile.dialect.delimiter)[path.stem]
    assert active(book) == []
    table = profile.tables[0]
    rows, found = cells_of(table, stored), found_in(book)
    assert len(found) == len(rows)
    different = [
        (column.name, cell, value)
        for row, values in zip(rows, found, strict=True)
        for column, cell, value in zip(table.columns, row, values, strict=True)
        if column.name != "merchant" and not agrees(cell, value, Guard.SPREADSHEET)
    ]
    assert different == []


def active(book: openpyxl.Workbook) -> list[str]:
    """Cells that calculate, or lead elsewhere."""
    return [
        f"{sheet.title}!{cell.coordinate}: {cell.value}"
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f" or cell.hyperlink
    ]


@pytest.mark.long
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_for_excel_calculates_nothing_where_the_wrong_delimiter_is_taken(folder: Path, delimiter: str) -> None:
    profile = PROFILES["excel-de" if delimiter == "," else "excel-en"]
    path = folder / f"wrong-{ord(delimiter)}.csv"
    export_orders(hostile(list(injections()), 20), profile.name, path, exported_at=AT, zone=BERLIN)
    assert active(opened([path], folder, "en-US", delimiter=delimiter)[path.stem]) == []


@pytest.mark.long
def test_an_import_calculates_nothing_in_a_spreadsheet(folder: Path) -> None:
    stored = hostile(list(injections()), 20)
    paths = []
    for profile in PROFILES.values():
        if profile.dialect.guard is Guard.FORMULAS:
            paths.append(folder / f"import-{profile.name}.csv")
            export_orders(stored, profile.name, paths[-1], exported_at=AT, zone=BERLIN)
    assert len(paths) == 7
    books = opened(paths, folder, "en-US", delimiter=",")
    assert {name: active(book) for name, book in books.items()} == {path.stem: [] for path in paths}


@pytest.mark.long
def test_no_text_that_wants_to_be_a_formula_is_one_in_any_column_of_a_file_for_people(folder: Path) -> None:
    stored = hostile(list(injections()), 200)
    for name in ("xlsx", *LOCALES.values()):
        profile = PROFILES[name]
        path = folder / f"all-{name}.{profile.suffix}"
        export_orders(stored, name, path, exported_at=AT, zone=BERLIN)
        delimiter = profile.dialect.delimiter if profile.suffix == "csv" else None
        assert active(opened([path], folder, "en-US", delimiter=delimiter)[path.stem]) == []


def test_there_are_200_texts_that_want_to_be_a_formula() -> None:
    found = list(injections())
    assert len(found) == len(set(found)) == 200
    assert {text[:1] for text in found} >= {*"=+-@\t\r\n\"';, \ufeff\u200ba", *FULL_WIDTH}
