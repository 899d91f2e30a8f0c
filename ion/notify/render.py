"""Render: an approved order becomes the mail that tells of it, proved readable before it leaves.

The mail is `multipart/mixed`: a `multipart/alternative` of plain text and HTML (RFC 2046), and the notification as a
JSON attachment. Each of the three carries the whole order under the same seal. `render` reads each of them back
through the function it is given and raises RenderError naming the field that did not return, so a template can
never break the contract silently.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.headerregistry import Address as MailAddress
from email.utils import format_datetime
from functools import reduce
from hashlib import sha256
from typing import Any, Protocol, cast

from ion.contract import Entry, Language, Notification, canonical_bytes, entries, print_value
from ion.contract.fields import Kind
from ion.contract.forms import guard
from ion.errors import RenderError, SettingError
from ion.notify import mime
from ion.notify.blocks import Blocks, PrintedChanges
from ion.notify.templates import Templates
from ion.order import EXACT, Order, canonical_text
from ion.seal import Key, make_imprint, make_seal

_HEADER_LENGTH = 180
_ADDRESS_FORM = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>|(?P<bare>[^<>]*)", re.DOTALL)
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)  # dot-atom of RFC 5322
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII | re.IGNORECASE)


class JudgedPart(Protocol):
    """What reading one mail back tells (see `ion.reading`)."""

    @property
    def grade(self) -> str: ...
    @property
    def order(self) -> Order | None: ...
    @property
    def notification(self) -> Notification | None: ...
    @property
    def problems(self) -> Sequence[Any]: ...
    @property
    def carrier(self) -> str | None: ...


class ReadBack(Protocol):
    """Reads a raw message with keys; `ion.reading.read_message` is one. `memory`: what readings of one mail share."""

    def __call__(
        self, raw: bytes, keys: Sequence[Key], memory: dict[Any, Any] | None = None, /
    ) -> Sequence[JudgedPart]: ...


@dataclass(frozen=True)
class Envelope:
    """Whom the mail is from and to: header addresses, each `name@host` or `Name <name@host>`."""

    sender: str
    recipients: tuple[str, ...]
    reply_to: str | None = None


@dataclass(frozen=True)
class Rendered:
    """A finished mail. `raw`: its octets, CRLF lines; `message_id` with angle brackets."""

    raw: bytes
    message_id: str
    notification: Notification
    order: Order
    seal: str


@dataclass(frozen=True)
class Prepared:
    """A notification before its bodies are made. `notification`: complete; `values`: what the seal covers; `context`:
    what the templates are given."""

    order: Order
    notification: Notification
    values: tuple[Entry, ...]
    seal: str
    subject: str
    context: dict[str, Any]


def prepare(
    order: Order, notification: Notification, *, key: Key, language: Language, previous: Order | None = None
) -> Prepared:
    """What the templates print of `order`; `previous` as in `render`. Raises RenderError where the notification has no
    time of issue, or `previous` is another order."""
    if previous and (previous.platform, previous.order_number) != (order.platform, order.order_number):
        told = f"{previous.platform} {previous.order_number!r}"
        raise RenderError(f"{told} is another order and no earlier state of this one", field="order.order_number")
    notification = notification.model_copy(update={"order_number": order.order_number, "key_id": key.key_id})
    if notification.issued_at is None:
        raise RenderError("a notification needs its time of issue", field="proof.issued_at")
    values = tuple(entries(notification, order))
    seal = make_seal(values, key)
    blocks = Blocks(values, order, seal, language)
    changes = PrintedChanges(previous, order, language) if previous else None
    subject = _subject(order, language, changed=bool(changes and changes.rows))
    context = {
        "order": order,
        "blocks": blocks,
        "changes": changes,
        "mail": _Phrases(language, order),
        "language": language,
        "subject": subject,
    }
    return Prepared(order, notification, values, seal, subject, context)


def render(
    order: Order,
    notification: Notification,
    *,
    key: Key,
    language: Language,
    envelope: Envelope,
    templates: Templates,
    read_back: ReadBack,
    previous: Order | None = None,
) -> Rendered:
    """The mail that tells of `order`, read back and proved.

    `notification` names the merchant, revision, sequence and time of issue (which becomes the Date header); its
    order number and key id are set here. `previous`: the order as it was told of last, where it was; the mail then says
    first what has changed since. Raises RenderError when a body does not come back exactly, SettingError for an
    address that is none.
    """
    prepared = prepare(order, notification, key=key, language=language, previous=previous)
    text = templates.text(prepared.context)
    html = templates.html(prepared.context)
    attachment = attachment_of(prepared, text, html, key=key, language=language)
    mail = compose(prepared, text, html, attachment, language=language, envelope=envelope)
    _prove(order, prepared.notification, text, html, key, read_back, mail.raw)
    return mail


def attachment_of(prepared: Prepared, text: str, html: str, *, key: Key, language: Language) -> bytes:
    """The attachment of a mail with these bodies: it vouches for both."""
    tag, seal = language.tag, prepared.seal
    shown = {kind: make_imprint(body, tag, seal, key) for kind, body in (("text", text), ("html", html))}
    return _attachment(prepared, {"language": tag, **shown})


def compose(
    prepared: Prepared, text: str, html: str, attachment: bytes, *, language: Language, envelope: Envelope
) -> Rendered:
    """The mail of these three, not read back. Raises SettingError for an address that is none."""
    message_id = _message_id(prepared.values, envelope)
    issued_at = cast(datetime, prepared.notification.issued_at)
    header = mail_header(prepared.subject, envelope, message_id, issued_at, language)
    body = _body(prepared.order, text, html, attachment, _boundary(message_id))
    return Rendered(header + body, message_id, prepared.notification, prepared.order, prepared.seal)


def mail_header(subject: str, envelope: Envelope, message_id: str, issued_at: datetime, language: Language) -> bytes:
    """The header of every mail of ours, but for the fields of its content. `issued_at`: aware. Raises SettingError for
    an address that is none."""
    fields = [
        mime.field("Subject", subject),
        mime.address_field("From", [mail_address(envelope.sender)]),
        # A mail that is only rendered may name nobody; the empty group (RFC 6854) is a form that every client reads.
        mime.address_field("To", [mail_address(to) for to in envelope.recipients])
        if envelope.recipients
        else b"To: undisclosed-recipients:;\r\n",
        mime.address_field("Reply-To", [mail_address(envelope.reply_to)]) if envelope.reply_to else b"",
        mime.field("Date", format_datetime(issued_at)),
        f"Message-ID: {message_id}\r\n".encode("ascii"),
        *AUTOMATIC,
        mime.field("Content-Language", language.tag),
    ]
    return b"".join(fields)


AUTOMATIC = (
    b"MIME-Version: 1.0\r\n",
    b"Auto-Submitted: auto-generated\r\n",  # RFC 3834: nobody's out-of-office answers this
    b"X-Auto-Response-Suppress: All\r\n",  # the same for Exchange
)


def _boundary(message_id: str) -> str:
    """Of the mail's own digest, which no value in it can know."""
    return f"=_{message_id[1:].partition('@')[0]}"


