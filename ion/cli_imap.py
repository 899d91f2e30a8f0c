"""`ion fetch`, `ion imap`, `ion confirmations`: mail from IMAP accounts, how they fare, what providers ask."""

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ion.config import Settings
from ion.config_imap import ImapAccount
from ion.console import end, opened_store, print_json, settings_of
from ion.errors import DatabaseError, IonError, SettingError, UnreachableError

if TYPE_CHECKING:
    from ion.store import Store

imap_app = typer.Typer(no_args_is_help=True)
Account = Annotated[
    str | None, typer.Option("--account", "-a", help="Only this account; without it, all of the settings.")
]
UNPROVEN = "unproven: anyone can send such a mail; use the code or link only for a forwarding you set up yourself"


@imap_app.command(epilog="Example: ion fetch --account shop")
def fetch(
    context: typer.Context,
    account: Account = None,
    skipped: Annotated[
        bool, typer.Option("--skipped", help="Instead of new mail, what was passed over before (`ion imap` lists it).")
    ] = False,
) -> None:
    """Fetch new mail from the IMAP accounts once, read it, and tell how each account fared. Asks at once, also where
    `ion serve` would leave a server alone for a while."""
    from ion.inbox import ImapFetcher
    from ion.keys import key_ring
    from ion.trust import Authenticator
    from ion.worker import Worker

    settings = settings_of(context)
    failed: list[IonError] = []
    with opened_store(settings) as store, closing(Authenticator.from_settings(store, settings)) as authenticator:
        keys = key_ring(settings, store)
        keys.ensure_secret()
        for one in _accounts(settings, account):
            line: dict[str, Any] = {"account": one.name}
            fetcher = ImapFetcher(store, one, max_message_bytes=settings.smtp_max_message_bytes)
            try:
                fetcher.fetch_skipped() if skipped else fetcher.fetch_once()
            except IonError as error:
                failed.append(error)
                line["error"] = str(error)
            print_json(line | asdict(fetcher.fetched))
        worker = Worker(
            store, keys.keys_for, timeout_seconds=settings.read_timeout_seconds, authenticator=authenticator
        )
        with closing(worker):
            worker.run_once()
    elsewhere = next((error for error in failed if isinstance(error, UnreachableError | DatabaseError)), None)
    if elsewhere is not None:
        raise elsewhere
    end(bool(failed))


@imap_app.command(epilog="Example: ion imap | jq 'select(.state != \"ok\")'")
def imap(context: typer.Context, account: Account = None) -> None:
    """How each IMAP account fares: its state and why, how far its folders were fetched, what was passed over."""
    settings = settings_of(context)
    with opened_store(settings) as store:
        for one in _accounts(settings, account):
            status = store.imap_account_status(one.name)
            line: dict[str, Any] = {"account": one.name, "merchant": one.merchant, "host": one.host}
            line |= {"state": "new"} if status is None else asdict(status)
            line["folders"] = [
                {
                    "folder": cursor.folder,
                    "uidvalidity": cursor.uidvalidity,
                    "last_uid": cursor.last_uid,
                    "skipped": [asdict(skipped) for skipped in store.skipped_imap_messages(one.name, cursor.folder)],
                }
                for cursor in store.imap_cursors(one.name)
            ]
            print_json(line)


@imap_app.command(epilog="Example: ion confirmations --merchant default")
def confirmations(
    context: typer.Context,
    merchant: Annotated[str | None, typer.Option("--merchant", "-m", help="Only this merchant's.")] = None,
) -> None:
    """What mail providers ask before they forward mail to a merchant's secret address (Gmail's code), newest first.
    Nothing is answered and no link is followed: that is for a person, and the sender is not proved."""
    with opened_store(settings_of(context)) as store:
        if merchant is not None:
            store.merchant(merchant)
        for found in store.confirmations(merchant):
            print_json(asdict(found) | {"sender": UNPROVEN})


def imap_states(settings: Settings, store: "Store") -> tuple[dict[str, Any], list[str]]:
    """State and number of passed-over messages of each account of the settings, and a sentence for each that a person
    has to mend."""
    states: dict[str, Any] = {}
    refused = []
    for one in settings.imap:
        status = store.imap_account_status(one.name)
        folders = [cursor.folder for cursor in store.imap_cursors(one.name)]
        skipped = sum(len(store.skipped_imap_messages(one.name, folder)) for folder in folders)
        states[one.name] = {"state": status.state if status else "new", "skipped": skipped}
        if status is not None and status.state == "refused":
            since = f"{status.state_at:%Y-%m-%d %H:%M} UTC"
            refused.append(f"no mail comes from the IMAP account {one.name} since {since}: {status.reason}")
    return states, refused


def _accounts(settings: Settings, name: str | None) -> list[ImapAccount]:
    """The accounts asked for. Raises SettingError where there is none."""
    found = [one for one in settings.imap if name in (None, one.name)]
    if found:
        return found
    if not settings.imap:
        raise SettingError(
            "the settings name no IMAP account; put an [[imap]] table with name, merchant, host, user and "
            "password_file into the settings file"
        )
    known = ", ".join(one.name for one in settings.imap)
    raise SettingError(f"the settings name no IMAP account {name!r}; there are {known}")
