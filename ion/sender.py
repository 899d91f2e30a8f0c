"""The sending side as `ion serve` runs it: the outbox, the daily digests, and the watched folder where one is set."""

import threading
from datetime import UTC, datetime, time

import structlog

from ion.config import Settings
from ion.errors import IonError
from ion.intake import take_payloads
from ion.notify.outbox import Outbox
from ion.notify.sending import queue_digests
from ion.reading import read_message
from ion.schedule import latest_due
from ion.store import Store
from ion.watch import Watch

log = structlog.get_logger("ion.outbox")


class Sender:
    """Runs from `start` to `stop`."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._outbox = Outbox(store, settings, before_round=lambda: queue_due_digests(store, settings))
        self._stop = threading.Event()
        self._watching: threading.Thread | None = None
        if settings.watch_dir is not None:
            watch = Watch(
                settings.watch_dir,
                lambda documents: take_payloads(store, documents, settings, read_back=read_message),
            )
            self._watching = threading.Thread(target=self._watch, args=(watch,), name="watch", daemon=True)

    def start(self) -> None:
        self._outbox.start()
        if self._watching is not None:
            self._watching.start()

    def stop(self) -> None:
        """Returns when what is under way has ended; what waits stays queued. Does nothing where not started."""
        self._stop.set()
        if self._watching is not None and self._watching.ident is not None:
            self._watching.join()
        self._outbox.stop()

    def _watch(self, watch: Watch) -> None:
        while not self._stop.is_set():
            try:
                watch.run(self._stop, lambda _: self._outbox.notify())
            except Exception as error:  # another program has the folder, or it is gone: it may come back
                cause = str(error) if isinstance(error, IonError) else type(error).__name__
                log.error("folder not watched", cause=cause)  # noqa: TRY400  # no traceback: values
                self._stop.wait(60)


def queue_due_digests(store: Store, settings: Settings) -> None:
    """Queue the digests whose time has come. Raises StoreError."""
    before = digests_due(settings, datetime.now(UTC))
    if number := queue_digests(store, settings, before, read_back=read_message):
        log.info("digests queued", number=number)


def digests_due(settings: Settings, now: datetime) -> datetime:
    """The last instant at which digests were due, at or before `now` (aware): what was gathered before it goes out."""
    return latest_due(now, time.fromisoformat(settings.digest_time), settings.zone)[1]
