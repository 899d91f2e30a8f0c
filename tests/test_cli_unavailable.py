"""Commands where the database takes nothing: one sentence, and an exit status that blames no input."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ion.seal import KeyRing
from ion.store import open_store
from tests.installations import Filled, filled
from tests.test_cli_privacy import Run, data, run

__all__ = ["data", "run"]


@pytest.fixture
def held(data: Path) -> Filled:
    """A filled merchant."""
    KeyRing(data / "keys", is_first_use=lambda: True).ensure_secret()
    with closing(open_store(f"sqlite:///{data / 'ion.db'}")) as store:
        return filled(store, "zaubernuss")


@contextmanager
def _taking_nothing(data: Path) -> Iterator[None]:
    """Each row that is written fails, and not before: a store can be opened."""
    with closing(sqlite3.connect(data / "ion.db", isolation_level=None)) as connection:
        tables = connection.execute(
            "SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )
        names = [f"{verb} {name}" for (name,) in tables.fetchall() for verb in ("INSERT", "UPDATE")]
        for number, name in enumerate(names):
            verb, table = name.split()
            connection.execute(
                f"CREATE TRIGGER takes_nothing_{number} BEFORE {verb} ON {table}"
                " BEGIN SELECT RAISE(ABORT, 'nothing is taken'); END"
            )
        yield
        for number in range(len(names)):
            connection.execute(f"DROP TRIGGER takes_nothing_{number}")


@pytest.mark.parametrize(
    "command",
    [
        ("release", "{held_id}", "--by", "ana", "--force", "totals"),
        ("dismiss", "{held_id}", "999", "--by", "ana"),
        ("reopen", "Zaubernuss-1004", "-m", "{merchant}"),
        ("entered", "id:{order_id}", "S-1", "-m", "{merchant}"),
        ("entered", "--pairs", "{pairs}", "--apply", "-m", "{merchant}"),
        ("outbox", "cancel", "{outgoing_id}"),
        ("deliveries", "retry", "{delivery_id}"),
        ("ingest", "{mail}", "-m", "{merchant}"),
    ],
    ids=" ".join,
)
def test_a_command_says_that_the_database_could_not_and_does_it_when_it_can(
    run: Run,
    data: Path,
    held: Filled,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    pairs, mail = tmp_path / "pairs.csv", tmp_path / "one.eml"
    pairs.write_text("order,shop\nZaubernuss-1001,S-1\n")
    mail.write_bytes(b"From: a@shop.example\r\nSubject: hello\r\n\r\nhello\r\n")
    given = [part.format(**vars(held), pairs=pairs, mail=mail) for part in command]
    with _taking_nothing(data):
        got = run(*given)
    assert got.status == 4, (got.out, got.err)
    assert got.err.splitlines()[-1].startswith("ion: the database ") and "nothing is taken" in got.err
    assert run(*given).status == (1 if "999" in command else 0)


def test_a_command_says_that_another_program_has_the_database_locked(
    run: Run,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ion.store.engine.BUSY_TIMEOUT_SECONDS", 0.1)
    with closing(sqlite3.connect(data / "ion.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        got = run("merchant", "list")
    assert (got.status, got.err.splitlines()[-1].endswith("cannot be opened: database is locked")) == (4, True), got.err
