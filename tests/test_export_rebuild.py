"""From the CSV `standard` alone, read by the standard library, an order can be entered: nothing is lost."""

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from ion.export.facts import DO_NOT_SHIP
from ion.export.totals import line_total
from ion.order import Address, Adjustment, LineItem, Money, Order, Pair, Totals
from tests.exports import Stored, exported, sample_orders
from tests.hard_orders import hard_orders

Row = dict[str, str]

NUMBERS = (
    *("platform", "order_number", "merchant_order_number", "merchant_internal_order_number", "reference_number"),
    *("purchase_order_number", "status", "created_time", "original_order_number", "web_store", "source"),
)
FLAGS = ("test", "replacement", "personal_data_suppressed", "personal_data_encrypted", "split", "business_customer")
ADDRESS = (
    *("salutation", "first_name", "middle_name", "last_name", "company", "address1", "address2", "address3", "city"),
    *(
        "city_region",
        "state_code",
        "state",
        "postal_code",
        "country",
        "phone",
        "phone2",
        "phone_country",
        "fax",
        "email",
    ),
    *("collection_point", "tax_id", "vat_number"),
)
LINE = (
    *("line_id", "parent_line_id", "sku", "secondary_code", "product_id", "option_id", "brand", "customization"),
    *("hs_code", "country_of_origin", "country_of_origin_stated", "gift_message", "back_order_date", "weight_unit"),
)
LINE_MONEY = {
    "unit_price_customer": ("unit_price_customer", "customer_currency"),
    "discounted_price_customer": ("discounted_price_customer", "customer_currency"),
    "unit_price": ("unit_price_merchant", "merchant_currency"),
    "discounted_price": ("discounted_price_merchant", "merchant_currency"),
}
TOTALS = {
    "shipping_customer": "shipping_total_customer",
    "shipping_discounted_customer": "shipping_discounted_customer",
    "duties_and_taxes_customer": "duties_taxes_customer",
    "duties_paid_by_customer": "duties_paid_by_customer",
    "same_day_dispatch_customer": "same_day_dispatch_cost_customer",
    "cash_on_delivery_customer": "cash_on_delivery_customer",
    "total_customer": "order_total_customer",
}
ADJUSTMENT = ("name", "description", "type", "code", "coupon_code", "line_id")


def rebuilt(rows: list[Row]) -> dict[str, Any]:
    """What the rows of one order say, as the parts of an order."""
    row = rows[0]
    return {
        **{name: row[name] or None for name in NUMBERS},
        **{name: row[name] == "yes" for name in FLAGS},
        "ships_to_hub": row["ship_to_role"] == "hub",
        "ship_to": address(row, "ship_to"),
        "delivery": address(row, "customer"),
        "billing": address(row, "billing"),
        "do_not_ship": reasons(row["do_not_ship"]),
        "lines": [line(each) for each in rows if each["line_no"]],
        "totals": {name: money(row[column], row["customer_currency"]) for name, column in TOTALS.items()},
        "charged": money(row["charged_amount"], row["charged_currency"]),
        "discounts": [adjustment(each) for each in row["discounts"].split("\n") if each],
        "markups": [adjustment(each) for each in row["markups"].split("\n") if each],
        "shipping": row["shipping_method"] or None,
        "incoterm": row["incoterm"] or None,
        "notes": row["notes"],
        "comments": row["customer_comments"] or None,
    }


def stated(order: Order) -> dict[str, Any]:
    """The same parts, of the order itself."""
    return {
        **{name: getattr(order, name) for name in NUMBERS},
        **{name: getattr(order, name) for name in FLAGS},
        "ships_to_hub": order.ships_to_hub,
        "ship_to": of_address(order.hub if order.ships_to_hub else order.delivery),
        "delivery": of_address(order.delivery),
        "billing": of_address(order.billing),
        "do_not_ship": list(order.do_not_ship),
        "lines": [of_line(item) for item in order.lines],
        "totals": {name: getattr(order.totals, name) for name in TOTALS},
        "charged": order.totals.charged,
        "discounts": [of_adjustment(each) for each in order.discounts],
        "markups": [of_adjustment(each) for each in order.markups],
        "shipping": order.shipping.method_name,
        "incoterm": order.customs.incoterm,
        "notes": "\n".join(order.notes),
        "comments": order.customer.comments,
    }


