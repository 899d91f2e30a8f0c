"""Messages and orders in the store, on SQLite and on PostgreSQL: from the raw mail to what leaves in an export."""

import os
import random
import resource
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from ion.content import content_json, content_sha256
from ion.currencies import minor_units
from ion.errors import StoreError
from ion.order import Address, LineItem, Money, Order, Totals
from ion.store import (
    ClaimLostError,
    MessageState,
    NewMessage,
    Store,
    messages,
    open_store,
)
from ion.store.plain_sql import PlainSql
from ion.store.types import utc_now
from tests.orders import full_order, small_order
from tests.stores import ISSUED, Judged, Problem, an_address, claimed, judged, received, table_of


def an_order(number: str = "GE1", **changes: Any) -> Order:
    return small_order().model_copy(update={"order_number": number, **changes})


def apply(store: Store, *judgements: Judged) -> list[str]:
    """The states that judgements of one new message come to."""
    message = claimed(store)
    return [one.state for one in store.store_judgement(message.id, message.claim_token, judgements)]


def exported(store: Store) -> dict[str, Order]:
    return {one.order.order_number: one.order for one in store.orders_for_export()}


# Messages


def test_the_same_octets_to_the_same_recipient_are_one_message(store: Store) -> None:
    address, second = an_address(store), store.rotate_address("default", domain="mail.example")
    first = store.add_message(NewMessage("default", "smtp", b"\x00\xff raw", None, address))
    again = store.add_message(NewMessage("default", "smtp", b"\x00\xff raw", "x@y.example", address.upper()))
    other = store.add_message(NewMessage("default", "smtp", b"\x00\xff raw", None, second))
    assert first.created
    assert (again.id, again.created) == (first.id, False)
    assert other.created and other.id != first.id
    assert [message.raw for message in store.claim_messages(9, 60)] == [b"\x00\xff raw"] * 2


def test_messages_added_together_are_kept_all_or_none(store: Store) -> None:
    address = an_address(store)
    good, bad = NewMessage("default", "smtp", b"1", None, address), NewMessage("nobody", "smtp", b"2", None, address)
    with pytest.raises(StoreError):
        store.add_messages([good, bad])
    assert store.check()["messages"]["received"] == 0


