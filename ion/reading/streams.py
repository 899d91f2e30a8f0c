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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
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
UNSEEN = frozenset("head title style script noscript template meta link object iframe svg math".split())
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|mso-hide\s*:\s*all", re.IGNORECASE
)
# The second parser takes time with the square of what hostile markup leaves open.
_TOLERANT_LENGTH = 120_000
_STUFFED = re.compile(r"^- -", re.MULTILINE)  # RFC 934: a line that begins with a dash gets another
# A gateway puts a document of its own in front, a client closes its own too early: what follows is shown all the same.
_DOCUMENT_END = re.compile(r"</(?:html|body)\s*>", re.IGNORECASE)
_MOST_NESTED = 5
# Roundcube writes links as numbers in brackets and lists them at the end.
_LISTED_LINK = re.compile(r"^\[(\d{1,3})\]\s+[a-z][a-z0-9+.-]*:\S", re.MULTILINE)
_BLANKS = re.compile(r"\s+")
_BLANKS_OF_A_LINE = re.compile(r"[^\S\n]+")
_JOINERS = re.compile("[\u200c\u200d]")
_QUOTE = re.compile(r"[^\S\n]*((?:\w{0,5}[>|]+[^\S\n]?)*)")

# The scheme of an address, also where a line was broken inside it.
_SCHEME = r"(?:[A-Za-z](?:[A-Za-z0-9+.]|-\s*){1,30}|h\s*t\s*t\s*p\s*s?|m\s*a\s*i\s*l\s*t\s*o|t\s*e\s*l)\s*:"
# An address; a quoted line may go on in it with its last piece.
_ADDRESS = rf"{_SCHEME}(?:\n(?:[^\S\n]*>)+[^\S\n]?(?=[^\s<>]+>)|[^<>])*"
_LINKS = re.compile(
    rf"""
    (?P<kept> \\. )                                               # guarded: a value's own character
    | \[ (?P<same> [^\[\]]+ ) \] \s* \( (?P=same) \)                # [https://...](https://...)
    | \[ (?P<linked> [^\[\]]* ) \] \s* \( \s? {_SCHEME} [^()]* \)       # [x](https://...)
    | \s? < \s? {_ADDRESS} > (?: [^\S\n] (?=>) )?                     # behind what is linked: a@b.c<mailto:a@b.c>
    | \s? \[ \s? {_SCHEME} [^\[\]]* \] (?! \s* \()                       # a@b.c [mailto:a@b.c]
    """,
    re.VERBOSE | re.DOTALL,
)
_MARKS = re.compile(
    r"""
    (?P<kept> \\. )                                               # guarded: a value's own character
    | (?<![^\s:\uff1a|]) (?:\w{0,5}>+[^\S\n]?)+                     # quotation marks, also where lines were joined
    | (?P<bar> \|+ )                                               # the same, or an edge of a cell
    | (?<!\w)\* | \*(?!\w)                                         # bold, in a text part made of HTML: *Label:*
    | (?:^|(?<=[>|])|(?<=[>|]\s))[^\S\n]*\#{1,6}(?=\s|\Z)          # headings likewise: ## Label:
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_ADDRESS_BEHIND = re.compile(r"\s?<\s?[A-Za-z][A-Za-z0-9+.-]{1,30}:[^<>]*>")


@dataclass(frozen=True)
class Form:
    """One plausible reading of a body as text. `repair`: what was done for it, in words; None for the ordinary one.
    `glued`: labels may stand directly behind a value, as where tags were simply left out of a page."""

    text: str
    repair: str | None = None
    glued: bool = False


def forms(kind: str, text: str) -> Iterator[Form]:
    """The plausible forms of a body's visible text, likeliest first, without repeats."""
    plain = flatten(text) if kind == "html" else INVISIBLE.sub("", text)
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
    yield Form(without_program_marks(_quoted_lines(plain)), "lines without quotation marks were left out")
    if _STUFFED.search(plain):
        yield Form(without_program_marks(_STUFFED.sub("-", plain)), "dashes doubled at line starts were removed")
    listed = set(_LISTED_LINK.findall(ordinary))
    if listed:
        numbers = re.compile(r"\s?\[(?:" + "|".join(sorted(listed)) + r")\]")
        yield Form(numbers.sub("", ordinary), "numbers of listed links were removed")
    yield Form(_JOINERS.sub("", ordinary), "joiners were removed")
    yield Form("\n".join(map(_rightly_decoded, ordinary.split("\n"))), "text read in a wrong charset was put right")
    if kind == "html" and len(text) <= _TOLERANT_LENGTH:
        tolerant = flatten_tolerantly(text)
        if tolerant.split() != plain.split():
            yield Form(without_program_marks(tolerant), "the markup was read another way")
    yield Form(plain, "the marks of mail programs were kept")
    if kind == "text":
        yield Form(ordinary, "labels were taken out of the words they were joined to", glued=True)


def flatten(html: str) -> str:
    """The text of an HTML body as a person sees it, a line break wherever the page has one.

    Hidden elements are left out: what nobody sees never decides.
    """
    root = html_root(html)
    return "" if root is None else INVISIBLE.sub("", "".join(_pieces(root)))


def html_root(html: str) -> etree._Element | None:
    """The parsed page; None where there is nothing in it."""
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(_DOCUMENT_END.sub("", html).replace("\0", "").encode("utf-8"), parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return None


def hides_something(root: etree._Element) -> bool:
    """True where an element of the page is hidden from the reader's eye."""
    styles = cast("list[str]", root.xpath("//@style"))
    return bool(root.xpath("boolean(//@hidden)")) or _HIDDEN.search("\n".join(styles)) is not None


def _pieces(root: etree._Element) -> Iterator[str]:
    walk = etree.iterwalk(root, events=("start", "end"))
    preformatted = 0
    for event, element in walk:
        name = element.tag
        if not isinstance(name, str):
            continue
        breaks = name not in _INLINE
        if event == "end":
            if breaks:
                yield "\n"
            preformatted -= name == "pre"
            if element.tail and element is not root:
                yield _blanks(element.tail, preformatted)
            continue
        preformatted += name == "pre"
        if name in UNSEEN or _is_hidden(element.attrib):
            walk.skip_subtree()
            continue
        if breaks:
            yield "\n"
        if element.text:
            yield _blanks(element.text, preformatted)


def _blanks(text: str, preformatted: int) -> str:
    return (_BLANKS_OF_A_LINE if preformatted else _BLANKS).sub(" ", text)


def _is_hidden(attributes: etree._Attrib | dict[str, str]) -> bool:
    return "hidden" in attributes or bool(_HIDDEN.search(str(attributes.get("style", ""))))


def flatten_tolerantly(html: str) -> str:
    """The same by another parser, for markup so broken that two programs see two things in it."""
    pieces: list[str] = []
    # (node, leaving): an explicit stack, because hostile HTML nests deeper than Python recurses.
    stack: list[tuple[object, bool]] = [(BeautifulSoup(html, "html.parser"), False)]
    while stack:
        node, leaving = stack.pop()
        if isinstance(node, Tag):
            if leaving:
                pieces.append("\n")
                continue
            if node.name in UNSEEN or _is_hidden({name: str(value) for name, value in node.attrs.items()}):
                continue
            if node.name not in _INLINE:
                pieces.append("\n")
                stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.contents))
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            pieces.append(_BLANKS.sub(" ", str(node)))
    return INVISIBLE.sub("", "".join(pieces))


