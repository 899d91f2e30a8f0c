"""Corrections: what a person types in place of what was read, each text checked by the kind of its field, and the order
that comes of it.

A field is named as in the problems of a notification: `delivery.city`, `line[2].sku`, `order.notes[1]`, from 1 on.
Numbers are read as the language writes them, `1.234,50 EUR` in German; without a language with a decimal point and
nothing between the thousands, `1234.50 EUR`. What could be meant in two ways is refused.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from ion.contract import (
    FIELDS,
    ORDER_SECTIONS,
    SECTIONS,
    Entry,
    Field,
    Kind,
    Language,
    Section,
    contract_order,
    from_entries,
    language,
    name_at,
    order_entries,
    print_value,
)
from ion.contract.changes import heading_code
from ion.contract.forms import pair_text
from ion.currencies import MINOR_DIGITS
from ion.errors import IonError
from ion.order import MAX_TEXT, PLATFORMS, Order, canonical_text, decimal_text, read_decimal

HARMLESS = ("note", "repair", "damage")
"""Codes of problems that leave the proof as it is: what was done to read a mail. Nobody has to answer for them."""

MAX_CHANGES = 1_000
_QUOTED = 80
_NEEDED = ("order.platform", "order.order_number", "line.quantity")
# Always shown, also where nothing was read: without them nothing can be entered in a shop.
_ALWAYS = (
    *("order.platform", "order.order_number", "customer.email"),
    *(f"delivery.{name}" for name in ("name", "address1", "address2", "city", "postal_code", "state", "country")),
    *("delivery.phone", "line.sku", "line.name", "line.quantity", "line.unit_price_customer", "totals.total_customer"),
)
_DATES = {"birth_date", "back_order_date", "estimated_delivery_date", "delivery_date_from", "delivery_date_to"}
_TIMES = {"created_time", "status_time"}
_CURRENCIES = {"merchant_currency", "customer_currency"}
_CODES = [f"{section.code}.{field.name}" for section in ORDER_SECTIONS for field in section.fields]
_PLACE = re.compile(r"([a-z_]+)(?:\[([0-9]{1,5})\])?(?:\.([a-z_0-9]+)(?:\[([0-9]{1,5})\])?)?")
_EMAIL = re.compile(r"[^\s@<>(),;:\\\"\[\]]+@[^\s@<>(),;:\\\"\[\]]+\.[^\s@<>(),;:\\\"\[\].]{2,}")

_Place = tuple[str, str, tuple[int, ...]]
"""Section, field and index of an `Entry`."""

Base = Order | Mapping[str, str] | None
"""What is corrected: an order, or canonical values by the names of their fields (`partial_values`), or nothing."""


@dataclass(frozen=True)
class Fault:
    """Why something typed cannot be taken. `field`: its name as it was given, or that of the field that lacks a value;
    `value`: what was typed, None where nothing was; `message`: a sentence that names both and what to type instead."""

    field: str
    value: str | None
    message: str


class CorrectionError(IonError):
    """Corrections that make no whole order. `faults`: all that is wrong, at least one. Nothing is kept."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in self.faults))


@dataclass(frozen=True)
class Changed:
    """One value that is another now: canonical texts, None where there was or is none."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Corrected:
    """The order that comes of corrections, and what differs, in the contract's order (at least one)."""

    order: Order
    changes: tuple[Changed, ...]


@dataclass(frozen=True)
class ShownField:
    """A field for a person to look at and to correct.

    `section`, `label`: as a notification of that language prints them; `value`: as it may be typed, None where nothing
    was read; `needed`: no order is whole without it; `in_doubt`: a problem names it that somebody has to answer for;
    `problems`: the sentences of all that name it, which say in which part of the mail it was found otherwise;
    `found_in`: the part that the value was read from (`json`, `html`, `text`), None where that is not known.
    """

    path: str
    section: str
    label: str
    kind: Kind
    value: str | None
    needed: bool
    in_doubt: bool
    problems: tuple[str, ...]
    found_in: str | None


