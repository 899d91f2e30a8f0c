"""Outlook for Windows and for the Mac, which write their mails themselves."""

import base64
from dataclasses import replace
from datetime import datetime
from email.utils import format_datetime
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
    header,
    later,
    opened,
    subject_line,
    token,
    typed,
    uuid,
)
from ion.demo.forwarding.options import STANDARD, Options
from ion.demo.forwarding.text import TextStyle, text_of
from ion.demo.forwarding.word_html import HEAD, quoted_as_word_does, rewritten
from ion.demo.forwarding.words import Words, words_of

_STYLE = TextStyle(cell="\n\n", address="{text}<{href}>", page="{text}<{href}>", telephone="{text}<{href}>")
# Blanks of other widths, which Windows maps to the ordinary one where a charset lacks them ("best fit").
_BEST_FIT = str.maketrans(dict.fromkeys("\u2002\u2003\u2009\u202f", " "))
# The names that Windows gives the charsets in mails.
_CHARSET_NAMES = {"windows-1252": "Windows-1252", "euc-kr": "ks_c_5601-1987", "gb18030": "gb2312"}


def outlook_desktop(raw: bytes, options: Options = STANDARD, *, charset: str = "utf-8", lost: str = "strict") -> bytes:
    """Outlook for Windows over SMTP: Word rewrites the HTML (MsoNormal paragraphs in every cell, `o:p`, a style sheet
    of its own, unquoted attributes, source broken anywhere), the text has a paragraph per cell, `a@b<mailto:a@b>`.

    `charset`: what both parts are written in; the HTML falls back on character references, the text on `lost`.
    """
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body)
    text_body = text_of(body, _STYLE)
    if charset != "utf-8":
        text_body = [line.translate(_BEST_FIT) for line in text_body]
    rows = outlook_rows(original, words)
    separator = f"-----{words('common', 'original')}-----" if options.parts == "text" else ""
    lines = [
        *options.note.split("\n"),
        "",
        *([separator] if separator else []),
        *(f"{label} {value}" for label, value in rows),
        "",
        *(() if separator else (" ", "")),
        *text_body,
        "",
        *_below(words, options),
    ]
    name = _CHARSET_NAMES.get(charset, charset)
    html = HEAD.format(charset=name) + page.source_wrapped(
        quoted_as_word_does(_content(words, options, rows, rewritten(body))), 76
    )
    manner = replace(_assembly(original, name), charset=charset, lost=lost)
    content = assembled(original, options, manner, lines, html)
    headers = (
        f'From: "{FORWARDER}" <{FORWARDER_ADDRESS}>',
        f"To: <{INBOX}>",
        f"References: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
        subject_line(original, options, words("outlook", "prefix"), "iso-8859-1" if charset == "utf-8" else charset),
        f"Date: {format_datetime(later(original))}",
        f"Message-ID: <{token(original, 'id', 8)}$0${token(original, 'id2', 8)}$@riverside.example>",
        "MIME-Version: 1.0",
    )
    tail = (
        "X-Mailer: Microsoft Outlook 16.0",
        f"Thread-Index: AQ{base64.b64encode(bytes.fromhex(token(original, 'thread', 40))).decode()}",
        f"Content-Language: {words.tag.lower()}",
    )
    return Part(headers + content.headers + tail, content.body).octets()


def outlook_rows(original: Original, words: Words) -> list[tuple[str, str]]:
    """The block of headers above a mail that Outlook forwards."""
    values = {
        "from": original.from_line,
        "sent": outlook_date(original.seen, words),
        "to": original.to,
        "subject": original.subject,
    }
    return [(words.label("outlook", key), value) for key, value in values.items()]


def outlook_date(moment: datetime, words: Words) -> str:
    return f"{words.date(moment, 'full')} {words.date(moment, 'time')}".replace("\u202f", " ")


def _below(words: Words, options: Options) -> list[str]:
    below = options.note_below.split("\n") if options.note_below else []
    return [*below, *([words("common", "footer")] if options.footer else [])]


def _content(words: Words, options: Options, rows: list[tuple[str, str]], body: str) -> str:
    margin = "0in" if words.tag == "en" else "0cm"
    note = "".join(
        '<p class="MsoNormal"><span style="mso-fareast-language:EN-US">'
        f"{escape(line) or '&nbsp;'}<o:p></o:p></span></p>\n"
        for line in [*options.note.split("\n"), ""]
    )
    below = "".join(
        f'<p class="MsoNormal"><span style="font-size:8.0pt;color:gray">{escape(line)}<o:p></o:p></span></p>'
        for line in _below(words, options)
    )
    return (
        f'<body lang="{words.tag.upper()}" link="#0563C1" vlink="#954F72" style="word-wrap:break-word"{words.dir}>'
        f'<div class="WordSection1">\n{note}'
        f'<div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt {margin} {margin} {margin}">\n'
        f'<p class="MsoNormal">{_bold_rows(rows)}<o:p></o:p></p></div></div>\n'
        f'<p class="MsoNormal"><o:p>&nbsp;</o:p></p>\n{body}{below}</div></body></html>'
    )


def _bold_rows(rows: list[tuple[str, str]]) -> str:
    return "<br>".join(f"<b>{label}</b> {escape(value, quote=False)}" for label, value in rows)


