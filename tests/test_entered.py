"""Closing the loop: orders entered in the shop and opened again, and what is pending."""

import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine

from ion.errors import OrderErasedError, StoreError, UnknownMerchantError
from ion.order import Order
from ion.store import (
    AmbiguousOrderError,
    Entry,
    ErasureKind,
    NoSuchOrderError,
    OtherNumberError,
    Store,
    Subject,
    WrittenFile,
    folded_number,
    open_store,
)
from tests.orders import small_order
from tests.stores import claimed, judged, table_of

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def an_order(number: str = "GE-1", **changes: Any) -> Order:
    return small_order().model_copy(update={"order_number": number, **changes})


def come(store: Store, order: Order, revision: int = 1) -> None:
    message = claimed(store)
    (stored,) = store.store_judgement(message.id, message.claim_token, [judged(order, revision=revision)])
    assert stored.state == "applied"


def publish(store: Store, profile: str = "xlsx", name: str = "a.xlsx") -> None:
    """A batch of all that is due for a profile."""
    (its,) = (one for one in store.export_profiles("default") if one.name == profile)
    due = store.due_orders(its.id, before=datetime.now(UTC) + timedelta(days=1), limit=100)
    orders = [(one.id, one.revision) for one in due]
    store.publish(its.id, date(2026, 11, 23), WrittenFile(f"{profile}@1", name, b"x", orders, len(orders), {}))


def enter(store: Store, order: str | int = "GE-1", number: str = "#1001", **options: Any) -> Entry:
    return store.mark_entered("default", order, number, by="Ana", source="command line", **options)


def reopen(store: Store, order: str | int = "GE-1") -> Entry:
    return store.reopen("default", order, by="Ana", source="command line")


def events(store: Store) -> list[tuple[Any, ...]]:
    return table_of(store, 'SELECT what, revision, shop_order_number, "by", source FROM order_event ORDER BY id')


def due(store: Store) -> list[str]:
    """Profiles for which something is due."""
    query = "SELECT name FROM export_due JOIN export_profile ON id = profile_id ORDER BY name"
    return [name for (name,) in table_of(store, query)]


def state(store: Store) -> tuple[Any, ...]:
    (row,) = table_of(store, "SELECT state, shop_order_number FROM orders WHERE id = 1")
    return row


# Entering


def test_an_entered_order_has_its_number_one_event_and_is_due_no_more(store: Store) -> None:
    come(store, an_order())
    assert due(store) == ["standard", "xlsx"]
    entry = enter(store)
    assert (entry.changed, entry.revision, entry.shop_order_number, entry.amended) == (True, 1, "#1001", False)
    assert state(store) == ("entered", "#1001")
    assert due(store) == []
    assert events(store) == [("entered", 1, "#1001", "Ana", "command line")]
    assert store.pending() == ()
    assert store.check()["problems"] == []


@pytest.mark.parametrize("again", ["#1001", "1001", " # 1001 "])
def test_the_same_number_again_is_recognised(again: str, store: Store) -> None:
    come(store, an_order())
    enter(store)
    entry = enter(store, number=again)
    assert (entry.changed, entry.shop_order_number, entry.replaced) == (False, "#1001", None)
    assert len(events(store)) == 1


def test_another_number_is_refused_unless_it_replaces_the_first(store: Store) -> None:
    come(store, an_order())
    enter(store)
    with pytest.raises(OtherNumberError, match=r"GE-1 is entered as #1001, not 1002.*--replace"):
        enter(store, number="1002")
    assert state(store) == ("entered", "#1001")
    entry = enter(store, number="1002", replace=True)
    assert (entry.changed, entry.replaced) == (True, "#1001")
    assert state(store) == ("entered", "1002")
    assert [row[2] for row in events(store)] == ["#1001", "1002"]


@pytest.mark.parametrize("number", ["GE-1", "ge1", " g e 1", "#GE\u20111", "Po-77", "PO 77"])
def test_an_order_is_found_by_both_its_numbers_without_case_hyphens_and_blanks(number: str, store: Store) -> None:
    come(store, an_order(merchant_order_number="PO-77"))
    come(store, an_order("GE-12"))
    assert enter(store, number).id == 1


def test_a_number_of_several_orders_is_refused_and_names_them(store: Store) -> None:
    come(store, an_order("GE-1"))
    come(store, an_order("X2", merchant_order_number="ge1"))
    with pytest.raises(AmbiguousOrderError, match=r"names 2 orders: id:1 \(zonos GE-1\), id:2 \(zonos X2\)"):
        enter(store)
    assert events(store) == []
    assert enter(store, 2).order_number == "X2"


