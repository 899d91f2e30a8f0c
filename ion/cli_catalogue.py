"""`ion catalogue ...`: what a merchant knows of its articles, and what it does not."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ion.console import opened_store, print_json, read_octets, settings_of

catalogue_app = typer.Typer(no_args_is_help=True, help="A merchant's catalogue: its articles by SKU.")
OfMerchant = Annotated[str, typer.Option("--merchant", "-m", help="The merchant's name here.")]


@catalogue_app.command("load", epilog="Example: ion catalogue load articles.csv --replace --dry-run")
def catalogue_load(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV with a column sku, as orders state it, and any of own_sku, name, hs_code, country_of_origin, "
            "weight, weight_unit; - reads stdin.",
        ),
    ],
    merchant: OfMerchant = "default",
    replace: Annotated[bool, typer.Option("--replace", help="Articles that are not in the file go.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
) -> None:
    """Take a CSV of articles into the catalogue, all of it or nothing."""
    from ion.export.catalogue import passed_over, read_catalogue

    octets = read_octets(file)
    items = read_catalogue(octets)
    if unknown := passed_over(octets):
        typer.echo(f"columns that are nothing of an article were passed over: {', '.join(unknown)}", err=True)
    with opened_store(settings_of(context)) as store:
        print_json(asdict(store.load_catalogue(merchant, items, replace=replace, dry_run=dry_run)))


@catalogue_app.command("show", epilog="Example: ion catalogue show | jq 'select(.hs_code == null) | .sku'")
def catalogue_show(context: typer.Context, merchant: OfMerchant = "default") -> None:
    """Print the articles of the catalogue by SKU, one JSON line each."""
    with opened_store(settings_of(context)) as store:
        for item in store.catalogue(merchant).values():
            print_json(asdict(item))


@catalogue_app.command("unknown", epilog="Example: ion catalogue unknown | jq -r .sku")
def catalogue_unknown(context: typer.Context, merchant: OfMerchant = "default") -> None:
    """Print the SKUs of orders that the catalogue does not know, those of most orders first, one JSON line each."""
    with opened_store(settings_of(context)) as store:
        for one in store.unknown_skus(merchant):
            print_json(asdict(one))
