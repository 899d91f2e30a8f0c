"""The audit log: who did what, and when, on the staff page or by a token. Lines are only added."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database
from ion.store.types import storable, utc_now


@dataclass(frozen=True)
class AuditEvent:
    """One line. `by`: the name of a user, or `token NAME`; `merchant`: None where it concerned all; `what`: a word of
    the program; `subject`: a thing by its number or name, never a customer. `at` is aware."""

    id: int
    at: datetime
    by: str
    merchant: str | None
    what: str
    subject: str


class Audit(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def record_audit(self, by: str, what: str, subject: str = "", *, merchant: str | None = None) -> None:
        """Add a line."""
        row = {"at": utc_now(), "by": storable(by), "merchant": merchant, "what": what, "subject": storable(subject)}
        with self.writing() as connection:
            connection.execute(sa.insert(tables.AuditEvent).values(**row))

    def audit_events(
        self, merchant: str | None = None, *, before: int | None = None, limit: int = 100
    ) -> tuple[AuditEvent, ...]:
        """The newest lines first, of one merchant or of all; `before`: only those older than the one of this id."""
        table = tables.AuditEvent
        query = sa.select(table.__table__).order_by(col(table.id).desc()).limit(limit)  # type: ignore[attr-defined]
        if merchant is not None:
            query = query.where(col(table.merchant) == merchant)
        if before is not None:
            query = query.where(col(table.id) < before)
        with self.reading() as connection:
            return tuple(AuditEvent(*row) for row in connection.execute(query))
