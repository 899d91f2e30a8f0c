"""A raw message as a person may look at it: its header as text, its texts, its HTML without anything active, its files.

Everything here is hostile. HTML is rebuilt from a list of what is harmless (nh3), without links, forms and anything
from elsewhere, and is shown in a sandboxed frame only; that it is harmless is one wall, the frame's policy the other.
"""

import base64
import email.header
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import nh3

from ion.reading.limits import Budget, TooBig
from ion.reading.mime import Part, Unparsable, take_apart
from ion.reading.unwrap import Body, bodies, octets_of, parameters_of

MOST_TEXT = 200_000  # characters of one text, and of all together twice that; the others are left out
MOST_HTML = 400_000  # of one page
MOST_PAGES = 10  # each is asked for by itself, and the mail taken apart for it
MOST_MAILS = 20  # attached ones whose header is shown
# Taking HTML apart takes the square of how deep it is nested: 100,000 levels half a minute, these some milliseconds.
MOST_LEVELS = 2_000
# So do the attributes of one element: 80,000 some six seconds, these a millisecond.
MOST_ATTRIBUTES = 1_000
MOST_FIELDS = 200
MOST_PICTURE_BYTES = 1_000_000  # of one, and of all together three times that, as often as each is shown
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)

_TAGS = frozenset(
    "a abbr address b bdi bdo big blockquote br caption center cite code col colgroup dd del dfn div dl dt em font h1"
    " h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q s samp small span strike strong sub sup table tbody td tfoot th"
    " thead tr tt u ul var wbr".split()
)
_ATTRIBUTES = {
    "*": set("align bgcolor color dir face height lang size style title valign width".split()),
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap", "scope"},
    "table": {"border", "cellpadding", "cellspacing"},
    "ol": {"start", "type"},
}
_STYLES = frozenset(
    "background-color border border-bottom border-collapse border-color border-left border-right border-spacing"
    " border-style border-top border-width color direction font-family font-size font-style font-weight height"
    " line-height list-style-type margin margin-bottom margin-left margin-right margin-top max-width min-width padding"
    " padding-bottom padding-left padding-right padding-top text-align text-decoration text-indent text-transform"
    " unicode-bidi vertical-align white-space width word-break word-wrap".split()
)
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
_ELEMENT = re.compile(r"<(?=[a-zA-Z])")
# Attributes as HTML writes them; the name of the element is the first of them here.
_WRITTEN = re.compile(
    r"(?:[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s>\"'][^\s>]*+)?+)?+)"
    rf"{{0,{MOST_ATTRIBUTES}}}+"
)
_ONE_MORE = re.compile(r"[\s/]*+[^\s/>]")
_NOT_PLAIN = re.compile(r"[\\@(<]|/\*")  # in a style: what could ask for something, or hide that it does
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_FIELD_LINE = re.compile(rb"^([!-9;-~]+):((?:.*)(?:\r?\n[ \t].*)*)", re.MULTILINE)
_CONTENT_ID = re.compile(rb"^content-id:\s*<?([^>\r\n]{1,500})", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class AttachedFile:
    """A file in a message. `number`: its place among them, from 1; `name`: as the mail says, made harmless; None where
    it has none; `content_type`: as the mail says, which proves nothing."""

    number: int
    name: str | None
    content_type: str
    size_bytes: int


@dataclass(frozen=True)
class MailText:
    """One text of a message. `place`: the part that it stands in, as problems name it; `is_cut`: it is longer."""

    place: str
    text: str
    is_cut: bool


@dataclass(frozen=True)
class MailPage:
    """An HTML part of a message, which `page_of` gives. `is_cut`: it is longer than what is shown of it; `is_shown`: it
    can be made harmless in time."""

    place: str
    is_cut: bool
    is_shown: bool


@dataclass(frozen=True)
class MailView:
    """A message to look at. `fields`: of its header, in order; `mails`: the same of each mail attached to it;
    `left_out`: how many more texts and pages it has than are shown. `fault`: why no more of it is shown (`too_big`,
    `unparsable`), None where all is."""

    fields: tuple[tuple[str, str], ...]
    mails: tuple[tuple[tuple[str, str], ...], ...]
    texts: tuple[MailText, ...]
    pages: tuple[MailPage, ...]
    files: tuple[AttachedFile, ...]
    left_out: int
    fault: str | None


def view_of(raw: bytes) -> MailView:
    """The message, as far as it can be taken apart. Never raises for what is in it."""
    fault = None
    root: Part | None = None
    found: list[Body] = []
    try:
        root = take_apart(raw, 0, Budget())
        found = list(bodies(raw))
    except TooBig:
        fault = "too_big"
    except (Unparsable, RecursionError):
        fault = "unparsable"
    if fault and not found:
        found = [Body("text", raw[: MOST_TEXT * 4].decode("utf-8", "replace"), "1")]
    pages = [body for body in found if _is_page(body)]
    texts = _texts(body for body in found if not _is_page(body))
    return MailView(
        fields=fields_of(raw),
        mails=tuple(islice(map(fields_of, _attached_headers(root)), MOST_MAILS)) if root else (),
        texts=texts,
        pages=tuple(
            MailPage(body.place, len(body.text) > MOST_HTML, not _takes_long(body.text[:MOST_HTML]))
            for body in pages[:MOST_PAGES]
        ),
        files=tuple(
            AttachedFile(number, _name(part), visible(part.content_type), len(octets_of(part)))
            for number, part in enumerate(filter(_is_file, _leaves(root)), 1)
        )
        if root
        else (),
        left_out=len(found) - len(texts) - min(len(pages), MOST_PAGES),
        fault=fault,
    )


def page_of(raw: bytes, place: str) -> str | None:
    """The HTML at a place of the message, harmless, or its first where no place is given; None where there is none."""
    try:
        parts = list(_leaves(take_apart(raw, 0, Budget())))
        pages = list(islice(filter(_is_page, bodies(raw)), MOST_PAGES))
    except (TooBig, Unparsable, RecursionError):
        return None
    page = next((body for body in pages if place in ("", body.place)), None)
    return None if page is None else harmless(page.text, _pictures(parts))


def file_of(raw: bytes, number: int) -> tuple[str, bytes] | None:
    """A file in the message: a name, and its octets; None where there is none of this number."""
    try:
        parts = list(filter(_is_file, _leaves(take_apart(raw, 0, Budget()))))
    except (TooBig, Unparsable, RecursionError):
        return None
    if not 1 <= number <= len(parts):
        return None
    part = parts[number - 1]
    return _name(part) or f"file-{number}", octets_of(part)


def fields_of(raw: bytes) -> tuple[tuple[str, str], ...]:
    """The fields of the header as text, decoded where they are encoded (RFC 2047), the first `MOST_FIELDS`."""
    end = re.search(rb"\r?\n\r?\n", raw[:1_000_000])
    header = raw[: end.start() if end else 65_536]
    fields = []
    for match in _FIELD_LINE.finditer(header):
        fields.append((match[1].decode("ascii"), visible(_decoded(match[2][:16_384]))))
        if len(fields) == MOST_FIELDS:
            break
    return tuple(fields)


def harmless(html: str, pictures: dict[str, str]) -> str:
    """HTML from which nothing is loaded, run, sent or opened. `pictures`: data URIs by content id (RFC 2392). What
    cannot be taken apart in time is "" (there is a text for it, or the file itself)."""
    html = html[:MOST_HTML]
    if _takes_long(html):
        return ""
    return nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags={
            "script",
            "style",
            "title",
            "template",
            "noscript",
            "xml",
            "svg",
            "math",
            "iframe",
            "object",
        },
        attributes=_ATTRIBUTES,
        attribute_filter=_Attributes(pictures),
        filter_style_properties=set(_STYLES),
        url_schemes={"cid"},
        url_relative="deny",
        link_rel=None,
        strip_comments=True,
    )


