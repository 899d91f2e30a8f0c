"""Read, second half: what a body claims to be: the fields of each notification found in it.

A claim is what one carrier says: located texts per field, the values they read as, and the seal printed with them.
Nothing is believed here; `judge` proves or refuses. The grammar is the contract's: a label and its colon, then the
value up to the next label or heading; headings open sections and number repeated blocks.
"""

import json
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from ion.contract import SECTIONS, Entry, Language, Notification, Unreadable, entries, read_value
from ion.contract.anchors import Known
from ion.contract.fields import FIELDS
from ion.contract.languages import SEAL_LABEL, languages, proof_finder, title_finder
from ion.order import Order
from ion.reading.streams import TURNED
from ion.reading.unwrap import Body
from ion.seal import GLUED_SEAL_PATTERN, SEAL_PATTERN

Place = tuple[str, tuple[int, ...]]
"""A field's code and its index: where a value stands."""

# Labels of one notification's language that a body must hold to count as a notification that lost its title.
_ENOUGH_LABELS = 5
MAX_BLOCKS = 100_000
_NAMES = {code: (section, name) for code in FIELDS for section, _, name in [code.partition(".")]}
_DOCUMENT = {"ion", "notification", "order", "seal", "shown"}
_BOLD_MARK_AT_THE_END = re.compile(r"(?<!\\)\*\s*\Z")


