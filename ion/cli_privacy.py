"""`ion purge` and `ion erase ...`: what is kept no longer, and what was asked to be forgotten."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.config import Settings
from ion.console import end, opened_store, print_json, settings_of

if TYPE_CHECKING:
    from ion.store import Store, Subject

erase_app = typer.Typer(
    no_args_is_help=True, help="Erase a merchant, a customer or an order; shows what it would remove until --yes."
)
Yes = Annotated[bool, typer.Option("--yes", help="Erase. Without it, only tell what would be removed.")]
OfMerchant = Annotated[str | None, typer.Option("--merchant", "-m", help="Only what is this merchant's.")]


def purge(context: typer.Context) -> None:
    """Remove the raw mail whose days (raw_days) are over, as `ion serve` does once a day."""
    from ion.retention import remove_raw, replace_erased_files

    settings = settings_of(context)
    now = datetime.now(UTC)
    with opened_store(settings) as store:
        removed, emptied = remove_raw(store, settings.raw_days, now=now)
        replaced, failed = replace_erased_files(store, now=now)
    print_json({"removed": removed, "files_replaced": [str(path) for path in replaced]})
    end(_tell_unfinished(emptied, failed))


@erase_app.command("merchant", epilog="Example: ion erase merchant shop --yes")
def erase_merchant(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The merchant's name.")],
    yes: Yes = False,
) -> None:
    """Erase everything of a merchant: mails, orders, outgoing mails, addresses. Its name and its counts stay."""
    from ion.store import ErasureKind, Subject

    _erase(settings_of(context), Subject(ErasureKind.MERCHANT, name), yes=yes)


@erase_app.command("customer", epilog="Example: ion erase customer --email ana@example.com --yes")
def erase_customer(
    context: typer.Context,
    email: Annotated[str, typer.Option(help="The customer's mail address, whole.")],
    merchant: OfMerchant = None,
    yes: Yes = False,
) -> None:
    """Erase the orders of a customer, and the raw octets of every mail that names the address."""
    from ion.store import ErasureKind, Subject

    _check_email(email)
    _erase(settings_of(context), Subject(ErasureKind.CUSTOMER, merchant, email=email), yes=yes)


@erase_app.command("order", epilog="Example: ion erase order GE123456789XX --merchant shop --yes")
def erase_order(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The platform's order number.")],
    merchant: OfMerchant = None,
    yes: Yes = False,
) -> None:
    """Erase one order with all its revisions and mails."""
    from ion.store import ErasureKind, Subject

    if not number.strip() or not number.isprintable():
        raise typer.BadParameter(f"{number!r} is no order number")
    _erase(settings_of(context), Subject(ErasureKind.ORDER, merchant, order_number=number), yes=yes)


@erase_app.command("list", epilog="Example: ion erase list --email ana@example.com")
def erase_list(
    context: typer.Context,
    email: Annotated[str | None, typer.Option(help="Only erasures of this customer's address.")] = None,
) -> None:
    """The records of what was erased, one JSON line each. They hold no personal data."""
    from ion.keys import key_ring
    from ion.store.mentions import normal_address

    settings = settings_of(context)
    with opened_store(settings) as store:
        digest = None
        if email is not None:
            _check_email(email)
            digest = key_ring(settings, store).subject_digest(normal_address(email))
        for record in store.erasures(digest):
            print_json(asdict(record))


def _erase(settings: Settings, subject: "Subject", *, yes: bool) -> None:
    from ion.retention import replace_erased_files

    with opened_store(settings) as store:
        if subject.merchant is not None:
            store.merchant(subject.merchant)
        plan = store.plan_erasure(subject)
        line: dict[str, Any] = {"kind": subject.kind.value, "merchant": subject.merchant}
        if not yes:
            print_json({**line, "would_erase": plan.counts()})
            typer.echo("nothing was changed; --yes erases", err=True)
            return
        record = store.erase(plan, _digest_of(settings, store, subject))
        replaced, failed = replace_erased_files(store, now=datetime.now(UTC))
        emptied = store.empty_log()
    print_json({**line, "record": record.id, "erased": record.counts, "files_replaced": [str(one) for one in replaced]})
    unfinished = _tell_unfinished(emptied, failed)
    if plan.unread:
        typer.echo(
            f"{plan.unread} mails that belong to this are not read yet and stay; erase again when they are", err=True
        )
    end(unfinished or bool(plan.unread))


def _digest_of(settings: Settings, store: "Store", subject: "Subject") -> str | None:
    from ion.keys import key_ring
    from ion.store.mentions import normal_address

    if subject.email is not None:
        return key_ring(settings, store).subject_digest(normal_address(subject.email))
    if subject.order_number is not None:
        return key_ring(settings, store).subject_digest(f"order {subject.order_number}")
    return None


def _tell_unfinished(emptied: bool, failed: list[str]) -> bool:
    """Tell on stderr what is still to be done; True where there is something."""
    if not emptied:
        typer.echo(
            "older octets are still in the database's log, because a reader is in the way: run `ion purge`", err=True
        )
    for sentence in failed:
        typer.echo(sentence, err=True)
    return bool(failed) or not emptied


def _check_email(email: str) -> None:
    # A part of an address would erase what belongs to others.
    local, _, domain = email.strip().rpartition("@")
    if not local or not domain or not email.isprintable() or any(letter.isspace() for letter in email.strip()):
        raise typer.BadParameter(f"{email!r} is no mail address; give it whole, for example ana@example.com")
