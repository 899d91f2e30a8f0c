"""The pages that staff use all day: home, the list of orders, one order."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
import time_machine

from ion.contract import language
from ion.export import PROFILES
from ion.export.catalogue import CatalogueItem
from ion.order import Address, Customer, Document, LineItem, Money, Pair, Shipping, Totals, Tracking
from ion.store import Door, ErasureKind, OrderState, Role, Store, Subject
from ion.web.home import LAST_MERCHANT
from ion.web.order_sheet import sheet_of, shown_changes
from ion.web.orders import ALL_FLAGS
from ion.web.texts import LOCALES, Texts
from tests.browsers import NARROW, WIDE, browser, faults_of, serving, too_wide, visiting
from tests.orders import full_order, guarded_orders, hub_order
from tests.stores import claimed, judged
from tests.test_entered import an_order, come, publish
from tests.web import Browser, Site, site, text_of

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>'\"{{ 1234*4321 }}"
ORDERS = "/m/default/orders"


@pytest.fixture
def its(sqlite_store: Store, tmp_path: Path) -> Site:
    return site(tmp_path, sqlite_store)


@pytest.fixture
def ana(its: Site) -> Browser:
    return its.signed_in("ana", default="staff")


def money(amount: str, currency: str = "EUR") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def numbers_in(page: str) -> list[str]:
    """The orders of a list, as they stand there."""
    return re.findall(r'<tr data-row>.*?<a href="[^"]+">([^<]+)</a>', page, re.DOTALL)


def listed(browser: Browser, **query: Any) -> list[str]:
    return numbers_in(browser.get(ORDERS, **query).text)


# Texts


def test_every_text_that_is_named_at_run_time_is_there() -> None:
    names = [f"orders.state.{state.value}" for state in OrderState]
    names += [f"orders.flag.{flag}" for flag in ALL_FLAGS]
    names += [f"orders.filter.{state}" for state in ("pending", "exported", "entered")]
    names += [f"orders.day.{day}" for day in ("today", "yesterday", "week", "month", "last_month")]
    names += [f"order.changed_since_{what}" for what in ("entered", "exported")]
    names += [f"order.event.{what}" for what in ("received", "revised", "exported", "entered", "reopened")]
    names += [f"order.grade.{grade}" for grade in ("sealed", "consistent", "review")]
    names += [f"order.{name}" for name in ("total_is_more", "total_is_less", "mark_again", "mark_entered")]
    names += [f"order.{name}" for name in ("entered_title", "enter_title", "entered_again_hint", "number_hint")]
    names += [f"home.door.{door}" for door in get_args(Door)]
    names += [f"home.job.{job}" for job in ("nightly", "self-check", "retention")]
    names += [f"home.fares.{fares}" for fares in ("on_time", "running", "late", "failed")]
    names += [f"home.{name}" for name in ("files_title", "last_file_title", "merchants_title", "no_role_title")]
    names += [f"said.orders_{what}" for what in ("entered", "known", "reopened")]
    for name in names:
        assert name in Texts("en"), name


# Which merchant


def test_who_may_see_one_merchant_comes_to_its_home(ana: Browser) -> None:
    assert ana.get("/").headers["location"] == "/m/default"


def test_who_may_see_several_chooses_once_and_then_comes_back_to_the_last_one(its: Site) -> None:
    its.store.create_merchant("shoes", domain="mail.example")
    ana = its.signed_in("ana", default="reader", shoes="reader")
    assert "/m/default" in ana.get("/").text and "/m/shoes" in ana.get("/").text
    assert LAST_MERCHANT in ana.get("/m/shoes").headers["set-cookie"]
    assert ana.get("/").headers["location"] == "/m/shoes"
    stranger = Browser(its.visitor(), ana.token)
    stranger.client.cookies.set(LAST_MERCHANT, "nobody")
    assert stranger.get("/").status_code == 200


def test_who_may_see_nothing_is_told_whom_to_ask(its: Site) -> None:
    its.signed_in("root", admin=True)
    assert "root" in its.signed_in("ana").page("/")


# Home


def test_an_empty_installation_says_what_to_do_next(ana: Browser) -> None:
    for path in ("/m/default", ORDERS):
        assert "/m/default/start" in ana.get(path).text
        assert "No orders yet" in ana.page(path)


def test_home_tells_what_is_to_be_entered_the_oldest_first(its: Site, ana: Browser) -> None:
    for number in range(12):
        come(its.store, an_order(f"GE-{number}"))
    come(its.store, an_order("GE-T", test=True))
    its.store.mark_entered("default", "GE-0", "1000", by="ana", source="test")
    page = ana.get("/m/default").text
    assert numbers_in(page) == [f"GE-{number}" for number in range(1, 11)]
    assert "11 orders" in text_of(page)


def test_home_tells_what_changed_since_it_was_entered_until_the_shop_has_it(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    its.store.mark_entered("default", "GE-1", "1000", by="ana", source="test")
    assert "GE-1" not in ana.page("/m/default")
    come(its.store, an_order(merchant_order_number="77"), revision=2)
    assert "1 order has changed since it was entered in the shop: GE-1" in ana.page("/m/default")
    its.store.mark_entered("default", "GE-1", "1000", by="ana", source="test")
    assert "GE-1" not in ana.page("/m/default")


def test_home_tells_what_waits_for_a_person_with_the_reason(its: Site, ana: Browser) -> None:
    store = its.store
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(an_order(), "consistent")])
    message = claimed(store)
    store.quarantine_message(message.id, message.claim_token, "broken")
    page = ana.page("/m/default")
    assert "Orders wait because it is not known who sent them: 1" in page
    assert "Mail could not be read: 1" in page


def test_home_tells_files_jobs_alerts_and_when_mail_last_came(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    publish(its.store, name="orders-of-the-night.xlsx")
    its.store.raise_alert("default", "imap", "imap:box", "box · refused")
    page = ana.page("/m/default")
    for told in ("orders-of-the-night.xlsx", "Nightly files", "box · refused", "(SMTP)"):
        assert told in page


# The list


def test_an_order_is_found_by_whatever_staff_know_of_it(its: Site, ana: Browser) -> None:
    come(its.store, an_order("GE-1"))
    come(
        its.store,
        an_order(
            "GE-123-45",
            merchant_order_number="#10-07",
            customer=Customer(email="Zoe@Customer.example"),
            delivery=Address(name="Zoë Quincy", country="FR"),
            lines=(LineItem(sku="SKU_9%", quantity=Decimal(1)),),
            tracking=Tracking(number="1Z999"),
        ),
    )
    for search in ("ge12345", "GE 123-45", "#1007", "10-07", "zoe@customer", "quincy zoë", "sku_9%", "1Z999"):
        assert listed(ana, q=search) == ["GE-123-45"], search
    for search in ("nobody", "GE-1 quincy nobody"):
        assert listed(ana, q=search) == [], search


def test_filters_stand_in_the_address_and_each_can_be_taken_away(its: Site, ana: Browser) -> None:
    come(its.store, an_order("GE-1", delivery=Address(name="Ana", country="FR"), replacement=True))
    come(its.store, an_order("GE-2"))
    its.store.mark_entered("default", "GE-2", "7", by="ana", source="test")
    assert listed(ana, country="FR", state="pending", flag="replacement", q="ana") == ["GE-1"]
    assert listed(ana, state="entered") == ["GE-2"]
    page = ana.get(ORDERS, country="FR", state="pending", flag="replacement", q="zz&b").text
    chips = re.findall(r'<a href="([^"]+)" class="chip">', page)
    assert [one.replace("&amp;", "&") for one in chips] == [
        f"{ORDERS}?state=pending&country=FR&flag=replacement",
        f"{ORDERS}?q=zz%26b&country=FR&flag=replacement",
        f"{ORDERS}?q=zz%26b&state=pending&flag=replacement",
        f"{ORDERS}?q=zz%26b&state=pending&country=FR",
    ]
    assert "No order matches these filters" in text_of(page)
    assert "To be entered" in text_of(page)


def test_a_day_is_one_of_the_merchants_zone(its: Site, ana: Browser) -> None:
    its.store.set_merchant("default", time_zone="Asia/Tokyo")
    for number, at in (
        ("A", datetime(2026, 10, 31, 14, 59, tzinfo=UTC)),  # 23:59 there
        ("B", datetime(2026, 11, 22, 14, 59, tzinfo=UTC)),
        ("C", datetime(2026, 11, 22, 15, 0, tzinfo=UTC)),  # the next day has begun
    ):
        with time_machine.travel(at, tick=False):
            come(its.store, an_order(number))
    with time_machine.travel(datetime(2026, 11, 22, 16, 0, tzinfo=UTC), tick=False):
        there = Browser(its.visitor(), its.store.begin_session("ana", verified=True))
        for query, found in (
            ({"day": "today"}, ["C"]),
            ({"day": "yesterday"}, ["B"]),
            ({"day": "week"}, ["C", "B"]),
            ({"day": "last_month"}, ["A"]),
            ({"day": "month"}, ["C", "B"]),
            ({"from": "2026-10-31", "to": "2026-10-31"}, ["A"]),
            ({"to": "2026-11-22"}, ["B", "A"]),
        ):
            assert listed(there, **query) == found, query


def test_what_a_form_leaves_empty_is_not_in_the_address(its: Site, ana: Browser) -> None:
    sent = ana.get(ORDERS, **{"q": "a b", "state": "", "country": "FR", "day": "", "from": "", "to": ""})
    assert sent.headers["location"] == f"{ORDERS}?q=a+b&country=FR"


def test_a_date_that_is_none_is_told_and_nothing_else_is_lost(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    answer = ana.get(ORDERS, **{"from": HOSTILE, "q": "GE"})
    assert answer.status_code == 422
    assert "is no date" in text_of(answer.text)
    assert 'value="GE"' in answer.text
    assert "<script>alert" not in answer.text
    assert ana.get(ORDERS, **{"from": "0001-01-01", "to": "9999-12-31"}).status_code == 200


def test_pages_of_a_list_keep_the_filters_and_hold_each_order_once(
    its: Site, ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.web.orders.ON_A_PAGE", 5)
    for number in range(12):
        come(its.store, an_order(f"GE-{number}"))
    pages, address = [], f"{ORDERS}?q=GE"
    while address:
        page = ana.get(address).text
        assert "q=GE" in address
        pages.append(numbers_in(page))
        onward = re.search(r'rel="next" href="([^"]+)"', page)
        back = re.search(r'rel="prev" href="([^"]+)"', page)
        address = onward[1].replace("&amp;", "&") if onward else ""
    assert [one for page in pages for one in page] == [f"GE-{number}" for number in reversed(range(12))]
    assert back is not None
    assert numbers_in(ana.get(back[1].replace("&amp;", "&")).text) == pages[1]
    assert "12 orders" in text_of(page)
    for broken in ("older-x", "newer-", "older-99999999999999999999", HOSTILE):
        assert ana.get(ORDERS, at=broken).status_code == 200


def test_what_is_counted_no_further_says_so(its: Site, ana: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.web.orders.MOST_COUNTED", 2)
    for number in range(3):
        come(its.store, an_order(f"GE-{number}"))
    page = ana.page(ORDERS)
    assert "2+ orders" in page
    assert "All orders that match, XLSX" in page


# Files


def rows_of(answer: Any) -> list[str]:
    """The order numbers of a CSV, one for each row."""
    return [row["order_number"] for row in csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))]


def test_a_file_holds_what_its_button_says_and_takes_nothing_off_the_nightly_ones(its: Site, ana: Browser) -> None:
    for number in range(4):
        come(its.store, an_order(f"GE-{number}", replacement=number > 1))
    profile = its.store.export_profiles("default")[0]
    due = its.store.count_due(profile.id, before=datetime.now(UTC) + timedelta(days=1))
    page = ana.page(ORDERS, flag="replacement")
    assert "2 orders, XLSX" in page and "2 orders, standard (CSV)" in page
    every = ana.post(f"{ORDERS}/export?flag=replacement", file="all/standard")
    assert rows_of(every) == ["GE-2", "GE-3"]
    assert every.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="ion-orders-standard-v\d+-[0-9T+-]+\.csv"', every.headers["content-disposition"]
    )
    chosen = ana.post(f"{ORDERS}/export?flag=replacement", file="selected/standard", order=["4", "1", "x", "77"])
    assert rows_of(chosen) == ["GE-0", "GE-3"]
    assert ana.post(f"{ORDERS}/export", file="all/xlsx").content.startswith(b"PK")
    assert its.store.count_due(profile.id, before=datetime.now(UTC) + timedelta(days=1)) == due
    noted = [(event.what, event.subject) for event in its.store.audit_events("default")]
    assert ("orders exported", "2 orders, standard@2") in noted


def test_a_file_is_made_in_the_merchants_own_profile_too(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    definition = '[[column]]\nname = "order_number"\nfield = "order_number"\n'
    its.store.use_export_profile("default", "mine", definition=definition)
    its.store.use_export_profile("default", "stale", definition="nonsense")
    assert "1 order, mine (CSV)" in ana.page(ORDERS)
    assert rows_of(ana.post(f"{ORDERS}/export", file="all/mine")) == ["GE-1"]


def test_what_cannot_be_made_a_file_of_is_refused_with_a_sentence(
    its: Site, ana: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(its.store, an_order())
    come(its.store, an_order("GE-2"))
    nothing = ana.post(f"{ORDERS}/export?q=GE", file="selected/xlsx")
    assert nothing.status_code == 422
    assert "No order is selected" in text_of(nothing.text)
    assert 'value="GE"' in nothing.text
    assert ana.post(f"{ORDERS}/export", file="all/nothing").status_code == 404
    assert ana.post(f"{ORDERS}/export", file="xlsx").status_code == 404
    assert ana.client.post(f"{ORDERS}/export", data={"file": "all/xlsx"}).status_code == 403
    monkeypatch.setitem(PROFILES, "xero", replace(PROFILES["xero"], most_orders=1))
    too_many = ana.post(f"{ORDERS}/export", file="all/xero")
    assert too_many.status_code == 409
    assert "holds at most 1 orders" in text_of(too_many.text)


def test_orders_of_another_merchant_are_in_no_list_and_in_no_file(its: Site, ana: Browser) -> None:
    come(its.store, an_order("GE-THEIRS"))
    its.store.create_merchant("shoes", domain="mail.example")
    eve = its.signed_in("eve", shoes="staff")
    assert "GE-THEIRS" not in eve.page("/m/shoes/orders")
    assert rows_of(eve.post("/m/shoes/orders/export", file="selected/standard", order=["1"])) == []
    for path in ("/m/shoes/orders/1", ORDERS, "/m/default", f"{ORDERS}/1"):
        assert eve.get(path).status_code == 404, path
    assert eve.post("/m/shoes/orders/1/entered", number="7").status_code == 404


# One order


def test_an_order_goes_to_the_hub_and_the_customers_address_is_not_for_the_parcel(its: Site, ana: Browser) -> None:
    come(its.store, hub_order())
    page = ana.get(f"{ORDERS}/1").text
    (parcel,) = re.findall(r'<section class="card parcel".*?</section>', page, re.DOTALL)
    assert "Unit 1, Building 107" in parcel and "Put this address on the parcel." in parcel
    assert "hub" in text_of(parcel)
    assert "Avenue of the Americas" not in parcel
    customer = page[page.index('id="heading-delivery"') :]
    assert "Do not put this address on the parcel." in customer and "Avenue of the Americas" in customer


def test_an_order_without_a_hub_goes_to_the_customer(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    (parcel,) = re.findall(r'<section class="card parcel".*?</section>', ana.get(f"{ORDERS}/1").text, re.DOTALL)
    assert "Gran Via 7<br>2B<br>Madrid<br>Spain" in parcel
    come(its.store, an_order("GE-2", delivery=Address()))
    assert "names no address to ship to" in ana.page(f"{ORDERS}/2")


def test_why_an_order_must_not_be_shipped_stands_above_it(its: Site, ana: Browser) -> None:
    for number, (reason, order) in enumerate(guarded_orders().items(), start=1):
        come(its.store, order.model_copy(update={"order_number": f"GE-{reason}"}))
        page = ana.page(f"{ORDERS}/{number}")
        assert language("en").mail[f"do_not_ship_{reason}"] in page
        assert ("kept out of the nightly files" in page) == (reason != "replacement")
        assert page.index("DO NOT SHIP") < page.index("Put this address on the parcel.")


def test_amounts_are_printed_with_every_digit_in_the_language_of_the_page(its: Site, ana: Browser) -> None:
    line = LineItem(
        sku="A-1",
        quantity=Decimal("2.5"),
        unit_price=money("1234.123456789012345678901234567", "GBP"),
        unit_price_customer=money("10.1"),
    )
    come(its.store, an_order(lines=(line,), totals=Totals(total_customer=money("25.25"))))
    assert "1,234.123456789012345678901234567 GBP" in ana.page(f"{ORDERS}/1")
    its.store.set_user_locale("ana", "de")
    page = ana.page(f"{ORDERS}/1")
    for printed in ("1.234,123456789012345678901234567 GBP", "2,5", "10,10 EUR", "25,25 EUR", "ergeben die Summe"):
        assert printed in page


def test_whether_the_parts_add_up_to_the_total_is_told_and_by_how_much_not(its: Site, ana: Browser) -> None:
    lines = (LineItem(sku="A", quantity=Decimal(2), unit_price_customer=money("10")),)
    parts = Totals(shipping_customer=money("6"), duties_and_taxes_customer=money("4"))
    told = {"30": "add up to the total", "31.5": "1.50 EUR more than", "29.99": "0.01 EUR less than"}
    for number, (total, words) in enumerate(told.items(), start=1):
        totals = parts.model_copy(update={"total_customer": money(total)})
        come(its.store, an_order(f"GE-{number}", lines=lines, totals=totals))
        assert words in ana.page(f"{ORDERS}/{number}")


def test_a_line_has_the_shops_own_sku_and_name_where_the_catalogue_knows_them(its: Site, ana: Browser) -> None:
    its.store.load_catalogue("default", [CatalogueItem(sku="AB-1", own_sku="MUG-07", name="Mug, blue")])
    come(its.store, an_order())
    page = ana.page(f"{ORDERS}/1")
    assert "MUG-07" in page and "Mug, blue" in page and "in the order: AB-1" in page


def test_nothing_that_an_order_states_is_left_out(its: Site, ana: Browser) -> None:
    order = full_order()
    come(its.store, order)
    for locale in LOCALES:
        its.store.set_user_locale("ana", locale)
        page = ana.page(f"{ORDERS}/1")
        for block in sheet_of(order, locale, {}).all_stated:
            for shown in block.fields:
                assert re.sub(r"\s+", " ", shown.text).strip() in page, (locale, block.code, shown.name)


def test_hostile_values_are_text(its: Site, ana: Browser) -> None:
    pair = Pair(name=HOSTILE, value=HOSTILE)
    order = an_order(
        merchant_order_number=HOSTILE,
        customer=Customer(email=HOSTILE, comments=HOSTILE),
        delivery=Address(name=HOSTILE, address1=HOSTILE, country="ES"),
        lines=(LineItem(sku=HOSTILE, name=HOSTILE, quantity=Decimal(1), attributes=(pair,)),),
        shipping=Shipping(method_name=HOSTILE),
        documents=(Document(required=True, reference=HOSTILE, url="javascript:alert(1)"),),
    )
    come(its.store, order)
    for path in ("/m/default", ORDERS, f"{ORDERS}/1", f"{ORDERS}?q={HOSTILE}"):
        page = ana.get(path).text
        assert "<script>alert" not in page and "5332114" not in text_of(page).replace(HOSTILE, ""), path
        assert "javascript:" not in re.sub(r"<dd[^>]*>.*?</dd>", "", page), path


def test_what_changed_since_the_order_was_in_a_file_is_told_old_and_new(its: Site, ana: Browser) -> None:
    come(its.store, an_order(shipping=Shipping(method_name="Express")))
    publish(its.store)
    assert "Changed since" not in ana.page(f"{ORDERS}/1")
    come(its.store, an_order(shipping=Shipping(method_name="Economy")), revision=2)
    page = ana.get(f"{ORDERS}/1").text
    assert "Changed since it was in a file" in text_of(page)
    assert "<del>Express</del>" in page and "<ins>Economy</ins>" in page
    assert "a.xlsx" in page and "Changed (revision 2)" in page


def test_what_a_platform_took_back_is_not_repeated_as_a_change() -> None:
    before = hub_order()
    after = before.model_copy(update={"delivery": Address(), "personal_data_suppressed": True})
    told = shown_changes(before, after, "en")
    assert told
    assert not any("Smith" in (change.before or "") for change in told)


def test_an_order_is_marked_as_entered_and_that_is_undone(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    done = ana.post(f"{ORDERS}/1/entered", number=" #1001 ")
    assert done.status_code == 303
    page = ana.page(done.headers["location"])
    assert "Marked as entered." in page and "Entered as #1001 by ana" in page
    assert "before" in ana.page(ana.post(f"{ORDERS}/1/entered", number="1001").headers["location"])
    undone = ana.post(f"{ORDERS}/1/reopen")
    assert "Reopened by ana" in ana.page(undone.headers["location"])
    assert ana.post(f"{ORDERS}/1/reopen").status_code == 409
    noted = [(event.by, event.what, event.subject) for event in its.store.audit_events("default")]
    assert noted == [("ana", "order reopened", "GE-1"), ("ana", "order entered", "GE-1")]


def test_an_order_leads_to_the_next_one_that_is_to_be_entered(its: Site, ana: Browser) -> None:
    for number in range(1, 5):
        come(its.store, an_order(f"GE-{number}", test=number == 3))
    its.store.mark_entered("default", "GE-2", "7", by="ana", source="test")
    following = f'href="{ORDERS}/4" data-key="n"'
    assert all(following in ana.get(f"{ORDERS}/{number}").text for number in (1, 2, 3))
    assert 'data-key="n"' not in ana.get(f"{ORDERS}/4").text


def test_a_refusal_keeps_what_was_typed(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    empty = ana.post(f"{ORDERS}/1/entered", number=" # ")
    assert empty.status_code == 422
    assert 'role="alert"' in empty.text
    long = ana.post(f"{ORDERS}/1/entered", number="9" * 101)
    assert long.status_code == 422 and "9" * 101 in long.text
    ana.post(f"{ORDERS}/1/entered", number="1001")
    other = ana.post(f"{ORDERS}/1/entered", number=HOSTILE)
    assert other.status_code == 409
    assert "already" in text_of(other.text) and "<script>alert" not in other.text
    assert 'name="replace"' in other.text
    assert its.store.pending("default") == ()
    replaced = ana.post(f"{ORDERS}/1/entered", number="1002", replace="yes")
    assert "Entered as 1002 by ana" in ana.page(replaced.headers["location"])


def test_a_reader_looks_and_changes_nothing(its: Site) -> None:
    come(its.store, an_order())
    eve = its.signed_in("eve", default=Role.READER.value)
    page = eve.get(f"{ORDERS}/1").text
    assert "entered</button>" not in page and f"{ORDERS}/1/entered" not in page
    assert eve.post(f"{ORDERS}/1/entered", number="7").status_code == 403
    assert eve.post(f"{ORDERS}/1/reopen").status_code == 403
    assert eve.post(f"{ORDERS}/export", file="all/standard").status_code == 200
    assert its.store.pending("default")[0].state == "new"


def test_an_order_that_is_not_there_is_not_found(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    for order_id in ("2", "0", "-1", "x", "٣", "9" * 18, "9" * 40, "1.0", "%00", "export"):
        assert ana.get(f"{ORDERS}/{order_id}").status_code == 404, order_id
        assert ana.post(f"{ORDERS}/{order_id}/reopen").status_code == 404, order_id


def test_an_erased_order_is_not_found(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    subject = Subject(ErasureKind.ORDER, "default", order_number="GE-1")
    its.store.erase(its.store.plan_erasure(subject), None)
    assert ana.get(f"{ORDERS}/1").status_code == 404
    assert listed(ana) == []


# In a browser


@pytest.mark.long
def test_the_keys_and_the_selection_work_in_a_browser(its: Site, ana: Browser, tmp_path: Path, browser: Any) -> None:
    for number in range(3):
        come(its.store, an_order(f"GE-{number}"))
    with serving(its.store, tmp_path) as at, visiting(browser, at, ana.token) as page:
        buttons = page.locator(".list-head button:visible")
        page.goto(ORDERS)
        assert buttons.all_inner_texts() == ["3 orders, XLSX"]
        for key in "jjx":
            page.keyboard.press(key)
        assert buttons.all_inner_texts() == ["1 order, XLSX"]
        with page.expect_download() as download:
            buttons.first.click()
        assert download.value.suggested_filename.endswith(".xlsx")
        page.keyboard.press("o")
        page.wait_for_url("**/orders/2")
        page.keyboard.press("e")
        page.keyboard.type("e-77")
        page.keyboard.press("Enter")
        page.wait_for_url("**said=orders_entered")
        assert [number for _, number in its.store.entered_as("default", "e-77")] == ["GE-1"]
        page.keyboard.press("n")
        page.wait_for_url("**/orders/3")
        page.goto(ORDERS)
        page.keyboard.press("/")
        page.keyboard.type("GE 2")
        page.keyboard.press("Enter")
        page.wait_for_url("**/orders?q=GE+2")
        assert page.locator("[data-row] a").all_inner_texts() == ["GE-2"]


@pytest.mark.long
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_are_open_to_everybody_and_never_wider_than_the_screen(
    its: Site, ana: Browser, tmp_path: Path, browser: Any, width: int, dark: bool
) -> None:
    person = full_order().delivery.model_copy(
        update={"name": "N" * 80, "last_name": "N" * 80, "email": "m" * 60 + "@x.example"}
    )
    long = {"order_number": "GE-" + "9" * 60, "delivery": person, "billing": person}
    come(its.store, full_order().model_copy(update=long))
    orders = (full_order(), hub_order(), *guarded_orders().values())
    for number, order in enumerate(orders, start=1):
        come(its.store, order.model_copy(update={"order_number": f"GE-{number}"}))
    publish(its.store)
    come(its.store, hub_order().model_copy(update={"order_number": "GE-2", "lines": ()}), revision=2)
    paths = (
        "/m/default",
        ORDERS,
        f"{ORDERS}?q=nobody&from=2026-01-01",
        *(f"{ORDERS}/{number}" for number in (1, 2, 3)),
    )
    with (
        serving(its.store, tmp_path) as at,
        visiting(browser, at, ana.token, width=width, dark=dark) as page,
    ):
        for path in paths:
            page.goto(path)
            assert faults_of(page) == [], path
            assert too_wide(page) == [], path


def test_a_revision_that_came_while_the_page_was_open_does_not_count_as_entered(its: Site, ana: Browser) -> None:
    come(its.store, an_order())
    (seen,) = re.findall('name="revision" value="([0-9]+)"', ana.get(f"{ORDERS}/1").text)
    come(its.store, an_order(merchant_order_number="77"), revision=2)
    answer = ana.post(f"{ORDERS}/1/entered", number="1000", revision=seen)
    assert answer.status_code == 409 and "has changed since you opened its page" in answer.text
    assert 'value="1000"' in answer.text and 'name="revision" value="2"' in answer.text
    assert "GE-1" in numbers_in(ana.get("/m/default").text)
    assert ana.post(f"{ORDERS}/1/entered", number="1000", revision="2").status_code == 303


def test_a_number_that_another_order_has_in_the_shop_is_asked_about_before_it_is_taken(its: Site, ana: Browser) -> None:
    for number in ("GE-1", "GE-2"):
        come(its.store, an_order(number))
    assert ana.post(f"{ORDERS}/1/entered", number="#101").status_code == 303
    asked = ana.post(f"{ORDERS}/2/entered", number="101")
    assert asked.status_code == 409 and 'value="101"' in asked.text and 'name="shared"' in asked.text
    assert re.search(r"has this number too.*?<a href=\"[^\"]*/orders/1\">GE-1</a>", asked.text)
    assert [number for _, number in its.store.entered_as("default", "101")] == ["GE-1"]
    assert ana.post(f"{ORDERS}/2/entered", number="101", shared="101").status_code == 303
    for order in (1, 2):
        assert "has this number too" in ana.page(f"{ORDERS}/{order}")
    # The tick is for the number that was asked about, and for no other typed since.
    come(its.store, an_order("GE-3"))
    assert ana.post(f"{ORDERS}/3/entered", number="101", shared="102").status_code == 409
    # Nothing is asked again of a number that it has.
    assert ana.post(f"{ORDERS}/2/entered", number="101").status_code == 303


def test_that_the_order_has_changed_is_told_before_a_number_that_another_has_is_asked_about(
    its: Site, ana: Browser
) -> None:
    for number in ("GE-1", "GE-2"):
        come(its.store, an_order(number))
    assert ana.post(f"{ORDERS}/1/entered", number="101").status_code == 303
    come(its.store, an_order("GE-2", notes=("changed",)), revision=2)
    asked = ana.post(f"{ORDERS}/2/entered", number="101", revision="1")
    assert asked.status_code == 409 and "has changed since you opened its page" in asked.text
    assert 'name="shared"' in asked.text and 'name="revision" value="2"' in asked.text
    assert ana.post(f"{ORDERS}/2/entered", number="101", revision="2").status_code == 409
    assert ana.post(f"{ORDERS}/2/entered", number="x" * 200_000, revision="2").status_code == 422
    assert ana.post(f"{ORDERS}/2/entered", number="101", revision="2", shared="101").status_code == 303


def test_of_another_number_that_is_shared_both_are_asked_one_after_the_other(its: Site, ana: Browser) -> None:
    for number in ("GE-1", "GE-2"):
        come(its.store, an_order(number))
        assert ana.post(f"{ORDERS}/{number[-1]}/entered", number=f"#10{number[-1]}").status_code == 303
    assert "has this number too" not in ana.page(f"{ORDERS}/2")
    asked = ana.post(f"{ORDERS}/2/entered", number="101", replace="yes")
    assert asked.status_code == 409 and 'name="shared"' in asked.text
    asked = ana.post(f"{ORDERS}/2/entered", number="101", shared="101")
    assert asked.status_code == 409 and 'name="replace"' in asked.text
    assert re.search(r'name="shared" value="101" checked', asked.text)
    assert ana.post(f"{ORDERS}/2/entered", number="101", shared="101", replace="yes").status_code == 303
    assert [number for _, number in its.store.entered_as("default", "101")] == ["GE-1", "GE-2"]
