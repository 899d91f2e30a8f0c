"""Orders that are hard to carry through a mail client: scripts, marks, numbers and texts that look like something else.

All go through the model, so they are canonical; each has a short name under which a failing test tells of it.
"""

from typing import Any

from ion.order import Order


def _money(amount: str, currency: str | None = "EUR") -> dict[str, Any]:
    return {"amount": amount, "currency": currency}


def _line(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "sku": f"SKU-{number:04d}",
        "name": f"Article no. {number}",
        "quantity": str(1 + number % 4),
        "unit_price_customer": _money(f"{10 + number}.{number % 100:02d}"),
        **changes,
    }


def _order(number: str, *, delivery: dict[str, Any] | None = None, lines: Any = None, **changes: Any) -> Order:
    address = {"name": "Jo March", "address1": "12 Orchard Street", "city": "Concord", "country": "US"}
    return Order.model_validate(
        {
            "platform": "zonos",
            "order_number": number,
            "delivery": {**address, **(delivery or {})},
            "lines": lines if lines is not None else [_line(1)],
            "totals": {"total_customer": _money("22.02")},
            **changes,
        }
    )


def _texts(number: str, *texts: str) -> Order:
    """Each text as the name of an article, and the first ones in the address and the notes as well."""
    lines = [_line(place + 1, name=text, customization=text) for place, text in enumerate(texts)]
    places = dict(zip(("company", "address1", "address2", "city", "state"), texts, strict=False))
    return _order(number, delivery=places, lines=lines, notes=list(texts[:4]), status_reason=texts[-1])


_LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"

