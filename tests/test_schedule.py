"""A daily job runs when it is due, once per business date, and a date that was missed is made up for."""

import threading
import time as clock_time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine

from ion.errors import StoreError
from ion.schedule import (
    CATCH_UP_DAYS,
    ELSEWHERE_SECONDS,
    LEASE_SECONDS,
    RETRY_SECONDS,
    DailyJob,
    Run,
    Schedule,
    due_dates,
    due_instant,
    latest_due,
)
from ion.store import ClaimLostError, JobState, Store, open_store
from tests.thinning import one_in

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
NIGHT = time(2, 30)
DAY = timedelta(days=1)


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


@pytest.mark.parametrize(
    ("zone", "at"),
    one_in(
        4,
        (BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("America/Sao_Paulo"), UTC),
        (time(0, 0), time(1, 45), NIGHT, time(23, 59)),
    ),
    ids=str,
)
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


# What was missed


def test_dates_that_were_missed_are_due_oldest_first_each_with_its_instant() -> None:
    now = utc(2026, 10, 27, 12)
    found = list(due_dates(date(2026, 10, 23), utc(2026, 1, 1), now, NIGHT, BERLIN))
    assert found == [
        (date(2026, 10, 24), utc(2026, 10, 24, 0, 30)),
        (date(2026, 10, 25), utc(2026, 10, 25, 0, 30)),  # 02:30 comes twice
        (date(2026, 10, 26), utc(2026, 10, 26, 1, 30)),
        (date(2026, 10, 27), utc(2026, 10, 27, 1, 30)),
    ]


def test_no_more_than_a_month_is_made_up_for() -> None:
    found = list(due_dates(date(2025, 1, 1), utc(2024, 1, 1), utc(2026, 11, 23, 12), NIGHT, UTC))
    assert len(found) == CATCH_UP_DAYS + 1
    assert found[-1][0] == date(2026, 11, 23)


def test_what_began_after_its_time_has_missed_nothing() -> None:
    assert list(due_dates(None, utc(2026, 11, 23, 3), utc(2026, 11, 23, 4), NIGHT, UTC)) == []
    assert [day for day, _ in due_dates(None, utc(2026, 11, 23, 2), utc(2026, 11, 23, 4), NIGHT, UTC)] == [
        date(2026, 11, 23)
    ]


# Running it


@dataclass
class Nights:
    """A daily job at half past two in Berlin that notes its runs, and fails as often as it is told."""

    store: Store
    clock: time_machine.Traveller
    begun_at: datetime
    ran: list[date] = field(default_factory=list)
    until: list[datetime] = field(default_factory=list)
    broken: int = 0
    merchants: tuple[str, ...] = ("default",)

    def schedule(self, store: Store | None = None) -> Schedule:
        return Schedule(store or self.store, self.jobs)

    def jobs(self) -> list[DailyJob]:
        return [DailyJob("nightly", name, NIGHT, BERLIN, self.begun_at, self.run) for name in self.merchants]

    def run(self, run: Run) -> dict[str, Any]:
        if self.broken:
            self.broken -= 1
            raise StoreError("the database refused: locked")
        self.ran.append(run.business_date)
        self.until.append(run.until)
        return {"orders": len(self.ran)}

    def at(self, *parts: int) -> None:
        self.clock.move_to(utc(*parts))


@pytest.fixture
def nights(store: Store) -> Iterator[Nights]:
    """Noon in Berlin; nothing has happened yet."""
    now = utc(2026, 11, 23, 11)
    with time_machine.travel(now, tick=False) as clock:
        yield Nights(store, clock, now)


def test_it_runs_after_its_time_and_once(nights: Nights) -> None:
    schedule = nights.schedule()
    assert schedule.ring() == 0, "it began after today's time"
    nights.at(2026, 11, 24, 1, 29, 59)
    assert schedule.ring() == 0
    nights.at(2026, 11, 24, 1, 30)
    assert schedule.ring() == 1
    assert schedule.ring() == nights.schedule().ring() == 0
    run, beginning = nights.store.list_job_runs()
    assert (run.business_date, run.state, run.detail) == (date(2026, 11, 24), JobState.DONE, {"orders": 1})
    assert (beginning.business_date, list(beginning.detail)) == (date(2026, 11, 23), ["not_run"])


def test_nights_missed_right_after_the_beginning_are_made_up_for(nights: Nights) -> None:
    nights.schedule().ring()
    nights.at(2026, 11, 26, 12)
    assert nights.schedule().ring() == 3
    assert nights.ran == [date(2026, 11, day) for day in (24, 25, 26)]


def test_after_downtime_each_missed_date_runs_once_and_takes_what_was_there_then(nights: Nights) -> None:
    nights.at(2026, 11, 24, 2)
    nights.schedule().ring()
    nights.at(2026, 11, 27, 15)
    again = nights.schedule()
    assert (again.ring(), again.ring()) == (3, 0)
    assert nights.ran == [date(2026, 11, day) for day in (24, 25, 26, 27)]
    assert nights.until == [
        utc(2026, 11, 24, 2),
        utc(2026, 11, 25, 1, 30),
        utc(2026, 11, 26, 1, 30),
        utc(2026, 11, 27, 15),
    ]


def test_a_run_that_fails_is_tried_again_later_and_less_often_until_it_is_done(nights: Nights) -> None:
    schedule = nights.schedule()
    nights.at(2026, 11, 24, 1, 30)
    nights.broken = 8
    begun = []
    for _ in range(12 * 60):
        before = nights.broken
        schedule.ring()
        if nights.broken < before:
            begun.append(datetime.now(UTC))
        nights.clock.shift(60)
    gaps = [round((later - earlier).total_seconds()) for earlier, later in pairwise(begun)]
    assert gaps == [RETRY_SECONDS, 600, 1200, 2400, 3600, 3600, 3600]
    (run,) = nights.store.list_job_runs()
    assert (run.state, run.attempts, nights.ran) == (JobState.DONE, 9, [date(2026, 11, 24)])


