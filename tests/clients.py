"""Mail programs, imitated: each function takes a finished mail and gives the one that arrives after a forward.

What a program writes around a forwarded mail stands in the tables below (gathered from public fixtures of forwarding
parsers); what it does to the mail itself is in its function. The imitations are built from text, header by header and
part by part, so that order, folding, boundaries and encodings are each program's own and not those of the library the
product reads mail with. They share no code with the product: the text parts are rebuilt from HTML by `text_of` here.
"""

import base64
import email
import email.policy
import quopri
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from email.header import Header
from email.message import Message, MIMEPart
from email.utils import format_datetime, parseaddr, parsedate_to_datetime
from hashlib import sha256
from html import escape
from typing import cast
from urllib.parse import quote

from bs4 import BeautifulSoup
from bs4.element import Comment, Doctype, NavigableString, Tag

CRLF = "\r\n"
FORWARDER = "Anna Lindqvist"
FORWARDER_ADDRESS = "anna@riverside.example"
INBOX = "orders@in.ion.example"
ZONE = timezone(timedelta(hours=1))  # the forwarder's clock: Central European winter time

MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
}
DAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split(),
    "fr": "lundi mardi mercredi jeudi vendredi samedi dimanche".split(),
}

# Labels of the block of headers that a program writes above the forwarded mail, per language of the program.
# Gmail translates only the sender's label, also in programs set to German or French.
GMAIL = {"en": "From:", "de": "Von:", "fr": "De :"}
GMAIL_SEPARATOR = "---------- Forwarded message ---------"
OUTLOOK = {  # sender, date, recipient, subject; prefix of the subject
    "en": ("From:", "Sent:", "To:", "Subject:", "FW: "),
    "de": ("Von:", "Gesendet:", "An:", "Betreff:", "WG: "),
    "fr": ("De :", "Envoyé :", "À :", "Objet :", "TR : "),
}
APPLE = {  # separator; sender, subject, date, recipient
    "en": ("Begin forwarded message:", "From:", "Subject:", "Date:", "To:"),
    "de": ("Anfang der weitergeleiteten Nachricht:", "Von:", "Betreff:", "Datum:", "An:"),
    "fr": ("Début du message réexpédié :", "De:", "Objet:", "Date:", "À:"),
}
IOS_SIGNATURE = {"en": "Sent from my iPhone", "de": "Von meinem iPhone gesendet", "fr": "Envoyé de mon iPhone"}
THUNDERBIRD = {  # separator; subject, date, sender, recipient
    "en": ("-------- Forwarded Message --------", "Subject: ", "Date: ", "From: ", "To: "),
    "de": ("-------- Weitergeleitete Nachricht --------", "Betreff: ", "Datum: ", "Von: ", "An: "),
    "fr": ("-------- Message transféré --------", "Sujet : ", "Date : ", "De : ", "Pour : "),
}
MUTT = {
    "en": ("----- Forwarded message from {} -----", "----- End forwarded message -----"),
    "de": ("----- Weitergeleitete Nachricht von {} -----", "----- Ende der weitergeleiteten Nachricht -----"),
    "fr": ("----- Message transféré de {} -----", "----- Fin du message transféré -----"),
}
ATTRIBUTION = {"en": "On {}, {} wrote:", "de": "Am {} schrieb {}:", "fr": "Le {}, {} a écrit :"}
FOOTER = {
    "en": "This e-mail and any attachment are confidential. If you are not the intended recipient, delete them.",
    "de": "Diese E-Mail ist vertraulich. Riverside Handels GmbH, Amtsgericht Köln, HRB 00000, Geschäftsführerin: A. B.",
    "fr": "Ce message est confidentiel. Merci de ne l'imprimer que si c'est nécessaire.",
}


@dataclass(frozen=True)
class Options:
    """How somebody forwards. `language`: of the program; `note`, `footer`: typed above, added below; `attachments`:
    whether those of the original are sent on; `subject`: typed over the one the program proposes."""

    language: str = "en"
    note: str = ""
    footer: bool = False
    attachments: bool = True
    subject: str | None = None


@dataclass(frozen=True)
class Attachment:
    content_type: str
    name: str
    octets: bytes


@dataclass(frozen=True)
class Original:
    """The mail to be forwarded, as a program shows it."""

    raw: bytes
    subject: str
    sender_name: str
    sender: str
    to: str
    date: datetime
    message_id: str
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]

    @property
    def from_line(self) -> str:
        return f"{self.sender_name} <{self.sender}>"

    def soup(self) -> BeautifulSoup:
        """The HTML, or the text made into HTML where there is none."""
        html = self.html
        if html is None:
            html = f"<html><body>{'<br>'.join(escape(line, quote=False) for line in self.lines())}</body></html>"
        soup = BeautifulSoup(html, "lxml")
        for found in soup.find_all(string=lambda text: isinstance(text, Comment | Doctype)):
            found.extract()
        return soup

    def lines(self) -> list[str]:
        """The lines of the text part, or of the text rebuilt from HTML."""
        if self.text is not None:
            return self.text.splitlines()
        return text_of(_body(self.soup()), TextStyle())


def opened(raw: bytes) -> Original:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    name, address = parseaddr(str(message["From"]))
    bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
    texts = [None if body is None else _decoded(body) for body in bodies]
    date = parsedate_to_datetime(str(message["Date"]))
    attachments = tuple(
        Attachment(part.get_content_type(), part.get_filename() or "attachment", octets_of(part))
        for part in message.walk()
        if part.get_filename() and part.get_content_type() != "message/rfc822"
    )
    return Original(
        raw,
        str(message["Subject"]),
        name or address,
        address,
        parseaddr(str(message["To"]))[1],
        date,
        str(message["Message-ID"]).strip(),
        texts[0],
        texts[1],
        attachments,
    )


def octets_of(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    return octets if isinstance(octets, bytes) else b""


def _decoded(part: MIMEPart) -> str:
    text = str(part.get_content()).replace(CRLF, "\n")
    if str(part.get_param("format") or "").lower() == "flowed":
        text = re.sub(r"(?m)(?<=\S) \n(?=\S)", " ", re.sub(r"(?m)^ (?=[> ]|From )", "", text))
    return text


# Messages, built from text.


@dataclass(frozen=True)
class Part:
    """Header lines (folded where they are) and the octets below them."""

    headers: tuple[str, ...]
    body: bytes

    def octets(self) -> bytes:
        return _encoded_lines(self.headers) + b"\r\n\r\n" + self.body


def _encoded_lines(lines: tuple[str, ...]) -> bytes:
    return CRLF.join(lines).encode()


def leaf(text: str, headers: tuple[str, ...], charset: str, encoding: str, lost: str = "strict") -> Part:
    """A text part. `encoding`: `quoted-printable`, `base64`, `8bit` or `7bit`; `lost`: what becomes of a character
    that the charset lacks (an error handler of Python's)."""
    octets = CRLF.join(text.splitlines()).encode(charset, lost) + b"\r\n"
    if encoding == "base64":
        octets = folded_base64(octets)
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets.replace(b"\r\n", b"\n"), quotetabs=False).replace(b"\n", b"\r\n")
    return Part(headers, octets)


def folded_base64(octets: bytes, width: int = 76) -> bytes:
    text = base64.b64encode(octets).decode()
    return CRLF.join(text[place : place + width] for place in range(0, len(text), width)).encode() + b"\r\n"


