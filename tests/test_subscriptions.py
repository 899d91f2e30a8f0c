"""Who is told of what, how, and since when: subscriptions, and what merchants say of their mails."""

import json
from pathlib import Path
from typing import Any

import pytest

from ion.config import Settings
from ion.errors import SettingError, StoreError
from ion.keys import key_ring
from ion.notify.outbox import send_now
from ion.notify.sending import queue_order
from ion.order import Order
from ion.reading import read_message
from ion.store import Queued, Store
from tests.orders import parsed, small_order
from tests.programs import IonHere
from tests.relays import relaying
from tests.stores import with_octets

ORDERS, BOSS = "orders@shop.example", "boss@shop.example"
SAMPLES = Path(__file__).resolve().parents[1] / "ion" / "samples"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def _revised(status: str, number: str = "N-1") -> Order:
    return small_order().model_copy(update={"order_number": number, "status": status})


def _queue(store: Store, settings: Settings, order: Order, merchant: str = "default", **more: Any) -> Queued:
    return queue_order(store, order, settings, merchant=merchant, read_back=read_message, **more)


def _told(queued: Queued) -> list[str]:
    return [mail.address for mail in queued.mails]


def test_every_step_of_a_subscription_is_kept_with_who_asked_for_it(store: Store) -> None:
    store.subscribe("default", BOSS, note="by phone")
    store.subscribe("default", BOSS, note="the same again")
    store.subscribe("default", BOSS, kinds=iter(["change"]), mode="daily", locale="de", note="less")
    store.unsubscribe("default", BOSS, note="enough")
    store.subscribe("default", BOSS, note="after all")
    store.pause_subscription("default", BOSS, note="mail came back")
    (found,) = store.subscriptions("default")
    assert [(event.what, event.note) for event in found.events] == [
        ("opted in", "by phone"),
        ("changed", "less"),
        ("opted out", "enough"),
        ("opted in", "after all"),
        ("paused", "mail came back"),
    ]
    assert (found.state, found.kinds, found.mode, found.locale) == ("paused", ("order", "change"), "single", None)
    assert [event.at for event in found.events] == sorted(event.at for event in found.events)


def test_what_cannot_be_is_refused_and_changes_nothing(store: Store) -> None:
    for kinds in ([], ["orders"], ["order", "x"]):
        with pytest.raises(StoreError, match="give one or more of order, change"):
            store.subscribe("default", BOSS, kinds=kinds)
    for _ in range(2):
        with pytest.raises(StoreError, match="sends nothing to"):
            store.unsubscribe("default", BOSS)
    assert store.subscriptions("default") == ()


def test_addresses_set_together_opt_the_others_out_and_leave_those_that_stay_as_they_are(store: Store) -> None:
    store.subscribe("default", BOSS, mode="daily", locale="de")
    store.subscribe("default", "old@shop.example")
    store.set_mail_to("default", [ORDERS, BOSS, ORDERS], note="set")
    found = {one.address: one for one in store.subscriptions("default")}
    assert {address: one.state for address, one in found.items()} == {
        BOSS: "active",
        "old@shop.example": "ended",
        ORDERS: "active",
    }
    assert (found[BOSS].mode, found[BOSS].locale, len(found[BOSS].events)) == ("daily", "de", 1)


