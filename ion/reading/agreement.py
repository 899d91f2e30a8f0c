"""Agree: the cheap check whether a body shows what another carrier has proved, each value once and nothing else.

Most mails arrive whole. Then nothing has to be found or read: from its title to its seal, a body that agrees is
made up, blanks aside, of the headings, the printed fields and the catalogue's phrases, in an order that only the
template knows. So it is paved with them, piece by piece. What cannot be paved is read and compared in the ordinary way.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lxml import etree

from ion.contract import SECTIONS, Language, language, languages
from ion.contract.anchors import LOST_LETTERS
from ion.contract.languages import ALTERNATE_HEADINGS, SEAL_LABEL, TITLE_ONLY_HEADINGS
from ion.order import INVISIBLE
from ion.reading.proof import Proved
from ion.reading.streams import UNSEEN, hides_something, html_root
from ion.seal import normal_seal

_MORE_STEPS = 3000
_TITLE_END = "(ION)"  # of every language


def agreeing_language(stream: str, proved: Proved) -> Language | None:
    """The language in which `stream`, a text without blanks, shows exactly what is proved; None where it does not."""
    return next(_agreeing(stream, proved, _WHOLE), None)


def garbled_language(stream: str, proved: Proved) -> Language | None:
    """The same where a charset lost letters: all of ASCII must agree, other letters may be gone or have become `?`.

    A letter that is not in the proved notification at all is no loss but a change: then None.
    """
    region = stream[stream.find(_TITLE_END) : stream.rfind(proved.claim.seal or "")]
    letters = {letter for letter in region if letter > "~"}
    for known in _agreeing(_ASCII.bare(stream), proved, _ASCII):
        texts = [text for block in _pieces(known, proved, _WHOLE) for text in (block.heading, *block.fields)]
        if letters <= set("".join((*texts, *_texts(known.tag, _WHOLE).prose, *LOST_LETTERS))):
            return known
    return None


class _Block(NamedTuple):
    """A heading with its colon and the fields below it, `label:value`."""

    heading: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class _Manner:
    """What of two texts is compared: all but `left_out`."""

    name: str
    left_out: re.Pattern[str]

    def bare(self, text: str) -> str:
        return self.left_out.sub("", text)


_WHOLE = _Manner("all but blanks", re.compile(r"\s+"))
# What every charset has, without the marks for what was lost; a digit behind one may be the rest of a letter (GB 18030
# writes some as octet, digit, octet, digit).
_ASCII = _Manner("visible ASCII", re.compile(r"(?:\ufffd[0-9])+|[^!->@-~]+"))


def _agreeing(stream: str, proved: Proved, manner: _Manner) -> Iterator[Language]:
    for known in languages():
        title = _texts(known.tag, manner).title
        if stream.count(title) == 1:
            end = _paved(stream, stream.index(title), known, proved, manner)
            seal = stream[end : end + 24] if end is not None else ""
            if normal_seal(seal) == normal_seal(proved.claim.seal or "-"):
                yield known


def text_without_blanks(text: str) -> str:
    return "".join(INVISIBLE.sub("", text).split())


def html_without_blanks(html: str) -> str | None:
    """The visible text of an HTML body without blanks; None where something in it is hidden."""
    root = html_root(html)
    if root is None or hides_something(root):
        return None
    etree.strip_elements(root, *UNSEEN, with_tail=False)
    return "".join(INVISIBLE.sub("", "".join(map(str, root.itertext()))).split())


def _paved(stream: str, place: int, shown: Language, proved: Proved, manner: _Manner) -> int | None:
    """Where the seal begins, behind all pieces of the proved notification and nothing else; None if it cannot be.

    Whole texts leave one way to go on; of garbled ones several pieces may look alike, so ways are tried in turn.
    """
    (opening, *blocks), known = _pieces(shown, proved, manner), _texts(shown.tag, manner)
    most = 4 * sum(len(block.fields) + 1 for block in blocks) + _MORE_STEPS
    ways = [(place + len(opening.heading), opening.fields, tuple(blocks))]
    while ways and most:
        place, fields, left = ways.pop()
        most -= 1
        if not fields and not left and stream.startswith(known.seal, place):
            return place + len(known.seal)
        ways += [(place + len(prose), fields, left) for prose in known.prose if stream.startswith(prose, place)]
        if not fields:
            ways += [
                (place + len(block.heading), block.fields, (*left[:number], *left[number + 1 :]))
                for number, block in reversed(tuple(enumerate(left)))
                if stream.startswith(block.heading, place)
            ]
        ways += [
            (place + len(field), (*fields[:number], *fields[number + 1 :]), left)
            for number, field in reversed(tuple(enumerate(fields)))
            if stream.startswith(field, place)
        ]
    return None


def _pieces(shown: Language, proved: Proved, manner: _Manner) -> tuple[_Block, ...]:
    """The blocks of the proved notification, without blanks, in the contract's order."""
    kept: dict[tuple[str, str], tuple[_Block, ...]] = proved.pieces
    if (shown.tag, manner.name) not in kept:
        kept[shown.tag, manner.name] = _cut(shown, proved, manner)
    return kept[shown.tag, manner.name]


def _cut(shown: Language, proved: Proved, manner: _Manner) -> tuple[_Block, ...]:
    known = _texts(shown.tag, manner)
    fields: dict[tuple[str, int], list[str]] = {}
    for (code, index), printed in proved.printed(shown).items():
        section = code.partition(".")[0]
        block = (section, index[0] if SECTIONS[section].repeated else 0)
        fields.setdefault(block, []).append(known.labels[code] + manner.bare(printed))
    counts = Counter(section for section, _ in fields)
    direct = {section: code for code, section in ALTERNATE_HEADINGS.items()} if not proved.order.ships_to_hub else {}
    return tuple(
        _Block(
            manner.bare(f"{shown.heading(direct.get(section, section), number + 1, counts[section])}:"), tuple(pieces)
        )
        for (section, number), pieces in fields.items()
    )


@dataclass(frozen=True)
class _Texts:
    """What a catalogue prints, without blanks. `labels`: code → label, "" for the number behind the title."""

    title: str
    seal: str
    labels: dict[str, str]
    prose: tuple[str, ...]


@cache
def _texts(tag: str, manner: _Manner) -> _Texts:
    known = language(tag)
    labels = {
        f"{section.code}.{name}": manner.bare(f"{text}:")
        for section in SECTIONS.values()
        for name, text in known.labels[section.labels].items()
    }
    headings = (f"{known.headings[code]}:" for code in TITLE_ONLY_HEADINGS)
    prose = (*headings, *(phrase for phrase in known.mail.values() if "{" not in phrase))
    return _Texts(
        title=manner.bare(f"{known.title}:"),
        seal=labels[f"proof.{SEAL_LABEL}"],
        labels={**labels, "opening.order_number": ""},
        prose=tuple(filter(None, map(manner.bare, prose))),
    )
