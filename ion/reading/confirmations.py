"""Forwarding confirmations: what a mail provider sends to a new address before it forwards mail there.

Gmail's comes from an address that sends nothing else, so it is recognised in any language. Any other is: it comes from
an address that nobody reads, its subject speaks of forwarding and of confirming, and it has a code, or a link to the
domain it says it is from. Nothing here proves a sender, and nothing opens a link.

Only what can hold no surprise is taken: a code of letters, digits and hyphens, a link of ASCII letters, addresses of
ASCII letters, each within a length. Works on the first octets of the header and the first characters of the bodies.
"""

import email.errors
import email.header
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Protocol

HEADER_BYTES = 65_536
BODY_CHARACTERS = 40_000
LINE_CHARACTERS = 2_000

_ADDRESS = r"[A-Za-z0-9._%+=-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
_ADDRESSES = re.compile(rf"(?<![\w.%+=@-]){_ADDRESS}(?![\w@])")
_LINKS = re.compile(r"https://[!#-&*-;=?-Z\\^-~]{4,900}")  # printable ASCII but blanks, quotes and brackets
_FROM = re.compile(rf"<?({_ADDRESS})>?\s*$")
# `(#123456789)` before a Gmail subject.
_SUBJECT_CODE = re.compile(r"\(#\s?([0-9]{6,12})\)")
# A number or code behind a colon, or alone on its line.
_BODY_CODE = re.compile(r"(?:[:：]\s{0,20}|^[ \t]{0,200})([0-9]{6,12})(?![\w.@-])", re.MULTILINE)

GMAIL = "forwarding-noreply@google.com"
# `vf-` confirms, `uf-` cancels.
_GMAIL_LINK = re.compile(r"https://(?:mail|mail-settings|isolated\.mail)\.google\.com/mail/(?:u/\d/)?vf-")
_ROBOT = re.compile(r"[a-z0-9._+-]{0,40}(?:no-?_?reply|do-?not-?reply|notif|verif|confirm)[a-z0-9._+-]{0,40}@")
# The beginnings of the words in the languages of the catalogues.
_FORWARD = re.compile(
    "forward|weiterleit|transf[eé]r|r[eé]exp[eé]d|reenv|reencaminh|encaminh|inoltr|doorstu|doorzend|vidarebefordr|"
    "videresend|välit|edelleen|przekaz|přepos|přesměr|prepos|presmer|továbbít|redirec|prosljeđ|пересыл|переадрес|"
    "пересил|yönlendir|προώθησ|העבר|توجيه|転送|转发|轉寄|轉發|전달",
    re.IGNORECASE,
)
_CONFIRM = re.compile(
    "confirm|conferm|verif|vérif|bestätig|bevestig|bekräft|bekræft|bekreft|vahvist|potwierdz|potvrz|potvrd|megerősít|"
    "подтвержд|підтвердж|onay|doğrula|επιβεβαίω|אישור|אימות|تأكيد|確認|确认|验证|驗證|확인|인증",
    re.IGNORECASE,
)


class Body(Protocol):
    """A decoded text of a message (`ion.reading.unwrap.Body`)."""

    @property
    def kind(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class Confirmation:
    """What a confirmation says. `provider`: `Gmail`, or the domain it says it is from; `asked_for`: the address that
    mail is to be forwarded to, lower-case; `asked_by`: whose mail; `link`: for a person to judge, never to be followed
    by a program. None: not found."""

    provider: str
    code: str | None
    link: str | None
    asked_for: str | None
    asked_by: str | None


def find_confirmation(raw: bytes, found: Sequence[Body]) -> Confirmation | None:
    """The confirmation that a message is, by its own header and its bodies; None for any other message.

    Does not raise on any input.
    """
    head = re.split(rb"\r?\n\r?\n", raw[:HEADER_BYTES], maxsplit=1)[0]
    sender, subject = _sender(_header(head, b"from")), _header(head, b"subject")
    is_gmail = sender == GMAIL
    if not is_gmail and not (_ROBOT.match(sender) and _FORWARD.search(subject) and _CONFIRM.search(subject)):
        return None
    text = "\n".join(_texts(found))[:BODY_CHARACTERS]
    code = _SUBJECT_CODE.search(subject) or _BODY_CODE.search(text)
    confirms = _GMAIL_LINK if is_gmail else _link_to(sender)
    link = next((one for one in _LINKS.findall(text) if confirms.match(one)), None)
    if link is None and code is None:
        return None
    asked_by, asked_for = _addresses(subject, text, sender)
    provider = "Gmail" if is_gmail else sender.partition("@")[2]
    return Confirmation(provider, code[1] if code else None, link, asked_for, asked_by)


def _link_to(sender: str) -> re.Pattern[str]:
    """Links to the domain that the mail says it is from."""
    domain = ".".join(sender.partition("@")[2].rsplit(".", 2)[-2:])
    return re.compile(rf"https://(?:[a-z0-9-]{{1,63}}\.){{0,8}}{re.escape(domain)}[/?]", re.IGNORECASE)


def _addresses(subject: str, text: str, sender: str) -> tuple[str | None, str | None]:
    """Whose mail is to be forwarded, and whereto. The subject names the first, the text both, in an order that the
    language decides."""
    by = next((one.lower() for one in _ADDRESSES.findall(subject)), None)
    named = list(dict.fromkeys(one.lower().rstrip(".") for one in _ADDRESSES.findall(text)))
    others = [one for one in named if one not in (by, sender)]
    if by is None and len(others) > 1:
        by, *others = others
    return by, others[0] if others else None


def _sender(value: str) -> str:
    found = _FROM.search(value)
    return found[1].lower() if found else ""


def _header(head: bytes, name: bytes) -> str:
    """A header field's text, unfolded and decoded, cut to a length; "" unless there is exactly one."""
    found = re.findall(rb"^" + name + rb"[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)", head, re.IGNORECASE | re.MULTILINE)
    if len(found) != 1:
        return ""
    value = re.sub(r"\s+", " ", found[0][:LINE_CHARACTERS].decode("utf-8", "replace")).strip()
    try:
        return str(email.header.make_header(email.header.decode_header(value)))[:LINE_CHARACTERS]
    except (ValueError, LookupError, email.errors.MessageError):  # of a charset or an encoded word that is none
        return value


def _texts(found: Sequence[Body]) -> Iterable[str]:
    """The bodies as text, plain ones first; of a page its links and what stands between its tags."""
    for body in sorted(found, key=lambda one: one.kind != "text"):
        text = body.text[:BODY_CHARACTERS]
        yield unescape(re.sub(r"<[^<>]{0,2000}>", _link_of, text)) if body.kind == "html" else text


def _link_of(tag: re.Match[str]) -> str:
    target = re.search(r"""href\s*=\s*["']?(https://[^"'\s>]{4,900})""", tag[0], re.IGNORECASE)
    return f" {target[1]} " if target else "\n"
