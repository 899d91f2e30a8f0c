"""Entries: which orders stand in the shop, under which number there, and which are still to be entered.

    new, exported --mark_entered--> entered     an event with the revision that counts as entered
    entered, the same said again -> entered     nothing is written
    entered, another number      -> refused     unless it is to replace the first one
    entered --reopen--> exported or new         an event; what is in no batch is due again
    entered, then changed by a later revision   stays entered, is due again, and is pending as `amended`

Entering takes the order off what is due for exports, because the shop has it. That holds for the revision that was
entered and for no other: a change that the shop does not have stays due.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlmodel import col

from ion.errors import OrderErasedError, StoreError
from ion.order import canonical_text, read_decimal
from ion.order_words import whole_word
from ion.store import tables
from ion.store.batches import LEFT_OUT
from ion.store.engine import Database
from ion.store.merchants import lock_merchant
from ion.store.order_search import ids_with_word, keep_words_again
from ion.store.plain_sql import PlainSql
from ion.store.types import OrderState, utc_now

MAX_NUMBER = 100
"""Most characters of a shop's order number, and of who says so."""

# Hyphens and dashes of all kinds, because word processors put one for the other.
_NOT_TOLD_APART = re.compile(r"[\s#\u2010-\u2015\u2212-]")
_ROWS_AT_ONCE = 500
_NAMED_AT_MOST = 5
_MANY = 2**62
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

MAY_BE_CHANGED = """
    amended AND erased_at IS NULL AND state = 'entered' AND NOT test AND NOT coalesce((
        SELECT event.revision = orders.revision AND event.at >= orders.applied_at FROM order_event AS event
        WHERE event.order_id = orders.id AND event.what = 'entered' ORDER BY event.id DESC LIMIT 1
    ), FALSE)
"""
"""The condition that an entered order of the table `orders` may have changed since (`changed_since_entry` tells): no
order has without the flag, nor where what was entered last is the newest revision as it stands. Two indexes have all
that it asks for, so that it is quick where many orders were ever amended."""

_WAITING = f"""
    SELECT since, id FROM (
        SELECT id, created_at AS since FROM orders
        WHERE merchant IN ({{merchants}}) AND state IN ('new', 'exported') AND NOT test AND erased_at IS NULL
        UNION ALL
        SELECT id, applied_at FROM orders WHERE merchant IN ({{merchants}}) AND {MAY_BE_CHANGED}
    ) AS waiting
    WHERE since <= ? AND (since, id) > (?, ?) ORDER BY since, id LIMIT ?
"""  # noqa: S608  # ours
MOST_MEANT = 1_000
"""Orders that a number may be a word of; with more it is a usual word, and all orders are looked at for it."""


class NoSuchOrderError(StoreError):
    """No order here has that number."""


class AmbiguousOrderError(StoreError):
    """Several orders here have that number; the message names them."""


class OtherNumberError(StoreError):
    """The order is entered under another number of the shop."""


class OtherRevisionError(StoreError):
    """The order says something else by now than what was looked at."""


class NotEnteredError(StoreError):
    """The order is not entered: there is nothing to reopen."""


@dataclass(frozen=True)
class Entry:
    """An order as it stands after somebody said that it is in the shop, or is not.

    `revision`: the one that counts as entered, or was taken back; `changed`: False where it was known already;
    `replaced`: the shop's number before; `amended`: the newest revision says something else, and stays due;
    `amended_since_export`: what counts as entered says something else than the last batch of the primary profile had.
    """

    id: int
    merchant: str
    platform: str
    order_number: str
    state: str
    shop_order_number: str | None
    revision: int
    changed: bool
    replaced: str | None = None
    amended: bool = False
    amended_since_export: bool = False


@dataclass(frozen=True)
class PendingOrder:
    """An order that is still to be entered, or whose change is. `waiting_since`: when the order came, or the change
    where it is entered already; `batch`: name of the newest file of the primary profile that holds it; `amended`: its
    content changed since it was entered (`state` entered), else since that file; `on_hold`: why it is kept out of
    files, words of `LEFT_OUT`. `total`: exact, in `currency`."""

    id: int
    merchant: str
    platform: str
    order_number: str
    merchant_order_number: str | None
    shop_order_number: str | None
    state: str
    amended: bool
    on_hold: tuple[str, ...]
    country: str | None
    customer_name: str | None
    total: str | None
    currency: str | None
    revision: int
    applied_at: datetime
    waiting_since: datetime
    batch: str | None


