"""An order as the lines of an invoice: its line items and whatever else the customer pays or is let off, in customer
currency. Where the order states every amount, the charges add up to `Order.total_of_parts()` exactly.

The programs of shops and bookkeeping compute a total from price times quantity of every line, so each amount that is
part of the total is a line of its own: shipping, duties and taxes, fees, discounts (negative), markups.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from ion.export.totals import exact_difference, exact_product
from ion.order import Adjustment, LineItem, Money, Order


class ChargeKind(StrEnum):
    """What is charged."""

    ITEM = "item"
    SHIPPING = "shipping"
    TAX = "tax"
    FEE = "fee"
    DISCOUNT = "discount"
    MARKUP = "markup"


@dataclass(frozen=True)
class Charge:
    """One line of an invoice. `amount`: of one, with its sign, None where the order does not state it; `item`: the line
    item that it charges or corrects; `code`: a coupon's or adjustment's."""

    kind: ChargeKind
    name: str
    quantity: Decimal
    amount: Money | None
    item: LineItem | None = None
    code: str | None = None


def charges(order: Order) -> tuple[Charge, ...]:
    """Everything the order charges, line items first, in the order's own order."""
    return (*_items(order), *_additions(order), *_adjustments(order))


def _items(order: Order) -> Iterator[Charge]:
    for item in order.lines:
        name = item.name or item.sku or item.product_id or "Item"
        price, stated = item.unit_price_customer, item.line_total_customer
        if price is None and stated is not None:
            # No price of one is stated: the line is charged as one, so that it comes to what is stated.
            yield Charge(ChargeKind.ITEM, f"{name} ({item.quantity:f} pieces)", Decimal(1), stated, item)
            continue
        yield Charge(ChargeKind.ITEM, name, item.quantity, price, item)
        if price is None or stated is None:
            continue
        difference = exact_difference(stated, exact_product(price, item.quantity))
        if difference.amount:
            kind = ChargeKind.DISCOUNT if difference.amount < 0 else ChargeKind.MARKUP
            yield Charge(kind, f"{name}: to the stated line total", Decimal(1), difference, item)


def _additions(order: Order) -> Iterator[Charge]:
    totals, shipping = order.totals, order.shipping
    stated = (
        (ChargeKind.SHIPPING, shipping.method_name or shipping.type_name or "Shipping", totals.shipping_customer),
        (ChargeKind.TAX, "Duties and taxes", totals.duties_and_taxes_customer),
        (ChargeKind.FEE, "Same-day dispatch", totals.same_day_dispatch_customer),
        (ChargeKind.FEE, "Cash on delivery", totals.cash_on_delivery_customer),
    )
    for kind, name, money in stated:
        if money is not None:
            yield Charge(kind, name, Decimal(1), money)


def _adjustments(order: Order) -> Iterator[Charge]:
    groups = ((ChargeKind.DISCOUNT, "Discount", -1, order.discounts), (ChargeKind.MARKUP, "Markup", 1, order.markups))
    for kind, word, sign, adjustments in groups:
        for adjustment in adjustments:
            money = adjustment.amount_customer
            if money is not None:
                quantity = Decimal(1) if adjustment.quantity is None else adjustment.quantity
                yield Charge(
                    kind,
                    adjustment.name or adjustment.description or word,
                    quantity,
                    exact_product(money, Decimal(sign)),
                    _item_of(order, adjustment),
                    adjustment.coupon_code or adjustment.code,
                )


def _item_of(order: Order, adjustment: Adjustment) -> LineItem | None:
    return next((item for item in order.lines if item.line_id and item.line_id == adjustment.line_id), None)
