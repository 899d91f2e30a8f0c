"""Corrections: what a person types is checked and kept beside what was read; decisions can be taken back; nothing that
a person does loses a message, or what was read of it."""

import json
import random
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ion.content import content_json, content_sha256
from ion.contract import Kind, language, languages
from ion.corrections import CorrectionError, corrected, fields_of, partial_values, typed_value
from ion.errors import OrderErasedError, StoreError
from ion.order import Order
from ion.reading import read_message
from ion.store import (
    ContradictsError,
    ErasureKind,
    OtherRevisionError,
    Store,
    StoredNotification,
    Subject,
    WrittenFile,
    open_store,
)
from tests.orders import KEY, bodies_of, full_order, mail_of, rendered, small_order
from tests.stores import BOTH, Judged, Problem, claimed, created, judged, received, table_of
from tests.test_trust import Commands
from tests.thinning import one_in

DE = language("de")
PARTIAL = json.dumps(
    {"order.platform": "zonos", "order.order_number": "P1", "delivery.country": "AT", "line[1].sku": "A"}
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path]]:
    """A store whose file each test replaces, so that its statements are compiled once."""
    path = tmp_path_factory.mktemp("opened") / "ion.db"
    store = open_store(f"sqlite:///{path}", mail_domain="mail.example")
    yield store, path
    store.close()


@pytest.fixture
def kept(opened: tuple[Store, Path], sqlite_template: Path) -> tuple[Store, Path]:
    """That store, empty, and its file."""
    store, path = opened
    store.close()  # the last connection takes the write-ahead log with it
    shutil.copyfile(sqlite_template, path)
    return store, path


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store, once on each kind of database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("kept")[0]
        return
    template = request.getfixturevalue("postgresql_template")
    url = created(request.getfixturevalue("postgresql_server"), f"ion_{uuid.uuid4().hex}", template)
    opened = open_store(url, mail_domain="mail.example")
    yield opened
    opened.close()


def order(number: str = "W1", **changes: Any) -> Order:
    return small_order().model_copy(update={"order_number": number, **changes})


def waiting(store: Store, one: Judged | None = None, **changes: Any) -> StoredNotification:
    """A notification that waits, alone in its message."""
    message = claimed(store)
    doubt = (Problem("contradiction", "delivery.city", "the text part says Vienna"),)
    found = judged(order(**changes), "review", problems=doubt) if one is None else one
    (stored,) = store.store_judgement(message.id, message.claim_token, [found])
    assert stored.state in ("held", "review")
    return stored


def message_of(store: Store, number: int) -> int:
    return store.shown_notification(number).id


def state_of(store: Store, number: int) -> str:
    return store.shown_notification(number).notifications[0].state


def exported(store: Store) -> list[Order]:
    return [one.order for one in store.orders_for_export()]


def reread(store: Store, number: int, *found: Judged) -> list[str]:
    """What another reading of the message changes."""
    (kept,) = store.read_again(ids=(message_of(store, number),))
    return [one.change for one in store.store_rereading(kept, found, apply=True).notifications]


def faults(base: Any, changes: Mapping[str, str], known: Any = None) -> dict[str, str]:
    with pytest.raises(CorrectionError) as raised:
        corrected(base, changes, known)
    return {fault.field: fault.message for fault in raised.value.faults}


# What is typed


@pytest.mark.parametrize("known", one_in(9, languages()), ids=lambda known: known.tag)
def test_every_value_is_typed_in_every_language_as_it_is_shown(known: Any) -> None:
    whole = full_order()
    shown = fields_of(whole, [], known)
    typed = {one.path: one.value for one in shown if one.value is not None and one.path.split(".")[-1] not in _CHECKED}
    values = {one.path: one for one in shown}
    assert len(typed) > 500 and not [path for path in typed if values[path].in_doubt]
    again = corrected({}, {**typed, "line[1].status": "other"}, known)
    assert [one.path for one in again.changes if one.after is None] == []
    expected = {one.path: one.after for one in again.changes if one.path != "line[1].status"}
    stated = {one.path: one.after for one in corrected({}, _canonical(whole, set(typed))).changes}
    assert expected == {path: value for path, value in stated.items() if path != "line[1].status"}


_CHECKED = {
    *("email", "created_time", "status_time", "birth_date", "back_order_date", "estimated_delivery_date"),
    *("delivery_date_from", "delivery_date_to", "merchant_currency", "customer_currency"),
}


def _canonical(whole: Order, paths: set[str]) -> dict[str, str]:
    """The values as they are typed without a language."""
    fields = {one.path: one for one in fields_of(whole, [])}
    english = language("en")
    plain = {}
    for path in paths:
        value = fields[path].value or ""
        plain[path] = value.replace(",", "") if fields[path].kind in (Kind.MONEY, Kind.NUMBER) else value
    assert english.group == ","
    return plain


