"""Group commit: one thread takes all mails that wait at that moment and keeps them with one commit.

While a commit waits for the disk the next mails gather, so the busier the doors the fewer syncs a mail costs. The same
thread watches over the store: after a failed commit it tries once a second whether the store can be written again.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from ion.errors import StorageFullError, StoreError
from ion.inbox.receive import Envelope, Receipt, receive_all
from ion.store import Store

log = structlog.get_logger("ion.inbox")

MOST_BYTES = 16_777_216  # of one commit; a larger mail goes alone
MOST_MAILS = 200
PROBE_SECONDS = 1.0

Result = tuple[Receipt, ...] | Exception


@dataclass(frozen=True)
class Waiting:
    """A mail that waits for its commit: kept once for each envelope, with a result of its own for each. `done` is
    called in the event loop with the results, after the commit."""

    raw: bytes
    envelopes: tuple[Envelope, ...]
    done: Callable[[list[Result]], None]


class Committer:
    """Begins with `start`; `stop` lets all mails that wait be committed and answered.

    `trouble`: the error by which the last commit or probe failed, None while the store takes mail. `on_received` is
    called in the thread after a commit of something new.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, on_received: Callable[[], None]) -> None:
        self.trouble: Exception | None = None
        self._store = store
        self._loop = loop
        self._on_received = on_received
        self._waiting: deque[Waiting] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="smtp-commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, mail: Waiting) -> None:
        """Have a mail kept; from any thread. Whoever submitted it may go away meanwhile, which does not undo it."""
        with self._wake:
            self._waiting.append(mail)
            self._wake.notify()

    def stop(self, timeout_seconds: float) -> None:
        """Wait for at most that long. Not to be called in the event loop, which delivers the last results."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._stopping and self.trouble is None:
                    self._wake.wait()
                if not self._waiting and not self._stopping:
                    self._wake.wait(PROBE_SECONDS)
                mails = self._take()
                if not mails and self._stopping:
                    return
            if mails:
                results = self._commit(mails)
                if not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(_deliver, mails, results)
                self._tell(mails, results)
                del mails, results  # not to be held until the next commit
            elif self.trouble is not None:
                self._probe()

    def _take(self) -> list[Waiting]:
        taken: list[Waiting] = []
        octets = 0
        while self._waiting and len(taken) < MOST_MAILS:
            octets += len(self._waiting[0].raw) * len(self._waiting[0].envelopes)
            if taken and octets > MOST_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    def _commit(self, mails: list[Waiting]) -> list[Result]:
        """Flat: one result for each envelope of each mail."""
        pairs = [(mail.raw, envelope) for mail in mails for envelope in mail.envelopes]
        try:
            results = receive_all(self._store, pairs)
        except Exception as error:  # whatever it is, the clients have to hear that nothing was kept
            self._failed(error)
            return [error] * len(pairs)
        self.trouble = None
        return list(results)

    def _tell(self, mails: list[Waiting], results: list[Result]) -> None:
        """Log what was kept and wake who reads it. Whatever that comes to, the next mails are committed and answered;
        what is kept is found without it."""
        try:
            if any(receipt.created for receipt in self._logged(mails, results)):
                self._on_received()
        except Exception as error:
            log.error("new mail not announced", cause=type(error).__name__)  # noqa: TRY400  # no traceback: values

    def _logged(self, mails: list[Waiting], results: list[Result]) -> list[Receipt]:
        """All receipts of a commit, in one line: a line takes as long as an insert."""
        kept: list[tuple[bytes, Receipt]] = []
        raws = [mail.raw for mail in mails for _ in mail.envelopes]
        for raw, result in zip(raws, results, strict=True):
            if isinstance(result, StoreError):
                log.error("message not kept", cause=str(result))
            if not isinstance(result, Exception):
                kept += [(raw, receipt) for receipt in result]
        if kept:
            lines = [
                {
                    "message": receipt.message_id,
                    "merchant": receipt.merchant,
                    "size_bytes": len(raw),
                    "sha256": receipt.sha256[:12],
                    "new": receipt.created,
                }
                for raw, receipt in kept
            ]
            log.info("messages kept", messages=lines)
        return [receipt for _, receipt in kept]

    def _failed(self, error: Exception) -> None:
        # StoreError is one sentence without values. Of anything else only the kind: its text may quote the mail.
        cause = str(error) if isinstance(error, StoreError) else type(error).__name__
        if self.trouble is None:
            log.error("the store takes no mail", cause=cause, full=isinstance(error, StorageFullError))
        self.trouble = error

    def _probe(self) -> None:
        try:
            self._store.check_writable()
        except Exception as error:  # as above
            self._failed(error)
        else:
            self.trouble = None
            log.info("the store takes mail again")


def _deliver(mails: list[Waiting], results: list[Result]) -> None:
    at = 0
    for mail in mails:
        mail.done(results[at : at + len(mail.envelopes)])
        at += len(mail.envelopes)
