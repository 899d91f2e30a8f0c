"""Export files: the columns are those promised, every value survives, no cell is a formula, files appear whole."""

import csv
import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ion.errors import IonError
from ion.export import PROFILES, VERSIONS, ExportSummary, Profile, export_orders, file_name, profile_named
from ion.export.cells import MAX_CELL_UNITS, Cell, exact_float, pairs_text, plain_number, plain_text
from ion.export.tables import entry_of, title
from ion.export.totals import Verdict, check_total
from ion.files import write_whole
from ion.order import Address, LineItem, Order, Pair, Totals
from tests.exports import AT, BERLIN, TWO, Stored, bare_order, exported, hub_order, money, rows_of, stored_samples
from tests.orders import full_order, guarded_orders, long_order, model_leaves, orders, small_order
from tests.thinning import one_in

GOLDEN = Path(__file__).parent / "golden"
EXCEL = ("excel-en", "excel-de", "excel-fr")
STANDARD_NAMES = [column.name for column in PROFILES["standard"].tables[0].columns]
HOSTILE = ["=1+1", "+4915112345678", "@SUM(A1)", "-5", "00123E4", "0001234", "01067", "1e5", "2026-11-23", "TRUE"]
HOSTILE += [
    'a"b',
    "a,b",
    "a;b",
    "http://x.example",
    "{=1}",
    "_x0041_",
    "'0123",
    "＝1+1",
    "1" * 29,
    "東京 👩‍🚀",
    "\ufffe",
]


def book_of(octets: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(octets))


def cells_of(book: openpyxl.Workbook, sheet: str, row: int = 2) -> dict[str, Any]:
    """Column name → cell of one row."""
    (table,) = (table for table in PROFILES["xlsx"].tables if table.name == sheet)
    cells = next(book[sheet].iter_rows(min_row=row, max_row=row))
    return {column.name: cell for column, cell in zip(table.columns, cells, strict=True)}


# Columns


@pytest.mark.parametrize("profile", VERSIONS, ids=str)
def test_the_columns_are_the_golden_ones(profile: Any) -> None:
    listed = "".join(
        f"{table.name}\t{column.name}\t{title(column)}\t{column.kind}\n"
        for table in profile.tables
        for column in table.columns
    )
    golden = GOLDEN / f"{profile.name}-v{profile.version}.columns.tsv"
    assert listed == golden.read_text("utf-8"), "a column changed: that is a new version of the profile"


@pytest.mark.parametrize("profile", [profile for profile in VERSIONS if profile.suffix == "csv"], ids=str)
def test_the_file_is_the_golden_one(profile: Profile) -> None:
    stored = list(TWO) if profile.name in ("standard", *EXCEL) else stored_samples()
    golden = GOLDEN / f"{profile.name}-v{profile.version}.csv"
    assert exported(stored, str(profile))[0] == golden.read_bytes()


@pytest.mark.parametrize("profile", VERSIONS, ids=str)
def test_column_names_are_unique_and_explained(profile: Any) -> None:
    for table in profile.tables:
        names = [column.name for column in table.columns]
        assert len(set(names)) == len(names)
        assert all(column.about.endswith(".") for column in table.columns)


