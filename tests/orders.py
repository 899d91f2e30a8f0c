"""Orders to try things on: a few fixed ones, and Hypothesis strategies for any.

The fixed full orders are made from the model itself, so a leaf added to the model is in them without anybody thinking
of it. Hostile texts are put together from what would confuse a reader: labels, marks, seals, line breaks, mark-up.
"""

import email
import email.policy
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from email.message import EmailMessage
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from unittest.mock import ANY

from hypothesis import strategies as st
from pydantic import BaseModel

from ion.contract import FIELDS, ORDER_SECTIONS, Kind, Language, Notification, language, languages
from ion.notify.render import Envelope, JudgedPart, Rendered, render
from ion.notify.templates import Templates
from ion.order import (
    Address,
    Adjustment,
    Customer,
    Customs,
    Document,
    LineItem,
    Money,
    Order,
    Pair,
    Payment,
    Shipping,
    Totals,
    Tracking,
    canonical_text,
)
from ion.seal import Key, key_of

KEY = key_of(b"k" * 32)
OTHER_KEY = key_of(b"o" * 32)
# Languages for tests that take long: each script, each way of writing numbers, one right to left.
SOME_TAGS = ("en", "de", "fr", "pl", "ru", "ja", "ar")
ISSUED = datetime(2026, 11, 23, 19, 20, 5, tzinfo=UTC)
ENVELOPE = Envelope("ION <ion@platform.example>", ("orders@shop.example",))
TEMPLATES = Templates()


def notification_for(order: Order, **changes: Any) -> Notification:
    header = {"order_number": order.order_number, "merchant": "default", "revision": 1, "sequence": 7}
    return Notification.model_validate({**header, "issued_at": ISSUED, **changes})


class _Trusted:
    """A reading that is whatever `render` wants it to be."""

    grade = "sealed"
    order: Order | None = ANY
    notification: Notification | None = ANY
    problems = ()
    carrier: str | None = "json"


def unproved(raw: bytes, keys: Any, memory: Any = None, /) -> list[JudgedPart]:
    """Stands in for reading back, where the test itself reads the mail."""
    return [_Trusted()]


def rendered(
    order: Order,
    tag: str = "en",
    *,
    key: Key = KEY,
    envelope: Envelope = ENVELOPE,
    templates: Templates = TEMPLATES,
    read_back: Any = unproved,
    **header: Any,
) -> Rendered:
    """The mail for `order`, not read back unless asked."""
    return render(
        order,
        notification_for(order, **header),
        key=key,
        language=language(tag),
        envelope=envelope,
        templates=templates,
        read_back=read_back,
    )


def parsed(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, policy=email.policy.default)


def bodies_of(raw: bytes) -> tuple[str, str, str]:
    """The plain text, the HTML and the attachment of a rendered mail, by the standard library's own reading."""
    message = parsed(raw)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None and html is not None
    (attachment,) = message.iter_attachments()
    text, page = (str(part.get_content()).replace("\r\n", "\n") for part in (plain, html))
    return text, page, bytes(attachment.get_content()).decode()


def mail_of(*, text: str | None = None, html: str | None = None, json: str | None = None) -> bytes:
    """A mail of just these bodies, sent as 8-bit UTF-8: quick to build and without a library in between."""
    parts = [
        f"Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{content}"
        for kind, content in (("text/plain", text), ("text/html", html), ("application/json", json))
        if content is not None
    ]
    head = "MIME-Version: 1.0\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=5f3a9c\r\n\r\n"
    return (head + "".join(f"--5f3a9c\r\n{part}\r\n" for part in parts) + "--5f3a9c--\r\n").encode()


# The model, walked.


