"""Statements in plain SQL, straight to the driver: for what runs with every mail.

To SQLite through the driver's own cursor, because SQLAlchemy's way to a statement and back takes several times as long
as SQLite takes to run it. Only names and marks of ours stand in the texts, which both databases read alike but for the
parameter marks; values are always parameters.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from ion.errors import TransactionEndedError
from ion.store.engine import is_full, is_in_transaction, tells_of_damage, translated


class PlainSql:
    """Runs statements within the caller's transaction. Instants go in as `UtcDateTime` keeps them."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self._execute: Any = connection.connection.cursor().execute if self.is_sqlite else connection.exec_driver_sql

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """All rows that a statement gives: of a SELECT, or of what has RETURNING. A parameter is written `?`."""
        return list(self._run(statement, values).fetchall())

    def run(self, statement: str, *values: Any) -> None:
        """A statement that gives nothing."""
        self._run(statement, values)

    def insert(self, table: str, row: Mapping[str, Any]) -> int:
        """Insert a row, its values by column; its new id."""
        ((new_id,),) = self.rows(f"{_insert(table, tuple(row))} RETURNING id", *row.values())
        return int(new_id)

    def insert_all(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, their values in the order of `columns`."""
        for row in rows:
            self._run(_insert(table, tuple(columns)), row)

    def instant(self, stored: Any) -> datetime:
        """An instant that a statement gave, aware."""
        at = datetime.fromisoformat(stored) if self.is_sqlite else stored
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What the block did is undone where it raises, and the transaction goes on. Raises StoreError for what the
        database says, TransactionEndedError or StorageFullError where it does not go on."""
        with translated():
            self.run("SAVEPOINT one")
            try:
                yield
            except BaseException as error:
                if not is_in_transaction(self._connection):
                    if is_full(error):
                        raise
                    raise TransactionEndedError("the database gave up the transaction") from error
                self.run("ROLLBACK TO SAVEPOINT one")
                self.run("RELEASE SAVEPOINT one")
                raise
            self.run("RELEASE SAVEPOINT one")

    def _run(self, statement: str, values: Sequence[Any]) -> Any:
        if not self.is_sqlite:
            return self._execute(_with_psycopg_marks(statement), tuple(values))
        try:
            return self._execute(statement, [_instant(one) if isinstance(one, datetime) else one for one in values])
        except sqlite3.Error as error:
            if tells_of_damage(error):  # as `handle_error` does for SQLAlchemy's statements
                self._connection.invalidate(error)
            raise


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


@lru_cache
def _insert(table: str, columns: tuple[str, ...]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608  # names of ours


@lru_cache
def _with_psycopg_marks(statement: str) -> str:
    return statement.replace("?", "%s")
