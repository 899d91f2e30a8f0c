"""The export profiles: each a frozen, versioned list of columns. The list is a promise to whoever imports the file.

A column is never renamed, moved or removed within a version. A change is a new version, by its own number in the
file name; a test holds every version against its golden list. To add a profile: declare it here or beside its kind,
and list it in `VERSIONS`.
"""

from dataclasses import replace

from ion.errors import UnknownProfileError
from ion.export.added_columns import CATALOGUE, CHANGED, SHOP_ORDER_NUMBER
from ion.export.bookkeeping import BOOKKEEPING
from ion.export.columns import OrderColumn
from ion.export.dialect import Dialect
from ion.export.guard import Guard
from ion.export.line_columns import LINE_COLUMNS
from ion.export.order_columns import (
    AMOUNTS,
    CUSTOMS,
    FOLLOW_UP,
    NUMBERS,
    PAYMENT,
    PEOPLE,
    RECORD,
    SHIPPING,
    STATUS,
)
from ion.export.shops import SHOPS
from ion.export.tables import Profile, Table

_ORDER: tuple[OrderColumn, ...] = (
    *NUMBERS,
    *STATUS,
    *SHIPPING,
    *PEOPLE,
    *AMOUNTS,
    *CUSTOMS,
    *PAYMENT,
    *FOLLOW_UP,
    *RECORD,
)


def _named(*names: str) -> tuple[OrderColumn, ...]:
    by_name = {column.name: column for column in _ORDER}
    return tuple(by_name[name] for name in names)


STANDARD_1 = Profile(
    "standard",
    1,
    (
        Table(
            "orders",
            (
                *NUMBERS,
                *STATUS,
                *LINE_COLUMNS,
                *AMOUNTS,
                *SHIPPING,
                *PEOPLE,
                *CUSTOMS,
                *PAYMENT,
                *FOLLOW_UP,
                *RECORD,
            ),
        ),
    ),
    "csv",
    "importers and scripts: every column, one row per line item",
)

_FIRST = _named("order_number", "do_not_ship", "merchant_order_number")

XLSX_1 = Profile(
    "xlsx",
    1,
    (
        Table("Orders", (*_FIRST, *(column for column in _ORDER if column not in _FIRST))),
        Table(
            "Lines",
            (
                *_FIRST,
                *LINE_COLUMNS,
                *_named("customer_currency", "merchant_currency", "merchant", "ion_id"),
            ),
            bare_orders=False,
        ),
    ),
    "xlsx",
    "staff, in any spreadsheet program and any language",
)

STANDARD_2 = replace(
    STANDARD_1,
    version=2,
    tables=(
        replace(
            STANDARD_1.tables[0],
            columns=(*STANDARD_1.tables[0].columns, CHANGED, *CATALOGUE, SHOP_ORDER_NUMBER),
        ),
    ),
)

XLSX_2 = replace(
    XLSX_1,
    version=2,
    tables=(
        replace(XLSX_1.tables[0], columns=(*XLSX_1.tables[0].columns, CHANGED, SHOP_ORDER_NUMBER)),
        replace(XLSX_1.tables[1], columns=(*XLSX_1.tables[1].columns, *CATALOGUE)),
    ),
)

_IN_EXCEL = Dialect(
    encoding="utf-8-bom",
    instants="%Y-%m-%d %H:%M:%S",
    guard=Guard.SPREADSHEET,
    quote_all=True,
    titles=True,
    spreadsheet=True,
)


def _for_excel(tongue: str, audience: str, dialect: Dialect) -> Profile:
    return Profile(f"excel-{tongue}", 1, STANDARD_2.tables, audience=audience, dialect=dialect)


EXCEL = (
    _for_excel("en", "people with an English Excel who insist on CSV", _IN_EXCEL),
    _for_excel("de", "the same with a German one", replace(_IN_EXCEL, delimiter=";", decimal_mark=",")),
    _for_excel("fr", "the same with a French one", replace(_IN_EXCEL, delimiter=";", decimal_mark=",")),
)

VERSIONS: tuple[Profile, ...] = (XLSX_2, STANDARD_2, *EXCEL, *SHOPS, *BOOKKEEPING, XLSX_1, STANDARD_1)
"""Every profile in every version, the newest of each first."""

PROFILES: dict[str, Profile] = {}
"""Name → newest version."""
for _profile in VERSIONS:
    PROFILES.setdefault(_profile.name, _profile)


def profile_named(name: str) -> Profile:
    """The newest version of the profile, or that of `name@version`. Raises UnknownProfileError naming the known."""
    found = PROFILES.get(name) or next((profile for profile in VERSIONS if str(profile) == name), None)
    if found is None:
        raise UnknownProfileError(f"there is no export profile {name!r}; known are: {', '.join(PROFILES)}")
    return found