def inner_types(annotation: Any) -> list[Any]:
    """The types an annotation may hold, without None and without what is annotated to them."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in inner_types(inner) if kind is not NoneType]
    return [annotation]


def model_leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Every leaf of a model: its path (`lines[].sku`), its type, and whether it is a list."""
    for name, info in model.model_fields.items():
        (kind,) = inner_types(info.annotation)
        place = f"{path}{name}"
        repeated = get_origin(kind) is tuple
        if repeated:
            (kind,) = inner_types(get_args(kind)[0])
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in (Money, Pair):
            yield from model_leaves(kind, f"{place}[]." if repeated else f"{place}.")
        else:
            yield place, kind, repeated


def _filled(model: type[BaseModel], path: str, blocks: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        (kind,) = inner_types(info.annotation)
        place = f"{path}.{name}".strip(".")
        if get_origin(kind) is tuple:
            (kind,) = inner_types(get_args(kind)[0])
            values[name] = [_value(kind, f"{place} {number}", blocks) for number in range(1, blocks + 1)]
        else:
            values[name] = _value(kind, place, blocks)
    special = {
        "platform": "global-e",
        "card_last_four": "4242",
        "country": "NZ",
        "country_of_origin": "CN",
        "incoterm": "DDP",
        "borne_by": "merchant",
        "in_currency_of": "customer",
        "address2": "East Midlands Airport\nGE1\n\nDock 4",
    }
    return {name: special.get(name, value) for name, value in values.items()}


def _value(kind: Any, place: str, blocks: int) -> Any:
    size = sum(place.encode())  # another number for another place
    if kind is Money:
        return {"amount": f"{size}.{size % 97:02d}", "currency": "NZD"}
    if kind is Pair:
        return {"name": f"{place} =", "value": f"Grün, {size}"}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _filled(kind, place, blocks)
    return {bool: True, Decimal: f"{size % 89}.125"}.get(kind, f"Ω {place.replace('_', ' ')} {size}")


def full_order(*, hub: bool = True, blocks: int = 2) -> Order:
    """Every leaf of the model set, two of everything that repeats; without `hub`, the parcel goes to the customer."""
    values = _filled(Order, "", blocks)
    values["order_number"] = "GE12345678GB"
    if not hub:
        del values["hub"]
    return Order.model_validate(values)


def small_order() -> Order:
    """Little enough that every character of its mail can be changed in turn."""
    return Order(
        platform="zonos",
        order_number="123-45678",
        delivery=Address(name="Ana Ruiz", address1="Gran Via 7\n2B", city="Madrid", country="ES"),
        lines=(
            LineItem(
                sku="AB-1",
                name="Mug",
                quantity=Decimal(2),
                attributes=(Pair(name="Hue", value="Red"),),
                unit_price_customer=Money(amount=Decimal("1234.5"), currency="EUR"),
            ),
        ),
        totals=Totals(total_customer=Money(amount=Decimal(2469), currency="EUR")),
    )


def _money(amount: str, currency: str) -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def hub_order() -> Order:
    """An order as Global-e sends it: to its hub, with the customer behind it, and nothing empty."""
    customer = Address(
        salutation="Ms",
        first_name="Jenny",
        last_name="Smith-O'Brien",
        company="Smith & Daughters Ltd",
        address1="1250 Avenue of the Americas",
        address2="Floor 27, Suite 2704",
        city="New York",
        state_code="NY",
        state="New York",
        postal_code="10020-1104",
        country="US",
        email="jenny.smith@customer.example",
        phone="+1 (212) 555-0123",
        phone2="+1 (212) 555-0199",
    )
    hub = Address(
        first_name="GlobalE",
        last_name="East Midlands",
        address1="Unit 1, Building 107",
        address2="96a, Beverley Road\nEast Midlands Airport\nGE12345678GB",
        city="Derby",
        postal_code="DE74 2SA",
        country="GB",
        email="operations@hub.example",
        phone="+44 20 7946 0123",
    )
    return Order(
        platform="global-e",
        order_number="GE12345678GB",
        merchant_order_number="100023456",
        merchant_internal_order_number="4711",
        status="processing",
        web_store="UK",
        web_store_instance="GlobalEDefaultStoreInstance",
        source="1",
        other=(Pair(name="PriceCoefficientRate", value="1.000000"), Pair(name="LoyaltyPointsSpent", value="0.0")),
        customer=Customer(
            account_id="184467",
            email="jenny.smith@customer.example",
            comments="Please leave it with the porter.\nThanks!",
        ),
        hub=hub,
        delivery=customer,
        billing=customer,
        payer=hub,
        discounts=tuple(
            Adjustment(
                name=f"{number}0% off",
                description="Seasonal promotion on selected items",
                type="1",
                code=f"SALE{number}",
                coupon_code="WINTER",
                amount=_money("6.14", "GBP"),
                amount_customer=_money("7.6", "USD"),
                vat_rate=Decimal(20),
            )
            for number in (1, 2)
        ),
        shipping=Shipping(
            method_name="DHL Express Worldwide",
            method_code="100000014",
            merchant_method_code="dhl_express",
            type_name="Express Courier",
            type_code="2",
            delivery_days_from=Decimal(2),
            delivery_days_to=Decimal(4),
            vat_rate=Decimal(20),
        ),
        payment=Payment(
            method_name="Visa",
            method_code="1",
            card_last_four="4242",
            card_type="Visa",
            platform_method_name="MasterCard",
            platform_method_code="2",
        ),
        payment_holder=hub,
        totals=Totals(
            merchant_currency="GBP",
            customer_currency="USD",
            shipping_customer=_money("29.95", "USD"),
            shipping_discounted_customer=_money("19.95", "USD"),
            shipping_discounted=_money("16.12", "GBP"),
            duties_and_taxes_customer=_money("188.4", "USD"),
            total_customer=_money("3790.2", "USD"),
            charged=_money("3790.2", "USD"),
            vat_contained=_money("0", "USD"),
            clearance_fee_customer=_money("12", "USD"),
            price_coefficient=Decimal(1),
            rounding_rate=Decimal("0.8081578947368421052631578947"),
        ),
        customs=Customs(incoterm="DDP", tax_rule="FOB", value=_money("3030.55", "GBP"), exporter_eori="GB123456789000"),
        tracking=Tracking(
            number="1234567890", url="https://track.hub.example/tracking/GE12345678GB", status_name="Created"
        ),
    )


def long_order(lines: int = 50) -> Order:
    """A Global-e order with the line fields that platform fills, each as long as such fields are."""
    items = [
        LineItem(
            line_id=f"{11007 + number}",
            parent_line_id="11007" if number % 5 == 4 else None,
            product_id=f"AL-{24100 + number}-PARENT",
            sku=f"AL-{24100 + number}-GREY-M",
            secondary_code=f"50601234567{number:02d}",
            name=f"Women's organic cotton long-sleeved shirt with buttons, model {number + 1}",
            description="Soft, breathable, washed once; button-down collar, two pockets",
            brand="Northern Weavers",
            categories=("Women", "Shirts"),
            attributes=(Pair(name="Colour", value="Slate grey"), Pair(name="Size", value="M (UK 12)")),
            quantity=Decimal(1 + number % 3),
            unit_price=_money("30.71", "GBP"),
            unit_price_customer=_money("38", "USD"),
            discounted_price=_money("24.57", "GBP"),
            discounted_price_customer=_money("30.4", "USD"),
            discounted_price_customer_in_merchant_currency=_money("24.568", "GBP"),
            list_price=_money("35.5", "GBP"),
            list_price_customer=_money("44", "USD"),
            price_before_rounding=_money("30.7077", "GBP"),
            price_before_platform_discount=_money("30.71", "GBP"),
            rounding_rate=Decimal("0.8081578947368421052631578947"),
            vat_rate=Decimal(20),
            customer_vat_rate=Decimal("8.875"),
            hs_code="6206.30.00",
            country_of_origin="PT",
            customs_value=_money("24.57", "GBP"),
            customs_value_customer=_money("30.4", "USD"),
            duties=_money("4.05", "GBP"),
            sales_taxes=_money("2.7", "GBP"),
            duties_customer=_money("5.01", "USD"),
            sales_taxes_customer=_money("3.34", "USD"),
            gift_message="Happy birthday!\nWith love, Anna" if number % 10 == 0 else None,
            metadata=(Pair(name="warehouse", value="A-17"),),
            weight=Decimal("0.25"),
            weight_unit="KG",
            other=(Pair(name="ProductGroupCode", value=f"AL-{24100 + number}"),),
        )
        for number in range(lines)
    ]
    return hub_order().model_copy(update={"lines": tuple(items)})


def guarded_orders() -> dict[str, Order]:
    """Reason not to ship → an order with that reason."""
    order = small_order()
    return {
        "test": order.model_copy(update={"test": True}),
        "replacement": order.model_copy(update={"replacement": True, "original_order_number": "123-00001"}),
        "documents": order.model_copy(update={"documents": (Document(required=True, type_name="EAD"),)}),
        "encrypted": order.model_copy(update={"personal_data_encrypted": True}),
        "suppressed": order.model_copy(update={"personal_data_suppressed": True}),
    }


# Any text, number and order.

LABELS = sorted({text for known in languages() for text in known.anchors})
TITLES = sorted({known.title for known in languages()})
_MARKS = [
    *": \uff1a \\ \\\\ / \\/ // = \\= > | * _ < > - -- ( ) [ ] { } % & # ? . , ; ' \" ` ~ ^ / @ ! $".split(),
    *[
        "\n",
        "\r\n",
        "\n\n",
        " ",
        "  ",
        "\t",
        "\u00a0",
        "\u202f",
        "\u2028",
        "\u200d",
        "\u200c",
        "e\u0301",
        "\u1e9b\u0323",
    ],
    *["*bold*", "> quoted", "| cell", "From me", "-- ", "a@b.c<mailto:a@b.c>", "see <https://shop.example/a?b=c>"],
    *["<b>x</b>", "<script>alert(1)</script>", "&amp;", "&lt;", "&#58;", "<!--", "-->", "</td>", "<br>", "{{ order }}"],
    *[
        "7K2M-9QXR-AAAA-BBBB-CCCC",
        "1,5",
        "1.234,50 EUR",
        "38.00 USD",
        "(US)",
        "United States (US)",
        "yes",
        "ja",
        "None",
    ],
    *["=?utf-8?q?a=0D=0ABcc:_x@y?=", "=?utf-8?b?4oS5?=", "Content-Type: text/html", "2026-11-23 19:20:05 UTC", "null"],
    *["DDP", "DDP, duties and taxes are prepaid", "the customer", "der Kunde", "(x)", "((x))", "Global-e"],
    *[
        "東京都",
        "שלום",
        "عبد",
        "👩\u200d🚀",
        "İstanbul",
        "ﬁ",
        "²",
        "٣",
        "\ufe0f",
        "Ǆ",
        "\ufffd",
        "\ufffe",
        "\uffff",
        "\U0001f1fa",
    ],
    *["0", "007", "+1 (212)", "96a, Beverley Road", "Ä", "a", "B2", "=SUM(A1)", "-1", "1e5"],
]

fragments = st.one_of(
    st.sampled_from(_MARKS),
    st.sampled_from(LABELS).map(lambda label: f"{label}:".format(n=2, count=3)),
    st.sampled_from(LABELS).map(lambda label: label.format(n=1, count=1)),
    st.sampled_from(TITLES).map(lambda title: f"{title}:"),
    st.text(max_size=8),
)
wild_texts = st.builds(
    lambda pieces, between: between.join(pieces),
    st.lists(fragments, min_size=1, max_size=6),
    st.sampled_from(["", " "]),
)
"""What a payload may hold: not canonical yet, possibly blank."""

texts = wild_texts.map(lambda text: canonical_text(text) or "x")
line_texts = wild_texts.map(lambda text: canonical_text(text, lines=True) or "x")
optional_texts = st.none() | texts
numbers = st.one_of(
    st.integers(-(10**6), 10**6).map(Decimal),
    st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(-(10**9), 10**9), st.integers(0, 9)),
    st.builds(
        lambda digits, places: Decimal(f"{digits}E-{places}"), st.integers(-(10**59), 10**59), st.integers(0, 60)
    ),
)
currencies = st.sampled_from("EUR USD GBP JPY KWD CLF XXX".split()) | st.from_regex("[A-Z]{3}", fullmatch=True)
moneys = st.builds(Money, amount=numbers, currency=st.none() | currencies)
countries = st.sampled_from("US DE FR GB CI TR XK ZZ".split()) | st.from_regex("[A-Z]{2}", fullmatch=True)
pairs = st.one_of(
    st.builds(Pair, name=texts, value=optional_texts),
    st.builds(Pair, name=optional_texts, value=texts),
)
_BY_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: texts,
    Kind.LINES: line_texts,
    Kind.NUMBER: numbers,
    Kind.MONEY: moneys,
    Kind.COUNTRY: countries,
    Kind.FLAG: st.just(True),
    Kind.PAIR: pairs,
    Kind.WORD: texts | st.sampled_from("DDP DAP customer merchant".split()),
}
_LEAVES = [
    (section, field)
    for section in ORDER_SECTIONS
    for field in section.fields
    if (section.code, field.name) not in {("order", "platform"), ("order", "order_number"), ("line", "quantity")}
]


