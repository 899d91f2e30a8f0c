"""Profiles that shops and shipping programs import: Matrixify (Shopify), WebToffee (WooCommerce), ShipStation.

Their prices are those of the customer, in customer currency. The names of the columns are the programs' own. Sources:
matrixify.app/documentation/orders, woocommerce.com/document/import-and-export-of-woocommerce-orders,
help.shipstation.com (CSV import, field mapping); which names are confirmed by the programs is told in the README.
"""

from collections.abc import Callable

from ion.export.cells import Cell
from ion.export.charges import Charge, ChargeKind, charges
from ion.export.columns import (
    ChargeColumn,
    Column,
    Entry,
    Kind,
    LineColumn,
    OrderColumn,
    in_customer_currency,
    kept,
    told,
)
from ion.export.dialect import Dialect
from ion.export.facts import customer_currency
from ion.export.fitting import one_line, price, quantity_text, replaced, shortened, stated_date
from ion.export.guard import Guard
from ion.export.import_values import (
    billing,
    email_of,
    first_name,
    for_staff,
    hs_code_of,
    last_name,
    name_of,
    options_text,
    origin_of,
    parcel,
    phone_of,
    second_line,
    sku_of,
    state_of,
    warning,
    weight_of,
)
from ion.export.tables import Profile, Table
from ion.export.totals import exact_product, line_total, total_of
from ion.order import Address, LineItem, Order

IMPORT = Dialect(guard=Guard.FORMULAS)


def fixed(name: str, text: str, about: str) -> OrderColumn:
    """The same text in every row."""
    return OrderColumn(name, lambda _entry: text, about)


def unfilled(*names: str) -> tuple[OrderColumn, ...]:
    """Columns of the program's own template that an order has nothing for."""
    return tuple(OrderColumn(name, lambda _entry: None, "Not filled.") for name in names)


def per_order(name: str, value: Callable[[Entry], Cell], about: str, kind: Kind = Kind.TEXT) -> OrderColumn:
    """A value that needs more than the order: the catalogue, or a place for notes."""
    return OrderColumn(name, value, about, kind)


# Matrixify


def _matrixify_address(prefix: str, whose: str, get: Callable[[Order], Address]) -> tuple[OrderColumn, ...]:
    def street(name: str, value: Callable[[Entry, Address], Cell], about: str) -> OrderColumn:
        return OrderColumn(f"{prefix}: {name}", lambda entry: value(entry, get(entry.order)), f"{whose}: {about}.")

    return (
        street("First Name", lambda _, at: first_name(at), "first name"),
        street("Last Name", lambda _, at: last_name(at), "last name, or the name in one piece"),
        street("Company", lambda _, at: at.company, "company"),
        street("Phone", lambda _, at: at.phone, "phone"),
        street("Address 1", lambda entry, at: one_line(entry, f"{whose} line 1", at.address1), "first line"),
        street("Address 2", lambda entry, at: second_line(entry, f"{whose} line 2", at), "other lines"),
        street("Zip", lambda _, at: at.postal_code, "postal code"),
        street("City", lambda _, at: at.city, "city"),
        street("Province", lambda _, at: at.state, "state or province"),
        street("Province Code", lambda _, at: at.state_code, "its code"),
        street("Country Code", lambda _, at: at.country, "country, ISO 3166-1 alpha-2"),
    )


_LINE_TYPES = {ChargeKind.SHIPPING: "Shipping Line", ChargeKind.DISCOUNT: "Discount"}


def _of_item(get: Callable[[Entry, LineItem], Cell]) -> Callable[[Entry, Charge, int], Cell]:
    """A value of the line item, for charges that are one."""

    def value(entry: Entry, charge: Charge, _position: int) -> Cell:
        is_item = charge.kind is ChargeKind.ITEM and charge.item is not None
        return get(entry, charge.item) if is_item and charge.item is not None else None

    return value


def charge_name(entry: Entry, charge: Charge, _position: int) -> Cell:
    """The product's name, or what else is charged."""
    if charge.kind is ChargeKind.ITEM and charge.item is not None and charge.item.name is None:
        return name_of(entry, charge.item) or charge.name
    return charge.name


def _matrixify_price(entry: Entry, charge: Charge, _position: int) -> Cell:
    return None if charge.kind is ChargeKind.DISCOUNT else price(entry, f"the price of {charge.name}", charge.amount)


