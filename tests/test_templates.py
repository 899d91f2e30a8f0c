"""A merchant's own templates: begun from the built-in ones, checked by field before a mail has to leave, looked at."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ion.contract import language
from ion.demo.run import sample_payloads
from ion.errors import IonError, SettingError
from ion.notify.pictures import PROGRAMS, Chromium
from ion.notify.preview import WIDTHS
from ion.notify.sample_orders import hard_orders
from ion.notify.template_check import CLIPPED_FROM_BYTES, Finding, check_templates
from ion.notify.templates import HTML_NAME, TEXT_NAME, Templates, built_in_folder, export_templates
from ion.reading import read_message
from tests.orders import bodies_of, parsed, rendered, small_order
from tests.programs import Ion, IonHere, missing
from tests.thinning import one_in

NAMES = (HTML_NAME, TEXT_NAME)
HARD = hard_orders()


@pytest.fixture
def ion(tmp_path: Path) -> Ion:
    return IonHere(tmp_path / "data")


def own(folder: Path, name: str, old: str, new: str) -> Path:
    """A folder with the built-in template of this name in which `old` is `new`."""
    text = (built_in_folder() / name).read_text("utf-8")
    assert old in text
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text.replace(old, new), "utf-8")
    return folder


def found(folder: Path, *orders: str, tags: tuple[str, ...] = ("en",)) -> list[Finding]:
    """What is found with these hard orders in these languages."""
    named = {name: HARD[name] for name in orders}
    return list(check_templates(Templates(folder), named, [language(tag) for tag in tags], read_back=read_message))


# Export


def test_export_copies_the_built_in_templates_and_prints_what_it_wrote(ion: Ion, tmp_path: Path) -> None:
    folder = tmp_path / "shop" / "mails"
    written = ion.run("template", "export", folder).decode().splitlines()
    assert written == [str(folder / name) for name in NAMES]
    for name in NAMES:
        assert (folder / name).read_bytes() == (built_in_folder() / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_export_writes_over_nothing_and_names_the_file(ion: Ion, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    ion.run("template", "export", tmp_path, status=1)
    assert str(tmp_path / name) in ion.messages
    assert [path.name for path in tmp_path.glob("*.j2")] == [name], "and leaves no half of the templates"
    assert (tmp_path / name).read_text() == "mine"


def test_export_follows_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / TEXT_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IonError, match=TEXT_NAME):
        export_templates(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_export_says_where_it_cannot_write(ion: Ion, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    ion.run("template", "export", tmp_path / "file", status=1)
    assert str(tmp_path / "file") in ion.messages


def test_exported_templates_make_the_same_mail(tmp_path: Path) -> None:
    export_templates(tmp_path)
    assert bodies_of(rendered(small_order(), templates=Templates(tmp_path)).raw) == bodies_of(
        rendered(small_order()).raw
    )


# The folder


def _empty(folder: Path) -> None:
    folder.mkdir()


def _of_something_else(folder: Path) -> None:
    folder.mkdir()
    (folder / "order.html").write_text("x")


def _with_a_folder_for_a_template(folder: Path) -> None:
    (folder / TEXT_NAME).mkdir(parents=True)


def _with_a_link_to_nothing(folder: Path) -> None:
    folder.mkdir()
    (folder / HTML_NAME).symlink_to(folder / "nothing")


def _a_file(folder: Path) -> None:
    folder.write_text("x")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_empty, HTML_NAME),
        (_of_something_else, "ion template export"),
        (_with_a_folder_for_a_template, TEXT_NAME),
        (_with_a_link_to_nothing, HTML_NAME),
        (_a_file, "does not exist"),
    ],
)
def test_a_folder_without_templates_that_can_be_read_is_a_wrong_setting(
    tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    folder = tmp_path / "templates"
    make(folder)
    with pytest.raises(SettingError, match=re.escape(told)) as caught:
        Templates(folder)
    assert str(folder) in str(caught.value)


def test_no_command_renders_with_the_built_in_ones_instead(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ion = IonHere(tmp_path / "data", ION_TEMPLATES_DIR=str(tmp_path / "empty"))
    for name, payload in sample_payloads():
        (tmp_path / name).write_bytes(payload)
    for status, arguments in (
        (3, ("template", "check", "--language", "en")),
        (3, ("template", "preview", "-o", str(tmp_path / "seen"))),
        (1, ("render", "--approved", str(tmp_path / "zonos-approved-order.json"))),
    ):
        assert ion.run(*arguments, status=status) == b""
        assert f"{tmp_path / 'empty'} holds neither" in ion.messages


@pytest.mark.parametrize("name", NAMES)
def test_one_template_alone_is_enough(tmp_path: Path, name: str) -> None:
    folder = own(tmp_path / "templates", name, "{{ mail.keep_as_is", "Bye! {{ mail.keep_as_is")
    assert found(folder, "every-field") == []
    other = next(one for one in NAMES if one != name)
    templates = Templates(folder)
    assert templates.origin(name) == str(folder / name) and templates.origin(other) == f"built-in {other}"


# Check


CUSTOMS = (
    "incoterm tax_rule value exporter_vat_number exporter_eori exporter_ioss importer_vat_number importer_tax_id "
    "importer_type tax_exempt vat_not_charged prepay_offered"
).split()
LOSSES: list[tuple[str, str, str, set[str]]] = [
    (HTML_NAME, "block.without(*sums)", "block.without(*sums)[1:]", {"totals.merchant_currency"}),
    (TEXT_NAME, '"customs", ', "", {f"customs.{name}" for name in CUSTOMS}),
    (HTML_NAME, '{{ small("customs") }}', "", {f"customs.{name}" for name in CUSTOMS}),
    # Shown a second time, with another value.
    (
        HTML_NAME,
        "<td>{{ value(field) }}</td></tr>\n",
        '<td>{{ value(field) }}</td></tr>\n{% if field.name == "birth_date" %}<tr><td>{{ field.label }}</td>'
        "<td>1.1.1970</td></tr>{% endif %}\n",
        {"customer.birth_date"},
    ),
    (
        TEXT_NAME,
        '{{ (field.label ~ " " ~ field.text) | wrapped }}\n',
        '{{ (field.label ~ " " ~ field.text) | wrapped }}\n'
        '{% if field.name == "birth_date" %}{{ field.label }} 1.1.1970{{ "\\n" }}{% endif %}\n',
        {"customer.birth_date"},
    ),
    # Changed.
    (
        HTML_NAME,
        "<td>{{ value(field) }}</td></tr>",
        '<td>{{ value(field) if field.name != "culture" else value(field) | upper }}</td></tr>',
        {"customer.culture"},
    ),
    (
        TEXT_NAME,
        '(field.label ~ " " ~ field.text)',
        '(field.label ~ " " ~ (field.text ~ "0" if field.name == "hs_code" else field.text))',
        {"line[1].hs_code", "line[2].hs_code"},
    ),
    # Said behind a value.
    (
        TEXT_NAME,
        '(field.label ~ " " ~ field.text)',
        '(field.label ~ " " ~ field.text ~ (" (dear customer)" if field.name == "account_id" else ""))',
        {"customer.account_id"},
    ),
]


@pytest.mark.parametrize(("loss", "tag"), one_in(3, LOSSES, ("en", "ja", "ar")))
def test_check_names_exactly_the_fields_that_a_template_loses(
    tmp_path: Path, loss: tuple[str, str, str, set[str]], tag: str
) -> None:
    name, old, new, lost = loss
    folder = own(tmp_path / "templates", name, old, new)
    findings = found(folder, "every-field", tags=(tag,))
    assert {finding.field for finding in findings} == lost
    assert len(findings) == len(lost), "each once"
    part = "HTML" if name == HTML_NAME else "text"
    assert {(one.kind, one.template, one.part, one.language, one.order) for one in findings} == {
        ("loss", str(folder / name), part, tag, "every-field")
    }


@pytest.mark.parametrize("name", NAMES)
def test_check_tells_of_a_template_that_prints_no_notification(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Hello")
    (finding,) = found(tmp_path, "every-field")
    assert (finding.kind, finding.field) == ("loss", "notification")


def test_check_tells_a_field_that_only_some_orders_have_where_they_have_it(tmp_path: Path) -> None:
    folder = own(tmp_path / "templates", TEXT_NAME, '"tracking", ', "")
    findings = found(folder, "few-fields", "long-words", tags=("en", "de"))
    told = [(one.language, one.order, one.field) for one in findings]
    assert told == [(tag, "long-words", f"tracking.{field}") for tag in ("en", "de") for field in ("number", "url")]


@pytest.mark.long
def test_check_prints_a_json_line_per_loss_and_ends_with_1(tmp_path: Path) -> None:
    folder = own(tmp_path / "templates", HTML_NAME, '{{ small("tracking") }}', "")
    ion = IonHere(tmp_path / "data", ION_TEMPLATES_DIR=str(folder))
    lines = ion.lines("template", "check", "--language", "de", "--language", "DE", status=1)
    assert {line["language"] for line in lines} == {"de"}
    assert {line["field"].partition(".")[0] for line in lines} == {"tracking"}
    assert {line["order"] for line in lines} >= {"every-field", "long-words", "global-e-hub-order"}
    assert all(set(line) == {"kind", "template", "part", "language", "order", "message", "field"} for line in lines)
    assert f"fields lost {len(lines)}, errors 0" in ion.messages and "in 1 languages" in ion.messages


def test_check_of_the_built_in_templates_finds_nothing_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ion = IonHere(tmp_path / "data")
    assert ion.run("template", "check", "--language", "en", "--language", "he") == b""
    assert "fields lost 0, errors 0, warnings 0" in ion.messages


def test_check_knows_only_the_languages_of_the_contract(ion: Ion) -> None:
    ion.run("template", "check", "--language", "tlh", status=3)
    assert "'tlh'" in ion.messages and "zh-TW" in ion.messages


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("broken", "line", "told"),
    [
        ("{% for %}", 3, "Expected an expression"),
        ("{{ order.nothing }}", 3, "nothing"),
        ("{{ 1 / 0 }}", 3, "ZeroDivisionError"),
        ("{{ nothing() }}", 3, "nothing"),
        ("{% include 'nothing' %}", 3, "nothing"),
    ],
)
def test_check_names_template_and_line_of_an_error_once(
    tmp_path: Path, name: str, broken: str, line: int, told: str
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / name).write_text(f"one\ntwo\n{broken}\nfour\n")
    (finding,) = found(folder, "few-fields", "numbers", tags=("en", "de"))
    assert finding.kind == "error" and finding.template == str(folder / name) and "field" not in finding.to_json()
    assert f"{name}, line {line}: " in finding.message and told in finding.message


@pytest.mark.parametrize(
    ("put_in", "told"),
    [
        ("<script>1</script>", "<script>"),
        ("<form></form>", "<form>"),
        ('<p onclick="x()">x</p>', "onclick"),
        ('<img src="https://shop.example/logo.png" alt="">', "https://shop.example/logo.png"),
        ('<img src="//shop.example/logo.png" alt="">', "//shop.example/logo.png"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="">', "data:image/gif"),
        ('<img src="logo.png" alt="">', "logo.png"),
        ('<p style="background: url(https://shop.example/a.png)">x</p>', "url(https://shop.example/a.png)"),
        ('<a href="javascript:x()">x</a>', "javascript:"),
    ],
)
def test_check_warns_of_what_mail_programs_drop_or_block(tmp_path: Path, put_in: str, told: str) -> None:
    folder = own(tmp_path / "templates", HTML_NAME, '<div class="page">', f'<div class="page">{put_in}')
    (warning,) = found(folder, "few-fields", "numbers", tags=("en", "de"))
    assert warning.kind == "warning" and told in warning.message


@pytest.mark.long
def test_warnings_and_errors_are_printed_and_only_errors_fail(ion: Ion, tmp_path: Path) -> None:
    folder = own(tmp_path / "templates", HTML_NAME, '<div class="page">', '<div class="page"><form></form>')
    (line,) = ion.lines("template", "check", folder, "--language", "en")
    assert line["kind"] == "warning" and "warnings 1" in ion.messages
    own(folder, TEXT_NAME, "{% macro block(item) %}", "{% macro block(item %}")
    lines = ion.lines("template", "check", folder, "--language", "en", status=1)
    assert [(one["kind"], one["part"]) for one in lines] == [("warning", "HTML"), ("error", "text")]
    assert "order.txt.j2, line 1: " in lines[1]["message"]


def test_a_link_to_a_page_is_no_reason_to_warn(tmp_path: Path) -> None:
    put_in = '<div class="page"><a href="https://shop.example/orders">Shop</a>'
    assert found(own(tmp_path / "templates", HTML_NAME, '<div class="page">', put_in), "every-field") == []


def test_check_warns_where_gmail_would_clip(tmp_path: Path) -> None:
    folder = own(tmp_path / "templates", HTML_NAME, '<div class="page">', f'<div class="page">{"x" * 80_000}')
    assert found(folder, "few-fields") == []
    (warning,) = found(folder, "two-hundred-lines")
    size = len(bodies_of(rendered(HARD["two-hundred-lines"], templates=Templates(folder)).raw)[1].encode())
    assert warning.kind == "warning" and f"{CLIPPED_FROM_BYTES}" in warning.message
    # The seals differ, and nothing else.
    assert abs(int(re.findall(r"\d+", warning.message)[0]) - size) < 40


# Preview


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG (its IHDR chunk)."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _preview(ion: Ion, folder: Path, *more: str | Path) -> list[Any]:
    arguments = ("template", "preview", *more, "-o", folder, "--order", "few-fields")
    return [json.loads(line) for line in ion.run(*arguments).splitlines()]


def test_preview_writes_the_mail_and_says_what_it_lacks_without_a_chromium(ion: Ion, tmp_path: Path) -> None:
    ion.environment["PATH"] = str(tmp_path)
    lines = _preview(ion, tmp_path / "seen", "--language", "de", "--language", "ar")
    names = [f"few-fields.{tag}.{suffix}" for tag in ("de", "ar") for suffix in ("html", "txt", "eml")]
    assert [name for line in lines for name in line["files"]] == names
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == sorted([*names, "index.html"])
    assert all(program in ion.messages for program in PROGRAMS) and "no pictures" in ion.messages
    for line in lines:
        page, text, mail = ((tmp_path / "seen" / name).read_bytes().decode() for name in line["files"])
        assert [body.rstrip() for body in bodies_of(mail.encode())[:2]] == [text.rstrip(), page.rstrip()]
        assert parsed(mail.encode())["Content-Language"] == line["language"] and line["lost"] == []
    index = (tmp_path / "seen" / "index.html").read_text("utf-8")
    assert all(f'href="{name}"' in index for name in names)


@pytest.mark.long
def test_preview_makes_pictures_wide_and_narrow_light_and_dark(ion: Ion, tmp_path: Path) -> None:
    if Chromium.find() is None:
        missing(f"one of the programs {', '.join(PROGRAMS)}")
    (line,) = _preview(ion, tmp_path / "seen")
    pictures = [name for name in line["files"] if name.endswith(".png")]
    assert pictures == [
        f"few-fields.en.{width}-{scheme}.png" for width in ("wide", "narrow") for scheme in ("light", "dark")
    ]
    sizes = [_size(tmp_path / "seen" / name) for name in pictures]
    assert [width for width, _ in sizes] == [WIDTHS["wide"]] * 2 + [WIDTHS["narrow"]] * 2
    assert sizes[0] == sizes[1] and sizes[2] == sizes[3] and sizes[2][1] > sizes[0][1] > 400
    octets = [(tmp_path / "seen" / name).read_bytes() for name in pictures]
    assert len(set(octets)) == 4
    index = (tmp_path / "seen" / "index.html").read_text("utf-8")
    assert all(f'src="{name}"' in index for name in pictures) and "no pictures" not in ion.messages


def test_preview_shows_a_template_that_loses_something_with_what_it_loses(ion: Ion, tmp_path: Path) -> None:
    ion.environment["PATH"] = str(tmp_path)
    folder = own(tmp_path / "templates", TEXT_NAME, '"totals", ', "")
    (line,) = _preview(ion, tmp_path / "seen", folder)
    assert line["lost"] == ["totals.total_customer"] and len(line["files"]) == 3
    assert "lost: totals.total_customer" in (tmp_path / "seen" / "index.html").read_text("utf-8")


def test_preview_ends_with_1_where_a_template_cannot_be_rendered(ion: Ion, tmp_path: Path) -> None:
    (tmp_path / TEXT_NAME).write_text("{{ nothing }}")
    ion.run("template", "preview", tmp_path, "-o", tmp_path / "seen", "--order", "few-fields", status=1)
    assert TEXT_NAME in (tmp_path / "seen" / "index.html").read_text("utf-8")


def test_preview_names_the_orders_there_are(ion: Ion, tmp_path: Path) -> None:
    ion.run("template", "preview", "-o", tmp_path, "--order", "nothing", status=2)
    assert "every-field" in ion.messages and "zonos-test-order" in ion.messages


@pytest.mark.long
def test_a_picture_is_taken_without_the_network_and_without_scripts(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    chromium = Chromium.find() or missing(f"one of the programs {', '.join(PROGRAMS)}")
    asked: list[str] = []

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Asked) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        page = (
            f'<!doctype html><body style="margin:0"><img src="{address}/image" width="10" height="10">'
            f'<link rel="stylesheet" href="{address}/sheet"><p style="background: url({address}/style)">x</p>'
            f'<iframe src="{address}/frame"></iframe><script>document.body.innerHTML = ""; '
            f'fetch("{address}/script"); document.write("<p style=\\"height: 9000px\\">")</script>'
        )
        (size,) = chromium.sizes([(page, 320)])
        chromium.picture(page, tmp_path / "page.png", width=320, height=200, dark=False)
        server.shutdown()
    assert asked == [] and size.height < 1000
    assert _size(tmp_path / "page.png") == (320, 200)
