"""Outlook's containers, written: TNEF, `.msg` files, compressed and encapsulating RTF.

From the published descriptions ([MS-OXTNEF], [MS-OXMSG], [MS-CFB], [MS-OXRTFCP], [MS-OXRTFEX]) and sharing nothing with
the reader, numbers included, so that a misunderstanding of one is not also the other's.
"""

import html as html_text
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

UNICODE, EIGHT_BIT, BINARY, OBJECT, LONG = 0x001F, 0x001E, 0x0102, 0x000D, 0x0003


@dataclass(frozen=True)
class File:
    name: str
    content: bytes
    media_type: str = ""


@dataclass(frozen=True)
class Message:
    """A message as Outlook keeps it. `code_page`: in which 8-bit texts are written, and what the message says of it;
    `eight_bit`: texts as such. `html_type`: of the property with the page."""

    text: str | None = None
    html: str | None = None
    rtf: bytes | None = None
    files: tuple[File, ...] = ()
    messages: tuple["Message", ...] = ()
    codec: str = "utf-8"
    code_page: int = 65001
    eight_bit: bool = False
    html_type: int = BINARY

    def properties(self) -> list[tuple[int, int, bytes]]:
        """Identifier, type and value of each."""
        found = [
            (0x001A, UNICODE, "IPM.Note".encode("utf-16-le")),
            (0x0017, LONG, struct.pack("<I", 1)),
            (0x3FDE, LONG, struct.pack("<I", self.code_page)),
            (0x3FFD, LONG, struct.pack("<I", self.code_page)),
        ]
        if self.text is not None:
            found.append((0x1000, *self._string(self.text)))
        if self.html is not None and self.html_type == UNICODE:
            found.append((0x1013, UNICODE, self.html.encode("utf-16-le")))
        elif self.html is not None:
            found.append((0x1013, self.html_type, self.html.encode(self.codec, "xmlcharrefreplace")))
        if self.rtf is not None:
            found.append((0x1009, BINARY, compressed(self.rtf)))
        return found

    def _string(self, text: str) -> tuple[int, bytes]:
        text = text.replace("\n", "\r\n")
        return (EIGHT_BIT, text.encode(self.codec)) if self.eight_bit else (UNICODE, text.encode("utf-16-le"))

    def attached(self) -> Iterator["File | Message"]:
        yield from self.files
        yield from self.messages


def _file_properties(one: File | Message) -> list[tuple[int, int, bytes]]:
    name = one.name if isinstance(one, File) else "Original"
    found = [
        (0x3707, UNICODE, name.encode("utf-16-le")),
        (0x3704, EIGHT_BIT, b"ATT~1" + name[-4:].encode("ascii", "replace")),
        (0x3705, LONG, struct.pack("<I", 1 if isinstance(one, File) else 5)),
    ]
    if isinstance(one, File) and one.media_type:
        found.append((0x370E, UNICODE, one.media_type.encode("utf-16-le")))
    return found


# TNEF


