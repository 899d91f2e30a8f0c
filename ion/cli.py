"""The commands. Data goes to stdout, messages to stderr; several inputs give JSON Lines in input order.

Exit status: 0 done; 1 some inputs failed (unreadable, refused); 2 usage; 3 configuration; 4 a server could not be
reached. A grade is an answer, not a failure. Each command is thin: it reads its inputs, calls one function of a room
and prints what that returns. The database and the web server import slowly, so commands import what they use.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion import __version__, cli_backup, cli_corrections, cli_delivery, cli_trust, cli_web
from ion.cli_alerts import alerts
from ion.cli_catalogue import catalogue_app
from ion.cli_dkim import dkim_app
from ion.cli_entered import entered, pending, reopen
from ion.cli_imap import imap_app, imap_states
from ion.cli_jobs import jobs
from ion.cli_merchant import merchant_app
from ion.cli_nightly import merchant_profile, nightly_app
from ion.cli_outbox import outbox_app
from ion.cli_privacy import erase_app, purge
from ion.cli_template import template_app
from ion.cli_user import user_app
from ion.config import masked
from ion.console import (
    counted,
    end,
    merchant_of,
    opened_store,
    print_json,
    read_octets,
    report,
    settings_of,
    with_progress,
)
from ion.errors import DatabaseError, IonError

if TYPE_CHECKING:
    from ion.export import Profile

app = typer.Typer(
    name="ion",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(merchant_app, name="merchant")
merchant_app.command("profile", epilog="Example: ion merchant profile shop --use shipstation --since 2026-11-01")(
    merchant_profile
)
app.add_typer(nightly_app)
app.add_typer(dkim_app, name="dkim")
app.command(epilog="Example: ion held --merchant default | jq '{notification, order_number, reason}'")(cli_trust.held)
app.command(epilog="Example: ion show 17 | jq .notifications[0].problems")(cli_trust.show)
app.command(epilog="Example: ion release 12 13 --by Ana --note 'seen in the platform'")(cli_trust.release)
app.command(epilog="Example: ion dismiss 14 --by Ana --note 'not ours'")(cli_trust.dismiss)
app.command(epilog="Example: ion correct 13 --set delivery.city=Wien --by Ana --note 'asked the customer'")(
    cli_corrections.correct
)
app.command(epilog="Example: ion merge 15 --order GE123456789XX --by Ana")(cli_corrections.merge)
app.command(epilog="Example: ion undo 14 --by Ana")(cli_corrections.undo)
app.command(epilog="Example: ion entered GE123456789XX 1001 --by Ana; ion entered --shopify orders.csv")(entered)
app.command(epilog="Example: ion reopen GE123456789XX --by Ana")(reopen)
app.command(epilog="Example: ion pending --older-than 24 | jq '{order_number, country, batch}'")(pending)
app.add_typer(catalogue_app, name="catalogue")
app.add_typer(imap_app)
app.add_typer(outbox_app, name="outbox")
app.command(epilog="Example: ion web --web-port 8080")(cli_web.web)
merchant_app.command("token", epilog="Example: ion merchant token shop --name nightly-import")(cli_web.token)
app.add_typer(user_app, name="user")
app.add_typer(cli_delivery.deliveries_app, name="deliveries")
merchant_app.command("deliver", epilog="Example: ion merchant deliver shop folder /srv/shop --profile xlsx")(
    cli_delivery.deliver
)
app.add_typer(erase_app, name="erase")
app.add_typer(template_app, name="template")
app.command(epilog="Example: ion purge")(purge)
app.command(epilog="Example: ion backup /srv/backups; ion backup --verify /srv/backups/ion.tar.gz")(cli_backup.backup)
app.command(epilog="Example: ion --data-dir /srv/ion/data restore /srv/backups/ion.tar.gz")(cli_backup.restore)
app.command(epilog="Example: ion alerts --seen 12 --seen 13")(alerts)
app.command(epilog="Example: ion jobs | jq 'select(.late_seconds > 0)'")(jobs)


class Block(StrEnum):
    """Which of a Global-e payload's two address blocks."""

    primary = "primary"
    secondary = "secondary"


