"""Messages: the raw mail as it came, kept before anybody is told that it arrived, and who is reading it now.

    received -> claimed -> read | ignored          (`store_judgement`)
                        -> retry                   (`retry_message`: trouble of ours; claimable again when it is due)
                        -> quarantined             (`quarantine_message`: reading it fails, a person has to look)
                        -> received                (`release_message`: given back unread)

A claim is a lease with a token. Every move out of `claimed` asks for the token in its condition, so a worker that came
back after its lease ran out changes nothing that another one has done meanwhile.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StorageFullError, StoreError, TransactionEndedError
from ion.store import tables
from ion.store.engine import Database, one_row, translated
from ion.store.plain_sql import PlainSql
from ion.store.return_addresses import merchant_of, returned
from ion.store.types import MessageState, storable, utc_now

CLOCKS_APART = timedelta(minutes=5)  # more than machines on one database may disagree: a clock was put back
_UNREAD = (MessageState.RECEIVED.value, MessageState.CLAIMED.value, MessageState.RETRY.value)
Door = Literal["smtp", "file", "imap"]


class ClaimLostError(StoreError):
    """The lease ran out and another worker has the row, or it was never claimed; nothing was changed."""


class NoSuchAddressError(StoreError):
    """No merchant has the address now that a mail was to be kept for; nothing was changed."""


@dataclass(frozen=True)
class NewMessage:
    """A mail for one recipient of one merchant. `mail_from`: the envelope's sender, None for the null path.

    `merchant`: None where it is the one whose valid secret address `rcpt_to` is at the instant the mail is kept.
    """

    merchant: str | None
    door: Door
    raw: bytes
    mail_from: str | None
    rcpt_to: str


@dataclass(frozen=True)
class AddedMessage:
    """The row of a mail. `created` is False where the same octets for the same recipient were there already."""

    id: int
    merchant: str
    created: bool
    sha256: str


@dataclass(frozen=True)
class ClaimedMessage:
    """A message to read, ours until `claimed_until`. `attempts` counts the claims, this one included; `failures` how
    often reading it came to no end. `is_bounce`: it came to the return address of a mail of ours, so it is read as a
    bounce and as nothing else; `bounce_of`: that mail, None where it is not known any more."""

    id: int
    merchant: str
    raw: bytes
    sha256: str
    received_at: datetime
    attempts: int
    failures: int
    claim_token: str
    claimed_until: datetime
    is_bounce: bool = False
    bounce_of: int | None = None


@dataclass(frozen=True)
class KeptMessage:
    """A message that is over, with its octets: what `ion reparse` reads again. `state_at`: when it came to `state`;
    `attempts`: of reading it again; `is_bounce`, `bounce_of`: as for a claimed one."""

    id: int
    merchant: str
    state: str
    state_at: datetime
    received_at: datetime
    raw: bytes
    attempts: int = 1
    is_bounce: bool = False
    bounce_of: int | None = None


# What a message may be read again from: nobody is at work on it.
SETTLED = (MessageState.READ.value, MessageState.IGNORED.value, MessageState.QUARANTINED.value)


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
        (added,) = self.add_message_groups([messages])
        if isinstance(added, StoreError):
            raise added
        return added

    def add_message_groups(
        self, groups: Sequence[Sequence[NewMessage]]
    ) -> tuple[tuple[AddedMessage, ...] | StoreError, ...]:
        """Keep several groups of mails in one transaction, committed and synced when this returns: one result for each
        group, in their order.

        Of each group all are kept or none; one that the database refuses has its StoreError as its result and does not
        touch the others. Raises StoreError where the transaction as a whole fails; then nothing was kept.
        """
        digests = {id(one.raw): sha256(one.raw).hexdigest() for group in groups for one in group}
        added: dict[int, tuple[AddedMessage, ...] | StoreError] = {}
        with self.writing() as connection:
            add = _Add(connection)
            keys: dict[int, list[tuple[str, str, str]]] = {}
            for at, group in enumerate(groups):
                try:
                    with translated():
                        keys[at] = [
                            (one.merchant or add.merchant_of(one.rcpt_to), one.rcpt_to.lower(), digests[id(one.raw)])
                            for one in group
                        ]
                except NoSuchAddressError as error:
                    added[at] = error
            in_turn = list(keys)
            if not self._is_sqlite:
                # Two transactions that add the same mails in other groups must not wait for each other crosswise.
                # SQLite has one writer.
                add.lock({digest for group in keys.values() for _, _, digest in group})
            for at in in_turn:
                try:
                    with add.savepoint(needed=len(keys) > 1):
                        order = sorted(range(len(keys[at])), key=keys[at].__getitem__)
                        rows = {of: add(groups[at][of], keys[at][of]) for of in order}
                except (StorageFullError, TransactionEndedError):
                    raise
                except StoreError as error:
                    if len(keys) == 1:
                        raise
                    added[at] = error
                else:
                    added[at] = tuple(rows[of] for of in range(len(rows)))
        return tuple(added[at] for at in range(len(groups)))

    def check_writable(self) -> None:
        """Raises StoreError where the database takes no writing transaction now. Writes, but changes nothing."""
        with self.writing() as connection:
            if connection.dialect.name == "sqlite":
                # Writes the first page, unlike an UPDATE to the same values, which SQLite leaves out.
                version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")
            else:
                connection.execute(sa.select(col(tables.Merchant.name)).limit(1).with_for_update())

    def claim_messages(
        self, limit: int, lease_seconds: float, *, most_bytes: int | None = None
    ) -> tuple[ClaimedMessage, ...]:
        """Take up to `limit` messages to read, longest waiting first: received ones, those whose retry is due, and
        those whose lease ran out. Others cannot take them for `lease_seconds`. `most_bytes`: of their octets together,
        but one message is always taken."""
        with self.reading() as connection:  # so that an idle worker does not ask for the write lock every second
            now = utc_now()
            if not PlainSql(connection).rows(_CLAIMABLE, now, now + CLOCKS_APART, 1):
                return ()
        with self.writing() as connection:
            sql, now = PlainSql(connection), utc_now()
            lock = "" if self._is_sqlite else " FOR UPDATE SKIP LOCKED"
            found: list[Any] = []
            octets = 0
            for row in sql.rows(_CLAIMABLE + lock, now, now + CLOCKS_APART, limit):
                octets += row[1]
                if found and most_bytes is not None and octets > most_bytes:
                    break
                found.append(row)
            token, until = secrets.token_hex(16), now + timedelta(seconds=lease_seconds)
            ids = [row[0] for row in found]
            if not ids:
                return ()
            marks = ", ".join("?" * len(ids))
            sql.run(f"{_CLAIM} ({marks})", now, token, until, *ids)
            raws = dict(sql.rows(f"{_RAWS} ({marks})", *ids))
            bounces = {row[0]: returned(sql, row[7], row[8], raws.get(row[0], b"")) for row in found}
        return tuple(
            ClaimedMessage(
                id=message_id,
                merchant=merchant,
                raw=raws[message_id],
                sha256=digest,
                received_at=sql.instant(received_at),
                attempts=attempts + 1,
                failures=failures,
                claim_token=token,
                claimed_until=until,
                is_bounce=bounces[message_id].is_bounce,
                bounce_of=bounces[message_id].outgoing_id,
            )
            for message_id, _, merchant, digest, received_at, attempts, failures, _, _ in found
            if message_id in raws  # one without its octets, which `ion check` tells, must not hold up the others
        )

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

    def read_again(
        self,
        *,
        ids: Sequence[int] = (),
        merchant: str | None = None,
        since: datetime | None = None,
        states: Sequence[str] = (),
        after_id: int = 0,
        limit: int = 50,
    ) -> tuple[KeptMessage, ...]:
        """Up to `limit` messages that were read, ignored or quarantined and whose octets are still kept, by id, from
        `after_id` on. `since`: received at or after that instant; `states`: of the message, or of one of its
        notifications. No condition where one is not given."""
        message, notification, kept = tables.Message, tables.Notification, tables.MessageRaw
        query = (
            sa.select(
                col(message.id),
                col(message.merchant),
                col(message.state),
                col(message.state_at),
                col(message.received_at),
                col(message.door),
                col(message.rcpt_to),
                col(kept.raw),
            )
            .join(kept, col(kept.message_id) == col(message.id))
            .where(col(message.id) > after_id)
            .where(col(message.state).in_(SETTLED))
            .order_by(col(message.id))
            .limit(limit)
        )
        if ids:
            query = query.where(col(message.id).in_(ids))
        if merchant is not None:
            query = query.where(col(message.merchant) == merchant)
        if since is not None:
            query = query.where(col(message.received_at) >= since)
        if states:
            holds = sa.exists().where(
                col(notification.message_id) == col(message.id), col(notification.state).in_(states)
            )
            query = query.where(sa.or_(col(message.state).in_(states), holds))
        with self.reading() as connection:
            rows: Any = connection.execute(query).all()
            sql = PlainSql(connection)
            told = [returned(sql, row.door, row.rcpt_to, row.raw) for row in rows]
        return tuple(
            KeptMessage(
                id=row.id,
                merchant=row.merchant,
                state=row.state,
                state_at=row.state_at,
                received_at=row.received_at,
                raw=row.raw,
                is_bounce=one.is_bounce,
                bounce_of=one.outgoing_id,
            )
            for row, one in zip(rows, told, strict=True)
        )

    def message_state(self, message_id: int) -> str | None:
        """The state of a message now; None where there is no such message."""
        with self.reading() as connection:
            return connection.execute(
                sa.select(col(tables.Message.state)).where(col(tables.Message.id) == message_id)
            ).scalar()

    def newest_message_id(self) -> int:
        """The number of the message that came last; 0 where none did."""
        with self.reading() as connection:
            return connection.execute(sa.select(sa.func.max(col(tables.Message.id)))).scalar() or 0

    def unread_messages(self, merchant: str, up_to: int) -> int:
        """How many of a merchant's messages up to that number wait to be read, or are being read."""
        table = tables.Message
        # By state, of which an index gives the few that wait, and not by merchant, of which it would give all.
        theirs = sa.func.count().filter(col(table.merchant) == merchant, col(table.id) <= up_to)
        waiting = sa.select(theirs).where(col(table.state).in_(_UNREAD))
        with self.reading() as connection:
            return connection.execute(waiting).scalar_one()

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
    one_row(moved, _not_ours(message_id))


