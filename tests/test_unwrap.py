"""What becomes of the parts of a message: charsets, encodings, kinds and flowed text."""

import base64
import binascii
import codecs
import encodings
import pkgutil
import quopri
import re
import time

import pytest

from ion.reading import charsets, read_message
from ion.reading.charsets import CODECS, code_page, codec, decoded
from ion.reading.unwrap import Body, bodies, unflow
from tests.orders import KEY, bodies_of, hub_order, mail_of, rendered

ORDER = hub_order()
MAIL = rendered(ORDER).raw
TEXT, HTML, JSON = bodies_of(MAIL)


def texts_of(raw: bytes) -> list[tuple[str, str]]:
    return [(body.kind, body.text) for body in bodies(raw)]


def one(headers: str, content: bytes) -> Body:
    (body,) = bodies(headers.encode() + b"\r\n\r\n" + content)
    return body


def assert_sealed(raw: bytes) -> None:
    results = read_message(raw, [KEY])
    assert [(result.grade, result.order) for result in results] == [("sealed", ORDER)], results


# Charsets

NO_CHARSETS = sorted({name for _, name, _ in pkgutil.iter_modules(encodings.__path__)} - CODECS)
NAMES = {
    "x-sjis": "cp932", "Shift_JIS": "shift_jis", "windows-31j": "cp932", "x-mac-roman": "mac_roman",
    "X-Mac-CE": "mac_latin2", "x-mac-cyrillic": "mac_cyrillic", "macintosh": "mac_roman", "x-gbk": "gbk",
    "cp-850": "cp850", "IBM850": "cp850", "windows-874": "cp874", "ks_c_5601-1987": "cp949", "KS_C_5601": "cp949",
    "iso-8859-8-e": "iso8859_8", "ISO-8859-8-I": "iso8859_8", "utf8mb4": "utf_8", "unicode-1-1-utf-7": "utf_7",
    "iso-8859-1": "iso8859_1", "ISO_8859-1:1987": "latin_1", "latin9": "iso8859_15", "l1": "latin_1",
    "ANSI_X3.4-1968": "ascii", "cp1006": "cp1006", "cp720": "cp720", "x-cp1251": "cp1251", "windows-1258": "cp1258",
    "koi8-ru": "koi8_u", "KOI8-T": "koi8_t", "kz-1048": "kz1048", "ptcp154": "ptcp154", "johab": "johab",
    "tis-620": "tis_620", "big5-hkscs": "big5hkscs", "gb18030": "gb18030", "hz-gb-2312": "hz",
    "EUC-JIS-2004": "euc_jis_2004", "shift_jisx0213": "shift_jisx0213", "iso-2022-kr": "iso2022_kr",
    "_iso-2022-jp$ESC": "iso2022_jp", "iso-2022-jp-3": "iso2022_jp_3", "utf-16le": "utf_16_le", "UTF-32": "utf_32",
    "cp65001": "utf_8", "csISOLatin2": "iso8859_2", "hp-roman8": "hp_roman8", "x-euc-jp": "euc_jp",
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_a_charset_is_known_by_the_names_mail_gives_it(name: str, expected: str) -> None:
    assert codec(name) is not None
    assert codecs.lookup(codec(name) or "").name == codecs.lookup(expected).name


@pytest.mark.parametrize("name", [*NO_CHARSETS, "zip", "hex", "rot13", "string-escape", "unknown-8bit", "", "\ud800"])
def test_a_codec_that_is_no_charset_is_not_used(name: str) -> None:
    for written in (name, name.upper(), name.replace("_", "-"), f"x-{name}", name.replace("_", "")):
        assert codec(written) is None
        assert decoded(b"abc \\u0041 =41 +AEE-", codec(written)) == "abc \\u0041 =41 +AEE-"


def test_every_codec_of_python_is_either_a_charset_or_known_to_be_none() -> None:
    assert not [name for name in CODECS if codecs.lookup(name) is None]
    assert set(NO_CHARSETS) == {
        *("aliases", "base64_codec", "bz2_codec", "charmap", "hex_codec", "idna", "mbcs", "oem", "palmos", "punycode"),
        *("quopri_codec", "raw_unicode_escape", "rot_13", "undefined", "unicode_escape", "uu_codec", "zlib_codec"),
        *("cp037", "cp1026", "cp1140", "cp273", "cp424", "cp500", "cp875"),  # EBCDIC
    }


def _repertoire(name: str) -> str:
    """Every character that a codec writes and reads as itself, but for the controls."""
    found = []
    for number in (*range(0x20, 0x7F), *range(0xA0, 0xD800), *range(0xE000, 0xFEFF), 0x1F600, 0x20BB7):
        char = chr(number)
        try:
            if char.encode(name).decode(name) == char:
                found.append(char)
        except UnicodeError:
            continue
    return "".join(found)


@pytest.mark.parametrize("name", ["utf-8", "windows-1252", "iso8859_15", "koi8_r", "shift_jis", "gb18030", "cp862"])
def test_a_charset_decodes_what_python_encodes(name: str) -> None:
    _decodes_all(name)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(CODECS))
