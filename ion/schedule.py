"""What runs when, and the claim that makes it run once.

A job is due at a local time in a zone, once per business date: the local date of the instant it is due. A local time
that the clock skips in spring is due at the first instant after the gap; one that comes twice is due the first time.

The scheduler library only rings a bell every few seconds. Whether there is something to do is computed here from the
clock, and whether it is ours to do is decided by the store's row for (job, business date): so it runs once, whatever
number of processes ring, and a date missed while everything was down is caught up, the latest one only.

The nightly export writes every order applied since the run before it, in each profile of `PROFILES`. A run that failed
or died is tried again, and the next date takes up what a run left undone: it starts where the last *done* run ended.
"""

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Any, Protocol

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from ion.errors import IonError
from ion.export import ExportOrder, export_orders, file_name, profile_named
from ion.store import ClaimLostError, ErasedMeanwhileError, JobRun, JobState

log = structlog.get_logger("ion.schedule")

JOB = "nightly-export"
PROFILES = ("standard", "xlsx")

BELL_SECONDS = 5
# An order's `applied_at` is read before its transaction ends; a writer waits at most eight seconds for the database.
# What was applied longer ago than this is committed and visible.
SETTLE_SECONDS = 10
# Longer than any export should take; whoever dies at it holds the run for so long.
LEASE_SECONDS = 900
ATTEMPTS = 4
RETRY_SECONDS = 300
# How long a claim that another process holds is left alone before it is looked at again.
ELSEWHERE_SECONDS = 60


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


class NightlyStore(Protocol):
    """What the nightly export asks of the store."""

    def claim_job_run(
        self, job: str, business_date: date, *, claimed_by: str, lease_seconds: float, merchant: str = ""
    ) -> JobRun | None:
        """The run, if it is ours to do now."""

    def finish_job_run(self, run: JobRun, state: JobState, detail: Mapping[str, Any]) -> None:
        """End it as done or failed. Raises ClaimLostError."""

    def list_job_runs(self, job: str | None = None, merchant: str | None = None) -> tuple[JobRun, ...]:
        """Runs, newest business date first."""

    def orders_for_export(self, merchant: str | None = None, since: datetime | None = None) -> Iterator[ExportOrder]:
        """All orders, streamed."""

    def record_published_file(
        self, path: str, profile: str, sha256: str, *, rows: int, orders: Sequence[tuple[int, int]]
    ) -> None:
        """Enter a file and its orders, (id, revision) each, in the ledger. Raises ErasedMeanwhileError."""


class NightlySettings(Protocol):
    """What the nightly export is told. `export_time` is `HH:MM` local time in `zone`; `exports` is a folder."""

    @property
    def export_time(self) -> str: ...

    @property
    def zone(self) -> tzinfo: ...

    @property
    def exports(self) -> Path: ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