@dataclass(frozen=True)
class KnownOrder:
    """What an order can be known by in a shop's files. `articles`: SKU and quantity of each line, of orders that are
    not entered; `first_at`: when it was first told of, aware."""

    id: int
    order_number: str
    merchant_order_number: str | None
    state: str
    shop_order_number: str | None
    customer_email: str | None
    total: Decimal | None
    currency: str | None
    first_at: datetime
    articles: tuple[tuple[str | None, Decimal], ...]


class Entries(Database):
    """Each method is one transaction of its own, under the merchant's lock where it writes, and raises StoreError where
    the database refuses."""

    def mark_entered(
        self,
        merchant: str,
        order: str | int,
        shop_order_number: str,
        *,
        by: str,
        source: str,
        replace: bool = False,
        as_exported: bool = False,
        seen: int | None = None,
    ) -> Entry:
        """Say that an order stands in the shop. `order`: its platform's or the merchant's number, as `folded_number`
        compares them, or its id here. `as_exported`: what was entered is what the last batch of the primary profile
        had; without it, and where there is none, the newest revision. `replace`: in place of another number. `seen`:
        only where this is the newest revision; None: whichever is.

        Raises UnknownMerchantError, NoSuchOrderError, AmbiguousOrderError, OrderErasedError, OtherNumberError,
        OtherRevisionError, and StoreError for a number or a name that cannot be kept.
        """
        number, by = _kept("shop order number", shop_order_number), _kept("name of who says so", by)
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            row = order_meant(connection, merchant, order)
            if seen is not None and seen != row.revision:
                raise OtherRevisionError(
                    f"the newest revision of order {row.order_number} is {row.revision}, not {seen}"
                )
            amended_since_export = row.batch_revision is not None and changed_since_batch(row)
            revision, newest = row.revision, True
            if as_exported and amended_since_export:
                revision, newest = row.batch_revision, False
            known, same = row.shop_order_number, False
            if row.state == OrderState.ENTERED:
                same = folded_number(known or "") == folded_number(number)
                if not same and not replace:
                    raise OtherNumberError(
                        f"order {row.order_number} is entered as {known}, not {number}; say so if that was wrong"
                        " (--replace)"
                    )
            changed = not same or (newest and changed_since_entry(row)) or row.event_revision < revision
            if changed:
                _set(connection, row.id, OrderState.ENTERED, number)
                _tell(connection, row.id, revision, "entered", number, by, source)
                if newest:
                    due = tables.ExportDue
                    connection.execute(sa.delete(due).where(col(due.order_id) == row.id))
            stands = row if not changed else order_meant(connection, merchant, row.id)
            return Entry(
                id=row.id,
                merchant=merchant,
                platform=row.platform,
                order_number=row.order_number,
                state=OrderState.ENTERED.value,
                shop_order_number=stands.shop_order_number,
                revision=stands.event_revision,
                changed=changed,
                replaced=None if same else known,
                amended=changed_since_entry(stands),
                amended_since_export=newest and amended_since_export,
            )

    def entered_as(self, merchant: str, shop_order_number: str) -> tuple[tuple[int, str], ...]:
        """The merchant's orders (id and the platform's number) that are entered under that number, as `folded_number`
        compares them; of a number that is a usual word, those among the newest `MOST_MEANT` orders that have it."""
        table, wanted = tables.OrderRow, folded_number(shop_order_number)
        if not wanted:
            return ()
        word = whole_word(canonical_text(shop_order_number) or "")
        query: sa.Select[*tuple[Any, ...]] = sa.select(
            col(table.id), col(table.order_number), col(table.shop_order_number)
        ).where(col(table.merchant) == merchant, col(table.state) == OrderState.ENTERED.value)
        if word is None:
            query = query.where(col(table.shop_order_number) == canonical_text(shop_order_number))
        with self.reading() as connection:
            if word is not None:
                some = ids_with_word(PlainSql(connection), merchant, word)[-MOST_MEANT:]
                if not some:
                    return ()
                query = query.where(col(table.id).in_(some))
            rows = connection.execute(query.order_by(col(table.id))).all()
        return tuple((row.id, row.order_number) for row in rows if folded_number(row.shop_order_number or "") == wanted)

    def reopen(self, merchant: str, order: str | int, *, by: str, source: str) -> Entry:
        """Take back that an order is entered: it is exported again where its newest revision is in a batch of the
        primary profile, else new, and due for each profile in use whose batches do not hold that revision.

        Raises as `mark_entered`, and NotEnteredError.
        """
        by = _kept("name of who says so", by)
        with self.writing() as connection:
            lock_merchant(connection, merchant)
            row = order_meant(connection, merchant, order)
            if row.state != OrderState.ENTERED:
                raise NotEnteredError(f"order {row.order_number} is not entered, it is {row.state}; nothing to reopen")
            state = OrderState.EXPORTED if row.batch_revision == row.revision else OrderState.NEW
            _set(connection, row.id, state, None)
            _tell(connection, row.id, row.event_revision, "reopened", row.shop_order_number, by, source)
            PlainSql(connection).run(_DUE_AGAIN, row.id, merchant, True, row.id)
            return Entry(
                id=row.id,
                merchant=merchant,
                platform=row.platform,
                order_number=row.order_number,
                state=state.value,
                shop_order_number=None,
                revision=row.event_revision,
                changed=True,
                replaced=row.shop_order_number,
                amended=changed_since_entry(row),
            )

    def pending(
        self,
        merchant: str | None = None,
        *,
        older_than: timedelta | None = None,
        after: tuple[datetime, int] | None = None,
        limit: int | None = None,
    ) -> tuple[PendingOrder, ...]:
        """What is still to be entered in the shop, the longest waiting first: of one merchant or all, with `older_than`
        only what has waited at least so long; up to `limit`, and only those behind the one that has waited since
        `after` (aware) and has that id. Test orders and erased ones are left out."""
        table, found = tables.OrderRow, list[PendingOrder]()
        latest = _LAST if older_than is None else utc_now() - older_than
        behind: Any = after or (_FIRST, 0)
        at_once = _MANY if limit is None else limit
        merchants = "SELECT name FROM merchant" if merchant is None else "SELECT ?"
        waiting = _WAITING.format(merchants=merchants)
        whose = () if merchant is None else (merchant,)
        with self.reading() as connection:
            sql = PlainSql(connection)
            while len(found) < at_once:
                places = sql.rows(waiting, *whose, *whose, latest, *behind, at_once)
                for start in range(0, len(places), _ROWS_AT_ONCE):
                    some = [order_id for _, order_id in places[start : start + _ROWS_AT_ONCE]]
                    rows = connection.execute(orders_with_history().where(col(table.id).in_(some)))
                    by_id = {row.id: row for row in rows}
                    found += (_pending(row) for order_id in some if _is_pending(row := by_id[order_id]))
                if len(places) < at_once:
                    break
                behind = places[-1]
        return tuple(found[:limit])

    def known_orders(self, merchant: str) -> tuple[KnownOrder, ...]:
        """All orders of a merchant that are not erased, by what a shop's files can name them."""
        table, line, told = tables.OrderRow, tables.OrderLine, tables.Notification
        issued = (
            sa.select(sa.func.min(col(told.issued_at)))
            .where(col(told.order_id) == col(table.id))
            .scalar_subquery()
            .label("issued_at")
        )
        of_merchant = (col(table.merchant) == merchant, col(table.erased_at).is_(None))
        query: sa.Select[*tuple[Any, ...]] = sa.select(
            col(table.id), col(table.order_number), col(table.merchant_order_number), col(table.state),
            col(table.shop_order_number), col(table.customer_email), col(table.total_text), col(table.total_currency),
            col(table.created_at), issued,
        )  # fmt: skip
        lines = (
            sa.select(col(line.order_id), col(line.sku), col(line.quantity))
            .join(table, col(table.id) == col(line.order_id))
            .where(*of_merchant, col(table.state) != OrderState.ENTERED.value)
        )
        articles: dict[int, list[tuple[str | None, Decimal]]] = defaultdict(list)
        with self.reading() as connection:
            for order_id, sku, quantity in connection.execute(lines):
                articles[order_id].append((sku, read_decimal(quantity)))
            rows = connection.execute(query.where(*of_merchant).order_by(col(table.id))).all()
        return tuple(
            KnownOrder(
                id=row.id,
                order_number=row.order_number,
                merchant_order_number=row.merchant_order_number,
                state=row.state,
                shop_order_number=row.shop_order_number,
                customer_email=row.customer_email,
                total=None if row.total_text is None else read_decimal(row.total_text),
                currency=row.total_currency,
                first_at=min(at for at in (row.created_at, row.issued_at) if at is not None),
                articles=tuple(articles[row.id]),
            )
            for row in rows
        )