def test_a_page_that_gives_all_fields_back_changes_only_what_was_changed() -> None:
    """Also where what was read would not be taken from a person: no such mail address, no such date."""
    whole = full_order()
    for known in (None, DE):
        values = fields_of(whole, [], known) if known else ()
        given = {one.path: one.value or "" for one in values} | {"delivery.city": "Wien"}
        made = corrected(whole, given, known)
        assert [(one.path, one.after) for one in made.changes] == [("delivery.city", "Wien")]
        assert made.order == whole.model_copy(update={"delivery": whole.delivery.model_copy(update={"city": "Wien"})})


@pytest.mark.parametrize(
    ("path", "text", "known", "after"),
    [
        ("line[1].unit_price_customer", "1234.75 eur", None, "1234.75 EUR"),
        ("line[1].unit_price_customer", "EUR 1.234,75", DE, "1234.75 EUR"),
        ("line[1].unit_price_customer", "1 234,75 EUR", language("fr"), "1234.75 EUR"),
        ("line[1].quantity", "3", None, "3"),
        ("delivery.country", "at", None, "AT"),
        ("delivery.country", "Österreich", DE, "AT"),
        ("delivery.country", "Österreich (AT)", DE, "AT"),
        ("delivery.address1", "  Ring 1\r\nTop 2 ", None, "Ring 1\nTop 2"),
        ("customer.email", "ana@x.example", None, "ana@x.example"),
        ("customer.birth_date", "1990-02-28", None, "1990-02-28"),
        ("order.other[1]", "a = b = c", None, '["a","b = c"]'),
        ("order.test", "ja", DE, "1"),
        ("customs.incoterm", "dap", None, "DAP"),
    ],
)
def test_what_a_person_types_is_taken_as_it_is_meant(path: str, text: str, known: Any, after: str) -> None:
    (change,) = corrected(order(), {path: text}, known).changes
    assert (change.path, change.after) == (path, after)


@pytest.mark.parametrize(
    ("path", "text", "known", "told"),
    [
        ("line[1].unit_price_customer", "39.90", None, "type amount and currency, as 1234.50 EUR"),
        ("line[1].unit_price_customer", "39,90 EUR", None, "type it as 1234.50 EUR"),
        ("line[1].unit_price_customer", "39.90 EUR", DE, "type it as 1.234,50 EUR"),
        ("line[1].unit_price_customer", "39.90 EUX", None, "three letters (ISO 4217)"),
        ("line[1].quantity", "two", None, "type it as 1234.5"),
        ("line[1].quantity", "0", None, "type a number above 0"),
        ("line[1].quantity", "1" * 70, None, "cannot be kept"),
        ("delivery.country", "Schwiz", DE, "two letters (ISO 3166-1)"),
        ("customer.email", "ana@x", None, "type one as name@shop.example"),
        ("customer.birth_date", "2026-02-30", None, "is no date"),
        ("order.created_time", "24.02.", None, "is no time"),
        ("order.test", "perhaps", None, "neither yes nor no"),
        ("order.other[1]", "a", None, "name = value"),
        ("order.platform", "amazon", None, "type one of global-e, zonos"),
        ("payment.card_last_four", "4111111111111111", None, "more than the last four digits"),
        ("delivery.cty", "x", None, "delivery.city is one"),
        ("order_number", "x", None, "order.order_number is one"),
        ("proof.revision", "2", None, "belongs to the notification"),
        ("line.sku", "x", None, "line[1].sku"),
        ("line[0].sku", "x", None, "numbered from 1"),
        ("line[9].sku", "x", None, "the next one is line["),
        ("order.notes", "x", None, "order.notes[1]"),
        ("delivery", "", None, "name one of its fields"),
        ("delivery.city", "x" * 20_001, None, "at most 20000 are kept"),
        ("order.order_number", "", None, "order.order_number"),
        ("\x00\ud800[", "x", None, "no field of an order"),
    ],
)
def test_a_wrong_text_is_told_with_its_field_and_what_to_type(path: str, text: str, known: Any, told: str) -> None:
    found = faults(order(), {path: text}, known)
    assert told in " ".join(found.values())
    assert all(field.split("[")[0].split(".")[0] in message for field, message in found.items())


def test_all_that_is_wrong_is_told_at_once() -> None:
    wrong = {"delivery.country": "Schwiz", "customer.email": "x", "line[1].quantity": "0", "delivery.city": "Wien"}
    assert list(faults(order(), wrong)) == ["delivery.country", "customer.email", "line[1].quantity"]
    assert list(faults(order(), {})) == ["order"]


def test_without_a_whole_order_what_no_order_is_whole_without_is_asked_for() -> None:
    missing = faults(None, {"order.order_number": "1"})
    assert list(missing) == ["line[1].quantity", "delivery.country", "totals.total_customer", "order.platform"]
    typed = {"line[1].quantity": "2", "totals.total_customer": "20 EUR"}
    made = corrected(partial_values(PARTIAL), typed).order
    assert (made.order_number, made.lines[0].sku, made.delivery.country) == ("P1", "A", "AT")


