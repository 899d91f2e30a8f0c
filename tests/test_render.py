"""What a rendered mail is: a message every mail program reads, that no field can break out of, that a person cannot
misread, and that is refused before it leaves where a template lost something."""

import email
import email.policy
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.contract import FIELDS, SECTIONS, Kind, entries, language, languages, print_value, tags
from ion.errors import RenderError, SettingError
from ion.notify.render import Envelope
from ion.notify.templates import HTML_NAME, TEXT_NAME, TEXT_WIDTH, Templates, built_in_folder
from ion.order import Address, Money, Order, Totals
from ion.reading import read_message
from ion.reading.streams import flatten
from tests.hard_orders import hard_orders
from tests.orders import (
    ENVELOPE,
    ISSUED,
    KEY,
    OTHER_KEY,
    SOME_TAGS,
    bodies_of,
    full_order,
    guarded_orders,
    long_order,
    notification_for,
    orders,
    parsed,
    rendered,
    small_order,
    texts,
)
from tests.thinning import one_in

each_tag = pytest.mark.parametrize("tag", one_in(3, tags()))
some_tags = pytest.mark.parametrize("tag", SOME_TAGS)


# Structure and headers


@each_tag
def test_a_mail_is_text_and_html_of_one_content_and_the_notification_attached(tag: str) -> None:
    message = parsed(rendered(full_order(), tag).raw)
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/json",
    ]
    *_, text, html, attachment = message.walk()
    assert text.get_content_charset() == html.get_content_charset() == "utf-8"
    assert attachment.get_content_disposition() == "attachment"
    assert attachment.get_filename() == "ion-GE12345678GB.json"
    assert not any(part.defects for part in message.walk())


def test_the_headers_are_those_of_an_automatic_mail() -> None:
    message = parsed(
        rendered(small_order(), envelope=Envelope("ION <ion@p.example>", ("a@b.example",), "h@p.example")).raw
    )
    assert message["From"] == "ION <ion@p.example>"
    assert message["To"] == "a@b.example"
    assert message["Reply-To"] == "h@p.example"
    assert message["Date"].datetime == ISSUED
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "en"
    assert message["MIME-Version"] == "1.0"
    assert re.fullmatch(r"<ion\.[0-9a-f]{32}@p\.example>", message["Message-ID"])
    for name in ("From", "To", "Subject", "Date", "Message-ID", "Reply-To", "Auto-Submitted", "MIME-Version"):
        assert len(message.get_all(name, [])) == 1, name
    assert "Reply-To" not in parsed(rendered(small_order()).raw)


def test_the_octets_are_seven_bit_with_crlf_lines_no_longer_than_smtp_allows() -> None:
    for order in (full_order(), small_order().model_copy(update={"notes": ("x" * 20_000, "ü" * 5000)})):
        raw = rendered(order).raw
        assert raw.isascii()
        assert b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b"")
        assert max(map(len, raw.split(b"\r\n"))) <= 998
        assert b"\x00" not in raw


def test_a_mail_to_nobody_in_particular_says_so() -> None:
    assert (
        parsed(rendered(small_order(), envelope=Envelope("ion@p.example", ())).raw)["To"] == "undisclosed-recipients:;"
    )


@each_tag
def test_the_subject_tells_number_items_total_and_destination(tag: str) -> None:
    order = small_order().model_copy(update={"merchant_order_number": "M-7"})
    subject = str(parsed(rendered(order, tag).raw)["Subject"])
    total = print_value(Kind.MONEY, "2469 EUR", language(tag))
    country = {"en": "Spain (ES)", "de": "Spanien (ES)", "fr": "Espagne (ES)", "ja": "スペイン (ES)"}.get(tag, "(ES)")
    assert all(part in subject for part in ("M-7", "2", country))
    assert "".join(total.split()) in "".join(subject.split())
    assert subject == str(parsed(rendered(order, tag, sequence=8).raw)["Subject"]), "stable for the same order"
    phrases = language(tag).mail
    for name in ("test", "replacement"):
        assert phrases[f"subject_{name}"] in str(parsed(rendered(guarded_orders()[name], tag).raw)["Subject"])