# Leaves of the order that the standard file does not tell, and why nobody misses them when entering an order.
_NOT_ON_A_LABEL = "email phone phone2 phone_country fax collection_point country_stated local_first_name".split()
_NOT_ON_A_LABEL += ["local_last_name", "vat_number", "tax_id"]
_PARTS_OF_A_NAME = ["salutation", "first_name", "middle_name", "last_name"]
_PARTIES = ["payer", "payment_holder", "importer"]
_LOCAL = ["delivery_local", "billing_local"]
NOT_EXPORTED = {
    "customer.culture": "where no language is preferred, this one is exported",
    "customer.checkout_culture": "where no other language is stated, this one is exported",
    "hub.local_first_name": "the hub's name is Latin",
    "hub.local_last_name": "the hub's name is Latin",
    "lines[].price_before_rounding": "how the platform came to its price",
    "lines[].price_before_platform_discount": "how the platform came to its price",
    "lines[].rounding_rate": "how the platform came to its price",
    "lines[].duties": "the order's duties in merchant currency are exported",
    "lines[].sales_taxes": "the order's taxes in merchant currency are exported",
    "lines[].subsidy": "what the platform pays",
    "lines[].subsidy_customer": "what the platform pays",
    "lines[].fixed_price": "whether the platform may convert the price",
    "lines[].bundle_parent_moved": "where the platform put a bundle's price",
    "shipping.vat_rate_customer": "part of the stated taxes",
    "shipping.declared_price_customer": "how the platform came to its price",
    "payment.platform_method_code": "code of a method exported by name",
    "payment.platform_method_type": "type of a method exported by name",
    "payment.processor": "stands behind the gateway, which is exported",
    "payment.transaction_type": "of a payment whose id is exported",
    "totals.merchant_currency_name": "the code is exported",
    "totals.price_coefficient": "how the platform came to its price",
    "totals.rounding_rate": "how the platform came to its price",
    "customs.prepay_offered": "the incoterm says what was chosen",
    "tracking.status_code": "code of a status exported by name",
    "tracking.status_time": "of a moment long past when the file is read",
    "tracking.location": "of a moment long past when the file is read",
    **{f"{party}.{leaf}": "receives no parcel: a block is enough" for party in _PARTIES for leaf in _NOT_ON_A_LABEL},
    **{f"{local}.{leaf}": "stated with the Latin address" for local in _LOCAL for leaf in _NOT_ON_A_LABEL},
    **{
        f"{party}.{leaf}": "exported where the name is not in one piece"
        for party in _PARTIES + _LOCAL
        for leaf in _PARTS_OF_A_NAME
    },
}
del NOT_EXPORTED["payer.vat_number"], NOT_EXPORTED["payer.tax_id"]


def without(value: Any, steps: list[str]) -> None:
    """Remove the leaf at `steps` from JSON, in every element of a list."""
    step, rest = steps[0].removesuffix("[]"), steps[1:]
    if not rest:
        value.pop(step, None)
        return
    inner = value.get(step)
    for item in inner if isinstance(inner, list) else [inner] if inner else []:
        without(item, rest)


@pytest.mark.long
def test_every_leaf_of_an_order_is_in_the_standard_file_or_has_a_reason_not_to_be() -> None:
    everything = full_order(blocks=1)
    values = everything.to_json()
    whole = exported([Stored(everything)])[0]
    missing = set()
    for path, _, _ in model_leaves(Order):
        changed = Order.model_validate(values).to_json()
        without(changed, path.split("."))
        if path in {"platform", "order_number", "lines[].quantity"} or path.endswith(("].amount", "].currency")):
            continue  # an order cannot be without them; they are in the golden file
        if exported([Stored(Order.model_validate(changed))])[0] == whole:
            missing.add(path)
    assert missing == set(NOT_EXPORTED)


# CSV


def test_csv_is_rfc_4180_in_utf_8_without_bom() -> None:
    octets, summary = exported(TWO)
    assert not octets.startswith(b"\xef\xbb\xbf")
    assert octets.endswith(b"\r\n")
    assert b"\r" not in octets.replace(b"\r\n", b"")
    assert b'"East Midlands Airport\nGE12345678GB"' in octets, "a value's own line break stays LF"
    assert b'"Gro\xc3\x9f ""der \xc3\x84ltere"""' in octets
    assert b",default," in octets, "what needs no quotes has none"
    assert summary == ExportSummary(orders=2, rows=3, sha256=hashlib.sha256(octets).hexdigest())


def test_an_order_has_one_row_per_line_with_its_columns_repeated_and_one_row_without_lines() -> None:
    first, second, third = rows_of(exported(TWO)[0])
    ours = {name for name in STANDARD_NAMES if first[name] != second[name]}
    assert ours <= {column.name for column in PROFILES["xlsx"].tables[1].columns}
    assert (first["line_no"], second["line_no"], third["line_no"]) == ("1", "2", "")
    assert (third["order_number"], third["line_count"], third["sku"]) == ("123-45678", "0", "")