def corrected(base: Base, changes: Mapping[str, str], known: Language | None = None) -> Corrected:
    """The order that `base` is with each change made: the text typed for a field, by its name.

    An empty text takes the value away; for a block (`line[2]`) it takes the whole block away, and those behind it move
    up. The block behind the last one is a new one. Where `base` is no whole order, what a notification without a seal
    has to show is asked for, too. `known`: in whose way numbers, countries and words are typed.
    Raises CorrectionError with everything that is wrong, also where nothing would be changed.
    """
    if len(changes) > MAX_CHANGES:
        raise CorrectionError([Fault("order", None, f"{len(changes)} fields at once; at most {MAX_CHANGES} are taken")])
    before = _values(base)
    after, faults = dict(before), list[Fault]()
    for path, text in changes.items():
        try:
            _change(after, path, text, known)
        except _Wrong as wrong:
            quoted = f" {text[:_QUOTED]!r}" if text else ""
            faults.append(Fault(path, text, f"{path[:_QUOTED]}:{quoted} {wrong}"))
    differing = [place for place in {**before, **after} if before.get(place) != after.get(place)]
    typed = dict(after)  # by the numbers that blocks had when they were typed
    gaps = _gaps(before, after)
    if gaps:
        raise CorrectionError(faults + gaps)  # of values with gaps no order can be made
    order = _built(after, faults, whole=isinstance(base, Order))
    if not faults and not differing:
        faults.append(Fault("order", None, "nothing of what was typed differs from what is known; nothing to correct"))
    if faults or order is None:
        raise CorrectionError(faults)
    told = sorted((_entry(place) for place in differing), key=contract_order)
    return Corrected(order, tuple(Changed(one.name, before.get(one[:3]), typed.get(one[:3])) for one in told))


def partial_values(text: str | None) -> dict[str, str]:
    """The canonical values of a judgement's `partial`, by the names of their fields; what is no such value is left
    out."""
    try:
        stated = json.loads(text or "{}")
    except ValueError:
        return {}
    found = {}
    for name, value in stated.items() if isinstance(stated, dict) else ():
        try:
            section, field, _ = _place(name)
        except _Wrong:
            continue
        if isinstance(value, str) and field and _is_canonical(FIELDS[f"{section.code}.{field.name}"].kind, value):
            found[name] = value
    return found


def fields_of(
    base: Base, problems: Iterable[Mapping[str, Any]], known: Language | None = None, *, carrier: str | None = None
) -> tuple[ShownField, ...]:
    """The fields of an order, or of what could be read of one, in the contract's order: each that has a value, each
    that a problem names, and those without which nothing can be entered. `problems`: `{"code", "field", "message"}`
    each; `carrier`: the part of the mail that the order was read from."""
    told, values = list(problems), _values(base)
    shown, speaks = set(values), known or language("en")
    for problem in told:
        try:
            section, field, index = _place(problem["field"] or "")
        except _Wrong:
            continue  # of the header, or of none
        if field:
            shown.add((section.code, field.name, index))
    blocks = {code: {index[0] for at, _, index in shown if at == code} for code in SECTIONS if SECTIONS[code].repeated}
    for code in _ALWAYS:
        section_code, _, name = code.partition(".")
        places = [(place,) for place in blocks[section_code] or {0}] if section_code in blocks else [()]
        shown |= {(section_code, name, place) for place in places}
    count = {code: max(places, default=0) + 1 for code, places in blocks.items()}
    return tuple(
        _shown(place, values, told, speaks, carrier, count, base)
        for place in sorted(shown, key=lambda place: contract_order(_entry(place)))
    )


def concerns(field: str | None, path: str) -> bool:
    """Whether a problem of this field (or section, or block) is one of the field, section or block at `path`."""
    return field is not None and (field == path or path.startswith((f"{field}.", f"{field}[")))


def adds_up(order: Order) -> bool:
    """False where the order states a total that its parts do not add up to."""
    stated, total = order.totals.total_customer, order.total_of_parts()
    return stated is None or total is None or stated.amount == total


def typed_value(kind: Kind, value: str, known: Language, words: str = "") -> str:
    """A canonical value as it is typed in a language, so that `corrected` takes it back unchanged."""
    match kind:
        case Kind.TEXT | Kind.LINES:
            return value
        case Kind.PAIR:
            name, inner = json.loads(value)
            escaped = re.sub(r"([\\=])", r"\\\1", name or "")
            return f"{escaped} = {inner or ''}".strip()
        case Kind.MONEY if " " not in value:
            return print_value(Kind.NUMBER, value, known)  # nobody can type that its currency is not known
        case Kind.WORD:
            return known.words[words].get(value, value)
        case _:
            return print_value(kind, value, known, words)


class _Wrong(ValueError):
    """What is wrong with one text, as the end of a sentence that begins with the field and the text."""


