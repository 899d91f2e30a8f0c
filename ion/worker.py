"""The worker: claims received messages, has them read in child processes (`ion.reader`), stores what was judged.

Messages are claimed several at a time, read one at a time by each reader, and stored in groups: whatever was read while
the last group was committed is the next one. A message whose reading comes to no end is tried once more, alone in a new
child and behind those that wait already; when it fails again it is quarantined. Of several readers only the first does
such second runs, so that the others go on. What fails around the reading (the database, a key file) is no fault of the
message: it waits, with growing delays, for as long as it takes.
"""

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from ion.errors import IonError, StoreError
from ion.reader import Read, Reader, ReaderUnavailableError, ReadFailedError
from ion.reading import Judged, read_message
from ion.seal import Key
from ion.store import ClaimedMessage, ClaimLostError, ReadMessage, Store
from ion.trust import Authenticator, Evidence

log = structlog.get_logger("ion.worker")

POLL_SECONDS = 1.0
CLAIMED_AT_ONCE = 16  # for each reader
CLAIMED_BYTES = 16 * 2**20
STORED_AT_ONCE = 32
STORE_SECONDS = 20.0  # for starting a child and for storing, within a lease
LONGEST_DELAY_SECONDS = 300.0


@dataclass(frozen=True)
class _Outcome:
    """What the reading of a claimed message, kept here without its octets, came to: its judgements, or why there are
    none."""

    message: ClaimedMessage
    judged: tuple[Judged, ...] | IonError
    evidence: tuple[Evidence | None, ...]
    seconds: float


