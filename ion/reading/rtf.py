"""RTF as Outlook stores it: decompressed, and turned back into the HTML or plain text it was made from.

`decompressed` undoes the compression of [MS-OXRTFCP] (2.1.3 and 3.1: `LZFu`, a dictionary of 4,096 octets that starts
filled, and `MELA`, which is none). `read_rtf` reads RTF 1.9: where the RTF encapsulates an original (`\\fromhtml1`,
`\\fromtext`), the original is taken out as [MS-OXRTFEX] 2.2.3 says; of genuine RTF it gives the text a person sees.

Written for hostile input: the output is bounded, groups are on a stack of their own, and what is malformed is either
passed over or raises `Unreadable`.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ion.reading.charsets import code_page, strictly


class Unreadable(ValueError):
    """A container of Outlook's, or something in it, is not what it says it is."""


# A notification of fifty lines takes less than 300 kB; this is what the reader gets through in four seconds at worst.
MAX_RTF_OCTETS = 3_000_000
_MAX_GROUPS = 2_000

_HEADER = struct.Struct("<II4sI")  # octets that follow this number, octets of RTF, kind, checksum
# [MS-OXRTFCP] 2.1.2.1: what the dictionary holds at the start. It is written from here on, so the rest comes before it.
_KNOWN_BEFORE = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbo"
    rb"lArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_DICTIONARY = 4096
_FILLED = bytes(_DICTIONARY - len(_KNOWN_BEFORE)) + _KNOWN_BEFORE


def decompressed(octets: bytes, most: int = MAX_RTF_OCTETS) -> bytes:
    """The RTF in a PidTagRtfCompressed property, cut at `most` octets; raises Unreadable.

    Neither the sizes nor the checksum in the header are believed: a cut property gives what came before the cut, and
    whether an order is whole the seal says.
    """
    if len(octets) < _HEADER.size:
        raise Unreadable("compressed RTF without a header")
    _, size, kind, _ = _HEADER.unpack_from(octets)
    if kind == b"MELA":
        return octets[_HEADER.size :][: min(size, most)]
    if kind != b"LZFu":
        raise Unreadable("RTF compressed in an unknown way")
    return _inflated(octets, most)


def _inflated(octets: bytes, most: int) -> bytes:
    """Runs of eight tokens, each run behind an octet that says which are literal and which refer to the dictionary.

    The dictionary is a ring; here it is the last 4,096 octets of the output, which starts with what the ring holds.
    """
    output = bytearray(_FILLED)
    end = most + _DICTIONARY
    position, last = _HEADER.size, len(octets)
    while position < last and len(output) < end:
        flags = octets[position]
        position += 1
        if not flags:
            output += octets[position : position + 8]
            position += 8
            continue
        for bit in range(8):
            if not flags >> bit & 1:
                output += octets[position : position + 1]
                position += 1
                continue
            if position + 2 > last:
                position = last
                break
            reference = octets[position] << 8 | octets[position + 1]
            position += 2
            length = (reference & 15) + 2
            back = (len(output) + len(_KNOWN_BEFORE) - (reference >> 4)) % _DICTIONARY
            if not back:  # a reference to where the next octet goes ends the text
                position = last
                break
            start = len(output) - back
            repeated = output[start : start + length]
            while len(repeated) < length:
                repeated += repeated[: length - len(repeated)]
            output += repeated
    return bytes(output[_DICTIONARY:end])


