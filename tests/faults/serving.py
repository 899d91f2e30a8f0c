"""`ion serve` as the real command, on a port and a data folder of its own, with its log in a file."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import col

from ion.store import Store, open_store
from ion.store.tables import Message, OrderRow
from tests.faults.prepared import ForkedProgram, Prepared
from tests.programs import Ion

START_SECONDS = 60.0
CHANCE = random.SystemRandom()  # not the one that tests seed
UNREAD = ("received", "claimed", "retry")


class NotServingError(Exception):
    """The program ended, or said nothing in time, before it took mail; the text is the end of its log."""


def free_port() -> int:
    """A port of the loopback that was free a moment ago; the same one serves after each restart. Not one of those that
    the system gives to clients: many of them come and go here."""
    while True:
        port = CHANCE.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class Installation:
    """A data folder, a port, and the database: SQLite in the folder, or the one at `database_url`."""

    data_dir: Path
    database_url: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        named = {"ION_DATABASE_URL": self.database_url} if self.database_url else {}
        self.ion = Ion(self.data_dir, ION_SMTP_PORT=str(self.port), **named, **self.settings)
        self.log = self.data_dir.parent / f"{self.data_dir.name}.log"

    def open(self) -> Store:
        return open_store(self.database_url or f"sqlite:///{self.data_dir / 'ion.db'}")

    def address(self) -> str:
        """The secret address of the merchant `default`."""
        store = self.open()
        try:
            return store.merchant("default").addresses[0]
        finally:
            store.close()

    def serve(self, *, before: Sequence[str] = (), launcher: Sequence[str] = ("-m", "ion")) -> "Serving":
        """Start `ion serve`. `before`: a program that starts it, with its arguments (strace); `launcher`: what Python
        runs. The process leads a group of its own."""
        log = self.log.open("ab")
        with log:
            began_at = log.tell()
            process = subprocess.Popen(
                [*before, sys.executable, *launcher, "serve"],
                stdout=log,
                stderr=log,
                env=self.ion.environment,
                start_new_session=True,
            )
        return Serving(process, self, began_at)

    def serve_prepared(self, prepared: Prepared, death: tuple[str, int] | None = None) -> "Serving":
        """Start `ion serve` where everything has been imported. `death`: see `Prepared.start`."""
        self.log.touch()
        began_at = self.log.stat().st_size
        return Serving(prepared.start(["serve"], self.ion.environment, self.log, death), self, began_at)

    def wait_until_read(self, seconds: float) -> float:
        """See `wait_until_read`."""
        store = self.open()
        try:
            return wait_until_read(store, seconds)
        finally:
            store.close()

    def problems(self) -> list[str]:
        """What `ion check` finds wrong."""
        store = self.open()
        try:
            found: list[str] = store.check()["problems"]
            return found
        finally:
            store.close()


@dataclass
class Serving:
    """A started program. Leave it with `stop` or `kill`."""

    process: subprocess.Popen[bytes] | ForkedProgram
    of: Installation
    log_from: int

    def wait_until_serving(self) -> "Serving":
        """Until clients can connect. Raises NotServingError where the program ends instead."""
        until = time.monotonic() + START_SECONDS
        while b'"event": "serving"' not in self.log():
            if self.process.poll() is not None or time.monotonic() > until:
                raise NotServingError(self.log()[-2000:].decode(errors="replace"))
            time.sleep(0.02)
        return self

    def log(self) -> bytes:
        with self.of.log.open("rb") as log:
            log.seek(self.log_from)
            return log.read()

    def kill(self, *, whole_group: bool = False) -> None:
        """kill -9 of the program, or of it and its children; also where it has ended already."""
        with suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> float:
        """SIGTERM; how long the program took to end with status 0. Raises AssertionError for any other end."""
        began = time.monotonic()
        self.process.terminate()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(whole_group=True)
            raise AssertionError(f"the program did not end within {seconds} s of SIGTERM") from None
        assert status == 0, f"status {status}: {self.log()[-2000:].decode(errors='replace')}"
        return time.monotonic() - began


def unread(store: Store) -> int:
    """How many messages are neither read nor given up."""
    counts = store.counts()
    return sum(counts[state] for state in UNREAD)


def wait_until_read(store: Store, seconds: float) -> float:
    """Until nothing is unread; how long that took. Raises AssertionError after `seconds`."""
    began = time.monotonic()
    while left := unread(store):
        assert time.monotonic() - began < seconds, f"{left} messages still unread after {seconds} s: {store.counts()}"
        time.sleep(0.05)
    return time.monotonic() - began


def end_leases(store: Store) -> int:
    """Let time pass for claims whose holders are dead: their leases end now. Returns how many there were."""
    with store.writing() as connection:
        # Not those that somebody alive is moving on in this moment: two that wait for each other's rows are a deadlock.
        query = sa.select(col(Message.id)).where(col(Message.state) == "claimed").order_by(col(Message.id))
        held = connection.execute(query.with_for_update(skip_locked=True)).scalars().all()
        ended = sa.update(Message).where(col(Message.id).in_(held)).values(due_at=Message.received_at)
        connection.execute(ended)
        return len(held)


def messages(store: Store) -> list[tuple[str, str, str]]:
    """(sha256, recipient, state) of every message row."""
    with store.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(Message.sha256, Message.rcpt_to, Message.state))]  # type: ignore[call-overload]


def order_numbers(store: Store) -> list[str]:
    """The order number of every order row."""
    with store.reading() as connection:
        return [row[0] for row in connection.execute(sa.select(OrderRow.order_number))]  # type: ignore[call-overload]