def test_a_line_is_taken_away_and_the_one_behind_the_last_is_new() -> None:
    whole = full_order(blocks=3)
    made = corrected(whole, {"line[2]": ""})
    assert made.order.lines == (whole.lines[0], whole.lines[2])
    assert {one.path.split(".")[0] for one in made.changes} == {"line[2]"}
    more = corrected(whole, {"line[4].quantity": "1", "line[4].sku": "new", "order.notes[1]": ""}).order
    assert more.lines[:3] == whole.lines and more.lines[3].sku == "new" and more.notes == whole.notes[1:]


@pytest.mark.parametrize("text", ["", "x", "[]", '{"a": 1}', '{"line[1].quantity": "1,0", "delivery.country": "aut"}'])
def test_values_that_no_reader_hands_on_are_left_out(text: str) -> None:
    assert partial_values(text) == {}


def test_a_page_is_told_label_value_doubt_and_where_it_was_found() -> None:
    problems = [
        {"code": "contradiction", "field": "delivery.city", "message": "the text part says otherwise"},
        {"code": "damage", "field": "customer.email", "message": "the html part lost it"},
        {"code": "unreadable", "field": "line", "message": "no line item can be read"},
    ]
    shown = {one.path: one for one in fields_of(order(), problems, DE, carrier="html")}
    city, email = shown["delivery.city"], shown["customer.email"]
    assert (city.label, city.in_doubt, city.found_in) == (DE.labels["address"]["city"], True, "html")
    assert city.problems == ("the text part says otherwise",) and not email.in_doubt and email.problems
    assert shown["line[1].quantity"].in_doubt and shown["line[1].quantity"].needed
    nothing = {one.path: one for one in fields_of(None, [], language("fr"))}
    assert nothing["order.order_number"].value is None and nothing["line[1].sku"].found_in is None
    assert typed_value(Kind.MONEY, "1234.5 EUR", DE) == "1.234,50 EUR"


def test_the_reader_hands_on_what_it_could_read_of_a_broken_mail() -> None:
    html = bodies_of(rendered(small_order()).raw)[1]
    broken = html.replace(language("en").labels["line"]["quantity"], "Broken")
    (found,) = read_message(mail_of(html=broken), [KEY])
    values = partial_values(found.partial)
    assert (found.grade, found.content) == ("review", None)
    assert values["order.order_number"] == small_order().order_number and "line[1].quantity" not in values
    typed = {f"line[{place}].quantity": "1" for place, _ in enumerate(small_order().lines, 1)}
    assert corrected(values, typed).order.delivery == small_order().delivery


# Kept beside what was read


def test_a_correction_is_kept_beside_what_was_read_and_released(store: Store) -> None:
    number = waiting(store).id
    before = table_of(store, "SELECT order_json, problems_json FROM notification")
    made = store.correct_notification(number, {"delivery.city": "Wien"}, by="Ana", note="asked")
    assert [(one.path, one.after) for one in made.changes] == [("delivery.city", "Wien")]
    assert table_of(store, "SELECT order_json, problems_json FROM notification") == before
    (shown,) = store.shown_notification(number).notifications
    assert (shown.to_name, shown.correction) == ((), made.id)
    assert shown.corrected_order and shown.corrected_order["delivery"]["city"] == "Wien"
    assert exported(store) == [] and store.check()["problems"] == []
    released = store.release_notification(number, by="Ben")
    (one,) = store.orders_for_export()
    assert one.order.delivery.city == "Wien" and one.corrected_in == made.message
    assert one.warnings[0].startswith("corrected by hand")
    assert released.order_id and store.correction_of_order(released.order_id) == made
    assert table_of(store, "SELECT order_json, problems_json FROM notification") == before
    assert [(one.what, one.by) for one in store.notification_events(made.message)] == [
        ("corrected", "Ana"), ("released", "Ben"),
    ]  # fmt: skip
    assert store.check()["problems"] == []


def test_a_correction_begins_with_the_one_before_and_the_newest_is_taken_back_first(store: Store) -> None:
    number = waiting(store).id
    first = store.correct_notification(number, {"delivery.city": "Wien"}, by="Ana")
    second = store.correct_notification(number, {"delivery.postal_code": "1010"}, by="Ben")
    assert second.order and second.order["delivery"]["city"] == "Wien"
    with pytest.raises(StoreError, match=f"the one in force is {second.id}"):
        store.undo_correction(first.id, by="Ana")
    assert store.undo_correction(second.id, by="Ana").undone_by == "Ana"
    with pytest.raises(StoreError, match="is undone already"):
        store.undo_correction(second.id, by="Ana")
    assert store.shown_notification(number).notifications[0].correction == first.id
    store.release_notification(number, by="Ana")
    assert [one.delivery.city for one in exported(store)] == ["Wien"]
    with pytest.raises(StoreError, match="undo that decision first"):
        store.undo_correction(first.id, by="Ana")
    with pytest.raises(StoreError, match="does not wait"):
        store.correct_notification(number, {"delivery.city": "Graz"}, by="Ana")
    with pytest.raises(StoreError, match="no correction 99"):
        store.undo_correction(99, by="Ana")
    assert [one.id for one in store.corrections_of(first.message)] == [first.id, second.id]
    assert store.check()["problems"] == []


