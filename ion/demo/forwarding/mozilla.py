"""Thunderbird on the desktop, and K-9 Mail, which is Thunderbird on Android."""

from email.utils import format_datetime
from html import escape

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
from ion.demo.forwarding.mime import CRLF
from ion.demo.forwarding.options import STANDARD, Options
from ion.demo.forwarding.text import TextStyle, flowed, text_of
from ion.demo.forwarding.words import Words, words_of

_STYLE = TextStyle(cell=" \t", bold="*")


def thunderbird(raw: bytes, options: Options = STANDARD) -> bytes:
    """Thunderbird, inline: headers in a table, the original's own meta and style kept, source broken at 72 columns;
    text `format=flowed`, space-stuffed, 8bit, cells parted by tabs."""
    original, words = opened(raw), words_of(options.language)
    root = original.page()
    body = page.body_of(root)
    page.link_addresses(body, class_="moz-txt-link-abbreviated")
    rows = header_rows(original, words)
    lines = [
        *options.note.split("\n"),
        "",
        "",
        words("thunderbird", "separator"),
        *(f"{label} \t{value}" for label, value in rows),
        "",
        "",
        *text_of(body, _STYLE),
        *(["", *options.note_below.split("\n")] if options.note_below else []),
        *(["", "-- ", words("common", "footer")] if options.footer else []),
    ]
    html = None if options.parts == "text" else _html(root, body, words, options, rows)
    content = assembled(original, options, _assembly(original), flowed(lines), html)
    return Part((*content.headers, *_headers(original, words, options)), content.body).octets()


def header_rows(original: Original, words: Words) -> list[tuple[str, str]]:
    """The block of headers that Thunderbird writes above a forwarded mail: label and value."""
    values = {
        "subject": original.subject,
        "date": format_datetime(original.date),
        "from": original.from_line,
        "to": original.to,
    }
    return [(words.label("thunderbird", key), value) for key, value in values.items()]


def _html(root: HtmlElement, body: HtmlElement, words: Words, options: Options, rows: list[tuple[str, str]]) -> str:
    head = root.find("head")
    kept = "" if head is None else "".join(_kept(tag) for tag in head if tag.tag in {"meta", "style"})
    table = "".join(
        f'<tr><th valign="BASELINE" align="RIGHT" nowrap="nowrap">{label} </th>'
        f"<td>{escape(value, quote=False)}</td></tr>"
        for label, value in rows
    )
    below = f"<p>{typed(options.note_below)}</p>" if options.note_below else ""
    footer = f'<div class="moz-signature">-- <br>{words("common", "footer")}</div>' if options.footer else ""
    source = f'<div style="{escape(body.get("style", ""))}">{page.inner(body)}</div>'
    return (
        '<!DOCTYPE html>\n<html>\n  <head>\n\n    <meta http-equiv="content-type" content="text/html; charset=UTF-8">\n'
        f"  </head>\n  <body{words.dir}>\n    <p>{typed(options.note)}</p>\n    "
        f'<div class="moz-forward-container"><br>\n      <br>\n      {words("thunderbird", "separator")}\n      '
        f'<table class="moz-email-headers-table" cellspacing="0" cellpadding="0" border="0"><tbody>{table}</tbody>'
        f"</table>\n      <br>\n      <br>\n      {kept}\n      "
        + page.source_wrapped(source, 72, "      ")
        + f"\n    </div>{below}{footer}\n  </body>\n</html>"
    )


def _kept(tag: HtmlElement) -> str:
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in tag.items())
    return f"<{tag.tag}{attributes}>" + (f"{tag.text or ''}</style>" if tag.tag == "style" else "")


def _assembly(original: Original) -> Assembly:
    mixed, inside = (f"------------{token(original, f'thunderbird {salt}', 24)}" for salt in ("mixed", "alternative"))
    return Assembly(
        boundaries=(mixed, inside),
        text=("Content-Type: text/plain; charset=UTF-8; format=flowed", "Content-Transfer-Encoding: {encoding}"),
        html=("Content-Type: text/html; charset=UTF-8", "Content-Transfer-Encoding: {encoding}"),
        alternative=(f'Content-Type: multipart/alternative;{CRLF} boundary="{{boundary}}"',),
        encoding="8bit",
        preamble="This is a multi-part message in MIME format.",
        width=72,
    )


def _headers(original: Original, words: Words, options: Options) -> tuple[str, ...]:
    return (
        f"Message-ID: <{uuid(original, 'id')}@riverside.example>",
        f"Date: {format_datetime(later(original))}",
        "MIME-Version: 1.0",
        "User-Agent: Mozilla Thunderbird",
        f"Content-Language: {'en-US' if words.tag == 'en' else words.tag}",
        subject_line(original, options, "Fwd: "),
        f"References: {original.message_id}",
        f"To: {INBOX}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        "Organization: Riverside",
        f"X-Forwarded-Message-Id: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
    )


def k9(raw: bytes, options: Options = STANDARD) -> bytes:
    """K-9 Mail, since 2024 Thunderbird for Android: a separator and bold labels above the untouched HTML; quoted
    nothing, text 8bit and not wrapped."""
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    separator = f"-------- {words('common', 'original')} --------"
    values = (
        ("from", original.from_line),
        ("sent", f"{words.date(original.seen, 'full')} {words.date(original.seen, 'seconds')} GMT+01:00"),
        ("to", original.to),
        ("subject", original.subject),
    )
    rows = [(words.label("common", key), value) for key, value in values]
    signature = words("common", "footer") if options.footer else words("common", "device").format(device="Android")
    html = (
        f'<!DOCTYPE html><html><head></head><body><div dir="auto">{typed(options.note)}<br><br>{signature}</div>'
        f'<br><br><div class="gmail_quote"{words.dir}>{separator}<br>'
        + "".join(f"<b>{label}</b> {escape(value, quote=False)}<br>" for label, value in rows)
        + f"<br>{page.inner(body)}</div>"
        + (f'<div dir="auto">{typed(options.note_below)}</div>' if options.note_below else "")
        + "</body></html>"
    )
    lines = [
        *options.note.split("\n"),
        "",
        signature,
        "",
        separator,
        *(f"{label} {value}" for label, value in rows),
        "",
        *text_of(body, TextStyle(cell=" ")),
        *(["", *options.note_below.split("\n")] if options.note_below else []),
    ]
    mark = f"----{token(original, 'k9', 30).upper()}"
    manner = Assembly(
        boundaries=(mark, f"{mark}1"),
        text=("Content-Type: text/plain;", " charset=utf-8", "Content-Transfer-Encoding: {encoding}"),
        html=("Content-Type: text/html;", " charset=utf-8", "Content-Transfer-Encoding: {encoding}"),
        alternative=("Content-Type: multipart/alternative;", ' boundary="{boundary}"'),
        mixed=("Content-Type: multipart/mixed;", ' boundary="{boundary}"'),
    )
    content = assembled(original, options, manner, lines, html)
    headers = (
        f"Date: {format_datetime(later(original))}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"To: {INBOX}",
        subject_line(original, options, "Fwd: "),
        "User-Agent: Thunderbird for Android",
        f"In-Reply-To: {original.message_id}",
        f"References: {original.message_id}",
        f"Message-ID: <{uuid(original, 'k9').upper()}@riverside.example>",
        "MIME-Version: 1.0",
    )
    return Part(headers + content.headers, content.body).octets()
