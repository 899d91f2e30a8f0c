"""Find: from raw octets to the bodies in which a notification may stand.

Walks the MIME tree of a message and of every message attached to it (`message/rfc822`, an `.eml` sent as octets, or one
of Outlook's own containers), undoes transfer encoding, charset and `format=flowed`, and yields the bodies in reading
order. It recognises no mail client: what a client adds around the original is for the next step to pass over.

The parser is the standard library's with the `compat32` policy, because the newer one raises on ordinary small
headers (`Message-ID: <[>`); no header is interpreted beyond its content type.
"""

import binascii
import email
import email.header
import email.message
import email.policy
import email.utils
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from ion.reading import outlook
from ion.reading.charsets import codec, decoded
from ion.reading.mapi import Item, Unreadable
from ion.reading.rtf import read_rtf

MAX_PARTS = 500
MAX_DEPTH = 50
MAX_HEADERS = 500
MAX_HEADER_LENGTH = 16_384
MAX_DECODED_BYTES = 25_000_000

_Answer = TypeVar("_Answer")
_Kind = Literal["message", "html", "json", "rtf", "text"]

_HEADER_LINE = re.compile(rb"[ \t]|[!-9;-~]+[ \t]*:|From ")
# The beginning of a whole message: several header lines, and among them one that only messages have.
_MESSAGE_HEAD = re.compile(
    rb"(?=(?:[^\n]+\n){0,60}?(?:MIME-Version|Message-ID|Received):)(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*){4}",
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
_ENCODINGS = ("base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue", "uue")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{100,}={0,2}")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=\s]")
_NOT_QUOTED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|\Z)")


@dataclass(frozen=True)
class Body:
    """One decoded text. `kind`: `json`, `html` or `text`; `place` names the part for people (`1.2`, `2/1.1`)."""

    kind: Literal["json", "html", "text"]
    text: str
    place: str


class TooBig(ValueError):
    """The message has more parts, levels or octets than a mail with an order can have."""


class Unparsable(ValueError):
    """The standard library cannot take the message apart at all."""


def bodies(raw: bytes) -> Iterator[Body]:
    """The bodies of a raw message and of all messages attached to it, attached originals first.

    An attached original is the unmodified mail, so it is read before what a client made of it. Raises TooBig,
    Unparsable.
    """
    found = list(_message_bodies(raw, "", 0, _Budget()))
    found.sort(key=lambda body: -body.place.count("/"))
    yield from found


@dataclass
class _Budget:
    parts: int = MAX_PARTS
    octets: int = MAX_DECODED_BYTES

    def spend(self, octets: int, *, parts: int = 1) -> None:
        self.parts -= parts
        self.octets -= octets
        if self.parts < 0 or self.octets < 0:
            raise TooBig(f"more than {MAX_PARTS} parts or {MAX_DECODED_BYTES} octets")


class _Message(email.message.Message):
    """A part for the library's parser, which takes what an attached message is encoded in for the message.

    RFC 2046 (5.2.1) forbids to encode one, and programs do it.
    """

    def get_content_maintype(self) -> str:
        kind = super().get_content_maintype()
        return "application" if kind == "message" and _encoding(self) in _ENCODINGS else kind


@dataclass(frozen=True)
class _Leaf:
    """A part with nothing but octets in it. `name`: for its ending only, never used as a path."""

    octets: bytes
    content_type: str
    name: str
    charset: str = ""
    flowed: bool = False
    delsp: bool = False


def _message_bodies(raw: bytes, place: str, depth: int, budget: _Budget) -> Iterator[Body]:
    read = outlook.reader(raw)
    if read is not None:
        try:
            item = read(raw, partial(budget.spend, parts=0))
        except Unreadable:
            return
        yield from _item_bodies(item, place or "1", depth, budget)
        return
    _refuse_countless(raw)
    message = _asked(lambda: email.message_from_bytes(_without_junk(raw), _Message, policy=email.policy.compat32))
    if message is None:
        raise Unparsable("its headers cannot be taken apart")
    yield from _part_bodies(message, place or "1", depth, budget)


# In lower case: a search that has to look for both cases of each letter takes ten times as long.
_BOUNDARY = re.compile(rb"""boundary[ \t\r\n]*=[ \t\r\n]*"?([^";\r\n]+)""")
_FEW_BOUNDARIES = 8
_DASHES = re.compile(rb"(?:\A|[\r\n])--([^\r\n]*)")


