"""The MIME of our mails, octet by octet: header fields, texts in encodings of seven bits, attached files, multiparts.

Written here, because the standard library parses each field that it is given and so takes half of what it costs to make
a mail. Seven bits only: not every relay on the way speaks 8BITMIME (RFC 6152), and one that does not bounces.

A part is its header, an empty line and its body, which ends with CR LF.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from email.headerregistry import Address

LINE = 76  # octets; RFC 2045, 6.7 and 6.8, and RFC 5322, 2.1.1 with some to spare
_ATOMS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+( [\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_NAME_LENGTH = 60  # of a name that is written as it is; a longer one is encoded, which can be folded


def field(name: str, text: str) -> bytes:
    """A field of plain text without control characters, folded at blanks, encoded (RFC 2047) where it is not ASCII."""
    if not text.isascii() or max(map(len, text.split(" "))) > LINE - len(name):
        return f"{name}: {_encoded_words(text)}\r\n".encode("ascii")
    lines = [f"{name}:"]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) < LINE or lines[-1] == f"{name}:" or not word:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def address_field(name: str, addresses: Sequence[Address]) -> bytes:
    """A field of addresses (RFC 5322, 3.4), one a line."""
    written = ",\r\n ".join(
        f"{_phrase(one.display_name)} <{one.addr_spec}>" if one.display_name else one.addr_spec for one in addresses
    )
    return f"{name}: {written}\r\n".encode("ascii")


def text_part(kind: str, text: str) -> bytes:
    """A text of the type `text/<kind>`, its lines as they are: readable as it stands where it can be, else in the
    shorter of the two encodings."""
    octets = text.encode().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    if octets.isascii() and max(map(len, octets.split(b"\r\n"))) <= LINE:
        encoding, body = "7bit", octets
    else:
        encoding, body = "quoted-printable", binascii.b2a_qp(octets, istext=True)
        if len(body) > len(octets) * 4 // 3 * 78 // LINE:
            encoding, body = "base64", _base64(octets)
    head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + body


def file_part(kind: str, name: str, octets: bytes) -> bytes:
    """An attached file. `kind`: its media type; `name`: letters, digits, `.`, `_` and `-` of ASCII."""
    head = (
        f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
    )
    return head.encode() + _base64(octets)


def message_part(octets: bytes) -> bytes:
    """An attached message (RFC 2046, 5.2.1), its octets as they are."""
    head = b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
    return head + octets + (b"" if octets.endswith(b"\r\n") else b"\r\n")


def multipart(kind: str, parts: Iterable[bytes], boundary: str) -> bytes:
    """Parts in one (RFC 2046, 5.1). `boundary` must not stand in any of them."""
    mark = b"--" + boundary.encode("ascii")
    # The line end before a mark is the mark's; each part ends with one of its own too.
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + body + mark + b"--\r\n"


def _base64(octets: bytes) -> bytes:
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _phrase(name: str) -> str:
    """A name as a phrase: atoms or one quoted string, which are never folded, or encoded words (RFC 2047, 5 (3))."""
    if len(name) <= _NAME_LENGTH and _ATOMS.fullmatch(name):
        return name
    if len(name) <= _NAME_LENGTH and name.isascii():
        return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return _encoded_words(name)


def _encoded_words(text: str) -> str:
    pieces = [""]
    for letter in text:
        if len((pieces[-1] + letter).encode()) > 45:  # an encoded word has at most 75 characters (RFC 2047, 2)
            pieces.append("")
        pieces[-1] += letter
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(piece.encode()).decode()}?=" for piece in pieces)
