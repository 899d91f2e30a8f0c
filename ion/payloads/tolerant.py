"""Text or octets -> the JSON object in them, exactly; what pasting from a web page breaks is mended and told.

Strict JSON goes first. Only where that fails, a small scanner reads the text again and mends: unusual blanks between
tokens, typographic quotes around texts, missing and trailing commas, raw line breaks and stray backslashes in
texts. It never looks for a mend inside a text that is quoted properly: a no-break space or a typographic quote there
is part of the value. Numbers stay exact: whole ones are int, all others Decimal.
"""

import bisect
import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from ion.errors import PayloadError

MAX_BYTES = 5_000_000
MAX_DEPTH = 64
MAX_NUMBER = 200
MAX_LINES_NAMED = 5

# What editors and web pages make of the straight double quote. Single ones are left alone: they are apostrophes.
TYPOGRAPHIC_QUOTES = "\u201c\u201d\u201e\u201f\u2033\uff02"
_BLANK = re.compile(r"[ \t\n\r]+")
_UNUSUAL_BLANK = re.compile("[\u00a0\u1680\u180e\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff\x0b\x0c\x85]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![0-9A-Za-z.])")
_WORD = re.compile(r"[^\s,:{}\[\]\"]{1,20}")
_LITERALS = {"true": True, "false": False, "null": None}
_RAW_CONTROL = re.compile("[\x00-\x1f]")
_GOOD_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

BLANKS = "unusual blanks between tokens"
QUOTES = "typographic quotes around a text"
MISSING_COMMA = "missing comma"
TRAILING_COMMA = "comma before a closing bracket"
RAW_CONTROL = "raw line break or control character in a text"
BACKSLASH = "backslash that escapes nothing in a text"


