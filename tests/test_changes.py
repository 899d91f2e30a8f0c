"""What changed in an order since it was told before: found as people see it, told in every language, and never read."""

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.contract import SECTIONS, language, languages, order_entries, tags
from ion.contract.anchors import COLONS
from ion.contract.changes import Change, changes
from ion.contract.languages import title_finder
from ion.demo.forwarding import CLIENTS, LANGUAGES, Options
from ion.errors import RenderError
from ion.notify.blocks import MOST_CHANGES, NOT_SHOWN, PrintedChanges
from ion.notify.templates import HTML_NAME, TEXT_NAME, Templates, built_in_folder
from ion.order import Address, Adjustment, LineItem, Money, Order, Pair
from ion.reading import read_message
from ion.reading.streams import flatten, forms
from ion.seal import SEAL_PATTERN
from tests.forwarding_matrix import explain, matrix, outcome
from tests.orders import (
    KEY,
    bodies_of,
    full_order,
    guarded_orders,
    hub_order,
    mail_of,
    notification_for,
    orders,
    parsed,
    rendered,
    small_order,
)
from tests.revisions import HOSTILE, OLD_SEAL, earlier, revised, sent_again
from tests.thinning import one_in

each_tag = pytest.mark.parametrize("tag", one_in(3, tags()))
IN_THE_SUITE, IN_THE_LONG_RUN, SHARDS = 120, 6000, 6


# What is found


def _line(sku: str | None = None, quantity: int = 1, **stated: Any) -> LineItem:
    return LineItem(sku=sku, quantity=Decimal(quantity), **stated)


def _with_lines(*lines: LineItem) -> Order:
    return small_order().model_copy(update={"lines": lines})


def _told(previous: Order, order: Order) -> list[tuple[str, str, tuple[int, ...], str | None, str | None]]:
    return [(one.kind, one.code, one.index, one.old, one.new) for one in changes(previous, order)]


def test_an_order_that_is_the_same_has_no_changes() -> None:
    for order in (full_order(), small_order(), hub_order(), *guarded_orders().values()):
        assert changes(order, Order.model_validate(order.to_json())) == []


def test_a_value_is_changed_added_or_removed() -> None:
    before = small_order()
    delivery = before.delivery.model_copy(update={"city": "Lima", "name": None, "phone": "123"})
    assert _told(before, before.model_copy(update={"delivery": delivery, "test": True})) == [
        ("added", "order.test", (), None, "1"),
        ("removed", "delivery.name", (), "Ana Ruiz", None),
        ("changed", "delivery.city", (), "Madrid", "Lima"),
        ("added", "delivery.phone", (), None, "123"),
    ]


def test_a_line_is_known_by_what_it_is_wherever_it_stands() -> None:
    a, b, c = _line("A", line_id="1"), _line("B", line_id="2"), _line("C", line_id="3")
    assert _told(_with_lines(a, b, c), _with_lines(b, c)) == [("removed", "line", (0,), None, None)]
    assert _told(_with_lines(b, c), _with_lines(a, b, c)) == [("added", "line", (0,), None, None)]
    assert _told(_with_lines(a, b, c), _with_lines(c, a, b)) == []
    more = b.model_copy(update={"quantity": Decimal(4)})
    assert _told(_with_lines(a, b, c), _with_lines(more, c)) == [
        ("removed", "line", (0,), None, None),
        ("changed", "line.quantity", (0,), "1", "4"),
    ]


def test_lines_that_were_numbered_anew_are_the_same_lines() -> None:
    before = _with_lines(_line("A", line_id="1"), _line("B", line_id="2"), _line("C", line_id="3"))
    after = _with_lines(_line("B", line_id="1"), _line("C", line_id="2"))
    assert _told(before, after) == [
        ("removed", "line", (0,), None, None),
        ("changed", "line.line_id", (0,), "2", "1"),
        ("changed", "line.line_id", (1,), "3", "2"),
    ]


def test_a_line_that_got_another_sku_is_known_by_its_id() -> None:
    before = _with_lines(_line("SHIRT-M", line_id="11"), _line("MUG", line_id="12"))
    after = _with_lines(_line("SHIRT-L", line_id="11"), _line("MUG", line_id="12"))
    assert _told(before, after) == [("changed", "line.sku", (0,), "SHIRT-M", "SHIRT-L")]


