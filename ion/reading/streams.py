"""Read, first half: a body as a stream of visible text in which the contract's anchors can be found.

To the reader all blanks and line breaks are one, because no mail client keeps them. So a body becomes one run of
text: HTML is flattened to what a person sees, with a break wherever a block, cell or row ends. Then what mail programs
write into it is taken away: quotation marks, bold marks, addresses behind links. A printed value never looks like any
of these (see `ion.contract.forms`), so this needs no guess. Where more was done to a mail there are further plausible
forms; they are tried in order and the seal picks. A form changes blanks, quote prefixes, invisible characters and what
programs add; never a letter, digit, sign or decimal mark of a value.
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, cast

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
from bs4.builder import ParserRejectedMarkup
from bs4.element import NavigableString, PreformattedString, Tag
from lxml import etree

from ion.order import INVISIBLE
from ion.reading.links import without_gateways

# Advice to programmers, which a mail must not put on anybody's screen.
warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)
warnings.filterwarnings("ignore", category=MarkupResemblesLocatorWarning)

# Elements that do not break the line; all others (blocks, cells, unknown ones) do.
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code del dfn em font i ins kbd label mark o:p q s samp small span strike strong"
    " sub sup time tt u var wbr st1:date st1:place st1:city".split()
)
UNSEEN = frozenset("head title style script template meta link iframe datalist audio video".split())
_SEEN_ATTRIBUTES = {"img": "alt", "input": "value"}
_OVERRIDDEN = re.compile(r"bidi-override|isolate-override", re.IGNORECASE)
_STRUCK_OUT = "~"
_STRUCK = frozenset("s del strike".split())
_STYLES = etree.XPath("//@style", smart_strings=False)
_STRUCK_STYLE = re.compile(r"line-through", re.IGNORECASE)
_HIDDEN = re.compile(
    r"opacity\s*:\s*0(?![.\d])|display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|mso-hide\s*:\s*all",
    re.IGNORECASE,
)
# The second parser takes time with the square of what hostile markup leaves open.
_TOLERANT_LENGTH = 40_000
_STUFFED = re.compile(r"^- -", re.MULTILINE)  # RFC 934: a line that begins with a dash gets another
# A gateway puts a document of its own in front, a client closes its own too early: what follows is shown all the same.
_DOCUMENT_END = re.compile(r"</(?:html|body)\s*>", re.IGNORECASE)
_CUT_TAG = re.compile(r"<(?:[/!]?[A-Za-z][^<>]*|/)?\Z")  # a page that was cut ends inside a tag
_MOST_NESTED = 5
# Roundcube writes links as numbers in brackets and lists them at the end.
_LISTED_LINK = re.compile(r"^\[(\d{1,3})\]\s+[a-z][a-z0-9+.-]*:\S", re.MULTILINE)
_BLANKS = re.compile(r"\s+")
_JOINERS = re.compile("[\u200c\u200d]")
_LABEL_END = re.compile(r"[:\uff1a][\s*]*\Z")
_QUOTE = re.compile(r"[^\S\n]*((?:\w{0,5}[>|]+[^\S\n]?)*)")

# The schemes that programs write, as far as an address has to have something behind them: slashes, a host, digits. A
# line may be broken inside them, or behind their hyphens.
_SCHEME = (
    r"(?:h\s{0,2}t\s{0,2}t\s{0,2}p\s{0,2}s?\s{0,2}:(?=\s{0,2}/)"
    r"|m\s{0,2}a\s{0,2}i\s{0,2}l\s{0,2}t\s{0,2}o\s{0,2}:(?=[^<>\[\]]{0,500}?(?:@|%40))"
    r"|(?:t\s{0,2}e\s{0,2}l|sms|callto|skype)\s{0,2}:"
    r"|(?:geo|maps)\s{0,2}:(?=\s{0,2}-?\d|[^<>\[\]]{0,500}?=)|(?:ftp|sip|webcal|cid|file"
    r"|x-\s{0,2}apple-\s{0,2}[a-z-]{1,20}\s{0,2}[a-z-]{0,20})\s{0,2}:)"
)
_NUMBER = re.compile(r"\s?[<\[]\s?(?:t\s{0,2}e\s{0,2}l|sms|callto|skype)\s{0,2}:", re.IGNORECASE)
_TELLING_DIGITS = 4
# What follows the scheme: no blanks but line breaks, and no label, for `Quantity:` in brackets is a word of somebody. A
# quoted line may go on in an address with its last piece; a number may have blanks.
_NO_LABEL = r"(?=[^\S\n]*\n)\s++ | (?![:\uff1a]\s)"
_ADDRESS = rf"(?:{_SCHEME}(?:\n(?:[^\S\n]*>)+[^\S\n]?(?=[^\s<>]+>) | {_NO_LABEL}[^<>\s])* | tel:[\d\s()+.-]*)"
_LINKS = re.compile(
    rf"""
    (?P<kept> \\. )                                               # guarded: a value's own character
    | \[ (?P<same> [^\[\]]+ ) \] \s* \( (?P=same) \)                # [https://...](https://...)
    | \[ (?P<linked> [^\[\]]* ) \] \s* \( \s? {_SCHEME} (?: {_NO_LABEL}[^()\s] )* \s? \)       # [x](https://...)
    | (?P<angled> < [^<>\s]{{1,300}} ) \s? < \s? {_ADDRESS} \s? > [^\S\n]? (?=>)    # <a@b.c <mailto:a@b.c> >
    | \s? < \s? {_ADDRESS} (?: \s | [^\S\n]{{2,4}} )? >             # behind what is linked: a@b.c<mailto:a@b.c>
    | \s? \[ \s? {_SCHEME} (?: {_NO_LABEL}[^\[\]\s] )* \s? \] (?! \s* \()     # a@b.c [mailto:a@b.c]
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_OPENED = re.compile(r"(?:(?<!\\)|\\\\)[<\[]")  # every link begins with such a bracket, unguarded
_MARKS = re.compile(
    r"""
    (?P<kept> \\. )                                               # guarded: a value's own character
    | (?<![^\s:\uff1a]) (?:\w{0,5}>+[^\S\n]?)+                     # quotation marks, also where lines were joined
    | (?P<bar> \|+ )                                               # the same, or an edge of a cell
    | (?<!\w)\* | \*(?!\w)                                         # bold, in a text part made of HTML: *Label:*
    """,
    re.VERBOSE | re.DOTALL,
)
_MARK_CHARACTERS = ">|*"
_MARK = re.compile(f"[{_MARK_CHARACTERS}]")  # what is taken away as a mark holds one of them, and lies within a line
_INITIALS = re.compile(r"(?<![^\s:\uff1a>])([^\W\d_]{1,5})(?=>)")
_WORDS = re.compile(r"\w+")
_FEWEST_INITIALS = 5  # a notification has more lines
# Quotation marks where the breaks before their lines were left out.
_MARKS_BEHIND = re.compile(r"(?P<kept> \\. ) | (?<=\S) >+ (?=\s|\Z)", re.VERBOSE | re.DOTALL)
_HEADING_MARKS = re.compile(r"^[^\S\n]*#{1,6}(?=\s|\Z)", re.MULTILINE)  # headings likewise: ## Label:
_ADDRESS_BEHIND = re.compile(rf"\s?<\s?{_SCHEME}[^<>]*>", re.IGNORECASE)


@dataclass(frozen=True)
class Form:
    """One plausible reading of a body as text. `repair`: what was done for it, in words; None for the ordinary one.
    `glued`: labels may stand directly behind a value, as where tags were simply left out of a page."""

    text: str
    repair: str | None = None
    glued: bool = False


def forms(kind: str, text: str) -> Iterator[Form]:
    """The plausible forms of a body's visible text, likeliest first, without repeats."""
    plain = flatten(text) if kind == "html" else visible(text.replace("\r\n", "\n"))
    seen: set[tuple[str, bool]] = set()
    for form in _forms(kind, text, plain):
        if (form.text, form.glued) not in seen:
            seen.add((form.text, form.glued))
            yield form


def _forms(kind: str, text: str, plain: str) -> Iterator[Form]:
    ordinary = without_program_marks(plain)
    yield Form(ordinary)
    unlinked = without_gateways(plain)
    if unlinked != plain:
        yield Form(without_program_marks(unlinked), "addresses that a gateway rewrote were put back")
    quoted, note = _quoted_lines(plain)
    if note:
        yield Form(without_program_marks(quoted), f"a text between the quoted lines is no part of it: {note[:300]!r}")
    if _STUFFED.search(plain):
        yield Form(without_program_marks(_STUFFED.sub("-", plain)), "dashes doubled at line starts were removed")
    listed = set(_LISTED_LINK.findall(ordinary))
    if listed and listed == {str(number) for number in range(1, len(listed) + 1)}:
        numbers = re.compile(r"\s?\[(?:" + "|".join(sorted(listed)) + r")\]")
        yield Form(numbers.sub("", ordinary), "numbers of listed links were removed")
    if kind == "text":
        unlinked = _without_links(plain)
        unmarked = _by_line(_MARKS_BEHIND, lambda found: found["kept"] or "", unlinked)
        if unmarked != unlinked:
            yield Form(_without_marks(unmarked), "quotation marks behind words were removed")
    yield Form(_JOINERS.sub("", ordinary), "joiners were removed")
    yield Form("\n".join(map(_rightly_decoded, ordinary.split("\n"))), "text read in a wrong charset was put right")
    if kind == "html" and len(text) <= _TOLERANT_LENGTH:
        tolerant = flatten_tolerantly(text)
        # What one program shows, another one's way to read it must not hide.
        if tolerant.split() != plain.split() and Counter("".join(plain.split())) <= Counter("".join(tolerant.split())):
            yield Form(without_program_marks(tolerant), "the markup was read another way")
    yield Form(plain, "the marks of mail programs were kept")
    if kind == "text":
        yield Form(ordinary, "labels were taken out of the words they were joined to", glued=True)


def flatten(html: str) -> str:
    """The text of an HTML body as a person sees it, a line break wherever the page has one.

    Hidden elements are left out: what nobody sees never decides.
    """
    root = html_root(html)
    if root is None:
        return ""
    shown = _BLANKS.sub(" ", "".join(_pieces(root)))  # of each text on its own
    return visible(shown.replace(_LINE_BREAK, "\n").replace(_NEXT_TEXT, ""))


def html_root(html: str) -> etree._Element | None:
    """The parsed page; None where there is nothing in it."""
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        page = _DOCUMENT_END.sub("", html).replace("\0", "")
        if page.rfind("<") > page.rfind(">"):
            page = _CUT_TAG.sub("", page)
        return etree.fromstring(page.encode("utf-8"), parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None


def is_more_than_its_text(root: etree._Element) -> bool:
    """True where an element of the page is hidden from the reader's eye, struck out or turned around, or shows what is
    no text."""
    styles = set(cast("list[str]", _STYLES(root)))
    marked = bool(root.xpath("boolean(//@hidden | //s | //del | //strike | //bdo | //img[@alt != ''] | //input)"))
    return marked or any(_hides(style) or _strikes_out(style) or _turns(style) for style in styles)


def _pieces(root: etree._Element) -> Iterator[str]:
    """What a page shows, the blanks of each text still as they are."""
    walk = etree.iterwalk(root, events=("start", "end"))  # elements; comments would be events of their own
    looks: list[_Look] = []
    preformatted = 0
    for event, element in walk:
        if event == "start":
            look = _look(str(element.tag), element.get("style"))
            looks.append(look)
            if look.struck:
                yield _STRUCK_OUT  # a person sees that it does not count: so it is not what was printed
            preformatted += look.preformatted
            if look.hidden or element.get("hidden") is not None:
                walk.skip_subtree()
                continue
            if look.breaks:
                yield _LINE_BREAK
            if look.turned:
                yield TURNED
            if look.speaks:
                yield from (_NEXT_TEXT + said for said in _said(str(element.tag), element.attrib))
            text = element.text
        else:
            look = looks.pop()
            if look.struck:
                yield _STRUCK_OUT
            if look.breaks:
                yield _LINE_BREAK
            preformatted -= look.preformatted
            text = element.tail if looks else None
        if text:
            yield _NEXT_TEXT + (text.replace("\n", _LINE_BREAK) if preformatted else text)


# No page holds the character that these begin with.
_NEXT_TEXT, _LINE_BREAK = "\0t", "\0b"


class _Look(NamedTuple):
    """How a person sees an element. `breaks`: on lines of its own; `struck`: out; `turned`: its characters around;
    `preformatted`: with its line breaks; `speaks`: something besides its text."""

    breaks: bool
    struck: bool
    hidden: bool
    turned: bool
    preformatted: bool
    speaks: bool


# A page has few styles and many elements.
@lru_cache(maxsize=500)
def _look(name: str, style: str | None) -> _Look:
    return _Look(
        breaks=name not in _INLINE,
        struck=_is_struck(name, style),
        hidden=name in UNSEEN or bool(style and _hides(style)),
        turned=bool(_turning(name, style)),
        preformatted=name == "pre",
        speaks=name in _SEEN_ATTRIBUTES,
    )


def _said(name: str, attributes: Mapping[str, object]) -> Iterator[str]:
    """What a person sees of an element besides its text: what stands for a picture, what stands in a box."""
    attribute = _SEEN_ATTRIBUTES.get(name)
    if attribute and str(attributes.get("type", "")).lower() != "hidden":
        yield str(attributes.get(attribute) or "")


def _blanks_of_an_attribute(text: str) -> str:
    return _BLANKS.sub(" ", text)


def _turning(name: str, style: object) -> str:
    """The mark of characters that are shown in the opposite order, where an element is laid out so."""
    return TURNED if name == "bdo" or bool(style and _turns(str(style))) else ""


def _is_struck(name: str, style: object) -> bool:
    return name in _STRUCK or bool(style and _strikes_out(str(style)))


@lru_cache(maxsize=500)
def _strikes_out(style: str) -> bool:
    return _STRUCK_STYLE.search(style) is not None


@lru_cache(maxsize=500)
def _turns(style: str) -> bool:
    return _OVERRIDDEN.search(style) is not None


@lru_cache(maxsize=500)
def _hides(style: str) -> bool:
    return _HIDDEN.search(style) is not None


def _is_hidden(attributes: etree._Attrib | dict[str, str]) -> bool:
    style = attributes.get("style")
    return "hidden" in attributes or bool(style and _hides(str(style)))


def flatten_tolerantly(html: str) -> str:
    """The same by another parser, for markup so broken that two programs see two things in it."""
    pieces: list[str] = []
    # (node, leaving): an explicit stack, because hostile HTML nests deeper than Python recurses.
    try:
        soup = BeautifulSoup(html, "html.parser")
    except ParserRejectedMarkup:
        return ""
    stack: list[tuple[object, bool]] = [(soup, False)]
    while stack:
        node, leaving = stack.pop()
        if isinstance(node, Tag):
            if leaving:
                pieces.append(_STRUCK_OUT if _is_struck(node.name, node.get("style")) else "\n")
                continue
            if _is_struck(node.name, node.get("style")):
                pieces.append(_STRUCK_OUT)
                stack.append((node, True))
            if node.name in UNSEEN or _is_hidden({name: str(value) for name, value in node.attrs.items()}):
                continue
            if node.name not in _INLINE:
                pieces.append("\n")
                stack.append((node, True))
            pieces.append(_turning(node.name, node.get("style")))
            pieces.extend(map(_blanks_of_an_attribute, _said(node.name, node.attrs)))
            stack.extend((child, False) for child in reversed(node.contents))
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            pieces.append(_BLANKS.sub(" ", str(node)))
    return visible("".join(pieces))


def without_program_marks(text: str) -> str:
    """`text` without what mail programs write into it: addresses behind what they link, quotation and bold marks.

    Addresses stand in addresses where a mail was forwarded again: `a@b.c<mailto:a@b.c<mailto:a@b.c>>`.
    """
    return _without_marks(_without_links(text))


def _without_links(text: str) -> str:
    opened = ("<" in text or "[" in text) and _OPENED.search(text)
    for _ in range(_MOST_NESTED if opened else 0):
        shorter = _LINKS.sub(_unlinked, text)
        if shorter == text:
            break
        text = shorter
    return text


def _unlinked(found: re.Match[str]) -> str:
    if found.lastgroup:
        return found[found.lastgroup]
    if _NUMBER.match(found[0]):  # of a few digits, it is the number in front of it
        digits, before = (re.sub(r"\D", "", text) for text in (found[0], found.string[: found.start()][-80:]))
        if not digits or not (len(digits) >= _TELLING_DIGITS or before.endswith(digits)):
            return found[0]
    return ""


def _without_marks(text: str) -> str:
    known = Counter(_INITIALS.findall(text) if ">" in text else ())

    def bare(found: re.Match[str]) -> str:
        # Initials stand before every line that is quoted; a word before a mark is a word.
        if any(known[initials] < _FEWEST_INITIALS for initials in _WORDS.findall(found[0]) if not found["kept"]):
            return found[0]
        return found["kept"] or ("\n" if found["bar"] else "")

    unmarked = _by_line(_MARKS, bare, text)
    return _HEADING_MARKS.sub("", unmarked) if "#" in unmarked else unmarked


def _by_line(marks: re.Pattern[str], bare: Callable[[re.Match[str]], str], text: str) -> str:
    """`text` with its marks replaced; most texts and most lines have none."""
    if not any(mark in text for mark in _MARK_CHARACTERS):
        return text
    return "\n".join(marks.sub(bare, line) if _MARK.search(line) else line for line in text.split("\n"))


def _rightly_decoded(line: str) -> str:
    """A line of UTF-8 that some program took for Windows-1252 or Latin-1 (`MÃ¼ller`), as it was; else the same line."""
    for charset in ("windows-1252", "latin-1"):
        try:
            return line.encode(charset).decode("utf-8")
        except UnicodeError:
            continue
    return line


def _quoted_lines(text: str) -> tuple[str, str]:
    """The lines quoted as deep as most are, and what somebody wrote between them, unquoted, which is left out.

    A line with a digit or a colon is no mere note, nor is one where a value is due: where one stands between them,
    nothing is left out.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    depths = [_QUOTE.match(line)[1].count(">") + _QUOTE.match(line)[1].count("|") for line in lines]  # type: ignore[index]
    usual = Counter(depths).most_common(1)[0][0] if depths else 0
    deep = [number for number, depth in enumerate(depths) if depth >= usual]
    between = [number for number in range(deep[0], deep[-1]) if depths[number] < usual] if usual else []
    noted = [lines[number] for number in between]
    beside_a_label = any(_LABEL_END.search(lines[number - 1]) for number in between)
    if not between or beside_a_label or any(re.search(r"[\d:\uff1a]", line) for line in noted):
        return text, ""
    kept = (line for number, line in enumerate(lines) if number not in set(between))
    return "\n".join(kept), " ".join(" ".join(noted).split())


def without_addresses(text: str) -> str:
    """`text` without the addresses that clients write behind what they link, guarded ones too."""
    return _ADDRESS_BEHIND.sub(_unlinked, text)


def visible(text: str) -> str:
    """`text` without characters that nobody sees. The override that turns what follows around is seen, and stays."""
    if TURNED not in text:
        return INVISIBLE.sub("", text)
    return TURNED.join(INVISIBLE.sub("", piece) for piece in text.split(TURNED))


def essence(text: str) -> str:
    """`text` without blanks, without guards and without the marks that clients add at the edges of words: equal for two
    texts a person reads as one."""
    return "".join(_EDGE_MARKS.sub("", _GUARD.sub("", visible(text))).split())


TURNED = "\u202e"
"""The override that turns the characters behind it around, which a person sees."""
_GUARD = re.compile(r"\\(?=[<>|*#\[])")
_EDGE_MARKS = re.compile(r"(?<!\w)[*_<>|]+|[*_<>|]+(?!\w)")
