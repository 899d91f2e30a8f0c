"""A MIME message as the octets it consists of: taken apart at its boundaries and put together again.

Whatever is not changed keeps its octets, which the standard library does not promise; an attached original is
therefore sent on exactly as it came.
"""

import base64
import binascii
import codecs
import quopri
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from functools import cached_property
from urllib.parse import unquote

CRLF = "\r\n"
_HEADERS = BytesHeaderParser(policy=compat32)
_CHARSETS = {"ks_c_5601-1987": "cp949", "iso-8859-8-i": "iso-8859-8"}


@dataclass(frozen=True)
class Entity:
    """A message or a part of one. `head`: its header lines; `body`: what follows the empty line; `implied`: the content
    type where no header names one (RFC 2046, 5.1.5)."""

    head: bytes
    body: bytes
    implied: str = "text/plain"

    @classmethod
    def parsed(cls, raw: bytes, implied: str = "text/plain") -> "Entity":
        if b"\r\n" not in raw:  # saved with line ends of Unix
            raw = raw.replace(b"\n", b"\r\n")
        if raw.startswith(b"\r\n"):
            return cls(b"", raw[2:], implied)
        head, _, body = raw.partition(b"\r\n\r\n")
        return cls(head, body, implied)

    @cached_property
    def headers(self) -> "Message[str, str]":
        message = _HEADERS.parsebytes(self.head + b"\r\n\r\n")
        message.set_default_type(self.implied)
        return message

    @cached_property
    def content_type(self) -> str:
        return self.headers.get_content_type()

    @property
    def is_multipart(self) -> bool:
        return self.content_type.startswith("multipart/") and bool(self.headers.get_boundary())

    @property
    def charset(self) -> str:
        name = str(self.headers.get_content_charset() or "utf-8")
        name = _CHARSETS.get(name, name)
        try:
            codecs.lookup(name)
        except (LookupError, ValueError):
            return "utf-8"
        return name

    @property
    def encoding(self) -> str:
        return str(self.headers.get("Content-Transfer-Encoding", "7bit")).strip().lower()

    @property
    def name(self) -> str | None:
        name = self.headers.get_filename()
        return None if name is None else unquote(name)

    @property
    def is_attachment(self) -> bool:
        """What clients list below the mail instead of showing it."""
        kind = str(self.headers.get("Content-Disposition", "")).strip().lower()
        return kind.startswith("attachment") or self.name is not None or not self.content_type.startswith("text/")

    @cached_property
    def octets(self) -> bytes:
        """The content without its transfer encoding."""
        if self.encoding == "base64":
            try:
                return base64.b64decode(self.body)
            except binascii.Error:
                return self.body
        return quopri.decodestring(self.body) if self.encoding == "quoted-printable" else self.body

    @property
    def text(self) -> str:
        return self.octets.decode(self.charset, "replace").replace(CRLF, "\n")

    @cached_property
    def children(self) -> "list[Entity]":
        """The parts of a multipart."""
        return [Entity.parsed(octets, self._implied_inside) for octets in self._pieces[1]]

    @property
    def _implied_inside(self) -> str:
        return "message/rfc822" if self.content_type == "multipart/digest" else "text/plain"

    @cached_property
    def _pieces(self) -> tuple[bytes, list[bytes], bytes]:
        """Preamble, parts, epilogue."""
        boundary = str(self.headers.get_boundary()).encode("utf-8", "surrogateescape")
        found = list(_delimiters(self.body, b"--" + boundary))
        if not found:
            return self.body, [], b""
        ends = [place for place, _, _ in found[1:]] + [len(self.body)]
        pieces = [self.body[behind + 2 : end] for (_, behind, _), end in zip(found, ends, strict=True)]
        closed = found[-1][2]
        return self.body[: found[0][0]], pieces[:-1] if closed else pieces, pieces[-1] if closed else b""

    def raw(self) -> bytes:
        return self.head + b"\r\n\r\n" + self.body if self.head else b"\r\n" + self.body

    def with_children(self, children: "list[Entity]") -> "Entity":
        boundary = str(self.headers.get_boundary()).encode("utf-8", "surrogateescape")
        preamble, _, epilogue = self._pieces
        head = preamble + b"\r\n" if preamble else b""
        parts = b"".join(b"--" + boundary + b"\r\n" + child.raw() + b"\r\n" for child in children)
        return replace(self, body=head + parts + b"--" + boundary + b"--\r\n" + epilogue)

    def with_text(self, text: str, *, charset: str | None = None, encoding: str | None = None) -> "Entity":
        """The same text part with another content, in its own charset where that has all characters, else in UTF-8."""
        charset, encoding = charset or self.charset, encoding or self.encoding
        if encoding != "base64" and "\n".encode(charset) != b"\n":  # UTF-16 has no lines that could be encoded
            charset = "utf-8"
        lost = "xmlcharrefreplace" if self.content_type == "text/html" else "strict"
        try:
            octets = CRLF.join(text.split("\n")).encode(charset, lost)
        except UnicodeEncodeError:
            charset, octets = "utf-8", CRLF.join(text.split("\n")).encode()
        if encoding == "7bit" and not octets.isascii():
            encoding = "quoted-printable"
        head = _with_header(self.head, "Content-Transfer-Encoding", encoding)
        kind = str(self.headers.get("Content-Type", self.content_type))
        if codecs.lookup(charset) != codecs.lookup(self.charset) or self.headers.get_content_charset() is None:
            kept = re.sub(r"(?is);\s*charset\*?=(\"[^\"]*\"|[^;\s]*)", "", kind)
            head = _with_header(head, "Content-Type", f'{kept}; charset="{charset}"')
        return replace(self, head=head, body=encoded(octets, encoding))

    def mapped(self, change: "Callable[[Entity], Entity | None]") -> "Entity":
        """The same message with every leaf changed; a leaf that `change` gives None for is left out."""
        if not self.is_multipart:
            return change(self) or self._removed()
        children = []
        for child in self.children:
            new = child.mapped(change) if child.is_multipart else change(child)
            if new is not None:
                children.append(new)
        return self.with_children(children)

    def _removed(self) -> "Entity":
        head = _with_header(self.head, "Content-Type", 'text/plain; charset="us-ascii"')
        return replace(self, head=_with_header(head, "Content-Transfer-Encoding", "7bit"), body=b"[removed]\r\n")


