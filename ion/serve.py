"""Wiring of `ion serve`: the listener, the worker and the nightly export in one program, started and stopped in order.

Start: store, listener, worker, schedule. Stop, on SIGTERM or SIGINT, in the other order: no new job is begun, no new
mail is taken, what is being read is finished or goes back to the queue, the store is closed.
"""

import gc
import signal
import threading

import structlog

from ion.config import Settings
from ion.inbox import Listener
from ion.schedule import NightlySchedule
from ion.seal import KeyRing
from ion.store import Store, open_store
from ion.worker import Worker

log = structlog.get_logger("ion.serve")


def serve_forever(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises SettingError or StoreError before any mail is taken."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_store(settings.store_url, mail_domain=settings.mail_domain)
    try:
        service = Service(settings, store)
        service.start()
        gc.collect()
        gc.freeze()  # what has been loaded by now stays: looking through it again and again held up the doors
        try:
            stop.wait()
        finally:
            service.stop()
    finally:
        store.close()


class Service:
    """Everything that runs while the program serves. `start` returns when mail is taken, `stop` when all has ended.

    `nightly`: whether the nightly export runs too.
    """

    def __init__(self, settings: Settings, store: Store, *, nightly: bool = True) -> None:
        self._stopping = threading.Event()
        self.worker = Worker(store, KeyRing(settings.keys_dir).keys_for, timeout_seconds=settings.read_timeout_seconds)
        self.listener = Listener.from_settings(store, settings, self.worker.notify)
        self.schedule = NightlySchedule(store, settings) if nightly else None
        self._worker_thread = threading.Thread(target=self.worker.run, args=(self._stopping,), name="worker")

    def start(self) -> None:
        """Bind first: where that fails, nothing has been started that would keep the program alive."""
        self.listener.start()
        try:
            self._worker_thread.start()
            if self.schedule:
                self.schedule.start()
        except BaseException:
            self.stop()
            raise
        log.info("serving", smtp_host=self.listener.host, smtp_port=self.listener.port)

    def stop(self) -> None:
        if self.schedule:
            self.schedule.stop()
        self.listener.stop()
        self._stopping.set()
        self.worker.notify()
        if self._worker_thread.ident is not None:
            self._worker_thread.join()
        log.info("stopped")
