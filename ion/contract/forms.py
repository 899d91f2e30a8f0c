"""Printed forms: how a value of each kind is printed in a language, and the strict inverse.

`print_value` turns a canonical value into what a person reads; `read_value` is its inverse and strict: a text is read
only if printing the result gives that text again, blanks aside. So what is read is never a guess.

Canonical values are texts (see `canonical`): decimals without trailing zeros, money `38.5 EUR`, pairs as a JSON
list, flags `1`, instants `2026-11-23T19:20:05Z`.

A value never looks like an anchor: the colon that would complete one is printed as `\\:`; a backslash as `\\\\`. A line
break inside a value is printed as `↵`, because a forwarded mail does not keep line breaks.
"""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

from ion.contract.fields import Kind
from ion.contract.languages import Language, languages
from ion.order import canonical_text, decimal_text, read_decimal

# Minor units of currencies that do not have two (ISO 4217). Printing pads to them; more digits are never cut.
MINOR_DIGITS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
LINE_BREAK = "↵"
_ESCAPED = re.compile(r"\\([\\:\uff1a=↵])")


class Unreadable(ValueError):
    """A printed text that no value of its kind prints as."""


def print_value(kind: Kind, value: str, language: Language, words: str = "") -> str:
    """`value` (canonical) as it is printed in `language`. `words` names the group of words of a WORD field."""
    match kind:
        case Kind.TEXT | Kind.LINES:
            return _print_text(value, language)
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
    try:
        value = _read(kind, text, language, words)
    except ValueError as error:
        raise Unreadable(f"{text!r} is no {kind}") from error
    if _no_blanks(print_value(kind, value, language, words)) != _no_blanks(text):
        raise Unreadable(f"{text!r} is not how a {kind} is printed in {language.name}")
    return value


def _read(kind: Kind, text: str, language: Language, words: str) -> str:
    match kind:
        case Kind.TEXT:
            return _some(canonical_text(_unescape(text)))
        case Kind.LINES:
            broken = re.sub(rf"(?<!\\)((?:\\\\)*)\s*{LINE_BREAK}\s*", r"\1" + "\n", text)
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
    for pattern in (language.anchor_pattern, *(known.title_pattern for known in languages())):
        text = pattern.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", text)
    return text


def _print_text(value: str, language: Language) -> str:
    text = value.replace("\\", "\\\\").replace(LINE_BREAK, f"\\{LINE_BREAK}").replace("\n", f" {LINE_BREAK} ")
    return guard(text.replace("  ", " "), language)


def _print_unknown_word(value: str, language: Language, words: str) -> str:
    """A word the catalogue does not have, as it is; in brackets where it would read as one that it has."""
    text = _print_text(value, language)
    taken = {_no_blanks(word) for word in language.words[words].values()}
    return f"({text})" if _no_blanks(text) in taken or text.startswith("(") else text


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _print_number(value: str, language: Language, least_decimals: int) -> str:
    # On the text: abs() of a decimal would round it to the digits of the context.
    digits = decimal_text(read_decimal(value))
    sign = "-" if digits.startswith("-") else ""
    whole, _, decimals = digits.removeprefix("-").partition(".")
    grouped = f"{int(whole):,}".replace(",", language.group) if len(whole) > 3 else whole
    decimals = decimals.ljust(least_decimals, "0")
    return f"{sign}{grouped}{language.decimal if decimals else ''}{decimals}"


def _read_number(text: str, language: Language) -> str:
    bare = _no_blanks(text)
    digits = bare.replace(_no_blanks(language.group), "") if _no_blanks(language.group) else bare
    digits = digits.replace(language.decimal, ".")
    if not re.fullmatch(r"-?\d+(\.\d+)?", digits, re.ASCII):
        raise ValueError(f"{text!r} is no number")
    return decimal_text(Decimal(digits))


def _no_blanks(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _some(text: str | None) -> str:
    if text is None:
        raise ValueError("nothing is printed")
    return text
