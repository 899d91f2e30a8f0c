"""Conditions: what of the store may need a person, counted for each merchant. Whether it does is judged elsewhere.

Only numbers, times and order numbers: nothing here names a customer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.types import (
    DeliveryState,
    ImapAccountState,
    MessageState,
    NotificationState,
    OrderState,
    OutgoingState,
)

_NAMED = 10
"""So many rows are named of those that are counted."""


@dataclass(frozen=True)
class Condition:
    """So many of a merchant's stand so. `oldest`, `newest`: when the first and the last of them came to it; `names`:
    the first of them: message ids, order numbers, missing sequence numbers as `7` or `7-9`, an IMAP account."""

    merchant: str
    kind: str
    number: int
    oldest: datetime
    newest: datetime
    names: tuple[str, ...] = ()


class Conditions(Database):
    """Each method is one reading transaction and raises StoreError where the database refuses. Instants are aware."""

    def unread_mail(self) -> tuple[Condition, ...]:
        """Messages in quarantine."""
        message = tables.Message
        return self._counted(
            "unread",
            message.merchant,
            message.state_at,
            message.id,
            col(message.state) == MessageState.QUARANTINED.value,
        )

    def waiting_for_a_person(self) -> tuple[Condition, ...]:
        """Notifications that somebody has to decide: `held` (their sender is not believed), `unsealed` (they add up but
        have no seal, where a seal is usual), `contradiction` (anything else)."""
        found = tables.Notification
        review = col(found.state) == NotificationState.REVIEW.value
        is_consistent = col(found.grade) == "consistent"
        return tuple(
            one
            for kind, conditions in (
                ("held", [col(found.state) == NotificationState.HELD.value]),
                ("unsealed", [review, is_consistent]),
                ("contradiction", [review, ~is_consistent]),
            )
            for one in self._counted(
                kind, found.merchant, found.judged_at, found.message_id, *conditions, col(found.erased_at).is_(None)
            )
        )

    def unentered_orders(self, before: datetime, *, always: bool) -> tuple[Condition, ...]:
        """Orders that came before that instant and that nobody has entered, without tests. Of merchants that have
        entered one, those that came since then; with `always` all of all merchants."""
        order, event = tables.OrderRow, tables.OrderEvent
        other: Any = sa.orm.aliased(tables.OrderRow)
        conditions = [
            col(order.state) != OrderState.ENTERED.value,
            col(order.test).is_(False),
            col(order.erased_at).is_(None),
            col(order.created_at) < before,
        ]
        if not always:
            first = (
                sa.select(sa.func.min(col(event.at)))
                .join(other, other.id == col(event.order_id))
                .where(other.merchant == col(order.merchant), col(event.what) == "entered")
                .correlate(tables.OrderRow)
                .scalar_subquery()
            )
            conditions.append(col(order.created_at) >= first)
        return self._counted("unentered", order.merchant, order.created_at, order.order_number, *conditions)

    def failed_deliveries(self) -> tuple[Condition, ...]:
        """Published files that were not delivered to a target that is in use; named by their files. Those whose octets
        were erased can be delivered by nobody."""
        delivery, target, batch = tables.Delivery, tables.DeliveryTarget, tables.Batch
        query = (
            sa.select(col(target.merchant), col(delivery.state_at), col(batch.file_name))
            .select_from(delivery)
            .join(target, col(target.id) == col(delivery.target_id))
            .join(batch, col(batch.id) == col(delivery.batch_id))
            .where(col(delivery.state) == DeliveryState.FAILED.value, col(target.active).is_(True))
            .where(col(batch.erased_at).is_(None))
            .order_by(col(delivery.state_at), col(delivery.id))
        )
        with self.reading() as connection:
            return _grouped("delivery", connection.execute(query))

    def unsent_mail(self, before: datetime) -> tuple[Condition, ...]:
        """Mails that were due for the relay before that instant, tried or not, and wait still."""
        mail = tables.Outgoing
        waits = col(mail.state).in_([OutgoingState.QUEUED.value, OutgoingState.RETRY.value])
        return self._counted("unsent", mail.merchant, mail.created_at, mail.id, waits, col(mail.created_at) < before)

    def failing_imap_accounts(self) -> dict[str, tuple[ImapAccountState, datetime, datetime | None]]:
        """State, since when, and the end of the last good round, by account, of those whose last round failed."""
        table = tables.ImapAccountRow
        query = sa.select(col(table.account), col(table.state), col(table.state_at), col(table.last_round_at)).where(
            col(table.state) != ImapAccountState.OK.value
        )
        with self.reading() as connection:
            rows = connection.execute(query).all()
        return {account: (ImapAccountState(state), state_at, last) for account, state, state_at, last in rows}

    def missing_sequence_numbers(self, before: datetime) -> tuple[Condition, ...]:
        """Numbers below one that came before that instant, and above the first that ever came, of sealed notifications;
        named in ranges."""
        found = tables.Notification
        numbers = (
            sa.select(
                col(found.merchant).label("merchant"),
                col(found.sequence).label("sequence"),
                sa.func.min(col(found.judged_at)).label("came_at"),
            )
            .where(col(found.grade) == "sealed", col(found.sequence).is_not(None))
            .group_by(col(found.merchant), col(found.sequence))
            .subquery()
        )
        window: Any = {"partition_by": numbers.c.merchant, "order_by": numbers.c.sequence}
        gaps = sa.select(
            numbers.c.merchant,
            numbers.c.sequence,
            sa.func.lead(numbers.c.sequence).over(**window).label("next"),
            # Any higher number tells of the gap, not only the next one.
            sa.func.min(numbers.c.came_at).over(**window, rows=(1, None)).label("told_at"),
        ).subquery()
        query = (
            sa.select(gaps.c.merchant, gaps.c.sequence, gaps.c.next, gaps.c.told_at)
            .where(gaps.c.next > gaps.c.sequence + 1, gaps.c.told_at < before)
            .order_by(gaps.c.merchant, gaps.c.sequence)
        )
        conditions: dict[str, Condition] = {}
        with self.reading() as connection:
            for merchant, sequence, following, told_at in connection.execute(query):
                first, last = sequence + 1, following - 1
                name = str(first) if first == last else f"{first}-{last}"
                known = conditions.get(merchant, Condition(merchant, "gap", 0, told_at, told_at))
                conditions[merchant] = Condition(
                    merchant,
                    "gap",
                    known.number + last - first + 1,
                    min(known.oldest, told_at),
                    max(known.newest, told_at),
                    (*known.names, name)[:_NAMED],
                )
        return tuple(conditions.values())

    def arrivals(self, days: float, most: int) -> dict[str, tuple[datetime, ...]]:
        """When the last order mails of each merchant that has an address came, oldest first: up to `most`, and not more
        than `days` before the last one."""
        message, found, address = tables.Message, tables.Notification, tables.MerchantAddress
        merchants = sa.select(col(address.merchant)).where(col(address.retired_at).is_(None)).distinct()
        arrived: dict[str, tuple[datetime, ...]] = {}
        with self.reading() as connection:
            for merchant in connection.execute(merchants.order_by(col(address.merchant))).scalars().all():
                query = (
                    sa.select(col(message.received_at))
                    .where(col(message.merchant) == merchant)
                    .where(sa.exists().where(col(found.message_id) == col(message.id)))
                    .order_by(col(message.id).desc())
                    .limit(most)
                )
                times = sorted(connection.execute(query).scalars())
                if times:
                    arrived[merchant] = tuple(one for one in times if one >= times[-1] - timedelta(days=days))
        return arrived

    def has_orders_before(self, instant: datetime) -> bool:
        """Whether an order was there at that instant."""
        order = tables.OrderRow
        with self.reading() as connection:
            query = sa.select(col(order.id)).where(col(order.created_at) < instant).limit(1)
            return connection.execute(query).first() is not None

    def _counted(self, kind: str, merchant: Any, at: Any, name: Any, *conditions: Any) -> tuple[Condition, ...]:
        """The rows that meet the conditions, for each merchant."""
        with self.reading() as connection:
            totals = connection.execute(
                sa.select(merchant, sa.func.count(), sa.func.min(at), sa.func.max(at))
                .where(*conditions)
                .group_by(merchant)
                .order_by(merchant)
            ).all()
            return tuple(
                Condition(of, kind, number, oldest, newest, _names(connection, name, at, (merchant == of, *conditions)))
                for of, number, oldest, newest in totals
            )


def _names(connection: sa.Connection, name: Any, at: Any, conditions: tuple[Any, ...]) -> tuple[str, ...]:
    query = sa.select(name).where(*conditions).group_by(name).order_by(sa.func.min(at), name).limit(_NAMED)
    return tuple(map(str, connection.execute(query).scalars()))


def _grouped(kind: str, rows: Any) -> tuple[Condition, ...]:
    """Rows of (merchant, instant, name), oldest first, for each merchant."""
    found: dict[str, list[tuple[datetime, str]]] = {}
    for merchant, at, name in rows:
        found.setdefault(merchant, []).append((at, name))
    return tuple(
        Condition(
            merchant,
            kind,
            len(lines),
            lines[0][0],
            lines[-1][0],
            tuple(dict.fromkeys(name for _, name in lines))[:_NAMED],
        )
        for merchant, lines in sorted(found.items())
    )