# A control word with its number, an octet in hexadecimal digits, a control symbol, a brace, text.
_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9A-Fa-f]{2})|\\([^A-Za-z'])|([{}])|([^\\{}\r\n]+)", re.DOTALL
)
_BREAKS = dict.fromkeys("par line sect page column softline cell nestcell row nestrow".split(), "\n")
_CHARACTERS = {
    **_BREAKS,
    "tab": "\t",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
    "bullet": "•",
    "endash": "–",
    "emdash": "—",
    "emspace": "\u2003",
    "enspace": "\u2002",
    "qmspace": "\u2005",
    "zwj": "\u200d",
    "zwnj": "\u200c",
    "zwbo": "\u200b",
    "ltrmark": "\u200e",
    "rtlmark": "\u200f",
}
_SYMBOLS = {
    b"~": "\u00a0",
    b"-": "\u00ad",
    b"_": "\u2011",
    b"{": "{",
    b"}": "}",
    b"\\": "\\",
    b"\n": "\n",
    b"\r": "\n",
    b"\t": "\t",
}
# Groups that hold no text of the body. Those that begin with `\*` are passed over unless they are in `_KNOWN_STARRED`.
_UNSEEN = frozenset(
    "colortbl stylesheet info pict nonshppict objdata objclass header headerl headerr headerf footer footerl footerr"
    " footerf footnote fldinst xe tc rxe nonesttables filetbl listtable listoverridetable revtbl generator themedata"
    " template private mhtmltag ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn".split()
)
# What stands before an item of a list: text in RTF, and in HTML what the page itself makes of the list.
_NUMBERING = frozenset(("pntext", "listtext"))
_KNOWN_STARRED = frozenset(("htmltag", "shppict"))
# Character sets of fonts ([MSFT-RTF], \fcharset) → code pages; 1 and 2 (default, symbols) say none.
_FONT_CODE_PAGES = {
    0: 1252, 77: 10000, 78: 10001, 79: 10003, 80: 10008, 81: 10002, 83: 10005, 84: 10004, 85: 10006, 86: 10081,
    88: 10029, 89: 10007, 128: 932, 129: 949, 130: 1361, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258,
    177: 1255, 178: 1256, 179: 1256, 180: 1256, 181: 1255, 186: 1257, 204: 1251, 222: 874, 238: 1250, 254: 437,
    255: 850,
}  # fmt: skip
_CHARSET_WORDS = {"ansi": 1252, "mac": 10000, "pc": 437, "pca": 850}
# A character that came as a number is one, whatever it means in HTML ([MS-OXRTFEX] 2.1.3.1.4.2).
_ESCAPED = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}

Kind = Literal["html", "text"]


def read_rtf(rtf: bytes) -> tuple[Kind, str]:
    """What an RTF document was made from: `html` with the page, or `text`; raises Unreadable."""
    if not rtf.lstrip().startswith(b"{\\rtf"):
        raise Unreadable("RTF that does not begin as RTF")
    reader = _Reader()
    reader.read(rtf[:MAX_RTF_OCTETS])
    return reader.kind, reader.text()


@dataclass(slots=True)
class _Group:
    """What holds until the brace closes."""

    seen: bool = True
    hidden: bool = False
    suppressed: bool = False  # \htmlrtf: not of the original
    markup: bool = False  # {\*\htmltag ...}
    fonts: bool = False  # {\fonttbl ...}
    skips: int = 1  # \uc: how many characters behind a \u stand for it
    font: int | None = None

    def inner(self) -> "_Group":
        return _Group(self.seen, self.hidden, self.suppressed, self.markup, self.fonts, self.skips, self.font)


