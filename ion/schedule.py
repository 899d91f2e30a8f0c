"""What runs when, and the claim that makes it run once.

A job is due at a local time in a zone, once per business date: the local date of the instant it is due. A local time
that the clock skips in spring is due at the first instant after the gap; one that comes twice is due the first time.

The scheduler library only rings a bell every few seconds. Which dates are due is computed here from the clock, and
whether one is ours to run is decided by the store's row for (job, merchant, business date): so each runs once, whatever
number of processes ring. Dates that were missed while everything was down are run one after another, oldest first, at
most `CATCH_UP_DAYS` of them. A run that fails is tried again, at first after five minutes and later once an hour, until
it is done; one whose process died is taken over when its lease ends.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Protocol

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from ion.errors import IonError
from ion.store import ClaimLostError, JobRun, JobState

log = structlog.get_logger("ion.schedule")

BELL_SECONDS = 5
# Longer than any step between two renewals takes; whoever dies at a run holds it for so long.
LEASE_SECONDS = 900
RETRY_SECONDS = 300
LONGEST_RETRY_SECONDS = 3600
# How long a claim that another process holds is left alone before it is looked at again.
ELSEWHERE_SECONDS = 60
CATCH_UP_DAYS = 31


def due_instant(day: date, at: time, zone: tzinfo) -> datetime:
    """The instant (aware UTC) that local time `at` on `day` is due in `zone`.

    A time that comes twice is due the first time. A time that is skipped is due when the gap ends.
    """
    wall = datetime.combine(day, at.replace(tzinfo=None, fold=0), tzinfo=zone)
    first, other = wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return first
    # In a gap, fold=0 counts with the offset before it and so lands after the change, fold=1 the other way round.
    before, after = sorted((first, other))
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def latest_due(now: datetime, at: time, zone: tzinfo) -> tuple[date, datetime]:
    """The newest business date whose instant is not after `now` (aware), and that instant (aware UTC)."""
    today = now.astimezone(zone).date()
    # Tomorrow, because a clock put back over midnight shows yesterday's date once more. Three days back is enough,
    # even where a zone left out a calendar day; a day that was left out has no instant of its own.
    for days in range(1, -4, -1):
        day = today + timedelta(days=days)
        instant = due_instant(day, at, zone)
        if instant <= now and instant.astimezone(zone).date() == day:
            return day, instant
    raise ValueError(f"no local time {at} within three days before {now} in {zone}")


def due_dates(
    done_through: date | None, begun_at: datetime, now: datetime, at: time, zone: tzinfo
) -> Iterator[tuple[date, datetime]]:
    """The business dates due by `now` (aware) and not before `begun_at` (aware) that come after `done_through`,
    oldest first, each with its instant (aware UTC); at most `CATCH_UP_DAYS` and the latest. None: only the latest."""
    latest, _ = latest_due(now, at, zone)
    first = (
        latest
        if done_through is None
        else max(done_through + timedelta(days=1), latest - timedelta(days=CATCH_UP_DAYS))
    )
    for days in range((latest - first).days + 1):
        day = first + timedelta(days=days)
        instant = due_instant(day, at, zone)
        # A day that the zone left out has no instant of its own.
        if begun_at <= instant <= now and instant.astimezone(zone).date() == day:
            yield day, instant


@dataclass(frozen=True)
class Run:
    """A run that is ours to do. `until`: the instant (aware) its date was due, or, of the newest date, the present:
    what came later belongs to a later date. `renew` holds on to the claim; it raises ClaimLostError."""

    job: str
    merchant: str
    business_date: date
    until: datetime
    renew: Callable[[], None]


@dataclass(frozen=True)
class DailyJob:
    """What is to run once a day at local time `at` in `zone`, from `begun_at` (aware) on. `merchant` is "" where it is
    for all. `run` returns JSON values for people; whatever it raises, the run is tried again."""

    name: str
    merchant: str
    at: time
    zone: tzinfo
    begun_at: datetime
    run: Callable[[Run], Mapping[str, Any]]


class RunStore(Protocol):
    """What the schedule asks of the store."""

    def claim_job_run(
        self, job: str, business_date: date, *, claimed_by: str, lease_seconds: float, merchant: str = ""
    ) -> JobRun | None:
        """The run, if it is ours to do now."""

    def renew_job_run(self, run: JobRun, lease_seconds: float) -> None:
        """Hold on to it. Raises ClaimLostError."""

    def finish_job_run(self, run: JobRun, state: JobState, detail: Mapping[str, Any]) -> None:
        """End it as done or failed. Raises ClaimLostError."""

    def done_through(self, job: str, merchant: str, not_after: date) -> date | None:
        """The newest business date, not after that one, up to which nothing is left to run; None: nothing was begun."""

    def job_run(self, job: str, merchant: str, business_date: date) -> JobRun | None:
        """The run of a date."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Schedule:
    """Daily jobs, from `start` to `stop`. `jobs` names them anew at each ring, so that a merchant added meanwhile has
    its own; `clock` gives the present instant (aware)."""

    def __init__(
        self, store: RunStore, jobs: Callable[[], Sequence[DailyJob]], *, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._clock = clock
        self._claimed_by = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._settled: dict[tuple[str, str], date] = {}
        self._ask_again_at: dict[tuple[str, str], datetime] = {}
        self._stopping = False
        self._bell = BackgroundScheduler(timezone=UTC)

    def start(self) -> None:
        """Begin to ring, in a thread of the scheduler. A run missed while nobody rang begins within seconds."""
        self._bell.add_job(
            self.ring,
            "interval",
            seconds=BELL_SECONDS,
            next_run_time=datetime.now(UTC),
            # One ring at a time; rings that fell into a long run or a suspended machine are one ring.
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
        self._bell.start()

    def stop(self) -> None:
        """Ring no more; returns when a run under way has ended."""
        self._stopping = True
        if self._bell.running:
            self._bell.shutdown(wait=True)

    def ring(self) -> int:
        """Do the runs that are due and ours; how many were begun.

        Never raises because of a run: what went wrong is in the run's detail and in the log.
        """
        begun = 0
        try:
            jobs = self._jobs()
        except (IonError, OSError) as error:
            log.warning("jobs could not be listed", cause=cause_of(error))
            return 0
        for job in jobs:
            while not self._stopping and self._ring(job):
                begun += 1
        return begun

    def _ring(self, job: DailyJob) -> bool:
        """Do the oldest run of a job that is due; whether one was begun and done, so that the next may be due."""
        now, key = self._clock(), (job.name, job.merchant)
        # Where the clock was put back, what it said before is in the future and would be waited for.
        later = now + timedelta(seconds=LONGEST_RETRY_SECONDS)
        self._ask_again_at[key] = min(self._ask_again_at.get(key, now), later)
        latest, _ = latest_due(now, job.at, job.zone)
        if self._settled.get(key) == latest or now < self._ask_again_at[key]:
            return False
        try:
            return self._claim_and_run(job, latest, now)
        except (IonError, OSError) as error:
            self._wait(key, now, ELSEWHERE_SECONDS)
            log.warning("a run could not begin", job=job.name, merchant=job.merchant, cause=cause_of(error))
            return False

    def _claim_and_run(self, job: DailyJob, latest: date, now: datetime) -> bool:
        key = job.name, job.merchant
        done_through = self._store.done_through(job.name, job.merchant, latest)
        days = due_dates(done_through, job.begun_at, now, job.at, job.zone)
        day, instant = next(days, (None, now))
        if day is None:
            if done_through is None:
                self._note_beginning(job, latest)
            self._settled[key] = latest
            return False
        known = self._store.job_run(job.name, job.merchant, day)
        if known is not None and known.state == JobState.FAILED and known.finished_at is not None:
            wait = min(RETRY_SECONDS * 2 ** min(known.attempts - 1, 10), LONGEST_RETRY_SECONDS)
            left = wait - abs((now - known.finished_at).total_seconds())
            if left > 0:
                self._wait(key, now, min(left, ELSEWHERE_SECONDS))
                return False
        run = self._store.claim_job_run(
            job.name, day, claimed_by=self._claimed_by, lease_seconds=LEASE_SECONDS, merchant=job.merchant
        )
        if run is None:
            self._wait(key, now, ELSEWHERE_SECONDS)
            return False
        return self._run(job, run, now if day == latest else instant, is_newest=day == latest)

    def _note_beginning(self, job: DailyJob, latest: date) -> None:
        """Nothing was due yet since the job is there: from now on no date is missed, however long nobody rings."""
        run = self._store.claim_job_run(
            job.name, latest, claimed_by=self._claimed_by, lease_seconds=LEASE_SECONDS, merchant=job.merchant
        )
        if run is not None:
            self._store.finish_job_run(run, JobState.DONE, {"not_run": "it was due before the job was there"})

    def _run(self, job: DailyJob, run: JobRun, until: datetime, *, is_newest: bool) -> bool:
        key = job.name, job.merchant
        named: dict[str, Any] = {"job": job.name, "business_date": str(run.business_date)}
        named |= {"merchant": job.merchant} if job.merchant else {}
        detail: dict[str, Any] = {}
        state = JobState.FAILED

        def renew() -> None:
            self._store.renew_job_run(run, LEASE_SECONDS)

        try:
            detail |= job.run(Run(job.name, job.merchant, run.business_date, until, renew))
            state = JobState.DONE
        except ClaimLostError:
            log.warning("a run was taken over", **named)
            return False
        except Exception as error:  # whatever it was, the run is to be tried again
            detail["error"] = cause_of(error)
        try:
            self._store.finish_job_run(run, state, detail)
        except ClaimLostError:
            log.warning("a run was taken over", **named)
            return False
        if state is JobState.DONE:
            if is_newest:
                self._settled[key] = run.business_date
            log.info("run done", **named, **detail)
            return True
        self._wait(key, self._clock(), min(RETRY_SECONDS, ELSEWHERE_SECONDS))
        log.error("run failed", attempt=run.attempts, **named, **detail)
        return False

    def _wait(self, key: tuple[str, str], now: datetime, seconds: float) -> None:
        self._ask_again_at[key] = now + timedelta(seconds=seconds)


def cause_of(error: Exception) -> str:
    """What went wrong in words that name no personal data: our own sentences and the system's; those of other libraries
    may quote values."""
    return (
        str(error) if isinstance(error, IonError) else f"{type(error).__name__} {getattr(error, 'strerror', '') or ''}"
    ).strip()
