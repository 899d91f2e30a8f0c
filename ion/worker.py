"""The worker: claims received messages, has them read in a child process, stores what was judged.

The child gets the octets of one message and the keys of its merchant, and nothing else: no database, no settings. It is
killed and replaced when a message takes longer than the deadline or takes the child down; that message is tried once
more behind the others, and when it fails again it is quarantined. What fails around the reading (the database, a key
file) is no fault of the message: it waits, with growing delays, for as long as it takes.

The child imports this module, so nothing here may import the store at run time.
"""

import multiprocessing
import os
import pickle
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import structlog

from ion.errors import IonError, StoreError
from ion.reading import Judged, read_message
from ion.seal import Key

if TYPE_CHECKING:
    from ion.store import Store
    from ion.store.messages import ClaimedMessage
    from ion.trust import Authenticator, Evidence

log = structlog.get_logger("ion.worker")

POLL_SECONDS = 1.0
CHILD_START_SECONDS = 60.0
CHILD_MESSAGES = 500  # then the child is replaced, which gives back whatever it has lost
CHILD_MEMORY_BYTES = 2**30
STOP_GRACE_SECONDS = 5.0
LONGEST_DELAY_SECONDS = 300.0


class ReadFailedError(IonError):
    """Reading a message came to no end: the child hung, died or raised."""


class ReaderUnavailableError(IonError):
    """No child process can be had now, or the worker is being stopped; the message was not at fault."""


