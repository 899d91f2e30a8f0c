"""Orders in Outlook's own containers come back exactly, at any nesting; what is broken in them does no harm."""

import base64
import io
import random
import struct
import time
from collections.abc import Callable
from dataclasses import replace

import olefile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.order import Address, Order
from ion.reading import outlook, read_message
from ion.reading.limits import MAX_DEPTH, MAX_PARTS, TooBig
from ion.reading.mapi import Item, Unreadable
from ion.reading.rtf import MAX_RTF_OCTETS, decompressed, read_rtf
from ion.reading.unwrap import bodies
from tests.containers import (
    EIGHT_BIT,
    UNICODE,
    File,
    Message,
    compound,
    compressed,
    enclosed,
    genuine_rtf,
    msg,
    msg_tree,
    rtf_of_html,
    rtf_of_text,
    tnef,
    with_file,
)
from tests.orders import KEY, bodies_of, hub_order, mail_of, rendered, small_order
from tests.thinning import one_in


def _order_in(name: str, city: str, note: str) -> Order:
    delivery = Address(name=name, address1="{1} \\ 2 ~ <3> & 4", city=city, country="JP")
    return small_order().model_copy(update={"delivery": delivery, "notes": (note, "café – “naïve” • 100 €")})


ORDERS = {
    "hub": hub_order(),
    "Japanese": _order_in("山田 花子", "東京都千代田区", "表示ソフト 能 ﾃｽﾄ"),
    "Hebrew": _order_in("דוד כהן", "תל אביב", "שלום, 2 קומה"),
    "Arabic": _order_in("محمد علي", "الرياض", "شكرا، ١٢٣"),
    "emoji": _order_in("Zoë 👩‍🚀", "𝒳-town", "🎁🇯🇵 gift 𠮷野家"),
}
MAILS = {name: rendered(order).raw for name, order in ORDERS.items()}
FORMS: dict[str, Callable[[str, str, str], Message]] = {
    "text": lambda text, html, attached: Message(text=text),
    "8-bit text": lambda text, html, attached: Message(text=text, eight_bit=True),
    "HTML": lambda text, html, attached: Message(html=html),
    "HTML as a string": lambda text, html, attached: Message(html=html, html_type=UNICODE),
    "HTML as an 8-bit string": lambda text, html, attached: Message(html=html, html_type=EIGHT_BIT),
    "RTF of HTML": lambda text, html, attached: Message(rtf=rtf_of_html(html)),
    "RTF of HTML in code pages": lambda text, html, attached: Message(rtf=rtf_of_html(html, fonts=True)),
    "RTF of text": lambda text, html, attached: Message(rtf=rtf_of_text(text)),
    "RTF of text in code pages": lambda text, html, attached: Message(rtf=rtf_of_text(text, fonts=True)),
    "RTF": lambda text, html, attached: Message(rtf=genuine_rtf(text)),
    "RTF in code pages": lambda text, html, attached: Message(rtf=genuine_rtf(text, fonts=True)),
    "attachment": lambda text, html, attached: with_file("ion-GE123.json", attached.encode(), "application/json"),
    "attachment without a type": lambda text, html, attached: with_file("ion-GE123.JSON", attached.encode()),
    "everything": lambda text, html, attached: replace(
        with_file("ion-GE123.json", attached.encode()), text=text, html=html, rtf=rtf_of_html(html)
    ),
}
TEXT, HTML, JSON = bodies_of(MAILS["hub"])
WHOLE = FORMS["everything"](TEXT, HTML, JSON)
WHOLE_MAIL = b"Subject: FW: order\r\n" + mail_of(text=TEXT, html=HTML, json=JSON)


def part(content: bytes, headers: str) -> bytes:
    return f"{headers}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode() + base64.encodebytes(content)


def mail_with(content: bytes, headers: str, note: str = "FYI") -> bytes:
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b7\r\n\r\n--b7\r\n\r\n" + note.encode()
    return head + b"\r\n--b7\r\n" + part(content, headers) + b"\r\n--b7--\r\n"


