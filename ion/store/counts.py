"""How many of everything there are, for whoever watches the program, and whether the database can be worked with.

Each count is over an index, or over rows that are few or thin: on a million orders all of them together take some
tenths of a second. None of them names a merchant or an order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.messages import message_counts
from ion.store.types import (
    DeliveryState,
    ImapAccountState,
    JobState,
    MessageState,
    NotificationState,
    OrderState,
    OutgoingState,
    utc_now,
)

_UNREAD = (MessageState.RECEIVED, MessageState.CLAIMED, MessageState.RETRY)
_WAITS_FOR_A_PERSON = (NotificationState.HELD, NotificationState.REVIEW)


@dataclass(frozen=True)
class Counts:
    """Numbers by state, every state named. `oldest_unread_at`: when the message that has been unread for longest came,
    None where all are read; `waiting`: notifications that somebody has to decide, by state; `alerts_open`: whose cause
    lasts; `jobs_done_at`: when each job was last done for any merchant; `imap_accounts`: the state of each account that
    was ever fetched. Instants aware, UTC."""

    messages: Mapping[str, int]
    oldest_unread_at: datetime | None
    orders: Mapping[str, int]
    waiting: Mapping[str, int]
    outgoing: Mapping[str, int]
    deliveries: Mapping[str, int]
    alerts_open: int
    jobs_done_at: Mapping[str, datetime]
    imap_accounts: Mapping[str, ImapAccountState]


class Counting(Database):
    """Each method is one transaction and raises StoreError where the database refuses."""

    def all_counts(self) -> Counts:
        """Of all merchants together."""
        message, alert, run, account = tables.Message, tables.Alert, tables.JobRun, tables.ImapAccountRow
        unread = col(message.state).in_([state.value for state in _UNREAD])
        done = sa.select(col(run.job), sa.func.max(col(run.finished_at)).label("at")).group_by(col(run.job))
        accounts = sa.select(col(account.account), col(account.state))
        with self.reading() as connection:
            return Counts(
                messages=message_counts(connection),
                oldest_unread_at=connection.execute(
                    sa.select(sa.func.min(col(message.received_at))).where(unread)
                ).scalar(),
                orders=_by_state(connection, tables.OrderRow, OrderState),
                waiting=_waiting(connection),
                outgoing=_by_state(connection, tables.Outgoing, OutgoingState),
                deliveries=_by_state(connection, tables.Delivery, DeliveryState),
                alerts_open=connection.execute(
                    sa.select(sa.func.count()).select_from(alert).where(col(alert.over_at).is_(None))
                ).scalar_one(),
                jobs_done_at={
                    row.job: row.at
                    for row in connection.execute(done.where(col(run.state) == JobState.DONE.value))
                    if row.at is not None
                },
                imap_accounts={row.account: ImapAccountState(row.state) for row in connection.execute(accounts)},
            )

    def schema_if_writable(self) -> str | None:
        """The revision of the schema, read within a transaction that could write; None where there is none. Raises
        StoreError where nothing can be written, which takes seconds where others hold the database."""
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                # A standby refuses this, and so does a server that only reads.
                connection.execute(sa.text("SELECT 1 FROM alembic_version FOR UPDATE"))
            found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            return found

    def is_reading_stuck(self, patience: timedelta) -> bool:
        """Whether a message could have been read for longer than `patience` and nobody is reading any."""
        message, now = tables.Message, utc_now()
        overdue = sa.select(sa.literal(1)).where(col(message.due_at) <= now - patience).limit(1)
        at_work = (
            sa.select(sa.literal(1))
            .where(col(message.state) == MessageState.CLAIMED.value, col(message.due_at) > now)
            .limit(1)
        )
        with self.reading() as connection:
            return connection.execute(overdue).first() is not None and connection.execute(at_work).first() is None


def _by_state(connection: sa.Connection, table: Any, states: Any) -> dict[str, int]:
    query = sa.select(table.state, sa.func.count().label("number")).group_by(table.state)
    return {state.value: 0 for state in states} | {row.state: row.number for row in connection.execute(query)}


def _waiting(connection: sa.Connection) -> dict[str, int]:
    """Each merchant by itself, because that is how the index goes; then only what waits is looked at."""
    found, merchant = tables.Notification, tables.Merchant
    numbers = (
        sa.select(col(found.state), sa.func.count().label("number"))
        .where(
            col(found.merchant).in_(sa.select(col(merchant.name))),
            col(found.state).in_([state.value for state in _WAITS_FOR_A_PERSON]),
            col(found.erased_at).is_(None),
        )
        .group_by(col(found.state))
    )
    waits = {state.value: 0 for state in _WAITS_FOR_A_PERSON}
    return waits | {row.state: row.number for row in connection.execute(numbers)}
