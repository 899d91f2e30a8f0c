"""Whatever arrives: the reader never raises, never takes a changed order for the true one, and says what is wrong."""

import base64
import html as html_text
import json
import random
import re
import string
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ion.contract import FIELDS, Entry, entries, language, print_value
from ion.order import Order
from ion.reading import Judged, read_message
from ion.reading.limits import MAX_DEPTH, MAX_PARTS, TooBig
from ion.reading.streams import flatten, without_program_marks
from ion.reading.unwrap import bodies, unflow
from ion.seal import Key, key_of, make_imprint, verify_imprint
from tests.orders import (
    KEY,
    OTHER_KEY,
    SOME_TAGS,
    adjustment,
    bodies_of,
    full_order,
    hub_order,
    mail_of,
    notification_for,
    orders,
    rendered,
    small_order,
    texts,
)
from tests.thinning import one_in
from tests.ways import WAYS

SMALL = small_order()
SMALL_MAIL = rendered(SMALL)
TEXT, HTML, JSON = bodies_of(SMALL_MAIL.raw)
FULL_MAIL = rendered(full_order())


def judged(raw: bytes, *keys: Key) -> Judged:
    (result,) = read_message(raw, keys or (KEY,))
    return result


def never_another(raw: bytes, order: Order, *, keys: tuple[Key, ...] = (KEY,)) -> tuple[Judged, ...]:
    """Reads `raw`; nothing sealed or consistent comes out of it but `order`."""
    results = read_message(raw, keys)
    for result in results:
        if result.grade == "sealed":
            assert result.order == order and result.notification is not None
        assert result.grade in ("sealed", "review", "consistent")
        assert result.grade != "consistent" or result.seal is None
        assert result.grade != "review" or result.problems, "a person is told why"
        assert all(problem.message for problem in result.problems)
    return results


# The reader never raises


@given(st.binary(max_size=400))
@settings(max_examples=200)
@example(b"Message-ID: <[>\r\n\r\n")
@example(b'From: "\r\nTo: a@[1.2.3\r\n\r\nx')
@example(b"Content-Type: text/html\r\n\r\n<!-")
def test_any_octets_are_read_without_raising(raw: bytes) -> None:
    assert read_message(raw, [KEY]) == ()


@given(
    st.sampled_from([SMALL_MAIL.raw, FULL_MAIL.raw, *[way(SMALL_MAIL.raw) for way in WAYS.values()]]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), st.binary(max_size=30)), min_size=1, max_size=6),
)
@settings(max_examples=80, deadline=None)
def test_a_mutilated_mail_is_read_without_raising_and_never_as_another_order(
    raw: bytes, cuts: list[tuple[float, int, bytes]]
) -> None:
    original = full_order() if raw is FULL_MAIL.raw else SMALL
    for place, length, patch in cuts:
        start = int(place * len(raw))
        raw = raw[:start] + patch + raw[start + length :]
    never_another(raw, original)


@given(
    st.lists(texts | st.sampled_from([HTML[:3000], HTML[-3000:], TEXT, JSON, "<table>" * 300, "<", "<!--"]), max_size=4)
)
@settings(max_examples=80, deadline=None)
def test_any_bodies_are_read_without_raising(pieces: list[str]) -> None:
    text = "".join(pieces)
    for raw in (mail_of(text=text), mail_of(html=text), mail_of(json=text), mail_of(text=text, html=text, json=text)):
        never_another(raw, SMALL)


CHARSETS = [
    *("utf-8", "UTF8", "us-ascii", "iso-8859-1", "latin-1", "windows-1252", "utf-16", "utf-16le", "utf-7", "cp437"),
    *("unicode_escape", "raw_unicode_escape", "zip", "hex", "base64", "rot13", "bz2", "idna", "punycode", "undefined"),
    *("mbcs", "nonsense", "\ud800", "", "utf-8\x00", "x" * 5000, "utf_8_sig", "utf-32", "hz", "iso-2022-jp", "charmap"),
]
ENCODINGS = ["7bit", "8bit", "binary", "base64", "quoted-printable", "x-uuencode", "uuencode", "nonsense", "", "\xff"]


@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("charset", CHARSETS)
def test_a_lie_about_the_charset_or_the_encoding_raises_nothing(charset: str, share: int) -> None:
    named = charset.encode("utf-8", "surrogatepass")
    for encoding in ENCODINGS[CHARSETS.index(charset) % share :: share]:
        for kind in (b"text/plain", b"text/html", b"application/json", b"message/rfc822", b"multipart/mixed"):
            for body in (TEXT.encode(), b"\xff\xfe\x00\xd8 \xc3(", b"=ZZ=\xff", b"begin 644 x\n#!!!\nend\n", b"+2AA-"):
                head = b'Content-Type: %s; charset="%s"\r\nContent-Transfer-Encoding: %s\r\n\r\n'
                never_another(head % (kind, named, encoding.encode("latin-1")) + body, SMALL)


HOSTILE_HEADERS = [
    b"Message-ID: <[>",
    b'From: "',
    b"From: a@[1.2.3",
    b"Subject: =?utf-8?q?a=0D=0AB?=",
    b"Subject: " + b"=?utf-8?q?a?= " * 5000,
    b"Subject: " + b"\xff" * 3000,
    b"Content-Type: text/plain; format*0*=''x; format*999999999999999999999=y; format=flowed",
    b"Content-Type: text/plain; format*" + b"9" * 5000 + b"=flowed",
    b"Content-Type: text/plain; charset*" + b"9" * 5000 + b"=utf-8",
    b"Content-Type: text/plain; charset*=utf-8'en'%FF%FE",
    b"Content-Type: text/plain; charset*=nonsense''utf%2D8",
    b"Content-Type: text/plain; charset*=idna''\xff",
    b"Content-Type: text/plain; name*=idna''%FF.html",
    b"Content-Type: text/plain; name*" + b"9" * 5000 + b"=x",
    b"Content-Disposition: attachment; filename*=undefined''x%FF",
    b"Content-Disposition: attachment; filename*1*=x; filename*0=y; filename*" + b"8" * 4999 + b"=z",
    b"Content-Disposition: attachment; filename=../../../etc/passwd.html",
    b"Content-Disposition: \xff\xfe; filename=\xff.eml",
    b"Content-Type: \xff\xfe/\xff; boundary=\xff",
    b"Content-Type: multipart/mixed",
    b"Content-Type: text/plain" + b";a" * 200_000,
    b'Content-Disposition: attachment; x="' + b";" * 200_000,
    b'Content-Type: multipart/mixed; boundary=""',
    b"Content-Type: multipart/mixed; boundary*" + b"9" * 5000 + b"=x",
    b"Content-Type: multipart/mixed; boundary*=idna''\xff",
    b"Content-Type: message/rfc822",
    b"Content-Type: message/partial; id=x; number=1",
    b"Content-Type: message/external-body",
    b"Content-Type: message/delivery-status",
    b"Content-Type: text/html; format=flowed; delsp=yes",
    b"Content-Type:",
    b'Content-Type: ;;;=;"',
    b"Content-Transfer-Encoding: base64\r\nContent-Type: message/rfc822",
    b"X: " + b"a" * 100_000,
]


