"""Anchors in a text: where a label, heading or title stands with its colon, whatever a mail program did to its blanks.

An anchor ends in a colon, and colons are few. So each colon is looked at once, and the text before it is walked
backwards through a tree of all anchors, character by character: the cost does not grow with the number of anchors.
Most need no walk: the letters before a colon are no ending of an anchor, or all of its line is one.
A blank of an anchor is any run of blanks or line breaks in the text. Where mail programs break lines without a blank
(behind a hyphen, between ideographs) a line break is passed over too.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

_WIDE_COLON = "\uff1a"
COLONS = f":{_WIDE_COLON}"
_NUMBER = "#"
# Letters that are put in place of lost ones: a text in which labels can be read at all needs far less.
_SOME_GUESSES = 2000
_GUESSES_A_CHARACTER = 0.1
_MOST_DIGITS = 6
_WINDOW = 60  # characters, hardly ever reached by an anchor
_DIGITS = "0123456789"
LOST_LETTERS = "?\ufffd"
"""What stands where a charset had no letter."""
_BRANCHING = frozenset(_DIGITS + LOST_LETTERS)
_SHIFTY = rf"\s{_DIGITS}{LOST_LETTERS}"  # characters that may stand for something else than themselves
_LONGEST_ENDING = 3
_END = ""  # the edge of the tree that says what ends here

Meaning = TypeVar("Meaning")
Known = dict[tuple[str, bool], tuple[tuple[int, Any] | None, bool, bool]]
"""The end of a text, and whether labels may be glued → the start and meaning of the anchor there, whether the text was
too short to tell, and whether there would be another anchor if labels may be glued."""


class Found(NamedTuple, Generic[Meaning]):
    """An anchor in a text: it begins at `start`, its colon ends at `end`."""

    start: int
    end: int
    meaning: Meaning


class AnchorFinder(Generic[Meaning]):
    """Finds the anchors that `meanings` names; `{n}` and `{count}` in them stand for any number of up to six digits."""

    def __init__(self, meanings: Mapping[str, Meaning]) -> None:
        self._tree: dict[str, Any] = {}
        found = {text.replace("{n}", _NUMBER).replace("{count}", _NUMBER): meanings[text] for text in meanings}
        for text, meaning in found.items():
            node = self._tree
            for character in reversed(text):
                node = node.setdefault(character, {})
            node[_END] = meaning
        self._colon = _colon_behind(found)
        self._lines = {text: meaning for text, meaning in found.items() if self._is_whole(text)}

    def _is_whole(self, text: str) -> bool:
        """True for an anchor that is found whatever stands in the lines before its own, glued or not."""
        node = self._tree
        for character in reversed(text):
            node = node[character]
        walk = _Walk(f"\n{text}", False, [0])
        found = walk.longest(self._tree, len(walk.text))
        return found == (1, node[_END]) and not walk.joined and " " not in node and re.search(r"[\d#?]", text) is None

    def find(self, text: str, *, glued: bool = False, known: Known | None = None) -> Iterator[Found[Meaning]]:
        """Every anchor in `text`, in reading order, none overlapping another.

        Of several that end at one colon it is the longest. A letter, digit or backslash before it means it is none,
        unless `glued`; a backslash between it and its colon (see `forms.guard`) always does. What a charset lost (`?`)
        may have been any letter that is not ASCII. `known`: what this finder found before; texts that are much alike
        are then walked once.
        """
        floor, guesses = 0, [_SOME_GUESSES + int(_GUESSES_A_CHARACTER * len(text))]
        known = {} if known is None else known
        for colon in self._colon.finditer(text.replace(_WIDE_COLON, ":")):
            behind = colon.start()
            while behind > floor and text[behind - 1].isspace():
                behind -= 1
            before = max(floor, behind - _WINDOW)
            line = text.rfind("\n", before, behind) + 1
            if line and (whole := self._lines.get(text[line:behind])) is not None:
                yield Found(line, colon.end(), whole)
                floor = colon.end()
                continue
            window = text[before:behind]
            if (window, glued) not in known:
                walk = _Walk(window, glued, guesses)
                known[window, glued] = walk.longest(self._tree, len(window)), walk.ended, walk.joined
            found, ended, _ = known[window, glued]
            if ended and before > floor:
                before, found = floor, _Walk(text[floor:behind], glued, guesses).longest(self._tree, behind - floor)
            if found is not None:
                yield Found(before + found[0], colon.end(), found[1])
                floor = colon.end()


def _colon_behind(anchors: Collection[str]) -> re.Pattern[str]:
    """Finds the colons that may end an anchor: what stands before them is an ending of one, as far as each character
    stands for itself alone."""
    longest = min((_LONGEST_ENDING, *map(len, anchors)))
    ways = []
    for length in range(longest + 1):
        endings = {re.escape(text[len(text) - length :]) for text in anchors}
        same = "|".join(sorted(ending for ending in endings if re.fullmatch(f"[^{_SHIFTY}]*", ending)))
        ways.append(f"(?<={'' if length == longest else f'[{_SHIFTY}]'}(?:{same}):)")
    return re.compile(f":(?:{'|'.join(reversed(ways))})")


@dataclass(slots=True)
class _Walk:
    """One walk through the tree, backwards through `text`. `guesses`: how many letters may still be put in place of
    lost ones; `ended`: the text ended before the walk did; `joined`: it passed an anchor joined to the word before."""

    text: str
    glued: bool
    guesses: list[int]
    ended: bool = False
    joined: bool = False

    def longest(self, node: dict[str, Any], place: int) -> tuple[int, Any] | None:
        """The longest anchor whose last unread character stands before `place`: its start and meaning."""
        text = self.text
        best: tuple[int, Any] | None = None
        while True:
            if _END in node:
                if place == 0 or not self._joins(text[place - 1]):
                    best = (place, node[_END])
                else:
                    self.joined = True
            if place == 0:
                self.ended = True
                break
            character = text[place - 1]
            if character in _BRANCHING or character.isspace():
                branched = self._branched(node, place)
                if branched is not None:
                    return branched
            if character in node:
                place -= 1
                node = node[character]
            elif character.isspace() and not (best is not None and best[0] == place):
                begin = self._before_blanks(place)
                if not _broken(text, begin, place):
                    break
                place = begin
            else:
                break
        return best

    def _branched(self, node: dict[str, Any], place: int) -> tuple[int, Any] | None:
        """The longest anchor where the next character stands for something else than itself."""
        text, character = self.text, self.text[place - 1]
        if character in LOST_LETTERS:
            if self.guesses[0] <= 0:
                return None
            self.guesses[0] -= sum(letter > "~" for letter in node)
            ways = [self.longest(inner, place - 1) for letter, inner in node.items() if letter > "~"]
            return min((way for way in ways if way), default=None, key=lambda way: way[0])
        if character in _DIGITS:
            first = place - 1
            while first > 0 and place - first <= _MOST_DIGITS and text[first - 1] in _DIGITS:
                first -= 1
            return self.longest(node[_NUMBER], first) if _NUMBER in node and place - first <= _MOST_DIGITS else None
        return self.longest(node[" "], self._before_blanks(place)) if " " in node else None

    def _before_blanks(self, place: int) -> int:
        while place > 0 and self.text[place - 1].isspace():
            place -= 1
        return place

    def _joins(self, character: str) -> bool:
        """True for a character that makes what follows it a part of another word."""
        return not self.glued and (character.isalnum() or character in "_\\")


def _broken(text: str, begin: int, place: int) -> bool:
    """True where the blanks `text[begin:place]` may be a line break that stands for nothing."""
    if begin == 0 or place == len(text):
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
