"""Peak memory under connections that send whatever they like, at every door, plain and within TLS.

Each stream has a listener of its own, with one connection at a time, opened anew where it was cut off; the figure is
the growth of the process's peak over what it held after ordinary mail. (`--whole`: of `ion serve`, whose worker takes
memory of its own to read what was kept.) Then `ion serve` with connections of all kinds at once; there the figure is
the peak itself.

    python -m tests.faults.memory [STREAM...] [--doors smtp,starttls,...] --seconds 60 [--at-once 4] [--connections 200]
"""

import argparse
import json
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, repeat
from pathlib import Path
from typing import Any

from tests.faults.serving import Installation, Serving, free_port
from tests.programs import program

MEGABYTE = 2**20
MESSAGE_BYTES = 10 * MEGABYTE
MOST_GROWTH_BYTES = 40 * MEGABYTE
MOST_PEAK_BYTES = 300 * MEGABYTE
DOORS = ("smtp", "starttls", "smtps", "lmtp", "proxy")
PROXY = "127.0.0.99"
BLOCK = 65_536

Blocks = Callable[[str], Iterator[bytes]]


@dataclass(frozen=True)
class Stream:
    """`blocks`: what is sent, given a valid recipient; `after`: what the connection has come to by then: `connect`,
    `hello` or `data`."""

    blocks: Blocks
    after: str = "hello"


def _always(block: bytes) -> Blocks:
    return lambda _recipient: repeat(block)


def _messages(recipient: str) -> Iterator[bytes]:
    """As large as may be, whole, without waiting for an answer; three of them again and again, for the disk's sake."""
    for number in count():
        yield f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{recipient}>\r\nDATA\r\nX: {number % 3}\r\n\r\n".encode()
        line = b"x" * 998 + b"\r\n"
        for _ in range((MESSAGE_BYTES - 1000) // 65_000):
            yield line * 65
        yield b".\r\n"


def _slowly(_recipient: str) -> Iterator[bytes]:
    for octet in b"NOOP and nothing behind it " * 10_000:
        time.sleep(0.005)
        yield bytes((octet,))


def _strangers(_recipient: str) -> Iterator[bytes]:
    yield b"MAIL FROM:<a@b.example>\r\n"
    for number in count():
        yield b"RCPT TO:<%d@b.example>\r\n" % number


def _recipients(recipient: str) -> Iterator[bytes]:
    while True:
        yield b"MAIL FROM:<a@b.example>\r\n" + f"RCPT TO:<{recipient}>\r\n".encode() * 1000 + b"RSET\r\n"


STREAMS = {
    # What is said where a command is expected
    "no line end": Stream(_always(b"x" * BLOCK)),
    "short lines": Stream(_always(b"x\r\n" * 20_000)),
    "no LF": Stream(_always(b"\r" * BLOCK)),
    "no CR": Stream(_always(b"\n" * BLOCK)),
    "NULs": Stream(_always(b"\0" * BLOCK)),
    "commands": Stream(_always(b"NOOP\r\n" * 10_000)),  # and no answer to them is ever read
    "greetings": Stream(_always(b"EHLO x\r\nLHLO x\r\n" * 4_000)),
    "helps": Stream(_always(b"HELP\r\n" * 10_000)),
    "recipients": Stream(_recipients),
    "strangers": Stream(_strangers),
    "BDAT": Stream(_always(b"BDAT 1000000\r\n" + b"x" * 1_000_000)),
    "AUTH": Stream(_always(b"AUTH PLAIN " + b"A" * 900 + b"\r\n")),
    "slowly": Stream(_slowly),
    "before the banner": Stream(_always(b"x" * BLOCK), "connect"),
    # What is said where a message is expected
    "data without end": Stream(_always(b"x" * BLOCK), "data"),
    "data of lines": Stream(_always(b"x\r\n" * 20_000), "data"),
    "data of empty lines": Stream(_always(b"\r\n" * 32_768), "data"),
    "data of dots": Stream(_always(b"..\r\n" * 16_384), "data"),
    "data of almost ends": Stream(_always(b"\r\n.\r" * 16_384), "data"),
    "data of bare CR": Stream(_always(b"\r" * BLOCK), "data"),
    "data of bare LF": Stream(_always(b"\n" * BLOCK), "data"),
    "data of NULs": Stream(_always(b"\0" * BLOCK), "data"),
    "data, slowly": Stream(_slowly, "data"),
    "messages": Stream(_messages),
}
# What only TLS has; each is given the port and the deadline, and makes its connections itself.
HELLO = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03" + b"\0" * (16_384 - 6)  # a hello that says it is 16 MB long


def _raw(server: "Server", first: bytes, block: bytes) -> None:
    with server.connected("smtps") as client:
        client.sendall(first)
        while not server.over():
            client.sendall(block)


def _unfinished(server: "Server") -> None:
    """A true hello and nothing behind it, for as long as that is borne."""
    layer = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello := ssl.MemoryBIO(), server_hostname="x")
    with suppress(ssl.SSLWantReadError):
        layer.do_handshake()
    with server.connected("smtps") as client:
        client.sendall(hello.read())
        while not server.over() and client.recv(BLOCK):
            pass


