"""kill -9 of the real program under load, at named points and at random times, and what was lost by it.

Clients in processes of their own send without pause, with ledgers of what was acknowledged. At the end every
acknowledged message has to be in the store exactly once and read, and every order once.

    python -m tests.faults.kills --seconds 600 --seed 7 [--clients 2] [--database-url URL] [--wait-for-leases]
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

from tests.faults.launcher import POINTS
from tests.faults.load import MUST_BE_ZERO, Load
from tests.faults.serving import Installation, end_leases

LONGEST_LIFE_SECONDS = 1.5
POINT_SECONDS = 20.0


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
    """Kill at each of `points` once, then at random for `seconds`; the figures.

    `wait_for_leases`: claims of the dead end by the clock, as they do for users; else they are ended at once.
    """
    chance = random.Random(seed)
    installation = Installation(folder / "data", database_url)
    kills: Counter[str] = Counter()
    missed = []
    serving = None
    try:
        with Load(folder, installation, clients=clients, seed=seed) as load:
            for point in points:
                launcher = ("-m", "tests.faults.launcher", point, str(chance.randint(1, 4)))
                serving = installation.serve(launcher=launcher)
                try:
                    assert serving.process.wait(POINT_SECONDS) == -signal.SIGKILL, serving.log()[-2000:].decode()
                    kills[point] += 1
                except subprocess.TimeoutExpired:
                    missed.append(point)
                serving.kill(whole_group=True)
                end_leases_of_the_dead(installation)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                serving = installation.serve()
                if chance.random() < 0.9:
                    serving.wait_until_serving()
                    time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
                else:  # also before it serves
                    time.sleep(chance.random())
                serving.kill(whole_group=chance.random() < 0.5)
                kills["random"] += 1
            # One end that is asked for, under the same load.
            serving = installation.serve().wait_until_serving()
            known, until = load.acknowledged(), time.monotonic() + POINT_SECONDS
            while load.acknowledged() < known + 3 and time.monotonic() < until:
                time.sleep(0.02)
            stopped = serving.stop()
            serving = installation.serve().wait_until_serving()
            load.finish()
        held = 0 if wait_for_leases else end_leases_of_the_dead(installation)
        caught_up = installation.wait_until_read(600)
        stopped = max(stopped, serving.stop())
    finally:
        if serving is not None:
            serving.kill(whole_group=True)
    return {
        "kills": dict(kills),
        "leases_ended": held,
        "catching_up_seconds": round(caught_up, 1),
        "stopping_seconds": round(stopped, 1),
        "points_never_reached": missed,
    } | load.balance()


def end_leases_of_the_dead(installation: Installation) -> int:
    """Between two named points: else what the last one claimed would keep the next one from work."""
    store = installation.open()
    try:
        return end_leases(store)
    finally:
        store.close()


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
    sys.exit(any(figures[name] for name in (*MUST_BE_ZERO, "points_never_reached")))


if __name__ == "__main__":
    main()
