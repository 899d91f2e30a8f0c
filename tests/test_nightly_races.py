"""Orders that change while a night is at work, and merchants and profiles that cannot be exported."""

import csv
import io
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from alembic.command import downgrade
from alembic.config import Config

from ion.config import Settings
from ion.content import Content
from ion.errors import SettingError
from ion.export import profile_named, rows_of
from ion.nightly import Steps, night, nightly_jobs, publish_due
from ion.order import Order
from ion.rows import make_rows
from ion.schedule import Run
from ion.store import Batch, KeptRows, Store, open_store
from ion.store.engine import make_engine
from ion.store.judgements import Judgement
from ion.store.merchants import lock_merchant
from ion.store.orders import update_order
from ion.store.schema import MIGRATIONS
from tests.orders import small_order
from tests.stores import judged, received, table_of

DAY = date(2026, 11, 24)


def apply(store: Store, *judgements: Judgement, merchant: str = "default") -> None:
    message_id = received(store, f"Subject: {id(judgements)} {datetime.now(UTC)}\r\n\r\n".encode(), merchant)
    (message,) = store.claim_messages(1, 60)
    assert message.id == message_id
    store.store_judgement(message.id, message.claim_token, judgements)


def an_order(number: str, **changes: Any) -> Order:
    return small_order().model_copy(update={"order_number": number, **changes})


def put_right(store: Store, number: str, **changes: Any) -> None:
    """Another reading of the only mail says otherwise."""
    (message,) = store.read_again()
    assert store.store_rereading(message, [judged(an_order(number, **changes))], apply=True).changed


def publish(store: Store, profile: str = "standard") -> tuple[Batch, ...]:
    (used,) = [one for one in store.export_profiles("default") if one.name == profile]
    until = datetime.now(UTC) + timedelta(hours=1)
    return publish_due(store, Settings(), store.merchant("default"), used, DAY, until).batches


def a_run(merchant: str = "default") -> Run:
    return Run("nightly", merchant, DAY, datetime.now(UTC) + timedelta(hours=1), lambda: None)


def rows(store: Store, batch: Batch) -> list[dict[str, str]]:
    raw = store.batch_octets(batch.id)
    assert raw is not None
    return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))


def once_before(store: Store, name: str, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something just before the store's method is called for the first time."""
    real, done = getattr(store, name), list[bool]()

    def doing(*given: Any, **named: Any) -> Any:
        if not done:
            done.append(True)
            act()
        return real(*given, **named)

    monkeypatch.setattr(store, name, doing)


def test_an_order_read_anew_while_its_file_is_written_is_in_it_as_it_is_read_now(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(store, judged(an_order("A", status="misread")))
    once_before(store, "publish", lambda: put_right(store, "A", status="right"), monkeypatch)
    (batch,) = publish(store)
    assert [row["status"] for row in rows(store, batch)] == ["right"]


def test_an_order_read_anew_while_its_file_is_written_and_now_a_test_is_not_in_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(store, judged(an_order("A")))
    once_before(store, "publish", lambda: put_right(store, "A", test=True), monkeypatch)
    assert publish(store) == ()


def test_rows_made_of_an_order_that_is_read_anew_meanwhile_are_not_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(store, judged(an_order("A", status="misread")))
    once_before(store, "keep_rows", lambda: put_right(store, "A", status="right"), monkeypatch)
    make_rows(store)
    (batch,) = publish(store)
    assert [row["status"] for row in rows(store, batch)] == ["right"]


def test_rows_made_of_an_order_that_is_just_being_changed_are_not_kept(store: Store) -> None:
    apply(store, judged(an_order("A", status="old")))
    profile = str(profile_named("standard"))
    ((order_id, applied_at, order),) = store.orders_without_rows(profile, 9)
    made = rows_of(order)
    assert made is not None
    keeping = threading.Thread(
        target=store.keep_rows, args=([(order_id, applied_at, KeptRows(profile, made.text, made.count))],)
    )
    with store.writing() as connection:
        lock_merchant(connection, "default")
        update_order(connection, order_id, Content.of(an_order("A", status="new")), 1, datetime.now(UTC))
        keeping.start()
        keeping.join(0.5)  # it waits for us
    keeping.join()
    assert table_of(store, "SELECT count FROM order_rows") == [(0,)]


def test_a_profile_that_is_broken_holds_up_no_other(store: Store) -> None:
    store.use_export_profile("default", "erp", definition='[[column]]\nname = "No"\nfield = "gone"\n', primary=True)
    apply(store, judged(an_order("A")))
    store.add_delivery_target("default", "mail", "ana@shop.example", profile="erp")
    detail = night(store, Settings(), Steps(), a_run())
    assert [(one["profile"], one["orders"]) for one in detail["profiles"]] == [("erp", 0), ("xlsx", 1), ("standard", 1)]
    assert "gone" in detail["profiles"][0]["error"]
    assert "reported" not in detail, "that there is nothing new would not be true"
    declared = '[[column]]\nname = "No"\nfield = "order_number"\n'
    store.use_export_profile("default", "erp", definition=declared)
    assert [one.order_count for one in publish(store, "erp")] == [1]


@pytest.mark.parametrize(
    ("name", "value"), [("time_zone", "Europe/Nowhere"), ("time_zone", "../../etc"), ("export_time", "25:00")]
)
def test_a_merchant_whose_time_is_none_fails_alone_and_with_the_reason(
    sqlite_store: Store, name: str, value: str
) -> None:
    sqlite_store.create_merchant("shop", domain="mail.example")
    sqlite_store.set_merchant("shop", **{name: value})
    default, shop = nightly_jobs(sqlite_store, Settings(), Steps())
    default.run(a_run())
    assert (default.at, default.zone) == (shop.at, shop.zone)
    with pytest.raises(SettingError, match=f"{name} of merchant shop is '{value}'"):
        shop.run(a_run("shop"))


def test_a_profile_that_takes_history_takes_no_order_that_is_entered(store: Store) -> None:
    apply(store, judged(an_order("A")), judged(an_order("B")))
    store.mark_entered("default", "A", "1001", by="Ana", source="command line")
    store.use_export_profile("default", "standard", since=datetime(2020, 1, 1, tzinfo=UTC))
    (batch,) = publish(store)
    assert [row["order_number"] for row in rows(store, batch)] == ["B"]


def test_an_order_entered_under_a_schema_that_is_taken_back_is_new_and_due_again(store: Store, store_url: str) -> None:
    apply(store, judged(an_order("A")))
    night(store, Settings(), Steps(), a_run())
    store.mark_entered("default", "A", "1001", by="Ana", source="command line")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # As `bring_to_head` does it: rebuilding a table must not touch the rows that refer to it.
    engine = make_engine(store_url, foreign_keys=False)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        downgrade(config, "0006")
    engine.dispose()
    migrated = open_store(store_url)
    assert migrated.check()["problems"] == []
    assert [(one.order_number, one.state) for one in migrated.pending()] == [("A", "new")]
    assert [row["order_number"] for row in rows(migrated, *publish(migrated))] == ["A"]
    migrated.close()
