"""Makes the rendered part of `sample_emails/` anew: `python -m tests.make_samples`.

`direct/` is what the product renders, `forwarded/` what the clients imitated in `ion.demo.forwarding` make of it,
`broken/` what is left after a defect. The expectations beside them come from the orders below and from the tables
here, never from the reader. `by-hand/` and `not-notifications/` were typed and are left alone.
"""

import base64
import email
import email.policy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from ion.contract import Notification, language
from ion.demo import forwarding as clients
from ion.demo.forwarding import Options
from ion.notify.render import Envelope, render
from ion.notify.templates import Templates
from ion.order import Order
from ion.reading import read_message
from ion.seal import Key, key_of

FOLDER = Path(__file__).resolve().parents[1] / "sample_emails"
MERCHANT = "riverside"
# Public, made for the samples only: nobody may seal real orders with it.
KEY = key_of(sha256(b"ION sample emails: a public key, for tests only").digest())
STRANGER = key_of(sha256(b"ION sample emails: the key of somebody else").digest())
FIRST_ISSUED = datetime(2026, 11, 23, 19, 20, 5, tzinfo=UTC)
NOTES = {
    "en": "Hi,\n\nplease enter this one today. Thanks!",
    "de": "Hallo zusammen,\n\nbitte heute noch erfassen. Grüße",
    "fr": "Bonjour,\n\nmerci de saisir cette commande. À bientôt",
}


