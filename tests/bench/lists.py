"""How fast the list of orders and its pages answer, and whether they take longer where there are many orders.

    python -m tests.bench.lists [--orders N] [--few N] [--rounds N] [--postgresql]

The same pages, searches and counts asked in turn of a database of many orders and of one of few; then whole pages of
the staff page, through the application as a signed-in person gets them. The databases are made for it, straight into
their tables, and removed afterwards; with `--postgresql` they are copied to a server that is started for it.
"""

import argparse
import gc
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import psycopg
import sqlalchemy as sa

from ion.logs import set_up_logs
from ion.store import OrderFilters, OrderState, Store, open_store
from ion.store.order_search import marked
from ion.store.tables import Base
from tests.bench.exports import a_store
from tests.bench.tables import Out, conditions, table
from tests.orders import small_order
from tests.stores import created, running_postgresql
from tests.web import Browser, site

ORDERS = 1_000_000
FEW = 10_000
ROUNDS = 40
_NEW = 50  # of all of them, however many
_OF_SMALL_MERCHANT = 1_000  # too
_BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
_FIRST = "anna ben carla david elena felix greta hugo ines jonas klara leo mara nils olga paul".split()
_LAST = "adler bauer costa dubois eriksen fischer garcia hansen ivanova jansen keller lopez moreau novak".split()
_ITEMS = "blue green grey red black white small large long short soft warm light heavy".split()
_COUNTRIES = ["US"] * 5 + ["GB"] * 3 + ["FR", "JP"]  # and one in 150 to MT


_ALL = OrderFilters()


@dataclass(frozen=True)
class _Case:
    """One thing that is asked, of an installation."""

    name: str
    ask: Callable[["_Installation"], object]


@dataclass(frozen=True)
class _Installation:
    """A database with so many orders, and somebody who is signed in there."""

    orders: int
    store: Store
    browser: Browser


def _page(name: str, filters: OrderFilters = _ALL, merchant: str = "default") -> _Case:
    return _Case(name, lambda asked: asked.store.order_page(merchant, filters))


def _middle(name: str, way: str) -> _Case:
    return _Case(name, lambda asked: asked.store.order_page("default", _ALL, f"{way}-{asked.orders // 2}"))


def _search(name: str, text: str) -> _Case:
    return _page(f"search: {name}", OrderFilters(text=text))


def _count(name: str, filters: OrderFilters = _ALL) -> _Case:
    return _Case(f"count: {name}", lambda asked: asked.store.count_orders("default", filters))


def _whole(name: str, path: str, **query: str) -> _Case:
    def ask(asked: _Installation) -> None:
        assert asked.browser.get(path, **query).status_code == 200

    return _Case(f"whole page: {name}", ask)


