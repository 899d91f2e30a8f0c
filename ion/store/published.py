"""The ledger of published files: what each file of the nightly export was, and which orders it holds.

A file that holds an erased order is to be replaced. That is found by looking, not remembered: whoever replaces files
asks `files_to_replace`, so a replacement that was cut off is taken up by the next one who asks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database
from ion.store.types import utc_now

_ROWS_AT_ONCE = 500


class ErasedMeanwhileError(StoreError):
    """An order was erased while a file with it was being written; the file must not stay."""


@dataclass(frozen=True)
class PublishedFile:
    """A file as it was written. `sha256`: of its octets, hexadecimal; `path`: absolute."""

    id: int
    path: str
    profile: str
    sha256: str
    order_count: int
    row_count: int
    published_at: datetime


class PublishedFiles(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def record_published_file(
        self, path: str, profile: str, sha256: str, *, rows: int, orders: Sequence[tuple[int, int]]
    ) -> None:
        """Enter a file that was just written, with the (id, revision) of each order in it. One that stood at `path`
        before is forgotten: its octets are gone.

        Raises ErasedMeanwhileError where one of the orders is erased by now; then nothing was entered.
        """
        file, member = tables.PublishedFile, tables.PublishedOrder
        order_ids = [order_id for order_id, _ in orders]
        with self.writing() as connection:
            for some in chunks(order_ids):
                # Locked, so that an erasure comes wholly before this or finds the file in the ledger.
                erased = connection.execute(
                    sa.select(col(tables.OrderRow.erased_at))
                    .where(col(tables.OrderRow.id).in_(some))
                    .order_by(col(tables.OrderRow.id))
                    .with_for_update(read=True)
                ).scalars()
                if any(erased.all()):
                    raise ErasedMeanwhileError("an order was erased while the file was written; it is written again")
            old = sa.select(col(file.id)).where(col(file.path) == path).scalar_subquery()
            connection.execute(sa.delete(member).where(col(member.file_id) == old))
            connection.execute(sa.delete(file).where(col(file.path) == path))
            row = {
                "path": path,
                "profile": profile,
                "sha256": sha256,
                "order_count": len(orders),
                "row_count": rows,
                "published_at": utc_now(),
                "replaced_at": None,
            }
            file_id = connection.execute(sa.insert(file).returning(col(file.id)), row).scalar_one()
            members = [{"file_id": file_id, "order_id": one, "revision": revision} for one, revision in orders]
            if members:
                connection.execute(sa.insert(member), members)

    def files_to_replace(self) -> tuple[PublishedFile, ...]:
        """The files that hold an erased order and are still as they were published, oldest first."""
        with self.reading() as connection:
            rows: Any = connection.execute(
                sa.select(*(getattr(tables.PublishedFile, name) for name in PublishedFile.__dataclass_fields__))
                .where(holds_erased())
                .where(col(tables.PublishedFile.replaced_at).is_(None))
                .order_by(col(tables.PublishedFile.id))
            ).all()
        return tuple(PublishedFile(*row) for row in rows)

    def mark_replaced(self, file_id: int) -> None:
        """A tombstone stands in the place of the file."""
        with self.writing() as connection:
            connection.execute(
                sa.update(tables.PublishedFile)
                .where(col(tables.PublishedFile.id) == file_id)
                .values(replaced_at=utc_now())
            )


def holds_erased() -> sa.ColumnElement[bool]:
    """The condition that a published file holds an erased order."""
    member, order = tables.PublishedOrder, tables.OrderRow
    return (
        sa.exists()
        .where(col(member.file_id) == col(tables.PublishedFile.id))
        .where(col(member.order_id) == col(order.id))
        .where(col(order.erased_at).is_not(None))
    )


def chunks(ids: Iterable[int]) -> Iterable[list[int]]:
    """The ids, some hundreds at a time: a statement takes a limited number of parameters."""
    every = list(ids)
    return (every[start : start + _ROWS_AT_ONCE] for start in range(0, len(every), _ROWS_AT_ONCE))
