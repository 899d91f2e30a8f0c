"""The payload readers' rules, one by one: whose block is whose, what is joined, what is refused, what adds up.

Every leaf of every documented and shipped payload is changed here, too: the order changes, or reading is refused, or
the leaf is left out with a reason.
"""

import copy
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ion.errors import NotAnOrderError, PayloadError
from ion.order import LEFT_OUT, Address, Money, Order, Pair
from ion.payloads import Reading, read_payload, read_payloads
from ion.payloads.countries import country_code
from ion.payloads.tolerant import load
from tests.thinning import one_in

DOCUMENTED = Path(__file__).parent / "payloads"
SHIPPED = Path(__file__).parents[1] / "ion" / "samples"
PAYMENT = SHIPPED / "global-e-hub-order-payment.json"
HUB_ORDER = SHIPPED / "global-e-hub-order.json"
ORDERS = sorted(
    path
    for path in (*SHIPPED.glob("*.json"), *DOCUMENTED.glob("*.json"))
    if not re.search("payment|refund|return", path.stem)
)
Tree = dict[str, Any]
Steps = tuple[str | int, ...]


def tree(path: Path) -> Tree:
    return load(path.read_bytes())[0]


def hub_order() -> Tree:
    """A Global-e order: Primary is the customer, Secondary the platform."""
    return tree(HUB_ORDER)


def zonos_order() -> Tree:
    order: Tree = tree(SHIPPED / "zonos-approved-order.json")["order"]
    return order


def dumped(value: Any) -> str:
    """JSON text with every digit of a Decimal."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{dumped(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dumped(inner) for inner in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def reading(value: Any, customer: Literal["primary", "secondary"] | None = None) -> Reading:
    return read_payload(dumped(value), customer=customer)


def order_of(value: Any) -> Order:
    return reading(value).order


def refusal(value: Any) -> PayloadError:
    with pytest.raises(PayloadError) as refused:
        reading(value)
    return refused.value


def together(*values: Any) -> list[Any]:
    return read_payloads([(f"{place}.json", dumped(value)) for place, value in enumerate(values)])


def leaves(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*steps, step))
    else:
        yield steps, value


def with_leaf(value: Tree, steps: Steps, leaf: Any) -> Tree:
    changed: Any = copy.deepcopy(value)
    inner = changed
    for step in steps[:-1]:
        inner = inner[step]
    inner[steps[-1]] = leaf
    assert isinstance(changed, dict)
    return changed


def pattern(steps: Steps) -> str:
    """The path as LEFT_OUT writes it."""
    path = ""
    for step in steps:
        path += "[]" if isinstance(step, int) else f".{step}" if path else step
    path = re.sub(r"^(Primary|Secondary)(Shipping|Billing)\.", "<Address>.", path)
    return path.removeprefix("order.")


def left_out(steps: Steps) -> bool:
    path = pattern(steps)
    return any(path == row or (row.endswith(".*") and path.startswith(row[:-1])) for row in LEFT_OUT)


def changed(leaf: Any) -> list[Any]:
    """Other values of the leaf's type: a letter more, another digit, another letter, the other flag, one more."""
    if isinstance(leaf, bool):
        return [not leaf]
    if isinstance(leaf, int | Decimal):
        return [leaf + 1, -leaf] if leaf else [leaf + 1]
    values = [f"{leaf}x"]
    digit = re.search(r"\d", leaf)
    if digit:
        values.append(leaf[: digit.start()] + str((int(digit[0]) + 1) % 10) + leaf[digit.end() :])
    letter = re.search("[A-Za-z]", leaf)
    if letter:
        values.append(leaf[: letter.start()] + ("q" if letter[0] not in "qQ" else "z") + leaf[letter.end() :])
    return values


# --- every leaf ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", one_in(3, ORDERS), ids=lambda path: path.stem)
@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.long)])
def test_no_leaf_can_change_without_the_order(path: Path, everywhere: bool) -> None:
    """In the usual suite the first of the members of a list that are alike is changed, each leaf in one way."""
    payload = tree(path)
    before = order_of(payload)
    silent = []
    seen = set()
    for steps, leaf in leaves(payload):
        alike = tuple("[]" if isinstance(step, int) else step for step in steps)
        if leaf is None or left_out(steps) or (alike in seen and not everywhere):
            continue
        seen.add(alike)
        ways = changed(leaf)
        for value in ways if everywhere else [ways[len(seen) % len(ways)]]:
            try:
                if order_of(with_leaf(payload, steps, value)) == before:
                    silent.append((pattern(steps), leaf, value))
            except PayloadError:
                continue
    assert silent == []


