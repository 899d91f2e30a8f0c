"""A merchant's catalogue as it is kept: loaded, compared, erased; which SKUs of orders it does not know."""

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ion.catalogues import catalogue_csv, difference
from ion.errors import UnknownMerchantError
from ion.export.catalogue import CatalogueItem as Item
from ion.export.catalogue import read_catalogue
from ion.order import LineItem, Order
from ion.store import CatalogueArticle, CatalogueChange, ErasureKind, Store, Subject, UnknownSku, open_store
from tests.orders import small_order
from tests.stores import claimed, judged, table_of
from tests.test_cli_privacy import Run, data, run

__all__ = ["data", "run"]


MUG = Item("AB-1", "OWN-1", "Mug", "6912.00", "PT", Decimal("0.2500"), "kg")


def come(store: Store, number: str, *lines: tuple[str | None, str], **changes: Any) -> None:
    items = tuple(LineItem(sku=sku, name=name, quantity=1) for sku, name in lines)
    order: Order = small_order().model_copy(update={"order_number": number, "lines": items, **changes})
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, [judged(order)])


def test_an_article_comes_back_as_it_was_given(store: Store) -> None:
    bare = Item("CD-2")
    assert store.load_catalogue("default", [MUG, bare]) == CatalogueChange(2, 0, 0, 0, stored=True)
    kept = store.catalogue("default")
    assert kept["AB-1"] == CatalogueArticle("AB-1", "OWN-1", "Mug", "6912.00", "PT", Decimal("0.25"), "kg")
    assert kept["CD-2"] == CatalogueArticle("CD-2", None, None, None, None, None, None)
    assert list(kept) == ["AB-1", "CD-2"]


def test_a_load_counts_what_it_adds_changes_and_leaves(store: Store) -> None:
    store.load_catalogue("default", [MUG, Item("B"), Item("C")])
    again = [Item("AB-1", "OWN-1", "Mug", "6912.00", "PT", Decimal("0.25"), "kg"), Item("B", name="new"), Item("D")]
    told = store.load_catalogue("default", again, dry_run=True)
    assert told == CatalogueChange(added=1, changed=1, removed=0, same=1, stored=False)
    assert list(store.catalogue("default")) == ["AB-1", "B", "C"]
    assert store.load_catalogue("default", again) == CatalogueChange(1, 1, 0, 1, stored=True)
    assert store.catalogue("default")["B"].name == "new"
    assert store.load_catalogue("default", again, replace=True) == CatalogueChange(0, 0, 1, 3, stored=True)
    assert list(store.catalogue("default")) == ["AB-1", "B", "D"]
    assert store.load_catalogue("default", [], replace=True) == CatalogueChange(0, 0, 3, 0, stored=True)


def test_an_article_is_taken_whole(sqlite_store: Store) -> None:
    sqlite_store.load_catalogue("default", [MUG])
    sqlite_store.load_catalogue("default", [Item("AB-1", name="Mug")])
    assert sqlite_store.catalogue("default")["AB-1"].hs_code is None


