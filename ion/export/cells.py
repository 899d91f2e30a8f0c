"""What may stand in a cell, and how a value becomes one: exact, and empty where the order says nothing.

A cell is text, an exact number, an instant, or None for "not known". How a cell looks in a file is the
writer's business; only the plain text form, which CSV uses and long numbers fall back to, is here, and what a cell of
a spreadsheet can hold.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from ion.order import Money, Pair, Part


class Digits(str):
    """A number in the very form it is to have, as `12,50`. Like any number it is never guarded."""

    __slots__ = ()


Cell = str | Decimal | int | datetime | None

MAX_CELL_UNITS = 32_767  # UTF-16 units; more makes Excel call the file damaged
EXACT_DIGITS = 15
MAX_PLACES = 20  # decimals that a number format of every spreadsheet program can show

_CUT = " [cut here: this text is longer than a spreadsheet cell; it is whole in the CSV]"

YES = "yes"
"""A flag that the order states. There is no "no": false and "not said" are one to the order."""


def plain_number(number: Decimal | int) -> str:
    """`number` in plain digits with a point, every digit, no exponent, no trailing zeros: `1234.5`, `-0.01`, `0`."""
    if not number:
        return "0"  # Decimal keeps a sign and places on zero
    text = format(number, "f") if isinstance(number, Decimal) else str(number)
    return text.rstrip("0").rstrip(".") if "." in text else text


def plain_text(cell: Cell) -> str:
    """The cell as text: None is empty, plain digits, instants as ISO 8601 UTC to the second: `2026-11-23T19:25:00Z`."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC).isoformat()[:19]}Z"
    return plain_number(cell)


def money_text(money: Money) -> str:
    """`12.5 EUR`, or the digits alone where the payload states no currency."""
    digits = plain_number(money.amount)
    return f"{digits} {money.currency}" if money.currency else digits


def amount_in(currency: str | None, money: Money | None) -> Cell:
    """The amount of `money` for a column whose currency is stated as `currency`.

    An amount in another currency than its column's is written with its own, as text, so that no program
    and no person takes it for the column's.
    """
    if money is None:
        return None
    if money.currency == currency:
        return money.amount
    return f"{plain_number(money.amount)} {money.currency or '(no currency stated)'}"


def flag(value: bool) -> Cell:
    """`yes`, or an empty cell."""
    return YES if value else None


def _escaped(text: str, separators: str) -> str:
    return "".join(f"\\{letter}" if letter in separators or letter == "\\" else letter for letter in text)


def pairs_text(pairs: Iterable[Pair]) -> Cell:
    """`color=GREY; size=M`. A backslash stands before a `;`, `\\` or (in a name) `=` of the value's own.

    A pair without a value is its name followed by `=`; a pair without a name is the value alone.
    """
    told = []
    for pair in pairs:
        value = _escaped(pair.value or "", ";" if pair.name is not None else ";=")
        told.append(value if pair.name is None else f"{_escaped(pair.name, ';=')}={value}")
    return "; ".join(told) or None


def part_text(part: Part) -> str:
    """Everything a part states, field by field: `name=Sale; coupon_code=S10; amount_customer=12.5 EUR`."""
    told = []
    for name in type(part).model_fields:
        value = getattr(part, name)
        if value is None or value is False or value == ():  # 0 is stated, and is not False by identity
            continue
        told.append(Pair(name=name, value=_value_text(value)))
    return str(pairs_text(told) or "")


def _value_text(value: object) -> str:
    if value is True:
        return YES
    if isinstance(value, Money):
        return money_text(value)
    if isinstance(value, Decimal):
        return plain_number(value)
    if isinstance(value, tuple):
        return str(pairs_text(item for item in value if isinstance(item, Pair)) or "")
    return str(value)


def lines_text(lines: Iterable[str | None]) -> Cell:
    """The lines that say something, one below the other (LF), or None."""
    return "\n".join(line for line in lines if line) or None


def exact_float(number: Decimal | int) -> float | None:
    """The number as a spreadsheet keeps and shows it, or None when it cannot do so exactly."""
    if decimal_places(number) > MAX_PLACES:
        return None
    kept = float(number)
    return kept if Decimal(f"{kept:.{EXACT_DIGITS}g}") == number else None


def decimal_places(number: Decimal | int) -> int:
    """Digits behind the point, trailing zeros aside."""
    return len(plain_number(number).partition(".")[2])


def fitting(text: str) -> str:
    """The text, or as much of it as a cell can hold with a note that says so."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * MAX_CELL_UNITS:
        return text
    return units[: 2 * (MAX_CELL_UNITS - len(_CUT))].decode("utf-16-le", "ignore") + _CUT
