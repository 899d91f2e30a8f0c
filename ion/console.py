"""What the commands share: settings and store in force, files and standard input, JSON Lines out, progress, the end."""

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ion.config import Settings, load_settings
from ion.errors import IonError

if TYPE_CHECKING:
    from ion.seal import KeyRing
    from ion.store import Store

T = TypeVar("T")


def settings_of(context: typer.Context, **flags: Any) -> Settings:
    """The settings in force with the command's own flags on top (None: not given); sets up the logs.

    Raises SettingError.
    """
    root = context.find_root().obj or {}
    shared = {"data_dir": root.get("data_dir"), "log_level": root.get("log_level")}
    settings = load_settings({**shared, **flags}, root.get("config"))
    from ion.logs import set_up_logs

    set_up_logs(settings.log_level)
    return settings


@contextmanager
def opened_store(settings: Settings) -> Iterator["Store"]:
    """The store, closed at the end of the block. Raises what `open_store` raises."""
    from ion.store import open_store

    store = open_store(settings.store_url, mail_domain=settings.mail_domain)
    try:
        yield store
    finally:
        store.close()


def merchant_of(settings: Settings, given: str | None, payload_id: str | None) -> str:
    """The merchant's name here. Asks the store only where there is one and something to ask, because opening it costs
    more than the command itself. Raises UnknownMerchantError."""
    known_store = settings.database_url is not None or settings.sqlite_path.exists()
    if given == "default" or (given is None and not (payload_id and known_store)):
        return "default"
    with opened_store(settings) as store:
        return str(store.merchant(given or store.merchant_for_payload(payload_id or "") or "default").name)


def keyring_of(context: typer.Context, merchant: str) -> "KeyRing":
    """The installation's keys, if `merchant` exists here. Raises UnknownMerchantError."""
    from ion.keys import key_ring

    settings = settings_of(context)
    with opened_store(settings) as store:
        store.merchant(merchant)
    return key_ring(settings)


def read_octets(path: Path) -> bytes:
    """A file's octets, or standard input's for `-`. Raises IonError naming the file."""
    if str(path) == "-":
        return sys.stdin.buffer.read()
    try:
        return path.read_bytes()
    except OSError as error:
        raise IonError(f"{path} cannot be read: {error.strerror}") from error


def with_progress(items: list[T], what: str) -> Iterator[T]:
    """The items, with a bar on stderr where a person watches and there is enough to wait for."""
    if len(items) < 5 or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description=what, console=Console(stderr=True), transient=True)


def counted(items: Iterator[T], what: str) -> Iterator[T]:
    """The items of an unknown number, counted on stderr where a person watches and it takes its time."""
    if not sys.stderr.isatty():
        yield from items
        return
    shown_at = time.monotonic() + 1
    number = 0
    try:
        for item in items:
            yield item
            number += 1
            if number % 200 == 0 and time.monotonic() >= shown_at:
                shown_at = time.monotonic() + 0.2
                sys.stderr.write(f"\r{number:,} {what}")
                sys.stderr.flush()
    finally:
        if number >= 200:
            sys.stderr.write("\r\x1b[K")


def print_json(line: dict[str, Any]) -> None:
    """One JSON line on stdout, at once; times as ISO 8601. Raises IonError where it cannot be written."""
    try:
        sys.stdout.write(json.dumps(line, ensure_ascii=False, default=_plain) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python would try again, and fail again, when it ends.
        sys.stdout = io.StringIO()
        raise IonError(f"standard output cannot be written: {error.strerror}") from error


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def report(name: str, error: IonError) -> bool:
    """Tell on stderr what was wrong with one input; True, for the caller's `failed`."""
    typer.echo(f"{name}: {error}", err=True)
    return True


def end(failed: bool) -> None:
    """Exit status 1 where some inputs failed."""
    if failed:
        raise typer.Exit(1)