@pytest.mark.parametrize("number", ["Größe 7", "注文-1", "№ 5", "👩\u200d🚀", "é" * 200, "x" * 5000, "שלום"])
def test_a_subject_that_is_not_ascii_is_encoded_and_bounded(number: str) -> None:
    raw = rendered(small_order().model_copy(update={"merchant_order_number": number})).raw
    (line,) = re.findall(rb"^Subject: ((?:.*\r\n[ \t])*.*)\r\n", raw, re.MULTILINE)
    assert line.isascii()
    assert all(len(piece) <= 998 for piece in line.split(b"\r\n"))
    subject = str(make_header(decode_header(line.decode().replace("\r\n", ""))))
    assert number[:80] in subject and len(subject) <= 200
    assert str(parsed(raw)["Subject"]) == subject


def test_the_message_id_is_that_of_the_notification() -> None:
    def message_id(order: Order | None = None, **changes: Any) -> str:
        return rendered(order or small_order(), **changes).message_id

    same = message_id()
    assert message_id() == same == message_id(tag="de")
    others = [
        message_id(sequence=8),
        message_id(revision=2),
        message_id(merchant="other"),
        message_id(issued_at=ISSUED + timedelta(seconds=1)),
        message_id(key=OTHER_KEY),
        message_id(small_order().model_copy(update={"test": True})),
        message_id(full_order()),
    ]
    assert len({same, *others}) == len(others) + 1


def test_a_notification_without_its_time_of_issue_is_refused() -> None:
    with pytest.raises(RenderError) as caught:
        rendered(small_order(), issued_at=None)
    assert caught.value.field == "proof.issued_at"


# No field breaks out

INJECTIONS = [
    "x\r\nBcc: victim@x.example",
    "x\nBcc: victim@x.example\n\nbody",
    "x\rBcc: victim@x.example",
    "x\x00y\u202ey\u2066z\u2028Bcc: victim@x.example\x85Bcc: a@x.example\x0bBcc: b@x.example",
    "=?utf-8?q?a=0D=0ABcc:_victim=40x.example?=",
    "=?utf-8?b?eA0KQmNjOiB2aWN0aW1AeC5leGFtcGxl?=",
    "=?utf-8?q?a?= =?utf-8?q?=0D=0ABcc:_victim=40x.example?= \u00e4",
    "=?utf-8?q?=E2=80=AEevil?=",
    "\ud800 =?utf-16?b?DQpCY2M6?= \udfff",
    '"; filename="x.exe',
    "--===============0123456789==\r\nContent-Type: text/html",
    "<script>alert(1)</script>\r\n.\r\nMAIL FROM:<a@b>",
    "x" * 19_000 + "\r\nBcc: victim@x.example",
]
_KNOWN_HEADERS = {
    *("subject", "from", "to", "date", "message-id", "auto-submitted", "x-auto-response-suppress", "content-language"),
    *("mime-version", "content-type"),
}


def _headers(raw: bytes) -> dict[str, list[str]]:
    """The headers as a simple reader sees them: unfolded lines before the first empty one."""
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    found: dict[str, list[str]] = {}
    for line in re.sub(r"\r\n[ \t]", " ", head).split("\r\n"):
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


def _safe(raw: bytes) -> None:
    headers = _headers(raw)
    assert set(headers) == _KNOWN_HEADERS and all(len(values) == 1 for values in headers.values())
    for name in ("Subject", "From", "To"):
        shown = str(parsed(raw)[name])
        decoded = str(make_header(decode_header(headers[name.lower()][0])))
        for text in (shown, decoded):
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text), text
    message = parsed(raw)
    assert [part.get_content_type() for part in message.walk()][1:] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
        "application/json",
    ]
    assert "Bcc" not in message and b"\r\nBcc:" not in raw.partition(b"\r\n\r\n")[0]


