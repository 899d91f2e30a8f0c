"""One database: its engine, its file, and the two kinds of transaction everything else is written in.

SQLite: write-ahead log, `synchronous=FULL` (a commit that returned survives a power loss), foreign keys on, every
writing transaction `BEGIN IMMEDIATE`, the file readable by its owner only. PostgreSQL: through psycopg 3; what has
to be done one at a time takes a row lock.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ion.errors import DatabaseError, IonError, SettingError, StorageFullError, StoreError, TransactionEndedError

# Below the ten seconds and more that SMTP clients and web clients wait for an answer. With SQLite, half of it for other
# threads (`_turn`) and half for other processes.
BUSY_TIMEOUT_SECONDS = 8.0
CONNECT_TIMEOUT_SECONDS = 10
# https://sqlite.org/rescode.html: what tells of the file, not of the statement
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)
# PostgreSQL's classes of what is wrong with the values: 22 data exception, 54 beyond a limit (appendix A).
_VALUE_STATES = ("22", "54")


class Database:
    """An engine and its transactions. Safe to use from several threads; one per process."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writer = threading.Lock()
        self._file = engine.url.database if self._is_sqlite else None
        if self._is_sqlite:
            self._read_engine = engine.execution_options(ion_begin="BEGIN")
        else:
            # One snapshot for a whole reading transaction, so that sums over several tables agree.
            self._read_engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the database and changes nothing. Raises DatabaseError."""
        with translated(self._file), self._read_engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A writing transaction: all of the block or nothing, durable when the block has ended. Raises
        DatabaseError, and StoreError for values that it cannot hold."""
        with translated(self._file), self._turn(), self._engine.begin() as connection:
            yield connection
            if not is_in_transaction(connection):
                raise TransactionEndedError("the database gave up the transaction")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Threads that write to SQLite wait here for each other: SQLite itself would have them sleep and look again,
        for longer and longer, while the lock is free. Raises DatabaseError as SQLite would, where it lasts too long."""
        if not self._is_sqlite:
            yield
        elif self._writer.acquire(timeout=BUSY_TIMEOUT_SECONDS / 2):
            try:
                yield
            finally:
                self._writer.release()
        else:
            raise DatabaseError(f"the database {self._file} refused: another thread is writing to it")

    @property
    def folder(self) -> Path | None:
        """Where the SQLite file is; None where a server keeps the database."""
        database = self._engine.url.database
        return Path(database).parent if self._is_sqlite and database else None

    def close(self) -> None:
        """End all connections. Further use would open new ones."""
        self._engine.dispose()


def is_in_transaction(connection: sa.Connection) -> bool:
    """Whether SQLite still has the transaction: after some errors (a full or failing disk) it rolls all of it back by
    itself, and what is said after that would be committed statement by statement. Other databases refuse then."""
    if connection.invalidated:
        return False
    if connection.dialect.name != "sqlite":
        return True
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)


def tells_of_damage(error: BaseException | None) -> bool:
    """Whether SQLite found its file damaged. A connection remembers the pages it has read, so damage that has been
    mended would last as long as it does."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