def _money(amount: str, currency: str) -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def _pairs(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


HUB_GB = {
    "first_name": "GlobalE",
    "last_name": "East Midlands",
    "company": "Global-e UK",
    "address1": "96a, Beverley Road",
    "address2": "East Midlands Airport\r\nUnit 4, Dock 7\r\nRef GE",
    "city": "Castle Donington",
    "postal_code": "DE74 2SA",
    "country": "GB",
    "email": "hub@global-e.example",
    "phone": "+44 1332 000000",
}

ORDERS: dict[str, dict[str, Any]] = {
    # To a hub, address with CR LF lines, discount, markup, 29-digit number, gift message.
    "hub": {
        "platform": "global-e",
        "order_number": "GE90010001GB",
        "merchant_order_number": "RS-1001",
        "created_time": "2026-11-23T18:59:00",
        "web_store": "riverside.example",
        "hub": HUB_GB,
        "delivery": {
            "salutation": "Ms",
            "first_name": "Jenny",
            "last_name": "O'Brien-Smith",
            "address1": "456 Oak Ave.",
            "address2": "Apt #12",
            "city": "Portland",
            "state_code": "OR",
            "state": "Oregon",
            "postal_code": "97205",
            "country": "US",
            "email": "jenny.obrien@mail.example",
            "phone": "+1 503 555 0142",
        },
        "customer": {"email": "jenny.obrien@mail.example", "culture": "en-US", "send_confirmation": True},
        "lines": [
            {
                "line_id": "11007",
                "sku": "RS-24100-GREY-M",
                "name": "Women's organic cotton shirt, long sleeves",
                "attributes": _pairs(Colour="Slate grey", Size="M = 38"),
                "quantity": "1",
                "unit_price": _money("30.71", "GBP"),
                "unit_price_customer": _money("38.00", "USD"),
                "vat_rate": "20.000000",
                "hs_code": "6206.30.00",
                "country_of_origin": "PT",
                "gift_message": "Happy birthday, Jo!\n\nLove, Anna & Tom",
            },
            {
                "line_id": "11008",
                "sku": "RS-770",
                "name": 'Mug "Thames" 0.5 l',
                "quantity": "2",
                "unit_price": _money("8.0900", "GBP"),
                "unit_price_customer": _money("10", "USD"),
                "vat_rate": "20",
                "country_of_origin": "CN",
            },
        ],
        "discounts": [
            {"name": "20% off", "type": "1", "code": "AUTUMN20", "amount_customer": _money("7.60", "USD")},
        ],
        "markups": [{"name": "Rounding", "amount_customer": _money("0.05", "USD")}],
        "shipping": {
            "method_name": "DHL Express Worldwide",
            "method_code": "dhlexpress",
            "delivery_days_from": "2",
            "delivery_days_to": "4",
        },
        "billing": {"first_name": "Jenny", "last_name": "O'Brien-Smith", "city": "Portland", "country": "US"},
        "payer": {"company": "Global-e Solutions Ltd.", "city": "London", "country": "GB", "vat_number": "GB000000000"},
        "payment": {"method_name": "Visa", "card_last_four": "4242", "platform_method_name": "Bank transfer"},
        "totals": {
            "merchant_currency": "GBP",
            "customer_currency": "USD",
            "items_customer": _money("58", "USD"),
            "shipping_customer": _money("12.5", "USD"),
            "duties_and_taxes_customer": _money("4.41", "USD"),
            "total_customer": _money("67.36", "USD"),
            "rounding_rate": "0.8081578947368421052631578947",
        },
        "customs": {"incoterm": "DDP", "exporter_eori": "GB000000000000"},
    },
    # Zonos: straight to the customer, one-piece name, umlauts, grouped thousands, everything in Latin-1.
    "direct": {
        "platform": "zonos",
        "order_number": "900-20002",
        "merchant_order_number": "RS-1002",
        "delivery": {
            "name": "Jürgen Weiß-Österreicher",
            "company": "Möbel & Söhne KG",
            "address1": "Große Straße 17b",
            "city": "Köln",
            "postal_code": "50667",
            "country": "DE",
            "email": "juergen@moebel.example",
            "phone": "+49 221 0000000",
        },
        "lines": [
            {
                "sku": "TBL-9/EI",
                "name": 'Tisch "Fjord", Eiche geölt, 220 × 95 cm',
                "quantity": "3",
                "unit_price_customer": _money("1234.5", "EUR"),
                "unit_price": _money("1299", "USD"),
                "hs_code": "9403.60",
                "weight": "48.25",
                "weight_unit": "KG",
            }
        ],
        "totals": {
            "items_customer": _money("3703.50", "EUR"),
            "shipping_customer": _money("250", "EUR"),
            "duties_and_taxes_customer": _money("751.17", "EUR"),
            "total_customer": _money("4704.67", "EUR"),
        },
        "customs": {"incoterm": "DAP"},
        "shipping": {"service_level": "Freight, tail lift"},
    },
    # Japanese, and the yen that has no cents.
    "japanese": {
        "platform": "global-e",
        "order_number": "GE90010003JP",
        "merchant_order_number": "RS-1003",
        "hub": HUB_GB,
        "delivery": {
            "first_name": "Yuki",
            "last_name": "Sato",
            "local_first_name": "裕貴",
            "local_last_name": "佐藤",
            "address1": "1-2-3 Jingumae",
            "city": "Shibuya-ku",
            "state": "Tokyo",
            "postal_code": "150-0001",
            "country": "JP",
            "phone": "+81 3 0000 0000",
        },
        "delivery_local": {"address1": "神宮前1丁目2番3号\n青山ビル301号室", "city": "渋谷区", "state": "東京都"},
        "lines": [
            {
                "sku": "KIMONO-01",
                "name": "Silk robe「さくら」",
                "attributes": _pairs(色="桜色", Size="F"),
                "quantity": "1",
                "unit_price_customer": _money("48000", "JPY"),
            }
        ],
        "totals": {
            "items_customer": _money("48000", "JPY"),
            "shipping_customer": _money("3200", "JPY"),
            "total_customer": _money("51200", "JPY"),
        },
        "customs": {"incoterm": "DDP"},
    },
    "greek": {
        "platform": "zonos",
        "order_number": "900-20004",
        "delivery": {
            "name": "Αλέξανδρος Παπαδόπουλος",
            "address1": "Οδός Ερμού 45",
            "city": "Αθήνα",
            "postal_code": "105 63",
            "country": "GR",
            "phone": "+30 210 0000000",
        },
        "lines": [
            {"sku": "OL-5", "name": "Ελαιόλαδο 5 λ.", "quantity": "2", "unit_price_customer": _money("39.90", "EUR")},
        ],
        "totals": {"total_customer": _money("79.80", "EUR")},
    },
    # Right to left, mixed with Latin digits; direction marks in the payload are dropped by the order itself.
    "arabic": {
        "platform": "global-e",
        "order_number": "GE90010005AE",
        "merchant_order_number": "RS-1005",
        "delivery": {
            "first_name": "محمد",
            "last_name": "عبد الله",
            "address1": "شارع الشيخ زايد 12\nبرج 3، شقة 1504",
            "city": "دبي",
            "country": "AE",
            "phone": "+971 4 000 0000",
        },
        "lines": [
            {
                "sku": "عطر-7",
                "name": "عطر العود (50 ml)",
                "quantity": "1",
                "unit_price_customer": _money("1850", "AED"),
            },
        ],
        "totals": {"total_customer": _money("1850", "AED")},
        "customs": {"incoterm": "DAP"},
    },
    "hebrew": {
        "platform": "global-e",
        "order_number": "GE90010006IL",
        "merchant_order_number": "RS-1006",
        "hub": HUB_GB,
        "delivery": {
            "first_name": "רחל",
            "last_name": "כהן-לוי",
            "address1": "דיזנגוף 99, דירה 4",
            "city": "תל אביב-יפו",
            "country": "IL",
            "phone": "+972 3 000 0000",
        },
        "customer": {"comments": "נא לצלצל פעמיים\nקומה 2: קוד 1234#"},
        "lines": [
            {"sku": "BOOK-1", "name": "ספר: שירים", "quantity": "1", "unit_price_customer": _money("119.5", "ILS")},
        ],
        "totals": {"total_customer": _money("119.5", "ILS")},
    },
    # Values that look like headers, quotations, anchors, mark-up and links.
    "awkward": {
        "platform": "global-e",
        "order_number": "GE90010007FR",
        "merchant_order_number": "From: Paris",
        "notes": ["From: Paris\nTo: London\nSubject: Item 2 of 3: fragile", "> not a quotation\n*bold* _it_ 3 > 2"],
        "delivery": {
            "first_name": "Amélie",
            "last_name": "Lefèvre-d'Aubigné",
            "company": "Seal: AAAA-BBBB-CCCC-DDDD-EEEE",
            "address1": "Order number: 12\n12, rue de l'Église",
            "city": "Paris",
            "postal_code": "75 001",
            "country": "FR",
            "email": "amelie+shop@mail.example",
            "phone": "+33 1 00 00 00 00",
        },
        "lines": [
            {
                "sku": r"A\B:C=D",
                "name": '<b>T-Shirt</b> & "Jeans" </td> Menge: 7',
                "attributes": [{"name": "a=b", "value": "c\\"}, {"value": "only a value"}, {"name": "only a name"}],
                "quantity": "0.5",
                "unit_price_customer": _money("20", "EUR"),
                "url": "https://shop.riverside.example/p/a-b-c?colour=gr%C3%BCn&size=XL#top",
                "metadata": _pairs(contact="service@riverside.example", date="2026-11-24"),
            }
        ],
        "totals": {"total_customer": _money("10", "EUR")},
        "customs": {"incoterm": "DDP"},
        "documents": [{"type_name": "Invoice", "url": "https://docs.example/inv/0001.pdf?sig=a%2Bb"}],
    },
    "kuwait": {
        "platform": "zonos",
        "order_number": "900-20008",
        "merchant_order_number": "RS-1008",
        "delivery": {"name": "Noura Al-Sabah", "city": "Kuwait City", "country": "KW"},
        "lines": [
            {"sku": "LAMP-2", "name": "Lamp", "quantity": "12", "unit_price_customer": _money("1234.567", "KWD")},
        ],
        "totals": {"items_customer": _money("14814.804", "KWD"), "total_customer": _money("14814.804", "KWD")},
    },
    "test order": {"test": True, "order_number": "GE90010011GB", "merchant_order_number": "RS-1011"},
    "replacement": {
        "replacement": True,
        "order_number": "GE90010012GB",
        "merchant_order_number": "RS-1012",
        "original_order_number": "GE90010001GB",
        "original_merchant_order_number": "RS-1001",
    },
    "documents awaited": {
        "order_number": "GE90010013GB",
        "merchant_order_number": "RS-1013",
        "documents": [{"required": True, "type_name": "Export Accompanying Document", "type_code": "EAD"}],
    },
    "many lines": {
        "order_number": "GE90010014GB",
        "merchant_order_number": "RS-1014",
        "discounts": [],
        "markups": [],
        "lines": [
            {
                "line_id": f"{12000 + number}",
                "sku": f"RS-3{number:03d}-{'NAVY' if number % 2 else 'SAND'}",
                "name": f"Linen trousers, straight, model {number}",
                "attributes": _pairs(Colour="Navy" if number % 2 else "Sand", Size=f"{28 + number}"),
                "quantity": f"{1 + number % 3}",
                "unit_price_customer": _money(f"{20 + number}.{number:02d}", "USD"),
                "unit_price": _money(f"{16 + number}.5", "GBP"),
                "country_of_origin": "LT",
                "hs_code": "6204.69",
            }
            for number in range(1, 15)
        ],
        "totals": {"shipping_customer": _money("0", "USD"), "total_customer": _money("795.01", "USD")},
    },
}
_LIKE_HUB = ("test order", "replacement", "documents awaited", "many lines")


def order(name: str) -> Order:
    values = ORDERS[name]
    return Order.model_validate({**ORDERS["hub"], **values} if name in _LIKE_HUB else values)


def notification(name: str) -> Notification:
    """Each order was told of at its own time, with its own running number."""
    place = list(ORDERS).index(name)
    return Notification(
        order_number=order(name).order_number,
        merchant=MERCHANT,
        revision=1,
        sequence=101 + place,
        issued_at=FIRST_ISSUED + timedelta(minutes=37 * place),
    )


def rendered(name: str, tag: str, key: Key = KEY, sender: str = "Riverside ION <ion@platform.example>") -> bytes:
    """The mail for an order as the product renders it, with boundaries that are the same every time."""
    raw = render(
        order(name),
        notification(name),
        key=key,
        language=language(tag),
        envelope=Envelope(sender, ("orders@riverside.example",)),
        templates=Templates(),
        read_back=read_message,
    ).raw
    for place, boundary in enumerate(dict.fromkeys(re.findall(rb"===============\d+==", raw))):
        raw = raw.replace(
            boundary, b"===============%019d==" % (int(sha256(name.encode()).hexdigest()[:14], 16) + place)
        )
    return raw


# Expectations.


def sealed(name: str, *problems: tuple[str, str | None], carrier: str | None = None) -> dict[str, Any]:
    """The order of this name, exact and proved."""
    header = {**notification(name).to_json(), "key_id": KEY.key_id}
    expected = {"grade": "sealed", "notification": header, "order": order(name).to_json(), "problems": listed(problems)}
    return expected if carrier is None else {**expected, "carrier": carrier}


def review(name: str | None, *problems: tuple[str, str | None], **changes: Any) -> dict[str, Any]:
    """For a person; with a name, the order that can be shown to them."""
    shown = order(name).to_json() if name else None
    return {"grade": "review", "order": shown, "problems": listed(problems), **changes}


def listed(problems: tuple[tuple[str, str | None], ...]) -> list[dict[str, str | None]]:
    return [{"code": code, "field": name} for code, name in problems]


@dataclass
class Sample:
    raw: bytes
    notifications: list[dict[str, Any]]
    comment: str = ""
    keys: list[str] = field(default_factory=lambda: ["merchant"])


# direct/


def direct() -> dict[str, Sample]:
    named = {
        "hub-en": ("hub", "en"),
        "hub-de": ("hub", "de"),
        "hub-fr": ("hub", "fr"),
        "zonos-direct-en": ("direct", "en"),
        "zonos-direct-de": ("direct", "de"),
        "zonos-direct-fr": ("direct", "fr"),
        "japanese-names-en": ("japanese", "en"),
        "japanese-names-de": ("japanese", "de"),
        "greek-names-fr": ("greek", "fr"),
        "arabic-names-en": ("arabic", "en"),
        "hebrew-names-de": ("hebrew", "de"),
        "awkward-values-en": ("awkward", "en"),
        "awkward-values-de": ("awkward", "de"),
        "three-decimals-fr": ("kuwait", "fr"),
        "test-order-en": ("test order", "en"),
        "replacement-de": ("replacement", "de"),
        "documents-awaited-fr": ("documents awaited", "fr"),
        "fourteen-lines-en": ("many lines", "en"),
    }
    return {file: Sample(rendered(name, tag), [sealed(name, carrier="json")]) for file, (name, tag) in named.items()}


# forwarded/: file name → order, language of the notification, how it was forwarded, and what is expected of it.

Forward = Callable[[bytes], bytes]
_WESTERN = partial(clients.outlook_desktop, charset="windows-1252")


def _with(forward: Callable[..., bytes], tag: str = "en", **options: Any) -> Forward:
    return lambda raw: forward(raw, Options(language=tag, **options))


def _bare(forward: Callable[..., bytes], tag: str = "en") -> Forward:
    """With a note above, a footer below and without the attachment."""
    return _with(forward, tag, note=NOTES[tag], footer=True, attachments=False)


def _then(first: Forward, *others: Forward) -> Forward:
    def forward(raw: bytes) -> bytes:
        for way in (first, *others):
            raw = way(raw)
        return raw

    return forward


def _carried_by(carrier: str, *problems: tuple[str, str | None]) -> Callable[[str], dict[str, Any]]:
    return lambda name: sealed(name, *problems, carrier=carrier)


_QUOTED_MUTT = partial(clients.mutt, quote_mark="> ")
_COMBED = partial(clients.rewrapped, manner="combed", width=60)
_OWA_BASE64 = partial(clients.outlook_web, encoding="base64")
_OWA_LATIN = partial(clients.outlook_web, charset="iso-8859-1")
_JSON, _HTML, _TEXT = _carried_by("json"), _carried_by("html"), _carried_by("text")

FORWARDED: dict[str, tuple[str, str, Forward, Callable[[str], dict[str, Any]]]] = {
    "gmail-web-en": ("hub", "en", _with(clients.gmail), _JSON),
    "gmail-web-de": ("hub", "de", _with(clients.gmail, "de"), _JSON),
    "gmail-web-de-english-notification": ("japanese", "en", _bare(clients.gmail, "de"), _HTML),
    "gmail-web-en-note-and-footer": ("hub", "en", _bare(clients.gmail), _HTML),
    "gmail-web-fr-awkward-values": ("awkward", "fr", _bare(clients.gmail, "fr"), _HTML),
    "gmail-web-en-fourteen-lines": ("many lines", "en", _bare(clients.gmail), _HTML),
    "gmail-filter": ("direct", "de", clients.filtered, _JSON),
    "outlook-desktop-en": ("hub", "en", _with(clients.outlook_desktop), _JSON),
    "outlook-desktop-de": ("hub", "de", _with(clients.outlook_desktop, "de"), _JSON),
    "outlook-desktop-en-note-and-footer": ("hub", "en", _bare(clients.outlook_desktop), _HTML),
    "outlook-desktop-de-note-and-footer": ("hub", "de", _bare(clients.outlook_desktop, "de"), _HTML),
    "outlook-desktop-de-windows-1252": ("direct", "de", _bare(_WESTERN, "de"), _HTML),
    "outlook-desktop-en-iso-8859-1": (
        "direct",
        "en",
        _bare(partial(clients.outlook_desktop, charset="iso-8859-1")),
        _HTML,
    ),
    # The text part was forced into a charset without these characters; the HTML has them as references.
    "outlook-desktop-en-question-marks": (
        "greek",
        "en",
        _bare(partial(clients.outlook_desktop, charset="windows-1252", lost="replace")),
        _carried_by(
            "html",
            ("damage", "delivery.name"),
            ("damage", "delivery.address1"),
            ("damage", "delivery.city"),
            ("damage", "line[1].name"),
        ),
    ),
    "outlook-desktop-de-awkward-values": ("awkward", "de", _bare(clients.outlook_desktop, "de"), _HTML),
    "outlook-web-en": ("hub", "en", _with(clients.outlook_web), _JSON),
    "outlook-web-de": ("hub", "de", _with(clients.outlook_web, "de"), _JSON),
    "outlook-web-en-safe-links": ("awkward", "en", _bare(clients.outlook_web), _HTML),
    "outlook-web-de-note-and-footer": ("hub", "de", _bare(clients.outlook_web, "de"), _HTML),
    # The narrow blanks between thousands have no place in ISO-8859-1, so the text part has `?` there.
    "outlook-web-fr-iso-8859-1": (
        "direct",
        "fr",
        _with(_OWA_LATIN, "fr", attachments=False),
        _carried_by(
            "html",
            ("damage", "line[1].unit_price"),
            ("damage", "line[1].unit_price_customer"),
            ("damage", "totals.items_customer"),
            ("damage", "totals.total_customer"),
        ),
    ),
    # Not Windows: a gateway that has no better idea than `?` for the wide blanks between two fields.
    "outlook-web-fr-question-marks": (
        "direct",
        "fr",
        _with(partial(_OWA_LATIN, best_fit=False), "fr", attachments=False),
        lambda name: {"grade": "sealed", "order": order(name).to_json(), "carrier": "html"},
    ),
    "outlook-web-en-base64": ("arabic", "en", _bare(_OWA_BASE64), _HTML),
    "apple-mail-macos-en": ("hub", "en", _with(clients.apple_mac), _JSON),
    "apple-mail-macos-de": ("hebrew", "de", _with(clients.apple_mac, "de"), _JSON),
    "apple-mail-macos-en-note-and-footer": ("hub", "en", _bare(clients.apple_mac), _HTML),
    "apple-mail-macos-fr-awkward-values": ("awkward", "en", _bare(clients.apple_mac, "fr"), _HTML),
    "apple-mail-ios-en": ("hub", "en", _with(clients.apple_ios), _JSON),
    "apple-mail-ios-de": ("direct", "de", _with(clients.apple_ios, "de"), _JSON),
    "apple-mail-ios-de-note": ("japanese", "de", _bare(clients.apple_ios, "de"), _HTML),
    "thunderbird-en": ("hub", "en", _with(clients.thunderbird), _JSON),
    "thunderbird-de": ("hub", "de", _with(clients.thunderbird, "de"), _JSON),
    "thunderbird-en-note-and-footer": ("many lines", "en", _bare(clients.thunderbird), _HTML),
    "thunderbird-de-awkward-values": ("awkward", "de", _bare(clients.thunderbird, "de"), _HTML),
    "thunderbird-fr-three-decimals": ("kuwait", "fr", _bare(clients.thunderbird, "fr"), _HTML),
    "mutt-en": ("hub", "en", _with(clients.mutt, footer=True), _TEXT),
    "mutt-de": ("hub", "de", _with(clients.mutt, "de", note="Bitte erfassen."), _TEXT),
    "mutt-quoted-en": ("awkward", "en", _with(_QUOTED_MUTT), _TEXT),
    "mutt-quoted-de": ("japanese", "de", _with(partial(_QUOTED_MUTT, encoding="base64"), "de", footer=True), _TEXT),
    "claws-rewrapped-en": ("hub", "en", _with(clients.rewrapped, footer=True, note="See below."), _TEXT),
    "claws-rewrapped-de": ("hebrew", "de", _with(clients.rewrapped, "de"), _TEXT),
    "claws-rewrapped-de-iso-8859-1": (
        "direct",
        "de",
        _with(partial(clients.rewrapped, charset="iso-8859-1"), "de"),
        _TEXT,
    ),
    "claws-rewrapped-en-awkward-values": ("awkward", "en", _with(clients.rewrapped), _TEXT),
    "claws-combed-twice-fr-awkward-values": ("awkward", "fr", _then(_with(_COMBED, "fr"), _with(_COMBED, "fr")), _TEXT),
    "flowed-delsp-fr-awkward-values": (
        "awkward",
        "fr",
        _with(partial(clients.flowed_text, delsp=True), "fr"),
        _TEXT,
    ),
    "flowed-en": ("hub", "en", _with(clients.flowed_text), _TEXT),
    "flowed-de": ("many lines", "de", _with(clients.flowed_text, "de", footer=True), _TEXT),
    "flowed-delsp-en": ("hub", "en", _with(partial(clients.flowed_text, delsp=True)), _TEXT),
    "flowed-delsp-de": ("hub", "de", _with(partial(clients.flowed_text, delsp=True), "de"), _TEXT),
    **{
        f"attached-{program}-{tag}": (
            name,
            tag,
            _with(partial(clients.as_attachment, program=program), tag, note=NOTES[tag]),
            _JSON,
        )
        for program, tag, name in (
            ("gmail", "en", "hub"),
            ("gmail", "de", "direct"),
            ("thunderbird", "en", "awkward"),
            ("thunderbird", "de", "hub"),
            ("exchange", "en", "japanese"),
            ("exchange", "de", "direct"),
            ("octets", "en", "hub"),
            ("octets", "de", "hebrew"),
            ("base64", "en", "hub"),
        )
    },
    "twice-gmail-outlook-desktop": (
        "hub",
        "en",
        _then(_bare(clients.gmail), _with(clients.outlook_desktop, "de", note="zur Kenntnis")),
        _HTML,
    ),
    "twice-outlook-web-gmail": (
        "hub",
        "de",
        _then(_bare(clients.outlook_web, "de"), _with(clients.gmail, "en", note="fyi")),
        _HTML,
    ),
    "twice-thunderbird-apple": (
        "awkward",
        "en",
        _then(_with(clients.thunderbird, "de"), _with(clients.apple_mac, "en")),
        _JSON,
    ),
    "twice-apple-ios-outlook-web": (
        "hub",
        "fr",
        _then(_bare(clients.apple_ios, "fr"), _with(clients.outlook_web, "fr")),
        _HTML,
    ),
    "twice-mutt-gmail": ("hub", "en", _then(_with(_QUOTED_MUTT), _with(clients.gmail, note="as discussed")), _HTML),
    "claws-combed-twice-en": (
        "hub",
        "en",
        _then(_with(_COMBED), _with(_COMBED)),
        _TEXT,
    ),
    "claws-joined-twice-de": (
        "hub",
        "de",
        _then(_with(clients.rewrapped, "de"), _with(partial(clients.rewrapped, manner="joined"), "de")),
        _TEXT,
    ),
    "twice-claws-claws": ("hub", "de", _then(_with(clients.rewrapped, "de"), _with(clients.rewrapped, "en")), _TEXT),
    "twice-outlook-desktop-attached": (
        "direct",
        "en",
        _then(_bare(clients.outlook_desktop), _with(clients.as_attachment)),
        _HTML,
    ),
    "thrice-gmail-thunderbird-outlook-web": (
        "hub",
        "en",
        _then(_bare(clients.gmail), _with(clients.thunderbird, "de"), _with(clients.outlook_web, "fr")),
        _HTML,
    ),
    "subject-without-prefix": (
        "hub",
        "en",
        _with(clients.gmail, subject="Order RS-1001: 3 items, 67.36 USD, to United States (US)", attachments=False),
        _HTML,
    ),
    "subject-changed": ("direct", "de", _bare(clients.thunderbird, "de"), _HTML),
    "subject-empty": ("hub", "en", _with(clients.outlook_web, subject=""), _JSON),
}


def forwarded() -> dict[str, Sample]:
    samples = {
        file: Sample(forward(rendered(name, tag)), [expected(name)])
        for file, (name, tag, forward, expected) in FORWARDED.items()
    }
    hub, zonos = rendered("hub", "en"), rendered("direct", "de")
    samples["subject-changed"].raw = clients.thunderbird(
        zonos, Options("de", subject="Tische für Köln, eilt!!", attachments=False)
    )
    samples["two-notifications-attached"] = Sample(
        clients.together(hub, zonos, Options(note="Two orders.")), [sealed("hub"), sealed("direct")]
    )
    samples["two-notifications-gmail"] = Sample(
        clients.pasted(hub, zonos, clients.gmail, Options(note="Two orders.")), [sealed("hub"), sealed("direct")]
    )
    samples["two-notifications-claws"] = Sample(
        clients.pasted(hub, zonos, clients.rewrapped, Options()), [sealed("hub"), sealed("direct")]
    )
    samples["same-notification-twice-attached"] = Sample(clients.together(hub, hub, Options()), [sealed("hub")])
    samples["same-notification-twice-outlook-web"] = Sample(
        clients.pasted(hub, hub, clients.outlook_web, Options()), [sealed("hub")]
    )
    samples["same-notification-in-two-languages"] = Sample(
        clients.pasted(hub, rendered("hub", "de"), clients.gmail, Options()), [sealed("hub")]
    )
    return samples


# broken/


def _reencoded(raw: bytes, **edits: Callable[[str], str]) -> bytes:
    """The mail with the contents of its parts edited: `text`, `html`, `json`; a part without an edit stays as it is."""
    message = email.message_from_bytes(raw, policy=email.policy.SMTP.clone(cte_type="7bit"))
    kinds = {"text/plain": "text", "text/html": "html", "application/json": "json"}
    for part in message.walk():
        edit = edits.get(kinds.get(part.get_content_type(), ""))
        if edit is None:
            continue
        if part.get_content_type() == "application/json":
            octets = edit(_octets_of(part).decode()).encode()
            part.set_payload(base64.encodebytes(octets).decode())
        else:
            text = str(part.get_content()).replace("\r\n", "\n")
            changed = edit(text)
            assert changed != text, "the edit changes nothing"
            part.set_content(changed, subtype=part.get_content_subtype())
    return message.as_bytes()


def _octets_of(part: EmailMessage) -> bytes:
    octets = part.get_payload(decode=True)
    return octets if isinstance(octets, bytes) else b""


def _swap(old: str, new: str, count: int = 1) -> Callable[[str], str]:
    """Replace `old`, which must stand there, `count` times."""

    def edit(text: str) -> str:
        assert old in text, f"{old!r} is not there"
        return text.replace(old, new, count)

    return edit


def _sub(pattern: str, new: str) -> Callable[[str], str]:
    def edit(text: str) -> str:
        changed, times = re.subn(pattern, new, text, count=1, flags=re.DOTALL)
        assert times == 1, f"{pattern!r} is not there"
        return changed

    return edit


def _parts(raw: bytes, *content_types: str) -> bytes:
    """Only the parts of these types, in one multipart/mixed."""
    original = email.message_from_bytes(raw, policy=email.policy.compat32)
    kept = [part for part in original.walk() if part.get_content_type() in content_types]
    message = "\r\n".join(f"{name}: {value}" for name, value in original.items() if name != "Content-Type")
    pieces = b"".join(
        b"--=_kept\r\n" + part.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n" for part in kept
    )
    return (
        message.encode() + b'\r\nContent-Type: multipart/mixed; boundary="=_kept"\r\n\r\n' + pieces + b"--=_kept--\r\n"
    )


def _line_fields(place: int, *names: str) -> tuple[tuple[str, str | None], ...]:
    return tuple(("", f"line[{place}].{name}") for name in names)


def _coded(code: str, fields: tuple[tuple[str, str | None], ...]) -> tuple[tuple[str, str | None], ...]:
    return tuple((code, name) for _, name in fields)


def _seal_of(name: str) -> str:
    found = re.search(r'"seal":"([0-9A-Z-]+)"', _attachment_text(rendered(name, "en")))
    assert found
    return found[1]


def _attachment_text(raw: bytes) -> str:
    return clients.opened(raw).attachments[0].octets.decode()


def _told_or_hidden(hub: bytes) -> dict[str, Sample]:
    """What was written into a mail: a note is told, another value is a contradiction, however it looks."""
    quantity = ("contradiction", "line[2].quantity")
    alone = _parts(hub, "text/plain")
    return {
        "note-between-blocks": Sample(
            _reencoded(hub, text=_swap("\nAmounts:", "\nThe mug is for Jo, please hurry!\n\nAmounts:")),
            [sealed("hub", ("note", "line[2].country_of_origin"))],
            "Somebody wrote between two blocks of the text; the order is whole.",
        ),
        "note-between-blocks-text-only": Sample(
            _reencoded(alone, text=_swap("\nAmounts:", "\nThe mug is for Jo, please hurry!\n\nAmounts:")),
            [sealed("hub", ("repair", "line[2].country_of_origin"))],
            "The same with nothing else in the mail: the seal says where the value ends.",
        ),
        "line-between-two-fields": Sample(
            _reencoded(hub, text=_swap("\nCity: Portland", "\nback door\nCity: Portland")),
            [review("hub", ("contradiction", "delivery.address2"))],
            "Inside a block it reads as part of the address above it.",
        ),
        "text-behind-a-heading": Sample(
            _reencoded(hub, text=_swap("\nAmounts:\n", "\nAmounts:\nagreed on the telephone\n")),
            [sealed("hub", ("note", None))],
        ),
        "quantity-struck-out-in-html": Sample(
            _reencoded(hub, html=_sub(r"Quantity: 2(?=<)", "Quantity: <s>2</s>")), [review("hub", quantity)]
        ),
        "correction-in-brackets": Sample(
            _reencoded(hub, text=_swap("\nQuantity: 2\n", "\nQuantity: 2 [NEW: 5]\n")), [review("hub", quantity)]
        ),
        "correction-like-an-address": Sample(
            _reencoded(hub, text=_swap("\nQuantity: 2\n", "\nQuantity: 2 <https://a.example?x\nQuantity: 5>\n")),
            [{"grade": "review", "order": order("hub").to_json(), "problems include": listed((quantity,))}],
            "Programs write addresses like this behind what they link; a label is none of them.",
        ),
        "total-turned-around": Sample(
            _reencoded(hub, text=_swap("Order total: 67.36", "Order total: \u202e67.36")),
            [review("hub", ("contradiction", "totals.total_customer"))],
            "An override makes people read the digits backwards.",
        ),
        "question-marks-above-an-edit": Sample(
            _reencoded(hub, text=lambda text: f"Today{'?' * 60}\n\n" + text.replace("Jenny", "Bobby")),
            [
                {
                    "grade": "review",
                    "order": order("hub").to_json(),
                    "problems include": listed((("contradiction", "delivery.first_name"),)),
                }
            ],
            "Marks that look like lost letters excuse nothing.",
        ),
        "edited-copy-below-the-true-one": Sample(
            _reencoded(hub, text=lambda text: f"{text}\n\n{text.replace('Portland', 'Salem')}"),
            [
                {
                    "grade": "review",
                    "order": order("hub").to_json(),
                    "problems include": listed((("contradiction", "delivery.city"),)),
                }
            ],
        ),
        "document-in-front": Sample(
            _reencoded(_parts(hub, "text/html"), html=lambda html: "<html><body><p>External</p></body></html>" + html),
            [sealed("hub")],
            "A gateway put a whole page of its own before the original one.",
        ),
    }


def broken() -> dict[str, Sample]:
    hub = rendered("hub", "en")
    japanese = rendered("japanese", "en")
    zonos = rendered("direct", "en")
    seven = order("hub").model_copy(
        update={"lines": (order("hub").lines[0], order("hub").lines[1].model_copy(update={"quantity": Decimal(7)}))}
    )
    to_seven_html = _sub(r"(Quantity: )2(?=<)", r"\g<1>7")
    to_seven_text = _swap("\nQuantity: 2\n", "\nQuantity: 7\n")
    to_seven_json = _swap('"quantity":"2"', '"quantity":"7"')
    second = _line_fields(
        2, "line_id", "sku", "name", "quantity", "unit_price", "unit_price_customer", "vat_rate", "country_of_origin"
    )
    row = r"<tr\b[^>]*>(?:(?!</tr>).)*Item 2 of 2:.*?</tr>"
    wrong = ("seal", "proof.seal")
    changed = review(None, wrong, order=seven.to_json())
    samples = {
        "digit-changed-in-html": Sample(
            _reencoded(hub, html=to_seven_html), [review("hub", ("contradiction", "line[2].quantity"))]
        ),
        "digit-changed-in-text": Sample(
            _reencoded(hub, text=to_seven_text), [review("hub", ("contradiction", "line[2].quantity"))]
        ),
        "digit-changed-in-attachment": Sample(
            _reencoded(hub, json=to_seven_json), [review("hub", ("contradiction", "line[2].quantity"))]
        ),
        "digit-changed-everywhere": Sample(
            _reencoded(hub, html=to_seven_html, text=to_seven_text, json=to_seven_json), [changed]
        ),
        "digit-changed-in-html-alone": Sample(_parts(_reencoded(hub, html=to_seven_html), "text/html"), [changed]),
        "letter-changed-in-html": Sample(
            _reencoded(hub, html=_swap("456 Oak Ave.", "456 Oak Ane.")),
            [review("hub", ("contradiction", "delivery.address1"))],
        ),
        "sign-changed-in-html": Sample(
            _reencoded(hub, html=_swap("67.36 USD</td>", "-67.36 USD</td>")),
            [review("hub", ("contradiction", "totals.total_customer"))],
        ),
        "decimal-mark-moved-in-html": Sample(
            _reencoded(hub, html=_swap("67.36 USD</td>", "6.736 USD</td>")),
            [review("hub", ("contradiction", "totals.total_customer"))],
        ),
        "decimal-mark-lost-in-text": Sample(
            _reencoded(hub, text=_swap("Order total: 67.36 USD", "Order total: 6736 USD")),
            [sealed("hub", ("damage", "totals.total_customer"))],
        ),
        "decimal-mark-lost-in-html": Sample(
            _reencoded(hub, html=_swap("67.36 USD</td>", "6736 USD</td>")),
            [review("hub", ("contradiction", "totals.total_customer"))],
        ),
        "country-name-changed-in-html": Sample(
            _reencoded(hub, html=_swap("United States (US)</td>", "Germany (US)</td>")),
            [review("hub", ("contradiction", "delivery.country"))],
        ),
        "currency-changed-in-html": Sample(
            _reencoded(hub, html=_swap("67.36 USD</td>", "67.36 CAD</td>")),
            [review("hub", ("contradiction", "totals.total_customer"))],
        ),
        "hidden-true-value-in-html": Sample(
            _reencoded(hub, html=_sub(r"(Quantity: )2(?=<)", r'\1<span style="display:none">2</span>7')),
            [review("hub", ("contradiction", "line[2].quantity"))],
        ),
        "label-twice-in-html": Sample(
            _reencoded(hub, html=_sub(r"(Quantity: 2)(?=<)", r"\1<br>Quantity: 7")),
            [review("hub", ("contradiction", "line[2].quantity"))],
        ),
        "line-item-added-in-html": Sample(
            _reencoded(
                hub,
                html=_sub(
                    f"({row})",
                    r'\1<tr><th scope="row">Item 3 of 3:</th><td>Product: Gold watch<br>SKU: W-1<br></td>'
                    "<td>Quantity: 1<br></td></tr>",
                ),
            ),
            [
                review(
                    "hub",
                    ("contradiction", "line"),
                    *_coded("contradiction", _line_fields(3, "name", "sku", "quantity")),
                )
            ],
        ),
        "line-item-removed-in-html": Sample(
            _reencoded(hub, html=_sub(row, "")), [sealed("hub", *_coded("damage", second))]
        ),
        "line-item-removed-everywhere": Sample(
            _reencoded(
                _parts(hub, "text/plain"),
                text=_sub(r"Item 2 of 2:.*?\n\n", ""),
            ),
            [
                review(
                    None,
                    wrong,
                    ("contradiction", "line"),
                    order=order("hub").model_copy(update={"lines": order("hub").lines[:1]}).to_json(),
                )
            ],
        ),
        "seal-line-missing": Sample(
            _reencoded(_parts(hub, "text/plain"), text=_sub(r"Seal: [0-9A-Z-]+\n", "")),
            [review("hub", wrong)],
            "The mail names the key of a seal, so it had one: no unsealed mail of a shop that seals.",
        ),
        "seal-line-missing-in-html": Sample(
            _reencoded(hub, html=_sub(r"Seal: [0-9A-Z-]+", "")),
            [{"grade": "sealed", "order": order("hub").to_json(), "carrier": "json"}],
            "A field absent is damage; the attachment and the text prove the order.",
        ),
        "seal-damaged-in-html": Sample(
            _reencoded(hub, html=_sub(r"(Seal: )[0-9A-Z]{4}", r"\g<1>ZZZZ")),
            [review("hub", ("contradiction", "proof.seal"))],
        ),
        "seal-of-another-order": Sample(
            _reencoded(hub, **dict.fromkeys(("text", "html", "json"), _swap(_seal_of("hub"), _seal_of("greek")))),
            [review("hub", wrong)],
        ),
        "key-unknown": Sample(
            rendered("hub", "en", STRANGER),
            [review("hub", ("key", "proof.key_id"))],
            "Sealed with a key that the merchant does not have.",
        ),
        "no-key-at-all": Sample(hub, [review("hub", ("key", "proof.key_id"))], "Read without any key.", keys=[]),
        "key-id-exchanged": Sample(
            _reencoded(
                rendered("hub", "en", STRANGER),
                **dict.fromkeys(("text", "html", "json"), _swap(STRANGER.key_id, KEY.key_id)),
            ),
            [review("hub", wrong)],
            "Sealed with a strange key under the merchant's key id.",
        ),
        "attachment-of-another-order": Sample(
            _reencoded(hub, json=lambda _: _attachment_text(zonos)),
            [{"grade": "review", "problems include": listed((("contradiction", "opening.order_number"),))}],
            "Both orders are sealed; what a person sees is not what is attached.",
        ),
        "replacement-characters-in-text": Sample(
            _reencoded(japanese, text=lambda text: re.sub(r"[^\x00-\x7f]", "\ufffd", text)),
            [
                sealed(
                    "japanese",
                    ("damage", "delivery.local_first_name"),
                    ("damage", "delivery.local_last_name"),
                    ("damage", "delivery_local.address1"),
                    ("damage", "delivery_local.city"),
                    ("damage", "delivery_local.state"),
                    ("damage", "line[1].name"),
                    ("damage", "line[1].attributes[1]"),
                )
            ],
        ),
        "replacement-characters-everywhere": Sample(
            _reencoded(
                _parts(japanese, "text/plain", "text/html"),
                **dict.fromkeys(("text", "html"), lambda text: re.sub(r"[^\x00-\x7f]", "\ufffd", text)),
            ),
            [{"grade": "review", "problems include": listed((wrong,))}],
        ),
        "text-cut-in-the-middle": Sample(
            _reencoded(_parts(hub, "text/plain"), text=_sub(r"(Item 2 of 2:\n.*?\n.*?SKU: RS-7).*", r"\1")),
            [{"grade": "review", "problems include": listed((("unreadable", "line[2].quantity"),))}],
            "The first thing that an order cannot do without and that was cut off is the second quantity.",
        ),
        "html-cut-in-the-middle": Sample(
            _reencoded(hub, html=_sub(r"(456 Oak).*", r"\1")),
            [
                {
                    "grade": "sealed",
                    "order": order("hub").to_json(),
                    "problems include": listed((("damage", "delivery.address1"),)),
                }
            ],
        ),
        "attachment-cut": Sample(
            _reencoded(hub, json=lambda text: text[: len(text) // 2]),
            [{"grade": "sealed", "order": order("hub").to_json(), "carrier": "html"}],
        ),
    }
    samples["mail-cut-in-the-middle"] = Sample(
        hub[: hub.index(b"Content-Type: text/html") + 6000],
        [{"grade": "sealed", "order": order("hub").to_json(), "carrier": "text"}],
        "Cut inside the HTML, as by a full disk: the text part is whole.",
    )
    samples["closing-boundary-missing"] = Sample(hub[: hub.rstrip().rindex(b"--===")], [sealed("hub")])
    samples["wrong-boundary"] = Sample(
        re.sub(rb'boundary="=', b'boundary="?', _parts(zonos, "text/plain").replace(b'=_kept"', b'=_lost"'), count=1),
        [{"grade": "review"}],
        "The header names a boundary that stands nowhere, so there are no parts; the order must not be lost silently.",
    )
    samples["lf-only"] = Sample(hub.replace(b"\r\n", b"\n"), [sealed("hub")], "Saved with Unix line ends.")
    samples["cr-only"] = Sample(
        hub.replace(b"\r\n", b"\r"),
        [{"grade": "sealed", "order": order("hub").to_json()}],
        "Saved with bare CR line ends.",
    )
    samples["nul-octets"] = Sample(
        hub.replace(b"Platform: Global-e", b"Platform: Glo\0bal-e"),
        [sealed("hub")],
        "A NUL in the text part: nobody sees it, and canonical text has no control characters.",
    )
    eight_bit = re.sub(
        rb'charset="utf-8"\r\nContent-Transfer-Encoding: (quoted-printable|base64)',
        b'charset="utf-8"\r\nContent-Transfer-Encoding: 8bit',
        zonos,
    )
    original = clients.opened(zonos)
    assert original.text is not None and original.html is not None
    parts = email.message_from_bytes(zonos, policy=email.policy.default)
    for part in parts.walk():
        if part.get_content_maintype() == "text":
            part.set_content(str(part.get_content()), subtype=part.get_content_subtype(), cte="8bit")
    eight_bit = parts.as_bytes(policy=email.policy.SMTP.clone(cte_type="8bit"))
    samples["charset-lie-us-ascii"] = Sample(
        eight_bit.replace(b'charset="utf-8"', b'charset="us-ascii"'),
        [sealed("direct")],
        "UTF-8 octets under the name US-ASCII.",
    )
    samples["charset-lie-iso-8859-1"] = Sample(
        eight_bit.replace(b'charset="utf-8"', b'charset="iso-8859-1"'),
        [{"grade": "sealed", "order": order("direct").to_json()}],
        "UTF-8 octets under the name ISO-8859-1; the attachment is whole. A wrong charset is damage, nobody's edit.",
    )
    samples["charset-unknown"] = Sample(
        eight_bit.replace(b'charset="utf-8"', b"charset=x-unknown-8bit"), [sealed("direct")]
    )
    samples["charset-is-a-codec"] = Sample(
        eight_bit.replace(b'charset="utf-8"', b'charset="unicode_escape"'),
        [sealed("direct")],
        "A Python codec that no mail uses: not to be honoured.",
    )
    coded = clients.gmail(hub, Options())
    samples["base64-with-junk"] = Sample(
        re.sub(rb"(?m)^([A-Za-z0-9+/]{30})([A-Za-z0-9+/]{46}\r)$", rb"\1!~\2", coded),
        [sealed("hub")],
        "Characters outside the alphabet, which RFC 2045 says to pass over.",
    )
    samples["base64-cut"] = Sample(
        re.sub(rb"[A-Za-z0-9+/=]{1,76}\r\n\r\n(--0{12}\w+--\r\n)$", rb"Q\r\n\r\n\1", coded),
        [{"grade": "sealed", "order": order("hub").to_json()}],
    )
    samples |= _told_or_hidden(hub)
    samples["encoding-unknown"] = Sample(
        _parts(hub, "text/plain").replace(b"Encoding: quoted-printable", b"Encoding: x-qp"),
        [sealed("hub")],
        "Quoted-printable under a name nobody knows: undone, and the seal says that this was right.",
    )
    junk = (
        b'Message-ID: <[>\r\nFrom: "\r\nTo: a@[1.2.3\r\nSubject: =?utf-8?q?a=0D=0ABcc:_x@y?=\r\n'
        b"Date: Tue, 99 Foo 20266 25:61:61 +9999\r\nReferences: <><<>\r\nX-Bad: \xc3\x28\xff\r\nX-Empty:\r\n"
    )
    samples["header-junk"] = Sample(
        junk + hub[hub.index(b"MIME-Version: 1.0") :],
        [sealed("hub")],
        "Headers on which the standard library's newer policies raise.",
    )
    samples["header-line-without-colon"] = Sample(
        hub.replace(b"MIME-Version: 1.0", b"a line that is no header\r\nMIME-Version: 1.0", 1),
        [sealed("hub")],
        "A gateway's stray line in the middle of the header; the empty line is what ends a header.",
    )
    samples["huge-subject"] = Sample(
        re.sub(rb"(?s)^Subject:.*?\r\n(?=\S)", b"Subject: " + b"RE: " * 30_000 + b"\r\n", hub), [sealed("hub")]
    )
    nested = hub
    for depth in range(60):
        nested = (
            f"Subject: level {60 - depth}\r\nMIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n".encode()
            + nested
        )
    samples["nested-60-levels"] = Sample(
        nested, [{"grade": "review", "order": None, "problems": listed((("too-big", None),))}]
    )
    wide = b"".join(b"--w\r\nContent-Type: text/plain\r\n\r\n\r\n" for _ in range(600))
    samples["600-parts"] = Sample(
        b"Subject: many\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=w\r\n\r\n"
        + wide
        + b"--w--\r\n",
        [{"grade": "review", "order": None, "problems": listed((("too-big", None),))}],
    )
    samples["no-mime-headers"] = Sample(
        re.sub(rb"(MIME-Version|Content-[A-Za-z-]+):.*\r\n(?:[ \t].*\r\n)*", b"", _ascii_text_mail("kuwait")),
        [sealed("kuwait", carrier="text")],
        "Plain ASCII text below headers that say nothing of MIME.",
    )
    return samples


def _ascii_text_mail(name: str) -> bytes:
    original = clients.opened(rendered(name, "en"))
    assert original.text is not None and original.text.isascii()
    head = f"From: {original.from_line}\r\nTo: {original.to}\r\nSubject: order\r\nMIME-Version: 1.0\r\n\r\n"
    return (head + "\r\n".join(original.text.splitlines()) + "\r\n").encode("ascii")


def write(folder: Path, samples: dict[str, Sample]) -> None:
    """Replace the samples in `folder` by these."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, sample in samples.items():
        expectation: dict[str, Any] = {"keys": sample.keys, "notifications": sample.notifications}
        if sample.comment:
            expectation = {"comment": sample.comment, **expectation}
        (folder / f"{name}.eml").write_bytes(sample.raw)
        text = json.dumps(expectation, ensure_ascii=False, indent=1)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")


def main() -> None:
    secret = base64.urlsafe_b64encode(KEY.secret).decode().rstrip("=")
    (FOLDER / "merchant.ionkey").write_text(f"ion-key-1:{MERCHANT}:{KEY.key_id}:{secret}\n", "ascii")
    for name, samples in (("direct", direct()), ("forwarded", forwarded()), ("broken", broken())):
        write(FOLDER / name, samples)


if __name__ == "__main__":
    main()
