"""Members that are null in every documented sample have a type all the same: given a value, they arrive."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ion.errors import PayloadError
from ion.order import LEFT_OUT, Order
from ion.payloads import read_payload
from tests.test_payloads import Steps, Tree, leaves, left_out, pattern, tree, with_leaf
from tests.thinning import one_in

DOCUMENTED = Path(__file__).parent / "payloads"
NAMES = ("global-e-send-order-1", "global-e-send-order-2", "global-e-create-order-response")
NULLS = [
    (name, steps)
    for name in NAMES
    for steps, leaf in leaves(tree(DOCUMENTED / f"{name}.json"))
    if leaf is None and not left_out(steps)
]


def order_of(payload: Tree) -> Order:
    return read_payload(json.dumps(payload, default=float)).order


@pytest.mark.parametrize("null", one_in(3, NULLS), ids=[f"{name}:{pattern(steps)}" for name, steps in NULLS])
def test_a_member_that_is_null_in_the_sample_arrives_when_it_has_a_value(null: tuple[str, Steps]) -> None:
    name, steps = null
    payload = tree(DOCUMENTED / f"{name}.json")
    before = order_of(payload)
    some_object = {"k": "v", "Address1": "x", "OwnerName": "x", "OrderId": "x", "Name": "x"}
    values: tuple[Any, ...] = ("7", Decimal("7.5"), True, [{"k": "v"}], some_object, "SE", "SEK")
    for value in values:
        try:
            if order_of(with_leaf(payload, steps, value)) != before:
                return
        except PayloadError:
            continue
    pytest.fail(f"{pattern(steps)} never arrives")


def test_card_data_is_left_out_and_every_reason_is_a_sentence() -> None:
    assert {"PaymentDetails.CardNumber", "PaymentDetails.CVVNumber", "PaymentDetails.ExpirationDate"} <= LEFT_OUT.keys()
    assert all(len(reason) > 10 for reason in LEFT_OUT.values())
