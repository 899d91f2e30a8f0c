"""What was judged of a message, stored and applied to the orders: one transaction for the whole message.

A sealed notification, looked up by (merchant, platform, order number), where the order is

    not there                              -> applied, a new order
    there, at a lower revision             -> applied, the order updated (`amended` where its content changed)
    there, this revision, same content     -> duplicate, linked
    there, a higher revision               -> superseded, linked
    there, with other content of the very revision -> review, the order untouched
    erased                                 -> held, the order untouched

A consistent one goes the same way where the merchant's policy believes whoever sent it (`trust`), else it is held; a
doubtful one is for review, and one sealed with a key that is not this merchant's is held: none of these touches an
order until a person decides (`decisions`). Only keys of the recipient's merchant were used to verify the seal, so the
merchant that the notification names is information, not a condition.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import col

from ion.content import Content
from ion.corrections import partial_values
from ion.errors import StoreError, TransactionEndedError
from ion.order import PLATFORMS
from ion.store import tables
from ion.store.bounces import keep_bounce, merchants_of_mails
from ion.store.confirmations import keep_confirmation
from ion.store.engine import Database, is_about_values
from ion.store.merchants import lock_merchant
from ion.store.messages import ClaimLostError, end_claim
from ion.store.orders import insert_order, update_order
from ion.store.plain_sql import PlainSql
from ion.store.privacy import ERASED, is_erased
from ion.store.trust import Evidence, doubt
from ion.store.types import MessageState, NotificationState, storable, utc_now

# Other kinds (amendments) change an order in their own way and are not applied as if they were orders.
_APPLICABLE_KIND = "order.approved"
_LARGEST = 2**63 - 1


class Header(Protocol):
    """The notification header, as far as it is stored (`ion.contract.Notification`)."""

    @property
    def kind(self) -> str: ...
    @property
    def order_number(self) -> str: ...
    @property
    def revision(self) -> int | None: ...
    @property
    def sequence(self) -> int | None: ...
    @property
    def issued_at(self) -> datetime | None: ...
    @property
    def key_id(self) -> str | None: ...


class Finding(Protocol):
    """Something a person should know (`ion.reading.Problem`)."""

    @property
    def code(self) -> str: ...
    @property
    def field(self) -> str | None: ...
    @property
    def message(self) -> str: ...


class Judgement(Protocol):
    """One graded notification (`ion.reading.Judged`)."""

    @property
    def grade(self) -> str: ...
    @property
    def notification(self) -> Header | None: ...
    @property
    def content(self) -> Content | None: ...
    @property
    def problems(self) -> Sequence[Finding]: ...
    @property
    def seal(self) -> str | None: ...
    @property
    def carrier(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...
    @property
    def partial(self) -> str | None: ...


@dataclass(frozen=True)
class StoredNotification:
    """What became of one notification. `reason`: why, where it was not applied; `order_id`: the order it belongs to."""

    id: int
    position: int
    grade: str
    state: str
    reason: str | None
    platform: str | None
    order_number: str | None
    revision: int | None
    order_id: int | None


@dataclass(frozen=True)
class ReadMessage:
    """A claimed message, by its row, merchant and token, and what was judged of it. `evidence`: for each of `judged`
    what was found out about its sender, or nothing at all; `bounce_of`: as for a claimed message."""

    id: int
    merchant: str
    claim_token: str
    judged: Sequence[Judgement]
    evidence: Sequence[Evidence | None] = ()
    bounce_of: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What a notification comes to."""

    state: NotificationState
    reason: str | None = None
    order_id: int | None = None