@contextmanager
def translated(file: str | None = None) -> Iterator[None]:
    """Turns the database's errors into DatabaseError; into StoreError where it can hold no such values. The sentence
    holds no values, because those are personal data; it names `file`, the path of an SQLite database."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        told = f"the database {f'{file} ' if file else ''}refused: {_cause(error)}"
        if is_about_values(error):
            raise StoreError(told) from error
        kind = StorageFullError if is_full(error) else DatabaseError
        raise kind(told, in_doubt=isinstance(error, DBAPIError) and error.connection_invalidated) from error


def is_about_values(error: BaseException | None) -> bool:
    """Whether the database can hold no such values: it would never take them, whoever asks."""
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None) or ""
    return state[:2] in _VALUE_STATES or isinstance(error, DataError | sqlite3.DataError)


def is_full(error: BaseException) -> bool:
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    if getattr(original, "sqlstate", None) == "53100":  # disk_full, PostgreSQL's appendix A
        return True
    return getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _cause(error: SQLAlchemyError | sqlite3.Error) -> str:
    original: Any = error.orig if isinstance(error, DBAPIError) else error
    diagnosis = getattr(original, "diag", None)  # psycopg: its message would quote the row
    if diagnosis is not None:
        known = (type(original).__name__, getattr(original, "sqlstate", None), diagnosis.constraint_name)
        return " ".join(part for part in known if part)
    if type(original).__module__ == "sqlite3":
        return f"{type(original).__name__}: {original}"  # SQLite names tables and columns, never values
    return type(original).__name__


def make_engine(url: str, *, foreign_keys: bool = True, **options: Any) -> sa.Engine:
    """The engine for `sqlite:///PATH` or `postgresql://...`; for SQLite the file is created, owner-only.

    Raises SettingError where the URL names no database this program knows, DatabaseError where the file cannot be
    created.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise SettingError("database_url is no database URL; give sqlite:///PATH or postgresql://...") from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, foreign_keys=foreign_keys, **options)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql_engine(parsed, **options)
    raise SettingError(f"database_url: {parsed.get_backend_name()} is not supported; SQLite and PostgreSQL are")


def _sqlite_engine(url: sa.URL, *, foreign_keys: bool, **options: Any) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise SettingError("database_url: SQLite needs a file, sqlite:///PATH")
    _create_file(Path(url.database))
    engine = sa.create_engine(
        url,
        # The driver must begin nothing by itself; _begin does.
        connect_args={
            "isolation_level": None,
            "timeout": BUSY_TIMEOUT_SECONDS / 2,
            "check_same_thread": False,
        },
        hide_parameters=True,
        **options,
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:  # noqa: ARG001
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        cursor.execute("PRAGMA synchronous=FULL")
        # Every connection: each change of a row frees the pages of its old octets, not only the one that removes them.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE, because a transaction that begins by reading and then writes loses to, or overwrites, another.
        connection.exec_driver_sql(connection.get_execution_options().get("ion_begin", "BEGIN IMMEDIATE"))

    @sa.event.listens_for(engine, "handle_error")
    def _failed(context: Any) -> None:
        if tells_of_damage(context.original_exception):
            context.is_disconnect = True

    return engine


def _create_file(path: Path) -> None:
    """Create the file and its folder for their owner only; take others' rights away from one that is there.

    SQLite gives the files of the write-ahead log the rights of the database file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DatabaseError(f"the database file {path} cannot be opened: {error.strerror}") from error


def _postgresql_engine(url: sa.URL, **options: Any) -> sa.Engine:
    try:
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
            pool_pre_ping=True,
            hide_parameters=True,
            **options,
        )
    except (ImportError, NoSuchModuleError) as error:
        raise SettingError("PostgreSQL needs its driver: pip install 'ion-orders[postgres]'") from error

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, record: Any) -> None:  # noqa: ARG001
        # A plan made once for all values takes an order number for a word that many orders have.
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.execute(f"SET lock_timeout = '{int(BUSY_TIMEOUT_SECONDS * 1000)}ms'")
        connection.commit()

    return engine


def insert_new(connection: sa.Connection, table: Any, key: str, **values: Any) -> Any:
    """Insert a row and return its column `key`; None where a row with the same unique key is there already.

    Where another transaction is inserting the same key it waits for that one's end.
    """
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        statement: Any = insert_sqlite(table)
    else:
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        statement = insert_postgresql(table)
    # The row that comes back says whether there is one: drivers do not agree on the row count of an INSERT.
    insert = statement.on_conflict_do_nothing().returning(getattr(table, key))
    return connection.execute(insert, values).scalar()


def one_row(result: sa.CursorResult[Any], otherwise: IonError) -> None:
    """A conditional change must have met exactly one row; else its condition no longer held: raises `otherwise`."""
    if result.rowcount != 1:
        raise otherwise
