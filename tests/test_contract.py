"""The contract: one table for both directions, unambiguous catalogues, printed forms with a strict inverse, and a
canonical text that no two notifications share."""

import re
import string
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ion.contract import (
    CONTRACT_VERSION,
    FIELDS,
    ORDER_SECTIONS,
    SECTIONS,
    Entry,
    Kind,
    Language,
    Notification,
    Unreadable,
    canonical_bytes,
    entries,
    from_entries,
    language,
    languages,
    order_entries,
    print_value,
    read_value,
    tags,
)
from ion.contract.anchors import AnchorFinder, Known, is_ideographic
from ion.contract.fields import HEADER_SECTIONS
from ion.contract.forms import guard, pair_text
from ion.contract.languages import Anchor, expected_labels, title_finder
from ion.errors import SettingError
from ion.order import Country, Money, Order, Pair, SomeLines, canonical_text, decimal_text
from ion.seal import key_of, make_seal, verify_seal
from tests.orders import (
    LABELS,
    canonical_values,
    full_order,
    line_texts,
    model_leaves,
    notification_for,
    numbers,
    orders,
    small_order,
    texts,
)

EN, DE, FR = language("en"), language("de"), language("fr")
every_tag = st.sampled_from(tags())
each_language = pytest.mark.parametrize("known", list(languages()), ids=tags())


# The table


def test_every_leaf_of_the_order_has_exactly_one_row_and_every_row_a_leaf() -> None:
    leaves = [path for path, _, _ in model_leaves(Order)]
    rows = [
        _row_path(section.path, section.repeated, name.name) for section in ORDER_SECTIONS for name in section.fields
    ]
    assert Counter(rows) == Counter(leaves)
    assert max(Counter(rows).values()) == 1


def test_every_field_of_the_header_has_exactly_one_row() -> None:
    rows = Counter(field.name for section in HEADER_SECTIONS for field in section.fields)
    assert rows == Counter(list(Notification.model_fields))


def test_the_kind_of_every_row_fits_the_type_of_its_leaf() -> None:
    fitting = {Money: {Kind.MONEY}, Pair: {Kind.PAIR}, Decimal: {Kind.NUMBER}, bool: {Kind.FLAG}}
    rows = {
        _row_path(section.path, section.repeated, field.name): field
        for section in ORDER_SECTIONS
        for field in section.fields
    }
    lined = _annotated_leaves(SomeLines.__metadata__)  # type: ignore[attr-defined]
    coded = _annotated_leaves(Country.__metadata__)  # type: ignore[attr-defined]
    for path, kind, repeated in model_leaves(Order):
        row = rows[path]
        assert row.repeated == repeated, path
        assert row.kind in fitting.get(kind, {Kind.TEXT, Kind.LINES, Kind.COUNTRY, Kind.WORD}), path
        name = path.rpartition(".")[2]
        assert (row.kind == Kind.LINES) == (name in lined), path
        assert (row.kind == Kind.COUNTRY) == (name in coded), path


def test_the_catalogues_name_the_words_of_every_word_field_and_no_others() -> None:
    fields = {field.name for section in SECTIONS.values() for field in section.fields if field.kind == Kind.WORD}
    for known in languages():
        assert set(known.words) == fields | {"flag", "currency"}


def test_a_full_order_has_an_entry_for_every_row() -> None:
    assert {entry.code for entry in entries(notification_for(full_order(), key_id="K"), full_order())} == set(FIELDS)


# The catalogues


LANGUAGES = """ar cs da de el es fi fr he hr hu it ja ko nb nl pl pt pt-BR ro ru sk sv tr uk zh-CN zh-TW""".split()


def test_every_language_of_the_contract_is_there_and_english_is_first() -> None:
    assert tags() == ("en", *LANGUAGES)
    assert language("DE") is language("de") or language("DE") == language("de")
    with pytest.raises(SettingError, match="en, ar, cs"):
        language("xx")


@each_language
def test_a_catalogue_labels_every_field_and_nothing_else(known: Language) -> None:
    assert {group: set(labels) for group, labels in known.labels.items()} == expected_labels()