def multipart(content_type: tuple[str, ...], boundary: str, parts: list[Part], preamble: str = "") -> Part:
    pieces = [f"--{boundary}\r\n".encode() + part.octets() + b"\r\n" for part in parts]
    head = f"{preamble}\r\n\r\n".encode() if preamble else b""
    return Part(content_type, head + b"".join(pieces) + f"--{boundary}--\r\n".encode())


def header(name: str, value: str, charset: str = "utf-8") -> str:
    """A header line, RFC 2047 words where it is not ASCII, folded."""
    value = re.sub(r"\s+", " ", value)
    if value.isascii():
        return CRLF.join(textwrap.wrap(f"{name}: {value}", 76, subsequent_indent=" ", break_on_hyphens=False))
    charset = charset if _fits(value, charset) else "utf-8"
    return f"{name}: " + Header(value, charset, header_name=name).encode(linesep=CRLF)


def token(original: Original, salt: str, length: int = 32) -> str:
    """Hexadecimal digits that stand for what a program draws at random; the same for the same mail."""
    return sha256(salt.encode() + original.raw).hexdigest()[:length]


def uuid(original: Original, salt: str) -> str:
    digits = token(original, salt)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def later(original: Original, minutes: int = 11) -> datetime:
    return (original.date + timedelta(minutes=minutes)).astimezone(ZONE)


# HTML to text, as the programs do it.


@dataclass(frozen=True)
class TextStyle:
    """How a program writes HTML as text. `cell`: between two cells of a row; `bold`: mark around bold text; `address`:
    what a link to a mail address becomes; `width`: columns to wrap at, None to leave lines long."""

    cell: str = "\n"
    bold: str = ""
    address: str = "{text}"
    width: int | None = None


_PARAGRAPHS = frozenset("p h1 h2 h3 h4 table blockquote".split())
_BLOCKS = frozenset("div tr li ul ol dl dt dd hr tbody thead center section".split())


def text_of(body: Tag, style: TextStyle) -> list[str]:
    """The lines a program writes for a body."""
    text = "".join(_written(body, style))
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", re.sub(r"[ \n]*\0[ \n]*", style.cell, text))
    text = re.sub(r"\n\s*\n", "\n\n", text).strip("\n")
    lines = [line.strip(" ") for line in text.split("\n")]
    return [piece for line in lines for piece in wrapped(line, style.width)]


def _written(tag: Tag, style: TextStyle) -> Iterator[str]:
    for child in tag.children:
        if isinstance(child, NavigableString):
            yield re.sub(r"[ \t\r\n]+", " ", str(child))
        elif isinstance(child, Tag):
            yield from _written_tag(child, style)


def _written_tag(tag: Tag, style: TextStyle) -> Iterator[str]:
    if tag.name in {"style", "title", "script", "head"}:
        return
    if tag.name == "br":
        yield "\n"
        return
    around = "\n\n" if tag.name in _PARAGRAPHS else "\n" if tag.name in _BLOCKS else ""
    yield around
    inner = "".join(_written(tag, style))
    if tag.name in {"td", "th"}:
        inner = inner.strip(" \n")
        yield f"{inner}\0" if tag.find_next_sibling(["td", "th"]) else inner
    elif tag.name in {"b", "strong", "h1", "h2", "h3"} and style.bold and inner.strip():
        yield f"{style.bold}{inner.strip()}{style.bold}"
    elif tag.name == "a" and str(tag.get("href", "")).startswith("mailto:"):
        yield style.address.format(text=inner)
    elif tag.name == "a" and not inner.strip().startswith(("http", "+", "0")):
        yield f"{inner} <{tag.get('href')}>"
    else:
        yield inner
    yield around


def wrapped(line: str, width: int | None, indent: str = "") -> list[str]:
    """`line` in pieces of at most `width` columns where its words allow; words are never cut."""
    if width is None or len(line) <= width:
        return [line]
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    )


def quoted(lines: list[str], mark: str = "> ") -> list[str]:
    return [f"{mark}{line}".rstrip(" ") if line else mark.rstrip() for line in lines]


# HTML, rewritten as the programs do it.


def _body(soup: BeautifulSoup) -> Tag:
    body = soup.body
    assert body is not None, "the original has no body"
    return body


def _tags(root: Tag) -> list[Tag]:
    return [tag for tag in root.find_all(True) if isinstance(tag, Tag)]


def _inner(tag: Tag) -> str:
    return tag.decode_contents(formatter="minimal").replace("/>", ">")


def _linked(soup: BeautifulSoup, **attributes: str) -> None:
    """Make links of mail addresses and pages in the text, with these attributes besides `href`."""
    pattern = re.compile(r"(https?://[^\s<>\"]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)")
    for text in _body(soup).find_all(string=pattern):
        if text.find_parent("a") or text.find_parent("style"):
            continue
        pieces: list[NavigableString | Tag] = []
        for piece in pattern.split(str(text)):
            if pattern.fullmatch(piece):
                link = soup.new_tag("a", attrs={"href": piece if "://" in piece else f"mailto:{piece}", **attributes})
                link.string = piece
                pieces.append(link)
            elif piece:
                pieces.append(NavigableString(piece))
        text.replace_with(*pieces)


def _prefixed(root: Tag, prefix: str) -> None:
    for tag in _tags(root):
        if tag.get("class"):
            tag["class"] = " ".join(prefix + name for name in cast(list[str], tag["class"]))
        if tag.get("id"):
            tag["id"] = prefix + str(tag["id"])


