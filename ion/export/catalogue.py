"""A merchant's catalogue: what the shop knows about its articles and a platform does not state, read from a CSV.

An item never overrides what an order states. It fills in a name, a tariff number, a country of origin, a weight, and
gives the SKU that the merchant's own programs know the article by.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from ion.csv_input import csv_rows, folded_heading
from ion.errors import CatalogueError
from ion.export.guard import Guard, unguarded
from ion.order import canonical_text, read_decimal

MAX_OCTETS = 32 * 1024 * 1024
MAX_ITEMS = 200_000
MAX_CHARACTERS = 1_000  # of one cell
CATALOGUE_GUARD = Guard.FORMULAS

# Field → headings it is known by, folded: letters and digits only, lower case.
_HEADINGS: dict[str, tuple[str, ...]] = {
    "sku": ("sku", "platformsku", "articlenumber", "itemnumber", "productcode", "artikelnummer", "variantsku"),
    "own_sku": ("ownsku", "mysku", "shopsku", "merchantsku", "internalsku", "erpsku", "eigenesku"),
    "name": ("name", "productname", "title", "producttitle", "description", "bezeichnung", "titel"),
    "hs_code": ("hscode", "hstariff", "tariffnumber", "tariffcode", "commoditycode", "zolltarifnummer"),
    "country_of_origin": ("countryoforigin", "origin", "origincountry", "coo", "madein", "ursprungsland"),
    "weight": ("weight", "unitweight", "grossweight", "gewicht"),
    "weight_unit": ("weightunit", "unitofweight", "gewichtseinheit"),
}
_FIELD_OF = {heading: field for field, headings in _HEADINGS.items() for heading in headings}


@dataclass(frozen=True)
class CatalogueItem:
    """One article. `sku`: as orders state it; `own_sku`: as the merchant's own programs do; `country_of_origin`: ISO
    3166-1 alpha-2; `weight`: of one, in `weight_unit`. None: not known."""

    sku: str
    own_sku: str | None = None
    name: str | None = None
    hs_code: str | None = None
    country_of_origin: str | None = None
    weight: Decimal | None = None
    weight_unit: str | None = None


def read_catalogue(octets: bytes) -> tuple[CatalogueItem, ...]:
    """The items of a CSV in UTF-8 with or without BOM, its cells separated by commas, semicolons or tabs.

    The first row names the columns, whatever the case and the marks between words (`HS Code`, `hs_code`); `sku` has to
    be there, columns of other names are passed over. A row that is there twice is taken once. An apostrophe before what
    a spreadsheet would take for a formula is its guard, and no part of the text.

    Raises CsvError for what is no such CSV, and CatalogueError naming the row and the column for anything else: an
    empty SKU, a weight that is no number, a country that is no two-letter code, an article that is there twice with
    different values.
    """
    items = []
    for found in _read(octets):
        if isinstance(found, CatalogueError):
            raise found
        items.append(found)
    return tuple(items)


def catalogue_faults(octets: bytes, most: int = 20) -> tuple[str, ...]:
    """What is wrong with such a CSV, a sentence for each row, at most so many. Raises CsvError for what is none."""
    found = []
    for one in _read(octets):
        if isinstance(one, CatalogueError):
            found.append(str(one))
            if len(found) >= most:
                break
    return tuple(found)


def _read(octets: bytes) -> Iterator[CatalogueItem | CatalogueError]:
    """Each item once, or what is wrong with its row."""
    columns: dict[str, int] | None = None
    items: dict[str, CatalogueItem] = {}
    for number, row in csv_rows(octets, MAX_OCTETS):
        if columns is None:
            columns = _columns(row)
            continue
        try:
            item = _item(number, row, columns)
        except CatalogueError as error:
            yield error
            continue
        known = items.setdefault(item.sku, item)
        if known is item:
            yield item
        elif known != item:
            yield CatalogueError(
                f"row {number}, column sku: {item.sku!r} was there before with other values; keep one of the rows"
            )
        if len(items) > MAX_ITEMS:
            raise CatalogueError(f"row {number}: more than {MAX_ITEMS} articles; leave out those not sold abroad")
    if columns is None:
        _columns([])


def passed_over(octets: bytes) -> tuple[str, ...]:
    """The headings of such a CSV that `read_catalogue` takes for no field: perhaps one is only misspelt. Raises
    CsvError."""
    _, heading = next(csv_rows(octets, MAX_OCTETS), (1, []))
    return tuple(name[:40] for name in heading if name and _field(name) is None)


def _columns(heading: list[str]) -> dict[str, int]:
    """Field → its place in a row."""
    found: dict[str, int] = {}
    for place, name in enumerate(heading):
        field = _field(name)
        if field in found:
            raise CatalogueError(f"row 1: columns {heading[found[field]]!r} and {name!r} both mean {field}; remove one")
        if field:
            found[field] = place
    if "sku" not in found:
        shown = ", ".join(repr(name[:40]) for name in heading[:10]) or "none"
        raise CatalogueError(f"row 1: no column sku; found {shown}")
    return found


def _field(heading: str) -> str | None:
    return _FIELD_OF.get(folded_heading(heading))


def _item(number: int, row: list[str], columns: dict[str, int]) -> CatalogueItem:
    stated: dict[str, str | None] = {}
    for field, place in columns.items():
        cell = row[place] if place < len(row) else ""
        if len(cell) > MAX_CHARACTERS:
            raise CatalogueError(f"row {number}, column {field}: {len(cell)} characters; at most {MAX_CHARACTERS}")
        stated[field] = canonical_text(unguarded(cell, CATALOGUE_GUARD))
    sku, weight, origin = stated["sku"], stated.pop("weight", None), stated.pop("country_of_origin", None)
    if sku is None:
        raise CatalogueError(f"row {number}, column sku: empty; give the SKU or remove the row")
    if origin is not None and not re.fullmatch("[A-Za-z]{2}", origin):
        raise CatalogueError(
            f"row {number}, column country_of_origin: {origin!r} is no code of two letters (ISO 3166-1), such as PT"
        )
    return CatalogueItem(
        sku=sku,
        **{name: value for name, value in stated.items() if name != "sku"},
        country_of_origin=origin.upper() if origin else None,
        weight=None if weight is None else _weight(number, weight),
    )


def _weight(number: int, text: str) -> Decimal:
    try:
        weight = read_decimal(text)
    except ValueError:
        weight = Decimal(-1)
    if weight < 0:
        raise CatalogueError(f"row {number}, column weight: {text!r} is no weight; write it with a point, such as 0.25")
    return weight
