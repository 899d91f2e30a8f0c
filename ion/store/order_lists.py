"""The list of orders: its pages, what is searched and filtered, how many there are, and all of one order.

Newest first is by id, which grows with each order that comes. A page is found by walking an index from where the last
one ended; what arrives meanwhile stands before all pages, so nothing is shown twice or passed over.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import order_of
from ion.contract.changes import Change, changes
from ion.errors import StoreError
from ion.order import Order
from ion.store import tables
from ion.store.engine import Database
from ion.store.entries import changed_since_entry, orders_with_history
from ion.store.order_ids import ALL_ORDERS, LARGEST_ID, OrderFilters, OrderQuestion
from ion.store.orders import ExportOrder, export_columns, export_order
from ion.store.published import chunks
from ion.store.types import OrderState

MOST_ROWS = 500
"""Most orders of one page."""
MOST_COUNTED = 10_000

_IDS_AT_ONCE = 5_000
_CURSOR = re.compile(r"(older|newer)-([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True)
class ListedOrder:
    """An order as a line of the list. `total`: exact, in `currency`; `received_at`: when it first came, `applied_at`:
    when its newest revision was applied, both aware; `changed_since_entered`: it says something else than what was
    entered in the shop."""

    id: int
    platform: str
    order_number: str
    merchant_order_number: str | None
    state: str
    shop_order_number: str | None
    customer_name: str | None
    country: str | None
    total: str | None
    currency: str | None
    test: bool
    replacement: bool
    documents_awaited: bool
    personal_data_suppressed: bool
    personal_data_encrypted: bool
    amended: bool
    received_at: datetime
    applied_at: datetime
    revision: int
    changed_since_entered: bool


@dataclass(frozen=True)
class OrderPage:
    """Newest first. `older`, `newer`: the cursors of the pages beside this one, None where there is none."""

    orders: tuple[ListedOrder, ...]
    older: str | None
    newer: str | None


@dataclass(frozen=True)
class ShownRevision:
    """A revision that was applied, and what brought it. `changes`: what it says otherwise than the one before, empty
    for the first one, None where one of the two is not kept whole."""

    revision: int
    applied_at: datetime
    notification: int
    message: int
    grade: str
    door: str
    received_at: datetime
    changes: tuple[Change, ...] | None


@dataclass(frozen=True)
class ShownEvent:
    """What staff said of the order: `what` is `entered` or `reopened`."""

    revision: int
    at: datetime
    what: str
    shop_order_number: str | None
    by: str
    source: str


@dataclass(frozen=True)
class OrderBatch:
    """A published file that holds a revision of the order."""

    id: int
    revision: int
    profile: str
    file_name: str
    business_date: date
    published_at: datetime


@dataclass(frozen=True)
class OrderNotification:
    """A notification that told of the order, and its message. `problems`: `{"code", "field", "message"}` each, which
    may quote values."""

    id: int
    message: int
    position: int
    state: str
    reason: str | None
    grade: str
    revision: int | None
    issued_at: datetime | None
    door: str
    received_at: datetime
    problems: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class OrderDetail:
    """All that is known of one order; each list with the oldest first."""

    listed: ListedOrder
    order: Order
    revisions: tuple[ShownRevision, ...]
    events: tuple[ShownEvent, ...]
    batches: tuple[OrderBatch, ...]
    notifications: tuple[OrderNotification, ...]


class NoSuchPlaceError(StoreError):
    """A cursor that names no place in the list of orders."""


class OrderLists(Database):
    """Each method is one reading transaction and raises StoreError where the database refuses. Orders of another
    merchant, and erased ones, are not there."""

    def order_page(
        self, merchant: str, filters: OrderFilters = ALL_ORDERS, cursor: str | None = None, limit: int = 50
    ) -> OrderPage:
        """A page of at most `limit` orders (1 to `MOST_ROWS`). `cursor`: None for the newest ones, else `older` or
        `newer` of another page of the same filters. A newer page that would not be full is the newest one.

        Raises NoSuchPlaceError for a cursor that is none, StoreError for such a limit.
        """
        if not 1 <= limit <= MOST_ROWS:
            raise StoreError(f"a page has 1 to {MOST_ROWS} orders, not {limit}; give another limit")
        way, at = _read_cursor(cursor)
        with self._asked(merchant, filters) as asked:
            newer = False
            if way == "newer":
                ids = asked.ids(limit + 1, after=at, newest_first=False)
                if len(ids) < limit:
                    way, at = "older", LARGEST_ID  # there is no full page before the newest one
                else:
                    newer, ids = len(ids) > limit, ids[:limit][::-1]
                    older = True
            if way == "older":
                ids = asked.ids(limit + 1, before=at)
                older, ids = len(ids) > limit, ids[:limit]
                newer = at != LARGEST_ID
            rows = _listed(asked.connection, ids)
        return OrderPage(
            rows,
            older=f"older-{ids[-1]}" if older and ids else None,
            newer=f"newer-{ids[0] if ids else at - 1}" if newer else None,
        )

    def count_orders(
        self, merchant: str, filters: OrderFilters = ALL_ORDERS, at_most: int = MOST_COUNTED
    ) -> tuple[int, bool]:
        """How many orders are meant, and whether that is all: no more than `at_most` are counted."""
        with self._asked(merchant, filters) as asked:
            found = asked.count(at_most + 1)
        return min(found, at_most), found <= at_most

    def counted_ids(self, merchant: str, filters: OrderFilters, ids: Iterable[int]) -> tuple[int, ...]:
        """Those of the ids that are meant by the filters, the smallest first."""
        with self._asked(merchant, filters) as asked:
            return tuple(asked.among(list(ids)))

    def orders_of_filters(
        self, merchant: str, filters: OrderFilters, *, kept_rows: str | None = None
    ) -> Iterator[ExportOrder]:
        """All orders that are meant, in the order they first came, for an export; `kept_rows` as in
        `orders_for_export`. Streams in constant memory; the transaction lives until the iterator is exhausted or
        closed."""
        with self._asked(merchant, filters) as asked:
            last = 0
            while ids := asked.ids(_IDS_AT_ONCE, after=last, newest_first=False):
                last = ids[-1]
                yield from _exported(asked.connection, merchant, ids, kept_rows)

    def orders_by_id(self, merchant: str, ids: Iterable[int], *, kept_rows: str | None = None) -> Iterator[ExportOrder]:
        """The orders with these ids, in the order they first came, as `orders_of_filters`; ids that are not there are
        passed over."""
        with self.reading() as connection:
            yield from _exported(connection, merchant, sorted(set(ids)), kept_rows)

    def order_detail(self, merchant: str, order_id: int) -> OrderDetail | None:
        """All that is known of an order; None where it is not there."""
        table = tables.OrderRow
        is_it = (col(table.id) == order_id, col(table.merchant) == merchant, col(table.erased_at).is_(None))
        if not 0 < order_id <= LARGEST_ID:
            return None
        with self.reading() as connection:
            content = connection.execute(sa.select(col(table.content_json)).where(*is_it)).scalar()
            if content is None:
                return None
            (listed,) = _listed(connection, [order_id])
            return OrderDetail(
                listed=listed,
                order=order_of(content),
                revisions=_revisions(connection, order_id),
                events=_events(connection, order_id),
                batches=_batches(connection, order_id),
                notifications=_notifications(connection, order_id),
            )

    @contextmanager
    def _asked(self, merchant: str, filters: OrderFilters) -> Iterator[OrderQuestion]:
        with self.reading() as connection:
            yield OrderQuestion(connection, merchant, filters)


def _read_cursor(cursor: str | None) -> tuple[str, int]:
    if cursor is None:
        return "older", LARGEST_ID
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise NoSuchPlaceError(f"{cursor[:40]!r} is no place in the list of orders; begin with the newest ones")
    return read[1], int(read[2])


def _listed(connection: sa.Connection, ids: Sequence[int]) -> tuple[ListedOrder, ...]:
    """The lines of the list with these ids, in their order."""
    order = tables.OrderRow
    query = orders_with_history().add_columns(col(order.replacement), col(order.amended))
    found = {row.id: row for row in connection.execute(query.where(col(order.id).in_(ids)))} if ids else {}
    return tuple(
        ListedOrder(
            id=row.id,
            platform=row.platform,
            order_number=row.order_number,
            merchant_order_number=row.merchant_order_number,
            state=row.state,
            shop_order_number=row.shop_order_number,
            customer_name=row.customer_name,
            country=row.destination_country,
            total=row.total_text,
            currency=row.total_currency,
            test=row.test,
            replacement=row.replacement,
            documents_awaited=row.documents_awaited,
            personal_data_suppressed=row.personal_data_suppressed,
            personal_data_encrypted=row.personal_data_encrypted,
            amended=row.amended,
            received_at=row.created_at,
            applied_at=row.applied_at,
            revision=row.revision,
            changed_since_entered=row.state == OrderState.ENTERED and changed_since_entry(row),
        )
        for row in (found[order_id] for order_id in ids)
    )


def _exported(
    connection: sa.Connection, merchant: str, ids: Sequence[int], kept_rows: str | None
) -> Iterator[ExportOrder]:
    table = tables.OrderRow
    query = export_columns(sa.null(), kept_rows).where(col(table.merchant) == merchant).order_by(col(table.id))
    for some in chunks(one for one in ids if 0 < one <= LARGEST_ID):
        yield from map(export_order, connection.execute(query.where(col(table.id).in_(some))))


def _revisions(connection: sa.Connection, order_id: int) -> tuple[ShownRevision, ...]:
    revision, told, message = tables.OrderRevision, tables.Notification, tables.Message
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            col(revision.revision), col(revision.applied_at), col(revision.content_json), col(told.id),
            col(told.message_id), col(told.grade), col(message.door), col(message.received_at),
        )
        .join_from(revision, told, col(told.id) == col(revision.notification_id))
        .join(message, col(message.id) == col(told.message_id))
        .where(col(revision.order_id) == order_id)
        .order_by(col(revision.revision))
    )  # fmt: skip
    shown: list[ShownRevision] = []
    before: Order | None = None
    for row in connection.execute(query):
        now = order_of(row.content_json) if row.content_json else None
        changed: tuple[Change, ...] | None = ()
        if shown:
            changed = tuple(changes(before, now)) if before is not None and now is not None else None
        shown.append(
            ShownRevision(
                row.revision, row.applied_at, row.id, row.message_id, row.grade, row.door, row.received_at, changed
            )
        )
        before = now
    return tuple(shown)


def _events(connection: sa.Connection, order_id: int) -> tuple[ShownEvent, ...]:
    event = tables.OrderEvent
    columns: tuple[Any, ...] = (
        col(event.revision), col(event.at), col(event.what), col(event.shop_order_number), col(event.by),
        col(event.source),
    )  # fmt: skip
    query = sa.select(*columns).where(col(event.order_id) == order_id).order_by(col(event.id))
    return tuple(ShownEvent(*row) for row in connection.execute(query))


def _batches(connection: sa.Connection, order_id: int) -> tuple[OrderBatch, ...]:
    member, batch = tables.BatchOrder, tables.Batch
    columns: tuple[Any, ...] = (
        col(batch.id), col(member.revision), col(batch.profile), col(batch.file_name), col(batch.business_date),
        col(batch.published_at),
    )  # fmt: skip
    query = (
        sa.select(*columns)
        .join_from(member, batch, col(batch.id) == col(member.batch_id))
        .where(col(member.order_id) == order_id)
        .order_by(col(batch.id))
    )
    return tuple(OrderBatch(*row) for row in connection.execute(query))


def _notifications(connection: sa.Connection, order_id: int) -> tuple[OrderNotification, ...]:
    told, message = tables.Notification, tables.Message
    columns: tuple[Any, ...] = (
        col(told.id), col(told.message_id).label("message"), col(told.position), col(told.state), col(told.reason),
        col(told.grade), col(told.revision), col(told.issued_at), col(message.door), col(message.received_at),
        col(told.problems_json).label("problems"),
    )  # fmt: skip
    query = (
        sa.select(*columns)
        .join_from(told, message, col(message.id) == col(told.message_id))
        .where(col(told.order_id) == order_id)
        .order_by(col(told.id))
    )
    return tuple(
        OrderNotification(**row._asdict() | {"problems": tuple(json.loads(row.problems))})
        for row in connection.execute(query)
    )
