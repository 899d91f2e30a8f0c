"""What a column asks of an order that the order does not hold in one place: where to ship, whose currency."""

from collections.abc import Iterable

from ion.export.cells import Cell, lines_text
from ion.order import Address, LineItem, Money, Order

# Words for `Order.do_not_ship`; a reason without a row here is shown as it is, never dropped.
DO_NOT_SHIP: dict[str, str] = {
    "test": "test order",
    "replacement": "replacement of an earlier order, not a sale",
    "documents": "a required document is still awaited",
    "encrypted": "personal data is encrypted, the address cannot be read",
    "suppressed": "personal data is withheld by the platform",
}


def do_not_ship(order: Order) -> Cell:
    """`DO NOT SHIP: test order; ...`, or None when the order may be shipped as an ordinary sale."""
    reasons = [DO_NOT_SHIP.get(reason, reason) for reason in order.do_not_ship]
    return f"DO NOT SHIP: {'; '.join(reasons)}" if reasons else None


def ship_to(order: Order) -> Address:
    """The address on the parcel: the platform's hub where there is one, else the customer's."""
    return order.hub if order.ships_to_hub else order.delivery


def ship_to_role(order: Order) -> Cell:
    """`hub` or `customer`; None when no address is stated at all."""
    if order.ships_to_hub:
        return "hub"
    return None if order.delivery.is_empty() else "customer"


def local_name(address: Address, local: Address) -> Cell:
    """The name in the customer's own script: stated beside the name, or with the address in local script."""
    beside = [address.local_first_name, address.local_last_name]
    return " ".join(part for part in beside if part) or local.full_name


def block(address: Address) -> Cell:
    """An address as one would write it on a label, line by line; nothing is reordered for the country."""
    place = " ".join(part for part in (address.postal_code, address.city) if part)
    state = " ".join(
        part for part in (address.state, f"({address.state_code})" if address.state_code else None) if part
    )
    lines = (
        address.company,
        address.full_name,
        address.address1,
        address.address2,
        address.address3,
        place,
        address.city_region,
        state,
        address.country,
    )
    return lines_text(lines)


def _first_currency(amounts: Iterable[Money | None]) -> str | None:
    return next((money.currency for money in amounts if money is not None and money.currency), None)


def customer_currency(order: Order) -> str | None:
    """The currency of the columns `..._customer`: as stated, else that of the total, else of the lines' prices."""
    totals = order.totals
    return totals.customer_currency or _first_currency(
        (totals.total_customer, *(line.unit_price_customer for line in order.lines))
    )


def merchant_currency(order: Order) -> str | None:
    """The currency of the columns `..._merchant`: as stated, else that of the lines' prices."""
    return order.totals.merchant_currency or _first_currency(line.unit_price for line in order.lines)


def discounts_of(order: Order, line: LineItem) -> list[Money | None]:
    """The discounts in customer currency that the order states for this one line."""
    return [entry.amount_customer for entry in order.discounts if line.line_id and entry.line_id == line.line_id]