def _attribute(level: int, identifier: int, data: bytes) -> bytes:
    return struct.pack("<BII", level, identifier, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


# What stands beside the properties that matter: names, several values, short values.
_BESIDE = (
    struct.pack("<HH", UNICODE, 0x8001) + bytes(range(16)) + struct.pack("<II", 1, 14)
    + _padded("Keyword".encode("utf-16-le")) + struct.pack("<II", 1, 4) + "x\0".encode("utf-16-le"),
    struct.pack("<HH", LONG, 0x8002) + bytes(16) + struct.pack("<II", 0, 0x8510) + struct.pack("<I", 7),
    struct.pack("<HH", UNICODE | 0x1000, 0x3A58) + struct.pack("<I", 2)
    + struct.pack("<I", 6) + _padded("abc".encode("utf-16-le"))
    + struct.pack("<I", 2) + _padded("d".encode("utf-16-le")),
    struct.pack("<HH", 0x000B, 0x0029) + struct.pack("<I", 1),
    struct.pack("<HH", 0x0002, 0x0036) + struct.pack("<I", 1),
    struct.pack("<HH", 0x0040, 0x0039) + bytes(8),
    struct.pack("<HH", 0x0048, 0x0E0F) + bytes(16),
)  # fmt: skip


def _listed(properties: list[tuple[int, int, bytes]]) -> bytes:
    values = [*_BESIDE]
    for identifier, kind, octets in properties:
        tag = struct.pack("<HH", kind, identifier)
        if kind == LONG:
            values.append(tag + octets)
        else:
            octets += {UNICODE: b"\0\0", EIGHT_BIT: b"\0"}.get(kind, b"")
            values.append(tag + struct.pack("<II", 1, len(octets)) + _padded(octets))
    return struct.pack("<I", len(values)) + b"".join(values)


def tnef(message: Message, *, body_attribute: bool = False) -> bytes:
    """A message as TNEF; with `body_attribute`, its text is in the attribute made for it instead of a property."""
    properties = message.properties()
    attributes = [
        _attribute(1, 0x00089006, struct.pack("<I", 0x00010000)),
        _attribute(1, 0x00069007, struct.pack("<II", message.code_page, 0)),
        _attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0"),
    ]
    if body_attribute and message.text is not None:
        properties = [one for one in properties if one[0] != 0x1000]
        attributes.append(_attribute(1, 0x0002800C, message.text.encode(message.codec) + b"\0"))
    attributes.append(_attribute(1, 0x00069003, _listed(properties)))
    for one in message.attached():
        attributes.append(_attribute(2, 0x00069002, bytes(14)))
        properties = _file_properties(one)
        if isinstance(one, File):
            attributes += [_attribute(2, 0x00018010, b"ATT~1.DAT\0"), _attribute(2, 0x0006800F, one.content)]
        else:
            interface = struct.pack("<IHH", 0x00020307, 0, 0) + b"\xc0\0\0\0\0\0\0\x46"
            properties.append((0x3701, OBJECT, interface + tnef(one)))
        attributes.append(_attribute(2, 0x00069005, _listed(properties)))
    return struct.pack("<IH", 0x223E9F78, 0x0102) + b"".join(attributes)


# Compound files

Tree = dict[str, "bytes | Tree"]
_FREE, _END, _FAT_ITSELF, _NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF


@dataclass
class _Entry:
    name: str
    kind: int  # 1 storage, 2 stream, 5 root
    content: bytes = b""
    left: int = _NONE
    right: int = _NONE
    child: int = _NONE
    start: int = _END


def compound(tree: Tree) -> bytes:
    """An OLE compound file of version 3 with these storages and streams, up to 7 MB."""
    entries = [_Entry("Root Entry", 5)]
    entries[0].child = _entered(tree, entries)
    small = bytearray()
    small_table: list[int] = []
    sectors = bytearray()
    table: list[int] = []
    for entry in entries:
        if entry.kind == 2 and entry.content:
            few = len(entry.content) < 4096
            entry.start = _laid(entry.content, *((small, small_table, 64) if few else (sectors, table, 512)))
    entries[0].content = bytes(small)
    entries[0].start = _laid(entries[0].content, sectors, table, 512)
    listing = b"".join(map(_directory_entry, entries))
    listing += bytes(-len(listing) % 512)
    directory = _laid(listing, sectors, table, 512)
    small_listing = struct.pack(f"<{len(small_table)}I", *small_table)
    small_listing += b"\xff" * (-len(small_listing) % 512)
    small_start = _laid(small_listing, sectors, table, 512)
    of_table = 0
    while of_table * 128 < len(table) + of_table:
        of_table += 1
    assert of_table <= 109, "larger than the header alone can list"
    places = range(len(table), len(table) + of_table)
    table += [_FAT_ITSELF] * of_table
    table += [_FREE] * (-len(table) % 128)
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 0x3E, 3, 0xFFFE, 9, 6, bytes(6),
        0, of_table, directory, 0, 4096, small_start, len(small_listing) // 512, _END, 0, 0,
    )[:76]  # fmt: skip
    header += struct.pack("<109I", *places, *[_FREE] * (109 - of_table))
    return header + bytes(sectors) + struct.pack(f"<{len(table)}I", *table)


def _entered(tree: Tree, entries: list[_Entry]) -> int:
    """Adds what a storage holds; gives the entry at the top of the search tree, ordered by length and capitals."""
    numbers = []
    for name in sorted(tree, key=lambda name: (len(name), name.upper())):
        content = tree[name]
        entry = _Entry(name, 2, content) if isinstance(content, bytes) else _Entry(name, 1)
        numbers.append(len(entries))
        entries.append(entry)
        if not isinstance(content, bytes):
            entry.child = _entered(content, entries)

    def top(numbers: list[int]) -> int:
        if not numbers:
            return _NONE
        middle = len(numbers) // 2
        entry = entries[numbers[middle]]
        entry.left, entry.right = top(numbers[:middle]), top(numbers[middle + 1 :])
        return numbers[middle]

    return top(numbers)


