"""Files that appear whole or not at all, readable by their owner only."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")


def write_whole(path: Path, writer: Callable[[BinaryIO], T], *, follow: bool = True) -> T:
    """Have `writer` fill a file that then appears at `path` in one step; returns what `writer` returns.

    The octets go to a hidden file in the same folder, are forced to the disk, and only then take the name, so a
    reader sees the old file or the new one, never a part. When anything fails, `path` is as it was and nothing
    else stays behind. The file belongs to its owner alone (mode 0600). Of a symbolic link, the file it points to is
    written; a pipe or a device takes the octets and stays what it is. Without `follow` the file takes the place of
    either, for folders in which others may put such things. Raises OSError, or what `writer` raises.
    """
    path = path.resolve() if follow else path.absolute()
    if follow and path.exists() and not path.is_file():
        return _write_through(path, writer)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:  # writers of zip archives seek and read back
            result = writer(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return result


def _write_through(path: Path, writer: Callable[[BinaryIO], T]) -> T:
    with tempfile.TemporaryFile() as file:
        result = writer(file)
        file.seek(0)
        with path.open("wb") as out:
            shutil.copyfileobj(file, out)
    return result


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk: a name is an entry of its folder, not of the file. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
