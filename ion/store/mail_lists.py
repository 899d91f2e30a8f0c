"""Lists of mail for the staff page, page by page: what waits for a person, and all that came."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.entries import orders_of_number
from ion.store.notification_events import WAITING
from ion.store.privacy import ERASED
from ion.store.types import MessageState, NotificationState

Which = Literal["waiting", "decided", "all"]
UNREAD = "unread"
REASONS = ("no_seal", "other_key", "erased", "lost_seal", "other_content", "doubt", UNREAD)
"""Why mail waits: it has no seal; is sealed with a key that is not known here; tells of an order that was erased; has
lost its seal, where this merchant's mail has one; contradicts what is known, or is of an unknown kind; does not
agree with itself or cannot be read whole; cannot be read at all."""

_OTHER_KEY, _NO_SEAL = "sealed for another", "no seal"  # how the sentences of `judgements` and `trust` begin
_MOST_ID = 2**31 - 1  # PostgreSQL keeps ids in 32 bits


@dataclass(frozen=True)
class ListedNotification:
    """A notification in a list. `state`, `grade`, `reason`: as `ShownNotification` has them; `order_id`: of the order
    that it belongs to, None where it belongs to none."""

    id: int
    state: str
    grade: str
    reason: str | None
    order_number: str | None
    decision: str | None
    order_id: int | None


@dataclass(frozen=True)
class ListedMail:
    """A message in a list, with its notifications by position. `received_at` is aware; `mail_from`: the envelope's
    sender, None where the door knows none."""

    id: int
    received_at: datetime
    door: str
    state: str
    mail_from: str | None
    notifications: tuple[ListedNotification, ...]

    @property
    def is_waiting(self) -> bool:
        return self.state == MessageState.QUARANTINED or any(one.state in WAITING for one in self.notifications)


class MailLists(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def mail_page(
        self,
        merchant: str,
        which: Which,
        *,
        number: str | None = None,
        why: str | None = None,
        beyond: int | None = None,
        limit: int = 50,
    ) -> tuple[ListedMail, ...]:
        """Up to `limit` messages of a merchant: those that wait oldest first, all others newest first.

        `waiting`: that could not be read, or hold a notification that waits; `decided`: of which a person decided;
        `number`: only the one of this id, and those with a notification of the order of this number (as the mail
        writes it, or the merchant); `why`: only those that wait for this one of `REASONS`; `beyond`: only those behind
        the one of this id, in the order of the list.
        """
        message = tables.Message
        listed: dict[Which, Any] = {"waiting": _waiting(merchant, why), "decided": _decided(merchant)}
        ids = listed.get(which, sa.select(col(message.id).label("id")).where(col(message.merchant) == merchant))
        oldest_first = which == "waiting"
        # First the ids, because a database that looks at messages in their order looks at them all.
        (each,) = ids.subquery().c
        query = sa.select(each).order_by(each if oldest_first else each.desc()).limit(limit)
        if beyond is not None:
            query = query.where(each > beyond if oldest_first else each < beyond)
        with self.reading() as connection:
            if number is not None:
                query = query.where(each.in_(_told_by(connection, merchant, number)))
            rows = connection.execute(
                sa.select(
                    col(message.id), col(message.received_at), col(message.door), col(message.state),
                    col(message.mail_from),
                )
                .where(col(message.id).in_(connection.execute(query).scalars().all()))
                .order_by(col(message.id) if oldest_first else col(message.id).desc())
            ).all()  # fmt: skip
            found = _notifications(connection, [row.id for row in rows])
        return tuple(
            ListedMail(row.id, row.received_at, row.door, row.state, row.mail_from, found.get(row.id, ()))
            for row in rows
        )

    def count_waiting_mail(self, merchant: str) -> int:
        """How many messages wait for a person."""
        query = sa.select(sa.func.count()).select_from(_waiting(merchant).subquery())
        with self.reading() as connection:
            return connection.execute(query).scalar_one()

    def count_waiting_by_reason(self, merchant: str) -> dict[str, int]:
        """The like by each of `REASONS` that there is, in their order. A message may wait for more than one."""
        message_id = col(tables.Notification.message_id)
        each = sa.select(_WHY.label("why"), message_id.label("id")).where(*_held(merchant)).distinct().subquery()
        held = sa.select(each.c.why, sa.func.count()).group_by(each.c.why)
        unread = sa.select(sa.func.count()).select_from(_unread(merchant).subquery())
        with self.reading() as connection:
            counts = {row[0]: row[1] for row in connection.execute(held)}
            counts[UNREAD] = connection.execute(unread).scalar_one()
        return {why: counts[why] for why in REASONS if counts.get(why)}

    def waiting_beside(self, merchant: str, message_id: int) -> tuple[int | None, int | None]:
        """The ids of the messages that wait before and after one, in the order in which they came."""
        ids = _waiting(merchant).subquery()
        before = sa.select(sa.func.max(ids.c.id)).where(ids.c.id < message_id)
        after = sa.select(sa.func.min(ids.c.id)).where(ids.c.id > message_id)
        with self.reading() as connection:
            return connection.execute(before).scalar(), connection.execute(after).scalar()

    def message_octets(self, merchant: str, message_id: int) -> bytes | None:
        """The octets of a message of this merchant; None where there is none, or they are not kept any more."""
        message, kept = tables.Message, tables.MessageRaw
        query = (
            sa.select(col(kept.raw))
            .join(message, col(message.id) == col(kept.message_id))
            .where(col(message.id) == message_id, col(message.merchant) == merchant)
        )
        with self.reading() as connection:
            raw: bytes | None = connection.execute(query).scalar()
        return raw

    def purged_at(self, message_id: int) -> datetime | None:
        """When the octets of a message were removed; None where they were not."""
        table = tables.MessagePurge
        with self.reading() as connection:
            at: datetime | None = connection.execute(
                sa.select(col(table.purged_at)).where(col(table.message_id) == message_id)
            ).scalar()
        return at


def why_waits(state: str, grade: str, reason: str | None) -> str:
    """Why a notification waits: one of `REASONS`."""
    said = reason or ""
    if state == NotificationState.HELD:
        if said == ERASED:
            return "erased"
        return "other_key" if said.startswith(_OTHER_KEY) else "no_seal"
    if grade == "consistent":
        return "lost_seal" if said.startswith(_NO_SEAL) else "other_content"
    return "other_content" if grade == "sealed" else "doubt"


def _case() -> Any:
    """The same in SQL."""
    table = tables.Notification
    is_held, reason = col(table.state) == NotificationState.HELD.value, col(table.reason)
    is_consistent = col(table.grade) == "consistent"
    return sa.case(
        (is_held & (reason == ERASED), "erased"),
        (is_held & reason.startswith(_OTHER_KEY), "other_key"),
        (is_held, "no_seal"),
        (is_consistent & reason.startswith(_NO_SEAL), "lost_seal"),
        (is_consistent | (col(table.grade) == "sealed"), "other_content"),
        else_="doubt",
    )


_WHY = _case()


def _waiting(merchant: str, why: str | None = None) -> Any:
    """The ids of the messages that wait, or of those that wait for one reason."""
    if why == UNREAD:
        return _unread(merchant)
    held: Any = sa.select(col(tables.Notification.message_id).label("id")).where(*_held(merchant))
    return held.where(why == _WHY) if why else sa.union(_unread(merchant), held)


def _unread(merchant: str) -> Any:
    message = tables.Message
    return sa.select(col(message.id).label("id")).where(
        col(message.merchant) == merchant, col(message.state) == MessageState.QUARANTINED.value
    )


def _held(merchant: str) -> tuple[Any, ...]:
    table = tables.Notification
    return (
        col(table.merchant) == merchant,
        col(table.state).in_(WAITING),
        col(table.erased_at).is_(None),
    )


def _decided(merchant: str) -> Any:
    table, event, message = tables.Notification, tables.NotificationEvent, tables.Message
    # Not joined: the merchant's messages are many, what somebody decided is little.
    of_merchant = sa.exists().where(col(message.id) == col(event.message_id), col(message.merchant) == merchant)
    return (
        sa.select(col(event.message_id))
        .where(of_merchant)
        .union(
            sa.select(col(table.message_id)).where(col(table.merchant) == merchant, col(table.decision).is_not(None))
        )
    )


def _told_by(connection: sa.Connection, merchant: str, number: str) -> set[int]:
    """The message with this id, and those that tell of an order of this number."""
    table, found = tables.Notification, set[int]()
    if re.fullmatch("[1-9][0-9]{0,9}", number) and int(number) <= _MOST_ID:
        found.add(int(number))
    orders = [order.id for order in orders_of_number(connection, merchant, number)]
    for is_it in (col(table.order_number) == number, *(col(table.order_id) == order_id for order_id in orders)):
        query = sa.select(col(table.message_id)).where(col(table.merchant) == merchant, is_it)
        found |= set(connection.execute(query).scalars())
    return found


def _notifications(connection: sa.Connection, message_ids: list[int]) -> Mapping[int, tuple[ListedNotification, ...]]:
    table = tables.Notification
    query = (
        sa.select(
            col(table.message_id), col(table.id), col(table.state), col(table.grade), col(table.reason),
            col(table.order_number), col(table.decision), col(table.order_id),
        )
        .where(col(table.message_id).in_(message_ids))
        .order_by(col(table.message_id), col(table.position))
    )  # fmt: skip
    found: dict[int, tuple[ListedNotification, ...]] = {}
    rows: Any = connection.execute(query)
    for message_id, *values in rows:
        found[message_id] = (*found.get(message_id, ()), ListedNotification(*values))
    return found
