"""Ready field blocks: an order and its notification as headed lists of printed fields, for templates to place.

A template decides where a block stands and how it looks. It prints headings, labels and values as they are given
here, so that the reader finds them again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ion.contract import SECTIONS, Entry, Language, print_value
from ion.contract.fields import FIELDS, Kind
from ion.contract.languages import SEAL_LABEL
from ion.order import Order


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
        counts = {
            code: len({entry.index[0] for entry in values if entry.section == code and section.repeated})
            for code, section in SECTIONS.items()
        }
        grouped: dict[tuple[str, int], list[Entry]] = {}
        for entry in values:
            place = entry.index[0] if SECTIONS[entry.section].repeated else 0
            grouped.setdefault((entry.section, place), []).append(entry)
        for (code, place), inside in grouped.items():
            heading = language.heading(self._heading_code(code, order), place + 1, counts[code])
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

    @staticmethod
    def _heading_code(code: str, order: Order) -> str:
        return "delivery_direct" if code == "delivery" and not order.ships_to_hub else code

    def _printed(self, entry: Entry) -> PrintedField:
        label = self._language.label(SECTIONS[entry.section], entry.field)
        kind = FIELDS[entry.code].kind
        text = print_value(kind, entry.value, self._language, entry.field)
        return PrintedField(entry.field, _colon(label), text, lines=kind == Kind.LINES and "\n" in entry.value)


def _colon(text: str) -> str:
    return f"{text}:"
