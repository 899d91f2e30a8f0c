"""TNEF: what Outlook and Exchange wrap a message in for each other, and others receive as `winmail.dat`.

After [MS-OXTNEF]: a stream of attributes (2.1.2), two of which hold lists of MAPI properties (2.1.3.4). Attributes of
attachments follow the one that begins an attachment (2.1.3.3.15). Checksums are not believed: writers got them wrong,
and whether an order is whole the seal says. A stream that is cut off gives what stands before the cut.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ion.reading.mapi import (
    ATTACHED_DATA,
    ATTACHED_NAMES,
    BINARY,
    BODY,
    OBJECT,
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

SIGNATURE = b"\x78\x9f\x3e\x22"

_ATTRIBUTE = struct.Struct("<BII")  # level, identifier, octets of data
_OEM_CODE_PAGE, _BODY, _MESSAGE_PROPERTIES = 0x00069007, 0x0002800C, 0x00069003
_ATTACHMENT_BEGINS, _TITLE, _DATA, _ATTACHMENT_PROPERTIES = 0x00069002, 0x00018010, 0x0006800F, 0x00069005
_OF_ATTACHMENT = 2
_MAX_ATTACHED = 1_000  # more than the caller will read

# Octets of a value of each type ([MS-OXCDATA] 2.11.1); the types not here say their length.
_SIZES = {
    0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 2, 0x14: 8, 0x40: 8,
    0x48: 16,
}  # fmt: skip
_SAID = frozenset((STRING8, STRING, BINARY, OBJECT))
_SEVERAL = 0x1000
_INTERFACE = 16  # octets before the data of an object: the identifier of its interface


@dataclass
class _Attached:
    properties: dict[int, Property] = field(default_factory=dict)
    data: bytes = b""


def read_tnef(octets: bytes, spend: Spend) -> Item:
    """The message in a TNEF stream; raises Unreadable, and what `spend` raises."""
    if not octets.startswith(SIGNATURE):
        raise Unreadable("TNEF that does not begin as TNEF")
    message: dict[int, Property] = {}
    attached: list[_Attached] = []
    oem = None
    for level, identifier, data in _attributes(octets):
        if len(attached) > _MAX_ATTACHED:
            break
        if identifier == _ATTACHMENT_BEGINS or (level == _OF_ATTACHMENT and not attached):
            attached.append(_Attached())
        if identifier == _OEM_CODE_PAGE:
            oem = int.from_bytes(data[:4], "little")
        elif identifier == _BODY:
            message.setdefault(BODY, Property(STRING8, data))
        elif identifier == _MESSAGE_PROPERTIES:
            message.update(_properties(data))
        elif level == _OF_ATTACHMENT:
            _add(attached[-1], identifier, data)
    return Item(
        texts(Properties(message, oem), spend),
        (_attachment(one, oem, spend) for one in attached),
    )


def _add(attached: _Attached, identifier: int, data: bytes) -> None:
    if identifier == _DATA:
        attached.data = data
    elif identifier == _TITLE:
        attached.properties.setdefault(ATTACHED_NAMES[1], Property(STRING8, data))
    elif identifier == _ATTACHMENT_PROPERTIES:
        attached.properties.update(_properties(data))


def _attachment(attached: _Attached, oem: int | None, spend: Spend) -> Attachment:
    """A file's data is an attribute of its own; an embedded message is a property, a TNEF stream behind an identifier
    (2.1.3.4), and some writers put files there, too."""
    held = attached.properties.get(ATTACHED_DATA, Property(BINARY, b""))
    held_octets = held.octets[_INTERFACE:] if held.type == OBJECT else held.octets
    properties = Properties(attached.properties, oem)
    if held.type == OBJECT and held_octets.startswith(SIGNATURE):
        return attachment(properties, len(held_octets), lambda: read_tnef(held_octets, spend))
    octets = attached.data or held_octets
    return attachment(properties, len(octets), lambda: octets)


def _attributes(octets: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Level, identifier and data of each attribute, the last one as far as it goes."""
    position = len(SIGNATURE) + 2  # a key, which says nothing
    while position + _ATTRIBUTE.size <= len(octets):
        level, identifier, size = _ATTRIBUTE.unpack_from(octets, position)
        if level not in (1, _OF_ATTACHMENT):
            return
        position += _ATTRIBUTE.size
        yield level, identifier, octets[position : position + size]
        position += size + 2  # a checksum


class _Cut(Exception):
    """The properties end in the middle of one."""


class _Octets:
    """What is left of a list of properties."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.position = octets, 0

    def take(self, size: int, *, at_most: bool = False) -> bytes:
        """The next octets; raises _Cut where there are fewer, unless fewer will do."""
        taken = self.octets[self.position : self.position + size]
        if len(taken) < size and not (at_most and taken):
            raise _Cut
        self.position += size
        return taken

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "little")

    def padded(self, size: int) -> bytes:
        taken = self.take(size, at_most=True)
        self.position += -size % 4
        return taken


def _properties(octets: bytes) -> dict[int, Property]:
    """A list of properties (2.1.3.4) as far as it goes; of a property with several values, the first."""
    left, found = _Octets(octets), {}
    try:
        for _ in range(left.number()):
            kind, identifier = left.number(2), left.number(2)
            if identifier >= 0x8000:
                _pass_over_name(left)
            values = left.number() if kind & _SEVERAL or kind in _SAID else 1
            kind &= ~_SEVERAL
            if kind not in _SAID and kind not in _SIZES:
                break  # where the next one begins nobody knows
            for number in range(values):
                value = left.padded(left.number() if kind in _SAID else _SIZES[kind])
                if number == 0:
                    found[identifier] = Property(kind, value)
    except _Cut:
        pass
    return found


def _pass_over_name(left: _Octets) -> None:
    """A named property says its name here: a set, and a number or a text in it."""
    left.take(16)
    left.padded(left.number() if left.number() else 4)
