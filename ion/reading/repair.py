"""Repair: several readings of a value are plausible where a mail program broke lines; the seal says which one is true.

A line that was broken anew is joined with a blank or without one: behind a hyphen or a slash, between ideographs,
inside a word too long for a line, nobody can tell. A line behind the last value of a block is part of it, or somebody's
note. And what one carrier lost another may show. A program does the same everywhere in a mail, so first each of a
few manners of joining is tried on the whole of it, then single places are changed, the likeliest first, within a
bounded number of tries. Only blanks, line joins and what belongs to a value are in question, never a character of it;
but a word of the catalogue stands for a code, and may have lost letters.
"""

import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, groupby, pairwise, product
from operator import attrgetter
from typing import Literal

from ion.contract import (
    FIELDS,
    SECTIONS,
    Entry,
    Kind,
    Language,
    Unreadable,
    canonical_line,
    contract_order,
    print_value,
)
from ion.contract.anchors import LOST_LETTERS, is_ideographic
from ion.contract.forms import LINE_BREAK
from ion.order import MAX_TEXT
from ion.reading.claims import Claim, Place, entry_at, place_name, read_text
from ion.reading.compare import lost_letters
from ion.reading.links import without_gateways
from ion.reading.proof import Problem, Proved, build, miscounted
from ion.reading.streams import essence
from ion.seal import Key, normal_seal, sealed_letters

MAX_CLAIMS = 60  # of one message, in all the forms they were read in
MAX_TRIES = 6000
MAX_SEALED_BYTES = 40_000_000  # octets digested for one message: about a tenth of a second
MOST_CHANGES = 3  # places at which another reading than the likeliest is tried
MAX_READINGS = 24  # of one place
_FEW_BROKEN = (30, 100)  # values: up to so many, two joins of each are tried the other way, or one
_MOST_JOINED = 100_000  # values, in all manners together
_MOST_DOUBTS = 12  # joins of one value that are tried both ways
_MOST_ADDED = 12  # lines that somebody may have written behind a value
_MARGIN = 3  # columns that a full line may be shorter than the longest: indents
_LONG_WORD = 50  # characters: together they may be a word too long for a line
# What makes a text have more than one plausible reading.
_TIGHT_BREAK = re.compile(r"(?<!\S)/+(?=[^\s/])|(?<=[^\s/])/+(?!\S)")
_MENDABLE = re.compile(rf"[?\ufffd]|{_TIGHT_BREAK.pattern}|https?://")
_DOUBTFUL = re.compile(rf"\n|{_MENDABLE.pattern}")
_KEY = ("proof", "key_id", ())
_COUNTRY_CODE = re.compile(r"\(\s*([A-Z]{2})\s*\)\s*\Z")
_LOST_AND_BLANKS = f"{LOST_LETTERS} \t\r\u00a0\u202f\u3000"
_BREAK_BEFORE = "/?&=#"  # in the address of a page
_BREAK_BEHIND = "-\u2010\u2013\u2014/?&=%#_+~"


@dataclass(frozen=True)
class _Reading:
    """One value a place may have. `line`: as it is sealed; `cost`: how unlikely; `repair`: what it takes, in words, ""
    for nothing."""

    value: str
    line: bytes
    cost: int
    repair: str = ""


def _reading(place: Place, value: str, cost: int, repair: str = "") -> _Reading:
    return _Reading(value, canonical_line(entry_at(place, value)), cost, repair)