WINMAIL = "Content-Type: application/ms-tnef; name=winmail.dat"
FILE = "Content-Type: application/vnd.ms-outlook; name=order.msg"
# Every container, alone and in others.
PLACES: dict[str, Callable[[Message], bytes]] = {
    "winmail.dat": lambda message: mail_with(tnef(message), WINMAIL),
    "winmail.dat, text in its attribute": lambda message: mail_with(tnef(message, body_attribute=True), WINMAIL),
    "winmail.dat, its other type": lambda message: mail_with(
        tnef(message), "Content-Type: application/vnd.ms-tnef; name=x"
    ),
    "winmail.dat, no type": lambda message: mail_with(
        tnef(message), "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=winmail.dat"
    ),
    "winmail.dat, the whole mail": lambda message: part(tnef(message), WINMAIL),
    "winmail.dat in a forward": lambda message: mail_with(tnef(enclosed(message)), WINMAIL),
    "winmail.dat in an .eml": lambda message: mail_with(
        mail_with(tnef(message), WINMAIL), "Content-Type: application/octet-stream; name=original.eml"
    ),
    ".msg": lambda message: mail_with(msg(message), FILE),
    ".msg, no type": lambda message: mail_with(msg(message), "Content-Type: application/octet-stream; name=x.msg"),
    ".msg in a forward": lambda message: mail_with(msg(enclosed(enclosed(message))), FILE),
    ".msg as it is": msg,
    ".msg in an .eml in a .msg": lambda message: msg(
        with_file("original.eml", mail_with(msg(message), FILE), "message/rfc822")
    ),
    "winmail.dat in a .msg": lambda message: mail_with(msg(with_file("winmail.dat", tnef(message))), FILE),
    ".msg in a winmail.dat": lambda message: mail_with(tnef(with_file("original.msg", msg(message))), WINMAIL),
}


def assert_sealed(raw: bytes, order: Order) -> None:
    results = read_message(raw, [KEY])
    assert [result.grade for result in results] == ["sealed"], [result.problems for result in results]
    assert results[0].order == order


@pytest.mark.parametrize(("name", "form"), one_in(3, ORDERS, FORMS))
def test_an_order_comes_back_from_every_form_of_a_body(name: str, form: str) -> None:
    message = FORMS[form](*bodies_of(MAILS[name]))
    for place in ("winmail.dat", ".msg"):
        assert_sealed(PLACES[place](message), ORDERS[name])


@pytest.mark.parametrize(
    ("place", "form"),
    one_in(3, PLACES, ["text", "HTML", "RTF of HTML in code pages", "attachment", "everything"]),
)
def test_an_order_comes_back_from_every_container(place: str, form: str) -> None:
    for name in ("hub", "Japanese"):
        assert_sealed(PLACES[place](FORMS[form](*bodies_of(MAILS[name]))), ORDERS[name])


@pytest.mark.parametrize(
    ("name", "codec", "code_page"), [("Japanese", "cp932", 932), ("Hebrew", "cp1255", 1255), ("Arabic", "cp1256", 1256)]
)
def test_text_in_the_code_page_of_its_language_is_read(name: str, codec: str, code_page: int) -> None:
    delivery = replace_texts(ORDERS[name], codec)
    text, html, _ = bodies_of(rendered(delivery).raw)
    for place in ("winmail.dat", "winmail.dat, text in its attribute", ".msg"):
        for message in (
            Message(text=text, eight_bit=True, codec=codec, code_page=code_page),
            Message(html=html, codec=codec, code_page=code_page),
            Message(html=html, html_type=EIGHT_BIT, codec=codec, code_page=code_page),
        ):
            results = read_message(PLACES[place](message), [KEY])
            assert results and results[0].order is not None
            assert results[0].order.delivery.name == delivery.delivery.name


def replace_texts(order: Order, codec: str) -> Order:
    """The order without notes and lines that an old code page cannot write."""
    plain = {**order.to_json(), "notes": [], "delivery": {"name": order.delivery.name, "country": "JP"}}
    assert str(order.delivery.name).encode(codec)
    return Order.model_validate(plain)


def test_a_mail_attached_to_a_msg_is_read_however_it_is_called() -> None:
    for name, media_type in (
        ("original.eml", ""),
        ("original", "message/rfc822"),
        ("smime.p7m", "multipart/signed"),
        ("original", "MESSAGE/RFC822"),
    ):
        raw = mail_with(msg(with_file(name, WHOLE_MAIL, media_type)), FILE)
        assert_sealed(raw, ORDERS["hub"])


