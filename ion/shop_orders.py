"""What a shop says of its orders: pairs that staff wrote down, and the exports of Shopify and WooCommerce.

Taken is what can tell which order of ours a shop's order is, and nothing else; nothing is matched here.

    Shopify      one row per line item, the order's own columns in its first row only
    WooCommerce  one row per order, line items in columns `line_item_1`, ... (the form of WebToffee's plugin)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

from ion.csv_input import csv_rows, folded_heading
from ion.errors import CsvError
from ion.order import canonical_text, read_decimal

_OUR_NUMBER = ("order", "ordernumber", "orderno", "platformordernumber", "ournumber", "bestellnummer")
_SHOP_NUMBER = ("shopordernumber", "shoporder", "shopnumber", "shop", "shoporderno", "shopbestellnummer")
# A column made for the number of somebody else's order, whatever it is called before and behind that.
_REFERENCE = re.compile("ponumber|purchaseorder|reference")
_SHOPIFY_TEXTS = ("name", "notes", "noteattributes", "tags")
_WOOCOMMERCE_TEXTS = ("ordernumber", "customernote", "ordernotes", "transactionid")
_WOOCOMMERCE_OVER = ("cancelled", "failed", "trash")
_WOOCOMMERCE_DATES = ("%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class NumberPair:
    """An order's number here, the number the shop has it under, and the row that says so."""

    row: int
    order_number: str
    shop_order_number: str


@dataclass(frozen=True)
class ShopOrder:
    """A shop's order. `texts`: where staff may have written our number; `total`: in `currency`; `articles`: SKU and
    quantity of each line, None where one has no SKU or no quantity; `created_at`: aware, in UTC where the file names no
    zone; `cancelled`: the shop does not ship it. None: not said, or not readable."""

    row: int
    number: str
    texts: tuple[str, ...] = ()
    email: str | None = None
    total: Decimal | None = None
    currency: str | None = None
    created_at: datetime | None = None
    cancelled: bool = False
    articles: tuple[tuple[str, Decimal], ...] | None = field(default=())


def read_pairs(octets: bytes) -> tuple[NumberPair, ...]:
    """Pairs of a CSV: our number, then the shop's. A first row that names its columns (`order number`, `shop order
    number`) says which they are; there may be others then. A row without a shop's number is one that is not entered
    yet, and passed over; so is a pair that is there again. Raises CsvError."""
    found: dict[tuple[str, str], NumberPair] = {}
    ours, shops = 0, 1
    for at, (row, cells) in enumerate(csv_rows(octets)):
        if at == 0:
            headings = [folded_heading(cell) for cell in cells]
            named = [next((headings.index(one) for one in known if one in headings), None) for known in (
                _OUR_NUMBER, _SHOP_NUMBER)]  # fmt: skip
            if named[0] is not None and named[1] is not None:
                ours, shops = named[0], named[1]
                continue
            if len(cells) < 2:
                raise CsvError(f"row {row}: one column; give our order number and the shop's, with a comma between")
        number, shop_number = _cell(cells, ours) or "", _cell(cells, shops)
        if shop_number:
            found.setdefault((number, shop_number), NumberPair(row, number, shop_number))
    return tuple(found.values())


def read_shopify(octets: bytes) -> tuple[ShopOrder, ...]:
    """The orders of Shopify's own export. Raises CsvError where it lacks the columns `Name` and `Lineitem sku`,
    or a row has no name."""
    found: dict[str, ShopOrder] = {}
    for row, values in _by_heading(octets, "Name", "Lineitem sku"):
        number = values["name"]
        if not number:
            raise CsvError(f"row {row}, column Name: empty; every row of Shopify's export has the order's name")
        order = found.get(number)
        if order is None:
            order = ShopOrder(
                row=row,
                number=number,
                texts=_texts(values, _SHOPIFY_TEXTS),
                email=values.get("email") or None,
                total=_number(values.get("total")),
                currency=values.get("currency") or None,
                created_at=_instant(values.get("createdat"), "%Y-%m-%d %H:%M:%S %z"),
                cancelled=bool(values.get("cancelledat")),
            )
        if values.get("lineitemquantity") or values.get("lineitemsku"):
            order = _with_article(order, values.get("lineitemsku"), values.get("lineitemquantity"))
        found[number] = order
    return tuple(found.values())


def read_woocommerce(octets: bytes) -> tuple[ShopOrder, ...]:
    """The orders of an export of WooCommerce. Raises CsvError where it has no column `order_id`, or a row without
    one."""
    found: dict[str, ShopOrder] = {}
    for row, values in _by_heading(octets, "order_id"):
        number = values.get("ordernumber") or values["orderid"]
        if not number:
            raise CsvError(f"row {row}, column order_id: empty; every row of the export has one")
        if number in found:
            raise CsvError(f"row {row}: order {number} was there in row {found[number].row}; remove one of the two")
        order = ShopOrder(
            row=row,
            number=number,
            texts=_texts(values, _WOOCOMMERCE_TEXTS),
            email=values.get("customeremail") or values.get("billingemail") or None,
            total=_number(values.get("ordertotal")),
            currency=values.get("ordercurrency") or None,
            created_at=_instant(values.get("orderdate"), *_WOOCOMMERCE_DATES),
            cancelled=(values.get("status") or "").casefold().removeprefix("wc-") in _WOOCOMMERCE_OVER,
        )
        for heading, cell in values.items():
            if cell and re.fullmatch(r"lineitem\d+", heading):
                parts = dict(part.split(":", 1) for part in reversed(cell.split("|")) if ":" in part)
                order = _with_article(order, parts.get("sku"), parts.get("quantity"))
        found[number] = order
    return tuple(found.values())


def _by_heading(octets: bytes, *needed: str) -> list[tuple[int, dict[str, str]]]:
    """Each row as cells by folded heading; of columns with one heading the first counts."""
    rows = iter(csv_rows(octets))
    _, heading = next(rows, (1, []))
    names = [folded_heading(name) for name in heading]
    for name in needed:
        if folded_heading(name) not in names:
            shown = ", ".join(repr(one[:40]) for one in heading[:10]) or "none"
            raise CsvError(f"row 1: no column {name}; found {shown}")
    places = {name: names.index(name) for name in dict.fromkeys(names)}
    return [
        (row, {name: cells[place] if place < len(cells) else "" for name, place in places.items()})
        for row, cells in rows
    ]


def _cell(cells: list[str], place: int) -> str | None:
    return canonical_text(cells[place]) if place < len(cells) else None


def _texts(values: Mapping[str, str], headings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        cell for heading, cell in values.items() if cell and (heading in headings or _REFERENCE.search(heading))
    )


def _with_article(order: ShopOrder, sku: str | None, quantity: str | None) -> ShopOrder:
    known, number = canonical_text(sku or ""), _number(quantity)
    if order.articles is None or known is None or number is None:
        return replace(order, articles=None)
    return replace(order, articles=(*order.articles, (known, number)))


def _number(text: str | None) -> Decimal | None:
    try:
        return read_decimal(text) if text else None
    except ValueError:
        return None


def _instant(text: str | None, *forms: str) -> datetime | None:
    for form in forms if text else ():
        try:
            at = datetime.strptime(text or "", form)  # noqa: DTZ007  # what names no zone is taken as UTC below
        except ValueError:
            continue
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return None
