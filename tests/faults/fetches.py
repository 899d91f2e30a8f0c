"""kill -9 of `ion fetch` in the middle of a conversation with a real IMAP server, and what was lost or doubled by it.

Mails are delivered to a mailbox of Dovecot, some of them twice, and `ion fetch` is killed with its children: behind a
line that it said, or at a random time. At the end it fetches once more undisturbed. Every mail then has to be in the
store exactly once and read, every order once, and on the server everything has to be flagged or moved as wished.

    python -m tests.faults.fetches --kills 50 --seed 7 [--after flag|leave|move] [--database-url URL]
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.faults.kills import end_leases_of_the_dead
from tests.faults.mails import OrderMails
from tests.faults.serving import Installation, messages, order_numbers
from tests.imap_proxy import Proxy
from tests.imap_servers import HOST, PASSWORD, Server, running_dovecot

MUST_BE_ZERO = ("missed", "doubled", "never_delivered", "unread", "orders_missed", "orders_doubled", "left_undone")
MAILS_AT_ONCE = 3
TWICE_SHARE = 0.2
# A fetch of so few mails says some twenty lines and takes a second or two, most of it before the first line.
MOST_LINES = 24
LONGEST_LIFE_SECONDS = 2.5
FETCH_SECONDS = 120.0
_SETTINGS = """
[[imap]]
name = "shop"
host = "{host}"
port = {port}
security = "none"
user = "{user}"
password = "{password}"
after = "{after}"
window = 2
"""


def kill_and_count(
    folder: Path, server: Server, *, kills: int, seed: int, after: str = "flag", database_url: str | None = None
) -> dict[str, Any]:
    """Deliver and kill until that has been done `kills` times; the figures. `after`: as in the settings, but `move`."""
    chance, user = random.Random(seed), uuid.uuid4().hex
    server.create(user, "done")
    delivered: list[bytes] = []
    orders: set[str] = set()
    done: Counter[str] = Counter()
    with Proxy(server.port) as proxy:
        config = folder / "ion.toml"
        action = "move:done" if after == "move" else after
        config.write_text(
            _SETTINGS.format(host=HOST, port=proxy.port, user=user, password=PASSWORD, after=action), "utf-8"
        )
        installation = Installation(folder / "data", database_url, {"ION_CONFIG": str(config)})
        installation.open().close()
        mails = OrderMails(installation.data_dir, "F")
        while done["killed"] < kills:
            for _ in range(MAILS_AT_ONCE):
                mail = mails.new_order()
                orders.add(mail.order_number)
                copies = 2 if chance.random() < TWICE_SHARE else 1
                delivered += [mail.raw] * copies
                server.deliver(user, [mail.raw] * copies)
            proxy.set(None)
            if chance.random() < 0.7:
                was_killed = _killed(installation, proxy, lines=chance.randint(1, MOST_LINES))
            else:
                was_killed = _killed(installation, proxy, seconds=chance.random() * LONGEST_LIFE_SECONDS)
            done["killed" if was_killed else "ended before"] += 1
        end_leases_of_the_dead(installation)
        installation.ion.run("fetch")
        installation.wait_until_read(FETCH_SECONDS)
    left, moved = server.flags(user), server.flags(user, "done")
    marked = sum(r"\Seen" in flags for flags in left)
    undone = {
        "leave": marked + len(moved) + len(delivered) - len(left),
        "flag": len(delivered) - marked,
        "move": len(left) + abs(len(delivered) - len(moved)),
    }
    return dict(done) | {"left_undone": undone[after]} | _balance(installation, delivered, orders)


def _killed(
    installation: Installation, proxy: Proxy, *, lines: int | None = None, seconds: float = FETCH_SECONDS
) -> bool:
    """Fetch, and kill it behind its line number `lines`, or after `seconds`; False where it ended before that."""
    with installation.log.open("ab") as log:
        process = subprocess.Popen(
            installation.ion.command("fetch"),
            stdout=log,
            stderr=log,
            env=installation.ion.environment,
            start_new_session=True,
        )
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None and (lines is None or len(proxy.lines) < lines):
        time.sleep(0.001)
    ended = process.poll()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert ended in (None, 0), f"`ion fetch` ended with status {ended}; see {installation.log}"
    return ended is None


def _balance(installation: Installation, delivered: list[bytes], orders: set[str]) -> dict[str, Any]:
    digests = {sha256(raw).hexdigest() for raw in delivered}
    store = installation.open()
    try:
        rows, kept_orders = messages(store), order_numbers(store)
    finally:
        store.close()
    kept = Counter(digest for digest, _, _ in rows)
    return {
        "delivered": len(delivered),
        "messages": len(rows),
        "missed": len(digests - kept.keys()),
        "doubled": sum(number - 1 for number in kept.values()),
        "never_delivered": len(kept.keys() - digests),
        "unread": sum(state != "read" for _, _, state in rows),
        "orders_missed": len(orders - set(kept_orders)),
        "orders_doubled": len(kept_orders) - len(set(kept_orders)),
        "check_problems": installation.problems(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="kill -9 while mail is fetched")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--after", choices=("leave", "flag", "move"), default="flag")
    parser.add_argument("--database-url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ion-fetches-") as folder, running_dovecot() as server:
        figures = kill_and_count(
            Path(folder),
            server,
            kills=given.kills,
            seed=given.seed,
            after=given.after,
            database_url=given.database_url,
        )
    print(json.dumps(figures, indent=2))
    sys.exit(any(figures[name] for name in (*MUST_BE_ZERO, "check_problems")))


if __name__ == "__main__":
    main()
