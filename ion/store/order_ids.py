"""Which orders are meant by filters and words: their ids, one after the other, and how many there are.

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

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import sqlalchemy as sa

from ion.errors import StoreError
from ion.order_words import typed_words
from ion.store import tables
from ion.store.order_search import IN_POSTGRESQL, asked_of_index, kept_words, marks_no_other, with_all
from ion.store.plain_sql import PlainSql
from ion.store.published import chunks
from ion.store.types import OrderState

LARGEST_ID = 2**63 - 1
"""No id is above it."""

_SHORT = 20_000  # orders, looked at in some tens of milliseconds
_LOOKED_AT = 1_000  # to tell words that many orders have from others
_COMPARED = 2_000  # entries of an index that are looked at to find the shortest way
_FEW = 5_000  # orders of a batch
_MOST_IN_INDEX = 20
_ENTRIES = 4
"""How many entries of its index of words PostgreSQL gathers while it looks at the words of one order."""


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


ALL_ORDERS = OrderFilters()


class OrderQuestion:
    """One question about a merchant's orders, within a reading transaction."""

    def __init__(self, connection: sa.Connection, merchant: str, filters: OrderFilters) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.merchant = merchant
        self.words = typed_words(filters.text)
        self._sql = PlainSql(connection)
        self._way = _WayInSqlite if self.is_sqlite else _WayInPostgresql
        self.kept = kept_words(self._sql, merchant, self.words) if self.is_sqlite else {}
        self.filters = filters
        self._since, self._until = _utc(filters.received_from), _utc(filters.received_to)
        self._first, self._last = self._ids_of_days()
        self._indexes: dict[tuple[OrderState, ...], str] = {}
        _check(filters)

    def ids(self, limit: int, *, before: int = LARGEST_ID, after: int = 0, newest_first: bool = True) -> list[int]:
        """At most `limit` ids of orders that are meant, between the two, not including them."""
        low, high = max(after + 1, self._first), min(before - 1, self._last)
        few = self._of_small_batch()
        if few is not None:
            found = self.among([one for one in few if low <= one <= high])
            return (found[::-1] if newest_first else found)[:limit]
        found = []
        # An index has the ids of one state in order, not those of two.
        for state in dict.fromkeys(self.filters.states) or (None,):
            way = self._way(self, low, high, newest_first, () if state is None else (state,))
            found += way.with_words(limit) if self.words else way.walked(limit)
        return sorted(found, reverse=newest_first)[:limit]

    def count(self, limit: int) -> int:
        """How many orders are meant, no more than `limit`."""
        asked = replace(self.filters, text="")
        if self.words and asked == ALL_ORDERS and marks_no_other(self._sql, self.merchant):
            found = self._way(self, 1, LARGEST_ID, True, ()).counted(limit)
            if found is not None:
                return found
        return len(self.ids(limit))

    def among(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids that are meant, the smallest first."""
        conditions, values = self.conditions(self.filters.states)
        with_words, words = self.with_all(self.words)
        table = f"orders AS o {'NOT INDEXED' if self.is_sqlite else ''}"
        found: list[int] = []
        for some in chunks(sorted({one for one in ids if 0 < one <= LARGEST_ID})):
            found += self.numbers(
                f"SELECT o.id FROM {table} JOIN order_words AS word ON word.order_id = o.id"
                f" WHERE o.id IN ({', '.join('?' * len(some))}) AND {conditions} AND {with_words} ORDER BY o.id",
                *(*some, *values, *words),
            )
        return found

    @cached_property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest id of all orders, whosever they are."""
        ((first, last),) = self.rows("SELECT (SELECT min(id) FROM orders), (SELECT max(id) FROM orders)")
        return first or 0, last or 0

    def numbers(self, statement: str, *values: Any) -> list[int]:
        """The one column that a statement gives."""
        return [number for (number,) in self._sql.rows(statement, *values)]

    def rows(self, statement: str, *values: Any) -> list[Any]:
        return self._sql.rows(statement, *values)

    def with_all(self, words: Sequence[str]) -> tuple[str, list[str]]:
        """The condition that the row `word` of `order_words` has all of these, and the values in it."""
        return with_all(self.merchant, words, is_sqlite=self.is_sqlite)

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
            return 1, LARGEST_ID
        ((first, last),) = self.rows(
            "SELECT min(first_id), max(last_id) FROM order_day WHERE merchant = ?"
            f" AND {' AND '.join(condition for condition, _ in days)}",
            *(self.merchant, *(at.date().isoformat() for _, at in days)),
        )
        return (1, 0) if first is None else (first, last)


def _check(filters: OrderFilters) -> None:
    if filters.country is not None and not re.fullmatch("[A-Z]{2}", filters.country):
        raise StoreError(f"country: {filters.country[:10]!r} is no country code; give two capital letters, as in DE")
    if filters.batch is not None and not 0 < filters.batch <= LARGEST_ID:
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
class _Sample:
    """How many of the next `_LOOKED_AT` orders have each word, of the longest words where they are many; `together`:
    how many have all words."""

    each: Mapping[str, int]
    together: int


@dataclass(frozen=True)
class _Way(ABC):
    """A way through the ids from `low` to `high`, those of one state or of all."""

    asked: OrderQuestion
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
        way, sample = self, self._sample()
        share = max(sample.together, 1) / _LOOKED_AT
        for _ in range(2):
            # As many orders as will fill the page, if those to come are like these.
            length = int(2 * (limit - len(found)) / share) if share else LARGEST_ID
            if length > way._time_of_index(sample):
                break
            part, rest = way._parted(length)
            more = part._looked_at(limit - len(found))
            found += more
            if rest is None or len(found) >= limit:
                return found
            way, share = rest, len(more) / length
        return found + way._in_index(limit - len(found), self._rare(sample))

    @abstractmethod
    def counted(self, limit: int) -> int | None:
        """How many orders of any state have the words, no more than `limit`; None where walking tells it sooner."""

    @abstractmethod
    def _sample(self) -> _Sample:
        """How many of the next orders have the words."""

    @abstractmethod
    def _looked_at(self, limit: int) -> list[int]:
        """Those that have the words, each order looked at."""

    @abstractmethod
    def _in_index(self, limit: int, rare: Sequence[str]) -> list[int]:
        """Those that have the words, the `rare` ones by the index of words."""

    @abstractmethod
    def _time_of_index(self, sample: _Sample) -> int:
        """How many orders can be looked at in the time that the index takes."""

    def _sampled(self, rows: str, *values: Any) -> _Sample:
        """The sample of `rows`, which name the words of each order `word`."""
        words = sorted(self.asked.words, key=len, reverse=True)[:_MOST_IN_INDEX]
        each = [self.asked.with_all([word]) for word in words]
        every, patterns = self.asked.with_all(self.asked.words)
        counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in (*(one for one, _ in each), every))
        (found,) = self.asked.rows(
            f"SELECT {counts} FROM {rows}", *(value for _, some in each for value in some), *patterns, *values
        )
        return _Sample(dict(zip(words, found, strict=False)), found[-1])

    def _rare(self, sample: _Sample) -> list[str]:
        """The words that the index is asked for, at least one: to gather all orders with a common word takes long, and
        leaves few out."""
        return self._rarest(sample, 1)

    def _rarest(self, sample: _Sample, times: int) -> list[str]:
        """The words that no more than so many times as many orders have as have the rarest."""
        most = max(min(sample.each.values()), _LOOKED_AT // 100) * times
        rare = [word for word in self.asked.words if word in self.asked.kept or sample.each.get(word, most + 1) <= most]
        return sorted(rare, key=len)[-_MOST_IN_INDEX:]

    @property
    def _is_narrow(self) -> bool:
        """Whether a filter may leave out most orders that have the words; those of a time lie beside each other."""
        asked = replace(self.asked.filters, text="", received_from=None, received_to=None)
        return asked != ALL_ORDERS

    def _span(self) -> int:
        """At most how many orders this way has, of whatever merchant."""
        first, last = self.asked.ends
        return min(self.high, last) - max(self.low, first) + 1

    def _parted(self, length: int) -> tuple[Self, Self | None]:
        """The way in two: so many orders of it, and the rest of it, if there is one."""
        end = self.walked(1, skipped=length - 1)
        return self._until(end[0]) if end else (self, None)

    def _until(self, end: int) -> tuple[Self, Self]:
        if self.newest_first:
            return replace(self, low=end), replace(self, high=end - 1)
        return replace(self, high=end), replace(self, low=end + 1)

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


class _WayInSqlite(_Way):
    """Orders are walked by, and the words of each looked up."""

    def counted(self, limit: int) -> int | None:
        if not all(self.asked.kept.get(word) for word in self.asked.words):
            return None
        query = asked_of_index(self.asked.merchant, self.asked.words, self.asked.kept, is_sqlite=True)
        statement = "SELECT 1 FROM order_words_index WHERE order_words_index MATCH ? LIMIT ?"
        return self.asked.numbers(f"SELECT count(*) FROM ({statement})", query, limit)[0]

    def _sample(self) -> _Sample:
        conditions, values = self._conditions
        sample = f"SELECT o.id FROM orders AS o {self._index} WHERE {conditions} {self._order} LIMIT ?"
        return self._sampled(
            f"({sample}) AS sample CROSS JOIN order_words AS word WHERE word.order_id = sample.id", *values, _LOOKED_AT
        )

    def _looked_at(self, limit: int) -> list[int]:
        conditions, values = self._conditions
        with_words, words = self.asked.with_all(self.asked.words)
        return self.asked.numbers(
            f"SELECT o.id FROM orders AS o {self._index} CROSS JOIN order_words AS word"
            f" WHERE {conditions} AND word.order_id = o.id AND {with_words} {self._order} LIMIT ?",
            *(*values, *words, limit),
        )

    def _in_index(self, limit: int, rare: Sequence[str]) -> list[int]:
        conditions, values = self.asked.conditions(self.states)
        with_words, words = self.asked.with_all([word for word in self.asked.words if word not in rare])
        query = asked_of_index(self.asked.merchant, rare, self.asked.kept, is_sqlite=True)
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

    def _time_of_index(self, sample: _Sample) -> int:
        return self._span() * min(sample.each.values()) // _LOOKED_AT


class _WayInPostgresql(_Way):
    """Where there are filters, orders are walked by, and the words of each looked up; else words are, those of other
    merchants too, and the order of each that has them looked up."""

    def counted(self, limit: int) -> int:
        sample = self._sample()
        length = min(2 * limit * _LOOKED_AT // max(sample.together, 1), self._span())
        if length <= self._time_of_index(sample):
            part, rest = self._parted(length)
            found = self._number(limit, *part._words_walked_by)
            if rest is None or found == limit:
                return found
        # For the sake of the limit it would look through the table in place of the index.
        self.asked.rows("SELECT set_config('enable_seqscan', 'off', TRUE), set_config('enable_indexscan', 'off', TRUE)")
        return self._number(limit, *self._words_in_index(self._rare(sample)))

    def _sample(self) -> _Sample:
        if self._is_narrow:
            conditions, values = self._conditions
            sample = f"SELECT o.id FROM orders AS o WHERE {conditions} {self._order} LIMIT ?"
            words = "SELECT word.words FROM order_words AS word WHERE word.order_id = sample.id OFFSET 0"
            return self._sampled(f"({sample}) AS sample CROSS JOIN LATERAL ({words}) AS word", *values, _LOOKED_AT)
        sample = (
            "SELECT word.words FROM order_words AS word WHERE word.order_id BETWEEN ? AND ?"
            f" ORDER BY word.order_id {self._direction} LIMIT ?"
        )
        return self._sampled(f"({sample}) AS word", self.low, self.high, _LOOKED_AT)

    def _looked_at(self, limit: int) -> list[int]:
        if not self._is_narrow:
            words_of, values = self._words_walked_by
            walk = f"SELECT word.order_id AS id FROM {words_of} ORDER BY word.order_id {self._direction} OFFSET 0"
            return self._meant(limit, walk, values)
        conditions, values = self._conditions
        with_words, words = self.asked.with_all(self.asked.words)
        return self.asked.numbers(
            f"SELECT o.id FROM (SELECT o.id FROM orders AS o WHERE {conditions} {self._order} OFFSET 0) AS o"
            " CROSS JOIN LATERAL"
            f" (SELECT 1 FROM order_words AS word WHERE word.order_id = o.id AND {with_words} OFFSET 0) AS word"
            f" {self._order} LIMIT ?",
            *(*values, *words, limit),
        )

    def _in_index(self, limit: int, rare: Sequence[str]) -> list[int]:
        words_of, values = self._words_in_index(rare)
        gathered = (
            f"WITH gathered AS MATERIALIZED (SELECT word.order_id AS id FROM {words_of})"
            f" SELECT id FROM gathered WHERE id BETWEEN ? AND ? ORDER BY id {self._direction} OFFSET 0"
        )
        return self._meant(limit, gathered, [*values, self.low, self.high])

    def _meant(self, limit: int, ids: str, values: Sequence[Any]) -> list[int]:
        """Those that are meant of the ids that a statement gives."""
        conditions, more = self.asked.conditions(self.states)
        return self.asked.numbers(
            f"SELECT found.id FROM ({ids}) AS found"
            f" CROSS JOIN LATERAL (SELECT 1 FROM orders AS o WHERE o.id = found.id AND {conditions} OFFSET 0) AS o"
            f" ORDER BY found.id {self._direction} LIMIT ?",
            *(*values, *more, limit),
        )

    def _number(self, limit: int, words_of: str, values: Sequence[Any]) -> int:
        counted = f"SELECT count(*) FROM (SELECT 1 FROM {words_of} LIMIT ?) AS found"
        return self.asked.numbers(counted, *values, limit)[0]

    @property
    def _words_walked_by(self) -> tuple[str, list[Any]]:
        """The rows of `order_words` that have the words, each looked at, and the values that choose them."""
        with_words, words = self.asked.with_all(self.asked.words)
        walked = f"order_words AS word WHERE word.order_id BETWEEN ? AND ? AND {with_words}"
        return walked, [self.low, self.high, *words]

    def _words_in_index(self, rare: Sequence[str]) -> tuple[str, list[Any]]:
        """The same, the `rare` ones by the index of words; from wherever."""
        with_words, words = self.asked.with_all([word for word in self.asked.words if word not in rare])
        query = asked_of_index(self.asked.merchant, rare, {}, is_sqlite=False)
        return f"order_words AS word WHERE {IN_POSTGRESQL} AND {with_words}", [query, *words]

    def _rare(self, sample: _Sample) -> list[str]:
        # What is gathered here is looked at, and that takes longer.
        return self._rarest(sample, _ENTRIES)

    def _time_of_index(self, sample: _Sample) -> int:
        entries = sum(sample.each.get(word, 0) for word in self._rare(sample))
        return self._span() * entries // _LOOKED_AT // _ENTRIES

    def _parted(self, length: int) -> tuple[Self, Self | None]:
        if self._is_narrow:
            return super()._parted(length)
        first, last = self.asked.ends
        end = min(self.high, last) - length + 1 if self.newest_first else max(self.low, first) + length - 1
        return self._until(end) if self.low < end < self.high else (self, None)
