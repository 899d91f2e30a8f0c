"""What went in comes out: any order, in every language, from the whole mail and from each of its bodies alone, is
proved and is exactly the order it was."""

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ion.contract import tags
from ion.order import Order
from ion.reading import read_message
from ion.reading.streams import flatten
from tests.orders import (
    KEY,
    OTHER_KEY,
    SOME_TAGS,
    bodies_of,
    full_order,
    guarded_orders,
    hub_order,
    line_texts,
    long_order,
    mail_of,
    orders,
    rendered,
    small_order,
    texts,
)
from tests.thinning import one_in
from tests.ways import WAYS


def comes_back(order: Order, tag: str, **header: object) -> None:
    """`order` rendered, then read from the whole mail and from each body alone."""
    result = rendered(order, tag, **header)  # type: ignore[arg-type]
    text, html, attachment = bodies_of(result.raw)
    for carrier, raw in (
        ("json", result.raw),
        ("text", mail_of(text=text)),
        ("html", mail_of(html=html)),
        ("json", mail_of(json=attachment)),
        ("text", mail_of(text=flatten(html))),
    ):
        (judged,) = read_message(raw, [OTHER_KEY, KEY])
        assert judged.grade == "sealed", [carrier, judged.problems]
        assert judged.order == order
        assert judged.order is not None and judged.order.to_json() == order.to_json()
        assert judged.notification == result.notification
        assert judged.carrier == carrier and judged.seal == result.seal and not judged.problems
        assert judged.language == (tag if carrier != "json" or raw is result.raw else None)


def comes_back_forwarded(order: Order, tag: str, way: str) -> None:
    # No program takes these characters, which are none (Unicode, 23.7).
    assume(not re.search("[\ufffe\uffff]", order.model_dump_json()))
    (judged,) = read_message(WAYS[way](rendered(order, tag).raw), [KEY])
    assert (judged.grade, judged.order) == ("sealed", order), judged.problems


FIXED = {
    "full": full_order(),
    "full, no hub": full_order(hub=False),
    "full, three of everything": full_order(blocks=3),
    "usual": hub_order(),
    "small": small_order(),
    **guarded_orders(),
}


@pytest.mark.parametrize(("name", "tag"), one_in(3, FIXED, SOME_TAGS))
def test_a_fixed_order_comes_back_from_every_carrier(name: str, tag: str) -> None:
    comes_back(FIXED[name], tag)


@pytest.mark.parametrize("tag", one_in(2, tags()))
def test_an_order_with_every_field_comes_back_in_every_language(tag: str) -> None:
    comes_back(full_order(), tag)


@pytest.mark.parametrize("tag", one_in(3, SOME_TAGS))
def test_fifty_full_lines_come_back(tag: str) -> None:
    comes_back(long_order(50), tag)


@given(orders(), st.sampled_from(tags()))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_comes_back_from_every_carrier_in_every_language(order: Order, tag: str) -> None:
    comes_back(order, tag)


@given(line_texts, texts, st.sampled_from(tags()))
@settings(max_examples=40, deadline=None)
def test_any_text_comes_back_wherever_it_stands(lines: str, text: str, tag: str) -> None:
    base = small_order().to_json()
    order = Order.model_validate(
        {
            **base,
            "order_number": text,
            "notes": [lines, text],
            "other": [{"name": text, "value": text}, {"name": text}, {"value": text}],
            "delivery": {"name": text, "address1": lines, "country": "FR", "country_stated": [text]},
            "customs": {"incoterm": text},
            "breakdowns": [{"borne_by": text, "in_currency_of": text}],
        }
    )
    comes_back(order, tag, merchant=text, kind=text)


@given(orders(most=8), st.sampled_from(tags()), st.sampled_from(sorted(WAYS)))
@settings(max_examples=40, deadline=None)
def test_any_order_comes_back_from_a_forward(order: Order, tag: str, way: str) -> None:
    comes_back_forwarded(order, tag, way)


@pytest.mark.long
@given(orders(most=40), st.sampled_from(tags()), st.sampled_from(sorted(WAYS)))
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_very_many_orders_come_back(order: Order, tag: str, way: str) -> None:
    comes_back(order, tag)
    comes_back_forwarded(order, tag, way)