def test_what_holds_no_whole_order_is_released_once_a_person_has_typed_the_rest(store: Store) -> None:
    reader = Problem("unreadable", "line[1].quantity", "no whole order can be read")
    one = Judged("review", None, None, (reader, Problem("seal", "proof.seal", "x")), partial=PARTIAL)
    stored = waiting(store, one)
    assert (stored.platform, stored.order_number) == ("zonos", "P1")
    with pytest.raises(CorrectionError):
        store.correct_notification(stored.id, {"line[1].quantity": "2"}, by="Ana")
    assert store.corrections_of(message_of(store, stored.id)) == ()
    store.correct_notification(stored.id, {"line[1].quantity": "2", "totals.total_customer": "20 EUR"}, by="Ana")
    with pytest.raises(StoreError, match=r"--force proof\.seal$"):
        store.release_notification(stored.id, by="Ana")
    assert store.release_notification(stored.id, by="Ana", named=["proof.seal"]).state == "applied"
    assert [one.order_number for one in exported(store)] == ["P1"]
    assert store.check()["problems"] == []


def test_a_corrected_order_that_does_not_add_up_is_released_only_by_name(store: Store) -> None:
    number = waiting(store, judged(order(), "review", problems=(Problem("sum", "totals.total_customer", "x"),))).id
    store.correct_notification(number, {"delivery.city": "Wien"}, by="Ana")
    assert store.shown_notification(number).notifications[0].to_name == ()  # it adds up
    store.correct_notification(number, {"totals.total_customer": "1 EUR"}, by="Ana")
    with pytest.raises(StoreError, match=r"--force totals\.total_customer"):
        store.release_notification(number, by="Ana")


def test_a_corrected_order_number_is_the_order_that_is_released(store: Store) -> None:
    number = waiting(store).id
    store.correct_notification(number, {"order.order_number": "W7"}, by="Ana")
    store.release_notification(number, by="Ana", named=["delivery.city"])
    assert [one.order_number for one in exported(store)] == ["W7"]
    assert store.check()["problems"] == []


# Another reading


def test_a_corrected_notification_keeps_its_correction_whatever_is_read(store: Store) -> None:
    number = waiting(store).id
    made = store.correct_notification(number, {"delivery.city": "Wien"}, by="Ana")
    other = order(notes=("other",))
    for found in ([judged(other, "review")], [], [judged(other)], [judged(order())]):
        assert reread(store, number, *found) == ["kept"]
    (shown,) = store.shown_notification(number).notifications
    assert (shown.state, shown.correction, shown.order) == ("review", made.id, order().to_json())
    store.release_notification(number, by="Ana")
    for found in ([judged(other)], [], [judged(order())]):
        assert reread(store, number, *found) == ["kept"]
    assert [one.delivery.city for one in exported(store)] == ["Wien"]
    assert store.check()["problems"] == []


@pytest.mark.parametrize("number_too", [False, True])
def test_what_the_seal_proves_as_it_was_corrected_is_applied_and_the_correction_is_history(
    number_too: bool, store: Store
) -> None:
    number = waiting(store).id
    changes = {"delivery.city": "Wien"} | ({"order.order_number": "W2"} if number_too else {})
    made = store.correct_notification(number, changes, by="Ana")
    proved = Order.model_validate(made.order)
    assert reread(store, number, replace(judged(proved), seal="OTHER")) == ["changed"]
    (one,) = store.orders_for_export()
    assert (one.order, one.grade, one.corrected_in) == (proved, "sealed", None)
    assert store.corrections_of(made.message) == (made,)
    assert one.id and store.correction_of_order(one.id) is None
    assert store.check()["problems"] == []


def test_a_notification_that_somebody_worked_on_is_never_taken_away(store: Store) -> None:
    number = waiting(store).id
    store.dismiss_notification(number, by="Ana")
    store.undo_decision(number, by="Ana")
    assert reread(store, number) == ["kept"]
    made = store.correct_notification(number, {"delivery.city": "Wien"}, by="Ana")
    store.undo_correction(made.id, by="Ana")
    assert reread(store, number) == ["kept"]
    assert reread(store, number, judged(order())) == ["changed"]
    assert exported(store) == [order()]
    assert store.check()["problems"] == []


# Erased