def _assembly(original: Original, charset: str) -> Assembly:
    mark = f"{token(original, 'part', 4).upper()}_01DC5CB0.{token(original, 'time', 8).upper()}"
    return Assembly(
        boundaries=(f"----=_NextPart_000_{mark}", f"----=_NextPart_001_{mark}"),
        text=("Content-Type: text/plain;", f'\tcharset="{charset}"', "Content-Transfer-Encoding: {encoding}"),
        html=("Content-Type: text/html;", f'\tcharset="{charset}"', "Content-Transfer-Encoding: {encoding}"),
        alternative=("Content-Type: multipart/alternative;", '\tboundary="{boundary}"'),
        mixed=("Content-Type: multipart/mixed;", '\tboundary="{boundary}"'),
        attachment=(
            "Content-Type: {type};",
            '\tname="{name}"',
            "Content-Transfer-Encoding: base64",
            "Content-Disposition: attachment;",
            '\tfilename="{name}"',
        ),
        preamble="This is a multipart message in MIME format.",
    )


def outlook_legacy(raw: bytes, options: Options = STANDARD) -> bytes:
    """An old Outlook in the language's legacy charset: what that lacks is `?` in the text, a reference in the HTML."""
    charset = words_of(options.language).charset
    return outlook_desktop(raw, options, charset=charset, lost="replace")


def outlook_2019(raw: bytes, options: Options = STANDARD) -> bytes:
    """Outlook 2019 for the Mac: one line of introduction instead of a block of headers; a bar at the side of the mail,
    every line of a cell a paragraph of its own; text indented by four blanks."""
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body)
    style = replace(_STYLE, cell="\n", address="{text} <{href}> ", page="{text} <{href}> ")
    moment = original.seen
    intro = words("outlook", "intro").format(
        date=f"{words.date(moment, 'dd/MM/yyyy')} {words.date(moment, 'HH:mm')}",
        name=original.sender_name,
        address=original.sender,
    )
    indented = [f"    {line}" if line else "" for line in text_of(body, style)]
    lines = [*options.note.split("\n"), "", intro, "", *indented, "", *_below(words, options)]
    html = (
        HEAD.format(charset="utf-8")
        + f'<body lang="{words.tag.upper()}" link="#0563C1" vlink="#954F72"{words.dir}><div class=WordSection1>'
        f"<p class=MsoNormal>{typed(options.note)}<o:p></o:p></p><p class=MsoNormal>{escape(intro)}<o:p></o:p></p>"
        "<blockquote style='border:none;border-left:solid #B5C4DF 4.5pt;padding:0cm 0cm 0cm 4.0pt;margin-left:3.75pt;"
        f"margin-right:0cm'>{quoted_as_word_does(rewritten(body, at_breaks=True))}</blockquote>"
        + "".join(f"<p class=MsoNormal>{escape(line)}<o:p></o:p></p>" for line in _below(words, options))
        + "</div></body></html>"
    )
    return _from_the_mac(original, words, options, lines, html)


def outlook_mac(raw: bytes, options: Options = STANDARD) -> bytes:
    """The new Outlook for the Mac: no separator, a long date without seconds, recipient and subject below."""
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body)
    page.rename_classes(body, "x_")
    moment = original.seen
    date = f"{words.date(moment, 'full')}{words('common', 'at')}{words.date(moment, 'time')}".replace("\u202f", " ")
    values = {"from": original.from_line, "date": date, "to": original.to, "subject": original.subject}
    rows = [(words.label("outlook", key), value) for key, value in values.items()]
    text_body = text_of(body, replace(_STYLE, cell=" \t"))
    lines = [*options.note.split("\n"), ""]
    lines += [*(f"{label} {value}" for label, value in rows), "", *text_body, "", *_below(words, options)]
    html = (
        '<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head>'
        f'<body lang="{words.tag}" style="word-wrap:break-word"{words.dir}><div class="WordSection1">'
        f'<p class="MsoNormal">{typed(options.note)}</p><p class="MsoNormal">&nbsp;</p>'
        '<div id="mail-editor-reference-message-container"><div><div><div style="border:none;border-top:solid #B5C4DF '
        f'1.0pt;padding:3.0pt 0cm 0cm 0cm"><p class="MsoNormal" style="margin-bottom:12.0pt">{_bold_rows(rows)}</p>'
        f"</div><div>{page.inner(body)}</div></div></div></div>"
        + "".join(f'<p class="MsoNormal">{escape(line)}</p>' for line in _below(words, options))
        + "</div></body></html>"
    )
    return _from_the_mac(original, words, options, lines, html)


def _from_the_mac(original: Original, words: Words, options: Options, lines: list[str], html: str) -> bytes:
    mark = f"B_{int(token(original, 'mac', 8), 16):010d}_{int(token(original, 'mac2', 7), 16)}"
    manner = replace(_assembly(original, "UTF-8"), boundaries=(f"{mark}0", f"{mark}1"), preamble="")
    content = assembled(original, options, manner, lines, html)
    headers = (
        "User-Agent: Microsoft-MacOutlook/16.89.24090815",
        f"Date: {format_datetime(later(original))}",
        subject_line(original, options, words("outlook", "prefix")),
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"To: {INBOX}",
        f"Message-ID: <{uuid(original, 'mac').upper()}@riverside.example>",
        header("Thread-Topic", original.subject),
        f"References: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
        "MIME-Version: 1.0",
    )
    return Part(headers + content.headers, content.body).octets()
