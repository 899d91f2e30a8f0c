"""Bounces: what a mail system says of a mail of ours that it could not deliver, or not yet.

A report in the standard form (RFC 3464, with RFC 6533 for addresses beyond ASCII) is read field by field, whatever the
mail around it is called. Systems without it write a text of their own: there an opening sentence of theirs must stand,
the sender must be a mail system, and an address alone in its line is one that failed. So no answer of a person or of a
program of theirs (vacation, receipt of reading, request to confirm) is taken for a failure. Of the mail that came back
only the header is looked at, for its Message-ID; its content is never read, so no order can come of it.

Nothing here proves who wrote a report: see `ion.store.bounces` for what it must fit to be believed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import unescape
from itertools import islice
from typing import Annotated, Literal

from pydantic import FailFast, Field

from ion.order import canonical_text
from ion.reading.charsets import codec, decoded
from ion.reading.limits import Budget, TooBig
from ion.reading.mime import ENCODINGS, Part, Unparsable, take_apart
from ion.reading.unwrap import octets_of, parameters_of

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

HEADER_BYTES = 65_536
TEXT_CHARACTERS = 40_000
LINE_CHARACTERS = 2_000
DIAGNOSTIC_CHARACTERS = 500
MAX_REPORTS = 50
MAX_ADDRESS = 320  # 64 octets before the @, 255 after it (RFC 5321, 4.5.3.1)

_Address = Annotated[str, Field(max_length=MAX_ADDRESS)]


@dataclass(frozen=True)
class Report:
    """What became of the mail for one recipient.

    `original_recipient`: the address as we wrote it, `final_recipient`: as the last system knew it. `status`: of
    RFC 3463; of several that are told the one that says most. `diagnostic`: the words of the system that refused it,
    canonical, cut to a length, without numbers of cards. `hard`: the address itself is dead, see `_is_hard`.
    """

    original_recipient: _Address | None
    final_recipient: _Address | None
    action: Action
    status: Annotated[str, Field(pattern=r"^[245]\.[0-9]{1,3}\.[0-9]{1,3}$")] | None
    diagnostic: Annotated[str, Field(max_length=DIAGNOSTIC_CHARACTERS)] | None
    remote_mta: Annotated[str, Field(max_length=255)] | None
    hard: bool


@dataclass(frozen=True)
class Bounce:
    """All reports of one bounce, at least one. `message_id`: of the mail that came back, with its angle brackets."""

    reports: Annotated[tuple[Report, ...], Field(max_length=MAX_REPORTS), FailFast()]
    message_id: Annotated[str, Field(max_length=LINE_CHARACTERS)] | None


def find_bounce(raw: bytes) -> Bounce | None:
    """The bounce that a raw message is; None for any other message. Does not raise on any input."""
    try:
        top = take_apart(raw, 0, Budget())
        parts = list(_parts(top))
        head = _as_text(top.header[:HEADER_BYTES])
        status = [_as_text(_body_of(part)) for part in parts if part.content_type in _STATUS_TYPES]
        text = _first_text(parts)
    except (TooBig, Unparsable, RecursionError):
        return None
    reports = list(islice((report for one in status for report in _standard(one, text)), MAX_REPORTS))
    end = _END.search(text)
    if not reports and not _is_no_report(top):
        reports = _in_words(head, text)
    if not reports:
        return None
    returned = [*_returned_headers(parts), text[end.start() :] if end else ""]
    return Bounce(tuple(reports), _message_id(returned, status, head))


# The parts of the mail

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")  # RFC 3464 (2.1), RFC 6533 (6.2)
_HEADER_TYPES = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")  # RFC 6522, RFC 6533
# Reports of something else: that a mail was read (RFC 8098), that a person called it spam (RFC 5965).
_OTHER_REPORTS = ("disposition-notification", "feedback-report")


def _parts(part: Part) -> Iterator[Part]:
    """The parts of the bounce itself: what stands in the mail that came back is none of them."""
    yield part
    if part.content_type.startswith("multipart/"):
        for inner in part.parts or ():
            yield from _parts(inner)


def _body_of(part: Part) -> bytes:
    """The octets of a part without a transfer encoding, also where it was taken apart as a message."""
    written = _written(part)
    if part.encoding in ENCODINGS:  # RFC 3464 (2.1) forbids it and RFC 6533 (3) does not
        return octets_of(Part(part.fields, part.content_type, written))
    return written


def _written(part: Part) -> bytes:
    if part.parts is None:
        return part.octets
    return b"\n\n".join(inner.header.rstrip(b"\r\n") + b"\n\n" + _written(inner) for inner in part.parts)


def _first_text(parts: Iterable[Part]) -> str:
    """What a person reads of the bounce, cut to a length: the first plain text, else the first page, without tags."""
    texts = [part for part in parts if part.parts is None and part.content_type in ("text/plain", "text/html")]
    for part in sorted(texts, key=lambda one: one.content_type != "text/plain"):
        charset = parameters_of(part.fields.get("content-type", "")).get("charset", "")
        is_page = part.content_type == "text/html"
        text = decoded(octets_of(part)[: 4 * TEXT_CHARACTERS], codec(charset), html=is_page)[:TEXT_CHARACTERS]
        if is_page:
            text = unescape(re.sub(r"<[^<>]{0,2000}>", "\n", text))
        if text.strip():
            return "\n".join(line[:LINE_CHARACTERS] for line in re.split(r"\r\n|\r|\n", text))
    return ""


def _returned_headers(parts: Iterable[Part]) -> Iterator[str]:
    """The header of the mail that came back: of the mail itself, or sent instead of it."""
    for part in parts:
        if part.content_type in _HEADER_TYPES:
            yield _as_text(_body_of(part)[:HEADER_BYTES])
        elif part.content_type.startswith("message/") and part.content_type not in _STATUS_TYPES:
            yield _as_text(_body_of(part)[:HEADER_BYTES] if part.parts is None else part.parts[0].header)


def _as_text(octets: bytes) -> str:
    return decoded(octets[:HEADER_BYTES], "utf_8")


def _is_no_report(top: Part) -> bool:
    """True where the mail says that it reports something else."""
    said = parameters_of(top.fields.get("content-type", "")).get("report-type", "").strip().lower()
    return said in _OTHER_REPORTS


_ID = r"[^\S\r\n]*(?:\r?\n[ \t]+)?(<[^<>\s]{1,900}>)"
_MESSAGE_ID = re.compile(rf"^[> \t]{{0,20}}Message-ID:{_ID}", re.IGNORECASE | re.MULTILINE)
_STATED_ID = re.compile(rf"^(?:X-)?Original-Message-ID:{_ID}", re.IGNORECASE | re.MULTILINE)
_IN_REPLY_TO = re.compile(rf"^In-Reply-To:{_ID}", re.IGNORECASE | re.MULTILINE)


def _message_id(returned: Iterable[str], status: Iterable[str], head: str) -> str | None:
    found = [
        *(_MESSAGE_ID.search(one) for one in returned),
        *(_STATED_ID.search(one) for one in status),
        _IN_REPLY_TO.search(head),
    ]
    return next((one[1] for one in found if one), None)


# Reports in the standard form

_FIELD = re.compile(r"^([!-9;-~]{1,60})[ \t]*:[ \t]*((?:[^\n]|\n[ \t])*)", re.MULTILINE)
_ACTIONS: dict[str, Action] = {
    "fail": "failed", "delay": "delayed", "deliver": "delivered", "relay": "relayed", "expand": "expanded",
}  # fmt: skip
_BY_CLASS: dict[str, Action] = {"5": "failed", "4": "delayed", "2": "delivered"}
_TYPED = re.compile(r"^[ \t]*[A-Za-z][\w.-]{0,30}[ \t]*;[ \t]*")
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
# RFC 6533 (3): a character in a report that must be ASCII.
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")


def _standard(status: str, text: str) -> Iterator[Report]:
    """The reports of a delivery status: blocks of fields, those of one recipient in each (RFC 3464, 2.1). Where one
    quotes no system's words, those that the text has for a person, in whatever language, take their place."""
    for block in re.split(r"\n[ \t]*\n", re.sub(r"\r\n?", "\n", status)):
        fields: dict[str, str] = {}
        for name, value in _FIELD.findall(block):
            fields.setdefault(name.lower(), value[: 4 * DIAGNOSTIC_CHARACTERS])
        original, final = _recipient(fields.get("original-recipient")), _recipient(fields.get("final-recipient"))
        if original is None and final is None:
            continue
        told = _TYPED.sub("", fields.get("diagnostic-code", "")) or dict(_listed(text)).get(final or original or "", "")
        stated = _STATUS.search(fields.get("status", ""))
        action = _action(fields.get("action", ""), stated[1] if stated else None)
        if action is not None:
            remote = canonical_text(_TYPED.sub("", fields.get("remote-mta", "")))
            yield _report(original, final, action, stated[1] if stated else None, told, remote)


