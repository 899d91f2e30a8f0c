"""Changes: what an order says otherwise than when it was told before, in the order of the contract.

Compared are the contract's entries, so what is told here is what the notification shows. Mails and exports tell it in
their own words. Elements that repeat (lines,
discounts, parcels, texts of a list) have no place of their own for people: where the first line is taken away, the
others are still the same lines. So elements are matched by what they say, the most telling first. What only moved is no
change: nobody has to correct anything for it.
"""

import json
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from ion.contract.canonical import Entry, order_entries
from ion.contract.fields import ORDER_SECTIONS, Field, Kind, Section
from ion.order import Order

_Element = TypeVar("_Element")
_Key = Callable[[_Element], Hashable | None]

# Section → fields by which two elements of it are known as one, the surest first; all of them have to be stated. A line
# id alone comes late: a platform may number lines anew, and then every line behind a removed one would look changed.
_ALIKE: dict[str, tuple[tuple[str, ...], ...]] = {
    "line": (("line_id", "sku"), ("sku", "option_id"), ("sku",), ("line_id",), ("product_id",), ("name",)),
    "discount": (("code", "line_id"), ("coupon_code", "line_id"), ("code",), ("coupon_code",), ("name",)),
    "markup": (("code", "line_id"), ("code",), ("name",)),
    "payment_part": (("method_id",), ("method_name",), ("type_code",)),
    "breakdown": (("borne_by", "in_currency_of"),),
    "parcel": (("number",), ("code",), ("url",)),
    "document": (("reference",), ("url",), ("type_code",), ("type_name",)),
}


@dataclass(frozen=True)
class Change:
    """One thing that is another now.

    `code`: of a field (`delivery.city`), or of a section (`line`) where a whole block was added or removed. `index`: as
    in its entry (see `Entry`); the block's position is that in the new order, for a removed block in the previous one.
    `old`, `new`: canonical values, None where there was or is none; of a whole block both are None, and `block` holds
    its entries.
    """

    kind: Literal["added", "removed", "changed"]
    code: str
    index: tuple[int, ...]
    old: str | None = None
    new: str | None = None
    block: tuple[Entry, ...] = ()


def changes(previous: Order, order: Order) -> list[Change]:
    """All that `order` says otherwise than `previous`, in the contract's order; a removed block stands where it was."""
    before, after = _blocks(previous), _blocks(order)
    return [
        change
        for section in ORDER_SECTIONS
        for old, new in _matched_blocks(section, before[section.code], after[section.code])
        for change in _between(section, old, new)
    ]


def heading_code(code: str, order: Order) -> str:
    """The code of the heading that a section has in this order: without a hub the parcel goes to the customer."""
    return "delivery_direct" if code == "delivery" and not order.ships_to_hub else code


_Block = tuple[Entry, ...]


def _blocks(order: Order) -> dict[str, list[_Block]]:
    """The entries of each section, block by block."""
    grouped: dict[str, dict[int, list[Entry]]] = {section.code: {} for section in ORDER_SECTIONS}
    repeated = {section.code for section in ORDER_SECTIONS if section.repeated}
    for entry in order_entries(order):
        grouped[entry.section].setdefault(entry.index[0] if entry.section in repeated else 0, []).append(entry)
    return {code: list(map(tuple, blocks.values())) for code, blocks in grouped.items()}


def _matched_blocks(
    section: Section, olds: Sequence[_Block], news: Sequence[_Block]
) -> Iterator[tuple[_Block, _Block]]:
    """Blocks of the previous order beside those of the new one; an empty one where there is no such block."""
    if not section.repeated:
        if olds or news:
            yield olds[0] if olds else (), news[0] if news else ()
        return
    keys: list[_Key[_Block]] = [_content]
    keys += [lambda block, names=names: _identity(block, names) for names in _ALIKE[section.code]]  # type: ignore[misc]
    old_of = {new: old for old, new in _matched(olds, news, keys)}
    removed = deque(sorted(set(range(len(olds))) - set(old_of.values())))
    for place, block in enumerate(news):
        while removed and removed[0] <= place:
            yield olds[removed.popleft()], ()
        yield olds[old_of[place]] if place in old_of else (), block
    for place in removed:
        yield olds[place], ()


def _content(block: _Block) -> Hashable:
    """All that a block says, wherever it stands."""
    return tuple((entry.field, entry.index[1:], entry.value) for entry in block)


def _identity(block: _Block, names: Sequence[str]) -> Hashable | None:
    """What a block says in all fields of these names; None where one is not stated."""
    stated = {entry.field: entry.value for entry in block}
    return tuple(stated[name] for name in names) if all(name in stated for name in names) else None


def _matched(
    olds: Sequence[_Element], news: Sequence[_Element], keys: Sequence[_Key[_Element]]
) -> list[tuple[int, int]]:
    """Places of elements that are one: of the same key, by the first key that tells; each is matched once."""
    found: list[tuple[int, int]] = []
    left_olds, left_news = dict(enumerate(olds)), dict(enumerate(news))
    for key in keys:
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for new, element in left_news.items():
            waiting[key(element)].append(new)
        for old, element in tuple(left_olds.items()):
            value = key(element)
            if value is not None and waiting[value]:
                new = waiting[value].popleft()
                found.append((old, new))
                del left_olds[old], left_news[new]
    return found


def _between(section: Section, old: _Block, new: _Block) -> Iterator[Change]:
    """What differs between two blocks that are one. A block that stands alone is told of as a whole, unless it is one
    value."""
    if (section.repeated or len(old) + len(new) > 1) and not (old and new):
        kind: Literal["added", "removed"] = "added" if new else "removed"
        yield Change(kind, section.code, (old or new)[0].index[: int(section.repeated)], block=old or new)
        return
    block = new[0].index[: int(section.repeated)] if new else ()
    olds, news = (_by_field(entries) for entries in (old, new))
    for field in section.fields:
        if field.name in olds or field.name in news:
            moved = [entry._replace(index=(*block, *entry.index[len(block) :])) for entry in olds.get(field.name, ())]
            there = news.get(field.name, [])
            yield from _of_a_list(field, moved, there) if field.repeated else _of_a_value(moved, there)


def _by_field(block: _Block) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in block:
        found.setdefault(entry.field, []).append(entry)
    return found


def _of_a_value(olds: Sequence[Entry], news: Sequence[Entry]) -> Iterator[Change]:
    old, new = olds[0] if olds else None, news[0] if news else None
    if (old.value if old else None) != (new.value if new else None):
        yield _change(old, new)


def _of_a_list(field: Field, olds: Sequence[Entry], news: Sequence[Entry]) -> Iterator[Change]:
    keys: list[_Key[Entry]] = [lambda entry: entry.value]
    if field.kind == Kind.PAIR:
        keys.append(lambda entry: json.loads(entry.value)[0])
    new_of = dict(_matched(olds, news, keys))
    matched = set(new_of.values())
    yield from (
        _change(olds[old], news[new]) for old, new in sorted(new_of.items()) if olds[old].value != news[new].value
    )
    yield from (_change(old, None) for place, old in enumerate(olds) if place not in new_of)
    yield from (_change(None, new) for place, new in enumerate(news) if place not in matched)


def _change(old: Entry | None, new: Entry | None) -> Change:
    kind: Literal["added", "removed", "changed"] = "changed" if old and new else "added" if new else "removed"
    at = new or old
    assert at is not None
    return Change(kind, at.code, at.index, old.value if old else None, new.value if new else None)