def _with_every_text(text: str) -> Order:
    """An order whose every text field holds `text`."""

    def replaced(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: replaced(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [replaced(inner, name) for inner in value]
        kept = ("platform", "country", "country_of_origin", "currency", "amount", "card_last_four")
        return text if isinstance(value, str) and name not in kept and not re.fullmatch(r"-?[\d.]+", value) else value

    return Order.model_validate(replaced(full_order(blocks=1).to_json()))


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_field_of_an_order_adds_a_header_or_a_part(text: str) -> None:
    order = _with_every_text(text[:2000])
    result = rendered(order, merchant=text)
    _safe(result.raw)
    name = parsed(result.raw).get_payload()[-1].get_filename()  # type: ignore[union-attr,index]
    assert re.fullmatch(r"ion-[A-Za-z0-9._-]{1,80}\.json", str(name))
    (judged,) = read_message(result.raw, [KEY])
    assert judged.grade == "sealed" and judged.order == order and not judged.problems


@given(texts, texts)
@settings(max_examples=60)
def test_no_text_in_the_subject_adds_a_header(number: str, other: str) -> None:
    order = small_order().model_copy(update={"merchant_order_number": number, "order_number": other})
    _safe(rendered(order).raw)


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_name_of_a_sender_or_recipient_adds_a_header(text: str) -> None:
    for envelope in (
        Envelope(f"{text} <ion@p.example>", ("a@b.example",)),
        Envelope("ion@p.example", (f"{text} <a@b.example>",)),
        Envelope(f'"{text}" <ion@p.example>', (f'"{text}" <a@b.example>', "c@d.example")),
    ):
        try:
            raw = rendered(small_order(), envelope=envelope).raw
        except SettingError:
            continue
        _safe(raw)
        message = parsed(raw)
        assert [one.addr_spec for one in message["From"].addresses] == ["ion@p.example"]
        assert {one.addr_spec for one in message["To"].addresses} <= {"a@b.example", "c@d.example"}


@pytest.mark.parametrize(
    "address",
    [
        *("", "ion", "ion@", "@p.example", "a b@p.example", "a@b@p.example", "ion@p.example\r\nBcc: v@x.example", "<>"),
        *(
            "a@p.example, b@p.example",
            "ion@p.example>",
            "ion@p .example",
            "ion@[",
            "ion\x00@p.example",
            "a;b@p.example",
        ),
        *(
            "Name <a@p.example",
            "ion@=?utf-8?q?x?=",
            "=?utf-8?q?a=0D=0A?=@p.example",
            "grüße@p.example",
            "ion@p.example\n",
        ),
        *(
            "ion@-",
            "ion@p..example",
            ".ion@p.example",
            "\ud800@p.example",
            "(x)@p.example",
            "[@p.example",
            "ion@[1.2.3",
        ),
    ],
)
def test_what_is_no_mail_address_is_a_setting_to_mend_or_harmless(address: str) -> None:
    for envelope in (Envelope(address, ("a@b.example",)), Envelope("ion@p.example", (address,))):
        try:
            raw = rendered(small_order(), envelope=envelope).raw
        except SettingError:
            continue
        _safe(raw)
        assert address.strip() in ("ion@p.example", "Name <a@p.example", ".ion@p.example", "ion@-", "ion@p..example")


def test_a_name_that_is_not_ascii_is_encoded() -> None:
    envelope = Envelope("Zürich Handel <ion@p.example>", ("東京 <a@b.example>",))
    message = parsed(rendered(small_order(), envelope=envelope).raw)
    assert message["From"].addresses[0].display_name == "Zürich Handel"
    assert message["To"].addresses[0].display_name == "東京"


# The HTML


@pytest.mark.parametrize("tag", one_in(4, tags()))
def test_the_html_of_two_hundred_usual_lines_stays_below_what_mail_programs_clip(tag: str) -> None:
    order = hard_orders()["two hundred lines"]
    assert len(order.lines) == 200
    assert len(bodies_of(rendered(order, tag).raw)[1].encode()) < 100_000


@pytest.mark.parametrize("tag", ["en", "de", "fr", "pl", "ja", "ko"])
def test_the_html_of_fifty_full_lines_stays_below_what_mail_programs_clip(tag: str) -> None:
    """In other scripts each letter is two or three octets: there fewer lines with every field fit."""
    order = long_order(50)
    assert len(order.lines) == 50 and sum(1 for _ in entries(notification_for(order), order)) > 50 * 33
    assert len(bodies_of(rendered(order, tag).raw)[1].encode()) < 100_000


def test_styles_are_inlined_and_rules_for_screens_are_kept() -> None:
    _, html, _ = bodies_of(rendered(full_order()).raw)
    tree = lxml.html.document_fromstring(html)
    assert all(element.get("style") for element in tree.iter("body", "h1", "h2", "h3"))
    (items,) = [table for table in tree.iter("table") if table.get("role") != "presentation"]
    assert not any(element.get("style") for body in items.iter("tbody") for element in body.iter()), "once per item"
    kept = "".join(style.text or "" for style in tree.iter("style"))
    assert "@media (max-width: 520px)" in kept and "@media (prefers-color-scheme: dark)" in kept
    metas = {str(meta.get("name")): meta.get("content") for meta in tree.iter("meta")}
    assert metas["color-scheme"] == "light dark" and "viewport" in metas


@each_tag
def test_the_html_is_marked_up_for_those_who_hear_it(tag: str) -> None:
    order = full_order()
    _, html, _ = bodies_of(rendered(order, tag).raw)
    tree = lxml.html.document_fromstring(html)
    assert tree.get("lang") == tag and tree.get("dir") == language(tag).direction
    (items,) = [table for table in tree.iter("table") if table.get("role") != "presentation"]
    assert [cell.get("scope") for head in items.iter("thead") for cell in head.iter("th")] == ["col"] * 3
    assert [cell.get("scope") for body in items.iter("tbody") for cell in body.iter("th")] == ["row"] * len(order.lines)
    assert all(cell.get("scope") in ("row", "col") for cell in tree.iter("th"))
    assert len(list(tree.iter("h1"))) == 1 and list(tree.iter("h2"))


def test_nothing_remote_is_in_the_html() -> None:
    order = _with_every_text("https://evil.example/pixel.gif")
    _, html, _ = bodies_of(rendered(order).raw)
    tree = lxml.html.document_fromstring(html)
    assert not list(
        tree.iter("img", "script", "link", "iframe", "object", "embed", "form", "input", "svg", "audio", "video")
    )
    for element in tree.iter():
        for name, value in element.items():
            assert name not in ("src", "href", "background", "srcset", "action", "poster"), (element.tag, name)
            assert not str(name).startswith("on") and "url(" not in str(value)
    assert "@import" not in html and "url(" not in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "</td></tr></table><h1>Ship to: elsewhere</h1>",
        "</style><style>*{display:none}</style>",
        "<!-- ",
        "]]> <![CDATA[",
        "&lt;b&gt; &amp; &#58; &nbsp;",
        "{{ 7 * 7 }} {% raw %}",
        "<plaintext>",
        "</title><base href=//evil.example>",
    ],
)
def test_markup_in_a_field_is_text(text: str) -> None:
    order = _with_every_text(text)
    result = rendered(order, merchant=text)
    _, html, _ = bodies_of(result.raw)
    tree = lxml.html.document_fromstring(html)
    expected = lxml.html.document_fromstring(bodies_of(rendered(_with_every_text("x"), merchant="x").raw)[1])
    assert [element.tag for element in tree.iter()] == [element.tag for element in expected.iter()]
    assert text in " ".join("".join(map(str, tree.itertext())).split())
    (judged,) = read_message(result.raw, [KEY])
    assert judged.grade == "sealed" and judged.order == order


