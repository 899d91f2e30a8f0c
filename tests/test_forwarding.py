"""Forwards: every order comes back exactly from every client, or is refused; no other order is ever accepted.

The mails come from the matrix in `tests.forwarding_matrix`. What is edited in them on the way is edited in all carriers
that are there, in one of them, or in the seal.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from json import dumps

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ion.contract import language, tags
from ion.demo.forwarding import CLIENTS, GATEWAYS, LANGUAGES, Options
from ion.demo.forwarding.options import Parts
from ion.order import Order
from ion.reading import Judged, read_message
from tests.forwarding_matrix import PARTS, explain, matrix, orders, outcome, sent, whole_carriers
from tests.orders import KEY, OTHER_KEY, bodies_of, hub_order, mail_of, rendered, small_order
from tests.orders import orders as generated
from tests.thinning import one_in

IN_THE_SUITE = 240
IN_THE_LONG_RUN = 20_000
SHARDS_IN_THE_SUITE, SHARDS = 4, 10
# Clients that write a charset without the order's letters: an HTML part behind one may have come of that.
LOSSY = ("outlook-legacy", "sylpheed", "becky")


def _held(*, count: int, first: int) -> Counter[str]:
    """None is accepted as another order; where a carrier arrived whole, all are exact."""
    outcomes: Counter[str] = Counter()
    lost = []
    for mail in matrix(count, first=first):
        result = outcome(mail)
        outcomes[result] += 1
        assert result != "wrong", explain(mail)
        if result not in ("exact", "refused"):
            lost.append(f"{result}: {explain(mail)}")
    assert not lost, "\n\n".join(lost[:10])
    return outcomes


@pytest.mark.parametrize("shard", range(SHARDS_IN_THE_SUITE))
def test_every_order_comes_back_exactly_or_no_carrier_arrived_whole(shard: int) -> None:
    size = IN_THE_SUITE // SHARDS_IN_THE_SUITE
    outcomes = _held(count=size, first=shard * size)
    assert outcomes["exact"] > 0.8 * size, outcomes


@pytest.mark.long
@pytest.mark.parametrize("shard", range(SHARDS))
def test_twenty_thousand_orders_come_back_exactly_or_no_carrier_arrived_whole(shard: int) -> None:
    size = IN_THE_LONG_RUN // SHARDS
    outcomes = _held(count=size, first=IN_THE_SUITE + shard * size)
    assert outcomes["exact"] > 0.8 * size, outcomes


@pytest.mark.parametrize("client", one_in(3, CLIENTS))
def test_each_client_in_each_language_returns_the_usual_order(client: str) -> None:
    """The client's language beside the mail's: the words around a mail, whatever they are, are never in the way."""
    grades = []
    for number, words in enumerate(LANGUAGES[len(client) % 6 :: 6]):
        tag = tags()[(number * 5 + len(client)) % len(tags())]
        raw = CLIENTS[client](sent("usual, small", tag), Options(language=words, note="Please.", footer=True))
        (judged,) = read_message(raw, [KEY])
        whole = whole_carriers(raw, small_order(), tag)
        assert judged.grade == "sealed" or not whole, (words, tag, judged.problems)
        assert judged.grade != "sealed" or judged.order == small_order()
        grades.append(judged.grade)
    assert "sealed" in grades, "whatever the client, the order comes through in one language at least"


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_each_gateway_lets_the_usual_order_through(gateway: str) -> None:
    for tag in ("en", "de", "ja", "ar"):
        raw = GATEWAYS[gateway](CLIENTS["gmail"](sent("usual, hub", tag), Options()), Options())
        (judged,) = read_message(raw, [KEY])
        assert judged.grade == "sealed" and judged.order == hub_order(), (tag, judged.problems)


_HOPS = st.tuples(st.sampled_from(sorted(CLIENTS)), st.sampled_from(LANGUAGES), st.sampled_from(PARTS), st.booleans())


def _comes_through(order: Order, tag: str, hops: list[tuple[str, str, Parts, bool]]) -> None:
    # No program takes these characters, which are none (Unicode, 23.7).
    assume(not re.search("[\ufffe\uffff]", order.model_dump_json()))
    raw = rendered(order, tag).raw
    for client, words, parts, attachments in hops:
        raw = CLIENTS[client](raw, Options(language=words, parts=parts, attachments=attachments, note="Please."))
    judged = read_message(raw, [KEY])
    assert all(result.order == order for result in judged if result.grade == "sealed")
    if {"json", "html"} & set(whole_carriers(raw, order, tag)) and not {client for client, *_ in hops} & set(LOSSY):
        assert [result.grade for result in judged] == ["sealed"], judged


@given(generated(most=8), st.sampled_from(tags()), st.lists(_HOPS, min_size=1, max_size=2))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_comes_through_any_chain_or_is_refused(
    order: Order, tag: str, hops: list[tuple[str, str, Parts, bool]]
) -> None:
    _comes_through(order, tag, hops)


@pytest.mark.long
@given(generated(most=20), st.sampled_from(tags()), st.lists(_HOPS, min_size=1, max_size=3))
@settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_very_many_orders_come_through_any_chain_or_are_refused(
    order: Order, tag: str, hops: list[tuple[str, str, Parts, bool]]
) -> None:
    _comes_through(order, tag, hops)


# Repairs


def _told(judged: Judged, code: str) -> list[str]:
    return [problem.message for problem in judged.problems if problem.code == code]


def _read(text: str) -> Judged:
    (judged,) = read_message(mail_of(text=text), [KEY])
    return judged


TEXT, HTML, JSON = bodies_of(rendered(small_order()).raw)
_SEAL_LINE = next(line for line in TEXT.splitlines() if "Seal:" in line)


@pytest.mark.parametrize(
    ("done", "to"),
    [
        ("AB-1", "AB-\n1"),
        ("AB-1", "> AB-\n> 1"),
        ("Gran Via 7 / 2B", "Gran Via 7 /2B"),
        ("Madrid", "Ma\u00addr\u200bid"),
        ("Madrid", "*Madrid*"),
        ("Item 1 of 1:", "*Item 1\nof 1:*"),
        ("2,469.00 EUR", "2,469.00\u00a0EUR?"),
    ],
)
def test_what_a_client_does_to_blanks_and_lines_is_undone(done: str, to: str) -> None:
    assert done in TEXT
    judged = _read(TEXT.replace(done, to))
    assert judged.grade == "sealed" and judged.order == small_order(), judged.problems


def test_a_repair_is_told_with_its_field() -> None:
    judged = _read(TEXT.replace("AB-1", "AB-\n1"))
    (problem,) = judged.problems
    assert (problem.code, problem.field) == ("repair", "line[1].sku") and "without a blank" in problem.message


def test_a_note_between_two_blocks_is_told_and_harmless() -> None:
    heading = "Order totals:" if "Order totals:" in TEXT else f"{language('en').headings['totals']}:"
    noted = TEXT.replace(heading, f"Please hurry with this one!\n\n{heading}")
    judged = _read(noted)
    assert judged.grade == "sealed" and judged.order == small_order()
    assert any("Please hurry" in message for message in _told(judged, "repair"))
    (beside,) = read_message(mail_of(text=noted, json=JSON), [KEY])
    assert beside.grade == "sealed" and any("Please hurry" in message for message in _told(beside, "note"))


def test_a_line_put_between_two_values_of_a_block_is_a_contradiction() -> None:
    changed = TEXT.replace("City: Madrid", "Apartment 9\nCity: Madrid")
    (judged,) = read_message(mail_of(text=changed, json=JSON), [KEY])
    assert judged.grade == "review" and [problem.field for problem in judged.problems] == ["delivery.address1"]
    assert _read(changed).grade == "review"


def test_what_the_text_lost_the_html_may_show() -> None:
    text = TEXT.replace("City: Madrid\n", "")
    html = re.sub(r"<tr><td>Name:</td>.*?</tr>", "", HTML)
    assert text != TEXT and html != HTML
    (judged,) = read_message(mail_of(text=text, html=html), [KEY])
    assert judged.grade == "sealed" and judged.order == small_order()
    assert any("taken from the" in message for message in _told(judged, "repair"))


def test_letters_that_a_charset_lost_are_damage_whatever_label_they_were_in() -> None:
    text, _, document = bodies_of(rendered(small_order(), "de").raw)
    lost = text.encode("ascii", "replace").decode()
    assert "St?ckpreis" in lost
    for body in (lost, text.encode("utf-8").decode("ascii", "replace")):
        (judged,) = read_message(mail_of(text=body, json=document), [KEY])
        assert judged.grade == "sealed" and {problem.code for problem in judged.problems} <= {"damage"}
    assert _read(lost).grade == "sealed", "no letter of a value was lost, only of labels"
    digit = lost.replace("2.469,00", "2.469,01")
    (judged,) = read_message(mail_of(text=digit, json=document), [KEY])
    assert judged.grade == "review"


def test_quotation_marks_left_behind_words_are_taken_away() -> None:
    """Where a gateway leaves out the breaks in front of quoted lines."""
    judged = _read(TEXT.replace("\n", "> "))
    assert judged.grade == "sealed" and judged.order == small_order()
    assert any("quotation marks behind words" in message for message in _told(judged, "repair"))


def test_breaks_in_many_values_that_lost_a_blank_are_found() -> None:
    notes = tuple(f"first {number}\n\nlast {number}" for number in range(12))
    order = small_order().model_copy(update={"notes": notes})
    text, _, _ = bodies_of(rendered(order).raw)
    assert text.count(" / / ") == 12
    judged = _read(text.replace(" / / ", " //").replace("Gran Via 7 / 2B", "Gran Via 7 /2B"))
    assert judged.grade == "sealed" and judged.order == order, judged.problems


@pytest.mark.parametrize("mark", ["?", "??", "\ufffd"])
def test_a_country_that_lost_letters_is_known_by_its_code(mark: str) -> None:
    order = small_order().model_copy(update={"delivery": hub_order().delivery.model_copy(update={"country": "AT"})})
    text, _, _ = bodies_of(rendered(order, "de").raw)
    assert "Österreich (AT)" in text
    judged = _read(text.replace("Österreich (AT)", f"{mark}sterreich (AT)"))
    assert judged.grade == "sealed" and judged.order == order, judged.problems
    assert any("that a charset lost" in message for message in _told(judged, "repair"))
    assert _read(text.replace("Österreich (AT)", f"{mark}sterreich (AU)")).grade == "review"


def test_bold_marks_of_labels_that_are_joined_to_values_are_taken_away() -> None:
    joined = re.sub(r"(?m)^([^:\n]+:)", r"*\1*", TEXT).replace("\n", "")
    assert "Ruiz*Address line 1:*" in joined
    judged = _read(joined)
    assert judged.grade == "sealed" and judged.order == small_order(), judged.problems


def test_an_edited_notification_whose_labels_are_joined_to_values_is_not_passed_over() -> None:
    joined = TEXT.replace("\n", "")
    assert _read(joined).grade == "sealed"
    changed = _read(joined.replace("2,469.00", "2,468.00"))
    assert changed.grade == "review" and any(problem.code == "seal" for problem in changed.problems)


@pytest.mark.parametrize(("tag", "order"), one_in(5, tags(), (small_order(), hub_order())))
def test_a_text_that_lost_every_letter_beyond_ascii_is_read_or_held_and_never_passed_over(
    tag: str, order: Order
) -> None:
    text, html, _ = bodies_of(rendered(order, tag).raw)
    for body in (text.encode("ascii", "replace").decode(), text.encode("ascii", "ignore").decode()):
        judged = _read(body)
        assert judged.grade == "review" or (judged.grade == "sealed" and judged.order == order)
        assert judged.grade == "sealed" or judged.problems
    (shown,) = read_message(mail_of(html=html.encode("ascii", "replace").decode()), [KEY])
    assert shown.grade == "review" or (shown.grade == "sealed" and shown.order == order)


def test_a_seal_alone_makes_no_notification() -> None:
    seal = TEXT.split("Seal: ")[1].split()[0]
    assert read_message(mail_of(text=f"Did you get the order with {seal}?"), [KEY]) == ()
    assert read_message(mail_of(text="INTERNATIONAL ORDER NOTIFICATION\n\nnone today"), [KEY]) == ()
    (held,) = read_message(mail_of(text=f"(ION) ???: ??? {seal}"), [KEY])
    assert held.grade == "review" and held.order is None and held.seal == seal


def test_a_search_for_repairs_ends_soon_however_many_lines_are_broken() -> None:
    order = small_order().model_copy(update={"notes": tuple("a-\nb " * 40 for _ in range(40))})
    broken = bodies_of(rendered(order).raw)[0].replace("-", "-\n").replace("Madrid", "Madrod")
    judged = _read(broken)
    assert judged.grade == "review"


# Edits

_EDITS: dict[str, tuple[str, str]] = {
    "a digit": ("2,469.00", "2,468.00"),
    "a decimal mark": ("2,469.00", "24,690.0"),
    "a currency": ("2,469.00 EUR", "2,469.00 USD"),
    "an address": ("Gran Via 7", "Gran Via 8"),
    "a country": ("Spain (ES)", "France (FR)"),
    "a name": ("Ana Ruiz", "Ana Roiz"),
    "a sign": ("2,469.00", "-2,469.00"),
    "a SKU": ("AB-1", "AB-2"),
    "a letter of another script": ("Madrid", "Mаdrid"),
    "a blank inside a word": ("Madrid", "Mad rid"),
}


def _edited(old: str, new: str) -> dict[str, Callable[[str], str]]:
    plain = {
        "text": lambda body: body.replace(old, new),
        "html": lambda body: body.replace(old, new),
    }
    return {**plain, "json": lambda body: _edited_json(body, old, new)}


def _edited_json(body: str, old: str, new: str) -> str:
    """The same edit where the attachment says the value in its own way."""
    pairs = {"2,469.00": "2469", "Spain (ES)": "ES", "2,469.00 EUR": "2469", "Gran Via 7": "Gran Via 7"}
    news = {"2,468.00": "2468", "France (FR)": "FR", "24,690.0": "24690", "-2,469.00": "-2469"}
    if new.endswith("USD"):
        return body.replace('"EUR"', '"USD"')
    return body.replace(f'"{pairs.get(old, old)}', f'"{news.get(new, new)}')


@pytest.mark.long
@pytest.mark.parametrize(
    ("client", "edit"), one_in(4, ("gmail", "outlook", "mutt-quoted", "apple", "thunderbird", "claws"), _EDITS)
)
def test_an_edited_mail_is_never_accepted_as_another_order(client: str, edit: str) -> None:
    edits = _edited(*_EDITS[edit])
    bodies = {"text": TEXT, "html": HTML, "json": JSON}
    for edited in (("text",), ("html",), ("json",), ("text", "html"), ("text", "html", "json")):
        changed = {kind: edits[kind](body) if kind in edited else body for kind, body in bodies.items()}
        assert {kind for kind in bodies if changed[kind] != bodies[kind]} == set(edited), "the edit is one"
        for kept in (("text", "html", "json"), ("text",), ("html",), ("json",), ("text", "html")):
            raw = CLIENTS[client](_whole_mail({kind: changed[kind] for kind in kept}), Options(note="Hi"))
            grades = set()
            for judged in read_message(raw, [KEY]):
                assert judged.grade != "sealed" or judged.order == small_order(), (edited, kept)
                grades.add(judged.grade)
            if set(kept) == set(bodies) == set(edited):
                assert grades == {"review"}, "edited in all carriers, it is held for a person"


# What shows another value than the one proved, and tries not to look like it

_TEXT_TRICKS: dict[str, Callable[[str], str]] = {
    "a reply below a quoted field": lambda text: re.sub(r"(?m)^", "> ", text).replace(
        "> Quantity: 2", "> Quantity: 2\nQuantity: 5"
    ),
    "a correction in brackets": lambda text: text.replace("Quantity: 2", "Quantity: 2 [NEW: 5]"),
    "a correction that looks like an address": lambda text: text.replace("7 / 2B", "7 / 2B <NEW: Gran Via 9>"),
    "a correction that looks like a link": lambda text: text.replace("Quantity: 2", "Quantity: [2](correct: 5)"),
    "a correction inside a rewritten link": lambda text: text.replace(
        "Quantity: 2",
        "Quantity: 2 <https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fa&data=5\nQuantity: 5\n"
        "Ship it to Bob instead, reserved=0>",
    ),
    "digits turned around": lambda text: text.replace("2,469.00", "\u202e2,469.00"),
    "marks taken out of a value": lambda text: text.replace("AB-1", "AB1"),
    "question marks above an edit": lambda text: f"Can you??? {'?' * 60}\n\n{text.replace('Ana Ruiz', 'Bob Lee')}",
    "question marks behind an edit": lambda text: text.replace("Quantity: 2", f"Quantity: 1 {'?' * 40}"),
    "an edited copy below a true one": lambda text: f"{text}\n\n{text.replace('Madrid', 'Lima')}",
    "the same under a title with another colon": lambda text: (
        text + "\n\n" + text.replace("Madrid", "Lima").replace("Notification:", "Notification\uff1a")
    ),
    "an edited order behind a broken attachment's text": lambda text: (
        '{"ion":1,"notification":,"seal":"7BP0-YS2F-3887-EP42-C0WD"}\n\n' + text.replace("Quantity: 2", "Quantity: 5")
    ),
    "a label that lost its colon": lambda text: text.replace("Country: Spain (ES)", "Country France (FR)"),
    "the seal in front of an edited order": lambda text: text.replace(
        "Order:\n", f"Proof of this notification:\n{_SEAL_LINE}\n\nOrder:\n", 1
    ).replace("Madrid", "Lima"),
    "an edited copy above a quoted one with a remark": lambda text: (
        text.replace("Madrid", "Lima") + "\n" + re.sub(r"(?m)^", "> ", text).replace("> Items:", "thanks!\n> Items:")
    ),
    "a name between a quoted label and its value": lambda text: re.sub(r"(?m)^", "> ", text).replace(
        "> Name: Ana Ruiz", "> Name:\nBob Lee\n> Ana Ruiz"
    ),
    "a word in front of a quotation mark": lambda text: text.replace("City: Madrid", "City: Lima> Madrid"),
    "a digit in front of a quotation mark": lambda text: text.replace("Quantity: 2", "Quantity: 5> 2"),
    "the title of another language": lambda text: text.replace("Madrid", "Lima").replace(
        "International Order Notification", language("de").title
    ),
    "an edited order that lost its headings": lambda text: re.sub(
        r"(?m)^(International|Item 1|Proof).*\n", "", text.replace("Madrid", "Lima")
    ),
    "a number cut to another one": lambda text: text[: text.index("2,469.00") + 1],
}
_HTML_TRICKS = {
    "text where no script runs": "2<noscript>5 (corrected)</noscript>",
    "text of an object": "2<object>5</object>",
    "text of a drawing": "2<svg><text>5</text></svg>",
    "a box with another value": '<span style="opacity:.0">2</span><input value="5">',
    "a picture's text": '<span style="left:-9999px">2</span><img alt="5">',
    "digits laid out backwards": '<bdo dir="rtl">2</bdo>',
    "the same by style": '<span style="unicode-bidi: bidi-override; direction: rtl">2</span>',
    "a comment that one parser never ends": "2<!--x--!> no, 5<!-- -->",
    "initials that are none": "5&gt; 2",
    "a link that decodes to the value": "https://linkprotect.cudasvc.com/url?a=2&amp;c=NOT-TWO-BUT-5",
    "a scheme with a sentence": "2 &lt;http:not-2-but-5&gt;",
    "a scheme with a digit": "2 &lt;tel:5&gt;",
    "a footnote": "2 [5]",
}


@pytest.mark.parametrize("trick", _HTML_TRICKS)
def test_a_page_that_shows_another_value_is_a_contradiction_whatever_hides_it(trick: str) -> None:
    html = HTML.replace("Quantity: 2", f"Quantity: {_HTML_TRICKS[trick]}").replace(
        "</body>", "<p>[5] http://x.y/z</p></body>"
    )
    assert HTML.count("Quantity: 2") == 1
    (judged,) = read_message(mail_of(html=html, json=JSON), [KEY])
    assert judged.grade == "review" and judged.order == small_order()
    assert "line[1].quantity" in {problem.field for problem in judged.problems if problem.code == "contradiction"}
    assert [alone.grade for alone in read_message(mail_of(html=html), [KEY])] == ["review"]


def test_a_page_that_begins_like_the_attachment_is_a_page() -> None:
    page = re.sub(r"\s+", " ", HTML.replace("Quantity: 2", "Quantity: 5"))
    both = "{" + dumps(f"{page}<!--") + ":0," + JSON.strip()[1:]
    assert [judged.grade for judged in read_message(mail_of(html=both, json=JSON), [KEY])] == ["review"]


@pytest.mark.parametrize(
    "headers",
    ['text/plain; name="a.json"', 'text/plain; name="a.rtf"', 'text/plain; name="a.eml"', "text/json", "text/rtf"],
)
def test_a_text_that_is_called_a_file_is_read_as_what_it_is_shown_as(headers: str) -> None:
    edited = mail_of(text=TEXT.replace("Quantity: 2", "Quantity: 5"), json=JSON)
    (held,) = read_message(edited.replace(b"text/plain; charset=utf-8", headers.encode()), [KEY])
    assert held.grade == "review" and held.order == small_order()
    (true,) = read_message(mail_of(text=TEXT).replace(b"text/plain; charset=utf-8", headers.encode()), [KEY])
    assert true.grade == "sealed" and true.order == small_order()


@pytest.mark.parametrize("note", ["", "OK?\n\n", "Geht das? \ufffd\n\n"])
def test_letters_beyond_ascii_that_changed_places_are_a_contradiction(note: str) -> None:
    base = small_order()
    delivery = base.delivery.model_copy(update={"name": "東京太郎", "city": "大阪市", "postal_code": "１２３４"})
    order = base.model_copy(update={"delivery": delivery})
    for old, new in (("大阪市", "市大阪"), ("１２３４", "４３２１")):
        for tag in ("en", "ja"):
            text, html, document = bodies_of(rendered(order, tag).raw)
            bodies = {
                "text": note + text.replace(old, new),
                "html": html.replace("<body", f"{note}<body").replace(old, new),
            }
            (judged,) = read_message(mail_of(**bodies, json=document), [KEY])
            assert judged.grade == "review" and judged.order == order


def test_more_notifications_than_a_mail_can_have_are_held_and_soon() -> None:
    region = f"International Order Notification: N\nProof of this notification:\n{_SEAL_LINE}\n"
    (held,) = read_message(mail_of(text=region * 500, json=JSON), [KEY])
    assert held.grade == "review" and held.problems[0].code == "too-big"


@pytest.mark.parametrize("trick", _TEXT_TRICKS)
def test_a_text_that_shows_another_value_is_a_contradiction_whatever_it_looks_like(trick: str) -> None:
    changed = _TEXT_TRICKS[trick](TEXT)
    assert changed != TEXT
    (judged,) = read_message(mail_of(text=changed, json=JSON), [KEY])
    assert judged.grade == "review" and judged.order == small_order()
    assert any(problem.code == "contradiction" for problem in judged.problems)


@pytest.mark.parametrize(
    ("true", "edited"),
    [("Anna Müller", "Anna Mäller"), ("１－２－３", "１－２－４"), ("東京", "京"), ("Ñuñoa", "Nuñoa")],
)
def test_a_lost_letter_elsewhere_hides_no_edited_one(true: str, edited: str) -> None:
    base = small_order()
    order = base.model_copy(update={"delivery": base.delivery.model_copy(update={"name": true})})
    text, _, document = bodies_of(rendered(order, "de").raw)
    for note in ("", "Geht das heute noch?\n\n", "Gr\ufffd\ufffde\n\n"):
        (judged,) = read_message(mail_of(text=note + text.replace(true, edited), json=document), [KEY])
        assert judged.grade == "review" and judged.order == order
        assert [problem.field for problem in judged.problems] == ["delivery.name"]


@pytest.mark.parametrize(
    "marked",
    ["<s>{}</s>", "<del>{}</del>", "<strike>{}</strike>", '<span style="text-decoration: line-through">{}</span>'],
)
def test_a_value_that_is_struck_out_is_a_contradiction(marked: str) -> None:
    html = HTML.replace("Quantity: 2", f"Quantity: {marked.format(2)}")
    assert html != HTML
    (judged,) = read_message(mail_of(html=html, json=JSON), [KEY])
    assert judged.grade == "review" and "line[1].quantity" in {problem.field for problem in judged.problems}
    (alone,) = read_message(mail_of(html=html), [KEY])
    assert alone.grade == "review"


def test_a_text_behind_a_heading_is_told() -> None:
    heading = f"{language('en').headings['delivery_direct']}:"
    assert heading in TEXT
    text = TEXT.replace(heading, f"{heading}\nc/o Bob, Gran Via 99, Lima")
    (judged,) = read_message(mail_of(text=text, json=JSON), [KEY])
    assert judged.order == small_order() and any("Gran Via 99" in message for message in _told(judged, "note"))


def test_another_order_below_one_that_is_proved_is_read_too() -> None:
    other = small_order().model_copy(update={"order_number": "999"})
    below = bodies_of(rendered(other, "de").raw)[0]
    judged = read_message(mail_of(text=f"{TEXT}\n\n{below}", json=JSON), [KEY])
    assert [(one.grade, one.order) for one in judged] == [("sealed", small_order()), ("sealed", other)]


def _whole_mail(bodies: dict[str, str]) -> bytes:
    head = b"From: ION <ion@platform.example>\r\nTo: orders@shop.example\r\nDate: Mon, 23 Nov 2026 19:20:05 +0000\r\n"
    return (
        head
        + b"Message-ID: <1@platform.example>\r\n"
        + mail_of(**bodies).replace(
            b"application/json; charset=utf-8",
            b'application/json; name="ion-1.json"\r\nContent-Disposition: attachment',
        )
    )


@pytest.mark.long
def test_random_edits_of_forwarded_mails_are_never_accepted_as_another_order() -> None:
    accepted: Counter[bool] = Counter()
    for number, mail in enumerate(matrix(3000, first=50_000)):
        chosen = random.Random(number)
        raw = _tampered(mail.raw, chosen)
        for judged in read_message(raw, [KEY, OTHER_KEY]):
            if judged.grade == "sealed":
                assert judged.order == orders()[mail.order_name], mail.name
            accepted[judged.grade == "sealed"] += 1
    assert accepted[False] > 300, accepted


def _tampered(raw: bytes, chosen: random.Random) -> bytes:
    """A letter or digit changed, a line taken out, doubled or swapped, a part cut off, or another seal."""
    lines = raw.split(b"\r\n")
    place = chosen.randrange(len(lines))
    match chosen.randrange(6):
        case 0:
            places = [found.start() for found in re.finditer(rb"[A-Za-z0-9]", raw)]
            for at in chosen.sample(places, 3):
                raw = raw[:at] + bytes([chosen.choice(b"0123456789ABCxyz")]) + raw[at + 1 :]
            return raw
        case 1:
            del lines[place]
        case 2:
            lines.insert(place, lines[place])
        case 3:
            other = chosen.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
        case 4:
            lines = lines[: max(place, 20)]
        case _:
            return re.sub(rb"[0-9A-Z]{4}(-[0-9A-Z]{4}){4}", b"0000-1111-2222-3333-4444", raw)
    return b"\r\n".join(lines)


@pytest.mark.parametrize("kind", ["text", "html", "json"])
def test_a_seal_made_with_another_key_is_reviewed(kind: str) -> None:
    text, html, attachment = bodies_of(rendered(small_order(), key=OTHER_KEY).raw)
    bodies = {"text": text, "html": html, "json": attachment}
    (judged,) = read_message(mail_of(**{kind: bodies[kind]}), [KEY])
    assert judged.grade == "review" and {problem.code for problem in judged.problems} == {"key"}


@pytest.mark.parametrize("kind", ["text", "html", "json"])
def test_a_true_seal_under_another_order_is_reviewed(kind: str) -> None:
    other = rendered(small_order().model_copy(update={"order_number": "123-45679"}))
    true = rendered(small_order()).seal
    bodies = dict(zip(("text", "html", "json"), bodies_of(other.raw), strict=True))
    forged = bodies[kind].replace(other.seal, true)
    assert forged != bodies[kind]
    (judged,) = read_message(mail_of(**{kind: forged}), [KEY])
    assert judged.grade == "review" and {problem.code for problem in judged.problems} == {"seal"}
