"""The list of orders: its pages, what is searched and filtered, how many there are, and all of one order.

Newest first is by id, which grows with each order that comes. A page is found by walking an index from where the last
one ended; what arrives meanwhile stands before all pages, so nothing is shown twice or passed over.

    no words    the index of the rarest filter is walked until the page is full
    words       the index of words, where it gives its orders one by one (`kept_words`). Where it does not, or where
                there are filters too, `_LOOKED_AT` orders of the walk tell how many have the words: those of many are
                found by looking at the orders walked by, while the index would gather all of these orders first;
                those of few are asked of the index

PostgreSQL takes the beginning of a word for one that many orders have, and would walk all orders where the index gives
one of them at once, or join all of both tables. So each of its statements is in steps that it cannot put in another
order: `MATERIALIZED`, `LATERAL` and `OFFSET 0` are for that.
"""
# ruff: noqa: S608  # statements are put together of names of ours; values are always parameters

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.content import order_of
from ion.contract.changes import Change, changes
from ion.errors import StoreError
from ion.order import Order
from ion.order_words import typed_words
from ion.store import tables
from ion.store.engine import Database
from ion.store.entries import changed_since_entry, orders_with_history
from ion.store.order_search import IN_POSTGRESQL, asked_of_index, kept_words, marks_no_other, with_all
from ion.store.orders import ExportOrder, export_columns, export_order
from ion.store.plain_sql import PlainSql
from ion.store.published import chunks
from ion.store.types import OrderState

MOST_ROWS = 500
"""Most orders of one page."""
MOST_COUNTED = 10_000

