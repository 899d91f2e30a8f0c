"""Identity: the same octets, the same notification by another path, the same order with other content."""

from typing import Any

import pytest

from ion.inbox import Envelope, receive
from ion.order import Order
from ion.store import Door, Store
from ion.worker import Worker
from tests.orders import KEY, rendered, small_order
from tests.stores import an_address, table_of


def told(order: Order, **header: Any) -> bytes:
    """A sealed mail for the order."""
    return rendered(order, **header).raw


def comes(store: Store, raw: bytes, door: Door = "smtp", merchant: str = "default") -> bool:
    """By a door, as each of them names its recipient; whether it is a new message."""
    address = (an_address(store, merchant),) if door == "smtp" else ()
    fixed = None if door == "smtp" else merchant
    (receipt,) = receive(store, raw, Envelope("a@b.example", address, door, fixed))
    return receipt.created


def read(store: Store) -> list[tuple[str, str | None]]:
    """Read all that waits; the state and reason of every notification, in the order in which they were judged."""
    worker = Worker(store, lambda _: [KEY])
    worker.run_once()
    worker.close()
    assert store.check()["problems"] == []
    return [(state, reason) for state, reason in table_of(store, "SELECT state, reason FROM notification ORDER BY id")]


def changed(order: Order) -> Order:
    return order.model_copy(update={"merchant_order_number": "changed"})


def test_the_same_octets_to_the_same_recipient_are_one_message(store: Store) -> None:
    raw = told(small_order())
    assert [comes(store, raw) for _ in range(3)] == [True, False, False]
    assert read(store) == [("applied", None)]
    assert not comes(store, raw)  # also after it was read
    assert read(store) == [("applied", None)]


@pytest.mark.parametrize("door", ["file", "imap"])
def test_the_same_mail_by_two_doors_is_one_order_with_two_messages(door: Door, store: Store) -> None:
    raw = told(small_order())
    assert comes(store, raw)
    assert comes(store, raw, door)
    assert read(store) == [("applied", None), ("duplicate", "known already")]
    assert [one.order for one in store.orders_for_export()] == [small_order()]
    assert len(table_of(store, "SELECT DISTINCT order_id FROM notification")) == 1
    assert table_of(store, "SELECT count(*) FROM message WHERE state = 'read'") == [(2,)]


def test_the_same_notification_in_another_mail_is_a_duplicate(store: Store) -> None:
    raw = told(small_order())
    comes(store, raw)
    comes(store, b"Received: from somewhere else\r\n" + raw)
    assert read(store) == [("applied", None), ("duplicate", "known already")]


def test_a_changed_order_with_a_later_revision_is_a_revision(store: Store) -> None:
    comes(store, told(small_order(), revision=1))
    read(store)
    comes(store, told(changed(small_order()), revision=2))
    assert read(store)[1] == ("applied", None)
    (order,) = store.orders_for_export()
    assert (order.order, order.revision) == (changed(small_order()), 2)
    assert table_of(store, "SELECT revision FROM order_revision ORDER BY 1") == [(1,), (2,)]


def test_a_changed_order_with_the_same_revision_is_a_conflict_for_a_person(store: Store) -> None:
    comes(store, told(small_order(), revision=1))
    read(store)
    comes(store, told(changed(small_order()), revision=1))
    assert read(store)[1] == ("review", "revision 1 is known with other content")
    assert [one.order for one in store.orders_for_export()] == [small_order()]


def test_an_old_sealed_notification_replayed_is_superseded(store: Store) -> None:
    old = told(small_order(), revision=1)
    for raw in (old, told(changed(small_order()), revision=2)):
        comes(store, raw)
        read(store)
    comes(store, b"X-Replayed: yes\r\n" + old)
    assert read(store)[2] == ("superseded", "revision 2 is known")
    assert [one.order for one in store.orders_for_export()] == [changed(small_order())]


def test_a_message_id_alone_is_no_key(store: Store) -> None:
    """Two orders under one Message-ID are two; one order under two Message-IDs, or under none, is one."""
    first, second = told(small_order()), told(small_order().model_copy(update={"order_number": "other"}))
    (its_id,) = [line for line in first.split(b"\r\n") if line.lower().startswith(b"message-id:")]
    (other_id,) = [line for line in second.split(b"\r\n") if line.lower().startswith(b"message-id:")]
    assert its_id != other_id
    forged = b"Subject: nothing\r\n" + its_id + b"\r\n\r\nahead of the real mail\r\n"
    for raw in (forged, first, second.replace(other_id, its_id)):
        assert comes(store, raw)
    assert read(store) == [("applied", None), ("applied", None)]
    for raw in (first.replace(its_id, other_id), first.replace(its_id + b"\r\n", b"")):
        assert comes(store, raw)
    assert read(store)[2:] == [("duplicate", "known already")] * 2
    assert len(list(store.orders_for_export())) == 2


def test_the_same_order_number_at_two_merchants_is_two_orders(store: Store) -> None:
    store.create_merchant("shop", domain="x.example")
    raw = told(small_order())
    assert comes(store, raw)
    assert comes(store, raw, merchant="shop")
    assert read(store) == [("applied", None), ("applied", None)]
    assert {one.merchant for one in store.orders_for_export()} == {"default", "shop"}


def test_copies_read_at_the_same_time_are_one_order(store: Store) -> None:
    """One group of judgements: the first applies, the others find it there."""
    raw = told(small_order())
    for number in range(20):
        comes(store, f"X-Copy: {number}\r\n".encode() + raw)
    assert sorted(read(store)) == [("applied", None)] + [("duplicate", "known already")] * 19
    assert len(list(store.orders_for_export())) == 1
