"""What the tests of the export room share: orders as the store hands them over, and files made of them in memory."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from ion.export import ExportOrder, ExportSummary, Profile, export_orders
from ion.order import Address, Adjustment, Customs, Document, LineItem, Money, Order, Pair, Shipping, Totals
from ion.payloads import read_payloads

AT = datetime(2026, 11, 23, 19, 30, 15, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Stored:
    """What the store hands over."""

    order: Order
    id: int = 7
    merchant: str = "default"
    revision: int = 1
    state: str = "new"
    received_at: datetime = datetime(2026, 11, 23, 19, 21, tzinfo=UTC)
    applied_at: datetime = datetime(2026, 11, 23, 19, 21, 2, tzinfo=UTC)
    issued_at: datetime | None = datetime(2026, 11, 23, 19, 20, 5, tzinfo=UTC)
    grade: str = "sealed"
    warnings: tuple[str, ...] = ()
    previous: Order | None = None
    shop_order_number: str | None = None


def money(amount: str, currency: str | None = "EUR") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def hub_order() -> Order:
    """A Global-e order that goes to a hub; 19 * 2 + 12.5 + 5 + 9.15 + 0.23 - 4.75 + 0.25 = 60.38."""
    return Order(
        platform="global-e",
        order_number="GE12345678GB",
        merchant_order_number="0001234",
        created_time="2026-11-23T18:02:11",
        hub=Address(
            first_name="GlobalE",
            last_name="East Midlands",
            address1="Building 2",
            address2="East Midlands Airport\nGE12345678GB",
            city="Derby",
            postal_code="DE74 2SA",
            country="GB",
            phone="+441332000000",
        ),
        delivery=Address(
            first_name="Jürgen",
            last_name='Groß "der Ältere"',
            local_first_name="ユルゲン",
            address1="Hauptstraße 5, Hinterhaus",
            city="Dresden",
            state="Sachsen",
            state_code="SN",
            postal_code="01067",
            country="DE",
            email="j@example.de",
            phone="+4915112345678",
            tax_id="=1+1",
        ),
        lines=(
            LineItem(
                line_id="11007",
                sku="00123E4",
                quantity=Decimal(2),
                unit_price=money("16.7066666666666666666666667", "GBP"),
                unit_price_customer=money("19"),
                attributes=(Pair(name="color", value="GREY"), Pair(name="size", value="M")),
                vat_rate=Decimal("20"),
                hs_code="6206.30.00",
                country_of_origin="PT",
                gift_message="Alles Gute!\nDeine Anna",
            ),
            LineItem(
                line_id="11008",
                parent_line_id="11007",
                sku="@x",
                quantity=Decimal(1),
                unit_price_customer=money("12.5"),
            ),
        ),
        discounts=(Adjustment(name="SALE; 10%", coupon_code="S10", amount_customer=money("4.75"), line_id="11007"),),
        markups=(Adjustment(name="rounding", amount_customer=money("0.25")),),
        shipping=Shipping(method_name="Express", delivery_days_from=Decimal(2), delivery_days_to=Decimal(4)),
        totals=Totals(
            customer_currency="EUR",
            merchant_currency="GBP",
            shipping_customer=money("5"),
            duties_and_taxes_customer=money("9.15"),
            cash_on_delivery_customer=money("0.23"),
            total_customer=money("60.38"),
            charged=money("235.74993308058803207162312511", "USD"),
        ),
        customs=Customs(incoterm="DDP", exporter_eori="GB123456789000", exporter_ioss="IM0000000001"),
    )


def bare_order() -> Order:
    """A test order of Zonos without lines, straight to the customer."""
    return Order(
        platform="zonos",
        order_number="123-45678",
        test=True,
        delivery=Address(name="Ana Ruiz", city="Madrid", country="ES"),
        documents=(Document(required=True, type_name="EAD"),),
        notes=("first note", "second\nnote"),
    )


TWO = (Stored(hub_order(), warnings=("the payload was mended: one comma",)), Stored(bare_order(), id=8, issued_at=None))


def exported(
    stored: Iterable[ExportOrder], profile: str | Profile = "standard", **given: Any
) -> tuple[bytes, ExportSummary]:
    """The octets of a file of that profile, and the summary. `given`: the catalogue, the options."""
    target = io.BytesIO()
    summary = export_orders(stored, profile, target, exported_at=AT, zone=BERLIN, **given)
    return target.getvalue(), summary


def rows_of(octets: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(octets.decode("utf-8"), newline="")))


@cache
def sample_orders() -> tuple[Order, ...]:
    """The orders of all payloads that come with the project, in the order of their names."""
    folder = resources.files("ion") / "samples"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    documents = [(name, (folder / name).read_bytes()) for name in names]
    readings = [result.reading for result in read_payloads(documents, customer=None)]
    return tuple(reading.order for reading in readings if reading is not None)


def stored_samples() -> list[Stored]:
    """The sample orders as the store hands them over, numbered from 1."""
    return [Stored(order, id=number) for number, order in enumerate(sample_orders(), start=1)]
