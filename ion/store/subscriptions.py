"""Subscriptions: which addresses are told of a merchant's orders and alerts, how, and since when.

    active -> ended      (`unsubscribe`: it opted out)
           -> paused     (`pause`: its mail came back again and again)
    ended, paused -> active   (`subscribe`: it opted in again)

Nothing is deleted: each step is a line with its time and who asked for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.types import ALERT_KIND, SubscriptionState, storable, utc_now

Mode = Literal["single", "daily"]
ORDER_KINDS = ("order", "change")
"""What an address is told of where nothing else is said: a new order; a later revision of one."""
KINDS = (*ORDER_KINDS, ALERT_KIND)
"""What it may be told of: also what a person has to know."""


@dataclass(frozen=True)
class SubscriptionEvent:
    """`what`: opted in, opted out, changed, paused; `note`: by whom or why."""

    at: datetime
    what: str
    note: str


@dataclass(frozen=True)
class Subscription:
    """An address and how it is told. `locale`: None, the merchant's; `events` oldest first."""

    address: str
    kinds: tuple[str, ...]
    mode: Mode
    locale: str | None
    state: str
    events: tuple[SubscriptionEvent, ...]

    @property
    def is_told_of_orders(self) -> bool:
        return any(kind in self.kinds for kind in ORDER_KINDS)


