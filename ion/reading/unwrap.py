"""Find: from raw octets to the bodies in which a notification may stand.

Walks the MIME tree of a message and of every message attached to it (`message/rfc822`, an `.eml` sent as octets, or one
of Outlook's own containers), undoes transfer encoding, charset and `format=flowed`, and yields the bodies in reading
order. It recognises no mail client: what a client adds around the original is for the next step to pass over.
"""

import binascii
import email.header
import email.message
import email.utils
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, TypeVar

from ion.reading import outlook
from ion.reading.charsets import codec, decoded
from ion.reading.limits import Budget, check_depth
from ion.reading.mapi import Item, Unreadable
from ion.reading.mime import ENCODINGS, Part, parameters, take_apart
from ion.reading.rtf import read_rtf

_Answer = TypeVar("_Answer")
_Kind = Literal["message", "html", "json", "rtf", "text"]

# The beginning of a whole message: several header lines, and among them one that only messages have.
_MESSAGE_HEAD = re.compile(
    rb"(?=(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*){4})(?:[^\n]+\n){0,60}?(?:MIME-Version|Message-ID|Received):",
    re.IGNORECASE,
)
_MESSAGES = ("message/rfc822", "message/global", "message/news")
# What a part is: by its content type or the end of its name, whichever comes first here.
_KINDS: tuple[tuple[_Kind, tuple[str, ...], tuple[str, ...]], ...] = (
    ("message", _MESSAGES, (".eml",)),
    ("html", ("text/html", "application/xhtml+xml"), (".html", ".htm", ".xhtml")),
    ("json", ("application/json",), (".json",)),
    ("rtf", ("text/rtf", "application/rtf"), (".rtf",)),
    ("text", (), (".txt",)),
)
# What a client shows, whatever it is called: a text that is a file by its name alone is text.
_SHOWN = ("text/plain", "text/html")
_FILES: tuple[_Kind, ...] = ("json", "message", "rtf")
# A copy of the page for one client only, and a piece of a message that nothing here puts together.
_IGNORED = ("text/x-amp-html", "message/partial")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{100,}={0,2}")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
_NOT_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|\Z)")


@dataclass(frozen=True)
class Body:
    """One decoded text. `kind`: `json`, `html` or `text`; `place` names the part for people (`1.2`, `2/1.1`)."""

    kind: Literal["json", "html", "text"]
    text: str
    place: str


def bodies(raw: bytes) -> Iterator[Body]:
    """The bodies of a raw message and of all messages attached to it, attached originals first.

    An attached original is the unmodified mail, so it is read before what a client made of it. Raises TooBig,
    Unparsable.
    """
    found = list(_message_bodies(raw, "", 0, Budget()))
    found.sort(key=lambda body: -body.place.count("/"))
    yield from found


@dataclass(frozen=True)
class _Leaf:
    """A part with nothing but octets in it. `name`: for its ending only, never used as a path."""

    octets: bytes
    content_type: str
    name: str
    charset: str = ""
    flowed: bool = False
    delsp: bool = False


def _message_bodies(raw: bytes, place: str, depth: int, budget: Budget) -> Iterator[Body]:
    read = outlook.reader(raw)
    if read is not None:
        try:
            item = read(raw, partial(budget.spend, parts=0))
        except Unreadable:
            return
        yield from _item_bodies(item, place or "1", depth, budget)
        return
    yield from _part_bodies(take_apart(raw, depth, budget), place or "1", depth, budget)


def _part_bodies(part: Part, place: str, depth: int, budget: Budget) -> Iterator[Body]:
    content_type = part.content_type
    if content_type in _IGNORED:
        return
    if part.parts is not None:
        separator = "/" if content_type in _MESSAGES else "."
        for number, inner in enumerate(part.parts, 1):
            yield from _part_bodies(inner, f"{place}{separator}{number}", depth + 1, budget)
        return
    octets = octets_of(part)
    budget.spend(len(octets), parts=0)  # as a part it has been counted
    said = parameters_of(part.fields.get("content-type", ""))
    leaf = _Leaf(
        octets,
        content_type,
        _plain_name(parameters_of(part.fields.get("content-disposition", "")).get("filename") or said.get("name", "")),
        said.get("charset", "").lower(),
        flowed=said.get("format", "").lower() == "flowed",
        delsp=said.get("delsp", "").lower() == "yes",
    )
    yield from _leaf_bodies(leaf, place, depth, budget)


def _leaf_bodies(leaf: _Leaf, place: str, depth: int, budget: Budget) -> Iterator[Body]:
    kind = _kind(leaf)
    if kind == "message" or outlook.reader(leaf.octets):
        yield from _message_bodies(leaf.octets, f"{place}/1", depth + 1, budget)
    elif kind == "rtf":
        try:
            yield Body(*read_rtf(leaf.octets), place)
        except Unreadable:
            if leaf.content_type.startswith("text/"):  # shown as plain text by what does not know it (RFC 2046, 4.1.4)
                yield Body("text", decoded(leaf.octets, codec(leaf.charset)), place)
    elif kind:
        text = decoded(leaf.octets, codec(leaf.charset), html=kind == "html")
        yield Body(kind, unflow(text, delsp=leaf.delsp) if kind == "text" and leaf.flowed else text, place)