def _body(order: Order, text: str | None, html: str | None, attachment: bytes, boundary: str) -> bytes:
    """The parts of a mail: the bodies that there are, of which a client shows the last it can, and the attachment."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", order.order_number).strip("-.")[:80] or "order"
    shown = [mime.text_part(kind, body) for kind, body in (("plain", text), ("html", html)) if body is not None]
    bodies = shown[0] if len(shown) == 1 else mime.multipart("alternative", shown, f"{boundary}.1")
    return mime.multipart(
        "mixed", [bodies, mime.file_part("application/json", f"ion-{name}.json", attachment)], boundary
    )


def _attachment(prepared: Prepared, shown: dict[str, str]) -> bytes:
    stated = {"notification": prepared.notification.to_json(), "order": prepared.order.to_json()}
    document = {"ion": 1, **stated, "seal": prepared.seal, "shown": shown}
    return (json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _prove(
    order: Order,
    notification: Notification,
    text: str,
    html: str,
    key: Key,
    read_back: ReadBack,
    raw: bytes,
) -> None:
    """Read each text in a mail of its own, and the whole mail, whose attachment must prove it, back; raise RenderError
    for the first that is not exact."""
    memory: dict[Any, Any] = {}
    for name, octets in (*_alone(text, html), ("mail", raw)):
        judged = read_back(octets, (key,), memory)
        lost = _first_lost(order, notification, judged)
        if not lost and name == "mail" and judged[0].carrier != "json":
            lost = "notification", "its attachment proves nothing"
        if lost:
            field, reason = lost
            raise RenderError(f"the {name} does not read back exactly: {field}: {reason}", field=field)


def losses(prepared: Prepared, body: str, kind: str, *, key: Key, read_back: ReadBack) -> list[tuple[str | None, str]]:
    """Every field that one body (`kind`: `text` or `html`) does not give back, and how; none where it is exact.

    A body is read alone, as before a mail leaves; where it is not exact, it is held against an attachment, which tells
    all that differs and not only the first. A field of None stands for more than are told one by one.
    """
    alone = _one_part("text/plain" if kind == "text" else "text/html", body.encode())
    first = _first_lost(prepared.order, prepared.notification, read_back(alone, (key,)))
    if first is None:
        return []
    # Without imprints: they would vouch for the body as it is.
    text, html = (body, None) if kind == "text" else (None, body)
    parts = _body(prepared.order, text, html, _attachment(prepared, {}), "=_ion")
    judged = read_back(b"MIME-Version: 1.0\r\n" + parts, (key,))
    found: dict[str | None, str] = {}
    for problem in judged[0].problems if len(judged) == 1 else ():
        if problem.field or problem.code != "note":
            found.setdefault(problem.field, problem.message)
    return list(found.items()) or [first]


def _alone(text: str, html: str) -> Iterator[tuple[str, bytes]]:
    yield "text part", _one_part("text/plain", text.encode())
    yield "HTML part", _one_part("text/html", html.encode())


def _one_part(kind: str, octets: bytes) -> bytes:
    """A body as a mail of its own, octets as they are: the whole mail proves how they are encoded for the way."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head.encode() + octets


