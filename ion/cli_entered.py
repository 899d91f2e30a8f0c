"""`ion entered`, `ion reopen`, `ion pending`: which orders stand in the shop, and which are still to be entered."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.console import end, opened_store, print_json, read_octets, settings_of
from ion.errors import DatabaseError, IonError

if TYPE_CHECKING:
    from ion.entering import Match
    from ion.store import Entry, Store

COMMAND_LINE = "command line"

OfMerchant = Annotated[str, typer.Option("--merchant", "-m", help="The merchant's name here.")]
By = Annotated[str, typer.Option("--by", help="Who says so; kept with it.")]
Order = Annotated[
    str, typer.Argument(metavar="ORDER", help="The platform's or the merchant's number, or id:17.", show_default=False)
]


def entered(
    context: typer.Context,
    order: Annotated[
        str | None,
        typer.Argument(
            metavar="[ORDER]", help="The platform's or the merchant's number, or id:17.", show_default=False
        ),
    ] = None,
    shop_number: Annotated[
        str | None, typer.Argument(metavar="[SHOP_NUMBER]", help="The shop's own number of it.", show_default=False)
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV: our order number, then the shop's; - reads stdin.")
    ] = None,
    shopify: Annotated[Path | None, typer.Option(metavar="FILE", help="Shopify's export of orders (CSV).")] = None,
    woocommerce: Annotated[
        Path | None, typer.Option(metavar="FILE", help="WooCommerce's export of orders (CSV, WebToffee's columns).")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Store what a file says; without it, it is only shown.")
    ] = False,
    merchant: OfMerchant = "default",
    by: By = COMMAND_LINE,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the order is entered under another number.")
    ] = False,
    as_exported: Annotated[
        bool,
        typer.Option("--as-exported", help="The shop has the order as the last file had it, without later changes."),
    ] = False,
) -> None:
    """Say that an order stands in the shop, under which number; or read that from a file and show it until --apply."""
    files = {"pairs": pairs, "shopify": shopify, "woocommerce": woocommerce}
    given = [(source, path) for source, path in files.items() if path is not None]
    if len(given) + (order is not None) != 1:
        raise typer.BadParameter("give ORDER and SHOP_NUMBER, or one of --pairs, --shopify, --woocommerce")
    if order is not None:
        if shop_number is None:
            raise typer.BadParameter(f"give the number that the shop has {order} under, too")
        with opened_store(settings_of(context)) as store:
            one = store.mark_entered(
                merchant,
                meant(order),
                shop_number,
                by=by,
                source=COMMAND_LINE,
                replace=replace,
                as_exported=as_exported,
            )
            others = [number for its, number in store.entered_as(merchant, shop_number) if its != one.id]
        print_json(asdict(one))
        _tell_doubts(one, shop_number, others)
        return
    ((source, path),) = given
    octets = read_octets(path)
    with opened_store(settings_of(context)) as store:
        store.merchant(merchant)
        failed = False
        results: Counter[str] = Counter()
        for found in _matches(store, merchant, source, octets):
            line = _line(found)
            if found.outcome == "match" or (found.replaceable and replace):
                line["result"] = "entered"
                if apply:
                    try:
                        line |= _stored(store, merchant, found, by, source, replace=replace)
                    except DatabaseError:  # it would refuse the others too
                        raise
                    except IonError as error:
                        line |= {"result": "failed", "reason": str(error)}
            results[line["result"]] += 1
            failed |= line["result"] in ("conflict", "failed") or (source == "pairs" and line["result"] == "unmatched")
            print_json(line)
        waiting = len(store.pending(merchant))
    what = "entered" if apply else "to be entered (--apply stores it)"
    rest = "".join(f", {results[name]} {name}" for name in ("known", "conflict", "unmatched", "failed"))
    typer.echo(f"{results['entered']} {what}{rest}; {waiting} orders are pending", err=True)
    end(failed)


def reopen(context: typer.Context, order: Order, merchant: OfMerchant = "default", by: By = COMMAND_LINE) -> None:
    """Take back that an order is entered: it is pending again, and in the next file where it is in none."""
    with opened_store(settings_of(context)) as store:
        print_json(asdict(store.reopen(merchant, meant(order), by=by, source=COMMAND_LINE)))


def pending(
    context: typer.Context,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
    older_than: Annotated[
        float | None, typer.Option(metavar="HOURS", min=0, max=1_000_000, help="Only what has waited so long.")
    ] = None,
) -> None:
    """List the orders that are still to be entered in the shop, the longest waiting first, one JSON line each."""
    now = datetime.now(UTC)
    with opened_store(settings_of(context)) as store:
        if merchant is not None:
            store.merchant(merchant)
        for one in store.pending(merchant, older_than=None if older_than is None else timedelta(hours=older_than)):
            print_json({**asdict(one), "age_hours": round((now - one.waiting_since) / timedelta(hours=1), 1)})


def meant(order: str) -> str | int:
    prefix, _, number = order.partition(":")
    return int(number) if prefix == "id" and number.isascii() and number.isdigit() and len(number) < 10 else order


def _matches(store: "Store", merchant: str, source: str, octets: bytes) -> tuple["Match", ...]:
    from ion.entering import match_pairs, match_shop_orders
    from ion.shop_orders import read_pairs, read_shopify, read_woocommerce

    if source == "pairs":
        return match_pairs(read_pairs(octets), store.known_orders(merchant))
    shop_orders = read_shopify(octets) if source == "shopify" else read_woocommerce(octets)
    own_skus = {sku: item.own_sku for sku, item in store.catalogue(merchant).items() if item.own_sku}
    return match_shop_orders(shop_orders, store.known_orders(merchant), own_skus)


def _line(found: "Match") -> dict[str, Any]:
    return {
        "row": found.row,
        "shop_order_number": found.shop_order_number,
        "result": found.outcome,
        "how": found.how,
        "id": found.order.id if found.order else None,
        "order_number": found.order.order_number if found.order else None,
        "reason": found.reason,
        "applied": False,
    }


def _stored(store: "Store", merchant: str, found: "Match", by: str, source: str, *, replace: bool) -> dict[str, Any]:
    assert found.order is not None
    # A file says nothing of changes: what was in the shop's hands is what was exported, and a later change stays due.
    one = store.mark_entered(
        merchant, found.order.id, found.shop_order_number, by=by, source=source, replace=replace, as_exported=True
    )
    return {"applied": one.changed, "revision": one.revision, "amended": one.amended, "reason": None}


def _tell_doubts(one: "Entry", shop_number: str, others: list[str]) -> None:
    if one.amended:
        typer.echo(f"order {one.order_number} has changed since; it stays pending as amended", err=True)
    elif one.amended_since_export:
        typer.echo(
            f"order {one.order_number} was changed after it was exported; this says that the shop has the change"
            f" (revision {one.revision}). If it has not: `ion reopen` it and say so with --as-exported",
            err=True,
        )
    if others:
        typer.echo(f"{shop_number} is also the number of {', '.join(others)}; is that right?", err=True)
