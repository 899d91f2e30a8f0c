"""Rows that are made when an order comes in are the rows that an export would make of it."""

import csv
import io
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ion.export import export_orders
from ion.export.ready_rows import PROFILE, rows_of
from ion.order import Order
from ion.rows import RowMaker, make_rows
from ion.store import ErasureKind, Store, Subject
from tests.bench.mails import orders
from tests.hard_orders import hard_orders
from tests.orders import long_order, small_order
from tests.stores import Problem, claimed, judged, table_of

AT = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
WARNING = Problem("note", None, 'a warning, with "quotes"\nand lines')


def apply(store: Store, *found: Any) -> None:
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, found)


def exported(store: Store, **given: Any) -> bytes:
    made = io.BytesIO()
    export_orders(store.orders_for_export(), "standard", made, exported_at=AT, zone=UTC, **given)
    return made.getvalue()


def all_orders() -> list[Order]:
    hard: Any = hard_orders()
    hard = list(hard.values()) if isinstance(hard, dict) else list(hard)
    bare = small_order().model_copy(update={"lines": (), "order_number": "no lines"})
    found = [*orders().values(), *hard, long_order(5), bare]
    return [order.model_copy(update={"order_number": f"{n} {order.order_number}"}) for n, order in enumerate(found)]


def test_a_file_is_the_same_octet_for_octet_with_kept_rows_and_without(store: Store) -> None:
    for order in all_orders():
        apply(store, judged(order, problems=(WARNING,)))
    without = exported(store)
    while make_rows(store):
        pass
    kept = table_of(store, "SELECT count(*) FROM order_rows WHERE profile <> '' AND count > 0")
    assert kept == [(len(all_orders()),)]
    assert exported(store) == without
    assert len(list(csv.reader(io.StringIO(without.decode(), newline="")))) > len(all_orders())


def test_nothing_of_the_order_is_built_where_its_rows_are_kept(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(sqlite_store, judged(small_order()))
    make_rows(sqlite_store)
    expected = exported(sqlite_store)

    def built(_: str) -> Order:
        raise AssertionError

    monkeypatch.setattr("ion.store.orders.order_of", built)
    assert exported(sqlite_store) == expected


def test_what_the_store_learns_later_stands_in_the_file(sqlite_store: Store) -> None:
    apply(sqlite_store, judged(small_order()))
    make_rows(sqlite_store)
    with sqlite_store.writing() as connection:
        connection.exec_driver_sql("UPDATE orders SET state = 'entered', shop_order_number = '#10, \"b\"'")
    (row,) = csv.DictReader(io.StringIO(exported(sqlite_store).decode(), newline=""))
    assert (row["state"], row["shop_order_number"]) == ("entered", '#10, "b"')


def test_a_later_revision_has_rows_of_its_own(store: Store) -> None:
    apply(store, judged(small_order()))
    make_rows(store)
    apply(store, judged(small_order().model_copy(update={"status": "changed"}), revision=2))
    assert b"changed" in exported(store)
    assert make_rows(store) == 1
    assert b"changed" in exported(store)
    assert make_rows(store) == 0


def test_rows_of_a_revision_that_is_no_longer_the_newest_are_not_kept(store: Store) -> None:
    apply(store, judged(small_order()))
    waiting = store.orders_without_rows(str(PROFILE), 9)
    apply(store, judged(small_order().model_copy(update={"status": "changed"}), revision=2))
    from ion.store import KeptRows

    store.keep_rows([(order_id, applied_at, KeptRows(str(PROFILE), "old", 1)) for order_id, applied_at, _ in waiting])
    assert b"changed" in exported(store)


def test_rows_of_an_older_version_of_the_profile_are_made_again(store: Store) -> None:
    apply(store, judged(small_order()))
    make_rows(store)
    expected = exported(store)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE order_rows SET profile = 'standard@1', text = 'old'")
    assert exported(store) == expected
    assert make_rows(store) == 1
    assert exported(store) == expected


def test_a_merchant_with_a_catalogue_has_its_cells_filled(sqlite_store: Store) -> None:
    from ion.export import CatalogueItem

    order = small_order()
    apply(sqlite_store, judged(order))
    make_rows(sqlite_store)
    sku = order.lines[0].sku
    assert sku is not None
    item = CatalogueItem(sku, "OWN-1", "Own name", None, None, None, None)
    text = exported(sqlite_store, catalogue=lambda _: {sku: item}).decode()
    row = next(csv.DictReader(io.StringIO(text, newline="")))
    assert (row["own_sku"], row["catalogue_name"]) == ("OWN-1", "Own name")


def test_of_an_order_that_brings_the_mark_along_no_rows_are_kept() -> None:
    assert rows_of(small_order().model_copy(update={"status": "a\x1e3\x1eb\x1e"})) is None
    assert rows_of(small_order().model_copy(update={"status": "a3b"})) is not None


def test_an_order_whose_rows_cannot_be_kept_is_not_tried_again_and_is_exported(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(sqlite_store, judged(small_order()))
    expected = exported(sqlite_store)
    monkeypatch.setattr("ion.rows.rows_of", lambda _: None)
    assert (make_rows(sqlite_store), make_rows(sqlite_store)) == (1, 0)
    assert exported(sqlite_store) == expected


def test_an_erased_order_leaves_no_rows(store: Store) -> None:
    apply(store, judged(small_order()))
    make_rows(store)
    order = small_order()
    subject = Subject(ErasureKind.ORDER, "default", order_number=order.order_number)
    store.erase(store.plan_erasure(subject), None)
    assert table_of(store, "SELECT * FROM order_rows") == []


def test_whoever_serves_makes_them_soon(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.rows.LOOK_SECONDS", 0.02)
    maker = RowMaker(sqlite_store)
    maker.start()
    apply(sqlite_store, judged(small_order()))
    until = datetime.now(UTC) + timedelta(seconds=20)
    while sqlite_store.orders_without_rows(str(PROFILE), 1) and datetime.now(UTC) < until:
        threading.Event().wait(0.02)
    maker.stop()
    assert sqlite_store.orders_without_rows(str(PROFILE), 1) == ()


def test_the_rows_are_looked_for_by_an_index(sqlite_store: Store, tmp_path: Path) -> None:
    del tmp_path
    with sqlite_store.reading() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT order_id FROM order_rows WHERE profile < 'standard@2' OR profile > 'standard@2'"
        ).all()
    assert "ix_order_rows_profile" in str(plan)