@each_language
def test_a_catalogue_has_the_headings_words_phrases_and_placeholders_of_the_english_one(known: Language) -> None:
    prose = ((known.mail, EN.mail), (known.changes, EN.changes), (known.alerts, EN.alerts), (known.report, EN.report))
    for mine, english in ((known.headings, EN.headings), *prose):
        assert mine.keys() == english.keys()
        for name, text in mine.items():
            assert _placeholders(text) == _placeholders(english[name]), name
    assert {group: set(words) for group, words in known.words.items()} == {
        group: set(words) for group, words in EN.words.items()
    }
    assert all(section in known.headings for section in SECTIONS if section != "opening")
    assert known.direction in ("ltr", "rtl")
    assert set(known.countries) == set(EN.countries) and len(known.countries) > 240


@each_language
def test_every_text_of_a_catalogue_is_canonical_and_says_something(known: Language) -> None:
    prose = [known.mail, known.changes, known.alerts, known.report]
    groups = [known.headings, known.countries, *prose, *known.labels.values(), *known.words.values()]
    for group in groups:
        for name, text in group.items():
            assert canonical_text(text) == text, name
    for group in (known.headings, *known.labels.values()):
        for name, text in group.items():
            assert not set(":\uff1a\\=<>|*_&") & set(text), f"{name}: a mark that readers or mail programs act on"
            assert re.match(r"\w", text), name


@each_language
def test_no_phrase_about_changes_or_alerts_holds_a_colon_or_a_mark_that_programs_act_on(known: Language) -> None:
    for phrases in (known.changes, known.alerts):
        for name, text in phrases.items():
            assert not set(":\uff1a\\=<>|*_&") & set(text), name
            assert re.match(r"[\w{]", text), name
        assert len(set(phrases.values())) == len(phrases)


@each_language
def test_labels_are_unique_in_their_group_and_words_in_theirs(known: Language) -> None:
    for group, labels in (*known.labels.items(), *known.words.items(), ("headings", known.headings)):
        shapes = Counter(_shape(text) for text in labels.values())
        assert max(shapes.values()) == 1, f"{group}: {[text for text, count in shapes.items() if count > 1]}"


@each_language
def test_no_label_is_a_heading(known: Language) -> None:
    headings = {_shape(text) for code, text in known.headings.items() if code != "opening"}
    assert not headings & {_shape(text) for labels in known.labels.values() for text in labels.values()} - {
        _shape(known.title)
    }


@each_language
def test_no_anchor_is_the_end_of_another_at_a_word_boundary(known: Language) -> None:
    texts = {text.format(n=7, count=7) for text in (*known.anchors, known.title)}
    for text, other in product(texts, texts):
        if text != other and text.endswith(other):
            assert re.search(r"\w\Z", text.removesuffix(other)), f"{other!r} ends {text!r}"


@each_language
def test_no_title_is_an_anchor_of_another_language_or_ends_in_one(known: Language) -> None:
    for other in languages():
        if other is not known:
            assert not list(AnchorFinder({other.title: None}).find(f" {known.title}:"))


@each_language
def test_words_of_a_catalogue_do_not_begin_with_the_bracket_of_an_unknown_word(known: Language) -> None:
    for field in {field.name for field in FIELDS.values() if field.kind == Kind.WORD}:
        assert not any(word.startswith("(") for word in known.words[field].values())


