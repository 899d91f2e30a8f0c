"""The language catalogues: labels, headings, words and number marks, and the anchors made of them.

A language is one TOML file written by a person (`languages/<tag>.toml`) and one JSON file taken from CLDR once
and committed (`cldr/<tag>.json`, with its version), so that two machines print and read alike. Adding a language
means adding these two files; `tests/test_contract.py` checks that they are complete and unambiguous.
"""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

from ion.contract.anchors import AnchorFinder
from ion.contract.fields import SECTIONS, Section
from ion.errors import SettingError

# Headings that stand beside a section's own: `delivery_direct` replaces `delivery` where no hub is involved, `items`
# opens the table of line items. What follows a heading up to the next anchor is prose and not read.
ALTERNATE_HEADINGS = {"delivery_direct": "delivery"}
TITLE_ONLY_HEADINGS = ("items",)
SEAL_LABEL = "seal"


@dataclass(frozen=True)
class Anchor:
    """What a label or heading, found in a text, means.

    `heading`: the section code it opens (or "" for a heading that only introduces); `labels`: group of labels →
    field name, for a label.
    """

    heading: str | None
    labels: dict[str, str]


@dataclass(frozen=True)
class Language:
    """One catalogue. `tag`: BCP 47 (`pt-BR`); `direction`: `ltr` or `rtl`; `decimal`, `group`: marks of numbers;
    `least_grouped`: digits left of the decimal mark from which on they are grouped."""

    tag: str
    name: str
    direction: str
    decimal: str
    group: str
    least_grouped: int
    headings: dict[str, str]
    labels: dict[str, dict[str, str]]
    words: dict[str, dict[str, str]]
    countries: dict[str, str]
    mail: dict[str, str]
    changes: dict[str, str]
    alerts: dict[str, str]
    report: dict[str, str]

    def label(self, section: Section, field: str) -> str:
        return self.labels[section.labels][field]

    def heading(self, code: str, number: int = 1, count: int = 1) -> str:
        """The heading of a section; numbered ones say `number` of `count`."""
        return self.headings[code].format(n=number, count=count)

    @property
    def title(self) -> str:
        """The anchor that opens a notification."""
        return self.headings["opening"]

    @cached_property
    def anchors(self) -> dict[str, Anchor]:
        """Every label and heading by its text; numbered headings keep their placeholders."""
        found: dict[str, Anchor] = {}
        for code, text in self.headings.items():
            if code == "opening":
                continue
            target = "" if code in TITLE_ONLY_HEADINGS else ALTERNATE_HEADINGS.get(code, code)
            found[text] = Anchor(target, {})
        for group, labels in self.labels.items():
            for field, text in labels.items():
                anchor = found.setdefault(text, Anchor(None, {}))
                anchor.labels[group] = field
        return found

    @cached_property
    def finder(self) -> AnchorFinder[Anchor]:
        """Finds the labels and headings of this language in a text."""
        return AnchorFinder(self.anchors)


@cache
def language(tag: str) -> Language:
    """The catalogue of `tag`, case-insensitively. Raises SettingError naming the known ones."""
    known = {known_tag.lower(): known_tag for known_tag in tags()}
    if tag.lower() not in known:
        raise SettingError(f"language {tag!r} is not known; known are {', '.join(tags())}")
    tag = known[tag.lower()]
    package = resources.files("ion.contract")
    text = tomllib.loads((package / "languages" / f"{tag}.toml").read_text("utf-8"))
    cldr = json.loads((package / "cldr" / f"{tag}.json").read_text("utf-8"))
    return Language(
        tag=tag,
        name=text["name"],
        direction=text["direction"],
        decimal=cldr["decimal"],
        group=cldr["group"],
        least_grouped=cldr["least_grouped"],
        headings=text["headings"],
        labels=text["labels"],
        words=text["words"],
        countries=cldr["countries"],
        mail=text["mail"],
        changes=text["changes"],
        alerts=text["alerts"],
        report=text["report"],
    )


@cache
def tags() -> tuple[str, ...]:
    """The tags of all languages that have a catalogue, English first."""
    found = sorted(
        entry.name.removesuffix(".toml")
        for entry in (resources.files("ion.contract") / "languages").iterdir()
        if entry.name.endswith(".toml")
    )
    return ("en", *(tag for tag in found if tag != "en"))


def languages() -> Iterator[Language]:
    """All catalogues, English first."""
    return (language(tag) for tag in tags())


@cache
def title_finder() -> AnchorFinder[Language]:
    """Finds the titles of all languages; the meaning of one is its language."""
    return AnchorFinder({known.title: known for known in languages()})


@cache
def proof_finder() -> AnchorFinder[tuple[Language, ...]]:
    """Finds what only a notification prints: its numbered headings and the heading of its proof; the meaning of one
    is the languages that have it."""
    headings: dict[str, tuple[Language, ...]] = {}
    for known in languages():
        for code, text in known.headings.items():
            if code == "proof" or "{n}" in text:
                headings[text] = (*headings.get(text, ()), known)
    return AnchorFinder(headings)


def expected_labels() -> dict[str, set[str]]:
    """Group of labels → the field names a complete catalogue must label."""
    groups: dict[str, set[str]] = {}
    for section in SECTIONS.values():
        groups.setdefault(section.labels, set()).update(field.name for field in section.fields)
    groups["proof"].add(SEAL_LABEL)
    return groups
