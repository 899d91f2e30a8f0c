"""What a request for octets asks for, by RFC 9110: preconditions (13), and a range of them (14).

One range is served. A request for several gets all octets, as the RFC allows, and so does a range that cannot be read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

_RANGE = re.compile(r"bytes *= *(\d{0,18}) *- *(\d{0,18}) *", re.IGNORECASE | re.ASCII)
_TAGS = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


@dataclass(frozen=True)
class Answer:
    """The status, and which octets go with it: from `start` up to and without `end`."""

    status: HTTPStatus
    start: int
    end: int


def answer_to(method: str, headers: Mapping[str, str], etag: str, size: int) -> Answer:
    """What to answer to a GET or HEAD of `size` octets whose strong entity tag is `etag` (with its quotes). `headers`:
    of the request, by their names in lower case."""
    if (wanted := headers.get("if-match")) is not None and not _has(wanted, etag, weak=False):
        return Answer(HTTPStatus.PRECONDITION_FAILED, 0, 0)
    if (known := headers.get("if-none-match")) is not None and _has(known, etag, weak=True):
        return Answer(HTTPStatus.NOT_MODIFIED, 0, 0)
    asked = _RANGE.fullmatch(headers.get("range", "")) if method == "GET" else None
    # If-Range with a date never fits: there is no Last-Modified here that it could be of (13.1.5).
    if asked is None or asked.groups() == ("", "") or headers.get("if-range", etag).strip() != etag:
        return Answer(HTTPStatus.OK, 0, size)
    first, last = asked.groups()
    if first and last and int(last) < int(first):
        return Answer(HTTPStatus.OK, 0, size)  # not valid, so ignored (14.1.1)
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, 0)
    return Answer(HTTPStatus.PARTIAL_CONTENT, start, end)


def _has(field: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags names this one, compared weakly or strongly (8.8.3.2); `*` names every one."""
    if field.strip() == "*":
        return True
    return any(f'"{tag}"' == etag and (weak or not prefix) for prefix, tag in _TAGS.findall(field))
