"""Closing the loop: orders entered in the shop and opened again, what is pending, and what a shop's files tell."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.entering import Match, match_pairs, match_shop_orders
from ion.errors import CsvError, IonError, OrderErasedError, StoreError, UnknownMerchantError
from ion.order import Customer, LineItem, Money, Order, Totals
from ion.shop_orders import ShopOrder, read_pairs, read_shopify, read_woocommerce
from ion.store import (
    AmbiguousOrderError,
    Entry,
    ErasureKind,
    KnownOrder,
    NoSuchOrderError,
    OtherNumberError,
    PendingOrder,
    Store,
    Subject,
    WrittenFile,
    entries,
    folded_number,
    open_store,
)
from tests.orders import small_order
from tests.stores import claimed, judged, table_of
from tests.test_cli_privacy import Run, data, run

__all__ = ["data", "run"]

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
    orders = [(one.id, one.revision, one.applied_at) for one in due]
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
    assert store.entered_as("default", "#1001") == ((1, "GE-1"),)
    enter(store, "X2", "1001")
    assert store.entered_as("default", " #1001") == ((1, "GE-1"), (2, "X2"))
    assert store.entered_as("default", "1002") == store.entered_as("other", "1001") == ()
    enter(store, "X2", "\N{SNOWMAN}", replace=True)
    assert store.entered_as("default", "\N{SNOWMAN}") == ((2, "X2"),)


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


# Files


def test_pairs_are_read_with_any_separator_and_without_a_heading() -> None:
    for separator in (",", ";", "\t"):
        text = (
            f"\ufeffGE-1{separator}#1001\r\n\r\n GE-2 {separator} 1002 \r\nGE-3{separator}\r\nGE-1{separator}#1001\r\n"
        )
        found = read_pairs(text.encode())
        assert [(one.row, one.order_number, one.shop_order_number) for one in found] == [
            (1, "GE-1", "#1001"),
            (3, "GE-2", "1002"),
        ]


def test_a_heading_says_which_columns_are_the_pair() -> None:
    text = "received;Shop order number;Order_Number\n2026-11-23;1001;GE-1\n2026-11-24;;GE-2\n"
    (pair,) = read_pairs(text.encode())
    assert (pair.row, pair.order_number, pair.shop_order_number) == (2, "GE-1", "1001")


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"GE-1\nGE-2\n", "row 1: one column"),
        (b"a,b\n\xff,1\n", "row 2: no UTF-8"),
        (b'a,b\nc,"d\n', "quotation marks that do not close"),
        (b"a,b\n" + b"," * 3000 + b"x", "row 2: 3001 columns"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_row(octets: bytes, told: str) -> None:
    with pytest.raises(CsvError, match=told):
        read_pairs(octets)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


SHOPIFY = (
    "Name,Email,Currency,Total,Created at,Lineitem quantity,Lineitem sku,Notes,Note Attributes,Cancelled at,Tags,Id\n"
    '#1001,Ana@x.example,EUR,2469.00,2026-11-23 14:00:00 +0200,1,AB-1,"Global-e: ge-12345678\nthanks",'
    '"box: 7",,"a, b",9\n'
    "#1001,,,,,2,CD-2,,,,,\n"
    "#1002,ben@x.example,EUR,5.00,soon,1,,,,2026-11-24 10:00:00 +0000,,10\n"
)
WOOCOMMERCE = (
    "order_id,order_number,order_date,status,order_total,order_currency,customer_email,customer_note,meta:PO_Number,"
    "line_item_1,line_item_2\n"
    "7,W-7,11/23/2026 12:00:00,processing,12.5,EUR,ana@x.example,for GE-12345678,PO-9,"
    "name:Mug: red|product_id:3|sku:AB:1|quantity:2|total:13.00|meta:sku:X,name:Cup|sku:CD-2|quantity:1\n"
    "8,,2026-11-23 12:00:00,wc-cancelled,,,,,,name:Mug|quantity:2,\n"
)


def test_the_rows_of_shopify_become_orders_with_their_articles() -> None:
    first, second = read_shopify(SHOPIFY.encode())
    assert first == ShopOrder(
        row=2,
        number="#1001",
        texts=("#1001", "Global-e: ge-12345678\nthanks", "box: 7", "a, b"),
        email="Ana@x.example",
        total=Decimal(2469),
        currency="EUR",
        created_at=NOON,
        articles=(("AB-1", Decimal(1)), ("CD-2", Decimal(2))),
    )
    assert (second.row, second.cancelled, second.articles, second.created_at) == (4, True, None, None)


def test_the_rows_of_woocommerce_become_orders_with_their_articles() -> None:
    first, second = read_woocommerce(WOOCOMMERCE.encode())
    assert first == ShopOrder(
        row=2,
        number="W-7",
        texts=("W-7", "for GE-12345678", "PO-9"),
        email="ana@x.example",
        total=Decimal("12.5"),
        currency="EUR",
        created_at=NOON,
        articles=(("AB:1", Decimal(2)), ("CD-2", Decimal(1))),
    )
    assert (second.number, second.cancelled, second.articles, second.created_at) == ("8", True, None, NOON)


@pytest.mark.parametrize("read", [read_shopify, read_woocommerce])
def test_a_file_of_something_else_is_refused_with_what_it_lacks(read: Callable[[bytes], Any]) -> None:
    for octets in (b"", b"sku,name\n1,2\n"):
        with pytest.raises(CsvError, match="row 1: no column"):
            read(octets)
    with pytest.raises(CsvError, match=r"row 2.*empty"):
        read(b"Name,Lineitem sku,order_id,Email\n,,,x@y.example\n")


@given(st.binary(max_size=300) | st.text(alphabet='"\x00\ud800,;\t\n#:|1aNÄ', max_size=200).map(_octets))
@settings(max_examples=150, deadline=None)
def test_whatever_a_file_holds_it_is_read_or_refused(octets: bytes) -> None:
    heading = b"Name,Lineitem sku,Lineitem quantity,Total,Created at,order_id,line_item_1\n"
    for read in (read_pairs, read_shopify, read_woocommerce):
        for given_octets in (octets, heading + octets):
            try:
                found: Any = read(given_octets)
            except CsvError:
                continue
            assert isinstance(found, tuple)


# Matching


def known(number: str = "GE-12345678", order_id: int = 1, **changes: Any) -> KnownOrder:
    values: dict[str, Any] = {
        "merchant_order_number": None,
        "state": "new",
        "shop_order_number": None,
        "customer_email": "ana@x.example",
        "total": Decimal("2469.0"),
        "currency": "EUR",
        "first_at": NOON,
        "articles": (("AB-1", Decimal(1)), ("AB-1", Decimal(1)), ("CD-2", Decimal(1))),
    }
    return KnownOrder(id=order_id, order_number=number, **values | changes)


def sold(row: int = 2, *texts: str, **changes: Any) -> ShopOrder:
    """A shop's order that is `known` but for its number."""
    values: dict[str, Any] = {
        "number": f"#{row}",
        "email": "Ana@X.example",
        "total": Decimal(2469),
        "currency": "EUR",
        "created_at": NOON,
        "articles": (("CD-2", Decimal(1)), ("AB-1", Decimal(2))),
    }
    return ShopOrder(row=row, texts=texts, **values | changes)


