"""Orders: the newest applied revision of each, its history, and its way out to the exports."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

import sqlalchemy as sa
from sqlmodel import col

from ion.order import Money, Order, decimal_text
from ion.store import tables
from ion.store.currencies import minor_units
from ion.store.engine import Database
from ion.store.types import OrderState

_ROWS_AT_ONCE = 200


@dataclass(frozen=True)
class Content:
    """An order with its canonical text and digest, made once."""

    order: Order
    json: str
    sha256: str

    @classmethod
    def of(cls, order: Order) -> Self:
        content = content_json(order)
        return cls(order, content, digest_of(content))


@dataclass(frozen=True)
class ExportOrder:
    """An order as an export takes it. `received_at`: when the mail that brought this revision came; `issued_at`: what
    its notification says; `grade`: what that mail proved; `warnings`: sentences for staff, which may quote values."""

    id: int
    merchant: str
    order: Order
    revision: int
    state: str
    received_at: datetime
    applied_at: datetime
    issued_at: datetime | None
    grade: str
    warnings: tuple[str, ...]


class Orders(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def orders_for_export(self, merchant: str | None = None, since: datetime | None = None) -> Iterator[ExportOrder]:
        """Every order (of one merchant) that is not erased, in the order they first came; with `since`, those whose
        newest revision was received at or after that instant.

        Streams in constant memory. The reading transaction lives until the iterator is exhausted or closed.
        """
        with self.reading() as connection:
            rows = connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE).execute(
                _export_query(merchant, since)
            )
            for row in rows:
                yield _export_order(row)

    def order(self, merchant: str, platform: str, order_number: str) -> Order | None:
        """The newest applied revision of one order; None where there is none, or it was erased."""
        with self.reading() as connection:
            content = connection.execute(
                sa.select(col(tables.OrderRow.content_json))
                .where(is_order(merchant, platform, order_number))
                .where(col(tables.OrderRow.erased_at).is_(None))
            ).scalar()
        return None if content is None else order_of(content)


def content_json(order: Order) -> str:
    """The order as canonical JSON text: what is stated, keys sorted, no blanks, UTF-8 as it is."""
    return json.dumps(order.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def content_sha256(order: Order) -> str:
    """Hexadecimal digest of `content_json`: two orders with the same one are the same order, key for key."""
    return digest_of(content_json(order))


def digest_of(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def order_of(content: str) -> Order:
    """The inverse of `content_json`."""
    return Order.model_validate_json(content)


_Named = str | sa.BindParameter[str]


def is_order(merchant: _Named, platform: _Named, order_number: _Named) -> sa.ColumnElement[bool]:
    """The condition that names one order."""
    return sa.and_(
        col(tables.OrderRow.merchant) == merchant,
        col(tables.OrderRow.platform) == platform,
        col(tables.OrderRow.order_number) == order_number,
    )


def insert_order(connection: sa.Connection, merchant: str, stored: Content, revision: int, now: datetime) -> int:
    """A new order with its lines; returns its id."""
    row = {
        "merchant": merchant,
        "platform": stored.order.platform,
        "order_number": stored.order.order_number,
        "state": OrderState.NEW.value,
        "amended": False,
        "created_at": now,
        **_columns(stored, revision, now),
    }
    order_id = connection.execute(_INSERT_ORDER, row).scalar_one()
    assert order_id is not None
    _insert_lines(connection, order_id, stored.order)
    return order_id


def update_order(connection: sa.Connection, order_id: int, stored: Content, revision: int, now: datetime) -> None:
    """Put a later revision in the place of the one before. The caller holds the merchant's lock."""
    values = _columns(stored, revision, now)
    changed = col(tables.OrderRow.content_sha256) != values["content_sha256"]
    connection.execute(
        sa.update(tables.OrderRow)
        .where(col(tables.OrderRow.id) == order_id)
        # The state stays: that staff exported or entered the order is still true. The flag says it changed since.
        .values(amended=sa.or_(col(tables.OrderRow.amended), changed), **values)
    )
    connection.execute(sa.delete(tables.OrderLine).where(col(tables.OrderLine.order_id) == order_id))
    _insert_lines(connection, order_id, stored.order)


def _columns(stored: Content, revision: int, now: datetime) -> dict[str, Any]:
    order = stored.order
    total = order.totals.total_customer or order.totals.charged
    return {
        "merchant_order_number": order.merchant_order_number,
        "revision": revision,
        "content_json": stored.json,
        "content_sha256": stored.sha256,
        "test": order.test,
        "replacement": order.replacement,
        "documents_awaited": order.documents_awaited,
        "personal_data_suppressed": order.personal_data_suppressed,
        "personal_data_encrypted": order.personal_data_encrypted,
        "destination_country": order.delivery.country,
        "customer_name": order.delivery.full_name or order.billing.full_name,
        "customer_email": order.customer.email or order.delivery.email or order.billing.email,
        "total_text": decimal_text(total.amount) if total else None,
        "total_currency": total.currency if total else None,
        "total_minor": minor_units(total),
        "updated_at": now,
        "applied_at": now,
        "erased_at": None,
    }


def _insert_lines(connection: sa.Connection, order_id: int, order: Order) -> None:
    lines = []
    for position, line in enumerate(order.lines, start=1):
        price: Money | None = line.unit_price_customer or line.unit_price
        lines.append(
            {
                "order_id": order_id,
                "position": position,
                "line_id": line.line_id,
                "sku": line.sku,
                "name": line.name,
                "quantity": decimal_text(line.quantity),
                "unit_price": decimal_text(price.amount) if price else None,
                "currency": price.currency if price else None,
            }
        )
    if lines:
        connection.execute(_INSERT_LINES, lines)


# Made once, because they run for every order.
_INSERT_ORDER = sa.insert(tables.OrderRow).returning(col(tables.OrderRow.id))
_INSERT_LINES = sa.insert(tables.OrderLine)


def _export_query(merchant: str | None, since: datetime | None) -> "sa.Select[*tuple[Any, ...]]":
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            col(tables.OrderRow.id),
            col(tables.OrderRow.merchant),
            col(tables.OrderRow.content_json),
            col(tables.OrderRow.revision),
            col(tables.OrderRow.state),
            col(tables.Message.received_at),
            col(tables.OrderRow.applied_at),
            col(tables.Notification.issued_at),
            col(tables.Notification.grade),
            col(tables.Notification.problems_json),
        )
        .join_from(
            tables.OrderRow,
            tables.OrderRevision,
            sa.and_(
                col(tables.OrderRevision.order_id) == col(tables.OrderRow.id),
                col(tables.OrderRevision.revision) == col(tables.OrderRow.revision),
            ),
        )
        .join(tables.Notification, col(tables.Notification.id) == col(tables.OrderRevision.notification_id))
        .join(tables.Message, col(tables.Message.id) == col(tables.Notification.message_id))
        .where(col(tables.OrderRow.erased_at).is_(None))
        .order_by(col(tables.OrderRow.id))
    )
    if merchant is not None:
        query = query.where(col(tables.OrderRow.merchant) == merchant)
    if since is not None:
        query = query.where(col(tables.Message.received_at) >= since)
    return query


def _export_order(row: Any) -> ExportOrder:
    return ExportOrder(
        id=row.id,
        merchant=row.merchant,
        order=order_of(row.content_json),
        revision=row.revision,
        state=row.state,
        received_at=row.received_at,
        applied_at=row.applied_at,
        issued_at=row.issued_at,
        grade=row.grade,
        warnings=tuple(problem["message"] for problem in json.loads(row.problems_json)),
    )
