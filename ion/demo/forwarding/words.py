"""The words of each language that clients write around a forwarded mail, and dates as they print them.

A language is one TOML file written by a person (`words/<tag>.toml`): what published fixtures of forwarding parsers hold
for nine languages, and for the others what the clients are reported or assumed to write. The names of months and days
and the patterns of dates come from CLDR, taken once (`words/cldr.json`, made by `tests/make_forwarding_words.py`).
"""

import json
import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = (
    *("en", "de", "fr", "es", "it", "nl", "pt", "pt-BR", "pl", "sv", "da", "nb", "fi", "cs", "sk", "hu", "ro", "hr"),
    *("tr", "el", "ru", "uk", "ja", "zh-CN", "zh-TW", "ko", "he", "ar"),
)


@dataclass(frozen=True)
class Words:
    """What clients set to one language write.

    `tables`: by family of clients, with `common` for all that have no word of their own; `calendar`: from CLDR.
    """

    tag: str
    direction: str
    charset: str
    tables: dict[str, dict[str, str]]
    calendar: dict[str, Any]

    def __call__(self, family: str, key: str) -> str:
        """The family's word, or else the common one."""
        own = self.tables.get(family, {})
        return own[key] if key in own else self.tables["common"][key]

    def label(self, family: str, key: str) -> str:
        """A label of the header block with its colon: French has a blank before it, Chinese a full-width one."""
        return self(family, key) + self(family, "colon")

    @property
    def dir(self) -> str:
        """An attribute for HTML, where the language is written from right to left."""
        return ' dir="rtl"' if self.direction == "rtl" else ""

    def date(self, moment: datetime, pattern: str) -> str:
        """`moment` by a pattern of CLDR's (`EEEE, d. MMMM y`), or by the name of one of the language's own (`full`)."""
        pattern = self.calendar["patterns"].get(pattern, pattern)
        return re.sub(r"'([^']*)'|([A-Za-z])\2*", lambda found: self._field(found, moment), pattern)

    def _field(self, found: re.Match[str], moment: datetime) -> str:
        if found[2] is None:
            return found[1] or "'"
        return _NUMBERS[found[0]](moment) if found[0] in _NUMBERS else str(self._name(found[0], moment))

    def _name(self, field: str, moment: datetime) -> str:
        table, place = {
            "MMMM": ("months", moment.month - 1),
            "MMM": ("short_months", moment.month - 1),
            "EEEE": ("days", moment.weekday()),
            "cccc": ("days", moment.weekday()),
            "EEE": ("short_days", moment.weekday()),
            "a": ("periods", moment.hour // 12),
            "B": ("periods", moment.hour // 12),
        }[field]
        return str(self.calendar[table][place])


_NUMBERS: dict[str, Any] = {
    "y": lambda moment: str(moment.year),
    "yyyy": lambda moment: f"{moment.year:04d}",
    "yy": lambda moment: f"{moment.year % 100:02d}",
    "M": lambda moment: str(moment.month),
    "MM": lambda moment: f"{moment.month:02d}",
    "d": lambda moment: str(moment.day),
    "dd": lambda moment: f"{moment.day:02d}",
    "H": lambda moment: str(moment.hour),
    "HH": lambda moment: f"{moment.hour:02d}",
    "h": lambda moment: str(moment.hour % 12 or 12),
    "hh": lambda moment: f"{moment.hour % 12 or 12:02d}",
    "mm": lambda moment: f"{moment.minute:02d}",
    "ss": lambda moment: f"{moment.second:02d}",
}


@cache
def words_of(tag: str) -> Words:
    """The words of a language. Raises KeyError for one that is not in `LANGUAGES`."""
    if tag not in LANGUAGES:
        raise KeyError(f"no words for {tag!r}; known are {', '.join(LANGUAGES)}")
    folder = resources.files("ion.demo.forwarding") / "words"
    table = tomllib.loads((folder / f"{tag}.toml").read_text("utf-8"))
    calendars = json.loads((folder / "cldr.json").read_text("utf-8"))
    families = {name: words for name, words in table.items() if isinstance(words, dict)}
    return Words(tag, table["direction"], table["charset"], families, calendars["languages"][tag])
