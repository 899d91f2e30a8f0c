"""Compare: a carrier held against the order that another one proved, field by field.

Another well-formed value, or a value too many, is a contradiction and goes to a person. A value that is absent, cut off
or mangled in a way mail programs are known to is damage: noted, and the proof stands. A line that somebody wrote
between two blocks is a note.
"""

import re
from collections import Counter

from ion.contract import FIELDS, SECTIONS, Entry, Kind
from ion.contract.anchors import LOST_LETTERS
from ion.reading.claims import Claim, Place, place_name
from ion.reading.links import without_gateways
from ion.reading.proof import Problem, Proved, miscounted
from ion.reading.streams import essence, without_addresses
from ion.seal import normal_seal

_NUMBERS = (Kind.NUMBER, Kind.MONEY, Kind.INSTANT)
_DIGITS = re.compile(r"\d+")
_MOST_TOLD = 40  # lost fields of one part, told one by one
_LOST_BLANKS = 6  # marks that may stand for blanks around a value


def differences(claim: Claim, proved: Proved, *, agreeing_html: bool = False) -> list[Problem]:
    """How a carrier differs from the proved order. `agreeing_html`: for a text part whose mail also holds an HTML part
    that shows every value as proved."""
    if claim.garbled:
        return [Problem("damage", None, f"the {claim.carrier} part has lost letters that a charset does not have")]
    if claim.agrees:
        return []
    if claim.language is None:
        return _attachment_differences(claim, proved)
    expected = proved.printed(claim.language)
    problems = [
        Problem(
            "contradiction",
            place_name(place),
            f"the {claim.carrier} part shows {place_name(place)} twice with different values",
        )
        for place in sorted(claim.twice)
    ]
    problems += [
        Problem("contradiction", name, f"the {claim.carrier} part numbers them differently from the sealed order")
        for name in miscounted(claim, proved.entries)
    ]
    for place, text in claim.located.items():
        if place not in expected:
            message = f"the {claim.carrier} part shows {text!r}, which the sealed order does not have"
            problems.append(Problem("contradiction", place_name(place), message))
    foreign = _foreign_texts(claim)
    problems += _of_values(claim, expected, foreign=bool(foreign), agreeing_html=agreeing_html)
    problems += [
        Problem("note", None, f"the {claim.carrier} part holds a text behind a heading that is no part of it: {text!r}")
        for text in foreign
    ]
    if claim.seal and normal_seal(claim.seal) != normal_seal(proved.claim.seal or ""):
        problems.append(Problem("contradiction", "proof.seal", f"the {claim.carrier} part shows another seal"))
    return problems


def _of_values(claim: Claim, expected: dict[Place, str], *, foreign: bool, agreeing_html: bool) -> list[Problem]:
    """What is to be said of values that are absent, or not as they should be. `foreign`: there is a text in it that is
    nothing we print, which may be a value behind a label that somebody changed."""
    assert claim.language is not None
    last = None if claim.seal else next(reversed(claim.located), None)
    found: dict[Place, Problem | None] = {}
    lost: list[Place] = []
    for place, printed in expected.items():
        located = claim.located.get(place)
        if located is not None and "".join(located.split()) == "".join(printed.split()):
            continue
        if located is None or not essence(located):
            lost.append(place)
        else:
            found[place] = _difference(claim, place, located, printed, last=place == last, agreeing_html=agreeing_html)
    # So may a text that somebody seems to have added to the same block, and what stands behind the seal.
    noted = {_block(place) for place, problem in found.items() if problem and problem.code == "note"}
    behind = (
        {named for label in claim.language.finder.find(claim.rest) for named in label.meaning.labels.items()}
        if lost
        else set()
    )
    for place in lost:
        section, _, name = place[0].partition(".")
        changed = foreign or _block(place) in noted or (SECTIONS[section].labels, name) in behind
        told = f"the {claim.carrier} part has lost it"
        found[place] = Problem("contradiction" if changed else "damage", place_name(place), told)
    untold = set(lost[_MOST_TOLD:])
    problems = [problem for place in expected if place not in untold and (problem := found.get(place))]
    if untold:
        codes = {problem.code for place in untold if (problem := found[place])}
        code = "contradiction" if "contradiction" in codes else "damage"
        problems.append(Problem(code, None, f"the {claim.carrier} part has lost {len(untold)} more"))
    return problems


def _block(place: Place) -> tuple[str, int]:
    section = place[0].partition(".")[0]
    return section, place[1][0] if SECTIONS[section].repeated else 0


def _difference(
    claim: Claim, place: Place, located: str, printed: str, *, last: bool, agreeing_html: bool
) -> Problem | None:
    """What is to be said of one value that is not printed letter by letter as it should be."""
    name, part = place_name(place), f"the {claim.carrier} part"
    if _same(located, printed):
        return None
    # Of a number that was cut, another one is left.
    cut = last and (FIELDS[place[0]].kind not in _NUMBERS or _DIGITS.findall(located) == _DIGITS.findall(printed))
    if _mangled(located, printed, last=cut, agreeing_html=agreeing_html):
        return Problem("damage", name, f"{part} shows it mangled: {located!r}")
    if place in claim.closing and (added := _added_lines(located, printed)):
        return Problem("note", name, f"{part} holds a text behind it that is no part of the order: {added!r}")
    return Problem("contradiction", name, f"{part} shows {located!r}, the sealed order says {printed!r}")


