"""Ways a merchant's mail program forwards a notification, as far as the demo needs them.

Each takes a finished mail (octets, CRLF lines) and gives the mail that arrives after somebody pressed Forward. They
imitate what is known of the programs: what becomes of the HTML, of the text part, of the attachment, and what is
written around them.
"""

import email
import email.policy
import re
import textwrap
from collections.abc import Callable
from email.message import EmailMessage

from ion.reading.streams import flatten

SENDER = "Merchant <orders@shop.example>"


def direct(raw: bytes) -> bytes:
    """Not forwarded at all, or by a filter that leaves the mail as it is."""
    return raw


def as_attachment(raw: bytes) -> bytes:
    """Forwarded as attachment: the original is inside, octet by octet."""
    original = _read(raw)
    message = _forward(original, "Fwd: ")
    message.set_content("Please enter this order.\n")
    message.add_attachment(original)
    return message.as_bytes()


def inline_html(raw: bytes) -> bytes:
    """A webmail program: HTML in a quotation block, the text part rebuilt from it, no attachment."""
    original = _read(raw)
    html = _body(original, "html")
    inner = re.sub(r"(?is)<(head|title|style)\b.*?</\1>|<!doctype[^>]*>|</?(html|body)\b[^>]*>", "", html)
    intro = [
        "---------- Forwarded message ---------",
        f"From: {original['From']}",
        f"Date: {original['Date']}",
        f"Subject: {original['Subject']}",
        f"To: {original['To']}",
    ]
    message = _forward(original, "Fwd: ")
    lines = [line.strip() for line in flatten(html).splitlines()]
    text = "\n\n".join(
        textwrap.fill(line, 76, break_long_words=False, break_on_hyphens=False) for line in lines if line
    )
    message.set_content("\n".join(intro) + "\n\n\n" + text + "\n")
    head = "<br>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in intro)
    message.add_alternative(
        f'<div dir="ltr"><br><div class="gmail_quote"><div dir="ltr">{head}<br></div><br><u></u>{inner}</div></div>',
        subtype="html",
    )
    return message.as_bytes()


def inline_text(raw: bytes) -> bytes:
    """A text-only program: every line quoted, long ones wrapped again, no HTML, no attachment."""
    original = _read(raw)
    message = _forward(original, "Fw: ")
    quoted = [piece for line in _body(original, "plain").splitlines() for piece in _filled(line, 68).split("\n")]
    intro = f"On {original['Date']}, {original['From']} wrote:\n"
    message.set_content("For the shop, please.\n\n" + intro + "\n".join(f"> {line}".rstrip() for line in quoted) + "\n")
    return message.as_bytes()


def word_html(raw: bytes) -> bytes:
    """A desktop program with Word as its editor: HTML rewritten into Word's paragraphs, the attachment kept."""
    original = _read(raw)
    html = _body(original, "html")
    inner = re.sub(r"(?is)<(head|title|style)\b.*?</\1>|<!doctype[^>]*>|</?(html|body)\b[^>]*>", "", html)
    inner = re.sub(r'(?i) (style|class|role|scope)="[^"]*"', "", inner)
    inner = re.sub(r"(?is)<(td|th)>(.*?)</\1>", r'<\1><p class="MsoNormal">\2<o:p></o:p></p></\1>', inner)
    labels = "".join(
        f"<b>{name}:</b> {str(original[name] or '').replace('<', '&lt;')}<br>"
        for name in ("From", "Sent", "To", "Subject")
    )
    message = _forward(original, "WG: ")
    message.set_content(
        f'<html><body><div class="WordSection1"><p class="MsoNormal">Bitte erfassen.<o:p></o:p></p>'
        f'<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p class="MsoNormal">{labels}</p></div>'
        f"{inner}</div></body></html>",
        subtype="html",
    )
    for part in original.iter_attachments():
        message.add_attachment(
            part.get_payload(decode=True), "application", "json", filename=part.get_filename() or "order.json"
        )
    return message.as_bytes()


def twice(raw: bytes) -> bytes:
    """Forwarded as text by one person and as HTML-free quotation by the next."""
    return inline_text(inline_text(raw))


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "direct": direct,
    "as attachment": as_attachment,
    "inline, webmail": inline_html,
    "inline, text only": inline_text,
    "inline, Word": word_html,
    "forwarded twice": twice,
}


def _filled(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.SMTP)


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        raise ValueError(f"the mail has no {kind} part to forward")
    return str(part.get_content())


def _forward(original: EmailMessage, prefix: str) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP.clone(cte_type="7bit"))
    message["Subject"] = prefix + str(original["Subject"])
    message["From"] = SENDER
    message["To"] = "orders@localhost"
    message["Date"] = original["Date"]
    if original["Message-ID"]:
        message["References"] = original["Message-ID"]
    return message
