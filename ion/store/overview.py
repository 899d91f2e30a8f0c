"""What the first page of a merchant tells at a glance: whether mail comes, and how much of it waits for a person."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.types import MessageState, NotificationState


@dataclass(frozen=True)
class LastMail:
    """The newest mail of a merchant: when it came (aware), and by which door (`smtp`, `imap`, `file`)."""

    received_at: datetime
    door: str


class Overviews(Database):
    """Each method is one reading transaction and raises StoreError where the database refuses."""

    def last_mail(self, merchant: str) -> LastMail | None:
        """The mail of the merchant that came last, orders or not; None where none ever came."""
        message = tables.Message
        newest = sa.select(sa.func.max(col(message.id))).where(col(message.merchant) == merchant).scalar_subquery()
        query = sa.select(col(message.received_at), col(message.door)).where(col(message.id) == newest)
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else LastMail(*row)

    def waiting_counts(self, merchant: str) -> dict[str, int]:
        """How many of one merchant's wait for a person, by kind, without kinds that nothing has: `unread` messages, and
        notifications `held`, `unsealed` and `contradiction` as `waiting_for_a_person` tells them apart."""
        found, message = tables.Notification, tables.Message
        review = col(found.state) == NotificationState.REVIEW.value
        is_consistent = col(found.grade) == "consistent"
        kinds = {
            "held": col(found.state) == NotificationState.HELD.value,
            "unsealed": sa.and_(review, is_consistent),
            "contradiction": sa.and_(review, ~is_consistent),
        }
        states = [NotificationState.HELD.value, NotificationState.REVIEW.value]
        notifications = sa.select(*(sa.func.count().filter(condition) for condition in kinds.values())).where(
            col(found.merchant) == merchant, col(found.state).in_(states), col(found.erased_at).is_(None)
        )
        unread = sa.select(sa.func.count()).where(
            col(message.merchant) == merchant, col(message.state) == MessageState.QUARANTINED.value
        )
        with self.reading() as connection:
            counts = {"unread": connection.execute(unread).scalar_one()}
            counts |= dict(zip(kinds, connection.execute(notifications).one(), strict=True))
        return {kind: count for kind, count in counts.items() if count}

    def order_countries(self, merchant: str) -> tuple[str, ...]:
        """The countries that the merchant's orders go to, as two letters."""
        table = tables.OrderRow
        of_merchant = (col(table.merchant) == merchant, col(table.erased_at).is_(None))
        query = sa.select(col(table.destination_country)).where(*of_merchant).distinct()
        with self.reading() as connection:
            return tuple(sorted(code for code in connection.execute(query).scalars() if code))

    def has_orders(self, merchant: str) -> bool:
        """Whether the merchant has, or had, an order."""
        query = sa.select(col(tables.OrderRow.id)).where(col(tables.OrderRow.merchant) == merchant).limit(1)
        with self.reading() as connection:
            return connection.execute(query).first() is not None
