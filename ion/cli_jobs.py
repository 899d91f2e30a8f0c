"""`ion jobs`: what runs by the clock, when it ran last, when it is due, and whether it is late."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ion.console import opened_store, print_json, settings_of

if TYPE_CHECKING:
    from ion.jobs import JobStatus


def jobs(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines also on a terminal.")] = False,
) -> None:
    """Show each job: its last run and what came of it, when it is due next, and by how much it is late. JSON Lines."""
    from ion.jobs import how_jobs_fare, scheduled_jobs

    settings = settings_of(context)
    with opened_store(settings) as store:
        for status in how_jobs_fare(store, scheduled_jobs(store, settings), datetime.now(UTC)):
            if as_json or not sys.stdout.isatty():
                print_json(status.to_json())
            else:
                typer.echo(sentence(status))


def sentence(status: "JobStatus") -> str:
    """How a job fares, in one line for a person."""
    name = f"{status.job} ({status.merchant})" if status.merchant else status.job
    run = status.last_run
    last = "never ran"
    if run is not None:
        last = f"last run for {run.business_date}: {run.state}, attempt {run.attempts}, begun {_time(run.started_at)}"
    late = f"; LATE since {_time(status.due_at)}" if status.late_seconds else ""
    failed = f"; GIVEN UP for {status.failed.business_date}" if status.failed else ""
    return f"{name}: {last}{late}{failed}; next due {_time(status.next_due_at)}"


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
