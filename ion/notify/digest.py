"""A day's notifications in one mail: a list for people, and each notification whole, as an attached message.

The messages are attached as they would have been sent (`message/rfc822`, RFC 2046, 5.2.1), so each order in a digest is
read exactly as if it had come alone, forwarded or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import default
from email.utils import format_datetime
from hashlib import sha256
from html import escape

from ion.contract import Language
from ion.notify.render import POLICY, Envelope, mail_address

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
    message = EmailMessage(policy=POLICY)
    message["Subject"] = f"{heading} · {', '.join(order_numbers[:_NAMED])}{more}"
    message["From"] = sender
    message["To"] = [mail_address(to) for to in envelope.recipients]
    if envelope.reply_to:
        message["Reply-To"] = mail_address(envelope.reply_to)
    message["Date"] = format_datetime(issued_at)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's out-of-office answers this
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    keep = language.mail["keep_as_is"]
    message.set_content("\n".join([*(f"- {subject}" for subject in subjects), "", keep, ""]))
    listed = "\n".join(f"<li>{escape(subject)}</li>" for subject in subjects)
    body = f"<body>\n<ul>\n{listed}\n</ul>\n<p>{escape(keep)}</p>\n</body>"
    head = f'<html lang="{language.tag}" dir="{language.direction}">\n<head><meta charset="utf-8"></head>'
    message.add_alternative(f"<!doctype html>\n{head}\n{body}\n</html>\n", subtype="html")
    message["Content-Language"] = language.tag
    return Digest(_with_messages(message, mails, digest), message_id)


def _with_messages(message: EmailMessage, mails: Sequence[bytes], digest: str) -> bytes:
    """The mail with the others attached, octets as they are: the library would write them anew."""
    head, _, body = message.as_bytes().partition(b"\r\n\r\n")
    fields = head.split(b"\r\n")
    own = next(at for at, line in enumerate(fields) if line.lower().startswith(b"content-type:"))
    end = own + 1
    while end < len(fields) and fields[end][:1] in (b" ", b"\t"):
        end += 1
    inner = b"\r\n".join(fields[own:end])
    boundary = b"=_ion_" + digest.encode()  # of the mails' own digest, so it cannot stand in one of them
    outer = [*fields[:own], b'Content-Type: multipart/mixed; boundary="' + boundary + b'"', *fields[end:]]
    parts = [inner + b"\r\n\r\n" + body]
    parts += [b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + raw for raw in mails]
    octets = b"\r\n".join(outer) + b"\r\n\r\n"
    for part in parts:
        octets += b"--" + boundary + b"\r\n" + part + (b"" if part.endswith(b"\r\n") else b"\r\n")
    return octets + b"--" + boundary + b"--\r\n"
