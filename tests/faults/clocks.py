"""The clock put forwards and backwards while the real program runs, by libfaketime: nothing may get stuck.

The clock is the program's own: libfaketime reads its offset from a file again for every look at the time, and only
the wall clock is moved, as an administrator or NTP would.

    python -m tests.faults.clocks --rounds 3
"""

import argparse
import json
import signal
import smtplib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.mails import OrderMails
from tests.faults.serving import Installation, order_numbers, wait_until_read
from tests.programs import missing

HOUR, DAY = 3600, 86_400
JUMPS = (0, -HOUR, HOUR, -30 * DAY, 400 * DAY, -DAY, 0)  # seconds, each from the true time
MOST_SECONDS = 10.0
PLACES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
)


def library() -> str:
    """libfaketime; without it the test is skipped with the reason, and fails where `CI=true`."""
    return next((place for place in PLACES if Path(place).exists()), None) or missing("libfaketime")


def _under_faketime(folder: Path) -> tuple[Installation, Path]:
    """An installation whose programs run `offset` seconds (a file's content) from the true time."""
    installation = Installation(folder / "data")
    offset = folder / "offset"
    offset.write_text("+0\n", "ascii")
    installation.ion.environment |= {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    return installation, offset


def die_ahead_and_count(folder: Path) -> dict[str, Any]:
    """A program whose clock is 400 days ahead dies with a message claimed; the clock is mended and it starts again."""
    installation, offset = _under_faketime(folder)
    address = installation.address()
    offset.write_text(f"{400 * DAY:+d}\n", "ascii")
    point = "after the commit of claim"
    serving = installation.serve(launcher=("-m", "tests.faults.deaths", point, "1")).wait_until_serving()
    mail = OrderMails(installation.data_dir, "A").new_order()
    try:
        _send(installation.port, address, mail.raw)
        assert serving.process.wait(60) == -signal.SIGKILL, serving.log()[-2000:].decode()
    finally:
        serving.kill(whole_group=True)
    offset.write_text("+0\n", "ascii")
    serving = installation.serve().wait_until_serving()
    try:
        took = installation.wait_until_read(MOST_SECONDS)
    finally:
        serving.kill(whole_group=True)
    return {"read_after_mending_seconds": round(took, 2)}


def jump_and_count(folder: Path, *, jumps: Sequence[int] = JUMPS) -> dict[str, Any]:
    """A mail before and after each jump, and how long it takes from its 250 to its order; the figures."""
    installation, offset = _under_faketime(folder)
    address = installation.address()
    mails = OrderMails(installation.data_dir, "T")
    serving = installation.serve().wait_until_serving()
    store = installation.open()
    sent, slowest = [], 0.0
    try:
        for seconds in jumps:
            before = mails.new_order()
            _send(installation.port, address, before.raw)  # perhaps still being read when the clock jumps
            offset.write_text(f"{seconds:+d}\n", "ascii")
            after = mails.new_order()
            _send(installation.port, address, after.raw)
            sent += [before.order_number, after.order_number]
            try:
                slowest = max(slowest, wait_until_read(store, MOST_SECONDS * 3))
            except AssertionError:
                break
        numbers = order_numbers(store)
        with store.reading() as connection:
            seen = {str(row[0])[:7] for row in connection.exec_driver_sql("SELECT received_at FROM message")}
    finally:
        store.close()
        installation.ion.environment.pop("LD_PRELOAD")
        stopped = _stopped(serving)
    return {
        "jumps": len(jumps),
        "months_seen": len(seen),
        "slowest_seconds": round(slowest, 2),
        "stuck": len(set(sent) - set(numbers)) + int(slowest > MOST_SECONDS),
        "orders_doubled": len(numbers) - len(set(numbers)),
        "stopping_seconds": round(stopped, 2),
        "check_problems": installation.problems(),
    }


def _stopped(serving: Any) -> float:
    try:
        return float(serving.stop())
    finally:
        serving.kill(whole_group=True)


def _send(port: int, address: str, raw: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.sendmail("a@b.example", [address], raw)


def main() -> None:
    parser = argparse.ArgumentParser(description="the clock put forwards and backwards")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-clocks-") as folder:
        began = time.monotonic()
        figures = jump_and_count(Path(folder), jumps=JUMPS * given.rounds)
    with tempfile.TemporaryDirectory(prefix="ion-clocks-") as folder:
        figures |= die_ahead_and_count(Path(folder))
    print(json.dumps(figures | {"seconds": round(time.monotonic() - began, 1)}, indent=2))
    sys.exit(any(figures[name] for name in ("stuck", "orders_doubled", "check_problems")))


if __name__ == "__main__":
    main()
