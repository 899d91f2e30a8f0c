"""Catalogues: every spelling of a CSV that shops write is read, and what is wrong is named with row and column."""

from decimal import Decimal

import pytest

from ion.errors import CatalogueError, CsvError
from ion.export import CatalogueItem, read_catalogue

PLAIN = "sku,own_sku,name,hs_code,country_of_origin,weight,weight_unit\nA-1,OWN-1,Linen shirt,6206.40,it,0.250,kg\n"
ITEM = CatalogueItem("A-1", "OWN-1", "Linen shirt", "6206.40", "IT", Decimal("0.25"), "kg")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_is_read_whatever_its_delimiter_and_line_ends(mark: str, bom: bytes, end: str) -> None:
    assert read_catalogue(bom + PLAIN.replace(",", mark).replace("\n", end).encode()) == (ITEM,)


def test_headings_are_known_by_other_names_and_cases_and_other_columns_are_passed_over() -> None:
    text = 'Colour,Article Number,My SKU,Product Name,HS-Code,Country of Origin,Unit_Weight,"Weight Unit"\nred,' + (
        "A-1,OWN-1,Linen shirt,6206.40,IT,0.25,kg\n"
    )
    assert read_catalogue(text.encode()) == (ITEM,)


def test_what_is_empty_is_not_known_and_short_rows_end_early() -> None:
    assert read_catalogue(b"sku,own_sku,weight\nA,,\nB\n\n , ,\n") == (CatalogueItem("A"), CatalogueItem("B"))


def test_a_row_that_is_there_twice_is_taken_once() -> None:
    assert read_catalogue((PLAIN + PLAIN.splitlines()[1]).encode()) == (ITEM,)


def test_texts_are_as_an_order_states_them_so_that_skus_are_found() -> None:
    assert read_catalogue("sku,name\n A\u00a0 1\u200b ,Cafe\u0301\n".encode()) == (CatalogueItem("A 1", name="Café"),)
    assert read_catalogue(b'sku,name\n"0012","a, ""b""\nc"\n') == (CatalogueItem("0012", name='a, "b" c'),)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"", "row 1: no column sku; found none"),
        (b"ean,price\n1,2\n", "row 1: no column sku; found 'ean', 'price'"),
        (b"sku,SKU\n1,2\n", "row 1: columns 'sku' and 'SKU' both mean sku"),
        (b"sku,name\n,x\n", "row 2, column sku: empty"),
        (b"sku,name\nA,x\nA,y\n", "row 3, column sku: 'A' was there before with other values"),
        (b"sku,weight\nA,1\nB,heavy\n", "row 3, column weight: 'heavy' is no weight"),
        (b'sku,weight\nA,"0,25"\n', "row 2, column weight: '0,25' is no weight; write it with a point"),
        (b"sku,weight\nA,-1\n", "row 2, column weight: '-1' is no weight"),
        (b"sku,weight\nA,NaN\n", "row 2, column weight: 'NaN' is no weight"),
        (b"sku,origin\nA,Italy\n", "row 2, column country_of_origin: 'Italy' is no code of two letters"),
        (b"sku,name\nA,\xff\n", "row 2: no UTF-8"),
        (b"sku,name\nA,\x00\n", "NUL"),
        (b'sku,name\nA,"x\n', "quotation marks that do not close"),
        (b"sku,name\nA," + b"x" * 1001, "row 2, column name: 1001 characters; at most 1000"),
        (b"sku" + b"," * 2000, "row 1: 2001 columns; at most 2000"),
    ],
)
def test_a_wrong_catalogue_is_told_with_row_and_column(octets: bytes, told: str) -> None:
    with pytest.raises(CsvError, match=told):
        read_catalogue(octets)


def test_a_catalogue_of_any_size_is_refused_beyond_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.export.catalogue.MAX_ITEMS", 2)
    with pytest.raises(CatalogueError, match="row 4: more than 2 articles"):
        read_catalogue(b"sku\nA\nB\nC\n")
    monkeypatch.setattr("ion.export.catalogue.MAX_OCTETS", 10)
    with pytest.raises(CsvError, match="at most 10 are read"):
        read_catalogue(b"sku\n12345678")
