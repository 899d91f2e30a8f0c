"""The listener as a program under real clients: swaks, Postfix's smtp-source, a tracer, and hostile ones that would use
up its memory or are cut off by its end."""

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ion.inbox import Listener
from ion.store import Store, open_store
from tests.programs import Ion, program
from tests.smtp_client import kept
from tests.stores import an_address
from tests.stores import sqlite_store as store

__all__ = ["store"]

MEGABYTE = 1_048_576


@pytest.fixture
def listener(store: Store) -> Iterator[Listener]:
    listener = Listener(store, port=0, lmtp_port=0, hostname="mx.example")
    listener.start()
    yield listener
    listener.stop()


@contextmanager
def _program(tmp_path: Path, wrapped: tuple[str, ...] = (), **settings: str) -> Iterator[tuple[int, int, str]]:
    """`ion serve` on the data folder of `database`: its process, its port, an address. Ended hard in the end."""
    store = open_store(f"sqlite:///{tmp_path / 'data' / 'ion.db'}")
    address = an_address(store)
    store.close()
    ion = Ion(tmp_path / "data", ION_SMTP_PORT="0", **settings)
    process = subprocess.Popen(
        [*wrapped, *ion.command("serve")], stderr=subprocess.PIPE, env=ion.environment, start_new_session=True
    )
    assert process.stderr is not None
    try:
        port = 0
        for line in process.stderr:
            found = re.search(rb'"smtp_port": (\d+)', line)
            if found:
                port = int(found[1])
                break
        assert port, "it did not start"
        reading = threading.Thread(target=process.stderr.read, daemon=True)
        reading.start()
        yield process.pid, port, address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _memory(pid: int, what: str = "VmHWM") -> int:
    """Peak memory of a process in octets."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize("protocol", ["ESMTP", "SMTP", "LMTP"])
def test_swaks_delivers(protocol: str, listener: Listener, store: Store, database: Path) -> None:
    port = listener.lmtp_port if protocol == "LMTP" else listener.port
    options = f"--server {listener.host}:{port} --protocol {protocol} --to {an_address(store)} --from a@b.example"
    done = subprocess.run(
        [program("swaks"), *options.split(), "--h-Subject", "by swaks", "--body", "Hello\n.dot\n"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()
    (raw,) = kept(database)
    assert b"Subject: by swaks\r\n" in raw
    assert b"\r\n.dot\r\n" in raw


@pytest.mark.parametrize("options", [[], ["-d"]], ids=["a connection per message", "kept connections"])
def test_smtp_source_delivers_every_message(
    options: list[str], listener: Listener, store: Store, database: Path
) -> None:
    load = f"-s 8 -m 100 -l 40000 -f a@b.example -t {an_address(store)} inet:{listener.host}:{listener.port}"
    done = subprocess.run(
        [program("smtp-source"), *options, *load.split()],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(kept(database)) == 100


@pytest.mark.long
def test_no_250_is_sent_before_its_sync(tmp_path: Path) -> None:
    """By the program's system calls: for each message a sync of the write-ahead log began after the message had been
    written to it, and ended before the 250 was sent."""
    trace = tmp_path / "trace"
    tracer = (program("strace"), "-f", "-y", "-qq", "-s", "5000", "-e", "trace=pwrite64,fdatasync,fsync,sendto")
    answers: list[tuple[str, str]] = []
    with _program(tmp_path, (*tracer, "-o", str(trace))) as (_, port, address):
        senders = [threading.Thread(target=_send_marked, args=(port, address, sender, answers)) for sender in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    assert len(answers) == 40
    calls = list(_calls(trace.read_text()))
    syncs = [
        (begun, ended) for begun, ended, call in calls if call.startswith(("fdatasync(", "fsync(")) and "-wal>" in call
    ]
    for marker, reply in answers:
        written = min(
            ended for _, ended, call in calls if call.startswith("pwrite64(") and "-wal>" in call and marker in call
        )
        told = min(begun for begun, _, call in calls if call.startswith("sendto(") and f"{reply}\\r\\n" in call)
        assert any(written < begun and ended < told for begun, ended in syncs), marker


def _send_marked(port: int, address: str, sender: int, answers: list[tuple[str, str]]) -> None:
    """Ten mails, each with a mark that fits with it into one page of the database, and what was said to each."""
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as client:
        client.ehlo()
        for at in range(10):
            client.mail("a@b.example")
            client.rcpt(address)
            marker = f"marker-{sender}-{at}-"
            code, text = client.data(f"Subject: {marker}\r\n\r\n{'x' * 2000}\r\n")
            answers.append((marker, f"{code} {text.decode()}"))


def _calls(trace: str) -> Iterator[tuple[int, int, str]]:
    """Each system call with the lines of the trace at which it began and had ended."""
    unfinished: dict[str, tuple[int, str]] = {}
    for at, line in enumerate(trace.splitlines()):
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            unfinished[thread] = at, call
        elif call.startswith("<... "):
            begun, call = unfinished.pop(thread, (at, call))
            yield begun, at, call
        else:
            yield at, at, call


@pytest.mark.long
def test_a_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path, database: Path) -> None:
    acknowledged: list[bytes] = []
    with _program(tmp_path) as (pid, port, address):
        senders = [
            threading.Thread(target=_send_until_it_ends, args=(port, address, sender, acknowledged))
            for sender in range(6)
        ]
        for sender in senders:
            sender.start()
        until = time.monotonic() + 60
        while len(acknowledged) < 60 and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(pid, signal.SIGTERM)
        began = time.monotonic()
        while _is_running(pid):
            assert time.monotonic() < began + 10
            time.sleep(0.02)
        for sender in senders:
            sender.join()
    assert len(acknowledged) >= 60
    assert set(acknowledged) <= set(kept(database))


def _is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _send_until_it_ends(port: int, address: str, sender: int, acknowledged: list[bytes]) -> None:
    try:
        with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60) as client:
            for at in range(100_000):
                raw = f"Subject: {sender} {at}\r\n\r\n{'x' * 3000}\r\n".encode()
                client.sendmail("a@b.example", [address], raw)
                acknowledged.append(raw)
    except (smtplib.SMTPException, OSError):
        return  # the program has ended


# Memory

_STREAMS = {
    "no end": (True, b"x" * 65_536),
    "empty lines": (True, b"\r\n" * 32_768),
    "stuffed dots": (True, b"..\r\n" * 16_384),
    "almost an end": (True, b"\r\n.\r" * 16_384),
    "bare LF": (True, b"\n" * 65_536),
    "no command": (False, b"x" * 65_536),
    "many commands": (False, b"NOOP\r\n" * 10_000),
    "many messages": (False, None),
}


@pytest.mark.long
@pytest.mark.parametrize("stream", _STREAMS)
def test_one_connection_takes_at_most_forty_megabytes(stream: str, tmp_path: Path) -> None:
    """With a limit of 10 MB a message, whatever is sent for as long as it is taken; `TEST_SECONDS` sets how long.
    The listener alone: the worker, which reads what was kept, takes memory of its own."""
    seconds = float(os.environ.get("TEST_SECONDS", "5"))
    with _listener_alone(tmp_path) as (pid, port, address):
        _send_marked(port, address, 0, [])
        before = _memory(pid)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _flood(port, address, stream, until)
        growth = _memory(pid) - before
    print(f"{stream}: {growth / MEGABYTE:.1f} MB")
    assert growth <= 40 * MEGABYTE


LISTENER = """
import sys, time
from ion.inbox import Listener
from ion.inbox.limits import Limits
from ion.store import open_store
listener = Listener(open_store(sys.argv[1]), port=0, limits=Limits(max_message_bytes=10_485_760))
listener.start()
print(listener.port, flush=True)
time.sleep(600)
"""


@contextmanager
def _listener_alone(tmp_path: Path) -> Iterator[tuple[int, int, str]]:
    url = f"sqlite:///{tmp_path / 'data' / 'ion.db'}"
    store = open_store(url)
    address = an_address(store)
    store.close()
    process = subprocess.Popen([sys.executable, "-c", LISTENER, url], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline()), address
    finally:
        process.kill()
        process.communicate()


def _flood(port: int, address: str, stream: str, until: float) -> None:
    in_data, block = _STREAMS[stream]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        try:
            _begin(client, address, in_data=in_data)
            number = 0
            while time.monotonic() < until:
                if block is None:
                    number += 1
                    commands = f"MAIL FROM:<a@b.example>\r\nRCPT TO:<{address}>\r\nDATA\r\n".encode()
                    body = b"%d %d\r\n" % (number, time.time_ns()) + b"x" * (10 * MEGABYTE - 100) + b"\r\n.\r\n"
                    client.sendall(commands + body)
                    while b"kept" not in (answer := client.recv(65_536)) and answer:
                        pass
                    if number == 3:  # each costs ten megabytes of disk
                        return
                else:
                    client.sendall(block)
        except OSError:
            return  # it was cut off


def _begin(client: socket.socket, address: str, *, in_data: bool) -> None:
    client.recv(1000)
    client.sendall(b"EHLO x\r\n")
    client.recv(1000)
    if in_data:
        for line in (b"MAIL FROM:<a@b.example>", f"RCPT TO:<{address}>".encode(), b"DATA"):
            client.sendall(line + b"\r\n")
            client.recv(1000)


@pytest.mark.long
def test_two_hundred_hostile_connections_take_at_most_three_hundred_megabytes(tmp_path: Path) -> None:
    """Each fills a message to just below the default limit and holds it; then all go on."""
    with _program(tmp_path) as (pid, port, address):
        clients = []
        for number in range(200):
            source = (f"127.0.0.{2 + number % 8}", 0)
            client = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=source)
            _begin(client, address, in_data=True)
            clients.append(client)
        until = time.monotonic() + 20
        block = b"x" * 65_536
        for client in clients:
            client.settimeout(0.05)
        while clients and time.monotonic() < until:
            for client in list(clients):
                try:
                    client.sendall(block)
                except TimeoutError:
                    continue
                except OSError:
                    clients.remove(client)
                    client.close()
        peak = _memory(pid)
        for client in clients:
            client.close()
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as again:
            again.sendmail("a@b.example", [address], b"raw\r\n")
    print(f"peak: {peak / MEGABYTE:.0f} MB")
    assert peak <= 300 * MEGABYTE
