"""The sheet of an order: what its page shows, in the sequence in which a shop's form asks for it, and what changed.

Labels, headings and the sentences on what not to ship are those of the notification, so that mail and page say the
same. Amounts are printed as the notification prints them: with every digit. Texts are as the order states them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from ion.contract import FIELDS, SECTIONS, Entry, Kind, Language, language, print_value
from ion.contract.canonical import order_entries
from ion.contract.changes import Change, changes, heading_code
from ion.export.facts import ship_to
from ion.export.totals import Verdict, check_total, exact_product, line_total
from ion.order import Address, Adjustment, LineItem, Money, Order, decimal_text

# In the sequence of a form; the hub and the customer are told apart before.
_FURTHER_PLACES = ("delivery_local", "billing", "billing_local", "payer", "importer")
# The amounts that a total is made of first, then what is charged, then the rest.
_AMOUNTS = ("items", "shipping", "shipping_discounted", "duties_and_taxes", "same_day_dispatch", "cash_on_delivery")
_OF_A_LINE = ("attributes", "customization", "gift_message", "option_id", "product_id", "secondary_code", "line_id")
_MARKS_OF_A_LINE = ("back_ordered", "gift_card", "not_shippable", "bundle_parent_moved")
_CITY_FIRST = {"AU", "BR", "CA", "GB", "IE", "IN", "NZ", "US", "ZA"}


class Article(Protocol):
    """What a catalogue knows of a SKU."""

    @property
    def own_sku(self) -> str | None: ...
    @property
    def name(self) -> str | None: ...


@dataclass(frozen=True)
class Shown:
    """A value with its label; `name`: of its field, for people's eyes it is `label`."""

    name: str
    label: str
    text: str


@dataclass(frozen=True)
class Block:
    """A headed list of values."""

    code: str
    heading: str
    fields: tuple[Shown, ...]


@dataclass(frozen=True)
class Place:
    """An address. `lines`: as one writes it on a label; `fields`: one by one; `note`: what it is for, in a sentence;
    `same_as`: heading of the address that it repeats, which then has the lines."""

    code: str
    heading: str
    lines: tuple[str, ...]
    fields: tuple[Shown, ...]
    note: str | None = None
    same_as: str | None = None


@dataclass(frozen=True)
class Item:
    """A position. `own_sku`, `own_name`: what the catalogue says; prices in both currencies, None where not stated."""

    sku: str | None
    own_sku: str | None
    name: str | None
    own_name: str | None
    details: tuple[Shown, ...]
    marks: tuple[str, ...]
    quantity: str
    price: str | None
    total: str | None
    price_merchant: str | None


@dataclass(frozen=True)
class Amount:
    """A row of the amounts, in the customer's currency and the merchant's, each None where it is not stated."""

    label: str
    customer: str | None
    merchant: str | None
    is_total: bool = False


@dataclass(frozen=True)
class ShownChange:
    """One thing that changed, in words; None where there was or is nothing."""

    what: str
    before: str | None
    now: str | None


@dataclass(frozen=True)
class Sheet:
    """An order, printed. `parcel`: where it is to be shipped, None where no address is stated; `end_customer`: who gets
    it in the end, where it goes to a hub first; `verdict`: whether the total is the sum of its parts, and the
    `difference` where it is not, by which it `is_more` or less; `all_stated`: the whole order, block by
    block, so that nothing is left out."""

    to_hub: bool
    do_not_ship: tuple[Shown, ...]
    numbers: tuple[Shown, ...]
    customer: tuple[Shown, ...]
    notes: tuple[str, ...]
    parcel: Place | None
    end_customer: Place | None
    places: tuple[Place, ...]
    items: tuple[Item, ...]
    amounts: tuple[Amount, ...]
    verdict: Verdict
    difference: str | None
    is_more: bool
    shipping: Block | None
    payment: Block | None
    all_stated: tuple[Block, ...]


def sheet_of(order: Order, locale: str, catalogue: Mapping[str, Article]) -> Sheet:
    """The sheet of an order in the language of a page."""
    words = language(locale)
    blocks = tuple(_blocks(order, words))
    by_code = {block.code: block for block in blocks}
    check = check_total(order)
    return Sheet(
        to_hub=order.ships_to_hub,
        do_not_ship=tuple(
            Shown(reason, words.mail["do_not_ship"], words.mail[f"do_not_ship_{reason}"])
            for reason in order.do_not_ship
        ),
        numbers=_numbers(by_code["order"]),
        customer=tuple(_customer(order, by_code, words)),
        notes=(*order.notes, *((order.customer.comments,) if order.customer.comments else ())),
        parcel=_parcel(order, by_code, words),
        end_customer=_end_customer(order, by_code, words),
        places=tuple(_further_places(order, by_code, words)),
        items=tuple(_item(line, catalogue, words) for line in order.lines),
        amounts=tuple(_amounts(order, words)),
        verdict=check.verdict,
        difference=_money(_without_sign(check.difference), words),
        is_more=check.difference is not None and not check.difference.amount.is_signed(),
        shipping=by_code.get("shipping"),
        payment=by_code.get("payment"),
        all_stated=blocks,
    )


