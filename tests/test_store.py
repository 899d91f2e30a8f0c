"""The store, on SQLite and on PostgreSQL: opening it, merchants, outgoing mail, job runs."""

import multiprocessing
import os
import stat
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from ion.errors import DatabaseError, RenderError, SettingError, StoreError, UnknownMerchantError, UnreachableError
from ion.store import (
    ClaimLostError,
    JobState,
    NewMail,
    Queued,
    Store,
    TakenOrder,
    open_store,
)
from ion.store.engine import make_engine
from ion.store.migrations import HEAD
from ion.store.schema import MIGRATIONS
from ion.store.tables import Base
from tests.stores import an_address, queue_order, received, table_of

FORKSERVER = multiprocessing.get_context("forkserver")


# Opening and migrating


def test_the_tables_and_the_migrations_tell_the_same(store: Store, store_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.reading() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": _is_declared}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []


def _is_declared(name: str | None, kind: str, parents: Any) -> bool:
    """Not what SQLite keeps of its index of words, which is no table of ours."""
    return not (kind == "table" and str(name).startswith(("order_words_index", "order_words_kept")))


def test_the_tables_and_the_migrations_have_the_same_checks(store: Store, store_url: str) -> None:
    with store.reading() as connection:
        inspector = sa.inspect(connection)
        for table in Base.metadata.sorted_tables:
            migrated = {check["name"] for check in inspector.get_check_constraints(table.name)}
            declared = {str(one.name) for one in table.constraints if isinstance(one, sa.CheckConstraint)}
            assert migrated == {f"ck_{table.name}_{name}".replace(f"ck_{table.name}_ck_", "ck_") for name in declared}


def test_head_is_the_newest_migration() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_database_newer_than_the_program_is_refused_and_left_alone(store: Store, store_url: str) -> None:
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        open_store(store_url)
    assert table_of(store, "SELECT version_num FROM alembic_version") == [("9999",)]


def _open(url: str) -> None:
    open_store(url).close()


@pytest.mark.long
def test_processes_that_open_an_empty_database_at_once_all_succeed(empty_url: str) -> None:
    processes = [FORKSERVER.Process(target=_open, args=(empty_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    store = open_store(empty_url)
    assert [merchant.name for merchant in store.list_merchants()] == ["default"]
    assert len(store.merchant("default").addresses) == 1
    store.close()


def test_the_files_of_a_sqlite_store_are_their_owners_only(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        store = open_store(f"sqlite:///{tmp_path / 'new' / 'ion.db'}")
        received(store)
    finally:
        os.umask(old_mask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {"ion.db": 0o600, "ion.db-wal": 0o600, "ion.db-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    store.close()


def test_a_sqlite_store_is_synced_logged_ahead_and_holds_foreign_keys(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    pragmas = [table_of(store, f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert pragmas == [[("wal",)], [(2,)], [(1,)]]
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://a/b", "no url at all"])
def test_a_url_that_names_no_usable_database_is_a_setting_error(url: str) -> None:
    with pytest.raises(SettingError, match="database_url"):
        open_store(url)


def test_a_server_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(UnreachableError, match="at 127"):
        open_store("postgresql://user:secret@127.0.0.1:1/ion")


def test_errors_of_the_database_tell_no_values(store: Store) -> None:
    with pytest.raises(StoreError) as caught, store.writing() as connection:
        connection.execute(
            sa.text("INSERT INTO merchant_address (address, merchant, created_at) VALUES (:secret, 'nobody', :now)"),
            {"secret": "secret@mail.example", "now": datetime(2026, 1, 1, tzinfo=UTC)},
        )
    assert "secret" not in str(caught.value)
    assert "secret" not in str(caught.value.__cause__).split("DETAIL")[0]


def test_two_writers_never_overwrite_each_other(store: Store) -> None:
    # Read, then write what was read plus one: with an ordinary transaction, SQLite loses updates or gives up here.
    def add_one() -> None:
        for _ in range(25):
            with store.writing() as connection:
                value = connection.execute(
                    sa.text("SELECT sender FROM merchant" + ("" if is_sqlite else " FOR UPDATE"))
                ).scalar_one()
                connection.execute(sa.text("UPDATE merchant SET sender = :value"), {"value": str(int(value) + 1)})

    is_sqlite = store._is_sqlite
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE merchant SET sender = '0'"))
    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table_of(store, "SELECT sender FROM merchant") == [("100",)]


@pytest.mark.long
def test_threads_that_create_databases_at_once_each_create_their_own(tmp_path: Path) -> None:
    """In a process of its own: it was ended by a segmentation fault."""
    opening = """
import sys
from concurrent.futures import ThreadPoolExecutor
from ion.store import open_store
with ThreadPoolExecutor(4) as threads:
    for store in threads.map(open_store, sys.argv[1:]):
        assert store.check()["problems"] == [], store
"""
    urls = [f"sqlite:///{tmp_path / str(number)}.db" for number in range(4)]
    subprocess.run([sys.executable, "-c", opening, *urls], check=True)


# Merchants


def test_the_default_merchant_is_there_with_a_secret_address(store: Store) -> None:
    (merchant,) = store.list_merchants()
    assert merchant.name == "default"
    local, domain = merchant.addresses[0].split("@")
    assert domain == "mail.example"
    assert local.startswith("ion-default-")
    assert len(local) == len("ion-default-") + 10
    assert merchant.mail_to == ()


def test_a_merchant_is_created_with_all_it_is_given(store: Store) -> None:
    made = store.create_merchant("shop-2", domain="X.example", locale="de", payload_ids=["77"])
    assert store.merchant("shop-2") == made
    assert made.mail_to == ()
    assert made.locale == "de"
    assert made.addresses[0].endswith("@x.example")
    assert store.merchant_for_payload("77") == "shop-2"
    assert store.merchant_for_payload("78") is None
    store.set_mail_to("shop-2", ["c@d.example"])
    assert store.merchant("shop-2").mail_to == ("c@d.example",)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "-a", "a-", "ä", "a" * 41, "a/b", "default"])
def test_a_merchant_name_that_is_taken_or_no_slug_is_refused(name: str, store: Store) -> None:
    with pytest.raises(StoreError):
        store.create_merchant(name, domain="x.example")
    assert len(store.list_merchants()) == 1


def test_a_payload_id_belongs_to_one_merchant_only(store: Store) -> None:
    store.create_merchant("one", domain="x.example", payload_ids=["77"])
    with pytest.raises(StoreError, match="77"):
        store.create_merchant("two", domain="x.example", payload_ids=["77"])
    with pytest.raises(UnknownMerchantError):
        store.merchant("two")


def test_an_unknown_merchant_is_an_error_everywhere(store: Store) -> None:
    for call in (
        lambda: store.merchant("nobody"),
        lambda: store.set_mail_to("nobody", []),
        lambda: store.rotate_address("nobody", domain="x.example"),
        lambda: store.add_address("nobody", "a@b.example"),
        lambda: queue_order(store, "1", merchant="nobody"),
    ):
        with pytest.raises(UnknownMerchantError, match="nobody"):
            call()


def test_a_recipient_is_known_by_its_whole_address_in_either_case(store: Store) -> None:
    address = an_address(store)
    local, domain = address.split("@")
    assert store.merchant_for_recipient(address) == "default"
    assert store.merchant_for_recipient(address.upper()) == "default"
    for other in (
        f"{local}+tag@{domain}",
        f"{local}@other.example",
        f"x{address}",
        f"{address}.",
        local,
        "",
        "\0\ud800",
    ):
        assert store.merchant_for_recipient(other) is None


def test_an_old_address_stays_valid_until_it_is_retired(store: Store) -> None:
    first = an_address(store)
    second = store.rotate_address("default", domain="mail.example")
    assert store.merchant("default").addresses == (second, first)
    assert store.merchant_for_recipient(first) == "default"
    store.retire_address(first.upper())
    assert store.merchant_for_recipient(first) is None
    third = store.rotate_address("default", domain="mail.example")
    store.retire_old_addresses("default")
    assert store.merchant("default").addresses == store.recipients(9) == (third,)
    with pytest.raises(StoreError):
        store.retire_address(second)
    store.add_address("default", "Orders@Shop.example")
    assert store.merchant_for_recipient("orders@shop.example") == "default"
    with pytest.raises(StoreError):
        store.add_address("default", "orders@shop.example")


# Outgoing mail


def test_one_content_is_queued_once_and_other_content_is_the_next_revision(store: Store) -> None:
    first, again = queue_order(store, "1", "a"), queue_order(store, "1", "a")
    changed, back = queue_order(store, "1", "b"), queue_order(store, "1", "a")
    other = queue_order(store, "2", "a")
    assert [one.created for one in (first, again, changed, back, other)] == [True, False, True, True, True]
    assert again.mails == first.mails
    numbers = [(one.mails[0].revision, one.mails[0].sequence) for one in (first, changed, back, other)]
    assert numbers == [(1, 1), (2, 2), (3, 3), (1, 4)]
    (mail,) = first.mails
    assert (mail.address, mail.state) == ("b@x.example", "queued")
    assert [claimed.raw for claimed in store.claim_outgoing(1, 60, ids=[mail.id])] == [b"raw"]


def test_a_revision_is_built_with_what_was_told_before_and_an_address_that_was_not_told_is_told_later(
    store: Store,
) -> None:
    seen: list[tuple[TakenOrder, str]] = []

    def build(taken: TakenOrder, address: str) -> NewMail:
        seen.append((taken, address))
        return NewMail(f"<{len(seen)}@x.example>", b"raw", "a@x.example")

    def queue(content: str, *addresses: str) -> Queued:
        key = "default", "zonos", "1"
        return store.queue_notification(*key, (content, f"sha-{content}"), lambda _: addresses, build)

    queue("a", "x@x.example", "y@x.example", "x@x.example")
    queue("b", "x@x.example")
    late = queue("b", "x@x.example", "z@x.example")
    first, second = TakenOrder(1, 1, None), TakenOrder(2, 2, "a")
    assert seen == [
        (first, "x@x.example"), (first, "y@x.example"), (second, "x@x.example"), (second, "z@x.example"),
    ]  # fmt: skip
    assert not late.created
    assert [mail.address for mail in late.mails] == ["x@x.example", "z@x.example"]
    assert store.check()["problems"] == []


def test_a_mail_that_cannot_be_built_leaves_no_gap(store: Store) -> None:
    def fail(taken: TakenOrder, address: str) -> NewMail:
        raise RenderError("no")

    queue_order(store, "1")
    with pytest.raises(RenderError):
        store.queue_notification("default", "zonos", "2", ("a", "a"), lambda _: ["b@x.example"], fail)
    assert queue_order(store, "3").mails[0].sequence == 2
    assert store.check()["problems"] == []


def _queue_many(url: str, prefix: str, count: int) -> None:
    store = open_store(url)
    for number in range(count):
        queue_order(store, f"{prefix}-{number}")
    queue_order(store, "shared", prefix)
    store.close()


@pytest.mark.long
def test_several_processes_queue_without_gaps_or_doubles(store: Store, store_url: str) -> None:
    processes = [FORKSERVER.Process(target=_queue_many, args=(store_url, name, 25)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    mails = store.list_outgoing()
    assert [mail.sequence for mail in sorted(mails, key=lambda mail: mail.sequence or 0)] == list(range(1, 79))
    assert sorted(mail.revision or 0 for mail in mails if mail.order_number == "shared") == [1, 2, 3]
    assert store.check()["problems"] == []


def test_outgoing_mail_is_claimed_once_and_ends_as_the_relay_says(store: Store) -> None:
    for number in range(4):
        queue_order(store, str(number))
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=5), tick=False) as clock:
        (named,) = store.claim_outgoing(1, 60, ids=[3])
        assert named.order_number == "2"
        first, second, third = store.claim_outgoing(9, 60)
        assert store.claim_outgoing(9, 60) == ()
        for mail in (named, first, second, third):
            assert mail.claim_token is not None
            assert mail.attempts == 1
        store.mark_sent(first.id, str(first.claim_token), "250 ok")
        store.mark_retry(second.id, str(second.claim_token), "450 later", 30)
        store.mark_failed(third.id, str(third.claim_token), "550 no")
        with pytest.raises(ClaimLostError):
            store.mark_failed(first.id, str(first.claim_token), "550 no")
        assert store.claim_outgoing(9, 60) == ()
        clock.shift(30)
        (again,) = store.claim_outgoing(9, 60)
        assert (again.id, again.attempts, again.last_reply) == (second.id, 2, "450 later")
        clock.shift(60)
        assert {mail.id for mail in store.claim_outgoing(9, 60)} == {named.id, second.id}
    states = {mail.order_number: mail.state for mail in store.list_outgoing()}
    assert states == {"0": "sent", "1": "retry", "2": "queued", "3": "failed"}
    assert [mail.id for mail in store.list_outgoing(state="sent")] == [first.id]


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=365)])
def test_outgoing_mail_that_a_clock_ahead_queued_or_claimed_is_due_once_the_clock_is_right(
    store: Store, ahead: timedelta
) -> None:
    with time_machine.travel(datetime.now(UTC) + ahead, tick=False) as clock:
        queue_order(store, "1")
        (early,) = store.claim_outgoing(9, 60)
        store.mark_retry(early.id, str(early.claim_token), "450 later", 30)
        (lost,) = store.claim_outgoing(9, 60, ids=[early.id])
        clock.shift(-ahead)
        (found,) = store.claim_outgoing(9, 60)
        assert (found.id, found.attempts) == (lost.id, 3)
        assert store.claim_outgoing(9, 60) == ()  # and is nobody else's now
        with pytest.raises(ClaimLostError):
            store.mark_sent(lost.id, str(lost.claim_token), "250 ok")


def test_clocks_that_are_minutes_apart_do_not_take_outgoing_mail_from_each_other(store: Store) -> None:
    queue_order(store, "1")
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=4), tick=False) as clock:
        assert len(store.claim_outgoing(9, 60)) == 1
        clock.shift(timedelta(minutes=-4))
        assert store.claim_outgoing(9, 60) == ()


# Job runs


def test_a_job_runs_once_for_a_business_date(store: Store) -> None:
    def claim(by: str, day: date = date(2026, 11, 23), merchant: str = "") -> Any:
        return store.claim_job_run("export", day, claimed_by=by, lease_seconds=60, merchant=merchant)

    with time_machine.travel(datetime(2026, 11, 24, 2, 0, tzinfo=UTC), tick=False) as clock:
        first = claim("a")
        assert first is not None
        assert (first.state, first.attempts, first.detail) == ("running", 1, {})
        assert claim("b") is None
        assert claim("b", merchant="default") is not None
        assert claim("b", day=date(2026, 11, 24)) is not None
        clock.shift(60)
        second = claim("b")
        assert second is not None
        assert second.attempts == 2
        with pytest.raises(ClaimLostError):
            store.finish_job_run(first, JobState.DONE, {})
        store.finish_job_run(second, JobState.FAILED, {"error": "disk full"})
        third = claim("a")
        assert third is not None
        store.finish_job_run(third, JobState.DONE, {"file": "orders.csv", "rows": 3})
        clock.shift(3600)
        assert claim("c") is None
    run = store.list_job_runs("export", "")[-1]
    assert (run.state, run.attempts, run.detail) == ("done", 3, {"file": "orders.csv", "rows": 3})
    assert run.finished_at == datetime(2026, 11, 24, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=365)])
def test_a_run_that_a_clock_ahead_claimed_is_taken_over_once_the_clock_is_right(store: Store, ahead: timedelta) -> None:
    def claim(by: str) -> Any:
        return store.claim_job_run("export", date(2026, 11, 23), claimed_by=by, lease_seconds=60)

    with time_machine.travel(datetime(2026, 11, 24, 2, 0, tzinfo=UTC) + ahead, tick=False) as clock:
        first = claim("a")
        clock.shift(timedelta(minutes=-4))
        assert claim("b") is None  # machines may be so far apart
        clock.shift(timedelta(minutes=4) - ahead)
        second = claim("b")
        assert second is not None and second.attempts == 2
        assert claim("c") is None
        with pytest.raises(ClaimLostError):
            store.finish_job_run(first, JobState.DONE, {})


def test_of_many_schedulers_one_gets_the_run(store: Store) -> None:
    got: list[Any] = []

    def ring(name: str) -> None:
        run = store.claim_job_run("export", date(2026, 11, 23), claimed_by=name, lease_seconds=60)
        if run is not None:
            got.append(run)

    threads = [threading.Thread(target=ring, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_a_value_that_no_database_can_hold_is_not_told_as_its_trouble(store: Store) -> None:
    with store.reading() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
    for about_values, statement in (
        (True, "SELECT zeroblob(2000000000)" if is_sqlite else "SELECT 1 / 0"),
        (False, "INSERT INTO merchant (name) VALUES (NULL)"),
        (False, "SELECT * FROM nowhere"),
    ):
        with pytest.raises(StoreError) as caught, store.writing() as connection:
            connection.execute(sa.text(statement))
        assert isinstance(caught.value, DatabaseError) is not about_values, statement


def test_a_locked_database_is_told_as_its_own_trouble_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.store.engine.BUSY_TIMEOUT_SECONDS", 0.2)
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    other = make_engine(f"sqlite:///{tmp_path / 'ion.db'}")
    with other.begin(), pytest.raises(DatabaseError, match="locked"):
        received(store)
    assert received(store) == 1
    store.close()
