"""Outlook on the web, the new Outlook and Outlook on phones, whose mails Exchange Online writes."""

import base64
from dataclasses import replace
from datetime import UTC
from email.utils import format_datetime
from functools import lru_cache
from html import escape
from urllib.parse import quote

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
    header,
    later,
    opened,
    subject_line,
    token,
    typed,
)
from ion.demo.forwarding.office import outlook_rows
from ion.demo.forwarding.options import STANDARD, Options
from ion.demo.forwarding.text import TextStyle, text_of
from ion.demo.forwarding.words import Words, words_of

_STYLE = TextStyle(
    cell=" \t",
    address="{text}<{href}>",
    page="{text}<{href}>",
    telephone="{text}<{href}>",
    repeats=True,
    image="[{alt}]",
    rule="_" * 32,
)


def outlook_web(
    raw: bytes,
    options: Options = STANDARD,
    *,
    charset: str = "utf-8",
    encoding: str = "quoted-printable",
    best_fit: bool = True,
) -> bytes:
    """Outlook on the web and the new Outlook, by Exchange Online: `x_` before every class and id, colours as rgb(),
    Safe Links, the original as a sibling of `#divRplyFwdMsg`; text without wrapping, 32 underscores.

    `best_fit`: wide blanks become ordinary ones in a charset without them; else they become `?` like any other.
    """
    return _outlook_web(raw, options, charset=charset, encoding=encoding, best_fit=best_fit, signature="")


def outlook_mobile(raw: bytes, options: Options = STANDARD) -> bytes:
    """Outlook on phones: as on the web, with its signature between the note and the mail."""
    signature = words_of(options.language)("common", "device").format(device="Outlook")
    return _outlook_web(raw, options, charset="utf-8", encoding="base64", best_fit=True, signature=signature)


def _outlook_web(raw: bytes, options: Options, *, charset: str, encoding: str, best_fit: bool, signature: str) -> bytes:
    original, words = opened(raw), words_of(options.language)
    body = page.body_of(original.page())
    page.link_addresses(body, class_="OWAAutoLink", data_auth="NotApplicable")
    _guard_links(body)
    page.rename_classes(body, "x_")
    page.restyle(body, _reserialised)
    for cell in body.iter("td"):
        cell.set("data-ogsc", "")
    text_body = text_of(body, _STYLE)
    if charset != "utf-8" and best_fit:
        text_body = [line.replace("\u2003", " ") for line in text_body]
    rows = outlook_rows(original, words)
    above = [*options.note.split("\n"), *(["", signature] if signature else [])]
    below = options.note_below.split("\n") if options.note_below else []
    lines = [
        *above,
        "",
        "_" * 32,
        *(f"{label} {value}" for label, value in rows),
        "",
        "",
        *text_body,
        "",
        *below,
        *([words("common", "footer")] if options.footer else []),
    ]
    html = _html(words, options, rows, body, charset=charset, above="\n".join(above))
    manner = replace(_assembly(original), charset=charset, encoding=encoding, lost="replace")
    content = assembled(original, options, manner, lines, html)
    headers = _headers(original, words, options)
    return Part((*headers, *content.headers, "MIME-Version: 1.0"), content.body).octets()


def _guard_links(body: HtmlElement) -> None:
    """Number the links and lead those to pages through Safe Links."""
    for place, link in enumerate(list(body.iter("a"))):
        link.set("data-linkindex", str(place))
        href = link.get("href", "")
        if href.startswith("http") and "safelinks.protection" not in href:
            link.set("href", safe_link(href))
            link.set("originalsrc", href)
            if link.text_content() == href:
                link.set("title", href)


def safe_link(url: str) -> str:
    """A page's address as Microsoft's Safe Links rewrites it."""
    return (
        f"https://eur01.safelinks.protection.outlook.com/?url={quote(url, safe='')}&data=05%7C02%7Canna%40riverside."
        "example%7C00000000000000000000000000000000%7C0%7C0%7C638993676000000000%7CUnknown%7C&sdata=AAAAAAAAAAAAAAAAA"
        "AAAAA%3D&reserved=0"
    )


