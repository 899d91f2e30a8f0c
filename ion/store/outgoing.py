"""Outgoing mail: finished notifications on their way to the relay, one mail for each address.

    queued -> sent          the relay took it                       sent -> bounced      it came back
           -> retry         the relay could not take it now; claimable again when its time comes
           -> failed        the relay refused it for good, or the time for trying is over
           -> cancelled     a person does not want it sent
    gathered -> digested    waits for the day's digest; then a digest, a mail of its own, carries it
    failed, cancelled, bounced -> queued       a person wants it sent again

The order that a mail tells of is taken in with the mails in one transaction: a revision and the merchant's next
sequence number, which all its mails share. A claim is a lease with a token beside the state. One that was made by a
clock that was ahead and has been put right since holds nothing up: it ends later than any claim of now. A process that
dies between the relay's answer and `mark_sent` leads to a second mail with the same octets and the same Message-ID,
which the receiving side knows as a duplicate.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import OrderErasedError, StoreError
from ion.store import tables
from ion.store.alerts import add_alert
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.messages import CLOCKS_APART, ClaimLostError
from ion.store.plain_sql import PlainSql
from ion.store.privacy import is_erased
from ion.store.types import OutgoingKind, OutgoingState, storable, utc_now

_WAITING = (OutgoingState.QUEUED.value, OutgoingState.RETRY.value)


@dataclass(frozen=True)
class NewMail:
    """A finished mail: its octets with CRLF lines, its Message-ID, its envelope sender. `gathered`: it waits for the
    digest of its address; `return_token`: the secret part of the envelope sender, where bounces are read."""

    message_id: str
    raw: bytes
    mail_from: str
    return_token: str | None = None
    gathered: bool = False


@dataclass(frozen=True)
class TakenOrder:
    """A revision that is told of. `previous_json`: content of the revision before; None for the first, and where it is
    not known any more."""

    revision: int
    sequence: int
    previous_json: str | None


@dataclass(frozen=True)
class OutgoingMail:
    """A row of the queue. `sequence` to `revision`: of the order it tells of, None for a digest. `next_attempt_at`:
    when it is due (None: it is over, or gathered); `last_reply`: the relay's last words; `claim_token`: set on rows
    returned by `claim_outgoing`; `digest_id`: the digest that carried it. `raw`: its octets, empty in lists and where
    they are erased."""

    id: int
    merchant: str
    sequence: int | None
    platform: str | None
    order_number: str | None
    revision: int | None
    address: str
    message_id: str
    mail_from: str
    digest_id: int | None
    state: str
    attempts: int
    last_reply: str | None
    created_at: datetime
    state_at: datetime
    next_attempt_at: datetime | None
    claim_token: str | None
    raw: bytes = b""


@dataclass(frozen=True)
class Queued:
    """`created` is False where this content was queued before; `mails`: its mails, for the addresses asked for."""

    created: bool
    mails: tuple[OutgoingMail, ...]


class Outgoings(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def queue_notification(
        self,
        merchant: str,
        platform: str,
        order_number: str,
        content: tuple[str, str],
        addresses: Callable[[bool], Sequence[str]],
        build: Callable[[TakenOrder, str], NewMail],
    ) -> Queued:
        """Take an order in and queue its mails, once for each content of it and each address.

        `content`: the order's canonical JSON and its digest. The content of the order's newest revision again: nothing
        new, but for an address that was not told of it. Other content: the next revision, 1 for the first.
        `addresses(is_change)` names whom to tell, each once. `build(taken, address)` makes a mail; both are called
        inside the transaction, so they must not use the store; what they raise goes to the caller and leaves no gap in
        the sequence. Raises UnknownMerchantError, StoreError where the order was erased.
        """
        content_json, content_sha256 = content
        table, now = tables.OutgoingOrder, utc_now()
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            if is_erased(connection, merchant, platform, order_number):
                raise OrderErasedError(f"order {order_number} was erased here; nothing is sent for it")
            revisions: Any = connection.execute(
                sa.select(
                    col(table.id),
                    col(table.sequence),
                    col(table.revision),
                    col(table.content_json),
                    col(table.content_sha256),
                )
                .where(col(table.merchant) == merchant)
                .where(col(table.platform) == platform)
                .where(col(table.order_number) == order_number)
                .order_by(col(table.revision).desc())
                .limit(2)
            ).all()
            newest = revisions[0] if revisions else None
            order_id: Any
            created = False
            if newest is None or newest.content_sha256 != content_sha256:
                created = True
                last = connection.execute(
                    sa.select(sa.func.max(col(table.sequence))).where(col(table.merchant) == merchant)
                ).scalar()
                taken = TakenOrder(
                    newest.revision + 1 if newest else 1, (last or 0) + 1, newest.content_json if newest else None
                )
                row = {"merchant": merchant, "platform": platform, "order_number": order_number, "created_at": now}
                row |= {"sequence": taken.sequence, "revision": taken.revision}
                row |= {"content_sha256": content_sha256, "content_json": content_json}
                order_id = connection.execute(sa.insert(table).values(**row).returning(col(table.id))).scalar_one()
            else:
                before = revisions[1] if len(revisions) > 1 else None
                taken = TakenOrder(newest.revision, newest.sequence, before.content_json if before else None)
                order_id = newest.id
            told = tuple(dict.fromkeys(addresses(taken.revision > 1)))
            mails = [_mail_for(connection, merchant, order_id, taken, address, build, now) for address in told]
            return Queued(created, tuple(mails))

    def queue_digest(
        self,
        merchant: str,
        address: str,
        before: datetime,
        limit: int,
        most_bytes: int,
        build: Callable[[Sequence[OutgoingMail]], NewMail],
    ) -> OutgoingMail | None:
        """Queue one digest of up to `limit` mails gathered for an address before that instant, oldest first, and not
        more than `most_bytes` of them, but for a single one; None where there are none. `build` is called inside the
        transaction, as in `queue_notification`."""
        mail, now = tables.Outgoing, utc_now()
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            gathered = [
                _mail(row, _raw_of(connection, row.id))
                for row in connection.execute(
                    _rows()
                    .where(col(mail.merchant) == merchant, col(mail.address) == address)
                    .where(col(mail.state) == OutgoingState.GATHERED.value, col(mail.created_at) < before)
                    .order_by(col(mail.id))
                    .limit(limit)
                    # PostgreSQL: nobody cancels or erases one of them meanwhile.
                    .with_for_update(of=mail)
                )
            ]
            if not gathered:
                return None
            total = accumulate(len(one.raw) for one in gathered)
            gathered = [
                one
                for at, (one, octets) in enumerate(zip(gathered, total, strict=True))
                if not at or octets <= most_bytes
            ]
            digest_id = insert_mail(connection, merchant, OutgoingKind.DIGEST, None, address, build(gathered), now)
            connection.execute(
                sa.update(mail)
                .where(col(mail.id).in_([one.id for one in gathered]))
                .values(state=OutgoingState.DIGESTED.value, state_at=now, digest_id=digest_id)
            )
            return _mail(connection.execute(_rows().where(col(mail.id) == digest_id)).one())

    def queue_mail(self, merchant: str, kind: OutgoingKind, address: str, mail: NewMail) -> int:
        """Queue a finished mail that tells of no single order, a report or an alert; its id."""
        assert kind in (OutgoingKind.REPORT, OutgoingKind.ALERT)
        with self.writing() as connection:
            return insert_mail(connection, merchant, kind, None, address, mail, utc_now())

    def queue_gathered(self, merchant: str, address: str, before: datetime) -> None:
        """Queue the mails gathered for an address before that instant one by one, without a digest."""
        mail, now = tables.Outgoing, utc_now()
        with self.writing() as connection:
            connection.execute(
                sa.update(mail)
                .where(col(mail.merchant) == merchant, col(mail.address) == address)
                .where(col(mail.state) == OutgoingState.GATHERED.value, col(mail.created_at) < before)
                .values(state=OutgoingState.QUEUED.value, state_at=now, next_attempt_at=now)
            )

    def gathered_addresses(self, before: datetime) -> tuple[tuple[str, str], ...]:
        """Merchant and address of all for whom mail was gathered before that instant."""
        mail = tables.Outgoing
        query = (
            sa.select(col(mail.merchant), col(mail.address))
            .where(col(mail.state) == OutgoingState.GATHERED.value, col(mail.created_at) < before)
            .distinct()
            .order_by(col(mail.merchant), col(mail.address))
        )
        with self.reading() as connection:
            return tuple((merchant, address) for merchant, address in connection.execute(query))

    def claim_outgoing(
        self, limit: int, lease_seconds: float, *, ids: Sequence[int] | None = None, not_by: Sequence[str] = ()
    ) -> tuple[OutgoingMail, ...]:
        """Take up to `limit` mails that are due, longest due first, or only those named, due or not. Others cannot take
        them for `lease_seconds`, which is to be the same for all. Each claim counts as an attempt. `not_by`: names of
        relays whose merchants' mails are left ("": the installation's own)."""
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
            .where(col(table.next_attempt_at).is_not(None))  # as all have that wait: an index gives them in order
            .where(col(table.state).in_(_WAITING))
            .where(is_free)
            .where(is_due if ids is None else col(table.id).in_(ids))
            .order_by(col(table.next_attempt_at), col(table.id))
            .limit(limit)
        )
        if not_by:
            merchant = tables.Merchant
            relay = sa.select(col(merchant.name)).where(sa.func.coalesce(col(merchant.relay), "").in_(not_by))
            query = query.where(col(table.merchant).not_in(relay))
        with self.reading() as connection:
            if connection.execute(query).first() is None:
                return ()
        token = secrets.token_hex(16)
        with self.writing() as connection:
            found = connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
            if not found:
                return ()
            sql, marks = PlainSql(connection), ", ".join("?" * len(found))
            sql.run(f"{_CLAIM} ({marks})", token, until, *found)
            raws = dict(sql.rows(f"{_RAWS} ({marks})", *found))
            rows = connection.execute(_rows().where(col(table.id).in_(found)).order_by(col(table.id)))
            return tuple(_mail(row, raws.get(row.id, b"")) for row in rows)

    def mark_sent(self, outgoing_id: int, claim_token: str, reply: str) -> None:
        """The relay took the mail. `reply`: its words. Raises ClaimLostError."""
        if self.mark_all_sent([(outgoing_id, claim_token, reply)]) != [outgoing_id]:
            raise _lost(outgoing_id)

    def mark_all_sent(self, taken: Sequence[tuple[int, str, str]]) -> list[int]:
        """The relay took these mails: id, claim token, the relay's words; the ids of those that are marked. One whose
        claim was lost is left as it is."""
        marked = []
        with self.writing() as connection:
            sql, now = PlainSql(connection), utc_now()
            for outgoing_id, claim_token, reply in taken:
                marked += sql.rows(_SENT, now, storable(reply[:500]), outgoing_id, claim_token)
        return [outgoing_id for (outgoing_id,) in marked]

    def mark_retry(self, outgoing_id: int, claim_token: str, reply: str, delay_seconds: float) -> None:
        """The relay could not take it now; it is due again after `delay_seconds`. Raises ClaimLostError."""
        with self.writing() as connection:
            _end_claim(connection, outgoing_id, claim_token, OutgoingState.RETRY, reply, delay_seconds)

    def mark_failed(self, outgoing_id: int, claim_token: str, reply: str) -> None:
        """The relay refused the mail for good, which a person has to know. Raises ClaimLostError."""
        with self.writing() as connection:
            _end_claim(connection, outgoing_id, claim_token, OutgoingState.FAILED, reply, None)
            mail = _mail(connection.execute(_rows().where(col(tables.Outgoing.id) == outgoing_id)).one())
            kind = connection.execute(
                sa.select(col(tables.Outgoing.kind)).where(col(tables.Outgoing.id) == outgoing_id)
            ).scalar_one()
            what = named_mail(kind, mail.order_number)
            add_alert(
                connection,
                mail.merchant,
                "refused",
                f"{what}: the mail to {mail.address} was refused for good: {mail.last_reply}",
                outgoing_id,
                again=True,
            )

    def release_outgoing(self, claims: Sequence[tuple[int, str]]) -> None:
        """Give claimed mails back untried, as if they had not been claimed. What is not ours any more stays."""
        table = tables.Outgoing
        with self.writing() as connection:
            for outgoing_id, claim_token in claims:
                connection.execute(
                    sa.update(table)
                    .where(col(table.id) == outgoing_id, col(table.claim_token) == claim_token)
                    .values(claim_token=None, claimed_until=None, attempts=table.attempts - 1)
                )

    def requeue_outgoing(self, outgoing_id: int) -> OutgoingMail:
        """Try a mail again now, as if it had never been tried: one that failed, was cancelled or came back, or that
        waits. Raises StoreError where it cannot: it was sent, or erased."""
        again = (OutgoingState.FAILED, OutgoingState.CANCELLED, OutgoingState.BOUNCED, *map(OutgoingState, _WAITING))
        return self._move(outgoing_id, again, OutgoingState.QUEUED, "cannot be sent again")

    def cancel_outgoing(self, outgoing_id: int) -> OutgoingMail:
        """Do not send a mail that waits, is gathered, or failed. Raises StoreError where it is too late."""
        waiting = (*map(OutgoingState, _WAITING), OutgoingState.GATHERED, OutgoingState.FAILED)
        return self._move(outgoing_id, waiting, OutgoingState.CANCELLED, "cannot be cancelled")

    def list_outgoing(
        self,
        merchant: str | None = None,
        state: str | None = None,
        *,
        ids: Sequence[int] | None = None,
        without: Sequence[str] = (),
    ) -> tuple[OutgoingMail, ...]:
        """Rows of the queue, oldest first, without their octets. `without`: states that are left out."""
        query = _rows().order_by(col(tables.Outgoing.id))
        if merchant is not None:
            query = query.where(col(tables.Outgoing.merchant) == merchant)
        if state is not None:
            query = query.where(col(tables.Outgoing.state) == state)
        if ids is not None:
            query = query.where(col(tables.Outgoing.id).in_(ids))
        if without:
            query = query.where(col(tables.Outgoing.state).not_in(without))
        with self.reading() as connection:
            return tuple(_mail(row) for row in connection.execute(query))

    def waiting_outgoing(self) -> tuple[int, ...]:
        """Ids of all mails that wait for the relay, longest due first."""
        mail = tables.Outgoing
        query = sa.select(col(mail.id)).where(col(mail.state).in_(_WAITING))
        with self.reading() as connection:
            found: Any = connection.execute(query.order_by(col(mail.next_attempt_at), col(mail.id))).scalars()
            return tuple(found)

    def _move(self, outgoing_id: int, states: Sequence[OutgoingState], to: OutgoingState, refusal: str) -> OutgoingMail:
        table, now = tables.Outgoing, utc_now()
        with self.writing() as connection:
            moved = connection.execute(
                sa.update(table)
                .where(col(table.id) == outgoing_id)
                .where(col(table.state).in_([state.value for state in states]))
                .where(col(table.erased_at).is_(None))
                .where(sa.or_(col(table.claimed_until).is_(None), col(table.claimed_until) <= now))
                .values(
                    state=to.value,
                    state_at=now,
                    attempts=0 if to is OutgoingState.QUEUED else table.attempts,
                    next_attempt_at=now if to is OutgoingState.QUEUED else None,
                    claim_token=None,
                    claimed_until=None,
                )
            )
            row = connection.execute(_rows().where(col(table.id) == outgoing_id)).one_or_none()
            if row is None:
                raise StoreError(f"there is no outgoing mail {outgoing_id}; `ion outbox --all` shows them")
            if moved.rowcount != 1:
                why = "it is being sent at this moment" if row.claim_token else f"it is {row.state}"
                raise StoreError(f"outgoing mail {outgoing_id} {refusal}: {why}")
            return _mail(row)


def named_mail(kind: str, order_number: str | None) -> str:
    """What a mail of this `OutgoingKind` is, in an alert of it."""
    if order_number is not None:
        return f"order {order_number}"
    return {OutgoingKind.DIGEST: "the day's digest", OutgoingKind.REPORT: "the report"}.get(
        OutgoingKind(kind), "the mail of alerts"
    )


def _mail_for(
    connection: sa.Connection,
    merchant: str,
    order_id: int,
    taken: TakenOrder,
    address: str,
    build: Callable[[TakenOrder, str], NewMail],
    now: datetime,
) -> OutgoingMail:
    """The mail that tells an address of an order: the one that is there, or a new one."""
    mail = tables.Outgoing
    known = _rows().where(col(mail.order_id) == order_id, col(mail.address) == storable(address))
    row = connection.execute(known).one_or_none()
    if row is None:
        new_id = insert_mail(connection, merchant, OutgoingKind.ORDER, order_id, address, build(taken, address), now)
        row = connection.execute(_rows().where(col(mail.id) == new_id)).one()
    return _mail(row)


def insert_mail(
    connection: sa.Connection,
    merchant: str,
    kind: OutgoingKind,
    order_id: int | None,
    address: str,
    new: NewMail,
    now: datetime,
) -> int:
    """Queue a finished mail; its id. The caller's transaction."""
    table = tables.Outgoing
    new_id = connection.execute(
        sa.insert(table)
        .values(
            merchant=merchant,
            kind=kind.value,
            order_id=order_id,
            address=storable(address),
            return_token=new.return_token,
            message_id=new.message_id,
            mail_from=new.mail_from,
            state=(OutgoingState.GATHERED if new.gathered else OutgoingState.QUEUED).value,
            state_at=now,
            created_at=now,
            next_attempt_at=None if new.gathered else now,
            attempts=0,
        )
        .returning(col(table.id))
    ).scalar_one()
    assert new_id is not None
    connection.execute(sa.insert(tables.OutgoingRaw).values(outgoing_id=new_id, raw=new.raw))
    return new_id