def test_an_erasure_takes_what_was_typed_and_noted(store: Store) -> None:
    """Also by the address that was typed, by the one that was typed away, and by the number that was typed."""
    for subject in (
        Subject(ErasureKind.CUSTOMER, None, email="typed@x.example"),
        Subject(ErasureKind.CUSTOMER, None, email="away@x.example"),
        Subject(ErasureKind.ORDER, "default", order_number="TYPED"),
    ):
        number = waiting(store, number=f"E{subject.email}{subject.order_number}").id
        store.correct_notification(number, {"customer.email": "away@x.example"}, by="Ana", note="away")
        last = {"customer.email": "typed@x.example", "order.order_number": "TYPED"}
        store.correct_notification(number, last, by="Ana", note="typed")
        plan = store.plan_erasure(subject)
        assert number in plan.notifications
        store.erase(plan, "digest")
        left = table_of(store, "SELECT changes_json, order_json, note FROM correction")
        assert set(left) == {("[]", None, None)}
        assert {note for (note,) in table_of(store, "SELECT note FROM notification_event")} == {None}
        with pytest.raises(StoreError, match="was erased here"):
            store.correct_notification(number, {"delivery.city": "x"}, by="Ana")
        assert store.check()["problems"] == []


def test_an_erasure_takes_what_could_be_read_and_what_was_joined(store: Store) -> None:
    read = json.dumps({"order.order_number": "P1", "customer.email": "ana@x.example"})
    number = waiting(store, Judged("review", None, None, (), partial=read)).id
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(order("W1"))])
    joined = waiting(store, number="OTHER").id
    store.merge_notification(joined, "W1", by="Ana")
    assert joined in store.plan_erasure(Subject(ErasureKind.ORDER, "default", order_number="W1")).notifications
    plan = store.plan_erasure(Subject(ErasureKind.CUSTOMER, None, email="ana@x.example"))
    assert number in plan.notifications
    store.erase(plan, "digest")
    assert table_of(store, f"SELECT partial_json FROM notification WHERE id = {number}") == [(None,)]
    assert store.check()["problems"] == []


# Joined to an order


def test_a_notification_is_joined_to_an_order_under_whatever_number(store: Store) -> None:
    message = claimed(store)
    (known,) = store.store_judgement(message.id, message.claim_token, [judged(order("W1"))])
    before = table_of(store, "SELECT * FROM orders")
    for number, named in ((waiting(store, number="W1").id, "w-1"), (waiting(store, number="X9").id, known.order_id)):
        assert named is not None
        merged = store.merge_notification(number, named, by="Ana", note="the same")
        assert (merged.state, merged.order_id) == ("duplicate", known.order_id)
        (shown,) = store.shown_notification(number).notifications
        assert (shown.decision, shown.decided_by, shown.decision_note) == ("merged", "Ana", "the same")
    assert table_of(store, "SELECT * FROM orders") == before
    assert list(store.waiting_notifications()) == [] and store.check()["problems"] == []
    assert reread(store, number) == ["kept"]


def test_a_notification_is_joined_only_to_an_order_of_its_merchant_that_is_there(store: Store) -> None:
    store.create_merchant("shop", domain="x.example")
    theirs = received(store, b"x", "shop")
    (claim,) = store.claim_messages(1, 60)
    assert claim.id == theirs
    (other,) = store.store_judgement(claim.id, claim.claim_token, [judged(order("S1"))])
    number, known = waiting(store).id, waiting(store, number="W2").id
    for named in ("S1", other.order_id, "W1"):
        with pytest.raises(StoreError, match="no order"):
            store.merge_notification(number, named or "", by="Ana")
    store.release_notification(known, by="Ana", named=["delivery.city"])
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, "default", order_number="W2")), "digest")
    with pytest.raises(OrderErasedError):
        store.merge_notification(number, "W2", by="Ana")
    with pytest.raises(StoreError, match="nobody is named"):
        store.merge_notification(number, "W2", by=" ")
    assert state_of(store, number) == "review"


# Taken back


def test_what_was_dismissed_or_joined_waits_again_as_it_did(store: Store) -> None:
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(order("W1"))])
    contradicting = waiting(store, judged(order(notes=("other",))))
    assert contradicting.order_id is not None
    before = table_of(store, f"SELECT * FROM notification WHERE id = {contradicting.id}")
    for is_merged in (False, True):
        if is_merged:
            store.merge_notification(contradicting.id, "W1", by="Ben")
        else:
            store.dismiss_notification(contradicting.id, by="Ana", note="not ours")
        with pytest.raises(StoreError, match="does not wait"):
            store.dismiss_notification(contradicting.id, by="Ana")
        undone = store.undo_decision(contradicting.id, by="Cy", note="it is")
        assert (undone.state, undone.order_id) == ("review", contradicting.order_id)
        assert table_of(store, f"SELECT * FROM notification WHERE id = {contradicting.id}") == before
    with pytest.raises(StoreError, match="nobody decided"):
        store.undo_decision(contradicting.id, by="Ana")
    history = store.notification_events(message_of(store, contradicting.id))
    assert [(one.what, one.by, one.note, one.order_number) for one in history] == [
        ("dismissed", "Ana", "not ours", None), ("undone", "Cy", "it is", None),
        ("merged", "Ben", None, "W1"), ("undone", "Cy", "it is", "W1"),
    ]  # fmt: skip
    assert store.check()["problems"] == []