@lru_cache(maxsize=1024)
def _reserialised(style: str) -> str:
    rules = [rule.split(":", 1) for rule in style.split(";") if ":" in rule]
    written = "; ".join(f"{name.strip()}:{value.strip()}" for name, value in rules)
    return page.rgb(page.with_units(written))


def _html(
    words: Words, options: Options, rows: list[tuple[str, str]], body: HtmlElement, *, charset: str, above: str
) -> str:
    labels = "<br>\n".join(f"<b>{label}</b> {escape(value, quote=False)}" for label, value in rows)
    below = f'<div class="elementToProof">{typed(options.note_below)}</div>' if options.note_below else ""
    footer = (
        f'<div style="font-size:8pt; color:rgb(128, 128, 128)">{words("common", "footer")}</div>'
        if options.footer
        else ""
    )
    return (
        f'<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html; charset={charset}">\n'
        '<style type="text/css" style="display:none;"> P {margin-top:0;margin-bottom:0;} </style>\n'
        f'</head>\n<body dir="{words.direction}">\n'
        '<div class="elementToProof" style="font-family: Aptos, Aptos_EmbeddedFont, Aptos_MSFontService, Calibri, '
        f'Helvetica, sans-serif; font-size: 12pt; color: rgb(0, 0, 0);">\n{typed(above) or "<br>"}</div>\n'
        '<div id="appendonsend"></div>\n<hr style="display:inline-block;width:98%" tabindex="-1">\n'
        f'<div id="divRplyFwdMsg" dir="{words.direction}"><font face="Calibri, sans-serif" style="font-size:11pt" '
        f'color="#000000">{labels}</font>\n<div>&nbsp;</div>\n</div>\n'
        f'<div style="{escape(body.get("style", ""))}">{page.inner(body)}</div>\n{below}{footer}</body>\n</html>'
    )


def _host(original: Original) -> str:
    return "AM0PR04MB" + token(original, "host", 4).upper()


def _assembly(original: Original) -> Assembly:
    mark = f"{token(original, 'id', 24).upper()}{_host(original)}eurp_"
    return Assembly(
        boundaries=(f"_004_{mark}", f"_000_{mark}"),
        text=('Content-Type: text/plain; charset="{charset}"', "Content-Transfer-Encoding: {encoding}"),
        html=('Content-Type: text/html; charset="{charset}"', "Content-Transfer-Encoding: {encoding}"),
        alternative=("Content-Type: multipart/alternative;", '\tboundary="{boundary}"'),
        mixed=("Content-Type: multipart/mixed;", '\tboundary="{boundary}"'),
        attachment=(
            'Content-Type: {type}; name="{name}"',
            "Content-Description: {name}",
            'Content-Disposition: attachment; filename="{name}";',
            '\tsize={size}; creation-date="{date}";',
            '\tmodification-date="{date}"',
            "Content-Transfer-Encoding: base64",
        ),
    )


def _headers(original: Original, words: Words, options: Options) -> tuple[str, ...]:
    host, sent = _host(original), later(original)
    has = "yes" if options.attachments and original.attachments else ""
    return (
        f"Received: from {host}.eurprd04.prod.outlook.com (2603:10a6:208:1::1) by",
        f" DB8PR04MB0001.eurprd04.prod.outlook.com with HTTPS; {format_datetime(sent)}",
        "ARC-Authentication-Results: i=1; mx.microsoft.com 1; spf=none; dmarc=none;",
        " dkim=none; arc=none",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f'To: "{INBOX}" <{INBOX}>',
        subject_line(original, options, words("outlook", "prefix")),
        header("Thread-Topic", original.subject),
        f"Thread-Index: AQH{base64.b64encode(bytes.fromhex(token(original, 'thread', 32))).decode()}",
        f"Date: {format_datetime(sent.astimezone(UTC))}",
        f"Message-ID:\r\n <{host}{token(original, 'id', 28).upper()}@{host}.eurprd04.prod.outlook.com>",
        f"References: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
        f"Accept-Language: {'en-US' if words.tag == 'en' else f'{words.tag}, en-US'}",
        f"Content-Language: {words.tag}",
        f"X-MS-Has-Attach: {has}",
        "X-MS-TNEF-Correlator:",
        "x-ms-exchange-transport-forked: True",
    )
