"""The file of a backup: a tar, plain or gzip, whose first member is a manifest that names all others.

    manifest.json   format, program, schema, database, time, messages, orders; name, size, SHA-256 of each member
    ion.db          the database, where it is SQLite
    keys/...        the keys, as they are in the data folder
    manifest.sha256 the manifest's own digest, as `sha256sum -c` reads it

It is read header by header, with the memory of one block, and only what the writer here writes is taken: regular files
with these names, in the manifest's order, each as long and with the digest that the manifest says. Links, devices,
extended headers, other names and anything behind the end are refused. A digest tells what was damaged; whoever can
write the file can write the digest too, so a backup is kept where nobody else writes.
"""

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, cast

from ion.errors import IonError

FORMAT = "ion-backup-1"
MANIFEST = "manifest.json"
DIGEST = "manifest.sha256"
DATABASE = "ion.db"
KEYS = "keys"
CHUNK_BYTES = 1_048_576
_BLOCK = tarfile.BLOCKSIZE
_MOST_MANIFEST_BYTES = 4_194_304
_MOST_NAME_BYTES = 1_024
_MOST_PADDING_BYTES = 1_048_576
_GZIP = b"\x1f\x8b"
_LONG_NAME = tarfile.GNUTYPE_LONGNAME
# No part begins with a dot: neither `..` nor what is hidden.
_NAME = re.compile(rf"{re.escape(DATABASE)}|{KEYS}(/[A-Za-z0-9_-][A-Za-z0-9._-]{{0,254}}){{1,3}}")

Progress = Callable[[str, int, int], None]
"""Told what is done, how far it is, and how far it goes (0: not known)."""
Put = Callable[["Member", Iterator[bytes]], None]


class BackupError(IonError):
    """A backup cannot be made, read or put in place; the message names the file and what would mend it. Nothing was
    changed."""


@dataclass(frozen=True)
class Member:
    """A file in the archive. `sha256`: in hex."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself. `program`: its version; `schema`: of the database; `database`: `sqlite`, or
    `postgresql` where the archive holds the keys only (then `schema`, `messages`, `orders` are None); `taken_at`: the
    instant of the database's state, aware, UTC."""

    program: str
    database: str
    schema: str | None
    taken_at: datetime
    messages: int | None
    orders: int | None
    members: tuple[Member, ...]

    @property
    def size_bytes(self) -> int:
        return sum(member.size_bytes for member in self.members)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self), "taken_at": self.taken_at.isoformat()}


def is_member_name(name: str) -> bool:
    """Whether a file of an archive may have this name."""
    return _NAME.fullmatch(name) is not None


def member_of(name: str, path: Path, progress: Callable[[int], None] = lambda _: None) -> Member:
    """The file as a member of that name. Raises OSError."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while some := file.read(CHUNK_BYTES):
            digest.update(some)
            size += len(some)
            progress(size)
    return Member(name, size, digest.hexdigest())


def write_archive(
    file: BinaryIO, manifest: Manifest, folder: Path, *, compressed: bool, progress: Progress = lambda *_: None
) -> None:
    """Write the archive of the manifest's members, which are files of their names below `folder`. Raises OSError."""
    told = json.dumps(manifest.to_json(), indent=1).encode() + b"\n"
    done = 0
    with ExitStack() as stack:
        out: Any = stack.enter_context(gzip.GzipFile("", "wb", 6, file)) if compressed else file
        # GNU's format has room for any size within one header.
        tar = stack.enter_context(tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT))
        tar.addfile(_tar_header(MANIFEST, len(told), manifest), io.BytesIO(told))
        for member in manifest.members:
            with (folder / member.name).open("rb") as content:
                tar.addfile(_tar_header(member.name, member.size_bytes, manifest), content)
            done += member.size_bytes
            progress("writing", done, manifest.size_bytes)
        digest = _digest_line(told)
        tar.addfile(_tar_header(DIGEST, len(digest), manifest), io.BytesIO(digest))


def _digest_line(manifest: bytes) -> bytes:
    return f"{sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def _tar_header(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o600, int(manifest.taken_at.timestamp())
    return header


def verify_archive(path: Path, *, progress: Progress = lambda *_: None) -> Manifest:
    """Read the whole file and hold it against its manifest. Raises BackupError."""

    def read(_: Member, octets: Iterator[bytes]) -> None:
        for _some in octets:
            pass

    try:
        return read_archive(path, read, progress=progress)
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror or error}") from error


