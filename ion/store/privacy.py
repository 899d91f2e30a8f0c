"""Privacy: raw mail removed when its days are over, and erasure of what belongs to a merchant, a customer or an order.

    read | ignored -> purged          (`purge_raw`: nothing of the message waits for a person, and its days are over)
    any            -> purged          (erasure; of a customer or an order only what has been read)

Ids, hashes, states, sizes and counts stay, so the books still add up. An erased order keeps its row and its number,
without content; what comes for it again is held until a person decides. An erasure runs in batches, each a transaction,
from the mails to the orders: what is cut off is found again by the same search, because the search reads content.

SQLite overwrites what is removed (`secure_delete`, see the engine); `empty_log` empties the write-ahead log, which has
older pages. PostgreSQL keeps old rows until its own vacuum.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import col

from ion.store import tables
from ion.store.batches import batch_mark, erase_batches
from ion.store.engine import insert_new
from ion.store.mentions import Mention
from ion.store.merchants import lock_merchant
from ion.store.order_search import OrderSearch
from ion.store.plain_sql import PlainSql
from ion.store.published import chunks
from ion.store.types import DeliveryState, ErasureKind, MessageState, NotificationState, OutgoingState, utc_now

# One transaction of a purge: short enough that mail that comes in meanwhile does not wait long for the write lock.
BATCH_MESSAGES = 100
BATCH_OCTETS = 32 * 2**20
ERASED = "erased"
"""Why a notification is held that came for an erased order."""

_UNREAD = (MessageState.RECEIVED.value, MessageState.CLAIMED.value, MessageState.RETRY.value)
_TO_DECIDE = (NotificationState.HELD.value, NotificationState.REVIEW.value)

OrderKey = tuple[str, str, str]
"""Merchant, platform, order number."""


@dataclass(frozen=True)
class Subject:
    """Whose data is meant. `merchant` None: of every merchant. Exactly one of `email` and `order_number` is given for
    the kinds `customer` and `order`, none for `merchant`."""

    kind: ErasureKind
    merchant: str | None
    email: str | None = None
    order_number: str | None = None


@dataclass(frozen=True)
class ErasurePlan:
    """What an erasure would remove: row ids, and the order numbers that count as erased from then on. `unread`: mails
    that name the subject and are not read yet, which stay; `files`: published files that would be replaced. `told`:
    what was taken in to be told of, also where nobody was."""

    subject: Subject
    orders: tuple[int, ...]
    order_keys: tuple[OrderKey, ...]
    notifications: tuple[int, ...]
    messages: tuple[int, ...]
    outgoing: tuple[int, ...]
    unread: int
    files: int
    told: tuple[int, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many rows of each kind, for people and for the record."""
        return {
            "orders": len(self.orders),
            "notifications": len(self.notifications),
            "messages": len(self.messages),
            "outgoing": len(self.outgoing),
            "files": self.files,
            "unread": self.unread,
        }


@dataclass(frozen=True)
class Erasure:
    """The record of an erasure. `subject_digest`: keyed digest of the customer's address, else None."""

    id: int
    kind: str
    merchant: str | None
    subject_digest: str | None
    begun_at: datetime
    finished_at: datetime | None
    counts: dict[str, int]


@dataclass(frozen=True)
class KeptRaw:
    """Messages whose raw octets are kept: how many, their octets, when the oldest of them came (aware; None: there is
    none), and how many messages have something that waits for a person, which are kept until it is decided."""

    messages: int
    size_bytes: int
    oldest_at: datetime | None
    waiting: int