def _first_lost(order: Order, notification: Notification, judged: Sequence[JudgedPart]) -> tuple[str, str] | None:
    """The first field that a mail read back does not give exactly, and how; None where it gives all."""
    if len(judged) != 1:
        reason = f"{len(judged)} notifications are read instead of one; does the template print all blocks?"
        return "notification", reason
    result = judged[0]
    if (
        result.grade == "sealed"
        and result.order == order
        and result.notification == notification
        # A template may say something of its own behind a heading, which belongs to no field.
        and all(problem.code == "note" and problem.field is None for problem in result.problems)
    ):
        return None
    return _lost(order, notification, result)


def _lost(order: Order, notification: Notification, result: JudgedPart) -> tuple[str, str]:
    """The first field that differs, and how."""
    if result.order is not None and result.notification is not None:
        back = {(entry.code, entry.index): entry.value for entry in entries(result.notification, result.order)}
        for entry in entries(notification, order):
            seen = back.pop((entry.code, entry.index), None)
            if seen != entry.value:
                return entry.name, "it is missing" if seen is None else f"it reads {seen!r}"
        for code, index in back:
            return code, f"it appears at {index} although the order does not state it"
    for problem in sorted(result.problems, key=lambda problem: problem.field == "proof.seal"):
        if problem.field:
            return problem.field, problem.message
    return "notification", "; ".join(
        problem.message for problem in result.problems
    ) or "nothing was lost that has a name"