def _end_claim(
    connection: sa.Connection,
    outgoing_id: int,
    claim_token: str,
    state: OutgoingState,
    reply: str,
    delay_seconds: float | None,
) -> None:
    table, now = tables.Outgoing, utc_now()
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
    if moved.rowcount != 1:
        raise _lost(outgoing_id)


def _lost(outgoing_id: int) -> ClaimLostError:
    return ClaimLostError(f"outgoing mail {outgoing_id} is no longer claimed with this token")


_CLAIM = "UPDATE outgoing SET claim_token = ?, claimed_until = ?, attempts = attempts + 1 WHERE id IN"
_RAWS = "SELECT outgoing_id, raw FROM outgoing_raw WHERE outgoing_id IN"
# A bounce may be quicker than we are.
_SENT = (
    "UPDATE outgoing SET state = CASE WHEN EXISTS (SELECT 1 FROM bounce WHERE bounce.outgoing_id = outgoing.id"
    " AND bounce.action = 'failed' AND bounce.received_at >= outgoing.state_at) THEN 'bounced' ELSE 'sent' END,"
    " state_at = ?, last_reply = ?, next_attempt_at = NULL, claim_token = NULL, claimed_until = NULL"
    " WHERE id = ? AND claim_token = ? RETURNING id"
)
_FIELDS = tuple(name for name in OutgoingMail.__dataclass_fields__ if name != "raw")
_OF_ORDER = ("sequence", "platform", "order_number", "revision")


def _rows() -> "sa.Select[*tuple[Any, ...]]":
    mail, order = tables.Outgoing, tables.OutgoingOrder
    columns = (getattr(order if name in _OF_ORDER else mail, name) for name in _FIELDS)
    return sa.select(*columns).select_from(mail).outerjoin(order, col(order.id) == col(mail.order_id))


def _raw_of(connection: sa.Connection, outgoing_id: int) -> bytes:
    kept = tables.OutgoingRaw
    return connection.execute(sa.select(col(kept.raw)).where(col(kept.outgoing_id) == outgoing_id)).scalar() or b""


def _mail(row: Any, raw: bytes = b"") -> OutgoingMail:
    return OutgoingMail(**dict(zip(_FIELDS, row, strict=True)), raw=raw)
