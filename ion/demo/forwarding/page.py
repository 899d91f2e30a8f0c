"""HTML as clients rewrite it: links made, classes prefixed, colours and lengths written anew, source broken."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring, tostring

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_BLOCKS = frozenset("p div table ul ol blockquote h1 h2 h3 h4 pre hr center".split())


def parsed(html: str) -> HtmlElement:
    """A tree with a body; comments and processing instructions are gone, as they are in every client."""
    html = _CONTROLS.sub("", re.sub(r"(?is)\A\s*<\?xml[^>]*\?>", "", html))
    parser = HTMLParser(remove_comments=True, remove_pis=True, huge_tree=True)
    root = document_fromstring(html if html.strip() else "<body></body>", parser=parser)
    if root.find("body") is None:
        root.append(element("body"))
    return root


def body_of(root: HtmlElement) -> HtmlElement:
    body: HtmlElement | None = root.find("body")
    assert body is not None, "every page that `parsed` gives has a body"
    return body


def element(tag: str, text: str | None = None, **attributes: str) -> HtmlElement:
    """A new element; `class_` stands for `class`, `_` in a name for `-`."""
    made = _MAKER.makeelement(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    made.text = text
    return made


_MAKER = HTMLParser()


def inner(tag: HtmlElement) -> str:
    """What stands inside an element, as source."""
    text = (tag.text or "").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text + "".join(_source(child) for child in tag)


def _source(tag: HtmlElement) -> str:
    return tostring(tag, encoding="unicode", method="html")  # type: ignore[no-any-return]


def tags_of(root: HtmlElement) -> list[HtmlElement]:
    """The elements in `root`, without itself."""
    return list(root.iterdescendants(etree.Element))


def replace_in_texts(body: HtmlElement, pattern: re.Pattern[str], make: Callable[[str], HtmlElement]) -> None:
    """Put an element made of it for every match of `pattern` in the text outside links."""
    linked = {inside for link in body.iter("a") for inside in link.iter()}
    for tag in [body, *tags_of(body)]:
        if tag.tag in {"style", "script", "title"}:
            continue
        if tag.text and tag not in linked and pattern.search(tag.text):
            tag.text, made = _pieces(tag.text, pattern, make)
            for place, new in enumerate(made):
                tag.insert(place, new)
    for tag in tags_of(body):
        parent = tag.getparent()
        if tag.tail and parent not in linked and pattern.search(tag.tail):
            tag.tail, made = _pieces(tag.tail, pattern, make)
            place = parent.index(tag) + 1
            for offset, new in enumerate(made):
                parent.insert(place + offset, new)


def _pieces(text: str, pattern: re.Pattern[str], make: Callable[[str], HtmlElement]) -> tuple[str, list[HtmlElement]]:
    """The text before the first match, and an element for each match with the text behind it as its tail."""
    first, end = "", 0
    made: list[HtmlElement] = []
    for found in pattern.finditer(text):
        between = text[end : found.start()]
        if made:
            made[-1].tail = between
        else:
            first = between
        made.append(make(found[0]))
        end = found.end()
    if made:
        made[-1].tail = text[end:]
    return first, made


_LINKS = re.compile(r"https?://[^\s<>\"]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
TELEPHONES = re.compile(r"\+\d[\d ()-]{6,}\d")
# What looks like a host name: letters and digits around points, ended by something that could be a top-level domain.
HOSTS = re.compile(r"(?<![\w.@/-])(?:[A-Za-z0-9-]+\.)+(?:com|net|org|io|co|de|fr|uk|pl|is|it|me|tv|example)(?![\w.@-])")
DATES = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")


def link_addresses(body: HtmlElement, **attributes: str) -> None:
    """Make links of mail addresses and pages in the text, with these attributes besides `href`."""

    def link(text: str) -> HtmlElement:
        return element("a", text, href=text if "://" in text else f"mailto:{text}", **attributes)

    replace_in_texts(body, _LINKS, link)


def link_hosts(body: HtmlElement, **attributes: str) -> None:
    """Make links of what looks like a host name, as of a stock number such as `a1.b2.it`."""
    replace_in_texts(body, HOSTS, lambda text: element("a", text, href=f"http://{text}", **attributes))


def detect_data(body: HtmlElement) -> None:
    """Link telephone numbers and dates as Apple's data detectors do."""
    detected = {"dir": "ltr", "x_apple_data_detectors": "true"}

    def telephone(text: str) -> HtmlElement:
        href = f"tel:{re.sub(r'[^+0-9]', '', text)}"
        return element("a", text, href=href, **detected, x_apple_data_detectors_type="telephone")

    def date(text: str) -> HtmlElement:
        return element("a", text, href="x-apple-data-detectors://0", **detected)

    replace_in_texts(body, TELEPHONES, telephone)
    replace_in_texts(body, DATES, date)


