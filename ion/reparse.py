"""Reparse: kept mail is read again with today's reader, keys and trust rules, and what that changes is told, and stored
if wished.

Each message is read in the same killable child as the first time, who sent it is asked anew where it has no seal, and
what comes of that is compared and stored in a transaction of its own.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ion.errors import DatabaseError, IonError
from ion.reader import Reader, ReadFailedError
from ion.reading import Judged
from ion.seal import Key
from ion.store import KeptMessage, MessageChange, Store
from ion.trust import Authenticator


@dataclass(frozen=True)
class Chosen:
    """Which messages to read again: all, or those that meet every condition given. `since`: received at or after that
    instant; `states`: of the message or of one of its notifications."""

    ids: tuple[int, ...] = ()
    merchant: str | None = None
    since: datetime | None = None
    states: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class NotReread:
    """A message that could not be read or stored again, and why; nothing of it was changed."""

    message_id: int
    error: IonError


def reparse(
    store: Store,
    keys_for: Callable[[str], Sequence[Key]],
    authenticator: Authenticator,
    chosen: Chosen,
    *,
    apply: bool,
    timeout_seconds: float,
) -> Iterator[MessageChange | NotReread]:
    """Read each chosen message again, by id; what that changes, stored with `apply`. Messages named by id that cannot
    be read again are told first. Raises DatabaseError where the database cannot go on; what was told before is done."""
    reader = Reader(timeout_seconds)
    try:
        yield from _missing(store, chosen)
        after_id = 0
        while kept := store.read_again(
            ids=chosen.ids,
            merchant=chosen.merchant,
            since=chosen.since,
            states=chosen.states,
            after_id=after_id,
            limit=1,  # each may be as large as mail gets
        ):
            (message,) = kept
            after_id = message.id
            try:
                yield _read_again(store, message, keys_for(message.merchant), authenticator, reader, apply=apply)
            except DatabaseError:  # it would refuse the others too
                raise
            except IonError as error:
                yield NotReread(message.id, error)
    finally:
        reader.close()


def _read_again(
    store: Store,
    message: KeptMessage,
    keys: Sequence[Key],
    authenticator: Authenticator,
    reader: Reader,
    *,
    apply: bool,
) -> MessageChange:
    stop = threading.Event()

    def read_alone(octets: bytes) -> tuple[Judged, ...]:
        try:
            return reader.read(octets, keys, stop)
        except ReadFailedError:
            return ()

    if message.is_bounce:
        return store.store_rereading(message, reader.read(message.raw, None, stop), apply=apply)
    judged = reader.read(message.raw, keys, stop)
    evidence = authenticator.gather(message, judged, read_alone)
    return store.store_rereading(message, judged, evidence, apply=apply)


def _missing(store: Store, chosen: Chosen) -> Iterator[NotReread]:
    for message_id in chosen.ids:
        state = store.message_state(message_id)
        why = {
            None: "there is no such message",
            "purged": "its octets are no longer kept",
            "received": "it is not read yet; the worker will",
            "claimed": "it is being read now",
            "retry": "it is not read yet; the worker will",
        }.get(state)
        if why:
            yield NotReread(message_id, IonError(f"message {message_id}: {why}"))
