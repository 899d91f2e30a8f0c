"""Taking a mail apart: as the standard library does it, at a bounded and linear cost."""

import email.message
import email.policy
import re
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ion.reading import mime
from ion.reading.limits import MAX_DEPTH, MAX_HEADERS, MAX_PARTS, Budget, TooBig, check_depth
from ion.reading.mime import ENCODINGS, MAX_FIELD_LENGTH, Part, Unparsable, parameters
from ion.reading.unwrap import bodies
from tests import hostile_mime
from tests.faults.broken_mails import library_mails
from tests.faults.inputs import CORPUS, SAMPLES, mutations
from tests.programs import missing

# The library's parser, as a mail was taken apart with it before.


class LibraryMessage(email.message.Message):
    def get_content_maintype(self) -> str:
        kind = super().get_content_maintype()
        encoding = str(self.get("content-transfer-encoding") or "").strip().lower()
        return "application" if kind == "message" and encoding in ENCODINGS else kind


def without_junk(raw: bytes) -> bytes:
    header, blank, body = re.split(rb"(\r?\n\r?\n|\Z)", raw, maxsplit=1)
    lines = [line for line in re.split(rb"(?<=\n)", header) if re.match(rb"[ \t]|[!-9;-~]+[ \t]*:|From ", line)]
    return b"".join(lines).rstrip(b"\r\n") + (blank or b"\r\n\r\n") + body if lines else raw


def library_tree(raw: bytes, depth: int, budget: Budget) -> Part:
    try:
        message = message_from_bytes(without_junk(raw), LibraryMessage, policy=email.policy.compat32)
    except Exception as error:
        raise Unparsable(str(error)) from error
    return library_part(message, depth, budget)


def library_part(message: email.message.Message, depth: int, budget: Budget) -> Part:
    check_depth(depth)
    names = ("content-type", "content-disposition", "content-transfer-encoding")
    fields = {name: str(message[name])[:MAX_FIELD_LENGTH] for name in names if name in message}
    part = Part(fields, message.get_content_type())
    if message.is_multipart():
        part.parts = []
        for inner in message.get_payload():
            assert isinstance(inner, email.message.Message)
            budget.spend(0)
            part.parts.append(library_part(inner, depth + 1, budget))
        return part
    del message["content-transfer-encoding"]
    octets = message.get_payload(decode=True)
    part.octets = octets if isinstance(octets, bytes) else b""
    return part


Outcome = list[tuple[str, str, str]] | type[ValueError]


def outcome(raw: bytes) -> Outcome:
    try:
        return [(body.kind, body.text, body.place) for body in bodies(raw)]
    except (TooBig, Unparsable) as error:
        return type(error)


def library_outcome(raw: bytes) -> Outcome:
    with patch("ion.reading.unwrap.take_apart", library_tree):
        return outcome(raw)


def with_line_ends(raw: bytes) -> Iterator[bytes]:
    """The mail as it is, and with each of the ends of lines that there are."""
    yield raw
    plain = raw.replace(b"\r\n", b"\n")
    for line_end in (b"\n", b"\r\n", b"\r"):
        yield plain.replace(b"\n", line_end)


# The same as the library's


@pytest.mark.parametrize(
    "folder", sorted(path for path in SAMPLES.iterdir() if path.is_dir()), ids=lambda path: path.name
)
def test_every_sample_gives_the_bodies_that_the_library_gives(folder: Path) -> None:
    for path in sorted(folder.rglob("*.eml")):
        for raw in with_line_ends(path.read_bytes()):
            assert outcome(raw) == library_outcome(raw), path.name


def test_kept_and_damaged_mails_give_the_bodies_that_the_library_gives() -> None:
    kept = (path.read_bytes() for path in sorted(CORPUS.rglob("*")) if path.is_file())
    for raw in (*kept, *islice(mutations(5), 300)):
        if not ends_a_header_with_an_envelope_line(raw):
            assert outcome(raw) == library_outcome(raw), raw