def test_of_two_lines_alike_the_one_that_stayed_is_no_change() -> None:
    assert _told(_with_lines(_line("A", 1), _line("A", 2)), _with_lines(_line("A", 2))) == [
        ("removed", "line", (0,), None, None)
    ]
    before = _with_lines(_line("A", 1, line_id="1"), _line("A", 1, line_id="2"))
    after = _with_lines(_line("A", 3, line_id="2"))
    assert _told(before, after) == [
        ("removed", "line", (0,), None, None),
        ("changed", "line.quantity", (0,), "1", "3"),
    ]


def test_lines_with_nothing_in_common_are_removed_and_added() -> None:
    found = changes(_with_lines(_line("A", name="Mug")), _with_lines(_line("B", name="Cup")))
    assert [(one.kind, one.code, one.index) for one in found] == [("removed", "line", (0,)), ("added", "line", (0,))]
    assert [[(entry.field, entry.value) for entry in one.block] for one in found] == [
        [("sku", "A"), ("name", "Mug"), ("quantity", "1")],
        [("sku", "B"), ("name", "Cup"), ("quantity", "1")],
    ]


def test_texts_of_a_list_are_matched_by_what_they_say() -> None:
    before = _with_lines(
        _line("X"),
        _line(
            "A", categories=("a", "b", "c"), attributes=(Pair(name="Size", value="M"), Pair(name="Hue", value="Red"))
        ),
    )
    after = _with_lines(
        _line("A", categories=("c", "b", "d"), attributes=(Pair(name="Hue", value="Red"), Pair(name="Size", value="L")))
    )
    assert _told(before, after)[1:] == [
        ("removed", "line.categories", (0, 0), "a", None),
        ("added", "line.categories", (0, 2), None, "d"),
        ("changed", "line.attributes", (0, 1), '["Size","M"]', '["Size","L"]'),
    ]


def test_a_discount_is_known_by_its_code_and_an_address_added_whole_is_one_change() -> None:
    coupon = Adjustment(code="WINTER", amount=Money(amount=Decimal(5), currency="EUR"))
    less = coupon.model_copy(update={"amount": Money(amount=Decimal("4.5"), currency="EUR")})
    before = small_order().model_copy(update={"discounts": (Adjustment(code="VIP"), coupon)})
    billing = Address(name="Ana", city="Lima", country="PE")
    after = small_order().model_copy(update={"discounts": (less, Adjustment(code="VIP")), "billing": billing})
    assert _told(before, after) == [
        ("changed", "discount.amount", (0,), "5 EUR", "4.5 EUR"),
        ("added", "billing", (), None, None),
    ]
    assert [one.kind for one in changes(after, before)] == ["changed", "removed"]


@given(orders(), orders())
@settings(max_examples=50, deadline=None)
def test_what_is_told_is_true_in_the_order_of_the_contract_and_names_all_that_differs(one: Order, other: Order) -> None:
    _tells_what_differs(one, other)


@pytest.mark.long
@given(orders(), orders())
@settings(max_examples=600, deadline=None)
def test_what_is_told_of_very_many_orders_is_true_and_all(one: Order, other: Order) -> None:
    _tells_what_differs(one, other)


def _tells_what_differs(previous: Order, order: Order) -> None:
    found = changes(previous, order)
    assert found == changes(previous, order)
    olds = Counter((entry.code, entry.value) for entry in order_entries(previous))
    news = Counter((entry.code, entry.value) for entry in order_entries(order))
    removed, added = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for change in found:
        assert change.old != change.new or change.block
        blocks = [(entry.code, entry.value) for entry in change.block]
        removed.update(blocks if change.kind == "removed" else [])
        added.update(blocks if change.kind == "added" else [])
        removed.update([(change.code, change.old)] if change.old is not None else [])
        added.update([(change.code, change.new)] if change.new is not None else [])
    # Taking away and adding what is told makes the new order's values of the old one's.
    assert not removed - olds and not added - news
    assert olds - removed + added == news
    ranks = [_rank(change) for change in found]
    assert [section for section, _ in ranks] == sorted(section for section, _ in ranks)
    for gone in (True, False):
        places = [_rank(one) for one in found if _is_gone(one) is gone]
        assert places == sorted(places)


def _rank(change: Change) -> tuple[int, int]:
    """Where a change belongs: its section and its block."""
    code = change.code.partition(".")[0]
    return list(SECTIONS).index(code), change.index[0] if SECTIONS[code].repeated else 0


