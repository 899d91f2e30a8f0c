"""`ion alerts`: what a person should see, by cause: since when, how often, whether it was told by mail."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.console import end, opened_store, print_json, settings_of

if TYPE_CHECKING:
    from ion.store import Store


def alerts(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that somebody has seen, and those that are over.")
    ] = False,
    seen: Annotated[
        list[int] | None, typer.Option("--seen", metavar="ID", help="Say that this one was seen; may be repeated.")
    ] = None,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Look first what needs a person, as `ion serve` does, and queue mails."),
    ] = False,
) -> None:
    """List what lasts and nobody has seen yet, oldest first, one JSON line each; with --seen, mark those as seen
    instead."""
    from ion.contract import language
    from ion.notify.alert_mail import title_of

    settings = settings_of(context)
    with opened_store(settings) as store:
        if seen:
            _mark_seen(store, seen)
            return
        if merchant is not None:
            store.merchant(merchant)
        if check:
            from ion.alerting import Alerting

            Alerting(store, settings).look(everything=True)
        for alert in store.alerts(merchant=merchant, seen=everything):
            line: dict[str, Any] = asdict(alert)
            print_json({"id": line.pop("id"), "what": title_of(alert.kind, language("en")), **line})


def _mark_seen(store: "Store", seen: list[int]) -> None:
    print_json({"seen": list(store.mark_alerts_seen(seen))})
    missing = sorted(set(seen) - {alert.id for alert in store.alerts(seen=True)})
    for number in missing:
        typer.echo(f"there is no alert {number}; `ion alerts --all` shows them", err=True)
    end(bool(missing))