@each_language
@pytest.mark.parametrize("share", [4, pytest.param(1, marks=pytest.mark.long)])
def test_every_anchor_is_found_as_itself_and_once(known: Language, share: int) -> None:
    colons, befores = (":", " :", "\uff1a", "\n:"), ("", " ", "\n", "value  ", "(", ">", "*", "\u2003")
    for number, ((text, anchor), blank) in enumerate(product(known.anchors.items(), ("\n ", "\u00a0"))):
        printed = text.format(n=12, count=345).replace(" ", blank)
        for colon, before in list(product(colons, befores))[number // 2 % share :: share]:
            body = f"{before}{printed}{colon} value"
            found = list(known.finder.find(body))
            assert [body[match.start : match.end] for match in found] == [f"{printed}{colon}"], text
            assert found[0].meaning is anchor


@each_language
def test_an_anchor_is_found_where_a_line_broke_behind_its_hyphen_or_between_its_ideographs(known: Language) -> None:
    for text, anchor in known.anchors.items():
        printed = text.format(n=1, count=2)
        for place in range(1, len(printed)):
            before, behind = printed[place - 1], printed[place]
            if (before == "-" and behind != " ") or (is_ideographic(before) and is_ideographic(behind)):
                body = f"value\n{printed[:place]}\n{printed[place:]}: value"
                (found,) = known.finder.find(body)
                assert found.meaning is anchor or body[found.start - 1] == "\n", f"{printed[:place]}|{printed[place:]}"


@each_language
def test_an_anchor_is_found_however_many_blanks_stand_between_its_words(known: Language) -> None:
    for text, anchor in known.anchors.items():
        printed = text.format(n=12, count=345).replace(" ", " " * 100)
        (found,) = known.finder.find(f"A:{' ' * 100}{printed}{' ' * 100}: value")
        assert found.meaning is anchor


_pieces = st.sampled_from(
    [*"ab:1?>\\ \n", " " * 70, "Total", "Unit price", "Item 1 of 2", "\uff1a", "Address line", "Unit\n"]
)


@given(st.lists(st.lists(_pieces, max_size=12).map("".join), max_size=4), st.booleans())
@settings(max_examples=300)
def test_what_was_found_in_other_texts_never_changes_what_is_found(texts: list[str], glued: bool) -> None:
    known: Known = {}
    for text in texts:
        finder = language("en").finder
        assert list(finder.find(text, glued=glued, known=known)) == list(finder.find(text, glued=glued))


@given(st.lists(_pieces, max_size=40).map("".join), st.booleans(), st.sampled_from(["en", "de", "ja"]))
@settings(max_examples=300)
@example("Total\nUnit price:Unit\nprice: \nUnit price :x\nUnit price\uff1a", False, "en")
@example("Item 1 of 2:\nAddress line 1:?ddress line 2:\n\ufffd:", True, "en")
def test_an_anchor_is_found_by_a_shortcut_just_where_the_walk_finds_it(text: str, glued: bool, tag: str) -> None:
    seen: tuple[Known, Known] = {}, {}
    found = list(language(tag).finder.find(text, glued=glued, known=seen[0]))
    assert found == list(_walking_finder(tag).find(text, glued=glued, known=seen[1]))
    joined = [any(joined for _, _, joined in known.values()) for known in seen]
    assert joined[0] == joined[1]


@cache
def _walking_finder(tag: str) -> AnchorFinder[Anchor]:
    finder = AnchorFinder(language(tag).anchors)
    finder._colon, finder._lines = re.compile(":"), {}
    return finder


@each_language
def test_every_label_printed_in_its_section_is_identified_as_its_field(known: Language) -> None:
    for section in SECTIONS.values():
        for field in section.fields:
            label = known.label(section, field.name)
            if section.code != "opening":
                assert _meaning(known, label).labels[section.labels] == field.name
    for code in SECTIONS:
        if code != "opening":
            assert _meaning(known, known.heading(code, 3, 17)).heading == code
    assert _meaning(known, known.heading("delivery_direct")).heading == "delivery"


def _meaning(known: Language, text: str) -> Anchor:
    (found,) = known.finder.find(f"{text}:")
    return found.meaning


@given(line_texts, every_tag)
@settings(max_examples=300)
@example("a International Order Notification : b", "en")
@example("\\Status: Status:Status\uff1a \\\\Status :", "en")
@example("Item 1 of 2:", "en")
def test_a_guarded_value_holds_no_anchor_and_no_title(value: str, tag: str) -> None:
    known = language(tag)
    for kind in (Kind.TEXT, Kind.LINES, Kind.WORD):
        printed = f" {print_value(kind, value if kind == Kind.LINES else value.replace(chr(10), ' '), known, 'kind')} "
        assert not list(known.finder.find(printed))
        assert not list(title_finder().find(printed))
    printed = f" {print_value(Kind.PAIR, pair_text(canonical_text(value), canonical_text(value)), known)} "
    assert not list(known.finder.find(printed))
    assert guard(printed, known) == printed


# Printed forms


def _forms() -> st.SearchStrategy[tuple[Kind, str, str]]:
    words = {field.name for field in FIELDS.values() if field.kind == Kind.WORD}
    return st.sampled_from(list(Kind)).flatmap(
        lambda kind: st.tuples(
            st.just(kind), canonical_values(kind), st.sampled_from(sorted(words)) if kind == Kind.WORD else st.just("")
        )
    )


@given(_forms(), every_tag)
@settings(max_examples=600)
@example((Kind.WORD, "the customer", "borne_by"), "en")
@example((Kind.WORD, "thecustomer", "borne_by"), "en")
@example((Kind.WORD, "(the customer)", "borne_by"), "en")
@example((Kind.WORD, "DDP, duties and taxes are prepaid", "incoterm"), "en")
@example((Kind.PAIR, '[null,"= x"]', ""), "en")
@example((Kind.PAIR, '["\\\\=",null]', ""), "en")
@example((Kind.LINES, "a\\\n/\n\n\\/ b / c/d /e", ""), "en")
@example((Kind.LINES, "/", ""), "en")
@example((Kind.TEXT, "\\: \\\uff1a \\= \\/ / \\\\", ""), "en")
@example((Kind.TEXT, "AB> c> d>e > <a:b <1 |x| *y* z*z", ""), "en")
@example((Kind.MONEY, "0.00000000000000000000000000001 KWD", ""), "fr")
@example((Kind.MONEY, "-1234567", ""), "de")
def test_what_is_printed_reads_back_as_it_was(form: tuple[Kind, str, str], tag: str) -> None:
    known = language(tag)
    kind, value, words = form
    printed = print_value(kind, value, known, words)
    assert canonical_text(printed) == re.sub("[\u202f\u00a0]", " ", printed), "the blanks of any client do it no harm"
    assert "\n" not in printed
    assert read_value(kind, printed, known, words) == value


@given(_forms(), every_tag)
@settings(max_examples=300)
def test_a_printed_value_reads_the_same_however_its_blanks_became_line_breaks(
    form: tuple[Kind, str, str], tag: str
) -> None:
    known = language(tag)
    kind, value, words = form
    printed = print_value(kind, value, known, words)
    assert read_value(kind, printed.replace(" ", "\u00a0\n > ".replace(">", "")), known, words) == value


@given(numbers, every_tag)
def test_every_digit_of_a_number_is_printed(value: Decimal, tag: str) -> None:
    known = language(tag)
    digits = re.sub(r"\D", "", decimal_text(value))
    assert re.sub(r"\D", "", print_value(Kind.NUMBER, decimal_text(value), known)) == digits
    assert re.sub(r"\D", "", print_value(Kind.MONEY, f"{decimal_text(value)} EUR", known)).startswith(digits)


@pytest.mark.parametrize(
    ("kind", "value", "english", "german", "french"),
    [
        (Kind.MONEY, "1234.5 EUR", "1,234.50 EUR", "1.234,50 EUR", "1\u202f234,50 EUR"),
        (Kind.MONEY, "1234.5 JPY", "1,234.5 JPY", "1.234,5 JPY", "1\u202f234,5 JPY"),
        (Kind.MONEY, "1234 JPY", "1,234 JPY", "1.234 JPY", "1\u202f234 JPY"),
        (Kind.MONEY, "1 KWD", "1.000 KWD", "1,000 KWD", "1,000 KWD"),
        (Kind.MONEY, "-0.005 USD", "-0.005 USD", "-0,005 USD", "-0,005 USD"),
        (Kind.NUMBER, "1234567.000001", "1,234,567.000001", "1.234.567,000001", "1\u202f234\u202f567,000001"),
        (Kind.COUNTRY, "DE", "Germany (DE)", "Deutschland (DE)", "Allemagne (DE)"),
        (Kind.COUNTRY, "ZZ", "(ZZ)", "(ZZ)", "(ZZ)"),
        (Kind.FLAG, "1", "yes", "ja", "oui"),
        (Kind.PAIR, '["Size","M"]', "Size = M", "Size = M", "Size = M"),
        (Kind.LINES, "Dock 4\nGE1", *["Dock 4 / GE1"] * 3),
        *[(Kind.INSTANT, "2026-11-23T19:20:05Z", *["2026-11-23 19:20:05 UTC"] * 3)],
    ],
)
def test_values_are_printed_as_people_of_the_language_write_them(
    kind: Kind, value: str, english: str, german: str, french: str
) -> None:
    for known, printed in ((EN, english), (DE, german), (FR, french)):
        # A blank inside a number may be any blank: no client keeps the narrow one.
        assert " ".join(print_value(kind, value, known).split()) == " ".join(printed.split())
        assert read_value(kind, printed, known) == value


_STRICT = [
    *[
        (Kind.NUMBER, text, EN)
        for text in ("1,5", "1.234,5", "1,2345", "12,34", "1,234,5", ",5", "5.", ".5", "+5", "--5")
    ],
    *[
        (Kind.NUMBER, text, EN)
        for text in ("5.0", "05", "1e3", "", "five", "٣", "５", "1'000", "1_000", "−5", "- ", "0.")
    ],
    *[(Kind.NUMBER, text, EN) for text in ("1234", "12345.5", "0,123", "-0", "1 and 2", "5 EUR", "5%", "½", "1..5")],
    *[(Kind.NUMBER, text, DE) for text in ("1.5", "1,234.5", "1234", "1.23", "5,0")],
    *[(Kind.NUMBER, text, FR) for text in ("1.5", "1.234", "1234,50", "5,0", "1,234.5")],
    *[
        (Kind.MONEY, text, EN)
        for text in ("38.00", "38", "38.0 EUR", "38 EUR", "38,00 EUR", "1.234,50 EUR", "38.000 EUR")
    ],
    *[(Kind.MONEY, text, EN) for text in ("EUR 38.00", "€ 38.00", "38.00 eur", "38.00 EURO", "38.00 EUR USD", "EUR")],
    *[(Kind.MONEY, text, EN) for text in ("38.00 (currency)", "(currency not stated)", "1234.00 EUR", "38.00 EUR.")],
    *[(Kind.MONEY, text, DE) for text in ("38.00 EUR", "1,234.50 EUR", "38,00 (currency not stated)")],
    *[
        (Kind.COUNTRY, text, EN)
        for text in ("Germany", "DE", "(de)", "Deutschland (DE)", "Germany (AT)", "(DE)", "(ZZZ)")
    ],
    *[
        (Kind.COUNTRY, text, EN)
        for text in ("Germany (DE) x", "x Germany (DE)", "germany (DE)", "Narnia (ZZ)", "", "()")
    ],
    *[(Kind.COUNTRY, text, DE) for text in ("Germany (DE)",)],
    *[(Kind.FLAG, text, EN) for text in ("no", "Yes", "ja", "1", "", "yes yes", "true")],
    *[(Kind.PAIR, text, EN) for text in ("Size", "", "=", " = ", "a \\= b")],
    *[(Kind.TEXT, text, EN) for text in ("", " ", "\u200b", "a \\ b", "\\", "\\x", "Status: x", "\\\\:\\:")],
    *[(Kind.LINES, text, EN) for text in ("", "/", "a /", "/ a", "Status: x", "a \\ / b")],
    *[(Kind.WORD, text, EN) for text in ("", "(the customer", "\\")],
    *[(Kind.INSTANT, text, EN) for text in ("2026-11-23", "2026-11-23 19:20:05", "2026-11-23T19:20:05Z", "", "now")],
    *[
        (Kind.INSTANT, text, EN)
        for text in ("2026-1-23 19:20:05 UTC", "2026-13-23 19:20:05 UTC", "23.11.2026 19:20:05 UTC")
    ],
    *[
        (Kind.INSTANT, text, EN)
        for text in ("2026-02-30 19:20:05 UTC", "2026-11-23 24:00:00 UTC", "2026-11-23 19:20:05 CET")
    ],
]


@pytest.mark.parametrize(("kind", "text", "known"), _STRICT, ids=[f"{k}-{t}-{known.tag}" for k, t, known in _STRICT])
def test_what_is_never_printed_is_never_read(kind: Kind, text: str, known: Language) -> None:
    with pytest.raises(Unreadable):
        read_value(kind, text, known, "borne_by")


@given(st.sampled_from(list(Kind)), st.text(string.digits + " .,-()EURDEyes=\\:/ja\u202f'", max_size=14), every_tag)
@settings(max_examples=500)
def test_whatever_is_read_prints_as_that_again(kind: Kind, text: str, tag: str) -> None:
    known = language(tag)
    try:
        value = read_value(kind, text, known, "borne_by")
    except Unreadable:
        return
    assert _shape(print_value(kind, value, known, "borne_by")) == _shape(text)
    assert read_value(kind, print_value(kind, value, known, "borne_by"), known, "borne_by") == value


@given(texts | st.sampled_from(LABELS), every_tag, every_tag)
@settings(max_examples=200)
def test_no_text_is_ever_read_as_another_kind_of_mark(value: str, tag: str, other_tag: str) -> None:
    """A number printed in one language is refused or the same in another, never another number."""
    known, other = language(tag), language(other_tag)
    for number in (decimal_text(Decimal(len(value)) / 8), f"{len(value)}234.5"):
        printed = print_value(Kind.NUMBER, number, known)
        try:
            back = read_value(Kind.NUMBER, printed, other)
        except Unreadable:
            continue
        if (known.decimal, known.group) == (other.decimal, other.group) or known.decimal not in printed:
            continue
        assert back == number or "." not in number or len(number.partition(".")[2]) == 3


# Canonical text


def _all_entries() -> st.SearchStrategy[Entry]:
    def of(code: str) -> st.SearchStrategy[Entry]:
        section, name = code.split(".", 1)
        depth = SECTIONS[section].repeated + FIELDS[code].repeated
        index = st.tuples(*[st.integers(0, 30)] * depth)
        return st.builds(Entry, st.just(section), st.just(name), index, values)

    values = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
        ["", "1", "\n", "1\norder.test[]:1:1", ":1:1\n", "1\n", "a\nline.sku[0]:1:b", "0]:1:x", "é", "e\u0301"]
    )
    return st.sampled_from(
        ["order.test", "order.notes", "line.sku", "line.name", "line.attributes", "proof.key_id"]
    ).flatmap(of)


