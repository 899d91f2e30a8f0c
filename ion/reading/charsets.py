"""Octets → text, in the charset a mail names, if that is one and it fits.

Python knows more codecs than charsets (`unicode_escape`, `zip`, `idna`), and mail more names than Python; so this is a
closed table of both. What is on no list is read as UTF-8 and, failing that, Windows-1252, with replacement characters.
EBCDIC is left out: no mail is written in it, and its blanks are no blanks to anybody else.
"""

import re
from encodings.aliases import aliases

_ONE_OCTET = (
    "ascii cp437 cp720 cp737 cp775 cp850 cp852 cp855 cp856 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869"
    " cp874 cp1006 cp1125 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 hp_roman8 koi8_r koi8_t koi8_u"
    " kz1048 latin_1 iso8859_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9"
    " iso8859_10 iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 mac_arabic mac_croatian mac_cyrillic mac_farsi"
    " mac_greek mac_iceland mac_latin2 mac_roman mac_romanian mac_turkish ptcp154 tis_620"
).split()
_SEVERAL_OCTETS = (
    "big5 big5hkscs cp932 cp949 cp950 euc_jis_2004 euc_jisx0213 euc_jp euc_kr gb18030 gb2312 gbk hz iso2022_jp"
    " iso2022_jp_1 iso2022_jp_2 iso2022_jp_2004 iso2022_jp_3 iso2022_jp_ext iso2022_kr johab shift_jis shift_jis_2004"
    " shift_jisx0213 utf_7 utf_8 utf_8_sig utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le"
).split()
CODECS = frozenset((*_ONE_OCTET, *_SEVERAL_OCTETS))

# Names that mail uses and Python does not know, by codec: from the registry of IANA, the Encoding Standard of WHATWG
# and the code pages of Windows and the Macintosh, which programs of those systems write down as they call them.
_MORE_NAMES = {
    "ascii": "ansi iso646 csascii",
    "latin_1": "x-ansi",
    "cp437": "dos-437 oem-us",
    "cp866": "dos-866",
    "cp874": "x-windows-874",
    "cp932": "windows-932 windows-31j x-sjis x-ms-cp932 cswindows31j sjis-open",
    "cp949": "windows-949 ks_c_5601 ks_c_5601-1987 ks_c_5601-1989 ksc_5601 korean uhc",
    "cp950": "windows-950 x-x-big5",
    "cp1252": "windows-ansi x-user-latin1",
    "euc_jis_2004": "x-euc-jis-2004",
    "euc_jp": "x-euc-jp x-euc",
    "euc_kr": "x-euc-kr cseuckr",
    "big5": "cn-big5 x-big5 x-mac-chinesetrad",
    "big5hkscs": "x-big5-hkscs",
    "gb18030": "x-gb18030",
    "gb2312": "cn-gb gb_2312-80 x-euc-cn csgb2312",
    "gbk": "x-gbk windows-936 x-cp936 x-mac-chinesesimp",
    "hz": "x-hz",
    "iso2022_jp": "x-iso-2022-jp iso-2022-jp-ms cp50220 cp50221 cp50222 _iso-2022-jp$esc _iso-2022-jp$sio",
    "iso2022_kr": "x-iso-2022-kr",
    "iso8859_6": "iso-8859-6-e iso-8859-6-i",
    "iso8859_8": "iso-8859-8-e iso-8859-8-i logical visual",
    "iso8859_15": "latin-9 latin0",
    "koi8_r": "koi koi8 x-koi8-r",
    "koi8_u": "koi8-ru x-koi8-u",
    "kz1048": "windows-1048",
    "mac_arabic": "x-mac-arabic",
    "mac_croatian": "x-mac-croatian",
    "mac_cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "mac_farsi": "x-mac-farsi",
    "mac_greek": "x-mac-greek",
    "mac_iceland": "x-mac-iceland x-mac-icelandic",
    "mac_latin2": "x-mac-ce x-mac-centeuro x-mac-centraleurroman x-mac-latin2",
    "mac_roman": "macintosh x-mac-roman x-macroman",
    "mac_romanian": "x-mac-romanian",
    "mac_turkish": "x-mac-turkish",
    "shift_jis": "x-shift-jis x-mac-japanese",
    "tis_620": "x-tis-620",
    "utf_7": "unicode-1-1-utf-7 x-unicode-2-0-utf-7 csutf7",
    "utf_8": "unicode-1-1-utf-8 x-unicode-2-0-utf-8 utf8mb4 utf8mb3 csutf8 x-utf-8",
    "utf_16": "unicode ucs-2 iso-10646-ucs-2 csunicode",
    "utf_16_be": "unicodefffe ucs-2be",
    "utf_16_le": "ucs-2le",
    "utf_32": "ucs-4 iso-10646-ucs-4",
}