def test_the_same_mails_added_at_once_in_other_groups_never_wait_for_each_other_crosswise(
    store: Store, store_url: str
) -> None:
    """Two connections, again and again, each with most of the same mails in pairs of its own."""
    address, other, shuffled = an_address(store), open_store(store_url), random.Random(1)
    results: list[Any] = []

    def add(one: Store, mails: list[NewMessage]) -> None:
        start.wait()
        results.append(one.add_message_groups(list(zip(mails[::2], mails[1::2], strict=True))))

    for number in range(20):
        start = threading.Barrier(2)
        mails = [NewMessage("default", "smtp", f"{number} {of}".encode(), None, address) for of in range(40)]
        threads = [threading.Thread(target=add, args=(one, shuffled.sample(mails, 30))) for one in (store, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    other.close()
    kept = [one for groups in results for group in groups if not isinstance(group, StoreError) for one in group]
    assert len(kept) == 20 * 2 * 30  # the database ended nothing
    assert sum(one.created for one in kept) == len({one.sha256 for one in kept})


def test_an_envelope_with_hostile_octets_is_kept(store: Store) -> None:
    store.add_message(NewMessage("default", "smtp", b"x", "a\0\udcff@b.example", an_address(store)))
    assert table_of(store, "SELECT mail_from FROM message") == [("a\\x00\\udcff@b.example",)]


def test_a_claimed_message_is_nobody_elses_until_its_lease_ends(store: Store) -> None:
    received(store)
    with time_machine.travel(datetime(2026, 11, 23, 12, 0, tzinfo=UTC), tick=False) as clock:
        (first,) = store.claim_messages(5, 30)
        assert store.claim_messages(5, 30) == ()
        clock.shift(29)
        assert store.claim_messages(5, 30) == ()
        clock.shift(1)
        (second,) = store.claim_messages(5, 30)
    assert (first.id, first.attempts, second.id, second.attempts) == (second.id, 1, first.id, 2)
    with pytest.raises(ClaimLostError):
        store.store_judgement(first.id, first.claim_token, [judged(an_order())])
    assert exported(store) == {}
    store.store_judgement(second.id, second.claim_token, [judged(an_order())])
    assert list(exported(store)) == ["GE1"]


@pytest.mark.parametrize("move", ["release", "retry", "quarantine", "judge"])
def test_nothing_ends_a_claim_twice(move: str, store: Store) -> None:
    def end() -> None:
        match move:
            case "release":
                store.release_message(message.id, message.claim_token)
            case "retry":
                store.retry_message(message.id, message.claim_token, "x", 60)
            case "quarantine":
                store.quarantine_message(message.id, message.claim_token, "x")
            case "judge":
                store.store_judgement(message.id, message.claim_token, [])

    message = claimed(store)
    assert store.message_state(message.id) == "claimed"
    assert store.message_state(message.id + 1) is None
    end()
    assert store.message_state(message.id) != "claimed"
    before = store.counts()
    with pytest.raises(ClaimLostError):
        end()
    assert store.counts() == before
    assert before["claimed"] == 0


def test_a_message_put_back_is_claimable_when_it_is_due_and_waits_behind_the_others(store: Store) -> None:
    start = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as clock:
        first = claimed(store)
        clock.shift(1)
        second = received(store, b"second")
        clock.shift(1)
        store.retry_message(first.id, first.claim_token, "no key file", 10)
        (message,) = store.claim_messages(5, 600)
        assert message.id == second
        clock.shift(9)
        third = received(store, b"third")
        clock.shift(1)
        assert [message.id for message in store.claim_messages(5, 600)] == [third, first.id]
    assert table_of(store, f"SELECT attempts, failures FROM message WHERE id = {first.id}") == [(2, 0)]


def test_a_clock_put_back_holds_up_no_mail(store: Store) -> None:
    with time_machine.travel(datetime(2026, 11, 23, 12, 0, tzinfo=UTC), tick=False) as clock:
        received(store)
        clock.shift(-3600)
        assert len(store.claim_messages(1, 60)) == 1


def test_a_message_without_its_octets_does_not_hold_up_the_others(store: Store) -> None:
    lost, other = received(store, b"1"), received(store, b"2")
    with store.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM message_raw WHERE message_id = {lost}")
    assert [message.id for message in store.claim_messages(9, 60)] == [other]


def test_where_sqlite_gives_up_a_transaction_no_mail_of_it_is_kept_and_none_is_said_to_be(
    sqlite_store: Store, database: Path
) -> None:
    received(sqlite_store)
    sizes = [path.stat().st_size for path in (database, database.with_name(f"{database.name}-wal"))]
    # Larger than SQLite's cache, so that it has to be written before the commit, to a file that may not grow.
    raws = (b"first", os.urandom(9_000_000), b"last")
    groups = [[NewMessage("default", "smtp", raw, "a@b.example", "x@y.example")] for raw in raws]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) + 200_000, hard))
    try:
        with pytest.raises(StoreError):
            sqlite_store.add_message_groups(groups)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert table_of(sqlite_store, "SELECT count(*) FROM message") == [(1,)]
    assert [len(rows) for rows in sqlite_store.add_message_groups(groups) if isinstance(rows, tuple)] == [1, 1, 1]


def test_plain_sql_that_meets_a_damaged_file_gives_up_its_connection(sqlite_store: Store) -> None:
    damage = sqlite3.DatabaseError("database disk image is malformed")
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(*_: Any) -> None:
        raise damage

    with pytest.raises(StoreError, match="malformed"), sqlite_store.writing() as connection:
        sql = PlainSql(connection)
        sql._execute = fail
        try:
            sql.rows("SELECT 1")
        finally:
            assert connection.invalidated
    assert sqlite_store.counts()["received"] == 0


