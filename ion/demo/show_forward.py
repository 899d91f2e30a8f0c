"""`ion demo --forward`: one order before and after it was forwarded by the clients named, and what was read back.

The mail is rendered, forwarded by `forwarding` and read as any other would be; nothing is sent or stored but the two
mails themselves.
"""

import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ion.config import Settings
from ion.contract import language, order_entries
from ion.contract.fields import SECTIONS
from ion.demo.forwarding import CLIENTS, GATEWAYS, LANGUAGES, Options, opened, through
from ion.errors import IonError
from ion.keys import key_ring
from ion.notify.sending import render_order
from ion.order import Order
from ion.payloads import read_payload
from ion.reading import Judged, read_message

MERCHANT = "default"
SAMPLE = "global-e-hub-order.json"
NOTE = "Please enter this order."
SHOWN_WIDTH = 96
FIRST_LINES = 14
# What the table of fields holds, besides what differs: enough to see that the order is whole.
MAIN_FIELDS = frozenset(
    {
        *(f"order.{name}" for name in ("platform", "order_number", "merchant_order_number", "created_time")),
        *(f"hub.{name}" for name in ("company", "address1", "address2", "postal_code", "country")),
        *(f"delivery.{name}" for name in ("first_name", "last_name", "name", "address1", "city", "country", "phone")),
        *(f"line.{name}" for name in ("sku", "name", "quantity", "unit_price_customer")),
        *(f"totals.{name}" for name in ("shipping_customer", "duties_and_taxes_customer", "total_customer")),
    }
)


class UnknownClientError(IonError):
    """No client, gateway or language of that name is imitated; the message names those that are."""

    exit_status = 2


def described_clients() -> str:
    """Every client and gateway by name, with what it does and where that is known from."""
    blocks = []
    for title, steps in (("Clients", CLIENTS), ("Gateways", GATEWAYS)):
        rows = [f"  {name:<21} {step.summary} ({step.source})" for name, step in steps.items()]
        blocks.append("\n".join([f"{title}:", *rows]))
    return "\n".join([*blocks, f"Languages: {', '.join(LANGUAGES)}"])


def show_forward(names: Sequence[str], tag: str, directory: Path | None) -> bool:
    """Forward one sample order by `names` in turn, the clients set to the language `tag`, and show it before and after.

    Writes `before.eml` and `after.eml` into `directory` (a new temporary folder where None). True if the order came
    back exactly. Raises UnknownClientError, and IonError where the folder cannot be written.
    """
    _check(names, tag)
    folder = directory or Path(tempfile.mkdtemp(prefix="ion-demo-"))
    order = read_payload((resources.files("ion") / "samples" / SAMPLE).read_bytes()).order
    try:
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(data_dir=folder, sender="Global orders <ion@platform.example>")
        before = render_order(
            order, settings, merchant=MERCHANT, recipients=["orders@shop.example"], read_back=read_message
        ).raw
        after = through(before, names=names, options=Options(language=tag, note=NOTE))
        (folder / "before.eml").write_bytes(before)
        (folder / "after.eml").write_bytes(after)
    except OSError as error:
        raise IonError(f"{folder} cannot be written: {error.strerror}; name another folder") from error
    results = read_message(after, key_ring(settings).keys_for(MERCHANT))
    return _show(folder, names, order, (before, after), results)


def _check(names: Sequence[str], tag: str) -> None:
    for name in names:
        if name not in CLIENTS and name not in GATEWAYS:
            raise UnknownClientError(f"no client or gateway is named {name!r}; known are:\n{described_clients()}")
    if tag not in LANGUAGES:
        raise UnknownClientError(f"the clients do not speak {tag!r}; known are {', '.join(LANGUAGES)}")


def _show(
    folder: Path, names: Sequence[str], order: Order, mails: tuple[bytes, bytes], results: Sequence[Judged]
) -> bool:
    console = Console()
    for title, raw in zip(("as sent", f"as forwarded by {', then '.join(names)}"), mails, strict=True):
        console.rule(f"the mail {title}", align="left")
        for line in _excerpt(raw, order):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    result = results[0] if len(results) == 1 else None
    console.print(_table(order, result.order if result else None))
    exact = result is not None and result.grade == "sealed" and result.order == order
    for label, text in _verdict(results, exact=exact):
        console.print(f"{label:<16} {text}", markup=False, highlight=False, soft_wrap=True)
    for label, name in (("mail as sent", "before.eml"), ("mail as forwarded", "after.eml")):
        console.print(f"{label:<18} {folder / name}", markup=False, highlight=False, soft_wrap=True)
    return exact


def _excerpt(raw: bytes, order: Order) -> Iterator[str]:
    """The text of a mail as a client shows it: its first lines, those around the first item, and what is attached."""
    original = opened(raw)
    lines = original.lines() if original.text is not None or original.html is not None else []
    item = next((place for place, line in enumerate(lines) if order.lines and _names_item(line, order)), None)
    yield f"Subject: {original.subject}"
    yield ""
    yield from _shortened(lines[:FIRST_LINES])
    if item is not None and item > FIRST_LINES:
        yield "[...]"
        yield from _shortened(lines[max(FIRST_LINES, item - 4) : item + 8])
    if len(lines) > FIRST_LINES:
        yield "[...]"
    for attachment in original.attachments:
        yield f"[attached: {attachment.name}, {attachment.content_type}, {len(attachment.octets)} octets]"


def _names_item(line: str, order: Order) -> bool:
    """True where the stock number of the first item stands in a line, or the beginning of its name."""
    first = order.lines[0]
    return bool((first.sku and first.sku in line) or (first.name and first.name[:12] in line))


def _shortened(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield line if len(line) <= SHOWN_WIDTH else line[: SHOWN_WIDTH - 1] + "…"


def _table(sent: Order, back: Order | None) -> Table:
    table = Table(title="Order → mail → forwarded → read", title_justify="left")
    for column in ("field", "as sent", "as read back"):
        table.add_column(column, overflow="fold")
    values = {entry.name: entry for entry in order_entries(sent)}
    read = {entry.name: entry for entry in order_entries(back)} if back is not None else {}
    english = language("en")
    for name in dict.fromkeys([*values, *read]):
        entry = values.get(name) or read[name]
        old, new = (side[name].value if name in side else "" for side in (values, read))
        if old == new and entry.code not in MAIN_FIELDS:
            continue
        section = SECTIONS[entry.section]
        place = f" {entry.index[0] + 1}" if section.repeated else ""
        label = f"{entry.section.replace('_', ' ')}{place}: {english.label(section, entry.field)}"
        shown = escape(new) if old == new else f"[red]{escape(new) or 'missing'}[/]"
        table.add_row(escape(label), escape(old), shown)
    return table


def _verdict(results: Sequence[Judged], *, exact: bool) -> Iterator[tuple[str, str]]:
    if not results:
        yield "grade", "none: no notification was found in the mail"
    for result in results:
        yield "grade", result.grade
        if result.carrier:
            yield "proved by", result.carrier
        for problem in result.problems:
            yield problem.code, f"{problem.field}: {problem.message}" if problem.field else problem.message
    yield "came back", "exactly" if exact else "not exactly"
