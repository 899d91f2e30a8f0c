"""Anchors in a text: where a label, heading or title stands with its colon, whatever a mail program did to its blanks.

An anchor ends in a colon, and colons are few. So each colon is looked at once, and the text before it is walked
backwards through a tree of all anchors, character by character: the cost does not grow with the number of anchors.
A blank of an anchor is any run of blanks or line breaks in the text. Where mail programs break lines without a blank
(behind a hyphen, between ideographs) a line break is passed over too.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

COLONS = ":\uff1a"
_COLON = re.compile(f"[{COLONS}]")
_NUMBER = "#"
_MOST_DIGITS = 6
_END = ""  # the edge of the tree that says what ends here

Meaning = TypeVar("Meaning")


@dataclass(frozen=True)
class Found(Generic[Meaning]):
    """An anchor in a text: it begins at `start`, its colon ends at `end`."""

    start: int
    end: int
    meaning: Meaning


class AnchorFinder(Generic[Meaning]):
    """Finds the anchors that `meanings` names; `{n}` and `{count}` in them stand for any number of up to six digits."""

    def __init__(self, meanings: Mapping[str, Meaning]) -> None:
        self._tree: dict[str, Any] = {}
        for text, meaning in meanings.items():
            node = self._tree
            for character in reversed(text.replace("{n}", _NUMBER).replace("{count}", _NUMBER)):
                node = node.setdefault(character, {})
            node[_END] = meaning

    def find(self, text: str, start: int = 0, end: int | None = None) -> Iterator[Found[Meaning]]:
        """Every anchor in `text[start:end]`, in reading order, none overlapping another.

        Of several that end at one colon it is the longest. A letter or digit before it, or a backslash (see
        `forms.guard`), means that it is none.
        """
        floor = start
        for colon in _COLON.finditer(text, start, len(text) if end is None else end):
            behind = colon.start()
            while behind > floor and text[behind - 1].isspace():
                behind -= 1
            found = self._walk(self._tree, text, behind, floor)
            if found is not None:
                yield Found(found[0], colon.end(), found[1])
                floor = colon.end()

    def _walk(self, node: dict[str, Any], text: str, place: int, floor: int) -> tuple[int, Meaning] | None:
        """The longest anchor whose last unread character stands before `place`: its start and meaning."""
        best: tuple[int, Meaning] | None = None
        while place > floor:
            character = text[place - 1]
            if character in "0123456789" and _NUMBER in node:
                first = place - 1
                while first > floor and place - first <= _MOST_DIGITS and text[first - 1] in "0123456789":
                    first -= 1
                if place - first <= _MOST_DIGITS:
                    numbered = self._walk(node[_NUMBER], text, first, floor)
                    if numbered is not None:
                        return numbered
            if character.isspace():
                begin = place - 1
                while begin > floor and text[begin - 1].isspace():
                    begin -= 1
                spaced = self._walk(node[" "], text, begin, floor) if " " in node else None
                if spaced is not None:
                    return spaced
                if (best is not None and best[0] == place) or not _broken(text, begin, place, floor):
                    break
                place = begin
            elif character in node:
                place -= 1
                node = node[character]
            else:
                break
            if _END in node and (place == 0 or not _joins(text[place - 1])):
                best = (place, node[_END])
        return best


def _joins(character: str) -> bool:
    """True for a character that makes what follows it a part of another word, or a colon's guard."""
    return character.isalnum() or character in "_\\"


def _broken(text: str, begin: int, place: int, floor: int) -> bool:
    """True where the blanks `text[begin:place]` may be a line break that stands for nothing."""
    if begin <= floor or place >= len(text):
        return False
    before, behind = text[begin - 1], text[place]
    return before == "-" or (is_ideographic(before) and is_ideographic(behind))


def is_ideographic(character: str) -> bool:
    """True for characters of scripts that are written without blanks, between any two of which a line may break
    (UAX #14, classes ID, CJ, H2, H3 and their punctuation)."""
    return (
        "\u1100" <= character <= "\u11ff"
        or "\u2e80" <= character <= "\ud7ff"
        or "\uf900" <= character <= "\ufaff"
        or ("\ufe30" <= character <= "\ufe4f" or "\uff00" <= character <= "\uffef" or character >= "\U00020000")
    )
