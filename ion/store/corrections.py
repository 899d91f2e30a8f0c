"""Corrections of what waits for a person, kept beside what was read.

    waits --correct--> waits, with a correction     one more begins with what the one before made
    waits --undo the newest--> waits                the one before counts again, or what was read
    released                                        with the newest in force (`decisions`); it stays with the order

What was read is never changed by it, and no other reading changes it (`rereading`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import content_json, order_of
from ion.contract import Language
from ion.corrections import Base, Changed, corrected, partial_values
from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.notification_events import WAITING, locked_notification, person_named, tell_event, waiting_notification
from ion.store.types import storable, utc_now


@dataclass(frozen=True)
class Correction:
    """What one person typed at one time. `position`: of the notification in its message; `changes`: canonical values
    before and after, none where they are erased; `order`: the order that came of it as JSON values, None where it is
    erased; `undone_at`: None while it is in force. Instants are aware."""

    id: int
    message: int
    position: int
    by: str
    at: datetime
    note: str | None
    changes: tuple[Changed, ...]
    order: dict[str, Any] | None
    undone_at: datetime | None
    undone_by: str | None


class OtherCorrectionError(StoreError):
    """A notification is corrected otherwise by now than it was when it was looked at."""


class Corrections(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def correct_notification(
        self,
        notification_id: int,
        changes: Mapping[str, str],
        *,
        by: str,
        note: str | None = None,
        known: Language | None = None,
        seen: str | None = None,
    ) -> Correction:
        """Keep what a person types in place of what was read of a waiting notification. It still waits.

        `changes`: text by the name of its field, `known`: in whose way it is typed, both as in `ion.corrections`;
        they begin with what the newest correction in force made, else with the order that was read, else with what
        could be read of it. `seen`: only where this is what `ShownNotification.seen` says now; None: whatever it says.
        Raises CorrectionError with all that is wrong with them, OtherCorrectionError, StoreError where the notification
        does not wait.
        """
        by = person_named(by)
        with self.writing() as connection:
            row = waiting_notification(connection, notification_id)
            refuse_unseen(connection, row, seen)
            made = corrected(_base(connection, row), changes, known)
            line = {
                "message_id": row.message_id,
                "position": row.position,
                "by": by,
                "at": utc_now(),
                "note": storable(note),
                "changes_json": json.dumps([vars(one) for one in made.changes], ensure_ascii=False),
                "order_json": content_json(made.order),
                "platform": made.order.platform,
                "order_number": made.order.order_number,
                "undone_at": None,
                "undone_by": None,
            }
            table = tables.Correction
            inserted = sa.insert(table).values(**line).returning(col(table.id))
            correction_id = connection.execute(inserted).scalar_one()
            tell_event(connection, row, "corrected", by, note, order_number=made.order.order_number)
            return _correction(_row(connection, correction_id))

    def undo_correction(self, correction_id: int, *, by: str) -> Correction:
        """Take the newest correction in force of a waiting notification back; it stays in the history. Raises
        StoreError where there is none of this number, it is undone already, a later one is in force, or the
        notification does not wait."""
        by, table = person_named(by), tables.Correction
        with self.writing() as connection:
            found = _row(connection, correction_id)
            if found is None:
                raise StoreError(f"there is no correction {correction_id}; `ion show` tells their numbers")
            row = locked_notification(connection, _notification_of(connection, found))
            newest = correction_in_force(connection, row.message_id, row.position)
            if row.state not in WAITING:
                raise StoreError(f"notification {row.id} is {row.state} with its correction; undo that decision first")
            if newest is None or newest.id != correction_id:
                why = "is undone already" if newest is None or newest.id < correction_id else "is not the newest one"
                last = "" if newest is None else f"; the one in force is {newest.id}"
                raise StoreError(f"correction {correction_id} {why}{last}")
            moved = connection.execute(
                sa.update(table)
                .where(col(table.id) == correction_id, col(table.undone_at).is_(None))
                .values(undone_at=utc_now(), undone_by=by)
            )
            one_row(moved, StoreError(f"correction {correction_id} was undone by somebody else in this moment"))
            tell_event(connection, row, "correction undone", by, None, order_number=found.order_number)
            return _correction(_row(connection, correction_id))

    def corrections_of(self, message_id: int) -> tuple[Correction, ...]:
        """All corrections of a message's notifications, also undone ones, oldest first."""
        query = _corrections().where(col(tables.Correction.message_id) == message_id)
        with self.reading() as connection:
            return tuple(map(_correction, connection.execute(query.order_by(col(tables.Correction.id)))))

    def correction_of_order(self, order_id: int) -> Correction | None:
        """The correction that the newest revision of an order was released with; None where it is as it was read."""
        order, revision, notification = tables.OrderRow, tables.OrderRevision, tables.Notification
        with self.reading() as connection:
            found = connection.execute(
                sa.select(col(notification.message_id), col(notification.position))
                .join_from(revision, notification, col(notification.id) == col(revision.notification_id))
                .join(order, col(order.id) == col(revision.order_id))
                .where(col(order.id) == order_id, col(revision.revision) == col(order.revision))
                .where(col(notification.decision) == "released")
            ).one_or_none()
            newest = None if found is None else correction_in_force(connection, *found)
        return None if newest is None else _correction(newest)