# Programs write more under the name of a charset than it holds: these take what the charset itself does not.
_WIDER = {
    "ascii": "cp1252",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "euc_jp": "euc_jis_2004",
    "shift_jis": "cp932",
    "iso2022_jp": "cp50220",  # not Python's: see `_jis_of_windows`
}
# Under these names the wider charset is what Windows always wrote, down to two marks in which they differ (· and —).
_MEANT = {"gb2312": "gb18030", "gbk": "gb18030"}

# Code pages of Windows that are no `cp` of Python's ([MS-UCODEREF]); all others are.
_CODE_PAGES = {
    708: "iso8859_6", 936: "gb18030", 1200: "utf_16_le", 1201: "utf_16_be", 1361: "johab",
    10000: "mac_roman", 10001: "shift_jis", 10002: "big5", 10003: "euc_kr", 10004: "mac_arabic", 10006: "mac_greek",
    10007: "mac_cyrillic", 10008: "gb18030", 10010: "mac_romanian", 10017: "mac_cyrillic", 10029: "mac_latin2",
    10079: "mac_iceland", 10081: "mac_turkish", 10082: "mac_croatian", 12000: "utf_32_le", 12001: "utf_32_be",
    20127: "ascii", 20866: "koi8_r", 20932: "euc_jp", 20936: "gb18030", 20949: "cp949", 21866: "koi8_u",
    28601: "iso8859_11", 38598: "iso8859_8", 38596: "iso8859_6",
    50220: "iso2022_jp", 50221: "iso2022_jp", 50222: "iso2022_jp", 50225: "iso2022_kr", 51932: "euc_jp",
    51936: "gb18030", 51949: "cp949", 52936: "hz", 54936: "gb18030", 65000: "utf_7", 65001: "utf_8",
    **{28590 + part: f"iso8859_{part}" for part in (*range(1, 11), 13, 14, 15, 16)},
}  # fmt: skip

