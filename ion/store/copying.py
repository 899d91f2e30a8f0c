"""A consistent copy of a running SQLite database, and what can be told of such a file before it is opened as a store.

The copy is made by SQLite's online backup within one reading transaction: it is the database as it was at one instant,
however long it takes and whatever is written meanwhile. Nothing is migrated, so that a database can be copied before a
new version of this program has touched it.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from ion.errors import StoreError
from ion.store.engine import BUSY_TIMEOUT_SECONDS, translated

_PAGES_AT_ONCE = 2_000  # 8 MB in the usual page size: between two such steps progress is told


@dataclass(frozen=True)
class DatabaseContent:
    """What a database file holds. `schema`: the revision of its schema, None where it has none; `needs_keys`: whether
    something in it was sealed or sent."""

    schema: str | None
    messages: int
    orders: int
    needs_keys: bool


def sqlite_path(url: str) -> Path | None:
    """The file that a store's URL names; None where a server keeps the database. The URL is a valid one."""
    parsed = sa.make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None] = lambda *_: None) -> None:
    """Copy the database at `source` to the new file `target`, with the memory of some pages. `progress` is called with
    the pages copied and the pages there are. Raises StoreError where there is no database or it refuses."""
    if not source.is_file():
        raise StoreError(f"there is no database at {source}; the first command that needs one makes it")
    with translated(str(source)), _opened(source, "rw") as database, closing(sqlite3.connect(target)) as copy:
        database.execute("PRAGMA query_only=ON")
        copy.execute("PRAGMA synchronous=OFF")  # whoever asked for the copy brings it to the disk, or throws it away
        # The transaction holds one state of the database. Without it, each change by another process would have the
        # copy begin anew, and under load it would never end.
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        database.backup(
            copy, pages=_PAGES_AT_ONCE, progress=lambda _, left, pages: progress(pages - left, pages), sleep=0
        )
        database.execute("COMMIT")


def content_of_database(path: Path, progress: Callable[[int, int], None] = lambda *_: None) -> DatabaseContent:
    """Look through every page and every foreign key of a database file that nobody else has open, without changing it.
    `progress` is called now and then, with zeros. Raises StoreError that names what is damaged."""
    with translated(str(path)), _opened(path, "ro&immutable=1") as database:
        database.set_progress_handler(lambda: progress(0, 0), 1_000_000)
        for (told,) in database.execute("PRAGMA integrity_check(3)"):
            if told != "ok":
                raise StoreError(f"the database {path} is damaged: {told}")
        orphan = database.execute("PRAGMA foreign_key_check").fetchone()
        if orphan is not None:
            raise StoreError(f"the database {path} is damaged: rows of {orphan[0]} without their {orphan[2]}")
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"message", "orders", "notification", "outgoing", "alembic_version"} <= tables:
            raise StoreError(f"the file {path} is no database of this program")
        schema = database.execute("SELECT version_num FROM alembic_version").fetchone()
        sent, sealed = "SELECT 1 FROM outgoing", "SELECT 1 FROM notification WHERE grade = 'sealed'"
        return DatabaseContent(
            schema=schema and str(schema[0]),
            messages=_number(database, "SELECT count(*) FROM message"),
            orders=_number(database, "SELECT count(*) FROM orders"),
            needs_keys=bool(_number(database, f"SELECT EXISTS ({sent}) OR EXISTS ({sealed})")),
        )


def is_open_elsewhere(path: Path) -> bool:
    """Whether a program has the database file open. One that has only just begun, or that nobody has asked anything
    yet, is not seen. Raises StoreError where the file cannot be looked at."""
    if not path.is_file():
        return False
    with translated(str(path)), _opened(path, "rw", timeout=0) as database:
        # Each connection to a write-ahead log keeps a shared lock on the file; this one asks for all of it.
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return True
            raise
        except sqlite3.DatabaseError:
            return False  # no database: nobody works with it
    return False


@contextmanager
def _opened(path: Path, mode: str, timeout: float = BUSY_TIMEOUT_SECONDS) -> Iterator[sqlite3.Connection]:
    address = f"file:{quote(str(path.absolute()))}?mode={mode}"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=timeout)) as connection:
        yield connection


def _number(database: sqlite3.Connection, query: str) -> int:
    return int(database.execute(query).fetchone()[0])
