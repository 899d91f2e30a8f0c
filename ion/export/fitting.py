"""What a format cannot carry is replaced here, the same way everywhere, and said: each function gives a note to
`Entry.say`, so that nothing is lost in silence. `what` names the column to a person, as "the product name"."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from ion.export.cells import Cell, amount_in, plain_number
from ion.export.columns import Entry
from ion.export.facts import customer_currency
from ion.order import Money

_ROUNDING = Context(prec=400, rounding=ROUND_HALF_EVEN)


def shortened(entry: Entry, what: str, text: str | None, most: int) -> str | None:
    """At most that many characters of the text."""
    if text is None or len(text) <= most:
        return text
    entry.say(f"{what} was shortened to {most} characters")
    return text[:most].rstrip()


def one_line(entry: Entry, what: str, text: str | None) -> str | None:
    """The text with a comma for each line break."""
    if text is None or "\n" not in text:
        return text
    entry.say(f"line breaks in {what} were replaced by commas")
    return ", ".join(line for line in text.split("\n") if line)


def replaced(entry: Entry, what: str, text: str, marks: Mapping[str, str]) -> str:
    """The text with other marks in place of those the format needs for itself."""
    for mark, other in marks.items():
        if mark in text:
            entry.say(f"`{mark}` in {what} was replaced by `{other}`" if mark.strip() else f"{what} lost a line break")
            text = text.replace(mark, other)
    return text


def rounded(entry: Entry, what: str, number: Decimal, places: int) -> Decimal:
    """The number with at most that many decimals, half to even."""
    short = number.quantize(Decimal(1).scaleb(-places), context=_ROUNDING)
    if short != number:
        entry.say(f"{what} was rounded to {places} decimals")
    return short


def price(entry: Entry, what: str, money: Money | None, *, places: int | None = None) -> Cell:
    """The amount in the order's customer currency; one in another currency, or in none that is stated, is text that
    says so."""
    amount = amount_in(customer_currency(entry.order), money)
    if amount is None:
        entry.say(f"{what} is not stated")
    elif money and isinstance(amount, str):
        how = "in another currency than the order's" if money.currency else "without a currency"
        entry.say(f"{what} is stated {how}: {amount}")
    return rounded(entry, what, amount, places) if places is not None and isinstance(amount, Decimal) else amount


def stated_date(entry: Entry, form: str) -> str:
    """The day or time the order was placed, in a form of `strftime`; it is local to the platform, without a zone.

    Some platforms state none, and the programs ask for one: then it is when the mail arrived, in UTC, and this is said;
    so it is where what is stated cannot be told for sure (ISO 8601 can).
    """
    try:
        return datetime.fromisoformat(entry.order.created_time or "").strftime(form)
    except ValueError:
        entry.say("states no date that can be told for sure; the day its mail arrived stands instead")
        return entry.stored.received_at.astimezone(UTC).strftime(form)


def quantity_text(number: Decimal) -> str:
    """A quantity inside a text."""
    return plain_number(number)
