"""IMAP: how far each folder was fetched, what was passed over, how each account fares.

A cursor is moved in the transaction that stores the message it moves past, and only from where the caller last saw it.
So of two programs that fetch one folder at once, one gets CursorMovedError and stores nothing twice; and what a cursor
has passed is stored, whatever ended the program.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.engine import Database, insert_new, one_row
from ion.store.messages import AddedMessage, NewMessage, insert_message
from ion.store.types import ImapAccountState, storable, utc_now

MARKS = 50  # of the last messages


class CursorMovedError(StoreError):
    """Another program has fetched this folder meanwhile; nothing was changed."""


@dataclass(frozen=True)
class ImapCursor:
    """How far a folder was fetched, as it was last seen. `source`: the mailbox and merchant that it counts for.

    `last_uid`: every message up to it is stored or told as skipped; `done_uid`: nothing is left to do with those;
    `marks`: INTERNALDATE by UID, of the last ones stored.
    """

    account: str
    folder: str
    source: str
    uidvalidity: int
    last_uid: int = 0
    done_uid: int = 0
    marks: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SkippedMessage:
    """A message that was passed over; it stays on the server. `size_bytes`: as the server says, None: unknown.
    `skipped_at`: None until it is stored."""

    uid: int
    size_bytes: int | None
    reason: str
    skipped_at: datetime | None = None


@dataclass(frozen=True)
class ImapAccountStatus:
    """How an account fares. `failures`: in a row; `next_attempt_at`: not before, because of them."""

    account: str
    state: ImapAccountState
    state_at: datetime
    reason: str | None
    failures: int
    next_attempt_at: datetime | None
    last_round_at: datetime | None


class ImapFolders(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def imap_cursor(self, account: str, folder: str, source: str, uidvalidity: int) -> ImapCursor:
        """How far this folder was fetched. From the beginning where it was never fetched, where the server has given
        new numbers (another UIDVALIDITY: RFC 3501, 2.3.1.1), or where the account now names another mailbox."""
        with self.reading() as connection:
            found = _cursor(connection, account, folder)
            if found and (found.source, found.uidvalidity) == (source, uidvalidity):
                return found
        with self.writing() as connection:
            return _start(connection, ImapCursor(account, folder, source, uidvalidity))

    def restart_imap_cursor(self, cursor: ImapCursor) -> ImapCursor:
        """Fetch the folder from the beginning: what is stored already is found to be so. Raises CursorMovedError."""
        with self.writing() as connection:
            _lock(connection, cursor)
            return _start(connection, replace(cursor, last_uid=0, done_uid=0, marks={}))

    def pass_imap_message(
        self,
        cursor: ImapCursor,
        uid: int,
        *,
        message: NewMessage | None = None,
        mark: str | None = None,
        skipped: Sequence[SkippedMessage] = (),
    ) -> tuple[ImapCursor, AddedMessage | None]:
        """Store a message and move the cursor past it, in one transaction. Without `message`, only move it.

        `mark`: the message's INTERNALDATE; `skipped`: messages up to `uid` that are passed over. Returns the cursor as
        it stands now and the message's row, which may have been there. Raises CursorMovedError.
        """
        assert uid > cursor.last_uid
        digest = sha256(message.raw).hexdigest() if message else ""
        marks = dict(cursor.marks) | ({uid: mark} if mark else {})
        moved = replace(cursor, last_uid=uid, marks=dict(list(marks.items())[-MARKS:]))
        with self.writing() as connection:
            _lock(connection, cursor)
            _update(connection, moved)
            for one in skipped:
                _skip(connection, cursor, one)
            return moved, insert_message(connection, message, digest) if message else None

    def finish_imap_messages(self, cursor: ImapCursor) -> ImapCursor:
        """Nothing is left to do with the messages up to the cursor. Raises CursorMovedError."""
        done = replace(cursor, done_uid=cursor.last_uid)
        with self.writing() as connection:
            _lock(connection, cursor)
            _update(connection, done)
        return done

    def skipped_imap_messages(self, account: str, folder: str) -> tuple[SkippedMessage, ...]:
        """The messages of a folder that were passed over, by UID."""
        table = tables.ImapSkipped
        query = sa.select(col(table.uid), col(table.size_bytes), col(table.reason), col(table.skipped_at))
        with self.reading() as connection:
            rows: Any = connection.execute(
                query.where(col(table.account) == account, col(table.folder) == folder).order_by(col(table.uid))
            ).all()
        return tuple(SkippedMessage(*row) for row in rows)

    def settle_skipped_imap_message(
        self, cursor: ImapCursor, uid: int, message: NewMessage | None
    ) -> AddedMessage | None:
        """List a message no more that was passed over: it is stored now, or, without `message`, it is not on the server
        any more. What the account says is to be done with stored messages is left to do from there on. Raises
        CursorMovedError where the folder is fetched anew meanwhile."""
        table, skipped = tables.ImapFolder, tables.ImapSkipped
        undone = sa.case((col(table.done_uid) < uid, col(table.done_uid)), else_=uid - 1)
        with self.writing() as connection:
            held = connection.execute(
                sa.update(table)
                .where(col(table.account) == cursor.account, col(table.folder) == cursor.folder)
                .where(col(table.source) == cursor.source, col(table.uidvalidity) == cursor.uidvalidity)
                .values(done_uid=undone if message else col(table.done_uid), updated_at=utc_now())
            )
            one_row(held, CursorMovedError(f"a folder of the IMAP account {cursor.account} is fetched anew"))
            connection.execute(
                sa.delete(skipped)
                .where(col(skipped.account) == cursor.account, col(skipped.folder) == cursor.folder)
                .where(col(skipped.uid) == uid)
            )
            return insert_message(connection, message, sha256(message.raw).hexdigest()) if message else None

    def imap_cursors(self, account: str) -> tuple[ImapCursor, ...]:
        """All folders of an account that were ever fetched, by name."""
        with self.reading() as connection:
            names = connection.execute(
                sa.select(col(tables.ImapFolder.folder))
                .where(col(tables.ImapFolder.account) == account)
                .order_by(col(tables.ImapFolder.folder))
            ).scalars()
            return tuple(found for name in names.all() if (found := _cursor(connection, account, name)))

    def imap_account_status(self, account: str) -> ImapAccountStatus | None:
        """How an account fares; None where no round of it has ended yet."""
        with self.reading() as connection:
            return _status(connection, account)

    def imap_round_succeeded(self, account: str) -> None:
        """A round of this account came to its end."""
        with self.writing() as connection:
            _set_status(connection, account, ImapAccountState.OK, None, 0, None)

    def imap_round_failed(
        self, account: str, state: ImapAccountState, reason: str, delay_seconds: float
    ) -> ImapAccountStatus:
        """A round of this account failed. `delay_seconds`: how long to leave the server alone now."""
        with self.writing() as connection:
            known = _status(connection, account)
            _set_status(
                connection,
                account,
                state,
                (storable(reason) or "?")[:500],
                (known.failures if known else 0) + 1,
                utc_now() + timedelta(seconds=delay_seconds),
            )
            status = _status(connection, account)
        assert status is not None
        return status


def _cursor(connection: sa.Connection, account: str, folder: str) -> ImapCursor | None:
    table = tables.ImapFolder
    row: Any = connection.execute(
        sa.select(table).where(col(table.account) == account).where(col(table.folder) == folder)
    ).one_or_none()
    if row is None:
        return None
    marks = {int(uid): mark for uid, mark in json.loads(row.marks_json).items()}
    return ImapCursor(account, folder, row.source, row.uidvalidity, row.last_uid, row.done_uid, marks)


def _start(connection: sa.Connection, cursor: ImapCursor) -> ImapCursor:
    """At the beginning, whatever was there. Numbers given anew may stand for other messages: what was skipped is
    forgotten."""
    row = {"account": cursor.account, "folder": cursor.folder, **_columns(cursor)}
    if insert_new(connection, tables.ImapFolder, "account", **row) is None:
        _update(connection, cursor)
    table = tables.ImapSkipped
    connection.execute(sa.delete(table).where(col(table.account) == cursor.account, col(table.folder) == cursor.folder))
    return cursor


def _lock(connection: sa.Connection, seen: ImapCursor) -> None:
    """Hold the row, if it stands where it was last seen. Raises CursorMovedError."""
    table = tables.ImapFolder
    held = connection.execute(
        sa.update(table)
        .where(col(table.account) == seen.account, col(table.folder) == seen.folder)
        .where(col(table.source) == seen.source, col(table.uidvalidity) == seen.uidvalidity)
        .where(col(table.last_uid) == seen.last_uid)
        .values(updated_at=utc_now())
    )
    one_row(held, CursorMovedError(f"another program fetches a folder of the IMAP account {seen.account}"))


def _update(connection: sa.Connection, cursor: ImapCursor) -> None:
    table = tables.ImapFolder
    connection.execute(
        sa.update(table)
        .where(col(table.account) == cursor.account, col(table.folder) == cursor.folder)
        .values(**_columns(cursor))
    )


def _columns(cursor: ImapCursor) -> dict[str, Any]:
    return {
        "source": cursor.source,
        "uidvalidity": cursor.uidvalidity,
        "last_uid": cursor.last_uid,
        "done_uid": cursor.done_uid,
        "marks_json": json.dumps(cursor.marks),
        "updated_at": utc_now(),
    }


def _skip(connection: sa.Connection, cursor: ImapCursor, skipped: SkippedMessage) -> None:
    insert_new(
        connection,
        tables.ImapSkipped,
        "uid",
        account=cursor.account,
        folder=cursor.folder,
        uid=skipped.uid,
        size_bytes=skipped.size_bytes,
        reason=skipped.reason,
        skipped_at=utc_now(),
    )


def _status(connection: sa.Connection, account: str) -> ImapAccountStatus | None:
    table = tables.ImapAccountRow
    row: Any = connection.execute(sa.select(table).where(col(table.account) == account)).one_or_none()
    return None if row is None else ImapAccountStatus(**dict(row._mapping) | {"state": ImapAccountState(row.state)})


def _set_status(
    connection: sa.Connection,
    account: str,
    state: ImapAccountState,
    reason: str | None,
    failures: int,
    next_attempt_at: datetime | None,
) -> None:
    now, table = utc_now(), tables.ImapAccountRow
    known = _status(connection, account)
    row = {
        "state": state.value,
        "state_at": known.state_at if known and known.state == state else now,
        "reason": reason,
        "failures": failures,
        "next_attempt_at": next_attempt_at,
        "last_round_at": now if state is ImapAccountState.OK else known.last_round_at if known else None,
    }
    if insert_new(connection, table, "account", account=account, **row) is None:
        connection.execute(sa.update(table).where(col(table.account) == account).values(**row))