Payloads = Annotated[
    list[Path],
    # A file that cannot be read is told by `read_octets`; it never stops the others.
    typer.Argument(metavar="PAYLOAD...", readable=False, help="Order payloads (JSON files); - reads stdin."),
]
Mails = Annotated[
    list[Path], typer.Argument(metavar="MAIL...", readable=False, help="Mail messages (.eml files); - reads stdin.")
]
Merchant = Annotated[str, typer.Option("--merchant", "-m", help="The merchant's name here.")]
PayloadMerchant = Annotated[
    str | None,
    typer.Option("--merchant", "-m", help="The merchant's name here; without it, the one the payload's id belongs to."),
]
Approved = Annotated[
    bool, typer.Option("--approved", help="State that the order is approved although the payload does not say so.")
]
CustomerBlock = Annotated[
    Block | None,
    typer.Option("--customer", help="Which address block is the customer's, where the payload contradicts itself."),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ion {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def _root(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of database, keys and exports.")] = None,
    log_level: Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")] = None,
    version: Annotated[  # noqa: ARG001  # its callback does it, before a command is asked for
        bool, typer.Option("--version", callback=_print_version, help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    """International Order Notifications: rendered, mailed, forwarded, read back exactly and exported."""
    context.obj = {"config": config, "data_dir": data_dir, "log_level": log_level}


def main() -> None:
    """The `ion` program: runs a command and turns what went wrong into one sentence and an exit status."""
    try:
        app()
    except IonError as error:
        typer.echo(f"ion: {error}", err=True)
        sys.exit(error.exit_status)


@app.command(epilog="Example: ion demo --forward outlook --forward gmail --forward-language de")
def demo(
    directory: Annotated[Path | None, typer.Option("--dir", help="Keep everything in this folder.")] = None,
    forward: Annotated[
        list[str] | None,
        typer.Option(
            "--forward",
            metavar="CLIENT",
            help="Show one order before and after this mail client forwarded it; repeated, each forwards in turn. "
            "list prints their names.",
        ),
    ] = None,
    forward_language: Annotated[
        str, typer.Option("--forward-language", metavar="TAG", help="Language those clients are set to.")
    ] = "en",
) -> None:
    """Run the whole loop on this machine: payloads, mails, SMTP, forwards, database, CSV. No configuration."""
    from ion.demo.show_forward import described_clients, show_forward

    if forward == ["list"]:
        typer.echo(described_clients())
        return
    if forward:
        exact = show_forward(forward, forward_language, directory)
    else:
        from ion.demo.run import run_demo

        exact = run_demo(directory)
    if not exact:
        raise typer.Exit(1)


@app.command(epilog="Example: ion serve --smtp-port 2525 --web-port 8081")
def serve(
    context: typer.Context,
    smtp_host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    smtp_port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one.")] = None,
    web_host: Annotated[str | None, typer.Option(help="Address that the staff page is at.")] = None,
    web_port: Annotated[int | None, typer.Option(help="Port that it is at; 0: any free one.")] = None,
) -> None:
    """Do all that runs by itself: receive mail by SMTP and IMAP, read it, send, publish and deliver the nightly files,
    serve the staff page, look for what needs a person. Ends cleanly on SIGTERM or Ctrl-C. While there is no user it
    writes the address at which the first one is made."""
    from ion.serve import serve_forever

    given = {"smtp_host": smtp_host, "smtp_port": smtp_port, "web_host": web_host, "web_port": web_port}
    serve_forever(settings_of(context, **given))


@app.command(epilog="Example: ion order --approved order.json | jq .order.totals")
def order(payloads: Payloads, approved: Approved = False, customer: CustomerBlock = None) -> None:
    """Print the order that each payload holds, one JSON line per file."""
    failed = False
    for result in _read_payloads(payloads, customer):
        line: dict[str, Any] = {"file": result.name}
        if result.reading is not None:
            line["order"] = result.reading.order.to_json()
            line["approved"] = not result.reading.cancelled and (approved or result.reading.approved)
            line["status"] = result.reading.status
            line["warnings"] = list(result.reading.warnings)
        elif result.joined_to is not None:
            line["joined_to"] = result.joined_to
        else:
            line["error"] = str(result.error)
            failed = True
        print_json(line)
    end(failed)


@app.command(epilog="Example: ion render --approved --locale de order.json -o order.eml")
def render(
    context: typer.Context,
    payloads: Payloads,
    approved: Approved = False,
    locale: Annotated[str | None, typer.Option(help="Language of the mail: en, de, pt-BR, ... (28).")] = None,
    merchant: PayloadMerchant = None,
    customer: CustomerBlock = None,
    to: Annotated[list[str] | None, typer.Option("--to", help="Recipient in the To header; may be repeated.")] = None,
    templates_dir: Annotated[Path | None, typer.Option("--templates", help="Folder of your own templates.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the mail to this file.")] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out-dir", help="Write each mail to FOLDER/<payload stem>.eml.")
    ] = None,
) -> None:
    """Render the mail for each approved payload, read it back and prove it. Sends nothing."""
    from ion.keys import key_ring
    from ion.notify.sending import render_order
    from ion.reading import read_message

    settings = settings_of(context, locale=locale, templates_dir=templates_dir)
    results = list(_read_payloads(payloads, customer))
    if output is not None and out_dir is not None:
        raise typer.BadParameter("give -o or --out-dir, not both")
    if out_dir is None and sum(1 for result in results if result.joined_to is None) > 1:
        raise typer.BadParameter("several orders need --out-dir FOLDER")
    stems = [Path(result.name).stem for result in results if result.joined_to is None]
    if out_dir is not None and len(set(stems)) < len(stems):
        raise typer.BadParameter("two payloads have the same file name; their mails would overwrite each other")
    # What is wrong for every file ends the command: an unknown merchant, a lost key.
    if merchant is not None:
        merchant_of(settings, merchant, None)
    key_ring(settings).ensure_secret()
    failed = False
    for result in with_progress(results, "rendering"):
        if result.joined_to is not None:
            continue
        try:
            reading = _approved_reading(result, approved)
            name = merchant_of(settings, merchant, reading.merchant_id)
            mail = render_order(reading.order, settings, merchant=name, recipients=to or [], read_back=read_message)
            _write_mail(mail.raw, result.name, output, out_dir)
        except IonError as error:
            failed = report(result.name, error)
    end(failed)


@app.command(epilog="Example: ion send order.json payment.json --to shop@example.com")
def send(
    context: typer.Context,
    payloads: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PAYLOAD...]",
            readable=False,
            help="Order payloads (JSON files), - reads stdin; without any, what waits is sent.",
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Take the payload files that appear in this folder, until SIGTERM or Ctrl-C."
        ),
    ] = None,
    approved: Approved = False,
    locale: Annotated[str | None, typer.Option(help="Language of the mail: en, de, pt-BR, ... (28).")] = None,
    merchant: PayloadMerchant = None,
    customer: CustomerBlock = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="Recipient instead of the merchant's own; may be repeated.")
    ] = None,
) -> None:
    """Render, queue and hand each approved order to the relay. The same order again is not sent twice.

    What the relay could not take stays queued; `ion send` without a payload tries it again, and `ion serve` does by
    itself. A payload that says something new of an order is its next revision, whose mail says what has changed.
    """
    from ion.cli_outbox import send_payloads, send_waiting, watch_folder
    from ion.keys import key_ring

    settings = settings_of(context, locale=locale)
    if watch is not None and payloads:
        raise typer.BadParameter("give payloads or --watch FOLDER, not both")
    with opened_store(settings) as store:
        if merchant is not None:
            store.merchant(merchant)
        key_ring(settings, store).ensure_secret()
        how = {"merchant": merchant, "recipients": to or [], "approved": approved}
        how["customer"] = customer.value if customer else None
        how["locale"] = settings.locale if locale else None
        if watch is not None:
            watch_folder(store, settings, watch, how)
        elif payloads:
            send_payloads(store, settings, payloads, how)
        else:
            send_waiting(store, settings)