@pytest.mark.parametrize(
    ("header", "body"),
    one_in(3, HOSTILE_HEADERS, [TEXT.encode(), HTML.encode(), b"", b"\xff\xfe", b"--\r\n\r\n----", b"\x00" * 100]),
)
def test_a_hostile_header_raises_nothing(header: bytes, body: bytes) -> None:
    never_another(header + b"\r\n\r\n" + body, SMALL)
    never_another(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + header + b"\r\n\r\n" + body, SMALL)


def test_ten_thousand_nested_parts_are_refused_not_raised() -> None:
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(10_000)
    )
    letters = b"Content-Type: message/rfc822\r\n\r\n" * 10_000
    for raw in (deep, letters):
        (result,) = read_message(raw + b"\r\nhello", [KEY])
        assert result.grade == "review" and result.problems[0].code == "too-big" and result.order is None


def test_too_many_parts_or_levels_are_refused_naming_the_limit() -> None:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    (result,) = read_message(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * (MAX_PARTS + 1), [KEY])
    assert result.problems[0].code == "too-big" and str(MAX_PARTS) in result.problems[0].message
    nested = SMALL_MAIL.raw
    for _ in range(MAX_DEPTH + 1):
        nested = b"Content-Type: message/rfc822\r\n\r\n" + nested
    with pytest.raises(TooBig, match=str(MAX_DEPTH)):
        list(bodies(nested))
    bomb = b"Content-Type: text/plain\r\n\r\n" + b"x" * 26_000_000
    assert read_message(bomb, [KEY])[0].problems[0].code == "too-big"


@pytest.mark.parametrize(
    "hostile",
    [
        "<div>" * 30_000,
        "<table><tr><td>" * 10_000,
        "<b>" * 20_000 + "x" + "</b>" * 20_000,
        "<!--" * 50_000,
        "<" * 100_000,
        "&" * 100_000,
        "&#x110000; &#0; &#xD800; &#99999999999999999999; \x00\x01\ufffe\uffff",
        "<![CDATA[" * 1000,
        "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
        '<?xml version="1.0" encoding="nonsense"?><html>',
        '<meta charset="utf-16"><meta http-equiv=content-type content="text/html; charset=zip">',
        "<p " + "a=b " * 50_000 + ">x",
        "<style>" * 1000,
        "<svg><math><template>" * 1000,
        "\ud800\udfff<b>\udc00</b>",
        "Order:" * 20_000,
        "Order" + " " * 100_000,
        "International Order Notification: " * 5_000,
        "> " * 300_000,
        "*" * 300_000,
        "a <http" * 50_000,
        "Item 999999 of 999999: SKU: x " * 10_000,
        "\\" * 300_000,
        "Address line 1: " + "\\" * 100_001 + " / " * 1000,
        "Proof of this notification: Seal: " + "A" * 100_000,
        "International Order Notification: 1 Proof of this notification: Seal: \ud800\ud800",
        "ION <![a]>",
        "??????????????:\n" * 3000,
        "?" * 8000 + "x",
        "?\n" * 8000 + "x",
        "x\n" * 20_000,
        "<http" + " " * 100_000,
        "<https://a\n" * 20_000,
        "<a a=" * 20_000,
        "<!--" * 25_000,
        "https://eur01.safelinks.protection.outlook.com/?url=" * 18_000,
        "https://urldefense.com/v3/__" * 280 + "__;" + "a" * 300_000,
        "/" * 50_000 + " /" * 50_000,
        "a-\nb" * 20_000,
        "ー?" * 4000 + "x",
    ],
)
@pytest.mark.parametrize("most", [8_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.filterwarnings("ignore::bs4.XMLParsedAsHTMLWarning")
def test_hostile_text_is_read_without_raising_and_soon(hostile: str, most: int) -> None:
    if len(hostile) > most:
        hostile = hostile[: most // 2] + hostile[-most // 2 :]
    titled = f"International Order Notification: 1 Order: Platform: {hostile}"
    started = time.process_time()
    for body, kinds in ((hostile, [b"text/html", b"application/json"]), (titled, [b"text/html", b"text/plain"])):
        octets = body.encode("utf-8", "surrogatepass")
        for kind in (*kinds, b"text/plain; format=flowed"):
            never_another(b"Content-Type: " + kind + b"; charset=utf-8\r\n\r\n" + octets, SMALL)
    assert time.process_time() - started < 30


_HEADER = json.loads(JSON)["notification"]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"ion": 1},
        {"ion": 1, "seal": "x"},
        {"ion": 1, "seal": "\ud800", "notification": _HEADER, "order": SMALL.to_json()},
        {"ion": 1, "seal": "x" * 100_000, "notification": _HEADER, "order": SMALL.to_json()},
        {"ion": 1, "seal": 5, "notification": _HEADER, "order": SMALL.to_json()},
        {"ion": 1, "seal": "", "notification": _HEADER, "order": SMALL.to_json()},
        {"ion": 1, "seal": "x", "notification": None, "order": None},
        {"ion": 1, "seal": "x", "notification": [], "order": 1},
        {"ion": 1, "seal": "x", "notification": {**_HEADER, "issued_at": "0001-01-01T00:00:00+14:00"}, "order": {}},
        {"ion": 1, "seal": "x", "notification": {**_HEADER, "issued_at": 1e300}, "order": SMALL.to_json()},
        {
            "ion": 1,
            "seal": "x",
            "notification": {**_HEADER, "issued_at": "0001-01-01T00:00:00Z"},
            "order": SMALL.to_json(),
        },
        {"ion": 1, "seal": "x", "notification": {**_HEADER, "revision": 10**400}, "order": SMALL.to_json()},
        {"ion": 1, "seal": "x", "notification": {**_HEADER, "kind": "\ud800"}, "order": SMALL.to_json()},
        {
            "ion": 1,
            "seal": "x",
            "notification": _HEADER,
            "order": {**SMALL.to_json(), "lines": [{"quantity": "1e999999999"}]},
        },
        {
            "ion": 1,
            "seal": "x",
            "notification": _HEADER,
            "order": {**SMALL.to_json(), "lines": [{"quantity": "9" * 9999}]},
        },
        {
            "ion": 1,
            "seal": "x",
            "notification": _HEADER,
            "order": {**SMALL.to_json(), "lines": [{"quantity": float("nan")}]},
        },
        {"ion": 1, "seal": "x", "notification": _HEADER, "order": {**SMALL.to_json(), "platform": "\ud800"}},
        {"ion": 1, "seal": "x", "notification": _HEADER, "order": {**SMALL.to_json(), "\ud800": 1}},
        {"ion": 1, "seal": "x", "notification": _HEADER, "order": {**SMALL.to_json(), "other": [{}] * 9999}},
    ],
)
def test_a_hostile_attachment_raises_nothing(document: Any) -> None:
    text = json.dumps(document)
    never_another(mail_of(json=text), SMALL)
    result = judged(mail_of(text=TEXT, html=HTML, json=text))
    assert result.order == SMALL and result.grade in ("sealed", "review")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"ion":' * 50_000, '{"ion": 1' + "0" * 10_000 + "}", "\ufeff{}", "NaN", '"']
)
def test_an_attachment_that_is_no_document_raises_nothing(text: str) -> None:
    assert judged(mail_of(text=TEXT, json=text)).grade == "sealed"


