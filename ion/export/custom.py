"""A merchant's own profile, declared in a TOML file: which columns, under which names, in which form.

delimiter = ";"                     comma where it is not said; also "tab" and "|"
encoding = "utf-8-bom"              utf-8 where it is not said; also windows-1252
decimal_mark = ","                  a point where it is not said
rows = "order"                      one row per order; "line", one per line item, where it is not said
guard = "spreadsheet"               formulas where it is not said; also none

[[column]]
name = "Order no."
field = "order_number"              a column of `standard`

[[column]]
name = "City"
field = "delivery.city"             a field of the contract: `<section>.<field>`
case = "upper"                      or "lower"
max_length = 30                     what is cut is said

[[column]]
name = "Placed"
field = "created_time"
date = "%d.%m.%Y"                   a form of strftime, for what is a date

[[column]]
name = "Total"
field = "order_total_customer"
decimals = 2                        exactly so many; what is rounded is said

[[column]]
name = "Channel"
constant = "marketplace"
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from ion.contract import FIELDS, ORDER_SECTIONS, Kind, Section
from ion.errors import ProfileError
from ion.export.cells import YES, Cell, Digits, lines_text, money_text, pairs_text
from ion.export.columns import Column, Entry, LineColumn, OrderColumn, PartColumn
from ion.export.columns import Kind as Shown
from ion.export.dialect import ENCODINGS, Dialect
from ion.export.fitting import rounded, shortened
from ion.export.guard import Guard
from ion.export.profiles import PROFILES
from ion.export.tables import Profile, Table
from ion.order import Money, Order, Pair

MAX_CHARACTERS = 200_000  # of a declaration
MAX_COLUMNS = 1_000
_MAX_NAME = 200
_MAX_LENGTH = 32_767
_MAX_DECIMALS = 20

_DELIMITERS = {",": ",", ";": ";", "tab": "\t", "\t": "\t", "|": "|"}
_MARKS = {".": ".", ",": ","}
_ROWS = {"line": False, "order": True}
_ENCODINGS = {name: name for name in ENCODINGS}
_GUARDS = {guard.value: guard for guard in Guard}
_CASES: dict[str, Callable[[str], str]] = {"upper": str.upper, "lower": str.lower}
_FILE_KEYS = ("delimiter", "encoding", "decimal_mark", "rows", "guard", "column")
_COLUMN_KEYS = ("name", "field", "constant", "date", "decimals", "case", "max_length")
# A strftime form of plain parts; what a platform adds (%-d, %s) differs between machines.
_DATE = re.compile(r"(?:%[YymdHMSbBaAj%]|[^%\x00-\x1f])+")

T = TypeVar("T")

_Value = Callable[[Entry, Any, int], Cell]


def custom_profile(name: str, text: str) -> Profile:
    """The profile that the TOML text declares, under that name (small letters, digits and hyphens).

    Raises ProfileError naming table, key, value and what may stand there.
    """
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,39}", name) or name in PROFILES:
        raise ProfileError(
            f"{name!r} cannot name a profile of one's own: take up to 40 small letters, digits and hyphens, and no "
            f"name of the built-in ones ({', '.join(PROFILES)})"
        )
    declared = _declared(text)
    _known_keys("the file", declared, _FILE_KEYS)
    per_order = _choice(declared, "rows", _ROWS, "line")
    dialect = Dialect(
        delimiter=_choice(declared, "delimiter", _DELIMITERS, ","),
        encoding=_choice(declared, "encoding", _ENCODINGS, "utf-8"),
        decimal_mark=_choice(declared, "decimal_mark", _MARKS, "."),
        guard=_choice(declared, "guard", _GUARDS, Guard.FORMULAS.value),
    )
    columns = _columns(declared.get("column"), per_order, dialect)
    return Profile(name, 1, (Table("orders", columns),), audience="your own declaration", dialect=dialect)


def _declared(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise ProfileError(f"the declaration has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"the declaration is no TOML: {error}") from error


def _known_keys(table: str, declared: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in declared:
        if key not in known:
            raise ProfileError(f"{table}: unknown key {key!r}; known are {', '.join(known)}")


def _choice(declared: Mapping[str, Any], key: str, choices: Mapping[str, T], default: str) -> T:
    value = declared.get(key, default)
    if not isinstance(value, str) or value not in choices:
        raise ProfileError(f"the file, {key}: {value!r} is none of {', '.join(map(repr, choices))}")
    return choices[value]


def _columns(declared: Any, per_order: bool, dialect: Dialect) -> tuple[Column, ...]:
    if not isinstance(declared, list) or not declared or not all(isinstance(each, dict) for each in declared):
        raise ProfileError("the file, column: no columns are declared; each begins with a line [[column]]")
    if len(declared) > MAX_COLUMNS:
        raise ProfileError(f"the file, column: {len(declared)} columns; at most {MAX_COLUMNS} are written")
    columns: list[Column] = []
    for number, each in enumerate(declared, start=1):
        column = _column(f"[[column]] {number}", each, per_order, dialect)
        if any(column.name == other.name for other in columns):
            raise ProfileError(f"[[column]] {number}, name: {column.name!r} is there twice; give every column its own")
        columns.append(column)
    return tuple(columns)


def _column(table: str, declared: Mapping[str, Any], per_order: bool, dialect: Dialect) -> Column:
    _known_keys(table, declared, _COLUMN_KEYS)
    name = _text(table, declared, "name", _MAX_NAME)
    if name is None:
        raise ProfileError(f"{table}, name: missing; it is the heading of the column")
    constant = _text(table, declared, "constant", _MAX_LENGTH)
    field = _text(table, declared, "field", _MAX_NAME)
    if (constant is None) == (field is None):
        raise ProfileError(f"{table} ({name!r}): give either field or constant")
    if field is None:
        return OrderColumn(name, lambda _entry: constant, "The same in every row.")
    of_line, value, kind, about = _source(table, field)
    if of_line and per_order:
        raise ProfileError(
            f'{table}, field: {field!r} is one of a line item, and the file has rows = "order"; '
            'take rows = "line", or leave it out'
        )
    form = _form(table, declared, name, dialect.decimal_mark)
    if of_line:
        return LineColumn(name, lambda entry, line, at: form(entry, value(entry, line, at)), about, kind)
    return OrderColumn(name, lambda entry: form(entry, value(entry, None, 0)), about, kind)


def _text(table: str, declared: Mapping[str, Any], key: str, most: int) -> str | None:
    value = declared.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
        raise ProfileError(f"{table}, {key}: {str(value)[:80]!r} is no text of 1 to {most} printable characters")
    return value


def _source(table: str, field: str) -> tuple[bool, _Value, Shown, str]:
    """Whether a field is one of a line item, what gives its value, how it is shown, and what it is."""
    known = {column.name: column for column in PROFILES["standard"].tables[0].columns}
    if field in known:
        column = known[field]
        if isinstance(column, PartColumn):
            return True, column.value, column.kind, column.about
        get = column.value
        return False, lambda entry, _line, _at: get(entry), column.kind, column.about
    section = next((section for section in ORDER_SECTIONS if section.code == field.partition(".")[0]), None)
    if field not in FIELDS or section is None or (section.repeated and section.code != "line"):
        raise ProfileError(
            f"{table}, field: {field!r} is no column of `standard` and no field of an order that stands once in it or "
            "in a line, such as delivery.city; `ion profiles standard` lists the columns"
        )
    of_line = section.code == "line"
    name = FIELDS[field].name

    def value(entry: Entry, line: Any, _at: int) -> Cell:
        return _cell(getattr(line if of_line else _part(entry.order, section), name))

    shown = Shown.LINES if FIELDS[field].kind in (Kind.LINES, Kind.PAIR) else Shown.TEXT
    return of_line, value, shown, f"Field {field} of the order."


def _part(order: Order, section: Section) -> Any:
    return getattr(order, section.path) if section.path else order


def _cell(value: Any) -> Cell:
    """A value of the order as a cell; money brings its currency, as no other column may tell it."""
    if isinstance(value, tuple):
        pairs = [item for item in value if isinstance(item, Pair)]
        return pairs_text(pairs) if pairs else lines_text(value)
    if isinstance(value, Money):
        return money_text(value)
    if isinstance(value, bool):
        return YES if value else None
    return value if isinstance(value, str | Decimal) else None


def _form(table: str, declared: Mapping[str, Any], name: str, decimal_mark: str) -> Callable[[Entry, Cell], Cell]:
    """What the declaration does to each value of a column."""
    date, case = declared.get("date"), declared.get("case")
    decimals = _whole(table, declared, "decimals", 0, _MAX_DECIMALS)
    longest = _whole(table, declared, "max_length", 1, _MAX_LENGTH)
    if date is not None and not (isinstance(date, str) and _DATE.fullmatch(date)):
        raise ProfileError(
            f"{table}, date: {date!r} is no form of a date, such as %d.%m.%Y; "
            "known are %Y %y %m %d %H %M %S %b %B %a %A %j"
        )
    if case is not None and case not in _CASES:
        raise ProfileError(f"{table}, case: {case!r} is none of {', '.join(map(repr, _CASES))}")
    what = f"the column {name}"

    def form(entry: Entry, cell: Cell) -> Cell:
        if date is not None:
            cell = _dated(entry, what, cell, date)
        if decimals is not None and isinstance(cell, Decimal | int):
            return Digits(f"{rounded(entry, what, Decimal(cell), decimals):.{decimals}f}".replace(".", decimal_mark))
        if decimals is not None and isinstance(cell, str):
            entry.say(f"{what} holds no plain number, and was left as it is: {cell}")
        if case is not None and isinstance(cell, str):
            cell = _CASES[case](cell)
        return shortened(entry, what, cell, longest) if longest is not None and isinstance(cell, str) else cell

    return form


def _whole(table: str, declared: Mapping[str, Any], key: str, least: int, most: int) -> int | None:
    value = declared.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most):
        raise ProfileError(f"{table}, {key}: {value!r} is no whole number from {least} to {most}")
    return value


def _dated(entry: Entry, what: str, cell: Cell, date: str) -> Cell:
    """An instant in UTC, or a date as stated; what is no date that can be told for sure stays as it is."""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).strftime(date)
    if isinstance(cell, str):
        try:
            return datetime.fromisoformat(cell).strftime(date)
        except ValueError:
            entry.say(f"{what} states no date that can be told for sure, and was left as it is")
    return cell
