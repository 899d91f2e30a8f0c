"""What mail programs make of the built-in mail: colours that can be read, no clipping, no scrolling sideways, nothing
from elsewhere, and an order that is there without its styles."""

import re
from functools import cache
from itertools import pairwise

import css_inline
import lxml.html
import pytest
from lxml.html import HtmlElement

from ion.contract import language, tags
from ion.demo.run import sample_payloads
from ion.notify.pictures import PROGRAMS, Chromium
from ion.notify.sample_orders import hard_orders
from ion.notify.template_check import CLIPPED_FROM_BYTES, html_warnings
from ion.order import Order
from ion.payloads import read_payloads
from ion.reading import read_message
from tests.orders import KEY, SOME_TAGS, bodies_of, full_order, guarded_orders, mail_of, rendered, small_order
from tests.programs import missing
from tests.thinning import one_in

WIDTHS = (320, 480, 768, 1200)
READABLE = 4.5  # WCAG 2.2, 1.4.3: contrast of text that is not large
HARD = hard_orders()
each_tag = pytest.mark.parametrize("tag", one_in(3, tags()))
some_tags = pytest.mark.parametrize("tag", SOME_TAGS)


@cache
def sample_orders() -> dict[str, Order]:
    """The orders that `ion template check` prints."""
    results = read_payloads(sample_payloads())
    return {result.name: result.reading.order for result in results if result.reading} | HARD


def _html(order: Order, tag: str = "en") -> str:
    return bodies_of(rendered(order, tag).raw)[1]


# Colours


def _luminance(colour: str) -> float:
    """The relative luminance of `#rgb` or `#rrggbb` (WCAG 2.2)."""
    digits = colour.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _shown_in(html: str, *conditions: str) -> HtmlElement:
    """The page with its `@media` rules of these conditions in force, as styles of its elements."""
    sheet = re.search(r"(?s)<style>(.*?)</style>", html)
    assert sheet
    rules = ""
    for condition in conditions:
        found = re.search(rf"(?s)@media {re.escape(condition)}\s*\{{((?:[^{{}}]*\{{[^}}]*\}})*)\s*\}}", sheet[1])
        assert found, condition
        rules += found[1]
    page = html.replace(sheet[0], f"<style>{rules}</style>")
    return lxml.html.document_fromstring(css_inline.CSSInliner().inline(page))


def _declared(element: HtmlElement) -> dict[str, str]:
    pairs = (piece.partition(":") for piece in str(element.get("style", "")).split(";"))
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs if name.strip()}


def _hard_to_read(element: HtmlElement, colour: str = "", ground: str = "") -> list[tuple[str, str, str]]:
    """The elements with text of their own whose colour is too near to what is behind it."""
    declared = _declared(element)
    colour = declared.get("color", colour)
    ground = declared.get("background-color", declared.get("background", ground))
    texts = [element.text, *(child.tail for child in element)]
    found = []
    if any(text and text.strip() for text in texts) and _contrast(colour, ground) < READABLE:
        found = [(element.tag, colour, ground)]
    return found + [pair for child in element for pair in _hard_to_read(child, colour, ground)]


def test_contrast_is_that_of_the_guidelines() -> None:
    assert _contrast("#000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#fff") < READABLE < _contrast("#767676", "#fff")


SCHEMES = (("all",), ("all", "(prefers-color-scheme: dark)"), ("(prefers-color-scheme: dark)",), ())


@pytest.mark.parametrize("conditions", SCHEMES, ids=["light", "dark", "dark without the sheet", "without any sheet"])
@pytest.mark.parametrize("order", [full_order(), small_order(), *guarded_orders().values()])
def test_every_text_stands_out_from_what_is_behind_it(order: Order, conditions: tuple[str, ...]) -> None:
    body = _shown_in(_html(order), *conditions).body
    assert _hard_to_read(body) == []


def test_a_text_that_does_not_stand_out_is_found() -> None:
    html = _html(small_order()).replace("color: #a7b1c0 !important", "color: #4a5260 !important")
    assert _hard_to_read(_shown_in(html, "all", SCHEMES[1][1]).body)


# Size


