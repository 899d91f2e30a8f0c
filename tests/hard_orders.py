"""Orders that are hard to bring through a mail client: every script, every mark, every size.

Each is named by what is hard in it. None is taken from anywhere; people, places and goods are made up.
"""

from typing import Any

from ion.order import Order
from tests.orders import full_order, hub_order, small_order

_PEOPLE = {
    "latin": ("Zoë", "O'Brien-Müller", "Straße des 17. Juni 135/II", "Łódź", "PL"),
    "vietnamese": ("Nguyễn Thị", "Ngọc Ánh", "12 Đường Trần Hưng Đạo, P. Bến Nghé", "Hồ Chí Minh", "VN"),
    "turkish": ("İpek", "Işık", "Ağaçlıyol Sk. No:5 D:3", "İstanbul", "TR"),
    "greek": ("Ελένη", "Παπαδοπούλου", "Λεωφ. Βασιλίσσης Σοφίας 10", "Αθήνα", "GR"),
    "cyrillic": ("Олександра", "Щербак-Їжакевич", "вул. Хрещатик, буд. 22, кв. 7", "Київ", "UA"),
    "hebrew": ("נועה", "בן־דוד", "רחוב הרצל 12, דירה 4", "תל אביב-יפו", "IL"),
    "arabic": ("عائشة", "عبد الرحمٰن", "شارع الملك فهد، مبنى ١٢", "الرياض", "SA"),
    "persian": ("می\u200cنا", "خانه\u200cزاده", "خیابان ولیعصر", "تهران", "IR"),
    "hindi": ("क्षितिज", "श्रीवास्तव", "१२, महात्मा गाँधी मार्ग", "लखनऊ", "IN"),
    "thai": ("ณัฐพล", "ศรีสุวรรณ", "99/1 ถนนสุขุมวิท แขวงคลองเตย", "กรุงเทพมหานคร", "TH"),
    "japanese": ("裕貴", "佐藤", "神宮前1丁目2番3号 青山ビル301号室", "渋谷区", "JP"),
    "chinese": ("小明", "欧阳", "建国门外大街1号国贸大厦A座1201室", "北京市朝阳区", "CN"),
    "korean": ("지우", "남궁", "세종대로 110 시청본관 3층", "서울특별시 중구", "KR"),
}
_LABELS = "Order number: 12\nArtikel 2 von 3: zerbrechlich\nTotal: 5.00 EUR\n数量: 3\nРазом: 1"


def _money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def _line(name: str, sku: str = "A-1", quantity: str = "1", price: str = "10", currency: str = "EUR") -> dict[str, Any]:
    return {"name": name, "sku": sku, "quantity": quantity, "unit_price_customer": _money(price, currency)}


def _order(number: str, lines: list[dict[str, Any]], **sections: Any) -> Order:
    delivery = {"name": "Ana Ruiz", "address1": "Gran Vía 7\n2º B", "city": "Madrid", "country": "ES"}
    values = {"platform": "zonos", "order_number": number, "delivery": delivery, "lines": lines, **sections}
    values.setdefault("totals", {"total_customer": lines[0]["unit_price_customer"]})
    return Order.model_validate(values)


def _person(script: str, number: int) -> Order:
    first, last, street, city, country = _PEOPLE[script]
    address = {
        "first_name": first,
        "last_name": last,
        "address1": street,
        "address2": f"{city}\n{street}",
        "city": city,
        "country": country,
        "postal_code": "00123",
        "phone": "+49 (0)221 00-00/00",
        "email": "a.b+c@mail.example",
    }
    lines = [_line(f"{first} {last}, {street}", sku=f"{number:05d}-{city}"), _line(f"{city}「{first}」(e\u0301)", "X")]
    return _order(
        f"P-{number:04d}", lines, delivery=address, billing=address, customer={"comments": f"{street}\n{city}"}
    )


