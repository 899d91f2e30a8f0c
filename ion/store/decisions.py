"""What waits for a person, and what the person decides.

    held, review -> applied | superseded | duplicate   (`release_notification`)
                 -> dismissed                          (`dismiss_notification`)
                 -> duplicate                          (`merge_notification`)

A released order goes the way of a sealed one: new, a revision, or known already; where a person corrected it, as it is
corrected. One that contradicts what is known stays where it is, unless the person has compared the two and says that it
is what the order says now: then it is the revision behind the newest one. Each decision is a line of
`notification_events`, and `undoing` takes it back.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import Content, order_of
from ion.corrections import HARMLESS, Changed, adds_up, concerns
from ion.errors import StoreError
from ion.store import tables
from ion.store.corrections import correction_in_force, is_in_force, refuse_unseen, what_is_seen
from ion.store.engine import Database, one_row
from ion.store.entries import OtherRevisionError, order_meant
from ion.store.judgements import Outcome, StoredNotification, bring_in, insert_revision, why_inapplicable
from ion.store.notification_events import WAITING, person_named, tell_event, waiting_notification
from ion.store.orders import is_order, update_order
from ion.store.privacy import is_erased, lift_erasure
from ion.store.types import NotificationState, storable, utc_now

_HEAD_BYTES = 65_536
_ROWS_AT_ONCE = 200


@dataclass(frozen=True)
class ShownNotification:
    """A notification as a person sees it. `problems`: `{"code", "field", "message"}` each, which quote values;
    `to_name`: what `--force` has to name before it can be released, empty where nothing; `evidence`: what was checked
    to decide; `order`: the order as JSON values as it was read, None where no whole one was; `partial`: then what could
    be read, JSON text as `ion.corrections.partial_values` takes it; `correction`: number of the correction in force,
    which `corrections_of` tells, `corrected_order`: the order with it; None where there is none; `seen`: what a person
    sees of it all, for whoever decides to say what was looked at."""

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
    partial: str | None = None
    correction: int | None = None
    corrected_order: dict[str, Any] | None = None
    seen: str = ""


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


class NoSuchMessageError(StoreError):
    """No message has this number."""


class NotNamedError(StoreError):
    """Something is in doubt that the person who decides did not name."""


class ContradictsError(StoreError):
    """What is to be released contradicts an order that is known, and nobody said which of the two holds."""


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
                yield _message(row, (_notification(connection, row),))

    def shown_message(self, message_id: int) -> ShownMessage:
        """A message with all its notifications. Raises NoSuchMessageError where there is none of this number."""
        query = _shown(outer=True).where(col(tables.Message.id) == message_id)
        with self.reading() as connection:
            rows = connection.execute(query.order_by(col(tables.Notification.position))).all()
            found = tuple(_notification(connection, row) for row in rows if row.notification is not None)
        if not rows:
            raise NoSuchMessageError(f"there is no message {message_id}; `ion held` names those that wait")
        return _message(rows[0], found)

    def shown_notification(self, notification_id: int) -> ShownMessage:
        """A notification, whatever became of it, with its message, as `waiting_notifications` gives one. Raises
        StoreError where there is none of this number."""
        with self.reading() as connection:
            row = connection.execute(_shown().where(col(tables.Notification.id) == notification_id)).one_or_none()
            if row is None:
                raise StoreError(f"there is no notification {notification_id}; `ion held` lists what waits")
            return _message(row, (_notification(connection, row),))

    def release_notification(
        self,
        notification_id: int,
        *,
        by: str,
        note: str | None = None,
        named: Sequence[str] = (),
        seen: str | None = None,
        in_place_of: int | None = None,
    ) -> StoredNotification:
        """Let the order of a waiting notification in, as if it had been sealed; as it is corrected, where it is.

        `by`: who says so; `named`: the problems, by field or code, that this person has seen and takes on; those of
        corrected fields are answered; `seen`: only where this is what `ShownNotification.seen` says now;
        `in_place_of`: where it contradicts what is known, or says what an older revision did, it is what the order says
        now, in place of this revision, and becomes the one behind it.

        Raises StoreError, and changes nothing, where it does not wait, has no whole order, or has a problem that is not
        named; ContradictsError; OtherRevisionError where `in_place_of` is not the newest one; OtherCorrectionError.
        """
        by = person_named(by)
        with self.writing() as connection:
            row = waiting_notification(connection, notification_id)
            refuse_unseen(connection, row, seen)
            corrected = _corrected(connection, row.message_id, row.position)
            order_json = corrected.order_json if corrected else row.order_json
            if order_json is None:
                raise StoreError(
                    f"notification {notification_id} holds no whole order; correct it, or ask for the mail again"
                )
            missing = [name for name in _to_name(row, corrected) if name not in named]
            if missing:
                raise NotNamedError(
                    f"notification {notification_id} is in doubt ({row.reason}); to release it all the same, name what "
                    f"was found: {' '.join(f'--force {name}' for name in missing)}"
                )
            # Where not even the header could be read, the person who typed the order says that it is one.
            why_not = None if corrected and row.kind is None else why_inapplicable(row.kind)
            if why_not:
                raise StoreError(f"notification {notification_id} cannot be released: {why_not}")
            now, content = utc_now(), Content.of(order_of(order_json))
            was_erased = is_erased(connection, row.merchant, *content.summary[:2])
            outcome, is_new_revision = _taken_back(
                connection, row.merchant, content, row.revision or 1, notification_id, now
            ) or bring_in(connection, row.merchant, content, row.revision, now)
            revision = row.revision
            if in_place_of is None and outcome.state is NotificationState.REVIEW:
                raise ContradictsError(
                    f"notification {notification_id} contradicts what is known ({outcome.reason}); nothing was"
                    " changed. Compare the two: set it aside, or say that it is what the order says now (--in-place-of)"
                )
            changes_nothing = outcome.state in (NotificationState.REVIEW, NotificationState.SUPERSEDED)
            if in_place_of is not None and changes_nothing and outcome.order_id is not None:
                revision = _behind(connection, outcome.order_id, in_place_of)
                update_order(connection, outcome.order_id, content, revision, now)
                outcome, is_new_revision = Outcome(NotificationState.APPLIED, None, outcome.order_id), True
            if is_new_revision:
                insert_revision(connection, outcome.order_id, content, revision, notification_id, now)
            values = {"state": outcome.state.value, "reason": outcome.reason, "order_id": outcome.order_id}
            number, final = content.summary.order_number, was_erased or not _is_new(connection, outcome)
            _decide(connection, row, "released", by, note, now, values, order_number=number, final=final)
            return StoredNotification(
                notification_id, row.position, row.grade, outcome.state.value, outcome.reason, row.platform,
                row.order_number, row.revision, outcome.order_id,
            )  # fmt: skip

    def dismiss_notification(self, notification_id: int, *, by: str, note: str | None = None) -> StoredNotification:
        """Set a waiting notification aside; no order is changed. Raises StoreError where it does not wait."""
        by = person_named(by)
        with self.writing() as connection:
            row = waiting_notification(connection, notification_id)
            state = NotificationState.DISMISSED.value
            _decide(connection, row, "dismissed", by, note, utc_now(), {"state": state})
            return StoredNotification(
                notification_id, row.position, row.grade, state, row.reason, row.platform, row.order_number,
                row.revision, row.order_id,
            )  # fmt: skip

    def merge_notification(
        self, notification_id: int, order: int | str, *, by: str, note: str | None = None
    ) -> StoredNotification:
        """Join a waiting notification to an order of the same merchant that it tells of, as a person sees: it becomes a
        duplicate of that order, also where it names another number; no order is changed. `order`: its id here, or its
        number as in `mark_entered`.

        Raises StoreError where it does not wait; NoSuchOrderError, AmbiguousOrderError, OrderErasedError.
        """
        by = person_named(by)
        with self.writing() as connection:
            row = waiting_notification(connection, notification_id)
            known = order_meant(connection, row.merchant, order)
            state, reason = NotificationState.DUPLICATE.value, f"joined to order {known.order_number}"
            values = {"state": state, "reason": reason, "order_id": known.id}
            _decide(connection, row, "merged", by, note, utc_now(), values, order_number=known.order_number)
            return StoredNotification(
                notification_id, row.position, row.grade, state, reason, row.platform, row.order_number, row.revision,
                known.id,
            )  # fmt: skip


@dataclass(frozen=True)
class _Corrected:
    """An order as its newest correction in force has it, and the names of all fields that are corrected."""

    correction: int
    order_json: str
    paths: set[str]


def _corrected(connection: sa.Connection, message_id: int, position: int) -> _Corrected | None:
    """What the corrections in force make of a notification."""
    newest = correction_in_force(connection, message_id, position)
    if newest is None:
        return None
    table = tables.Correction
    texts = connection.execute(
        sa.select(col(table.changes_json)).where(
            col(table.message_id) == message_id, col(table.position) == position, is_in_force(table)
        )
    ).scalars()
    return _Corrected(newest.id, newest.order_json, {Changed(**one).path for text in texts for one in json.loads(text)})


def _behind(connection: sa.Connection, order_id: int, newest: int) -> int:
    """The revision behind the newest one. Raises OtherRevisionError where that is another one."""
    table = tables.OrderRow
    its = sa.select(col(table.order_number), col(table.revision)).where(col(table.id) == order_id)
    order = connection.execute(its).one()
    if order.revision != newest:
        raise OtherRevisionError(f"the newest revision of order {order.order_number} is {order.revision}, not {newest}")
    return newest + 1


def _is_new(connection: sa.Connection, outcome: Outcome) -> bool:
    """False where releasing changed an order that was known: its revision is not the only one."""
    if outcome.state is not NotificationState.APPLIED:
        return True
    table = tables.OrderRevision
    query = sa.select(sa.func.count()).where(col(table.order_id) == outcome.order_id)
    return connection.execute(query).scalar_one() == 1


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
    connection: sa.Connection,
    row: Any,
    decision: str,
    by: str,
    note: str | None,
    now: datetime,
    values: dict[str, Any],
    *,
    order_number: str | None = None,
    final: bool = False,
) -> None:
    moved = connection.execute(
        sa.update(tables.Notification)
        .where(col(tables.Notification.id) == row.id, col(tables.Notification.state) == row.state)
        .values(decision=decision, decided_by=by, decided_at=now, decision_note=storable(note), **values)
    )
    one_row(moved, StoreError(f"notification {row.id} was decided by somebody else in this moment"))
    tell_event(connection, row, decision, by, note, order_number=order_number, final=final, at=now)


def _to_name(row: Any, corrected: _Corrected | None) -> tuple[str, ...]:
    """What a person has to answer for: each problem by its field or its code, but for those of what is corrected;
    `unsealed` where sealed mail is usual. A corrected order that does not add up is a problem of its own."""
    if row.state == NotificationState.REVIEW and row.grade == "consistent":
        return ("unsealed",)
    problems = [one for one in json.loads(row.problems_json) if one["code"] not in HARMLESS]
    if corrected:
        problems = [one for one in problems if not _is_answered(one, corrected.paths)]
        if not adds_up(order_of(corrected.order_json)):
            problems.append({"code": "sum", "field": "totals.total_customer"})
    return tuple(dict.fromkeys(one["field"] or one["code"] for one in problems))


def _is_answered(problem: dict[str, Any], paths: set[str]) -> bool:
    """Whether corrections took a problem away. That a sum was wrong, or no whole order was there, is looked at anew."""
    of_the_whole = problem["code"] == "sum" or (problem["code"] == "unreadable" and problem["field"] is None)
    return of_the_whole or any(concerns(problem["field"], path) for path in paths)


def _shown(*, outer: bool = False) -> "sa.Select[*tuple[Any, ...]]":
    message, notification, kept = tables.Message, tables.Notification, tables.MessageRaw
    correction = tables.Correction
    is_its = (
        col(correction.message_id) == col(notification.message_id),
        col(correction.position) == col(notification.position),
    )
    is_corrected = sa.exists().where(*is_its, is_in_force(correction))
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
        col(notification.decision_note), col(notification.order_json), col(notification.partial_json),
        is_corrected.label("is_corrected"),
    )  # fmt: skip
    on = col(notification.message_id) == col(message.id)
    query: sa.Select[*tuple[Any, ...]] = sa.select(*columns).join_from(message, notification, on, isouter=outer)
    return query.join(kept, col(kept.message_id) == col(message.id), isouter=True)


def _message(row: Any, notifications: tuple[ShownNotification, ...]) -> ShownMessage:
    return ShownMessage(
        row.message, row.message_merchant, row.door, row.message_state, row.mail_from, row.rcpt_to, row.received_at,
        row.size_bytes, row.sha256, row.last_error, row.head, notifications,
    )  # fmt: skip


def _notification(connection: sa.Connection, row: Any) -> ShownNotification:
    corrected = _corrected(connection, row.message, row.position) if row.is_corrected else None
    return ShownNotification(
        row.notification, row.position, row.state, row.grade, row.reason, row.platform, row.order_number, row.revision,
        row.issued_at, row.carrier, row.language, row.key_id, tuple(json.loads(row.problems_json)),
        _to_name(row, corrected) if row.state in WAITING else (),
        json.loads(row.evidence_json) if row.evidence_json else None,
        row.decision, row.decided_by, row.decided_at, row.decision_note,
        json.loads(row.order_json) if row.order_json else None, row.partial_json,
        corrected.correction if corrected else None, json.loads(corrected.order_json) if corrected else None,
        what_is_seen(row, corrected.correction if corrected else None),
    )  # fmt: skip
