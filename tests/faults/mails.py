"""Order mails: sealed with the key of the installation under test, each one order or another mail of it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ion.seal import KeyRing
from tests.orders import rendered, small_order


@dataclass(frozen=True)
class OrderMail:
    """`raw`: the octets, lines ended by CR LF; `sha256`: their digest; `order_number`: the one order they tell of."""

    raw: bytes
    order_number: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


class OrderMails:
    """Makes them. `data_dir`: the installation's data folder; its key is created where there is none yet."""

    def __init__(self, data_dir: Path, prefix: str) -> None:
        self._key = KeyRing(data_dir / "keys").sealing_key("default")
        self._prefix = prefix
        self._orders = 0
        self._copies = 0

    def new_order(self) -> OrderMail:
        """The mail of an order that no other mail tells of."""
        self._orders += 1
        number = f"{self._prefix}{self._orders}"
        order = small_order().model_copy(update={"order_number": number})
        return OrderMail(rendered(order, key=self._key, sequence=self._orders).raw, number)

    def another_of(self, mail: OrderMail) -> OrderMail:
        """The same notification by another path: other octets, the same order."""
        self._copies += 1
        return OrderMail(b"X-Path: %s %d\r\n" % (self._prefix.encode(), self._copies) + mail.raw, mail.order_number)
