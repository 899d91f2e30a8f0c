"""A TCP proxy in front of an IMAP server that does to a conversation what networks and servers do."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.imap_servers import HOST

Kind = Literal["eof", "eof-after", "cut", "bye", "black-hole", "later", "drip"]


@dataclass(frozen=True)
class Fault:
    """What happens once, at the client's line number `at` (from 0, over all connections since it was set).

    eof: the line does not arrive, both sides see the end. eof-after: the server has done it, the client never hears so.
    cut: the answer ends in its middle, inside a literal if it has one. bye: the server says BYE and hangs up.
    black-hole: from then on nothing passes, and nobody is told. later: the server answers NO [UNAVAILABLE].
    drip: the answer comes octet by octet, without an end.
    """

    kind: Kind
    at: int


class Proxy:
    """Listens on `port` and passes everything on, but for its `fault`. `fired`: the fault has happened; `lines`: what
    the client has said since the fault was set. `before`: for some words, what is done once, before the client's next
    line with them is passed on. `together`: the server's octets wait until these are among them."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.fault: Fault | None = None
        self.fired = threading.Event()
        self.lines: list[bytes] = []
        self.connections = 0
        self.before: dict[bytes, Callable[[], None]] = {}
        self.together: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, fault: Fault | None) -> None:
        with self._lock:
            self.fault, self.lines = fault, []
            self.fired.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            _end(sock)

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self._server_port), timeout=60)
            except OSError:
                return
            server.settimeout(None)
            self.connections += 1
            self._open += [client, server]
            _Conversation(self, client, server)

    def do_before(self, line: bytes) -> None:
        for words in list(self.before):
            if words in line:
                self.before.pop(words)()

    def next_fault(self, line: bytes) -> Fault | None:
        """The fault, where it is this line's turn; then no other's."""
        with self._lock:
            self.lines.append(line)
            if self.fault is None or len(self.lines) <= self.fault.at or self.fired.is_set():
                return None
            self.fired.set()
            return self.fault


class _Conversation:
    """One connection through the proxy, in two threads."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._answers: Kind | None = None  # what happens to the server's next octets
        for target in (self._upward, self._downward):
            threading.Thread(target=target, daemon=True).start()

    def _upward(self) -> None:
        try:
            with self._client.makefile("rb") as lines:
                for line in lines:
                    self._proxy.do_before(line)
                    fault = self._proxy.next_fault(line)
                    if fault is None and self._answers != "black-hole":
                        self._server.sendall(line)
                    elif fault is not None and not self._happens(fault.kind, line):
                        break
        except OSError:
            pass
        if self._answers != "black-hole":
            _end(self._client, self._server)

    def _happens(self, kind: Kind, line: bytes) -> bool:
        """Whether the conversation goes on."""
        tag = line.split(b" ", 1)[0]
        if kind == "bye":
            self._client.sendall(b"* BYE the server goes down\r\n")
        elif kind == "later":
            self._client.sendall(tag + b" NO [UNAVAILABLE] not now\r\n")
            return True
        elif kind == "black-hole":
            self._answers = kind
            return True
        elif kind in ("eof-after", "cut", "drip"):
            self._answers = kind
            self._server.sendall(line)
            return True
        return False

    def _downward(self) -> None:
        try:
            held = b""
            while received := self._server.recv(65_536):
                octets = held + received
                if self._proxy.together is not None and self._proxy.together not in octets:
                    held = octets
                    continue
                held, self._proxy.together = b"", None
                if self._answers is None:
                    self._client.sendall(octets)
                elif self._answers == "cut":
                    literal = re.search(rb"\{(\d+)\}\r\n", octets)
                    end = literal.end() + int(literal[1]) // 2 if literal else len(octets) // 2
                    self._client.sendall(octets[:end])
                    break
                elif self._answers == "drip":
                    while True:
                        self._client.sendall(b"x")
                        time.sleep(0.02)
                elif self._answers == "eof-after":
                    break
        except OSError:
            pass
        if self._answers != "black-hole":
            _end(self._client, self._server)


def _end(*socks: socket.socket) -> None:
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
