"""Canonical text: the one sequence of octets that stands for a notification and its order, and the seal is over.

An `Entry` is one stated value: its code, its index (position of the block, position in a list) and its canonical
text. Absent values have no entry. The encoding is injective: `code[index]:<octets of the value>:<value>\\n`, so no two
different orders share a text, whatever characters their values hold.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any, NamedTuple

from ion.contract.fields import FIELDS, HEADER_SECTIONS, ORDER_SECTIONS, SECTIONS, Field, Kind, Section
from ion.contract.forms import pair_text
from ion.contract.notification import Notification
from ion.order import Money, Order, decimal_text, read_decimal


class Entry(NamedTuple):
    """One stated value. `index`: () or (block,) or (position,) or (block, position), each from 0."""

    section: str
    field: str
    index: tuple[int, ...]  # type: ignore[assignment]  # a tuple's method of this name is of no use here
    value: str

    @property
    def code(self) -> str:
        return f"{self.section}.{self.field}"

    @property
    def name(self) -> str:
        """The entry's place, for people: `line[2].sku`."""
        section, rest = SECTIONS[self.section], list(self.index)
        block = f"[{rest.pop(0) + 1}]" if section.repeated else ""
        return f"{self.section}{block}.{self.field}" + "".join(f"[{place + 1}]" for place in rest)


def entries(notification: Notification, order: Order) -> Iterator[Entry]:
    """All stated values of both, in the contract's order."""
    for section in HEADER_SECTIONS:
        yield from _block(section, notification, ())
    yield from order_entries(order)


def order_entries(order: Order) -> Iterator[Entry]:
    """All stated values of the order, in the contract's order."""
    for section in ORDER_SECTIONS:
        part = getattr(order, section.path) if section.path else order
        if section.repeated:
            for place, element in enumerate(part):
                yield from _block(section, element, (place,))
        else:
            yield from _block(section, part, ())


def canonical_bytes(values: Iterable[Entry]) -> bytes:
    """The octets under the seal, UTF-8. The entries' order is the contract's, whatever order they come in."""
    return "".join(map(_line, in_contract_order(values))).encode()


def canonical_line(entry: Entry) -> bytes:
    """The octets of one entry; those of all, in the contract's order, are what the seal covers."""
    return _line(entry).encode()


def _line(entry: Entry) -> str:
    section, field, index, value = entry
    octets = len(value) if value.isascii() else len(value.encode())
    place = ",".join(map(str, index)) if index else ""
    return f"{section}.{field}[{place}]:{octets}:{value}\n"


def in_contract_order(values: Iterable[Entry]) -> list[Entry]:
    """The entries in the order in which they are sealed."""
    return sorted(values, key=contract_order)


def from_entries(values: Iterable[Entry]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the order as plain values, ready for `model_validate`. Raises ValueError for a gap in a list."""
    header: dict[str, Any] = {}
    order: dict[str, Any] = {}
    for entry in in_contract_order(values):
        code, name, places, value = entry
        section, field = SECTIONS[code], FIELDS[f"{code}.{name}"]
        block = header if code in _HEADER else order
        if section.repeated:
            block = _element(block.setdefault(section.path, []), places[0])
        elif section.path:
            block = block.setdefault(section.path, {})
        if field.repeated:
            listed = block.setdefault(name, [])
            if places[1 if section.repeated else 0] != len(listed):
                raise ValueError(f"{entry.name}: one before it is missing")
            listed.append(_plain(field.kind, value))
        else:
            block[name] = _plain(field.kind, value)
    return header, order


_HEADER = {section.code for section in HEADER_SECTIONS}
_SECTION_RANK = {code: rank for rank, code in enumerate(SECTIONS)}
# Field → the rank of its section, whether that is repeated, its own rank.
_RANK = {
    (section.code, field.name): (_SECTION_RANK[section.code], section.repeated, rank)
    for rank, (section, field) in enumerate(
        (section, field) for section in SECTIONS.values() for field in section.fields
    )
}


def contract_order(entry: Entry) -> tuple[int, int, int, tuple[int, ...]]:
    """The rank of an entry among those that are sealed, whatever its value."""
    section, repeated, rank = _RANK[entry[0], entry[1]]
    index = entry[2]
    return section, index[0] if repeated else 0, rank, index


def name_at(path: Sequence[str | int], *, header: bool = False) -> str | None:
    """The name of the field at a path in the order, or in the header: `("lines", 1, "quantity")` is `line[2].quantity`.
    None where no field is there."""
    names = [step for step in path if isinstance(step, str)]
    numbers = tuple(step for step in path if isinstance(step, int))
    for section in HEADER_SECTIONS if header else ORDER_SECTIONS:
        at = names[1:] if section.path else names
        if (not section.path or names[:1] == [section.path]) and at and f"{section.code}.{at[0]}" in FIELDS:
            return Entry(section.code, at[0], numbers, "").name
    return None


def _element(blocks: list[dict[str, Any]], place: int) -> dict[str, Any]:
    if place == len(blocks):
        blocks.append({})
    if place != len(blocks) - 1:
        raise ValueError(f"block {place + 1}: the one before it is missing")
    return blocks[place]


def _block(section: Section, part: Any, index: tuple[int, ...]) -> Iterator[Entry]:
    stated = vars(part)
    for field in section.fields:
        value = stated[field.name]
        if value is None or value is False:
            continue
        if field.repeated:
            for place, element in enumerate(value):
                yield Entry(section.code, field.name, (*index, place), _canonical(field, element))
        else:
            yield Entry(section.code, field.name, index, _canonical(field, value))


def _canonical(field: Field, value: Any) -> str:
    written = _WRITTEN.get(field.kind)
    return written(value) if written else str(value)


def _number(value: int | Decimal) -> str:
    return str(value) if isinstance(value, int) else decimal_text(value)


def _money(value: Money) -> str:
    amount = decimal_text(value.amount)
    return f"{amount} {value.currency}" if value.currency else amount


# How values are written that are not texts already.
_WRITTEN: dict[Kind, Callable[[Any], str]] = {
    Kind.NUMBER: _number,
    Kind.MONEY: _money,
    Kind.FLAG: lambda _: "1",
    Kind.PAIR: lambda pair: pair_text(pair.name, pair.value),
    Kind.INSTANT: lambda instant: instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
}


def _plain(kind: Kind, value: str) -> Any:
    match kind:
        case Kind.NUMBER:
            return read_decimal(value)
        case Kind.MONEY:
            amount, _, currency = value.partition(" ")
            return {"amount": amount, "currency": currency or None}
        case Kind.FLAG:
            return True
        case Kind.PAIR:
            name, inner = json.loads(value)
            return {"name": name, "value": inner}
        case _:
            return value