@st.composite
def orders(draw: st.DrawFn, most: int = 14) -> Order:
    """Any order the model takes: some leaves of any sections, hostile texts among them."""
    values: dict[str, Any] = {"platform": draw(st.sampled_from(("global-e", "zonos"))), "order_number": draw(texts)}
    blocks: dict[str, dict[int, dict[str, Any]]] = {}
    for section, field in draw(st.lists(st.sampled_from(_LEAVES), max_size=most)):
        value = draw(_BY_KIND[field.kind])
        if field.name == "card_last_four":
            value = re.sub(r"\d", "4", value, count=4) if len(re.sub(r"\D", "", value)) <= 4 else "4242"
        if section.repeated:
            block = blocks.setdefault(section.path, {}).setdefault(draw(st.integers(0, 2)), {})
        else:
            block = values.setdefault(section.path, {}) if section.path else values
        if field.repeated:
            block.setdefault(field.name, []).append(value)
        else:
            block[field.name] = value
    for path, numbered in blocks.items():
        values[path] = [numbered[number] for number in sorted(numbered)]
    for line in values.get("lines", []):
        line["quantity"] = draw(numbers)
    return Order.model_validate(values)


def canonical_values(kind: Kind) -> st.SearchStrategy[str]:
    """Canonical texts of a kind, as they stand in an entry."""
    from ion.contract.forms import pair_text
    from ion.order import decimal_text

    return {
        Kind.TEXT: texts,
        Kind.LINES: line_texts,
        Kind.NUMBER: numbers.map(decimal_text),
        Kind.MONEY: moneys.map(lambda money: f"{decimal_text(money.amount)} {money.currency or ''}".strip()),
        Kind.COUNTRY: countries,
        Kind.FLAG: st.just("1"),
        Kind.PAIR: pairs.map(lambda pair: pair_text(pair.name, pair.value)),
        Kind.WORD: _BY_KIND[Kind.WORD],
        Kind.INSTANT: st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)).map(
            lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        ),
    }[kind]


def adjustment(name: str, amount: str) -> Adjustment:
    return Adjustment(name=name, amount_customer=Money(amount=Decimal(amount), currency="EUR"))


def place_label(code: str, known: Language) -> str:
    """The label of a field's code (`hub.city`) in a language."""
    section, field = code.split(".", 1)
    assert code in FIELDS
    return known.label(next(found for found in ORDER_SECTIONS if found.code == section), field)
