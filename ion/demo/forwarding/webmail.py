"""Webmail and other clients, one row each (see `templates`)."""

import re

from ion.demo.forwarding.message import Assembly
from ion.demo.forwarding.templates import (
    Row,
    Template,
    as_blocks,
    as_fonts,
    links,
    pattern_date,
    renamed,
    rfc_date,
    without_classes,
)
from ion.demo.forwarding.text import TextStyle, Wrapping, flowed, quoted

_SPACED = TextStyle(cell=" ", page="{text} <{href}>")


def _numbered_links(lines: list[str]) -> list[str]:
    """Numbers for the addresses of links, which are listed at the end."""
    found: list[str] = []

    def number(link: re.Match[str]) -> str:
        if link[1] not in found:
            found.append(link[1])
        return f"[{found.index(link[1]) + 1}]"

    numbered = [re.sub(r"\[(https?://[^\]\s]+)\]", number, line) for line in lines]
    listed = [f"[{place}] {url}" for place, url in enumerate(found, 1)]
    return flowed([*numbered, *(["", "Links:", "------", *listed] if listed else [])])


YAHOO = Template(
    rows=("from", "to", "sent", "subject"),
    date=pattern_date("full|at|seconds"),
    above=("----- {forwarded} -----", "{block}"),
    page="yahoo",
    headers=("X-Mailer: WebService/1.1.22876 YMailNorrin",),
    row=Row("{label} {value}", "<div><b>{label}</b> {value}</div>"),
    rewrite=renamed("ydp{mark}", hosts=True),
    style=_SPACED,
    prefix="Fw: ",
    glued=True,
    assembly=Assembly(
        ("----=_Part_{mark}_mixed", "----=_Part_{mark}"),
        text=("Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: {encoding}"),
        html=("Content-Type: text/html; charset=UTF-8", "Content-Transfer-Encoding: {encoding}"),
        alternative=("Content-Type: multipart/alternative; ", '\tboundary="{boundary}"'),
        mixed=("Content-Type: multipart/mixed; ", '\tboundary="{boundary}"'),
    ),
)

