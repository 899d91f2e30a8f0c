"""Reparse: what is kept is read again; the same comes out, a new key or reader adds what it proves."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ion.errors import SettingError, StoreError
from ion.reading import read_message
from ion.reparse import Chosen, NotReread, reparse
from ion.seal import Key, KeyRing
from ion.store import MessageChange, NotificationChange, Store
from ion.trust import Authenticator
from ion.worker import Worker
from tests.forged import ORDERS, PLATFORM, original
from tests.make_samples import KEY as SAMPLE_KEY
from tests.orders import KEY, OTHER_KEY, full_order, rendered, small_order
from tests.programs import IonHere
from tests.readers import read_oddly
from tests.signers import name_server
from tests.stores import judged, received, table_of

SAMPLES = sorted((Path(__file__).resolve().parents[1] / "sample_emails").rglob("*.eml"))
EVERYTHING = "SELECT * FROM {} ORDER BY 1, 2"
TABLES = ("message", "notification", "orders", "order_line", "order_revision")


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    return {name: table_of(store, EVERYTHING.format(name)) for name in TABLES}


def read_all(store: Store, *keys: Key) -> None:
    worker = Worker(store, lambda _: keys)
    worker.run_once()
    worker.close()


def again(store: Store, *keys: Key, apply: bool = True, **chosen: Any) -> list[MessageChange]:
    found = list(
        reparse(store, lambda _: keys, Authenticator(store), Chosen(**chosen), apply=apply, timeout_seconds=30)
    )
    assert not [one for one in found if isinstance(one, NotReread)]
    return [one for one in found if isinstance(one, MessageChange)]


@pytest.mark.long
def test_all_sample_mails_read_again_change_nothing(sqlite_store: Store) -> None:
    for path in SAMPLES:
        received(sqlite_store, path.read_bytes())
    read_all(sqlite_store, SAMPLE_KEY)
    before = contents(sqlite_store)
    assert len(before["orders"]) > 5
    found = again(sqlite_store, SAMPLE_KEY)
    assert len(found) == len(before["message"]) - sqlite_store.counts()["quarantined"]
    assert [one for one in found if one.changed] == []
    assert contents(sqlite_store) == before
    assert sqlite_store.check()["problems"] == []


def test_mail_that_came_before_its_key_is_an_order_once_the_key_is_there(store: Store) -> None:
    message = received(store, rendered(small_order()).raw)
    read_all(store, OTHER_KEY)
    assert list(store.orders_for_export()) == []
    (shown,) = again(store, KEY, apply=False)
    assert (shown.changed, shown.applied) == (True, False)
    assert list(store.orders_for_export()) == []
    assert table_of(store, "SELECT grade, state FROM notification") == [("review", "held")]

    (stored,) = again(store, KEY)
    assert stored == replace(shown, applied=True)
    (change,) = stored.notifications
    assert change.before is not None and change.after is not None
    assert (change.before["state"], change.after["state"]) == ("held", "applied")
    assert [one.order for one in store.orders_for_export()] == [small_order()]
    assert store.check()["problems"] == []
    assert [one.changed for one in again(store, KEY, ids=(message,))] == [False]


def test_a_quarantined_message_that_can_be_read_now_is_read(store: Store) -> None:
    message = received(store, rendered(small_order()).raw)
    for _ in range(2):
        (claim,) = store.claim_messages(1, 60)
        if claim.failures:
            store.quarantine_message(claim.id, claim.claim_token, "the reading process died")
        else:
            store.retry_message(claim.id, claim.claim_token, "the reading process died", 0, failed=True)
    assert again(store, KEY, states=("review",)) == []
    (change,) = again(store, KEY, states=("quarantined",))
    assert (change.state, change.state_after) == ("quarantined", "read")
    assert store.message_state(message) == "read"
    assert [one.order for one in store.orders_for_export()] == [small_order()]
    assert store.check()["problems"] == []


def test_an_order_once_proved_stays_where_its_key_is_gone(store: Store) -> None:
    received(store, rendered(small_order()).raw)
    read_all(store, KEY)
    before = contents(store)
    (found,) = again(store, OTHER_KEY)
    assert not found.changed
    (notification,) = found.notifications
    assert notification.change == "kept"
    assert notification.after is not None and notification.after["grade"] == "review"
    assert contents(store) == before


def test_what_a_person_decided_is_never_overwritten(store: Store) -> None:
    """A released notification is applied without a seal: whatever is read now, its order stays as it was released."""
    received(store, b"released")
    (claim,) = store.claim_messages(1, 60)
    store.store_judgement(claim.id, claim.claim_token, [judged(small_order())])
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE notification SET grade = 'consistent'")
    before = contents(store)
    (kept,) = store.read_again()
    for one in ([], [judged(full_order())], [judged(small_order().model_copy(update={"notes": ("x",)}))]):
        change = store.store_rereading(kept, [replace(now, seal="7K2M-9QXR-AAAA-BBBB-CCCC") for now in one], apply=True)
        assert [found.change for found in change.notifications if found.position == 1] == ["kept"]
        if not one:
            assert contents(store) == before
    assert store.order("default", small_order().platform, small_order().order_number) == small_order()


def test_what_a_better_reader_reads_otherwise_is_shown_by_field_and_put_right(store: Store) -> None:
    misread = small_order().model_copy(update={"notes": ("misread",)})
    received(store, b"x")
    (claim,) = store.claim_messages(1, 60)
    store.store_judgement(claim.id, claim.claim_token, [judged(misread)])
    (kept,) = store.read_again()
    change = store.store_rereading(kept, [judged(small_order())], apply=True)
    (found,) = change.notifications
    assert found.order == {"notes[0]": ("misread", None)}
    (order,) = store.orders_for_export()
    assert (order.order, order.revision) == (small_order(), 1)
    assert store.check()["problems"] == []


def test_a_notification_that_is_no_longer_found_is_taken_away_only_where_it_did_nothing(store: Store) -> None:
    received(store, b"x")
    (claim,) = store.claim_messages(1, 60)
    other = small_order().model_copy(update={"order_number": "2"})
    store.store_judgement(claim.id, claim.claim_token, [judged(small_order()), judged(other, "review")])
    (kept,) = store.read_again()
    change = store.store_rereading(kept, [], apply=True)
    assert [one.change for one in change.notifications] == ["kept", "gone"]
    assert table_of(store, "SELECT position, state FROM notification") == [(1, "applied")]
    assert store.message_state(kept.id) == "read"
    assert store.check()["problems"] == []


def test_a_notification_that_others_stand_behind_is_not_taken_away_and_a_new_one_takes_the_last_free_place(
    store: Store,
) -> None:
    received(store, b"x")
    (claim,) = store.claim_messages(1, 60)
    one, two, three = (small_order().model_copy(update={"order_number": number}) for number in "123")
    store.store_judgement(claim.id, claim.claim_token, [judged(one, "review"), judged(two)])
    (kept,) = store.read_again()
    change = store.store_rereading(kept, [], apply=True)
    assert [one.change for one in change.notifications] == ["kept", "kept"]
    received(store, b"y")
    (claim,) = store.claim_messages(1, 60)
    store.store_judgement(claim.id, claim.claim_token, [judged(one, "review")])
    (_, kept) = store.read_again()
    change = store.store_rereading(kept, [replace(judged(three), seal="another")], apply=True)
    assert [(one.change, one.position) for one in change.notifications] == [("gone", 1), ("new", 1)]
    assert store.check()["problems"] == []


def test_a_message_that_moved_meanwhile_is_left_alone(store: Store) -> None:
    received(store, rendered(small_order()).raw)
    read_all(store, OTHER_KEY)
    (kept,) = store.read_again()
    again(store, KEY)
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE message SET state = 'ignored'")
    with pytest.raises(StoreError, match="has changed since"):
        store.store_rereading(kept, [], apply=True)


def test_one_that_cannot_be_read_or_has_no_keys_does_not_stop_the_others(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_store.create_merchant("shop", domain="x.example")
    bad, keyless = received(sqlite_store, b"Subject: x\r\n\r\n"), received(sqlite_store, b"Subject: y\r\n\r\n", "shop")
    good = received(sqlite_store, rendered(small_order()).raw)
    read_all(sqlite_store, OTHER_KEY)
    unread = received(sqlite_store, b"Subject: z\r\n\r\n")

    def keys_for(merchant: str) -> tuple[Key, ...]:
        if merchant == "shop":
            raise SettingError("the key file cannot be read")
        return (KEY,)

    with sqlite_store.writing() as connection:
        connection.exec_driver_sql(f"UPDATE message SET size_bytes = 3 WHERE id = {bad}")
        connection.exec_driver_sql(f"UPDATE message_raw SET raw = CAST('die' AS BLOB) WHERE message_id = {bad}")
    monkeypatch.setattr("ion.reparse.Reader", _reader)
    chosen = Chosen(ids=(bad, keyless, good, unread, 999))
    authenticator = Authenticator(sqlite_store)
    found = list(reparse(sqlite_store, keys_for, authenticator, chosen, apply=True, timeout_seconds=10))
    assert {one.message_id: type(one).__name__ for one in found} == {
        unread: "NotReread", 999: "NotReread", bad: "NotReread", keyless: "NotReread", good: "MessageChange",
    }  # fmt: skip
    assert len(list(sqlite_store.orders_for_export())) == 1


def _reader(seconds: float) -> Any:
    from ion.reader import Reader

    return Reader(seconds, read_oddly)


def test_messages_are_chosen_by_every_condition_given(sqlite_store: Store) -> None:
    sqlite_store.create_merchant("shop", domain="x.example")
    first = received(sqlite_store, b"Subject: 1\r\n\r\n")
    second = received(sqlite_store, rendered(small_order()).raw)
    third = received(sqlite_store, rendered(small_order()).raw, "shop")
    read_all(sqlite_store, KEY)
    now = datetime.now(UTC)

    def ids(**chosen: Any) -> list[int]:
        return [one.message_id for one in again(sqlite_store, KEY, apply=False, **chosen)]

    assert ids() == [first, second, third]
    assert ids(merchant="shop") == [third]
    assert ids(states=("ignored",)) == [first]
    assert ids(states=("applied",), merchant="default") == [second]
    assert ids(ids=(third, first)) == [first, third]
    assert ids(since=now - timedelta(minutes=5)) == [first, second, third]
    assert ids(since=now + timedelta(minutes=5)) == []


def test_a_rereading_beside_another_writer_loses_nothing(store: Store) -> None:
    """Two at once: one stores, the other finds the message moved or nothing left to change."""
    received(store, rendered(small_order()).raw)
    read_all(store, OTHER_KEY)
    (kept,) = store.read_again()
    now = read_message(kept.raw, [KEY])
    results: list[Any] = []

    def work() -> None:
        results.append(store.store_rereading(kept, now, apply=True).applied)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]
    assert len(list(store.orders_for_export())) == 1
    assert store.check()["problems"] == []


def test_the_command_shows_first_and_stores_with_apply(tmp_path: Path) -> None:
    there, here = KeyRing(tmp_path / "there"), IonHere(tmp_path / "here")
    mail = tmp_path / "order.eml"
    mail.write_bytes(rendered(small_order(), key=there.sealing_key("default")).raw)
    (line,) = here.lines("ingest", mail)
    assert line["notifications"][0]["state"] == "held"
    KeyRing(tmp_path / "here" / "keys").import_key("default", there.export_key("default"))
    (shown,) = here.lines("reparse", "--state", "held")
    assert (shown["changed"], shown["applied"], shown["notifications"][0]["after"]["state"]) == (True, False, "applied")
    assert "1 would change" in here.messages
    missing, stored = here.lines("reparse", "--message", "77", "--message", "1", "--apply", status=1)
    assert missing["error"] == "message 77: there is no such message"
    assert stored["applied"]
    here.run("reparse", "--state", "lost", status=2)


@pytest.fixture
def dns() -> Iterator[str]:
    """The address of a name server that knows the platform's key."""
    with name_server() as names:
        names.know(PLATFORM)
        yield names.address