def cases(few: int) -> list[_Case]:
    """All that is asked; of a database with at least `few` orders."""
    number = few // 2 + 1  # of an order of the larger merchant
    month = OrderFilters(received_from=_BEGAN + timedelta(100), received_to=_BEGAN + timedelta(130))
    both = OrderFilters(states=(OrderState.ENTERED,), country="MT")
    return [
        _page("list"),
        _middle("list: a page in the middle", "older"),
        _middle("list: the page before it", "newer"),
        _page("list: new", OrderFilters(states=(OrderState.NEW,))),
        _page("list: exported", OrderFilters(states=(OrderState.EXPORTED,))),
        _page("list: new or exported", OrderFilters(states=(OrderState.NEW, OrderState.EXPORTED))),
        _page("list: tests", OrderFilters(test=True)),
        _page("list: replacements", OrderFilters(replacement=True)),
        _page("list: documents awaited", OrderFilters(documents_awaited=True)),
        _page("list: amended", OrderFilters(amended=True)),
        _page("list: a usual country", OrderFilters(country="US")),
        _page("list: a rare country", OrderFilters(country="MT")),
        _page("list: entered, a rare country", both),
        _page("list: a month", month),
        _page("list: a small merchant", merchant="other"),
        _search("a rare word", f"rareword{number:07}"),
        _search("a common word", "shirt"),
        _search("the beginning of a common word", "sh"),
        _search("the beginning of a rare word", f"rareword{number // 100:05}"),
        _search("a number", f"GE-{number:07}"),
        _search("a mail address", f"kunde{number}@shop.example"),
        _search("two common words", "anna bauer"),
        _search("a common word and a rare one", f"shirt rareword{number:07}"),
        _search("nothing found", "nothinglikethis"),
        _page("search: a common word, a rare country", OrderFilters(text="shirt", country="MT")),
        _page("search: of a small merchant", OrderFilters(text="shirt anna"), "other"),
        _count("all"),
        _count("entered", OrderFilters(states=(OrderState.ENTERED,), test=False)),
        _count("new", OrderFilters(states=(OrderState.NEW,))),
        _count("a common word", OrderFilters(text="shirt")),
        _count("a name", OrderFilters(text="anna")),
        _count("a rare word", OrderFilters(text=f"rareword{number:07}")),
        _Case("an order", lambda asked: asked.store.order_detail("default", number)),
        _whole("home", "/m/default"),
        _whole("the list", "/m/default/orders"),
        _whole("needs attention", "/m/default/attention"),
        _whole("all mail", "/m/default/attention", which="all"),
        _whole("mail of an order", "/m/default/attention", which="all", order=f"GE-{number:07}"),
        _whole("first steps", "/m/default/start"),
        _whole("a country", "/m/default/orders", country="US"),
        _whole("two common words", "/m/default/orders", q="anna bauer"),
        _whole("a common word", "/m/default/orders", q="shirt"),
        _whole("a number", "/m/default/orders", q=f"GE-{number:07}"),
        _whole("an order", f"/m/default/orders/{number}"),
    ]  # fmt: skip


def a_listed_store(path: Path, orders: int) -> None:
    """`exports.a_store` with orders that differ in what the list shows: some are another merchant's, most are entered,
    the newest are new, and they came within two years."""
    a_store(path, orders, small_order())
    store = open_store(f"sqlite:///{path}")
    store.create_merchant("other", domain="mail.example")
    store.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    minutes = 2 * 365 * 1440 / orders
    country = " ".join(f"WHEN {place} THEN '{name}'" for place, name in enumerate(_COUNTRIES))
    connection.execute(
        "UPDATE orders SET merchant = CASE WHEN id % ? = 0 THEN 'other' ELSE merchant END,"
        " state = CASE WHEN id > ? THEN 'new' WHEN id % 100 = 7 THEN 'exported' ELSE 'entered' END,"
        " test = (id % 150 = 3), replacement = (id % 150 = 4), documents_awaited = (id % 150 = 6),"
        " amended = (id % 150 = 8),"
        f" destination_country = CASE WHEN id % 150 = 9 THEN 'MT' ELSE CASE id % 10 {country} END END,"
        " created_at = strftime('%Y-%m-%d %H:%M:%f000', ?, '+' || CAST(id * ? AS INTEGER) || ' minutes')",
        (_each_other(orders), orders - _NEW, _BEGAN.strftime("%Y-%m-%d"), minutes),
    )
    connection.execute(
        "INSERT INTO order_day (merchant, day, first_id, last_id)"
        " SELECT merchant, substr(created_at, 1, 10), min(id), max(id) FROM orders GROUP BY 1, 2"
    )
    connection.execute(
        "INSERT INTO order_event (order_id, revision, at, what, shop_order_number, by, source)"
        " SELECT id, revision, strftime('%Y-%m-%d %H:%M:%f000', applied_at, '+1 hour'), 'entered', 'S' || id, 'ana',"
        " 'page' FROM orders WHERE state = 'entered'"
    )
    connection.executemany("INSERT INTO order_words (order_id, words) VALUES (?, ?)", _words(orders))
    connection.execute("COMMIT")
    connection.close()


