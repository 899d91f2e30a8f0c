"""Printed forms: how a value of each kind is printed in a language, and the strict inverse.

`print_value` turns a canonical value into what a person reads; `read_value` is its inverse and strict: a text is read
only if printing the result gives that text again, blanks aside. So what is read is never a guess.

Canonical values are texts (see `canonical`): decimals without trailing zeros, money `38.5 EUR`, pairs as a JSON
list, flags `1`, instants `2026-11-23T19:20:05Z`.

A value never looks like anything else, so that what mail programs add can be told from it and taken away again. A
backslash stands before the colon that would complete an anchor, before `>` at the start of a word (quotation marks,
wherever a program wraps the line; initials may stand before them), before `|` (quotation, cells of a table), before `*`
at the edge of a word and `#` as a word (bold and headings, in text made of HTML), before `<` and `[` in front of an
address (`<mailto:...>`, which programs write behind what they link) and before a backslash.

A line break inside a value is printed as a slash between blanks, because a forwarded mail does not keep line breaks;
where a value with lines has such a slash itself, a backslash stands before it. All these marks are ASCII: they arrive
in every charset.
"""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

from ion.contract.anchors import COLONS
from ion.contract.fields import Kind
from ion.contract.languages import Language, title_finder
from ion.order import PLAIN_NUMBER, canonical_text, decimal_text, read_decimal

# Minor units of currencies that do not have two (ISO 4217). Printing pads to them; more digits are never cut.
MINOR_DIGITS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
LINE_BREAK = "/"
_TEXTS = (Kind.TEXT, Kind.LINES)
_ESCAPED = re.compile(r"\\([\\:\uff1a=/<>|*#\[])")
_LONE_SLASH = re.compile(r"(?<!\S)/(?!\S)")
# What mail programs write themselves, where a value could be mistaken for it: a backslash is put behind `initials`.
_PROGRAM_MARKS = re.compile(
    r"""
    (?<![^\s:\uff1a]) (?P<initials>\w{0,5}) (?=>)     # > quoted, AB> quoted
    | (?=\|)                                         # | quoted, or between cells
    | (?<!\w) (?=\*) | (?=\* (?!\w))                 # *bold*
    | (?<!\S) (?=\#{1,6} (?:\s | \Z))                # ## heading
    | (?= [<\[] \s? [A-Za-z][A-Za-z0-9+.\s-]{0,40}:)  # <https://...>, [mailto:...]
    | (?= \[ [^\[\]]* \] \s* \()                       # [text](https://...)
    """,
    re.VERBOSE,
)
_SPECIAL = re.compile(rf"[\\/\n>|*<\[#{COLONS}]")  # a text without any of these is printed as it is
_MARK_GUARDS = re.compile(r"\\(.)", re.DOTALL)


class Unreadable(ValueError):
    """A printed text that no value of its kind prints as."""


def print_value(kind: Kind, value: str, language: Language, words: str = "") -> str:
    """`value` (canonical) as it is printed in `language`. `words` names the group of words of a WORD field."""
    match kind:
        case Kind.TEXT | Kind.LINES:
            return _print_text(value, language, lines=kind == Kind.LINES)
        case Kind.NUMBER:
            return _print_number(value, language, 0)
        case Kind.MONEY:
            amount, _, currency = value.partition(" ")
            digits = _print_number(amount, language, MINOR_DIGITS.get(currency, 2) if currency else 2)
            return f"{digits} {currency or language.words['currency']['unknown']}"
        case Kind.COUNTRY:
            name = language.countries.get(value)
            return f"{name} ({value})" if name else f"({value})"
        case Kind.FLAG:
            return language.words["flag"]["yes"]
        case Kind.PAIR:
            name, inner = json.loads(value)
            escaped = _print_text(name, language).replace("=", r"\=") if name is not None else ""
            printed = _print_text(inner, language) if inner is not None else ""
            return guard(f"{escaped} = {printed}".strip(), language)
        case Kind.WORD:
            return language.words[words].get(value) or _print_unknown_word(value, language, words)
        case Kind.INSTANT:
            return value.replace("T", " ").replace("Z", " UTC")


def read_value(kind: Kind, text: str, language: Language, words: str = "") -> str:
    """The canonical value that prints as `text` in `language`. Raises Unreadable."""
    text = canonical_text(text) or ""
    if text and kind in _TEXTS and not _SPECIAL.search(text):
        return text  # as it is printed
    try:
        value = _read(kind, text, language, words)
    except ValueError as error:
        raise Unreadable(f"{text!r} is no {kind}") from error
    if _bare(print_value(kind, value, language, words)) != _bare(text):
        raise Unreadable(f"{text!r} is not how a {kind} is printed in {language.name}")
    return value


