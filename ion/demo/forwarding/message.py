"""The mail to be forwarded (`opened`), and the message a client makes of it (`assembled`), built header by header.

Order, folding, boundaries and encodings are each client's own: they stand in its `Assembly`. What a client draws at
random is taken from the octets of the original, so that the same mail is always forwarded alike.
"""

import re
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.header import Header, decode_header, make_header
from email.utils import format_datetime, parseaddr, parsedate_to_datetime
from hashlib import sha256
from html import escape

from lxml.html import HtmlElement

from ion.demo.forwarding.mime import CRLF, Entity, encoded, folded_base64
from ion.demo.forwarding.options import Options
from ion.demo.forwarding.page import body_of, parsed
from ion.demo.forwarding.text import TextStyle, text_of, unflowed

FORWARDER = "Anna Lindqvist"
FORWARDER_ADDRESS = "anna@riverside.example"
INBOX = "orders@in.ion.example"
ZONE = timezone(timedelta(hours=1))  # the forwarder's clock: Central European winter time
_UNDATED = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
# A signature is checked and not sent on.
_SIGNATURES = frozenset(("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"))


@dataclass(frozen=True)
class Attachment:
    content_type: str
    name: str
    octets: bytes


@dataclass(frozen=True)
class Original:
    """The mail to be forwarded, as a client shows it."""

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

    @property
    def seen(self) -> datetime:
        """The time of the original on the forwarder's clock."""
        return self.date.astimezone(ZONE)

    def page(self) -> HtmlElement:
        """A fresh tree of the HTML, or of the text made into HTML where there is none."""
        return parsed(self.html if self.html is not None else _page_of_text(self.text or ""))

    def lines(self) -> list[str]:
        """The lines of the text part, or of the text rebuilt from HTML."""
        if self.text is not None:
            return self.text.splitlines()
        return text_of(body_of(self.page()), TextStyle())


def opened(raw: bytes) -> Original:
    """The mail as a client shows it."""
    entity = Entity.parsed(raw)
    headers = entity.headers
    name, address = parseaddr(_readable(headers.get("From", "")))
    shown = _shown(entity)
    return Original(
        entity.raw(),
        " ".join(_readable(headers.get("Subject", "")).split()),
        name or address,
        address,
        parseaddr(_readable(headers.get("To", "")))[1],
        _date(headers.get("Date", "")),
        str(headers.get("Message-ID", f"<{sha256(raw).hexdigest()[:24]}@unknown.example>")).strip(),
        shown.text,
        shown.html,
        tuple(shown.attachments),
    )


def _readable(value: object) -> str:
    try:
        return str(make_header(decode_header(str(value))))
    except (LookupError, UnicodeError, ValueError):
        return str(value)


def _date(value: object) -> datetime:
    try:
        date = parsedate_to_datetime(str(value))
    except (ValueError, TypeError, IndexError):
        return _UNDATED
    return date if date.tzinfo else date.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Shown:
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()


def _shown(entity: Entity) -> _Shown:
    if entity.is_multipart:
        parts = [_shown(child) for child in entity.children]
        return _best(parts) if entity.content_type == "multipart/alternative" else _one_after_another(parts)
    if entity.content_type in _SIGNATURES:
        return _Shown()
    if entity.is_attachment:
        name = entity.name or ("original.eml" if entity.content_type == "message/rfc822" else "attachment")
        return _Shown(attachments=(Attachment(entity.content_type, name, entity.octets),))
    if entity.content_type == "text/html":
        return _Shown(html=entity.text)
    flowing = str(entity.headers.get_param("format") or "").lower() == "flowed"
    delsp = str(entity.headers.get_param("delsp") or "").lower() == "yes"
    return _Shown(text=unflowed(entity.text, delsp=delsp) if flowing else entity.text)


def _best(parts: list[_Shown]) -> _Shown:
    """Of alternatives the last that a client can show, and the plain text beside it."""
    texts = [part.text for part in parts if part.text is not None]
    pages = [part.html for part in parts if part.html is not None]
    attachments = tuple(item for part in parts for item in part.attachments)
    return _Shown(texts[0] if texts else None, pages[-1] if pages else None, attachments)