ZOHO = Template(
    rows=("from", "to", "date", "subject"),
    date=rfc_date,
    above=("============ {forwarded} ============", "{block}", "============ {forwarded} ============", ""),
    page="zoho",
    headers=("Importance: Medium", "User-Agent: Zoho Mail", "X-Mailer: Zoho Mail"),
    row=Row("{label} {value}", "{label} {value}<br>"),
    rewrite=renamed("x_-{mark}"),
    style=_SPACED,
    assembly=Assembly(
        ("----=_Part_{mark}_M", "----=_Part_{mark}"),
        text=('Content-Type: text/plain; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
        html=('Content-Type: text/html; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
    ),
)

PROTON = Template(
    rows=("from", "date", "subject", "to"),
    date=pattern_date("full|at|time"),
    above=("------- {forwarded} -------", "{block}", ""),
    page="proton",
    headers=("Feedback-ID: 00000000:user:proton", "X-Pm-Message-ID: {mark}"),
    row=Row("{label} {value}", "{label} {value}<br>"),
    rewrite=without_classes,
    quote=quoted,
    prefix="Fw: ",
    assembly=Assembly(("b1={mark}m", "b1={mark}a"), encoding="base64"),
)

ROUNDCUBE = Template(
    rows=("subject", "date", "from", "to"),
    date=pattern_date("y-MM-dd HH:mm"),
    above=("-------- {original} --------", "{block}", ""),
    page="roundcube",
    headers=("User-Agent: Roundcube Webmail/1.6.9", "X-Sender: anna@riverside.example"),
    row=Row(
        "{label} {value}",
        '<tr><th align="right" valign="baseline" nowrap="nowrap">{label}</th>\n<td>{value}</td>\n</tr>\n',
    ),
    rewrite=renamed("v1"),
    style=TextStyle(cell=" \t", page="{text} [{href}]"),
    quote=_numbered_links,
    assembly=Assembly(
        ("=_{mark}m", "=_{mark}"),
        text=(
            "Content-Transfer-Encoding: {encoding}",
            "Content-Type: text/plain; charset=UTF-8;",
            " format=flowed",
        ),
        html=("Content-Transfer-Encoding: {encoding}", "Content-Type: text/html; charset=UTF-8"),
        alternative=("Content-Type: multipart/alternative;", ' boundary="{boundary}"'),
        mixed=("Content-Type: multipart/mixed;", ' boundary="{boundary}"'),
        attachment=(
            "Content-Transfer-Encoding: base64",
            "Content-Type: {type};",
            ' name="{name}"',
            "Content-Disposition: attachment;",
            ' filename="{name}";',
            " size={size}",
        ),
        encoding="8bit",
        html_encoding="quoted-printable",
    ),
)

ZIMBRA = Template(
    rows=("from", "to", "sent", "subject"),
    date=pattern_date("full| |seconds"),
    above=("----- {forwarded} -----", "{block}", ""),
    page="zimbra",
    headers=("X-Mailer: Zimbra 10.1.2_GA_4616 (ZimbraWebClient - GC130 (Win)/10.1.2_GA_4616)", "Thread-Topic: order"),
    rewrite=links,
    style=TextStyle(cell=" \t"),
    assembly=Assembly(
        ("----=_Part_{mark}_0", "----=_Part_{mark}_1"),
        text=("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: {encoding}"),
        html=("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: {encoding}"),
    ),
)

GMX = Template(
    rows=("sent", "from", "to", "subject"),
    date=pattern_date("full|at|time"),
    above=("{block}", ""),
    page="gmx",
    headers=("Importance: normal", "Sensitivity: Normal", "X-Priority: 3", "X-UI-Message-Type: mail"),
    row=Row("{label} {value}", "<b>{label}</b>&nbsp;{value}<br/>"),
    rewrite=links,
    prefix="Fw: ",
    sends="html",
    assembly=Assembly(
        ("refeik-{mark}", "sgnirk-{mark}"),
        html=("Content-Type: text/html; charset=UTF-8", "Content-Transfer-Encoding: {encoding}"),
    ),
)

MAILRU = Template(
    rows=("from", "to", "date", "subject"),
    date=pattern_date("full|, |time| +01:00"),
    above=("-------- {forwarded} --------", "{block}", ""),
    page="mailru",
    headers=("X-Mailer: Mail.Ru Mailer 1.0", "X-Priority: 3 (Normal)"),
    row=Row("{label} {value}", "{label} {value}<br>"),
    rewrite=renamed(suffix="_mr_css_attr"),
    style=_SPACED,
    quote=lambda lines: quoted(lines, ">", bare=">"),
    prefix="Fwd: ",
    assembly=Assembly(("----{mark}-{mark}m", "----{mark}-{mark}"), encoding="base64"),
)

YANDEX = Template(
    rows=(),
    date=pattern_date("dd.MM.yyyy|, |HH:mm"),
    above=("-------- {forwarded} --------", '{when}, "{name}" <{address}>:', ""),
    below=("", "-------- {end} --------"),
    page="yandex",
    headers=("X-Mailer: Yamail [ http://yandex.ru ] 5.0",),
    rewrite=renamed("{mark}"),
    style=TextStyle(cell=" "),
    assembly=Assembly(
        ("----==--bound.{mark}m", "----==--bound.{mark}"),
        text=("Content-Transfer-Encoding: {encoding}", "Content-Type: text/plain; charset=utf-8"),
        html=("Content-Transfer-Encoding: {encoding}", "Content-Type: text/html; charset=utf-8"),
        encoding="8bit",
        html_encoding="base64",
    ),
)

SAMSUNG = Template(
    rows=("from", "date", "to", "subject"),
    date=pattern_date("short|  |time|  ('GMT'+01:00)"),
    above=("-------- {original} --------", "{block}"),
    page="samsung",
    headers=("X-Mailer: Samsung Email",),
    row=Row("{label} {value} ", "<div>{label} {value} </div>"),
    rewrite=as_blocks,
    style=TextStyle(cell=""),
    device="Galaxy",
    glued=True,
    assembly=Assembly(
        ("--_com.samsung.android.email_{mark}0", "--_com.samsung.android.email_{mark}1"), encoding="base64"
    ),
)

EVOLUTION = Template(
    rows=("from", "to", "subject", "date"),
    date=rfc_date,
    above=("-------- {forwarded} --------", "{block}", ""),
    page="evolution",
    headers=("User-Agent: Evolution 3.52.3",),
    row=Row("{label} {value}", "<div><b>{label}</b> {value}</div>"),
    family="thunderbird",
    rewrite=links,
    style=TextStyle(cell="\t", page="{text} [{href}]", width=71, wrapping=Wrapping(hyphens=True)),
    assembly=Assembly(
        ("=-{mark}==", "=-{mark}+"),
        text=('Content-Type: text/plain; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
        html=('Content-Type: text/html; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
    ),
)

NOTES = Template(
    rows=("from", "to", "date", "subject"),
    date=pattern_date("dd.MM.yyyy HH:mm"),
    above=("----- {forwarded_by} -----", "", "{block}", ""),
    page="notes",
    headers=("X-Mailer: HCL Notes Release 12.0.2 November 17, 2022", "X-TNEFEvaluated: 1"),
    row=Row(
        "{label}        {value}",
        '<font size=1 color=#5f5f5f face="sans-serif">{label} &nbsp; &nbsp; &nbsp; &nbsp;</font>'
        '<font size=1 face="sans-serif">{value}</font><br>',
    ),
    rewrite=as_fonts,
    style=TextStyle(cell="\t", width=72),
    prefix="Fw: ",
    assembly=Assembly(
        ("=_related {mark}C12", "=_alternative {mark}C12"),
        text=('Content-Type: text/plain; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
        html=('Content-Type: text/html; charset="UTF-8"', "Content-Transfer-Encoding: {encoding}"),
        encoding="base64",
    ),
)