@given(
    st.lists(_all_entries(), max_size=5, unique_by=lambda entry: (entry.code, entry.index)), st.booleans(), st.data()
)
@settings(max_examples=200)
def test_two_different_notifications_never_share_their_canonical_text(
    one: list[Entry], near: bool, data: st.DataObject
) -> None:
    if one and near:
        other = list(one)
        place = data.draw(st.integers(0, len(one) - 1))
        other[place] = data.draw(_all_entries())
    else:
        other = data.draw(st.lists(_all_entries(), max_size=5))
    same = Counter(one) == Counter(other)
    assert (canonical_bytes(one) == canonical_bytes(other)) == same


@given(orders())
@settings(max_examples=100)
def test_the_canonical_text_says_every_stated_value_once_whatever_order_it_comes_in(order: Order) -> None:
    values = list(entries(notification_for(order), order))
    assert canonical_bytes(values) == canonical_bytes(reversed(values))
    assert len({(entry.code, entry.index) for entry in values}) == len(values)
    assert all(entry.value for entry in values)
    header, back = from_entries(values)
    assert Order.model_validate(back) == order
    assert Notification.model_validate(header) == notification_for(order)


@given(orders(), orders())
@settings(max_examples=60)
def test_orders_that_differ_have_other_entries(one: Order, other: Order) -> None:
    assert (list(order_entries(one)) == list(order_entries(other))) == (one == other)


