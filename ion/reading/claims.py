"""Read, second half: what a body claims to be: the fields of each notification found in it.

A claim is what one carrier says: located texts per field, the values they read as, and the seal printed with them.
Nothing is believed here; `judge` proves or refuses. The grammar is the contract's: a label and its colon, then the
value up to the next label or heading; headings open sections and number repeated blocks.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from ion.contract import SECTIONS, Entry, Language, Notification, Unreadable, entries, languages, read_value
from ion.contract.fields import FIELDS
from ion.contract.languages import SEAL_LABEL
from ion.order import Order
from ion.reading.unwrap import Body
from ion.seal import SEAL_PATTERN

Place = tuple[str, tuple[int, ...]]
"""A field's code and its index: where a value stands."""

# Labels of one notification's language that a body must hold to count as a notification that lost its title.
_ENOUGH_LABELS = 5
MAX_BLOCKS = 100_000


@dataclass
class Claim:
    """What one carrier says about one notification.

    `located`: printed text per place (visible carriers); `entries`: what could be read; `unreadable`: field name →
    why; `order`, `notification`: None until they validate; `invalid`: why they do not.
    """

    carrier: str
    language: Language | None
    seal: str | None
    located: dict[Place, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    counts: dict[str, set[int]] = field(default_factory=dict)
    """section of numbered blocks → how many there are, as its headings say"""
    unread: list[str] = field(default_factory=list)
    """texts behind headings, which are prose"""
    complete: bool = True

    @property
    def order_number(self) -> str | None:
        for code in ("opening.order_number", "order.order_number"):
            for entry in self.entries:
                if entry.code == code:
                    return entry.value
        return None


def attached_claim(body: Body) -> Claim | None:
    """The claim of a JSON attachment `{"ion": 1, "notification": .., "order": .., "seal": ..}`; None: another file."""
    try:
        document: Any = json.loads(body.text)
    except (ValueError, RecursionError) as error:
        return _damaged_attachment(body.text, error)
    if not isinstance(document, dict) or document.get("ion") != 1 or not isinstance(document.get("seal"), str):
        return None
    claim = Claim("json", None, document["seal"])
    try:
        notification = Notification.model_validate(document.get("notification"))
        order = Order.model_validate(document.get("order"))
        claim.entries = list(entries(notification, order))
    except (ValidationError, RecursionError) as error:
        claim.unreadable["attachment"] = _first_error(error)
    return claim


def _damaged_attachment(text: str, error: Exception) -> Claim | None:
    """A claim that cannot be read, where a broken JSON text was one of ours; so that nobody's order is passed over."""
    if not re.search(r'"ion"\s*:\s*1\b', text) or '"notification"' not in text:
        return None
    seal = re.search(r'"seal"\s*:\s*"([^"]{1,60})"', text)
    claim = Claim("json", None, seal[1] if seal else None)
    claim.unreadable["attachment"] = f"it is no JSON: {error}"
    return claim


def visible_claims(stream: str, carrier: str) -> Iterator[Claim]:
    """The claims in a stream of visible text, in reading order, whatever languages they are in."""
    titles = [
        (found.start(), found.end(), language)
        for language in languages()
        for found in language.title_pattern.finditer(stream)
    ]
    titles.sort(key=lambda title: title[:2])
    if not titles:
        untitled = _untitled(stream, carrier)
        if untitled:
            yield untitled
        return
    ends = [start for start, _, _ in titles[1:]] + [len(stream)]
    claims = [
        _read_region(stream[start:end], language, carrier, titled=True)
        for (_, start, language), end in zip(titles, ends, strict=True)
    ]
    # Somebody who forwards may write the title in a note of their own; that alone is no notification.
    full = [claim for claim in claims if claim.seal or len(claim.located) >= _ENOUGH_LABELS]
    yield from full or (claim for claim in claims if len(claim.located) > 1)


def _untitled(stream: str, carrier: str) -> Claim | None:
    """A notification that lost its title: the language whose labels fill the stream, if any does."""
    anchors, best = max(
        (([found[0] for found in language.anchor_pattern.finditer(stream)], language) for language in languages()),
        key=lambda found: len(found[0]),
    )
    # Every shop's mail says "Name:" and "City:". A numbered heading or the heading of the proof only we print.
    ours = [text for text in anchors if re.search(r"\d", text) or best.identify(text).heading == "proof"]
    if len(anchors) < _ENOUGH_LABELS or not any(best.identify(text).heading for text in ours):
        return None
    return _read_region(stream, best, carrier, titled=False)


def _read_region(text: str, language: Language, carrier: str, *, titled: bool) -> Claim:
    """Walk the anchors of one notification and take the text between them.

    The region ends with the seal, or where the text does. An anchor that does not belong to the section it stands in is
    no anchor but text.
    """
    claim = Claim(carrier, language, None, complete=titled)
    section, block = ("opening", 0) if titled else ("", 0)
    current: Place | None = ("opening.order_number", ()) if titled else None
    start = 0
    repeats: dict[tuple[str, int], int] = {}
    for found in language.anchor_pattern.finditer(text):
        anchor = language.identify(found[0])
        group = SECTIONS[section].labels if section else None
        name = anchor.labels.get(group) if group else None
        if name is None and anchor.heading is None:
            continue
        if current:
            _take(claim, current, text[start : found.start()])
        else:
            claim.unread.append(text[start : found.start()])
        start, current = found.end(), None
        if name == SEAL_LABEL and section == "proof":
            seal = SEAL_PATTERN.match(text, _skip_blanks(text, start))
            claim.seal = seal[0] if seal else re.sub(r"\s+", " ", text[start : start + 40]).strip()
            break
        if name is not None:
            index: tuple[int, ...] = (block,) if SECTIONS[section].repeated else ()
            code = f"{section}.{name}"
            if FIELDS[code].repeated:
                repeats[code, block] = repeats.get((code, block), -1) + 1
                index = (*index, repeats[code, block])
            current = (code, index)
        else:
            section, block = anchor.heading or section, 0
            if anchor.heading and SECTIONS[section].repeated:
                block, count = _block_numbers(language, section, found[0])
                claim.counts.setdefault(section, set()).add(count)
    else:
        if current:
            _take(claim, current, text[start:])
            claim.complete = False
    _read_values(claim)
    return claim


def _skip_blanks(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _block_numbers(language: Language, section: str, heading: str) -> tuple[int, int]:
    """Which block a numbered heading opens, from 0, and of how many; in the order in which the catalogue says them."""
    numbers = [int(number) for number in re.findall(r"\d+", heading)]
    printed = language.headings[section]
    own, count = numbers if printed.index("{n}") < printed.index("{count}") else reversed(numbers)
    return min(max(own, 1), MAX_BLOCKS) - 1, count


def _take(claim: Claim, place: Place, text: str) -> None:
    text = text.strip()
    if place in claim.located and claim.located[place] != text:
        claim.twice.add(place_name(place))
    claim.located[place] = text


def place_name(place: Place) -> str:
    """A place as people are told of it: `line[2].sku`."""
    section, name = place[0].split(".", 1)
    return Entry(section, name, place[1], "").name


def _read_values(claim: Claim) -> None:
    assert claim.language is not None
    for place, text in claim.located.items():
        section, name = place[0].split(".", 1)
        try:
            value = read_value(FIELDS[place[0]].kind, text, claim.language, name)
        except Unreadable as error:
            claim.unreadable[place_name(place)] = str(error) if text else "it is empty"
            continue
        claim.entries.append(Entry(section, name, place[1], value))


def _first_error(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    return str(error)