def test_catalogues_belong_to_one_merchant(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    store.load_catalogue("shop", [MUG])
    store.load_catalogue("default", [], replace=True)
    assert (list(store.catalogue("shop")), store.catalogue("default")) == (["AB-1"], {})
    for call in (store.catalogue, store.unknown_skus, lambda name: store.load_catalogue(name, [MUG])):
        with pytest.raises(UnknownMerchantError):
            call("nobody")


def test_unknown_skus_come_with_the_number_of_orders_most_first(store: Store) -> None:
    come(store, "1", ("AB-1", "Mug"), ("CD-2", "Cup"), ("CD-2", "Cup"))
    come(store, "2", ("EF-3", "Pot"), ("CD-2", "Tea cup"), (None, "Gift"))
    come(store, "3", ("ZZ-9", "Test"), test=True)
    store.load_catalogue("default", [MUG])
    assert store.unknown_skus("default") == (UnknownSku("CD-2", "Tea cup", 2), UnknownSku("EF-3", "Pot", 1))
    assert store.unknown_skus("default", newest=2) == (UnknownSku("CD-2", "Tea cup", 1), UnknownSku("EF-3", "Pot", 1))
    assert store.unknown_skus("default", newest=1) == ()
    store.load_catalogue("default", [Item("CD-2"), Item("EF-3")])
    assert store.unknown_skus("default") == ()


def test_the_catalogue_of_another_merchant_makes_no_sku_known(sqlite_store: Store) -> None:
    sqlite_store.create_merchant("shop", domain="mail.example")
    sqlite_store.load_catalogue("shop", [MUG])
    come(sqlite_store, "1", ("AB-1", "Mug"))
    assert [one.sku for one in sqlite_store.unknown_skus("default")] == ["AB-1"]
    assert sqlite_store.unknown_skus("shop") == ()


def test_the_erasure_of_a_merchant_takes_its_catalogue_along(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    for name in ("shop", "default"):
        store.load_catalogue(name, [MUG])
    store.erase(store.plan_erasure(Subject(ErasureKind.MERCHANT, "shop")), None)
    assert table_of(store, "SELECT merchant, sku FROM catalogue_item") == [("default", "AB-1")]
    assert store.check()["problems"] == []


def test_a_catalogue_of_many_thousands_of_articles_is_loaded_and_replaced(store: Store) -> None:
    many = [Item(f"SKU-{number}", name="x") for number in range(5000)]
    assert store.load_catalogue("default", many).added == 5000
    assert store.load_catalogue("default", [Item("SKU-1", name="y")], replace=True) == CatalogueChange(
        0, 1, 4999, 0, stored=True
    )


def test_the_commands_load_show_and_tell_what_is_unknown(run: Run, data: Path, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{data / 'ion.db'}")
    come(store, "1", ("AB-1", "Mug"), ("CD-2", "Cup"))
    store.close()
    file = tmp_path / "articles.csv"
    file.write_text("SKU;HS Code;Weight\nAB-1;6912.00;0.25\n", "utf-8")
    change = {"added": 1, "changed": 0, "removed": 0, "same": 0}
    assert run("catalogue", "load", file, "--dry-run").lines == [{**change, "stored": False}]
    assert run("catalogue", "show").lines == []
    assert run("catalogue", "load", file).lines == [{**change, "stored": True}]
    (line,) = run("catalogue", "show").lines
    assert (line["sku"], line["hs_code"], line["weight"], line["name"]) == ("AB-1", "6912.00", "0.25", None)
    assert run("catalogue", "unknown").lines == [{"sku": "CD-2", "name": "Cup", "orders": 1}]
    file.write_text("SKU;HS Code;Wieght\nAB-1;6912.00;0.25\n", "utf-8")
    misspelt = run("catalogue", "load", file, "--dry-run")
    assert (misspelt.status, misspelt.lines[0]["changed"]) == (0, 1)
    assert "passed over: Wieght" in misspelt.err
    file.write_text("article;name\n1;2\n", "utf-8")
    broken = run("catalogue", "load", file, "--replace")
    assert (broken.status, broken.lines) == (1, [])
    assert "sku" in broken.err
    assert len(run("catalogue", "show").lines) == 1


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-2", "@SUM", "'=x", "''", "'", "plain", "+49 30 1234", "＝1", '"', "a,b;c"]
)
def test_a_catalogue_that_was_written_and_read_is_the_same_and_holds_no_formula(sqlite_store: Store, text: str) -> None:
    before = [Item(f"{text}1", name=text, own_sku=text), Item("B")]
    sqlite_store.load_catalogue("default", before)
    written = catalogue_csv(tuple(sqlite_store.catalogue("default").values()))
    found = difference(sqlite_store.catalogue("default"), read_catalogue(written))
    assert (found.added, found.changed, found.removed, found.same) == ((), (), (), 2)
    assert {item.sku: item for item in read_catalogue(written)} == {item.sku: item for item in before}
    cells = [cell for row in csv.reader(io.StringIO(written.decode("utf-8-sig"))) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "＝", "-"))]
