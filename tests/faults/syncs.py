"""Whether each 250 leaves after the sync of its message: the system calls of the real program, by strace.

For every message three calls are looked up in the trace: the pwrite64 that brings its marker into the write-ahead log,
an fdatasync of that log which began after it and ended well, and the send that holds its 250. The send may only begin
when the fdatasync has ended. Clients send at the same time, so that messages which share a commit are judged too.

    python -m tests.faults.syncs --mails 200 --clients 8
"""

import argparse
import json
import os
import re
import signal
import smtplib
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.serving import Installation
from tests.programs import program

CALLS = "trace=pwrite64,write,writev,fdatasync,fsync,sendto,sendmsg,recvfrom,recvmsg,read"
MARKER = re.compile(r"mark-\d{6}-mark")
# `123 fdatasync(7</x/ion.db-wal>) = 0`, or in two lines: `... <unfinished ...>` and `123 <... fdatasync resumed>) = 0`
_CALL = re.compile(r"^(\d+) +(\w+)\((\d+)<([^>]*(?:->[^>]*)?)>(.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")


@dataclass
class _Message:
    written: bool = False
    synced: bool = False


@dataclass
class Order:
    """What a trace shows. `early`: messages whose 250 began before their sync had ended."""

    answered: int = 0
    early: list[str] = field(default_factory=list)
    syncs: int = 0


def judge(trace: Iterable[str]) -> Order:
    """Go through the lines of a trace in their order."""
    found = Order()
    known: dict[str, _Message] = {}
    under_way: dict[str, str] = {}  # by socket: the marker received last
    unfinished: dict[str, tuple[str, str, str]] = {}  # by thread: call, file, and what was known when it began
    covered: dict[str, set[str]] = {}  # by thread: what an fdatasync that is running covers
    for line in trace:
        if begun := _CALL.match(line):
            thread, call, number, name, rest = begun.groups()
            if rest.endswith("<unfinished ...>"):
                unfinished[thread] = (call, f"{number} {name}", rest)
            _begin(call, name, number, rest, thread, known, under_way, covered, found)
            if not rest.endswith("<unfinished ...>"):
                _end(call, name, number, rest, thread, known, under_way, covered, found)
        elif (resumed := _RESUMED.match(line)) and resumed[1] in unfinished:
            thread, call, rest = resumed.groups()
            _, place, before = unfinished.pop(thread)
            number, _, name = place.partition(" ")
            _end(call, name, number, before + rest, thread, known, under_way, covered, found)
    return found


def _begin(
    call: str,
    name: str,
    number: str,
    rest: str,
    thread: str,
    known: dict[str, _Message],
    under_way: dict[str, str],
    covered: dict[str, set[str]],
    found: Order,
) -> None:
    if call in ("fdatasync", "fsync") and name.endswith("-wal"):
        covered[thread] = {marker for marker, message in known.items() if message.written}
    elif call in ("sendto", "sendmsg", "write", "writev") and "TCP" in name and "250 2.0.0" in rest:
        found.answered += 1
        marker = under_way.pop(number, None)
        if marker is None or not known.get(marker, _Message()).synced:
            found.early.append(marker or "a 250 without a message")


def _end(
    call: str,
    name: str,
    number: str,
    rest: str,
    thread: str,
    known: dict[str, _Message],
    under_way: dict[str, str],
    covered: dict[str, set[str]],
    found: Order,
) -> None:
    if call in ("recvfrom", "recvmsg", "read") and "TCP" in name:
        for marker in MARKER.findall(rest):
            under_way[number] = marker
    elif call == "pwrite64" and name.endswith("-wal"):
        for marker in MARKER.findall(rest):
            known.setdefault(marker, _Message()).written = True
    elif call in ("fdatasync", "fsync") and name.endswith("-wal") and rest.rstrip().endswith("= 0"):
        found.syncs += 1
        for marker in covered.pop(thread, ()):
            known[marker].synced = True


def traced(folder: Path, *, mails: int, clients: int) -> list[str]:
    """The trace of a program that takes `mails` from each of `clients` at the same time."""
    installation = Installation(folder / "data")
    address = installation.address()
    trace = folder / "trace"
    before = (program("strace"), "-f", "-yy", "-s", "70000", "-e", CALLS, "-o", str(trace))
    serving = installation.serve(before=before).wait_until_serving()
    try:
        senders = [
            threading.Thread(target=_send, args=(installation.port, address, at * mails, mails))
            for at in range(clients)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        os.killpg(serving.process.pid, signal.SIGTERM)  # strace itself does not heed it
        serving.process.wait(60)
    finally:
        serving.kill(whole_group=True)
    return trace.read_text("utf-8", "replace").splitlines()


def _send(port: int, address: str, first: int, mails: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        for number in range(first, first + mails):
            raw = f"Subject: mark-{number:06}-mark\r\n\r\nmark-{number:06}-mark\r\n".encode()
            client.sendmail("a@b.example", [address], raw)


def figures_of(trace: Iterable[str]) -> dict[str, Any]:
    found = judge(trace)
    return {"answered": found.answered, "syncs": found.syncs, "sent_before_their_sync": len(found.early)}


def main() -> None:
    parser = argparse.ArgumentParser(description="the order of fdatasync and 250")
    parser.add_argument("--mails", type=int, default=50, help="from each client")
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-syncs-") as folder:
        figures = figures_of(traced(Path(folder), mails=given.mails, clients=given.clients))
    print(json.dumps(figures, indent=2))
    sys.exit(figures["sent_before_their_sync"] > 0 or figures["answered"] != given.mails * given.clients)


if __name__ == "__main__":
    main()
