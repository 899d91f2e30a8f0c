"""The content of an order as it is kept: canonical JSON with its digest, and the columns that are derived from it.

Made once, by whoever read the order, and handed on as plain text: what only keeps or compares an order has no need to
build it again.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, Self

from pydantic import FailFast

from ion.currencies import minor_units
from ion.order import LineItem, Order, decimal_text
from ion.order_words import words_of


class Summary(NamedTuple):
    """What lists, filters and sums ask of an order; named as the columns of `ion.store`."""

    platform: str
    order_number: str
    merchant_order_number: str | None
    test: bool
    replacement: bool
    documents_awaited: bool
    personal_data_suppressed: bool
    personal_data_encrypted: bool
    destination_country: str | None
    customer_name: str | None
    customer_email: str | None
    total_text: str | None
    total_currency: str | None
    total_minor: int | None


class LineSummary(NamedTuple):
    """The like of a line item."""

    line_id: str | None
    sku: str | None
    name: str | None
    quantity: str
    unit_price: str | None
    currency: str | None


@dataclass(frozen=True)
class Content:
    """An order with its canonical text and digest. `words`: what it is found by, as `order_words.words_of` gives it."""

    json: str
    sha256: str
    summary: Summary
    lines: Annotated[tuple[LineSummary, ...], FailFast()]
    words: str

    @classmethod
    def of(cls, order: Order) -> Self:
        stated = order.to_json()
        text = _canonical(stated)
        lines = tuple(map(_line_summary, order.lines))
        content = cls(text, digest_of(text), _summary(order), lines, words_of(stated))
        content.__dict__["order"] = order  # where `order` would keep what it builds
        return content

    @cached_property
    def order(self) -> Order:
        """The order itself."""
        return order_of(self.json)


def content_json(order: Order) -> str:
    """The order as canonical JSON text: what is stated, keys sorted, no blanks, UTF-8 as it is."""
    return _canonical(order.to_json())


def _canonical(stated: dict[str, Any]) -> str:
    return json.dumps(stated, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def content_sha256(order: Order) -> str:
    """Hexadecimal digest of `content_json`: two orders with the same one are the same order, key for key."""
    return digest_of(content_json(order))


def digest_of(content: str) -> str:
    return sha256(content.encode()).hexdigest()


def order_of(content: str) -> Order:
    """The inverse of `content_json`."""
    return Order.model_validate_json(content)


def _summary(order: Order) -> Summary:
    total = order.totals.total_customer or order.totals.charged
    return Summary(
        platform=order.platform,
        order_number=order.order_number,
        merchant_order_number=order.merchant_order_number,
        test=order.test,
        replacement=order.replacement,
        documents_awaited=order.documents_awaited,
        personal_data_suppressed=order.personal_data_suppressed,
        personal_data_encrypted=order.personal_data_encrypted,
        destination_country=order.delivery.country,
        customer_name=order.delivery.full_name or order.billing.full_name,
        customer_email=order.customer.email or order.delivery.email or order.billing.email,
        total_text=decimal_text(total.amount) if total else None,
        total_currency=total.currency if total else None,
        total_minor=minor_units(total),
    )


def _line_summary(line: LineItem) -> LineSummary:
    price = line.unit_price_customer or line.unit_price
    return LineSummary(
        line_id=line.line_id,
        sku=line.sku,
        name=line.name,
        quantity=decimal_text(line.quantity),
        unit_price=decimal_text(price.amount) if price else None,
        currency=price.currency if price else None,
    )
