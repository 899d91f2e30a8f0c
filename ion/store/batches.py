"""Batches: which orders are due for which of a merchant's profiles, and the files they were published in.

    revision applied     -> due, for each active profile of the merchant, in the same transaction
    due, not left out    -> in a batch, due no longer; in the primary profile the order is `exported`
    due, left out        -> stays due: a test, documents awaited, personal data that is not there to be read
    entered in the shop  -> due no longer, until a later revision

So a revision stands in one batch of a profile: it leaves what is due in the transaction that enters the batch, with
the file's octets. A batch never changes; its octets go only where one of its orders is erased.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import IonError, StoreError
from ion.store import tables
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.orders import ExportOrder, export_columns, export_order
from ion.store.plain_sql import PlainSql
from ion.store.types import DeliveryState, NotificationState, OrderState, storable, utc_now

LEFT_OUT = {
    "test": "test",
    "documents": "documents_awaited",
    "encrypted": "personal_data_encrypted",
    "suppressed": "personal_data_suppressed",
}
"""Why an order that is due stays out of batches, and the column of `orders` that says so."""


class OrdersChangedError(StoreError):
    """An order of a batch was changed, erased or entered while its file was written: write it again."""


class NoSuchProfileError(IonError):
    """The merchant has no profile of that name."""


@dataclass(frozen=True)
class ExportProfile:
    """A profile of a merchant. `name`: of a built-in profile, or the merchant's own, whose TOML text is `definition`;
    `version`: how often that was changed."""

    id: int
    merchant: str
    name: str
    is_primary: bool
    active: bool
    version: int
    definition: str | None
    created_at: datetime


@dataclass(frozen=True)
class Batch:
    """A published file. `profile`: with its version, `xlsx@2`; `sha256`: of its octets, hexadecimal; `summary`: JSON
    values, what was left out and why and what the writer noted; `erased_at`: its octets are gone since then."""

    id: int
    merchant: str
    profile_id: int
    number: int
    profile: str
    business_date: date
    file_name: str
    sha256: str
    size_bytes: int
    order_count: int
    row_count: int
    summary: dict[str, Any]
    published_at: datetime
    erased_at: datetime | None


@dataclass(frozen=True)
class WrittenFile:
    """A file as it was written, to be published: its octets, and of each order in it id, revision, and when that was
    applied (aware), which another reading of the same revision changes. In `file_name` stands `{number}`, or
    `{number:04}`, where the batch's number is to stand."""

    profile: str
    file_name: str
    raw: bytes
    orders: Sequence[tuple[int, int, datetime]]
    row_count: int
    summary: Mapping[str, Any]