def _shaking_hands(server: "Server") -> None:
    with server.secured(server.connected("smtps")) as client:
        client.recv(1000)


def _then_garbage(server: "Server") -> None:
    with server.secured(server.connected("smtps")) as client, socket.socket(fileno=client.detach()) as plain:
        while not server.over():
            plain.sendall(b"\x17\x03\x03\x40\x00" + b"x" * 16_384)


def _injected(server: "Server") -> None:
    """What follows STARTTLS at once, in clear, endlessly."""
    with server.connected("smtp") as client:
        client.sendall(b"EHLO x\r\nSTARTTLS\r\n" + b"EHLO y\r\n" * 500)
        while not server.over():
            client.sendall(b"NOOP\r\n" * 10_000)


def _small_records(server: "Server") -> None:
    with server.secured(server.connected("smtps")) as client:
        while not server.over():
            client.sendall(b"\0")


def _asking(server: "Server", key: bytes, version: str) -> None:
    """openssl's client renegotiates at R and changes its keys at K."""
    command = [program("openssl"), "s_client", version, "-connect", f"127.0.0.1:{server.ports['smtps']}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as client:
        assert client.stdin is not None
        try:
            while not server.over() and client.poll() is None:
                client.stdin.write(key + b"\n")
                client.stdin.flush()
                time.sleep(0.001)
        finally:
            client.kill()


TLS_STREAMS: dict[str, Callable[["Server"], None]] = {
    "TLS: no hello": lambda server: _raw(server, b"", b"x" * BLOCK),
    "TLS: a hello without end": lambda server: _raw(server, HELLO, HELLO[:5] + b"\0" * 16_384),
    "TLS: handshake unfinished": _unfinished,
    "TLS: handshakes": _shaking_hands,
    "TLS: then garbage": _then_garbage,
    "TLS: behind STARTTLS": _injected,
    "TLS: small records": _small_records,
    "TLS: renegotiation": lambda server: _asking(server, b"R", "-tls1_2"),
    "TLS: new keys": lambda server: _asking(server, b"K", "-tls1_3"),
}


@dataclass
class Server:
    """A running program with all doors open. `until`: when the streams end."""

    pid: int
    ports: dict[str, int]
    recipient: str
    until: float = 0.0
    failures: list[str] = field(default_factory=list)

    def over(self) -> bool:
        return time.monotonic() > self.until

    def connected(self, door: str, source: str = "127.0.0.1") -> socket.socket:
        if door == "proxy":
            source = PROXY
        port = self.ports["smtp" if door in {"starttls", "proxy"} else door]
        client = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
        if door == "proxy":
            client.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 1000 25\r\n")
        return client

    def secured(self, client: socket.socket) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(client)

    def run(self, name: str, door: str, source: str = "127.0.0.1") -> int:
        """Send a stream until the time is over; how many connections that took. What the program does to a connection
        is no failure of the test: only its memory is looked at."""
        connections = 0
        while not self.over():
            connections += 1
            with suppress(OSError):
                if name in TLS_STREAMS:
                    TLS_STREAMS[name](self)
                else:
                    self._send(STREAMS[name], door, source)
            time.sleep(0.01)
        return connections

    def _send(self, stream: Stream, door: str, source: str) -> None:
        with self._come_to(stream.after, door, source) as client:
            for block in stream.blocks(self.recipient):
                while not self.over():
                    try:
                        client.sendall(block)
                        break
                    except TimeoutError:
                        # It reads no more: that is its right. What was cut off within a block goes on anywhere.
                        continue
                if self.over():
                    return

    def _come_to(self, after: str, door: str, source: str) -> socket.socket:
        client = self.connected(door, source)
        if door == "smtps":
            client = self.secured(client)
        if after == "connect":
            return client
        word = "LHLO" if door == "lmtp" else "EHLO"
        _said(client, "")
        _said(client, f"{word} x\r\n")
        if door == "starttls":
            _said(client, "STARTTLS\r\n")
            client = self.secured(client)
            _said(client, "EHLO x\r\n")
        if after == "data":
            for line in ("MAIL FROM:<a@b.example>", f"RCPT TO:<{self.recipient}>", "DATA"):
                _said(client, f"{line}\r\n")
        return client


def _said(client: socket.socket, command: str) -> None:
    """Say a command and take what is answered at once."""
    client.sendall(command.encode())
    if not client.recv(BLOCK):
        raise ConnectionError("the connection was ended")


LISTENER = """
import threading
from ion.config import load_settings
from ion.inbox import Listener
from ion.store import open_store
settings = load_settings()
listener = Listener.from_settings(open_store(settings.store_url), settings, lambda: None)
listener.start()
threading.Event().wait()
"""


@contextmanager
def serving(folder: Path, *, whole: bool = True, **settings: str) -> Iterator[Server]:
    """`ion serve` or its listener alone, with all doors, after it has had ordinary mail, half of it by TLS."""
    certificate = _certificate(folder)
    ports = {"smtps": free_port(), "lmtp": free_port()}
    own = {
        "ION_SMTP_TLS_PORT": str(ports["smtps"]),
        "ION_SMTP_LMTP_PORT": str(ports["lmtp"]),
        "ION_SMTP_TLS_CERTIFICATE": str(certificate),
        "ION_SMTP_PROXY_ADDRESSES": PROXY,
        "ION_LOG_LEVEL": "warning",
    }
    installation = Installation(folder / "data", settings=own | settings)
    recipient = installation.address()
    served = installation.serve(launcher=("-m", "ion") if whole else ("-c", LISTENER))
    try:
        server = Server(served.process.pid, ports | {"smtp": installation.port}, recipient)
        _wait_until_listening(served, server)
        for number in range(10):
            with smtplib.SMTP("127.0.0.1", installation.port, "x.example", timeout=60) as client:
                if number % 2:
                    client.starttls()
                client.sendmail("a@b.example", [recipient], f"Subject: {number}\r\n\r\n{'x' * 1000}\r\n")
        if whole:
            installation.wait_until_read(60)
        yield server
    finally:
        served.kill(whole_group=True)


def _certificate(folder: Path) -> Path:
    """A certificate of the test's own, and its key, in one file."""
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mx.example"
    chain, both = folder / "chain.pem", folder / "certificate.pem"
    command = [program("openssl"), *options.split(), "-keyout", str(both), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(both.read_text() + chain.read_text())
    return both


def _wait_until_listening(served: Serving, server: Server) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with server.connected("smtp") as client:
                client.recv(100)
            return
        except OSError:
            assert time.monotonic() < until and served.process.poll() is None, served.log()[-2000:].decode()
            time.sleep(0.1)


def growth(folder: Path, name: str, door: str, seconds: float, *, whole: bool = False) -> dict[str, Any]:
    """The figures of one stream."""
    folder.mkdir(parents=True)
    with serving(folder, whole=whole, ION_SMTP_MAX_MESSAGE_BYTES=str(MESSAGE_BYTES)) as server:
        held = _memory(server.pid, "VmRSS")
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # proc(5): the peak begins anew
        server.until = time.monotonic() + seconds
        connections = server.run(name, door)
        grown = _memory(server.pid, "VmHWM") - held
    return {
        "stream": name,
        "door": door,
        "connections": connections,
        "held_megabytes": round(held / MEGABYTE, 1),
        "growth_megabytes": round(grown / MEGABYTE, 1),
        "too_much": int(grown > MOST_GROWTH_BYTES),
    }


def peak(folder: Path, connections: int, seconds: float) -> dict[str, Any]:
    """The figures of connections of all kinds at once, from several addresses; and whether mail is taken after them."""
    kinds = [(name, door) for name in STREAMS for door in DOORS] + [(name, "smtps") for name in TLS_STREAMS]
    # Most of them fill a message, which takes most.
    kinds = [kind for kind in kinds for _ in range(2 if "data" in kind[0] else 1)]
    folder.mkdir(parents=True)
    with serving(folder) as server:
        server.until = time.monotonic() + seconds
        senders = [
            threading.Thread(target=server.run, args=(*kinds[at % len(kinds)], f"127.0.0.{2 + at % 8}"))
            for at in range(connections)
        ]
        for sender in senders:
            sender.start()
        most = 0
        while not server.over():
            most = max(most, _connections(server))
            time.sleep(0.2)
        highest = _memory(server.pid, "VmHWM")
        for sender in senders:
            sender.join()
        with _welcomed(server.ports["smtp"]) as again:
            refused = again.sendmail("a@b.example", [server.recipient], b"Subject: after\r\n\r\n")
    return {
        "connections": connections,
        "kinds": len(kinds),
        "most_at_one_time": most,
        "peak_megabytes": round(highest / MEGABYTE, 1),
        "too_much": int(highest > MOST_PEAK_BYTES or bool(refused)),
    }


def _welcomed(port: int) -> smtplib.SMTP:
    """A client that comes again, as a mail server does, while it is told that there are too many connections: those
    which their clients have ended are not all ended by the server yet."""
    until = time.monotonic() + 60
    while True:
        try:
            return smtplib.SMTP("127.0.0.1", port, "x.example", timeout=60)
        except smtplib.SMTPConnectError as told:
            if told.smtp_code != 421 or time.monotonic() > until:
                raise
            time.sleep(0.2)


def all_growths(
    folder: Path, names: Sequence[str], doors: Sequence[str], seconds: float, at_once: int, *, whole: bool = False
) -> Iterator[dict[str, Any]]:
    """Streams with processes of their own, `at_once` of them side by side."""
    wanted = [(name, door) for name in names for door in (("smtps",) if name in TLS_STREAMS else doors)]
    with ThreadPoolExecutor(at_once) as threads:
        running = [
            threads.submit(growth, folder / str(number), name, door, seconds, whole=whole)
            for number, (name, door) in enumerate(wanted)
        ]
        for one in running:
            yield one.result()


def _memory(pid: int, what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _connections(server: Server) -> int:
    """How many clients are connected now."""
    ports = {f"{port:04X}" for port in server.ports.values()}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1].rpartition(":")[2] in ports and line[3] == "01" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="memory under hostile connections")
    parser.add_argument("streams", nargs="*", default=[*STREAMS, *TLS_STREAMS])
    parser.add_argument("--doors", default=",".join(DOORS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--whole", action="store_true", help="the growth of all of `ion serve`")
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="ion-memory-") as folder:
        doors = given.doors.split(",")
        for figures in all_growths(Path(folder), given.streams, doors, given.seconds, given.at_once, whole=given.whole):
            print(json.dumps(figures), flush=True)
            bad += figures["too_much"]
        if given.connections:
            figures = peak(Path(folder) / "peak", given.connections, given.seconds)
            print(json.dumps(figures), flush=True)
            bad += figures["too_much"]
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
