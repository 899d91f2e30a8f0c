"""Repair: several readings of a value are plausible where a mail program broke lines; the seal says which one is true.

A line that was broken anew is joined with a blank or without one: behind a hyphen or a slash, between ideographs,
inside a word too long for a line, nobody can tell. A line behind the last value of a block is part of it, or somebody's
note. And what one carrier lost another may show. A program does the same everywhere in a mail, so first each of a
few manners of joining is tried on the whole of it, then single places are changed, the likeliest first, within a
bounded number of tries. Only blanks, line joins and what belongs to a value are in question, never a character of it.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

from ion.contract import Entry, Unreadable, canonical_line, in_contract_order
from ion.contract.anchors import is_ideographic
from ion.reading.claims import Claim, Place, entry_at, place_name, read_text
from ion.reading.links import without_gateways
from ion.reading.proof import Problem, Proved, build, miscounted
from ion.seal import Key, normal_seal, sealed_letters

MAX_TRIES = 3000
MAX_SEALED_BYTES = 24_000_000  # octets digested for one notification: about a tenth of a second
MAX_READINGS = 24  # of one place
_MOST_DOUBTS = 12  # joins of one value that are tried both ways
_LONG_WORD = 50  # characters: together they may be a word too long for a line
_BREAK_BEHIND = "-\u2010\u2013\u2014/?&=%#_+~"


@dataclass(frozen=True)
class _Reading:
    """One value a place may have. `cost`: how unlikely; `repair`: what it takes, in words, "" for nothing."""

    value: str
    cost: int
    repair: str = ""


@dataclass(frozen=True)
class _Manner:
    """How a mail program broke lines: whether without a blank behind a hyphen, between ideographs, in long words."""

    hyphen: bool = True
    ideograph: bool = True
    long_word: bool = True

    def glues(self, left: str, right: str, width: int) -> bool | None:
        """True: join without a blank; False: with one; None: with one, and nothing else is plausible.

        `width`: the longest line of the value; a word is not cut before its line is full.
        """
        if is_ideographic(left[-1]) and is_ideographic(right[0]):
            return self.ideograph
        if len(left.rsplit(maxsplit=1)[-1]) + len(right.split(maxsplit=1)[0]) > _LONG_WORD and len(left) > width * 0.8:
            return self.long_word
        if left[-1] in _BREAK_BEHIND and len(left.rsplit(maxsplit=1)[-1]) > 1:
            return self.hyphen
        return None


_MANNERS = tuple(_Manner(*glued) for glued in product((True, False), repeat=3))


def repaired(claim: Claim, others: Sequence[Claim], keys: Sequence[Key]) -> Proved | None:
    """The notification of a visible claim in the one reading that its seal proves, if there is one.

    `others`: claims of the same notification from other carriers, which may show what this one lost.
    """
    if not claim.seal or claim.language is None or claim.twice:
        return None
    seal = normal_seal(claim.seal).encode(errors="replace")
    tries = MAX_TRIES
    for readings in _by_manner(claim, others):
        named = {reading.value for reading in readings.get(("proof.key_id", ()), ())}
        able = [key for key in keys if key.key_id in named]
        if not able or any(not plausible for plausible in readings.values()):
            return None
        entries = {place: [entry_at(place, one.value) for one in readings[place]] for place in readings}
        if miscounted(claim, (alike[0] for alike in entries.values())):
            return None
        chosen, tried = _search(entries, readings, seal, able, tries)
        tries -= tried
        if chosen is not None:
            built = build(entries[place][number] for place, number in chosen.items())
            values = in_contract_order(entries[place][number] for place, number in chosen.items())
            told = [(place, readings[place][number].repair) for place, number in chosen.items()]
            return Proved(claim, *built, tuple(values), _told(told)) if built else None
        if tries <= 0:
            return None
    return None


def _told(repairs: Sequence[tuple[Place, str]]) -> tuple[Problem, ...]:
    return tuple(Problem("repair", place_name(place), repair) for place, repair in repairs if repair)


def _by_manner(claim: Claim, others: Sequence[Claim]) -> Iterator[dict[Place, list[_Reading]]]:
    """The plausible readings of every place, the likeliest first, for each manner of breaking lines that differs.

    The first rounds try each manner alone; then all of them with single places changed.
    """
    seen: list[dict[Place, list[_Reading]]] = []
    for manner in _MANNERS:
        readings = {place: _plausible(claim, place, text, manner) for place, text in claim.located.items()}
        for other in others:
            if other.language is None:
                continue
            for place, value in other.read.items():
                known = readings.setdefault(place, [])
                if isinstance(value, str) and value not in {one.value for one in known}:
                    known.append(_Reading(value, 3, f"taken from the {other.carrier} part"))
        if readings not in seen:
            seen.append(readings)
    for readings in seen:
        yield {place: plausible[:1] for place, plausible in readings.items()}
    yield from seen


def _plausible(claim: Claim, place: Place, text: str, manner: _Manner) -> list[_Reading]:
    if "\n" not in text and not isinstance(claim.read[place], Unreadable) and without_gateways(text) == text:
        return [_Reading(str(claim.read[place]), 0)]
    lines = [line.strip() for line in text.split("\n") if line.strip()] or [""]
    texts: dict[str, tuple[int, str]] = {}
    for kept in range(len(lines), 0, -1):
        if kept < len(lines) and place not in claim.closing:
            break
        left_out = f"a text behind it is no part of it: {' '.join(lines[kept:])!r}" if kept < len(lines) else ""
        for joined, changes, without in _joined(lines[:kept], manner):
            repair = left_out or ("lines were joined without a blank" if without else "")
            texts.setdefault(joined, (changes + (2 if left_out else 0), repair))
            if (linked := without_gateways(joined)) != joined:
                texts.setdefault(linked, (changes + 1, "an address that a gateway rewrote was put back"))
    readings: dict[str, _Reading] = {}
    assert claim.language is not None
    for joined, (cost, repair) in texts.items():
        value = read_text(place, joined, claim.language)
        if not isinstance(value, Unreadable) and value not in readings:
            readings[value] = _Reading(value, cost, repair)
    return sorted(readings.values(), key=lambda one: one.cost)[:MAX_READINGS]


def _joined(lines: Sequence[str], manner: _Manner) -> Iterator[tuple[str, int, bool]]:
    """Lines as one text: in this manner, then with one or two of the doubtful joins the other way; how many were
    changed so, and whether any line was joined without a blank."""
    width = max(map(len, lines[:-1]), default=0)
    glued = [manner.glues(left, right, width) for left, right in pairwise(lines)]
    doubtful = [place for place, glue in enumerate(glued) if glue is not None]
    for changes in range(3):
        for changed in combinations(doubtful[:_MOST_DOUBTS], changes):
            text, without = lines[0], False
            for place, line in enumerate(lines[1:]):
                close = bool(glued[place]) != (place in changed)
                text += line if close else f" {line}"
                without |= close
            yield text, changes, without


def _search(
    entries: dict[Place, list[Entry]],
    readings: dict[Place, list[_Reading]],
    seal: bytes,
    keys: Sequence[Key],
    most: int,
) -> tuple[dict[Place, int] | None, int]:
    """The choice of one reading per place that the seal proves, and how many were tried."""
    order = in_contract_order(alike[0] for alike in entries.values())
    places: list[Place] = [(entry.code, entry.index) for entry in order]
    lines = [[canonical_line(entry) for entry in entries[place]] for place in places]
    octets = [alike[0] for alike in lines]
    size = sum(map(len, octets)) + 1
    most = min(most, max(1, MAX_SEALED_BYTES // size))
    changes = sorted(
        (
            (readings[place][number].cost, row, number)
            for row, place in enumerate(places)
            for number in range(1, len(lines[row]))
        ),
    )
    tried = 0
    for count in range(4):
        for changed in combinations(changes, count):
            rows = {row: number for _, row, number in changed}
            if len(rows) < count:
                continue
            if tried >= most:
                return None, tried
            tried += 1
            text = list(octets)
            for row, number in rows.items():
                text[row] = lines[row][number]
            canonical = b"".join(text)
            for key in keys:
                if hmac.compare_digest(sealed_letters(canonical, key).encode(), seal):
                    return {place: rows.get(row, 0) for row, place in enumerate(places)}, tried
    return None, tried


def with_repair(proved: Proved, repair: str | None) -> Proved:
    """`proved`, telling what was done to the body before it was read."""
    if repair is None:
        return proved
    return replace(
        proved, repairs=(Problem("repair", None, f"the {proved.claim.carrier} part: {repair}"), *proved.repairs)
    )