class Batches(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def export_profiles(self, merchant: str, *, inactive: bool = False) -> tuple[ExportProfile, ...]:
        """The merchant's profiles, the primary one first; with `inactive` also those it no longer uses."""
        table = tables.ExportProfile
        query = _profiles().where(col(table.merchant) == merchant)
        if not inactive:
            query = query.where(col(table.active).is_(True))
        with self.reading() as connection:
            rows = connection.execute(query.order_by(col(table.is_primary).desc(), col(table.id)))
            return tuple(_profile(row) for row in rows)

    def use_export_profile(
        self,
        merchant: str,
        name: str,
        *,
        definition: str | None = None,
        primary: bool = False,
        since: datetime | None = None,
    ) -> ExportProfile:
        """Have the merchant's orders written in a profile from now on, or in the merchant's own one as `definition`
        now says. `since`: also orders applied at or after that instant (aware) that are in no batch of it and not
        entered as they are; None: of those that are there, only what was due before. `primary`: in place of the one
        that is primary now.

        The caller has checked name and definition. Raises UnknownMerchantError.
        """
        table = tables.ExportProfile
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            of_name = (col(table.merchant) == merchant, col(table.name) == name)
            known = connection.execute(_profiles().where(*of_name)).one_or_none()
            if known is None:
                row = {"merchant": merchant, "name": name, "is_primary": False, "active": True}
                row |= {"version": 1, "definition": definition, "created_at": utc_now()}
                connection.execute(sa.insert(table).values(**row))
            else:
                changed = definition is not None and definition != known.definition
                connection.execute(
                    sa.update(table)
                    .where(*of_name)
                    .values(
                        active=True,
                        version=known.version + changed,
                        definition=definition if definition is not None else known.definition,
                    )
                )
            if primary:
                connection.execute(sa.update(table).where(col(table.merchant) == merchant).values(is_primary=False))
                connection.execute(sa.update(table).where(*of_name).values(is_primary=True))
            profile = _profile(connection.execute(_profiles().where(*of_name)).one())
            if since is not None:
                PlainSql(connection).run(_DUE_SINCE, profile.id, merchant, since, profile.id)
            return profile

    def stop_export_profile(self, merchant: str, name: str) -> None:
        """Write no more files in a profile; its batches stay, and what is due for it is forgotten. Raises
        NoSuchProfileError, StoreError for the primary one."""
        table = tables.ExportProfile
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            of_name = (col(table.merchant) == merchant, col(table.name) == name)
            known = connection.execute(_profiles().where(*of_name, col(table.active).is_(True))).one_or_none()
            if known is None:
                raise NoSuchProfileError(f"merchant {merchant} has no profile {name!r} in use")
            if known.is_primary:
                raise StoreError(
                    f"{name} is the primary profile of {merchant}; make another one primary first "
                    "(--use PROFILE --primary)"
                )
            connection.execute(sa.update(table).where(*of_name).values(active=False))
            connection.execute(sa.delete(tables.ExportDue).where(col(tables.ExportDue.profile_id) == known.id))

    def due_orders(
        self, profile_id: int, *, before: datetime, limit: int, without: Sequence[int] = ()
    ) -> tuple[ExportOrder, ...]:
        """Up to `limit` orders that are due for a profile since before that instant (aware) and are not left out, nor
        among the ids of `without`, in the order they first came, each with the order as the last batch of the profile
        had it (`previous`)."""
        due, order = tables.ExportDue, tables.OrderRow
        member, revision = tables.BatchOrder, sa.orm.aliased(tables.OrderRevision)
        last = (
            sa.select(sa.func.max(col(member.revision)))
            .where(col(member.profile_id) == profile_id, col(member.order_id) == col(order.id))
            .correlate(order)
            .scalar_subquery()
        )
        before_it = (
            sa.select(col(revision.content_json))
            .where(col(revision.order_id) == col(order.id), col(revision.revision) == last)
            .correlate(order)
            .scalar_subquery()
        )
        query = (
            export_columns(before_it)
            .join(due, col(due.order_id) == col(order.id))
            .where(*_is_due(profile_id, before), col(order.id).not_in(without))
            .order_by(col(order.id))
            .limit(limit)
        )
        with self.reading() as connection:
            return tuple(export_order(row) for row in connection.execute(query))

    def count_due(self, profile_id: int, *, before: datetime) -> int:
        """How many orders `due_orders` would give without a limit."""
        due, order = tables.ExportDue, tables.OrderRow
        query = sa.select(sa.func.count()).select_from(due).join(order, col(order.id) == col(due.order_id))
        with self.reading() as connection:
            return connection.execute(query.where(*_is_due(profile_id, before))).scalar_one()

    def left_out(self, merchant: str, profile_id: int, since: datetime | None) -> dict[str, int]:
        """How many orders and mails are in no batch, by reason, without reasons that nothing has: those of `LEFT_OUT`;
        `entered`: entered in the shop since that instant (None: ever) without having been in a batch; `held`: orders in
        mail that waits for a person."""
        due, order, event = tables.ExportDue, tables.OrderRow, tables.OrderEvent
        notification, member = tables.Notification, tables.BatchOrder
        counts = [sa.func.count().filter(getattr(order, column).is_(True)) for column in LEFT_OUT.values()]
        in_batch = sa.exists().where(
            col(member.profile_id) == profile_id,
            col(member.order_id) == col(event.order_id),
            col(member.revision) == col(event.revision),
        )
        # Not joined: the merchant's orders are many, the events since the last batch are few.
        of_merchant = sa.exists().where(
            col(order.id) == col(event.order_id),
            col(order.merchant) == merchant,
            col(order.state) == OrderState.ENTERED.value,
        )
        entered = sa.select(sa.func.count(sa.distinct(col(event.order_id)))).where(
            col(event.what) == "entered", of_merchant, ~in_batch
        )
        if since is not None:
            entered = entered.where(col(event.at) >= since)
        waiting = sa.select(sa.func.count()).where(
            col(notification.merchant) == merchant,
            col(notification.state).in_([NotificationState.HELD.value, NotificationState.REVIEW.value]),
        )
        with self.reading() as connection:
            row = connection.execute(
                sa.select(*counts)
                .select_from(due)
                .join(order, col(order.id) == col(due.order_id))
                .where(col(due.profile_id) == profile_id)
            ).one()
            found = dict(zip(LEFT_OUT, row, strict=True))
            found["entered"] = connection.execute(entered).scalar_one()
            found["held"] = connection.execute(waiting).scalar_one()
        return {reason: number for reason, number in found.items() if number}

    def publish(self, profile_id: int, business_date: date, written: WrittenFile) -> Batch:
        """Enter a file as the profile's next batch, take its orders off what is due, and queue it for each place it
        goes to. Raises OrdersChangedError where one of them is not due any more as it was written; then nothing was
        entered and the file is not published."""
        order, batch, now = tables.OrderRow, tables.Batch, utc_now()
        with self.writing() as connection:
            its = _profiles().where(col(tables.ExportProfile.id) == profile_id)
            lock_merchant(connection, connection.execute(its).one().merchant)
            profile = _profile(connection.execute(its).one())
            sql = PlainSql(connection)
            for order_id, revision, applied_at in written.orders:
                if not sql.rows(_TAKE_OFF, profile_id, order_id, order_id, revision, applied_at):
                    raise OrdersChangedError(f"order {order_id} was changed while its file was written")
            number: Any = connection.execute(
                sa.select(sa.func.coalesce(sa.func.max(col(batch.number)), 0)).where(
                    col(batch.profile_id) == profile_id
                )
            ).scalar_one()
            row = {
                "merchant": profile.merchant,
                "profile_id": profile_id,
                "number": number + 1,
                "profile": written.profile,
                "business_date": business_date,
                "file_name": written.file_name.format(number=number + 1),
                "sha256": sha256(written.raw).hexdigest(),
                "size_bytes": len(written.raw),
                "order_count": len(written.orders),
                "row_count": written.row_count,
                "summary_json": json.dumps(dict(written.summary), ensure_ascii=False),
                "published_at": now,
                "erased_at": None,
            }
            batch_id = connection.execute(sa.insert(batch).values(**row).returning(col(batch.id))).scalar_one()
            assert batch_id is not None
            connection.execute(sa.insert(tables.BatchRaw).values(batch_id=batch_id, raw=written.raw))
            for order_id, revision, _ in written.orders:
                sql.run(_MEMBER, profile_id, order_id, revision, batch_id, profile_id, order_id)
            if profile.is_primary:
                in_batch = sa.select(col(tables.BatchOrder.order_id)).where(col(tables.BatchOrder.batch_id) == batch_id)
                connection.execute(
                    sa.update(order)
                    .where(col(order.id).in_(in_batch), col(order.state) == OrderState.NEW.value)
                    .values(state=OrderState.EXPORTED.value)
                )
            target = tables.DeliveryTarget
            targets = connection.execute(
                sa.select(col(target.id))
                .where(col(target.merchant) == profile.merchant, col(target.active).is_(True))
                .where(sa.or_(col(target.profile).is_(None), col(target.profile) == profile.name))
            ).scalars()
            for target_id in targets.all():
                delivery: dict[str, Any] = {
                    "batch_id": batch_id,
                    "target_id": target_id,
                    "state": DeliveryState.QUEUED.value,
                }
                delivery |= {"state_at": now, "next_attempt_at": now, "attempts": 0}
                connection.execute(sa.insert(tables.Delivery).values(**delivery))
            return batch_of_row(connection.execute(_batches().where(col(batch.id) == batch_id)).one())

    def batches(
        self,
        merchant: str | None = None,
        *,
        profile: str | None = None,
        business_date: date | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> tuple[Batch, ...]:
        """Published files, newest first: of one merchant, profile (its name) or date, or all; `before`: only those
        older than the one of this id."""
        batch, table = tables.Batch, tables.ExportProfile
        query = _batches().order_by(col(batch.id).desc())
        if merchant is not None:
            query = query.where(col(batch.merchant) == merchant)
        if profile is not None:
            query = query.join(table, col(table.id) == col(batch.profile_id)).where(
                col(table.name) == storable(profile)
            )
        if business_date is not None:
            query = query.where(col(batch.business_date) == business_date)
        if before is not None:
            query = query.where(col(batch.id) < before)
        with self.reading() as connection:
            return tuple(batch_of_row(row) for row in connection.execute(query.limit(limit)))

    def batches_after(
        self, merchant: str, batch_id: int, limit: int, *, profile: str | None = None
    ) -> tuple[Batch, ...]:
        """Up to `limit` files of a merchant whose id is above `batch_id`, in the order they were published in, which is
        that of their ids; of one profile (its name), or of all."""
        batch, table = tables.Batch, tables.ExportProfile
        query = _batches().where(col(batch.merchant) == merchant, col(batch.id) > batch_id)
        if profile is not None:
            query = query.join(table, col(table.id) == col(batch.profile_id)).where(
                col(table.name) == storable(profile)
            )
        with self.reading() as connection:
            return tuple(batch_of_row(row) for row in connection.execute(query.order_by(col(batch.id)).limit(limit)))

    def batch(self, batch_id: int) -> Batch:
        """One published file. Raises StoreError where there is none of that number."""
        with self.reading() as connection:
            row = connection.execute(_batches().where(col(tables.Batch.id) == batch_id)).one_or_none()
        if row is None:
            raise StoreError(f"there is no published file {batch_id}; `ion batches` shows them")
        return batch_of_row(row)

    def batch_octets(self, batch_id: int) -> bytes | None:
        """A published file, byte for byte; None where it held an order that was erased since."""
        kept = tables.BatchRaw
        with self.reading() as connection:
            return connection.execute(sa.select(col(kept.raw)).where(col(kept.batch_id) == batch_id)).scalar()

    def batch_octets_part(self, batch_id: int, start: int, length: int) -> bytes:
        """Up to `length` octets of a published file from `start` on (0: the first); none where they are erased."""
        kept = tables.BatchRaw
        part = sa.func.substr(col(kept.raw), start + 1, length, type_=sa.LargeBinary)
        with self.reading() as connection:
            return connection.execute(sa.select(part).where(col(kept.batch_id) == batch_id)).scalar() or b""

    def batch_orders(self, batch_id: int) -> tuple[tuple[int, int], ...]:
        """The (id, revision) of each order in a published file."""
        member = tables.BatchOrder
        query = sa.select(col(member.order_id), col(member.revision)).where(col(member.batch_id) == batch_id)
        with self.reading() as connection:
            return tuple((order_id, revision) for order_id, revision in connection.execute(query))

    def record_download(self, batch_id: int, by: str) -> None:
        """Note that somebody fetched a published file: the name of a token or a user, or `command line`."""
        with self.writing() as connection:
            connection.execute(sa.insert(tables.Download).values(batch_id=batch_id, at=utc_now(), by=by))

    def downloads(self, batch_id: int) -> tuple[tuple[datetime, str], ...]:
        """When a published file was fetched and by whom, oldest first."""
        table = tables.Download
        query = sa.select(col(table.at), col(table.by)).where(col(table.batch_id) == batch_id).order_by(col(table.id))
        with self.reading() as connection:
            return tuple((at, by) for at, by in connection.execute(query))


def batch_mark(batch_id: int | None) -> str:
    """What the Message-ID of a mail that brings this file begins with, behind `ion.`, so that an erasure finds it."""
    return f"file-{batch_id}"


def erase_batches(connection: sa.Connection, order_ids: Sequence[int]) -> None:
    """Remove the octets of every batch that holds one of the orders, and forget that they are due."""
    member, batch, kept = tables.BatchOrder, tables.Batch, tables.BatchRaw
    holding = sa.select(col(member.batch_id)).where(col(member.order_id).in_(order_ids))
    connection.execute(sa.delete(kept).where(col(kept.batch_id).in_(holding)))
    connection.execute(
        sa.update(batch)
        .where(col(batch.id).in_(holding), col(batch.erased_at).is_(None))
        .values(erased_at=utc_now(), summary_json="{}")
    )
    connection.execute(sa.delete(tables.ExportDue).where(col(tables.ExportDue.order_id).in_(order_ids)))


def _is_due(profile_id: int, before: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    due, order = tables.ExportDue, tables.OrderRow
    stays_out = (getattr(order, name).is_(False) for name in LEFT_OUT.values())
    return (col(due.profile_id) == profile_id, col(due.since) < before, *stays_out)


_DUE_SINCE = (
    "INSERT INTO export_due (profile_id, order_id, since)"
    " SELECT ?, id, applied_at FROM orders WHERE merchant = ? AND applied_at >= ? AND erased_at IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM batch_order AS member WHERE member.profile_id = ?"
    " AND member.order_id = orders.id AND member.revision = orders.revision)"
    # What the shop has as it is now; what was changed since it was entered is due.
    " AND NOT (state = 'entered' AND EXISTS (SELECT 1 FROM order_event AS event WHERE event.order_id = orders.id"
    " AND event.what = 'entered' AND event.revision = orders.revision AND event.at >= orders.applied_at))"
    " ON CONFLICT DO NOTHING"
)
_TAKE_OFF = (
    "DELETE FROM export_due WHERE profile_id = ? AND order_id = ?"
    " AND EXISTS (SELECT 1 FROM orders WHERE id = ? AND revision = ? AND applied_at = ? AND erased_at IS NULL)"
    " RETURNING order_id"
)
_MEMBER = (
    "INSERT INTO batch_order (profile_id, order_id, revision, batch_id, previous_revision)"
    " SELECT ?, ?, ?, ?, max(revision) FROM batch_order WHERE profile_id = ? AND order_id = ?"
)
_PROFILE_FIELDS = tuple(ExportProfile.__dataclass_fields__)
BATCH_FIELDS = tuple("summary_json" if name == "summary" else name for name in Batch.__dataclass_fields__)


def _profiles() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*(getattr(tables.ExportProfile, name) for name in _PROFILE_FIELDS))


def _profile(row: Any) -> ExportProfile:
    return ExportProfile(*row)


def _batches() -> "sa.Select[*tuple[Any, ...]]":
    return sa.select(*(getattr(tables.Batch, name) for name in BATCH_FIELDS))


def batch_of_row(row: Sequence[Any]) -> Batch:
    """A published file of the values of its `BATCH_FIELDS`."""
    values = dict(zip(Batch.__dataclass_fields__, row, strict=True))
    return Batch(**values | {"summary": json.loads(values["summary"])})
