"""Ready field blocks: an order and its notification as headed lists of printed fields, for templates to place; and what
changed in the order since it was told before.

A template decides where a block stands and how it looks. It prints headings, labels and values as they are given
here, so that the reader finds them again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from ion.contract import FIELDS, SECTIONS, Entry, Kind, Language, Section, print_value
from ion.contract.changes import Change, changes, heading_code
from ion.contract.languages import SEAL_LABEL
from ion.order import Order
from ion.seal import GLUED_SEAL_PATTERN


@dataclass(frozen=True)
class PrintedField:
    """`label` ends with its colon; `text` is the printed value; `lines`: it has line breaks, printed as ` / `."""

    name: str
    label: str
    text: str
    lines: bool = False


@dataclass(frozen=True)
class Block:
    """One section (or one element of a repeated one): `heading` ends with its colon."""

    code: str
    heading: str
    fields: tuple[PrintedField, ...]

    def pick(self, *names: str) -> tuple[PrintedField, ...]:
        """The fields of these names, in the order asked for; those not stated are left out."""
        return tuple(field for name in names for field in self.fields if field.name == name)

    def without(self, *names: str) -> tuple[PrintedField, ...]:
        """All other fields."""
        return tuple(field for field in self.fields if field.name not in names)


class Blocks:
    """All blocks of one notification in one language, by section code. Sections with nothing to say have none."""

    def __init__(self, values: Sequence[Entry], order: Order, seal: str, language: Language) -> None:
        self._language = language
        self._blocks: dict[str, list[Block]] = {code: [] for code in SECTIONS}
        grouped: dict[tuple[str, int], list[Entry]] = {}
        for entry in values:
            place = entry.index[0] if SECTIONS[entry.section].repeated else 0
            grouped.setdefault((entry.section, place), []).append(entry)
        counts = Counter(code for code, _ in grouped)
        for (code, place), inside in grouped.items():
            heading = language.heading(heading_code(code, order), place + 1, counts[code])
            self._blocks[code].append(Block(code, _colon(heading), tuple(self._printed(entry) for entry in inside)))
        proof = self._blocks["proof"][0]
        sealed = PrintedField(SEAL_LABEL, _colon(language.labels["proof"][SEAL_LABEL]), seal)
        self._blocks["proof"] = [Block("proof", proof.heading, (*proof.fields, sealed))]

    def __getitem__(self, code: str) -> list[Block]:
        return self._blocks[code]

    def __iter__(self) -> Iterator[Block]:
        return (block for blocks in self._blocks.values() for block in blocks)

    def heading(self, code: str) -> str:
        """A heading that stands alone (`items`), with its colon."""
        return _colon(self._language.heading(code))

    def _printed(self, entry: Entry) -> PrintedField:
        label = self._language.label(SECTIONS[entry.section], entry.field)
        kind = FIELDS[entry.code].kind
        text = print_value(kind, entry.value, self._language, entry.field)
        return PrintedField(entry.field, _colon(label), text, lines=kind == Kind.LINES and "\n" in entry.value)


@dataclass(frozen=True)
class PrintedChange:
    """One thing that changed, in words. `what`: the block and the label, without a colon; `before`, `now`: printed
    values, "" where there was or is none, `NOT_SHOWN` where a value is not repeated here."""

    what: str
    before: str
    now: str


class PrintedChanges:
    """What changed in an order since it was told before, to be printed in front of the title.

    `said`: a sentence for those who know the order; `rows`: at most `MOST_CHANGES`; `more`: a sentence where there are
    more (two at least), else None; `words`: the catalogue's other phrases.

    Nothing in it is ever read as a value. The reader takes nothing that stands before the title; and where a title was
    lost, a value still needs a label, and a label its colon: no text in here holds one, or what a program may make one
    of. A value that does is not repeated, nor is one as long as a paragraph, nor one like a seal.
    """

    def __init__(self, previous: Order, order: Order, language: Language) -> None:
        found = changes(previous, order)
        self.words = language.changes
        self.said = self.words["changed" if found else "unchanged"]
        shown = found if len(found) <= MOST_CHANGES else found[: MOST_CHANGES - 1]
        self.rows = tuple(_printed_change(change, previous, order, language) for change in shown)
        further = len(found) - len(shown)
        number = print_value(Kind.NUMBER, str(further), language)
        self.more = self.words["more"].format(n=number) if further else None


MOST_CHANGES = 20
NOT_SHOWN = "\u2026"
_LONGEST = 100  # characters of a value that is repeated
# What tells people which block was added or removed, by group of labels; of other groups the first three values.
_TELLING = {
    "line": ("sku", "name", "quantity"),
    "address": ("first_name", "last_name", "name", "company", "address1", "city", "country"),
    "adjustment": ("name", "code", "amount", "amount_customer"),
}


def _printed_change(change: Change, previous: Order, order: Order, language: Language) -> PrintedChange:
    code, _, name = change.code.partition(".")
    section = SECTIONS[code]
    what = _place(change, previous, order, language)
    # The platform may have taken back what it told of a person; then nobody is to read it here again.
    told = not (order.personal_data_suppressed or order.personal_data_encrypted)
    if not name:
        block = _description(change.block, section, language)
        before, now = (block, "") if change.kind == "removed" else ("", block)
    else:
        what = f"{what} - {language.label(section, name)}"
        before, now = (
            _repeated(print_value(FIELDS[change.code].kind, value, language, name)) if value is not None else ""
            for value in (change.old, change.new)
        )
    return PrintedChange(what, before if told or not before else NOT_SHOWN, now)


def _place(change: Change, previous: Order, order: Order, language: Language) -> str:
    """The heading of the block that a change is in, with the SKU of a line. Lines that were removed have no number, for
    another line has it now."""
    code = change.code.partition(".")[0]
    if not SECTIONS[code].repeated:
        return language.heading(heading_code(code, order))
    removed = change.kind == "removed" and change.code == code
    if removed and code == "line":
        return language.heading("items")
    count = len(getattr(previous if removed else order, SECTIONS[code].path))
    heading = language.heading(code, change.index[0] + 1, count)
    sku = order.lines[change.index[0]].sku if change.code.startswith("line.") else None
    known = _repeated(print_value(Kind.TEXT, sku, language)) if sku else NOT_SHOWN
    return heading if known == NOT_SHOWN else f"{heading} - {known}"


def _description(block: Sequence[Entry], section: Section, language: Language) -> str:
    telling = _TELLING.get(section.labels, ())
    chosen = [entry for entry in block if entry.field in telling] or block[:3]
    printed = (print_value(FIELDS[entry.code].kind, entry.value, language, entry.field) for entry in chosen)
    return " - ".join(
        f"{language.label(section, entry.field)} {_repeated(text)}" for entry, text in zip(chosen, printed, strict=True)
    )


def _repeated(text: str) -> str:
    """A printed value, or what stands for one that is not repeated."""
    colon = ":" in normalize("NFKC", text) or any(like in text for like in _LIKE_COLONS)
    return NOT_SHOWN if colon or len(text) > _LONGEST or GLUED_SEAL_PATTERN.search(text) else text


# What a charset without them may make a colon of, besides what is one to Unicode (NFKC).
_LIKE_COLONS = "\u02d0\u05c3\u2236\ua789"


def _colon(text: str) -> str:
    return f"{text}:"
