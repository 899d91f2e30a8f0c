"""Which of our orders a shop's orders are: told by our number in them, or by what only one order can be.

    pair         somebody says so
    number       one of our order numbers stands in the shop's order as a word of its own
    combination  same customer's address, same total in the same currency, same articles, and no second order on
                 either side of which that could be said; the shop's is not older than ours
    anything else is not matched, with the reason

Nothing is written here; whoever asked decides what comes of it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from ion.shop_orders import NumberPair, ShopOrder
from ion.store import KnownOrder, OrderState, folded_number

Outcome = Literal["match", "known", "conflict", "unmatched"]

# Shorter ones, of digits alone, are also amounts, house numbers and days.
MIN_BARE_DIGITS = 6
# A shop's clock and zone may be off by a day, and staff may enter an order from a mail before it came here.
LEEWAY = timedelta(days=1)
# A slash or a point within a word belongs to it: `A/1234567` is another number than `1234567`.
_BETWEEN_WORDS = re.compile(r"[\s,;:|()\[\]{}<>\"'=&?!*#]+")
_NAMED_AT_MOST = 5

_Articles = frozenset[tuple[str, Decimal]]
_Combination = tuple[str, str, Decimal, _Articles]


@dataclass(frozen=True)
class Match:
    """What was found of a shop's order. `how`: `pair`, `number`, `combination`; `order`: ours, where there is one;
    `reason`: why it is in conflict or unmatched, without personal data; `replaceable`: a conflict with the number that
    our order is entered under, and with nothing else."""

    row: int
    shop_order_number: str
    outcome: Outcome
    how: str | None = None
    order: KnownOrder | None = None
    reason: str | None = None
    replaceable: bool = False


def match_pairs(pairs: Sequence[NumberPair], known: Iterable[KnownOrder]) -> tuple[Match, ...]:
    """What becomes of each pair. An order may also be named by its id, as `id:17`."""
    by_number: dict[str, dict[int, KnownOrder]] = defaultdict(dict)
    for order in known:
        for number in (order.order_number, order.merchant_order_number, f"id:{order.id}"):
            if number:
                by_number[folded_number(number)][order.id] = order
    said: dict[int, set[str]] = defaultdict(set)
    for pair in pairs:
        for order_id in by_number.get(folded_number(pair.order_number), {}):
            said[order_id].add(folded_number(pair.shop_order_number))
    taken = Counter(folded_number(pair.shop_order_number) for pair in pairs)

    def of(pair: NumberPair) -> Match:
        place = (pair.row, pair.shop_order_number)
        found = list(by_number.get(folded_number(pair.order_number), {}).values())
        if not found:
            return Match(*place, "unmatched", reason=f"there is no order {pair.order_number[:100]!r} here")
        if len(found) > 1:
            return Match(*place, "unmatched", reason=f"{pair.order_number[:100]!r} names {_listed(found)}")
        if len(said[found[0].id]) > 1:
            return Match(*place, "conflict", "pair", found[0], "the file gives this order several numbers")
        if taken[folded_number(pair.shop_order_number)] > 1:
            return Match(*place, "conflict", "pair", found[0], "the file gives this number to several orders")
        return _entry(place, "pair", found[0])

    return tuple(of(pair) for pair in pairs)


def match_shop_orders(
    shop_orders: Sequence[ShopOrder], known: Sequence[KnownOrder], own_skus: Mapping[str, str]
) -> tuple[Match, ...]:
    """What each of a shop's orders is. `own_skus`: SKU as our orders state it → as the shop knows the article, where it
    differs."""
    numbers: dict[str, dict[int, KnownOrder]] = defaultdict(dict)
    entered: dict[str, dict[int, KnownOrder]] = defaultdict(dict)
    for order in known:
        for number in (order.order_number, order.merchant_order_number):
            folded = folded_number(number or "")
            if folded and not (folded.isdigit() and len(folded) < MIN_BARE_DIGITS):
                numbers[folded][order.id] = order
        if order.state == OrderState.ENTERED and order.shop_order_number:
            entered[folded_number(order.shop_order_number)][order.id] = order
    named = {shop.row: _named(shop, numbers) for shop in shop_orders}
    holding = {shop.row: entered.get(folded_number(shop.number), {}) for shop in shop_orders}
    claims: dict[int, list[ShopOrder]] = defaultdict(list)
    for shop in shop_orders:
        if not shop.cancelled:
            for order_id in {**named[shop.row], **holding[shop.row]}:
                claims[order_id].append(shop)
    unnamed = [shop for shop in shop_orders if not (shop.cancelled or named[shop.row] or holding[shop.row])]
    free = [order for order in known if order.state != OrderState.ENTERED and order.id not in claims]
    combined = _by_combination(unnamed, free, own_skus)

    def of(shop: ShopOrder) -> Match:
        place, its, held = (shop.row, shop.number), named[shop.row], holding[shop.row]
        if shop.cancelled and held:
            reason = f"{_listed(held.values())} is entered under it, and the shop has cancelled it"
            return Match(*place, "conflict", order=next(iter(held.values())), reason=reason)
        if shop.cancelled:
            return Match(*place, "unmatched", reason="the shop has cancelled it")
        if held and its.keys() - held.keys():
            others = [order for order_id, order in its.items() if order_id not in held]
            reason = f"{_listed(held.values())} is entered under it, and it names {_listed(others)}"
            return Match(*place, "conflict", order=next(iter(held.values())), reason=reason)
        if len(its) > 1 and not held:
            return Match(*place, "unmatched", reason=f"it names {_listed(its.values())}")
        order = next(iter({**held, **its}.values()), None)
        if order is None:
            return combined[shop.row]
        if len(claims[order.id]) > 1:
            also = ", ".join(one.number for one in claims[order.id] if one is not shop)[:100]
            return Match(*place, "conflict", order=order, reason=f"order {order.order_number} is also in {also}")
        return _entry(place, "number", order)

    return tuple(of(shop) for shop in shop_orders)


def _entry(place: tuple[int, str], how: str, order: KnownOrder) -> Match:
    if order.state != OrderState.ENTERED:
        return Match(*place, "match", how, order)
    if folded_number(order.shop_order_number or "") == folded_number(place[1]):
        return Match(*place, "known", how, order)
    reason = f"order {order.order_number} is entered as {order.shop_order_number}"
    return Match(*place, "conflict", how, order, reason, replaceable=True)


def _named(shop: ShopOrder, numbers: Mapping[str, Mapping[int, KnownOrder]]) -> dict[int, KnownOrder]:
    """Our orders whose number stands in the shop's order."""
    found: dict[int, KnownOrder] = {}
    for text in shop.texts:
        for word in _BETWEEN_WORDS.split(text):
            found |= numbers.get(folded_number(word.strip("./-")), {})
    return found