def _is_gone(change: Change) -> bool:
    """True for a whole block that was removed: it is numbered as in the previous order."""
    return change.kind == "removed" and bool(change.block)


# What is told


def _box(raw: bytes, tag: str) -> tuple[str, str]:
    """What stands before the title, in text and on the page, blanks as one."""
    text, html, _ = bodies_of(raw)
    shown = (" ".join(text.split()), " ".join(flatten(html).split()))
    title = f"{language(tag).title}:"
    assert all(title in body for body in shown)
    return shown[0].partition(title)[0], shown[1].partition(title)[0]


@each_tag
def test_the_mail_says_first_that_the_order_was_told_of_before_and_what_changed(tag: str) -> None:
    known, order = language(tag), small_order()
    line = order.lines[0].model_copy(update={"quantity": Decimal(3)})
    gone = _line("GONE-1", 7, name="Cup")
    delivery = order.delivery.model_copy(update={"city": "Lima", "name": None})
    previous = order.model_copy(update={"delivery": delivery, "lines": (gone, line)})
    raw = revised(order, previous, tag, read_back=read_message).raw
    label = known.label(SECTIONS["delivery"], "city")
    for box in _box(raw, tag):
        assert box.lstrip("* ").startswith(known.changes["changed"][:20])
        places = [box.index(text) for text in (f"{known.headings['delivery_direct']} - {label}", "Lima", "Madrid")]
        places += [box.index(text) for text in (known.headings["items"], "GONE-1", "Cup")]
        places += [box.index(known.changes["approved"])]
        assert places == sorted(places)
        assert f"{known.heading('line', 1, 1)} - AB-1 - {known.label(SECTIONS['line'], 'quantity')}" in box
        assert known.mail["approved"] not in box
    subjects = ["".join(str(parsed(one)["Subject"]).split()) for one in (raw, rendered(order, tag).raw)]
    assert subjects[0] == f"[{''.join(known.changes['subject_changed'].split())}]{subjects[1]}"


@each_tag
def test_where_nothing_was_told_before_no_word_of_changes_is_in_the_mail(tag: str) -> None:
    known = language(tag)
    raw = rendered(small_order(), tag, revision=2).raw
    for box in _box(raw, tag):
        assert box.strip() == known.mail["approved"]
    assert known.changes["subject_changed"] not in str(parsed(raw)["Subject"])
    assert 'class="changed"' not in bodies_of(raw)[1]


@pytest.mark.parametrize("reason", sorted(guarded_orders()))
def test_an_order_not_to_be_shipped_says_that_before_what_changed(reason: str) -> None:
    known, order = language("en"), guarded_orders()[reason]
    for box in _box(revised(order, small_order().model_copy(update={"status": "x"})).raw, "en"):
        assert box.index(known.mail["do_not_ship"]) < 10 < box.index(known.changes["changed"])
        assert known.changes["approved"] not in box


@each_tag
def test_an_order_that_only_moved_is_told_as_unchanged(tag: str) -> None:
    known = language(tag)
    one, other = _line("A"), _line("B")
    raw = revised(_with_lines(one, other), _with_lines(other, one), tag, read_back=read_message).raw
    for box in _box(raw, tag):
        assert known.changes["unchanged"] in box and known.changes["changed"] not in box
        assert "A" not in box.replace(known.changes["approved"], "").replace(known.changes["unchanged"], "")
    assert known.changes["subject_changed"] not in str(parsed(raw)["Subject"])


def test_no_more_than_twenty_changes_are_listed_and_the_others_counted() -> None:
    for count in (MOST_CHANGES, MOST_CHANGES + 1, 300):
        previous = _with_lines(*(_line(f"A{number}") for number in range(count)))
        order = _with_lines(*(_line(f"A{number}", 2) for number in range(count)))
        printed = PrintedChanges(previous, order, language("en"))
        text, html, _ = bodies_of(revised(order, previous, read_back=read_message).raw)
        (table, *_) = lxml.html.document_fromstring(html).iter("table")
        assert len(printed.rows) == len(table.findall(".//tbody/tr")) <= MOST_CHANGES
        if count == MOST_CHANGES:
            assert printed.more is None and len(printed.rows) == count
        else:
            assert printed.more and f"({count - len(printed.rows)})" in printed.more
            assert printed.more in " ".join(text.split()) and printed.more in html


