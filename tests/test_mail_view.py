"""A hostile message as a person looks at it."""

import base64
import random
from pathlib import Path

import pytest

from ion.web.mail_view import file_of, harmless, page_of, view_of, visible

SAMPLES = [
    path
    for path in sorted((Path(__file__).parents[1] / "sample_emails").rglob("*.eml"))
    if path.parent.name != "broken"
]

MAIL = """\
From: =?utf-8?q?Ana_=E2=80=AEevil?= <ana@shop.example>
Subject: =?utf-8?b?QmVzdGVsbHVuZw==?=
 987
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html

<p onclick="x()" style="color:red;background:url(http://a/b)">Hi <a href="javascript:x()">link</a>
<img src="cid:one"><img src="cid:two"><img src="http://a/pixel"><script>x()</script>
--r
Content-Type: image/png
Content-ID: <one>
Content-Transfer-Encoding: base64

iVBORw0KGgoAAAA=
--r
Content-Type: image/png
Content-ID: <two>

<svg onload="x()">
--r--
--b
Content-Type: text/plain; name="order.txt"
Content-Disposition: attachment; filename*=utf-8''..%2F..%2Fetc%2F%E2%80%AEgnp.exe

octets
--b--
""".replace("\n", "\r\n").encode()


def test_the_header_is_decoded_and_what_turns_letters_round_is_seen() -> None:
    fields = dict(view_of(MAIL).fields)
    assert fields["Subject"] == "Bestellung 987"
    assert fields["From"] == "Ana ⟨U+202E⟩evil <ana@shop.example>"


def test_html_keeps_its_words_and_its_own_pictures_and_nothing_that_loads_or_runs() -> None:
    (page,) = view_of(MAIL).pages
    html = page_of(MAIL, page.place)
    assert page.is_shown and html == page_of(MAIL, "") and page_of(MAIL, "9") is None
    assert html and "Hi" in html and ">link<" in html and "color:red" in html
    assert html.count("data:image/png;base64,iVBORw0KGgoAAAA=") == 1
    for active in ("script", "onclick", "http", "javascript", "href", "svg", "url("):
        assert active not in html, active


def test_a_file_has_a_name_that_is_no_path_and_its_own_octets() -> None:
    files = view_of(MAIL).files
    (attached,) = [one for one in files if one.content_type == "text/plain"]
    assert attached.name == "gnp.exe"
    assert file_of(MAIL, attached.number) == ("gnp.exe", b"octets")
    assert file_of(MAIL, len(files) + 1) is None and file_of(MAIL, 0) is None


@pytest.mark.parametrize("sample", SAMPLES[:: max(1, len(SAMPLES) // 12)], ids=lambda path: path.stem)
def test_every_sample_is_shown_with_header_and_text(sample: Path) -> None:
    shown = view_of(sample.read_bytes())
    assert shown.fault is None
    assert any(name == "Subject" for name, _ in shown.fields)
    assert shown.texts or shown.pages


@pytest.mark.parametrize("unit", ["<div>", "<b></p>", "<a><table><b>", "</i><b><li><ul>", "<p>", "<a>"])
def test_what_is_nested_without_end_is_not_taken_apart(unit: str) -> None:
    assert harmless(unit * 50_000, {}) == ""


@pytest.mark.parametrize("before", ["", "<!-- <b x='-->", '<b title=">">', "<b x=\"'", "<script>", "<b\n="])
def test_an_element_of_attributes_without_end_is_not_taken_apart_wherever_it_stands(before: str) -> None:
    assert harmless(f"{before}<p {' '.join(f'a{number}' for number in range(50_000))}>x", {}) == ""
    assert "<p>x" in harmless(f"<p {' '.join(f'a{number}' for number in range(900))}>x", {})


def test_a_picture_that_is_shown_without_end_is_shown_as_often_as_four_megabytes_hold() -> None:
    shown = harmless('<img src="cid:x">' * 1_000, {"x": "data:image/png;base64," + "A" * 499_978})
    assert shown.count("data:") == 8 and shown.count("<img") == 1_000


def test_of_texts_and_pages_without_end_the_first_are_shown_and_the_others_counted() -> None:
    part = "--b\r\nContent-Type: text/{kind}\r\n\r\n{text}\r\n"
    parts = part.format(kind="html", text="<p>x") * 14 + part.format(kind="plain", text="x" * 150_000) * 5
    shown = view_of(f"Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n".encode())
    assert (len(shown.pages), len(shown.texts), shown.left_out) == (10, 3, 6)
    assert [text.is_cut for text in shown.texts] == [False, False, True]


def test_the_header_of_an_attached_mail_is_shown_too_also_where_it_is_encoded() -> None:
    inner = b"From: a@b.example\r\nSubject: =?utf-8?q?Bestellung?=\r\n\r\nx"
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n"
    for written in (
        b"\r\n" + inner,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(inner),
    ):
        (fields,) = view_of(head + written + b"\r\n--b--\r\n").mails
        assert dict(fields) == {"From": "a@b.example", "Subject": "Bestellung"}


@pytest.mark.long
def test_no_heap_of_tags_takes_long_to_make_harmless() -> None:
    chance = random.Random(3)
    names = "b i a p div table tr td li ul form select option svg font span nobr button h1 style math template".split()
    for _ in range(300):
        tags = [
            f"{'</' if chance.random() < 0.45 else '<'}{chance.choice(names)}>" for _ in range(chance.randint(1, 5))
        ]
        heap = "".join(tags)
        harmless(heap * (400_000 // len(heap)), {})  # without the limit on levels the whole would take hours


@pytest.mark.parametrize(
    "raw", [b"", b"\x00" * 1000, b"Subject: x", b"\r\n\r\n<script>x</script>", MAIL[:300], MAIL * 50]
)
def test_whatever_the_octets_are_something_is_shown(raw: bytes) -> None:
    view_of(raw)


def test_what_cannot_be_seen_is_seen_but_what_names_need_stays() -> None:
    assert visible("a\u202eb\u0007c\u200dd\r\n\te") == "a⟨U+202E⟩b⟨U+0007⟩c\u200dd\n\te"
