"""Profiles that bookkeeping imports: Xero, QuickBooks Online, Odoo. Each amount that is part of an order's total is a
line, in customer currency, so that invoices come to what the customer pays.

Whom the invoices are made out to, the account and the tax type are the merchant's to say (`Options`). Sources of the
columns: Xero's template for sales invoices, quickbooks.intuit.com (394876, import invoices), the technical names of
Odoo's models `sale.order` and `res.partner`; which are confirmed is told in the README.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from ion.export.cells import Cell, amount_in, lines_text
from ion.export.charges import Charge, ChargeKind, charges
from ion.export.columns import ChargeColumn, Entry, Kind, Options, OrderColumn, PartColumn, told
from ion.export.facts import customer_currency
from ion.export.fitting import one_line, price, stated_date
from ion.export.import_values import billing, email_of, options_text, parcel, second_line, sku_of, state_of, warning
from ion.export.shops import IMPORT, charge_name, per_order, unfilled
from ion.export.tables import Profile, Table
from ion.export.totals import check_total, exact_product
from ion.order import Address, Order

XERO_MOST_INVOICES = 500
_XERO_PLACES = 4


def _contact(entry: Entry) -> Cell:
    """Whom the invoice is made out to."""
    at = billing(entry.order)
    return entry.options.contact_name or at.company or at.full_name


def _option(name: str, what: str, get: Callable[[Options], str | None]) -> OrderColumn:
    return OrderColumn(name, lambda entry: get(entry.options), f"{what}, as given for all rows.")


def _number(entry: Entry) -> Cell:
    """The order number; says where the invoice does not come to what the order states."""
    warning(entry)
    check = check_total(entry.order)
    if check.difference is not None:
        entry.say("the lines do not come to the total the order states; look at it before you book it")
    return entry.order.order_number


def _own_sku(entry: Entry, charge: Charge, _position: int) -> Cell:
    """Bookkeeping refuses an article it does not know, so only what the catalogue names for it is given."""
    known = entry.item(charge.item) if charge.kind is ChargeKind.ITEM and charge.item else None
    return known.own_sku if known else None


def _description(entry: Entry, charge: Charge, position: int) -> Cell:
    """Name, SKU and options of a line item, on one line; of anything else what it is."""
    item = charge.item if charge.kind is ChargeKind.ITEM else None
    name = str(charge_name(entry, charge, position))
    parts = [name, item.sku, options_text(item)] if item else [name, charge.code]
    told_once = dict.fromkeys(str(part) for part in parts if part)
    return one_line(entry, "the description", ", ".join(told_once))


def _unit_amount(entry: Entry, charge: Charge, _position: int) -> Cell:
    return price(entry, f"the price of {charge.name}", charge.amount, places=_XERO_PLACES)


def _unit_price(entry: Entry, charge: Charge, _position: int) -> Cell:
    return price(entry, f"the price of {charge.name}", charge.amount)


def _line_amount(entry: Entry, charge: Charge, _position: int) -> Cell:
    amount = None if charge.amount is None else exact_product(charge.amount, charge.quantity)
    return amount_in(customer_currency(entry.order), amount)


def _quantity(name: str) -> ChargeColumn:
    return ChargeColumn(name, lambda _entry, charge, _: charge.quantity, "How many.", Kind.NUMBER)


# Xero

XERO = Profile(
    "xero",
    1,
    (
        Table(
            "invoices",
            (
                per_order("*ContactName", _contact, "Whom the invoice is made out to: as given, else the customer."),
                told("EmailAddress", email_of, "The customer's e-mail address."),
                per_order(
                    "POAddressLine1",
                    lambda entry: one_line(entry, "address line 1", billing(entry.order).address1),
                    "Invoice address: first line.",
                ),
                per_order(
                    "POAddressLine2",
                    lambda entry: one_line(entry, "address line 2", billing(entry.order).address2),
                    "Invoice address: second line.",
                ),
                per_order(
                    "POAddressLine3",
                    lambda entry: one_line(entry, "address line 3", billing(entry.order).address3),
                    "Invoice address: third line.",
                ),
                told("POAddressLine4", lambda order: billing(order).city_region, "Invoice address: part of the city."),
                told("POCity", lambda order: billing(order).city, "Invoice address: city."),
                told("PORegion", lambda order: state_of(billing(order)), "Invoice address: state or province."),
                told("POPostalCode", lambda order: billing(order).postal_code, "Invoice address: postal code."),
                told("POCountry", lambda order: billing(order).country, "Invoice address: country, ISO 3166-1."),
                per_order("*InvoiceNumber", _number, "The platform's order number; rows of one are one invoice."),
                told("Reference", lambda order: order.merchant_order_number, "Your shop's order number, where stated."),
                per_order("*InvoiceDate", lambda entry: stated_date(entry, "%d/%m/%Y"), "When the order was placed."),
                per_order("*DueDate", lambda entry: stated_date(entry, "%d/%m/%Y"), "The same day."),
                ChargeColumn("InventoryItemCode", _own_sku, "Your own SKU, where your catalogue has one."),
                ChargeColumn("*Description", _description, "Name, SKU and options, or what else is charged."),
                _quantity("*Quantity"),
                ChargeColumn("*UnitAmount", _unit_amount, "Price of one; discounts are negative.", Kind.MONEY),
                *unfilled("Discount"),
                _option("*AccountCode", "Account code", lambda options: options.account_code),
                _option("*TaxType", "Tax type", lambda options: options.tax_type),
                *unfilled("TrackingName1", "TrackingOption1", "TrackingName2", "TrackingOption2"),
                told("Currency", customer_currency, "Currency of every amount."),
                *unfilled("BrandingTheme"),
            ),
            parts=charges,
            bare_orders=False,
        ),
    ),
    audience="Xero, sales invoices",
    dialect=IMPORT,
    subject="invoices",
    most_orders=XERO_MOST_INVOICES,
    options=("account_code", "tax_type"),
)


# QuickBooks Online


def _product(entry: Entry, charge: Charge, _position: int) -> Cell:
    if charge.kind is ChargeKind.ITEM and charge.item is not None:
        return sku_of(entry, charge.item) or charge.name
    return charge.kind.value.capitalize()


QUICKBOOKS = Profile(
    "quickbooks",
    1,
    (
        Table(
            "invoices",
            (
                per_order("*Invoice number", _number, "The platform's order number; rows of one are one invoice."),
                per_order("*Customer", _contact, "Whom the invoice is made out to: as given, else the customer."),
                per_order("*Invoice date", lambda entry: stated_date(entry, "%m/%d/%Y"), "When the order was placed."),
                per_order("*Due date", lambda entry: stated_date(entry, "%m/%d/%Y"), "The same day."),
                *unfilled("Terms"),
                told(
                    "Memo",
                    lambda order: " ".join(
                        filter(None, (f"Amounts in {customer_currency(order) or '?'}", order.merchant_order_number))
                    ),
                    "The currency, for which the format has no column, and your shop's order number.",
                ),
                ChargeColumn("Item (Product/Service)", _product, "SKU; Shipping, Tax, Fee, Discount or Markup."),
                ChargeColumn("Item Description", _description, "Name, SKU and options, or what else is charged."),
                _quantity("Item Quantity"),
                ChargeColumn("Item Rate", _unit_price, "Price of one; discounts are negative.", Kind.MONEY),
                ChargeColumn("*Item Amount", _line_amount, "Quantity times rate.", Kind.MONEY),
                _option("Item tax code", "Tax code", lambda options: options.tax_type),
                per_order("Service Date", lambda entry: stated_date(entry, "%m/%d/%Y"), "When the order was placed."),
            ),
            parts=charges,
            bare_orders=False,
        ),
    ),
    audience="QuickBooks Online, invoices",
    dialect=IMPORT,
    subject="invoices",
    options=("tax_type",),
)


# Odoo: orders name their partners by external ids, which the file of contacts gives; two people of one name stay two.


def _external_id(address: Address, email: str | None) -> str | None:
    if address.is_empty():
        return None
    stated = json.dumps([address.model_dump(mode="json", exclude_defaults=True), email], sort_keys=True)
    return f"ion_{hashlib.sha256(stated.encode()).hexdigest()[:20]}"


def _odoo_product(entry: Entry, charge: Charge, _position: int) -> Cell:
    if charge.kind is ChargeKind.ITEM and charge.item is not None:
        return sku_of(entry, charge.item)
    return charge.kind.value.upper()


ODOO = Profile(
    "odoo",
    1,
    (
        Table(
            "orders",
            (
                per_order("name", _number, "The platform's order number."),
                told(
                    "partner_id/id",
                    lambda order: _external_id(billing(order), email_of(order)),
                    "The customer, by external id.",
                ),
                told(
                    "partner_invoice_id/id",
                    lambda order: _external_id(billing(order), email_of(order)),
                    "The invoice address, by external id.",
                ),
                told(
                    "partner_shipping_id/id",
                    lambda order: _external_id(parcel(order), email_of(order)),
                    "The address on the parcel, by external id.",
                ),
                told("client_order_ref", lambda order: order.merchant_order_number, "Your shop's order number."),
                told("origin", lambda order: f"ION {order.platform}", "Where the order comes from."),
                per_order("date_order", lambda entry: stated_date(entry, "%Y-%m-%d %H:%M:%S"), "When it was placed."),
                ChargeColumn("order_line/product_id", _odoo_product, "SKU; SHIPPING, TAX, FEE, DISCOUNT or MARKUP."),
                ChargeColumn("order_line/name", _description, "Name, SKU and options, or what else is charged."),
                _quantity("order_line/product_uom_qty"),
                ChargeColumn("order_line/price_unit", _unit_price, "Price of one, in customer currency.", Kind.MONEY),
                told("note", lambda order: f"Amounts in {customer_currency(order) or '?'}", "Currency of the amounts."),
            ),
            parts=charges,
            first_row_only=True,
        ),
    ),
    audience="Odoo, quotations and orders; import `odoo-contacts` first",
    dialect=IMPORT,
)


def _addresses(order: Order) -> Sequence[Any]:
    """The addresses that the order's partners are, each once."""
    found = {_external_id(at, email_of(order)): at for at in (billing(order), parcel(order)) if not at.is_empty()}
    return list(found.values())


