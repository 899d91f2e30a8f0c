"""Orders that are hard to print and to read back: what a merchant's templates are checked with, beside usual ones.

The first is made of the contract's table itself, so a field added there is in it without anybody thinking of it.
People, places and goods are made up.
"""

import json
from collections.abc import Iterator
from typing import Any

from ion.contract import FIELDS, ORDER_SECTIONS, Entry, Kind, from_entries
from ion.order import Order

_MANY_LINES = 200
_BLOCKS = 2  # of everything that repeats
# Fields that take only some values.
_ONLY = {
    "platform": "global-e",
    "incoterm": "DDP",
    "borne_by": "merchant",
    "in_currency_of": "customer",
    "country_of_origin": "CN",
    "card_last_four": "4242",
}
_NAMES = (
    ("Zoë O’Neill-Größe", "Łódź"),
    ("Nguyễn Thị Ánh", "Đà Nẵng"),
    ("İpek Işık", "Iğdır"),
    ("Ελένη Παππά", "Αθήνα"),
    ("Олександра Їжак", "Київ"),
    ("נועה בן־דוד", "תל אביב-יפו"),
    ("عائشة عبد الرحمٰن", "الرياض"),
    ("می\u200cنا خانه\u200cزاده", "تهران"),
    ("क्षितिज श्रीवास्तव", "लखनऊ"),
    ("ณัฐพล ศรีสุวรรณ", "กรุงเทพมหานคร"),
    ("佐藤 裕貴", "渋谷区神宮前1丁目2番3号"),
    ("欧阳小明", "北京市朝阳区"),
    ("남궁 지우", "서울특별시 중구"),
    ("👩\u200d🚀 n\u0303 ①", "🇨🇭 ☕\ufe0f"),
)


def hard_orders() -> dict[str, Order]:
    """Name → order. The last one has 200 line items, to see whether its mail stays whole."""
    return {
        "every-field": _every_field(),
        "every-field-direct": _every_field(without="hub"),
        "few-fields": _order([_line("Enamel mug")]),
        "scripts": _order(
            [_line(f"{name} 「{city}」", sku=city) for name, city in _NAMES],
            delivery=_address("عائشة عبد الرحمٰن", "شارع الملك فهد، مبنى ١٢\nالدور 3", "الرياض", "SA"),
            billing=_address("נועה בן־דוד", "רחוב הרצל 12, דירה 4", "תל אביב-יפו", "IL"),
            customer={"comments": "\n".join(f"{name}, {city}" for name, city in _NAMES)},
        ),
        "looks-like-labels": _order(
            [_line("Seal: AAAA-BBBB-CCCC-DDDD-EEEE", sku="SKU: 1"), _line("Item 1 of 2:"), _line("Total: 5.00 EUR")],
            notes=["International Order Notification: 7", "Artikel 2 von 3: zerbrechlich\n数量: 3\nРазом: 1"],
            delivery=_address("City: Rome", "Postal code:\nCountry: France (FR)", "Phone:", "FR"),
        ),
        "looks-like-mail": _order(
            [_line("From: Paris", sku="Subject: x"), _line("> quoted > twice", sku=">1"), _line("| a | b |", sku="|")],
            notes=["From: Anna <anna@shop.example>\nSent: Monday\nSubject: order", "-- \nRegards", "> one\n>> two"],
            customer={"comments": "---------- Forwarded message ---------\n-----Original Message-----"},
        ),
        "looks-like-markup": _order(
            [_line("<b>Mug</b> & <br> &amp; &lt;", sku="<1>"), _line("*bold* _it_ a*b* # 1", sku="*")],
            notes=["</td></tr></table></div>", "{{ order }} {% raw %} ${x}", "\\ \\: \\> / \\/ 5\" 6'"],
            customer={"comments": "<a@shop.example> <https://shop.example/?a=b&c=d>"},
        ),
        "numbers": _order(
            [
                _line("zero", sku="007", quantity="0", price="0"),
                _line("tiny", sku="1e5", quantity="0.001", price="0.00000000000000000000000000001"),
                _line("large", sku="+1", quantity="1234567", price="12345678901234567890.12345678"),
                _line("negative", sku="-1", quantity="-2", price="-1234.5"),
            ],
            totals={"rounding_rate": "0.8081578947368421052631578947", "total_customer": _money("1234567.005", "KWD")},
        ),
        "long-words": _order(
            [_line("Donaudampfschifffahrt" * 8, sku="S" * 120), _line(f"a {'long-word-' * 14}end", sku="A-B-C-D-" * 8)],
            customer={"comments": f"{'x' * 150}\n{'y' * 90} {'z' * 90}"},
            tracking={"url": f"https://parcel.example/?{'n=00340434292135100186&' * 5}l=de", "number": "0" * 60},
        ),
        "two-hundred-lines": _order(
            [
                {
                    **_line(f"Enamel mug, {250 + number} ml", sku=f"EM-{number:03d}", quantity=str(number % 4 + 1)),
                    "hs_code": "7323.94",
                    "country_of_origin": "PL",
                }
                for number in range(_MANY_LINES)
            ]
        ),
    }


def _every_field(*, without: str = "") -> Order:
    _, order = from_entries(entry for entry in _every_entry() if entry.section != without)
    return Order.model_validate(order)


def _every_entry() -> Iterator[Entry]:
    """A value for every field of the contract, each a different one, two blocks or values where these repeat."""
    for section in ORDER_SECTIONS:
        for block in range(_BLOCKS if section.repeated else 1):
            for field in section.fields:
                for place in range(_BLOCKS if field.repeated else 1):
                    index = ((block,) if section.repeated else ()) + ((place,) if field.repeated else ())
                    entry = Entry(section.code, field.name, index, "")
                    yield entry._replace(value=_ONLY.get(field.name) or _value(entry))


def _value(entry: Entry) -> str:
    number = sum(entry.name.encode())  # another one for another place
    match FIELDS[entry.code].kind:
        case Kind.NUMBER:
            return f"{number}.125"
        case Kind.MONEY:
            return f"{number}.{number % 89 + 11} NZD"
        case Kind.COUNTRY:
            return "NZ"
        case Kind.FLAG:
            return "1"
        case Kind.PAIR:
            return json.dumps([f"{entry.field} =", f"Grün, {number}"])
        case Kind.LINES:
            return f"Ω {entry.field.replace('_', ' ')}\n\nDock {number}"
        case _:
            return f"Ω {entry.field.replace('_', ' ')} {number}"


def _money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def _line(name: str, *, sku: str = "A-1", quantity: str = "1", price: str = "10") -> dict[str, Any]:
    return {"name": name, "sku": sku, "quantity": quantity, "unit_price_customer": _money(price)}


def _address(name: str, address: str, city: str, country: str) -> dict[str, str]:
    return {"name": name, "address1": address, "city": city, "country": country, "postal_code": "00123"}


def _order(lines: list[dict[str, Any]], **sections: Any) -> Order:
    values = {"platform": "zonos", "order_number": "123-00042", "lines": lines, **sections}
    values.setdefault("delivery", _address("Ana Ruiz", "Gran Vía 7\n2º B", "Madrid", "ES"))
    values.setdefault("totals", {"total_customer": _money("1234.5")})
    return Order.model_validate(values)