def test_values_of_a_person_that_the_platform_took_back_are_not_told_again() -> None:
    for flag in ("personal_data_suppressed", "personal_data_encrypted"):
        hidden = Address(country="US")
        update = {"delivery": hidden, "billing": hidden, "customer": small_order().customer, flag: True}
        order = hub_order().model_copy(update=update)
        for box in _box(revised(order, hub_order()).raw, "en"):
            assert "Last name" in box and NOT_SHOWN in box
            assert not re.search("Jenny|Smith|Avenue|10020|porter|555", box)


def test_an_earlier_order_has_to_be_one_of_the_same_number_and_platform() -> None:
    for update in ({"order_number": "other"}, {"platform": "global-e"}):
        with pytest.raises(RenderError, match="another order") as caught:
            revised(small_order(), small_order().model_copy(update=update))
        assert caught.value.field == "order.order_number"


def test_a_template_that_knows_nothing_of_changes_is_rendered_as_ever(tmp_path: Path) -> None:
    for name in (HTML_NAME, TEXT_NAME):
        text = (built_in_folder() / name).read_text("utf-8")
        start, end = (
            text.index("{% if changes %}"),
            text.index("<h1>" if name == HTML_NAME else '\n{{ blocks["opening"]'),
        )
        (tmp_path / name).write_text(text[:start] + text[end:], "utf-8")
        assert "changes" not in (tmp_path / name).read_text("utf-8")
    order = hub_order()
    raw = revised(order, earlier(order), read_back=read_message, templates=Templates(tmp_path)).raw
    assert all(language("en").changes["changed"] not in body for body in bodies_of(raw))
    assert "[CHANGED]" in str(parsed(raw)["Subject"])


def test_the_changes_are_a_table_for_those_who_hear_it() -> None:
    html = bodies_of(revised(small_order(), earlier(small_order())).raw)[1]
    table = next(lxml.html.document_fromstring(html).iter("table"))
    assert [cell.get("scope") for cell in table.findall(".//thead/tr/th")] == ["col"] * 3
    assert all([cell.tag for cell in row] == ["th", "td", "td"] for row in table.findall(".//tbody/tr"))


# What is read


def _exact(raw: bytes, order: Order) -> None:
    (judged,) = read_message(raw, [KEY])
    assert judged.grade == "sealed" and judged.order == order, judged.problems
    assert judged.notification == notification_for(order, revision=2, sequence=8, key_id=KEY.key_id)


@each_tag
def test_a_changed_order_comes_back_exactly_from_each_carrier_alone(tag: str) -> None:
    for order in (small_order(), hub_order(), full_order())[tags().index(tag) % 3 :: 3]:
        raw = revised(order, earlier(order), tag, read_back=read_message).raw
        text, html, document = bodies_of(raw)
        for bodies in ({"text": text}, {"html": html}, {"json": document}, {"text": text, "html": html}):
            _exact(mail_of(**bodies), order)
        _exact(raw, order)


@pytest.mark.parametrize("name", one_in(3, HOSTILE))
def test_no_value_of_the_earlier_order_is_read_or_looks_like_a_label_in_any_language(name: str) -> None:
    order = hub_order().model_copy(update={"lines": small_order().lines})
    for tag in tags()[list(HOSTILE).index(name) % 8 :: 8]:
        text, html, document = bodies_of(revised(order, earlier(order, HOSTILE[name]), tag).raw)
        title = f"{language(tag).title}:"
        for kind, body in (("text", text), ("html", html)):
            for form in forms(kind, body):
                shown = form.text
                head = shown[: next(title_finder().find(shown)).start]
                assert not set(COLONS) & set(head) and not SEAL_PATTERN.search(head), form.repair
                assert not any(list(known.finder.find(head, glued=True)) for known in languages())
            assert body.count(title) == 1
        _exact(mail_of(text=text), order)
        _exact(mail_of(html=html), order)
        _exact(mail_of(text=text, html=html, json=document), order)


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_a_mail_that_lost_its_title_shows_nothing_of_the_earlier_order(name: str) -> None:
    """Without the title the reader looks for headings and labels everywhere."""
    order = small_order()
    for tag in ("en", "de", "ja", "ar"):
        known = language(tag)
        previous = earlier(order, HOSTILE[name].replace("International Order Notification", known.title))
        text, html, _ = bodies_of(revised(order, previous, tag).raw)
        for kind, body in (("text", text), ("html", html)):
            for judged in read_message(mail_of(**{kind: body.replace(f"{known.title}:", "")}), [KEY]):
                assert judged.grade == "review" or judged.order == order
                assert judged.order in (order, None)
                assert judged.seal != OLD_SEAL


