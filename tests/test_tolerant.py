"""JSON as people paste it: what is valid is read exactly, what pasting broke is mended and told, the rest is refused
with its place."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.errors import PayloadError
from ion.payloads.tolerant import MAX_BYTES, MAX_DEPTH, load

FOLDER = Path(__file__).parent / "payloads"


def mends(text: str) -> str:
    return "\n".join(load(text)[1])


def value(text: str | bytes) -> Any:
    return load(text)[0]


def refusal(text: str | bytes) -> str:
    with pytest.raises(PayloadError) as refused:
        load(text)
    return str(refused.value)


def test_valid_json_is_read_without_a_word() -> None:
    assert load('{"a": [1, "x", null, true, {"b": -0.50}]}') == (
        {"a": [1, "x", None, True, {"b": Decimal("-0.50")}]},
        (),
    )


def test_numbers_keep_every_digit_in_both_ways_of_reading() -> None:
    digits = "235.74993308058803207162312511"
    for text in (f'{{"a": {digits}}}', f'{{"a": {digits},}}'):
        assert value(text) == {"a": Decimal(digits)}
        assert type(value(text)["a"]) is Decimal
    assert type(value('{"a": 7,}')["a"]) is int


@pytest.mark.parametrize("blank", ["\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\u2028"])
def test_unusual_blanks_between_tokens_are_mended(blank: str) -> None:
    text = f'{{\n{blank}{blank}"a":{blank}1,\n{blank}"b"{blank}: [1,{blank}2]{blank}}}'
    assert value(text) == {"a": 1, "b": [1, 2]}
    assert "unusual blanks" in mends(text)
    assert "line 2, 3" in mends(text)


@pytest.mark.parametrize(
    "inside",
    ["a\u00a0b", "\u201cquoted\u201d", "x, }", "[1,]", "it\u2019s", "{\u201ca\u201d: 1,}", "\u2003", 'a\\"b,}'],
)
def test_the_inside_of_a_quoted_text_is_never_mended(inside: str) -> None:
    text = f'{{"a": "{inside}" "b": 1}}'  # the missing comma sends it through the scanner
    assert value(text) == {"a": json.loads(f'"{inside}"'), "b": 1}
    assert mends(text) == "mended: missing comma, 1 time(s), line 1"


def test_typographic_quotes_around_texts_are_mended() -> None:
    text = '{“CurrencyCode”: ”CAD”, "b": „x“, “c”: “say ”hi” to me”}'
    assert value(text) == {"CurrencyCode": "CAD", "b": "x", "c": "say ”hi” to me"}
    assert "typographic quotes around a text, 5 time(s)" in mends(text)


def test_a_missing_comma_between_members_is_mended() -> None:
    assert value('{"a": "1"\n "b": {"c": 2} "d": [{"e": 3} {"f": 4}]}') == {
        "a": "1",
        "b": {"c": 2},
        "d": [{"e": 3}, {"f": 4}],
    }


@pytest.mark.parametrize("text", ['{"a": [1 2]}', '{"a": 1 2}', '{"a": [1 true]}', '{"a": 1 true}'])
def test_a_missing_comma_between_numbers_or_words_is_refused_for_they_might_be_one(text: str) -> None:
    assert "expected a comma or" in refusal(text)


def test_trailing_commas_are_mended() -> None:
    text = '{"a": [1, 2,], "b": {"c": 1,},\n}'
    assert value(text) == {"a": [1, 2], "b": {"c": 1}}
    assert "comma before a closing bracket, 3 time(s), line 1" in mends(text)


@pytest.mark.parametrize("text", ['{"a": 1,,}', "{,}", '{"a": [,1]}', '{"a": [1,,2]}', '{"a": ,}'])
def test_a_comma_without_a_member_before_it_is_refused(text: str) -> None:
    refusal(text)


def test_a_raw_line_break_in_a_text_is_mended() -> None:
    assert value('{"a": "one\n   two\tthree"}') == {"a": "one\n   two\tthree"}
    assert "raw line break" in mends('{"a": "one\ntwo"}')


def test_a_backslash_that_escapes_nothing_is_kept_and_told() -> None:
    assert value(r'{"a": "cloud.example\Jacket \" \\ \u00e9 \ud83d\ude00"}') == {"a": 'cloud.example\\Jacket " \\ é 😀'}
    assert "backslash" in mends(r'{"a": "b\Jacket"}')


def test_keys_are_trimmed_and_that_is_told() -> None:
    assert load('{" URL ": 1, "b\u00a0": 2}') == ({"URL": 1, "b": 2}, ("blanks around 2 key(s) removed",))


def test_a_key_given_twice_is_refused_unless_the_value_is_the_same() -> None:
    assert value('{"a": 1, "a": 1}') == {"a": 1}
    for text in ('{"a": 1, "a": 2}', '{"a": 1, "a ": "1"}', '{"a": 1, "a": true}', '{"a": 1, "a": 2,}'):
        assert '"a" is given twice' in refusal(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(number: str) -> None:
    assert "expected" in refusal(f'{{"a": {number}}}')
    assert "expected" in refusal(f'{{"a": {number},}}')


@pytest.mark.parametrize("text", ['{"a": 01,}', '{"a": +1}', '{"a": 1.}', '{"a": .5}', '{"a": 1e,}', '{"a": 0x1F}'])
def test_numbers_of_other_languages_are_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("text", ['{"a": %s}', '{"a": %s,}'])
def test_a_number_too_long_or_too_large_is_refused(text: str) -> None:
    assert "5000 characters" in refusal(text % ("9" * 5000))
    assert "too large" in refusal(text % "1.5e99999999999999999999")


@pytest.mark.parametrize("text", ["", "   ", "\ufeff", b""])
def test_nothing_is_refused(text: str | bytes) -> None:
    assert "empty" in refusal(text)


@pytest.mark.parametrize(("text", "kind"), [("[1]", "a list"), ('"x"', "a text"), ("3", "a number"), ("null", "null")])
def test_anything_but_an_object_is_refused(text: str, kind: str) -> None:
    assert refusal(text) == f"the payload is {kind}; expected a JSON object"


def test_octets_may_be_utf_8_with_or_without_mark_and_utf_16_with_mark() -> None:
    text = '{"a": "é漢😀"}'
    for raw in (
        text.encode(),
        text.encode("utf-8-sig"),
        b"\xff\xfe" + text.encode("utf-16-le"),
        b"\xfe\xff" + text.encode("utf-16-be"),
    ):
        assert load(raw) == ({"a": "é漢😀"}, ())


def test_octets_of_another_encoding_are_refused_with_the_place() -> None:
    assert "octet 7 is not UTF-8" in refusal('{"a": "é"}'.encode("latin-1"))
    assert "UTF-16" in refusal(b"\xff\xfe{\x00\x00\xd8")


def test_an_error_names_line_and_column_and_what_was_expected() -> None:
    assert refusal('{\n  "a": 1,\n  b: 2\n}') == 'line 3, column 3: found "b", expected a key in quotes or }'
    assert refusal('{"a": ') == (
        "line 1, column 7: found the end of the payload, "
        "expected a value (a text in quotes, a number, true, false, null, { or [)"
    )
    assert "expected the end of the payload" in refusal('{"a": 1} and more')
    assert "expected a colon" in refusal('{"a" 1}')
    assert "expected a quote that ends this text" in refusal('{"a": "b')


def test_a_text_that_does_not_end_never_swallows_the_next_member() -> None:
    refusal('{"a": "b,\n "c": "d"}')


def test_depth_is_bounded_without_a_recursion_error() -> None:
    def deep(levels: int) -> str:
        return '{"a":' * levels + "1" + "}" * levels

    assert value(deep(MAX_DEPTH))
    for text in (deep(MAX_DEPTH + 1), deep(MAX_DEPTH + 1)[:-1] + ",}", deep(100_000), "[" * 500_000, '{"a":[' * 1000):
        assert "nested deeper" in refusal(text)


def test_size_is_bounded() -> None:
    assert "larger than" in refusal(" " * (MAX_BYTES + 1))
    assert "larger than" in refusal(b" " * (MAX_BYTES + 1))


def test_mending_a_large_payload_takes_seconds_at_most() -> None:
    text = '{"a": [' + ",\u00a0".join('{"k": "some text that is read", "n": 12.34}' for _ in range(20_000)) + ",]}"
    started = time.monotonic()
    assert len(value(text)["a"]) == 20_000
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("global-e-send-order-1", ["unusual blanks", "missing comma", "comma before a closing bracket"]),
        ("global-e-send-order-2", ["raw line break", "missing comma", "comma before a closing bracket"]),
        ("global-e-create-order-response", []),
        ("global-e-payment-1", ["unusual blanks"]),
        ("global-e-payment-2", []),
        ("global-e-refund", ["unusual blanks", "typographic quotes"]),
    ],
)
def test_the_documented_samples_are_read_as_they_stand_on_the_page(name: str, warned: list[str]) -> None:
    _, told = load((FOLDER / f"{name}.json").read_bytes())
    assert len(told) == len(warned)
    assert all(any(part in warning for warning in told) for part in warned)


def test_a_remark_after_a_value_is_refused_with_its_place() -> None:
    text = (FOLDER / "global-e-return-update.json").read_bytes()
    assert refusal(text).startswith("line 2, column ")


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text().map(str.strip), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text().map(str.strip), json_values, max_size=4), st.booleans())
@settings(deadline=None)
def test_any_json_object_is_read_as_the_standard_library_reads_it(document: dict[str, Any], spaced: bool) -> None:
    text = json.dumps(document, ensure_ascii=spaced, indent=1 if spaced else None)
    # Inner keys are trimmed too, so only what has no such keys can be compared.
    assert value(text) == document
    if len(document):
        mended, told = load(text[:-1] + ",}")
        assert mended == document
        assert told


@given(st.text() | st.text(alphabet='{}[]",:\\ \n\u00a0“”1-.etrufalsn').map(lambda tail: "{" + tail) | st.binary())
@settings(max_examples=500, deadline=None)
def test_any_text_is_an_object_or_a_payload_error(text: str | bytes) -> None:
    try:
        found, told = load(text)
    except PayloadError as error:
        str(error).encode()
    else:
        assert isinstance(found, dict)
        "".join(told).encode()