def test_a_payments_every_leaf_reaches_the_order_it_is_joined_to() -> None:
    # The fuller of the two documented payments, with the least order beside it.
    payment = tree(DOCUMENTED / "global-e-payment-2.json")
    order = {
        "OrderId": payment["OrderId"],
        "Customer": {"IsEndCustomerPrimary": True},
        "Products": [{"Sku": "A", "Quantity": 1}],
        "PrimaryShipping": {"FirstName": "FirstName", "LastName": "LastName"},
    }

    def joined(changed: Tree) -> tuple[Order, tuple[str, ...]]:
        first, second = together(order, changed)
        assert first.reading and second.joined_to == "0.json"
        return first.reading.order, first.reading.warnings

    before = joined(payment)
    assert before[0].payment_holder.name == "Global-e US Inc."
    assert before[0].payer.first_name == "Global-e"
    assert before[0].payment_parts[0].paid == Money(amount=Decimal("235.74993308058803207162312511"))
    silent = []
    for steps, leaf in leaves(payment):
        if leaf is None or leaf is False or left_out(steps) or steps == ("OrderId",):
            continue
        for value in changed(leaf):
            try:
                if joined(with_leaf(payment, steps, value)) == before:
                    silent.append((pattern(steps), leaf, value))
            except (PayloadError, AssertionError):
                continue
    assert silent == []


# --- customer or hub -------------------------------------------------------------------------------------------------


def test_flag_and_content_that_agree_decide_in_both_directions() -> None:
    order = order_of(hub_order())
    assert (order.delivery.first_name, order.billing.first_name) == ("Jenny", "Jenny")
    assert (order.hub.first_name, order.payer.last_name) == ("GlobalE", "UK Limited")
    assert order.ships_to_hub
    other = order_of(tree(SHIPPED / "global-e-documents-awaited.json"))
    assert (other.delivery.first_name, other.hub.first_name) == ("Jean-Noël", "GlobalE")


def test_the_hubs_lines_stay_lines() -> None:
    assert order_of(hub_order()).hub.address2 == "East Midlands Airport\nGE410001GB"


@pytest.mark.parametrize("name", ["GlobalE", "Global-e", "Global E", "globale", "Global-e US Inc."])
def test_without_a_flag_the_platforms_own_name_decides(name: str) -> None:
    order = hub_order()
    del order["Customer"]["IsEndCustomerPrimary"]
    order["SecondaryShipping"]["FirstName"] = order["SecondaryBilling"]["FirstName"] = name
    assert order_of(order).delivery.first_name == "Jenny"


@pytest.mark.parametrize("name", ["Globalex", "Global", "Globaler", "Eglobale"])
def test_names_that_only_begin_alike_are_not_the_platforms(name: str) -> None:
    order = hub_order()
    for block in ("SecondaryShipping", "SecondaryBilling"):
        order[block] |= {"FirstName": name, "Company": None}
    del order["Customer"]["IsEndCustomerPrimary"]
    assert "nothing says which block" in str(refusal(order))


def test_a_contradiction_is_refused_naming_both_sides_and_no_address() -> None:
    order = hub_order()
    order["Customer"]["IsEndCustomerPrimary"] = False
    error = refusal(order)
    assert error.field == "Customer.IsEndCustomerPrimary"
    for told in (
        "PrimaryShipping",
        "Jenny / US",
        "SecondaryShipping",
        "GlobalE / GB",
        "--customer primary or --customer",
    ):
        assert told in str(error)
    for kept_back in ("111th", "Example Road", "jenny%40", "2125550123"):
        assert kept_back not in str(error)