def _action(said: str, status: str | None) -> Action | None:
    """The action that is named; where none is known, the one that the class of the status means."""
    word = said.strip().lower()
    named = next((action for begin, action in _ACTIONS.items() if word.startswith(begin)), None)
    return named or (_BY_CLASS[status[0]] if status else None)


def _recipient(written: str | None) -> str | None:
    """An address as a report names it, `rfc822; <ana@shop.example>`, alone; None where it is no mail address."""
    if written is None:
        return None
    bare = _TYPED.sub("", written).strip().strip("<>\"' ")
    return _address(_EMBEDDED.sub(_embedded, bare))


def _embedded(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number <= 0x10FFFF else found[0]


def _address(text: str) -> str | None:
    address = canonical_text(text)
    if address is None or len(address) > MAX_ADDRESS or not _ADDRESS.fullmatch(address):
        return None
    return address


# Reports in words


def _any_of(*phrases: str, before: str = "", after: str = "") -> re.Pattern[str]:
    spaced = "|".join(phrase.replace(" ", r"\s+") for phrase in phrases)
    return re.compile(f"{before}(?:{spaced}){after}", re.IGNORECASE | re.MULTILINE)


_ADDRESS = re.compile(r"""[^\s<>"()\[\],:;@]{1,64}@[^\s<>"()\[\],:;@]{1,255}""")
# By these a mail system names itself; the local part may be that of a gateway with a name of its own.
_SYSTEM = re.compile(
    r"mailer.?daemon|postmaster|mdaemon|maildaemon|mail deliver|delivery (?:sub)?system|mail system|\bgwia\b"
    r"|system administrator|mail administrator",
    re.IGNORECASE,
)
# How their texts begin, a blank standing for any.
_FAILED = _any_of(
    r"^Hi\. This is the\b",  # QSBMF: qmail and its like
    r"could not be delivered to\b",  # Exim, GMX, IONOS, MailEnable, Postfix
    r"recipient(?:s|\(s\))? (?:could not|cannot) be reached",  # Exchange, hMailServer
    r"did not reach the following recipient",  # Exchange
    r"failed permanently",  # Gmail
    r"Unable to deliver message to\b",  # Yahoo
    r"following recipients cannot be delivered",  # Courier
    r"had permanent (?:fatal|delivery) errors",  # Sendmail
    r"- Failed addresses follow",  # Smail
    r"- Failure Reasons -",  # Domino
    r"was undeliverable to the following",  # GroupWise
)
_DELAYED = _any_of(
    r"has not (?:yet )?been delivered",
    r"has been delayed",
    r"THIS IS A WARNING MESSAGE",
    r"transient non-fatal errors",
    r"will (?:keep|continue) (?:trying|to try|to be (?:re)?tried)",
)
# The line with which the mail that came back begins, or what is said of it.
_END = _any_of(
    r".{0,60}copy of (?:the|your) message.{0,80}",
    r".{0,40}original message(?: headers)?\s{0,9}?(?:follow.{0,10}|is following.{0,3}|-.{0,80}|:)?",
    r".{0,20}returned message.{0,40}",
    r".{0,20}message (?:text|headers?) follows?\b.{0,40}",
    r"information about your message.{0,10}",
    r"unsent message.{0,20}",
    before=r"^[ \t|>-]{0,80}+",
    after=r"[ \t|=-]{0,80}[:.]?$",
)
# An address alone in its line, as far as these systems leave it alone: what may stand before it and behind it.
_LISTED = re.compile(
    rf"""^[ \t]*(?:(?:Recipient|Address|To):[ \t]*)?\[?(?:SMTP:|mailto:)?[<"]?({_ADDRESS.pattern})[>"]?\]?[ \t]*"""
    r"(?:\((?P<within>[^()\n]*)\)[ \t]*:?|\w{1,12}[ \t]+\d.*|(?::|\.\.\.)[ \t]*(?P<behind>.*))?[ \t]*$",
    re.IGNORECASE,
)
_FAILED_RECIPIENTS = re.compile(r"^X-Failed-Recipients:((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_FROM = re.compile(r"^From:((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)


def _in_words(head: str, text: str) -> list[Report]:
    """The reports of a bounce in one of the forms above, or of one of Exim's and Gmail's, which name in a field of the
    header whom it failed for; none where it is nothing of that."""
    named = _FAILED_RECIPIENTS.search(head)
    failed = [found for one in named[1].split(",")[:MAX_REPORTS] if (found := _address(one))] if named else []
    sender = _FROM.search(head)
    if not failed and not (sender and _SYSTEM.search(sender[1])):
        return []
    begin, delayed = _FAILED.search(text), _DELAYED.search(text)
    end = _END.search(text, begin.end() if begin else 0)
    until = end.start() if end else len(text)
    if begin is None and delayed is None and not failed:
        return []
    is_delayed = delayed is not None and delayed.start() < until
    opening = begin or delayed
    told = text[opening.end() : until].partition("\n")[2] if opening else text[:until]
    listed = dict(_listed(told))
    if failed:
        reasons = {address.casefold(): reason for address, reason in listed.items()}
        listed = {address: reasons.get(address.casefold(), told) for address in failed}
    action: Action = "delayed" if is_delayed else "failed"
    return [_report(None, address, action, None, reason, None) for address, reason in listed.items()]


def _listed(text: str) -> Iterator[tuple[str, str]]:
    """Each address that stands alone in a line, up to a number, with what is said from there to the next one; where
    nothing is, with what is said before it."""
    before: list[str] = []
    address: str | None = None
    said: list[str] = []
    number = 0
    for line in text.split("\n"):
        found = _LISTED.match(line)
        if found is None:
            (said if address else before).append(line)
            continue
        if address:
            yield address, _said(said, before)
        number += 1
        if number > MAX_REPORTS:
            return
        address = _address(found[1].rstrip("."))
        said = [found["within"] or found["behind"] or ""]
    if address:
        yield address, _said(said, before)


def _said(lines: list[str], otherwise: list[str]) -> str:
    text = "\n".join(lines)
    return text if text.strip() else "\n".join(otherwise)


# What is said of a recipient

# A reply of SMTP with its status, or qmail's way to write one, is sooner meant than any three numbers.
_REPLIED = re.compile(
    r"(?<![\d.])[245]\d\d[ -]#?([245]\.\d{1,3}\.\d{1,3})(?![\d.])|#([245]\.\d{1,3}\.\d{1,3})(?![\d.])"
)
_REPLY = re.compile(r"(?:^|[\s:;(\"'])([45])\d\d(?=[ -]|$)", re.MULTILINE)
_CARD = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")  # ISO/IEC 7812: up to 19 digits, the last a check digit


def _report(
    original: str | None, final: str | None, action: Action, stated: str | None, said: str, remote: str | None
) -> Report:
    said = said[: 8 * DIAGNOSTIC_CHARACTERS]
    status = _status(action, stated, said)
    words = _without_cards(canonical_text(said) or "")[:DIAGNOSTIC_CHARACTERS].strip() or None
    hard = action == "failed" and _is_hard(status, said)
    return Report(original, final, action, status, words, remote[:255] if remote else None, hard)


def _status(action: Action, stated: str | None, said: str) -> str | None:
    """The status: the one that is stated, unless it says nothing (X.0.0; RFC 3463, 3.1) and the reply that is quoted
    has one of the same class; without any, that of the class of the reply."""
    if stated and not stated.endswith(".0.0"):
        return stated
    replied = _REPLIED.search(said)
    quoted = (replied[1] or replied[2]) if replied else None
    if quoted is None and (found := _STATUS.search(said)):
        quoted = found[1]
    if quoted and (stated is None or stated[0] == quoted[0]):
        return quoted
    if stated:
        return stated
    reply = _REPLY.search(said)
    by_action = {"failed": "5", "delayed": "4"}.get(action, "2")
    return f"{reply[1] if reply and action == 'failed' else by_action}.0.0"


# RFC 3463 (3.2, 3.3, 3.5) and RFC 7505 (4.2): no such mailbox, no such system, no address, moved without a trace; the
# domain takes no mail; the mailbox is disabled; no way leads to the domain. 5.4.310 is Exchange Online's for a domain
# that the DNS does not know.
_DEAD = frozenset("5.1.1 5.1.2 5.1.3 5.1.6 5.1.10 5.2.1 5.4.4 5.4.310".split())
# Full, too large, not for this list (3.3); too large (3.4); of the mail's content or conversion (3.7); refused for
# policy, spam or want of a signature (3.8): somebody else's mail, or the next one, may arrive. 5.1.7 and 5.1.8 speak of
# the sender's address.
_ALIVE = re.compile(r"5\.(?:1\.[78]|2\.[234]|3\.4|6\.\d+|7\.\d+)")
_DEAD_WORDS = _any_of(
    r"user[- ]?unknown",
    r"unknown (?:user|recipient|address|mailbox|local)",
    r"no such (?:user|recipient|mailbox|address|person|account|domain|host)",
    r"does(?:n[o']?t| not) (?:exist|have an?\b)",
    r"(?:user|recipient|mailbox|address|account|email)(?: \S{1,320})? (?:was |is |has been )?"
    r"(?:not (?:found|known|listed|recognized)|unknown|invalid|disabled|inactive|suspended|closed|deactivated)",
    r"(?:not a valid|invalid) (?:user|recipient|mailbox|address)",
    r"recipient (?:rejected|unknown)",
    r"(?<!sender.)address rejected",
    r"mailbox (?:unavailable|not available)",
    r"no mailbox here",
    r"unroute?able",
    r"(?:host or )?domain (?:name )?not found",
    r"not on post office",
)
_ALIVE_WORDS = re.compile(
    r"quota|full\b|oversize|over limit|too (?:large|big|many)|exceed|spam|blocked|block ?list|black ?list|policy|"
    r"reputation|\bspf\b|dkim|dmarc|rate limit|greylist|virus|timed? ?out|temporar",
    re.IGNORECASE,
)


def _is_hard(status: str | None, said: str) -> bool:
    """True where a failure tells that the address is dead, not that this mail was not wanted.

    By the status where that says it. One that says little (5.0.0, and 5.2.0, 5.3.0, 5.4.1, 5.5.0 and others, which
    systems send for any refusal) counts only with words that say so. Anything of class 4 was given up after days and
    tells of a system, not of an address.
    """
    if status is None or not status.startswith("5"):
        return False
    if status in _DEAD:
        return True
    if _ALIVE.fullmatch(status):
        return False
    return bool(_DEAD_WORDS.search(said)) and not _ALIVE_WORDS.search(said)


def _without_cards(text: str) -> str:
    return _CARD.sub(lambda found: "[number]" if _is_card(found[0]) else found[0], text)


def _is_card(written: str) -> bool:
    digits = [int(digit) for digit in written if digit.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
