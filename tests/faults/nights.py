"""A year of nights: clocks that change, days off, two schedulers, and death at any step.

    python -m tests.faults.nights [--days 366] [--seed 1] [--zone Europe/Berlin ...]

One database on disk and a clock that is moved. Orders come, are changed, held up (a test, documents awaited) and let
go, entered and erased between the hours; two schedulers ring in turn; a tenth of the time nothing runs; and at a random
moment, before or after a transaction of the night, whoever runs it dies, as a process does: nothing more is done, its
claim stays. At the end every business date has one done run, and every revision that may go out stands in one batch.
"""

import argparse
import csv
import io
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import time_machine

from ion.config import Settings
from ion.content import Content
from ion.nightly import Steps, nightly_jobs
from ion.order import Document, Order
from ion.schedule import Schedule, due_instant
from ion.store import Store, open_store
from tests.orders import small_order
from tests.stores import claimed, judged

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
AWAITED = (Document(required=True),)
AT = time(2, 15)  # in the gap and in the repeated hour of each of them
# Where a night may die: between any two of its transactions.
STEPS = ("claim_job_run", "renew_job_run", "due_orders", "publish", "batches", "finish_job_run", "left_out")


class Died(BaseException):
    """The process is gone."""


@dataclass
class Deaths:
    """Kills whoever runs a night, once in so many steps, before or after the step is done."""

    rng: random.Random
    once_in: int
    killed: int = 0

    def around(self, name: str) -> Callable[..., Any]:
        real = getattr(Store, name)

        def step(store: Store, *args: Any, **kwargs: Any) -> Any:
            fate = self.rng.randrange(2 * self.once_in)
            if fate == 0:
                self._die()
            result = real(store, *args, **kwargs)
            if fate == 1:
                self._die()
            return result

        return step

    def _die(self) -> None:
        self.killed += 1
        raise Died


@dataclass
class Year:
    """What happened, and what came of it."""

    zone: str
    days: int
    killed: int = 0
    nights_off: int = 0
    revisions: int = 0
    batches: int = 0
    missed: list[date] = field(default_factory=list)
    doubled: list[date] = field(default_factory=list)
    in_no_batch: list[tuple[int, int]] = field(default_factory=list)
    in_two_batches: list[tuple[int, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not (self.missed or self.doubled or self.in_no_batch or self.in_two_batches or self.problems)


def live(zone: str, days: int, seed: int, folder: Path) -> Year:
    """Live through so many days from the first of January 2026."""
    year, rng = Year(zone, days), random.Random(seed)
    settings = Settings(data_dir=folder, time_zone=zone, export_time=f"{AT:%H:%M}")
    begin = datetime(2026, 1, 1, 12, tzinfo=UTC)
    deaths = Deaths(rng, once_in=40)
    with time_machine.travel(begin, tick=False) as clock, patch("os.fsync", lambda _: None):
        store = open_store(settings.store_url)
        # Without spreadsheets: two profiles that are quick to write.
        store.use_export_profile("default", "standard", primary=True)
        store.stop_export_profile("default", "xlsx")
        jobs = lambda: nightly_jobs(store, settings, Steps())  # noqa: E731
        pair = [Schedule(store, jobs), Schedule(store, jobs)]
        pair[0].ring()  # the first start
        numbers: list[Order] = []
        end = begin + timedelta(days=days)
        fated: dict[str, Any] = {name: deaths.around(name) for name in STEPS}
        with patch.multiple(Store, **fated):
            while datetime.now(UTC) < end:
                _something_comes(store, rng, numbers)
                if rng.random() < 0.1 / 8:  # about eight rounds a day: a tenth of the days have a time off
                    off = rng.choice((3, 9, 27, 75))
                    clock.shift(timedelta(hours=off))
                    year.nights_off += off > 24
                    pair = [Schedule(store, jobs), Schedule(store, jobs)]
                clock.shift(timedelta(minutes=rng.randrange(60, 300)))
                for at, schedule in enumerate(pair):
                    try:
                        schedule.ring()
                    except Died:
                        pair[at] = Schedule(store, jobs)
            deaths.once_in = 10**9
            for _ in range(40):  # what is still to be tried again is
                clock.shift(timedelta(hours=1))
                pair[0].ring()
        year.killed = deaths.killed
        _judge(store, year, begin, datetime.now(UTC), settings)
        year.problems = store.check()["problems"]
        store.close()
    return year


def _something_comes(store: Store, rng: random.Random, orders: list[Order]) -> None:
    fate = rng.random()
    if fate < 0.55 or not orders:
        order = small_order().model_copy(
            update={
                "order_number": f"N{len(orders)}",
                "test": rng.random() < 0.05,
                "documents": AWAITED if rng.random() < 0.1 else (),
            }
        )
        orders.append(order)
        _apply(store, order, 1)
    elif fate < 0.75:
        at = rng.randrange(len(orders))
        known = Counter(_revisions(store, orders[at]))
        orders[at] = orders[at].model_copy(update={"status": f"changed {rng.random()}", "documents": ()})
        _apply(store, orders[at], max(known, default=0) + 1)


def _revisions(store: Store, order: Order) -> list[int]:
    with store.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT kept.revision FROM order_revision AS kept JOIN orders ON orders.id = kept.order_id"
            " WHERE orders.order_number = ?",
            (order.order_number,),
        )
        return [revision for (revision,) in rows]


def _apply(store: Store, order: Order, revision: int) -> None:
    assert Content.of(order).json
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(order, revision=revision)])