def test_a_person_overrides_flag_and_content_with_a_warning() -> None:
    order = hub_order()
    assert not reading(order, customer="primary").warnings
    told = reading(order, customer="secondary")
    assert told.order.delivery.first_name == "GlobalE"
    assert "as told; IsEndCustomerPrimary and the content would say otherwise" in told.warnings[0]


def test_a_company_alone_is_weak_evidence() -> None:
    order = hub_order()
    order["PrimaryBilling"]["Company"] = "GlobalE"  # documented: the platform's company on the customer's bill
    assert order_of(order).billing.company == "GlobalE"
    for block in ("SecondaryShipping", "SecondaryBilling"):
        order[block] |= {"FirstName": "CEVA", "Company": "GlobalE"}
    order["PrimaryBilling"]["Company"] = None
    del order["Customer"]["IsEndCustomerPrimary"]
    found = reading(order)
    assert found.order.delivery.first_name == "Jenny"
    assert any("only a company name" in warning for warning in found.warnings)
    order["Customer"]["IsEndCustomerPrimary"] = False  # a company never contradicts the flag
    assert order_of(order).delivery.first_name == "CEVA"


def test_a_flag_for_the_empty_side_beside_a_person_is_refused() -> None:
    order = hub_order()
    del order["SecondaryShipping"], order["SecondaryBilling"]
    assert order_of(order).delivery.first_name == "Jenny"
    assert not order_of(order).ships_to_hub
    order["Customer"]["IsEndCustomerPrimary"] = False
    assert "--customer primary" in str(refusal(order))


def test_blocks_that_are_null_stay_empty() -> None:
    order = order_of(tree(SHIPPED / "global-e-replacement-encrypted.json"))
    assert order.billing == order.payer == Address()


# --- decoding --------------------------------------------------------------------------------------------------------


def test_the_customers_texts_are_decoded_and_the_platforms_are_not() -> None:
    order = hub_order()
    order["PrimaryShipping"] |= {"City": "S%c3%a3o+Paulo", "CountryName": "United+States"}
    order["SecondaryShipping"] |= {"Phone1": "+441632960818", "City": "A+B%20C"}
    read = order_of(order)
    assert (read.delivery.city, read.delivery.country_stated) == ("São Paulo", ())
    assert (read.hub.phone, read.hub.city) == ("+441632960818", "A+B%20C")


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("100%25+wool", "100% wool"),
        ("50% of A+B", "50% of A+B"),
        ("a%40b@c.example", "a%40b@c.example"),
        ("J%c3%bcrgen", "Jürgen"),
        ("a\ud800b%40", "a\ufffd\ufffd\ufffdb@"),
    ],
)
def test_a_text_with_a_blank_or_an_at_sign_has_not_been_encoded(stated: str, kept: str) -> None:
    order = hub_order()
    order["PrimaryShipping"]["Company"] = stated
    assert order_of(order).delivery.company == kept


def test_percent_signs_that_are_no_utf_8_stay_and_are_told() -> None:
    order = hub_order()
    order["PrimaryShipping"]["City"] = "M%fcnchen"
    found = reading(order)
    assert found.order.delivery.city == "M%fcnchen"
    assert any("PrimaryShipping.City" in warning for warning in found.warnings)


@pytest.mark.parametrize(("stated", "kept"), [("+12125550123", "+12125550123"), ("%2b1212+555", "+1212 555")])
def test_a_customers_phone_keeps_its_plus_encoded_or_not(stated: str, kept: str) -> None:
    order = hub_order()
    order["PrimaryShipping"]["Phone1"] = stated
    assert order_of(order).delivery.phone == kept


def test_local_script_addresses_stand_beside_the_latin_ones() -> None:
    order = order_of(tree(SHIPPED / "global-e-japan-local-address.json"))
    assert (order.delivery.first_name, order.delivery.local_first_name) == ("Hanako", "花子")
    assert (order.delivery_local.city, order.delivery_local.country) == ("千代田区", "JP")


def test_ciphertext_is_kept_and_forbids_shipping() -> None:
    order = order_of(tree(SHIPPED / "global-e-replacement-encrypted.json"))
    assert order.personal_data_encrypted
    assert "encrypted" in order.do_not_ship
    assert order.delivery.first_name is not None and order.delivery.first_name.endswith("==")