@dataclass(slots=True)
class _Reader:
    kind: Kind = "text"
    encapsulated: bool = False
    group: _Group = field(default_factory=_Group)
    outer: list[_Group] = field(default_factory=list)
    code_page: int = 1252
    font_code_pages: dict[int, int] = field(default_factory=dict)
    default_font: int | None = None
    defined_font: int | None = None
    starred: bool = False  # the last token was \*
    to_skip: int = 0
    pieces: list[str] = field(default_factory=list)
    waiting: bytearray = field(default_factory=bytearray)  # octets of one code page: a character may take several
    waiting_in: int = 1252

    def read(self, rtf: bytes) -> None:
        for word, number, digits, symbol, brace, literal in _tokens(rtf):
            if literal:
                self._literal(literal.replace(b"\0", b""))
            elif word:
                self._word(word.decode().lower(), int(number) if number else None)
            elif digits:
                self._octets(bytes.fromhex(digits.decode()))
            elif brace == b"{":
                self._open()
            elif brace:
                self._close()
            else:
                self._symbol(symbol)
            self.starred = symbol == b"*"

    def text(self) -> str:
        self._flush()
        # Halves of a pair come as two numbers; what is left without its other half is no character.
        return "".join(self.pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _open(self) -> None:
        if len(self.outer) >= _MAX_GROUPS:
            raise Unreadable(f"RTF with more than {_MAX_GROUPS} groups in each other")
        self.outer.append(self.group)
        self.group = self.group.inner()
        self.to_skip = 0

    def _close(self) -> None:
        self.group = self.outer.pop() if self.outer else _Group()
        self.to_skip = 0

    def _word(self, word: str, number: int | None) -> None:
        unseen = word in _UNSEEN or (word in _NUMBERING and self.kind == "html")
        if unseen or (self.starred and word not in _KNOWN_STARRED):
            self.group.seen = False
        elif word in _CHARACTERS:
            self._character(_CHARACTERS[word])
        elif word in _WORDS:
            _WORDS[word](self, number)
        elif word in _CHARSET_WORDS:
            self.code_page = _CHARSET_WORDS[word]

    def _symbol(self, symbol: bytes) -> None:
        character = _SYMBOLS.get(symbol)
        if character:
            self._character("\u00ad" if self.kind == "html" and symbol == b"_" else character)

    def _literal(self, octets: bytes) -> None:
        skipped, self.to_skip = self.to_skip, max(0, self.to_skip - len(octets))
        self._seen_octets(octets[skipped:])

    def _octets(self, octets: bytes) -> None:
        if self.to_skip:
            self.to_skip -= 1
        else:
            self._seen_octets(octets)

    def _seen_octets(self, octets: bytes) -> None:
        if not self._shown():
            return
        font = self.default_font if self.group.font is None else self.group.font
        page = self.code_page if self.group.markup or font is None else self.font_code_pages.get(font, self.code_page)
        if page != self.waiting_in:
            self._flush()
            self.waiting_in = page
        self.waiting += octets

    def _character(self, character: str) -> None:
        if self.to_skip and character != "\n":
            self.to_skip -= 1
        elif self._shown():
            self.to_skip = 0
            self._flush()
            self.pieces.append(character)

    def _shown(self) -> bool:
        group = self.group
        if self.kind == "html":
            return group.seen and not group.suppressed
        return group.seen and not group.hidden

    def _flush(self) -> None:
        if self.waiting:
            self.pieces.append(_text(bytes(self.waiting), self.waiting_in, self.code_page))
            self.waiting.clear()

    # Control words, each with its number

    def _from(self, kind: Kind) -> None:
        # Part of the header, so before any text ([MS-OXRTFEX] 2.2.3.1).
        if not self.encapsulated and not self.pieces and not self.waiting:
            self.encapsulated = True
            self.kind = kind

    def _htmltag(self, _: int | None) -> None:
        self.group.markup = True
        self.group.seen = self.group.seen and self.kind == "html"

    def _htmlrtf(self, number: int | None) -> None:
        self.group.suppressed = number != 0

    def _fonttbl(self, _: int | None) -> None:
        self.group.fonts, self.group.seen = True, False

    def _f(self, number: int | None) -> None:
        if self.group.fonts:
            self.defined_font = number
        else:
            self.group.font = number

    def _fcharset(self, number: int | None) -> None:
        self._font_code_page(_FONT_CODE_PAGES.get(number or 0))

    def _font_code_page(self, number: int | None) -> None:
        if self.group.fonts and self.defined_font is not None and code_page(number) and number:
            self.font_code_pages[self.defined_font] = number

    def _deff(self, number: int | None) -> None:
        self.default_font = number

    def _ansicpg(self, number: int | None) -> None:
        if number and code_page(number):
            self.code_page = number

    def _uc(self, number: int | None) -> None:
        self.group.skips = max(0, min(number if number is not None else 1, 100))

    def _u(self, number: int | None) -> None:
        self.to_skip = 0
        if number is not None and -0x8000 <= number <= 0xFFFF:
            character = chr(number % 0x10000)
            self._character(_ESCAPED.get(character, character) if self.kind == "html" else character)
        self.to_skip = self.group.skips

    def _v(self, number: int | None) -> None:
        self.group.hidden = number != 0

    def _plain(self, _: int | None) -> None:
        self.group.hidden, self.group.font = False, None


_WORDS: dict[str, Callable[[_Reader, int | None], None]] = {
    "fromhtml": lambda reader, _: reader._from("html"),
    "fromtext": lambda reader, _: reader._from("text"),
    "htmltag": _Reader._htmltag,
    "htmlrtf": _Reader._htmlrtf,
    "fonttbl": _Reader._fonttbl,
    "f": _Reader._f,
    "fcharset": _Reader._fcharset,
    "cpg": _Reader._font_code_page,
    "deff": _Reader._deff,
    "ansicpg": _Reader._ansicpg,
    "uc": _Reader._uc,
    "u": _Reader._u,
    "v": _Reader._v,
    "plain": _Reader._plain,
}


def _tokens(rtf: bytes) -> Iterator[tuple[bytes, ...]]:
    """The tokens of a document; what follows a `\\bin` is binary and none."""
    position = 0
    while position < len(rtf):
        for token in _TOKEN.finditer(rtf, position):
            if token[1] == b"bin":
                position = token.end() + max(0, int(token[2] or 0))
                break
            yield token.groups()
        else:
            return


def _text(octets: bytes, page: int, default_page: int) -> str:
    """A run of octets in the code page of its font, or else of the document."""
    names = [name for name in (code_page(page), code_page(default_page)) if name]
    for name in names:
        text = strictly(octets, name)
        if text is not None:
            return text
    return octets.decode(names[0] if names else "cp1252", "replace")
