"""Agree: the cheap check whether a body shows what another carrier has proved, each value once and nothing else.

Most mails arrive whole. Then nothing has to be found or read: from its title to its seal, a body that agrees is
made up, blanks aside, of the headings, the printed fields and the catalogue's phrases, in an order that only the
template knows. So it is paved with them, piece by piece. What cannot be paved is read and compared in the ordinary way.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

from lxml import etree

from ion.contract import SECTIONS, Language, language, languages
from ion.contract.anchors import COLONS, LOST_LETTERS
from ion.contract.languages import ALTERNATE_HEADINGS, SEAL_LABEL, TITLE_ONLY_HEADINGS
from ion.reading.proof import Proved
from ion.reading.streams import UNSEEN, html_root, is_more_than_its_text, visible

_MORE_STEPS = 3000
_HARDLY_READABLE = 0.03  # of all characters lost
_NUMBERS = re.compile(r"[0-9](?:[0-9.,:/-]*[0-9])?")
_LOST_WITH_DIGIT = re.compile(r"[?\ufffd][0-9]?")
_ENDING = 5  # characters, the colon among them


def agreeing_language(stream: str, proved: Proved) -> Language | None:
    """The language in which `stream`, a text without blanks, shows exactly what is proved; None where it does not."""
    seal = proved.claim.seal or ""
    if not seal or seal not in stream:
        return None
    for known, start in _titled(stream, str):
        seal_at = _paved(stream, start + len(_texts(known.tag).title), known, proved)
        if seal_at is not None and stream.startswith(seal, seal_at):
            return known
    return None


def garbled_language(stream: str, proved: Proved) -> Language | None:
    """The same where a charset lost letters: all of ASCII must agree, and other letters may have become `?`, or not.

    A letter more than the proved notification has is no loss but a change, and so are letters missing where no mark
    stands for them: then None.
    """
    for manner in (_ASCII, _ASCII_OF_GB):
        seen, seal = _cut_at_losses(stream, manner), _kept(manner, proved.claim.seal or "")
        if not seal or seal not in seen.kept:
            continue
        for known, start in _titled(seen.kept, partial(_kept, manner)):
            title = _kept(manner, _texts(known.tag).title)
            seal_at = _paved_with_losses(seen, start + len(title), known, proved, manner)
            if seal_at is not None and seen.kept.startswith(seal, seal_at):
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
        headings = (block.heading for block in _blocks(known, proved))
        texts = (*proved.printed(known).values(), *known.mail.values(), *labels, *headings)
        if set(shown) <= set(_NUMBERS.findall(" ".join(texts))):
            return known
    return None


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


# What is left out where a charset may have lost letters: all but visible ASCII, and the marks for what was lost; in
# the second manner a digit behind one is the rest of a letter (GB 18030 writes many as octet, digit, octet, digit).
_ASCII = re.compile(r"[^!->@-~]+")
_ASCII_OF_GB = re.compile(r"(?:[?\ufffd][0-9])+|[^!->@-~]+")


class _Cut(NamedTuple):
    """A text as what no charset loses, `kept`, and what stands before each character of that (`gaps`) and behind."""

    kept: str
    gaps: tuple[str, ...]
    tail: str


def _kept(manner: re.Pattern[str], text: str) -> str:
    return manner.sub("", text)


def _cut_at_losses(text: str, manner: re.Pattern[str]) -> _Cut:
    gaps: list[str] = []
    gap, place = "", 0
    for found in manner.finditer(text):
        gaps += [gap, *[""] * (found.start() - place - 1)] if found.start() > place else []
        gap, place = (found[0] if found.start() > place else gap + found[0]), found.end()
    gaps += [gap, *[""] * (len(text) - place - 1)] if len(text) > place else []
    return _Cut(_kept(manner, text), tuple(gaps), gap if len(text) == place else "")


def _is_lossy(seen: str, true: str) -> bool:
    """True where `seen` is `true`, or what a charset left of it."""
    if seen == true:
        return True
    letters = [letter for letter in seen if letter > "~" and letter not in LOST_LETTERS]
    expected = [letter for letter in true if letter not in LOST_LETTERS]
    rest = iter(expected)
    marks = sum(seen.count(mark) for mark in LOST_LETTERS)
    in_order = all(letter in rest for letter in letters)
    # A mark stands for one letter, or for all that was joined into one.
    return in_order and (marks > 0 or len(expected) == len(letters))


def _titled(shown: str, kept: Callable[[str], str]) -> Iterator[tuple[Language, int]]:
    """Languages whose title stands once and alone in `shown`, what is kept of a text, and where it begins there."""
    ends = [found.end() for found in _title_ends().finditer(shown)]
    found = [
        (known, end - len(title))
        for known in languages()
        if (title := kept(_texts(known.tag).title))
        for end in ends
        if shown.endswith(title[:-1], 0, end - 1)
    ]
    # Where another notification stands in it too, it must be read.
    return iter(found if len({start + len(kept(_texts(known.tag).title)) for known, start in found}) == 1 else ())


@cache
def _title_ends() -> re.Pattern[str]:
    """Finds places where a title may end; few, so that not every title is looked for everywhere."""
    endings = {re.escape(_texts(known.tag).title[-_ENDING:-1]) for known in languages()}
    return re.compile(f"(?:{'|'.join(sorted(endings))})[{COLONS}]")


def text_without_blanks(text: str) -> str:
    return "".join(visible(text).split())


def html_without_blanks(html: str) -> str | None:
    """The visible text of an HTML body without blanks; None where more or less is to be seen than its text."""
    root = html_root(html)
    if root is None or is_more_than_its_text(root):
        return None
    etree.strip_elements(root, *UNSEEN, with_tail=False)
    return "".join(visible("".join(map(str, root.itertext()))).split())


def _paved(stream: str, place: int, shown: Language, proved: Proved) -> int | None:
    """Where the seal begins, behind all pieces of the proved notification and nothing else; None if it cannot be."""
    (opening, *blocks), known = _blocks(shown, proved), _texts(shown.tag)
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


class _Way(NamedTuple):
    """How far a text was paved: up to `place`, before whose gap `tail` belongs to the last piece; what is left."""

    place: int
    tail: str
    fields: tuple[_Cut, ...]
    blocks: tuple[tuple[_Cut, tuple[_Cut, ...]], ...]


def _paved_with_losses(seen: _Cut, place: int, shown: Language, proved: Proved, manner: re.Pattern[str]) -> int | None:
    """The same where letters were lost, so that several pieces may look alike: ways are tried in turn."""
    opening, *others = [
        (_cut_at_losses(block.heading, manner), tuple(_cut_at_losses(field, manner) for field in block.fields))
        for block in _blocks(shown, proved)
    ]
    known = _texts(shown.tag)
    seal, prose = _cut_at_losses(known.seal, manner), [_cut_at_losses(phrase, manner) for phrase in known.prose]
    phrases = [phrase for phrase in prose if phrase.kept]
    # What may stand in a gap between two pieces: a phrase, or as many as a table has columns.
    tails = [phrase.tail for phrase in prose if not phrase.kept]
    silent = ["", *("".join(tails[first : first + size]) for size in (1, 2, 3) for first in range(len(tails)))]
    most = 4 * sum(len(fields) + 1 for _, fields in others) + _MORE_STEPS

    def behind(way: _Way, piece: _Cut) -> tuple[int, str] | None:
        """The place and tail behind a piece that stands next on a way; None where it does not."""
        place, tail = way.place, way.tail
        if not piece.kept:
            return place, tail + piece.tail
        if not seen.kept.startswith(piece.kept, place):
            return None
        if not any(_is_lossy(seen.gaps[place], f"{tail}{phrase}{piece.gaps[0]}") for phrase in silent):
            return None
        inner = zip(seen.gaps[place + 1 : place + len(piece.kept)], piece.gaps[1:], strict=True)
        return (place + len(piece.kept), piece.tail) if all(_is_lossy(*pair) for pair in inner) else None

    ways = [_Way(place, "", opening[1], tuple(others))]
    while ways and most:
        way = ways.pop()
        most -= 1
        if not way.fields and not way.blocks and (done := behind(way, seal)):
            return done[0]
        ways += [_Way(*next_place, way.fields, way.blocks) for one in phrases if (next_place := behind(way, one))]
        if not way.fields:
            ways += [
                _Way(*next_place, fields, (*way.blocks[:number], *way.blocks[number + 1 :]))
                for number, (heading, fields) in reversed(tuple(enumerate(way.blocks)))
                if (next_place := behind(way, heading))
            ]
        ways += [
            _Way(*next_place, (*way.fields[:number], *way.fields[number + 1 :]), way.blocks)
            for number, field in reversed(tuple(enumerate(way.fields)))
            if (next_place := behind(way, field))
        ]
    return None


def _blocks(shown: Language, proved: Proved) -> tuple[_Block, ...]:
    """The blocks of the proved notification, without blanks, in the contract's order."""
    kept: dict[str, tuple[_Block, ...]] = proved.pieces
    if shown.tag not in kept:
        kept[shown.tag] = _cut_in_blocks(shown, proved)
    return kept[shown.tag]