@given(orders())
@settings(max_examples=25)
def test_no_order_adds_an_element_that_acts(order: Order) -> None:
    _, html, _ = bodies_of(rendered(order).raw)
    tree = lxml.html.document_fromstring(html)
    allowed = set(
        "html head meta title style body div p strong h1 span h2 h3 b bdi br small "
        "table colgroup col thead tbody tr th td".split()
    )
    assert {element.tag for element in tree.iter()} <= allowed


# What a person sees


@some_tags
@pytest.mark.parametrize("reason", sorted(guarded_orders()))
def test_an_order_not_to_be_shipped_says_so_in_words_before_anything_else(reason: str, tag: str) -> None:
    phrases, known = language(tag).mail, language(tag)
    text, html, _ = bodies_of(rendered(guarded_orders()[reason], tag).raw)
    sentence = phrases[f"do_not_ship_{reason}"].format(original="123-00001")
    for body in (text, flatten(html)):
        shown = " ".join(body.split())
        assert phrases["approved"] not in shown
        head = shown[: shown.index(f"{known.title}:")]
        assert phrases["do_not_ship"] in head and sentence in head
        assert head.index(phrases["do_not_ship"]) < 10


@each_tag
def test_an_order_to_be_shipped_says_so_and_no_warning(tag: str) -> None:
    phrases = language(tag).mail
    text, html, _ = bodies_of(rendered(small_order(), tag).raw)
    for body in (text, flatten(html)):
        assert phrases["approved"] in " ".join(body.split())[:300]
        assert phrases["do_not_ship"] not in body