@dataclass(frozen=True)
class _Manner:
    """How a mail program broke lines: whether without a blank behind a hyphen, between ideographs, in long words (at
    the end of full lines, of any line after two programs of different widths, of none); whether a `?` at the end of a
    value stands for a blank that a charset lost; and whether a slash at the edge of a word was one between blanks."""

    lost_blanks: bool = False
    tight_breaks: bool = False
    hyphen: bool = True
    ideograph: bool = True
    long_word: Literal["full", "any", "none"] = "full"

    def glues(self, left: str, right: str, *, full: bool, word: int) -> bool | None:
        """True: join without a blank; False: with one; None: with one, and nothing else is plausible.

        `full`: the left line is as long as any, without which no program cuts a word; `word`: letters of the word that
        ends in it, those of the lines before it included.
        """
        if LINE_BREAK in (left, right):
            return None
        if is_ideographic(left[-1]) and is_ideographic(right[0]):
            return self.ideograph
        before, behind = left.rsplit(maxsplit=1)[-1], right.split(maxsplit=1)[0]
        if len(before) > 1 and (before[-1] in _BREAK_BEHIND or (behind[0] in _BREAK_BEFORE and "." in before)):
            return self.hyphen
        if word + len(behind) > _LONG_WORD:
            return full if self.long_word == "full" else self.long_word == "any"
        return None


_LONG_WORDS: tuple[Literal["full", "any", "none"], ...] = ("full", "any", "none")
_NO_YES, _YES_NO = (False, True), (True, False)
_MANNERS = tuple(_Manner(*chosen) for chosen in product(_NO_YES, _NO_YES, _YES_NO, _YES_NO, _LONG_WORDS))


@dataclass
class Budget:
    """What the repairs of one message may still cost, and what was found by the way: its claims are much alike."""

    claims: int = MAX_CLAIMS
    tries: int = MAX_TRIES
    octets: int = MAX_SEALED_BYTES
    rows: dict[tuple[Place, str | None, str, bool], "_Row"] = field(default_factory=dict)
    """by place, text, language tag and closing or not"""

    def spend(self, octets: int) -> bool:
        """True if one more try over so many octets is within the budget."""
        self.tries -= 1
        self.octets -= octets
        return self.tries >= 0 and self.octets >= 0


def repaired(claim: Claim, others: Sequence[Claim], keys: Sequence[Key], budget: Budget) -> Proved | None:
    """The notification of a visible claim in the one reading that its seal proves, if there is one.

    `others`: claims of the same notification from other carriers, which may show what this one lost.
    """
    if not claim.seal or claim.language is None or claim.twice or claim.stated:
        return None
    budget.claims -= 1
    if budget.claims < 0:
        return None
    rows = _rows(claim, others, budget)
    doubtful = [row for row in rows if row.doubtful]
    # What is sure was tried already, all of it together, and proved nothing.
    if not doubtful or any(not row.sure for row in rows if not row.doubtful):
        return None
    if miscounted(claim, [row.entry for row in rows]):
        return None
    seal = normal_seal(claim.seal).encode(errors="replace")
    manners = _by_manner(rows)
    attempts: list[_Attempt] = []
    # First each manner alone, then all of them with one place changed, with two, with three.
    for count, (number, readings) in product(range(MOST_CHANGES + 1), enumerate(manners)):
        if count == 0:
            attempts.append(_Attempt(rows, readings, keys))
        found = attempts[number].search(seal, count, budget)
        if found is not None:
            chosen = dict(zip((row.place for row in doubtful), found, strict=True))
            values = [entry_at(row.place, (chosen.get(row.place) or row.sure[0]).value) for row in rows]
            built = build(values)
            told = [Problem("repair", place_name(place), one.repair) for place, one in chosen.items() if one.repair]
            return Proved(claim, *built, tuple(values), tuple(told)) if built else None
    return None


@dataclass(frozen=True)
class _Row:
    """One place of the notification, with its rank in the contract's order: `sure`, its one reading, or what it may
    read as in each manner (`value`), and what other carriers show there (`shown`)."""

    entry: Entry
    rank: tuple[object, ...]
    sure: list[_Reading]
    value: "_Value | None"
    shown: list[_Reading]
    doubtful: bool

    @property
    def place(self) -> Place:
        return self.entry.code, self.entry.index

    def plausible(self, manner: _Manner, width: int, most_changes: int) -> list[_Reading]:
        own = self.value.plausible(manner, width, most_changes) if self.value else self.sure
        if not self.shown:
            return own
        return [*own, *(one for one in self.shown if one.value not in {known.value for known in own})]


