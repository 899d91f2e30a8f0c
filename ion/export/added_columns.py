"""The columns that version 2 of `standard` and `xlsx` added: changes, the catalogue, the shop's number."""

from collections.abc import Callable

from ion.export.catalogue import CatalogueItem
from ion.export.cells import Cell
from ion.export.changed import changed_text
from ion.export.columns import Kind, LineColumn, OrderColumn, kept

CHANGED = OrderColumn(
    "changed",
    lambda entry: changed_text(entry.stored.previous, entry.order),
    "What the order says otherwise than in the last file published for you, one change a line; empty: nothing.",
    Kind.LINES,
)

SHOP_ORDER_NUMBER = kept(
    "shop_order_number", lambda stored: stored.shop_order_number, "The number that staff gave the order in your shop."
)


def _known(name: str, get: Callable[[CatalogueItem], Cell], about: str, kind: Kind = Kind.TEXT) -> LineColumn:
    """A value of the catalogue, whatever the order states."""

    def value(item: CatalogueItem | None) -> Cell:
        return None if item is None else get(item)

    return LineColumn(name, lambda entry, line, _position: value(entry.item(line)), about, kind)


CATALOGUE: tuple[LineColumn, ...] = (
    _known("own_sku", lambda item: item.own_sku, "Your catalogue: the SKU that your own programs know the article by."),
    _known("catalogue_name", lambda item: item.name, "Your catalogue: name of the article."),
    _known("catalogue_hs_code", lambda item: item.hs_code, "Your catalogue: customs tariff number."),
    _known(
        "catalogue_country_of_origin",
        lambda item: item.country_of_origin,
        "Your catalogue: country of origin, ISO 3166-1 alpha-2.",
    ),
    _known("catalogue_weight", lambda item: item.weight, "Your catalogue: weight of one.", Kind.NUMBER),
    _known("catalogue_weight_unit", lambda item: item.weight_unit, "Your catalogue: unit of that weight."),
)