def _one_after_another(parts: list[_Shown]) -> _Shown:
    """Parts that a client shows below one another, as text and as HTML."""
    bodies = [part for part in parts if part.text is not None or part.html is not None]
    text = html = None
    if bodies and all(part.text is not None for part in bodies):
        text = "\n".join(part.text or "" for part in bodies)
    if any(part.html is not None for part in bodies):
        pages = [_page_of_text(part.text or "") if part.html is None else part.html for part in bodies]
        html = pages[0] if len(pages) == 1 else _pages_joined(pages)
    return _Shown(text, html, tuple(item for part in parts for item in part.attachments))


def _pages_joined(pages: list[str]) -> str:
    first, *others = pages
    inside = "".join(re.sub(r"(?is)\A.*<body\b[^>]*>|</body>.*\Z", "", page) for page in others)
    end = first.lower().rfind("</body>")
    return first + inside if end < 0 else first[:end] + inside + first[end:]


def _page_of_text(text: str) -> str:
    """Text as a client turns it into HTML: breaks at line ends, runs of blanks kept by no-break spaces."""
    lines = [re.sub(r"^ | (?= )", "\u00a0", escape(line, quote=False)) for line in text.splitlines()]
    return f"<html><body>{'<br>'.join(lines)}</body></html>"


def typed(note: str) -> str:
    """A note as HTML."""
    return "<br>".join(escape(line, quote=False) for line in note.split("\n"))


# What a client draws at random or takes from its clock.


def token(original: Original, salt: str, length: int = 32) -> str:
    """Hexadecimal digits in place of random ones; the same for the same mail."""
    return sha256(salt.encode() + original.raw).hexdigest()[:length]


def uuid(original: Original, salt: str) -> str:
    digits = token(original, salt)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def later(original: Original, minutes: int = 11) -> datetime:
    """When the forward was sent, on the forwarder's clock."""
    return (original.date + timedelta(minutes=minutes)).astimezone(ZONE)


# Messages, built.


@dataclass(frozen=True)
class Part:
    """Header lines (folded where they are) and the octets below them."""

    headers: tuple[str, ...]
    body: bytes

    def octets(self) -> bytes:
        head = CRLF.join(self.headers).encode("utf-8", "surrogateescape") + b"\r\n" if self.headers else b""
        return head + b"\r\n" + self.body


def leaf(text: str, headers: tuple[str, ...], charset: str, encoding: str, lost: str = "strict") -> Part:
    """A text part. `encoding`: `quoted-printable`, `base64`, `8bit` or `7bit`; `lost`: what becomes of a character
    that the charset lacks (an error handler of Python's)."""
    return Part(headers, encoded(CRLF.join(text.splitlines()).encode(charset, lost) + b"\r\n", encoding))


def multipart(content_type: tuple[str, ...], boundary: str, parts: list[Part], preamble: str = "") -> Part:
    pieces = [f"--{boundary}\r\n".encode() + part.octets() + b"\r\n" for part in parts]
    head = f"{preamble}\r\n\r\n".encode() if preamble else b""
    return Part(content_type, head + b"".join(pieces) + f"--{boundary}--\r\n".encode())


def header(name: str, value: str, charset: str = "utf-8") -> str:
    """A header line, RFC 2047 words where it is not ASCII, folded."""
    value = re.sub(r"\s+", " ", value)
    if value.isascii():
        return CRLF.join(textwrap.wrap(f"{name}: {value}", 76, subsequent_indent=" ", break_on_hyphens=False))
    charset = charset if fits(value, charset) else "utf-8"
    return f"{name}: " + Header(value, charset, header_name=name).encode(linesep=CRLF)


def subject_line(original: Original, options: Options, prefix: str, charset: str = "utf-8") -> str:
    """The Subject header: the one typed, or the original's with the client's prefix."""
    return header("Subject", prefix + original.subject if options.subject is None else options.subject, charset)


def fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class Assembly:
    """How a client writes its parts.

    `text`, `html`, `alternative`, `mixed`, `attachment`: header lines with `{charset}`, `{encoding}`, `{boundary}`,
    `{type}`, `{name}`, `{size}`, `{date}`, `{id}`; `boundaries`: of the mixed and the alternative multipart;
    `encoding`, `html_encoding`: transfer encodings; `charset`, `html_charset`: and charsets; `lost`: see `leaf`;
    `preamble`: above the first boundary; `width`: of base64 lines.
    """

    boundaries: tuple[str, str]
    text: tuple[str, ...] = ("Content-Type: text/plain; charset={charset}", "Content-Transfer-Encoding: {encoding}")
    html: tuple[str, ...] = ("Content-Type: text/html; charset={charset}", "Content-Transfer-Encoding: {encoding}")
    alternative: tuple[str, ...] = ('Content-Type: multipart/alternative; boundary="{boundary}"',)
    mixed: tuple[str, ...] = ('Content-Type: multipart/mixed; boundary="{boundary}"',)
    attachment: tuple[str, ...] = (
        'Content-Type: {type}; name="{name}"',
        'Content-Disposition: attachment; filename="{name}"',
        "Content-Transfer-Encoding: base64",
    )
    encoding: str = "quoted-printable"
    html_encoding: str = ""
    charset: str = "utf-8"
    html_charset: str = ""
    lost: str = "strict"
    preamble: str = ""
    width: int = 76

    def text_part(self, text: str) -> Part:
        headers = _lines(self.text, charset=self.charset, encoding=self.encoding)
        return leaf(text, headers, self.charset, self.encoding, self.lost)

    def html_part(self, html: str) -> Part:
        charset, encoding = self.html_charset or self.charset, self.html_encoding or self.encoding
        return leaf(html, _lines(self.html, charset=charset, encoding=encoding), charset, encoding, "xmlcharrefreplace")

    def attached(self, original: Original, options: Options) -> list[Part]:
        """The attachments of the original where they are sent on."""
        if not options.attachments:
            return []
        return [self._attached(original, item) for item in original.attachments]

    def _attached(self, original: Original, item: Attachment) -> Part:
        values = {
            "type": item.content_type,
            "name": item.name if item.name.isascii() else Header(item.name, "utf-8", 10_000).encode(),
            "size": str(len(item.octets)),
            "date": format_datetime(original.date),
            "id": token(original, item.name, 11),
        }
        if item.content_type != "message/rfc822":
            return Part(_lines(self.attachment, **values), folded_base64(item.octets, self.width))
        # RFC 2046, 5.2.1: a message inside a message is never encoded.
        encoding = "7bit" if item.octets.isascii() else "8bit"
        lines = [line for line in self.attachment if "Transfer-Encoding" not in line]
        return Part((*_lines(tuple(lines), **values), f"Content-Transfer-Encoding: {encoding}"), item.octets)


def _lines(lines: tuple[str, ...], **values: str) -> tuple[str, ...]:
    return tuple(line.format(**values) for line in lines)


def assembled(original: Original, options: Options, manner: Assembly, lines: list[str], html: str | None) -> Part:
    """What a client sends: its text, its HTML or both as `options.parts` says, and the attachments behind them."""
    content = _body(original, options, manner, lines, html)
    attached = manner.attached(original, options)
    if not attached:
        return content
    outer = manner.boundaries[0]
    return multipart(_lines(manner.mixed, boundary=outer), outer, [content, *attached], manner.preamble)


def _body(original: Original, options: Options, manner: Assembly, lines: list[str], html: str | None) -> Part:
    if html is None or options.parts == "text":
        return manner.text_part("\n".join(lines))
    if options.parts == "html":
        return manner.html_part(html)
    inner = manner.boundaries[1]
    parts = [manner.text_part("\n".join(lines)), manner.html_part(html)]
    preamble = "" if options.attachments and original.attachments else manner.preamble
    return multipart(_lines(manner.alternative, boundary=inner), inner, parts, preamble)