def test_an_attached_original_is_read_before_what_was_made_of_it() -> None:
    raw = mail_with(tnef(replace(enclosed(WHOLE), files=(File("ion-1.json", b"{}"),))), WINMAIL)
    places = [body.place for body in bodies(raw)]
    assert places == sorted(places, key=lambda place: -place.count("/"))
    assert places == ["1.2/1.3/1.1", "1.2/1.3/1.2", "1.2/1.3/1.3", "1.2/1.1", "1.2/1.2", "1.1"]


def test_forms_that_say_the_same_are_one() -> None:
    message = Message(text="a", html="<p>a</p>", rtf=rtf_of_html("<p>a</p>"))
    for written in (tnef(message), msg(message)):
        assert [text.kind for text in _read(written).texts] == ["text", "html"]


def test_what_the_writer_of_the_tests_writes_is_a_compound_file() -> None:
    many = replace(WHOLE, files=(*WHOLE.files, *(File(f"{n}.bin", bytes(n * 100)) for n in range(60))))
    for written in (msg(many), msg(Message()), compound({})):
        ole = olefile.OleFileIO(io.BytesIO(written), raise_defects=olefile.DEFECT_POTENTIAL)
        assert not ole.parsing_issues
    ole = olefile.OleFileIO(io.BytesIO(msg(many)))
    assert ole.openstream("__attach_version1.0_#00000032/__substg1.0_37010102").read() == bytes(49 * 100)


def _read(octets: bytes) -> Item:
    read = outlook.reader(octets)
    assert read is not None
    return read(octets, lambda size: None)


# RTF


@given(st.binary(max_size=3000) | st.text(alphabet="\\par{}ab \r\n", max_size=9000).map(str.encode))
@settings(max_examples=40, deadline=None)
def test_compressed_rtf_is_what_it_was(rtf: bytes) -> None:
    assert decompressed(compressed(rtf)) == rtf
    assert decompressed(compressed(rtf, stored=True)) == rtf
    assert decompressed(compressed(rtf), most=10) == rtf[:10]


def test_the_examples_of_the_specification_are_decompressed() -> None:
    # [MS-OXRTFCP] 3.1.1 and 3.1.2: a simple RTF, and one whose reference runs into what it is itself writing.
    simple = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert decompressed(simple) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    crossing = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert decompressed(crossing) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    assert compressed(decompressed(crossing)) == crossing, "the tests' own writer, too"


@pytest.mark.parametrize(
    ("rtf", "expected"),
    [
        (r"{\rtf1\ansi a\par b\line c\tab d}", "a\nb\nc\td"),
        (r"{\rtf1\ansi\trowd a\cell b\cell\row c}", "a\nb\n\nc"),
        (r"{\rtf1\ansi\ansicpg1252 \'e4\'80 \u8364?\u8364\'80\uc2\u8364 ab\uc0\u8364 x}", "ä€ €€€€x"),
        (r"{\rtf1\ansi \uc1{\uc0\u228 x}\u228 y}", "äxä"),
        (r"{\rtf1\ansi \u-10179?\u-8704?!\u-10179?!}", "😀!\ufffd!"),
        (r"{\rtf1\ansi \u8217\emdash a\u8217\~b\u8217\par c}", "’a’b’\nc"),
        (
            r"{\rtf1\ansi{\fonttbl{\f0 A;}{\f1\fcharset128 B;}{\f2\cpg1251 C;}}\f1\'93\'8c{\f2 \'e6}\'8b\'9e\f0\'e6}",
            "東ж京æ",
        ),
        (r"{\rtf1\ansi\deff3{\fonttbl{\f3\fcharset161 A;}}\'e1{\f0\'e1}\plain\'e1}", "αáα"),
        (r"{\rtf1\mac\'8a}", "ä"),
        (r"{\rtf1\ansi\ansicpg932 \'83A\'83\'5c\\}", "アソ\\"),
        (r"{\rtf1\ansi a{\v b}c\v d\v0 e\plain{\*\x f}{\info{\title g}}{\pict 00ff}h}", "aceh"),
        (r"{\rtf1\ansi \{\}\\\~\_\lquote\rquote\ldblquote\rdblquote\bullet\endash\emdash}", "{}\\\u00a0\u2011‘’“”•–—"),
        (r"{\rtf1\ansi {\field{\*\fldinst HYPERLINK x}{\fldrslt y}}{\object{\*\objdata 00}{\result z}}}", "yz"),
        (r"{\rtf1\ansi {\pntext 1.\tab}a{\listtext 2.\tab}b}", "1.\ta2.\tb"),
        (r"{\rtf1\ansi\fromtext a<b>{\*\htmltag x}\par c}", "a<b>\nc"),
        (r"{\rtf1\ansi a\htmlrtf b\htmlrtf0 c}", "abc"),
        (r"{\rtf1\ansi a}}}}b\bin99999999999 c", "ab"),
        ("{\\rtf1\\ansi a\\bin2 }{\\b\\\nc\r\nd}", "a\ncd"),
    ],
)
def test_the_visible_text_of_rtf(rtf: str, expected: str) -> None:
    assert read_rtf(rtf.encode("latin-1")) == ("text", expected)