def test_a_release_is_taken_back_with_its_new_order_and_its_number_is_not_given_again(store: Store) -> None:
    store.use_export_profile("default", "standard")
    number = waiting(store).id
    made = store.correct_notification(number, {"delivery.city": "Wien"}, by="Ana")
    tables = ("orders", "order_line", "order_rows", "order_revision", "export_due")
    released = store.release_notification(number, by="Ana")
    assert all(table_of(store, f"SELECT * FROM {name}") for name in tables)
    assert store.undo_decision(number, by="Ben").state == "review"
    assert not any(table_of(store, f"SELECT * FROM {name}") for name in tables)
    assert store.shown_notification(number).notifications[0].correction == made.id
    assert store.check()["problems"] == []
    again = store.release_notification(number, by="Ana")
    assert again.order_id is not None and released.order_id is not None and again.order_id > released.order_id
    assert [one.delivery.city for one in exported(store)] == ["Wien"]
    assert store.check()["problems"] == []


def test_a_release_that_somebody_took_note_of_stays_and_the_reason_is_told(store: Store) -> None:
    def entered(order_id: int) -> None:
        store.mark_entered("default", order_id, "#1", by="Ana", source="command line")

    def published(order_id: int) -> None:
        profile = store.use_export_profile("default", "standard")
        (one,) = [due for due in store.due_orders(profile.id, before=datetime.now(UTC), limit=9) if due.id == order_id]
        written = WrittenFile("standard", "a.csv", b"x", ((one.id, one.revision, one.applied_at),), 1, {})
        store.publish(profile.id, date(2026, 11, 27), written)

    def told_again(order_id: int) -> None:
        message = claimed(store)
        (found,) = store.store_judgement(message.id, message.claim_token, [judged(order("R2"))])
        assert found.order_id == order_id

    for place, (note, why) in enumerate(
        ((entered, "entered it in the shop"), (published, "a published file"), (told_again, "another mail")), start=0
    ):
        number = waiting(store, number=f"R{place}").id
        released = store.release_notification(number, by="Ana", named=["delivery.city"])
        assert released.order_id is not None
        note(released.order_id)
        with pytest.raises(StoreError, match=f"{why}.*deal with the order itself"):
            store.undo_decision(number, by="Ana")
        assert state_of(store, number) == "applied"
    assert store.check()["problems"] == []


def test_a_release_that_changed_a_known_order_or_brought_back_an_erased_one_stays(store: Store) -> None:
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(order("W1"))])
    newer = waiting(store, judged(order(notes=("newer",)), "review", revision=2)).id
    same = waiting(store, judged(order(), "review")).id
    for number in (same, newer):
        store.release_notification(number, by="Ana")
    assert store.undo_decision(same, by="Ana").state == "review"  # a duplicate, which changed nothing
    with pytest.raises(StoreError, match="known here before"):
        store.undo_decision(newer, by="Ana")
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, "default", order_number="W1")), "digest")
    back = waiting(store, judged(order(notes=("newer",)), "review", revision=2)).id
    store.release_notification(back, by="Ana")
    with pytest.raises(StoreError, match="or erased"):
        store.undo_decision(back, by="Ana")
    assert store.check()["problems"] == []


def test_what_contradicts_a_known_order_is_its_newest_revision_where_a_person_says_so(store: Store) -> None:
    for revision, notes in ((1, ()), (2, ("newer",))):
        message = claimed(store)
        store.store_judgement(message.id, message.claim_token, [judged(order(notes=notes), revision=revision)])
    other, old = (
        waiting(store, judged(order(notes=("other",)), "review")).id,
        waiting(store, judged(order(), "review")).id,
    )
    with pytest.raises(ContradictsError, match="other content"):
        store.release_notification(other, by="Ana")
    with pytest.raises(OtherRevisionError, match="is 2, not 1"):
        store.release_notification(other, by="Ana", in_place_of=1)
    assert [one.notes for one in exported(store)] == [("newer",)] and state_of(store, other) == "review"
    assert store.release_notification(other, by="Ana", in_place_of=2).state == "applied"
    assert [one.notes for one in exported(store)] == [("other",)]
    assert store.release_notification(old, by="Ana", in_place_of=3).state == "applied"
    assert [one.notes for one in exported(store)] == [()]
    detail = store.order_detail("default", 1)
    assert detail is not None and [one.revision for one in detail.revisions] == [1, 2, 3, 4]
    with pytest.raises(StoreError, match="known here before"):
        store.undo_decision(other, by="Ana")
    later = waiting(store, judged(order(notes=("third",)), revision=3))  # the platform's own third: a person decides
    assert "known with other content" in (later.reason or "")
    assert store.check()["problems"] == []


def test_what_waits_again_after_its_days_were_over_is_no_fault_of_the_books(store: Store) -> None:
    number = waiting(store).id
    store.dismiss_notification(number, by="Ana")
    assert store.purge_raw(datetime.now(UTC) + timedelta(seconds=1)) == 1
    store.undo_decision(number, by="Ana")
    assert store.check()["problems"] == []
    assert store.release_notification(number, by="Ana", named=["delivery.city"]).state == "applied"