def _read(kind: Kind, text: str, language: Language, words: str) -> str:
    match kind:
        case Kind.TEXT:
            return _some(canonical_text(_unescape(text)))
        case Kind.LINES:
            broken = re.sub(rf"\s*{_LONE_SLASH.pattern}\s*", "\n", text)
            return _some(canonical_text(_unescape(broken), lines=True))
        case Kind.NUMBER:
            return _read_number(text, language)
        case Kind.MONEY:
            unknown = language.words["currency"]["unknown"]
            if _no_blanks(text).endswith(_no_blanks(unknown)):
                number = _no_blanks(text)[: -len(_no_blanks(unknown))]
                return _read_number(number, language)
            found = re.fullmatch(r"(.*\S)\s*([A-Z]{3})", text, re.DOTALL)
            if not found:
                raise ValueError("money needs a currency")
            return f"{_read_number(found[1], language)} {found[2]}"
        case Kind.COUNTRY:
            found = re.fullmatch(r".*\(\s*([A-Z]{2})\s*\)", text, re.DOTALL)
            if not found:
                raise ValueError("a country needs its code in brackets")
            return found[1]
        case Kind.FLAG:
            return "1"
        case Kind.PAIR:
            found = re.match(r"((?:[^\\=]|\\.)*)=(.*)", text, re.DOTALL)
            if not found:
                raise ValueError("a pair needs an equals sign")
            return pair_text(canonical_text(_unescape(found[1])), canonical_text(_unescape(found[2])))
        case Kind.WORD:
            bare = _no_blanks(text)
            known = [code for code, word in language.words[words].items() if _no_blanks(word) == bare]
            if known:
                return known[0]
            inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
            return _some(canonical_text(_unescape(inner)))
        case Kind.INSTANT:
            moment = datetime.strptime(_no_blanks(text), "%Y-%m-%d%H:%M:%SUTC").replace(tzinfo=UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def pair_text(name: str | None, value: str | None) -> str:
    """A pair as canonical text. Raises ValueError where both are missing."""
    if name is None and value is None:
        raise ValueError("a pair needs a name or a value")
    return json.dumps([name, value], ensure_ascii=False, separators=(",", ":"))


def guard(text: str, language: Language) -> str:
    """`text` with a backslash before each colon that would complete an anchor of `language`, or the title of any."""
    if not any(colon in text for colon in COLONS):
        return text
    colons = {found.end - 1 for found in language.finder.find(text)} | {
        found.end - 1 for found in title_finder().find(text)
    }
    for place in sorted(colons, reverse=True):
        text = f"{text[:place]}\\{text[place:]}"
    return text


def _print_text(value: str, language: Language, *, lines: bool = False) -> str:
    if not _SPECIAL.search(value):
        return value
    text = value.replace("\\", "\\\\")
    if lines:
        text = _LONE_SLASH.sub(r"\/", text).replace("\n", f" {LINE_BREAK} ").replace("  ", " ")
    return guard(_PROGRAM_MARKS.sub(lambda found: f"{found['initials'] or ''}\\", text), language)


def _print_unknown_word(value: str, language: Language, words: str) -> str:
    """A word the catalogue does not have, as it is; in brackets where it would read as one that it has."""
    text = _print_text(value, language)
    taken = {_no_blanks(word) for word in language.words[words].values()}
    return f"({text})" if _no_blanks(text) in taken or text.startswith("(") else text


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _print_number(value: str, language: Language, least_decimals: int) -> str:
    # On the text: abs() of a decimal would round it to the digits of the context.
    digits = value if PLAIN_NUMBER.fullmatch(value) else decimal_text(read_decimal(value))
    sign = "-" if digits.startswith("-") else ""
    whole, _, decimals = digits.removeprefix("-").partition(".")
    grouped = f"{int(whole):,}".replace(",", language.group) if len(whole) >= language.least_grouped else whole
    decimals = decimals.ljust(least_decimals, "0")
    return f"{sign}{grouped}{language.decimal if decimals else ''}{decimals}"


def _read_number(text: str, language: Language) -> str:
    bare = _no_blanks(text)
    digits = bare.replace(_no_blanks(language.group), "") if _no_blanks(language.group) else bare
    digits = digits.replace(language.decimal, ".")
    short = digits.rstrip("0").rstrip(".") if "." in digits else digits
    if PLAIN_NUMBER.fullmatch(short):
        return short
    if not re.fullmatch(r"-?\d+(\.\d+)?", digits, re.ASCII):
        raise ValueError(f"{text!r} is no number")
    return decimal_text(Decimal(digits))


def _no_blanks(text: str) -> str:
    return "".join(text.split())


def _bare(text: str) -> str:
    """`text` without blanks and without the backslashes before marks of mail programs, which may be missing."""
    if "\\" not in text:
        return _no_blanks(text)
    return _MARK_GUARDS.sub(lambda found: found[1] if found[1] in "<>|*#[" else found[0], _no_blanks(text))


def _some(text: str | None) -> str:
    if text is None:
        raise ValueError("nothing is printed")
    return text
