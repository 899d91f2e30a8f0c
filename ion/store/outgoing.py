"""Outgoing mail: finished notifications on their way to the relay.

    queued -> sent          the relay took it
           -> retry         the relay could not take it now; claimable again when its time comes
           -> failed        the relay refused it for good

A claim is a lease with a token beside the state. One that was made by a clock that was ahead and has been put right
since holds nothing up: it ends later than any claim of now. A process that dies between the relay's answer and
`mark_sent` leads to a second mail with the same octets and the same Message-ID, which the receiving side knows as a
duplicate.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, one_row
from ion.store.merchants import lock_merchant
from ion.store.messages import CLOCKS_APART, ClaimLostError
from ion.store.privacy import is_erased
from ion.store.types import OutgoingState, storable, utc_now


@dataclass(frozen=True)
class NewMail:
    """A finished mail: its octets with CRLF lines, its Message-ID, its envelope."""

    message_id: str
    raw: bytes
    mail_from: str
    rcpt_tos: tuple[str, ...]


@dataclass(frozen=True)
class OutgoingMail:
    """A row of the queue. `next_attempt_at`: when it is due (None: it is over); `last_reply`: the relay's last words;
    `claim_token`: set on rows returned by `claim_outgoing`."""

    id: int
    merchant: str
    sequence: int
    platform: str
    order_number: str
    revision: int
    content_sha256: str
    message_id: str
    raw: bytes
    mail_from: str
    rcpt_tos: tuple[str, ...]
    state: str
    attempts: int
    last_reply: str | None
    created_at: datetime
    state_at: datetime
    next_attempt_at: datetime | None
    claim_token: str | None


@dataclass(frozen=True)
class Queued:
    """`created` is False where this content was queued before: then `mail` is that row."""

    mail: OutgoingMail
    created: bool


class Outgoings(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def queue_notification(
        self,
        merchant: str,
        platform: str,
        order_number: str,
        content_sha256: str,
        build: Callable[[int, int], NewMail],
    ) -> Queued:
        """Queue the mail of an order, once for each content of it.

        The content of the order's newest queued mail again: nothing new. Other content: the next revision, 1 for the
        first. `build(revision, sequence)` makes the mail with its revision and the merchant's next sequence number; it
        is called inside the transaction, so it must not use the store; what it raises goes to the caller and leaves
        no gap in the sequence. Raises UnknownMerchantError, StoreError where the order was erased.
        """
        table = tables.Outgoing
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            if is_erased(connection, merchant, platform, order_number):
                raise StoreError(f"order {order_number} was erased here; nothing is sent for it")
            newest = connection.execute(
                _rows()
                .where(col(table.merchant) == merchant)
                .where(col(table.platform) == platform)
                .where(col(table.order_number) == order_number)
                .order_by(col(table.revision).desc())
                .limit(1)
            ).one_or_none()
            if newest is not None and newest.content_sha256 == content_sha256:
                return Queued(_mail(newest), False)
            last = connection.execute(
                sa.select(sa.func.max(col(table.sequence))).where(col(table.merchant) == merchant)
            ).scalar()
            revision, sequence = (newest.revision + 1 if newest else 1), (last or 0) + 1
            mail = build(revision, sequence)
            now = utc_now()
            new_id = connection.execute(
                sa.insert(table)
                .values(
                    merchant=merchant,
                    sequence=sequence,
                    platform=platform,
                    order_number=order_number,
                    revision=revision,
                    content_sha256=content_sha256,
                    message_id=mail.message_id,
                    raw=mail.raw,
                    mail_from=mail.mail_from,
                    rcpt_tos=json.dumps(mail.rcpt_tos, ensure_ascii=False),
                    state=OutgoingState.QUEUED.value,
                    state_at=now,
                    created_at=now,
                    next_attempt_at=now,
                    attempts=0,
                )
                .returning(col(table.id))
            ).scalar_one()
            return Queued(_mail(connection.execute(_rows().where(col(table.id) == new_id)).one()), True)

    def claim_outgoing(
        self, limit: int, lease_seconds: float, *, outgoing_id: int | None = None
    ) -> tuple[OutgoingMail, ...]:
        """Take up to `limit` mails that are due, oldest first, or only the one named, due or not. Others cannot take
        them for `lease_seconds`, which is to be the same for all. Each claim counts as an attempt."""
        table, now = tables.Outgoing, utc_now()
        until, ahead = now + timedelta(seconds=lease_seconds), now + CLOCKS_APART
        is_free = sa.or_(
            col(table.claimed_until).is_(None),
            col(table.claimed_until) <= now,
            col(table.claimed_until) > until + CLOCKS_APART,
        )
        is_due = sa.or_(col(table.next_attempt_at) <= now, col(table.state_at) > ahead)
        query = (
            sa.select(col(table.id))
            .where(col(table.state).in_([OutgoingState.QUEUED.value, OutgoingState.RETRY.value]))
            .where(is_free)
            .where(is_due if outgoing_id is None else col(table.id) == outgoing_id)
            .order_by(col(table.id))
            .limit(limit)
        )
        with self.reading() as connection:
            if connection.execute(query).first() is None:
                return ()
        with self.writing() as connection:
            claimed = []
            for found in connection.execute(query.with_for_update(skip_locked=True)).scalars().all():
                connection.execute(
                    sa.update(table)
                    .where(col(table.id) == found)
                    .values(
                        claim_token=secrets.token_hex(16),
                        claimed_until=until,
                        attempts=table.attempts + 1,
                    )
                )
                claimed.append(_mail(connection.execute(_rows().where(col(table.id) == found)).one()))
            return tuple(claimed)

    def mark_sent(self, outgoing_id: int, claim_token: str, reply: str) -> None:
        """The relay took the mail. `reply`: its words. Raises ClaimLostError."""
        self._end_claim(outgoing_id, claim_token, OutgoingState.SENT, reply, None)

    def mark_retry(self, outgoing_id: int, claim_token: str, reply: str, delay_seconds: float) -> None:
        """The relay could not take it now; it is due again after `delay_seconds`. Raises ClaimLostError."""
        self._end_claim(outgoing_id, claim_token, OutgoingState.RETRY, reply, delay_seconds)

    def mark_failed(self, outgoing_id: int, claim_token: str, reply: str) -> None:
        """The relay refused the mail for good. Raises ClaimLostError."""
        self._end_claim(outgoing_id, claim_token, OutgoingState.FAILED, reply, None)

    def list_outgoing(self, merchant: str | None = None, state: str | None = None) -> tuple[OutgoingMail, ...]:
        """Rows of the queue, oldest first, octets included."""
        query = _rows().order_by(col(tables.Outgoing.id))
        if merchant is not None:
            query = query.where(col(tables.Outgoing.merchant) == merchant)
        if state is not None:
            query = query.where(col(tables.Outgoing.state) == state)
        with self.reading() as connection:
            return tuple(_mail(row) for row in connection.execute(query))

    def _end_claim(
        self, outgoing_id: int, claim_token: str, state: OutgoingState, reply: str, delay_seconds: float | None
    ) -> None:
        table, now = tables.Outgoing, utc_now()
        with self.writing() as connection:
            moved = connection.execute(
                sa.update(table)
                .where(col(table.id) == outgoing_id)
                .where(col(table.claim_token) == claim_token)
                .values(
                    state=state.value,
                    state_at=now,
                    last_reply=storable(reply[:500]),
                    next_attempt_at=None if delay_seconds is None else now + timedelta(seconds=delay_seconds),
                    claim_token=None,
                    claimed_until=None,
                )
            )
            one_row(moved, ClaimLostError(f"outgoing mail {outgoing_id} is no longer claimed with this token"))


_FIELDS = tuple(OutgoingMail.__dataclass_fields__)


def _rows() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*(getattr(tables.Outgoing, name) for name in _FIELDS))


def _mail(row: Any) -> OutgoingMail:
    values = dict(zip(_FIELDS, row, strict=True))
    return OutgoingMail(**values | {"rcpt_tos": tuple(json.loads(values["rcpt_tos"]))})
