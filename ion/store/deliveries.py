"""Deliveries: where a merchant's published files go, and what became of each file on its way there.

    queued -> done      the target has the file; of a mail: it waits for the relay
           -> retry     the target could not take it now; claimable again when its time comes
           -> failed    given up, or its target is not used any more
    every state -> queued    a person wants it delivered again

A delivery is entered with its batch (`ion.store.batches`). A claim is a lease with a token beside the state, as that of
an outgoing mail is. Who dies between delivering and `mark_delivered` leads to the same file at the same place again.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.batches import BATCH_FIELDS, Batch, batch_of_row
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.messages import CLOCKS_APART, ClaimLostError
from ion.store.outgoing import NewMail, insert_mail
from ion.store.published import ErasedMeanwhileError
from ion.store.types import DeliveryState, OutgoingKind, storable, utc_now

_WAITING = (DeliveryState.QUEUED.value, DeliveryState.RETRY.value)
_NOT_USED = "its target is not used any more"


@dataclass(frozen=True)
class DeliveryTarget:
    """A place that a merchant's published files go to. `kind`: folder, mail or sftp; `address`: a folder (""
    is the installation's own), a mail address, an `sftp://` URL; `profile`: only files of this one, None: of all."""

    id: int
    merchant: str
    kind: str
    address: str
    profile: str | None
    active: bool
    created_at: datetime


@dataclass(frozen=True)
class Delivery:
    """A published file on its way to a target. `profile`: the name alone, without its version; `next_attempt_at`: when
    it is due (None: it is over); `detail`: what stands in the way, or under which name it arrived; `claim_token`: set
    on rows returned by `claim_deliveries`."""

    id: int
    state: str
    state_at: datetime
    next_attempt_at: datetime | None
    attempts: int
    detail: str | None
    claim_token: str | None
    profile: str
    target: DeliveryTarget
    batch: Batch