@pytest.mark.parametrize(
    ("quantity", "price"), [("1e-40", "1e-40"), ("1e59", "1e59"), ("1e-60", "1e59"), ("0", "0"), ("-3", "5")]
)
def test_sums_of_absurd_numbers_in_an_unsealed_mail_raise_nothing(quantity: str, price: str) -> None:
    line = {"quantity": quantity, "unit_price_customer": {"amount": price, "currency": "EUR"}}
    order = Order.model_validate({**SMALL.to_json(), "lines": [line] * 3})
    text = _without_proof(bodies_of(rendered(order).raw)[0])
    result = judged(mail_of(text=text))
    assert result.grade == "review" and {problem.code for problem in result.problems} == {"sum"}


# Every single visible letter and digit


def _other(char: str) -> str:
    """Another visible character of the same sort, as somebody might type it."""
    alphabet = string.digits if char.isdigit() else string.ascii_uppercase if char.isupper() else string.ascii_lowercase
    return alphabet[(alphabet.find(char) + 1 + len(alphabet)) % len(alphabet)]


def _visible_places(body: str, *, markup: bool) -> list[int]:
    """Where the letters and digits stand that a person sees."""
    inside = re.compile(r"(?s)<head>.*?</head>|<[^>]*>|&[#\w]+;") if markup else re.compile(r"(?!)")
    hidden = {place for found in inside.finditer(body) for place in range(*found.span())}
    return [place for place, char in enumerate(body) if char.isalnum() and place not in hidden]


def _value_spans(body: str, order: Order, tag: str, *, markup: bool) -> dict[int, str]:
    """Place in the body → the name of the field whose value stands there; only values that can be told for sure."""
    known, spans, start = language(tag), {}, 0
    start = body.index("<body") if markup else 0
    for entry in _in_print_order(body, order, tag, markup=markup):
        printed = print_value(FIELDS[entry.code].kind, entry.value, known, entry.field)
        label = known.labels["opening" if entry.section == "opening" else _labels(entry)][entry.field]
        words = [html_text.escape(word, quote=False) if markup else word for word in (f"{label}: {printed}").split()]
        between = r"(?:\s|<[^>]*>)*" if markup else r"\s+"
        found = re.compile(between.join(map(re.escape, words))).search(body, start)
        if found is None:
            continue
        first = re.compile(re.escape(words[len(label.split()) - 1])).search(body, found.start())
        assert first is not None
        spans.update(dict.fromkeys(range(_after(body, found, label, markup=markup), found.end()), entry.name))
    return spans


def _after(body: str, found: re.Match[str], label: str, *, markup: bool) -> int:
    """The place behind the label's colon in a match."""
    words = [html_text.escape(word, quote=False) if markup else word for word in f"{label}:".split()]
    between = r"(?:\s|<[^>]*>)*" if markup else r"\s+"
    matched = re.compile(between.join(map(re.escape, words))).match(body, found.start())
    assert matched is not None
    return matched.end()


def _labels(entry: Entry) -> str:
    from ion.contract import SECTIONS

    return SECTIONS[entry.section].labels


def _in_print_order(body: str, order: Order, tag: str, *, markup: bool) -> Iterator[Entry]:
    """The entries of an order no two of which print alike, so that each can be found by its print."""
    known = language(tag)
    notification = notification_for(order, key_id=KEY.key_id)
    values = list(entries(notification, order))
    prints = [
        known.labels[_labels(entry)][entry.field]
        + f": {print_value(FIELDS[entry.code].kind, entry.value, known, entry.field)}"
        for entry in values
    ]
    for entry, printed in zip(values, prints, strict=True):
        if sum(other.startswith(printed) for other in prints) == 1:
            yield entry


def _changed(body: str, place: int) -> str:
    return body[:place] + _other(body[place]) + body[place + 1 :]


def _check_change(order: Order, mail: dict[str, str], kind: str, place: int, field: str | None) -> None:
    """One character of a body changed: with the attachment a contradiction at its field, without it never sealed as
    anything but the original, and alone not sealed at all. (Both bodies without the attachment: every fifth place.)"""
    changed = {**mail, kind: _changed(mail[kind], place)}
    where = f"{kind}: {mail[kind][max(0, place - 30) : place + 10]!r}"
    (whole,) = never_another(mail_of(**changed), order)
    assert whole.order == order, where
    if field:
        assert whole.grade == "review", where
        assert field in [problem.field for problem in whole.problems if problem.code == "contradiction"], where
    for result in never_another(mail_of(**{kind: changed[kind]}), order):
        assert result.grade == "review" or not field, where
    if place % 5 == 0:
        both = never_another(mail_of(text=changed["text"], html=changed["html"]), order)
        assert not field or any(result.grade == "review" for result in both), where


@pytest.mark.long
@pytest.mark.parametrize("kind", ["text", "html"])
def test_every_letter_and_digit_changed_in_a_small_mail_is_noticed_and_named(kind: str) -> None:
    mail = {"text": TEXT, "html": HTML, "json": JSON}
    assert judged(mail_of(**mail)).grade == "sealed" and not judged(mail_of(**mail)).problems
    spans = _value_spans(mail[kind], SMALL, "en", markup=kind == "html")
    stated = {entry.name for entry in entries(notification_for(SMALL, key_id=KEY.key_id), SMALL)}
    assert set(spans.values()) == stated
    for place in _visible_places(mail[kind], markup=kind == "html"):
        _check_change(SMALL, mail, kind, place, spans.get(place))


