"""Clients that can be told in a table: what they write around a mail, and what they do to its HTML and text."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from functools import cache, partial
from html import escape
from importlib import resources
from typing import NamedTuple

from lxml.html import HtmlElement

from ion.demo.forwarding import page
from ion.demo.forwarding.message import (
    FORWARDER,
    FORWARDER_ADDRESS,
    INBOX,
    Assembly,
    Original,
    Part,
    assembled,
    later,
    opened,
    subject_line,
    token,
    typed,
    uuid,
)
from ion.demo.forwarding.options import STANDARD, Hop, Options, Parts
from ion.demo.forwarding.text import TextStyle, text_of
from ion.demo.forwarding.words import Words, words_of

Rewrite = Callable[[HtmlElement, Original], None]
DateForm = Callable[[Original, Words], str]


class Row(NamedTuple):
    """A row of the block of headers: in text, and in HTML; both of `label` and `value`."""

    text: str = "{label} {value}"
    html: str = "<b>{label}</b> {value}<br>"


_BOLD = Row()
_PLAIN = TextStyle()
_ASSEMBLY = Assembly(("_mixed_{mark}", "_alternative_{mark}"))


def _as_it_is(_body: HtmlElement, _original: Original) -> None:
    """The HTML stays."""


def _unquoted(lines: list[str]) -> list[str]:
    return lines


@dataclass(frozen=True)
class Template:
    """A client.

    `rows`: the headers it repeats, in order; `row`: how; `date`: how it prints the date; `above`, `below`: lines around
    the mail in text (`{block}` for the headers); `page`: its HTML, a file in `pages/` with `{note}`, `{block}`,
    `{body}`, `{below}`, `{footer}`, `{dir}`, `{mark}` and the words; `rewrite`: what it does to the HTML; `style`,
    `quote`: to the text; `headers`: of the message besides the usual ones; `glued`: its text has no line breaks around
    the headers; `sends`: what it can send where that is not both.
    """

    rows: tuple[str, ...]
    date: DateForm
    above: tuple[str, ...]
    page: str
    headers: tuple[str, ...]
    row: Row = _BOLD
    below: tuple[str, ...] = ()
    family: str = "common"
    rewrite: Rewrite = _as_it_is
    style: TextStyle = _PLAIN
    quote: Callable[[list[str]], list[str]] = _unquoted
    prefix: str = "Fwd: "
    device: str = ""
    glued: bool = False
    sends: Parts = "both"
    assembly: Assembly = _ASSEMBLY


def template_client(template: Template) -> Hop:
    return partial(_forward, template)


def _forward(template: Template, raw: bytes, options: Options = STANDARD) -> bytes:
    original, words = opened(raw), words_of(options.language)
    if template.sends != "both" and options.parts == "both":
        options = replace(options, parts=template.sends)
    body = page.body_of(original.page())
    template.rewrite(body, original)
    fields = _fields(template, original, words)
    rows = _rows(template, original, words)
    lines = _lines(template, words, options, fields, rows, template.quote(text_of(body, template.style)))
    html = None if options.parts == "text" else _html(template, words, options, fields, rows, page.inner(body))
    first, second = template.assembly.boundaries
    mark = fields["mark"]
    manner = replace(template.assembly, boundaries=(first.format(mark=mark), second.format(mark=mark)))
    content = assembled(original, options, manner, lines, html)
    headers = (
        f"Date: {format_datetime(later(original))}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"To: {INBOX}",
        subject_line(original, options, template.prefix),
        f"Message-ID: <{uuid(original, template.page)}@riverside.example>",
        f"In-Reply-To: {original.message_id}",
        f"References: {original.message_id}",
        "MIME-Version: 1.0",
        *(line.format(mark=mark) for line in template.headers),
    )
    return Part(headers + content.headers, content.body).octets()


def _fields(template: Template, original: Original, words: Words) -> dict[str, str]:
    keys = ("forwarded", "original", "end")
    date = template.date(original, words)
    return {
        **{key: words("common", key) for key in keys},
        "mark": token(original, template.page, 16),
        "dir": words.direction,
        "sender": original.from_line,
        "name": original.sender_name,
        "address": original.sender,
        "when": date,
        "forwarded_by": words("common", "forwarded_by").format(name=FORWARDER, date=date),
        "device": words("common", "device").format(device=template.device) if template.device else "",
    }


def _rows(template: Template, original: Original, words: Words) -> list[tuple[str, str]]:
    date = template.date(original, words)
    values = {"from": original.from_line, "to": original.to, "subject": original.subject, "date": date, "sent": date}
    return [(words.label(template.family, key), values[key]) for key in template.rows]


def _lines(
    template: Template,
    words: Words,
    options: Options,
    fields: dict[str, str],
    rows: list[tuple[str, str]],
    body: list[str],
) -> list[str]:
    block = [template.row.text.format(label=label, value=value) for label, value in rows]
    intro: list[str] = []
    for line in template.above:
        intro += block if line == "{block}" else [line.format(**fields)]
    above = [*options.note.split("\n"), *([fields["device"]] if fields["device"] else []), "", *intro]
    if template.glued:
        above = ["".join(above)]
    below = options.note_below.split("\n") if options.note_below else []
    footer = ["", words("common", "footer")] if options.footer else []
    return [*above, *body, *(line.format(**fields) for line in template.below), *below, *footer]


def _html(
    template: Template, words: Words, options: Options, fields: dict[str, str], rows: list[tuple[str, str]], body: str
) -> str:
    block = "".join(template.row.html.format(label=label, value=escape(value, quote=False)) for label, value in rows)
    return _page(template.page).format(
        **{key: escape(value, quote=False) for key, value in fields.items()},
        note=typed(options.note),
        block=block,
        body=body,
        below=typed(options.note_below),
        footer=words("common", "footer") if options.footer else "",
    )


@cache
def _page(name: str) -> str:
    return (resources.files("ion.demo.forwarding") / "pages" / f"{name}.html").read_text("utf-8")


# What clients do to HTML.


def links(body: HtmlElement, _original: Original) -> None:
    """Addresses become links."""
    page.link_addresses(body, target="_blank", rel="noopener noreferrer")


def renamed(prefix: str = "", suffix: str = "", *, hosts: bool = False) -> Rewrite:
    """Classes and ids get a prefix or suffix; `{mark}` in it stands for digits drawn at random. With `hosts` also what
    only looks like a host name becomes a link."""

    def rewrite(body: HtmlElement, original: Original) -> None:
        links(body, original)
        if hosts:
            page.link_hosts(body, rel="nofollow")
        mark = token(original, prefix or suffix, 8)
        page.rename_classes(body, prefix.format(mark=mark), suffix.format(mark=mark))

    return rewrite


def without_classes(body: HtmlElement, original: Original) -> None:
    """Classes, ids and roles are gone, the inline style stays."""
    links(body, original)
    page.drop_attributes(body, ("class", "id", "role", "scope"))


def as_blocks(body: HtmlElement, original: Original) -> None:
    """Tables become blocks and every line a paragraph of its own, for a narrow screen."""
    without_classes(body, original)
    page.flatten_tables(body)
    page.restyle(body, lambda _: "")


def as_fonts(body: HtmlElement, _original: Original) -> None:
    """Styles become `font` elements in every cell, as in HTML of the last century."""
    page.drop_attributes(body, ("class", "id", "role", "scope", "style", "dir", "lang"))
    for tag in list(body.iter("td", "th", "p", "h1", "h2", "h3")):
        page.wrap_content(tag, page.element("font", size="2", face="sans-serif"))


# How clients print a date.


def rfc_date(original: Original, _words: Words) -> str:
    return format_datetime(original.date)


def pattern_date(pattern: str) -> DateForm:
    """By a pattern of CLDR's, or several parted by `|`: names of patterns are the language's own."""

    def form(original: Original, words: Words) -> str:
        pieces = [words.date(original.seen, piece) if piece != "at" else words("common", "at") for piece in parts]
        return "".join(pieces).replace("\u202f", " ")

    parts = pattern.split("|")
    return form
