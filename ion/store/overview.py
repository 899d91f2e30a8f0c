"""What the first page of a merchant tells at a glance: whether mail comes, and how much of it waits for a person."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.plain_sql import PlainSql
from ion.store.types import MessageState, NotificationState


@dataclass(frozen=True)
class LastMail:
    """The newest mail of a merchant: when it came (aware), and by which door (`smtp`, `imap`, `file`)."""

    received_at: datetime
    door: str


# From each country to the next one in the index: DISTINCT would read an entry for each order.
_COUNTRIES = """
    WITH RECURSIVE found (country) AS (
        SELECT min(destination_country) FROM orders WHERE merchant = ? AND erased_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(destination_country) FROM orders
            WHERE merchant = ? AND erased_at IS NULL AND destination_country > found.country
        )
        FROM found WHERE country IS NOT NULL
    )
    SELECT country FROM found WHERE country IS NOT NULL
"""


class Overviews(Database):
    """Each method is one reading transaction and raises StoreError where the database refuses."""

    def last_mail(self, merchant: str) -> LastMail | None:
        """The mail of the merchant that came last, orders or not; None where none ever came."""
        message = tables.Message
        of_merchant = sa.select(col(message.received_at), col(message.door)).where(col(message.merchant) == merchant)
        with self.reading() as connection:
            row = connection.execute(of_merchant.order_by(col(message.id).desc()).limit(1)).one_or_none()
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
        with self.reading() as connection:
            return tuple(code for (code,) in PlainSql(connection).rows(_COUNTRIES, merchant, merchant))

    def has_orders(self, merchant: str) -> bool:
        """Whether the merchant has, or had, an order."""
        query = sa.select(col(tables.OrderRow.id)).where(col(tables.OrderRow.merchant) == merchant).limit(1)
        with self.reading() as connection:
            return connection.execute(query).first() is not None
