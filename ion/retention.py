"""Retention: once a day the raw mail whose days are over is removed, and what erasure left to do is finished.

Run beside the nightly export by `ion serve`. A row of the store for (job, date) decides whose run it is, so it runs
once a day whatever number of processes serve; a day on which nothing served is made up for by the next one, because
what is over stays over. The clock decides what is over: one that is put back removes nothing, one that was put forward
for a while removes early, and so this needs a clock that is kept right.
"""

import os
import secrets
import socket
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from ion.config import Settings
from ion.errors import IonError
from ion.files import write_whole
from ion.store import ClaimLostError, JobState, PublishedFile, Store

log = structlog.get_logger("ion.retention")

JOB = "retention"
RING_SECONDS = 60.0
# Between two batches, so that mail that comes in gets at the database.
PAUSE_SECONDS = 0.05
LEASE_SECONDS = 3600
RETRY_SECONDS = 600
TOMBSTONE_SUFFIX = ".erased.txt"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Retention:
    """The daily run, from `start` to `stop`. `clock` gives the present instant (aware)."""

    def __init__(self, store: Store, settings: Settings, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._store = store
        self._zone = settings.zone
        self._raw_days = settings.raw_days
        self._clock = clock
        self._claimed_by = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._settled: date | None = None
        self._not_before: datetime | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look once a minute whether the day's run is to be done, in a thread of its own."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._loop, name="retention", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the batch under way has ended. Does nothing where not started."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def ring(self) -> bool:
        """Do the day's run if it is ours to do; whether it was done here. Never raises because of the run: what went
        wrong is in the run's detail and in the log."""
        now = self._clock()
        today = now.astimezone(self._zone).date()
        if self._not_before is not None:  # where the clock was put back, what it said before is in the future
            self._not_before = min(self._not_before, now + timedelta(seconds=RETRY_SECONDS))
        if today == self._settled or (self._not_before is not None and now < self._not_before):
            return False
        self._not_before = now + timedelta(seconds=RETRY_SECONDS)
        try:
            run = self._store.claim_job_run(JOB, today, claimed_by=self._claimed_by, lease_seconds=LEASE_SECONDS)
            if run is None:  # done, or another process is at it; looked at again, in case that one dies
                return False
            state, detail = self._run(now)
            self._store.finish_job_run(run, state, detail)
        except ClaimLostError:
            log.warning("retention was taken over", date=str(today))
            return False
        except IonError as error:
            log.warning("retention could not run", date=str(today), cause=str(error))
            return False
        if state is JobState.FAILED:
            log.error("retention not finished", date=str(today), **detail)
            return False
        self._settled = today
        log.info("retention done", date=str(today), **detail)
        return True

    def _run(self, now: datetime) -> tuple[JobState, dict[str, Any]]:
        detail: dict[str, Any] = {}
        try:
            removed, emptied = remove_raw(self._store, self._raw_days, now=now, stop=self._stop)
            detail |= {"removed": removed, "log_emptied": emptied}
            replaced, failed = replace_erased_files(self._store, now=now)
            detail |= {"files_replaced": len(replaced), "files_failed": len(failed)}
        except (IonError, OSError) as error:
            detail["error"] = str(error) if isinstance(error, IonError) else type(error).__name__
            return JobState.FAILED, detail
        # Stopped half-way, or a reader was in the way of the log: the next look takes it up again.
        done = emptied and not failed and not self._stop.is_set()
        return (JobState.DONE if done else JobState.FAILED), detail

    def _loop(self) -> None:
        while not self._stop.is_set():
            self.ring()
            self._stop.wait(RING_SECONDS)


def remove_raw(store: Store, days: int, *, now: datetime, stop: threading.Event | None = None) -> tuple[int, bool]:
    """Remove the raw octets of the messages that were read, ignored or decided more than `days` days before `now`
    (aware), batch by batch, until none is left or `stop` is set.

    Returns how many, and whether the octets are gone from the database's log too (where not, a reader was in the way;
    it is done the next time). Raises StoreError.
    """
    removed, stop = 0, stop or threading.Event()
    while not stop.is_set() and (batch := store.purge_raw(now - timedelta(days=days))):
        removed += batch
        stop.wait(PAUSE_SECONDS)
    return removed, not stop.is_set() and store.empty_log()


def replace_erased_files(store: Store, *, now: datetime) -> tuple[list[Path], list[str]]:
    """Put a tombstone in the place of each published file that holds an erased order: `<file>.erased.txt`.

    Returns the tombstones, and a sentence for each file that could not be replaced; those are tried again the next
    time. A file that is no longer there, because somebody took it, gets its tombstone all the same. Raises StoreError.
    """
    replaced: list[Path] = []
    failed: list[str] = []
    for published in store.files_to_replace():
        path = Path(published.path)
        tombstone = path.with_name(path.name + TOMBSTONE_SUFFIX)
        try:
            was_there = path.is_file()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = _tombstone_text(published, now, was_there)
            write_whole(tombstone, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
            path.unlink(missing_ok=True)
        except OSError as error:
            failed.append(f"{path} holds erased data and cannot be replaced: {error.strerror}; remove it by hand")
            continue
        store.mark_replaced(published.id)
        replaced.append(tombstone)
    return replaced, failed


def _tombstone_text(published: PublishedFile, now: datetime, was_there: bool) -> str:
    gone = "removed" if was_there else "was no longer there; whoever took it has to remove it"
    return (
        "This file held personal data that was erased since.\n"
        f"file: {Path(published.path).name} ({gone})\n"
        f"sha256: {published.sha256}\n"
        f"orders: {published.order_count}\n"
        f"rows: {published.row_count}\n"
        f"published_at: {published.published_at.isoformat()}\n"
        f"replaced_at: {now.astimezone(UTC).isoformat()}\n"
        "reason: erasure\n"
        "The orders that were not erased can be written again with `ion export`.\n"
    )