def _attachment_differences(claim: Claim, proved: Proved) -> list[Problem]:
    if claim.broken:
        return [Problem("damage", None, f"the attachment cannot be read: {claim.broken}")]
    said = {(entry.code, entry.index): entry.value for entry in claim.entries}
    expected = {(entry.code, entry.index): entry.value for entry in proved.entries}
    places = [place for place in (*expected, *said) if said.get(place) != expected.get(place)]
    return [
        Problem(
            "contradiction",
            place_name(place),
            f"the attachment says {said.get(place)!r}, the sealed order says {expected.get(place)!r}",
        )
        for place in dict.fromkeys(places)
    ]


def disagreements(claims: list[Claim]) -> list[Problem]:
    """Fields on which two carriers of one unproved notification differ: where the change was made."""
    problems = []
    first = claims[0]
    said = {(entry.code, entry.index): entry.value for entry in first.entries}
    for other in claims[1:]:
        for entry in other.entries:
            place = (entry.code, entry.index)
            if place in said and said[place] != entry.value:
                problems.append(_disagreement(first, said[place], other, entry))
    return problems


def _disagreement(first: Claim, value: str, other: Claim, entry: Entry) -> Problem:
    message = f"the {first.carrier} part says {value!r}, the {other.carrier} part {entry.value!r}"
    return Problem("contradiction", entry.name, message)


def _foreign_texts(claim: Claim) -> list[str]:
    """The texts behind headings that are no phrases of the catalogue.

    A merchant's template may say something there. But where a field is lost as well, it may be that field's value
    behind a label that somebody changed.
    """
    assert claim.language is not None
    phrases = sorted((essence(phrase) for phrase in claim.language.mail.values()), key=len, reverse=True)
    found = []
    for text in claim.unread:
        rest = essence(text)
        for phrase in phrases:
            rest = rest.replace(phrase, "")
        if rest:
            found.append(" ".join(text.split())[:300])
    return found


def _same(located: str, printed: str) -> bool:
    """True for two texts a person reads as one: but for blanks, the marks and the links that clients add, and for
    addresses that gateways rewrote."""
    true = essence(printed)  # an override that turns characters around is part of what a person sees
    if true in (essence(located), essence(without_addresses(located))):
        return True
    # A gateway rewrites what it takes for the address: all of it, or only the piece on one line.
    return true in (essence(without_gateways(located)), essence(without_gateways("".join(located.split()))))


def _added_lines(located: str, printed: str) -> str | None:
    """The lines that stand behind a value printed whole; None where it is not, or there are none."""
    lines = located.split("\n")
    true, seen = essence(printed), ""
    for kept, line in enumerate(lines[:-1], 1):
        seen += essence(line)
        if seen == true:
            return " ".join(" ".join(lines[kept:]).split())[:300] or None
        if len(seen) > len(true):
            return None
    return None


def _mangled(located: str, printed: str, *, last: bool, agreeing_html: bool) -> bool:
    """True for what clients do to a text without anybody editing it.

    A character that a charset lost becomes `?` or U+FFFD, one for it or for each of its octets (for a blank of another
    kind, too, which is no part of the value); a part that was cut
    ends in the middle of its last value or of the label behind it; a text part rebuilt from HTML loses a decimal mark
    that stood between two elements, if the HTML itself agrees.
    """
    seen, true = essence(located), essence(printed)
    if last and (true.startswith(seen) or re.match(r"\s+".join(map(re.escape, printed.split())) + r"\s", located)):
        return True
    if any(mark in seen and mark not in true for mark in LOST_LETTERS) and lost_letters(seen, true):
        return True
    marks_lost = "".join(f"{re.escape(char)}?" if char in ".," else re.escape(char) for char in true)
    return agreeing_html and re.fullmatch(marks_lost, seen) is not None


def lost_letters(seen: str, true: str) -> bool:
    """True where `seen` is `true` with letters beyond ASCII lost: each a mark, or a mark for each of its octets."""
    marks = sum(seen.count(mark) for mark in LOST_LETTERS)
    kept = "".join(letter for letter in seen if letter not in LOST_LETTERS)
    letters, left = (
        Counter(letter for letter in true if letter > "~"),
        Counter(letter for letter in kept if letter > "~"),
    )
    missing = (letters - left).total()
    ascii_alike = [letter for letter in kept if letter <= "~"] == [letter for letter in true if letter <= "~"]
    # A wide blank that a charset lost is a mark too, and no part of the value.
    return ascii_alike and left <= letters and missing <= marks and marks <= 4 * missing + _LOST_BLANKS
