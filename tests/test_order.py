"""What the order model promises: canonical text, exact decimals, nothing half, nothing changed afterwards."""

import json
import unicodedata
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ion.order import (
    MAX_DIGITS,
    MAX_TEXT,
    Address,
    Adjustment,
    LineItem,
    Money,
    Number,
    Order,
    Pair,
    Payment,
    canonical_decimal,
    canonical_text,
    decimal_text,
    pruned,
    read_decimal,
)
from tests.orders import full_order, long_order, model_leaves, numbers, orders, small_order, wild_texts

any_text = st.text(st.characters(codec=None, categories=None), max_size=40) | wild_texts
number = TypeAdapter(Number)


# Text


@given(any_text, st.booleans())
@example("e\u0301\u034f\u0301", False)
@example("\u1e9b\u0323", False)
@example("\ud83d", True)
@example("\ud83d\ude00", False)
@example(" \u200b \n\u00ad\n a", True)
@example("a \u200b\r\n\x00 \u2029b", True)
def test_canonical_text_is_its_own_canonical_text(text: str, lines: bool) -> None:
    once = canonical_text(text, lines=lines)
    assert once is None or canonical_text(once, lines=lines) == once


@given(any_text)
def test_canonical_text_is_nfc_trimmed_and_can_be_written_as_utf8(text: str) -> None:
    canonical = canonical_text(text)
    if canonical is None:
        return
    assert unicodedata.is_normalized("NFC", canonical)
    assert canonical == " ".join(canonical.split())
    assert canonical.encode().decode() == canonical
    assert not any(unicodedata.category(char) == "Cc" for char in canonical)


@given(any_text)
def test_canonical_lines_hold_no_break_but_lf_and_each_line_is_canonical(text: str) -> None:
    canonical = canonical_text(text, lines=True)
    if canonical is None:
        return
    lines = canonical.split("\n")
    assert lines[0] and lines[-1]
    assert lines == [canonical_text(line) or "" for line in lines]


@pytest.mark.parametrize(
    "char", [*"\u00ad\u034f\u061c\u200b\u200e\u200f\u2060\ufeff\u202a\u202e\u2066\u2069\x00\x08\x1b\x7f\x9f"]
)
def test_characters_nobody_sees_are_removed(char: str) -> None:
    assert canonical_text(f"{char}Al{char}ice{char}") == "Alice"
    assert canonical_text(char) is None


@pytest.mark.parametrize("text", ["👩\u200d🚀", "نامه\u200cای", "क\u094d\u200dष", "🇳🇿", "❤\ufe0f"])
def test_joiners_of_names_and_emoji_are_kept(text: str) -> None:
    assert canonical_text(text) == text


@pytest.mark.parametrize(
    "blank", [*" \t\u00a0\u1680\u2003\u2007\u202f\u205f\u3000\x1f\x85", "\r\n", "\u2028", " \u00a0 "]
)
def test_every_kind_of_blank_is_one_space(blank: str) -> None:
    assert canonical_text(f"{blank}New{blank}York{blank}") == "New York"
    assert canonical_text(blank) is None
    assert canonical_text(blank, lines=True) is None


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", " \n "])
def test_every_kind_of_line_end_is_lf_where_lines_are_kept(end: str) -> None:
    assert canonical_text(f"{end}Dock 4{end}GE1{end}{end}Derby{end}", lines=True) == "Dock 4\nGE1\n\nDerby"


def test_lone_surrogates_become_replacement_characters() -> None:
    assert set(canonical_text("\ud800") or "") == {"\ufffd"}
    assert Order(platform="zonos", order_number="1\udfff").order_number.startswith("1\ufffd")


def test_text_of_any_length_up_to_the_limit_is_kept_and_beyond_it_refused() -> None:
    assert Pair(name="x" * MAX_TEXT).name == "x" * MAX_TEXT
    with pytest.raises(ValidationError, match=str(MAX_TEXT)):
        Pair(name="x" * (MAX_TEXT + 1))


# Decimals


