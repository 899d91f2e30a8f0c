"""The store in trouble while the program runs: every refusal has to be 4xx, nothing torn, and mail taken soon after.

full        the file system, a tmpfs, holds no further octet
full-ext4   so does an ext4 in a file, with a journal of its own
filling     a tmpfs has room for some mails and none for others, another moment for another
file-size   no file may grow beyond what it is (RLIMIT_FSIZE, set from outside)
locked      another process holds the write lock
read-only   every write into a file fails with EROFS (strace)
unsynced    every fdatasync fails with EIO (strace)
corrupt     the pages of the database file are overwritten, and restored

python -m tests.faults.storage [FAULT...] --seconds 12
"""

import argparse
import hashlib
import json
import os
import random
import re
import resource
import shutil
import smtplib
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ion.config import Settings
from ion.store import Store
from ion.store.tables import Message, MessageRaw
from tests.faults.mails import OrderMail, OrderMails
from tests.faults.serving import Installation, Serving, unread, wait_until_read
from tests.programs import program

FAULTS = ("full", "full-ext4", "filling", "file-size", "locked", "read-only", "unsynced", "corrupt")
MOUNTED = ("full", "full-ext4", "filling")  # on a file system of their own, which wants the right to mount
RECOVERY_SECONDS = 5.0
DISK_MEGABYTES = 64
MOST_ROOM_BYTES = 400_000  # while it is filling: a few mails with all that SQLite writes for them
# A disk below its floor is refused before the store is asked; here the store itself shall be the one that fails.
NO_FLOOR = {f"ION_{name.upper()}": "0" for name in Settings.model_fields if name.endswith("min_free_bytes")}
MUST_BE_ZERO = ("refusals_not_4xx", "lost", "torn", "late_recovery", "left_unread", "check_problems")


def try_fault(folder: Path, fault: str, *, seconds: float) -> dict[str, Any]:
    """Serve, break the store for `seconds`, mend it; the figures."""
    with _mounted(folder / "disk", fault) if fault in MOUNTED else _folder(folder / "disk") as disk:
        installation = Installation(disk / "data", settings=NO_FLOOR)
        address = installation.address()
        mails = OrderMails(installation.data_dir, f"{fault}-")
        serving = installation.serve().wait_until_serving()
        try:
            sender = _Sender(installation.port, address)
            for _ in range(2):
                assert sender.send(mails.new_order()) == "250", sender.last
            with _opened(installation) as store:
                wait_until_read(store, 30)
            during = Counter[str]()
            # This process has the database closed now: it is about to treat its file as no user of SQLite may.
            with _begin(fault, serving):
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    during[sender.send(mails.new_order())] += 1
                    time.sleep(0.02)
            ended = time.monotonic()
            while (reply := sender.send(mails.new_order())) != "250" and time.monotonic() - ended < 60:
                time.sleep(0.05)
            recovery = time.monotonic() - ended
            assert reply == "250", f"no mail is taken a minute after the fault {fault}: {sender.last}"
            with _opened(installation) as store:
                with suppress(AssertionError):  # what is left is a figure
                    wait_until_read(store, 100)
                read_after = time.monotonic() - ended
                left, kept = unread(store), _kept(store)
            serving.stop()
        finally:
            serving.kill(whole_group=True)
        return {
            "fault": fault,
            "replies_during": dict(during),
            "accepted_during": during["250"],
            "refusals_not_4xx": sum(number for code, number in during.items() if code[0] not in "24"),
            "recovery_seconds": round(recovery, 2),
            "late_recovery": int(recovery > RECOVERY_SECONDS),
            "read_again_seconds": round(read_after, 2),
            "left_unread": left,
            "lost": len({mail.sha256 for mail in sender.acknowledged} - kept.keys()),
            "torn": sum(hashlib.sha256(raw).hexdigest() != sha256 for sha256, raw in kept.items()),
            "check_problems": installation.problems(),
        }


class _Sender:
    """Sends each mail once, on a connection of its own, and tells the code of the reply that decided."""

    def __init__(self, port: int, address: str) -> None:
        self._port = port
        self._address = address
        self.acknowledged: list[OrderMail] = []
        self.last = ""

    def send(self, mail: OrderMail) -> str:
        """`none` where the connection ended without a reply."""
        text: bytes | str
        try:
            with smtplib.SMTP("127.0.0.1", self._port, "client.example", timeout=60) as client:
                client.sendmail("a@b.example", [self._address], mail.raw)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
        except smtplib.SMTPResponseException as error:
            code, text = error.smtp_code, error.smtp_error
        except (smtplib.SMTPException, OSError) as error:
            code, text = -1, type(error).__name__
        else:
            self.acknowledged.append(mail)
            code, text = 250, ""
        self.last = f"{code} {text!r}"
        return "none" if code < 0 else str(code)


