"""The jobs that run by the clock, and how each fares: its last run, when it is due next, and whether it is late.

A job is *late* from the instant it was due until its run of that date is done. It has *failed* where its last run that
came to an end had been tried `TOLD_ATTEMPTS` times; it is tried on, and stays so until a run is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from ion import retention
from ion.config import Settings
from ion.nightly import Steps, nightly_jobs, self_check_job
from ion.schedule import due_instant, latest_due
from ion.store import JobRun, JobState, Store

_LOOKED_AT = 10
"""Of the last runs: failed ones further back have long been told."""
TOLD_ATTEMPTS = 4
"""After so many a run that fails is told: half an hour, and less than the next try is away."""


@dataclass(frozen=True)
class ScheduledJob:
    """A job that is due once per business date. `merchant`: "" where it is for all; `at`: local time in `zone`;
    `begun_at`: since when it is there (aware); `most_attempts`: after so many it has failed, None: it is only late."""

    job: str
    merchant: str
    at: time
    zone: tzinfo
    begun_at: datetime
    most_attempts: int | None


@dataclass(frozen=True)
class JobStatus:
    """How a job fares. All instants aware, UTC. `business_date`, `due_at`: of the last time it was due; `state`: of
    its run of that date, `left` where nobody is at it any more, None where there is none; `last_run`: the newest of its
    runs, up to that date; `late_seconds`: since it was due, 0 where that run is done; `failed`: the run that has failed
    so often, None where none has."""

    job: str
    merchant: str
    business_date: date
    due_at: datetime
    next_due_at: datetime
    state: str | None
    late_seconds: int
    last_run: JobRun | None
    failed: JobRun | None

    def to_json(self) -> dict[str, Any]:
        """As plain values, for people; `merchant`: None where the job is for all."""
        run = self.last_run
        return {
            "job": self.job,
            "merchant": self.merchant or None,
            "business_date": self.business_date,
            "state": self.state,
            "due_at": self.due_at,
            "late_seconds": self.late_seconds,
            "next_due_at": self.next_due_at,
            "failed": self.failed is not None,
            "last_run": run
            and {
                "business_date": run.business_date,
                "state": run.state,
                "attempts": run.attempts,
                "started_at": run.started_at,
                "finished_at": run.finished_at,
                "claimed_by": run.claimed_by,
                "detail": run.detail,
            },
        }


def scheduled_jobs(store: Store, settings: Settings) -> tuple[ScheduledJob, ...]:
    """The jobs that `ion serve` runs. Raises StoreError."""
    check = self_check_job(store, settings)
    return (
        *(
            ScheduledJob(job.name, job.merchant, job.at, job.zone, job.begun_at, most_attempts=TOLD_ATTEMPTS)
            for job in (*nightly_jobs(store, settings, Steps()), check)
        ),
        ScheduledJob(retention.JOB, "", time(0, 0), settings.zone, check.begun_at, most_attempts=None),
    )


def how_jobs_fare(store: Store, jobs: Sequence[ScheduledJob], now: datetime) -> tuple[JobStatus, ...]:
    """Each job at `now` (aware). Raises StoreError."""
    return tuple(_status(store, job, now) for job in jobs)


def next_due(now: datetime, at: time, zone: tzinfo) -> datetime:
    """The first instant after `now` (aware) at which local time `at` is due in `zone`, aware UTC."""
    day, _ = latest_due(now, at, zone)
    for days in range(1, 5):  # a zone may leave out a calendar day
        instant = due_instant(day + timedelta(days=days), at, zone)
        if instant > now and instant.astimezone(zone).date() == day + timedelta(days=days):
            return instant.astimezone(UTC)
    raise ValueError(f"no local time {at} within four days after {now} in {zone}")


def _status(store: Store, job: ScheduledJob, now: datetime) -> JobStatus:
    day, due_at = latest_due(now, job.at, job.zone)
    runs = store.recent_job_runs(job.job, job.merchant, day, _LOOKED_AT)
    current = runs[0] if runs and runs[0].business_date == day else None
    late = now - due_at
    if current is not None and current.state == JobState.DONE:
        late = timedelta(0)
    elif not runs and (due_at < job.begun_at or not store.has_orders_before(due_at)):
        late = timedelta(0)  # a merchant just added, a new installation: there was nothing to do on that date
    is_left = current is not None and current.state == JobState.RUNNING and current.has_ended(now)
    return JobStatus(
        job=job.job,
        merchant=job.merchant,
        business_date=day,
        due_at=due_at.astimezone(UTC),
        next_due_at=next_due(now, job.at, job.zone),
        state="left" if is_left else current.state if current else None,
        late_seconds=round(late.total_seconds()),
        last_run=runs[0] if runs else None,
        failed=_failed(runs, job.most_attempts),
    )


def _failed(runs: Sequence[JobRun], most_attempts: int | None) -> JobRun | None:
    """The run that has failed so often, unless a later one is done."""
    for run in runs:
        if run.state == JobState.DONE:
            return None
        if run.state == JobState.FAILED and most_attempts is not None and run.attempts >= most_attempts:
            return run
    return None