def reread(store: Store, dns: str, *, apply: bool = True) -> list[MessageChange | NotReread]:
    authenticator = Authenticator(store, dns_server=dns, dns_timeout_seconds=0.2)
    try:
        return list(reparse(store, lambda _: (KEY,), authenticator, Chosen(), apply=apply, timeout_seconds=30))
    finally:
        authenticator.close()


def reread_change(store: Store, dns: str, *, apply: bool = True) -> NotificationChange:
    (message,) = reread(store, dns, apply=apply)
    assert isinstance(message, MessageChange)
    (change,) = message.notifications
    return change


def signed_and_held(store: Store, number: str) -> int:
    """A signed mail without a seal that came while nobody was believed; its notification."""
    message = received(store, PLATFORM.sign(original(number)))
    worker = Worker(store, lambda _: (KEY,), authenticator=Authenticator(store))
    worker.run_once()
    worker.close()
    (found,) = store.notifications_of(message)
    assert (found.state, found.grade) == ("held", "consistent")
    return found.id


def believe(store: Store) -> None:
    store.add_trust_rule("default", "dkim", "platform.example")
    store.add_trust_rule("default", "recipient", ORDERS)


@pytest.mark.long
def test_a_mail_held_for_want_of_a_trust_rule_is_an_order_once_the_rule_is_there(store: Store, dns: str) -> None:
    signed_and_held(store, "T1")
    assert reread_change(store, dns).change == "same"
    store.add_trust_rule("default", "recipient", ORDERS)  # believes nobody by itself
    assert reread_change(store, dns).change == "same"
    believe(store)
    shown = reread_change(store, dns, apply=False)
    assert shown.before is not None and shown.after is not None
    assert (shown.before["state"], shown.after["state"]) == ("held", "applied")
    assert '"rule": "dkim platform.example"' in shown.after["evidence_json"]
    assert list(store.orders_for_export()) == []

    assert reread_change(store, dns) == shown
    assert [one.order.order_number for one in store.orders_for_export()] == ["T1"]
    assert store.check()["problems"] == []
    assert reread_change(store, dns).change == "same"


