"""Orders: the newest applied revision of each, its history, and its way out to the exports."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import Content, LineSummary, order_of
from ion.order import Order
from ion.store import tables
from ion.store.corrections import is_in_force
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.order_search import keep_words
from ion.store.plain_sql import PlainSql
from ion.store.types import OrderState

_ROWS_AT_ONCE = 200


@dataclass(frozen=True)
class KeptRows:
    """The rows of an order in a profile (with its version), as the export room made them when it came in."""

    profile: str
    text: str
    count: int


@dataclass(frozen=True)
class ExportOrder:
    """An order as an export takes it. `received_at`: when the mail that brought this revision came; `issued_at`: what
    its notification says; `grade`: what that mail proved; `problems_json`: what was found in it. `shop_order_number`:
    under which the shop has it, None where it was not entered; `previous_json`: the order as the last batch of the same
    profile had it, None the first time and outside of batches; `corrected_in`: number of the message whose notification
    a person corrected before releasing it as this revision, else None. The orders themselves are built when asked
    for."""

    id: int
    merchant: str
    content_json: str
    revision: int
    state: str
    received_at: datetime
    applied_at: datetime
    issued_at: datetime | None
    grade: str
    problems_json: str
    shop_order_number: str | None = None
    previous_json: str | None = None
    kept_rows: KeptRows | None = None
    corrected_in: int | None = None

    @cached_property
    def order(self) -> Order:
        return order_of(self.content_json)

    @cached_property
    def previous(self) -> Order | None:
        return order_of(self.previous_json) if self.previous_json else None

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for staff, which may quote values."""
        if self.problems_json == "[]" and self.corrected_in is None:
            return ()
        corrected = f"corrected by hand before it was released; `ion show {self.corrected_in}` tells what"
        told = tuple(problem["message"] for problem in json.loads(self.problems_json))
        return told if self.corrected_in is None else (corrected, *told)


@dataclass(frozen=True)
class StandingOrder:
    """An order as its newest revision has it; `id`: here."""

    id: int
    revision: int
    order: Order


class Orders(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def orders_for_export(
        self, merchant: str | None = None, since: datetime | None = None, *, kept_rows: str | None = None
    ) -> Iterator[ExportOrder]:
        """Every order (of one merchant) that is not erased, in the order they first came; with `since`, those whose
        newest revision was received at or after that instant. `kept_rows`: a profile with its version; of an order
        whose rows are kept in it only these are fetched, and not the order.

        Streams in constant memory. The reading transaction lives until the iterator is exhausted or closed.
        """
        with self.reading() as connection:
            rows = connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE).execute(
                _export_query(merchant, since, kept_rows)
            )
            for row in rows:
                yield export_order(row)

    def orders_without_rows(self, profile: str, limit: int) -> tuple[tuple[int, datetime, Order], ...]:
        """Up to `limit` orders whose rows are not kept in that profile (with its version): id, when it was applied
        (aware), order."""
        rows, order = tables.OrderRows, tables.OrderRow
        # Two ranges of an index; by the condition that it is another one, all would be looked at.
        others = sa.or_(col(rows.profile) < profile, col(rows.profile) > profile)
        query = (
            sa.select(col(order.id), col(order.applied_at), col(order.content_json))
            .join_from(rows, order, col(order.id) == col(rows.order_id))
            .where(others, col(order.erased_at).is_(None))
            .limit(limit)
        )
        with self.reading() as connection:
            found: Any = connection.execute(query).all()
        return tuple((order_id, applied_at, order_of(content)) for order_id, applied_at, content in found)

    def keep_rows(self, made: Sequence[tuple[int, datetime, KeptRows]]) -> None:
        """Keep the rows of orders, each as it was applied at that instant; those of an order that has changed meanwhile
        are not kept."""
        order = tables.OrderRow
        of_made = col(order.id).in_([order_id for order_id, _, _ in made])
        with self.writing() as connection:
            # Else a statement that waits for a changing order would still see it as it was before.
            merchants = connection.execute(sa.select(col(order.merchant)).where(of_made).distinct()).scalars()
            for merchant in sorted(merchants):
                lock_merchant(connection, merchant)
            sql = PlainSql(connection)
            for order_id, applied_at, rows in made:
                sql.run(_KEEP_ROWS, rows.profile, rows.text, rows.count, order_id, order_id, applied_at)

    def order(self, merchant: str, platform: str, order_number: str) -> Order | None:
        """The newest applied revision of one order; None where there is none, or it was erased."""
        with self.reading() as connection:
            content = connection.execute(
                sa.select(col(tables.OrderRow.content_json))
                .where(is_order(merchant, platform, order_number))
                .where(col(tables.OrderRow.erased_at).is_(None))
            ).scalar()
        return None if content is None else order_of(content)

    def standing_order(self, merchant: str, platform: str, order_number: str) -> StandingOrder | None:
        """An order as it stands, by its number; None where there is none, or it was erased."""
        table = tables.OrderRow
        with self.reading() as connection:
            row = connection.execute(
                sa.select(col(table.id), col(table.revision), col(table.content_json))
                .where(is_order(merchant, platform, order_number))
                .where(col(table.erased_at).is_(None))
            ).one_or_none()
        return None if row is None else StandingOrder(row.id, row.revision, order_of(row.content_json))


