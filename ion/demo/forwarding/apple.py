"""Apple Mail on macOS and on the iPhone."""

from email.utils import format_datetime
from functools import lru_cache
from html import escape

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
    multipart,
    opened,
    subject_line,
    typed,
    uuid,
)
from ion.demo.forwarding.options import STANDARD, Options
from ion.demo.forwarding.text import TextStyle, quoted, text_of
from ion.demo.forwarding.words import Words, words_of

_HEAD = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head>'
_BODY = "overflow-wrap: break-word; -webkit-nbsp-mode: space; line-break: after-white-space;"
_FONT = "font-family: -webkit-system-font, Helvetica Neue, Helvetica, sans-serif;"
_MARGIN = "margin-top: 0px; margin-right: 0px; margin-bottom: 0px; margin-left: 0px;"
_COMPUTED = (
    "caret-color: rgb(0, 0, 0); color: rgb(0, 0, 0); font-family: Helvetica; font-size: 15px; font-style: normal; "
    "font-variant-caps: normal; font-weight: 400; letter-spacing: normal; orphans: auto; text-align: start; "
    "text-indent: 0px; text-transform: none; white-space: normal; widows: auto; word-spacing: 0px; "
    "-webkit-text-size-adjust: auto; -webkit-text-stroke-width: 0px; text-decoration: none;"
)
_TEXT = TextStyle(cell=" \t")


def apple_mac(raw: bytes, options: Options = STANDARD) -> bytes:
    """Apple Mail on macOS: everything in `blockquote type=cite`, the text quoted with `> `, the attachment inside the
    alternative between two HTML parts."""
    return _apple_mac(raw, options, computed=False)


def apple_selection(raw: bytes, options: Options = STANDARD) -> bytes:
    """Apple Mail with the mail's content selected: the same, with the computed style on every element."""
    return _apple_mac(raw, options, computed=True)


def _apple_mac(raw: bytes, options: Options, *, computed: bool) -> bytes:
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body)
    page.restyle(body, _respaced)
    for tag in page.tags_of(body):
        if not tag.get("class"):
            tag.set("class", "")
        if computed:
            tag.set("style", f"{tag.get('style', '')} {_COMPUTED}".strip())
    rows = _rows(original, words, ("from", "subject", "date", "to"))
    footer = words("common", "footer") if options.footer else ""
    below = options.note_below.split("\n") if options.note_below else []
    intro = [f"{label} {value}" for label, value in rows]
    quotation = quoted([words("apple", "separator"), "", *intro, "", *text_of(body, _TEXT)])
    lines = [*options.note.split("\n"), "", *quotation, "", *below, *([footer] if footer else [])]
    content = _around_attachments(original, options, lines, _html(words, options, rows, page.inner(body)), footer)
    headers = (
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        *content.headers,
        "Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3826.200.121\\))",
        subject_line(original, options, "Fwd: "),
        f"Message-Id: <{uuid(original, 'id').upper()}@riverside.example>",
        f"References: {original.message_id}",
        f"To: {INBOX}",
        f"Date: {format_datetime(later(original))}",
        "X-Mailer: Apple Mail (2.3826.200.121)",
    )
    return Part(headers, content.body).octets()


@lru_cache(maxsize=1024)
def _respaced(style: str) -> str:
    return page.rgb(style.replace("; ", ";").replace(";", "; ").strip())


def _rows(original: Original, words: Words, keys: tuple[str, ...]) -> list[tuple[str, str]]:
    values = {
        "from": original.from_line,
        "subject": original.subject,
        "date": _date(original, words),
        "to": original.to,
    }
    return [(words.label("apple", key), values[key]) for key in keys]


def _date(original: Original, words: Words) -> str:
    moment = original.seen
    time = words.date(moment, "seconds").replace("\u202f", " ")
    return f"{words.date(moment, 'long')}{words('apple', 'at')}{time} {words('apple', 'zone')}"


def _html(words: Words, options: Options, rows: list[tuple[str, str]], inner: str) -> str:
    block = "".join(
        f'<div style="{_MARGIN}" class=""><span style="{_FONT} color:rgba(0, 0, 0, 1.0);" class="">'
        f'<b class="">{label} </b></span><span style="{_FONT}" class="">{escape(value, quote=False)}<br class="">'
        "</span></div>"
        for label, value in rows
    )
    below = f'<div class="">{typed(options.note_below)}</div>' if options.note_below else ""
    return (
        f'{_HEAD}<body style="{_BODY}" class=""{words.dir}>{typed(options.note)}<br class=""><div><br class="">'
        f'<blockquote type="cite" class=""><div class="">{words("apple", "separator")}</div>'
        f'<br class="Apple-interchange-newline">{block}<br class=""><div class=""><meta charset="utf-8" class="">'
        '<div style="caret-color: rgb(0, 0, 0); font-family: Helvetica; font-size: 15px; font-style: normal; '
        'font-variant-caps: normal; letter-spacing: normal; white-space: normal;" class="">'
        f'{inner}</div></div></blockquote></div><br class="">{below}</body></html>'
    )


