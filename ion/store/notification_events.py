"""What people did with notifications, line by line: corrected, released, dismissed, merged, and what was undone again.

A notification that has a line is never taken away, whatever another reading of its message finds.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.order import canonical_text
from ion.store import tables
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.types import NotificationState, storable, utc_now

WAITING = (NotificationState.HELD.value, NotificationState.REVIEW.value)
_MAX_NAME = 100


@dataclass(frozen=True)
class NotificationEvent:
    """One line. `position`: of the notification in its message; `what`: `corrected`, `correction undone`, `released`,
    `dismissed`, `merged`, `undone` (what was decided before); `order_number`: of the order that it came to, None where
    it came to none; `final`: it cannot be undone. `at` is aware."""

    id: int
    position: int
    at: datetime
    by: str
    what: str
    note: str | None
    order_number: str | None
    final: bool


class NotificationEvents(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def notification_events(self, message_id: int) -> tuple[NotificationEvent, ...]:
        """What was done with the notifications of a message, oldest first; empty where nothing was."""
        table = tables.NotificationEvent
        columns = (
            col(table.id), col(table.position), col(table.at), col(table.by), col(table.what), col(table.note),
            col(table.order_number), col(table.final),
        )  # fmt: skip
        query = sa.select(*columns).where(col(table.message_id) == message_id)
        with self.reading() as connection:
            rows: Any = connection.execute(query.order_by(col(table.id))).all()
        return tuple(NotificationEvent(*row) for row in rows)


def locked_notification(connection: sa.Connection, notification_id: int) -> Any:
    """A notification's row, read under its merchant's lock. Raises StoreError where there is none, or it was erased."""
    table = tables.Notification
    is_it = col(table.id) == notification_id
    merchant = connection.execute(sa.select(col(table.merchant)).where(is_it)).scalar()
    if merchant is None:
        raise StoreError(f"there is no notification {notification_id}; `ion held` lists what waits")
    lock_merchant(connection, merchant)
    row = connection.execute(sa.select(table.__table__).where(is_it)).one()  # type: ignore[attr-defined]
    if row.erased_at is not None:
        raise StoreError(f"notification {notification_id} was erased here; ask for the mail again")
    return row


def waiting_notification(connection: sa.Connection, notification_id: int) -> Any:
    """The like of one that waits for a person. Raises StoreError where it does not."""
    row = locked_notification(connection, notification_id)
    if row.state not in WAITING:
        raise StoreError(f"notification {notification_id} does not wait for anybody: it is {row.state}")
    return row


def tell_event(
    connection: sa.Connection,
    row: Any,
    what: str,
    by: str,
    note: str | None,
    *,
    order_number: str | None = None,
    final: bool = False,
    at: datetime | None = None,
) -> None:
    """Add a line about a notification, given by its row as it stood before."""
    line = {
        "message_id": row.message_id,
        "position": row.position,
        "at": at or utc_now(),
        "by": by,
        "what": what,
        "note": storable(note),
        "state_before": row.state,
        "reason_before": row.reason,
        "order_id_before": row.order_id,
        "order_number": order_number,
        "final": final,
    }
    connection.execute(sa.insert(tables.NotificationEvent).values(**line))


def has_events(connection: sa.Connection, message_id: int, position: int) -> bool:
    """Whether a person has done anything with a notification."""
    table = tables.NotificationEvent
    its = (col(table.message_id) == message_id, col(table.position) == position)
    return connection.execute(sa.select(col(table.id)).where(*its).limit(1)).first() is not None


def person_named(by: str) -> str:
    """Who does something, as it is kept. Raises StoreError where nobody is named."""
    kept = canonical_text(by)
    if kept is None:
        raise StoreError("nobody is named who decides; say who does (--by)")
    if len(kept) > _MAX_NAME:
        raise StoreError(f"the name of who decides has {len(kept)} characters; at most {_MAX_NAME} are kept")
    return storable(kept) or kept
