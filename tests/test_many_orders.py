"""With many orders no page has the database do more than with few; made from the table of routes, so a new page is
tested.

What SQLite does is counted in steps of its machine, which are the same in every run; what PostgreSQL does, in the rows
that it reads. (What either does within its index of words is not among them: `tests.bench.lists` measures that.)
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ion.store import Store, open_store
from ion.store.pull_tokens import SCOPES
from tests.bench.lists import a_listed_store, copied_to_postgresql
from tests.stores import created
from tests.test_web_access import CASES
from tests.web import Browser, site

pytestmark = pytest.mark.long

FEW, MANY = 12_000, 48_000  # of both, no more are counted than 10,000
MOST = 1.5
MOST_GROWN = 4
STEPS_AT_ONCE = 10
ORDER = FEW // 2 + 1  # the number and the id of an order, and of its message, in both
QUERIES: dict[str, tuple[dict[str, Any], ...]] = {
    "/m/{merchant}/orders": (
        {}, {"q": "anna bauer"}, {"q": "shirt"}, {"q": f"GE-{ORDER:07}"}, {"country": "MT"},
        {"state": "new"}, {"state": "entered", "country": "MT"}, {"from": "2025-03-01", "to": "2025-03-03"},
    ),
    "/m/{merchant}/attention": (
        {}, {"which": "decided"}, {"which": "all"}, {"which": "all", "order": f"GE-{ORDER:07}"},
        {"which": "all", "order": str(ORDER)},
    ),
}  # fmt: skip
APART = {
    "/m/{merchant}/files/now": "until there is a first file, it tells of all orders entered without one",
    "/m/{merchant}/attention/{message_id}/raw": "no octets of these messages are kept",
    "/m/{merchant}/attention/{message_id}/html": "no octets of these messages are kept",
    "/m/{merchant}/attention/{message_id}/reread": "no octets of these messages are kept",
    "/m/{merchant}/settings/retention": "it adds up the sizes of all mail that is kept",
}
GROWS = {
    "/m/{merchant}": "each amended order is looked at, one in 150 here, for whether the shop knows the change",
    "/m/{merchant}/start": "each test order is looked at, one in 150 here, for whether it is a sample",
    "/v1/pending": "each amended order is looked at, as on the first page",
}
GIVEN = {"merchant": "default", "order_id": str(ORDER), "message_id": str(ORDER)}
PATHS = sorted(
    {
        case.path
        for case in CASES
        if case.method == "GET" and (case.parameters or case.takes_token) and set(case.parameters) <= set(GIVEN)
    }
)


@dataclass
class Asked:
    """Somebody who is signed in, and has a token, where there are so many orders; `done`: what the database has done
    for them by now."""

    browser: Browser
    token: str
    done: Callable[[], int]

    def done_for(self, path: str, times: int = 1, **query: Any) -> int:
        """The most that is done for one of so many requests."""
        self.status(path, **query)  # what is kept from one request to the next is there then
        most = 0
        for _ in range(times):
            before = self.done()
            assert self.status(path, **query) == 200
            most = max(most, self.done() - before)
        return most

    def status(self, path: str, **query: Any) -> int:
        headers = {"Authorization": f"Bearer {self.token}"} if path.startswith("/v1/") else {}
        return int(self.browser.client.get(path, params=query, headers=headers).status_code)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of few orders and of many."""
    paths = [tmp_path_factory.mktemp("many") / "ion.db" for _ in range(2)]
    for path, orders in zip(paths, (FEW, MANY), strict=True):
        a_listed_store(path, orders)
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def each(databases: tuple[Path, Path]) -> Iterator[list[Asked]]:
    with ExitStack() as stack:
        yield [_asked(stack, f"sqlite:///{path}", path.parent, _steps) for path in databases]


@pytest.fixture(scope="module")
def each_on_postgresql(databases: tuple[Path, Path], postgresql_server: str) -> Iterator[list[Asked]]:
    with ExitStack() as stack:
        asked = []
        for path in databases:
            url = created(postgresql_server, f"ion_{path.parent.name}")
            copied_to_postgresql(path, url)
            asked.append(_asked(stack, url, path.parent, _rows_read))
        yield asked


def _asked(stack: ExitStack, url: str, folder: Path, counting: Callable[[Store], Callable[[], int]]) -> Asked:
    store = open_store(url)
    stack.callback(store.close)
    name = sa.make_url(url).get_backend_name()  # what is copied to PostgreSQL has those of SQLite in it already
    token = store.create_pull_token("default", name, tuple(SCOPES))
    return Asked(site(folder, store).signed_in(name, admin=True), token, counting(store))


def _steps(store: Store) -> Callable[[], int]:
    """In tens."""
    steps = 0

    def one() -> None:
        nonlocal steps
        steps += 1

    @sa.event.listens_for(store._engine, "checkout")
    def _taken(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(one, STEPS_AT_ONCE)

    return lambda: steps


def _rows_read(store: Store) -> Callable[[], int]:
    def done() -> int:
        with store.reading() as connection:
            connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
        with store.reading() as connection:
            statement = "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables"
            return int(connection.exec_driver_sql(statement).scalar_one())

    return done


@pytest.mark.parametrize(
    ("path", "query"),
    [(path, query) for path in PATHS if path not in APART for query in QUERIES.get(path, ({},))],
    ids=str,
)
def test_a_page_takes_no_more_steps_where_there_are_four_times_as_many_orders(
    each: list[Asked], path: str, query: dict[str, Any]
) -> None:
    few, many = (asked.done_for(path.format(**GIVEN), **query) for asked in each)
    assert many <= (MOST_GROWN if path in GROWS else MOST) * few + 50


@pytest.mark.parametrize("query", [*QUERIES["/m/{merchant}/orders"], {"q": f"shirt rareword{ORDER:07}"}], ids=str)
def test_on_postgresql_the_list_reads_no_more_rows_where_there_are_four_times_as_many(
    each_on_postgresql: list[Asked], query: dict[str, Any]
) -> None:
    path = "/m/{merchant}/orders".format(**GIVEN)
    # So often that PostgreSQL would take one plan for all values, if it might.
    few, many = (asked.done_for(path, 15, **query) for asked in each_on_postgresql)
    assert many <= MOST * few + 50


def test_what_is_said_of_pages_is_said_of_some_that_there_are() -> None:
    assert {*APART, *GROWS, *QUERIES} <= set(PATHS)
