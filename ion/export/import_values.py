"""What the imports of shops and bookkeeping ask of an order: names in two parts, address lines in two, the article as
the merchant knows it, what a person has to know before shipping."""

from ion.export.cells import Cell, lines_text, pairs_text
from ion.export.columns import Entry
from ion.export.facts import do_not_ship, ship_to
from ion.export.fitting import one_line
from ion.order import Address, LineItem, Order


def sku_of(entry: Entry, line: LineItem) -> str | None:
    """The merchant's own SKU where the catalogue has one, else the one the order states."""
    known = entry.item(line)
    return (known.own_sku if known else None) or line.sku


def name_of(entry: Entry, line: LineItem) -> str | None:
    """The product's name as stated, else the catalogue's, else the SKU."""
    known = entry.item(line)
    return line.name or (known.name if known else None) or line.sku


def hs_code_of(entry: Entry, line: LineItem) -> str | None:
    """The customs tariff number as stated, else the catalogue's."""
    known = entry.item(line)
    return line.hs_code or (known.hs_code if known else None)


def origin_of(entry: Entry, line: LineItem) -> str | None:
    """The country of origin as stated, else the catalogue's."""
    known = entry.item(line)
    stated = line.country_of_origin or line.country_of_origin_stated
    return stated or (known.country_of_origin if known else None)


def weight_of(entry: Entry, line: LineItem) -> tuple[Cell, str | None]:
    """Weight of one and its unit, as stated, else the catalogue's."""
    if line.weight is not None:
        return line.weight, line.weight_unit
    known = entry.item(line)
    return (known.weight, known.weight_unit) if known else (None, None)


def last_name(address: Address) -> str | None:
    """The last name; a name in one piece is not taken apart, it stands here whole."""
    return address.last_name or (None if address.first_name else address.full_name)


def first_name(address: Address) -> str | None:
    """First and middle name, where the platform states the parts."""
    return " ".join(part for part in (address.first_name, address.middle_name) if part) or None


def billing(order: Order) -> Address:
    """The customer's invoice address, else where the goods end."""
    return order.delivery if order.billing.is_empty() else order.billing


def parcel(order: Order) -> Address:
    """The address on the parcel."""
    return ship_to(order)


def state_of(address: Address) -> str | None:
    """The code of the state, else its name."""
    return address.state_code or address.state


def second_line(entry: Entry, what: str, address: Address) -> Cell:
    """The second and third address line and the part of the city, separated by commas."""
    parts = (address.address2, address.address3, address.city_region)
    return ", ".join(filter(None, (one_line(entry, what, part) for part in parts))) or None


def email_of(order: Order) -> str | None:
    """The customer's e-mail address."""
    return order.delivery.email or order.billing.email or order.customer.email


def phone_of(order: Order) -> str | None:
    """The customer's phone."""
    return order.delivery.phone or order.billing.phone


def warning(entry: Entry) -> Cell:
    """Why the order must not be shipped as an ordinary sale; said beside the file too."""
    reasons = do_not_ship(entry.order)
    if reasons is not None:
        entry.say(str(reasons))
    return reasons


def for_staff(entry: Entry) -> Cell:
    """What staff have to read: the warning, where the parcel goes on to, gifts, what the customer wrote."""
    order = entry.order
    onward = order.delivery.full_name or order.delivery.company
    gifts = (f"Gift message for {line.sku or line.name}: {line.gift_message}" for line in order.lines)
    told = (
        str(warning(entry) or ""),
        f"{order.platform} {order.order_number}; the parcel goes to the platform's hub first, then to {onward}"
        if order.ships_to_hub and onward
        else f"{order.platform} {order.order_number}",
        *(text for text, line in zip(gifts, order.lines, strict=True) if line.gift_message),
        *(f"Wish for {line.sku or line.name}: {line.customization}" for line in order.lines if line.customization),
        f"Customer: {order.customer.comments}" if order.customer.comments else None,
    )
    return lines_text(told)


def options_text(line: LineItem) -> Cell:
    """What was chosen, as `color=GREY; size=M`."""
    return pairs_text(line.attributes)
