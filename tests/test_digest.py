"""Subscriptions and digests: who is told, how, and that each order in a digest is read exactly."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
import time_machine

from ion.config import Settings, load_settings
from ion.demo.forwarding import CLIENTS, Options
from ion.errors import SettingError, StoreError
from ion.keys import key_ring
from ion.notify.sending import DIGEST_ORDERS, queue_digests, queue_order
from ion.order import Order
from ion.reading import read_message
from ion.sender import digests_due
from ion.store import OutgoingMail, Store
from tests.orders import hub_order, small_order
from tests.stores import sqlite_store as store

__all__ = ["store"]


def queue(store: Store, order: Order, settings: Settings) -> tuple[OutgoingMail, ...]:
    return queue_order(store, order, settings, merchant="default", read_back=read_message).mails


def numbered(number: int) -> Order:
    return small_order().model_copy(update={"order_number": f"D{number}"})


def made_digests(store: Store, settings: Settings) -> list[bytes]:
    queue_digests(store, settings, datetime.now(UTC) + timedelta(seconds=1), read_back=read_message)
    return [mail.raw for mail in store.claim_outgoing(99, 60)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"data_dir": tmp_path})


def test_each_order_in_a_digest_is_read_exactly_and_the_list_names_them(store: Store, settings: Settings) -> None:
    store.subscribe("default", "b@x.example", mode="daily", locale="de")
    orders = [numbered(1), hub_order(), numbered(3), numbered(4)]
    for order in orders:
        assert [mail.state for mail in queue(store, order, settings)] == ["gathered"]
    (raw,) = made_digests(store, settings)
    keys = key_ring(settings).keys_for("default")
    assert [(one.grade, one.order) for one in read_message(raw, keys)] == [("sealed", order) for order in orders]
    digest = message_from_bytes(raw, policy=default)
    assert str(digest["Subject"]).startswith("Bestelldaten · D1, ") and str(digest["Subject"]).endswith("(+1)")
    assert digest["To"] == "b@x.example"
    for kind in ("plain", "html"):
        body = digest.get_body((kind,))
        assert body is not None and all(number in body.get_content() for number in ("D1", "D3", "D4"))
    assert {mail.state for mail in store.list_outgoing()} == {"digested", "queued"}
    assert store.check()["problems"] == []


@pytest.mark.parametrize("client", ["nested", "digest", "gmail", "outlook", "thunderbird"])
def test_a_forwarded_digest_gives_its_orders_or_none_and_never_another(
    client: str, store: Store, settings: Settings
) -> None:
    store.subscribe("default", "b@x.example", mode="daily")
    orders = [numbered(1), hub_order()]
    for order in orders:
        queue(store, order, settings)
    (raw,) = made_digests(store, settings)
    read = read_message(CLIENTS[client](raw, Options(note="Please enter.")), key_ring(settings).keys_for("default"))
    assert all(one.order in orders for one in read if one.grade == "sealed")
    if client in ("nested", "digest"):
        assert [one.order for one in read] == orders


def test_more_orders_than_a_digest_holds_come_in_several(store: Store, settings: Settings) -> None:
    store.subscribe("default", "b@x.example", mode="daily")
    for number in range(DIGEST_ORDERS + 2):
        queue(store, numbered(number), settings)
    keys = key_ring(settings).keys_for("default")
    read = [read_message(raw, keys) for raw in made_digests(store, settings)]
    assert [len(one) for one in read] == [DIGEST_ORDERS, 2]


def test_a_digest_is_made_though_the_merchants_key_was_renewed_since(store: Store, settings: Settings) -> None:
    store.subscribe("default", "b@x.example", mode="daily")
    queue(store, numbered(1), settings)
    key_ring(settings).rotate_key("default")
    (raw,) = made_digests(store, settings)
    assert [one.grade for one in read_message(raw, key_ring(settings).keys_for("default"))] == ["sealed"]


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-26T17:00:00+00:00", "2026-11-26T17:00:00+00:00"),  # 18:00 in Berlin
        ("2026-11-26T16:59:59+00:00", "2026-11-25T17:00:00+00:00"),
        ("2026-03-29T16:00:00+00:00", "2026-03-29T16:00:00+00:00"),  # summer time began that morning
        ("2026-10-25T16:59:00+00:00", "2026-10-24T16:00:00+00:00"),  # and ended that morning
    ],
)
def test_digests_are_due_at_their_local_time(now: str, due: str) -> None:
    settings = load_settings({"time_zone": "Europe/Berlin", "digest_time": "18:00"})
    assert digests_due(settings, datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_an_address_is_told_what_it_subscribed_to_in_its_language(store: Store, settings: Settings) -> None:
    store.set_sending("default", locale="fr", sender="Shop <shop@x.example>", reply_to="help@x.example")
    store.subscribe("default", "new@x.example", kinds=["order"])
    store.subscribe("default", "changes@x.example", kinds=["change"], locale="de")
    (first,) = queue(store, numbered(1), settings)
    (second,) = queue(store, numbered(1).model_copy(update={"notes": ("changed",)}), settings)
    assert (first.address, second.address) == ("new@x.example", "changes@x.example")
    mails = [message_from_bytes(mail.raw, policy=default) for mail in store.claim_outgoing(9, 60)]
    told = [(mail["Content-Language"], mail["From"], mail["Reply-To"]) for mail in mails]
    assert told == [(tag, "Shop <shop@x.example>", "help@x.example") for tag in ("fr", "de")]


def test_a_change_that_nobody_wants_to_hear_of_leaves_no_gap(store: Store, settings: Settings) -> None:
    store.subscribe("default", "new@x.example", kinds=["order"])
    queue(store, numbered(1), settings)
    assert queue(store, numbered(1).model_copy(update={"notes": ("changed",)}), settings) == ()
    (third,) = queue(store, numbered(2), settings)
    assert third.sequence == 3
    assert store.check()["problems"] == []


def test_where_nobody_is_subscribed_nothing_is_taken_in(store: Store, settings: Settings) -> None:
    with pytest.raises(SettingError, match="ion merchant subscribe default"):
        queue(store, numbered(1), settings)
    store.subscribe("default", "b@x.example")
    (mail,) = queue(store, numbered(1), settings)
    assert (mail.sequence, mail.revision) == (1, 1)


def test_what_an_address_opted_into_and_out_of_is_kept_with_its_time(store: Store) -> None:
    start = datetime(2026, 11, 26, 12, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as clock:
        store.subscribe("default", "b@x.example", note="form")
        store.subscribe("default", "b@x.example", note="form")  # the same again
        clock.shift(60)
        store.subscribe("default", "b@x.example", mode="daily", note="by phone")
        clock.shift(60)
        store.unsubscribe("default", "b@x.example", note="by mail")
        with pytest.raises(StoreError, match="sends nothing to"):
            store.unsubscribe("default", "b@x.example")
        clock.shift(60)
        again = store.subscribe("default", "b@x.example")
    seen = [((event.at - start).total_seconds(), event.what, event.note) for event in again.events]
    assert seen == [
        (0, "opted in", "form"),
        (60, "changed", "by phone"),
        (120, "opted out", "by mail"),
        (180, "opted in", ""),
    ]
    assert (again.state, again.mode) == ("active", "single")
    assert store.merchant("default").mail_to == ("b@x.example",)


def test_a_kind_that_there_is_not_is_refused_by_name(store: Store) -> None:
    with pytest.raises(StoreError, match="order, change"):
        store.subscribe("default", "b@x.example", kinds=["orders"])