def test_all_reasons_are_told_at_once() -> None:
    text, _, _ = bodies_of(rendered(full_order()).raw)
    head = " ".join(text[: text.index("International Order Notification:")].split())
    for reason in full_order().do_not_ship:
        assert language("en").mail[f"do_not_ship_{reason}"][:25] in head


@some_tags
def test_where_the_parcel_goes_comes_before_the_end_customer_and_cannot_be_taken_for_it(tag: str) -> None:
    known = language(tag)
    for order in (full_order(), full_order(hub=False)):
        for body in bodies_of(rendered(order, tag).raw)[:2]:
            shown = " ".join(flatten(body).split()) if "<html" in body else " ".join(body.split())
            if order.ships_to_hub:
                assert 0 < shown.index(f"{known.headings['hub']}:") < shown.index(f"{known.headings['delivery']}:")
                assert f"{known.headings['delivery_direct']}:" not in shown
            else:
                assert f"{known.headings['delivery_direct']}:" in shown
                assert f"{known.headings['hub']}:" not in shown and f"{known.headings['delivery']}:" not in shown


@each_tag
def test_what_the_order_does_not_state_is_not_shown(tag: str) -> None:
    order, known = small_order(), language(tag)
    stated = {entry.code for entry in entries(notification_for(order, key_id=KEY.key_id), order)}
    for body in bodies_of(rendered(order, tag).raw)[:2]:
        shown = flatten(body) if "<html" in body else body
        found = [match.meaning for match in known.finder.find(shown)]
        headings = {anchor.heading for anchor in found if anchor.heading}
        assert headings == {code.split(".")[0] for code in stated} - {"opening"}
        assert len([anchor for anchor in found if anchor.labels]) == len(stated) + 1, "one label each, and the seal's"
        assert "None" not in shown and "[]" not in shown


@each_tag
def test_every_value_is_printed_in_the_language_of_the_mail(tag: str) -> None:
    order, known = full_order(), language(tag)
    values = list(entries(notification_for(order, key_id=KEY.key_id), order))
    text, html, _ = bodies_of(rendered(order, tag).raw)
    for body in (text, flatten(html)):
        shown = re.sub(r"\s+", "", body)
        for entry in values:
            label = known.label(SECTIONS[entry.section], entry.field)
            printed = print_value(FIELDS[entry.code].kind, entry.value, known, entry.field)
            assert re.sub(r"\s+", "", f"{label}:{printed}") in shown, entry.name
    for other in languages():
        if other is not known:
            assert other.headings["proof"] not in text and other.mail["keep_as_is"] not in text