def test_the_parcel_and_the_customer_are_told_apart() -> None:
    hub, _, direct = rows_of(exported(TWO)[0])
    assert (hub["ship_to_role"], hub["ship_to_city"], hub["customer_city"]) == ("hub", "Derby", "Dresden")
    assert (direct["ship_to_role"], direct["ship_to_name"], direct["customer_name"]) == (
        "customer",
        "Ana Ruiz",
        "Ana Ruiz",
    )


@pytest.mark.parametrize("reason", guarded_orders())
def test_an_order_not_to_be_shipped_says_so_in_words(reason: str) -> None:
    (row,) = rows_of(exported([Stored(guarded_orders()[reason])])[0])
    assert row["do_not_ship"].startswith("DO NOT SHIP: ")
    assert row["do_not_ship"] != f"DO NOT SHIP: {reason}", "the reason is a sentence for people"


def test_importers_get_values_without_a_guard() -> None:
    (row, *_) = rows_of(exported(TWO)[0])
    assert (row["customer_phone"], row["customer_tax_id"]) == ("+4915112345678", "=1+1")


def test_unknown_is_an_empty_cell_and_zero_is_not() -> None:
    order = small_order().model_copy(update={"totals": Totals(shipping_customer=money("0"), customer_currency="EUR")})
    (row,) = rows_of(exported([Stored(order)])[0])
    assert (row["shipping_total_customer"], row["duties_taxes_customer"], row["test"]) == ("0", "", "")


def test_an_amount_in_another_currency_than_its_column_brings_its_own() -> None:
    order = small_order().model_copy(
        update={
            "totals": Totals(
                customer_currency="EUR", total_customer=money("5", "USD"), shipping_customer=money("1", None)
            )
        }
    )
    (row,) = rows_of(exported([Stored(order)])[0])
    assert (row["order_total_customer"], row["shipping_total_customer"]) == ("5 USD", "1 (no currency stated)")


def test_every_digit_of_an_amount_is_written() -> None:
    (row, *_) = rows_of(exported(TWO)[0])
    assert (row["charged_amount"], row["charged_currency"]) == ("235.74993308058803207162312511", "USD")
    assert plain_number(Decimal("-0.00")) == "0"
    assert plain_number(Decimal("1E+3")) == "1000"


def test_pairs_can_be_told_apart_again_whatever_they_hold() -> None:
    pairs = [Pair(name="a=b", value="c;d=e"), Pair(value="f=g"), Pair(name="h"), Pair(name="i", value="\\")]
    assert pairs_text(pairs) == r"a\=b=c\;d=e; f\=g; h=; i=\\"


@pytest.mark.long
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(orders(), max_size=3))
def test_any_order_read_back_by_the_standard_library_is_what_was_written(found: list[Order]) -> None:
    stored = [Stored(order, id=number) for number, order in enumerate(found)]
    header, *rows = csv.reader(io.StringIO(exported(stored)[0].decode("utf-8"), newline=""), strict=True)
    assert header == STANDARD_NAMES
    table = PROFILES["standard"].tables[0]
    assert rows == [row for each in stored for row in table.rows(entry_of(each, AT), plain_text)]


def test_orders_are_taken_one_at_a_time() -> None:
    taken: list[int] = []
    written: list[int] = []

    class Target(io.BytesIO):
        def write(self, octets: Any) -> int:
            written.append(len(taken))
            return super().write(octets)

    def source() -> Iterator[Stored]:
        for number in range(200):
            taken.append(number)
            yield Stored(long_order(10), id=number)

    export_orders(source(), "standard", Target(), exported_at=AT, zone=UTC)
    assert written[0] < 100 < written[-1]


# Totals