@pytest.mark.parametrize("index", [(1, 0), (0, 1), (5, 5)])
def test_a_gap_in_a_list_is_refused(index: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="missing"):
        from_entries([Entry("line", "categories", index, "x")])


def test_places_are_named_for_people() -> None:
    assert Entry("line", "sku", (1,), "x").name == "line[2].sku"
    assert Entry("line", "attributes", (0, 2), "x").name == "line[1].attributes[3]"
    assert Entry("order", "notes", (0,), "x").name == "order.notes[1]"
    assert Entry("hub", "city", (), "x").name == "hub.city"


# Frozen for ever: what contract version 1 seals. If one of these fails, old mails would no longer verify: do not
# change the expected values, bring the old form back.

GOLDEN_TEXT = """\
opening.order_number[]:12:GE12345678GB
proof.kind[]:14:order.approved
proof.merchant[]:7:default
proof.revision[]:1:1
proof.sequence[]:1:7
proof.issued_at[]:20:2026-11-23T19:20:05Z
proof.contract[]:1:1
proof.key_id[]:8:54X9M723
order.platform[]:8:global-e
order.order_number[]:12:GE12345678GB
order.test[]:1:1
order.source_info[0]:16:["a = \\\\b",null]
order.source_info[1]:16:[null,"Zürich"]
order.notes[0]:7:one
two
order.notes[1]:9:Status: x
hub.address2[]:34:East Midlands Airport
GE12345678GB
hub.country[]:2:GB
delivery.first_name[]:11:👩‍🚀
delivery.city[]:6:東京
delivery.country[]:2:JP
delivery.country_stated[0]:3:JPN
line.sku[0]:1:A
line.quantity[0]:1:2
line.unit_price[0]:5:0 GBP
line.sku[1]:1:B
line.categories[1,0]:1:x
line.categories[1,1]:1:y
line.attributes[1,0]:13:["n","\\"v\\""]
line.quantity[1]:2:-1
totals.charged[]:34:235.74993308058803207162312511 NZD
totals.rounding_rate[]:30:0.8774285714285714285714285714
discount.name[0]:3:10%
discount.amount[0]:5:-1000
customs.incoterm[]:3:DDP
customs.tax_exempt[]:1:1
breakdown.borne_by[0]:8:merchant
breakdown.duties[0]:5:1 USD
"""
GOLDEN_SEAL = "YA7P-372G-KKF7-5D05-FG0W"


