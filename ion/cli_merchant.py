"""`ion merchant ...`: merchants, their addresses, recipients and keys."""

import importlib.util
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ion.config import local_time, zone_name
from ion.console import keyring_of, opened_store, print_json, read_octets, settings_of
from ion.errors import IonError, SettingError

merchant_app = typer.Typer(no_args_is_help=True, help="Merchants: their addresses, recipients and keys.")
key_app = typer.Typer(
    no_args_is_help=True, help="A merchant's sealing key: carry it to another installation, or renew it."
)
merchant_app.add_typer(key_app, name="key")


class TrustAction(StrEnum):
    """What to do with a merchant's policy."""

    list = "list"
    add = "add"
    remove = "remove"


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The merchant's name: lower-case letters, digits and hyphens.")
]


@merchant_app.command("list", epilog="Example: ion merchant list | jq -r .addresses[0]")
def merchant_list(context: typer.Context) -> None:
    """All merchants with their forward-to addresses, one JSON line each."""
    with opened_store(settings_of(context)) as store:
        for found in store.list_merchants():
            print_json(asdict(found))


@merchant_app.command("add", epilog="Example: ion merchant add shop --mail-to orders@shop.example")
def merchant_add(
    context: typer.Context,
    name: Name,
    mail_to: Annotated[
        list[str] | None, typer.Option(help="Address that notifications are sent to; may be repeated.")
    ] = None,
    payload_id: Annotated[
        list[str] | None, typer.Option(help="The merchant's id in payloads; may be repeated.")
    ] = None,
) -> None:
    """Add a merchant; prints it with the secret address to forward order mail to."""
    settings = settings_of(context)
    _check_addresses(mail_to or [])
    with opened_store(settings) as store:
        store.create_merchant(name, domain=settings.mail_domain, payload_ids=payload_id or [])
        if mail_to:
            store.set_mail_to(name, _plain(mail_to), note="ion merchant add")
        print_json(asdict(store.merchant(name)))


@merchant_app.command("set", epilog="Example: ion merchant set default --mail-to orders@shop.example --locale de")
def merchant_set(
    context: typer.Context,
    name: Name,
    mail_to: Annotated[
        list[str] | None,
        typer.Option(help="Address that notifications are sent to, instead of those before; may be repeated."),
    ] = None,
    locale: Annotated[str | None, typer.Option(help="Language of its notifications: en, de, pt-BR, ... (28).")] = None,
    sender: Annotated[str | None, typer.Option(help="From address of its notifications.")] = None,
    reply_to: Annotated[str | None, typer.Option(help="Reply-To address of its notifications.")] = None,
    relay: Annotated[str | None, typer.Option(help="Name of the [[relay]] table that its notifications go by.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA time zone of its nightly job and business dates.")] = None,
    export_time: Annotated[str | None, typer.Option(help="Local time of its nightly job, HH:MM.")] = None,
) -> None:
    """Set how a merchant's notifications are sent and when its nightly job runs. An empty value: as the settings have
    it."""
    from ion.contract import language

    settings = settings_of(context)
    values = {"locale": locale, "sender": sender, "reply_to": reply_to, "relay": relay}
    values |= {"time_zone": time_zone, "export_time": export_time}
    given = {key: value or None for key, value in values.items() if value is not None}
    if mail_to is None and not given:
        raise typer.BadParameter(f"give at least one of --mail-to, {', '.join(map(_option, values))}")
    if locale:
        given["locale"] = language(locale).tag
    _check_addresses([value for value in (sender, reply_to) if value])
    for value, check, option in ((time_zone, zone_name, "--time-zone"), (export_time, local_time, "--export-time")):
        try:
            check(value) if value else None
        except ValueError as error:
            raise typer.BadParameter(f"{option} {value}: {error}") from error
    if relay:
        from ion.notify.outbox import relay_of

        relay_of(settings, relay)
    with opened_store(settings) as store:
        store.merchant(name)
        if given:
            store.set_merchant(name, **given)
        if mail_to is not None:
            store.set_mail_to(name, _plain(mail_to), note="ion merchant set")
        print_json(asdict(store.merchant(name)))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@merchant_app.command("subscribe", epilog="Example: ion merchant subscribe shop boss@shop.example --daily --locale de")
def merchant_subscribe(
    context: typer.Context,
    name: Name,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address that is told.", show_default=False)],
    kind: Annotated[
        list[str] | None,
        typer.Option(help="order (a new one), change (a later revision); both without it. alert: what needs a person."),
    ] = None,
    daily: Annotated[bool, typer.Option("--daily", help="One mail a day with all of them, at `digest_time`.")] = False,
    locale: Annotated[str | None, typer.Option(help="Language, where it is not the merchant's.")] = None,
    note: Annotated[str, typer.Option(help="Who asked for it; kept with the time.")] = "",
) -> None:
    """Tell an address of a merchant's orders from now on, or in another way than before."""
    from ion.contract import language
    from ion.store import ORDER_KINDS

    tag = language(locale).tag if locale else None
    (plain,) = _plain([address])
    with opened_store(settings_of(context)) as store:
        subscribed = store.subscribe(
            name, plain, kinds=kind or ORDER_KINDS, mode="daily" if daily else "single", locale=tag, note=note
        )
        print_json(asdict(subscribed))