_MARKS = (
    (b"\xef\xbb\xbf", "utf_8"),
    (b"\xff\xfe\x00\x00", "utf_32_le"),
    (b"\x00\x00\xfe\xff", "utf_32_be"),
    (b"\xff\xfe", "utf_16_le"),
    (b"\xfe\xff", "utf_16_be"),
)
_META = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([\w.:$-]+)", re.IGNORECASE)
_META_WITHIN = 2048
# Charsets whose text is all ASCII octets: only their names tell it from ASCII.
_SEVEN_BITS = frozenset(("hz", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3"))
_SINGLE = frozenset(_ONE_OCTET)
_SURROGATES = re.compile("[\ud800-\udfff]")
# No program writes these controls; in an ISO 8859 charset they are characters of a Windows code page.
_CONTROLS = re.compile("[\x80-\x9f]")


_CP_PREFIXES = ("cp", "windows", "ibm", "ms", "x-cp", "x-windows")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


_BY_NAME = {
    **{_plain(alias): codec for alias, codec in aliases.items() if codec in CODECS},
    **{_plain(codec): codec for codec in CODECS},
    **{_plain(f"{prefix}{codec[2:]}"): codec for codec in CODECS if codec[:2] == "cp" for prefix in _CP_PREFIXES},
    **{_plain(name): codec for codec, names in _MORE_NAMES.items() for name in names.split()},
}


def codec(name: str) -> str | None:
    """Python's codec for a charset, however its name is written; None for what is no charset."""
    return _BY_NAME.get(_plain(name)) if len(name) <= 60 else None


def code_page(number: int | None) -> str | None:
    """Python's codec for a code page of Windows; None for one that mail does not use."""
    if number is None:
        return None
    return _CODE_PAGES.get(number) or (f"cp{number}" if f"cp{number}" in CODECS else None)


def decoded(octets: bytes, *named: str | None, html: bool = False) -> str:
    """The octets as text: by their byte order mark, else in the first of the `named` codecs that fits.

    Octets beyond ASCII that are valid UTF-8 are hardly ever anything else, so a charset of one octet a character, which
    fits everything, comes after UTF-8. With `html`, what the page itself says comes after all of these.
    """
    for mark, codec_of_mark in _MARKS:
        if octets.startswith(mark):
            return _SURROGATES.sub("\ufffd", octets[len(mark) :].decode(codec_of_mark, "replace"))
    known = [_MEANT.get(name, name) for name in named if name in CODECS]
    own = _said_by_page(octets) if html else None
    candidates = [*known, "utf_8", *([own] if own else [])]
    if octets.isascii() and own in _SEVEN_BITS and not known:
        candidates.insert(0, own)
    elif not octets.isascii() and (not known or known[0] in _SINGLE):
        candidates.insert(0, "utf_8")
    for candidate in (wide for name in candidates for wide in (name, _WIDER.get(name)) if wide):
        text = strictly(octets, candidate)
        if text is not None and not (candidate in _WIDER and _CONTROLS.search(text)):
            return text
    return _SURROGATES.sub("\ufffd", octets.decode(known[0] if known else own or "cp1252", "replace"))


def strictly(octets: bytes, name: str) -> str | None:
    """The octets in one codec, or None where they do not fit."""
    try:
        text = _jis_of_windows(octets) if name == "cp50220" else octets.decode(name)
    except (UnicodeError, LookupError):
        return None
    return text if name == "utf_8" else _SURROGATES.sub("\ufffd", text)  # UTF-7 can spell them


def _said_by_page(octets: bytes) -> str | None:
    """The codec an HTML page names in its head. A page that could be read so far is in no UTF-16, whatever it says."""
    found = _META.search(octets[:_META_WITHIN])
    name = codec(found[1].decode("ascii", "replace")) if found else None
    return None if name and name.startswith(("utf_16", "utf_32", "utf_7")) else name


def _jis_of_windows(octets: bytes) -> str:
    """ISO-2022-JP as Windows writes it, with the characters of its own (①, ㈱, 髙): raises UnicodeError.

    The same characters are in code page 932, each pair of octets elsewhere (JIS X 0208, annex 1).
    """
    escape, *pieces = re.split(rb"\x1b(\$[@B]|\([BIJ])", octets)
    text = escape.decode("ascii")
    for kind, piece in zip(pieces[::2], pieces[1::2], strict=True):
        if kind in (b"$B", b"$@"):
            pairs = zip(piece[::2], piece[1::2], strict=False)
            shifted = bytes(octet for row, cell in pairs for octet in _shifted(row, cell))
            text += shifted.decode("cp932")
        elif kind == b"(I":
            text += bytes(octet | 0x80 for octet in piece).decode("cp932")
        else:
            text += piece.decode("ascii")
    return text


def _shifted(row: int, cell: int) -> tuple[int, int]:
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        return 0xFF, 0xFF  # no character
    return (row + 1 >> 1) + (0x70 if row < 0x5F else 0xB0), cell + ((0x1F + (cell >= 0x60)) if row % 2 else 0x7E)
