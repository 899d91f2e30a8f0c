"""Which carriers a mail needs: the same forwards read whole, with one carrier taken away, and with one left.

The last columns ask what a further carrier could win: a block of base32 letters behind the seal, in the text and in
the HTML, that holds the canonical text, compressed.
"""

import base64
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice, product
from statistics import median
from unittest.mock import patch

from ion.contract import canonical_bytes, entries
from ion.demo.forwarding.mime import Entity
from ion.order import INVISIBLE
from ion.reading import read_message
from ion.reading.streams import flatten
from ion.reading.unwrap import Body, bodies
from tests.bench.mails import INLINE, Sent, forwarded, sent
from tests.bench.tables import Out, conditions, share, table
from tests.orders import KEY, mail_of

TAGS = ("en", "de", "ja", "fr", "ar", "ru", "pl", "zh-CN", "tr")
ORDERS = ("full 2", "header-like", "global-e-hub-order.json")
DEPTHS = (1, 2, 3)
PARTS = ("both", "html", "text")
GATEWAYS = ("rewrap", "flatten", "strip-tags", "charset", "zero-width", "no-break", "bidi", "urldefense-v3")
KINDS = {"application/json": "json", "text/html": "html", "text/plain": "text"}


@dataclass(frozen=True)
class Case:
    """One forward. `raw`: as it arrives; `armoured`: as it would with the block in it."""

    mail: Sent
    chain: tuple[str, ...]
    attachments: bool
    parts: str
    raw: bytes
    armoured: bytes

    @property
    def row(self) -> str:
        if self.chain[-1] in GATEWAYS:
            return f"then a gateway, {self.parts}"
        return f"{'attachment kept' if self.attachments else 'no attachment'}, {self.parts}"


def cases() -> Iterator[Case]:
    """Every client, depth, choice of parts and attachments with every order; the languages take turns."""
    tags = cycle(TAGS)
    for client, name, depth in product(INLINE, ORDERS, DEPTHS):
        yield from _ways(sent(name, next(tags)), (client,) * depth, (True, False))
    for client, gateway in product(INLINE, GATEWAYS):
        yield from _ways(sent(ORDERS[0], next(tags)), (client, gateway), (False,))


def _ways(mail: Sent, chain: tuple[str, ...], kept: tuple[bool, ...]) -> Iterator[Case]:
    seen = set()
    for attachments, parts in product(kept, PARTS):
        raw = forwarded(mail, chain, attachments=attachments, parts=parts)
        # Clients that only know text send the same whatever is chosen.
        if raw not in seen:
            seen.add(raw)
            armoured = forwarded(mail, chain, raw=with_block(mail), attachments=attachments, parts=parts)
            yield Case(mail, chain, "json" in carriers_in(raw), shown_parts(raw), raw, armoured)


# The carriers of a mail.


def carriers_in(raw: bytes) -> dict[str, str]:
    """The decoded bodies of a mail by carrier; of several the one that is longest."""
    found: dict[str, Body] = {}
    for body in bodies(raw):
        if body.kind not in found or len(found[body.kind].text) < len(body.text):
            found[body.kind] = body
    return {kind: body.text for kind, body in found.items()}


def shown_parts(raw: bytes) -> str:
    return " + ".join(kind for kind in ("html", "text") if kind in carriers_in(raw)) or "none"


def without(raw: bytes, carrier: str) -> bytes:
    """The mail with every part of a carrier taken out, all else as it arrived."""

    def change(part: Entity) -> Entity | None:
        return None if KINDS.get(part.content_type) == carrier else part

    return Entity.parsed(raw).mapped(change).raw()


def alone(raw: bytes, carrier: str) -> bytes | None:
    """A mail of nothing but one carrier; None where there is none."""
    text = carriers_in(raw).get(carrier)
    return None if text is None else mail_of(**{carrier: text})


@contextmanager
def unrepaired() -> Iterator[None]:
    with patch("ion.reading.judge.repaired", return_value=None):
        yield


def exact(raw: bytes | None, mail: Sent) -> bool | None:
    if raw is None:
        return None
    return any((one.grade, one.order) == ("sealed", mail.order) for one in read_message(raw, [KEY]))


def exact_unrepaired(raw: bytes, mail: Sent) -> bool | None:
    with unrepaired():
        return exact(raw, mail)


def exact_without(carrier: str) -> Callable[[Case], bool | None]:
    """Of mails that have it and another besides."""

    def read(case: Case) -> bool | None:
        there = carriers_in(case.raw)
        return exact(without(case.raw, carrier), case.mail) if carrier in there and len(there) > 1 else None

    return read


# The block.

_BEGIN, _END = "=====BEGIN ORDER COPY=====", "=====END ORDER COPY====="
_BLOCK = re.compile(r"BEGIN[\s>]*ORDER[\s>]*COPY(.*?)END[\s>]*ORDER[\s>]*COPY", re.DOTALL)
_WIDTH = 60
# Its own line numbers are written with digits that base32 does not have.
_NUMBER = str.maketrans("0123", "0189")


@cache
def block_lines(mail: Sent) -> tuple[str, ...]:
    packed = zlib.compress(canonical_bytes(entries(mail.notification, mail.order)), 9)
    letters = base64.b32encode(packed).decode().rstrip("=")
    pieces = [letters[place : place + _WIDTH] for place in range(0, len(letters), _WIDTH)]
    return (_BEGIN, *(f"{_number(place)}:{piece}" for place, piece in enumerate(pieces)), _END)