@app.command(epilog="Example: ion parse forwarded.eml | jq '{grade, order: .order.order_number}'")
def parse(
    context: typer.Context,
    mails: Mails,
    merchant: Merchant = "default",
    trust: Annotated[bool, typer.Option("--trust", help="Take an unsealed notification whose fields add up.")] = False,
) -> None:
    """Read the notifications in each mail and print them with their grade, one JSON line each. Stores nothing."""
    from ion.keys import key_ring
    from ion.reading import read_message

    settings = settings_of(context)
    keys = key_ring(settings).keys_for(merchant_of(settings, merchant, None))
    failed = False
    for path in with_progress(mails, "reading"):
        try:
            judged = read_message(read_octets(path), keys)
        except IonError as error:
            failed = True
            print_json({"file": str(path), "error": str(error)})
            continue
        for line in _judged_lines(judged, trust):
            print_json({"file": str(path), **line})
    end(failed)


@app.command(epilog="Example: ion ingest saved/*.eml --merchant default")
def ingest(
    context: typer.Context,
    mails: Mails,
    merchant: Merchant = "default",
) -> None:
    """Store mail files through the same door as SMTP, read them, and tell what became of each."""
    from ion.inbox import Envelope, Receipt, receive
    from ion.keys import key_ring
    from ion.trust import Authenticator
    from ion.worker import Worker

    settings = settings_of(context)
    envelope = Envelope(mail_from=None, rcpt_tos=(), door="file", merchant=merchant)
    kept: list[tuple[Path, Receipt | IonError]] = []
    with opened_store(settings) as store:
        store.merchant(merchant)
        keys = key_ring(settings, store)
        keys.ensure_secret()
        for path in with_progress(mails, "storing"):
            try:
                kept.append((path, receive(store, read_octets(path), envelope)[0]))
            except IonError as error:
                kept.append((path, error))
        authenticator = Authenticator.from_settings(store, settings)
        worker = Worker(
            store,
            keys.keys_for,
            timeout_seconds=settings.read_timeout_seconds,
            authenticator=authenticator,
        )
        try:
            worker.run_once()
        finally:
            worker.close()
            authenticator.close()
        for path, receipt in kept:
            line: dict[str, Any] = {"file": str(path)}
            if isinstance(receipt, IonError):
                line["error"] = str(receipt)
            else:
                line |= {"message": receipt.message_id, "created": receipt.created}
                line["state"] = store.message_state(receipt.message_id)
                line["notifications"] = [asdict(found) for found in store.notifications_of(receipt.message_id)]
            print_json(line)
    for _, receipt in kept:
        if isinstance(receipt, DatabaseError):
            raise receipt
    end(any(isinstance(receipt, IonError) for _, receipt in kept))


