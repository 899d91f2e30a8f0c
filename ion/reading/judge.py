"""Judge: from the claims of all carriers to one graded result per notification.

The first carrier the seal proves gives the order. Every other carrier of the same notification is then held against
it, field by field: another well-formed value, or a value too many, is a contradiction and goes to a person; a value
that is absent, cut off or mangled in a way clients are known to is damage, noted and harmless: the proof stands.
Nothing proved: a seal that does not verify is `review` whatever adds up; no seal at all is at most `consistent`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from ion.contract import FIELDS, ORDER_SECTIONS, SECTIONS, Entry, Notification, entries, from_entries, print_value
from ion.contract.fields import HEADER_SECTIONS
from ion.order import Order
from ion.reading.claims import Claim, Place, attached_claim, place_name, visible_claims
from ion.reading.streams import essence, forms, without_links
from ion.reading.unwrap import Body, TooBig, Unparsable, bodies
from ion.seal import Key, normal_seal, verify_seal

Grade = Literal["sealed", "consistent", "review", "none"]


@dataclass(frozen=True)
class Problem:
    """One thing a person should know. `code`: `contradiction`, `damage`, `unreadable`, `seal`, `key`, `sum`,
    `too-big`; `field`: the field's name (`line[2].sku`) or None; `message`: a sentence. Values are quoted: they are for
    the merchant's own staff, never for logs."""

    code: str
    field: str | None
    message: str


@dataclass(frozen=True)
class Judged:
    """One distinct notification found in a message, and what its content proves.

    `order` and `notification`: as proved, or as far as they could be read where the grade is `review`; None where no
    whole order could be read. `carrier`: what proved or gave it (`json`, `html`, `text`). `language`: tag of the
    printed language, None where only the attachment was read.
    """

    grade: Grade
    notification: Notification | None
    order: Order | None
    problems: tuple[Problem, ...]
    seal: str | None = None
    carrier: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class _Proved:
    claim: Claim
    notification: Notification
    order: Order
    key: Key


def read_message(raw: bytes, keys: Sequence[Key]) -> tuple[Judged, ...]:
    """Every distinct notification in a raw message, judged with the merchant's `keys`.

    Copies of one notification are one result. Empty for a mail without any. Does not raise on any input.
    """
    try:
        found = list(bodies(raw))
    except (TooBig, Unparsable, RecursionError) as error:
        code = "unreadable" if isinstance(error, Unparsable) else "too-big"
        return (Judged("review", None, None, (Problem(code, None, f"the message cannot be read: {error}"),)),)
    claims = [claim for body in found for claim in _claims(body, keys)]
    return tuple(_judge(group, keys) for group in _grouped(claims))


def _claims(body: Body, keys: Sequence[Key]) -> list[Claim]:
    """The claims of one body, in the form of its text that proves most; the plain form where none proves anything."""
    if body.kind == "json":
        attached = attached_claim(body)
        return [attached] if attached else []
    first: list[Claim] | None = None
    for form in forms(body.kind, body.text):
        claims = list(visible_claims(form, body.kind))
        if claims and all(_prove(claim, keys) for claim in claims):
            return claims
        first = claims if first is None else first
    return first or []


def _grouped(claims: list[Claim]) -> list[list[Claim]]:
    """Claims of one notification together: by their seal; those that lost it, by their order number."""
    groups: dict[str, list[Claim]] = {}
    for claim in claims:
        if claim.seal:
            groups.setdefault(normal_seal(claim.seal), []).append(claim)
    for claim in claims:
        if claim.seal:
            continue
        number = claim.order_number
        matching = [
            group for group in groups.values() if number is None or any(other.order_number == number for other in group)
        ]
        if len(matching) == 1 or (matching and number is not None):
            matching[0].append(claim)
        else:
            groups.setdefault(f"unsealed {number}", []).append(claim)
    return _joined(list(groups.values()))