@pytest.mark.parametrize("number", ["GE-2", "", " # ", 99])
def test_a_number_of_no_order_is_refused(number: str | int, store: Store) -> None:
    come(store, an_order())
    with pytest.raises(NoSuchOrderError):
        enter(store, number)


def test_orders_of_other_merchants_are_not_found(store: Store) -> None:
    come(store, an_order())
    store.create_merchant("shop", domain="mail.example")
    for order in ("GE-1", 1):
        with pytest.raises(NoSuchOrderError):
            store.mark_entered("shop", order, "1", by="Ana", source="x")
    with pytest.raises(UnknownMerchantError):
        store.mark_entered("nobody", "GE-1", "1", by="Ana", source="x")


@pytest.mark.parametrize(("number", "by"), [("", "Ana"), (" #- ", "Ana"), ("1" * 101, "Ana"), ("1", " ")])
def test_a_number_or_a_name_that_says_nothing_is_refused(number: str, by: str, sqlite_store: Store) -> None:
    come(sqlite_store, an_order())
    with pytest.raises(StoreError):
        sqlite_store.mark_entered("default", "GE-1", number, by=by, source="x")
    assert events(sqlite_store) == []


def test_of_two_people_who_give_an_order_other_numbers_at_once_one_is_refused(store: Store, store_url: str) -> None:
    come(store, an_order())
    other, start, refused = open_store(store_url), threading.Barrier(2), list[Exception]()

    def say(one: Store, number: str) -> None:
        start.wait()
        try:
            enter(one, number=number)
        except OtherNumberError as error:
            refused.append(error)

    threads = [threading.Thread(target=say, args=pair) for pair in ((store, "1"), (other, "2"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert (len(refused), len(events(store))) == (1, 1)
    assert state(store) == ("entered", events(store)[0][2])


def test_the_orders_that_share_a_number_are_told(store: Store) -> None:
    come(store, an_order())
    come(store, an_order("X2"))
    enter(store, number=" #1001 ")
    assert store.entered_as("default", "#1001") == ("GE-1",)
    enter(store, "X2")
    assert store.entered_as("default", " #1001") == ("GE-1", "X2")
    assert store.entered_as("default", "1002") == ()


def test_an_erased_order_cannot_be_entered_and_an_entered_one_loses_its_number_when_erased(store: Store) -> None:
    come(store, an_order())
    enter(store)
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, "default", order_number="GE-1")), "digest")
    assert events(store) == [("entered", 1, None, "Ana", "command line")]
    with pytest.raises(OrderErasedError):
        enter(store)
    assert (store.pending(), store.known_orders("default")) == ((), ())
    assert store.check()["problems"] == []


# Changed after it was entered


def test_a_change_after_the_entry_is_due_and_pending_until_it_is_entered_too(store: Store) -> None:
    come(store, an_order())
    publish(store)
    enter(store)
    come(store, an_order(notes=("changed",)), revision=2)
    assert state(store) == ("entered", "#1001")
    assert due(store) == ["standard", "xlsx"]
    (one,) = store.pending()
    assert (one.state, one.amended, one.revision, one.shop_order_number) == ("entered", True, 2, "#1001")
    assert one.waiting_since == one.applied_at
    entry = enter(store)
    assert (entry.changed, entry.revision) == (True, 2)
    assert store.pending() == ()
    assert due(store) == []
    assert [row[1] for row in events(store)] == [1, 2]


def test_a_later_revision_that_says_the_same_is_not_pending(store: Store) -> None:
    come(store, an_order())
    enter(store)
    come(store, an_order(), revision=2)
    assert store.pending() == ()


def test_a_revision_that_another_reading_put_right_after_the_entry_is_pending(store: Store) -> None:
    come(store, an_order())
    enter(store)
    (message,) = store.read_again()
    assert store.store_rereading(message, [judged(an_order(notes=("put right",)))], apply=True).changed
    assert [(one.revision, one.amended) for one in store.pending()] == [(1, True)]
    entry = enter(store)
    assert (entry.changed, entry.revision, store.pending(), due(store)) == (True, 1, (), [])


