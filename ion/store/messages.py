"""Messages: the raw mail as it came, kept before anybody is told that it arrived, and who is reading it now.

    received -> claimed -> read | ignored          (`store_judgement`)
                        -> retry                   (`retry_message`: trouble of ours; claimable again when it is due)
                        -> quarantined             (`quarantine_message`: reading it fails, a person has to look)
                        -> received                (`release_message`: given back unread)

A claim is a lease with a token. Every move out of `claimed` asks for the token in its condition, so a worker that came
back after its lease ran out changes nothing that another one has done meanwhile.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, insert_new, one_row
from ion.store.types import MessageState, storable, utc_now

CLOCKS_APART = timedelta(minutes=5)  # more than machines on one database may disagree: a clock was put back
Door = Literal["smtp", "file", "imap"]


class ClaimLostError(StoreError):
    """The lease ran out and another worker has the row, or it was never claimed; nothing was changed."""


@dataclass(frozen=True)
class NewMessage:
    """A mail for one recipient of one merchant. `mail_from`: the envelope's sender, None for the null path."""

    merchant: str
    door: Door
    raw: bytes
    mail_from: str | None
    rcpt_to: str


@dataclass(frozen=True)
class AddedMessage:
    """The row of a mail. `created` is False where the same octets for the same recipient were there already."""

    id: int
    created: bool
    sha256: str


@dataclass(frozen=True)
class ClaimedMessage:
    """A message to read, ours until `claimed_until`. `attempts` counts the claims, this one included; `failures` how
    often reading it came to no end."""

    id: int
    merchant: str
    raw: bytes
    sha256: str
    received_at: datetime
    attempts: int
    failures: int
    claim_token: str
    claimed_until: datetime