def end_claim(connection: sa.Connection, message_id: int, claim_token: str, state: MessageState) -> None:
    """`move_claimed` for a message that is over."""
    if not PlainSql(connection).rows(_END_CLAIM, state.value, utc_now(), message_id, claim_token):
        raise _not_ours(message_id)


def _not_ours(message_id: int) -> ClaimLostError:
    return ClaimLostError(f"message {message_id} is no longer claimed with this token")


def message_counts(connection: sa.Connection) -> dict[str, int]:
    """Messages by state, every known state named."""
    state = col(tables.Message.state)
    rows = connection.execute(sa.select(state, sa.func.count().label("number")).group_by(state))
    return {known.value: 0 for known in MessageState} | {row.state: row.number for row in rows}


def insert_message(connection: sa.Connection, message: NewMessage, digest: str) -> AddedMessage:
    """Keep one mail, or find the same octets for the same recipient, in the caller's transaction. `digest`: the SHA-256
    of its octets, in hex."""
    add = _Add(connection)
    return add(message, (message.merchant or add.merchant_of(message.rcpt_to), message.rcpt_to.lower(), digest))


class _Add:
    """Adds mails within one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._sql = PlainSql(connection)
        self._merchants: dict[str, str | None] = {}
        self._now = utc_now()

    def __call__(self, message: NewMessage, key: tuple[str, str, str]) -> AddedMessage:
        merchant, rcpt_to, digest = key
        received, now = MessageState.RECEIVED.value, self._now
        # The row that comes back says whether there is one: drivers do not agree on the row count of an INSERT.
        inserted = self._sql.rows(
            _INSERT,
            *(merchant, message.door, digest, len(message.raw), storable(message.mail_from), storable(rcpt_to)),
            *(now, received, now, now),
        )
        if inserted:
            ((new_id,),) = inserted
            self._sql.run("INSERT INTO message_raw (message_id, raw) VALUES (?, ?)", new_id, message.raw)
            return AddedMessage(new_id, merchant, True, digest)
        ((first_id,),) = self._sql.rows(_FIND, merchant, storable(rcpt_to), digest)
        return AddedMessage(first_id, merchant, False, digest)

    def lock(self, digests: Iterable[str]) -> None:
        """PostgreSQL: wait until no other transaction adds mails of these digests, for each in the same order."""
        numbers = sorted(int.from_bytes(bytes.fromhex(digest[:16]), signed=True) for digest in digests)
        if len(numbers) > 1:
            self._sql.run("SELECT pg_advisory_xact_lock(number) FROM unnest(?::bigint[]) AS number", numbers)

    def merchant_of(self, address: str) -> str:
        """The merchant whose valid address this is now. Raises NoSuchAddressError."""
        address = address.lower()
        if address not in self._merchants:
            found = self._sql.rows(_MERCHANT_AT, storable(address))
            own = found[0][0] if found else None
            self._merchants[address] = own or merchant_of(self._sql, address)
        merchant = self._merchants[address]
        if merchant is None:
            raise NoSuchAddressError("no merchant has this recipient address now")
        return merchant

    @contextmanager
    def savepoint(self, *, needed: bool) -> Iterator[None]:
        """What the block did is undone where it raises, and the transaction goes on. Raises StoreError."""
        with self._sql.savepoint() if needed else translated():
            yield


_INSERT = (
    "INSERT INTO message (merchant, door, sha256, size_bytes, mail_from, rcpt_to, received_at, state, state_at, due_at,"
    " attempts, failures) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT DO NOTHING RETURNING id"
)
_FIND = "SELECT id FROM message WHERE merchant = ? AND rcpt_to = ? AND sha256 = ?"
_MERCHANT_AT = "SELECT merchant FROM merchant_address WHERE address = ? AND retired_at IS NULL"


# A message put back waits behind those that came before that, so one that hangs does not hold up the others twice.
# What was received is due by its state, not by the clock: a clock that is put back must not hold up mail.
# Nor must one that was claimed or put back by a clock that was ahead and has been put right since.
_CLAIMABLE = (
    "SELECT id, size_bytes, merchant, sha256, received_at, attempts, failures, door, rcpt_to FROM message"
    " WHERE due_at IS NOT NULL AND (state = 'received' OR due_at <= ? OR state_at > ?) ORDER BY due_at, id LIMIT ?"
)
_CLAIM = (
    "UPDATE message SET state = 'claimed', state_at = ?, claim_token = ?, due_at = ?, attempts = attempts + 1"
    " WHERE id IN"
)
_RAWS = "SELECT message_id, raw FROM message_raw WHERE message_id IN"
_END_CLAIM = (
    "UPDATE message SET state = ?, state_at = ?, claim_token = NULL, due_at = NULL, last_error = NULL"
    " WHERE id = ? AND state = 'claimed' AND claim_token = ? RETURNING id"
)