_SHORT = 20_000  # orders, looked at in some tens of milliseconds
_LOOKED_AT = 1_000  # to tell words that many orders have from others
_ENTRIES = 8  # of the index of words; PostgreSQL reads them in the time in which it looks at one order
_COMPARED = 2_000  # entries of an index that are looked at to find the shortest way
_FEW = 5_000  # orders of a batch
_IDS_AT_ONCE = 5_000
_MOST_IN_INDEX = 20
_LARGEST = 2**63 - 1
_CURSOR = re.compile(r"(older|newer)-([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True)
class OrderFilters:
    """Which orders are meant; what is None, or empty, does not matter.

    `text`: words as somebody types them, all of which an order has to have, each from its beginning on. `states`: any
    of these. `amended`: a later revision changed the order. `country`: two capital letters, where the parcel ends.
    `received_from` (included), `received_to` (not included), aware: when the order first came. `batch`: the id of a
    published file that holds it.
    """

    text: str = ""
    states: tuple[OrderState, ...] = ()
    test: bool | None = None
    replacement: bool | None = None
    documents_awaited: bool | None = None
    amended: bool | None = None
    country: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    batch: int | None = None


@dataclass(frozen=True)
class ListedOrder:
    """An order as a line of the list. `total`: exact, in `currency`; `received_at`: when it first came, `applied_at`:
    when its newest revision was applied, both aware; `changed_since_entered`: it says something else than what was
    entered in the shop."""

    id: int
    platform: str
    order_number: str
    merchant_order_number: str | None
    state: str
    shop_order_number: str | None
    customer_name: str | None
    country: str | None
    total: str | None
    currency: str | None
    test: bool
    replacement: bool
    documents_awaited: bool
    personal_data_suppressed: bool
    personal_data_encrypted: bool
    amended: bool
    received_at: datetime
    applied_at: datetime
    revision: int
    changed_since_entered: bool


@dataclass(frozen=True)
class OrderPage:
    """Newest first. `older`, `newer`: the cursors of the pages beside this one, None where there is none."""

    orders: tuple[ListedOrder, ...]
    older: str | None
    newer: str | None


@dataclass(frozen=True)
class ShownRevision:
    """A revision that was applied, and what brought it. `changes`: what it says otherwise than the one before, empty
    for the first one, None where one of the two is not kept whole."""

    revision: int
    applied_at: datetime
    notification: int
    message: int
    grade: str
    door: str
    received_at: datetime
    changes: tuple[Change, ...] | None


@dataclass(frozen=True)
class ShownEvent:
    """What staff said of the order: `what` is `entered` or `reopened`."""

    revision: int
    at: datetime
    what: str
    shop_order_number: str | None
    by: str
    source: str


@dataclass(frozen=True)
class OrderBatch:
    """A published file that holds a revision of the order."""

    id: int
    revision: int
    profile: str
    file_name: str
    business_date: date
    published_at: datetime


@dataclass(frozen=True)
class OrderNotification:
    """A notification that told of the order, and its message. `problems`: `{"code", "field", "message"}` each, which
    may quote values."""

    id: int
    message: int
    position: int
    state: str
    reason: str | None
    grade: str
    revision: int | None
    issued_at: datetime | None
    door: str
    received_at: datetime
    problems: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class OrderDetail:
    """All that is known of one order; each list with the oldest first."""

    listed: ListedOrder
    order: Order
    revisions: tuple[ShownRevision, ...]
    events: tuple[ShownEvent, ...]
    batches: tuple[OrderBatch, ...]
    notifications: tuple[OrderNotification, ...]


class NoSuchPlaceError(StoreError):
    """A cursor that names no place in the list of orders."""


class OrderLists(Database):
    """Each method is one reading transaction and raises StoreError where the database refuses. Orders of another
    merchant, and erased ones, are not there."""

    def order_page(
        self, merchant: str, filters: OrderFilters = OrderFilters(), cursor: str | None = None, limit: int = 50
    ) -> OrderPage:
        """A page of at most `limit` orders (1 to `MOST_ROWS`). `cursor`: None for the newest ones, else `older` or
        `newer` of another page of the same filters. A newer page that would not be full is the newest one.

        Raises NoSuchPlaceError for a cursor that is none, StoreError for such a limit.
        """
        if not 1 <= limit <= MOST_ROWS:
            raise StoreError(f"a page has 1 to {MOST_ROWS} orders, not {limit}; give another limit")
        way, at = _read_cursor(cursor)
        with self._asked(merchant, filters) as asked:
            newer = False
            if way == "newer":
                ids = asked.ids(limit + 1, after=at, newest_first=False)
                if len(ids) < limit:
                    way, at = "older", _LARGEST  # there is no full page before the newest one
                else:
                    newer, ids = len(ids) > limit, ids[:limit][::-1]
                    older = True
            if way == "older":
                ids = asked.ids(limit + 1, before=at)
                older, ids = len(ids) > limit, ids[:limit]
                newer = at != _LARGEST
            rows = _listed(asked.connection, ids)
        return OrderPage(
            rows,
            older=f"older-{ids[-1]}" if older and ids else None,
            newer=f"newer-{ids[0] if ids else at - 1}" if newer else None,
        )

    def count_orders(
        self, merchant: str, filters: OrderFilters = OrderFilters(), at_most: int = MOST_COUNTED
    ) -> tuple[int, bool]:
        """How many orders are meant, and whether that is all: no more than `at_most` are counted."""
        with self._asked(merchant, filters) as asked:
            found = asked.count(at_most + 1)
        return min(found, at_most), found <= at_most

    def counted_ids(self, merchant: str, filters: OrderFilters, ids: Iterable[int]) -> tuple[int, ...]:
        """Those of the ids that are meant by the filters, the smallest first."""
        with self._asked(merchant, filters) as asked:
            return tuple(asked.among(list(ids)))

    def orders_of_filters(
        self, merchant: str, filters: OrderFilters, *, kept_rows: str | None = None
    ) -> Iterator[ExportOrder]:
        """All orders that are meant, in the order they first came, for an export; `kept_rows` as in
        `orders_for_export`. Streams in constant memory; the transaction lives until the iterator is exhausted or
        closed."""
        with self._asked(merchant, filters) as asked:
            last = 0
            while ids := asked.ids(_IDS_AT_ONCE, after=last, newest_first=False):
                last = ids[-1]
                yield from _exported(asked.connection, merchant, ids, kept_rows)

    def orders_by_id(self, merchant: str, ids: Iterable[int], *, kept_rows: str | None = None) -> Iterator[ExportOrder]:
        """The orders with these ids, in the order they first came, as `orders_of_filters`; ids that are not there are
        passed over."""
        with self.reading() as connection:
            yield from _exported(connection, merchant, sorted(set(ids)), kept_rows)

    def order_detail(self, merchant: str, order_id: int) -> OrderDetail | None:
        """All that is known of an order; None where it is not there."""
        table = tables.OrderRow
        is_it = (col(table.id) == order_id, col(table.merchant) == merchant, col(table.erased_at).is_(None))
        if not 0 < order_id <= _LARGEST:
            return None
        with self.reading() as connection:
            content = connection.execute(sa.select(col(table.content_json)).where(*is_it)).scalar()
            if content is None:
                return None
            (listed,) = _listed(connection, [order_id])
            return OrderDetail(
                listed=listed,
                order=order_of(content),
                revisions=_revisions(connection, order_id),
                events=_events(connection, order_id),
                batches=_batches(connection, order_id),
                notifications=_notifications(connection, order_id),
            )

    @contextmanager
    def _asked(self, merchant: str, filters: OrderFilters) -> "Iterator[_Asked]":
        with self.reading() as connection:
            yield _Asked(connection, merchant, filters)


class _Asked:
    """One question about a merchant's orders, within a reading transaction."""

    def __init__(self, connection: sa.Connection, merchant: str, filters: OrderFilters) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.merchant = merchant
        self.words = typed_words(filters.text)
        self._sql = PlainSql(connection)
        self.kept = kept_words(self._sql, merchant, self.words) if self.is_sqlite else {}
        self.filters = filters
        self._since, self._until = _utc(filters.received_from), _utc(filters.received_to)
        self._first, self._last = self._ids_of_days()
        self._indexes: dict[tuple[OrderState, ...], str] = {}
        _check(filters)

    def ids(self, limit: int, *, before: int = _LARGEST, after: int = 0, newest_first: bool = True) -> list[int]:
        """At most `limit` ids of orders that are meant, between the two, not including them."""
        low, high = max(after + 1, self._first), min(before - 1, self._last)
        few = self._of_small_batch()
        if few is not None:
            found = self.among([one for one in few if low <= one <= high])
            return (found[::-1] if newest_first else found)[:limit]
        found = []
        # An index has the ids of one state in order, not those of two.
        for state in dict.fromkeys(self.filters.states) or (None,):
            way = _Way(self, low, high, newest_first, () if state is None else (state,))
            found += way.with_words(limit) if self.words else way.walked(limit)
        return sorted(found, reverse=newest_first)[:limit]

    def count(self, limit: int) -> int:
        """How many orders are meant, no more than `limit`."""
        asked = replace(self.filters, text="")
        if self.words and asked == OrderFilters() and marks_no_other(self._sql, self.merchant):
            if self.is_sqlite and all(self.kept.get(word) for word in self.words):
                query = asked_of_index(self.merchant, self.words, self.kept, is_sqlite=True)
                statement = "SELECT 1 FROM order_words_index WHERE order_words_index MATCH ? LIMIT ?"
                return self.numbers(f"SELECT count(*) FROM ({statement})", query, limit)[0]
            if not self.is_sqlite:
                return _Way(self, 1, _LARGEST, True, ()).counted(limit)
        return len(self.ids(limit))

    def among(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids that are meant, the smallest first."""
        conditions, values = self.conditions(self.filters.states)
        with_words, words = self.with_all(self.words)
        table = f"orders AS o {'NOT INDEXED' if self.is_sqlite else ''}"
        found: list[int] = []
        for some in chunks(sorted({one for one in ids if 0 < one <= _LARGEST})):
            found += self.numbers(
                f"SELECT o.id FROM {table} JOIN order_words AS word ON word.order_id = o.id"
                f" WHERE o.id IN ({', '.join('?' * len(some))}) AND {conditions} AND {with_words} ORDER BY o.id",
                *(*some, *values, *words),
            )
        return found

    def numbers(self, statement: str, *values: Any) -> list[int]:
        """The one column that a statement gives."""
        return [number for (number,) in self._sql.rows(statement, *values)]

    def rows(self, statement: str, *values: Any) -> list[Any]:
        return self._sql.rows(statement, *values)

    def with_all(self, words: Sequence[str]) -> tuple[str, list[str]]:
        """The condition that the row `word` of `order_words` has all of these, and the values in it."""
        return with_all(self.merchant, words)

    def conditions(self, states: Sequence[OrderState]) -> tuple[str, list[Any]]:
        """What has to hold of the row `o` of `orders`, apart from the words, and the values in it."""
        asked = self.filters
        conditions: list[str] = ["o.merchant = ?", "o.erased_at IS NULL"]
        values: list[Any] = [self.merchant]
        if states:
            conditions.append(f"o.state IN ({', '.join('?' * len(states))})" if len(states) > 1 else "o.state = ?")
            values += [OrderState(state).value for state in states]
        if asked.country is not None:
            conditions.append("o.destination_country = ?")
            values.append(asked.country)
        for flag in tables.LISTED_FLAGS:
            wanted = getattr(asked, flag)
            if wanted is not None:
                conditions.append(f"o.{flag}" if wanted else f"NOT o.{flag}")
        if self._since is not None:
            conditions.append("o.created_at >= ?")
            values.append(self._since)
        if self._until is not None:
            conditions.append("o.created_at < ?")
            values.append(self._until)
        if asked.batch is not None:
            # `+`: by the order, not all of the batch for each order.
            conditions.append("EXISTS (SELECT 1 FROM batch_order WHERE order_id = o.id AND +batch_id = ?)")
            values.append(asked.batch)
        return " AND ".join(conditions), values

    def index(self, states: tuple[OrderState, ...]) -> str:
        """By which index SQLite, which knows nothing of how many orders there are of what, is to walk: that of the
        rarest filter. PostgreSQL knows."""
        if not self.is_sqlite:
            return ""
        if states not in self._indexes:
            self._indexes[states] = f"INDEXED BY {self._shortest(states)}"
        return self._indexes[states]

    def _shortest(self, states: tuple[OrderState, ...]) -> str:
        ways: dict[str, tuple[str, list[Any]]] = {
            f"ix_orders_listed_{flag}": (f"o.{flag}", []) for flag in tables.LISTED_FLAGS if getattr(self.filters, flag)
        }
        if states:
            ways["ix_orders_listed_state"] = ("o.state = ?", [states[0].value])
        if self.filters.country is not None:
            ways["ix_orders_listed_country"] = ("o.destination_country = ?", [self.filters.country])
        if len(ways) < 2:
            return next(iter(ways), "ix_orders_listed")

        def length(name: str) -> int:
            condition, values = ways[name]
            statement = (
                f"SELECT count(*) FROM (SELECT 1 FROM orders AS o INDEXED BY {name}"
                f" WHERE o.merchant = ? AND o.erased_at IS NULL AND {condition} LIMIT ?)"
            )
            return self.numbers(statement, self.merchant, *values, _COMPARED)[0]

        return min(ways, key=length)

    def _of_small_batch(self) -> list[int] | None:
        """The orders of the batch that is asked for, where they are few."""
        if self.filters.batch is None:
            return None
        members = "SELECT order_id FROM batch_order WHERE batch_id = ? LIMIT ?"
        found = self.numbers(members, self.filters.batch, _FEW)
        return found if len(found) < _FEW else None

    def _ids_of_days(self) -> tuple[int, int]:
        """Between which ids all orders lie that came in the time asked for."""
        days = [("day >= ?", self._since)] if self._since else []
        days += [("day <= ?", self._until)] if self._until else []
        if not days:
            return 1, _LARGEST
        ((first, last),) = self.rows(
            "SELECT min(first_id), max(last_id) FROM order_day WHERE merchant = ?"
            f" AND {' AND '.join(condition for condition, _ in days)}",
            *(self.merchant, *(at.date().isoformat() for _, at in days)),
        )
        return (1, 0) if first is None else (first, last)


def _check(filters: OrderFilters) -> None:
    if filters.country is not None and not re.fullmatch("[A-Z]{2}", filters.country):
        raise StoreError(f"country: {filters.country[:10]!r} is no country code; give two capital letters, as in DE")
    if filters.batch is not None and not 0 < filters.batch <= _LARGEST:
        raise StoreError(f"batch: there is none with the number {str(filters.batch)[:20]}; give one that there is")


def _utc(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise StoreError(f"{at.isoformat()} is beyond what a calendar holds; give another date") from error


@dataclass(frozen=True)
class _Way:
    """A way through the ids from `low` to `high`, those of one state or of all."""

    asked: _Asked
    low: int
    high: int
    newest_first: bool
    states: tuple[OrderState, ...]

    def walked(self, limit: int, *, skipped: int = 0) -> list[int]:
        """Ids of orders that are meant, apart from the words."""
        conditions, values = self._conditions
        return self.asked.numbers(
            f"SELECT o.id FROM orders AS o {self._index} WHERE {conditions} {self._order} LIMIT ? OFFSET ?",
            *(*values, limit, skipped),
        )

    def with_words(self, limit: int) -> list[int]:
        """The same with the words, by the shortest way."""
        kept = self.asked.kept
        if not all(kept.get(word, True) for word in self.asked.words):
            return []
        if len(kept) == len(self.asked.words) and not self._is_narrow:
            return self._in_index(limit, self.asked.words)
        if self._is_narrow and not self.walked(1, skipped=_SHORT):
            return self._looked_at(limit)  # the filters leave fewer orders than a word may have
        found: list[int] = []
        way, counts = self, self._counts()
        fewest = min(counts.values())
        share = fewest / _LOOKED_AT
        for _ in range(2):
            # As many orders as will fill the page, if those to come are like these.
            length = int(2 * (limit - len(found)) / share) if share else _LARGEST
            if length > way._time_of_index(fewest):
                break
            end = way.walked(1, skipped=length - 1)
            part, rest = way._until(end[0]) if end else (way, None)
            more = part._looked_at(limit - len(found))
            found += more
            if rest is None or len(found) >= limit:
                return found
            way, share = rest, len(more) / length
        return found + way._in_index(limit - len(found), self._rare(counts))

    def counted(self, limit: int) -> int:
        """PostgreSQL: how many orders of any state have the words, no more than `limit`, by the shortest way."""
        counts = self._counts()
        fewest = min(counts.values())
        length = 2 * limit * _LOOKED_AT // max(fewest, 1)
        if length <= self._time_of_index(fewest):
            end = self.walked(1, skipped=length - 1)
            part = self._until(end[0])[0] if end else self
            statement, values = part._looking
            found = self.asked.numbers(f"SELECT count(*) FROM ({statement} LIMIT ?) AS found", *values, limit)[0]
            if not end or found == limit:
                return found
        rare = self._rare(counts)
        query = asked_of_index(self.asked.merchant, rare, {}, is_sqlite=False)
        with_words, words = self.asked.with_all([word for word in self.asked.words if word not in rare])
        # For the sake of the limit it would look through the table in place of the index.
        self.asked.rows("SELECT set_config('enable_seqscan', 'off', TRUE), set_config('enable_indexscan', 'off', TRUE)")
        return self.asked.numbers(
            "SELECT count(*) FROM"
            f" (SELECT 1 FROM order_words AS word WHERE {IN_POSTGRESQL} AND {with_words} LIMIT ?) AS found",
            *(query, *words, limit),
        )[0]

    def _rare(self, counts: Mapping[str, int]) -> list[str]:
        """The words that the index is asked for, of `_counts`; at least one."""
        # To gather all orders with a common word takes long, and leaves few out. PostgreSQL gathers quickly, and then
        # looks at each that is left.
        most = max(min(counts.values()), _LOOKED_AT // 100) * (1 if self.asked.is_sqlite else _ENTRIES)
        rare = [word for word in self.asked.words if word in self.asked.kept or counts.get(word, most + 1) <= most]
        return sorted(rare, key=len)[-_MOST_IN_INDEX:]

    def _time_of_index(self, fewest: int) -> int:
        """How many orders can be looked at in the time that the index takes, where `fewest` of `_LOOKED_AT` have the
        rarest word."""
        entries = self._span() * fewest // _LOOKED_AT
        return entries if self.asked.is_sqlite else entries // _ENTRIES

    def _until(self, end: int) -> "tuple[_Way, _Way]":
        if self.newest_first:
            return replace(self, low=end), replace(self, high=end - 1)
        return replace(self, high=end), replace(self, low=end + 1)

    def _looked_at(self, limit: int) -> list[int]:
        """Those that have the words, each order looked at."""
        statement, values = self._looking
        return self.asked.numbers(f"{statement} LIMIT ?", *values, limit)

    @property
    def _looking(self) -> tuple[str, list[Any]]:
        """The statement that looks at each order, and its values."""
        conditions, values = self._conditions
        with_words, words = self.asked.with_all(self.asked.words)
        if self.asked.is_sqlite:
            statement = (
                f"SELECT o.id FROM orders AS o {self._index} CROSS JOIN order_words AS word"
                f" WHERE {conditions} AND word.order_id = o.id AND {with_words} {self._order}"
            )
        else:
            statement = (
                f"SELECT o.id FROM (SELECT o.id FROM orders AS o WHERE {conditions} {self._order} OFFSET 0) AS o"
                " CROSS JOIN LATERAL"
                f" (SELECT 1 FROM order_words AS word WHERE word.order_id = o.id AND {with_words} OFFSET 0) AS word"
                f" {self._order}"
            )
        return statement, [*values, *words]

    def _in_index(self, limit: int, rare: Sequence[str]) -> list[int]:
        """Those that have the words, the `rare` ones by the index of words."""
        conditions, values = self.asked.conditions(self.states)
        with_words, words = self.asked.with_all([word for word in self.asked.words if word not in rare])
        query = asked_of_index(self.asked.merchant, rare, self.asked.kept, is_sqlite=self.asked.is_sqlite)
        if not self.asked.is_sqlite:
            return self.asked.numbers(
                "WITH found AS MATERIALIZED"
                f" (SELECT word.order_id AS id FROM order_words AS word WHERE {IN_POSTGRESQL} AND {with_words})"
                " SELECT found.id FROM"
                f" (SELECT id FROM found WHERE id BETWEEN ? AND ? ORDER BY id {self._direction} OFFSET 0) AS found"
                " CROSS JOIN LATERAL"
                f" (SELECT 1 FROM orders AS o WHERE o.id = found.id AND {conditions} OFFSET 0) AS o"
                f" ORDER BY found.id {self._direction} LIMIT ?",
                *(query, *words, self.low, self.high, *values, limit),
            )
        to_words = "CROSS JOIN order_words AS word ON word.order_id = found.rowid" if words else ""
        # `+`: else SQLite takes the bounds of the one for those of the other, and walks between them for each.
        return self.asked.numbers(
            "SELECT found.rowid FROM order_words_index AS found"
            f" CROSS JOIN orders AS o INDEXED BY ix_orders_listed ON o.id = +found.rowid {to_words}"
            " WHERE found.order_words_index MATCH ? AND found.rowid BETWEEN ? AND ?"
            f" AND {conditions} AND {with_words}"
            f" ORDER BY found.rowid {self._direction} LIMIT ?",
            *(query, self.low, self.high, *values, *words, limit),
        )

    def _counts(self) -> dict[str, int]:
        """How many of the next `_LOOKED_AT` orders have each word, of the longest words where they are many."""
        words = sorted(self.asked.words, key=len, reverse=True)[:_MOST_IN_INDEX]
        conditions, values = self._conditions
        each = [self.asked.with_all([word]) for word in words]
        counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition, _ in each)
        sample = f"SELECT o.id FROM orders AS o {self._index} WHERE {conditions} {self._order} LIMIT ?"
        words_of = "order_words AS word WHERE word.order_id = sample.id"
        if not self.asked.is_sqlite:
            words_of = f"LATERAL (SELECT * FROM {words_of} OFFSET 0) AS word"
        (found,) = self.asked.rows(
            f"SELECT {counts} FROM ({sample}) AS sample CROSS JOIN {words_of}",
            *(*(value for _, patterns in each for value in patterns), *values, _LOOKED_AT),
        )
        return dict(zip(words, found, strict=True))

    @property
    def _is_narrow(self) -> bool:
        """Whether a filter may leave out most orders that have the words; those of a time lie beside each other."""
        asked = replace(self.asked.filters, text="", received_from=None, received_to=None)
        return asked != OrderFilters()

    def _span(self) -> int:
        """At most how many orders this way has, of whatever merchant."""
        ((last,),) = self.asked.rows("SELECT max(id) FROM orders")
        return int(min(self.high, last or 0) - self.low + 1)

    @property
    def _conditions(self) -> tuple[str, list[Any]]:
        conditions, values = self.asked.conditions(self.states)
        return f"{conditions} AND o.id BETWEEN ? AND ?", [*values, self.low, self.high]

    @property
    def _order(self) -> str:
        return f"ORDER BY o.id {self._direction}"

    @property
    def _direction(self) -> str:
        return "DESC" if self.newest_first else "ASC"

    @property
    def _index(self) -> str:
        return self.asked.index(self.states)


def _read_cursor(cursor: str | None) -> tuple[str, int]:
    if cursor is None:
        return "older", _LARGEST
    read = _CURSOR.fullmatch(cursor)
    if read is None:
        raise NoSuchPlaceError(f"{cursor[:40]!r} is no place in the list of orders; begin with the newest ones")
    return read[1], int(read[2])


def _listed(connection: sa.Connection, ids: Sequence[int]) -> tuple[ListedOrder, ...]:
    """The lines of the list with these ids, in their order."""
    order = tables.OrderRow
    query = orders_with_history().add_columns(col(order.replacement), col(order.amended))
    found = {row.id: row for row in connection.execute(query.where(col(order.id).in_(ids)))} if ids else {}
    return tuple(
        ListedOrder(
            id=row.id,
            platform=row.platform,
            order_number=row.order_number,
            merchant_order_number=row.merchant_order_number,
            state=row.state,
            shop_order_number=row.shop_order_number,
            customer_name=row.customer_name,
            country=row.destination_country,
            total=row.total_text,
            currency=row.total_currency,
            test=row.test,
            replacement=row.replacement,
            documents_awaited=row.documents_awaited,
            personal_data_suppressed=row.personal_data_suppressed,
            personal_data_encrypted=row.personal_data_encrypted,
            amended=row.amended,
            received_at=row.created_at,
            applied_at=row.applied_at,
            revision=row.revision,
            changed_since_entered=row.state == OrderState.ENTERED and changed_since_entry(row),
        )
        for row in (found[order_id] for order_id in ids)
    )


def _exported(
    connection: sa.Connection, merchant: str, ids: Sequence[int], kept_rows: str | None
) -> Iterator[ExportOrder]:
    table = tables.OrderRow
    query = export_columns(sa.null(), kept_rows).where(col(table.merchant) == merchant).order_by(col(table.id))
    for some in chunks(one for one in ids if 0 < one <= _LARGEST):
        yield from map(export_order, connection.execute(query.where(col(table.id).in_(some))))


def _revisions(connection: sa.Connection, order_id: int) -> tuple[ShownRevision, ...]:
    revision, told, message = tables.OrderRevision, tables.Notification, tables.Message
    query: sa.Select[*tuple[Any, ...]] = (
        sa.select(
            col(revision.revision), col(revision.applied_at), col(revision.content_json), col(told.id),
            col(told.message_id), col(told.grade), col(message.door), col(message.received_at),
        )
        .join_from(revision, told, col(told.id) == col(revision.notification_id))
        .join(message, col(message.id) == col(told.message_id))
        .where(col(revision.order_id) == order_id)
        .order_by(col(revision.revision))
    )  # fmt: skip
    shown: list[ShownRevision] = []
    before: Order | None = None
    for row in connection.execute(query):
        now = order_of(row.content_json) if row.content_json else None
        changed: tuple[Change, ...] | None = ()
        if shown:
            changed = tuple(changes(before, now)) if before is not None and now is not None else None
        shown.append(
            ShownRevision(
                row.revision, row.applied_at, row.id, row.message_id, row.grade, row.door, row.received_at, changed
            )
        )
        before = now
    return tuple(shown)


def _events(connection: sa.Connection, order_id: int) -> tuple[ShownEvent, ...]:
    event = tables.OrderEvent
    columns: tuple[Any, ...] = (
        col(event.revision), col(event.at), col(event.what), col(event.shop_order_number), col(event.by),
        col(event.source),
    )  # fmt: skip
    query = sa.select(*columns).where(col(event.order_id) == order_id).order_by(col(event.id))
    return tuple(ShownEvent(*row) for row in connection.execute(query))


def _batches(connection: sa.Connection, order_id: int) -> tuple[OrderBatch, ...]:
    member, batch = tables.BatchOrder, tables.Batch
    columns: tuple[Any, ...] = (
        col(batch.id), col(member.revision), col(batch.profile), col(batch.file_name), col(batch.business_date),
        col(batch.published_at),
    )  # fmt: skip
    query = (
        sa.select(*columns)
        .join_from(member, batch, col(batch.id) == col(member.batch_id))
        .where(col(member.order_id) == order_id)
        .order_by(col(batch.id))
    )
    return tuple(OrderBatch(*row) for row in connection.execute(query))


def _notifications(connection: sa.Connection, order_id: int) -> tuple[OrderNotification, ...]:
    told, message = tables.Notification, tables.Message
    columns: tuple[Any, ...] = (
        col(told.id), col(told.message_id).label("message"), col(told.position), col(told.state), col(told.reason),
        col(told.grade), col(told.revision), col(told.issued_at), col(message.door), col(message.received_at),
        col(told.problems_json).label("problems"),
    )  # fmt: skip
    query = (
        sa.select(*columns)
        .join_from(told, message, col(message.id) == col(told.message_id))
        .where(col(told.order_id) == order_id)
        .order_by(col(told.id))
    )
    return tuple(
        OrderNotification(**row._asdict() | {"problems": tuple(json.loads(row.problems))})
        for row in connection.execute(query)
    )