def _matrixify_discount(entry: Entry, charge: Charge, _position: int) -> Cell:
    return price(entry, f"the discount {charge.name}", charge.amount) if charge.kind is ChargeKind.DISCOUNT else None


MATRIXIFY = Profile(
    "matrixify",
    1,
    (
        Table(
            "Orders",
            (
                told(
                    "Name", lambda order: order.order_number, "The platform's order number; rows of one are one order."
                ),
                fixed("Command", "NEW", "An order that is there already is refused instead of entered twice."),
                fixed("Send Receipt", "FALSE", "The customer has the platform's confirmation."),
                fixed("Inventory Behaviour", "bypass", "Stock is left alone."),
                told("Email", email_of, "The customer's e-mail address."),
                told("Phone", phone_of, "The customer's phone."),
                per_order("Note", for_staff, "What staff have to read.", Kind.LINES),
                per_order(
                    "Tags",
                    lambda entry: f"ION, {entry.order.platform}{', DO NOT SHIP' if entry.order.do_not_ship else ''}",
                    "By which such orders are found in the shop.",
                ),
                per_order(
                    "Processed At",
                    lambda entry: stated_date(entry, "%Y-%m-%d %H:%M:%S"),
                    "When it was placed, as stated.",
                ),
                told("Currency", customer_currency, "Currency of every amount."),
                *_matrixify_address("Billing", "invoice address", billing),
                *_matrixify_address("Shipping", "address on the parcel", parcel),
                ChargeColumn(
                    "Line: Type",
                    lambda _entry, charge, _: _LINE_TYPES.get(charge.kind, "Line Item"),
                    "Line Item, Shipping Line or Discount.",
                ),
                ChargeColumn("Line: Title", charge_name, "The product's name, or what else is charged."),
                ChargeColumn("Line: Variant Title", _of_item(lambda _, line: options_text(line)), "What was chosen."),
                ChargeColumn("Line: SKU", _of_item(sku_of), "Your own SKU where your catalogue has one."),
                ChargeColumn("Line: Quantity", lambda _entry, charge, _: charge.quantity, "How many.", Kind.NUMBER),
                ChargeColumn("Line: Price", _matrixify_price, "Price of one.", Kind.MONEY),
                ChargeColumn("Line: Discount", _matrixify_discount, "Amount of a discount, negative.", Kind.MONEY),
                ChargeColumn("Line: Variant Country of Origin", _of_item(origin_of), "Country of origin."),
                ChargeColumn("Line: Variant HS Code", _of_item(hs_code_of), "Customs tariff number."),
            ),
            parts=charges,
        ),
    ),
    audience="Shopify, by the app Matrixify",
    dialect=IMPORT,
    subject="Orders",  # by this word in the name the app knows what the file holds
)


# WooCommerce


def _woocommerce_address(prefix: str, whose: str, get: Callable[[Order], Address]) -> tuple[OrderColumn, ...]:
    is_billing = prefix == "billing"
    return (
        told(f"{prefix}_first_name", lambda order: first_name(get(order)), f"{whose}: first name."),
        told(f"{prefix}_last_name", lambda order: last_name(get(order)), f"{whose}: last name, or name in one piece."),
        told(f"{prefix}_company", lambda order: get(order).company, f"{whose}: company."),
        *((told("billing_email", email_of, "The customer's e-mail address."),) if is_billing else ()),
        told(f"{prefix}_phone", lambda order: get(order).phone, f"{whose}: phone."),
        per_order(
            f"{prefix}_address_1",
            lambda entry: one_line(entry, f"{whose} line 1", get(entry.order).address1),
            f"{whose}: first line.",
        ),
        per_order(
            f"{prefix}_address_2",
            lambda entry: second_line(entry, f"{whose} line 2", get(entry.order)),
            f"{whose}: other lines.",
        ),
        told(f"{prefix}_postcode", lambda order: get(order).postal_code, f"{whose}: postal code."),
        told(f"{prefix}_city", lambda order: get(order).city, f"{whose}: city."),
        told(f"{prefix}_state", lambda order: state_of(get(order)), f"{whose}: code of the state, else its name."),
        told(f"{prefix}_country", lambda order: get(order).country, f"{whose}: country, ISO 3166-1 alpha-2."),
    )


_LINE_ITEM_MARKS = {"|": "/", ":": "-", "\n": " "}