class Privacy(OrderSearch):
    """Each method is one transaction of its own, unless it says otherwise, and raises StoreError where the database
    refuses."""

    def purge_raw(self, before: datetime) -> int:
        """Remove the raw octets of one batch of messages that were read or ignored before that instant (aware) and of
        which no notification was judged since or waits for a person; how many. 0: there are no more."""
        message = tables.Message
        query = (
            sa.select(col(message.id), col(message.state), col(message.size_bytes))
            .where(*_is_over(before))
            .order_by(col(message.id))
            .limit(BATCH_MESSAGES)
        )
        with self.reading() as connection:  # an idle round must not ask for the write lock
            if connection.execute(query.limit(1)).first() is None:
                return 0
        with self.writing() as connection:
            octets = number = 0
            for message_id, state, size_bytes in connection.execute(query).all():
                if number and octets + size_bytes > BATCH_OCTETS:
                    break
                # The condition once more: on PostgreSQL a mail may have been taken up again since it was found.
                number += _purge(connection, message_id, state, None, *_is_over(before))
                octets += size_bytes
            return number

    def kept_raw(self, merchant: str) -> KeptRaw:
        """What is kept of the merchant's mail as it came."""
        message, notification = tables.Message, tables.Notification
        kept = (col(message.merchant) == merchant, col(message.state) != MessageState.PURGED.value)
        counted = sa.select(
            sa.func.count(), sa.func.coalesce(sa.func.sum(col(message.size_bytes)), 0), sa.func.min(message.received_at)
        ).where(*kept)
        waiting = sa.select(sa.func.count(sa.distinct(col(notification.message_id)))).where(
            col(notification.merchant) == merchant,
            col(notification.state).in_(_TO_DECIDE),
            col(notification.erased_at).is_(None),
        )
        with self.reading() as connection:
            number, octets, oldest_at = connection.execute(counted).one()
            return KeptRaw(number, int(octets), oldest_at, connection.execute(waiting).scalar_one())

    def empty_log(self) -> bool:
        """SQLite: bring the write-ahead log into the database file and cut it to nothing, so that no older page stays
        in it. False where a reader was in the way; ask again later. Elsewhere there is nothing to do."""
        if not self._is_sqlite:
            return True
        connection = self._engine.raw_connection()
        cursor = connection.cursor()
        ((usual_milliseconds,),) = cursor.execute("PRAGMA busy_timeout").fetchall()
        try:
            # Not as long as a transaction would wait: whoever asks may be about to stop, and it can be done later.
            cursor.execute("PRAGMA busy_timeout=1000")
            return bool(cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        except self._engine.dialect.dbapi.OperationalError:  # type: ignore[union-attr]  # a connected engine has one
            return False
        finally:
            cursor.execute(f"PRAGMA busy_timeout={usual_milliseconds}")
            connection.close()

    def plan_erasure(self, subject: Subject) -> ErasurePlan:
        """Find everything that belongs to the subject. Changes nothing. Reads every order and, for a customer, every
        mail that is still kept: seconds to minutes on a large store, in constant memory besides the ids found.

        A customer's order is one that has the address as the customer's, in any revision. A mail that only names the
        address somewhere loses its raw octets; the orders in it that are not the customer's stay.
        """
        with self.reading() as connection:
            return _plan(connection, subject)

    def erase(self, plan: ErasurePlan, subject_digest: str | None) -> Erasure:
        """Remove what the plan names and record it; several transactions, safe to be cut off and run again.

        What was read, or taken up again, between plan and erasure is not touched: plan again to find it. Published
        files are replaced by whoever asks `files_to_replace`.
        """
        begun_at, whole_merchant = utc_now(), plan.subject.kind is ErasureKind.MERCHANT
        erasure_id = self._begin_erasure(plan, subject_digest, begun_at)
        at = 0
        while at < len(plan.messages):
            octets = 0
            with self.writing() as connection:
                for message_id in plan.messages[at : at + BATCH_MESSAGES]:
                    octets += _erase_message(connection, message_id, erasure_id, whole_merchant=whole_merchant)
                    at += 1
                    if octets > BATCH_OCTETS:
                        break
        for ids in chunks(plan.outgoing):
            with self.writing() as connection:
                _erase_outgoing(connection, ids)
        for ids in chunks(plan.told):
            with self.writing() as connection:
                told = tables.OutgoingOrder
                connection.execute(sa.update(told).where(col(told.id).in_(ids)).values(content_json=None))
        for ids in chunks(plan.notifications):
            with self.writing() as connection:
                connection.execute(
                    sa.update(tables.Notification)
                    .where(col(tables.Notification.id).in_(ids))
                    .values(
                        order_json=None,
                        partial_json=None,
                        problems_json="[]",
                        evidence_json=None,
                        decision_note=None,
                        erased_at=utc_now(),
                    )
                )
                _erase_what_was_typed(connection, ids)
        for ids in chunks(plan.orders):
            with self.writing() as connection:
                _erase_orders(connection, ids)
        self.forget_words()
        counts, finished_at = plan.counts(), utc_now()
        with self.writing() as connection:
            if whole_merchant:
                _erase_merchant(connection, plan.subject.merchant)
            # One of the same subject that was cut off is finished by this one.
            connection.execute(
                sa.update(tables.Erasure)
                .where(col(tables.Erasure.kind) == plan.subject.kind.value)
                .where(col(tables.Erasure.merchant).is_not_distinct_from(plan.subject.merchant))
                .where(col(tables.Erasure.subject_digest).is_not_distinct_from(subject_digest))
                .where(col(tables.Erasure.finished_at).is_(None))
                .values(finished_at=finished_at)
            )
        kind, merchant = plan.subject.kind.value, plan.subject.merchant
        return Erasure(erasure_id, kind, merchant, subject_digest, begun_at, finished_at, counts)

    def erasures(self, subject_digest: str | None = None) -> tuple[Erasure, ...]:
        """The records, oldest first; with a digest only those of that address."""
        table = tables.Erasure
        query: sa.Select[*tuple[Any, ...]] = sa.select(
            col(table.id), col(table.kind), col(table.merchant), col(table.subject_digest), col(table.begun_at),
            col(table.finished_at), col(table.counts_json).label("counts"),
        ).order_by(col(table.id))  # fmt: skip
        if subject_digest is not None:
            query = query.where(col(table.subject_digest) == subject_digest)
        with self.reading() as connection:
            rows: Any = connection.execute(query).all()
        return tuple(Erasure(**dict(row._mapping) | {"counts": json.loads(row.counts)}) for row in rows)

    def has_sealed_or_sent(self) -> bool:
        """True if a mail was queued here, or a seal was verified: then there was a secret, or imported keys."""
        sealed = sa.select(col(tables.Notification.id)).where(col(tables.Notification.grade) == "sealed").limit(1)
        with self.reading() as connection:
            return (
                connection.execute(sa.select(col(tables.Outgoing.id)).limit(1)).first() is not None
                or connection.execute(sealed).first() is not None
            )

    def _begin_erasure(self, plan: ErasurePlan, subject_digest: str | None, begun_at: datetime) -> int:
        """The record and the order numbers come first: what arrives from now on is held. Several transactions."""
        row = {
            "kind": plan.subject.kind.value,
            "merchant": plan.subject.merchant,
            "subject_digest": subject_digest,
            "begun_at": begun_at,
            "finished_at": None,
            "counts_json": json.dumps(plan.counts()),
        }
        with self.writing() as connection:
            erasure_id = connection.execute(
                sa.insert(tables.Erasure).returning(col(tables.Erasure.id)), row
            ).scalar_one()
            assert erasure_id is not None
        for start in range(0, len(plan.order_keys), BATCH_MESSAGES):
            keys = plan.order_keys[start : start + BATCH_MESSAGES]
            with self.writing() as connection:
                for merchant in sorted({merchant for merchant, _, _ in keys}):
                    lock_merchant(connection, merchant)  # nobody is applying one of them meanwhile
                for merchant, platform, order_number in keys:
                    key = {"merchant": merchant, "platform": platform, "order_number": order_number}
                    insert_new(connection, tables.ErasedOrder, "order_number", **key, erasure_id=erasure_id)
        return erasure_id


def is_erased(connection: sa.Connection, merchant: str, platform: str, order_number: str) -> bool:
    """True if this order number was erased here."""
    erased = "SELECT 1 FROM erased_order WHERE merchant = ? AND platform = ? AND order_number = ?"
    return bool(PlainSql(connection).rows(erased, merchant, platform, order_number))


def lift_erasure(connection: sa.Connection, merchant: str, platform: str, order_number: str) -> None:
    """A person takes the order back in: its number counts as erased no longer. The caller writes its content."""
    table = tables.ErasedOrder
    connection.execute(
        sa.delete(table)
        .where(col(table.merchant) == merchant)
        .where(col(table.platform) == platform)
        .where(col(table.order_number) == order_number)
    )


def _is_over(before: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    message, notification = tables.Message, tables.Notification
    waits = (
        sa.exists()
        .where(col(notification.message_id) == col(message.id))
        .where(
            sa.or_(
                sa.func.coalesce(col(notification.decided_at), col(notification.judged_at)) >= before,
                sa.and_(col(notification.state).in_(_TO_DECIDE), col(notification.erased_at).is_(None)),
            )
        )
    )
    return (
        col(message.state).in_([MessageState.READ.value, MessageState.IGNORED.value]),
        col(message.state_at) < before,
        ~waits,
    )


def _purge(
    connection: sa.Connection,
    message_id: int | None,
    state: str,
    erasure_id: int | None,
    *conditions: sa.ColumnElement[bool],
) -> int:
    """Remove the raw octets of one message in `state`, if the conditions hold; 1, or 0 where they do not.

    `state_at` stays: it tells when the message was read. The purge has an instant of its own.
    """
    message = tables.Message
    purged = connection.execute(
        sa.update(message)
        .where(col(message.id) == message_id, col(message.state) == state, *conditions)
        .values(state=MessageState.PURGED.value, claim_token=None, due_at=None)
    ).rowcount
    if purged:
        connection.execute(sa.delete(tables.MessageRaw).where(col(tables.MessageRaw.message_id) == message_id))
        row = {"message_id": message_id, "state_before": state, "purged_at": utc_now(), "erasure_id": erasure_id}
        connection.execute(sa.insert(tables.MessagePurge), row)
    return purged


def _plan(connection: sa.Connection, subject: Subject) -> ErasurePlan:
    mention = None if subject.email is None else Mention(subject.email)
    orders: dict[int, OrderKey] = {}
    for row in _streamed(connection, _orders_of(subject)):
        if mention is None or mention.in_order(row.content_json):
            orders[row.id] = (row.merchant, row.platform, row.order_number)
    order_keys = set(orders.values())
    order_numbers = {(merchant, number) for merchant, _, number in order_keys}
    notifications, messages, further_keys = set[int](), set[int](), set[OrderKey]()
    for row in _streamed(connection, _notifications_of(subject)):
        key = (row.merchant, row.platform, row.order_number)
        # Whoever's address it shows: what is said of an erased order goes with it. Where nobody could read so far as
        # the platform, it may be any platform's.
        of_the_order = key in order_keys if row.platform else (row.merchant, row.order_number) in order_numbers
        of_the_order = of_the_order or row.order_id in orders  # joined to it, under whatever number
        if of_the_order or mention is None or _shows(mention, row):
            notifications.add(row.id)
            messages.add(row.message_id)
            further_keys.add(key)
    for row in _streamed(connection, _corrections_of(subject)):
        key = (row.merchant, row.platform, row.order_number)
        typed = mention is not None and (mention.in_order(row.order_json) or mention.in_text(row.changes_json))
        if mention is None or key in order_keys or typed:
            notifications.add(row.id)
            messages.add(row.message_id)
            further_keys.add(key)
    told: set[int] = set()
    for row in _streamed(connection, _told_of(subject)):
        key = (row.merchant, row.platform, row.order_number)
        if mention is None or key in order_keys or mention.in_order(row.content_json):
            told.add(row.id)
            further_keys.add(key)
    outgoing: set[int] = set()
    for row in _streamed(connection, _outgoing_of(subject), rows_at_once=1):
        key = (row.merchant, row.platform, row.order_number)
        if mention is None or key in order_keys or mention.in_octets(row.raw):
            outgoing.add(row.id)
            if row.order_number is not None:  # else a digest, whose mails are rows of their own
                further_keys.add(key)
    if mention is not None:
        messages |= {row.id for row in _streamed(connection, _raw_of(subject), 1) if mention.in_octets(row.raw)}
        messages |= {row.id for row in _streamed(connection, _senders_of(subject)) if mention.in_text(row.mail_from)}
        # They outlive the raw mail that they were found in.
        messages |= {row.id for row in _streamed(connection, _confirmations_of(subject)) if _is_named(mention, row)}
        notifications |= _without_order(connection, messages)
    elif subject.kind is ErasureKind.MERCHANT:
        messages |= {row.id for row in _streamed(connection, _messages_of(subject))}
    unread = set[int]() if subject.kind is ErasureKind.MERCHANT else _unread_of(connection, messages)
    return ErasurePlan(
        subject=subject,
        orders=tuple(sorted(orders)),
        order_keys=tuple(sorted(order_keys | {key for key in further_keys if _is_free(connection, key)})),
        notifications=tuple(sorted(notifications)),
        messages=tuple(sorted(messages - unread)),
        outgoing=tuple(sorted(outgoing)),
        unread=len(unread),
        files=_files_with(connection, orders),
        told=tuple(sorted(told)),
    )


def _streamed(
    connection: sa.Connection, query: "sa.Select[*tuple[Any, ...]]", rows_at_once: int = 200
) -> Iterator[Any]:
    yield from connection.execution_options(stream_results=True, yield_per=rows_at_once).execute(query)


def _orders_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    """Each revision of the orders that may be the subject's and are not erased yet."""
    order, revision = tables.OrderRow, tables.OrderRevision
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            col(order.id), col(order.merchant), col(order.platform), col(order.order_number), col(revision.content_json)
        )
        .join_from(order, revision, col(revision.order_id) == col(order.id))
        .where(col(order.erased_at).is_(None))
    )
    return _within(query, order, subject)