def _joined(groups: list[list[Claim]]) -> list[list[Claim]]:
    """A damaged seal forms a group of its own; join it to the one other group of the same order number and key."""
    by_number: dict[tuple[str | None, str | None], list[list[Claim]]] = {}
    for group in groups:
        by_number.setdefault((group[0].order_number, _issued(group[0])), []).append(group)
    joined = [[claim for group in same for claim in group] for same in by_number.values()]
    # One attachment and one visible notification that agree on nothing: still the same mail, and what a person sees
    # there is not what the attachment says.
    attached = [group for group in joined if all(claim.carrier == "json" for claim in group)]
    visible = [group for group in joined if all(claim.carrier != "json" for claim in group)]
    if len(attached) == len(visible) == 1:
        joined = [group for group in joined if group not in (attached[0], visible[0])] + [attached[0] + visible[0]]
    return joined


def _issued(claim: Claim) -> str | None:
    return next((entry.value for entry in claim.entries if entry.code == "proof.issued_at"), None)


def _prove(claim: Claim, keys: Sequence[Key]) -> _Proved | None:
    """The notification and order of a claim if the seal printed with it covers exactly what was read."""
    if not claim.seal or claim.unreadable or claim.twice or _miscounted(claim, claim.entries):
        return None
    key = verify_seal(claim.entries, claim.seal, keys)
    if key is None:
        return None
    built = _build(claim)
    return _Proved(claim, *built, key) if built else None


def _build(claim: Claim) -> tuple[Notification, Order] | None:
    """The claim's entries as a validated notification and order; None where they make none."""
    try:
        return _built(claim)
    except ValueError:
        return None


def _built(claim: Claim) -> tuple[Notification, Order]:
    header, order = from_entries(claim.entries)
    return Notification.model_validate(header), Order.model_validate(order)


def _why_no_order(claim: Claim) -> Problem:
    """Which field keeps the claim's entries from being a whole order."""
    try:
        _built(claim)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = _field_of(error.title, first["loc"])
        return Problem("unreadable", field, f"no whole order can be read: {first['msg']}")
    except ValueError as error:
        return Problem("unreadable", None, f"no whole order can be read: {error}")
    return Problem("unreadable", None, "no whole order can be read")


def _field_of(model: str, path: Sequence[str | int]) -> str | None:
    """The name of the field at a path in the order or the header: `("lines", 1, "quantity")` is `line[2].quantity`."""
    names = [step for step in path if isinstance(step, str)]
    numbers = tuple(step for step in path if isinstance(step, int))
    for section in HEADER_SECTIONS if model == Notification.__name__ else ORDER_SECTIONS:
        at = names[1:] if section.path else names
        if (not section.path or names[:1] == [section.path]) and at and f"{section.code}.{at[0]}" in FIELDS:
            return Entry(section.code, at[0], numbers, "").name
    return None


def _judge(claims: list[Claim], keys: Sequence[Key]) -> Judged:
    claims = sorted(claims, key=lambda claim: ("json", "html", "text").index(claim.carrier))
    proved = next((proof for proof in (_prove(claim, keys) for claim in claims) if proof), None)
    if proved is None:
        return _unproved(claims, keys)
    problems: list[Problem] = []
    for claim in claims:
        if claim is not proved.claim:
            problems += _held_against(claim, proved, agreeing_html=_agreeing_html(claims, proved, claim))
    grade: Grade = "review" if any(problem.code == "contradiction" for problem in problems) else "sealed"
    language = next((claim.language.tag for claim in claims if claim.language), None)
    return Judged(
        grade, proved.notification, proved.order, tuple(problems), proved.claim.seal, proved.claim.carrier, language
    )


def _agreeing_html(claims: list[Claim], proved: _Proved, claim: Claim) -> bool:
    """True for a text part whose mail also holds an HTML part that shows every value as proved."""
    return claim.carrier == "text" and any(
        other.carrier == "html" and not _held_against(other, proved, agreeing_html=False) for other in claims
    )