def _golden_order() -> Order:
    """A value of every kind, awkward ones among them."""
    return Order.model_validate(
        {
            "platform": "global-e",
            "order_number": "GE12345678GB",
            "test": True,
            "source_info": [{"name": "a = \\b", "value": None}, {"value": "Zu\u0308rich"}],
            "notes": ["one\r\ntwo", "Status: x"],
            "hub": {"address2": "East Midlands Airport\r\nGE12345678GB", "country": "GB"},
            "delivery": {"first_name": "👩\u200d🚀", "city": "\u00a0東京 ", "country": "JP", "country_stated": ["JPN"]},
            "lines": [
                {"sku": "A", "quantity": "2.000", "unit_price": {"amount": "0.00", "currency": "GBP"}},
                {"sku": "B", "quantity": "-1", "categories": ["x", "y"], "attributes": [{"name": "n", "value": '"v"'}]},
            ],
            "discounts": [{"name": "10%", "amount": {"amount": "-1E+3"}}],
            "totals": {
                "charged": {"amount": "235.74993308058803207162312511", "currency": "NZD"},
                "rounding_rate": "0.8774285714285714285714285714",
            },
            "customs": {"incoterm": "DDP", "tax_exempt": True},
            "breakdowns": [{"borne_by": "merchant", "duties": {"amount": "1", "currency": "USD"}}],
        }
    )