def test_a_failed_run_says_why_and_holds_up_later_dates_but_loses_none(nights: Nights) -> None:
    schedule = nights.schedule()
    nights.at(2026, 11, 24, 1, 30)
    nights.broken = 1
    schedule.ring()
    assert nights.store.list_job_runs()[0].detail == {"error": "the database refused: locked"}
    nights.at(2026, 11, 25, 1, 30)
    assert schedule.ring() == 2
    assert nights.ran == [date(2026, 11, 24), date(2026, 11, 25)]


def test_a_run_that_another_process_holds_is_left_to_it_until_its_lease_ends(nights: Nights) -> None:
    nights.at(2026, 11, 24, 1, 30)
    held = nights.store.claim_job_run(
        "nightly", date(2026, 11, 24), claimed_by="other", lease_seconds=LEASE_SECONDS, merchant="default"
    )
    assert held is not None
    schedule = nights.schedule()
    assert schedule.ring() == 0
    nights.clock.shift(LEASE_SECONDS - 1)
    assert schedule.ring() == 0
    nights.clock.shift(ELSEWHERE_SECONDS)
    assert schedule.ring() == 1
    assert nights.store.list_job_runs()[0].attempts == 2
    with pytest.raises(ClaimLostError):
        nights.store.renew_job_run(held, LEASE_SECONDS)


def test_a_run_that_is_renewed_is_not_taken_over(nights: Nights) -> None:
    nights.at(2026, 11, 24, 1, 30)
    other = nights.schedule()

    def slow(run: Run) -> dict[str, Any]:
        for _ in range(4):
            nights.clock.shift(LEASE_SECONDS - 100)
            run.renew()
            assert other.ring() == 0
        return {}

    job = DailyJob("nightly", "default", NIGHT, BERLIN, nights.begun_at, slow)
    assert Schedule(nights.store, lambda: [job]).ring() == 1
    assert nights.store.list_job_runs()[0].attempts == 1


def test_a_run_taken_over_meanwhile_is_not_reported_done_by_the_first(nights: Nights) -> None:
    nights.at(2026, 11, 24, 1, 30)

    def too_slow(_: Run) -> dict[str, Any]:
        nights.clock.shift(LEASE_SECONDS + 1)
        assert nights.schedule().ring() == 1
        return {"first": True}

    job = DailyJob("nightly", "default", NIGHT, BERLIN, nights.begun_at, too_slow)
    assert Schedule(nights.store, lambda: [job]).ring() == 0
    (run,) = nights.store.list_job_runs()
    assert (run.state, run.attempts, run.detail) == (JobState.DONE, 2, {"orders": 1})


def test_each_merchant_has_runs_of_its_own_and_one_added_meanwhile_too(nights: Nights) -> None:
    schedule = nights.schedule()
    nights.at(2026, 11, 24, 1, 30)
    nights.merchants = ("default", "shop")
    assert schedule.ring() == 2
    assert {run.merchant for run in nights.store.list_job_runs()} == {"default", "shop"}


@pytest.mark.parametrize("ahead", [timedelta(hours=20), timedelta(days=365)])
def test_dates_that_a_clock_ahead_ran_are_run_when_they_come(nights: Nights, ahead: timedelta) -> None:
    nights.at(2026, 11, 24, 2)
    schedule = nights.schedule()
    schedule.ring()
    nights.clock.shift(ahead + timedelta(hours=4))
    assert schedule.ring() > 0
    nights.at(2026, 11, 24, 12)
    nights.ran.clear()
    for _ in range(4 * 24 * 3):
        nights.clock.shift(1200)
        schedule.ring()
    assert nights.ran[:3] == [date(2026, 11, day) for day in (25, 26, 27)]


def test_a_database_that_does_not_answer_stops_no_bell(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = nights.schedule()
    nights.at(2026, 11, 24, 1, 30)
    with monkeypatch.context() as patched:
        patched.setattr(nights.store, "done_through", _refused)
        assert schedule.ring() == 0
    nights.clock.shift(2 * ELSEWHERE_SECONDS)
    assert schedule.ring() == 1


def _refused(*_: Any) -> Any:
    raise StoreError("the database refused")


def test_two_processes_that_ring_at_once_run_it_once(store: Store, store_url: str) -> None:
    other = open_store(store_url)
    try:
        ran: list[date] = []
        begun_at = datetime.now(UTC) - 2 * DAY

        def note(run: Run) -> dict[str, Any]:
            ran.append(run.business_date)
            return {}

        job = DailyJob("nightly", "", NIGHT, BERLIN, begun_at, note)
        pair = [Schedule(each, lambda: [job]) for each in (store, other)]
        threads = [threading.Thread(target=one.ring) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ran) == 1
        (run,) = store.list_job_runs()
        assert (run.state, run.attempts) == (JobState.DONE, 1)
    finally:
        other.close()


def test_the_bell_rings_from_start_to_stop(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.schedule.BELL_SECONDS", 0.05)
    rung = threading.Event()

    def note(_: Run) -> dict[str, Any]:
        rung.set()
        return {}

    job = DailyJob("nightly", "", NIGHT, UTC, datetime.now(UTC) - 2 * DAY, note)
    schedule = Schedule(sqlite_store, lambda: [job])
    schedule.start()
    assert rung.wait(60)
    schedule.stop()
    schedule.stop()
    rung.clear()
    clock_time.sleep(0.2)
    assert not rung.is_set()