# --- countries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ("us", "US"),
        ("USA", "US"),
        ("United States of America", "US"),
        ("Korea, Republic of", "KR"),
        ("Czech Republic", "CZ"),
        ("Czechia", "CZ"),
        ("Russia", "RU"),
        ("Viet Nam", "VN"),
        ("Macau", "MO"),
        ("UK", "GB"),
        ("Great Britain", "GB"),
        ("Côte d’Ivoire", "CI"),
        ("St. Lucia", "LC"),
        ("Kosovo", "XK"),
        ("XK", "XK"),
        ("Congo, Democratic Republic of the", "CD"),
        ("Neverland", None),
        ("XX", None),
        ("", None),
    ],
)
def test_countries_are_known_by_codes_and_usual_names(stated: str, code: str | None) -> None:
    assert country_code(stated) == code


def test_an_unknown_code_gives_way_to_a_known_name_and_is_kept() -> None:
    order = hub_order()
    order["SecondaryShipping"] |= {"CountryCode": "QQ", "CountryCode3": None}
    found = reading(order)
    assert (found.order.hub.country, found.order.hub.country_stated) == ("GB", ("QQ",))
    assert any("SecondaryShipping.CountryCode" in warning for warning in found.warnings)
    order["SecondaryShipping"]["CountryName"] = "Neverland"
    assert refusal(order).field == "SecondaryShipping.CountryCode"


def test_without_a_code_the_name_gives_it_and_an_unknown_name_is_kept() -> None:
    order = hub_order()
    order["SecondaryShipping"] |= {"CountryCode": None, "CountryCode3": None}
    assert order_of(order).hub.country == "GB"
    order["SecondaryShipping"]["CountryName"] = "Neverland"
    found = reading(order)
    assert (found.order.hub.country, found.order.hub.country_stated) == (None, ("Neverland",))
    assert found.warnings


@pytest.mark.parametrize("territory", ["PR", "VI"])
def test_territories_given_as_countries_are_states_of_the_us_and_said_so(territory: str) -> None:
    order = zonos_order() | {"countryCode": territory, "state": "San Juan"}
    delivery = order_of(order).delivery
    assert (delivery.country, delivery.state_code, delivery.country_stated) == ("US", territory, (territory,))
    assert delivery.state == "San Juan"


# --- joining ---------------------------------------------------------------------------------------------------------


def test_a_payment_approves_its_order_wherever_it_stands_and_has_no_reading_of_its_own() -> None:
    order, payment = hub_order(), tree(PAYMENT)
    payment["OrderId"] = f" {payment['OrderId']} "  # documented: an OrderId with a blank before it
    for values, place in (((order, payment), 0), ((payment, order), 1)):
        results = together(*values)
        joined, paid = results[place], results[1 - place]
        assert joined.reading is not None and joined.reading.approved and joined.error is None
        assert (paid.reading, paid.error, paid.joined_to) == (None, None, f"{place}.json")
        read = joined.reading.order
        assert read.payment_holder.name == "Global-e UK Ltd."
        assert read.payment.platform_method_code == "OT"
        assert [part.method_name for part in read.payment_parts] == ["Visa"]
        assert str(read.payment_parts[0].paid and read.payment_parts[0].paid.amount) == "33.342857142857142857142857142"


def test_a_payment_for_another_order_says_so_and_stops_nobody() -> None:
    order, payment = hub_order(), tree(PAYMENT) | {"OrderId": "GE999999GB"}
    first, second = together(order, payment)
    assert first.reading is not None and not first.reading.approved
    assert isinstance(second.error, NotAnOrderError)
    assert "approves order GE999999GB" in str(second.error)


def test_where_order_and_payment_differ_the_orders_value_stays_and_both_are_told() -> None:
    payment = tree(PAYMENT) | {
        "WebStoreInstanceCode": "other",
        "InternationalDetails": {"TotalPrice": Decimal("39.00")},
    }
    (joined, _) = together(hub_order(), payment)
    assert joined.reading.order.totals.total_customer == Money(amount=Decimal(38), currency="USD")
    (warning,) = joined.reading.warnings
    assert 'order "GlobalEDefaultStoreInstance", payment "other"' in warning
    assert "order 38.0000, payment 39.00" in warning


