"""Columns of one's own: what a declaration says is what the file holds; what it gets wrong is named."""

import json
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ion.contract import FIELDS, ORDER_SECTIONS
from ion.errors import ProfileError
from ion.export import PROFILES, custom_profile, file_name
from ion.order import LineItem
from tests.exports import AT, TWO, Stored, exported, hub_order, money
from tests.programs import IonHere
from tests.thinning import one_in

DECLARED = """
delimiter = ";"
encoding = "utf-8-bom"
decimal_mark = ","

[[column]]
name = "Order no."
field = "order_number"

[[column]]
name = "City"
field = "delivery.city"
case = "upper"
max_length = 5

[[column]]
name = "SKU"
field = "line.sku"

[[column]]
name = "Placed"
field = "created_time"
date = "%d.%m.%Y"

[[column]]
name = "Total"
field = "order_total_customer"
decimals = 3

[[column]]
name = "Channel"
constant = "marketplace"
"""


def column(**keys: Any) -> str:
    values = {"name": "A", "field": "order_number"} | keys
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "[[column]]\n" + "\n".join(lines) + "\n"


def test_a_declared_file_holds_the_declared_columns_in_the_declared_form() -> None:
    octets, summary = exported([Stored(hub_order())], custom_profile("erp", DECLARED))
    assert octets.decode("utf-8") == (
        "\ufeffOrder no.;City;SKU;Placed;Total;Channel\r\n"
        "GE12345678GB;DRESD;00123E4;23.11.2026;60,380;marketplace\r\n"
        "GE12345678GB;DRESD;'@x;23.11.2026;60,380;marketplace\r\n"
    )
    assert set(summary.notes) == {
        "order GE12345678GB: the column City was shortened to 5 characters",
        "order GE12345678GB: a text begins like a formula; an apostrophe stands before it",
    }


def test_one_row_per_order_where_that_is_declared() -> None:
    profile = custom_profile("erp", 'rows = "order"\n' + column())
    assert exported(TWO, profile)[0] == b"A\r\nGE12345678GB\r\n123-45678\r\n"
    with pytest.raises(ProfileError, match=r"\[\[column\]\] 1, field: 'sku' is one of a line item"):
        custom_profile("erp", 'rows = "order"\n' + column(field="sku"))


def test_a_column_of_standard_gives_what_standard_gives() -> None:
    text = "".join(column(name=known.name, field=known.name) for known in PROFILES["standard"].tables[0].columns)
    declared = custom_profile("all", 'guard = "none"\n' + text)
    assert exported(TWO, declared)[0] == exported(TWO, "standard")[0]


def test_every_field_that_stands_once_in_an_order_or_a_line_may_be_a_column() -> None:
    names = [
        f"{section.code}.{field.name}"
        for section in ORDER_SECTIONS
        for field in section.fields
        if not section.repeated or section.code == "line"
    ]
    assert set(names) <= set(FIELDS)
    profile = custom_profile("all", "".join(column(name=name, field=name) for name in names))
    assert exported(TWO, profile)[1].rows == 3


def test_negative_amounts_in_a_fixed_form_are_not_guarded_and_rounding_is_said() -> None:
    line = LineItem(quantity=Decimal(1), unit_price_customer=money("-2.345"))
    order = hub_order().model_copy(update={"lines": (line,)})
    profile = custom_profile(
        "erp", 'decimal_mark = ","\ndelimiter = "tab"\n' + column(field="unit_price_customer", decimals=2)
    )
    octets, summary = exported([Stored(order)], profile)
    assert octets == b"A\r\n-2,34\r\n"
    assert summary.notes == ("order GE12345678GB: the column A was rounded to 2 decimals",)


def test_an_amount_that_brings_its_own_currency_is_given_no_decimals_and_this_is_said() -> None:
    order = hub_order().model_copy(
        update={"lines": (LineItem(quantity=Decimal(1), unit_price_customer=money("64", None)),)}
    )
    octets, summary = exported([Stored(order)], custom_profile("erp", column(field="unit_price_customer", decimals=2)))
    assert octets == b"A\r\n64 (no currency stated)\r\n"
    assert summary.notes == (
        "order GE12345678GB: the column A holds no plain number, and was left as it is: 64 (no currency stated)",
    )


def test_what_windows_1252_cannot_say_is_a_question_mark_and_said() -> None:
    profile = custom_profile(
        "erp",
        'encoding = "windows-1252"\n' + column(field="customer_local_name") + column(name="B", field="customer_name"),
    )
    octets, summary = exported([Stored(hub_order())], profile)
    assert octets.splitlines()[1] == '????,"Jürgen Groß ""der Ältere"""'.encode("cp1252")
    assert summary.notes == (
        "order GE12345678GB: a text has characters that windows-1252 does not; `?` stands for each",
    )


