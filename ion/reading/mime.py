"""Take apart: from the octets of a message to the tree of its parts, each body as it is written.

What is broken is split as the standard library's parser splits it, but for the few cases that its tests name. That
parser goes line by line and compiles a pattern for every boundary, which took more than half of the time of reading a
mail. Here the octets are searched once for lines that could be a boundary, and each is looked up among those in force,
so the cost is linear whatever is written. Parts, levels and fields are counted while they are found.
"""

import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ion.reading.limits import MAX_DECODED_BYTES, MAX_HEADERS, Budget, TooBig, check_depth

# What a mail needs of a field stands at its beginning.
MAX_FIELD_LENGTH = 16_384
ENCODINGS = ("base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue", "uue")

_FIELDS = {name.encode(): name for name in ("content-type", "content-disposition", "content-transfer-encoding")}
# CR LF, LF and CR each end a line. The possessive repeats keep the pattern from going back: it could only fail slower.
_FIELD = re.compile(rb"(?:([!-9;-~]*+):|From |[ \t])([^\r\n]*+(?:\r\n?+|\n|\Z)(?:[ \t][^\r\n]*+(?:\r\n?+|\n|\Z))*+)")
# It begins with what is searched for, as a search for plain octets is many times faster than one for a set of them.
_DASHED_LINE = re.compile(rb"--(?<=[\r\n]--)([^\r\n]*+)(?:\r\n?+|\n|\Z)")
_BLANK_LINE = re.compile(rb"\n(?=[\r\n])|\r(?=\r)")
_HEADER_END = re.compile(rb"\n\r?\n")
_HEADER_LINES = re.compile(
    rb"^(?:[ \t]|[!-9;-~]++[ \t]*+:|From )[^\n]*+(?:\n[ \t][^\n]*+)*+",
    re.MULTILINE,
)


class Unparsable(ValueError):
    """The boundary of a multipart cannot be told."""


@dataclass(slots=True)
class Part:
    """A part: what its header says of its content, and either its body as it is written or the parts it is made of.

    `fields`: by names in lower case, of those known here the first of a name. An octet that is not ASCII is U+FFFD.
    `header`: the whole of it as it is written.
    """

    fields: dict[str, str]
    content_type: str
    octets: bytes = b""
    parts: "list[Part] | None" = None
    header: bytes = b""

    @property
    def encoding(self) -> str:
        """The transfer encoding that the header names, in lower case."""
        return self.fields.get("content-transfer-encoding", "").strip().lower()


def take_apart(raw: bytes, depth: int, budget: Budget) -> Part:
    """The tree of a message that stands `depth` levels deep, its parts spent from `budget`.

    Raises TooBig before it goes on beyond a limit, and Unparsable.
    """
    if len(raw) > MAX_DECODED_BYTES * 2:  # base64 and its line ends make four octets of three
        raise TooBig(f"more than {MAX_DECODED_BYTES} octets")
    splitter = _Splitter(b"\n" + _without_junk(raw), budget)
    part, _ = splitter.part(1, len(splitter.raw), depth)
    return part


def parameters(written: str) -> list[tuple[str, str | tuple[str | None, str | None, str]]]:
    """The value of a field and its parameters as the standard library's `get_params` gives them, in linear time.

    Raises what the library raises on hostile ones: ValueError for a number of 5,000 digits.
    """
    pairs = []
    for parameter in _split(written):
        name, equals, value = parameter.partition("=")
        pairs.append((name.strip().lower() if equals else name.strip(), value.strip()))
    return [
        (name, email.utils.unquote(value) if isinstance(value, str) else (*value[:2], email.utils.unquote(value[2])))
        for name, value in email.utils.decode_params(pairs)
    ]


def _split(written: str) -> Iterator[str]:
    """The pieces between the semicolons that do not stand between quotes."""
    piece, quotes = [], 0
    for some in written.split(";"):
        piece.append(some)
        quotes += some.count('"') - some.count('\\"')
        if quotes % 2 == 0:
            yield ";".join(piece)
            piece, quotes = [], 0
    if piece:
        yield ";".join(piece)


class _Stop(NamedTuple):
    """A boundary in force, where what stands before it ends: its line's begin and end, and the line without blanks.

    Where none follows, both are the end, and the line is empty.
    """

    begin: int
    end: int
    line: bytes


