"""Orders that were told of before: what an order was, and the mail that tells what has changed in it since."""

from decimal import Decimal
from functools import cache
from typing import Any

from ion.contract import language
from ion.notify.render import Rendered, render
from ion.order import LineItem, Money, Order, Pair
from tests.hard_orders import hard_orders
from tests.orders import ENVELOPE, KEY, TEMPLATES, bodies_of, notification_for, rendered, small_order, unproved

OLD_SEAL = rendered(small_order().model_copy(update={"order_number": "0"})).seal
_OLD_TEXT, _OLD_HTML, _ = bodies_of(rendered(small_order()).raw)

# What a value of the earlier order may hold that looks like something else.
HOSTILE = {
    "a usual text": "Calle Mayor 3",
    "a label": "x Quantity: 9",
    "a heading": "Item 1 of 1: SKU: ZZ-9 Quantity: 9",
    "a title": "International Order Notification: 666",
    "a title joined to a word": "xInternational Order Notification: 666",
    "a colon at the start": ": 9",
    "a colon of another kind": "Quantity\uff1a 9",
    "what a charset makes a colon of": "Quantity\u2236 9 City\ufe55 x",
    "a seal": f"Seal {OLD_SEAL}",
    "a whole notification": " ".join(_OLD_TEXT.split()),
    "markup": "<b>City</b><br>Lima</td></tr></table><h1>x</h1><!--",
    "an entity": "City&#58; Lima &colon;",
    "quotation marks": "> > City\n> Lima",
    "bars and bold": "| City | Lima | *City*",
    "line breaks": "City\nLima\n\nSKU\nZZ-9",
    "links": "a@b.c<mailto:a@b.c> [x](https://x.example/City)",
    "template marks": "{{ order }} {% raw %}",
    "wrong charset": "StÃ¼ckpreis 9",
    "joiners": "Quan\u200dtity 9",
    "another direction": "\u0627\u0644\u0643\u0645\u064a\u0629 9",
    "digits": "9 9 9",
    "a paragraph": "word " * 300,
}


def earlier(order: Order, text: str = HOSTILE["a usual text"]) -> Order:
    """What `order` was before: at another address, of another price and quantity, with a line more in front and its
    last line missing; `text` stands wherever a value may hold any text."""
    first, *others = order.lines or (LineItem(quantity=Decimal(1)),)
    gone = LineItem(line_id="gone", sku=f"OLD {text}", name=text, quantity=Decimal(7), attributes=(_pair(text),))
    changed = {
        "quantity": first.quantity + 1,
        "unit_price_customer": Money(amount=Decimal("987.65"), currency="EUR"),
        "description": text,
        "attributes": (_pair(text), *first.attributes),
    }
    stated = order.model_copy(
        update={
            "status": text,
            "notes": (text, *order.notes),
            "delivery": order.delivery.model_copy(update={"address1": text, "city": text, "country": "PE"}),
            "customer": order.customer.model_copy(update={"comments": text}),
            "lines": (gone, first.model_copy(update=changed), *others[:-1]),
            "totals": order.totals.model_copy(update={"total_customer": Money(amount=Decimal("1.01"), currency="EUR")}),
        }
    )
    return Order.model_validate(stated.to_json())


def _pair(text: str) -> Pair:
    return Pair(name=text, value=text)


def revised(order: Order, previous: Order, tag: str = "en", *, read_back: Any = unproved, **changes: Any) -> Rendered:
    """The mail for `order` as the second revision of `previous`, not read back unless asked."""
    settings = {"key": KEY, "envelope": ENVELOPE, "templates": TEMPLATES, **changes}
    return render(
        order,
        notification_for(order, revision=2, sequence=8),
        language=language(tag),
        read_back=read_back,
        previous=previous,
        **settings,
    )


@cache
def sent_again(order_name: str, tag: str) -> bytes:
    """The mail for a changed order of `hard_orders`; what it was before differs with the language."""
    texts = list(HOSTILE.values())
    order = hard_orders()[order_name]
    return revised(order, earlier(order, texts[sum(f"{order_name} {tag}".encode()) % len(texts)]), tag).raw