def _notifications_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    found, order = tables.Notification, tables.OrderRow
    query: sa.Select[*tuple[Any, ...]] = sa.select(
        col(found.id), col(found.message_id), col(found.merchant), col(found.platform), col(found.order_number),
        col(found.order_json), col(found.partial_json), col(found.order_id),
    ).where(col(found.erased_at).is_(None))  # fmt: skip
    if subject.order_number is not None:
        of_order = sa.select(col(order.id)).where(col(order.order_number) == subject.order_number)
        query = query.where(sa.or_(col(found.order_number) == subject.order_number, col(found.order_id).in_(of_order)))
    return query if subject.merchant is None else query.where(col(found.merchant) == subject.merchant)


def _corrections_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    """What was typed, with the notification that it is of, which may tell of another number."""
    found, typed = tables.Notification, tables.Correction
    is_its = (col(found.message_id) == col(typed.message_id), col(found.position) == col(typed.position))
    columns = (
        col(found.id), col(found.message_id), col(found.merchant), col(typed.platform), col(typed.order_number),
        col(typed.order_json), col(typed.changes_json),
    )  # fmt: skip
    query: sa.Select[*tuple[Any, ...]] = sa.select(*columns).join_from(typed, found, sa.and_(*is_its))
    query = query.where(col(found.erased_at).is_(None), col(typed.order_json).is_not(None))
    if subject.order_number is not None:
        query = query.where(col(typed.order_number) == subject.order_number)
    return query if subject.merchant is None else query.where(col(found.merchant) == subject.merchant)


