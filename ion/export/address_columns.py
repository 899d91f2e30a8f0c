"""The columns of an address, declared once and given to each address of an order under its own prefix."""

from collections.abc import Callable

from ion.export.cells import Cell, lines_text
from ion.export.columns import Kind, OrderColumn, told
from ion.export.facts import block, local_name
from ion.order import Address, Order

# (ending of the name, value, kind, explanation; the prefix's words are put in front)
_FIELDS: tuple[tuple[str, Callable[[Address], Cell], Kind, str], ...] = (
    ("name", lambda at: at.full_name, Kind.TEXT, "name in full, as on a label"),
    ("salutation", lambda at: at.salutation, Kind.TEXT, "salutation"),
    ("first_name", lambda at: at.first_name, Kind.TEXT, "first name, where the platform states the parts"),
    ("middle_name", lambda at: at.middle_name, Kind.TEXT, "middle name"),
    ("last_name", lambda at: at.last_name, Kind.TEXT, "last name, where the platform states the parts"),
    ("company", lambda at: at.company, Kind.TEXT, "company"),
    ("address1", lambda at: at.address1, Kind.LINES, "first address line"),
    ("address2", lambda at: at.address2, Kind.LINES, "second address line; line breaks belong on the label"),
    ("address3", lambda at: at.address3, Kind.LINES, "third address line"),
    ("city", lambda at: at.city, Kind.TEXT, "city"),
    ("city_region", lambda at: at.city_region, Kind.TEXT, "part of the city or region"),
    ("state_code", lambda at: at.state_code, Kind.TEXT, "code of the state or province"),
    ("state", lambda at: at.state, Kind.TEXT, "name of the state or province"),
    ("postal_code", lambda at: at.postal_code, Kind.TEXT, "postal code"),
    ("country", lambda at: at.country, Kind.TEXT, "country, ISO 3166-1 alpha-2"),
    (
        "country_stated",
        lambda at: lines_text(at.country_stated),
        Kind.TEXT,
        "country as the platform also wrote it, where that means another one: ask before you ship",
    ),
    ("phone", lambda at: at.phone, Kind.TEXT, "phone"),
    ("phone2", lambda at: at.phone2, Kind.TEXT, "second phone"),
    ("phone_country", lambda at: at.phone_country, Kind.TEXT, "country the phone number belongs to"),
    ("fax", lambda at: at.fax, Kind.TEXT, "fax"),
    ("email", lambda at: at.email, Kind.TEXT, "e-mail stated with the address"),
    ("collection_point", lambda at: at.collection_point, Kind.TEXT, "pick-up point"),
    ("tax_id", lambda at: at.tax_id, Kind.TEXT, "tax number"),
    ("vat_number", lambda at: at.vat_number, Kind.TEXT, "VAT number"),
)


def address_columns(prefix: str, whose: str, get: Callable[[Order], Address]) -> tuple[OrderColumn, ...]:
    """One column per field of an address: `<prefix>_name`, `<prefix>_city` ...; `whose` opens each explanation."""
    return tuple(
        _column(f"{prefix}_{ending}", get, value, f"{whose}: {about}.", kind) for ending, value, kind, about in _FIELDS
    )


def local_columns(
    prefix: str, whose: str, get: Callable[[Order], Address], local: Callable[[Order], Address]
) -> tuple[OrderColumn, ...]:
    """The name and the address in the customer's own script, where the platform states them."""
    return (
        told(
            f"{prefix}_local_name",
            lambda order: local_name(get(order), local(order)),
            f"{whose}: name in local script.",
        ),
        told(
            f"{prefix}_local_address",
            lambda order: block(local(order)),
            f"{whose}: address in local script.",
            Kind.LINES,
        ),
    )


def _column(
    name: str, get: Callable[[Order], Address], value: Callable[[Address], Cell], about: str, kind: Kind
) -> OrderColumn:
    return told(name, lambda order: value(get(order)), about, kind)
