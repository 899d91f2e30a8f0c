"""Two programs on one database: whether one message is read into two orders, or by both.

Both serve, each on its own port; a client process sends to each. What a program has read stands in its log, message by
message, so what both have read shows there even where the store took it once.

    python -m tests.faults.workers --seconds 60 [--database-url URL]
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.load import MUST_BE_ZERO, Load
from tests.faults.serving import Installation, Serving

MOST_SECONDS = 120.0  # in which each program must have read a message


def share_and_count(folder: Path, *, seconds: float, database_url: str | None = None, seed: int = 1) -> dict[str, Any]:
    """Two programs, two clients, for `seconds` and until each program has read something: which of them is quicker to
    claim what came is chance. The figures of each client's balance are about the one store."""
    first = Installation(folder / "data", database_url)
    # The same data folder, a port and a log of its own.
    second = Installation(folder / "data", database_url)
    second.log = folder / "second.log"
    address = first.address()
    programs = [first.serve().wait_until_serving(), second.serve().wait_until_serving()]
    try:
        (folder / "second").mkdir()
        with (
            Load(folder, first, clients=1, seed=seed) as load,
            Load(folder / "second", second, clients=1, seed=seed + 1) as other,
        ):
            began = time.monotonic()
            time.sleep(seconds)
            while not all(_read_by(program) for program in programs) and time.monotonic() < began + MOST_SECONDS:
                time.sleep(0.2)
            load.finish()
            other.finish()
        first.wait_until_read(60)
        for program in programs:
            program.stop()
    finally:
        for program in programs:
            program.kill(whole_group=True)
    assert address == first.address()
    read = Counter(message for program in programs for message in _read_by(program))
    return {
        "read_by_each": [len(set(_read_by(program))) for program in programs],
        "read_twice": sum(number - 1 for number in read.values()),
    } | load.joint_balance(other)


def _read_by(program: Serving) -> list[int]:
    """The ids of the messages that a program has read."""
    found = []
    for line in program.log().rpartition(b"\n")[0].splitlines():  # its last line may be half written
        if line.startswith(b"{") and (event := json.loads(line))["event"] == "message read":
            found.append(event["message"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="two programs on one database")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database-url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-workers-") as folder:
        figures = share_and_count(Path(folder), seconds=given.seconds, database_url=given.database_url)
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in (*MUST_BE_ZERO, "read_twice")))


if __name__ == "__main__":
    main()
