"""Fetching: mail out of IMAP folders, through the same durable step as every other door.

A round looks into each folder of an account, in windows of UIDs beyond its cursor. Each message is fetched without
marking it, stored together with the cursor moved past it, and only then flagged or moved, if the account wants that.
Whatever breaks a round off, the next one begins where the store says: nothing is missed, and what comes twice is found
to be there by its content. The account fixes the merchant.

A server that is not well is left alone for growing, jittered times; what a person has to mend is a state of the
account.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from ion.config_imap import ImapAccount
from ion.errors import IonError, SettingError, StoreError, UnknownMerchantError
from ion.inbox.imap_session import (
    FolderError,
    ImapSession,
    Listed,
    MessageRefusedError,
    MessageTooLargeError,
    Selected,
    ThrottledError,
)
from ion.inbox.oauth import AccessTokens, SignInRefusedError
from ion.store import AddedMessage, CursorMovedError, ImapAccountState, ImapCursor, NewMessage, SkippedMessage, Store
from ion.store.types import utc_now

log = structlog.get_logger("ion.inbox")

# First and longest pause in seconds. Asking a network that is down costs nobody anything; a server that says no does.
BROKEN_OFF = (1.0, 60.0)
THROTTLED = (5.0, 900.0)
REFUSED = (30.0, 900.0)
LEAST_PAUSE_SECONDS = 1.0
STOP_SECONDS = 8.0
# Pauses before a message that the server does not give is asked for once more.
ASK_AGAIN_SECONDS = (1.0, 2.0, 4.0, 8.0)

TOO_LARGE = "larger than smtp_max_message_bytes"
NOT_GIVEN = "the server does not give it"


@dataclass(frozen=True)
class Fetched:
    """What a round did. `new`: messages stored; `known`: fetched, and stored already; `skipped`: passed over, told;
    `gone`: passed over before, and not on the server any more."""

    new: int = 0
    known: int = 0
    skipped: int = 0
    gone: int = 0


class ImapFetcher:
    """The rounds of one account. `on_received` is called after each commit of something new.

    `fetch_once`, `fetch_skipped` or `run`, in one thread; `abort` from any. `fetched`: what the round under way has
    done, or the last.
    """

    def __init__(
        self,
        store: Store,
        account: ImapAccount,
        *,
        max_message_bytes: int,
        on_received: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._account = account
        self._max_message_bytes = max_message_bytes
        self._on_received = on_received
        self._tokens = AccessTokens(account.oauth) if account.oauth else None
        self._session: ImapSession | None = None
        self._trouble: tuple[float, float] | None = None
        self._failures = 0
        self._selected: dict[str, Selected] = {}
        self.fetched = Fetched()

    def fetch_once(self) -> Fetched:
        """One round, on a connection of its own. How it ended is kept as the account's state.

        Raises IonError where it did not come to its end; what was stored until then stays stored.
        """
        return self._once(self._round)

    def fetch_skipped(self) -> Fetched:
        """Ask once more for the messages that were passed over, on a connection of its own. Those that are given now
        are stored, and flagged or moved like others; those that are gone are listed no more.

        Raises IonError as `fetch_once` does.
        """
        return self._once(self._skipped_round)

    def _once(self, what: Callable[[], None]) -> Fetched:
        try:
            what()
        except Exception as error:
            self._failed(error)
            raise
        finally:
            self._hang_up()
        return self.fetched

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop` is set (then `abort`, so that it is seen at once)."""
        stop.wait(self._pause_left())
        while not stop.is_set():
            began = time.monotonic()
            try:
                self._round()
            except Exception as error:  # whatever it was, the next round begins where the store says
                self._hang_up()
                if not stop.is_set():
                    stop.wait(self._failed(error))
                continue
            left = self._account.round_seconds - (time.monotonic() - began)
            self._wait(max(left, LEAST_PAUSE_SECONDS), stop)
        self._hang_up()

    def abort(self) -> None:
        """Break off what waits for the server. A commit under way comes to its end."""
        if self._session is not None:
            self._session.abort()

    def _round(self) -> None:
        session = self._opened()
        troubles: list[IonError] = []
        for folder in self._account.folders:
            try:
                self._fetch_folder(session, folder, troubles)
            except CursorMovedError as error:
                log.info("imap folder left to another program", account=self._account.name, cause=str(error))
            except (FolderError, MessageRefusedError) as error:
                troubles.append(error)  # of this folder; the others are fetched all the same
        if troubles:
            raise troubles[0]
        self._trouble = None
        self._store.imap_round_succeeded(self._account.name)

    def _opened(self) -> ImapSession:
        """The session of a round that begins."""
        self.fetched = Fetched()
        self._store.merchant(self._account.merchant)
        if self._session is None:
            self._session = ImapSession(self._account, self._tokens, max_message_bytes=self._max_message_bytes)
            self._session.open()
        return self._session

    def _skipped_round(self) -> None:
        session, account = self._opened(), self._account
        troubles: list[IonError] = []
        for cursor in self._store.imap_cursors(account.name):
            skipped = self._store.skipped_imap_messages(account.name, cursor.folder)
            if not skipped or cursor.folder not in account.folders or cursor.source != account.source:
                continue
            try:
                if session.select(cursor.folder).uidvalidity == cursor.uidvalidity:
                    self._fetch_skipped(session, cursor, skipped)
                    (now,) = (one for one in self._store.imap_cursors(account.name) if one.folder == cursor.folder)
                    self._finish(session, now, troubles)
            except FolderError as error:
                troubles.append(error)
        if troubles:
            raise troubles[0]

    def _fetch_skipped(self, session: ImapSession, cursor: ImapCursor, skipped: Sequence[SkippedMessage]) -> None:
        listed = session.listed(one.uid for one in skipped)
        # Last those of unknown size: one that is still larger than what is taken ends the session.
        for one in sorted(skipped, key=lambda one: one.size_bytes is None):
            told, raw = listed.get(one.uid), None
            is_given = told is None or told.size_bytes <= self._max_message_bytes
            if told is not None and is_given:
                try:
                    raw = self._octets(session, told)
                except MessageRefusedError:
                    is_given = False
            if not is_given:
                self.fetched = replace(self.fetched, skipped=self.fetched.skipped + 1)
                continue
            merchant = self._account.merchant
            message = None if raw is None else NewMessage(merchant, "imap", raw, None, merchant)
            added = self._store.settle_skipped_imap_message(cursor, one.uid, message)
            if raw is None or added is None:
                self.fetched = replace(self.fetched, gone=self.fetched.gone + 1)
            else:
                self._tell(added, len(raw))

    def _fetch_folder(self, session: ImapSession, folder: str, troubles: list[IonError]) -> None:
        account = self._account
        selected = self._selected[folder] = session.select(folder)
        cursor = self._store.imap_cursor(account.name, folder, account.source, selected.uidvalidity)
        if self._numbers_given_anew(session, selected, cursor):
            log.warning("imap numbers were given anew, folder fetched from its beginning", account=account.name)
            cursor = self._store.restart_imap_cursor(cursor)
        cursor = self._finish(session, cursor, troubles)
        uids = session.uids(cursor.last_uid + 1)
        held: list[SkippedMessage] = []
        for start in range(0, len(uids), account.window):
            cursor = self._fetch_window(session, cursor, uids[start : start + account.window], held)
            cursor = self._finish(session, cursor, troubles)
        if held:
            raise MessageRefusedError("the server does not give a message, nor any behind it")

    def _numbers_given_anew(self, session: ImapSession, selected: Selected, cursor: ImapCursor) -> bool:
        """Whether the server gave numbers that we have seen to other messages, and did not say so by another
        UIDVALIDITY: a mailbox restored from a copy."""
        if selected.uidnext is not None and selected.uidnext <= cursor.last_uid:
            return True
        # By INTERNALDATE alone: some servers estimate sizes, and estimate them anew.
        there = session.listed(cursor.marks)
        if any(one.mark and one.mark != cursor.marks[uid] for uid, one in there.items()):
            return True
        if self._account.move_to is None or not cursor.done_uid:
            return False
        # What was stored has been moved away, so whatever stands at its numbers is something else.
        return bool(set(session.uids(1, cursor.done_uid, undeleted=True)) - self._skipped_uids(cursor))

    def _fetch_window(
        self, session: ImapSession, cursor: ImapCursor, window: list[int], held: list[SkippedMessage]
    ) -> ImapCursor:
        """Store the messages of a window in the order of their numbers; the cursor behind what is stored or told.

        `held`: messages before them that are to be passed over. One that the server does not give is passed over only
        together with one behind it that it does give: else the trouble is the server's, and the cursor stays.
        """
        listed = session.listed(window)
        for uid in window:
            told = listed.get(uid) or Listed(uid, 0, "")
            raw = None
            if told.size_bytes > self._max_message_bytes:
                held.append(SkippedMessage(uid, told.size_bytes, TOO_LARGE))
            else:
                try:
                    raw = self._octets(session, told)
                except MessageRefusedError:
                    held.append(SkippedMessage(uid, told.size_bytes, NOT_GIVEN))
                except MessageTooLargeError:
                    held.append(SkippedMessage(uid, None, TOO_LARGE))
                    self._pass(cursor, told, held, None)
                    raise
            if raw is not None or not any(one.reason == NOT_GIVEN for one in held):
                cursor = self._pass(cursor, told, held, raw)
        return cursor

    def _octets(self, session: ImapSession, told: Listed) -> bytes | None:
        """A message's octets, asked for more than once where the server does not give it; None where it has moved.

        Raises MessageRefusedError, MessageTooLargeError.
        """
        for pause in (*ASK_AGAIN_SECONDS, None):
            try:
                raw = session.octets(told)
            except MessageRefusedError:
                if pause is None:
                    raise
            else:
                if raw is not None or not session.uids(told.uid, told.uid):
                    return raw
                if pause is None:
                    break
            time.sleep(pause)
        raise MessageRefusedError("the server has a message and gives nothing")

    def _pass(self, cursor: ImapCursor, told: Listed, held: list[SkippedMessage], raw: bytes | None) -> ImapCursor:
        """Store the message, if it is there, and move the cursor past it and what was held before it."""
        # A door without addresses: the merchant's name stands for the recipient.
        merchant = self._account.merchant
        message = None if raw is None else NewMessage(merchant, "imap", raw, None, merchant)
        cursor, added = self._store.pass_imap_message(
            cursor, told.uid, message=message, mark=told.mark or None, skipped=held
        )
        for skipped in held:
            log.warning(
                "imap message skipped",
                account=cursor.account,
                uid=skipped.uid,
                size_bytes=skipped.size_bytes,
                cause=skipped.reason,
            )
        done = self.fetched
        self.fetched = replace(done, skipped=done.skipped + len(held))
        held.clear()
        if raw is not None and added is not None:
            self._tell(added, len(raw))
        return cursor

    def _tell(self, added: AddedMessage, size_bytes: int) -> None:
        done = self.fetched
        self.fetched = replace(done, new=done.new + added.created, known=done.known + (not added.created))
        log.info(
            "message kept",
            message=added.id,
            merchant=self._account.merchant,
            size_bytes=size_bytes,
            sha256=added.sha256[:12],
            new=added.created,
        )
        if added.created:
            self._on_received()

    def _finish(self, session: ImapSession, cursor: ImapCursor, troubles: list[IonError]) -> ImapCursor:
        """Flag or move the stored messages for which that was not done yet. Where it cannot be done, `troubles` tells
        it, and fetching goes on."""
        account = self._account
        if cursor.done_uid == cursor.last_uid:
            return cursor
        if account.after != "leave":
            there = session.uids(cursor.done_uid + 1, cursor.last_uid, undeleted=True)
            stored = sorted(set(there) - self._skipped_uids(cursor))
            try:
                for start in range(0, len(stored), account.window):
                    window = stored[start : start + account.window]
                    if account.move_to is None:
                        session.mark_as_read(window)
                    else:
                        session.move(window, account.move_to)
            except FolderError as error:
                troubles.append(error)
                return cursor
        return self._store.finish_imap_messages(cursor)

    def _skipped_uids(self, cursor: ImapCursor) -> set[int]:
        return {one.uid for one in self._store.skipped_imap_messages(cursor.account, cursor.folder)}

    def _wait(self, seconds: float, stop: threading.Event) -> None:
        """Until the next round is due, or new mail is hinted at."""
        until = time.monotonic() + seconds
        session = self._session
        assert session is not None
        try:
            first, is_due = self._account.folders[0], False
            if len(self._account.folders) > 1:
                # The hints are about what is selected, and tell nothing of what came while another one was.
                is_due = session.select(first).has_news_since(self._selected[first])
            alive = is_due or session.wait(seconds, stop)
        except IonError:
            alive = False
        if alive:
            stop.wait(LEAST_PAUSE_SECONDS)  # mail often comes in bursts
        else:
            # Not before it is due: some servers hang up whenever nothing is to be told.
            self._hang_up()
            stop.wait(max(until - time.monotonic(), LEAST_PAUSE_SECONDS))

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _failed(self, error: Exception) -> float:
        """Keep and tell how a round failed; the seconds to wait now."""
        # Our own sentences quote nothing; those of libraries may quote the mail.
        cause = str(error) if isinstance(error, IonError) else f"{type(error).__name__} in the program"
        state, seconds = ImapAccountState.FAILING, self._account.round_seconds
        if isinstance(error, (SignInRefusedError, SettingError, UnknownMerchantError)):
            state, seconds = ImapAccountState.REFUSED, self._growing(REFUSED)
        elif isinstance(error, ThrottledError):
            seconds = self._growing(THROTTLED)
        elif not isinstance(error, (FolderError, MessageRefusedError)):
            seconds = self._growing(BROKEN_OFF)
        tell = log.error if state is ImapAccountState.REFUSED else log.warning
        tell(
            "imap round failed",
            account=self._account.name,
            state=state.value,
            cause=cause,
            delay_seconds=round(seconds, 1),
        )
        try:
            self._store.imap_round_failed(self._account.name, state, cause, seconds)
        except StoreError as trouble:
            log.error("imap account state not kept", account=self._account.name, cause=str(trouble))  # noqa: TRY400
        return seconds

    def _growing(self, kind: tuple[float, float]) -> float:
        """The next pause for trouble of this kind, doubled from one to the next of the same kind, with jitter."""
        self._failures = self._failures + 1 if self._trouble == kind else 1
        self._trouble = kind
        first, longest = kind
        return min(first * 2.0 ** min(self._failures - 1, 20), longest) * random.uniform(0.5, 1.0)  # noqa: S311

    def _pause_left(self) -> float:
        """Seconds that the server was to be left alone for when the program was last ended."""
        try:
            status = self._store.imap_account_status(self._account.name)
        except StoreError:
            return 0.0
        if status is None or status.next_attempt_at is None:
            return 0.0
        return min(max((status.next_attempt_at - utc_now()).total_seconds(), 0.0), THROTTLED[1])


class ImapFetchers:
    """All accounts, each in a thread of its own, from `start` to `stop`: one that hangs holds up no other."""

    def __init__(
        self,
        store: Store,
        accounts: Sequence[ImapAccount],
        *,
        max_message_bytes: int,
        on_received: Callable[[], None] = lambda: None,
    ) -> None:
        self._stopping = threading.Event()
        self._fetchers = [
            ImapFetcher(store, account, max_message_bytes=max_message_bytes, on_received=on_received)
            for account in accounts
        ]
        # Daemons: waiting for a name server cannot be broken off, and nothing is lost when it ends with the program.
        self._threads = [
            threading.Thread(target=fetcher.run, args=(self._stopping,), name=f"imap-{account.name}", daemon=True)
            for fetcher, account in zip(self._fetchers, accounts, strict=True)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Break off what waits for a server; returns when commits under way have ended."""
        self._stopping.set()
        until = time.monotonic() + STOP_SECONDS
        for fetcher in self._fetchers:
            fetcher.abort()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))
