"""The platforms' money identity, checked to the cent in exact arithmetic. A difference is a warning, never a repair."""

from collections.abc import Iterable
from decimal import Decimal, localcontext

from ion.order import MAX_DIGITS, Money, Order, canonical_decimal, decimal_text

# Sums are stated rounded to the cent, so half a cent between them is no difference.
HALF_A_CENT = Decimal("0.005")


def check_total(order: Order, field: str) -> list[str]:
    """A warning with both sums where the parts of the order do not add up to its total; `field` names the total."""
    parts, total = order.total_of_parts(), order.totals.total_customer
    if parts is None or total is None:
        return []
    return difference("the parts of the order", [parts], field, total)


def difference(what: str, sums: Iterable[Decimal], field: str, stated: Money) -> list[str]:
    """A warning where none of `sums` is what `field` states; the first of them is the one told."""
    sums = list(sums)
    with localcontext() as exact:
        exact.prec = 6 * MAX_DIGITS
        if any(abs(each - stated.amount) <= HALF_A_CENT for each in sums):
            return []
    currency = f" {stated.currency}" if stated.currency else ""
    return [f"{what} add up to {_told(sums[0])}{currency}, {field} says {_told(stated.amount)}{currency}"]


def _told(amount: Decimal) -> str:
    """The amount with at least two decimals."""
    try:
        whole, _, decimals = decimal_text(canonical_decimal(amount)).partition(".")
    except ValueError:  # a sum of products may have more digits than any value; in a warning the size is enough
        return f"{amount:.20g}"
    return f"{whole}.{decimals.ljust(2, '0')}"
