"""Agree: the cheap check whether a body shows what another carrier has proved, each value once and nothing else.

Most mails arrive whole. Then nothing has to be found or read: from its title to its seal, a body that agrees is
made up, blanks aside, of the headings, the printed fields and the catalogue's phrases, in an order that only the
template knows. So it is paved with them, piece by piece. What cannot be paved is read and compared in the ordinary way.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lxml import etree

from ion.contract import SECTIONS, Language, language, languages
from ion.contract.anchors import COLONS, LOST_LETTERS
from ion.contract.languages import ALTERNATE_HEADINGS, SEAL_LABEL, TITLE_ONLY_HEADINGS
from ion.reading.proof import Proved
from ion.reading.streams import UNSEEN, hides_something, html_root, visible

_MORE_STEPS = 3000
_LETTERS_A_MARK = 2  # a mark mostly stands for one letter, at times for one and its combining mark
_HARDLY_READABLE = 0.03  # of all characters lost
_NUMBERS = re.compile(r"[0-9](?:[0-9.,:/-]*[0-9])?")
_LOST_WITH_DIGIT = re.compile(r"[?\ufffd][0-9]?")
_ENDING = 5  # characters, the colon among them


def agreeing_language(stream: str, proved: Proved) -> Language | None:
    """The language in which `stream`, a text without blanks, shows exactly what is proved; None where it does not."""
    return next(_agreeing(stream, proved, _WHOLE), None)


def garbled_language(stream: str, proved: Proved) -> Language | None:
    """The same where a charset lost letters: all of ASCII must agree, other letters may have become `?`.

    A letter more than the proved notification has is no loss but a change, and so are more letters missing than marks
    stand for: then None.
    """
    for manner in (_ASCII, _ASCII_OF_GB):
        for known in _agreeing(manner.bare(stream), proved, manner):
            shown, lost = _letters(stream, known, proved)
            texts = [text for block in _pieces(known, proved, _WHOLE) for text in (block.heading, *block.fields)]
            expected = _beyond_ascii(texts)
            foreign = shown - expected - _beyond_ascii(_texts(known.tag, _WHOLE).prose)
            if not foreign and (expected - shown).total() <= _LETTERS_A_MARK * lost:
                return known
    return None


def hardly_readable_language(text: str, proved: Proved) -> Language | None:
    """The language of a body that lost so much that its labels are gone too, if no number in it is a foreign one.

    Two charsets in which letters have two octets, one taken for the other, leave this; nobody could read it otherwise.
    """
    seal = text.rfind(proved.claim.seal or "\0")
    region = text[: seal if seal >= 0 else len(text)]
    lost = sum(region.count(mark) for mark in LOST_LETTERS)
    for known in languages() if lost > _HARDLY_READABLE * len(region) else ():
        ending = known.title[-_ENDING + 1 :]
        shown = _NUMBERS.findall(_LOST_WITH_DIGIT.sub(" ", region[max(region.find(ending), 0) :]))
        labels = (label for group in known.labels.values() for label in group.values())
        headings = (block.heading for block in _pieces(known, proved, _WHOLE))
        texts = (*proved.printed(known).values(), *known.mail.values(), *labels, *headings)
        if set(shown) <= set(_NUMBERS.findall(" ".join(texts))):
            return known
    return None


def _letters(stream: str, known: Language, proved: Proved) -> tuple[Counter[str], int]:
    """The letters beyond ASCII that stand between the title and the seal, and how many marks for lost ones."""
    start = stream.find(_texts(known.tag, _ASCII).title[-_ENDING:])
    region = stream[start : stream.rfind(proved.claim.seal or "")]
    lost = sum(region.count(mark) for mark in LOST_LETTERS)
    return Counter(letter for letter in region if letter > "~" and letter not in LOST_LETTERS), lost


def _beyond_ascii(texts: Iterable[str]) -> Counter[str]:
    return Counter(letter for text in texts for letter in text if letter > "~")


class _Block(NamedTuple):
    """A heading with its colon and the fields below it, `label:value`."""

    heading: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class _Texts:
    """What a catalogue prints, without blanks. `labels`: code → label, "" for the number behind the title."""

    title: str
    seal: str
    labels: dict[str, str]
    prose: tuple[str, ...]


@dataclass(frozen=True)
class _Manner:
    """What of two texts is compared: all but blanks and `left_out`."""

    name: str
    left_out: re.Pattern[str] | None

    def bare(self, text: str) -> str:
        return self.left_out.sub("", text) if self.left_out else "".join(text.split())


_WHOLE = _Manner("all but blanks", None)
# What every charset has, without the marks for what was lost; in the second manner a digit behind one is the rest of a
# letter (GB 18030 writes many as octet, digit, octet, digit).
_ASCII = _Manner("visible ASCII", re.compile(r"[^!->@-~]+"))
_ASCII_OF_GB = _Manner("visible ASCII beside GB 18030", re.compile(r"(?:[?\ufffd][0-9])+|[^!->@-~]+"))


def _agreeing(stream: str, proved: Proved, manner: _Manner) -> Iterator[Language]:
    seal = manner.bare(proved.claim.seal or "")
    if not seal or seal not in stream:
        return
    ends = [found.end() for found in _title_ends().finditer(stream)]
    titled = [
        (known, end)
        for known in languages()
        for end in ends
        if stream.endswith(_texts(known.tag, manner).title[:-1], 0, end - 1)
    ]
    if len({end for _, end in titled}) != 1:
        return  # another notification stands in it too, which must be read
    for known, end in titled:
        start = end - len(_texts(known.tag, manner).title)
        seal_at = _paved(stream, start, known, proved, manner)
        if seal_at is not None and stream.startswith(seal, seal_at):
            yield known


@cache
def _title_ends() -> re.Pattern[str]:
    """Finds places where a title may end; few, so that not every title is looked for everywhere."""
    endings = {re.escape(_texts(known.tag, _WHOLE).title[-_ENDING:-1]) for known in languages()}
    return re.compile(f"(?:{'|'.join(sorted(endings))})[{COLONS}]")


def text_without_blanks(text: str) -> str:
    return "".join(visible(text).split())


def html_without_blanks(html: str) -> str | None:
    """The visible text of an HTML body without blanks; None where something in it is hidden."""
    root = html_root(html)
    if root is None or hides_something(root):
        return None
    etree.strip_elements(root, *UNSEEN, with_tail=False)
    return "".join(visible("".join(map(str, root.itertext()))).split())


def _paved(stream: str, place: int, shown: Language, proved: Proved, manner: _Manner) -> int | None:
    """Where the seal begins, behind all pieces of the proved notification and nothing else; None if it cannot be."""
    (opening, *blocks), known = _pieces(shown, proved, manner), _texts(shown.tag, manner)
    place += len(opening.heading)
    if manner is not _WHOLE:
        return _paved_somehow(stream, place, opening.fields, tuple(blocks), known)
    fields = list(opening.fields)
    while True:  # whole texts leave one way to go on
        if (field := _next(stream, place, fields)) is not None:
            fields.remove(field)
            place += len(field)
        elif not fields and (block := next((one for one in blocks if stream.startswith(one.heading, place)), None)):
            blocks.remove(block)
            fields = list(block.fields)
            place += len(block.heading)
        elif (prose := _next(stream, place, known.prose)) is not None:
            place += len(prose)
        else:
            done = not fields and not blocks and stream.startswith(known.seal, place)
            return place + len(known.seal) if done else None


def _next(stream: str, place: int, pieces: Iterable[str]) -> str | None:
    for piece in pieces:
        if stream.startswith(piece, place):
            return piece
    return None


def _paved_somehow(
    stream: str, place: int, fields: tuple[str, ...], blocks: tuple[_Block, ...], known: _Texts
) -> int | None:
    """The same where several pieces may look alike: ways are tried in turn."""
    most = 4 * sum(len(block.fields) + 1 for block in blocks) + _MORE_STEPS
    ways = [(place, fields, blocks)]
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