def _entry(place: _Place, value: str = "") -> Entry:
    return Entry(place[0], place[1], place[2], value)


def _values(base: Base) -> dict[_Place, str]:
    if base is None:
        return {}
    if isinstance(base, Order):
        return {entry[:3]: entry.value for entry in order_entries(base)}
    found = {}
    for name, value in base.items():
        section, field, index = _place(name)
        if field:
            found[section.code, field.name, index] = value
    return found


def _change(values: dict[_Place, str], path: str, text: str, known: Language | None) -> None:
    section, field, index = _place(path)
    if field is None:
        if canonical_text(text):
            raise _Wrong("is a whole block; name one of its fields, or type nothing to take it away")
        for place in [place for place in values if place[0] == section.code and place[2][: len(index)] == index]:
            del values[place]
        return
    there = values.get((section.code, field.name, index))
    if there is not None and _is_unchanged(field, there, text, known):
        return  # what was read may break rules that hold for what is typed
    value = _typed(section, field, text, known) if canonical_text(text) else None
    if value is None:
        values.pop((section.code, field.name, index), None)
    else:
        values[section.code, field.name, index] = value


def _is_unchanged(field: Field, value: str, text: str, known: Language | None) -> bool:
    shown = typed_value(field.kind, value, known, field.name) if known else value
    return canonical_text(text, lines=True) == canonical_text(shown, lines=True)


def _place(path: str) -> tuple[Section, Field | None, tuple[int, ...]]:
    """The place that a name means; no field for that of a whole block. Raises _Wrong."""
    found = _PLACE.fullmatch(path)
    code = f"{found[1]}.{found[3]}" if found and found[3] else path
    section = next((one for one in ORDER_SECTIONS if found and one.code == found[1]), None)
    if found is None or section is None or (found[3] and code not in _CODES):
        if code in FIELDS:
            raise _Wrong("belongs to the notification, not to its order, and cannot be corrected")
        near = [f"order.{path}"] if f"order.{path}" in _CODES else get_close_matches(code, _CODES, 1)
        meant = f"; {_with_number(near[0])} is one" if near else ""
        raise _Wrong(f"is no field of an order{meant}; `ion show` and a notification's problems name them")
    numbers = [int(number) - 1 for number in (found[2], found[4]) if number]
    if -1 in numbers:
        raise _Wrong("is numbered from 1")
    if section.repeated != bool(found[2]):
        raise _Wrong(f"needs a number: {_with_number(code)}" if section.repeated else f"has no number: {code}")
    if not found[3]:
        if not section.repeated:
            raise _Wrong(f"is a section; name one of its fields, as {section.code}.{section.fields[0].name}")
        return section, None, tuple(numbers)
    field = FIELDS[code]
    if field.repeated != bool(found[4]):
        place = path.removesuffix(f"[{found[4]}]")
        raise _Wrong(f"needs a number: {place}[1]" if field.repeated else f"has one value only: {place}")
    return section, field, tuple(numbers)


def _with_number(code: str) -> str:
    section, _, name = code.partition(".")
    block = "[1]" if section in SECTIONS and SECTIONS[section].repeated else ""
    return (
        f"{section}{block}" + (f".{name}" if name else "") + ("[1]" if code in FIELDS and FIELDS[code].repeated else "")
    )


def _gaps(before: Mapping[_Place, str], after: dict[_Place, str]) -> list[Fault]:
    """Close the gaps that removals left in numbered blocks and lists; tell those that additions would leave."""
    faults: list[Fault] = []
    for section in ORDER_SECTIONS:
        if section.repeated:
            faults += _gap(section.code, before, after, lambda place, code=section.code: place[0] == code, 0)  # type: ignore[misc]
    listed = {(*place[:2], place[2][:-1]) for place in after if FIELDS[f"{place[0]}.{place[1]}"].repeated}
    for one in sorted(listed):
        name = _entry(one).name
        faults += _gap(name, before, after, lambda place, one=one: (*place[:2], place[2][:-1]) == one, -1)  # type: ignore[misc]
    return faults