def test_every_charset_decodes_what_python_encodes(name: str) -> None:
    _decodes_all(name)


def _decodes_all(name: str) -> None:
    text = _repertoire(name)
    assert len(text) > 90
    if name == "gb2312":  # the two in which Windows always differed
        text = text.replace("―", "").replace("・", "")
    assert decoded(text.encode(name), codec(name)) == text
    body = one(f"Content-Type: text/plain; charset={name}", text.encode(name))
    # As mail they are lines, which end where these characters say so.
    assert body.text.split() == text.split()


@pytest.mark.parametrize(
    ("octets", "name", "expected"),
    [
        (b"\x93a\x94 \x96 \x80", "iso-8859-1", "“a” – €"),
        (b"\x93a\x94", "us-ascii", "“a”"),
        (b"\xfe\x80", "iso-8859-9", "ş€"),
        ("Zoë — €".encode(), "iso-8859-1", "Zoë — €"),
        ("Zoë — €".encode(), "us-ascii", "Zoë — €"),
        (b"\x87\x40\xfb\xfc", "shift_jis", "①髙"),
        (b"\xad\xa1", "euc-jp", "①"),
        (b"\x1b$B-!-j|b1Q\x1b(B a\x1b(I1\x1b(B", "iso-2022-jp", "①㈱髙英 aｱ"),
        (b"\x1b$B\x01\x02\x1b(B\xff", "iso-2022-jp", None),
        (b"\xc6\x52\x81\x41", "euc-kr", "힣갂"),
        (b"\x80\xb7\x81\x30\x81\x30", "gb2312", None),
        (b"a\x25", "cp864", "a٪"),
    ],
)
def test_what_programs_write_beyond_a_charset_is_read(octets: bytes, name: str, expected: str | None) -> None:
    text = decoded(octets, codec(name))
    assert text == expected or expected is None


def test_code_pages_have_the_charsets_of_windows() -> None:
    pages = {
        932: "cp932", 936: "gb18030", 1252: "cp1252", 20127: "ascii", 28591: "iso8859_1", 28605: "iso8859_15",
        50220: "iso2022_jp", 51949: "cp949", 65001: "utf_8", 1200: "utf_16_le", 10000: "mac_roman", 20866: "koi8_r",
    }  # fmt: skip
    assert {number: code_page(number) for number in pages} == pages
    assert [code_page(number) for number in (None, 0, 37, 500, 99999)] == [None] * 5
    assert {name for number in range(66000) if (name := code_page(number))} <= CODECS
    assert set(charsets._WIDER.values()) <= {*CODECS, "cp50220"}