_Named = str | sa.BindParameter[str]


def is_order(merchant: _Named, platform: _Named, order_number: _Named) -> sa.ColumnElement[bool]:
    """The condition that names one order."""
    return sa.and_(
        col(tables.OrderRow.merchant) == merchant,
        col(tables.OrderRow.platform) == platform,
        col(tables.OrderRow.order_number) == order_number,
    )


def insert_order(connection: sa.Connection, merchant: str, content: Content, revision: int, now: datetime) -> int:
    """A new order with its lines; returns its id."""
    sql = PlainSql(connection)
    row = {
        "merchant": merchant,
        "state": OrderState.NEW.value,
        "amended": False,
        "created_at": now,
        **_columns(content, revision, now),
    }
    order_id = sql.insert("orders", row)
    _insert_lines(sql, order_id, content)
    sql.run(_DAY, merchant, now.astimezone(UTC).date().isoformat(), order_id, order_id)
    keep_words(sql, merchant, order_id, content.words, None)
    _enter_due(sql, merchant, order_id, now)
    return order_id


def update_order(connection: sa.Connection, order_id: int, content: Content, revision: int, now: datetime) -> None:
    """Put a later revision in the place of the one before. The caller holds the merchant's lock."""
    changed = col(tables.OrderRow.content_sha256) != content.sha256
    connection.execute(
        sa.update(tables.OrderRow)
        .where(col(tables.OrderRow.id) == order_id)
        # The state stays: that staff exported or entered the order is still true. The flag says it changed since.
        .values(amended=sa.or_(col(tables.OrderRow.amended), changed), **_columns(content, revision, now))
    )
    connection.execute(sa.delete(tables.OrderLine).where(col(tables.OrderLine.order_id) == order_id))
    sql = PlainSql(connection)
    _insert_lines(sql, order_id, content)
    ((merchant, shop_order_number),) = sql.rows("SELECT merchant, shop_order_number FROM orders WHERE id = ?", order_id)
    keep_words(sql, merchant, order_id, content.words, shop_order_number)
    _enter_due(sql, merchant, order_id, now)


def _enter_due(sql: PlainSql, merchant: str, order_id: int, now: datetime) -> None:
    """The newest revision of the order is in no batch yet, and its rows are not made. One that was due before stays
    due since then; a reading that was put right is no new revision, and where a batch has it, it is not due again."""
    sql.run(_DUE, order_id, now, merchant, True, order_id)
    sql.run(_NO_ROWS, order_id)


_DUE = (
    "INSERT INTO export_due (profile_id, order_id, since)"
    " SELECT id, ?, ? FROM export_profile AS profile WHERE merchant = ? AND active = ? AND NOT EXISTS"
    " (SELECT 1 FROM orders JOIN batch_order AS member ON member.order_id = orders.id"
    " AND member.revision = orders.revision WHERE orders.id = ? AND member.profile_id = profile.id)"
    " ON CONFLICT DO NOTHING"
)

