"""What another reading of a kept message would change, and changing it: one transaction for each message.

    held or for review                    -> stored anew as it is judged now, and applied where it is proved now, or
                                             where the merchant's policy believes now whoever sent it
    held or for review, not found any more -> taken away, unless a person has done anything with it
    held or for review, and corrected      -> kept with its correction; applied where the seal proves the order just as
                                             it is corrected
    found now, not before                 -> stored as a new one
    applied by its seal, and proved now    -> what was read of it is put right; where the order differs, so is the order
    superseded or a duplicate              -> likewise; its order is not touched
    a bounce that is believed now          -> stored, with all that comes of it; one stored before stays
    anything else                         -> kept: what a person decided, and what can no longer be proved here

So a person's decision is never overwritten, and an order once proved is never taken away. Where today's reader, keys
and policy say what is stored already, nothing is changed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import col

from ion.errors import StoreError
from ion.store import tables
from ion.store.bounces import keep_bounce, kept_bounce, merchants_of_mails
from ion.store.corrections import correction_in_force
from ion.store.engine import Database
from ion.store.judgements import Judgement, order_told_of, store_notification
from ion.store.merchants import lock_merchant
from ion.store.messages import KeptMessage
from ion.store.notification_events import WAITING, has_events
from ion.store.orders import update_order
from ion.store.trust import Evidence
from ion.store.types import MessageState, NotificationState, storable, utc_now

Change = Literal["same", "changed", "new", "gone", "kept"]

_PROVED = (NotificationState.APPLIED.value, NotificationState.SUPERSEDED.value, NotificationState.DUPLICATE.value)
# What was found now, with what was found out about its sender.
_Found = tuple[Judgement, Evidence | None]
# When it was judged is no part of what was judged; which row an order has or would have says nothing to anybody.
_NOT_COMPARED = ("id", "judged_at", "order_json", "order_id")
# What was checked is told with what came of it; by itself (another version of the policy, say) it is no change.
_NO_CHANGE_ALONE = ["evidence_json"]


@dataclass(frozen=True)
class NotificationChange:
    """One notification before and after. `before`, `after`: columns that differ, None where it was or will not be
    there; where it is `kept`, `after` is what the reader says now. `content_before`, `content_after`: the order's whole
    content, where it is there and differs."""

    position: int
    change: Change
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    content_before: str | None = None
    content_after: str | None = None

    @property
    def order(self) -> dict[str, tuple[Any, Any]]:
        """The order's fields that differ, by their path, each with the value before and after, None where it has
        none."""
        return _order_differences(self.content_before, self.content_after)

    def to_json(self) -> dict[str, Any]:
        """What differs, as plain JSON values."""
        return {
            "position": self.position,
            "change": self.change,
            "before": self.before,
            "after": self.after,
            "order": self.order,
        }


@dataclass(frozen=True)
class MessageChange:
    """What another reading of one message changes. `state`, `state_after`: of the message; `applied`: it is stored."""

    message_id: int
    merchant: str
    state: str
    state_after: str
    changed: bool
    applied: bool
    notifications: tuple[NotificationChange, ...]


class Rereadings(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def store_rereading(
        self,
        message: KeptMessage,
        judged: Sequence[Judgement],
        evidence: Sequence[Evidence | None] = (),
        *,
        apply: bool,
    ) -> MessageChange:
        """What `judged`, another reading of a message, changes; stored only with `apply`, else undone again.

        `evidence`: for each of `judged` what was found out about its sender now, or nothing at all. Raises StoreError
        where the message has come to another state since it was taken.
        """
        with self.writing() as connection:
            for merchant in sorted({message.merchant} | merchants_of_mails(connection, [message.bounce_of])):
                lock_merchant(connection, merchant)
            _unmoved(connection, message)
            trial = connection.begin_nested()
            about = evidence or (None,) * len(judged)
            found = [one for one in zip(judged, about, strict=True) if one[0].grade != "none"]
            changes = tuple(_changes(connection, message, found))
            bounce = kept_bounce(connection, message.id)
            keep_bounce(connection, message.id, message.bounce_of, judged)
            bounced = kept_bounce(connection, message.id) != bounce
            after = _settle(connection, message)
            changed = bounced or after != message.state or any(one.change not in ("same", "kept") for one in changes)
            if apply and changed:
                trial.commit()
            else:
                trial.rollback()
        return MessageChange(message.id, message.merchant, message.state, after, changed, apply and changed, changes)


def _unmoved(connection: sa.Connection, message: KeptMessage) -> None:
    row = connection.execute(
        sa.select(col(tables.Message.state), col(tables.Message.state_at))
        .where(col(tables.Message.id) == message.id)
        .with_for_update()
    ).one_or_none()
    if row is None or (row.state, row.state_at) != (message.state, message.state_at):
        raise StoreError(f"message {message.id} has changed since it was read again; read it once more")


def _changes(connection: sa.Connection, message: KeptMessage, found: Sequence[_Found]) -> list[NotificationChange]:
    before = _rows(connection, message.id)
    corrections = {row["id"]: correction_in_force(connection, message.id, row["position"]) for row in before}
    pairs, new = _paired(before, found, {row: made.order_number for row, made in corrections.items() if made})
    # From the last one on, because none is taken away that others stand behind: places have no gaps.
    changes = [
        _changed(connection, message, row, now, corrections[row["id"]])
        for row, now in sorted(pairs, key=lambda pair: pair[0]["position"], reverse=True)
    ]
    free = _last_position(connection, message.id) + 1
    for position, (judged, evidence) in enumerate(new, start=free):
        stored = store_notification(connection, message.id, message.merchant, position, judged, evidence)
        changes.append(_told("new", None, _row(connection, stored.id)))
    return sorted(changes, key=lambda change: change.position)


def _last_position(connection: sa.Connection, message_id: int) -> int:
    table = tables.Notification
    last = sa.select(sa.func.max(col(table.position))).where(col(table.message_id) == message_id)
    return connection.execute(last).scalar() or 0


def _paired(
    before: Sequence[dict[str, Any]], now: Sequence[_Found], corrected: Mapping[int, str]
) -> tuple[list[tuple[dict[str, Any], _Found | None]], list[_Found]]:
    """Each stored notification with what is found of it now: by the seal, else by the order number (as it was read, or
    as it is `corrected`, by the row's id), else by its place among the rest; and what is found now and was not
    before."""
    left = list(now)
    found: dict[int, _Found] = {}

    def pair(same: Any) -> None:
        for row in before:
            match = next((one for one in left if same(row, one[0])), None) if row["id"] not in found else None
            if match is not None:
                found[row["id"]] = match
                left.remove(match)

    pair(lambda row, one: row["seal"] and row["seal"] == storable(one.seal))
    pair(lambda row, one: row["order_number"] and row["order_number"] == _number(one))
    pair(
        lambda row, one: (
            corrected.get(row["id"]) not in (None, row["order_number"]) and corrected[row["id"]] == _number(one)
        )
    )
    pair(lambda row, one: row["state"] in WAITING and None in (row["order_number"], _number(one)))
    return [(row, found.get(row["id"])) for row in before], left


def _number(judged: Judgement) -> str | None:
    return order_told_of(judged)[1]


def _changed(
    connection: sa.Connection, message: KeptMessage, row: dict[str, Any], found: _Found | None, correction: Any
) -> NotificationChange:
    judged, evidence = found or (None, None)
    stays = has_events(connection, message.id, row["position"]) or row["position"] != _last_position(
        connection, message.id
    )
    if row["state"] in WAITING and not (correction and not _proves(judged, correction)) and (judged or not stays):
        if judged is None:
            connection.execute(sa.delete(tables.Notification).where(col(tables.Notification.id) == row["id"]))
            return _told("gone", row, None)
        if judged.grade == "consistent" and evidence is None and row | _as_read(judged) == row:
            return _told("same", row, row)  # who sent it was asked when it came, and not now
        store_notification(
            connection, message.id, message.merchant, row["position"], judged, evidence, instead_of=row["id"]
        )
        return _told("changed", row, _row(connection, row["id"]))
    decided = row["decision"] is not None
    proved = row["state"] in _PROVED and row["grade"] == "sealed"
    if judged and judged.content and proved and not decided and judged.grade == "sealed":
        _put_right(connection, row, judged)
        return _told("changed", row, _row(connection, row["id"]))
    now = None if judged is None else row | _as_read(judged)
    return _told("kept", row, now)


def _proves(judged: Judgement | None, correction: Any) -> bool:
    """Whether a reading proves the order just as a person corrected it."""
    if judged is None or judged.content is None or judged.grade != "sealed":
        return False
    return bool(judged.content.json == correction.order_json)


def _put_right(connection: sa.Connection, row: dict[str, Any], judged: Judgement) -> None:
    """A proved notification that is proved again: what was read of it, and the order where it brought that revision."""
    values = _as_read(judged)
    content = judged.content
    assert content is not None
    connection.execute(sa.update(tables.Notification).where(col(tables.Notification.id) == row["id"]).values(values))
    if values["order_json"] == row["order_json"] or row["state"] != NotificationState.APPLIED:
        return
    revision, now = row["revision"] or 1, utc_now()
    connection.execute(
        sa.update(tables.OrderRevision)
        .where(col(tables.OrderRevision.notification_id) == row["id"])
        .values(content_json=content.json, content_sha256=content.sha256)
    )
    newest = connection.execute(
        sa.select(col(tables.OrderRow.revision)).where(col(tables.OrderRow.id) == row["order_id"])
    ).scalar_one()
    if newest == revision:
        update_order(connection, row["order_id"], content, revision, now)


def _as_read(judged: Judgement) -> dict[str, Any]:
    """The columns that say what was read, whatever became of it."""
    problems = [{"code": one.code, "field": one.field, "message": one.message} for one in judged.problems]
    return {
        "grade": judged.grade,
        "seal": storable(judged.seal),
        "language": judged.language,
        "carrier": judged.carrier,
        "order_json": judged.content.json if judged.content else None,
        "partial_json": storable(judged.partial),
        "problems_json": json.dumps(problems),
    }


def _settle(connection: sa.Connection, message: KeptMessage) -> str:
    """Move the message to what its notifications, or its bounce, say now; the state it has then."""
    holds = _rows(connection, message.id) or kept_bounce(connection, message.id)
    state = MessageState.READ if holds else MessageState.IGNORED
    if state != message.state:
        connection.execute(
            sa.update(tables.Message)
            .where(col(tables.Message.id) == message.id)
            .values(state=state.value, state_at=utc_now(), last_error=None)
        )
    return state.value


def _rows(connection: sa.Connection, message_id: int) -> list[dict[str, Any]]:
    table = tables.Notification.__table__  # type: ignore[attr-defined]
    rows = connection.execute(sa.select(table).where(table.c.message_id == message_id).order_by(table.c.position))
    return [dict(row._mapping) for row in rows]


def _row(connection: sa.Connection, notification_id: int) -> dict[str, Any]:
    table = tables.Notification.__table__  # type: ignore[attr-defined]
    return dict(connection.execute(sa.select(table).where(table.c.id == notification_id)).one()._mapping)


def _told(change: Change, before: dict[str, Any] | None, after: dict[str, Any] | None) -> NotificationChange:
    """The change as it is shown: `same` where the two do not differ."""
    position = (before or after or {})["position"]
    if before and after:
        contents = (before["order_json"], after["order_json"])
        order = contents if _order_differences(*contents) else (None, None)
        differing = [name for name in before if name not in _NOT_COMPARED and before[name] != after[name]]
        if differing in ([], _NO_CHANGE_ALONE) and order == (None, None):
            return NotificationChange(position, "same", None, None)
        # Always what it is about and where it stands, beside what differs.
        shown = [name for name in before if name in (*_SHOWN, *differing)]
        return NotificationChange(
            position, change, {name: before[name] for name in shown}, {name: after[name] for name in shown}, *order
        )
    one = before or after or {}
    columns = {name: one[name] for name in _SHOWN}
    return NotificationChange(position, change, columns if before else None, columns if after else None)


_SHOWN = ("grade", "state", "reason", "platform", "order_number", "revision")


def _order_differences(before: str | None, after: str | None) -> dict[str, tuple[Any, Any]]:
    was, now = (_flat("", json.loads(content)) if content else {} for content in (before, after))
    return {
        path: (was.get(path), now.get(path)) for path in dict.fromkeys((*was, *now)) if was.get(path) != now.get(path)
    }


def _flat(path: str, value: Any) -> dict[str, Any]:
    """The plain values of JSON by their path, `lines[0].sku`."""
    if isinstance(value, dict):
        inner = [(f"{path}.{name}" if path else name, one) for name, one in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{number}]", one) for number, one in enumerate(value)]
    else:
        return {path: value}
    return {found: plain for name, one in inner for found, plain in _flat(name, one).items()}