@pytest.mark.parametrize(
    "tag", ["en", "ar", *(pytest.param(tag, marks=pytest.mark.long) for tag in ("de", "fr", "pl", "ru", "ja"))]
)
@pytest.mark.parametrize("kind", ["text", "html"])
@pytest.mark.parametrize(("values", "others"), [(4, 1), pytest.param(8, 3, marks=pytest.mark.long)])
def test_letters_and_digits_changed_anywhere_in_a_large_mail_are_noticed_and_named(
    kind: str, tag: str, values: int, others: int
) -> None:
    chosen = random.Random(f"{kind} {tag}")
    order = full_order(blocks=1) if tag == "de" else hub_order()
    text, html, attachment = bodies_of(rendered(order, tag).raw)
    mail = {"text": text, "html": html, "json": attachment}
    spans = _value_spans(mail[kind], order, tag, markup=kind == "html")
    places = _visible_places(mail[kind], markup=kind == "html")
    for place in chosen.sample([place for place in places if place in spans], values):
        _check_change(order, mail, kind, place, spans[place])
    for place in chosen.sample(places, others):
        _check_change(order, mail, kind, place, None)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "tag"), [("text", "de"), ("html", "fr")])
def test_every_letter_and_digit_changed_in_a_usual_mail_is_noticed_and_named(kind: str, tag: str) -> None:
    order = hub_order()
    text, html, attachment = bodies_of(rendered(order, tag).raw)
    mail = {"text": text, "html": html, "json": attachment}
    spans = _value_spans(mail[kind], order, tag, markup=kind == "html")
    for place in _visible_places(mail[kind], markup=kind == "html"):
        _check_change(order, mail, kind, place, spans.get(place))


def test_the_same_letter_changed_in_both_bodies_is_noticed() -> None:
    for word, field in (
        ("1,234.50", "line[1].unit_price_customer"),
        ("AB-1", "line[1].sku"),
        ("Madrid", "delivery.city"),
        ("Ruiz", "delivery.name"),
        ("2,469.00", "totals.total_customer"),
        ("Red", "line[1].attributes[1]"),
    ):
        for place in (place for place, char in enumerate(word) if char.isalnum()):
            changed = {
                "text": TEXT.replace(word, _changed(word, place)),
                "html": HTML.replace(word, _changed(word, place)),
            }
            (whole,) = never_another(mail_of(**changed, json=JSON), SMALL)
            assert whole.grade == "review" and whole.order == SMALL
            assert [problem.field for problem in whole.problems if problem.code == "contradiction"] == [field, field]
            (alone,) = never_another(mail_of(**changed), SMALL)
            assert alone.grade == "review" and alone.order != SMALL


def test_a_changed_attachment_does_not_decide_against_what_people_see() -> None:
    document = json.loads(JSON)
    document["order"]["lines"][0]["quantity"] = "20"
    (result,) = never_another(mail_of(text=TEXT, html=HTML, json=json.dumps(document)), SMALL)
    assert result.grade == "review" and result.order == SMALL
    assert [problem.field for problem in result.problems] == ["line[1].quantity"]
    (alone,) = never_another(mail_of(json=json.dumps(document)), SMALL)
    assert alone.grade == "review" and {problem.code for problem in alone.problems} == {"seal"}


@pytest.mark.parametrize("name", sorted(json.loads(JSON)["notification"]))
def test_no_value_of_the_header_can_be_changed(name: str) -> None:
    document = json.loads(JSON)
    value = document["notification"][name]
    other = {"issued_at": "2027-01-01T00:00:00Z", "key_id": OTHER_KEY.key_id}.get(
        name, value + 1 if isinstance(value, int) else value + "x"
    )
    document["notification"][name] = other
    (result,) = never_another(mail_of(json=json.dumps(document)), SMALL, keys=(KEY, OTHER_KEY))
    assert result.grade == "review"
    del document["notification"][name]
    for result in never_another(mail_of(json=json.dumps(document)), SMALL):
        # The contract's version and the kind have a default, which is what was sealed.
        assert (result.grade == "review") == (name not in ("contract", "kind"))


# Rows, seals, hidden text


def _without_seal(body: str) -> str:
    return re.sub(r"Seal:(\s|<[^>]*>)*[0-9A-Z-]{24}", "", body)


def _without_proof(body: str) -> str:
    """As a sender without a key would print it."""
    return re.sub(r"(?s)Proof of this notification:.*?Seal:(\s|<[^>]*>)*[0-9A-Z-]{24}.*?(?=</body>|\Z)", "", body)


def _row(label: str, value: str) -> str:
    return f"<tr><td>{label}:</td><td>{value}</td></tr>"


def _swapped(html: str, one: str, other: str) -> str:
    return html.replace(one, "@@").replace(other, one).replace("@@", other)


def _html_mails() -> list[tuple[str, Callable[[str], str], bool]]:
    """What is done to the HTML, and whether it contradicts the attachment."""
    city = re.search(r"<tr[^>]*><td[^>]*>City:</td><td>Madrid</td></tr>", HTML)
    name = re.search(r"<tr[^>]*><td[^>]*>Name:</td><td>Ana Ruiz</td></tr>", HTML)
    assert city and name
    items = re.search(r"(?s)<tbody[^>]*>\n(<tr[^>]*><th[^>]*>Item 1 of 1:.*?</tr>)", HTML)
    assert items
    second = items[1].replace("Item 1 of 1", "Item 2 of 2").replace("AB-1", "AB-2")
    return [
        ("row removed", lambda html: html.replace(city[0], ""), False),
        ("row added", lambda html: html.replace(city[0], city[0] + _row("Company", "Evil Ltd")), True),
        ("row doubled", lambda html: html.replace(city[0], city[0] + city[0]), False),
        ("row doubled with another value", lambda html: html.replace(city[0], city[0] + _row("City", "Lisbon")), True),
        ("rows swapped", lambda html: _swapped(html, city[0], name[0]), False),
        ("values swapped", lambda html: _swapped(html, ">Madrid<", ">Ana Ruiz<"), True),
        ("labels swapped", lambda html: _swapped(html, ">City:", ">Name:"), True),
        ("line removed", lambda html: html.replace(items[1], ""), False),
        ("line added", lambda html: html.replace(items[1], items[1] + second), True),
        ("line doubled", lambda html: html.replace(items[1], items[1] * 2), True),
        ("line numbered otherwise", lambda html: html.replace("Item 1 of 1", "Item 2 of 2"), True),
        ("seal removed", _without_seal, False),
        ("seal changed", lambda html: re.sub(r"(Seal:\s*(?:<[^>]*>)*)\w{4}", r"\g<1>0000", html), True),
        ("everything removed", lambda html: "<p>Please enter this order.</p>", False),
        ("text before it", lambda html: html.replace("<body", "<body><p>Order: below. Total: 5 EUR</p><p"), False),
        ("text behind it", lambda html: html.replace("</body>", "<p>Bye. Order total: 5.00 EUR</p></body>"), False),
        ("value emptied", lambda html: html.replace(">Madrid<", "><"), False),
        ("value longer", lambda html: html.replace(">Madrid<", ">Madrid, second floor<"), True),
        ("value shorter", lambda html: html.replace(">Madrid<", ">Madr<"), True),
        ("minus sign", lambda html: html.replace("2,469.00", "-2,469.00"), True),
        ("decimal mark moved", lambda html: html.replace("2,469.00", "24,690.0"), True),
        ("decimal mark lost", lambda html: html.replace("1,234.50", "1,23450"), True),
        ("currency changed", lambda html: html.replace("2,469.00 EUR", "2,469.00 GBP"), True),
        ("letter with an accent", lambda html: html.replace("Madrid", "Mádrid"), True),
        ("letter of another script", lambda html: html.replace("Madrid", "Mаdrid"), True),
        ("case changed", lambda html: html.replace("Madrid", "MADRID"), True),
    ]  # fmt: skip


