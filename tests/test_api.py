"""The API of orders: what a token may see and say, page by page, and what each refusal tells."""

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ion.order import Order
from ion.store import ErasureKind, Store, Subject
from ion.store.entries import folded_number
from tests.batches import arrive, publish
from tests.orders import small_order
from tests.stores import claimed, judged, table_of
from tests.web import Site, site

MARKER = "mkrvalueq"


@dataclass
class Program:
    """A program with a token."""

    site: Site
    token: str

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None, **options: Any) -> Any:
        client = TestClient(self.site.app, base_url="http://ion.test")
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return client.request(method, path, headers=sent, **options)

    def get(self, path: str) -> Any:
        got = self.ask(path)
        assert got.status_code == 200, (got.status_code, got.text)
        return got.json()

    def enter(self, order_id: int, number: str, **more: Any) -> Any:
        return self.ask(f"/v1/orders/{order_id}/entered", "POST", json={"shop_order_number": number, **more})


def _program(its: Site, *scopes: str, merchant: str = "default", name: str = "erp") -> Program:
    return Program(its, its.store.create_pull_token(merchant, name, scopes or ("files", "orders", "entered")))


@pytest.fixture
def program(sqlite_store: Store, tmp_path: Path) -> Program:
    return _program(site(tmp_path, sqlite_store))


def _amend(store: Store, number: str, revision: int, **changed: Any) -> None:
    message = claimed(store)
    order = small_order().model_copy(update={"order_number": number, **changed})
    store.store_judgement(message.id, message.claim_token, [judged(order, revision=revision, sequence=revision)])


# Looking


def test_the_list_goes_through_all_orders_newest_first_while_others_come(program: Program) -> None:
    store = program.site.store
    ids = [arrive(store, f"GE{number}") for number in range(5)]
    seen: list[int] = []
    path = "/v1/orders?limit=2&state=new&state=exported"
    while path:
        page = program.get(path)
        seen += [one["id"] for one in page["orders"]]
        path = page["next"]
        arrive(store, f"LATE{len(seen)}")
    assert seen == ids[::-1]


def test_orders_are_found_by_what_is_in_them(program: Program) -> None:
    store = program.site.store
    first, second = arrive(store, "GE1"), arrive(store, "XY-2")
    store.mark_entered("default", second, "1001", by="ana", source="test")
    _amend(store, "GE1", 2, notes=("other",))

    def found(query: str) -> list[int]:
        return [one["id"] for one in program.get(f"/v1/orders?{query}")["orders"]]

    assert found("text=xy2") == found("state=entered") == [second]
    assert found("amended=true") == found("state=new") == [first]
    assert found("received_until=2026-01-01T00:00:00Z") == []
    assert found("received_since=2020-01-01T00:00:00%2B01:00") == [second, first]
    assert found("country=ZZ") == found("test=true") == []


def test_a_whole_order_is_the_order_and_what_became_of_it(program: Program) -> None:
    store = program.site.store
    order_id = arrive(store, "GE1")
    batch = publish(store, b"x", "orders-1.csv", orders=(order_id,))
    _amend(store, "GE1", 2, notes=("other",))
    store.mark_entered("default", order_id, "1001", by="ana", source="test")
    got = program.ask(f"/v1/orders/{order_id}")
    assert got.headers["cache-control"] == "private, no-store"
    told = got.json()
    expected = small_order().model_copy(update={"order_number": "GE1", "notes": ("other",)})
    assert Order.model_validate(told["order"]) == expected
    assert (told["state"], told["revision"], told["shop_order_number"]) == ("entered", 2, "1001")
    assert [bool(one["changes"]) for one in told["revisions"]] == [False, True]
    assert [(one["what"], one["by"]) for one in told["events"]] == [("entered", "ana")]
    assert [(one["id"], one["url"]) for one in told["files"]] == [(batch.id, f"/v1/files/{batch.id}")]
    assert told["received_at"].endswith("Z")
    assert isinstance(told["total"], str | None)
    for line in told["order"]["lines"]:
        assert isinstance(line["quantity"], str) and Decimal(line["quantity"])