class Worker:
    """Reads what the store holds unread. `keys_for` gives the keys that verify for a merchant.

    `timeout_seconds`: wall-clock time one message may take; `readers`: child processes that `run` works with;
    `authenticator`: finds out who sent mail without a seal, None: nobody is believed without one.
    Use `run` in a thread of its own, or `run_once` and then `close`.
    """

    def __init__(
        self,
        store: Store,
        keys_for: Callable[[str], Sequence[Key]],
        *,
        timeout_seconds: float = 60.0,
        readers: int = 1,
        read: Read = read_message,
        authenticator: Authenticator | None = None,
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._keys_for = keys_for
        # Time to read it, and a second time for those that were claimed with it: within it nobody else takes it.
        self._needed = timedelta(seconds=timeout_seconds + STORE_SECONDS)
        self._lease_seconds = 2 * timeout_seconds + STORE_SECONDS
        self._readers = [Reader(timeout_seconds, read) for _ in range(readers)]
        self._bell = threading.Condition()
        self._news = False
        self._claiming = threading.Lock()
        self._waiting: deque[ClaimedMessage] = deque()
        self._suspects: deque[ClaimedMessage] = deque()  # each came to no end once
        self._keys: dict[str, Sequence[Key]] = {}  # of the merchants whose messages were claimed together

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set (then `notify`, so that it is seen at once). Looks for work when notified and every
        second. On stop a message under way is finished within seconds or given back."""
        outcomes: queue.Queue[_Outcome | None] = queue.Queue(maxsize=STORED_AT_ONCE)
        storing = threading.Thread(target=self._store_all, args=(outcomes, stop), name="worker-store")
        storing.start()
        others = [
            threading.Thread(target=self._loop, args=(number, outcomes, stop), name=f"worker-{number}")
            for number in range(1, len(self._readers))
        ]
        for thread in others:
            thread.start()
        self._loop(0, outcomes, stop)
        for thread in others:
            thread.join()
        self._give_back()
        outcomes.put(None)
        storing.join()

    def run_once(self, stop: threading.Event | None = None) -> int:
        """Read until nothing is claimable, or `stop` is set; the number of messages handled.

        Raises StoreError where nothing can be claimed.
        """
        stop = stop or threading.Event()
        handled = 0
        while not stop.is_set():
            group: list[_Outcome] = []
            while len(group) < STORED_AT_ONCE and not stop.is_set() and (message := self._next(0, claim=not group)):
                group.append(self._read(message, self._readers[0], stop))
            if not group:
                break
            self._end(group, stop)
            handled += len(group)
        self._give_back()
        return handled

    def notify(self) -> None:
        """Look for work now. May be called from any thread."""
        with self._bell:
            self._news = True
            self._bell.notify_all()

    def close(self) -> None:
        """End the child processes. The worker may be used again and then starts new ones."""
        for reader in self._readers:
            reader.close()

    def _loop(self, number: int, outcomes: queue.Queue[_Outcome | None], stop: threading.Event) -> None:
        reader = self._readers[number]
        try:
            reader.start(stop)  # before the first message
        except ReaderUnavailableError as error:
            log.warning("no reader yet", cause=str(error))
        try:
            while not stop.is_set():
                try:
                    while not stop.is_set() and (message := self._next(number)):
                        outcomes.put(self._read(message, reader, stop))
                except Exception as error:  # whatever it is, mail goes on arriving
                    cause = str(error) if isinstance(error, IonError) else type(error).__name__
                    log.error("no work can be claimed", cause=cause)  # noqa: TRY400  # no traceback: values
                with self._bell:
                    # Of all that the bell wakes one looks for work; it rings again where there is some for others.
                    self._bell.wait_for(lambda: self._news or stop.is_set(), POLL_SECONDS)
                    self._news = False
        finally:
            reader.close()

    def _store_all(self, outcomes: queue.Queue[_Outcome | None], stop: threading.Event) -> None:
        """Store in groups whatever has been read, until None comes."""
        outcome = outcomes.get()
        while outcome is not None:
            group = [outcome]
            while len(group) < STORED_AT_ONCE and not outcomes.empty() and (outcome := outcomes.get()) is not None:
                group.append(outcome)
            try:
                self._end(group, stop)
            except Exception as error:  # whatever it is: the leases end by themselves, and what is read next is stored
                log.error("claims not ended", cause=type(error).__name__)  # noqa: TRY400  # no traceback: values
            outcome = outcome and outcomes.get()

    def _next(self, number: int, *, claim: bool = True) -> ClaimedMessage | None:
        """A claimed message for reader `number`; None where there is none. Raises StoreError."""
        with self._claiming:
            message = self._taken(number)
            if message is None and claim:
                most = CLAIMED_AT_ONCE * len(self._readers)
                claimed = self._store.claim_messages(most, self._lease_seconds, most_bytes=CLAIMED_BYTES)
                self._keys.clear()
                for one in claimed:
                    (self._suspects if one.failures else self._waiting).append(one)
                message = self._taken(number)
                if len(claimed) > 1:
                    self.notify()
            return message

    def _taken(self, number: int) -> ClaimedMessage | None:
        places = (self._waiting, self._suspects) if number == 0 else (self._waiting,)
        for place in places:
            while place:
                message = place.popleft()
                if message.claimed_until - datetime.now(UTC) > self._needed:
                    return message
                # It waited so long that its lease would end while it is read.
                self._release([message])
        return None

    def _read(self, message: ClaimedMessage, reader: Reader, stop: threading.Event) -> _Outcome:
        began = time.monotonic()
        judged: tuple[Judged, ...] | IonError
        evidence: tuple[Evidence | None, ...] = ()
        try:
            read = reader.read_alone if message.failures else reader.read
            if message.is_bounce:
                judged = read(message.raw, None, stop)
            else:
                keys = self._keys_of(message.merchant)
                judged = read(message.raw, keys, stop)
                evidence = self._evidence(message, judged, keys, reader, stop)
        except IonError as error:
            judged = error
        except Exception as error:
            judged = ReadFailedError(f"reading raised {type(error).__name__} here")
        return _Outcome(replace(message, raw=b""), judged, evidence, time.monotonic() - began)

    def _evidence(
        self,
        message: ClaimedMessage,
        judged: tuple[Judged, ...],
        keys: Sequence[Key],
        reader: Reader,
        stop: threading.Event,
    ) -> tuple[Evidence | None, ...]:
        """Who sent what has no seal, as far as the merchant's policy asks. Raises what the authenticator raises."""

        def read_alone(octets: bytes) -> tuple[Judged, ...]:
            try:
                return reader.read(octets, keys, stop)
            except ReadFailedError:
                return ()

        return self._authenticator.gather(message, judged, read_alone) if self._authenticator else ()

    def _keys_of(self, merchant: str) -> Sequence[Key]:
        keys = self._keys.get(merchant)
        if keys is None:
            keys = self._keys[merchant] = self._keys_for(merchant)
        return keys

    def _end(self, group: Sequence[_Outcome], stop: threading.Event) -> None:
        """End the claims of a group. Where even that cannot be stored, the leases end by themselves."""
        read = [one for one in group if not isinstance(one.judged, IonError)]
        failed = [(one.message, one.judged) for one in group if isinstance(one.judged, IonError)]
        try:
            stored = self._store.store_judgements(
                [
                    ReadMessage(
                        one.message.id,
                        one.message.merchant,
                        one.message.claim_token,
                        one.judged,
                        one.evidence,
                        one.message.bounce_of,
                    )
                    for one in read
                    if not isinstance(one.judged, IonError)
                ]
            )
        except Exception as error:
            cause = error if isinstance(error, IonError) else StoreError(f"storing raised {type(error).__name__}")
            failed += [(one.message, cause) for one in read]
        else:
            for one, what in zip(read, stored, strict=True):
                if isinstance(what, ClaimLostError):
                    failed.append((one.message, what))
                elif isinstance(what, IonError):
                    failed.append((one.message, ReadFailedError(f"it cannot be stored: {what}")))
                elif isinstance(what, Exception):
                    # A bug of ours that this message brings out: it must neither end the worker nor come back for ever.
                    failed.append((one.message, ReadFailedError(f"storing raised {type(what).__name__}")))
                else:
                    log.info(
                        "message read",
                        message=one.message.id,
                        notifications=[f"{found.grade} {found.state}" for found in what],
                        milliseconds=round(one.seconds * 1000),
                    )
                    self._tell_bounce(one.message)
        for message, why in failed:
            try:
                self._failed(message, why, stop)
            except StoreError as refused:
                log.error("claim not ended", message=message.id, cause=str(refused))  # noqa: TRY400  # no traceback

    def _tell_bounce(self, message: ClaimedMessage) -> None:
        """Say in the log, without the address, what has come of a bounce, where a person has to do something."""
        if message.bounce_of is None:
            return
        try:
            alerts = self._store.alerts(outgoing_id=message.bounce_of)
        except StoreError:
            return  # the alerts are kept, and `ion alerts` shows them
        for alert in alerts:
            log.warning("alert", kind=alert.kind, alert=alert.id, outgoing=alert.outgoing_id, merchant=alert.merchant)

    def _failed(self, message: ClaimedMessage, error: IonError, stop: threading.Event) -> None:
        cause = str(error)
        if not isinstance(error, ReadFailedError):
            self._put_back(message, cause, stop)
        elif message.failures:
            log.error("message quarantined", message=message.id, cause=cause)
            self._store.quarantine_message(message.id, message.claim_token, cause)
        else:
            log.warning("message failed, tried once more", message=message.id, cause=cause)
            self._store.retry_message(message.id, message.claim_token, cause, 0, failed=True)
            self.notify()

    def _put_back(self, message: ClaimedMessage, cause: str, stop: threading.Event) -> None:
        if stop.is_set():
            self._store.release_message(message.id, message.claim_token)
            return
        longest = min(2.0 ** min(message.attempts, 16), LONGEST_DELAY_SECONDS)
        # Not all at the same instant: whatever gave way under them would give way again.
        delay = random.uniform(longest / 2, longest)  # noqa: S311
        log.error("message put back", message=message.id, cause=cause, delay_seconds=round(delay, 1))
        self._store.retry_message(message.id, message.claim_token, cause, delay)

    def _give_back(self) -> None:
        """Release what was claimed and not read."""
        with self._claiming:
            self._release([*self._waiting, *self._suspects])
            self._waiting.clear()
            self._suspects.clear()

    def _release(self, messages: Sequence[ClaimedMessage]) -> None:
        for message in messages:
            try:
                self._store.release_message(message.id, message.claim_token)
            except ClaimLostError:
                continue
            except StoreError as error:  # it would refuse the others too, and their leases end by themselves
                log.warning("claims not given back", cause=str(error))
                return