def _rows(claim: Claim, others: Sequence[Claim], known: Budget) -> list[_Row]:
    """All places that any of the carriers shows, in the contract's order."""
    assert claim.language is not None
    shown: dict[Place, list[_Reading]] = {}
    for other in others:
        for place, value in other.read.items():
            if isinstance(value, str) and claim.read.get(place) != value:
                shown.setdefault(place, []).append(_reading(place, value, 3, f"taken from the {other.carrier} part"))
    rows = []
    for place in (*claim.located, *(place for place in shown if place not in claim.located)):
        key = (place, claim.located.get(place), claim.language.tag, place in claim.closing)
        row = known.rows.get(key)
        if row is None:
            row = known.rows[key] = _row(claim, place)
        rows.append(replace(row, shown=shown[place], doubtful=True) if place in shown else row)
    return sorted(rows, key=attrgetter("rank"))


def _row(claim: Claim, place: Place) -> _Row:
    """What a claim itself shows at a place."""
    assert claim.language is not None
    text, plain = claim.located.get(place), claim.read.get(place)
    sure = [_reading(place, plain, 0)] if isinstance(plain, str) else []
    value = None
    if text is not None and len(text) <= MAX_TEXT and _DOUBTFUL.search(text):
        value = _Value(place, text, claim.language, closing=place in claim.closing)
    entry = entry_at(place, "")
    return _Row(entry, contract_order(entry), sure, value, [], doubtful=value is not None and not value.certain)


