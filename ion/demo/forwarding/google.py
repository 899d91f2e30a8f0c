"""Gmail: on the web, on Android and on the iPhone."""

import re
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
    opened,
    subject_line,
    token,
    typed,
)
from ion.demo.forwarding.mime import CRLF
from ion.demo.forwarding.options import STANDARD, Options
from ion.demo.forwarding.text import TextStyle, text_of, wrapped
from ion.demo.forwarding.words import Words, words_of

SEPARATOR = "---------- Forwarded message ---------"  # never translated
_STYLE = TextStyle(bold="*", image="[image: {alt}]", width=76)
_ADDRESS = '&lt;<a href="mailto:{0}">{0}</a>&gt;'

# What the three write around the quotation: the note, and what stands between it and the quotation.
_OPENINGS = {
    "web": '<div dir="{dir}">{note}<br><br>',
    "android": '<div dir="auto">{note}</div><br>',
    "ios": '<div dir="{dir}">{note}</div><div><br></div><div><br>',
}
_CLOSINGS = {"web": "</div>\n", "android": "\n", "ios": "</div>\n"}


def gmail(raw: bytes, options: Options = STANDARD) -> bytes:
    """Gmail on the web: HTML kept with prefixed classes and without head, the text part rebuilt from it and wrapped at
    76 columns with cells on lines of their own and `*bold*`, the attachment sent on."""
    return _gmail(raw, options, "web")


def gmail_android(raw: bytes, options: Options = STANDARD) -> bytes:
    """Gmail on Android: as on the web, the note beside the quotation instead of around it."""
    return _gmail(raw, options, "android")


def gmail_ios(raw: bytes, options: Options = STANDARD) -> bytes:
    """Gmail on the iPhone."""
    return _gmail(raw, options, "ios")


def _gmail(raw: bytes, options: Options, place: str) -> bytes:
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body, target="_blank")
    prefix = f"m_-{int(token(original, 'gmail', 14), 16)}"
    page.rename_classes(body, prefix)
    page.restyle(body, _minified)
    lines = _lines(original, words, options, text_of(body, _STYLE))
    manner = _assembly(original)
    content = assembled(original, options, manner, lines, _html(original, words, options, page.inner(body), place))
    return Part(_headers(original, options) + content.headers, content.body).octets()


@lru_cache(maxsize=1024)
def _minified(style: str) -> str:
    return page.with_units(re.sub(r"\s*([:;])\s*", r"\1", style))


def _html(original: Original, words: Words, options: Options, inner: str, place: str) -> str:
    intro = (
        f'<div dir="{words.direction}" class="gmail_attr">{SEPARATOR}<br>{words("gmail", "from")} '
        f'<strong class="gmail_sendername" dir="auto">{escape(original.sender_name)}</strong> '
        f'<span dir="auto">{_ADDRESS.format(original.sender)}</span><br>'
        f"Date: {_date(original, words)}<br>Subject: {escape(original.subject, quote=False)}<br>"
        f"To:  {_ADDRESS.format(original.to)}<br></div><br><br>"
    )
    digits = token(original, "gmail msg", 14)
    below = f'<div dir="{words.direction}">{typed(options.note_below)}</div>' if options.note_below else ""
    footer = (
        '<div><br></div><span class="gmail_signature_prefix">-- </span><br>'
        f'<div dir="{words.direction}" class="gmail_signature" data-smartmail="gmail_signature">'
        f'<div dir="{words.direction}"><i>{words("common", "footer")}</i></div></div>'
        if options.footer
        else ""
    )
    return (
        _OPENINGS[place].format(dir=words.direction, note=typed(options.note))
        + f'<div class="gmail_quote gmail_quote_container">{intro}'
        + f'<div class="msg-{int(digits, 16)}"><u></u>\n{inner}</div></div>{below}{footer}'
        + _CLOSINGS[place]
    )


def _lines(original: Original, words: Words, options: Options, body: list[str]) -> list[str]:
    below = ["", *options.note_below.split("\n")] if options.note_below else []
    footer = ["", "-- ", *wrapped(f"*{words('common', 'footer')}*", 76)] if options.footer else []
    return [
        *options.note.split("\n"),
        "",
        SEPARATOR,
        f"{words('gmail', 'from')} {original.from_line}",
        f"Date: {_date(original, words)}",
        *wrapped(f"Subject: {original.subject}", 76),
        f"To: <{original.to}>",
        "",
        "",
        *body,
        *below,
        *footer,
    ]


def _date(original: Original, words: Words) -> str:
    return words.date(original.seen, words("gmail", "date"))


def _assembly(original: Original) -> Assembly:
    mark = f"000000000000{token(original, 'gmail boundary', 12)}"
    return Assembly(
        boundaries=(f"{mark}a3", f"{mark}a1"),
        text=('Content-Type: text/plain; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
        html=('Content-Type: text/html; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
        attachment=(
            'Content-Type: {type}; name="{name}"',
            'Content-Disposition: attachment; filename="{name}"',
            "Content-Transfer-Encoding: base64",
            "Content-ID: <{id}>",
            "X-Attachment-Id: {id}",
        ),
    )


def _headers(original: Original, options: Options) -> tuple[str, ...]:
    sent = format_datetime(later(original))
    return (
        "Received: by mail-ed1-f52.google.com with SMTP id 4fb4d7f45d1cf-"
        + token(original, "received", 12)
        + f".1{CRLF}        for <{INBOX}>; {sent}",
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;",
        "        d=riverside-example.20230601.gappssmtp.com; s=20230601; t=1795461000;",
        "        h=to:subject:message-id:date:from:in-reply-to:references:mime-version",
        f"         :from:to:cc:subject:date:message-id:reply-to; bh={token(original, 'bh', 42)}=;",
        f"        b={token(original, 'signature', 64)}",
        f"X-Gm-Message-State: AOJu0Y{token(original, 'state', 50)}",
        f"X-Google-Smtp-Source: AGHT+I{token(original, 'source', 60)}",
        "MIME-Version: 1.0",
        f"References: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"Date: {sent}",
        f"X-Gm-Features: {token(original, 'features', 40)}",
        f"Message-ID: <CA+{token(original, 'id', 46)}@mail.gmail.com>",
        subject_line(original, options, "Fwd: "),
        f"To: {INBOX}",
    )
