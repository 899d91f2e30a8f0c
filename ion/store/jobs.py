"""Job runs: one row for each job, merchant and business date, so that however many schedulers ring, a job runs once.

running -> done       over: not claimed again, but where a clock that was ahead did it before its date
        -> failed     may be claimed again at once; `attempts` tells the caller how often that was
        -> running    taken over by another process after the lease ran out, or where it was claimed by a clock that
                      was ahead and has been put right since
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.engine import Database, insert_new, one_row
from ion.store.messages import CLOCKS_APART, ClaimLostError
from ion.store.types import JobState, utc_now


@dataclass(frozen=True)
class JobRun:
    """A run as it was claimed or listed. `merchant` is "" where the job is for all; `attempts` counts claims."""

    id: int
    job: str
    merchant: str
    business_date: date
    state: str
    claimed_by: str
    lease_until: datetime
    started_at: datetime
    finished_at: datetime | None
    attempts: int
    detail: dict[str, Any]

    def has_ended(self, now: datetime) -> bool:
        """Whether nobody is at it any more."""
        is_left = self.lease_until <= now or self.started_at > now + CLOCKS_APART
        return self.state != JobState.RUNNING or is_left


class Jobs(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def claim_job_run(
        self, job: str, business_date: date, *, claimed_by: str, lease_seconds: float, merchant: str = ""
    ) -> JobRun | None:
        """The run, if it is ours to do now; None where it is done or somebody else is at it.

        A run that failed, or that nobody is at any more (`JobRun.has_ended`), is taken over. `claimed_by` names the
        process, for people. Whoever may need longer than the lease has to be idempotent, because another may begin.
        """
        table, now = tables.JobRun, utc_now()
        mine = {
            "state": JobState.RUNNING.value,
            "claimed_by": claimed_by,
            "lease_until": now + timedelta(seconds=lease_seconds),
            "started_at": now,
            "finished_at": None,
            "detail": "{}",
        }
        key = {"job": job, "merchant": merchant, "business_date": business_date}
        is_ahead = col(table.started_at) > now + CLOCKS_APART
        is_done = col(table.state) == JobState.DONE.value
        with self.reading() as connection:
            if connection.execute(_runs(**key).where(is_done, ~is_ahead)).first() is not None:
                return None
        with self.writing() as connection:
            changed = 1
            is_left = sa.or_(col(table.lease_until) <= now, is_ahead)
            if insert_new(connection, table, "id", **key, **mine, attempts=1) is None:
                changed = connection.execute(
                    sa.update(table)
                    .where(*(getattr(table, name) == value for name, value in key.items()))
                    .where(
                        sa.or_(
                            col(table.state) == JobState.FAILED.value,
                            sa.and_(col(table.state) == JobState.RUNNING.value, is_left),
                            sa.and_(is_done, is_ahead),
                        )
                    )
                    .values(**mine, attempts=table.attempts + 1)
                ).rowcount
            return _run(connection.execute(_runs(**key)).one()) if changed == 1 else None

    def renew_job_run(self, run: JobRun, lease_seconds: float) -> None:
        """Hold on to a claimed run for so much longer. Raises ClaimLostError where it was taken over."""
        table = tables.JobRun
        with self.writing() as connection:
            renewed = connection.execute(
                sa.update(table)
                .where(col(table.id) == run.id, col(table.attempts) == run.attempts)
                .where(col(table.state) == JobState.RUNNING.value)
                .values(lease_until=utc_now() + timedelta(seconds=lease_seconds))
            )
            one_row(renewed, ClaimLostError(f"run {run.id} of job {run.job} was taken over"))

    def done_through(self, job: str, merchant: str, not_after: date) -> date | None:
        """The newest business date, not after that one, whose run is done; where none is, the day before the first one
        that was begun. None where none was begun."""
        table = tables.JobRun
        not_ahead = col(table.started_at) <= utc_now() + CLOCKS_APART
        of_job = (col(table.job) == job, col(table.merchant) == merchant, col(table.business_date) <= not_after)
        is_done = sa.and_(col(table.state) == JobState.DONE.value, not_ahead)
        with self.reading() as connection:
            done, begun = connection.execute(
                sa.select(
                    sa.func.max(col(table.business_date)).filter(is_done),
                    sa.func.min(col(table.business_date)).filter(not_ahead),
                ).where(*of_job)
            ).one()
        return done if done is not None else begun and begun - timedelta(days=1)

    def job_run(self, job: str, merchant: str, business_date: date) -> JobRun | None:
        """The run of one date; None where nobody began it."""
        with self.reading() as connection:
            query = _runs(job=job, merchant=merchant, business_date=business_date)
            row = connection.execute(query).one_or_none()
            return None if row is None else _run(row)

    def finish_job_run(self, run: JobRun, state: JobState, detail: Mapping[str, Any]) -> None:
        """End a claimed run as done or failed. `detail`: JSON values for people, such as a file and its row count.

        Raises ClaimLostError where another process has taken the run over.
        """
        table = tables.JobRun
        with self.writing() as connection:
            ended = connection.execute(
                sa.update(table)
                .where(col(table.id) == run.id)
                .where(col(table.state) == JobState.RUNNING.value)
                # Every claim raises `attempts`, so the count says whether this claim is still the newest.
                .where(col(table.attempts) == run.attempts)
                .values(state=state.value, finished_at=utc_now(), detail=json.dumps(dict(detail)))
            )
            one_row(ended, ClaimLostError(f"run {run.id} of job {run.job} was taken over"))

    def recent_job_runs(self, job: str, merchant: str, not_after: date, limit: int) -> tuple[JobRun, ...]:
        """Up to `limit` runs of business dates up to that one, newest first. One that a clock ahead of ours began does
        not count, as in `claim_job_run`."""
        table = tables.JobRun
        query = (
            _runs(job=job, merchant=merchant)
            .where(col(table.business_date) <= not_after, col(table.started_at) <= utc_now() + CLOCKS_APART)
            .order_by(col(table.business_date).desc())
            .limit(limit)
        )
        with self.reading() as connection:
            return tuple(_run(row) for row in connection.execute(query))

    def list_job_runs(self, job: str | None = None, merchant: str | None = None) -> tuple[JobRun, ...]:
        """Runs, newest business date first."""
        given = {name: value for name, value in (("job", job), ("merchant", merchant)) if value is not None}
        query = _runs(**given).order_by(col(tables.JobRun.business_date).desc(), col(tables.JobRun.id).desc())
        with self.reading() as connection:
            return tuple(_run(row) for row in connection.execute(query))


_FIELDS = tuple(JobRun.__dataclass_fields__)


def _runs(**key: Any) -> "sa.Select[*tuple[Any, ...]]":
    query = sa.select(*(getattr(tables.JobRun, name) for name in _FIELDS))
    return query.where(*(getattr(tables.JobRun, name) == value for name, value in key.items()))


def _run(row: Any) -> JobRun:
    values = dict(zip(_FIELDS, row, strict=True))
    return JobRun(**values | {"detail": json.loads(values["detail"])})
