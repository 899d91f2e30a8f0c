"""`ion merchant ...`: merchants, their addresses, recipients and keys."""

import importlib.util
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

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
        store.create_merchant(name, domain=settings.mail_domain, mail_to=mail_to or [], payload_ids=payload_id or [])
        print_json(asdict(store.merchant(name)))


@merchant_app.command("set", epilog="Example: ion merchant set default --mail-to orders@shop.example")
def merchant_set(
    context: typer.Context,
    name: Name,
    mail_to: Annotated[list[str], typer.Option(help="Address that notifications are sent to; may be repeated.")],
) -> None:
    """Set the addresses that a merchant's notifications are sent to."""
    _check_addresses(mail_to)
    with opened_store(settings_of(context)) as store:
        store.set_mail_to(name, mail_to)
        print_json(asdict(store.merchant(name)))


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


def _check_addresses(addresses: list[str]) -> None:
    """Raises SettingError naming the first text that is no mail address."""
    from ion.notify.render import mail_address

    for address in addresses:
        mail_address(address)
