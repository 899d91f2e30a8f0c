"""Alerts: what a person has to know, one for each cause, until it is over.

A cause is a kind and what it is about (`subject`: `outgoing:7`, `imap:orders`, `job:nightly-export:shop`).

    not there                    -> open, happened once
    open, and it happened again  -> open, `happened` one more, seen by nobody
    open, and its cause is gone  -> over
    over for less than SETTLES   -> open as before, where nobody was told yet that it was over
    over for longer              -> open, as if it were new, `happened` one more

What is told by mail, and how often, is in `alert_mails`. What happened to one mail (`outgoing_id`) is an event: it has
no end, only people who have seen it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database, insert_new
from ion.store.merchants import lock_merchant
from ion.store.messages import CLOCKS_APART
from ion.store.tables import DEFAULT_MERCHANT
from ion.store.types import UtcDateTime, storable, utc_now

SETTLES = timedelta(minutes=10)
"""What comes back within this time was never over."""
_LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Cause:
    """Something that stands now and that a person has to know. `text`: numbers and names, for staff; `at`: when the
    last of what it counts happened, None where it is a state that merely lasts."""

    merchant: str
    kind: str
    subject: str
    text: str
    at: datetime | None = None


@dataclass(frozen=True)
class Alert:
    """Something that a person should see. `text` may name orders and staff's addresses; `created_at`: since when it
    lasts; `happened`: how often, the last time at `last_at`; `seen_at`: when a person said that it was seen;
    `mailed_at`: when it, or its end, was last told by mail; `over_at`: since when the cause is gone."""

    id: int
    merchant: str
    kind: str
    subject: str
    text: str
    outgoing_id: int | None
    happened: int
    created_at: datetime
    last_at: datetime
    seen_at: datetime | None
    mailed_at: datetime | None
    over_at: datetime | None


class Alerts(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def alerts(
        self, *, merchant: str | None = None, outgoing_id: int | None = None, seen: bool = False
    ) -> tuple[Alert, ...]:
        """Alerts, oldest first: those that last and that nobody has seen, with `seen` all; of one merchant or mail, or
        of all."""
        table = tables.Alert
        query = alert_rows().order_by(col(table.id))
        if merchant is not None:
            query = query.where(col(table.merchant) == merchant)
        if outgoing_id is not None:
            query = query.where(col(table.outgoing_id) == outgoing_id)
        if not seen:
            query = query.where(col(table.seen_at).is_(None), col(table.over_at).is_(None))
        with self.reading() as connection:
            return tuple(Alert(*row) for row in connection.execute(query).all())

    def mark_alerts_seen(self, ids: Sequence[int]) -> tuple[int, ...]:
        """A person has seen these; the ids of those that nobody had seen before."""
        table = tables.Alert
        with self.writing() as connection:
            marked = connection.execute(
                sa.update(table)
                .where(col(table.id).in_(ids), col(table.seen_at).is_(None))
                .values(seen_at=utc_now())
                .returning(col(table.id))
            ).scalars()
            return tuple(sorted(one for one in marked if one is not None))

    def raise_alert(self, merchant: str, kind: str, subject: str, text: str) -> Alert:
        """Something happened that a person has to know: a new alert, or once more the one of this cause. It lasts until
        `end_alert`. Raises StoreError also for a merchant that there is not."""
        now = utc_now()
        cause = Cause(merchant, kind, subject, text, now)
        with self.writing() as connection:
            lock_merchant(connection, DEFAULT_MERCHANT)
            _apply(connection, cause, _known(connection, [kind]).get((kind, subject)), now)
            return _known(connection, [kind])[kind, subject]

    def end_alert(self, kind: str, subject: str) -> bool:
        """The cause is gone; whether there was an alert of it."""
        now = utc_now()
        with self.writing() as connection:
            lock_merchant(connection, DEFAULT_MERCHANT)
            known = _known(connection, [kind]).get((kind, subject))
            if known is None or known.over_at is not None:
                return False
            _end(connection, [known], now)
            return True

    def settle_alerts(
        self, found: Iterable[Cause], kinds: Collection[str]
    ) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        """Have the open alerts of these kinds be those of the causes found, each once: raise the others, end those
        whose cause is gone. Returns the alerts that are new or came back, and those that ended. Writes nothing where
        all stands as it was."""
        causes = {(cause.kind, cause.subject): cause for cause in found}
        assert {kind for kind, _ in causes} <= set(kinds)
        now = utc_now()
        with self.reading() as connection:
            known = _known(connection, kinds)
        if not _differ(causes, known, now):
            return (), ()
        with self.writing() as connection:
            lock_merchant(connection, DEFAULT_MERCHANT)  # two programs that look at once raise and end it once
            known = _known(connection, kinds)
            new = [_row(cause, now) for key, cause in causes.items() if key not in known]
            if new:  # at once: a storm of them must not hold up whoever else writes
                connection.execute(sa.insert(tables.Alert), new)
            back = {key for key, one in known.items() if key in causes and _apply(connection, causes[key], one, now)}
            raised = back | (causes.keys() - known.keys())
            ended = [one for key, one in known.items() if one.over_at is None and key not in causes]
            _end(connection, ended, now)
            after = _known(connection, kinds)
        return tuple(after[key] for key in sorted(raised)), tuple(ended)


def add_alert(
    connection: sa.Connection,
    merchant: str,
    kind: str,
    text: str,
    outgoing_id: int | None = None,
    *,
    again: bool = False,
) -> bool:
    """Tell a person of an outgoing mail, once of each kind; whether it is told now. `again`: it has happened once more,
    which one that was seen already does not tell. `text` may name orders and addresses: it is shown to staff and never
    logged. The caller's transaction."""
    table, now = tables.Alert, utc_now()
    row = _row(Cause(merchant, kind, f"outgoing:{outgoing_id}", text), now) | {"outgoing_id": outgoing_id}
    if insert_new(connection, table, "id", **row) is not None:
        return True
    if not again:
        return False
    same = (col(table.kind) == kind, col(table.subject) == row["subject"])
    connection.execute(sa.update(table).where(*same).values(**row | {"happened": col(table.happened) + 1}))
    return True