def _delimiters(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each delimiter line begins (with the CR LF before it) and ends, and whether it is the last."""
    place = body.find(delimiter)
    while place >= 0:
        start = place - 2 if body[place - 2 : place] == b"\r\n" else place
        behind = body.find(b"\r\n", place)
        behind = len(body) if behind < 0 else behind
        rest = body[place + len(delimiter) : behind].rstrip(b" \t")
        if (start < place or place == 0) and rest in (b"", b"--"):
            yield start, behind, rest == b"--"
            if rest:
                return
        place = body.find(delimiter, behind)


def _with_header(head: bytes, name: str, value: str) -> bytes:
    """`head` with the header replaced where it stands, or added at the end."""
    line = f"{name}: {value}".encode("utf-8", "surrogateescape")
    pattern = re.compile(rb"(?im)^" + name.encode() + rb":[^\r\n]*(?:\r\n[ \t][^\r\n]*)*")
    if pattern.search(head):
        return pattern.sub(lambda _: line, head, count=1)
    return head + b"\r\n" + line if head else line


def encoded(octets: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return folded_base64(octets)
    if encoding == "quoted-printable":
        return quopri.encodestring(octets.replace(b"\r\n", b"\n"), quotetabs=False).replace(b"\n", b"\r\n")
    return octets


def folded_base64(octets: bytes, width: int = 76) -> bytes:
    text = base64.b64encode(octets)
    return b"\r\n".join(text[place : place + width] for place in range(0, len(text), width)) + b"\r\n"
