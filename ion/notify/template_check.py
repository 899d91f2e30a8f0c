"""Check: what a merchant's templates lose, and what mail programs would not show of them, before a mail has to leave.

Every order given is printed in every language given and each body read back alone, as before a mail is sent. Reading
comes in as a function, because this side never imports the reading one.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import lxml.html

from ion.contract import Language, Notification
from ion.errors import RenderError
from ion.notify.render import Prepared, ReadBack, losses, prepare
from ion.notify.templates import HTML_NAME, TEXT_NAME, Templates
from ion.order import Order
from ion.seal import Key, key_of

# Gmail shows so much of a mail's HTML, and a link to the rest; others measured 102 to 105 kB
# (https://www.spamresource.com/2022/01/what-is-gmail-clipping-and-what-to-do.html).
CLIPPED_FROM_BYTES = 102_000
MERCHANT = "default"
Part = Literal["HTML", "text"]
_DROPPED = frozenset(
    "applet audio base button embed form frame iframe input math object script select svg video".split()
)
_REMOTE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
_STYLE_ADDRESS = re.compile(r"(?:url\(|@import)[^;)]{0,80}\)?", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One thing to mend. `kind`: `loss` (a field does not come back; `field` names it, None stands for more than are
    told one by one), `error` (the template cannot be rendered), `warning` (mail programs do not show it as written)."""

    kind: Literal["loss", "error", "warning"]
    template: str
    part: Part
    language: str
    order: str
    message: str
    field: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a loss names its field even where that is None."""
        values = vars(self)
        return values if self.kind == "loss" else {name: value for name, value in values.items() if name != "field"}


def a_key() -> Key:
    """A key that seals what is never sent."""
    return key_of(secrets.token_bytes(32))


def sample_notification(order: Order) -> Notification:
    """The printed header of a mail that is never sent: all of it stated, issued now."""
    return Notification(
        order_number=order.order_number, merchant=MERCHANT, revision=1, sequence=1, issued_at=datetime.now(UTC)
    )


def check_templates(
    templates: Templates, orders: Mapping[str, Order], languages: Iterable[Language], *, read_back: ReadBack
) -> Iterator[Finding]:
    """What `templates` lose of `orders` in `languages`, mail by mail, and nothing where they lose nothing.

    What is the same in every mail (an error, something that mail programs drop) is told once, with the first language
    and order.
    """
    key = a_key()
    told: set[tuple[str, str]] = set()
    for known in languages:
        for name, order in orders.items():
            prepared = prepare(order, sample_notification(order), key=key, language=known)
            for finding in _of_one(templates, prepared, key, read_back, (known.tag, name)):
                same = finding.template, finding.message
                if finding.kind == "loss" or same not in told:
                    yield finding
                told.add(same)


def _of_one(
    templates: Templates, prepared: Prepared, key: Key, read_back: ReadBack, where: tuple[str, str]
) -> Iterator[Finding]:
    language, order = where
    parts: tuple[tuple[str, Part, Callable[[dict[str, Any]], str]], ...] = (
        (templates.origin(HTML_NAME), "HTML", templates.html),
        (templates.origin(TEXT_NAME), "text", templates.text),
    )
    for template, part, make in parts:
        try:
            body = make(prepared.context)
        except RenderError as error:
            yield Finding("error", template, part, language, order, str(error))
            continue
        for field, message in losses(prepared, body, part.lower(), key=key, read_back=read_back):
            yield Finding("loss", template, part, language, order, message, field)
        for message in html_warnings(body) if part == "HTML" else ():
            yield Finding("warning", template, part, language, order, message)


def html_warnings(html: str) -> Iterator[str]:
    """What mail programs clip, drop or block of an HTML body, one sentence each."""
    size = len(html.encode())
    if size > CLIPPED_FROM_BYTES:
        yield (
            f"the HTML has {size} octets; Gmail clips what is above {CLIPPED_FROM_BYTES} and with it the seal. "
            "Let the template write less per field"
        )
    for element in lxml.html.document_fromstring(html).iter():
        if not isinstance(element.tag, str):  # a comment, or a processing instruction
            continue
        if element.tag in _DROPPED:
            yield f"<{element.tag}> is dropped by mail programs"
        if element.tag == "style":
            yield from _style_warnings("<style>", element.text or "")
        for name, value in element.items():
            yield from _attribute_warnings(element.tag, str(name), str(value))


def _attribute_warnings(tag: str, name: str, value: str) -> Iterator[str]:
    place = f'<{tag} {name}="{value[:80]}">'
    if name.startswith("on"):
        yield f"{place}: an event handler is dropped by mail programs"
    elif name == "style":
        yield from _style_warnings(f"<{tag} style>", value)
    elif name in ("href", "action") and tag != "link":
        if value.strip().lower().startswith(("javascript:", "data:", "vbscript:")):
            yield f"{place}: such an address is dropped by mail programs"
    elif name in ("src", "srcset", "background", "poster", "data") or (tag == "link" and name == "href"):
        if value.lower().startswith("data:"):
            yield f"{place}: a picture inside the HTML is not shown by Gmail and Outlook"
        elif _REMOTE.match(value):
            yield f"{place}: content from elsewhere is blocked until somebody asks for it, and tells who reads the mail"
        else:
            yield f"{place}: it leads to nothing, for no file travels with the mail"


def _style_warnings(place: str, css: str) -> Iterator[str]:
    for found in _STYLE_ADDRESS.finditer(css):
        yield f"{place} {found[0]}: content from elsewhere is blocked or dropped by mail programs"