def visible(text: str) -> str:
    """Text in which what steers its display without being seen (controls, directions) is seen, but for line ends and
    tabs."""
    return "".join(
        character
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
        else ""
        if character in "\r\u00ad\ufeff"
        else character
        if character in "\u200c\u200d"  # names and emoji need them
        else f"⟨U+{ord(character):04X}⟩"
        for character in text
    )


class _Attributes:
    """What is kept of each attribute on a page."""

    def __init__(self, pictures: dict[str, str]) -> None:
        self._pictures = pictures
        # A page of many thousand times one picture would be gigabytes.
        self._left = 4 * MOST_PICTURE_BYTES

    def __call__(self, tag: str, name: str, value: str) -> str | None:
        if (tag, name) == ("img", "src"):
            return self._picture(value.removeprefix("cid:").strip("<>")) if value.startswith("cid:") else None
        if name == "style":
            kept = [one for one in value.split(";") if not _NOT_PLAIN.search(one)]
            return ";".join(kept) or None
        return value

    def _picture(self, content_id: str) -> str | None:
        found = self._pictures.get(content_id)
        if found is None or len(found) > self._left:
            return None
        self._left -= len(found)
        return found


def _texts(found: Iterable[Body]) -> tuple[MailText, ...]:
    """Texts as they are shown, the first of them, as far as all together are not too long."""
    texts = []
    left = 2 * MOST_TEXT
    for body in found:
        shown = body.text[: min(MOST_TEXT, left)]
        if left == 0:
            break
        left -= len(shown)
        texts.append(MailText(body.place, visible(shown), len(body.text) > len(shown)))
    return tuple(texts)