@app.command(epilog="Example: ion export --profile xlsx -o orders.xlsx --since 2026-11-01")
def export(
    context: typer.Context,
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="See `ion profiles`; without it, what the name of the file says."),
    ] = None,
    custom: Annotated[
        Path | None,
        typer.Option("--custom", metavar="FILE.toml", help="Columns of your own instead, as declared there."),
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only orders received since then (in the set time zone).")
    ] = None,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's orders.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write; without it, stdout.")] = None,
    contact_name: Annotated[str | None, typer.Option(help="Whom invoices are made out to (xero, quickbooks).")] = None,
    account_code: Annotated[str | None, typer.Option(help="Account of every invoice line (xero).")] = None,
    tax_type: Annotated[str | None, typer.Option(help="Tax type of every line (xero, quickbooks).")] = None,
) -> None:
    """Write the orders to a CSV or spreadsheet. A file is written whole or not at all."""
    from ion.catalogues import Catalogues
    from ion.export import Options, export_orders, in_files

    settings = settings_of(context)
    chosen = _profile_for(profile, custom, output)
    options = Options(contact_name=contact_name, account_code=account_code, tax_type=tax_type)
    start = since.replace(tzinfo=settings.zone).astimezone(UTC) if since else None
    with opened_store(settings) as store, _told(output):
        if merchant is not None:
            store.merchant(merchant)
        catalogues = Catalogues(store)
        # A catalogue fills cells that were left empty in the rows that are kept.
        has_catalogue = catalogues.any(merchant)
        kept_rows = None if has_catalogue else str(chosen)
        orders = counted(store.orders_for_export(merchant=merchant, since=start, kept_rows=kept_rows), "orders")
        # Standard output is one file, and is told so where the profile needs several.
        for number, group in enumerate(in_files(orders, chosen) if output else [orders], start=1):
            path = output.with_stem(f"{output.stem}-{number}") if output and number > 1 else output
            summary = export_orders(
                group,
                chosen,
                path or sys.stdout.buffer,
                exported_at=datetime.now(UTC),
                zone=settings.zone,
                options=options,
                catalogue=catalogues.of if has_catalogue else None,
            )
            for note in summary.notes:
                typer.echo(note, err=True)
            typer.echo(f"{summary.orders} orders, {summary.rows} rows" + (f" in {path}" if path else ""), err=True)