def test_claiming_looks_at_open_messages_only(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    with store.reading() as connection:
        plan = PlainSql(connection).rows(f"EXPLAIN QUERY PLAN {messages._CLAIMABLE}", utc_now(), utc_now(), 1)
    assert [row[-1] for row in plan] == ["SEARCH message USING INDEX ix_message_due_at_id (due_at>?)"]
    store.close()


def test_a_released_message_was_never_claimed(store: Store) -> None:
    message = claimed(store)
    store.release_message(message.id, message.claim_token)
    (again,) = store.claim_messages(1, 60)
    assert again.attempts == 1


def test_several_workers_share_messages_without_taking_one_twice(store: Store) -> None:
    ids = {received(store, str(number).encode()) for number in range(60)}
    taken: list[int] = []

    def work() -> None:
        while found := store.claim_messages(3, 60):
            taken.extend(message.id for message in found)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


# Judgements and orders


def test_a_sealed_notification_becomes_exactly_its_order(store: Store) -> None:
    order = full_order()
    message = claimed(store, b"Subject: full\r\n\r\n")
    problems = (Problem("damage", "line[1].sku", "the text part has lost it"),)
    (stored,) = store.store_judgement(message.id, message.claim_token, [judged(order, problems=problems, sequence=7)])
    assert (stored.state, stored.reason, stored.grade) == ("applied", None, "sealed")
    assert store.counts()["read"] == 1
    (found,) = store.orders_for_export()
    assert found.order == order
    assert found.order.to_json() == order.to_json()
    assert (found.merchant, found.revision, found.state, found.grade) == ("default", 1, "new", "sealed")
    assert found.received_at == message.received_at
    assert found.applied_at.tzinfo is UTC
    assert found.issued_at == ISSUED
    assert found.warnings == ("the text part has lost it",)
    assert store.order("default", order.platform, order.order_number) == order
    assert store.notifications_of(message.id) == (stored,)
    assert store.check()["problems"] == []


def test_a_mail_without_a_notification_is_ignored_and_leaves_no_row(store: Store) -> None:
    assert apply(store) == []
    assert apply(store, Judged("none", None, None)) == []
    assert store.counts() == {state.value: 0 for state in MessageState} | {"ignored": 2}
    assert store.check()["notifications"] == {}


def test_unsealed_and_doubtful_notifications_change_no_order(store: Store) -> None:
    problem = Problem("contradiction", "totals.total_customer", "the html part shows '1', the text part '2'")
    assert apply(store, judged(an_order(), "consistent")) == ["held"]
    assert apply(store, judged(an_order(), "review", problems=(problem,))) == ["review"]
    assert apply(store, Judged("review", None, None, (Problem("too-big", None, "\udcff\0"),))) == ["review"]
    assert exported(store) == {}
    reasons = table_of(store, "SELECT reason FROM notification ORDER BY id")
    assert reasons == [("no seal",), ("totals.total_customer",), ("too-big",)]
    assert store.counts()["read"] == 3
    assert store.check()["problems"] == []


def test_a_notification_of_a_kind_not_known_is_for_review(store: Store) -> None:
    assert apply(store, judged(an_order(), kind="order.cancelled")) == ["review"]
    assert exported(store) == {}


def test_the_same_notification_by_another_path_is_a_duplicate(store: Store) -> None:
    assert apply(store, judged(an_order())) == ["applied"]
    assert apply(store, judged(an_order())) == ["duplicate"]
    assert apply(store, judged(an_order(), revision=None)) == ["duplicate"]
    assert len(exported(store)) == 1
    linked = table_of(store, "SELECT count(*) FROM notification WHERE order_id IS NOT NULL")
    assert linked == [(3,)]
    assert table_of(store, "SELECT count(*) FROM order_revision") == [(1,)]


def test_a_higher_revision_replaces_the_order_and_keeps_its_history(store: Store) -> None:
    line = LineItem(sku="NEW", quantity=Decimal(3))
    assert apply(store, judged(an_order())) == ["applied"]
    store.mark_entered("default", "GE1", "S-1", by="Ana", source="command line")
    assert apply(store, judged(an_order(lines=(line,)), revision=3)) == ["applied"]
    assert exported(store)["GE1"].lines == (line,)
    rows = table_of(store, "SELECT revision, state, shop_order_number, amended FROM orders")
    assert [tuple(map(str, row[:3])) for row in rows] == [("3", "entered", "S-1")]
    assert bool(rows[0][3])
    assert table_of(store, "SELECT position, sku, quantity FROM order_line") == [(1, "NEW", "3")]
    assert table_of(store, "SELECT revision FROM order_revision ORDER BY revision") == [(1,), (3,)]
    assert store.check()["problems"] == []


def test_an_old_notification_replayed_is_superseded_and_changes_nothing(store: Store) -> None:
    first, second = an_order(), an_order(notes=("changed",))
    assert apply(store, judged(first)) == ["applied"]
    assert apply(store, judged(second, revision=2)) == ["applied"]
    assert apply(store, judged(first)) == ["superseded"]
    assert exported(store)["GE1"] == second


def test_a_late_revision_in_between_does_not_look_newer(store: Store) -> None:
    # The order was changed and changed back; the mail in between comes last.
    first, second = an_order(), an_order(notes=("changed",))
    assert apply(store, judged(first)) == ["applied"]
    assert apply(store, judged(first, revision=3)) == ["applied"]
    assert apply(store, judged(second, revision=2)) == ["superseded"]
    assert exported(store)["GE1"] == first
    assert not table_of(store, "SELECT amended FROM orders")[0][0]


def test_other_content_under_a_known_revision_is_a_conflict_for_a_person(store: Store) -> None:
    assert apply(store, judged(an_order())) == ["applied"]
    assert apply(store, judged(an_order(notes=("other",)))) == ["review"]
    assert apply(store, judged(an_order(notes=("more",)), revision=2)) == ["applied"]
    assert apply(store, judged(an_order(notes=("third",)))) == ["review"]
    assert exported(store)["GE1"].notes == ("more",)


def test_orders_of_two_merchants_or_platforms_with_one_number_are_apart(store: Store) -> None:
    store.create_merchant("shop", domain="mail.example")
    apply(store, judged(an_order("7")), judged(an_order("7", platform="global-e")))
    received(store, b"for the shop", "shop")
    (message,) = store.claim_messages(1, 60)
    store.store_judgement(message.id, message.claim_token, [judged(an_order("7", notes=("shop",)))])
    found = [(one.merchant, one.order.platform) for one in store.orders_for_export()]
    assert found == [("default", "zonos"), ("default", "global-e"), ("shop", "zonos")]
    assert [one.merchant for one in store.orders_for_export(merchant="shop")] == ["shop"]


def test_two_workers_with_the_same_new_order_make_one_order(store: Store) -> None:
    messages = [claimed(store) for _ in range(12)]
    states: list[str] = []

    def work(part: list[Any]) -> None:
        for message in part:
            (stored,) = store.store_judgement(message.id, message.claim_token, [judged(an_order())])
            states.append(stored.state)

    threads = [threading.Thread(target=work, args=(messages[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states) == ["applied"] + ["duplicate"] * 11
    assert store.check()["problems"] == []


def test_exports_since_an_instant_take_what_was_received_then_or_later(store: Store) -> None:
    with time_machine.travel(datetime(2026, 11, 23, 12, 0, tzinfo=UTC), tick=False) as clock:
        apply(store, judged(an_order("1")))
        apply(store, judged(an_order("2")))
        clock.shift(60)
        since = datetime(2026, 11, 23, 13, 1, tzinfo=UTC).astimezone(None)
        apply(store, judged(an_order("3")))
        apply(store, judged(an_order("1", notes=("changed",)), revision=2))
    since -= timedelta(hours=1)
    assert [one.order.order_number for one in store.orders_for_export(since=since)] == ["1", "3"]
    assert len(list(store.orders_for_export(since=since - timedelta(seconds=60)))) == 3


def test_an_export_streams_one_state_while_orders_go_on_coming(store: Store) -> None:
    for number in range(5):
        apply(store, judged(an_order(str(number))))
    stream = store.orders_for_export()
    next(stream)
    apply(store, judged(an_order("late")))
    assert "late" not in [one.order.order_number for one in stream]
    assert "late" in exported(store)


def test_exact_digits_survive_and_minor_units_are_beside_them(store: Store) -> None:
    amount = Decimal("1234567890123456789.0123456789")
    total = Money(amount=amount, currency="USD")
    apply(store, judged(an_order(totals=Totals(total_customer=total), delivery=Address(name="Ana", country="JP"))))
    rows = table_of(store, "SELECT total_text, total_currency, total_minor, destination_country FROM orders")
    assert rows == [("1234567890123456789.0123456789", "USD", None, "JP")]
    assert exported(store)["GE1"].totals.total_customer == total


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "EUR", 1234),
        ("-0.5", "EUR", -50),
        ("12.345", "EUR", None),
        ("1000", "JPY", 1000),
        ("1.5", "JPY", None),
        ("1.234", "KWD", 1234),
        ("1", "XXX", None),
        ("92233720368547758.07", "EUR", 2**63 - 1),
        ("92233720368547758.08", "EUR", None),
    ],
)
def test_minor_units_are_whole_or_not_given(amount: str, currency: str, minor: int | None) -> None:
    assert minor_units(Money(amount=Decimal(amount), currency=currency)) == minor


def test_content_is_canonical_and_reads_back(store: Store) -> None:
    order = an_order(notes=("Grün",))
    assert content_json(order) == content_json(Order.model_validate(order.to_json()))
    assert '"notes":["Grün"]' in content_json(order)
    assert content_sha256(order) != content_sha256(an_order())


def test_the_check_finds_what_was_tampered_with(store: Store) -> None:
    apply(store, judged(an_order()))
    assert store.check()["problems"] == []
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE orders SET content_json = '{}', revision = 9"))
        connection.execute(sa.text("UPDATE message SET state = 'ignored', size_bytes = 1"))
    problems = store.check()["problems"]
    assert any("without their newest revision" in problem for problem in problems)
    assert any("with a notification or a bounce that are not read" in problem for problem in problems)
    assert any("not as long" in problem for problem in problems)
    assert any("content is not what was stored" in problem for problem in problems)