def _by_manner(rows: Sequence[_Row]) -> list[list[list[_Reading]]]:
    """The plausible readings of each doubtful place, the likeliest first, for each manner that makes a difference."""
    doubtful = [row for row in rows if row.doubtful]
    widths = [row.value.widths for row in rows if row.value]
    width = max((later for later, _ in widths), default=0) or max((first for _, first in widths), default=0)
    # The more values were broken, the less single ones can be tried: then only manners are.
    most_changes = sum(len(widths) <= few for few in _FEW_BROKEN)
    seen: list[list[list[_Reading]]] = []
    tight, lost = (any(getattr(row.value, trait) for row in doubtful if row.value) for trait in ("tight", "lost"))
    useful = [manner for manner in _MANNERS if (tight or not manner.tight_breaks) and (lost or not manner.lost_blanks)]
    for manner in useful[: max(1, _MOST_JOINED // len(doubtful))]:
        readings = [row.plausible(manner, width, most_changes) for row in doubtful]
        if all(readings) and readings not in seen:
            seen.append(readings)
    return seen


class _Value:
    """A located text, in lines, and what it may read as."""

    def __init__(self, place: Place, text: str, language: Language, *, closing: bool) -> None:
        self.place = place
        self._language, self._closing = language, closing
        self._lines = [line.strip() for line in text.split("\n") if line.strip()] or [""]
        section, _, name = place[0].partition(".")
        self._indent = len(language.label(SECTIONS[section], name)) + 2  # the label stands before the first line
        self._kept: dict[tuple[object, ...], list[_Reading]] = {}

    @property
    def widths(self) -> tuple[int, int]:
        """The lengths of the longest lines that were broken: of those behind the first one, and of the first one."""
        later = max(map(len, self._lines[1:-1]), default=0)
        return later, len(self._lines[0]) if len(self._lines) > 1 else 0

    @cached_property
    def lost(self) -> bool:
        """True where a mark for a lost letter stands at the end of a line."""
        return any(line.strip(_LOST_AND_BLANKS) != line for line in self._lines)

    @cached_property
    def plain(self) -> bool:
        """True where every line was broken at a blank, so that the manner makes no difference."""
        if self.tight or self.lost:
            return False
        word = 0
        for left, right in pairwise(self._lines):
            tail = left.rsplit(maxsplit=1)[-1]
            word = len(tail) + (word if tail == left else 0)
            if _Manner().glues(left, right, full=True, word=word) is not None:
                return False
        return True

    @cached_property
    def certain(self) -> bool:
        """True where the lines, joined with blanks, are the whole value: that is what was read already."""
        return self.plain and not self._closing and not any(map(_MENDABLE.search, self._lines))

    @cached_property
    def tight(self) -> bool:
        """True where a slash that could be a break in a value stands at the edge of a word."""
        return FIELDS[self.place[0]].kind == Kind.LINES and any(map(_TIGHT_BREAK.search, self._lines))

    def _full(self, number: int, width: int) -> bool:
        """True where a line is as long as lines are. The first one may have the label before it, or not."""
        length = len(self._lines[number])
        return length >= width - _MARGIN or (number == 0 and length + self._indent >= width - _MARGIN)

    def plausible(self, manner: _Manner, width: int, most_changes: int) -> list[_Reading]:
        """The readings in a manner of breaking lines at `width` columns, the likeliest first; with up to
        `most_changes` joins the other way."""
        if self.plain and self._kept:
            return next(iter(self._kept.values()))
        lines = self._lines
        if manner.lost_blanks:
            lines = [bare for bare in (line.strip(_LOST_AND_BLANKS) for line in lines) if bare] or [""]
        if manner.tight_breaks and self.tight:
            lines = [_loosened(line).strip() for line in lines]
        glued: list[bool | None] = []
        word = 0
        for number, (left, right) in enumerate(pairwise(lines)):
            tail = left.rsplit(maxsplit=1)[-1]
            begun = bool(glued and glued[-1]) and tail == left  # the word began in an earlier line
            word = len(tail) + (word if begun else 0)
            glued.append(manner.glues(left, right, full=self._full(number, width), word=word))
        key = (most_changes, manner.lost_blanks, manner.tight_breaks, *glued)
        if key not in self._kept:
            self._kept[key] = self._readings(lines, glued, most_changes)
        return self._kept[key]

    def _readings(self, lines: Sequence[str], glued: Sequence[bool | None], most_changes: int) -> list[_Reading]:
        texts: dict[str, tuple[int, str]] = {}
        for joined, changes, without in _joined(lines, glued, most_changes=most_changes):
            texts.setdefault(joined, (changes, "lines were joined without a blank" if without else ""))
            for other, told in _mended(joined, self.place, self._language):
                texts.setdefault(other, (changes + 1, told))
        if self._closing:
            for kept in range(len(lines) - 1, max(0, len(lines) - 1 - _MOST_ADDED), -1):
                told = f"a text behind it is no part of it: {' '.join(lines[kept:])!r}"
                for joined, changes, _ in _joined(lines[:kept], glued[: kept - 1], most_changes=0):
                    texts.setdefault(joined, (changes + 2, told))
        readings: dict[str, _Reading] = {}
        for joined, (cost, repair) in sorted(texts.items(), key=lambda item: item[1][0])[: 2 * MAX_READINGS]:
            value = read_text(self.place, joined, self._language)
            if not isinstance(value, Unreadable) and value not in readings:
                readings[value] = _reading(self.place, value, cost, repair)
        return list(readings.values())[:MAX_READINGS]


def _joined(
    lines: Sequence[str], glued: Sequence[bool | None], *, most_changes: int
) -> Iterator[tuple[str, int, bool]]:
    """Lines as one text: as said in `glued`, then with one or two of the doubtful joins the other way; how many were
    changed so, and whether any line was joined without a blank."""
    doubtful = [place for place, glue in enumerate(glued) if glue is not None]
    for changes in range(most_changes + 1):
        for changed in combinations(doubtful[:_MOST_DOUBTS], changes):
            text, without = [lines[0]], False
            for place, line in enumerate(lines[1:]):
                close = bool(glued[place]) != (place in changed)
                text.append(line if close else f" {line}")
                without |= close
            yield "".join(text), changes, without


def _mended(text: str, place: Place, language: Language) -> Iterator[tuple[str, str]]:
    """What else one line of text may be, and what was done for it."""
    if any(mark in text for mark in LOST_LETTERS):
        for word in _known_words(text, place, language):
            if lost_letters(essence(text), essence(word)):
                yield word, f"letters that a charset lost in {word!r} were put back"
    if (linked := without_gateways(text)) != text:
        yield linked, "an address that a gateway rewrote was put back"
    if FIELDS[place[0]].kind == Kind.LINES and (loose := _loosened(text)) != text:
        yield loose, "a blank beside a line break was put back"


def _known_words(text: str, place: Place, language: Language) -> Iterable[str]:
    """What the catalogue prints for values that are a code: what it is called is no part of the value."""
    match FIELDS[place[0]].kind:
        case Kind.COUNTRY:
            named = _COUNTRY_CODE.search(text)
            return [print_value(Kind.COUNTRY, named[1], language)] if named else []
        case Kind.WORD:
            return language.words[place[0].partition(".")[2]].values()
        case Kind.FLAG:
            return [print_value(Kind.FLAG, "1", language)]
        case _:
            return []


def _loosened(text: str) -> str:
    return _TIGHT_BREAK.sub(lambda found: " / " * len(found[0]), text)


class _Attempt:
    """One manner tried on all doubtful places of a notification. `readings`: of each of them, the likeliest first."""

    def __init__(self, rows: Sequence[_Row], readings: Sequence[list[_Reading]], keys: Sequence[Key]) -> None:
        self._readings = readings
        tried = iter(readings)
        plausible = [next(tried) if row.doubtful else row.sure for row in rows]
        named = {
            one.value for row, these in zip(rows, plausible, strict=True) if row.entry[:3] == _KEY for one in these
        }
        self._keys = [key for key in keys if key.key_id in named]
        # What is sealed: that of the places which are sure in between, and that of each reading of the others.
        self._between = [b""]
        self._lines: list[list[bytes]] = []
        for sure, run in groupby(zip(rows, plausible, strict=True), key=lambda pair: not pair[0].doubtful):
            lines = [[one.line for one in these] for _, these in run]
            if sure:
                self._between[-1] = b"".join(line for (line,) in lines)
            else:
                self._lines += lines
                self._between += [b""] * len(lines)
        self._size = sum(map(len, self._between)) + sum(len(lines[0]) for lines in self._lines)
        self._changes = sorted(
            (one.cost, place, number)
            for place, these in enumerate(readings)
            for number, one in enumerate(these)
            if number
        )

    def search(self, seal: bytes, count: int, budget: Budget) -> list[_Reading] | None:
        """The choice of readings that the seal proves: at `count` places another one than the likeliest."""
        text = [b"".join(pair) for pair in zip(self._between, (*(lines[0] for lines in self._lines), b""), strict=True)]
        for changed in combinations(self._changes, count):
            chosen = {place: number for _, place, number in changed}
            if len(chosen) < count:
                continue
            if not self._keys or not budget.spend(self._size):
                return None
            tried = list(text)
            for place, number in chosen.items():
                tried[place] = self._between[place] + self._lines[place][number]
            canonical = b"".join(tried)
            if any(hmac.compare_digest(sealed_letters(canonical, key).encode(), seal) for key in self._keys):
                return [these[chosen.get(place, 0)] for place, these in enumerate(self._readings)]
        return None


def with_repair(proved: Proved, repair: str | None) -> Proved:
    """`proved`, telling what was done to the body before it was read."""
    if repair is None:
        return proved
    return replace(
        proved, repairs=(Problem("repair", None, f"the {proved.claim.carrier} part: {repair}"), *proved.repairs)
    )
