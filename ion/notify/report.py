"""The mail that brings a published file to staff, or says that there was nothing new, in the merchant's language.

Nothing in it is read back: it has no seal and shows no order. The file is attached as it was published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import format_datetime
from hashlib import sha256
from re import sub
from typing import TYPE_CHECKING

from ion.config import Settings
from ion.contract import Language, language, print_value
from ion.contract.fields import Kind
from ion.notify import mime
from ion.notify.render import AUTOMATIC, mail_address
from ion.notify.sending import finished, templates_in

if TYPE_CHECKING:
    from ion.store import Merchant, NewMail

ATTACHED_BYTES = 15_000_000  # 20 MB as a mail, which most servers take; a larger file is told of and not attached


@dataclass(frozen=True)
class AttachedFile:
    """A published file to be sent. `kind`: its media type, without parameters; `order_count`: orders in it."""

    name: str
    kind: str
    octets: bytes
    order_count: int


def report_mail(
    merchant: "Merchant",
    address: str,
    settings: Settings,
    business_date: date,
    *,
    left_out: Mapping[str, int],
    unentered: int = 0,
    file: AttachedFile | None = None,
    mark: str = "day",
) -> "NewMail":
    """The report of one day for one address: of a file, or, without one, that there are no new orders.

    `left_out`: how many orders are not in it, by reason, as `Batches.left_out` counts them. `unentered`: how many wait
    to be entered in the shop. `mark`: begins the
    Message-ID, letters, digits and hyphens. Raises SettingError for an address that is none, RenderError where an own
    template is wrong.
    """
    known = language(merchant.locale or settings.locale)
    words, issued_at = known.report, datetime.now(UTC)
    attached = file is not None and len(file.octets) <= ATTACHED_BYTES
    subject = words["subject"].format(date=business_date.isoformat())
    context = {
        "language": known,
        "subject": subject,
        "words": words,
        "said": words["nothing" if file is None else "attached" if attached else "too_large"],
        "facts": [*_facts(file, business_date, known), *_unentered(unentered, known)],
        "left_out": _left_out(left_out, known),
    }
    templates = templates_in(settings.templates_dir)
    sender = mail_address(merchant.sender or settings.sender)
    reply_to = merchant.reply_to or settings.reply_to
    told = "\n".join((mark, address, issued_at.isoformat(), file.name if file else "")).encode()
    message_id = f"<ion.{mark}.{sha256(told).hexdigest()[:32]}@{sender.domain or 'localhost'}>"
    boundary = f"=_{message_id[1:].partition('@')[0]}"
    shown = [
        mime.text_part("plain", templates.text(context, "report.txt.j2")),
        mime.text_part("html", templates.html(context, "report.html.j2")),
    ]
    fields = [
        mime.field("Subject", subject),
        mime.address_field("From", [sender]),
        mime.address_field("To", [mail_address(address)]),
        mime.address_field("Reply-To", [mail_address(reply_to)]) if reply_to else b"",
        mime.field("Date", format_datetime(issued_at)),
        f"Message-ID: {message_id}\r\n".encode("ascii"),
        *AUTOMATIC,
        mime.field("Content-Language", known.tag),
    ]
    body = mime.multipart("alternative", shown, f"{boundary}.1")
    if file is not None and attached:
        name = sub(r"[^A-Za-z0-9._-]+", "-", file.name).strip("-.") or "orders"
        body = mime.multipart("mixed", [body, mime.file_part(file.kind, name, file.octets)], boundary)
    return finished(b"".join(fields) + body, message_id, merchant, settings, gathered=False)


def _unentered(number: int, known: Language) -> list[tuple[str, str]]:
    return [(known.alerts["unentered"], print_value(Kind.NUMBER, str(number), known))] if number else []


def _facts(file: AttachedFile | None, business_date: date, known: Language) -> list[tuple[str, str]]:
    if file is None:
        return []
    words = known.report
    return [
        (words["file"], file.name),
        (words["date"], business_date.isoformat()),
        (words["orders"], print_value(Kind.NUMBER, str(file.order_count), known)),
    ]


def _left_out(counts: Mapping[str, int], known: Language) -> list[tuple[str, str]]:
    """The reasons in words, those that are fields of an order as they are labelled there."""
    labels = {
        "test": known.labels["order"]["test"],
        "encrypted": known.labels["order"]["personal_data_encrypted"],
        "suppressed": known.labels["order"]["personal_data_suppressed"],
        **known.report,
    }
    return [
        (labels.get(reason, reason), print_value(Kind.NUMBER, str(number), known)) for reason, number in counts.items()
    ]