def folded_number(number: str) -> str:
    """An order number as people compare it: without regard to case, hyphens, `#` and blanks."""
    return _NOT_TOLD_APART.sub("", (canonical_text(number) or "").casefold())


def _kept(what: str, text: str) -> str:
    kept = canonical_text(text)
    if kept is None or not folded_number(kept):
        raise StoreError(f"the {what} is empty: {text[:MAX_NUMBER]!r}; give one")
    if len(kept) > MAX_NUMBER:
        raise StoreError(f"the {what} has {len(kept)} characters; at most {MAX_NUMBER} are kept")
    return kept


@cache  # to put it together takes longer than to run it
def orders_with_history() -> "sa.Select[*tuple[Any, ...]]":
    """Each order with its last entry (`event_...`) and the newest batch of the primary profile that holds it
    (`batch_...`), each with the digest of the content that it had."""
    order, profile, member = tables.OrderRow, tables.ExportProfile, tables.BatchOrder
    event, batch = tables.OrderEvent, tables.Batch
    said, newest = sa.orm.aliased(tables.OrderEvent), sa.orm.aliased(tables.BatchOrder)
    entered, exported = sa.orm.aliased(tables.OrderRevision), sa.orm.aliased(tables.OrderRevision)
    last_event = (
        sa.select(sa.func.max(col(said.id)))
        .where(col(said.order_id) == col(order.id), col(said.what) == "entered")
        .correlate(order)
        .scalar_subquery()
    )
    last_in_batch = (
        sa.select(sa.func.max(col(newest.revision)))
        .where(col(newest.profile_id) == col(profile.id), col(newest.order_id) == col(order.id))
        .correlate(profile, order)
        .scalar_subquery()
    )
    return (
        sa.select(
            col(order.id),
            col(order.merchant),
            col(order.platform),
            col(order.order_number),
            col(order.merchant_order_number),
            col(order.shop_order_number),
            col(order.state),
            col(order.revision),
            col(order.content_sha256),
            col(order.destination_country),
            col(order.customer_name),
            col(order.total_text),
            col(order.total_currency),
            col(order.created_at),
            col(order.applied_at),
            col(order.erased_at),
            *(getattr(order, column) for column in LEFT_OUT.values()),
            sa.func.coalesce(col(event.revision), 0).label("event_revision"),
            col(event.at).label("event_at"),
            col(entered.content_sha256).label("event_sha256"),
            col(member.revision).label("batch_revision"),
            col(batch.published_at).label("batch_at"),
            col(batch.file_name).label("batch_file_name"),
            col(exported.content_sha256).label("batch_sha256"),
        )
        .select_from(order)
        .outerjoin(event, col(event.id) == last_event)
        .outerjoin(
            entered,
            sa.and_(col(entered.order_id) == col(order.id), col(entered.revision) == col(event.revision)),
        )
        .outerjoin(profile, sa.and_(col(profile.merchant) == col(order.merchant), col(profile.is_primary).is_(True)))
        .outerjoin(
            member,
            sa.and_(
                col(member.profile_id) == col(profile.id),
                col(member.order_id) == col(order.id),
                col(member.revision) == last_in_batch,
            ),
        )
        .outerjoin(batch, col(batch.id) == col(member.batch_id))
        .outerjoin(
            exported,
            sa.and_(col(exported.order_id) == col(order.id), col(exported.revision) == col(member.revision)),
        )
    )