def test_what_is_entered_as_exported_leaves_a_later_change_due_and_pending(store: Store) -> None:
    come(store, an_order())
    publish(store)
    come(store, an_order(notes=("changed",)), revision=2)
    entry = enter(store, as_exported=True)
    assert (entry.revision, entry.amended) == (1, True)
    assert due(store) == ["standard", "xlsx"]
    assert [one.amended for one in store.pending()] == [True]
    assert enter(store, as_exported=True).changed is False
    entry = enter(store)
    assert (entry.revision, entry.amended, entry.amended_since_export) == (2, False, True)
    assert due(store) == []
    assert enter(store, as_exported=True).changed is False  # the newest was entered already
    assert store.check()["problems"] == []


def test_what_was_never_exported_is_entered_as_it_is(store: Store) -> None:
    come(store, an_order())
    come(store, an_order(notes=("changed",)), revision=2)
    entry = enter(store, as_exported=True)
    assert (entry.revision, entry.amended, entry.amended_since_export) == (2, False, False)
    assert due(store) == []


# Opened again


def test_a_reopened_order_that_was_not_exported_is_new_and_due(store: Store) -> None:
    come(store, an_order())
    enter(store)
    entry = reopen(store)
    assert (entry.state, entry.replaced) == ("new", "#1001")
    assert state(store) == ("new", None)
    assert due(store) == ["standard", "xlsx"]
    assert events(store)[1] == ("reopened", 1, "#1001", "Ana", "command line")
    assert [one.state for one in store.pending()] == ["new"]
    assert store.check()["problems"] == []
    assert enter(store).changed
    assert len(events(store)) == 3


def test_a_reopened_order_is_due_only_where_no_batch_holds_it(store: Store) -> None:
    come(store, an_order())
    publish(store)
    enter(store)
    assert reopen(store).state == "exported"
    assert due(store) == ["standard"]
    assert store.check()["problems"] == []


def test_a_reopened_order_that_changed_since_its_batch_is_new(store: Store) -> None:
    come(store, an_order())
    publish(store)
    come(store, an_order(notes=("changed",)), revision=2)
    enter(store)
    assert reopen(store).state == "new"
    assert due(store) == ["standard", "xlsx"]
    (one,) = store.pending()
    assert (one.amended, one.batch) == (True, "a.xlsx")


def test_profiles_that_are_not_used_any_more_get_nothing_due(store: Store) -> None:
    come(store, an_order())
    store.stop_export_profile("default", "standard")
    enter(store)
    reopen(store)
    assert due(store) == ["xlsx"]


def test_an_order_that_is_not_entered_cannot_be_reopened(store: Store) -> None:
    come(store, an_order())
    with pytest.raises(StoreError, match="GE-1 is not entered, it is new"):
        reopen(store)
    assert events(store) == []


# Pending


def test_what_is_pending_comes_longest_waiting_first_with_what_staff_need(store: Store) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        come(store, an_order("A", merchant_order_number="M-1"))
        clock.shift(timedelta(hours=1))
        come(store, an_order("B"))
        come(store, an_order("test", test=True))
        publish(store, name="first.xlsx")
        clock.shift(timedelta(hours=1))
        come(store, an_order("A", merchant_order_number="M-1", notes=("changed",)), revision=2)
        come(store, an_order("C", personal_data_encrypted=True))
        come(store, an_order("D"))
        enter(store, "D")
        first, second, third = store.pending("default")
        assert [one.order_number for one in (first, second, third)] == ["A", "B", "C"]
        assert (first.state, first.amended, first.batch, first.revision) == ("exported", True, "first.xlsx", 2)
        assert (first.waiting_since, first.applied_at) == (NOON, NOON + timedelta(hours=2))
        assert (first.country, first.customer_name, first.total, first.currency) == ("ES", "Ana Ruiz", "2469", "EUR")
        assert (first.merchant_order_number, first.shop_order_number) == ("M-1", None)
        assert (second.state, second.amended, second.batch, second.on_hold) == ("exported", False, "first.xlsx", ())
        assert (third.state, third.amended, third.batch, third.on_hold) == ("new", False, None, ("encrypted",))
        assert [one.order_number for one in store.pending(older_than=timedelta(hours=1))] == ["A", "B"]
        assert [one.order_number for one in store.pending(older_than=timedelta(hours=2))] == ["A"]
        publish(store, name="second.xlsx")
        assert next((one.amended, one.batch) for one in store.pending()) == (False, "second.xlsx")
        store.create_merchant("shop", domain="mail.example")
        assert store.pending("shop") == ()


def test_numbers_are_folded_alike_everywhere() -> None:
    assert {folded_number(one) for one in ("GE-1", "ge1", "# G\u00a0E\u20131", "\u200bGE\u22121")} == {"ge1"}
