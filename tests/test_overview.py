"""What staff pages ask of the store besides lists, on both databases."""

from ion.order import Address
from ion.store import LastMail, Store
from tests.orders import small_order
from tests.stores import claimed, judged, received, table_of
from tests.test_entered import an_order, come, enter, publish


def test_what_waits_for_a_person_is_counted_by_its_reason(store: Store) -> None:
    assert store.waiting_counts("default") == {}
    for grade in ("consistent", "review"):
        message = claimed(store)
        store.store_judgement(message.id, message.claim_token, [judged(small_order(), grade)])
    message = claimed(store)
    store.quarantine_message(message.id, message.claim_token, "broken")
    everywhere = {one.kind: one.number for one in (*store.waiting_for_a_person(), *store.unread_mail())}
    assert store.waiting_counts("default") == everywhere
    assert sum(everywhere.values()) == 3


def test_the_last_mail_and_the_countries_are_a_merchants_own(store: Store) -> None:
    store.create_merchant("shoes", domain="mail.example")
    come(store, an_order("GE-1", delivery=Address(country="FR")))
    come(store, an_order("GE-2", delivery=Address()))
    received(store, b"Subject: later\r\n\r\n")
    ((at, door),) = table_of(store, "SELECT received_at, door FROM message ORDER BY id DESC LIMIT 1")
    last = store.last_mail("default")
    assert isinstance(last, LastMail)
    assert last.door == door and str(at)[:19] == last.received_at.isoformat(" ")[:19]
    assert store.last_mail("shoes") is None
    assert (store.order_countries("default"), store.order_countries("shoes")) == (("FR",), ())
    assert (store.has_orders("default"), store.has_orders("shoes")) == (True, False)


def test_an_order_has_changed_since_it_was_exported_and_then_since_it_was_entered(store: Store) -> None:
    first, second, third = (an_order(merchant_order_number=number) for number in ("1", "2", "3"))
    come(store, first)
    assert store.changed_order("default", 1) is None
    publish(store)
    come(store, second, revision=2)
    changed = store.changed_order("default", 1)
    assert changed is not None
    assert (changed.since, changed.previous) == ("exported", first)
    enter(store)
    assert store.changed_order("default", 1) is None
    assert store.changed_since_entered("default") == ()
    come(store, third, revision=3)
    changed = store.changed_order("default", 1)
    assert changed is not None
    assert (changed.since, changed.previous) == ("entered", second)
    assert store.changed_since_entered("default") == ((1, "GE-1"),)
    assert store.changed_order("nobody", 1) is None
    assert store.changed_since_entered("nobody") == ()


def test_the_next_order_to_enter_is_no_test_and_not_entered(store: Store) -> None:
    for number in range(1, 5):
        come(store, an_order(f"GE-{number}", test=number == 3))
    enter(store, "GE-2")
    assert [store.next_to_enter("default", after) for after in (0, 1, 3, 4)] == [1, 4, 4, None]
    assert store.next_to_enter("nobody", 0) is None