def money(text: str, currency: str) -> Money | None:
    """An amount in its column's currency, or with its own behind it."""
    if not text:
        return None
    amount, _, own = text.partition(" ")
    known = own if own else currency
    return Money(amount=Decimal(amount), currency=None if "(" in known else known or None)


def address(row: Row, prefix: str) -> dict[str, Any]:
    said: dict[str, Any] = {name: row[f"{prefix}_{name}"] or None for name in ADDRESS}
    said["full_name"] = row[f"{prefix}_name"] or None
    said["country_stated"] = tuple(filter(None, row[f"{prefix}_country_stated"].split("\n")))
    return said


def of_address(at: Address) -> dict[str, Any]:
    said = {name: getattr(at, name) for name in ADDRESS}
    return said | {"full_name": at.full_name, "country_stated": at.country_stated}


def line(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] or None for name in LINE},
        **{name: money(row[column], row[currency]) for name, (column, currency) in LINE_MONEY.items()},
        "name": row["product_name"] or None,
        "quantity": Decimal(row["quantity"]),
        "attributes": list(pairs(row["attributes"])),
        "metadata": list(pairs(row["metadata"])),
        "line_total": money(row["line_total_customer"], row["customer_currency"]),
        "weight": Decimal(row["weight"]) if row["weight"] else None,
    }


def of_line(item: LineItem) -> dict[str, Any]:
    return {
        **{name: getattr(item, name) for name in (*LINE, *LINE_MONEY)},
        "name": item.name,
        "quantity": item.quantity,
        "attributes": list(item.attributes),
        "metadata": list(item.metadata),
        "line_total": line_total(item),
        "weight": item.weight,
    }


def adjustment(text: str) -> dict[str, Any]:
    said = {pair.name: pair.value for pair in pairs(text)}
    return {
        **{name: said.get(name) for name in ADJUSTMENT},
        "quantity": Decimal(said["quantity"] or "") if "quantity" in said else None,
        "amount": money(said.get("amount") or "", ""),
        "amount_customer": money(said.get("amount_customer") or "", ""),
    }


def of_adjustment(each: Adjustment) -> dict[str, Any]:
    return {name: getattr(each, name) for name in (*ADJUSTMENT, "quantity", "amount", "amount_customer")}


def reasons(text: str) -> list[str]:
    words = {said: word for word, said in DO_NOT_SHIP.items()}
    return [words[said] for said in text.removeprefix("DO NOT SHIP: ").split("; ") if said]


_SEMICOLON = re.compile(r"((?:[^\\;]|\\.)*)(?:; |\Z)", re.DOTALL)
_NAME = re.compile(r"((?:[^\\=]|\\.)*)=(.*)", re.DOTALL)


def pairs(text: str) -> Iterator[Pair]:
    """`color=GREY; size=M`, a backslash before what belongs to a name or value."""
    for piece in filter(None, _SEMICOLON.findall(text)):
        named = _NAME.fullmatch(piece)
        name, value = (named[1], named[2]) if named else (None, piece)
        yield Pair(name=plain(name) if name else None, value=plain(value) if value else None)


def plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def csv_rows(order: Order) -> list[Row]:
    text = exported([Stored(order)], "standard")[0].decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    again = io.StringIO(newline="")
    writer = csv.DictWriter(again, rows[0], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    assert again.getvalue() == text
    return rows


ORDERS = {f"sample {order.order_number}": order for order in sample_orders()} | hard_orders()


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_is_rebuilt_from_the_standard_csv_alone(name: str) -> None:
    order = ORDERS[name]
    assert rebuilt(csv_rows(order)) == stated(order)


def test_what_is_rebuilt_is_most_of_what_an_order_of_the_samples_states() -> None:
    found = [stated(order) for order in sample_orders()]
    for part in ("lines", "discounts", "do_not_ship", "notes", "comments"):
        assert any(each[part] for each in found), part
    assert any(each["ship_to"] != each["delivery"] for each in found)
    assert set(TOTALS) <= set(Totals.model_fields)
