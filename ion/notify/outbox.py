"""The outbox: waiting mails handed to their relays, by whoever runs; what cannot go now goes later.

Each sending thread claims a few mails, hands them over on a connection that it keeps, and marks what went in one
transaction. Whoever dies between the relay's answer and the mark leaves mails that are sent once more, with the same
octets and the same Message-ID. A relay that takes nothing holds up its own mails only, and costs them no attempt.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from ion.config import Settings
from ion.errors import IonError, SettingError, UnreachableError
from ion.notify.submit import RefusedError, Relay, RelayDownError, Submission

if TYPE_CHECKING:
    from ion.store import OutgoingMail, Store

log = structlog.get_logger("ion.outbox")

# Longer than a relay that answers slowly; whoever dies while submitting holds the mail for so long.
LEASE_SECONDS = 300.0
CLAIMED_AT_ONCE = 50
MARK_SECONDS = 1.0  # at the latest after that long what went is marked
FIRST_RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 4 * 3600.0
GIVE_UP = timedelta(days=5)  # RFC 5321, 4.5.4.1
LEAST_ATTEMPTS = 10  # more than eight hours: who sends an old mail again means it, and who was off has them left
DOWN_SECONDS = 60.0  # how long a relay that takes nothing is left alone
POLL_SECONDS = 1.0
STOP_SECONDS = 4.0  # for a mail that is being handed over when the program stops
ABORT_SECONDS = 2.0  # for noting that it was not


@dataclass(frozen=True)
class Handed:
    """What became of a mail: `sent`, `retry` or `failed`, and the relay's words. `down`: the relay takes nothing."""

    mail: "OutgoingMail"
    state: str
    reply: str
    down: bool = False


