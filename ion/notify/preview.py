"""Preview: what a merchant's templates make of sample orders, as files to look at.

Each mail is written as HTML, text and a whole message, and as pictures where there is a program to make them. Nothing
is proved here: a template that loses something is shown with what it loses.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ion.contract import Language
from ion.errors import IonError, RenderError
from ion.notify.pictures import Chromium
from ion.notify.render import Envelope, ReadBack, attachment_of, compose, losses, prepare
from ion.notify.template_check import a_key, sample_notification
from ion.notify.templates import Templates
from ion.order import Order

WIDTHS = {"wide": 768, "narrow": 320}  # pixels
SCHEMES = {"light": False, "dark": True}
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Mails of these templates</title>
<style>
body { margin: 16px; font: 15px/1.5 sans-serif; }
.mail { display: flex; gap: 16px; overflow-x: auto; align-items: flex-start; }
img { border: 1px solid #888; max-height: 560px; }
</style></head>
<body>
<h1>Mails of these templates</h1>
"""


@dataclass(frozen=True)
class Previewed:
    """One mail as files. `files`: their names in the folder; `lost`: the fields that do not come back, or why a
    template cannot be rendered."""

    order: str
    language: str
    files: tuple[str, ...]
    lost: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def preview_templates(
    templates: Templates,
    orders: Mapping[str, Order],
    languages: Sequence[Language],
    folder: Path,
    *,
    sender: str,
    read_back: ReadBack,
    chromium: Chromium | None,
) -> Iterator[Previewed]:
    """Write every order in every language into `folder`, mail by mail, and at the end `index.html` to look at all.

    Without `chromium` there are no pictures. Raises IonError where the folder cannot be written.
    """
    envelope = Envelope(sender, ("orders@shop.example",))
    made: list[Previewed] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for known in languages:
            for name, order in orders.items():
                one = _written(templates, name, order, known, folder, envelope, read_back, chromium)
                made.append(one)
                yield one
        (folder / "index.html").write_text(_index(made), "utf-8")
    except OSError as error:
        raise IonError(f"{folder} cannot be written: {error.strerror}; name another folder") from error


def _written(
    templates: Templates,
    name: str,
    order: Order,
    language: Language,
    folder: Path,
    envelope: Envelope,
    read_back: ReadBack,
    chromium: Chromium | None,
) -> Previewed:
    key = a_key()
    prepared = prepare(order, sample_notification(order), key=key, language=language)
    try:
        text, html = templates.text(prepared.context), templates.html(prepared.context)
    except RenderError as error:
        return Previewed(name, language.tag, (), (str(error),))
    lost = [
        field or message
        for kind, body in (("html", html), ("text", text))
        for field, message in losses(prepared, body, kind, key=key, read_back=read_back)
    ]
    attachment = attachment_of(prepared, text, html, key=key, language=language)
    mail = compose(prepared, text, html, attachment, language=language, envelope=envelope)
    stem = f"{name}.{language.tag}"
    files = [f"{stem}.html", f"{stem}.txt", f"{stem}.eml"]
    for file, octets in zip(files, (html.encode(), text.encode(), mail.raw), strict=True):
        (folder / file).write_bytes(octets)
    if chromium is not None:
        sizes = chromium.sizes([(html, pixels) for pixels in WIDTHS.values()])
        for (width, pixels), size in zip(WIDTHS.items(), sizes, strict=True):
            for scheme, dark in SCHEMES.items():
                files.append(f"{stem}.{width}-{scheme}.png")
                chromium.picture(html, folder / files[-1], width=pixels, height=size.height, dark=dark)
    return Previewed(name, language.tag, tuple(files), tuple(dict.fromkeys(lost)))


def _index(made: Sequence[Previewed]) -> str:
    blocks = []
    for one in made:
        links = " ".join(f'<a href="{escape(file)}">{escape(file)}</a>' for file in one.files)
        pictures = [
            f'<a href="{escape(file)}"><img src="{escape(file)}" alt="{escape(file)}"></a>'
            for file in one.files
            if file.endswith(".png")
        ]
        told = f"<strong>lost: {escape(', '.join(one.lost))}</strong>" if one.lost else "comes back exactly"
        blocks.append(
            f"<h2>{escape(one.order)}, {escape(one.language)}</h2>\n<p>{told}</p>\n<p>{links}</p>\n"
            f'<div class="mail">{"".join(pictures)}</div>\n'
        )
    return _PAGE + "".join(blocks) + "</body>\n</html>\n"
