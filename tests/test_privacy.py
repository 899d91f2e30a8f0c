"""Privacy: raw mail removed in time, erasure, tombstones of published files, logs without personal data."""

import base64
import hashlib
import json
import quopri
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine

from ion.config import Settings
from ion.errors import StoreError
from ion.order import Address, Customer, Order
from ion.retention import JOB, Retention, remove_raw, replace_erased_files
from ion.store import (
    ClaimLostError,
    ErasedMeanwhileError,
    ErasureKind,
    JobState,
    NewMessage,
    Store,
    Subject,
    WrittenFile,
    open_store,
)
from ion.store.engine import make_engine
from ion.store.mentions import Mention
from ion.store.tables import Base
from tests.orders import small_order
from tests.stores import Judged, Problem, an_address, claimed, judged, queue_order, received, table_of
from tests.test_imap_confirmations import ENGLISH, gmail, judge

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ANA, BEN = "Ana.Marker@customer.example", "ben@customer.example"
DAYS = timedelta(days=1)


def an_order(number: str, email: str = ANA, **changes: Any) -> Order:
    person = Address(name=f"Name of {email}", country="JP", email=email)
    return small_order().model_copy(
        update={"order_number": number, "customer": Customer(email=email), "delivery": person, **changes}
    )


def read(store: Store, *judgements: Judged, raw: bytes | None = None) -> int:
    """The id of a message that was received and read; it held these notifications."""
    message = claimed(store, raw)
    store.store_judgement(message.id, message.claim_token, judgements)
    return message.id


def of_customer(email: str = ANA, merchant: str | None = None) -> Subject:
    return Subject(ErasureKind.CUSTOMER, merchant, email=email)


def erase(store: Store, subject: Subject) -> dict[str, int]:
    return store.erase(store.plan_erasure(subject), "digest").counts


def everything(store: Store) -> str:
    """All that the tables hold, as text."""
    with store.reading() as connection:
        return "\n".join(
            str(tuple(bytes(value) if isinstance(value, memoryview) else value for value in row))
            for table in Base.metadata.sorted_tables
            for row in connection.execute(sa.select(table))
        ).casefold()


def exported(store: Store) -> list[str]:
    return [one.order.order_number for one in store.orders_for_export()]


def problems(store: Store) -> list[str]:
    found: list[str] = store.check()["problems"]
    return found


# Retention


def test_raw_mail_is_removed_when_its_days_are_over_and_its_history_stays(store: Store) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        message = read(store, judged(an_order("1")), raw=b"Subject: kept\r\n\r\n")
        ignored = read(store)
        before = table_of(
            store, "SELECT id, sha256, size_bytes, rcpt_to, received_at, state_at FROM message ORDER BY id"
        )
        clock.shift(30 * DAYS)
        assert remove_raw(store, 30, now=NOON + 30 * DAYS) == (0, True)
        clock.shift(1)
        assert remove_raw(store, 30, now=NOON + 30 * DAYS + timedelta(seconds=1)) == (2, True)
    rows = table_of(store, "SELECT id, sha256, size_bytes, rcpt_to, received_at, state_at FROM message ORDER BY id")
    assert rows == before
    assert table_of(store, "SELECT count(*) FROM message WHERE state = 'purged'") == [(2,)]
    kept = table_of(store, "SELECT message_id, state_before, erasure_id FROM message_purge ORDER BY message_id")
    assert kept == [(message, "read", None), (ignored, "ignored", None)]
    assert exported(store) == ["1"]
    assert problems(store) == []
    assert store.check()["purged"] == {"retention": 2, "erasure": 0}
    assert not store.add_message(
        NewMessage("default", "smtp", b"Subject: kept\r\n\r\n", None, an_address(store))
    ).created