def without_program_marks(text: str) -> str:
    """`text` without what mail programs write into it: addresses behind what they link, quotation and bold marks.

    Addresses stand in addresses where a mail was forwarded again: `a@b.c<mailto:a@b.c<mailto:a@b.c>>`.
    """
    for _ in range(_MOST_NESTED):
        shorter = _LINKS.sub(lambda found: found["kept"] or found["same"] or found["linked"] or "", text)
        if shorter == text:
            break
        text = shorter
    return _MARKS.sub(lambda found: found["kept"] or ("\n" if found["bar"] else ""), text)


def _rightly_decoded(line: str) -> str:
    """A line of UTF-8 that some program took for Windows-1252 or Latin-1 (`MÃ¼ller`), as it was; else the same line."""
    for charset in ("windows-1252", "latin-1"):
        try:
            return line.encode(charset).decode("utf-8")
        except UnicodeError:
            continue
    return line


def _quoted_lines(text: str) -> str:
    """The lines quoted as deep as most are: what somebody wrote between them, unquoted, is left out."""
    lines = [line for line in text.split("\n") if line.strip()]
    depths = [_QUOTE.match(line)[1].count(">") + _QUOTE.match(line)[1].count("|") for line in lines]  # type: ignore[index]
    usual = Counter(depths).most_common(1)[0][0] if depths else 0
    if usual == 0:
        return text
    return "\n".join(line for line, depth in zip(lines, depths, strict=True) if depth >= usual)


def without_addresses(text: str) -> str:
    """`text` without the addresses that clients write behind what they link, guarded ones too."""
    return _ADDRESS_BEHIND.sub("", text)


def essence(text: str) -> str:
    """`text` without blanks and without the marks that clients add: equal for two texts a person reads as one."""
    return re.sub(r"[\s*_<>|]+", "", INVISIBLE.sub("", text))