def test_contract_version_one_seals_what_it_sealed() -> None:
    assert CONTRACT_VERSION == 1
    order = _golden_order()
    key = key_of(bytes(range(32)))
    values = list(entries(notification_for(order, key_id=key.key_id), order))
    assert canonical_bytes(values).decode() == GOLDEN_TEXT
    assert make_seal(values, key) == GOLDEN_SEAL
    assert verify_seal(values, GOLDEN_SEAL, [key]) == key


ROWS = """
opening
order_number:text

proof
kind:word merchant:text revision:number sequence:number issued_at:instant contract:number key_id:text

order
platform:word order_number:text merchant_order_number:text merchant_internal_order_number:text reference_number:text
purchase_order_number:text status:text status_reason:text status_reason_code:text created_time:text test:flag
replacement:flag original_order_number:text original_merchant_order_number:text
original_merchant_internal_order_number:text split:flag mail_or_phone_order:flag business_customer:flag
personal_data_suppressed:flag personal_data_encrypted:flag web_store:text web_store_instance:text source:text
source_info:pair* modified_product:text reservation_id:text notes:lines* other:pair*

hub delivery delivery_local billing billing_local payer payment_holder importer
salutation:text first_name:text middle_name:text last_name:text name:text local_first_name:text local_last_name:text
company:text address1:lines address2:lines address3:lines city:text city_region:text state_code:text state:text
postal_code:text country:country country_stated:text* email:text phone:text phone2:text phone_country:text fax:text
collection_point:text vat_number:text tax_id:text

customer
account_id:text email:text comments:lines birth_date:text national_id:text culture:text checkout_culture:text
preferred_culture:text send_confirmation:flag

line
line_id:text parent_line_id:text option_id:text product_id:text sku:text secondary_code:text name:text
description:text brand:text categories:text* attributes:pair* customization:text quantity:number unit_price:money
unit_price_customer:money line_total_customer:money discounted_price:money discounted_price_customer:money
discounted_price_customer_in_merchant_currency:money list_price:money list_price_customer:money
price_before_rounding:money price_before_platform_discount:money rounding_rate:number vat_rate:number
customer_vat_rate:number hs_code:text country_of_origin:country country_of_origin_stated:text customs_value:money
customs_value_customer:money duties:money sales_taxes:money subsidy:money duties_customer:money
sales_taxes_customer:money subsidy_customer:money gift_message:lines metadata:pair* back_ordered:flag
back_order_date:text estimated_delivery_date:text gift_card:flag fixed_price:flag bundle_parent_moved:flag
not_shippable:flag handling_code:text status:text length:number width:number height:number weight:number
weight_unit:text url:text image_url:text other:pair*

totals
merchant_currency:text merchant_currency_name:text customer_currency:text items_customer:money
shipping_customer:money shipping_discounted_customer:money shipping_discounted:money duties_and_taxes_customer:money
duties_and_taxes:money duties_paid_by_customer:money total_customer:money charged:money vat_contained:money
us_sales_tax_customer:money us_sales_tax:money clearance_fee_customer:money clearance_fee:money
same_day_dispatch_customer:money same_day_dispatch:money cash_on_delivery_customer:money cash_on_delivery:money
consignment_fee_customer:money size_overcharge_customer:money remote_area_surcharge_customer:money
products_discounted:money loyalty_points_spent:number loyalty_points_earned:number loyalty_code:text
voucher_code:text voucher_amount:money price_coefficient:number rounding_rate:number

discount markup
name:text description:text type:text code:text coupon_code:text loyalty_voucher_code:text line_id:text
quantity:number amount:money amount_customer:money vat_rate:number local_vat_rate:number other:pair*

shipping
method_name:text method_code:text merchant_method_code:text type_name:text type_code:text service_level:text
delivery_days_from:number delivery_days_to:number delivery_date_from:text delivery_date_to:text ship_to_store:text
box_count:text hub_id:text hub_code:text same_day_dispatch:flag free_shipping:flag free_shipping_coupon:text
vat_rate:number vat_rate_customer:number declared_price_customer:money

payment
method_name:text method_code:text card_last_four:text card_type:text platform_method_name:text
platform_method_code:text platform_method_type:text gateway:text processor:text transaction_id:text
transaction_type:text

payment_part
method_id:text method_name:text type_code:text type_name:text gift_card:flag gift_card_fields:pair* paid:money
paid_customer:money

customs
incoterm:word tax_rule:text value:money exporter_vat_number:text exporter_eori:text exporter_ioss:text
importer_vat_number:text importer_tax_id:text importer_type:text tax_exempt:flag vat_not_charged:flag
prepay_offered:flag

breakdown
borne_by:word in_currency_of:word duties:money sales_taxes:money other:money subsidy:money

tracking
number:text url:text waybill_number:text waybill_url:text status_name:text status_code:text status_time:text
location:text

parcel
number:text url:text code:text

document
required:flag type_name:text type_code:text url:text extension:text reference:text created_time:text error:text
"""