def _shows(mention: Mention, row: Any) -> bool:
    """Whether the order of a notification, or what could be read of it, has the address as the customer's."""
    if row.order_json is not None:
        return mention.in_order(row.order_json)
    return row.partial_json is not None and mention.in_text(row.partial_json)


def _outgoing_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    mail, kept, order = tables.Outgoing, tables.OutgoingRaw, tables.OutgoingOrder
    carrier = sa.orm.aliased(tables.Outgoing)
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(col(mail.id), col(mail.merchant), col(order.platform), col(order.order_number), col(kept.raw))
        .select_from(mail)
        .join(kept, col(kept.outgoing_id) == col(mail.id))
        .outerjoin(order, col(order.id) == col(mail.order_id))
        .where(col(mail.erased_at).is_(None))
    )
    if subject.merchant is not None:
        query = query.where(col(mail.merchant) == subject.merchant)
    if subject.order_number is not None:
        # A digest that carries one of the order's mails goes too.
        carried = sa.select(col(carrier.digest_id)).where(
            col(carrier.order_id).in_(sa.select(col(order.id)).where(col(order.order_number) == subject.order_number)),
            col(carrier.digest_id).is_not(None),
        )
        query = query.where(sa.or_(col(order.order_number) == subject.order_number, col(mail.id).in_(carried)))
    return query


