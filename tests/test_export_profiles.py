"""Profiles of shops and bookkeeping: amounts add up, nothing is replaced in silence, warnings go along."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ion.errors import IonError
from ion.export import PROFILES, CatalogueItem, ExportSummary, Options, file_name, in_files, profile_named
from ion.export.changed import changed_text
from ion.export.charges import ChargeKind, charges
from ion.export.guard import Guard, guarded
from ion.export.totals import exact_product
from ion.order import Address, LineItem, Order, Pair
from tests.exports import AT, TWO, Stored, bare_order, exported, hub_order, money, rows_of, stored_samples
from tests.orders import orders, small_order

IMPORTS = ["matrixify", "woocommerce", "shipstation", "xero", "quickbooks", "odoo"]


def rows(order: Order, profile: str, **given: Any) -> tuple[list[dict[str, str]], ExportSummary]:
    octets, summary = exported([Stored(order)], profile, **given)
    return rows_of(octets), summary


def with_line(**changes: Any) -> Order:
    return small_order().model_copy(update={"lines": (LineItem(quantity=Decimal(1), **changes),)})


# Charges


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(orders())
def test_the_charges_of_any_order_add_up_to_the_total_of_its_parts(order: Order) -> None:
    expected = order.total_of_parts()
    if expected is None:
        assert any(charge.kind is ChargeKind.ITEM and charge.amount is None for charge in charges(order))
        return
    amounts = [exact_product(charge.amount, charge.quantity).amount for charge in charges(order) if charge.amount]
    assert sum(map(Fraction, amounts), Fraction(0)) == Fraction(expected)


def test_an_invoice_comes_to_what_the_customer_pays() -> None:
    for profile, price, count in (("xero", "*UnitAmount", "*Quantity"), ("quickbooks", "Item Rate", "Item Quantity")):
        found, _ = rows(hub_order(), profile)
        assert sum(Decimal(row[price]) * Decimal(row[count]) for row in found) == Decimal("60.38")
    found, _ = rows(hub_order(), "odoo")
    assert sum(Decimal(row["order_line/price_unit"]) * Decimal(row["order_line/product_uom_qty"]) for row in found) == (
        Decimal("60.38")
    )


def test_an_invoice_that_does_not_come_to_the_stated_total_says_so() -> None:
    order = hub_order()
    totals = order.totals.model_copy(update={"total_customer": money("61")})
    for profile in ("xero", "quickbooks", "odoo"):
        _, summary = rows(order.model_copy(update={"totals": totals}), profile)
        assert any("do not come to the total" in note for note in summary.notes)


# What is replaced is said


def test_a_woocommerce_item_keeps_its_marks_apart_and_says_what_it_replaced() -> None:
    order = with_line(
        name="Mug | blue: large", sku="A:1", unit_price_customer=money("5"), attributes=(Pair(name="a", value="b|c"),)
    )
    (row,), summary = rows(order, "woocommerce")
    assert row["line_item_1"] == "name:Mug / blue- large|sku:A-1|quantity:1|total:5|sub_total:5|meta:a:b/c"
    number = order.order_number
    assert f"order {number}: `|` in the product name was replaced by `/`" in summary.notes
    assert f"order {number}: `:` in the SKU was replaced by `-`" in summary.notes


def test_woocommerce_has_as_many_item_columns_as_the_longest_order_needs() -> None:
    octets, summary = exported([*TWO, Stored(small_order(), id=9)], "woocommerce")
    header, *found = csv.reader(io.StringIO(octets.decode(), newline=""))
    assert header[-2:] == ["line_item_1", "line_item_2"] and "line_item_3" not in header
    assert {len(row) for row in found} == {len(header)} and summary.rows == 3


def test_shipstation_gets_what_fits_and_the_rest_is_said() -> None:
    order = with_line(name="x" * 51, hs_code="1" * 31, unit_price_customer=money("1.005"))
    order = order.model_copy(update={"order_number": "N" * 51})
    (row,), summary = rows(order, "shipstation")
    assert (len(row["Item Name"]), len(row["HS Tariff"]), len(row["Order Number"])) == (50, 30, 50)
    assert (row["Unit Price"], row["Custom Field 1"]) == ("1", "N" * 51)
    said = [note.removeprefix(f"order {order.order_number}: ") for note in summary.notes]
    assert {
        "the product name was shortened to 50 characters",
        "the tariff number was shortened to 30 characters",
        "the order number was shortened to 50 characters",
        "the unit price was rounded to 2 decimals",
    } <= set(said)


def test_an_order_without_a_date_has_that_of_its_mail_and_it_is_said() -> None:
    (row, *_), summary = rows(small_order().model_copy(update={"created_time": None}), "xero")
    assert row["*InvoiceDate"] == "23/11/2026"
    assert any("the day its mail arrived stands instead" in note for note in summary.notes)
    (row, *_), summary = rows(hub_order(), "shipstation")
    assert row["Order Date"] == "11/23/2026 18:02:11" and not any("date" in note for note in summary.notes)


@pytest.mark.parametrize("profile", IMPORTS)
def test_an_order_not_to_be_shipped_is_said_beside_every_import(profile: str) -> None:
    _, summary = rows(bare_order(), profile)
    assert f"order {bare_order().order_number}: DO NOT SHIP: test order; a required document is still awaited" in (
        summary.notes if profile not in ("xero", "quickbooks") else (*summary.notes, *_said_of(profile))
    )


def _said_of(profile: str) -> tuple[str, ...]:
    # Without lines there is no invoice; with one there is the note.
    order = bare_order().model_copy(update={"lines": (LineItem(quantity=Decimal(1)),)})
    return rows(order, profile)[1].notes


def test_notes_are_counted_where_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.export.MOST_NOTES", 2)
    summary = exported(stored_samples(), "matrixify")[1]
    assert len(summary.notes) == 3 and summary.notes[-1].endswith("further notes of this kind are not listed")


# The guard of imports


def test_imports_guard_formulas_and_say_so_but_never_phones_and_numbers() -> None:
    order = with_line(name="=1+1", sku="-5", unit_price_customer=money("-3"))
    address = Address(name="@SUM(A1)", phone="+49 (0) 151-1234", address1="a", country="DE")
    order = order.model_copy(update={"delivery": address, "hub": Address()})
    (row, *_), summary = rows(order, "shipstation")
    assert (row["Item Name"], row["Recipient Name"], row["SKU"]) == ("'=1+1", "'@SUM(A1)", "'-5")
    assert (row["Phone"], row["Unit Price"]) == ("+49 (0) 151-1234", "-3")
    assert any("an apostrophe stands before it" in note for note in summary.notes)


@pytest.mark.parametrize("text", ["'", "''=1", "'x", "=1", "a;=1", "a\n'@x", "1/2", "x"])
def test_taking_the_apostrophes_of_the_guard_away_gives_the_text_again(text: str) -> None:
    bare = re.sub(r"(?<=[,;\t\n\r])([\"\s]*)'(?='*[=+\-@])", r"\1", guarded(text, Guard.SPREADSHEET))
    assert bare.removeprefix("'") == text
    assert guarded(text, Guard.NONE) == text


# Files


def test_matrixify_knows_its_file_by_the_word_orders() -> None:
    assert file_name(profile_named("matrixify"), AT.date(), UTC) == "ion-Orders-matrixify-v1-2026-11-23.csv"
    assert file_name(profile_named("xero"), AT.date(), UTC) == "ion-invoices-xero-v1-2026-11-23.csv"


def test_xero_takes_500_invoices_a_file_and_the_others_go_into_further_files() -> None:
    many = [Stored(small_order(), id=number) for number in range(1001)]
    xero = PROFILES["xero"]
    with pytest.raises(IonError, match="holds at most 500 orders"):
        exported(many, "xero")
    groups = [[stored.id for stored in group] for group in in_files(many, xero)]
    assert [len(group) for group in groups] == [500, 500, 1] and [*chain(*groups)] == [*range(1001)]
    assert [len(list(group)) for group in in_files(many, PROFILES["standard"])] == [1001]
    assert [list(group) for group in in_files([], xero)] == [[]]


def test_odoo_states_an_order_once_and_names_partners_that_its_contacts_hold() -> None:
    found, _ = rows(hub_order(), "odoo")
    assert found[0]["name"] == hub_order().order_number
    assert all(row["name"] == row["partner_id/id"] == "" for row in found[1:]) and len(found) > 1
    contacts = [row["id"] for row in rows_of(exported(stored_samples(), "odoo-contacts")[0])]
    assert len(contacts) == len(set(contacts))
    named = {
        row[f"{partner}/id"]
        for row in rows_of(exported(stored_samples(), "odoo")[0])
        for partner in ("partner_id", "partner_invoice_id", "partner_shipping_id")
    }
    assert named - {""} == set(contacts)


def test_what_bookkeeping_asks_for_is_given_for_all_rows_or_said_to_be_missing_once() -> None:
    given = Options(contact_name="Global-e", account_code="200", tax_type="Tax Exempt")
    found, summary = rows(hub_order(), "xero", options=given)
    assert {(row["*ContactName"], row["*AccountCode"], row["*TaxType"]) for row in found} == {
        ("Global-e", "200", "Tax Exempt")
    }
    assert not any("not filled in" in note for note in summary.notes)
    summary = exported(stored_samples(), "xero")[1]
    assert sum("the account code is not filled in" in note for note in summary.notes) == 1


# Catalogue

ITEM = CatalogueItem("00123E4", "OWN-1", "Linen shirt", "6206.40", "IT", Decimal("0.25"), "kg")


def known_items(merchant: str) -> dict[str, CatalogueItem]:
    return {ITEM.sku: ITEM} if merchant == "default" else {}


def test_the_catalogue_fills_in_what_the_order_does_not_state_and_gives_the_own_sku() -> None:
    (first, *_), summary = rows(hub_order(), "shipstation", catalogue=known_items)
    assert (first["SKU"], first["Item Name"], first["Unit Weight"]) == ("OWN-1", "Linen shirt", "0.25 kg")
    assert (first["HS Tariff"], first["Country of Origin"]) == ("6206.30.00", "PT"), "what the order states stands"
    assert summary.unknown_skus == ("@x",)
    (first, *_), _ = rows(hub_order(), "xero", catalogue=known_items)
    assert first["InventoryItemCode"] == "OWN-1"


def test_standard_tells_what_the_catalogue_knows_beside_what_the_order_states() -> None:
    (first, second), _ = rows(hub_order(), "standard", catalogue=known_items)
    assert (first["sku"], first["own_sku"], first["catalogue_name"]) == ("00123E4", "OWN-1", "Linen shirt")
    assert (first["hs_code"], first["catalogue_hs_code"], first["catalogue_weight"]) == (
        "6206.30.00",
        "6206.40",
        "0.25",
    )
    assert second["own_sku"] == second["catalogue_name"] == ""


def test_no_sku_is_unknown_to_a_merchant_without_a_catalogue() -> None:
    assert exported([replace(TWO[0], merchant="other")], catalogue=known_items)[1].unknown_skus == ()
    assert exported(TWO)[1].unknown_skus == ()


# Changes


def test_changed_tells_what_the_last_published_file_had_otherwise() -> None:
    before = hub_order()
    lines = (before.lines[0].model_copy(update={"quantity": Decimal(3)}), LineItem(sku="NEW", quantity=Decimal(1)))
    delivery = before.delivery.model_copy(update={"city": "Leipzig", "tax_id": None})
    after = before.model_copy(update={"lines": lines, "delivery": delivery})
    stored = Stored(after, previous=before, shop_order_number="#1001")
    row, *_ = rows_of(exported([stored])[0])
    assert row["shop_order_number"] == "#1001"
    told = row["changed"].split("\n")
    assert "End customer (the parcel goes on to them) - City: Dresden -> Leipzig" in told
    assert any(line.endswith("Quantity: 2 -> 3") and line.startswith("Item 1 of 2") for line in told)
    assert any(line.endswith(": =1+1 -> (not stated)") for line in told)
    assert any(line.startswith("Item 2 of 2 added: ") and "SKU NEW" in line for line in told)
    assert any(line.startswith("Item 2 of 2 removed: ") and "SKU @x" in line for line in told)


def test_nothing_is_changed_the_first_time_or_where_nothing_is_otherwise() -> None:
    assert changed_text(None, hub_order()) is None
    assert changed_text(hub_order(), hub_order()) is None
    assert rows_of(exported(TWO)[0])[0]["changed"] == ""


def test_what_the_platform_withholds_now_is_not_told_again_as_a_change() -> None:
    after = hub_order().model_copy(update={"delivery": Address(), "personal_data_suppressed": True})
    told = changed_text(hub_order(), after) or ""
    assert "(withheld by the platform now)" in told and "Dresden" not in told and "Groß" not in told