def _refuse_countless(raw: bytes) -> None:
    """Raises TooBig for more parts, levels or headers than are allowed, before the library spends time on them.

    It takes seconds for a hundred thousand parts, and recurses where they nest. What hides its boundaries from this (in
    an encoded parameter) is counted when it has been parsed, as everything is.
    """
    if len(raw) > MAX_DECODED_BYTES * 2:  # base64 and its line ends make four octets of three
        raise TooBig(f"more than {MAX_DECODED_BYTES} octets")
    boundaries: set[bytes] = set()
    for found in _BOUNDARY.finditer(raw.lower()):
        boundaries.add(raw[slice(*found.span(1))].rstrip())
        if len(boundaries) > MAX_PARTS:
            raise TooBig(f"more than {MAX_PARTS} parts")
    # A part begins with a boundary and a multipart ends with one.
    left = MAX_PARTS + len(boundaries)
    if len(boundaries) > _FEW_BOUNDARIES or sum(raw.count(b"--" + boundary) for boundary in boundaries) > left:
        for found in _DASHES.finditer(raw):
            line = found[1].rstrip()
            left -= line in boundaries or line.removesuffix(b"--") in boundaries
            if left < 0:
                raise TooBig(f"more than {MAX_PARTS} parts")
    header = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
    if (
        header.count(b"\n") >= MAX_HEADERS
        and len(re.findall(rb"^[!-9;-~]+[ \t]*:", header, re.MULTILINE)) > MAX_HEADERS
    ):
        raise TooBig(f"more than {MAX_HEADERS} headers")


def _part_bodies(part: email.message.Message, place: str, depth: int, budget: _Budget) -> Iterator[Body]:
    if depth > MAX_DEPTH:
        raise TooBig(f"more than {MAX_DEPTH} levels")
    _without_overlong(part, "content-type")
    content_type = part.get_content_type()
    if content_type in _IGNORED:
        return
    if part.is_multipart():
        for number, inner in enumerate(part.get_payload(), 1):
            budget.spend(0)
            if isinstance(inner, email.message.Message):
                separator = "/" if content_type in _MESSAGES else "."
                yield from _part_bodies(inner, f"{place}{separator}{number}", depth + 1, budget)
        return
    _without_overlong(part, "content-disposition", "content-transfer-encoding")
    octets = _octets(part)
    budget.spend(len(octets), parts=0)  # as a part it has been counted
    parameters = _parameters(part, "content-type")
    leaf = _Leaf(
        octets,
        content_type,
        _plain_name(_parameters(part, "content-disposition").get("filename") or parameters.get("name", "")),
        parameters.get("charset", "").lower(),
        flowed=parameters.get("format", "").lower() == "flowed",
        delsp=parameters.get("delsp", "").lower() == "yes",
    )
    yield from _leaf_bodies(leaf, place, depth, budget)


def _leaf_bodies(leaf: _Leaf, place: str, depth: int, budget: _Budget) -> Iterator[Body]:
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


def _item_bodies(item: Item, place: str, depth: int, budget: _Budget) -> Iterator[Body]:
    """The bodies of a message that is no MIME, numbered as if it were: its texts, then what is attached."""
    if depth > MAX_DEPTH:
        raise TooBig(f"more than {MAX_DEPTH} levels")
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


def _without_overlong(part: email.message.Message, *names: str) -> None:
    for name in names:
        if len(str(part.get(name) or "")) > MAX_HEADER_LENGTH:  # the library takes time with the square of it
            del part[name]


def _parameters(part: email.message.Message, header: str) -> dict[str, str]:
    """The parameters of a header by their names in lower case, decoded (RFC 2231); of two of one name the first."""
    found = _asked(lambda: part.get_params([], header)) or []
    values = ((name, _asked(partial(email.utils.collapse_rfc2231_value, value))) for name, value in reversed(found))
    return {name.lower(): value for name, value in values if value is not None}


def _encoding(part: email.message.Message) -> str:
    return str(part.get("content-transfer-encoding") or "").strip().lower()


def _octets(part: email.message.Message) -> bytes:
    """The octets of a part without its transfer encoding: the one it names, or the one it is plainly in."""
    said = _encoding(part)
    if said not in _ENCODINGS:
        return _plainly_decoded(_payload(part), said)
    if part["content-transfer-encoding"] != said:
        # The library takes the name as it stands, blanks and all.
        part.replace_header("content-transfer-encoding", said)
    if said == "base64":
        written = _asked(part.get_payload)
        if isinstance(written, str) and _NOT_BASE64.search(written[:1000].encode("utf-8", "replace")):
            del part["content-transfer-encoding"]
    return _payload(part)


def _payload(part: email.message.Message) -> bytes:
    octets = _asked(lambda: part.get_payload(decode=True))
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


def _without_junk(raw: bytes) -> bytes:
    """The message without lines in its header that are no header: at the first of them the library ends the header."""
    header, blank, body = re.split(rb"(\r?\n\r?\n|\Z)", raw, maxsplit=1)
    kept = [line for line in re.split(rb"(?<=\n)", header) if _HEADER_LINE.match(line)]
    return b"".join(kept).rstrip(b"\r\n") + (blank or b"\r\n\r\n") + body if kept else raw


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
