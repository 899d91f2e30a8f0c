"""The clients of the measurements: Postfix's smtp-source, and one that sends different mails, which smtp-source cannot.

`python -m tests.bench.clients PORT RECIPIENT FOLDER SESSIONS` sends every file of FOLDER once, over as many connections
at a time, each kept for its whole share of the mails; it prints when it began and when it ended.
"""

import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.peers import HOST, RECIPIENT, found

SESSIONS = 10


def smtp_source(port: int, mail: Path, count: int, *, kept: bool, sessions: int = SESSIONS) -> float:
    """Send one mail `count` times, each to a recipient of its own; the seconds until the last reply."""
    keep = ["-d"] if kept else []
    command = [found("smtp-source"), *keep, "-N", "-s", str(sessions), "-m", str(count), "-C", "100"]
    command += ["-f", "sender@localhost", "-t", RECIPIENT, "-F", str(mail), f"{HOST}:{port}"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"smtp-source gave up: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return seconds


def different_mails(port: int, folder: Path) -> tuple[float, float]:
    """Send each mail of `folder` once over kept connections, from a process of its own: when the first connection was
    begun and when the last reply came, by the clock of `time.monotonic`, which all processes share."""
    command = [sys.executable, "-m", "tests.bench.clients", str(port), RECIPIENT, str(folder), str(SESSIONS)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, timeout=600, check=True, cwd=root)
    began, ended = map(float, done.stdout.split())
    return began, ended


class _Session:
    """One connection and the mails it has still to send. Each step is sent when the one before has been answered."""

    def __init__(self, port: int, envelope: bytes, mails: Iterator[bytes]) -> None:
        self.socket = socket.create_connection((HOST, port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._steps = self._conversation(envelope, mails)
        self._wanted = next(self._steps)[1]
        self._unsent = memoryview(b"")
        self._reply = b""

    @staticmethod
    def _conversation(envelope: bytes, mails: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """What is sent, and how the reply to it begins."""
        yield b"", b"220"
        yield b"EHLO bench.localhost\r\n", b"250"
        for octets in mails:
            yield b"MAIL FROM:<sender@localhost>\r\n", b"250"
            yield envelope, b"250"
            yield b"DATA\r\n", b"354"
            yield octets, b"250"
        yield b"QUIT\r\n", b"221"

    def go_on(self) -> int | None:
        """Send and read as far as it goes: what to wait for then, None where all is said. Raises OSError."""
        while True:
            if self._unsent:
                try:
                    self._unsent = self._unsent[self.socket.send(self._unsent) :]
                except BlockingIOError:
                    return selectors.EVENT_WRITE
                continue
            try:
                octets = self.socket.recv(4096)
            except BlockingIOError:
                return selectors.EVENT_READ
            self._reply += octets
            if not octets:
                raise OSError("the server closed the connection")
            if not self._reply.endswith(b"\n") or self._reply.rstrip().rpartition(b"\n")[2][3:4] == b"-":
                continue
            if not self._reply.startswith(self._wanted):
                raise OSError(f"replied {self._reply[:80]!r}")
            self._reply = b""
            step = next(self._steps, None)
            if step is None:
                return None
            self._unsent, self._wanted = memoryview(step[0]), step[1]


def main() -> None:
    port, recipient, folder, sessions = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    mails = [file.read_bytes().replace(b"\r\n.", b"\r\n..") + b".\r\n" for file in sorted(folder.iterdir())]
    envelope = f"RCPT TO:<{recipient}>\r\n".encode()
    # One thread, as several would spend more on waiting for each other than on sending, and take that from the server.
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for number in range(sessions):
            session = _Session(port, envelope, iter(mails[number::sessions]))
            selector.register(session.socket, selectors.EVENT_READ, session)
        while selector.get_map():
            ready = selector.select(60)
            if not ready:
                sys.exit("no session goes on")
            for key, _ in ready:
                wait_for = key.data.go_on()
                if wait_for is None:
                    selector.unregister(key.fileobj)
                    key.data.socket.close()
                elif wait_for != key.events:
                    selector.modify(key.fileobj, wait_for, key.data)
    print(began, time.monotonic())


if __name__ == "__main__":
    main()