HTML_MAILS = _html_mails()


@pytest.mark.parametrize(
    ("change", "contradicts"), [case[1:] for case in HTML_MAILS], ids=[case[0] for case in HTML_MAILS]
)
def test_whatever_is_done_to_rows_only_the_original_is_ever_sealed(
    change: Callable[[str], str], contradicts: bool
) -> None:
    html = change(HTML)
    assert html != HTML
    for others in ({"json": JSON}, {"text": TEXT}, {"text": TEXT, "json": JSON}):
        results = never_another(mail_of(html=html, **others), SMALL)
        assert len(results) == 1 and results[0].order == SMALL
        assert results[0].grade == ("review" if contradicts else "sealed")
        assert not contradicts or any(
            problem.code == "contradiction" and problem.field for problem in results[0].problems
        )
    for result in never_another(mail_of(html=html), SMALL):
        assert result.grade != "sealed" or flatten(html).split() != flatten(HTML).split()


def test_a_mail_that_lost_its_seal_is_consistent_at_most() -> None:
    for result in (judged(mail_of(text=_without_proof(TEXT))), judged(mail_of(html=_without_proof(HTML)))):
        assert result.grade == "consistent" and result.order == SMALL and not result.problems
    for result in (judged(mail_of(text=_without_seal(TEXT))), judged(mail_of(html=_without_seal(HTML)))):
        assert result.grade == "review" and result.order == SMALL
        assert [problem.field for problem in result.problems] == ["proof.seal"]
    for body in (
        {"text": TEXT.replace("Proof of this notification", "Proof")},
        {"html": HTML.replace("Seal:", "Sael:")},
    ):
        assert judged(mail_of(**body)).grade in ("consistent", "review")
    assert judged(mail_of(text=_without_proof(TEXT), html=_without_proof(HTML))).grade == "consistent"
    mended = _without_proof(TEXT).replace("2,469.00", "2,468.00")
    (result,) = read_message(mail_of(text=mended), [KEY])
    assert result.grade == "review" and result.problems[0].field == "totals.total_customer"


@pytest.mark.parametrize(
    ("label", "field"),
    [("Platform", "order.platform"), ("Quantity", "line[1].quantity"), ("Order total", "totals.total_customer")],
)
def test_an_unsealed_order_that_misses_a_required_field_is_reviewed_naming_it(label: str, field: str) -> None:
    text = re.sub(rf"{label}: .*\n", "", _without_proof(TEXT))
    result = judged(mail_of(text=text))
    assert result.grade == "review" and field in [problem.field for problem in result.problems]


HIDING = [
    'style="display:none"',
    'style="color:red;DISPLAY : None"',
    'style="display:none !important"',
    'style="visibility: hidden"',
    'style="font-size:0"',
    'style="font-size:0px;line-height:0"',
    'style="mso-hide:all"',
    "hidden",
]


@pytest.mark.parametrize("hiding", HIDING)
def test_hidden_text_does_not_decide(hiding: str) -> None:
    other = bodies_of(rendered(small_order().model_copy(update={"order_number": "evil"}), key=OTHER_KEY).raw)[1]
    inside = re.sub(r"(?s).*<body[^>]*>|</body>.*", "", HTML)
    visible = f"<div>{inside}</div>"
    row = f"<tr {hiding}><td>Company:</td><td>Evil Ltd</td></tr>"
    city = re.search(r"<tr[^>]*><td[^>]*>City:</td>", visible)
    assert city
    for html in (
        f"<div {hiding}>{other}</div>{visible}",
        f"{visible}<div {hiding}>{other}</div>",
        visible.replace(city[0], row + city[0]),
        visible.replace(">Madrid<", f">Madrid<span {hiding}>x</span><"),
    ):
        (result,) = never_another(mail_of(html=html), SMALL)
        assert result.grade == "sealed" and result.order == SMALL
    (result,) = never_another(mail_of(html=visible.replace(">Madrid<", f"><span {hiding}>Madrid</span>Lisbon<")), SMALL)
    assert result.grade == "review"
    assert read_message(mail_of(html=f"<div {hiding}>{inside}</div><p>Hello</p>"), [KEY]) == ()


def test_comments_scripts_and_attributes_are_not_text() -> None:
    for html in (
        HTML.replace("Madrid", "Mad<!-- x -->rid"),
        HTML.replace("Madrid", "Mad<script>x</script>rid"),
        HTML.replace(">Madrid<", ' title="City: Lisbon">Madrid<'),
        HTML.replace("</head>", "<title>City: Lisbon</title></head>"),
        HTML.replace("Madrid", "Mad<span>ri</span><b>d</b>"),
        HTML.replace("Madrid", "M\u00adad\u200brid\ufeff"),
        HTML.replace("Madrid", "&#77;adr&#x69;d"),
    ):
        assert html != HTML
        assert judged(mail_of(html=html)).grade == "sealed"


# Keys


def test_an_unknown_key_is_named_and_the_order_goes_to_a_person() -> None:
    raw = rendered(SMALL, key=OTHER_KEY).raw
    for keys in ([], [KEY], [key_of(bytes(32)), KEY]):
        (result,) = read_message(raw, keys)
        assert result.grade == "review" and result.order == SMALL
        assert [problem.code for problem in result.problems] == ["key"]
        assert OTHER_KEY.key_id in result.problems[0].message and result.problems[0].field == "proof.key_id"
    assert judged(raw, KEY, OTHER_KEY).grade == "sealed"


def test_a_seal_made_with_another_key_under_our_keys_name_is_reviewed() -> None:
    forged = Key(KEY.key_id, OTHER_KEY.secret)
    (result,) = read_message(rendered(SMALL, key=forged).raw, [KEY])
    assert result.grade == "review" and {problem.code for problem in result.problems} == {"seal"}


