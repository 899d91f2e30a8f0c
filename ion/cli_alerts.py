"""`ion alerts`: what a person should see of mails that came back."""

from dataclasses import asdict
from typing import Annotated

import typer

from ion.console import end, opened_store, print_json, settings_of


def alerts(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that somebody has seen.")] = False,
    seen: Annotated[
        list[int] | None, typer.Option("--seen", metavar="ID", help="Say that this one was seen; may be repeated.")
    ] = None,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
) -> None:
    """List what nobody has seen yet, oldest first, one JSON line each; with --seen, mark those as seen instead."""
    with opened_store(settings_of(context)) as store:
        if seen:
            marked = store.mark_alerts_seen(seen)
            print_json({"seen": list(marked)})
            missing = sorted(set(seen) - {alert.id for alert in store.alerts(seen=True)})
            for number in missing:
                typer.echo(f"there is no alert {number}; `ion alerts --all` shows them", err=True)
            end(bool(missing))
            return
        if merchant is not None:
            store.merchant(merchant)
        for alert in store.alerts(merchant=merchant, seen=everything):
            print_json(asdict(alert))
