"""Servers between the client and the inbox that change mails: banners, links rewritten, parts re-encoded or dropped."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from html import unescape
from itertools import count
from urllib.parse import quote

from ion.demo.forwarding import page
from ion.demo.forwarding.exchange import safe_link
from ion.demo.forwarding.mime import Entity
from ion.demo.forwarding.options import STANDARD, Hop, Options
from ion.demo.forwarding.text import TextStyle, text_of, wrapped
from ion.demo.forwarding.words import Words, words_of

_URL = re.compile(r"https?://[^\s<>\"'\]]+")
_HREF = re.compile(r'(\shref=["\'])(https?://[^"\']+)(["\'])')
# A tag, or what browsers do not show: never changed by what works on the text of HTML.
_MARKUP = re.compile(r"(?is)<(style|script|title)\b.*?</\1\s*>|<[^>]*>|&#?\w+;")


def _is_body(part: Entity) -> bool:
    return part.content_type in {"text/plain", "text/html"} and not part.is_attachment


def _is_html(part: Entity) -> bool:
    return part.content_type == "text/html"


def _leaves(entity: Entity) -> Iterator[Entity]:
    if entity.is_multipart:
        for child in entity.children:
            yield from _leaves(child)
    else:
        yield entity


def _changed(raw: bytes, html: Callable[[str], str], text: Callable[[str], str]) -> bytes:
    """The mail with every body changed, as HTML or as text."""

    def change(part: Entity) -> Entity:
        return part.with_text((html if _is_html(part) else text)(part.text)) if _is_body(part) else part

    return Entity.parsed(raw).mapped(change).raw()


def _in_html(html: str, change: Callable[[str], str]) -> str:
    """`change` made to the text between the tags."""
    pieces, end = [], 0
    for found in _MARKUP.finditer(html):
        pieces += [change(html[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*pieces, change(html[end:])])


# What is added.


def banner(raw: bytes, options: Options = STANDARD) -> bytes:
    """A warning about an external sender, on top of the HTML and of the text."""
    words = words_of(options.language)
    table = (
        '<table border="0" cellspacing="0" cellpadding="0" width="100%"><tbody><tr><td style="background:#ffeb9c;'
        f'padding:5px"><p style="margin:0"{words.dir}>{words("common", "banner")}</p></td></tr></tbody></table><br>'
    )
    return _changed(raw, lambda html: _at_top(html, table), lambda text: f"{words('common', 'banner')}\n\n{text}")


def footer(raw: bytes, options: Options = STANDARD) -> bytes:
    """A confidentiality notice below everything."""
    notice = words_of(options.language)("common", "footer")
    block = f'<br><hr><div style="font-size:7pt;color:gray">{notice}</div>'
    return _changed(
        raw, lambda html: _at_bottom(html, block), lambda text: f"{text.rstrip()}\n\n{'-' * 40}\n{notice}\n"
    )


def _at_top(html: str, block: str) -> str:
    found = re.search(r"(?i)<body\b[^>]*>", html)
    place = found.end() if found else 0
    return html[:place] + block + html[place:]


def _at_bottom(html: str, block: str) -> str:
    place = html.lower().rfind("</body>")
    return html + block if place < 0 else html[:place] + block + html[place:]


# Links.


def urldefense_v2(url: str) -> str:
    """Proofpoint's second form: `%` as `-`, `/` as `_`."""
    coded = quote(url, safe=":/?&=#").replace("-", "-2D").replace("_", "-5F")
    coded = "".join(f"-{ord(char):02X}" if char in ":?&=#" else char for char in coded)
    coded = coded.replace("%", "-").replace("/", "_")
    return f"https://urldefense.proofpoint.com/v2/url?u={coded}&d=DwMFaQ&c={_mark(url, 24)}&s={_mark(url, 43)}&e="


def urldefense_v3(url: str) -> str:
    """Proofpoint's third form: the address as it is, characters it escapes as `*` and behind it in Base64."""
    escaped = re.findall(r"[^A-Za-z0-9:/?.=&_~-]", url)
    shown = re.sub(r"[^A-Za-z0-9:/?.=&_~-]", "*", url)
    tail = b64encode("".join(escaped).encode()).decode().rstrip("=") if escaped else ""
    return f"https://urldefense.com/v3/__{shown}__;{tail}!!{_mark(url, 12)}!{_mark(url, 40)}$"


def link_protect(url: str) -> str:
    """Barracuda's form."""
    return f"https://linkprotect.cudasvc.com/url?a={quote(url, safe='')}&c=E,1,{_mark(url, 60)},,&typo=1"


def _mark(url: str, length: int) -> str:
    return sha256(url.encode()).hexdigest()[:length]


def _rewriting(form: Callable[[str], str]) -> Hop:
    """A gateway that leads the links of HTML and the addresses in text through its own server."""

    def gateway(raw: bytes, _options: Options = STANDARD) -> bytes:
        def html(source: str) -> str:
            return _HREF.sub(lambda found: found[1] + form(found[2]).replace("&", "&amp;") + found[3], source)

        return _changed(raw, html, lambda text: _URL.sub(lambda found: form(found[0]), text))

    return gateway


safe_links = _rewriting(safe_link)
urldefense2 = _rewriting(urldefense_v2)
urldefense3 = _rewriting(urldefense_v3)
linkprotect = _rewriting(link_protect)


# Characters.

