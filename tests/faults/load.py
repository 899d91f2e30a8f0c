"""Clients in processes of their own, and the balance of their ledgers and the store."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.clients import read_ledger
from tests.faults.serving import Installation, messages, order_numbers

MUST_BE_ZERO = (
    "lost", "doubled_messages", "unread", "orders_lost", "orders_doubled", "orders_never_sent", "permanent_refusals",
    "check_problems",
)  # fmt: skip


class Load:
    """`clients` processes that send to `installation` from the start of the block to `finish`."""

    def __init__(
        self,
        folder: Path,
        installation: Installation,
        *,
        clients: int = 2,
        seed: int = 1,
        per_second: float = 20.0,
        imap_port: int | None = None,
    ) -> None:
        self._installation = installation
        self._stop_file = folder / "stop"
        self._ledgers = [folder / f"ledger-{number}.jsonl" for number in range(clients)]
        self._seed = seed
        self._per_second = per_second
        self._imap_port = imap_port
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        address = self._installation.address()
        url = self._installation.database_url
        for number, ledger in enumerate(self._ledgers):
            places = [self._installation.data_dir, self._installation.port, address, ledger, self._stop_file]
            command = [sys.executable, "-m", "tests.faults.clients", *map(str, places)]
            command += ["--seed", str(self._seed * 100 + number), "--per-second", str(self._per_second)]
            command += ["--database-url", url] if url else []
            command += ["--imap-port", str(self._imap_port)] if self._imap_port else []
            self._processes.append(subprocess.Popen(command, env=self._installation.ion.environment))
        return self

    def finish(self, seconds: float = 60.0) -> None:
        """Let each client have its last mail acknowledged, and end. The program has to be serving."""
        self._stop_file.touch()
        for process in self._processes:
            assert process.wait(seconds) == 0, "a client failed"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def wait_until_kept(self, seconds: float) -> None:
        """Until what lies in the mailbox has been fetched, or `seconds` are over: what is lost is a figure."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.promised() - self._kept().keys():
            time.sleep(0.2)

    def promised(self) -> set[tuple[str, str]]:
        """(sha256, recipient) of each mail that was acknowledged by now."""
        return {(line.sha256, line.recipient) for ledger in self._ledgers for line in read_ledger(ledger)}

    def _kept(self) -> Counter[tuple[str, str]]:
        store = self._installation.open()
        try:
            return Counter((sha256, recipient) for sha256, recipient, _ in messages(store))
        finally:
            store.close()

    def acknowledged(self) -> int:
        """How many acknowledgements there are by now."""
        return sum(len(read_ledger(ledger)) for ledger in self._ledgers)

    def joint_balance(self, other: "Load") -> dict[str, Any]:
        """The balance of two loads on one store."""
        self._ledgers += other._ledgers
        return self.balance()

    def balance(self) -> dict[str, Any]:
        """The ledgers beside the store, once everything has been read. Every client went on until its last mail was
        acknowledged, so the orders sent are the orders acknowledged."""
        acknowledged = [line for ledger in self._ledgers for line in read_ledger(ledger)]
        promised = self.promised()
        doors: dict[str, set[str]] = {}
        for line in acknowledged:
            doors.setdefault(line.order_number, set()).add(line.door)
        sent_orders = {line.order_number for line in acknowledged}
        replies: Counter[str] = Counter()
        for ledger in self._ledgers:
            replies.update(json.loads(ledger.with_suffix(".replies").read_text("ascii")))
        store = self._installation.open()
        try:
            rows, orders = messages(store), order_numbers(store)
        finally:
            store.close()
        kept = Counter((sha256, recipient) for sha256, recipient, _ in rows)
        read = {(sha256, recipient) for sha256, recipient, state in rows if state == "read"}
        return {
            "acknowledged": len(acknowledged),
            "acknowledged_by": dict(Counter(line.door for line in acknowledged)),
            "orders_by_two_doors": sum(len(by) > 1 for by in doors.values()),
            "resends": len(acknowledged) - len(promised),
            "messages": len(rows),
            "orders": len(orders),
            "replies": dict(replies),
            "lost": len(promised - kept.keys()),
            "doubled_messages": sum(number - 1 for number in kept.values()),
            "unread": len(promised - read),
            "orders_lost": len(sent_orders - set(orders)),
            "orders_doubled": len(orders) - len(set(orders)),
            "orders_never_sent": len(set(orders) - sent_orders),
            "permanent_refusals": sum(number for code, number in replies.items() if code.startswith("5")),
            "check_problems": self._installation.problems(),
        }