ORDERS: dict[str, Order] = {
    "plain": _order("90-0001"),
    "no lines": _order("90-0002", lines=[]),
    "scripts": _texts(
        "90-0003",
        "Łukasz Żółć-Gęślą",
        "Ελένη Παπαδοπούλου",
        "Анна Ёлкина",
        "山田　太郎 様",
        "김민준",
        "陳大文",
        "นางสาวสุดา ใจดี",
        "नीलम शर्मा",
        "தமிழ்ச்செல்வி",
        "მარიამ ქართველი",
        "Զարուհի Պետրոսյան",
        "Nguyễn Thị Ánh Tuyết",
    ),
    "right to left": _texts(
        "90-0004", "محمد عبد الله الأحمد", "שרה לוי-כהן", "רח' הרצל 12, דירה 4 (ת\"א)", "شارع 17, مبنى 5ب", "می‌خواهم"
    ),
    "combining": _texts(
        "90-0005", "Zoe\u0308 A\u030aström", "q\u0323\u0307", "ශ්‍රී ලංකා", "क्षत्रिय", "x\u0338 y\u20d7", "Å"
    ),
    "emoji": _texts("90-0006", "👨‍👩‍👧‍👦 Family mug", "🇩🇪🇫🇷 flags", "☎️ phone", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👍🏽👍", "❤", "😀" * 30),
    "long words": _texts("90-0007", "W" * 200, _LONG, "a-" * 60 + "z", "漢" * 150, "x" * 77 + " " + "y" * 77, "0" * 90),
    "headers": _texts(
        "90-0008",
        "From: Paris",
        "To: Berlin",
        "Subject: my order",
        "Sent: yesterday",
        "Von: Anna An: Otto Betreff: x",
        "De : moi À : toi Objet : rien",
        "From here to eternity",
        "Date: Mon, 23 Nov 2026 19:20:05 +0000",
        "-----Original Message-----",
        "---------- Forwarded message ---------",
        "Begin forwarded message:",
        "Cc: nobody@nowhere.example",
        "发件人：张三",
    ),
    "labels": _texts(
        "90-0009",
        "Bestellnummer: 5",
        "Order number: 6",
        "Item 2 of 3:",
        "Seal: AAAA-BBBB-CCCC-DDDD-EEEE",
        "Quantité : 4",
        "数量：3",
        "Menge: 99 Stückpreis (bezahlt): 1,00 EUR",
        "City: Rome Country: Italy (IT)",
        "International order notification (ION): 1",
        "Internationale Bestellbenachrichtigung (ION): 2",
        "Phone: 123 Email: a@b.example",
        "Город: Тула",
    ),
    "quotes": _texts(
        "90-0010", "> x", ">> y > z", "| pipe |", "a | b | c", "|", ">", "x >", "* star *", "**bold**", "_u_ /i/ ~s~"
    ),
    "markup": _texts(
        "90-0011",
        "<b>bold</b>",
        "<br>",
        "a < b > c",
        "&amp; &lt; &#65; &nbsp;",
        "<!-- no -->",
        "<a href='http://x.example'>x</a>",
        "</td></tr>",
        "{{ x }} {% y %} ${z}",
        "[text](http://x.example)",
        "![pic](cid:1)",
        "`code`",
        "# heading",
        "1. one",
        "- item",
        "+ plus",
    ),
    "signatures": _order(
        "90-0012",
        notes=["--\nJo", "-- \nSent from my iPhone", "__________\nJo", "Best,\n\n\nJo\n--", "***\n===\n---", "* * *"],
        customer={"comments": "-- \nRegards\n-- \nJo"},
    ),
    "marks": _texts(
        "90-0013",
        "back\\slash \\n \\: \\\\",
        "\\",
        "\"double\" 'single' „low“ «fr» 「jp」",
        "a*b *c* d* *e",
        "tab;semi,comma",
        "100 % = 1/1",
        "key = value = more",
        "=?utf-8?q?x?=",
        "=3D=20=",
        "↵ return ↵",
        "C:\\temp\\*.*",
        "(((",
        "…",
        "'",
    ),
    "addresses": _texts(
        "90-0014",
        "a@b.c",
        "Jo <jo@shop.example>",
        "mailto:jo@shop.example",
        "https://shop.example/a?b=c&d=e#f",
        "www.shop.example",
        "see https://shop.example/x_y(z), or not",
        "<https://shop.example/q>",
        "http://127.0.0.1:8080/%20/",
        "tel:+1-212-555-0123",
        "shop.example/path",
        "ftp://a:b@c.example/",
        "https://shop.example/" + "segment-of-path/" * 12 + "?end=1",
    ),
    "numbers": _texts(
        "90-0015",
        "007",
        "0",
        "00000",
        "1,000.00",
        "1.000,00",
        "-5",
        "+49 (0)89 / 123-45",
        "1e5",
        "٣٤٥",
        "½",
        "10²",
        "12/11/2026",
    ),
    "yen and dinar": _order(
        "90-0016",
        lines=[
            _line(1, unit_price_customer=_money("1234567", "JPY")),
            _line(2, unit_price_customer=_money("0.005", "KWD")),
            _line(3, unit_price_customer=_money("1234.5678", "CLF")),
            _line(4, unit_price_customer=_money("-12.5", "USD"), quantity="0.125"),
            _line(5, unit_price_customer=_money("99999999999.99", None)),
            _line(6, unit_price_customer=_money("0", "ISK")),
        ],
        totals={"total_customer": _money("0.001", "BHD"), "charged": _money("1000", "VND")},
    ),
    "decimals": _order(
        "90-0017",
        lines=[
            _line(
                1, rounding_rate="0.80815789473684210526315789470", unit_price=_money("12345678901234567890.123456789")
            )
        ],
        totals={
            "total_customer": _money("3790.2000000000000000000000001", "USD"),
            "price_coefficient": "1.0000000000000000000000000001",
            "rounding_rate": "0.00000000000000000000000000001",
        },
    ),
    "same sku": _order("90-0018", lines=[_line(1), _line(1), _line(1, quantity="7"), _line(1)]),
    "multi-line": _order(
        "90-0019",
        delivery={
            "address1": "Unit 5\nBuilding 7",
            "address2": "c/o Marmee\n\nBack door\nRing twice",
            "address3": "1\n2\n3\n4",
        },
        lines=[
            _line(1, gift_message="Dear Beth,\n\nhappy birthday!\n\nyour sisters\nMeg, Jo & Amy"),
            _line(2, gift_message="> quoted\n>> deeper\n| line\n* star\n- dash\nFrom me"),
        ],
        notes=["Line one\nLine two\nFrom: the porter\n\n\nLine six", "Only one"],
        customer={"comments": "Hello:\nleave it : at the door\n:-)"},
    ),
    "sixty": _order("90-0020", lines=[_line(n, brand="Größe & Söhne", hs_code="6206.30.00") for n in range(60)]),
    "two hundred": _order("90-0021", lines=[_line(n) for n in range(200)]),
    "hub": Order.model_validate(
        {
            "platform": "global-e",
            "order_number": "GE55500011ES",
            "merchant_order_number": "000123",
            "hub": {
                "company": "Hub & Co",
                "address1": "Ctra. de la Esclusa 11\nNave 3",
                "city": "Sevilla",
                "country": "ES",
            },
            "delivery": {
                "first_name": "Åsa",
                "last_name": "O’Neil",
                "city": "Malmö",
                "postal_code": "00123",
                "country": "SE",
            },
            "billing": {
                "first_name": "Åsa",
                "last_name": "O'Neil",
                "city": "Malmo",
                "postal_code": "123",
                "country": "SE",
            },
            "lines": [
                _line(
                    1,
                    attributes=[
                        {"name": "Size = big", "value": "=L="},
                        {"name": None, "value": "x"},
                        {"name": "y", "value": None},
                    ],
                ),
                _line(2, categories=["A, B", "C; D", "E: F"], back_ordered=True, gift_card=True),
            ],
            "discounts": [{"name": "10 % off: *all*", "amount_customer": _money("1.5", "SEK"), "code": "<SALE>"}],
            "markups": [{"description": "-- none --", "amount": _money("0.01", "EUR")}],
            "customs": {"incoterm": "DAP", "exporter_eori": "ES00123"},
            "payment": {"card_last_four": "0042", "method_name": "Visa"},
            "tracking": {"url": "https://track.example/?n=0012&lang=sv#top", "number": "0012"},
        }
    ),
    "guards": _order("90-0022", test=True, replacement=True, documents=[{"required": True, "type_name": "EAD > x"}]),
    "odd number": _order("#100: 'A' <7>", merchant_order_number="> 100", purchase_order_number="PO | 5"),
    "blanks": _texts(
        "90-0023",
        "a\u00a0b",
        "a\u3000b",
        "a \u2009 b",
        "x .",
        ". y",
        "a , b",
        "( c )",
        "1 000",
        "„ x “",
        "a - b",
        "a -b",
    ),
    "hyphens": _texts(
        "90-0024",
        "well-known-and-much-loved " * 6,
        "co\u2010op non\u2011breaking en\u2013dash em\u2014dash",
        "-",
        "--",
        "x- -y",
        "A-1-2-3-4-5-6-7-8-9",
    ),
    "cases": _texts(
        "90-0025",
        "STRASSE Straße straße",
        "İstanbul ISPARTA ılık",
        "ﬁne ﬂour",
        "ſ",
        "ΣΊΣΥΦΟΣ σίσυφος",
        "iPhone McDonald",
    ),
    "widths": _texts(
        "90-0026", "ＡＢＣ１２３：ｘ", "ｶﾞｷﾞｸﾞ ガギグ", "¥100 ￥100 \\100", "〜 ～ ‖ ∥ － −", "①②③ ㈱ ℡ №", "高橋 髙橋 﨑"
    ),
    "one letter": _texts("90-0027", "x", "y", "z", ".", ":", "：", "1"),
    "mixed directions": _texts(
        "90-0028", "ABC שלום 123", "طلب 45-A (عاجل)", "12:30 – 14:00", "+972 3 555 0123", "א-ב/ג 7"
    ),
    "typing": _texts(
        "90-0029",
        'O\'Brien "Mac" d’Arc',
        "1st, 2nd... (c) (r) -> <- :-)",
        "10 x 20",
        "3/4 inch",
        "5'11\"",
        "a -- b --- c",
        "caf\u00e9",
    ),
}
"""A name → the order."""