@given(numbers)
def test_decimals_are_kept_digit_for_digit(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert read_decimal(text) == value
    assert "E" not in text and not (("." in text) and text.endswith("0")) and text not in ("-0", "")
    assert number.validate_python(text) == value
    assert json.loads(number.dump_json(value)) == text


@pytest.mark.parametrize(
    ("given_text", "exact"),
    [
        ("235.74993308058803207162312511", "235.74993308058803207162312511"),
        ("0.8774285714285714285714285714", "0.8774285714285714285714285714"),
        ("12345678901234567890123456789.01", "12345678901234567890123456789.01"),
        ("20.000000", "20"),
        ("-0.00", "0"),
        ("1E+3", "1000"),
        ("1e-7", "0.0000001"),
        ("9" * 60 + "." + "9" * 60, "9" * 60 + "." + "9" * 60),
    ],
)
def test_long_decimals_are_exact_and_lose_only_trailing_zeros(given_text: str, exact: str) -> None:
    assert str(Money(amount=given_text).model_dump(mode="json")["amount"]) == exact
    assert decimal_text(Decimal(given_text)) == exact


ABSURD = [
    "1e999999999",
    "-1e999999999",
    "1e-999999999",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "1e60",
    "1e-61",
    "9" * 61,
    "9" * 5000,
    "0." + "1" * 61,
    "1." + "0" * 150 + "1",
    "1e60000",
    "NaN",
    "sNaN",
    "Infinity",
    "-inf",
    "",
    "1,5",
    "1 5",
    "1_000",
    "0x10",
    "½",
]


@pytest.mark.parametrize("absurd", ABSURD)
def test_absurd_numbers_are_refused_at_once_and_never_rounded(absurd: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_decimal(absurd)
    with pytest.raises(ValidationError):
        number.validate_python(absurd)
    with pytest.raises(ValidationError):
        number.validate_json(json.dumps(absurd))


@pytest.mark.parametrize("absurd", ["1e999999999", "1e-999999999", "9" * 61, "NaN", "Infinity"])
def test_absurd_decimals_are_refused_too(absurd: str) -> None:
    with pytest.raises(ValidationError):
        number.validate_python(Decimal(absurd))


@pytest.mark.parametrize("wrong", [1.5, 1e400, float("nan"), True, False, None, [], {}, timedelta(1), b"1"])
def test_what_is_no_exact_number_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        number.validate_python(wrong)


def test_a_number_of_the_payload_never_passes_through_binary() -> None:
    with pytest.raises(ValidationError, match="binary float"):
        Money.model_validate_json('{"amount": 38.0}')
    assert Money.model_validate_json('{"amount": 38}').amount == 38


@given(st.integers(-(10**70), 10**70))
def test_whole_numbers_are_taken_up_to_the_limit(whole: int) -> None:
    if len(str(abs(whole))) <= MAX_DIGITS:
        assert number.validate_python(whole) == whole
    else:
        with pytest.raises(ValidationError):
            number.validate_python(whole)


def test_zero_has_one_form() -> None:
    assert [str(canonical_decimal(Decimal(zero))) for zero in ("0", "-0", "0.00", "0e5", "0e-999999")] == ["0"] * 5


# The model


def test_every_leaf_of_the_fixed_full_order_is_set() -> None:
    stated = _paths(full_order().to_json())
    assert stated == {_whole(path) for path, _, _ in model_leaves(Order)}


@pytest.mark.parametrize("order", [full_order(), full_order(hub=False), small_order(), long_order(3)])
def test_a_fixed_order_survives_json(order: Order) -> None:
    assert Order.model_validate(json.loads(json.dumps(order.to_json()))) == order
    assert Order.model_validate_json(order.model_dump_json()) == order


@given(orders())
@settings(max_examples=150)
def test_any_order_survives_json_and_hides_nothing_in_it(order: Order) -> None:
    document = order.to_json()
    assert Order.model_validate(json.loads(json.dumps(document))) == order
    assert Order.model_validate(document).to_json() == document
    assert document == pruned(document)
    assert not _holds(document, (None, False, "", [], {})), "what is not stated is left out"
    assert not _holds_float(document)


@pytest.mark.parametrize("part", [full_order(), full_order().hub, full_order().lines[0], full_order().totals.charged])
def test_an_order_and_its_parts_never_change(part: Any) -> None:
    for name in type(part).model_fields:
        with pytest.raises(ValidationError):
            setattr(part, name, None)
        assert not isinstance(getattr(part, name), list | dict | set)
    hash(part)


def test_what_is_unknown_or_wrong_is_refused() -> None:
    cases: list[dict[str, Any]] = [
        {"surprise": 1},
        {"platform": "shopify"},
        {"order_number": ""},
        {"order_number": " \u200b"},
        {"order_number": None},
        {"delivery": {"country": "USA"}},
        {"delivery": {"country": "us"}},
        {"delivery": {"country": "US\n"}},
        {"delivery": {"country_stated": [""]}},
        {"lines": [{"sku": "x"}]},
        {"totals": {"charged": {"amount": "1", "currency": "EURO"}}},
        {"totals": {"charged": {"amount": "1", "currency": "eur"}}},
        {"totals": {"charged": {"amount": "1", "currency": "EUR\n"}}},
        {"totals": {"charged": {"currency": "EUR"}}},
        {"other": [{}]},
        {"other": [{"name": " "}]},
        {"payment": {"card_last_four": "4111 1111 1111 4242"}},
        {"payment": {"card_last_four": "٤٢٤٢٤"}},
        {"notes": [" \n "]},
    ]
    for wrong in cases:
        with pytest.raises(ValidationError):
            Order.model_validate({"platform": "zonos", "order_number": "1", **wrong})
    assert Payment(card_last_four="**** 4242").card_last_four == "**** 4242"


def test_elements_that_state_nothing_are_not_kept_and_zero_is_stated() -> None:
    empty = Order.model_validate(
        {"platform": "zonos", "order_number": "1", "discounts": [{}, {"quantity": 0}, {"name": " "}], "parcels": [{}]}
    )
    assert empty.discounts == (Adjustment(quantity=Decimal(0)),)
    assert empty.parcels == ()
    assert Address().is_empty() and not Address(city="x").is_empty()
    assert not LineItem(quantity=Decimal(0)).is_empty()


def test_the_total_of_the_parts_is_exact() -> None:
    order = small_order()
    assert order.total_of_parts() == Decimal(2469)
    long = Decimal("0.8774285714285714285714285714")
    line = LineItem(quantity=long, unit_price_customer=Money(amount=long))
    total = order.model_copy(update={"lines": (line,)}).total_of_parts()
    assert total is not None and Fraction(total) == Fraction(long) ** 2
    for tiny, huge in ((Decimal("1e-60"), Decimal("1e59")), (Decimal("9" * 60 + "." + "9" * 60), Decimal("1e-60"))):
        line = LineItem(quantity=tiny, unit_price_customer=Money(amount=tiny))
        other = LineItem(quantity=huge, unit_price_customer=Money(amount=huge))
        total = order.model_copy(update={"lines": (line, other)}).total_of_parts()
        assert total is not None and Fraction(total) == Fraction(tiny) ** 2 + Fraction(huge) ** 2
    assert order.model_copy(update={"lines": (LineItem(quantity=Decimal(1)),)}).total_of_parts() is None


def test_why_not_to_ship_is_told_in_order() -> None:
    assert full_order().do_not_ship == ("test", "replacement", "documents", "encrypted", "suppressed")
    assert small_order().do_not_ship == ()
    assert full_order().ships_to_hub and not full_order(hub=False).ships_to_hub


def _whole(path: str) -> str:
    return path.replace("[]", "")


def _paths(value: Any, path: str = "") -> set[str]:
    """The paths of all leaves of plain values; money and pairs count as one leaf."""
    if isinstance(value, dict) and value.keys() not in ({"amount", "currency"}, {"name", "value"}):
        return {found for key, inner in value.items() for found in _paths(inner, f"{path}.{key}")}
    if isinstance(value, list):
        return {found for inner in value for found in _paths(inner, path)}
    return {path.strip(".")}


def _holds(value: Any, wanted: tuple[Any, ...]) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return any(_holds(one, wanted) or any(one is w or (one == w and w != 0) for w in wanted) for one in inner)
    return False


def _holds_float(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(_holds_float(one) for one in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, float)
