"""Orders that say something else now than the shop, or a published file, has of them; and which one is to be entered
next."""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import col

from ion.content import order_of
from ion.order import Order
from ion.store import tables
from ion.store.engine import Database
from ion.store.entries import MAY_BE_CHANGED, changed_since_batch, changed_since_entry, orders_with_history
from ion.store.plain_sql import PlainSql
from ion.store.published import chunks
from ion.store.types import OrderState


@dataclass(frozen=True)
class ChangedOrder:
    """Since when an order says something else: it was `entered` in the shop, else `exported` in the newest file of the
    primary profile that holds it. `previous`: the order as it was then, None where that is not known any more."""

    since: Literal["entered", "exported"]
    previous: Order | None


class ChangedOrders(Database):
    """Each method is one reading transaction and raises StoreError where the database refuses. Erased orders are not
    there."""

    def changed_order(self, merchant: str, order_id: int) -> ChangedOrder | None:
        """What an order said before; None where it says the same, or is not there."""
        revision = tables.OrderRevision
        with self.reading() as connection:
            row = connection.execute(_orders(merchant).where(col(tables.OrderRow.id) == order_id)).one_or_none()
            changed = None if row is None else _changed(row)
            if row is None or changed is None:
                return None
            since, number = changed
            kept = sa.select(col(revision.content_json)).where(
                col(revision.order_id) == order_id, col(revision.revision) == number
            )
            # Another reading puts a revision right in its place: then what it said before is gone.
            content = connection.execute(kept).scalar() if number != row.revision else None
        return ChangedOrder(since, order_of(content) if content else None)

    def changed_since_entered(self, merchant: str) -> tuple[tuple[int, str], ...]:
        """The orders (id and number) that say something else now than when they were entered in the shop, in the order
        they first came. Test orders are left out."""
        table = tables.OrderRow
        with self.reading() as connection:
            ids = [order_id for (order_id,) in PlainSql(connection).rows(_ENTERED, merchant)]
            rows: list[Any] = []
            for some in chunks(ids):
                rows += connection.execute(_orders(merchant).where(col(table.id).in_(some)).order_by(col(table.id)))
        return tuple((row.id, row.order_number) for row in rows if changed_since_entry(row))

    def next_to_enter(self, merchant: str, after: int) -> int | None:
        """The id of the next order, by when they first came, that is not entered yet and is no test; None where there
        is none behind the order `after`."""
        table = tables.OrderRow
        states = [OrderState.NEW.value, OrderState.EXPORTED.value]
        query = (
            sa.select(col(table.id))
            .where(col(table.merchant) == merchant, col(table.state).in_(states), col(table.id) > after)
            .where(col(table.test).is_(False), col(table.erased_at).is_(None))
            .order_by(col(table.id))
            .limit(1)
        )
        with self.reading() as connection:
            return connection.execute(query).scalar()


_ENTERED = f"SELECT id FROM orders WHERE merchant = ? AND {MAY_BE_CHANGED} ORDER BY id"  # noqa: S608  # ours


def _orders(merchant: str) -> "sa.Select[*tuple[Any, ...]]":
    table = tables.OrderRow
    return orders_with_history().where(col(table.merchant) == merchant, col(table.erased_at).is_(None))


def _changed(row: Any) -> tuple[Literal["entered", "exported"], int] | None:
    """Since what the order says something else, and which revision that was."""
    if row.state == OrderState.ENTERED:
        return ("entered", row.event_revision) if changed_since_entry(row) else None
    return ("exported", row.batch_revision) if changed_since_batch(row) else None