@dataclass
class Claim:
    """What one carrier says about one notification.

    `located`: printed text per place, with its line breaks (visible carriers); `closing`: places behind which another
    block, or nothing, follows; `twice`: places printed more than once with different texts; `counts`: section of
    numbered blocks → how many there are, as its headings say; `unread`: texts behind headings, which are prose;
    `complete`: title and seal were there; `repair`: what was done to the body before this was found in it.
    """

    carrier: str
    language: Language | None
    seal: str | None
    located: dict[Place, str] = field(default_factory=dict)
    closing: set[Place] = field(default_factory=set)
    twice: set[Place] = field(default_factory=set)
    counts: dict[str, set[int]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    complete: bool = True
    rest: str = ""
    """what stands behind the seal"""
    repair: str | None = None
    stated: tuple[Notification, Order] | None = None
    """what an attachment states, already validated"""
    broken: str | None = None
    """why an attachment cannot be read"""
    shown: dict[str, str] = field(default_factory=dict)
    """what an attachment vouches for: kind of body → imprint, and the `language` of both"""
    agrees: bool = False
    """shows what another carrier proved, by the cheap check: nothing was located"""
    garbled: bool = False
    """agrees, but for letters that a charset lost"""
    reads: dict[tuple[str, str, str], str | Unreadable] = field(default_factory=dict, repr=False, compare=False)
    """what texts read as, for the claims of one message together: by field, text and language tag"""

    @cached_property
    def read(self) -> dict[Place, str | Unreadable]:
        """What each located text reads as: its canonical value, or why it is none. Read when first asked for."""
        return {place: self._reading(place, text) for place, text in self.located.items()} if self.language else {}

    def _reading(self, place: Place, text: str) -> str | Unreadable:
        assert self.language is not None
        key = (place[0], text, self.language.tag)
        if key not in self.reads:
            self.reads[key] = read_text(place, text, self.language)
        return self.reads[key]

    @cached_property
    def entries(self) -> list[Entry]:
        """What could be read."""
        if self.stated:
            return list(entries(*self.stated))
        return [entry_at(place, value) for place, value in self.read.items() if isinstance(value, str)]

    @property
    def unreadable(self) -> dict[str, str]:
        """Field name → why it could not be read."""
        if self.broken:
            return {"attachment": self.broken}
        return {
            place_name(place): str(why) if self.located[place] else "it is empty"
            for place, why in self.read.items()
            if isinstance(why, Unreadable)
        }

    @property
    def shows(self) -> tuple[object, ...]:
        """All that was found in a body: equal for two claims that prove, repair and contradict alike."""
        found = (self.located, self.closing, self.twice, self.counts, self.unread)
        return (self.language, self.seal, *found, self.complete)

    @property
    def order_number(self) -> str | None:
        return self.value("opening.order_number") or self.value("order.order_number")

    def value(self, code: str) -> str | None:
        """The value of a field that stands once."""
        if self.stated:
            return next((entry.value for entry in self.entries if entry.code == code), None)
        value = self.read.get((code, ()))
        return value if isinstance(value, str) else None


def attached_claim(body: Body) -> Claim | None:
    """The claim of a JSON attachment, `{"ion": 1, "notification": .., "order": .., "seal": .., "shown": ..}`; None for
    any other file."""
    try:
        # Of what people see, nothing is passed over.
        document: Any = json.loads(body.text, object_pairs_hook=_each_once if body.kind == "text" else None)
    except (ValueError, RecursionError) as error:
        return _damaged_attachment(body.text, error)
    if not isinstance(document, dict) or document.get("ion") != 1 or not isinstance(document.get("seal"), str):
        return None
    if body.kind == "text" and not document.keys() <= _DOCUMENT:
        return None
    claim = Claim("json", None, document["seal"])
    shown = document.get("shown")
    if isinstance(shown, dict):
        claim.shown = {kind: imprint for kind, imprint in shown.items() if isinstance(imprint, str)}
    try:
        claim.stated = (
            Notification.model_validate(document.get("notification")),
            Order.model_validate(document.get("order")),
        )
    except (ValidationError, RecursionError) as error:
        claim.broken = _first_error(error)
    return claim


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it says something twice")
    return found


def _damaged_attachment(text: str, error: Exception) -> Claim | None:
    """A claim that cannot be read, where a broken JSON text was one of ours; so that nobody's order is passed over."""
    if not re.search(r'"ion"\s*:\s*1\b', text) or '"notification"' not in text:
        return None
    seal = re.search(r'"seal"\s*:\s*"([^"]{1,60})"', text)
    return Claim("json", None, seal[1] if seal else None, broken=f"it is no JSON: {error}")


def visible_claims(
    stream: str, carrier: str, *, glued: bool = False, anchors: dict[str, Known] | None = None
) -> list[Claim]:
    """The claims in a stream of visible text, in reading order, whatever languages they are in.

    `glued`: labels may stand directly behind a value. `anchors`: by language tag, what was found in other streams of
    one message, which are much alike.
    """
    anchors = {} if anchors is None else anchors
    titles = list(title_finder().find(stream, glued=glued))
    if not titles:
        return _untitled(stream, carrier, anchors)
    ends = [title.start for title in titles[1:]] + [len(stream)]
    claims = [
        _read_region(stream[title.end : end], title.meaning, carrier, anchors, titled=True, glued=glued)
        for title, end in zip(titles, ends, strict=True)
    ]
    # Somebody who forwards may write the title in a note of their own; that alone is no notification.
    full = [claim for claim in claims if claim.seal or len(claim.located) >= _ENOUGH_LABELS]
    if not full:  # or the title is in another language than the rest
        full = [found for found in _untitled(stream, carrier, anchors) if len(found.located) >= _ENOUGH_LABELS]
    return full or [claim for claim in claims if len(claim.located) > 1]


def is_glued(stream: str, anchors: dict[str, Known]) -> bool:
    """True where labels in a stream may stand directly behind a value or its bold mark. `anchors`: what
    `visible_claims` found in it."""
    if "*" in stream or any(joined for known in anchors.values() for _, _, joined in known.values()):
        return True
    return len(list(title_finder().find(stream, glued=True))) > len(list(title_finder().find(stream)))


def _untitled(stream: str, carrier: str, anchors: dict[str, Known]) -> list[Claim]:
    """A notification that lost its title: the language whose labels fill the stream, if any does.

    Every shop's mail says "Name:" and "City:"; a numbered heading or the heading of the proof only we print.
    """
    candidates = {known.tag: known for found in proof_finder().find(stream) for known in found.meaning}
    counted = [(sum(1 for _ in known.finder.find(stream)), known) for known in candidates.values()]
    if not counted:
        return []
    labels, best = max(counted, key=lambda found: found[0])
    return [_read_region(stream, best, carrier, anchors, titled=False)] if labels >= _ENOUGH_LABELS else []


def labelled_claim(stream: str, carrier: str, fewest: int) -> Claim | None:
    """What a stream says in which at least so many labels of one language stand, whatever became of its headings."""
    counted = ((sum(1 for _ in known.finder.find(stream)), known) for known in languages())
    labels, best = max(counted, key=lambda found: found[0])
    if labels < max(fewest, _ENOUGH_LABELS):
        return None
    return replace(_read_region(stream, best, carrier, {}, titled=False), rest=stream)


def _read_region(
    text: str, language: Language, carrier: str, anchors: dict[str, Known], *, titled: bool, glued: bool = False
) -> Claim:
    """Walk the anchors of one notification and take the text between them.

    The region ends with the seal, or where the text does. An anchor that does not belong to the section it stands in is
    no anchor but text.
    """
    claim = Claim(carrier, language, None, complete=titled)
    section, block = ("opening", 0) if titled else ("", 0)
    current: Place | None = ("opening.order_number", ()) if titled else None
    start = 0
    repeats: dict[tuple[str, int], int] = {}
    for found in language.finder.find(text, glued=glued, known=anchors.setdefault(language.tag, {})):
        anchor = found.meaning
        name = anchor.labels.get(SECTIONS[section].labels) if section else None
        if name is None and anchor.heading is None:
            continue
        if current:
            _take(claim, current, text[start : found.start], closing=name is None, glued=glued)
        else:
            claim.unread.append(text[start : found.start])
        start, current = found.end, None
        if name == SEAL_LABEL and section == "proof":
            pattern = GLUED_SEAL_PATTERN if glued else SEAL_PATTERN
            seal = pattern.match(text, _skip_blanks(text, start))
            claim.seal = seal[0] if seal else re.sub(r"\s+", " ", text[start : start + 40]).strip()
            claim.rest = text[start:]
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
                block, count = _block_numbers(language, section, text[found.start : found.end])
                claim.counts.setdefault(section, set()).add(count)
    else:
        if current:
            _take(claim, current, text[start:], closing=True, glued=glued)
            claim.complete = False
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


def _take(claim: Claim, place: Place, text: str, *, closing: bool, glued: bool) -> None:
    # A bold mark is told from a value's own by the edge of the word, which a glued label covers.
    text = _BOLD_MARK_AT_THE_END.sub("", text).strip() if glued else text.strip()
    if place in claim.located and claim.located[place] != text:
        claim.twice.add(place)
    claim.located[place] = text
    if closing:
        claim.closing.add(place)


def read_text(place: Place, text: str, language: Language) -> str | Unreadable:
    """The canonical value that `text` shows at `place`, or why it shows none."""
    code = place[0]
    if TURNED in text:
        return Unreadable("its characters are turned around")
    try:
        return read_value(FIELDS[code].kind, text, language, code.partition(".")[2])
    except Unreadable as error:
        return error


def entry_at(place: Place, value: str) -> Entry:
    section, name = _NAMES[place[0]]
    return Entry(section, name, place[1], value)


def place_name(place: Place) -> str:
    """A place as people are told of it: `line[2].sku`."""
    return entry_at(place, "").name


def _first_error(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    return str(error)