def _each_other(orders: int) -> int:
    """Every how many orders one is the small merchant's."""
    return max(orders // _OF_SMALL_MERCHANT, 5)


def _words(orders: int) -> Iterator[tuple[int, str]]:
    each = _each_other(orders)
    for number in range(1, orders + 1):
        merchant, of_merchant = ("other", number // each) if number % each == 0 else ("default", number)
        first, last = _FIRST[of_merchant // 3 % 16], _LAST[of_merchant // 48 % 14]
        item = " ".join(_ITEMS[(number * step) % 14] for step in (1, 3, 5))
        yield (
            number,
            marked(
                merchant,
                f"ge{number:07} {number:07} s{number} kunde{number}shopexample shopexample example {first} {last}"
                f" rareword{number:07} {_COUNTRIES[number % 10].lower()} ab{number % 3000} shirt cotton {item}",
            ),
        )


def copied_to_postgresql(path: Path, url: str) -> None:
    """Fill the empty database at `url` with what the SQLite file at `path` holds."""
    open_store(url).close()
    address = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(sqlite3.connect(path)) as source, psycopg.connect(address, autocommit=True) as target:
        target.execute("SET timezone = 'UTC'")
        target.execute("SET session_replication_role = replica")  # foreign keys held where the rows come from
        tables = Base.metadata.sorted_tables
        target.execute(f"TRUNCATE {', '.join(table.name for table in tables)}".encode())
        for table in tables:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            with target.cursor().copy(f"COPY {table.name} ({columns}) FROM STDIN".encode()) as copy:
                for row in source.execute(f"SELECT {columns} FROM {table.name}"):  # ours
                    copy.write_row(row)
            if "id" in table.columns:
                newest = f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}"
                target.execute(newest.encode())
        target.execute("VACUUM ANALYZE")


def run(out: Out, orders: int, few: int, rounds: int, *, postgresql: bool = False) -> None:
    """Every case, its median and its slowest of twenty, and how long it takes beside the small database."""
    out("## The list of orders, from a large database and a small one\n")
    with tempfile.TemporaryDirectory(prefix="ion-bench-") as name, ExitStack() as stack:
        server = stack.enter_context(running_postgresql()) if postgresql else None
        installations: list[_Installation] = []
        for number in (few, orders):
            folder = Path(name) / str(number)
            folder.mkdir()
            path = folder / "ion.db"
            a_listed_store(path, number)
            url = f"sqlite:///{path}"
            if server is not None:
                url = created(server, f"ion_{number}")
                copied_to_postgresql(path, url)
            store = open_store(url)
            stack.callback(store.close)
            installations.append(_Installation(number, store, site(folder, store).signed_in(default="staff")))
        gc.collect()
        gc.freeze()  # as `ion serve` does
        kind = "PostgreSQL, made from SQLite" if postgresql else "SQLite"
        conditions(
            out,
            f"{orders:,} orders beside {few:,} in {kind} ({path.stat().st_size / 1e9:.1f} GB), pages of 50, counts of",
            f"at most 10,000; {rounds} rounds in turn, milliseconds of wall time.",
        )
        table(
            out,
            ("asked", "median", "p95", "aim", "of few", "ratio", "aim"),
            [_row(case, installations, rounds) for case in cases(few)],
        )


def _row(case: _Case, installations: Sequence[_Installation], rounds: int) -> tuple[str, ...]:
    found: list[list[float]] = [[] for _ in installations]
    for _ in range(rounds + 1):  # the first warms up
        for times, installation in zip(found, installations, strict=True):
            began = time.perf_counter()
            case.ask(installation)
            times.append((time.perf_counter() - began) * 1000)
    small, large = (times[1:] for times in found)
    slowest = quantiles(large, n=20)[-1]
    ratio = median(large) / median(small)
    return (case.name, f"{median(large):.2f}", f"{slowest:.2f}", "50", f"{median(small):.2f}", f"{ratio:.2f}", "1.5")


def main(arguments: Sequence[str] | None = None, out: Out = print) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lists", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--few", type=int, default=FEW)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args(arguments)
    set_up_logs("warning")  # a line for each request would be between those of the table
    run(out, given.orders, given.few, given.rounds, postgresql=given.postgresql)


if __name__ == "__main__":
    main()
