"""Read, first half: a body as a stream of visible text in which the contract's anchors can be found.

To the reader all blanks and line breaks are one, because no mail client keeps them. So a body becomes one run of
text: HTML is flattened to what a person sees, with a break wherever a block, cell or row ends; plain text loses its
quote prefixes. Where a client is known to write something of its own into the text, a stream has several plausible
forms; they are tried in order and the seal picks. A form changes blanks, quote prefixes, invisible characters and
what stands between marks that clients add; never a letter, digit, sign or decimal mark of a value.
"""

import re
import warnings
from collections.abc import Iterator
from itertools import combinations

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PreformattedString, Tag

from ion.order import INVISIBLE

# Advice to programmers, which a mail must not put on anybody's screen.
warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)
warnings.filterwarnings("ignore", category=MarkupResemblesLocatorWarning)

# Elements that do not break the line; all others (blocks, cells, unknown ones) do.
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code del dfn em font i ins kbd label mark o:p q s samp small span strike strong"
    " sub sup time tt u var wbr st1:date st1:place st1:city".split()
)
_UNSEEN = frozenset("head title style script noscript template meta link object iframe svg math".split())
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|mso-hide\s*:\s*all", re.IGNORECASE
)
_QUOTE = re.compile(r"^[ \t]*(?:[>|][ \t]?)+", re.MULTILINE)
# As deep as a mail was quoted and no deeper: what follows is the value's own mark, wrapped to the start of a line.
_QUOTES_AT_MOST = tuple(re.compile(rf"^[ \t]*(?:[>|][ \t]?){{1,{depth}}}", re.MULTILINE) for depth in (1, 2, 3))
# What clients write behind an address, number or page that they link: `a@b.c<mailto:a@b.c>`, `[x]<http://...>`.
_LINK_NOISE = re.compile(r"\s?<\s?(?:mailto|https?|tel|callto|sip):[^<>]*>", re.IGNORECASE)
# Quote marks that ended up inside a line when a quoted text was joined again.
_INNER_QUOTE = re.compile(r"(?<=\s)(?:>[ \t]?)+(?=\s|\S)")
# Gmail and others mark bold and italics in the text part: *Label:* value.
_STARS = re.compile(r"(?<![\w*])\*(?=\S)|(?<=\S)\*(?![\w*])")


def flatten(html: str) -> str:
    """The text of an HTML body as a person sees it, a line break wherever the page has one.

    Hidden elements are left out: what nobody sees never decides.
    """
    soup = BeautifulSoup(html, "lxml")
    pieces: list[str] = []
    # (node, leaving): an explicit stack, because hostile HTML nests deeper than Python recurses.
    stack: list[tuple[object, bool]] = [(soup, False)]
    while stack:
        node, leaving = stack.pop()
        if isinstance(node, Tag):
            if leaving:
                pieces.append("\n")
                continue
            if node.name in _UNSEEN or _is_hidden(node):
                continue
            if node.name not in _INLINE:
                pieces.append("\n")
                stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.contents))
        elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
            pieces.append(re.sub(r"\s+", " ", str(node)))
    return INVISIBLE.sub("", "".join(pieces))


def _is_hidden(tag: Tag) -> bool:
    return tag.has_attr("hidden") or bool(_HIDDEN.search(str(tag.get("style") or "")))


def unquoted(text: str) -> str:
    """Plain text without quote prefixes of any depth and without invisible characters."""
    return INVISIBLE.sub("", _QUOTE.sub("", text))


def forms(kind: str, text: str) -> Iterator[str]:
    """The plausible forms of a body's visible text, likeliest first, without repeats.

    Text that was quoted may stand in HTML too, and a value may itself hold quote marks: so with and without the marks
    at line starts, then every combination of what clients add inside lines taken away.
    """
    plain = flatten(text) if kind == "html" else INVISIBLE.sub("", text)
    bases = [plain, unquoted(plain)]
    if kind == "text":
        bases = [unquoted(plain), *(quotes.sub("", plain) for quotes in _QUOTES_AT_MOST), plain]
    seen: set[str] = set()
    for repairs in _REPAIRS:
        for base in bases:
            form = base
            for repair in repairs:
                form = repair(form)
            if form not in seen:
                seen.add(form)
                yield form


def without_links(text: str) -> str:
    """`text` without the addresses that clients write behind what they link."""
    return _LINK_NOISE.sub("", text)


def essence(text: str) -> str:
    """`text` without blanks and without the marks that clients add: equal for two texts a person reads as one."""
    return re.sub(r"[\s*_<>|]+", "", INVISIBLE.sub("", text))


def _without_stars(text: str) -> str:
    return _STARS.sub("", text)


def _without_inner_quotes(text: str) -> str:
    return _INNER_QUOTE.sub("", text)


_SINGLE_REPAIRS = (without_links, _without_stars, _without_inner_quotes)
_REPAIRS = tuple(chosen for count in range(4) for chosen in combinations(_SINGLE_REPAIRS, count))