def read_archive(
    path: Path, put: Put, *, accept: Callable[[Manifest], None] = lambda _: None, progress: Progress = lambda *_: None
) -> Manifest:
    """Read the file. `accept` is given the manifest before anything else and raises what is against it; `put` is given
    each member and has to read all its octets, which are right only when this function has returned. Raises BackupError
    where anything is not as it has to be, and what `accept` and `put` raise."""
    with _opened(path) as read:
        manifest, digest_line = _manifest(path, read)
        accept(manifest)
        done = 0
        for member in manifest.members:
            name, size = _header(path, read)
            if (name, size) != (member.name, member.size_bytes):
                raise BackupError(f"{path} is no whole backup: {member.name} of its manifest is not where it has to be")
            digest = sha256()

            def octets(digest: Any = digest, size: int = size, done: int = done) -> Iterator[bytes]:
                for some in _content(path, read, size):
                    digest.update(some)
                    yield some
                    done += len(some)
                    progress("reading", done, manifest.size_bytes)

            put(member, octets())
            if digest.hexdigest() != member.sha256:
                raise BackupError(f"{path} was damaged or edited: {member.name} is not what its manifest says")
            done += size
        name, size = _header(path, read)
        if name != DIGEST:
            raise BackupError(f"{path} holds {name!r}, which its manifest does not name; take another backup")
        if size != len(digest_line) or b"".join(_content(path, read, size)) != digest_line:
            raise BackupError(f"{path} was damaged or edited: its manifest is not what it was; take another backup")
        if _exactly(path, read, 2 * _BLOCK).strip(b"\0"):
            raise BackupError(f"{path} holds more than its manifest names; take another backup")
        _refuse_more(path, read)
    return manifest


Read = Callable[[int], bytes]


@contextmanager
def _opened(path: Path) -> Iterator[Read]:
    """The octets of the tar, one amount after the other. Within the block, what tells of a damaged file is a
    BackupError."""
    damaged = f"{path} is cut off or damaged; take another backup"
    try:
        with path.open("rb") as file:
            compressed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            unpacked = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if compressed else file
            yield unpacked.read
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BackupError(damaged) from error
    except OSError as error:
        if error.errno is None:
            raise BackupError(damaged) from error
        raise


def _header(path: Path, read: Read) -> tuple[str, int]:
    """Name and size of the next member. Raises BackupError where the next is no regular file."""
    name: str | None = None
    while True:
        try:
            found = tarfile.TarInfo.frombuf(_exactly(path, read, _BLOCK), "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise BackupError(f"{path} is no backup, or it is cut off or damaged; take another one") from error
        if found.type == _LONG_NAME and name is None and 0 < found.size <= _MOST_NAME_BYTES:
            long_name = b"".join(_content(path, read, found.size)).rstrip(b"\0")
            name = long_name.decode("utf-8", "replace")
            continue
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or found.size < 0:
            raise BackupError(f"{path} holds something that is no file, which no backup does; take another one")
        return name or found.name, found.size


def _content(path: Path, read: Read, size: int) -> Iterator[bytes]:
    left = size
    while left:
        some = _exactly(path, read, min(CHUNK_BYTES, left))
        left -= len(some)
        yield some
    if _exactly(path, read, -size % _BLOCK).strip(b"\0"):
        raise BackupError(f"{path} was damaged or edited; take another backup")


def _exactly(path: Path, read: Read, number: int) -> bytes:
    octets = read(number) if number else b""
    if len(octets) < number:
        raise BackupError(f"{path} is cut off; take another backup")
    return octets


def _refuse_more(path: Path, read: Read) -> None:
    """Only padding stands behind the end, to which gzip's own checksum is read."""
    seen = 0
    while some := read(CHUNK_BYTES):
        seen += len(some)
        if some.strip(b"\0") or seen > _MOST_PADDING_BYTES:
            raise BackupError(f"{path} holds something behind its end, which no backup does; take another one")


def _manifest(path: Path, read: Read) -> tuple[Manifest, bytes]:
    """The manifest, and what the last member has to be."""
    name, size = _header(path, read)
    if name != MANIFEST or size > _MOST_MANIFEST_BYTES:
        raise BackupError(f"{path} is no backup: it does not begin with a manifest")
    octets = b"".join(_content(path, read, size))
    try:
        return _checked(json.loads(octets)), _digest_line(octets)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise BackupError(f"{path} is no backup that this version reads: its manifest is not {FORMAT}") from error


def _checked(told: Any) -> Manifest:
    """The manifest of JSON values that anybody may have written. Raises ValueError, KeyError, TypeError."""
    if told["format"] != FORMAT or told["database"] not in ("sqlite", "postgresql"):
        raise ValueError
    members = tuple(Member(str(one["name"]), one["size_bytes"], str(one["sha256"])) for one in told["members"])
    names = [member.name for member in members]
    if len(set(names)) < len(names) or not all(map(_is_whole, members)):
        raise ValueError
    if (DATABASE in names) != (told["database"] == "sqlite"):
        raise ValueError
    taken_at = datetime.fromisoformat(told["taken_at"])
    if taken_at.tzinfo is None:
        raise ValueError
    numbers = told["messages"], told["orders"]
    if not all(number is None or (type(number) is int and number >= 0) for number in numbers):
        raise ValueError
    schema = told["schema"] if told["schema"] is None else str(told["schema"])
    return Manifest(str(told["program"]), told["database"], schema, taken_at, *numbers, members)


def _is_whole(member: Member) -> bool:
    return (
        is_member_name(member.name)
        and type(member.size_bytes) is int
        and 0 <= member.size_bytes < 2**63
        and re.fullmatch(r"[0-9a-f]{64}", member.sha256) is not None
    )
