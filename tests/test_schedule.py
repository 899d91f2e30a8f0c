"""The nightly export runs when it is due, once per business date, and loses nothing when it fails."""

import csv
import hashlib
import os
import threading
import time as clock_time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ion.errors import StoreError
from ion.export import export_orders
from ion.schedule import ATTEMPTS, JOB, RETRY_SECONDS, SETTLE_SECONDS, NightlySchedule, due_instant, latest_due
from ion.store import ClaimLostError, ExportOrder, JobRun, JobState, open_store
from tests.orders import small_order

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
NIGHT = time(2, 30)
DAY = timedelta(days=1)
SETTLED = timedelta(seconds=SETTLE_SECONDS + 1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


# When


@pytest.mark.parametrize(
    ("day", "at", "zone", "instant"),
    [
        (date(2026, 11, 23), NIGHT, BERLIN, utc(2026, 11, 23, 1, 30)),
        (date(2026, 7, 1), NIGHT, BERLIN, utc(2026, 7, 1, 0, 30)),
        # 02:00 becomes 03:00: due when the gap ends, whatever minute of it was asked for
        (date(2026, 3, 29), NIGHT, BERLIN, utc(2026, 3, 29, 1, 0)),
        (date(2026, 3, 29), time(2, 0), BERLIN, utc(2026, 3, 29, 1, 0)),
        (date(2026, 3, 29), time(2, 59), BERLIN, utc(2026, 3, 29, 1, 0)),
        (date(2026, 3, 29), time(3, 0), BERLIN, utc(2026, 3, 29, 1, 0)),
        (date(2026, 3, 29), time(1, 59), BERLIN, utc(2026, 3, 29, 0, 59)),
        # 03:00 becomes 02:00: due the first time
        (date(2026, 10, 25), NIGHT, BERLIN, utc(2026, 10, 25, 0, 30)),
        (date(2026, 10, 25), time(3, 0), BERLIN, utc(2026, 10, 25, 2, 0)),
        (date(2026, 3, 8), NIGHT, NEW_YORK, utc(2026, 3, 8, 7, 0)),
        (date(2026, 11, 1), time(1, 30), NEW_YORK, utc(2026, 11, 1, 5, 30)),
        # half an hour: 02:00 becomes 02:30, and in April 02:00 becomes 01:30
        (date(2026, 10, 4), time(2, 15), LORD_HOWE, utc(2026, 10, 3, 15, 30)),
        (date(2026, 10, 4), time(2, 30), LORD_HOWE, utc(2026, 10, 3, 15, 30)),
        (date(2026, 4, 5), time(1, 45), LORD_HOWE, utc(2026, 4, 4, 14, 45)),
        (date(2026, 4, 5), time(2, 0), LORD_HOWE, utc(2026, 4, 4, 15, 30)),
        (date(2026, 3, 29), NIGHT, UTC, utc(2026, 3, 29, 2, 30)),
    ],
)
def test_a_local_time_is_due_at_one_instant(day: date, at: time, zone: tzinfo, instant: datetime) -> None:
    assert due_instant(day, at, zone) == instant


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("America/Sao_Paulo"), UTC], ids=str)
@pytest.mark.parametrize("at", [time(0, 0), time(1, 45), NIGHT, time(23, 59)], ids=str)
def test_through_two_years_every_date_is_due_once_and_in_order(
    zone: tzinfo, at: time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.schedule.due_instant", cache(due_instant))  # it is asked for each date 150 times
    seen: list[tuple[date, datetime]] = []
    now = utc(2017, 12, 31)  # Brazil still changed its clocks at midnight then
    while now < utc(2020, 1, 1):
        found = latest_due(now, at, zone)
        assert found[1] <= now < found[1] + timedelta(hours=26)
        assert found[1].astimezone(zone).date() == found[0]
        if not seen or seen[-1] != found:
            seen.append(found)
        now += timedelta(minutes=30)
    days = [day for day, _ in seen]
    assert days == [days[0] + n * DAY for n in range(len(days))]
    assert [instant for _, instant in seen] == sorted({instant for _, instant in seen})


def test_a_date_that_a_zone_left_out_is_never_due() -> None:
    apia = ZoneInfo("Pacific/Apia")  # 30 December 2011 did not happen there
    now, days = utc(2011, 12, 28, 20), set()
    while now < utc(2012, 1, 2, 20):
        days.add(latest_due(now, NIGHT, apia)[0])
        now += timedelta(minutes=20)
    assert date(2011, 12, 30) not in days
    assert {date(2011, 12, 29), date(2011, 12, 31), date(2012, 1, 1)} <= days


def test_the_business_date_is_the_local_date() -> None:
    now = utc(2026, 11, 23, 14, 0)
    assert latest_due(now, time(0, 30), ZoneInfo("Asia/Tokyo")) == (date(2026, 11, 23), utc(2026, 11, 22, 15, 30))
    assert latest_due(now, time(23, 0), NEW_YORK) == (date(2026, 11, 22), utc(2026, 11, 23, 4, 0))


# The nightly export


@dataclass
class World:
    """A clock, a store in memory that keeps to the store's rules, and the settings."""

    exports: Path
    now: datetime
    export_time: str = "02:30"
    zone: tzinfo = BERLIN
    orders: list[ExportOrder] = field(default_factory=list)
    runs: dict[date, JobRun] = field(default_factory=dict)
    broken: int = 0
    """How many of the next readings of orders fail."""
    claims: int = 0
    published: dict[str, list[int]] = field(default_factory=dict)

    def schedule(self) -> NightlySchedule:
        return NightlySchedule(self, self, clock=lambda: self.now)

    def claim_job_run(
        self, job: str, business_date: date, *, claimed_by: str, lease_seconds: float, merchant: str = ""
    ) -> JobRun | None:
        assert job == JOB
        self.claims += 1
        known = self.runs.get(business_date)
        if known and (
            known.state == JobState.DONE or (known.state == JobState.RUNNING and known.lease_until > self.now)
        ):
            return None
        run = JobRun(
            id=business_date.toordinal(),
            job=job,
            merchant=merchant,
            business_date=business_date,
            state=JobState.RUNNING,
            claimed_by=claimed_by,
            lease_until=self.now + timedelta(seconds=lease_seconds),
            started_at=self.now,
            finished_at=None,
            attempts=known.attempts + 1 if known else 1,
            detail={},
        )
        self.runs[business_date] = run
        return run

    def finish_job_run(self, run: JobRun, state: JobState, detail: Mapping[str, Any]) -> None:
        if self.runs[run.business_date].attempts != run.attempts:
            raise ClaimLostError("taken over")
        self.runs[run.business_date] = replace(run, state=state, detail=dict(detail), finished_at=self.now)

    def list_job_runs(self, job: str | None = None, merchant: str | None = None) -> tuple[JobRun, ...]:
        return tuple(sorted(self.runs.values(), key=lambda run: run.business_date, reverse=True))

    def orders_for_export(self, merchant: str | None = None, since: datetime | None = None) -> Iterator[ExportOrder]:
        if self.broken:
            self.broken -= 1
            raise StoreError("the database refused: locked")
        yield from self.orders

    def record_published_file(
        self, path: str, profile: str, sha256: str, *, rows: int, orders: Sequence[tuple[int, int]]
    ) -> None:
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
        self.published[path] = [order_id for order_id, _ in orders]

    def arrive(self, number: str, received_at: datetime | None = None) -> None:
        order = small_order().model_copy(update={"order_number": number})
        at = received_at or self.now
        self.orders.append(ExportOrder(len(self.orders), "default", order, 1, "new", at, self.now, None, "sealed", ()))

    def numbers(self, day: str) -> list[str]:
        """The order numbers in the CSV of a date."""
        with (self.exports / f"ion-orders-standard-v1-{day}.csv").open(encoding="utf-8", newline="") as file:
            return [row["order_number"] for row in csv.DictReader(file)]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.exports.iterdir()) if self.exports.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Noon in Berlin; nothing has happened yet."""
    return World(tmp_path / "exports", utc(2026, 11, 23, 11, 0))


def test_it_runs_after_its_time_and_once(world: World) -> None:
    schedule = world.schedule()
    world.now += SETTLED
    schedule.ring()
    world.arrive("A")
    world.now = utc(2026, 11, 24, 1, 29, 59)
    assert schedule.ring() is None
    world.now = utc(2026, 11, 24, 1, 30) + SETTLED
    run = schedule.ring()
    assert run is not None and run.business_date == date(2026, 11, 24)
    assert schedule.ring() is None
    world.now += timedelta(hours=20)
    assert schedule.ring() is None
    assert world.numbers("2026-11-24") == ["A"]


def test_it_writes_both_profiles_and_records_them(world: World) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += SETTLED
    schedule.ring()
    assert world.files() == ["ion-orders-standard-v1-2026-11-23.csv", "ion-orders-xlsx-v1-2026-11-23.xlsx"]
    run = world.runs[date(2026, 11, 23)]
    assert run.state == JobState.DONE
    assert [(file["profile"], file["orders"], file["rows"]) for file in run.detail["files"]] == [
        ("standard", 1, 1),
        ("xlsx", 1, 1),
    ]
    assert all(Path(file["path"]).exists() and len(file["sha256"]) == 64 for file in run.detail["files"])
    assert oct(world.exports.stat().st_mode & 0o777) == "0o700"


def test_each_order_is_in_one_night_by_when_it_was_applied(world: World) -> None:
    schedule = world.schedule()
    world.arrive("first")
    for night, number in enumerate(("second", "third", None)):
        world.now = utc(2026, 11, 24 + night, 1, 30) + SETTLED
        schedule.ring()
        if number:
            # released by a person today, received last week
            world.arrive(number, received_at=utc(2026, 11, 16))
    assert [world.numbers(f"2026-11-{day}") for day in (24, 25, 26)] == [["first"], ["second"], ["third"]]


def test_an_order_whose_transaction_was_still_open_comes_in_the_next_night(world: World) -> None:
    schedule = world.schedule()
    world.arrive("A")
    world.now = utc(2026, 11, 24, 1, 30) + SETTLED
    late = world.now - timedelta(seconds=SETTLE_SECONDS - 1)
    schedule.ring()
    world.now = late
    world.arrive("in flight")
    world.now = utc(2026, 11, 25, 1, 30) + SETTLED
    schedule.ring()
    assert [world.numbers("2026-11-24"), world.numbers("2026-11-25")] == [["A"], ["in flight"]]


def test_a_night_without_orders_leaves_a_file_with_a_header(world: World) -> None:
    schedule = world.schedule()
    world.now = utc(2026, 11, 24, 1, 30) + SETTLED
    schedule.ring()
    assert world.numbers("2026-11-24") == []
    assert len(world.files()) == 2


def test_a_new_installation_has_missed_nothing(world: World) -> None:
    schedule = world.schedule()
    world.now += SETTLED
    schedule.ring()
    world.arrive("A")
    world.now += timedelta(hours=1)
    assert schedule.ring() is None
    assert world.runs == {} and world.files() == []


def test_after_downtime_only_the_latest_date_is_caught_up_and_nothing_is_lost(world: World) -> None:
    schedule = world.schedule()
    world.arrive("A")
    world.now = utc(2026, 11, 24, 1, 30) + SETTLED
    schedule.ring()
    world.arrive("B")
    world.now = utc(2026, 11, 29, 15, 0)
    world.arrive("C")
    again = world.schedule()
    assert again.ring() is None, "what was applied a moment ago may still be in its transaction"
    world.now += SETTLED
    again.ring()
    again.ring()
    assert sorted(world.runs) == [date(2026, 11, 24), date(2026, 11, 29)]
    assert world.numbers("2026-11-29") == ["B", "C"]


def test_a_run_that_fails_is_tried_again_later_and_a_few_times_only(world: World) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += SETTLED
    world.broken = 99
    world.runs[date(2026, 11, 22)] = replace(
        _claimed(world, date(2026, 11, 22)), state=JobState.DONE, detail={"applied_before": "2026-11-22T01:30:00+00:00"}
    )
    world.claims = 0
    end = world.now + timedelta(hours=12)
    while world.now < end:
        schedule.ring()
        world.now += timedelta(seconds=60)
    run = world.runs[date(2026, 11, 23)]
    assert (run.state, run.attempts, world.claims) == (JobState.FAILED, ATTEMPTS, ATTEMPTS)
    assert run.detail["error"] == "the database refused: locked"
    assert world.files() == []
    world.broken = 0
    world.now = utc(2026, 11, 24, 1, 30) + SETTLED
    schedule.ring()
    assert world.numbers("2026-11-24") == ["A"], "the next date takes up what was left undone"


def test_a_run_that_failed_between_its_files_is_done_again_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += SETTLED
    with monkeypatch.context() as patched:
        patched.setattr("ion.export.xlsx_file.write_xlsx", _disk_full)
        schedule.ring()
    assert world.runs[date(2026, 11, 23)].detail["error"] == "OSError No space left on device"
    assert world.files() == ["ion-orders-standard-v1-2026-11-23.csv"]
    world.now += timedelta(seconds=RETRY_SECONDS)
    world.arrive("B")
    schedule.ring()
    assert world.runs[date(2026, 11, 23)].state == JobState.DONE
    assert len(world.files()) == 2
    world.now = utc(2026, 11, 24, 1, 30) + SETTLED
    schedule.ring()
    assert world.numbers("2026-11-23") + world.numbers("2026-11-24") == ["A", "B"]


def _disk_full(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


def _claimed(world: World, day: date) -> JobRun:
    run = world.claim_job_run(JOB, day, claimed_by="other", lease_seconds=900)
    assert run is not None
    return run


@pytest.mark.parametrize("ahead", [timedelta(hours=20), timedelta(days=365)])
def test_nights_that_a_clock_ahead_ran_keep_no_order_out_later(world: World, ahead: timedelta) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += ahead + timedelta(days=1)
    assert schedule.ring() is not None
    world.now -= ahead
    world.arrive("B")
    for _ in range(2 * 24 * 12):  # two days
        world.now += timedelta(minutes=5)
        schedule.ring()
    found = [number for day in world.runs for number in world.numbers(str(day))]
    assert set(found) == {"A", "B"}


def test_a_program_that_was_started_by_a_clock_ahead_runs_at_its_time(world: World) -> None:
    world.now += timedelta(days=365)
    schedule = world.schedule()
    world.now -= timedelta(days=365)
    world.arrive("A")
    assert schedule.ring() is None
    world.now += timedelta(days=1)
    assert schedule.ring() is not None


def test_a_run_that_another_process_holds_is_left_to_it_until_its_lease_ends(world: World) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += SETTLED
    _claimed(world, date(2026, 11, 23))
    assert schedule.ring() is None
    world.now += timedelta(seconds=901)
    taken = schedule.ring()
    assert taken is not None and taken.attempts == 2
    assert world.numbers("2026-11-23") == ["A"]


def test_a_run_taken_over_meanwhile_is_not_reported_done_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += SETTLED

    def slow(*args: Any, **kwargs: Any) -> Any:
        world.runs[date(2026, 11, 23)] = replace(world.runs[date(2026, 11, 23)], attempts=2, claimed_by="other")
        return real(*args, **kwargs)

    real = export_orders
    monkeypatch.setattr("ion.schedule.export_orders", slow)
    schedule.ring()
    assert world.runs[date(2026, 11, 23)].state == JobState.RUNNING


def test_a_database_that_does_not_answer_stops_no_bell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.arrive("A")
    schedule = world.schedule()
    world.now += SETTLED
    with monkeypatch.context() as patched:
        patched.setattr(world, "list_job_runs", _refused)
        assert schedule.ring() is None
    world.now += timedelta(minutes=2)
    assert schedule.ring() is not None


def _refused(**_: Any) -> Any:
    raise StoreError("the database refused")


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE], ids=str)
def test_a_year_with_downtime_and_two_processes_exports_every_order_once(
    world: World, zone: tzinfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.schedule.PROFILES", ("standard",))  # writing 365 spreadsheets takes its time
    monkeypatch.setattr("os.fsync", lambda _: None)  # and so does bringing each file to the disk
    monkeypatch.setattr("ion.schedule.due_instant", cache(due_instant))
    world.zone, world.now = zone, utc(2026, 1, 1)
    world.export_time = "02:15"
    pair = [world.schedule(), world.schedule()]
    number = 0
    while world.now < utc(2027, 1, 1):
        world.arrive(f"{number}")
        number += 1
        if number % 10 == 0:  # down for a day and a bit, then started anew
            world.now += timedelta(hours=27)
            pair = [world.schedule(), world.schedule()]
        if number % 37 == 0:
            world.broken = 1
        for _ in range(8):
            world.now += timedelta(hours=1)
            for schedule in pair:
                schedule.ring()
    done = [run for run in world.runs.values() if run.state == JobState.DONE]
    written = [number for run in done for number in world.numbers(run.business_date.isoformat())]
    last = max(datetime.fromisoformat(run.detail["applied_before"]) for run in done)
    assert sorted(written) == sorted(stored.order.order_number for stored in world.orders if stored.applied_at < last)
    assert len(done) > 300


def test_with_the_real_store_two_processes_ringing_at_once_run_it_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ion.db'}"
    store, other = open_store(url), open_store(url)
    try:
        world = World(tmp_path / "exports", datetime.now(UTC) - DAY)
        pair = [NightlySchedule(each, world, clock=lambda: world.now) for each in (store, other)]
        world.now = max(datetime.now(UTC), latest_due(datetime.now(UTC), NIGHT, BERLIN)[1] + SETTLED)
        runs: list[JobRun | None] = []
        threads = [threading.Thread(target=lambda one=one: runs.append(one.ring())) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len([run for run in runs if run]) == 1
        (run,) = store.list_job_runs(job=JOB)
        assert (run.state, run.attempts) == (JobState.DONE, 1)
        assert len(world.files()) == 2
    finally:
        store.close()
        other.close()


def test_the_bell_rings_from_start_to_stop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.schedule.BELL_SECONDS", 0.05)
    world.arrive("A")
    schedule = world.schedule()
    schedule.start()
    world.now += SETTLED
    deadline = clock_time.monotonic() + 10
    while len(world.files()) < 2 and clock_time.monotonic() < deadline:
        clock_time.sleep(0.02)
    schedule.stop()
    assert world.numbers("2026-11-23") == ["A"]
    assert world.runs[date(2026, 11, 23)].claimed_by.split(":")[1] == str(os.getpid())
    schedule.stop()