def _judge(store: Store, year: Year, begin: datetime, end: datetime, settings: Settings) -> None:
    zone = ZoneInfo(settings.time_zone)
    runs = Counter(run.business_date for run in store.list_job_runs("nightly") if run.state == "done")
    day = begin.astimezone(zone).date() - timedelta(days=1)
    while day <= end.astimezone(zone).date():
        if begin < due_instant(day, AT, zone) <= end:
            if runs[day] == 0:
                year.missed.append(day)
            if runs[day] > 1:
                year.doubled.append(day)
        day += timedelta(days=1)
    path = settings.sqlite_path
    connection = sqlite3.connect(path)
    # A revision that a later one overtook before the night is told of by that one; what is held up may wait.
    year.revisions, year.batches = connection.execute(
        "SELECT (SELECT count(*) FROM order_revision), (SELECT count(*) FROM batch)"
    ).fetchone()
    year.in_no_batch = connection.execute(
        "SELECT id, revision FROM orders WHERE NOT test AND NOT documents_awaited AND NOT EXISTS"
        " (SELECT 1 FROM batch_order WHERE order_id = orders.id AND revision = orders.revision)"
    ).fetchall()
    year.in_two_batches = connection.execute(
        "SELECT order_id, revision FROM batch_order GROUP BY profile_id, order_id, revision HAVING count(*) > 1"
    ).fetchall()
    # What the files hold, not only what the ledger says of them.
    held: Counter[tuple[str, str]] = Counter()
    for (raw,) in connection.execute("SELECT raw FROM batch_raw"):
        held.update(_rows_of(raw))
    year.in_two_batches += [(int(one[0]), int(one[1])) for one, number in held.items() if number > 1]
    entered = connection.execute("SELECT order_id, revision FROM batch_order").fetchall()
    if {(str(order_id), str(revision)) for order_id, revision in entered} != set(held):
        year.problems.append("the files hold other orders than the ledger says")
    connection.close()


def _rows_of(raw: bytes) -> list[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(raw.decode(), newline=""))
    return list(dict.fromkeys((row["ion_id"], row["revision"]) for row in rows))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.nights", description=__doc__)
    parser.add_argument("--days", type=int, default=366)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zone", action="append", default=None)
    given = parser.parse_args(arguments)
    for zone in given.zone or ZONES:
        with tempfile.TemporaryDirectory(prefix="ion-nights-") as folder:
            year = live(zone, given.days, given.seed, Path(folder))
        print(
            f"{zone}: {year.days} days, {year.nights_off} times off for more than a day, {year.killed} deaths,"
            f" {year.revisions} revisions, {year.batches} batches; dates missed {len(year.missed)}, doubled"
            f" {len(year.doubled)}; revisions in no batch {len(year.in_no_batch)}, in two {len(year.in_two_batches)};"
            f" problems {year.problems}",
            flush=True,
        )


if __name__ == "__main__":
    main()