@pytest.mark.parametrize(
    ("change", "verdict", "difference"),
    [
        ({}, Verdict.OK, None),
        ({"total_customer": money("60.39")}, Verdict.DIFF, "0.01"),
        ({"total_customer": None}, Verdict.UNKNOWN, None),
        ({"total_customer": money("60.38", "USD")}, Verdict.UNKNOWN, None),
        ({"shipping_customer": None}, Verdict.UNKNOWN, None),
        ({"shipping_customer": None, "total_customer": money("55.38")}, Verdict.OK, None),
        ({"same_day_dispatch_customer": money("1")}, Verdict.DIFF, "-1"),
    ],
)
def test_the_money_identity_is_recomputed(change: dict[str, Any], verdict: Verdict, difference: str | None) -> None:
    order = hub_order()
    order = order.model_copy(update={"totals": order.totals.model_copy(update=change)})
    found = check_total(order)
    assert found.verdict == verdict
    assert (found.difference and plain_number(found.difference.amount)) == difference


def test_a_line_total_that_is_stated_counts_instead_of_price_times_quantity() -> None:
    order = hub_order()
    lines = (order.lines[0].model_copy(update={"line_total_customer": money("37.99")}), order.lines[1])
    assert check_total(order.model_copy(update={"lines": lines})).difference == money("0.01")


def test_sums_of_sixty_digits_are_exact() -> None:
    big, small = "9" * 59, "0." + "0" * 58 + "1"
    lines = tuple(LineItem(quantity=Decimal(1), unit_price_customer=money(amount)) for amount in (big, small))
    order = hub_order().model_copy(update={"lines": lines, "discounts": (), "markups": (), "totals": Totals()})
    assert rows_of(exported([Stored(order)])[0])[0]["items_total_customer"] == f"{big}.{small[2:]}"


# XLSX


def hostile_order(text: str) -> Order:
    return hub_order().model_copy(
        update={
            "order_number": text,
            "delivery": Address(
                first_name=text, address1=text, address2=f"{text}\n{text}", postal_code=text, phone=text
            ),
            "lines": (LineItem(sku=text, name=text, quantity=Decimal(1), gift_message=f"\u200b{text}\n{text}"),),
        }
    )


@pytest.mark.parametrize("text", one_in(3, HOSTILE))
def test_no_cell_of_a_spreadsheet_is_a_formula_a_link_or_a_number_by_accident(text: str) -> None:
    book = book_of(exported([Stored(hostile_order(text), warnings=(text,), merchant=text)], "xlsx")[0])
    for sheet in book:
        assert not [cell for row in sheet.iter_rows() for cell in row if cell.data_type == "f" or cell.hyperlink]
    order, line = cells_of(book, "Orders"), cells_of(book, "Lines")
    cells = [
        order["order_number"],
        order["customer_postal_code"],
        order["customer_phone"],
        line["sku"],
        order["merchant"],
    ]
    kept = text.replace("\ufffe", "_xFFFE_").replace("_x0041_", "_x005F_x0041_")  # as the file format spells them
    for cell in cells:
        assert (cell.data_type, cell.value) == ("s", kept)


def test_amounts_are_numbers_unless_a_spreadsheet_would_round_them() -> None:
    book = book_of(exported(TWO, "xlsx")[0])
    order, line = cells_of(book, "Orders"), cells_of(book, "Lines")
    assert (order["order_total_customer"].data_type, order["order_total_customer"].value) == ("n", 60.38)
    assert order["order_total_customer"].number_format == "#,##0.00"
    assert (line["quantity"].data_type, line["quantity"].value, line["quantity"].number_format) == ("n", 2, "0")
    assert (order["charged_amount"].data_type, order["charged_amount"].value) == ("s", "235.74993308058803207162312511")
    assert (line["customer_currency"].value, line["merchant_currency"].value) == ("EUR", "GBP")


@given(
    st.builds(
        lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-(10**20), 10**20), st.integers(0, 25)
    )
)
def test_a_number_becomes_a_spreadsheet_number_only_when_fifteen_digits_say_it(number: Decimal) -> None:
    kept = exact_float(number)
    digits, places = plain_number(abs(number)).replace(".", "").strip("0"), plain_number(number).partition(".")[2]
    assert (kept is None) == (len(digits) > 15 or len(places) > 20)
    if kept is not None:
        assert Decimal(f"{kept:.15g}") == number
        assert float(f"{kept:.16G}") == kept, "the digits that the file holds give the same number again"