def _by_combination(
    shop_orders: Sequence[ShopOrder], free: Sequence[KnownOrder], own_skus: Mapping[str, str]
) -> dict[int, Match]:
    """What becomes of each shop's order that names none of ours, by its row."""
    ours: dict[_Combination, dict[int, KnownOrder]] = defaultdict(dict)
    for order in free:
        for skus in ({}, own_skus):
            combination = _combination(
                order.customer_email, order.currency, order.total,
                [(skus.get(sku, sku) if sku else None, quantity) for sku, quantity in order.articles],
            )  # fmt: skip
            if combination:
                ours[combination][order.id] = order
    shops: dict[_Combination, list[ShopOrder]] = defaultdict(list)
    of_shop: dict[int, _Combination] = {}
    for shop in shop_orders:
        combination = _combination(shop.email, shop.currency, shop.total, shop.articles or ())
        if combination:
            of_shop[shop.row] = combination
            shops[combination].append(shop)

    def of(shop: ShopOrder) -> Match:
        place = (shop.row, shop.number)
        combination = of_shop.get(shop.row)
        if combination is None:
            return Match(*place, "unmatched", reason="it names none of our orders, and lacks address, total or a SKU")
        candidates = list(ours.get(combination, {}).values())
        if not candidates:
            reason = "it names none of our orders, and none has the same customer, total and articles"
            return Match(*place, "unmatched", reason=reason)
        if len(candidates) > 1:
            return Match(*place, "unmatched", reason=f"same customer, total and articles as {_listed(candidates)}")
        (order,) = candidates
        if not _may_be_entry(shop, order):
            reason = f"same customer, total and articles as order {order.order_number}, but older, or of no known date"
            return Match(*place, "unmatched", reason=reason)
        same = {one.row: one for key, orders in ours.items() if order.id in orders for one in shops.get(key, ())}
        rivals = [one.number for row, one in same.items() if row != shop.row and _may_be_entry(one, order)]
        if rivals:
            reason = f"order {order.order_number} could also be {', '.join(rivals[:_NAMED_AT_MOST])}"
            return Match(*place, "unmatched", reason=reason)
        return Match(*place, "match", "combination", order)

    return {shop.row: of(shop) for shop in shop_orders}


def _may_be_entry(shop: ShopOrder, order: KnownOrder) -> bool:
    return shop.created_at is not None and shop.created_at >= order.first_at - LEEWAY


def _combination(
    email: str | None, currency: str | None, total: Decimal | None, articles: Sequence[tuple[str | None, Decimal]]
) -> _Combination | None:
    """What has to be the same; None where anything of it is not known."""
    quantities: dict[str, Decimal] = defaultdict(Decimal)
    for sku, quantity in articles:
        if sku is None:
            return None
        quantities[sku] += quantity
    if not (email and currency and quantities) or total is None:
        return None
    return email.strip().casefold(), currency.upper(), total, frozenset(quantities.items())


def _listed(orders: Iterable[KnownOrder]) -> str:
    """Orders by number and id, as a sentence takes them."""
    every = list(orders)
    named = ", ".join(f"{order.order_number} (id:{order.id})" for order in every[:_NAMED_AT_MOST])
    more = f" and {len(every) - _NAMED_AT_MOST} more" if len(every) > _NAMED_AT_MOST else ""
    return f"order {named}" if len(every) == 1 else f"{len(every)} orders: {named}{more}"
