"""Originals sent on whole, as attachments, and several mails in one."""

import re
from dataclasses import replace
from email.utils import format_datetime

from ion.demo.forwarding import page
from ion.demo.forwarding.message import (
    FORWARDER,
    FORWARDER_ADDRESS,
    INBOX,
    Original,
    Part,
    header,
    later,
    leaf,
    multipart,
    opened,
    subject_line,
    token,
    uuid,
)
from ion.demo.forwarding.mime import folded_base64
from ion.demo.forwarding.options import STANDARD, Hop, Options
from ion.demo.forwarding.words import words_of

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
    "apple": ("Content-Disposition: inline", "Content-Type: message/rfc822"),
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
_PREAMBLE = "This is a multi-part message in MIME format."
_TEXT = ("Content-Type: text/plain; charset=UTF-8; format=flowed", "Content-Transfer-Encoding: 8bit")


def as_attachment(raw: bytes, options: Options = STANDARD, *, program: str = "thunderbird") -> bytes:
    """The original inside, octet by octet, labelled as the programs in `RFC822` label it."""
    original = opened(raw)
    name = re.sub(r"[^A-Za-z0-9]+", " ", original.subject).strip()[:60] or "original"
    inside = _enclosed(original, tuple(line.format(name=name, date=_date(original)) for line in RFC822[program]))
    boundary = f"------------{token(original, program, 24)}"
    mixed = (f'Content-Type: multipart/mixed; boundary="{boundary}"',)
    content = multipart(mixed, boundary, [_note(options), inside], _PREAMBLE)
    return _sent(original, options, content, program)


def _date(original: Original) -> str:
    return format_datetime(original.date)


def _enclosed(original: Original, lines: tuple[str, ...]) -> Part:
    if any(line.endswith("base64") for line in lines):
        return Part(lines, folded_base64(original.raw))
    if original.raw.isascii():
        return Part(lines, original.raw)
    kept = tuple(line for line in lines if not line.startswith("Content-Transfer-Encoding"))
    return Part((*kept, "Content-Transfer-Encoding: 8bit"), original.raw)


def _note(options: Options) -> Part:
    footer = words_of(options.language)("common", "footer") if options.footer else ""
    typed = [text for text in (options.note, options.note_below, footer) if text]
    return leaf("\n\n".join(typed) or "\n", _TEXT, "utf-8", "8bit")


def _sent(original: Original, options: Options, content: Part, salt: str) -> bytes:
    headers = (
        *content.headers,
        f"Message-ID: <{uuid(original, salt)}@riverside.example>",
        f"Date: {format_datetime(later(original))}",
        "MIME-Version: 1.0",
        f"To: {INBOX}",
        f"From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        subject_line(original, options, "Fwd: "),
    )
    return Part(headers, content.body).octets()


def digest(raw: bytes, options: Options = STANDARD) -> bytes:
    """A digest (RFC 2046, 5.1.5): the original in a multipart whose parts are messages without saying so."""
    original = opened(raw)
    outer, inner = (f"----------={token(original, f'digest {salt}', 20)}" for salt in ("outer", "inner"))
    inside = multipart((f'Content-Type: multipart/digest; boundary="{inner}"',), inner, [_enclosed(original, ())])
    mixed = (f'Content-Type: multipart/mixed; boundary="{outer}"',)
    return _sent(original, options, multipart(mixed, outer, [_note(options), inside]), "digest")


def nested(raw: bytes, options: Options = STANDARD) -> bytes:
    """The original as the whole content: a message whose content type is message/rfc822."""
    original = opened(raw)
    return _sent(original, options, _enclosed(original, ("Content-Type: message/rfc822",)), "nested")


def together(first: bytes, second: bytes, options: Options = STANDARD) -> bytes:
    """Two mails selected and forwarded at once, as Thunderbird does it: each attached."""
    one, two = opened(first), opened(second)
    boundary = f"------------{token(one, 'two', 24)}"
    parts = [
        _enclosed(original, tuple(line.format(name=f"order {place}") for line in RFC822["thunderbird"]))
        for place, original in enumerate((one, two), 1)
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


def pasted(first: bytes, second: bytes, forward: Hop, options: Options = STANDARD) -> bytes:
    """Two mails below one another in one: the bodies of the second added to the first, then forwarded."""
    one, two = opened(first), opened(second)
    outer = token(one, "pasted", 20)
    root = one.page()
    body, other = page.body_of(root), page.body_of(two.page())
    html = f"<html><body>{page.inner(body)}{page.inner(other)}</body></html>"
    eight_bit = ("Content-Transfer-Encoding: 8bit",)
    text = "\n".join([*one.lines(), "", *two.lines()])
    parts = [
        leaf(text, ("Content-Type: text/plain; charset=utf-8", *eight_bit), "utf-8", "8bit"),
        leaf(html, ("Content-Type: text/html; charset=utf-8", *eight_bit), "utf-8", "8bit"),
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
