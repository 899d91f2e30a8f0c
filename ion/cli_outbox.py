"""`ion send` behind its options, and `ion outbox ...`: what waits for the relay, and what became of it."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.config import Settings
from ion.console import end, opened_store, print_json, read_octets, report, settings_of
from ion.errors import DatabaseError, IonError, UnreachableError

if TYPE_CHECKING:
    from ion.intake import Intake
    from ion.notify.outbox import Handed
    from ion.store import OutgoingMail, Store

outbox_app = typer.Typer(
    invoke_without_command=True, help="Mails on their way to the relay: what waits, why, and since when."
)
Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID...]", help="Ids, as `ion outbox` shows them.")]


def send_payloads(store: "Store", settings: Settings, paths: list[Path], how: dict[str, Any]) -> None:
    """Take payload files in and send their mails now; a JSON line for each mail, or for each file without one."""
    from ion.intake import take_payloads
    from ion.notify.outbox import send_now
    from ion.reading import read_message

    failed, unreachable = False, None
    documents: list[tuple[str, bytes]] = []
    for path in paths:
        try:
            documents.append((str(path), read_octets(path)))
        except IonError as error:
            failed = True
            print_json({"file": str(path), "error": str(error)})
    intakes = list(take_payloads(store, documents, settings, read_back=read_message, **how))
    ids = [mail.id for intake in intakes if intake.queued is not None for mail in intake.queued.mails]
    # All at once: over one connection, and where a relay does not answer that is waited for once.
    handed = {one.mail.id: one for one in send_now(store, settings, ids)}
    for intake in intakes:
        if intake.queued is None or not intake.queued.mails:
            failed |= intake.error is not None
            print_json(_without_mail(intake))
            continue
        for warning in intake.warnings:
            typer.echo(f"{intake.name}: warning: {warning}", err=True)
        for mail in intake.queued.mails:
            became = handed.get(mail.id)
            line = {"file": intake.name, **_line(mail, became), "queued": "now" if intake.queued.created else "before"}
            print_json(line)
            if line["state"] in ("failed", "bounced"):
                failed = True
                what = "was refused" if line["state"] == "failed" else "came back"
                again = f"`ion outbox retry {mail.id}` sends it again"
                typer.echo(f"{intake.name}: mail {mail.id} {what}; {again}", err=True)
            if became is not None and became.state == "retry":
                unreachable = UnreachableError(became.reply)
    if unreachable is not None:
        raise unreachable
    end(failed)


def send_waiting(store: "Store", settings: Settings) -> None:
    """Send all that waits now, and the digests whose time has come; a JSON line for each mail that was tried."""
    from ion.notify.outbox import send_now
    from ion.sender import queue_due_digests

    queue_due_digests(store, settings)
    handed = send_now(store, settings)
    for one in handed:
        print_json(_line(one.mail, one))
    for one in handed:
        if one.state == "retry":
            raise UnreachableError(one.reply)
    end(any(one.state == "failed" for one in handed))


def watch_folder(store: "Store", settings: Settings, folder: Path, how: dict[str, Any]) -> None:
    """Take what appears in a folder and send it, until SIGTERM or SIGINT; a JSON line for each file."""
    from ion.intake import take_payloads
    from ion.notify.outbox import Outbox
    from ion.reading import read_message
    from ion.sender import queue_due_digests
    from ion.watch import Watch

    stop = threading.Event()
    outbox = Outbox(store, settings, before_round=lambda: queue_due_digests(store, settings))

    def on_intake(intake: "Intake") -> None:
        if intake.queued is None or not intake.queued.mails:
            print_json(_without_mail(intake))
        else:
            for mail in intake.queued.mails:
                print_json({"file": intake.name, **_line(mail, None)})
        outbox.notify()

    watch = Watch(folder, lambda documents: take_payloads(store, documents, settings, read_back=read_message, **how))
    thread = threading.Thread(target=_until_told, args=(stop,), daemon=True)
    # Blocked here and in all threads begun after it, so that `_until_told` gets it.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    thread.start()
    outbox.start()
    try:
        watch.run(stop, on_intake)
    finally:
        outbox.stop()


def _until_told(stop: threading.Event) -> None:
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    stop.set()


@outbox_app.callback(epilog="Example: ion outbox --merchant default | jq '{id, order, state, reply}'")
def outbox(
    context: typer.Context,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only mails in this state: sent, bounced, ...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was sent or cancelled.")] = False,
) -> None:
    """Print the mails that have not been sent, oldest first, one JSON line each."""
    if context.invoked_subcommand is not None:
        return
    from ion.store import OutgoingState

    if state is not None and state not in {known.value for known in OutgoingState}:
        known = ", ".join(one.value for one in OutgoingState)
        raise typer.BadParameter(f"{state!r} is no state of a mail; they are {known}")
    over = () if everything or state else (OutgoingState.SENT, OutgoingState.CANCELLED, OutgoingState.DIGESTED)
    with opened_store(settings_of(context)) as store:
        if merchant is not None:
            store.merchant(merchant)
        for mail in store.list_outgoing(merchant, state, without=[one.value for one in over]):
            print_json(_shown(mail))


@outbox_app.command(epilog="Example: ion outbox retry 17 18")
def retry(
    context: typer.Context,
    ids: Ids = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that the relay refused for good.")] = False,
) -> None:
    """Send mails again that failed, came back or were cancelled, or try now what waits (by `ion serve`, `ion send`)."""
    _each(context, "requeue_outgoing", ids, "failed" if failed else None, "--failed")


@outbox_app.command(epilog="Example: ion outbox cancel 17")
def cancel(context: typer.Context, ids: Ids = None) -> None:
    """Do not send mails that wait or failed. Their orders count as told of; a changed order is sent again."""
    _each(context, "cancel_outgoing", ids, None, "")


def _each(context: typer.Context, method: str, ids: list[int] | None, state: str | None, flag: str) -> None:
    if not ids and state is None:
        raise typer.BadParameter(f"name mails by their ids{f', or give {flag}' if flag else ''}")
    failed = False
    with opened_store(settings_of(context)) as store:
        chosen = list(ids or ()) + ([mail.id for mail in store.list_outgoing(state=state)] if state else [])
        for outgoing_id in dict.fromkeys(chosen):
            try:
                print_json(_shown(getattr(store, method)(outgoing_id)))
            except DatabaseError:  # it would refuse the others too
                raise
            except IonError as error:
                failed = report(str(outgoing_id), error)
    end(failed)


def _without_mail(intake: "Intake") -> dict[str, Any]:
    if intake.error is not None:
        return {"file": intake.name, "error": str(intake.error)}
    if intake.joined_to is not None:
        return {"file": intake.name, "joined_to": intake.joined_to}
    return {"file": intake.name, "queued": "for nobody: no address is subscribed to this kind"}


def _line(mail: "OutgoingMail", handed: "Handed | None") -> dict[str, Any]:
    return {
        "id": mail.id,
        "order": mail.order_number,
        "revision": mail.revision,
        "sequence": mail.sequence,
        "address": mail.address,
        "message_id": mail.message_id,
        "state": handed.state if handed else mail.state,
        "reply": handed.reply if handed else mail.last_reply,
    }


def _shown(mail: "OutgoingMail") -> dict[str, Any]:
    return {
        "id": mail.id,
        "merchant": mail.merchant,
        "order": mail.order_number,
        "revision": mail.revision,
        "sequence": mail.sequence,
        "address": mail.address,
        "state": mail.state,
        "since": mail.state_at,
        "queued_at": mail.created_at,
        "attempts": mail.attempts,
        "next_attempt_at": mail.next_attempt_at,
        "reply": mail.last_reply,
        "digest": mail.digest_id,
        "message_id": mail.message_id,
    }