def _item_bodies(item: Item, place: str, depth: int, budget: Budget) -> Iterator[Body]:
    """The bodies of a message that is no MIME, numbered as if it were: its texts, then what is attached."""
    check_depth(depth)
    for number, text in enumerate(item.texts, 1):
        yield Body(text.kind, text.text, f"{place}.{number}")
    for number, attached in enumerate(item.attachments, len(item.texts) + 1):
        budget.spend(attached.size)
        try:
            content = attached.load()
        except Unreadable:
            continue
        if isinstance(content, Item):
            yield from _item_bodies(content, f"{place}.{number}/1", depth + 1, budget)
        else:
            # A signed message is kept as its whole MIME, under the type of that ([MS-OXOSMIME] 2.1).
            kind = attached.media_type.lower()
            leaf_type = "message/rfc822" if kind.startswith("multipart/") else kind
            leaf = _Leaf(content, leaf_type, attached.name.strip().lower())
            yield from _leaf_bodies(leaf, f"{place}.{number}", depth, budget)


def _kind(leaf: _Leaf) -> _Kind | None:
    if leaf.content_type in _IGNORED:
        return None
    shown = leaf.content_type in _SHOWN
    for kind, types, endings in _KINDS:
        if leaf.content_type in types or (leaf.name.endswith(endings) and not (shown and kind in _FILES)):
            return "message" if kind == "text" and _MESSAGE_HEAD.match(leaf.octets) else kind
    if _MESSAGE_HEAD.match(leaf.octets):  # a mail under another name and type
        return "message"
    # A multipart whose boundary is wrong is one text.
    return "text" if leaf.content_type.startswith(("text/", "multipart/")) else None


def _plain_name(name: str) -> str:
    """The name of a file in lower case, also where it is written as an encoded word, which RFC 2047 (5) forbids."""
    words = _asked(lambda: str(email.header.make_header(email.header.decode_header(name)))) if "=?" in name else None
    return (words or name).strip().lower()


@lru_cache(128)  # nearly all mails have the same few
def parameters_of(field: str) -> Mapping[str, str]:
    """The parameters of a field by their names in lower case, decoded (RFC 2231); of two of one name the first."""
    found = _asked(partial(parameters, field)) or []
    values = ((name, _asked(partial(email.utils.collapse_rfc2231_value, value))) for name, value in reversed(found))
    return {name.lower(): value for name, value in values if value is not None}


def octets_of(part: Part) -> bytes:
    """The octets of a part without its transfer encoding: the one it names, or the one it is plainly in."""
    if part.encoding not in ENCODINGS:
        return _plainly_decoded(part.octets, part.encoding)
    if part.encoding == "quoted-printable":
        return binascii.a2b_qp(part.octets)
    if part.encoding == "base64":
        try:
            return binascii.a2b_base64(b"".join(part.octets.splitlines()), strict_mode=True)
        except binascii.Error:
            if _NOT_BASE64.search(part.octets, 0, 1000):
                return part.octets
    message = email.message.Message()
    message["content-transfer-encoding"] = part.encoding
    message.set_payload(part.octets)
    octets = _asked(lambda: message.get_payload(decode=True))
    return octets if isinstance(octets, bytes) else b""


def _plainly_decoded(written: bytes, said: str) -> bytes:
    """Octets without an encoding that is plain to see, though the part does not name it."""
    if b"\n" in written[:1000] and not _NOT_BASE64.search(written[:1000]):
        joined = b"".join(written.split())
        if len(joined) % 4 == 0 and _BASE64.fullmatch(joined):
            return binascii.a2b_base64(joined)
    # A part that says it is not encoded is believed: a line of plain text may end in `=` too.
    if said not in ("", "7bit", "8bit", "binary") and b"=" in written and not _NOT_QUOTED.search(written):
        return binascii.a2b_qp(written)
    return written


def _asked(question: Callable[[], _Answer]) -> _Answer | None:
    """What the standard library says of a message, or None where it raises.

    On hostile parameters, charsets and encodings it raises anything: ValueError for a number of 5,000 digits,
    UnicodeError for the charset `idna`, TypeError for a charset in pieces (RFC 2231). Deep nesting is told apart.
    """
    try:
        return question()
    except RecursionError:
        raise
    except Exception:
        return None


_SOFT = (" ", "\u00a0")  # some gateway may have made the blank of a soft break one that does not break


def unflow(text: str, *, delsp: bool) -> str:
    """`format=flowed` undone (RFC 3676, section 4): soft line breaks joined, space-stuffing removed.

    Quote marks are kept once per joined line; with `delsp` the space before a soft break is part of the break. A soft
    break before a line of another quote depth, or before a signature's separator, is none (4.5, 4.3).
    """
    lines: list[list[str]] = []
    soft_depth: int | None = None
    # Only these end a line in mail; `splitlines` knows more, which are characters of a value.
    for line in re.split(r"\r\n|\n|\r", re.sub(r"(\r\n|\n|\r)\Z", "", text)):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        separator = content == "-- "
        soft = content.endswith(_SOFT) and not separator
        if soft_depth != depth or separator:
            lines.append([">" * depth + " " if depth else ""])
        lines[-1].append(content[:-1] if soft and delsp else content)
        soft_depth = depth if soft else None
    return "\n".join(map("".join, lines))
