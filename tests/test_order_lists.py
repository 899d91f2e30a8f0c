"""The list of orders as the store answers it: pages, filters, words, counts, and all of one order."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.errors import StoreError
from ion.order import Address, Customer, Document, Order, Parcel, Tracking
from ion.order_words import MOST_LETTERS, folded, number_words, typed_words, words_of
from ion.store import ErasureKind, OrderFilters, OrderState, Store, Subject, WrittenFile, open_store, order_search
from ion.store import order_ids as ids
from tests.orders import small_order
from tests.stores import claimed, judged, received, table_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ANY = OrderFilters()


def an_order(number: str, **values: object) -> Order:
    return small_order().model_copy(update={"order_number": number, **values})


def keep(store: Store, *orders: Order, revision: int = 1) -> None:
    """Have orders come, each in a mail of its own."""
    for order in orders:
        message = claimed(store)
        store.store_judgement(message.id, message.claim_token, [judged(order, revision=revision)])


def numbers(store: Store, text: str = "", filters: OrderFilters = ANY) -> list[str]:
    """The numbers of all orders that a search finds, newest first."""
    page = store.order_page("default", replace(filters, text=text), limit=500)
    assert page.older is None and page.newer is None
    return [one.order_number for one in page.orders]


def erase(store: Store, **subject: str) -> None:
    kind = ErasureKind.ORDER if "order_number" in subject else ErasureKind.CUSTOMER
    store.erase(store.plan_erasure(Subject(kind, "default", **subject)), "digest")


def buyer(name: str, email: str, phone: str | None = None, **values: Any) -> dict[str, object]:
    return {
        "delivery": Address(name=name, country="PT", phone=phone, **values),
        "customer": Customer(email=email),
    }


# Words


@pytest.fixture(scope="module")
def two(sqlite_template: Path) -> Iterator[Store]:
    """A store with two orders, to ask."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(sqlite_template, Path(folder) / "ion.db")
        store = open_store(f"sqlite:///{folder}/ion.db")
        found = an_order(
            "GE-2026-0001",
            merchant_order_number="WEB/77",
            billing=Address(name="Zoë O'Brien-Müller"),
            tracking=Tracking(number="TRACK-9"),
            parcels=(Parcel(number="PARCEL 7"),),
            **buyer("Ana Ruíz", "ana.ruiz@shop.example", "+351 912 345 678", company="Northern Weavers"),
        )
        keep(store, an_order("X", lines=(), delivery=Address(name="Bob")), found)
        yield store
        store.close()


@pytest.mark.parametrize(
    "typed",
    [
        "GE-2026-0001", "ge20260001", "#GE 2026", "2026-0001", "WEB/77", "web77",
        "ana", "ANA RUÍZ", "ruiz ana", "muller", "Müller", "o'brien", "obrien", "brien",
        "ana.ruiz@shop.example", "ana.ruiz@", "shop.example", "ruiz@shop",
        "+351 912 345-678", "351912345678", "912345678", "345-678",
        "Weavers", "AB-1", "ab1", "mug", "TRACK-9", "PARCEL 7", "PT", "ana mug ab-1 ge2026",
    ],
)  # fmt: skip
def test_an_order_is_found_by_what_staff_know_of_it(two: Store, typed: str) -> None:
    assert numbers(two, typed) == ["GE-2026-0001"]
    assert two.count_orders("default", OrderFilters(text=typed)) == (1, True)


@pytest.mark.parametrize("typed", ["uiz", "ana berlin", "mugs", "0001x", "anaa"])
def test_a_word_is_found_from_its_beginning_and_all_of_them_are_needed(two: Store, typed: str) -> None:
    assert numbers(two, typed) == []


HOSTILE = [
    '"', "'", '" OR "', "ana*", "NEAR(ana ruiz)", "words:ana",
    "ana AND NOT ruiz", "^ana", "{ana}", "-ana", "\x00", "ana\x00",
    "%", "_", "ana%' --", "\\", "\ud800", "':*", "a & !b | (c)", "*", "(((((", "💥", "\u0301", "\n\t",
    "x" * 10_000, "x " * 5_000, " ".join(map(str, range(2_000))), "'\"\\" * 3_000, "１２３ ﬁ ß ẞ İ ς",
]  # fmt: skip


