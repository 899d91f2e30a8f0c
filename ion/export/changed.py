"""What an order says otherwise than in the last published file, for a cell: one change a line, in English."""

from ion.contract import FIELDS, SECTIONS, Kind, language, print_value
from ion.contract.changes import Change, changes, heading_code
from ion.order import Order

WITHHELD = "(withheld by the platform now)"


def changed_text(previous: Order | None, order: Order) -> str | None:
    """`Shipping - Shipping method: Standard -> Express`, one such line a change; None where nothing changed or there
    was no file before.

    Where the platform has taken back what it told of a person, what it said before is not repeated.
    """
    if previous is None or previous == order:
        return None
    return "\n".join(_sentence(change, previous, order) for change in changes(previous, order)) or None


def _sentence(change: Change, previous: Order, order: Order) -> str:
    english = language("en")
    code, _, name = change.code.partition(".")
    section = SECTIONS[code]
    removed = change.kind == "removed" and not name
    withheld = order.personal_data_suppressed or order.personal_data_encrypted
    count = len(getattr(previous if removed else order, section.path)) if section.repeated else 1
    number = change.index[0] + 1 if section.repeated else 1
    where = english.heading(heading_code(code, order), number, count)
    if name:
        old, new = (
            "(not stated)" if value is None else _value(change.code, value) for value in (change.old, change.new)
        )
        old = WITHHELD if withheld and change.old is not None else old
        return f"{where} - {english.label(section, name)}: {old} -> {new}"
    if withheld and removed:
        return f"{where} removed: {WITHHELD}"
    stated = (f"{english.label(section, entry.field)} {_value(entry.code, entry.value)}" for entry in change.block)
    return f"{where} {change.kind}: {'; '.join(stated)}"


def _value(code: str, value: str) -> str:
    """A canonical value for a person: texts as they are, on one line; the rest as the notification prints it."""
    field = FIELDS[code]
    if field.kind in (Kind.TEXT, Kind.LINES):
        return value.replace("\n", " / ")
    return print_value(field.kind, value, language("en"), field.name)
