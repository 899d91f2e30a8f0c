"""kill -9 of the real program under load, at named points and at random times, and what was lost by it.

Clients in processes of their own send without pause, by SMTP, by files and into a mailbox that the program fetches,
with ledgers of what was acknowledged. At the end every acknowledged message has to be in the store exactly once and
read, and every order once.

    python -m tests.faults.kills --kills 1000 --seed 7 [--clients 2] [--database-url URL] [--wait-for-leases]
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.clients import IMAP_USER
from tests.faults.deaths import POINTS
from tests.faults.load import MUST_BE_ZERO, Load
from tests.faults.prepared import Prepared
from tests.faults.serving import Installation, Serving, end_leases
from tests.imap_servers import HOST, PASSWORD, Server, running_dovecot

LONGEST_LIFE_SECONDS = 1.5
POINT_SECONDS = 20.0


def kill_and_count(
    folder: Path,
    *,
    most: int,
    seed: int,
    clients: int = 2,
    mailbox: Server | None = None,
    database_url: str | None = None,
    points: tuple[str, ...] = POINTS,
    wait_for_leases: bool = False,
) -> dict[str, Any]:
    """Kill at each of `points` once, then at random until there were `most` kills; the figures.

    `mailbox`: the mail server with the mailbox that is fetched; `wait_for_leases`: claims of the dead end by the clock,
    as they do for users; else they are ended at once.
    """
    chance = random.Random(seed)
    installation = Installation(folder / "data", database_url, _fetching(folder, mailbox))
    kills: Counter[str] = Counter()
    missed = []
    serving: Serving | None = None
    began = time.monotonic()
    try:
        with (
            Prepared() as prepared,
            Load(folder, installation, clients=clients, seed=seed, imap_port=mailbox.port if mailbox else None) as load,
        ):
            for point in points:
                serving = installation.serve_prepared(prepared, (point, chance.randint(1, 4)))
                if died(serving):
                    kills[point] += 1
                else:
                    missed.append(point)
                serving.kill(whole_group=True)
                end_leases_of_the_dead(installation)
            while kills.total() < most:
                # Half of them where it hurts most, by its own hand, the others whenever it may be.
                point = chance.choice(points) if chance.random() < 0.5 else ""
                serving = installation.serve_prepared(prepared, (point, chance.randint(1, 3)) if point else None)
                if point:
                    kills[point] += died(serving, 2 * LONGEST_LIFE_SECONDS)
                elif chance.random() < 0.9:
                    serving.wait_until_serving()
                    time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
                else:  # also before it serves
                    time.sleep(chance.random() * 0.2)
                if serving.process.poll() is None:
                    kills["random"] += 1
                serving.kill(whole_group=chance.random() < 0.5)
            killing_seconds = time.monotonic() - began
            read_meanwhile = read_messages(installation)
            # One end that is asked for, under the same load.
            serving = installation.serve().wait_until_serving()
            known, until = load.acknowledged(), time.monotonic() + POINT_SECONDS
            while load.acknowledged() < known + 3 and time.monotonic() < until:
                time.sleep(0.02)
            stopped = serving.stop()
            serving = installation.serve().wait_until_serving()
            load.finish()
            load.wait_until_kept(120)
        held = 0 if wait_for_leases else end_leases_of_the_dead(installation)
        caught_up = installation.wait_until_read(600)
        stopped = max(stopped, serving.stop())
    finally:
        if serving is not None:
            serving.kill(whole_group=True)
    return {
        "kills": kills.total(),
        "kills_at": dict(kills),
        "kills_a_minute": round(kills.total() / killing_seconds * 60, 1),
        "read_between_kills": read_meanwhile,
        "leases_ended": held,
        "catching_up_seconds": round(caught_up, 1),
        "stopping_seconds": round(stopped, 1),
        "points_never_reached": missed,
    } | load.balance()


def died(serving: Serving, seconds: float = POINT_SECONDS) -> bool:
    """Whether the program comes to its point, and so to its end, in time."""
    try:
        assert serving.process.wait(seconds) == -signal.SIGKILL, serving.log()[-2000:].decode()
    except subprocess.TimeoutExpired:
        return False
    return True


def read_messages(installation: Installation) -> int:
    store = installation.open()
    try:
        return store.counts()["read"]
    finally:
        store.close()


def _fetching(folder: Path, mailbox: Server | None) -> dict[str, str]:
    """The settings of an installation that fetches from `mailbox`."""
    if mailbox is None:
        return {}
    account = f'''[[imap]]
name = "kills"
host = "{HOST}"
port = {mailbox.port}
security = "none"
user = "{IMAP_USER}"
password = "{PASSWORD}"
after = "flag"
round_seconds = 1
'''
    (folder / "ion.toml").write_text(account, "ascii")
    return {"ION_CONFIG": str(folder / "ion.toml")}


def end_leases_of_the_dead(installation: Installation) -> int:
    """Between two named points: else what the last one claimed would keep the next one from work."""
    store = installation.open()
    try:
        return end_leases(store)
    finally:
        store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="kill -9 under load")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--database-url")
    parser.add_argument("--wait-for-leases", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-kills-") as folder, running_dovecot() as mailbox:
        figures = kill_and_count(
            Path(folder),
            most=given.kills,
            mailbox=mailbox,
            seed=given.seed,
            clients=given.clients,
            database_url=given.database_url,
            wait_for_leases=given.wait_for_leases,
        )
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in (*MUST_BE_ZERO, "points_never_reached")))


if __name__ == "__main__":
    main()