def _number(place: int) -> str:
    """In base 4, four digits."""
    return "".join(str(place // 4**power % 4) for power in (3, 2, 1, 0)).translate(_NUMBER)


@cache
def with_block(mail: Sent) -> bytes:
    """The mail as sent, with the block behind the seal of both bodies."""

    def change(part: Entity) -> Entity:
        if part.content_type == "text/plain":
            return part.with_text(part.text.rstrip() + "\n\n" + "\n".join(block_lines(mail)) + "\n")
        if part.content_type == "text/html":
            block = f'<p style="font-family:monospace">{"<br>".join(block_lines(mail))}</p>'
            return part.with_text(part.text.replace("</body>", f"{block}</body>"))
        return part

    return Entity.parsed(mail.raw).mapped(change).raw()


def block_arrives(case: Case) -> bool:
    """The letters between the marks of some body are the canonical text."""
    packed = "".join(line.partition(":")[2] for line in block_lines(case.mail)[1:-1])
    shown = [flatten(text) if kind == "html" else text for kind, text in carriers_in(case.armoured).items()]
    for text in shown:
        for found in _BLOCK.finditer(INVISIBLE.sub("", text)):
            numbered = re.findall("[0189]{4}\\s*:([^:]*?)(?=[0189]{4}\\s*:|=|$)", found[1])
            # What programs write before a line stands behind the letters of the line above.
            if packed in {_letters(found[1]), "".join(_letters(line)[:_WIDTH] for line in numbered)}:
                return True
    return False


def _letters(text: str) -> str:
    return re.sub("[^A-Z2-7]", "", text)


# The table.

COLUMNS: tuple[tuple[str, Callable[[Case], bool | None]], ...] = (
    ("as it is", lambda case: exact(case.raw, case.mail)),
    ("without JSON", exact_without("json")),
    ("without HTML", exact_without("html")),
    ("without text", exact_without("text")),
    ("JSON alone", lambda case: exact(alone(case.raw, "json"), case.mail)),
    ("HTML alone", lambda case: exact(alone(case.raw, "html"), case.mail)),
    ("text alone", lambda case: exact(alone(case.raw, "text"), case.mail)),
    ("no repairs", lambda case: exact_unrepaired(case.raw, case.mail)),
    ("block alone", block_arrives),
)


def run(out: Out, *, most: int | None = None) -> None:
    """`most`: cases, taken from all over the matrix, to try it."""
    chosen = list(cases()) if most is None else list(islice(cases(), most))
    out("## Which carriers a mail needs\n")
    conditions(
        out,
        f"{len(chosen)} mails: {len(INLINE)} inline clients x depth 1 to 3 (the same client again) x attachments",
        f"kept or dropped x HTML and text, HTML only, text only x {len(ORDERS)} orders, in {len(TAGS)} languages by",
        f"turns; mails that a client makes alike count once. Then the same clients x {len(GATEWAYS)} gateways that",
        f"change bodies ({', '.join(GATEWAYS)}), attachments dropped.",
        "Shares in per cent of exact orders (sealed, and the one sent), of the mails that have the carrier taken away",
        "and another, or the one left.",
        f"block alone: {_WIDTH} base32 letters a line, of the compressed canonical text, behind the seal in text and",
        "HTML.",
    )
    rows: dict[str, list[tuple[Case, dict[str, bool | None]]]] = {}
    for case in chosen:
        found = {name: check(case) for name, check in COLUMNS}
        for title in (case.row, "all"):
            rows.setdefault(title, []).append((case, found))
    ordered = sorted(rows.items(), key=lambda row: (row[0] == "all", row[0]))
    table(out, ("mails", "number", *(name for name, _ in COLUMNS)), [_cells(title, found) for title, found in ordered])
    _conclusions(out, rows.get("all", []))


def _cells(title: str, found: list[tuple[Case, dict[str, bool | None]]]) -> list[str]:
    answers = [[one[name] for _, one in found if one[name] is not None] for name, _ in COLUMNS]
    return [title, str(len(found)), *(share(sum(map(bool, column)), len(column)) for column in answers)]


def _conclusions(out: Out, found: list[tuple[Case, dict[str, bool | None]]]) -> None:
    alone_names = [name for name, _ in COLUMNS if name.endswith(" alone") and name != "block alone"]
    missed = [(case, one) for case, one in found if not one["as it is"]]
    lost = [case for case, one in missed if not any(one[name] for name in alone_names)]
    won = [case for case, one in missed if case in lost and one["block alone"]]
    gone = [case for case, one in found if not one["block alone"]]
    repaired = [case for case, one in found if one["as it is"] and not one["no repairs"]]
    size = median(len(block_lines(case.mail)) for case, _ in found)
    out(f"not exact as it is: {len(missed)}; in {len(missed) - len(lost)} a carrier alone is, but another contradicts.")
    out(f"no carrier proves the order: {len(lost)}; of these the block arrives whole: {len(won)}.")
    out(f"the block, {size:.0f} lines long (median), does not arrive whole: {len(gone)} ({_ends(gone)}).")
    out(f"only repairs prove it: {len(repaired)} ({_ends(repaired)}).")
    for name, alike in sorted(_alike([case for case, _ in missed]).items()):
        block = sum(case in won for case in alike)
        kind = "no carrier proves it" if alike[0] in lost else "contradicted"
        out(f"{kind}: {name}: {len(alike)}; the block would prove {block}")
    out("")


def _alike(lost: list[Case]) -> dict[str, list[Case]]:
    """Mails that no carrier proves, by the chain of clients and the part they show."""
    groups: dict[str, list[Case]] = {}
    for case in lost:
        groups.setdefault(f"{' + '.join(case.chain)}, {case.row.split(', ')[0]}, {case.parts}", []).append(case)
    return groups


def _ends(some: list[Case]) -> str:
    """The clients or gateways that the mails came through last, with their numbers."""
    counted = Counter(case.chain[-1] for case in some).most_common()
    return ", ".join(f"{name} {number}" for name, number in counted) or "none"