class Worker:
    """Reads what the store holds unread. `keys_for` gives the keys that verify for a merchant.

    `timeout_seconds`: wall-clock time one message may take; `readers`: child processes that `run` works with;
    `authenticator`: finds out who sent mail without a seal, None: nobody is believed without one.
    Use `run` in a thread of its own, or `run_once` and then `close`.
    """

    def __init__(
        self,
        store: "Store",
        keys_for: Callable[[str], Sequence[Key]],
        *,
        timeout_seconds: float = 60.0,
        readers: int = 1,
        read: Callable[[bytes, Sequence[Key]], tuple[Judged, ...]] = read_message,
        authenticator: "Authenticator | None" = None,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._keys_for = keys_for
        # Two deadlines, a child's start, and time to store: within it nobody else takes the message.
        self._lease_seconds = 2 * timeout_seconds + CHILD_START_SECONDS
        self._readers = [Reader(timeout_seconds, read) for _ in range(readers)]
        self._wake = [threading.Event() for _ in range(readers)]

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set (then `notify`, so that it is seen at once). Looks for work when notified and every
        second. On stop a message under way is finished within seconds or given back."""
        others = [
            threading.Thread(target=self._loop, args=(stop, number), name=f"worker-{number}")
            for number in range(1, len(self._readers))
        ]
        for thread in others:
            thread.start()
        self._loop(stop, 0)
        for thread in others:
            thread.join()

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Read until nothing is claimable, or `stop` is set; the number of messages handled.

        Raises StoreError where nothing can be claimed.
        """
        return self._drain(self._readers[0], stop or threading.Event())

    def notify(self) -> None:
        """Look for work now. May be called from any thread."""
        for event in self._wake:
            event.set()

    def close(self) -> None:
        """End the child processes. The worker may be used again and then starts new ones."""
        for reader in self._readers:
            reader.close()

    def _loop(self, stop: threading.Event, number: int) -> None:
        reader, wake = self._readers[number], self._wake[number]
        try:
            reader.start(stop)  # before the first message: starting takes most of a second
        except ReaderUnavailableError as error:
            log.warning("no reader yet", cause=str(error))
        try:
            while not stop.is_set():
                wake.clear()
                try:
                    self._drain(reader, stop)
                except StoreError as error:
                    log.error("no work can be claimed", cause=str(error))  # noqa: TRY400  # no traceback: values
                if not stop.is_set():
                    wake.wait(POLL_SECONDS)
        finally:
            reader.close()

    def _drain(self, reader: "Reader", stop: threading.Event) -> int:
        handled = 0
        while not stop.is_set():
            claimed = self._store.claim_messages(1, self._lease_seconds)
            if not claimed:
                break
            self._handle(claimed[0], reader, stop)
            handled += 1
        return handled

    def _handle(self, message: "ClaimedMessage", reader: "Reader", stop: threading.Event) -> None:
        """One claimed message, to the end of its claim. Where even that cannot be stored, the lease ends by itself."""
        began = time.monotonic()
        try:
            try:
                keys = self._keys_for(message.merchant)
                judged = reader.read(message.raw, keys, stop)
                evidence = self._evidence(message, judged, keys, reader, stop)
                stored = self._store.store_judgement(message.id, message.claim_token, judged, evidence)
            except ReadFailedError as error:
                self._failed(message, str(error))
            except IonError as error:
                self._put_back(message, error, stop)
            except Exception as error:
                # A bug of ours that this message brings out: it must neither end the worker nor come back for ever.
                self._failed(message, f"storing raised {type(error).__name__}")
            else:
                log.info(
                    "message read",
                    message=message.id,
                    notifications=[f"{one.grade} {one.state}" for one in stored],
                    milliseconds=round((time.monotonic() - began) * 1000),
                )
        except StoreError as error:
            log.error("claim not ended", message=message.id, cause=str(error))  # noqa: TRY400  # no traceback: values

    def _evidence(
        self,
        message: "ClaimedMessage",
        judged: tuple[Judged, ...],
        keys: Sequence[Key],
        reader: "Reader",
        stop: threading.Event,
    ) -> "tuple[Evidence | None, ...]":
        """Who sent what has no seal, as far as the merchant's policy asks. Raises what the authenticator raises."""

        def read_alone(octets: bytes) -> tuple[Judged, ...]:
            try:
                return reader.read(octets, keys, stop)
            except ReadFailedError:
                return ()

        return self._authenticator.gather(message, judged, read_alone) if self._authenticator else ()

    def _failed(self, message: "ClaimedMessage", cause: str) -> None:
        if message.failures:
            log.error("message quarantined", message=message.id, cause=cause)
            self._store.quarantine_message(message.id, message.claim_token, cause)
        else:
            log.warning("message failed, tried once more", message=message.id, cause=cause)
            self._store.retry_message(message.id, message.claim_token, cause, 0, failed=True)

    def _put_back(self, message: "ClaimedMessage", error: IonError, stop: threading.Event) -> None:
        if stop.is_set():
            self._store.release_message(message.id, message.claim_token)
            return
        delay = min(2.0 ** min(message.attempts, 16), LONGEST_DELAY_SECONDS)
        log.error("message put back", message=message.id, cause=str(error), delay_seconds=delay)
        self._store.retry_message(message.id, message.claim_token, str(error), delay)


class Reader:
    """A child process that reads one message at a time, started when needed. Used by one thread at a time."""

    def __init__(self, timeout_seconds: float, read: Callable[[bytes, Sequence[Key]], tuple[Judged, ...]]) -> None:
        self._timeout_seconds = timeout_seconds
        self._read = read
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._messages_left = 0

    def read(self, raw: bytes, keys: Sequence[Key], stop: threading.Event) -> tuple[Judged, ...]:
        """What `read_message` says of `raw`. Raises ReadFailedError, and ReaderUnavailableError where no child can be
        started or `stop` was set and the message did not end within some seconds after it."""
        self.start(stop)
        assert self._pipe is not None
        assert self._process is not None
        late = threading.Event()
        # Killing the child ends every way in which talking to it can block.
        watchdog = threading.Timer(self._timeout_seconds, _kill, (self._process, late))
        watchdog.start()
        try:
            self._pipe.send((raw, tuple(keys)))
            self._wait(stop)
            answer = self._pipe.recv()
        except (EOFError, OSError, pickle.PickleError) as error:
            watchdog.cancel()
            self._discard()
            if late.is_set():
                raise ReadFailedError(f"reading took longer than {self._timeout_seconds:g} seconds") from error
            raise ReadFailedError("the reading process died") from error
        except ReaderUnavailableError:
            watchdog.cancel()
            self._discard()
            raise
        finally:
            watchdog.cancel()
        self._messages_left -= 1
        if late.is_set():
            self._discard()
        elif self._messages_left == 0:
            self.close()
        if isinstance(answer, str):
            raise ReadFailedError(f"reading raised {answer}")
        judged: tuple[Judged, ...] = answer
        return judged

    def start(self, stop: threading.Event) -> None:
        """Have a child ready. Raises ReaderUnavailableError."""
        if self._process is not None and self._process.is_alive():
            return
        self._discard()
        context = multiprocessing.get_context("spawn")  # forking a process that has threads is not safe
        self._pipe, childs_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(childs_end, self._read, self._timeout_seconds), name="ion-reader", daemon=True
        )
        self._messages_left = CHILD_MESSAGES
        try:
            self._process.start()
            childs_end.close()
            self._wait(stop, CHILD_START_SECONDS)
            self._pipe.recv()
        except (EOFError, OSError) as error:
            self._discard()
            raise ReaderUnavailableError("the reading process does not start") from error
        except ReaderUnavailableError:
            self._discard()
            raise

    def close(self) -> None:
        """End the child: it ends by itself when its pipe does."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.join(1.0)
        self._discard()

    def _wait(self, stop: threading.Event, longest_seconds: float | None = None) -> None:
        """Until the child has answered or is gone. Raises ReaderUnavailableError after the time given, or some seconds
        after `stop` was set."""
        assert self._pipe is not None
        until = None if longest_seconds is None else time.monotonic() + longest_seconds
        while not self._pipe.poll(0.1):
            if until is None and stop.is_set():
                until = time.monotonic() + STOP_GRACE_SECONDS
            if until is not None and time.monotonic() > until:
                raise ReaderUnavailableError("the reading process does not answer in time")

    def _discard(self) -> None:
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _kill(process: BaseProcess, late: threading.Event) -> None:
    late.set()
    with suppress(ValueError):  # the child has been discarded in this very moment
        process.kill()


def _serve(
    pipe: Connection, read: Callable[[bytes, Sequence[Key]], tuple[Judged, ...]], timeout_seconds: float
) -> None:
    """The child's life: answer until the pipe ends. Every import has happened when it says that it is ready."""
    # A terminal's Ctrl-C and a service manager's SIGTERM reach the whole group; the parent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (CHILD_MEMORY_BYTES, CHILD_MEMORY_BYTES))
    except (ValueError, OSError):
        log.warning("this system sets no memory limit for the reading process")
    pipe.send(os.getpid())
    while True:
        try:
            raw, keys = pipe.recv()
        except EOFError:
            return
        # For a parent that died: it would have killed us at the deadline. The default action ends the process.
        signal.alarm(int(timeout_seconds) + 10)
        answer: tuple[Judged, ...] | str
        try:
            answer = read(raw, keys)
        except Exception as error:
            answer = type(error).__name__  # the parent logs it and decides; the text may quote the mail
        signal.alarm(0)
        pipe.send(answer)