def _told_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    """What was taken in to be told of and has its content yet. Not all of it has a mail."""
    order = tables.OutgoingOrder
    query: sa.Select[*tuple[Any, ...]] = sa.select(
        col(order.id), col(order.merchant), col(order.platform), col(order.order_number), col(order.content_json)
    ).where(col(order.content_json).is_not(None))
    return _within(query, order, subject)


def _within(query: "sa.Select[*tuple[Any, ...]]", table: Any, subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    if subject.merchant is not None:
        query = query.where(table.merchant == subject.merchant)
    if subject.order_number is not None:
        query = query.where(table.order_number == subject.order_number)
    return query


def _raw_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    message, kept = tables.Message, tables.MessageRaw
    query: sa.Select[*tuple[Any, ...]] = sa.select(col(message.id), col(kept.raw)).join(
        kept, col(kept.message_id) == col(message.id)
    )
    return query if subject.merchant is None else query.where(col(message.merchant) == subject.merchant)


def _senders_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    message = tables.Message
    query: sa.Select[*tuple[Any, ...]] = sa.select(col(message.id), col(message.mail_from))
    query = query.where(col(message.mail_from).is_not(None))
    return query if subject.merchant is None else query.where(col(message.merchant) == subject.merchant)


def _confirmations_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    found = tables.ForwardingConfirmation
    query: sa.Select[*tuple[Any, ...]] = sa.select(
        col(found.message_id).label("id"), col(found.asked_by), col(found.asked_for), col(found.link)
    )
    return query if subject.merchant is None else query.where(col(found.merchant) == subject.merchant)


def _is_named(mention: Mention, confirmation: Any) -> bool:
    told = (confirmation.asked_by, confirmation.asked_for, unquote(confirmation.link or ""))
    return any(mention.in_text(text) for text in told if text)


def _messages_of(subject: Subject) -> "sa.Select[*tuple[Any, ...]]":
    """The messages of a merchant that no erasure has been over yet."""
    message, purge = tables.Message, tables.MessagePurge
    done = sa.exists().where(col(purge.message_id) == col(message.id)).where(col(purge.erasure_id).is_not(None))
    return sa.select(col(message.id)).where(col(message.merchant) == subject.merchant, ~done)


def _without_order(connection: sa.Connection, message_ids: set[int]) -> set[int]:
    """The notifications of these messages that hold no order, only problems, which may quote anybody."""
    table, found = tables.Notification, set[int]()
    for ids in chunks(message_ids):
        query = sa.select(col(table.id)).where(col(table.message_id).in_(ids))
        rows = connection.execute(query.where(col(table.order_json).is_(None), col(table.erased_at).is_(None)))
        found |= {one for one in rows.scalars() if one is not None}
    return found


def _unread_of(connection: sa.Connection, message_ids: set[int]) -> set[int]:
    """Those of the messages that still have to be read: another customer's order may be in them."""
    message, found = tables.Message, set[int]()
    for ids in chunks(message_ids):
        rows = connection.execute(
            sa.select(col(message.id)).where(col(message.id).in_(ids), col(message.state).in_(_UNREAD))
        )
        found |= {one for one in rows.scalars() if one is not None}
    return found


def _is_free(connection: sa.Connection, key: OrderKey) -> bool:
    """True if no order stands under this key: one that does is erased as an order, or is another customer's."""
    merchant, platform, order_number = key
    if not platform or not order_number:
        return False
    order = tables.OrderRow
    found = connection.execute(
        sa.select(col(order.id))
        .where(col(order.merchant) == merchant)
        .where(col(order.platform) == platform)
        .where(col(order.order_number) == order_number)
    )
    return found.first() is None


def _files_with(connection: sa.Connection, order_ids: Iterable[int]) -> int:
    """How many published files hold one of the orders and are not replaced yet."""
    file, member = tables.PublishedFile, tables.PublishedOrder
    found: set[int] = set()
    for ids in chunks(order_ids):
        query = sa.select(col(member.file_id)).join_from(member, file, col(file.id) == col(member.file_id)).distinct()
        found |= set(
            connection.execute(query.where(col(member.order_id).in_(ids), col(file.replaced_at).is_(None))).scalars()
        )
    return len(found)


def _erase_message(connection: sa.Connection, message_id: int, erasure_id: int, *, whole_merchant: bool) -> int:
    """Remove the raw octets of a message and who sent it; how many octets. One that is to be read again stays."""
    message, purge = tables.Message, tables.MessagePurge
    state, size_bytes = connection.execute(
        sa.select(col(message.state), col(message.size_bytes)).where(col(message.id) == message_id)
    ).one()
    if state in _UNREAD and not whole_merchant:
        return 0
    if state == MessageState.PURGED:
        connection.execute(sa.update(purge).where(col(purge.message_id) == message_id).values(erasure_id=erasure_id))
    elif not _purge(connection, message_id, state, erasure_id):
        return 0
    asked = tables.ForwardingConfirmation
    connection.execute(sa.delete(asked).where(col(asked.message_id) == message_id))
    said = tables.Bounce
    connection.execute(sa.update(said).where(col(said.message_id) == message_id).values(diagnostic=None))
    values: dict[str, Any] = {"mail_from": None, "last_error": None}
    if whole_merchant:
        values["rcpt_to"] = f"{ERASED}-{message_id}"  # part of a key: each has one of its own
    connection.execute(sa.update(message).where(col(message.id) == message_id).values(**values))
    return size_bytes


def _erase_outgoing(connection: sa.Connection, ids: list[int]) -> None:
    """The octets, the content, the envelope, and what the relay and bounces said. What still waited is not sent any
    more."""
    mail, order = tables.Outgoing, tables.OutgoingOrder
    waiting = col(mail.state).in_([OutgoingState.QUEUED.value, OutgoingState.RETRY.value, OutgoingState.GATHERED.value])
    orders = sa.select(col(mail.order_id)).where(col(mail.id).in_(ids))
    # What a digest carried of others, and has not brought them yet, waits for the next one.
    unsent = sa.select(col(mail.id)).where(col(mail.id).in_(ids), waiting)
    connection.execute(
        sa.update(mail)
        .where(col(mail.digest_id).in_(unsent), col(mail.id).not_in(ids))
        .where(col(mail.state) == OutgoingState.DIGESTED.value, col(mail.erased_at).is_(None))
        .values(state=OutgoingState.GATHERED.value, digest_id=None, state_at=utc_now())
    )
    connection.execute(sa.update(order).where(col(order.id).in_(orders)).values(content_json=None))
    connection.execute(sa.update(tables.Bounce).where(col(tables.Bounce.outgoing_id).in_(ids)).values(diagnostic=None))
    connection.execute(sa.delete(tables.Alert).where(col(tables.Alert.outgoing_id).in_(ids)))
    connection.execute(sa.delete(tables.OutgoingRaw).where(col(tables.OutgoingRaw.outgoing_id).in_(ids)))
    connection.execute(
        sa.update(mail)
        .where(col(mail.id).in_(ids))
        .values(
            mail_from="",
            # Part of a key: each has one of its own.
            address=sa.literal(f"{ERASED}-") + sa.cast(col(mail.id), sa.String),
            return_token=None,
            last_reply=None,
            state=sa.case((waiting, OutgoingState.FAILED.value), else_=col(mail.state)),
            next_attempt_at=None,
            claim_token=None,
            claimed_until=None,
            erased_at=utc_now(),
        )
    )


def _erase_what_was_typed(connection: sa.Connection, notification_ids: list[int]) -> None:
    """What people typed and noted about notifications; that they did, who and when, stays."""
    found = tables.Notification
    for table, values in (
        (tables.Correction, {"changes_json": "[]", "order_json": None, "note": None}),
        (tables.NotificationEvent, {"note": None}),
    ):
        is_its = (
            sa.exists()
            .where(col(found.id).in_(notification_ids))
            .where(col(found.message_id) == col(table.message_id), col(found.position) == col(table.position))
        )
        connection.execute(sa.update(table).where(is_its).values(**values))


def _erase_orders(connection: sa.Connection, ids: list[int]) -> None:
    order, line, revision = tables.OrderRow, tables.OrderLine, tables.OrderRevision
    merchants = connection.execute(sa.select(col(order.merchant)).where(col(order.id).in_(ids)).distinct()).scalars()
    for merchant in sorted(merchants):
        lock_merchant(
            connection, merchant
        )  # whoever is applying a revision ends first, and what it wrote is erased too
    holding = sa.select(col(tables.BatchOrder.batch_id)).where(col(tables.BatchOrder.order_id).in_(ids)).distinct()
    batches = connection.execute(holding).scalars().all()
    erase_batches(connection, ids)
    for batch_id in batches:  # after its octets: who queues a mail with them meanwhile waits, and is told
        mail = tables.Outgoing
        bringing = col(mail.message_id).startswith(f"<ion.{batch_mark(batch_id)}.", autoescape=True)
        brought = connection.execute(sa.select(col(mail.id)).where(col(mail.kind) == "report", bringing)).scalars()
        _erase_outgoing(connection, [outgoing_id for outgoing_id in brought if outgoing_id is not None])
    event = tables.OrderEvent
    connection.execute(sa.update(event).where(col(event.order_id).in_(ids)).values(shop_order_number=None))
    connection.execute(sa.delete(line).where(col(line.order_id).in_(ids)))
    connection.execute(sa.delete(tables.OrderRows).where(col(tables.OrderRows.order_id).in_(ids)))
    connection.execute(sa.delete(tables.OrderWords).where(col(tables.OrderWords.order_id).in_(ids)))
    connection.execute(sa.update(revision).where(col(revision.order_id).in_(ids)).values(content_json=""))
    connection.execute(
        sa.update(order)
        .where(col(order.id).in_(ids))
        .values(
            merchant_order_number=None,
            shop_order_number=None,
            content_json="",
            destination_country=None,
            customer_name=None,
            customer_email=None,
            total_text=None,
            total_currency=None,
            total_minor=None,
            erased_at=utc_now(),
        )
    )


def _erase_merchant(connection: sa.Connection, name: str | None) -> None:
    """The merchant's own addresses, so that no more mail is taken for it, and the ids that payloads name it by; where
    its files go, and who may fetch them, or see it on the page."""
    _erase_targets(connection, name)
    connection.execute(sa.delete(tables.StaffRole).where(col(tables.StaffRole.merchant) == name))
    token = tables.PullToken
    good = (col(token.merchant) == name, col(token.revoked_at).is_(None))
    connection.execute(sa.update(token).where(*good).values(revoked_at=utc_now()))
    connection.execute(sa.delete(tables.MerchantAddress).where(col(tables.MerchantAddress.merchant) == name))
    connection.execute(sa.delete(tables.MerchantPayloadId).where(col(tables.MerchantPayloadId.merchant) == name))
    told, event = tables.Subscription, tables.SubscriptionEvent
    subscriptions = sa.select(col(told.id)).where(col(told.merchant) == name)
    connection.execute(sa.delete(event).where(col(event.subscription_id).in_(subscriptions)))
    connection.execute(sa.delete(told).where(col(told.merchant) == name))
    connection.execute(sa.delete(tables.Alert).where(col(tables.Alert.merchant) == name))
    item = tables.CatalogueItem
    connection.execute(sa.delete(item).where(col(item.merchant) == name))
    own = {"sender": None, "reply_to": None, "relay": None}
    connection.execute(sa.update(tables.Merchant).where(col(tables.Merchant.name) == name).values(**own))


def _erase_targets(connection: sa.Connection, name: str | None) -> None:
    """Files of the merchant go nowhere any more; the addresses, which may be a person's, are forgotten."""
    target, delivery = tables.DeliveryTarget, tables.Delivery
    of_merchant = col(delivery.target_id).in_(sa.select(col(target.id)).where(col(target.merchant) == name))
    connection.execute(
        sa.update(delivery)
        .where(of_merchant, col(delivery.next_attempt_at).is_not(None))
        .values(state=DeliveryState.FAILED.value, state_at=utc_now(), next_attempt_at=None, claim_token=None)
    )
    connection.execute(sa.update(delivery).where(of_merchant).values(detail=None))  # it may name an address
    erased = sa.literal("erased:").concat(sa.cast(col(target.id), sa.String))
    connection.execute(sa.update(target).where(col(target.merchant) == name).values(active=False, address=erased))