def rename_classes(root: HtmlElement, prefix: str = "", suffix: str = "") -> None:
    """Put `prefix` before and `suffix` behind every class and id."""
    for tag in [root, *tags_of(root)]:
        for name in ("class", "id"):
            if value := tag.get(name):
                tag.set(name, " ".join(f"{prefix}{word}{suffix}" for word in value.split()))


def restyle(root: HtmlElement, change: Callable[[str], str]) -> None:
    """Write every style attribute anew; those that become empty go."""
    for tag in [root, *tags_of(root)]:
        if (style := tag.get("style")) is not None:
            if changed := change(style):
                tag.set("style", changed)
            else:
                del tag.attrib["style"]


def drop_attributes(root: HtmlElement, names: tuple[str, ...]) -> None:
    for tag in tags_of(root):
        for name in names:
            tag.attrib.pop(name, None)


def _hexadecimal_as_rgb(found: re.Match[str]) -> str:
    digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
    return "rgb({}, {}, {})".format(*(int(digits[place : place + 2], 16) for place in (0, 2, 4)))


@lru_cache(maxsize=1024)
def rgb(style: str) -> str:
    """Colours as browsers re-serialise them."""
    return re.sub(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b", _hexadecimal_as_rgb, style)


@lru_cache(maxsize=1024)
def with_units(style: str, unit: str = "px") -> str:
    """Zero lengths with a unit."""
    return re.sub(r"(?<=[: ])0(?=[ ;]|$)", f"0{unit}", style)


def source_wrapped(html: str, width: int, indent: str = "") -> str:
    """HTML source broken at blanks, in text and between attributes alike; `pre` stays as it is."""
    pieces = re.split(r"(?is)(<pre\b.*?</pre>)", html)
    return "".join(piece if place % 2 else _broken(piece, width, indent) for place, piece in enumerate(pieces))


def _broken(html: str, width: int, indent: str) -> str:
    return "\n".join(piece for line in html.split("\n") for piece in _source_lines(line, width, indent))


def _source_lines(line: str, width: int, indent: str) -> Iterator[str]:
    start = 0
    room = width
    lead = ""
    while len(line) - start > room:
        place = line.rfind(" ", start + 1, start + room + 1)
        if place < 0:
            place = line.find(" ", start + room)
        if place < 0:
            break
        yield lead + line[start:place]
        start, lead, room = place + 1, indent, width - len(indent)
    yield lead + line[start:]


# Structure.


def wrap_content(tag: HtmlElement, wrapper: HtmlElement) -> None:
    """Put all that stands in `tag` into `wrapper`, and that into `tag`."""
    wrapper.text, tag.text = tag.text, None
    wrapper.extend(list(tag))
    tag.append(wrapper)


def paragraphs(cell: HtmlElement, make: Callable[[], HtmlElement], *, at_breaks: bool = False) -> None:
    """Put what stands loose in a cell into paragraphs, with `at_breaks` one for each line."""
    children = list(cell)
    groups: list[HtmlElement] = [make()]
    groups[0].text, cell.text = cell.text, None
    for child in children:
        cell.remove(child)
        ends = child.tag in _BLOCKS or (at_breaks and child.tag == "br")
        if not ends:
            groups[-1].append(child)
            continue
        if child.tag in _BLOCKS:
            groups.append(child)
        following = make()
        following.text, child.tail = child.tail, None
        groups.append(following)
    for group in groups:
        if group.tag in _BLOCKS and (len(group) or (group.text or "").strip()):
            cell.append(group)


def flatten_tables(body: HtmlElement) -> None:
    """Tables become runs of `div`, a row and a cell each one, as sanitisers for small screens do it."""
    for tag in tags_of(body):
        if tag.tag in {"table", "tbody", "thead", "tfoot", "tr", "td", "th"}:
            tag.tag = "div"
            for name in ("cellspacing", "cellpadding", "border", "width", "valign", "role", "scope", "colspan"):
                tag.attrib.pop(name, None)
