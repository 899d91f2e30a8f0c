"""HTML to text as clients do it, and text wrapped, quoted and flowed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import east_asian_width

from lxml.html import HtmlElement


@dataclass(frozen=True)
class Wrapping:
    """Where a client breaks a line besides at blanks. `hyphens`: behind a hyphen inside a word; `cut`: inside a word
    that is longer than the line; `wide`: between two East Asian characters, each of which takes two columns."""

    hyphens: bool = False
    cut: bool = False
    wide: bool = False


WORDS = Wrapping()


@dataclass(frozen=True)
class TextStyle:
    """How a client writes HTML as text.

    `cell`: between two cells of a row (where that is an empty line, rows are parted by one too); `bold`: mark around
    bold text; `address`, `page`, `telephone`: what a link of each kind becomes (of `text` and `href`); `repeats`: also
    where the text of a link is its address; `image`: what a picture becomes (of `alt`); `rule`: what a horizontal line
    becomes; `width`: columns to wrap at, None to leave lines long; `wrapping`: where.
    """

    cell: str = "\n"
    bold: str = ""
    address: str = "{text}"
    page: str = "{text} <{href}>"
    telephone: str = "{text}"
    repeats: bool = False
    image: str = ""
    rule: str = ""
    width: int | None = None
    wrapping: Wrapping = WORDS


_SILENT = frozenset("style title script head".split())
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 table blockquote pre".split())
_BLOCKS = frozenset("div tr li ul ol dl dt dd hr tbody thead center section".split())
_BOLD = frozenset("b strong h1 h2 h3".split())
_CELLS = frozenset(("td", "th"))
# Edges of blocks and of paragraphs, and the end of a cell, while the text is put together; a line break is "\n".
_EDGE, _GAP, _CELL_END = "\x01", "\x02", "\0"
_BETWEEN_CELLS = re.compile(r"[ \n\x01\x02]*\0[ \n\x01\x02]*")
_BREAKS = re.compile(r"[ \t]*[\n\x01\x02][ \t\n\x01\x02]*")
_AT_ENDS = f" \n{_EDGE}{_GAP}"


def _line_ends(found: re.Match[str]) -> str:
    """Edges that meet are one line end; a paragraph, or two breaks, leave a line empty."""
    return "\n\n" if _GAP in found[0] or found[0].count("\n") > 1 else "\n"


def text_of(body: HtmlElement, style: TextStyle) -> list[str]:
    """The lines a client writes for a body."""
    pieces: list[str] = []
    _write(body, style, pieces, preserved=False)
    text = _BREAKS.sub(_line_ends, _BETWEEN_CELLS.sub(style.cell, "".join(pieces)))
    lines = [line.strip(" ") for line in text.strip("\n").split("\n")]
    return [piece for line in lines for piece in wrapped(line, style.width, style.wrapping)]


def _write(tag: HtmlElement, style: TextStyle, pieces: list[str], *, preserved: bool) -> None:
    _write_text(tag.text, pieces, preserved=preserved)
    for child in tag:
        if isinstance(child.tag, str):
            _write_tag(child, child.tag, style, pieces, preserved=preserved)
        _write_text(child.tail, pieces, preserved=preserved)


def _write_text(text: str | None, pieces: list[str], *, preserved: bool) -> None:
    if text:
        pieces.append(text if preserved else re.sub(r"[ \t\r\n]+", " ", text))


def _write_tag(tag: HtmlElement, name: str, style: TextStyle, pieces: list[str], *, preserved: bool) -> None:
    if name in _SILENT:
        return
    if name == "br":
        pieces.append("\n")
        return
    if name == "img":
        pieces.append(style.image.format(alt=tag.get("alt", "")) if tag.get("alt") else "")
        return
    apart = name in _PARAGRAPHS or (name == "tr" and style.cell == "\n\n")
    around = _GAP if apart else _EDGE if name in _BLOCKS else ""
    pieces.append(around)
    start = len(pieces)
    if name == "hr":
        pieces.append(style.rule)
    _write(tag, style, pieces, preserved=preserved or name == "pre")
    if name in _CELLS:
        inner = _taken(pieces, start).strip(_AT_ENDS)
        pieces.append(inner if all(cell.tag not in _CELLS for cell in tag.itersiblings()) else inner + _CELL_END)
    elif name in _BOLD and style.bold:
        inner = _taken(pieces, start)
        bare = inner.strip(_AT_ENDS)
        pieces.append(f"{style.bold}{bare}{style.bold}" if bare else inner)
    elif name == "a" and tag.get("href"):
        pieces.append(_link(_taken(pieces, start), tag.get("href", ""), style))
    pieces.append(around)


def _taken(pieces: list[str], start: int) -> str:
    inner = "".join(pieces[start:])
    del pieces[start:]
    return inner


def _link(text: str, href: str, style: TextStyle) -> str:
    if href.startswith("mailto:"):
        form = style.address
    elif href.startswith("tel:"):
        form = style.telephone
    elif href.startswith("http"):
        form = style.page if style.repeats or text.strip() != href else "{text}"
    else:  # what a client detected itself
        form = "{text}"
    return form.format(text=text, href=href)


# Lines.


def wrapped(line: str, width: int | None, wrapping: Wrapping = WORDS, indent: str = "") -> list[str]:
    """`line` in pieces of at most `width` columns where `wrapping` allows."""
    if width is None or (len(line) <= width and (not wrapping.wide or line.isascii())):
        return [line]
    place_of = _blank_place if wrapping == WORDS else _any_place
    pieces: list[str] = []
    while place := place_of(line, width, wrapping):
        pieces.append(line[:place].rstrip(" "))
        line = indent + line[place:].lstrip(" ")
        if not line.strip(" "):
            return pieces
    return [*pieces, line]


def _blank_place(line: str, width: int, _: Wrapping) -> int:
    """The blank to break at; 0: none."""
    if len(line) <= width:
        return 0
    first = len(line) - len(line.lstrip(" "))
    place = line.rfind(" ", first, width + 1)
    return place if place > 0 else max(line.find(" ", max(first, width)), 0)


def _any_place(line: str, width: int, wrapping: Wrapping) -> int:
    used, last, begun = 0, 0, False
    for place, char in enumerate(line):
        if char == " " and begun:
            last = place
        begun = begun or char != " "
        broad = wrapping.wide and _is_wide(char)
        used += 2 if broad else 1
        if used > width:
            if last or (wrapping.cut and place):
                return last or place
            if broad and place:
                return place
        following = line[place + 1 : place + 2]
        hyphen = wrapping.hyphens and char == "-" and following.isalnum() and line[place - 1 : place].isalnum()
        if hyphen or (broad and following and _is_wide(following)):
            last = place + 1
    return 0


@lru_cache(maxsize=4096)
def _is_wide(char: str) -> bool:
    return east_asian_width(char) in "WF"


def quoted(lines: list[str], mark: str = "> ", *, bare: str | None = None) -> list[str]:
    """Lines behind a quote mark; an empty one is the mark without its blank, or `bare`."""
    empty = mark.rstrip() if bare is None else bare
    return [f"{mark}{line}".rstrip(" ") if line else empty for line in lines]


def flowed(lines: list[str], width: int = 72, *, delsp: bool = False, stuffed: bool = True) -> list[str]:
    """`format=flowed` (RFC 3676): lines broken behind a blank, space-stuffed where they begin with one, `>` or `From `.
    With `delsp` the break's own blank is added, so words may be cut anywhere."""
    return [
        f" {piece}" if stuffed and piece.startswith((" ", ">", "From ")) else piece
        for line in lines
        for piece in _flown(line, width, delsp=delsp)
    ]