def test_a_date_that_cannot_be_told_for_sure_stays_as_it_is_and_is_said() -> None:
    order = hub_order().model_copy(update={"created_time": "03/04/2026"})
    octets, summary = exported(
        [Stored(order)], custom_profile("erp", 'rows = "order"\n' + column(field="created_time", date="%Y"))
    )
    assert b"03/04/2026" in octets and len(summary.notes) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = ", "the declaration is no TOML"),
        ("", "the file, column: no columns are declared"),
        ("column = 3", "the file, column: no columns are declared"),
        ('seperator = ";"', "the file: unknown key 'seperator'; known are delimiter, encoding"),
        ('delimiter = "x"', "the file, delimiter: 'x' is none of ',', ';', 'tab'"),
        ("encoding = 8", "the file, encoding: 8 is none of 'utf-8', 'utf-8-bom', 'windows-1252'"),
        ('rows = "each"', "the file, rows: 'each' is none of 'line', 'order'"),
        ('guard = "yes"', "the file, guard: 'yes' is none of 'none', 'formulas', 'spreadsheet'"),
        ('[[column]]\nfield = "sku"', r"\[\[column\]\] 1, name: missing"),
        ('[[column]]\nname = "A"', r"\[\[column\]\] 1 \('A'\): give either field or constant"),
        (column(constant="x"), "give either field or constant"),
        (column(field="skuu"), r"\[\[column\]\] 1, field: 'skuu' is no column of `standard`"),
        (column(field="discount.name"), "'discount.name' is no column"),
        (column(field="proof.key_id"), "'proof.key_id' is no column"),
        (column() + column(), r"\[\[column\]\] 2, name: 'A' is there twice"),
        (column(case="title"), "case: 'title' is none of 'upper', 'lower'"),
        (column(max_length=0), "max_length: 0 is no whole number from 1 to 32767"),
        (column(decimals=True), "decimals: True is no whole number from 0 to 20"),
        (column(date="%-d"), "date: '%-d' is no form of a date"),
        (column(name="a\tb"), "name: 'a\\\\tb' is no text of 1 to 200 printable characters"),
        (column(colour="red"), r"\[\[column\]\] 1: unknown key 'colour'"),
        ("[[column]]\n" * 1001, "1001 columns; at most 1000"),
        ("#" * 200_001, "200001 characters; at most 200000"),
    ],
)
def test_a_wrong_declaration_is_told_with_table_key_value_and_fix(text: str, told: str) -> None:
    if "column" not in text and told.startswith("the file, ") and "no columns" not in told:
        text += "\n" + column()
    with pytest.raises(ProfileError, match=told):
        custom_profile("erp", text)


@pytest.mark.parametrize("name", ["", "ERP", "a/b", "standard", "x" * 41])
def test_a_profile_of_ones_own_has_a_name_that_a_file_can_have_and_no_other_profile(name: str) -> None:
    with pytest.raises(ProfileError, match="cannot name a profile"):
        custom_profile(name, column())


def test_its_name_is_in_the_name_of_the_file() -> None:
    assert file_name(custom_profile("erp", column()), AT.date(), UTC) == "ion-orders-erp-v1-2026-11-23.csv"


# The command


@pytest.fixture
def ion(tmp_path: Path) -> IonHere:
    return IonHere(tmp_path / "data")


def test_the_command_writes_a_file_of_ones_own_columns(ion: IonHere, tmp_path: Path) -> None:
    (tmp_path / "erp.toml").write_text(DECLARED, encoding="utf-8")
    assert (
        ion.run("export", "--custom", tmp_path / "erp.toml").decode()
        == "\ufeffOrder no.;City;SKU;Placed;Total;Channel\r\n"
    )
    ion.run("export", "--custom", tmp_path / "erp.toml", "--profile", "xlsx", status=2)
    assert "give --profile or --custom, not both" in ion.messages
    (tmp_path / "wrong.toml").write_text(column(case="x"))
    ion.run("export", "--custom", tmp_path / "wrong.toml", "-o", tmp_path / "x.csv", status=2)
    assert "case: 'x' is none of" in ion.messages and not (tmp_path / "x.csv").exists()


def test_the_command_lists_every_profile_and_the_columns_of_one(ion: IonHere) -> None:
    listed = ion.lines("profiles")
    assert [line["profile"] for line in listed] == list(PROFILES)
    assert all(line["for"] and line["columns"] for line in listed)
    columns = ion.lines("profiles", "shipstation")
    assert [line["column"] for line in columns] == listed[list(PROFILES).index("shipstation")]["columns"]
    ion.run("profiles", "shipstations", status=2)


@pytest.mark.parametrize("profile", one_in(3, [one.name for one in PROFILES.values() if one.suffix == "csv"]))
def test_the_command_writes_every_profile(ion: IonHere, tmp_path: Path, profile: str) -> None:
    path = tmp_path / "file.csv"
    ion.run("export", "--profile", profile, "-o", path)
    assert path.stat().st_size > 50
