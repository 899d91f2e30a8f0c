"""Mails attached to a mail, octet for octet: a signature does not survive being taken apart and put together again.

Only where a part begins and ends is found here; what stands in it is for the reader, who reads it by itself.
"""

import binascii
import email
import email.policy
import re
from collections.abc import Iterator
from email.message import Message

MOST_ORIGINALS = 5
_MOST_PARTS = 100
_MOST_LEVELS = 8
_LONGEST_HEADER = 65_536
_LONGEST_LINE = 16_384
_CONTENT_FIELD = re.compile(rb"(?im)^content-(?:type|transfer-encoding|disposition)[ \t]*:.*(?:\n[ \t].*)*")


def originals(raw: bytes) -> tuple[tuple[str, bytes], ...]:
    """The mails attached to `raw`, at any depth, outermost first, at most five: the place of each among the parts
    (`2`, `2/1.3`) and its octets without a transfer encoding. Does not raise."""
    found: list[tuple[str, bytes]] = []
    budget = [_MOST_PARTS]
    for one in _attached(raw, "", 0, budget):
        found.append(one)
        if len(found) == MOST_ORIGINALS:
            break
    return tuple(found)


def _attached(octets: bytes, place: str, level: int, budget: list[int]) -> Iterator[tuple[str, bytes]]:
    budget[0] -= 1
    if level > _MOST_LEVELS or budget[0] < 0:
        return
    header, body = _split(octets)
    if header is None:
        return
    content_type = header.get_content_type()
    if content_type.startswith("multipart/"):
        boundary = _boundary(header)
        for number, part in enumerate(_parts(body, boundary) if boundary else (), 1):
            yield from _attached(part, f"{place}.{number}".lstrip("."), level + 1, budget)
    elif place and (content_type in ("message/rfc822", "message/global") or _is_file(header)):
        original = _decoded(header, body)
        if original:
            yield place, original
            yield from _attached(original, f"{place}/1", level + 1, budget)


def _split(octets: bytes) -> tuple[Message | None, bytes]:
    """The header of a part, read far enough to know its type, and its body."""
    if octets.startswith((b"\r\n", b"\n")):
        return email.message_from_bytes(b"", policy=email.policy.compat32), octets[octets.index(b"\n") + 1 :]
    blank = re.search(rb"\r?\n\r?\n", octets[:_LONGEST_HEADER])
    if blank is None:
        return None, b""
    lines = _CONTENT_FIELD.findall(octets[: blank.end()])
    kept = b"".join(line.rstrip(b"\r\n") + b"\r\n" for line in lines if len(line) < _LONGEST_LINE)
    try:
        return email.message_from_bytes(kept + b"\r\n", policy=email.policy.compat32), octets[blank.end() :]
    except Exception:  # the library raises anything on hostile headers
        return None, b""


def _boundary(header: Message) -> str | None:
    try:
        return header.get_boundary()
    except Exception:  # as above
        return None


def _parts(body: bytes, boundary: str) -> Iterator[bytes]:
    """The parts between the lines of a boundary. The line end before such a line belongs to it (RFC 2046, 5.1.1)."""
    line = re.compile(
        rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("ascii", "replace")) + rb"(--)?[ \t]{0,100}(?:\r?\n|\Z)"
    )
    begin: int | None = None
    place = 0
    while (found := line.search(body, place)) is not None:
        if begin is not None:
            yield body[begin : found.start()]
        if found[1]:
            return
        begin = found.end()
        # The line end behind a boundary may be the one before the next.
        place = found.end() - 2 if body[found.end() - 2 : found.end()] == b"\r\n" else found.end() - 1
        place = max(place, found.start() + 3)
    if begin is not None:
        yield body[begin:]


def _is_file(header: Message) -> bool:
    """Whether a part is a mail under another type: a file that is called `.eml`."""
    try:
        return str(header.get_filename() or "").lower().endswith(".eml")
    except Exception:  # as above
        return False


def _decoded(header: Message, body: bytes) -> bytes | None:
    encoding = str(header.get("content-transfer-encoding") or "").strip().lower()
    try:
        if encoding == "base64":
            return binascii.a2b_base64(body)
        return binascii.a2b_qp(body) if encoding == "quoted-printable" else body
    except ValueError:
        return None