def _held_against(claim: Claim, proved: _Proved, *, agreeing_html: bool) -> list[Problem]:
    """How a carrier differs from the proved order."""
    if claim.carrier == "json":
        return _attachment_against(claim, proved)
    assert claim.language is not None
    language, problems = claim.language, []
    expected: dict[Place, str] = {
        (entry.code, entry.index): print_value(FIELDS[entry.code].kind, entry.value, language, entry.field)
        for entry in entries(proved.notification, proved.order)
    }
    for name in sorted(claim.twice):
        problems.append(
            Problem("contradiction", name, f"the {claim.carrier} part shows {name} twice with different values")
        )
    for name in _miscounted(claim, list(entries(proved.notification, proved.order))):
        problems.append(
            Problem("contradiction", name, f"the {claim.carrier} part numbers them differently from the sealed order")
        )
    lost = "contradiction" if _foreign_text(claim) else "damage"
    for place, text in claim.located.items():
        if place not in expected:
            problems.append(
                Problem(
                    "contradiction",
                    place_name(place),
                    f"the {claim.carrier} part shows {text!r}, which the sealed order does not have",
                )
            )
    for place, printed in expected.items():
        located = claim.located.get(place)
        if located is not None and _same(located, printed):
            continue
        name = place_name(place)
        if located is None or not essence(located):
            problems.append(Problem(lost, name, f"the {claim.carrier} part has lost it"))
        elif _mangled(
            located, printed, last=not claim.seal and place == list(claim.located)[-1], agreeing_html=agreeing_html
        ):
            problems.append(Problem("damage", name, f"the {claim.carrier} part shows it mangled: {located!r}"))
        else:
            problems.append(
                Problem(
                    "contradiction",
                    name,
                    f"the {claim.carrier} part shows {located!r}, the sealed order says {printed!r}",
                )
            )
    if claim.seal and normal_seal(claim.seal) != normal_seal(proved.claim.seal or ""):
        problems.append(Problem("contradiction", "proof.seal", f"the {claim.carrier} part shows another seal"))
    return problems


def _attachment_against(claim: Claim, proved: _Proved) -> list[Problem]:
    if claim.unreadable:
        return [Problem("damage", None, f"the attachment cannot be read: {'; '.join(claim.unreadable.values())}")]
    said = {(entry.code, entry.index): entry.value for entry in claim.entries}
    expected = {(entry.code, entry.index): entry.value for entry in entries(proved.notification, proved.order)}
    places = [place for place in (*expected, *said) if said.get(place) != expected.get(place)]
    return [
        Problem(
            "contradiction",
            place_name(place),
            f"the attachment says {said.get(place)!r}, the sealed order says {expected.get(place)!r}",
        )
        for place in dict.fromkeys(places)
    ]


def _miscounted(claim: Claim, values: Sequence[Entry]) -> list[str]:
    """Sections whose numbered headings say another number of blocks than there are in `values`."""
    blocks: dict[str, set[int]] = {}
    for entry in values:
        if SECTIONS[entry.section].repeated:
            blocks.setdefault(entry.section, set()).add(entry.index[0])
    return [section for section, said in claim.counts.items() if said != {len(blocks.get(section, ()))}]


def _foreign_text(claim: Claim) -> bool:
    """True where text stands behind headings that is no phrase of the catalogue.

    A merchant's template may say something there. But where a field is lost as well, it may be that field's value
    behind a label that somebody changed.
    """
    assert claim.language is not None
    phrases = sorted((essence(phrase) for phrase in claim.language.mail.values()), key=len, reverse=True)
    for text in claim.unread:
        rest = essence(text)
        for phrase in phrases:
            rest = rest.replace(phrase, "")
        if rest:
            return True
    return False


def _same(located: str, printed: str) -> bool:
    """True for two texts a person reads as one: but for blanks, the marks and the links that clients add."""
    return essence(printed) in (essence(located), essence(without_links(located)))


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
    marks = "".join(mark for mark in "?\ufffd" if mark in seen and mark not in true)
    if marks:
        pieces = re.split(f"([{marks}]+)", seen)
        pattern = "".join(
            f"[^\\x00-\\x7f]{{0,{4 * len(piece)}}}" if place % 2 else re.escape(piece)
            for place, piece in enumerate(pieces)
        )
        if re.fullmatch(pattern, true):
            return True
    marks_lost = "".join(f"{re.escape(char)}?" if char in ".," else re.escape(char) for char in true)
    return agreeing_html and re.fullmatch(marks_lost, seen) is not None