def _cut_in_blocks(shown: Language, proved: Proved) -> tuple[_Block, ...]:
    known = _texts(shown.tag)
    fields: dict[tuple[str, int], list[str]] = {}
    for (code, index), printed in proved.printed(shown).items():
        section = code.partition(".")[0]
        block = (section, index[0] if SECTIONS[section].repeated else 0)
        fields.setdefault(block, []).append(known.labels[code] + "".join(printed.split()))
    counts = Counter(section for section, _ in fields)
    direct = {section: code for code, section in ALTERNATE_HEADINGS.items()} if not proved.order.ships_to_hub else {}
    return tuple(
        _Block(
            "".join(f"{shown.heading(direct.get(section, section), number + 1, counts[section])}:".split()),
            tuple(pieces),
        )
        for (section, number), pieces in fields.items()
    )


@cache
def _texts(tag: str) -> _Texts:
    known = language(tag)
    labels = {
        f"{section.code}.{name}": "".join(f"{text}:".split())
        for section in SECTIONS.values()
        for name, text in known.labels[section.labels].items()
    }
    headings = (f"{known.headings[code]}:" for code in TITLE_ONLY_HEADINGS)
    prose = (*headings, *(phrase for phrase in known.mail.values() if "{" not in phrase))
    return _Texts(
        title="".join(f"{known.title}:".split()),
        seal=labels[f"proof.{SEAL_LABEL}"],
        labels={**labels, "opening.order_number": ""},
        prose=tuple("".join(phrase.split()) for phrase in prose if phrase),
    )