def test_what_is_pending_comes_page_by_page_the_longest_waiting_first(program: Program) -> None:
    store = program.site.store
    ids = [arrive(store, f"GE{number}") for number in range(5)]
    first = program.get("/v1/pending?limit=2")
    assert [one["id"] for one in first["pending"]] == ids[:2]
    store.mark_entered("default", ids[1], "1001", by="ana", source="test")  # where the next page begins
    second = program.get(first["next"])
    assert [one["id"] for one in second["pending"]] == ids[2:4]
    last = program.get(second["next"])
    assert ([one["id"] for one in last["pending"]], last["next"]) == (ids[4:], None)


# Entering


def test_to_enter_twice_is_to_enter_once_and_another_number_has_to_be_meant(program: Program) -> None:
    store = program.site.store
    order_id = arrive(store, "GE1")
    first, again = program.enter(order_id, "1001"), program.enter(order_id, " #1001 ")
    assert (first.status_code, first.json()["changed"], first.json()["state"]) == (200, True, "entered")
    assert (again.status_code, again.json()["changed"], again.json()["shop_order_number"]) == (200, False, "1001")
    other = program.enter(order_id, "1002")
    assert (other.status_code, other.headers["content-type"]) == (409, "application/problem+json")
    assert "replace" in other.json()["detail"]
    replaced = program.enter(order_id, "1002", replace=True).json()
    assert (replaced["shop_order_number"], replaced["replaced"]) == ("1002", "1001")
    assert [event.by for event in store.order_detail("default", order_id).events] == ["token erp"] * 2  # type: ignore[union-attr]
    assert program.get("/v1/pending")["pending"] == []


def test_it_is_told_which_other_orders_are_entered_under_the_same_number(program: Program) -> None:
    store = program.site.store
    first, second, third = (arrive(store, f"GE{number}") for number in range(3))
    assert program.enter(first, "1001").json()["same_number"] == []
    assert program.enter(second, "1002").json()["same_number"] == []
    assert program.enter(third, "#10-01").json()["same_number"] == [first]
    assert program.enter(third, "1001").json()["same_number"] == [first]
    assert program.ask(f"/v1/orders/{third}/entered", "DELETE").json()["same_number"] == []
    assert program.enter(first, "1001").json()["same_number"] == []


def test_a_revision_that_came_meanwhile_is_not_taken_for_the_one_that_was_entered(program: Program) -> None:
    order_id = arrive(program.site.store, "GE1")
    _amend(program.site.store, "GE1", 2, notes=("other",))
    refused = program.enter(order_id, "1001", revision=1)
    assert (refused.status_code, "newest" in refused.json()["detail"]) == (409, True)
    assert program.get(f"/v1/orders/{order_id}")["state"] == "new"
    assert program.enter(order_id, "1001", revision=2).json()["revision"] == 2


def test_to_reopen_twice_is_to_reopen_once(program: Program) -> None:
    store = program.site.store
    order_id = arrive(store, "GE1")
    program.enter(order_id, "1001")
    path = f"/v1/orders/{order_id}/entered"
    first, again = program.ask(path, "DELETE").json(), program.ask(path, "DELETE").json()
    assert (first["state"], first["changed"], first["replaced"]) == ("new", True, "1001")
    assert (again["state"], again["changed"], again["shop_order_number"]) == ("new", False, None)
    assert [one["id"] for one in program.get("/v1/pending")["pending"]] == [order_id]
    said = [(one.by, one.what, one.subject, one.merchant) for one in store.audit_events()]
    assert said == [
        ("token erp", "order reopened", "GE1", "default"),
        ("token erp", "order entered", "GE1", "default"),
    ]


_BODIES = [
    (b'{"shop_order_number": "1"', "application/json", 400),
    (b"\xff", "application/json", 400),
    (b"[" * 50_000, "application/json", 400),
    (b"{}", "application/json", 422),
    (b"null", "application/json", 422),
    (b'{"shop_order_number": 1}', "application/json", 422),
    (b'{"shop_order_number": "- #"}', "application/json", 422),
    (b'{"shop_order_number": "%s"}' % (b"1" * 101), "application/json", 422),
    (b'{"shop_order_number": "1", "by": "ana"}', "application/json", 422),
    (b'{"shop_order_number": "1", "replace": "yes"}', "application/json", 422),
    (b"shop_order_number=1", "application/x-www-form-urlencoded", 415),
    (b'{"shop_order_number": "1"}', "text/plain", 415),
]