def test_a_seal_without_the_name_of_its_key_is_reviewed() -> None:
    text = re.sub(r"Key: \w+\n", "", TEXT)
    result = judged(mail_of(text=text))
    assert result.grade == "review" and "proof.key_id" in [problem.field for problem in result.problems]


# Several notifications, several carriers


def test_copies_of_one_notification_are_one_and_different_ones_are_several() -> None:
    second = Order.model_validate({**SMALL.to_json(), "order_number": "2"})
    other = bodies_of(rendered(second).raw)
    assert len(read_message(mail_of(text=TEXT + TEXT, html=HTML + HTML, json=JSON), [KEY])) == 1
    both = read_message(mail_of(text=TEXT + other[0], html=HTML + other[1]), [KEY])
    assert [(result.grade, result.order) for result in both] == [("sealed", SMALL), ("sealed", second)]
    revised = bodies_of(rendered(SMALL, revision=2).raw)[0]
    assert len(read_message(mail_of(text=TEXT + revised), [KEY])) >= 1
    for result in read_message(mail_of(text=TEXT + revised), [KEY]):
        assert result.order == SMALL


def test_what_the_readings_of_several_mails_share_changes_none_of_them() -> None:
    chosen, memory = random.Random(3), dict[Any, Any]()
    second = Order.model_validate({**SMALL.to_json(), "order_number": "2"})
    grades = set()
    for _ in range(20):
        text, html, attached = chosen.choice([(TEXT, HTML, JSON), bodies_of(rendered(second, "de").raw)])
        if chosen.random() < 0.5:
            place = chosen.randrange(len(text))
            text = text[:place] + chosen.choice("x7:?") + text[place + 1 :]
        raw = chosen.choice([mail_of(text=text), mail_of(html=html), mail_of(text=text, html=html, json=attached)])
        key = chosen.choice([KEY, KEY, OTHER_KEY])
        results = read_message(raw, [key], memory)
        assert results == read_message(raw, [key])
        grades |= {result.grade for result in results}
    assert grades == {"sealed", "review"}


def test_the_same_order_in_two_languages_is_one_notification() -> None:
    german = bodies_of(rendered(SMALL, "de").raw)
    (result,) = read_message(mail_of(text=german[0], html=HTML, json=JSON), [KEY])
    assert result.grade == "sealed" and not result.problems


def test_a_body_that_shows_another_order_than_the_attachment_is_reviewed() -> None:
    second = Order.model_validate({**SMALL.to_json(), "order_number": "2"})
    other = bodies_of(rendered(second, key=OTHER_KEY).raw)
    for result in read_message(mail_of(text=other[0], html=other[1], json=JSON), [KEY]):
        assert result.grade == "review"


def test_a_mail_that_is_no_notification_gives_nothing() -> None:
    for raw in (
        b"",
        b"\r\n\r\n",
        b"Subject: Hello\r\n\r\nHow are you?\r\n",
        mail_of(text="Your order number: 5\nStatus: shipped", html="<p>Order total: 5.00 EUR</p>"),
        mail_of(json='{"orders": [1, 2]}'),
    ):
        assert read_message(raw, [KEY]) == ()


def test_a_note_that_names_the_title_is_no_notification() -> None:
    note = "Please look at this International Order Notification: it is urgent.\n\n"
    assert judged(mail_of(text=note + TEXT)).grade == "sealed"
    assert judged(mail_of(html=f"<p>{note}</p>" + HTML)).grade == "sealed"