def changed_since_entry(row: Any) -> bool:
    return _says_otherwise(row, row.event_revision, row.event_sha256, row.event_at)


def changed_since_batch(row: Any) -> bool:
    return _says_otherwise(row, row.batch_revision, row.batch_sha256, row.batch_at)


def _says_otherwise(row: Any, revision: int | None, sha256: str | None, at: datetime | None) -> bool:
    """Whether the order says now what it did not say in that revision, at that time."""
    if at is None:
        return False
    if revision != row.revision:
        return bool(sha256 != row.content_sha256)
    # Another reading puts a revision right without giving it another number.
    return bool(row.applied_at > at)


def _is_pending(row: Any) -> bool:
    return row.state != OrderState.ENTERED or changed_since_entry(row)


def _pending(row: Any) -> PendingOrder:
    entered = row.state == OrderState.ENTERED
    return PendingOrder(
        id=row.id,
        merchant=row.merchant,
        platform=row.platform,
        order_number=row.order_number,
        merchant_order_number=row.merchant_order_number,
        shop_order_number=row.shop_order_number,
        state=row.state,
        amended=entered or changed_since_batch(row),
        on_hold=tuple(reason for reason, column in LEFT_OUT.items() if getattr(row, column)),
        country=row.destination_country,
        customer_name=row.customer_name,
        total=row.total_text,
        currency=row.total_currency,
        revision=row.revision,
        applied_at=row.applied_at,
        waiting_since=row.applied_at if entered else row.created_at,
        batch=row.batch_file_name,
    )