class Relays:
    """The relays as the settings name them, with a kept connection to each. For one thread."""

    def __init__(self, store: "Store", settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._open: dict[str, Submission] = {}
        self._of_merchant: dict[str, str] = {}

    def name_for(self, merchant: str) -> str:
        """The relay that a merchant's mail goes by: a name of the settings, "" for the installation's own."""
        if merchant not in self._of_merchant:
            self._of_merchant[merchant] = self._store.merchant(merchant).relay or ""
        return self._of_merchant[merchant]

    def submission(self, name: str) -> Submission:
        """The connection to a relay. Raises SettingError where the settings do not know it."""
        if name not in self._open:
            self._open[name] = Submission(relay_of(self._settings, name))
        return self._open[name]

    def forget(self) -> None:
        """Ask anew which merchant goes by which relay."""
        self._of_merchant.clear()

    def abort(self) -> None:
        """End what another thread waits for."""
        for submission in list(self._open.values()):
            submission.abort()

    def close(self) -> None:
        for submission in self._open.values():
            submission.close()
        self._open.clear()


def relay_of(settings: Settings, name: str = "") -> Relay:
    """A relay as the settings have it; "" is the installation's own. Raises SettingError."""
    if not name:
        return Relay(
            host=settings.relay_host,
            port=settings.relay_port,
            security=settings.relay_security,
            user=settings.relay_user,
            password=settings.relay_password.get_secret_value() if settings.relay_password else None,
            timeout_seconds=settings.relay_timeout_seconds,
            tls_ca_file=settings.relay_tls_ca_file,
        )
    table = next((one for one in settings.relay if one.name == name), None)
    if table is None:
        raise SettingError(f"relay {name!r} is not in the settings; add a [[relay]] table with this name")
    return Relay(
        host=table.host,
        port=table.port_number,
        security=table.security,
        user=table.user,
        password=table.secret("password"),
        timeout_seconds=settings.relay_timeout_seconds,
        tls_ca_file=table.tls_ca_file,
    )


def send_claimed(
    store: "Store", relays: Relays, claimed: "Sequence[OutgoingMail]", is_stopping: Callable[[], bool] = lambda: False
) -> Iterator[Handed]:
    """Hand claimed mails over, in their order, and end their claims; what became of each that was tried. What is left
    when a relay takes nothing, when it takes too long, or when `is_stopping`, is given back untried.

    Raises StoreError: then the claims that are left end by themselves, and mails that went go once more.
    """
    began, down = time.monotonic(), set[str]()
    went: list[Handed] = []
    marked_at = began
    untried: list[OutgoingMail] = []
    try:
        for mail in claimed:
            name = relays.name_for(mail.merchant)
            if name in down or is_stopping() or time.monotonic() - began > LEASE_SECONDS / 2:
                untried.append(mail)
                continue
            handed = _handed(relays, name, mail)
            if handed.down:
                down.add(name)
            if handed.state == "sent":
                went.append(handed)
            else:
                handed = _mark(store, handed)
            if went and time.monotonic() > marked_at + MARK_SECONDS:
                marked_at = time.monotonic()
                _mark_sent(store, went)
                went = []
            yield handed
    finally:  # whatever the next one came to
        if went:
            _mark_sent(store, went)
    if untried:
        store.release_outgoing([(mail.id, str(mail.claim_token)) for mail in untried])


def _handed(relays: Relays, name: str, mail: "OutgoingMail") -> Handed:
    try:
        reply = relays.submission(name).submit(mail.raw, mail.mail_from, mail.address)
    except RefusedError as error:
        return Handed(mail, "failed", error.reply)
    except (RelayDownError, SettingError) as error:
        return Handed(mail, "retry", str(error), down=True)
    except UnreachableError as error:
        return Handed(mail, "retry", str(error))
    except Exception as error:  # a bug of ours that this mail brings out: the others go nevertheless
        return Handed(mail, "retry", f"handing it over raised {type(error).__name__} here")
    return Handed(mail, "sent", reply)


def _mark(store: "Store", handed: Handed) -> Handed:
    """What became of it: after long enough, a mail that the relay did not take has failed. One that no relay was there
    for has not."""
    from ion.store import ClaimLostError

    mail, token = handed.mail, str(handed.mail.claim_token)
    is_over = mail.attempts >= LEAST_ATTEMPTS and datetime.now(UTC) - mail.created_at > GIVE_UP
    if handed.state == "retry" and is_over and not handed.down:
        handed = replace(handed, state="failed", reply=f"given up after {GIVE_UP.days} days: {handed.reply}")
    try:
        if handed.state == "failed":
            store.mark_failed(mail.id, token, handed.reply)
        else:
            delay = DOWN_SECONDS if handed.down else retry_delay(mail.attempts)
            store.mark_retry(mail.id, token, handed.reply, delay)
    except ClaimLostError:  # it took longer than its lease: whoever has it now tells what becomes of it
        return handed
    log.warning("mail not sent", outgoing=mail.id, state=handed.state, attempt=mail.attempts)
    return handed


def _mark_sent(store: "Store", went: Sequence[Handed]) -> None:
    store.mark_all_sent([(one.mail.id, str(one.mail.claim_token), one.reply) for one in went])
    log.info("mail sent", outgoing=[one.mail.id for one in went])


def retry_delay(attempts: int) -> float:
    """Seconds until the next try: a minute after the first, then twice as long each time, at most four hours."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(max(attempts, 1) - 1, 20), LONGEST_RETRY_SECONDS)


class Outbox:
    """Sends in threads of its own, from `start` to `stop`. `before_round` is called by the first of them about once a
    minute, before it looks for mails: it may queue some (the digests)."""

    def __init__(
        self,
        store: "Store",
        settings: Settings,
        *,
        connections: int = 2,
        before_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._before_round = before_round
        self._bell = threading.Condition()
        self._stopping = False
        self._quiet_until: dict[str, float] = {}
        self._relays: list[Relays] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"outbox-{number}", daemon=True)
            for number in range(connections)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def notify(self) -> None:
        """Look for mails now. From any thread."""
        with self._bell:
            self._bell.notify_all()

    def stop(self) -> None:
        """Let each thread hand over the mail that it is at, for some seconds; a relay that has not answered then is
        left, and its mail is tried again later. Returns within six seconds."""
        self._stopping = True
        self.notify()
        for wait in (STOP_SECONDS, ABORT_SECONDS):
            until = time.monotonic() + wait
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join(max(0.0, until - time.monotonic()))
            for relays in self._relays:
                relays.abort()

    def _run(self, number: int) -> None:
        relays = Relays(self._store, self._settings)
        self._relays.append(relays)
        round_at = 0.0
        while not self._stopping:
            try:
                if number == 0 and time.monotonic() >= round_at:
                    round_at = time.monotonic() + DOWN_SECONDS
                    self._before_round()
                while not self._stopping and self._send_some(relays):
                    pass
            except Exception as error:  # whatever it is, mail goes on being queued
                cause = str(error) if isinstance(error, IonError) else type(error).__name__
                log.error("no mail can be sent", cause=cause)  # noqa: TRY400  # no traceback: values
            relays.close()
            relays.forget()
            with self._bell:
                if not self._stopping:
                    self._bell.wait(POLL_SECONDS)
        relays.close()

    def _send_some(self, relays: Relays) -> bool:
        """Send what can be claimed; False where there is nothing."""
        now = time.monotonic()
        quiet = tuple(name for name, until in list(self._quiet_until.items()) if until > now)
        claimed = self._store.claim_outgoing(CLAIMED_AT_ONCE, LEASE_SECONDS, not_by=quiet)
        for handed in send_claimed(self._store, relays, claimed, lambda: self._stopping):
            if handed.down:
                name = relays.name_for(handed.mail.merchant)
                self._quiet_until[name] = time.monotonic() + DOWN_SECONDS
                log.error("a relay takes no mail", relay=name, cause=handed.reply)
        return bool(claimed)


@contextmanager
def opened_relays(store: "Store", settings: Settings) -> Iterator[Relays]:
    """Relays, closed at the end of the block."""
    relays = Relays(store, settings)
    try:
        yield relays
    finally:
        relays.close()


def send_now(store: "Store", settings: Settings, ids: Sequence[int] | None = None) -> list[Handed]:
    """Hand over the mails named, due or not, or all that wait, as far as nobody else is at it. Where a relay takes
    nothing, its other mails stay as they are. Raises StoreError."""
    told: list[Handed] = []
    down: set[str] = set()
    waiting = store.waiting_outgoing() if ids is None else list(ids)
    with opened_relays(store, settings) as relays:
        for start in range(0, len(waiting), CLAIMED_AT_ONCE):
            some = waiting[start : start + CLAIMED_AT_ONCE]
            claimed = store.claim_outgoing(CLAIMED_AT_ONCE, LEASE_SECONDS, ids=some, not_by=tuple(down))
            for handed in send_claimed(store, relays, claimed):
                told.append(handed)
                if handed.down:
                    down.add(relays.name_for(handed.mail.merchant))
    return told
