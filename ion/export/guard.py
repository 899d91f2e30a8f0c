"""The guard of text in a CSV: an apostrophe before what a spreadsheet would take for something else than text.

A CSV does not say what a cell is, so a spreadsheet guesses: `00123E4` becomes 1230000, `1/2` a day, `=1+1` a formula.
`formulas` guards what begins like a formula (OWASP, CSV injection; CWE-1236); `spreadsheet` also what one of the
English, German and French programs would convert, and what would begin a cell if the file were taken apart at the wrong
delimiter: there the quotes of a CSV no longer hold a text together. Apostrophes that stand there already are guarded
too, so that taking one away always gives the value again.
"""

import re
import unicodedata
from enum import StrEnum

from ion.currencies import MINOR_DIGITS


class Guard(StrEnum):
    """How much is guarded. Numbers and instants of the file's own never are."""

    NONE = "none"
    FORMULAS = "formulas"
    SPREADSHEET = "spreadsheet"


MARK = "'"

# Full-width and small twins count: programs of East Asia take them for the same.
_FORMULA = frozenset("=+-@\t\r\n\u2212＝＋－＠﹢﹣﹦﹫")
# A phone number is the one text that begins like a formula and is none: digits and the marks of phone numbers alone
# can call nothing. An importer needs it as it is.
_PHONE = re.compile(r"\+[0-9][0-9 ()./-]*")
# ISO 8601 with a time is read as what it is, and shown as it stands, or left alone.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?")

_BOOLEANS = frozenset("true false wahr falsch vrai faux".split())
_ERRORS = re.compile(r"#[A-Z0/]+[!?]?", re.IGNORECASE)
_MONTHS = """
    january february march april may june july august september october november december sept
    jan feb mar apr jun jul aug sep oct nov dec
    januar jänner februar märz mär mai juni juli oktober okt dezember dez
    janvier janv février févr mars avril avr juin juillet juil août septembre octobre novembre décembre déc
"""
_DAYS = """
    monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun
    montag dienstag mittwoch donnerstag freitag samstag sonntag mo di mi do fr sa so
    lundi mardi mercredi jeudi vendredi samedi dimanche lun mer jeu ven sam dim
"""
_IN_DATES = frozenset((_MONTHS + _DAYS + "am pm a p h t z e st nd rd th").split())
_WORDS = re.compile(r"[^\W\d_]+")
# Behind a delimiter or line break, with quotes and blanks between.
_INNER = re.compile(rf"(?<=[,;\t\n\r])(?P<between>[\"\s\u200b\ufeff]*)(?='*[{re.escape(''.join(_FORMULA))}])")


def guarded(text: str, guard: Guard) -> str:
    """The text as it may stand in a file with that guard."""
    if not text or guard is Guard.NONE:
        return text
    if guard is Guard.SPREADSHEET:
        text = _INNER.sub(lambda found: found["between"] + MARK, text)
    if text.startswith(MARK) or _begins_a_formula(text, phones=guard is Guard.FORMULAS):
        return MARK + text
    return MARK + text if guard is Guard.SPREADSHEET and converted_by_a_spreadsheet(text) else text


def unguarded(text: str, guard: Guard) -> str:
    """What was guarded like that, again: the text without the apostrophe in front, where it is the guard's."""
    return text[1:] if text.startswith(MARK) and guarded(text[1:], guard) == text else text


def _begins_a_formula(text: str, *, phones: bool) -> bool:
    """What is in front and not seen, such as a BOM or a blank, may be taken away before the text is looked at."""
    for letter in text:
        if letter in _FORMULA:
            return not (phones and _PHONE.fullmatch(text))
        if not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Cc"):
            return False
    return False


def converted_by_a_spreadsheet(text: str) -> bool:
    """Whether a program might show something else than the text: a number, a date or time, a truth value, an error."""
    bare = text.strip()
    if bare.casefold() in _BOOLEANS or _ERRORS.fullmatch(bare):
        return True
    if not any(unicodedata.category(letter) in ("Nd", "No") for letter in bare) or _INSTANT.fullmatch(bare):
        return False
    words = _WORDS.findall(bare)
    return all(word.casefold() in _IN_DATES or word.upper() in MINOR_DIGITS for word in words)