def _begin(fault: str, serving: Serving) -> AbstractContextManager[None]:
    database = serving.of.data_dir / "ion.db"
    match fault:
        case "full" | "full-ext4":
            return _full(serving.of.data_dir.parent)
        case "filling":
            return _filling(serving.of.data_dir.parent)
        case "file-size":
            return _no_growth(serving.process.pid)
        case "locked":
            return _locked(database)
        case "read-only":
            return _failing(serving, "pwrite64,ftruncate", "EROFS")
        case "unsynced":
            return _failing(serving, "fdatasync,fsync", "EIO")
        case "corrupt":
            return _corrupt(database)
    raise ValueError(f"no fault {fault!r}; there are {FAULTS}")


@contextmanager
def _opened(installation: Installation) -> Iterator[Store]:
    store = installation.open()
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    yield path


@contextmanager
def _mounted(path: Path, fault: str) -> Iterator[Path]:
    path.mkdir()
    if fault == "full-ext4":
        image = path.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(DISK_MEGABYTES * 2**20)
        # Nothing is kept back for root.
        subprocess.run([program("mkfs.ext4"), "-q", "-F", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, path], check=True)
    else:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def may_mount() -> bool:
    """Whether this process has the right to (CAP_SYS_ADMIN, capabilities(7))."""
    status = Path("/proc/self/status")
    found = re.search(r"^CapEff:\s*(\w+)", status.read_text(), re.MULTILINE) if status.exists() else None
    return found is not None and bool(int(found[1], 16) >> 21 & 1)


@contextmanager
def _full(disk: Path) -> Iterator[None]:
    """A file that takes all that is left. A checkpoint may give room back within the log: nothing is lost by that."""
    filler = disk / "filler"
    _fill(filler)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def _filling(disk: Path) -> Iterator[None]:
    """The room changes by chance, every moment."""
    filler, over, chance = disk / "filler", threading.Event(), random.Random(1)

    def fill() -> None:
        while not over.wait(0.05):
            _fill(filler)
            os.truncate(filler, max(0, filler.stat().st_size - chance.randrange(MOST_ROOM_BYTES)))

    _fill(filler)
    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield
    finally:
        over.set()
        filling.join()
        filler.unlink()


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in (2**20, 4096):
            with suppress(OSError):
                while True:
                    file.write(b"\xff" * size)


@contextmanager
def _no_growth(pid: int) -> Iterator[None]:
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    connection = sqlite3.connect(database, isolation_level=None, timeout=20)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextmanager
def _failing(serving: Serving, calls: str, error: str) -> Iterator[None]:
    """strace attaches to the program, and the calls fail for as long as it stays."""
    command = [program("strace"), "-f", "-qq", "-o", os.devnull, "-p", str(serving.process.pid)]
    tracer = subprocess.Popen([*command, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"])
    _wait_for_tracer(serving.process.pid, tracer.pid)
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def _wait_for_tracer(pid: int, tracer: int) -> None:
    """Until every thread of the program is traced."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
        if all(f"TracerPid:\t{tracer}" in status for status in threads):
            return
        time.sleep(0.02)
    raise AssertionError("strace could not attach to the program")


@contextmanager
def _corrupt(database: Path) -> Iterator[None]:
    """Every page of the file, with nothing left in the log that would stand for it."""
    connection = sqlite3.connect(database, timeout=20)
    # The program's connections let go of what they remember when somebody else has written.
    connection.execute("UPDATE merchant SET locale = locale")
    connection.commit()
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, "the log is in use"
    connection.close()
    whole = database.read_bytes()
    with database.open("r+b", buffering=0) as file:
        file.write(b"\xa5" * len(whole))
    try:
        yield
    finally:
        with database.open("r+b", buffering=0) as file:
            file.write(whole)


def _kept(store: Store) -> dict[str, bytes]:
    """The octets of every message, by the digest that was told when it was kept."""
    with store.reading() as connection:
        query: Any = sa.select(Message.sha256, MessageRaw.raw).join(MessageRaw)  # type: ignore[call-overload]
        return {row[0]: row[1] for row in connection.execute(query)}


def main() -> None:
    parser = argparse.ArgumentParser(description="the store in trouble")
    parser.add_argument("faults", nargs="*", default=FAULTS)
    parser.add_argument("--seconds", type=float, default=12)
    given = parser.parse_args()
    bad = False
    for fault in given.faults:
        folder = Path(tempfile.mkdtemp(prefix="ion-storage-"))
        try:
            figures = try_fault(folder, fault, seconds=given.seconds)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(json.dumps(figures), flush=True)
        bad |= any(figures[name] for name in MUST_BE_ZERO)
    sys.exit(bad)


if __name__ == "__main__":
    main()
