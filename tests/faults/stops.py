"""SIGTERM under load: how long the program takes to end, and whether a message it acknowledged is lost by that.

python -m tests.faults.stops --times 10 --clients 3
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.faults.load import MUST_BE_ZERO, Load
from tests.faults.serving import Installation

MOST_SECONDS = 10.0


def stop_and_count(folder: Path, *, times: int, clients: int = 2, seed: int = 1) -> dict[str, Any]:
    """Start, load, stop: `times` over; the figures. No lease is ended by the harness: a program that is asked to end
    gives back what it has claimed."""
    chance = random.Random(seed)
    installation = Installation(folder / "data")
    took = []
    with Load(folder, installation, clients=clients, seed=seed, per_second=100.0) as load:
        for _ in range(times):
            serving = installation.serve().wait_until_serving()
            try:
                known = load.acknowledged()
                until = time.monotonic() + 60
                while load.acknowledged() < known + 5 and time.monotonic() < until:
                    time.sleep(0.02)
                time.sleep(chance.random() * 0.5)
                took.append(serving.stop())
            finally:
                serving.kill(whole_group=True)
        serving = installation.serve().wait_until_serving()
        try:
            load.finish()
            caught_up = installation.wait_until_read(60)
            took.append(serving.stop())
        finally:
            serving.kill(whole_group=True)
    return {
        "stops": len(took),
        "longest_seconds": round(max(took), 2),
        "late": sum(seconds > MOST_SECONDS for seconds in took),
        "catching_up_seconds": round(caught_up, 1),
    } | load.balance()


def main() -> None:
    parser = argparse.ArgumentParser(description="SIGTERM under load")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-stops-") as folder:
        figures = stop_and_count(Path(folder), times=given.times, clients=given.clients, seed=given.seed)
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in (*MUST_BE_ZERO, "late")))


if __name__ == "__main__":
    main()