def test_an_order_let_in_by_a_rule_stays_where_the_rule_is_gone(store: Store, dns: str) -> None:
    signed_and_held(store, "T2")
    believe(store)
    reread(store, dns)
    store.remove_trust_rule("default", "dkim", "platform.example")
    before = contents(store)
    assert reread_change(store, dns).change == "same"
    assert contents(store) == before


@pytest.mark.parametrize("decision", ["dismissed", "released"])
def test_what_a_person_decided_stays_where_the_sender_is_believed_since(store: Store, dns: str, decision: str) -> None:
    notification = signed_and_held(store, "T3")
    decide = store.dismiss_notification if decision == "dismissed" else store.release_notification
    decide(notification, by="Ana")
    believe(store)
    before = contents(store)
    assert reread_change(store, dns).change == "same"
    assert contents(store) == before


def test_a_mail_that_still_waits_tells_why_by_the_rules_of_today(store: Store, dns: str) -> None:
    signed_and_held(store, "T4")
    store.add_trust_rule("default", "dkim", "platform.example")  # and no line for whom it was sent to
    change = reread_change(store, dns)
    assert change.before is not None and change.after is not None
    assert (change.change, change.after["state"]) == ("changed", "held")
    assert "believes nobody" in change.before["reason"] and "platform.example" in change.after["reason"]
    assert list(store.orders_for_export()) == []


def test_a_mail_whose_signer_cannot_be_asked_now_is_told_and_left_as_it_is(store: Store) -> None:
    signed_and_held(store, "T5")
    believe(store)
    before = contents(store)
    with name_server() as names:
        names.silent.add(PLATFORM.name)
        (found,) = reread(store, names.address)
    assert isinstance(found, NotReread) and "could not be looked up" in str(found.error)
    assert contents(store) == before


def test_the_command_asks_who_sent_a_mail_by_the_rules_of_today(tmp_path: Path, dns: str) -> None:
    ion = IonHere(tmp_path / "data", ION_DNS_SERVER=dns)
    mail = tmp_path / "order.eml"
    mail.write_bytes(PLATFORM.sign(original("T6")))
    ion.lines("ingest", mail)
    ion.run("merchant", "trust", "default", "add", "dkim", "platform.example")
    ion.run("merchant", "trust", "default", "add", "recipient", ORDERS)
    (line,) = ion.lines("reparse", "--state", "held", "--apply")
    assert [one["after"]["state"] for one in line["notifications"]] == ["applied"]