def test_a_body_that_does_not_say_it_is_refused_and_enters_nothing(program: Program) -> None:
    order_id = arrive(program.site.store, "GE1")
    for body, kind, status in _BODIES:
        got = program.ask(f"/v1/orders/{order_id}/entered", "POST", {"Content-Type": kind}, content=body)
        assert (got.status_code, got.headers["content-type"]) == (status, "application/problem+json"), body[:80]
    assert table_of(program.site.store, "SELECT state FROM orders") == [("new",)]


# Who asks, and for what


def test_a_token_is_for_its_scopes_and_a_refusal_names_the_one_that_it_takes(program: Program) -> None:
    arrive(program.site.store, "GE1")
    allowed = {
        "files": {"/v1/files"},
        "orders": {"/v1/orders", "/v1/orders/1", "/v1/pending"},
        "entered": {"/v1/orders/1/entered"},
    }
    for scope in allowed:
        one = _program(program.site, scope, name=scope)
        for of, paths in allowed.items():
            for path in paths:
                got = one.ask(path, "DELETE" if path.endswith("entered") else "GET")
                assert got.status_code == (200 if of == scope else 403), (scope, path)
                if of != scope:
                    assert got.headers["content-type"] == "application/problem+json"
                    assert f'error="insufficient_scope", scope="{of}"' in got.headers["www-authenticate"]


def test_another_merchants_order_and_an_erased_one_do_not_exist(program: Program) -> None:
    store = program.site.store
    store.create_merchant("shop", domain="mail.example")
    erased, kept = arrive(store, "GE1"), arrive(store, "GE2")
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, None, order_number="GE1")), None)
    other = _program(program.site, merchant="shop")
    for who, order_id in ((other, kept), (program, erased), (program, 999), (program, 2**31 - 1)):
        for method, path in (("GET", ""), ("POST", "/entered"), ("DELETE", "/entered")):
            got = who.ask(f"/v1/orders/{order_id}{path}", method, **_body(method))
            assert (got.status_code, got.json()["detail"][:22]) == (404, "there is no such order")
    assert other.get("/v1/orders") == {"orders": [], "next": None}
    assert other.get("/v1/pending") == {"pending": [], "next": None}


def _body(method: str) -> dict[str, Any]:
    return {"json": {"shop_order_number": "1"}} if method == "POST" else {}


def test_what_is_no_id_is_not_there(program: Program) -> None:
    arrive(program.site.store, "GE1")
    for name in ("0", "-1", "x", "1.0", "1e3", "01", "%D9%A3", "2147483648", "9" * 19, "9" * 5000, "%00"):
        for path in (f"/v1/orders/{name}", f"/v1/files/{name}"):
            assert program.ask(path).status_code == 404, name


_QUERIES = [
    (f"orders?{MARKER}=1&other=2", f"'{MARKER}', 'other'"),
    ("orders/1?expand=1", "'expand'"),
    ("files?page=2", "'page'"),
    ("pending?state=new", "'state'"),
    ("orders?limit=1&limit=2", "limit"),
    ("orders?limit=0", "limit"),
    ("orders?limit=1_0", "limit"),
    ("orders?state=open", "state"),
    ("orders?country=de", "country"),
    ("orders?amended=yes", "amended"),
    ("orders?received_since=2026-01-01", "received_since"),
    ("orders?received_since=1767225600", "received_since"),
    ("orders?received_since=2026-02-30T00:00:00Z", "received_since"),
    ("orders?received_until=9999-12-31T23:59:59-23:59", "received_until"),
    ("orders?cursor=1", "cursor"),
    (f"orders?text={'x' * 501}", "text"),
    ("pending?cursor=older-1", "cursor"),
]


def test_a_query_that_is_not_known_is_refused_by_name(program: Program) -> None:
    for query, named in _QUERIES:
        got = program.ask(f"/v1/{query}")
        assert (got.status_code, got.headers["content-type"]) == (400, "application/problem+json"), query[:80]
        assert named in got.json()["detail"], query[:80]