def only(shop: ShopOrder | list[ShopOrder], orders: KnownOrder | list[KnownOrder], skus: Any = None) -> Match:
    """What becomes of the first of the shop's orders."""
    shops = shop if isinstance(shop, list) else [shop]
    return match_shop_orders(shops, orders if isinstance(orders, list) else [orders], skus or {})[0]


STRANGE = {"email": "other@x.example"}


@pytest.mark.parametrize(
    "text",
    ["GE-12345678", "order ge12345678, thanks", "platform:#GE-12345678.", "(GE-12345678)", "a\nGE\u201112345678\nb"],
)
def test_our_number_as_a_word_of_its_own_is_a_match(text: str) -> None:
    found = only(sold(2, "#2", text, **STRANGE), known())
    assert (found.outcome, found.how) == ("match", "number")


@pytest.mark.parametrize(
    "text", ["GE-123456789", "XGE-12345678", "GE-1234567", "A/GE-12345678", "GE-12345678-2", "GE-12345678.5", ""]
)
def test_our_number_within_another_word_is_none(text: str) -> None:
    assert only(sold(2, text, **STRANGE), known()).outcome == "unmatched"


def test_the_merchants_number_counts_as_well_and_short_bare_numbers_do_not() -> None:
    assert only(sold(2, "PO 100023", **STRANGE), known(merchant_order_number="100023")).how == "number"
    assert only(sold(2, "PO 10002", **STRANGE), known(merchant_order_number="10002")).outcome == "unmatched"
    assert only(sold(2, "PO A-1", **STRANGE), known(merchant_order_number="A-1")).how == "number"


def test_an_order_that_names_several_of_ours_is_left_to_people() -> None:
    found = only(sold(2, "GE-12345678 GE-2"), [known(), known("GE-2", 7)])
    assert (found.outcome, found.order) == ("unmatched", None)
    assert found.reason == "it names 2 orders: GE-12345678 (id:1), GE-2 (id:7)"