def load(text: str | bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The JSON object in `text` and a warning for each kind of thing mended.

    Octets are UTF-8, or UTF-16 with a byte order mark. Keys are trimmed. Raises PayloadError naming line and column
    for what cannot be read, for anything but an object, for a key given twice with different values, and beyond
    `MAX_BYTES` and `MAX_DEPTH`.
    """
    if len(text) > MAX_BYTES:
        raise PayloadError(f"the payload is larger than {MAX_BYTES:,} bytes; an order is far smaller")
    text = (_decoded(text) if isinstance(text, bytes) else text).removeprefix("\ufeff")
    if not text.strip():
        raise PayloadError("the payload is empty; expected a JSON object")
    keys = _Keys()
    try:
        value = json.loads(
            text,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=keys.object_of,
        )
        mends: list[str] = []
    except json.JSONDecodeError:
        keys = _Keys()
        scanner = _Scanner(text, keys)
        value = scanner.read()
        mends = scanner.told()
    except RecursionError as error:
        raise _too_deep() from error
    if not isinstance(value, dict):
        raise PayloadError(f"the payload is {kind_of(value)}; expected a JSON object")
    _check_depth(value)
    if keys.trimmed:
        mends.append(f"blanks around {keys.trimmed} key(s) removed")
    return value, tuple(mends)


def kind_of(value: Any) -> str:
    """What a JSON value is, for messages: `an object`, `a list`, `a text`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | Decimal():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _decoded(raw: bytes) -> str:
    mark, encoding = next(((mark, name) for mark, name in _BOMS if raw.startswith(mark)), (b"", "utf-8"))
    try:
        return raw[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise PayloadError(
            f"octet {len(mark) + error.start} is not {encoding.upper()}; "
            "expected UTF-8, or UTF-16 with a byte order mark"
        ) from error


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER:
        raise PayloadError(f"a number of {len(digits)} characters; at most {MAX_NUMBER} are read")
    return int(digits)


def _decimal(digits: str) -> Decimal:
    if len(digits) > MAX_NUMBER:
        raise PayloadError(f"a number of {len(digits)} characters; at most {MAX_NUMBER} are read")
    try:
        return Decimal(digits)
    except InvalidOperation as error:
        raise PayloadError(f"{digits} is too large or too small a number") from error


def _refuse_constant(name: str) -> NoReturn:
    raise PayloadError(f"{name} is not a JSON value; expected a number")


def _too_deep() -> PayloadError:
    return PayloadError(f"the payload is nested deeper than {MAX_DEPTH} levels")


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise _too_deep()


def _inside(value: Any) -> Iterator[Any]:
    members = value.values() if isinstance(value, dict) else value
    return (inner for inner in members if isinstance(inner, dict | list))


class _Keys:
    """Makes objects of members: keys trimmed, a key given twice accepted only with the same value."""

    def __init__(self) -> None:
        self.trimmed = 0

    def object_of(self, members: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for stated, value in members:
            key = stated.strip()
            self.trimmed += key != stated
            if key in made and (type(made[key]) is not type(value) or made[key] != value):
                raise PayloadError(f"the key {shown(key)} is given twice with different values")
            made[key] = value
        return made


def shown(value: Any, limit: int = 60) -> str:
    """`value` as it may stand in a message: as JSON, shortened, always encodable."""
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 1] + "…"


class _Scanner:
    """Reads one JSON value from a text that strict JSON refuses, counting what it mends by line."""

    def __init__(self, text: str, keys: _Keys) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.keys = keys
        self.mends: dict[str, list[int]] = {}

    def read(self) -> Any:
        value = self._value()
        self._skip_blanks()
        if self.at < len(self.text):
            self._fail("the end of the payload")
        return value

    def told(self) -> list[str]:
        """One warning per kind of mend, with how often and where."""
        text = []
        starts = [0] + [found.end() for found in re.finditer("\n", self.text)]
        for what, places in self.mends.items():
            numbers = sorted({_line_of(starts, place) for place in places})
            named = ", ".join(str(number) for number in numbers[:MAX_LINES_NAMED])
            more = ", …" if len(numbers) > MAX_LINES_NAMED else ""
            text.append(f"mended: {what}, {len(places)} time(s), line {named}{more}")
        return text

    def _mended(self, what: str, at: int) -> None:
        self.mends.setdefault(what, []).append(at)

    def _fail(self, expected: str) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        found = _WORD.match(self.text, self.at)
        seen = (
            shown(found[0] if found else self.text[self.at]) if self.at < len(self.text) else "the end of the payload"
        )
        raise PayloadError(f"line {line}, column {column}: found {seen}, expected {expected}")

    def _skip_blanks(self) -> None:
        while self.at < len(self.text):
            if found := _BLANK.match(self.text, self.at):
                self.at = found.end()
            elif found := _UNUSUAL_BLANK.match(self.text, self.at):
                self._mended(BLANKS, self.at)
                self.at = found.end()
            else:
                return

    def _next(self) -> str:
        self._skip_blanks()
        return self.text[self.at : self.at + 1]

    def _value(self) -> Any:
        start = self._next()
        if start == "{":
            return self._nested(self._object)
        if start == "[":
            return self._nested(self._list)
        if start and start in '"' + TYPOGRAPHIC_QUOTES:
            return self._string()
        if found := _NUMBER.match(self.text, self.at):
            self.at = found.end()
            return _decimal(found[0]) if found[1] or found[2] else _integer(found[0])
        found = _WORD.match(self.text, self.at)
        if found and found[0] in _LITERALS:
            self.at = found.end()
            return _LITERALS[found[0]]
        return self._fail("a value (a text in quotes, a number, true, false, null, { or [)")

    def _nested(self, read: Any) -> Any:
        if self.depth >= MAX_DEPTH:
            raise _too_deep()
        self.depth += 1
        self.at += 1
        value = read()
        self.depth -= 1
        return value

    def _object(self) -> dict[str, Any]:
        members: list[tuple[str, Any]] = []
        while not self._closed("}", bool(members)):
            if self._next() not in tuple('"' + TYPOGRAPHIC_QUOTES):
                self._fail("a key in quotes or }")
            key = self._string()
            if self._next() != ":":
                self._fail(f"a colon after the key {shown(key)}")
            self.at += 1
            members.append((key, self._value()))
        return self.keys.object_of(members)

    def _list(self) -> list[Any]:
        elements: list[Any] = []
        while not self._closed("]", bool(elements)):
            elements.append(self._value())
        return elements

    def _closed(self, bracket: str, some: bool) -> bool:
        """Steps over the comma before the next member, or over the closing bracket (then True)."""
        before, found = self.at, self._next()
        if some and found == ",":
            comma = self.at
            self.at += 1
            if self._next() != bracket:
                return False
            self._mended(TRAILING_COMMA, comma)
        elif some and found != bracket:
            # A text or bracket that begins anew cannot belong to the value before it; a number or a word could.
            if not found or found not in '"{[' + TYPOGRAPHIC_QUOTES:
                self._fail(f"a comma or {bracket}")
            self._mended(MISSING_COMMA, before)
            return False
        elif found != bracket:
            return False
        self.at += 1
        return True

    def _string(self) -> str:
        start = self.at
        straight = self.text[start] == '"'
        if not straight:
            self._mended(QUOTES, start)
        end = start + 1
        while end < len(self.text):
            sign = self.text[end]
            if sign == "\\":
                end += 1
            elif (sign == '"' and straight) or (not straight and self._ends_typographic(end)):
                break
            end += 1
        else:
            self._fail("a quote that ends this text")
        inner = self.text[start + 1 : end]
        self.at = end + 1
        return self._unescaped(inner, start + 1)

    def _ends_typographic(self, at: int) -> bool:
        """Whether the sign at `at` closes a text that a typographic quote opened: a quote with punctuation next."""
        if self.text[at] not in '"' + TYPOGRAPHIC_QUOTES:
            return False
        after = at + 1
        while after < len(self.text) and self.text[after] in " \t\u00a0":
            after += 1
        return after >= len(self.text) or self.text[after] in ",:}]\r\n"

    def _unescaped(self, inner: str, start: int) -> str:
        pieces = []
        at = 0
        while at < len(inner):
            if found := _GOOD_ESCAPE.match(inner, at):
                pieces.append(found[0])
                at = found.end()
                continue
            sign = inner[at]
            if sign == "\\":
                self._mended(BACKSLASH, start + at)
                sign = "\\\\"
            elif _RAW_CONTROL.match(sign):
                self._mended(RAW_CONTROL, start + at)
                sign = json.dumps(sign)[1:-1]
            elif sign == '"':
                sign = '\\"'
            pieces.append(sign)
            at += 1
        text: str = json.loads('"' + "".join(pieces) + '"')
        return text


def _line_of(starts: list[int], place: int) -> int:
    return bisect.bisect_right(starts, place)