def _rgb(style: str) -> str:
    """Colours as browsers re-serialise them."""

    def written(found: re.Match[str]) -> str:
        digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
        return "rgb({}, {}, {})".format(*(int(digits[place : place + 2], 16) for place in (0, 2, 4)))

    return re.sub(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b", written, style)


def _source_wrapped(html: str, width: int, indent: str = "") -> str:
    """HTML source broken at blanks, in text and between attributes alike."""
    return "\n".join(piece for line in html.split("\n") for piece in wrapped(line, width, indent))


def _note_html(note: str) -> str:
    return "<br>".join(escape(line, quote=False) for line in note.split("\n"))


# Gmail on the web.


def gmail(raw: bytes, options: Options = Options()) -> bytes:
    """Gmail on the web: HTML kept with prefixed classes and without head, the text part rebuilt from it and wrapped at
    76 columns with cells on lines of their own and `*bold*`, the attachment sent on."""
    original, language = opened(raw), options.language
    soup = original.soup()
    _linked(soup, target="_blank")
    prefix = f"m_-{int(token(original, 'gmail', 14), 16)}"
    body = _body(soup)
    _prefixed(body, prefix)
    for tag in [body, *_tags(body)]:
        if tag.get("style"):
            style = re.sub(r"\s*([:;])\s*", r"\1", str(tag["style"]))
            tag["style"] = re.sub(r"(?<=[: ])0(?=[ ;]|$)", "0px", style)
    original_html = f"<u></u>\n{_inner(body)}"
    day = later(original, 0)
    weekday, month = DAYS[language][day.weekday()], MONTHS[language][day.month - 1]
    date = {
        "en": f"{weekday[:3]}, {month[:3]} {day.day}, {day.year} at {day:%-I:%M}\u202f{day:%p}",
        "de": f"{weekday[:2]}., {day.day}. {month[:3]}. {day.year} um {day:%H:%M} Uhr",
        "fr": f"{weekday[:3]}. {day.day} {month[:4]}. {day.year} à {day:%H:%M}",
    }[language]
    label = GMAIL[language]
    address = '<a href="mailto:{0}">{0}</a>'
    intro_html = (
        f'<div dir="ltr" class="gmail_attr">{GMAIL_SEPARATOR}<br>{label} <strong class="gmail_sendername" dir="auto">'
        f'{escape(original.sender_name)}</strong> <span dir="auto">&lt;{address.format(original.sender)}&gt;</span><br>'
        f"Date: {date}<br>Subject: {escape(original.subject, quote=False)}<br>"
        f"To:  &lt;{address.format(original.to)}&gt;"
        "<br></div><br><br>"
    )
    footer = (
        '<div><br></div><span class="gmail_signature_prefix">-- </span><br><div dir="ltr" class="gmail_signature" '
        f'data-smartmail="gmail_signature"><div dir="ltr"><i>{FOOTER[language]}</i></div></div>'
    )
    html = (
        f'<div dir="ltr">{_note_html(options.note)}<br><br><div class="gmail_quote gmail_quote_container">{intro_html}'
        f'<div class="msg{prefix[2:]}">{original_html}</div></div>{footer if options.footer else ""}</div>\n'
    )
    lines = [
        *options.note.split("\n"),
        "",
        GMAIL_SEPARATOR,
        f"{label} {original.from_line}",
        f"Date: {date}",
        *wrapped(f"Subject: {original.subject}", 76),
        f"To: <{original.to}>",
        "",
        "",
        *text_of(body, TextStyle(bold="*", width=76)),
    ]
    if options.footer:
        lines += ["", "-- ", *wrapped(f"*{FOOTER[language]}*", 76)]
    mark = token(original, "gmail boundary", 12)
    encoding = ('Content-Type: {}; charset="UTF-8"', "Content-Transfer-Encoding: quoted-printable")
    inner = multipart(
        (f'Content-Type: multipart/alternative; boundary="000000000000{mark}a1"',),
        f"000000000000{mark}a1",
        [
            leaf("\n".join(lines), (encoding[0].format("text/plain"), encoding[1]), "utf-8", "quoted-printable"),
            leaf(html, (encoding[0].format("text/html"), encoding[1]), "utf-8", "quoted-printable"),
        ],
    )
    attached = [
        Part(
            (
                f'Content-Type: {item.content_type}; name="{item.name}"',
                f'Content-Disposition: attachment; filename="{item.name}"',
                "Content-Transfer-Encoding: base64",
                f"Content-ID: <{token(original, item.name, 11)}>",
                f"X-Attachment-Id: {token(original, item.name, 11)}",
            ),
            folded_base64(item.octets),
        )
        for item in original.attachments
        if options.attachments
    ]
    content = inner
    if attached:
        content = multipart(
            (f'Content-Type: multipart/mixed; boundary="000000000000{mark}a3"',),
            f"000000000000{mark}a3",
            [inner, *attached],
        )
    sent = later(original)
    headers = (
        "Received: by mail-ed1-f52.google.com with SMTP id 4fb4d7f45d1cf-"
        + token(original, "received", 12)
        + f".1{CRLF}        for <{INBOX}>; {format_datetime(sent)}",
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
        f"Date: {format_datetime(sent)}",
        f"X-Gm-Features: {token(original, 'features', 40)}",
        f"Message-ID: <CA+{token(original, 'id', 46)}@mail.gmail.com>",
        header("Subject", options.subject if options.subject is not None else f"Fwd: {original.subject}", "utf-8"),
        f"To: {INBOX}",
    )
    return Part(headers + content.headers, content.body).octets()


# Outlook.


def outlook_desktop(raw: bytes, options: Options = Options(), *, charset: str = "utf-8", lost: str = "strict") -> bytes:
    """Outlook for Windows over SMTP: Word rewrites the HTML (MsoNormal paragraphs in every cell, `o:p`, a style sheet
    of its own, unquoted attributes, source broken anywhere), the text has a paragraph per cell, `a@b<mailto:a@b>`.

    `charset`: what both parts are written in; the HTML falls back on character references, the text on `lost`.
    """
    original, language = opened(raw), options.language
    soup = original.soup()
    _linked(soup)
    labels = OUTLOOK[language]
    day = later(original, 0)
    date = _outlook_date(day, language)
    body = _body(soup)
    text_body = text_of(body, TextStyle(cell="\n\n", address="{text}<mailto:{text}>"))
    if charset != "utf-8":  # Windows maps wide blanks to the ordinary one ("best fit")
        text_body = [line.replace("\u2003", " ") for line in text_body]
    name = charset if charset != "windows-1252" else "Windows-1252"
    intro = [
        f"<b>{labels[0]}</b> {escape(original.sender_name)} &lt;{original.sender}&gt; ",
        f"<b>{labels[1]}</b> {date}",
        f"<b>{labels[2]}</b> {original.to}",
        f"<b>{labels[3]}</b> {escape(original.subject, quote=False)}",
    ]
    margin = "0in" if language == "en" else "0cm"
    note = "".join(
        '<p class="MsoNormal"><span style="mso-fareast-language:EN-US">'
        f"{escape(line) or '&nbsp;'}<o:p></o:p></span></p>\n"
        for line in [*options.note.split("\n"), ""]
    )
    footer = (
        f'<p class="MsoNormal"><span style="font-size:8.0pt;color:gray">{FOOTER[language]}<o:p></o:p></span></p>'
        if options.footer
        else ""
    )
    tag = {"en": "EN-US", "de": "DE", "fr": "FR"}[language]
    content = (
        f'<body lang="{tag}" link="#0563C1" vlink="#954F72" style="word-wrap:break-word">'
        f'<div class="WordSection1">\n{note}'
        f'<div><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt {margin} {margin} {margin}">\n'
        f'<p class="MsoNormal">{"<br>".join(intro)}<o:p></o:p></p></div></div>\n'
        f'<p class="MsoNormal"><o:p>&nbsp;</o:p></p>\n{_word(soup)}{footer}</div></body></html>'
    )
    content = re.sub(r"<[^<>]*>", _word_attributes, content)
    html = _WORD_HEAD.replace("{charset}", name) + _source_wrapped(content, 76)
    lines = [
        *options.note.split("\n"),
        "",
        f"{labels[0]} {original.from_line} ",
        f"{labels[1]} {date}",
        f"{labels[2]} {original.to}",
        f"{labels[3]} {original.subject}",
        "",
        " ",
        "",
        *text_body,
        "",
        *([FOOTER[language]] if options.footer else []),
    ]
    mark = f"{token(original, 'part', 4).upper()}_01DC5CB0.{token(original, 'time', 8).upper()}"
    alternative = f"----=_NextPart_001_{mark}"
    inner = multipart(
        ("Content-Type: multipart/alternative;", f'\tboundary="{alternative}"'),
        alternative,
        [
            leaf(
                "\n".join(lines),
                ("Content-Type: text/plain;", f'\tcharset="{name}"', "Content-Transfer-Encoding: quoted-printable"),
                charset,
                "quoted-printable",
                lost,
            ),
            leaf(
                html,
                ("Content-Type: text/html;", f'\tcharset="{name}"', "Content-Transfer-Encoding: quoted-printable"),
                charset,
                "quoted-printable",
                "xmlcharrefreplace",
            ),
        ],
    )
    attached = [
        Part(
            (
                f"Content-Type: {item.content_type};",
                f'\tname="{item.name}"',
                "Content-Transfer-Encoding: base64",
                "Content-Disposition: attachment;",
                f'\tfilename="{item.name}"',
            ),
            folded_base64(item.octets),
        )
        for item in original.attachments
        if options.attachments
    ]
    outer, preamble = f"----=_NextPart_000_{mark}", "This is a multipart message in MIME format."
    if attached:
        content_type = ("MIME-Version: 1.0", "Content-Type: multipart/mixed;", f'\tboundary="{outer}"')
        whole = multipart(content_type, outer, [inner, *attached], preamble)
    else:
        whole = Part(("MIME-Version: 1.0", *inner.headers), f"{preamble}\r\n\r\n".encode() + inner.body)
    sent = later(original)
    subject = options.subject if options.subject is not None else labels[4] + original.subject
    headers = (
        f'From: "{FORWARDER}" <{FORWARDER_ADDRESS}>',
        f"To: <{INBOX}>",
        f"References: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
        header("Subject", subject, "iso-8859-1"),
        f"Date: {format_datetime(sent)}",
        f"Message-ID: <{token(original, 'id', 8)}$0${token(original, 'id2', 8)}$@riverside.example>",
    )
    tail = (
        "X-Mailer: Microsoft Outlook 16.0",
        f"Thread-Index: AQ{base64.b64encode(bytes.fromhex(token(original, 'thread', 40))).decode()}",
        f"Content-Language: {tag.lower()}",
    )
    return Part(headers + whole.headers + tail, whole.body).octets()


def _outlook_date(day: datetime, language: str) -> str:
    weekday, month = DAYS[language][day.weekday()], MONTHS[language][day.month - 1]
    return {
        "en": f"{weekday}, {month} {day.day}, {day.year} {day:%-I:%M %p}",
        "de": f"{weekday}, {day.day}. {month} {day.year} {day:%H:%M}",
        "fr": f"{weekday} {day.day} {month} {day.year} {day:%H:%M}",
    }[language]


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


_WORD_HEAD = """\
<html xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office"
 xmlns:w="urn:schemas-microsoft-com:office:word" xmlns:m="http://schemas.microsoft.com/office/2004/12/omml"
 xmlns="http://www.w3.org/TR/REC-html40"><head><meta http-equiv=Content-Type content="text/html; charset={charset}">
<meta name=Generator content="Microsoft Word 15 (filtered medium)">
<!--[if !mso]><style>v\\:* {behavior:url(#default#VML);}
o\\:* {behavior:url(#default#VML);}
.shape {behavior:url(#default#VML);}
</style><![endif]--><style><!--
/* Font Definitions */
@font-face
	{font-family:Calibri;
	panose-1:2 15 5 2 2 2 4 3 2 4;}
/* Style Definitions */
p.MsoNormal, li.MsoNormal, div.MsoNormal
	{margin:0in;
	font-size:11.0pt;
	font-family:"Calibri",sans-serif;}
@page WordSection1
	{size:8.5in 11.0in;
	margin:1.0in 1.0in 1.0in 1.0in;}
div.WordSection1
	{page:WordSection1;}
--></style><!--[if gte mso 9]><xml>
<o:shapedefaults v:ext="edit" spidmax="1026" />
</xml><![endif]--></head>
"""


def _word(soup: BeautifulSoup) -> str:
    """The body as Word writes it."""
    body = _body(soup)
    for tag in _tags(body):
        for name in ("class", "role", "scope", "id", "dir", "lang"):
            if tag.name != "table" or name != "class":
                del tag[name]
        if tag.get("style"):
            tag["style"] = _word_style(str(tag["style"]))
        if tag.name == "table":
            tag.attrs = {"class": "MsoNormalTable", "border": "0", "cellspacing": "0", "cellpadding": "0"}
        elif tag.name in {"p", "div"} and not tag.find(["div", "table", "p", "h1", "h2", "h3"]):
            tag.name, tag["class"] = "p", "MsoNormal"
        elif tag.name == "thead":
            tag.unwrap()
        elif tag.name == "th":
            tag.name = "td"
    for cell in [tag for tag in _tags(body) if tag.name == "td" and not tag.find(["table", "p"])]:
        _paragraph(soup, cell)
    for cell in [tag for tag in _tags(body) if tag.name == "td" and tag.find("p")]:
        _paragraph(soup, cell, mixed=True)
    for tag in [tag for tag in _tags(body) if tag.name in {"p", "h1", "h2", "h3"}]:
        mark = soup.new_tag("o:p")
        if not tag.get_text(strip=True):
            tag.clear()
            mark.string = "\u00a0"
        tag.append(mark)
    return _inner(body)


def _paragraph(soup: BeautifulSoup, cell: Tag, *, mixed: bool = False) -> None:
    """Put what stands in a cell into paragraphs; with `mixed` only what is not in one already."""
    loose: list[NavigableString | Tag] = []
    groups = [loose]
    for child in list(cell.children):
        if mixed and isinstance(child, Tag) and child.name == "p":
            groups.append([])
            continue
        if isinstance(child, NavigableString | Tag):
            groups[-1].append(child)
    for group in groups:
        if not group or (mixed and not "".join(child.get_text() for child in group).strip()):
            continue
        paragraph = soup.new_tag("p", attrs={"class": "MsoNormal"})
        group[0].insert_before(paragraph)
        for child in group:
            paragraph.append(child.extract())


def _word_attributes(tag: re.Match[str]) -> str:
    """Attributes as Word quotes them: names bare, styles in single quotes."""
    bare = re.sub(r' class="(\w+)"', r" class=\1", tag[0])
    return re.sub(r' style="([^"]*)"', lambda found: f" style='{found[1]}'" if found[1] else "", bare)


def _word_style(style: str) -> str:
    kept = [
        f"{name.strip()}:{value.strip()}"
        for name, _, value in (rule.partition(":") for rule in style.split(";"))
        if name.strip() in {"padding", "margin", "color", "background", "border", "border-bottom", "font-size"}
    ]
    in_points = re.sub(
        r"(\d+)px", lambda found: f"{int(found[1]) * 0.75:.2f}".rstrip("0").rstrip(".") + "pt", ";".join(kept)
    )
    return re.sub(r"(?<=[: ])0(?=[ ;]|$)", "0cm", in_points)


def outlook_web(
    raw: bytes,
    options: Options = Options(),
    *,
    charset: str = "utf-8",
    encoding: str = "quoted-printable",
    best_fit: bool = True,
) -> bytes:
    """Outlook on the web and the new Outlook, by Exchange Online: `x_` before every class and id, colours as rgb(),
    Safe Links, the original as a sibling of `#divRplyFwdMsg`; text without wrapping, 32 underscores.

    `best_fit`: wide blanks become ordinary ones in a charset without them; else they become `?` like any other.
    """
    original, language = opened(raw), options.language
    soup = original.soup()
    _linked(soup, **{"class": "OWAAutoLink", "data-auth": "NotApplicable"})
    body = _body(soup)
    for place, link in enumerate(_tags(body)):
        if link.name == "a":
            link["data-linkindex"] = str(place)
            href = str(link.get("href"))
            if href.startswith("http"):
                link["href"] = safe_link(href)
                link["originalsrc"] = href
                if link.get_text() == href:
                    link["title"] = href
    _prefixed(body, "x_")
    for tag in [body, *_tags(body)]:
        if tag.get("style"):
            style = re.sub(r"\s*:\s*", ":", re.sub(r";\s*", "; ", str(tag["style"])))
            tag["style"] = _rgb(re.sub(r"(?<=[: ])0(?=[ ;]|$)", "0px", style)).rstrip("; ")
        if tag.name == "td":
            tag["data-ogsc"] = ""
    labels, day = OUTLOOK[language], later(original, 0)
    date = _outlook_date(day, language)
    text_body = text_of(body, TextStyle(cell=" \t", address="{text}<mailto:{text}>"))
    if charset != "utf-8" and best_fit:
        text_body = [line.replace("\u2003", " ") for line in text_body]
    footer = f'<div style="font-size:8pt; color:rgb(128, 128, 128)">{FOOTER[language]}</div>' if options.footer else ""
    html = (
        f'<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html; charset={charset}">\n'
        '<style type="text/css" style="display:none;"> P {margin-top:0;margin-bottom:0;} </style>\n'
        '</head>\n<body dir="ltr">\n'
        '<div class="elementToProof" style="font-family: Aptos, Aptos_EmbeddedFont, Aptos_MSFontService, Calibri, '
        f'Helvetica, sans-serif; font-size: 12pt; color: rgb(0, 0, 0);">\n{_note_html(options.note) or "<br>"}</div>\n'
        '<div id="appendonsend"></div>\n<hr style="display:inline-block;width:98%" tabindex="-1">\n'
        '<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif" style="font-size:11pt" color="#000000">'
        f"<b>{labels[0]}</b> {escape(original.sender_name)} &lt;{original.sender}&gt;<br>\n"
        f"<b>{labels[1]}</b> {date}<br>\n"
        f"<b>{labels[2]}</b> {original.to} &lt;{original.to}&gt;<br>\n"
        f"<b>{labels[3]}</b> {escape(original.subject, quote=False)}</font>\n<div>&nbsp;</div>\n</div>\n"
        f'<div style="{body.get("style", "")}">{_inner(body)}</div>\n{footer}</body>\n</html>'
    )
    lines = [
        *options.note.split("\n"),
        "",
        "_" * 32,
        f"{labels[0]} {original.from_line}",
        f"{labels[1]} {date}",
        f"{labels[2]} {original.to} <{original.to}>",
        f"{labels[3]} {original.subject}",
        "",
        "",
        *text_body,
        "",
        *([FOOTER[language]] if options.footer else []),
    ]
    host = "AM0PR04MB" + token(original, "host", 4).upper()
    mark = f"{token(original, 'id', 24).upper()}{host}eurp_"
    text_encoding = ('Content-Type: {}; charset="' + charset + '"', f"Content-Transfer-Encoding: {encoding}")
    inner = multipart(
        ("Content-Type: multipart/alternative;", f'\tboundary="_000_{mark}"'),
        f"_000_{mark}",
        [
            leaf(
                "\n".join(lines),
                (text_encoding[0].format("text/plain"), text_encoding[1]),
                charset,
                encoding,
                "replace",
            ),
            leaf(
                html, (text_encoding[0].format("text/html"), text_encoding[1]), charset, encoding, "xmlcharrefreplace"
            ),
        ],
    )
    attached = [
        Part(
            (
                f'Content-Type: {item.content_type}; name="{item.name}"',
                f"Content-Description: {item.name}",
                f'Content-Disposition: attachment; filename="{item.name}";',
                f'\tsize={len(item.octets)}; creation-date="{format_datetime(original.date)}";',
                f'\tmodification-date="{format_datetime(original.date)}"',
                "Content-Transfer-Encoding: base64",
            ),
            folded_base64(item.octets),
        )
        for item in original.attachments
        if options.attachments
    ]
    content = inner
    if attached:
        content = multipart(
            ("Content-Type: multipart/mixed;", f'\tboundary="_004_{mark}"'), f"_004_{mark}", [inner, *attached]
        )
    sent = later(original)
    subject = options.subject if options.subject is not None else labels[4] + original.subject
    headers = (
        f"Received: from {host}.eurprd04.prod.outlook.com (2603:10a6:208:1::1) by",
        f" DB8PR04MB0001.eurprd04.prod.outlook.com with HTTPS; {format_datetime(sent)}",
        "ARC-Authentication-Results: i=1; mx.microsoft.com 1; spf=none; dmarc=none;",
        " dkim=none; arc=none",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f'To: "{INBOX}" <{INBOX}>',
        header("Subject", subject, "utf-8"),
        header("Thread-Topic", original.subject, "utf-8"),
        f"Thread-Index: AQH{base64.b64encode(bytes.fromhex(token(original, 'thread', 32))).decode()}",
        f"Date: {format_datetime(sent.astimezone(UTC))}",
        f"Message-ID:{CRLF} <{host}{token(original, 'id', 28).upper()}@{host}.eurprd04.prod.outlook.com>",
        f"References: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
        f"Accept-Language: {'en-US' if language == 'en' else f'{language}-{language.upper()}, en-US'}",
        f"Content-Language: {language}",
        f"X-MS-Has-Attach: {'yes' if attached else ''}",
        "X-MS-TNEF-Correlator:",
        "x-ms-exchange-transport-forked: True",
    )
    return Part((*headers, *content.headers, "MIME-Version: 1.0"), content.body).octets()


def safe_link(url: str) -> str:
    """A page's address as Microsoft's Safe Links rewrites it."""
    return (
        f"https://eur01.safelinks.protection.outlook.com/?url={quote(url, safe='')}&data=05%7C02%7Canna%40riverside."
        "example%7C00000000000000000000000000000000%7C0%7C0%7C638993676000000000%7CUnknown%7C&sdata=AAAAAAAAAAAAAAAAA"
        "AAAAA%3D&reserved=0"
    )


# Apple Mail.


def apple_mac(raw: bytes, options: Options = Options()) -> bytes:
    """Apple Mail on macOS: everything in `blockquote type=cite`, the text quoted with `> `, the attachment inside the
    alternative between two HTML parts."""
    original, language = opened(raw), options.language
    separator, *labels = APPLE[language]
    soup = original.soup()
    _linked(soup)
    body = _body(soup)
    for tag in _tags(body):
        if not tag.get("class"):
            tag["class"] = ""
        if tag.get("style"):
            tag["style"] = _rgb(str(tag["style"]).replace(";", "; "))
    values = (original.from_line, original.subject, _apple_date(later(original, 0), language), original.to)
    font = "font-family: -webkit-system-font, Helvetica Neue, Helvetica, sans-serif;"
    block = "".join(
        f'<div style="margin-top: 0px; margin-right: 0px; margin-bottom: 0px; margin-left: 0px;" class="">'
        f'<span style="{font} '
        f'color:rgba(0, 0, 0, 1.0);" class=""><b class="">{label} </b></span><span style="{font}" class="">'
        f'{escape(value, quote=False)}<br class=""></span></div>'
        for label, value in zip(labels, values, strict=True)
    )
    head = '<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head>'
    style = "word-wrap: break-word; -webkit-nbsp-mode: space; line-break: after-white-space;"
    html = (
        f'{head}<body style="{style}" class="">{_note_html(options.note)}<br class=""><div><br class="">'
        '<blockquote type="cite" class="">'
        f'<div class="">{separator}</div><br class="Apple-interchange-newline">{block}<br class=""><div class="">'
        '<meta charset="utf-8" class=""><div style="caret-color: rgb(0, 0, 0); font-family: Helvetica; '
        "font-size: 15px; font-style: normal; font-variant-caps: normal; letter-spacing: normal; "
        'white-space: normal;" class="">'
        f"{_inner(body)}"
        '</div></div></blockquote></div><br class=""></body></html>'
    )
    footer = FOOTER[language] if options.footer else ""
    tail = f'{head}<body style="{style}" class=""><div class="">{footer}</div><br class=""></body></html>'
    intro = [f"{label} {value}" for label, value in zip(labels, values, strict=True)]
    lines = [
        *options.note.split("\n"),
        "",
        *quoted([separator, "", *intro, "", *text_of(body, TextStyle(cell=" \t"))]),
        "",
        *([footer] if footer else []),
    ]
    boundary = f"Apple-Mail=_{uuid(original, 'outer').upper()}"
    inside = f"Apple-Mail=_{uuid(original, 'inner').upper()}"
    text = leaf(
        "\n".join(lines),
        ("Content-Transfer-Encoding: quoted-printable", "Content-Type: text/plain;", "\tcharset=utf-8"),
        "utf-8",
        "quoted-printable",
    )
    html_headers = ("Content-Transfer-Encoding: quoted-printable", "Content-Type: text/html;", "\tcharset=utf-8")
    shown = leaf(html, html_headers, "utf-8", "quoted-printable")
    if options.attachments and original.attachments:
        attached = [
            Part(
                (
                    "Content-Disposition: attachment;",
                    f"\tfilename={item.name}",
                    f"Content-Type: {item.content_type};",
                    "\tx-unix-mode=0644;",
                    f'\tname="{item.name}"',
                    "Content-Transfer-Encoding: base64",
                ),
                folded_base64(item.octets),
            )
            for item in original.attachments
        ]
        ending = leaf(tail, ("Content-Transfer-Encoding: 7bit", *html_headers[1:]), "utf-8", "7bit")
        shown = multipart(
            ("Content-Type: multipart/mixed;", f'\tboundary="{inside}"'), inside, [shown, *attached, ending]
        )
    content = multipart(("Content-Type: multipart/alternative;", f'\tboundary="{boundary}"'), boundary, [text, shown])
    headers = (
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        *content.headers,
        "Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3826.200.121\\))",
        header("Subject", options.subject if options.subject is not None else f"Fwd: {original.subject}"),
        f"Message-Id: <{uuid(original, 'id').upper()}@riverside.example>",
        f"References: {original.message_id}",
        f"To: {INBOX}",
        f"Date: {format_datetime(later(original))}",
        "X-Mailer: Apple Mail (2.3826.200.121)",
    )
    return Part(headers, content.body).octets()


def _apple_date(day: datetime, language: str) -> str:
    month = MONTHS[language][day.month - 1]
    return {
        "en": f"{day.day} {month} {day.year} at {day:%H:%M:%S} CET",
        "de": f"{day.day}. {month} {day.year} um {day:%H:%M:%S} MEZ",
        "fr": f"{day.day} {month} {day.year} à {day:%H:%M:%S} UTC+1",
    }[language]


def apple_ios(raw: bytes, options: Options = Options()) -> bytes:
    """Apple Mail on an iPhone: the separator outside, headers and body in two quotations, a byte order mark between
    them, telephone numbers and dates linked by data detectors."""
    original, language = opened(raw), options.language
    separator, sender, subject, date, to = APPLE[language]
    soup = original.soup()
    _linked(soup)
    body = _body(soup)
    for text in body.find_all(string=re.compile(r"\+\d[\d ()-]{6,}\d")):
        found = re.search(r"\+\d[\d ()-]{6,}\d", str(text))
        if found and not text.find_parent("a"):
            link = soup.new_tag("a", attrs={"href": f"tel:{re.sub(r'[^+0-9]', '', found[0])}", "dir": "ltr"})
            link["x-apple-data-detectors"] = "true"
            link["x-apple-data-detectors-type"] = "telephone"
            link.string = found[0]
            text.replace_with(str(text)[: found.start()], link, str(text)[found.end() :])
    values = (
        (sender, original.from_line),
        (date, _apple_date(later(original, 0), language)),
        (to, original.to),
        (subject, original.subject),
    )
    labels = "<br>".join(f"<b>{label}</b> {escape(value, quote=False)}" for label, value in values)
    html = (
        '<html><head><meta http-equiv="content-type" content="text/html; charset=utf-8"></head><body dir="auto">'
        f'<div dir="ltr">{_note_html(options.note)}</div><div dir="ltr"><br>{IOS_SIGNATURE[language]}</div>'
        '<div dir="ltr"><br>'
        f'{separator}<br><br></div><blockquote type="cite"><div dir="ltr">{labels}<br><br></div></blockquote>'
        f'<blockquote type="cite"><div dir="ltr">\ufeff{_inner(body)}</div></blockquote></body></html>'
    )
    lines = [
        *options.note.split("\n"),
        "",
        IOS_SIGNATURE[language],
        "",
        separator,
        "",
        *quoted([*(f"{label} {value}" for label, value in values), ""]),
        *quoted(["\ufeff", *text_of(body, TextStyle())]),
    ]
    boundary = f"Apple-Mail-{uuid(original, 'ios').upper()}"
    parts = [
        leaf(
            "\n".join(lines),
            ("Content-Type: text/plain;", "\tcharset=utf-8", "Content-Transfer-Encoding: quoted-printable"),
            "utf-8",
            "quoted-printable",
        ),
        leaf(
            html,
            ("Content-Type: text/html;", "\tcharset=utf-8", "Content-Transfer-Encoding: base64"),
            "utf-8",
            "base64",
        ),
    ]
    kind = "alternative"
    if options.attachments and original.attachments:
        item, kind = original.attachments[0], "mixed"
        name = f"{boundary}-alternative"
        parts = [
            multipart(("Content-Type: multipart/alternative;", f"\tboundary={name}"), name, parts),
            Part(
                (
                    f"Content-Type: {item.content_type};",
                    f"\tname={item.name};",
                    "\tx-apple-part-url=" + uuid(original, "part").upper(),
                    "Content-Disposition: inline;",
                    f"\tfilename={item.name}",
                    "Content-Transfer-Encoding: base64",
                ),
                folded_base64(item.octets),
            ),
        ]
    content = multipart((f"Content-Type: multipart/{kind};", f"\tboundary={boundary}"), boundary, parts)
    headers = (
        *content.headers,
        "Content-Transfer-Encoding: 7bit",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        "Mime-Version: 1.0 (1.0)",
        f"Date: {format_datetime(later(original))}",
        header("Subject", options.subject if options.subject is not None else f"Fwd: {original.subject}"),
        f"Message-Id: <{uuid(original, 'id').upper()}@riverside.example>",
        f"References: {original.message_id}",
        f"To: {INBOX}",
        "X-Mailer: iPhone Mail (22B91)",
    )
    return Part(headers, content.body).octets()


# Thunderbird.


def thunderbird(raw: bytes, options: Options = Options()) -> bytes:
    """Thunderbird, inline: headers in a table, the original's own meta and style kept, source broken at 72 columns;
    text `format=flowed`, space-stuffed, 8bit, cells parted by tabs."""
    original, language = opened(raw), options.language
    separator, *labels = THUNDERBIRD[language]
    soup = original.soup()
    _linked(soup, **{"class": "moz-txt-link-abbreviated"})
    head = soup.head
    kept = "" if head is None else "".join(str(tag) for tag in _tags(head) if tag.name in {"meta", "style"})
    body = _body(soup)
    values = (original.subject, format_datetime(original.date), original.from_line, original.to)
    rows = "".join(
        f'<tr><th valign="BASELINE" align="RIGHT" nowrap="nowrap">{label}</th>'
        f"<td>{escape(value, quote=False)}</td></tr>"
        for label, value in zip(labels, values, strict=True)
    )
    style = body.get("style", "")
    footer = f'<div class="moz-signature">-- <br>{FOOTER[language]}</div>' if options.footer else ""
    html = (
        '<!DOCTYPE html>\n<html>\n  <head>\n\n    <meta http-equiv="content-type" content="text/html; charset=UTF-8">\n'
        f"  </head>\n  <body>\n    <p>{_note_html(options.note)}</p>\n    "
        f'<div class="moz-forward-container"><br>\n      <br>\n      {separator}\n      '
        f'<table class="moz-email-headers-table" cellspacing="0" cellpadding="0" border="0"><tbody>{rows}</tbody>'
        "</table>\n"
        f"      <br>\n      <br>\n      {kept}\n      "
        + _source_wrapped(f'<div style="{style}">{_inner(body)}</div>', 72, "      ")
        + f"\n    </div>{footer}\n  </body>\n</html>"
    )
    lines = [
        *options.note.split("\n"),
        "",
        "",
        separator,
        *(f"{label.rstrip()} \t{value}" for label, value in zip(labels, values, strict=True)),
        "",
        "",
        *text_of(body, TextStyle(cell=" \t", bold="*")),
        *(["", "-- ", FOOTER[language]] if options.footer else []),
    ]
    boundary, inside = (f"------------{token(original, salt, 24)}" for salt in ("mixed", "alternative"))
    text = leaf(
        "\n".join(flowed(lines)),
        ("Content-Type: text/plain; charset=UTF-8; format=flowed", "Content-Transfer-Encoding: 8bit"),
        "utf-8",
        "8bit",
    )
    shown = leaf(html, ("Content-Type: text/html; charset=UTF-8", "Content-Transfer-Encoding: 8bit"), "utf-8", "8bit")
    content = multipart((f'Content-Type: multipart/alternative;{CRLF} boundary="{inside}"',), inside, [text, shown])
    preamble = "This is a multi-part message in MIME format."
    if options.attachments and original.attachments:
        attached = [
            Part(
                (
                    f'Content-Type: {item.content_type}; name="{item.name}"',
                    f'Content-Disposition: attachment; filename="{item.name}"',
                    "Content-Transfer-Encoding: base64",
                ),
                folded_base64(item.octets, 72),
            )
            for item in original.attachments
        ]
        content = multipart(
            (f'Content-Type: multipart/mixed; boundary="{boundary}"',), boundary, [content, *attached], preamble
        )
    headers = (
        *content.headers,
        f"Message-ID: <{uuid(original, 'id')}@riverside.example>",
        f"Date: {format_datetime(later(original))}",
        "MIME-Version: 1.0",
        "User-Agent: Mozilla Thunderbird",
        f"Content-Language: {'en-US' if language == 'en' else language}",
        header("Subject", options.subject if options.subject is not None else f"Fwd: {original.subject}"),
        f"References: {original.message_id}",
        f"To: {INBOX}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        "Organization: Riverside",
        f"X-Forwarded-Message-Id: {original.message_id}",
        f"In-Reply-To: {original.message_id}",
    )
    return Part(headers, content.body).octets()


def flowed(lines: list[str], width: int = 72, *, delsp: bool = False, stuffed: bool = True) -> list[str]:
    """`format=flowed` (RFC 3676): lines broken behind a blank, space-stuffed where they begin with one, `>` or `From `.
    With `delsp` the break's own blank is added, so words may be cut anywhere."""
    flown = []
    for line in lines:
        if delsp:
            pieces = [line[place : place + width] for place in range(0, len(line), width)] or [""]
            broken = [f"{piece} " for piece in pieces[:-1]] + [pieces[-1].rstrip(" ")]
        else:
            line = line if line == "-- " else line.rstrip(" ")
            pieces = wrapped(line, width)
            broken = [f"{piece} " for piece in pieces[:-1]] + pieces[-1:]
        flown += [f" {piece}" if stuffed and piece.startswith((" ", ">", "From ")) else piece for piece in broken]
    return flown


# Text-only programs.


def mutt(raw: bytes, options: Options = Options(), *, quote_mark: str = "", encoding: str = "8bit") -> bytes:
    """Mutt: the text part between two lines of dashes, quoted only where `forward_quote` is set; nothing else stays."""
    original, language = opened(raw), options.language
    first, last = MUTT[language]
    lines = [
        f"Date: {format_datetime(original.date)}",
        f"From: {original.from_line}",
        f"To: {original.to}",
        f"Subject: {original.subject}",
        "",
        *original.lines(),
    ]
    body = [
        options.note,
        "",
        first.format(original.from_line),
        "",
        *(quoted(lines, quote_mark) if quote_mark else lines),
    ]
    body += ["", last, *(["", "-- ", FOOTER[language]] if options.footer else [])]
    headers = (
        f"Date: {format_datetime(later(original))}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"To: {INBOX}",
        header(
            "Subject", options.subject if options.subject is not None else f"[{original.sender}: {original.subject}]"
        ),
        f"Message-ID: <aSN{token(original, 'id', 12)}@riverside.example>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Disposition: inline",
        f"Content-Transfer-Encoding: {encoding}",
        "User-Agent: Mutt/2.2.13 (2024-03-09)",
    )
    return leaf("\n".join(body), headers, "utf-8", encoding).octets()


def rewrapped(
    raw: bytes, options: Options = Options(), *, charset: str = "utf-8", width: int = 66, manner: str = "filled"
) -> bytes:
    """Claws Mail and its like: the text part quoted and wrapped anew. `manner`: `filled` fills every paragraph, so that
    one field runs into the next; `combed` cuts lines behind the quote mark and leaves short orphans without one;
    `joined` fills paragraphs with the marks of an earlier quotation inside (`fmt` without -p)."""
    original, language = opened(raw), options.language
    intro = ATTRIBUTION[language].format(format_datetime(original.date), original.from_line)
    body = [options.note, "", intro, "", *_REWRAPPED[manner](original.lines(), width)]
    body += ["", "-- ", FOOTER[language]] if options.footer else []
    encoding = "quoted-printable" if charset == "utf-8" else "8bit"
    headers = (
        f"Date: {format_datetime(later(original))}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"To: {INBOX}",
        header("Subject", options.subject if options.subject is not None else f"Fw: {original.subject}", charset),
        f"Message-ID: <{original.date:%Y%m%d%H%M%S}.{token(original, 'id', 8)}@riverside.example>",
        f"References: {original.message_id}",
        "X-Mailer: Claws Mail 4.3.0 (GTK 3.24.43; x86_64-pc-linux-gnu)",
        "MIME-Version: 1.0",
        f"Content-Type: text/plain; charset={charset.upper()}",
        f"Content-Transfer-Encoding: {encoding}",
    )
    return leaf("\n".join(body), headers, charset, encoding).octets()


def _filled(lines: list[str], width: int) -> list[str]:
    """Paragraphs filled, each with the quote marks it has."""
    filled: list[str] = []
    paragraph: list[str] = []
    mark = ""
    for line in [*lines, ""]:
        depth = re.match(r"(?:> ?)*", line)
        marked = depth[0].strip() if depth else ""
        content = line[len(depth[0]) :] if depth else line
        if paragraph and (marked != mark or not content.strip()):
            prefix = f"{mark} " if mark else ""
            filled += [prefix + piece for piece in wrapped(" ".join(" ".join(paragraph).split()), width)]
            paragraph = []
        mark = marked
        if content.strip():
            paragraph.append(content)
        else:
            filled.append(mark)
    return quoted(filled)


def _combed(lines: list[str], width: int) -> list[str]:
    return [piece for line in quoted(lines) for piece in wrapped(line, width)]


def _joined(lines: list[str], width: int) -> list[str]:
    paragraphs = re.split(r"\n(?:[> ]*\n)+", "\n".join(lines))
    return quoted([piece for text in paragraphs for piece in [*wrapped(" ".join(text.split()), width), ""]])


_REWRAPPED: dict[str, Callable[[list[str], int], list[str]]] = {
    "filled": _filled,
    "combed": _combed,
    "joined": _joined,
}


def flowed_text(raw: bytes, options: Options = Options(), *, delsp: bool = False) -> bytes:
    """A program that sends `format=flowed` text only, quoted as RFC 3676 has it; with `delsp` words are cut."""
    original, language = opened(raw), options.language
    separator, *labels = THUNDERBIRD[language]
    values = (original.subject, format_datetime(original.date), original.from_line, original.to)
    intro = [f"{label}{value}" for label, value in zip(labels, values, strict=True)]
    # Behind the quote mark stands the one blank that is the stuffing.
    broken = [
        f"> {line}" if line else ">"
        for line in flowed(original.lines(), 40 if delsp else 68, delsp=delsp, stuffed=False)
    ]
    body = [*flowed([options.note], delsp=delsp), "", separator, *flowed(intro, delsp=delsp), "", *broken]
    body += ["", "-- ", *flowed([FOOTER[language]], delsp=delsp)] if options.footer else []
    headers = (
        f"Message-ID: <{uuid(original, 'flowed')}@riverside.example>",
        f"Date: {format_datetime(later(original))}",
        "MIME-Version: 1.0",
        "User-Agent: Trojitá/0.7; Qt/5.15.3; xcb; Linux",
        header("Subject", options.subject if options.subject is not None else f"Fwd: {original.subject}"),
        f"To: {INBOX}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"Content-Type: text/plain; charset=utf-8; format=flowed{'; delsp=yes' if delsp else ''}",
        "Content-Transfer-Encoding: 8bit",
    )
    return leaf("\n".join(body), headers, "utf-8", "8bit").octets()


# Forwarded as an attachment.

RFC822: dict[str, tuple[str, ...]] = {
    "gmail": (
        'Content-Type: message/rfc822; name="{name}.eml"',
        'Content-Disposition: attachment; filename="{name}.eml"',
        "X-Attachment-Id: f_mie0abcd0",
    ),
    "thunderbird": (
        'Content-Type: message/rfc822; charset=UTF-8; name="{name}.eml"',
        'Content-Disposition: attachment; filename="{name}.eml"',
        "Content-Transfer-Encoding: 7bit",
    ),
    "exchange": ("Content-Type: message/rfc822", 'Content-Disposition: attachment;\r\n\tcreation-date="{date}"'),
    "octets": (
        'Content-Type: application/octet-stream; name="{name}.eml"',
        "Content-Transfer-Encoding: base64",
        'Content-Disposition: attachment; filename="{name}.eml"',
    ),
    # RFC 2046, 5.2.1 forbids it; some programs do it nevertheless.
    "base64": (
        'Content-Type: message/rfc822; name="{name}.eml"',
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: inline",
    ),
}


def as_attachment(raw: bytes, options: Options = Options(), *, program: str = "thunderbird") -> bytes:
    """The original inside, octet by octet, labelled as the programs in `RFC822` label it."""
    original = opened(raw)
    name = re.sub(r"[^A-Za-z0-9]+", " ", original.subject).strip()[:60]
    lines = tuple(line.format(name=name, date=format_datetime(original.date)) for line in RFC822[program])
    coded = any(line.endswith("base64") for line in lines)
    boundary = f"------------{token(original, program, 24)}"
    note = leaf(
        options.note or "\n",
        ("Content-Type: text/plain; charset=UTF-8; format=flowed", "Content-Transfer-Encoding: 8bit"),
        "utf-8",
        "8bit",
    )
    content = multipart(
        (f'Content-Type: multipart/mixed; boundary="{boundary}"',),
        boundary,
        [note, Part(lines, folded_base64(raw) if coded else raw)],
        "This is a multi-part message in MIME format.",
    )
    headers = (
        *content.headers,
        f"Message-ID: <{uuid(original, program)}@riverside.example>",
        f"Date: {format_datetime(later(original))}",
        "MIME-Version: 1.0",
        f"To: {INBOX}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        header("Subject", options.subject if options.subject is not None else f"Fwd: {original.subject}"),
    )
    return Part(headers, content.body).octets()


def filtered(raw: bytes, options: Options = Options()) -> bytes:
    """A forwarding rule (Gmail filter): the mail as it was, with headers put in front."""
    original = opened(raw)
    sent = format_datetime(later(original, 0))
    front = (
        f"Delivered-To: {INBOX}",
        f"Received: by 2002:a05:6402:1a2f:b0:5d0:9c1e:3b1a with SMTP id {token(original, 'id', 16)};",
        f"        {sent}",
        f"X-Forwarded-Encrypted: i=2; {token(original, 'sealed', 60)}",
        f"X-Forwarded-To: {INBOX}",
        f"X-Forwarded-For: {original.to} {INBOX}",
        f"Return-Path: <{original.to.replace('@', '+caf_=orders=in.ion.example@')}>",
    )
    return CRLF.join(front).encode() + b"\r\n" + raw


def together(first: bytes, second: bytes, options: Options = Options()) -> bytes:
    """Two mails selected and forwarded at once, as Thunderbird does it: each attached."""
    one, two = opened(first), opened(second)
    boundary = f"------------{token(one, 'two', 24)}"
    parts = [
        Part(tuple(line.format(name=f"order {place}") for line in RFC822["thunderbird"]), raw)
        for place, raw in enumerate((first, second), 1)
    ]
    note = leaf(
        options.note, ("Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 8bit"), "utf-8", "8bit"
    )
    content = multipart((f'Content-Type: multipart/mixed; boundary="{boundary}"',), boundary, [note, *parts])
    headers = (
        *content.headers,
        f"Message-ID: <{uuid(two, 'two')}@riverside.example>",
        f"Date: {format_datetime(later(two))}",
        "MIME-Version: 1.0",
        "User-Agent: Mozilla Thunderbird",
        f"To: {INBOX}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        "Subject: Fwd: 2 orders",
    )
    return Part(headers, content.body).octets()


def pasted(first: bytes, second: bytes, forward: Callable[[bytes, Options], bytes], options: Options) -> bytes:
    """Two notifications below one another in one mail: the bodies of the second added to the first, then forwarded."""
    one, two = opened(first), opened(second)
    outer = f"{token(one, 'pasted', 20)}"
    html = one.soup()
    for child in list(_body(two.soup()).children):
        _body(html).append(child.extract())
    parts = [
        leaf(
            "\n".join([*one.lines(), "", *two.lines()]),
            ("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"),
            "utf-8",
            "8bit",
        ),
        leaf(str(html), ("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: 8bit"), "utf-8", "8bit"),
    ]
    content = multipart((f'Content-Type: multipart/alternative; boundary="{outer}"',), outer, parts)
    headers = (
        f"From: {one.from_line}",
        f"To: {one.to}",
        f"Date: {format_datetime(one.date)}",
        header("Subject", one.subject),
        f"Message-ID: {one.message_id}",
        "MIME-Version: 1.0",
    )
    return forward(Part(headers + content.headers, content.body).octets(), replace(options, attachments=False))
