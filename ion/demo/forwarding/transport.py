"""Ways on which a mail arrives without anybody writing a new one around it: filters, redirection, lists, signatures."""

import re
from email.utils import format_datetime

from ion.demo.forwarding.message import (
    FORWARDER,
    FORWARDER_ADDRESS,
    INBOX,
    Part,
    header,
    later,
    multipart,
    opened,
    token,
    uuid,
)
from ion.demo.forwarding.mime import CRLF, Entity, folded_base64
from ion.demo.forwarding.options import STANDARD, Options

LIST_TAG = "[orders]"
_UNDERSCORES = "_" * 47


def filtered(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A forwarding rule (Gmail filter): the mail as it was, with headers put in front."""
    original = opened(raw)
    front = (
        f"Delivered-To: {INBOX}",
        f"Received: by 2002:a05:6402:1a2f:b0:5d0:9c1e:3b1a with SMTP id {token(original, 'id', 16)};",
        f"        {format_datetime(later(original, 0))}",
        f"X-Forwarded-Encrypted: i=2; {token(original, 'sealed', 60)}",
        f"X-Forwarded-To: {INBOX}",
        f"X-Forwarded-For: {original.to} {INBOX}",
        f"Return-Path: <{original.to.replace('@', '+caf_=orders=in.ion.example@')}>",
    )
    return CRLF.join(front).encode() + b"\r\n" + original.raw


def redirected(raw: bytes, _options: Options = STANDARD) -> bytes:
    """Redirected (RFC 5322, 3.6.6; "bounce" in Mutt): the mail as it was behind a block of Resent- headers."""
    original = opened(raw)
    front = (
        f"Resent-From: {FORWARDER} <{FORWARDER_ADDRESS}>",
        f"Resent-To: {INBOX}",
        f"Resent-Date: {format_datetime(later(original))}",
        f"Resent-Message-ID: <{uuid(original, 'resent')}@riverside.example>",
        "Resent-User-Agent: KMail/5.24.5",
    )
    return CRLF.join(front).encode() + b"\r\n" + original.raw


def mailing_list(raw: bytes, _options: Options = STANDARD) -> bytes:
    """A list as Mailman 2 runs it: a tag before the subject, List- headers, and a footer, added to the text of a plain
    mail and put behind any other as a part of its own."""
    original = opened(raw)
    footer = f"{_UNDERSCORES}\r\norders mailing list\r\norders@lists.riverside.example\r\nhttps://lists.riverside.example/orders\r\n"
    entity = Entity.parsed(original.raw)
    front = [
        f"List-Id: <orders.lists.riverside.example>{CRLF}List-Post: <mailto:orders@lists.riverside.example>",
        f"Sender: orders-bounces@lists.riverside.example{CRLF}Precedence: list",
    ]
    subject = header("Subject", f"{LIST_TAG} {original.subject}")
    head = re.sub(rb"(?im)^subject:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n", b"", entity.head + b"\r\n")
    if entity.content_type == "text/plain":
        content = Entity(head.rstrip(b"\r\n"), entity.body, entity.implied)
        content = content.with_text(f"{content.text.rstrip()}\n{footer.replace(CRLF, chr(10))}")
        return CRLF.join([*front, subject]).encode() + b"\r\n" + content.raw()
    kept, described = _parted(head)
    boundary = f"==============={int(token(original, 'list', 15), 16):019d}=="
    parts = [
        Part(tuple(described), entity.body),
        Part(
            (
                'Content-Type: text/plain; charset="us-ascii"',
                "MIME-Version: 1.0",
                "Content-Transfer-Encoding: 7bit",
                "Content-Disposition: inline",
            ),
            footer.encode(),
        ),
    ]
    content_type = f'Content-Type: multipart/mixed; boundary="{boundary}"'
    whole = multipart((*front, *kept, subject, content_type), boundary, parts)
    return whole.octets()


def _parted(head: bytes) -> tuple[list[str], list[str]]:
    """Header lines of the message, and those that describe its content."""
    fields = re.findall(r"(?m)^[^\r\n]+(?:\r\n[ \t][^\r\n]*)*", head.decode("utf-8", "surrogateescape"))
    described = [field for field in fields if field.lower().startswith("content-")]
    return [field for field in fields if field not in described], described


def signed(raw: bytes, _options: Options = STANDARD) -> bytes:
    """Signed on its way (RFC 8551, multipart/signed), as by a company's gateway: all content in the first part."""
    original = opened(raw)
    entity = Entity.parsed(original.raw)
    kept, described = _parted(entity.head + b"\r\n")
    boundary = f"----{token(original, 'signed', 32).upper()}"
    signature = Part(
        (
            'Content-Type: application/pkcs7-signature; name="smime.p7s"',
            "Content-Transfer-Encoding: base64",
            'Content-Disposition: attachment; filename="smime.p7s"',
        ),
        folded_base64(bytes.fromhex(token(original, "signature", 64)) * 40),
    )
    content_type = (
        'Content-Type: multipart/signed; protocol="application/pkcs7-signature";',
        f' micalg="sha-256"; boundary="{boundary}"',
    )
    parts = [Part(tuple(described) or ("Content-Type: text/plain",), entity.body), signature]
    whole = multipart((*kept, *content_type), boundary, parts, "This is an S/MIME signed message")
    return whole.octets()