@app.command("profiles", epilog="Example: ion profiles shipstation")
def show_profiles(
    name: Annotated[str | None, typer.Argument(help="The columns of this profile, one a line.")] = None,
) -> None:
    """List the export profiles: version, whom each is for, its columns."""
    from ion.export import PROFILES, profile_named

    if name is not None:
        for table in profile_named(name).tables:
            for column in table.columns:
                print_json({"table": table.name, "column": column.name, "meaning": column.about})
        return
    for profile in PROFILES.values():
        print_json(
            {
                "profile": profile.name,
                "version": profile.version,
                "for": profile.audience,
                "file": profile.suffix,
                "columns": [column.name for table in profile.tables for column in table.columns],
            }
        )


@app.command(epilog="Example: ion reparse --state quarantined --state review --apply")
def reparse(
    context: typer.Context,
    message: Annotated[
        list[int] | None, typer.Option("--message", metavar="ID", help="Only this message; may be repeated.")
    ] = None,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's messages.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only messages received since then (in the set time zone).")
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only messages in this state or with a notification in it; may be repeated."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Store what changes; without it, it is only shown.")] = False,
) -> None:
    """Read kept mail again with today's reader, keys and trust rules, and print what that changes, one JSON line per
    message."""
    from ion.keys import key_ring
    from ion.reparse import Chosen, NotReread
    from ion.reparse import reparse as read_again
    from ion.store import MessageState, NotificationState
    from ion.trust import Authenticator

    settings = settings_of(context)
    known = [*MessageState, *NotificationState]
    for one in state or []:
        if one not in known:
            raise typer.BadParameter(f"there is no state {one}; there are {', '.join(dict.fromkeys(known))}")
    read = changed = 0
    failed = False
    with opened_store(settings) as store, closing(Authenticator.from_settings(store, settings)) as authenticator:
        if merchant is not None:
            store.merchant(merchant)
        chosen = Chosen(
            tuple(message or ()),
            merchant,
            since.replace(tzinfo=settings.zone).astimezone(UTC) if since else None,
            tuple(state or ()),
        )
        for found in read_again(
            store,
            key_ring(settings, store).keys_for,
            authenticator,
            chosen,
            apply=apply,
            timeout_seconds=settings.read_timeout_seconds,
        ):
            if isinstance(found, NotReread):
                failed = True
                print_json({"message": found.message_id, "error": str(found.error)})
                continue
            read, changed = read + 1, changed + found.changed
            different = [one.to_json() for one in found.notifications if one.change != "same"]
            if found.changed or different:
                print_json(
                    {
                        "message": found.message_id,
                        "merchant": found.merchant,
                        "state": found.state,
                        "state_after": found.state_after,
                        "changed": found.changed,
                        "applied": found.applied,
                        "notifications": different,
                    }
                )
    done = "changed" if apply else "would change (--apply stores it)"
    typer.echo(f"{read} messages read again, {changed} {done}", err=True)
    end(failed)


