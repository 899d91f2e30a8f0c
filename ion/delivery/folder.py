"""Delivery into a folder: the file, its manifest, and the copies named `latest` that a nightly import reads.

    NAME                        the published file; never written over
    NAME.json                   its manifest, there when the file is
    latest-PROFILE.SUFFIX       the newest published file of a profile, always whole
    latest-PROFILE.json         its manifest, there when that file is; it names NAME, which does not change

Each appears in one step (`ion.files.write_whole`). Only the newest batch of a profile becomes `latest`, which is asked
and done under a lock on the folder: an older one that was held up comes late and changes nothing. All four are in the
ledger of published files, so an erasure finds them. After a crash the same is done again, with the same outcome.

Others may write into the folder too: what lies there under one of these names and is no plain file, a link that leads
elsewhere or a pipe that never ends, is neither read nor written.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from ion.delivery.manifest import SUFFIX, DeliveryRefusedError, manifest_octets, plain_name
from ion.errors import IonError
from ion.files import sync_folder, write_whole
from ion.retention import TOMBSTONE_SUFFIX
from ion.store import Delivery, ErasedMeanwhileError, Store

LOCK = ".ion-delivery.lock"
LOCK_SECONDS = 10.0  # others deliver in less; whoever holds it for longer must not hold up the other places
_LOCK_LOOK_SECONDS = 0.05


class FolderError(IonError):
    """The folder cannot take the file now."""


def deliver_to_folder(store: Store, folder: Path, delivery: Delivery, octets: bytes) -> str:
    """Put a published file into a folder, which must exist; the path it has there.

    Raises DeliveryRefusedError where another file of that name is there, FolderError where the folder cannot be
    written now, ErasedMeanwhileError where one of its orders was erased (then nothing of it stays), StoreError.
    """
    batch = delivery.batch
    name, manifest = plain_name(batch.file_name), manifest_octets(batch)
    try:
        with _locked(folder):
            copies = [(folder / name, octets), (folder / (name + SUFFIX), manifest)]
            for path, wanted in copies:
                if (known := _octets_of(path)) is not None and known != wanted:
                    raise DeliveryRefusedError(f"{path} is another file already; move it away and deliver again")
            if _is_newest(store, delivery):
                copies += zip(_latest(folder, delivery), (octets, manifest), strict=True)
            try:
                for path, wanted in copies:
                    _put(store, path, wanted, delivery)
            except ErasedMeanwhileError:
                withdraw_from_folder(folder, delivery)
                raise
            return str(copies[0][0])
    except OSError as error:
        if not os.path.isdir(folder):  # noqa: PTH112  # `Path.is_dir` raises where it may not look
            raise FolderError(f"the folder {folder} is not there; mount it or make it, it is tried again") from error
        raise FolderError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def withdraw_from_folder(folder: Path, delivery: Delivery) -> None:
    """Take away what may have been put there of a file that was erased since, where it is not in the ledger yet. What
    is another file stays. Raises OSError."""
    batch = delivery.batch
    of_file = [folder / plain_name(batch.file_name), _latest(folder, delivery)[0]]
    for path in of_file:
        octets = _plain_octets_of(path)
        if octets is not None and sha256(octets).hexdigest() == batch.sha256:
            path.unlink(missing_ok=True)
    for path in (folder / (batch.file_name + SUFFIX), _latest(folder, delivery)[1]):
        octets = _plain_octets_of(path)
        if octets is not None and batch.sha256.encode() in octets:  # the summary it was written with is erased too
            path.unlink(missing_ok=True)
    sync_folder(folder)


def _is_newest(store: Store, delivery: Delivery) -> bool:
    newest = store.batches(delivery.batch.merchant, profile=delivery.profile, limit=1)
    return not newest or newest[0].id <= delivery.batch.id


def _latest(folder: Path, delivery: Delivery) -> tuple[Path, Path]:
    """The two paths of a profile's newest file. Of a profile whose files are JSON themselves, the manifest has the
    suffix twice."""
    suffix = Path(delivery.batch.file_name).suffix
    stem = f"latest-{plain_name(delivery.profile)}"
    return folder / (stem + suffix), folder / (stem + (SUFFIX * 2 if suffix == SUFFIX else SUFFIX))


def _put(store: Store, path: Path, octets: bytes, delivery: Delivery) -> None:
    batch = delivery.batch
    if _octets_of(path) != octets:
        write_whole(path, lambda file: file.write(octets), follow=False)
    # After the file: what is in the ledger and not in the folder would be taken for a file that somebody has.
    store.record_published_file(
        str(path),
        batch.profile,
        sha256(octets).hexdigest(),
        rows=batch.row_count,
        orders=store.batch_orders(batch.id),
    )
    path.with_name(path.name + TOMBSTONE_SUFFIX).unlink(missing_ok=True)  # of the `latest` before


def _octets_of(path: Path) -> bytes | None:
    """The octets of a file, None where there is none. Raises OSError, DeliveryRefusedError for what is no file."""
    try:
        # A pipe is opened at once, and not read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket
            raise _no_file(path) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_file(path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _plain_octets_of(path: Path) -> bytes | None:
    """The octets of a file, None where there is none or something else. Raises OSError."""
    with suppress(DeliveryRefusedError):
        return _octets_of(path)
    return None


def _no_file(path: Path) -> DeliveryRefusedError:
    return DeliveryRefusedError(f"{path} is a link, a pipe or a folder; move it away and deliver again")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Nobody else delivers into the folder meanwhile. Raises OSError, FolderError where another one has it for too
    long."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while not _has_locked(descriptor):
            if time.monotonic() > until:
                raise FolderError(f"{folder / LOCK} is locked by another program; see that it ends")
            time.sleep(_LOCK_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _has_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
