"""Prove: a claim whose seal covers exactly what was read is the notification, whole and authentic."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ion.contract import FIELDS, SECTIONS, Entry, Language, Notification, from_entries, name_at, print_value
from ion.order import Order
from ion.reading.claims import Claim, Place
from ion.seal import Key, verify_seal


@dataclass(frozen=True)
class Problem:
    """One thing a person should know.

    `code`: `contradiction`, `damage`, `unreadable`, `seal`, `key`, `sum`, `too-big`; `note` (somebody wrote something
    between the fields) and `repair` (what was done to read it), which leave the proof as it is. `field`: the field's
    name (`line[2].sku`) or None. `message`: a sentence. Values are quoted: they are for the merchant's own staff, never
    for logs.
    """

    code: str
    field: str | None
    message: str


@dataclass(frozen=True)
class Proved:
    """A notification and its order as the seal of `claim` proves them, and what was repaired to read them."""

    claim: Claim
    notification: Notification
    order: Order
    entries: tuple[Entry, ...]
    repairs: tuple[Problem, ...] = ()
    _printed: dict[str, dict[Place, str]] = field(default_factory=dict)
    pieces: dict[str, Any] = field(default_factory=dict)
    """what `agreement` keeps: by language tag, the blocks without blanks"""

    def printed(self, language: Language) -> dict[Place, str]:
        """Every value as it is printed in `language`, by its place."""
        if language.tag not in self._printed:
            self._printed[language.tag] = {
                (entry.code, entry.index): print_value(FIELDS[entry.code].kind, entry.value, language, entry.field)
                for entry in self.entries
            }
        return self._printed[language.tag]


Built = tuple[Notification, Order]


def prove(claim: Claim, keys: Sequence[Key], known: dict[frozenset[Entry], Built | None]) -> Proved | None:
    """The notification and order of a claim if the seal printed with it covers exactly what was read. `known`: what
    entries of other claims made; they are built once."""
    if not claim.seal or claim.broken or claim.twice or claim.unreadable or miscounted(claim, claim.entries):
        return None
    if verify_seal(claim.entries, claim.seal, keys) is None:
        return None
    built = claim.stated
    if built is None:
        stated = frozenset(claim.entries)
        if stated not in known:
            known[stated] = build(claim.entries)
        built = known[stated]
    return Proved(claim, *built, tuple(claim.entries)) if built else None


def build(values: Iterable[Entry]) -> Built | None:
    """The entries as a validated notification and order; None where they make none."""
    try:
        return _built(values)
    except ValueError:
        return None


def _built(values: Iterable[Entry]) -> Built:
    header, order = from_entries(values)
    return Notification.model_validate(header), Order.model_validate(order)


def why_no_order(values: Iterable[Entry]) -> Problem:
    """Which field keeps the entries from being a whole order."""
    try:
        _built(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = name_at(first["loc"], header=error.title == Notification.__name__)
        return Problem("unreadable", name, f"no whole order can be read: {first['msg']}")
    except ValueError as error:
        return Problem("unreadable", None, f"no whole order can be read: {error}")
    return Problem("unreadable", None, "no whole order can be read")


def miscounted(claim: Claim, values: Iterable[Entry]) -> list[str]:
    """Sections whose numbered headings say another number of blocks than there are in `values`."""
    if not claim.counts:
        return []
    blocks: dict[str, set[int]] = {}
    for entry in values:
        if SECTIONS[entry.section].repeated:
            blocks.setdefault(entry.section, set()).add(entry.index[0])
    return [section for section, said in claim.counts.items() if said != {len(blocks.get(section, ()))}]