def test_rows_of_contract_version_one_are_never_renamed_moved_or_removed() -> None:
    """Between them new rows may stand: what an order does not state is not sealed."""
    for listed in ROWS.strip().split("\n\n"):
        groups, *rows = listed.split("\n")
        for code in groups.split():
            now = [f"{field.name}:{field.kind}{'*' * field.repeated}" for field in SECTIONS[code].fields]
            kept = " ".join(rows).split()
            assert [row for row in now if row in kept] == kept, code
    order = [code for code in SECTIONS if code in ROWS.replace(":", " ").split()]
    assert (
        order
        == """opening proof order hub delivery delivery_local customer line totals discount markup shipping
    billing billing_local payer payment payment_holder payment_part customs importer breakdown tracking
    parcel document""".split()
    )


# The header


def test_the_time_of_issue_is_utc_and_whole_seconds() -> None:
    eastern = timezone(timedelta(hours=-5))
    moment = datetime(2026, 11, 23, 14, 20, 5, 999_999, tzinfo=eastern)
    assert notification_for(small_order(), issued_at=moment).issued_at == datetime(2026, 11, 23, 19, 20, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issued_at": "2026-11-23T19:20:05"},
        {"issued_at": "0001-01-01T00:00:00+14:00"},
        {"issued_at": "9999-12-31T23:59:59-14:00"},
        {"order_number": " "},
        {"revision": 0},
        {"revision": 10**7},
        {"sequence": 0},
        {"contract": 0},
        {"surprise": 1},
    ],
)
def test_a_header_that_is_wrong_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Notification.model_validate({"order_number": "1", **wrong})


def _row_path(path: str, repeated: bool, name: str) -> str:
    return f"{path}{'[]' if repeated else ''}.{name}" if path else name


def _placeholders(text: str) -> Counter[str]:
    return Counter(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def _shape(text: str) -> str:
    """`text` as it is compared where blanks do not count and numbers may be any."""
    return re.sub(r"\s+", "", text.replace("{n}", "#").replace("{count}", "#"))


def _annotated_leaves(metadata: tuple[object, ...]) -> set[str]:
    """The names of the leaves of an order whose annotation carries the first of these validators."""
    from ion import order as module

    found: set[str] = set()
    for model in vars(module).values():
        if isinstance(model, type) and issubclass(model, module.Part):
            for name, info in model.model_fields.items():
                if repr(metadata[0]) in f"{info.annotation!r}{info.metadata!r}":
                    found.add(name)
    return found
