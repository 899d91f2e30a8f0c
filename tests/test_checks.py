"""`ion check`: the books of a store with some of everything add up, and each kind of damage is told."""

import sqlite3
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from ion.order import LineItem
from ion.store import ErasureKind, JobState, Store, Subject, open_store
from tests.orders import small_order
from tests.stores import Problem, claimed, judged, queue_order, received
from tests.thinning import one_in


def _order(number: str, **changes: Any) -> Any:
    return small_order().model_copy(update={"order_number": number, **changes})


def _read(store: Store, *judgements: Any) -> int:
    message = claimed(store)
    store.store_judgement(message.id, message.claim_token, judgements)
    return message.id


def _some_of_everything(store: Store) -> None:
    """Messages 1 to 8: two read, one held, one ignored, one purged, one erased, one quarantined, one waiting. Orders 1
    (two revisions), 2 and 3 (erased). Outgoing 1 (queued), 2 (sent), 3 (erased). One job run, one published file."""
    _read(store, judged(_order("1")))
    _read(store, judged(_order("1", notes=("changed",)), revision=2), judged(_order("2")))
    purged = _read(store)
    assert store.purge_raw(datetime.now(UTC) + timedelta(seconds=1)) == 3
    assert purged == 3
    _read(store, judged(_order("4"), "consistent"), judged(_order("5"), "review", problems=(Problem("x", "y", "z"),)))
    _read(store)
    _read(store, judged(_order("3")))
    for number in ("1", "2", "3"):
        queue_order(store, number)
    (mail,) = store.claim_outgoing(1, 60, ids=[2])
    store.mark_sent(mail.id, str(mail.claim_token), "250 ok")
    store.mark_entered("default", 2, "#1001", by="Ana", source="command line")
    store.mark_entered("default", 3, "#1002", by="Ana", source="command line")
    store.record_published_file("/exports/a.csv", "standard", "00", rows=3, orders=[(1, 2), (2, 1)])
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, "default", order_number="3")), "digest")
    quarantined = claimed(store)
    store.quarantine_message(quarantined.id, quarantined.claim_token, "hangs")
    received(store)
    run = store.claim_job_run("nightly-export", datetime.now(UTC).date(), claimed_by="x", lease_seconds=60)
    assert run is not None
    store.finish_job_run(run, JobState.DONE, {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "ion.db"
    store = open_store(f"sqlite:///{path}")
    _some_of_everything(store)
    report = store.check()
    assert report["problems"] == []
    assert report["messages"] == {
        "received": 8,
        "states": {
            "received": 1, "claimed": 0, "read": 1, "ignored": 1, "retry": 0, "quarantined": 1, "purged": 4,
        },
    }  # fmt: skip
    assert report["notifications"] == {"applied": 4, "review": 2}
    assert (report["orders"], report["published_files"]) == (3, 1)
    assert report["outgoing"] == {"failed": 1, "queued": 1, "sent": 1}
    assert report["jobs"] == {"done": 1}
    assert report["purged"] == {"retention": 3, "erasure": 1}
    assert report["erased"] == {"orders": 1, "notifications": 1, "outgoing": 1}
    assert store.empty_log()
    store.close()
    return path


DAMAGE = [
    (
        "DELETE FROM order_words WHERE order_id = (SELECT min(id) FROM orders WHERE erased_at IS NULL)",
        "1 orders that no search finds",
    ),
    (
        "INSERT INTO order_words SELECT id, 'x' FROM orders WHERE erased_at IS NOT NULL",
        "1 erased orders that a search finds",
    ),
    ("UPDATE message SET state = 'lost' WHERE id = 5", "1 rows of message break the rule ck_message_state"),
    ("UPDATE message SET due_at = NULL WHERE id = 8", "1 rows of message break the rule ck_message_due_at"),
    ("UPDATE message SET claim_token = 'x' WHERE id = 8", "1 rows of message break the rule ck_message_claim_token"),
    ("DELETE FROM message_raw WHERE message_id = 5", "1 messages without raw octets that are not purged"),
    (
        "UPDATE message SET size_bytes = 1 WHERE id = 1; INSERT INTO message_raw VALUES (1, X'78')",
        "1 messages purged that still have raw octets",
    ),
    ("UPDATE message SET merchant = 'nobody' WHERE id = 5", "1 rows of message without their merchant (merchant)"),
    ("DELETE FROM notification WHERE message_id = 4", "1 messages read without a notification or a bounce"),
    (
        "UPDATE message SET state = 'ignored' WHERE id = 4",
        "1 messages with a notification or a bounce that are not read",
    ),
    ("UPDATE outgoing SET state = 'bounced' WHERE state = 'sent'", "1 outgoing mails that bounced without a bounce"),
    (
        "INSERT INTO bounce SELECT 1, id, 4, 'failed', '5.1.1', NULL, 1, '2026-11-23' FROM outgoing"
        " WHERE state = 'sent'",
        "1 bounces that failed and raised no alert",
    ),
    (
        "INSERT INTO bounce SELECT 1, id, 4, 'delayed', '4.4.1', NULL, 1, '2026-11-23' FROM outgoing"
        " WHERE state = 'sent'",
        "1 bounces that are hard and did not fail",
    ),
    (
        "INSERT INTO bounce SELECT 1, id, 5, 'delayed', '4.4.1', NULL, 0, '2026-11-23' FROM outgoing"
        " WHERE state = 'sent'",
        "1 messages with a notification or a bounce that are not read",
    ),
    (
        "INSERT INTO bounce SELECT 1, id, 4, 'delayed', '4.4.1', 'x', 0, '2026-11-23' FROM outgoing"
        " WHERE erased_at IS NOT NULL",
        "1 bounces of erased mails that still quote a system",
    ),
    (
        "INSERT INTO alert (merchant, kind, subject, text, outgoing_id, happened, created_at, last_at)"
        " SELECT merchant, 'bounced', 'outgoing:' || id, 'x', id, 1, '2026-11-23', '2026-11-23' FROM outgoing"
        " WHERE erased_at IS NOT NULL",
        "1 alerts that name the address of an erased mail",
    ),
    (
        "INSERT INTO alert (merchant, kind, subject, text, outgoing_id, happened, created_at, last_at)"
        " SELECT merchant, 'bounced', 'outgoing:0', 'x', id, 1, '2026-11-23', '2026-11-23' FROM outgoing"
        " WHERE state = 'sent'",
        "1 alerts of a mail with another cause",
    ),
    (
        "INSERT INTO alert (merchant, kind, subject, text, happened, created_at, last_at)"
        " VALUES ('default', 'disk', 'disk', 'x', 0, '2026-11-23', '2026-11-23')",
        "1 alerts that never happened",
    ),
    (
        "UPDATE message SET size_bytes = size_bytes + 1 WHERE id = 5",
        "1 messages whose raw octets are not as long as they were",
    ),
    (
        "UPDATE message_raw SET raw = zeroblob(length(raw)) WHERE message_id = 5",
        "message row 5: its raw octets are not what arrived",
    ),
    ("UPDATE message SET sha256 = 'x' WHERE id = 8", "message row 8: its raw octets are not what arrived"),
    ("DELETE FROM message_purge WHERE message_id = 3", "1 messages purged without a record of it"),
    (
        "INSERT INTO message_purge VALUES (5, 'ignored', '2026-11-23', NULL)",
        "1 messages with a record of a purge that are not purged",
    ),
    (
        "INSERT INTO message_purge VALUES (99, 'ignored', '2026-11-23', NULL)",
        "1 rows of message_purge without their message (message_id)",
    ),
    (
        "UPDATE message_purge SET state_before = 'read' WHERE message_id = 3",
        "1 messages purged as read without a notification or a bounce",
    ),
    (
        "UPDATE message_purge SET state_before = 'ignored' WHERE message_id = 1",
        "1 messages purged as ignored with a notification or a bounce",
    ),
    ("UPDATE notification SET state = 'held' WHERE message_id = 1", "1 messages purged while a person had to decide"),
    (
        "UPDATE notification SET message_id = 99 WHERE id = 4",
        "1 rows of notification without their message (message_id)",
    ),
    (
        "UPDATE notification SET state = 'gone' WHERE id = 4",
        "1 rows of notification break the rule ck_notification_state",
    ),
    ("UPDATE notification SET position = 3 WHERE id = 3", "1 messages whose notifications have gaps"),
    (
        "INSERT INTO merchant (name, created_at) VALUES ('shop', '2026-11-23'); UPDATE notification SET merchant = "
        "'shop' WHERE id = 4",
        "1 notifications of another merchant than their message",
    ),
    ("UPDATE notification SET order_id = 99 WHERE id = 1", "1 notifications linked to an order that is not there"),
    (
        "UPDATE notification SET order_number = '2' WHERE id = 1",
        "1 notifications linked to another order than they tell of",
    ),
    ("UPDATE orders SET revision = 7 WHERE id = 2", "1 orders without their newest revision"),
    ("DELETE FROM order_revision WHERE order_id = 2", "1 orders without their newest revision"),
    ("DELETE FROM orders WHERE id = 2", "1 rows of order_revision without their orders (order_id)"),
    (
        "UPDATE orders SET revision = 1, (content_json, content_sha256) = (SELECT content_json, "
        "content_sha256 FROM order_revision WHERE order_id = 1 AND revision = 1) WHERE id = 1",
        "1 orders older than one of their revisions",
    ),
    ("UPDATE notification SET state = 'review' WHERE id = 3", "1 revisions that no applied notification brought"),
    (
        "UPDATE notification SET order_json = '{}' WHERE id = 3",
        "1 revisions with another content than their notification",
    ),
    (
        "UPDATE orders SET content_json = replace(content_json, 'zonos', 'other') WHERE id = 2; UPDATE "
        "order_revision SET content_json = replace(content_json, 'zonos', 'other') WHERE order_id = 2",
        "order row 2: its content is not what was stored",
    ),
    (
        "UPDATE order_revision SET content_json = '{}' WHERE order_id = 1 AND revision = 1",
        "order row 1, revision 1: its content is not what was stored",
    ),
    ("DELETE FROM order_line WHERE order_id = 2", "order row 2: it has 0 lines, its content another number"),
    ("UPDATE order_line SET position = 9 WHERE order_id = 2", "1 orders whose lines have gaps"),
    ("UPDATE order_line SET order_id = 99 WHERE order_id = 2", "1 rows of order_line without their orders (order_id)"),
    (
        "DELETE FROM outgoing_order WHERE id = 2",
        "the sequence of merchant default has gaps: 2 orders, the last is number 3",
    ),
    ("UPDATE outgoing SET next_attempt_at = NULL WHERE id = 1", "1 outgoing mails that wait without a time"),
    (
        "UPDATE outgoing SET next_attempt_at = '2026-11-23' WHERE id = 2",
        "1 outgoing mails that are over and still have a time",
    ),
    ("UPDATE outgoing SET claim_token = 'x' WHERE id = 1", "1 outgoing mails claimed by halves"),
    (
        "UPDATE outgoing SET claim_token = 'x', claimed_until = '2026-11-23' WHERE id = 2",
        "1 outgoing mails that are over and still claimed",
    ),
    (
        "UPDATE outgoing SET state = 'digested' WHERE id = 2",
        "1 outgoing mails that went with a digest that is not there",
    ),
    ("DELETE FROM outgoing_raw WHERE outgoing_id = 1", "1 outgoing mails without octets that are not erased"),
    ("UPDATE orders SET customer_name = 'Ana' WHERE id = 3", "1 erased orders that still have content"),
    ("UPDATE orders SET erased_at = NULL WHERE id = 3", "1 orders without content that are not erased"),
    ("UPDATE orders SET erased_at = NULL WHERE id = 3", "1 orders that count as erased and are not"),
    (
        "UPDATE order_revision SET content_json = '{}' WHERE order_id = 3",
        "1 revisions of erased orders that still have content",
    ),
    ("INSERT INTO order_line VALUES (3, 1, NULL, NULL, NULL, '1', NULL, NULL)", "1 lines of erased orders"),
    ("DELETE FROM erased_order", "1 erased orders whose number does not count as erased"),
    (
        "UPDATE notification SET order_json = '{}' WHERE erased_at IS NOT NULL",
        "1 erased notifications that still have content",
    ),
    (
        "UPDATE notification SET erased_at = '2026-11-23', order_json = NULL, problems_json = '[]' WHERE "
        "message_id = 4",
        "2 erased notifications whose message still has its raw octets",
    ),
    ("INSERT INTO outgoing_raw VALUES (3, 'x')", "1 erased outgoing mails that still have octets"),
    ("UPDATE message SET mail_from = 'x' WHERE id = 6", "1 mails of erased messages that still name their sender"),
    ("UPDATE erasure SET finished_at = NULL", "1 erasures that were cut off; erase again"),
    ("UPDATE erasure SET kind = 'all'", "1 rows of erasure break the rule ck_erasure_kind"),
    ("UPDATE erased_order SET erasure_id = 9", "1 rows of erased_order without their erasure (erasure_id)"),
    (
        "UPDATE orders SET erased_at = '2026-11-23' WHERE id = 2",
        "1 published files that hold erased orders; `ion purge` replaces them",
    ),
    ("DELETE FROM published_order WHERE order_id = 2", "1 published files with another number of orders than recorded"),
    ("DELETE FROM published_file", "2 rows of published_order without their published_file (file_id)"),
    ("DELETE FROM order_event WHERE order_id = 2", "1 orders entered without an event that says so"),
    ("UPDATE order_event SET what = 'reopened' WHERE order_id = 2", "1 orders entered without an event that says so"),
    ("UPDATE orders SET shop_order_number = NULL WHERE id = 2", "1 orders entered without a shop order number"),
    ("UPDATE orders SET state = 'new' WHERE id = 2", "1 orders with a shop order number that are not entered"),
    (
        "UPDATE order_event SET shop_order_number = '#1002' WHERE order_id = 3",
        "1 events of erased orders that still name a shop order number",
    ),
    (
        "UPDATE order_event SET order_id = 99 WHERE order_id = 2",
        "1 rows of order_event without their orders (order_id)",
    ),
    ("UPDATE job_run SET finished_at = NULL", "1 job runs that are over without an end"),
    ("UPDATE job_run SET state = 'running'", "1 job runs that have an end and still run"),
    (
        "UPDATE job_run SET state = 'running', finished_at = NULL, lease_until = '2020-01-01 00:00:00'",
        "1 job runs that never ended",
    ),
    ("UPDATE job_run SET finished_at = '2020-01-01 00:00:00'", "1 job runs that ended before they began"),
    ("UPDATE job_run SET attempts = 0", "1 job runs that nobody claimed"),
    ("UPDATE job_run SET detail = 'x'", "job run row 1: its detail cannot be read"),
]


@pytest.fixture(scope="module")
def copy(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path]]:
    """A store whose file each test replaces, so that its statements are compiled once."""
    path = tmp_path_factory.mktemp("copy") / "ion.db"
    store = open_store(f"sqlite:///{path}")
    yield store, path
    store.close()


@pytest.mark.parametrize("damage", one_in(4, DAMAGE))
def test_each_kind_of_damage_is_told(damage: tuple[str, str], whole: Path, copy: tuple[Store, Path]) -> None:
    script, told = damage
    store, path = copy
    store.close()  # the last connection takes the write-ahead log with it
    copyfile(whole, path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.executescript(script)
    connection.close()
    assert told in store.check()["problems"]


def test_a_damaged_page_is_told(whole: Path, tmp_path: Path) -> None:
    copyfile(whole, tmp_path / "ion.db")
    connection = sqlite3.connect(whole)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'ix_notification_order_id'"
    ).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with (tmp_path / "ion.db").open("r+b") as file:
        file.seek((page - 1) * size + 3)
        file.write(b"\x00\x00")  # the number of entries on the page
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    assert any("the database file is damaged" in problem for problem in store.check()["problems"])
    store.close()


@pytest.mark.long
def test_a_large_store_is_checked_in_bounded_memory(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    lines = tuple(LineItem(sku=f"{number}", quantity=1, description="x" * 2000) for number in range(20))
    for number in range(40):
        message = claimed(store, f"{number} ".encode() * 300_000)
        store.store_judgement(message.id, message.claim_token, [judged(_order(str(number), lines=lines))])
    total = (tmp_path / "ion.db").stat().st_size
    store.close()
    store = open_store(f"sqlite:///{tmp_path / 'ion.db'}")
    tracemalloc.start()
    try:
        assert store.check()["problems"] == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        store.close()
    assert total > 30_000_000
    assert peak < 12_000_000