def test_german_and_french_mails_print_as_is_usual_there() -> None:
    for tag, expected in (
        (
            "de",
            ("Internationale Bestellbenachrichtigung (ION):", "1.234,50 EUR", "Spanien (ES)", "Paket an den Kunden"),
        ),
        ("fr", ("1 234,50 EUR", "Espagne (ES)")),
    ):
        text, html, _ = bodies_of(rendered(small_order(), tag).raw)
        for body in (text, flatten(html)):
            shown = re.sub(r"\s+", " ", body)
            assert all(piece in shown for piece in expected)


def test_lines_of_the_text_are_narrow_and_none_begins_like_a_quotation() -> None:
    order = small_order().model_copy(
        update={"notes": ("> " * 200 + "end", "| " * 100, "word " * 300, "From here " * 90)}
    )
    text, _, _ = bodies_of(rendered(order).raw)
    lines = text.splitlines()
    assert not any(re.match(r"\s*[>|]", line) for line in lines)
    assert sum(len(line) > TEXT_WIDTH for line in lines if "word" in line or "From" in line) == 0
    assert "word word" in text


def test_an_address_keeps_its_line_breaks_on_the_page() -> None:
    _, html, _ = bodies_of(rendered(full_order()).raw)
    assert "East Midlands Airport / <br>GE1 / <br>/ <br>Dock 4</td>" in html


@each_tag
def test_text_about_the_original_order_cannot_pass_for_a_notification(tag: str) -> None:
    fake = bodies_of(rendered(small_order(), tag, key=OTHER_KEY).raw)[0]
    hostile = f"{language(tag).title}: 1 {language(tag).headings['order']}: {fake}"
    order = small_order().model_copy(update={"replacement": True})
    order = Order.model_validate({**order.to_json(), "original_order_number": hostile, "order_number": hostile})
    order = Order.model_validate({**order.to_json(), "merchant_order_number": hostile})
    (judged,) = read_message(rendered(order, tag, read_back=read_message).raw, [KEY])
    assert judged.grade == "sealed" and judged.order == order and not judged.problems


# Reading back before the mail leaves


@pytest.mark.parametrize(
    ("order", "tag"),
    one_in(8, (full_order(), full_order(hub=False), small_order(), *guarded_orders().values()), tags()),
)
def test_the_built_in_templates_lose_nothing(order: Order, tag: str) -> None:
    result = rendered(order, tag, read_back=read_message)
    assert result.order == order and result.notification.key_id == KEY.key_id


def _own(folder: Path, name: str, change: Callable[[str], str]) -> Templates:
    original = (built_in_folder() / name).read_text("utf-8")
    changed = change(original)
    assert changed != original
    (folder / name).write_text(changed, "utf-8")
    return Templates(folder)


def _lost(templates: Templates, order: Order) -> RenderError:
    with pytest.raises(RenderError) as caught:
        rendered(order, templates=templates, read_back=read_message)
    return caught.value


_BLOCKS = [code for code in SECTIONS if code not in ("opening", "proof", "line")]


@pytest.mark.parametrize("code", one_in(3, _BLOCKS))
def test_a_text_template_that_forgets_a_block_is_refused_naming_it(tmp_path: Path, code: str) -> None:
    templates = _own(tmp_path, TEXT_NAME, lambda text: re.sub(rf', "{code}"|"{code}", ', "", text))
    error = _lost(templates, full_order())
    assert error.field and error.field.split(".")[0].split("[")[0] == code
    assert "text part" in str(error) or "mail" in str(error)


@pytest.mark.parametrize("code", one_in(3, sorted(set(_BLOCKS) - {"order", "hub", "delivery", "totals"})))
def test_an_html_template_that_forgets_a_block_is_refused_naming_it(tmp_path: Path, code: str) -> None:
    call = rf'\{{\{{ (section|small)\("{code}"\) \}}\}}'
    error = _lost(_own(tmp_path, HTML_NAME, lambda text: re.sub(call, "", text)), full_order())
    assert error.field and error.field.split(".")[0].split("[")[0] == code


