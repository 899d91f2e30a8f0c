"""`ion held`, `ion show`, `ion release`, `ion dismiss`: what waits for a person, and what the person decides."""

import email
import email.policy
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.console import end, opened_store, print_json, settings_of
from ion.errors import DatabaseError, IonError

if TYPE_CHECKING:
    from ion.store import ShownMessage, ShownNotification

Notifications = Annotated[
    list[int], typer.Argument(metavar="NOTIFICATION...", help="Numbers of notifications, as ion held prints them.")
]
By = Annotated[str, typer.Option("--by", help="Who decides; kept with the decision.")]
Note = Annotated[str | None, typer.Option("--note", help="Why; kept with the decision.")]


def held(
    context: typer.Context,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines also on a terminal.")] = False,
) -> None:
    """List what waits for a person, oldest first, with the reason, the evidence and who sent it. JSON Lines."""
    with opened_store(settings_of(context)) as store:
        if merchant is not None:
            store.merchant(merchant)
        for message in store.waiting_notifications(merchant):
            line = {**_of_message(message), **_of_notification(message.notifications[0])}
            if as_json or not sys.stdout.isatty():
                print_json(line)
            else:
                typer.echo(sentence(line))


def show(
    context: typer.Context,
    message: Annotated[int, typer.Argument(metavar="MESSAGE", help="Number of a message, as ion held prints it.")],
) -> None:
    """Print a message with each of its notifications: the order, the problems, the evidence, the decision, and what
    people did with it."""
    from ion.corrections import partial_values

    with opened_store(settings_of(context)) as store:
        found = store.shown_message(message)
        corrections, history = store.corrections_of(message), store.notification_events(message)
    notifications = [
        {
            **asdict(one),
            "partial": partial_values(one.partial) or None,
            "corrections": [asdict(correction) for correction in corrections if correction.position == one.position],
            "history": [asdict(event) for event in history if event.position == one.position],
        }
        for one in found.notifications
    ]
    about = {"state": found.state, "size_bytes": found.size_bytes, "sha256": found.sha256, "error": found.last_error}
    print_json({**_of_message(found), **about, "notifications": notifications})


def release(
    context: typer.Context,
    notifications: Notifications,
    by: By,
    note: Note = None,
    force: Annotated[
        list[str] | None,
        typer.Option("--force", help="A problem that is known and taken on, by its field; may be repeated."),
    ] = None,
    in_place_of: Annotated[
        int | None,
        typer.Option(
            metavar="REVISION",
            help="Where it contradicts the order as it is known: it is what the order says now, in place of its newest"
            " revision, which is this one.",
        ),
    ] = None,
) -> None:
    """Let the order of each notification in, as if its mail had been sealed. One in doubt needs each problem named."""
    failed = False
    with opened_store(settings_of(context)) as store:
        for number in notifications:
            try:
                released = store.release_notification(
                    number, by=by, note=note, named=force or (), in_place_of=in_place_of
                )
                print_json(asdict(released))
            except DatabaseError:  # it would refuse the others too
                raise
            except IonError as error:
                failed = True
                print_json({"id": number, "error": str(error)})
    end(failed)


def dismiss(context: typer.Context, notifications: Notifications, by: By, note: Note = None) -> None:
    """Set each notification aside. No order is changed."""
    failed = False
    with opened_store(settings_of(context)) as store:
        for number in notifications:
            try:
                print_json(asdict(store.dismiss_notification(number, by=by, note=note)))
            except DatabaseError:  # it would refuse the others too
                raise
            except IonError as error:
                failed = True
                print_json({"id": number, "error": str(error)})
    end(failed)


def _of_message(found: "ShownMessage") -> dict[str, Any]:
    return {
        "message": found.id,
        "merchant": found.merchant,
        "door": found.door,
        "received_at": found.received_at.isoformat(),
        "mail_from": found.mail_from,
        "from": _from_field(found.head),
        "rcpt_to": found.rcpt_to,
    }


def _of_notification(found: "ShownNotification") -> dict[str, Any]:
    names = ("notification", "state", "grade", "reason", "platform", "order_number", "revision", "problems", "evidence")
    # What `ion release` asks for, under the name that it has there.
    return {name: getattr(found, name) for name in names} | {"force": found.to_name, "correction": found.correction}


def _from_field(head: bytes | None) -> str | None:
    """What the mail's From field says, as it stands there. It proves nothing."""
    if head is None:
        return None
    try:
        value = email.message_from_bytes(head, policy=email.policy.compat32)["from"]
    except Exception:  # the library raises anything on hostile headers
        return None
    return None if value is None else " ".join(str(value).split())[:300]


def sentence(line: dict[str, Any]) -> str:
    """One waiting notification for a terminal. A mail must not command the terminal, so nothing unprintable is left."""
    order = f"order {line['order_number'] or '?'}"
    sender = line["from"] or line["mail_from"] or "unknown"
    force = "".join(f" --force {name}" for name in line["force"])
    rows = (
        f"{line['notification']}  {line['state']}  {order}  {line['merchant']}  {line['received_at'][:16]}  {sender}",
        f"    {line['reason'] or 'no reason'}; ion show {line['message']}, ion release {line['notification']}{force}",
    )
    return "\n".join("".join(sign if sign.isprintable() else "?" for sign in row) for row in rows)