def test_a_method_that_an_address_does_not_take_is_told_those_it_takes(program: Program) -> None:
    got = program.ask("/v1/orders/1/entered", "PUT")
    assert (got.status_code, got.headers["allow"]) == (405, "DELETE, POST")
    assert program.ask("/v1/orders", "PATCH").headers["allow"] == "GET, HEAD"


@pytest.mark.long
def test_a_body_that_is_too_large_is_not_read(program: Program) -> None:
    got = program.ask("/v1/orders/1/entered", "POST", content=b"", headers={"Content-Length": "20000001"})
    assert (got.status_code, got.headers["content-type"]) == (413, "application/problem+json")


@pytest.mark.long
def test_hostile_text_finds_nothing_and_breaks_nothing(program: Program) -> None:
    arrive(program.site.store, "GE1")
    for text in ("%00", "%25", "' OR 1=1 --", "%F0%9F%98%80", '"*" NEAR(', "%ED%A0%80", "a" * 500):
        assert program.ask(f"/v1/orders?text={text}").status_code == 200


# The document


def test_the_document_is_open_to_all_and_describes_the_api_only(sqlite_store: Store, tmp_path: Path) -> None:
    its = site(tmp_path, sqlite_store)
    got = its.visitor().get("/v1/openapi.json")
    assert (got.status_code, got.headers["content-type"]) == (200, "application/json")
    document = got.json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/v1/files",
        "/v1/files/latest/{profile}",
        "/v1/files/{file_id}",
        "/v1/orders",
        "/v1/orders/{order_id}",
        "/v1/orders/{order_id}/entered",
        "/v1/pending",
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            assert set(operation["responses"]) >= {"400", "401", "403", "429", "500", "503"}
            assert operation["security"][0]["token"]
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert set(response["content"]) == {"application/problem+json"}, (operation, status)
    assert "http://" not in got.text and "https://" not in got.text


def test_what_the_api_tells_is_the_same_on_either_database(store: Store, tmp_path: Path) -> None:
    program = _program(site(tmp_path, store))
    ids = [arrive(store, f"GE{number}") for number in range(3)]
    publish(store, b"x", "orders-1.csv", orders=(ids[0],))
    assert program.enter(ids[1], "1001").json()["changed"]
    assert [one["id"] for one in program.get("/v1/orders?text=ge&limit=2")["orders"]] == [ids[2], ids[1]]
    first = program.get("/v1/pending?limit=1")
    assert [one["id"] for one in (*first["pending"], *program.get(first["next"])["pending"])] == [ids[0], ids[2]]
    assert len(program.get(f"/v1/orders/{ids[0]}")["files"]) == 1
    for _ in range(2):
        assert program.ask(f"/v1/orders/{ids[1]}/entered", "DELETE").json()["state"] == "new"
    assert [one.file_name for one in store.batches("default", before=2**31 - 1)] == ["orders-1.csv"]
    assert store.batches("default", before=store.batches("default")[0].id) == ()
    for number in (2**31 - 1, 2**31, 2**63 - 1, 2**63):
        for path in (f"/v1/orders/{number}", f"/v1/files/{number}"):
            assert program.ask(path).status_code == 404
        assert program.ask(f"/v1/orders/{number}/entered", "DELETE").status_code == 404
    assert program.ask(f"/v1/files?after={2**31}").status_code == 400
    assert program.get(f"/v1/orders?cursor=older-{10**18 - 1}")["orders"]
    assert program.get(f"/v1/orders?cursor=newer-{10**18 - 1}")["orders"]
    assert program.get(f"/v1/pending?cursor={10**17 - 1}-{10**18 - 1}")["pending"] == []


def test_the_document_says_which_numbers_of_the_shop_are_none(sqlite_store: Store, tmp_path: Path) -> None:
    schema = site(tmp_path, sqlite_store).visitor().get("/v1/openapi.json").json()["components"]["schemas"]["Entering"]
    pattern = re.compile(schema["properties"]["shop_order_number"]["pattern"])
    for code in range(0x10000):
        if not 0xD800 <= code < 0xE000:
            assert bool(pattern.search(chr(code))) == bool(folded_number(chr(code))), hex(code)