@pytest.mark.long
def test_what_an_older_version_decided_is_in_the_history_and_can_be_taken_back(tmp_path: Path) -> None:
    from alembic.command import downgrade
    from alembic.config import Config

    from ion.store.engine import make_engine
    from ion.store.schema import MIGRATIONS

    url = f"sqlite:///{tmp_path / 'ion.db'}"
    store = open_store(url)
    numbers = [waiting(store, number=f"O{place}").id for place in range(3)]
    store.dismiss_notification(numbers[0], by="Ana", note="not ours")
    store.correct_notification(numbers[1], {"delivery.city": "Wien"}, by="Ana")
    store.release_notification(numbers[1], by="Ana")
    store.merge_notification(numbers[2], "O1", by="Ana")
    store.close()
    engine, config = make_engine(url, foreign_keys=False), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        downgrade(config, "0009")
    engine.dispose()
    store = open_store(url)
    assert [one.what for one in store.notification_events(message_of(store, numbers[0]))] == ["dismissed"]
    assert [store.undo_decision(number, by="Ben").state for number in (numbers[0], numbers[2])] == ["review", "review"]
    with pytest.raises(StoreError, match="cannot be undone"):
        store.undo_decision(numbers[1], by="Ben")
    assert [one.delivery.city for one in exported(store)] == ["Wien"]
    store.close()


# The books


BOOKS = [
    ("UPDATE correction SET order_json = '{}'", "1 revisions with another content than their notification"),
    ("DELETE FROM notification_event WHERE what = 'released'", "1 notifications decided without an event"),
    ("DELETE FROM notification_event WHERE what = 'corrected'", "1 corrections without an event"),
    ("UPDATE correction SET position = 9", "1 rows of correction without their notification"),
    ("UPDATE correction SET order_json = NULL", "1 corrections without content that are not erased"),
    ("UPDATE notification SET erased_at = '2026-11-23'", "1 corrections of erased notifications that still have"),
    ("UPDATE notification SET state = 'held'", "1 notifications decided that still wait"),
    ("UPDATE correction SET order_number = 'x'", "1 notifications linked to another order than they tell of"),
]


@pytest.mark.parametrize("damage", one_in(4, BOOKS))
def test_books_that_do_not_agree_are_told(damage: tuple[str, str], kept: tuple[Store, Path]) -> None:
    (script, told), (store, path) = damage, kept
    number = waiting(store).id
    store.correct_notification(number, {"order.order_number": "W7"}, by="Ana")
    store.release_notification(number, by="Ana", named=["delivery.city"])
    assert store.check()["problems"] == []
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    assert any(problem.startswith(told) for problem in store.check()["problems"])


# Whatever is done, in whatever order


def seen(read: Order, grade: str = "sealed") -> Judged:
    """What a reader gives: no two orders have one seal."""
    return replace(judged(read, grade), seal=None if grade == "consistent" else content_sha256(read))