def _message_id(values: Sequence[Entry], envelope: Envelope) -> str:
    """Minted from the notification and whom it is for (RFC 5322, 3.6.4), so the same mail never has two."""
    recipients = "".join(f"\n{mail_address(to).addr_spec}" for to in envelope.recipients)
    digest = sha256(b"ION message id\n" + canonical_bytes(values) + recipients.encode()).hexdigest()[:32]
    return f"<ion.{digest}@{mail_address(envelope.sender).domain or 'localhost'}>"


def mail_address(text: str) -> MailAddress:
    """One address, `name@host` or `Name <name@host>`, for a header or an envelope. Raises SettingError for all else."""
    found = _ADDRESS_FORM.fullmatch(text.strip())
    address = (found["address"] or found["bare"] or "") if found else ""
    if not found or not is_address(address):
        raise SettingError(
            f"{text!r} is not a mail address; give name@host or Name <name@host>, a host in letters of ASCII (xn--...)"
        )
    name = (found["name"] or "").strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])  # RFC 5322, 3.2.4
    local, _, domain = address.rpartition("@")
    return MailAddress(display_name=_header_text(name), username=local, domain=domain)


def is_address(text: str) -> bool:
    """True for `name@host` alone in the plain form that every server takes (RFC 5321, 4.1.2, lengths of 4.5.3.1): no
    quotation, comment, route, blank or control character, ASCII only."""
    local, _, domain = text.rpartition("@")
    return bool(
        _LOCAL_PART.fullmatch(local)
        and _DOMAIN.fullmatch(domain)
        and "=?" not in local
        and len(local) <= 64
        and len(text) <= 254
        and all(len(label) <= 63 for label in domain.split("."))
    )


class _Phrases:
    """The catalogue's prose for templates: `mail.approved`, and the guards of this order in words."""

    def __init__(self, language: Language, order: Order) -> None:
        self._phrases = language.mail
        self._order = order
        self._language = language

    def __getattr__(self, name: str) -> str:
        try:
            return self._phrases[name]
        except KeyError as error:
            raise AttributeError(name) from error

    @property
    def guards(self) -> tuple[str, ...]:
        """Why this order must not be shipped as it stands, one sentence each."""
        return tuple(self._phrases[f"do_not_ship_{reason}"] for reason in self._order.do_not_ship)


def _subject(order: Order, language: Language, *, changed: bool) -> str:
    """Marks, order number, items, total, destination: but for the marks and what is new, the same for each revision."""
    phrases = language.mail
    count = reduce(EXACT.add, (line.quantity for line in order.lines), Decimal(0))
    quantity = print_value(Kind.NUMBER, str(count), language)
    items = phrases["subject_items_one" if count == 1 else "subject_items"].format(n=quantity)
    money = order.totals.total_customer
    amount = f"{money.amount} {money.currency or ''}".strip() if money else ""
    country = order.delivery.country
    marks = [language.changes["subject_changed"]] * changed
    marks += [phrases["subject_test"]] * order.test + [phrases["subject_replacement"]] * order.replacement
    subject = phrases["subject"].format(
        number=guard(order.merchant_order_number or order.order_number, language),
        items=items,
        total=print_value(Kind.MONEY, amount, language) if money else "?",
        country=print_value(Kind.COUNTRY, country, language) if country else "?",
    )
    return _header_text(" ".join([f"[{mark}]" for mark in marks] + [subject]))


def _header_text(text: str) -> str:
    """A header value that stays one: canonical (no control or direction characters, no breaks) and of bounded length.

    The library decodes encoded words (RFC 2047) in whatever it is given, line ends inside them included; so nothing may
    look like one.
    """
    text = (canonical_text(text) or "").replace("=?", "= ?")
    return text if len(text) <= _HEADER_LENGTH else text[: _HEADER_LENGTH - 1].rstrip() + "…"
