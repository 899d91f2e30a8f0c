"""Mails that would take a reader long whose cost grows with more than their length.

python -m tests.hostile_mime reads each within a limit of processor time, which ends the process.
"""

import math
import resource
import time
from collections.abc import Callable

from ion.reading.limits import TooBig
from ion.reading.unwrap import bodies

CPU_SECONDS = 10
_LONG = 3_000_000
_HEAD = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n"
_STATUS = b"--b\nContent-Type: message/delivery-status\n\na"


def _filled(start: bytes, piece: bytes) -> bytes:
    return start + piece * (_LONG // len(piece))


def _levels(line_end: bytes) -> bytes:
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level) for level in range(50))
    return b"".join(levels).replace(b"\n", line_end)


def _never_closed() -> bytes:
    opened = (b"--b\nContent-Type: multipart/mixed; boundary=c%d\n\n" % number for number in range(490))
    return _HEAD + b"".join(opened) + b"--x\n" * (_LONG // 4)


def _each(field: bytes) -> bytes:
    return _HEAD + (b"--b\nContent-Type: " + field + b"\n\nx\n") * 300


# What is found: the number of bodies, or that it is refused.
MAILS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "blank lines": ("1", lambda: _filled(_HEAD, b"\n")),
    "blank lines in a header": ("1", lambda: _filled(b"a: b\r", b"\r\n")),
    "one line of dashes": ("1", lambda: _filled(_HEAD, b"-")),
    "lines of dashes": ("1", lambda: _filled(_HEAD, b"--\n")),
    "lines of dashes that CR ends": ("1", lambda: _filled(_HEAD, b"--\r")),
    "boundaries in a row": ("refused", lambda: _filled(_HEAD, b"--b\n")),
    "lines that begin with a boundary": ("1", lambda: _filled(_HEAD, b"--b1\n")),
    "no boundary below all levels": ("1", lambda: _filled(_levels(b"\n"), b"--x\n")),
    "no boundary below all levels, CR": ("1", lambda: _filled(_levels(b"\r"), b"--x\r")),
    "multiparts never closed": ("491", _never_closed),
    "delivery status of blank lines": ("refused", lambda: _filled(_STATUS, b"\n")),
    "delivery states without a blank line": ("241", lambda: _filled(_HEAD + (_STATUS + b"\n") * 240, b"x\n")),
    "one header line": ("1", lambda: _filled(b"Subject: ", b"x")),
    "one header name": ("1", lambda: _filled(b"", b"x")),
    "headers": ("refused", lambda: _filled(b"", b"a:\n")),
    "headers that could be boundaries": ("refused", lambda: _filled(_HEAD + b"--b\n", b"--a:\n")),
    "continuation lines": ("1", lambda: _filled(b"Subject: x\n", b" x\n")),
    "continuation lines amid junk": ("refused", lambda: _filled(b"Subject: x\n", b"junk\n x\n")),
    "junk in a header": ("1", lambda: _filled(b"Subject: x\n", b"junk\n")),
    "envelope lines": ("refused", lambda: _filled(_HEAD + b"--b\n", b"From x\n")),
    "a quote that is never closed": ("1", lambda: _filled(b'Content-Type: text/plain; a="', b";") + b"\n\nx"),
    "quotes that are never closed": ("301", lambda: _each(b'text/plain; a="' + b";" * 16_000)),
    "boundaries in quotes never closed": ("301", lambda: _each(b'multipart/x; boundary=c; a="' + b";" * 16_000)),
    "parameters in pieces": ("301", lambda: _each(b"text/plain" + b"".join(b"; a*%d=x" % n for n in range(1500)))),
}


def _read_all() -> None:
    for name, (_, made) in MAILS.items():
        raw = made()
        limit = math.ceil(time.process_time()) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        try:
            found = str(sum(1 for _ in bodies(raw)))
        except TooBig:
            found = "refused"
        print(f"{name}: {found}", flush=True)


if __name__ == "__main__":
    _read_all()
