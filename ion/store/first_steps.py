"""How far a merchant has come on its first day: whether mail comes, was read, was written to a file, was entered.

A sample that the merchant sent to itself proves the way through the door and nothing else: it does not count as mail,
nor as an order, nor as a sign that this merchant's mail is sealed.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.merchants import merchant_in
from ion.store.types import MessageState, OrderState, SubscriptionState

SAMPLE_NUMBER = "ION-SAMPLE-"
"""What the order number of a sample begins with; it is under the seal, so only this installation can give it."""

# Whether it is a sample is known when it was read.
_UNREAD = (MessageState.RECEIVED.value, MessageState.CLAIMED.value, MessageState.RETRY.value)


@dataclass(frozen=True)
class FirstSteps:
    """What has happened at least once; `sample`: id and number of the newest sample that was read, None for none."""

    mail_came: bool
    order_read: bool
    file_made: bool
    somebody_is_told: bool
    order_entered: bool
    sample: tuple[int, str] | None


class FirstStepsTaken(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def first_steps(self, merchant: str) -> FirstSteps:
        """How far the merchant has come. Raises UnknownMerchantError."""
        message, order, batch = tables.Message, tables.OrderRow, tables.Batch
        told, notification = tables.Subscription, tables.Notification
        is_sample = (
            sa.exists()
            .where(col(notification.message_id) == col(message.id))
            .where(col(notification.order_number).startswith(SAMPLE_NUMBER, autoescape=True))
        )
        is_sample_order = col(order.order_number).startswith(SAMPLE_NUMBER, autoescape=True)
        with self.reading() as connection:
            merchant_in(connection, merchant)

            def any_of(table: Any, *conditions: "sa.ColumnElement[bool]") -> bool:
                query = sa.select(sa.literal(1)).select_from(table).where(table.merchant == merchant, *conditions)
                return connection.execute(query.limit(1)).first() is not None

            sample: Any = connection.execute(
                sa.select(col(order.id), col(order.order_number))
                # As the index of test orders has it, which every sample is.
                .where(col(order.merchant) == merchant, sa.text("orders.test AND orders.erased_at IS NULL"))
                .where(is_sample_order)
                .order_by(col(order.id).desc())
                .limit(1)
            ).first()
            return FirstSteps(
                mail_came=any_of(message, col(message.state).not_in(_UNREAD), ~is_sample),
                order_read=any_of(order, ~is_sample_order),
                file_made=any_of(batch),
                somebody_is_told=any_of(told, col(told.state) == SubscriptionState.ACTIVE.value)
                or _mail_target(connection, merchant),
                order_entered=any_of(order, col(order.state) == OrderState.ENTERED.value),
                sample=None if sample is None else (sample[0], sample[1]),
            )


def _mail_target(connection: sa.Connection, merchant: str) -> bool:
    """Whether files go anywhere but to the installation's own folder."""
    target = tables.DeliveryTarget
    query = sa.select(col(target.id)).where(
        col(target.merchant) == merchant, col(target.active).is_(True), col(target.address) != ""
    )
    return connection.execute(query.limit(1)).first() is not None