def test_one_of_ours_in_several_orders_of_the_shop_is_a_conflict_for_each() -> None:
    shops = [sold(2, "GE-12345678"), sold(3, "GE-12345678")]
    assert [one.outcome for one in match_shop_orders(shops, [known()], {})] == ["conflict", "conflict"]
    assert only(shops, known()).reason == "order GE-12345678 is also in #3"
    shops[1] = sold(3, "GE-12345678", cancelled=True)
    assert [one.outcome for one in match_shop_orders(shops, [known()], {})] == ["match", "unmatched"]


def test_an_order_entered_already_is_known_or_in_conflict() -> None:
    order = known(state="entered", shop_order_number="1001")
    assert only(sold(number="#1001"), order).outcome == "known"
    other = only(sold(2, "GE-12345678", number="#1002"), order)
    assert (other.outcome, other.replaceable) == ("conflict", True)
    assert other.reason == "order GE-12345678 is entered as 1001"
    both = only([sold(2, "GE-12345678", number="#1002"), sold(3, number="#1001")], order)
    assert (both.outcome, both.replaceable) == ("conflict", False)
    gone = only(sold(number="#1001", cancelled=True), order)
    assert (gone.outcome, gone.replaceable) == ("conflict", False)
    mixed = only(sold(2, "GE-2", number="#1001"), [order, known("GE-2", 7)])
    assert (mixed.outcome, mixed.reason) == (
        "conflict",
        "order GE-12345678 (id:1) is entered under it, and it names order GE-2 (id:7)",
    )


def test_the_same_customer_total_and_articles_are_a_match_by_combination() -> None:
    found = only(sold(), known())
    assert (found.outcome, found.how, found.order) == ("match", "combination", known())


@pytest.mark.parametrize(
    "change",
    [
        {"email": "ben@x.example"},
        {"email": None},
        {"total": Decimal("2469.01")},
        {"total": None},
        {"currency": "USD"},
        {"currency": None},
        {"articles": (("AB-1", Decimal(2)),)},
        {"articles": (("AB-1", Decimal(1)), ("CD-2", Decimal(1)))},
        {"articles": (("ab-1", Decimal(2)), ("CD-2", Decimal(1)))},
        {"articles": ()},
        {"articles": None},
        {"created_at": None},
        {"created_at": NOON - timedelta(days=1, seconds=1)},
        {"cancelled": True},
    ],
)
def test_anything_that_differs_or_is_not_known_is_no_match(change: dict[str, Any]) -> None:
    assert only(sold(), known()).outcome == "match"
    found = only(sold(**change), known())
    assert found.outcome == "unmatched"
    assert found.reason and "x.example" not in found.reason


def test_a_line_of_ours_without_a_sku_cannot_be_combined() -> None:
    assert only(sold(), known(articles=((None, Decimal(1)),))).outcome == "unmatched"


def test_a_combination_that_stands_twice_on_either_side_is_left_to_people() -> None:
    twice = match_shop_orders([sold(2), sold(3)], [known()], {})
    assert [one.outcome for one in twice] == ["unmatched", "unmatched"]
    assert twice[0].reason == "order GE-12345678 could also be #3"
    found = only(sold(), [known(), known("GE-2", 7)])
    assert found.reason == "same customer, total and articles as 2 orders: GE-12345678 (id:1), GE-2 (id:7)"


def test_what_is_matched_by_number_or_entered_stands_in_nobodys_way() -> None:
    shops = [sold(2), sold(3, "GE-2"), sold(4, created_at=NOON - timedelta(days=300)), sold(5, number="77")]
    orders = [known(), known("GE-2", 7), known("GE-3", 8, state="entered", shop_order_number="#77")]
    found = match_shop_orders(shops, orders, {})
    assert [(one.outcome, one.how) for one in found] == [
        ("match", "combination"),
        ("match", "number"),
        ("unmatched", None),
        ("known", "number"),
    ]


def test_the_merchants_own_skus_count_where_the_catalogue_has_them() -> None:
    shop = sold(articles=(("OWN-1", Decimal(2)), ("CD-2", Decimal(1))))
    assert only(shop, known()).outcome == "unmatched"
    assert only(shop, known(), {"AB-1": "OWN-1"}).how == "combination"
    # One order of ours by both its SKUs is still one order.
    both = match_shop_orders([shop, sold(3)], [known()], {"AB-1": "OWN-1"})
    assert [one.outcome for one in both] == ["unmatched", "unmatched"]


