"""Outlook's own containers, known by their first octets: what they are called in MIME differs with every program."""

from collections.abc import Callable

from ion.reading import msg, tnef
from ion.reading.mapi import Item, Spend

_READERS: dict[bytes, Callable[[bytes, Spend], Item]] = {tnef.SIGNATURE: tnef.read_tnef, msg.SIGNATURE: msg.read_msg}


def reader(octets: bytes) -> Callable[[bytes, Spend], Item] | None:
    """What reads these octets, if they begin like a container of Outlook's; it may still raise Unreadable."""
    return next((read for signature, read in _READERS.items() if octets.startswith(signature)), None)