class Judgements(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def store_judgement(
        self,
        message_id: int,
        claim_token: str,
        judged: Sequence[Judgement],
        evidence: Sequence[Evidence | None] = (),
    ) -> tuple[StoredNotification, ...]:
        """Store what was judged of a claimed message, apply it, and end the claim: all or nothing.

        `evidence`: for each of `judged` what was found out about its sender, or nothing at all.
        The message becomes `read`, or `ignored` where it holds no notification (none, or only of grade `none`) and no
        bounce that is believed.
        Raises ClaimLostError where the claim is no longer ours.
        """
        with self.reading() as connection:
            merchant = connection.execute(_MERCHANT_OF, {"message": message_id}).scalar()
        if merchant is None:
            raise ClaimLostError(f"there is no message {message_id}")
        (stored,) = self.store_judgements([ReadMessage(message_id, merchant, claim_token, judged, evidence)])
        if isinstance(stored, Exception):
            raise stored
        return stored

    def store_judgements(
        self, messages: Sequence[ReadMessage]
    ) -> tuple[tuple[StoredNotification, ...] | Exception, ...]:
        """Store what was judged of several claimed messages, as `store_judgement` does of one, in one transaction.

        One that fails is undone by itself and its error stands in its place: ClaimLostError where its claim is no
        longer ours, StoreError where the database refuses its rows, anything else where its values are not what they
        say. The others are stored. Raises StoreError where nothing could be stored.
        """
        stored: list[tuple[StoredNotification, ...] | Exception] = []
        with self.writing() as connection:
            # In one order everywhere: two transactions must not wait for each other's merchants crosswise.
            concerned = merchants_of_mails(connection, [message.bounce_of for message in messages])
            for merchant in sorted({message.merchant for message in messages} | concerned):
                lock_merchant(connection, merchant)
            for message in messages:
                try:
                    with PlainSql(connection).savepoint():
                        stored.append(_store_message(connection, message))
                except Exception as error:
                    if not _is_its_own(error):
                        raise
                    stored.append(error)
        return tuple(stored)

    def notifications_of(self, message_id: int) -> tuple[StoredNotification, ...]:
        """What became of each notification of a message, by position; empty where it holds none or is not read yet."""
        table = tables.Notification
        columns = (
            col(table.id), col(table.position), col(table.grade), col(table.state), col(table.reason),
            col(table.platform), col(table.order_number), col(table.revision), col(table.order_id),
        )  # fmt: skip
        query = sa.select(*columns).where(col(table.message_id) == message_id)
        with self.reading() as connection:
            rows: Any = connection.execute(query.order_by(col(table.position))).all()
        return tuple(StoredNotification(*row) for row in rows)


_KNOWN_ORDER = "SELECT id, revision FROM orders WHERE merchant = ? AND platform = ? AND order_number = ?"
_MERCHANT_OF = sa.select(col(tables.Message.merchant)).where(col(tables.Message.id) == sa.bindparam("message"))


def _is_its_own(error: Exception) -> bool:
    """Whether an error is that of one message, not one that the next message would meet too (a full disk)."""
    if isinstance(error, TransactionEndedError):
        return False
    if is_about_values(error.__cause__):
        return True
    of_all = (OperationalError, InterfaceError, sqlite3.OperationalError, sqlite3.InterfaceError)
    return not (isinstance(error, StoreError) and isinstance(error.__cause__, of_all))


def _store_message(connection: sa.Connection, message: ReadMessage) -> tuple[StoredNotification, ...]:
    """All of one message. The caller holds the merchant's lock."""
    told = message.evidence or (None,) * len(message.judged)
    found = [(one, about) for one, about in zip(message.judged, told, strict=True) if one.grade != "none"]
    is_read = bool(found) or keep_bounce(connection, message.id, message.bounce_of, message.judged)
    end_claim(connection, message.id, message.claim_token, MessageState.READ if is_read else MessageState.IGNORED)
    keep_confirmation(connection, message.id, message.judged)
    return tuple(
        store_notification(connection, message.id, message.merchant, position, one, about)
        for position, (one, about) in enumerate(found, start=1)
    )


def store_notification(
    connection: sa.Connection,
    message_id: int,
    merchant: str,
    position: int,
    judged: Judgement,
    evidence: Evidence | None = None,
    *,
    instead_of: int | None = None,
) -> StoredNotification:
    """Store one notification and apply it: as a new row, or in the place of the row `instead_of`, which changed no
    order. The caller holds the merchant's lock."""
    now = utc_now()
    header, content = judged.notification, judged.content
    outcome, is_new_revision = _apply(connection, merchant, judged, evidence, now)
    revision = None if header is None else header.revision
    platform, number = order_told_of(judged)
    sequence = header.sequence if header else None
    row = {
        "message_id": message_id,
        "position": position,
        "merchant": merchant,
        "grade": judged.grade,
        "state": outcome.state.value,
        "reason": storable(outcome.reason),
        "kind": header.kind if header else None,
        "platform": platform,
        "order_number": number,
        "revision": revision,
        "sequence": sequence if sequence is None or sequence <= _LARGEST else None,
        "issued_at": header.issued_at if header else None,
        "key_id": header.key_id if header else None,
        "seal": storable(judged.seal),
        "language": judged.language,
        "carrier": judged.carrier,
        "order_json": content.json if content else None,
        "partial_json": storable(judged.partial),
        "problems_json": json.dumps(
            [{"code": one.code, "field": one.field, "message": one.message} for one in judged.problems]
        ),
        "order_id": outcome.order_id,
        "judged_at": now,
        "evidence_json": _evidence_json(judged, evidence),
    }
    if instead_of is None:
        notification_id = PlainSql(connection).insert("notification", row)
    else:
        notification_id = instead_of
        connection.execute(sa.update(tables.Notification).where(col(tables.Notification.id) == instead_of).values(row))
    if is_new_revision:
        assert content is not None
        insert_revision(connection, outcome.order_id, content, revision, notification_id, now)
    return StoredNotification(
        notification_id,
        position,
        judged.grade,
        outcome.state.value,
        storable(outcome.reason),
        platform,
        number,
        revision,
        outcome.order_id,
    )


def order_told_of(judged: Judgement) -> tuple[str | None, str | None]:
    """Platform and order number of what a notification tells of, as far as they could be read."""
    if judged.content:
        return judged.content.summary[:2]
    read = partial_values(judged.partial)
    number = judged.notification.order_number if judged.notification else storable(read.get("order.order_number"))
    platform = read.get("order.platform")
    return platform if platform in PLATFORMS else None, number


def _apply(
    connection: sa.Connection,
    merchant: str,
    judged: Judgement,
    evidence: Evidence | None,
    now: datetime,
) -> tuple[Outcome, bool]:
    """Decide, and change the order where the decision says so; also, whether a revision was added."""
    header, content = judged.notification, judged.content
    summary = content.summary if content else None
    if judged.grade != "review" and summary and is_erased(connection, merchant, *summary[:2]):
        return Outcome(NotificationState.HELD, ERASED), False
    if judged.grade not in ("sealed", "consistent") or header is None or content is None:
        if content is not None and any(one.code == "key" for one in judged.problems):
            return Outcome(NotificationState.HELD, "sealed for another merchant, or with a key unknown here"), False
        fields = ", ".join(dict.fromkeys(one.field or one.code for one in judged.problems))
        return Outcome(NotificationState.REVIEW, fields or None), False
    why_not = why_inapplicable(header.kind)
    if why_not:
        return Outcome(NotificationState.REVIEW, why_not), False
    waits = doubt(connection, merchant, evidence) if judged.grade == "consistent" else None
    if waits:
        return Outcome(*waits), False
    return bring_in(connection, merchant, content, header.revision, now)


def _evidence_json(judged: Judgement, evidence: Evidence | None) -> str | None:
    """What was checked to decide, as it is kept."""
    if judged.grade == "sealed":
        return '{"rule": "seal"}'  # with the key that the row names
    return storable(json.dumps(evidence.to_json(), ensure_ascii=False)) if evidence else None


def why_inapplicable(kind: str | None) -> str | None:
    """Why a notification of this kind is no order; None where it is one."""
    return None if kind == _APPLICABLE_KIND else f"kind {kind} is not known"


def insert_revision(
    connection: sa.Connection,
    order_id: int | None,
    content: Content,
    revision: int | None,
    notification_id: int,
    now: datetime,
) -> None:
    """Keep a revision that `bring_in` applied, with the notification that brought it."""
    columns = ("order_id", "revision", "content_json", "content_sha256", "notification_id", "applied_at")
    row = (order_id, revision or 1, content.json, content.sha256, notification_id, now)
    PlainSql(connection).insert_all("order_revision", columns, [row])


def bring_in(
    connection: sa.Connection, merchant: str, content: Content, stated: int | None, now: datetime
) -> tuple[Outcome, bool]:
    """Apply an order that is believed, as the table above says; also, whether a revision was added.

    `stated`: the revision its notification names. The caller holds the merchant's lock.
    """
    revision = stated or 1  # a mail that was rendered and never queued may not say
    summary = content.summary
    found = PlainSql(connection).rows(_KNOWN_ORDER, merchant, summary.platform, summary.order_number)
    if not found:
        order_id = insert_order(connection, merchant, content, revision, now)
        return Outcome(NotificationState.APPLIED, None, order_id), True
    ((known, newest),) = found
    if revision > newest:
        # Also where the content is the same: else a late mail with a revision in between would look newer.
        update_order(connection, known, content, revision, now)
        return Outcome(NotificationState.APPLIED, None, known), True
    return _against_history(connection, known, newest, content, revision), False


def _against_history(connection: sa.Connection, order_id: int, newest: int, content: Content, revision: int) -> Outcome:
    """A revision that is not above the newest known one changes nothing; it may still contradict what is known."""
    kept = connection.execute(
        sa.select(col(tables.OrderRevision.content_sha256))
        .where(col(tables.OrderRevision.order_id) == order_id)
        .where(col(tables.OrderRevision.revision) == revision)
    ).scalar()
    if kept is not None and kept != content.sha256:
        return Outcome(NotificationState.REVIEW, f"revision {revision} is known with other content", order_id)
    if revision < newest:
        return Outcome(NotificationState.SUPERSEDED, f"revision {newest} is known", order_id)
    return Outcome(NotificationState.DUPLICATE, "known already", order_id)