def test_instants_are_dates_in_utc_and_the_header_says_so() -> None:
    book = book_of(exported(TWO, "xlsx")[0])
    cell = cells_of(book, "Orders")["received_at"]
    assert (cell.is_date, cell.value) == (True, datetime(2026, 11, 23, 19, 21))
    assert cells_of(book, "Orders", 1)["received_at"].value == "Received at (UTC)"


def test_sheets_have_one_row_per_order_and_per_line_with_the_order_number_first() -> None:
    octets, summary = exported(TWO, "xlsx")
    book = book_of(octets)
    assert book.sheetnames == ["Orders", "Lines", "About"]
    assert [book["Orders"].max_row, book["Lines"].max_row] == [3, 3]
    assert [row[0].value for row in book["Lines"]] == ["Order number", "GE12345678GB", "GE12345678GB"]
    assert (summary.orders, summary.rows) == (2, 2)
    assert summary.sha256 == hashlib.sha256(octets).hexdigest()


def test_sheets_are_ready_to_work_with() -> None:
    book = book_of(exported(TWO, "xlsx")[0])
    for name in ("Orders", "Lines"):
        sheet = book[name]
        assert sheet.freeze_panes == "B2"
        assert sheet.auto_filter.ref == sheet.dimensions
        assert sheet["A1"].font.b
    assert cells_of(book, "Orders")["ship_to_address2"].alignment.wrap_text
    columns = book["Orders"].column_dimensions
    assert columns["A"].width > 15
    assert any(dimension.hidden for dimension in columns.values()), "columns that nobody filled are out of the way"
    assert not any(columns[cell.column_letter].hidden for cell in book["Orders"][2] if cell.value is not None)


def test_a_row_not_to_be_shipped_is_marked_in_words_and_in_colour() -> None:
    book = book_of(exported(TWO, "xlsx")[0])
    assert cells_of(book, "Orders", 2)["do_not_ship"].value is None
    alarm = cells_of(book, "Orders", 3)
    assert alarm["do_not_ship"].value == "DO NOT SHIP: test order; a required document is still awaited"
    assert {cell.fill.fgColor.rgb for cell in alarm.values()} == {"FFFBE3E1"}
    assert cells_of(book, "Orders", 2)["order_number"].fill.fill_type is None


def test_the_about_sheet_tells_what_the_file_is() -> None:
    rows = [tuple(cell.value for cell in row) for row in book_of(exported(TWO, "xlsx")[0])["About"].iter_rows()]
    heading = rows.index(("Sheet", "Column", "Name in the CSV", "Meaning"))
    facts = {name: value for name, value, *_ in rows[:heading]}
    assert facts["Profile"] == "xlsx@2"
    assert facts["Written at"] == "2026-11-23 20:30:15 +0100 (Europe/Berlin)"
    assert (facts["Orders"], facts["Rows in Lines"], facts["Merchants"]) == (2, 2, "default")
    assert len(rows[heading + 1 :]) == sum(len(table.columns) for table in PROFILES["xlsx"].tables)


def test_a_text_too_long_for_a_cell_is_cut_with_a_note() -> None:
    order = bare_order().model_copy(update={"notes": ("👩" * 9000, "x" * 19_000)})
    value = cells_of(book_of(exported([Stored(order)], "xlsx")[0]), "Orders")["notes"].value
    assert "[cut here:" in value
    assert len(value.encode("utf-16-le")) // 2 <= MAX_CELL_UNITS


def test_a_full_sheet_goes_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.export.xlsx_file.MAX_ROWS", 5)
    octets, summary = exported([Stored(long_order(7))], "xlsx")
    book = book_of(octets)
    assert book.sheetnames == ["Orders", "Lines", "About", "Lines 2"]
    assert [book["Lines"].max_row, book["Lines 2"].max_row, summary.rows] == [5, 4, 7]
    assert book["Lines 2"]["A1"].value == "Order number"