def _gap(
    name: str,
    before: Mapping[_Place, str],
    after: dict[_Place, str],
    is_one: Callable[[_Place], bool],
    at: int,
) -> Iterator[Fault]:
    old = {place[2][at] for place in before if is_one(place)}
    new = sorted({place[2][at] for place in after if is_one(place)})
    added = [number for number in new if number not in old]
    following = max(old, default=-1) + 1
    behind = [number for number in added if number >= following]
    if behind and behind[-1] != following + len(behind) - 1:
        path = f"{name}[{behind[-1] + 1}]"
        yield Fault(path, None, f"{path}: there are {following} of them; the next one is {name}[{following + 1}]")
        return
    moved = {number: place for place, number in enumerate(new)}
    for place in sorted((place for place in after if is_one(place)), key=lambda place: place[2]):
        index = list(place[2])
        index[at] = moved[index[at]]
        if tuple(index) != place[2]:
            after[place[0], place[1], tuple(index)] = after.pop(place)


def _built(values: Mapping[_Place, str], faults: list[Fault], *, whole: bool) -> Order | None:
    """The order of these values; what keeps them from being one is added to `faults`."""
    told = {fault.field for fault in faults}
    if not whole:
        stated_sections = {place[0] for place in values}
        lacking = (
            ("line[1].quantity", "line" in stated_sections, "there is no line item; type at least one"),
            ("delivery.country", "delivery" in stated_sections, "there is no delivery address; type it"),
            ("totals.total_customer", ("totals", "total_customer", ()) in values, "there is no total; type it"),
        )
        faults += [
            Fault(field, None, f"{field}: {why}") for field, is_there, why in lacking if not (is_there or field in told)
        ]
    try:
        _, stated = from_entries(_entry(place, value) for place, value in values.items())
        return Order.model_validate(stated)
    except ValidationError as error:
        for one in error.errors(include_input=False, include_url=False):
            field = name_at(one["loc"]) or next((step for step in one["loc"] if isinstance(step, str)), "order")
            why = "is missing; type it" if one["type"] == "missing" else one["msg"].removeprefix("Value error, ")
            if field not in told:
                faults.append(Fault(field, None, f"{field}: {why}"))
    except ValueError as error:
        faults.append(Fault("order", None, f"no whole order comes of this: {error}"))
    return None


def _typed(section: Section, field: Field, text: str, known: Language | None) -> str | None:
    """The canonical value of what was typed; None where that takes it away. Raises _Wrong."""
    if len(text) > MAX_TEXT:
        raise _Wrong(f"has {len(text)} characters; at most {MAX_TEXT} are kept")
    plain = canonical_text(text, lines=field.kind == Kind.LINES) or ""
    match field.kind:
        case Kind.NUMBER:
            value = _number(plain, known)
            if field.name == "quantity" and read_decimal(value) <= 0:
                raise _Wrong(f"is no quantity; type a number above 0, or empty {section.code}[...] to take it away")
            return value
        case Kind.MONEY:
            return _money(plain, known)
        case Kind.COUNTRY:
            return _country(plain, known or language("en"))
        case Kind.FLAG:
            return _flag(plain, known)
        case Kind.PAIR:
            return _pair(plain)
        case Kind.WORD:
            return _word(field.name, plain, known or language("en"))
    if field.name == "email" and not _EMAIL.fullmatch(plain):
        raise _Wrong("is no mail address; type one as name@shop.example")
    if field.name in _CURRENCIES:
        return _currency(plain)
    if field.name in _DATES:
        _check_date(plain)
    if field.name in _TIMES:
        _check_time(plain)
    return plain


def _number(text: str, known: Language | None) -> str:
    decimal, group = (known.decimal, known.group) if known else (".", "")
    between = "(?!)" if not group else re.escape(group) if group.strip() else r"\s"
    form = rf"-?(?:[0-9]+|[0-9]{{1,3}}(?:{between}[0-9]{{3}})+)(?:{re.escape(decimal)}[0-9]+)?"
    if not re.fullmatch(form, text):
        raise _Wrong(f"is no number; type it as {print_value(Kind.NUMBER, '1234.5', known) if known else '1234.5'}")
    try:
        return decimal_text(read_decimal(re.sub(between, "", text).replace(decimal, ".")))
    except ValueError as error:
        raise _Wrong(f"cannot be kept: {error}") from error


def _money(text: str, known: Language | None) -> str:
    example = print_value(Kind.MONEY, "1234.5 EUR", known) if known else "1234.50 EUR"
    found = re.fullmatch(r"([A-Za-z]{3})\s*(\S.*)|(.*\S)\s*([A-Za-z]{3})", text)
    if found is None:
        raise _Wrong(f"has no currency of three letters; type amount and currency, as {example}")
    currency = _currency(found[1] or found[4])
    try:
        return f"{_number(found[2] or found[3], known)} {currency}"
    except _Wrong as wrong:
        raise _Wrong(f"is no amount with its currency; type it as {example}") from wrong


