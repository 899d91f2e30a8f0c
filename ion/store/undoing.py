"""Taking back what a person decided, so that the notification waits again.

    dismissed, merged                         -> held, review    as it stood before; no order was changed by it
    released: superseded, duplicate           -> held, review    likewise
    released: applied as a new order          -> held, review    and the order is taken away again, as long as nobody
                                                                 and nothing else has taken note of it
    released: applied in any other way        refused            it changed an order that was known, or one that was
                                                                 erased is back; others may have seen it since

An order is taken away with all that is derived from it, and only where nothing else names it: no file holds it, nobody
entered it, no other mail tells of it. Its number here is never given again.
"""

from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.judgements import StoredNotification
from ion.store.notification_events import locked_notification, person_named, tell_event
from ion.store.types import NotificationState

# Made from the order when it came in, and of no other's making.
_DERIVED = ("export_due", "order_rows", "order_words", "order_line", "order_revision")
# What stands in the way, by the table that names the order; any other one does, too.
_TAKEN_NOTE = {
    "batch_order": "a published file holds it",
    "published_order": "a published file holds it",
    "order_event": "somebody entered it in the shop, or opened it again",
    "notification": "another mail tells of it",
}


class Undoings(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def undo_decision(self, notification_id: int, *, by: str, note: str | None = None) -> StoredNotification:
        """Have a notification wait again that was dismissed, merged or released; its corrections stay in force. Raises
        StoreError, and changes nothing, where nobody decided about it, or it cannot be undone: the sentence says why,
        and what to do instead."""
        by = person_named(by)
        with self.writing() as connection:
            row = locked_notification(connection, notification_id)
            if row.decision is None:
                raise StoreError(f"nobody decided about notification {notification_id}; there is nothing to undo")
            decided = _decision(connection, row)
            is_order = row.decision == "released" and row.state == NotificationState.APPLIED
            if is_order:
                _refuse_where_noted(connection, row, decided)
            state, reason, order_id = _before(connection, row, decided)
            values = {"state": state, "reason": reason, "order_id": order_id, "decision": None}
            moved = connection.execute(
                sa.update(tables.Notification)
                .where(col(tables.Notification.id) == row.id, col(tables.Notification.decision) == row.decision)
                .values(decided_by=None, decided_at=None, decision_note=None, **values)
            )
            one_row(moved, StoreError(f"notification {row.id} was decided by somebody else in this moment"))
            if is_order:
                _take_away(connection, row.order_id)
            tell_event(connection, row, "undone", by, note, order_number=decided.order_number)
            return StoredNotification(
                row.id, row.position, row.grade, state, reason, row.platform, row.order_number, row.revision, order_id
            )


def _decision(connection: sa.Connection, row: Any) -> Any:
    """The line that tells of the decision that stands."""
    table = tables.NotificationEvent
    return connection.execute(
        sa.select(table.__table__)  # type: ignore[attr-defined]
        .where(col(table.message_id) == row.message_id, col(table.position) == row.position)
        .where(col(table.what) == row.decision)
        .order_by(col(table.id).desc())
        .limit(1)
    ).one()


def _before(connection: sa.Connection, row: Any, decided: Any) -> tuple[str, str | None, int | None]:
    """State, reason and order as they were; of what an older version decided, as they are for such a grade."""
    if decided.state_before is not None:
        is_it = col(tables.OrderRow.id) == decided.order_id_before
        still_there = connection.execute(sa.select(col(tables.OrderRow.id)).where(is_it)).scalar()
        return decided.state_before, decided.reason_before, still_there
    waits = NotificationState.REVIEW if row.grade == "review" else NotificationState.HELD
    return waits.value, row.reason, None


def _refuse_where_noted(connection: sa.Connection, row: Any, decided: Any) -> None:
    instead = "deal with the order itself: in the shop, or by another mail of the platform"
    if decided.final:
        raise StoreError(
            f"releasing notification {row.id} cannot be undone: the order was known here before (or erased), and is "
            f"now as it was released; {instead}"
        )
    for table in tables.Base.metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            if key.referred_table.name != "orders" or table.name in _DERIVED:
                continue
            (element,) = key.elements
            query = sa.select(sa.func.count()).select_from(table).where(element.parent == row.order_id)
            if table.name == "notification":
                query = query.where(table.c.id != row.id)
            if connection.execute(query).scalar_one():
                why = _TAKEN_NOTE.get(table.name, f"there is a {table.name} of it")
                raise StoreError(
                    f"releasing notification {row.id} cannot be undone: {why} (order {decided.order_number}); {instead}"
                )


def _take_away(connection: sa.Connection, order_id: int) -> None:
    metadata = tables.Base.metadata.tables
    for name in _DERIVED:
        connection.execute(sa.delete(metadata[name]).where(metadata[name].c.order_id == order_id))
    connection.execute(sa.delete(tables.OrderRow).where(col(tables.OrderRow.id) == order_id))