def test_pairs_that_contradict_each_other_or_what_is_known_are_told() -> None:
    orders = [
        known("GE-1", 1),
        known("GE-2", 2, state="entered", shop_order_number="#5"),
        known("X", 3, merchant_order_number="7"),
        known("Y", 4, merchant_order_number="7"),
        known("Z", 5),
    ]
    rows = ["ge1,1", "GE-2,5", "7,2", "Q,3", "id:3,4", "Z,8", "id:5,9", "id:4,4"]
    found = match_pairs(read_pairs("\n".join(rows).encode()), orders)
    assert [one.outcome for one in found] == [
        "match", "known", "unmatched", "unmatched", "conflict", "conflict", "conflict", "conflict",
    ]  # fmt: skip
    assert found[2].reason == "'7' names 2 orders: X (id:3), Y (id:4)"
    other = match_pairs(read_pairs(b"GE-2,6"), orders)[0]
    assert (other.outcome, other.replaceable) == ("conflict", True)


def test_numbers_are_folded_alike_everywhere() -> None:
    assert {folded_number(one) for one in ("GE-1", "ge1", "# G\u00a0E\u20131", "\u200bGE\u22121")} == {"ge1"}


@pytest.mark.parametrize("typed", ["GE-77/1", "ge77/1", "#G E 77/1", "GE\u201377/1"])
def test_an_order_is_meant_by_its_number_however_it_is_typed(store: Store, typed: str) -> None:
    come(store, an_order("GE-77/1"))
    come(store, an_order("GE-77.1"))  # told apart, though both have the same letters and digits
    assert store.mark_entered("default", typed, "1", by="Ana", source="page").order_number == "GE-77/1"


@pytest.mark.parametrize("number", ["\N{SNOWMAN}/\N{SNOWMAN}", "n" * 60 + "1"])
def test_an_order_is_meant_by_a_number_that_no_word_is_made_of_whole(store: Store, number: str) -> None:
    come(store, an_order("n" * 60 + "2"))
    come(store, an_order(number))
    assert store.mark_entered("default", number, "1", by="Ana", source="page").order_number == number


def test_an_order_is_meant_by_a_number_that_is_a_word_of_many_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MOST_MEANT", 1)
    for number in ("1", "2", "3"):
        come(store, an_order(number, lines=(LineItem(sku="2", quantity=1),)))
    assert store.mark_entered("default", "2", "1001", by="Ana", source="page").order_number == "2"


def test_what_is_pending_comes_page_by_page(store: Store) -> None:
    for number in range(7):
        come(store, an_order(f"GE-{number}"))
    store.mark_entered("default", "GE-1", "1", by="Ana", source="page")
    come(store, an_order("GE-1", lines=(LineItem(sku="other", quantity=9),)), revision=2)
    store.mark_entered("default", "GE-3", "3", by="Ana", source="page")
    whole = store.pending("default")
    assert [one.order_number for one in whole] == ["GE-0", "GE-2", "GE-4", "GE-5", "GE-6", "GE-1"]
    paged: list[PendingOrder] = []
    while page := store.pending("default", after=(paged[-1].waiting_since, paged[-1].id) if paged else None, limit=2):
        paged += page
    assert tuple(paged) == whole == store.pending()


# Commands


@pytest.fixture
def orders(data: Path) -> Iterator[Store]:
    """A store with the orders GE-12345678, of ana@x.example, and GE-2."""
    store = open_store(f"sqlite:///{data / 'ion.db'}")
    lines = (LineItem(sku="AB-1", quantity=1), LineItem(sku="CD-2", quantity=2))
    total = Totals(total_customer=Money(amount=Decimal(2469), currency="EUR"))
    come(store, an_order("GE-12345678", customer=Customer(email="ana@x.example"), lines=lines, totals=total))
    come(store, an_order("GE-2"))
    yield store
    store.close()


def test_one_order_is_entered_shown_and_opened_again_by_commands(run: Run, orders: Store) -> None:
    assert [line["order_number"] for line in run("pending").lines] == ["GE-12345678", "GE-2"]
    done = run("entered", "ge2", "#1001", "--by", "Ana")
    assert (done.status, done.lines[0]["state"], done.lines[0]["changed"], done.err) == (0, "entered", True, "")
    assert [one["order_number"] for one in run("pending", "-m", "default").lines] == ["GE-12345678"]
    assert "also the number of GE-2" in run("entered", "id:1", "#1001").err
    refused = run("entered", "GE-2", "1002")
    assert (refused.status, refused.lines) == (1, [])
    assert "--replace" in refused.err
    assert run("reopen", "GE-2", "--by", "Ben").lines[0]["state"] == "new"
    (line,) = run("pending").lines
    assert (line["order_number"], line["age_hours"]) == ("GE-2", 0.0)
    assert run("pending", "--older-than", "1").lines == []
    assert run("check").status == 0