def _laid(content: bytes, sectors: bytearray, table: list[int], size: int) -> int:
    """Appends a stream to the sectors and its chain to their table; gives where it starts."""
    if not content:
        return _END
    start, count = len(table), -(-len(content) // size)
    sectors += content + bytes(-len(content) % size)
    table += [*range(start + 1, start + count), _END]
    return start


def _directory_entry(entry: _Entry) -> bytes:
    name = entry.name.encode("utf-16-le")
    return struct.pack(
        "<64sHBBIII16sIQQIQ",
        name, len(name) + 2, entry.kind, 1, entry.left, entry.right, entry.child, bytes(16), 0, 0, 0,
        entry.start, len(entry.content),
    )  # fmt: skip


# .msg


def _streams(properties: list[tuple[int, int, bytes]], header: bytes) -> Tree:
    fixed = b""
    tree: Tree = {}
    for identifier, kind, octets in properties:
        value = octets + bytes(4)
        if kind != LONG:
            tree[f"__substg1.0_{identifier:04X}{kind:04X}"] = octets
            value = struct.pack("<II", len(octets) + {UNICODE: 2, EIGHT_BIT: 1}.get(kind, 0), 0)
        fixed += struct.pack("<HHI", kind, identifier, 6) + value
    tree["__properties_version1.0"] = header + fixed
    return tree


def msg_tree(message: Message, *, header: int = 32) -> Tree:
    tree = _streams(message.properties(), bytes(header))
    for number, one in enumerate(message.attached()):
        inside = _streams(_file_properties(one), bytes(8))
        if isinstance(one, File):
            inside["__substg1.0_37010102"] = one.content
        else:
            inside["__substg1.0_3701000D"] = msg_tree(one, header=24)
        tree[f"__attach_version1.0_#{number:08X}"] = inside
    return tree


def msg(message: Message) -> bytes:
    tree = msg_tree(message)
    tree["__nameid_version1.0"] = {f"__substg1.0_{number:04X}0102": b"" for number in (2, 3, 4)}
    tree["__recip_version1.0_#00000000"] = _streams([(0x3001, UNICODE, "Anna".encode("utf-16-le"))], bytes(8))
    return compound(tree)


# Compressed RTF

_FILLED = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20"
    b"\\b\\i\\u\\tab\\tx"
)
assert len(_FILLED) == 207


@cache
def compressed(rtf: bytes, *, stored: bool = False) -> bytes:
    """[MS-OXRTFCP] 2.2: tokens in runs of eight; `stored`: not compressed at all."""
    if stored:
        return struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf
    whole = _FILLED + rtf
    seen = {whole[place : place + 3]: place for place in range(len(_FILLED) - 2)}
    tokens: list[int | tuple[int, int]] = []
    place = len(_FILLED)
    while place < len(whole):
        start, length = seen.get(whole[place : place + 3], -1), 0
        if start >= 0 and place - start < 4096:
            while length < 17 and place + length < len(whole) and whole[start + length] == whole[place + length]:
                length += 1
        tokens.append((start % 4096, length) if length > 1 else whole[place])
        for passed in range(place, place + max(length, 1)):
            seen[whole[passed - 2 : passed + 1]] = passed - 2
        place += max(length, 1)
    tokens.append((place % 4096, 2))
    output = bytearray()
    for first in range(0, len(tokens), 8):
        run = tokens[first : first + 8]
        output.append(sum(1 << bit for bit, token in enumerate(run) if isinstance(token, tuple)))
        for token in run:
            output += bytes([token]) if isinstance(token, int) else struct.pack(">H", token[0] << 4 | token[1] - 2)
    return struct.pack("<II4sI", len(output) + 12, len(rtf), b"LZFu", _checksum(bytes(output))) + output


def _checksum(octets: bytes) -> int:
    """CRC-32 without its inversions."""
    value = 0
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value


# RTF

_FONTS = r"{\fonttbl{\f0\fswiss\fcharset0 Arial;}{\f1\fnil\fcharset128 MS Gothic;}{\f2\fnil\fcharset177 David;}}"
_FONT_CODECS = ((0, "cp1252"), (1, "cp932"), (2, "cp1255"))


def _escaped(text: str, *, fonts: bool) -> str:
    """Text as RTF: beyond ASCII by numbers, or with `fonts` in the code pages of fonts where one of them has it."""
    pieces = []
    for char in text:
        if char in "\\{}":
            pieces.append(f"\\{char}")
        elif " " <= char <= "~":
            pieces.append(char)
        elif char == "\t":
            pieces.append("\\tab ")
        elif char == "\u00a0":
            pieces.append("\\~")
        else:
            pieces.append(_beyond_ascii(char, fonts=fonts))
    return "".join(pieces)