def _woocommerce_item(entry: Entry, line: LineItem, _position: int) -> Cell:
    """`name:Shirt|sku:S-1|quantity:2|total:38|sub_total:38|meta:color:GREY`"""

    def plain(what: str, text: str) -> str:
        return replaced(entry, what, text, _LINE_ITEM_MARKS)

    total = price(entry, f"the total of {line.sku or 'a line'}", line_total(line))
    amount = total if isinstance(total, str) else "" if total is None else quantity_text(total)  # type: ignore[arg-type]
    parts = [
        f"name:{plain('the product name', name_of(entry, line) or '')}",
        f"sku:{plain('the SKU', sku_of(entry, line) or '')}",
        f"quantity:{quantity_text(line.quantity)}",
        f"total:{amount}",
        f"sub_total:{amount}",
        *(
            f"meta:{plain('the option', pair.name or 'option')}:{plain('the option', pair.value or '')}"
            for pair in line.attributes
        ),
    ]
    return "|".join(parts)


WOOCOMMERCE = Profile(
    "woocommerce",
    1,
    (
        Table(
            "orders",
            (
                *unfilled("order_id"),
                told("order_number", lambda order: order.order_number, "The platform's order number."),
                per_order("order_date", lambda entry: stated_date(entry, "%m/%d/%Y %H:%M:%S"), "When it was placed."),
                *unfilled("paid_date"),
                per_order(
                    "status",
                    lambda entry: "on-hold" if warning(entry) else "processing",
                    "processing; on-hold where the order must not be shipped as it is.",
                ),
                in_customer_currency("shipping_total", lambda order: order.totals.shipping_customer, "Shipping."),
                *unfilled("shipping_tax_total"),
                in_customer_currency(
                    "fee_total",
                    lambda order: total_of(
                        exact_product(charge.amount, charge.quantity)
                        for charge in charges(order)
                        if charge.kind in (ChargeKind.FEE, ChargeKind.MARKUP) and charge.amount
                    ),
                    "Fees and markups.",
                ),
                *unfilled("fee_tax_total"),
                in_customer_currency(
                    "tax_total", lambda order: order.totals.duties_and_taxes_customer, "Duties and taxes."
                ),
                in_customer_currency(
                    "cart_discount",
                    lambda order: total_of(entry.amount_customer for entry in order.discounts),
                    "Sum of all discounts.",
                ),
                *unfilled("order_discount"),
                in_customer_currency(
                    "discount_total",
                    lambda order: total_of(entry.amount_customer for entry in order.discounts),
                    "Sum of all discounts.",
                ),
                in_customer_currency("order_total", lambda order: order.totals.total_customer, "What is paid in all."),
                in_customer_currency(
                    "order_subtotal",
                    lambda order: order.totals.items_customer or total_of(map(line_total, order.lines)),
                    "Lines before discounts.",
                ),
                told("order_currency", customer_currency, "Currency of every amount."),
                told("payment_method", lambda order: order.payment.method_code, "Code of the payment method."),
                told("payment_method_title", lambda order: order.payment.method_name, "Payment method."),
                told("transaction_id", lambda order: order.payment.transaction_id, "Id of the payment."),
                *unfilled("customer_ip_address", "customer_user_agent"),
                told("shipping_method", lambda order: order.shipping.method_name, "Shipping method."),
                *unfilled("customer_id", "customer_user"),
                told("customer_email", email_of, "The customer's e-mail address."),
                *_woocommerce_address("billing", "invoice address", billing),
                *_woocommerce_address("shipping", "address on the parcel", parcel),
                per_order("customer_note", for_staff, "What staff have to read.", Kind.LINES),
                told("wt_import_key", lambda order: order.order_number, "By which the program knows the order again."),
                *unfilled("shipping_items", "fee_items", "tax_items", "coupon_items", "refund_items"),
                kept("order_notes", lambda stored: f"ION {stored.id}", "This installation's own number of the order."),
                *unfilled("download_permissions"),
            ),
            item_column=LineColumn("line_item", _woocommerce_item, "One line item, its parts separated by `|`."),
        ),
    ),
    audience="WooCommerce, by the plugin of WebToffee",
    dialect=IMPORT,
)


# ShipStation

_ORDER_NUMBER_MOST, _NAME_MOST, _HS_MOST, _PLACES = 50, 50, 30, 2


