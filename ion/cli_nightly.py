"""`ion nightly`, `ion batches`, `ion merchant profile`: what is exported every night, now, and what was."""

from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.console import end, opened_store, print_json, read_octets, settings_of
from ion.errors import DatabaseError, IonError

if TYPE_CHECKING:
    from ion.config import Settings
    from ion.store import Batch, Merchant, Store

nightly_app = typer.Typer()
BY = "command line"
Only = Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's; without it, of all.")]


@nightly_app.command(epilog="Example: ion nightly --dry-run | jq '{merchant, profile, due, left_out}'")
def nightly(
    context: typer.Context,
    merchant: Only = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be published.")] = False,
) -> None:
    """Do now what the nightly job does: fetch, read, publish what is due, deliver. One JSON line for each merchant and
    profile. What is published now is not published again in the night."""
    settings = settings_of(context)
    failed = False
    with opened_store(settings) as store:
        for name in [merchant] if merchant else [one.name for one in store.list_merchants()]:
            found = store.merchant(name)
            try:
                lines = _due_of(store, found) if dry_run else _published_for(store, settings, found)
            except DatabaseError:  # it would refuse the others too
                raise
            except IonError as error:
                failed = True
                lines = [{"merchant": name, "error": str(error)}]
            for line in lines:
                failed |= bool(line.get("fetch_failed") or line.get("unwritten") or line.get("error"))
                print_json(line)
    end(failed)


@nightly_app.command(epilog="Example: ion batches --get 12 -o orders.xlsx")
def batches(
    context: typer.Context,
    merchant: Only = None,
    profile: Annotated[str | None, typer.Option("--profile", "-p", help="Only files of this profile.")] = None,
    limit: Annotated[int, typer.Option(help="Only so many, the newest.", min=1)] = 100,
    get: Annotated[
        int | None, typer.Option("--get", metavar="ID", help="Fetch the one of this id again, byte for byte.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write it to; without it, under its own name here.")
    ] = None,
) -> None:
    """The published files, newest first, with who fetched them when; or one of them once more. JSON Lines."""
    with opened_store(settings_of(context)) as store:
        if get is not None:
            _fetch_again(store, get, output)
            return
        if merchant is not None:
            store.merchant(merchant)
        for found in store.batches(merchant, profile=profile, limit=limit):
            print_json(_told(found) | {"downloads": [{"at": at, "by": by} for at, by in store.downloads(found.id)]})


def merchant_profile(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The merchant's name.")],
    use: Annotated[str | None, typer.Option("--use", metavar="PROFILE", help="Write files in this one too.")] = None,
    custom: Annotated[
        Path | None,
        typer.Option("--custom", metavar="FILE.toml", help="With --use: columns of its own, declared there."),
    ] = None,
    primary: Annotated[
        bool, typer.Option("--primary", help="With --use: an order counts as exported when it is in this one.")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="With --use: also orders applied since then (in the merchant's time zone); without it, only new ones."
        ),
    ] = None,
    stop: Annotated[str | None, typer.Option("--stop", metavar="PROFILE", help="Write no more files in it.")] = None,
) -> None:
    """The profiles that a merchant's orders are written in every night, the primary one first."""
    from ion.export import custom_profile, profile_named
    from ion.nightly import zone_of

    if use is None and (primary or custom or since is not None):
        raise typer.BadParameter("--primary, --custom and --since belong to --use PROFILE")
    settings = settings_of(context)
    with opened_store(settings) as store:
        found = store.merchant(name)
        if stop is not None:
            store.stop_export_profile(name, stop)
        if use is not None:
            known = {one.name: one.definition for one in store.export_profiles(name, inactive=True)}
            definition = None
            if custom is not None:
                definition = read_octets(custom).decode("utf-8", "replace")
                custom_profile(use, definition)
            elif known.get(use) is None:
                profile_named(use)
            start = since.replace(tzinfo=zone_of(found, settings)).astimezone(UTC) if since else None
            store.use_export_profile(name, use, definition=definition, primary=primary, since=start)
        for one in store.export_profiles(name):
            own = {} if one.definition is None else {"version": one.version}
            print_json({"profile": one.name, "primary": one.is_primary, "since": one.created_at} | own)


def _due_of(store: "Store", merchant: "Merchant") -> list[dict[str, Any]]:
    from ion.nightly import due_now

    return [
        {"merchant": merchant.name, "profile": one.profile, "due": one.orders, "left_out": one.left_out}
        for one in due_now(store, merchant.name)
    ]


def _published_for(store: "Store", settings: "Settings", merchant: "Merchant") -> list[dict[str, Any]]:
    from ion.delivery import Deliverer
    from ion.keys import key_ring
    from ion.nightly import fetch_accounts, publish_now
    from ion.trust import Authenticator
    from ion.worker import Worker

    failed = fetch_accounts(store, settings, merchant.name)
    with closing(Authenticator.from_settings(store, settings)) as authenticator:
        keys = key_ring(settings, store).keys_for
        worker = Worker(store, keys, timeout_seconds=settings.read_timeout_seconds, authenticator=authenticator)
        with closing(worker):
            worker.run_once()
    lines = [
        {"merchant": merchant.name} | one.to_json() | ({"fetch_failed": failed} if failed else {})
        for one in publish_now(store, settings, merchant)
    ]
    Deliverer(store, settings).run_once()
    return lines


def _fetch_again(store: "Store", batch_id: int, output: Path | None) -> None:
    from ion.files import write_whole

    batch = store.batch(batch_id)
    raw = store.batch_octets(batch_id)
    if raw is None:
        raise IonError(
            f"published file {batch_id} held an order that was erased since and is gone; `ion export` writes the rest"
        )
    path = output or Path(batch.file_name)
    if output is None and path.exists():
        raise IonError(f"{path} is there already; name another file with -o")
    try:
        write_whole(path, lambda file: file.write(raw))
    except OSError as error:
        raise IonError(f"{path} cannot be written: {error.strerror}") from error
    store.record_download(batch_id, BY)
    typer.echo(f"{batch.order_count} orders, {batch.row_count} rows in {path}", err=True)


def _told(batch: "Batch") -> dict[str, Any]:
    told = asdict(batch)
    del told["profile_id"]
    return told