def test_an_address_is_told_of_what_it_asked_for_and_a_revision_for_nobody_leaves_no_gap(
    sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.subscribe("default", ORDERS, kinds=["order"])
    first = _queue(sqlite_store, settings, _revised("one"))
    assert _told(first) == [ORDERS]
    second = _queue(sqlite_store, settings, _revised("two"))
    assert second.created and second.mails == ()
    sqlite_store.subscribe("default", BOSS, kinds=["change"])
    third = _queue(sqlite_store, settings, _revised("three"))
    other = _queue(sqlite_store, settings, _revised("one", "N-2"))
    assert (_told(third), _told(other)) == ([BOSS], [ORDERS])
    assert [(mail.revision, mail.sequence) for mail in (*first.mails, *third.mails, *other.mails)] == [
        (1, 1),
        (3, 3),
        (1, 4),
    ]
    assert sqlite_store.check()["problems"] == []


def test_who_opted_out_or_is_paused_is_not_told_and_who_opts_in_is_told_of_what_comes_again(
    sqlite_store: Store, settings: Settings
) -> None:
    for address in (ORDERS, BOSS, "paused@shop.example"):
        sqlite_store.subscribe("default", address)
    sqlite_store.unsubscribe("default", BOSS)
    sqlite_store.pause_subscription("default", "paused@shop.example", note="came back")
    assert _told(_queue(sqlite_store, settings, _revised("one"))) == [ORDERS]
    sqlite_store.subscribe("default", BOSS)
    again = _queue(sqlite_store, settings, _revised("one"))
    assert not again.created and sorted(_told(again)) == [BOSS, ORDERS]
    assert {(mail.revision, mail.sequence) for mail in again.mails} == {(1, 1)}
    assert len(sqlite_store.list_outgoing()) == 2


def test_an_order_for_which_nobody_is_to_be_told_at_all_is_not_taken_in(
    sqlite_store: Store, settings: Settings
) -> None:
    sqlite_store.subscribe("default", BOSS)
    sqlite_store.unsubscribe("default", BOSS)
    with pytest.raises(SettingError, match="ion merchant subscribe default ADDRESS"):
        _queue(sqlite_store, settings, _revised("one"))
    assert sqlite_store.list_outgoing() == ()
    (mail,) = _queue(sqlite_store, settings, _revised("one"), recipients=[f"Boss <{BOSS}>"]).mails
    assert (mail.address, mail.sequence) == (BOSS, 1)


def test_each_address_is_told_in_its_language_else_the_merchants_else_the_settings(
    sqlite_store: Store, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "data", locale="fr")
    sqlite_store.create_merchant("shop", domain="mail.example")
    sqlite_store.set_merchant("shop", locale="de")
    for merchant in ("default", "shop"):
        sqlite_store.subscribe(merchant, ORDERS)
        sqlite_store.subscribe(merchant, BOSS, locale="ja")
    for merchant, plain in (("default", "fr"), ("shop", "de")):
        keys = key_ring(settings).keys_for(merchant)
        queued = _queue(sqlite_store, settings, _revised("one"), merchant)
        languages = {
            mail.address: read_message(mail.raw, keys)[0].language for mail in with_octets(sqlite_store, queued.mails)
        }
        assert languages == {ORDERS: plain, BOSS: "ja"}


def test_a_merchant_has_its_own_sender_reply_to_and_relay(sqlite_store: Store, tmp_path: Path) -> None:
    sqlite_store.create_merchant("shop", domain="mail.example")
    sqlite_store.set_merchant("shop", sender="Shop <ion@shop.example>", reply_to="help@shop.example", relay="shop")
    with relaying() as own, relaying() as shops:
        tables: Any = ({"name": "shop", "host": "127.0.0.1", "port": shops.port, "security": "none"},)
        settings = Settings(data_dir=tmp_path / "data", sender="ION <ion@p.example>", relay_port=own.port, relay=tables)
        for merchant in ("default", "shop"):
            sqlite_store.subscribe(merchant, ORDERS)
            _queue(sqlite_store, settings, _revised("one"), merchant)
        assert [one.state for one in send_now(sqlite_store, settings)] == ["sent", "sent"]
        ((plain_from, _, plain),) = own.taken
        ((shop_from, _, shop),) = shops.taken
    assert (plain_from, parsed(plain)["From"], parsed(plain)["Reply-To"]) == (
        "ion@p.example",
        "ION <ion@p.example>",
        None,
    )
    assert (shop_from, parsed(shop)["From"], parsed(shop)["Reply-To"]) == (
        "ion@shop.example",
        "Shop <ion@shop.example>",
        "help@shop.example",
    )


def test_the_commands_subscribe_change_and_tell_what_happened(tmp_path: Path) -> None:
    ion = IonHere(tmp_path / "data", ION_RELAY_PORT="1")
    (one,) = ion.lines("merchant", "subscribe", "default", f"Boss <{BOSS}>", "--kind", "change", "--note", "Ana")
    assert (one["address"], one["kinds"], one["mode"]) == (BOSS, ["change"], "single")
    ion.run("merchant", "subscribe", "default", BOSS, "--kind", "order", "--daily", "--locale", "pt-br")
    ion.run("merchant", "subscribe", "default", BOSS, "--kind", "orders", status=1)
    ion.run("merchant", "subscribe", "default", BOSS, "--locale", "xx", status=3)
    ion.run("merchant", "subscribe", "default", "boss", status=3)
    ion.run("merchant", "subscribe", "nobody", BOSS, status=2)
    ion.run("merchant", "unsubscribe", "default", BOSS, "--note", "by phone")
    ion.run("merchant", "unsubscribe", "default", BOSS, status=1)
    (found,) = ion.lines("merchant", "subscriptions", "default")
    assert (found["state"], found["kinds"], found["mode"], found["locale"]) == ("ended", ["order"], "daily", "pt-BR")
    assert [(event["what"], event["note"]) for event in found["events"]] == [
        ("opted in", "Ana"),
        ("changed", ""),
        ("opted out", "by phone"),
    ]
    # Of a kind that nobody asked for: taken in, and said so.
    ion.run("merchant", "subscribe", "default", BOSS, "--kind", "change")
    (line,) = ion.lines("send", "--approved", SAMPLES / "zonos-approved-order.json")
    assert line["queued"].startswith("for nobody")
    assert json.loads(ion.run("check"))["problems"] == []


def test_a_merchants_values_are_set_emptied_and_checked(tmp_path: Path) -> None:
    ion = IonHere(tmp_path / "data")
    given = ("--locale", "de", "--sender", "Shop <ion@shop.example>", "--reply-to", "help@shop.example")
    (shown,) = ion.lines("merchant", "set", "default", *given)
    assert [shown[name] for name in ("locale", "sender", "reply_to")] == ["de", given[3], given[5]]
    for wrong in (
        ("--relay", "none"),
        ("--sender", "x"),
        ("--reply-to", "a b"),
        ("--locale", "xx"),
        ("--mail-to", "x"),
    ):
        ion.run("merchant", "set", "default", *wrong, status=3)
    ion.run("merchant", "set", "default", status=2)
    (kept,) = ion.lines("merchant", "list")
    assert kept == shown
    (shown,) = ion.lines("merchant", "set", "default", "--locale", "", "--sender", "", "--reply-to", "", "--relay", "")
    assert [shown[name] for name in ("locale", "sender", "reply_to", "relay")] == [None] * 4