def _anything(store: Store, chance: random.Random, steps: int) -> None:
    """Three mails: two of one order, one of which no whole order was read; anybody does anything with them."""
    base = order("A1")
    readings = {
        waiting(store, judged(base, "review", problems=(Problem("contradiction", "delivery.city", "x"),))).id: base,
        waiting(store, judged(base, "consistent")).id: base,
        waiting(store, Judged("review", None, None, (), partial=PARTIAL)).id: order("P1"),
    }
    raw = table_of(store, "SELECT message_id, raw FROM message_raw ORDER BY 1")
    was_read = {
        number: set(table_of(store, f"SELECT order_json FROM notification WHERE id = {number}")) for number in readings
    }
    for number, read in readings.items():
        was_read[number] |= {(content_json(read),)}
    history = 0
    for _ in range(steps):
        if not readings:
            return
        number = chance.choice(list(readings))
        (shown,) = store.shown_notification(number).notifications
        read = readings[number]
        if shown.corrected_order:
            was_read[number].add((content_json(Order.model_validate(shown.corrected_order)),))

        def correct(number: int = number) -> None:
            typed = {
                "delivery.city": chance.choice(("Wien", "Graz", "")),
                "line[1].quantity": chance.choice(("1", "2")),
                "totals.total_customer": chance.choice(("20 EUR", "21 EUR")),
                "order.order_number": chance.choice(("A1", "B2", "P1")),
            }
            store.correct_notification(
                number, dict(chance.sample(list(typed.items()), chance.choice((1, 4, 4)))), by="Ana"
            )

        def read_again(number: int = number, read: Order = read, made: Any = shown.corrected_order) -> None:
            found = chance.choice(
                (
                    [],
                    [seen(read)],
                    [seen(read, "review")],
                    [seen(read, "consistent")],
                    [Judged("review", None, None, (), partial=PARTIAL)],
                    [seen(Order.model_validate(made) if made else read)],
                )
            )
            reread(store, number, *found)

        def enter() -> None:
            found = [one.id for one in store.orders_for_export()]
            store.mark_entered("default", chance.choice(found or [99]), "#1", by="Ana", source="pairs", replace=True)

        names = [*shown.to_name, "delivery.city", "totals.total_customer"]
        anything: tuple[Callable[[], object], ...] = (
            *(correct, correct, correct, read_again, read_again),
            partial(store.release_notification, number, by="Ana", named=names),
            partial(store.release_notification, number, by="Ana", named=names, in_place_of=chance.choice((1, 2))),
            partial(store.dismiss_notification, number, by="Ana"),
            partial(store.merge_notification, number, chance.choice(("A1", "B2", "P1")), by="Ana"),
            *[partial(store.undo_decision, number, by="Ana")] * 4,
            partial(store.undo_correction, shown.correction or 0, by="Ana"),
            enter if chance.random() < 0.1 else correct,
        )
        with suppress(StoreError, CorrectionError):  # a refusal changes nothing
            chance.choice(anything)()
        assert store.check()["problems"] == []
        assert table_of(store, "SELECT message_id, raw FROM message_raw ORDER BY 1") == raw
        kept = dict(table_of(store, "SELECT id, order_json FROM notification"))
        events = table_of(store, "SELECT count(*) FROM notification_event")[0][0]
        for one, texts in tuple(was_read.items()):
            touched = table_of(
                store,
                "SELECT 1 FROM notification_event AS e JOIN notification AS n ON n.message_id = e.message_id"
                f" AND n.position = e.position WHERE n.id = {one}",
            )
            if one in kept:
                assert (kept[one],) in texts | {(None,)}
            else:
                assert not touched  # a reader found nothing there any more, and nobody had done anything with it
                del was_read[one], readings[one]
        assert events >= history
        history = events


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 24))])
def test_whatever_is_done_in_any_order_nothing_is_lost_and_the_books_agree(seed: int, kept: tuple[Store, Path]) -> None:
    _anything(kept[0], random.Random(seed), 20)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 103))
def test_on_any_database_nothing_is_lost_and_the_books_agree(seed: int, store: Store) -> None:
    _anything(store, random.Random(seed), 40)


# On the command line


def test_the_commands_correct_merge_and_undo(tmp_path: Path) -> None:
    ion = Commands(tmp_path)
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    first, second = waiting(store), waiting(store, number="W2")
    store.close()
    (city,) = [one for one in ion.lines("correct", first.id, "--locale", "de") if one["path"] == "delivery.city"]
    assert city["in_doubt"] and city["label"] == DE.labels["address"]["city"]
    wrong = ion.lines("correct", first.id, "--set", "delivery.country=Schwiz", "--by", "Ana", status=1)
    assert [one["field"] for one in wrong] == ["delivery.country"]
    ion.lines("correct", first.id, "--set", "delivery.city", "--by", "Ana", status=2)
    ion.lines("correct", first.id, "--set", "delivery.city=Wien", status=2)
    (made,) = ion.lines("correct", first.id, "--set", "delivery.city=Wien", "--by", "Ana", "--note", "asked")
    assert made["order"]["delivery"]["city"] == "Wien"
    assert [one["correction"] for one in ion.lines("held")] == [made["id"], None]
    ion.lines("undo", first.id, "--correction", "--by", "Ana")
    ion.lines("undo", first.id, "--correction", "--by", "Ana", status=1)
    ion.lines("correct", first.id, "--set", "delivery.city=Graz", "--by", "Ana")
    assert ion.lines("release", first.id, "--by", "Ana")[0]["state"] == "applied"
    assert ion.lines("merge", second.id, "--order", "W1", "--by", "Ben")[0]["state"] == "duplicate"
    ion.lines("undo", first.id, "--by", "Ana", status=1)
    assert ion.lines("undo", second.id, "--by", "Ana")[0]["state"] == "review"
    assert ion.lines("undo", first.id, "--by", "Ana")[0]["state"] == "review"
    (shown,) = [one["notifications"][0] for one in ion.lines("show", made["message"])]
    assert [one["what"] for one in shown["history"]] == [
        "corrected", "correction undone", "corrected", "released", "undone",
    ]  # fmt: skip
    assert len(shown["corrections"]) == 2


def test_the_command_says_which_revision_a_contradicting_mail_takes_the_place_of(tmp_path: Path) -> None:
    ion = Commands(tmp_path)
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(order())])
    other = waiting(store, judged(order(notes=("other",)), "review")).id
    store.close()
    refused = ion.lines("release", other, "--by", "Ana", status=1)
    assert "--in-place-of" in refused[0]["error"]
    assert "is 1, not 2" in ion.lines("release", other, "--by", "Ana", "--in-place-of", "2", status=1)[0]["error"]
    assert ion.lines("release", other, "--by", "Ana", "--in-place-of", "1")[0]["state"] == "applied"
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    assert [(one.revision, one.order.notes) for one in store.orders_for_export()] == [(2, ("other",))]
    store.close()
