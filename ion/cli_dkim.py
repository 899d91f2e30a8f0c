"""`ion dkim ...`: the keys that sign outgoing mail, and the DNS records that tell of them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from ion.console import print_json, settings_of
from ion.errors import SettingError
from ion.notify.signing import Algorithm, DkimKey, DkimKeys, dkim_keys, zone_lines

dkim_app = typer.Typer(no_args_is_help=True, help="DKIM: the keys that sign outgoing mail, and their DNS records.")

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="Domain of the sender's address, exactly.")]


@dkim_app.command("add", epilog="Example: ion dkim add platform.example | jq -r .zone")
def dkim_add(
    context: typer.Context,
    domain: Domain,
    algorithm: Annotated[
        Algorithm, typer.Option(help="rsa, which everybody verifies, or ed25519 beside it.")
    ] = Algorithm.rsa,
    selector: Annotated[
        str | None, typer.Option(help="Name of the key in the DNS; without it, a letter and the day: r20261126.")
    ] = None,
    after_hours: Annotated[
        float, typer.Option(min=0, max=24 * 365, help="Sign with it only then, so that its record is known by then.")
    ] = 0,
) -> None:
    """Make a key that signs the mail of a domain, and print the DNS record to publish for it."""
    keys = dkim_keys(settings_of(context))
    made = keys.add(domain, algorithm, selector, datetime.now(UTC) + timedelta(hours=after_hours))
    print_json(_told(keys, made) | _record(keys, made))


@dkim_app.command("list", epilog="Example: ion dkim list | jq -r 'select(.signs) | .record'")
def dkim_list(context: typer.Context) -> None:
    """All keys, one JSON line each, newest first; `signs` says which are in use."""
    keys = dkim_keys(settings_of(context))
    for domain in keys.domains():
        for key in keys.keys(domain):
            print_json(_told(keys, key))


@dkim_app.command("show", epilog="Example: ion dkim show platform.example | jq -r .value")
def dkim_show(context: typer.Context, domain: Domain) -> None:
    """The keys of a domain with their DNS records, one JSON line each, newest first."""
    keys = dkim_keys(settings_of(context))
    found = keys.keys(domain.lower())
    if not found:
        raise SettingError(f"{domain} has no key; `ion dkim add {domain}` makes one")
    for key in found:
        print_json(_told(keys, key) | _record(keys, key))


@dkim_app.command("remove", epilog="Example: ion dkim remove platform.example --selector r20251126")
def dkim_remove(
    context: typer.Context,
    domain: Domain,
    selector: Annotated[str, typer.Option(help="Which key; `ion dkim list` lists them.")],
) -> None:
    """Remove a key for good, without asking, and print what it was. Its record may leave the DNS some days later."""
    keys = dkim_keys(settings_of(context))
    removed = keys.remove(domain, selector)
    print_json({"removed": _told(keys, removed) | {"signs": False}})


def _told(keys: DkimKeys, key: DkimKey) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm.value,
        "signs": key in keys.signing_keys(key.domain, now),
        "signs_from": key.signs_from.isoformat(timespec="seconds"),
        "record": key.record_name,
    }


def _record(keys: DkimKeys, key: DkimKey) -> dict[str, str]:
    """The TXT record: its value as one text, and the line of a zone file."""
    value = keys.record(key)
    return {"type": "TXT", "value": value, "zone": zone_lines(key, value)}