def test_a_cut_text_beside_a_whole_attachment_is_damage() -> None:
    for length in (len(TEXT) // 3, len(TEXT) // 2, TEXT.index("Key: ") + 6):
        (result,) = read_message(mail_of(text=TEXT[:length], json=JSON), [KEY])
        assert result.grade == "sealed" and result.order == SMALL
        assert {problem.code for problem in result.problems} == {"damage"}
        assert judged(mail_of(text=TEXT[:length])).grade in ("review", "consistent")


@pytest.mark.parametrize("lost", ["?", "\ufffd", "??", "\ufffd\ufffd"])
def test_letters_a_charset_lost_are_damage_beside_the_attachment_and_review_alone(lost: str) -> None:
    order = Order.model_validate({**SMALL.to_json(), "delivery": {"name": "Jürgen", "city": "Köln", "country": "DE"}})
    text, _, attachment = bodies_of(rendered(order).raw)
    broken = text.replace("ü", lost).replace("ö", lost)
    result = judged(mail_of(text=broken, json=attachment))
    assert result.grade == "sealed" and {problem.code for problem in result.problems} == {"damage"}
    assert judged(mail_of(text=broken)).grade == "review"
    assert judged(mail_of(text=text.replace("Jürgen", f"J{lost}rgem"), json=attachment)).grade == "review"
    assert judged(mail_of(text=text.replace("rgen", f"rg{lost}n"), json=attachment)).grade == "review", "e is ASCII"


def test_a_decimal_mark_lost_in_a_rebuilt_text_is_damage_only_if_the_html_agrees() -> None:
    text = TEXT.replace("1,234.50", "1,23450")
    assert judged(mail_of(text=text, html=HTML, json=JSON)).grade == "sealed"
    assert judged(mail_of(text=text, json=JSON)).grade == "review"
    assert judged(mail_of(text=TEXT.replace("1,234.50", "12,345.0"), json=JSON)).grade == "review"


def test_a_value_with_a_link_in_it_is_compared_whole() -> None:
    order = Order.model_validate({**SMALL.to_json(), "notes": ["see <https://shop.example/a> <mailto:a@b.example>"]})
    text, html, attachment = bodies_of(rendered(order).raw)
    assert judged(mail_of(text=text)).order == judged(mail_of(html=html)).order == order
    for old, new in (("shop.example/a", "shop.example/b"), ("a@b.example", "x@b.example")):
        for bodies_changed in ({"text": text.replace(old, new)}, {"html": html.replace(old, new)}):
            result = judged(mail_of(**bodies_changed, json=attachment))
            assert result.grade == "review", bodies_changed
            assert [problem.field for problem in result.problems] == ["order.notes[1]"]


# Blanks, quotes, encodings: what clients change without changing the order


@given(st.randoms(use_true_random=False), st.sampled_from([">", "> ", ">> ", "| ", "\t> ", "> > > "]))
@settings(max_examples=30)
def test_text_quoted_and_wrapped_anyhow_is_still_sealed(chosen: random.Random, quote: str) -> None:
    words = TEXT.split()
    lines: list[str] = []
    while words:
        size = chosen.randint(1, 9)
        lines.append(quote + chosen.choice([" ", "  ", "\u00a0", "\u202f"]).join(words[:size]))
        words = words[size:]
        if chosen.random() < 0.2:
            lines.append(quote.strip())
    assert judged(mail_of(text="\r\n".join(lines))).grade == "sealed"


@cache
def _forwarded(tag: str) -> list[tuple[Order, bytes]]:
    return [(order, rendered(order, tag).raw) for order in (SMALL, hub_order(), full_order())]


@pytest.mark.parametrize(("way", "tag"), one_in(3, sorted(WAYS), SOME_TAGS))
def test_a_forward_keeps_the_order(way: str, tag: str) -> None:
    for order, raw in _forwarded(tag):
        result = judged(WAYS[way](raw))
        assert result.grade == "sealed" and result.order == order
        assert not [problem for problem in result.problems if problem.code != "damage"]


def test_stars_and_links_that_clients_add_are_passed_over() -> None:
    starred = re.sub(r"(?m)^([A-Z][^:\n]*:)", r"*\1*", TEXT)
    linked = TEXT.replace("AB-1", "AB-1<tel:1>").replace("Madrid", "Madrid <https://maps.example/?q=Madrid>")
    for text in (starred, linked, re.sub(r"(?m)^([A-Z][^:\n]*:)", r"*\1*", linked)):
        assert text != TEXT and judged(mail_of(text=text)).grade == "sealed"


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-7", "iso-8859-1", "windows-1252", "cp437"])
@pytest.mark.parametrize("encoding", ["base64", "8bit"])
def test_a_mail_in_another_charset_is_read(charset: str, encoding: str) -> None:
    order = Order.model_validate({**SMALL.to_json(), "delivery": {"name": "Jürgen", "country": "DE"}})
    octets = bodies_of(rendered(order).raw)[0].encode(charset)
    if charset == "utf-16":
        encoding = "base64"  # no mail carries it otherwise
    body = base64.encodebytes(octets) if encoding == "base64" else octets
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    assert judged(head.encode() + body).order == order


def test_flowed_text_is_unflowed() -> None:
    assert unflow("a \nb\n", delsp=False) == "a b"
    assert unflow("a \nb\n", delsp=True) == "ab"
    assert unflow("> a \n> b\nc", delsp=False) == "> a b\nc"
    assert unflow("-- \nb", delsp=False) == "-- \nb"
    assert unflow(" >x\n From y", delsp=False) == ">x\nFrom y"
    flowed = "\r\n".join(" " + line if line.startswith((" ", ">", "From")) else line for line in TEXT.splitlines())
    assert judged(b"Content-Type: text/plain; format=flowed; charset=utf-8\r\n\r\n" + flowed.encode()).grade == "sealed"


def test_an_attached_original_is_read_before_what_a_client_made_of_it() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + SMALL_MAIL.raw
    named = (
        b"Content-Type: application/octet-stream; name=order.EML\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(SMALL_MAIL.raw)
    )
    for part in (inner, named):
        raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nFYI\r\n--b\r\n" + part + b"\r\n--b--\r\n"
        result = judged(raw)
        assert result.grade == "sealed" and not result.problems
    assert [body.kind for body in bodies(inner)] == ["text", "html", "json"]


def test_a_quote_mark_of_a_value_that_is_wrapped_to_the_start_of_a_line_stays() -> None:
    for length in range(30, 62):
        order = Order.model_validate({**SMALL.to_json(), "merchant_order_number": f"{'x' * length} > end | y"})
        raw = rendered(order).raw
        for way in ("inline, text only", "forwarded twice"):
            assert judged(WAYS[way](raw)).grade == "sealed", (way, length)


def test_quote_marks_go_and_values_that_begin_with_them_stay() -> None:
    assert without_program_marks("> > a\n>b\n| c\nd \\> *e* f > g") == "a\nb\n\n c\nd \\> e f g"
    order = Order.model_validate({**SMALL.to_json(), "notes": ["> x", "| y", "* z *", "_u_"]})
    text, html, _ = bodies_of(rendered(order).raw)
    assert judged(mail_of(text=text)).order == judged(mail_of(html=html)).order == order


@given(orders(most=6))
@settings(max_examples=40, deadline=None)
def test_a_sealed_text_of_any_order_changed_in_one_letter_is_never_another_order(order: Order) -> None:
    result = rendered(order)
    text, html, attachment = bodies_of(result.raw)
    chosen = random.Random(result.seal)
    place = chosen.choice(_visible_places(text, markup=False))
    changed = _changed(text, place)
    for raw in (mail_of(text=changed), mail_of(text=changed, json=attachment), mail_of(text=changed, html=html)):
        never_another(raw, order)


def test_an_unsealed_order_whose_discounts_add_up_is_consistent() -> None:
    order = Order.model_validate(
        {**SMALL.to_json(), "discounts": [adjustment("x", "69.5").model_dump(mode="json", exclude_defaults=True)]}
    )
    order = order.model_copy(update={"totals": order.totals.model_copy(update={"total_customer": None})})
    assert judged(mail_of(text=_without_proof(bodies_of(rendered(order).raw)[0]))).grade == "review"
    total = {"total_customer": {"amount": "2399.5", "currency": "EUR"}}
    order = Order.model_validate({**order.to_json(), "totals": total})
    assert judged(mail_of(text=_without_proof(bodies_of(rendered(order).raw)[0]))).grade == "consistent"


def test_a_heading_that_numbers_more_items_than_there_are_is_a_contradiction() -> None:
    number = f"of {len(SMALL.lines)}:"
    for shown in ({"text": TEXT.replace(number, "of 9:"), "html": HTML.replace(number, "of 9:")}, {}):
        result = judged(mail_of(**{"text": TEXT.replace(number, "of 9:"), "html": HTML, "json": JSON} | shown))
        assert result.grade == "review" and result.order == SMALL
        assert ("contradiction", "line") in {(problem.code, problem.field) for problem in result.problems}
    assert judged(mail_of(text=TEXT.replace(number, "of 9:"))).grade == "review"


def test_a_value_behind_a_label_that_somebody_changed_is_a_contradiction() -> None:
    heading = next(line for line in TEXT.splitlines() if line.startswith(f"Item 1 of {len(SMALL.lines)}:"))
    label = TEXT.split(heading, 1)[1].strip().split(":", 1)[0]
    text = TEXT.replace(f"{heading}\n{label}:", f"{heading}\nX{label[1:]}:")
    assert text != TEXT
    result = judged(mail_of(text=text, html=HTML, json=JSON))
    assert (result.grade, result.order) == ("review", SMALL)


def test_a_decimal_mark_that_moved_in_a_text_part_is_a_contradiction_even_beside_html_that_agrees() -> None:
    assert judged(mail_of(text=TEXT.replace("1,234.50", "12,34.50"), html=HTML, json=JSON)).grade == "review"


@pytest.mark.parametrize("kept", [JSON.index('"seal"') + 20, JSON.index('"shown"') + 20, len(JSON) - 3])
def test_a_damaged_attachment_alone_is_never_passed_over(kept: int) -> None:
    result = judged(mail_of(text="please see attached\n", json=JSON[:kept]))
    assert result.grade == "review" and result.order is None
    assert result.problems[0].field == "attachment"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("> see x <https://a.example>\n> City: y", "see x\nCity: y"),
        ("> see x <https://a.example/b\n> c>\n> City: y", "see x\nCity: y"),
        ("a@b.c<mailto:a@b.c<mailto:a@b.c>>, d", "a@b.c, d"),
        ("<a@b.c <mailto:a@b.c> > d", "<a@b.c> d"),
        ("a@b.c <mailto:a@b.c <mailto:a@b.c>  <mailto:a@b.c <mailto:a@b.c> > > d", "a@b.c d"),
        ("> a@b.c<mailto:a@b.c> > Phone: 1", "a@b.c Phone: 1"),
        ("x <https://a.example?Quantity:\n5 pieces>", "x <https://a.example?Quantity:\n5 pieces>"),
        ("+1 <tel:+1 (212) 555> d", "+1 d"),
        ("a@b.c [mailto:a@b.c] d", "a@b.c d"),
        ("[x](https://a.example/b) [https://a.example/(](https://a.example/()", "x https://a.example/("),
        ("| Label:|value | *b*|c |", "\n Label:\nvalue \n b\nc \n"),
        ("> > ## Label: v\n> w", " Label: v\nw"),
        ("AB> Label: v\n" * 5, "Label: v\n" * 5),
        ("AB> CD> Label: v\n" * 5, "Label: v\n" * 5),
        ("City: Lima> Madrid\nQuantity: 5> 2", "City: Lima> Madrid\nQuantity: 5> 2"),
        (
            "2 <http:not-2-but-5> <tel:7> [geo:make-it] <mailto:5>",
            "2 <http:not-2-but-5> <tel:7> [geo:make-it] <mailto:5>",
        ),
        (
            r"\> \| \* \<https://a.example> \[x](https:y) \## C:\\*x*",
            r"\> \| \* \<https://a.example> \[x](https:y) \## C:\\x",
        ),
    ],
)
def test_what_programs_write_is_taken_away_and_what_is_guarded_stays(written: str, shown: str) -> None:
    assert without_program_marks(written) == shown