def _shipstation_weight(entry: Entry, line: LineItem, _position: int) -> Cell:
    weight, unit = weight_of(entry, line)
    return f"{quantity_text(weight)} {unit or ''}".strip() if weight is not None else None  # type: ignore[arg-type]


def _parcel_line(name: str, value: Callable[[Entry, Address], Cell], about: str) -> OrderColumn:
    return OrderColumn(name, lambda entry: value(entry, parcel(entry.order)), f"Address on the parcel: {about}.")


_SHIPSTATION: tuple[Column, ...] = (
    per_order(
        "Order Number",
        lambda entry: shortened(entry, "the order number", entry.order.order_number, _ORDER_NUMBER_MOST),
        "The platform's order number; rows of one number are one order.",
    ),
    per_order("Order Date", lambda entry: stated_date(entry, "%m/%d/%Y %H:%M:%S"), "When it was placed, as stated."),
    per_order(
        "Order Status",
        lambda entry: "On Hold" if warning(entry) else "Awaiting Shipment",
        "Awaiting Shipment; On Hold where the order must not be shipped as it is.",
    ),
    _parcel_line(
        "Recipient Name", lambda entry, at: shortened(entry, "the recipient's name", at.full_name, _NAME_MOST), "name"
    ),
    _parcel_line("Company", lambda _, at: at.company, "company"),
    _parcel_line("Address Line 1", lambda entry, at: one_line(entry, "address line 1", at.address1), "first line"),
    _parcel_line("Address Line 2", lambda entry, at: one_line(entry, "address line 2", at.address2), "second line"),
    _parcel_line("Address Line 3", lambda entry, at: one_line(entry, "address line 3", at.address3), "third line"),
    _parcel_line("City", lambda _, at: at.city, "city"),
    _parcel_line("State", lambda _, at: state_of(at), "code of the state, else its name"),
    _parcel_line("Postal Code", lambda _, at: at.postal_code, "postal code"),
    _parcel_line("Country Code", lambda _, at: at.country, "country, ISO 3166-1 alpha-2"),
    _parcel_line("Phone", lambda _, at: at.phone, "phone"),
    told("Email", email_of, "The customer's e-mail address."),
    told("Shipping Service", lambda order: order.shipping.method_name, "Shipping method."),
    LineColumn("SKU", lambda entry, line, _: sku_of(entry, line), "Your own SKU where your catalogue has one."),
    LineColumn(
        "Item Name",
        lambda entry, line, _: shortened(entry, "the product name", name_of(entry, line), _NAME_MOST),
        "Name of the product.",
    ),
    LineColumn("Quantity", lambda _entry, line, _: line.quantity, "How many to pick and pack.", Kind.NUMBER),
    LineColumn(
        "Unit Price",
        lambda entry, line, _: price(entry, "the unit price", line.unit_price_customer, places=_PLACES),
        "Price of one, in customer currency.",
        Kind.MONEY,
    ),
    LineColumn("Unit Weight", _shipstation_weight, "Weight of one, with its unit."),
    LineColumn("Item Options", lambda _entry, line, _: options_text(line), "What was chosen."),
    LineColumn(
        "HS Tariff",
        lambda entry, line, _: shortened(entry, "the tariff number", hs_code_of(entry, line), _HS_MOST),
        "Customs tariff number.",
    ),
    LineColumn("Country of Origin", lambda entry, line, _: origin_of(entry, line), "Country of origin."),
    per_order(
        "Amount Paid",
        lambda entry: price(entry, "the order's total", entry.order.totals.total_customer, places=_PLACES),
        "What the customer pays in all.",
        Kind.MONEY,
    ),
    LineColumn("Gift Message", lambda _entry, line, _: line.gift_message, "Text to go with the gift.", Kind.LINES),
    told("Custom Field 1", lambda order: order.order_number, "The platform's order number, whole."),
    told("Custom Field 2", lambda order: order.merchant_order_number, "Your shop's order number, where stated."),
    told("Custom Field 3", customer_currency, "Currency of the amounts."),
    told("Customer Notes", lambda order: order.customer.comments, "What the customer wrote.", Kind.LINES),
    per_order("Internal Notes", for_staff, "What staff have to read.", Kind.LINES),
)

SHIPSTATION = Profile(
    "shipstation", 1, (Table("orders", _SHIPSTATION),), audience="ShipStation, its CSV import", dialect=IMPORT
)

SHOPS = (MATRIXIFY, WOOCOMMERCE, SHIPSTATION)
