"""The books: whether what is stored adds up.

Three kinds of rule. What the schema declares (foreign keys, CHECK constraints) is asked of every table again, because a
database that was restored, repaired or written to by hand may not hold it. What the states say of each other is one
counting query for each rule. What only the content can tell (digests) is read through once, row by row, so that memory
stays constant however large the database is; a large one takes minutes.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import digest_of
from ion.store import tables
from ion.store.corrections import is_in_force
from ion.store.engine import Database
from ion.store.messages import message_counts
from ion.store.published import holds_erased
from ion.store.types import JobState, MessageState, NotificationState, OrderState, OutgoingState, utc_now

_LINKED = (NotificationState.APPLIED, NotificationState.SUPERSEDED, NotificationState.DUPLICATE)
# A job that runs on for so long after its lease was not taken over by anybody: nothing runs it any more.
_FORGOTTEN = timedelta(days=2)


class Checks(Database):
    """One reading transaction that sees one state of everything."""

    def check(self) -> dict[str, Any]:
        """Counts, and every disagreement found, as plain JSON values:
        `{"messages": {"received": n, "states": {...}}, "notifications": {...}, "orders": n, "outgoing": {...},
        "jobs": {...}, "alerts": {"open": n, "unseen": n}, "purged": {"retention": n, "erasure": n},
        "erased": {"orders": n, "notifications": n, "outgoing": n}, "published_files": n,
        "problems": [sentence, ...]}`. Changes nothing. Problems name rows by number, never a value. Raises StoreError
        where the database refuses."""
        now = utc_now()
        with self.reading() as connection:
            received = _count(connection, tables.Message)
            states = message_counts(connection)
            problems = [*_damage(connection), *_disagreements(connection), *_never_ended(connection, now)]
            problems += [*_in_sequences(connection), *_in_contents(connection)]
            if sum(states.values()) != received:
                problems.insert(0, f"{received} messages received, but the states add up to {sum(states.values())}")
            lasts = col(tables.Alert.over_at).is_(None)
            by_erasure = col(tables.MessagePurge.erasure_id).is_not(None)
            return {
                "messages": {"received": received, "states": states},
                "notifications": _by_state(connection, tables.Notification),
                "orders": _count(connection, tables.OrderRow),
                "outgoing": _by_state(connection, tables.Outgoing),
                "jobs": _by_state(connection, tables.JobRun),
                "alerts": {
                    "open": _count(connection, tables.Alert, lasts),
                    "unseen": _count(connection, tables.Alert, lasts, col(tables.Alert.seen_at).is_(None)),
                },
                "purged": {
                    "retention": _count(connection, tables.MessagePurge, ~by_erasure),
                    "erasure": _count(connection, tables.MessagePurge, by_erasure),
                },
                "erased": {
                    "orders": _count(connection, tables.OrderRow, _is_erased(tables.OrderRow)),
                    "notifications": _count(connection, tables.Notification, _is_erased(tables.Notification)),
                    "outgoing": _count(connection, tables.Outgoing, _is_erased(tables.Outgoing)),
                },
                "published_files": _count(connection, tables.PublishedFile),
                "problems": problems,
            }


def _damage(connection: sa.Connection) -> Iterator[str]:
    """What the database itself says of its pages and indexes. PostgreSQL has tools of its own for that."""
    if connection.dialect.name == "sqlite":
        for (told,) in connection.exec_driver_sql("PRAGMA quick_check(10)").all():
            if told != "ok":
                yield f"the database file is damaged: {told}"


_Rules = Iterator[tuple[str, Any, tuple[Any, ...]]]


def _disagreements(connection: sa.Connection) -> Iterator[str]:
    for words, query in _counts(connection.engine.url.drivername):
        number = connection.exec_driver_sql(query).scalar_one()
        if number:
            yield f"{number} {words}"


@cache
def _counts(driver: str) -> tuple[tuple[str, str], ...]:
    """What is wrong with the rows that break each rule, and the SQL that counts them. To write the SQL takes longer
    than to count in a small database, and it is the same each time."""
    dialect = sa.make_url(f"{driver}://").get_dialect()()
    literal = {"literal_binds": True}
    return tuple(
        (words, str(_counting(table, *conditions).compile(dialect=dialect, compile_kwargs=literal)))
        for words, table, conditions in (
            *_declared_rules(),
            *_message_rules(),
            *_order_rules(),
            *_decision_rules(),
            *_outgoing_rules(),
            *_bounce_rules(),
            *_erasure_rules(),
            *_batch_rules(),
            *_entry_rules(),
            *_job_rules(),
        )
    )


def _declared_rules() -> _Rules:
    """What the schema declares: no rows without their parents, no values that no CHECK allows."""
    for table in tables.Base.metadata.sorted_tables:
        for key in sorted(table.foreign_key_constraints, key=lambda one: list(one.column_keys)):
            parent = key.referred_table.alias("parent")
            same = [element.parent == parent.c[element.column.name] for element in key.elements]
            given = [element.parent.is_not(None) for element in key.elements]
            columns = ", ".join(key.column_keys)
            yield (
                f"rows of {table.name} without their {key.referred_table.name} ({columns})",
                table,
                (*given, ~sa.exists().select_from(parent).where(*same)),
            )
        checks = [one for one in table.constraints if isinstance(one, sa.CheckConstraint)]
        for check in sorted(checks, key=lambda one: str(one.name)):
            yield f"rows of {table.name} break the rule {check.name}", table, (sa.text(f"NOT ({check.sqltext})"),)


def _message_rules() -> _Rules:
    message, notification, purge = tables.Message, tables.Notification, tables.MessagePurge
    kept = tables.MessageRaw
    is_its = col(kept.message_id) == col(message.id)
    has_notification = sa.exists().where(col(notification.message_id) == col(message.id))
    is_purged = col(message.state) == MessageState.PURGED.value
    has_purge = sa.exists().where(col(purge.message_id) == col(message.id))
    has_bounce = sa.exists().where(col(tables.Bounce.message_id) == col(message.id))
    holds_something = sa.or_(has_notification, has_bounce)
    yield (
        "messages read without a notification or a bounce",
        message,
        (col(message.state) == "read", ~holds_something),
    )
    yield (
        "messages with a notification or a bounce that are not read",
        message,
        (col(message.state).not_in([MessageState.READ.value, MessageState.PURGED.value]), holds_something),
    )
    yield (
        "messages whose raw octets are not as long as they were",
        message,
        (sa.exists().where(is_its, sa.func.length(col(kept.raw)) != col(message.size_bytes)),),
    )
    yield "messages without raw octets that are not purged", message, (~is_purged, ~sa.exists().where(is_its))
    yield "messages purged that still have raw octets", message, (is_purged, sa.exists().where(is_its))
    yield "messages purged without a record of it", message, (is_purged, ~has_purge)
    yield "messages with a record of a purge that are not purged", message, (~is_purged, has_purge)
    was = col(purge.message_id) == col(message.id)
    yield (
        "messages purged as read without a notification or a bounce",
        message,
        (is_purged, sa.exists().where(was, col(purge.state_before) == "read"), ~holds_something),
    )
    yield (
        "messages purged as ignored with a notification or a bounce",
        message,
        (is_purged, sa.exists().where(was, col(purge.state_before) == "ignored"), holds_something),
    )
    waits = col(notification.state).in_([NotificationState.HELD.value, NotificationState.REVIEW.value])
    event = tables.NotificationEvent
    undone_since = sa.exists().where(
        _of_same(event, notification), col(event.what) == "undone", col(event.at) > col(purge.purged_at)
    )
    yield (
        "messages purged while a person had to decide",
        message,
        (
            is_purged,
            sa.exists().where(
                was,
                col(purge.erasure_id).is_(None),
                col(notification.message_id) == col(message.id),
                waits,
                col(notification.erased_at).is_(None),
                ~undone_since,
            ),
        ),
    )
    other = col(message.merchant) != col(notification.merchant)
    yield (
        "notifications of another merchant than their message",
        notification,
        (sa.exists().where(col(message.id) == col(notification.message_id), other),),
    )


def _order_rules() -> _Rules:
    notification, order = tables.Notification, tables.OrderRow
    revision, line = tables.OrderRevision, tables.OrderLine
    is_its = col(order.id) == col(notification.order_id)
    yield (
        "notifications linked to an order that is not there",
        notification,
        (col(notification.state).in_(_LINKED), ~sa.exists().where(is_its)),
    )
    different = sa.or_(
        col(order.merchant) != col(notification.merchant),
        col(order.platform) != col(notification.platform),
        col(order.order_number) != col(notification.order_number),
    )
    yield (
        "notifications linked to another order than they tell of",
        notification,
        (col(notification.state).in_(_LINKED), sa.exists().where(is_its, different), ~_is_decided_so(order)),
    )
    other_merchant = sa.exists().where(is_its, col(order.merchant) != col(notification.merchant))
    yield "notifications linked to an order of another merchant", notification, (other_merchant,)
    newest = sa.exists().where(
        col(revision.order_id) == col(order.id),
        col(revision.revision) == col(order.revision),
        col(revision.content_sha256) == col(order.content_sha256),
        col(revision.content_json) == col(order.content_json),
    )
    yield "orders without their newest revision", order, (~newest,)
    later = sa.exists().where(col(revision.order_id) == col(order.id), col(revision.revision) > col(order.revision))
    yield "orders older than one of their revisions", order, (later,)
    brought = sa.exists().where(
        col(notification.id) == col(revision.notification_id),
        col(notification.order_id) == col(revision.order_id),
        col(notification.state) == NotificationState.APPLIED.value,
    )
    yield "revisions that no applied notification brought", revision, (~brought,)
    otherwise = sa.exists().where(
        col(notification.id) == col(revision.notification_id),
        sa.func.coalesce(_corrected_json(), col(notification.order_json)) != col(revision.content_json),
    )
    yield "revisions with another content than their notification", revision, (otherwise,)
    words = sa.exists().where(col(tables.OrderWords.order_id) == col(order.id))
    yield "orders that no search finds", order, (~words, col(order.erased_at).is_(None))
    yield "erased orders that a search finds", order, (words, col(order.erased_at).is_not(None))
    last = sa.select(sa.func.max(col(line.position))).where(col(line.order_id) == col(order.id)).scalar_subquery()
    number = sa.select(sa.func.count()).where(col(line.order_id) == col(order.id)).scalar_subquery()
    yield "orders whose lines have gaps", order, (sa.func.coalesce(last, 0) != number,)


def _decision_rules() -> _Rules:
    notification, correction, event = tables.Notification, tables.Correction, tables.NotificationEvent
    told = sa.exists().where(_of_same(event, notification), col(event.what) == col(notification.decision))
    is_decided = col(notification.decision).is_not(None)
    yield "notifications decided without an event that says so", notification, (is_decided, ~told)
    waits = col(notification.state).in_([NotificationState.HELD.value, NotificationState.REVIEW.value])
    yield "notifications decided that still wait", notification, (is_decided, waits)
    made = sa.exists().where(_of_same(event, correction), col(event.what) == "corrected")
    yield "corrections without an event that says so", correction, (~made,)
    of_erased = sa.exists().where(_of_same(correction, notification), _is_erased(notification))
    has_content = sa.or_(col(correction.order_json).is_not(None), col(correction.changes_json) != "[]")
    yield "corrections of erased notifications that still have content", correction, (of_erased, has_content)
    yield (
        "corrections without content that are not erased",
        correction,
        (~of_erased, sa.or_(col(correction.order_json).is_(None), col(correction.changes_json) == "[]")),
    )


def _of_same(one: Any, other: Any) -> sa.ColumnElement[bool]:
    """The condition that two rows are of the same notification."""
    return sa.and_(col(one.message_id) == col(other.message_id), col(one.position) == col(other.position))


def _corrected_json() -> Any:
    """The order as it was corrected, of a notification that was released so."""
    notification, correction = tables.Notification, tables.Correction
    return (
        sa.select(col(correction.order_json))
        .where(_of_same(correction, notification), is_in_force(correction))
        .where(col(notification.decision) == "released")
        .order_by(col(correction.id).desc())
        .limit(1)
        .correlate(notification)
        .scalar_subquery()
    )


def _is_decided_so(order: Any) -> sa.ColumnElement[bool]:
    """Whether a person said that a notification is of that order: merged it, or corrected what it tells of."""
    notification, correction = tables.Notification, tables.Correction
    typed = sa.exists().where(
        _of_same(correction, notification),
        col(order.id) == col(notification.order_id),
        col(correction.undone_at).is_(None),
        col(correction.platform) == col(order.platform),
        col(correction.order_number) == col(order.order_number),
    )
    is_merged = sa.func.coalesce(col(notification.decision), "") == "merged"
    return sa.or_(is_merged, sa.and_(col(notification.decision) == "released", typed))


def _outgoing_rules() -> _Rules:
    mail = tables.Outgoing
    waits = col(mail.state).in_([OutgoingState.QUEUED.value, OutgoingState.RETRY.value])
    digested = col(mail.state) == OutgoingState.DIGESTED.value
    yield "outgoing mails that went with a digest that is not there", mail, (digested, col(mail.digest_id).is_(None))
    yield "outgoing mails that wait without a time", mail, (waits, col(mail.next_attempt_at).is_(None))
    yield "outgoing mails that are over and still have a time", mail, (~waits, col(mail.next_attempt_at).is_not(None))
    claimed = col(mail.claim_token).is_not(None)
    yield "outgoing mails claimed by halves", mail, (claimed != col(mail.claimed_until).is_not(None),)
    yield "outgoing mails that are over and still claimed", mail, (~waits, claimed)


def _bounce_rules() -> _Rules:
    mail, bounce, alert = tables.Outgoing, tables.Bounce, tables.Alert
    is_its = col(bounce.outgoing_id) == col(mail.id)
    failed = sa.exists().where(is_its, col(bounce.action) == "failed")
    yield (
        "outgoing mails that bounced without a bounce",
        mail,
        (col(mail.state) == OutgoingState.BOUNCED.value, ~failed),
    )
    of_erased = sa.exists().where(is_its, _is_erased(mail))
    told = sa.exists().where(col(alert.outgoing_id) == col(bounce.outgoing_id))
    yield "bounces that failed and raised no alert", bounce, (col(bounce.action) == "failed", ~told, ~of_erased)
    yield "bounces that are hard and did not fail", bounce, (col(bounce.hard).is_(True), col(bounce.action) != "failed")
    yield "bounces of erased mails that still quote a system", bounce, (of_erased, col(bounce.diagnostic).is_not(None))
    named = sa.exists().where(col(mail.id) == col(alert.outgoing_id), _is_erased(mail))
    yield "alerts that name the address of an erased mail", alert, (named,)
    yield "alerts that never happened", alert, (col(alert.happened) < 1,)
    is_its = col(alert.subject) == sa.literal("outgoing:") + sa.cast(col(alert.outgoing_id), sa.String)
    yield "alerts of a mail with another cause", alert, (col(alert.outgoing_id).is_not(None), ~is_its)


def _erasure_rules() -> _Rules:
    order, notification, mail = tables.OrderRow, tables.Notification, tables.Outgoing
    message, purge, file, member = tables.Message, tables.MessagePurge, tables.PublishedFile, tables.PublishedOrder
    erased, revision, line = tables.ErasedOrder, tables.OrderRevision, tables.OrderLine
    of_erased = sa.exists().where(col(order.id) == col(revision.order_id), _is_erased(order))
    left = [
        col(one).is_not(None)
        for one in (order.customer_name, order.customer_email, order.merchant_order_number, order.total_text)
    ]
    yield (
        "erased orders that still have content",
        order,
        (_is_erased(order), sa.or_(col(order.content_json) != "", *left)),
    )
    yield "orders without content that are not erased", order, (~_is_erased(order), col(order.content_json) == "")
    yield "revisions of erased orders that still have content", revision, (of_erased, col(revision.content_json) != "")
    yield (
        "lines of erased orders",
        line,
        (sa.exists().where(col(order.id) == col(line.order_id), _is_erased(order)),),
    )
    known = sa.exists().where(
        col(erased.merchant) == col(order.merchant),
        col(erased.platform) == col(order.platform),
        col(erased.order_number) == col(order.order_number),
    )
    yield "erased orders whose number does not count as erased", order, (_is_erased(order), ~known)
    yield "orders that count as erased and are not", order, (~_is_erased(order), known)
    has_content = sa.or_(
        col(notification.order_json).is_not(None),
        col(notification.partial_json).is_not(None),
        col(notification.problems_json) != "[]",
    )
    yield "erased notifications that still have content", notification, (_is_erased(notification), has_content)
    has_raw = sa.exists().where(col(tables.MessageRaw.message_id) == col(notification.message_id))
    unread = sa.exists().where(
        col(message.id) == col(notification.message_id),
        col(message.state).in_([MessageState.RECEIVED.value, MessageState.CLAIMED.value, MessageState.RETRY.value]),
    )
    yield (
        "erased notifications whose message still has its raw octets",
        notification,
        (_is_erased(notification), has_raw, ~unread),
    )
    has_octets = sa.exists().where(col(tables.OutgoingRaw.outgoing_id) == col(mail.id))
    yield "erased outgoing mails that still have octets", mail, (_is_erased(mail), has_octets)
    yield "outgoing mails without octets that are not erased", mail, (~_is_erased(mail), ~has_octets)
    yield (
        "mails of erased messages that still name their sender",
        message,
        (
            col(message.mail_from).is_not(None),
            sa.exists().where(col(purge.message_id) == col(message.id), col(purge.erasure_id).is_not(None)),
        ),
    )
    yield "erasures that were cut off; erase again", tables.Erasure, (col(tables.Erasure.finished_at).is_(None),)
    yield (
        "published files that hold erased orders; `ion purge` replaces them",
        file,
        (holds_erased(), col(file.replaced_at).is_(None)),
    )
    members = sa.select(sa.func.count()).where(col(member.file_id) == col(file.id)).scalar_subquery()
    yield "published files with another number of orders than recorded", file, (members != col(file.order_count),)


def _batch_rules() -> _Rules:
    batch, member, kept, order = tables.Batch, tables.BatchOrder, tables.BatchRaw, tables.OrderRow
    members = (
        sa.select(sa.func.count()).select_from(member).where(col(member.batch_id) == col(batch.id)).scalar_subquery()
    )
    yield "batches with another number of orders than recorded", batch, (members != col(batch.order_count),)
    has_octets = sa.exists().where(col(kept.batch_id) == col(batch.id))
    yield "batches without octets that are not erased", batch, (~_is_erased(batch), ~has_octets)
    yield "erased batches that still have octets", batch, (_is_erased(batch), has_octets)
    size = sa.select(sa.func.length(col(kept.raw))).where(col(kept.batch_id) == col(batch.id)).scalar_subquery()
    yield "batches whose octets are of another length", batch, (size != col(batch.size_bytes),)
    earlier = sa.orm.aliased(tables.Batch)
    same_profile = col(earlier.profile_id) == col(batch.profile_id)
    before = sa.exists().where(same_profile, col(earlier.number) == col(batch.number) - 1)
    yield "batches after a gap in their numbers", batch, (col(batch.number) > 1, ~before)
    of_erased = sa.exists().where(
        col(member.batch_id) == col(batch.id), col(member.order_id) == col(order.id), _is_erased(order)
    )
    yield "batches that hold erased orders", batch, (has_octets, of_erased)
    due = tables.ExportDue
    twice = sa.exists().where(
        col(member.profile_id) == col(due.profile_id),
        col(member.order_id) == col(due.order_id),
        col(member.revision) == col(order.revision),
        col(order.id) == col(due.order_id),
    )
    yield "orders that are due although they are in a batch", due, (twice,)


def _entry_rules() -> _Rules:
    order, event = tables.OrderRow, tables.OrderEvent
    is_entered = col(order.state) == OrderState.ENTERED.value
    has_number = col(order.shop_order_number).is_not(None)
    said = sa.exists().where(col(event.order_id) == col(order.id), col(event.what) == "entered")
    yield "orders entered without an event that says so", order, (is_entered, ~said)
    yield "orders entered without a shop order number", order, (is_entered, ~has_number, ~_is_erased(order))
    yield "orders with a shop order number that are not entered", order, (~is_entered, has_number)
    of_erased = sa.exists().where(col(order.id) == col(event.order_id), _is_erased(order))
    yield (
        "events of erased orders that still name a shop order number",
        event,
        (of_erased, col(event.shop_order_number).is_not(None)),
    )


def _job_rules() -> _Rules:
    run = tables.JobRun
    running = col(run.state) == JobState.RUNNING.value
    yield "job runs that are over without an end", run, (~running, col(run.finished_at).is_(None))
    yield "job runs that have an end and still run", run, (running, col(run.finished_at).is_not(None))
    yield "job runs that ended before they began", run, (col(run.finished_at) < col(run.started_at),)
    yield "job runs that nobody claimed", run, (col(run.attempts) < 1,)


def _never_ended(connection: sa.Connection, now: datetime) -> Iterator[str]:
    run = tables.JobRun
    forgotten = col(run.lease_until) < now - _FORGOTTEN
    number = _count(connection, run, col(run.state) == JobState.RUNNING.value, forgotten)
    if number:
        yield f"{number} job runs that never ended"


def _in_sequences(connection: sa.Connection) -> Iterator[str]:
    outgoing, notification = tables.OutgoingOrder, tables.Notification
    sequences = connection.execute(
        sa.select(col(outgoing.merchant), sa.func.count(), sa.func.max(col(outgoing.sequence)))
        .group_by(col(outgoing.merchant))
        .order_by(col(outgoing.merchant))
    )
    for merchant, number, last in sequences:
        if number != last:
            yield f"the sequence of merchant {merchant} has gaps: {number} orders, the last is number {last}"
    positions = (
        sa.select(col(notification.message_id))
        .group_by(col(notification.message_id))
        .having(sa.func.count() != sa.func.max(col(notification.position)))
    )
    number = connection.execute(sa.select(sa.func.count()).select_from(positions.subquery())).scalar_one()
    if number:
        yield f"{number} messages whose notifications have gaps"


def _in_contents(connection: sa.Connection) -> Iterator[str]:
    """What only the octets can tell: every order, revision and mail once, one at a time."""
    order, revision, message = tables.OrderRow, tables.OrderRevision, tables.Message
    is_its, later = col(order.id) == col(revision.order_id), col(order.revision) > col(revision.revision)
    for order_id, content, digest, lines in _streamed(
        connection,
        sa.select(col(order.id), col(order.content_json), col(order.content_sha256), _lines_of(order)).where(
            ~_is_erased(order)
        ),
    ):
        if digest_of(content) != digest:
            yield f"order row {order_id}: its content is not what was stored"
        elif len(json.loads(content).get("lines", ())) != lines:
            yield f"order row {order_id}: it has {lines} lines, its content another number"
    for order_id, number, content, digest in _streamed(
        connection,
        sa.select(
            col(revision.order_id), col(revision.revision), col(revision.content_json), col(revision.content_sha256)
        ).where(
            ~sa.exists().where(col(order.id) == col(revision.order_id), _is_erased(order)),
            # What an order said before it was erased stays erased where a person has taken the order back in.
            ~sa.and_(col(revision.content_json) == "", sa.exists().where(is_its, later)),
        ),
    ):
        if digest_of(content) != digest:
            yield f"order row {order_id}, revision {number}: its content is not what was stored"
    kept = tables.MessageRaw
    mails = sa.select(col(message.id), col(kept.raw), col(message.sha256)).join(
        kept, col(kept.message_id) == col(message.id)
    )
    for message_id, raw, digest in _streamed(connection, mails, rows_at_once=1):
        if sha256(raw).hexdigest() != digest:
            yield f"message row {message_id}: its raw octets are not what arrived"
    for run_id, detail in _streamed(connection, sa.select(col(tables.JobRun.id), col(tables.JobRun.detail))):
        if not _is_json(detail):
            yield f"job run row {run_id}: its detail cannot be read"


def _lines_of(order: Any) -> Any:
    return sa.select(sa.func.count()).where(col(tables.OrderLine.order_id) == order.id).scalar_subquery()


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _is_erased(table: Any) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = col(table.erased_at).is_not(None)
    return condition


def _streamed(connection: sa.Connection, query: Any, rows_at_once: int = 200) -> Iterator[Any]:
    yield from connection.execution_options(stream_results=True, yield_per=rows_at_once).execute(query)


def _count(connection: sa.Connection, table: Any, *conditions: Any) -> int:
    return connection.execute(_counting(table, *conditions)).scalar_one()


def _counting(table: Any, *conditions: Any) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(table).where(*conditions)


def _by_state(connection: sa.Connection, table: Any) -> dict[str, int]:
    query = sa.select(table.state, sa.func.count().label("number")).group_by(table.state).order_by(table.state)
    return {row.state: row.number for row in connection.execute(query)}