@pytest.mark.parametrize(
    ("mark", "name"),
    [("utf-8", "windows-1252"), ("utf-16-le", "utf-8"), ("utf-16-be", ""), ("utf-32-le", "utf-16"), ("utf-32-be", "")],
)
def test_a_byte_order_mark_says_the_charset(mark: str, name: str) -> None:
    octets = "\ufeffé 東京 <meta charset=big5>".encode(mark)
    for kind in ("text/plain", "text/html"):
        head = f"Content-Type: {kind}; charset={name}\r\nContent-Transfer-Encoding: base64"
        assert one(head, base64.encodebytes(octets)).text == "é 東京 <meta charset=big5>"


METAS = [
    "<meta charset={0}>",
    '<META CHARSET="{0}" />',
    "<meta http-equiv='Content-Type' content='text/html; charset={0}'>",
    '<meta content="text/html;charset={0}" http-equiv=content-type>',
]


@pytest.mark.parametrize("meta", METAS)
@pytest.mark.parametrize(
    ("name", "text"),
    [("windows-1251", "Москва"), ("Shift_JIS", "東京"), ("iso-2022-jp", "東京"), ("x-sjis", "①"), ("gb2312", "北京")],
)
def test_a_page_without_a_charset_is_read_as_it_says_itself(meta: str, name: str, text: str) -> None:
    page = f"<html><head>{meta.format(name)}</head>{text}</html>"
    octets = page.encode(codec(name) or "")
    for headers in ("Content-Type: text/html", "Content-Type: application/octet-stream; name=a.html"):
        assert one(headers, octets).text == page
    assert one("Content-Type: text/html", page.encode()).text == page, "valid UTF-8 is UTF-8"
    assert one("Content-Type: text/html; charset=utf-8", page.encode()).text == page


def test_a_page_does_not_decide_against_its_part_nor_beyond_its_head_nor_with_nonsense() -> None:
    page = "<meta charset=windows-1251>é"
    assert one("Content-Type: text/html; charset=iso-8859-1", page.encode("latin-1")).text == page
    assert one("Content-Type: text/plain", page.encode("latin-1")).text == page
    far = "<!--" + "x" * 2048 + "-->" + page
    assert one("Content-Type: text/html", far.encode("latin-1")).text == far
    for name in ("utf-16", "utf-7", "zip", "unicode_escape", "idna", "x" * 100, "\\"):
        page = f"<meta charset={name}>é +AEE- \\u0041"
        assert one("Content-Type: text/html", page.encode("latin-1")).text == page
        assert one("Content-Type: text/html", page.encode()).text == page