def test_a_change_since_the_file_is_told_when_its_order_is_entered(run: Run, orders: Store) -> None:
    publish(orders)
    come(orders, an_order("GE-2", notes=("changed",)), revision=2)
    assert "has changed since" in run("entered", "GE-2", "1", "--as-exported").err
    assert "reopen" in run("entered", "GE-2", "1").err


def test_a_file_of_a_shop_is_shown_first_and_stored_when_asked(run: Run, orders: Store, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(SHOPIFY, "utf-8")
    shown = run("entered", "--shopify", file)
    first, second = shown.lines
    assert (shown.status, first["result"], first["how"], first["applied"]) == (0, "entered", "number", False)
    assert (second["result"], second["reason"]) == ("unmatched", "the shop has cancelled it")
    assert "1 to be entered (--apply stores it)" in shown.err and "2 orders are pending" in shown.err
    assert events(orders) == []
    done = run("entered", "--shopify", file, "--apply", "--by", "Ana")
    assert (done.status, done.lines[0]["applied"], done.lines[0]["revision"]) == (0, True, 1)
    assert "1 entered" in done.err and "1 orders are pending" in done.err
    assert events(orders) == [("entered", 1, "#1001", "Ana", "shopify")]
    assert run("entered", "--shopify", file, "--apply").lines[0]["result"] == "known"


def test_a_combination_needs_no_number_in_the_file(run: Run, orders: Store, tmp_path: Path) -> None:
    file, today = tmp_path / "orders.csv", datetime.now(UTC).strftime("%Y-%m-%d")
    file.write_text(SHOPIFY.replace("ge-12345678", "x").replace("2026-11-23", today), "utf-8")
    first, _ = run("entered", "--shopify", file, "--apply").lines
    assert (first["how"], first["order_number"], first["applied"]) == ("combination", "GE-12345678", True)


def test_what_a_file_enters_leaves_a_change_after_the_export_due(run: Run, orders: Store, tmp_path: Path) -> None:
    publish(orders)
    come(orders, an_order("GE-2", notes=("changed",)), revision=2)
    file = tmp_path / "pairs.csv"
    file.write_text("GE-2,1001\n", "utf-8")
    (line,) = run("entered", "--pairs", file, "--apply").lines
    assert (line["revision"], line["amended"]) == (1, True)
    assert [one.amended for one in orders.pending() if one.order_number == "GE-2"] == [True]


def test_one_bad_pair_stops_no_other_and_is_told_by_the_exit_status(run: Run, orders: Store, tmp_path: Path) -> None:
    enter(orders, "GE-2", "5")
    file = tmp_path / "pairs.csv"
    file.write_text("order;shop order\nnobody;1\nGE-2;6\nGE-12345678;7\n", "utf-8")
    done = run("entered", "--pairs", file, "--apply")
    assert done.status == 1
    assert [line["result"] for line in done.lines] == ["unmatched", "conflict", "entered"]
    again = run("entered", "--pairs", file, "--apply", "--replace")
    assert [line["result"] for line in again.lines] == ["unmatched", "entered", "known"]
    assert [one.shop_order_number for one in orders.known_orders("default")] == ["7", "6"]


def test_a_file_of_woocommerce_is_read_by_its_option(run: Run, orders: Store, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(WOOCOMMERCE, "utf-8")
    first, second = run("entered", "--woocommerce", file, "--apply").lines
    assert (first["result"], first["shop_order_number"], second["result"]) == ("entered", "W-7", "unmatched")


@pytest.mark.parametrize("arguments", [[], ["GE-2"], ["GE-2", "1", "--pairs", "x"], ["--pairs", "x", "--shopify", "y"]])
def test_entered_wants_an_order_or_one_file(arguments: list[str], run: Run) -> None:
    assert run("entered", *arguments).status == 2


def test_an_error_of_the_store_is_told_for_its_row_alone(
    run: Run, orders: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Store.mark_entered

    def fails_once(self: Store, merchant: str, order: str | int, *rest: Any, **options: Any) -> Entry:
        if order == 1:
            raise IonError("erased meanwhile")
        return real(self, merchant, order, *rest, **options)

    monkeypatch.setattr(Store, "mark_entered", fails_once)
    file = tmp_path / "pairs.csv"
    file.write_text("GE-12345678,1\nGE-2,2\n", "utf-8")
    done = run("entered", "--pairs", file, "--apply")
    assert (done.status, [line["result"] for line in done.lines]) == (1, ["failed", "entered"])
    assert done.lines[0]["reason"] == "erased meanwhile"
