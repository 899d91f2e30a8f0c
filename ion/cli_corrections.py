"""`ion correct`, `ion merge`, `ion undo`: what else a person does with what waits, and taking a decision back."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ion.cli_entered import meant
from ion.cli_trust import By, Note
from ion.console import end, opened_store, print_json, settings_of
from ion.errors import IonError

if TYPE_CHECKING:
    from ion.store import Store

Notification = Annotated[
    int, typer.Argument(metavar="NOTIFICATION", help="Number of a notification, as ion held prints it.")
]


def correct(
    context: typer.Context,
    notification: Notification,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=TEXT", help="What a field says; nothing behind = takes it away; may be repeated."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who corrects; kept with the correction.")] = None,
    note: Note = None,
    locale: Annotated[
        str | None,
        typer.Option("--locale", help="In which language numbers and countries are written; else 1234.50 and DE."),
    ] = None,
) -> None:
    """Keep what a person says beside what was read of a notification, which still waits; without --set, print its
    fields: what each says, and which are in doubt."""
    from ion.contract import language
    from ion.corrections import CorrectionError

    known = language(locale) if locale else None
    with opened_store(settings_of(context)) as store:
        if not changes:
            _print_fields(store, notification, locale)
            return
        if by is None:
            raise typer.BadParameter("say who corrects it: --by NAME")
        if wrong := [text for text in changes if "=" not in text]:
            raise typer.BadParameter(f"--set {wrong[0]}: give the field and its text, as delivery.city=Wien")
        typed = dict(_pair(text) for text in changes)
        try:
            print_json(asdict(store.correct_notification(notification, typed, by=by, note=note, known=known)))
        except CorrectionError as error:
            for fault in error.faults:
                print_json({"id": notification, "field": fault.field, "error": fault.message})
            end(failed=True)


def merge(
    context: typer.Context,
    notification: Notification,
    order: Annotated[
        str, typer.Option("--order", help="The order's number at its platform or at the merchant, or id:17.")
    ],
    by: By,
    note: Note = None,
) -> None:
    """Say that a notification tells of an order that is known. It waits no more; no order is changed."""
    with opened_store(settings_of(context)) as store:
        print_json(asdict(store.merge_notification(notification, meant(order), by=by, note=note)))


def undo(
    context: typer.Context,
    notification: Notification,
    by: By,
    note: Note = None,
    correction: Annotated[
        bool, typer.Option("--correction", help="Take back its newest correction instead of what was decided.")
    ] = False,
) -> None:
    """Take back that a notification was dismissed, merged or released: it waits again. A release is taken back only
    while nobody has taken note of its order."""
    with opened_store(settings_of(context)) as store:
        if not correction:
            print_json(asdict(store.undo_decision(notification, by=by, note=note)))
            return
        newest = store.shown_notification(notification).notifications[0].correction
        if newest is None:
            raise IonError(f"notification {notification} has no correction in force; there is nothing to take back")
        print_json(asdict(store.undo_correction(newest, by=by)))


def _pair(text: str) -> tuple[str, str]:
    field, _, value = text.partition("=")
    return field.strip(), value


def _print_fields(store: "Store", notification: int, locale: str | None) -> None:
    from ion.contract import language
    from ion.corrections import fields_of, partial_values
    from ion.order import Order

    (found,) = store.shown_notification(notification).notifications
    order = found.corrected_order or found.order
    base = Order.model_validate(order) if order else partial_values(found.partial)
    for field in fields_of(base, found.problems, language(locale or "en"), carrier=found.carrier):
        print_json(asdict(field))
