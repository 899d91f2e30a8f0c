"""`.msg` files: a message of Outlook's in an OLE compound file.

After [MS-OXMSG]: each property of variable length is a stream `__substg1.0_` with its identifier and type (2.1.3), the
others stand in `__properties_version1.0` behind a header whose length depends on what has them (2.4.1); attachments are
storages `__attach_version1.0_#` (2.2.2), and an embedded message is a storage in one of these, built the same way.

The compound file itself ([MS-CFB]) is taken apart by olefile, which reads what is wrong as well as it can; so what it
believes without asking, and a small file could make it work on for ever, is checked here first.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import olefile

from ion.reading.mapi import (
    ATTACHED_DATA,
    ATTACHED_NAMES,
    ATTACHED_TYPE,
    BINARY,
    BODY,
    HTML,
    LONG,
    OBJECT,
    RTF,
    STRING,
    STRING8,
    Attachment,
    Item,
    Properties,
    Property,
    Spend,
    Unreadable,
    attachment,
    texts,
)

SIGNATURE = olefile.MAGIC

_PROPERTIES = "__properties_version1.0"
_ATTACHED = "__attach_version1.0_#"
_FIXED = struct.Struct("<HHI8s")  # type, identifier, flags, value
_HEADER_OF_FILE, _HEADER_OF_EMBEDDED, _HEADER_OF_ATTACHMENT = 32, 24, 8
_OF_MESSAGE = (BODY, HTML, RTF)
_OF_ATTACHMENT = (*ATTACHED_NAMES, ATTACHED_TYPE)
_TYPES = (STRING, STRING8, BINARY)
# More entries than any message has streams; each takes olefile its time.
_MAX_ENTRIES = 50_000
# Two for each message in another.
_MAX_STORAGES = 100

_Path = tuple[str, ...]
_Answer = TypeVar("_Answer")


def read_msg(octets: bytes, spend: Spend) -> Item:
    """The message in a compound file; raises Unreadable, also for a file that holds another kind of document, and what
    `spend` raises."""
    return _File(octets, spend).item((), _HEADER_OF_FILE)


@dataclass
class _File:
    octets: bytes
    spend: Spend

    def __post_init__(self) -> None:
        _check_header(self.octets)
        self.ole = _asked(lambda: _opened(self.octets))
        self.streams: dict[_Path, olefile.OleDirectoryEntry] = {}
        self.attached: dict[_Path, list[_Path]] = {}
        self._list()

    def item(self, storage: _Path, header: int) -> Item:
        if (*storage, _PROPERTIES) not in self.streams:
            raise Unreadable("a compound file that holds no message")
        properties = Properties(self._fixed(storage, header) | self._variable(storage, _OF_MESSAGE))
        attached = sorted(self.attached.get(storage, ()))
        return Item(texts(properties, self.spend), (self._attachment(path) for path in attached))

    def _list(self) -> None:
        """Finds every stream, and the attachments in each storage.

        Names are the same in capitals and not ([MS-CFB] 2.6.4).
        """
        storages: list[tuple[_Path, olefile.OleDirectoryEntry]] = [((), self.ole.root)]
        while storages:
            storage, entry = storages.pop()
            for kid in entry.kids:
                path = (*storage, kid.name.lower())
                if kid.entry_type == olefile.STGTY_STREAM:
                    self.streams[path] = kid
                elif len(path) <= _MAX_STORAGES:
                    storages.append((path, kid))
                    if path[-1].startswith(_ATTACHED):
                        self.attached.setdefault(storage, []).append(path)

    def _attachment(self, storage: _Path) -> Attachment:
        properties = Properties(self._fixed(storage, _HEADER_OF_ATTACHMENT) | self._variable(storage, _OF_ATTACHMENT))
        embedded = (*storage, _stream(ATTACHED_DATA, OBJECT))
        if (*embedded, _PROPERTIES) in self.streams:
            return attachment(properties, 0, lambda: self.item(embedded, _HEADER_OF_EMBEDDED))
        data = (*storage, _stream(ATTACHED_DATA, BINARY))
        return attachment(properties, self._size(data), lambda: self._read(data))

    def _fixed(self, storage: _Path, header: int) -> dict[int, Property]:
        octets = self._spent((*storage, _PROPERTIES))[header:]
        whole = octets[: len(octets) // _FIXED.size * _FIXED.size]
        return {
            identifier: Property(kind, value)
            for kind, identifier, _, value in _FIXED.iter_unpack(whole)
            if kind == LONG
        }

    def _variable(self, storage: _Path, wanted: tuple[int, ...]) -> dict[int, Property]:
        found: dict[int, Property] = {}
        for identifier, kind in product(wanted, _TYPES):
            path = (*storage, _stream(identifier, kind))
            if identifier not in found and path in self.streams:
                found[identifier] = Property(kind, self._spent(path))
        return found

    def _spent(self, path: _Path) -> bytes:
        self.spend(self._size(path))
        return self._read(path)

    def _size(self, path: _Path) -> int:
        """The length of a stream as it says; 0 where it says more than the file has, or where there is none."""
        size = int(self.streams[path].size) if path in self.streams else 0
        return size if size <= len(self.octets) else 0

    def _read(self, path: _Path) -> bytes:
        if not self._size(path):
            return b""
        entry = self.streams[path]
        return bytes(_asked(lambda: self.ole._open(entry.isectStart, entry.size).read()))


def _stream(identifier: int, kind: int) -> str:
    return f"__substg1.0_{identifier:04x}{kind:04x}"


def _check_header(octets: bytes) -> None:
    """The numbers in the header by which olefile sizes its tables ([MS-CFB] 2.2), against the length of the file."""
    if len(octets) < 512 or not octets.startswith(SIGNATURE):
        raise Unreadable("a compound file that does not begin as one")
    shift, small_shift = struct.unpack_from("<HH", octets, 30)
    tables, small_tables, more_tables = (struct.unpack_from("<I", octets, place)[0] for place in (44, 64, 72))
    if shift not in (9, 12) or small_shift != 6:
        raise Unreadable("a compound file with sectors of no known size")
    sectors = len(octets) >> shift
    # A table says where 128 or 1,024 sectors go on; twice as many as needed is more than any writer lays out.
    most = 109 + 2 * sectors // (1 << shift - 2)
    if max(tables, more_tables) > most or small_tables > sectors:
        raise Unreadable("a compound file with more tables than sectors")


def _opened(octets: bytes) -> "olefile.OleFileIO":
    """The file, opened. From an open file, because olefile takes octets that are few for the name of one."""
    ole = olefile.OleFileIO()
    entries, load = iter(range(_MAX_ENTRIES)), ole._load_direntry

    def counted(number: int) -> "olefile.OleDirectoryEntry":
        if next(entries, None) is None:
            raise Unreadable(f"a compound file with more than {_MAX_ENTRIES} entries")
        return load(number)

    ole._load_direntry = counted
    ole._check_duplicate_stream = lambda *_: None  # compares each stream with each other
    ole.open(io.BytesIO(octets))
    if ole.root.size > len(octets):
        raise Unreadable("a compound file whose small streams are larger than itself")
    return ole


def _asked(question: Callable[[], _Answer]) -> _Answer:
    """What olefile says; on hostile input it raises anything, and this turns it into Unreadable."""
    try:
        return question()
    except Exception as error:
        raise Unreadable("a compound file that cannot be taken apart") from error