@app.command(epilog="Example: ion check")
def check(context: typer.Context) -> None:
    """Check that nothing was lost: messages by state, whether all adds up, whether an IMAP account is refused."""
    settings = settings_of(context)
    with opened_store(settings) as store:
        report = store.check()
        report["imap"], refused = imap_states(settings, store)
        report["problems"] += refused
    print_json(report)
    end(bool(report["problems"]))


@app.command("config", epilog="Example: ION_SMTP_PORT=2525 ion config")
def show_config(context: typer.Context) -> None:
    """Print the settings in force, secrets masked."""
    typer.echo(json.dumps(masked(settings_of(context)), ensure_ascii=False, indent=2))


def _profile_for(profile: str | None, custom: Path | None, output: Path | None) -> "Profile":
    """The profile asked for, or the one that the name of the file stands for. Raises BadParameter where they differ."""
    from ion.export import custom_profile, profile_named

    suffix = output.suffix.lower().lstrip(".") if output else ""
    named = {"xlsx": "xlsx", "csv": "standard"}.get(suffix)
    if profile and custom:
        raise typer.BadParameter("give --profile or --custom, not both")
    if custom:
        chosen = custom_profile(custom.stem, _declaration(custom))
    else:
        chosen = profile_named(profile or named or "standard")
    if named and chosen.suffix != suffix:
        raise typer.BadParameter(f"profile {chosen.name} writes .{chosen.suffix}, not what {output} is called")
    if chosen.suffix == "xlsx" and output is None and sys.stdout.isatty():
        raise typer.BadParameter("a spreadsheet is no text for a screen; name a file with -o orders.xlsx")
    return chosen


def _declaration(path: Path) -> str:
    from ion.errors import ProfileError

    try:
        return read_octets(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path} is no UTF-8, as TOML has to be") from error


def _read_payloads(paths: list[Path], customer: Block | None) -> Iterator[Any]:
    """A result per payload, in input order; a file that cannot be opened is a failed one."""
    from ion.errors import PayloadError
    from ion.payloads import Result, read_payloads

    documents: list[tuple[str, bytes]] = []
    broken: dict[int, PayloadError] = {}
    for place, path in enumerate(paths):
        try:
            documents.append((str(path), read_octets(path)))
        except IonError as error:
            broken[place] = PayloadError(str(error))
    results = iter(read_payloads(documents, customer=customer.value if customer else None))
    for place, path in enumerate(paths):
        yield Result(str(path), None, broken[place], None) if place in broken else next(results)


def _approved_reading(result: Any, approved: bool) -> Any:
    from ion.intake import approved_reading

    if result.reading is None:
        raise result.error
    approved_reading(result.reading, approved)
    for warning in result.reading.warnings:
        typer.echo(f"{result.name}: warning: {warning}", err=True)
    return result.reading


def _judged_lines(judged: Iterable[Any], trust: bool) -> Iterator[dict[str, Any]]:
    found = False
    for item in judged:
        found = True
        grade, problems = item.grade, [asdict(problem) for problem in item.problems]
        if grade == "consistent" and not trust:
            grade = "review"
            message = "the mail carries no seal; --trust takes it as it is"
            problems.append({"code": "unsealed", "field": None, "message": message})
        yield {
            "grade": grade,
            "notification": item.notification.to_json() if item.notification else None,
            "order": item.order.to_json() if item.order else None,
            "problems": problems,
            "carrier": item.carrier,
            "language": item.language,
        }
    if not found:
        yield {"grade": "none", "notification": None, "order": None, "problems": []}


def _write_mail(raw: bytes, name: str, output: Path | None, out_dir: Path | None) -> None:
    from ion.files import write_whole

    if out_dir is not None:
        output = out_dir / f"{Path(name).stem}.eml"
    if output is None:
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()
        return
    with _told(output):
        if out_dir is not None:
            out_dir.mkdir(parents=True, exist_ok=True)
        write_whole(output, lambda file: file.write(raw))


@contextmanager
def _told(path: Path | None) -> Iterator[None]:
    """What the system says against writing a file, as one sentence that names it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise IonError(f"{path or 'standard output'} cannot be written: {error.strerror}") from error
