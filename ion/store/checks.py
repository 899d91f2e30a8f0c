"""The books: whether what is stored adds up."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.messages import message_counts
from ion.store.orders import digest_of
from ion.store.types import MessageState, NotificationState

_LINKED = (NotificationState.APPLIED, NotificationState.SUPERSEDED, NotificationState.DUPLICATE)


class Checks(Database):
    """One reading transaction that sees one state of everything."""

    def check(self) -> dict[str, Any]:
        """Counts, and every disagreement found, as plain JSON values:
        `{"messages": {"received": n, "states": {...}}, "notifications": {...}, "orders": n, "outgoing": {...},
        "problems": [sentence, ...]}`. Changes nothing. Raises StoreError where the database refuses."""
        with self.reading() as connection:
            received = _count(connection, sa.select(sa.func.count()).select_from(tables.Message))
            states = message_counts(connection)
            problems = list(_problems(connection))
            if sum(states.values()) != received:
                problems.insert(0, f"{received} messages received, but the states add up to {sum(states.values())}")
            return {
                "messages": {"received": received, "states": states},
                "notifications": _by_state(connection, tables.Notification),
                "orders": _count(connection, sa.select(sa.func.count()).select_from(tables.OrderRow)),
                "outgoing": _by_state(connection, tables.Outgoing),
                "problems": problems,
            }


def _problems(connection: sa.Connection) -> Iterator[str]:
    message, notification, order = tables.Message, tables.Notification, tables.OrderRow
    revision, outgoing = tables.OrderRevision, tables.Outgoing
    has_notification = sa.exists().where(col(notification.message_id) == col(message.id))
    has_order = sa.exists().where(col(order.id) == col(notification.order_id))
    newest = sa.exists().where(
        col(revision.order_id) == col(order.id),
        col(revision.revision) == col(order.revision),
        col(revision.content_sha256) == col(order.content_sha256),
    )
    brought = sa.exists().where(
        col(notification.id) == col(revision.notification_id),
        col(notification.order_id) == col(revision.order_id),
        col(notification.state) == NotificationState.APPLIED.value,
    )
    counted: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
        ("messages read without a notification", message, (col(message.state) == MessageState.READ, ~has_notification)),
        (
            "messages with a notification that are not read",
            message,
            (col(message.state).not_in([MessageState.READ, MessageState.PURGED]), has_notification),
        ),
        (
            "messages whose raw octets are not as long as they were",
            message,
            (sa.func.length(col(message.raw)) != col(message.size_bytes),),
        ),
        (
            "notifications linked to an order that is not there",
            notification,
            (col(notification.state).in_(_LINKED), ~has_order),
        ),
        ("orders without their newest revision", order, (~newest,)),
        ("revisions that no applied notification brought", revision, (~brought,)),
    )
    for words, table, conditions in counted:
        number = _count(connection, sa.select(sa.func.count()).select_from(table).where(*conditions))
        if number:
            yield f"{number} {words}"
    sequences = connection.execute(
        sa.select(col(outgoing.merchant), sa.func.count(), sa.func.max(col(outgoing.sequence)))
        .group_by(col(outgoing.merchant))
        .order_by(col(outgoing.merchant))
    )
    for merchant, number, last in sequences:
        if number != last:
            yield f"the sequence of merchant {merchant} has gaps: {number} mails, the last is number {last}"
    contents = connection.execution_options(stream_results=True, yield_per=200).execute(
        sa.select(col(order.id), col(order.content_json), col(order.content_sha256))
    )
    for order_id, content, digest in contents:
        if digest_of(content) != digest:
            yield f"order row {order_id}: its content is not what was stored"


def _count(connection: sa.Connection, query: sa.Select[int]) -> int:
    return connection.execute(query).scalar_one()


def _by_state(connection: sa.Connection, table: Any) -> dict[str, int]:
    query = sa.select(table.state, sa.func.count().label("number")).group_by(table.state).order_by(table.state)
    return {row.state: row.number for row in connection.execute(query)}