@merchant_app.command(
    "unsubscribe", epilog="Example: ion merchant unsubscribe shop boss@shop.example --note 'by phone'"
)
def merchant_unsubscribe(
    context: typer.Context,
    name: Name,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address.", show_default=False)],
    note: Annotated[str, typer.Option(help="Who asked for it; kept with the time.")] = "",
) -> None:
    """Tell an address no more. What was queued for it already is still sent; `ion outbox cancel` stops that."""
    (plain,) = _plain([address])
    with opened_store(settings_of(context)) as store:
        print_json(asdict(store.unsubscribe(name, plain, note=note)))


@merchant_app.command(
    "subscriptions", epilog="Example: ion merchant subscriptions shop | jq '{address, state, events}'"
)
def merchant_subscriptions(context: typer.Context, name: Name) -> None:
    """All addresses that are or were told of a merchant's orders, with what happened when, one JSON line each."""
    with opened_store(settings_of(context)) as store:
        store.merchant(name)
        for one in store.subscriptions(name):
            print_json(asdict(one))


@merchant_app.command("rotate-address", epilog="Example: ion merchant rotate-address default")
def merchant_rotate_address(
    context: typer.Context,
    name: Name,
    retire: Annotated[
        bool, typer.Option("--retire-old", help="Make none; stop taking mail at all but the newest.")
    ] = False,
) -> None:
    """Give a merchant a new secret address. Those before it stay valid until --retire-old, once nobody uses them."""
    settings = settings_of(context)
    with opened_store(settings) as store:
        if retire:
            store.retire_old_addresses(name)
        else:
            store.rotate_address(name, domain=settings.mail_domain)
        print_json(asdict(store.merchant(name)))


@merchant_app.command("trust", epilog="Example: ion merchant trust default add dkim orders@platform.example")
def merchant_trust(
    context: typer.Context,
    name: Name,
    action: Annotated[TrustAction, typer.Argument(help="list, add or remove.")],
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="dkim, forwarder, arc or recipient.", show_default=False)
    ] = None,
    value: Annotated[
        str | None, typer.Argument(metavar="[VALUE]", help="A domain or an address.", show_default=False)
    ] = None,
) -> None:
    """Whose mail counts without a seal: print the merchant's policy, add a line to it, or remove one."""
    with opened_store(settings_of(context)) as store:
        if action is TrustAction.list:
            policy = store.trust_policy(name)
        elif kind is None or value is None:
            raise typer.BadParameter(f"{action.value} needs a kind and a value: {action.value} dkim platform.example")
        elif action is TrustAction.add:
            if importlib.util.find_spec("dkim") is None or importlib.util.find_spec("authres") is None:
                raise SettingError("signatures need more to be verified: pip install 'ion-orders[dkim]'")
            policy = store.add_trust_rule(name, kind, value)
        else:
            policy = store.remove_trust_rule(name, kind, value)
    print_json(
        {
            "merchant": policy.merchant,
            "version": policy.version,
            "rules": [{"kind": rule.kind, "value": rule.value} for rule in policy.rules],
            "recipients": list(policy.recipients),
        }
    )


@key_app.command("export", epilog="Example: ion merchant key export default > default.ionkey")
def key_export(context: typer.Context, name: Name) -> None:
    """Print the merchant's key. Whoever has it can seal orders for this merchant: carry it like a password."""
    typer.echo(keyring_of(context, name).export_key(name))


@key_app.command("import", epilog="Example: ion merchant key import default < default.ionkey")
def key_import(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Argument(help="File with the exported key; - reads stdin.")] = Path("-"),
) -> None:
    """Take in a key exported by another installation, so that its seals verify here."""
    keys = keyring_of(context, name)
    try:
        text = read_octets(file).decode("utf-8", "replace")
    except IonError as error:
        raise SettingError(f"the key file {error}") from error  # as one that is damaged
    key = keys.import_key(name, text)
    typer.echo(f"key {key.key_id} now verifies for {name}", err=True)


@key_app.command("rotate", epilog="Example: ion merchant key rotate default")
def key_rotate(context: typer.Context, name: Name) -> None:
    """Seal with a new key from now on; earlier seals still verify."""
    typer.echo(f"{name} now seals with key {keyring_of(context, name).rotate_key(name).key_id}", err=True)


@key_app.command("new-secret", epilog="Example: ion merchant key new-secret")
def key_new_secret(context: typer.Context) -> None:
    """Make a new secret where the old one is lost for good. Mail sealed with the old one is no longer proved."""
    from ion.keys import key_ring

    key_ring(settings_of(context)).make_secret()
    typer.echo(
        "a new secret is in force; import again the keys of other installations, and export yours anew", err=True
    )


def _plain(addresses: list[str]) -> list[str]:
    """The addresses alone, without names. Raises SettingError naming the first text that is no mail address."""
    from ion.notify.render import mail_address

    return [mail_address(address).addr_spec for address in addresses]


def _check_addresses(addresses: list[str]) -> None:
    """Raises SettingError naming the first text that is no mail address."""
    from ion.notify.render import mail_address

    for address in addresses:
        mail_address(address)
