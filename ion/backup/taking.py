"""A backup of an installation that may be running.

The database is copied first, the keys afterwards: keys are only ever added, so every order that the copy holds was
sealed with a key that the backup holds. A secret that was exchanged meanwhile (`ion merchant key new-secret`) would
break that, and ends the backup.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ion import __version__
from ion.backup.archive import DATABASE, KEYS, BackupError, Manifest, Progress, is_member_name, member_of, write_archive
from ion.backup.staging import staged
from ion.config import Settings
from ion.errors import StoreError
from ion.files import sync_folder, write_whole
from ion.store import content_of_database, copy_database, sqlite_path

_COMPRESSED = (".gz", ".tgz")
_NAMES = (".tar", ".tar.gz", ".tgz")
_STAGED = "ion-backup"  # one name for all, so that each run removes what a killed one left
_OF_THE_DATABASE = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Taken:
    """A backup that was taken. `left_out`: what else is in the data folder, and is no file of this program's."""

    path: Path
    size_bytes: int
    manifest: Manifest
    left_out: tuple[str, ...]


def back_up(settings: Settings, target: Path, *, replace: bool = False, progress: Progress = lambda *_: None) -> Taken:
    """Write a backup to `target`, for its owner only: a file whose name ends in `.tar`, or in `.tar.gz` or `.tgz` to be
    compressed; or a folder that is there, and then under a name with the time. Needs room for the database twice beside
    it. `replace`: a file of that name may be there and is replaced in the end. Raises BackupError; whatever it raises,
    `target` is as it was."""
    taken_at = datetime.now(UTC)
    if target.is_dir():
        target = target / f"ion-{taken_at:%Y%m%dT%H%M%SZ}.tar"
    path = target.absolute().parent.resolve() / target.name
    _check_target(settings, path, replace=replace)
    try:
        with staged(path.with_name(_STAGED)) as folder:
            manifest, left_out = _gather(settings, folder, taken_at, progress)
            whole = folder / "whole.tar"
            compressed = path.name.endswith(_COMPRESSED)
            write_whole(
                whole,
                lambda file: write_archive(file, manifest, folder, compressed=compressed, progress=progress),
            )
            whole.replace(path)
        sync_folder(path.parent)
        return Taken(path, path.stat().st_size, manifest, left_out)
    except OSError as error:
        raise BackupError(f"the backup {path} cannot be written: {error.strerror or error}") from error


def _check_target(settings: Settings, path: Path, *, replace: bool) -> None:
    if path.is_relative_to(settings.data_dir.resolve()):
        raise BackupError(f"{path} is in the data folder, and would be lost with it; name a place elsewhere")
    if not path.parent.is_dir():
        raise BackupError(f"there is no folder {path.parent}; make it first, or name another place")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise BackupError(f"{path} is there and is no file; name another place")
    if not path.name.endswith(_NAMES):
        # Else a folder that is not there, a disk that is not mounted, would become a file.
        raise BackupError(
            f"there is no folder {path}; make it first, or name a file that ends in {', '.join(_NAMES[:-1])}"
            f" or {_NAMES[-1]}"
        )
    if path.exists() and not replace:
        raise BackupError(f"{path} is there; give it another name, or --replace")


def _gather(
    settings: Settings, folder: Path, taken_at: datetime, progress: Progress
) -> tuple[Manifest, tuple[str, ...]]:
    """Copy everything into `folder`; the manifest, and what was left out."""
    database, schema, messages, orders, members = sqlite_path(settings.store_url), None, None, None, []
    secret_before = _secret(settings)
    if database is not None:
        copy = folder / DATABASE
        copy_database(database, copy, lambda done, pages: progress("copying", done, pages))
        try:
            content = content_of_database(copy, lambda *_: progress("checking", 0, 0))
        except StoreError as error:
            told = str(error).replace(str(copy), str(database))
            raise BackupError(f"{told}; no backup of it is taken: restore an older one, or ask for help") from error
        if content.needs_keys and _secret(settings) is None:
            raise BackupError(
                f"the key file {settings.keys_dir / 'secret'} is missing, and without it a backup proves no mail: "
                "restore the folder of the keys first (`ion merchant key` tells more)"
            )
        schema, messages, orders = content.schema, content.messages, content.orders
        size = copy.stat().st_size
        members.append(member_of(DATABASE, copy, lambda done: progress("hashing", done, size)))
    elif secret_before is None:
        raise BackupError(f"there is no key file {settings.keys_dir / 'secret'}, so there is nothing to back up here")
    left_out = _others(settings, database)
    names, strange = _key_files(settings.keys_dir)
    for name in names:
        copy = folder / name
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(settings.keys_dir.parent / name, copy)
        members.append(member_of(name, copy))
    if secret_before is not None and _secret(settings) != secret_before:
        raise BackupError("the secret was exchanged while the backup was taken; take it again")
    kind = "sqlite" if database is not None else "postgresql"
    return Manifest(__version__, kind, schema, taken_at, messages, orders, tuple(members)), (*left_out, *strange)


def _secret(settings: Settings) -> bytes | None:
    try:
        return (settings.keys_dir / "secret").read_bytes()
    except FileNotFoundError:
        return None


def _key_files(keys: Path) -> tuple[list[str], list[str]]:
    """The names of the key files, `keys/...`, and of what is there beside them. Hidden ones are locks and drafts."""
    names: list[str] = []
    strange: list[str] = []
    for path in sorted(keys.rglob("*")):
        name = f"{KEYS}/{path.relative_to(keys).as_posix()}"
        if any(part.startswith(".") for part in path.relative_to(keys).parts) or (
            path.is_dir() and not path.is_symlink()
        ):
            continue
        is_ours = path.is_file() and not path.is_symlink()
        (names if is_ours and is_member_name(name) else strange).append(name)
    return names, strange


def _others(settings: Settings, database: Path | None) -> list[str]:
    """What else is in the data folder. The nightly files are in the database."""
    if not settings.data_dir.is_dir():
        return []
    known = {settings.keys_dir.resolve(), settings.exports.resolve()}
    if database is not None:
        known |= {database.with_name(database.name + ending).resolve() for ending in _OF_THE_DATABASE}
    return sorted(path.name for path in settings.data_dir.iterdir() if path.resolve() not in known)