class Messages(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def add_message(self, message: NewMessage) -> AddedMessage:
        """Keep one mail, durably: see `add_messages`."""
        return self.add_messages([message])[0]

    def add_messages(self, messages: Sequence[NewMessage]) -> tuple[AddedMessage, ...]:
        """Keep mails, all or none; committed and synced when this returns.

        The same octets for the same recipient are one message, however often they come: then `created` is False. That,
        too, is told only after the first one's commit.
        """
        digests = [sha256(message.raw).hexdigest() for message in messages]
        # Rows in one order everywhere: two transactions that add the same ones must not wait for each other crosswise.
        in_order = sorted(
            range(len(messages)), key=lambda at: (messages[at].merchant, messages[at].rcpt_to.lower(), digests[at])
        )
        with self.writing() as connection:
            added = {at: _add(connection, messages[at], digests[at]) for at in in_order}
        return tuple(added[at] for at in range(len(messages)))

    def claim_messages(self, limit: int, lease_seconds: float) -> tuple[ClaimedMessage, ...]:
        """Take up to `limit` messages to read, longest waiting first: received ones, those whose retry is due, and
        those whose lease ran out. Others cannot take them for `lease_seconds`."""
        with self.reading() as connection:  # so that an idle worker does not ask for the write lock every second
            if connection.execute(_claimable(1)).first() is None:
                return ()
        with self.writing() as connection:
            ids = connection.execute(_claimable(limit).with_for_update(skip_locked=True)).scalars().all()
            return tuple(_claim(connection, message_id, lease_seconds) for message_id in ids)

    def release_message(self, message_id: int, claim_token: str) -> None:
        """Give a claimed message back unread, as if it had not been claimed. Raises ClaimLostError."""
        with self.writing() as connection:
            attempts = tables.Message.attempts - 1
            move_claimed(
                connection, message_id, claim_token, MessageState.RECEIVED, attempts=attempts, due_at=utc_now()
            )

    def retry_message(
        self, message_id: int, claim_token: str, error: str, delay_seconds: float, *, failed: bool = False
    ) -> None:
        """Put a claimed message back for a later try, behind all that wait already. `error`: the cause, without
        content; `failed`: the reading itself came to no end, not something around it. Raises ClaimLostError."""
        with self.writing() as connection:
            move_claimed(
                connection,
                message_id,
                claim_token,
                MessageState.RETRY,
                due_at=utc_now() + timedelta(seconds=delay_seconds),
                failures=tables.Message.failures + int(failed),
                last_error=error[:500],
            )

    def quarantine_message(self, message_id: int, claim_token: str, error: str) -> None:
        """Set a claimed message aside for a person: it cannot be read here. Raises ClaimLostError."""
        with self.writing() as connection:
            move_claimed(connection, message_id, claim_token, MessageState.QUARANTINED, last_error=error[:500])

    def message_state(self, message_id: int) -> str | None:
        """The state of a message now; None where there is no such message."""
        with self.reading() as connection:
            return connection.execute(
                sa.select(col(tables.Message.state)).where(col(tables.Message.id) == message_id)
            ).scalar()

    def counts(self) -> dict[str, int]:
        """Messages by state, every state named; the sum is all that were ever received."""
        with self.reading() as connection:
            return message_counts(connection)


def move_claimed(
    connection: sa.Connection, message_id: int, claim_token: str, state: MessageState, **also: Any
) -> None:
    """Move a message out of `claimed`, if the claim is still ours; set the columns `also`. Raises ClaimLostError."""
    moved = connection.execute(
        sa.update(tables.Message)
        .where(col(tables.Message.id) == message_id)
        .where(col(tables.Message.state) == MessageState.CLAIMED.value)
        .where(col(tables.Message.claim_token) == claim_token)
        .values(state=state.value, state_at=utc_now(), **{"claim_token": None, "due_at": None} | also)
    )
    one_row(moved, ClaimLostError(f"message {message_id} is no longer claimed with this token"))


def message_counts(connection: sa.Connection) -> dict[str, int]:
    """Messages by state, every known state named."""
    state = col(tables.Message.state)
    rows = connection.execute(sa.select(state, sa.func.count().label("number")).group_by(state))
    return {known.value: 0 for known in MessageState} | {row.state: row.number for row in rows}


def _add(connection: sa.Connection, message: NewMessage, digest: str) -> AddedMessage:
    now = utc_now()
    new_id: int | None = insert_new(
        connection,
        tables.Message,
        "id",
        merchant=message.merchant,
        door=message.door,
        raw=message.raw,
        sha256=digest,
        size_bytes=len(message.raw),
        mail_from=storable(message.mail_from),
        rcpt_to=storable(message.rcpt_to.lower()),
        received_at=now,
        state=MessageState.RECEIVED.value,
        state_at=now,
        due_at=now,
        attempts=0,
        failures=0,
    )
    if new_id is not None:
        return AddedMessage(new_id, True, digest)
    first_id = connection.execute(
        sa.select(col(tables.Message.id))
        .where(col(tables.Message.merchant) == message.merchant)
        .where(col(tables.Message.rcpt_to) == storable(message.rcpt_to.lower()))
        .where(col(tables.Message.sha256) == digest)
    ).scalar_one()
    assert first_id is not None
    return AddedMessage(first_id, False, digest)


def _claimable(limit: int) -> sa.Select[int | None]:
    # A message put back waits behind those that came before that, so one that hangs does not hold up the others twice.
    # What was received is due by its state, not by the clock: a clock that is put back must not hold up mail.
    # Nor must one that was claimed or put back by a clock that was ahead and has been put right since.
    due_at, message_id = col(tables.Message.due_at), col(tables.Message.id)
    now = utc_now()
    ahead = col(tables.Message.state_at) > now + CLOCKS_APART
    due = sa.or_(col(tables.Message.state) == MessageState.RECEIVED.value, due_at <= now, ahead)
    return sa.select(message_id).where(due_at.is_not(None), due).order_by(due_at, message_id).limit(limit)


def _claim(connection: sa.Connection, message_id: int | None, lease_seconds: float) -> ClaimedMessage:
    now = utc_now()
    token, until = secrets.token_hex(16), now + timedelta(seconds=lease_seconds)
    row: Any = connection.execute(
        sa.update(tables.Message)
        .where(col(tables.Message.id) == message_id)
        .values(
            state=MessageState.CLAIMED.value,
            state_at=now,
            claim_token=token,
            due_at=until,
            attempts=tables.Message.attempts + 1,
        )
        .returning(
            col(tables.Message.id),
            col(tables.Message.merchant),
            col(tables.Message.raw),
            col(tables.Message.sha256),
            col(tables.Message.received_at),
            col(tables.Message.attempts),
            col(tables.Message.failures),
        )
    ).one()
    return ClaimedMessage(claim_token=token, claimed_until=until, **row._mapping)