def _contact_id(entry: Entry, at: Address, _position: int) -> Cell:
    return _external_id(at, email_of(entry.order))


def _state_and_numbers(_entry: Entry, at: Address, _position: int) -> Cell:
    return lines_text(
        f"{word}: {value}"
        for word, value in (
            ("State", at.state),
            ("State code", at.state_code),
            ("VAT", at.vat_number),
            ("Tax", at.tax_id),
        )
        if value
    )


_OF_ADDRESS = PartColumn[Address]

ODOO_CONTACTS = Profile(
    "odoo-contacts",
    1,
    (
        Table(
            "contacts",
            (
                _OF_ADDRESS("id", _contact_id, "External id: one address, one id, whatever the order."),
                _OF_ADDRESS("name", lambda _, at, __: at.full_name or at.company, "Name in full."),
                _OF_ADDRESS("company_name", lambda _, at, __: at.company, "Company."),
                _OF_ADDRESS("street", lambda entry, at, _: one_line(entry, "a street", at.address1), "First line."),
                _OF_ADDRESS("street2", lambda entry, at, _: second_line(entry, "a street", at), "Other lines."),
                _OF_ADDRESS("zip", lambda _, at, __: at.postal_code, "Postal code."),
                _OF_ADDRESS("city", lambda _, at, __: at.city, "City."),
                _OF_ADDRESS("country_id", lambda _, at, __: at.country, "Country, ISO 3166-1 alpha-2."),
                _OF_ADDRESS("phone", lambda _, at, __: at.phone, "Phone."),
                _OF_ADDRESS("email", lambda entry, _, __: email_of(entry.order), "The customer's e-mail address."),
                _OF_ADDRESS("comment", _state_and_numbers, "State and tax numbers, which imports are strict about."),
            ),
            parts=_addresses,
            bare_orders=False,
            distinct="id",
        ),
    ),
    audience="Odoo, the partners of the profile `odoo`",
    dialect=IMPORT,
    subject="contacts",
)

BOOKKEEPING = (XERO, QUICKBOOKS, ODOO, ODOO_CONTACTS)
