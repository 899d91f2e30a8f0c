"""Catalogues: what a merchant knows of its articles, by the SKU that orders name, and which SKUs it does not know."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import sqlalchemy as sa
from sqlmodel import col

from ion.order import decimal_text, read_decimal
from ion.store import tables
from ion.store.engine import Database
from ion.store.merchants import lock_merchant, merchant_in
from ion.store.types import utc_now


class Article(Protocol):
    """What is taken of an item. `country_of_origin`: ISO 3166-1 alpha-2; `weight`: of one, in `weight_unit`; None: not
    known."""

    @property
    def sku(self) -> str: ...
    @property
    def own_sku(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def hs_code(self) -> str | None: ...
    @property
    def country_of_origin(self) -> str | None: ...
    @property
    def weight(self) -> Decimal | None: ...
    @property
    def weight_unit(self) -> str | None: ...


@dataclass(frozen=True)
class CatalogueArticle:
    """An item as it is kept; the fields of `Article`."""

    sku: str
    own_sku: str | None
    name: str | None
    hs_code: str | None
    country_of_origin: str | None
    weight: Decimal | None
    weight_unit: str | None


@dataclass(frozen=True)
class CatalogueChange:
    """How many items a load added, changed, removed and found to be the same. `stored`: False where it was only to be
    told."""

    added: int
    changed: int
    removed: int
    same: int
    stored: bool


@dataclass(frozen=True)
class UnknownSku:
    """A SKU that a merchant's orders name and its catalogue does not: the name that the newest of its orders gives it,
    and in how many orders it is."""

    sku: str
    name: str | None
    orders: int


class Catalogues(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def load_catalogue(
        self, merchant: str, items: Iterable[Article], *, replace: bool = False, dry_run: bool = False
    ) -> CatalogueChange:
        """Take items into the merchant's catalogue, each whole, in place of the one of the same SKU. `replace`: those
        that are not among them go. `dry_run`: only count. Raises UnknownMerchantError."""
        given = {item.sku: _values(item) for item in items}
        table, now = tables.CatalogueItem, utc_now()
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            known = {row.sku: tuple(row) for row in connection.execute(_items(merchant))}
            added = [sku for sku in given if sku not in known]
            changed = [sku for sku, values in given.items() if sku in known and known[sku] != values]
            removed = [sku for sku in known if replace and sku not in given]
            if not dry_run:
                of_merchant = col(table.merchant) == merchant
                gone = [{"gone": sku} for sku in (*changed, *removed)]
                if gone:
                    connection.execute(
                        sa.delete(table).where(of_merchant, col(table.sku) == sa.bindparam("gone")), gone
                    )
                rows = [
                    {"merchant": merchant, "updated_at": now, **dict(zip(_FIELDS, given[sku], strict=True))}
                    for sku in (*added, *changed)
                ]
                if rows:
                    connection.execute(sa.insert(table), rows)
        same = len(given) - len(added) - len(changed)
        return CatalogueChange(len(added), len(changed), len(removed), same, stored=not dry_run)

    def catalogue(self, merchant: str) -> dict[str, CatalogueArticle]:
        """The merchant's items by SKU, in its order. Raises UnknownMerchantError."""
        with self.reading() as connection:
            merchant_in(connection, merchant)
            rows: Any = connection.execute(_items(merchant).order_by(col(tables.CatalogueItem.sku))).all()
        return {row.sku: _article(row) for row in rows}

    def articles(self, merchant: str, skus: Collection[str]) -> dict[str, CatalogueArticle]:
        """Those of the merchant's items that have one of these SKUs, by SKU."""
        query = _items(merchant).where(col(tables.CatalogueItem.sku).in_(sorted(skus)))
        with self.reading() as connection:
            return {row.sku: _article(row) for row in connection.execute(query)}

    def unknown_skus(self, merchant: str, *, newest: int | None = None) -> tuple[UnknownSku, ...]:
        """SKUs of the merchant's orders, or of so many of its newest ones, that its catalogue does not know, those of
        most orders first. Test orders do not count. Raises UnknownMerchantError."""
        order, line, item = tables.OrderRow, tables.OrderLine, tables.CatalogueItem
        known = sa.exists().where(col(item.merchant) == merchant, col(item.sku) == col(line.sku))
        counted: Any = (
            sa.select(
                col(line.sku).label("sku"),
                sa.func.count(sa.distinct(col(line.order_id))).label("orders"),
                sa.func.max(col(line.order_id)).label("newest"),
            )
            .join(order, col(order.id) == col(line.order_id))
            .where(col(order.merchant) == merchant, col(order.test).is_(False), col(line.sku).is_not(None), ~known)
            .where(*_newest(merchant, newest))
            .group_by(col(line.sku))
            .subquery()
        )
        name = (
            sa.select(sa.func.min(col(line.name)))
            .where(col(line.order_id) == counted.c.newest, col(line.sku) == counted.c.sku)
            .scalar_subquery()
        )
        query = sa.select(counted.c.sku, name, counted.c.orders).order_by(counted.c.orders.desc(), counted.c.sku)
        with self.reading() as connection:
            merchant_in(connection, merchant)
            return tuple(UnknownSku(*row) for row in connection.execute(query))


_FIELDS = tuple(CatalogueArticle.__dataclass_fields__)


def _items(merchant: str) -> "sa.Select[*tuple[Any, ...]]":
    table = tables.CatalogueItem
    return sa.select(*(getattr(table, name) for name in _FIELDS)).where(col(table.merchant) == merchant)


def _article(row: Any) -> CatalogueArticle:
    return CatalogueArticle(**dict(row._mapping) | {"weight": _weight(row.weight)})


def _values(item: Article) -> tuple[str | None, ...]:
    """An item as its row holds it, in the order of `_FIELDS`."""
    weight = None if item.weight is None else decimal_text(item.weight)
    return (item.sku, item.own_sku, item.name, item.hs_code, item.country_of_origin, weight, item.weight_unit)


def _weight(stored: str | None) -> Decimal | None:
    return None if stored is None else read_decimal(stored)


def _newest(merchant: str, number: int | None) -> tuple[Any, ...]:
    if number is None:
        return ()
    table = tables.OrderRow
    other = sa.orm.aliased(table)
    is_it = (col(other.merchant) == merchant, col(other.erased_at).is_(None))
    last = sa.select(col(other.id)).where(*is_it).order_by(col(other.id).desc()).limit(1).offset(number)
    # Of erased orders there are no lines; with that said, an index has the orders from one on.
    return (col(table.id) > sa.func.coalesce(last.scalar_subquery(), 0), col(table.erased_at).is_(None))