_LEAF = ("Content-Transfer-Encoding: {encoding}", "Content-Type: text/%s;", "\tcharset={charset}")
_MAC = Assembly(
    boundaries=("", ""),
    text=tuple(line.replace("%s", "plain") for line in _LEAF),
    html=tuple(line.replace("%s", "html") for line in _LEAF),
    mixed=("Content-Type: multipart/mixed;", '\tboundary="{boundary}"'),
    attachment=(
        "Content-Disposition: attachment;",
        '\tfilename="{name}"',
        "Content-Type: {type};",
        "\tx-unix-mode=0644;",
        '\tname="{name}"',
        "Content-Transfer-Encoding: base64",
    ),
)


def _around_attachments(original: Original, options: Options, lines: list[str], html: str, footer: str) -> Part:
    """The parts as Apple Mail nests them: the attachments belong to the HTML alternative, in the order written."""
    text, shown = _MAC.text_part("\n".join(lines)), _MAC.html_part(html)
    attached = _MAC.attached(original, options)
    tail = f'{_HEAD}<body style="{_BODY}" class=""><div class="">{footer}</div><br class=""></body></html>'
    outer, inside = (f"Apple-Mail=_{uuid(original, salt).upper()}" for salt in ("outer", "inner"))
    mixed = tuple(line.format(boundary=inside) for line in _MAC.mixed)
    if options.parts == "text":
        return multipart(mixed, inside, [text, *attached]) if attached else text
    if attached:
        shown = multipart(mixed, inside, [shown, *attached, _MAC.html_part(tail)])
    elif footer:
        shown = _MAC.html_part(html.replace("</body>", f"<div>{footer}</div></body>"))
    if options.parts == "html":
        return shown
    return multipart(("Content-Type: multipart/alternative;", f'\tboundary="{outer}"'), outer, [text, shown])


def apple_ios(raw: bytes, options: Options = STANDARD) -> bytes:
    """Apple Mail on an iPhone: the separator outside, headers and body in two quotations, a byte order mark between
    them, telephone numbers and dates linked by data detectors."""
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body)
    page.detect_data(body)
    rows = _rows(original, words, ("from", "date", "to", "subject"))
    labels = "<br>".join(f"<b>{label}</b> {escape(value, quote=False)}" for label, value in rows)
    separator, signature = words("apple", "separator"), words("common", "device").format(device="iPhone")
    below = [line for line in (options.note_below, words("common", "footer") if options.footer else "") if line]
    html = (
        '<html><head><meta http-equiv="content-type" content="text/html; charset=utf-8"></head><body dir="auto">'
        f'<div dir="{words.direction}">{typed(options.note)}</div><div dir="{words.direction}"><br>{signature}</div>'
        f'<div dir="{words.direction}"><br>{separator}<br><br></div>'
        f'<blockquote type="cite"><div dir="{words.direction}">{labels}<br><br></div></blockquote>'
        f'<blockquote type="cite"><div dir="ltr">\ufeff{page.inner(body)}</div></blockquote>'
        + "".join(f'<div dir="{words.direction}">{typed(line)}</div>' for line in below)
        + "</body></html>"
    )
    lines = [
        *options.note.split("\n"),
        "",
        signature,
        "",
        separator,
        "",
        *quoted([*(f"{label} {value}" for label, value in rows), ""]),
        *quoted(["\ufeff", *text_of(body, TextStyle())]),
        *below,
    ]
    content = assembled(original, options, _ios(original), lines, html)
    headers = (
        *content.headers,
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        "Mime-Version: 1.0 (1.0)",
        f"Date: {format_datetime(later(original))}",
        subject_line(original, options, "Fwd: "),
        f"Message-Id: <{uuid(original, 'id').upper()}@riverside.example>",
        f"References: {original.message_id}",
        f"To: {INBOX}",
        "X-Mailer: iPhone Mail (22B91)",
    )
    return Part(headers, content.body).octets()


def _ios(original: Original) -> Assembly:
    boundary = f"Apple-Mail-{uuid(original, 'ios').upper()}"
    return Assembly(
        boundaries=(boundary, f"{boundary}-alternative"),
        text=("Content-Type: text/plain;", "\tcharset={charset}", "Content-Transfer-Encoding: {encoding}"),
        html=("Content-Type: text/html;", "\tcharset={charset}", "Content-Transfer-Encoding: {encoding}"),
        alternative=("Content-Type: multipart/alternative;", "\tboundary={boundary}"),
        mixed=("Content-Type: multipart/mixed;", "\tboundary={boundary}"),
        attachment=(
            "Content-Type: {type};",
            '\tname="{name}";',
            "\tx-apple-part-url={id}",
            "Content-Disposition: inline;",
            '\tfilename="{name}"',
            "Content-Transfer-Encoding: base64",
        ),
        html_encoding="base64",
    )
