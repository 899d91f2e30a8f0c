"""Column types and states: instants that come back aware on every database, states as words with a CHECK."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class MessageState(StrEnum):
    """received -> claimed -> read | ignored | retry | quarantined; read, ignored and quarantined -> purged."""

    RECEIVED = "received"
    CLAIMED = "claimed"
    READ = "read"
    IGNORED = "ignored"
    RETRY = "retry"
    QUARANTINED = "quarantined"
    PURGED = "purged"


class NotificationState(StrEnum):
    """What became of a notification; held and review change no order until a person decides (`decisions`)."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"
    DUPLICATE = "duplicate"
    HELD = "held"
    REVIEW = "review"
    DISMISSED = "dismissed"


class OrderState(StrEnum):
    """new -> exported -> entered. A later revision keeps the state and sets the flag `amended`."""

    NEW = "new"
    EXPORTED = "exported"
    ENTERED = "entered"


ALERT_KIND = "alert"
"""The word in the kinds of a subscription that is told of alerts."""


class OutgoingState(StrEnum):
    """queued -> sent | retry | failed | cancelled; sent -> bounced; or gathered -> digested, by a digest that is queued
    then."""

    GATHERED = "gathered"
    DIGESTED = "digested"
    QUEUED = "queued"
    RETRY = "retry"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    BOUNCED = "bounced"


class OutgoingKind(StrEnum):
    """What a mail tells: an order, a day's orders, what was exported, or what a person has to know."""

    ORDER = "order"
    DIGEST = "digest"
    REPORT = "report"
    ALERT = "alert"


class DeliveryState(StrEnum):
    """queued -> done | retry | failed; failed: given up, or its target is not used any more."""

    QUEUED = "queued"
    RETRY = "retry"
    DONE = "done"
    FAILED = "failed"


class SubscriptionState(StrEnum):
    """active: told; paused: its mail came back again and again; ended: it opted out."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class JobState(StrEnum):
    """running -> done | failed."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class ImapAccountState(StrEnum):
    """How an IMAP account fares: refused means that a person has to renew what it signs in with."""

    OK = "ok"
    FAILING = "failing"
    REFUSED = "refused"


class ErasureKind(StrEnum):
    """Whose data was erased: all of a merchant, all of a customer (by mail address), or one order."""

    MERCHANT = "merchant"
    CUSTOMER = "customer"
    ORDER = "order"


class Role(StrEnum):
    """What a user may do for a merchant; each may do what the one before may: look, work on orders, change settings."""

    READER = "reader"
    STAFF = "staff"
    ADMIN = "admin"

    def covers(self, other: "Role") -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware in Python, `timestamptz` on PostgreSQL, UTC text without an offset on SQLite.

    SQLite drops an offset silently, so everything is turned to UTC on the way in and marked as UTC on the way out.
    A naive datetime is refused: it names no instant.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def one_of(column: str, states: type[StrEnum]) -> sa.CheckConstraint:
    """A CHECK, named after its column, that the column holds one of the states' values."""
    words = ", ".join(f"'{state.value}'" for state in states)
    return sa.CheckConstraint(f"{column} IN ({words})", name=column)


def utc_now() -> datetime:
    """The present instant, aware."""
    return datetime.now(UTC)


def storable(text: str | None) -> str | None:
    """`text` as every database can hold it: lone surrogates escaped, without NUL."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