def test_the_same_orders_give_the_same_octets() -> None:
    for profile in PROFILES:
        assert exported(TWO, profile)[0] == exported(TWO, profile)[0]


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(orders())
def test_any_order_makes_a_spreadsheet_that_opens(order: Order) -> None:
    book = book_of(exported([Stored(order)], "xlsx")[0])
    table = PROFILES["xlsx"].tables[0]
    (cells,) = table.rows(entry_of(Stored(order), AT), lambda cell: cell)

    def agrees(cell: Cell, found: Any) -> bool:
        if isinstance(cell, str):
            return isinstance(found, str)
        if isinstance(cell, Decimal | int):
            return plain_number(cell) == found if isinstance(found, str) else Decimal(f"{found:.15g}") == cell
        return (cell is None) == (found is None)

    found = [cell.value for cell in book["Orders"][2]]
    assert [
        column.name for column, cell, value in zip(table.columns, cells, found, strict=True) if not agrees(cell, value)
    ] == []


# Files


def test_a_file_that_could_not_be_finished_never_appears_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> Iterator[Stored]:
        yield TWO[0]
        raise OSError("the disk is full")

    for profile in PROFILES:
        path = tmp_path / f"orders.{profile}"
        path.write_bytes(b"yesterday's")
        with pytest.raises(OSError, match="the disk is full"):
            export_orders(failing(), profile, path, exported_at=AT, zone=UTC)
        assert path.read_bytes() == b"yesterday's"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"orders.{profile}" for profile in PROFILES)


def test_a_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    summary = export_orders(TWO, "standard", path, exported_at=AT, zone=UTC)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert hashlib.sha256(path.read_bytes()).hexdigest() == summary.sha256


def _in_pieces(octets: bytes, file: BinaryIO) -> None:
    for at in range(0, len(octets), 4096):
        file.write(octets[at : at + 4096])


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    versions = {bytes([letter]) * 300_000 for letter in b"abc"}
    path.write_bytes(min(versions))
    done = threading.Event()
    torn: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            found = path.read_bytes()
            if found not in versions:
                torn.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for octets in [*versions] * 20:
            write_whole(path, partial(_in_pieces, octets))
    finally:
        done.set()
        reader.join()
    assert torn == []


def test_write_whole_returns_what_the_writer_returns(tmp_path: Path) -> None:
    def writer(file: BinaryIO) -> str:
        file.write(b"x")
        return "done"

    assert write_whole(tmp_path / "x", writer) == "done"


def test_a_pipe_takes_the_octets_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_bytes)
        write_whole(pipe, lambda file: file.write(b"octets"))
        assert read.result(timeout=60) == b"octets"
    assert pipe.is_fifo() and [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_of_a_link_the_file_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    write_whole(tmp_path / "link", lambda file: file.write(b"octets"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "file").read_bytes() == b"octets"


def test_file_names_tell_profile_version_and_local_time() -> None:
    standard = profile_named("standard")
    assert file_name(standard, AT, BERLIN) == "ion-orders-standard-v2-2026-11-23T203015+0100.csv"
    assert file_name(profile_named("xlsx"), AT.date(), BERLIN) == "ion-orders-xlsx-v2-2026-11-23.xlsx"


def test_an_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(IonError, match=r"no export profile 'standart'; known are: xlsx, standard, "):
        export_orders(TWO, "standart", tmp_path / "x", exported_at=AT, zone=UTC)
    assert list(tmp_path.iterdir()) == []


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        export_orders(TWO, "standard", io.BytesIO(), exported_at=datetime(2026, 1, 1), zone=UTC)


def test_no_orders_give_a_file_with_a_header() -> None:
    octets, summary = exported([])
    assert octets.decode().split("\r\n") == [",".join(STANDARD_NAMES), ""]
    assert (summary.orders, summary.rows) == (0, 0)
    assert book_of(exported([], "xlsx")[0])["Orders"].max_row == 1


def test_warnings_are_made_canonical_so_that_no_file_fails_on_them() -> None:
    stored = replace(TWO[0], warnings=("a\x00b\ud800", "second"))
    assert rows_of(exported([stored])[0])[0]["warnings"] == "ab\ufffd\ufffd\ufffd\nsecond"
    exported([stored], "xlsx")