@pytest.mark.parametrize(
    ("rtf", "expected"),
    [
        (
            r"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}a\htmlrtf b{c}\htmlrtf0 d{\htmlrtf e\htmlrtf0 f}"
            r"{\*\htmltag72 </p>}}",
            "<p>adf</p>",
        ),
        (
            r"{\rtf1\ansi\fromhtml1{\fonttbl{\f0 A;}{\f1\fcharset204 B;}}"
            r"\f1\'e6{\*\htmltag \'e6\u1078?\par\tab x}\htmlrtf\f0\htmlrtf0\'e6}",
            "жæж\n\txæ",
        ),
        (
            r"{\rtf1\ansi\fromhtml1 {\*\htmltag84 &lt;}\htmlrtf <\htmlrtf0 {\*\htmltag \u60?b\u62?}"
            r"{\*\mhtmltag <i>}\_}",
            "&lt;&lt;b&gt;\u00ad",
        ),
        (r"{\rtf1\ansi\fromhtml1 {\v a}{\pntext 1.\tab}{\*\htmltag64}b}", "ab"),
        (r"{\rtf1\ansi\fromhtml1\fromtext a\fromtext b}", "ab"),
    ],
)
def test_the_page_that_rtf_was_made_from(rtf: str, expected: str) -> None:
    assert read_rtf(rtf.encode()) == ("html", expected)


def test_rtf_gives_back_the_page_and_the_text_as_they_were() -> None:
    for mail in MAILS.values():
        text, html, _ = bodies_of(mail)
        for fonts in (False, True):
            assert read_rtf(rtf_of_html(html, fonts=fonts))[1].strip() == html.strip()
            assert read_rtf(rtf_of_text(text, fonts=fonts))[1].strip() == text.strip()


def test_rtf_that_is_attached_is_read() -> None:
    rtf = genuine_rtf(TEXT)
    for headers in ("Content-Type: application/rtf", "Content-Type: text/rtf", "Content-Type: x/y; name=order.RTF"):
        assert_sealed(mail_with(rtf, headers), ORDERS["hub"])
    assert [body.text for body in bodies(mail_with(b"no RTF", "Content-Type: application/rtf"))] == ["FYI"]
    shown = [body.text for body in bodies(mail_with(b"no RTF", "Content-Type: text/rtf"))]
    assert shown == ["FYI", "no RTF"], "a text that nothing knows is shown as plain text"


# Hostile input


def _harmless(octets: bytes) -> None:
    """Whatever the octets are, the reader raises nothing but its own error, and soon."""
    started = time.perf_counter()
    for raw in (octets, mail_with(octets, WINMAIL)):
        try:
            list(bodies(raw))
        except TooBig:
            continue
    read = outlook.reader(octets)
    if read is not None:
        _walk(read, octets)
    assert time.perf_counter() - started < 20  # on a machine that does much else; alone, one second


def _walk(read: Callable[[bytes, Callable[[int], None]], Item], octets: bytes) -> None:
    try:
        waiting = [read(octets, lambda size: None)]
        while waiting:
            for attached in waiting.pop().attachments:
                content = attached.load()
                if isinstance(content, Item):
                    waiting.append(content)
    except Unreadable:
        return


