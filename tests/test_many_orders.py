"""With many orders no page has SQLite do more than with few; made from the table of routes, so a new page is tested.

What SQLite does is counted in steps of its machine, which are the same in every run. (What it does within its index of
words is not among them: `tests.bench.lists` measures that.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from ion.store import Store, open_store
from ion.store.pull_tokens import SCOPES
from tests.bench.lists import a_listed_store
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
    """Somebody who is signed in, and has a token, where there are so many orders; the steps made for them, in tens."""

    browser: Browser
    token: str
    steps: int = 0

    def steps_for(self, path: str, **query: Any) -> int:
        self.status(path, **query)  # what is kept from one request to the next is there then
        before = self.steps
        assert self.status(path, **query) == 200
        return self.steps - before

    def status(self, path: str, **query: Any) -> int:
        headers = {"Authorization": f"Bearer {self.token}"} if path.startswith("/v1/") else {}
        return int(self.browser.client.get(path, params=query, headers=headers).status_code)


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asked, Asked]]:
    asked: list[Asked] = []
    stores: list[Store] = []
    for orders in (FEW, MANY):
        folder = tmp_path_factory.mktemp("many")
        a_listed_store(folder / "ion.db", orders)
        stores.append(open_store(f"sqlite:///{folder / 'ion.db'}"))
        token = stores[-1].create_pull_token("default", "all", tuple(SCOPES))
        asked.append(Asked(site(folder, stores[-1]).signed_in("ana", admin=True), token))
        _count_steps(stores[-1], asked[-1])
    yield asked[0], asked[1]
    for store in stores:
        store.close()


def _count_steps(store: Store, asked: Asked) -> None:
    def one() -> None:
        asked.steps += 1

    @sa.event.listens_for(store._engine, "checkout")
    def _taken(connection: Any, *_: Any) -> None:
        connection.set_progress_handler(one, STEPS_AT_ONCE)


@pytest.mark.parametrize(
    ("path", "query"),
    [(path, query) for path in PATHS if path not in APART for query in QUERIES.get(path, ({},))],
    ids=str,
)
def test_a_page_takes_no_more_steps_where_there_are_four_times_as_many_orders(
    each: tuple[Asked, Asked], path: str, query: dict[str, Any]
) -> None:
    few, many = (asked.steps_for(path.format(**GIVEN), **query) for asked in each)
    assert many <= (MOST_GROWN if path in GROWS else MOST) * few + 50


def test_what_is_said_of_pages_is_said_of_some_that_there_are() -> None:
    assert {*APART, *GROWS, *QUERIES} <= set(PATHS)