def shown_changes(previous: Order, order: Order, locale: str) -> tuple[ShownChange, ...]:
    """What the order says otherwise than before. Where the platform has taken back what it told of a person, what it
    said before is not repeated."""
    words = language(locale)
    withheld = order.personal_data_suppressed or order.personal_data_encrypted
    return tuple(_shown_change(change, previous, order, words, withheld) for change in changes(previous, order))


def money_text(amount: str | None, currency: str | None, locale: str) -> str | None:
    """An amount as the store keeps it, with every digit."""
    return None if amount is None else _print(Kind.MONEY, f"{amount} {currency}" if currency else amount, locale)


def country_text(code: str | None, locale: str) -> str | None:
    """A country by name."""
    return None if code is None else language(locale).countries.get(code, code)


def address_lines(address: Address, words: Language) -> tuple[str, ...]:
    """An address as one writes it on a label."""
    state = address.state_code or address.state
    if address.country in _CITY_FIRST:
        place = " ".join(part for part in (address.city, state, address.postal_code) if part)
        rest: tuple[str | None, ...] = ()
    else:
        place = " ".join(part for part in (address.postal_code, address.city) if part)
        rest = (address.state or address.state_code,)
    country = words.countries.get(address.country, address.country) if address.country else None
    pick_up = address.collection_point
    label = words.labels["address"]["collection_point"]
    stated = (
        address.full_name,
        address.company,
        *_split(address.address1),
        *_split(address.address2),
        *_split(address.address3),
        address.city_region,
        place,
        *rest,
        country,
        f"{label}: {pick_up}" if pick_up else None,
    )
    return tuple(line for line in stated if line)


def _split(text: str | None) -> list[str]:
    return text.split("\n") if text else []


def _print(kind: Kind, value: str, locale: str) -> str:
    return print_value(kind, value, language(locale))


def _money(money: Money | None, words: Language) -> str | None:
    if money is None:
        return None
    amount = format(money.amount, "f")
    return print_value(Kind.MONEY, f"{amount} {money.currency}" if money.currency else amount, words)


def _without_sign(money: Money | None) -> Money | None:
    return None if money is None else Money.model_construct(amount=money.amount.copy_abs(), currency=money.currency)


def _text(entry: Entry, words: Language) -> str:
    """A value as a person reads it: texts as they are, without the marks that keep them apart in a mail."""
    kind = FIELDS[entry.code].kind
    if kind in (Kind.TEXT, Kind.LINES):
        return entry.value
    if kind == Kind.PAIR:
        return ": ".join(part for part in json.loads(entry.value) if part)
    return print_value(kind, entry.value, words, entry.field)


def _blocks(order: Order, words: Language) -> Iterator[Block]:
    """All that the order states, section by section."""
    grouped: dict[tuple[str, int], list[Entry]] = {}
    counts: dict[str, int] = {}
    for entry in order_entries(order):
        place = entry.index[0] if SECTIONS[entry.section].repeated else 0
        grouped.setdefault((entry.section, place), []).append(entry)
        counts[entry.section] = place + 1
    for (code, place), entries in grouped.items():
        heading = words.heading(heading_code(code, order), place + 1, counts[code])
        yield Block(code, heading, tuple(_shown(entries, words)))


def _shown(entries: Iterable[Entry], words: Language) -> Iterator[Shown]:
    for entry in entries:
        label = words.label(SECTIONS[entry.section], entry.field)
        yield Shown(entry.field, label, _text(entry, words))


def _numbers(block: Block) -> tuple[Shown, ...]:
    return tuple(shown for shown in block.fields if shown.name.endswith("_number"))


def _customer(order: Order, blocks: Mapping[str, Block], words: Language) -> Iterator[Shown]:
    """Who bought: the name, then what the account says, then where to call, of whichever address has it."""
    labels = words.labels["address"]
    theirs = (order.delivery, order.billing)
    for name, get in (("company", "company"), ("name", "full_name"), ("email", "email"), ("phone", "phone")):
        stated = order.customer.email if name == "email" else None
        found = stated or next((text for address in theirs if (text := getattr(address, get))), None)
        if found:
            yield Shown(name, labels[name], found)
    if "customer" in blocks:
        yield from (shown for shown in blocks["customer"].fields if shown.name not in ("email", "comments"))


def _place(code: str, address: Address, blocks: Mapping[str, Block], words: Language, note: str | None = None) -> Place:
    block = blocks[code]
    return Place(code, block.heading, address_lines(address, words), block.fields, note)