@pytest.mark.parametrize(
    ("name", "old", "new", "field"),
    [
        (HTML_NAME, '{{ small("proof") }}', "", "proof"),
        (TEXT_NAME, ', "proof"]', "]", "proof"),
        (TEXT_NAME, '{% for item in blocks["line"] %}', '{% for item in blocks["line"][:1] %}', "line[2]"),
        (HTML_NAME, "{{ running(rest) }}", "", "line[1]"),
        (HTML_NAME, "block.without(*sums)", "block.without(*sums)[1:]", "totals.merchant_currency"),
        (HTML_NAME, "{{ field.label }} <b>{{ value(field) }}</b>", "<b>{{ value(field) }}</b>", "line[1].name"),
        (TEXT_NAME, 'field.label ~ " " ~ field.text', '(field.label ~ " " ~ field.text).replace("2", "3")', ""),
        (TEXT_NAME, 'field.label ~ " " ~ field.text', 'field.label ~ " " ~ field.text[:20]', ""),
        (TEXT_NAME, 'field.label ~ " " ~ field.text', "field.text", ""),
        (TEXT_NAME, "{{ item.heading }}", "", ""),
        (TEXT_NAME, '{{ blocks["opening"][0].fields[0].label }}', "Order", ""),
        (HTML_NAME, '{{ blocks["opening"][0].fields[0].label }}', "Order", ""),
    ],
)
def test_a_template_that_loses_something_is_refused_naming_a_field(
    tmp_path: Path, name: str, old: str, new: str, field: str
) -> None:
    error = _lost(_own(tmp_path, name, lambda text: text.replace(old, new)), full_order())
    assert error.field and error.field.startswith(field), error
    assert "." in error.field or error.field == "notification"
    assert error.field in str(error)


_LAST = "{{ block(item) }}\n{%- endfor %}\n{% endfor %}\n{{ mail.keep"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (
            TEXT_NAME,
            _LAST,
            _LAST.replace("{{ block(item) }}", "{% if item.code != 'proof' %}{{ block(item) }}{% endif %}"),
        ),
        (HTML_NAME, '{{ small("proof") }}', "{{ running(blocks['proof'][0].fields[:-1]) }}"),
        (HTML_NAME, '{{ small("proof") }}', "{{ blocks.proof[0].heading }}{{ running(blocks.proof[0].fields[:-1]) }}"),
    ],
)
def test_a_template_that_drops_the_seal_is_refused_naming_the_proof(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    error = _lost(_own(tmp_path, name, lambda text: text.replace(old, new)), small_order())
    assert error.field and error.field.startswith("proof."), error


@pytest.mark.parametrize(
    "broken",
    [
        "{{ nothing }}",
        "{{ order.nothing }}",
        "{{ mail.nothing }}",
        "{{ blocks['nothing'] }}",
        "{{ blocks['order'][7].heading }}",
        "{{ unclosed",
        "{% for %}",
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ order() }}",
        "{{ ''.__class__ }}",
        "{{ order.__init__.__globals__ }}",
        "{% include 'nothing' %}",
        "{% include '../../../etc/passwd' %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ 'x' | nothing }}",
        "{{ blocks['order'][0].heading + 1 }}",
        "",
        "Hello",
    ],
)
@pytest.mark.parametrize("name", [HTML_NAME, TEXT_NAME])
def test_a_broken_template_is_a_render_error_and_nothing_else(tmp_path: Path, name: str, broken: str) -> None:
    (tmp_path / name).write_text(broken)
    error = _lost(Templates(tmp_path), small_order())
    assert name in str(error) or "part" in str(error) or "mail" in str(error)


def test_a_template_that_is_not_utf8_is_a_render_error(tmp_path: Path) -> None:
    (tmp_path / TEXT_NAME).write_bytes(b"\xff\xfe")
    assert TEXT_NAME in str(_lost(Templates(tmp_path), small_order()))


def test_a_template_cannot_change_the_order(tmp_path: Path) -> None:
    (tmp_path / TEXT_NAME).write_text("{{ blocks._blocks.clear() }}")
    _lost(Templates(tmp_path), small_order())