class Deliveries(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def add_delivery_target(
        self, merchant: str, kind: str, address: str, *, profile: str | None = None
    ) -> DeliveryTarget:
        """Have the merchant's files go to a place too, from the next one on; a place that was used before is used
        again. The caller has checked the address.

        Raises UnknownMerchantError, StoreError where another merchant's files go to this folder: of two `latest` files
        each would take the other's place.
        """
        table = tables.DeliveryTarget
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            same = (col(table.kind) == kind, col(table.address) == address)
            others = sa.select(col(table.merchant)).where(
                *same, col(table.merchant) != merchant, col(table.active).is_(True)
            )
            if kind == "folder" and address and (other := connection.execute(others.limit(1)).scalar()) is not None:
                raise StoreError(f"the folder {address} is where the files of {other} go; give one of {merchant}'s own")
            of_merchant = (*same, col(table.merchant) == merchant)
            values = {"profile": profile, "active": True}
            if not connection.execute(sa.update(table).where(*of_merchant).values(**values)).rowcount:
                row = {"merchant": merchant, "kind": kind, "address": address, "created_at": utc_now(), **values}
                connection.execute(sa.insert(table).values(**row))
            return _target(connection.execute(_targets().where(*of_merchant)).one())

    def stop_delivery_target(self, merchant: str, address: str) -> tuple[DeliveryTarget, ...]:
        """Have no more files go to a place; what still waits for it has failed. Raises UnknownMerchantError, StoreError
        where the merchant's files do not go there."""
        table, delivery = tables.DeliveryTarget, tables.Delivery
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            used = (col(table.merchant) == merchant, col(table.address) == address, col(table.active).is_(True))
            stopped = connection.execute(sa.select(col(table.id)).where(*used)).scalars().all()
            if not stopped:
                raise StoreError(
                    f"no files of {merchant} go to {address!r}; `ion merchant deliver {merchant}` lists all"
                )
            connection.execute(sa.update(table).where(col(table.id).in_(stopped)).values(active=False))
            connection.execute(
                sa.update(delivery)
                .where(col(delivery.target_id).in_(stopped), col(delivery.state).in_(_WAITING))
                .values(**_ended(DeliveryState.FAILED, _NOT_USED))
            )
            rows = connection.execute(_targets().where(col(table.id).in_(stopped)).order_by(col(table.id)))
            return tuple(_target(row) for row in rows)

    def delivery_targets(self, merchant: str | None = None, *, stopped: bool = False) -> tuple[DeliveryTarget, ...]:
        """The places that files of one merchant, or of all, go to; with `stopped` also those that are used no more."""
        table = tables.DeliveryTarget
        query = _targets().order_by(col(table.merchant), col(table.id))
        if merchant is not None:
            query = query.where(col(table.merchant) == merchant)
        if not stopped:
            query = query.where(col(table.active).is_(True))
        with self.reading() as connection:
            return tuple(_target(row) for row in connection.execute(query))

    def claim_deliveries(self, limit: int, lease_seconds: float) -> tuple[Delivery, ...]:
        """Take up to `limit` deliveries that are due, those of the oldest files first. Others cannot take them for
        `lease_seconds`, which is to be the same for all. Each claim counts as an attempt."""
        table, now = tables.Delivery, utc_now()
        until = now + timedelta(seconds=lease_seconds)
        is_free = sa.or_(
            col(table.claimed_until).is_(None),
            col(table.claimed_until) <= now,
            col(table.claimed_until) > until + CLOCKS_APART,  # by a clock that has been put right since
        )
        is_due = sa.or_(col(table.next_attempt_at) <= now, col(table.state_at) > now + CLOCKS_APART)
        query = (
            sa.select(col(table.id))
            .where(col(table.next_attempt_at).is_not(None), is_due, is_free)
            .order_by(col(table.batch_id), col(table.id))
            .limit(limit)
        )
        with self.reading() as connection:  # an idle round must not ask for the write lock
            if connection.execute(query).first() is None:
                return ()
        with self.writing() as connection:
            found = connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
            claim = {"claim_token": secrets.token_hex(16), "claimed_until": until, "attempts": table.attempts + 1}
            connection.execute(sa.update(table).where(col(table.id).in_(found)).values(**claim))
            rows = connection.execute(
                _deliveries().where(col(table.id).in_(found)).order_by(col(table.batch_id), col(table.id))
            )
            return tuple(_delivery(row) for row in rows)

    def mark_delivered(self, delivery_id: int, claim_token: str, detail: str) -> None:
        """The target has the file, under the name `detail`. Raises ClaimLostError."""
        with self.writing() as connection:
            _end_claim(connection, delivery_id, claim_token, _ended(DeliveryState.DONE, detail))

    def mark_delivered_by_mail(
        self, delivery_id: int, claim_token: str, merchant: str, address: str, mail: NewMail
    ) -> int:
        """Queue the mail that brings the file, and end the delivery with it; the mail's id. `mail`: with a Message-ID
        that begins with `batch_mark`. Raises ClaimLostError, ErasedMeanwhileError; then no mail was queued."""
        table, batch = tables.Delivery, tables.Batch
        with self.writing() as connection:
            # Locked, so that an erasure comes wholly before this or finds the mail.
            of_delivery = sa.select(col(table.batch_id)).where(col(table.id) == delivery_id).scalar_subquery()
            erased_at = sa.select(col(batch.erased_at)).where(col(batch.id) == of_delivery).with_for_update(read=True)
            if connection.execute(erased_at).scalar() is not None:
                raise ErasedMeanwhileError("an order of the file was erased while its mail was made")
            outgoing_id = insert_mail(connection, merchant, OutgoingKind.REPORT, None, address, mail, utc_now())
            ended = _ended(DeliveryState.DONE, f"outgoing mail {outgoing_id}")
            _end_claim(connection, delivery_id, claim_token, ended)
            return outgoing_id

    def mark_delivery_retry(self, delivery_id: int, claim_token: str, detail: str, delay_seconds: float) -> None:
        """The target could not take it now, because of `detail`; it is due again after `delay_seconds`. Raises
        ClaimLostError."""
        values = _ended(DeliveryState.RETRY, detail)
        values["next_attempt_at"] = values["state_at"] + timedelta(seconds=delay_seconds)
        with self.writing() as connection:
            _end_claim(connection, delivery_id, claim_token, values)

    def mark_delivery_failed(self, delivery_id: int, claim_token: str, detail: str) -> None:
        """It is given up because of `detail`; `conditions` tells a person. Raises ClaimLostError."""
        with self.writing() as connection:
            _end_claim(connection, delivery_id, claim_token, _ended(DeliveryState.FAILED, detail))

    def deliveries(
        self, merchant: str | None = None, *, batch_id: int | None = None, over: bool = False
    ) -> tuple[Delivery, ...]:
        """Deliveries that wait or have failed, oldest first, with `over` also those that are done: of one merchant or
        published file, or of all."""
        query = _deliveries().order_by(col(tables.Delivery.id))
        if merchant is not None:
            query = query.where(col(tables.Batch.merchant) == merchant)
        if batch_id is not None:
            query = query.where(col(tables.Batch.id) == batch_id)
        if not over:
            query = query.where(col(tables.Delivery.state) != DeliveryState.DONE.value)
        with self.reading() as connection:
            return tuple(_delivery(row) for row in connection.execute(query))

    def retry_delivery(self, delivery_id: int) -> Delivery:
        """Deliver a file again now, as if it had never been tried: one that failed, waits, or arrived. Raises
        StoreError where it cannot: it is being delivered, its target is not used any more, its file was erased."""
        table, now = tables.Delivery, utc_now()
        with self.writing() as connection:
            of_id = _deliveries().where(col(table.id) == delivery_id)
            row = connection.execute(of_id).one_or_none()
            if row is None:
                raise StoreError(f"there is no delivery {delivery_id}; `ion deliveries --all` shows them")
            known = _delivery(row)
            refusal = None
            if not known.target.active:
                refusal = _NOT_USED
            elif known.batch.erased_at is not None:
                refusal = "its file held an order that was erased since"
            values = _ended(DeliveryState.QUEUED, None) | {"next_attempt_at": now, "attempts": 0}
            is_free = sa.or_(col(table.claimed_until).is_(None), col(table.claimed_until) <= now)
            if refusal is None:
                moved = connection.execute(
                    sa.update(table).where(col(table.id) == delivery_id, is_free).values(**values)
                )
                refusal = None if moved.rowcount == 1 else "it is being delivered at this moment"
            if refusal is not None:
                raise StoreError(f"delivery {delivery_id} cannot be made again: {refusal}")
            return _delivery(connection.execute(of_id).one())


def _ended(state: DeliveryState, detail: str | None) -> dict[str, Any]:
    """The values of a delivery that nobody holds any more."""
    values: dict[str, Any] = {"state": state.value, "state_at": utc_now(), "next_attempt_at": None}
    detail = storable(detail[:500]) if detail else None
    return values | {"detail": detail, "claim_token": None, "claimed_until": None}


def _end_claim(connection: sa.Connection, delivery_id: int, claim_token: str, values: dict[str, Any]) -> None:
    table = tables.Delivery
    moved = connection.execute(
        sa.update(table).where(col(table.id) == delivery_id, col(table.claim_token) == claim_token).values(**values)
    )
    if moved.rowcount != 1:
        raise ClaimLostError(f"delivery {delivery_id} is no longer claimed with this token")


_TARGET_FIELDS = tuple(DeliveryTarget.__dataclass_fields__)
_FIELDS = tuple(name for name in Delivery.__dataclass_fields__ if name not in ("profile", "target", "batch"))


def _targets() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*(getattr(tables.DeliveryTarget, name) for name in _TARGET_FIELDS))


def _target(row: Sequence[Any]) -> DeliveryTarget:
    return DeliveryTarget(*row)


def _deliveries() -> "sa.Select[*tuple[Any, ...]]":
    delivery, target, batch, profile = tables.Delivery, tables.DeliveryTarget, tables.Batch, tables.ExportProfile
    return (
        sa.select(
            *(getattr(delivery, name) for name in _FIELDS),
            col(profile.name),
            *(getattr(target, name) for name in _TARGET_FIELDS),
            *(getattr(batch, name) for name in BATCH_FIELDS),
        )
        .select_from(delivery)
        .join(target, col(target.id) == col(delivery.target_id))
        .join(batch, col(batch.id) == col(delivery.batch_id))
        .join(profile, col(profile.id) == col(batch.profile_id))
    )


def _delivery(row: Sequence[Any]) -> Delivery:
    values = iter(row)
    parts: list[Any] = [next(values) for _ in (*_FIELDS, "profile")]
    parts.append(_target([next(values) for _ in _TARGET_FIELDS]))
    parts.append(batch_of_row(list(values)))
    return Delivery(*parts)