# Kinds of parts


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/x-unknown", "application/x-download"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.eml", MAIL),
        ("A.HTML", HTML.encode()),
        ("a.htm", HTML.encode()),
        ("a.txt", TEXT.encode()),
        ("a.json", JSON.encode()),
        ("a.JSON ", JSON.encode()),
    ],
)
def test_a_file_is_known_by_its_name(kind: str, name: str, content: bytes) -> None:
    encoded = base64.encodebytes(content)
    for said in (f'{kind}; name="{name}"', f'{kind}\r\nContent-Disposition: attachment; filename="{name}"'):
        assert_sealed(f"Content-Type: {said}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode() + encoded)


@pytest.mark.parametrize(
    "name",
    [
        "name*=utf-8''%E6%B3%A8%E6%96%87.json",
        "name*0*=utf-8''%E6%B3%A8; name*1*=%E6%96%87.js; name*2=on",
        "name=\"=?utf-8?B?5rOo5paHLmpzb24=?=\"",
        'name="=?iso-2022-jp?B?GyRCQ21KOBsoQg==?= =?utf-8?Q?.json?="',
        'name="注文.json"',
        "name==?nonsense?B?5rOo5paH?=.json",
    ],
)  # fmt: skip
def test_a_name_is_read_however_it_is_written(name: str) -> None:
    disposition = re.sub(r"(^|; )name", r"\1filename", name)
    for said in (
        f"application/octet-stream; {name}",
        f"application/x-y\r\nContent-Disposition: attachment; {disposition}",
    ):
        assert_sealed(f"Content-Type: {said}\r\n\r\n".encode() + JSON.encode())


@pytest.mark.parametrize(
    ("content_type", "kinds"),
    [
        ("text/json", ["text"]),
        ("application/json", ["json"]),
        ("text/html", ["html"]),
        ("application/xhtml+xml", ["html"]),
        ("text/x-amp-html", []),
        ("text/x-amp-html; name=a.html", []),
        ("text/calendar", ["text"]),
        ("message/partial; id=a; number=1; total=2", []),
        ("message/rfc822", ["text"]),
        ("message/global", ["text"]),
        ("message/news", ["text"]),
        ("application/pdf; name=a.pdf", []),
        ("image/png; name=a.png", []),
        ("multipart/mixed; boundary=none", ["text"]),
    ],
)
def test_each_type_of_part_gives_its_kind_of_body(content_type: str, kinds: list[str]) -> None:
    raw = f"Content-Type: {content_type}\r\n\r\nSubject: x\r\n\r\n{{}}".encode()
    assert [kind for kind, _ in texts_of(raw)] == kinds


def _multipart(kind: str, *parts: bytes) -> bytes:
    inner = b"".join(b"--b9\r\n" + part + b"\r\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary=b9\r\n\r\n".encode() + inner + b"--b9--\r\n"


def test_the_parts_of_a_digest_are_messages() -> None:
    raw = _multipart("digest", b"\r\n" + MAIL, b"Content-Type: text/plain\r\n\r\nx", b"\r\nSubject: y\r\n\r\nz")
    assert_sealed(raw)
    assert {body.place for body in bodies(raw)} >= {"1.2", "1.3/1"}


def test_a_signed_message_is_read_and_its_signature_is_not() -> None:
    signature = (
        b"Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"
    )
    assert_sealed(_multipart("signed; micalg=sha-256; protocol=x", MAIL, signature))
    assert [body.kind for body in bodies(_multipart("signed", MAIL, signature))] == ["text", "html", "json"]


@pytest.mark.parametrize("kind", ["message/rfc822", "message/global"])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit", "binary", "7bit"])
def test_an_attached_message_is_read_in_any_encoding(kind: str, encoding: str) -> None:
    content = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(MAIL)
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    assert_sealed(_multipart("mixed", b"\r\nFYI", head + content))


# Transfer encodings


def _uuencoded(octets: bytes) -> bytes:
    lines = [binascii.b2a_uu(octets[place : place + 45]) for place in range(0, len(octets), 45)]
    return b"begin 666 a.json\n" + b"".join(lines) + b"`\nend\n"


@pytest.mark.parametrize(
    ("said", "content"),
    [
        ("x-uuencode", _uuencoded(JSON.encode())),
        ("X-UUE", _uuencoded(JSON.encode())),
        ("binary", JSON.encode()),
        ("8bit", JSON.encode()),
        ("utf-8", JSON.encode()),
        ("base64", JSON.encode()),
        ("base64 ", base64.encodebytes(JSON.encode())),
        ("BASE64", base64.encodebytes(JSON.encode())),
        ("base-64", base64.encodebytes(JSON.encode())),
        ("7bit", base64.encodebytes(JSON.encode())),
        ("", base64.encodebytes(JSON.encode())),
        ("quoted printable", quopri.encodestring(JSON.encode())),
        ("quoted-printable", quopri.encodestring(JSON.encode())),
    ],
)
def test_a_part_is_read_whatever_encoding_it_names(said: str, content: bytes) -> None:
    for kind, name in (("application/json", "a"), ("application/octet-stream", "a.json")):
        head = f"Content-Type: {kind}; name={name}\r\nContent-Transfer-Encoding: {said}\r\n\r\n".encode()
        assert_sealed(head + content)
        assert_sealed(head + content.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    "text", ["x=3D=\n", "a=41\nb", "word\nword", "a" * 500, "=\n=\n=\n= 1", "YWJj\n" * 20 + "?", "", "=", "AAAA=\n"]
)
@pytest.mark.parametrize("said", ["7bit", "8bit", "binary", ""])
def test_a_text_that_is_not_encoded_stays(said: str, text: str) -> None:
    head = f"Content-Type: text/plain\r\nContent-Transfer-Encoding: {said}"
    assert one(head, text.encode()).text == text


# Flowed text (RFC 3676)


@pytest.mark.parametrize(
    ("flowed", "plain", "joined"),
    [
        ("a \nb\nc", "a b\nc", "ab\nc"),
        ("a \r\nb \r\nc\r\n", "a b c", "abc"),
        ("> a \n> b\n> c", "> a b\n> c", "> ab\n> c"),
        (">a \n>b", "> a b", "> ab"),
        (">> a \n> b", ">> a \n> b", ">> a\n> b"),
        ("> a \nb", "> a \nb", "> a\nb"),
        ("a \n> b", "a \n> b", "a\n> b"),
        ("> > a \n> > b", "> > a > b", "> > a> b"),
        (" >a\n From b\n  c", ">a\nFrom b\n c", ">a\nFrom b\n c"),
        ("a \n >b", "a >b", "a>b"),
        ("-- \nsig", "-- \nsig", "-- \nsig"),
        ("a \n-- \nsig \nmore", "a \n-- \nsig more", "a\n-- \nsigmore"),
        ("> a \n> -- \n> b", "> a \n> -- \n> b", "> a\n> -- \n> b"),
        (">-- \n>b", "> -- \n> b", "> -- \n> b"),
        ("--  \nb", "--  b", "-- b"),
        ("a\n \nb", "a\n\nb", "a\n\nb"),
        ("a \n\nb", "a \nb", "a\nb"),
        ("a \n", "a ", "a"),
        ("a  \nb", "a  b", "a b"),
        ("a\u2028 b\x85 c\x0c d\x1c \ne", "a\u2028 b\x85 c\x0c d\x1c e", "a\u2028 b\x85 c\x0c d\x1ce"),
        ("a\n\n\n", "a\n\n", "a\n\n"),
        (">", "> ", "> "),
        ("", "", ""),
    ],
)
def test_flowed_text_is_joined_as_the_rfc_says(flowed: str, plain: str, joined: str) -> None:
    assert unflow(flowed, delsp=False) == plain
    assert unflow(flowed, delsp=True) == joined


def test_flowed_text_of_any_size_is_joined_soon() -> None:
    started = time.perf_counter()
    for text in ("a \n" * 300_000, "> a \n" * 200_000, ">" * 500_000 + " ", "a \n> b \n" * 100_000):
        unflow(text, delsp=True)
    assert time.perf_counter() - started < 10


def test_a_flowed_mail_is_read() -> None:
    lines = []
    for line in TEXT.split("\n"):
        words = line.split(" ")
        halves = (
            [" ".join(words[: len(words) // 2]) + " ", " ".join(words[len(words) // 2 :])] if len(words) > 2 else [line]
        )
        lines += [f" {half}" if half.startswith((" ", ">", "From ")) else half for half in halves]
    head = b"Content-Type: text/plain; charset=utf-8; format=flowed; delsp=no\r\n\r\n"
    assert_sealed(head + "\r\n".join(lines).encode())
    assert_sealed(head + "\r\n".join(f"> {line}" for line in lines).encode())


def test_the_bodies_of_a_rendered_mail_are_its_parts() -> None:
    assert texts_of(mail_of(text=TEXT, html=HTML, json=JSON)) == [("text", TEXT), ("html", HTML), ("json", JSON)]


def test_base64_with_a_strange_octet_is_decoded_whatever_its_charset() -> None:
    head = "Content-Type: text/plain; charset=utf-16-le\r\nContent-Transfer-Encoding: base64"
    encoded = base64.encodebytes((TEXT * 2).encode("utf-16-le"))
    assert one(head, encoded[:1500] + b"\xff" + encoded[1500:]).text == TEXT * 2
