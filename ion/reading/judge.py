"""Judge: from the claims of all carriers to one graded result per notification.

The first carrier the seal proves gives the order; where none is proved as it stands, the plausible repairs are tried.
Every other carrier of the same notification is then held against it, field by field (`compare`): a contradiction goes
to a person, damage and notes are told and harmless. Nothing proved: a seal that does not verify is `review` whatever
adds up; no seal at all is at most `consistent`.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import tee
from typing import Annotated, Any, Literal

from pydantic import FailFast

from ion.content import Content
from ion.contract import (
    ORDER_SECTIONS,
    Entry,
    Language,
    Notification,
    Unreadable,
    in_contract_order,
    language,
    tags,
)
from ion.contract.anchors import LOST_LETTERS, Known
from ion.order import Order
from ion.reading.agreement import (
    agreeing_language,
    garbled_language,
    hardly_readable_language,
    html_without_blanks,
    text_without_blanks,
)
from ion.reading.bounces import Bounce, find_bounce
from ion.reading.claims import Claim, attached_claim, is_glued, labelled_claim, place_name, visible_claims
from ion.reading.compare import differences, disagreements
from ion.reading.confirmations import Confirmation, find_confirmation
from ion.reading.limits import TooBig
from ion.reading.mime import Unparsable
from ion.reading.proof import Built, Problem, Proved, build, miscounted, prove, why_no_order
from ion.reading.repair import Budget, repaired, with_repair
from ion.reading.streams import Form, forms
from ion.reading.unwrap import Body, bodies
from ion.seal import SEAL_PATTERN, Key, normal_seal, verify_imprint

Grade = Literal["sealed", "consistent", "review", "none"]
MAX_NOTIFICATIONS = 100  # in one part
_CARRIERS = ("json", "html", "text")


@dataclass(frozen=True)
class Judged:
    """One distinct notification found in a message, and what its content proves.

    `content` (of the order) and `notification`: as proved, or as far as they could be read where the grade is `review`;
    None where no whole order could be read; then `partial` is what could, JSON text of the canonical values by the
    names of their fields. `carrier`: what proved or gave it (`json`, `html`, `text`). `language`: tag of the printed
    language, None where only the attachment was read. `confirmation`, `bounce`: with grade `none`, the
    forwarding confirmation, or the bounce, that the message is.
    """

    grade: Grade
    notification: Notification | None
    content: Content | None
    problems: Annotated[tuple[Problem, ...], FailFast()]
    seal: str | None = None
    carrier: str | None = None
    language: str | None = None
    confirmation: Confirmation | None = None
    bounce: Bounce | None = None
    partial: str | None = None

    @property
    def order(self) -> Order | None:
        """The order itself."""
        return self.content.order if self.content else None


def read_message(raw: bytes, keys: Sequence[Key], memory: dict[Any, Any] | None = None) -> tuple[Judged, ...]:
    """Every distinct notification in a raw message, judged with the merchant's `keys`.

    Copies of one notification are one result. Empty for a mail without any. Does not raise on any input. `memory`: of
    somebody who reads several messages that say much the same, empty at first and kept no longer than they are: what
    equal texts read as, and what equal entries make, is then found out once.
    """
    reader = _Reader(keys, {} if memory is None else memory)
    claims: dict[int, list[Claim]] = {}
    try:
        found = list(bodies(raw))
        # Cheapest carrier first: what it proves, the others are only compared with.
        for place, body in sorted(enumerate(found), key=lambda numbered: _CARRIERS.index(numbered[1].kind)):
            claims[place] = reader.claims(body)
    except (TooBig, Unparsable, RecursionError) as error:
        code = "unreadable" if isinstance(error, Unparsable) else "too-big"
        return (Judged("review", None, None, (Problem(code, None, f"the message cannot be read: {error}"),)),)
    groups = _grouped([claim for place in sorted(claims) for claim in claims[place]])
    return tuple(map(reader.judge, groups)) or _traces(found) or _confirmation(raw, found)


def read_bounce(raw: bytes) -> tuple[Judged, ...]:
    """The bounce that a raw message is, read as nothing else: the mail that came back in it is of no account.

    Empty for any other message. Does not raise on any input.
    """
    bounce = find_bounce(raw)
    return (Judged("none", None, None, (), bounce=bounce),) if bounce else ()


def _confirmation(raw: bytes, found: Sequence[Body]) -> tuple[Judged, ...]:
    """A mail without a notification may be what a provider asks before it forwards any."""
    confirmation = find_confirmation(raw, found)
    return (Judged("none", None, None, (), confirmation=confirmation),) if confirmation else ()


def _traces(found: Sequence[Body]) -> tuple[Judged, ...]:
    """What is said of a mail in which no label can be read, but the name of our mails and a seal."""
    for body in found:
        text = next(forms(body.kind, body.text)).text if any(mark in body.text for mark in _MARKS) else ""
        if any(mark in text for mark in _MARKS) and (seal := SEAL_PATTERN.search(text)):
            told = f"the {body.kind} part holds a seal, but no label can be read; ask for the original mail"
            return (Judged("review", None, None, (Problem("unreadable", None, told),), seal[0], body.kind),)
    return ()


class _Reader:
    """Reads the bodies of one message with one merchant's keys, and keeps what was proved on the way, by its seal."""

    def __init__(self, keys: Sequence[Key], memory: dict[Any, Any]) -> None:
        self._keys = keys
        self._proved: dict[str, Proved] = {}
        self._other_forms: list[Claim] = []
        self._anchors: dict[str, Known] = {}
        self._reads: dict[tuple[str, str, str], str | Unreadable] = memory.setdefault("reads", {})
        self._built: dict[frozenset[Entry], Built | None] = memory.setdefault("built", {})
        self._budget = Budget()

    def claims(self, body: Body) -> list[Claim]:
        """The claims of one body, in the form of its text that agrees best with the seal."""
        if body.kind == "json" or (body.kind == "text" and body.text.lstrip().startswith("{")):
            attached = attached_claim(body)
            if attached and (attached.stated or body.kind == "json"):
                self._settled(attached)
                return [attached]
            if body.kind == "json":
                return []
        plausible, again = tee(forms(body.kind, body.text))
        agreeing = self._vouched(body) or self._agreeing(body, plausible)
        if agreeing:
            return [agreeing]
        readings: list[tuple[tuple[int, int], list[Claim]]] = []  # how many claims are settled, how many seals whole
        for form in again:
            whole = any(seals == len(claims) for (_, seals), claims in readings)
            if form.glued and whole and not is_glued(form.text, self._anchors):
                continue
            claims = visible_claims(form.text, body.kind, glued=form.glued, anchors=self._anchors)
            if len(claims) > MAX_NOTIFICATIONS:
                raise TooBig(f"more than {MAX_NOTIFICATIONS} notifications in one part")
            if any(_show_the_same(claims, others) for _, others in readings):
                continue  # whatever proves or repairs these was tried
            for claim in claims:
                claim.repair, claim.reads = form.repair, self._reads
            settled = sum(self._settled(claim) for claim in claims)
            if claims and settled == len(claims):
                return claims
            if claims:
                seals = sum(SEAL_PATTERN.fullmatch(claim.seal or "") is not None for claim in claims)
                readings.append(((settled, seals), claims))
            elif not any(mark in body.text for mark in _MARKS):
                break
        (most, _), best = max(readings, key=lambda reading: reading[0], default=((0, 0), []))
        self._other_forms += [claim for _, claims in readings if claims is not best for claim in claims]
        if not most and self._contradicts(best):
            best = next((claims for _, claims in readings if self._explains(claims, best)), best)
        if not most and self._contradicts(best):
            fewest = min((len(known.entries) for known in self._proved.values()), default=0)
            labelled = any(2 * len(claim.located) > fewest for claim in best)
            garbled = self._garbled(body, labelled=labelled)
            return [garbled] if garbled else best or self._labelled(body)
        return best

    def _labelled(self, body: Body) -> list[Claim]:
        """The claim of a body that lost its title and headings but not its labels, beside one that is proved."""
        fewest = min((len(known.entries) for known in self._proved.values()), default=0)
        found = labelled_claim(next(forms(body.kind, body.text)).text, body.kind, fewest // 2) if fewest else None
        return [found] if found else []

    def _vouched(self, body: Body) -> Claim | None:
        """The claim of a body that is just as its sender wrote it and read it back."""
        for proved in tuple(self._proved.values())[:_MOST_COMPARED]:
            seal, shown = proved.claim.seal or "", proved.claim.shown
            imprint, tag = shown.get(body.kind), shown.get("language")
            if imprint and tag in tags() and verify_imprint(imprint, body.text, tag, seal, self._keys):
                return _agreed(body, language(tag), proved)
        return None

    def _agreeing(self, body: Body, plausible: Iterator[Form]) -> Claim | None:
        """The claim of a body that shows what was proved, where the cheap check can tell."""
        if not self._proved:
            return None
        plain = html_without_blanks(body.text) if body.kind == "html" else None
        # The form that is read first, of which nothing has to be read where it agrees.
        stream = text_without_blanks(next(plausible).text) if plain is None else plain
        return self._claim(body, stream, agreeing_language)

    def _contradicts(self, claims: list[Claim]) -> bool:
        """True where nothing in a body, or something else, stands for what another one proved."""
        told = self._told(claims)
        return not claims or told is None or any(problem.code == "contradiction" for problem in told)

    def _explains(self, claims: list[Claim], likeliest: list[Claim]) -> bool:
        """True where another form of a body shows exactly as proved whatever its likeliest form contradicts."""
        told, contradicting = self._told(claims), self._told(likeliest)
        if told is None or contradicting is None or len(claims) != len(likeliest):
            return False
        contradicted = {problem.field for problem in contradicting if problem.code == "contradiction"}
        return all(problem.code != "contradiction" and problem.field not in contradicted for problem in told)

    def _told(self, claims: list[Claim]) -> list[Problem] | None:
        """How claims differ from what was proved; None where one of them is of something else."""
        known = [self._proved.get(normal_seal(claim.seal or "")) for claim in claims]
        if None in known:
            return None
        pairs = zip(claims, known, strict=True)
        return [problem for claim, proved in pairs if proved for problem in differences(claim, proved)]

    def _garbled(self, body: Body, *, labelled: bool) -> Claim | None:
        """The claim of a body that shows what was proved, but for letters that a charset lost.

        `labelled`: most of its labels can be read, so that it can be compared field by field.
        """
        text = next(forms(body.kind, body.text)).text if self._proved else ""
        if not any(mark in text for mark in LOST_LETTERS):
            return None
        claim = self._claim(body, text_without_blanks(text), garbled_language)
        if claim is None and not labelled:
            claim = self._claim(body, text, hardly_readable_language)
        return replace(claim, garbled=True) if claim else None

    def _claim(self, body: Body, stream: str, agreeing: Callable[[str, Proved], Language | None]) -> Claim | None:
        for proved in tuple(self._proved.values())[:_MOST_COMPARED]:
            known = agreeing(stream, proved)
            if known:
                return _agreed(body, known, proved)
        return None

    def _settled(self, claim: Claim) -> bool:
        """True if the claim is proved, or shows exactly what another carrier proved."""
        if not claim.seal:
            return False
        known = self._proved.get(normal_seal(claim.seal))
        if known is not None and not differences(claim, known):
            return True
        proved = prove(claim, self._keys, self._built)
        if proved is not None:
            self._proved.setdefault(normal_seal(claim.seal), with_repair(proved, claim.repair))
        return proved is not None

    def judge(self, claims: list[Claim]) -> Judged:
        """One graded result from the claims of all carriers of one notification."""
        claims = sorted(claims, key=lambda claim: _CARRIERS.index(claim.carrier))
        seals = [normal_seal(claim.seal) for claim in claims if claim.seal]
        proved = next((self._proved[seal] for seal in seals if seal in self._proved), None) or self._repaired(claims)
        return _held_against(claims, proved) if proved else _unproved(claims, self._keys)

    def _repaired(self, claims: list[Claim]) -> Proved | None:
        """The first claim, in the form it was taken in or another one, that a repair proves."""
        seals = {normal_seal(claim.seal) for claim in claims if claim.seal}
        others = [claim for claim in self._other_forms if claim.seal and normal_seal(claim.seal) in seals]
        for claim in (*claims, *others):
            beside = [other for other in claims if other.carrier != claim.carrier]
            proved = repaired(claim, beside, self._keys, self._budget)
            if proved is not None:
                return with_repair(proved, claim.repair)
        return None


_MOST_COMPARED = 20  # proved notifications that a body is paved with; any number is compared field by field
# What the title of a notification holds in every language: a body without it is not read a second time.
_MARKS = ("ION", "Order Notification")


def _show_the_same(claims: list[Claim], others: list[Claim]) -> bool:
    return len(claims) == len(others) and all(
        claim.shows == other.shows for claim, other in zip(claims, others, strict=True)
    )


def _agreed(body: Body, known: Language, proved: Proved) -> Claim:
    stated = (proved.notification, proved.order)
    return Claim(body.kind, known, proved.claim.seal, stated=stated, agrees=True)


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
    if len(groups) < 2:
        return groups
    by_number: dict[tuple[str | None, str | None], list[list[Claim]]] = {}
    for group in groups:
        by_number.setdefault((group[0].order_number, group[0].value("proof.issued_at")), []).append(group)
    joined = [[claim for group in same for claim in group] for same in by_number.values()]
    # One attachment and one visible notification that agree on nothing: still the same mail, and what a person sees
    # there is not what the attachment says.
    attached = [group for group in joined if all(claim.carrier == "json" for claim in group)]
    visible = [group for group in joined if all(claim.carrier != "json" for claim in group)]
    if len(attached) == len(visible) == 1:
        joined = [group for group in joined if group not in (attached[0], visible[0])] + [attached[0] + visible[0]]
    return joined


def _held_against(claims: list[Claim], proved: Proved) -> Judged:
    """The proved order, and how each other carrier differs from it."""
    found = {id(claim): differences(claim, proved) for claim in claims if claim is not proved.claim}
    agreeing_html = any(claim.carrier == "html" and not found.get(id(claim)) for claim in claims)
    problems = list(proved.repairs)
    for claim in claims:
        if claim is proved.claim:
            continue
        if found[id(claim)] and claim.carrier == "text" and agreeing_html:
            found[id(claim)] = differences(claim, proved, agreeing_html=True)
        if claim.repair and not claim.agrees:
            problems.append(Problem("repair", None, f"the {claim.carrier} part: {claim.repair}"))
        problems += found[id(claim)]
    grade: Grade = "review" if any(problem.code == "contradiction" for problem in problems) else "sealed"
    tag = next((claim.language.tag for claim in claims if claim.language), None)
    content = Content.of(proved.order)
    return Judged(grade, proved.notification, content, tuple(problems), proved.claim.seal, proved.claim.carrier, tag)


def _unproved(claims: list[Claim], keys: Sequence[Key]) -> Judged:
    """The best that can be said of a notification no carrier of which is proved."""
    best = max(claims, key=lambda claim: (not claim.unreadable, len(claim.entries)))
    built = _stated(best) or next((built for built in map(_stated, claims) if built), None)
    seal = next((claim.seal for claim in claims if claim.seal), None)
    problems = [_why_unproved(claim, keys) for claim in claims if claim.seal and not claim.broken]
    if seal is None and any(claim.value("proof.key_id") for claim in claims):
        problems.append(
            Problem("seal", "proof.seal", "the notification names the key of its seal, but the seal is gone")
        )
    for claim in claims:
        problems += [
            Problem("unreadable", name, f"the {claim.carrier} part: {reason}")
            for name, reason in claim.unreadable.items()
        ]
        problems += [
            Problem("contradiction", place_name(place), f"the {claim.carrier} part shows it twice")
            for place in sorted(claim.twice)
        ]
        problems += [
            Problem("contradiction", name, f"the {claim.carrier} part says another number of them than it shows")
            for name in miscounted(claim, claim.entries)
        ]
    problems += disagreements(claims)
    grade: Grade = "review"
    if built is None:
        problems.append(why_no_order(best.entries))
    elif seal is None:
        problems += _inconsistencies(built[1])
        if not problems:
            grade = "consistent"
    tag = next((claim.language.tag for claim in claims if claim.language), None)
    notification, order = built or (None, None)
    content = Content.of(order) if order else None
    partial = None if built else _partial(max(claims, key=lambda claim: len(claim.entries)))
    return Judged(
        grade, notification, content, tuple(dict.fromkeys(problems)), seal, best.carrier, tag, partial=partial
    )


def _partial(claim: Claim) -> str | None:
    """What a claim shows of the order, for a person to make it whole."""
    stated = in_contract_order(entry for entry in claim.entries if entry.section in _OF_THE_ORDER)
    return json.dumps({entry.name: entry.value for entry in stated}, ensure_ascii=False) if stated else None


_OF_THE_ORDER = frozenset(section.code for section in ORDER_SECTIONS)


def _stated(claim: Claim) -> tuple[Notification, Order] | None:
    return claim.stated or build(claim.entries)


def _why_unproved(claim: Claim, keys: Sequence[Key]) -> Problem:
    named = claim.value("proof.key_id")
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