def test_raw_mail_that_somebody_still_has_to_decide_about_stays(store: Store) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        held = read(store, judged(an_order("1")), judged(an_order("2"), "consistent"))
        review = read(store, judged(an_order("3"), "review", problems=(Problem("x", "y", "z"),)))
        quarantined = claimed(store)
        store.quarantine_message(quarantined.id, quarantined.claim_token, "hangs")
        retry = claimed(store)
        store.retry_message(retry.id, retry.claim_token, "no key file", 10**9)
        under_way = claimed(store)
        waiting = received(store)
        clock.shift(400 * DAYS)
        assert remove_raw(store, 30, now=NOON + 400 * DAYS) == (0, True)
        # Decided now: its days begin now.
        with store.writing() as connection:
            connection.execute(
                sa.text(
                    "UPDATE notification SET state = 'duplicate', order_id = 1, judged_at = :now "
                    f"WHERE message_id = {held} AND state <> 'applied'"
                ),
                {"now": NOON + 400 * DAYS if store._engine.dialect.name != "sqlite" else "2027-12-28 12:00:00.000000"},
            )
        assert remove_raw(store, 30, now=NOON + 429 * DAYS) == (0, True)
        assert remove_raw(store, 30, now=NOON + 431 * DAYS) == (1, True)
    left = [row[0] for row in table_of(store, "SELECT message_id FROM message_raw ORDER BY message_id")]
    assert left == [review, quarantined.id, retry.id, under_way.id, waiting]
    assert held not in left