def order_meant(connection: sa.Connection, merchant: str, order: str | int) -> Any:
    """The order that is meant by its number or its id, as a row of `orders_with_history`. Raises NoSuchOrderError,
    AmbiguousOrderError, OrderErasedError."""
    table = tables.OrderRow
    order_id = order if isinstance(order, int) else _id_of(connection, merchant, order)
    row = connection.execute(
        orders_with_history().where(col(table.id) == order_id, col(table.merchant) == merchant)
    ).one_or_none()
    if row is None:
        raise NoSuchOrderError(f"merchant {merchant} has no order with the id {order_id}; `ion pending` shows ids")
    if row.erased_at is not None:
        raise OrderErasedError(f"order {row.order_number} was erased here; what the shop has of it is not kept")
    return row


def _id_of(connection: sa.Connection, merchant: str, number: str) -> int:
    found = orders_of_number(connection, merchant, number)
    if not found:
        raise NoSuchOrderError(f"merchant {merchant} has no order {number[:MAX_NUMBER]!r}; `ion pending` shows orders")
    if len(found) > 1:
        named = ", ".join(f"id:{row.id} ({row.platform} {row.order_number})" for row in found[:_NAMED_AT_MOST])
        more = f" and {len(found) - _NAMED_AT_MOST} more" if len(found) > _NAMED_AT_MOST else ""
        raise AmbiguousOrderError(f"{number[:MAX_NUMBER]!r} names {len(found)} orders: {named}{more}; give an id")
    return int(found[0].id)


def orders_of_number(connection: sa.Connection, merchant: str, number: str) -> list[Any]:
    """The orders, erased ones too, that have this number, as `folded_number` compares them, from the platform or from
    the merchant: `id`, `platform`, `order_number` and `merchant_order_number` of each, by id."""
    table, wanted = tables.OrderRow, folded_number(number)
    some: list[int] | None = None  # what has neither letter nor digit is found by no word
    if (word := whole_word(canonical_text(number) or "")) is not None:
        some = ids_with_word(PlainSql(connection), merchant, word)
    if not wanted:
        return []
    may_be_it: list[Any] = [sa.true()]
    if some is not None and len(some) <= MOST_MEANT:
        no_word_finds_it = col(table.erased_at).is_not(None)
        # Asked apart, and not for none: SQLite would look at all orders.
        may_be_it = [*([col(table.id).in_(some)] if some else ()), no_word_finds_it]
    query: sa.Select[*tuple[Any, ...]] = sa.select(
        col(table.id), col(table.platform), col(table.order_number), col(table.merchant_order_number)
    ).where(col(table.merchant) == merchant)
    # An option of the statement: as one of the connection it would hold for what is written afterwards, too.
    query = query.execution_options(yield_per=_ROWS_AT_ONCE)
    rows = (row for each in may_be_it for row in connection.execute(query.where(each)))
    found = (row for row in rows if wanted in (folded_number(one) for one in row[2:] if one))
    return sorted(found, key=lambda row: row.id)


def _set(connection: sa.Connection, order_id: int, state: OrderState, number: str | None) -> None:
    table = tables.OrderRow
    connection.execute(
        sa.update(table).where(col(table.id) == order_id).values(state=state.value, shop_order_number=number)
    )
    keep_words_again(connection, order_id)


def _tell(
    connection: sa.Connection, order_id: int, revision: int, what: str, number: str | None, by: str, source: str
) -> None:
    row = {"order_id": order_id, "revision": revision, "at": utc_now(), "what": what, "shop_order_number": number}
    connection.execute(sa.insert(tables.OrderEvent).values(**row, by=by, source=source))


_DUE_AGAIN = (
    "INSERT INTO export_due (profile_id, order_id, since)"
    " SELECT profile.id, orders.id, orders.applied_at FROM orders"
    " JOIN export_profile AS profile ON profile.merchant = orders.merchant"
    " WHERE orders.id = ? AND orders.merchant = ? AND profile.active = ?"
    " AND NOT EXISTS (SELECT 1 FROM batch_order AS member WHERE member.profile_id = profile.id"
    " AND member.order_id = ? AND member.revision = orders.revision) ON CONFLICT DO NOTHING"
)