_UNSEEN = "\u200b\u00ad\u2060\ufeff"
_WORD = re.compile(r"[^\W\d_]{5,}")
_BLANK = re.compile(r"(?<=\S) (?=\S)")


def zero_width(raw: bytes, _options: Options = STANDARD) -> bytes:
    """Characters that nobody sees, in the middle of every second word."""
    counter = count()

    def injected(found: re.Match[str]) -> str:
        number, word = next(counter), found[0]
        half = len(word) // 2
        return word if number % 2 else word[:half] + _UNSEEN[number // 2 % len(_UNSEEN)] + word[half:]

    return _in_texts(raw, lambda text: _WORD.sub(injected, text))


def no_break_blanks(raw: bytes, _options: Options = STANDARD) -> bytes:
    """Blanks that do not break: every third one U+00A0, every seventh U+202F."""
    counter = count(1)

    def replaced(_: re.Match[str]) -> str:
        number = next(counter)
        return "\u202f" if number % 7 == 0 else "\u00a0" if number % 3 == 0 else " "

    return _in_texts(raw, lambda text: _BLANK.sub(replaced, text))


def bidi_marks(raw: bytes, _options: Options = STANDARD) -> bytes:
    """Telephone numbers embedded from left to right, marks behind colons: as editors for Hebrew and Arabic do it."""

    def marked(text: str) -> str:
        return re.sub(r":(?= )", ":\u200e", page.TELEPHONES.sub(lambda found: f"\u202a{found[0]}\u202c", text))

    return _in_texts(raw, marked)


def _in_texts(raw: bytes, change: Callable[[str], str]) -> bytes:
    return _changed(raw, lambda html: _in_html(html, change), change)


# Parts.


def _reencoded(encoding: str) -> Hop:
    def gateway(raw: bytes, _options: Options = STANDARD) -> bytes:
        def change(part: Entity) -> Entity:
            return part.with_text(part.text, encoding=encoding) if _is_body(part) else part

        return Entity.parsed(raw).mapped(change).raw()

    return gateway


as_base64 = _reencoded("base64")
as_quoted_printable = _reencoded("quoted-printable")


def other_charset(raw: bytes, options: Options = STANDARD) -> bytes:
    """A scanner that writes bodies in the language's legacy charset where that has all their characters (HTML: with
    character references), and in UTF-16 otherwise."""
    words = words_of(options.language)

    def change(part: Entity) -> Entity:
        return _in_charset(part, words) if _is_body(part) else part

    return Entity.parsed(raw).mapped(change).raw()


def _in_charset(part: Entity, words: Words) -> Entity:
    text = part.text
    try:
        text.encode(words.charset)
    except UnicodeEncodeError:
        return part.with_text(text, charset=words.charset if _is_html(part) else "utf-16", encoding="base64")
    return part.with_text(text, charset=words.charset, encoding="quoted-printable")


def rewrap(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A server that breaks lines of text longer than 66 columns."""

    def broken(text: str) -> str:
        return "\n".join(piece for line in text.split("\n") for piece in wrapped(line, 66))

    return _changed(raw, lambda html: html, broken)


def flatten(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A sanitiser that turns tables into blocks and drops all style."""

    def flat(html: str) -> str:
        body = page.body_of(page.parsed(html))
        page.flatten_tables(body)
        page.drop_attributes(body, ("style", "class", "id", "bgcolor", "align"))
        return f"<html><body>{page.inner(body)}</body></html>"

    return _changed(raw, flat, lambda text: text)


def drop_attachments(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A server that lets no attachment through, attached mails included."""
    return Entity.parsed(raw).mapped(lambda part: None if part.is_attachment else part).raw()


def drop_html(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A server that lets no HTML through; where there is no text beside it, it is made into text."""
    entity = Entity.parsed(raw)
    has_text = any(_is_body(part) and not _is_html(part) for part in _leaves(entity))

    def change(part: Entity) -> Entity | None:
        if not _is_html(part) or not _is_body(part):
            return part
        return None if has_text else _as_text(part)

    return entity.mapped(change).raw()


def _as_text(part: Entity) -> Entity:
    return _as_plain(part, "\n".join(text_of(page.body_of(page.parsed(part.text)), TextStyle(cell="\t"))))


def _as_plain(part: Entity, text: str) -> Entity:
    head = re.sub(rb"(?im)^(content-type:\s*)text/html", rb"\1text/plain", part.head)
    return Entity(head, part.body, part.implied).with_text(f"{text}\n", encoding="quoted-printable")


def strip_tags(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A server that makes text of HTML by leaving out the tags, so that cells and lines run together."""

    def stripped(part: Entity) -> Entity:
        text = re.sub(r"<[^>]*>", "", re.sub(r"(?is)<(style|script|title)\b.*?</\1\s*>", "", part.text))
        return _as_plain(part, re.sub(r"\n\s*\n+", "\n\n", unescape(text)).strip())

    entity = Entity.parsed(raw)
    if not any(_is_body(part) and _is_html(part) for part in _leaves(entity)):
        return raw
    kept = Entity.parsed(drop_text(raw))
    return kept.mapped(lambda part: stripped(part) if _is_body(part) and _is_html(part) else part).raw()


def drop_text(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A server that drops the plain text beside HTML."""
    entity = Entity.parsed(raw)
    if not any(_is_body(part) and _is_html(part) for part in _leaves(entity)):
        return raw
    return entity.mapped(lambda part: None if _is_body(part) and not _is_html(part) else part).raw()