class Subscriptions(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def subscribe(
        self,
        merchant: str,
        address: str,
        *,
        kinds: Iterable[str] = ORDER_KINDS,
        mode: Mode = "single",
        locale: str | None = None,
        note: str = "",
    ) -> Subscription:
        """Tell this address from now on, in this way; the same again changes nothing. Raises UnknownMerchantError,
        StoreError for a kind that there is not."""
        wanted = tuple(kinds)
        chosen = tuple(kind for kind in KINDS if kind in wanted)
        if not chosen or set(wanted) - set(KINDS):
            raise StoreError(f"kinds {' '.join(wanted)!r}: give one or more of {', '.join(KINDS)}")
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            subscribe(connection, merchant, address, chosen, mode, locale, note)
            return _found(connection, merchant, address)

    def unsubscribe(self, merchant: str, address: str, *, note: str = "") -> Subscription:
        """Tell this address no more. Raises UnknownMerchantError, StoreError where it is not told anyway."""
        return self._end(merchant, address, SubscriptionState.ENDED, "opted out", note)

    def pause_subscription(self, merchant: str, address: str, *, note: str) -> Subscription:
        """Send nothing to this address until it is subscribed again. Raises as `unsubscribe` does."""
        return self._end(merchant, address, SubscriptionState.PAUSED, "paused", note)

    def set_mail_to(self, name: str, mail_to: Iterable[str], *, note: str = "") -> None:
        """Have these addresses told of orders and no others; one that is told already stays as it is, and who is told
        of alerts goes on being told of those. Raises UnknownMerchantError."""
        wanted = list(dict.fromkeys(mail_to))
        with self.writing() as connection:
            lock_merchant(connection, name)
            active = {one.address: one for one in _subscriptions(connection, name) if one.state == "active"}
            for address in wanted:
                one = active.get(address)
                if one is None:
                    subscribe(connection, name, address, ORDER_KINDS, "single", None, note)
                elif not one.is_told_of_orders:
                    subscribe(connection, name, address, KINDS, one.mode, one.locale, note)
            for address, one in active.items():
                if address in wanted or not one.is_told_of_orders:
                    continue
                if ALERT_KIND in one.kinds:
                    subscribe(connection, name, address, (ALERT_KIND,), one.mode, one.locale, note)
                else:
                    end(connection, name, address, SubscriptionState.ENDED, "opted out", note)

    def subscriptions(self, merchant: str) -> tuple[Subscription, ...]:
        """All that there ever were, in the order they came."""
        with self.reading() as connection:
            return _subscriptions(connection, merchant)

    def _end(self, merchant: str, address: str, state: SubscriptionState, what: str, note: str) -> Subscription:
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            if not end(connection, merchant, address, state, what, note):
                raise StoreError(f"merchant {merchant} sends nothing to {address}; nothing was changed")
            return _found(connection, merchant, address)


def subscribe(
    connection: sa.Connection,
    merchant: str,
    address: str,
    kinds: tuple[str, ...],
    mode: Mode,
    locale: str | None,
    note: str,
) -> None:
    """Insert or change a subscription, with its line. The caller holds the merchant's lock."""
    table, now = tables.Subscription, utc_now()
    address = str(storable(address))
    how = {"kinds": " ".join(kinds), "mode": mode, "locale": locale}
    known = connection.execute(
        sa.select(col(table.id), col(table.state), col(table.kinds), col(table.mode), col(table.locale)).where(
            _is(merchant, address)
        )
    ).one_or_none()
    if known is None:
        row = {"merchant": merchant, "address": address, "state": "active", "state_at": now, "created_at": now, **how}
        new_id = connection.execute(sa.insert(table).values(**row).returning(col(table.id))).scalar_one()
        _note(connection, new_id, now, "opted in", note)
    elif known.state != SubscriptionState.ACTIVE:
        connection.execute(
            sa.update(table).where(col(table.id) == known.id).values(state="active", state_at=now, **how)
        )
        _note(connection, known.id, now, "opted in", note)
    elif {name: getattr(known, name) for name in how} != how:
        connection.execute(sa.update(table).where(col(table.id) == known.id).values(**how))
        _note(connection, known.id, now, "changed", note)


def end(connection: sa.Connection, merchant: str, address: str, state: SubscriptionState, what: str, note: str) -> bool:
    """End an active subscription, with its line; False where there is none. The caller holds the merchant's lock."""
    table, now = tables.Subscription, utc_now()
    ended = connection.execute(
        sa.update(table)
        .where(_is(merchant, str(storable(address))), col(table.state) == SubscriptionState.ACTIVE.value)
        .values(state=state.value, state_at=now)
        .returning(col(table.id))
    ).scalar()
    if ended is not None:
        _note(connection, ended, now, what, note)
    return ended is not None


def _is(merchant: str, address: str) -> sa.ColumnElement[bool]:
    table = tables.Subscription
    return sa.and_(col(table.merchant) == merchant, col(table.address) == address)


def _note(connection: sa.Connection, subscription_id: int | None, now: datetime, what: str, note: str) -> None:
    row = {"subscription_id": subscription_id, "at": now, "what": what, "note": storable(note[:500])}
    connection.execute(sa.insert(tables.SubscriptionEvent).values(**row))


def _found(connection: sa.Connection, merchant: str, address: str) -> Subscription:
    (found,) = (one for one in _subscriptions(connection, merchant) if one.address == storable(address))
    return found


def _subscriptions(connection: sa.Connection, merchant: str) -> tuple[Subscription, ...]:
    table, event = tables.Subscription, tables.SubscriptionEvent
    events: dict[int, list[SubscriptionEvent]] = {}
    lines: Any = connection.execute(
        sa.select(col(event.subscription_id), col(event.at), col(event.what), col(event.note))
        .join(table, col(table.id) == col(event.subscription_id))
        .where(col(table.merchant) == merchant)
        .order_by(col(event.id))
    )
    for subscription_id, at, what, note in lines:
        events.setdefault(subscription_id, []).append(SubscriptionEvent(at, what, note))
    rows: Any = connection.execute(
        sa.select(
            col(table.id), col(table.address), col(table.kinds), col(table.mode), col(table.locale), col(table.state)
        )
        .where(col(table.merchant) == merchant)
        .order_by(col(table.id))
    )
    return tuple(
        Subscription(
            row.address, tuple(row.kinds.split()), row.mode, row.locale, row.state, tuple(events.get(row.id, ()))
        )
        for row in rows
    )