def test_old_values_in_place_of_the_new_ones_are_a_contradiction() -> None:
    order = small_order()
    previous = order.model_copy(
        update={
            "delivery": order.delivery.model_copy(update={"city": "Lima"}),
            "lines": (order.lines[0].model_copy(update={"quantity": Decimal(9)}),),
        }
    )
    text, html, document = bodies_of(revised(order, previous).raw)
    for old, new in (("Quantity: 9", "Quantity: 2"), ("City: Lima", "City: Madrid")):
        edited = text.replace(new, old)
        assert edited != text
        (judged,) = read_message(mail_of(text=edited, html=html, json=document), [KEY])
        assert judged.grade == "review" and judged.order == order
        assert [one.grade for one in read_message(mail_of(text=edited), [KEY])] == ["review"]


def test_two_revisions_in_one_text_are_for_a_person() -> None:
    order = small_order()
    first, second = rendered(earlier(order)), revised(order, earlier(order))
    for raws in ((first.raw, second.raw), (second.raw, first.raw)):
        judged = read_message(mail_of(text="\n\n".join(bodies_of(raw)[0] for raw in raws)), [KEY])
        assert [one.grade for one in judged] == ["review"]


@given(orders(), orders(), st.sampled_from(tags()))
@settings(max_examples=60, deadline=None)
def test_any_order_that_was_any_other_before_comes_back_exactly(order: Order, other: Order, tag: str) -> None:
    previous = other.model_copy(update={"platform": order.platform, "order_number": order.order_number})
    result = revised(order, previous, tag, read_back=read_message)
    _exact(result.raw, order)
    for kind, body in zip(("text", "html"), bodies_of(result.raw), strict=False):
        shown = next(forms(kind, body)).text
        head = shown[: next(title_finder().find(shown)).start]
        assert not set(COLONS) & set(head)


# After forwarding


def _held(count: int, first: int) -> Counter[str]:
    """The outcomes. One that is lost must be lost without the list of changes too: then it is not the list's doing."""
    outcomes: Counter[str] = Counter()
    for number, mail in enumerate(matrix(count, first=first, sent=sent_again), first):
        result = outcome(mail)
        assert result in ("exact", "refused", "lost"), explain(mail)
        if result == "lost":
            (plain,) = matrix(1, first=number)
            assert outcome(plain) == "lost", explain(mail)
        outcomes[result] += 1
    return outcomes


@pytest.mark.long
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_changed_order_that_was_forwarded_is_exact_or_no_carrier_arrived_whole(shard: int) -> None:
    size = IN_THE_SUITE // SHARDS
    outcomes = _held(size, 200_000 + shard * size)
    assert outcomes["exact"] > 0.75 * size, outcomes
    assert outcomes["lost"] == 0


@pytest.mark.long
@pytest.mark.parametrize("shard", range(SHARDS))
def test_very_many_changed_orders_that_were_forwarded_are_exact_or_no_carrier_arrived_whole(shard: int) -> None:
    size = IN_THE_LONG_RUN // SHARDS
    outcomes = _held(size, 300_000 + shard * size)
    assert outcomes["exact"] > 0.8 * size, outcomes
    assert outcomes["lost"] <= size / 500, outcomes


@pytest.mark.long
@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_forwards_a_changed_order_as_well_as_a_new_one(client: str) -> None:
    """Whatever the earlier order held, the same mails are proved as where nothing was told before."""
    order = hub_order()
    for number, text in list(enumerate(HOSTILE.values()))[len(client) % 5 :: 5]:
        tag = tags()[(number * 5 + len(client)) % len(tags())]
        options = Options(language=LANGUAGES[number % len(LANGUAGES)], note="Please.", attachments=number % 2 == 0)
        grades = []
        for raw in (rendered(order, tag).raw, revised(order, earlier(order, text), tag).raw):
            judged = read_message(CLIENTS[client](raw, options), [KEY])
            assert all(one.order == order for one in judged if one.grade == "sealed")
            grades.append([one.grade for one in judged])
        assert grades[0] == grades[1], (tag, text[:40])
