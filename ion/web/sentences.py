"""What reading and correcting say in English, in the language of the page.

These sentences are kept with a notification and told on the command line; values of the mail stand in them. The pages
know them by the English texts of `texts/sentences.toml`, in which `{names}` stand for whatever is there. A sentence
that is not among them stays as it is, and is marked as English.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from string import Formatter

from ion.web.texts import Texts, catalogue

_WHOLE = ("sentences.reading.", "sentences.typed.")
_NAMES = {"part": "sentences.part.", "other": "sentences.part.", "kind": "sentences.kind."}
"""Where the names stand that a value is one of; any other value is taken as it is."""
# In quotation marks as `repr` makes them: where it ends can be told, whatever is in it.
_REPR = r"None|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_FORMS = {
    **dict.fromkeys(("found", "sealed"), _REPR),
    **dict.fromkeys(("number", "most"), "[0-9]+"),
    **dict.fromkeys(("typed", "of"), ".{1,1000}?"),  # a field and the beginning of what was typed
}
"""What a value looks like. Of those that may be anything, none but the last is longer than a line: the sentences quote
mail, and no mail may have them looked through again and again."""


@dataclass(frozen=True)
class Sentence:
    """`locale`: the language it is in."""

    text: str
    locale: str


def translated(sentence: str, locale: str) -> Sentence:
    """A sentence of reading or correcting in this language; as it is where it is not known."""
    if locale == "en":
        return Sentence(sentence, locale)
    texts = Texts(locale)
    for name, pattern in _patterns():
        if found := pattern.fullmatch(sentence):
            values = found.groupdict()
            values |= {each: texts(_named(_NAMES[each])[values[each]]) for each in _NAMES.keys() & values.keys()}
            if "what" in values:  # a sentence itself
                inner = translated(values["what"], locale)
                if inner.locale != locale:
                    break
                values["what"] = inner.text
            return Sentence(texts(name, **values), locale)
    return Sentence(sentence, "en")


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """How each sentence is known, by its name; those that say most themselves come first."""
    texts = [(name, text) for name, text in catalogue()["en"].items() if name.startswith(_WHOLE)]
    texts.sort(key=lambda one: -sum(len(literal) for literal, *_ in Formatter().parse(one[1])))
    return tuple((name, re.compile("".join(_pattern(text)), re.DOTALL)) for name, text in texts)


def _pattern(text: str) -> Iterable[str]:
    for literal, value, *_ in Formatter().parse(text):
        yield re.escape(literal)
        if value is not None:
            names = "|".join(map(re.escape, _named(_NAMES[value]))) if value in _NAMES else None
            yield f"(?P<{value}>{names or _FORMS.get(value, '.*?')})"


@cache
def _named(where: str) -> dict[str, str]:
    """The names of the texts that stand there, by their English."""
    return {text: name for name, text in catalogue()["en"].items() if name.startswith(where)}