def test_a_folder_of_templates_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="nothing-here"):
        Templates(tmp_path / "nothing-here")


def test_a_template_may_order_and_dress_the_blocks_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / TEXT_NAME).write_text(
        "Hello shop!\n{{ blocks['opening'][0].fields[0].label }}\n\t{{ blocks['opening'][0].fields[0].text }}\n"
        "{% for block in blocks | reverse if block.code not in ('opening', 'proof') %}"
        "=====\n{{ block.heading }} these are for you\n"
        "{% for field in block.fields | sort(attribute='name') %}"
        "\t{{ field.label }}\n\n{{ field.text }}\n{% endfor %}{% endfor %}"
        "{{ blocks['proof'][0].heading }}"
        "{% for field in blocks['proof'][0].fields %} {{ field.label }}{{ field.text }}{% endfor %}\n\nBye\n"
    )
    with pytest.raises(RenderError, match=r"====="):  # prose behind a value is part of it
        rendered(small_order(), templates=Templates(tmp_path), read_back=read_message)
    (tmp_path / TEXT_NAME).write_text((tmp_path / TEXT_NAME).read_text().replace("=====\n", ""))
    for tag in SOME_TAGS:
        rendered(small_order(), tag, templates=Templates(tmp_path), read_back=read_message)


def test_blocks_placed_in_another_order_are_still_read(tmp_path: Path) -> None:
    def swapped(text: str) -> str:
        return text.replace('"totals", "discount", "markup", "shipping"', '"shipping", "markup", "totals", "discount"')

    def moved(text: str) -> str:
        return text.replace('{{ section("shipping") }}\n', "").replace(
            '{{ section("customer") }}', '{{ section("shipping") }}\n{{ section("customer") }}'
        )

    _own(tmp_path, TEXT_NAME, swapped)
    templates = _own(tmp_path, HTML_NAME, moved)
    for tag in SOME_TAGS:
        rendered(full_order(), tag, templates=templates, read_back=read_message)


def test_an_own_template_for_one_body_leaves_the_other_as_it_is(tmp_path: Path) -> None:
    templates = _own(tmp_path, TEXT_NAME, lambda text: "Dear shop,\n\n" + text)
    text, html, _ = bodies_of(rendered(small_order(), templates=templates, read_back=read_message).raw)
    assert text.startswith("Dear shop,") and html == bodies_of(rendered(small_order()).raw)[1]


@given(st.sampled_from(tags()), orders())
@settings(max_examples=25)
def test_whatever_is_rendered_has_been_proved(tag: str, order: Order) -> None:
    result = rendered(order, tag, read_back=read_message)
    (judged,) = read_message(result.raw, [KEY])
    assert (judged.grade, judged.order, judged.notification) == ("sealed", order, result.notification)


def test_the_amount_of_the_subject_is_never_rounded() -> None:
    amount = Decimal("12345678901234567890123456789.01")
    order = Order(
        platform="zonos",
        order_number="1",
        delivery=Address(city="x", country="DE"),
        totals=Totals(total_customer=Money(amount=amount, currency="EUR")),
    )
    assert "12,345,678,901,234,567,890,123,456,789.01 EUR" in str(parsed(rendered(order).raw)["Subject"])


def test_a_mail_is_the_same_octets_each_time_but_for_its_boundaries() -> None:
    def without_boundaries(raw: bytes) -> bytes:
        return re.sub(rb"={15}\d+==", b"", raw)

    assert without_boundaries(rendered(full_order()).raw) == without_boundaries(rendered(full_order()).raw)
    assert ENVELOPE.recipients[0].encode() in rendered(full_order()).raw


def test_the_standard_policies_read_the_mail_without_a_defect() -> None:
    raw = rendered(full_order()).raw
    for policy in (email.policy.default, email.policy.SMTP, email.policy.strict):
        message = email.message_from_bytes(raw, policy=policy)
        assert isinstance(message, EmailMessage)
        assert not [defect for part in message.walk() for defect in part.defects]
        assert not [header.defects for header in message.values() if getattr(header, "defects", ())]