def _unproved(claims: list[Claim], keys: Sequence[Key]) -> Judged:
    """The best that can be said of a notification no carrier of which is proved."""
    best = max(claims, key=lambda claim: (not claim.unreadable, len(claim.entries)))
    built = _build(best) or next((built for built in map(_build, claims) if built), None)
    seal = next((claim.seal for claim in claims if claim.seal), None)
    problems = [_why_unproved(claim, keys) for claim in claims if claim.seal]
    if seal is None and any(entry.code == "proof.key_id" for claim in claims for entry in claim.entries):
        problems.append(
            Problem("seal", "proof.seal", "the notification names the key of its seal, but the seal is gone")
        )
    for claim in claims:
        problems += [
            Problem("unreadable", name, f"the {claim.carrier} part: {reason}")
            for name, reason in claim.unreadable.items()
        ]
        problems += [
            Problem("contradiction", name, f"the {claim.carrier} part shows it twice") for name in sorted(claim.twice)
        ]
        problems += [
            Problem("contradiction", name, f"the {claim.carrier} part says another number of them than it shows")
            for name in _miscounted(claim, claim.entries)
        ]
    problems += _disagreements(claims)
    grade: Grade = "review"
    if built is None:
        problems.append(_why_no_order(best))
    elif seal is None:
        problems += _inconsistencies(built[1])
        if not problems:
            grade = "consistent"
    language = next((claim.language.tag for claim in claims if claim.language), None)
    notification, order = built or (None, None)
    return Judged(grade, notification, order, tuple(dict.fromkeys(problems)), seal, best.carrier, language)


def _why_unproved(claim: Claim, keys: Sequence[Key]) -> Problem:
    named = next((entry.value for entry in claim.entries if entry.code == "proof.key_id"), None)
    if named is None:
        return Problem(
            "seal",
            "proof.key_id",
            f"the {claim.carrier} part carries a seal but does not say with which key it was made",
        )
    if named not in {key.key_id for key in keys}:
        return Problem(
            "key",
            "proof.key_id",
            f"the seal was made with key {named}, which this merchant does not have here; import it",
        )
    return Problem(
        "seal",
        "proof.seal",
        f"the seal does not fit what the {claim.carrier} part shows: something in it was changed or lost",
    )


def _disagreements(claims: list[Claim]) -> list[Problem]:
    """Fields on which two carriers of one unproved notification differ: where the change was made."""
    problems = []
    first = claims[0]
    said = {(entry.code, entry.index): entry.value for entry in first.entries}
    for other in claims[1:]:
        for entry in other.entries:
            place = (entry.code, entry.index)
            if place in said and said[place] != entry.value:
                message = f"the {first.carrier} part says {said[place]!r}, the {other.carrier} part {entry.value!r}"
                problems.append(Problem("contradiction", entry.name, message))
    return problems


def _inconsistencies(order: Order) -> list[Problem]:
    """Why an unsealed order is not even consistent: something required is missing, or the totals do not add up."""
    problems = []
    if not order.lines:
        problems.append(Problem("unreadable", "line", "no line item can be read"))
    if order.totals.total_customer is None:
        problems.append(Problem("unreadable", "totals.total_customer", "no order total can be read"))
    elif (total := order.total_of_parts()) is not None and total != order.totals.total_customer.amount:
        stated = order.totals.total_customer.amount
        problems.append(
            Problem("sum", "totals.total_customer", f"the parts add up to {total:f}, the total says {stated:f}")
        )
    if order.delivery.is_empty():
        problems.append(Problem("unreadable", "delivery", "no delivery address can be read"))
    return problems
