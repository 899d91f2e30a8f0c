"""Bounces: reports of mail systems on mails of ours, believed where they fit, and what comes of them.

    token known, and the address or the Message-ID is the mail's     -> a row in `bounce`
      failed     -> the mail `bounced`, one alert for it
        hard, the third mail in a row to this address                -> its subscription paused, one more alert
      anything else (delayed, delivered, relayed, expanded)          -> nothing more
    anything else                                                    -> nothing at all

A mail goes out from a return address of its own, with a random token in it that only those know who handled the mail.
Whoever has it can lie about that mail and about no other.

Three mails in a row: the last mails to the address that went out came back as hard, whatever was refused or expired
for another reason, is known to have arrived, or was sent `UNBOUNCED` ago and did not come back, ends the row. One sent
since then says nothing yet. What bounced before a person let the subscription go on does not count again.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa
from sqlmodel import col

from ion.store import tables
from ion.store.alerts import add_alert
from ion.store.engine import Database
from ion.store.messages import CLOCKS_APART
from ion.store.outgoing import named_mail
from ion.store.plain_sql import PlainSql
from ion.store.return_addresses import merchant_of
from ion.store.subscriptions import end
from ion.store.types import OutgoingState, SubscriptionState, storable, utc_now

HARD_IN_A_ROW = 3
# Mail systems give up after four to five days (RFC 5321, 4.5.4.1).
UNBOUNCED = timedelta(days=6)
_MOST_LOOKED_AT = 100


class FoundReport(Protocol):
    """What became of a mail for one recipient (`ion.reading.Report`)."""

    @property
    def original_recipient(self) -> str | None: ...
    @property
    def final_recipient(self) -> str | None: ...
    @property
    def action(self) -> str: ...
    @property
    def status(self) -> str | None: ...
    @property
    def diagnostic(self) -> str | None: ...
    @property
    def hard(self) -> bool: ...


class FoundBounce(Protocol):
    """What was found in a message (`ion.reading.Bounce`)."""

    @property
    def reports(self) -> Sequence[FoundReport]: ...
    @property
    def message_id(self) -> str | None: ...


class Bounces(Database):
    """Each method is one transaction of its own and raises StoreError where the database refuses."""

    def merchant_for_return_address(self, address: str) -> str | None:
        """The merchant a mail of whose has this return address, in either case; None for any other address."""
        with self.reading() as connection:
            return merchant_of(PlainSql(connection), address)


def keep_bounce(connection: sa.Connection, message_id: int, outgoing_id: int | None, judged: Sequence[Any]) -> bool:
    """Keep the bounce that one of the judgements of a message carries, and do what it asks for, if it is believed; True
    where it is. Kept once for a message: the same again changes nothing. The caller holds the lock of the mail's
    merchant."""
    bounce: FoundBounce | None = next((one.bounce for one in judged if getattr(one, "bounce", None)), None)
    mail = _mail(connection, outgoing_id) if bounce and outgoing_id is not None else None
    report = _believed(bounce, mail) if bounce and mail else None
    if mail is None or report is None:
        return False
    table = tables.Bounce
    received_at = connection.execute(
        sa.select(col(tables.Message.received_at)).where(col(tables.Message.id) == message_id)
    ).scalar_one()
    values = {
        "outgoing_id": mail.id,
        "action": report.action,
        "status": report.status,
        "diagnostic": storable(report.diagnostic),
        "hard": report.hard,
        "received_at": received_at,
    }
    again = connection.execute(sa.update(table).where(col(table.message_id) == message_id).values(values)).rowcount
    if not again:
        connection.execute(sa.insert(table).values(message_id=message_id, **values))
    if report.action == "failed":
        _failed(connection, mail, report, received_at)
    return True


def merchants_of_mails(connection: sa.Connection, ids: Sequence[int | None]) -> set[str]:
    """Whose these outgoing mails are: the merchants that `keep_bounce` needs locked."""
    wanted = [one for one in ids if one is not None]
    if not wanted:
        return set()
    mail = tables.Outgoing
    return set(connection.execute(sa.select(col(mail.merchant)).where(col(mail.id).in_(wanted))).scalars())


def kept_bounce(connection: sa.Connection, message_id: int) -> Any:
    """The bounce that is kept of a message, as it can be compared; None where there is none."""
    table = tables.Bounce
    columns = (
        col(table.outgoing_id), col(table.action), col(table.status), col(table.diagnostic), col(table.hard),
    )  # fmt: skip
    return connection.execute(sa.select(*columns).where(col(table.message_id) == message_id)).one_or_none()


def _mail(connection: sa.Connection, outgoing_id: int) -> Any:
    """The mail and the order it tells of, None where it tells of no single one; nothing where it was erased."""
    mail, order = tables.Outgoing, tables.OutgoingOrder
    query = (
        sa.select(
            col(mail.id),
            col(mail.merchant),
            col(mail.kind),
            col(mail.address),
            col(mail.message_id),
            col(order.order_number),
        )
        .outerjoin_from(mail, order, col(order.id) == col(mail.order_id))
        .where(col(mail.id) == outgoing_id, col(mail.erased_at).is_(None))
    )  # fmt: skip
    return connection.execute(query).one_or_none()


def _believed(bounce: FoundBounce, mail: Any) -> FoundReport | None:
    """The report on this mail, a failure before anything else; None where none fits it."""
    fitting = [
        one
        for one in bounce.reports
        if bounce.message_id == mail.message_id
        or _is_same(one.final_recipient, mail.address)
        or _is_same(one.original_recipient, mail.address)
    ]
    return min(fitting, key=lambda one: one.action != "failed", default=None)


def _is_same(told: str | None, address: str) -> bool:
    """Whether a report names this address. Without difference of case also before the @, though RFC 5321 (2.4) makes
    one there: systems tell an address in lower case, and the token has told which mail is meant."""
    return told is not None and _normal(told) == _normal(address)


def _normal(address: str) -> str:
    local, _, domain = address.rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()  # either form may be told (RFC 5890, 2.3.2.1)
    return f"{local}@{domain}".casefold()


def _failed(connection: sa.Connection, mail: Any, report: FoundReport, received_at: datetime) -> None:
    table, now = tables.Outgoing, utc_now()
    moved = connection.execute(
        sa.update(table)
        .where(col(table.id) == mail.id, col(table.state) == OutgoingState.SENT.value)
        # Not where a person had it sent again since. One whose sending is not ended yet: see `outgoing`.
        .where(col(table.state_at) <= received_at + CLOCKS_APART)
        .values(state=OutgoingState.BOUNCED.value, state_at=now)
    )
    what = named_mail(mail.kind, mail.order_number)
    words = " ".join(one for one in (report.status, report.diagnostic) if one) or "no reason was given"
    text = f"{what}: the mail to {mail.address} came back: {words}"
    add_alert(connection, mail.merchant, "bounced", text, mail.id, again=moved.rowcount == 1)
    if report.hard and _hard_in_a_row(connection, mail, now) >= HARD_IN_A_ROW:
        why = f"{HARD_IN_A_ROW} mails in a row came back"  # its words are of a mail that may be erased
        if end(connection, mail.merchant, mail.address, SubscriptionState.PAUSED, "paused", why):
            text = (
                f"nothing more is sent to {mail.address}: {why}, the last with {words}; subscribe it again when mended"
            )
            add_alert(connection, mail.merchant, "paused", text, mail.id)


def _hard_in_a_row(connection: sa.Connection, mail: Any, now: datetime) -> int:
    """How many of the last mails to the address came back as hard, one after another, since it opted in."""
    sent, bounce = tables.Outgoing, tables.Bounce
    told, event = tables.Subscription, tables.SubscriptionEvent
    opted_in_at = connection.execute(
        sa.select(sa.func.max(col(event.at)))
        .join(told, col(told.id) == col(event.subscription_id))
        .where(col(told.merchant) == mail.merchant, col(told.address) == mail.address)
        .where(col(event.what) == "opted in")
    ).scalar()
    of_it = sa.select(col(bounce.id)).where(col(bounce.outgoing_id) == col(sent.id))
    query: Any = (
        sa.select(
            col(sent.state),
            col(sent.state_at),
            of_it.where(col(bounce.hard).is_(True)).exists().label("hard"),
            of_it.where(col(bounce.action) == "delivered").exists().label("delivered"),
        )
        .where(col(sent.merchant) == mail.merchant, col(sent.address) == mail.address)
        .where(col(sent.state).in_([OutgoingState.SENT.value, OutgoingState.BOUNCED.value]))
        .order_by(col(sent.id).desc())
        .limit(_MOST_LOOKED_AT)
    )
    if opted_in_at is not None:
        query = query.where(col(sent.created_at) >= opted_in_at)
    number = 0
    for row in connection.execute(query):
        bounced = row.state == OutgoingState.BOUNCED
        if bounced and row.hard:
            number += 1
        elif bounced or row.delivered or row.state_at < now - UNBOUNCED:
            break
    return number