def _currency(text: str) -> str:
    code = text.upper()
    if code not in MINOR_DIGITS:
        raise _Wrong("is no currency; type its three letters (ISO 4217), as EUR")
    return code


def _country(text: str, known: Language) -> str:
    code = text.upper()
    if code in known.countries:
        return code
    named = {print_value(Kind.COUNTRY, one, known).casefold(): one for one in known.countries}
    named |= {name.casefold(): one for one, name in known.countries.items()}
    if text.casefold() not in named:
        raise _Wrong("is no country; type its two letters (ISO 3166-1), as DE")
    return named[text.casefold()]


def _flag(text: str, known: Language | None) -> str | None:
    said = text.casefold()
    if said in ("yes", "true", "1", (known or language("en")).words["flag"]["yes"].casefold()):
        return "1"
    if said in ("no", "false", "0"):
        return None
    raise _Wrong("is neither yes nor no; type one of them")


def _pair(text: str) -> str:
    found = re.fullmatch(r"((?:[^\\=]|\\.)*)=(.*)", text, re.DOTALL)
    if not found:
        raise _Wrong("is no name with its value; type them as name = value")
    name = re.sub(r"\\(.)", r"\1", found[1])
    try:
        return pair_text(canonical_text(name), canonical_text(found[2]))
    except ValueError as error:
        raise _Wrong("has neither a name nor a value; type name = value") from error


def _word(field: str, text: str, known: Language) -> str:
    words = known.words[field]
    meant = {**{word.casefold(): code for code, word in words.items()}, **{code.casefold(): code for code in words}}
    if text.casefold() in meant:
        return meant[text.casefold()]
    if field == "incoterm" and re.fullmatch("[A-Za-z]{3}", text):
        return text.upper()
    choice = PLATFORMS if field == "platform" else tuple(words)
    raise _Wrong(f"is not known; type one of {', '.join(choice)}")


def _check_date(text: str) -> None:
    if not _is_time(text, "[0-9]{4}-[0-9]{2}-[0-9]{2}"):
        raise _Wrong("is no date; type year, month and day, as 2027-02-24")


def _check_time(text: str) -> None:
    if not _is_time(text, "[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?Z?)?"):
        raise _Wrong("is no time; type a date, or date and time, as 2027-02-24 18:30")


def _is_time(text: str, form: str) -> bool:
    try:
        return re.fullmatch(form, text) is not None and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _is_canonical(kind: Kind, value: str) -> bool:
    try:
        match kind:
            case Kind.NUMBER:
                return decimal_text(read_decimal(value)) == value
            case Kind.MONEY:
                amount, _, currency = value.partition(" ")
                return decimal_text(read_decimal(amount)) == amount and bool(re.fullmatch("(?:[A-Z]{3})?", currency))
            case Kind.COUNTRY:
                return bool(re.fullmatch("[A-Z]{2}", value))
            case Kind.FLAG:
                return value == "1"
            case Kind.PAIR:
                name, inner = json.loads(value)
                return value == pair_text(name, inner) and {type(name), type(inner)} <= {str, type(None)}
            case _:
                return canonical_text(value, lines=kind == Kind.LINES) == value
    except (ValueError, TypeError):
        return False


def _shown(
    place: _Place,
    values: Mapping[_Place, str],
    problems: Iterable[Mapping[str, Any]],
    known: Language,
    carrier: str | None,
    count: Mapping[str, int],
    base: Base,
) -> ShownField:
    section, field = SECTIONS[place[0]], FIELDS[f"{place[0]}.{place[1]}"]
    path, value = _entry(place).name, values.get(place)
    naming = [one for one in problems if concerns(one["field"], path)]
    number = place[2][0] + 1 if section.repeated else 1
    heading = heading_code(section.code, base) if isinstance(base, Order) else section.code
    return ShownField(
        path=path,
        section=known.heading(heading, number, max(count.get(section.code, 1), number)),
        label=known.label(section, field.name),
        kind=field.kind,
        value=None if value is None else typed_value(field.kind, value, known, field.name),
        needed=f"{section.code}.{field.name}" in _NEEDED,
        in_doubt=any(one["code"] not in HARMLESS for one in naming),
        problems=tuple(one["message"] for one in naming),
        found_in=carrier if value is not None else None,
    )
