"""The schema brought to the newest revision when a store is opened, by one process at a time.

The check is one SELECT; Alembic, which imports slowly, is loaded only where something is to be done. All of a
migration is one transaction under a lock (SQLite: the write lock, PostgreSQL: an advisory lock), so of several
processes that start at once the first migrates and the others find it done.
"""

import threading
import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError as DriverDatabaseError
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from ion.errors import DatabaseError, StoreError, UnreachableError
from ion.store.engine import BUSY_TIMEOUT_SECONDS, make_engine, translated
from ion.store.migrations import HEAD

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x494F4E_01  # any number of our own; "ION"
# Alembic's context is one for all threads: of two migrations at once one ran on the connection of the other, and SQLite
# ended the process where that was closed already.
_one_at_a_time = threading.Lock()


def bring_to_head(url: str) -> None:
    """Create or migrate the schema of the database at `url`, in one transaction of its own.

    Raises UnreachableError where no server answers, StoreError where the database is newer than this program or
    refuses, SettingError for a URL that cannot be used.
    """
    # Foreign keys off: a batch migration on SQLite rebuilds tables, and dropping the old one must not cascade. They
    # are checked before the commit.
    engine = make_engine(url, foreign_keys=False, poolclass=NullPool)
    try:
        _check_reachable(engine)
        with translated():
            if _revision(engine) == HEAD:
                return
            if engine.dialect.name == "sqlite":
                _switch_to_wal(engine)
            with _one_at_a_time, engine.begin() as connection:
                _migrate(connection)
    finally:
        engine.dispose()


def _check_reachable(engine: sa.Engine) -> None:
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # the first that reads the file
    except OperationalError as error:
        if engine.dialect.name == "sqlite":
            raise DatabaseError(f"the database file {engine.url.database} cannot be opened: {error.orig}") from error
        raise UnreachableError(f"the database at {engine.url.host or 'the local socket'} cannot be reached") from error
    except DriverDatabaseError as error:
        if engine.dialect.name != "sqlite":
            raise
        raise StoreError(
            f"the file {engine.url.database} is not a database, or is damaged ({error.orig}): restore it from a "
            "backup, or move it away to begin anew"
        ) from error


def _revision(engine: sa.Engine) -> str | None:
    with engine.execution_options(ion_begin="BEGIN").begin() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return found


def _switch_to_wal(engine: sa.Engine) -> None:
    """The mode stays with the file. SQLite does not wait by itself where another process is switching too."""
    until = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        connection = engine.raw_connection()
        try:
            mode = connection.cursor().execute("PRAGMA journal_mode=WAL").fetchone()[0]
        except engine.dialect.dbapi.OperationalError:  # type: ignore[union-attr]  # a connected engine has a driver
            mode = None
        finally:
            connection.close()
        if mode == "wal":
            return
        if time.monotonic() > until:
            raise DatabaseError(f"the database file {engine.url.database} cannot use a write-ahead log here")
        time.sleep(0.02)


def _migrate(connection: sa.Connection) -> None:
    from alembic.command import upgrade
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SET LOCAL lock_timeout = 0"))  # another process may be migrating much data
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if sa.inspect(connection).has_table("alembic_version"):
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None and found not in known:
            raise StoreError(
                f"the database was written by a newer version of this program: its schema is {found}, this one knows "
                f"up to {HEAD}; install the newer version"
            )
    upgrade(config, "head")
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise StoreError("the migration left rows without their parents; nothing was changed")
