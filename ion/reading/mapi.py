"""A message as Outlook keeps it: properties instead of MIME, and what a notification may stand in among them.

Both containers of Outlook's (`tnef`, `msg`) hold properties under the same numbers ([MS-OXPROPS]); here they become an
`Item`: the texts of its body in every form that is there ([MS-OXCMSG] 2.2.1.56, [MS-OXBBODY] 2.1.3), and what is
attached. What to do with an attachment is the caller's business: it is read when asked for, so that caps come first.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ion.reading.charsets import code_page, decoded
from ion.reading.rtf import Unreadable, decompressed, read_rtf

__all__ = ["Attachment", "Item", "Properties", "Property", "Spend", "Text", "Unreadable", "attachment", "texts"]

# Property types ([MS-OXCDATA] 2.11.1) and, below, property identifiers.
STRING8, STRING, BINARY, OBJECT, LONG = 0x1E, 0x1F, 0x102, 0x0D, 0x03

BODY, HTML, RTF = 0x1000, 0x1013, 0x1009
INTERNET_CODE_PAGE, MESSAGE_CODE_PAGE = 0x3FDE, 0x3FFD
ATTACHED_DATA, ATTACHED_TYPE = 0x3701, 0x370E
ATTACHED_NAMES = (0x3707, 0x3704, 0x370C, 0x3001)  # long, 8.3, in transport, as displayed

# Reading RTF takes as long as reading so many octets of anything else.
_COST_OF_RTF = 4

Spend = Callable[[int], None]
"""Asks the caller's leave to hold so many octets more; raises what the caller wants raised."""


@dataclass(frozen=True)
class Property:
    type: int
    octets: bytes


@dataclass(frozen=True)
class Text:
    """One form of a body."""

    kind: Literal["html", "text"]
    text: str


@dataclass(frozen=True)
class Attachment:
    """`name` and `media_type` as the message says, each possibly empty; `load` gives the octets of a file or an
    embedded message, and may raise Unreadable; `size`: how many octets it will take."""

    name: str
    media_type: str
    size: int
    load: "Callable[[], bytes | Item]"


@dataclass(frozen=True)
class Item:
    texts: tuple[Text, ...]
    attachments: Iterable[Attachment]  # found one by one, so that a cap on their number comes first


@dataclass(frozen=True)
class Properties:
    """Properties by their identifiers. `oem`: the code page of a TNEF's 8-bit strings."""

    by_id: Mapping[int, Property]
    oem: int | None = None

    def number(self, identifier: int) -> int | None:
        found = self.by_id.get(identifier)
        return int.from_bytes(found.octets[:4], "little") if found and found.type == LONG else None

    def octets(self, identifier: int) -> bytes:
        found = self.by_id.get(identifier)
        return found.octets if found else b""

    def string(self, identifier: int, *, html: bool = False) -> str:
        """A text: UTF-16, or octets in the code page that the container, the message or its sender's program names."""
        found = self.by_id.get(identifier)
        if found is None:
            return ""
        if found.type == STRING:
            return found.octets.decode("utf-16-le", "replace").rstrip("\0")
        pages = [self.number(INTERNET_CODE_PAGE), self.oem, self.number(MESSAGE_CODE_PAGE)]
        if found.type == STRING8:  # the body's own code page says little of strings beside it
            pages = [*pages[1:], pages[0]]
        return decoded(found.octets, *map(code_page, pages), html=html).rstrip("\0")


def texts(properties: Properties, spend: Spend) -> tuple[Text, ...]:
    """Every form of a message's body, without repeats: which of them a person was shown, no property says for sure."""
    found = [Text("text", properties.string(BODY)), Text("html", properties.string(HTML, html=True))]
    try:
        rtf = decompressed(properties.octets(RTF))
        spend(_COST_OF_RTF * len(rtf))
        found.append(Text(*read_rtf(rtf)))
    except Unreadable:
        pass  # the other forms may still be read
    return tuple(dict.fromkeys(text for text in found if text.text.strip()))


def attachment(properties: Properties, size: int, load: Callable[[], bytes | Item]) -> Attachment:
    name = next((name for name in map(properties.string, ATTACHED_NAMES) if name), "")
    return Attachment(name, properties.string(ATTACHED_TYPE), size, load)