def _many(count: int) -> Order:
    lines = [
        {
            **_line(f"Enamel mug, {size} ml, model {number:03d}", f"EM-{number % 7:03d}", str(number % 4 + 1), "12.5"),
            "hs_code": "7323.94",
            "country_of_origin": "PL",
            "unit_price": _money("10.71", "GBP"),
        }
        for number, size in enumerate((250, 330, 500) * (count // 3 + 1))
    ][:count]
    return _order(f"MANY-{count}", lines)


def hard_orders() -> dict[str, Order]:
    """Name → order. The last two are long and slow."""
    word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
    return {
        "usual, hub": hub_order(),
        "usual, small": small_order(),
        "every field": full_order(blocks=1),
        **{f"script: {script}": _person(script, number) for number, script in enumerate(_PEOPLE, 1)},
        "looks like mail headers": _order(
            "H-1",
            [_line("From: Paris", "Subject: x"), _line("To: London\u2014Sent: today", "Date: 1")],
            notes=["From: Anna <anna@x.example>\nSent: Monday\nTo: you\nSubject: Fwd: order", "-- \nRegards"],
            customer={"comments": "---------- Forwarded message ---------\nFrom: x\n\n-----Original Message-----"},
        ),
        "looks like our labels": _order(
            "L-1",
            [_line("Seal: AAAA-BBBB-CCCC-DDDD-EEEE", "SKU:1"), _line("Item 1 of 2:", "Product: y")],
            notes=[_LABELS, "International Order Notification: 7"],
            delivery={"name": "City: Rome", "address1": "Postal code:\nCountry: France (FR)", "country": "FR"},
        ),
        "looks like quoting": _order(
            "Q-1",
            [_line("> quoted > twice", ">1"), _line("| a | b |", "|"), _line("AB> initials, > 5 < 6", "a>b")],
            notes=["> one\n>> two\n>From me", "a > b > c > d > e > f", "- -- -", "-- "],
        ),
        "looks like mark-up": _order(
            "M-1",
            [_line("<b>Mug</b> & <br> &amp; &lt;", "<1>"), _line("*bold* _it_ **x** a*b* 3 * 4", "*")],
            notes=["</td></tr></table>", "[link](http://x.example) `code` {{ order }} ~~no~~ # head"],
            customer={"comments": "<a@b.example> <https://x.example/?a=b&c=d> mailto:a@b.example"},
        ),
        "marks and backslashes": _order(
            "B\\1",
            [_line('5" \\ 6\' | "q" \\\\', "\\"), _line("/ \\/ ↵ \\: \\> = \\=", "=")],
            other=[{"name": "a = b", "value": "= c"}, {"name": "\\", "value": "\\="}, {"name": None, "value": "x"}],
        ),
        "addresses of pages": _order(
            "U-1",
            [
                {
                    **_line("Mug", "shop.example"),
                    "url": "https://shop.example/mugs/enamel-mug-500-ml?colour=blue&size=500#reviews",
                    "image_url": f"https://cdn.example/{'a1b2c3d4' * 14}.jpg?w=1&h=2",
                },
                _line("www.shop.example/p?x=1 and a@b.example", "AB.com"),
            ],
            tracking={"url": "https://track.example/?n=00340434292135100186&l=de", "number": "00340434292135100186"},
        ),
        "long words": _order(
            "W-1",
            [_line(word[:200], "S" * 120), _line(f"a {'long-word-' * 14}end", "-".join("ABCDEFGH") * 5)],
            customer={"comments": f"{word[:150]}\n{'x' * 90} {'y' * 90}"},
        ),
        "numbers": _order(
            "0000123",
            [
                _line("zero", "007", "0", "0"),
                _line("tiny", "1e5", "0.001", "0.00000000000000000000000000001"),
                _line("large", "+1", "1234567", "12345678901234567890.12345678"),
                _line("negative", "-1", "-2", "-1234.5"),
            ],
            totals={"rounding_rate": "0.8081578947368421052631578947", "total_customer": _money("-0.005", "CLF")},
        ),
        "yen": _order("¥-1", [_line("Tea", "T", "3", "48000", "JPY"), _line("Cup", "C", "1", "1234567", "JPY")]),
        "dinar": _order("KD-1", [_line("Oud", "O", "2", "1.234", "KWD"), _line("Rose", "R", "1", "1234.5", "KWD")]),
        "emoji and combining marks": _order(
            "E-1",
            [_line("👩\u200d🚀 mug 🇨🇭 ☕️", "é-e\u0301"), _line("n\u0303 क\u094d\u200dष ❤️\u200d🔥", "①")],
            notes=["🎁" * 60, "Z\u0351\u036f a\u0308\u0304"],
        ),
        "multi-line values": _order(
            "N-1",
            [{**_line("Mug"), "gift_message": "Happy birthday!\n\nLove,\n  Anna & Tom\n-- \nsent from the moon"}],
            hub={"address1": "Unit 4\nDock 7", "address2": "East Midlands Airport\nGE1\n\nRef 7", "country": "GB"},
            notes=["one\ntwo\nthree", "one", "one\ntwo"],
        ),
        "the same SKU twice": _order("S-1", [_line("Mug", "SAME"), _line("Mug", "SAME"), _line("Mug", "SAME", "2")]),
        "sixty lines": _many(60),
        "two hundred lines": _many(200),
    }


LONG = ("sixty lines", "two hundred lines")
