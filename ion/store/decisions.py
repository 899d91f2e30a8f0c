"""What waits for a person, and what the person decides.

    held, review -> applied | superseded | duplicate   (`release_notification`)
                 -> dismissed                          (`dismiss_notification`)

A released order goes the way of a sealed one: new, a revision, or known already. One that contradicts what is known
stays where it is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import Content, order_of
from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.judgements import Outcome, StoredNotification, bring_in, insert_revision, why_inapplicable
from ion.store.merchants import lock_merchant
from ion.store.orders import is_order, update_order
from ion.store.privacy import is_erased, lift_erasure
from ion.store.types import NotificationState, storable, utc_now

WAITING = (NotificationState.HELD.value, NotificationState.REVIEW.value)
# What was done to read a mail leaves the proof as it is, so nobody has to answer for it.
_HARMLESS = ("note", "repair", "damage")
_HEAD_BYTES = 65_536
_ROWS_AT_ONCE = 200


@dataclass(frozen=True)
class ShownNotification:
    """A notification as a person sees it. `problems`: `{"code", "field", "message"}` each, which quote values;
    `to_name`: what `--force` has to name before it can be released, empty where nothing; `evidence`: what was checked
    to decide; `order`: the order as JSON values, None where no whole one was read."""

    notification: int
    position: int
    state: str
    grade: str
    reason: str | None
    platform: str | None
    order_number: str | None
    revision: int | None
    issued_at: datetime | None
    carrier: str | None
    language: str | None
    key_id: str | None
    problems: tuple[dict[str, Any], ...]
    to_name: tuple[str, ...]
    evidence: dict[str, Any] | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    decision_note: str | None
    order: dict[str, Any] | None


@dataclass(frozen=True)
class ShownMessage:
    """A message and its notifications by position. `mail_from`: the envelope's sender, None where the door knows none;
    `head`: the first octets of the raw mail, None once purged."""

    id: int
    merchant: str
    door: str
    state: str
    mail_from: str | None
    rcpt_to: str
    received_at: datetime
    size_bytes: int
    sha256: str
    last_error: str | None
    head: bytes | None
    notifications: tuple[ShownNotification, ...]


class Decisions(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def waiting_notifications(self, merchant: str | None = None) -> Iterator[ShownMessage]:
        """What waits for a person, oldest first: one notification at a time, with its message.

        Streams; the reading transaction lives until the iterator is exhausted or closed.
        """
        query = _shown().where(
            col(tables.Notification.state).in_(WAITING), col(tables.Notification.erased_at).is_(None)
        )
        if merchant is not None:
            query = query.where(col(tables.Notification.merchant) == merchant)
        query = query.order_by(col(tables.Message.received_at), col(tables.Notification.id))
        with self.reading() as connection:
            options = {"stream_results": True, "yield_per": _ROWS_AT_ONCE}
            for row in connection.execution_options(**options).execute(query):
                yield _message(row, (_notification(row),))

    def shown_message(self, message_id: int) -> ShownMessage:
        """A message with all its notifications. Raises StoreError where there is none of this number."""
        query = _shown(outer=True).where(col(tables.Message.id) == message_id)
        with self.reading() as connection:
            rows = connection.execute(query.order_by(col(tables.Notification.position))).all()
        if not rows:
            raise StoreError(f"there is no message {message_id}; `ion held` names those that wait")
        found = tuple(_notification(row) for row in rows if row.notification is not None)
        return _message(rows[0], found)

    def release_notification(
        self, notification_id: int, *, by: str, note: str | None = None, named: Sequence[str] = ()
    ) -> StoredNotification:
        """Let the order of a waiting notification in, as if it had been sealed.

        `by`: who says so; `named`: the problems, by field or code, that this person has seen and takes on. Raises
        StoreError, and changes nothing, where it does not wait, has no whole order, has a problem that is not named, or
        contradicts what is known.
        """
        with self.writing() as connection:
            row = _locked(connection, notification_id)
            if row.order_json is None:
                raise StoreError(f"notification {notification_id} holds no whole order; ask for the mail again")
            missing = [name for name in _to_name(row) if name not in named]
            if missing:
                raise StoreError(
                    f"notification {notification_id} is in doubt ({row.reason}); to release it all the same, name what "
                    f"was found: {' '.join(f'--force {name}' for name in missing)}"
                )
            why_not = why_inapplicable(row.kind)
            if why_not:
                raise StoreError(f"notification {notification_id} cannot be released: {why_not}")
            now, content = utc_now(), Content.of(order_of(row.order_json))
            outcome, is_new_revision = _taken_back(
                connection, row.merchant, content, row.revision or 1, notification_id, now
            ) or bring_in(connection, row.merchant, content, row.revision, now)
            if outcome.state is NotificationState.REVIEW:
                raise StoreError(
                    f"notification {notification_id} contradicts what is known ({outcome.reason}); nothing was changed"
                )
            if is_new_revision:
                insert_revision(connection, outcome.order_id, content, row.revision, notification_id, now)
            values = {"state": outcome.state.value, "reason": outcome.reason, "order_id": outcome.order_id}
            _decide(connection, row, "released", by, note, now, values)
            return StoredNotification(
                notification_id, row.position, row.grade, outcome.state.value, outcome.reason, row.platform,
                row.order_number, row.revision, outcome.order_id,
            )  # fmt: skip

    def dismiss_notification(self, notification_id: int, *, by: str, note: str | None = None) -> StoredNotification:
        """Set a waiting notification aside for good; no order is changed. Raises StoreError where it does not wait."""
        with self.writing() as connection:
            row = _locked(connection, notification_id)
            state = NotificationState.DISMISSED.value
            _decide(connection, row, "dismissed", by, note, utc_now(), {"state": state})
            return StoredNotification(
                notification_id, row.position, row.grade, state, row.reason, row.platform, row.order_number,
                row.revision, row.order_id,
            )  # fmt: skip


def _locked(connection: sa.Connection, notification_id: int) -> Any:
    """A waiting notification's row, read under its merchant's lock. Raises StoreError."""
    table = tables.Notification
    is_it = col(table.id) == notification_id
    merchant = connection.execute(sa.select(col(table.merchant)).where(is_it)).scalar()
    if merchant is None:
        raise StoreError(f"there is no notification {notification_id}; `ion held` lists what waits")
    lock_merchant(connection, merchant)
    row = connection.execute(sa.select(table.__table__).where(is_it)).one()  # type: ignore[attr-defined]
    if row.state not in WAITING:
        raise StoreError(f"notification {notification_id} does not wait for anybody: it is {row.state}")
    return row


def _taken_back(
    connection: sa.Connection, merchant: str, content: Content, revision: int, notification_id: int, now: datetime
) -> tuple[Outcome, bool] | None:
    """Let an order in again that was erased at this very revision; None where there is none such. Raises StoreError
    where it was erased at a later one: what was released would pass for the newest."""
    order = content.summary
    if not is_erased(connection, merchant, order.platform, order.order_number):
        return None
    known = connection.execute(
        sa.select(col(tables.OrderRow.id), col(tables.OrderRow.revision))
        .where(is_order(merchant, order.platform, order.order_number))
        .where(col(tables.OrderRow.erased_at).is_not(None))
    ).one_or_none()
    if known is not None and revision < known.revision:
        raise StoreError(f"the order was erased at revision {known.revision}; ask for its newest mail again")
    lift_erasure(connection, merchant, order.platform, order.order_number)
    if known is None or known.id is None or revision > known.revision:
        return None
    update_order(connection, known.id, content, revision, now)
    connection.execute(
        sa.update(tables.OrderRevision)
        .where(col(tables.OrderRevision.order_id) == known.id)
        .where(col(tables.OrderRevision.revision) == revision)
        .values(
            content_json=content.json,
            content_sha256=content.sha256,
            notification_id=notification_id,
            applied_at=now,
        )
    )
    return Outcome(NotificationState.APPLIED, None, known.id), False


def _decide(
    connection: sa.Connection, row: Any, decision: str, by: str, note: str | None, now: datetime, values: dict[str, Any]
) -> None:
    moved = connection.execute(
        sa.update(tables.Notification)
        .where(col(tables.Notification.id) == row.id, col(tables.Notification.state) == row.state)
        .values(decision=decision, decided_by=storable(by), decided_at=now, decision_note=storable(note), **values)
    )
    one_row(moved, StoreError(f"notification {row.id} was decided by somebody else in this moment"))


def _to_name(row: Any) -> tuple[str, ...]:
    """What a person has to answer for: each problem by its field or its code; `unsealed` where sealed mail is usual."""
    if row.state == NotificationState.REVIEW and row.grade == "consistent":
        return ("unsealed",)
    problems = [one for one in json.loads(row.problems_json) if one["code"] not in _HARMLESS]
    return tuple(dict.fromkeys(one["field"] or one["code"] for one in problems))


def _shown(*, outer: bool = False) -> "sa.Select[*tuple[Any, ...]]":
    message, notification, kept = tables.Message, tables.Notification, tables.MessageRaw
    columns: tuple[Any, ...] = (
        col(message.id).label("message"), col(message.door), col(message.state).label("message_state"),
        col(message.mail_from), col(message.rcpt_to), col(message.received_at), col(message.size_bytes),
        col(message.sha256), col(message.last_error), col(message.merchant).label("message_merchant"),
        sa.func.substr(col(kept.raw), 1, _HEAD_BYTES).label("head"),
        col(notification.id).label("notification"), col(notification.position), col(notification.state),
        col(notification.grade), col(notification.reason), col(notification.platform), col(notification.order_number),
        col(notification.revision), col(notification.issued_at), col(notification.carrier), col(notification.language),
        col(notification.key_id), col(notification.problems_json), col(notification.evidence_json),
        col(notification.decision), col(notification.decided_by), col(notification.decided_at),
        col(notification.decision_note), col(notification.order_json),
    )  # fmt: skip
    on = col(notification.message_id) == col(message.id)
    query: sa.Select[*tuple[Any, ...]] = sa.select(*columns).join_from(message, notification, on, isouter=outer)
    return query.join(kept, col(kept.message_id) == col(message.id), isouter=True)


def _message(row: Any, notifications: tuple[ShownNotification, ...]) -> ShownMessage:
    return ShownMessage(
        row.message, row.message_merchant, row.door, row.message_state, row.mail_from, row.rcpt_to, row.received_at,
        row.size_bytes, row.sha256, row.last_error, row.head, notifications,
    )  # fmt: skip


def _notification(row: Any) -> ShownNotification:
    return ShownNotification(
        row.notification, row.position, row.state, row.grade, row.reason, row.platform, row.order_number, row.revision,
        row.issued_at, row.carrier, row.language, row.key_id, tuple(json.loads(row.problems_json)),
        _to_name(row) if row.state in WAITING else (), json.loads(row.evidence_json) if row.evidence_json else None,
        row.decision, row.decided_by, row.decided_at, row.decision_note,
        json.loads(row.order_json) if row.order_json else None,
    )  # fmt: skip
