"""How orders are found by words: keeping the words of an order, and asking for them.

Both databases answer alike, because both are given words that are split already, and asked for beginnings of words:
SQLite by an FTS5 table whose tokenizer only looks for blanks, PostgreSQL by a GIN index over `array_to_tsvector`, which
needs no extension. (`to_tsvector('simple', ...)` would split the words its own way, and differently in each locale;
trigrams need an extension, and nothing shorter than three letters is found by them.)

Each word has a letter before it that stands for the merchant, so that a word which is in all orders of one merchant
costs nothing to another. Two merchants may have the same letter; whoever asks compares the merchant too.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

import sqlalchemy as sa

from ion.order_words import number_words, words_of
from ion.store.engine import Database
from ion.store.plain_sql import PlainSql

# Ideographs: a letter in the eyes of whatever splits words, and so many that few merchants meet.
_FIRST_MARK, _MARKS = 0x4E00, 20_000
_PAGES_AT_ONCE = 500

IN_POSTGRESQL = "array_to_tsvector(string_to_array(word.words, ' ')) @@ ?::tsquery"
"""The condition that PostgreSQL's index answers, of the row `word` of `order_words`; its value as `asked_of_index` or
a word in quotation marks."""


def keep_words(sql: PlainSql, merchant: str, order_id: int, words: str, shop_order_number: str | None) -> None:
    """Keep what an order is found by: the words of its newest revision (`Content.words`) and the shop's number."""
    more = number_words(shop_order_number) if shop_order_number else ""
    sql.run(_KEEP, order_id, marked(merchant, f"{words} {more}"))


def keep_words_again(connection: sa.Connection, order_id: int) -> None:
    """The same, from what is kept of the order: after the shop's number has changed."""
    sql = PlainSql(connection)
    ((merchant, content, number),) = sql.rows(_WITH_NUMBER, order_id)
    keep_words(sql, merchant, order_id, words_of(json.loads(content)), number)


def marked(merchant: str, words: str) -> str:
    """Words as they are kept: each with the merchant's mark, each once."""
    mark = _mark(merchant)
    return " ".join(f"{mark}{word}" for word in dict.fromkeys(words.split()))


@lru_cache(4096)
def _mark(merchant: str) -> str:
    return chr(_FIRST_MARK + int.from_bytes(sha256(merchant.encode()).digest()[:4]) % _MARKS)


_KEEP = (
    "INSERT INTO order_words (order_id, words) VALUES (?, ?)"
    " ON CONFLICT (order_id) DO UPDATE SET words = excluded.words WHERE order_words.words <> excluded.words"
)
_WITH_NUMBER = "SELECT merchant, content_json, shop_order_number FROM orders WHERE id = ?"


def with_all(merchant: str, words: Sequence[str], *, is_sqlite: bool) -> tuple[str, list[str]]:
    """The condition that the row `word` of `order_words` has all of these, and its values."""
    mark = _mark(merchant)
    # PostgreSQL takes what is LIKE a pattern for so rare that it would rather sort all rows than go on until enough
    # are found.
    has = "instr(' ' || word.words, ?)" if is_sqlite else "strpos(' ' || word.words, ?) > 0"
    return " AND ".join([has] * len(words)) or "TRUE", [f" {mark}{word}" for word in words]


def kept_words(sql: PlainSql, merchant: str, words: Sequence[str]) -> dict[str, list[str]]:
    """SQLite: those of the words that only a few kept ones begin with, and these, as `marked` marks them.

    FTS5 gathers all orders with the beginning of a word before it tells the first; with a whole word, it tells one
    after the other, and passes over what another word leaves out. So a few whole words are asked for instead.
    """
    mark = _mark(merchant)
    kept: dict[str, list[str]] = {}
    for word in sorted(words, key=len)[-_MOST_LOOKED_UP:]:
        found: list[str] = []
        at = f"{mark}{word}"
        while (row := sql.rows(_NEXT_WORD, at, f"{mark}{word}{_HIGHEST}")) and len(found) < _FEW_WORDS:
            found.append(row[0][0])
            at = f"{found[-1]}0"  # no letter or digit is below it
        if not row:
            kept[word] = found
    return kept


def ids_with_word(sql: PlainSql, merchant: str, word: str) -> list[int]:
    """The ids of the orders, of this merchant or another with the same letter, that have a word as it is; the smallest
    first."""
    marked_word = f"{_mark(merchant)}{word}"
    if sql.is_sqlite:
        rows = sql.rows("SELECT rowid FROM order_words_index WHERE order_words_index MATCH ?", f'"{marked_word}"')
    else:
        rows = sql.rows(
            f"SELECT order_id FROM order_words AS word WHERE {IN_POSTGRESQL}",  # noqa: S608  # ours
            f"'{marked_word}'",
        )
    return sorted(order_id for (order_id,) in rows)


def marks_no_other(sql: PlainSql, merchant: str) -> bool:
    """Whether no other merchant has this one's letter."""
    return all(_mark(name) != _mark(merchant) for (name,) in sql.rows("SELECT name FROM merchant") if name != merchant)


_FEW_WORDS = 24
_MOST_LOOKED_UP = 20
_HIGHEST = chr(0x10FFFF)
# Each row of the table is one word in one order: the first is found at once, however many orders have the word.
_NEXT_WORD = "SELECT term FROM order_words_kept WHERE term >= ? AND term < ? LIMIT 1"


def asked_of_index(merchant: str, words: Sequence[str], kept: Mapping[str, Sequence[str]], *, is_sqlite: bool) -> str:
    """What is asked of the index: FTS5's query, or PostgreSQL's. `kept`: as `kept_words` gives it."""
    mark = _mark(merchant)
    if is_sqlite:
        each = {
            word: " OR ".join(f'"{one}"' for one in kept[word]) if word in kept else f'"{mark}{word}"*'
            for word in words
        }
        return " AND ".join(f"({asked})" for asked in each.values())
    return " & ".join(f"'{mark}{word}':*" for word in words)


class OrderSearch(Database):
    """Each method is several transactions."""

    def forget_words(self) -> None:
        """SQLite: merge the index of words with what was taken out of it since, so that no word of an erased order
        stays in the file. In steps, each a short transaction; all of the index is written anew. Elsewhere there is
        nothing to do."""
        if not self._is_sqlite:
            return
        pages = -_PAGES_AT_ONCE  # below zero: a merge of all begins
        while True:
            with self.writing() as connection:
                sql = PlainSql(connection)
                before = _changes(sql)
                sql.run("INSERT INTO order_words_index (order_words_index, rank) VALUES ('merge', ?)", pages)
                if _changes(sql) - before < 2:  # so FTS5 tells that there is nothing left to merge
                    return
            pages = _PAGES_AT_ONCE


def _changes(sql: PlainSql) -> int:
    ((number,),) = sql.rows("SELECT total_changes()")
    return int(number)