def test_the_mails_of_the_librarys_own_tests_give_the_bodies_that_the_library_gives() -> None:
    mails = sorted((library_mails() or missing("the standard library's own tests")).iterdir())
    assert len(mails) > 40
    for path in mails:
        for raw in with_line_ends(path.read_bytes()):
            assert outcome(raw) == library_outcome(raw), path.name


_HEAD = "Content-Type: multipart/mixed; boundary=b\n\n"
_INNER = "Content-Type: multipart/alternative; boundary=c\n\n"
SHAPES = {
    "nothing": ("", ["1"]),
    "preamble and epilogue": (_HEAD + "before\n--b\n\nx\n--b--\nafter\n--b\n\nno part\n", ["1.1"]),
    "no end": (_HEAD + "--b\n\nx\n--b\n\ny\n", ["1.1", "1.2"]),
    "no end and no part": (_HEAD + "--b", ["1.1"]),
    "no beginning": (_HEAD + "x\n--b--\ny\n", ["1"]),
    "a boundary that never occurs": (_HEAD + "--a\n\nx\n--a--\n", ["1"]),
    "no boundary named": ("Content-Type: multipart/mixed\n\n--b\n\nx\n--b--\n", ["1"]),
    "no boundary named in a part": (_HEAD + "--b\nContent-Type: multipart/mixed\n\nx\n\n--b\n\ny\n", ["1.1", "1.2"]),
    "an inner one that never begins": (_HEAD + f"--b\n{_INNER}x\n\n--b\n\ny\n--b--\n", ["1.1", "1.2"]),
    "an inner one without an end": (_HEAD + f"--b\n{_INNER}--c\n\nx\n--b\n\ny\n--b--\n", ["1.1.1", "1.2"]),
    "an inner one within its header": (
        _HEAD + "--b\nContent-Type: multipart/x; boundary=c\n--b\n\ny\n",
        ["1.1", "1.2"],
    ),
    "an inner one with text after": (_HEAD + f"--b\n{_INNER}--c\n\nx\n--c--\nz\n--c\n\n--b\n\ny\n", ["1.1.1", "1.2"]),
    "the same boundary within": (_HEAD + f"--b\n{_HEAD}--b\n\nx\n--b--\n", ["1.1", "1.2"]),
    "a boundary that begins with another": (
        _HEAD + f"--b\n{_INNER.replace('=c', '=b1')}--b1\n\nx\n--b1--\n--b\n\ny\n--b--\n",
        ["1.1.1", "1.2"],
    ),
    "a boundary that is another's end": (
        _HEAD.replace("=b", "=b--") + f"--b--\n{_HEAD}--b\n\nx\n--b--\n\ny\n--b----\n",
        ["1.1.1", "1.2"],
    ),
    "an empty boundary": ('Content-Type: multipart/x; boundary=""\n\n--\n\nx\n--\n\ny\n----\nz\n', ["1.1", "1.2"]),
    "boundaries with blanks": (_HEAD + "--b \t\n\nx\n--b  \n\ny\n--b--\t\nz\n", ["1.1", "1.2"]),
    "boundaries with more than blanks": (_HEAD + "--bx\n --b\n--b\n\nx\n--b -- \n--b---\n--b-\n>--b\n", ["1.1"]),
    "boundaries in a row": (_HEAD + "--b\n--b\n--b--\n\nx\n--b\n--b\n\ny\n--b--\n", ["1.1", "1.2"]),
    "a quoted boundary": ('Content-Type: multipart/x;\n\tboundary="b; c=\\"d"\n\n--b; c="d\n\nx\n', ["1.1"]),
    "an encoded boundary": (
        "Content-Type: multipart/x; boundary*0*=us-ascii'en'%62; boundary*1=c\n\n--bc\n\nx\n",
        ["1.1"],
    ),
    "a boundary no octets can be": ("Content-Type: multipart/x; boundary*=utf-8''%C3%A9\n\n--\u00e9\n\nx\n", ["1"]),
    "a boundary over two lines": ('Content-Type: multipart/x; boundary="b\n c"\n\n--b\n c\n\nx\n', ["1"]),
    "a boundary that cannot be told": ("Content-Type: multipart/x; boundary*=idna''.x\n\n--b\n\nx\n", Unparsable),
    "a boundary with a number too long": (
        f"Content-Type: multipart/x; boundary*{'9' * 5000}=b\n\n--b\n\nx\n",
        Unparsable,
    ),
    "parts without headers": (_HEAD + "--b\nx\n--b\nx: y\n--b\n--b\n\n\n--b--\n", ["1.1", "1.2", "1.3"]),
    "a part whose header is junk": (_HEAD + "--b\nx y\nContent-Type: text/html\n\nz\n--b--\n", ["1.1"]),
    "a header without a blank line": (_HEAD + "--b\nContent-Type: text/html\n<p>x</p>\n--b--\n", ["1.1"]),
    "a header that a boundary ends": (_HEAD + "--b\nContent-Type: text/html\n--b\n\nx\n", ["1.1", "1.2"]),
    "a header with lines like boundaries": (
        _HEAD + "--b\n--b: x\n--c: x\nContent-Type: text/html\n\nx\n--b--\n",
        ["1.1"],
    ),
    "a boundary like a header": (
        _HEAD.replace("=b", '="b:c"') + "--b:c\nSubject: x\n--b:c\nContent-Type: text/html\n--b:c--\n",
        ["1.1", "1.2"],
    ),
    "junk before and in the first header": ("junk\n\tjunk\nSubject: x\n>From y\nContent-Type: text/html\n\nx\n", ["1"]),
    "a mail that is only junk": ("junk\njunk\n", ["1"]),
    "an envelope line": ("From x\n y\nContent-Type: text/html\n\nx\n", ["1"]),
    "an envelope line amid a header": ("Subject: x\nFrom x\n y\nContent-Type: text/html\n\nx\n", ["1"]),
    "an envelope line that begins a body": (_HEAD + "--b\nSubject: x\nFrom x\njunk\n\ny\n--b--\n", ["1.1"]),
    "a field of no name": (": x\n y\nContent-Type: text/html\n: x\n ; y\n\nx\n", ["1"]),
    "fields of one name": ("Content-Type: text/html\nContent-Type: text/plain\n\nx\n", ["1"]),
    "a type of no kind": ("Content-Type: html\n\nx\n", ["1"]),
    "a message": (_HEAD + "--b\nContent-Type: message/rfc822\n\nSubject: x\n\ny\n\n--b--\n", ["1.1/1"]),
    "a message in a header": (_HEAD + "--b\nContent-Type: message/rfc822\nSubject: x\n--b\n\ny\n", ["1.1/1", "1.2"]),
    "a message of parts": (_HEAD + f"--b\nContent-Type: message/rfc822\n\n{_INNER}--c\n\nx\n\n--b--\n", ["1.1/1.1"]),
    "an encoded message": (
        _HEAD
        + "--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: BASE64 \n\nU3ViamVjdDogeAoKeQo=\n--b--\n",
        ["1.1/1"],
    ),
    "a message of another kind": (_HEAD + "--b\nContent-Type: message/http\n\nx: y\n\nz\n--b--\n", ["1.1.1"]),
    "a digest": (
        _HEAD.replace("mixed", "digest") + "--b\n\nSubject: x\n\ny\n--b\nContent-Type: text/html\n\nz\n--b--\n",
        ["1.1/1", "1.2"],
    ),
    "a digest of an encoded message": (
        _HEAD.replace("mixed", "digest") + "--b\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeAoKeQo=\n--b--\n",
        ["1.1/1"],
    ),
    "a delivery status": (
        _HEAD + "--b\nContent-Type: message/delivery-status\n\na: b\n\nc: d\njunk\n\n\n\ne: f\n--b\n\nx\n--b--\n",
        ["1.1.1", "1.1.2", "1.1.3", "1.1.4", "1.1.5", "1.2"],
    ),
    "a delivery status of parts": (
        f"Content-Type: message/delivery-status\n\n{_HEAD.rstrip()}\njunk\n--b\nx: y\n--b\nz\n\na: b\n\n--b\n",
        ["1.1.1", "1.1.2", "1.2", "1.3"],
    ),
    "an encoded multipart": (
        "Content-Transfer-Encoding: base64\n" + _HEAD + "--b\nContent-Transfer-Encoding: base64\n\neA==\n--b--\n",
        ["1.1"],
    ),
    "an encoded multipart of no parts": ("Content-Transfer-Encoding: base64\n" + _HEAD + "eA==\n", ["1"]),
    "line ends before a boundary": (_HEAD + "--b\n\n\n--b\n\n\n\n--b\n\nx \n\n\n--b--\n", ["1.1", "1.2", "1.3"]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_whatever_is_broken_is_split_as_the_library_splits_it(name: str) -> None:
    written, places = SHAPES[name]
    for raw in with_line_ends(written.encode()):
        found = outcome(raw)
        assert found == library_outcome(raw)
        if b"\r" not in raw or b"\n" in raw:  # junk is taken from a header by lines that LF ends
            assert (sorted(place for _, _, place in found) if isinstance(found, list) else found) == places
    mixed = re.sub(r"(?<=\w)\n", "\r\n", written).replace("\n--", "\r--").encode()
    if not ends_a_header_with_an_envelope_line(mixed):
        assert outcome(mixed) == library_outcome(mixed)


_LINES = (
    "--a", "--a--", "--b", "--b--", "--ab", "--a-", "--a ", "--a\t--", "--", "----", "-- ", "--a: x", "--c: x", "", "",
    "text", " fold", "\tx=y", "From x", "From: y", ":", ": z", "Subject: s", "a: --a", "=41", "QUJD", "no header",
    "Content-Type : text/html", "Content-Type: multipart/mixed; boundary=a",
    "Content-Type: multipart/mixed; boundary=b", "Content-Type: multipart/mixed;", ' boundary="a"',
    "Content-Type: multipart/mixed; boundary=a--",
    "Content-Type: multipart/digest; boundary=a", "Content-Type: multipart/mixed; boundary=",
    "Content-Type: multipart/mixed; boundary*=utf-8''%61", "Content-Type: multipart/mixed; boundary=\u00e9",
    "Content-Type: message/rfc822", "Content-Type: message/delivery-status", "Content-Type: message/partial",
    "content-TYPE:text/plain", "Content-Type: text/html", "Content-Type: x", "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable", "Content-Disposition: attachment; filename=a.eml",
)  # fmt: skip
_line_ends = st.sampled_from(["\n", "\r\n", "\r"])
_lines = st.lists(st.sampled_from(_LINES), max_size=30)
_starts = st.sampled_from(["", *(line + "\n" for line in _LINES if "boundary=" in line)])
_alike = st.builds(lambda start, lines, end: (start + "\n".join(lines)).replace("\n", end), _starts, _lines, _line_ends)
_mixed = st.lists(st.tuples(st.sampled_from(_LINES), _line_ends).map("".join), max_size=30).map("".join)


@pytest.mark.long
@given((_alike | _mixed).map(str.encode))
@settings(max_examples=1000, deadline=None)
def test_any_lines_are_split_as_the_library_splits_them(raw: bytes) -> None:
    assume(not ends_a_header_with_an_envelope_line(raw))
    assert outcome(raw) == library_outcome(raw)


_pieces = (
    "a",
    "b=c",
    '"',
    '\\"',
    "\\",
    ";",
    "=",
    "*",
    "*0",
    "*1*",
    "'",
    "%41",
    " ",
    "\t",
    "\r\n ",
    "<",
    ">",
    "A",
    "\ufffd",
)


@given(st.lists(st.sampled_from(_pieces), max_size=20).map("".join))
@settings(max_examples=1000, deadline=None)
def test_parameters_are_those_that_the_library_finds(written: str) -> None:
    message = email.message.Message()
    message.set_raw("content-type", written)
    assert parameters(written) == message.get_params()


# What differs from the library


def ends_a_header_with_an_envelope_line(raw: bytes) -> bool:
    return bool(re.search(rb"From [^\r\n]*(\r\n|\r|\n|\Z)([\r\n]|\Z)", without_junk(raw)))


@pytest.mark.parametrize("place", ["", _HEAD + "--b\n"])
def test_an_envelope_line_before_the_blank_line_belongs_to_the_header(place: str) -> None:
    raw = f"{place}Subject: x\nFrom y\n\nz".encode()
    assert [text for _, text, _ in outcome(raw)] == ["z"]  # type: ignore[union-attr]
    assert [text for _, text, _ in library_outcome(raw)] == ["From y\nz"]  # type: ignore[union-attr]


def test_a_field_that_is_too_long_is_cut_before_it_is_taken_apart() -> None:
    long = "x=" + "y" * MAX_FIELD_LENGTH
    assert outcome(f"Content-Type: text/html; {long}\n\nz".encode()) == [("html", "z", "1")]
    raw = f"Content-Type: multipart/mixed; {long}; boundary=b\n\n--b\n\nz\n".encode()
    assert outcome(raw) == [("text", "--b\n\nz\n", "1")]
    assert library_outcome(raw) == [("text", "z", "1.1")]


# Bounds


@pytest.mark.parametrize(
    ("raw", "limit"),
    [
        (_HEAD + "--b\n\nx\n" * 100_000, MAX_PARTS),
        (_HEAD + "--b\n" * 100_000, MAX_PARTS),
        ("Content-Type: message/delivery-status\n" + "\n" * 100_000, MAX_PARTS),
        ("".join(f"Content-Type: multipart/x; boundary=b{n}\n\n--b{n}\n" for n in range(10_000)), MAX_DEPTH),
        ("Content-Type: message/rfc822\n\n" * 10_000, MAX_DEPTH),
        ("X: y\n" * (MAX_HEADERS + 1) + "\nbody\n", MAX_HEADERS),
        (_HEAD + "--b\n" + "X: y\n" * (MAX_HEADERS + 1) + "\nbody\n", MAX_HEADERS),
        ("junk\n" + " x\njunk\n" * (MAX_HEADERS + 1) + "\nbody\n", MAX_HEADERS),
    ],
    ids=["parts", "boundaries", "blocks", "levels", "messages", "headers", "headers of a part", "scattered headers"],
)
def test_what_has_too_many_is_refused_before_more_are_made(raw: str, limit: int) -> None:
    made = []

    def counted(fields: dict[str, str], content_type: str) -> Part:
        made.append(content_type)
        return Part(fields, content_type)

    with patch.object(mime, "Part", counted), pytest.raises(TooBig, match=str(limit)):
        list(bodies(raw.encode()))
    assert len(made) <= limit + 1


def test_more_octets_than_a_mail_can_have_are_refused_before_they_are_read() -> None:
    with patch.object(mime, "_without_junk", None), pytest.raises(TooBig, match="octets"):
        list(bodies(b"Subject: x\r\n\r\n" + b"x" * 50_000_000))


def test_as_many_parts_headers_and_levels_as_are_allowed_are_read() -> None:
    headers = b"".join(b"X-%d: y\r\n" % number for number in range(MAX_HEADERS - 1))
    part = b"--b\r\nContent-Type: text/plain\r\n\r\n--not a boundary\r\n"
    raw = headers + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * MAX_PARTS + b"--b--\r\n"
    assert len(list(bodies(raw))) == MAX_PARTS
    (body,) = bodies(b"Content-Type: message/rfc822\n\n" * MAX_DEPTH + b"\nx")
    assert body.place.count("/") == MAX_DEPTH


@pytest.mark.long
def test_hostile_mails_take_no_more_than_their_length() -> None:
    """Each in a few seconds of processor time, where a cost with the square of the length would take minutes."""
    done = subprocess.run([sys.executable, "-m", hostile_mime.__name__], capture_output=True, check=False, timeout=300)
    read = dict(line.rsplit(":", 1) for line in done.stdout.decode().splitlines())
    assert {name: found.strip() for name, found in read.items()} == {
        name: expected for name, (expected, _) in hostile_mime.MAILS.items()
    }, done.stderr.decode()
