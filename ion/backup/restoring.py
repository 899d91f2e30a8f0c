"""An installation from a backup: made whole in a folder beside the data folder, looked through, and only then given its
name.

An installation that is there is never overwritten: where asked to, it is set aside under another name, as it is.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ion.backup.archive import (
    DATABASE,
    KEYS,
    BackupError,
    Manifest,
    Member,
    Progress,
    read_archive,
)
from ion.backup.staging import staged
from ion.config import Settings
from ion.errors import SettingError, StoreError
from ion.files import sync_folder
from ion.seal import KeyRing
from ion.store import content_of_database, is_open_elsewhere, open_store, sqlite_path


@dataclass(frozen=True)
class Restored:
    """What was put in place. `set_aside`: where the old data folder is now, None where there was none; `check`: what
    `Store.check` says, None for a database on PostgreSQL."""

    data_dir: Path
    set_aside: Path | None
    manifest: Manifest
    check: dict[str, Any] | None


def restore(
    settings: Settings, source: Path, *, set_aside: bool = False, progress: Progress = lambda *_: None
) -> Restored:
    """Put a backup in place of the data folder, which is not there, or empty, or is set aside. The database is brought
    to the newest schema. Raises BackupError, or StoreError where the database is newer than this program; then
    everything is as it was."""
    data_dir = settings.data_dir.resolve()
    try:
        is_taken = data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir()))
        _check_place(settings, data_dir, is_taken=is_taken, set_aside=set_aside)
        data_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with staged(data_dir) as folder:
            manifest = read_archive(
                source,
                lambda member, octets: _put(folder / member.name, member, octets),
                accept=lambda told: _check_accepted(settings, folder, source, told),
                progress=progress,
            )
            check = _look_through(settings, folder, source, manifest, progress)
            _sync(folder)
            aside = _aside(data_dir) if is_taken else None
            if aside is not None:
                data_dir.rename(aside)
            folder.rename(data_dir)  # takes the place of an empty folder too
        sync_folder(data_dir.parent)
    except OSError as error:
        place = error.filename or data_dir
        raise BackupError(f"{source} cannot be restored: {place}: {error.strerror or error}") from error
    return Restored(data_dir, aside, manifest, check)


def _check_place(settings: Settings, data_dir: Path, *, is_taken: bool, set_aside: bool) -> None:
    database = sqlite_path(settings.store_url)
    if database is not None and database.resolve() != data_dir / DATABASE:
        raise BackupError(
            f"database_url names {database}, which is not {DATABASE} in the data folder; restore without database_url, "
            "and move the file there then"
        )
    if data_dir.is_mount():
        raise BackupError(
            f"the data folder {data_dir} is a mount point, which cannot be put in place in one step; set data_dir to a "
            "folder below it"
        )
    if is_taken and not set_aside:
        raise BackupError(
            f"the data folder {data_dir} is not empty; --set-aside keeps it under another name, or name another folder "
            "with --data-dir"
        )
    if database is not None and is_open_elsewhere(database):
        raise BackupError(f"a program works with {database}; stop it first (`ion serve`, `ion web`)")


def _check_accepted(settings: Settings, folder: Path, source: Path, manifest: Manifest) -> None:
    wanted = "postgresql" if sqlite_path(settings.store_url) is None else "sqlite"
    if manifest.database != wanted:
        told = {
            "sqlite": f"{source} holds an SQLite database; unset database_url to restore it",
            "postgresql": f"{source} holds the keys of an installation on PostgreSQL; set database_url to its database",
        }
        raise BackupError(told[manifest.database])
    disk = os.statvfs(folder)
    if manifest.size_bytes > disk.f_bavail * disk.f_frsize:
        raise BackupError(
            f"{source} needs {manifest.size_bytes // 10**6 + 1} MB, and the disk of {folder.parent} has less free"
        )


def _put(path: Path, member: Member, octets: Iterator[bytes]) -> None:  # noqa: ARG001  # what is taken is in the octets
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for some in octets:
            file.write(some)
        file.flush()
        os.fsync(descriptor)


def _look_through(
    settings: Settings, folder: Path, source: Path, manifest: Manifest, progress: Progress
) -> dict[str, Any] | None:
    """Whether what was unpacked is an installation; what the check of its books says."""
    keys = KeyRing(folder / KEYS, is_first_use=lambda: False)
    try:
        if manifest.database != "sqlite":
            keys.ensure_secret()
            return None
        content = content_of_database(folder / DATABASE, lambda *_: progress("checking", 0, 0))
        if content.needs_keys or (folder / KEYS).exists():
            keys.keys_for("default")
    except (SettingError, StoreError) as error:
        told = str(error).replace(f"{folder}{os.sep}", "")
        raise BackupError(f"{source} holds no whole installation: {told}") from error
    progress("checking", 0, 0)
    store = open_store(f"sqlite:///{folder / DATABASE}", mail_domain=settings.mail_domain)
    try:
        return store.check()
    finally:
        store.close()


def _sync(folder: Path) -> None:
    for path in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
        sync_folder(path)


def _aside(data_dir: Path) -> Path:
    """A name beside the data folder that nothing has."""
    name = f"{data_dir.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    number = 1
    while (aside := data_dir.with_name(name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return aside
