"""A day's notifications in one mail: a list for people, and each notification whole, as an attached message.

The messages are attached as they would have been sent (`message/rfc822`, RFC 2046, 5.2.1), so each order in a digest is
read exactly as if it had come alone, forwarded or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.parser import BytesHeaderParser
from email.policy import default
from hashlib import sha256
from html import escape

from ion.contract import Language
from ion.notify import mime
from ion.notify.render import Envelope, mail_address, mail_header

_NAMED = 3  # order numbers in the subject; a subject is cut on a phone


@dataclass(frozen=True)
class Digest:
    """A finished digest. `raw`: its octets, CRLF lines; `message_id` with angle brackets."""

    raw: bytes
    message_id: str


def compose_digest(
    mails: Sequence[bytes], order_numbers: Sequence[str], envelope: Envelope, language: Language, issued_at: datetime
) -> Digest:
    """The digest of these mails (octets, CRLF lines), listed by their subjects. Raises SettingError for an address that
    is none."""
    heading = language.heading("order")
    more = f" (+{len(order_numbers) - _NAMED})" if len(order_numbers) > _NAMED else ""
    subjects = [str(BytesHeaderParser(policy=default).parsebytes(raw)["Subject"]) for raw in mails]
    digest = sha256(b"ION digest id\n" + b"\n".join(sha256(raw).digest() for raw in mails)).hexdigest()[:32]
    sender = mail_address(envelope.sender)
    message_id = f"<ion.{digest}@{sender.domain or 'localhost'}>"
    keep = language.mail["keep_as_is"]
    listed = "\n".join(f"<li>{escape(subject)}</li>" for subject in subjects)
    body = f"<body>\n<ul>\n{listed}\n</ul>\n<p>{escape(keep)}</p>\n</body>"
    head = f'<html lang="{language.tag}" dir="{language.direction}">\n<head><meta charset="utf-8"></head>'
    text = "\n".join([*(f"- {subject}" for subject in subjects), "", keep, ""])
    shown = [mime.text_part("plain", text), mime.text_part("html", f"<!doctype html>\n{head}\n{body}\n</html>\n")]
    boundary = f"=_ion.{digest}"  # of the mails' own digest, so it cannot stand in one of them
    parts = [mime.multipart("alternative", shown, f"{boundary}.1"), *map(mime.message_part, mails)]
    subject = f"{heading} · {', '.join(order_numbers[:_NAMED])}{more}"
    header = mail_header(subject, envelope, message_id, issued_at, language)
    return Digest(header + mime.multipart("mixed", parts, boundary), message_id)
