"""kill -9 of the real program under load, at named points and at random times, and what was lost by it.

Clients in processes of their own send without pause, with ledgers of what was acknowledged. At the end every
acknowledged message has to be in the store exactly once and read, and every order once.

    python -m tests.faults.kills --seconds 600 --seed 7 [--clients 2] [--database-url URL] [--wait-for-leases]
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.clients import read_ledger
from tests.faults.launcher import POINTS
from tests.faults.serving import Installation, end_leases, messages, order_numbers, wait_until_read

LONGEST_LIFE_SECONDS = 1.5
POINT_SECONDS = 20.0
MUST_BE_ZERO = (
    "lost", "doubled_messages", "unread", "orders_lost", "orders_doubled", "orders_never_sent", "permanent_refusals",
    "points_never_reached", "check_problems",
)  # fmt: skip


def kill_and_count(
    folder: Path,
    *,
    seconds: float,
    seed: int,
    clients: int = 2,
    database_url: str | None = None,
    points: tuple[str, ...] = POINTS,
    wait_for_leases: bool = False,
) -> dict[str, Any]:
    """Kill at each of `points` once, then at random until `seconds` have gone; the figures.

    `wait_for_leases`: claims of the dead end by the clock, as they do for users; else they are ended at once.
    """
    chance = random.Random(seed)
    installation = Installation(folder / "data", database_url)
    address = installation.address()
    stop_file = folder / "stop"
    ledgers = [folder / f"ledger-{number}.jsonl" for number in range(clients)]
    senders = [_client(installation, address, ledger, stop_file, seed * 100 + at) for at, ledger in enumerate(ledgers)]
    kills: Counter[str] = Counter()
    missed = []
    until = time.monotonic() + seconds
    serving = None
    try:
        for point in points:
            launcher = ("-m", "tests.faults.launcher", point, str(chance.randint(1, 4)))
            serving = installation.serve(launcher=launcher)
            try:
                serving.process.wait(POINT_SECONDS)
                kills[point] += 1
            except subprocess.TimeoutExpired:
                missed.append(point)
            assert serving.process.poll() in (-9, None), serving.log()[-2000:].decode()
            serving.kill(whole_group=True)
            end_leases_of_the_dead(installation)
        while time.monotonic() < until:
            serving = installation.serve()
            if chance.random() < 0.9:
                serving.wait_until_serving()
                time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
            else:  # also before it serves
                time.sleep(chance.random())
            serving.kill(whole_group=chance.random() < 0.5)
            kills["random"] += 1
        serving = installation.serve().wait_until_serving()
        stop_file.touch()
        for sender in senders:
            assert sender.wait(60) == 0, "a client failed"
        store = installation.open()
        try:
            held = 0 if wait_for_leases else end_leases(store)
            caught_up = wait_until_read(store, 600)
        finally:
            store.close()
        stopped = serving.stop()
    finally:
        stop_file.touch()
        for sender in senders:
            sender.kill()
            sender.wait()
        if serving is not None:
            serving.kill(whole_group=True)
    return {
        "kills": dict(kills),
        "leases_ended": held,
        "catching_up_seconds": round(caught_up, 1),
        "stopping_seconds": round(stopped, 1),
        "points_never_reached": missed,
    } | _balance(installation, ledgers)


def end_leases_of_the_dead(installation: Installation) -> None:
    """Between two named points: else what the last one claimed would keep the next one from work."""
    store = installation.open()
    try:
        end_leases(store)
    finally:
        store.close()


def _client(
    installation: Installation, address: str, ledger: Path, stop_file: Path, seed: int
) -> subprocess.Popen[bytes]:
    named = ["--database-url", installation.database_url] if installation.database_url else []
    places = [str(installation.data_dir), str(installation.port), address, str(ledger), str(stop_file)]
    command = [sys.executable, "-m", "tests.faults.clients", *places, "--seed", str(seed), *named]
    return subprocess.Popen(command, env=installation.ion.environment)


def _balance(installation: Installation, ledgers: list[Path]) -> dict[str, Any]:
    """The ledgers beside the store. Every client went on until its last mail was acknowledged, so the orders sent are
    the orders acknowledged."""
    acknowledged = [line for ledger in ledgers for line in read_ledger(ledger)]
    promised = {(line.sha256, line.recipient) for line in acknowledged}
    sent_orders = {line.order_number for line in acknowledged}
    replies: Counter[str] = Counter()
    for ledger in ledgers:
        replies.update(json.loads(ledger.with_suffix(".replies").read_text("ascii")))
    store = installation.open()
    try:
        rows, orders = messages(store), order_numbers(store)
    finally:
        store.close()
    kept = Counter((sha256, recipient) for sha256, recipient, _ in rows)
    read = {(sha256, recipient) for sha256, recipient, state in rows if state == "read"}
    return {
        "acknowledged": len(acknowledged),
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
        "check_problems": installation.problems(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="kill -9 under load")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--database-url")
    parser.add_argument("--wait-for-leases", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-kills-") as folder:
        figures = kill_and_count(
            Path(folder),
            seconds=given.seconds,
            seed=given.seed,
            clients=given.clients,
            database_url=given.database_url,
            wait_for_leases=given.wait_for_leases,
        )
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in MUST_BE_ZERO))


if __name__ == "__main__":
    main()