@some_tags
def test_no_sample_is_so_large_that_gmail_clips_it(tag: str) -> None:
    _is_not_clipped(tag)


@pytest.mark.long
@each_tag
def test_no_sample_is_so_large_in_any_language_that_gmail_clips_it(tag: str) -> None:
    _is_not_clipped(tag)


def _is_not_clipped(tag: str) -> None:
    sizes = {name: len(_html(order, tag).encode()) for name, order in sample_orders().items()}
    assert {name: size for name, size in sizes.items() if size > CLIPPED_FROM_BYTES} == {}


@pytest.fixture(scope="module")
def chromium() -> Chromium:
    return Chromium.find() or missing(f"one of the programs {', '.join(PROGRAMS)}")


@pytest.mark.long
@pytest.mark.parametrize("tag", ["de", "ru", "ar"])
def test_nothing_is_wider_than_the_screen(tag: str, chromium: Chromium) -> None:
    names = [name for name in HARD if name != "two-hundred-lines"]
    mails = {(name, width): (_html(HARD[name], tag), width) for name in names for width in WIDTHS}
    sizes = chromium.sizes(list(mails.values()))
    assert {place: size.width for place, size in zip(mails, sizes, strict=True) if size.width > place[1]} == {}


def test_a_page_that_is_too_wide_is_measured_as_such(chromium: Chromium) -> None:
    page = "<!doctype html><body style='margin:0'><p style='margin:0;width:400px;height:50px'>x</p>"
    narrow, wide = chromium.sizes([(page, 320), (page, 480)])
    assert (narrow.width, narrow.height, wide.width, wide.height) == (400, 50, 480, 50)


# Order and structure


@pytest.mark.long
@some_tags
def test_what_is_seen_and_what_is_heard_come_in_one_order(tag: str) -> None:
    html = _html(full_order(), tag)
    tree = lxml.html.document_fromstring(html)
    styles = [*(sheet.text or "" for sheet in tree.iter("style")), *(one.get("style", "") for one in tree.iter())]
    rules = "\n".join(map(str, styles))
    assert not re.search(r"\b(float|position|order|flex|grid|direction|transform|columns?)\s*:", rules)
    assert "tabindex" not in html and "aria-hidden" not in html
    levels = [int(element.tag[1]) for element in tree.iter("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels)), "none is skipped"
    hidden = re.findall(r"display\s*:\s*none|visibility\s*:|font-size\s*:\s*0", rules)
    assert hidden == ["display: none"], "only the head of the table of items, where it is one no longer"


@pytest.mark.parametrize("tag", [tag for tag in tags() if language(tag).direction == "rtl"])
def test_no_value_turns_around_what_stands_beside_it(tag: str) -> None:
    tree = lxml.html.document_fromstring(_html(full_order(), tag))
    assert tree.get("dir") == "rtl"
    values = [row[1] for table in tree.iter("table") if table.get("role") for row in table.iter("tr")]
    assert values and all([child.tag for child in cell] == ["bdi"] for cell in values)
    running = [line for line in tree.iter("p") if line.get("class") == "d"]
    assert running and all(len(line) == "".join(map(str, line.itertext())).count("   ") + 1 for line in running)


@some_tags
@pytest.mark.parametrize("name", HARD)
def test_nothing_is_dropped_or_blocked(name: str, tag: str) -> None:
    assert list(html_warnings(_html(HARD[name], tag))) == []


# Without styles


@pytest.mark.parametrize(("tag", "name"), one_in(4, ["en", "de", "ja", "ar"], HARD))
def test_without_its_styles_the_mail_tells_the_same(name: str, tag: str) -> None:
    html = _html(HARD[name], tag)
    without_sheet = re.sub(r"(?s)<style>.*?</style>", "", html)
    without_any = re.sub(
        r' (style|class|width|cellpadding|cellspacing|rules|valign|nowrap)(="[^"]*")?', "", without_sheet
    )
    assert len(without_any) < len(without_sheet) < len(html)
    for page in (without_sheet, without_any):
        (judged,) = read_message(mail_of(html=page), [KEY])
        assert judged.grade == "sealed" and judged.order == HARD[name] and not judged.problems