@dataclass
class _Splitter:
    """Takes one message apart. `raw` begins with a line end, so that one stands before every line."""

    raw: bytes
    budget: Budget
    # The lines that end what is being read, and the part that was begun last.
    _boundaries: set[bytes] = field(default_factory=set)
    _last: Part | None = None
    _blank: int = 0

    def part(self, begin: int, end: int, depth: int, default: str = "text/plain") -> tuple[Part, _Stop]:
        """The part that begins at `begin`, and what ended it."""
        check_depth(depth)
        fields, body = self._header(begin, end)
        self._last = part = Part(fields, _content_type(fields, default))
        part.header = self.raw[begin:body]
        kind = part.content_type.partition("/")[0]
        if part.content_type == "message/delivery-status":
            return part, self._blocks(part, body, end, depth)
        # RFC 2046 (5.2.1) forbids to encode an attached message, and programs do it: that one is octets for now.
        if kind == "message" and part.encoding not in ENCODINGS:
            inner, stop = self._inner(body, end, depth)
            part.parts = [inner]
            return part, stop
        if kind == "multipart" and (boundary := _boundary(fields["content-type"])) is not None:
            return part, self._multipart(part, b"--" + boundary, body, end, depth)
        stop = self._stop(body, end)
        part.octets = self.raw[body : stop.begin]
        return part, stop

    def _inner(self, begin: int, end: int, depth: int, default: str = "text/plain") -> tuple[Part, _Stop]:
        self.budget.spend(0)
        return self.part(begin, end, depth + 1, default)

    def _header(self, begin: int, end: int) -> tuple[dict[str, str], int]:
        """The fields of the header at `begin`, and where the body begins."""
        fields: dict[str, str] = {}
        place, count, envelope = begin, 0, None
        while found := _FIELD.match(self.raw, place, end):
            name = found[1]
            if name is not None and name.startswith(b"--") and self._boundary_at(place, end):
                break
            count += 1
            if count > MAX_HEADERS:
                raise TooBig(f"more than {MAX_HEADERS} headers")
            envelope = place if name is None and place > begin else None
            if name is not None and (known := _FIELDS.get(name.lower())) and known not in fields:
                written = found[2].lstrip(b" \t").rstrip(b"\r\n")
                fields[known] = written[:MAX_FIELD_LENGTH].decode("ascii", "replace")
            place = found.end()
        if self.raw.startswith(b"\r\n", place, end):
            return fields, place + 2
        if self.raw.startswith((b"\n", b"\r"), place, end):
            return fields, place + 1
        # Without a blank line, a last line `From ...` is the first of the body.
        if envelope is not None and len(self.raw[envelope:place].splitlines()) == 1:
            return fields, envelope
        return fields, place

    def _multipart(self, part: Part, boundary: bytes, begin: int, end: int, depth: int) -> _Stop:
        """Takes a multipart apart whose body begins at `begin`. One that has no part is a text."""
        closing = boundary + b"--"
        # A line that is a boundary of an outer multipart too is that one's (RFC 2046, 5.1.2).
        own = {boundary, closing} - self._boundaries
        self._boundaries |= own
        stop = self._stop(begin, end)
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        parts = []
        while stop.line == boundary and boundary in own:
            place = stop.end
            while (again := self._boundary_at(place, end)) and again.line in own:  # several in a row are as one
                self.budget.spend(0)
                place = again.end
            inner, stop = self._inner(place, end, depth, default)
            parts.append(inner)
            self._without_line_end(part)
        if parts:
            part.parts = parts
        else:
            part.octets = self.raw[begin : stop.begin]
        self._boundaries -= own
        if stop.line == closing and closing in own:
            return self._stop(stop.end, end)
        return stop

    def _without_line_end(self, multipart: Part) -> None:
        """The line end before a boundary belongs to it (RFC 2046, 5.1.1); before one of an inner multipart, once."""
        last = self._last
        if last is not None and not last.content_type.startswith("multipart/"):
            for line_end in (b"\r\n", b"\n", b"\r"):
                if last.octets.endswith(line_end):
                    last.octets = last.octets[: -len(line_end)]
                    break
        self._last = multipart

    def _blocks(self, part: Part, begin: int, end: int, depth: int) -> _Stop:
        """Takes a delivery status apart: headers in blocks with a blank line between them (RFC 3464, 2.1)."""
        part.parts = []
        while True:
            blank = min(self._blank_line(begin), end)
            inner, stop = self._inner(begin, blank, depth)
            part.parts.append(inner)
            if stop.begin < blank:
                return stop
            begin = min(blank + (2 if self.raw.startswith(b"\r\n", blank) else 1), end)
            if begin == end:
                return _Stop(end, end, b"")
            if after := self._boundary_at(begin, end):
                return after

    def _stop(self, begin: int, end: int) -> _Stop:
        """The first boundary in force from `begin` on."""
        if self._boundaries:
            for found in _DASHED_LINE.finditer(self.raw, begin, end):
                line = b"--" + found[1].rstrip(b" \t")
                if line in self._boundaries:
                    return _Stop(found.start(), found.end(), line)
        return _Stop(end, end, b"")

    def _boundary_at(self, place: int, end: int) -> _Stop | None:
        found = _DASHED_LINE.match(self.raw, place, end)
        line = b"--" + found[1].rstrip(b" \t") if found else b""
        return _Stop(place, found.end(), line) if found and line in self._boundaries else None

    def _blank_line(self, begin: int) -> int:
        """Where the first blank line from `begin` on begins. It is searched for once, however many parts ask."""
        if self._blank < begin:
            found = _BLANK_LINE.search(self.raw, begin - 1)
            self._blank = found.end() if found else len(self.raw)
        return self._blank


def _content_type(fields: dict[str, str], default: str) -> str:
    if "content-type" not in fields:
        return default
    content_type = fields["content-type"].partition(";")[0].strip().lower()
    return content_type if content_type.count("/") == 1 else "text/plain"  # RFC 2045, 5.2


def _boundary(written: str) -> bytes | None:
    """The boundary that a content type names; None without one, or with one that no octets can be."""
    try:
        named = next((value for name, value in parameters(written) if name.lower() == "boundary"), None)
        boundary = None if named is None else email.utils.collapse_rfc2231_value(named).rstrip()
    except Exception as error:  # the library raises anything on hostile parameters
        raise Unparsable("the boundary of a part cannot be told") from error
    try:
        return None if boundary is None else boundary.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return None


def _without_junk(raw: bytes) -> bytes:
    """The message without lines in its header that are no header: at the first of them the header would end."""
    found = _HEADER_END.search(raw)
    end = found.start() - raw.endswith(b"\r", 0, found.start()) if found else len(raw)
    kept = []
    for found in _HEADER_LINES.finditer(raw, 0, end):
        kept.append(found[0])
        if len(kept) > MAX_HEADERS:
            raise TooBig(f"more than {MAX_HEADERS} headers")
    return b"\n".join(kept).rstrip(b"\r\n") + (raw[end:] or b"\r\n\r\n") if kept else raw