def test_personal_data_that_differs_is_named_without_its_value() -> None:
    payment = tree(PAYMENT) | {"PrimaryShipping": hub_order()["PrimaryShipping"] | {"Address1": "Elsewhere+9"}}
    (joined, _) = together(hub_order(), payment)
    assert joined.reading.order.delivery.address1 == "12 E 111th St"
    (warning,) = joined.reading.warnings
    assert "PrimaryShipping.Address1" in warning and "Elsewhere" not in warning


def test_a_payments_blocks_of_another_party_are_never_mixed_in() -> None:
    order = hub_order()
    payment = tree(PAYMENT) | {
        "Customer": {"IsEndCustomerPrimary": False},
        "PrimaryShipping": order["SecondaryShipping"] | {"MiddleName": "X"},
        "SecondaryShipping": order["PrimaryShipping"] | {"MiddleName": "X"},
    }
    (joined, _) = together(order, payment)
    assert joined.reading.order.delivery == order_of(order).delivery
    assert joined.reading.order.hub == order_of(order).hub
    assert "another party" in joined.reading.warnings[0]


def test_a_payment_of_a_refused_order_is_joined_to_it_all_the_same() -> None:
    first, second = together(hub_order() | {"Products": [{"Sku": "A", "Quantity": 0}]}, tree(PAYMENT))
    assert isinstance(first.error, PayloadError)
    assert second.joined_to == "0.json"


def test_products_make_an_order_even_with_payment_details() -> None:
    read = reading(hub_order() | {"PaymentDetails": tree(PAYMENT)["PaymentDetails"]})
    assert read.order.payment_holder.city == "London"
    assert not read.approved


def test_one_result_per_input_in_input_order() -> None:
    names = ["a", "b", "c", "d"]
    texts: list[str | bytes] = ["{", dumped(hub_order()), b"\xff", dumped(zonos_order())]
    results = read_payloads(list(zip(names, texts, strict=True)))
    assert [result.name for result in results] == names
    assert [result.reading is not None for result in results] == [False, True, False, True]
    assert all((result.reading is None) != (result.error is None) for result in results)


# --- what is no order ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"OrderId": "GE1", "StatusCode": "canceled", "MerchantGUID": "x"}, "status update"),
        ({"OrderId": "GE1", "InternationalDetails": {"OrderTrackingNumber": "1"}, "MerchantGUID": "x"}, "shipping"),
        ({"OrderId": "GE1", "RMANumber": "2", "ReturnedProducts": [{"SKU": "a"}], "MerchantGUID": "x"}, "return"),
        ({"MerchantCartToken": "x", "Products": [{"ProductCode": "a"}]}, "cart"),
        ({"orderReplacement": {}, "MerchantGUID": "x"}, "replacement"),
        ({"orders": [{"id": "1"}]}, "list of order numbers"),
    ],
)
def test_other_calls_are_named_for_what_they_are(payload: Tree, told: str) -> None:
    error = refusal(payload)
    assert isinstance(error, NotAnOrderError)
    assert told in str(error)


def test_a_documented_refund_is_no_order() -> None:
    with pytest.raises(NotAnOrderError, match="refund"):
        read_payload((DOCUMENTED / "global-e-refund.json").read_bytes())


@pytest.mark.parametrize(
    "payload", [{}, {"hello": 1}, {"order": None}, {"order": []}, {"order": {}}, {"order": {"x": 1}}]
)
def test_an_object_of_no_platform_is_refused(payload: Tree) -> None:
    refusal(payload)


