"""Find: from raw octets to the bodies in which a notification may stand.

Walks the MIME tree of a message and of every message attached to it (`message/rfc822`, or an `.eml` sent as octets),
undoes transfer encoding, charset and `format=flowed`, and yields the bodies in reading order. It recognises no mail
client: what a client adds around the original is for the next step to pass over.

The parser is the standard library's with the `compat32` policy, because the newer one raises on ordinary small
headers (`Message-ID: <[>`); no header is interpreted beyond its content type.
"""

import binascii
import email
import email.message
import email.policy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

MAX_PARTS = 500
MAX_DEPTH = 50
MAX_DECODED_BYTES = 25_000_000

# Charsets a mail may name. Python knows more codecs than charsets (`unicode_escape`, `zip`), so this is a list of what
# mail really uses; anything else is read as UTF-8 and, failing that, Windows-1252, with replacement characters.
_CHARSETS = re.compile(
    r"(us-?ascii|ascii|utf-?8|utf-?16(le|be)?|utf-?7|iso-?8859-?\d{1,2}|latin-?[1-9]|windows-?125\d|cp(125\d|85\d|437|866|874|932|949|950)"
    r"|koi8-?[rut]|shift_?jis|sjis|ms932|iso-?2022-?(jp(-\d|-ext)?|kr)|euc-?(jp|kr|cn)|ks_c_5601-1987|gb2312|gbk|gb18030|hz(-gb-2312)?|big5(-?hkscs)?"
    r"|tis-?620|mac-?(roman|cyrillic|greek|turkish|centeuro|iceland))",
    re.IGNORECASE,
)
_HEADER_LINE = re.compile(rb"[ \t]|[!-9;-~]+[ \t]*:|From ")
# One octet a character: octets that are valid UTF-8 beyond ASCII are hardly ever anything else, whatever the mail says.
_SINGLE_BYTE = re.compile(r"(iso-?8859|latin|windows-?12|cp12|cp85|koi8|mac|tis|us-?ascii|ascii)", re.IGNORECASE)
_SURROGATES = re.compile("[\ud800-\udfff]")
_Answer = TypeVar("_Answer")
# Names mail uses for charsets that Python knows under another name.
_PYTHON_NAME = {"ks_c_5601-1987": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "iso-8859-8-i": "iso-8859-8"}


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

    def spend(self, octets: int) -> None:
        self.parts -= 1
        self.octets -= octets
        if self.parts < 0 or self.octets < 0:
            raise TooBig(f"more than {MAX_PARTS} parts or {MAX_DECODED_BYTES} octets")


def _message_bodies(raw: bytes, place: str, depth: int, budget: _Budget) -> Iterator[Body]:
    message = _asked(lambda: email.message_from_bytes(_without_junk(raw), policy=email.policy.compat32))
    if message is None:
        raise Unparsable("its headers cannot be taken apart")
    yield from _part_bodies(message, place or "1", depth, budget)


def _part_bodies(part: email.message.Message, place: str, depth: int, budget: _Budget) -> Iterator[Body]:
    if depth > MAX_DEPTH:
        raise TooBig(f"more than {MAX_DEPTH} levels")
    content_type = part.get_content_type()
    if part.is_multipart():
        attached = content_type == "message/rfc822"
        encoding = str(part.get("content-transfer-encoding") or "").strip().lower()
        for number, inner in enumerate(part.get_payload(), 1):
            budget.spend(0)
            if attached and encoding in ("base64", "quoted-printable"):
                # RFC 2046 (5.2.1) forbids it and programs do it; the library then takes the encoded text for a message.
                original = _transfer_decoded(inner, encoding)
                budget.spend(len(original))
                yield from _message_bodies(original, f"{place}/{number}", depth + 1, budget)
            elif isinstance(inner, email.message.Message):
                yield from _part_bodies(inner, f"{place}{'/' if attached else '.'}{number}", depth + 1, budget)
        return
    octets = _asked(lambda: part.get_payload(decode=True))
    if not isinstance(octets, bytes):
        return
    budget.spend(len(octets))
    name = (_asked(part.get_filename) or "").strip().lower()  # for its ending only; never used as a path
    if content_type == "message/rfc822" or name.endswith(".eml"):
        yield from _message_bodies(octets, f"{place}/1", depth + 1, budget)
    elif content_type == "text/html" or name.endswith((".html", ".htm")):
        yield Body("html", _text(octets, part), place)
    elif content_type == "application/json" or name.endswith(".json"):
        yield Body("json", _text(octets, part), place)
    elif content_type.startswith(("text/", "multipart/")):  # a multipart whose boundary is wrong is one text
        text = _text(octets, part)
        if _parameter(part, "format") == "flowed":
            text = unflow(text, delsp=_parameter(part, "delsp") == "yes")
        yield Body("text", text, place)


def _transfer_decoded(inner: email.message.Message, encoding: str) -> bytes:
    """The octets of a message that the library took in its transfer encoding; empty where they are broken."""
    decode = binascii.a2b_base64 if encoding == "base64" else binascii.a2b_qp
    return _asked(lambda: decode(inner.as_bytes())) or b""


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


def _parameter(part: email.message.Message, name: str) -> str:
    return str(_asked(lambda: part.get_param(name)) or "").lower()


def _text(octets: bytes, part: email.message.Message) -> str:
    """The octets as text in the charset the part names, if that is one mail uses and it fits."""
    named = str(_asked(part.get_content_charset) or "")
    candidates = [_PYTHON_NAME.get(named, named)] if _CHARSETS.fullmatch(named) else []
    charsets = ("utf-8", *candidates) if _SINGLE_BYTE.match(named) else (*candidates, "utf-8")
    for charset in charsets:
        try:
            text = octets.decode(charset)
        except (UnicodeError, LookupError):
            continue
        return _SURROGATES.sub("\ufffd", text)  # UTF-7 can spell them
    return octets.decode(candidates[0] if candidates else "windows-1252", "replace")


def unflow(text: str, *, delsp: bool) -> str:
    """`format=flowed` undone (RFC 3676, section 4): soft line breaks joined, space-stuffing removed.

    Quote marks are kept once per joined line; with `delsp` the space before a soft break is part of the break.
    """
    lines: list[str] = []
    soft_depth: int | None = None
    for line in text.splitlines():
        quotes = re.match(r">*", line)
        depth = quotes.end() if quotes else 0
        content = line[depth:].removeprefix(" ")
        if soft_depth == depth and lines:
            lines[-1] += content
        else:
            lines.append((">" * depth + " " if depth else "") + content)
        soft_depth = depth if content.endswith(" ") and content != "-- " else None
        if soft_depth is not None and delsp:
            lines[-1] = lines[-1][:-1]
    return "\n".join(lines)
