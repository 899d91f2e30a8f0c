"""How fast orders leave, beside a bare cursor, and whether a large database makes a small night long.

    python -m tests.bench.exports [million|night] [--lines N] [--orders N] [--rounds N]

`million`: all orders to CSV, beside a bare SQLite cursor over the same SELECT whose rows go to `csv.writer`. `night`:
fifty new orders published from a database of many, beside one of few. The databases are made for it, straight into
their tables, and removed afterwards.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy.dialects import sqlite

from ion.config import Settings
from ion.content import Content
from ion.export import rows_of
from ion.export.ready_rows import PROFILE
from ion.nightly import Steps, night
from ion.order import Order
from ion.schedule import Run
from ion.store import Store, open_store
from ion.store.orders import _export_query
from tests.bench.sending import five_lines
from tests.bench.tables import Out, conditions, table
from tests.orders import small_order

LINES = 1_000_000
LINES_PER_ORDER = 3
ORDERS = 1_000_000
FEW = 10_000
NEW = 50  # of a night
ROUNDS = 5
_MARK = "NUMBER-TO-REPLACE"
_AT = "2026-11-23 12:00:00.000000"


def a_store(path: Path, orders: int, order: Order, *, new: int = 0) -> None:
    """A database with so many orders like this one, each under a number of its own; all but the newest `new` are in a
    batch of each profile."""
    open_store(f"sqlite:///{path}").close()
    content = Content.of(order.model_copy(update={"order_number": _MARK}))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")

    def fill(name: str, columns: str, row: Callable[[int], Sequence[Any]], numbers: range | None = None) -> None:
        marks = ", ".join("?" * len(columns.split(",")))
        statement = f"INSERT INTO {name} ({columns}) VALUES ({marks})"  # ours
        connection.executemany(statement, map(row, numbers or range(1, orders + 1)))

    address = connection.execute("SELECT address FROM merchant_address").fetchone()[0]
    fill(
        "message",
        "id, merchant, door, sha256, size_bytes, rcpt_to, received_at, state, state_at, attempts, failures",
        lambda n: (n, "default", "smtp", f"{n:064x}", 9, address, _AT, "purged", _AT, 1, 0),
    )
    summary = content.summary._asdict() | {"order_number": None}
    columns = [name for name in summary if name != "order_number"]
    values = tuple(summary[name] for name in columns)
    fill(
        "orders",
        f"id, merchant, order_number, revision, state, content_json, content_sha256, amended, created_at, updated_at,"
        f" applied_at, {', '.join(columns)}",
        lambda n: (
            *(n, "default", f"N{n}", 1, "new", content.json.replace(_MARK, f"N{n}"), f"{n:064x}", 0, _AT, _AT, _AT),
            *values,
        ),
    )
    fill(
        "notification",
        "id, message_id, position, merchant, grade, state, problems_json, order_id, judged_at, issued_at, revision",
        lambda n: (n, n, 0, "default", "sealed", "applied", "[]", n, _AT, _AT, 1),
    )
    fill(
        "order_revision",
        "order_id, revision, content_json, content_sha256, notification_id, applied_at",
        lambda n: (n, 1, content.json.replace(_MARK, f"N{n}"), f"{n:064x}", n, _AT),
    )
    rows = rows_of(content.order)
    assert rows is not None
    fill(
        "order_rows",
        "order_id, profile, text, count",
        lambda n: (n, str(PROFILE), rows.text.replace(_MARK, f"N{n}"), rows.count),
    )
    for at, line in enumerate(content.lines, start=1):
        fill(
            "order_line",
            f"order_id, position, {', '.join(line._fields)}",
            lambda n, at=at, line=line: (n, at, *line),  # type: ignore[misc]
        )
    if new:
        for profile in (1, 2):
            connection.execute(
                "INSERT INTO batch (id, merchant, profile_id, number, profile, business_date, file_name, sha256,"
                " size_bytes, order_count, row_count, summary_json, published_at)"
                " VALUES (?, 'default', ?, 1, 'p@1', '2026-11-23', 'f', '', 0, ?, 0, '{}', ?)",
                (profile, profile, orders - new, _AT),
            )
            connection.execute("INSERT INTO batch_raw (batch_id, raw) VALUES (?, x'')", (profile,))
            fill(
                "batch_order",
                "profile_id, order_id, revision, batch_id",
                lambda n, profile=profile: (profile, n, 1, profile),  # type: ignore[misc]
                range(1, orders - new + 1),
            )
            fill(
                "export_due",
                "profile_id, order_id, since",
                lambda n, profile=profile: (profile, n, _AT),  # type: ignore[misc]
                range(orders - new + 1, orders + 1),
            )
    connection.execute("COMMIT")
    connection.close()


def million(out: Out, rounds: int, lines: int) -> None:
    """All orders to CSV, beside the least that Python can do with the same rows."""
    out("## Order lines to CSV, beside a bare cursor\n")
    order = five_lines()["Global-e"]
    order = order.model_copy(update={"lines": order.lines[:LINES_PER_ORDER]})
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as name:
        path = Path(name) / "ion.db"
        a_store(path, lines // LINES_PER_ORDER, order)
        found: dict[str, list[tuple[float, int]]] = {"ours": [], "bare": []}
        sizes: dict[str, int] = {}
        for _ in range(rounds):
            for who, results in found.items():
                target = Path(name) / "out.csv"
                results.append(_measured(_COMMANDS[who](path, target)))
                sizes[who] = target.stat().st_size
                target.unlink()
        conditions(
            out,
            f"{lines // LINES_PER_ORDER:,} orders of {LINES_PER_ORDER} lines in {path.stat().st_size / 1e9:.1f} GB of",
            f"SQLite, all written as {PROFILE} to a file of {sizes['ours'] / 1e9:.1f} GB, its digest taken on the way",
            "and the file brought to the disk; the rows were made when the orders came in. The bare cursor: the",
            "driver's own, over the same SELECT, its rows to `csv.writer` and so, with nothing put in, to a file of",
            f"{sizes['bare'] / 1e9:.1f} GB. Each in a process of its own, {rounds} rounds in turn; seconds of wall",
            "time; memory is the peak of the whole process.",
        )
    ratios = [ours[0] / bare[0] for ours, bare in zip(found["ours"], found["bare"], strict=True)]
    peak = max(peak for _, peak in found["ours"]) / 1024
    rows = [
        (
            f"{lines:,} lines",
            *(f"{median(seconds for seconds, _ in found[who]):.2f}" for who in found),
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            "at most 1.4",
            f"{peak:.0f} MiB",
            "100 MiB",
        )
    ]
    table(out, ("export", "ion", "cursor", "ratio", "spread", "aim", "memory", "aim"), rows)


# A process inherits the memory mark of the one that started it, which is therefore a small one.
_MEASURE = """
import os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
assert status == 0
print(time.perf_counter() - began, usage.ru_maxrss)
"""


def _measured(command: Sequence[str]) -> tuple[float, int]:
    """Wall seconds of a process, and the most memory it had, in KiB."""
    done = subprocess.run([sys.executable, "-c", _MEASURE, *command], capture_output=True, check=True, text=True)
    seconds, kibibytes = done.stdout.split()
    return float(seconds), int(kibibytes)


_COMMANDS: dict[str, Callable[[Path, Path], Sequence[str]]] = {
    "ours": lambda path, target: [
        *(sys.executable, "-m", "ion", "--data-dir", str(path.parent), "export"),
        *("--profile", "standard", "-o", str(target)),
    ],
    "bare": lambda path, target: [
        *(
            sys.executable,
            "-c",
            "import csv, sqlite3, sys\n"
            "with open(sys.argv[2], 'w', newline='', encoding='utf-8') as file:\n"
            "    csv.writer(file).writerows(sqlite3.connect(sys.argv[1]).execute(sys.argv[3]))",
        ),
        *(str(path), str(target), _select()),
    ],
}


def _select() -> str:
    """The SELECT that the export runs, its parameters in it."""
    compiled = _export_query(None, None, str(PROFILE)).compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    return str(compiled)


def nights(out: Out, rounds: int, orders: int, few: int) -> None:
    """A night of fifty orders, from many and from few."""
    out("## A night of fifty orders, from a large database and a small one\n")
    conditions(
        out,
        f"{NEW} new orders of one line, published as xlsx and standard by one night, and put back for the next round;",
        f"SQLite, synchronous=FULL; {rounds} rounds in turn, seconds of wall time.",
    )
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as name:
        stores = {}
        for number in (few, orders):
            path = Path(name) / f"{number}.db"
            a_store(path, number, small_order(), new=NEW)
            stores[number] = open_store(f"sqlite:///{path}")
        found: dict[int, list[float]] = {number: [] for number in stores}
        for _ in range(rounds + 1):  # the first warms up
            for number, store in stores.items():
                found[number].append(_night(store, number))
        for store in stores.values():
            store.close()
    small, large = (found[number][1:] for number in stores)
    ratios = [mine / other for mine, other in zip(large, small, strict=True)]
    rows = [
        (
            f"{orders:,} orders beside {few:,}",
            f"{median(large):.3f}",
            f"{median(small):.3f}",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            "at most 1.5",
        )
    ]
    table(out, ("night", "large", "small", "ratio", "spread", "aim"), rows)


def _night(store: Store, orders: int) -> float:
    run = Run("nightly", "default", datetime(2026, 11, 24).date(), datetime.now(UTC) + timedelta(1), lambda: None)
    began = time.perf_counter()
    detail = night(store, Settings(), Steps(), run)
    taken = time.perf_counter() - began
    assert [one["orders"] for one in detail["profiles"]] == [NEW, NEW]
    with store.writing() as connection:
        connection.exec_driver_sql("DELETE FROM batch_order WHERE order_id > ?", (orders - NEW,))
        connection.exec_driver_sql("DELETE FROM batch_raw WHERE batch_id > 2")
        connection.exec_driver_sql("DELETE FROM delivery")
        connection.exec_driver_sql("DELETE FROM batch WHERE id > 2")
        for profile in (1, 2):
            for order_id in range(orders - NEW + 1, orders + 1):
                connection.exec_driver_sql("INSERT INTO export_due VALUES (?, ?, ?)", (profile, order_id, _AT))
    return taken


def main(arguments: Sequence[str] | None = None, out: Out = print) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.exports", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="million or night; both without one")
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    if not given.tables or "million" in given.tables:
        million(out, given.rounds, given.lines)
    if not given.tables or "night" in given.tables:
        nights(out, given.rounds, given.orders, given.few)


if __name__ == "__main__":
    main()
