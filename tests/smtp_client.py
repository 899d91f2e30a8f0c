"""A listener for a test, a client that says to it just what it is told, and a look at what was kept."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ion.inbox import Listener
from ion.store import Store


@contextmanager
def listening(store: Store, **options: Any) -> Iterator[Listener]:
    listener = Listener(store, port=0, hostname="mx.example", **options)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop(grace_seconds=0.2)


def kept(database: Path) -> list[bytes]:
    """Raw messages as another process sees them now."""
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute("SELECT raw FROM message_raw ORDER BY message_id")]
    finally:
        connection.close()


class Raw:
    """A client that sends just what it is told."""

    def __init__(
        self, listener: Listener, *, port: int | None = None, source: str = "127.0.0.1", first: bytes = b""
    ) -> None:
        address = (listener.host, port if port is not None else listener.port)
        self.socket = socket.create_connection(address, timeout=60, source_address=(source, 0))
        self.socket.sendall(first)
        self.answers = self.socket.makefile("rb")
        self.banner = self.answer()

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def answer(self) -> str:
        while True:
            line = self.answers.readline().decode()
            if line[3:4] != "-":
                return line.strip()

    def say(self, command: str) -> str:
        self.send(command.encode("utf-8", "surrogateescape") + b"\r\n")
        return self.answer()

    def begin(self, address: str) -> None:
        assert self.say("EHLO x").startswith("250")
        assert self.say("MAIL FROM:<a@b.example>").startswith("250")
        assert self.say(f"RCPT TO:<{address}>").startswith("250")
        assert self.say("DATA").startswith("354")

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.answers.close()
        self.socket.close()
