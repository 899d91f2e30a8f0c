"""Alerting: looks once a minute whether something needs a person, and has staff told of it by mail.

A look asks the store, the jobs and the disk what stands now, makes the open alerts be exactly that (`settle_alerts`),
logs what is new, once for each cause, and queues the mails that are due (`queue_alerts`). So an alert ends by itself
when its cause is gone, a look that was missed or made twice changes nothing, and any number of programs may look.
Where the store refuses, the next look does all of it.

What lasts for hours before it counts, or takes long to find out, is looked at every quarter of an hour.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil

import structlog

from ion.config import Settings
from ion.errors import IonError
from ion.jobs import JobStatus, ScheduledJob, how_jobs_fare, scheduled_jobs
from ion.notify.sending import queue_alerts
from ion.store import DEFAULT_MERCHANT, Cause, Condition, JobState, Store

log = structlog.get_logger("ion.alerts")

LOOK_SECONDS = 60.0
SLOW_LOOK_SECONDS = 900.0
QUICK = ("unread", "held", "unsealed", "contradiction", "job-late", "job-failed", "imap", "delivery", "disk", "unsent")
SLOW = ("silence", "gap", "unentered")
UNSENT_HOURS = 1
# What is usual is taken from so many days before the last order mail, and from so many mails at most.
USUAL_DAYS = 56
USUAL_MAILS = 200
LEAST_MAILS = 4
USUAL_SHARE = 0.9
UNUSUAL_FACTOR = 3
# Mail is refused below the floor; a person is to know before.
DISK_FACTOR = 2
# How staff look at what an alert names.
_COMMANDS = {"unread": "ion show ", "held": "ion show ", "unsealed": "ion show ", "contradiction": "ion show "}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Alerting:
    """The looks, from `start` to `stop`. `jobs`: the jobs that are to run; `clock` gives the present instant (aware);
    `since`: nothing counts as late before, because what was due while nothing ran is being made up for."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        jobs: Callable[[], Sequence[ScheduledJob]] | None = None,
        clock: Callable[[], datetime] = _utc_now,
        since: datetime | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._jobs = jobs or (lambda: scheduled_jobs(store, settings))
        self._clock = clock
        self._since = since
        self._slow_at: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        self._since = self._clock()
        self._stop.clear()
        self._thread = threading.Thread(target=self._loop, name="alerting", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the look under way has ended. Does nothing where not started."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def look(self, *, everything: bool = False) -> int:
        """Raise and end alerts, and queue the mails that are due; how many mails. `everything`: also what is looked at
        less often. Raises StoreError."""
        now = self._clock()
        if self._since is not None:
            self._since = min(self._since, now)  # where the clock was put back, what it said before is in the future
        began = time.monotonic()
        is_slow = everything or self._slow_at is None or began >= self._slow_at
        causes = list(self._quick_causes(now))
        kinds: tuple[str, ...] = QUICK
        if is_slow:
            causes += self._slow_causes(now)
            kinds = (*QUICK, *SLOW)
        raised, ended = self._store.settle_alerts(causes, kinds)
        for one in raised:
            log.error("alert", kind=one.kind, alert=one.id, merchant=one.merchant, cause=one.subject)
        for one in ended:
            log.info("alert over", kind=one.kind, alert=one.id, merchant=one.merchant, cause=one.subject)
        if is_slow:
            self._slow_at = began + SLOW_LOOK_SECONDS
        mails = queue_alerts(self._store, self._settings)
        if mails:
            log.info("alerts queued", mails=mails)
        return mails

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # the next look does it all
                cause = str(error) if isinstance(error, IonError) else type(error).__name__
                log.error("alerts cannot be looked at", cause=cause)  # noqa: TRY400  # no traceback: values
            self._stop.wait(LOOK_SECONDS)

    def _quick_causes(self, now: datetime) -> Iterator[Cause]:
        store = self._store
        unsent = store.unsent_mail(now - timedelta(hours=UNSENT_HOURS))
        for condition in (*store.unread_mail(), *store.waiting_for_a_person(), *store.failed_deliveries(), *unsent):
            yield _counted(condition)
        since = self._since
        for status in how_jobs_fare(store, self._jobs(), now):
            yield from job_causes(status, now, timedelta(minutes=self._settings.alert_job_minutes), since)
        yield from self._imap_causes(now)
        yield from self._disk_causes()

    def _slow_causes(self, now: datetime) -> Iterator[Cause]:
        store, settings = self._store, self._settings
        gaps = store.missing_sequence_numbers(now - timedelta(hours=settings.alert_gap_hours))
        unentered: tuple[Condition, ...] = ()
        if settings.alert_unentered != "never":
            before = now - timedelta(hours=settings.alert_unentered_hours)
            unentered = store.unentered_orders(before, always=settings.alert_unentered == "always")
        for condition in (*gaps, *unentered):
            yield _counted(condition)
        for merchant, arrivals in store.arrivals(USUAL_DAYS, USUAL_MAILS).items():
            usual = unusual_silence(arrivals, now, timedelta(days=settings.alert_silence_days))
            if usual is not None:
                silent, share = (now - arrivals[-1]).days, f"{USUAL_SHARE:.0%} ≤ {usual / timedelta(days=1):.1f} d"
                text = f"{_time(arrivals[-1])} · {silent} d ({share})"
                yield Cause(merchant, "silence", f"silence:{merchant}", text)

    def _imap_causes(self, now: datetime) -> Iterator[Cause]:
        failing = self._store.failing_imap_accounts()
        known = {one.name for one in self._store.list_merchants()} if failing else set()
        patience = timedelta(minutes=self._settings.alert_imap_minutes)
        for account in self._settings.imap:
            if account.name not in failing:
                continue
            state, since, last_round_at = failing[account.name]
            if last_round_at is not None:
                # Where it fails now in one way and now in another, the state is always a new one.
                since = min(since, last_round_at + timedelta(seconds=account.round_seconds))
            if since <= now - patience:
                merchant = account.merchant if account.merchant in known else DEFAULT_MERCHANT
                text = f"{account.name} · {state.value} · {_time(since)} · ion imap"
                yield Cause(merchant, "imap", f"imap:{account.name}", text)

    def _disk_causes(self) -> Iterator[Cause]:
        least = DISK_FACTOR * self._settings.smtp_min_free_bytes
        for folder in dict.fromkeys((self._store.folder, self._settings.data_dir, self._settings.exports)):
            if folder is None or not folder.is_dir():
                continue
            disk = os.statvfs(folder)
            if disk.f_bavail * disk.f_frsize < least:
                yield Cause(DEFAULT_MERCHANT, "disk", "disk", f"{folder} · < {least // 10**6} MB")
                return


def job_causes(status: JobStatus, now: datetime, patience: timedelta, since: datetime | None) -> Iterator[Cause]:
    """What a person has to know of a job: that it was given up, that the last night left a profile or orders unwritten,
    or that it is late by more than `patience`. Nothing is late before `patience` has gone by from `since` on (aware),
    where that is given."""
    merchant = status.merchant or DEFAULT_MERCHANT
    subject = ":".join(["job", status.job, *([status.merchant] if status.merchant else [])])
    yield from _unwritten(status, merchant, subject)
    if status.failed is not None:
        run = status.failed
        error = str(run.detail.get("error", ""))
        text = " · ".join(part for part in (status.job, str(run.business_date), f"{run.attempts} ×", error) if part)
        yield Cause(merchant, "job-failed", subject, text, run.finished_at)
        if run.business_date == status.business_date:
            return
    if status.late_seconds and now - max(status.due_at, since or status.due_at) >= patience:
        text = f"{status.job} · {status.business_date} · {_time(status.due_at)} · {status.state or '-'}"
        yield Cause(merchant, "job-late", subject, text)


def _unwritten(status: JobStatus, merchant: str, subject: str) -> Iterator[Cause]:
    """The profiles that the last night could not write, or not with all orders; it is done all the same."""
    run = status.last_run
    if run is None or run.state != JobState.DONE:
        return
    for profile in run.detail.get("profiles", ()):
        orders = (f"{order_id}: {reason}" for order_id, reason in profile.get("unwritten", {}).items())
        reason = profile.get("error") or "; ".join(orders)
        if reason:
            text = f"{status.job} · {run.business_date} · {profile['profile']} · {reason}"
            yield Cause(merchant, "job-failed", f"{subject}:{profile['profile']}", text, run.finished_at)


def unusual_silence(arrivals: Sequence[datetime], now: datetime, least: timedelta) -> timedelta | None:
    """The usual gap between order mails, where the present one is unusual; else None. `arrivals`: aware, oldest first.

    Usual is what nine of ten gaps do not exceed (nearest rank), of `LEAST_MAILS` mails or more. Unusual is a silence of
    more than three times that, and of at least `least`.
    """
    if len(arrivals) < LEAST_MAILS:
        return None
    gaps = sorted(later - earlier for earlier, later in pairwise(arrivals))
    usual = gaps[ceil(USUAL_SHARE * len(gaps)) - 1]
    silent = now - arrivals[-1]
    return usual if silent > UNUSUAL_FACTOR * usual and silent >= least else None


def _counted(condition: Condition) -> Cause:
    """One alert for each merchant and kind, however many there are."""
    names = ", ".join(condition.names) + (" …" if condition.number > len(condition.names) else "")
    if condition.kind == "gap":  # its names are ranges
        names = ", ".join(condition.names)
    text = f"{condition.number} · {_time(condition.oldest)} · {_COMMANDS.get(condition.kind, '')}{names}"
    return Cause(condition.merchant, condition.kind, f"{condition.kind}:{condition.merchant}", text, condition.newest)


def _time(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
