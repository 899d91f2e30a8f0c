"""A folder beside the place where something is to appear whole, for its owner only."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SUFFIX = ".part"


@contextmanager
def staged(beside: Path) -> Iterator[Path]:
    """A new folder beside that path, removed when the block ends, unless the block has moved it away. What killed runs
    for the same path left behind is removed first; a run that still goes on is left alone. Raises OSError."""
    prefix = f".{beside.name[:80]}."
    for left in beside.parent.iterdir():
        if left.name.startswith(prefix) and left.name.endswith(_SUFFIX) and left.is_dir() and not left.is_symlink():
            _remove_left(left)
    folder, lock = _new_folder(beside.parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _new_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """The folder and the lock by which its user is known to live."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=_SUFFIX, dir=parent))
        # Another run may have taken the new folder for one that was left.
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _remove_left(folder: Path) -> None:
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