class NightlySchedule:
    """The nightly export, from `start` to `stop`. `clock` gives the present instant (aware)."""

    def __init__(
        self, store: NightlyStore, settings: NightlySettings, *, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._store = store
        self._at = time.fromisoformat(settings.export_time)
        self._zone = settings.zone
        self._folder = settings.exports
        self._clock = clock
        self._claimed_by = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._started_at = clock()
        self._settled: date | None = None
        self._ask_again_at = self._started_at
        self._bell = BackgroundScheduler(timezone=UTC)

    def start(self) -> None:
        """Begin to ring, in a thread of the scheduler. A run missed while nobody rang begins within seconds."""
        self._started_at = self._clock()
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
        _, instant = latest_due(self._started_at, self._at, self._zone)
        log.info("nightly export scheduled", at=f"{self._at:%H:%M}", zone=str(self._zone), last_due=instant.isoformat())

    def stop(self) -> None:
        """Ring no more; returns when a run under way has ended."""
        if self._bell.running:
            self._bell.shutdown(wait=True)

    def ring(self) -> JobRun | None:
        """Do the run that is due, if it is ours; returns it as claimed, or None when there was nothing to do here.

        Never raises because of the run: what went wrong is in the run's detail and in the log.
        """
        now = self._clock()
        # Where the clock was put back, what it said before is in the future and would be waited for.
        self._started_at = min(self._started_at, now)
        self._ask_again_at = min(self._ask_again_at, now + timedelta(seconds=ELSEWHERE_SECONDS))
        day, instant = latest_due(now, self._at, self._zone)
        ripe_at = max(instant, self._started_at) + timedelta(seconds=SETTLE_SECONDS)
        if day == self._settled or now < max(ripe_at, self._ask_again_at):
            return None
        try:
            return self._claim_and_run(day, instant, now)
        except (IonError, OSError) as error:
            self._ask_again_at = now + timedelta(seconds=ELSEWHERE_SECONDS)
            log.warning("nightly export could not begin", business_date=str(day), cause=_cause(error))
            return None

    def _claim_and_run(self, day: date, instant: datetime, now: datetime) -> JobRun | None:
        runs = self._store.list_job_runs(job=JOB, merchant="")
        known = next((run for run in runs if run.business_date == day), None)
        if known is not None and known.state == JobState.DONE:
            self._settled = day
            return None
        if known is not None and known.attempts >= ATTEMPTS and known.has_ended(now):
            self._settled = day
            log.error("nightly export given up for this date", business_date=str(day), attempts=known.attempts)
            return None
        if known is not None and known.finished_at and abs(now - known.finished_at) < timedelta(seconds=RETRY_SECONDS):
            return None
        if not runs and instant <= self._started_at and not _any(self._store.orders_for_export()):
            self._settled = day  # a new installation: nothing was there yet that this date could have missed
            return None
        run = self._store.claim_job_run(JOB, day, claimed_by=self._claimed_by, lease_seconds=LEASE_SECONDS)
        if run is None:
            self._ask_again_at = now + timedelta(seconds=ELSEWHERE_SECONDS)
            return None
        self._run(run, _done_until(runs, now), now)
        return run

    def _run(self, run: JobRun, start: datetime | None, now: datetime) -> None:
        end = now - timedelta(seconds=SETTLE_SECONDS)
        detail: dict[str, Any] = {"applied_from": start and start.isoformat(), "applied_before": end.isoformat()}
        state = JobState.FAILED
        try:
            detail["files"] = self._write_files(run.business_date, start, end, now)
            state = JobState.DONE
        except Exception as error:  # whatever it was, the run is to be tried again
            detail["error"] = _cause(error)
        try:
            self._store.finish_job_run(run, state, detail)
        except ClaimLostError:
            log.warning("nightly export was taken over", business_date=str(run.business_date))
            return
        if state is JobState.DONE:
            self._settled = run.business_date
            log.info("nightly export done", business_date=str(run.business_date), files=detail["files"])
        else:
            log.error("nightly export failed", business_date=str(run.business_date), attempt=run.attempts, **detail)

    def _write_files(
        self, day: date, start: datetime | None, end: datetime, now: datetime
    ) -> list[dict[str, str | int]]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files: list[dict[str, str | int]] = []
        for name in PROFILES:
            path = self._folder / file_name(profile_named(name), day, self._zone)
            members: list[tuple[int, int]] = []
            orders = _noted(_applied(self._store.orders_for_export(), start, end), members)
            summary = export_orders(orders, name, path, exported_at=now, zone=self._zone)
            try:
                self._store.record_published_file(
                    str(path.resolve()), name, summary.sha256, rows=summary.rows, orders=members
                )
            except ErasedMeanwhileError:
                path.unlink(missing_ok=True)
                raise
            files.append(
                {
                    "profile": name,
                    "path": str(path),
                    "orders": summary.orders,
                    "rows": summary.rows,
                    "sha256": summary.sha256,
                }
            )
        return files


def _applied(orders: Iterable[ExportOrder], start: datetime | None, end: datetime) -> Iterator[ExportOrder]:
    # By `applied_at`, not by when the mail came: an order a person released today may have come last week.
    return (stored for stored in orders if (start is None or stored.applied_at >= start) and stored.applied_at < end)


def _noted(orders: Iterable[ExportOrder], members: list[tuple[int, int]]) -> Iterator[ExportOrder]:
    """The orders, each noted in `members` as it goes by."""
    for stored in orders:
        members.append((stored.id, stored.revision))
        yield stored


def _done_until(runs: Iterable[JobRun], now: datetime) -> datetime | None:
    """Where the newest done run ended: orders applied before it are in a file. None: there was none.

    One that a clock ahead ran does not count: what is applied now, once that clock is right, would be left out.
    """
    ends = [datetime.fromisoformat(run.detail["applied_before"]) for run in runs if run.state == JobState.DONE]
    return max((end for end in ends if end <= now), default=None)


def _any(orders: Iterator[ExportOrder]) -> bool:
    return next(orders, None) is not None


def _cause(error: Exception) -> str:
    # Our own sentences and the system's name no personal data; those of other libraries may quote values.
    return (
        str(error) if isinstance(error, IonError) else f"{type(error).__name__} {getattr(error, 'strerror', '') or ''}"
    )