@pytest.mark.parametrize(
    ("steps", "leaf", "field"),
    [
        (("OrderId",), None, "OrderId"),
        (("Products",), [], "Products"),
        (("Products",), "x", "Products"),
        (("Products", 0), 5, "Products[0]"),
        (("Products", 0, "Quantity"), None, "Products[0].Quantity"),
        (("Products", 0, "Quantity"), -1, "Products[0].Quantity"),
        (("Products", 0, "Price"), "12,50", "Products[0].Price"),
        (("Products", 0, "Price"), True, "Products[0].Price"),
        (("Products", 0, "Price"), "1_000", "Products[0].Price"),
        (("Products", 0, "IsBackOrdered"), "maybe", "Products[0].IsBackOrdered"),
        (("Products", 0, "Sku"), {"a": 1}, "Products[0].Sku"),
        (("CurrencyCode",), "POUND", "CurrencyCode"),
        (("InternationalDetails",), [1], "InternationalDetails"),
        (("InternationalDetails", "TotalPrice"), "38 USD", "InternationalDetails.TotalPrice"),
        (("PrimaryShipping", "CountryCode"), "XQ", "PrimaryShipping.CountryCode"),
        (("CustomerComments",), "x" * 20_001, "CustomerComments"),
        (("RoundingRate",), Decimal("1e-80"), "RoundingRate"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(steps: Steps, leaf: Any, field: str) -> None:
    order = hub_order()
    order["PrimaryShipping"] |= {"CountryCode3": None, "CountryName": None}
    error = refusal(with_leaf(order, steps, leaf))
    assert error.field == field
    assert "expected" in str(error) or "at most" in str(error)


def test_types_drift_and_are_read() -> None:
    order = hub_order()
    order["Products"][0] |= {
        "CartItemId": 12365,
        "Quantity": "2.0",
        "Price": " 30.71 ",
        "IsFixedPrice": "true",
        "VATRate": 18,
    }
    line = order_of(order).lines[0]
    assert (line.line_id, line.quantity, line.fixed_price, line.vat_rate) == ("12365", Decimal(2), True, Decimal(18))
    assert line.unit_price == Money(amount=Decimal("30.71"), currency="GBP")


# --- card data -------------------------------------------------------------------------------------------------------


def test_more_than_four_digits_of_a_card_are_refused_wherever_they_stand() -> None:
    number = "4111 1111 1111 1111"
    for order in (
        with_leaf(hub_order(), ("InternationalDetails", "CardNumberLastFourDigits"), number),
        hub_order() | {"Subs": [{"InternationalDetails": {"CardNumberLastFourDigits": number}}]},
    ):
        error = refusal(order)
        assert "CardNumberLastFourDigits" in str(error)
        assert "4111" not in str(error)


def test_card_data_and_secrets_stay_out_of_order_and_warnings() -> None:
    order = hub_order() | {
        "PaymentDetails": tree(PAYMENT)["PaymentDetails"] | {"CardNumber": "4111111111111111", "CVVNumber": "737"},
        "Subs": [{"OrderId": "S1", "PaymentDetails": {"CardNumber": "4222222222222222", "CVVNumber": "737"}}],
        "MerchantGUID": "secret-guid",
    }
    found = reading(order)
    said = dumped(found.order.to_json()) + "".join(found.warnings) + found.approval_hint
    for secret in ("4111", "4222", "737", "secret-guid", "2040-09-22"):
        assert secret not in said
    assert found.merchant_id == "secret-guid"
    assert Pair(name="Subs[0].OrderId", value="S1") in found.order.other


# --- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "pairs"),
    [
        ([{"AttributeKey": "color", "AttributeValue": "GREY"}], [("color", "GREY")]),
        (
            [{"AttributeCode": 869, "Name": "M", "AttributeTypeCode": "size"}],
            [("869", "M"), ("869.AttributeTypeCode", "size")],
        ),
        ({"color": "red", "size": {"eu": 42}}, [("color", "red"), ("size.eu", "42")]),
        (["red", None, "42"], [(None, "red"), (None, "42")]),
        ("red", [(None, "red")]),
        ([{"AttributeKey": "engraving", "AttributeValue": None}], [("engraving", None)]),
        ([{"AttributeKey": "a", "AttributeValue": {"b": 1}}], [("a", None), ("a.AttributeValue.b", "1")]),
        ([], []),
    ],
)
def test_attributes_are_read_in_every_shape(attributes: Any, pairs: list[tuple[str | None, str | None]]) -> None:
    for key in ("Attributes", "ProductAttributes"):
        order = with_leaf(hub_order(), ("Products", 0, key), attributes)
        assert [(pair.name, pair.value) for pair in order_of(order).lines[0].attributes] == pairs


def test_objects_without_a_documented_shape_become_pairs_of_path_and_text() -> None:
    order = order_of(
        hub_order() | {"GiftCards": [{"Id": 7, "Used": Decimal("1.50"), "On": False}], "Parcels": ["a", "b"]}
    )
    assert [(pair.name, pair.value) for pair in order.other] == [
        ("GiftCards[0].Id", "7"),
        ("GiftCards[0].Used", "1.50"),
        ("GiftCards[0].On", "false"),
        ("Parcels[0]", "a"),
        ("Parcels[1]", "b"),
    ]


def test_two_keys_for_one_field_lose_neither_value() -> None:
    line = order_of(
        with_leaf(with_leaf(hub_order(), ("Products", 0, "GenericHSCode"), "1"), ("Products", 0, "HSCode"), "2")
    )
    assert (line.lines[0].hs_code, [pair.value for pair in line.lines[0].other]) == ("1", ["2"])


def test_unknown_keys_are_one_warning_with_their_paths_and_without_values() -> None:
    order = hub_order() | {"New": {"A": [{"B": "private"}]}, "Empty": None}
    order["Products"][0]["Shiny"] = "private"
    found = reading(order)
    assert found.order == order_of(hub_order())
    assert found.warnings == ("keys that are not documented, not in the order: Products[].Shiny, New.A[].B",)


def test_a_key_with_a_blank_is_the_key() -> None:
    order = hub_order()
    order["InternationalDetails"][" OrderTrackingUrl"] = order["InternationalDetails"].pop("OrderTrackingUrl")
    found = reading(order)
    assert found.order == order_of(hub_order())
    assert "blanks around 1 key(s)" in found.warnings[0]


# --- zonos -----------------------------------------------------------------------------------------------------------


def test_an_order_is_read_wrapped_and_bare() -> None:
    assert order_of(zonos_order()) == order_of({"order": zonos_order()})


def test_the_platforms_error_is_quoted() -> None:
    text = "Could not find an order with orderId: 999-99999"
    assert text in str(refusal({"error": text}))


@pytest.mark.parametrize("name", ["Aoife", "Maria Fernanda da Silva", "נועה ישראלי־לדוגמה"])
def test_a_name_in_one_text_stays_whole(name: str) -> None:
    assert order_of(zonos_order() | {"name": name}).delivery.full_name == name


def test_what_the_payload_does_not_state_is_not_copied_from_elsewhere() -> None:
    order = {key: value for key, value in zonos_order().items() if not key.startswith("billing")}
    read = order_of(order | {"city": "", "zip": [], "state": "Ontario"})
    assert (read.delivery.city, read.delivery.postal_code, read.delivery.state) == (None, None, "Ontario")
    assert read.billing == Address()


def test_only_notes_for_the_customer_are_for_the_merchant() -> None:
    notes = [{"note": "yes", "customerNote": "true"}, {"note": "no"}, {"note": "no", "customerNote": False}]
    assert order_of(zonos_order() | {"notes": notes}).notes == ("yes",)


def test_a_negative_item_without_a_product_is_a_discount_with_all_it_says() -> None:
    order = order_of(tree(SHIPPED / "zonos-negative-item-discount.json"))
    (discount,) = order.discounts
    assert (discount.name, discount.code, discount.quantity) == ("Loyal customer 15 %", "LOYAL15", Decimal(1))
    assert discount.amount_customer == Money(amount=Decimal("20.91"))
    assert len(order.lines) == 2
    item = {"description": "Off", "quantity": 1, "unitPrice": -1, "status": "X", "weight": 2, "nonShippable": False}
    (discount,) = order_of({**zonos_order(), "items": [*zonos_order()["items"], item]}).discounts
    assert [(pair.name, pair.value) for pair in discount.other] == [("status", "X"), ("weight", "2")]


def test_variants_of_one_product_stay_apart() -> None:
    items = [{"productId": "1", "sku": sku, "quantity": 1, "unitPrice": 5} for sku in ("A", "B")]
    assert [line.sku for line in order_of(zonos_order() | {"items": items}).lines] == ["A", "B"]


def test_amounts_have_no_currency_unless_the_payload_names_one() -> None:
    assert order_of(zonos_order()).totals.total_customer == Money(amount=Decimal("122.05"))
    named = order_of(zonos_order() | {"currencyCode": "usd"})
    assert named.totals.total_customer == Money(amount=Decimal("122.05"), currency="USD")
    assert (named.totals.merchant_currency, named.totals.customer_currency) == ("USD", "EUR")


@pytest.mark.parametrize("status", ["IGLOBAL_ORDER_CANCELED", "IGLOBAL_ORDER_CANCELLED"])
def test_both_spellings_of_cancelled_are_said_to_be_cancelled(status: str) -> None:
    found = reading(zonos_order() | {"orderStatus": status})
    assert not found.approved
    assert f"{status} (cancelled)" in found.approval_hint


@pytest.mark.parametrize("status", ["IGLOBAL_FRAUD_REVIEW", "VENDOR_SHIPMENT_READY", "SOMETHING_NEW", None])
def test_only_one_status_is_approved_and_the_hint_names_it(status: str | None) -> None:
    found = reading(zonos_order() | {"orderStatus": status})
    assert (found.approved, found.status) == (False, status)
    assert "IGLOBAL_ORDER_IN_PROCESS" in found.approval_hint and "--approved" in found.approval_hint
    assert (status or "no status") in found.approval_hint


# --- sums ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ORDERS, ids=lambda path: path.stem)
def test_the_money_identity_holds_on_every_sample_but_the_one_named_for_it(path: Path) -> None:
    told = [warning for warning in reading(tree(path)).warnings if "add up" in warning]
    assert bool(told) == (path.stem == "global-e-total-differs")
    if told:
        assert told == ["the parts of the order add up to 77.37 CAD, InternationalDetails.TotalPrice says 77.40 CAD"]


@pytest.mark.parametrize(("off", "warned"), [("0.00", 0), ("0.004", 0), ("0.01", 1), ("-0.01", 1)])
def test_a_cent_is_a_difference_and_less_is_not(off: str, warned: int) -> None:
    order = hub_order()
    order["InternationalDetails"]["TotalPrice"] += Decimal(off)
    assert len(reading(order).warnings) == warned


@pytest.mark.parametrize("key", ["itemsTotal", "grandTotal", "shippingTotal"])
def test_a_zonos_sum_that_differs_is_told_with_both_sums(key: str) -> None:
    order = zonos_order()
    order[key] += 1
    warnings = reading(order).warnings
    assert warnings and all("add up to" in warning and "says" in warning for warning in warnings)


# --- anything --------------------------------------------------------------------------------------------------------

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["", "N/A", "undefined", "%ff", "+", "\ud800", "1e999", "-0", "US", "4111111111111111", [], {}])
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["AttributeKey", "Name", "Address", "CardNumber", "Price", "note"]) | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
PLACES = [
    (path, steps[:cut])
    for path in (HUB_ORDER, DOCUMENTED / "global-e-create-order-response.json", DOCUMENTED / "zonos-order-detail.json")
    for steps, _ in leaves(tree(path))
    for cut in range(1, len(steps) + 1)
]


@given(st.sampled_from(PLACES), anything)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_anything_anywhere_gives_an_order_or_a_payload_error(place: tuple[Path, Steps], value: Any) -> None:
    path, steps = place
    try:
        found = reading(with_leaf(tree(path), steps, value))
    except PayloadError as error:
        str(error).encode()
    else:
        assert Order.model_validate(found.order.to_json()) == found.order
        "".join(found.warnings).encode()


@given(st.sampled_from(PLACES), anything)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_payment_with_anything_in_it_stops_nothing(place: tuple[Path, Steps], value: Any) -> None:
    path, steps = place
    strange = with_leaf(tree(path), steps, value) if "zonos" not in path.stem else {"PaymentDetails": value}
    strange |= {"OrderId": "GE410001GB", "Products": [], "PaymentDetails": {"City": "London"}}
    for result in together(hub_order(), strange):
        assert (result.reading is not None) + (result.error is not None) + (result.joined_to is not None) == 1


@given(anything)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_at_all_gives_an_order_or_a_payload_error(value: Any) -> None:
    for document in (value, {"order": value}, {"OrderId": "1", "Products": value}, {"orderId": "1", "items": value}):
        try:
            reading(document)
        except PayloadError as error:
            str(error).encode()