def _takes_long(html: str) -> bool:
    """Whether it takes seconds to make this harmless."""
    return _levels(html) > MOST_LEVELS or _is_crowded(html)


def _is_crowded(html: str) -> bool:
    """Whether an element may have too many attributes. Each place where one could begin is looked at, so that quotes
    and comments hide none; where they do so much that looking takes long itself, it is said to have."""
    seen = 0
    for found in _ELEMENT.finditer(html):
        written = _WRITTEN.match(html, found.end())
        end = written.end() if written else found.end()
        seen += end - found.end()
        if _ONE_MORE.match(html, end) or seen > 8 * MOST_HTML:
            return True
    return False


def _levels(html: str) -> int:
    """How deep the elements may be nested, at most: those that need not be closed count as if they stayed open, and
    what closes nothing of its name closes nothing."""
    deepest = level = 0
    still_open: Counter[str] = Counter()
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if not match[1] and name not in _VOID:
            still_open[name] += 1
            level += 1
            deepest = max(deepest, level)
        elif match[1] and still_open[name]:
            still_open[name] -= 1
            level -= 1
    return deepest


def _attached_headers(part: Part) -> Iterator[bytes]:
    """The headers of the mails attached to a part, each as it is written."""
    if part.content_type.startswith("message/"):
        if part.parts is None:
            yield octets_of(part)
        elif part.content_type != "message/delivery-status":
            yield part.parts[0].header
    for inner in part.parts or ():
        yield from _attached_headers(inner)


def _leaves(part: Part) -> Iterator[Part]:
    if part.parts is None:
        yield part
        return
    for inner in part.parts:
        yield from _leaves(inner)


def _is_file(part: Part) -> bool:
    said = part.fields.get("content-disposition", "").strip().lower()
    return said.startswith("attachment") or part.content_type not in ("text/plain", "text/html")


def _name(part: Part) -> str | None:
    """The name of a file, never a path: without folders, controls and directions, and not too long."""
    said = parameters_of(part.fields.get("content-disposition", "")).get("filename")
    name = said or parameters_of(part.fields.get("content-type", "")).get("name", "")
    name = _decoded(name.encode("utf-8", "replace")) if "=?" in name else name
    name = re.split(r"[/\\]", name)[-1]
    kept = "".join(character for character in name if unicodedata.category(character)[0] != "C").strip(". ")
    return kept[:150] or None


def _pictures(parts: list[Part]) -> dict[str, str]:
    """Data URIs of the raster pictures of a message by content id, as far as they are not too large."""
    found: dict[str, str] = {}
    left = 3 * MOST_PICTURE_BYTES
    for part in parts:
        content_id = _CONTENT_ID.search(part.header) if part.content_type.startswith("image/") else None
        if content_id is None or len(part.octets) > 2 * MOST_PICTURE_BYTES:
            continue
        octets = octets_of(part)
        media_type = next((kind for magic, kind in _PICTURES if octets.startswith(magic)), None)
        if media_type and len(octets) <= min(left, MOST_PICTURE_BYTES):
            left -= len(octets)
            name = content_id[1].decode("utf-8", "replace").strip()
            found.setdefault(name, f"data:{media_type};base64,{base64.b64encode(octets).decode()}")
    return found


def _decoded(written: bytes) -> str:
    """A field without folds and encoded words. The library raises anything on hostile ones."""
    text = re.sub(r"\r?\n[ \t]+", " ", written.decode("utf-8", "replace")).strip()
    if "=?" not in text:
        return text
    try:
        return str(email.header.make_header(email.header.decode_header(text)))
    except Exception:
        return text


def _is_page(body: Body) -> bool:
    return body.kind == "html"