_DAY = (
    "INSERT INTO order_day (merchant, day, first_id, last_id) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (merchant, day) DO UPDATE SET last_id = excluded.last_id"
)

_KEEP_ROWS = (
    "UPDATE order_rows SET profile = ?, text = ?, count = ? WHERE order_id = ?"
    " AND EXISTS (SELECT 1 FROM orders WHERE id = ? AND applied_at = ? AND erased_at IS NULL)"
)
_NO_ROWS = (
    "INSERT INTO order_rows (order_id, profile, text, count) VALUES (?, '', '', 0)"
    " ON CONFLICT (order_id) DO UPDATE SET profile = '', text = '', count = 0"
)


def _columns(content: Content, revision: int, now: datetime) -> dict[str, Any]:
    return {
        **content.summary._asdict(),
        "revision": revision,
        "content_json": content.json,
        "content_sha256": content.sha256,
        "updated_at": now,
        "applied_at": now,
        "erased_at": None,
    }


def _insert_lines(sql: PlainSql, order_id: int, content: Content) -> None:
    rows = [(order_id, position, *line) for position, line in enumerate(content.lines, start=1)]
    sql.insert_all("order_line", ("order_id", "position", *LineSummary._fields), rows)


def _export_query(
    merchant: str | None, since: datetime | None, kept_rows: str | None = None
) -> "sa.Select[*tuple[Any, ...]]":
    query = export_columns(sa.null(), kept_rows).order_by(col(tables.OrderRow.id))
    if merchant is not None:
        query = query.where(col(tables.OrderRow.merchant) == merchant)
    if since is not None:
        query = query.where(col(tables.Message.received_at) >= since)
    return query


def export_columns(previous: "sa.ColumnElement[Any]", kept_rows: str | None = None) -> "sa.Select[*tuple[Any, ...]]":
    """What `export_order` makes an order of: a row for each order that is not erased. `previous`: the content of the
    revision that it is to be compared with. `kept_rows`: as in `orders_for_export`."""
    content, rows = col(tables.OrderRow.content_json), tables.OrderRows
    notification, correction = tables.Notification, tables.Correction
    is_corrected = sa.exists().where(
        col(correction.message_id) == col(notification.message_id),
        col(correction.position) == col(notification.position),
        is_in_force(correction),
    )
    corrected_in = sa.case(
        (sa.and_(col(notification.decision) == "released", is_corrected), col(notification.message_id))
    )
    is_kept = sa.and_(col(rows.profile) == (kept_rows or ""), col(rows.count) > 0)
    return (
        sa.select(
            col(tables.OrderRow.id),
            col(tables.OrderRow.merchant),
            sa.case((is_kept, ""), else_=content).label("content_json") if kept_rows else content,
            col(tables.OrderRow.revision),
            col(tables.OrderRow.state),
            col(tables.OrderRow.shop_order_number),
            col(tables.Message.received_at),
            col(tables.OrderRow.applied_at),
            col(tables.Notification.issued_at),
            col(tables.Notification.grade),
            col(tables.Notification.problems_json),
            previous.label("previous_json"),
            corrected_in.label("corrected_in"),
            col(rows.profile).label("rows_profile"),
            col(rows.text).label("rows_text"),
            col(rows.count).label("rows_count"),
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
        .outerjoin(rows, col(rows.order_id) == col(tables.OrderRow.id))
        .where(col(tables.OrderRow.erased_at).is_(None))
    )


def export_order(row: Any) -> ExportOrder:
    """An order from a row of `export_columns`."""
    kept = KeptRows(row.rows_profile, row.rows_text, row.rows_count) if row.rows_profile else None
    return ExportOrder(
        id=row.id,
        merchant=row.merchant,
        content_json=row.content_json,
        revision=row.revision,
        state=row.state,
        received_at=row.received_at,
        applied_at=row.applied_at,
        issued_at=row.issued_at,
        grade=row.grade,
        problems_json=row.problems_json,
        shop_order_number=row.shop_order_number,
        previous_json=row.previous_json,
        kept_rows=kept,
        corrected_in=row.corrected_in,
    )