def correction_in_force(connection: sa.Connection, message_id: int, position: int) -> Any:
    """The row of the correction that counts for a notification; None where there is none."""
    table = tables.Correction
    query = _corrections().where(
        col(table.message_id) == message_id, col(table.position) == position, is_in_force(table)
    )
    return connection.execute(query.order_by(col(table.id).desc()).limit(1)).one_or_none()


def what_is_seen(row: Any, correction: int | None) -> str:
    """What a person sees of a notification, in a word that a form can carry: what was read, given by its row, and the
    correction in force."""
    read = json.dumps([row.order_json, row.partial_json, row.problems_json])
    return f"{correction or 0}-{sha256(read.encode()).hexdigest()[:16]}"


def refuse_unseen(connection: sa.Connection, row: Any, seen: str | None) -> None:
    """Raises OtherCorrectionError where a notification is not what was looked at; None: whatever it is."""
    if seen is None:
        return
    newest = correction_in_force(connection, row.message_id, row.position)
    if seen != what_is_seen(row, newest.id if newest else None):
        raise OtherCorrectionError(
            f"notification {row.id} was corrected or read again, or a correction taken back, since it was looked at;"
            " look once more"
        )


def is_in_force(table: Any) -> sa.ColumnElement[bool]:
    """The condition that a correction was not undone and is not erased."""
    return sa.and_(col(table.undone_at).is_(None), col(table.order_json).is_not(None))


def _base(connection: sa.Connection, row: Any) -> Base:
    newest = correction_in_force(connection, row.message_id, row.position)
    read = newest.order_json if newest else row.order_json
    return order_of(read) if read else partial_values(row.partial_json)


def _corrections() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(tables.Correction.__table__)  # type: ignore[attr-defined]


def _row(connection: sa.Connection, correction_id: int | None) -> Any:
    return connection.execute(_corrections().where(col(tables.Correction.id) == correction_id)).one_or_none()


def _notification_of(connection: sa.Connection, found: Any) -> int:
    table = tables.Notification
    its = (col(table.message_id) == found.message_id, col(table.position) == found.position)
    return connection.execute(sa.select(col(table.id)).where(*its)).scalar_one() or 0


def _correction(row: Any) -> Correction:
    return Correction(
        id=row.id,
        message=row.message_id,
        position=row.position,
        by=row.by,
        at=row.at,
        note=row.note,
        changes=tuple(Changed(**one) for one in json.loads(row.changes_json)),
        order=json.loads(row.order_json) if row.order_json else None,
        undone_at=row.undone_at,
        undone_by=row.undone_by,
    )