NESTED = replace(
    enclosed(replace(FORMS["everything"](*bodies_of(rendered(small_order()).raw)), html="<p>x</p>")),
    files=(File("a.eml", WHOLE_MAIL[:3000]), File("b.json", b"{}")),
)
CONTAINERS = {"TNEF": tnef(NESTED), ".msg": msg(NESTED)}


@pytest.mark.parametrize("kind", CONTAINERS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_cut_and_changed_octets_do_no_harm(kind: str, data: st.DataObject) -> None:
    octets = bytearray(CONTAINERS[kind])
    for _ in range(data.draw(st.integers(0, 8))):
        # Half of the changes where the tables are that everything hangs on.
        place = data.draw(st.integers(0, min(len(octets), 600) - 1) | st.integers(0, len(octets) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff"]))
        octets[place : place + len(patch)] = patch
    _harmless(bytes(octets[: data.draw(st.integers(0, len(octets)) | st.just(len(octets)))]))


@pytest.mark.long
@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_place_of_a_directory_or_list_changed_does_no_harm(kind: str) -> None:
    chosen = random.Random(kind)
    whole = CONTAINERS[kind]
    for _ in range(200):
        octets = bytearray(whole)
        place = chosen.randrange(0, len(octets) - 4) & ~3
        struct.pack_into(
            "<I", octets, place, chosen.choice([0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, place // 512])
        )
        _harmless(bytes(octets))


RTF_TOKENS = [
    *(
        b"{",
        b"}",
        b"\\u-5 ",
        b"\\'8",
        b"\\'82",
        b"\\bin9 ",
        b"\\*",
        b"\\uc9",
        b"\\f1",
        b"\\htmltag",
        b"\\fromhtml1",
        b"\\v",
    ),
    *(b"\\fonttbl", b"\\fcharset128", b"\\", b"\xff", b"a", b"\\u55357?", b"\\ansicpg99999 ", b"\\htmlrtf", b"\0"),
]


@given(st.lists(st.sampled_from(RTF_TOKENS), max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_rtf_is_read_without_harm(tokens: list[bytes]) -> None:
    kind, text = read_rtf(b"{\\rtf1" + b"".join(tokens))
    assert kind in ("html", "text")
    text.encode()  # no half of a pair is left


@pytest.mark.long
@pytest.mark.parametrize(
    "unit", [b"{}", b"{", b"}", b"\\b", b"\\u8?", b"\\~", b"\\f1\\'e4", b"a\n", b"\\*", b"\\bin1 x"]
)
def test_endless_rtf_is_read_soon_or_not_at_all(unit: bytes) -> None:
    _harmless(tnef(Message(rtf=b"{\\rtf1" + unit * 100_000)))


def test_a_little_rtf_does_not_become_much() -> None:
    much = struct.pack("<II4sI", 99, 0xFFFFFFFF, b"LZFu", 0) + (b"\xff" + b"\x00\x0f" * 8) * 500_000
    assert len(decompressed(much)) <= MAX_RTF_OCTETS
    stored = struct.pack("<II4sI", 99, 0xFFFFFFFF, b"MELA", 0) + b"{\\rtf1 a}"
    assert decompressed(stored) == b"{\\rtf1 a}"
    for broken in (b"", b"LZFu", stored[:15], stored[:8] + b"LZFU" + bytes(8)):
        with pytest.raises(Unreadable):
            decompressed(broken)
    many = tnef(Message(messages=tuple(Message(rtf=b"{\\rtf1 " + b"a" * 200_000 + b"}") for _ in range(40))))
    with pytest.raises(TooBig):
        list(bodies(mail_with(many, WINMAIL)))


def test_more_attachments_or_levels_than_a_mail_has_are_refused() -> None:
    many = Message(files=tuple(File("a.txt", b"a") for _ in range(MAX_PARTS + 1)))
    for container in (tnef(many), msg(many)):
        with pytest.raises(TooBig, match=str(MAX_PARTS)):
            list(bodies(mail_with(container, WINMAIL)))
    deep = Message(text="a")
    for _ in range(60):
        deep = enclosed(deep)
    for container in (tnef(deep), msg(deep)):
        with pytest.raises(TooBig, match=str(MAX_DEPTH)):
            list(bodies(mail_with(container, WINMAIL)))


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_tnef_that_is_cut_off_gives_what_stands_before_the_cut(fraction: float) -> None:
    message = replace(Message(text=TEXT), files=(File("ion-1.json", JSON.encode()),))
    whole = tnef(message)
    cut = whole[: int(len(whole) * fraction)]
    found = list(bodies(mail_with(cut, WINMAIL)))
    assert found[0].kind == "text" and found[0].place == "1.2/1.1"
    assert TEXT.replace("\n", "\r\n").startswith(found[0].text.rstrip("\ufffd"))
    results = read_message(mail_with(cut, WINMAIL), [KEY])
    assert all(result.order == ORDERS["hub"] for result in results if result.grade == "sealed")
    assert results[0].grade == "sealed" or fraction < 0.7


def _looped(whole: bytes) -> bytes:
    """Each sector is followed by itself."""
    table = struct.unpack_from("<I", whole, 76)[0]
    return whole[: 512 * (table + 1)] + struct.pack("<128I", *range(128)) + whole[512 * (table + 2) :]


def _header(octets: bytes, place: int, value: int) -> bytes:
    return octets[:place] + struct.pack("<I", value) + octets[place + 4 :]


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(lambda whole: _header(whole, 44, 0xFFFFFFFF), id="endless table"),
        pytest.param(lambda whole: _header(whole, 64, 0xFFFFFFFF), id="endless table of small sectors"),
        pytest.param(lambda whole: _header(_header(whole, 72, 0x2000000), 68, 0), id="endless list of tables"),
        pytest.param(lambda whole: _header(whole, 30, 0xFFFFFFFF), id="sectors of any size"),
        pytest.param(lambda whole: _header(whole, 48, 0), id="directory elsewhere"),
        pytest.param(lambda whole: whole[:512], id="header alone"),
        pytest.param(lambda whole: whole[:8], id="signature alone"),
        pytest.param(lambda whole: whole[:8] + b"/etc/passwd", id="signature and a name"),
        pytest.param(_looped, id="sectors in a circle"),
        pytest.param(lambda whole: _directory(whole, 68, 1), id="left in a circle"),
        pytest.param(lambda whole: _directory(whole, 72, 1), id="right in a circle"),
        pytest.param(lambda whole: _directory(whole, 76, 0), id="storages in a circle"),
        pytest.param(lambda whole: _directory(whole, 120, 0x7FFFFFFF), id="streams longer than the file"),
        pytest.param(lambda whole: _directory(whole, 116, 0), id="all streams one"),
    ],
)
def test_a_compound_file_that_leads_in_circles_does_no_harm(hostile: Callable[[bytes], bytes]) -> None:
    octets = hostile(CONTAINERS[".msg"])
    assert octets != CONTAINERS[".msg"]
    _harmless(octets)


def _directory(whole: bytes, place: int, value: int) -> bytes:
    """The same number in every entry of the directory."""
    octets = bytearray(whole)
    start = 512 * (struct.unpack_from("<I", whole, 48)[0] + 1)
    for entry in range(start, start + 128 * 20, 128):
        struct.pack_into("<I", octets, entry + place, value)
    return bytes(octets)


@pytest.mark.long
def test_a_file_of_very_many_streams_is_not_read_for_long() -> None:
    crowded = {f"{number:05}": b"" for number in range(51_000)}
    started = time.perf_counter()
    raw = compound({**msg_tree(Message(text="a")), **crowded})
    written = time.perf_counter()
    assert [body.text for body in bodies(mail_with(raw, FILE))] == ["FYI"]
    assert time.perf_counter() - written < max(5, 2 * (written - started))


def test_properties_in_very_many_values_are_not_read_for_long() -> None:
    short = struct.pack("<HH", 0x1002, 0x3A59) + struct.pack("<I", 0xFFFFFFFF)
    nothing = struct.pack("<HH", 0x1000, 0x3A59) + struct.pack("<I", 0xFFFFFFFF)
    for values in (short, nothing):
        listed = struct.pack("<I", 1) + values + bytes(1_000_000)
        attribute = struct.pack("<BII", 1, 0x00069003, len(listed)) + listed + b"\0\0"
        _harmless(tnef(Message(text="a")) + attribute)


def test_another_document_of_office_is_no_message() -> None:
    word = compound({"WordDocument": b"x" * 5000, "1Table": b"y"})
    assert [body.text for body in bodies(mail_with(word, "Content-Type: application/msword; name=a.doc"))] == ["FYI"]