def test_raw_mail_is_removed_in_batches_that_are_bounded_in_number_and_octets(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ion.store.privacy.BATCH_MESSAGES", 3)
    monkeypatch.setattr("ion.store.privacy.BATCH_OCTETS", 250)
    for number, size in enumerate((30, 30, 30, 30, 600, 600, 2700, 30)):
        read(store, raw=f"{number}".encode() * size)
    later = datetime.now(UTC) + timedelta(seconds=5)
    assert [store.purge_raw(later) for _ in range(7)] == [3, 1, 1, 1, 1, 1, 0]


def octets_on_disk(folder: Path, marker: bytes) -> dict[str, int]:
    return {path.name: path.read_bytes().count(marker) for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("way", ["retention", "erasure"])
def test_what_is_removed_is_in_no_file_of_the_database_any_more(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = open_store(f"sqlite:///{folder / 'ion.db'}")
    marker = b"MARK-7f3a" * 3
    body = b"\r\n".join(marker + str(number).encode() * 40 for number in range(800)) + b" ana.marker@customer.example"
    read(store, judged(an_order("1", notes=(marker.decode(),))), raw=b"Subject: a\r\n\r\n" + body)
    for number in range(30):  # others around it, so that its pages are not the last
        read(store, raw=b"Subject: b\r\n\r\n" + str(number).encode() * 9000)
    assert sum(octets_on_disk(folder, marker).values()) > 800
    if way == "retention":
        removed, emptied = remove_raw(store, 1, now=datetime.now(UTC) + 2 * DAYS)
        assert removed == 31
        assert emptied
        marker += b"5" * 40  # what stands in the raw octets alone
    else:
        assert erase(store, of_customer())["orders"] == 1
        assert store.empty_log()
    assert set(octets_on_disk(folder, marker).values()) == {0}
    assert "ion.db" in octets_on_disk(folder, marker)
    store.close()
    assert set(octets_on_disk(folder, marker).values()) == {0}


def test_a_reader_in_the_way_of_the_log_is_told_and_the_run_is_taken_up_again(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    read(store, judged(an_order("1")))
    now = (datetime.now(UTC) + 40 * DAYS).replace(hour=12)  # ten minutes later it is the same day
    with time_machine.travel(now, tick=False) as clock:
        retention = Retention(store, Settings(), clock=lambda: datetime.now(UTC))
        with store.reading() as connection:
            connection.execute(sa.text("SELECT count(*) FROM orders")).all()
            assert not retention.ring()
        assert not retention.ring()  # not at once
        clock.shift(600)
        assert retention.ring()
    run = store.list_job_runs(JOB)[0]
    assert (run.state, run.attempts, run.detail["log_emptied"]) == (JobState.DONE, 2, True)
    store.close()


def test_the_daily_run_is_done_once_a_day_by_one_of_several_processes(store: Store) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        read(store)
        several = [Retention(store, Settings(raw_days=1), clock=lambda: datetime.now(UTC)) for _ in range(3)]
        assert [one.ring() for one in several] == [True, False, False]
        clock.shift(3600)
        assert [one.ring() for one in several] == [False, False, False]
        clock.shift(2 * DAYS)
        assert sorted(one.ring() for one in several) == [False, False, True]
    runs = store.list_job_runs(JOB)
    assert [(run.business_date, run.state, run.detail["removed"]) for run in runs] == [
        (date(2026, 11, 25), "done", 1),
        (date(2026, 11, 23), "done", 0),
    ]
    assert problems(store) == []


def test_a_run_that_failed_is_told_and_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(before: datetime) -> int:
        raise StoreError("the database refused: locked")

    with time_machine.travel(NOON, tick=False) as clock:
        retention = Retention(store, Settings(), clock=lambda: datetime.now(UTC))
        with monkeypatch.context() as patched:
            patched.setattr(store, "purge_raw", refuse)
            assert not retention.ring()
        assert store.list_job_runs(JOB)[0].state == JobState.FAILED
        clock.shift(601)
        assert retention.ring()


# Erasure


def test_what_a_confirmation_says_goes_with_the_customer_also_where_its_raw_mail_is_gone(store: Store) -> None:
    """The mailbox that mail is forwarded from may be a customer's, and so may the address it is asked for."""
    by_ana = gmail(f"(#123456789) Forwarding - {ANA}", ENGLISH.replace("shop@gmail.com", ANA))
    for raw in (by_ana, gmail("(#123456789) Forwarding - shop@gmail.com", ENGLISH)):
        judge(store, raw, rcpt_to=an_address(store))
    assert len(store.confirmations()) == 2
    assert remove_raw(store, 30, now=datetime.now(UTC) + 31 * DAYS)[0] == 2
    assert ANA.casefold() in everything(store)
    assert erase(store, of_customer())["messages"] == 1
    assert ANA.casefold() not in everything(store)
    assert [shown.asked_by for shown in store.confirmations()] == ["shop@gmail.com"]
    assert problems(store) == []
    assert erase(store, of_customer())["messages"] == 0


def test_a_customer_is_erased_and_the_others_of_the_same_mail_stay(store: Store) -> None:
    raw = f"Subject: two\r\n\r\n{ANA} {BEN}".encode()
    mail = read(store, judged(an_order("1")), judged(an_order("2", BEN)), raw=raw)
    read(store, judged(an_order("3", ANA.upper())), raw=b"Subject: compressed\r\n\r\n")
    read(store, judged(an_order("4", f"x{ANA}")))
    before = store.check()
    assert store.plan_erasure(of_customer()).counts() == {
        "orders": 2, "notifications": 2, "messages": 2, "outgoing": 0, "files": 0, "unread": 0,
    }  # fmt: skip
    assert store.check() == before
    erase(store, of_customer("  ana.MARKER@customer.example "))
    after = store.check()
    assert after["problems"] == []
    assert after["messages"]["received"] == 3
    assert after["messages"]["states"]["purged"] == 2
    assert (after["orders"], after["notifications"]) == (before["orders"], before["notifications"])
    assert after["erased"] == {"orders": 2, "notifications": 2, "outgoing": 0}
    assert exported(store) == ["2", "4"]
    assert store.order("default", "zonos", "1") is None
    assert ANA.casefold() not in everything(store).replace(f"x{ANA}".casefold(), "")
    assert table_of(store, "SELECT DISTINCT order_id FROM order_line ORDER BY order_id") == [(2,), (4,)]
    rows = table_of(store, f"SELECT state, sha256 FROM message WHERE id = {mail}")
    assert rows == [("purged", hashlib.sha256(raw).hexdigest())]
    assert table_of(store, f"SELECT raw FROM message_raw WHERE message_id = {mail}") == []
    assert erase(store, of_customer())["orders"] == 0


def test_every_revision_of_an_erased_order_is_erased_whosever_address_the_newest_has(store: Store) -> None:
    read(store, judged(an_order("1")))
    read(store, judged(an_order("1", BEN), revision=2))
    read(store, judged(an_order("1", BEN), revision=2))
    assert erase(store, of_customer()) == {
        "orders": 1, "notifications": 3, "messages": 3, "outgoing": 0, "files": 0, "unread": 0,
    }  # fmt: skip
    assert "customer.example" not in everything(store)
    assert problems(store) == []


@pytest.mark.parametrize(("grade", "revision"), [("sealed", 1), ("sealed", 2), ("consistent", 1)])
def test_an_erased_order_that_arrives_again_is_held_and_not_exported(grade: str, revision: int, store: Store) -> None:
    read(store, judged(an_order("1")))
    erase(store, of_customer())
    message = read(store, judged(an_order("1"), grade, revision=revision), raw=f"Subject: again\r\n\r\n{ANA}".encode())
    (again,) = store.notifications_of(message)
    assert (again.state, again.reason) == ("held", "erased")
    assert exported(store) == []
    assert store.order("default", "zonos", "1") is None
    assert problems(store) == []
    assert erase(store, of_customer())["notifications"] == 1
    assert ANA.casefold() not in everything(store)
    assert problems(store) == []


def test_an_erased_order_is_taken_in_again_where_a_person_releases_it(store: Store) -> None:
    read(store, judged(an_order("1")))
    erase(store, of_customer())
    (held,) = store.notifications_of(read(store, judged(an_order("1"))))
    assert store.release_notification(held.id, by="Ana").state == "applied"
    assert exported(store) == ["1"]
    assert store.order("default", "zonos", "1") == an_order("1")
    assert problems(store) == []
    (again,) = store.notifications_of(read(store, judged(an_order("1"))))
    assert again.state == "duplicate"


def test_an_older_revision_of_an_erased_order_cannot_be_released(store: Store) -> None:
    read(store, judged(an_order("1"), revision=3))
    erase(store, of_customer())
    (held,) = store.notifications_of(read(store, judged(an_order("1"), revision=2)))
    with pytest.raises(StoreError, match="erased at revision 3"):
        store.release_notification(held.id, by="Ana")
    assert exported(store) == []


def test_a_customer_who_sent_a_mail_is_erased_from_its_envelope_also_after_its_days(store: Store) -> None:
    store.add_message(NewMessage("default", "smtp", b"Subject: hello\r\n\r\n", ANA, an_address(store)))
    (message,) = store.claim_messages(1, 60)
    store.store_judgement(message.id, message.claim_token, [])
    assert store.purge_raw(datetime.now(UTC) + timedelta(seconds=5)) == 1
    assert erase(store, of_customer())["messages"] == 1
    assert ANA.casefold() not in everything(store)
    assert store.check()["purged"] == {"retention": 0, "erasure": 1}
    assert problems(store) == []


def test_the_same_octets_again_bring_nothing_back(store: Store) -> None:
    raw = f"Subject: x\r\n\r\n{ANA}".encode()
    read(store, judged(an_order("1")), raw=raw)
    erase(store, of_customer())
    assert not store.add_message(NewMessage("default", "smtp", raw, ANA, an_address(store))).created
    assert ANA.casefold() not in everything(store)


def test_an_order_known_from_a_held_mail_only_counts_as_erased(store: Store) -> None:
    read(store, judged(an_order("1"), "consistent"))
    assert erase(store, of_customer())["notifications"] == 1
    message = read(store, judged(an_order("1")))
    assert store.notifications_of(message)[0].reason == "erased"
    assert problems(store) == []


def test_a_doubtful_mail_under_a_strangers_number_does_not_erase_the_strangers_order(store: Store) -> None:
    read(store, judged(an_order("1", BEN)))
    read(store, judged(an_order("1", ANA), "review", problems=(Problem("x", None, "y"),)))
    assert erase(store, of_customer())["orders"] == 0
    assert exported(store) == ["1"]
    read(store, judged(an_order("1", BEN), revision=2))
    assert [one.revision for one in store.orders_for_export()] == [2]
    assert problems(store) == []


def test_a_mail_that_could_not_be_read_loses_its_octets_and_one_not_read_yet_is_told(store: Store) -> None:
    raw = f"Subject: %s\r\n\r\n{base64.encodebytes(f'{ANA} '.encode() * 9).decode()}"
    ignored = read(store, raw=(raw % "ignored").encode())
    doubtful = read(
        store,
        Judged("review", None, None, (Problem("contradiction", "customer.email", f"shows {ANA}"),)),
        raw=(raw % "review").encode(),
    )
    quarantined = claimed(store, (raw % "quarantined").encode())
    store.quarantine_message(quarantined.id, quarantined.claim_token, "hangs")
    waiting = received(store, (raw % "waiting").encode())
    assert erase(store, of_customer()) == {
        "orders": 0, "notifications": 1, "messages": 3, "outgoing": 0, "files": 0, "unread": 1,
    }  # fmt: skip
    states = dict(table_of(store, "SELECT id, state FROM message"))
    assert states == {ignored: "purged", doubtful: "purged", quarantined.id: "purged", waiting: "received"}
    assert ANA.casefold() not in everything(store)
    assert problems(store) == []


def _queue(store: Store, number: str, content: str = "a", **how: Any) -> None:
    queue_order(store, number, content, raw=f"To: x\r\n\r\n{ANA}".encode(), **how)


def test_outgoing_mails_of_the_erased_lose_their_octets_and_are_not_sent(store: Store) -> None:
    for number in ("1", "2"):
        _queue(store, number)
    (first,) = store.claim_outgoing(1, 60, ids=[1])
    assert erase(store, of_customer())["outgoing"] == 2
    with pytest.raises(ClaimLostError):
        store.mark_sent(first.id, str(first.claim_token), "250 ok")
    assert [(mail.state, mail.raw, mail.address) for mail in store.list_outgoing()] == [
        ("failed", b"", "erased-1"),
        ("failed", b"", "erased-2"),
    ]
    assert store.claim_outgoing(9, 60) == ()
    with pytest.raises(StoreError, match="erased"):
        _queue(store, "1", "other")
    _queue(store, "3")
    assert [mail.sequence for mail in store.list_outgoing()] == [1, 2, 3]
    assert problems(store) == []


def test_a_merchant_is_erased_whole_and_alone(store: Store) -> None:
    read(store, judged(an_order("1", BEN)))
    store.create_merchant("shop", domain="mail.example", payload_ids=["77"])
    store.set_mail_to("shop", ["orders@secret-shop.example"], note="asked by ops@secret-shop.example")
    store.set_merchant("shop", sender="orders@secret-shop.example")
    store.add_address("shop", "own@secret-shop.example")
    _queue(store, "9", merchant="shop")
    address = an_address(store, "shop")
    for number in range(3):
        raw = f"Subject: {number}\r\n\r\n".encode()
        store.add_message(NewMessage("shop", "smtp", raw, "staff@secret-shop.example", address))
    judged_one, claimed_one = store.claim_messages(2, 60)
    store.store_judgement(judged_one.id, judged_one.claim_token, [judged(an_order("1"))])
    counts = erase(store, Subject(ErasureKind.MERCHANT, "shop"))
    assert counts == {"orders": 1, "notifications": 1, "messages": 3, "outgoing": 1, "files": 0, "unread": 0}
    with pytest.raises(ClaimLostError):
        store.store_judgement(claimed_one.id, claimed_one.claim_token, [judged(an_order("2"))])
    left = everything(store)
    assert "secret-shop" not in left
    assert ANA.casefold() not in left
    assert address not in left
    assert store.merchant_for_recipient(address) is None
    assert [(one.merchant, one.order.order_number) for one in store.orders_for_export()] == [("default", "1")]
    assert store.counts()["purged"] == 3
    assert problems(store) == []
    assert erase(store, Subject(ErasureKind.MERCHANT, "shop"))["messages"] == 0


def test_one_order_is_erased_by_its_number(store: Store) -> None:
    read(store, judged(an_order("1")), judged(an_order("2")))
    assert erase(store, Subject(ErasureKind.ORDER, "default", order_number="1"))["orders"] == 1
    assert exported(store) == ["2"]
    assert problems(store) == []


def test_an_erasure_goes_on_in_batches_of_messages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ion.store.privacy.BATCH_MESSAGES", 3)
    monkeypatch.setattr("ion.store.privacy.BATCH_OCTETS", 100)
    for number in range(11):
        read(store, judged(an_order(f"{number}")), raw=f"{number} ".encode() * 20 * (1 + number % 4))
    begun: list[str] = []
    sa.event.listen(store._engine, "commit", lambda connection: begun.append("commit"))
    assert erase(store, of_customer())["messages"] == 11
    assert len(begun) > 4
    assert exported(store) == []
    assert problems(store) == []


def test_the_record_of_an_erasure_answers_and_tells_nobody(store: Store) -> None:
    read(store, judged(an_order("1")))
    record = store.erase(store.plan_erasure(of_customer()), "a1b2")
    assert store.erasures("a1b2") == (record,)
    assert store.erasures("other") == ()
    assert (record.kind, record.merchant, record.counts["orders"]) == ("customer", None, 1)
    assert ANA.casefold() not in everything(store)


@pytest.mark.parametrize("step", ["_erase_message", "_erase_orders"])
def test_an_erasure_that_was_cut_off_is_told_and_finished_by_the_next(
    step: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: Any, **__: Any) -> None:
        raise StoreError("the database refused: disk full")

    read(store, judged(an_order("1")), raw=f"Subject: x\r\n\r\n{ANA}".encode())
    with monkeypatch.context() as patched:
        patched.setattr(f"ion.store.privacy.{step}", cut_off)
        with pytest.raises(StoreError):
            erase(store, of_customer())
    assert "1 erasures that were cut off; erase again" in problems(store)
    erase(store, of_customer())
    assert ANA.casefold() not in everything(store)
    assert problems(store) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"To: ana.marker@customer.example",
        f"x <{ANA.upper()}>,".encode(),
        quopri.encodestring(b"mailto: " + b"ana.marker@customer.example " * 4),
        b"ana=2Emarker=40customer=\r\n.example",
        b"\r\n" + base64.encodebytes(b"a long line before it " * 9 + ANA.encode()),
        base64.encodebytes(base64.encodebytes(b"nested " * 20 + ANA.encode())),
        b"Hello\r\n" + base64.encodebytes(f"{ANA} ".encode() * 3).replace(b"\n", b"\r\n"),
        base64.encodebytes(b"ana&#46;marker&#64;customer.example and more"),
        b"\0\1" + ANA.encode("utf-16-le"),
        base64.encodebytes(ANA.encode("utf-16-le") * 3),
    ],
)
def test_an_address_is_found_however_a_mail_encodes_it(raw: bytes) -> None:
    assert Mention(ANA).in_octets(raw)
    assert not Mention(BEN).in_octets(raw)


@pytest.mark.parametrize(
    "text",
    [
        "diana@x.example",
        "ana@x.example.net",
        "ana@x.example-shop",
        "b.ana@x.example",
        "ana@xxexample",
        "+ana@x.example",
    ],
)
def test_an_address_is_not_found_in_a_longer_one(text: str) -> None:
    assert not Mention("ana@x.example").in_text(text)
    assert Mention("ana@x.example").in_text(f"{text} ana@x.example.")


# Published files


def test_a_published_file_with_an_erased_order_is_replaced_by_a_tombstone(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    read(store, judged(an_order("1")), judged(an_order("2", BEN)))
    paths = [folder / name for name in ("one.csv", "two.csv", "three.csv")]
    for path, members in zip(paths, ([1, 2], [1], [2]), strict=True):
        path.write_text(path.name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        store.record_published_file(str(path), "standard", digest, rows=3, orders=[(one, 1) for one in members])
    assert erase(store, of_customer())["files"] == 2
    assert "2 published files that hold erased orders; `ion purge` replaces them" in problems(store)
    replaced, failed = replace_erased_files(store, now=NOON)
    assert replace_erased_files(store, now=NOON) == ([], [])
    assert failed == []
    assert sorted(folder.iterdir()) == sorted([*replaced, paths[2]])
    for tombstone in replaced:
        text = tombstone.read_text("utf-8")
        name = tombstone.name.removesuffix(".erased.txt")
        assert f"sha256: {hashlib.sha256(name.encode()).hexdigest()}\n" in text
        assert "rows: 3" in text
        assert f"replaced_at: {NOON.isoformat()}" in text
        assert "customer.example" not in text
    assert problems(store) == []
    assert store.check()["published_files"] == 3


def test_the_octets_of_a_batch_with_an_erased_order_go_and_the_batch_stays(store: Store) -> None:
    read(store, judged(an_order("1")), judged(an_order("2", BEN)))
    profile = store.export_profiles("default")[0]
    orders = [(one.id, one.revision, one.applied_at) for one in store.orders_for_export()]
    written = WrittenFile("xlsx@1", "a-{number}.xlsx", b"octets", orders, 2, {"notes": ["Ana"]})
    batch = store.publish(profile.id, NOON.date(), written)
    assert store.batch_octets(batch.id) == b"octets"
    erase(store, of_customer())
    assert store.batch_octets(batch.id) is None
    (kept,) = store.batches()
    assert kept.erased_at is not None and (kept.sha256, kept.order_count, kept.summary) == (batch.sha256, 2, {})
    assert problems(store) == []


def test_an_erased_order_is_due_for_no_profile(store: Store) -> None:
    read(store, judged(an_order("1")))
    assert len(table_of(store, "SELECT * FROM export_due")) == 2
    erase(store, of_customer())
    assert table_of(store, "SELECT * FROM export_due") == []


def test_a_file_that_cannot_be_replaced_is_told_and_one_that_was_taken_gets_its_tombstone(
    store: Store, tmp_path: Path
) -> None:
    read(store, judged(an_order("1")))
    kept, taken = tmp_path / "kept.csv", tmp_path / "taken.csv"
    kept.mkdir()  # what cannot be removed as a file
    for path in (kept, taken):
        store.record_published_file(str(path), "standard", "00", rows=1, orders=[(1, 1)])
    erase(store, of_customer())
    replaced, failed = replace_erased_files(store, now=NOON)
    assert [path.name for path in replaced] == ["taken.csv.erased.txt"]
    assert "no longer there" in replaced[0].read_text()
    assert len(failed) == 1
    assert str(kept) in failed[0]
    kept.rmdir()
    assert len(replace_erased_files(store, now=NOON)[0]) == 1
    assert problems(store) == []


def test_a_file_written_again_takes_the_place_of_the_one_before_in_the_ledger(store: Store) -> None:
    read(store, judged(an_order("1")), judged(an_order("2", BEN)))
    store.record_published_file("/x/a.csv", "standard", "00", rows=2, orders=[(1, 1), (2, 1)])
    store.record_published_file("/x/a.csv", "standard", "11", rows=1, orders=[(2, 1)])
    erase(store, of_customer())
    assert store.files_to_replace() == ()
    assert table_of(store, "SELECT sha256, order_count FROM published_file") == [("11", 1)]
    with pytest.raises(ErasedMeanwhileError):
        store.record_published_file("/x/b.csv", "standard", "22", rows=1, orders=[(1, 1)])
    assert json.loads(json.dumps(store.check()))["problems"] == []


# The schema


def test_a_database_of_the_schema_before_is_migrated_with_what_it_holds(store: Store, store_url: str) -> None:
    from alembic.command import downgrade
    from alembic.config import Config

    from ion.store.schema import MIGRATIONS

    read(store, judged(an_order("1")))
    _queue(store, "1")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # As `bring_to_head` does it: rebuilding a table must not touch the rows that refer to it.
    engine = make_engine(store_url, foreign_keys=False)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        downgrade(config, "0003")
    engine.dispose()
    before = table_of(store, "SELECT id, sha256, raw FROM message")
    migrated = open_store(store_url)
    mails = "SELECT id, sha256, raw FROM message JOIN message_raw ON message_id = id"
    assert table_of(migrated, mails) == before
    assert exported(migrated) == ["1"]
    assert problems(migrated) == []
    assert erase(migrated, of_customer())["outgoing"] == 1
    assert problems(migrated) == []
    migrated.close()
