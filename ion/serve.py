"""Wiring of `ion serve`: doors, worker, outbox, delivery, nightly job and alerts, started and stopped in order.

Start: store, listener, worker, IMAP, outbox, delivery, HTTP, schedule, alerts. Stop, on SIGTERM or SIGINT, in the other
order: no new job is begun, no new mail is taken, what is being read is finished or goes back to the queue, the store is
closed.
"""

import gc
import os
import signal
import threading
from typing import TYPE_CHECKING

import structlog

from ion.alerting import Alerting
from ion.config import Settings
from ion.delivery import Deliverer
from ion.errors import SettingError
from ion.inbox import ImapFetchers, Listener
from ion.keys import key_ring
from ion.nightly import Steps, fetch_accounts, nightly_jobs, self_check_job
from ion.retention import Retention
from ion.rows import RowMaker
from ion.schedule import DailyJob, Schedule
from ion.sender import Sender
from ion.store import Store, open_store
from ion.trust import Authenticator
from ion.worker import Worker

if TYPE_CHECKING:
    from ion.web.server import WebServer

log = structlog.get_logger("ion.serve")


def serve_forever(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises SettingError or StoreError before any mail is taken."""
    # Not an Event: a signal that comes while the main thread holds the lock of one would wait for itself for ever. And
    # not written by the handler: the system may give a signal to any thread, a handler runs in the main thread only,
    # and that one would wait in its read. `set_wakeup_fd` has the thread write that was given the signal.
    asked, ask = os.pipe()
    os.set_blocking(ask, False)
    signal.set_wakeup_fd(ask, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    store = open_store(settings.store_url, mail_domain=settings.mail_domain)
    try:
        service = Service(settings, store)
        service.start()
        gc.collect()
        gc.freeze()  # what has been loaded by now stays: looking through it again and again held up the doors
        try:
            os.read(asked, 1)
        finally:
            service.stop()
    finally:
        store.close()


class Service:
    """Everything that runs while the program serves. `start` returns when mail is taken, `stop` when all has ended.

    `nightly`: whether the nightly export, the daily retention and the alerts run too.
    """

    def __init__(self, settings: Settings, store: Store, *, nightly: bool = True) -> None:
        self._stopping = threading.Event()
        keys = key_ring(settings, store)
        keys.ensure_secret()  # a lost one is told before any mail is taken
        self.authenticator = Authenticator.from_settings(store, settings)
        self.worker = Worker(
            store,
            keys.keys_for,
            timeout_seconds=settings.read_timeout_seconds,
            readers=settings.reader_count,
            authenticator=self.authenticator,
        )
        self.listener = Listener.from_settings(store, settings, self.worker.notify)
        self.fetchers = ImapFetchers(
            store,
            settings.imap,
            max_message_bytes=settings.smtp_max_message_bytes,
            on_received=self.worker.notify,
        )
        self.sender = Sender(store, settings)
        self.rows = RowMaker(store)
        self.deliverer = Deliverer(store, settings)
        steps = Steps(
            fetch=lambda merchant: fetch_accounts(store, settings, merchant),
            read=self.worker.notify,
            deliver=self.deliverer.notify,
        )

        def jobs() -> list[DailyJob]:
            return [*nightly_jobs(store, settings, steps), self_check_job(store, settings)]

        self.schedule = Schedule(store, jobs) if nightly else None
        self.web = _web_server(store, settings)
        self._is_page_asked_for = not {"web_host", "web_port"}.isdisjoint(settings.model_fields_set)
        self.retention = Retention(store, settings) if nightly else None
        self.alerting = Alerting(store, settings) if nightly else None
        self._worker_thread = threading.Thread(target=self.worker.run, args=(self._stopping,), name="worker")

    def start(self) -> None:
        """Bind first: where that fails, nothing has been started that would keep the program alive."""
        self.listener.start()
        try:
            self._worker_thread.start()
            self.fetchers.start()
            self.sender.start()
            self.rows.start()
            self.deliverer.start()
            self._start_web()
            if self.schedule:
                self.schedule.start()
            if self.retention:
                self.retention.start()
            if self.alerting:
                self.alerting.start()
        except BaseException:
            self.stop()
            raise
        log.info("serving", smtp_host=self.listener.host, smtp_port=self.listener.port)

    def _start_web(self) -> None:
        try:
            if self.web:
                self.web.start()
        except SettingError as error:
            if self._is_page_asked_for:
                raise
            # Whatever else has the usual port keeps no mail out.
            log.warning("no web server", cause=str(error), remedy="set web_port to another port, or to none")
            self.web = None

    def stop(self) -> None:
        if self.alerting:
            self.alerting.stop()
        if self.retention:
            self.retention.stop()
        if self.schedule:
            self.schedule.stop()
        self.rows.stop()
        if self.web:
            self.web.stop()
        self.deliverer.stop()
        self.sender.stop()
        self.fetchers.stop()
        self.listener.stop()
        self._stopping.set()
        self.worker.notify()
        if self._worker_thread.ident is not None:
            self._worker_thread.join()
        self.authenticator.close()
        log.info("stopped")


def _web_server(store: Store, settings: Settings) -> "WebServer | None":
    """The web server, unless there is to be none: it is slow to import."""
    if settings.web_port is None:
        return None
    from ion.web.server import WebServer

    return WebServer(store, settings)