def _parcel(order: Order, blocks: Mapping[str, Block], words: Language) -> Place | None:
    address = ship_to(order)
    if address.is_empty():
        return None
    code = "hub" if order.ships_to_hub else "delivery"
    note = words.mail["ship_to_hub" if order.ships_to_hub else "ship_to_customer"]
    return _place(code, address, blocks, words, note)


def _end_customer(order: Order, blocks: Mapping[str, Block], words: Language) -> Place | None:
    if not order.ships_to_hub or order.delivery.is_empty():
        return None
    return _place("delivery", order.delivery, blocks, words, words.mail["end_customer"])


def _further_places(order: Order, blocks: Mapping[str, Block], words: Language) -> Iterator[Place]:
    seen = {"hub": order.hub, "delivery": order.delivery}
    for code in _FURTHER_PLACES:
        address: Address = getattr(order, code)
        if address.is_empty():
            continue
        same = next((blocks[other].heading for other, known in seen.items() if known == address), None)
        if same:
            yield Place(code, blocks[code].heading, (), (), same_as=same)
        else:
            yield _place(code, address, blocks, words)
        seen.setdefault(code, address)


def _item(line: LineItem, catalogue: Mapping[str, Article], words: Language) -> Item:
    known = catalogue.get(line.sku) if line.sku else None
    labels = words.labels["line"]
    details: list[Shown] = [Shown("attribute", pair.name or "", pair.value or "") for pair in line.attributes]
    for name in _OF_A_LINE[1:]:
        if text := getattr(line, name):
            details.append(Shown(name, labels[name], text))
    if line.back_order_date:
        details.append(Shown("back_order_date", labels["back_order_date"], line.back_order_date))
    return Item(
        sku=line.sku,
        own_sku=known.own_sku if known else None,
        name=line.name or line.description,
        own_name=known.name if known else None,
        details=tuple(details),
        marks=tuple(labels[name] for name in _MARKS_OF_A_LINE if getattr(line, name)),
        quantity=print_value(Kind.NUMBER, decimal_text(line.quantity), words),
        price=_money(line.unit_price_customer, words),
        total=_money(line_total(line), words),
        price_merchant=_money(line.unit_price, words),
    )


def _amounts(order: Order, words: Language) -> Iterator[Amount]:
    totals, labels = order.totals, words.labels["totals"]
    shown = {"total_customer", "charged"}
    for name in _AMOUNTS:
        shown |= {f"{name}_customer", name}
        customer, merchant = getattr(totals, f"{name}_customer", None), getattr(totals, name, None)
        if customer or merchant:
            yield Amount(labels[f"{name}_customer"], _money(customer, words), _money(merchant, words))
    for code, adjustments, sign in (("discount", order.discounts, -1), ("markup", order.markups, 1)):
        for number, adjustment in enumerate(adjustments, start=1):
            yield _adjustment(words.heading(code, number, len(adjustments)), adjustment, sign, words)
    if totals.total_customer:
        yield Amount(labels["total_customer"], _money(totals.total_customer, words), None, is_total=True)
    if totals.charged:
        yield Amount(labels["charged"], _money(totals.charged, words), None, is_total=not totals.total_customer)
    for field in SECTIONS["totals"].fields:
        if field.name not in shown and (value := getattr(totals, field.name)):
            shown.add(field.name)
            if field.kind == Kind.MONEY:
                theirs = field.name.endswith("_customer") or value.currency == totals.customer_currency
                text = _money(value, words)
                yield Amount(labels[field.name], text if theirs else None, None if theirs else text)


def _adjustment(heading: str, adjustment: Adjustment, sign: int, words: Language) -> Amount:
    named = adjustment.name or adjustment.description or adjustment.coupon_code or adjustment.code
    units = Decimal(sign) * (Decimal(1) if adjustment.quantity is None else adjustment.quantity)
    customer, merchant = (
        _money(exact_product(money, units), words) if money else None
        for money in (adjustment.amount_customer, adjustment.amount)
    )
    return Amount(f"{heading}: {named}" if named else heading, customer, merchant)


def _shown_change(change: Change, previous: Order, order: Order, words: Language, withheld: bool) -> ShownChange:
    code, _, name = change.code.partition(".")
    section = SECTIONS[code]
    removed = change.kind == "removed" and not name
    count = len(getattr(previous if removed else order, section.path)) if section.repeated else 1
    number = change.index[0] + 1 if section.repeated else 1
    where = words.heading(heading_code(code, order), number, count)
    hidden = "…"
    if name:
        old, new = (
            None if value is None else _text(Entry(code, name, change.index, value), words)
            for value in (change.old, change.new)
        )
        where = f"{where} – {words.label(section, name)}"
        return ShownChange(where, hidden if withheld and old is not None else old, new)
    told = "; ".join(f"{shown.label}: {shown.text}" for shown in _shown(change.block, words))
    if removed:
        return ShownChange(where, hidden if withheld else told, None)
    return ShownChange(where, None, told)