# How orders with words are found: by a few whole words of the index, by looking at them, or by beginnings of words.
_NO_WHOLE_WORDS = {(order_search, "_FEW_WORDS"): 0}
WAYS: dict[str, dict[tuple[Any, str], int]] = {
    "whole words": {},
    "looking": _NO_WHOLE_WORDS | {(ids, "_LOOKED_AT"): 3},
    "looking at words alone": _NO_WHOLE_WORDS | {(ids, "_LOOKED_AT"): 3, (ids, "_ENTRIES"): 1},
    "looking at what filters leave": _NO_WHOLE_WORDS,
    "beginnings": _NO_WHOLE_WORDS | {(ids, "_LOOKED_AT"): 1, (ids, "_SHORT"): 0},
    "whole words behind a filter": {(ids, "_LOOKED_AT"): 1, (ids, "_SHORT"): 0},
}


def go(patch: pytest.MonkeyPatch, way: str) -> None:
    for (module, name), value in (BY_DEFAULT | WAYS[way]).items():
        patch.setattr(module, name, value)


BY_DEFAULT = {(module, name): getattr(module, name) for way in WAYS.values() for module, name in way}


@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_whatever_is_typed_is_only_words(two: Store, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = numbers(two, HOSTILE[at])
    for way in WAYS:
        go(monkeypatch, way)
        assert numbers(two, HOSTILE[at]) == expected
    assert typed_words(HOSTILE[at]) or len(expected) == 2


def test_many_words_of_which_each_begins_many_are_all_needed(store: Store) -> None:
    letters = "abcdefghijklmnopqrst"
    for number in range(order_search._FEW_WORDS - 1):
        names = " ".join(f"{letter}{number:02}" for letter in letters)
        keep(store, an_order(f"N{number}", lines=(), delivery=Address(name=names)))
    every = " ".join(letters)
    assert len(numbers(store, every)) == order_search._FEW_WORDS - 1
    assert numbers(store, f"{every} t07") == ["N7"]
    assert store.count_orders("default", OrderFilters(text=every)) == (order_search._FEW_WORDS - 1, True)
    assert store.count_orders("default", OrderFilters(text=f"{every} t07")) == (1, True)
    assert numbers(store, f"{every} t99") == []


@pytest.mark.parametrize("way", WAYS)
def test_all_orders_with_a_word_are_found_where_it_was_common_lately_and_rare_before(
    store: Store, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["anna"] * 7 + ["ben"] * 30 + ["anna"] * 3
    keep(store, *(an_order(f"N{at}", lines=(), delivery=Address(name=name)) for at, name in enumerate(names)))
    expected = [f"N{at}" for at, name in enumerate(names) if name == "anna"][::-1]
    go(monkeypatch, way)
    page = store.order_page("default", OrderFilters(text="ann"), limit=3)
    rest = store.order_page("default", OrderFilters(text="ann"), page.older, limit=500)
    assert [one.order_number for one in (*page.orders, *rest.orders)] == expected
    assert numbers(store, "ann") == expected
    exported = store.orders_of_filters("default", OrderFilters(text="ann"))
    assert [one.order.order_number for one in exported] == expected[::-1]
    assert store.count_orders("default", OrderFilters(text="ann"), 8) == (8, False)


@pytest.fixture
def one_letter(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All merchants have the same letter before their words, as few have by chance."""
    monkeypatch.setattr(order_search, "_MARKS", 1)
    order_search._mark.cache_clear()
    yield
    order_search._mark.cache_clear()


@pytest.mark.usefixtures("one_letter")
def test_two_merchants_with_the_same_letter_find_only_their_own(store: Store) -> None:
    store.create_merchant("other", domain="mail.example")
    for merchant, number in (("default", "A-1"), ("other", "A-2"), ("other", "A-3")):
        received(store, number.encode(), merchant)
        (message,) = store.claim_messages(1, 60)
        shared = an_order(number, merchant_order_number="SAME", delivery=Address(name="Anna"))
        store.store_judgement(message.id, message.claim_token, [judged(shared)])
    for word in ("anna", "an", "same"):
        found = OrderFilters(text=word)
        assert [one.order_number for one in store.order_page("default", found).orders] == ["A-1"]
        assert store.count_orders("default", found) == (1, True)
        assert store.count_orders("other", found) == (2, True)
    assert store.mark_entered("default", "same", "77", by="Ana", source="page").order_number == "A-1"
    store.mark_entered("other", "A-2", "77", by="Ben", source="page")
    assert store.entered_as("default", "77") == ((1, "A-1"),)
    assert [mail.id for mail in store.mail_page("default", "all", number="same")] == [1]
    assert store.mail_page("default", "all", number="A-2") == ()


@pytest.mark.long
def test_whatever_is_typed_is_only_words_in_either_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, *(an_order(f"N{number}") for number in range(3)))
    for typed in HOSTILE:
        expected = numbers(store, typed)
        for way in WAYS:
            go(monkeypatch, way)
            assert numbers(store, typed) == expected


def test_words_have_no_case_no_marks_and_an_end() -> None:
    assert folded("Ärger ẞ ﬁ Ⅷ ① ÅNGSTRÖM") == "arger ss fi viii 1 angstrom"
    assert typed_words("  #A-1  a1 É.é - ") == ("a1", "ee")
    assert number_words("GE-12/34") == "ge1234 1234 34"
    long = words_of({"order_number": "7" * 100 + "-" + "8" * 100}).split()
    assert [len(word) for word in long] == [MOST_LETTERS, MOST_LETTERS]
    lines = [{"name": f"word{number}"} for number in range(5_000)]
    assert len(words_of({"order_number": "1", "lines": lines}).split()) == 2_000


LETTERS = st.sampled_from(
    ["ana", "Anna", "an", "b-1", "B1", "é", "e", "x.y@z", "日本", "日", "#12", "123", "1", "\u0301"]
)
TEXTS = st.lists(LETTERS, max_size=3).map(" ".join)


def fill(store: Store) -> None:
    """Orders that differ in what they are searched and filtered by."""
    names = ["Ana B-1", "Anna É", "an 日本", "e x.y@z", "B1 123", "#12 1", "日 ana", "an an"] * 4
    with time_machine.travel(NOON, tick=False) as clock:
        for at, name in enumerate(names):
            countries, flags = ("PT", "FR", None), {"test": at % 5 == 1, "replacement": at % 7 == 2}
            keep(
                store,
                an_order(f"n{at}", delivery=Address(name=name, country=countries[at % 3]), lines=(), **flags),
            )
            if at % 4 == 0:
                store.mark_entered("default", f"n{at}", f"S-{at}", by="a", source="test")
            clock.shift(timedelta(hours=7))


@pytest.fixture(scope="module")
def many(sqlite_template: Path) -> Iterator[Store]:
    """A store for many examples."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(sqlite_template, Path(folder) / "ion.db")
        store = open_store(f"sqlite:///{folder}/ion.db")
        fill(store)
        yield store
        store.close()


def naive(store: Store, filters: OrderFilters) -> list[int]:
    """What the filters mean, order by order."""
    found = []
    for row in store.orders_for_export("default"):
        words = words_of(row.order.to_json()).split() + number_words(row.shop_order_number or "").split()
        came = NOON + timedelta(hours=7) * int(row.order.order_number[1:])
        if (
            all(any(word.startswith(one) for word in words) for one in typed_words(filters.text))
            and (not filters.states or row.state in filters.states)
            and filters.test in (None, row.order.test)
            and filters.replacement in (None, row.order.replacement)
            and filters.country in (None, row.order.delivery.country)
            and (filters.received_from is None or came >= filters.received_from)
            and (filters.received_to is None or came < filters.received_to)
        ):
            found.append(row.id)
    return found[::-1]


INSTANTS = st.none() | st.integers(-30, 260).map(lambda hours: NOON + timedelta(hours=hours))
FILTERS = st.builds(
    OrderFilters,
    text=TEXTS,
    states=st.lists(st.sampled_from(OrderState), max_size=3).map(tuple),
    test=st.none() | st.booleans(),
    replacement=st.none() | st.booleans(),
    amended=st.sampled_from([None, False]),
    country=st.sampled_from([None, "PT", "FR"]),
    received_from=INSTANTS,
    received_to=INSTANTS,
)


@settings(max_examples=100, deadline=None)
@given(filters=FILTERS, limit=st.integers(1, 9), way=st.sampled_from(list(WAYS)))
def test_pages_counts_and_exports_are_what_the_filters_mean(
    many: Store, filters: OrderFilters, limit: int, way: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        go(patch, way)
        expected = naive(many, filters)
        forward, backward, cursor = [], [], None
        while True:
            page = many.order_page("default", filters, cursor, limit)
            forward.append([one.id for one in page.orders])
            if page.older is None:
                break
            cursor = page.older
        assert [one for ids in forward for one in ids] == expected
        assert all(len(ids) == limit for ids in forward[:-1])
        while page.newer is not None:
            page = many.order_page("default", filters, page.newer, limit)
            backward.append([one.id for one in page.orders])
        assert backward[::-1] == forward[:-1]
        assert many.count_orders("default", filters) == (len(expected), True)
        assert many.count_orders("default", filters, 3) == (min(3, len(expected)), len(expected) <= 3)
        assert [one.id for one in many.orders_of_filters("default", filters)] == expected[::-1]
        assert list(many.counted_ids("default", filters, range(100))) == expected[::-1]


@pytest.mark.long
def test_either_database_answers_what_the_filters_mean(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store)
    middle = NOON + timedelta(hours=100)
    texts = ["", "an", "ana b-1", "日", "e\u0301", "s-1", "1 123", "none", "ana an"]
    others = [
        ANY,
        OrderFilters(states=(OrderState.NEW, OrderState.ENTERED)),
        OrderFilters(states=(OrderState.ENTERED,), country="PT"),
        OrderFilters(test=True, received_to=middle),
        OrderFilters(test=False, replacement=True, country="FR"),
        OrderFilters(received_from=middle, received_to=middle + timedelta(days=3)),
    ]
    for way in WAYS:
        go(monkeypatch, way)
        for text in texts:
            for other in others:
                filters = replace(other, text=text)
                expected = naive(store, filters)
                page = store.order_page("default", filters, limit=3)
                assert [one.id for one in page.orders] == expected[:3]
                rest = store.order_page("default", filters, page.older, limit=500) if page.older else None
                assert ([one.id for one in rest.orders] if rest else []) == expected[3:]
                assert store.count_orders("default", filters) == (len(expected), True)
                assert store.count_orders("default", filters, 3) == (min(3, len(expected)), len(expected) <= 3)
                assert [one.id for one in store.orders_of_filters("default", filters)] == expected[::-1]


# Pages


def test_what_arrives_while_somebody_turns_pages_moves_nothing(sqlite_store: Store) -> None:
    keep(sqlite_store, *(an_order(f"N{number}") for number in range(5)))
    first = sqlite_store.order_page("default", limit=2)
    keep(sqlite_store, an_order("N5"))
    second = sqlite_store.order_page("default", cursor=first.older, limit=2)
    assert [one.order_number for one in (*first.orders, *second.orders)] == ["N4", "N3", "N2", "N1"]
    back = sqlite_store.order_page("default", cursor=second.newer, limit=2)
    assert [one.order_number for one in back.orders] == ["N4", "N3"] and back.newer is not None
    newest = sqlite_store.order_page("default", cursor=back.newer, limit=2)
    assert [one.order_number for one in newest.orders] == ["N5", "N4"] and newest.newer is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "older",
        "older-",
        "older--1",
        "older-1 ",
        "older-1\n",
        "newer-" + "9" * 19,
        "older-٣",
        "OLDER-1",
        "x" * 9_999,
    ],
)
def test_a_cursor_that_is_none_is_refused(sqlite_store: Store, cursor: str) -> None:
    with pytest.raises(StoreError, match="no place in the list"):
        sqlite_store.order_page("default", cursor=cursor)


def test_a_filter_that_means_nothing_is_refused_by_its_name(sqlite_store: Store) -> None:
    for filters in (OrderFilters(country="de"), OrderFilters(country="D\x00")):
        with pytest.raises(StoreError, match=r"^country: .*give two capital letters"):
            sqlite_store.order_page("default", filters)
    with pytest.raises(StoreError, match=r"^batch: "):
        sqlite_store.count_orders("default", OrderFilters(batch=2**70))
    with pytest.raises(StoreError, match="has 1 to 500 orders"):
        sqlite_store.order_page("default", limit=0)


def test_a_line_of_the_list_tells_what_staff_ask_first(sqlite_store: Store) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        keep(sqlite_store, an_order("N1", documents=(Document(required=True),), merchant_order_number="W1"))
        sqlite_store.mark_entered("default", "N1", "S-1", by="ana", source="test")
        clock.shift(60)
        keep(sqlite_store, an_order("N1", status="changed"), revision=2)
    (one,) = sqlite_store.order_page("default").orders
    assert (one.platform, one.order_number, one.merchant_order_number, one.state) == ("zonos", "N1", None, "entered")
    assert (one.shop_order_number, one.customer_name, one.country) == ("S-1", "Ana Ruiz", "ES")
    assert (one.total, one.currency, one.revision) == ("2469", "EUR", 2)
    assert (one.amended, one.changed_since_entered, one.documents_awaited) == (True, True, False)
    assert (one.received_at, one.applied_at) == (NOON, NOON + timedelta(minutes=1))
    assert numbers(sqlite_store, "", OrderFilters(amended=True)) == ["N1"]
    sqlite_store.mark_entered("default", "N1", "S-1", by="ana", source="test")
    assert not sqlite_store.order_page("default").orders[0].changed_since_entered


def test_orders_of_another_merchant_and_erased_ones_are_nowhere(store: Store) -> None:
    store.create_merchant("other", domain="mail.example")
    keep(store, an_order("N1", **buyer("Ana", "ana@x.example")), an_order("N2", **buyer("Eva", "eva@x.example")))
    erased, kept = (one.id for one in store.orders_for_export())
    erase(store, order_number="N1")
    assert numbers(store) == ["N2"] and numbers(store, "ana") == [] and numbers(store, "N1") == []
    assert store.count_orders("default") == (1, True)
    assert store.order_detail("default", erased) is None and store.order_detail("default", kept) is not None
    assert [one.id for one in store.orders_by_id("default", [kept, erased, 99, -1, 2**70])] == [kept]
    assert store.counted_ids("default", OrderFilters(), [kept, erased, 2**70]) == (kept,)
    everything = OrderFilters(text="n2")
    assert store.order_page("other", everything).orders == ()
    assert store.count_orders("other", everything) == (0, True)
    assert store.order_detail("other", kept) is None and store.order_detail("default", 2**70) is None
    assert list(store.orders_by_id("other", [kept])) == list(store.orders_of_filters("other", everything)) == []
    assert store.check()["problems"] == []


def test_orders_are_listed_by_the_file_that_holds_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, *(an_order(f"N{number}") for number in range(5)))
    profile = store.export_profiles("default")[0]
    due = [(one.id, one.revision, one.applied_at) for one in store.orders_for_export()][1:3]
    batch = store.publish(profile.id, NOON.date(), WrittenFile("p@1", "f-{number}.csv", b"x", due, 2, {}))
    for few in (5_000, 1):  # a small file's orders are asked for one by one
        monkeypatch.setattr(ids, "_FEW", few)
        in_batch = OrderFilters(batch=batch.id)
        assert numbers(store, "", in_batch) == ["N2", "N1"]
        assert numbers(store, "n2", in_batch) == ["N2"]
        assert numbers(store, "", replace(in_batch, states=(OrderState.NEW,))) == []
        page = store.order_page("default", in_batch, limit=1)
        rest = store.order_page("default", in_batch, page.older, limit=1)
        assert [one.order_number for one in (*page.orders, *rest.orders)] == ["N2", "N1"]


# Words kept


def test_an_order_is_found_by_what_it_says_now(store: Store) -> None:
    keep(store, an_order("N1", **buyer("Ana", "ana@x.example")))
    keep(store, an_order("N1", **buyer("Eva", "eva@x.example")), revision=2)
    assert numbers(store, "ana") == [] and numbers(store, "eva") == ["N1"]
    store.mark_entered("default", "N1", "SHOP-5", by="a", source="test")
    assert numbers(store, "shop-5") == numbers(store, "shop5 eva") == ["N1"]
    keep(store, an_order("N1", **buyer("Ida", "ida@x.example")), revision=3)
    assert numbers(store, "shop-5 ida") == ["N1"]
    store.reopen("default", "N1", by="a", source="test")
    assert numbers(store, "shop-5") == [] and numbers(store, "ida") == ["N1"]


def test_no_word_of_an_erased_order_stays_in_the_file(sqlite_store: Store, database: Path) -> None:
    keep(sqlite_store, an_order("N1", **buyer("Xerxesname", "xerxesname@x.example")))
    keep(sqlite_store, an_order("N1", **buyer("Zoroastername", "z@x.example")), revision=2)
    keep(sqlite_store, *(an_order(f"M{number}") for number in range(3)))
    assert b"xerxesname" in (database.read_bytes() + database.with_name("ion.db-wal").read_bytes())
    erase(sqlite_store, order_number="N1")
    assert sqlite_store.empty_log()
    assert not {name for name in (b"xerxesname", b"zoroastername") if name in database.read_bytes().lower()}
    assert numbers(sqlite_store, "m mug") == ["M2", "M1", "M0"]
    with sqlite_store.writing() as connection:
        connection.exec_driver_sql("INSERT INTO order_words_index (order_words_index) VALUES ('integrity-check')")


def test_orders_from_before_are_found_once_the_schema_is_the_newest(store: Store) -> None:
    from ion.store.migrations.versions import v0011_search as migration

    keep(store, an_order("N1"), an_order("N2"), an_order("N3"))
    store.mark_entered("default", "N2", "S-77", by="a", source="test")
    erase(store, order_number="N3")
    before = table_of(store, "SELECT * FROM order_words ORDER BY order_id")
    with store.writing() as connection, pytest.MonkeyPatch.context() as patch:
        connection.exec_driver_sql("DELETE FROM order_words")
        patch.setattr(migration, "_AT_ONCE", 1)
        migration._fill(connection)
    assert table_of(store, "SELECT * FROM order_words ORDER BY order_id") == before and len(before) == 2
    assert numbers(store, "s77") == ["N2"]


# One order


def test_all_of_an_order_is_told(store: Store) -> None:
    keep(store, an_order("N1", **buyer("Ana", "ana@x.example")))
    profile = store.export_profiles("default")[0]
    (row,) = store.orders_for_export()
    file = WrittenFile("p@1", "f-{number}.csv", b"x", [(row.id, 1, row.applied_at)], 1, {})
    batch = store.publish(profile.id, NOON.date(), file)
    store.mark_entered("default", "N1", "S-1", by="ana", source="pairs")
    store.reopen("default", "N1", by="eva", source="command line")
    keep(store, an_order("N1", **buyer("Eva", "ana@x.example")), revision=2)
    keep(store, an_order("N1", **buyer("Ana", "ana@x.example")))  # the first one again
    detail = store.order_detail("default", row.id)
    assert detail is not None
    assert detail.order == an_order("N1", **buyer("Eva", "ana@x.example"))
    assert detail.listed == store.order_page("default").orders[0]
    assert [(one.revision, one.grade, one.door) for one in detail.revisions] == [
        (1, "sealed", "smtp"),
        (2, "sealed", "smtp"),
    ]
    first, second = (one.changes for one in detail.revisions)
    assert first == () and second is not None
    assert [(one.code, one.old, one.new) for one in second] == [("delivery.name", "Ana", "Eva")]
    events = [(one.what, one.revision, one.shop_order_number, one.by, one.source) for one in detail.events]
    assert events == [("entered", 1, "S-1", "ana", "pairs"), ("reopened", 1, "S-1", "eva", "command line")]
    assert [(one.id, one.revision, one.file_name) for one in detail.batches] == [(batch.id, 1, batch.file_name)]
    assert [(one.state, one.revision) for one in detail.notifications] == [
        ("applied", 1),
        ("applied", 2),
        ("superseded", 1),
    ]
    assert len({one.message for one in detail.notifications}) == 3
    assert [one.message for one in detail.revisions] == [one.message for one in detail.notifications[:2]]


# What SQLite makes of it


def test_filters_are_asked_of_indexes_that_have_it_all(sqlite_store: Store) -> None:
    asked: Sequence[OrderFilters] = [
        OrderFilters(),
        OrderFilters(states=(OrderState.NEW,), amended=False),
        OrderFilters(country="PT", received_from=NOON),
        OrderFilters(test=True),
    ]
    for filters in asked:
        for one in (filters, replace(filters, states=filters.states or (OrderState.ENTERED,))):
            with sqlite_store._asked("default", one) as question:
                conditions, values = question.conditions(one.states)
                plan = question.rows(
                    f"EXPLAIN QUERY PLAN SELECT o.id FROM orders AS o {question.index(one.states)}"
                    f" WHERE {conditions} AND o.id < ? ORDER BY o.id DESC LIMIT 51",
                    *(*values, 5),
                )
            assert len(plan) == 1 and "id<?" in str(plan)  # no sorting
            assert "COVERING INDEX" in str(plan) or one.test