def _beyond_ascii(char: str, *, fonts: bool) -> str:
    for font, codec in _FONT_CODECS if fonts else ():
        try:
            octets = char.encode(codec)
        except UnicodeError:
            continue
        if octets.decode(codec) == char:
            return f"\\f{font} " + "".join(f"\\'{octet:02x}" for octet in octets) + "\\f0 "
    units = struct.unpack(f"<{len(char.encode('utf-16-le')) // 2}h", char.encode("utf-16-le"))
    return "".join(f"\\u{unit}?" for unit in units)


_PIECE = re.compile(r"(?s)<style.*?</style>|<[^>]*>|&[#\w]+;|\n|[^<&\n]+|.")


def rtf_of_html(html: str, *, fonts: bool = False) -> bytes:
    """[MS-OXRTFEX] 2.1: mark-up and references in groups of their own, text as text, and what RTF needs suppressed."""
    out = [r"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0", _FONTS, r"{\colortbl\red0\green0\blue0;}{\*\generator x;}"]
    out.append("\r\n\\uc1\\pard\\plain\\deftab360 \\f0\\fs24 \r\n{\\*\\htmltag64}\r\n")
    for piece in _PIECE.findall(html):
        if piece == "\n":
            out.append("{\\*\\htmltag0 \\par }\r\n")
        elif piece.startswith("<"):
            markup = _escaped(piece, fonts=False).replace("\\u10?", "\\par ")
            out.append(f"{{\\*\\htmltag84 {markup}}}{{\\*\\mhtmltag84 <x y=z>}}")
            if piece.startswith("<li"):
                out.append("\\htmlrtf {{\\*\\pn\\pnlvlbody}\\htmlrtf0 {\\pntext 9.\\tab}")
            elif piece.startswith(("</p", "<br", "</tr", "</li")):
                out.append("\\htmlrtf \\par\\b\\f0 not of the page\\htmlrtf0 \r\n")
        elif piece.startswith("&"):
            seen = _escaped(html_text.unescape(piece), fonts=False)
            out.append(f"{{\\*\\htmltag84 {piece}}}\\htmlrtf {seen}\\htmlrtf0 ")
        else:
            out.append(_escaped(piece, fonts=fonts))
    return "".join([*out, "}"]).encode("ascii")


def rtf_of_text(text: str, *, fonts: bool = False) -> bytes:
    """Plain text, encapsulated."""
    lines = "\\par\r\n".join(_escaped(line, fonts=fonts) for line in text.split("\n"))
    return (r"{\rtf1\ansi\ansicpg1252\fromtext \deff0" + _FONTS + r"\uc1\pard\plain\f0\fs20 " + lines + "}").encode()


def genuine_rtf(text: str, *, fonts: bool = False) -> bytes:
    """The text as a word processor would write it: labels and values in cells, and much that nobody sees."""
    out = [
        r"{\rtf1\ansi\ansicpg1252\deff0" + _FONTS + r"{\stylesheet{\s0 Normal;}{\s1 City: Lisbon;}}",
        r"{\info{\title City: Lisbon}{\author Anna}}{\header City: Lisbon\par}{\*\unknown {\b City:} Lisbon}",
        r"{\pict\wmetafile8 0102ff}\uc1\pard\plain\f0\fs20",
        r"{\field{\*\fldinst HYPERLINK \\l Lisbon}{\fldrslt See below}}",
        r"\par {\v City: Lisbon\par}\v hidden\v0  \bin5 {{{}\ \par ",
    ]
    for line in text.split("\n"):
        label, colon, value = line.partition(": ")
        if colon:
            label, value = _escaped(label, fonts=fonts), _escaped(value, fonts=fonts)
            out.append(f"\\trowd\\cellx3000\\cellx9000\\pard\\intbl{{\\b {label}:}}\\cell {value}\\cell\\row\r\n")
        else:
            out.append(f"\\pard {_escaped(line, fonts=fonts)}\\line\\par\r\n")
    return "".join([*out, "}"]).encode("ascii")


def enclosed(message: Message) -> Message:
    """A message with nothing but this one in it."""
    return Message(text="See the original.", messages=(message,))


def with_file(name: str, content: bytes, media_type: str = "") -> Message:
    return replace(Message(text="Please see the file."), files=(File(name, content, media_type),))
