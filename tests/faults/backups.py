"""Backups of the real program under load, some of them killed: what of the acknowledged is missing from them.

Clients in processes of their own send by SMTP and by files all the while. Each backup that came to its end is restored
into a folder of its own: every mail that was acknowledged before it began has to be there, its books have to add up,
and no killed one may have left anything under its name.

    python -m tests.faults.backups --backups 20 --seed 7 [--clients 2]
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ion.backup import BackupError, verify_archive
from tests.faults.load import MUST_BE_ZERO as OF_THE_LOAD
from tests.faults.load import Load
from tests.faults.serving import Installation, messages

MUST_BE_ZERO = (*OF_THE_LOAD, "torn", "missing", "left_behind", "restored_problems", "restored_over_the_living")


def back_up_and_count(folder: Path, *, backups: int, seed: int, clients: int = 2) -> dict[str, Any]:
    """The figures, when `backups` backups came to their end; about as many are killed."""
    chance = random.Random(seed)
    installation = Installation(folder / "data")
    places = folder / "backups"
    places.mkdir()
    killed = torn = missing = restored_over = whole = 0
    problems: list[str] = []
    seconds = 1.0
    serving = installation.serve()
    try:
        serving.wait_until_serving()
        with Load(folder, installation, clients=clients, seed=seed) as load:
            while whole < backups:
                target = places / f"{whole}.tar"
                known, began = load.promised(), time.monotonic()
                process = _started(installation, "backup", target)
                if chance.random() < 0.5:
                    time.sleep(chance.uniform(0.1, 1.0) * seconds)
                    process.kill()
                if process.wait() != 0:
                    killed += 1
                    torn += target.exists() and not _is_whole(target)
                    target.unlink(missing_ok=True)
                    continue
                seconds = time.monotonic() - began
                restored = Installation(folder / "restored")
                restored.ion.run("restore", target)
                problems += restored.problems()
                store = restored.open()
                missing += len(known - {(sha256, recipient) for sha256, recipient, _ in messages(store)})
                store.close()
                shutil.rmtree(restored.data_dir)
                restored_over += _started(installation, "restore", target, "--set-aside").wait() == 0
                whole += 1
            load.finish()
        installation.wait_until_read(600)
        serving.stop()
    finally:
        serving.kill(whole_group=True)
    left_behind = [path.name for path in places.iterdir() if path.name.startswith(".")]
    return {
        "backups": whole,
        "killed": killed,
        "torn": torn,
        "missing": missing,
        "left_behind": len(left_behind),
        "restored_problems": problems,
        "restored_over_the_living": restored_over,
    } | load.balance()


def _started(installation: Installation, *arguments: str | Path) -> "subprocess.Popen[bytes]":
    command = installation.ion.command(*arguments)
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=installation.ion.environment, stdout=quiet, stderr=quiet)


def _is_whole(path: Path) -> bool:
    try:
        verify_archive(path)
    except BackupError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="backups under load, some of them killed")
    parser.add_argument("--backups", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--clients", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-backups-") as folder:
        figures = back_up_and_count(Path(folder), backups=given.backups, seed=given.seed, clients=given.clients)
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in MUST_BE_ZERO))


if __name__ == "__main__":
    main()
