"""The money of an order recomputed: line totals, sums of discounts, and whether the stated total adds up, exactly."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, localcontext
from enum import StrEnum

from ion.order import LineItem, Money, Order

# An order's numbers have at most 60 digits on either side of the point, so a product has 240 in all; the rest is
# room for sums. Should that ever not be enough, it fails instead of rounding.
_EXACT = Context(prec=400, traps=[Inexact])


class Verdict(StrEnum):
    """`OK`: the stated total is the sum; `DIFF`: it is not; `UNKNOWN`: not enough is stated to say."""

    OK = "OK"
    DIFF = "DIFF"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class TotalCheck:
    """The verdict on an order's total; `difference` is stated total minus sum, None unless the verdict is DIFF."""

    verdict: Verdict
    difference: Money | None = None


def line_total(line: LineItem) -> Money | None:
    """What the customer pays for the line before discounts: as stated, else quantity times unit price."""
    if line.line_total_customer is not None:
        return line.line_total_customer
    price = line.unit_price_customer
    if price is None:
        return None
    return exact_product(price, line.quantity)


def exact_product(money: Money, factor: Decimal) -> Money:
    """The amount times `factor`, every digit of it."""
    with localcontext(_EXACT):
        return _money(factor * money.amount, money.currency)


def exact_difference(money: Money, other: Money) -> Money:
    """`money` less `other`, every digit of it, in the currency of `money`."""
    with localcontext(_EXACT):
        return _money(money.amount - other.amount, money.currency)


def total_of(amounts: Iterable[Money | None]) -> Money | None:
    """The exact sum; None when there is nothing to add, an amount is not stated, or currencies differ."""
    total = Decimal(0)
    currencies: set[str | None] = set()
    with localcontext(_EXACT):
        for money in amounts:
            if money is None:
                return None
            currencies.add(money.currency)
            total += money.amount
    return _money(total, currencies.pop()) if len(currencies) == 1 else None


def check_total(order: Order) -> TotalCheck:
    """Compare the order's stated total in the customer's currency with the one its parts add up to."""
    total, parts = order.totals.total_customer, order.total_of_parts()
    if total is None or parts is None or not _comparable(order, total.currency):
        return TotalCheck(Verdict.UNKNOWN)
    with localcontext(_EXACT):
        difference = total.amount - parts
    if not difference:
        return TotalCheck(Verdict.OK)
    if order.totals.shipping_customer is None or order.totals.duties_and_taxes_customer is None:
        return TotalCheck(Verdict.UNKNOWN)  # the difference may be the very amount that is not stated
    return TotalCheck(Verdict.DIFF, _money(difference, total.currency))


def _comparable(order: Order, currency: str | None) -> bool:
    """Every part is stated in the customer's currency: an adjustment that is not may be the difference."""
    adjustments = [adjustment.amount_customer for adjustment in (*order.discounts, *order.markups)]
    totals = order.totals
    parts = [line_total(line) for line in order.lines] + [
        totals.shipping_customer,
        totals.duties_and_taxes_customer,
        totals.same_day_dispatch_customer,
        totals.cash_on_delivery_customer,
    ]
    return None not in adjustments and all(
        money.currency == currency for money in (*parts, *adjustments) if money is not None
    )


def _money(amount: Decimal, currency: str | None) -> Money:
    # Not validated: a computed amount may have more digits than an order may state, and is exact all the same.
    return Money.model_construct(amount=amount, currency=currency)
