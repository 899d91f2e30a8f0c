"""`ion merchant deliver` and `ion deliveries`: where published files go, and what became of each on its way."""

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.config import Settings
from ion.console import end, opened_store, print_json, report, settings_of
from ion.errors import DatabaseError, IonError, SettingError

if TYPE_CHECKING:
    from ion.store import Delivery, DeliveryTarget

deliveries_app = typer.Typer(
    invoke_without_command=True, help="Published files on their way: what waits, why, and since when."
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The merchant's name.", show_default=False)]


class TargetKind(StrEnum):
    """The ways a published file can go."""

    folder = "folder"
    mail = "mail"
    sftp = "sftp"


def deliver(
    context: typer.Context,
    name: Name,
    kind: Annotated[
        TargetKind | None, typer.Argument(metavar="[KIND]", help="folder, mail or sftp.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]",
            help="A folder's absolute path (without one, the installation's own export folder), a mail address, "
            "or sftp://USER@HOST/FOLDER.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Only the files of this profile.")] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Deliver there no more: `to` of a place that is listed.")
    ] = None,
) -> None:
    """Have a merchant's published files go to a place too, from the next one on. Without a kind: list the places."""
    settings = settings_of(context)
    if stop is not None and kind is not None:
        raise typer.BadParameter("give a place to deliver to or --stop ADDRESS, not both")
    with opened_store(settings) as store:
        store.merchant(name)
        if stop is not None:
            is_own_folder = stop == str(settings.exports / name)
            targets = store.stop_delivery_target(name, "" if is_own_folder else stop)
        elif kind is not None:
            from ion.delivery.target_address import checked_address

            place = checked_address(kind.value, address or "", settings)
            known = [one.name for one in store.export_profiles(name)]
            if profile is not None and profile not in known:
                raise SettingError(f"merchant {name} has no profile {profile!r} in use; it has {', '.join(known)}")
            targets = (store.add_delivery_target(name, kind.value, place, profile=profile),)
        else:
            targets = store.delivery_targets(name, stopped=True)
        for target in targets:
            print_json(_shown_target(target, settings))


@deliveries_app.callback(epilog="Example: ion deliveries --merchant default | jq '{id, file, to, state, reason}'")
def deliveries(
    context: typer.Context,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what has arrived.")] = False,
) -> None:
    """Print the published files that have not arrived, oldest first, one JSON line for each place they go to."""
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(context)
    with opened_store(settings) as store:
        if merchant is not None:
            store.merchant(merchant)
        for one in store.deliveries(merchant, over=everything):
            print_json(_shown(one, settings))


@deliveries_app.command(epilog="Example: ion deliveries retry 17 18")
def retry(
    context: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Ids, as `ion deliveries` shows them.")],
) -> None:
    """Deliver files again: those that failed, wait, or have arrived and are wanted once more."""
    from ion.delivery import Deliverer

    settings, failed = settings_of(context), False
    with opened_store(settings) as store:
        queued = []
        for delivery_id in dict.fromkeys(ids):
            try:
                queued.append(store.retry_delivery(delivery_id).id)
            except DatabaseError:  # it would refuse the others too
                raise
            except IonError as error:
                failed = report(str(delivery_id), error)
        Deliverer(store, settings).run_once()
        for one in store.deliveries(over=True):
            if one.id in queued:
                print_json(_shown(one, settings))
                failed |= one.state in ("retry", "failed")
    end(failed)


def _shown_target(target: "DeliveryTarget", settings: Settings) -> dict[str, Any]:
    return {**asdict(target), "to": _place(target, settings)}


def _place(target: "DeliveryTarget", settings: Settings) -> str:
    return target.address or str(settings.exports / target.merchant)


def _shown(one: "Delivery", settings: Settings) -> dict[str, Any]:
    return {
        "id": one.id,
        "merchant": one.batch.merchant,
        "file": one.batch.file_name,
        "batch": one.batch.id,
        "kind": one.target.kind,
        "to": _place(one.target, settings),
        "state": one.state,
        "reason" if one.state != "done" else "arrived_as": one.detail,
        "since": one.state_at,
        "published_at": one.batch.published_at,
        "attempts": one.attempts,
        "next_attempt_at": one.next_attempt_at,
    }
