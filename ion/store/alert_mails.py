"""Alerts by mail: which are to be told now, to whom, and telling each once.

An alert that nobody has seen is told when it is new, and again after so many hours as long as it lasts; what happened
to one mail only once. Its end is told to whom it was told: with the next mail, or by itself when it has lasted. One
mail tells an address all that is to be told at that moment. Where an address has had as many mails in an hour as it
may get, its alerts wait for each other. A mail of alerts that cannot be delivered raises an alert that is listed and
never mailed: it would go round in a circle.

The mails are queued in the transaction that notes the alerts as told, so none is told twice or not at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.alerts import SETTLES, Alert, alert_rows
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.messages import CLOCKS_APART
from ion.store.outgoing import NewMail, insert_mail
from ion.store.tables import DEFAULT_MERCHANT
from ion.store.types import ALERT_KIND, OutgoingKind, SubscriptionState, UtcDateTime, utc_now


@dataclass(frozen=True)
class DueAlert:
    """An alert that is to be told. `order_number`: of the order whose mail it is about, None where it is about none."""

    alert: Alert
    order_number: str | None


BuildMail = Callable[[str, str, str | None, Sequence[DueAlert]], NewMail | None]


class AlertMails(Database):
    """One transaction; raises StoreError where the database refuses."""

    def queue_alert_mails(
        self, alert_to: Sequence[str], *, repeat_hours: float, most_an_hour: int, build: BuildMail
    ) -> tuple[int, ...]:
        """Queue the mails of all that is to be told now; their ids. `alert_to`: addresses that are told of every
        merchant's, beside those that are subscribed to a merchant's.

        `build(merchant, address, locale, due)` makes the mail of one address, None where it cannot: then the others
        are told, and where that leaves nobody the alert stays to be told. It is called inside the transaction, so it
        must not use the store. `locale`: of the subscription.
        """
        repeat = timedelta(hours=repeat_hours)
        with self.reading() as connection:
            if not _told_now(_due(connection, repeat, utc_now()), utc_now()):
                return ()
        with self.writing() as connection:
            lock_merchant(connection, DEFAULT_MERCHANT)  # two programs that ring at once tell it once
            now = utc_now()
            staff = _subscribed(connection, alert_to)
            full = _full(connection, most_an_hour, now)
            wait = {merchant for merchant, addresses in staff.items() if not full.isdisjoint(addresses)}
            due = _told_now(_due(connection, repeat, now), now) if full.isdisjoint(alert_to) else []
            told = [one for one in due if one.alert.merchant not in wait]
            queued: list[int] = []
            reached: set[int] = set()

            def queue(merchant: str, address: str, locale: str | None, due: Sequence[DueAlert]) -> None:
                mail = build(merchant, address, locale, due) if due else None
                if mail is not None:
                    queued.append(insert_mail(connection, merchant, OutgoingKind.ALERT, None, address, mail, now))
                    reached.update(one.alert.id for one in due)

            for address in alert_to:
                queue(DEFAULT_MERCHANT, address, None, told)
            for merchant, addresses in staff.items():
                for address, locale in addresses.items():
                    queue(merchant, address, locale, [one for one in told if one.alert.merchant == merchant])
            _mark_mailed(connection, [one.alert for one in told if one.alert.id in reached], now)
            return tuple(queued)


def _mark_mailed(connection: sa.Connection, alerts: Sequence[Alert], now: datetime) -> None:
    if not alerts:
        return
    table = tables.Alert
    # Never before its end, which a clock that was ahead may have noted: it would be told for ever.
    values = [{"of": one.id, "mailed": max(now, one.over_at or now)} for one in alerts]
    of: sa.BindParameter[int] = sa.bindparam("of")
    mailed: sa.BindParameter[datetime] = sa.bindparam("mailed", type_=UtcDateTime())
    connection.execute(sa.update(table).where(col(table.id) == of).values(mailed_at=mailed), values)


def _due(connection: sa.Connection, repeat: timedelta, now: datetime) -> list[DueAlert]:
    """What a mail that goes out now would tell, oldest first."""
    table, mail, order = tables.Alert, tables.Outgoing, tables.OutgoingOrder
    lasts = sa.and_(col(table.over_at).is_(None), col(table.seen_at).is_(None))
    is_old = sa.or_(col(table.mailed_at) <= now - repeat, col(table.mailed_at) > now + CLOCKS_APART)
    is_due = sa.or_(
        sa.and_(lasts, col(table.mailed_at).is_(None)),
        sa.and_(lasts, is_old, col(table.outgoing_id).is_(None)),
        col(table.mailed_at) < col(table.over_at),
    )
    query = (
        alert_rows()
        .add_columns(col(order.order_number))
        .select_from(table)
        .outerjoin(mail, col(mail.id) == col(table.outgoing_id))
        .outerjoin(order, col(order.id) == col(mail.order_id))
        .where(is_due, sa.func.coalesce(col(mail.kind), "") != OutgoingKind.ALERT.value)
        .order_by(col(table.id))
    )
    return [DueAlert(Alert(*row[:-1]), row[-1]) for row in connection.execute(query)]


def _told_now(due: Sequence[DueAlert], now: datetime) -> list[DueAlert]:
    """Those of the merchants that have something that does not wait: an end alone waits until it has lasted."""
    waits = timedelta(0)
    pressing = {
        one.alert.merchant for one in due if one.alert.over_at is None or not waits <= now - one.alert.over_at < SETTLES
    }
    return [one for one in due if one.alert.merchant in pressing]


def _subscribed(connection: sa.Connection, alert_to: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
    """Language by address by merchant, of those that are told of a merchant's alerts and not of all."""
    table = tables.Subscription
    found: dict[str, dict[str, str | None]] = {}
    rows: Any = connection.execute(
        sa.select(col(table.merchant), col(table.address), col(table.locale), col(table.kinds))
        .where(col(table.state) == SubscriptionState.ACTIVE.value)
        .order_by(col(table.id))
    )
    for merchant, address, locale, kinds in rows:
        if ALERT_KIND in kinds.split() and address not in alert_to:
            found.setdefault(merchant, {})[address] = locale
    return found


def _full(connection: sa.Connection, most_an_hour: int, now: datetime) -> set[str]:
    """The addresses that have had all the mails of this hour."""
    mail = tables.Outgoing
    query = (
        sa.select(col(mail.address))
        .where(col(mail.kind) == OutgoingKind.ALERT.value)
        .where(col(mail.created_at) > now - timedelta(hours=1), col(mail.created_at) <= now + CLOCKS_APART)
        .group_by(col(mail.address))
        .having(sa.func.count() >= most_an_hour)
    )
    return set(connection.execute(query).scalars())