# Imprints


def _with_shown(shown: Any) -> str:
    return json.dumps({**json.loads(JSON), "shown": shown})


def test_an_attachment_vouches_for_the_bodies_it_was_sent_with() -> None:
    document = json.loads(JSON)
    for kind, body in (("text", TEXT), ("html", HTML)):
        assert verify_imprint(document["shown"][kind], body, "en", document["seal"], [KEY])
    (result,) = read_message(rendered(SMALL, "de").raw, [KEY])
    assert (result.grade, result.carrier, result.language, result.problems) == ("sealed", "json", "de", ())


@pytest.mark.parametrize(
    "shown",
    [
        None,
        [],
        "x",
        {},
        {"language": "en"},
        {"language": "xx", "text": "0" * 20, "html": "0" * 20},
        {"language": "EN", "text": "\ud800", "html": 5},
        {"language": ["en"], "text": ["0"], "html": {"a": "b"}},
        {"language": "en", "text": "x" * 100_000, "html": ""},
    ],
)
def test_an_attachment_that_vouches_for_nothing_still_proves_its_order(shown: Any) -> None:
    result = judged(mail_of(text=TEXT, html=HTML, json=_with_shown(shown)))
    assert result.grade == "sealed" and result.order == SMALL and result.language == "en"


def test_nobody_vouches_for_an_edited_body_without_the_key() -> None:
    edited = {"text": TEXT.replace("Quantity: 2", "Quantity: 5"), "html": HTML.replace("Quantity: 2", "Quantity: 5")}
    seal = json.loads(JSON)["seal"]
    honest = json.loads(JSON)["shown"]
    forged = {kind: make_imprint(body, "en", seal, OTHER_KEY) for kind, body in edited.items()}
    swapped = {"text": honest["html"], "html": honest["text"]}
    for shown in (honest, {"language": "en", **forged}, {"language": "en", **swapped}, {**honest, "language": "de"}):
        (result,) = never_another(mail_of(**edited, json=_with_shown(shown)), SMALL)
        assert result.grade == "review"
        assert {problem.field for problem in result.problems if problem.code == "contradiction"} == {"line[1].quantity"}


def test_a_body_is_vouched_for_only_beside_the_notification_it_was_made_for() -> None:
    other = SMALL.model_copy(update={"order_number": "999-1"})
    beside = bodies_of(rendered(other).raw)
    (result,) = never_another(mail_of(text=beside[0], html=beside[1], json=JSON), SMALL)
    assert result.grade == "review", "an attachment of one order does not stand for the bodies of another"


def test_a_body_that_the_holder_of_the_key_vouches_for_is_not_read_again() -> None:
    body = TEXT.replace("Quantity: 2", "Quantity: 5")
    imprint = make_imprint(body, "en", json.loads(JSON)["seal"], KEY)
    vouched = judged(mail_of(text=body, json=_with_shown({"language": "en", "text": imprint})))
    assert (vouched.grade, vouched.order, vouched.problems) == ("sealed", SMALL, ())
    touched = judged(
        mail_of(text=body.replace("Quantity: 5", "Quantity: 6"), json=_with_shown({"language": "en", "text": imprint}))
    )
    assert touched.grade == "review"


@pytest.mark.parametrize(
    "shown", ['"Quantity: 5":0,', '"order":{"Quantity":"5"},', '"seal":"7K2M-9QXR-7K2M-9QXR-7K2M",']
)
def test_a_text_that_says_more_than_an_attachment_does_is_none(shown: str) -> None:
    assert judged(mail_of(text=JSON)).grade == "sealed", "the attachment's own text, shown, is all of it"
    results = read_message(mail_of(text="{" + shown + JSON.strip()[1:]), [KEY])
    assert all(result.grade != "sealed" for result in results)


def test_of_very_many_lost_fields_the_first_are_told_and_how_many_more() -> None:
    order = full_order()
    text, _, attachment = bodies_of(rendered(order).raw)
    (result,) = read_message(mail_of(text=text[: len(text) // 4], json=attachment), [KEY])
    assert result.grade == "sealed" and result.order == order
    lost = [problem for problem in result.problems if problem.message.endswith("has lost it")]
    (more,) = (problem for problem in result.problems if problem.message.endswith(" more"))
    assert len(lost) == 40 and more.code == "damage" and int(more.message.split()[-2]) > 10
