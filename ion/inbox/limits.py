"""What the SMTP listener allows: the figures in one place, and the counters that hold them over all connections.

All counters are used in the listener's event loop only, so they need no lock.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass

COMMAND_LINE_BYTES = 1024  # RFC 5321, 4.5.3.1.4 asks for 512 and more with extensions
REFUSED_RECIPIENTS = 20  # of one session; whoever tries more is guessing addresses
UNKNOWN_COMMANDS = 5  # of one session
MOST_HOPS = 100  # RFC 5321, 6.3: a loop is told by the count of Received lines, and at least 100 have to pass


@dataclass(frozen=True)
class Limits:
    """Each figure is a setting `smtp_<name>`; times in seconds, sizes in octets."""

    max_message_bytes: int = 26_214_400
    memory_bytes: int = 67_108_864
    min_free_bytes: int = 104_857_600
    max_connections: int = 256
    max_connections_per_address: int = 50
    max_recipients: int = 100
    max_commands: int = 100_000
    idle_seconds: float = 300
    message_seconds: float = 600
    session_seconds: float = 3600


class ByteBudget:
    """The octets that all connections together may hold of messages not yet kept."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, number: int) -> bool:
        """Whether there was room for `number` more octets, which are held from then on."""
        if self.held_bytes + number > self.limit_bytes:
            return False
        self.held_bytes += number
        return True

    def give_back(self, number: int) -> None:
        self.held_bytes -= number


def counted_address(address: str) -> str:
    """What an address counts as: one of IPv6 as its /64, which one host usually has to itself. What is none, as a proxy
    may tell it, counts as itself."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
    except ValueError:
        return address


class Connections:
    """Who is connected, by `counted_address`."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self.most = most
        self.most_per_address = most_per_address
        self.total = 0
        self._by_address: Counter[str] = Counter()

    def enter(self) -> bool:
        """Count one more connection, if it may come in."""
        if self.total >= self.most:
            return False
        self.total += 1
        return True

    def leave(self) -> None:
        self.total -= 1

    def enter_from(self, address: str) -> bool:
        """Count one more connection from `address`, if it may come in."""
        if self._by_address[address] >= self.most_per_address:
            return False
        self._by_address[address] += 1
        return True

    def leave_from(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