def _flown(line: str, width: int, *, delsp: bool) -> Iterator[str]:
    if delsp:
        pieces = [line[place : place + width] for place in range(0, len(line), width)] or [""]
        pieces[-1] = pieces[-1].rstrip(" ")
    else:
        pieces = wrapped(line if line == "-- " else line.rstrip(" "), width)
    yield from (f"{piece} " for piece in pieces[:-1])
    yield pieces[-1]


def unflowed(text: str, *, delsp: bool = False) -> str:
    """`format=flowed` text with its lines joined again, as a client shows it: those of one quotation depth, and with
    `delsp` without the blank they were broken at."""
    joined_lines: list[str] = []
    depth_before, open_end = 0, False
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        flows = content.endswith(" ") and content != "-- "
        shown = content[:-1] if flows and delsp else content
        if open_end and depth == depth_before:
            joined_lines[-1] += shown
        else:
            joined_lines.append(f"{'>' * depth} {shown}" if depth else shown)
        depth_before, open_end = depth, flows
    return "\n".join(joined_lines)


# Paragraphs filled anew.


def filled(lines: list[str], width: int, wrapping: Wrapping = WORDS) -> list[str]:
    """Every paragraph filled, with the quote marks it has, so that one field runs into the next."""
    done: list[str] = []
    paragraph: list[str] = []
    mark = ""
    for line in [*lines, ""]:
        depth = re.match(r"(?:> ?)*", line)
        marked = depth[0].strip() if depth else ""
        content = line[len(depth[0]) :] if depth else line
        if paragraph and (marked != mark or not content.strip()):
            prefix = f"{mark} " if mark else ""
            done += [prefix + piece for piece in wrapped(" ".join(" ".join(paragraph).split()), width, wrapping)]
            paragraph = []
        mark = marked
        if content.strip():
            paragraph.append(content)
        else:
            done.append(mark)
    return done[:-1]


def joined(lines: list[str], width: int, wrapping: Wrapping = WORDS) -> list[str]:
    """Every paragraph filled, the marks of an earlier quotation inside it (`fmt` without `-p`)."""
    paragraphs = re.split(r"\n(?:[> ]*\n)+", "\n".join(lines))
    return [piece for text in paragraphs for piece in [*wrapped(" ".join(text.split()), width, wrapping), ""]]


def combed(lines: list[str], width: int, mark: str = "> ", wrapping: Wrapping = WORDS) -> list[str]:
    """Quoted first and wrapped then: what does not fit is left as a short orphan without a mark."""
    return [piece for line in quoted(lines, mark) for piece in wrapped(line, width, wrapping)]