def alert_rows() -> "sa.Select[*tuple[Any, ...]]":
    """The columns of an `Alert`, in its order."""
    return sa.select(*(getattr(tables.Alert, name) for name in Alert.__dataclass_fields__))


def _known(connection: sa.Connection, kinds: Collection[str]) -> dict[tuple[str, str], Alert]:
    rows = connection.execute(alert_rows().where(col(tables.Alert.kind).in_(sorted(kinds))))
    return {(alert.kind, alert.subject): alert for alert in (Alert(*row) for row in rows)}


def _differ(causes: Mapping[tuple[str, str], Cause], known: Mapping[tuple[str, str], Alert], now: datetime) -> bool:
    is_gone = any(one.over_at is None and key not in causes for key, one in known.items())
    return is_gone or any(_values(cause, known.get(key), now) for key, cause in causes.items())


def _apply(connection: sa.Connection, cause: Cause, known: Alert | None, now: datetime) -> bool:
    """Insert or change the row of a cause; whether it is new or came back. The caller holds the lock."""
    values = _values(cause, known, now)
    if known is None:
        connection.execute(sa.insert(tables.Alert).values(**values))
        return True
    if values:
        connection.execute(sa.update(tables.Alert).where(col(tables.Alert.id) == known.id).values(**values))
    return known.over_at is not None


def _values(cause: Cause, known: Alert | None, now: datetime) -> dict[str, Any]:
    """What has to be written for a cause that stands; nothing where all stands as it was."""
    new = _row(cause, now)
    if known is None:
        return new
    said = {name: new[name] for name in ("merchant", "text") if new[name] != getattr(known, name)}
    happened = {"happened": known.happened + 1, "last_at": new["last_at"]}
    if known.over_at is not None:
        end_is_told = known.mailed_at is not None and known.mailed_at >= known.over_at
        if timedelta(0) <= now - known.over_at < SETTLES and not end_is_told:
            return said | happened | {"over_at": None}
        return new | happened
    # What a clock said that was ahead is no reason to wait until then.
    last_at = min(known.last_at, now + CLOCKS_APART)
    return said | (happened | {"seen_at": None} if cause.at is not None and cause.at > last_at else {})


def _row(cause: Cause, now: datetime) -> dict[str, Any]:
    return {
        "merchant": cause.merchant,
        "kind": cause.kind,
        "subject": cause.subject,
        "text": storable(cause.text[:_LONGEST_TEXT]),
        "outgoing_id": None,
        "happened": 1,
        "created_at": now,
        "last_at": cause.at or now,
        "seen_at": None,
        "mailed_at": None,
        "over_at": None,
    }


def _end(connection: sa.Connection, alerts: Sequence[Alert], now: datetime) -> None:
    if not alerts:
        return
    table = tables.Alert
    values = [
        # Told by a clock that was ahead: its end is still to be told.
        {"of": one.id, "mailed": one.mailed_at and min(one.mailed_at, now - timedelta(microseconds=1))}
        for one in alerts
    ]
    of: sa.BindParameter[int] = sa.bindparam("of")
    mailed: sa.BindParameter[datetime] = sa.bindparam("mailed", type_=UtcDateTime())
    connection.execute(sa.update(table).where(col(table.id) == of).values(over_at=now, mailed_at=mailed), values)
