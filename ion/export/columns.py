"""What a column is: a name, a function, a kind and one sentence of explanation. Short words to declare them with.

A column of an order has one value per order, repeated on every row of that order; a column of a line has one value per
line item, a column of a charge one per line of an invoice. The declarations themselves are in `order_columns`,
`line_columns`, `shops` and `bookkeeping`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from ion.export.catalogue import CatalogueItem
from ion.export.cells import Cell, amount_in, flag
from ion.export.charges import Charge
from ion.export.facts import customer_currency, merchant_currency
from ion.order import LineItem, Money, Order

P = TypeVar("P")


class ExportOrder(Protocol):
    """An order as it is handed to the export room: the order itself and what is known about its arrival."""

    @property
    def id(self) -> int:
        """The store's number of this order, stable and unique within the installation."""

    @property
    def merchant(self) -> str:
        """Name of the merchant the order is for."""

    @property
    def order(self) -> Order:
        """The order as its newest applied notification states it."""

    @property
    def revision(self) -> int:
        """Revision of that notification."""

    @property
    def state(self) -> str:
        """State of the order in the store: `new`, `exported`, `entered`."""

    @property
    def received_at(self) -> datetime:
        """When the mail arrived here (aware UTC)."""

    @property
    def applied_at(self) -> datetime:
        """When this revision became the order (aware UTC)."""

    @property
    def issued_at(self) -> datetime | None:
        """When the sender issued the notification (aware UTC), None where it does not say."""

    @property
    def grade(self) -> str:
        """What the content proved: `sealed`, `consistent`, `review`."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences of the reader for a person."""

    @property
    def previous(self) -> Order | None:
        """The order as the merchant's last published file had it; None the first time, and outside of such files."""

    @property
    def shop_order_number(self) -> str | None:
        """The number that staff gave the order in their shop; None where they gave none."""


class Kind(StrEnum):
    """How a spreadsheet shows a column. In CSV every kind is plain text."""

    TEXT = "text"
    LINES = "lines"
    """text that may have several lines; wrapped"""
    FLAG = "flag"
    MONEY = "money"
    NUMBER = "number"
    INSTANT = "instant"
    """aware UTC"""


@dataclass(frozen=True)
class Options:
    """What a merchant's bookkeeping wants in every row of its import. None leaves the column empty.

    `contact_name`: whom the invoices are made out to, instead of each customer; `account_code`, `tax_type`: as the
    bookkeeping names them.
    """

    contact_name: str | None = None
    account_code: str | None = None
    tax_type: str | None = None


def _unsaid(_note: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Entry:
    """One order of one export, as the columns see it. `exported_at` is aware; `items`: what the merchant's catalogue
    knows, by SKU; `say` takes a note on what a column cannot carry, as in "the product name was shortened"."""

    stored: ExportOrder
    order: Order
    exported_at: datetime
    items: Mapping[str, CatalogueItem] = field(default_factory=dict)
    options: Options = Options()
    say: Callable[[str], None] = _unsaid

    def item(self, line: LineItem) -> CatalogueItem | None:
        """What the catalogue knows about the article of a line."""
        return self.items.get(line.sku) if line.sku else None


@dataclass(frozen=True)
class OrderColumn:
    """One value per order."""

    name: str
    value: Callable[[Entry], Cell]
    about: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True)
class PartColumn(Generic[P]):
    """One value per part of an order, as its table takes the order apart; the number is the part's position, from 1."""

    name: str
    value: Callable[[Entry, P, int], Cell]
    about: str
    kind: Kind = Kind.TEXT


LineColumn = PartColumn[LineItem]
ChargeColumn = PartColumn[Charge]

Column = OrderColumn | PartColumn[Any]


def told(name: str, get: Callable[[Order], Cell], about: str, kind: Kind = Kind.TEXT) -> OrderColumn:
    """A value the order states."""
    return OrderColumn(name, lambda entry: get(entry.order), about, kind)


def kept(name: str, get: Callable[[ExportOrder], Cell], about: str, kind: Kind = Kind.TEXT) -> OrderColumn:
    """A value that is not part of the order: what the store knows about it."""
    return OrderColumn(name, lambda entry: get(entry.stored), about, kind)


def flagged(name: str, get: Callable[[Order], bool], about: str) -> OrderColumn:
    """`yes` or empty."""
    return OrderColumn(name, lambda entry: flag(get(entry.order)), about, Kind.FLAG)


def in_customer_currency(name: str, get: Callable[[Order], Money | None], about: str) -> OrderColumn:
    """An amount whose currency stands in `customer_currency`."""
    return told(name, lambda order: amount_in(customer_currency(order), get(order)), about, Kind.MONEY)


def in_merchant_currency(name: str, get: Callable[[Order], Money | None], about: str) -> OrderColumn:
    """An amount whose currency stands in `merchant_currency`."""
    return told(name, lambda order: amount_in(merchant_currency(order), get(order)), about, Kind.MONEY)


def in_its_own_currency(
    amount: str, currency: str, get: Callable[[Order], Money | None], about: str
) -> tuple[OrderColumn, OrderColumn]:
    """An amount that brings its currency along: two columns, named `amount` and `currency`."""

    def amount_of(order: Order) -> Cell:
        money = get(order)
        return None if money is None else money.amount

    def currency_of(order: Order) -> Cell:
        money = get(order)
        return None if money is None else money.currency

    return (
        told(amount, amount_of, about, Kind.MONEY),
        told(currency, currency_of, f"Currency of `{amount}`, ISO 4217."),
    )


def line(name: str, get: Callable[[LineItem], Cell], about: str, kind: Kind = Kind.TEXT) -> LineColumn:
    """A value the line states."""
    return LineColumn(name, lambda _entry, item, _position: get(item), about, kind)


def line_flagged(name: str, get: Callable[[LineItem], bool], about: str) -> LineColumn:
    """`yes` or empty."""
    return line(name, lambda item: flag(get(item)), about, Kind.FLAG)


def line_in_customer_currency(name: str, get: Callable[[LineItem], Money | None], about: str) -> LineColumn:
    """An amount of the line whose currency stands in the order's `customer_currency`."""
    return LineColumn(
        name, lambda entry, item, _: amount_in(customer_currency(entry.order), get(item)), about, Kind.MONEY
    )


def line_in_merchant_currency(name: str, get: Callable[[LineItem], Money | None], about: str) -> LineColumn:
    """An amount of the line whose currency stands in the order's `merchant_currency`."""
    return LineColumn(
        name, lambda entry, item, _: amount_in(merchant_currency(entry.order), get(item)), about, Kind.MONEY
    )
