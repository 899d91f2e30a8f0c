"""The rows that exports write of each order, made soon after it came in, by whoever serves.

What is not made yet, or was made by an older version of the profile, is made by the export itself; so this may be late,
or not run at all, and nothing is wrong but the time a large export takes.
"""

import threading

import structlog

from ion.errors import IonError
from ion.export import rows_of
from ion.export.ready_rows import PROFILE
from ion.store import KeptRows, Store

log = structlog.get_logger("ion.rows")

ROWS_AT_ONCE = 50
# Between two groups, so that mail that comes in has the processor and the database.
PAUSE_SECONDS = 0.2
LOOK_SECONDS = 5.0


def make_rows(store: Store, limit: int = ROWS_AT_ONCE) -> int:
    """Make the rows of up to `limit` orders that have none; of how many. Raises StoreError."""
    waiting = store.orders_without_rows(str(PROFILE), limit)
    made = []
    for order_id, applied_at, order in waiting:
        rows = rows_of(order)
        # Where they cannot be kept, nothing is, so that nobody tries again.
        kept = KeptRows(str(PROFILE), rows.text, rows.count) if rows else KeptRows(str(PROFILE), "", 0)
        made.append((order_id, applied_at, kept))
    if made:
        store.keep_rows(made)
    return len(made)


class RowMaker:
    """Makes rows in a thread of its own, from `start` to `stop`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rows", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the group under way is done. Does nothing where not started."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                number = make_rows(self._store)
            except IonError as error:
                log.warning("rows not made", cause=str(error))
                number = 0
            self._stop.wait(PAUSE_SECONDS if number else LOOK_SECONDS)
