"""The mails that are measured: orders, rendered and forwarded by the imitated clients."""

import quopri
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ion.contract import Notification
from ion.demo.forwarding import CLIENTS, Options, through
from ion.demo.forwarding.mime import Entity
from ion.errors import PayloadError
from ion.order import Order, Pair
from ion.payloads import read_payload
from tests.orders import hub_order, long_order, rendered

NOTE = "Kindly enter this one today, it is urgent."
# Those that forwarding parsers name in their documentation; the others are all that write a new mail around the old.
NAMED = ("gmail", "outlook", "outlook-2019", "outlook-mac", "owa", "apple", "ios", "thunderbird", "yahoo")
_WHOLE = ("attached-", "digest", "nested", "filter", "redirect", "list", "signed")
INLINE = tuple(name for name in CLIENTS if not name.startswith(_WHOLE))
OTHERS = tuple(name for name in INLINE if name not in NAMED)


@dataclass(frozen=True)
class Sent:
    """A notification as it was sent."""

    name: str
    language: str
    order: Order
    notification: Notification
    raw: bytes


@cache
def orders() -> dict[str, Order]:
    """The usual orders by name: payloads of one to five lines, and full ones of as many."""
    found = {f"full {lines}": numbered(long_order(lines)) for lines in range(1, 6)}
    for file in sorted((resources.files("ion") / "samples").iterdir(), key=lambda file: file.name):
        try:
            order = read_payload(file.read_bytes()).order
        except PayloadError:
            continue
        if 1 <= len(order.lines) <= 5:
            found[file.name] = order
    return found


def numbered(order: Order) -> Order:
    """The order under a number of its own."""
    return order.model_copy(update={"order_number": f"GE{10_000_000 + len(order.lines)}GB"})


def header_like() -> Order:
    """An order whose texts look like what programs write around a forwarded mail."""
    (line, other) = long_order(2).lines
    lines = (
        line.model_copy(
            update={
                "name": "From: Paris",
                "description": "Subject: a poster, 50 x 70",
                "gift_message": "-----Original Message-----\nFrom: Grandma\nTo: Tim\nSubject: Happy birthday!",
            }
        ),
        other.model_copy(
            update={
                "name": "On Monday, 4 May 2026, Anna wrote:",
                "attributes": (Pair(name="To", value="Rome"), Pair(name="Date", value="Mon, 4 May 2026 10:00")),
                "gift_message": "Begin forwarded message:\n\nSent from my iPhone",
            }
        ),
    )
    base = hub_order()
    assert base.customer is not None and base.delivery is not None
    comments = "---------- Forwarded message ---------\nFrom: me\nDate: today\nSubject: Re: ring twice\nTo: the courier"
    return base.model_copy(
        update={
            "lines": lines,
            "customer": base.customer.model_copy(update={"comments": comments}),
            "delivery": base.delivery.model_copy(update={"address2": "From: the back yard"}),
        }
    )


@cache
def sent(name: str, language: str) -> Sent:
    """The mail for a usual order, for `header-like`, or for `lines N`."""
    if name == "header-like":
        order = header_like()
    elif name.startswith("lines "):
        order = numbered(long_order(int(name.removeprefix("lines "))))
    else:
        order = orders()[name]
    mail = rendered(order, language)
    return Sent(name, language, order, mail.notification, mail.raw)


def forwarded(mail: Sent, clients: tuple[str, ...], *, raw: bytes | None = None, **options: object) -> bytes:
    """The mail after these clients, in its own language; without attachments unless asked for. `raw`: in its place."""
    chosen = {"language": mail.language, "attachments": False, **options}
    return through(mail.raw if raw is None else raw, names=clients, options=Options(**chosen))  # type: ignore[arg-type]


def edited(raw: bytes) -> bytes:
    """The mail with a price in its bodies changed by hand: nothing proves it, so everything is tried."""

    def change(part: Entity) -> Entity:
        if not part.content_type.startswith("text/"):
            return part
        return part.with_text(re.sub(r"30(\D)71", r"30\g<1>72", part.text))

    return Entity.parsed(raw).mapped(change).raw()


_GOODS = ("walnut desk", "linen shirt", "copper kettle", "wool blanket", "garden chair", "oak shelf", "blue teapot")


def newsletter(number: int) -> bytes:
    """A shop's advertisement of some 30 kilobytes: tables, prices, addresses, but no notification."""
    goods = [f"{_GOODS[(number + place) % len(_GOODS)]} no. {place + number}" for place in range(40)]
    style = "font-family:Arial,sans-serif;font-size:14px;line-height:20px;color:#333333;padding:0 0 12px 0"
    rows = "".join(
        f'<tr><td style="{style}"><a href="https://news.shop.example/c/{number}/{place}?id={place * 7919}">'
        f'<img src="https://news.shop.example/i/{place}.jpg" width="280" alt="{name}"></a></td>'
        f'<td style="{style}"><b>{name.title()}</b><br>Price: {place + 12}.90 EUR<br>Delivery: 2 to 4 days<br>'
        f"Order number {number}-{place}, SKU: N-{place}. Made to last, and to be repaired when it does not.</td></tr>"
        for place, name in enumerate(goods)
    )
    text = "".join(f"{name.title()}\r\nPrice: {place + 12}.90 EUR\r\n\r\n" for place, name in enumerate(goods))
    head = (
        f"From: Shop <news@shop.example>\r\nTo: orders@in.ion.example\r\nSubject: Our offers no. {number}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=7d1e\r\n\r\n"
    )
    parts = (("plain", text), ("html", f"<html><body><table>{rows}</table></body></html>"))
    bodies = "".join(
        f"--7d1e\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        f"{quopri.encodestring(content.encode()).decode()}\r\n"
        for kind, content in parts
    )
    return f"{head}{bodies}--7d1e--\r\n".encode()
